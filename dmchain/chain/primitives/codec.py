"""Recursive length prefix (Yellow Paper, appendix B), strict: one value has one encoding.

`rlp` (the library) is the slow twin that tests race this against; it spends most of a transaction's cost on
intermediate objects. Decoding refuses long forms of short lengths, leading zeros in lengths, single bytes below 0x80
with a prefix, and anything after the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from dmchain.chain.primitives.errors import DecodeError

RlpItem: TypeAlias = bytes | list["RlpItem"]

MAX_DEPTH = 32
"""Nesting that `decode` follows; block -> transactions -> access list -> entry -> slots needs 6."""


def encode_bytes(data: bytes) -> bytes:
    """Encode one byte string of any length."""
    size = len(data)
    if size == 1 and data[0] < 0x80:
        return data
    if size < 56:
        return bytes((0x80 + size,)) + data
    length = size.to_bytes((size.bit_length() + 7) >> 3, "big")
    return bytes((0xB7 + len(length),)) + length + data


def encode_int(number: int) -> bytes:
    """Encode a non-negative integer, big-endian without leading zeros."""
    if number == 0:
        return b"\x80"
    if number < 0x80:
        return bytes((number,))
    return encode_bytes(number.to_bytes((number.bit_length() + 7) >> 3, "big"))


def encode_list(payload: bytes) -> bytes:
    """Put a list header before `payload`, the concatenated encodings of the items."""
    size = len(payload)
    if size < 56:
        return bytes((0xC0 + size,)) + payload
    length = size.to_bytes((size.bit_length() + 7) >> 3, "big")
    return bytes((0xF7 + len(length),)) + length + payload


def encode(item: bytes | int | Sequence[Any]) -> bytes:
    """Encode nested sequences of bytes and non-negative integers."""
    if isinstance(item, bytes | bytearray):
        return encode_bytes(bytes(item))
    if isinstance(item, int):
        return encode_int(item)
    return encode_list(b"".join([encode(entry) for entry in item]))


def _header(raw: bytes, at: int, end: int) -> tuple[int, int, bool]:
    """Read the header at `at`; return (payload start, payload end, is a list)."""
    first = raw[at]
    if first < 0x80:
        return at, at + 1, False
    if first < 0xB8:
        start, stop, is_list = at + 1, at + 1 + first - 0x80, False
        if stop <= end and first == 0x81 and raw[start] < 0x80:
            raise DecodeError("RLP: a single byte below 0x80 must be its own encoding")
    elif 0xC0 <= first < 0xF8:
        start, stop, is_list = at + 1, at + 1 + first - 0xC0, True
    else:
        is_list = first >= 0xF8
        width = first - (0xF7 if is_list else 0xB7)
        start = at + 1 + width
        if start > end:
            raise DecodeError("RLP: the input ends inside a length")
        size = int.from_bytes(raw[at + 1 : start], "big")
        if raw[at + 1] == 0 or size < 56:
            raise DecodeError(f"RLP: length {size} is not in its shortest form")
        stop = start + size
    if stop > end:
        raise DecodeError(f"RLP: an item of {stop - start} bytes reaches {stop - end} bytes past its end")
    return start, stop, is_list


def split_list(raw: bytes) -> list[bytes]:
    """Decode one list a single level deep.

    Returns the payload of each string item, and each nested list raw with its header, so the two can be told apart
    only by position: callers know the shape. The whole of `raw` must be the list.
    """
    return split_fields(raw)[0]


def split_fields(raw: bytes) -> tuple[list[bytes], list[int]]:
    """As `split_list`; also the positions of the nested lists, in order."""
    if not raw:
        raise DecodeError("RLP: expected a list, got no bytes")
    at, end, is_list = _header(raw, 0, len(raw))
    if not is_list:
        raise DecodeError("RLP: expected a list, got a string")
    if end != len(raw):
        raise DecodeError(f"RLP: {len(raw) - end} bytes after the end")
    items: list[bytes] = []
    lists: list[int] = []
    while at < end:
        first = raw[at]
        if first < 0x80:
            items.append(raw[at : at + 1])
            at += 1
        elif 0x81 < first < 0xB8:
            # a short string, most of what there is: without the call
            stop = at + first - 0x7F
            if stop > end:
                raise DecodeError(f"RLP: an item of {first - 0x80} bytes reaches {stop - end} bytes past its end")
            items.append(raw[at + 1 : stop])
            at = stop
        else:
            start, stop, nested = _header(raw, at, end)
            if nested:
                lists.append(len(items))
            items.append(raw[at:stop] if nested else raw[start:stop])
            at = stop
    return items, lists


def peek_first(raw: bytes) -> bytes:
    """The first item of a list as `split_list` returns it, without a look at the others: there may be millions."""
    if not raw:
        raise DecodeError("RLP: expected a list, got no bytes")
    at, end, is_list = _header(raw, 0, len(raw))
    if not is_list or at == end:
        raise DecodeError("RLP: expected a list of at least one item")
    start, stop, nested = _header(raw, at, end)
    return raw[at:stop] if nested else raw[start:stop]


def decode(raw: bytes) -> RlpItem:
    """Decode one item, nested lists included; the whole of `raw` must be the item."""
    if not raw:
        raise DecodeError("RLP: got no bytes")
    item, end = _decode_at(raw, 0, len(raw), 0)
    if end != len(raw):
        raise DecodeError(f"RLP: {len(raw) - end} bytes after the end")
    return item


def _decode_at(raw: bytes, at: int, end: int, depth: int) -> tuple[RlpItem, int]:
    start, stop, is_list = _header(raw, at, end)
    if not is_list:
        return raw[start:stop], stop
    if depth >= MAX_DEPTH:
        raise DecodeError(f"RLP: nested deeper than {MAX_DEPTH}")
    items: list[RlpItem] = []
    while start < stop:
        item, start = _decode_at(raw, start, stop, depth + 1)
        items.append(item)
    return items, stop


def to_int(data: RlpItem, field: str, bits: int = 256) -> int:
    """Read a canonical integer of at most `bits` bits."""
    if isinstance(data, list):
        raise DecodeError(f"{field}: expected an integer, got a list")
    if data[:1] == b"\x00":
        raise DecodeError(f"{field}: integer with a leading zero byte")
    number = int.from_bytes(data, "big")
    if number >> bits:
        raise DecodeError(f"{field}: expected at most {bits} bits, got {number.bit_length()}")
    return number


def to_bytes(data: RlpItem, field: str, size: int) -> bytes:
    """Read a byte string of exactly `size` bytes."""
    if isinstance(data, list):
        raise DecodeError(f"{field}: expected {size} bytes, got a list")
    if len(data) != size:
        raise DecodeError(f"{field}: expected {size} bytes, got {len(data)}")
    return data


def to_blob(data: RlpItem, field: str) -> bytes:
    """Read a byte string of any length."""
    if isinstance(data, list):
        raise DecodeError(f"{field}: expected bytes, got a list")
    return data


def to_list(data: RlpItem, field: str, size: int | None = None) -> list[RlpItem]:
    """Read a list, of exactly `size` items if given."""
    if not isinstance(data, list):
        raise DecodeError(f"{field}: expected a list, got bytes")
    if size is not None and len(data) != size:
        raise DecodeError(f"{field}: expected {size} items, got {len(data)}")
    return data
