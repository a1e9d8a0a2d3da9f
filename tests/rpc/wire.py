"""Raw sockets for the server's tests: what goes over the wire is written out, nothing is helped along."""

from __future__ import annotations

import os
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import orjson
import trio

from dmchain.rpc.backend import Backend
from dmchain.rpc.config import MethodLimits, ServerConfig
from dmchain.rpc.http import Endpoint, serve

CHAIN_ID_CALL = b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}'
CHAIN_ID_ANSWER = b'{"jsonrpc":"2.0","id":1,"result":"0x539"}'


@dataclass
class Running:
    """A server in the background; `stop` shuts it down, `ended` is set when it has."""

    endpoint: Endpoint
    stop: trio.Event
    ended: trio.Event

    async def connect(self) -> Client:
        return Client(await trio.open_tcp_stream("127.0.0.1", self.endpoint.port))

    async def websocket(self, *headers: str) -> WebSocket:
        client = await self.connect()
        return await WebSocket.shake_hands(client, *headers)


@asynccontextmanager
async def running(backend: Backend, limits: MethodLimits | None = None, /, **settings: Any) -> AsyncIterator[Running]:
    """A server on a free port with `settings` of ServerConfig."""
    config = replace(ServerConfig(port=0), **settings)
    stop, ended = trio.Event(), trio.Event()

    async def run(task_status: trio.TaskStatus[Endpoint]) -> None:
        await serve(config, backend, limits, stop=stop, task_status=task_status)
        ended.set()

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            endpoint = await nursery.start(run)
            yield Running(endpoint, stop, ended)
            nursery.cancel_scope.cancel()


@dataclass
class Response:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


class Client:
    """One TCP connection."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.buffer = b""

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def request(
        self, body: bytes = CHAIN_ID_CALL, *headers: str, method: str = "POST", path: str = "/"
    ) -> Response:
        lines = [f"{method} {path} HTTP/1.1", *headers]
        if not any(line.lower().startswith("host:") for line in headers):
            lines.append("Host: localhost")
        if body or method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        await self.send("\r\n".join([*lines, "", ""]).encode() + body)
        return await self.response(has_body=method != "HEAD")

    async def post(self, message: Any, *headers: str) -> Any:
        """The JSON of an answer with status 200."""
        response = await self.request(orjson.dumps(message), *headers)
        assert response.status == 200
        return response.json

    async def response(self, has_body: bool = True) -> Response:
        head = await self.read_until(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {}
        for line in lines[:-2]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        size = int(headers.get("content-length", "0")) if has_body else 0
        return Response(int(first.split()[1]), headers, await self.read(size))

    async def read(self, size: int) -> bytes:
        while len(self.buffer) < size:
            await self._receive()
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    async def read_until(self, mark: bytes) -> bytes:
        while mark not in self.buffer:
            await self._receive()
        return await self.read(self.buffer.index(mark) + len(mark))

    async def _receive(self) -> None:
        data = await self.stream.receive_some(65_536)
        if not data:
            raise EOFError(f"closed by the server after {self.buffer!r:.200}")
        self.buffer += data

    async def is_closed(self) -> bool:
        """Wait for the server's end of the connection."""
        try:
            return not self.buffer and await self.stream.receive_some(65_536) == b""
        except trio.BrokenResourceError:
            return True


TEXT, BINARY, CLOSE, PING, PONG, CONTINUATION = 1, 2, 8, 9, 10, 0


class WebSocket:
    """A WebSocket client that sends the frames it is told to."""

    def __init__(self, client: Client, headers: dict[str, str]) -> None:
        self.client = client
        self.headers = headers

    @classmethod
    async def shake_hands(cls, client: Client, *headers: str) -> WebSocket:
        lines = ["GET / HTTP/1.1", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
        lines += ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", *headers]
        if not any(line.lower().startswith("host:") for line in headers):
            lines.append("Host: localhost")
        await client.send("\r\n".join([*lines, "", ""]).encode())
        response = await client.response()
        if response.status != 101:
            raise ConnectionRefusedError(response.status, response.body.decode())
        assert response.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        return cls(client, response.headers)

    async def send(self, payload: bytes, opcode: int = TEXT, *, fin: bool = True, rsv: int = 0) -> None:
        await self.client.send(encode_client_frame(payload, opcode, fin=fin, rsv=rsv))

    async def call(self, method: str, *params: Any, id_: Any = 1) -> None:
        await self.send(orjson.dumps({"jsonrpc": "2.0", "id": id_, "method": method, "params": params}))

    async def frame(self) -> tuple[int, bytes]:
        """The next frame's opcode and payload, inflated."""
        first, size = await self.client.read(2)
        assert first & 0x80 and size < 128, "server frames are whole and unmasked"
        if size == 126:
            size = int.from_bytes(await self.client.read(2), "big")
        elif size == 127:
            size = int.from_bytes(await self.client.read(8), "big")
        payload = await self.client.read(size)
        if first & 0x40:
            payload = _inflate(payload)
        return first & 15, payload

    async def json(self) -> Any:
        """The next message."""
        while True:
            opcode, payload = await self.frame()
            assert opcode != CLOSE, payload
            if opcode in (TEXT, BINARY):
                return orjson.loads(payload)

    async def close_code(self) -> int:
        """The code of the close frame, skipping what comes before."""
        while True:
            opcode, payload = await self.frame()
            if opcode == CLOSE:
                return int.from_bytes(payload[:2], "big")


def _inflate(payload: bytes) -> bytes:
    return zlib.decompressobj(-15).decompress(payload + b"\x00\x00\xff\xff")


def encode_client_frame(payload: bytes, opcode: int = TEXT, *, fin: bool = True, rsv: int = 0) -> bytes:
    head = bytes(((0x80 if fin else 0) | rsv << 4 | opcode,))
    size = len(payload)
    if size < 126:
        head += bytes((0x80 | size,))
    elif size < 65_536:
        head += b"\xfe" + size.to_bytes(2, "big")
    else:
        head += b"\xff" + size.to_bytes(8, "big")
    mask = os.urandom(4)
    pad = (mask * (size // 4 + 1))[:size]
    return head + mask + (int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")).to_bytes(size, "big")
