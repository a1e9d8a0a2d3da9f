"""Tallies of one height: votes by round, equivocation, certificates in and out, memory bounded.

Prevotes are counted per (value, valid round), so that a polka says which proposal it is for and a prevote's valid round
can convict (evidence.Amnesia). Of a validator's conflicting votes the first is tallied and the pair is evidence; a
certificate that contains the other one is honoured all the same.

INVARIANT (memory): rounds up to WINDOW ahead are tallied in full, KEPT_ROUNDS back as well; beyond the window there is
one slot per validator, its highest vote, which still allows skipping to any round; rounds older than that are
forgotten.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from dmchain.chain.consensus.certificates import by_validator, make_commit, make_polka
from dmchain.chain.consensus.evidence import Amnesia, DoubleVote, is_amnesia, make_double_vote
from dmchain.chain.consensus.messages import (
    NO_ROUND,
    PRECOMMIT,
    PREVOTE,
    CommitCertificate,
    Polka,
    Proposal,
    Vote,
)
from dmchain.chain.consensus.validators import ValidatorSet
from dmchain.chain.primitives.types import Hash32

WINDOW: Final = 2
"""Rounds ahead of the current one that are tallied in full. One is needed (others may be a round ahead); two keep a
slow validator from asking for what it has thrown away."""
KEPT_ROUNDS: Final = 16
"""Rounds behind the current one whose votes still count and convict."""
PROPOSALS_PER_ROUND: Final = 2
"""An equivocating proposer's second proposal may be the one others prevote; a third adds nothing that a fetch of the
body would not."""

PolkaKey: TypeAlias = tuple[Hash32 | None, int]
"""(value, valid round); nil is (None, NO_ROUND)."""


class RoundVotes:
    """Everything received for one round."""

    __slots__ = (
        "commit_hash",
        "is_first_timely",
        "is_precommit_timer_set",
        "is_prevote_timer_set",
        "polka",
        "precommit_power",
        "precommit_weights",
        "precommits",
        "prevote_power",
        "prevote_weights",
        "prevotes",
        "proposals",
        "received_commit",
        "received_polka",
    )

    def __init__(self) -> None:
        self.proposals: dict[Hash32, Proposal] = {}
        """By value, the first received first: that one is voted on."""
        self.is_first_timely = True
        self.prevotes: dict[int, Vote] = {}
        self.precommits: dict[int, Vote] = {}
        self.prevote_weights: dict[PolkaKey, int] = {}
        self.precommit_weights: dict[Hash32 | None, int] = {}
        self.prevote_power = 0
        self.precommit_power = 0
        self.polka: PolkaKey | None = None
        self.commit_hash: Hash32 | None = None
        self.received_polka: Polka | None = None
        self.received_commit: CommitCertificate | None = None
        self.is_prevote_timer_set = False
        self.is_precommit_timer_set = False

    def first_proposal(self) -> Proposal | None:
        for proposal in self.proposals.values():
            return proposal
        return None


class HeightVotes:
    """The votes of one height and what they prove.

    `round` is the current one, NO_ROUND before the height has begun. `polkas` lists rounds with a polka for a value
    that has not been looked at; `commits` rounds whose precommits decide, with the value.
    """

    __slots__ = (
        "_ahead",
        "ahead_power",
        "commits",
        "far",
        "height",
        "misbehaviour",
        "one_honest",
        "polkas",
        "powers",
        "quorum",
        "reported",
        "round",
        "rounds",
        "size",
    )

    def __init__(self, height: int, validators: ValidatorSet) -> None:
        self.height = height
        self.round = NO_ROUND
        self.size = len(validators)
        self.powers = validators.powers
        self.quorum = validators.quorum
        self.one_honest = validators.one_honest
        self.rounds: dict[int, RoundVotes] = {}
        self.far: dict[int, Vote] = {}
        self.polkas: list[int] = []
        self.commits: dict[int, Hash32] = {}
        self.misbehaviour: list[DoubleVote | Amnesia] = []
        """New since the caller last emptied it."""
        self.reported: set[tuple[int, int, int]] = set()
        """(kind, round, validator) of double votes, (0, 0, validator) of amnesia: each is told once."""
        self._ahead: dict[int, int] = {}
        self.ahead_power = 0

    # -- votes in ------------------------------------------------------------------------------------------------
    def at(self, round: int) -> RoundVotes:
        """The tallies of `round`, empty ones if there are none yet."""
        votes = self.rounds.get(round)
        if votes is None:
            votes = self.rounds[round] = RoundVotes()
        return votes

    def is_kept(self, round: int) -> bool:
        """Whether votes of `round` are tallied: not too old, not too far ahead."""
        return self.round - KEPT_ROUNDS <= round <= self.round + WINDOW

    def find(self, vote: Vote) -> Vote | None:
        """The tallied vote of the same validator, round and kind."""
        votes = self.rounds.get(vote.round)
        if votes is None:
            return None
        return (votes.prevotes if vote.kind == PREVOTE else votes.precommits).get(vote.validator)

    def add(self, vote: Vote) -> None:
        """Count one vote whose signature is good."""
        round, validator = vote.round, vote.validator
        if not 0 <= validator < self.size:
            return
        if round > self.round:
            if round > self.round + WINDOW:
                self._keep_far(vote)
                return
            self._note_ahead(validator, round)
        elif round < self.round - KEPT_ROUNDS:
            return
        votes = self.rounds.get(round)
        if votes is None:
            votes = self.rounds[round] = RoundVotes()
        if vote.kind == PREVOTE:
            earlier = votes.prevotes.get(validator)
            if earlier is not None:
                if not earlier.is_same_statement(vote):
                    self._report_double_vote(earlier, vote)
                return
            votes.prevotes[validator] = vote
            self._count_prevote(votes, vote)
        else:
            earlier = votes.precommits.get(validator)
            if earlier is not None:
                if not earlier.is_same_statement(vote):
                    self._report_double_vote(earlier, vote)
                return
            votes.precommits[validator] = vote
            self._count_precommit(votes, vote)
        if vote.block_hash is not None and len(self.rounds) > 1:
            self._look_for_amnesia(vote)

    def _count_prevote(self, votes: RoundVotes, vote: Vote) -> None:
        power = self.powers[vote.validator]
        votes.prevote_power += power
        key = (vote.block_hash, vote.valid_round)
        weight = votes.prevote_weights.get(key, 0) + power
        votes.prevote_weights[key] = weight
        if weight >= self.quorum and votes.polka is None:
            self._set_polka(votes, vote.round, key)

    def _count_precommit(self, votes: RoundVotes, vote: Vote) -> None:
        power = self.powers[vote.validator]
        votes.precommit_power += power
        weight = votes.precommit_weights.get(vote.block_hash, 0) + power
        votes.precommit_weights[vote.block_hash] = weight
        if weight >= self.quorum and vote.block_hash is not None and votes.commit_hash is None:
            votes.commit_hash = self.commits[vote.round] = vote.block_hash

    def _set_polka(self, votes: RoundVotes, round: int, key: PolkaKey) -> None:
        votes.polka = key
        if key[0] is not None:
            self.polkas.append(round)

    def _keep_far(self, vote: Vote) -> None:
        kept = self.far.get(vote.validator)
        if kept is None or kept.round < vote.round:
            self.far[vote.validator] = vote
            self._note_ahead(vote.validator, vote.round)

    def _note_ahead(self, validator: int, round: int) -> None:
        known = self._ahead.get(validator)
        if known is None:
            self._ahead[validator] = round
            self.ahead_power += self.powers[validator]
        elif known < round:
            self._ahead[validator] = round

    # -- certificates in -----------------------------------------------------------------------------------------
    def accept_polka(self, polka: Polka) -> None:
        """Take a polka whose proof has been checked. It holds even where votes of it conflict with tallied ones."""
        for vote in polka.votes:
            self.add(vote)
        votes = self.at(polka.round)
        key = (polka.block_hash, polka.valid_round)
        if votes.polka != key:
            self._set_polka(votes, polka.round, key)
        votes.received_polka = polka

    def accept_commit(self, commit: CommitCertificate) -> None:
        """Take a commit certificate whose proof has been checked, of any round."""
        for vote in commit.votes:
            self.add(vote)
        votes = self.at(commit.round)
        votes.commit_hash = self.commits[commit.round] = commit.block_hash
        votes.received_commit = commit

    # -- what they prove -----------------------------------------------------------------------------------------
    def has_polka(self, round: int, block_hash: Hash32) -> bool:
        """Whether `round` has a polka for the value, whatever its own valid round."""
        votes = self.rounds.get(round)
        return votes is not None and votes.polka is not None and votes.polka[0] == block_hash

    def polka_certificate(self, round: int) -> Polka:
        """The polka of `round`, which must have one, as a certificate."""
        votes = self.rounds[round]
        assert votes.polka is not None
        block_hash, valid_round = votes.polka
        received = votes.received_polka
        if received is not None and (received.block_hash, received.valid_round) == votes.polka:
            return received
        return make_polka(self.height, round, block_hash, valid_round, votes.prevotes.values())

    def commit_certificate(self, round: int) -> CommitCertificate:
        """The commit of `round`, which must be in `commits`."""
        votes = self.rounds[round]
        if votes.received_commit is not None:
            return votes.received_commit
        return make_commit(self.height, round, self.commits[round], votes.precommits.values())

    def round_certificate(self, round: int) -> tuple[Vote, ...]:
        """The votes that allow entering `round`: Q precommits of the round before, or those at it and beyond."""
        before = self.rounds.get(round - 1)
        if before is not None and before.precommit_power >= self.quorum:
            return by_validator(before.precommits.values())
        return self.votes_from(round)

    def votes_from(self, round: int) -> tuple[Vote, ...]:
        """The highest vote of each validator that has voted in `round` or beyond."""
        highest: dict[int, Vote] = {}
        for vote_round in sorted(self.rounds):
            if vote_round >= round:
                votes = self.rounds[vote_round]
                highest.update(votes.prevotes)
                highest.update(votes.precommits)
        highest.update(self.far)
        return by_validator([vote for vote in highest.values() if vote.round >= round])

    def skip_target(self) -> int:
        """The highest round such that validators worth more than a third voted in it or beyond; else `round`."""
        if self.ahead_power < self.one_honest:
            return self.round
        power = 0
        for round, validator in sorted([(r, v) for v, r in self._ahead.items()], reverse=True):
            power += self.powers[validator]
            if power >= self.one_honest:
                return round
        return self.round

    # -- rounds --------------------------------------------------------------------------------------------------
    def enter(self, round: int) -> None:
        """Make `round` current: tally far votes that have come near, forget what is too old."""
        self.round = round
        ahead = {validator: at for validator, at in self._ahead.items() if at > round}
        self._ahead = ahead
        self.ahead_power = sum([self.powers[validator] for validator in ahead])
        if self.far:
            near = [vote for vote in self.far.values() if vote.round <= round + WINDOW]
            for vote in near:
                del self.far[vote.validator]
            for vote in near:
                self.add(vote)
        for old in [at for at in self.rounds if at < round - KEPT_ROUNDS and at not in self.commits]:
            del self.rounds[old]
        self.polkas = [at for at in self.polkas if at in self.rounds]
        if self.reported:
            self.reported = {key for key in self.reported if key[0] == 0 or key[1] >= round - KEPT_ROUNDS}

    # -- evidence ------------------------------------------------------------------------------------------------
    def _report_double_vote(self, first: Vote, second: Vote) -> None:
        key = (second.kind, second.round, second.validator)
        if key not in self.reported:
            self.reported.add(key)
            self.misbehaviour.append(make_double_vote(first, second))

    def _look_for_amnesia(self, vote: Vote) -> None:
        validator = vote.validator
        for round, votes in self.rounds.items():
            if vote.kind == PREVOTE and round < vote.round:
                other = votes.precommits.get(validator)
                if other is not None and is_amnesia(other, vote):
                    self._report_amnesia(other, vote)
            elif vote.kind == PRECOMMIT and round > vote.round:
                other = votes.prevotes.get(validator)
                if other is not None and is_amnesia(vote, other):
                    self._report_amnesia(vote, other)

    def _report_amnesia(self, precommit: Vote, prevote: Vote) -> None:
        key = (0, 0, precommit.validator)
        if key not in self.reported:
            self.reported.add(key)
            self.misbehaviour.append(Amnesia(precommit, prevote))

    def bitmap(self, votes: dict[int, Vote]) -> int:
        """Whose votes are there, bit by validator."""
        bits = 0
        for validator in votes:
            bits |= 1 << validator
        return bits
