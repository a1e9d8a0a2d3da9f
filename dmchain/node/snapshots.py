"""Snapshots as directories: `manifest`, `commit` (of the snapshot's block, where the maker had one) and `000000.chunk` ...

Everything is made beside its place under a name that ends in `.partial`, brought to the disk, and renamed: after a crash
there is a whole snapshot, or database, or none.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dmchain.chain.blockchain import ChainView
from dmchain.chain.consensus.certificates import InvalidCertificate
from dmchain.chain.consensus.commit import Commit, verify_commit
from dmchain.chain.consensus.signatures import SignatureChecker
from dmchain.chain.consensus.signbytes import compute_domain
from dmchain.chain.primitives.block import Header
from dmchain.chain.primitives.errors import DmchainError, StorageError
from dmchain.chain.primitives.types import Hash32
from dmchain.chain.snapshot.create import Progress, SnapshotMaker
from dmchain.chain.snapshot.manifest import DEFAULT_CHUNK_BYTES, MAX_MANIFEST_BYTES, InvalidSnapshot, Manifest
from dmchain.chain.snapshot.restore import Restorer
from dmchain.chain.store.kv import Reader
from dmchain.chain.store.leveldb import LevelKV
from dmchain.node.validator_sets import read_validators

MANIFEST = "manifest"
COMMIT = "commit"
PARTIAL = ".partial"
_MAX_COMMIT_BYTES = 128 * 1024


@dataclass(frozen=True, slots=True)
class SnapshotFiles:
    """A snapshot on disk. Reading a chunk checks its hash."""

    path: Path
    manifest: Manifest

    def chunk(self, index: int) -> bytes:
        """Raises InvalidSnapshot when it is not the manifest's, StorageError when it cannot be read."""
        chunk = _read(self.path / chunk_name(index), self.manifest.chunk_bytes)
        self.manifest.check_chunk(index, chunk)
        return chunk

    def chunks(self) -> Iterator[bytes]:
        for index in range(len(self.manifest.chunk_hashes)):
            yield self.chunk(index)

    def commit(self) -> Commit | None:
        """The commit of the snapshot's block as somebody has put it there: not verified."""
        path = self.path / COMMIT
        return Commit.decode(_read(path, _MAX_COMMIT_BYTES)) if path.exists() else None


def chunk_name(index: int) -> str:
    return f"{index:06}.chunk"


def open_snapshot(path: Path) -> SnapshotFiles:
    """Raises StorageError or InvalidSnapshot."""
    if not (path / MANIFEST).is_file():
        raise StorageError(f"{path}: no snapshot there", hint="a snapshot is a directory with a manifest in it")
    return SnapshotFiles(path, Manifest.decode(_read(path / MANIFEST, MAX_MANIFEST_BYTES)))


def list_snapshots(directory: Path) -> list[SnapshotFiles]:
    """The snapshots in a directory by ascending height; what is damaged or half done is left out."""
    found = []
    for path in sorted(directory.iterdir()) if directory.is_dir() else []:
        if path.name.endswith(PARTIAL):
            continue
        try:
            found.append(open_snapshot(path))
        except DmchainError:
            continue
    return sorted(found, key=lambda files: files.manifest.height)


def create_snapshot(
    view: ChainView,
    height: int,
    target: Path,
    *,
    chain_id: int,
    genesis_hash: Hash32,
    chunk_bytes: int = DEFAULT_CHUNK_BYTES,
    progress: Progress = lambda size, share: None,
) -> SnapshotFiles:
    """Write the snapshot of `height` to the directory `target`, which must not exist. For a worker thread.

    `view` does not change while blocks are added. Raises StorageError, StateUnavailable or InvalidSnapshot.
    """
    if target.exists():
        raise StorageError(f"{target}: exists already", hint="choose another place")
    maker = SnapshotMaker(view, height, chain_id, genesis_hash, chunk_bytes)
    partial = _fresh_partial(target)
    try:
        for index, chunk in enumerate(maker.chunks(progress)):
            (partial / chunk_name(index)).write_bytes(chunk)
        commit = maker.seen_commit()
        if commit is not None:
            (partial / COMMIT).write_bytes(commit.encode())
        manifest = maker.manifest()
        raw = manifest.encode()
        if len(raw) > MAX_MANIFEST_BYTES:
            raise InvalidSnapshot(
                f"manifest: {len(raw)} bytes, expected at most {MAX_MANIFEST_BYTES}", hint="use larger chunks"
            )
        (partial / MANIFEST).write_bytes(raw)
        _publish(partial, target)
    except OSError as error:
        raise StorageError(f"{error.filename or target}: {error.strerror}", hint="is the disk full?") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return SnapshotFiles(target, manifest)


def restore_snapshot(
    files: SnapshotFiles,
    data: Path,
    *,
    chain_id: int,
    genesis: Header,
    expected_hash: Hash32 | None = None,
    progress: Callable[[int, Restorer], None] = lambda chunks, restorer: None,
) -> Header:
    """Make the database `data`, which must not exist, from a snapshot; return the header it is at.

    `expected_hash`: of the block, from somewhere trustworthy. Raises StorageError or InvalidSnapshot; then there is no
    database.
    """
    if data.exists() and any(data.iterdir()):
        raise StorageError(
            f"{data}: there is a database already", hint="restore into a new home, or set the old database aside"
        )
    if expected_hash is not None and files.manifest.block_hash != expected_hash:
        raise InvalidSnapshot(
            f"block {files.manifest.height}: expected 0x{expected_hash.hex()}, the snapshot is of"
            f" 0x{files.manifest.block_hash.hex()}"
        )
    partial = _fresh_partial(data)
    try:
        store = LevelKV(partial)
        try:
            header = _fill(store, files, chain_id, genesis, progress)
        finally:
            store.close()
        if data.exists():
            data.rmdir()
        _publish(partial, data)
    except OSError as error:
        raise StorageError(f"{error.filename or data}: {error.strerror}", hint="is the disk full?") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return header


def _fill(
    store: LevelKV,
    files: SnapshotFiles,
    chain_id: int,
    genesis: Header,
    progress: Callable[[int, Restorer], None],
) -> Header:
    restorer = Restorer(store, files.manifest, chain_id, genesis.hash)
    for done, chunk in enumerate(files.chunks(), 1):
        restorer.feed(chunk)
        progress(done, restorer)
    header = restorer.check()
    restorer.finish(genesis, _verified_commit(store, files, chain_id, header))
    return header


def _verified_commit(state: Reader, files: SnapshotFiles, chain_id: int, header: Header) -> Commit | None:
    """The commit beside the snapshot, checked against the validators of the state that has just been verified."""
    commit = files.commit()
    validators = read_validators(state, header.number)
    if commit is None or validators is None:
        return None
    if (commit.height, commit.block_hash) != (header.number, header.hash):
        raise InvalidSnapshot(f"commit: expected one of block {header.number}, got one of block {commit.height}")
    checker = SignatureChecker(compute_domain(chain_id, files.manifest.genesis_hash))
    try:
        verify_commit(commit, validators, checker.is_signed)
    except InvalidCertificate as error:
        raise InvalidSnapshot(str(error), hint=f"the file {COMMIT!r} may be deleted: peers have it too") from error
    return commit


def _fresh_partial(target: Path) -> Path:
    """An empty directory beside `target`; what an attempt that was cut short left there is removed."""
    partial = target.with_name(target.name + PARTIAL)
    try:
        if partial.exists():
            shutil.rmtree(partial)
        partial.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise StorageError(f"{partial}: {error.strerror}") from error
    return partial


def _publish(partial: Path, target: Path) -> None:
    """Bring all files of `partial` to the disk, then give it its name."""
    for path in sorted(partial.iterdir()):
        _sync(path)
    _sync(partial)
    os.rename(partial, target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path, limit: int) -> bytes:
    """A file of at most `limit` bytes; one more is read of a larger one, for the check that follows to fail."""
    try:
        with path.open("rb") as file:
            return file.read(limit + 1)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error
