"""Endpoints, and real sockets behind the Network protocol."""

from __future__ import annotations

import pytest
import trio

from dmchain.chain.primitives.errors import DmchainError
from dmchain.node.network.transport import Endpoint, TcpNetwork


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("127.0.0.1:30303", Endpoint("127.0.0.1", 30303)),
        ("[::1]:1", Endpoint("::1", 1)),
        ("seed.example.org:65535", Endpoint("seed.example.org", 65535)),
    ],
)
def test_endpoints_are_read_and_written(text: str, endpoint: Endpoint) -> None:
    assert Endpoint.parse(text) == endpoint
    assert str(endpoint) == text


@pytest.mark.parametrize("text", ["", ":", "a", "a:b", "a:65536", "a:+1", "a: 1", "a:" + "1" * 6, "x" * 254 + ":1"])
def test_broken_endpoints_are_refused(text: str) -> None:
    with pytest.raises(DmchainError, match="expected host:port"):
        Endpoint.parse(text)


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [
        ("127.0.0.1", True),
        ("127.3.2.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.0.0.1", False),
        ("a", False),
    ],
)
def test_loopback_is_recognised(host: str, is_loopback: bool) -> None:
    assert Endpoint(host, 1).is_loopback == is_loopback


async def test_tcp_carries_bytes_both_ways() -> None:
    heard: list[tuple[bytes, Endpoint]] = []

    async def answer(stream: trio.abc.Stream, remote: Endpoint) -> None:
        async with stream:
            heard.append((bytes(await stream.receive_some(100)), remote))
            await stream.send_all(b"answer")

    network = TcpNetwork()
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            endpoint = await nursery.start(network.listen, Endpoint("127.0.0.1", 0), answer)
            assert endpoint.port
            async with await network.dial(endpoint) as stream:
                await stream.send_all(b"question")
                assert await stream.receive_some(100) == b"answer"
            nursery.cancel_scope.cancel()
    assert heard[0][0] == b"question" and heard[0][1].host == "127.0.0.1"


async def test_nobody_there_is_an_os_error() -> None:
    with trio.fail_after(5), pytest.raises(OSError):
        await TcpNetwork().dial(Endpoint("127.0.0.1", 1))
