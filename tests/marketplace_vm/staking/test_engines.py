"""Whole blocks with staking on the native and on the reference engine: same roots, receipts, notices and database; and
the supply of the whole chain, base fees included."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dmchain.chain.consensus.commit import Commit
from dmchain.chain.consensus.evidence import ChainEvidence, make_double_vote
from dmchain.chain.consensus.messages import PREVOTE, Vote
from dmchain.chain.executor import BlockEnvironment
from dmchain.chain.genesis import Genesis, parse_genesis
from dmchain.chain.primitives.crypto import PrivateKey, keccak
from dmchain.chain.primitives.errors import InvalidBlock
from dmchain.chain.primitives.transaction import Transaction, UnsignedTransaction, sign_transaction
from dmchain.chain.primitives.types import ZERO_HASH, Address, Hash32
from dmchain.chain.staking import STAKING
from dmchain.chain.staking.facts import ConsensusFacts, EpochAnnounced, Tombstoned
from dmchain.chain.staking.invariants import check_conservation
from dmchain.chain.staking.possession import prove_possession
from dmchain.chain.staking.readers import read_epoch_at, read_totals, read_validator
from dmchain.chain.store.kv import MemoryKV
from dmchain.marketplace_vm.executor import NativeExecutor
from dmchain.marketplace_vm.reference import ReferenceExecutor
from dmchain.marketplace_vm.state import decode_account, read_account, read_slot
from tests.marketplace_vm.precompiles.native_machines import spec_of
from tests.marketplace_vm.staking.rig import ETHER, GENESIS_TIME, key_of

CHAIN_ID = 7003
NAMES = [f"v{n}" for n in range(4)]
OPERATORS = {name: PrivateKey(keccak(b"account of " + name.encode())) for name in [*NAMES, "new", "dora"]}
FUNDS = 1_000 * ETHER
BASE_FEE = 10**9
TIP = 2 * 10**9


def make_genesis(**staking: Any) -> Genesis:
    validators = [
        {
            "operator": "0x" + OPERATORS[name].address.hex(),
            "publicKey": "0x" + key_of(name).public_key.hex(),
            "stake": str(10 * ETHER),
            "commissionBps": 1_000,
        }
        for name in NAMES
    ]
    numbers = {
        "epochSeconds": 100, "unbondingSeconds": 300, "maxValidators": 4, "maxCandidates": 6,
        "minimumSelfStake": str(ETHER), "blockReward": str(10**16),
    }  # fmt: skip
    return parse_genesis(
        {
            "config": {"chainId": CHAIN_ID},
            "timestamp": GENESIS_TIME,
            "alloc": {"0x" + key.address.hex(): {"balance": str(FUNDS)} for key in OPERATORS.values()},
            "dmchain": {"validators": validators, "staking": numbers | staking},
        }
    )


class Engine:
    """An executor with a store of its own."""

    def __init__(self, executor: Any, genesis: Genesis) -> None:
        self.executor = executor
        self.store = MemoryKV()
        changes = executor.create(genesis.alloc)
        self.store.write(changes.writes, sync=False)
        self.root = changes.state_root

    def run(self, environment: BlockEnvironment, transactions: list[Transaction]) -> Any:
        run = self.executor.begin(self.store, self.root, environment)
        for transaction in transactions:
            run.apply(transaction)
        return run.finish(())

    def commit(self, outcome: Any) -> None:
        self.store.write(outcome.changes.writes, sync=False)
        self.executor.committed(outcome.changes)
        self.root = outcome.changes.state_root

    def contents(self) -> dict[bytes, bytes]:
        return dict(self.store.iterate(b"", b"\xff"))

    def get_storage(self, address: bytes, slot: int) -> int:
        return read_slot(self.store, address, slot)

    def get_balance(self, address: bytes) -> int:
        account = read_account(self.store, address)
        return account[1] if account else 0

    def supply(self) -> int:
        return sum(decode_account(raw)[1] for _, raw in self.store.iterate(b"a", b"b"))


class Chain:
    """Both engines on the same blocks. The proposer's coinbase is its operator's account."""

    def __init__(self, **staking: Any) -> None:
        self.genesis = make_genesis(**staking)
        rules = self.genesis.rules
        self.engines = [Engine(NativeExecutor(rules), self.genesis), Engine(ReferenceExecutor(rules), self.genesis)]
        self.number = 0
        self.time = GENESIS_TIME
        self.nonces = dict.fromkeys(OPERATORS, 0)
        self.names = {key_of(name).address: name for name in [*NAMES, "new"]}

    @property
    def native(self) -> Engine:
        return self.engines[0]

    def transaction(self, who: str, name: str, *arguments: Any, value: int = 0, gas: int = 400_000) -> Transaction:
        unsigned = UnsignedTransaction(
            type=2, chain_id=CHAIN_ID, nonce=self.nonces[who], gas=gas, to=STAKING, value=value,
            data=spec_of(STAKING, name).encode_call(*arguments), max_fee_per_gas=10 * BASE_FEE,
            max_priority_fee_per_gas=TIP,
        )  # fmt: skip
        self.nonces[who] += 1
        return sign_transaction(unsigned, OPERATORS[who])

    def block(
        self,
        *transactions: Transaction,
        seconds: int = 10,
        absent: tuple[str, ...] = (),
        evidence: tuple[ChainEvidence, ...] = (),
        is_shared: bool = False,
    ) -> Any:
        """Run a block on both engines. `is_shared`: the coinbase is the staking contract, which shares the tips."""
        self.number += 1
        self.time += seconds
        native = self.native
        epoch = read_epoch_at(native.get_storage, self.number)
        assert epoch is not None
        index = epoch.proposer(self.number, 0)
        commit = None
        if self.number > 1:
            signers = read_epoch_at(native.get_storage, self.number - 1)
            assert signers is not None
            missing = {key_of(name).address for name in absent}
            signatures = [None if each.address in missing else bytes(65) for each in signers.validators.validators]
            commit = Commit(self.number - 1, 0, Hash32(b"\xbb" * 32), tuple(signatures))
        environment = BlockEnvironment(
            number=self.number, timestamp=self.time, coinbase=STAKING if is_shared else epoch.operators[index],
            gas_limit=30_000_000, base_fee=BASE_FEE, prev_randao=ZERO_HASH, parent_hash=ZERO_HASH,
            parent_beacon_block_root=ZERO_HASH, block_hash=lambda number: None,
            consensus=ConsensusFacts(epoch.validators.validators[index].address, commit, evidence),
        )  # fmt: skip
        supply, totals = native.supply(), read_totals(native.get_storage)
        outcomes = [engine.run(environment, list(transactions)) for engine in self.engines]
        first, second = outcomes
        assert first.receipts == second.receipts
        assert first.notices == second.notices
        assert first.changes.state_root == second.changes.state_root
        for engine, outcome in zip(self.engines, outcomes, strict=True):
            engine.commit(outcome)
        assert self.engines[0].contents() == self.engines[1].contents()
        after = read_totals(native.get_storage)
        minted, burned = after.minted - totals.minted, after.burned - totals.burned
        assert native.supply() == supply + minted - burned - first.gas_used * BASE_FEE
        accounts = [key.address for key in OPERATORS.values()]
        check_conservation(native.get_storage, native.get_balance, accounts)
        return first

    def double_vote(self, name: str, height: int) -> ChainEvidence:
        epoch = read_epoch_at(self.native.get_storage, height)
        assert epoch is not None
        index = epoch.validators.index_of(key_of(name).address)
        assert index is not None
        votes = [Vote(PREVOTE, height, 0, -1, Hash32(bytes((n,)) * 32), index, bytes(65)) for n in (1, 2)]
        return make_double_vote(*votes)


def operator(name: str) -> Address:
    return OPERATORS[name].address


def test_a_life_of_a_chain_is_the_same_on_both_engines() -> None:
    chain = Chain()
    new = key_of("new")
    registration = (new.public_key, prove_possession(new, CHAIN_ID, operator("new")), 500, 100)
    outcome = chain.block(
        chain.transaction("new", "register", *registration, value=20 * ETHER),
        chain.transaction("dora", "delegate", operator("v1"), value=7 * ETHER),
        chain.transaction("dora", "undelegate", operator("v2"), 1),  # fails
    )
    assert [receipt.status for receipt in outcome.receipts] == [1, 1, 0]
    assert chain.block(seconds=100).notices[0].number == 1
    chain.block(is_shared=True)
    for _ in range(3):
        chain.block(chain.transaction("dora", "delegate", operator("v0"), value=ETHER), is_shared=True)
    outcome = chain.block(
        chain.transaction("dora", "undelegate", operator("v1"), 3 * ETHER),
        chain.transaction("dora", "redelegate", operator("v1"), operator("new"), 2 * ETHER),
        absent=("v3",),
    )
    assert [receipt.status for receipt in outcome.receipts] == [1, 1]
    outcome = chain.block(evidence=(chain.double_vote("v1", chain.number),), absent=("v1", "v3"))
    assert [type(notice) for notice in outcome.notices] == [Tombstoned]
    outcome = chain.block(chain.transaction("dora", "settle", operator("new"), operator("dora")))
    assert len(outcome.receipts[0].logs) == 1
    outcome = chain.block(seconds=300)
    assert [type(notice) for notice in outcome.notices] == [EpochAnnounced]
    outcome = chain.block(
        chain.transaction("dora", "withdrawUnbonded"),
        chain.transaction("v1", "withdrawCommission"),
        chain.transaction("dora", "withdrawRewards", operator("new")),
    )
    assert outcome.receipts[0].status == 1
    found = read_validator(chain.native.get_storage, operator("v1"))
    assert found is not None and not found.is_seated
    assert read_totals(chain.native.get_storage).burned > 0


def test_tips_are_the_coinbases_or_shared_with_the_pool_when_that_is_the_contract() -> None:
    chain = Chain(blockReward=0)
    chain.block()
    before = read_totals(chain.native.get_storage).rewards
    outcome = chain.block(chain.transaction("dora", "delegate", operator("v0"), value=ETHER))
    assert read_totals(chain.native.get_storage).rewards == before == 0
    outcome = chain.block(chain.transaction("dora", "delegate", operator("v0"), value=ETHER), is_shared=True)
    assert read_totals(chain.native.get_storage).rewards == outcome.gas_used * TIP


def test_blocks_without_facts_leave_staking_alone() -> None:
    chain = Chain()
    environment = BlockEnvironment(
        number=1, timestamp=GENESIS_TIME + 1_000, coinbase=operator("v0"), gas_limit=30_000_000, base_fee=BASE_FEE,
        prev_randao=ZERO_HASH, parent_hash=ZERO_HASH, parent_beacon_block_root=ZERO_HASH, block_hash=lambda number: None,
    )  # fmt: skip
    before = chain.native.contents()
    outcome = chain.native.run(environment, [])
    chain.native.commit(outcome)
    slots = {key: value for key, value in chain.native.contents().items() if key.startswith(b"s" + STAKING)}
    assert slots == {key: value for key, value in before.items() if key.startswith(b"s" + STAKING)}
    assert outcome.notices == ()


@pytest.mark.parametrize("engine", [0, 1])
def test_facts_that_do_not_fit_make_the_block_invalid(engine: int) -> None:
    chain = Chain()
    chain.block()
    environment = BlockEnvironment(
        number=2, timestamp=GENESIS_TIME + 20, coinbase=operator("v0"), gas_limit=30_000_000, base_fee=BASE_FEE,
        prev_randao=ZERO_HASH, parent_hash=ZERO_HASH, parent_beacon_block_root=ZERO_HASH, block_hash=lambda number: None,
        consensus=ConsensusFacts(key_of("v0").address, None),
    )  # fmt: skip
    with pytest.raises(InvalidBlock, match="last commit: missing"):
        chain.engines[engine].run(environment, [])
    with pytest.raises(InvalidBlock, match="not a registered validator"):
        nobody = replace(environment, consensus=ConsensusFacts(key_of("nobody").address, None))
        chain.engines[engine].run(nobody, [])
