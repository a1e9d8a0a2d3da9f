"""What validators say to each other.

Votes and proposals are signed statements; everything else is built from them and proves itself. A validator is named
by its index in the set of the message's height. `block_hash` None is nil. Rounds count from 0; NO_ROUND is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeAlias

from dmchain.chain.primitives.types import Hash32

NO_ROUND: Final = -1
MAX_ROUND: Final = 2**31 - 1
"""Of a message; with the longest timeouts a height would have to last a thousand years."""

PROPOSAL: Final = 0
PREVOTE: Final = 1
PRECOMMIT: Final = 2
KIND_NAMES: Final = ("proposal", "prevote", "precommit")
"""Kinds of signed message, in the order in which a validator signs them within a round."""

UNSIGNED: Final = b""


class Step(IntEnum):
    """Where a validator is within a round. IDLE: the height has not begun here; round is NO_ROUND."""

    IDLE = 0
    PROPOSE = 1
    PREVOTE = 2
    PRECOMMIT = 3
    COMMIT = 4
    HALTED = 5


@dataclass(frozen=True, slots=True)
class Candidate:
    """A block as consensus sees it: a name and opaque bytes.

    INVARIANT: `hash` binds every byte of `body`. Whoever decodes a body from outside computes the hash from it and
    refuses a body whose parts (transactions, record, last commit, evidence) are not what its header commits to.
    Otherwise a forger could have an honest hash taken for an invalid block.
    """

    hash: Hash32
    body: bytes


@dataclass(frozen=True, slots=True)
class Vote:
    """A prevote or precommit (`kind`) of validator number `validator`.

    `valid_round`: of a prevote, repeated from the proposal that caused it; NO_ROUND for nil and for precommits.
    """

    kind: int
    height: int
    round: int
    valid_round: int
    block_hash: Hash32 | None
    validator: int
    signature: bytes = UNSIGNED

    def is_same_statement(self, other: Vote) -> bool:
        """Whether both say the same, whatever their signatures; asked for votes of one validator, kind and round."""
        return self.block_hash == other.block_hash and self.valid_round == other.valid_round

    def signed(self, signature: bytes) -> Vote:
        return Vote(self.kind, self.height, self.round, self.valid_round, self.block_hash, self.validator, signature)


@dataclass(frozen=True, slots=True)
class Proposal:
    """The proposer's signed statement; `valid_round` is the round of the polka it re-proposes, or NO_ROUND."""

    height: int
    round: int
    valid_round: int
    block_hash: Hash32
    validator: int
    signature: bytes = UNSIGNED

    kind = PROPOSAL

    def signed(self, signature: bytes) -> Proposal:
        return Proposal(self.height, self.round, self.valid_round, self.block_hash, self.validator, signature)


@dataclass(frozen=True, slots=True)
class Polka:
    """Prevotes worth a quorum for one (value, valid round) in one round, in validator order. None is a nil polka."""

    height: int
    round: int
    valid_round: int
    block_hash: Hash32 | None
    votes: tuple[Vote, ...]


@dataclass(frozen=True, slots=True)
class CommitCertificate:
    """Precommits worth a quorum for one block in one round, in validator order: the proof that it is final."""

    height: int
    round: int
    block_hash: Hash32
    votes: tuple[Vote, ...]


@dataclass(frozen=True, slots=True)
class VoteBundle:
    """Votes of one height, each of which speaks for itself: how a round was entered, or what somebody lacks."""

    height: int
    votes: tuple[Vote, ...]


@dataclass(frozen=True, slots=True)
class ProposalMessage:
    """A proposal on its way: the body may travel apart; the polka proves the valid round of a re-proposal."""

    proposal: Proposal
    block: Candidate | None = None
    polka: Polka | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """A decided block for whoever is still at its height."""

    block: Candidate
    commit: CommitCertificate


@dataclass(frozen=True, slots=True)
class RoundStatus:
    """Where the sender is and what it has, so that a peer can send what it lacks.

    `prevotes` and `precommits` are bitmaps by validator index of the votes it has of its round; `valid_round` is that
    of its newest polka for a value; `has_polka` of its round, for a value or nil.
    """

    height: int
    round: int
    step: Step
    valid_round: int
    has_proposal: bool
    has_polka: bool
    prevotes: int
    precommits: int


@dataclass(frozen=True, slots=True)
class BlockRequest:
    """Ask for the body of a block of the height under way."""

    height: int
    block_hash: Hash32


@dataclass(frozen=True, slots=True)
class BlockReply:
    height: int
    block: Candidate


Signable: TypeAlias = Vote | Proposal
OwnMessage: TypeAlias = Vote | ProposalMessage
"""What a validator has signed, as it was sent; a proposal without its body."""
Message: TypeAlias = (
    Vote | ProposalMessage | Polka | CommitCertificate | VoteBundle | Decision | RoundStatus | BlockRequest | BlockReply
)


@dataclass(frozen=True, slots=True)
class SignRecord:
    """All that safety needs across a restart; written before a message leaves (docs/consensus.md, Durability).

    `blocks` are the bodies of the locked, the valid and the voted values; `own` the messages signed at this height in
    the rounds still kept, in the order of signing; `round_certificate` the votes with which `round` was entered.
    """

    height: int
    round: int
    step: Step
    locked_round: int
    locked_hash: Hash32 | None
    valid_round: int
    valid_hash: Hash32 | None
    valid_polka: Polka | None
    round_certificate: tuple[Vote, ...]
    blocks: tuple[Candidate, ...]
    own: tuple[OwnMessage, ...]


def statement(message: OwnMessage) -> Signable:
    """The signed statement within a message of one's own."""
    return message if isinstance(message, Vote) else message.proposal
