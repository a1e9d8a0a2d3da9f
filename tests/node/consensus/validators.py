"""Validators of one process over real sockets, and a stranger among their peers that says what a test wants."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import trio

from dmchain.chain.blockchain import Blockchain
from dmchain.chain.consensus.encoding import encode_message
from dmchain.chain.consensus.messages import Message, Vote
from dmchain.chain.consensus.signbytes import compute_domain, sign_digest
from dmchain.chain.genesis import Genesis, parse_genesis
from dmchain.chain.mempool import Mempool
from dmchain.chain.primitives.crypto import PrivateKey, keccak
from dmchain.chain.primitives.transaction import DYNAMIC_FEE, Transaction, UnsignedTransaction, sign_transaction
from dmchain.chain.primitives.types import Address, Hash32
from dmchain.chain.store.kv import MemoryKV
from dmchain.marketplace_vm.executor import NativeExecutor
from dmchain.node.backend import ChainBackend
from dmchain.node.consensus.validator import NetworkSettings, Surroundings, ValidatorNode
from dmchain.node.network.addresses import Target
from dmchain.node.network.identity import ChainIdentity, NodeKey
from dmchain.node.network.messages import (
    ConsensusBody,
    ConsensusMessage,
    Push,
    Refusal,
    RefusalCode,
    Reply,
    Request,
    Status,
)
from dmchain.node.network.peer import Peer
from dmchain.node.network.peers import PeerManager, PeersConfig
from dmchain.node.network.transport import Endpoint, TcpNetwork
from dmchain.node.production import DecideAlone, Producer, ProductionConfig, initial_pool_head
from dmchain.node.testnet import PlannedValidator, make_genesis, plan_validators
from tests.simulation.full_node import JournalInMemory

CHAIN_ID = 1337
ETHER = 10**18
GWEI = 10**9
TIMEOUTS = {"proposeMs": 1_500, "prevoteMs": 300, "precommitMs": 300}
"""Long enough for a busy machine, short enough where a validator is away."""
ACCOUNT = PrivateKey(keccak(b"account"))


@dataclass
class RunningValidator:
    """A validator node whose store and journal are in memory."""

    planned: PlannedValidator
    chain: Blockchain
    producer: Producer
    backend: ChainBackend
    validator: ValidatorNode

    @property
    def height(self) -> int:
        return self.chain.head.number

    @property
    def connected(self) -> set[Address]:
        return set(self.validator.manager.peers)


def build_validator(planned: PlannedValidator, genesis: Genesis) -> RunningValidator:
    chain = Blockchain(MemoryKV(), genesis, NativeExecutor(genesis.rules))
    config = ProductionConfig(planned.operator, genesis.gas_limit)
    producer = Producer(chain, Mempool(CHAIN_ID, initial_pool_head(chain, genesis.gas_limit)), config, DecideAlone())
    producer.follow_head(())
    backend = ChainBackend(producer, role="validator", is_devnet=False, automine=lambda: False)
    producer.on_block = backend.announce_block
    settings = NetworkSettings(
        node_key=planned.node_key,
        consensus_key=planned.consensus_key,
        journal=Path("unused"),
        listen=Endpoint(planned.p2p_host, planned.p2p_port),
        randao=planned.randao,
    )
    surroundings = Surroundings(journal=JournalInMemory())
    return RunningValidator(
        planned, chain, producer, backend, ValidatorNode(genesis, settings, producer, backend, surroundings)
    )


class Network:
    """Validators, not started yet but built; `start` runs some."""

    def __init__(self, nursery: trio.Nursery, count: int, staking: Mapping[str, Any] | None = None) -> None:
        self._nursery = nursery
        self._nonce = 0
        self.running: list[RunningValidator] = []
        planned = plan_validators(Path(), [Address(bytes([n + 1]) * 20) for n in range(count)], first_p2p_port=0)
        document = make_genesis(
            planned,
            {ACCOUNT.address: 1_000_000 * ETHER},
            chain_id=CHAIN_ID,
            consensus=TIMEOUTS,
            staking=staking,
            onion_layers=1_000,
        )
        self.genesis = parse_genesis(json.loads(json.dumps(document)))
        self.nodes = [build_validator(each, self.genesis) for each in planned]
        self.domain = compute_domain(CHAIN_ID, self.nodes[0].chain.genesis_header.hash)

    async def start(self, *numbers: int) -> None:
        """All that run are connected to each other when this returns."""
        for number in numbers or range(len(self.nodes)):
            await self.start_unconnected(number)
        await self.until_connected()

    async def start_unconnected(self, number: int) -> None:
        """Only listening when this returns."""
        await self._nursery.start(self.nodes[number].validator.run)
        self.running.append(self.nodes[number])

    async def until_connected(self) -> None:
        ids = {node.planned.node_key.address for node in self.running}
        await until(lambda: all(len(ids & node.connected) == len(ids) - 1 for node in self.running), 10, "connected")

    def next_nonce(self) -> int:
        self._nonce += 1
        return self._nonce - 1

    async def decide(self, number: int = 0, *, seconds: float = 10.0) -> float:
        """Send a transaction to a node and wait until it is in the node's chain; return how long that took."""
        node, began = self.nodes[number], trio.current_time()
        tx = signed_transfer(self.next_nonce())
        node.backend.submit_transaction(tx)
        await until(lambda: node.backend.transaction(tx.hash).header is not None, seconds, "mined")  # type: ignore[union-attr]
        return trio.current_time() - began

    def sign(self, key: PrivateKey, vote: Vote) -> Vote:
        parity, r, s = key.sign(sign_digest(self.domain, vote))
        return vote.signed(r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes((parity,)))

    @asynccontextmanager
    async def stranger(
        self,
        number: int = 0,
        *,
        status: Status | None = None,
        key: int = 666,
        answer: Callable[[Request], Awaitable[Reply]] | None = None,
    ) -> AsyncIterator[Stranger]:
        """Somebody without stake who is connected to a validator."""
        target = self.nodes[number]
        identity = ChainIdentity(CHAIN_ID, target.chain.genesis_header.hash)
        stranger = Stranger(status or Status(0, target.chain.genesis_header.hash, 0))
        stranger.answer = answer
        planned = target.planned
        manager = PeerManager(
            TcpNetwork(),
            NodeKey(PrivateKey(key.to_bytes(32, "big"))),
            identity,
            PeersConfig(targets=(Target(Endpoint(planned.p2p_host, planned.p2p_port), None),)),
            stranger,
            lambda: stranger.status,
            Random(key),
        )
        async with trio.open_nursery() as nursery:
            await nursery.start(manager.run)
            await until(lambda: bool(stranger.peers or stranger.gone), 10, "the stranger is connected")
            yield stranger
            nursery.cancel_scope.cancel()


class Stranger:
    """A PeerHandler without manners. `answer` is asked for replies."""

    def __init__(self, status: Status) -> None:
        self.status = status
        self.peers: dict[int, Peer] = {}
        self.heard: list[bytes] = []
        """Consensus payloads."""
        self.gone: list[str] = []
        self.requests = 0
        self.answer: Callable[[Request], Awaitable[Reply]] | None = None

    def on_peer(self, peer: Peer) -> None:
        self.peers[peer.number] = peer

    async def on_message(self, peer: Peer, message: Push) -> None:
        if isinstance(message, ConsensusMessage | ConsensusBody):
            self.heard.append(message.payload)

    async def on_request(self, peer: Peer, request: Request) -> Reply:
        self.requests += 1
        if self.answer is None:
            return Refusal(RefusalCode.UNAVAILABLE, "no")
        return await self.answer(request)

    def on_gone(self, peer: Peer, reason: str) -> None:
        self.peers.pop(peer.number, None)
        self.gone.append(reason)

    def say(self, *messages: Message | bytes) -> None:
        """Consensus messages, or bytes in their place."""
        for message in messages:
            payload = message if isinstance(message, bytes) else encode_message(message)
            for peer in list(self.peers.values()):
                peer.send(ConsensusBody(payload) if len(payload) > 100_000 else ConsensusMessage(payload))

    @property
    def is_cut(self) -> bool:
        return bool(self.gone)


POLL_SECONDS = 0.01
MAX_COUNTED_SECONDS = 0.05


async def until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait for something to be true. Of each look at most 50 ms count: a machine that gives this process no time for ten
    seconds has not shown that ten seconds are too few."""
    left = seconds
    while not condition():
        if left <= 0:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        began = trio.current_time()
        await trio.sleep(POLL_SECONDS)
        left -= min(trio.current_time() - began, MAX_COUNTED_SECONDS)


async def cut(stranger: Stranger) -> None:
    """Wait until the stranger's connection is over."""
    await until(lambda: stranger.is_cut, 10, "the stranger is cut")


@asynccontextmanager
async def open_network(count: int, *, staking: Mapping[str, Any] | None = None) -> AsyncIterator[Network]:
    async with trio.open_nursery() as nursery:
        yield Network(nursery, count, staking)
        nursery.cancel_scope.cancel()


def signed_transfer(nonce: int) -> Transaction:
    unsigned = UnsignedTransaction(DYNAMIC_FEE, CHAIN_ID, nonce, 21_000, 100 * GWEI, GWEI, Address(b"\x77" * 20), 1)
    return sign_transaction(unsigned, ACCOUNT)


def some_hash(number: int) -> Hash32:
    return Hash32(keccak(number.to_bytes(32, "big")))
