"""Block sync: blocks and gas per second, against the time in which the chain was made.

    python bench/sync.py [--quick] [--processes N] [--json FILE]
    python bench/sync.py --home DIR          the chain of a stopped validator, by the times in its records

Chains of transfers, some in small blocks and some in full ones, are made with a second between blocks, by their own
clock, and signed by four validators. Then the node as it runs, with an empty LevelDB, fetches each from two peers in
memory: it verifies every commit and recovers every sender in other processes, executes, and writes with fsync.
"""

# ruff: noqa: E402  (the imports need the checkout on sys.path)

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

import trio

from dmchain.chain.blockchain import Blockchain
from dmchain.chain.consensus.body import Body, Stored
from dmchain.chain.consensus.commit import Commit
from dmchain.chain.consensus.messages import NO_ROUND, PRECOMMIT, SignRecord, Vote
from dmchain.chain.consensus.signbytes import compute_domain, sign_digest
from dmchain.chain.consensus.validators import ValidatorSet
from dmchain.chain.genesis import Genesis, load_genesis, parse_genesis
from dmchain.chain.mempool import Mempool
from dmchain.chain.primitives.crypto import PrivateKey
from dmchain.chain.primitives.errors import DmchainError, InvalidTransaction
from dmchain.chain.primitives.transaction import DYNAMIC_FEE, Transaction, UnsignedTransaction, sign_transaction
from dmchain.chain.primitives.types import ZERO_HASH, Address, Hash32
from dmchain.chain.store.gathered import GatheringKV
from dmchain.chain.store.kv import KeyValue
from dmchain.chain.store.leveldb import LevelKV
from dmchain.chain.sync.serving import select_blocks
from dmchain.chain.sync.verify import WireBlock
from dmchain.marketplace_vm.executor import NativeExecutor
from dmchain.node import production
from dmchain.node.backend import ChainBackend
from dmchain.node.consensus.validator import NetworkSettings, Surroundings, ValidatorNode
from dmchain.node.devnet import genesis_document
from dmchain.node.network.messages import Blocks, BlockWithCommit, GetBlocks, Reply, Status
from dmchain.node.production import DecideAlone, Producer, ProductionConfig, initial_pool_head
from dmchain.node.verification import ProcessVerifier

CHAIN_ID = 1337
VALIDATORS = [PrivateKey(hashlib.sha256(b"validator %d" % n).digest()) for n in range(4)]
SENDERS = [PrivateKey(hashlib.sha256(b"sender %d" % n).digest()) for n in range(20)]
LATENCY_SECONDS = 0.005
GAS_LIMIT = 30_000_000
GENESIS_TIME = 1_700_000_000
KINDS = (("small", 1_000, 10), ("medium", 200, 200), ("full", 100, GAS_LIMIT // 21_000 - 1))
"""Name, blocks, transfers in each."""


@dataclass(slots=True)
class Chain:
    """What there is to sync. `made_seconds`: how long the network took for it."""

    genesis: Genesis
    wires: list[WireBlock]
    made_seconds: float
    gas: int
    transactions: int


class Transfers:
    """A TransactionSource of prepared transactions."""

    def __init__(self, transactions: list[Transaction]) -> None:
        self._left = transactions[::-1]

    def next(self, gas_left: int) -> Transaction | None:
        return self._left.pop() if self._left else None

    def included(self, transaction: Transaction) -> None:
        pass

    def rejected(self, transaction: Transaction, error: InvalidTransaction) -> None:
        raise error

    @property
    def refused(self) -> list[Any]:
        return []


def transfers(block: int, count: int) -> list[Transaction]:
    made = []
    for number in range(block * count, (block + 1) * count):
        sender, nonce = SENDERS[number % len(SENDERS)], number // len(SENDERS)
        unsigned = UnsignedTransaction(
            type=DYNAMIC_FEE, chain_id=CHAIN_ID, nonce=nonce, gas=21_000, to=number.to_bytes(20, "big"), value=1,
            max_fee_per_gas=10**15, max_priority_fee_per_gas=0,
        )  # fmt: skip
        made.append(Transaction.decode(sign_transaction(unsigned, sender).raw))
    return made


def make_genesis() -> Genesis:
    validators = [
        {
            "operator": "0x" + bytes([0x70 + at] * 20).hex(),
            "publicKey": "0x" + key.public_key.hex(),
            "stake": str(10**21),
        }
        for at, key in enumerate(VALIDATORS)
    ]
    funded = {key.address: 10**24 for key in SENDERS}
    return parse_genesis(
        genesis_document(
            funded, chain_id=CHAIN_ID, gas_limit=GAS_LIMIT, timestamp=GENESIS_TIME, own={"validators": validators}
        )
    )


def make_node(
    genesis: Genesis, store: KeyValue, key: PrivateKey | None, processes: int, clock: Callable[[], float] = time.time
) -> ValidatorNode:
    """A node that is connected to nobody."""
    chain = Blockchain(store, genesis, NativeExecutor(genesis.rules))
    config = ProductionConfig(Address(bytes(19) + b"\1"), GAS_LIMIT)
    pool = Mempool(genesis.rules.chain_id, initial_pool_head(chain, GAS_LIMIT))
    producer = Producer(chain, pool, config, DecideAlone(), clock=clock)
    producer.follow_head(())
    backend = ChainBackend(producer, role="follower", is_devnet=False, automine=lambda: False)
    producer.on_block = backend.announce_block
    settings = NetworkSettings(node_key=PrivateKey(b"\1" * 32), consensus_key=key, journal=Path("unused"))
    around = Surroundings(
        clock=clock,
        journal=NoJournal(),
        make_verifier=lambda domain: ProcessVerifier(domain, processes),
    )
    return ValidatorNode(genesis, settings, producer, backend, around)


class NoJournal:
    """Nothing is signed here but by the bench itself."""

    sign_from: int | None = 0
    record = None

    def append(self, record: SignRecord) -> None:
        raise AssertionError("nobody votes")

    def allow_from(self, height: int) -> None:
        pass

    def close(self) -> None:
        pass


async def make_chain(folder: Path, blocks: int, count: int) -> Chain:
    """`blocks` of `count` transfers each, a second apart."""
    production.BUILD_BUDGET_SECONDS = 60.0  # a busy machine makes full blocks too
    genesis = make_genesis()
    store = LevelKV(folder)
    time_now = [float(GENESIS_TIME)]
    node = make_node(genesis, store, VALIDATORS[0], 1, lambda: time_now[0])
    app, keys = node.app, {key.address: key for key in VALIDATORS}
    domain = compute_domain(CHAIN_ID, app.chain.genesis_header.hash)
    last: Commit | None = None
    wires, gas = [], 0
    for at in range(blocks):
        time_now[0] += 1
        draft = app.draft(None if last is None else last.to_certificate())
        assert draft is not None
        candidate = app.build(draft, Transfers(transfers(at, count)))  # type: ignore[arg-type]
        assert candidate is not None
        validators = app.epochs.at(app.chain.head.number + 1).validators
        last = sign(app.chain.head.number + 1, candidate.hash, keys, validators, domain)
        executed = app.commit(candidate, last)
        app.follow_head()
        assert len(executed.block.transactions) == count
        gas += executed.block.header.gas_used
        wires.append(WireBlock(candidate.body, last.encode()))
    store.close()
    return Chain(genesis, wires, float(blocks), gas, blocks * count)


def sign(
    height: int, block_hash: Hash32, keys: dict[Address, PrivateKey], validators: ValidatorSet, domain: Hash32
) -> Commit:
    signatures: list[bytes | None] = []
    for index, validator in enumerate(validators.validators):
        vote = Vote(PRECOMMIT, height, 0, NO_ROUND, block_hash, index)
        parity, r, s = keys[validator.address].sign(sign_digest(domain, vote))
        signatures.append(r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([parity]))
    return Commit(height, 0, block_hash, tuple(signatures))


def read_chain(home: Path) -> Chain:
    """The chain of a stopped validator, made in the time that its records span."""
    genesis = load_genesis(home / "genesis.json")
    store = LevelKV(home / "data", create=False)
    try:
        chain = Blockchain(store, genesis, NativeExecutor(genesis.rules))
        wires, times, gas, transactions = [], [], 0, 0
        for height in range(1, chain.head.number + 1):
            block, raw = chain.view.blocks.block(height), chain.view.blocks.record(height)
            stored = Stored.decode(raw) if raw else None
            if block is None or stored is None or stored.seen_commit is None:
                raise DmchainError(f"{home}: no commit of block {height}", hint="it must be of a network of validators")
            wires.append(WireBlock(Body(block, stored.facts).encode(), stored.seen_commit.encode()))
            times.append(stored.facts.record.timestamp_ms)
            gas += block.header.gas_used
            transactions += len(block.transactions)
    finally:
        store.close()
    return Chain(genesis, wires, (times[-1] - times[0]) / 1000, gas, transactions)


class Peers:
    """Two peers in memory (node.consensus.syncing.SyncPeers)."""

    def __init__(self, chain: Chain) -> None:
        self._wires = dict(enumerate(chain.wires, 1))

    async def ask(self, peer: int, message: GetBlocks) -> Reply:
        await trio.sleep(LATENCY_SECONDS)
        wires = select_blocks(self._wires.get, message.start, message.count)
        return Blocks(tuple(BlockWithCommit(wire.block, wire.commit) for wire in wires))

    def sync_fault(self, peer: int, reason: str) -> None:
        raise AssertionError(reason)

    def sync_failure(self, peer: int, reason: str) -> None:
        raise AssertionError(reason)


async def sync(chain: Chain, data: Path, processes: int) -> tuple[float, float]:
    """Seconds from knowing the first peer to the last block executed, and the CPU seconds of the node's own process."""
    store = GatheringKV(LevelKV(data))
    node = make_node(chain.genesis, store, None, processes)
    node.sync._peers = Peers(chain)
    height = len(chain.wires)
    async with trio.open_nursery() as nursery:
        await nursery.start(node.run)
        began, cpu = time.perf_counter(), time.process_time()
        for peer in (1, 2):
            node.sync.peer_status(peer, Status(height, ZERO_HASH, 1), None)
        while node.app.chain.head.number < height - 1:  # the last one may be left to consensus
            await trio.sleep(0.002)
        seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
        nursery.cancel_scope.cancel()
    store.close()
    return seconds, cpu_seconds


def measure(name: str, chain: Chain, folder: Path, processes: int) -> dict[str, Any]:
    seconds, cpu_seconds = trio.run(sync, chain, folder / f"synced {name}", processes)
    blocks = len(chain.wires)
    return {
        "chain": name,
        "blocks": blocks,
        "transactions/block": round(chain.transactions / blocks),
        "Mgas/block": round(chain.gas / blocks / 1e6, 2),
        "blocks/s": round(blocks / seconds, 1),
        "Mgas/s": round(chain.gas / seconds / 1e6, 1),
        "times faster": round(chain.made_seconds / seconds, 1),
        "CPU ms/block": round(cpu_seconds * 1000 / blocks, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the blocks")
    parser.add_argument("--processes", type=int, default=1, help="that verify commits and recover senders")
    parser.add_argument("--home", type=Path, help="sync the chain of this stopped validator")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    load_before = os.getloadavg()[0]
    rows = []
    with tempfile.TemporaryDirectory(prefix="dmchain-bench-") as place:
        folder = Path(place)
        if arguments.home is not None:
            rows.append(measure(arguments.home.name, read_chain(arguments.home), folder, arguments.processes))
        else:
            for name, blocks, transfers_each in KINDS:
                count = blocks // 10 if arguments.quick else blocks
                chain = trio.run(make_chain, folder / name, count, transfers_each)
                rows.append(measure(name, chain, folder, arguments.processes))
    columns = list(rows[0])
    print(" | ".join(columns))
    for row in rows:
        print(" | ".join(str(row[column]).rjust(len(column)) for column in columns))
    print(f"load of the machine before: {load_before:.1f}, after: {os.getloadavg()[0]:.1f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
