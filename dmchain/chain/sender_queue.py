"""The pooled transactions of one sender: the executable run, and those that wait.

A nonce chain can only be executed in order, so the run is what starts at the account's nonce without a gap, as far as
the balance covers the sum of the greatest costs. All other transactions wait: behind a gap, or for funds.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import Any

from dmchain.chain.primitives.transaction import Transaction
from dmchain.chain.primitives.types import Address


class Entry:
    """One pooled transaction.

    `cost` is the greatest it can take from the balance (wei), `arrival` its number among all that ever came.
    `tip_floor` and `cap_floor`, in the run: the least tip and fee cap (wei per gas) from the head to here, which is
    what a block producer can hope for from this transaction, as it must take the ones before it.
    """

    __slots__ = ("arrival", "authorities", "cap_floor", "cost", "nonce", "queue", "stamp", "tip_floor", "tx")

    def __init__(self, tx: Transaction, queue: SenderQueue, arrival: int) -> None:
        self.tx = tx
        self.queue = queue
        self.nonce = tx.nonce
        self.arrival = arrival
        self.cost = tx.gas * tx.max_fee_per_gas + tx.value
        self.tip_floor = self.cap_floor = -1  # not known yet; differs from all that are
        self.authorities: tuple[Address, ...] = ()
        self.stamp = 0


class SenderQueue:
    """INVARIANT: the run is [nonce, end), `spent` is the sum of its costs and at most `balance`; `waiting` holds the
    other nonces in ascending order, none below `nonce`; what waits at `end`, if anything, costs more than is left.

    Attributes for the pool's rankings: `stamp`, `ranking` (where the tail is ranked), `ranked_floors`, `ranked_head`.
    """

    __slots__ = (
        "address", "balance", "end", "entries", "nonce", "order", "ranked_floors", "ranked_head", "ranking", "spent",
        "stamp", "waiting",
    )  # fmt: skip

    def __init__(self, address: Address, order: int, nonce: int, balance: int) -> None:
        self.address = address
        self.order = order
        self.nonce = self.end = nonce
        self.balance = balance
        self.spent = 0
        self.entries: dict[int, Entry] = {}
        self.waiting: list[int] = []
        self.stamp = 0
        self.ranking: Any = None
        self.ranked_floors = (0, 0)
        self.ranked_head: Entry | None = None

    @property
    def run_length(self) -> int:
        return self.end - self.nonce

    @property
    def head(self) -> Entry | None:
        return self.entries[self.nonce] if self.end > self.nonce else None

    @property
    def tail(self) -> Entry | None:
        return self.entries[self.end - 1] if self.end > self.nonce else None

    def floors(self, nonce: int, tx: Transaction) -> tuple[int, int]:
        """Tip and cap floor (wei per gas) that `tx` has, or would have, at `nonce` of the run or right after it."""
        if nonce == self.nonce:
            return tx.max_priority_fee_per_gas, tx.max_fee_per_gas
        before = self.entries[nonce - 1]
        return min(before.tip_floor, tx.max_priority_fee_per_gas), min(before.cap_floor, tx.max_fee_per_gas)

    def append(self, entry: Entry) -> None:
        """Put an entry, new or taken out of `waiting`, at the end of the run."""
        entry.tip_floor, entry.cap_floor = self.floors(entry.nonce, entry.tx)
        self.entries[entry.nonce] = entry
        self.spent += entry.cost
        self.end += 1

    def pop_tail(self) -> Entry:
        """Take the last entry of the run out of the queue."""
        self.end -= 1
        entry = self.entries.pop(self.end)
        self.spent -= entry.cost
        return entry

    def wait(self, entry: Entry) -> None:
        self.entries[entry.nonce] = entry
        insort(self.waiting, entry.nonce)

    def stop_waiting(self, entry: Entry) -> None:
        """Take a waiting entry out of the queue."""
        del self.entries[entry.nonce]
        del self.waiting[bisect_left(self.waiting, entry.nonce)]

    def replace(self, old: Entry, new: Entry) -> None:
        self.entries[old.nonce] = new
        if old.nonce < self.end:
            self.spent += new.cost - old.cost
            self._refloor(new.nonce)

    def promote(self) -> list[Entry]:
        """Move what waits right behind the run, and is covered by the balance, into it; return it in nonce order."""
        promoted = []
        while (entry := self.entries.get(self.end)) is not None and self.spent + entry.cost <= self.balance:
            self.append(entry)
            promoted.append(entry)
        del self.waiting[: len(promoted)]
        return promoted

    def settle(self, nonce: int) -> tuple[list[Entry], list[Entry]]:
        """The account has come to `nonce`: take out all entries below it; return those of the run and the others."""
        run = [self.entries.pop(at) for at in range(self.nonce, min(nonce, self.end))]
        stale = bisect_left(self.waiting, nonce)
        waited = [self.entries.pop(at) for at in self.waiting[:stale]]
        del self.waiting[:stale]
        self.spent -= sum([entry.cost for entry in run])
        self.nonce = nonce
        self.end = max(self.end, nonce)
        self._refloor(nonce)
        return run, waited

    def _refloor(self, nonce: int) -> None:
        """Compute the floors again from `nonce` of the run on.

        Stops where nothing changes: a floor depends on what is before it only through its neighbour's.
        """
        for at in range(nonce, self.end):
            entry = self.entries[at]
            floors = self.floors(at, entry.tx)
            if floors == (entry.tip_floor, entry.cap_floor):
                return
            entry.tip_floor, entry.cap_floor = floors
