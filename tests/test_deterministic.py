"""Whether tests/deterministic.py still does what it says, with the trio that is installed."""

from __future__ import annotations

import trio

from tests.deterministic import run_simulation

TASKS = 20


async def order_of_events() -> list[int]:
    """In which order tasks get their turns, when nothing but the scheduler decides."""
    order: list[int] = []

    async def work(number: int) -> None:
        for _ in range(3):
            await trio.sleep(1)
            order.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(TASKS):
            nursery.start_soon(work, number)
    return order


def test_the_same_seed_gives_the_same_order() -> None:
    first = run_simulation(order_of_events, seed=1)
    assert len(first) == 3 * TASKS
    assert all(run_simulation(order_of_events, seed=1) == first for _ in range(5))


def test_another_seed_gives_another_order() -> None:
    assert run_simulation(order_of_events, seed=1) != run_simulation(order_of_events, seed=2)


def test_time_is_virtual() -> None:
    async def sleep_long() -> float:
        start = trio.current_time()
        await trio.sleep(86_400)
        return trio.current_time() - start

    assert run_simulation(sleep_long, seed=1) == 86_400
