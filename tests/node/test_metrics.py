"""The text format, and the listener against clients that misbehave."""

from __future__ import annotations

import pytest
import trio

from dmchain.chain.primitives.errors import DmchainError
from dmchain.node.metrics import Histogram, counter, counters, gauge, histogram, render
from dmchain.node.monitoring import MAX_CONNECTIONS, MAX_REQUEST_BYTES, serve_metrics
from dmchain.node.network.transport import Endpoint

ANYWHERE = Endpoint("127.0.0.1", 0)


def test_values_are_rendered_as_prometheus_reads_them() -> None:
    text = render(
        [
            gauge("dmchain_info", 'It says "hi"\\\n.', 1, version='a"b\\c\nd'),
            counter("dmchain_gas_total", "Gas.", 2**80),
            counters("dmchain_calls_total", "Calls.", "method", {"b": 2, "a": 1}),
            gauge("dmchain_seconds", "Time.", 0.25),
        ]
    )
    assert text == (
        '# HELP dmchain_info It says "hi"\\\\\\n.\n'
        "# TYPE dmchain_info gauge\n"
        'dmchain_info{version="a\\"b\\\\c\\nd"} 1\n'
        "# HELP dmchain_gas_total Gas.\n"
        "# TYPE dmchain_gas_total counter\n"
        "dmchain_gas_total 1208925819614629174706176\n"
        "# HELP dmchain_calls_total Calls.\n"
        "# TYPE dmchain_calls_total counter\n"
        'dmchain_calls_total{method="a"} 1\n'
        'dmchain_calls_total{method="b"} 2\n'
        "# HELP dmchain_seconds Time.\n"
        "# TYPE dmchain_seconds gauge\n"
        "dmchain_seconds 0.25\n"
    )


def test_a_histogram_counts_up_to_and_with_each_bound() -> None:
    found = Histogram((0.5, 1.0))
    for value in (0.1, 0.5, 0.6, 7.0):
        found.observe(value)
    lines = render([histogram("h", "H.", found)]).splitlines()[2:]
    assert lines == ['h_bucket{le="0.5"} 2', 'h_bucket{le="1.0"} 3', 'h_bucket{le="+Inf"} 4', "h_sum 8.2", "h_count 4"]


async def ask(endpoint: Endpoint, request: bytes) -> bytes:
    stream = await trio.open_tcp_stream(endpoint.host, endpoint.port)
    async with stream:
        await stream.send_all(request)
        return b"".join([chunk async for chunk in stream])


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET /metrics HTTP/1.1", b"200"),
        (b"GET /metrics?x=1 HTTP/1.0", b"200"),
        (b"GET / HTTP/1.1", b"404"),
        (b"POST /metrics HTTP/1.1", b"405"),
        (b"garbage", b"400"),
        (b"GET /metrics SPDY/3", b"400"),
    ],
)
async def test_only_get_metrics_is_answered(nursery: trio.Nursery, request_line: bytes, status: bytes) -> None:
    endpoint = await nursery.start(serve_metrics, ANYWHERE, lambda: "x 1\n")
    answer = await ask(endpoint, request_line + b"\r\nHost: x\r\n\r\n")
    assert answer.split(b" ")[1] == status
    assert answer.endswith(b"\r\n\r\nx 1\n") == (status == b"200")


async def test_endless_heads_and_idle_clients_are_cut(nursery: trio.Nursery) -> None:
    endpoint = await nursery.start(serve_metrics, ANYWHERE, lambda: "x 1\n")
    try:
        assert await ask(endpoint, b"GET /metrics HTTP/1.1\r\n" + b"x" * (2 * MAX_REQUEST_BYTES)) == b""
    except trio.BrokenResourceError:
        pass  # cut before everything was read
    idle = [await trio.open_tcp_stream(endpoint.host, endpoint.port) for _ in range(MAX_CONNECTIONS)]
    with trio.fail_after(2):
        assert await ask(endpoint, b"GET /metrics HTTP/1.1\r\n\r\n") == b""
        for stream in idle:
            await stream.aclose()
        while not await ask(endpoint, b"GET /metrics HTTP/1.1\r\n\r\n"):
            await trio.sleep(0.01)


async def test_a_failing_reading_ends_one_connection_only(nursery: trio.Nursery) -> None:
    texts = iter([lambda: 1 / 0, lambda: "x 1\n"])
    endpoint = await nursery.start(serve_metrics, ANYWHERE, lambda: next(texts)())
    assert await ask(endpoint, b"GET /metrics HTTP/1.1\r\n\r\n") == b""
    assert (await ask(endpoint, b"GET /metrics HTTP/1.1\r\n\r\n")).endswith(b"x 1\n")


async def test_a_taken_address_is_named(nursery: trio.Nursery) -> None:
    endpoint = await nursery.start(serve_metrics, ANYWHERE, lambda: "")
    with pytest.raises(DmchainError, match=r"metrics.listen: cannot listen on 127.0.0.1:\d+"):
        await serve_metrics(endpoint, lambda: "")
