"""Block sync: blocks and gas per second, against the time in which the chain was made.

    python bench/sync.py [--quick] [--blocks N] [--transfers N] [--processes N] [--json FILE]
    python bench/sync.py --home DIR          the chain of a stopped validator, by the times in its records

A chain of transfers is made by one process that builds, signs for four validators and commits with fsync, as fast as it
can: what a network takes is more. Then an empty node with its own LevelDB fetches it from two peers in memory through
the machine of `dmchain/chain/sync`, verifies every commit in other processes, executes and commits with fsync.
"""

# ruff: noqa: E402  (the imports need the checkout on sys.path)

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

import trio

from dmchain.chain.blockchain import Blockchain, BlockPlan, ExecutedBlock
from dmchain.chain.consensus.body import Body, Facts, Stored, decode_body
from dmchain.chain.consensus.commit import Commit
from dmchain.chain.consensus.messages import NO_ROUND, PRECOMMIT, Vote
from dmchain.chain.consensus.record import Record
from dmchain.chain.consensus.signbytes import compute_domain, sign_digest
from dmchain.chain.consensus.validators import ValidatorSet
from dmchain.chain.genesis import Genesis, load_genesis, parse_genesis
from dmchain.chain.primitives.crypto import PrivateKey
from dmchain.chain.primitives.errors import DmchainError, InvalidTransaction
from dmchain.chain.primitives.transaction import DYNAMIC_FEE, Transaction, UnsignedTransaction, sign_transaction
from dmchain.chain.primitives.types import ZERO_HASH, Address, Hash32
from dmchain.chain.staking.facts import ConsensusFacts
from dmchain.chain.store.leveldb import LevelKV
from dmchain.chain.sync.events import Halt, Start
from dmchain.chain.sync.serving import select_blocks
from dmchain.chain.sync.verify import WireBlock
from dmchain.marketplace_vm.executor import NativeExecutor
from dmchain.node.block_sync import BlockSyncHost
from dmchain.node.devnet import genesis_document
from dmchain.node.network.messages import Blocks, BlockWithCommit, GetBlocks, Reply
from dmchain.node.validator_sets import read_validators
from dmchain.node.verification import ProcessVerifier

CHAIN_ID = 1337
VALIDATORS = [PrivateKey(hashlib.sha256(b"validator %d" % n).digest()) for n in range(4)]
SENDERS = [PrivateKey(hashlib.sha256(b"sender %d" % n).digest()) for n in range(20)]
LATENCY_SECONDS = 0.005
GAS_LIMIT = 30_000_000


@dataclass(slots=True)
class Chain:
    """What there is to sync. `made_seconds`: how long making it took; CPU seconds 0 where that is not known."""

    genesis: Genesis
    wires: list[WireBlock]
    made_seconds: float
    made_cpu_seconds: float
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


def transfers(block: int, count: int) -> list[Transaction]:
    made = []
    for number in range(block * count, (block + 1) * count):
        sender, nonce = SENDERS[number % len(SENDERS)], number // len(SENDERS)
        unsigned = UnsignedTransaction(
            type=DYNAMIC_FEE, chain_id=CHAIN_ID, nonce=nonce, gas=21_000, to=number.to_bytes(20, "big"), value=1,
            max_fee_per_gas=10**12, max_priority_fee_per_gas=0,
        )  # fmt: skip
        made.append(Transaction.decode(sign_transaction(unsigned, sender).raw))
    return made


def make_chain(folder: Path, blocks: int, count: int) -> Chain:
    validators = [
        {
            "operator": "0x" + bytes([0x70 + at] * 20).hex(),
            "publicKey": "0x" + key.public_key.hex(),
            "stake": str(10**21),
        }
        for at, key in enumerate(VALIDATORS)
    ]
    funded = {key.address: 10**24 for key in SENDERS}
    genesis = parse_genesis(
        genesis_document(funded, chain_id=CHAIN_ID, timestamp=1_000, own={"validators": validators})
    )
    work = [transfers(at, count) for at in range(blocks)]
    store = LevelKV(folder / "made")
    chain = Blockchain(store, genesis, NativeExecutor(genesis.rules))
    domain = compute_domain(CHAIN_ID, chain.genesis_header.hash)
    keys = {key.address: key for key in VALIDATORS}
    last: Commit | None = None
    wires = []
    began, cpu = time.perf_counter(), time.process_time()
    for offered in work:
        executed, facts = build(chain, offered, last)
        last = sign(executed, keys, read_validators(chain.view.snapshot, executed.block.number), domain)
        chain.commit(executed, Stored(facts, last).encode())
        wires.append(WireBlock(Body(executed.block, facts).encode(), last.encode()))
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
    gas = sum(decode_body(wire.block).block.header.gas_used for wire in wires)
    store.close()
    return Chain(genesis, wires, seconds, cpu_seconds, gas, blocks * count)


def build(chain: Blockchain, offered: list[Transaction], last: Commit | None) -> tuple[ExecutedBlock, Facts]:
    height = chain.head.number + 1
    state = chain.view.snapshot
    current, following = read_validators(state, height), read_validators(state, height + 1)
    assert current is not None and following is not None
    record = Record(
        chain_id=CHAIN_ID,
        height=height,
        timestamp_ms=(chain.head.timestamp + 1) * 1000,
        proposer=current.validators[height % len(current)].address,
        validators_hash=current.hash,
        next_validators_hash=following.hash,
        last_commit_hash=ZERO_HASH if last is None else last.hash,
    )
    plan = BlockPlan(
        timestamp=chain.head.timestamp + 1,
        coinbase=Address(bytes(19) + b"\1"),
        prev_randao=ZERO_HASH,
        parent_beacon_block_root=record.root(),
        gas_limit=GAS_LIMIT,
        consensus=ConsensusFacts(record.proposer, last, ()),
    )
    return chain.build(plan, Transfers(offered), stop=lambda: False), Facts(record, last)


def sign(
    executed: ExecutedBlock, keys: dict[Address, PrivateKey], validators: ValidatorSet | None, domain: Hash32
) -> Commit:
    assert validators is not None
    height, block_hash = executed.block.number, executed.block.hash
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
    return Chain(genesis, wires, (times[-1] - times[0]) / 1000, 0.0, gas, transactions)


class SyncingNode:
    """A node without consensus, at genesis."""

    def __init__(self, chain: Chain, data: Path, processes: int) -> None:
        self.wires = dict(enumerate(chain.wires, 1))
        self.store = LevelKV(data)
        self.chain = Blockchain(self.store, chain.genesis, NativeExecutor(chain.genesis.rules))
        rules = chain.genesis.rules
        self.verifier = ProcessVerifier(compute_domain(rules.chain_id, self.chain.genesis_header.hash), processes)
        self.host = BlockSyncHost(self, self.verifier.verify, rules.chain_id)
        self.spent = {"decode": 0.0, "execute": 0.0, "commit": 0.0}
        self.done = trio.Event()

    def _validators(self, height: int) -> ValidatorSet:
        found = read_validators(self.chain.view.snapshot, height)
        assert found is not None
        return found

    def position(self) -> Start:
        head = self.chain.head
        return Start(head.number, head.hash, self._validators(head.number + 1))

    async def request(self, peer: int, message: GetBlocks) -> Reply:
        await trio.sleep(LATENCY_SECONDS)
        wires = select_blocks(self.wires.get, message.start, message.count)
        return Blocks(tuple(BlockWithCommit(wire.block, wire.commit) for wire in wires))

    async def apply(self, height: int, block: bytes, commit: bytes, senders: bytes) -> ValidatorSet:
        await trio.to_thread.run_sync(self._apply, block, commit, senders)
        if height == len(self.wires):
            self.done.set()
        return self._validators(height + 1)

    def _apply(self, block: bytes, commit: bytes, senders: bytes) -> None:
        began = time.perf_counter()
        body = decode_body(block)
        for index, transaction in enumerate(body.block.transactions):
            transaction.assume_sender(Address(senders[index * 20 : index * 20 + 20]))
        facts = body.facts
        decoded = time.perf_counter()
        executed = self.chain.execute(
            body.block,
            ConsensusFacts(facts.record.proposer, facts.last_commit, facts.evidence, facts.record.randao_reveal),
        )
        done = time.perf_counter()
        self.chain.commit(executed, Stored(facts, Commit.decode(commit)).encode())
        self.spent["decode"] += decoded - began
        self.spent["execute"] += done - decoded
        self.spent["commit"] += time.perf_counter() - done

    def fault(self, peer: int, reason: str) -> None:
        raise AssertionError(reason)

    def slow(self, peer: int, reason: str) -> None:
        pass

    def handed_over(self, height: int) -> None:
        pass

    def fell_behind(self, height: int, peers_height: int) -> None:
        pass

    def halted(self, halt: Halt) -> None:
        raise AssertionError(halt.reason)


async def sync(chain: Chain, data: Path, processes: int) -> tuple[float, dict[str, float]]:
    """Seconds from knowing the first peer to the last block on disk, and what the executing thread did in them."""
    node = SyncingNode(chain, data, processes)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.verifier.run)
        nursery.start_soon(node.host.run)
        began, cpu = time.perf_counter(), time.process_time()
        for peer in (1, 2):
            node.host.peer_status(peer, len(node.wires), 1)
        await node.done.wait()
        seconds = time.perf_counter() - began
        node.spent["cpu"] = time.process_time() - cpu
        nursery.cancel_scope.cancel()
    node.store.close()
    return seconds, node.spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the blocks")
    parser.add_argument("--blocks", type=int, default=300)
    parser.add_argument("--transfers", type=int, default=50, help="in each block")
    parser.add_argument("--processes", type=int, default=1, help="that verify commits")
    parser.add_argument("--home", type=Path, help="sync the chain of this stopped validator")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    blocks = arguments.blocks // 10 if arguments.quick else arguments.blocks
    with tempfile.TemporaryDirectory(prefix="dmchain-bench-") as name:
        folder = Path(name)
        chain = (
            make_chain(folder, blocks, arguments.transfers) if arguments.home is None else read_chain(arguments.home)
        )
        seconds, spent = trio.run(sync, chain, folder / "synced", arguments.processes)
    cpu_seconds = spent.pop("cpu")
    result: dict[str, Any] = {
        "blocks": len(chain.wires),
        "transactions": chain.transactions,
        "made seconds": round(chain.made_seconds, 3),
        "synced seconds": round(seconds, 3),
        "made CPU seconds": round(chain.made_cpu_seconds, 3),
        "synced CPU seconds": round(cpu_seconds, 3),
        "times faster": round(chain.made_seconds / seconds, 2),
        "blocks/s": round(len(chain.wires) / seconds, 1),
        "Mgas/s": round(chain.gas / seconds / 1e6, 2),
        **{
            f"{part} ms/block": round(seconds_spent * 1000 / len(chain.wires), 2)
            for part, seconds_spent in spent.items()
        },
    }
    for field, value in result.items():
        print(f"{field:18} {value}")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
