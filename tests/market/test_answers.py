"""Nodes that are broken, or lie: nothing but a MarketError comes of it."""

from __future__ import annotations

import asyncio
import inspect
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from dmchain.market import AsyncMarket, Market, errors, private_key
from dmchain.market.answers import BadAnswer, data, field, quantity
from dmchain.market.drivers import SyncDriver

GARBAGE: list[Any] = [
    None,
    "",
    "0x",
    "0xzz",
    "zz",
    1,
    -1,
    0.5,
    True,
    [],
    [None],
    {},
    {"number": None},
    "0x" + "ff" * 32,
]
GARBAGE += [
    "0x" + "00" * 31,
    "0x1",
    {"timestamp": [], "baseFeePerGas": "0x", "gasLimit": {}},
    "\x1b[2J",
    [[]],
    "0x" + "20" * 640,
]
SOUND: dict[str, Any] = {
    "eth_chainId": "0x539",
    "dm_nodeInfo": {"contracts": {}},
    "eth_getCode": "0x00",
    "eth_estimateGas": "0x5208",
    "eth_getTransactionCount": "0x0",
    "eth_maxPriorityFeePerGas": "0x1",
    "eth_getBlockByNumber": {"timestamp": "0x1", "baseFeePerGas": "0x1", "gasLimit": "0x1c9c380"},
    "eth_sendRawTransaction": "0x" + "11" * 32,
    "eth_getBalance": "0x1",
    "eth_blockNumber": "0x1",
}


class Liar:
    """A provider whose answers are partly sound and partly garbage, decided by a seed."""

    endpoint_uri = "liar"

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def make_request(self, method: str, params: Any) -> Any:
        if method in SOUND and self._random.random() < 0.8:
            return {"jsonrpc": "2.0", "id": 1, "result": SOUND[method]}
        if self._random.random() < 0.1:
            return self._random.choice(GARBAGE)
        kind = "result" if self._random.random() < 0.8 else "error"
        return {"jsonrpc": "2.0", "id": 1, kind: self._random.choice(GARBAGE)}

    def make_batch_request(self, calls: list[Any]) -> Any:
        if self._random.random() < 0.05:
            return self._random.choice(GARBAGE)
        return [self.make_request(method, params) for method, params in calls]


class FakeWeb3:
    def __init__(self, provider: Any) -> None:
        self.provider = provider


OPERATIONS: dict[str, Callable[[Market], Any]] = {
    "list": lambda market: market.list(),
    "show": lambda market: market.show("0x" + "11" * 32),
    "buy": lambda market: market.buy(1),
    "publish": lambda market: market.publish("bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e", spdx="MIT"),
    "owed": lambda market: market.payouts.owed(),
    "faucet": lambda market: market.tokens.faucet("1 USD"),
    "verify": lambda market: market.verify("0x" + "11" * 32),
    "draw": lambda market: market.disputes.draw(1),
    "transact": lambda market: market.transact("TestUSD", "mint", "0x" + "11" * 20, 1),
    "balance": lambda market: market.tokens.balance(),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_garbage_becomes_an_error_of_the_sdk(name: str) -> None:
    for seed in range(150):
        market = Market(FakeWeb3(Liar(seed)), private_key("0x" + "22" * 32), timeout=0.01)  # type: ignore[arg-type]
        assert isinstance(market._driver, SyncDriver)
        try:
            OPERATIONS[name](market)
        except errors.MarketError as error:
            assert str(error).isprintable(), (seed, str(error))


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b"[[]]", b"{}", b"null", b"\xff"])
@pytest.mark.parametrize("kind", [Market, AsyncMarket])
def test_a_server_that_is_no_node_is_told(kind: Any, body: bytes) -> None:
    with no_node(body) as url:
        for name in ("chain_id", "list"):
            with pytest.raises(errors.ConnectionFailed, match=r"is not JSON-RPC|answers to a batch"):
                asyncio.run(called(kind(url), name))


async def called(market: Any, name: str) -> Any:
    try:
        found = getattr(market, name)()
        return await found if inspect.isawaitable(found) else found
    finally:
        closed = market.close()
        if inspect.isawaitable(closed):
            await closed


@contextmanager
def no_node(body: bytes) -> Iterator[str]:
    """An HTTP server that answers everything with the same bytes."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_fees_that_nobody_means_to_pay_are_refused() -> None:
    greedy = {**SOUND, "eth_maxPriorityFeePerGas": hex(10**15)}

    class Greedy(Liar):
        def make_request(self, method: str, params: Any) -> Any:
            return {"jsonrpc": "2.0", "id": 1, "result": greedy[method]}

    market = Market(FakeWeb3(Greedy(0)), private_key("0x" + "22" * 32))  # type: ignore[arg-type]
    with pytest.raises(errors.FeeTooHigh, match="fees of up to 36"):
        market.transact("TestUSD", "mint", "0x" + "11" * 20, 1)


@pytest.mark.parametrize("value", [*GARBAGE[:13], "0x" + "zz", "1"])
def test_what_is_no_quantity_is_refused(value: Any) -> None:
    if value == "0x1":
        return
    with pytest.raises(BadAnswer, match="from the node, expected"):
        quantity(value, "nonce")


def test_sound_answers_pass() -> None:
    assert quantity("0x10", "n") == 16
    assert data("0x1234", "d") == data("0x1234", "d", 2) == b"\x12\x34"
    assert field({"a": None}, "a", "f") is None
    with pytest.raises(BadAnswer, match="expected 3 bytes in hex"):
        data("0x1234", "d", 3)
    with pytest.raises(BadAnswer, match="an object with b"):
        field({"a": 1}, "b", "f")
