"""Drivers: operations run to their end, and give their locks back however that is."""

from __future__ import annotations

import asyncio
import inspect
import threading
from typing import Any

import pytest

from dmchain.market.drivers import AsyncDriver, SyncDriver
from dmchain.market.errors import ConnectionFailed, MarketError, RpcFailure
from dmchain.market.steps import Acquire, Async, Batch, Driver, Group, Pause, Release, Request, Steps, Sync, operation


class Node:
    """A provider in memory: answers, refuses or breaks by the method's name."""

    endpoint_uri = "memory"

    def __init__(self) -> None:
        self.methods: list[str] = []

    def answer(self, method: str) -> Any:
        self.methods.append(method)
        if method == "broken":
            raise ConnectionError("gone")
        if method == "refused":
            return {"jsonrpc": "2.0", "id": 1, "error": {"code": 3, "message": "execution reverted", "data": "0x1234"}}
        if method == "nonsense":
            return ["?"]
        return {"jsonrpc": "2.0", "id": 1, "result": method.upper()}

    def make_request(self, method: str, params: list[Any]) -> Any:
        return self.answer(method)

    def make_batch_request(self, calls: list[tuple[str, Any]]) -> Any:
        return [self.answer(method) for method, _ in calls]


class AsyncNode(Node):
    async def make_request(self, method: str, params: list[Any]) -> Any:
        await asyncio.sleep(0)
        return self.answer(method)

    async def make_batch_request(self, calls: list[tuple[str, Any]]) -> Any:
        return [self.answer(method) for method, _ in calls]


class FakeWeb3:
    def __init__(self, provider: Any) -> None:
        self.provider = provider


def run_both(steps: Any) -> list[Any]:
    """What an operation gives blocking and on asyncio: a result, or the exception."""
    outcomes: list[Any] = []
    for attempt in (
        lambda: SyncDriver(FakeWeb3(Node())).run(steps()),  # type: ignore[arg-type]
        lambda: asyncio.run(AsyncDriver(FakeWeb3(AsyncNode())).run(steps())),  # type: ignore[arg-type]
    ):
        try:
            outcomes.append(attempt())
        except MarketError as error:
            outcomes.append(error)
    return outcomes


def test_an_operation_gives_the_same_both_ways() -> None:
    def steps() -> Steps[str]:
        first = yield Request("one")
        second = yield Batch((Request("two"), Request("three")))
        yield Pause(0)
        return first + "".join(second)

    assert run_both(steps) == ["ONETWOTHREE"] * 2


def test_a_refusal_is_raised_where_the_operation_asked() -> None:
    def steps() -> Steps[Any]:
        try:
            yield Request("refused")
        except RpcFailure as error:
            return error.data

    assert run_both(steps) == [b"\x12\x34"] * 2


def test_a_refusal_in_a_batch_leaves_the_other_answers() -> None:
    def steps() -> Steps[Any]:
        found = yield Batch((Request("one"), Request("refused"), Request("two")))
        return [type(each).__name__ for each in found]

    assert run_both(steps) == [["str", "RpcFailure", "str"]] * 2


@pytest.mark.parametrize(("method", "reason"), [("broken", "memory: gone"), ("nonsense", "is not JSON-RPC")])
def test_a_node_that_is_none_is_told_in_one_line(method: str, reason: str) -> None:
    def steps() -> Steps[Any]:
        return (yield Request(method))

    for outcome in run_both(steps):
        assert isinstance(outcome, ConnectionFailed) and reason in str(outcome) and outcome.hint


def locked(body: Any) -> Steps[Any]:
    yield Acquire("lock")
    try:
        return (yield from body())
    finally:
        yield Release("lock")


def test_a_lock_is_given_back_after_a_failure() -> None:
    def fails() -> Steps[Any]:
        return (yield Request("broken"))

    def works() -> Steps[Any]:
        return (yield Request("one"))

    driver = SyncDriver(FakeWeb3(Node()))  # type: ignore[arg-type]
    with pytest.raises(ConnectionFailed):
        driver.run(locked(fails))
    assert driver.run(locked(works)) == "ONE"

    async def race() -> None:
        driver = AsyncDriver(FakeWeb3(AsyncNode()))  # type: ignore[arg-type]
        with pytest.raises(ConnectionFailed):
            await driver.run(locked(fails))
        assert await driver.run(locked(works)) == "ONE"

    asyncio.run(race())


def test_a_lock_is_given_back_when_an_operation_is_cancelled() -> None:
    def waits() -> Steps[Any]:
        yield Pause(3600)

    def works() -> Steps[Any]:
        return (yield Request("one"))

    async def scenario() -> None:
        driver = AsyncDriver(FakeWeb3(AsyncNode()))  # type: ignore[arg-type]
        task = asyncio.create_task(driver.run(locked(waits)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.wait_for(driver.run(locked(works)), 5) == "ONE"

    asyncio.run(scenario())


def test_threads_wait_for_the_lock_one_after_the_other() -> None:
    driver = SyncDriver(FakeWeb3(Node()))  # type: ignore[arg-type]
    inside, most = 0, 0

    def counts() -> Steps[None]:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        yield Pause(0.001)
        inside -= 1

    threads = [threading.Thread(target=lambda: driver.run(locked(counts))) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert (inside, most) == (0, 1)


class Greeter(Group[Any]):
    @operation
    def greet(self, name: str, *, loudly: bool = False) -> Steps[str]:
        """Greet somebody."""
        answer: str = yield Request(name)
        return answer + "!" * loudly


class SyncGreeter(Group[Sync]):
    greet = Greeter.greet


class AsyncGreeter(Group[Async]):
    greet = Greeter.greet


def context() -> Any:
    return None


def test_an_operation_is_a_method_with_its_own_name_and_documentation() -> None:
    driver: Driver = SyncDriver(FakeWeb3(Node()))  # type: ignore[arg-type]
    greeter = SyncGreeter(context(), driver)
    assert greeter.greet("you", loudly=True) == "YOU!"
    assert greeter.greet.__name__ == "greet" and greeter.greet.__doc__ == "Greet somebody."
    assert str(inspect.signature(greeter.greet)) == "(name: 'str', *, loudly: 'bool' = False) -> 'str'"
    awaited = AsyncGreeter(context(), AsyncDriver(FakeWeb3(AsyncNode())))  # type: ignore[arg-type]
    assert asyncio.run(awaited.greet("you")) == "YOU"
