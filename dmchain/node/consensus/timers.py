"""The timers of a height: as many tasks as there are heights under way, which is one."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Generic, TypeVar

import trio

T = TypeVar("T")


class Timers(Generic[T]):
    """Things to be told of at their times, those of one time in the order of setting; `clear` forgets all of them."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, T]] = []
        self._number = 0
        self._bell = trio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def set(self, wait_seconds: float, what: T) -> None:
        self._number += 1
        heapq.heappush(self._waiting, (trio.current_time() + wait_seconds, self._number, what))
        self._bell.set()

    def clear(self) -> None:
        self._waiting.clear()
        self._bell.set()

    async def run(self, ring: Callable[[T], None]) -> None:
        """Ring until cancelled."""
        while True:
            while self._waiting and self._waiting[0][0] <= trio.current_time():
                ring(heapq.heappop(self._waiting)[2])
            self._bell = trio.Event()
            with trio.move_on_at(self._waiting[0][0] if self._waiting else float("inf")):
                await self._bell.wait()
