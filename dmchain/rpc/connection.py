"""One client's HTTP/1.1 connection: keep-alive, pipelining, limits, CORS, and the way to a WebSocket."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import TYPE_CHECKING

import h11
import orjson
import trio

from dmchain.rpc.compression import FREE_BODY_BYTES, BadEncoding, BodyTooLarge, compress, decompress
from dmchain.rpc.errors import InvalidRequest, ServerBusy
from dmchain.rpc.guard import is_same_origin
from dmchain.rpc.jsonrpc import NULL_ID, encode_error, parse_request
from dmchain.rpc.websocket import WebSocketConnection

if TYPE_CHECKING:
    from dmchain.rpc.http import Server

RECEIVE_BYTES = 65_536
SEND_CHUNK_BYTES = 65_536
_COMPRESS_IN_THREAD_BYTES = 262_144
_SURELY_TAKEN_BYTES = 4_096
"""Shorter answers fit the socket's buffer, unless a client sends and never reads: the idle timeout is enough for it."""
_FEW_CHUNKS = 2_000
_LEAST_CHUNK_BYTES = 64
_LINGER_SECONDS = 2.0
_LINGER_READS = 1_000
_HEADER_NAMES = re.compile(rb"[A-Za-z0-9_\-, ]{1,1000}\Z")
_JSON = (b"content-type", b"application/json")


class HttpConnection:
    """One client's HTTP/1.1 connection: keep-alive and pipelining, one request at a time."""

    def __init__(self, server: Server, stream: trio.SocketStream) -> None:
        self._server = server
        self._config = server.config
        self._stream = stream
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=self._config.max_header_bytes)
        self._scope = trio.CancelScope()
        self._held = 0
        self._is_timed = False  # whether the deadline is about the request at hand, not about being idle
        self._websocket: WebSocketConnection | None = None

    def close(self) -> None:
        self._scope.cancel()

    def shut_down(self, is_idle: bool) -> None:
        if self._websocket is not None:
            self._websocket.shut_down()
        elif is_idle:
            self.close()

    async def refuse(self) -> None:
        """Too many connections."""
        with trio.move_on_after(1):
            try:
                await self._stream.send_all(
                    b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 21\r\nconnection: close\r\n\r\n"
                    b"too many connections\n"
                )
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass

    async def run(self) -> None:
        with self._scope:
            try:
                while await self._serve_request():
                    self._h11.start_next_cycle()
                    self._release()
            except h11.RemoteProtocolError as error:
                await self._send_protocol_error(error)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass  # the client is gone
            finally:
                self._release()

    def _release(self) -> None:
        """The request at hand is answered: its body is no longer held."""
        if self._held:
            self._server.requests.give_back(self._held)
            self._held = 0

    async def _serve_request(self) -> bool:
        """Read and answer one request; False when the connection ends."""
        request = await self._next_request()
        if request is None:
            return False
        headers = self._read_headers(request)
        if not self._server.is_host_allowed(headers.get(b"host", b"")):
            await self._refuse_host(headers.get(b"host", b""))
        elif b"upgrade" in headers and headers[b"upgrade"].lower() == b"websocket":
            await self._upgrade(request, headers)
            return False
        elif request.method == b"POST":
            await self._post(headers)
        elif request.method == b"OPTIONS":
            await self._preflight(headers)
        elif request.method in (b"GET", b"HEAD"):
            await self._get(request)
        else:
            await self._respond(405, b"use POST for JSON-RPC\n", [(b"allow", b"POST, GET, HEAD, OPTIONS")])
        return self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE and not self._server.is_closing

    # reading

    async def _next_request(self) -> h11.Request | None:
        """The next request's head; idle before its first byte, against the clock after."""
        self._is_timed = False
        if not self._h11.trailing_data[0]:
            self._scope.deadline = trio.current_time() + self._config.idle_timeout_seconds
            self._server.idle[self] = None
            try:
                self._h11.receive_data(await self._stream.receive_some(RECEIVE_BYTES))
            finally:
                self._server.idle.pop(self, None)
        while True:
            event = self._h11.next_event()
            if event is h11.NEED_DATA:
                await self._receive_more()
            elif isinstance(event, h11.Request):
                return event
            else:
                return None

    async def _receive_more(self) -> None:
        """Another piece of a request that did not come in one: its time runs from the first piece."""
        if not self._is_timed:
            self._set_timeout(self._config.request_timeout_seconds)
        self._h11.receive_data(await self._stream.receive_some(RECEIVE_BYTES))

    def _read_headers(self, request: h11.Request) -> dict[bytes, bytes]:
        """Headers by lower-case name; of those that come twice the last counts."""
        items = request.headers.raw_items()
        # h11 bounds heads that are not complete; one that came in a single piece can be larger.
        size = len(request.target) + sum([len(name) + len(value) for name, value in items])
        if size > self._config.max_header_bytes:
            raise h11.RemoteProtocolError(f"headers too large: the limit is {self._config.max_header_bytes} bytes", 431)
        return {name.lower(): value for name, value in items}

    async def _read_body(self, headers: dict[bytes, bytes]) -> bytes | bytearray:
        """The decompressed body; raises BodyTooLarge, BadEncoding and ServerBusy."""
        limit = self._config.max_body_bytes
        # h11 has checked that it is a number
        if int(headers.get(b"content-length", b"0")) > limit:
            raise BodyTooLarge(limit)
        if self._h11.they_are_waiting_for_100_continue:
            await self._stream.send_all(self._send(h11.InformationalResponse(status_code=100, headers=[])))
        body = bytearray()
        chunks = 0
        while True:
            event = self._h11.next_event()
            if event is h11.NEED_DATA:
                await self._receive_more()
            elif isinstance(event, h11.Data):
                body += event.data
                chunks += 1
                if len(body) > limit:
                    raise BodyTooLarge(limit)
                if chunks > _FEW_CHUNKS and len(body) < chunks * _LEAST_CHUNK_BYTES:
                    raise BadEncoding(f"the body comes in chunks of less than {_LEAST_CHUNK_BYTES} bytes")
                self._hold(len(body))
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                raise trio.BrokenResourceError("the client left")
        encoding = headers.get(b"content-encoding", b"identity").decode("latin-1").strip().lower()
        if encoding == "identity":
            return body
        plain = decompress(bytes(body), encoding, limit)
        self._hold(len(plain))
        return plain

    def _hold(self, size: int) -> None:
        """Count a body of `size` bytes against the server's budget until the request is answered."""
        more = size - FREE_BODY_BYTES - self._held
        if more <= 0:
            return
        if not self._server.requests.has_room(more):
            raise ServerBusy("too many large requests are under way")
        self._server.requests.take(more)
        self._held += more

    def _set_timeout(self, seconds: float) -> None:
        self._scope.deadline = trio.current_time() + seconds
        self._is_timed = True

    # methods

    async def _post(self, headers: dict[bytes, bytes]) -> None:
        extra: list[tuple[bytes, bytes]] = []
        origin = headers.get(b"origin")
        if origin is not None:
            if not self._is_origin_allowed(origin, headers):
                await self._respond(403, *_refuse_origin(origin))
                return
            extra = [(b"access-control-allow-origin", origin), (b"vary", b"origin")]
        try:
            body = await self._read_body(headers)
        except ServerBusy as error:
            await self._respond(503, encode_error(NULL_ID, error), [_JSON, *extra])
            return
        except BodyTooLarge as error:
            await self._respond(413, encode_error(NULL_ID, InvalidRequest(str(error))), [_JSON, *extra])
            return
        except BadEncoding as error:
            await self._respond(415, encode_error(NULL_ID, InvalidRequest(str(error))), [_JSON, *extra])
            return
        answer = await self._answer(body)
        if not self._server.unsent.has_room(len(answer)):
            answer = encode_error(NULL_ID, ServerBusy("too many answers wait for slow clients"))
        if len(answer) >= self._config.compress_min_bytes and _takes_gzip(headers):
            if len(answer) >= _COMPRESS_IN_THREAD_BYTES:
                answer = await trio.to_thread.run_sync(compress, answer)
            else:
                answer = compress(answer)
            extra.append((b"content-encoding", b"gzip"))
        await self._respond(200, answer, [_JSON, *extra])

    async def _answer(self, body: bytes | bytearray) -> bytes:
        server = self._server
        request = parse_request(body, self._config.max_batch_entries)
        if request.is_batch:
            self._set_timeout(math.inf)  # the workers have their own limits
            return await server.workers.answer_batch(request.entries, server.new_context)
        context = server.new_context()
        step = server.workers.start(request.entries[0], context)
        if isinstance(step, bytes):
            return step
        self._set_timeout(math.inf)
        return await server.workers.finish(step, context)

    async def _preflight(self, headers: dict[bytes, bytes]) -> None:
        """CORS: may this origin send POST requests with these headers?"""
        origin = headers.get(b"origin", b"")
        if not self._is_origin_allowed(origin, headers):
            await self._respond(403, *_refuse_origin(origin))
            return
        wanted = headers.get(b"access-control-request-headers", b"content-type")
        answer = [
            (b"access-control-allow-origin", origin or b"*"),
            (b"access-control-allow-methods", b"POST, GET, OPTIONS"),
            (b"access-control-allow-headers", wanted if _HEADER_NAMES.match(wanted) else b"content-type"),
            (b"access-control-max-age", b"86400"),
            (b"vary", b"origin, access-control-request-headers"),
        ]
        if b"access-control-request-private-network" in headers:
            answer.append((b"access-control-allow-private-network", b"true"))
        await self._respond(204, b"", answer)

    def _is_origin_allowed(self, origin: bytes, headers: dict[bytes, bytes]) -> bool:
        return self._server.is_origin_allowed(origin) or is_same_origin(origin, headers.get(b"host", b""))

    async def _get(self, request: h11.Request) -> None:
        """A short answer for people and for health checks."""
        path = request.target.partition(b"?")[0]
        if path not in (b"/", b"/health"):
            await self._respond(404, b"not found: JSON-RPC is POST /, health is GET /health\n", [])
            return
        chain = self._server.backend.chain
        status, head, syncing = chain.node_status(), chain.head(), chain.sync_status()
        body = orjson.dumps(
            {
                "status": "ok" if status.problem is None else "unhealthy",
                "problem": status.problem,
                "client": status.client_version,
                "chainId": chain.chain_id(),
                "height": head.number,
                "timestamp": head.timestamp,
                "syncing": syncing is not None,
                "peers": status.peer_count,
            }
        )
        code = 503 if path == b"/health" and status.problem is not None else 200
        await self._respond(
            code, body + b"\n", [_JSON, (b"cache-control", b"no-store")], is_head=request.method == b"HEAD"
        )

    async def _refuse_host(self, host: bytes) -> None:
        shown = host.decode("latin-1", "replace")[:100]
        text = (
            f"host {shown!r} is not allowed\n"
            f"hint: use localhost or an IP address, or start the node with --rpc-vhosts naming this host\n"
        )
        await self._respond(403, text.encode(), [])

    async def _upgrade(self, request: h11.Request, headers: dict[bytes, bytes]) -> None:
        """Hand the stream over to a WebSocketConnection."""
        origin = headers.get(b"origin")
        if origin is not None and not self._is_origin_allowed(origin, headers):
            await self._respond(403, *_refuse_origin(origin))
            return
        server = self._server
        self._websocket = WebSocketConnection(self._stream, server)
        self._set_timeout(math.inf)
        if server.is_closing:
            return
        await self._websocket.run(list(request.headers), request.target, self._h11.trailing_data[0])

    # writing

    def _send(self, event: h11.Event) -> bytes:
        data = self._h11.send(event)
        assert data is not None
        return data

    async def _respond(
        self, status: int, body: bytes, headers: list[tuple[bytes, bytes]], *, is_head: bool = False
    ) -> None:
        """Send a whole response; the connection closes after it if the request's body was not read."""
        if self._h11.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        if not headers or headers[0][0] != b"content-type":
            headers = [(b"content-type", b"text/plain; charset=utf-8"), *headers]
        if status != 204:
            headers = [*headers, (b"content-length", b"%d" % len(body))]
        if self._server.is_closing or (self._h11.their_state is h11.SEND_BODY and not self._body_is_over()):
            headers = [*headers, (b"connection", b"close")]
        data = self._send(_response(status, tuple(headers)))
        if body and not is_head:
            data += self._send(h11.Data(data=body))
        data += self._send(h11.EndOfMessage())
        if len(data) <= SEND_CHUNK_BYTES:
            if self._is_timed or len(data) > _SURELY_TAKEN_BYTES:
                self._set_timeout(self._config.write_timeout_seconds)
            await self._stream.send_all(data)
        else:
            await self._send_large(data)
        if self._h11.their_state is h11.SEND_BODY:
            await self._linger()

    async def _send_large(self, data: bytes) -> None:
        budget = self._server.unsent
        budget.take(len(data))
        try:
            for start in range(0, len(data), SEND_CHUNK_BYTES):
                self._set_timeout(self._config.write_timeout_seconds)
                await self._stream.send_all(data[start : start + SEND_CHUNK_BYTES])
        finally:
            budget.give_back(len(data))

    async def _linger(self) -> None:
        """Read on for a moment before closing on a request that was not read: else the client may miss the answer."""
        self._set_timeout(_LINGER_SECONDS)
        await self._stream.send_eof()
        for _ in range(_LINGER_READS):
            if not await self._stream.receive_some(RECEIVE_BYTES):
                return

    def _body_is_over(self) -> bool:
        """Take the end of an empty body (GET) off h11, so that the connection can go on."""
        event = self._h11.next_event()
        return isinstance(event, h11.EndOfMessage)

    async def _send_protocol_error(self, error: h11.RemoteProtocolError) -> None:
        """What is no HTTP gets a 400 (or 431) and the connection ends."""
        if self._h11.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        text = f"bad request: {error}\n".encode()
        headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(text)), (b"connection", b"close")]
        data = self._send(h11.Response(status_code=error.error_status_hint, headers=headers))
        data += self._send(h11.Data(data=text)) + self._send(h11.EndOfMessage())
        self._set_timeout(self._config.write_timeout_seconds)
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass


@lru_cache(maxsize=512)
def _response(status: int, headers: tuple[tuple[bytes, bytes], ...]) -> h11.Response:
    """The head of a response; most are alike, and making one costs more than sending it."""
    return h11.Response(status_code=status, headers=list(headers))


def _takes_gzip(headers: dict[bytes, bytes]) -> bool:
    accepted = headers.get(b"accept-encoding")
    return accepted is not None and b"gzip" in accepted and b"gzip;q=0" not in accepted.replace(b" ", b"")


def _refuse_origin(origin: bytes) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    shown = origin.decode("latin-1", "replace")[:100]
    text = f"origin {shown!r} is not allowed\nhint: start the node with --rpc-cors-origins naming this origin\n"
    return text.encode(), []
