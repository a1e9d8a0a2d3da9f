"""The key-value store that everything durable goes through, and its in-memory twin for tests and simulation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from sortedcontainers import SortedDict

Write = tuple[bytes, bytes | None]
"""A key with its new value; None deletes."""


class Reader(Protocol):
    """A consistent view of the store."""

    def get(self, key: bytes) -> bytes | None: ...

    def iterate(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Entries with start <= key < stop in key order, or the same backwards."""
        ...


class Snapshot(Reader, Protocol):
    """A view that later writes do not change; may be read from any thread."""

    def close(self) -> None: ...


class KeyValue(Reader, Protocol):
    """An ordered store with atomic batches."""

    def write(self, batch: Sequence[Write], *, sync: bool) -> None:
        """Apply all of `batch` or nothing. With `sync` it is on disk when this returns."""
        ...

    def snapshot(self) -> Snapshot: ...

    def close(self) -> None: ...


def prefix_end(prefix: bytes) -> bytes:
    """The first key after all keys that begin with `prefix` (which must not be all 0xff)."""
    number = int.from_bytes(prefix, "big") + 1
    return number.to_bytes(len(prefix), "big")


class MemoryKV:
    """Ordered dictionary with the interface of the store. Snapshots are copies."""

    def __init__(self, entries: SortedDict | None = None) -> None:
        self._entries: SortedDict = SortedDict() if entries is None else entries

    def get(self, key: bytes) -> bytes | None:
        value: bytes | None = self._entries.get(key)
        return value

    def iterate(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        for key in list(self._entries.irange(start, stop, inclusive=(True, False), reverse=reverse)):
            yield key, self._entries[key]

    def write(self, batch: Sequence[Write], *, sync: bool) -> None:
        for key, value in batch:
            if value is None:
                self._entries.pop(key, None)
            else:
                self._entries[key] = value

    def snapshot(self) -> MemoryKV:
        return MemoryKV(self._entries.copy())

    def close(self) -> None:
        pass
