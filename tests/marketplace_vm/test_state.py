"""The flat state against a naive twin: dictionaries copied for every checkpoint, and tries made from nothing."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import rlp
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from trie import HexaryTrie

from dmchain.chain.genesis import GenesisAccount
from dmchain.chain.primitives.block import EMPTY_TRIE_ROOT
from dmchain.chain.primitives.crypto import EMPTY_CODE_HASH, keccak
from dmchain.chain.primitives.types import Address
from dmchain.chain.store.kv import MemoryKV
from dmchain.marketplace_vm.executor import create_state
from dmchain.marketplace_vm.state import (
    CodeCache,
    FlatState,
    StateCache,
    decode_account,
    encode_account,
    read_account,
    read_code,
    read_slot,
)

ADDRESSES = [Address(bytes([n]) * 20) for n in (1, 2, 3)]
SLOTS = [0, 1, 2**256 - 1]
addresses = st.sampled_from(ADDRESSES)
slots = st.sampled_from(SLOTS)
values = st.sampled_from([0, 0, 1, 5, 2**255])
codes = st.sampled_from([b"", b"\x00", b"\x60\x00"])
steps = st.lists(st.tuples(slots, values), min_size=1, max_size=4)


@dataclass
class NaiveAccount:
    nonce: int = 0
    balance: int = 0
    code: bytes = b""
    storage: dict[int, int] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        return self.nonce == 0 and self.balance == 0 and self.code == b""


World = dict[Address, NaiveAccount]


def some_account(kind: str) -> NaiveAccount:
    if kind == "contract":
        return NaiveAccount(1, 7, b"\x00", {0: 5, 1: 1})
    if kind == "hollow":  # storage only: the first touch ends it, and its storage with it
        return NaiveAccount(storage={0: 3, 2**256 - 1: 1})
    return NaiveAccount(balance=9)


worlds = st.fixed_dictionaries(
    {},
    optional={address: st.sampled_from(["contract", "hollow", "hollow", "plain"]) for address in ADDRESSES},
)


def naive_root(world: World) -> bytes:
    state: Any = HexaryTrie({})
    for address, account in world.items():
        storage: Any = HexaryTrie({})
        for slot, value in account.storage.items():
            if value:
                storage[keccak(slot.to_bytes(32, "big"))] = rlp.encode(value)
        code_hash = keccak(account.code)
        state[keccak(address)] = rlp.encode([account.nonce, account.balance, storage.root_hash, code_hash])
    return bytes(state.root_hash)


def fresh_contents(world: World) -> dict[bytes, bytes]:
    """What the database holds of a state that was made in one go."""
    store = MemoryKV()
    store.write(create_state(genesis_alloc(world)).writes, sync=False)
    return without_code(store)


def genesis_alloc(world: World) -> dict[Address, GenesisAccount]:
    return {
        address: GenesisAccount(
            account.balance, account.nonce, account.code, tuple((s, v) for s, v in account.storage.items() if v)
        )
        for address, account in world.items()
    }


def without_code(store: MemoryKV) -> dict[bytes, bytes]:
    """Code stays in the database for ever: it may come back."""
    return {key: value for key, value in store.iterate(b"", b"\xff") if key[:1] != b"c"}


class FlatStateMachine(RuleBasedStateMachine):
    """Blocks of transactions of journalled changes; each is kept or undone."""

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryKV()
        self.root = EMPTY_TRIE_ROOT
        self.committed: World = {}
        self.cache = StateCache()
        self.codes = CodeCache()

    @initialize(kinds=worlds)
    def begin_chain(self, kinds: dict[Address, str]) -> None:
        self.committed = {address: some_account(kind) for address, kind in kinds.items()}
        changes = create_state(genesis_alloc(self.committed))
        self.store.write(changes.writes, sync=False)
        self.root = changes.state_root
        self.begin_block()

    def begin_block(self) -> None:
        self.flat = FlatState(self.store, cache=self.cache, codes=self.codes)
        self.world = copy.deepcopy(self.committed)
        self.begin_transaction()

    def begin_transaction(self) -> None:
        self.flat.lock_changes()
        self.at_start = copy.deepcopy(self.world)
        self.touched: set[Address] = set()
        self.transient: dict[tuple[Address, int], bytes] = {}
        self.warm: set[Any] = set()
        self.marks: list[tuple[int, World, set[Address], dict[tuple[Address, int], bytes], set[Any]]] = []

    def change(self, address: Address) -> NaiveAccount:
        self.touched.add(address)
        return self.world.setdefault(address, NaiveAccount())

    # -- changes -------------------------------------------------------------------------------------------------
    @rule(address=addresses, what=st.sampled_from(["balance", "increment", "nonce", "code"]), value=values, code=codes)
    def set_account(self, address: Address, what: str, value: int, code: bytes) -> None:
        account = self.change(address)
        if what == "balance":
            self.flat.set_balance(address, value)
            account.balance = value
        elif what == "increment":
            self.flat.increment_nonce(address)
            account.nonce += 1
        elif what == "nonce":
            self.flat.set_nonce(address, value % 8)
            account.nonce = value % 8
        else:
            self.flat.set_code(address, code)
            account.code = code

    @rule(address=addresses, steps=steps)
    def run_contract(self, address: Address, steps: list[tuple[int, int]]) -> None:
        """Storage changes in accounts that have code, here at least a nonce."""
        account = self.change(address)
        self.flat.set_nonce(address, 1)
        account.nonce = 1
        for slot, value in steps:
            assert self.flat.get_storage(address, slot) == account.storage.get(slot, 0)
            self.flat.set_storage(address, slot, value)
            account.storage[slot] = value

    @rule(address=addresses)
    def touch(self, address: Address) -> None:
        self.flat.touch_account(address)
        if address not in self.world or self.world[address].is_empty:
            self.change(address)

    @rule(address=addresses, slot=st.none() | slots, value=st.binary(max_size=3))
    def warm_up(self, address: Address, slot: int | None, value: bytes) -> None:
        if slot is None:
            self.flat.mark_address_warm(address)
            self.warm.add(address)
        else:
            self.flat.mark_storage_warm(address, slot)
            self.warm.add((address, slot))
            self.flat.set_transient(address, slot, value)
            self.transient[address, slot] = value

    # -- checkpoints ---------------------------------------------------------------------------------------------
    @rule()
    def record(self) -> None:
        copies = (copy.deepcopy(self.world), set(self.touched), dict(self.transient), set(self.warm))
        self.marks.append((self.flat.record(), *copies))

    @precondition(lambda self: self.marks)
    @rule(data=st.data())
    def discard(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.marks) - 1))
        mark, self.world, self.touched, self.transient, self.warm = self.marks[index]
        del self.marks[index:]
        self.flat.discard(mark)

    # -- reading -------------------------------------------------------------------------------------------------
    @rule(address=addresses)
    def read(self, address: Address) -> None:
        account = self.world.get(address, NaiveAccount())
        start = self.at_start.get(address, NaiveAccount())
        flat = self.flat
        assert flat.get_code(address) == account.code
        assert flat.get_code_hash(address) == keccak(account.code)
        assert flat.is_address_warm(address) == (address in self.warm)
        for slot in SLOTS:
            assert flat.get_storage(address, slot) == account.storage.get(slot, 0)
            assert flat.get_storage(address, slot, from_journal=False) == start.storage.get(slot, 0)
            assert flat.get_transient(address, slot) == self.transient.get((address, slot), b"")
            assert flat.is_storage_warm(address, slot) == ((address, slot) in self.warm)

    @invariant()
    def accounts_agree(self) -> None:
        flat = self.flat
        for address in ADDRESSES:
            account = self.world.get(address)
            assert flat.account_exists(address) == (account is not None)
            account = account or NaiveAccount()
            assert flat.get_balance(address) == account.balance
            assert flat.get_nonce(address) == account.nonce
            assert flat.account_is_empty(address) == account.is_empty

    @rule(address=addresses)
    def collide(self, address: Address) -> None:
        """EIP-684 and 7610. The root of before the block counts as storage, even if the block has cleared all slots."""
        account = self.world.get(address, NaiveAccount())
        answer = self.flat.account_has_code_or_nonce(address)
        if account.nonce or account.code or any(account.storage.values()):
            assert answer
        elif address not in self.committed or not any(self.committed[address].storage.values()):
            assert not answer

    # -- ends ----------------------------------------------------------------------------------------------------
    @rule(destroyed=st.none() | addresses)
    def end_transaction(self, destroyed: Address | None) -> None:
        if destroyed in self.world and not self.world[destroyed].is_empty:
            self.flat.delete_account(destroyed)
            del self.world[destroyed]
        self.flat.delete_empty_touched_accounts()
        for address in self.touched:
            if address in self.world and self.world[address].is_empty:
                del self.world[address]
        self.begin_transaction()

    @rule(address=addresses, changes=steps, blocks_between=st.booleans())
    def destroy_and_create_again(self, address: Address, changes: list[tuple[int, int]], blocks_between: bool) -> None:
        """What was known of an account's storage must not outlive it."""
        if not blocks_between:
            self.read(address)
        self.end_transaction(address)
        if blocks_between:
            self.end_block(keep=1, forget=False)
        self.run_contract(address, changes)
        self.read(address)

    @rule(keep=st.integers(0, 3), forget=st.booleans())
    def end_block(self, keep: int, forget: bool) -> None:
        self.end_transaction(None)
        before = {key: self.store.get(key) for key in self.all_keys()}
        changes = self.flat.compute_changes(self.root)
        assert changes.state_root == naive_root(self.world)
        if keep:
            self.store.write(changes.writes, sync=False)
            self.cache.absorb(changes.seen)
            assert without_code(self.store) == fresh_contents(self.world)
            for key in {*before, *self.all_keys()}:
                if key[:1] in (b"a", b"s"):
                    assert before.get(key) == changes.undo.get(key, self.store.get(key)), "undo records the past"
            self.root = changes.state_root
            self.committed = self.world
            self.check_readers()
        if forget:
            self.cache.clear()
        self.begin_block()

    def all_keys(self) -> list[bytes]:
        return [key for key, _ in self.store.iterate(b"", b"\xff")]

    def check_readers(self) -> None:
        for address in ADDRESSES:
            account = self.committed.get(address)
            found = read_account(self.store, address)
            assert (found is None) == (account is None)
            if account is not None:
                assert read_code(self.store, address) == account.code
                assert [read_slot(self.store, address, slot) for slot in SLOTS] == [
                    account.storage.get(slot, 0) for slot in SLOTS
                ]


TestFlatState = FlatStateMachine.TestCase
TestFlatState.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


def test_accounts_are_encoded_as_the_state_trie_holds_them() -> None:
    account = (7, 2**200, EMPTY_CODE_HASH, EMPTY_TRIE_ROOT)
    assert encode_account(account) == rlp.encode([7, 2**200, EMPTY_TRIE_ROOT, EMPTY_CODE_HASH])
    assert decode_account(encode_account(account)) == account


def test_rewind_forgets_what_was_done_and_keeps_what_was_read() -> None:
    store = MemoryKV()
    store.write(create_state({ADDRESSES[0]: GenesisAccount(5, 1, b"\0", ((1, 9),))}).writes, sync=False)
    flat = FlatState(store)
    assert flat.get_storage(ADDRESSES[0], 1) == 9
    flat.set_storage(ADDRESSES[0], 1, 2)
    flat.set_balance(ADDRESSES[1], 3)
    flat.set_code(ADDRESSES[1], b"\1")
    flat.mark_address_warm(ADDRESSES[2])
    flat.rewind()
    assert flat.get_storage(ADDRESSES[0], 1) == 9
    assert not flat.account_exists(ADDRESSES[1])
    assert not flat.warm
    changes = flat.compute_changes(EMPTY_TRIE_ROOT)
    assert (changes.writes, changes.undo) == ([], {})


def test_code_is_cached_by_hash_and_bounded() -> None:
    cache = CodeCache()
    cache.put(keccak(b"code"), b"code")
    assert cache.get(keccak(b"code")) == b"code"
    for n in range(70):
        cache.put(keccak(bytes([n])), bytes(1024 * 1024))
    assert sum(len(code) for code in cache._codes.values()) <= 65 * 1024 * 1024
