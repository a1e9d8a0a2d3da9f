"""Frames: what comes back is what went in, and whatever else comes is refused without being kept."""

from __future__ import annotations

import random
import tracemalloc
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmchain.node.network.errors import ProtocolError
from dmchain.node.network.fields import Blob, Field, ListOf, Struct, Text, Uint
from dmchain.node.network.messages import (
    MESSAGE_TYPES,
    Blocks,
    BlockWithCommit,
    ConsensusMessage,
    Disconnect,
    GetBlocks,
    MessageType,
    Ping,
    Role,
    SnapshotChunk,
    TransactionHashes,
)
from dmchain.node.network.wire import LENGTH_BYTES, MAX_FRAME_BYTES, FrameDecoder, encode

ROWS = {row.number: row for row in MESSAGE_TYPES}


def values(field: Field) -> st.SearchStrategy[Any]:
    """What a field may hold, small."""
    match field:
        case Uint(maximum):
            return st.one_of(st.integers(0, min(maximum, 300)), st.just(maximum))
        case Blob(minimum, maximum):
            return st.binary(min_size=minimum, max_size=max(minimum, min(maximum, 50)))
        case Text(maximum):
            return st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=min(maximum, 20))
        case ListOf(item, minimum, maximum):
            return st.lists(values(item), min_size=minimum, max_size=min(maximum, minimum + 3)).map(tuple)
        case Struct(kind, fields):
            return st.builds(kind, *(values(each) for _, each in fields))
    raise AssertionError(field)


def messages(row: MessageType) -> st.SearchStrategy[Any]:
    return st.builds(row.kind, *(values(field) for _, field in row.fields))


def ids(row: MessageType) -> st.SearchStrategy[int]:
    return st.just(0) if row.role is Role.PUSH else st.one_of(st.integers(1, 300), st.integers(1, 2**32 - 1))


any_row = st.sampled_from(MESSAGE_TYPES)
any_frame = any_row.flatmap(lambda row: st.tuples(messages(row), ids(row)))


def expecting() -> FrameDecoder:
    return FrameDecoder(lambda _id: True)


def frame(*items: Any) -> bytes:
    """A frame of anything."""
    return with_length(msgpack.packb(list(items)))


def with_length(body: bytes) -> bytes:
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def refuse(data: bytes, match: str, decoder: FrameDecoder | None = None) -> None:
    decoder = decoder or expecting()
    decoder.receive_data(data)
    with pytest.raises(ProtocolError, match=match):
        decoder.next_frame()


@given(st.lists(any_frame, max_size=5), st.data())
def test_messages_come_back_whatever_the_fragments(sent: list[tuple[Any, int]], data: st.DataObject) -> None:
    stream = b"".join(encode(message, request_id) for message, request_id in sent)
    decoder, received, at = expecting(), [], 0
    while at < len(stream):
        size = data.draw(st.integers(1, 40))
        decoder.receive_data(stream[at : at + size])
        at += size
        while (got := decoder.next_frame()) is not None:
            received.append((got.message, got.request_id))
    assert received == sent
    assert decoder.buffered == 0


@settings(max_examples=300)
@given(st.binary(max_size=200), st.booleans(), any_row)
def test_garbage_is_refused_as_a_protocol_error(garbage: bytes, has_length: bool, row: MessageType) -> None:
    head = bytes((0x92 + len(row.fields), row.number, 0 if row.role is Role.PUSH else 1))
    for body in (garbage, head + garbage):
        decoder = expecting()
        decoder.receive_data(with_length(body) if has_length else body)
        try:
            while decoder.next_frame() is not None:
                pass
        except ProtocolError:
            pass


@settings(max_examples=300)
@given(any_frame, st.data())
def test_an_altered_frame_is_refused_or_still_well_formed(sent: tuple[Any, int], data: st.DataObject) -> None:
    altered = bytearray(encode(*sent))
    position = data.draw(st.integers(0, len(altered) - 1))
    altered[position] = data.draw(st.integers(0, 255))
    decoder = expecting()
    decoder.receive_data(bytes(altered))
    try:
        got = decoder.next_frame()
    except ProtocolError:
        return
    if got is not None:
        encode(got.message, got.request_id)  # what was taken can be said


@pytest.mark.parametrize("size", [0, 1, 2, MAX_FRAME_BYTES + 1, 2**32 - 1])
def test_impossible_lengths_are_refused_by_four_bytes(size: int) -> None:
    refuse(size.to_bytes(4, "big"), "frame: expected 3 to")


@pytest.mark.parametrize("row", MESSAGE_TYPES, ids=lambda row: row.kind.__name__)
def test_the_cap_of_a_type_is_checked_before_its_bytes_are_kept(row: MessageType) -> None:
    head = bytes((0x92 + len(row.fields), row.number, 0 if row.role is Role.PUSH else 1)) + bytes(4)
    if row.max_bytes < MAX_FRAME_BYTES:
        refuse((row.max_bytes + 1).to_bytes(4, "big") + head, f"expected at most {row.max_bytes} bytes")


def test_a_reply_to_nothing_is_refused_before_its_bytes_are_kept() -> None:
    decoder = FrameDecoder(lambda request_id: request_id == 7)
    reply = encode(SnapshotChunk(bytes(1000)), 8)
    refuse(reply[:11], "nobody asked", decoder)
    decoder = FrameDecoder(lambda request_id: request_id == 7)
    decoder.receive_data(encode(SnapshotChunk(bytes(1000)), 7))
    assert decoder.next_frame() is not None


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (frame(99, 0), "unknown message type 99"),
        (frame(2, 0), "Ping: request id 0 does not fit"),
        (frame(24, 1, b"x"), "ConsensusMessage: request id 1 does not fit"),
        (frame(24, 0), "ConsensusMessage: expected an array of 3"),
        (frame(24, 0, b"x", b"y"), "ConsensusMessage: expected an array of 3"),
        (frame(24, 0, b""), "payload: expected 1 to 131072 bytes, got 0"),
        (frame(24, 0, "text"), "payload: expected bytes, got str"),
        (frame(24, 0, None), "payload: expected bytes, got NoneType"),
        (frame(24, -1, b"x"), "request id is no whole number"),
        (frame(24, 2**32, b"x"), "request id is no whole number"),
        (frame(24, True, b"x"), "request id is no whole number"),
        (frame(1, 0, 1.5, bytes(32), 0), "height: expected a whole number, got float"),
        (frame(1, 0, True, bytes(32), 0), "height: expected a whole number, got bool"),
        (frame(1, 0, -1, bytes(32), 0), "height: expected 0 to"),
        (frame(1, 0, 2**63, bytes(32), 0), "height: expected 0 to"),
        (frame(1, 0, 1, bytes(31), 0), "head_hash: expected 32 bytes, got 31"),
        (frame(4, 0, 1, "\x1b[2J"), "reason: expected printable ASCII"),
        (frame(4, 0, 1, "ä"), "reason: expected printable ASCII"),
        (frame(4, 0, 1, "x" * 201), "at most 200 characters"),
        (frame(4, 256, 1, "x"), "Disconnect: request id 256"),
        (frame(16, 0, []), "hashes: expected 1 to 1024 items, got 0"),
        (frame(16, 0, [b"x"]), "hashes: an item: expected 32 bytes, got 1"),
        (frame(16, 0, {}), "hashes: expected a list, got dict"),
        (frame(16, 0, {"a": 1}), "max_map_len"),
        (frame(16, 0, msgpack.ExtType(5, b"abcd")), "max_ext_len"),
        (frame(16, 0, msgpack.ExtType(5, b"")), "extension type 5"),
        (frame(33, 1, [[b"block"]]), "blocks: an item: expected 2 fields, got 1"),
        (frame(33, 1, [[b"", b""]]), "blocks: an item: block: expected 1 to"),
        (with_length(msgpack.packb([24, 0, b"x"]) + b"\0"), "extra data"),
        (with_length(b"\x93\x18\x00\xc1"), "ConsensusMessage"),
        (with_length(b"\x93\x10\x00\xdc\xff\xff"), "max_array_len"),
        (with_length(b"\x93\x10\x00" + b"\x91" * 3000), "TransactionHashes"),
    ],
)
def test_what_is_wrong_is_named(data: bytes, match: str) -> None:
    refuse(data, match)


def test_nested_claims_do_not_allocate_what_they_claim() -> None:
    bomb = with_length(b"\x93\x10\x00" + b"\xdc\x04\x00" * 10_000)
    tracemalloc.start()
    refuse(bomb, "TransactionHashes")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * 2**20


def test_our_own_oversized_message_is_our_fault() -> None:
    block = BlockWithCommit(bytes(3 * 2**20), b"")
    with pytest.raises(ValueError, match="Blocks: expected at most"):
        encode(Blocks((block, block)), 1)


def test_a_large_frame_in_small_pieces_is_linear() -> None:
    rng = random.Random(1)
    data = encode(ConsensusMessage(rng.randbytes(128 * 1024)))
    decoder = expecting()
    for at in range(0, len(data), 64):
        assert decoder.next_frame() is None
        decoder.receive_data(data[at : at + 64])
    got = decoder.next_frame()
    assert got is not None and got.size == len(data)


def test_every_number_and_kind_is_unique() -> None:
    assert len({row.number for row in MESSAGE_TYPES}) == len({row.kind for row in MESSAGE_TYPES}) == len(MESSAGE_TYPES)


def test_numbers_on_the_wire_do_not_change() -> None:
    assert encode(Ping(), 1).hex() == "00000003920201"
    assert encode(Disconnect(1, "no")).hex() == "0000000794040001a26e6f"
    assert encode(GetBlocks(5, 2), 300).hex() == "000000079420cd012c0502"
    assert encode(TransactionHashes((b"\1" * 32,))).hex() == "0000002693100091c420" + "01" * 32
