"""A chain of its own for each test: funded keys, one contract, blocks made from lists of transactions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from dmchain.chain.blockchain import Blockchain, BlockPlan, ExecutedBlock
from dmchain.chain.genesis import Genesis, GenesisAccount
from dmchain.chain.primitives.crypto import PrivateKey
from dmchain.chain.primitives.errors import InvalidTransaction
from dmchain.chain.primitives.transaction import Transaction, UnsignedTransaction, sign_transaction
from dmchain.chain.primitives.types import Address, Hash32
from dmchain.chain.rules import Rules
from dmchain.chain.store.kv import KeyValue, MemoryKV
from dmchain.marketplace_vm.executor import NativeExecutor
from dmchain.marketplace_vm.system import SYSTEM_CONTRACTS

CHAIN_ID = 1337
GWEI = 10**9
KEYS = [PrivateKey(hashlib.sha256(f"small chain {n}".encode()).digest()) for n in range(4)]
COUNTER = Address(b"\xcc" * 20)
"""Counts its calls in slot 0, keeps the caller in slot (calldata), logs topic 7."""
COUNTER_CODE = bytes.fromhex("5f54600101805f55335f355560075f5fa100")
COINBASE = Address(b"\xc0" * 20)
ALLOC = {
    **{key.address: GenesisAccount(10**20) for key in KEYS},
    COUNTER: GenesisAccount(0, 1, COUNTER_CODE),
    **{Address(address): GenesisAccount(0, 1, code) for address, code in SYSTEM_CONTRACTS.items()},
}
GENESIS = Genesis(Rules(CHAIN_ID), ALLOC, timestamp=1_000)


class Queue:
    """A TransactionSource that gives what it was given."""

    def __init__(self, transactions: Iterable[Transaction]) -> None:
        self._left = list(transactions)
        self.taken: list[Transaction] = []
        self.refused: list[tuple[Transaction, InvalidTransaction]] = []

    def next(self, gas_left: int) -> Transaction | None:
        return self._left.pop(0) if self._left else None

    def included(self, transaction: Transaction) -> None:
        self.taken.append(transaction)

    def rejected(self, transaction: Transaction, error: InvalidTransaction) -> None:
        self.refused.append((transaction, error))


def open_chain(store: KeyValue | None = None, genesis: Genesis = GENESIS, **options: Any) -> Blockchain:
    return Blockchain(MemoryKV() if store is None else store, genesis, NativeExecutor(genesis.rules), **options)


def plan_after(chain: Blockchain, **changes: Any) -> BlockPlan:
    values: dict[str, Any] = {
        "timestamp": chain.head.timestamp + 1,
        "coinbase": COINBASE,
        "prev_randao": Hash32(b"\xab" * 32),
        "parent_beacon_block_root": Hash32(b"\xbe" * 32),
        "gas_limit": 30_000_000,
    }
    return BlockPlan(**{**values, **changes})


def transaction(key: PrivateKey, nonce: int, **fields: Any) -> Transaction:
    values: dict[str, Any] = {
        "type": 2,
        "chain_id": CHAIN_ID,
        "nonce": nonce,
        "gas": 100_000,
        "max_fee_per_gas": 100 * GWEI,
        "max_priority_fee_per_gas": GWEI,
        "to": COUNTER,
    }
    return sign_transaction(UnsignedTransaction(**{**values, **fields}), key)


def counting(key: PrivateKey, nonce: int, slot: int) -> Transaction:
    return transaction(key, nonce, data=slot.to_bytes(32, "big"))


def build(chain: Blockchain, transactions: Iterable[Transaction] = (), **changes: Any) -> ExecutedBlock:
    return chain.build(plan_after(chain, **changes), Queue(transactions), stop=lambda: False)


def extend(chain: Blockchain, blocks: int, *, nonce: int = 0) -> list[ExecutedBlock]:
    """Commit some blocks, each with a payment and a call."""
    made = []
    for number in range(nonce, nonce + blocks):
        calls = [counting(KEYS[0], number, 1 + number % 3), transaction(KEYS[1], number, to=b"\x11" * 20, value=1)]
        executed = build(chain, calls)
        chain.commit(executed, b"record %d" % number)
        made.append(executed)
    return made
