"""The home directory of a node, and the lock that keeps a second process out of it."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from dmchain.chain.primitives.errors import StorageError

PRIVATE_DIRECTORY = 0o700
PRIVATE_FILE = 0o600
NODE_KEY_FILE = "node.key"
"""Below `keys`: by what peers know the node."""
ACCOUNTS_FILE = "accounts.json"
"""The unlocked accounts of a devnet of several validators, beside their homes."""


@dataclass(frozen=True, slots=True)
class Home:
    """Where things lie below one directory."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / "config.toml"

    @property
    def genesis(self) -> Path:
        return self.path / "genesis.json"

    @property
    def keys(self) -> Path:
        return self.path / "keys"

    @property
    def data(self) -> Path:
        return self.path / "data"

    @property
    def snapshots(self) -> Path:
        return self.path / "snapshots"

    @property
    def lock(self) -> Path:
        return self.path / "node.lock"


@contextmanager
def open_home(path: Path, *, create: bool = False) -> Iterator[Home]:
    """Lock a home directory for this process; raises StorageError that names the process which has it.

    The lock is the kernel's: it ends with the process, however that ends.
    """
    home = Home(path)
    try:
        if create:
            path.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        descriptor = os.open(home.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
    except OSError as error:
        raise StorageError(
            f"home {path}: {error.strerror}", hint="`dmchain init --home DIR` makes a home directory"
        ) from error
    try:
        _lock(descriptor, path)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield home
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
        raise StorageError(
            f"home {path}: in use by the process {holder}", hint="stop that node first, or use another --home"
        ) from error


def write_atomically(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace a file as a whole: after a crash there is the old one or the new one, on disk."""
    try:
        descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(file.fileno(), mode)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(partial)
            raise
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}", hint="does the directory exist, and may it be written?") from error
