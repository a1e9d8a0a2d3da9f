"""A node that takes part in a network: consensus, peers and gossip put together."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import trio

from dmchain.chain.blockchain import ExecutedBlock
from dmchain.chain.consensus.signatures import SignatureChecker
from dmchain.chain.consensus.signbytes import compute_domain
from dmchain.chain.genesis import Genesis
from dmchain.chain.genesis_staking import GenesisStaking
from dmchain.chain.primitives.crypto import PrivateKey, public_key_to_address
from dmchain.chain.primitives.errors import InvalidGenesis
from dmchain.chain.primitives.transaction import Transaction
from dmchain.chain.primitives.types import ZERO_ADDRESS, Address, Hash32
from dmchain.chain.store.gathered import GatheringKV
from dmchain.node.backend import ChainBackend, client_version
from dmchain.node.consensus.application import Application
from dmchain.node.consensus.epochs import StateEpochs
from dmchain.node.consensus.host import ConsensusHost, Journal, Observation
from dmchain.node.consensus.identities import Identities, OwnIdentity
from dmchain.node.consensus.peering import Peering
from dmchain.node.consensus.status import ConsensusView
from dmchain.node.consensus.syncing import Syncing, Verifier
from dmchain.node.network.addresses import Target
from dmchain.node.network.identity import ChainIdentity, NodeKey
from dmchain.node.network.link import Security
from dmchain.node.network.peers import PeerManager, PeersConfig
from dmchain.node.network.transport import Endpoint, Network, TcpNetwork
from dmchain.node.production import Producer
from dmchain.node.randao import RandaoSeed
from dmchain.node.sign_journal import FileJournal
from dmchain.node.state_sync import SnapshotServer
from dmchain.node.verification import ProcessVerifier
from dmchain.node.worker import PatientWorker, ThreadWorker, Worker
from dmchain.rpc.backend import BlockRecord, LogRecord, SyncStatus


@dataclass(frozen=True)
class NetworkSettings:
    """How a node takes part in a network of validators. `consensus_key` None: it follows and never votes.

    `targets` are stayed connected to; the validators of genesis that say where they listen are added.
    """

    node_key: PrivateKey
    consensus_key: PrivateKey | None
    journal: Path
    listen: Endpoint | None = None
    advertise: Endpoint | None = None
    targets: tuple[Target, ...] = ()
    peer_file: Path | None = None
    journal_lost: bool = False
    """Make a new journal in place of one that is lost; the validator observes before it signs again."""
    proof: Path | None = None
    """A directory for a block that this node cannot follow though a quorum has signed it."""
    snapshots: Path | None = None
    """The directory of snapshots that are served to peers."""
    randao: RandaoSeed | None = None
    """What the key's blocks reveal. Without it the node proposes only while the chain expects nothing of it."""


@dataclass(frozen=True)
class Surroundings:
    """What a node takes from outside; a simulation gives it others.

    `clock` in seconds since the epoch. `security` None: Noise. `journal` None: the file of the settings.
    `make_verifier` is given the consensus domain, and verifies blocks that are synced.
    """

    network: Network = field(default_factory=TcpNetwork)
    rng: Random = field(default_factory=lambda: Random(os.urandom(16)))
    clock: Callable[[], float] = time.time
    make_worker: Callable[[], Worker] = ThreadWorker
    make_journal_worker: Callable[[], Worker] = PatientWorker
    make_verifier: Callable[[Hash32], Verifier] = ProcessVerifier
    security: Security | None = None
    journal: Journal | None = None


class ValidatorNode:
    """Consensus and network of one node over its chain."""

    def __init__(
        self,
        genesis: Genesis,
        settings: NetworkSettings,
        producer: Producer,
        backend: ChainBackend,
        surroundings: Surroundings | None = None,
    ) -> None:
        """Raises InvalidGenesis when genesis has no validators, StorageError when the journal cannot be used."""
        if genesis.staking is None:
            raise InvalidGenesis(
                "dmchain.validators: missing", hint="`dmchain testnet` makes the homes and genesis of a network"
            )
        around = surroundings or Surroundings()
        self.settings = settings
        self.endpoint: Endpoint | None = None
        """Where it listens, once it runs."""
        chain = producer.chain
        genesis_hash = chain.genesis_header.hash
        domain = compute_domain(chain.rules.chain_id, genesis_hash)
        checker = SignatureChecker(domain)
        key = settings.consensus_key
        own = ZERO_ADDRESS if key is None else key.address
        self.app = Application(
            producer,
            StateEpochs(chain),
            genesis.staking.consensus,
            checker,
            own,
            clock=around.clock,
            reveals=settings.randao,
        )
        self.app.prepare_reveals()
        identity = ChainIdentity(chain.rules.chain_id, genesis_hash)
        targets = (*settings.targets, *genesis_targets(genesis.staking, settings.node_key.address))
        self.identities = Identities(
            identity,
            self.app.epochs,
            lambda: chain.head.number,
            validators_by_node(genesis.staking),
            OwnIdentity(settings.node_key, key, self._advertised),
            clock=around.clock,
            allows_loopback=settings.listen is not None and settings.listen.is_loopback,
            fixed=[target.endpoint for target in targets],
        )
        snapshots = None if settings.snapshots is None else SnapshotServer(settings.snapshots)
        serving = around.make_worker()
        self.peering = Peering(self.app, backend.submit_transaction, self.identities, serving, snapshots)
        self.journal: Journal | None = None
        observer = None
        if key is not None:
            self.journal = around.journal or _open_journal(settings, own)
            if self.journal.sign_from is None:
                observer = Observation(own, self.identities.validator_of)
        self.host = ConsensusHost(
            self.app,
            checker,
            key,
            self.journal,
            self.peering,
            clock=around.clock,
            rng=around.rng,
            worker=around.make_worker(),
            journal_worker=around.make_journal_worker(),
            on_block=self._on_block,
            observer=observer,
        )
        self.sync = Syncing(
            self.app,
            self.host,
            self.peering,
            around.make_verifier(domain),
            own=None if key is None else own,
            store=chain.store if isinstance(chain.store, GatheringKV) else None,
            proof=settings.proof,
            on_change=backend.announce_sync,
        )
        self.peering.host, self.peering.sync = self.host, self.sync
        self.manager = PeerManager(
            around.network,
            NodeKey(settings.node_key),
            identity,
            PeersConfig(
                listen=settings.listen,
                advertise=settings.advertise,
                sequence=int(around.clock()),
                targets=targets,
                software=client_version(),
                file=settings.peer_file,
            ),
            self.peering,
            self.peering.status,
            around.rng,
            security=around.security,
        )
        self.peering.manager = self.manager
        self.view = ConsensusView(
            chain,
            self.app.epochs,
            self.host.core,
            self.manager,
            node_id=settings.node_key.address,
            node_of=self.identities.node_of,
            sync_status=self.sync.status,
        )
        self._backend = backend

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Take part until cancelled; `started()` when the node listens. Raises Halted and StorageError."""
        forget = self._backend.observe(_PoolObserver(self.peering))
        try:
            async with trio.open_nursery() as nursery:
                self.endpoint = await nursery.start(self.manager.run)
                nursery.start_soon(self.peering.transactions.run)
                nursery.start_soon(self.peering.run_identities)
                nursery.start_soon(self.sync.run)
                nursery.start_soon(self.host.run)
                task_status.started()
        finally:
            forget()
            if self.journal is not None:
                self.journal.close()

    def _advertised(self) -> Endpoint | None:
        """Where others are told to reach this node: what is configured, or where it listens if that is one address."""
        endpoint = self.settings.advertise or self.settings.listen
        if endpoint is not None and not endpoint.port and self.endpoint is not None:
            endpoint = Endpoint(endpoint.host, self.endpoint.port)
        if endpoint is None or endpoint.ip is None or endpoint.ip.is_unspecified or not endpoint.port:
            return None
        return endpoint

    def _on_block(self, executed: ExecutedBlock) -> None:
        self.app.producer.on_block(executed)
        self.sync.note_head(executed.block.number)
        self.manager.announce_status()


def _open_journal(settings: NetworkSettings, own: Address) -> FileJournal:
    """The journal of the key, or a new one where it is lost; raises StorageError."""
    if settings.journal_lost:
        return FileJournal.create(settings.journal, own, is_replacement=True)
    return FileJournal.open(settings.journal, own)


class _PoolObserver:
    """Passes on what enters the pool."""

    def __init__(self, peering: Peering) -> None:
        self._peering = peering

    def block_committed(self, block: BlockRecord, logs: Sequence[LogRecord]) -> None:
        pass

    def transaction_added(self, transaction: Transaction) -> None:
        self._peering.transactions.announce(transaction)

    def chain_reverted(self, height: int) -> None:
        pass

    def sync_changed(self, status: SyncStatus | None) -> None:
        pass


def genesis_targets(staking: GenesisStaking, own: Address) -> tuple[Target, ...]:
    """The validators of genesis that say where they listen, but this node."""
    targets = [Target.parse(each.dial) for each in staking.validators if each.dial]
    return tuple([target for target in targets if target.node_id != own])


def validators_by_node(staking: GenesisStaking) -> Mapping[Address, Address]:
    """Consensus address by node id, for those of genesis that say where they listen."""
    found = {}
    for each in staking.validators:
        node_id = Target.parse(each.dial).node_id if each.dial else None
        if node_id is not None:
            found[node_id] = public_key_to_address(each.public_key)
    return found
