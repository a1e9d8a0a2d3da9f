"""LevelDB through plyvel: the only module that imports it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import plyvel

from dmchain.chain.primitives.errors import StorageError
from dmchain.chain.store.kv import Write

WRITE_BUFFER_BYTES = 32 * 1024 * 1024
"""LevelDB's default of 4 MiB makes it compact every few full blocks."""
BLOOM_FILTER_BITS = 10
"""Per key: about 1 % false reads for accounts that do not exist."""


class LevelSnapshot:
    """A frozen view of the database."""

    def __init__(self, snapshot: Any) -> None:
        self._snapshot = snapshot
        self.get = snapshot.get

    def iterate(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        return iter(self._snapshot.iterator(start=start, stop=stop, reverse=reverse))

    def close(self) -> None:
        self._snapshot.close()


class LevelKV:
    """One LevelDB directory, opened by one process at a time (LevelDB locks it)."""

    def __init__(self, path: Path, *, create: bool = True) -> None:
        """Open `path`, making it when `create`; raises StorageError with a hint when that fails."""
        try:
            self._db = plyvel.DB(
                str(path),
                create_if_missing=create,
                paranoid_checks=True,
                write_buffer_size=WRITE_BUFFER_BYTES,
                bloom_filter_bits=BLOOM_FILTER_BITS,
                max_open_files=500,
            )
        except (plyvel.Error, OSError) as error:
            raise StorageError(f"database {path}: {error}", hint=_open_hint(str(error))) from error
        self.get = self._db.get

    def iterate(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        return iter(self._db.iterator(start=start, stop=stop, reverse=reverse))

    def write(self, batch: Sequence[Write], *, sync: bool) -> None:
        try:
            with self._db.write_batch(sync=sync) as writes:
                for key, value in batch:
                    if value is None:
                        writes.delete(key)
                    else:
                        writes.put(key, value)
        except (plyvel.Error, OSError) as error:
            raise StorageError(f"database write: {error}", hint="is the disk full?") from error

    def snapshot(self) -> LevelSnapshot:
        return LevelSnapshot(self._db.snapshot())

    def compact(self) -> None:
        """Rewrite the files without what was deleted. Takes long on a large database."""
        self._db.compact_range()

    def statistics(self) -> str:
        text: bytes = self._db.get_property(b"leveldb.stats") or b""
        return text.decode()

    def approximate_size(self, start: bytes, stop: bytes) -> int:
        """Bytes on disk between two keys, as LevelDB estimates them."""
        return int(self._db.approximate_size(start, stop))

    def close(self) -> None:
        self._db.close()


def _open_hint(message: str) -> str | None:
    lowered = message.lower()
    if "lock" in lowered:
        return "another process has this database open; stop it first"
    if "corrupt" in lowered or "checksum" in lowered:
        return "the files are damaged: restore a backup, or set this directory aside and import an export"
    if "does not exist" in lowered:
        return "no database there; check --home, or run `dmchain init` first"
    return None
