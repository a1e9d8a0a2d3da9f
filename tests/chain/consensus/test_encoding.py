"""Every message survives its bytes, and no bytes but its own give it back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmchain.chain.consensus.encoding import decode_message, encode_message
from dmchain.chain.consensus.messages import (
    NO_ROUND,
    PREVOTE,
    Message,
    Polka,
    RoundStatus,
    Step,
    Vote,
)
from dmchain.chain.primitives.crypto import keccak
from dmchain.chain.primitives.errors import DecodeError
from tests.chain.consensus.bench import HEIGHT, block_hash, polka, precommit, prevote, proposal
from tests.chain.consensus.strategies import messages


@given(messages)
@settings(max_examples=300, deadline=None)
def test_encoding_and_decoding_are_inverse(message: Message) -> None:
    assert decode_message(encode_message(message), keccak) == message


@given(messages, st.data())
@settings(max_examples=300, deadline=None)
def test_changed_bytes_are_refused_or_mean_something_else(message: Message, data: st.DataObject) -> None:
    raw = bytearray(encode_message(message))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    try:
        other = decode_message(bytes(raw), keccak)
    except DecodeError:
        return
    assert other != message
    assert encode_message(other) == bytes(raw)


@given(st.binary(max_size=300))
@settings(max_examples=500, deadline=None)
def test_garbage_is_refused_or_canonical(raw: bytes) -> None:
    try:
        message = decode_message(raw, keccak)
    except DecodeError:
        return
    assert encode_message(message) == raw


@given(messages, st.binary(min_size=1, max_size=3))
@settings(max_examples=100, deadline=None)
def test_truncated_and_prolonged_bytes_are_refused(message: Message, more: bytes) -> None:
    raw = encode_message(message)
    with pytest.raises(DecodeError):
        decode_message(raw[:-1], keccak)
    with pytest.raises(DecodeError):
        decode_message(raw + more, keccak)


def test_a_vote_is_119_bytes() -> None:
    raw = encode_message(prevote("A", 1, 2, valid_round=0))
    assert raw.hex() == (
        "01" + "0000000000000005" + "01" + "00000001" + "00000001" + block_hash("A").hex() + "0002" + "73" * 65
    )


BAD: dict[str, tuple[Message, str]] = {
    "prevote of its own round": (prevote("A", 1, 0, valid_round=1), "valid round 1 in a vote of round 1"),
    "nil with a valid round": (prevote(None, 2, 0, valid_round=1), "valid round 1 in a vote of round 2"),
    "precommit with a valid round": (
        Vote(2, HEIGHT, 2, 1, block_hash("A"), 0, b"s" * 65),
        "valid round 1 in a vote of round 2",
    ),
    "kind that is none": (Vote(3, HEIGHT, 0, NO_ROUND, None, 0, b"s" * 65), "kind: expected 1 or 2, got 3"),
    "validator beyond the limit": (prevote("A", 0, 1024), "validator: expected at most 1023, got 1024"),
    "round beyond the limit": (prevote("A", 2**31, 0), "round: expected at most 2147483647, got 2147483648"),
    "proposal of its own round": (proposal("A", 0, valid_round=0), "valid round: expected below 0, got 0"),
    "nil polka with a valid round": (polka(None, 2, (), valid_round=1), "valid round 1 in a polka of round 2"),
    "certificate out of order": (
        Polka(HEIGHT, 0, NO_ROUND, None, (prevote(None, 0, 2), prevote(None, 0, 1))),
        "expected ascending validators, got 1 after 2",
    ),
    "certificate with one vote twice": (
        Polka(HEIGHT, 0, NO_ROUND, None, (prevote(None, 0, 2), prevote(None, 0, 2))),
        "expected ascending validators, got 2 after 2",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_messages_that_no_correct_node_sends_are_refused_with_a_reason(name: str) -> None:
    message, reason = BAD[name]
    with pytest.raises(DecodeError, match=reason):
        decode_message(encode_message(message), keccak)


def test_a_proposal_of_nil_is_refused() -> None:
    raw = encode_message(proposal("A", 0, body=False))
    with pytest.raises(DecodeError, match="expected a block, got nil"):
        decode_message(raw.replace(block_hash("A"), bytes(32)), keccak)


def test_flags_steps_and_bitmaps_have_one_form() -> None:
    status = RoundStatus(HEIGHT, 3, Step.PREVOTE, 1, True, False, 0b101, 0)
    raw = encode_message(status)
    for at, value, reason in ((13, 6, "step"), (18, 4, "flags")):
        wrong = raw[:at] + bytes((value,)) + raw[at + 1 :]
        with pytest.raises(DecodeError, match=reason):
            decode_message(wrong, keccak)
    padded = raw[:19] + b"\x00\x02\x05\x00" + raw[22:]
    with pytest.raises(DecodeError, match="ends with a zero byte"):
        decode_message(padded, keccak)


def test_optional_parts_are_0_or_1() -> None:
    raw = encode_message(proposal("A", 0, body=False))
    with pytest.raises(DecodeError, match="polka: expected 0 or 1, got 2"):
        decode_message(raw[:-1] + b"\2", keccak)


def test_a_body_that_does_not_hash_is_refused_by_whoever_hashes() -> None:
    def refuse(body: bytes) -> bytes:
        raise DecodeError("block: the transactions are not those of the header")

    raw = encode_message(proposal("A", 0))
    with pytest.raises(DecodeError, match="not those of the header"):
        decode_message(raw, refuse)  # type: ignore[arg-type]


@pytest.mark.parametrize("raw", [b"", b"\0", b"\x0a", b"\xff" * 40])
def test_unknown_tags_are_refused(raw: bytes) -> None:
    with pytest.raises(DecodeError, match="expected tag 1 to 9"):
        decode_message(raw, keccak)


def test_kinds_of_votes_stay_what_they_are() -> None:
    for message in (prevote("A", 0, 1), precommit("A", 0, 1)):
        decoded = decode_message(encode_message(message), keccak)
        assert isinstance(decoded, Vote)
        assert (decoded.kind == PREVOTE) == (message.kind == PREVOTE)
