"""Nodes of the Merkle-Patricia trie and their encodings (Yellow Paper, appendix D).

In memory a branch is a list of 17 references, the last always empty (no key is a prefix of another here); a leaf or
extension is a `Short`. A reference is what the parent's encoding holds:

    b"\\x80"            nothing
    b"\\xa0" + hash     a node of 32 bytes or more, stored on its own
    node RLP           a node below 32 bytes, embedded in its parent

so `len(reference) == HASH_REF_SIZE` tells the stored ones. Paths are nibbles, one per byte, values 0 to 15.
"""

from __future__ import annotations

from typing import TypeAlias

from dmchain.chain.primitives.codec import encode_bytes
from dmchain.chain.primitives.errors import DmchainError

Short: TypeAlias = tuple[bytes, bytes, bool]
"""(path nibbles, value or child reference, is a leaf)."""
Node: TypeAlias = list[bytes] | Short

BLANK = b"\x80"
HASH_REF_SIZE = 33
MAX_EMBEDDED_SIZE = 31
"""A node of 32 bytes or more is referenced by its hash."""

_FULL_BRANCH_SIZE = 532
_FULL_BRANCH_HEADER = b"\xf9\x02\x11"
_FULL_BRANCH_MARKS = b"\xa0" * 16 + BLANK
_FULL_BRANCH_SLICES = [slice(at, at + 33) for at in range(3, 531, 33)]

_ASCII_TO_NIBBLE = bytes(int(chr(c), 16) if chr(c) in "0123456789abcdef" else 0 for c in range(256))
_NIBBLE_TO_ASCII = b"0123456789abcdef" + bytes(240)


class MalformedNode(DmchainError):
    """Bytes are not the encoding of a trie node."""


def to_nibbles(key: bytes) -> bytes:
    """Split each byte in two, high half first: hex does it in C, translate turns its letters to numbers."""
    return key.hex().encode().translate(_ASCII_TO_NIBBLE)


def _from_nibbles(path: bytes) -> bytes:
    return bytes.fromhex(path.translate(_NIBBLE_TO_ASCII).decode())


def encode_path(path: bytes, is_leaf: bool) -> bytes:
    """Hex-prefix encoding: the first nibble holds leaf and odd flags."""
    flag = 0x20 if is_leaf else 0
    if len(path) & 1:
        return bytes((flag | 0x10 | path[0],)) + _from_nibbles(path[1:])
    return bytes((flag,)) + _from_nibbles(path)


def decode_path(encoded: bytes) -> tuple[bytes, bool]:
    """Return (path nibbles, is a leaf); raises MalformedNode for flags that do not exist."""
    nibbles = to_nibbles(encoded)
    if not nibbles or nibbles[0] > 3:
        raise MalformedNode(f"path flags: expected 0 to 3, got {encoded[:1].hex() or 'no byte'}")
    if nibbles[0] & 1:
        return nibbles[1:], nibbles[0] >= 2
    if nibbles[1]:
        raise MalformedNode(f"path padding: expected 0, got {nibbles[1]}")
    return nibbles[2:], nibbles[0] >= 2


def encode_node(node: Node) -> bytes:
    """Return the RLP of one node."""
    if isinstance(node, list):
        payload = b"".join(node)
    else:
        path, payload, is_leaf = node
        encoded_path = encode_path(path, is_leaf)
        if len(encoded_path) > 1:  # a path of one byte is below 0x40, so its own encoding
            encoded_path = bytes((0x80 + len(encoded_path),)) + encoded_path
        payload = encoded_path + (encode_bytes(payload) if is_leaf else payload)
    size = len(payload)
    if size < 56:
        return bytes((0xC0 + size,)) + payload
    if size < 256:
        return bytes((0xF8, size)) + payload
    if size < 65536:
        return bytes((0xF9, size >> 8, size & 255)) + payload
    return b"\xfa" + size.to_bytes(3, "big") + payload  # a receipt of 16 MB does not fit any gas limit


def decode_node(raw: bytes) -> Node:
    """Decode one node, strictly; raises MalformedNode and nothing else."""
    size = len(raw)
    if size == _FULL_BRANCH_SIZE and raw[3::33] == _FULL_BRANCH_MARKS and raw[:3] == _FULL_BRANCH_HEADER:
        branch = [raw[part] for part in _FULL_BRANCH_SLICES]
        branch.append(BLANK)
        return branch
    if not size or raw[0] < 0xC0:
        raise MalformedNode("expected a list")
    at, end = _payload_bounds(raw, 0)
    if end != size:
        raise MalformedNode(f"expected {end} bytes, got {size}")
    if at == end:
        raise MalformedNode("expected 2 or 17 items, got none")
    if raw[at] < 0xC0:
        start, stop = _payload_bounds(raw, at)
        if stop < size and _item_end(raw, stop) == size:
            return _decode_short(raw, raw[start:stop], stop)
    return _decode_branch(raw, at)


def _decode_branch(raw: bytes, at: int) -> list[bytes]:
    branch: list[bytes] = []
    size = len(raw)
    while at < size and len(branch) < 18:
        if raw[at] == 0x80:
            branch.append(BLANK)
            at += 1
            continue
        end = _item_end(raw, at)
        branch.append(raw[at:end])
        _require_reference(branch[-1])
        at = end
    if len(branch) != 17:
        raise MalformedNode(f"expected 2 or 17 items, got {len(branch) if at >= size else 'more'}")
    if branch[16] != BLANK:
        raise MalformedNode("a branch holds a value, though no key is a prefix of another")
    return branch


def _decode_short(raw: bytes, encoded_path: bytes, at: int) -> Short:
    path, is_leaf = decode_path(encoded_path)
    if is_leaf:
        if raw[at] >= 0xC0:
            raise MalformedNode("a leaf holds a list")
        start, stop = _payload_bounds(raw, at)
        if start == stop:
            raise MalformedNode("a leaf holds an empty value")
        return path, raw[start:stop], True
    if not path:
        raise MalformedNode("an extension without a path")
    reference = raw[at:]
    _require_reference(reference)
    return path, reference, False


def _require_reference(reference: bytes) -> None:
    """Accept a hash or an embedded node; the caller has dealt with BLANK if it is allowed."""
    first = reference[0]
    if first == 0xA0 or (first >= 0xC0 and len(reference) <= MAX_EMBEDDED_SIZE):
        return
    raise MalformedNode(
        f"expected a hash or an embedded node, got {reference[:4].hex()}.. of {len(reference)} bytes"
    )


def _item_end(raw: bytes, at: int) -> int:
    return _payload_bounds(raw, at)[1]


def _payload_bounds(raw: bytes, at: int) -> tuple[int, int]:
    """Return start and end of the payload of the item at `at` (inside `raw`); only canonical headers pass."""
    first = raw[at]
    if first < 0x80:
        return at, at + 1
    base = 0x80 if first < 0xC0 else 0xC0
    start = at + 1
    if first < base + 56:
        end = start + first - base
        if first == 0x81 and end <= len(raw) and raw[start] < 0x80:
            raise MalformedNode("a byte below 0x80 has a header")
    else:
        width = first - base - 55
        start += width
        length = int.from_bytes(raw[at + 1 : start], "big")
        if start > len(raw) or length < 56 or raw[at + 1] == 0:
            raise MalformedNode("a length is cut off or not in its shortest form")
        end = start + length
    if end > len(raw):
        raise MalformedNode(f"an item reaches {end - len(raw)} bytes past the end")
    return start, end
