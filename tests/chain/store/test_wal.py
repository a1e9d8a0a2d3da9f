"""Frames: every way an append can be cut short is recognised, and every damage to what was durable too."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmchain.chain.store.wal import (
    FRAME_OVERHEAD_BYTES,
    MAX_PAYLOAD_BYTES,
    SECTOR_BYTES,
    Tail,
    WalCorrupt,
    encode_frame,
    scan,
)

payload_lists = st.lists(st.binary(max_size=80), max_size=6)


def log_of(payloads: list[bytes]) -> bytes:
    return b"".join([encode_frame(at, payload) for at, payload in enumerate(payloads)])


@given(payload_lists)
def test_a_log_gives_back_its_records(payloads: list[bytes]) -> None:
    raw = log_of(payloads)
    found = scan(raw)
    assert (list(found.payloads), found.good_bytes, found.tail) == (payloads, len(raw), Tail.CLEAN)


@given(st.lists(st.binary(max_size=80), min_size=1, max_size=5), st.data())
@settings(max_examples=300)
def test_a_log_cut_anywhere_loses_only_the_record_under_the_cut(payloads: list[bytes], data: st.DataObject) -> None:
    raw = log_of(payloads)
    cut = data.draw(st.integers(0, len(raw)))
    found = scan(raw[:cut])
    assert list(found.payloads) == payloads[: len(found.payloads)]
    assert found.good_bytes == len(log_of(payloads[: len(found.payloads)]))
    assert (found.tail is Tail.CLEAN) == (found.good_bytes == cut)
    if len(found.payloads) < len(payloads):
        assert cut < len(log_of(payloads[: len(found.payloads) + 1]))


@given(st.integers(1, 40), st.integers(0, 5), st.data())
@settings(max_examples=200)
def test_sectors_that_were_never_written_are_a_torn_tail(size: int, before: int, data: st.DataObject) -> None:
    earlier = [bytes([at + 1]) * 100 for at in range(before)]
    last = b"\x5a" * (size * 100)
    raw, start = log_of([*earlier, last]), len(log_of(earlier))
    sectors = list(range(start // SECTOR_BYTES, (len(raw) - 1) // SECTOR_BYTES + 1))
    lost = data.draw(st.sets(st.sampled_from(sectors), min_size=1))
    torn = bytearray(raw)
    for sector in lost:
        begin, end = max(start, sector * SECTOR_BYTES), min(len(raw), (sector + 1) * SECTOR_BYTES)
        torn[begin:end] = bytes(end - begin)
    found = scan(bytes(torn))
    assert (list(found.payloads), found.good_bytes, found.tail) == (earlier, start, Tail.TORN)


@given(st.lists(st.binary(min_size=1, max_size=60).map(lambda raw: raw + b"\1"), min_size=1, max_size=5), st.data())
@settings(max_examples=400)
def test_a_flipped_bit_is_never_taken_for_a_torn_append(payloads: list[bytes], data: st.DataObject) -> None:
    raw = bytearray(log_of(payloads))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(WalCorrupt):
        scan(bytes(raw))


def test_damage_in_the_middle_and_at_the_end_are_told_apart() -> None:
    raw = bytearray(log_of([b"one", b"two", b"three"]))
    raw[FRAME_OVERHEAD_BYTES] ^= 1
    with pytest.raises(WalCorrupt, match="record 0 at byte 0 is damaged, and there are good ones after it"):
        scan(bytes(raw))
    raw = bytearray(log_of([b"one", b"two", b"three"]))
    raw[-1] ^= 1
    with pytest.raises(WalCorrupt, match="record 2 at byte 46, the last, is complete but damaged"):
        scan(bytes(raw))


def test_a_lost_or_swapped_record_is_damage() -> None:
    one, two, three = (encode_frame(at, b"x" * (at + 1)) for at in range(3))
    for raw in (one + three, two + one, one + one + two):
        with pytest.raises(WalCorrupt):
            scan(raw)


def test_a_torn_append_may_hold_bytes_that_look_like_a_frame() -> None:
    hostile = b"\1" * 100 + encode_frame(1, b"looks good") + b"\1" * 100
    raw = log_of([hostile])
    assert scan(raw[:-1]).tail is Tail.TORN


def test_garbage_after_the_end_is_damage_and_a_few_bytes_are_torn() -> None:
    raw = log_of([b"one"])
    assert scan(raw + b"abc").tail is Tail.TORN
    with pytest.raises(WalCorrupt):
        scan(raw + b"\xff" * 600)


@given(st.binary(max_size=200))
def test_any_bytes_end_in_a_scan_or_in_corruption(raw: bytes) -> None:
    try:
        found = scan(raw)
    except WalCorrupt:
        return
    assert found.good_bytes <= len(raw)


def test_the_bytes_of_a_frame() -> None:
    frame = encode_frame(7, b"hello")
    assert frame[:16].hex() == "d36d574c" + "00000005" + "00000007" + f"{zlib.crc32(b'hello'):08x}"
    assert frame[16:20] == zlib.crc32(frame[:16]).to_bytes(4, "big")
    with pytest.raises(ValueError, match="payload: expected at most"):
        encode_frame(0, bytes(MAX_PAYLOAD_BYTES + 1))
