"""A priority queue ordered by effective tip, whose order survives a change of the base fee.

The tip a block producer earns at base fee b is min(tip, cap - b) (EIP-1559). Ordered by that number, transactions
change places whenever b moves, and sorting a pool of 10^5 again for every block is too slow. But only two static orders
are involved: while b <= cap - tip an item earns its tip, whatever b is; above that it earns cap - b, and among such
items the order is that of their caps. So each item lives in one of two heaps, and moves to the other one only when b
crosses its threshold cap - tip. Two more heaps, by threshold, find the items to move. Every operation costs O(log n),
amortised.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from typing import Any, Generic, Protocol, TypeVar


class Ranked(Protocol):
    """What can be ranked: it lends us one attribute, and may be in one ranking at a time."""

    stamp: int
    """Number of the live heap record; 0 when the item is in no ranking."""


Item = TypeVar("Item", bound=Ranked)

Record = tuple[int, int, int, Any, int, int]
"""(key, tie, stamp, item, tip, cap). Stamps differ, so a comparison never reaches the item."""

_SLACK = 1024
"""Dead records tolerated beside twice the live ones; a rebuild then costs O(1) per operation that led to it."""


class FeeRanking(Generic[Item]):
    """Items by effective tip: the highest first, or the lowest first when `lowest` is set; equal tips by lower `tie`.

    INVARIANT: a live item has two records, in `_by_tip` and `_rising` (lowest threshold first) if
    base_fee <= cap - tip, else in `_by_cap` and `_falling` (highest threshold first). A record is live iff its stamp
    is its item's.
    """

    __slots__ = ("_base_fee", "_by_cap", "_by_tip", "_dead", "_falling", "_live", "_rising", "_sign", "_stamps")

    def __init__(self, base_fee: int, stamps: Iterator[int], *, lowest: bool) -> None:
        """`stamps` counts up from 1 or more; rankings between which items wander must share it."""
        self._sign = 1 if lowest else -1
        self._stamps = stamps
        self._base_fee = base_fee
        self._by_tip: list[Record] = []
        self._by_cap: list[Record] = []
        self._rising: list[Record] = []
        self._falling: list[Record] = []
        self._live = 0
        self._dead = 0

    def __len__(self) -> int:
        return self._live

    def push(self, item: Item, tip: int, cap: int, tie: int) -> None:
        """Rank an item that is in no ranking; `tip` <= `cap`, both in wei per gas."""
        self._live += 1
        self._place(item, tip, cap, tie)

    def _place(self, item: Item, tip: int, cap: int, tie: int) -> None:
        stamp = item.stamp = next(self._stamps)
        threshold = cap - tip
        if self._base_fee <= threshold:
            heappush(self._by_tip, (self._sign * tip, tie, stamp, item, tip, cap))
            heappush(self._rising, (threshold, tie, stamp, item, tip, cap))
        else:
            heappush(self._by_cap, (self._sign * cap, tie, stamp, item, tip, cap))
            heappush(self._falling, (-threshold, tie, stamp, item, tip, cap))

    def discard(self, item: Item) -> None:
        """Take an item out; nothing happens when it is in no ranking. It must not be in another one."""
        if item.stamp:
            item.stamp = 0
            self._live -= 1
            self._bury()

    def _bury(self, dead: int = 1) -> None:
        """Count dead records, and rebuild the heaps when they have become the most of them."""
        self._dead += dead
        if self._dead <= 2 * self._live + _SLACK:
            return
        self._dead = 0
        for heap in (self._by_tip, self._by_cap, self._rising, self._falling):
            heap[:] = [record for record in heap if record[3].stamp == record[2]]
            heapify(heap)

    def rebase(self, base_fee: int) -> None:
        """Reorder for another base fee: only items whose threshold lies between the two fees are touched."""
        rising, falling = self._rising, self._falling
        self._base_fee = base_fee
        moved = 0
        while rising and rising[0][0] < base_fee:
            moved += self._move(heappop(rising))
        while falling and -falling[0][0] >= base_fee:
            moved += self._move(heappop(falling))
        self._bury(moved)

    def _move(self, record: Record) -> int:
        _, tie, stamp, item, tip, cap = record
        if item.stamp != stamp:
            return 0
        self._place(item, tip, cap, tie)
        return 1

    def top(self) -> tuple[int, Item] | None:
        """The effective tip (negative when the cap is below the base fee) and item that come first, or None."""
        _drop_dead(self._by_tip)
        _drop_dead(self._by_cap)
        record, score = self._first(self._by_tip, self._by_cap)
        return None if record is None else (score, record[3])

    def _first(self, by_tip: list[Record], by_cap: list[Record]) -> tuple[Record | None, int]:
        if not by_cap:
            return (by_tip[0], by_tip[0][4]) if by_tip else (None, 0)
        capped = by_cap[0][5] - self._base_fee
        if not by_tip:
            return by_cap[0], capped
        tip = by_tip[0][4]
        if (self._sign * tip, by_tip[0][1]) < (self._sign * capped, by_cap[0][1]):
            return by_tip[0], tip
        return by_cap[0], capped

    def ordered(self) -> Iterator[tuple[int, int, Item]]:
        """All items, first to last, as (effective tip, tie, item), found one at a time.

        Works on a copy of the heaps (a memory copy, quick): the ranking may change under a running iterator, which then
        leaves out what was taken away or re-ranked before it got there.
        """
        return self._walk(self._by_tip.copy(), self._by_cap.copy(), self._base_fee)

    def _walk(self, by_tip: list[Record], by_cap: list[Record], base_fee: int) -> Iterator[tuple[int, int, Item]]:
        sign = self._sign
        while by_tip or by_cap:
            if not by_cap or (
                by_tip and (by_tip[0][0], by_tip[0][1]) < (sign * (by_cap[0][5] - base_fee), by_cap[0][1])
            ):
                _, tie, stamp, item, score, _ = heappop(by_tip)
            else:
                _, tie, stamp, item, _, cap = heappop(by_cap)
                score = cap - base_fee
            if item.stamp == stamp:
                yield score, tie, item


def _drop_dead(heap: list[Record]) -> None:
    while heap and heap[0][3].stamp != heap[0][2]:
        heappop(heap)
