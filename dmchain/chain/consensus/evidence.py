"""Misbehaviour that proves itself: detected by the core, verified by everybody, encoded for a block.

* Double vote: two votes of one validator, height, round and kind that say different things (value or valid round).
* Amnesia: a precommit for v1 in round r1 and a later prevote for another value v2 whose valid round is below r1. With
  strict locks no correct validator ever sends such a pair (docs/consensus.md, Locking). Slashing for it is off in v1.
* Double proposal: only logged. Harmless alone, and a proposer that crashed between two attempts is hard to tell apart.

Bytes of a double vote: 1 || kind 1 || height 8 || round 4 || validator 2 || twice (valid round + 1, 4 || block hash
32 || signature 65), the smaller pair (valid round, hash) first. Of amnesia: 2 || height 8 || validator 2 || precommit
(round 4 || hash 32 || signature 65) || prevote (round 4 || valid round + 1, 4 || hash 32 || signature 65).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from dmchain.chain.consensus.messages import (
    KIND_NAMES,
    MAX_ROUND,
    NO_ROUND,
    PRECOMMIT,
    PREVOTE,
    Proposal,
    Vote,
)
from dmchain.chain.consensus.validators import ValidatorSet
from dmchain.chain.primitives.crypto import keccak
from dmchain.chain.primitives.errors import DecodeError, DmchainError
from dmchain.chain.primitives.types import ZERO_HASH, Hash32

_DOUBLE_VOTE = 1
_AMNESIA = 2
_DOUBLE_VOTE_FORM = struct.Struct(">BBQIHI32s65sI32s65s")
_AMNESIA_FORM = struct.Struct(">BQHI32s65sII32s65s")
_NIL = bytes(32)


class InvalidEvidence(DmchainError):
    """Evidence that proves nothing."""


@dataclass(frozen=True, slots=True)
class DoubleVote:
    """Two different votes of one validator where it may cast one; `make_double_vote` puts them in order."""

    first: Vote
    second: Vote

    @property
    def height(self) -> int:
        return self.first.height

    @property
    def validator(self) -> int:
        """Index in the set of the height."""
        return self.first.validator

    def encode(self) -> bytes:
        vote = self.first
        pair = [(v.valid_round + 1, v.block_hash or _NIL, v.signature) for v in (self.first, self.second)]
        return _DOUBLE_VOTE_FORM.pack(
            _DOUBLE_VOTE, vote.kind, vote.height, vote.round, vote.validator, *pair[0], *pair[1]
        )


@dataclass(frozen=True, slots=True)
class Amnesia:
    """A precommit, and a later prevote that forgets it."""

    precommit: Vote
    prevote: Vote

    @property
    def height(self) -> int:
        return self.precommit.height

    @property
    def validator(self) -> int:
        return self.precommit.validator

    def encode(self) -> bytes:
        before, after = self.precommit, self.prevote
        return _AMNESIA_FORM.pack(
            _AMNESIA,
            before.height,
            before.validator,
            before.round,
            before.block_hash or _NIL,
            before.signature,
            after.round,
            after.valid_round + 1,
            after.block_hash or _NIL,
            after.signature,
        )


@dataclass(frozen=True, slots=True)
class DoubleProposal:
    first: Proposal
    second: Proposal

    @property
    def height(self) -> int:
        return self.first.height

    @property
    def validator(self) -> int:
        return self.first.validator


ChainEvidence: TypeAlias = DoubleVote | Amnesia
Misbehaviour: TypeAlias = DoubleVote | Amnesia | DoubleProposal


def make_double_vote(a: Vote, b: Vote) -> DoubleVote:
    """In the order that makes one offence one byte string, whoever saw which vote first."""
    return DoubleVote(a, b) if _order(a) < _order(b) else DoubleVote(b, a)


def _order(vote: Vote) -> tuple[int, bytes]:
    return vote.valid_round, vote.block_hash or _NIL


def is_amnesia(precommit: Vote, prevote: Vote) -> bool:
    """Whether two votes of one validator at one height prove amnesia."""
    return (
        precommit.block_hash is not None
        and prevote.block_hash is not None
        and precommit.block_hash != prevote.block_hash
        and precommit.round < prevote.round
        and prevote.valid_round < precommit.round
    )


def verify_evidence(
    evidence: ChainEvidence, validators: ValidatorSet, is_signed: Callable[[Vote, ValidatorSet], bool]
) -> None:
    """Raises InvalidEvidence unless `evidence` proves misbehaviour of a member of `validators`.

    `validators` is the set of the evidence's height. Age and repetition are the caller's to judge.
    """
    if isinstance(evidence, DoubleVote):
        votes = (evidence.first, evidence.second)
        _validate_double_vote(*votes)
    else:
        votes = (evidence.precommit, evidence.prevote)
        _validate_amnesia(*votes)
    for vote in votes:
        if not 0 <= vote.validator < len(validators):
            raise InvalidEvidence(f"validator: expected below {len(validators)}, got {vote.validator}")
        if not is_signed(vote, validators):
            raise InvalidEvidence(f"bad signature of validator {vote.validator}")


def _validate_double_vote(first: Vote, second: Vote) -> None:
    for field in ("kind", "height", "round", "validator"):
        if getattr(first, field) != getattr(second, field):
            raise InvalidEvidence(
                f"double vote: {field}: expected the same in both votes, got {getattr(first, field)} and"
                f" {getattr(second, field)}"
            )
    if first.kind not in (PREVOTE, PRECOMMIT):
        raise InvalidEvidence(f"double vote: kind: expected a vote, got {first.kind}")
    if not _order(first) < _order(second):
        raise InvalidEvidence("double vote: expected two different votes, the smaller first")


def _validate_amnesia(precommit: Vote, prevote: Vote) -> None:
    if (precommit.kind, prevote.kind) != (PRECOMMIT, PREVOTE):
        raise InvalidEvidence("amnesia: expected a precommit and a prevote")
    if (precommit.height, precommit.validator) != (prevote.height, prevote.validator):
        raise InvalidEvidence("amnesia: expected votes of one validator at one height")
    if not is_amnesia(precommit, prevote):
        raise InvalidEvidence("amnesia: the prevote does not forget the precommit")


def decode_evidence(raw: bytes) -> ChainEvidence:
    """Raises DecodeError for anything `encode` does not make; signatures are not checked here."""
    tag = raw[:1]
    if tag == bytes((_DOUBLE_VOTE,)) and len(raw) == _DOUBLE_VOTE_FORM.size:
        _, kind, height, round, validator, *pairs = _DOUBLE_VOTE_FORM.unpack(raw)
        if kind not in (PREVOTE, PRECOMMIT):
            raise DecodeError(f"double vote: kind: expected {PREVOTE} or {PRECOMMIT}, got {kind}")
        first = _vote(kind, height, round, validator, *pairs[:3])
        second = _vote(kind, height, round, validator, *pairs[3:])
        evidence: ChainEvidence = DoubleVote(first, second)
    elif tag == bytes((_AMNESIA,)) and len(raw) == _AMNESIA_FORM.size:
        _, height, validator, round, block_hash, signature, *later = _AMNESIA_FORM.unpack(raw)
        precommit = _vote(PRECOMMIT, height, round, validator, 0, block_hash, signature)
        evidence = Amnesia(precommit, _vote(PREVOTE, height, later[0], validator, *later[1:]))
    else:
        raise DecodeError(
            f"evidence: expected tag 1 with {_DOUBLE_VOTE_FORM.size} bytes or tag 2 with {_AMNESIA_FORM.size},"
            f" got {tag.hex() or 'nothing'} with {len(raw)}"
        )
    try:
        if isinstance(evidence, DoubleVote):
            _validate_double_vote(evidence.first, evidence.second)
        else:
            _validate_amnesia(evidence.precommit, evidence.prevote)
    except InvalidEvidence as error:
        raise DecodeError(str(error)) from error
    return evidence


def _vote(
    kind: int, height: int, round: int, validator: int, valid_round: int, block_hash: bytes, signature: bytes
) -> Vote:
    value = None if block_hash == ZERO_HASH else Hash32(block_hash)
    if round > MAX_ROUND:
        raise DecodeError(f"evidence: round: expected at most {MAX_ROUND}, got {round}")
    if valid_round > round or (valid_round and (kind == PRECOMMIT or value is None)):
        raise DecodeError(f"evidence: valid round {valid_round + NO_ROUND} in a vote that cannot have it")
    return Vote(kind, height, round, valid_round + NO_ROUND, value, validator, signature)


def describe(proof: Misbehaviour) -> str:
    """One line for the log."""
    if isinstance(proof, DoubleVote):
        what = f"two {KIND_NAMES[proof.first.kind]}s in round {proof.first.round}"
    elif isinstance(proof, Amnesia):
        what = f"a prevote in round {proof.prevote.round} against its precommit in round {proof.precommit.round}"
    else:
        what = f"two proposals in round {proof.first.round}"
    return f"validator {proof.validator} at height {proof.height}: {what}"


def compute_evidence_hash(evidence: Sequence[ChainEvidence]) -> Hash32:
    """keccak of the encodings one after the other, zero when there are none: the record's evidenceHash."""
    if not evidence:
        return ZERO_HASH
    return keccak(b"".join([item.encode() for item in evidence]))
