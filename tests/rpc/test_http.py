"""The server over HTTP, on real sockets."""

from __future__ import annotations

import gzip
import threading
import zlib
from typing import Any

import orjson
import pytest
import trio

from dmchain.rpc.backend import Backend, CallLimits, CallRequest, ExecutionResult
from dmchain.rpc.config import ServerConfig
from dmchain.rpc.http import serve
from tests.rpc.fake import BOB, FakeChain, make_backend, transfer
from tests.rpc.wire import CHAIN_ID_ANSWER, CHAIN_ID_CALL, running

TO = "0x" + BOB.hex()
CALL = {"jsonrpc": "2.0", "id": 2, "method": "eth_call", "params": [{"to": TO, "data": "0x01"}, "latest"]}


class Gate:
    """Calls that take until they are let through; they notice when nobody waits any more."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.entered = 0
        self.stopped = 0

    def __call__(self, request: CallRequest, limits: CallLimits) -> ExecutionResult:
        self.entered += 1
        while not self.open.wait(0.002):
            if limits.stop.requested:
                self.stopped += 1
                limits.stop.check()
        return ExecutionResult(b"\x01", 1)


async def until(condition: Any) -> None:
    while not condition():
        await trio.sleep(0.002)


async def test_a_connection_serves_many_requests(backend: Backend) -> None:
    async with running(backend) as server:
        client = await server.connect()
        for _ in range(3):
            response = await client.request()
            assert (response.status, response.body) == (200, CHAIN_ID_ANSWER)
            assert response.headers["content-type"] == "application/json"


async def test_pipelined_requests_are_answered_in_order(backend: Backend) -> None:
    async with running(backend) as server:
        client = await server.connect()
        head = b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(CHAIN_ID_CALL)
        heavy = orjson.dumps(CALL)
        heavy_head = b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(heavy)
        await client.send(head + CHAIN_ID_CALL + heavy_head + heavy + head + CHAIN_ID_CALL)
        assert [(await client.response()).json["id"] for _ in range(3)] == [1, 2, 1]


async def test_a_request_may_come_in_crumbs_and_chunks(backend: Backend) -> None:
    async with running(backend) as server:
        client = await server.connect()
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (CHAIN_ID_CALL[:9], CHAIN_ID_CALL[9:]))
        request = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
        for at in range(0, len(request), 7):
            await client.send(request[at : at + 7])
        assert (await client.response()).body == CHAIN_ID_ANSWER


async def test_curls_expectation_is_met(backend: Backend) -> None:
    async with running(backend) as server:
        client = await server.connect()
        size = len(CHAIN_ID_CALL)
        head = f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\nExpect: 100-continue\r\n\r\n"
        await client.send(head.encode())
        assert (await client.response()).status == 100
        await client.send(CHAIN_ID_CALL)
        assert (await client.response()).body == CHAIN_ID_ANSWER


async def test_batches(backend: Backend) -> None:
    async with running(backend, max_batch_entries=4) as server:
        client = await server.connect()
        light = orjson.loads(CHAIN_ID_CALL)
        note = {"jsonrpc": "2.0", "method": "eth_chainId"}
        answers = await client.post([light, CALL, note, 5])
        assert [answer["id"] for answer in answers] == [1, 2, None]
        assert answers[1]["result"] == "0x01"
        assert (await client.post([light] * 5))["error"]["message"].startswith("batch too large")
        for only_notes in ([note], note):
            response = await client.request(orjson.dumps(only_notes))
            assert (response.status, response.body) == (200, b"")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", -32700),
        (b"{", -32700),
        (b"[]", -32600),
        (b"7", -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"x"}', -32601),
    ],
)
async def test_json_rpc_errors_have_status_200(backend: Backend, body: bytes, code: int) -> None:
    async with running(backend) as server:
        client = await server.connect()
        response = await client.request(body)
        assert response.status == 200 and response.json["error"]["code"] == code
        assert (await client.request()).body == CHAIN_ID_ANSWER


async def test_bodies_are_limited(backend: Backend) -> None:
    async with running(backend, max_body_bytes=1000) as server:
        client = await server.connect()
        response = await client.request(b"x" * 1001)
        assert response.status == 413 and response.json["error"]["code"] == -32600
        assert await client.is_closed()
        client = await server.connect()
        await client.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(3):
            await client.send(b"200\r\n" + b"x" * 512 + b"\r\n")
        assert (await client.response()).status == 413


async def test_gzip_both_ways(backend: Backend) -> None:
    async with running(backend, max_body_bytes=100_000, compress_min_bytes=1000) as server:
        client = await server.connect()
        batch = orjson.dumps([orjson.loads(CHAIN_ID_CALL)] * 300)
        response = await client.request(gzip.compress(batch), "Content-Encoding: gzip", "Accept-Encoding: br, gzip")
        assert response.headers["content-encoding"] == "gzip"
        assert len(orjson.loads(gzip.decompress(response.body))) == 300
        response = await client.request(zlib.compress(batch), "Content-Encoding: deflate")
        assert len(response.json) == 300
        response = await client.request(CHAIN_ID_CALL, "Accept-Encoding: gzip")
        assert response.body == CHAIN_ID_ANSWER


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (gzip.compress(b" " * 10_000_000), "gzip", 413),
        (gzip.compress(CHAIN_ID_CALL)[:-9], "gzip", 415),
        (CHAIN_ID_CALL, "gzip", 415),
        (CHAIN_ID_CALL, "br", 415),
    ],
    ids=["bomb", "cut", "plain", "unknown"],
)
async def test_bad_compression_is_refused(backend: Backend, body: bytes, encoding: str, status: int) -> None:
    async with running(backend, max_body_bytes=1_000_000) as server:
        client = await server.connect()
        response = await client.request(body, f"Content-Encoding: {encoding}")
        assert response.status == status
        assert (await client.request()).body == CHAIN_ID_ANSWER


async def test_health(chain: FakeChain) -> None:
    async with running(make_backend(chain)) as server:
        client = await server.connect()
        for path in ("/", "/health", "/health?x=1"):
            response = await client.request(b"", method="GET", path=path)
            assert response.status == 200 and response.json["chainId"] == 1337
        response = await client.request(b"", method="HEAD")
        assert response.status == 200 and int(response.headers["content-length"]) > 100
        chain.problem = "no blocks for 60 s"
        assert (await client.request(b"", method="GET", path="/health")).status == 503
        assert (await client.request(b"", method="GET", path="/nothing")).status == 404
        assert (await client.request(b"", method="DELETE")).status == 405
        assert (await client.request()).body == CHAIN_ID_ANSWER


async def test_a_body_in_tiny_chunks_is_refused(backend: Backend) -> None:
    async with running(backend) as server:
        client = await server.connect()
        await client.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        await client.send(b"1\r\n \r\n" * 3000)
        assert (await client.response()).status == 415


async def test_large_bodies_are_limited_in_sum(chain: FakeChain) -> None:
    gate = Gate()
    chain.on_call = gate
    async with running(make_backend(chain), max_request_bytes_held=200_000) as server:
        first, second, third = [await server.connect() for _ in range(3)]
        large = orjson.dumps({**CALL, "params": [{"to": TO, "data": "0x" + "00" * 90_000}]})
        async with trio.open_nursery() as nursery:
            nursery.start_soon(first.request, large)
            await until(lambda: gate.entered == 1)
            response = await second.request(large)
            assert response.status == 503 and response.json["error"]["code"] == -32005
            assert (await third.request()).body == CHAIN_ID_ANSWER
            gate.open.set()
        assert (await third.request(large)).status == 200


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8545", "127.0.0.1:8545", "[::1]:1", "10.1.2.3", "me.localhost"]
)
async def test_hosts_that_cannot_be_rebound_are_served(backend: Backend, host: str) -> None:
    async with running(backend) as server:
        client = await server.connect()
        assert (await client.request(CHAIN_ID_CALL, f"Host: {host}")).status == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "dmchain", "[evil]"])
async def test_other_hosts_are_refused_with_a_hint(backend: Backend, host: str) -> None:
    async with running(backend) as server:
        client = await server.connect()
        response = await client.request(CHAIN_ID_CALL, f"Host: {host}")
        assert response.status == 403 and b"--rpc-vhosts" in response.body
        with pytest.raises(ConnectionRefusedError):
            await server.websocket(f"Host: {host}")


async def test_named_hosts_are_served(backend: Backend) -> None:
    async with running(backend, vhosts=("dmchain",)) as server:
        client = await server.connect()
        assert (await client.request(CHAIN_ID_CALL, "Host: DMchain:8545")).status == 200
    async with running(backend, vhosts=("*",)) as server:
        client = await server.connect()
        assert (await client.request(CHAIN_ID_CALL, "Host: anything.example")).status == 200


LOCAL_ORIGINS = ["http://localhost:3000", "https://127.0.0.1", "http://[::1]:5173", "chrome-extension://abc"]


@pytest.mark.parametrize("origin", [*LOCAL_ORIGINS, "https://app.example"])
async def test_allowed_origins_may_read_and_send(backend: Backend, origin: str) -> None:
    async with running(backend, cors_origins=("https://app.example",)) as server:
        client = await server.connect()
        wanted = ["Access-Control-Request-Method: POST", "Access-Control-Request-Headers: content-type, x-key"]
        response = await client.request(b"", f"Origin: {origin}", *wanted, method="OPTIONS")
        assert response.status == 204
        assert response.headers["access-control-allow-origin"] == origin
        assert response.headers["access-control-allow-headers"] == "content-type, x-key"
        response = await client.request(CHAIN_ID_CALL, f"Origin: {origin}")
        assert (response.status, response.body) == (200, CHAIN_ID_ANSWER)
        assert response.headers["access-control-allow-origin"] == origin
        await server.websocket(f"Origin: {origin}")


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost.evil.example", "file://", "http://["]
)
async def test_other_origins_are_refused(backend: Backend, origin: str) -> None:
    async with running(backend) as server:
        client = await server.connect()
        response = await client.request(b"", f"Origin: {origin}", method="OPTIONS")
        assert response.status == 403 and "access-control-allow-origin" not in response.headers
        client = await server.connect()
        assert (await client.request(CHAIN_ID_CALL, f"Origin: {origin}")).status == 403
        with pytest.raises(ConnectionRefusedError):
            await server.websocket(f"Origin: {origin}")


async def test_a_page_of_the_server_itself_is_served(backend: Backend) -> None:
    async with running(backend, vhosts=("node.example",)) as server:
        client = await server.connect()
        headers = ("Host: node.example:8545", "Origin: http://node.example:8545")
        assert (await client.request(CHAIN_ID_CALL, *headers)).status == 200


async def test_any_origin_can_be_allowed(backend: Backend) -> None:
    async with running(backend, cors_origins=("*",)) as server:
        client = await server.connect()
        assert (await client.request(CHAIN_ID_CALL, "Origin: https://evil.example")).status == 200


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_what_is_no_http_is_refused_and_closed(backend: Backend, request_bytes: bytes) -> None:
    async with running(backend) as server:
        client = await server.connect()
        await client.send(request_bytes)
        response = await client.response()
        assert 400 <= response.status < 500
        assert await client.is_closed()


async def test_a_slow_sender_is_cut_off_and_an_idle_one_is_not(backend: Backend) -> None:
    async with running(backend, request_timeout_seconds=0.1, idle_timeout_seconds=10) as server:
        idle, slow = await server.connect(), await server.connect()
        await idle.request()
        await slow.send(b"POST / HTTP/1.1\r\nHost: local")
        assert await slow.is_closed()
        slow = await server.connect()
        await slow.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{")
        assert await slow.is_closed()
        assert (await idle.request()).body == CHAIN_ID_ANSWER


async def test_an_idle_connection_ends_in_the_end(backend: Backend) -> None:
    async with running(backend, idle_timeout_seconds=0.05) as server:
        client = await server.connect()
        await client.request()
        assert await client.is_closed()


async def test_too_many_connections_push_out_the_idle_ones_first(chain: FakeChain) -> None:
    gate = Gate()
    chain.on_call = gate
    async with running(make_backend(chain), max_connections=2) as server:
        first, second = await server.connect(), await server.connect()
        await first.request()
        await second.request()
        third = await server.connect()
        assert (await third.request()).status == 200
        assert await first.is_closed()
        async with trio.open_nursery() as nursery:
            for client in (second, third):
                nursery.start_soon(client.post, CALL)
            await until(lambda: gate.entered == 2)
            assert (await (await server.connect()).response()).status == 503
            gate.open.set()


async def test_a_slow_reader_is_cut_off(chain: FakeChain) -> None:
    chain.on_call = lambda request, limits: ExecutionResult(bytes(8_000_000), 1)
    async with running(make_backend(chain), write_timeout_seconds=0.1) as server:
        client = await server.connect()
        body = orjson.dumps(CALL)
        await client.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await client.read(100)  # the answer has begun; it is larger than what the kernel keeps
        await trio.sleep(0.5)
        with pytest.raises((EOFError, trio.BrokenResourceError)):
            await client.read(16_000_000 - 100)


async def test_large_answers_are_limited_in_sum(chain: FakeChain) -> None:
    chain.on_call = lambda request, limits: ExecutionResult(bytes(8_000_000), 1)
    async with running(make_backend(chain), max_unsent_bytes=20_000_000) as server:
        slow, quick = await server.connect(), await server.connect()
        body = orjson.dumps(CALL)
        await slow.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await slow.read(100)
        assert (await quick.post(CALL))["error"]["code"] == -32005
        await slow.read(16_000_000 - 100)
        await trio.sleep(0.05)
        assert len((await quick.post(CALL))["result"]) == 16_000_002


# ---------------------------------------------------------------- heavy calls


async def test_heavy_calls_do_not_hold_up_light_ones(chain: FakeChain) -> None:
    gate = Gate()
    chain.on_call = gate
    async with running(make_backend(chain), heavy_threads=2) as server, trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon((await server.connect()).post, CALL)
        await until(lambda: gate.entered == 2)
        client = await server.connect()
        for _ in range(20):
            assert (await client.request()).body == CHAIN_ID_ANSWER
        gate.open.set()  # had a light call waited for a heavy one, it would wait still


async def test_a_call_that_takes_too_long_is_told_to_stop(chain: FakeChain) -> None:
    gate = Gate()
    chain.on_call = gate
    async with running(make_backend(chain), heavy_timeout_seconds=0.05) as server:
        client = await server.connect()
        answer = await client.post(CALL)
        assert answer["error"] == {"code": -32002, "message": "request timed out"}
        await until(lambda: gate.stopped == 1)


async def test_the_queue_of_heavy_calls_is_bounded(chain: FakeChain) -> None:
    gate = Gate()
    chain.on_call = gate
    async with running(make_backend(chain), heavy_threads=1, max_heavy_waiting=2) as server:
        client = await server.connect()
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon((await server.connect()).post, CALL)
            await until(lambda: gate.entered == 1)
            await trio.sleep(0.05)
            answer = await client.post(CALL)
            assert answer["error"]["code"] == -32005 and "server is busy" in answer["error"]["message"]
            gate.open.set()


async def test_a_batch_of_heavy_calls_has_one_deadline(chain: FakeChain) -> None:
    chain.on_call = Gate()
    async with running(make_backend(chain), batch_timeout_seconds=0.1, heavy_timeout_seconds=5) as server:
        client = await server.connect()
        answers = await client.post([{**CALL, "id": number} for number in range(50)])
        assert [answer["id"] for answer in answers] == list(range(50))
        assert {answer["error"]["code"] for answer in answers} == {-32002}


async def test_a_batch_has_a_size(chain: FakeChain) -> None:
    chain.on_call = lambda request, limits: ExecutionResult(bytes(1000), 1)
    async with running(make_backend(chain), max_response_bytes=5000) as server:
        client = await server.connect()
        answers = await client.post([{**CALL, "id": number} for number in range(10)])
        assert ["result" in answer for answer in answers] == [True] * 3 + [False] * 7
        assert "response too large" in answers[9]["error"]["message"]


async def test_a_batch_of_light_calls_lets_others_run(backend: Backend) -> None:
    async with running(backend, max_batch_entries=100_000) as server:
        batch = await server.connect()
        other = await server.connect()
        done: list[str] = []

        async def ask_batch() -> None:
            await batch.post([orjson.loads(CHAIN_ID_CALL)] * 20_000)
            done.append("batch")

        async def ask_one() -> None:
            await trio.sleep(0.02)
            await other.request()
            done.append("one")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask_batch)
            nursery.start_soon(ask_one)
        assert done == ["one", "batch"]


async def test_sync_sending_waits_for_the_block(chain: FakeChain) -> None:
    async with running(make_backend(chain)) as server:
        client = await server.connect()
        tx = transfer()
        request = {"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransactionSync", "params": ["0x" + tx.raw.hex()]}
        answers: list[Any] = []
        async with trio.open_nursery() as nursery:

            async def send() -> None:
                answers.append(await client.post(request))

            nursery.start_soon(send)
            await until(lambda: chain.waiting)
            chain.mine([])
            await trio.sleep(0.02)
            assert not answers
            chain.mine([tx])
        assert answers[0]["result"]["transactionHash"] == "0x" + tx.hash.hex()


async def test_filling_in_and_sending_comes_back_to_the_loops_thread(chain: FakeChain) -> None:
    chain.settles = True
    async with running(make_backend(chain)) as server:
        client = await server.connect()
        sender = "0x" + transfer().sender.hex()
        request = {"jsonrpc": "2.0", "id": 1, "method": "eth_sendTransaction", "params": [{"from": sender, "to": TO}]}
        answers: list[Any] = []
        async with trio.open_nursery() as nursery:

            async def send() -> None:
                answers.append(await client.post(request))

            nursery.start_soon(send)
            await until(lambda: chain.waiting)
            chain.mine(list(chain.waiting.values()))
        assert answers[0]["result"] == "0x" + chain.blocks[1].block.transactions[0].hash.hex()


# ---------------------------------------------------------------- start and stop


async def test_the_address_is_known_when_it_answers(backend: Backend) -> None:
    async with running(backend) as server:
        assert server.endpoint.port > 0
        assert server.endpoint.http_url == f"http://127.0.0.1:{server.endpoint.port}"
        assert server.endpoint.ws_url == f"ws://127.0.0.1:{server.endpoint.port}"


async def test_a_port_in_use_is_an_error(backend: Backend) -> None:
    async with running(backend) as server:
        with pytest.raises(OSError):
            await serve(ServerConfig(port=server.endpoint.port), backend)


async def test_stopping_lets_running_calls_finish(chain: FakeChain) -> None:
    gate = Gate()
    chain.on_call = gate
    async with running(make_backend(chain)) as server:
        idle, busy = await server.connect(), await server.connect()
        await idle.request()
        answers: list[Any] = []
        async with trio.open_nursery() as nursery:

            async def ask() -> None:
                answers.append(await busy.post(CALL))

            nursery.start_soon(ask)
            await until(lambda: gate.entered == 1)
            server.stop.set()
            assert await idle.is_closed()
            with pytest.raises(OSError):
                await trio.testing.wait_all_tasks_blocked()
                await server.connect()
            gate.open.set()
        assert answers[0]["result"] == "0x01"
        await server.ended.wait()
        assert chain.observers == []


async def test_stopping_has_a_deadline(chain: FakeChain) -> None:
    gate = Gate()
    chain.on_call = gate
    async with running(make_backend(chain), shutdown_seconds=0.1) as server:
        client = await server.connect()
        async with trio.open_nursery() as nursery:

            async def ask() -> None:
                with pytest.raises((EOFError, trio.BrokenResourceError)):
                    await client.post(CALL)

            nursery.start_soon(ask)
            await until(lambda: gate.entered == 1)
            server.stop.set()
            await server.ended.wait()
        await until(lambda: gate.stopped == 1)
