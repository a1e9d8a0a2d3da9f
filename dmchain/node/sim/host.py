"""One simulated node: performs the core's effects in order, keeps chain and journal, catches up, crashes.

What the real host does with sockets, files and a clock, done with the world's heap. The order of things is the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from dmchain.chain.consensus.catchup import make_status
from dmchain.chain.consensus.core import Core
from dmchain.chain.consensus.effects import (
    Ask,
    Broadcast,
    Decide,
    Effect,
    Evidence,
    FetchBlock,
    GetValue,
    Halt,
    PeerAhead,
    PeerBehind,
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
from dmchain.chain.consensus.machine import MachineFactory
from dmchain.chain.consensus.messages import (
    NO_ROUND,
    BlockReply,
    BlockRequest,
    Candidate,
    CommitCertificate,
    Decision,
    Message,
    Proposal,
    ProposalMessage,
    Vote,
)
from dmchain.chain.consensus.observer import ObserverPeriod
from dmchain.chain.consensus.timing import ASK_PEERS, compute_timeout_ms, is_timely
from dmchain.chain.primitives.types import Hash32
from dmchain.node.signer import DoubleSignRefused, SignGuard
from dmchain.node.sim.journal import FaultyJournal
from dmchain.node.sim.ledger import GENESIS
from dmchain.node.sim.plan import MILLISECOND, SECOND
from dmchain.node.sim.violation import Violation

if TYPE_CHECKING:
    from dmchain.node.sim.world import World

CATCH_UP_INTERVAL: Final = 200 * MILLISECOND
"""A peer is asked, or helped, at most once in this time."""
CATCH_UP_GRACE: Final = 50 * MILLISECOND
"""A message of the next height usually means that the decision is on its way."""
DECISIONS_AT_ONCE: Final = 4


class SimulatedNode:
    """A node of the world. `number` is its identity; twins are two nodes with one identity."""

    def __init__(self, world: World, number: int, index: int, behaviour: str | None) -> None:
        """`index` is its place among the world's nodes: what peers know it by."""
        self.world = world
        self.number = number
        self.index = index
        self.behaviour = behaviour
        self.is_correct = behaviour is None
        self.is_alive = False
        self.incarnation = 0
        self.journal = FaultyJournal(world.rng)
        self.guard = SignGuard()
        self.chain: list[tuple[Candidate, CommitCertificate]] = []
        self.future: dict[int, Decision] = {}
        self.observer: ObserverPeriod | None = None
        self.sign_from = 0
        self.timer_rate = 1.0
        self.clock_offset = 0
        self.lock_seen = NO_ROUND - 1
        self.lock_height = 0
        self.core: Core
        self._inbox: deque[Input] = deque()
        self._is_stepping = False
        self._last_asked: dict[int, int] = {}
        self._last_helped: dict[int, int] = {}
        self._performers: dict[type[Effect], Callable[[Any], None]] = {
            Persist: self._persist,
            Sign: self._sign,
            Broadcast: self._broadcast,
            Send: self._send,
            Ask: self._ask,
            SetTimer: self._set_timer,
            GetValue: self._get_value,
            Validate: self._validate,
            FetchBlock: self._fetch_block,
            Decide: self._decide,
            Evidence: self._evidence,
            PeerFault: self._peer_fault,
            PeerBehind: self._peer_behind,
            PeerAhead: self._peer_ahead,
            Halt: self._halt,
        }

    def __repr__(self) -> str:
        return f"node {self.index}"

    # -- life ----------------------------------------------------------------------------------------------------
    def boot(self, machine: MachineFactory) -> None:
        """Start with what is on disk."""
        world = self.world
        self.is_alive = True
        self.incarnation += 1
        self._inbox.clear()
        self._is_stepping = False
        self.future.clear()
        self._last_asked.clear()
        self._last_helped.clear()
        self.lock_seen, self.lock_height = NO_ROUND - 1, 0
        self.core = Core(world.addresses[self.number], world.ledger.is_vote_signed, machine)
        self.guard = SignGuard(self.journal.record)
        if self.observer is not None:
            self.ask_tips()
        self.start_height()

    def crash(self, *, lose_disk: bool = False) -> None:
        """Die at once; come back after a while."""
        world = self.world
        world.crashes += 1
        self.is_alive = False
        self.incarnation += 1
        if lose_disk:
            self.journal.lose()
            self.chain = []
            self.sign_from = 0
            self.observer = world.make_observer(self)
        world.schedule(world.rng.randrange(SECOND // 5, 4 * SECOND), self.on_boot, self, None)

    def on_boot(self, incarnation: int, data: None) -> None:
        if self.incarnation == incarnation:
            self.world.boot(self)

    def start_height(self) -> None:
        world = self.world
        height = len(self.chain) + 1
        epoch = world.epoch_of(height)
        is_observer = self.observer is not None or height < self.sign_from
        self.feed(
            Start(
                height,
                epoch.validators,
                epoch.proposers,
                height - epoch.first_height,
                self.journal.record,
                self.chain[-1][1] if self.chain else None,
                is_observer,
            )
        )
        if not self.is_alive or self.core.height != height:
            return
        decision = self.future.pop(height, None)
        if decision is not None:
            self.feed(Received(decision, None))
        delay = world.draw_work_delay()
        if delay == 0:
            self.feed(WorkAvailable(height))
        elif delay is not None:
            world.schedule(delay, self.on_work, self, height)

    # -- inputs --------------------------------------------------------------------------------------------------
    def feed(self, happened: Input) -> None:
        """Give the core an input, and its effects to whom they concern; inputs that arise meanwhile wait their turn."""
        self._inbox.append(happened)
        if self._is_stepping:
            return
        self._is_stepping = True
        incarnation = self.incarnation
        inbox, perform, checkers = self._inbox, self._performers, self.world.checkers
        while inbox:
            effects = self.core.step(inbox.popleft())
            for effect in effects:
                perform[type(effect)](effect)
                if self.incarnation != incarnation:
                    return
            if self.is_correct:
                checkers.on_step(self)
        self._is_stepping = False

    def on_message(self, incarnation: int, data: tuple[int, Message]) -> None:
        """A message arrives; `data` is the sender's index and the message."""
        if not self.is_alive:
            return
        sender, message = data
        world = self.world
        kind = type(message)
        if kind is Vote:
            assert isinstance(message, Vote)
            self._on_vote(sender, message)
        elif kind is ProposalMessage:
            assert isinstance(message, ProposalMessage)
            if world.ledger.is_signed(message.proposal):
                self.feed(Received(message, sender, self._is_timely(message)))
        elif kind is Decision:
            assert isinstance(message, Decision)
            height = message.commit.height
            if self.core.height < height <= self.core.height + DECISIONS_AT_ONCE:
                self.future[height] = message
            else:
                self.feed(Received(message, sender))
        elif kind is BlockRequest:
            assert isinstance(message, BlockRequest)
            if message.height <= len(self.chain):
                self.help(sender, message.height)
            else:
                self.feed(Received(message, sender))
        elif kind is BlockReply:
            assert isinstance(message, BlockReply)
            self.feed(Received(message, sender, self._is_body_timely(message.block.hash)))
        else:
            self.feed(Received(message, sender))

    def _on_vote(self, sender: int, vote: Vote) -> None:
        world = self.world
        if not world.ledger.is_signed(vote):
            return  # the real host cuts the peer here
        if self.is_correct:
            author = world.node_of(vote.height, vote.validator)
            if author in world.plan.byzantine:
                world.checkers.on_vote(self, vote, author)
                self.feed(Received(vote, sender))
                world.checkers.after_votes(self)
                return
        self.feed(Received(vote, sender))

    def _is_timely(self, message: ProposalMessage) -> bool:
        if message.proposal.valid_round != NO_ROUND or message.block is None:
            return True
        return self._is_body_timely(message.block.hash)

    def _is_body_timely(self, block_hash: Hash32) -> bool:
        machine, block = self.core.machine, self.world.ledger.blocks[block_hash]
        round = 0 if machine is None else max(0, machine.round)
        return is_timely(self.world.params, block.created_ms, self.clock_ms(), round)

    def clock_ms(self) -> int:
        return (self.world.now + self.clock_offset) // MILLISECOND

    def on_timer(self, incarnation: int, timer: SetTimer) -> None:
        if self.incarnation != incarnation:
            return
        if timer.kind >= TimerKind.STUCK:
            if self.is_correct:
                self.world.checkers.check_memory(self)
            self.feed(Rebroadcast(timer.height))
        else:
            self.feed(Timeout(timer.kind, timer.height, timer.round))

    def on_work(self, incarnation: int, height: int) -> None:
        if self.incarnation == incarnation:
            self.feed(WorkAvailable(height))

    def on_signed(self, incarnation: int, message: Vote | Proposal) -> None:
        if self.incarnation == incarnation:
            self.feed(Signed(message))

    def on_value(self, incarnation: int, asked: GetValue) -> None:
        if self.incarnation == incarnation and asked.height == len(self.chain) + 1:
            parent = self.chain[-1][0].hash if self.chain else GENESIS
            block = self.world.ledger.make_block(asked.height, parent, self.number, self.clock_ms())
            self.feed(Value(asked.height, asked.round, block))

    def on_executed(self, incarnation: int, asked: Validate) -> None:
        if self.incarnation == incarnation and asked.height == len(self.chain) + 1:
            block = self.world.ledger.blocks[asked.block.hash]
            parent = self.chain[-1][0].hash if self.chain else GENESIS
            is_valid = block.is_valid and block.height == asked.height and block.parent == parent
            self.feed(Validity(asked.height, asked.block.hash, is_valid))

    def on_next_height(self, incarnation: int, data: None) -> None:
        if self.incarnation == incarnation:
            self.start_height()

    # -- effects -------------------------------------------------------------------------------------------------
    def _persist(self, effect: Persist) -> None:
        world, record = self.world, effect.record
        world.barriers += 1
        if self.is_correct and world.may_crash():
            if world.rng.random() < 0.3:  # just before
                self.crash()
                return
            self.journal.crash_during(record)
            if self.journal.record is record or self.journal.record == record:
                world.checkers.on_persist(self, record)
            self.crash()
            return
        self.journal.append(record)
        if self.is_correct:
            world.checkers.on_persist(self, record)
            if world.may_crash():  # just after
                self.crash()

    def _sign(self, effect: Sign) -> None:
        world = self.world
        try:
            self.guard.check(effect.message)
        except DoubleSignRefused as error:
            if self.is_correct:
                raise Violation(4, f"node {self.number}: the signer had to refuse: {error}") from error
        signed = world.ledger.sign(effect.message)
        if world.plan.signer_delay:
            delay = world.rng.randrange(world.plan.signer_delay)
            world.schedule(delay, self.on_signed, self, signed)
        else:
            self._inbox.append(Signed(signed))

    def _broadcast(self, effect: Broadcast) -> None:
        self.world.network.broadcast(self, effect.message)

    def _send(self, effect: Send) -> None:
        self.world.network.send(self, effect.peer, effect.message)

    def _ask(self, effect: Ask) -> None:
        peers = self.world.network.peers_of(self)
        for peer in self.world.rng.sample(peers, min(ASK_PEERS, len(peers))):
            self.world.network.send(self, peer, effect.message)

    def _set_timer(self, effect: SetTimer) -> None:
        world = self.world
        wait = compute_timeout_ms(world.params, effect.kind, effect.round) * MILLISECOND
        world.schedule(int(wait * self.timer_rate), self.on_timer, self, effect)

    def _get_value(self, effect: GetValue) -> None:
        self.world.schedule(self.world.draw_execution(), self.on_value, self, effect)

    def _validate(self, effect: Validate) -> None:
        self.world.schedule(self.world.draw_execution(), self.on_executed, self, effect)

    def _fetch_block(self, effect: FetchBlock) -> None:
        world = self.world
        hinted = [world.index_of(effect.height, validator) for validator in effect.hints]
        peers = world.network.peers_of(self)
        known = [peer for peer in hinted if peer in peers] or peers
        for peer in world.rng.sample(known, min(ASK_PEERS, len(known))):
            world.network.send(self, peer, BlockRequest(effect.height, effect.block_hash))

    def _decide(self, effect: Decide) -> None:
        world = self.world
        if self.is_correct:
            world.checkers.on_decide(self, effect.height, effect.block, effect.commit)
            world.checkers.check_memory(self)
            world.note(self, effect)
            if world.may_crash():  # decided, not stored
                self.crash()
                return
        self.chain.append((effect.block, effect.commit))
        self._look_whether_observed()
        if self.is_correct and world.may_crash():  # stored, not acted upon
            self.crash()
            return
        world.schedule(MILLISECOND, self.on_next_height, self, None)

    def _evidence(self, effect: Evidence) -> None:
        if self.is_correct:
            self.world.checkers.on_evidence(self, effect.proof)

    def _peer_fault(self, effect: PeerFault) -> None:
        peer = self.world.nodes[effect.peer]
        if self.is_correct and peer.is_correct:
            raise Violation(6, f"node {self.number} blames correct node {peer.number}: {effect.reason}")

    def _peer_behind(self, effect: PeerBehind) -> None:
        self.help(effect.peer, effect.height)

    def help(self, peer: int, height: int) -> None:
        """Send decisions from `height` on, not too often."""
        world = self.world
        if world.now - self._last_helped.get(peer, -CATCH_UP_INTERVAL) < CATCH_UP_INTERVAL:
            return
        self._last_helped[peer] = world.now
        for block, commit in self.chain[height - 1 : height - 1 + DECISIONS_AT_ONCE]:
            world.network.send(self, peer, Decision(block, commit))

    def _peer_ahead(self, effect: PeerAhead) -> None:
        world = self.world
        if world.now - self._last_asked.get(effect.peer, -CATCH_UP_INTERVAL) >= CATCH_UP_INTERVAL:
            self._last_asked[effect.peer] = world.now
            world.schedule(CATCH_UP_GRACE, self.on_still_behind, self, effect)

    def on_still_behind(self, incarnation: int, effect: PeerAhead) -> None:
        machine = self.core.machine
        if self.incarnation == incarnation and machine is not None and effect.height > machine.height:
            self.world.network.send(self, effect.peer, make_status(machine))

    def _halt(self, effect: Halt) -> None:
        if self.is_correct:
            raise Violation(2, f"node {self.number} halts: {effect.reason}")
        self.is_alive = False

    # -- after a lost journal --------------------------------------------------------------------------------------
    def ask_tips(self) -> None:
        """Ask every peer for its decided height, again and again until enough have answered."""
        world = self.world
        if self.observer is None or not self.is_alive:
            return
        for peer in world.network.peers_of(self):
            world.network.ask_tip(self, peer)
        world.schedule(SECOND, self.on_ask_again, self, None)

    def on_ask_again(self, incarnation: int, data: None) -> None:
        if self.incarnation == incarnation:
            self.ask_tips()

    def on_tip(self, incarnation: int, data: tuple[int, int]) -> None:
        """A peer says that it has decided a height; it counts when this node has verified that height."""
        if self.incarnation != incarnation or self.observer is None:
            return
        peer, height = data
        if height <= len(self.chain):
            self.observer.report(self.world.addresses[self.world.nodes[peer].number], height)
            self._look_whether_observed()
        else:
            machine = self.core.machine
            if machine is not None:
                self.world.network.send(self, peer, make_status(machine))

    def _look_whether_observed(self) -> None:
        if self.observer is None:
            return
        first = self.observer.sign_from(self.world.epoch_of(len(self.chain) + 1).validators)
        if first is not None:
            self.sign_from = first
            self.observer = None
