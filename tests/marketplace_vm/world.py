"""A small state to execute on: some accounts with keys, contracts given as programs, one block environment."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dmchain.chain.executor import BlockEnvironment, BlockExecution
from dmchain.chain.genesis import GenesisAccount
from dmchain.chain.primitives.crypto import PrivateKey, keccak
from dmchain.chain.primitives.transaction import Transaction, UnsignedTransaction, sign_transaction
from dmchain.chain.primitives.types import Address, Hash32
from dmchain.chain.rules import Rules
from dmchain.chain.store.kv import MemoryKV
from dmchain.marketplace_vm.calls import StateView
from dmchain.marketplace_vm.executor import NativeExecutor
from dmchain.marketplace_vm.precompiles.genesis import GENESIS_ACCOUNTS
from dmchain.marketplace_vm.system import SYSTEM_CONTRACTS

CHAIN_ID = 1337
GWEI = 10**9
BASE_FEE = 7 * GWEI
COINBASE = Address(b"\xc0" * 20)
ALICE, BOB, CAROL = (PrivateKey(hashlib.sha256(name).digest()) for name in (b"alice", b"bob", b"carol"))
POOR = Address(b"\x90" * 20)
NOWHERE = Address(b"\x99" * 20)
RULES = Rules(CHAIN_ID, osaka_time=0)
FUNDS = 10**20


def contract_at(number: int) -> Address:
    """Where `World(code, code, ...)` puts its contracts."""
    return Address(b"\xcc" * 19 + bytes([number]))


CONTRACT, SECOND, THIRD = contract_at(0), contract_at(1), contract_at(2)


def environment(**changes: Any) -> BlockEnvironment:
    base = BlockEnvironment(
        number=300,
        timestamp=1_700_000_000,
        coinbase=COINBASE,
        gas_limit=30_000_000,
        base_fee=BASE_FEE,
        prev_randao=Hash32(b"\xab" * 32),
        parent_hash=Hash32(b"\xbb" * 32),
        parent_beacon_block_root=Hash32(b"\xdd" * 32),
        block_hash=lambda number: bytes(keccak(number.to_bytes(8, "big"))),
        excess_blob_gas=0,
        blob_base_fee=1,
    )
    return replace(base, **changes)


class World:
    """Funded ALICE, BOB and CAROL, contracts with balance 1000 and nonce 1, system contracts, native precompiles."""

    def __init__(
        self,
        *codes: bytes,
        rules: Rules = RULES,
        storage: Mapping[int, int] | None = None,
        more: Mapping[Address, GenesisAccount] | None = None,
        engine: Any = NativeExecutor,
    ) -> None:
        """`storage` is that of the first contract."""
        alloc = {key.address: GenesisAccount(FUNDS) for key in (ALICE, BOB, CAROL)}
        for index, code in enumerate(codes):
            slots = tuple((storage or {}).items()) if index == 0 else ()
            alloc[contract_at(index)] = GenesisAccount(1000, 1, code, slots)
        for address, code in SYSTEM_CONTRACTS.items():
            alloc[Address(address)] = GenesisAccount(0, 1, code)
        for address, native in GENESIS_ACCOUNTS.items():
            alloc[address] = GenesisAccount(0, 1, native.code, tuple(native.storage.items()))
        alloc.update(more or {})
        self.rules = rules
        self.executor = engine(rules)
        self.store = MemoryKV()
        changes = self.executor.create(alloc)
        self.store.write(changes.writes, sync=False)
        self.root = changes.state_root

    def view(self, **changes: Any) -> StateView:
        return StateView(self.rules, self.store, environment(**changes))

    def begin(self, *, system_calls: bool = False, **changes: Any) -> BlockExecution:
        run: BlockExecution = self.executor.begin(
            self.store, self.root, environment(**changes), system_calls=system_calls
        )
        return run

    def commit(self, run: BlockExecution) -> None:
        outcome = run.finish(())
        self.store.write(outcome.changes.writes, sync=False)
        self.executor.committed(outcome.changes)
        self.root = outcome.changes.state_root


def transaction(key: PrivateKey = ALICE, **fields: Any) -> Transaction:
    """A signed type 2 transaction that pays 10 gwei a gas with a tip of 1, unless told otherwise."""
    values: dict[str, Any] = {
        "type": 2,
        "chain_id": CHAIN_ID,
        "nonce": 0,
        "gas": 200_000,
        "max_fee_per_gas": 10 * GWEI,
        "max_priority_fee_per_gas": GWEI,
        "to": CONTRACT,
    }
    return sign_transaction(UnsignedTransaction(**{**values, **fields}), key)
