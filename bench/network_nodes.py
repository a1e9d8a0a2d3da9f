"""Finality and throughput of real networks on this machine: one, four and seven validators.

    python bench/network_nodes.py [--quick] [--validators 1,4,7] [--json FILE]

Latency: one transaction at a time from eth_sendRawTransaction to its receipt, asked for every 2 ms over a keep-alive
connection of its own. Throughput: presigned transfers of ten accounts, sent in batches of 100 to one node, until all
are in blocks. Every validator is a process with its own database, journal and sockets, and all share the cores of this
machine: the fall from one validator to seven is mostly seven nodes executing every block on so many cores.
"""

# ruff: noqa: E402  (the imports need the checkout on sys.path)

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from bench.throughput import BATCH, encode_request, make_bodies
from dmchain.chain.primitives.transaction import DYNAMIC_FEE, Transaction, UnsignedTransaction, sign_transaction
from dmchain.node.keystore import devnet_keys
from tests.node.process import DevnetProcess

GWEI = 10**9
ACCOUNTS = 10
POLL_S = 0.002
DEADLINE_S = 60.0
WARM_UP = 10
GAS_LIMIT = 120_000_000
"""Room for 5700 transfers in a block: what is measured is the node, not the limit."""


@dataclass(frozen=True, slots=True)
class Result:
    """Milliseconds and transactions per second of one network."""

    validators: int
    p50_ms: float
    p99_ms: float
    worst_ms: float
    samples: int
    per_second: float
    transactions: int
    blocks: int


class Connection:
    """One keep-alive HTTP connection."""

    def __init__(self, url: str) -> None:
        where = urlsplit(url)
        assert where.hostname is not None
        self._http = http.client.HTTPConnection(where.hostname, where.port, timeout=DEADLINE_S)

    def post(self, body: bytes) -> Any:
        self._http.request("POST", "/", body, {"content-type": "application/json"})
        return json.loads(self._http.getresponse().read())


class Sender:
    """Signed transfers of the test accounts, each nonce once."""

    def __init__(self) -> None:
        self._keys = devnet_keys(ACCOUNTS)
        self._nonces = [0] * ACCOUNTS

    def sign(self, account: int) -> Transaction:
        nonce = self._nonces[account]
        self._nonces[account] += 1
        unsigned = UnsignedTransaction(DYNAMIC_FEE, 1337, nonce, 21_000, 100 * GWEI, GWEI, b"\x77" * 20, 1)
        return sign_transaction(unsigned, self._keys[account])

    def expected(self) -> dict[str, str]:
        """Address to nonce, once everything signed so far is in blocks."""
        return {f"0x{key.address.hex()}": hex(nonce) for key, nonce in zip(self._keys, self._nonces, strict=True)}


def percentile(values: list[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def ask(connection: Connection, method: str, *params: Any) -> Any:
    answer = connection.post(encode_request(method, *params))
    if "error" in answer:
        raise RuntimeError(f"{method}: {answer['error']}")
    return answer["result"]


def measure_latency(connection: Connection, sender: Sender, samples: int) -> list[float]:
    """Milliseconds each; the first ones warm up and do not count."""
    found = []
    for number in range(WARM_UP + samples):
        tx = sender.sign(number % ACCOUNTS)
        raw, shown = "0x" + tx.raw.hex(), "0x" + tx.hash.hex()
        began = time.perf_counter()
        ask(connection, "eth_sendRawTransaction", raw)
        while ask(connection, "eth_getTransactionReceipt", shown) is None:
            if time.perf_counter() - began > DEADLINE_S:
                raise TimeoutError(f"{shown}: in no block after {DEADLINE_S:g} s")
            time.sleep(POLL_S)
        if number >= WARM_UP:
            found.append((time.perf_counter() - began) * 1000)
    return found


def measure_throughput(connection: Connection, sender: Sender, count: int) -> tuple[float, int]:
    """Transactions per second, and the blocks they took."""
    bodies = make_bodies([sender.sign(number % ACCOUNTS) for number in range(count)])
    wanted = sender.expected()
    first = int(ask(connection, "eth_blockNumber"), 16)
    began = time.perf_counter()
    for body in bodies:
        for answer in connection.post(body):
            if "error" in answer:
                raise RuntimeError(f"eth_sendRawTransaction: {answer['error']}")
    while any(ask(connection, "eth_getTransactionCount", each, "latest") != nonce for each, nonce in wanted.items()):
        if time.perf_counter() - began > DEADLINE_S:
            raise TimeoutError(f"not all in blocks after {DEADLINE_S:g} s")
        time.sleep(POLL_S * 10)
    seconds = time.perf_counter() - began
    return count / seconds, int(ask(connection, "eth_blockNumber"), 16) - first


def measure(validators: int, samples: int, count: int) -> Result:
    with tempfile.TemporaryDirectory() as folder:
        options = ["--validators", str(validators), "--gas-limit", str(GAS_LIMIT)]
        with DevnetProcess(Path(folder), *options) as node:
            connection, sender = Connection(node.url), Sender()
            latencies = measure_latency(connection, sender, samples)
            per_second, blocks = measure_throughput(connection, sender, count)
            node.stop()
    return Result(
        validators,
        statistics.median(latencies),
        percentile(latencies, 0.99),
        max(latencies),
        samples,
        per_second,
        count,
        blocks,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Finality and throughput of 1, 4 and 7 validators on loopback.")
    parser.add_argument("--quick", action="store_true", help="fewer samples, a minute in all")
    parser.add_argument("--validators", default="1,4,7", help="sizes of the networks")
    parser.add_argument("--json", type=Path, help="write the results there")
    options = parser.parse_args()
    samples, count = (60, 500) if options.quick else (300, 3_000)
    print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {samples} samples, {count} transfers, batches of {BATCH}"
    )
    print(f"{'validators':>10} {'p50 ms':>8} {'p99 ms':>8} {'worst':>8} {'tx/s':>8} {'blocks':>7}")
    results = []
    for validators in [int(text) for text in options.validators.split(",")]:
        found = measure(validators, samples, count)
        results.append(found)
        print(
            f"{found.validators:>10} {found.p50_ms:>8.1f} {found.p99_ms:>8.1f} {found.worst_ms:>8.1f}"
            f" {found.per_second:>8.0f} {found.blocks:>7}",
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps([asdict(found) for found in results], indent=2) + "\n")


if __name__ == "__main__":
    main()
