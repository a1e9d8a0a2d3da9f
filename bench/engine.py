"""What a transaction costs inside the node, and where: CPU microseconds, without JSON-RPC and pool.

    python bench/engine.py [--quick] [--accounts N ...] [--engine NAME ...]

Blocks of 500 transactions on a chain of 10^3 and of 10^5 accounts in LevelDB, the engines in turns. The parts:

decode    bytes to a checked transaction
recover   the sender from the signature
apply     validity rules and execution
roots     state, transaction and receipt tries, header
commit    one atomic batch written and synced

CPU time is the thread's own, so other programs disturb it little; the synced write waits for the disk
besides, which the last column shows in milliseconds of wall time per block.
"""

# ruff: noqa: E402  (the imports need the checkout on sys.path)

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from bench.workloads import CHAIN_ID, FUNDS_WEI, ROWS, Row, Workbench, recipient
from dmchain.chain.blockchain import Blockchain, BlockPlan
from dmchain.chain.genesis import parse_genesis
from dmchain.chain.primitives.errors import InvalidTransaction
from dmchain.chain.primitives.transaction import Transaction
from dmchain.chain.primitives.types import ZERO_HASH, Address
from dmchain.chain.store.leveldb import LevelKV
from dmchain.node.devnet import genesis_document
from dmchain.node.node import ENGINES, make_executor

PARTS = ("decode", "recover", "apply", "roots", "commit")
BLOCK_TRANSACTIONS = 500
BLOCK_GAS_LIMIT = 10**9
COINBASE = Address(b"\xc0" * 20)
BUDGET_S = 150.0
SIZES = (1_000, 100_000)


class Source:
    """Hands out prepared transactions and notes when the last was asked for."""

    def __init__(self, transactions: Sequence[Transaction]) -> None:
        self._left = list(reversed(transactions))
        self.applied_at = 0

    def next(self, gas_left: int) -> Transaction | None:
        if self._left:
            return self._left.pop()
        self.applied_at = time.thread_time_ns()
        return None

    def included(self, transaction: Transaction) -> None:
        pass

    def rejected(self, transaction: Transaction, error: InvalidTransaction) -> None:
        raise AssertionError(f"nonce {transaction.nonce}: {error}")


@dataclass(slots=True)
class Costs:
    """Samples of one row: one number per block and part, in microseconds per transaction."""

    parts: dict[str, list[float]] = field(default_factory=lambda: {part: [] for part in PARTS})
    commit_wall_ms: list[float] = field(default_factory=list)

    def add(self, part: str, nanoseconds: int, count: int) -> None:
        self.parts[part].append(nanoseconds / count / 1000)

    def median(self, part: str) -> float:
        return statistics.median(self.parts[part])

    def total(self, pick: str = "median") -> float:
        return sum(self.median(part) if pick == "median" else min(self.parts[part]) for part in PARTS)


@dataclass(slots=True)
class Engine:
    """One engine on a chain of its own."""

    name: str
    chain: Blockchain
    bench: Workbench
    costs: dict[str, Costs] = field(default_factory=dict)

    def run_block(self, raws: Sequence[bytes], costs: Costs | None) -> None:
        """Decode, execute and commit one block; `costs` None: set-up, not counted."""
        count = len(raws)
        marks = [time.thread_time_ns()]
        transactions = [Transaction.decode(raw) for raw in raws]
        marks.append(time.thread_time_ns())
        for transaction in transactions:
            _ = transaction.sender
        marks.append(time.thread_time_ns())
        source = Source(transactions)
        plan = BlockPlan(
            timestamp=self.chain.head.timestamp + 1,
            coinbase=COINBASE,
            prev_randao=ZERO_HASH,
            parent_beacon_block_root=ZERO_HASH,
            gas_limit=BLOCK_GAS_LIMIT,
            exact_gas_limit=True,
        )
        executed = self.chain.build(plan, source, stop=lambda: False)
        marks += [source.applied_at, time.thread_time_ns()]
        started = time.perf_counter_ns()
        self.chain.commit(executed)
        wall = time.perf_counter_ns() - started
        marks.append(time.thread_time_ns())
        failed = [receipt for receipt in executed.outcome.receipts if not receipt.status]
        assert len(executed.block.transactions) == count and not failed, f"{self.name}: {len(failed)} failed"
        if costs is not None:
            for part, start, end in zip(PARTS, marks, marks[1:], strict=False):
                costs.add(part, end - start, count)
            costs.commit_wall_ms.append(wall / 1e6)

    def run_row(self, row: Row) -> None:
        raws = [transaction.raw for transaction in row.make(self.bench, BLOCK_TRANSACTIONS)]
        self.run_block(raws, self.costs.setdefault(row.name, Costs()))


@contextmanager
def open_engine(name: str, accounts: int) -> Iterator[Engine]:
    """A chain with that many funded accounts, the contracts deployed."""
    bench = Workbench(recipients=accounts)
    funded = {key.address: FUNDS_WEI for key in bench.keys} | {recipient(i): 1 for i in range(accounts)}
    genesis = parse_genesis(
        genesis_document(funded, chain_id=CHAIN_ID, gas_limit=BLOCK_GAS_LIMIT, timestamp=1_700_000_000)
    )
    with (
        tempfile.TemporaryDirectory(prefix="dmchain-engine-") as folder,
        closing(LevelKV(Path(folder) / "data")) as store,
    ):
        engine = Engine(name, Blockchain(store, genesis, make_executor(name, genesis.rules)), bench)
        for step in bench.deployments():
            engine.run_block([transaction.raw for transaction in step], None)
        yield engine


def measure(names: Sequence[str], accounts: int, blocks: int, until: float) -> list[Engine]:
    """Block by block, row by row, engine after engine; at least two blocks of each, the first only warms up."""
    if len(names) > 2:
        raise SystemExit("at most two engines at a time")
    with open_engine(names[0], accounts) as first, open_engine(names[-1], accounts) as second:
        engines = [first, second][: len(names)]
        for number in range(blocks + 1):
            if number > 1 and time.monotonic() > until:
                break
            for row in ROWS:
                for engine in engines:
                    engine.run_row(row)
            if number == 0:
                for engine in engines:
                    engine.costs.clear()
    return engines


def print_table(accounts: int, engines: Sequence[Engine]) -> None:
    head = f"{f'{accounts} accounts':28}{'us/tx':>8}{'(best)':>9}  " + "".join(f"{part:>9}" for part in PARTS)
    print(head + f"{'ms/commit':>11}")
    for row in ROWS:
        for engine in engines:
            costs = engine.costs[row.name]
            total = costs.total()
            shares = "".join(f"{costs.median(part) / total:>9.0%}" for part in PARTS)
            label = f"{row.name}, {engine.name}" if len(engines) > 1 else row.name
            best = f"({costs.total('min'):.0f})"
            wall = statistics.median(costs.commit_wall_ms)
            print(f"{label:28}{total:>8.0f}{best:>9}  {shares}{wall:>11.1f}")
        if len(engines) > 1:
            ratio = engines[1].costs[row.name].total() / engines[0].costs[row.name].total()
            print(f"  {engines[1].name} / {engines[0].name}: {ratio:.1f} x")
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 blocks a row, 10^3 accounts only: about 20 s")
    parser.add_argument("--accounts", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--engine", nargs="+", choices=ENGINES, default=list(ENGINES))
    options = parser.parse_args()
    sizes = options.accounts[:1] if options.quick else options.accounts
    began = time.monotonic()
    for number, accounts in enumerate(sizes, 1):
        until = began + BUDGET_S * number / len(sizes)
        print_table(accounts, measure(options.engine, accounts, 2 if options.quick else 8, until))


if __name__ == "__main__":
    main()
