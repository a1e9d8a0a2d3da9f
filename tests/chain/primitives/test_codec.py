"""RLP against the `rlp` library, which is strict and slow."""

import pytest
import rlp
from hypothesis import given
from hypothesis import strategies as st

from dmchain.chain.primitives.codec import MAX_DEPTH, decode, encode, encode_int, split_list, to_bytes, to_int, to_list
from dmchain.chain.primitives.errors import DecodeError

items = st.recursive(st.binary(max_size=70), lambda inner: st.lists(inner, max_size=5), max_leaves=20)


def test_encoding_is_that_of_the_library() -> None:
    @given(items)
    def check(item: object) -> None:
        assert encode(item) == rlp.encode(item)  # type: ignore[arg-type]
        assert decode(encode(item)) == item  # type: ignore[arg-type]

    check()


@given(st.integers(0, 2**300))
def test_integers_are_big_endian_without_leading_zeros(number: int) -> None:
    assert encode_int(number) == rlp.encode(number)


@pytest.mark.parametrize("size", [0, 1, 55, 56, 255, 256, 65535, 65536, 2**24])
def test_lengths_at_the_borders(size: int) -> None:
    data = b"\xff" * size
    assert encode(data) == rlp.encode(data)
    assert decode(encode(data)) == data


@given(st.binary(max_size=60))
def test_arbitrary_bytes_decode_exactly_when_the_library_takes_them(raw: bytes) -> None:
    try:
        expected = rlp.decode(raw, strict=True)
    except rlp.exceptions.DecodingError:
        expected = None
    if expected is None:
        with pytest.raises(DecodeError):
            decode(raw)
    else:
        assert decode(raw) == expected
        assert encode(decode(raw)) == raw


@given(st.lists(st.one_of(st.binary(max_size=60), st.lists(st.binary(max_size=3), max_size=3)), max_size=8))
def test_splitting_gives_strings_bare_and_lists_raw(values: list[object]) -> None:
    expected = [value if isinstance(value, bytes) else rlp.encode(value) for value in values]
    assert split_list(encode(values)) == expected


@given(st.binary(max_size=80))
def test_splitting_refuses_what_decoding_refuses_at_the_top_level(raw: bytes) -> None:
    try:
        parts = split_list(raw)
    except DecodeError:
        return
    assert raw[0] >= 0xC0
    assert len(parts) <= len(raw)


@pytest.mark.parametrize(
    "raw",
    [b"", b"\x81\x01", b"\xb8\x01\xff", b"\xb9\x00\x38" + b"a" * 56, b"\x83ab", b"\xc1", b"\xc0\xc0", b"\xf8\x01\x01"],
    ids=["nothing", "long-byte", "long-length", "zero-in-length", "short", "short-list", "trailing", "long-list"],
)
def test_what_is_not_canonical_is_refused(raw: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(raw)


def test_nesting_is_bounded() -> None:
    raw = b"\xc0"
    for _ in range(MAX_DEPTH + 2):
        raw = encode([decode(raw)]) if len(raw) < 10 else bytes((0xC0 + len(raw),)) + raw
    with pytest.raises(DecodeError, match="nested deeper"):
        decode(raw)


def test_fields_are_named_in_errors() -> None:
    with pytest.raises(DecodeError, match="nonce: integer with a leading zero"):
        to_int(b"\x00\x01", "nonce")
    with pytest.raises(DecodeError, match="gas: expected at most 64 bits"):
        to_int(b"\x01" * 9, "gas", 64)
    with pytest.raises(DecodeError, match="to: expected 20 bytes, got 3"):
        to_bytes(b"abc", "to", 20)
    with pytest.raises(DecodeError, match="pair: expected 2 items, got 1"):
        to_list([b""], "pair", 2)
