"""Workers: one piece of work at a time, in order, wherever it is done."""

from __future__ import annotations

import threading

import pytest
import trio

from dmchain.node.worker import InlineWorker, ThreadWorker, Worker


@pytest.mark.parametrize("make", [ThreadWorker, InlineWorker])
async def test_work_is_done_one_piece_after_the_other(make: type[ThreadWorker] | type[InlineWorker]) -> None:
    worker: Worker = make()
    done: list[int] = []
    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(lambda n=number: worker.run(done.append, n))
    assert sorted(done) == list(range(20))
    assert await worker.run(max, 1, 2) == 2
    with pytest.raises(ZeroDivisionError):
        await worker.run(lambda: 1 / 0)


async def test_threads_leave_the_event_loop_and_inline_work_does_not() -> None:
    here = threading.get_ident()
    assert await ThreadWorker().run(threading.get_ident) != here
    assert await InlineWorker().run(threading.get_ident) == here


async def test_inline_work_takes_the_time_it_is_said_to_take(autojump_clock: trio.testing.MockClock) -> None:
    worker = InlineWorker(lambda: 2.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker.run, int)
        nursery.start_soon(worker.run, int)
    assert trio.current_time() == 4.0
