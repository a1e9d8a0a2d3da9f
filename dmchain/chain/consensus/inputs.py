"""Everything that can happen to the consensus core."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

from dmchain.chain.consensus.messages import Candidate, CommitCertificate, Message, Signable, SignRecord
from dmchain.chain.consensus.proposer import ProposerSchedule
from dmchain.chain.consensus.validators import ValidatorSet
from dmchain.chain.primitives.types import Hash32

Peer: TypeAlias = int
"""The host's name for a connection; the core only hands it back."""


class TimerKind(IntEnum):
    """`timing.compute_timeout_ms` has their lengths. STUCK and RETRY are answered by `Rebroadcast`."""

    HEARTBEAT = 0
    PROPOSE = 1
    PREVOTE = 2
    PRECOMMIT = 3
    STUCK = 4
    RETRY = 5


@dataclass(frozen=True, slots=True)
class Start:
    """Begin `height`: the first input, and the host's answer to a decision it has stored.

    `position` of round 0 in `proposers`: heights since the epoch began. `record` is the last one of the journal,
    whatever its height; None for a validator that has never signed. `last_commit` is the certificate of the height
    before, None at the first. An observer follows but never signs.
    """

    height: int
    validators: ValidatorSet
    proposers: ProposerSchedule
    position: int
    record: SignRecord | None = None
    last_commit: CommitCertificate | None = None
    is_observer: bool = False


@dataclass(frozen=True, slots=True)
class WorkAvailable:
    """There is something to put into a block of `height`, and it had a moment to spread."""

    height: int


@dataclass(frozen=True, slots=True)
class Received:
    """A message, whose single signatures (of a vote, of a proposal) the host has checked.

    `is_timely`: of a fresh proposal, or of a body that comes apart from it, whether the block's time is plausible at the
    moment of arrival (`timing.is_timely`); True as long as the body has not come. `sender` None is this node itself.
    """

    message: Message
    sender: Peer | None = None
    is_timely: bool = True


@dataclass(frozen=True, slots=True)
class Timeout:
    """The timer set for (kind, height, round) has run out."""

    kind: TimerKind
    height: int
    round: int


@dataclass(frozen=True, slots=True)
class Value:
    """The application's answer to GetValue: a block that it finds valid."""

    height: int
    round: int
    block: Candidate


@dataclass(frozen=True, slots=True)
class Validity:
    """The application's answer to Validate; independent of time of day and of this node."""

    height: int
    block_hash: Hash32
    is_valid: bool


@dataclass(frozen=True, slots=True)
class Signed:
    """The signer's answer to Sign: the same statement with its signature. A signer that refuses does not answer."""

    message: Signable


@dataclass(frozen=True, slots=True)
class Rebroadcast:
    """A STUCK or RETRY timer of `height` has run out."""

    height: int


Input: TypeAlias = Start | WorkAvailable | Received | Timeout | Value | Validity | Signed | Rebroadcast
