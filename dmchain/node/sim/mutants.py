"""Deliberately wrong cores: tests of the tests.

Each breaks one rule. A simulation that does not catch them proves nothing about the core that passes it; which one
catches which, tests/simulation/test_mutants.py says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from dmchain.chain.consensus.certificates import InvalidCertificate, validate_polka
from dmchain.chain.consensus.effects import Persist, SetTimer
from dmchain.chain.consensus.evidence import Amnesia
from dmchain.chain.consensus.inputs import Peer, TimerKind
from dmchain.chain.consensus.machine import HeightMachine
from dmchain.chain.consensus.messages import (
    NO_ROUND,
    PREVOTE,
    CommitCertificate,
    OwnMessage,
    Polka,
    Proposal,
    ProposalMessage,
    SignRecord,
    Vote,
)
from dmchain.chain.consensus.observer import ObserverPeriod
from dmchain.chain.consensus.validators import ValidatorSet
from dmchain.chain.consensus.votes import HeightVotes, RoundVotes
from dmchain.chain.primitives.errors import DmchainError
from dmchain.chain.primitives.types import Hash32
from dmchain.node.sim.host import SimulatedNode
from dmchain.node.sim.world import World


class UnknownMutant(DmchainError):
    """A mutant that does not exist."""


# -- votes and quorums -------------------------------------------------------------------------------------------
class MajorityVotes(HeightVotes):
    """More than half decides."""

    __slots__ = ()

    def __init__(self, height: int, validators: ValidatorSet) -> None:
        super().__init__(height, validators)
        self.quorum = validators.total // 2 + 1


class MajorityMachine(HeightMachine):
    make_votes = MajorityVotes


class NoFarVotes(HeightVotes):
    """Votes beyond the window are thrown away."""

    __slots__ = ()

    def _keep_far(self, vote: Vote) -> None:
        pass


class NoFarMachine(HeightMachine):
    make_votes = NoFarVotes


class EndlessVotes(HeightVotes):
    """Every round ahead is tallied in full."""

    __slots__ = ()

    def _keep_far(self, vote: Vote) -> None:
        self._note_ahead(vote.validator, vote.round)
        votes = self.at(vote.round)
        tallies = votes.prevotes if vote.kind == PREVOTE else votes.precommits
        if vote.validator not in tallies:
            tallies[vote.validator] = vote
            count = self._count_prevote if vote.kind == PREVOTE else self._count_precommit
            count(votes, vote)


class EndlessMachine(HeightMachine):
    make_votes = EndlessVotes


class SilentVotes(HeightVotes):
    """Equivocation is seen and not told."""

    __slots__ = ()

    def _report_double_vote(self, first: Vote, second: Vote) -> None:
        pass


class SilentMachine(HeightMachine):
    make_votes = SilentVotes


class EagerVotes(HeightVotes):
    """Whoever prevotes another value after a precommit is accused, whatever polka it had for that."""

    __slots__ = ()

    def _look_for_amnesia(self, vote: Vote) -> None:
        if vote.kind == PREVOTE:
            for round, votes in self.rounds.items():
                other = votes.precommits.get(vote.validator)
                if other is not None and round < vote.round and other.block_hash not in (None, vote.block_hash):
                    self.misbehaviour.append(Amnesia(other, vote))


class EagerMachine(HeightMachine):
    make_votes = EagerVotes


class LastVoteCounts(HeightVotes):
    """A validator that changes its mind is counted again."""

    __slots__ = ()

    def add(self, vote: Vote) -> None:
        votes = self.rounds.get(vote.round)
        if votes is not None and 0 <= vote.validator < self.size:
            tallies = votes.prevotes if vote.kind == PREVOTE else votes.precommits
            earlier = tallies.get(vote.validator)
            if earlier is not None and not earlier.is_same_statement(vote):
                self._report_double_vote(earlier, vote)
                del tallies[vote.validator]
        super().add(vote)


class LastVoteMachine(HeightMachine):
    make_votes = LastVoteCounts


class ConflictBlocksVotes(HeightVotes):
    """A polka certificate counts only as far as its votes can be tallied."""

    __slots__ = ()

    def accept_polka(self, polka: Polka) -> None:
        for vote in polka.votes:
            self.add(vote)

    def accept_commit(self, commit: CommitCertificate) -> None:
        for vote in commit.votes:
            self.add(vote)


class ConflictBlocksMachine(HeightMachine):
    make_votes = ConflictBlocksVotes


# -- the lock ----------------------------------------------------------------------------------------------------
class LockForgotten(HeightMachine):
    """The lock lasts for its round only."""

    def start_round(self, round: int) -> None:
        self.locked_round, self.locked_hash = NO_ROUND, None
        super().start_round(round)


class LockIgnored(HeightMachine):
    def lock_allows(self, proposal: Proposal) -> bool:
        return True


class LockNotRecorded(HeightMachine):
    """The journal does not say what is locked."""

    def make_record(self) -> SignRecord:
        return replace(super().make_record(), locked_round=NO_ROUND, locked_hash=None)


class ValidRoundNotCompared(HeightMachine):
    """Any polka frees from any lock."""

    def lock_allows(self, proposal: Proposal) -> bool:
        return proposal.valid_round >= 0 or super().lock_allows(proposal)


class LaxLock(HeightMachine):
    """The paper's alternative: a locked value may be prevoted whatever its valid round."""

    def lock_allows(self, proposal: Proposal) -> bool:
        return super().lock_allows(proposal) or self.locked_hash == proposal.block_hash


class PolkaNotRequired(HeightMachine):
    """A proposal's valid round is believed without its polka."""

    def has_polka_for(self, proposal: Proposal) -> bool:
        return True


class InvalidBlockPrevoted(HeightMachine):
    """Validity is not looked at before prevoting."""

    def rule_prevote(self, votes: RoundVotes) -> bool:
        proposal = votes.first_proposal()
        if proposal is not None and proposal.block_hash in self.blocks:
            self.validity[proposal.block_hash] = True
        return super().rule_prevote(votes)


# -- certificates ------------------------------------------------------------------------------------------------
class ForgeryBelieved(HeightMachine):
    """Signatures within certificates are not checked."""

    def is_signed(self, vote: Vote) -> bool:
        return True


class ShortPolkaBelieved(HeightMachine):
    """A certificate need not weigh a quorum."""

    def receive_commit(self, commit: CommitCertificate, sender: Peer | None) -> bool:
        self.votes.accept_commit(commit)
        return True

    def receive_polka(self, polka: Polka, sender: Peer | None) -> None:
        try:
            validate_polka(polka, self.validators, self.is_signed)
        except InvalidCertificate as error:
            if "power" not in str(error):
                return
        self.votes.accept_polka(polka)


class NoRoundCertificate(HeightMachine):
    """How a round was entered is not kept."""

    def start_round(self, round: int) -> None:
        super().start_round(round)
        self.round_certificate = ()


class RoundCertificateNotRecorded(HeightMachine):
    def make_record(self) -> SignRecord:
        return replace(super().make_record(), round_certificate=())


# -- rules -------------------------------------------------------------------------------------------------------
class NoSkip(HeightMachine):
    def rule_skip(self) -> bool:
        return self.round < 0 and super().rule_skip()


class NoAdoption(HeightMachine):
    """Only a polka of the current round makes a valid value, and only by locking it."""

    def rule_adopt(self) -> None:
        self.votes.polkas = []


class PolkaNotShared(HeightMachine):
    """A lock stays hidden until its holder proposes."""

    def share_polka(self) -> None:
        pass


class NoPrecommitTimer(HeightMachine):
    """Waits for two thirds of one mind for ever."""

    def rule_timers(self, votes: RoundVotes) -> None:
        votes.is_precommit_timer_set = True
        super().rule_timers(votes)


class RoundNeverGivenUp(HeightMachine):
    """Waits for the precommit timer although nothing can be decided any more: only slower."""

    def rule_next_round(self, votes: RoundVotes) -> bool:
        return False


class HastyRounds(HeightMachine):
    """Goes on as soon as a round is given up: rounds that fail at once follow each other without end."""

    def rule_next_round(self, votes: RoundVotes) -> bool:
        self.has_waited = True
        return super().rule_next_round(votes)


class NoProposeTimer(HeightMachine):
    def start_round(self, round: int) -> None:
        super().start_round(round)
        last = self.effects[-1]
        if isinstance(last, SetTimer) and last.kind is TimerKind.PROPOSE:
            self.effects.pop()


# -- durability --------------------------------------------------------------------------------------------------
class SentBeforeDurable(HeightMachine):
    def publish(self, own: OwnMessage) -> None:
        super().publish(own)
        self.effects[-1], self.effects[-2] = self.effects[-2], self.effects[-1]


class OwnNotRestored(HeightMachine):
    """Comes back with its lock and without its memory of what it said."""

    def restore(self, record: SignRecord) -> None:
        super().restore(replace(record, own=()))


class BodiesNotRecorded(HeightMachine):
    def make_record(self) -> SignRecord:
        return replace(super().make_record(), blocks=())


class ProposalNotPersisted(HeightMachine):
    """Only votes are worth a barrier."""

    def publish(self, own: OwnMessage) -> None:
        super().publish(own)
        if isinstance(own, ProposalMessage):
            self.effects = [effect for effect in self.effects if not isinstance(effect, Persist)]


class ForgetfulNode(SimulatedNode):
    """There is no journal, only the belief in one."""

    def _persist(self, effect: Persist) -> None:
        super()._persist(effect)
        self.journal.record = None


class NoObserverWorld(World):
    """A validator without its journal starts to sign at once."""

    def make_observer(self, node: SimulatedNode) -> ObserverPeriod | None:
        return None


class ShortObserverNode(SimulatedNode):
    """Signs from one height too early."""

    def _look_whether_observed(self) -> None:
        if self.observer is not None:
            before = self.sign_from
            super()._look_whether_observed()
            self.sign_from = max(before, self.sign_from - 1)


class EarlyPrecommit(HeightMachine):
    """Precommits as soon as it has prevoted, without waiting for the polka."""

    def prevote(self, block_hash: Hash32 | None, valid_round: int) -> None:
        super().prevote(block_hash, valid_round)
        if block_hash is not None:
            self.precommit(block_hash)


@dataclass(frozen=True, slots=True)
class Mutant:
    """What to put in place of the right thing."""

    name: str
    machine: type[HeightMachine] = HeightMachine
    node: type[SimulatedNode] = SimulatedNode
    world: type[World] = World


MUTANTS: Final = {
    mutant.name: mutant
    for mutant in (
        Mutant("majority-quorum", MajorityMachine),
        Mutant("last-vote-counts", LastVoteMachine),
        Mutant("no-far-votes", NoFarMachine),
        Mutant("endless-rounds", EndlessMachine),
        Mutant("equivocation-not-told", SilentMachine),
        Mutant("eager-accuser", EagerMachine),
        Mutant("conflict-blocks-certificate", ConflictBlocksMachine),
        Mutant("lock-forgotten", LockForgotten),
        Mutant("lock-ignored", LockIgnored),
        Mutant("lock-not-recorded", LockNotRecorded),
        Mutant("valid-round-not-compared", ValidRoundNotCompared),
        Mutant("lax-lock", LaxLock),
        Mutant("polka-not-required", PolkaNotRequired),
        Mutant("early-precommit", EarlyPrecommit),
        Mutant("invalid-block-prevoted", InvalidBlockPrevoted),
        Mutant("forgery-believed", ForgeryBelieved),
        Mutant("short-certificate-believed", ShortPolkaBelieved),
        Mutant("no-round-certificate", NoRoundCertificate),
        Mutant("round-certificate-not-recorded", RoundCertificateNotRecorded),
        Mutant("no-skip", NoSkip),
        Mutant("no-adoption", NoAdoption),
        Mutant("polka-not-shared", PolkaNotShared),
        Mutant("no-precommit-timer", NoPrecommitTimer),
        Mutant("round-never-given-up", RoundNeverGivenUp),
        Mutant("hasty-rounds", HastyRounds),
        Mutant("no-propose-timer", NoProposeTimer),
        Mutant("sent-before-durable", SentBeforeDurable),
        Mutant("proposal-not-persisted", ProposalNotPersisted),
        Mutant("own-not-restored", OwnNotRestored),
        Mutant("bodies-not-recorded", BodiesNotRecorded),
        Mutant("no-journal", node=ForgetfulNode),
        Mutant("no-observer-period", world=NoObserverWorld),
        Mutant("short-observer-period", node=ShortObserverNode),
    )
}


def find_mutant(name: str) -> Mutant:
    """Raises UnknownMutant."""
    if name not in MUTANTS:
        raise UnknownMutant(f"unknown mutant {name!r}", hint=f"expected one of: {', '.join(MUTANTS)}")
    return MUTANTS[name]
