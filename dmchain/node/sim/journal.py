"""Sign journals in memory: one that just remembers, and what a crash in the middle of an append leaves of it.

A crash goes through the real bytes: records are encoded, the last append is torn as a disk tears it, and what the real
scanner and decoder make of that is what the validator wakes up with.
"""

from __future__ import annotations

import random

from dmchain.chain.consensus.messages import SignRecord
from dmchain.chain.consensus.signrecord import encode_append, encode_owner, replay
from dmchain.chain.primitives.types import ZERO_ADDRESS, Hash32
from dmchain.chain.store.wal import SECTOR_BYTES, encode_frame, scan
from dmchain.node.sim.violation import Violation


class MemJournal:
    """The last record of a validator; durable at once. `appends` counts barriers."""

    def __init__(self) -> None:
        self.record: SignRecord | None = None
        self.appends = 0

    def append(self, record: SignRecord) -> None:
        self.record = record
        self.appends += 1

    def lose(self) -> None:
        """The disk is gone."""
        self.record = None


class FaultyJournal(MemJournal):
    """A journal whose machine dies during an append."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self._rng = rng

    def crash_during(self, record: SignRecord) -> None:
        """Append `record` on a machine that dies while doing so: afterwards it is there whole, or not at all."""
        before = self.record
        log, frames = encode_frame(0, encode_owner(ZERO_ADDRESS)), 1
        bodies: list[Hash32] = []
        if before is not None:
            log += encode_frame(frames, encode_append(before, ()))
            frames += 1
            bodies = [block.hash for block in before.blocks]
        frame = encode_frame(frames, encode_append(record, bodies))
        torn = self._tear(log + frame, len(frame))
        found = replay(scan(torn).payloads).record
        if found not in (before, record):
            raise Violation(9, f"the journal came back neither as before nor as it was being written: {found}")
        self.record = found

    def _tear(self, log: bytes, last: int) -> bytes:
        start = len(log) - last
        how = self._rng.randrange(4)
        if how == 0:
            return log
        if how == 1:
            return log[: start + self._rng.randrange(last)]
        # some sectors of the last frame were never written, others were
        torn = bytearray(log)
        first = start // SECTOR_BYTES
        sectors = range(first, (len(log) - 1) // SECTOR_BYTES + 1)
        lost = [sector for sector in sectors if self._rng.random() < 0.5] or [sectors[-1]]
        for sector in lost:
            begin, end = max(start, sector * SECTOR_BYTES), min(len(log), (sector + 1) * SECTOR_BYTES)
            torn[begin:end] = bytes(end - begin)
        return bytes(torn)
