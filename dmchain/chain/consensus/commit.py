"""Commits: the form of a commit certificate that is hashed, stored and served.

Bytes: height 8 || round 4 || block hash 32 || validators 2 || bitmap, bit i of byte i // 8 being validator i (least
significant first) || 65 bytes for each bit that is set, in validator order. One commit has one encoding.

The *canonical* commit of height h is the one inside block h + 1: the only one that counts for liveness and rewards.
The *seen* commit is what this node decided with; the head has no other.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from dmchain.chain.consensus.certificates import InvalidCertificate
from dmchain.chain.consensus.messages import (
    MAX_ROUND,
    NO_ROUND,
    PRECOMMIT,
    CommitCertificate,
    Vote,
)
from dmchain.chain.consensus.validators import MAX_VALIDATORS, ValidatorSet
from dmchain.chain.primitives.crypto import keccak
from dmchain.chain.primitives.errors import DecodeError
from dmchain.chain.primitives.public_key import SIGNATURE_BYTES
from dmchain.chain.primitives.types import ZERO_HASH, Hash32

_HEAD = struct.Struct(">QI32sH")


@dataclass(frozen=True, slots=True)
class Commit:
    """`signatures` by validator index; None where a validator's precommit is not part of it."""

    height: int
    round: int
    block_hash: Hash32
    signatures: tuple[bytes | None, ...]

    @classmethod
    def from_certificate(cls, certificate: CommitCertificate, validators: int) -> Commit:
        """`validators` is the size of the set that signs the height."""
        signatures: list[bytes | None] = [None] * validators
        for vote in certificate.votes:
            signatures[vote.validator] = vote.signature
        return cls(certificate.height, certificate.round, certificate.block_hash, tuple(signatures))

    def vote(self, validator: int) -> Vote:
        """The precommit of a validator whose signature is there."""
        signature = self.signatures[validator]
        if signature is None:
            raise ValueError(f"validator {validator} has no part in the commit of height {self.height}")
        return Vote(PRECOMMIT, self.height, self.round, NO_ROUND, self.block_hash, validator, signature)

    def signers(self) -> tuple[int, ...]:
        """Indices of those who signed, ascending."""
        return tuple([index for index, signature in enumerate(self.signatures) if signature is not None])

    def to_certificate(self) -> CommitCertificate:
        votes = tuple([self.vote(index) for index in self.signers()])
        return CommitCertificate(self.height, self.round, self.block_hash, votes)

    @property
    def hash(self) -> Hash32:
        """What the next record's lastCommitHash is."""
        return keccak(self.encode())

    def encode(self) -> bytes:
        bitmap = bytearray((len(self.signatures) + 7) // 8)
        present = []
        for index, signature in enumerate(self.signatures):
            if signature is not None:
                bitmap[index >> 3] |= 1 << (index & 7)
                present.append(signature)
        head = _HEAD.pack(self.height, self.round, self.block_hash, len(self.signatures))
        return b"".join([head, bitmap, *present])

    @classmethod
    def decode(cls, raw: bytes) -> Commit:
        """Raises DecodeError for anything that `encode` does not make."""
        if len(raw) < _HEAD.size:
            raise DecodeError(f"commit: expected {_HEAD.size} bytes or more, got {len(raw)}")
        height, round, block_hash, count = _HEAD.unpack_from(raw)
        if round > MAX_ROUND:
            raise DecodeError(f"commit: round: expected at most {MAX_ROUND}, got {round}")
        if not 0 < count <= MAX_VALIDATORS:
            raise DecodeError(f"commit: validators: expected 1 to {MAX_VALIDATORS}, got {count}")
        if block_hash == ZERO_HASH:
            raise DecodeError("commit: block hash: expected a block, got zero")
        at = _HEAD.size + (count + 7) // 8
        bitmap = int.from_bytes(raw[_HEAD.size : at], "little")
        expected = at + SIGNATURE_BYTES * bitmap.bit_count()
        if len(raw) != expected:
            raise DecodeError(f"commit: expected {expected} bytes, got {len(raw)}")
        if bitmap >> count:
            raise DecodeError(f"commit: bitmap: a bit beyond validator {count - 1} is set")
        signatures: list[bytes | None] = []
        for index in range(count):
            if bitmap >> index & 1:
                signatures.append(raw[at : at + SIGNATURE_BYTES])
                at += SIGNATURE_BYTES
            else:
                signatures.append(None)
        return cls(height, round, Hash32(block_hash), tuple(signatures))


def verify_commit(commit: Commit, validators: ValidatorSet, is_signed: Callable[[Vote, ValidatorSet], bool]) -> int:
    """Check every signature; return the power behind the commit.

    For what goes into a block or is stored: a commit with one bad signature is refused whole. Raises
    InvalidCertificate when the set has another size, a signature is not its validator's, or the power is no quorum.
    """
    return _verify(commit, validators, is_signed, validators.total + 1)


def verify_commit_quorum(
    commit: Commit, validators: ValidatorSet, is_signed: Callable[[Vote, ValidatorSet], bool]
) -> int:
    """As `verify_commit`, but stop at a quorum: for a commit that is read and thrown away."""
    return _verify(commit, validators, is_signed, validators.quorum)


def _verify(
    commit: Commit,
    validators: ValidatorSet,
    is_signed: Callable[[Vote, ValidatorSet], bool],
    enough: int,
) -> int:
    if len(commit.signatures) != len(validators):
        raise InvalidCertificate(
            f"commit of height {commit.height}: expected {len(validators)} validators, got {len(commit.signatures)}"
        )
    signers = commit.signers()
    available = sum([validators.powers[index] for index in signers])
    if available < validators.quorum:  # cheap, so before any signature
        raise InvalidCertificate(
            f"commit of height {commit.height}: expected power {validators.quorum} or more, got {available}"
        )
    power = 0
    for index in signers:
        if not is_signed(commit.vote(index), validators):
            raise InvalidCertificate(f"commit of height {commit.height}: bad signature of validator {index}")
        power += validators.powers[index]
        if power >= enough:
            break
    return power
