"""The node: everything opened in order, run together, closed in order."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from dmchain.chain.blockchain import Blockchain, ExecutedBlock
from dmchain.chain.executor import Executor
from dmchain.chain.genesis import Genesis
from dmchain.chain.mempool import Mempool, MempoolConfig
from dmchain.chain.primitives.crypto import PrivateKey
from dmchain.chain.primitives.errors import DmchainError
from dmchain.chain.rules import Rules
from dmchain.chain.store.gathered import GatheringKV
from dmchain.chain.store.history import DEFAULT_WINDOW
from dmchain.chain.store.leveldb import LevelKV
from dmchain.marketplace_vm.executor import NativeExecutor
from dmchain.marketplace_vm.precompiles import CID_REGISTRY
from dmchain.node.backend import ChainBackend, client_version
from dmchain.node.devnet import DevnetControl, DevnetWallet
from dmchain.node.light_records import LightRecords
from dmchain.node.market import MarketBackend
from dmchain.node.predeploys import market_contracts
from dmchain.node.production import DecideAlone, Producer, ProductionConfig, initial_pool_head
from dmchain.node.tracing import TraceBackend
from dmchain.rpc.backend import Backend
from dmchain.rpc.config import MethodLimits, ServerConfig
from dmchain.rpc.http import serve
from dmchain.rpc.registry import CallCounts

if TYPE_CHECKING:  # imported where they are used: a node alone needs neither network nor consensus
    from dmchain.node.bootstrap import SnapshotSync
    from dmchain.node.consensus.validator import NetworkSettings, ValidatorNode
    from dmchain.node.network.transport import Endpoint as NetworkEndpoint
    from dmchain.node.snapshot_keeper import SnapshotPlan

log = logging.getLogger("dmchain.node")

ENGINES = ("native", "reference")


@dataclass(frozen=True)
class NodeSettings:
    """All that decides how one node runs. `data` is the LevelDB directory.

    `wallet_keys` are unlocked accounts, which only a development network has. `is_devnet` adds the methods that control
    time, mining and state: for a network of this node alone.
    """

    data: Path
    genesis: Genesis
    production: ProductionConfig
    rpc: ServerConfig = field(default_factory=ServerConfig)
    limits: MethodLimits = field(default_factory=MethodLimits)
    mempool: MempoolConfig = field(default_factory=MempoolConfig)
    engine: str = "native"
    history_window: int = DEFAULT_WINDOW
    archive: bool = False
    is_devnet: bool = False
    wallet_keys: Sequence[PrivateKey] = ()
    network: NetworkSettings | None = None
    metrics: NetworkEndpoint | None = None
    """Where Prometheus metrics are served; None: nowhere."""
    snapshot_sync: SnapshotSync | None = None
    """Where there is no database yet: take a snapshot from peers before the node is opened."""
    snapshots: SnapshotPlan | None = None
    """The snapshots that this node makes; None: none."""


@dataclass
class Node:
    """A running node. `host` and `port` are where JSON-RPC answers."""

    chain: Blockchain
    producer: Producer
    backend: ChainBackend
    host: str
    port: int
    metrics: NetworkEndpoint | None = None
    validator: ValidatorNode | None = None

    @property
    def url(self) -> str:
        return f"http://{_url_host(self.host)}:{self.port}"

    @property
    def websocket_url(self) -> str:
        return f"ws://{_url_host(self.host)}:{self.port}"


def _url_host(host: str) -> str:
    """A host as a client on this machine writes it."""
    if host in ("0.0.0.0", "::"):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def make_executor(engine: str, rules: Rules) -> Executor:
    """The executor of that name; raises DmchainError for a name that is none."""
    if engine == "native":
        return NativeExecutor(rules)
    if engine == "reference":
        from dmchain.marketplace_vm.reference import ReferenceExecutor  # imports the whole of py-evm

        return ReferenceExecutor(rules)
    raise DmchainError(f"engine: got {engine!r}, expected one of {', '.join(ENGINES)}")


@asynccontextmanager
async def open_node(settings: NodeSettings) -> AsyncIterator[Node]:
    """Open the database, make blocks and answer JSON-RPC until the block is left; then stop and close.

    Raises StorageError when the database cannot be used and OSError when the address cannot be listened on.
    """
    if settings.snapshot_sync is not None:
        from dmchain.node.bootstrap import fetch_snapshot

        await fetch_snapshot(settings.genesis, settings.snapshot_sync)
    store = GatheringKV(LevelKV(settings.data))
    try:
        executor = make_executor(settings.engine, settings.genesis.rules)
        chain = Blockchain(
            store,
            settings.genesis,
            executor,
            history_window=settings.history_window,
            archive=settings.archive,
        )
        pool = Mempool(
            chain.rules.chain_id,
            initial_pool_head(chain, settings.production.gas_limit),
            settings.mempool,
        )
        # a node of a network says what was decided, with round and signatures (node.consensus.host)
        announce = _Announcer(logging.INFO if settings.network is None else logging.DEBUG)
        producer = Producer(chain, pool, settings.production, DecideAlone(), on_block=announce)
        producer.follow_head(())
        backend, methods = _make_backend(settings, producer)
        announce.backend = backend
        async with trio.open_nursery() as nursery:
            counts = CallCounts()
            listening = await nursery.start(partial(serve, counts=counts), settings.rpc, methods, settings.limits)
            host, port = listening.host, listening.port
            node = Node(chain, producer, backend, host, port)
            backend.listen_addresses = (node.url, node.websocket_url)
            if settings.network is None:
                nursery.start_soon(producer.run)
            else:
                from dmchain.node.consensus.validator import ValidatorNode

                node.validator = ValidatorNode(settings.genesis, settings.network, producer, backend)
                backend.network = node.validator.view
                await nursery.start(node.validator.run)
            if settings.snapshots is not None:
                from dmchain.node.snapshot_keeper import SnapshotKeeper

                nursery.start_soon(SnapshotKeeper(chain, settings.snapshots).run)
            if settings.metrics is not None:
                node.metrics = await _start_metrics(nursery, node, settings.metrics, counts)
            try:
                yield node
            finally:
                nursery.cancel_scope.cancel()
    finally:
        store.close()


async def _start_metrics(
    nursery: trio.Nursery, node: Node, endpoint: NetworkEndpoint, counts: CallCounts
) -> NetworkEndpoint:
    from dmchain.node.monitoring import BlockMeter, Monitor, serve_metrics

    meter = BlockMeter()
    node.backend.observe(meter)
    monitor = Monitor(node.chain, node.producer.pool, meter, counts, lambda: node.validator, version=client_version())
    listening: NetworkEndpoint = await nursery.start(serve_metrics, endpoint, monitor.render)
    return listening


class _Announcer:
    """Tells the backend of blocks, once there is one."""

    def __init__(self, level: int) -> None:
        self._level = level
        self.backend: ChainBackend | None = None

    def __call__(self, executed: ExecutedBlock) -> None:
        header = executed.block.header
        log.log(
            self._level,
            "block %d 0x%s: %d transactions, gas %d",
            header.number,
            header.hash.hex()[:12],
            len(executed.block.transactions),
            header.gas_used,
            extra={"height": header.number},
        )
        if self.backend is not None:
            self.backend.announce_block(executed)


def _make_backend(settings: NodeSettings, producer: Producer) -> tuple[ChainBackend, Backend]:
    control: DevnetControl | None = None

    def automine() -> bool:
        return control is not None and control.automine()

    role = "devnet" if settings.is_devnet else "validator"
    backend = ChainBackend(producer, role=role, is_devnet=settings.is_devnet, automine=automine)
    backend.contracts = market_contracts(settings.genesis)
    has_market = CID_REGISTRY in settings.genesis.alloc
    methods = Backend(
        chain=backend,
        market=MarketBackend(backend) if has_market else None,
        tracer=TraceBackend(backend, producer.chain.rules),
        consensus=None if settings.genesis.staking is None else LightRecords(lambda: producer.chain.view),
    )
    if settings.is_devnet or settings.wallet_keys:
        methods = replace(methods, wallet=DevnetWallet(settings.wallet_keys))
    if settings.is_devnet:
        control = DevnetControl(producer, backend)
        methods = replace(methods, devnet=control)
    return backend, methods
