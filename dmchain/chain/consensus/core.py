"""The consensus core: `step(input) -> effects`, height after height.

The host feeds inputs one at a time and performs the effects of each in order before it feeds the next. A core keeps no
more than the height under way, what came early for the next one, and the commit of the last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dmchain.chain.consensus.catchup import answer_status, make_status
from dmchain.chain.consensus.certificates import by_validator
from dmchain.chain.consensus.effects import Ask, Broadcast, Effect, Evidence, PeerAhead, PeerBehind, Send, SetTimer
from dmchain.chain.consensus.evidence import make_double_vote
from dmchain.chain.consensus.inputs import (
    Input,
    Peer,
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
    PRECOMMIT,
    BlockReply,
    BlockRequest,
    CommitCertificate,
    Decision,
    Polka,
    ProposalMessage,
    RoundStatus,
    Step,
    Vote,
    VoteBundle,
)
from dmchain.chain.consensus.signatures import IsSigned
from dmchain.chain.consensus.votes import WINDOW
from dmchain.chain.primitives.types import Address


class Core:
    """Consensus of one node, from `Start` to `Start`.

    `halted` is set for good by a Halt: a node that disagrees with a quorum must not go on.
    """

    def __init__(self, address: Address | None, is_signed: IsSigned, machine: MachineFactory = HeightMachine) -> None:
        """`address` of the consensus key, None for a node that only follows. `is_signed` checks votes inside
        certificates; single votes and proposals are checked by the host before they get here."""
        self.address = address
        self.height = 0
        self.machine: HeightMachine | None = None
        self.halted = False
        self._is_signed = is_signed
        self._make_machine = machine
        self._early: dict[tuple[int, int], tuple[Vote | ProposalMessage, Peer | None, bool]] = {}
        self._mark: tuple[int, Step] | None = None
        self._handlers: dict[type, Callable[[HeightMachine, Any], bool]] = {
            Received: self._received,
            Signed: self._signed,
            Validity: self._validity,
            Value: self._value,
            Timeout: self._timeout,
            WorkAvailable: self._work_available,
            Rebroadcast: self._rebroadcast,
        }
        self._messages: dict[type, Callable[[HeightMachine, Any, Peer | None, bool], bool]] = {
            Vote: self._vote,
            ProposalMessage: self._proposal,
            Polka: self._polka,
            CommitCertificate: self._commit,
            VoteBundle: self._bundle,
            Decision: self._decision,
            RoundStatus: self._status,
            BlockRequest: self._block_request,
            BlockReply: self._block_reply,
        }

    @property
    def early_messages(self) -> int:
        """How many messages of the next height are kept."""
        return len(self._early)

    def step(self, happened: Input) -> list[Effect]:
        """Take one input; return what to do about it."""
        if self.halted:
            return []
        if type(happened) is Start:
            return self._start(happened)
        machine = self.machine
        if machine is None:
            return []
        if self._handlers[type(happened)](machine, happened):
            machine.progress()
        effects, machine.effects = machine.effects, []
        self.halted = machine.step is Step.HALTED
        return effects

    def stop(self) -> None:
        """Forget the height: others have decided blocks that this node lacks. The next input is a `Start`."""
        self.machine = None
        self._early.clear()

    # -- heights -------------------------------------------------------------------------------------------------
    def _start(self, start: Start) -> list[Effect]:
        record = start.record
        # a journal ahead of the chain: what was signed there must not be signed again
        is_observer = start.is_observer or (record is not None and record.height > start.height)  # 2
        me = None if is_observer else start.validators.index_of(self.address)
        before, machine = self.machine, self._make_machine(start, me, self._is_signed)
        self.machine = machine
        self.height = start.height
        self._mark = None
        if before is not None and before.height == self.height - 1:  # 1
            for vote in before.late_precommits():
                self._add_to_last_commit(machine, vote)
        if record is not None and record.height == start.height:  # 3
            machine.restore(record)
        else:
            machine.effects.append(SetTimer(TimerKind.HEARTBEAT, self.height, 0))  # 7
        machine.effects.append(SetTimer(TimerKind.STUCK, self.height, 0))
        early, self._early = self._early, {}
        for kind, validator in sorted(early):  # 8
            message, sender, is_timely = early[kind, validator]
            if isinstance(message, Vote):
                machine.votes.add(message)
            else:
                machine.receive_proposal(message, sender, is_timely)
        machine.progress()
        effects, machine.effects = machine.effects, []
        self.halted = machine.step is Step.HALTED
        return effects

    def _work_available(self, machine: HeightMachine, happened: WorkAvailable) -> bool:
        if happened.height != self.height:
            return False
        machine.work_available()
        return True

    def _timeout(self, machine: HeightMachine, happened: Timeout) -> bool:
        if happened.height != self.height:
            return False
        machine.timeout(happened.kind, happened.round)
        return True

    def _value(self, machine: HeightMachine, happened: Value) -> bool:
        if happened.height != self.height:
            return False
        machine.value(happened.round, happened.block)
        return True

    def _validity(self, machine: HeightMachine, happened: Validity) -> bool:
        if happened.height != self.height or happened.block_hash not in machine.blocks:
            return False
        machine.validity[happened.block_hash] = happened.is_valid
        return True

    def _signed(self, machine: HeightMachine, happened: Signed) -> bool:
        if happened.message.height != self.height:
            return False
        machine.signed(happened.message)
        return True

    # -- messages ------------------------------------------------------------------------------------------------
    def _received(self, machine: HeightMachine, happened: Received) -> bool:
        message = happened.message
        return self._messages[type(message)](machine, message, happened.sender, happened.is_timely)

    def _vote(self, machine: HeightMachine, vote: Vote, sender: Peer | None, is_timely: bool) -> bool:
        if vote.height == self.height:
            machine.votes.add(vote)  # 38 to 40
            return True
        if vote.height > self.height:
            self._keep_early(machine, vote, vote.height, vote.kind, vote.round, vote.validator, sender, True)
        elif vote.height == self.height - 1 and vote.kind == PRECOMMIT:
            self._add_to_last_commit(machine, vote)
        return False

    def _proposal(self, machine: HeightMachine, message: ProposalMessage, sender: Peer | None, is_timely: bool) -> bool:
        proposal = message.proposal
        if proposal.height == self.height:
            machine.receive_proposal(message, sender, is_timely)
            return True
        if proposal.height > self.height:
            self._keep_early(
                machine,
                message,
                proposal.height,
                proposal.kind,
                proposal.round,
                proposal.validator,
                sender,
                is_timely,
            )
        return False

    def _keep_early(
        self,
        machine: HeightMachine,
        message: Vote | ProposalMessage,
        height: int,
        kind: int,
        round: int,
        validator: int,
        sender: Peer | None,
        is_timely: bool,
    ) -> None:
        """Line 45: of the next height one message per validator and kind, a lower round before a higher."""
        if height == self.height + 1 and 0 <= validator < len(machine.validators):
            if isinstance(message, ProposalMessage):
                # only of whom the present schedule expects: bodies are large. When a new epoch has another schedule
                # a proposal is lost here, and asked for when the height has begun
                in_turn = round < WINDOW and machine.proposer(round + 1) == validator
            else:
                in_turn = True
            key = (kind, validator)
            if in_turn and (key not in self._early or _round_of(self._early[key][0]) > round):
                self._early[key] = message, sender, is_timely
        if sender is not None and not machine.is_over():
            machine.effects.append(PeerAhead(sender, height))

    @staticmethod
    def _add_to_last_commit(machine: HeightMachine, vote: Vote) -> None:
        """Line 46: a precommit that came after the decision still counts for its validator's reward, or against it."""
        commit = machine.last_commit
        if commit is None or vote.round != commit.round:
            return
        known = next((other for other in commit.votes if other.validator == vote.validator), None)
        if known is not None:
            if not known.is_same_statement(vote) and vote.validator not in machine.late_culprits:
                machine.late_culprits.add(vote.validator)
                machine.effects.append(Evidence(make_double_vote(known, vote)))
            return
        if vote.block_hash != commit.block_hash:
            return
        votes = by_validator((*commit.votes, vote))
        machine.last_commit = CommitCertificate(commit.height, commit.round, commit.block_hash, votes)

    def _polka(self, machine: HeightMachine, polka: Polka, sender: Peer | None, is_timely: bool) -> bool:
        if polka.height != self.height:
            return False
        machine.receive_polka(polka, sender)
        return True

    def _commit(self, machine: HeightMachine, commit: CommitCertificate, sender: Peer | None, is_timely: bool) -> bool:
        if commit.height != self.height:
            return False
        machine.receive_commit(commit, sender)
        return True

    def _bundle(self, machine: HeightMachine, bundle: VoteBundle, sender: Peer | None, is_timely: bool) -> bool:
        if bundle.height != self.height:
            return False
        machine.receive_votes(bundle.votes, sender)
        return True

    def _decision(self, machine: HeightMachine, decision: Decision, sender: Peer | None, is_timely: bool) -> bool:
        """Line 47: the certificate decides, the body still has to be valid here."""
        if decision.commit.height != self.height or machine.is_over():
            return False
        if decision.block.hash != decision.commit.block_hash:
            machine.fault(sender, "decision with the body of another block")
            return False
        if machine.receive_commit(decision.commit, sender):
            machine.take_body(decision.block)
        return True

    def _status(self, machine: HeightMachine, status: RoundStatus, sender: Peer | None, is_timely: bool) -> bool:
        if sender is None:
            return False
        if status.height < self.height:
            machine.effects.append(PeerBehind(sender, status.height))  # 50
        elif status.height > self.height:
            machine.effects.append(PeerAhead(sender, status.height))
        else:
            machine.effects += [Send(sender, message) for message in answer_status(machine, status)]  # 51
        return False

    def _block_request(
        self, machine: HeightMachine, request: BlockRequest, sender: Peer | None, is_timely: bool
    ) -> bool:
        if request.height == self.height and sender is not None:
            block = machine.blocks.get(request.block_hash)
            if block is not None:
                machine.effects.append(Send(sender, BlockReply(self.height, block)))
        return False

    def _block_reply(self, machine: HeightMachine, reply: BlockReply, sender: Peer | None, is_timely: bool) -> bool:
        if reply.height != self.height or reply.block.hash not in machine.wanted:
            return False
        machine.take_body(reply.block, is_timely)
        return True

    # -- being stuck ---------------------------------------------------------------------------------------------
    def _rebroadcast(self, machine: HeightMachine, happened: Rebroadcast) -> bool:
        """Lines 48 and 49: say it all again when no step has been taken for the timeouts of a whole round."""
        if happened.height != self.height or machine.is_over():
            return False
        mark = (machine.round, machine.step)
        is_stuck = mark == self._mark
        self._mark = mark
        effects = machine.effects
        if is_stuck:
            effects += [Broadcast(message) for message in machine.own_of_round()]
            effects += [machine.fetch(block_hash) for block_hash in machine.wanted]
            effects.append(Ask(make_status(machine)))
        is_waiting = is_stuck and machine.step is not Step.IDLE
        kind = TimerKind.RETRY if is_waiting else TimerKind.STUCK
        effects.append(SetTimer(kind, self.height, max(machine.round, 0)))
        return False


def _round_of(message: Vote | ProposalMessage) -> int:
    return message.round if isinstance(message, Vote) else message.proposal.round
