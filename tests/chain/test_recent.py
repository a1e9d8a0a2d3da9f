"""Decoded blocks kept for readers: never another block's, never more than the budget, the same as decoding again."""

from __future__ import annotations

from dmchain.chain.primitives.block import (
    EMPTY_BLOOM,
    EMPTY_OMMERS_HASH,
    EMPTY_REQUESTS_HASH,
    EMPTY_TRIE_ROOT,
    Block,
    Header,
    Log,
    Receipt,
)
from dmchain.chain.primitives.crypto import PrivateKey
from dmchain.chain.primitives.transaction import UnsignedTransaction, sign_transaction
from dmchain.chain.primitives.types import ZERO_ADDRESS, ZERO_HASH, Address
from dmchain.chain.store.blocks import BlockReader, block_writes
from dmchain.chain.store.kv import MemoryKV
from dmchain.chain.store.recent import TRANSACTION_BYTES, RecentBlocks

KEY = PrivateKey(b"\x01" * 32)


def make_header(number: int, timestamp: int = 0) -> Header:
    return Header(
        parent_hash=ZERO_HASH, ommers_hash=EMPTY_OMMERS_HASH, coinbase=ZERO_ADDRESS, state_root=EMPTY_TRIE_ROOT,
        transactions_root=EMPTY_TRIE_ROOT, receipts_root=EMPTY_TRIE_ROOT, bloom=EMPTY_BLOOM, difficulty=0,
        number=number, gas_limit=10**7, gas_used=0, timestamp=timestamp, extra_data=b"", prev_randao=ZERO_HASH,
        nonce=bytes(8), base_fee_per_gas=7, withdrawals_root=EMPTY_TRIE_ROOT, blob_gas_used=0, excess_blob_gas=0,
        parent_beacon_block_root=ZERO_HASH, requests_hash=EMPTY_REQUESTS_HASH,
    )  # fmt: skip


def make_block(number: int, transactions: int = 2, timestamp: int = 0) -> tuple[Block, tuple[Receipt, ...]]:
    signed = [
        sign_transaction(
            UnsignedTransaction(
                type=2, chain_id=1, nonce=i, gas=21_000, max_fee_per_gas=9, to=Address(b"\x02" * 20), value=number
            ),
            KEY,
        )
        for i in range(transactions)
    ]
    log = Log(Address(b"\x03" * 20), (b"\x04" * 32,), b"data")
    receipts = tuple(
        Receipt(
            type=2, status=1, cumulative_gas_used=21_000 * (i + 1), bloom=EMPTY_BLOOM, logs=(log,), gas_used=21_000,
            effective_gas_price=7, contract_address=None,
        )
        for i in range(transactions)
    )  # fmt: skip
    return Block(make_header(number, timestamp), tuple(signed), ()), receipts


def test_reading_through_gives_what_decoding_gives() -> None:
    store = MemoryKV()
    block, receipts = make_block(1)
    store.write(block_writes(block, receipts, b""), sync=False)
    plain, kept = BlockReader(store), BlockReader(store, RecentBlocks())
    for _ in range(2):
        assert kept.header(1) == plain.header(1) == block.header
        assert kept.receipts(1) == plain.receipts(1)
        assert kept.body(1) == plain.body(1)
        found = kept.block(1)
        assert found is not None and found.encode() == block.encode()
    assert kept.block(1) is kept.block(1)
    assert kept.block(2) is None and kept.receipts(2) is None and kept.header(-1) is None


def test_block_of_another_header_is_not_seen() -> None:
    """After a block was taken back and another made at its height."""
    store, recent = MemoryKV(), RecentBlocks()
    first, receipts = make_block(1, timestamp=1)
    second, _ = make_block(1, transactions=1, timestamp=2)
    recent.add(first.header.encode(), first, receipts)
    store.write(block_writes(second, receipts[:1], b""), sync=False)
    found = BlockReader(store, recent).block(1)
    assert found is not None and found.hash == second.hash and len(found.transactions) == 1


def test_memory_is_bounded_and_the_least_used_goes() -> None:
    recent = RecentBlocks(max_bytes=TRANSACTION_BYTES * 12)
    blocks = [make_block(number) for number in range(6)]
    for block, receipts in blocks:
        recent.add(block.header.encode(), block, receipts)
        assert recent.get(0, blocks[0][0].header.encode()) is not None
    kept = [n for n, (block, _) in enumerate(blocks) if recent.get(n, block.header.encode())]
    assert kept == [0, *range(6 - len(kept) + 1, 6)] and 2 <= len(kept) < 6


def test_a_block_above_the_budget_is_not_kept() -> None:
    recent = RecentBlocks(max_bytes=TRANSACTION_BYTES)
    block, receipts = make_block(1)
    recent.add(block.header.encode(), block, receipts)
    assert recent.get(1, block.header.encode()) is None
