"""Real nodes on loopback."""

from __future__ import annotations

import hashlib

import pytest
import trio

from dmchain.node.network.messages import Blocks, ConsensusBody, ConsensusMessage, GetBlocks
from tests.node.network.nodes import tcp_nodes


async def test_four_nodes_connect_and_talk() -> None:
    async with tcp_nodes() as start:
        nodes = [await start(number) for number in range(1, 5)]
        for node in nodes:
            for other in nodes:
                if other is not node:
                    node.manager.keep(other.target)
        for node in nodes:
            await node.recorder.wait_until(lambda node=node: len(node.manager.peers) == 3)
        for number, node in enumerate(nodes):
            assert node.manager.broadcast(ConsensusMessage(b"%d" % number)) == 3
        for number, node in enumerate(nodes):
            await node.recorder.wait_until(lambda node=node: len(node.recorder.messages) == 3)
            heard = sorted(message.payload for _, message in node.recorder.messages)
            assert heard == [b"%d" % other for other in range(4) if other != number]
        assert all(node.manager.counters.offences == 0 for node in nodes)


async def test_large_messages_and_many_requests_at_once() -> None:
    async with tcp_nodes() as start:
        one = await start(1)
        two = await start(2, targets=(one.target,))
        await two.recorder.wait_until(lambda: bool(two.recorder.peers))
        peer = two.recorder.only_peer
        body = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(100_000))
        one.recorder.size = 100_000
        replies: list[int] = []

        async def ask(count: int) -> None:
            reply = await peer.request(GetBlocks(1, count))
            assert isinstance(reply, Blocks)
            replies.append(len(reply.blocks))

        async with trio.open_nursery() as nursery:
            for count in range(1, 11):
                nursery.start_soon(ask, count)
            peer.send(ConsensusBody(body))
        assert sorted(replies) == list(range(1, 11))
        await one.recorder.wait_until(lambda: bool(one.recorder.messages))
        assert one.recorder.messages[0][1] == ConsensusBody(body)


async def test_an_address_in_use_is_an_os_error() -> None:
    with pytest.RaisesGroup(OSError, flatten_subgroups=True, allow_unwrapped=True):
        async with tcp_nodes() as start:
            one = await start(1)
            await start(2, listen=one.endpoint)


async def test_ending_a_node_ends_its_connections() -> None:
    async with tcp_nodes() as start:
        one = await start(1)
        two = await start(2, targets=(one.target,))
        await two.recorder.wait_until(lambda: bool(two.recorder.peers))
        one.scope.cancel()
        await two.recorder.wait_until(lambda: not two.recorder.peers)
        assert two.recorder.reasons[0] in ("closed by the peer", "connection lost")
