"""Nodes for tests: a handler that writes down what happens, and managers over TCP or the simulated network."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import trio

from dmchain.chain.primitives.crypto import PrivateKey
from dmchain.chain.primitives.types import Hash32
from dmchain.node.network.addresses import Target
from dmchain.node.network.identity import ChainIdentity, NodeKey
from dmchain.node.network.link import NoiseLink, NoiseSecurity
from dmchain.node.network.messages import Blocks, BlockWithCommit, GetBlocks, Push, Refusal, Reply, Request, Status
from dmchain.node.network.peer import Peer
from dmchain.node.network.peers import PeerManager, PeersConfig
from dmchain.node.network.simulated import LinkModel, PlainSecurity, SimulatedNetwork
from dmchain.node.network.transport import Endpoint, TcpNetwork
from dmchain.node.network.wire import Frame, FrameDecoder, encode

CHAIN = ChainIdentity(chain_id=1337, genesis_hash=Hash32(b"g" * 32))
LOOPBACK = Endpoint("127.0.0.1", 0)
PORT = 30303


def node_key(number: int) -> NodeKey:
    """The key of node `number`; ids are in no order."""
    return NodeKey(PrivateKey(number.to_bytes(32, "big")))


def status(height: int = 0) -> Status:
    return Status(height, Hash32(height.to_bytes(32, "big")), 0)


@dataclass
class Recorder:
    """A PeerHandler that keeps everything, if `keeps`. Requests for blocks are answered with `size` bytes for each."""

    peers: dict[int, Peer] = field(default_factory=dict)
    messages: list[tuple[Peer, Push]] = field(default_factory=list)
    gone: list[tuple[Peer, str]] = field(default_factory=list)
    size: int = 100
    keeps: bool = True
    on_push: Callable[[Peer, Push], Awaitable[None]] | None = None
    on_ask: Callable[[Peer, Request], Awaitable[Reply]] | None = None
    _changed: trio.Event = field(default_factory=trio.Event)

    def on_peer(self, peer: Peer) -> None:
        self.peers[peer.number] = peer
        self._change()

    async def on_message(self, peer: Peer, message: Push) -> None:
        if self.on_push is not None:
            await self.on_push(peer, message)
        if self.keeps:
            self.messages.append((peer, message))
            self._change()

    async def on_request(self, peer: Peer, request: Request) -> Reply:
        if self.on_ask is not None:
            return await self.on_ask(peer, request)
        if isinstance(request, GetBlocks):
            return Blocks(tuple(BlockWithCommit(bytes(self.size), b"commit") for _ in range(request.count)))
        return Refusal(0, "no")

    def on_gone(self, peer: Peer, reason: str) -> None:
        del self.peers[peer.number]
        self.gone.append((peer, reason))
        self._change()

    def _change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def wait_until(self, condition: Callable[[], bool], seconds: float = 10) -> None:
        """Wait for something to be true after a callback."""
        with trio.fail_after(seconds):
            while not condition():
                await self._changed.wait()

    @property
    def only_peer(self) -> Peer:
        (peer,) = self.peers.values()
        return peer

    @property
    def reasons(self) -> list[str]:
        return [reason for _, reason in self.gone]


@dataclass
class TestNode:
    """A manager and what it told its handler. `scope` ends it, as a crash would."""

    manager: PeerManager
    recorder: Recorder
    key: NodeKey
    endpoint: Endpoint
    scope: trio.CancelScope

    @property
    def target(self) -> Target:
        return Target(self.endpoint, self.key.node_id)

    __test__ = False  # not a class of tests


async def start_node(
    nursery: trio.Nursery,
    network: Any,
    number: int,
    *,
    chain: ChainIdentity = CHAIN,
    recorder: Recorder | None = None,
    key: NodeKey | None = None,
    is_plain: bool = False,
    run_number: int = 0,
    **settings: Any,
) -> TestNode:
    """Run a node in `nursery` with `settings` of PeersConfig. `run_number` tells one run of it from the next."""
    key = key or node_key(number)
    recorder = recorder or Recorder()
    config = PeersConfig(**({"listen": LOOPBACK} | settings))
    security = PlainSecurity(key.node_id, chain) if is_plain else None
    manager = PeerManager(
        network, key, chain, config, recorder, status, Random(f"{number} {run_number}"), security=security
    )
    scope = trio.CancelScope()

    async def run(task_status: trio.TaskStatus[Endpoint | None]) -> None:
        with scope:
            await manager.run(task_status=task_status)

    endpoint = await nursery.start(run)
    return TestNode(manager, recorder, key, endpoint or LOOPBACK, scope)


@dataclass
class Simulation:
    """Nodes 1, 2, ... on hosts in different subnets."""

    network: SimulatedNetwork
    nursery: trio.Nursery

    @staticmethod
    def address(number: int) -> str:
        return f"10.{number}.0.1"

    def endpoint(self, number: int) -> Endpoint:
        return Endpoint(self.address(number), PORT)

    async def start(self, number: int, **settings: Any) -> TestNode:
        settings = {"listen": self.endpoint(number), "is_plain": True} | settings
        return await start_node(self.nursery, self.network.host(self.address(number)), number, **settings)

    async def start_pair(self, **settings: Any) -> tuple[TestNode, TestNode]:
        """Two connected nodes; the second has dialled the first."""
        one = await self.start(1, **settings)
        two = await self.start(2, targets=(Target(one.endpoint),), **settings)
        await one.recorder.wait_until(lambda: bool(one.recorder.peers))
        await two.recorder.wait_until(lambda: bool(two.recorder.peers))
        return one, two

    def crash(self, number: int, node: TestNode, *, is_silent: bool = False) -> None:
        self.network.kill(self.address(number), is_silent=is_silent)
        node.scope.cancel()


@asynccontextmanager
async def simulation(seed: int = 0, model: LinkModel | None = None) -> AsyncIterator[Simulation]:
    network = SimulatedNetwork(Random(seed), model)
    async with trio.open_nursery() as nursery:
        await nursery.start(network.run)
        yield Simulation(network, nursery)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def tcp_nodes(seconds: float = 20) -> AsyncIterator[Callable[..., Awaitable[TestNode]]]:
    """A function that starts a node on a free port of loopback: `await start(number, **settings)`."""
    with trio.fail_after(seconds):
        async with trio.open_nursery() as nursery:

            async def start(number: int, **settings: Any) -> TestNode:
                return await start_node(nursery, TcpNetwork(), number, **settings)

            yield start
            nursery.cancel_scope.cancel()


class Attacker:
    """One end of a secured link without any manners: it sends what it is told to, frame by frame or byte by byte."""

    def __init__(self, link: NoiseLink) -> None:
        self.link = link
        self.decoder = FrameDecoder(lambda _id: True)

    @classmethod
    async def connect(cls, endpoint: Endpoint, number: int = 666, *, source: str = "") -> Attacker:
        stream = await trio.open_tcp_stream(endpoint.host, endpoint.port, local_address=source or None)
        security = NoiseSecurity(node_key(number), CHAIN)
        return cls(await security.secure(stream, is_initiator=True))

    async def send(self, *messages: Any, request_id: int = 0) -> None:
        await self.link.send(b"".join(encode(message, request_id) for message in messages))

    async def receive(self) -> Frame | None:
        """The next message, None at the end."""
        while (frame := self.decoder.next_frame()) is None:
            data = await self.link.receive()
            if not data:
                return None
            self.decoder.receive_data(data)
        return frame
