"""Headers, receipts, blocks: byte for byte Ethereum's."""

from __future__ import annotations

from typing import Any

import pytest
import rlp
from eth.rlp.logs import Log as OtherLog
from eth.vm.forks.prague.blocks import PragueBlock, PragueBlockHeader
from eth_bloom import BloomFilter
from hypothesis import given, settings
from hypothesis import strategies as st

from dmchain.chain.primitives.block import Block, Header, Log, Receipt, Withdrawal, bloom_bits, compute_bloom
from dmchain.chain.primitives.codec import decode, encode
from dmchain.chain.primitives.errors import DecodeError, DmchainError
from tests.chain.primitives.test_transaction import sample

hashes = st.binary(min_size=32, max_size=32)
addresses = st.binary(min_size=20, max_size=20)
uint64 = st.integers(0, 2**64 - 1)
logs = st.builds(Log, addresses, st.lists(hashes, max_size=4).map(tuple), st.binary(max_size=80))


def make_header(**changes: Any) -> Header:
    zero = bytes(32)
    values: dict[str, Any] = {
        "parent_hash": b"\1" * 32, "ommers_hash": b"\2" * 32, "coinbase": b"\3" * 20, "state_root": b"\4" * 32,
        "transactions_root": b"\5" * 32, "receipts_root": b"\6" * 32, "bloom": bytes(256), "difficulty": 0,
        "number": 9, "gas_limit": 30_000_000, "gas_used": 21_000, "timestamp": 1_700_000_000, "extra_data": b"x",
        "prev_randao": zero, "nonce": bytes(8), "base_fee_per_gas": 7, "withdrawals_root": zero, "blob_gas_used": 0,
        "excess_blob_gas": 0, "parent_beacon_block_root": zero, "requests_hash": zero,
    }  # fmt: skip
    return Header(**{**values, **changes})


@given(uint64, uint64, st.integers(0, 2**256 - 1), hashes, st.binary(max_size=32))
@settings(deadline=None)
def test_the_block_hash_is_py_evms(number: int, timestamp: int, fee: int, root: bytes, extra: bytes) -> None:
    header = make_header(number=number, timestamp=timestamp, base_fee_per_gas=fee, state_root=root, extra_data=extra)
    other = rlp.decode(header.encode(), PragueBlockHeader)
    assert header.hash == other.hash
    assert (other.block_number, other.timestamp, other.state_root) == (number, timestamp, root)
    assert Header.decode(header.encode()) == header


@pytest.mark.parametrize("count", range(15, 22))
def test_headers_of_earlier_forks_have_fewer_fields(count: int) -> None:
    fields = decode(make_header().encode())
    raw = encode(fields[:count])
    assert Header.decode(raw).encode() == raw


@pytest.mark.parametrize("count", [0, 14, 22])
def test_other_numbers_of_fields_are_refused(count: int) -> None:
    fields = [*decode(make_header().encode()), b""]
    with pytest.raises(DecodeError, match="header: expected 15 to 21 fields"):
        Header.decode(encode(fields[:count]))


@pytest.mark.parametrize("index", range(21))
def test_a_field_of_the_wrong_form_is_named(index: int) -> None:
    from dataclasses import fields as fields_of

    name = fields_of(Header)[index].name
    values = decode(make_header().encode())
    values[index] = [b""] if name == "extra_data" else b"\0" * 40  # type: ignore[index]
    with pytest.raises(DecodeError, match=name):
        Header.decode(encode(values))


@given(st.lists(logs, max_size=6))
def test_the_bloom_is_that_of_the_library(entries: list[Log]) -> None:
    bloom = BloomFilter()
    for log in entries:
        bloom.add(log.address)
        for topic in log.topics:
            bloom.add(topic)
    assert int.from_bytes(compute_bloom(entries), "big") == int(bloom)


@given(addresses)
def test_an_entry_sets_up_to_three_bits(entry: bytes) -> None:
    assert 1 <= bloom_bits(entry).bit_count() <= 3


@given(st.sampled_from([0, 1, 2, 4]), st.integers(0, 1), uint64, st.lists(logs, max_size=3).map(tuple), uint64)
def test_receipts_come_back_from_the_store(kind: int, status: int, gas: int, entries: Any, price: int) -> None:
    receipt = Receipt(kind, status, gas, compute_bloom(entries), entries, 21_000, price, None)
    assert Receipt.decode_stored(receipt.encode_stored()) == receipt


@given(st.lists(logs, max_size=3).map(tuple))
def test_the_consensus_form_of_a_receipt_is_py_evms(entries: Any) -> None:
    receipt = Receipt(2, 1, 50_000, compute_bloom(entries), entries, 50_000, 1, None)
    others = [OtherLog(log.address, [int.from_bytes(t, "big") for t in log.topics], log.data) for log in entries]
    assert receipt.encode() == b"\x02" + rlp.encode([b"\x01", 50_000, receipt.bloom, others])


def test_blocks_hold_every_transaction_type() -> None:
    transactions = tuple(sample(kind) for kind in (0, 1, 2, 4))
    withdrawals = (Withdrawal(1, 2, b"\7" * 20, 3),)  # type: ignore[arg-type]
    block = Block(make_header(), transactions, withdrawals)
    again = Block.decode(block.encode())
    assert again == block
    other = rlp.decode(block.encode(), PragueBlock)
    assert [tx.hash for tx in other.transactions] == [tx.hash for tx in transactions]
    assert other.hash == block.hash


@given(st.binary(max_size=120))
def test_arbitrary_bytes_are_no_crash(raw: bytes) -> None:
    try:
        Block.decode(raw)
    except DmchainError:
        pass


def test_ommers_are_refused() -> None:
    block = Block(make_header(), (), ())
    parts = decode(block.encode())
    with pytest.raises(DecodeError, match="ommers"):
        Block.decode(encode([parts[0], [], [parts[0]], []]))
