"""Untimed explorer: one height, a few cores, and a scheduler that may do anything next.

Deliver any message in flight, fire any timer, crash anybody, let a byzantine validator say anything. There is no time,
so orders that no network would produce come up at once: what a timed simulation of thousands of worlds misses of the
lock rules, this finds in seconds. What it cannot see is liveness.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass
from typing import Any, Final

from dmchain.chain.consensus.core import Core
from dmchain.chain.consensus.effects import (
    Ask,
    Broadcast,
    Decide,
    Evidence,
    FetchBlock,
    GetValue,
    Halt,
    PeerFault,
    Persist,
    Send,
    SetTimer,
    Sign,
    Validate,
)
from dmchain.chain.consensus.inputs import (
    Input,
    Rebroadcast,
    Received,
    Signed,
    Start,
    Timeout,
    TimerKind,
    Validity,
    Value,
    WorkAvailable,
)
from dmchain.chain.consensus.machine import HeightMachine, MachineFactory
from dmchain.chain.consensus.messages import (
    NO_ROUND,
    PRECOMMIT,
    PREVOTE,
    BlockReply,
    Candidate,
    CommitCertificate,
    Decision,
    Message,
    Polka,
    Proposal,
    ProposalMessage,
    SignRecord,
    Vote,
    VoteBundle,
)
from dmchain.chain.consensus.proposer import ProposerSchedule
from dmchain.chain.consensus.validators import Validator, ValidatorSet
from dmchain.chain.primitives.public_key import SIGNATURE_BYTES
from dmchain.chain.primitives.types import Address, Hash32
from dmchain.node.sim.checkers import Checkers
from dmchain.node.sim.ledger import GENESIS, Ledger
from dmchain.node.sim.violation import Violation

DEFAULT_STEPS: Final = 700
_RECENT: Final = 12
"""Half of the deliveries take one of the newest messages, else rounds hardly ever finish."""


@dataclass(frozen=True, slots=True)
class Exploration:
    """What a run that held its invariants came to. `decided` counts correct validators that did."""

    seed: int
    decided: int
    highest_round: int
    accused: frozenset[tuple[str, int]]


class Participant:
    """A correct validator without a network."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.incarnation = 0
        self.chain: list[tuple[Candidate, CommitCertificate]] = []
        self.core: Core
        self.lock_seen = NO_ROUND - 1
        self.lock_height = 0
        self.record: SignRecord | None = None
        self.timers: dict[tuple[TimerKind, int], None] = {}
        self.inbox: deque[Input] = deque()


class Explorer:
    """One run; everything is drawn from `seed`."""

    def __init__(
        self,
        seed: int,
        *,
        validators: int = 4,
        byzantine: int = 1,
        machine: MachineFactory = HeightMachine,
        mirror: float = 0.5,
        may_equivocate: bool = True,
        may_delay_signing: bool = True,
    ) -> None:
        """`mirror`: how often byzantine validators support what a correct one sees, instead of acting at random.

        Without `may_equivocate` they never sign two votes in one place: amnesia is all they have.
        """
        rng = self.rng = random.Random(seed)
        self.seed = seed
        self.size = validators
        self.ledger = Ledger()
        self.byzantine = sorted(rng.sample(range(validators), byzantine))
        self.correct = [number for number in range(validators) if number not in self.byzantine]
        addresses = [Address((number + 1).to_bytes(20, "big")) for number in range(validators)]
        self.set = ValidatorSet(tuple([Validator(address, 1) for address in addresses]))
        self._addresses = addresses
        self._offset = rng.randrange(validators)
        self._proposers = ProposerSchedule(self.set.powers)
        self._machine = machine
        self._mirror = mirror
        self._may_equivocate = may_equivocate
        self._signer_delay = rng.choice((0.0, 0.0, 0.3)) if may_delay_signing else 0.0
        self._said: dict[tuple[int, int, int], Vote] = {}
        self.pool: list[tuple[int, Input]] = []
        """Messages in flight, with who is to get them."""
        self.checkers = Checkers(
            self.ledger, lambda height: self.set.powers, lambda height, validator: validator, frozenset(self.correct)
        )
        self.participants = {number: Participant(number) for number in self.correct}

    # -- the scheduler -----------------------------------------------------------------------------------------------
    def run(self, steps: int = DEFAULT_STEPS) -> Exploration:
        """Take up to `steps` steps, until everybody has decided; raises Violation."""
        rng = self.rng
        for participant in self.participants.values():
            self._boot(participant)
            if rng.random() < 0.8:
                self._feed(participant, WorkAvailable(1))
        undecided = len(self.correct)
        for _ in range(steps):
            if not undecided:
                break
            dice = rng.random()
            if dice < 0.55:
                self._deliver()
            elif dice < 0.65:
                self._fire_timer()
            elif dice < 0.70:
                self._feed(self._any(), Rebroadcast(1))
            elif dice < 0.73:
                participant = self._any()
                if not participant.chain:
                    self._boot(participant)
            elif self.byzantine:
                self._misbehave()
            undecided = sum([not participant.chain for participant in self.participants.values()])
        rounds = [p.core.machine.round for p in self.participants.values() if p.core.machine is not None]
        return Exploration(self.seed, len(self.correct) - undecided, max(rounds), frozenset(self.checkers.evidence))

    def _any(self) -> Participant:
        return self.participants[self.rng.choice(self.correct)]

    def _boot(self, participant: Participant) -> None:
        """Start, or start again from the journal."""
        participant.incarnation += 1
        participant.timers.clear()
        participant.inbox.clear()
        participant.lock_seen, participant.lock_height = NO_ROUND - 1, 0
        participant.core = Core(self._addresses[participant.number], self.ledger.is_vote_signed, self._machine)
        self._feed(participant, Start(1, self.set, self._proposers, self._offset, participant.record))

    def _deliver(self) -> None:
        rng, pool = self.rng, self.pool
        if not pool:
            return
        first = 0 if rng.random() < 0.5 else max(0, len(pool) - _RECENT)
        at = first + int(rng.random() * (len(pool) - first))
        number, happened = pool[at]
        pool[at] = pool[-1]
        pool.pop()
        if rng.random() < 0.85:
            self._feed(self.participants[number], happened)
        elif rng.random() < 0.5:  # later, else lost
            pool.append((number, happened))

    def _fire_timer(self) -> None:
        participant = self._any()
        machine = participant.core.machine
        assert machine is not None
        current = [
            timer for timer in participant.timers if timer[1] == machine.round or timer[0] is TimerKind.HEARTBEAT
        ]
        if current:
            kind, round = self.rng.choice(current)
            del participant.timers[kind, round]
            self._feed(participant, Timeout(kind, 1, round))

    # -- the host ----------------------------------------------------------------------------------------------------
    def _feed(self, participant: Participant, happened: Input) -> None:
        inbox = participant.inbox
        inbox.append(happened)
        while inbox:
            happened = inbox.popleft()
            vote = happened.message if type(happened) is Received else None
            is_byzantine = isinstance(vote, Vote) and vote.validator not in self.participants
            if is_byzantine and isinstance(vote, Vote):
                self.checkers.on_vote(participant, vote, vote.validator)
            for effect in participant.core.step(happened):
                self._perform(participant, effect)
            self.checkers.on_step(participant)
            if is_byzantine:
                self.checkers.after_votes(participant)

    def _perform(self, participant: Participant, effect: Any) -> None:
        number, inbox = participant.number, participant.inbox
        kind = type(effect)
        if kind is Broadcast or kind is Ask:
            self._spread(participant, effect.message)
        elif kind is Send:
            self.checkers.on_send(participant, effect.message)
            if effect.peer in self.participants:
                self.pool.append((effect.peer, Received(effect.message, number)))
        elif kind is SetTimer:
            if effect.kind < TimerKind.STUCK:
                participant.timers[effect.kind, effect.round] = None
        elif kind is Sign:
            signed = Signed(self.ledger.sign(effect.message))
            if self._signer_delay and self.rng.random() < self._signer_delay:
                self.pool.append((number, signed))
            else:
                inbox.append(signed)
        elif kind is Persist:
            participant.record = effect.record
            self.checkers.on_persist(participant, effect.record)
        elif kind is GetValue:
            inbox.append(Value(1, effect.round, self._new_block(number)))
        elif kind is Validate:
            inbox.append(Validity(1, effect.block.hash, self.ledger.blocks[effect.block.hash].is_valid))
        elif kind is FetchBlock:
            block = self.ledger.blocks.get(effect.block_hash)
            if block is not None:
                inbox.append(Received(BlockReply(1, block.candidate), None))
        elif kind is Decide:
            self._decide(participant, effect)
        elif kind is Evidence:
            self.checkers.on_evidence(participant, effect.proof)
        elif kind is PeerFault:
            if effect.peer in self.participants:
                raise Violation(6, f"node {number} blames correct node {effect.peer}: {effect.reason}")
        elif kind is Halt:
            raise Violation(2, f"node {number} halts: {effect.reason}")

    def _spread(self, participant: Participant, message: Message) -> None:
        self.checkers.on_send(participant, message)
        received = Received(message, participant.number)
        for number in self.correct:
            if number != participant.number:
                self.pool.append((number, received))

    def _decide(self, participant: Participant, effect: Decide) -> None:
        self.checkers.on_decide(participant, effect.height, effect.block, effect.commit)
        self.checkers.check_memory(participant)
        participant.chain.append((effect.block, effect.commit))
        decision = Received(Decision(effect.block, effect.commit), participant.number)
        for number in self.correct:
            if number != participant.number and self.rng.random() < 0.3:
                self.pool.append((number, decision))

    def _new_block(self, proposer: int, *, is_valid: bool = True) -> Candidate:
        return self.ledger.make_block(1, GENESIS, proposer, 0, is_valid=is_valid)

    # -- byzantine acts ------------------------------------------------------------------------------------------------
    def _misbehave(self) -> None:
        if self.rng.random() < self._mirror:
            self._support(self._any())
        else:
            self._act_at_random(self.rng.choice(self.byzantine))

    def _support(self, victim: Participant) -> None:
        """All byzantine validators back what the victim sees in its round, or give it something to see."""
        rng, machine = self.rng, victim.core.machine
        assert machine is not None
        if machine.round < 0 or victim.chain:
            return
        proposal = self._seen_proposal(machine)
        if proposal is None:
            proposer = machine.proposer(machine.round)
            if proposer in self.byzantine:
                block = self._any_block(proposer, fresh=0.4)
                valid_round = NO_ROUND if rng.random() < 0.7 else self._below(machine.round)
                self._propose(proposer, machine.round, block, valid_round, None, [victim.number])
            return
        kinds = (PREVOTE, PRECOMMIT) if rng.random() < 0.5 else (rng.choice((PREVOTE, PRECOMMIT)),)
        for kind in kinds:
            for number in self.byzantine:
                valid_round = proposal.valid_round if kind == PREVOTE else NO_ROUND
                vote = Vote(kind, 1, machine.round, valid_round, proposal.block_hash, number)
                self._cast(vote, [victim.number])

    def _seen_proposal(self, machine: HeightMachine) -> Proposal | None:
        votes = machine.votes.rounds.get(machine.round)
        return None if votes is None else votes.first_proposal()

    def _act_at_random(self, number: int) -> None:
        rng = self.rng
        rounds = [p.core.machine.round for p in self.participants.values() if p.core.machine is not None]
        highest = max(0, *rounds)
        round = rng.randint(max(0, highest - 2), highest + 1)
        some = rng.sample(self.correct, rng.randint(1, len(self.correct)))
        dice = rng.random()
        if dice < 0.35 and self._proposers.at(self._offset + round) == number:
            self._propose_something(number, round, some)
            return
        if dice > 0.94:
            if dice > 0.97:
                self._bundle(number, some)
            else:
                self._forge(number, round, some)
            return
        kind = rng.choice((PREVOTE, PRECOMMIT))
        values: list[Hash32 | None] = [*list(self.ledger.blocks)[-5:], None]
        value = rng.choice(values)
        valid_round = NO_ROUND
        if kind == PREVOTE and value is not None and rng.random() < 0.5:
            valid_round = self._below(round)
        self._cast(Vote(kind, 1, round, valid_round, value, number), some)

    def _bundle(self, number: int, receivers: list[int]) -> None:
        """A certificate of everything this validator can lay its hands on."""
        votes: list[Vote] = []
        for participant in self.participants.values():
            machine = participant.core.machine
            if machine is not None and machine.round in machine.votes.rounds:
                votes += machine.votes.rounds[machine.round].prevotes.values()
        bundle = Received(VoteBundle(1, tuple(votes[: 2 * self.size])), number)
        self.pool += [(receiver, bundle) for receiver in receivers]

    def _forge(self, number: int, round: int, receivers: list[int]) -> None:
        """A certificate with made-up signatures, with too few votes, or with one vote many times."""
        if not self.ledger.blocks:
            return
        rng, block = self.rng, self._any_block(number, fresh=0.0)
        kind = rng.choice((PREVOTE, PRECOMMIT))
        if not self._may_equivocate and (number, kind, round) in self._said:
            return
        vote = self.ledger.sign(Vote(kind, 1, round, NO_ROUND, block.hash, number))
        assert isinstance(vote, Vote)
        self._said.setdefault((number, kind, round), vote)
        invented = [
            Vote(kind, 1, round, NO_ROUND, block.hash, validator, bytes(SIGNATURE_BYTES))
            for validator in range(self.size)
        ]
        invented[number] = vote
        votes = rng.choice((tuple(invented), (vote,), (vote,) * self.size))
        if kind == PREVOTE:
            forged: Message = Polka(1, round, NO_ROUND, block.hash, votes)
        else:
            commit = CommitCertificate(1, round, block.hash, votes)
            forged = rng.choice((commit, Decision(block, commit), VoteBundle(1, votes)))
        self.pool += [(receiver, Received(forged, number)) for receiver in receivers]

    def _forge_polka(self, round: int, block: Candidate) -> Polka:
        votes = [
            Vote(PREVOTE, 1, round, NO_ROUND, block.hash, validator, bytes(SIGNATURE_BYTES))
            for validator in range(self.size)
        ]
        return Polka(1, round, NO_ROUND, block.hash, tuple(votes))

    def _propose_something(self, number: int, round: int, receivers: list[int]) -> None:
        """A fresh block, an old one with any valid round, or a true re-proposal of somebody's polka."""
        rng = self.rng
        known = [p.core.machine.valid_polka for p in self.participants.values() if p.core.machine is not None]
        polkas = [polka for polka in known if polka is not None and polka.round < round]
        if polkas and rng.random() < 0.5:
            polka = rng.choice(polkas)
            assert polka.block_hash is not None
            block = self.ledger.blocks[polka.block_hash].candidate
            with_proof = polka if rng.random() < 0.8 else None
            self._propose(number, round, block, polka.round, with_proof, receivers)
            return
        block = self._any_block(number, fresh=0.3)
        valid_round = self._below(round) if rng.random() < 0.5 else NO_ROUND
        proof = self._forge_polka(valid_round, block) if valid_round != NO_ROUND and rng.random() < 0.3 else None
        self._propose(number, round, block, valid_round, proof, receivers)

    def _below(self, round: int) -> int:
        return self.rng.randint(NO_ROUND, round - 1) if round else NO_ROUND

    def _any_block(self, number: int, *, fresh: float) -> Candidate:
        blocks = self.ledger.blocks
        if not blocks or self.rng.random() < fresh:
            return self._new_block(number, is_valid=self.rng.random() < 0.95)
        return blocks[self.rng.choice(list(blocks))].candidate

    def _propose(
        self, number: int, round: int, block: Candidate, valid_round: int, polka: Polka | None, receivers: list[int]
    ) -> None:
        signed = self.ledger.sign(Proposal(1, round, valid_round, block.hash, number))
        assert isinstance(signed, Proposal)
        received = Received(ProposalMessage(signed, block, polka), number)
        self.pool += [(receiver, received) for receiver in receivers]

    def _cast(self, vote: Vote, receivers: list[int]) -> None:
        if not self._may_equivocate:
            said = self._said.setdefault((vote.validator, vote.kind, vote.round), vote)
            if not said.is_same_statement(vote):
                return
        signed = self.ledger.sign(vote)
        assert isinstance(signed, Vote)
        self.pool += [(receiver, Received(signed, vote.validator)) for receiver in receivers]
