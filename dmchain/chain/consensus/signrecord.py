"""The sign journal's contents: records and block bodies as payloads of a log (store/wal.py), and back.

| first byte | payload |
|---|---|
| 0 | version 1, origin 1, address of the consensus key 20: the first of a log |
| 1 | count 2, bodies (block hash 32, length 4, bytes) that the log does not hold yet; a record, bodies by hash |
| 2 | height 8 from which the validator may sign again after its journal was lost |

Origin 0: made together with the key, which had signed nothing. 1: made in place of a lost one, by a validator that must
observe until a payload 2 says otherwise (observer.py).

Bodies are large and several records of a height hold the same ones: each is written once per log, with the first record
that names it. Everything that one append adds is one payload, so that a crash leaves all of it or nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from dmchain.chain.consensus.encoding import (
    MAX_BODY_BYTES,
    Reader,
    encode_body,
    encode_polka,
    encode_proposal,
    encode_vote,
    encode_votes,
    read_polka,
    read_proposal,
    read_vote,
    read_votes,
)
from dmchain.chain.consensus.messages import (
    NO_ROUND,
    Candidate,
    OwnMessage,
    ProposalMessage,
    SignRecord,
    Step,
    Vote,
)
from dmchain.chain.primitives.errors import DecodeError
from dmchain.chain.primitives.types import ZERO_HASH, Address, Hash32

JOURNAL_VERSION: Final = 1
MAX_BODIES: Final = 64

_HEAD = struct.Struct(">QIBI32sI32s")
_HEIGHT = struct.Struct(">Q")
_COUNT = struct.Struct(">H")
_TAG_OWNER = b"\0"
_TAG_RECORD = b"\1"
_TAG_SIGN_FROM = b"\2"


@dataclass(frozen=True, slots=True)
class JournalState:
    """What a journal says. `sign_from` None: observe, nobody knows yet for how long."""

    address: Address
    is_replacement: bool
    sign_from: int | None
    record: SignRecord | None
    bodies: dict[Hash32, bytes] = field(default_factory=dict)


def encode_owner(address: Address, *, is_replacement: bool = False) -> bytes:
    """The first payload of a journal: whose it is, and whether an earlier one was lost."""
    return _TAG_OWNER + bytes((JOURNAL_VERSION, is_replacement)) + address


def encode_sign_from(height: int) -> bytes:
    """The payload that ends the observer period."""
    return _TAG_SIGN_FROM + _HEIGHT.pack(height)


def encode_append(record: SignRecord, written: Iterable[Hash32]) -> bytes:
    """The payload that makes `record` durable, with those of its bodies that are not among `written` yet."""
    known = set(written)
    bodies = [block for block in record.blocks if block.hash not in known]
    parts = [_TAG_RECORD, _COUNT.pack(len(bodies))]
    parts += [block.hash + encode_body(block.body) for block in bodies]
    return b"".join([*parts, encode_record(record)])


def replay(payloads: Sequence[bytes]) -> JournalState:
    """What the payloads of a whole journal come to; raises DecodeError."""
    address, is_replacement = _decode_owner(payloads[0] if payloads else b"")
    sign_from = None if is_replacement else 0
    bodies: dict[Hash32, bytes] = {}
    last: bytes | None = None
    for payload in payloads[1:]:
        tag = payload[:1]
        if tag == _TAG_RECORD:
            reader = Reader(payload, "journal record")
            reader.take(1)
            for _ in range(reader.number(_COUNT, "bodies", MAX_BODIES)):
                block_hash = reader.block_hash()
                bodies[block_hash] = reader.blob("body", MAX_BODY_BYTES)
            last = reader.rest()
        elif tag == _TAG_SIGN_FROM and len(payload) == 1 + _HEIGHT.size:
            (sign_from,) = _HEIGHT.unpack(payload[1:])
        else:
            raise DecodeError(f"journal: record with tag {tag.hex() or 'nothing'} of {len(payload)} bytes")
    record = None if last is None else decode_record(last, bodies)
    return JournalState(address, is_replacement, sign_from, record, bodies)


def _decode_owner(payload: bytes) -> tuple[Address, bool]:
    if len(payload) != 23 or payload[:1] != _TAG_OWNER:
        raise DecodeError("journal: the first record does not say whose it is")
    if payload[1] != JOURNAL_VERSION:
        raise DecodeError(f"journal: version: expected {JOURNAL_VERSION}, got {payload[1]}")
    if payload[2] > 1:
        raise DecodeError(f"journal: origin: expected 0 or 1, got {payload[2]}")
    return Address(payload[3:]), payload[2] == 1


def encode_record(record: SignRecord) -> bytes:
    """Fixed-width fields as in encoding.py; bodies by hash."""
    parts = [
        _HEAD.pack(
            record.height,
            record.round,
            record.step,
            record.locked_round + 1,
            record.locked_hash or ZERO_HASH,
            record.valid_round + 1,
            record.valid_hash or ZERO_HASH,
        ),
        b"\0" if record.valid_polka is None else b"\1" + encode_polka(record.valid_polka),
        encode_votes(record.round_certificate),
        _COUNT.pack(len(record.blocks)),
        *[block.hash for block in record.blocks],
        _COUNT.pack(len(record.own)),
        *[_encode_own(message) for message in record.own],
    ]
    return b"".join(parts)


def _encode_own(message: OwnMessage) -> bytes:
    if isinstance(message, Vote):
        return b"\0" + encode_vote(message)
    return b"\1" + encode_proposal(ProposalMessage(message.proposal, None, message.polka))


def decode_record(raw: bytes, bodies: dict[Hash32, bytes]) -> SignRecord:
    """Raises DecodeError; also when a body is missing, for then the journal is not whole."""
    reader = Reader(raw, "journal record")
    height, round, step, locked_round, locked_hash, valid_round, valid_hash = _HEAD.unpack(reader.take(_HEAD.size))
    if step > Step.HALTED:
        raise DecodeError(f"journal record: step: expected at most {int(Step.HALTED)}, got {step}")
    polka = read_polka(reader) if reader.flag("polka") else None
    certificate = read_votes(reader, height)
    blocks = []
    for _ in range(reader.number(_COUNT, "bodies", MAX_BODIES)):
        block_hash = reader.block_hash()
        if block_hash not in bodies:
            raise DecodeError(f"journal record of height {height}: body of 0x{block_hash.hex()} is missing")
        blocks.append(Candidate(block_hash, bodies[block_hash]))
    own = tuple([_read_own(reader, height) for _ in range(reader.number(_COUNT, "own messages", 2**16 - 1))])
    reader.finish()
    return SignRecord(
        height=height,
        round=round,
        step=Step(step),
        locked_round=locked_round + NO_ROUND,
        locked_hash=None if locked_hash == ZERO_HASH else Hash32(locked_hash),
        valid_round=valid_round + NO_ROUND,
        valid_hash=None if valid_hash == ZERO_HASH else Hash32(valid_hash),
        valid_polka=polka,
        round_certificate=certificate,
        blocks=tuple(blocks),
        own=own,
    )


def _read_own(reader: Reader, height: int) -> OwnMessage:
    if not reader.flag("own message"):
        return read_vote(reader, height)
    return read_proposal(reader, _refuse_body)


def _refuse_body(body: bytes) -> Hash32:
    raise DecodeError("journal record: an own proposal carries a body")
