"""Blocks go into the store and come out as they were, and the indexes find them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmchain.chain.primitives.block import Block, Log, Receipt, Withdrawal, compute_bloom
from dmchain.chain.primitives.errors import DecodeError, StorageError
from dmchain.chain.primitives.transaction import Transaction
from dmchain.chain.primitives.types import Address, Hash32
from dmchain.chain.store import schema
from dmchain.chain.store.blocks import (
    KIND_ADDRESS,
    KIND_TOPIC,
    BlockReader,
    block_writes,
    decode_undo,
    open_schema,
    unindex_writes,
)
from dmchain.chain.store.kv import MemoryKV
from dmchain.chain.store.recent import RecentBlocks
from tests.chain.small_chain import KEYS, open_chain, transaction

HEADER = open_chain().genesis_header
addresses = st.sampled_from([Address(bytes([n]) * 20) for n in range(1, 5)])
topics = st.sampled_from([Hash32(bytes([n]) * 32) for n in range(1, 5)])
logs = st.builds(Log, addresses, st.lists(topics, max_size=4).map(tuple), st.binary(max_size=40))


@st.composite
def blocks(draw: st.DrawFn) -> tuple[Block, tuple[Receipt, ...]]:
    height = draw(st.integers(1, 2**64 - 1))
    count = draw(st.integers(0, 4))
    types = [draw(st.sampled_from([0, 1, 2])) for _ in range(count)]
    transactions = tuple(
        transaction(KEYS[n % 4], n, type=type_, data=draw(st.binary(max_size=9))) for n, type_ in enumerate(types)
    )
    receipts = []
    for index, type_ in enumerate(types):
        entries = tuple(draw(st.lists(logs, max_size=3)))
        contract = draw(st.none() | addresses)
        price, gas = draw(st.integers(0, 2**128)), draw(st.integers(0, 2**40))
        receipts.append(
            Receipt(
                type_, draw(st.integers(0, 1)), 21_000 * index, compute_bloom(entries), entries, gas, price, contract
            )
        )
    withdrawals: Any = draw(
        st.none()
        | st.lists(
            st.builds(Withdrawal, st.integers(0, 9), st.integers(0, 9), addresses, st.integers(0, 2**64 - 1))
        ).map(tuple)
    )
    return Block(HEADER.replace(number=height), transactions, withdrawals), tuple(receipts)


@given(blocks(), st.binary(max_size=20), st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_block_comes_out_as_it_went_in(made: tuple[Block, tuple[Receipt, ...]], record: bytes, cached: bool) -> None:
    block, receipts = made
    store = MemoryKV()
    store.write(block_writes(block, receipts, record), sync=False)
    reader = BlockReader(store, RecentBlocks() if cached else None)
    height = block.number
    for _ in range(2):
        assert reader.head_height() == height
        assert reader.header(height) == block.header
        assert reader.block(height) == block
        assert reader.receipts(height) == receipts
        body = reader.body(height)
        assert body is not None
        assert (body.transactions(), body.withdrawals) == (block.transactions, block.withdrawals)
        assert reader.record(height) == record
        assert reader.height_of(block.hash) == height
        for index, tx in enumerate(block.transactions):
            assert reader.find_transaction(tx.hash) == (height, index)


@given(st.lists(blocks(), max_size=6, unique_by=lambda made: made[0].number), addresses, topics)
@settings(max_examples=60, deadline=None)
def test_the_log_index_finds_every_block_with_an_address_or_first_topic(
    made: list[tuple[Block, tuple[Receipt, ...]]], address: Address, topic: Hash32
) -> None:
    store = MemoryKV()
    for block, receipts in made:
        store.write(block_writes(block, receipts, b""), sync=False)
    reader = BlockReader(store)
    with_address, with_topic = [], []
    for block, receipts in sorted(made, key=lambda entry: entry[0].number):
        entries = [log for receipt in receipts for log in receipt.logs]
        if any(log.address == address for log in entries):
            with_address.append(block.number)
        if any(log.topics[:1] == (topic,) for log in entries):
            with_topic.append(block.number)
    assert list(reader.heights_with(KIND_ADDRESS, address, 0, 2**64 - 2)) == [n for n in with_address if n < 2**64 - 1]
    assert list(reader.heights_with(KIND_TOPIC, topic, 0, 2**64 - 2)) == [n for n in with_topic if n < 2**64 - 1]
    if with_address:
        middle = with_address[len(with_address) // 2]
        if middle < 2**64 - 1:
            assert list(reader.heights_with(KIND_ADDRESS, address, middle, middle)) == [middle]


@given(blocks(), blocks())
@settings(max_examples=40, deadline=None)
def test_unindexing_takes_out_all_that_a_block_brought(
    first: tuple[Block, tuple[Receipt, ...]], second: tuple[Block, tuple[Receipt, ...]]
) -> None:
    (block, receipts), (other, _) = first, second
    if block.number == other.number:
        return
    store = MemoryKV()
    store.write(block_writes(block, receipts, b"r"), sync=False)
    store.write(unindex_writes(block, receipts), sync=False)
    assert [key for key, _ in store.iterate(b"", b"\xff")] == [schema.META_HEAD]


def test_what_is_not_there_is_none() -> None:
    reader = BlockReader(MemoryKV(), RecentBlocks())
    assert reader.head_height() is None
    for height in (-1, 0, 5, 2**64):
        assert reader.header(height) is None
    for height in (0, 5):
        assert reader.block(height) is None
        assert reader.body(height) is None
        assert reader.receipts(height) is None
        assert reader.record(height) is None
    assert reader.height_of(b"\0" * 32) is None
    assert reader.find_transaction(b"\0" * 32) is None


def test_damaged_values_are_our_errors() -> None:
    store = MemoryKV()
    block = Block(HEADER.replace(number=1), (transaction(KEYS[0], 0),))
    store.write(block_writes(block, (), b""), sync=False)
    for key in (schema.header_key(1), schema.body_key(1), schema.receipts_key(1)):
        store.write([(key, b"\xc1")], sync=False)
    reader = BlockReader(store)
    for read in (reader.header, reader.block, reader.body, reader.receipts):
        with pytest.raises(DecodeError):
            read(1)
    with pytest.raises(DecodeError):
        decode_undo(b"\xc2\xc1\x01")


def test_height_order_is_key_order() -> None:
    keys = [schema.header_key(height) for height in (0, 1, 2, 9, 10, 255, 256, 2**32, 2**63)]
    assert keys == sorted(keys)


def test_an_empty_store_belongs_to_any_chain() -> None:
    open_schema(MemoryKV(), Hash32(b"\1" * 32))


def test_the_schema_says_what_differs() -> None:
    store = MemoryKV()
    store.write([(schema.META_VERSION, (7).to_bytes(4, "big"))], sync=False)
    with pytest.raises(StorageError, match="got version 7, expected") as caught:
        open_schema(store, Hash32(b"\1" * 32))
    assert "export" in (caught.value.hint or "")


def test_transactions_are_decoded_on_reading_as_they_were_signed() -> None:
    tx = transaction(KEYS[0], 3)
    store = MemoryKV()
    store.write(block_writes(Block(HEADER, (tx,)), (), b""), sync=False)
    body = BlockReader(store).body(0)
    assert body is not None
    assert body.raw_transactions == (tx.raw,)
    assert Transaction.decode(body.raw_transactions[0]).sender == KEYS[0].address
