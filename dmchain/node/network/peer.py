"""One connected peer: a reader, a writer, requests both ways, and the fault boundary.

Whatever a peer sends or fails to do ends at worst its own connection. The exception is a broken invariant of ours:
it ends the node.

Error handling: `ProtocolError` from the wire or from the handler, and `DecodeError` and `SignatureError` from the
handler's `on_message`, are the peer's fault: it is charged and cut. Any other exception of the handler is a bug: it is
logged, and the connection is closed without blame.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from dmchain.chain.primitives.errors import DecodeError, InvariantBroken, SignatureError
from dmchain.node.network.errors import (
    SCORE_BAD_SIGNATURE,
    SCORE_UNSOLICITED,
    DisconnectCode,
    LinkClosed,
    ProtocolError,
    RequestFailed,
    TurnedAway,
)
from dmchain.node.network.handler import PeerOwner
from dmchain.node.network.identity import NodeId
from dmchain.node.network.limits import LimitsConfig, PeerMeter
from dmchain.node.network.link import Link
from dmchain.node.network.messages import (
    TYPE_OF_KIND,
    Disconnect,
    GetPeers,
    Hello,
    Message,
    Ping,
    Pong,
    Priority,
    Push,
    Refusal,
    RefusalCode,
    Reply,
    Request,
    Role,
    Status,
)
from dmchain.node.network.queues import MAX_BATCH_BYTES, SendQueue
from dmchain.node.network.requests import RequestTable
from dmchain.node.network.transport import Endpoint
from dmchain.node.network.wire import Frame, FrameDecoder, encode

logger = logging.getLogger("dmchain.network")

MAX_REQUESTS: Final = 4
"""In flight at once, in each direction; more of ours wait, more of theirs are refused."""
REQUEST_SECONDS: Final = 10.0
WRITE_SECONDS: Final = 8.0
"""For MAX_BATCH_BYTES: 16 KiB/s is no link to run a node on."""
SILENCE_SECONDS: Final = 15.0
MIN_TICK_SECONDS: Final = 0.25
PING_AFTER_SECONDS: Final = 5.0
MIN_BYTES_PER_SECOND: Final = 32 * 1024
"""A frame under way extends the silence allowed at this rate: 128 s for the largest."""
GOODBYE_SECONDS: Final = 1.0
LAST_WORDS_SECONDS: Final = 0.25
FRAMES_PER_TURN: Final = 16
BYTES_PER_TURN: Final = 64 * 1024
"""Handled before other tasks get a turn, some 0.3 ms."""


class Peer:
    """A connection to one node. `send`, `request`, `misbehaved` and `disconnect` may be called until on_gone.

    `number` names the connection: unique in this run of the program, and never used again.
    """

    def __init__(
        self,
        owner: PeerOwner,
        link: Link,
        remote: Endpoint,
        number: int,
        *,
        is_outbound: bool,
        limits: LimitsConfig,
        hello_deadline: float,
    ) -> None:
        now = trio.current_time()
        self.number = number
        self.node_id: NodeId = link.remote
        self.remote = remote
        self.is_outbound = is_outbound
        self.hello: Hello | None = None
        self.status: Status | None = None
        self.round_trip_seconds: float | None = None
        self.connected_at = now
        self.dropped = 0
        """Announcements not sent because the queue was full."""
        self.reason = ""
        """Why the connection ended; "" while it stands."""
        self.farewell: int | None = None
        """The code of the peer's own Disconnect."""
        self._default_reason = "shutting down"
        self._owner = owner
        self._link = link
        self._queue = SendQueue()
        self._wake = trio.Event()
        self._meter = PeerMeter(limits, now)
        self._requests = RequestTable()
        self._decoder = FrameDecoder(self._requests.is_expected)
        self._slots = trio.Semaphore(MAX_REQUESTS)
        self._serving = 0
        self._scope = trio.CancelScope()
        self._nursery: trio.Nursery | None = None
        self._ready = trio.Event()
        self._hello_deadline = hello_deadline
        self._heard_at = now
        self._away_seconds = 0.0
        self._left_at: float | None = None
        self._is_pinging = False

    # for the handler

    @property
    def is_open(self) -> bool:
        return not self.reason

    def send(self, message: Push, priority: Priority | None = None) -> bool:
        """Queue a message; never waits. False when it was dropped: the peer is going, or it was an announcement too
        many. A peer whose consensus or request queue is full is disconnected."""
        rank = TYPE_OF_KIND[type(message)].priority if priority is None else priority
        return self.send_frame(encode(message), rank)

    def send_frame(self, frame: bytes, priority: Priority) -> bool:
        """`send` for a frame that goes to several peers."""
        if not self.is_open:
            return False
        if self._queue.push(frame, priority):
            self._wake.set()
            return True
        if priority is Priority.BULK:
            self.dropped += 1
        else:
            self.disconnect(DisconnectCode.SLOW, f"too slow: its {priority.name.lower()} queue is full")
        return False

    async def request(self, message: Request, timeout_seconds: float = REQUEST_SECONDS) -> Reply:
        """Ask and wait for the answer; the time includes waiting for one of MAX_REQUESTS slots.

        Raises RequestFailed when the peer refuses, is gone, or does not answer in time.
        """
        with trio.move_on_after(timeout_seconds):
            async with self._slots:
                return await self._ask(message)
        raise RequestFailed(f"{type(message).__name__} to {self}: no answer within {timeout_seconds:g} s")

    def misbehaved(self, score: float, reason: str) -> None:
        """Put down `score` points against the peer (BAN_SCORE bans); it is cut when that bans it."""
        if self._owner.charge(self, score, reason):
            self.disconnect(DisconnectCode.BANNED, f"banned: {reason}")

    def fail(self, error: ProtocolError) -> None:
        """Charge the peer and cut it."""
        self._owner.charge(self, error.score, str(error))
        self.disconnect(error.code, str(error))

    def disconnect(self, code: DisconnectCode, reason: str) -> None:
        """Tell the peer why, then close, after GOODBYE_SECONDS at the latest; what was queued is dropped."""
        if not self.is_open:
            return
        self.reason = reason
        self._queue.clear()
        self._queue.push(encode(Disconnect(code, _printable(reason))), Priority.CONSENSUS)
        self._wake.set()
        self._scope.deadline = trio.current_time() + GOODBYE_SECONDS

    @property
    def queued_bytes(self) -> int:
        return self._queue.size_bytes

    @property
    def is_ready(self) -> bool:
        return self._ready.is_set()

    def __repr__(self) -> str:
        return f"<peer 0x{self.node_id.hex()[:8]} at {self.remote}>"

    # life

    async def run(self) -> None:
        """Talk until either end has had enough; closes the link. Raises nothing but Cancelled and broken invariants."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    self._nursery = nursery
                    self.send(self._owner.make_hello())
                    nursery.start_soon(self.guard, self._write)
                    nursery.start_soon(self.guard, self._keep_alive)
                    nursery.start_soon(self.guard, self._read)
        finally:
            self.reason = self.reason or self._default_reason
            self._queue.clear()
            self._requests.close()
            with trio.CancelScope(shield=True):  # forceful: does not wait
                await self._link.aclose()
            self._owner.release(self, self.reason)

    async def guard(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do something with what the peer has sent, within its fault boundary: what it raises falls upon this peer."""
        try:
            await work()
        except ProtocolError as error:
            self.fail(error)
        except TurnedAway as error:
            self.disconnect(error.code, str(error))
        except LinkClosed as error:
            self._close(str(error))
        except SignatureError as error:
            self.fail(ProtocolError(str(error), score=SCORE_BAD_SIGNATURE))
        except DecodeError as error:
            self.fail(ProtocolError(str(error)))
        except Exception as error:
            if _is_invariant_broken(error):
                raise
            logger.exception("bug while talking to a peer", extra={"peer": str(self)})
            self.disconnect(DisconnectCode.INTERNAL, "internal error")

    def _close(self, reason: str) -> None:
        self.reason = self.reason or reason
        self._scope.cancel()

    # out

    async def _write(self) -> None:
        while True:
            batch = self._queue.pop_batch()
            if batch:
                try:
                    await self._send_in_time(batch)
                except LinkClosed:
                    # the peer may have said why before it closed: let the reader come to that
                    self._scope.deadline = trio.current_time() + LAST_WORDS_SECONDS
                    self._default_reason = "connection lost"
                    return
            elif not self.is_open:
                self._scope.cancel()  # the farewell is out
                return
            else:
                self._wake = trio.Event()
                await self._wake.wait()

    async def _send_in_time(self, data: bytes) -> None:
        for start in range(0, len(data), MAX_BATCH_BYTES):
            with trio.move_on_after(WRITE_SECONDS) as scope:
                await self._link.send(data[start : start + MAX_BATCH_BYTES])
            if scope.cancelled_caught:
                self._close(f"too slow: took nothing for {WRITE_SECONDS:g} s")

    # in

    async def _read(self) -> None:
        link, decoder = self._link, self._decoder
        bytes_before, records_before = 0, 0
        while self.is_open:
            self._come_back()
            data = await link.receive()
            self._left_at = trio.current_time()
            if not data:
                self._close("closed by the peer")
                return
            size, records = link.received_bytes - bytes_before, link.received_records - records_before
            bytes_before, records_before = link.received_bytes, link.received_records
            await self._wait(self._meter.pace(size, records, trio.current_time()))
            decoder.receive_data(data)
            frames, size = 0, 0
            while self.is_open and (frame := decoder.next_frame()) is not None:
                await self._handle(frame)
                frames += 1
                size += frame.size
                if frames >= FRAMES_PER_TURN or size >= BYTES_PER_TURN:
                    await trio.lowlevel.checkpoint()
                    await self._wait(self._meter.pace(0, frames, trio.current_time()))
                    frames, size = 0, 0
            await self._wait(self._meter.pace(0, frames, trio.current_time()))

    async def _wait(self, seconds: float) -> None:
        """Read no faster than the peer may send."""
        if seconds > 0:
            await trio.sleep(seconds)

    async def _handle(self, frame: Frame) -> None:
        now = trio.current_time()
        self._heard_at, self._away_seconds = now, 0.0
        role = frame.row.role
        if role is Role.REPLY:
            self._requests.take_reply(frame)
            return
        message = frame.message
        self._meter.check_frequency(type(message), now)
        if not self.is_ready:
            self._take_hello(message)
        elif role is Role.REQUEST:
            self._take_request(frame)
        elif isinstance(message, Disconnect):
            self.farewell = message.code
            self._close(f"disconnected by the peer: {message.reason}")
        else:
            if isinstance(message, Status):
                self.status = message
            await self._owner.handler.on_message(self, message)  # type: ignore[arg-type]  # no request, no reply

    def _take_hello(self, message: Message) -> None:
        if isinstance(message, Disconnect):  # turned away
            self.farewell = message.code
            self._close(f"turned away by the peer: {message.reason}")
            return
        if not isinstance(message, Hello):
            raise ProtocolError(f"expected Hello first, got {type(message).__name__}", score=SCORE_UNSOLICITED)
        self.hello = message
        self.status = message.status
        self._owner.admit(self)
        self._ready.set()
        self._owner.handler.on_peer(self)

    # requests

    async def _ask(self, message: Request) -> Reply:
        """Send a request, wait for its answer; raises RequestFailed. The caller sets the deadline."""
        what = f"{type(message).__name__} to {self}"
        if not self.is_open or not self.is_ready:
            raise RequestFailed(f"{what}: not connected")
        request_id, pending = self._requests.open(message)
        try:
            self.send_frame(encode(message, request_id), TYPE_OF_KIND[type(message)].priority)
            await pending.done.wait()
        finally:
            self._requests.abandon(pending)
            if self._requests.is_overdue:
                self.disconnect(DisconnectCode.SLOW, "leaves requests unanswered")
        if pending.reply is None:
            raise RequestFailed(f"{what}: gone: {self.reason}")
        if isinstance(pending.reply, Refusal):
            raise RequestFailed(f"{what}: refused: {pending.reply.reason}")
        return pending.reply

    def _take_request(self, frame: Frame) -> None:
        message = frame.message
        if isinstance(message, Ping):
            self._reply(Pong(), frame.request_id)
        elif isinstance(message, GetPeers):
            self._reply(self._owner.answer_peers(self), frame.request_id)
        elif self._serving >= MAX_REQUESTS:
            self._reply(Refusal(RefusalCode.BUSY, "too many requests at once"), frame.request_id)
        else:
            assert self._nursery is not None
            self._serving += 1
            self._nursery.start_soon(self.guard, lambda: self._serve(frame))

    async def _serve(self, frame: Frame) -> None:
        reply: Reply = Refusal(RefusalCode.UNAVAILABLE, "internal error")
        try:
            reply = await self._owner.handler.on_request(self, frame.message)  # type: ignore[arg-type]
        except Exception as error:
            if isinstance(error, ProtocolError) or _is_invariant_broken(error):
                raise
            logger.exception("bug while answering a peer", extra={"peer": str(self)})
        finally:
            self._serving -= 1
        self._reply(reply, frame.request_id)

    def _reply(self, reply: Reply, request_id: int) -> None:
        self.send_frame(encode(reply, request_id), TYPE_OF_KIND[type(reply)].priority)

    # life signs

    async def _keep_alive(self) -> None:
        with trio.move_on_at(self._hello_deadline):
            await self._ready.wait()
        if not self.is_ready:
            self.disconnect(DisconnectCode.SILENT, "no hello in time")
            return
        silence = PING_AFTER_SECONDS  # the first ping goes at once, to know the round trip
        while silence < SILENCE_SECONDS:
            if silence >= PING_AFTER_SECONDS and not self._is_pinging:
                assert self._nursery is not None
                self._is_pinging = True
                self._nursery.start_soon(self.guard, self._ping)
            limit = SILENCE_SECONDS if self._is_pinging else PING_AFTER_SECONDS
            await trio.sleep(max(limit - silence, MIN_TICK_SECONDS))
            silence = self._silence_seconds()
        self.disconnect(DisconnectCode.SILENT, f"silent for {SILENCE_SECONDS:g} s")

    def _silence_seconds(self) -> float:
        """How long the peer has kept us waiting for a complete frame.

        Time in which we did not read, because the handler or the pace held us up, is not its fault; a large frame
        under way buys time.
        """
        if self._left_at is not None:
            return 0.0
        waited = trio.current_time() - self._heard_at - self._away_seconds
        return waited - self._decoder.buffered / MIN_BYTES_PER_SECOND

    def _come_back(self) -> None:
        """The reader waits for the peer again; account for the time it did not."""
        if self._left_at is not None:
            self._away_seconds += trio.current_time() - max(self._left_at, self._heard_at)
            self._left_at = None

    async def _ping(self) -> None:
        sent_at = trio.current_time()
        with trio.move_on_after(SILENCE_SECONDS), contextlib.suppress(RequestFailed):
            await self._ask(Ping())
            self.round_trip_seconds = trio.current_time() - sent_at
        self._is_pinging = False


def _printable(reason: str) -> str:
    """A reason as Disconnect can carry it."""
    return "".join(char if char.isascii() and char.isprintable() else "?" for char in reason)[:200]


def _is_invariant_broken(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(InvariantBroken) is not None
    return isinstance(error, InvariantBroken)
