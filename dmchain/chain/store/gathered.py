"""Several blocks in one synced write: for block sync, where the disk would be waited for longer than anything else.

What is gathered is written as one atomic batch. So a crash loses the blocks gathered, all of them, and nothing else:
peers have them. A write that is not synced could lose one of two blocks, or half the disk's pages of either.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import groupby
from typing import Any, Final

from dmchain.chain.store.kv import KeyValue, Reader, Snapshot, Write

MAX_ENTRIES: Final = 20_000
"""Gathered keys: each view of the chain copies them, which takes as long as a fsync when there are more."""
MAX_BYTES: Final = 16 * 1024 * 1024


class OverlaidSnapshot:
    """A view of the store with what was gathered over it; None hides a key."""

    def __init__(self, base: Snapshot, overlay: dict[bytes, bytes | None]) -> None:
        self._base = base
        self._overlay = overlay

    def get(self, key: bytes) -> bytes | None:
        if key in self._overlay:
            return self._overlay[key]
        return self._base.get(key)

    def iterate(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        return _iterate(self._base, self._overlay, start, stop, reverse=reverse)

    def close(self) -> None:
        self._base.close()


class GatheringKV:
    """A store over `base` that passes everything on, until told to gather.

    INVARIANT: while nothing is gathered, `get` is the base's own, and costs nothing more.
    """

    def __init__(self, base: KeyValue) -> None:
        self.base = base
        self.get = base.get
        self.batches = 0
        """Gathered since the last flush."""
        self._is_gathering = False
        self._overlay: dict[bytes, bytes | None] = {}
        self._bytes = 0

    def gather(self) -> None:
        """From now on hold writes back until `flush`. Reads see them at once."""
        self._is_gathering = True
        self.get = self._get

    @property
    def is_full(self) -> bool:
        return len(self._overlay) >= MAX_ENTRIES or self._bytes >= MAX_BYTES

    def flush(self, *, goes_on: bool = False) -> None:
        """Write what was gathered, in one batch that is on disk when this returns; then pass writes on again, unless
        this `goes_on`. Raises StorageError; then everything is still gathered."""
        if self._overlay:
            self.base.write(list(self._overlay.items()), sync=True)
        # new objects: snapshots may have the old one
        self._overlay, self._bytes, self.batches = {}, 0, 0
        if not goes_on:
            self._is_gathering = False
            self.get = self.base.get

    def _get(self, key: bytes) -> bytes | None:
        overlay = self._overlay
        return overlay[key] if key in overlay else self.base.get(key)

    def iterate(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        return _iterate(self.base, dict(self._overlay), start, stop, reverse=reverse)

    def write(self, batch: Sequence[Write], *, sync: bool) -> None:
        """With `sync` on disk when this returns, unless it is gathered."""
        if not self._is_gathering:
            self.base.write(batch, sync=sync)
            return
        self._overlay.update(batch)
        self._bytes += sum([len(key) + len(value or b"") for key, value in batch])
        self.batches += 1

    def snapshot(self) -> Snapshot:
        base = self.base.snapshot()
        return OverlaidSnapshot(base, dict(self._overlay)) if self._overlay else base

    def close(self) -> None:
        try:
            self.flush()
        finally:
            self.base.close()


def _iterate(
    base: Reader, overlay: dict[bytes, bytes | None], start: bytes, stop: bytes, *, reverse: bool
) -> Iterator[tuple[bytes, bytes]]:
    below = base.iterate(start, stop, reverse=reverse)
    above = sorted([key for key in overlay if start <= key < stop], reverse=reverse)
    if not above:
        return below
    return _merge(below, above, overlay, reverse=reverse)


def _merge(
    below: Iterator[tuple[bytes, bytes]], above: list[bytes], overlay: dict[bytes, bytes | None], *, reverse: bool
) -> Iterator[tuple[bytes, bytes]]:
    """One entry a key in order, the overlay's where there are two."""
    both: Any = merge(below, [(key, overlay[key]) for key in above], key=lambda entry: entry[0], reverse=reverse)
    for key, entries in groupby(both, key=lambda entry: entry[0]):
        value = next(iter(entries))[1]
        if key in overlay:
            value = overlay[key]
        if value is not None:
            yield key, value
