"""The server over WebSocket, on real sockets."""

from __future__ import annotations

import zlib
from typing import Any

import orjson
import pytest
import trio

from dmchain.chain.primitives.block import Log
from dmchain.rpc.backend import Backend, ExecutionResult
from tests.rpc.fake import BOB, EMITTER, FakeChain, make_backend, transfer
from tests.rpc.test_http import CALL, Gate, until
from tests.rpc.wire import (
    BINARY,
    CHAIN_ID_ANSWER,
    CHAIN_ID_CALL,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    WebSocket,
    encode_client_frame,
    running,
)


async def test_text_and_binary_are_answered_in_kind(backend: Backend) -> None:
    async with running(backend) as server:
        ws = await server.websocket()
        for opcode in (TEXT, BINARY, TEXT):
            await ws.send(CHAIN_ID_CALL, opcode)
            assert await ws.frame() == (opcode, CHAIN_ID_ANSWER)


async def test_fragments_with_a_ping_between(backend: Backend) -> None:
    async with running(backend) as server:
        ws = await server.websocket()
        await ws.send(CHAIN_ID_CALL[:10], fin=False)
        await ws.send(b"are you there", PING)
        await ws.send(CHAIN_ID_CALL[10:20], CONTINUATION, fin=False)
        await ws.send(CHAIN_ID_CALL[20:], CONTINUATION)
        assert await ws.frame() == (PONG, b"are you there")
        assert await ws.frame() == (TEXT, CHAIN_ID_ANSWER)


async def test_a_call_may_come_with_the_handshake(backend: Backend) -> None:
    async with running(backend) as server:
        client = await server.connect()
        head = (
            b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        await client.send(head + encode_client_frame(CHAIN_ID_CALL))
        assert (await client.response()).status == 101
        assert await WebSocket(client, {}).frame() == (TEXT, CHAIN_ID_ANSWER)


@pytest.mark.parametrize("missing", ["Sec-WebSocket-Key", "Sec-WebSocket-Version", "Connection"])
async def test_half_a_handshake_is_refused(backend: Backend, missing: str) -> None:
    async with running(backend) as server:
        client = await server.connect()
        lines = ["Host: localhost", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
        lines += ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
        kept = [line for line in lines if not line.startswith(missing)]
        response = await client.request(b"", *kept, method="GET")
        assert 400 <= response.status < 500


async def test_many_calls_at_once_are_answered_in_order(backend: Backend) -> None:
    async with running(backend) as server:
        ws = await server.websocket()
        calls = [orjson.dumps({**orjson.loads(CHAIN_ID_CALL), "id": number}) for number in range(500)]
        await ws.client.send(b"".join(map(encode_client_frame, calls)))
        assert [(await ws.json())["id"] for _ in range(500)] == list(range(500))


async def test_heavy_calls_let_light_ones_pass(chain: FakeChain) -> None:
    gate = Gate()
    chain.on_call = gate
    async with running(make_backend(chain)) as server:
        ws = await server.websocket()
        await ws.send(orjson.dumps(CALL))
        await ws.send(orjson.dumps([CALL, {**CALL, "id": 3}]))
        await ws.send(CHAIN_ID_CALL)
        assert (await ws.json())["id"] == 1
        gate.open.set()
        answers = [await ws.json(), await ws.json()]
        assert sorted(len(answer) if isinstance(answer, list) else 0 for answer in answers) == [0, 2]


async def test_heavy_calls_of_one_connection_are_bounded(chain: FakeChain) -> None:
    gate = Gate()
    chain.on_call = gate
    async with running(make_backend(chain), websocket_heavy_calls=2, heavy_threads=8) as server:
        ws = await server.websocket()
        for number in range(5):
            await ws.send(orjson.dumps({**CALL, "id": number}))
        await ws.send(CHAIN_ID_CALL)
        await until(lambda: gate.entered == 2)
        await trio.sleep(0.05)
        assert gate.entered == 2
        gate.open.set()
        assert len([await ws.json() for _ in range(6)]) == 6


async def test_errors_and_notifications(backend: Backend) -> None:
    async with running(backend) as server:
        ws = await server.websocket()
        await ws.send(b"{")
        assert (await ws.json())["error"]["code"] == -32700
        await ws.send(b'{"jsonrpc":"2.0","method":"eth_chainId"}')
        await ws.send(b'[{"jsonrpc":"2.0","method":"eth_chainId"}]')
        await ws.send(CHAIN_ID_CALL)
        assert await ws.json() == orjson.loads(CHAIN_ID_ANSWER)


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([encode_client_frame(b"\xff\xfe")], 1007),
        ([encode_client_frame(b"x", 3)], 1002),
        ([encode_client_frame(b"x", CONTINUATION)], 1002),
        ([encode_client_frame(b"x", rsv=4)], 1002),
        ([b"\x81\x05hello"], 1002),
        ([encode_client_frame(b"x" * 200, PING)], 1002),
        ([encode_client_frame(b"x" * 1001)], 1009),
        ([encode_client_frame(b"x" * 600, fin=False), encode_client_frame(b"x" * 600, CONTINUATION)], 1009),
        ([encode_client_frame(b"\x03\xe8bye", CLOSE)], 1000),
    ],
)
async def test_broken_rules_close_the_connection(backend: Backend, frames: list[bytes], code: int) -> None:
    async with running(backend, max_body_bytes=1000) as server:
        ws = await server.websocket()
        await ws.send(CHAIN_ID_CALL)
        await ws.client.send(b"".join(frames))
        assert (await ws.frame())[1] == CHAIN_ID_ANSWER
        assert await ws.close_code() == code
        assert await ws.client.is_closed()


DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"


def deflate(data: bytes) -> bytes:
    encoder = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (encoder.compress(data) + encoder.flush(zlib.Z_SYNC_FLUSH))[:-4]


async def test_compression_both_ways(chain: FakeChain) -> None:
    chain.on_call = lambda request, limits: ExecutionResult(bytes(50_000), 1)
    async with running(make_backend(chain)) as server:
        ws = await server.websocket(DEFLATE)
        assert "permessage-deflate" in ws.headers["sec-websocket-extensions"]
        await ws.send(deflate(CHAIN_ID_CALL), rsv=4)
        assert await ws.frame() == (TEXT, CHAIN_ID_ANSWER)
        await ws.send(deflate(orjson.dumps(CALL)), BINARY, rsv=4)
        head = await ws.client.read(2)
        assert head[0] == 0xC2
        ws.client.buffer = head + ws.client.buffer
        assert len((await ws.json())["result"]) == 100_002


async def test_a_compressed_bomb_is_refused(backend: Backend) -> None:
    async with running(backend, max_body_bytes=100_000) as server:
        ws = await server.websocket(DEFLATE)
        await ws.send(deflate(b" " * 50_000_000), rsv=4)
        assert await ws.close_code() == 1009


@pytest.mark.parametrize("offer", ["server_max_window_bits=9", "server_max_window_bits=x", "client_max_window_bits=99"])
async def test_compression_that_we_cannot_do_is_declined(backend: Backend, offer: str) -> None:
    async with running(backend) as server:
        ws = await server.websocket(f"Sec-WebSocket-Extensions: permessage-deflate; {offer}")
        assert "sec-websocket-extensions" not in ws.headers
        await ws.send(CHAIN_ID_CALL)
        assert await ws.frame() == (TEXT, CHAIN_ID_ANSWER)


async def test_endless_fragments_are_refused(backend: Backend) -> None:
    async with running(backend, max_body_bytes=10_000) as server:
        ws = await server.websocket()
        await ws.send(b"", fin=False)
        await ws.client.send(encode_client_frame(b"", CONTINUATION, fin=False) * 200)
        assert await ws.close_code() == 1009


async def test_large_messages_are_limited_in_sum(chain: FakeChain) -> None:
    gate = Gate()
    chain.on_call = gate
    async with running(make_backend(chain), max_request_bytes_held=200_000) as server:
        first, second = await server.websocket(), await server.websocket()
        (observer,) = chain.observers
        large = orjson.dumps({**CALL, "params": [{"to": "0x" + BOB.hex(), "data": "0x" + "00" * 90_000}]})
        await first.send(large)
        await until(lambda: gate.entered == 1)
        await second.send(large)
        assert await second.close_code() == 1013
        gate.open.set()
        assert (await first.json())["id"] == 2
        await until(lambda: observer.requests._used == 0)  # type: ignore[attr-defined]


async def subscribe(ws: WebSocket, *params: Any) -> str:
    await ws.call("eth_subscribe", *params)
    subscription: str = (await ws.json())["result"]
    return subscription


async def test_subscriptions(chain: FakeChain) -> None:
    async with running(make_backend(chain)) as server:
        ws = await server.websocket()
        heads = await subscribe(ws, "newHeads")
        logs = await subscribe(ws, "logs", {"address": "0x" + EMITTER.hex()})
        pending = await subscribe(ws, "newPendingTransactions")
        tx = transfer()
        chain.add_waiting(tx)
        chain.mine([tx], {0: [Log(EMITTER, (), b""), Log(BOB, (), b"")]})
        messages = [await ws.json() for _ in range(3)]
        assert [message["params"]["subscription"] for message in messages] == [pending, heads, logs]
        await ws.call("eth_unsubscribe", heads)
        assert (await ws.json())["result"] is True
        chain.mine([])
        await ws.send(CHAIN_ID_CALL)
        assert await ws.frame() == (TEXT, CHAIN_ID_ANSWER)


async def test_the_id_comes_first_even_in_a_slow_batch(chain: FakeChain) -> None:
    gate = Gate()
    chain.on_call = gate
    async with running(make_backend(chain)) as server:
        ws = await server.websocket()
        await ws.send(
            orjson.dumps([{"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]}, CALL])
        )
        await until(lambda: gate.entered == 1)
        chain.mine([])
        await trio.sleep(0.02)
        gate.open.set()
        answers = await ws.json()
        message = await ws.json()
        assert message["params"]["subscription"] == answers[0]["result"]


async def test_disconnecting_ends_subscriptions_and_calls(chain: FakeChain) -> None:
    gate = Gate()
    chain.on_call = gate
    async with running(make_backend(chain)) as server:
        ws = await server.websocket()
        await subscribe(ws, "newPendingTransactions")
        await ws.send(orjson.dumps(CALL))
        await until(lambda: gate.entered == 1)
        (observer,) = chain.observers
        assert len(observer.hub) == 1  # type: ignore[attr-defined]
        await ws.client.stream.aclose()
        await until(lambda: gate.stopped == 1)
        assert len(observer.hub) == 0  # type: ignore[attr-defined]
        assert observer.unsent._used == 0  # type: ignore[attr-defined]


async def test_a_subscriber_that_does_not_read_is_disconnected(chain: FakeChain) -> None:
    async with running(make_backend(chain), websocket_queue_bytes=200_000) as server:
        slow, quick = await server.websocket(), await server.websocket()
        await subscribe(slow, "newPendingTransactions", True)
        await subscribe(quick, "newPendingTransactions")
        (observer,) = chain.observers
        tx = transfer(data=b"\x01" * 50_000)
        sent = 0
        while len(observer.hub) == 2:  # type: ignore[attr-defined]
            chain.add_waiting(tx)
            sent += 1
            assert (await quick.json())["method"] == "eth_subscription"
            assert sent < 1000
        with pytest.raises((EOFError, trio.BrokenResourceError)):
            while True:
                await slow.client.read(65_536)
        await quick.send(CHAIN_ID_CALL)
        assert await quick.json() == orjson.loads(CHAIN_ID_ANSWER)


async def test_a_client_that_does_not_read_its_answers_is_not_read(chain: FakeChain) -> None:
    chain.on_call = lambda request, limits: ExecutionResult(bytes(500_000), 1)
    async with running(make_backend(chain), websocket_queue_bytes=2_000_000, write_timeout_seconds=0.3) as server:
        ws = await server.websocket()
        (observer,) = chain.observers
        for number in range(40):
            await ws.send(orjson.dumps({**CALL, "id": number}))
        await trio.sleep(0.2)
        assert observer.unsent._used < 13_000_000  # type: ignore[attr-defined]
        with pytest.raises((EOFError, trio.BrokenResourceError)):
            await trio.sleep(0.5)
            while True:
                await ws.client.read(65_536)
        await until(lambda: observer.unsent._used == 0)  # type: ignore[attr-defined]


async def test_pings_keep_a_connection_and_silence_ends_it(backend: Backend) -> None:
    async with running(backend, websocket_ping_seconds=0.1) as server:
        ws = await server.websocket()
        for _ in range(4):
            opcode, payload = await ws.frame()
            assert opcode == PING
            await ws.send(payload, PONG)
        assert await ws.close_code() == 1013


async def test_stopping_says_so(backend: Backend) -> None:
    async with running(backend) as server:
        ws = await server.websocket()
        await subscribe(ws, "newHeads")
        server.stop.set()
        assert await ws.close_code() == 1001
        await ws.client.stream.aclose()
        await server.ended.wait()
