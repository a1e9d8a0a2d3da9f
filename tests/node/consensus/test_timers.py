"""Timers on a virtual clock."""

from __future__ import annotations

import trio

from dmchain.node.consensus.timers import Timers


async def test_timers_ring_at_their_times_in_the_order_of_setting(autojump_clock: trio.testing.MockClock) -> None:
    rung: list[tuple[float, str]] = []
    timers: Timers[str] = Timers()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(timers.run, lambda what: rung.append((trio.current_time(), what)))
        timers.set(5, "c")
        timers.set(2, "a")
        timers.set(2, "b")
        await trio.sleep(3)
        timers.set(1, "earlier than c")
        await trio.sleep(10)
        timers.set(1, "forgotten")
        timers.clear()
        await trio.sleep(10)
        assert len(timers) == 0
        nursery.cancel_scope.cancel()
    assert rung == [(2, "a"), (2, "b"), (4, "earlier than c"), (5, "c")]
