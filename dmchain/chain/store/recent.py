"""Decoded blocks that were made or asked for of late, shared by all views of a chain.

A stored block is one value, so one receipt costs the decoding of the whole block: 20 ms for a thousand transactions,
and clients ask for the receipts of a new block one by one. An entry is used only if the header that the view holds at
its height is, byte for byte, the one it was made with; so blocks that were taken back cannot be seen.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from dmchain.chain.primitives.block import Block, Receipt

DEFAULT_MAX_BYTES = 64 * 2**20
TRANSACTION_BYTES = 2_000
"""What a decoded transaction, its receipt and a log or two take in memory besides their variable parts."""


@dataclass(frozen=True, slots=True)
class RecentBlock:
    """One decoded block. `size_bytes` is an estimate of its memory."""

    raw_header: bytes
    block: Block
    receipts: tuple[Receipt, ...]
    size_bytes: int


class RecentBlocks:
    """Bounded by an estimate of its memory; the block used longest ago goes first. May be used from any thread."""

    def __init__(self, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._size_bytes = 0
        self._entries: OrderedDict[int, RecentBlock] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, height: int, raw_header: bytes) -> RecentBlock | None:
        """The block at `height`, if it is the one with this header."""
        with self._lock:
            found = self._entries.get(height)
            if found is None or found.raw_header != raw_header:
                return None
            self._entries.move_to_end(height)
            return found

    def add(self, raw_header: bytes, block: Block, receipts: Sequence[Receipt]) -> RecentBlock:
        entry = RecentBlock(raw_header, block, tuple(receipts), _estimate_bytes(block, receipts))
        height = block.header.number
        with self._lock:
            self._drop(height)
            self._entries[height] = entry
            self._size_bytes += entry.size_bytes
            while self._size_bytes > self._max_bytes:
                self._drop(next(iter(self._entries)))
        return entry

    def _drop(self, height: int) -> None:
        dropped = self._entries.pop(height, None)
        if dropped is not None:
            self._size_bytes -= dropped.size_bytes


def _estimate_bytes(block: Block, receipts: Sequence[Receipt]) -> int:
    size = TRANSACTION_BYTES * (1 + len(block.transactions))
    size += sum([len(tx.raw) + len(tx.data) for tx in block.transactions])
    return size + sum([len(log.data) + 300 for receipt in receipts for log in receipt.logs])
