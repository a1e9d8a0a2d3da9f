"""Certificates: votes gathered into proofs, and the check of proofs that come from others."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from dmchain.chain.consensus.messages import (
    NO_ROUND,
    PRECOMMIT,
    PREVOTE,
    CommitCertificate,
    Polka,
    Vote,
)
from dmchain.chain.consensus.validators import ValidatorSet
from dmchain.chain.primitives.errors import DmchainError
from dmchain.chain.primitives.types import Hash32


class InvalidCertificate(DmchainError):
    """A certificate does not prove what it says."""


def by_validator(votes: Iterable[Vote]) -> tuple[Vote, ...]:
    """In validator order, so that a set of votes has one form."""
    return tuple(sorted(votes, key=lambda vote: vote.validator))


def make_polka(height: int, round: int, block_hash: Hash32 | None, valid_round: int, prevotes: Iterable[Vote]) -> Polka:
    """The polka of those `prevotes` of the round that are for (block_hash, valid_round)."""
    chosen = [vote for vote in prevotes if vote.block_hash == block_hash and vote.valid_round == valid_round]
    return Polka(height, round, valid_round, block_hash, by_validator(chosen))


def make_commit(height: int, round: int, block_hash: Hash32, precommits: Iterable[Vote]) -> CommitCertificate:
    """The certificate of those `precommits` of the round that are for `block_hash`."""
    chosen = [vote for vote in precommits if vote.block_hash == block_hash]
    return CommitCertificate(height, round, block_hash, by_validator(chosen))


def validate_polka(polka: Polka, validators: ValidatorSet, is_signed: Callable[[Vote], bool]) -> None:
    """Raises InvalidCertificate unless `polka` is prevotes worth a quorum for its (value, valid round).

    `is_signed` is asked last, once for each vote.
    """
    if polka.valid_round >= polka.round:
        raise InvalidCertificate(f"polka: valid round {polka.valid_round} is not below round {polka.round}")
    expected = (PREVOTE, polka.height, polka.round, polka.valid_round, polka.block_hash)
    _validate("polka", polka.votes, expected, validators, is_signed)


def validate_commit(commit: CommitCertificate, validators: ValidatorSet, is_signed: Callable[[Vote], bool]) -> None:
    """Raises InvalidCertificate unless `commit` is precommits worth a quorum for its block."""
    expected = (PRECOMMIT, commit.height, commit.round, NO_ROUND, commit.block_hash)
    _validate("commit certificate", commit.votes, expected, validators, is_signed)


def _validate(
    name: str,
    votes: tuple[Vote, ...],
    expected: tuple[int, int, int, int, Hash32 | None],
    validators: ValidatorSet,
    is_signed: Callable[[Vote], bool],
) -> None:
    power = 0
    previous = -1
    for vote in votes:
        content = (vote.kind, vote.height, vote.round, vote.valid_round, vote.block_hash)
        if content != expected:
            raise InvalidCertificate(f"{name}: expected votes of {expected}, got {content}")
        if not previous < vote.validator < len(validators):
            raise InvalidCertificate(
                f"{name}: expected ascending validators below {len(validators)}, got {vote.validator} after {previous}"
            )
        previous = vote.validator
        power += validators.powers[vote.validator]
    if power < validators.quorum:
        raise InvalidCertificate(f"{name}: expected power {validators.quorum} or more, got {power}")
    for vote in votes:
        if not is_signed(vote):
            raise InvalidCertificate(f"{name}: bad signature of validator {vote.validator}")
