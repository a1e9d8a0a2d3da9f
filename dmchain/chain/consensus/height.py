"""The state of one height: votes, lock, bodies, what this node has said, and the record of it.

What changes the state and when, the rules say (machine.py).
"""

from __future__ import annotations

from typing import Final

from dmchain.chain.consensus.effects import (
    Broadcast,
    Effect,
    FetchBlock,
    PeerFault,
    Persist,
    Sign,
    Validate,
)
from dmchain.chain.consensus.inputs import Peer, Start
from dmchain.chain.consensus.messages import (
    NO_ROUND,
    PRECOMMIT,
    PREVOTE,
    PROPOSAL,
    Candidate,
    CommitCertificate,
    OwnMessage,
    Polka,
    Proposal,
    ProposalMessage,
    Signable,
    SignRecord,
    Step,
    Vote,
    statement,
)
from dmchain.chain.consensus.signatures import IsSigned
from dmchain.chain.consensus.votes import KEPT_ROUNDS, HeightVotes
from dmchain.chain.primitives.types import Hash32

BODY_ROUNDS: Final = 2
"""Rounds back whose proposals' bodies are kept; older ones only if locked, valid, decided or with a polka."""
MAX_HINTS: Final = 8


class HeightState:
    """Rounds, lock and decision of one height.

    INVARIANT: locked_round never decreases; locked_round <= valid_round; every prevote for a value obeys the lock.
    """

    make_votes: type[HeightVotes] = HeightVotes

    def __init__(self, start: Start, me: int | None, is_signed: IsSigned) -> None:
        """`me`: own index in the set, None for a node that only follows (an observer too)."""
        self.height = start.height
        self.validators = start.validators
        self.me = me
        self.votes = self.make_votes(start.height, start.validators)
        self.step = Step.IDLE
        self.locked_round = NO_ROUND
        self.locked_hash: Hash32 | None = None
        self.valid_round = NO_ROUND
        self.valid_hash: Hash32 | None = None
        self.valid_polka: Polka | None = None
        self.round_certificate: tuple[Vote, ...] = ()
        self.has_waited = False
        """Whether the propose timeout of this round is over."""
        self.blocks: dict[Hash32, Candidate] = {}
        self.validity: dict[Hash32, bool] = {}
        self.wanted: dict[Hash32, None] = {}
        """Values whose body has been asked for and has not come."""
        self.own: dict[tuple[int, int], OwnMessage] = {}
        """Signed messages by (kind, round)."""
        self.requested: dict[tuple[int, int], tuple[Signable, Polka | None]] = {}
        """What the signer has been asked to sign, by (kind, round); signed or not, nothing is asked for twice."""
        self.decision: tuple[Candidate, CommitCertificate] | None = None
        self.effects: list[Effect] = []
        self._proposers = start.proposers
        self._position = start.position
        self.last_commit = start.last_commit
        """Of the height before; late precommits make it fuller."""
        self.late_culprits: set[int] = set()
        """Validators of the height before whose late precommit contradicts the one in its commit."""
        self._is_signed = is_signed

    # -- facts ---------------------------------------------------------------------------------------------------
    @property
    def round(self) -> int:
        return self.votes.round

    def proposer(self, round: int) -> int:
        """Index of the validator that proposes in `round`."""
        return self._proposers.at(self._position + round)

    def is_signed(self, vote: Vote) -> bool:
        """Whether a vote inside a certificate is good; one that is tallied already has been checked."""
        return self.votes.find(vote) == vote or self._is_signed(vote, self.validators)

    def is_over(self) -> bool:
        return self.step >= Step.COMMIT

    def late_precommits(self) -> list[Vote]:
        """After the decision: the precommits for it, those that came later included."""
        if self.decision is None:
            return []
        commit = self.decision[1]
        precommits = self.votes.at(commit.round).precommits.values()
        return [vote for vote in precommits if vote.block_hash == commit.block_hash]

    # -- bodies --------------------------------------------------------------------------------------------------
    def want(self, block_hash: Hash32) -> None:
        """Ask for the body of a value that others have voted for, once; a stuck height asks again."""
        if block_hash not in self.blocks and block_hash not in self.wanted:
            self.wanted[block_hash] = None
            self.effects.append(self.fetch(block_hash))

    def fetch(self, block_hash: Hash32) -> FetchBlock:
        hints: dict[int, None] = {}
        for votes in self.votes.rounds.values():
            for vote in (*votes.precommits.values(), *votes.prevotes.values()):
                if vote.block_hash == block_hash and vote.validator != self.me:
                    hints[vote.validator] = None
        return FetchBlock(self.height, block_hash, tuple(sorted(hints)[:MAX_HINTS]))

    def take_body(self, block: Candidate, is_timely: bool = True) -> None:
        """Keep a body that belongs to a known proposal or was asked for, and have it executed.

        Its time can be judged only now, also when the proposal came before it.
        """
        self.wanted.pop(block.hash, None)
        if block.hash in self.blocks:
            return
        self.blocks[block.hash] = block
        if not is_timely:
            for votes in self.votes.rounds.values():
                proposal = votes.first_proposal()
                if proposal is not None and proposal.block_hash == block.hash:
                    votes.is_first_timely = False
        self.effects.append(Validate(self.height, block))

    def fault(self, sender: Peer | None, reason: str) -> None:
        if sender is not None:
            self.effects.append(PeerFault(sender, reason))

    def forget_old_bodies(self) -> None:
        keep: set[Hash32 | None] = {self.locked_hash, self.valid_hash, *self.votes.commits.values()}
        for round, votes in self.votes.rounds.items():
            if round >= self.round - BODY_ROUNDS:
                keep.update(votes.proposals)
            if votes.polka is not None:
                keep.add(votes.polka[0])
        for block_hash in [known for known in self.blocks if known not in keep]:
            del self.blocks[block_hash]
            self.validity.pop(block_hash, None)
        self.wanted = {block_hash: None for block_hash in self.wanted if block_hash in keep}
        oldest = self.round - KEPT_ROUNDS
        self.own = {key: message for key, message in self.own.items() if key[1] >= oldest}
        self.requested = {key: asked for key, asked in self.requested.items() if key[1] >= oldest}

    # -- what this node says -------------------------------------------------------------------------------------
    def ask_for_vote(self, kind: int, block_hash: Hash32 | None, valid_round: int) -> None:
        if self.me is None or (kind, self.round) in self.requested:  # 36
            return
        vote = Vote(kind, self.height, self.round, valid_round, block_hash, self.me)
        self.requested[kind, self.round] = vote, None
        self.effects.append(Sign(vote))

    def ask_for_proposal(self, block_hash: Hash32, valid_round: int, polka: Polka | None) -> None:
        if self.me is None or (PROPOSAL, self.round) in self.requested:  # 36
            return
        proposal = Proposal(self.height, self.round, valid_round, block_hash, self.me)
        self.requested[PROPOSAL, self.round] = proposal, polka
        self.effects.append(Sign(proposal))

    def publish(self, own: OwnMessage) -> None:
        """First durable, then sent; with its body the first time."""
        self.effects.append(Persist(self.make_record()))
        if isinstance(own, ProposalMessage):
            own = ProposalMessage(own.proposal, self.blocks.get(own.proposal.block_hash), own.polka)
        self.effects.append(Broadcast(own))

    def own_of_round(self) -> list[OwnMessage]:
        """What this node has said in the current round, in the order of saying it."""
        kinds = (PROPOSAL, PREVOTE, PRECOMMIT)
        return [self.own[kind, self.round] for kind in kinds if (kind, self.round) in self.own]

    def make_record(self) -> SignRecord:
        """Everything that must survive a crash from now on."""
        values = {self.locked_hash, self.valid_hash}
        for message in self.own.values():
            said = statement(message)
            if said.round == self.round:
                values.add(said.block_hash)
        bodies = [self.blocks[value] for value in sorted(values - {None}) if value in self.blocks]  # type: ignore[type-var]
        return SignRecord(
            self.height,
            self.round,
            self.step,
            self.locked_round,
            self.locked_hash,
            self.valid_round,
            self.valid_hash,
            self.valid_polka,
            self.round_certificate,
            tuple(bodies),
            tuple(self.own.values()),
        )
