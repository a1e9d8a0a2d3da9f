"""What peers say, on its way to the core: judged as cheaply as possible, passed on, fed.

Nobody has to be a validator to connect, so whatever costs more than it cost to send comes after a check that only a
validator's signature passes: the body of a proposal is not looked into before its proposer is known to be in turn, that
of a decision not before its certificate is good, that of a reply only if it was asked for. What is passed on has been
checked as far as the next one will check it, for that one will blame this node.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, Protocol

import trio

from dmchain.chain.consensus.catchup import make_status
from dmchain.chain.consensus.certificates import InvalidCertificate, validate_commit, validate_polka
from dmchain.chain.consensus.core import Core
from dmchain.chain.consensus.encoding import decode_message, encode_message
from dmchain.chain.consensus.inputs import Input, Received
from dmchain.chain.consensus.machine import HeightMachine
from dmchain.chain.consensus.messages import (
    NO_ROUND,
    PRECOMMIT,
    BlockReply,
    BlockRequest,
    Candidate,
    Decision,
    Message,
    Proposal,
    ProposalMessage,
    RoundStatus,
    Vote,
    VoteBundle,
)
from dmchain.chain.consensus.signatures import SignatureChecker
from dmchain.chain.consensus.timing import is_timely
from dmchain.chain.consensus.votes import WINDOW
from dmchain.chain.primitives.errors import DecodeError
from dmchain.node.consensus.application import Application, peek_hash
from dmchain.node.consensus.epochs import Epoch
from dmchain.node.consensus.relay import Relay
from dmchain.node.network.limits import Rate, TokenBucket
from dmchain.node.network.messages import MAX_REPLY_BYTES

CATCH_UP_SECONDS: Final = 0.2
"""A peer is asked, or helped, at most once in this time."""
DECISIONS_AT_ONCE: Final = 4
"""Heights that a peer is helped along, or that are kept for later."""
QUESTIONS: Final = Rate(20, 60)
"""Per peer: everything but votes and proposals. A stuck validator asks once a second and is answered with a handful."""


class Wire(Protocol):
    """Where messages go. Peers are numbers of the wire's choice."""

    def broadcast(self, payload: bytes, *, has_body: bool) -> None: ...

    def send(self, peer: int, payload: bytes, *, has_body: bool) -> None: ...

    def send_to(self, peers: list[int], payload: bytes, *, has_body: bool) -> None: ...

    def peers(self) -> list[int]: ...

    def fault(self, peer: int, reason: str) -> None: ...

    def behind(self, peer: int, height: int) -> None:
        """The peer says that it is many heights above this node: sync from it."""
        ...


class _PeerState:
    """What one peer has used up, and when it was last dealt with."""

    def __init__(self, now: float) -> None:
        self.questions = TokenBucket(QUESTIONS, now)
        self.asked_at = self.helped_at = now - CATCH_UP_SECONDS


class Intake:
    """Takes the messages of all peers. Everything it knows of a peer is forgotten with `forget_peer`."""

    def __init__(
        self,
        core: Core,
        app: Application,
        checker: SignatureChecker,
        wire: Wire,
        feed: Callable[[Input], None],
        *,
        clock: Callable[[], float],
        remind: Callable[[int, int], None],
    ) -> None:
        """`clock` gives seconds since the epoch. `remind(peer, height)` comes back as `ask` in a moment."""
        self.relay = Relay()
        self._core = core
        self._app = app
        self._checker = checker
        self._wire = wire
        self._feed = feed
        self._clock = clock
        self._remind = remind
        self._peers: dict[int, _PeerState] = {}
        self._future: dict[int, tuple[int, Decision]] = {}
        """Decisions of the next heights, by height, with the peers that sent them. Unverified."""

    # -- in ------------------------------------------------------------------------------------------------------
    def take(self, peer: int, payload: bytes) -> None:
        """Raises DecodeError for what no correct node sends."""
        message = decode_message(payload, peek_hash)
        machine = self._core.machine
        if machine is None or self._core.halted:
            return
        match message:
            case Vote():
                self._vote(machine, peer, message, payload)
            case ProposalMessage():
                self._proposal(machine, peer, message, payload)
            case _:
                if self._state(peer).questions.try_take(1, trio.current_time()):
                    self._question(machine, peer, message)

    def _question(self, machine: HeightMachine, peer: int, message: Message) -> None:
        """Everything that is said to one peer alone."""
        match message:
            case Decision():
                self._decision(machine, peer, message)
            case RoundStatus(height=height):
                if height < machine.height:
                    self.help(peer, height)
                elif height > machine.height:
                    self.ahead(peer, height)
                else:
                    self._feed(Received(message, peer))
            case BlockRequest(height=height):
                if height <= self._app.chain.head.number:
                    self.help(peer, height)
                elif height == machine.height:
                    self._feed(Received(message, peer))
            case BlockReply(height=height, block=block):
                if height == machine.height and block.hash in machine.wanted:
                    self._feed(Received(message, peer, self._is_fresh_throughout(machine, block)))
            case VoteBundle(votes=votes) if len(votes) > 2 * len(machine.validators):
                self._wire.fault(peer, f"bundle of {len(votes)} votes of {len(machine.validators)} validators")
            case _:
                if message.height == machine.height:  # type: ignore[union-attr]  # certificates and bundles
                    self._feed(Received(message, peer))

    def _state(self, peer: int) -> _PeerState:
        state = self._peers.get(peer)
        if state is None:
            state = self._peers[peer] = _PeerState(trio.current_time())
        return state

    def forget_peer(self, peer: int) -> None:
        self._peers.pop(peer, None)
        self.relay.forget_peer(peer)
        self._future = {height: kept for height, kept in self._future.items() if kept[0] != peer}

    # -- votes ---------------------------------------------------------------------------------------------------
    def _vote(self, machine: HeightMachine, peer: int, vote: Vote, payload: bytes) -> None:
        current = machine.height
        if vote.height > current + 1:
            self.ahead(peer, vote.height)
            return
        # of the height before, precommits are still worth something to their validators
        if vote.height < current - 1 or (vote.height < current and vote.kind != PRECOMMIT):
            return
        if self.relay.has_heard(vote):
            now = trio.current_time()
            self.relay.note_repeated(peer, vote.validator, now)
            if self.relay.should_answer(peer, vote.validator, now):
                self._wire.send(peer, payload, has_body=False)
            if vote.height != current or machine.votes.find(vote) != vote:
                self._feed(Received(vote, peer))
            return
        epoch = self._epoch_of(vote, peer)
        if epoch is None:
            return
        self._feed(Received(vote, peer))
        if vote.height >= current and self._is_near(machine, vote):
            self._pass_on(peer, vote, payload, has_body=False)

    def _epoch_of(self, said: Vote | Proposal, peer: int) -> Epoch | None:
        """The epoch whose set signs that height, if the signature is good; else None, and the peer is at fault."""
        epoch = self._app.epochs.find(said.height) if said.height > 0 else None
        if epoch is not None and self._checker.is_signed(said, epoch.validators):
            return epoch
        self._wire.fault(peer, f"bad signature of validator {said.validator} at height {said.height}")
        return None

    @staticmethod
    def _is_near(machine: HeightMachine, said: Vote | Proposal) -> bool:
        """Whether a statement of this height or the next is of a round that everybody keeps."""
        return machine.votes.is_kept(said.round) if said.height == machine.height else said.round < WINDOW

    def _pass_on(self, sender: int, said: Vote | Proposal, payload: bytes, *, has_body: bool) -> None:
        if self.relay.is_new(said):
            targets = self.relay.choose_targets(self._wire.peers(), sender, said.validator, trio.current_time())
            self._wire.send_to(targets, payload, has_body=has_body)

    # -- proposals -----------------------------------------------------------------------------------------------
    def _proposal(self, machine: HeightMachine, peer: int, message: ProposalMessage, payload: bytes) -> None:
        proposal, block = message.proposal, message.block
        if proposal.height > machine.height + 1:
            self.ahead(peer, proposal.height)
            return
        if proposal.height < machine.height or not self._is_near(machine, proposal):
            return
        if self.relay.has_heard(proposal):
            self.relay.note_repeated(peer, proposal.validator, trio.current_time())
            if message.polka is None and (block is None or block.hash in machine.blocks):
                return
        epoch = self._epoch_of(proposal, peer)
        if epoch is None:
            return
        if proposal.validator != epoch.proposer(proposal.height, proposal.round):
            self._wire.fault(peer, f"proposal of validator {proposal.validator} out of turn in round {proposal.round}")
            return
        if block is not None:
            if block.hash != proposal.block_hash:
                self._wire.fault(peer, "proposal with the body of another block")
                return
            self._app.decode(block.body)
        self._feed(Received(message, peer, self._is_fresh(machine, epoch, proposal, block)))
        if message.polka is not None and not self._is_polka_good(message, epoch):
            payload = encode_message(replace(message, polka=None))  # anybody may have put it there
        self._pass_on(peer, proposal, payload, has_body=block is not None)

    def _is_polka_good(self, message: ProposalMessage, epoch: Epoch) -> bool:
        polka = message.polka
        if polka is None or polka.height != message.proposal.height:
            return False
        try:
            validate_polka(polka, epoch.validators, lambda vote: self._checker.is_signed(vote, epoch.validators))
        except InvalidCertificate:
            return False
        return True

    def _is_fresh(
        self, machine: HeightMachine, epoch: Epoch, proposal: Proposal, block: Candidate | None
    ) -> bool:
        """Whether a proposal without a valid round has a block of its own proposer, made just now; True as long as the
        body has not come. Else a proposer could choose among the reveals of others. Raises DecodeError."""
        if block is None and proposal.height == machine.height:
            block = machine.blocks.get(proposal.block_hash)
        if proposal.valid_round != NO_ROUND or block is None:
            return True
        record = self._app.record_of(block)
        if record.proposer != epoch.validators.validators[proposal.validator].address:
            return False
        return is_timely(self._app.params, record.timestamp_ms, int(self._clock() * 1000), proposal.round)

    def _is_fresh_throughout(self, machine: HeightMachine, block: Candidate) -> bool:
        """The same of a body that comes apart from its proposals. Raises DecodeError."""
        self._app.decode(block.body)
        epoch = self._app.epochs.at(machine.height)
        proposals = [votes.first_proposal() for votes in machine.votes.rounds.values()]
        named = [each for each in proposals if each is not None and each.block_hash == block.hash]
        return all(self._is_fresh(machine, epoch, each, block) for each in named)

    # -- catching up ---------------------------------------------------------------------------------------------
    def _decision(self, machine: HeightMachine, peer: int, decision: Decision) -> None:
        height = decision.commit.height
        if height > machine.height + DECISIONS_AT_ONCE:
            self.ahead(peer, height)
        elif height > machine.height:
            self._future.setdefault(height, (peer, decision))
        elif height == machine.height and not machine.is_over():
            self._take_decision(machine, peer, decision)

    def _take_decision(self, machine: HeightMachine, peer: int, decision: Decision) -> None:
        """Raises DecodeError."""
        commit, block = decision.commit, decision.block
        if block.hash != commit.block_hash:
            self._wire.fault(peer, "decision with the body of another block")
            return
        try:
            validate_commit(commit, machine.validators, lambda vote: self._checker.is_signed(vote, machine.validators))
        except InvalidCertificate as error:
            self._wire.fault(peer, str(error))
            return
        self._app.decode(block.body)
        self._feed(Received(decision, peer))

    def start_height(self, height: int) -> None:
        """The core has begun `height`: use what came early for it."""
        self.relay.start_height(height)
        peer, decision = self._future.pop(height, (0, None))
        self._future = {at: kept for at, kept in self._future.items() if at > height}
        machine = self._core.machine
        if decision is not None and machine is not None:
            try:
                self._take_decision(machine, peer, decision)
            except DecodeError as error:
                self._wire.fault(peer, str(error))

    def help(self, peer: int, height: int) -> None:
        """Send decisions from `height` on, not too often nor too much."""
        state, now = self._state(peer), trio.current_time()
        if now - state.helped_at < CATCH_UP_SECONDS:
            return
        state.helped_at = now
        size = 0
        for at in range(height, min(height + DECISIONS_AT_ONCE, self._app.chain.head.number + 1)):
            decided = self._app.decided(at)
            if decided is None or size > MAX_REPLY_BYTES:
                return
            block, commit = decided
            size += len(block.body)
            self.send(peer, Decision(block, commit.to_certificate()))

    def ahead(self, peer: int, height: int) -> None:
        """The peer says it is above this node: if the decision does not come by itself, ask."""
        if height > self._core.height + DECISIONS_AT_ONCE:
            self._wire.behind(peer, height)
        state, now = self._state(peer), trio.current_time()
        if now - state.asked_at >= CATCH_UP_SECONDS:
            state.asked_at = now
            self._remind(peer, height)

    def ask(self, peer: int, height: int) -> None:
        """Tell the peer where this node is, unless it has caught up."""
        machine = self._core.machine
        if machine is not None and height > machine.height:
            self.send(peer, make_status(machine))

    # -- out -----------------------------------------------------------------------------------------------------
    def send(self, peer: int, message: Message) -> None:
        self._wire.send(peer, encode_message(message), has_body=has_body(message))

    def broadcast(self, message: Message) -> None:
        """Send what this node says to everybody."""
        if isinstance(message, Vote | ProposalMessage):  # should it come back, it is not passed on again
            self.relay.is_new(message if isinstance(message, Vote) else message.proposal)
        self._wire.broadcast(encode_message(message), has_body=has_body(message))


def has_body(message: Message) -> bool:
    """Whether a message carries a block."""
    if isinstance(message, ProposalMessage):
        return message.block is not None
    return isinstance(message, Decision | BlockReply)
