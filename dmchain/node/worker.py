"""Where work that takes long or waits for a disk is done: in a thread, or on the spot under a virtual clock.

Threads do not know a mock clock: it would jump while they work, and their end would come at another time in each run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

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
