"""Hostile input to a real node: RPC bodies, raw transactions, genesis files. No traceback, no dead node, named fields.

FUZZ_SECONDS=600 makes it a campaign; every case is made from the seed that a failure prints.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from dmchain.chain.genesis import decode_json, parse_genesis
from dmchain.chain.primitives.errors import InvalidGenesis
from dmchain.node.devnet import genesis_document
from tests.chain.primitives.test_transaction import sample
from tests.node.process import DevnetProcess

SECONDS = float(os.environ.get("FUZZ_SECONDS", "6"))
SEED = int(os.environ.get("FUZZ_SEED", "20260"))
METHODS = (
    "eth_call", "eth_estimateGas", "eth_getBalance", "eth_getLogs", "eth_sendRawTransaction", "eth_getBlockByNumber",
    "eth_getProof", "eth_feeHistory", "eth_newFilter", "eth_getFilterChanges", "eth_sendTransaction", "eth_getStorageAt",
    "eth_signTypedData_v4", "personal_sign", "dm_getDataset", "dm_getLicense", "dm_listDatasets", "eth_createAccessList",
    "evm_setNextBlockTimestamp", "hardhat_setBalance", "hardhat_setStorageAt", "anvil_loadState", "evm_revert",
    "eth_getTransactionByHash", "debug_traceTransaction", "debug_traceCall", "eth_fillTransaction", "no_such_method",
)  # fmt: skip


def random_value(rng: random.Random, depth: int = 0) -> Any:
    """Something JSON can hold: plausible, absurd, or both."""
    choice = rng.randrange(16)
    if choice == 0:
        return rng.choice([None, True, False, "", "latest", "pending", "earliest", "0x", "0x0", "0x00", "-0x1"])
    if choice == 1:
        return rng.choice([0, 1, -1, 2**63, 2**64, -(2**70), 1.5, 1e300])
    if choice == 2:
        return hex(rng.getrandbits(rng.choice([1, 8, 64, 160, 256, 300, 5000])))
    if choice in (3, 4):
        return "0x" + rng.randbytes(rng.choice([0, 1, 4, 19, 20, 21, 31, 32, 33, 200])).hex()
    if choice == 5:
        return "".join(chr(rng.choice([rng.randrange(32, 127), rng.randrange(0x80, 0xD7FF)])) for _ in range(rng.randrange(40)))
    if choice < 10 and depth < 4:
        return [random_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    if depth < 4:
        keys = ["from", "to", "data", "input", "gas", "value", "nonce", "address", "topics", "fromBlock", "toBlock",
                "blockHash", "accessList", "authorizationList", "stateDiff", "code", "balance", "type", "limit", "cursor",
                "types", "message", "domain", "primaryType", "é"]  # fmt: skip
        return {rng.choice(keys): random_value(rng, depth + 1) for _ in range(rng.randrange(5))}
    return "0x1"


def random_body(rng: random.Random) -> bytes:
    """A request, a batch, a broken one, or noise."""

    def request() -> Any:
        call: dict[str, Any] = {"jsonrpc": "2.0", "id": random_value(rng, 3), "method": rng.choice(METHODS)}
        if rng.random() < 0.9:
            call["params"] = random_value(rng) if rng.random() < 0.1 else [random_value(rng) for _ in range(rng.randrange(5))]
        if rng.random() < 0.05:
            call.pop(rng.choice(list(call)))
        return call

    body = json.dumps(request() if rng.random() < 0.8 else [request() for _ in range(rng.randrange(6))]).encode()
    if rng.random() < 0.15:
        at = rng.randrange(len(body))
        body = body[:at] + rng.randbytes(rng.randrange(4)) + body[at + rng.randrange(3) :]
    if rng.random() < 0.03:
        body = rng.choice([b"", b"[" * 5000, b'{"a":' * 3000, b"NaN", b"\xff\xfe", b'"' + b"a" * 100_000, rng.randbytes(300)])
    return body


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevnetProcess]:
    with DevnetProcess(tmp_path_factory.mktemp("fuzz")) as process:
        yield process
        assert process.process.poll() is None, "the node has died"
        text = process.log.read_text()
        assert "Traceback" not in text, text[-5000:]


def campaign(node: DevnetProcess, make: Callable[[random.Random], bytes]) -> int:
    """Send bodies for a while; every answer is JSON-RPC without a trace of our inside. Returns how many."""
    address = urlsplit(node.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
    deadline = time.monotonic() + SECONDS
    number = 0
    while time.monotonic() < deadline:
        seed = SEED * 1_000_000 + number
        number += 1
        body = make(random.Random(seed))
        connection.request("POST", "/", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status in (200, 204, 400, 413), (seed, answer.status)
        check_answer(text, seed, body)
    connection.close()
    assert int(node.call("eth_chainId"), 16) == 1337
    return number


def check_answer(text: bytes, seed: int, body: bytes) -> None:
    if not text:
        return
    document = json.loads(text)
    for entry in document if isinstance(document, list) else [document]:
        assert entry["jsonrpc"] == "2.0", seed
        error = entry.get("error")
        if error is not None:
            assert error["code"] != -32603, (seed, body[:500], error)
            assert isinstance(error["message"], str), seed
            assert error["message"], seed
            assert "Traceback" not in error["message"], seed
            assert 'File "' not in error["message"], seed


def test_random_bodies(node: DevnetProcess) -> None:
    assert campaign(node, random_body) > 50


def test_mangled_raw_transactions(node: DevnetProcess) -> None:
    def make(rng: random.Random) -> bytes:
        raw = bytearray(sample(rng.choice([0, 1, 2, 4])).raw)
        for _ in range(rng.randrange(4)):
            at = rng.randrange(len(raw))
            raw[at : at + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
        call = {"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction", "params": ["0x" + raw.hex()]}
        return json.dumps(call).encode()

    assert campaign(node, make) > 50


def mutate(rng: random.Random, value: Any) -> Any:
    """Change one thing somewhere in a document."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        changed = dict(value)
        action = rng.random()
        if action < 0.1:
            del changed[key]
        elif action < 0.2:
            changed[random_value(rng, 4) if rng.random() < 0.1 else str(random_value(rng, 3))[:50]] = changed[key]
        else:
            changed[key] = mutate(rng, changed[key])
        return changed
    return random_value(rng)


def test_mangled_genesis_files_are_refused_by_name_or_accepted() -> None:
    document = genesis_document({b"\1" * 20: 5})  # type: ignore[dict-item]
    fields = (*document, "alloc", "config", "genesis", "dmchain", "JSON", "key", "number")
    refused = accepted = 0
    deadline = time.monotonic() + SECONDS / 2
    while time.monotonic() < deadline:
        seed = SEED + refused + accepted
        rng = random.Random(seed)
        mangled: Any = document
        for _ in range(rng.randrange(1, 4)):
            mangled = mutate(rng, mangled)
        try:
            parse_genesis(decode_json(json.dumps(mangled)))
            accepted += 1
        except InvalidGenesis as error:
            assert any(field in str(error) for field in fields), (seed, str(error))
            assert len(str(error)) < 400, seed
            refused += 1
    assert refused > 50
    assert accepted > 0


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[" * 100_000, "not JSON"),
        (b'{"config": {"chainId": 1}, "config": {}}', "'config' appears twice"),
        (b'{"config": {}, "alloc": {}}', "config.chainId: missing"),
        (b'{"config": {"chainId": NaN}, "alloc": {}}', "not JSON"),
        (b'{"config": {"chainId": 1, "berlinBlock": 7}, "alloc": {}}', "config.berlinBlock: got 7, expected 0"),
        (b'{"config": {"chainId": 1}, "alloc": {"0x12": {}}}', "alloc.0x12: expected 20 bytes, got 1"),
    ],
)
def test_the_command_names_the_file_and_the_field(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "bad genesis.json"
    path.write_bytes(content)
    result = subprocess.run(
        [sys.executable, "-m", "dmchain", "genesis", "check", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert str(path) in result.stderr
    assert expected in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
