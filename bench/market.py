"""What the market's steps cost inside the node among few and among many listings: CPU microseconds.

    python bench/market.py [--quick] [--listings N ...]

The market is predeployed as on a devnet; data sets are published by transactions (some 2 ms each: 10^5 take minutes),
every other one with an offer whose money is held in escrow. Such a chain is kept in .setup/bench for the next run. Then
blocks on copies of it, of:

purchase             a licence for ever in native coin: fee, royalty split, ledger, soulbound token
purchase in escrow   the same, with the money held
licence check        a contract that asks the native ledger and notes the answer
dispute              one opened on a purchase in escrow, which freezes it

`ratio` says how much more each costs among the largest number of listings than among the smallest.
"""

# ruff: noqa: E402  (the imports need the checkout on sys.path)

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from bench.engine import BLOCK_GAS_LIMIT, COINBASE, PARTS, Costs, Source
from bench.workloads import (
    CHAIN_ID,
    GWEI,
    MAX_FEE,
    ONE_TIME,
    SENDERS,
    STRIDE,
    Workbench,
    call_data,
    contract_address,
    make_cid,
)
from bench.workloads import contracts as bench_contracts
from dmchain.chain.blockchain import Blockchain, BlockPlan
from dmchain.chain.genesis import Genesis, parse_genesis
from dmchain.chain.primitives.crypto import PrivateKey, keccak
from dmchain.chain.primitives.transaction import Transaction, UnsignedTransaction, sign_transaction
from dmchain.chain.primitives.types import ZERO_HASH, Address
from dmchain.chain.store.leveldb import LevelKV
from dmchain.marketplace_vm.artifacts import load_artifact
from dmchain.marketplace_vm.executor import create_state
from dmchain.marketplace_vm.market_genesis.addresses import DATA_LISTING, DISPUTE_RESOLUTION, LICENSE_MANAGER
from dmchain.marketplace_vm.market_genesis.encoding import encode_call
from dmchain.marketplace_vm.market_genesis.parameters import DEVNET
from dmchain.marketplace_vm.precompiles import LICENSE_LEDGER
from dmchain.node.devnet import genesis_document
from dmchain.node.node import make_executor

SIZES = (1_000, 100_000)
KEPT = REPOSITORY / ".setup" / "bench"
BLOCK_TRANSACTIONS = 200
BLOCKS = 6
FUNDS_WEI = 10**27
PRICE_WEI = 10**15
MONTH = 30 * 86_400
EVIDENCE = make_cid(1)
MAX_GAS = 8_000_000
ZERO = bytes(20)


def function_data(contract: str, function: str, *values: Any) -> bytes:
    """Calldata of a function of a market contract."""
    item = next(each for each in load_artifact(contract)["abi"] if each.get("name") == function)
    return encode_call(item, values)


def opening_deposit() -> int:
    """Wei that a dispute costs to open."""
    disputes = DEVNET.disputes
    return disputes.bond + disputes.seat_fee * disputes.jury_size


@dataclass(slots=True)
class Desk:
    """A chain with the market, its users' nonces, and what was bought so far."""

    chain: Blockchain
    listings: int = 0
    sold: list[int] = field(default_factory=lambda: [0, 0])
    """Licences settled at once, and in escrow."""
    licensed: list[tuple[int, int]] = field(default_factory=list)
    """(sender, listing) of licences settled at once."""
    escrowed: list[tuple[int, int]] = field(default_factory=list)
    """(sender, purchase) of purchases in escrow without a dispute."""
    keys: list[PrivateKey] = field(default_factory=lambda: Workbench(recipients=1).keys)
    costs: dict[str, Costs] = field(default_factory=dict)
    _nonces: list[int] = field(default_factory=lambda: [0] * SENDERS)
    gate: bytes = b""
    gas: dict[str, int] = field(default_factory=dict)
    """Of one transaction of each row."""

    def resume(self) -> None:
        """Go on where `deploy_gate` and `publish` have left the chain."""
        self.gate = contract_address(self.keys[0].address, 0)
        for sender in range(SENDERS):
            self._nonces[sender] = len(range(sender, self.listings, SENDERS)) + (sender == 0)

    def sign(self, sender: int, to: bytes, data: bytes, value: int = 0, gas: int = MAX_GAS) -> Transaction:
        nonce = self._nonces[sender]
        self._nonces[sender] += 1
        unsigned = UnsignedTransaction(
            type=2,
            chain_id=CHAIN_ID,
            nonce=nonce,
            gas=gas,
            max_fee_per_gas=MAX_FEE,
            max_priority_fee_per_gas=GWEI,
            to=to,
            value=value,
            data=data,
        )
        return sign_transaction(unsigned, self.keys[sender])

    # -- the transactions ------------------------------------------------------------------------------------------
    def deploy_gate(self) -> None:
        """The contract that checks licences."""
        self.gate = contract_address(self.keys[0].address, self._nonces[0])
        code = bytes.fromhex(bench_contracts()["Turnstile"].bytecode[2:]) + LICENSE_LEDGER.rjust(32, b"\0")
        self.run_block([self.sign(0, b"", code)], None)

    def publish(self, count: int) -> list[Transaction]:
        made = []
        for number in range(self.listings, self.listings + count):
            content = (make_cid(number), b"", (), 1)
            listing = ("CC-BY-4.0", "parquet", 500, 1000, 0, 1)
            escrow_period = MONTH if number % 2 else 0
            offer = (ONE_TIME, ZERO, PRICE_WEI, 0, 0, escrow_period, ZERO_HASH, 0, ZERO_HASH)
            data = function_data("DataListing", "publish", content, "ipfs://metadata", listing, (offer,))
            made.append(self.sign(number % SENDERS, DATA_LISTING, data))
        self.listings += count
        return made

    def purchases(self, count: int, is_escrowed: bool) -> list[Transaction]:
        """Of data sets in an order without locality; who has bought all of them begins again as somebody else."""
        made = []
        for _ in range(count):
            turn, sold = divmod(self.sold[is_escrowed], self.listings // 2)
            listing = sold * STRIDE % (self.listings // 2) * 2 + is_escrowed
            # the owner is sender listing % SENDERS
            sender = (listing + 1 + turn) % SENDERS
            data = function_data("LicenseManager", "purchase", listing + 1, self.keys[sender].address, 1, PRICE_WEI)
            made.append(self.sign(sender, LICENSE_MANAGER, data, PRICE_WEI))
            self.sold[is_escrowed] += 1
            purchase = sum(self.sold)
            if is_escrowed:
                self.escrowed.append((sender, purchase))
            else:
                self.licensed.append((sender, listing))
        return made

    def checks(self, count: int) -> list[Transaction]:
        made = []
        for number in range(count):
            sender, listing = self.licensed[number * STRIDE % len(self.licensed)]
            made.append(self.sign(sender, self.gate, call_data("pass(bytes32)", keccak(make_cid(listing)))))
        return made

    def disputes(self, count: int) -> list[Transaction]:
        made = []
        for _ in range(count):
            sender, purchase = self.escrowed.pop(0)
            data = function_data("DisputeResolution", "open", purchase, EVIDENCE)
            made.append(self.sign(sender, DISPUTE_RESOLUTION, data, opening_deposit()))
        return made

    # -- blocks ----------------------------------------------------------------------------------------------------
    def run_block(self, transactions: Sequence[Transaction], costs: Costs | None) -> int:
        """Decode, execute, commit; returns the gas used. `costs` None: set-up, not counted."""
        raws = [transaction.raw for transaction in transactions]
        marks = [time.thread_time_ns()]
        decoded = [Transaction.decode(raw) for raw in raws]
        marks.append(time.thread_time_ns())
        for transaction in decoded:
            _ = transaction.sender
        marks.append(time.thread_time_ns())
        source = Source(decoded)
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
        assert len(executed.block.transactions) == len(raws) and not failed, f"{len(failed)} of {len(raws)} failed"
        if costs is not None:
            for part, start, end in zip(PARTS, marks, marks[1:], strict=False):
                costs.add(part, end - start, len(raws))
            costs.commit_wall_ms.append(wall / 1e6)
        return executed.outcome.gas_used // len(raws)


ROWS: dict[str, Callable[[Desk, int], list[Transaction]]] = {
    "purchase": lambda desk, count: desk.purchases(count, is_escrowed=False),
    "purchase in escrow": lambda desk, count: desk.purchases(count, is_escrowed=True),
    "licence check": Desk.checks,
    "dispute": Desk.disputes,
}


def make_genesis() -> Genesis:
    """A devnet's market; every sender rich, the first ten with votes."""
    keys = Workbench(recipients=1).keys
    document = genesis_document(
        {key.address: FUNDS_WEI for key in keys},
        chain_id=CHAIN_ID,
        gas_limit=BLOCK_GAS_LIMIT,
        timestamp=1_700_000_000,
        market=DEVNET.with_holders(tuple([Address(key.address) for key in keys[:10]])),
    )
    return parse_genesis(document)


def publish_all(genesis: Genesis, listings: int) -> Path:
    """The folder of a chain on which that many data sets are listed; made once for each genesis."""
    root = create_state(genesis.alloc).state_root
    folder = KEPT / f"market-{listings}-{root.hex()[:16]}"
    if folder.exists():
        return folder
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    started = time.monotonic()
    with closing(LevelKV(partial)) as store:
        desk = Desk(Blockchain(store, genesis, make_executor("native", genesis.rules)))
        desk.deploy_gate()
        while desk.listings < listings:
            desk.run_block(desk.publish(min(BLOCK_TRANSACTIONS, listings - desk.listings)), None)
            if desk.listings % 10_000 == 0:
                print(f"{desk.listings} listings published, {time.monotonic() - started:.0f} s", file=sys.stderr)
    partial.rename(folder)
    return folder


@contextmanager
def open_desk(genesis: Genesis, listings: int) -> Iterator[Desk]:
    """A copy of such a chain."""
    kept = publish_all(genesis, listings)
    with tempfile.TemporaryDirectory(prefix="dmchain-market-") as folder:
        data = Path(folder) / "data"
        shutil.copytree(kept, data)
        with closing(LevelKV(data)) as store:
            desk = Desk(Blockchain(store, genesis, make_executor("native", genesis.rules)), listings)
            desk.resume()
            yield desk


def measure(sizes: Sequence[int], blocks: int) -> list[Desk]:
    """Blocks of each row on each chain in turns, so that a busy machine does the same to all; the first only warms up."""
    genesis = make_genesis()
    with ExitStack() as stack:
        desks = [stack.enter_context(open_desk(genesis, size)) for size in sizes]
        for number in range(blocks + 1):
            for name, make in ROWS.items():
                for desk in desks:
                    counted = desk.costs.setdefault(name, Costs()) if number else None
                    desk.gas[name] = desk.run_block(make(desk, BLOCK_TRANSACTIONS), counted)
        return desks


def print_table(desks: Sequence[Desk]) -> None:
    heads = "".join(f"{f'{desk.listings} listings':>18}" for desk in desks)
    print(f"{'us a transaction (best)':24}{heads}{'ratio':>8}{'gas':>10}  " + "".join(f"{part:>9}" for part in PARTS))
    first, last = desks[0], desks[-1]
    for name in ROWS:
        columns = [desk.costs[name] for desk in desks]
        totals = "".join(f"{costs.total():.0f} ({costs.total('min'):.0f})".rjust(18) for costs in columns)
        ratio = last.costs[name].total("min") / first.costs[name].total("min")
        growth = "".join(
            f"{min(last.costs[name].parts[part]) - min(first.costs[name].parts[part]):>+9.0f}" for part in PARTS
        )
        print(f"{name:24}{totals}{ratio:>8.2f}{last.gas[name]:>10,}  {growth}")
    print("gas is that of the last chain; the columns after it are the growth of each part in us")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="10^2 and 10^3 listings: about 20 s")
    parser.add_argument("--listings", type=int, nargs="+", default=list(SIZES), help="numbers of listings")
    options = parser.parse_args()
    print_table(measure([100, 1_000] if options.quick else options.listings, BLOCKS))


if __name__ == "__main__":
    main()
