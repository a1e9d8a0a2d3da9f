"""Native engine, reference engine and py-evm's own state database: the same blocks, compared after each transaction.

DMCHAIN_FUZZ_SEEDS=1000 runs that many chains, DMCHAIN_FUZZ_FIRST_SEED=n begins with another one; a failure prints its
own seed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from eth.db.account import AccountDB
from eth.db.atomic import AtomicDB
from eth.db.backends.memory import MemoryDB

from dmchain.chain.executor import BlockEnvironment, Outcome, StateChanges
from dmchain.chain.genesis import GenesisAccount
from dmchain.chain.primitives.block import EMPTY_TRIE_ROOT
from dmchain.chain.primitives.errors import DmchainError
from dmchain.chain.primitives.transaction import Transaction
from dmchain.chain.primitives.types import Address, Hash32
from dmchain.chain.rules import Rules
from dmchain.chain.store.kv import MemoryKV
from dmchain.marketplace_vm.executor import NativeExecutor
from dmchain.marketplace_vm.reference import ReferenceExecutor, ReferenceRun, ReferenceState
from dmchain.marketplace_vm.translate import EAGER_POLICY, Translator
from tests.marketplace_vm.random_blocks import RandomBlock, RandomChain, genesis_alloc

SEEDS = int(os.environ.get("DMCHAIN_FUZZ_SEEDS", "6"))
FIRST_SEED = int(os.environ.get("DMCHAIN_FUZZ_FIRST_SEED", "0"))
BLOCKS = 8

pytestmark = pytest.mark.filterwarnings("ignore:SELFDESTRUCT")


class EagerExecutor(NativeExecutor):
    """The native engine with all code translated on its first run."""

    name = "translated"
    runner = staticmethod(Translator(EAGER_POLICY).run)

    def begin(self, *args: Any, **options: Any) -> Any:
        run: Any = super().begin(*args, **options)
        base = run.computation_class
        run.use_computation_class(type("Translated", (base,), {"code_runner": staticmethod(self.runner)}))
        return run


class StoredEngine:
    """An executor with a store of its own."""

    def __init__(self, executor: Any) -> None:
        self.name = executor.name
        self.executor = executor
        self.store = MemoryKV()
        changes = executor.create(genesis_alloc())
        self.store.write(changes.writes, sync=False)
        self.root = changes.state_root

    def begin(self, environment: BlockEnvironment) -> Any:
        return self.executor.begin(self.store, self.root, environment)

    def commit(self, outcome: Outcome) -> None:
        self.store.write(outcome.changes.writes, sync=False)
        self.executor.committed(outcome.changes)
        self.root = outcome.changes.state_root

    def contents(self) -> dict[bytes, bytes]:
        return dict(self.store.iterate(b"", b"\xff"))


class TrieAccounts(AccountDB):
    """py-evm's account database: nothing of it is ours."""

    def delete_empty_touched_accounts(self) -> None:
        """Only system calls ask; they touch nothing that is empty."""

    def compute_changes(self, parent_root: Hash32) -> StateChanges:
        root = self.make_state_root()
        self.persist()
        return StateChanges(Hash32(bytes(root)))


class TrieState(ReferenceState):
    def has_code_or_nonce(self, address: Any) -> bool:
        account = self._account_db._get_account(address)
        return super().has_code_or_nonce(address) or account.storage_root != EMPTY_TRIE_ROOT


class TrieEngine:
    """The reference rules over py-evm's own tries: the oracle of the flat state."""

    name = "tries"

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.db = AtomicDB(MemoryDB())
        accounts: Any = TrieAccounts(self.db)
        alloc: Mapping[Address, GenesisAccount] = genesis_alloc()
        for address, account in alloc.items():
            accounts.set_balance(address, account.balance)
            accounts.set_nonce(address, account.nonce)
            if account.code:
                accounts.set_code(address, account.code)
            for slot, value in account.storage:
                accounts.set_storage(address, slot, value)
        self.root = accounts.compute_changes(EMPTY_TRIE_ROOT).state_root

    def begin(self, environment: BlockEnvironment) -> Any:
        accounts: Any = TrieAccounts(self.db, self.root)  # type: ignore[arg-type]
        return ReferenceRun(TrieState(accounts, environment, self.rules), self.root, system_calls=True)

    def commit(self, outcome: Outcome) -> None:
        self.root = outcome.changes.state_root


def attempt(run: Any, tx: Transaction) -> tuple[Any, ...]:
    try:
        receipt = run.apply(tx)
    except DmchainError:
        return ("refused",)
    return receipt.encode(), receipt.gas_used, receipt.effective_gas_price, receipt.contract_address


def discard_a_candidate(engine: StoredEngine, block: RandomBlock, chain: RandomChain) -> None:
    """Execute a block that is never decided."""
    state = chain.random.getstate()
    run = engine.begin(block.environment)
    for _ in range(3):
        attempt(run, block.transactions(run.flat.get_nonce))
    run.finish(())
    chain.random.setstate(state)


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + SEEDS))
def test_random_blocks_give_the_same_state_receipts_and_database(seed: int) -> None:
    chain = RandomChain(seed)
    native, translated = StoredEngine(NativeExecutor(chain.rules)), StoredEngine(EagerExecutor(chain.rules))
    reference = StoredEngine(ReferenceExecutor(chain.rules))
    engines: Sequence[Any] = (native, translated, reference, TrieEngine(chain.rules))
    assert len({engine.root for engine in engines}) == 1, "genesis"
    for _ in range(BLOCKS):
        block = chain.next_block()
        if chain.random.random() < 0.3:
            contracts = list(chain.contracts)
            discard_a_candidate(native, block, chain)
            chain.contracts = contracts
        runs = [engine.begin(block.environment) for engine in engines]
        for index in range(block.count):
            tx = block.transactions(runs[0].flat.get_nonce)
            results = [attempt(run, tx) for run in runs]
            for engine, result in zip(engines, results, strict=True):
                assert result == results[0], f"seed {seed} block {chain.number} tx {index} {engine.name} {tx.raw.hex()}"
        outcomes = [run.finish(block.withdrawals) for run in runs]
        for engine, outcome in zip(engines, outcomes, strict=True):
            where = f"seed {seed} block {chain.number} {engine.name}"
            assert outcome.gas_used == outcomes[0].gas_used, where
            assert outcome.requests_hash == outcomes[0].requests_hash, where
            assert outcome.changes.state_root == outcomes[0].changes.state_root, where
            engine.commit(outcome)
        for engine, outcome in ((translated, outcomes[1]), (reference, outcomes[2])):
            where = f"seed {seed} block {chain.number} {engine.name}"
            assert outcome.changes.undo == outcomes[0].changes.undo, where
            assert engine.contents() == native.contents(), where
