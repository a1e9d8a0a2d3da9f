"""A network in memory: seeded, with latency, bandwidth, loss, partitions, back-pressure and dying hosts.

Everything happens at times that a seeded generator and the clock of trio decide, so under a mock clock and trio's
deterministic scheduler the same seed gives the same run. Streams behave as TCP does: bytes are never lost nor
reordered, a lost packet costs a retransmission, a partition stalls what is open and lets dials run into their deadline,
a dead host resets or, if it lost power, says nothing.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Final

import trio

from dmchain.node.network.errors import HandshakeError, LinkClosed
from dmchain.node.network.identity import PROLOGUE_BYTES, ChainIdentity, NodeId
from dmchain.node.network.link import RECEIVE_BYTES, close_forcefully
from dmchain.node.network.transport import Endpoint, StreamHandler

FIRST_EPHEMERAL_PORT: Final = 49152


@dataclass(frozen=True, slots=True)
class LinkModel:
    """How hosts are connected. Each pair gets a latency of its own between the two bounds, one way.

    `jitter` is the part of it that varies; `bandwidth` is what a host can send, shared by its streams; `window` is what
    may be under way or unread on one stream; `loss` is the chance that a piece costs `retransmission_seconds` more.
    """

    latency_seconds: tuple[float, float] = (0.02, 0.08)
    jitter: float = 0.1
    bandwidth_bytes_per_second: float = 12.5e6
    window_bytes: int = 1 << 20
    loss: float = 0.0
    retransmission_seconds: float = 0.2


class SimulatedNetwork:
    """All hosts of a simulation. Construct it, keep `run` running, and give each node its `host`."""

    def __init__(self, rng: Random, model: LinkModel | None = None) -> None:
        self.model = model or LinkModel()
        self.delivered_bytes = 0
        self._rng = rng
        self._latencies: dict[tuple[str, str], float] = {}
        self._sending_until: dict[str, float] = {}
        self._islands: dict[str, int] | None = None
        self._listeners: dict[Endpoint, _Listener] = {}
        self._dark: set[str] = set()
        """Hosts without power: they do not even refuse."""
        self._pipes: dict[int, _Pipe] = {}
        self._pipe_numbers = count()
        self._ports = count(FIRST_EPHEMERAL_PORT)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._event_numbers = count()
        self._wake = trio.Event()

    def host(self, address: str) -> SimulatedHost:
        """The Network of one host; `address` is an IP literal."""
        return SimulatedHost(self, address)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Deliver until cancelled."""
        task_status.started()
        while True:
            while self._events and self._events[0][0] <= trio.current_time():
                heapq.heappop(self._events)[2]()
            self._wake = trio.Event()
            with trio.move_on_at(self._events[0][0] if self._events else float("inf")):
                await self._wake.wait()

    # faults

    def partition(self, *islands: set[str]) -> None:
        """Hosts of different islands do not reach each other; hosts of none form one more."""
        self._islands = {host: number for number, island in enumerate(islands) for host in sorted(island)}

    def heal(self) -> None:
        """End the partition: what was held up goes on after a retransmission."""
        self._islands = None
        for pipe in list(self._pipes.values()):
            pipe.resume()

    def kill(self, address: str, *, is_silent: bool = False) -> None:
        """The host dies: its listeners and streams are gone. Others see a reset, or nothing if it lost power."""
        for endpoint in [endpoint for endpoint in self._listeners if endpoint.host == address]:
            del self._listeners[endpoint]
        if is_silent:
            self._dark.add(address)
        for pipe in list(self._pipes.values()):
            if address in (pipe.source, pipe.target):
                pipe.die_at(address, is_silent=is_silent)

    # for hosts and pipes

    def is_cut(self, one: str, other: str) -> bool:
        return self._islands is not None and self._islands.get(one) != self._islands.get(other)

    def latency(self, one: str, other: str) -> float:
        """Seconds one way, this time."""
        pair = (min(one, other), max(one, other))
        if pair not in self._latencies:
            self._latencies[pair] = self._rng.uniform(*self.model.latency_seconds)
        return self._latencies[pair] * (1 + self.model.jitter * self._rng.random())

    def arrival_time(self, source: str, target: str, size: int) -> float:
        """When a piece sent now has arrived: after those the host is sending already."""
        model = self.model
        start = max(trio.current_time(), self._sending_until.get(source, 0.0))
        end = start + size / model.bandwidth_bytes_per_second
        self._sending_until[source] = end
        delay = self.latency(source, target)
        while model.loss and self._rng.random() < model.loss:
            delay += model.retransmission_seconds
        return end + delay

    def call_at(self, time: float, action: Callable[[], None]) -> None:
        """Do something at a time; of several at the same time, in the order of asking."""
        heapq.heappush(self._events, (time, next(self._event_numbers), action))
        if self._events[0][0] == time:
            self._wake.set()

    def listen(self, endpoint: Endpoint, listener: _Listener) -> Endpoint:
        if not endpoint.port:
            endpoint = Endpoint(endpoint.host, next(self._ports))
        if endpoint in self._listeners:
            raise OSError(f"{endpoint} is in use")
        self._listeners[endpoint] = listener
        self._dark.discard(endpoint.host)
        return endpoint

    def unlisten(self, endpoint: Endpoint, listener: _Listener) -> None:
        if self._listeners.get(endpoint) is listener:
            del self._listeners[endpoint]

    async def dial(self, source: str, target: Endpoint) -> trio.abc.Stream:
        await trio.sleep(self.latency(source, target.host))
        if self.is_cut(source, target.host) or target.host in self._dark:
            await trio.sleep_forever()
        listener = self._listeners.get(target)
        if listener is None:
            await trio.sleep(self.latency(source, target.host))
            raise ConnectionRefusedError(f"{target} refuses connections")
        there = self._open_pipe(source, target.host)
        back = self._open_pipe(target.host, source)
        there.opposite, back.opposite = back, there
        listener(_SimulatedStream(back, there), Endpoint(source, next(self._ports)))
        await trio.sleep(self.latency(source, target.host))
        return _SimulatedStream(there, back)

    def _open_pipe(self, source: str, target: str) -> _Pipe:
        number = next(self._pipe_numbers)
        pipe = self._pipes[number] = _Pipe(self, number, source, target)
        return pipe

    def close_pipe(self, number: int) -> None:
        self._pipes.pop(number, None)


_Listener = Callable[[trio.abc.Stream, Endpoint], None]


class SimulatedHost:
    """The Network that one host sees."""

    def __init__(self, network: SimulatedNetwork, address: str) -> None:
        self.address = address
        self._network = network

    async def dial(self, endpoint: Endpoint) -> trio.abc.Stream:
        return await self._network.dial(self.address, endpoint)

    async def listen(
        self,
        endpoint: Endpoint,
        on_stream: StreamHandler,
        *,
        task_status: trio.TaskStatus[Endpoint] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        def accept(stream: trio.abc.Stream, remote: Endpoint) -> None:
            nursery.start_soon(on_stream, stream, remote)

        bound = self._network.listen(Endpoint(self.address, endpoint.port), accept)
        try:
            async with trio.open_nursery() as nursery:
                task_status.started(bound)
                await trio.sleep_forever()
        finally:
            self._network.unlisten(bound, accept)


class _Pipe:
    """One direction of a connection.

    INVARIANT: `_unread` is the size of `_held`, of what is under way, and of `buffer` together.
    """

    def __init__(self, network: SimulatedNetwork, number: int, source: str, target: str) -> None:
        self.source = source
        self.target = target
        self.opposite: _Pipe | None = None
        self.buffer = bytearray()
        self.is_ended = False
        self.is_reset_for_reader = False
        self.is_reset_for_writer = False
        self.readable = trio.Event()
        self.writable = trio.Event()
        self._network = network
        self._number = number
        self._sent = 0
        self._held: list[tuple[int, bytes]] = []
        """Pieces by number, b"" for the end, that a partition holds up."""
        self._last_arrival = 0.0
        self._unread = 0
        self._is_deaf = False
        """Nothing arrives any more: the reader has closed, or its host is dead."""

    @property
    def has_room(self) -> bool:
        return self._unread < self._network.model.window_bytes

    def send(self, data: bytes) -> None:
        """Put a piece under way, b"" for the end of the stream."""
        self._unread += len(data)
        self._sent += 1
        self._put_under_way(self._sent, data)

    def _put_under_way(self, number: int, data: bytes) -> None:
        if self._network.is_cut(self.source, self.target):
            self._held.append((number, data))
            return
        arrival = max(self._last_arrival, self._network.arrival_time(self.source, self.target, len(data)))
        self._last_arrival = arrival
        self._network.call_at(arrival, lambda: self._arrive(number, data))

    def resume(self) -> None:
        """After a partition: send again what it held up, in order."""
        held, self._held = sorted(self._held), []
        for number, data in held:
            self._put_under_way(number, data)

    def _arrive(self, number: int, data: bytes) -> None:
        if self._network.is_cut(self.source, self.target):  # the partition caught it on its way
            self._held.append((number, data))
            return
        self._network.delivered_bytes += len(data)
        if self._is_deaf:
            if data and not self.is_reset_for_writer and not self.is_reset_for_reader:
                self._reset_writer_later()  # TCP answers data to a closed socket with a reset
        elif data:
            self.buffer += data
        else:
            self.is_ended = True
        self.readable.set()

    def take(self, max_bytes: int) -> bytes:
        data = bytes(self.buffer[:max_bytes])
        del self.buffer[:max_bytes]
        self._unread -= len(data)
        if self.has_room:
            self.writable.set()
        return data

    def close_reader(self) -> None:
        """The reading end is closed by its owner."""
        self._is_deaf = True
        if self.buffer:  # as TCP does when data is thrown away unread
            self._reset_writer_later()
        self._network.close_pipe(self._number)

    def _reset_writer_later(self) -> None:
        """The reset travels with what the reader has sent, and does not overtake it."""
        arrival = trio.current_time() + self._network.latency(self.target, self.source)
        if self.opposite is not None:
            arrival = max(arrival, self.opposite._last_arrival)
        self._network.call_at(arrival, self._reset_writer)

    def _reset_writer(self) -> None:
        self.is_reset_for_writer = True
        self.writable.set()
        if self.opposite is not None:  # a reset ends both directions
            self.opposite.is_reset_for_reader = True
            self.opposite.readable.set()

    def die_at(self, host: str, *, is_silent: bool) -> None:
        """One of the two hosts is dead."""
        if host == self.target:
            self._is_deaf = True
            self.is_reset_for_reader = True
            self.buffer.clear()
            self.readable.set()
            if not is_silent:
                self._reset_writer_later()
        else:
            self.is_reset_for_writer = True
            self.writable.set()
            self._held.clear()


class _SimulatedStream(trio.abc.HalfCloseableStream):
    """One end of a connection."""

    def __init__(self, outgoing: _Pipe, incoming: _Pipe) -> None:
        self._outgoing = outgoing
        self._incoming = incoming
        self._is_closed = False
        self._is_sending = False
        self._is_receiving = False
        self._has_sent_end = False

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if self._is_sending:
            raise trio.BusyResourceError("another task is sending on this stream")
        self._is_sending = True
        try:
            await trio.lowlevel.checkpoint()
            self._check_writable()
            self._outgoing.send(bytes(data))
            while not self._outgoing.has_room:
                self._outgoing.writable = trio.Event()
                await self._outgoing.writable.wait()
                self._check_writable()
        finally:
            self._is_sending = False

    def _check_writable(self) -> None:
        if self._is_closed or self._has_sent_end:
            raise trio.ClosedResourceError("this end of the stream is closed")
        if self._outgoing.is_reset_for_writer:
            raise trio.BrokenResourceError("connection reset")

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()
        self._check_writable()

    async def send_eof(self) -> None:
        await trio.lowlevel.checkpoint()
        self._check_writable()
        self._has_sent_end = True
        self._outgoing.send(b"")

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if self._is_receiving:
            raise trio.BusyResourceError("another task is receiving on this stream")
        self._is_receiving = True
        try:
            await trio.lowlevel.checkpoint()
            incoming = self._incoming
            while True:
                if self._is_closed:
                    raise trio.ClosedResourceError("this end of the stream is closed")
                if incoming.buffer:
                    return incoming.take(max_bytes or RECEIVE_BYTES)
                if incoming.is_reset_for_reader:
                    raise trio.BrokenResourceError("connection reset")
                if incoming.is_ended:
                    return b""
                incoming.readable = trio.Event()
                await incoming.readable.wait()
        finally:
            self._is_receiving = False

    async def aclose(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            if not self._outgoing.is_reset_for_writer and not self._has_sent_end:
                self._outgoing.send(b"")
            self._incoming.close_reader()
            self._incoming.readable.set()
            self._outgoing.writable.set()
        await trio.lowlevel.checkpoint()


class PlainSecurity:
    """A hello in the clear: prologue and node id, believed. For simulations alone, where it saves nine tenths of the
    time; over TCP the node speaks Noise only."""

    def __init__(self, node_id: NodeId, chain: ChainIdentity) -> None:
        self._hello = chain.prologue() + node_id
        self._chain = chain

    async def secure(self, stream: trio.abc.Stream, *, is_initiator: bool, expected: NodeId | None = None) -> PlainLink:
        try:
            await stream.send_all(self._hello)
            theirs = b""
            while len(theirs) < len(self._hello):
                data = await stream.receive_some(len(self._hello) - len(theirs))
                if not data:
                    raise HandshakeError("closed by the peer during the handshake", score=0)
                theirs += bytes(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise LinkClosed("connection lost") from error
        self._chain.check_prologue(theirs[:PROLOGUE_BYTES])
        remote = NodeId(theirs[PROLOGUE_BYTES:])
        if expected is not None and remote != expected:
            raise HandshakeError(f"unexpected identity: expected 0x{expected.hex()}, got 0x{remote.hex()}", score=0)
        return PlainLink(stream, remote)


class PlainLink:
    """A Link without encryption."""

    def __init__(self, stream: trio.abc.Stream, remote: NodeId) -> None:
        self._stream = stream
        self.remote = remote
        self.received_bytes = 0
        self.received_records = 0

    async def send(self, data: bytes) -> None:
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise LinkClosed("connection lost") from error

    async def receive(self) -> bytes:
        try:
            data = bytes(await self._stream.receive_some(RECEIVE_BYTES))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise LinkClosed("connection lost") from error
        self.received_bytes += len(data)
        self.received_records += bool(data)
        return data

    async def aclose(self) -> None:
        await close_forcefully(self._stream)
