"""Workers: one piece of work at a time, in order, wherever it is done."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
import trio

from dmchain.node.worker import InlineWorker, PatientWorker, ThreadWorker, Worker


@pytest.mark.parametrize("make", [ThreadWorker, InlineWorker, PatientWorker])
async def test_work_is_done_one_piece_after_the_other(make: Callable[[], Worker]) -> None:
    worker = make()
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


def stopwatch(*seconds: float) -> Iterator[float]:
    """Readings before and after pieces of work that take so long."""
    now = 0.0
    for each in seconds:
        yield now
        now += each
        yield now


async def test_a_slow_disk_is_waited_for_in_a_thread_until_it_has_been_quick_for_long() -> None:
    here = threading.get_ident()
    slow, quick = PatientWorker.LIMIT_SECONDS * 2, PatientWorker.LIMIT_SECONDS / 2
    readings = stopwatch(quick, slow, *[quick] * 10, slow, *[quick] * PatientWorker.TRIES, quick)
    worker = PatientWorker(lambda: next(readings))
    places = [await worker.run(threading.get_ident) == here for _ in range(14 + PatientWorker.TRIES)]
    assert places == [True, True] + [False] * (11 + PatientWorker.TRIES) + [True]


async def test_work_that_fails_counts_by_the_time_it_took() -> None:
    readings = stopwatch(1.0, 0.0)
    worker = PatientWorker(lambda: next(readings))
    with pytest.raises(ZeroDivisionError):
        await worker.run(lambda: 1 / 0)
    assert await worker.run(threading.get_ident) != threading.get_ident()
