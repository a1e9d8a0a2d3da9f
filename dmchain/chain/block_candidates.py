"""The pool's executable transactions in the order in which a block should take them."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush

from dmchain.chain.primitives.transaction import GAS_TRANSACTION, Transaction
from dmchain.chain.sender_queue import Entry

MAX_PASSED_OVER = 256
"""Transactions too big for what is left of a block that `best` passes over before it ends: a block that is nearly full
must not cost a walk through the whole pool."""


class BestTransactions(Iterator[Transaction]):
    """Executable transactions for a block: highest effective tip first, then first come; nonces of a sender in order.

    After each one the builder may call `skip_sender` (it could not be executed) or `use_gas` (it was). Transactions
    whose gas limit is above what is left are passed over, with what follows them from the same sender.
    """

    __slots__ = ("_base_fee", "_heads", "_last", "_next_head", "_passed_over", "_successors", "gas_left")

    def __init__(self, heads: Iterator[tuple[int, int, Entry]], base_fee: int, gas_limit: int) -> None:
        self._heads = heads
        self._next_head = next(heads, None)
        self._base_fee = base_fee
        self._successors: list[tuple[int, int, Entry]] = []
        self._last: Entry | None = None
        self._passed_over = 0
        self.gas_left = gas_limit

    def use_gas(self, gas_used: int) -> None:
        """Tell what the last transaction took of the block."""
        self.gas_left -= gas_used

    def skip_sender(self) -> None:
        """Leave out what else the sender of the last transaction has."""
        self._last = None

    def __next__(self) -> Transaction:
        if self._last is not None:
            self._offer_successor(self._last)
            self._last = None
        while self.gas_left >= GAS_TRANSACTION and self._passed_over <= MAX_PASSED_OVER:
            entry = self._pop()
            if entry is None:
                break
            tx: Transaction | None = entry.tx
            if tx is None:  # dropped while we iterate
                continue
            if tx.gas > self.gas_left:
                self._passed_over += 1
                continue
            self._last = entry
            return tx
        raise StopIteration

    def _offer_successor(self, entry: Entry) -> None:
        queue, nonce = entry.queue, entry.nonce + 1
        successor = queue.entries.get(nonce)
        if successor is None or nonce >= queue.end:
            return
        tip = successor.tx.effective_gas_price(self._base_fee) - self._base_fee
        heappush(self._successors, (-tip, successor.arrival, successor))

    def _pop(self) -> Entry | None:
        """The next by tip and arrival, or None when what is left pays less than the base fee."""
        head, successors = self._next_head, self._successors
        if head is not None and (not successors or (-head[0], head[1]) < successors[0][:2]):
            self._next_head = next(self._heads, None)
            return head[2] if head[0] >= 0 else None
        if not successors or successors[0][0] > 0:
            return None
        return heappop(successors)[2]
