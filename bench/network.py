"""What the network costs: links, messages, votes, blocks, on loopback with everything in one process.

    python bench/network.py [--quick]

Both ends run in this process, so every figure has the work of both in it. On a shared machine only the order of
magnitude means something; the handshake is measured in CPU time, which others do not disturb.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import trio

from dmchain.node.network.handshake import Handshake
from dmchain.node.network.limits import LimitsConfig, Rate
from dmchain.node.network.messages import (
    MAX_CONSENSUS_BYTES,
    Blocks,
    ConsensusBody,
    ConsensusMessage,
    GetBlocks,
    Push,
)
from dmchain.node.network.peer import Peer
from dmchain.node.network.peers import PeerManager
from dmchain.node.network.wire import FrameDecoder, encode
from tests.node.network.nodes import CHAIN, Recorder, TestNode, node_key, tcp_nodes

VOTE_BYTES = 1024
BLOCK_BYTES = 500 * 1024
NODES = 4
WINDOW = 64
UNLIMITED = LimitsConfig(bytes=Rate(1e12, 1e12), messages=Rate(1e9, 1e9), types={})
"""The limits are what an attacker meets; here the question is what there is to be limited."""

Arrival = Callable[[bytes], None]


def percentile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def cpu_per_call(work: Callable[[], object], rounds: int) -> float:
    """CPU seconds, the best of three."""
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        for _ in range(rounds):
            work()
        best = min(best, time.process_time() - start)
    return best / rounds


def shake_hands() -> None:
    initiator = Handshake(KEYS[0], CHAIN, is_initiator=True)
    responder = Handshake(KEYS[1], CHAIN, is_initiator=False)
    responder.receive_data(initiator.receive_data(responder.receive_data(initiator.start())))
    assert initiator.secured is not None and responder.secured is not None


KEYS = (node_key(1), node_key(2))


def code_a_vote() -> None:
    decoder = FrameDecoder()
    decoder.receive_data(encode(ConsensusMessage(VOTE)))
    decoder.next_frame()


VOTE = bytes(VOTE_BYTES)


class Judge(Recorder):
    """Takes every consensus message and reports its arrival."""

    def __init__(self, arrived: Arrival) -> None:
        super().__init__(keeps=False)
        self.arrived = arrived
        self.manager: PeerManager

    async def on_message(self, peer: Peer, message: Push) -> None:
        assert isinstance(message, ConsensusMessage | ConsensusBody)
        self.arrived(message.payload)

    def publish(self, payload: bytes) -> None:
        is_large = len(payload) > MAX_CONSENSUS_BYTES
        self.manager.broadcast(ConsensusBody(payload) if is_large else ConsensusMessage(payload))


async def mesh(start: Callable[..., Awaitable[TestNode]], arrived: Arrival) -> list[Judge]:
    """NODES nodes, all connected to each other."""
    nodes: list[TestNode] = []
    judges: list[Judge] = []
    for number in range(1, NODES + 1):
        judge = Judge(arrived)
        targets = tuple(node.target for node in nodes)
        node = await start(number, recorder=judge, targets=targets, limits=UNLIMITED)
        judge.manager = node.manager
        nodes.append(node)
        judges.append(judge)
    for judge in judges:
        await judge.wait_until(lambda judge=judge: len(judge.peers) == NODES - 1)  # type: ignore[misc]
    return judges


async def measure_latency(size: int, per_second: float, seconds: float) -> list[float]:
    """Seconds from publishing a message to its arrival at each other node; the nodes take turns."""
    sent: dict[bytes, float] = {}
    latencies: list[float] = []

    def arrived(payload: bytes) -> None:
        latencies.append(trio.current_time() - sent[payload[:8]])

    async with tcp_nodes(seconds + 60) as start:
        judges = await mesh(start, arrived)
        until = trio.current_time() + seconds
        number = 0
        while trio.current_time() < until:
            number += 1
            head = number.to_bytes(8, "big")
            payload = head + hashlib.sha256(head).digest() * (size // 32)
            sent[head] = trio.current_time()
            judges[number % NODES].publish(payload[:size])
            await trio.sleep(1 / per_second)
        await trio.sleep(0.5)
    assert len(latencies) == number * (NODES - 1), f"{len(latencies)} of {number * (NODES - 1)} arrived"
    return latencies


async def measure_throughput(seconds: float) -> float:
    """Messages a second from one node to another, WINDOW of them under way."""
    slots = trio.Semaphore(WINDOW)
    count = 0

    async def take(peer: Peer, message: Push) -> None:
        nonlocal count
        count += 1
        slots.release()

    async with tcp_nodes(seconds + 60) as start:
        one = await start(1, recorder=Recorder(keeps=False, on_push=take), limits=UNLIMITED)
        two = await start(2, targets=(one.target,), limits=UNLIMITED)
        await two.recorder.wait_until(lambda: bool(two.recorder.peers))
        peer, begin = two.recorder.only_peer, trio.current_time()
        while trio.current_time() < begin + seconds:
            await slots.acquire()
            peer.send(ConsensusMessage(VOTE))
        return count / (trio.current_time() - begin)


async def measure_sync(seconds: float) -> float:
    """Bytes a second in replies of 2 MB, four requests in flight."""
    received = 0

    async def ask(peer: Peer, until: float) -> None:
        nonlocal received
        while trio.current_time() < until:
            reply = await peer.request(GetBlocks(1, 20))
            assert isinstance(reply, Blocks)
            received += sum(len(block.block) for block in reply.blocks)

    async with tcp_nodes(seconds + 60) as start:
        one = await start(1, recorder=Recorder(keeps=False, size=100_000), limits=UNLIMITED)
        two = await start(2, targets=(one.target,), limits=UNLIMITED)
        await two.recorder.wait_until(lambda: bool(two.recorder.peers))
        peer, begin = two.recorder.only_peer, trio.current_time()
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(ask, peer, begin + seconds)
        return received / (trio.current_time() - begin)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a second for each figure instead of five")
    seconds = 1.0 if parser.parse_args().quick else 5.0
    votes = trio.run(measure_latency, VOTE_BYTES, 100, seconds)
    blocks = trio.run(measure_latency, BLOCK_BYTES, 4, seconds)
    rows = (
        ("handshake, both ends, CPU", f"{cpu_per_call(shake_hands, 100) * 1e3:.2f} ms"),
        ("1 KiB vote encoded and decoded, CPU", f"{cpu_per_call(code_a_vote, 5000) * 1e6:.1f} µs"),
        (f"1 KiB messages, one link, {WINDOW} under way", f"{trio.run(measure_throughput, seconds):,.0f} /s"),
        (f"1 KiB votes, 100/s, {NODES} nodes: p50", f"{percentile(votes, 0.5) * 1e3:.2f} ms"),
        (f"1 KiB votes, 100/s, {NODES} nodes: p99", f"{percentile(votes, 0.99) * 1e3:.2f} ms"),
        (f"500 KiB blocks, 4/s, {NODES} nodes: p50", f"{percentile(blocks, 0.5) * 1e3:.1f} ms"),
        (f"500 KiB blocks, 4/s, {NODES} nodes: p99", f"{percentile(blocks, 0.99) * 1e3:.1f} ms"),
        ("block replies of 2 MB, four in flight", f"{trio.run(measure_sync, seconds) / 2**20:,.0f} MiB/s"),
    )
    width = max(len(name) for name, _ in rows)
    for name, figure in rows:
        print(f"{name:<{width}}  {figure:>12}")


if __name__ == "__main__":
    main()
