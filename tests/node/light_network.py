"""A small network of four validators without the network: real blocks, real signatures, real JSON-RPC answers."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dmchain.chain.blockchain import Blockchain
from dmchain.chain.consensus.body import Facts, Stored
from dmchain.chain.consensus.commit import Commit
from dmchain.chain.consensus.messages import NO_ROUND, PRECOMMIT, Vote
from dmchain.chain.consensus.record import Record
from dmchain.chain.consensus.signbytes import compute_domain, sign_digest
from dmchain.chain.genesis import load_genesis
from dmchain.chain.mempool import Mempool
from dmchain.chain.primitives.crypto import PrivateKey, keccak
from dmchain.chain.primitives.transaction import DYNAMIC_FEE, Transaction, UnsignedTransaction, sign_transaction
from dmchain.chain.primitives.types import ZERO_HASH, Address, Hash32
from dmchain.chain.staking.facts import ConsensusFacts
from dmchain.chain.store.kv import KeyValue, MemoryKV
from dmchain.marketplace_vm.executor import NativeExecutor
from dmchain.marketplace_vm.precompiles import CID_REGISTRY, LICENSE_LEDGER
from dmchain.node.backend import ChainBackend
from dmchain.node.cli.abi import encode_call, parse_signature
from dmchain.node.devnet import genesis_document
from dmchain.node.light_records import LightRecords
from dmchain.node.production import DecideAlone, Producer, ProductionConfig, initial_pool_head
from dmchain.node.validator_sets import read_validators
from dmchain.rpc.backend import Backend
from tests.chain.small_chain import Queue, plan_after
from tests.rpc.asking import Asker

CHAIN_ID = 4242
STAKE = 1000 * 10**18
OWNER, BUYER = (PrivateKey(hashlib.sha256(name).digest()) for name in (b"data owner", b"data buyer"))
CID = bytes.fromhex("01551220") + hashlib.sha256(b"some training data").digest()
DATASET = keccak(CID)


def key_of(name: str) -> PrivateKey:
    return PrivateKey(hashlib.sha256(f"consensus {name}".encode()).digest())


class LightNetwork:
    """One node's database of a chain that `names` sign. `began` is the time of genesis; blocks are a second apart."""

    def __init__(self, folder: Path, names: Iterable[str] = "abcd", began: int | None = None) -> None:
        keys = [key_of(name) for name in names]
        self.keys = {key.address: key for key in keys}
        self.began = int(time.time()) - 60 if began is None else began
        validators = [
            {
                "operator": "0x" + bytes([0x70 + at] * 20).hex(),
                "publicKey": "0x" + key.public_key.hex(),
                "stake": str(STAKE),
            }
            for at, key in enumerate(keys)
        ]
        document = genesis_document(
            {OWNER.address: 10**20}, chain_id=CHAIN_ID, timestamp=self.began, own={"validators": validators}
        )
        self.genesis_path = folder / "genesis.json"
        self.genesis_path.write_text(json.dumps(document))
        genesis = load_genesis(self.genesis_path)
        self.store: KeyValue = MemoryKV()
        self.chain = Blockchain(self.store, genesis, NativeExecutor(genesis.rules))
        self.domain = compute_domain(CHAIN_ID, self.chain.genesis_header.hash)
        self.nonce = 0

    def transaction(self, to: Address, call: str, *arguments: Any) -> Transaction:
        unsigned = UnsignedTransaction(
            type=DYNAMIC_FEE, chain_id=CHAIN_ID, nonce=self.nonce, gas=500_000, to=to,
            max_fee_per_gas=10**11, max_priority_fee_per_gas=0, data=encode_call(parse_signature(call), arguments),
        )  # fmt: skip
        self.nonce += 1
        return sign_transaction(unsigned, OWNER)

    def register(self) -> Transaction:
        return self.transaction(
            CID_REGISTRY, "registerCid(bytes,bytes,bytes32[],uint64)", "0x" + CID.hex(), "0x", "[]", "0"
        )

    def grant(self, expires_at: int = 0, units: int = 0) -> Transaction:
        buyer, dataset = "0x" + BUYER.address.hex(), "0x" + DATASET.hex()
        call = "grant(bytes32,address,uint8,uint64,uint64,bytes32)"
        return self.transaction(
            LICENSE_LEDGER, call, dataset, buyer, "1", str(expires_at), str(units), "0x" + "77" * 32
        )

    def revoke(self) -> Transaction:
        call = "revoke(bytes32,address,bytes32)"
        buyer = "0x" + BUYER.address.hex()
        return self.transaction(LICENSE_LEDGER, call, "0x" + DATASET.hex(), buyer, "0x" + "00" * 32)

    def retire(self) -> Transaction:
        return self.transaction(CID_REGISTRY, "retire(bytes32)", "0x" + DATASET.hex())

    def consume(self, units: int) -> Transaction:
        call = "consume(bytes32,address,uint64)"
        return self.transaction(LICENSE_LEDGER, call, "0x" + DATASET.hex(), "0x" + BUYER.address.hex(), str(units))

    def add(self, *transactions: Transaction, absent: int = 1) -> None:
        """A block signed by all but `absent` validators."""
        chain = self.chain
        height = chain.head.number + 1
        validators = read_validators(chain.view.snapshot, height)
        following = read_validators(chain.view.snapshot, height + 1)
        assert validators is not None and following is not None
        before = chain.view.blocks.record(height - 1)
        last = Stored.decode(before).seen_commit if before else None
        record = Record(
            chain_id=CHAIN_ID,
            height=height,
            timestamp_ms=(chain.head.timestamp + 1) * 1000 + 7,
            proposer=validators.validators[height % len(validators)].address,
            validators_hash=validators.hash,
            next_validators_hash=following.hash,
            last_commit_hash=ZERO_HASH if last is None else last.hash,
        )
        plan = plan_after(
            chain,
            parent_beacon_block_root=record.root(),
            timestamp=chain.head.timestamp + 1,
            consensus=ConsensusFacts(record.proposer, last, ()),
        )
        executed = chain.build(plan, Queue(transactions), stop=lambda: False)
        assert [receipt.status for receipt in executed.receipts] == [1] * len(transactions)
        signatures = [
            None if at < absent else self._sign(height, executed.block.hash, at, self.keys[validator.address])
            for at, validator in enumerate(validators.validators)
        ]
        commit = Commit(height, 0, executed.block.hash, tuple(signatures))
        chain.commit(executed, Stored(Facts(record, last), commit).encode())

    def _sign(self, height: int, block_hash: Hash32, index: int, key: PrivateKey) -> bytes:
        vote = Vote(PRECOMMIT, height, 0, NO_ROUND, block_hash, index)
        y_parity, r, s = key.sign(sign_digest(self.domain, vote))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([y_parity])

    def asker(self) -> Asker:
        """The methods of a node that has this chain."""
        config = ProductionConfig(Address(bytes(20)), 30_000_000)
        pool = Mempool(CHAIN_ID, initial_pool_head(self.chain, 30_000_000))
        producer = Producer(self.chain, pool, config, DecideAlone())
        backend = ChainBackend(producer, role="follower", is_devnet=False, automine=lambda: False)
        return Asker(Backend(backend, consensus=LightRecords(lambda: self.chain.view)))
