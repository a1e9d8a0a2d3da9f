"""Whole nodes under a virtual clock and a network in memory: what a process has, but for threads, files and sockets.

A node's store and journal outlive its crashes; everything else is built anew. One seed decides a run (tests/
deterministic.py); the trace is a hash over everything that was sent and decided, with its time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import trio

from dmchain.chain.blockchain import Blockchain, ExecutedBlock
from dmchain.chain.consensus.messages import SignRecord
from dmchain.chain.genesis import DEFAULT_GAS_LIMIT, parse_genesis
from dmchain.chain.mempool import Mempool
from dmchain.chain.primitives.crypto import PrivateKey, keccak
from dmchain.chain.primitives.transaction import DYNAMIC_FEE, Transaction, UnsignedTransaction, sign_transaction
from dmchain.chain.primitives.types import Address
from dmchain.chain.store.gathered import GatheringKV
from dmchain.chain.store.kv import MemoryKV, Write
from dmchain.marketplace_vm.executor import NativeExecutor
from dmchain.node.backend import ChainBackend
from dmchain.node.consensus.validator import NetworkSettings, Surroundings, ValidatorNode
from dmchain.node.errors import first_error
from dmchain.node.network.errors import DisconnectCode, TurnedAway
from dmchain.node.network.identity import ChainIdentity, NodeId
from dmchain.node.network.simulated import LinkModel, PlainSecurity, SimulatedNetwork
from dmchain.node.network.transport import Endpoint
from dmchain.node.production import DecideAlone, Producer, ProductionConfig, initial_pool_head
from dmchain.node.randao import RandaoSeed
from dmchain.node.testnet import PlannedValidator, make_genesis
from dmchain.node.verification import WorkerVerifier
from dmchain.node.worker import InlineWorker
from tests.simulation.checker import Checker

CHAIN_ID = 1337
GENESIS_TIME = 1_750_000_000
ETHER = 10**18
GWEI = 10**9
P2P_PORT = 30303
ONION_LAYERS = 2_000
FAST = {
    "proposeMs": 600, "proposeDeltaMs": 200, "prevoteMs": 300, "prevoteDeltaMs": 200, "precommitMs": 300,
    "precommitDeltaMs": 200, "heartbeatMs": 5_000, "retryMs": 500, "messageDelayMs": 1_000,
}  # fmt: skip
"""Timeouts for links of some 30 ms; what is tested is not how long people wait."""
LINKS = LinkModel(latency_seconds=(0.005, 0.04), retransmission_seconds=0.1)


def secret(kind: str, number: int) -> PrivateKey:
    return PrivateKey(keccak(f"{kind} {number}".encode()))


class Disk(MemoryKV):
    """A store that outlives its process. A write under way when the process dies is there afterwards, or is not."""

    successor: Disk | None = None
    is_last_write_kept = False

    def write(self, batch: Sequence[Write], *, sync: bool) -> None:
        if self.successor is None or self.is_last_write_kept:
            super().write(batch, sync=sync)

    def after_crash(self, rng: Random) -> Disk:
        """What the next process finds."""
        self.is_last_write_kept = rng.random() < 0.5
        self.successor = Disk(self._entries)
        return self.successor


class JournalInMemory:
    """The sign journal, which outlives crashes as the disk does."""

    def __init__(self, record: SignRecord | None = None, sign_from: int | None = 0) -> None:
        self.record = record
        self.sign_from = sign_from
        self.successor: JournalInMemory | None = None
        self.is_last_write_kept = False

    def append(self, record: SignRecord) -> None:
        if self.successor is None:
            self.record = record
        elif self.is_last_write_kept:
            self.successor.record = record

    def allow_from(self, height: int) -> None:
        self.sign_from = height

    def close(self) -> None:
        pass

    def after_crash(self, rng: Random) -> JournalInMemory:
        self.is_last_write_kept = rng.random() < 0.5
        self.successor = JournalInMemory(self.record, self.sign_from)
        return self.successor


class FullNode:
    """One node of a simulation; `life` counts its starts. `failure` is what it died of, by itself."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.number = number
        self.address = f"10.{number + 1}.0.1"
        self.consensus_key = secret("consensus", number)
        self.node_key = secret("node", number)
        self.operator_key = secret("operator", number)
        self.randao = RandaoSeed(keccak(f"randao {number}".encode()))
        self.disk = Disk()
        self.journal = JournalInMemory()
        self.validates = True
        self.life = 0
        self.is_running = False
        self.ended = trio.Event()
        self.failure: BaseException | None = None
        self.tamper: Callable[[ValidatorNode], None] = lambda validator: None
        """Applied at each start: how a byzantine node is made."""

    @property
    def planned(self) -> PlannedValidator:
        return PlannedValidator(
            home=Path(),
            operator=self.operator_key.address,
            consensus_key=self.consensus_key,
            node_key=self.node_key,
            rpc_port=0,
            p2p_host=self.address,
            p2p_port=P2P_PORT,
            randao=self.randao,
        )

    @property
    def is_alive(self) -> bool:
        """False for a process that was killed and whose last tasks have not noticed: nothing leaves it any more."""
        return self.store.base is self.disk

    @property
    def height(self) -> int:
        return self.chain.head.number

    def build(self) -> None:
        """Everything that a process builds when it starts."""
        world = self.world
        self.life += 1
        rng = Random(f"{world.seed} {self.number} {self.life}")
        self.store = GatheringKV(self.disk)
        self.chain = Blockchain(self.store, world.genesis, NativeExecutor(world.genesis.rules))
        config = ProductionConfig(self.operator_key.address, world.genesis.gas_limit)
        self.producer = Producer(
            self.chain,
            Mempool(CHAIN_ID, initial_pool_head(self.chain, config.gas_limit)),
            config,
            DecideAlone(),
            clock=world.clock,
            stopwatch=trio.current_time,
            on_block=self._on_block,
        )
        self.producer.follow_head(())
        self.backend = ChainBackend(self.producer, role="validator", is_devnet=False, automine=lambda: False)
        identity = ChainIdentity(CHAIN_ID, self.chain.genesis_header.hash)
        settings = NetworkSettings(
            node_key=self.node_key,
            consensus_key=self.consensus_key if self.validates else None,
            journal=Path("unused"),
            listen=Endpoint(self.address, P2P_PORT),
            randao=self.randao,
        )

        def make_worker() -> InlineWorker:
            return InlineWorker(lambda: rng.uniform(0.0005, 0.005))

        self.validator = ValidatorNode(
            world.genesis,
            settings,
            self.producer,
            self.backend,
            Surroundings(
                network=world.network.host(self.address),
                rng=rng,
                clock=lambda: world.clock() + world.clock_error.get(self.number, 0.0),
                make_worker=make_worker,
                make_journal_worker=make_worker,
                make_verifier=lambda domain: WorkerVerifier(domain, make_worker()),
                security=PlainSecurity(NodeId(self.node_key.address), identity),
                journal=self.journal,
            ),
        )
        self._keep_to_neighbours()
        world.checker.watch(self)
        self.tamper(self.validator)

    def _keep_to_neighbours(self) -> None:
        """In a sparse topology: dial only neighbours, and turn others away."""
        neighbours = self.world.neighbours
        if neighbours is None:
            return
        allowed = {self.world.nodes[other].node_key.address for other in neighbours[self.number]}
        manager = self.validator.manager
        keep, admit = manager.keep, manager.admit

        def keep_neighbour(target: Any) -> None:
            if target.node_id in allowed:
                keep(target)

        def admit_neighbour(peer: Any) -> None:
            if peer.node_id not in allowed:
                raise TurnedAway(DisconnectCode.FULL, "not a neighbour")
            admit(peer)

        manager.keep, manager.admit = keep_neighbour, admit_neighbour  # type: ignore[method-assign]

    def _on_block(self, executed: ExecutedBlock) -> None:
        self.backend.announce_block(executed)
        if self.is_alive:  # else it died while it wrote
            self.world.checker.check_block(self, executed)

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        self.build()
        self.is_running = True
        self.ended = trio.Event()
        try:
            with trio.CancelScope() as self.scope:
                async with trio.open_nursery() as nursery:
                    await nursery.start(self.validator.run)
                    task_status.started()
        except BaseExceptionGroup as group:
            self.failure = first_error(group)
            if not self.world.expects_failures:
                raise
        finally:
            self.is_running = False
            self.ended.set()

    def submit(self, transaction: Transaction) -> None:
        """As eth_sendRawTransaction does."""
        self.backend.submit_transaction(transaction)


class World:
    """Some nodes on one genesis. Use `open_world`."""

    def __init__(
        self,
        nursery: trio.Nursery,
        seed: int,
        count: int,
        *,
        links: LinkModel = LINKS,
        consensus: Mapping[str, int] | None = None,
        staking: Mapping[str, Any] | None = None,
        founders: int | None = None,
        neighbours: Mapping[int, Iterable[int]] | None = None,
        gas_limit: int = DEFAULT_GAS_LIMIT,
    ) -> None:
        """`founders` of the nodes validate from block 1 on, all by default. `neighbours` of each node by number."""
        self.seed = seed
        self.rng = Random(seed)
        self.nursery = nursery
        self.network = SimulatedNetwork(Random(f"network {seed}"), links)
        self.nodes = [FullNode(self, number) for number in range(count)]
        self.accounts = [secret("account", number) for number in range(8)]
        self.neighbours = neighbours
        self.clock_error: dict[int, float] = {}
        """Seconds by node."""
        self.expects_failures = False
        funded = {each.address: 10_000 * ETHER for each in self.accounts}
        funded |= {node.operator_key.address: 1_000_000 * ETHER for node in self.nodes}
        document = make_genesis(
            [node.planned for node in self.nodes[: founders or count]],
            funded,
            chain_id=CHAIN_ID,
            gas_limit=gas_limit,
            consensus={**FAST, **(consensus or {})},
            staking=staking,
            onion_layers=ONION_LAYERS,
        )
        document["timestamp"] = hex(GENESIS_TIME)
        self.genesis = parse_genesis(json.loads(json.dumps(document)))
        self.trace = hashlib.sha256()
        self.checker = Checker(self)
        self.load = Load(self)

    def clock(self) -> float:
        return GENESIS_TIME + trio.current_time()

    # -- what happens to nodes -----------------------------------------------------------------------------------
    async def start(self, *numbers: int) -> None:
        for number in numbers or range(len(self.nodes)):
            await self.nursery.start(self.nodes[number].run)

    def crash(self, number: int, *, is_silent: bool = False) -> None:
        """kill -9, or with `is_silent` a power cut."""
        node = self.nodes[number]
        self.note("crash", number)
        self.network.kill(node.address, is_silent=is_silent)
        rng = Random(f"crash {self.seed} {number} {node.life}")
        node.disk, node.journal = node.disk.after_crash(rng), node.journal.after_crash(rng)
        node.is_running = False
        node.scope.cancel()

    async def restart(self, number: int) -> None:
        await self.nodes[number].ended.wait()
        await self.start(number)

    def partition(self, *islands: Iterable[int]) -> None:
        self.note("partition", *islands)
        self.network.partition(*[{self.nodes[number].address for number in island} for island in islands])

    def heal(self) -> None:
        self.note("heal")
        self.network.heal()

    def note(self, *what: Any) -> None:
        """Put something into the trace."""
        self.trace.update(f"{trio.current_time():.6f} {what!r}\n".encode())

    # -- waiting -------------------------------------------------------------------------------------------------
    @property
    def running(self) -> list[FullNode]:
        return [node for node in self.nodes if node.is_running]

    async def until(self, condition: Callable[[], bool], seconds: float = 60.0, what: str = "") -> None:
        """Wait for something to be true; of virtual seconds there are `seconds`."""
        with trio.move_on_after(seconds):
            while not condition():
                await trio.sleep(0.02)
            return
        heights = [node.height if node.life else None for node in self.nodes]
        raise AssertionError(f"seed {self.seed}: not within {seconds:g} s: {what}; heights {heights}")

    async def until_height(self, height: int, numbers: Iterable[int] | None = None, seconds: float = 60.0) -> None:
        nodes = [self.nodes[number] for number in numbers] if numbers is not None else self.running
        await self.until(lambda: all(node.height >= height for node in nodes), seconds, f"height {height}")

    async def until_mined(self, seconds: float = 60.0) -> None:
        """All that the load has had accepted is in everybody's chain."""
        await self.until(self.load.is_mined, seconds, "all transactions mined")

    def node_of_proposer(self, height: int) -> FullNode:
        """Whose turn it is in round 0 of the height after the head."""
        epoch = self.running[0].validator.app.epochs.at(height)
        address = epoch.validators.validators[epoch.proposer(height, 0)].address
        return next(node for node in self.nodes if node.consensus_key.address == address)


class Load:
    """Clients that send transfers, and send again what is not mined after a while, as clients do."""

    PATIENCE_SECONDS = 4.0

    def __init__(self, world: World) -> None:
        self.world = world
        self.rng = Random(f"load {world.seed}")
        self.nonces = [0] * len(world.accounts)
        self.waiting: dict[bytes, tuple[Transaction, float]] = {}
        self.accepted: list[Transaction] = []
        self.is_running = False

    def send(self, account: int | None = None, *, to: bytes = b"\x77" * 20, at: FullNode | None = None) -> Transaction:
        """Send one transfer to a running node."""
        account = self.rng.randrange(len(self.nonces)) if account is None else account
        key = self.world.accounts[account]
        tx = transfer(key, self.nonces[account], to)
        (at or self.rng.choice(self.world.running)).submit(tx)
        self.nonces[account] += 1
        self.accepted.append(tx)
        self.waiting[tx.hash] = (tx, trio.current_time())
        return tx

    async def run(self, count: int, per_second: float) -> None:
        """Send `count` transactions at random times."""
        self.is_running = True
        for _ in range(count):
            await trio.sleep(self.rng.expovariate(per_second))
            if self.world.running:
                self.send()
            self.send_again()
        self.is_running = False

    def send_again(self) -> None:
        now = trio.current_time()
        mined = self.world.checker.mined
        for tx_hash, (tx, sent_at) in list(self.waiting.items()):
            if tx_hash in mined:
                del self.waiting[tx_hash]
            elif now - sent_at > self.PATIENCE_SECONDS and self.world.running:
                self.waiting[tx_hash] = (tx, now)
                node = self.rng.choice(self.world.running)
                if tx_hash not in node.producer.pool and tx.nonce >= node.backend.pending_nonce(tx.sender):
                    node.submit(tx)

    def is_mined(self) -> bool:
        self.send_again()
        mined = self.world.checker.mined
        if self.is_running or not all(tx.hash in mined for tx in self.accepted):
            return False
        last = max([mined[tx.hash] for tx in self.accepted], default=0)
        return all(node.height >= last for node in self.world.running)


def transfer(
    key: PrivateKey, nonce: int, to: bytes, value: int = 1, data: bytes = b"", gas: int = 21_000
) -> Transaction:
    unsigned = UnsignedTransaction(DYNAMIC_FEE, CHAIN_ID, nonce, gas, 100 * GWEI, GWEI, Address(to), value, data)
    return sign_transaction(unsigned, key)


@asynccontextmanager
async def open_world(seed: int, count: int, **options: Any) -> AsyncIterator[World]:
    """A world whose nodes are not started yet; at the end everything that was seen is checked once more."""
    async with trio.open_nursery() as nursery:
        world = World(nursery, seed, count, **options)
        await nursery.start(world.network.run)
        yield world
        world.checker.check_end()
        nursery.cancel_scope.cancel()
