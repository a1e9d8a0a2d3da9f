"""One WebSocket connection: JSON-RPC both ways, subscriptions, and a client that may be slow.

Text and binary frames are both taken (web3.py sends binary) and answered in kind; notifications are text. Light calls
are answered in order; heavy ones and batches run at the same time and are answered when they are done.

Everything to be sent goes through one bounded queue. Whoever finds nobody sending sends, so that an answer usually
leaves without a task switch. A client that does not read holds up its own requests; notifications that find the queue
full disconnect it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

import trio
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from dmchain.chain.primitives.errors import DmchainError
from dmchain.rpc.compression import FREE_BODY_BYTES, BoundedDeflate, encode_frame
from dmchain.rpc.errors import ServerBusy
from dmchain.rpc.jsonrpc import Request, parse_request
from dmchain.rpc.registry import Context
from dmchain.rpc.subscriptions import Session, SessionRequest

if TYPE_CHECKING:
    from dmchain.rpc.http import Server

_RECEIVE_BYTES = 16_384
"""Small, for they may be thousands of tiny frames, which are all looked at before others get a turn."""
_SEND_CHUNK_BYTES = 65_536
_ANSWERS_AT_ONCE = 64
"""Answers gathered for one write when a client sends many calls at once."""
_FRAME_OVERHEAD_BYTES = 128
"""A queued frame costs more than its bytes; counting it keeps a flood of tiny ones in bounds."""
_MAX_UNANSWERED_PINGS = 2
_FRAGMENT_OVERHEAD_BYTES = 64
"""What a fragment costs besides its bytes: without it, empty ones could be sent for ever."""
_CLOSE_SECONDS = 2.0
"""For the closing handshake."""
PING = Ping()


class WebSocketConnection:
    """Serves an upgraded stream until one side closes it."""

    def __init__(self, stream: trio.SocketStream, server: Server) -> None:
        config = server.config
        self._stream = stream
        self._config = config
        self._workers = server.workers
        self._new_context = server.new_context
        self._ws = WSConnection(ConnectionType.SERVER)
        self._deflate = BoundedDeflate(config.max_body_bytes)
        self._session = Session(server.hub, self._notify, self._disconnect)
        self._heavy_calls = trio.Semaphore(config.websocket_heavy_calls)
        self._scope = trio.CancelScope()
        self._unanswered_pings = 0
        self._close_with: CloseConnection | None = None
        # INVARIANT: _held_bytes are taken from the budget of requests.
        self._requests = server.requests
        self._held_bytes = 0
        # INVARIANT: _queued_bytes is the size of _queue with overhead, and that much of the budget is taken.
        self._unsent = server.unsent
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._is_sending = False
        self._is_mid_frame = False
        self._wake = trio.Event()
        self._drained = trio.Event()

    def shut_down(self) -> None:
        """The server stops."""
        self._end(CloseReason.GOING_AWAY, "the server stops")

    async def run(self, headers: list[tuple[bytes, bytes]], target: bytes, trailing: bytes) -> None:
        """Shake hands and serve; `trailing` are bytes that came after the request's head."""
        try:
            if not await self._accept(headers, target):
                return
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._keep_sending)
                    await self._read(nursery, trailing)
                    nursery.cancel_scope.cancel()
            self._session.close()  # before the closing handshake: nothing more is queued
            await self._close()
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client is gone
        finally:
            self._session.close()
            self._unsent.give_back(self._queued_bytes)
            self._requests.give_back(self._held_bytes)

    async def _accept(self, headers: list[tuple[bytes, bytes]], target: bytes) -> bool:
        try:
            self._ws.initiate_upgrade_connection(headers, target)
            for _ in self._ws.events():
                pass  # the request, which we know
            data = self._ws.send(AcceptConnection(extensions=[self._deflate]))
        except (RemoteProtocolError, LocalProtocolError) as error:
            text = f"bad WebSocket handshake: {error}\n".encode()
            data = b"HTTP/1.1 400 Bad Request\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b" % (len(text), text)
            await self._stream.send_all(data)
            return False
        await self._stream.send_all(data)
        return True

    # reading

    async def _read(self, nursery: trio.Nursery, data: bytes | bytearray) -> None:
        """Take messages until the client closes or breaks a rule. `data`: what came with the handshake."""
        message = MessageAssembler(self._config.max_body_bytes)
        held = 0  # bytes of the message at hand that count as held
        while True:
            try:
                self._ws.receive_data(bytes(data))
                for event in self._ws.events():
                    if isinstance(event, (TextMessage, BytesMessage)):
                        body = message.add(event)
                        held = self._hold(message.size, held)
                        if body is not None:
                            await self._take(nursery, body, held)
                            held = 0
                    elif isinstance(event, Ping):
                        self._put(self._ws.send(event.response()))
                        await self._flush_many()
                    elif isinstance(event, CloseConnection):
                        # The client's close, or wsproto's verdict on a frame that breaks the protocol.
                        self._close_with = event.response()
                        await self._flush()
                        return
            except (MessageTooBig, ServerBusy, RemoteProtocolError) as error:
                self._close_with = CloseConnection(code=_close_code(error), reason=str(error)[:100])
                await self._flush()
                return
            await self._flush()
            await self._wait_for_room()
            data = await self._stream.receive_some(_RECEIVE_BYTES)
            if not data:
                raise trio.BrokenResourceError("the client left without closing")
            self._unanswered_pings = 0

    def _hold(self, size: int, held: int) -> int:
        """Count a message of `size` bytes, of which `held` are counted, and return how many are; raises ServerBusy."""
        more = size - FREE_BODY_BYTES - held
        if more <= 0:
            return held
        if not self._requests.has_room(more):
            raise ServerBusy("too many large requests are under way")
        self._requests.take(more)
        self._held_bytes += more
        return held + more

    def _release(self, held: int) -> None:
        self._requests.give_back(held)
        self._held_bytes -= held

    async def _take(self, nursery: trio.Nursery, body: str | bytes | bytearray, held: int) -> None:
        """Answer a light call on the spot; give anything else a task of its own."""
        is_text = isinstance(body, str)
        request = parse_request(body, self._config.max_batch_entries)
        session = self._session.begin()
        if request.is_batch:
            work = partial(self._answer_batch, request, session)
            await self._begin_task(nursery, work, is_text, session, held)
            return
        context = self._new_context()
        context.session = session
        step = self._workers.start(request.entries[0], context)
        if isinstance(step, bytes):
            self._reply(step, is_text, session)
            self._release(held)
            await self._flush_many()
            return
        await self._begin_task(nursery, partial(self._workers.finish, step, context), is_text, session, held)

    async def _answer_batch(self, request: Request, session: SessionRequest) -> bytes:
        def new_context() -> Context:
            context = self._new_context()
            context.session = session
            return context

        return await self._workers.answer_batch(request.entries, new_context)

    async def _begin_task(
        self,
        nursery: trio.Nursery,
        work: Callable[[], Awaitable[bytes]],
        is_text: bool,
        session: SessionRequest,
        held: int,
    ) -> None:
        """Start `work` when fewer than the allowed number are under way; until then nothing more is read."""

        async def answer() -> None:
            try:
                result = await work()
                await self._wait_for_room()
                self._reply(result, is_text, session)
                await self._flush()
            finally:
                self._heavy_calls.release()
                self._release(held)

        await self._flush()
        await self._heavy_calls.acquire()
        nursery.start_soon(answer)

    # sending

    def _reply(self, answer: bytes, is_text: bool, session: SessionRequest) -> None:
        """Queue an answer, and after it the notifications of what it subscribed to."""
        if answer:
            self._put(self._encode(answer, is_text))
        session.activate()

    def _notify(self, message: bytes) -> None:
        """Queue a notification, or disconnect a client that does not read."""
        size = len(message)
        if self._queued_bytes + size > self._config.websocket_queue_bytes or not self._unsent.has_room(size):
            self._disconnect("the client reads too slowly")
            return
        self._put(self._encode(message, True))
        self._wake.set()

    def _encode(self, message: bytes, is_text: bool) -> bytes:
        is_large = len(message) >= self._config.compress_min_bytes
        return encode_frame(message, is_text, is_large and self._deflate.enabled())

    def _put(self, frame: bytes) -> None:
        size = len(frame) + _FRAME_OVERHEAD_BYTES
        self._queue.append(frame)
        self._queued_bytes += size
        self._unsent.take(size)

    async def _keep_sending(self) -> None:
        """Send notifications, and a ping when it has been quiet."""
        interval = self._config.websocket_ping_seconds
        while True:
            with trio.move_on_after(interval) as quiet:
                await self._wake.wait()
            self._wake = trio.Event()
            if quiet.cancelled_caught:
                if self._unanswered_pings >= _MAX_UNANSWERED_PINGS:
                    self._disconnect("no sign of life")
                    return
                self._unanswered_pings += 1
                self._put(self._ws.send(PING))
            await self._flush()

    async def _flush_many(self) -> None:
        """Send when enough has gathered, which also gives other tasks a turn."""
        if len(self._queue) >= _ANSWERS_AT_ONCE:
            await self._flush()

    async def _flush(self) -> None:
        """Send what is queued, unless another task is at it already."""
        if self._is_sending:
            return
        self._is_sending = True
        try:
            while self._queue:
                chunk, cost = self._take_chunk()
                await self._send(chunk)
                self._queued_bytes -= cost
                self._unsent.give_back(cost)
                if self._queued_bytes <= self._config.websocket_queue_bytes // 2:
                    self._drained.set()
                    self._drained = trio.Event()
        finally:
            self._is_sending = False

    def _take_chunk(self) -> tuple[bytes, int]:
        """One frame, or several small ones together, and what they count in the queue."""
        frames = [self._queue.popleft()]
        size = len(frames[0])
        while self._queue and size + len(self._queue[0]) <= _SEND_CHUNK_BYTES:
            frames.append(self._queue.popleft())
            size += len(frames[-1])
        cost = size + _FRAME_OVERHEAD_BYTES * len(frames)
        return (frames[0] if len(frames) == 1 else b"".join(frames)), cost

    async def _send(self, data: bytes) -> None:
        """Send within the write timeout, which is the deadline of the whole connection; only one task sends."""
        self._is_mid_frame = True
        for start in range(0, len(data), _SEND_CHUNK_BYTES):
            part = data if len(data) <= _SEND_CHUNK_BYTES else data[start : start + _SEND_CHUNK_BYTES]
            self._scope.deadline = trio.current_time() + self._config.write_timeout_seconds
            await self._stream.send_all(part)
        self._scope.deadline = math.inf
        self._is_mid_frame = False

    async def _wait_for_room(self) -> None:
        """Wait while the client leaves half a queue untaken."""
        while self._queued_bytes > self._config.websocket_queue_bytes // 2:
            await self._drained.wait()

    # ending

    def _disconnect(self, reason: str) -> None:
        self._end(CloseReason.TRY_AGAIN_LATER, reason)

    def _end(self, code: int, reason: str) -> None:
        """Close from outside the reading task."""
        self._close_with = CloseConnection(code=code, reason=reason)
        self._scope.cancel()

    async def _close(self) -> None:
        """Send the close frame if the stream is between frames, and let the client read it before the end."""
        if self._close_with is None or self._is_mid_frame:
            return
        with trio.move_on_after(_CLOSE_SECONDS):
            await self._stream.send_all(self._ws.send(self._close_with))
            await self._stream.send_eof()
            while await self._stream.receive_some(_RECEIVE_BYTES):
                pass


def _close_code(error: MessageTooBig | ServerBusy | RemoteProtocolError) -> int:
    if isinstance(error, MessageTooBig):
        return CloseReason.MESSAGE_TOO_BIG
    if isinstance(error, ServerBusy):
        return CloseReason.TRY_AGAIN_LATER
    hint = error.event_hint
    return hint.code if isinstance(hint, CloseConnection) else CloseReason.PROTOCOL_ERROR


class MessageTooBig(DmchainError):
    """A message is longer than allowed."""


class MessageAssembler:
    """Puts fragments together, up to `max_bytes`; text is counted in characters, which is less.

    `size` is that of the message at hand, or of the one that `add` has just returned.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._parts: list[str | bytes | bytearray] = []
        self._is_complete = False
        self.size = 0

    def add(self, event: TextMessage | BytesMessage) -> str | bytes | bytearray | None:
        """The whole message when `event` ends it; raises MessageTooBig."""
        if self._is_complete:
            self._is_complete, self.size = False, 0
        self.size += len(event.data)
        if self._parts:
            self.size += _FRAGMENT_OVERHEAD_BYTES
        if self.size > self._max_bytes:
            raise MessageTooBig(f"message too big: the limit is {self._max_bytes} bytes")
        self._is_complete = event.message_finished
        if event.message_finished and not self._parts:
            return event.data
        self._parts.append(event.data)
        if not event.message_finished:
            return None
        parts, self._parts = self._parts, []
        return "".join(parts) if isinstance(event, TextMessage) else b"".join(parts)  # type: ignore[arg-type]
