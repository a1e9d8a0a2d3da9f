"""Block sync in a running node: whether it or consensus moves the head, and what is told of it.

A node begins with block sync, which hands over to consensus once it is where the validators are. When consensus is left
behind for good, it is suspended and block sync begins again. Nothing is lost in between: both commit through the host of
consensus, which knows the head.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

import trio

from dmchain.chain.consensus.validators import ValidatorSet
from dmchain.chain.primitives.types import Address
from dmchain.chain.store.gathered import GatheringKV
from dmchain.chain.sync.events import Halt, Start
from dmchain.chain.sync.verify import RunResult, VerifyRun
from dmchain.node.block_sync import BlockSyncHost
from dmchain.node.consensus.application import Application
from dmchain.node.consensus.host import ConsensusHost, Halted
from dmchain.node.network.messages import GetBlocks, Reply, Status
from dmchain.rpc.backend import SyncStatus

log = logging.getLogger("dmchain.sync")

MAX_GATHERED: Final = 32
"""Blocks that go to the disk at once; nearer to the end than this, each goes by itself."""
GATHER_SECONDS: Final = 0.5
"""So much work a crash costs at most: blocks are not on the disk for so long."""


class Verifier(Protocol):
    """Verifies jobs of one chain somewhere else (node.verification)."""

    async def verify(self, run: VerifyRun) -> RunResult: ...

    async def run(self) -> None:
        """Keep what it needs, until cancelled."""
        ...


class SyncPeers(Protocol):
    """The peers, as block sync sees them."""

    async def ask(self, peer: int, message: GetBlocks) -> Reply:
        """Raises network.errors.RequestFailed."""
        ...

    def sync_fault(self, peer: int, reason: str) -> None:
        """It has sent what no correct node sends."""
        ...

    def sync_failure(self, peer: int, reason: str) -> None:
        """It has not delivered what it claims to have, three times; it may be the line."""
        ...


class Syncing:
    """Implements node.block_sync.SyncHandler, and is told of peers' claims and of new heads."""

    def __init__(
        self,
        app: Application,
        host: ConsensusHost,
        peers: SyncPeers,
        verifier: Verifier,
        *,
        own: Address | None,
        store: GatheringKV | None = None,
        proof: Path | None = None,
        on_change: Callable[[SyncStatus | None], None] = lambda status: None,
    ) -> None:
        """`own`: the consensus address, None for a node that follows. `store`: the chain's, where it can gather blocks.
        `proof`: a directory for a block that this node cannot follow. `on_change` is told when sync begins and ends."""
        self._app = app
        self._consensus = host
        self._peers = peers
        self._verifier = verifier
        self._store = store
        self._is_gathering = False
        self._written_at = 0.0
        self._may_begin = trio.Event()
        """Set when consensus is to begin as soon as everything is on disk."""
        self._proof = proof
        self._on_change = on_change
        self._is_told = False
        self._starting = app.chain.head.number
        self.host = BlockSyncHost(self, verifier.verify, app.chain.rules.chain_id, own=own)

    async def run(self) -> None:
        """Until cancelled. Raises Halted."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._verifier.run)
            nursery.start_soon(self._keep_writing)
            nursery.start_soon(self._keep_handing_over)
            nursery.start_soon(self.host.run)

    @property
    def is_syncing(self) -> bool:
        """Whether block sync moves the head. It may be that there is nothing to fetch."""
        return self.host.is_syncing

    @property
    def target(self) -> int:
        """Where the chain is, as far as peers can be believed."""
        return self.host.machine.target

    def status(self) -> SyncStatus | None:
        """None while consensus runs, and while no peer claims to have more."""
        head = self._app.chain.head.number
        if not self.is_syncing or self.target <= head:
            return None
        return SyncStatus(self._starting, head, self.target)

    # -- what peers and consensus tell ---------------------------------------------------------------------------
    def peer_status(self, peer: int, status: Status, validator: Address | None) -> None:
        """`validator`: the consensus address that the peer has proved to hold."""
        self.host.peer_status(peer, status.height, status.earliest_height, validator)
        if not self._is_told and self.status() is not None:
            self._is_told = True
            self._on_change(self.status())

    def peer_gone(self, peer: int) -> None:
        self.host.peer_gone(peer)

    def note_head(self, height: int) -> None:
        """A block has become the head."""
        if not self.is_syncing:
            self.host.note_head(height, self._app.epochs.at(height + 1).validators)

    # -- what block sync asks ------------------------------------------------------------------------------------
    def position(self) -> Start:
        head = self._app.chain.head
        return Start(head.number, head.hash, self._app.epochs.at(head.number + 1).validators)

    async def request(self, peer: int, message: GetBlocks) -> Reply:
        return await self._peers.ask(peer, message)

    async def apply(self, height: int, block: bytes, commit: bytes, senders: bytes) -> ValidatorSet:
        self._consider_gathering(height)
        await self._consensus.apply_synced(height, block, commit, senders)
        store = self._store
        if self._is_gathering and store is not None and (store.is_full or store.batches >= MAX_GATHERED):
            await self._write_out()
        return self._app.epochs.at(height + 1).validators

    def fault(self, peer: int, reason: str) -> None:
        self._peers.sync_fault(peer, reason)

    def slow(self, peer: int, reason: str) -> None:
        self._peers.sync_failure(peer, reason)

    def _consider_gathering(self, height: int) -> None:
        """Far from the end, several blocks go to the disk at once. Nobody executes anything now."""
        if self._store is not None and not self._is_gathering and self.target - height >= MAX_GATHERED:
            self._is_gathering = True
            self._written_at = trio.current_time()
            self._store.gather()

    async def _write_out(self, *, goes_on: bool = True) -> None:
        if self._is_gathering and self._store is not None:
            await self._consensus.write_out(self._store, goes_on=goes_on)
            self._written_at = trio.current_time()
            self._is_gathering = self._is_gathering and goes_on  # who waited longer may have ended it

    async def _keep_writing(self) -> None:
        """Blocks that come slowly do not wait for others."""
        while True:
            await trio.sleep(GATHER_SECONDS / 2)
            if self._is_gathering and trio.current_time() - self._written_at >= GATHER_SECONDS:
                await self._write_out()

    async def _keep_handing_over(self) -> None:
        while True:
            await self._may_begin.wait()
            self._may_begin = trio.Event()
            await self._write_out(goes_on=False)
            if not self.is_syncing:
                self._consensus.resume()

    def handed_over(self, height: int) -> None:
        self._may_begin.set()
        if self._is_told:
            self._is_told = False
            self._on_change(None)

    def fell_behind(self, height: int, peers_height: int) -> None:
        self._consensus.suspend()
        self._starting = self._app.chain.head.number

    def halted(self, halt: Halt) -> None:
        """Raises Halted: the node ends."""
        raise Halted(f"block {halt.height} has a commit, but is invalid here: {halt.reason}{self._keep(halt)}")

    def _keep(self, halt: Halt) -> str:
        """Write down what a person will want to look at; return where."""
        if self._proof is None:
            return ""
        path = self._proof / f"invalid-{halt.height}"
        try:
            path.with_suffix(".block").write_bytes(halt.block)
            path.with_suffix(".commit").write_bytes(halt.commit)
        except OSError as error:
            log.error("%s: %s", path, error.strerror, extra={"height": halt.height})
            return ""
        return f" (kept as {path}.block and .commit)"
