"""One height: the rules of docs/consensus.md, whose line numbers stand at each arm as `# 17`.

`core.Core` gives the machine what happens and takes its effects; the state is height.py's. Every rule is a small
method of its own, so that a test can break one (node/sim/mutants.py) and see what catches it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from dmchain.chain.consensus.certificates import InvalidCertificate, validate_commit, validate_polka
from dmchain.chain.consensus.effects import (
    Broadcast,
    Decide,
    Evidence,
    GetValue,
    Halt,
    SetTimer,
)
from dmchain.chain.consensus.evidence import DoubleProposal
from dmchain.chain.consensus.height import BODY_ROUNDS, HeightState
from dmchain.chain.consensus.inputs import Peer, Start, TimerKind
from dmchain.chain.consensus.messages import (
    NO_ROUND,
    PRECOMMIT,
    PREVOTE,
    PROPOSAL,
    Candidate,
    CommitCertificate,
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
from dmchain.chain.consensus.votes import PROPOSALS_PER_ROUND, RoundVotes
from dmchain.chain.primitives.types import Hash32

IDLE: Final = Step.IDLE
PROPOSE: Final = Step.PROPOSE
AWAIT_POLKA: Final = Step.PREVOTE
AWAIT_COMMIT: Final = Step.PRECOMMIT
COMMIT: Final = Step.COMMIT


class HeightMachine(HeightState):
    """The rules of one height over its state."""

    # -- rounds --------------------------------------------------------------------------------------------------
    def start_round(self, round: int) -> None:
        """Lines 10 to 15."""
        self.round_certificate = self.votes.round_certificate(round) if round > 0 else ()  # 11
        self.votes.enter(round)  # 12
        self.step = PROPOSE
        self.has_waited = False
        self.forget_old_bodies()
        self.act_as_proposer()
        self.effects.append(SetTimer(TimerKind.PROPOSE, self.height, round))  # 15

    def act_as_proposer(self) -> None:
        """Lines 13 and 14."""
        if self.me is None or self.proposer(self.round) != self.me or (PROPOSAL, self.round) in self.requested:
            return
        if self.valid_hash is not None:  # 13
            self.ask_for_proposal(self.valid_hash, self.valid_round, self.valid_polka)
        else:  # 14
            self.effects.append(GetValue(self.height, self.round, self.last_commit))

    # -- rules ---------------------------------------------------------------------------------------------------
    def progress(self) -> None:
        """Apply the rules in their fixed order until none applies."""
        if self.votes.misbehaviour:
            self.effects += [Evidence(proof) for proof in self.votes.misbehaviour]
            self.votes.misbehaviour = []
        while self.step < COMMIT:
            if self.votes.commits and self.rule_decide():
                return
            if self.votes.polkas:
                self.rule_adopt()
                if self.step is Step.HALTED:
                    return
            if self.votes.ahead_power >= self.votes.one_honest and self.rule_skip():
                continue
            if self.step == IDLE:
                if self.rule_wake():
                    continue
                return
            round_votes = self.votes.at(self.round)
            if self.step == PROPOSE and self.rule_prevote(round_votes):
                continue
            if self.step == AWAIT_POLKA and self.rule_precommit(round_votes):
                continue
            if self.step < COMMIT:
                if self.rule_next_round(round_votes):
                    continue
                self.rule_timers(round_votes)
            return

    def rule_decide(self) -> bool:
        """Lines 16 to 18: a quorum of precommits for one value in any round. Returns whether the height is over."""
        for round, block_hash in self.votes.commits.items():
            is_valid = self.validity.get(block_hash)
            if is_valid:  # 17
                commit = self.votes.commit_certificate(round)
                self.step = COMMIT
                self.decision = self.blocks[block_hash], commit
                self.effects.append(Decide(self.height, *self.decision))
                return True
            if is_valid is False:  # 18
                commit = self.votes.commit_certificate(round)
                self._halt(block_hash, "a commit exists for a block that this node finds invalid", commit)
                return True
            self.want(block_hash)
        return False

    def rule_adopt(self) -> None:
        """Line 19: the newest polka is the best value to propose; it changes what is proposed, never what is voted."""
        waiting = []
        for round in self.votes.polkas:
            polka = self.votes.rounds[round].polka
            if polka is None or polka[0] is None or round <= self.valid_round:
                continue
            is_valid = self.validity.get(polka[0])
            if round > self.round:
                waiting.append(round)
            elif is_valid is None:
                waiting.append(round)
                self.want(polka[0])
            elif not is_valid:
                self._halt_at_polka(polka[0], round)
                return
            elif round == self.round and self.step < AWAIT_COMMIT:
                waiting.append(round)  # line 28 locks it as well
            else:
                self._set_valid(polka[0], round)
        self.votes.polkas = waiting

    def rule_skip(self) -> bool:
        """Line 20: validators worth more than a third are ahead; at least one of them is correct."""
        target = self.votes.skip_target()
        if target <= self.round:
            return False
        self.start_round(target)
        return True

    def rule_wake(self) -> bool:
        """Line 21: somebody has found work: a valid proposal of round 0."""
        votes = self.votes.rounds.get(0)
        proposal = None if votes is None else votes.first_proposal()
        if votes is None or proposal is None or not votes.is_first_timely:
            return False
        if not self.validity.get(proposal.block_hash):
            return False
        self.start_round(0)
        return True

    def rule_prevote(self, votes: RoundVotes) -> bool:
        """Lines 22 to 26. Returns whether the step has changed."""
        proposal = votes.first_proposal()
        if proposal is None:
            return False
        if proposal.valid_round >= self.round:  # 25
            self.prevote(None, NO_ROUND)
            return True
        is_valid = self.validity.get(proposal.block_hash)
        if is_valid is None:
            return False
        if proposal.valid_round == NO_ROUND:  # 23
            may = is_valid and votes.is_first_timely and self.lock_allows(proposal)
        elif self.has_polka_for(proposal):  # 24
            may = is_valid and self.lock_allows(proposal)
        else:
            return False
        if may:
            self.prevote(proposal.block_hash, proposal.valid_round)
            return True
        self.prevote(None, NO_ROUND)
        if is_valid and not self.lock_allows(proposal):
            self.share_polka()
        return True

    def share_polka(self) -> None:
        """Line 26: the proposer did not know what this validator is locked on; the next one shall."""
        if self.valid_polka is not None:
            self.effects.append(Broadcast(self.valid_polka))

    def lock_allows(self, proposal: Proposal) -> bool:
        """The strict lock: only a polka at or after the locked round frees from it."""
        return self.locked_round <= proposal.valid_round

    def has_polka_for(self, proposal: Proposal) -> bool:
        return self.votes.has_polka(proposal.valid_round, proposal.block_hash)

    def rule_precommit(self, votes: RoundVotes) -> bool:
        """Lines 27 to 30. Returns whether the step has changed."""
        if votes.polka is None:
            return False
        block_hash = votes.polka[0]
        if block_hash is None:  # 29
            self.precommit(None)
            return True
        is_valid = self.validity.get(block_hash)
        if is_valid:  # 28
            self._set_valid(block_hash, self.round)
            self.lock(block_hash)
            self.precommit(block_hash)
            return True
        if is_valid is False:  # 30
            self._halt_at_polka(block_hash, self.round)
            return True
        self.want(block_hash)
        return False

    def rule_next_round(self, votes: RoundVotes) -> bool:
        """Line 32, its second half: a quorum has given the round up, so nothing can be decided in it any more.

        Not before the propose timeout: rounds that fail for another reason must not follow each other unhindered.
        """
        if not self.has_waited or votes.precommit_weights.get(None, 0) < self.votes.quorum:
            return False
        self.start_round(self.round + 1)
        return True

    def rule_timers(self, votes: RoundVotes) -> None:
        """Lines 31 and 32."""
        if self.step == AWAIT_POLKA and votes.prevote_power >= self.votes.quorum and not votes.is_prevote_timer_set:
            votes.is_prevote_timer_set = True
            self.effects.append(SetTimer(TimerKind.PREVOTE, self.height, self.round))  # 31
        if votes.precommit_power >= self.votes.quorum and not votes.is_precommit_timer_set:
            votes.is_precommit_timer_set = True
            self.effects.append(SetTimer(TimerKind.PRECOMMIT, self.height, self.round))  # 32

    def lock(self, block_hash: Hash32) -> None:
        self.locked_round = self.round
        self.locked_hash = block_hash

    def _set_valid(self, block_hash: Hash32, round: int) -> None:
        self.valid_round = round
        self.valid_hash = block_hash
        self.valid_polka = self.votes.polka_certificate(round)

    def _halt(self, block_hash: Hash32, reason: str, proof: Polka | CommitCertificate) -> None:
        self.step = Step.HALTED
        self.effects.append(Halt(self.height, block_hash, reason, proof))

    def _halt_at_polka(self, block_hash: Hash32, round: int) -> None:
        polka = self.votes.polka_certificate(round)
        self._halt(block_hash, "a polka exists for a block that this node finds invalid", polka)

    # -- timeouts ------------------------------------------------------------------------------------------------
    def timeout(self, kind: TimerKind, round: int) -> None:
        if kind is TimerKind.HEARTBEAT:
            self.work_available()
        elif round != self.round:
            return
        elif kind is TimerKind.PROPOSE:
            self.has_waited = True
            if self.step == PROPOSE:  # 33
                self.prevote(None, NO_ROUND)
        elif kind is TimerKind.PREVOTE and self.step == AWAIT_POLKA:  # 34
            self.precommit(None)
        elif kind is TimerKind.PRECOMMIT and self.step < COMMIT:  # 35
            self.start_round(round + 1)

    def work_available(self) -> None:
        if self.step == IDLE:  # 9
            self.start_round(0)

    # -- what this node says -------------------------------------------------------------------------------------
    def prevote(self, block_hash: Hash32 | None, valid_round: int) -> None:
        self.step = AWAIT_POLKA
        self.ask_for_vote(PREVOTE, block_hash, valid_round)

    def precommit(self, block_hash: Hash32 | None) -> None:
        self.step = AWAIT_COMMIT
        self.ask_for_vote(PRECOMMIT, block_hash, NO_ROUND)

    def value(self, round: int, block: Candidate) -> None:
        """Line 14's answer: the application has built a block."""
        if round != self.round or self.step != PROPOSE or self.me is None:
            return
        self.blocks[block.hash] = block
        self.validity[block.hash] = True
        if self.valid_hash is not None:
            self.act_as_proposer()  # a polka came while the block was built: it goes first
        else:
            self.ask_for_proposal(block.hash, NO_ROUND, None)

    def signed(self, message: Signable) -> None:
        """Line 37: the signer has answered."""
        key = (message.kind, message.round)
        asked, polka = self.requested.get(key, (None, None))
        if asked is None or key in self.own or asked.signed(message.signature) != message:
            return
        own = message if isinstance(message, Vote) else ProposalMessage(message, None, polka)
        self.own[key] = own
        self.publish(own)
        if isinstance(own, Vote):
            self.votes.add(own)
        else:
            self.receive_proposal(own, None, True)

    # -- the journal ---------------------------------------------------------------------------------------------
    def restore(self, record: SignRecord) -> None:
        """Lines 4 to 6: go on where the journal says, as far as own messages show it."""
        self.locked_round, self.locked_hash = record.locked_round, record.locked_hash  # 4
        self.valid_round, self.valid_hash = record.valid_round, record.valid_hash
        self.valid_polka = record.valid_polka
        self.round_certificate = record.round_certificate
        for message in record.own:
            said = statement(message)
            polka = message.polka if isinstance(message, ProposalMessage) else None
            self.own[said.kind, said.round] = message
            self.requested[said.kind, said.round] = said, polka
        self.votes.enter(record.round)
        if self.valid_polka is not None:
            self.votes.accept_polka(self.valid_polka)
        for vote in record.round_certificate:
            self.votes.add(vote)
        for block in record.blocks:
            self.take_body(block)
        for message in record.own:
            if isinstance(message, Vote):
                self.votes.add(message)
            elif message.proposal.round == record.round:
                self.receive_proposal(message, None, True)
        self.step = self._step_of_own_messages()  # 5
        self.effects += [Broadcast(message) for message in self.own_of_round()]
        if self.step == PROPOSE:  # 6
            self.act_as_proposer()
            self.effects.append(SetTimer(TimerKind.PROPOSE, self.height, self.round))

    def _step_of_own_messages(self) -> Step:
        """A step whose message never became durable has not been taken."""
        if (PRECOMMIT, self.round) in self.own:
            return AWAIT_COMMIT
        if (PREVOTE, self.round) in self.own:
            return AWAIT_POLKA
        return PROPOSE

    # -- messages ------------------------------------------------------------------------------------------------
    def receive_proposal(self, message: ProposalMessage, sender: Peer | None, is_timely: bool) -> None:
        """Line 41."""
        proposal, block = message.proposal, message.block
        if not self.votes.is_kept(proposal.round) or proposal.round < 0:
            return
        if proposal.validator != self.proposer(proposal.round):
            self.fault(sender, f"proposal of validator {proposal.validator} out of turn in round {proposal.round}")
            return
        if block is not None and block.hash != proposal.block_hash:
            self.fault(sender, "proposal with the body of another block")
            return
        votes = self.votes.at(proposal.round)
        if proposal.block_hash not in votes.proposals:
            if len(votes.proposals) >= PROPOSALS_PER_ROUND:
                return
            first = votes.first_proposal()
            if first is None:
                votes.is_first_timely = is_timely
            else:
                self.effects.append(Evidence(DoubleProposal(first, proposal)))
            votes.proposals[proposal.block_hash] = proposal
        if proposal.round >= self.round - BODY_ROUNDS or proposal.block_hash in self.wanted:
            if block is not None:
                self.take_body(block, is_timely)
            else:
                self.want(proposal.block_hash)
        if message.polka is not None:
            self.receive_polka(message.polka, sender)

    def receive_polka(self, polka: Polka, sender: Peer | None) -> None:
        """Line 42."""
        if polka.height != self.height:
            self.fault(sender, f"polka of height {polka.height} within height {self.height}")
            return
        known = self.votes.rounds.get(polka.round)
        if known is not None and known.polka == (polka.block_hash, polka.valid_round):
            return
        try:
            validate_polka(polka, self.validators, self.is_signed)
        except InvalidCertificate as error:
            self.fault(sender, str(error))
            return
        self.votes.accept_polka(polka)

    def receive_commit(self, commit: CommitCertificate, sender: Peer | None) -> bool:
        """Line 43. Returns whether the certificate is good."""
        if self.votes.commits.get(commit.round) == commit.block_hash:
            return True
        try:
            validate_commit(commit, self.validators, self.is_signed)
        except InvalidCertificate as error:
            self.fault(sender, str(error))
            return False
        self.votes.accept_commit(commit)
        return True

    def receive_votes(self, votes: tuple[Vote, ...], sender: Peer | None) -> None:
        """Line 44: votes of a bundle, each checked here."""
        for vote in votes:
            if vote.height != self.height or not self.is_signed(vote):
                self.fault(sender, f"bundle with a bad vote of validator {vote.validator}")
                return
            self.votes.add(vote)


MachineFactory = Callable[[Start, int | None, IsSigned], HeightMachine]
