"""Framing of an append-only log: bytes to records and back, no file.

A frame is magic 4 || payload length 4 || sequence 4 || CRC-32 of the payload 4 || CRC-32 of the 16 bytes before 4 ||
payload, big-endian. The sequence counts frames from 0. With two checksums a damaged length is not mistaken for a frame
that ends early.

What a crash leaves behind and what a bad disk leaves behind must be told apart: after a crash the last append may be
missing in part, and nothing depended on it, since nobody goes on before an append is durable. A durable record that has
been damaged since is another matter: whoever signs without it may contradict itself.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from enum import Enum
from typing import Final

from dmchain.chain.primitives.errors import StorageError

MAGIC: Final = b"\xd3mWL"
SECTOR_BYTES: Final = 512
"""What a disk writes whole or not at all; a file's sectors that were never written read as zeros."""
MAX_PAYLOAD_BYTES: Final = 64 * 1024 * 1024

_HEADER = struct.Struct(">4sIIII")
FRAME_OVERHEAD_BYTES: Final = _HEADER.size


class Tail(Enum):
    """How a log ends."""

    CLEAN = "clean"
    TORN = "torn"
    """The last append did not complete: cut it off and go on."""


class WalCorrupt(StorageError):
    """A record that was durable is damaged."""


@dataclass(frozen=True, slots=True)
class Scan:
    """`payloads` in order; the log is good up to `good_bytes`, behind which `tail` stands."""

    payloads: tuple[bytes, ...]
    good_bytes: int
    tail: Tail


def encode_frame(sequence: int, payload: bytes) -> bytes:
    """One frame; `sequence` is its number in the log."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ValueError(f"payload: expected at most {MAX_PAYLOAD_BYTES} bytes, got {len(payload)}")
    head = struct.pack(">4sIII", MAGIC, len(payload), sequence & 0xFFFFFFFF, zlib.crc32(payload))
    return head + struct.pack(">I", zlib.crc32(head)) + payload


def scan(raw: bytes) -> Scan:
    """Read a whole log.

    A torn tail is what one interrupted append leaves: a frame that ends with the file, or one with whole sectors of
    zeros in it, and nothing good behind it. Anything else that is wrong raises WalCorrupt.
    """
    payloads: list[bytes] = []
    at = 0
    while at < len(raw):
        payload = _read_frame(raw, at, len(payloads))
        if payload is None:
            break
        payloads.append(payload)
        at += FRAME_OVERHEAD_BYTES + len(payload)
    if at == len(raw):
        return Scan(tuple(payloads), at, Tail.CLEAN)
    header = _read_header(raw, at)
    end = at + 1 if header is None else at + FRAME_OVERHEAD_BYTES + header[0]
    later = _find_later_frame(raw, end, len(payloads) + 1)
    if later is not None:
        raise WalCorrupt(f"log record {len(payloads)} at byte {at} is damaged, and there are good ones after it")
    if not (_ends_early(raw, at, len(payloads)) or _has_unwritten_sector(raw, at)):
        raise WalCorrupt(f"log record {len(payloads)} at byte {at}, the last, is complete but damaged")
    return Scan(tuple(payloads), at, Tail.TORN)


def _read_header(raw: bytes, at: int) -> tuple[int, int, int] | None:
    """Length, sequence and payload checksum of the frame at `at`, None if there is no good header."""
    if at + _HEADER.size > len(raw):
        return None
    magic, length, sequence, payload_crc, header_crc = _HEADER.unpack_from(raw, at)
    if magic != MAGIC or header_crc != zlib.crc32(raw[at : at + _HEADER.size - 4]):
        return None
    return length, sequence, payload_crc


def _read_frame(raw: bytes, at: int, sequence: int) -> bytes | None:
    header = _read_header(raw, at)
    if header is None:
        return None
    length, found, crc = header
    start = at + _HEADER.size
    payload = raw[start : start + length]
    if found != sequence & 0xFFFFFFFF or len(payload) != length or zlib.crc32(payload) != crc:
        return None
    return payload


def _find_later_frame(raw: bytes, start: int, sequence: int) -> int | None:
    """Where a good frame with a sequence from `sequence` on begins at or after `start`."""
    at = raw.find(MAGIC, start)
    while at >= 0:
        header = _read_header(raw, at)
        if header is not None and header[1] >= sequence and _read_frame(raw, at, header[1]) is not None:
            return at
        at = raw.find(MAGIC, at + 1)
    return None


def _ends_early(raw: bytes, at: int, sequence: int) -> bool:
    """Whether the file ends before the frame that begins at `at` does."""
    if at + _HEADER.size > len(raw):
        return True
    header = _read_header(raw, at)
    return header is not None and header[1] == sequence & 0xFFFFFFFF and at + _HEADER.size + header[0] > len(raw)


def _has_unwritten_sector(raw: bytes, at: int) -> bool:
    """Whether a sector's share of the bytes from `at` on is zeros throughout."""
    while at < len(raw):
        end = min((at // SECTOR_BYTES + 1) * SECTOR_BYTES, len(raw))
        if not any(raw[at:end]):
            return True
        at = end
    return False
