"""The chain over its store: execution leaves no trace, commit moves everything at once, and going back works."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmchain.chain.blockchain import MAX_BLOCK_BYTES, Blockchain
from dmchain.chain.executor import AccountEdit
from dmchain.chain.genesis import Genesis, GenesisAccount
from dmchain.chain.primitives.block import Block, Withdrawal
from dmchain.chain.primitives.errors import InvalidBlock, InvariantBroken, StorageError
from dmchain.chain.primitives.transaction import Transaction
from dmchain.chain.primitives.types import Address
from dmchain.chain.rules import Rules
from dmchain.chain.store import schema
from dmchain.chain.store.history import StateUnavailable
from dmchain.chain.store.kv import MemoryKV
from dmchain.chain.store.leveldb import LevelKV
from dmchain.marketplace_vm.executor import NativeExecutor
from dmchain.marketplace_vm.state import read_account, read_slot
from tests.chain.small_chain import (
    ALLOC,
    CHAIN_ID,
    COUNTER,
    GENESIS,
    KEYS,
    Queue,
    build,
    counting,
    extend,
    open_chain,
    plan_after,
    transaction,
)


def contents(chain: Blockchain) -> dict[bytes, bytes]:
    return dict(chain.store.iterate(b"", b"\xff"))


def copy_of(block: Block) -> Block:
    """What arrives over the network."""
    return Block.decode(block.encode())


# ---------------------------------------------------------------- two nodes


def test_a_block_built_by_one_node_is_executed_and_stored_alike_by_another() -> None:
    proposer, follower = open_chain(), open_chain()
    for number in range(5):
        executed = build(proposer, [counting(KEYS[0], number, 2), transaction(KEYS[1], number, to=b"\x11" * 20)])
        assert len(executed.receipts) == 2
        again = follower.execute(copy_of(executed.block))
        assert again.receipts == executed.receipts
        proposer.commit(executed, b"r")
        follower.commit(again, b"r")
        assert contents(proposer) == contents(follower)


def test_candidates_that_are_never_decided_leave_no_trace() -> None:
    clean, busy = open_chain(), open_chain()
    for number in range(4):
        executed = build(clean, [counting(KEYS[0], number, number)])
        for other in range(3):
            build(busy, [counting(KEYS[2], other, 9), transaction(KEYS[3], other, to=b"", data=b"\x5f\x5f\xf3")])
            build(busy, [counting(KEYS[0], number, 7), counting(KEYS[0], number + 1, 8)])
        before = contents(busy)
        mine = busy.execute(copy_of(executed.block))
        assert contents(busy) == before
        clean.commit(executed)
        busy.commit(mine)
        assert contents(clean) == contents(busy)


def test_a_candidate_of_a_height_that_was_decided_cannot_be_committed() -> None:
    chain = open_chain()
    first, second = build(chain, [counting(KEYS[0], 0, 1)]), build(chain, [counting(KEYS[1], 0, 1)])
    chain.commit(first)
    for late in (second, first):
        before = contents(chain)
        with pytest.raises(InvariantBroken, match="the head is"):
            chain.commit(late)
        assert contents(chain) == before


# ---------------------------------------------------------------- refusals


def refuse(chain: Blockchain, block: Block, text: str) -> None:
    before = contents(chain)
    with pytest.raises(InvalidBlock, match=text):
        chain.execute(block)
    assert contents(chain) == before


def test_a_block_whose_header_lies_about_the_result_is_refused_by_field() -> None:
    chain = open_chain()
    block = build(chain, [counting(KEYS[0], 0, 1)]).block
    for field in ("state_root", "transactions_root", "receipts_root", "bloom", "gas_used"):
        value = getattr(block.header, field)
        wrong: Any = value + 1 if isinstance(value, int) else bytes([value[0] ^ 1]) + value[1:]
        refuse(chain, Block(block.header.replace(**{field: wrong}), block.transactions), f"^{field}: got")


def test_a_transaction_that_is_refused_makes_the_block_invalid() -> None:
    chain = open_chain()
    block = build(chain, [counting(KEYS[0], 0, 1)]).block
    early = Block(block.header, (counting(KEYS[0], 1, 1),))
    refuse(chain, early, r"^transaction 0 \(0x[0-9a-f]{64}\): nonce too high")
    twice = Block(block.header, (*block.transactions, *block.transactions))
    refuse(chain, twice, r"^transaction 1 .*nonce too low")


def test_a_transaction_that_nobody_signed_makes_the_block_invalid() -> None:
    chain = open_chain()
    block = build(chain, [counting(KEYS[0], 0, 1)]).block
    raw = block.transactions[0].raw
    unsigned = Transaction.decode(raw[:-33] + b"\xa0" + b"\xff" * 32)
    refuse(chain, Block(block.header, (unsigned,)), r"^transaction 0 .*signature")


def test_withdrawals_are_refused_where_the_rules_have_none() -> None:
    chain = open_chain()
    block = build(chain).block
    refuse(chain, Block(block.header, (), (Withdrawal(0, 0, COUNTER, 1),)), "^withdrawals: got 1, expected none")
    refuse(chain, Block(block.header, (), None), "^withdrawals: missing")


# ---------------------------------------------------------------- building


def test_what_cannot_go_into_a_block_is_left_out_and_told() -> None:
    chain = open_chain()
    good, gap, after = counting(KEYS[0], 0, 1), counting(KEYS[1], 5, 1), counting(KEYS[0], 1, 1)
    source = Queue([good, gap, after])
    executed = chain.build(plan_after(chain), source, stop=lambda: False)
    assert source.taken == [good, after]
    assert [tx for tx, _ in source.refused] == [gap]
    assert executed.block.transactions == (good, after)


def test_building_ends_when_time_is_up() -> None:
    chain = open_chain()
    looks = iter([False, False, True])
    executed = chain.build(
        plan_after(chain), Queue(counting(KEYS[0], n, 1) for n in range(9)), stop=lambda: next(looks)
    )
    assert len(executed.block.transactions) == 2


def test_a_block_is_never_larger_than_the_network_carries() -> None:
    chain = open_chain(genesis=Genesis(Rules(CHAIN_ID), ALLOC, gas_limit=2 * 10**9, timestamp=1_000))
    many = (transaction(KEYS[n % 4], n // 4, to=b"\x11" * 20, gas=12_000_000, data=bytes(440_000)) for n in range(12))
    executed = build(chain, many, gas_limit=2 * 10**9)
    assert 7 <= len(executed.block.transactions) <= 8
    assert sum(len(tx.raw) for tx in executed.block.transactions) <= MAX_BLOCK_BYTES


def test_the_gas_limit_moves_by_a_1024th_at_most() -> None:
    chain = open_chain()
    assert build(chain, gas_limit=60_000_000).block.header.gas_limit == 30_000_000 + 30_000_000 // 1024 - 1
    assert build(chain, gas_limit=0).block.header.gas_limit == 30_000_000 - 30_000_000 // 1024 + 1


def test_a_block_knows_its_ancestors() -> None:
    chain = open_chain()
    extend(chain, 3)
    environment = chain.environment(plan_after(chain))
    assert environment.block_hash(3) == chain.head.hash
    assert environment.block_hash(0) == chain.genesis_header.hash
    assert environment.block_hash(4) is None


# ---------------------------------------------------------------- the store


@pytest.mark.parametrize("kind", ["memory", "leveldb"])
def test_reopening_gives_the_same_head_and_goes_on_alike(kind: str, tmp_path: Path) -> None:
    other = open_chain()
    store: Any = MemoryKV() if kind == "memory" else LevelKV(tmp_path / "db")
    chain = open_chain(store)
    extend(chain, 3)
    extend(other, 3)
    if kind == "leveldb":
        store.close()
        store = LevelKV(tmp_path / "db")
    chain = open_chain(store)
    assert chain.head == other.head
    assert chain.environment(plan_after(chain)).block_hash(2) is not None
    extend(chain, 2, nonce=3)
    extend(other, 2, nonce=3)
    assert contents(chain) == contents(other)
    store.close()


def test_another_chains_database_is_refused() -> None:
    store = MemoryKV()
    open_chain(store)
    with pytest.raises(StorageError, match=r"^genesis: the database belongs to 0x") as caught:
        open_chain(store, Genesis(Rules(CHAIN_ID), {**ALLOC, COUNTER: GenesisAccount(1)}))
    assert caught.value.hint is not None


def test_another_releases_database_is_refused() -> None:
    store = MemoryKV()
    open_chain(store)
    store.write([(schema.META_VERSION, (99).to_bytes(4, "big"))], sync=True)
    with pytest.raises(StorageError, match="got version 99"):
        open_chain(store)


def test_a_database_without_its_head_stops_the_node() -> None:
    store = MemoryKV()
    open_chain(store)
    store.write([(schema.header_key(0), None)], sync=True)
    with pytest.raises(InvariantBroken, match="header of the head"):
        open_chain(store)


def test_a_view_does_not_move() -> None:
    chain = open_chain()
    extend(chain, 2)
    view = chain.view
    extend(chain, 2, nonce=2)
    assert view.head.number == 2
    assert view.blocks.header(3) is None
    assert read_slot(view.state(2), COUNTER, 0) == 2
    assert read_slot(chain.view.state(4), COUNTER, 0) == 4


@pytest.mark.parametrize("archive", [False, True])
def test_states_of_the_past_can_be_read(archive: bool) -> None:
    chain = open_chain(history_window=3, archive=archive)
    balances = [read_account(chain.store, KEYS[0].address)]
    for number in range(8):
        extend(chain, 1, nonce=number)
        balances.append(read_account(chain.store, KEYS[0].address))
    view = chain.view
    oldest = view.history.oldest()
    assert oldest == (0 if archive else 5)
    for height in range(9):
        if height < oldest:
            with pytest.raises(StateUnavailable):
                view.state(height)
        else:
            assert read_account(view.state(height), KEYS[0].address) == balances[height]
            assert read_slot(view.state(height), COUNTER, 0) == height


def test_an_archive_can_be_ended_and_begun_again() -> None:
    store = MemoryKV()
    chain = open_chain(store, archive=True, history_window=2)
    extend(chain, 3)
    chain = open_chain(store, history_window=2)
    extend(chain, 4, nonce=3)
    assert chain.view.history.oldest() >= 4
    chain = open_chain(store, archive=True, history_window=2)
    extend(chain, 3, nonce=7)
    for height in range(7, 11):
        assert read_slot(chain.view.state(height), COUNTER, 0) == height


def test_a_narrower_window_forgets_at_once_what_it_does_not_cover() -> None:
    store = MemoryKV()
    extend(open_chain(store, history_window=6), 8)
    chain = open_chain(store, history_window=2)
    extend(chain, 1, nonce=8)
    assert chain.view.history.oldest() == 7
    assert read_slot(chain.view.state(7), COUNTER, 0) == 7


# ---------------------------------------------------------------- a devnet's privileges


@given(
    before=st.integers(0, 4),
    above=st.integers(0, 4),
    archive=st.booleans(),
    edited=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_rolling_back_restores_the_store_byte_for_byte(before: int, above: int, archive: bool, edited: bool) -> None:
    chain = open_chain(archive=archive)
    extend(chain, before)
    then = contents(chain)
    edits = []
    if edited:
        address = Address(b"\x42" * 20)
        edits.append(chain.edit_state({address: AccountEdit(balance=5, code=b"\x00", storage={1: 2})}))
        edits.append(chain.edit_state({address: AccountEdit(nonce=7, storage={1: 0}), COUNTER: AccountEdit(balance=1)}))
    extend(chain, above, nonce=before)
    chain.rollback(before, edits)
    now = contents(chain)
    left = {key: value for key, value in now.items() if then.get(key) != value}
    gone = [key for key in then if key not in now]
    assert not gone
    assert all(key[:1] in (b"c", b"d", b"e") for key in left), "only code, and the records of the edits, may stay"
    assert chain.state_root == chain.head.state_root
    other = open_chain(archive=archive)
    extend(other, before + 2)
    extend(chain, 2, nonce=before)
    assert chain.head.hash == other.head.hash


def test_an_edit_is_seen_by_the_next_block_and_not_by_the_past() -> None:
    chain = open_chain()
    extend(chain, 2)
    rich = Address(b"\x42" * 20)
    chain.edit_state({rich: AccountEdit(balance=77)})
    assert (read_account(chain.store, rich) or (0, 0))[1] == 77
    assert read_account(chain.view.state(1), rich) is None
    extend(chain, 1, nonce=2)
    assert chain.state_root == chain.head.state_root
    assert (read_account(chain.view.state(3), rich) or (0, 0))[1] == 77
    assert (read_account(chain.view.state(2), rich) or (0, 0))[1] == 77
    reopened = open_chain(chain.store)
    assert reopened.state_root == chain.state_root


def test_an_edited_state_survives_reopening() -> None:
    chain = open_chain()
    extend(chain, 1)
    chain.edit_state({KEYS[3].address: AccountEdit(nonce=9)})
    reopened = open_chain(chain.store)
    assert reopened.state_root == chain.state_root != reopened.head.state_root
    executed = build(reopened, [counting(KEYS[3], 9, 1)])
    assert len(executed.receipts) == 1


def test_going_back_further_than_the_window_is_refused() -> None:
    chain = open_chain(history_window=2)
    extend(chain, 6)
    before = contents(chain)
    with pytest.raises(StorageError, match="undo record of block 4 is not kept"):
        chain.rollback(2)
    assert contents(chain) == before


def test_the_executor_is_told_what_happened() -> None:
    class Listening(NativeExecutor):
        def __init__(self) -> None:
            super().__init__(GENESIS.rules)
            self.heard: list[str] = []

        def committed(self, changes: Any) -> None:
            super().committed(changes)
            self.heard.append("committed")

        def reset(self) -> None:
            super().reset()
            self.heard.append("reset")

    executor = Listening()
    chain = Blockchain(MemoryKV(), GENESIS, executor)
    build(chain)
    extend(chain, 1)
    chain.rollback(0)
    assert executor.heard == ["committed", "reset"]
