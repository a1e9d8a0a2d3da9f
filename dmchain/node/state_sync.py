"""State sync over the network: the shell around `dmchain.chain.statesync`, and the serving of snapshots to others."""

from __future__ import annotations

import logging
import shutil
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import trio

from dmchain.chain.consensus.commit import Commit
from dmchain.chain.consensus.effects import PeerFault
from dmchain.chain.primitives.block import Header
from dmchain.chain.primitives.errors import DmchainError, StorageError
from dmchain.chain.primitives.types import Hash32
from dmchain.chain.snapshot.manifest import InvalidSnapshot, Manifest
from dmchain.chain.statesync import (
    AskChunk,
    AskManifest,
    ChunkArrived,
    ChunkFailed,
    DropChunks,
    Effect,
    Finished,
    GiveUp,
    HeaderRefused,
    HeaderVerified,
    Input,
    ManifestArrived,
    ManifestFailed,
    PeerGone,
    PeerJoined,
    Restored,
    RestoreFailed,
    RestoreSnapshot,
    StateSync,
    StateSyncConfig,
    StoreChunk,
    Tick,
    VerifyHeader,
)
from dmchain.node.network.errors import RequestFailed
from dmchain.node.network.messages import (
    GetSnapshotChunk,
    GetSnapshotManifest,
    Refusal,
    RefusalCode,
    Reply,
    SnapshotChunk,
    SnapshotManifest,
)
from dmchain.node.snapshots import COMMIT, MANIFEST, SnapshotFiles, chunk_name, list_snapshots, restore_snapshot
from dmchain.node.worker import Worker

log = logging.getLogger("dmchain.sync")

TICK_SECONDS: Final = 0.25
PROGRESS_SECONDS: Final = 10.0


class SnapshotPeers(Protocol):
    """The peers, as state sync sees them."""

    async def request(self, peer: int, message: GetSnapshotManifest | GetSnapshotChunk) -> Reply:
        """Raises network.errors.RequestFailed."""
        ...

    def fault(self, peer: int, reason: str) -> None:
        """It has sent what no correct node sends."""
        ...


class VerifiedHeader(NamedTuple):
    """What light verification says of a block. `commit` makes the restored node able to propose the next one."""

    block_hash: Hash32
    state_root: Hash32
    commit: Commit | None = None


VerifyHeight = Callable[[int], Awaitable[VerifiedHeader]]
"""By light verification, from what the operator trusts; raises DmchainError."""


@dataclass(frozen=True, slots=True)
class StateSyncPlaces:
    """`chunks` is a directory for what is under way, made and removed here; `data` becomes the database."""

    chunks: Path
    data: Path


class StateSyncHost:
    """Fetches and restores a snapshot for a node that has no database yet."""

    def __init__(
        self,
        peers: SnapshotPeers,
        verify: VerifyHeight,
        worker: Worker,
        places: StateSyncPlaces,
        chain_id: int,
        genesis: Header,
        config: StateSyncConfig | None = None,
    ) -> None:
        self._peers = peers
        self._verify = verify
        self._worker = worker
        self._places = places
        self._chain_id = chain_id
        self._genesis = genesis
        self._inputs: deque[Input] = deque()
        self._is_stepping = False
        self._nursery: trio.Nursery | None = None
        self._commit: Commit | None = None
        """Of the block of the snapshot that is being fetched."""
        self.machine = StateSync(config or StateSyncConfig(), chain_id, genesis.hash, 0, self._now())
        self.height: int | None = None
        """Of the restored database; None when it was given up."""

    async def run(self) -> int | None:
        """Until there is a database at the height returned, or None: then sync blocks from genesis."""
        shutil.rmtree(self._places.chunks, ignore_errors=True)
        said_at = trio.current_time()
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            while not self.machine.is_over:
                self._feed(Tick())
                if trio.current_time() - said_at >= PROGRESS_SECONDS and self.machine.manifest is not None:
                    said_at = trio.current_time()
                    chunks = len(self.machine.manifest.chunk_hashes)
                    log.info("snapshot: %d of %d chunks", self.machine.stored, chunks)
                await trio.sleep(TICK_SECONDS)
            nursery.cancel_scope.cancel()
        shutil.rmtree(self._places.chunks, ignore_errors=True)
        return self.height

    def peer_joined(self, peer: int) -> None:
        self._feed(PeerJoined(peer))

    def peer_gone(self, peer: int) -> None:
        self._feed(PeerGone(peer))

    def _now(self) -> int:
        return int(trio.current_time() * 1000)

    def _feed(self, happened: Input) -> None:
        self._inputs.append(happened)
        if self._is_stepping or self._nursery is None:
            return
        self._is_stepping = True
        try:
            while self._inputs:
                for effect in self.machine.step(self._now(), self._inputs.popleft()):
                    self._perform(self._nursery, effect)
        finally:
            self._is_stepping = False

    def _perform(self, nursery: trio.Nursery, effect: Effect) -> None:
        match effect:
            case AskManifest(peer):
                nursery.start_soon(self._ask_manifest, peer)
            case VerifyHeader(height):
                nursery.start_soon(self._verify_header, height)
            case AskChunk():
                nursery.start_soon(self._ask_chunk, effect)
            case StoreChunk(index, data):
                # a write of a megabyte into the page cache: shorter than the way to a thread and back
                self._places.chunks.mkdir(parents=True, exist_ok=True)
                (self._places.chunks / chunk_name(index)).write_bytes(data)
            case DropChunks():
                shutil.rmtree(self._places.chunks, ignore_errors=True)
            case RestoreSnapshot(manifest):
                nursery.start_soon(self._restore, manifest)
            case PeerFault(peer, reason):
                self._peers.fault(peer, reason)
            case Finished(height):
                log.info("restored the snapshot of block %d", height, extra={"height": height})
                self.height = height
            case GiveUp(reason):
                log.warning("no snapshot: %s; syncing blocks instead", reason)

    async def _ask_manifest(self, peer: int) -> None:
        try:
            reply = await self._peers.request(peer, GetSnapshotManifest(0))
        except RequestFailed:
            reply = None
        if isinstance(reply, SnapshotManifest):
            self._feed(ManifestArrived(peer, reply.manifest))
        else:
            self._feed(ManifestFailed(peer))

    async def _ask_chunk(self, asked: AskChunk) -> None:
        try:
            reply = await self._peers.request(asked.peer, GetSnapshotChunk(asked.height, asked.index))
        except RequestFailed:
            reply = None
        if isinstance(reply, SnapshotChunk):
            self._feed(ChunkArrived(asked.peer, asked.request, reply.data))
        else:
            self._feed(ChunkFailed(asked.peer, asked.request))

    def _check_room(self) -> None:
        """Raises StorageError when the disk does not have room for the chunks and the database made of them."""
        manifest = self.machine.manifest
        if manifest is None:
            return
        needed = 2 * len(manifest.chunk_hashes) * manifest.chunk_bytes
        free = shutil.disk_usage(self._places.chunks.parent).free
        if needed > free:
            raise StorageError(
                f"{self._places.chunks.parent}: {free >> 20} MiB are free, the snapshot may take {needed >> 20}"
            )

    async def _verify_header(self, height: int) -> None:
        try:
            self._check_room()
            verified = await self._verify(height)
        except DmchainError as error:
            log.info("the snapshot of block %d is not taken: %s", height, error)
            self._feed(HeaderRefused(height, str(error)))
        else:
            self._commit = verified.commit
            self._feed(HeaderVerified(height, verified.block_hash, verified.state_root))

    async def _restore(self, manifest: Manifest) -> None:
        files = SnapshotFiles(self._places.chunks, manifest)
        commit = self._commit

        def work() -> None:
            if commit is not None:
                (files.path / COMMIT).write_bytes(commit.encode())
            restore_snapshot(files, self._places.data, chain_id=self._chain_id, genesis=self._genesis)

        try:
            await self._worker.run(work)
        except InvalidSnapshot as error:
            self._feed(RestoreFailed(str(error)))
        else:
            self._feed(Restored())


class SnapshotServer:
    """Answers peers from the snapshots in a directory, looked at again when they ask for the newest one."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._known: dict[int, SnapshotFiles] = {}

    def manifest(self, wanted: GetSnapshotManifest) -> Reply:
        self._known = {files.manifest.height: files for files in list_snapshots(self._directory)}
        height = wanted.height or max(self._known, default=0)
        files = self._known.get(height)
        if files is None:
            return Refusal(RefusalCode.UNAVAILABLE, "no snapshot")
        return SnapshotManifest(height, (files.path / MANIFEST).read_bytes())

    def chunk(self, wanted: GetSnapshotChunk) -> Reply:
        files = self._known.get(wanted.height)
        if files is None or wanted.index >= len(files.manifest.chunk_hashes):
            return Refusal(RefusalCode.UNAVAILABLE, "no such chunk")
        try:
            return SnapshotChunk(files.chunk(wanted.index))
        except DmchainError as error:
            log.error("snapshot %s: %s", files.path, error)
            return Refusal(RefusalCode.UNAVAILABLE, "no such chunk")
