"""Operations written once, run two ways: a generator yields steps, a driver performs them.

    @operation
    def balance(self, address: str) -> Steps[int]:
        return int((yield Request("eth_getBalance", (address, "latest"))), 16)

is `Market.balance(address) -> int` and `await AsyncMarket.balance(address) -> int`, for editors and mypy as well: the
descriptor's type depends on whether the object it is read from is a `Group[Sync]` or a `Group[Async]`. No generator
touches a socket or a clock's sleep; the drivers (dmchain.market.drivers) touch nothing else.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, TypeAlias, TypeVar, overload

if TYPE_CHECKING:
    from dmchain.market.context import Context


@dataclass(frozen=True, slots=True)
class Request:
    """One JSON-RPC call. Answered with its result; raises RpcFailure."""

    method: str
    params: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Batch:
    """Several calls in one round trip. Answered with a list in order: a result, or the RpcFailure itself."""

    requests: tuple[Request, ...]


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Acquire:
    """Take the lock of this name, which other operations of the same market wait for."""

    lock: str


@dataclass(frozen=True, slots=True)
class Release:
    """Give the lock back. Never waits, so that it can be done while an operation is being cancelled."""

    lock: str


Step: TypeAlias = Request | Batch | Pause | Acquire | Release

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
Steps: TypeAlias = Generator[Step, Any, R]


class Mode:
    """How operations are called."""


class Sync(Mode):
    """Operations return their results."""


class Async(Mode):
    """Operations return coroutines."""


M = TypeVar("M", bound=Mode)


class Driver(Protocol):
    """Performs steps. Returns the result, or a coroutine of it."""

    def run(self, steps: Steps[Any]) -> Any: ...


class Group(Generic[M]):
    """Operations that share a context and a driver."""

    def __init__(self, context: Context, driver: Driver) -> None:
        self._context = context
        self._driver = driver


class operation(Generic[P, R]):  # lower case as `property` is
    """Makes a generator method callable; see the module."""

    def __init__(self, function: Callable[Concatenate[Any, P], Steps[R]]) -> None:
        self.function = function
        update_wrapper(self, function)  # type: ignore[arg-type]
        whole = inspect.signature(function)
        result = str(whole.return_annotation).removeprefix("Steps[").removesuffix("]")
        self._signature = whole.replace(parameters=list(whole.parameters.values())[1:], return_annotation=result)

    @overload
    def __get__(self, instance: None, owner: type) -> operation[P, R]: ...
    @overload
    def __get__(self, instance: Group[Sync], owner: type) -> Callable[P, R]: ...
    @overload
    def __get__(self, instance: Group[Async], owner: type) -> Callable[P, Coroutine[Any, Any, R]]: ...
    def __get__(self, instance: Group[Any] | None, owner: type) -> Any:
        if instance is None:
            return self
        driver = instance._driver

        def call(*args: P.args, **kwargs: P.kwargs) -> Any:
            return driver.run(self.function(instance, *args, **kwargs))

        update_wrapper(call, self.function)
        call.__signature__ = self._signature  # type: ignore[attr-defined]
        return call
