"""Journal records survive their bytes; a journal is the last record in it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmchain.chain.consensus.messages import SignRecord
from dmchain.chain.consensus.signrecord import (
    decode_record,
    encode_append,
    encode_owner,
    encode_record,
    encode_sign_from,
    replay,
)
from dmchain.chain.primitives.errors import DecodeError
from dmchain.chain.primitives.types import Address
from tests.chain.consensus.bench import Bench, block, block_hash
from tests.chain.consensus.strategies import sign_records

ME = Address(b"m" * 20)


@given(sign_records())
@settings(max_examples=200, deadline=None)
def test_a_record_survives_its_bytes(record: SignRecord) -> None:
    bodies = {candidate.hash: candidate.body for candidate in record.blocks}
    assert decode_record(encode_record(record), bodies) == record


@given(st.lists(sign_records(), min_size=1, max_size=4))
@settings(max_examples=50, deadline=None)
def test_a_journal_is_its_last_record_and_bodies_are_written_once(records: list[SignRecord]) -> None:
    payloads, written = [encode_owner(ME)], set()
    for record in records:
        payloads.append(encode_append(record, written))
        written.update(candidate.hash for candidate in record.blocks)
    state = replay(payloads)
    assert state.record == records[-1]
    assert set(state.bodies) == written
    again = encode_append(records[-1], written)
    assert len(again) == 3 + len(encode_record(records[-1]))


def test_a_journal_in_place_of_a_lost_one_says_when_to_sign() -> None:
    owner = encode_owner(ME, is_replacement=True)
    assert replay([encode_owner(ME)]).sign_from == 0
    assert replay([owner]).sign_from is None
    assert replay([owner, encode_sign_from(17)]).sign_from == 17
    assert replay([owner]).address == ME


@given(sign_records(), st.data())
@settings(max_examples=200, deadline=None)
def test_damaged_records_are_refused_or_others(record: SignRecord, data: st.DataObject) -> None:
    raw = bytearray(encode_record(record))
    bodies = {candidate.hash: candidate.body for candidate in record.blocks}
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    try:
        other = decode_record(bytes(raw), bodies)
    except DecodeError:
        return
    assert other != record


def test_a_record_whose_body_is_missing_is_refused() -> None:
    record = replace(_recorded(), blocks=(block("A"),))
    with pytest.raises(DecodeError, match=f"body of 0x{block_hash('A').hex()} is missing"):
        replay([encode_owner(ME), encode_append(record, {block_hash("A")})])


def _recorded() -> SignRecord:
    bench = Bench(0)
    bench.built("A", 0)
    return bench.records[-1]


@pytest.mark.parametrize(
    ("payloads", "reason"),
    [
        ([], "does not say whose it is"),
        ([b"\1abc"], "does not say whose it is"),
        ([b"\0\x09\0" + ME], "version: expected 1, got 9"),
        ([b"\0\1\2" + ME], "origin: expected 0 or 1, got 2"),
        ([encode_owner(ME), b"\x07"], "record with tag 07"),
        ([encode_owner(ME), b""], "record with tag nothing"),
    ],
)
def test_journals_of_another_form_are_refused(payloads: list[bytes], reason: str) -> None:
    with pytest.raises(DecodeError, match=reason):
        replay(payloads)
