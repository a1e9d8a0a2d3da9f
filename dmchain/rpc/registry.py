"""The table of methods, and what happens between a parsed call and its answer. No I/O, no threads, no clock.

    start(entry) --> bytes                                   answered (b"" for a notification)
                 --> Job with work: run() in a worker thread --> bytes | Job
                 --> Job with deferred: poll() now and after every block --> bytes | None,
                                        expire() at its deadline --> bytes

Whatever a method raises becomes an error answer: RpcError keeps its code, other expected failures of dmchain are -32000
with their text, anything else is reported to `on_bug` and the client learns "internal error".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from dmchain.chain.primitives.errors import DmchainError
from dmchain.rpc.backend import Backend, StopFlag
from dmchain.rpc.config import MethodLimits
from dmchain.rpc.errors import InternalError, MethodNotFound, RpcError
from dmchain.rpc.filters import FilterTable
from dmchain.rpc.jsonrpc import Entry, Malformed, encode_error, encode_result
from dmchain.rpc.params import Argument, bind

if TYPE_CHECKING:
    from dmchain.rpc.subscriptions import SessionRequest

NOT_YET: Final = object()
"""What a Deferred's poll returns while there is nothing to answer."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a light handler returns to go on in a worker thread; `run` returns a result or a Deferred."""

    run: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Deferred:
    """A method's result that is not there yet: `poll` is asked at once and after every block, `expire` at the timeout.

    Both run on the event loop's thread, so a heavy handler comes back to it with a Deferred. They return a result or
    raise, like a method; `poll` may return NOT_YET.
    """

    poll: Callable[[], Any]
    expire: Callable[[], Any]
    timeout_seconds: float


@dataclass(slots=True)
class Context:
    """What a method may use. `now` is a monotonic clock in seconds; `session` is None over HTTP."""

    backend: Backend
    limits: MethodLimits
    filters: FilterTable
    now: float
    stop: StopFlag = field(default_factory=StopFlag)
    session: SessionRequest | None = None


Handler = Callable[..., Any]
F = TypeVar("F", bound=Handler)
"""Context and bound arguments to a result fit for JSON, a Work or a Deferred."""


@dataclass(frozen=True, slots=True)
class Method:
    """`is_heavy`: the handler always runs in a worker thread; a light one may still return a Work."""

    name: str
    handler: Handler
    arguments: tuple[Argument, ...]
    is_heavy: bool


class MethodTable:
    """Methods of one module, filled by decorators at import and never changed after."""

    def __init__(self) -> None:
        self.methods: dict[str, Method] = {}

    def add(self, *names: str, arguments: Iterable[Argument] = (), heavy: bool = False) -> Callable[[F], F]:
        """Register a handler under one or more names."""
        bound_arguments = tuple(arguments)

        def register(handler: F) -> F:
            for name in names:
                if name in self.methods:
                    raise ValueError(f"method {name} is registered twice")
                self.methods[name] = Method(name, handler, bound_arguments, heavy)
            return handler

        return register


@dataclass(frozen=True, slots=True)
class Job:
    """A call that cannot be answered on the spot: exactly one of `work` (for a thread) and `deferred` is set."""

    id: bytes | None
    method: str
    work: Callable[[], Any] | None = None
    deferred: Deferred | None = None


@dataclass(slots=True)
class CallCounts:
    """Calls and error answers by method, since the start; names that are no method's count as "unknown".

    Heavy calls fail on their own threads: two errors of one method at the same instant may count as one.
    """

    calls: dict[str, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)


class Dispatcher:
    """Answers calls from a table of methods. `on_bug(method, exception)` is told of unexpected exceptions."""

    def __init__(
        self,
        methods: Mapping[str, Method],
        on_bug: Callable[[str, BaseException], None],
        counts: CallCounts | None = None,
    ) -> None:
        self._methods = dict(methods)
        self._on_bug = on_bug
        self._counts = CallCounts() if counts is None else counts

    def __contains__(self, method: str) -> bool:
        return method in self._methods

    def start(self, entry: Entry, context: Context) -> bytes | Job:
        """Answer a light call; turn a heavy one into a Job."""
        if isinstance(entry, Malformed):
            return b"" if entry.id is None else encode_error(entry.id, entry.error)
        try:
            method = self._methods.get(entry.method)
            name, calls = "unknown" if method is None else entry.method, self._counts.calls
            calls[name] = calls.get(name, 0) + 1
            if method is None:
                raise MethodNotFound(entry.method)
            arguments = bind(entry.params, method.arguments)
            if method.is_heavy:
                return Job(entry.id, entry.method, work=lambda: method.handler(context, *arguments))
            result = method.handler(context, *arguments)
        except Exception as error:  # the boundary: nothing a client sends may end the server
            return self._fail(entry.id, entry.method, error)
        return self._finish(entry.id, entry.method, result)

    def run(self, job: Job) -> bytes | Job:
        """Do the work of a heavy job; in a worker thread."""
        assert job.work is not None
        try:
            result = job.work()
        except Exception as error:
            return self._fail(job.id, job.method, error)
        return self._finish(job.id, job.method, result)

    def poll(self, job: Job) -> bytes | None:
        """The answer of a waiting job if it can be given now."""
        assert job.deferred is not None
        try:
            result = job.deferred.poll()
            if result is NOT_YET:
                return None
        except Exception as error:
            return self._fail(job.id, job.method, error)
        answer = self._finish(job.id, job.method, result)
        assert isinstance(answer, bytes)
        return answer

    def expire(self, job: Job) -> bytes:
        """The answer of a waiting job whose time is over."""
        assert job.deferred is not None
        try:
            result = job.deferred.expire()
        except Exception as error:
            return self._fail(job.id, job.method, error)
        answer = self._finish(job.id, job.method, result)
        assert isinstance(answer, bytes)
        return answer

    def fail(self, job: Job, error: RpcError) -> bytes:
        """An error answer that the server decides on (timeout, too busy)."""
        return self._fail(job.id, job.method, error)

    def refuse(self, entry: Entry, error: RpcError) -> bytes:
        """The answer to an entry that will not be looked at."""
        return b"" if entry.id is None else encode_error(entry.id, error)

    def _finish(self, id_: bytes | None, method: str, result: Any) -> bytes | Job:
        if isinstance(result, Deferred):
            return Job(id_, method, deferred=result)
        if isinstance(result, Work):
            return Job(id_, method, work=result.run)
        if id_ is None:
            return b""
        try:
            return encode_result(id_, result)
        except (TypeError, ValueError, RecursionError) as error:  # a handler returned what is no JSON
            return self._fail(id_, method, error)

    def _fail(self, id_: bytes | None, method: str, error: Exception) -> bytes:
        name, errors = method if method in self._methods else "unknown", self._counts.errors
        errors[name] = errors.get(name, 0) + 1
        if isinstance(error, RpcError):
            shown = error
        elif isinstance(error, DmchainError):
            shown = RpcError(str(error), hint=error.hint)
        else:
            self._on_bug(method, error)
            shown = InternalError()
        return b"" if id_ is None else encode_error(id_, shown)
