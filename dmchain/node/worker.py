"""Where work that takes long or waits for a disk is done: in a thread, or on the spot under a virtual clock.

Threads do not know a mock clock: it would jump while they work, and their end would come at another time in each run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, ParamSpec, Protocol, TypeVar

import trio

P = ParamSpec("P")
T = TypeVar("T")


class Worker(Protocol):
    """Does one piece of work at a time, in the order of asking."""

    async def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `work` returns. Work that has begun is finished, also when the caller is cancelled."""
        ...


class ThreadWorker:
    """Works in a thread of its own."""

    def __init__(self) -> None:
        self._limiter = trio.CapacityLimiter(1)

    async def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await trio.to_thread.run_sync(lambda: work(*args, **kwargs), limiter=self._limiter)


class PatientWorker:
    """Works on the event loop as long as that is quick, in a thread when it is not: for the journal's disk.

    A disk that syncs in a fraction of a millisecond takes less time than handing the work to a thread, and back, on a
    machine with few cores. One slow write keeps the next TRIES away from the loop.
    """

    LIMIT_SECONDS: Final = 0.002
    TRIES: Final = 200

    def __init__(self, stopwatch: Callable[[], float] = time.perf_counter) -> None:
        self._stopwatch = stopwatch
        self._limiter = trio.CapacityLimiter(1)
        self._tries_left = 0
        """Pieces of work that still go to the thread."""

    async def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        if self._tries_left or self._limiter.borrowed_tokens:
            return await trio.to_thread.run_sync(self._measure, work, args, kwargs, limiter=self._limiter)
        return self._measure(work, args, kwargs)

    def _measure(self, work: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
        began = self._stopwatch()
        try:
            return work(*args, **kwargs)
        finally:
            is_slow = self._stopwatch() - began > self.LIMIT_SECONDS
            self._tries_left = self.TRIES if is_slow else max(self._tries_left - 1, 0)


class InlineWorker:
    """Works on the event loop, and lets the clock pass first: for simulations."""

    def __init__(self, seconds: Callable[[], float] = lambda: 0.0) -> None:
        """`seconds` is asked how long each piece of work takes."""
        self._seconds = seconds
        self._turn = trio.Lock()

    async def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        async with self._turn:
            await trio.sleep(self._seconds())
            return work(*args, **kwargs)
