"""Light verification: from one trusted height to another by validator sets, without executing anything.

Trusted is a height with its set and the hash of the next one's. A header is accepted when its record's root stands in it,
a quorum of the set that the record names has signed its hash, and that set is tied to the trusted one: at the very next
height by the hash of the next set, further away by signatures of more than a third of the trusted set (`NotEnoughTrust`
otherwise: ask for a height in between). Pure; the time is an argument.
"""

from __future__ import annotations

from dataclasses import dataclass

from dmchain.chain.consensus.certificates import InvalidCertificate
from dmchain.chain.consensus.commit import Commit, verify_commit_quorum
from dmchain.chain.consensus.evidence import DoubleVote, make_double_vote
from dmchain.chain.consensus.messages import Vote
from dmchain.chain.consensus.record import Record
from dmchain.chain.consensus.signatures import SignatureChecker
from dmchain.chain.consensus.validators import ValidatorSet
from dmchain.chain.primitives.block import Header
from dmchain.chain.primitives.errors import DmchainError
from dmchain.chain.primitives.types import Hash32

TRUSTING_PERIOD_MS = 388_800_000
"""Four and a half days: two thirds of the unbonding period of seven, within which who signs a false header can still be
made to pay for it."""
CLOCK_DRIFT_MS = 10_000
"""How far a header may be ahead of the verifier's clock."""


class InvalidLightBlock(DmchainError):
    """A header, record, commit or set that do not belong together, or to the chain."""


class TrustExpired(DmchainError):
    """What was trusted is too old to build on."""


class NotEnoughTrust(DmchainError):
    """The sets have changed too much in between: verify a height in the middle first."""


@dataclass(frozen=True, slots=True)
class Trusted:
    """A height that is believed. `validators` signed it; `next_validators_hash` names who signs the next one."""

    chain_id: int
    height: int
    block_hash: Hash32
    time_ms: int
    validators: ValidatorSet
    next_validators_hash: Hash32


@dataclass(frozen=True, slots=True)
class LightBlock:
    """What a full node serves of one height."""

    header: Header
    record: Record
    commit: Commit
    validators: ValidatorSet


def verify_light_block(
    trusted: Trusted,
    block: LightBlock,
    checker: SignatureChecker,
    now_ms: int,
    trusting_period_ms: int = TRUSTING_PERIOD_MS,
) -> Trusted:
    """Return what may be trusted after `block`, whose height is above the trusted one.

    Raises TrustExpired, NotEnoughTrust or InvalidLightBlock.
    """
    if now_ms > trusted.time_ms + trusting_period_ms:
        raise TrustExpired(
            f"the trusted height {trusted.height} is {(now_ms - trusted.time_ms) // 86_400_000} days old",
            hint="start again from a recent height and hash that you have from somebody you trust",
        )
    check_consistency(trusted.chain_id, block)
    record = block.record
    if record.height <= trusted.height:
        raise InvalidLightBlock(f"height: expected above {trusted.height}, got {record.height}")
    if not trusted.time_ms < record.timestamp_ms <= now_ms + CLOCK_DRIFT_MS:
        raise InvalidLightBlock(
            f"time of height {record.height}: expected after {trusted.time_ms} and not in the future, got"
            f" {record.timestamp_ms}"
        )
    if record.height == trusted.height + 1:
        if record.validators_hash != trusted.next_validators_hash:
            raise InvalidLightBlock(f"height {record.height}: signed by a set that was not announced")
    else:
        _check_overlap(trusted, block, checker)
    _check_commit(block, checker)
    return Trusted(
        record.chain_id,
        record.height,
        block.header.hash,
        record.timestamp_ms,
        block.validators,
        record.next_validators_hash,
    )


def check_consistency(chain_id: int, block: LightBlock) -> None:
    """Raises InvalidLightBlock unless header, record, commit and set speak of the same block of the chain."""
    header, record, commit = block.header, block.record, block.commit
    pairs: tuple[tuple[str, object, object], ...] = (
        ("chain id of the record", chain_id, record.chain_id),
        ("height of the record", header.number, record.height),
        ("height of the commit", header.number, commit.height),
        ("root of the record", header.parent_beacon_block_root, record.root()),
        ("time of the record", header.timestamp, record.timestamp_ms // 1000),
        ("block of the commit", header.hash, commit.block_hash),
        ("hash of the validator set", record.validators_hash, block.validators.hash),
    )
    for name, expected, got in pairs:
        if expected != got:
            raise InvalidLightBlock(f"{name}: expected {_show(expected)}, got {_show(got)}")


def _show(value: object) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)


def _check_overlap(trusted: Trusted, block: LightBlock, checker: SignatureChecker) -> None:
    """More than a third of the trusted power has signed: at least one of them is correct."""
    commit, power = block.commit, 0
    for index in commit.signers():
        if index >= len(block.validators):
            raise InvalidLightBlock(f"commit: signer {index} in a set of {len(block.validators)}")
        validator = block.validators.validators[index]
        known = trusted.validators.index_of(validator.address)
        if known is None:
            continue
        if not checker.is_signed_by_key(commit.vote(index), validator):
            raise InvalidLightBlock(f"commit: bad signature of validator {index}")
        power += trusted.validators.powers[known]
        if power >= trusted.validators.one_honest:
            return
    raise NotEnoughTrust(
        f"height {block.record.height}: expected {trusted.validators.one_honest} of the trusted power behind it, got"
        f" {power}"
    )


def _check_commit(block: LightBlock, checker: SignatureChecker) -> None:
    def is_signed(vote: Vote, validators: ValidatorSet) -> bool:
        return checker.is_signed_by_key(vote, validators.validators[vote.validator])

    try:
        verify_commit_quorum(block.commit, block.validators, is_signed)
    except InvalidCertificate as error:
        raise InvalidLightBlock(str(error)) from error


def find_double_votes(a: Commit, b: Commit) -> list[DoubleVote]:
    """The double votes in two commits of one height and round for different blocks; empty when the rounds differ.

    Commits of different rounds convict through the votes between them (amnesia), which a light client does not have.
    """
    if (a.height, a.round) != (b.height, b.round) or a.block_hash == b.block_hash:
        return []
    both = sorted(set(a.signers()) & set(b.signers()))
    return [make_double_vote(a.vote(index), b.vote(index)) for index in both]
