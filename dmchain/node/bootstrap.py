"""A node without a database, before it is opened: a snapshot from its peers in place of every block since genesis.

The node is connected to the peers that genesis or the operator names, for this alone; JSON-RPC does not answer yet.
Whatever fails, the node goes on with block sync from genesis.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

import trio

from dmchain.chain.genesis import Genesis
from dmchain.chain.genesis_staking import GenesisStaking
from dmchain.chain.primitives.block import Header
from dmchain.chain.primitives.crypto import PrivateKey
from dmchain.chain.statesync import StateSyncConfig
from dmchain.marketplace_vm.executor import create_state
from dmchain.node.light_peers import LightPeers
from dmchain.node.light_trust import Trust
from dmchain.node.network.addresses import Target
from dmchain.node.network.errors import RequestFailed
from dmchain.node.network.identity import ChainIdentity, NodeKey
from dmchain.node.network.link import Security
from dmchain.node.network.messages import Push, Refusal, RefusalCode, Reply, Request, Status
from dmchain.node.network.peer import Peer
from dmchain.node.network.peers import PeerManager, PeersConfig
from dmchain.node.network.transport import Network, TcpNetwork
from dmchain.node.state_sync import StateSyncHost, StateSyncPlaces, VerifiedHeader
from dmchain.node.worker import ThreadWorker, Worker

log = logging.getLogger("dmchain.sync")

LONELY_SECONDS: Final = 60.0
"""So long without a single peer, and the node is opened without a snapshot: it may be the first of its network."""
SCORE_FALSE_SNAPSHOT: Final = 100
SCORE_FALSE_PROOF: Final = 30
"""A light block that does not verify: it may be our clock that is wrong."""


@dataclass(frozen=True)
class SnapshotSync:
    """How a snapshot is come by. `trust` None: the validators of genesis."""

    data: Path
    """The database that is to be made."""
    chunks: Path
    """A directory for what is under way."""
    node_key: PrivateKey
    targets: tuple[Target, ...]
    trust: Trust | None = None
    config: StateSyncConfig = field(default_factory=StateSyncConfig)


@dataclass(frozen=True)
class Outside:
    """What comes from outside; a simulation gives others."""

    network: Network = field(default_factory=TcpNetwork)
    rng: Random = field(default_factory=lambda: Random(os.urandom(16)))
    clock: Callable[[], float] = time.time
    make_worker: Callable[[], Worker] = ThreadWorker
    security: Security | None = None


def has_database(data: Path) -> bool:
    return data.exists() and any(data.iterdir())


async def fetch_snapshot(genesis: Genesis, wanted: SnapshotSync, outside: Outside | None = None) -> int | None:
    """Make the database `wanted.data` from peers' snapshots; return its height, None when that was given up.

    Raises StorageError when the disk does not take it.
    """
    staking = genesis.staking
    if staking is None or has_database(wanted.data):
        return None
    header = genesis.header(create_state(genesis.alloc).state_root)
    return await _Bootstrap(genesis, staking, header, wanted, outside or Outside()).run()


class _Bootstrap:
    """A PeerHandler that serves nothing, and the peers as state sync sees them."""

    def __init__(
        self, genesis: Genesis, staking: GenesisStaking, header: Header, wanted: SnapshotSync, outside: Outside
    ) -> None:
        self._peers: dict[int, Peer] = {}
        self._met_somebody = trio.Event()
        self._header = header
        chain_id = genesis.rules.chain_id
        trust = wanted.trust or Trust(1, staking.validator_set().hash)
        self._light = LightPeers(
            self.request,
            lambda: list(self._peers),
            lambda peer, reason: self._charge(peer, SCORE_FALSE_PROOF, reason),
            trust,
            chain_id,
            header.hash,
            clock=outside.clock,
        )
        self._host = StateSyncHost(
            self,
            self._verify,
            outside.make_worker(),
            StateSyncPlaces(wanted.chunks, wanted.data),
            chain_id,
            header,
            wanted.config,
        )
        self._manager = PeerManager(
            outside.network,
            NodeKey(wanted.node_key),
            ChainIdentity(chain_id, header.hash),
            # only whom genesis or the operator names: a snapshot is large, and false only at its end
            PeersConfig(targets=wanted.targets, wanted_outbound=0),
            self,
            lambda: Status(0, header.hash, 1),
            outside.rng,
            security=outside.security,
        )

    async def run(self) -> int | None:
        log.info("no database yet: asking peers for a snapshot")
        async with trio.open_nursery() as nursery:
            await nursery.start(self._manager.run)
            with trio.move_on_after(LONELY_SECONDS):
                await self._met_somebody.wait()
            height = await self._host.run() if self._met_somebody.is_set() else None
            nursery.cancel_scope.cancel()
        if not self._met_somebody.is_set():
            log.warning("no peer within %g s: no snapshot, syncing blocks instead", LONELY_SECONDS)
        return height

    async def _verify(self, height: int) -> VerifiedHeader:
        block = await self._light.verify(height)
        log.info("verified the header of block %d by its validators", height, extra={"height": height})
        return VerifiedHeader(block.header.hash, block.header.state_root, block.commit)

    # -- the peers, for state sync -------------------------------------------------------------------------------
    async def request(self, peer: int, message: Request) -> Reply:
        connected = self._peers.get(peer)
        if connected is None:
            raise RequestFailed("the connection is over")
        return await connected.request(message)

    def fault(self, peer: int, reason: str) -> None:
        self._charge(peer, SCORE_FALSE_SNAPSHOT, f"snapshot: {reason}")

    def _charge(self, peer: int, score: float, reason: str) -> None:
        connected = self._peers.get(peer)
        if connected is not None:
            connected.misbehaved(score, reason)

    # -- what the network tells ----------------------------------------------------------------------------------
    def on_peer(self, peer: Peer) -> None:
        self._peers[peer.number] = peer
        self._met_somebody.set()
        self._host.peer_joined(peer.number)

    async def on_message(self, peer: Peer, message: Push) -> None:
        pass

    async def on_request(self, peer: Peer, request: Request) -> Reply:
        return Refusal(RefusalCode.UNAVAILABLE, "no database yet")

    def on_gone(self, peer: Peer, reason: str) -> None:
        self._peers.pop(peer.number, None)
        self._host.peer_gone(peer.number)
