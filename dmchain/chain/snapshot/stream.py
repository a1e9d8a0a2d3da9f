"""The entries of a snapshot's stream, out and in. Numbers are big-endian, "blob" is length 4 || bytes.

| tag | entry | fields |
|---|---|---|
| H | header, ascending; the last is the snapshot's own | header blob, facts blob (empty for block 0) |
| B | the body of the last header's block and its receipts | body blob, receipts blob |
| A | account, by ascending address | address 20, RLP blob |
| C | code of the account before, where no earlier account had it | blob |
| S | slot of the account before, ascending | slot 32, value length 1, value big-endian without leading zeros |
| E | end | accounts 8, slots 8, codes 8 |

They come in this order: H one or more, B, (A, C at most once, S any number) any number, E, and nothing after it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from dmchain.chain.snapshot.manifest import InvalidSnapshot

MAX_HEADER_BYTES: Final = 2_048
MAX_FACTS_BYTES: Final = 256 * 1024
"""A record, a commit of 1024 validators and eight pieces of evidence take 70 kB."""
MAX_BODY_BYTES: Final = 32 * 1024 * 1024
MAX_RECEIPTS_BYTES: Final = 64 * 1024 * 1024
MAX_ACCOUNT_BYTES: Final = 128
MAX_CODE_BYTES: Final = 16 * 1024 * 1024
"""EIP-170 allows 24 kB; a genesis may place more."""

_LENGTH = struct.Struct(">I")
_END = struct.Struct(">QQQ")


@dataclass(frozen=True, slots=True)
class HeaderEntry:
    """RLP of a header, and of `consensus.body.Facts`."""

    header: bytes
    facts: bytes


@dataclass(frozen=True, slots=True)
class BodyEntry:
    """As the database keeps them."""

    body: bytes
    receipts: bytes


@dataclass(frozen=True, slots=True)
class AccountEntry:
    """The RLP that the state trie has as leaf."""

    address: bytes
    account: bytes


@dataclass(frozen=True, slots=True)
class CodeEntry:
    code: bytes


@dataclass(frozen=True, slots=True)
class SlotEntry:
    slot: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class EndEntry:
    accounts: int
    slots: int
    codes: int


Entry: TypeAlias = HeaderEntry | BodyEntry | AccountEntry | CodeEntry | SlotEntry | EndEntry


def _blob(data: bytes, limit: int, name: str) -> bytes:
    if len(data) > limit:
        raise InvalidSnapshot(f"{name}: expected at most {limit} bytes, got {len(data)}", hint="it cannot be exported")
    return _LENGTH.pack(len(data)) + data


def encode_entry(entry: Entry) -> bytes:
    """Raises InvalidSnapshot when a part is larger than any reader takes."""
    if isinstance(entry, SlotEntry):
        return b"S" + entry.slot + bytes((len(entry.value),)) + entry.value
    if isinstance(entry, AccountEntry):
        return b"A" + entry.address + _blob(entry.account, MAX_ACCOUNT_BYTES, "account")
    if isinstance(entry, CodeEntry):
        return b"C" + _blob(entry.code, MAX_CODE_BYTES, "code")
    if isinstance(entry, HeaderEntry):
        header = _blob(entry.header, MAX_HEADER_BYTES, "header")
        return b"H" + header + _blob(entry.facts, MAX_FACTS_BYTES, "facts")
    if isinstance(entry, BodyEntry):
        body = _blob(entry.body, MAX_BODY_BYTES, "body")
        return b"B" + body + _blob(entry.receipts, MAX_RECEIPTS_BYTES, "receipts")
    return b"E" + _END.pack(entry.accounts, entry.slots, entry.codes)


class StreamReader:
    """Chunks in, entries out. Keeps no more than the entry under way and the chunk it ends in."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        """Of `parts`: bytes that belong to an entry that is not complete."""
        self._needed = 1
        """Bytes from the beginning of that entry without which it cannot go on."""
        self._buffer = b""
        self._at = 0
        self._ended = False

    def feed(self, chunk: bytes) -> Iterator[Entry]:
        """Entries that are complete now; all are to be taken before the next chunk. Raises InvalidSnapshot."""
        self._parts.append(chunk)
        self._size += len(chunk)
        if self._size < self._needed:
            return
        self._buffer = b"".join(self._parts)
        self._at = 0
        self._needed = 1
        while self._at < len(self._buffer):
            if self._ended:
                raise InvalidSnapshot(f"stream: {len(self._buffer) - self._at} bytes after the end")
            before = self._at
            entry = self._next()
            if entry is None:
                self._needed = self._at - before
                self._at = before
                break
            self._ended = isinstance(entry, EndEntry)
            yield entry
        self._parts = [self._buffer[self._at :]]
        self._size = len(self._parts[0])

    def finish(self) -> None:
        """There are no more chunks; raises InvalidSnapshot when there should be."""
        if not self._ended:
            raise InvalidSnapshot("stream: ends before its end entry")

    def _next(self) -> Entry | None:
        tag = self._buffer[self._at : self._at + 1]
        self._at += 1
        if tag == b"S":
            return self._slot()
        if tag == b"A":
            address, account = self._take(20), self._take_blob(MAX_ACCOUNT_BYTES, "account")
            return None if address is None or account is None else AccountEntry(address, account)
        if tag == b"C":
            code = self._take_blob(MAX_CODE_BYTES, "code")
            return None if code is None else CodeEntry(code)
        if tag == b"H":
            header, facts = self._take_blob(MAX_HEADER_BYTES, "header"), self._take_blob(MAX_FACTS_BYTES, "facts")
            return None if header is None or facts is None else HeaderEntry(header, facts)
        if tag == b"B":
            body = self._take_blob(MAX_BODY_BYTES, "body")
            receipts = self._take_blob(MAX_RECEIPTS_BYTES, "receipts")
            return None if body is None or receipts is None else BodyEntry(body, receipts)
        if tag == b"E":
            counts = self._take(_END.size)
            return None if counts is None else EndEntry(*_END.unpack(counts))
        raise InvalidSnapshot(f"stream: unknown entry 0x{tag.hex()}")

    def _slot(self) -> SlotEntry | None:
        slot, size = self._take(32), self._take(1)
        if slot is None or size is None:
            return None
        if not 1 <= size[0] <= 32:
            raise InvalidSnapshot(f"slot value: expected 1 to 32 bytes, got {size[0]}")
        value = self._take(size[0])
        return None if value is None else SlotEntry(slot, value)

    def _take(self, size: int) -> bytes | None:
        """The next `size` bytes; None, now and for what follows, when they are not there yet."""
        end = self._at + size
        if end > len(self._buffer):
            self._at = max(self._at, end)
            return None
        data = self._buffer[self._at : end]
        self._at = end
        return data

    def _take_blob(self, limit: int, name: str) -> bytes | None:
        head = self._take(_LENGTH.size)
        if head is None:
            return None
        (size,) = _LENGTH.unpack(head)
        if size > limit:
            raise InvalidSnapshot(f"{name}: expected at most {limit} bytes, got {size}")
        return self._take(size)
