"""A reply holds what was asked for, as far as it is there and fits."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from dmchain.chain.consensus.body import Body, Facts, Stored
from dmchain.chain.consensus.commit import Commit
from dmchain.chain.consensus.record import Record
from dmchain.chain.primitives.block import Block
from dmchain.chain.primitives.crypto import PrivateKey
from dmchain.chain.primitives.transaction import DYNAMIC_FEE, LEGACY, UnsignedTransaction, sign_transaction
from dmchain.chain.store.blocks import BlockReader, block_writes
from dmchain.chain.store.kv import MemoryKV
from dmchain.chain.sync.serving import read_wire, select_blocks
from dmchain.chain.sync.verify import WireBlock
from tests.chain.small_chain import open_chain

KEY = PrivateKey(b"\7" * 32)


def unsigned(kind: int) -> UnsignedTransaction:
    return UnsignedTransaction(kind, 1, 0, 21_000, 10, 10, KEY.address, 1)


def replace_number(block: Block, number: int) -> Block:
    return replace(block, header=replace(block.header, number=number))


def blocks_of(sizes: list[int]) -> dict[int, WireBlock]:
    return {height: WireBlock(bytes(size), b"c") for height, size in enumerate(sizes, 1)}


@given(sizes=st.lists(st.integers(1, 50), max_size=30), start=st.integers(0, 40), count=st.integers(0, 40))
def test_replies_are_consecutive_and_bounded(sizes: list[int], start: int, count: int) -> None:
    have = blocks_of(sizes)
    reply = select_blocks(have.get, start, count, max_blocks=20, max_bytes=100)
    assert list(reply) == [have[height] for height in range(start, start + len(reply))]
    assert len(reply) <= min(count, 20)
    assert len(reply) <= 1 or sum(block.size for block in reply) <= 100
    following = have.get(start + len(reply))
    if len(reply) < min(count, 20) and following is not None:
        assert reply and sum(block.size for block in (*reply, following)) > 100


def test_what_is_stored_goes_out_as_it_was_decided() -> None:
    """Legacy transactions as lists, typed ones as strings, and the commit that the node itself has seen."""
    block = Block(
        replace(open_chain().genesis_header, number=3),
        tuple([sign_transaction(unsigned(kind), KEY) for kind in (LEGACY, DYNAMIC_FEE, LEGACY)]),
        (),
    )
    facts = Facts(Record(chain_id=1, height=3, timestamp_ms=5, proposer=KEY.address))
    commit = Commit(3, 0, block.hash, (bytes(65), None))
    store = MemoryKV()
    store.write(block_writes(block, (), Stored(facts, commit).encode()), sync=True)
    store.write(block_writes(replace_number(block, 4), (), Stored(facts).encode()), sync=True)
    reader = BlockReader(store)
    assert reader.encoded(3) == block.encode()
    assert read_wire(reader, 3) == WireBlock(Body(block, facts).encode(), commit.encode())
    assert read_wire(reader, 4) is None  # no commit
    assert read_wire(reader, 5) is None


def test_a_block_above_the_limit_goes_alone() -> None:
    have = blocks_of([500, 1])
    assert select_blocks(have.get, 1, 2, max_bytes=100) == (have[1],)


def test_no_more_is_read_than_is_sent_and_one() -> None:
    have = blocks_of([40] * 50)
    read = []

    def get(height: int) -> WireBlock | None:
        read.append(height)
        return have.get(height)

    assert len(select_blocks(get, 1, 50, max_bytes=100)) == 2
    assert read == [1, 2, 3]
