"""Content identifiers: which binary CIDs the chain accepts, and their text forms.

A CID is accepted when anyone can recompute it from the content with a sound, common hash: CIDv0 and CIDv1 with a known
codec; sha2-256, sha2-512, blake2b-256, blake3 or keccak-256 with its full digest; canonical varints. The identity
"hash" is refused, because it is the data itself. `parse` follows the specification step by step and says what is wrong;
`compute_digest_size` does the same by two table look-ups, for consensus code.

Sources: https://github.com/multiformats/cid, https://github.com/multiformats/multihash,
https://github.com/multiformats/unsigned-varint, https://github.com/multiformats/multicodec/blob/master/table.csv
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Final

from dmchain.chain.primitives.crypto import keccak
from dmchain.chain.primitives.errors import DmchainError
from dmchain.chain.primitives.types import Hash32

MIN_SIZE: Final = 4
MAX_SIZE: Final = 128
MAX_TEXT_SIZE: Final = 2 * MAX_SIZE + 1
"""Base16 with its prefix, the longest text form."""

RAW: Final = 0x55
DAG_PB: Final = 0x70
SHA2_256: Final = 0x12

CODECS: Final = {
    0x50: "protobuf",
    0x51: "cbor",
    RAW: "raw",
    DAG_PB: "dag-pb",
    0x71: "dag-cbor",
    0x78: "git-raw",
    0x85: "dag-jose",
    0xFA: "swarm-manifest",
    0x0129: "dag-json",
    0x0200: "json",
    0x0201: "messagepack",
    0x0202: "car",
}
"""What data sets and their descriptions come in. Adding one is a hard fork."""

HASHES: Final = {
    SHA2_256: ("sha2-256", 32),
    0x13: ("sha2-512", 64),
    0x1B: ("keccak-256", 32),
    0x1E: ("blake3", 32),
    0xB220: ("blake2b-256", 32),
}
"""Multihash code -> (name, digest length in bytes)."""

VERSION_0_PREFIX: Final = bytes((SHA2_256, 32))


class InvalidCid(DmchainError):
    """Not an accepted CID. The message is one of a fixed set: it is part of the revert data, hence of consensus."""


@dataclass(frozen=True, slots=True)
class Cid:
    """A parsed CID: `raw` as given, multicodec numbers, and the digest of 32 or 64 bytes."""

    raw: bytes
    version: int
    codec: int
    hash_code: int
    digest: bytes


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Read an unsigned varint; return (value, index after it). At most 9 bytes, no padding."""
    value = 0
    for index in range(9):
        if at + index >= len(data):
            raise InvalidCid("CID is truncated")
        byte = data[at + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if byte == 0 and index > 0:
                raise InvalidCid("CID has a varint that is not canonical")
            return value, at + index + 1
    raise InvalidCid("CID has a varint longer than 9 bytes")


def encode_varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def parse(raw: bytes) -> Cid:
    """Parse a binary CID (no multibase prefix). Raises InvalidCid."""
    if not MIN_SIZE <= len(raw) <= MAX_SIZE:
        raise InvalidCid("CID is not 4 to 128 bytes long")
    if raw[:2] == VERSION_0_PREFIX:
        if len(raw) != 34:
            raise InvalidCid("CID has a wrong digest length")
        return Cid(raw, 0, DAG_PB, SHA2_256, raw[2:])
    version, at = read_varint(raw, 0)
    if version != 1:
        raise InvalidCid("CID version is neither 0 nor 1")
    codec, at = read_varint(raw, at)
    if codec not in CODECS:
        raise InvalidCid("CID has an unknown codec")
    hash_code, at = read_varint(raw, at)
    if hash_code not in HASHES:
        raise InvalidCid("CID hash is not one of sha2-256, sha2-512, blake2b-256, blake3, keccak-256")
    size, at = read_varint(raw, at)
    if size != HASHES[hash_code][1] or len(raw) - at != size:
        raise InvalidCid("CID has a wrong digest length")
    return Cid(raw, 1, codec, hash_code, raw[at:])


def make_version_1(codec: int, hash_code: int, digest: bytes) -> bytes:
    """Return the binary CIDv1. The parts must be accepted ones; raises InvalidCid."""
    raw = b"\x01" + encode_varint(codec) + encode_varint(hash_code) + encode_varint(len(digest)) + digest
    return parse(raw).raw


def _prefixes(digest_size: int) -> frozenset[bytes]:
    found = [
        b"\x01" + encode_varint(codec) + encode_varint(hash_code) + bytes((digest_size,))
        for codec in CODECS
        for hash_code, (_, size) in HASHES.items()
        if size == digest_size
    ]
    return frozenset(found)


_PREFIXES_32: Final = _prefixes(32) | {VERSION_0_PREFIX}
_PREFIXES_64: Final = _prefixes(64)


def compute_digest_size(raw: bytes) -> int:
    """Return the digest length (32 or 64 bytes) of an accepted CID; raises InvalidCid as `parse` does."""
    if raw[:-32] in _PREFIXES_32:
        return 32
    if raw[:-64] in _PREFIXES_64:
        return 64
    return len(parse(raw).digest)


def compute_dataset_id(raw: bytes) -> Hash32:
    """keccak256 of the binary CID."""
    return keccak(raw)


def compute_content_key(raw: bytes) -> Hash32:
    """keccak256 of the CIDv1 form: one key for the two spellings (v0, v1) of a dag-pb sha2-256 CID."""
    if raw[:2] == VERSION_0_PREFIX:
        return keccak(b"\x01\x70" + raw)
    return keccak(raw)


# ---------------------------------------------------------------- text

_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def to_text(raw: bytes) -> str:
    """CIDv0 in base58btc (`Qm…`), CIDv1 in lower-case base32 (`b…`), as IPFS tools print them."""
    if raw[:2] == VERSION_0_PREFIX:
        return _encode_base58(raw)
    return "b" + base64.b32encode(raw).decode().rstrip("=").lower()


def from_text(text: str) -> bytes:
    """Read `Qm…`, or CIDv1 in base32 (`b…`), base58btc (`z…`) or base16 (`f…`); raises InvalidCid."""
    if not 2 <= len(text) <= MAX_TEXT_SIZE or not text.isascii():
        raise InvalidCid("CID text is empty or too long")
    if len(text) == 46 and text.startswith("Qm"):
        raw = _decode_base58(text)
    elif text[0] == "b":
        raw = _decode_base32(text[1:])
    elif text[0] == "z":
        raw = _decode_base58(text[1:])
    elif text[0] == "f":
        raw = _decode_base16(text[1:])
    else:
        raise InvalidCid("CID text is none of Qm…, b… (base32), z… (base58btc), f… (base16)")
    if parse(raw).version == 0 and not text.startswith("Qm"):
        raise InvalidCid("CIDv0 has no multibase prefix")
    return raw


def _encode_base58(raw: bytes) -> str:
    number = int.from_bytes(raw, "big")
    digits = []
    while number:
        number, digit = divmod(number, 58)
        digits.append(_BASE58[digit])
    zeros = len(raw) - len(raw.lstrip(b"\0"))
    return "1" * zeros + "".join(reversed(digits))


def _decode_base58(text: str) -> bytes:
    number = 0
    for character in text:
        digit = _BASE58.find(character)
        if digit < 0:
            raise InvalidCid("CID text has a character outside base58btc")
        number = number * 58 + digit
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def _decode_base32(text: str) -> bytes:
    try:
        raw = base64.b32decode(text.upper() + "=" * (-len(text) % 8))
    except binascii.Error as error:
        raise InvalidCid("CID text is not base32") from error
    if base64.b32encode(raw).decode().rstrip("=").lower() != text:
        raise InvalidCid("CID text is not canonical lower-case base32")
    return raw


def _decode_base16(text: str) -> bytes:
    try:
        raw = binascii.unhexlify(text)
    except binascii.Error as error:
        raise InvalidCid("CID text is not base16") from error
    if text != raw.hex():
        raise InvalidCid("CID text is not lower-case base16")
    return raw
