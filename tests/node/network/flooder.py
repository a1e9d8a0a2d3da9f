"""An attacker as a process of its own: `python -m tests.node.network.flooder HOST PORT KIND SOURCE`.

Connects from SOURCE, again and again when it is cut, and sends as much as it can. Ends when its input is closed.
"""

from __future__ import annotations

import itertools
import sys

import trio

from dmchain.node.network.errors import HandshakeError, LinkClosed
from dmchain.node.network.messages import ConsensusMessage, Hello, Ping, TransactionHashes
from dmchain.node.network.transport import Endpoint
from dmchain.node.network.wire import encode
from tests.node.network.nodes import Attacker, status

numbers = itertools.count()


def pings() -> bytes:
    return b"".join(encode(Ping(), 1 + next(numbers) % 1000) for _ in range(1000))


def votes() -> bytes:
    """All different, so that each is judged."""
    return b"".join(encode(ConsensusMessage(b"valid %d" % next(numbers))) for _ in range(1000))


def repeats() -> bytes:
    return encode(ConsensusMessage(b"valid")) * 1000


def hashes() -> bytes:
    return encode(TransactionHashes(tuple(next(numbers).to_bytes(32, "big") for _ in range(1000)))) * 10


FLOODS = {"pings": pings, "votes": votes, "repeats": repeats, "hashes": hashes}


async def flood(endpoint: Endpoint, kind: str, source: str) -> None:
    """One connection after the other."""
    for number in itertools.count(1000):
        try:
            attacker = await Attacker.connect(endpoint, number, source=source)
            await attacker.send(Hello("flooder", bytes(8), status()))
            while True:
                await attacker.link.send(FLOODS[kind]())
        except (HandshakeError, LinkClosed, OSError):
            await trio.sleep(0.01)


async def spin() -> None:
    """Only keep a processor busy: what any other program on this machine does to its neighbours."""
    while True:
        votes()
        await trio.sleep(0)


async def connect_only(endpoint: Endpoint, source: str) -> None:
    """Open connections, say a few bytes, and let them be."""
    streams: list[trio.SocketStream] = []
    while True:
        try:
            stream = await trio.open_tcp_stream(endpoint.host, endpoint.port, local_address=source)
            await stream.send_all(b"\xd1\x00")
            streams.append(stream)
        except OSError:
            await trio.sleep(0.01)
        if len(streams) > 200:
            await streams.pop(0).aclose()


async def main(host: str, port: str, kind: str, source: str) -> None:
    endpoint = Endpoint(host, int(port))
    async with trio.open_nursery() as nursery:
        if kind == "connections":
            nursery.start_soon(connect_only, endpoint, source)
        elif kind == "spin":
            nursery.start_soon(spin)
        else:
            nursery.start_soon(flood, endpoint, kind, source)
        await trio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
