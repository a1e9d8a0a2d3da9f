"""Consensus messages and journal records as bytes: fixed-width fields, one encoding each, strict decoding.

A message is a tag byte and its fields, big-endian; the tables below are the definition. "votes" within a certificate is
count 2, then (validator 2 || signature 65) each, validators ascending; what the votes have in common stands once in
front. "vote" is kind 1 || round 4 || valid round + 1, 4 || hash 32 || validator 2 || signature 65. A zero hash is nil.
"blob" is length 4 || bytes. "optional" is 0, or 1 and the thing.

| tag | message | fields |
|---|---|---|
| 1 | Vote | height 8, vote |
| 2 | ProposalMessage | height 8, round 4, valid round + 1 4, hash 32, validator 2, signature 65, optional body blob, optional polka |
| 3 | Polka | polka = height 8, round 4, valid round + 1 4, hash 32, votes |
| 4 | CommitCertificate | commit = height 8, round 4, hash 32, votes |
| 5 | VoteBundle | height 8, count 2, vote each |
| 6 | Decision | body blob, commit |
| 7 | RoundStatus | height 8, round + 1 4, step 1, valid round + 1 4, flags 1, bitmaps 2 x (length 2 || little-endian bytes) |
| 8 | BlockRequest | height 8, hash 32 |
| 9 | BlockReply | height 8, body blob |

A body's hash is not sent: the receiver computes it.
"""  # noqa: E501

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final, TypeAlias

from dmchain.chain.consensus.messages import (
    MAX_ROUND,
    NO_ROUND,
    PRECOMMIT,
    PREVOTE,
    BlockReply,
    BlockRequest,
    Candidate,
    CommitCertificate,
    Decision,
    Message,
    Polka,
    Proposal,
    ProposalMessage,
    RoundStatus,
    Step,
    Vote,
    VoteBundle,
)
from dmchain.chain.consensus.validators import MAX_VALIDATORS
from dmchain.chain.primitives.errors import DecodeError
from dmchain.chain.primitives.public_key import SIGNATURE_BYTES
from dmchain.chain.primitives.types import ZERO_HASH, Hash32

HashBody: TypeAlias = Callable[[bytes], Hash32]
"""Decode a body as far as its header and check that the header binds the rest; return the header's hash. Raises
DecodeError."""

MAX_BODY_BYTES: Final = 16 * 1024 * 1024
"""Of a block; the chain's own limits are lower, this one only keeps a length from being absurd."""
MAX_BUNDLE_VOTES: Final = 2 * MAX_VALIDATORS

_VOTE = struct.Struct(">BII32sH65s")
_SHORT_VOTE = struct.Struct(">H65s")
_PROPOSAL = struct.Struct(">QII32sH65s")
_POLKA = struct.Struct(">QII32s")
_COMMIT = struct.Struct(">QI32s")
_STATUS = struct.Struct(">QIBIB")
_HEIGHT = struct.Struct(">Q")
_COUNT = struct.Struct(">H")
_LENGTH = struct.Struct(">I")
_REQUEST = struct.Struct(">Q32s")


class Reader:
    """Walks over bytes from outside; every read checks that they are there."""

    __slots__ = ("_at", "_name", "_raw")

    def __init__(self, raw: bytes, name: str) -> None:
        self._raw = raw
        self._at = 0
        self._name = name

    def take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._raw):
            raise DecodeError(f"{self._name}: ends {end - len(self._raw)} bytes too early")
        data = self._raw[self._at : end]
        self._at = end
        return data

    def unpack(self, form: struct.Struct) -> tuple[int | bytes, ...]:
        return form.unpack(self.take(form.size))

    def number(self, form: struct.Struct, field: str, limit: int) -> int:
        (value,) = form.unpack(self.take(form.size))
        if value > limit:
            raise DecodeError(f"{self._name}: {field}: expected at most {limit}, got {value}")
        return int(value)

    def flag(self, field: str) -> bool:
        value = self.take(1)
        if value not in (b"\0", b"\1"):
            raise DecodeError(f"{self._name}: {field}: expected 0 or 1, got {value[0]}")
        return value == b"\1"

    def blob(self, field: str, limit: int) -> bytes:
        return self.take(self.number(_LENGTH, field, limit))

    def finish(self) -> None:
        if self._at != len(self._raw):
            raise DecodeError(f"{self._name}: {len(self._raw) - self._at} bytes after the end")

    def rest(self) -> bytes:
        """Everything up to the end."""
        return self.take(len(self._raw) - self._at)

    def round(self, field: str = "round") -> int:
        return self.number(_LENGTH, field, MAX_ROUND)

    def round_or_none(self, field: str) -> int:
        return self.number(_LENGTH, field, MAX_ROUND + 1) + NO_ROUND

    def value(self) -> Hash32 | None:
        raw = self.take(32)
        return None if raw == ZERO_HASH else Hash32(raw)

    def block_hash(self) -> Hash32:
        raw = self.take(32)
        if raw == ZERO_HASH:
            raise DecodeError(f"{self._name}: block hash: expected a block, got nil")
        return Hash32(raw)

    def validator(self) -> int:
        return self.number(_COUNT, "validator", MAX_VALIDATORS - 1)


# -- out ---------------------------------------------------------------------------------------------------------
def encode_message(message: Message) -> bytes:
    """The bytes of any message; `decode_message` is its inverse."""
    tag, encoder = _ENCODERS[type(message)]
    return tag + encoder(message)


def encode_body(body: bytes) -> bytes:
    return _LENGTH.pack(len(body)) + body


def encode_vote(vote: Vote) -> bytes:
    """A vote without its height, as it stands within messages that name the height."""
    value = vote.block_hash or ZERO_HASH
    return _VOTE.pack(vote.kind, vote.round, vote.valid_round + 1, value, vote.validator, vote.signature)


def encode_votes(votes: tuple[Vote, ...]) -> bytes:
    """Votes of one height, in the order given."""
    return _COUNT.pack(len(votes)) + b"".join([encode_vote(vote) for vote in votes])


def encode_proposal(message: ProposalMessage) -> bytes:
    proposal, polka = message.proposal, message.polka
    fixed = _PROPOSAL.pack(
        proposal.height,
        proposal.round,
        proposal.valid_round + 1,
        proposal.block_hash,
        proposal.validator,
        proposal.signature,
    )
    body = b"\0" if message.block is None else b"\1" + encode_body(message.block.body)
    return fixed + body + (b"\0" if polka is None else b"\1" + encode_polka(polka))


def encode_polka(polka: Polka) -> bytes:
    fixed = _POLKA.pack(polka.height, polka.round, polka.valid_round + 1, polka.block_hash or ZERO_HASH)
    return fixed + _encode_short_votes(polka.votes)


def encode_commit(commit: CommitCertificate) -> bytes:
    return _COMMIT.pack(commit.height, commit.round, commit.block_hash) + _encode_short_votes(commit.votes)


def _encode_short_votes(votes: tuple[Vote, ...]) -> bytes:
    signatures = [_SHORT_VOTE.pack(vote.validator, vote.signature) for vote in votes]
    return _COUNT.pack(len(votes)) + b"".join(signatures)


def _encode_single_vote(vote: Vote) -> bytes:
    return _HEIGHT.pack(vote.height) + encode_vote(vote)


def _encode_bundle(bundle: VoteBundle) -> bytes:
    return _HEIGHT.pack(bundle.height) + encode_votes(bundle.votes)


def _encode_decision(decision: Decision) -> bytes:
    return encode_body(decision.block.body) + encode_commit(decision.commit)


def _encode_status(status: RoundStatus) -> bytes:
    flags = status.has_proposal | status.has_polka << 1
    fixed = _STATUS.pack(status.height, status.round + 1, status.step, status.valid_round + 1, flags)
    bitmaps = []
    for bitmap in (status.prevotes, status.precommits):
        raw = bitmap.to_bytes((bitmap.bit_length() + 7) // 8, "little")
        bitmaps.append(_COUNT.pack(len(raw)) + raw)
    return fixed + b"".join(bitmaps)


def _encode_request(request: BlockRequest) -> bytes:
    return _REQUEST.pack(request.height, request.block_hash)


def _encode_reply(reply: BlockReply) -> bytes:
    return _HEIGHT.pack(reply.height) + encode_body(reply.block.body)


_ENCODERS: Final[dict[type, tuple[bytes, Callable[..., bytes]]]] = {
    Vote: (b"\1", _encode_single_vote),
    ProposalMessage: (b"\2", encode_proposal),
    Polka: (b"\3", encode_polka),
    CommitCertificate: (b"\4", encode_commit),
    VoteBundle: (b"\5", _encode_bundle),
    Decision: (b"\6", _encode_decision),
    RoundStatus: (b"\7", _encode_status),
    BlockRequest: (b"\x08", _encode_request),
    BlockReply: (b"\x09", _encode_reply),
}


# -- in ----------------------------------------------------------------------------------------------------------
def decode_message(raw: bytes, hash_body: HashBody) -> Message:
    """Raises DecodeError for anything that `encode_message` does not make. Signatures are not checked."""
    if not raw or raw[0] not in _DECODERS:
        raise DecodeError(f"consensus message: expected tag 1 to 9, got {raw[:1].hex() or 'nothing'}")
    name, decoder = _DECODERS[raw[0]]
    reader = Reader(raw, name)
    reader.take(1)
    message = decoder(reader, hash_body)
    reader.finish()
    return message


def read_body(reader: Reader, hash_body: HashBody) -> Candidate:
    body = reader.blob("body", MAX_BODY_BYTES)
    return Candidate(hash_body(body), body)


def read_vote(reader: Reader, height: int) -> Vote:
    kind = reader.take(1)[0]
    if kind not in (PREVOTE, PRECOMMIT):
        raise DecodeError(f"vote: kind: expected {PREVOTE} or {PRECOMMIT}, got {kind}")
    round, valid_round, value = reader.round(), reader.round_or_none("valid round"), reader.value()
    if valid_round >= round or (valid_round != NO_ROUND and (kind == PRECOMMIT or value is None)):
        raise DecodeError(f"vote: valid round {valid_round} in a vote of round {round} that cannot have it")
    return Vote(kind, height, round, valid_round, value, reader.validator(), reader.take(SIGNATURE_BYTES))


def read_votes(reader: Reader, height: int) -> tuple[Vote, ...]:
    count = reader.number(_COUNT, "votes", MAX_BUNDLE_VOTES)
    return tuple([read_vote(reader, height) for _ in range(count)])


def read_proposal(reader: Reader, hash_body: HashBody) -> ProposalMessage:
    height, round = reader.number(_HEIGHT, "height", 2**64 - 1), reader.round()
    valid_round = reader.round_or_none("valid round")
    if valid_round >= round:
        raise DecodeError(f"proposal: valid round: expected below {round}, got {valid_round}")
    proposal = Proposal(
        height, round, valid_round, reader.block_hash(), reader.validator(), reader.take(SIGNATURE_BYTES)
    )
    block = read_body(reader, hash_body) if reader.flag("body") else None
    polka = read_polka(reader, hash_body) if reader.flag("polka") else None
    return ProposalMessage(proposal, block, polka)


def read_polka(reader: Reader, hash_body: HashBody | None = None) -> Polka:
    height, round = reader.number(_HEIGHT, "height", 2**64 - 1), reader.round()
    valid_round, value = reader.round_or_none("valid round"), reader.value()
    if valid_round >= round or (valid_round != NO_ROUND and value is None):
        raise DecodeError(f"polka: valid round {valid_round} in a polka of round {round} that cannot have it")
    votes = _read_short_votes(reader, PREVOTE, height, round, valid_round, value)
    return Polka(height, round, valid_round, value, votes)


def read_commit(reader: Reader, hash_body: HashBody | None = None) -> CommitCertificate:
    height, round = reader.number(_HEIGHT, "height", 2**64 - 1), reader.round()
    block_hash = reader.block_hash()
    votes = _read_short_votes(reader, PRECOMMIT, height, round, NO_ROUND, block_hash)
    return CommitCertificate(height, round, block_hash, votes)


def _read_short_votes(
    reader: Reader, kind: int, height: int, round: int, valid_round: int, value: Hash32 | None
) -> tuple[Vote, ...]:
    votes = []
    previous = -1
    for _ in range(reader.number(_COUNT, "votes", MAX_VALIDATORS)):
        validator = reader.validator()
        if validator <= previous:
            raise DecodeError(f"certificate: expected ascending validators, got {validator} after {previous}")
        previous = validator
        signature = reader.take(SIGNATURE_BYTES)
        votes.append(Vote(kind, height, round, valid_round, value, validator, signature))
    return tuple(votes)


def _read_single_vote(reader: Reader, hash_body: HashBody) -> Vote:
    height = reader.number(_HEIGHT, "height", 2**64 - 1)
    return read_vote(reader, height)


def _read_bundle(reader: Reader, hash_body: HashBody) -> VoteBundle:
    height = reader.number(_HEIGHT, "height", 2**64 - 1)
    return VoteBundle(height, read_votes(reader, height))


def _read_decision(reader: Reader, hash_body: HashBody) -> Decision:
    return Decision(read_body(reader, hash_body), read_commit(reader))


def _read_status(reader: Reader, hash_body: HashBody) -> RoundStatus:
    height = reader.number(_HEIGHT, "height", 2**64 - 1)
    round = reader.round_or_none("round")
    step = reader.take(1)[0]
    if step > Step.HALTED:
        raise DecodeError(f"status: step: expected at most {int(Step.HALTED)}, got {step}")
    valid_round = reader.round_or_none("valid round")
    flags = reader.take(1)[0]
    if flags > 3:
        raise DecodeError(f"status: flags: expected at most 3, got {flags}")
    bitmaps = []
    for field in ("prevotes", "precommits"):
        bitmap = reader.take(reader.number(_COUNT, field, MAX_VALIDATORS // 8))
        if bitmap[-1:] == b"\0":
            raise DecodeError(f"status: {field}: a bitmap ends with a zero byte")
        bitmaps.append(int.from_bytes(bitmap, "little"))
    return RoundStatus(height, round, Step(step), valid_round, bool(flags & 1), bool(flags & 2), *bitmaps)


def _read_request(reader: Reader, hash_body: HashBody) -> BlockRequest:
    return BlockRequest(reader.number(_HEIGHT, "height", 2**64 - 1), reader.block_hash())


def _read_reply(reader: Reader, hash_body: HashBody) -> BlockReply:
    return BlockReply(reader.number(_HEIGHT, "height", 2**64 - 1), read_body(reader, hash_body))


_DECODERS: Final[dict[int, tuple[str, Callable[[Reader, HashBody], Message]]]] = {
    1: ("vote", _read_single_vote),
    2: ("proposal", read_proposal),
    3: ("polka", read_polka),
    4: ("commit certificate", read_commit),
    5: ("vote bundle", _read_bundle),
    6: ("decision", _read_decision),
    7: ("status", _read_status),
    8: ("block request", _read_request),
    9: ("block reply", _read_reply),
}
