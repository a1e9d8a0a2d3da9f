"""Drivers perform the steps of operations over a web3.py provider: one blocks, the other awaits on asyncio."""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

from web3 import AsyncHTTPProvider, AsyncWeb3, HTTPProvider, Web3
from web3.types import RPCEndpoint

from dmchain.market.errors import ConnectionFailed, InvalidInput, MarketError, RpcFailure
from dmchain.market.steps import Acquire, Batch, Pause, Release, Request, Step, Steps

R = TypeVar("R")
TIMEOUT_SECONDS = 60


def connect(url: str) -> tuple[Web3, Callable[[], None]]:
    """A web3.py instance that asks the node itself (a proxy of the environment is for the outside world), and what closes
    its connections. Raises InvalidInput."""
    import requests

    session = requests.Session()
    session.trust_env = _host(url) not in ("localhost", "127.0.0.1", "::1")
    provider = HTTPProvider(url, {"timeout": TIMEOUT_SECONDS}, session=session, exception_retry_configuration=None)
    return Web3(provider), session.close


def connect_async(url: str) -> AsyncWeb3[AsyncHTTPProvider]:
    """As `connect`, for asyncio."""
    from aiohttp import ClientTimeout

    _host(url)
    provider = AsyncHTTPProvider(url, {"timeout": ClientTimeout(TIMEOUT_SECONDS)}, exception_retry_configuration=None)
    return AsyncWeb3(provider)


def _host(url: str) -> str:
    """The host of a node's URL. Raises InvalidInput."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = None, None
    if parts is None or not host or parts.scheme not in ("http", "https"):
        raise InvalidInput(f"node: got {url!r}, expected a URL like http://127.0.0.1:8545")
    return host


def describe(provider: Any) -> str:
    """Where a provider asks, for messages."""
    return str(getattr(provider, "endpoint_uri", None) or type(provider).__name__)


def _result(where: str, method: str, response: Any) -> Any:
    problem = response.get("error") if isinstance(response, dict) else None
    if problem is not None:
        raise RpcFailure(method, problem)
    if not isinstance(response, dict) or "result" not in response:
        raise ConnectionFailed(where, f"the answer to {method} is not JSON-RPC")
    return response["result"]


def _results(where: str, requests: Sequence[Request], responses: Any) -> list[Any]:
    if not isinstance(responses, list) or len(responses) != len(requests):
        _result(where, "a batch", responses)  # one error for all of it
        raise ConnectionFailed(where, f"expected {len(requests)} answers to a batch")
    found: list[Any] = []
    for request, response in zip(requests, responses, strict=True):
        try:
            found.append(_result(where, request.method, response))
        except RpcFailure as error:
            found.append(error)
    return found


def _failure(where: str, error: BaseException) -> BaseException:
    """What to throw into an operation for an exception of the provider: nothing else is called here."""
    if isinstance(error, MarketError) or not isinstance(error, Exception):
        return error
    return ConnectionFailed(where, _reason(error))


def _reason(error: Exception) -> str:
    if isinstance(error, asyncio.TimeoutError):
        return f"no answer within {TIMEOUT_SECONDS} s"
    if isinstance(error, ValueError | TypeError | LookupError | AttributeError) and not isinstance(error, OSError):
        return "the answer is not JSON-RPC"
    deepest: BaseException = error
    while isinstance(below := deepest.__cause__ or deepest.__context__, OSError):
        deepest = below
    return str(deepest) or type(deepest).__name__


class SyncDriver:
    """Performs steps one after the other, blocking. May be used by several threads."""

    def __init__(self, web3: Web3) -> None:
        self.web3 = web3
        self.where = describe(web3.provider)
        self._locks: dict[str, threading.Lock] = {}

    def run(self, steps: Steps[R]) -> R:
        """Run an operation to its end. Raises MarketError."""
        answer: Any = None
        problem: BaseException | None = None
        while True:
            try:
                step = steps.send(answer) if problem is None else steps.throw(problem)
            except StopIteration as end:
                result: R = end.value
                return result
            answer, problem = None, None
            try:
                answer = self._perform(step)
            except BaseException as error:  # an interrupt too: the operation gives its locks back
                problem = _failure(self.where, error)
                problem.__cause__ = None if problem is error else error

    def _perform(self, step: Step) -> Any:
        provider: Any = self.web3.provider
        match step:
            case Request(method, params):
                return _result(self.where, method, provider.make_request(RPCEndpoint(method), list(params)))
            case Batch(requests):
                if len(requests) < 2 or not hasattr(provider, "make_batch_request"):
                    return [self._attempt(request) for request in requests]
                calls = [(RPCEndpoint(each.method), list(each.params)) for each in requests]
                return _results(self.where, requests, provider.make_batch_request(calls))
            case Pause(seconds):
                time.sleep(seconds)
            case Acquire(lock):
                self._locks.setdefault(lock, threading.Lock()).acquire()
            case Release(lock):
                self._locks[lock].release()
        return None

    def _attempt(self, request: Request) -> Any:
        try:
            return self._perform(request)
        except RpcFailure as error:
            return error


class AsyncDriver:
    """Performs steps on asyncio; operations run at the same time wait for each other only where they take locks."""

    def __init__(self, web3: AsyncWeb3[Any]) -> None:
        self.web3 = web3
        self.where = describe(web3.provider)
        self._locks: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, defaultdict[str, asyncio.Lock]]
        self._locks = weakref.WeakKeyDictionary()  # a lock belongs to one event loop

    async def run(self, steps: Steps[R]) -> R:
        """Run an operation to its end. Raises MarketError; when cancelled, the operation gives its locks back first."""
        answer: Any = None
        problem: BaseException | None = None
        while True:
            try:
                step = steps.send(answer) if problem is None else steps.throw(problem)
            except StopIteration as end:
                result: R = end.value
                return result
            answer, problem = None, None
            try:
                if isinstance(step, Release):
                    self._lock(step.lock).release()
                else:
                    answer = await self._perform(step)
            except BaseException as error:
                problem = _failure(self.where, error)
                problem.__cause__ = None if problem is error else error

    async def _perform(self, step: Step) -> Any:
        provider: Any = self.web3.provider
        match step:
            case Request(method, params):
                return _result(self.where, method, await provider.make_request(RPCEndpoint(method), list(params)))
            case Batch(requests):
                if len(requests) < 2 or not hasattr(provider, "make_batch_request"):
                    return [await self._attempt(request) for request in requests]
                calls = [(RPCEndpoint(each.method), list(each.params)) for each in requests]
                return _results(self.where, requests, await provider.make_batch_request(calls))
            case Pause(seconds):
                await asyncio.sleep(seconds)
            case Acquire(lock):
                await self._lock(lock).acquire()
        return None

    async def _attempt(self, request: Request) -> Any:
        try:
            return await self._perform(request)
        except RpcFailure as error:
            return error

    def _lock(self, name: str) -> asyncio.Lock:
        loop = asyncio.get_running_loop()
        return self._locks.setdefault(loop, defaultdict(asyncio.Lock))[name]
