"""Transactions per second over JSON-RPC: dmchain, anvil and plain py-evm, side by side in one run.

    python bench/throughput.py [--quick] [--repetitions N] [--json FILE]

Raw presigned transactions go to the node in batches of 100 over one keep-alive connection; the clock runs
from the first byte until the last transaction is mined. Both nodes run with the same settings, 1 s blocks and
then blocks on demand, and take turns row by row (A B, B A, ...), so that a noisy machine disturbs both alike.
Registrations and licence checks are the native precompiles on dmchain and plain py-evm, and a Solidity
contract that does the same on anvil. Plain py-evm runs in a process of its own without JSON-RPC, which
flatters it by about a tenth.
"""

# ruff: noqa: E402  (the imports need the checkout on sys.path)

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from bench.workloads import CHAIN_ID, FUNDS_WEI, ROWS, Row, Workbench
from dmchain.chain.primitives.crypto import PrivateKey
from dmchain.chain.primitives.transaction import Transaction, UnsignedTransaction, sign_transaction
from tests.clients.nodes import Node, RpcError, poll, running_anvil, running_devnet

BATCH = 100
BLOCK_GAS_LIMIT = 10**9
RUN_DEADLINE_S = 60.0
POLL_S = 0.02
STALL_S = 0.3
"""On demand, without a block for so long while transactions wait, a node is asked for one; the time counts. anvil needs
that: its automine can forget a full pool when many transactions come at once."""
BUDGET_S = 150.0
"""No repetition is begun after this: the whole script stays under three minutes."""
MODES = {"1 s blocks": ["--block-time", "1"], "on demand": []}


class Connection:
    """One keep-alive HTTP connection that sends prepared bodies."""

    def __init__(self, node: Node) -> None:
        where = urlsplit(node.rpc)
        assert where.hostname is not None
        self._http = http.client.HTTPConnection(where.hostname, where.port, timeout=RUN_DEADLINE_S)

    def post(self, body: bytes) -> Any:
        self._http.request("POST", "/", body, {"content-type": "application/json"})
        return json.loads(self._http.getresponse().read())


def request(method: str, params: Sequence[Any], number: int = 0) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}


def encode_request(method: str, *params: Any) -> bytes:
    return json.dumps(request(method, params)).encode()


def make_bodies(transactions: Sequence[Transaction]) -> list[bytes]:
    """Batches of eth_sendRawTransaction, encoded before the clock runs."""
    requests = [request("eth_sendRawTransaction", ["0x" + t.raw.hex()], i) for i, t in enumerate(transactions)]
    return [json.dumps(requests[i : i + BATCH]).encode() for i in range(0, len(requests), BATCH)]


def send_until_mined(node: Node, transactions: Sequence[Transaction], on_demand: bool = False) -> tuple[float, int]:
    """Seconds from the first byte sent until every transaction is in a block, and how often it had to be pushed.

    Raises when a transaction is refused or fails.
    """
    bodies = make_bodies(transactions)
    connection = Connection(node)
    progress = Progress(connection, transactions, on_demand)
    started = time.perf_counter()
    for body in bodies:
        for answer in connection.post(body):
            if "error" in answer:
                raise RpcError(answer["error"])
    while not progress.is_complete():
        if time.perf_counter() - started > RUN_DEADLINE_S:
            raise TimeoutError(f"{node.kind}: not mined within {RUN_DEADLINE_S} s")
        time.sleep(POLL_S)
    elapsed = time.perf_counter() - started
    check_success(node, transactions)
    return elapsed, progress.pushes


class Progress:
    """Asks a node how far it is, cheaply: for the last transaction, then for every sender's nonce."""

    def __init__(self, connection: Connection, transactions: Sequence[Transaction], on_demand: bool) -> None:
        self._on_demand = on_demand
        self.pushes = 0
        wanted = {tx.sender: tx.nonce + 1 for tx in transactions}
        self._connection = connection
        self._wanted = list(wanted.values())
        self._last = encode_request("eth_getTransactionReceipt", "0x" + transactions[-1].hash.hex())
        self._nonces = json.dumps(
            [request("eth_getTransactionCount", ["0x" + sender.hex(), "latest"]) for sender in wanted]
        ).encode()
        self._head = ""
        self._moved_at = time.perf_counter()

    def is_complete(self) -> bool:
        if self._connection.post(self._last)["result"] is None:
            self._push()
            return False
        nonces = [int(answer["result"], 16) for answer in self._connection.post(self._nonces)]
        if all(nonce >= wanted for nonce, wanted in zip(nonces, self._wanted, strict=True)):
            return True
        self._push()
        return False

    def _push(self) -> None:
        head = self._connection.post(encode_request("eth_blockNumber"))["result"]
        if head != self._head:
            self._head, self._moved_at = head, time.perf_counter()
        elif self._on_demand and time.perf_counter() - self._moved_at > STALL_S:
            self._connection.post(encode_request("evm_mine"))
            self._moved_at = time.perf_counter()
            self.pushes += 1


def check_success(node: Node, transactions: Sequence[Transaction]) -> None:
    """A sample of the receipts: benchmarks of failing transactions are worth nothing."""
    for transaction in random.Random(1).sample(list(transactions), min(20, len(transactions))):
        receipt = node.wait_for_receipt("0x" + transaction.hash.hex())
        assert receipt["status"] == "0x1", f"{node.kind}: {receipt}"


def wait_for_next_block(node: Node) -> None:
    """Start every run of interval blocks at the same phase."""
    height = node.call("eth_blockNumber")
    poll(lambda: node.call("eth_blockNumber") != height, "block", 5.0, 0.005)


@dataclass(slots=True)
class Contestant:
    """A node with its senders and what it did so far: seconds per transaction by row."""

    node: Node
    bench: Workbench
    seconds: dict[str, list[float]] = field(default_factory=dict)
    pushes: int = 0

    def prepare(self) -> None:
        node = self.node
        node.call("evm_setBlockGasLimit", hex(BLOCK_GAS_LIMIT))
        bank = PrivateKey(bytes.fromhex(node.accounts[0].private_key.removeprefix("0x")))
        nonce = int(node.call("eth_getTransactionCount", node.accounts[0].address, "pending"), 16)
        funding = [
            sign_transaction(
                UnsignedTransaction(
                    type=2, chain_id=CHAIN_ID, nonce=nonce + i, gas=21_000, max_fee_per_gas=10**12,
                    max_priority_fee_per_gas=10**9, to=key.address, value=FUNDS_WEI // 100,
                ),
                bank,
            )
            for i, key in enumerate(self.bench.keys)
        ]  # fmt: skip
        send_until_mined(node, funding, on_demand=True)
        for step in self.bench.deployments():
            send_until_mined(node, step, on_demand=True)

    def run(self, row: Row, count: int, interval: bool) -> None:
        transactions = list(row.make(self.bench, count))
        if interval:
            wait_for_next_block(self.node)
        elapsed, pushes = send_until_mined(self.node, transactions, on_demand=not interval)
        self.seconds.setdefault(row.name, []).append(elapsed / count)
        self.pushes += pushes


@contextlib.contextmanager
def contestants(arguments: Sequence[str]) -> Iterator[list[Contestant]]:
    with running_devnet(*arguments) as devnet, running_anvil(*arguments) as anvil:
        found = [Contestant(devnet, Workbench()), Contestant(anvil, Workbench(registry=None, ledger=None))]
        for contestant in found:
            contestant.prepare()
        yield found


def run_plain_pyevm(quick: bool) -> dict[str, float]:
    command = [sys.executable, str(REPOSITORY / "bench" / "plain_pyevm.py"), *(["--quick"] if quick else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def measure(quick: bool, repetitions: int) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Mode -> contestant -> row -> seconds per transaction, one entry a repetition."""
    began = time.monotonic()
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for number, (mode, arguments) in enumerate(MODES.items(), 1):
        share = BUDGET_S * number / len(MODES)
        with contestants(arguments) as pair:
            for repetition in range(repetitions):
                for row in ROWS:
                    if repetition and time.monotonic() - began > share * 0.85:
                        break
                    for contestant in pair if repetition % 2 == 0 else reversed(pair):
                        contestant.run(row, choose_count(row, quick, bool(arguments)), bool(arguments))
            for contestant in pair:
                if contestant.pushes:
                    print(f"{contestant.node.kind}, {mode}: stood still {contestant.pushes} times", file=sys.stderr)
            found[mode] = {contestant.node.kind: contestant.seconds for contestant in pair}
    return found


def choose_count(row: Row, quick: bool, interval: bool) -> int:
    """Interval blocks need several blocks to tell; on demand anvil makes a block of each transaction, slowly."""
    count = row.quick_count if quick else row.count
    return count if interval else count // 8 if not quick else count // 4


def print_table(found: dict[str, dict[str, dict[str, list[float]]]], slow: dict[str, float]) -> None:
    """Median tx/s of each row with the best in brackets, and dmchain's ratio to its peers."""
    titles = ["tx/s: median (best)", *(row.name for row in ROWS)]
    lines = [titles]
    for mode, kinds in found.items():
        for kind, rows in kinds.items():
            lines.append([f"{kind}, {mode}", *(show(rows[row.name]) for row in ROWS)])
        lines.append(["  dmchain / anvil", *(f"{ratio(kinds, row.name):.2f} x" for row in ROWS)])
    lines.append(["plain py-evm, in process", *(f"{1 / slow[row.name]:.0f}" for row in ROWS)])
    last = list(found.values())[-1]["dmchain"]
    lines.append(
        ["  dmchain / plain py-evm", *(f"{slow[row.name] / statistics.median(last[row.name]):.1f} x" for row in ROWS)]
    )
    widths = [max(len(line[i]) for line in lines) for i in range(len(titles))]
    for line in lines:
        print(
            line[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)),
            sep="  ",
        )


def show(seconds: list[float]) -> str:
    return f"{1 / statistics.median(seconds):.0f} ({1 / min(seconds):.0f})"


def ratio(kinds: dict[str, dict[str, list[float]]], row: str) -> float:
    return statistics.median(kinds["anvil"][row]) / statistics.median(kinds["dmchain"][row])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer transactions, once: about 40 s")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write the seconds per transaction to this file")
    options = parser.parse_args()
    slow = run_plain_pyevm(options.quick)
    found = measure(options.quick, 1 if options.quick else options.repetitions)
    print_table(found, slow)
    if options.json:
        options.json.write_text(json.dumps({"seconds_per_transaction": found, "plain_pyevm": slow}, indent=1))


if __name__ == "__main__":
    main()
