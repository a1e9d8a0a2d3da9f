"""The sign journal on disk: what a validator has signed, durable before it leaves.

One append-only file beside the consensus key, not in the data directory: whoever resets a node's data keeps what its key
has said. Its lock file keeps a second process off. Every append is one write and one fdatasync; when the file has grown
it is replaced, atomically, by one that holds only the last record. Formats: chain/store/wal.py (frames) and
chain/consensus/signrecord.py (contents).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol

from dmchain.chain.consensus.messages import SignRecord
from dmchain.chain.consensus.signrecord import (
    JournalState,
    encode_append,
    encode_owner,
    encode_sign_from,
    replay,
)
from dmchain.chain.primitives.errors import DecodeError, StorageError
from dmchain.chain.primitives.types import Address, Hash32
from dmchain.chain.store.wal import Tail, WalCorrupt, encode_frame, scan
from dmchain.node.metrics import SYNC_BUCKETS_SECONDS, Histogram

log = logging.getLogger("dmchain.journal")

ROTATE_BYTES: Final = 4 * 1024 * 1024
"""A file this large is replaced at the next append: a few seconds of full blocks, and read in milliseconds at start."""
LOST_HINT: Final = (
    "if it is lost, `dmchain node --journal-lost` makes a new one: the validator then only observes for a few heights"
)


class JournalMissing(StorageError):
    """There is no journal where the key's should be."""


class SignJournal(Protocol):
    """What the host of a core writes to."""

    def append(self, record: SignRecord) -> None:
        """Make `record` the last one; durable when this returns. After a StorageError nothing more may be signed."""
        ...


class FileJournal:
    """An open journal file; a context manager. `state` is what it said when it was opened."""

    def __init__(self, path: Path, address: Address, lock: int) -> None:
        """Use `FileJournal.open` or `FileJournal.create`."""
        self.path = path
        self._address = address
        self._lock = lock
        self._file = -1
        self._is_broken = False
        try:
            self.state = self._read()
        except BaseException:
            self.close()
            raise
        self.sign_from = self.state.sign_from
        self.write_seconds = Histogram(SYNC_BUCKETS_SECONDS)
        """How long appends took, synced."""
        self._last = self.state.record

    @classmethod
    def create(cls, path: Path, address: Address, *, is_replacement: bool = False) -> FileJournal:
        """Make the journal of a new key, or with `is_replacement` that of a key whose journal is lost.

        Raises StorageError when there is a file already.
        """
        lock = _lock(path)
        try:
            if path.exists():
                raise StorageError(
                    f"journal {path}: there is one already", hint="it may only be replaced when it is lost or damaged"
                )
            _replace(path, [encode_owner(address, is_replacement=is_replacement)])
        except BaseException:
            os.close(lock)
            raise
        return cls(path, address, lock)

    @classmethod
    def open(cls, path: Path, address: Address) -> FileJournal:
        """Open the journal of the key with `address`, cutting off an append that a crash has interrupted.

        Raises JournalMissing; StorageError when another process has it open, when it is another key's, and when a
        record that was durable is damaged.
        """
        if not path.exists():
            raise JournalMissing(f"journal {path}: there is none", hint=LOST_HINT)
        return cls(path, address, _lock(path))

    def _read(self) -> JournalState:
        try:
            self._file = os.open(self.path, os.O_RDWR | os.O_APPEND)
            raw = self.path.read_bytes()
            found = scan(raw)
            if found.tail is Tail.TORN:
                log.warning(
                    "journal %s: the last append was interrupted; cut %d bytes", self.path, len(raw) - found.good_bytes
                )
                os.ftruncate(self._file, found.good_bytes)
                os.fsync(self._file)
            state = replay(found.payloads)
        except OSError as error:
            raise StorageError(f"journal {self.path}: {error.strerror}") from error
        except (WalCorrupt, DecodeError) as error:
            raise StorageError(
                f"journal {self.path}: {error}",
                hint="set the file aside; " + LOST_HINT.partition(", ")[2],
            ) from error
        if state.address != self._address:
            raise StorageError(
                f"journal {self.path}: expected that of key 0x{self._address.hex()}, got 0x{state.address.hex()}"
            )
        self._bytes = found.good_bytes
        self._frames = len(found.payloads)
        self._bodies: set[Hash32] = set(state.bodies)
        return state

    @property
    def record(self) -> SignRecord | None:
        """The last record appended."""
        return self._last

    def append(self, record: SignRecord) -> None:
        if self._bytes > ROTATE_BYTES:
            self._rotate(record)
        else:
            self._write(encode_append(record, self._bodies))
            self._bodies.update([block.hash for block in record.blocks])
        self._last = record

    def allow_from(self, height: int) -> None:
        """End the observer period: this validator may sign `height` and what follows."""
        self._write(encode_sign_from(height))
        self.sign_from = height

    def close(self) -> None:
        for handle in (self._file, self._lock):
            if handle >= 0:
                os.close(handle)
        self._file = self._lock = -1

    def __enter__(self) -> FileJournal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, payload: bytes) -> None:
        self._check()
        data = encode_frame(self._frames, payload)
        # until the write is known to be whole and durable, nothing can be said about the file's end
        self._is_broken = True
        began = time.perf_counter()
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._file, view) :]
            os.fdatasync(self._file)
        except OSError as error:
            raise StorageError(f"journal {self.path}: {error.strerror}", hint=_write_hint(error)) from error
        self._is_broken = False
        self.write_seconds.observe(time.perf_counter() - began)
        self._bytes += len(data)
        self._frames += 1

    def _rotate(self, record: SignRecord) -> None:
        self._check()
        payloads = [encode_owner(self._address, is_replacement=self.state.is_replacement)]
        if self.state.is_replacement and self.sign_from is not None:
            payloads.append(encode_sign_from(self.sign_from))
        payloads.append(encode_append(record, ()))
        self._is_broken = True
        self._bytes = _replace(self.path, payloads)
        os.close(self._file)
        self._file = os.open(self.path, os.O_RDWR | os.O_APPEND)
        self._is_broken = False
        self._frames = len(payloads)
        self._bodies = {block.hash for block in record.blocks}

    def _check(self) -> None:
        if self._is_broken or self._file < 0:
            raise StorageError(
                f"journal {self.path}: closed, or an append has failed before",
                hint="stop the node and look at the disk",
            )


def _replace(path: Path, payloads: list[bytes]) -> int:
    """Put a file of these payloads in the place of `path`, durably; return its size."""
    data = b"".join([encode_frame(at, payload) for at, payload in enumerate(payloads)])
    temporary = path.with_name(path.name + ".new")
    try:
        with temporary.open("wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise StorageError(f"journal {path}: {error.strerror}", hint=_write_hint(error)) from error
    return len(data)


def _lock(path: Path) -> int:
    """Take the lock beside the journal, which replacing the journal does not lose."""
    name = path.with_name(path.name + ".lock")
    try:
        handle = os.open(name, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StorageError(f"journal lock {name}: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise StorageError(
            f"journal {path}: another process has it open",
            hint="one key signs in one process; stop the other node first",
        ) from error
    return handle


def _write_hint(error: OSError) -> str | None:
    return "the disk is full" if error.errno == errno.ENOSPC else None
