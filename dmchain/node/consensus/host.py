"""Performs the core's effects on trio: signs, persists, sends, waits, executes, commits.

One task feeds the core, one input at a time, and performs the effects of each in order; nothing after a `Persist`
happens before the record is on disk. Building and validating run beside it in a worker thread and come back as inputs.
What can happen in the meantime (messages, timers) waits its turn in the inbox.
"""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import Any, Final, Protocol

import trio

from dmchain.chain.blockchain import ExecutedBlock
from dmchain.chain.consensus import effects as does
from dmchain.chain.consensus.catchup import make_status
from dmchain.chain.consensus.commit import Commit
from dmchain.chain.consensus.core import Core
from dmchain.chain.consensus.encoding import decode_message, encode_message
from dmchain.chain.consensus.evidence import DoubleProposal, describe
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
from dmchain.chain.consensus.messages import (
    NO_ROUND,
    BlockRequest,
    Decision,
    Message,
    ProposalMessage,
    Signable,
    SignRecord,
    Vote,
)
from dmchain.chain.consensus.observer import ObserverPeriod
from dmchain.chain.consensus.signatures import SignatureChecker
from dmchain.chain.consensus.signbytes import sign_digest
from dmchain.chain.consensus.timing import ASK_PEERS, compute_timeout_ms, is_timely
from dmchain.chain.primitives.crypto import PrivateKey
from dmchain.chain.primitives.errors import InvariantBroken
from dmchain.chain.primitives.types import Address, Hash32
from dmchain.node.consensus.application import Application
from dmchain.node.production import changed_accounts
from dmchain.node.signer import DoubleSignRefused, SignGuard

log = logging.getLogger("dmchain.consensus")

MAX_INBOX: Final = 4_096
"""Inputs waiting for the core; peers are held up beyond it."""
CATCH_UP_SECONDS: Final = 0.2
"""A peer is asked, or helped, at most once in this time."""
CATCH_UP_GRACE_SECONDS: Final = 0.05
"""A message of the next height usually means that the decision is on its way."""
DECISIONS_AT_ONCE: Final = 4
WORK_GRACE_SECONDS: Final = 0.01
"""A pooled transaction has so long to reach the others before a height begins for it."""


class Journal(Protocol):
    """The sign journal (node.sign_journal). `record` is the last one; `append` is on disk when it returns, and so is
    `allow_from`; both are called in a worker thread. `sign_from` None: it was lost, observe."""

    sign_from: int | None

    @property
    def record(self) -> SignRecord | None: ...

    def append(self, record: SignRecord) -> None: ...

    def allow_from(self, height: int) -> None: ...


class Wire(Protocol):
    """Where messages go. Peers are numbers of the wire's choice."""

    def broadcast(self, payload: bytes, *, has_body: bool, except_for: int | None = None) -> None: ...

    def send(self, peer: int, payload: bytes, *, has_body: bool) -> None: ...

    def peers(self) -> list[int]: ...

    def fault(self, peer: int, reason: str) -> None: ...

    def behind(self, peer: int, height: int) -> None:
        """The peer is many heights above this node: sync from it."""
        ...


class Observation:
    """How a validator that has lost its journal learns when it may sign again (chain.consensus.observer)."""

    def __init__(self, own: Address, validator_of: Mapping[Address, Address]) -> None:
        """`validator_of`: consensus address by node id, as genesis tells it."""
        self.period = ObserverPeriod(own)
        self.validator_of = validator_of
        self.tips: dict[Address, int] = {}
        """Height by consensus address, as claimed and not verified yet."""


class Halted(InvariantBroken):
    """Consensus has stopped for good: a quorum stands behind a block that this node finds invalid."""


class ConsensusHost:
    """Consensus of one node. `key` None: follow the chain, never vote."""

    def __init__(
        self,
        app: Application,
        checker: SignatureChecker,
        key: PrivateKey | None,
        journal: Journal | None,
        wire: Wire,
        *,
        clock: Callable[[], float],
        rng: Random,
        on_block: Callable[[ExecutedBlock], None],
        observer: Observation | None = None,
    ) -> None:
        """`observer`: the key's journal was lost; follow until it is known what it cannot have signed."""
        self.app = app
        self.core = Core(None if key is None else key.address, checker.is_signed)
        self._observer = observer
        self._checker = checker
        self._key = key
        self._journal = journal
        self._guard = SignGuard(self._last_record())
        self._wire = wire
        self._clock = clock
        self._rng = rng
        self._on_block = on_block
        self._inbox: deque[Input] = deque()
        self._bell = trio.Event()
        self._room = trio.Event()
        self._future: dict[int, Decision] = {}
        self._relayed: OrderedDict[bytes, None] = OrderedDict()
        self._last_asked: dict[int, float] = {}
        self._last_helped: dict[int, float] = {}
        self._limiter = trio.CapacityLimiter(1)
        self._advance = trio.Lock()
        """Held while a decided block becomes the head, by consensus or by sync."""
        self._nursery: trio.Nursery
        self._started_at = 0.0
        self._timers: list[trio.CancelScope] = []
        self._next_height = trio.Event()

    # -- life ----------------------------------------------------------------------------------------------------
    async def run(self) -> None:
        """Take part until cancelled. Raises Halted, and StorageError when the journal cannot be written."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self._start_height()
            nursery.start_soon(self._watch_work)
            while True:
                while self._inbox:
                    happened = self._inbox.popleft()
                    if len(self._inbox) < MAX_INBOX:
                        self._room.set()
                    log.debug("input %s", type(happened).__name__, extra={"height": self.core.height})
                    for effect in self.core.step(happened):
                        log.debug("effect %s", type(effect).__name__, extra={"height": self.core.height})
                        await _PERFORM[type(effect)](self, effect)
                self._bell = trio.Event()
                if not self._inbox:
                    await self._bell.wait()

    def feed(self, happened: Input) -> None:
        self._inbox.append(happened)
        self._bell.set()

    def note_tip(self, node_id: Address, height: int) -> None:
        """A peer says that it has decided a height."""
        observer = self._observer
        if observer is None or node_id not in observer.validator_of:
            return
        observer.tips[observer.validator_of[node_id]] = height
        self._look_whether_observed()

    def _look_whether_observed(self) -> None:
        observer, head = self._observer, self.app.chain.head.number
        if observer is None:
            return
        for validator, height in observer.tips.items():
            if height <= head:
                observer.period.report(validator, height)
        first = observer.period.sign_from(self.app.epochs.at(head + 1).validators)
        if first is not None:
            log.warning("the sign journal was lost: signing again from height %d on", first)
            assert self._journal is not None  # who observes has a journal
            self._journal.allow_from(first)
            self._observer = None

    def _last_record(self) -> SignRecord | None:
        return None if self._journal is None else self._journal.record

    def _is_observing(self, height: int) -> bool:
        if self._journal is None:
            return True
        return self._journal.sign_from is None or height < self._journal.sign_from

    def _start_height(self) -> None:
        self._look_whether_observed()
        app = self.app
        height = app.chain.head.number + 1
        epoch = app.epochs.at(height)
        commit = app.seen_commit(height - 1)
        self._started_at = trio.current_time()
        for scope in self._timers:
            scope.cancel()
        self._timers.clear()
        self._next_height.set()
        self._next_height = trio.Event()
        self.feed(
            Start(
                height,
                epoch.validators,
                epoch.proposers,
                height - epoch.turn_height,
                self._last_record(),
                None if commit is None else commit.to_certificate(),
                is_observer=self._is_observing(height),
            )
        )
        for past in [at for at in self._future if at < height]:
            del self._future[past]
        decision = self._future.pop(height, None)
        if decision is not None:
            self.feed(Received(decision, None))

    async def _watch_work(self) -> None:
        """Tell the core when the pool, or the pool of evidence, has something for a block."""
        producer = self.app.producer
        while True:
            await producer.wait_for_work()
            height, begun = self.app.chain.head.number + 1, self._next_height
            earliest = self._started_at + self.app.params.minimum_block_interval_ms / 1000
            await trio.sleep_until(max(earliest, trio.current_time() + WORK_GRACE_SECONDS))
            if height == self.app.chain.head.number + 1 and (producer.has_work() or self.app.evidence):
                self.feed(WorkAvailable(height))
                await begun.wait()

    async def apply_decided(self, raw: bytes, commit: Commit) -> bool:
        """Apply a block that others have decided, from block sync; False when the head has moved past it.

        Raises DecodeError and InvalidCertificate when the peer lies, Halted when a quorum stands behind a block that is
        invalid here.
        """
        app = self.app
        async with self._advance:
            body = app.decode(raw)
            height = app.chain.head.number + 1
            if body.block.number != height:
                return body.block.number < height
            app.verify_commit(commit, body.block.hash)
            candidate = body.candidate()
            reason = await trio.to_thread.run_sync(app.validate, candidate, limiter=self._limiter)
            if reason is not None:
                raise Halted(f"block {height} has a commit, but is invalid here: {reason}")
            if app.chain.head.number + 1 == height:
                await self._commit(candidate.hash, commit)
        return True

    async def _commit(self, block_hash: Hash32, commit: Commit) -> ExecutedBlock:
        app = self.app
        with trio.CancelScope(shield=True):
            executed = await trio.to_thread.run_sync(app.commit, block_hash, commit, limiter=self._limiter)
        app.producer.follow_head(changed_accounts(executed))
        self._on_block(executed)
        self._start_height()
        return executed

    # -- messages ------------------------------------------------------------------------------------------------
    async def receive(self, peer: int, payload: bytes) -> None:
        """A message from a peer. Raises DecodeError or SignatureError for what no correct node sends."""
        message = decode_message(payload, self.app.hash_body)
        while len(self._inbox) >= MAX_INBOX:
            self._room = trio.Event()
            await self._room.wait()
        self._sort(peer, message, payload)

    def _sort(self, peer: int, message: Message, payload: bytes) -> None:
        current = self.core.height
        match message:
            case Vote():
                if self._is_signed(peer, message, message):
                    self._relay(peer, payload, has_body=False)
                    self.feed(Received(message, peer))
            case ProposalMessage(proposal=proposal, block=block):
                if self._is_signed(peer, message, proposal):
                    self._relay(peer, payload, has_body=block is not None)
                    self.feed(Received(message, peer, self._is_timely(message)))
            case Decision(commit=commit):
                if current < commit.height <= current + DECISIONS_AT_ONCE:
                    self._future[commit.height] = message
                else:
                    self.feed(Received(message, peer))
            case BlockRequest(height=height):
                if height <= self.app.chain.head.number:
                    self.help(peer, height)
                else:
                    self.feed(Received(message, peer))
            case _:
                self.feed(Received(message, peer))

    def _is_signed(self, peer: int, message: Message, statement: Signable) -> bool:
        """Signatures are checked for this height and the next; the core wants to hear of others, and uses no more."""
        height = statement.height
        if not self.core.height <= height <= self.core.height + 1:
            self.feed(Received(message, peer))
            return False
        if self._checker.is_signed(statement, self.app.epochs.at(self.core.height).validators):
            return True
        if height == self.core.height:
            self._wire.fault(peer, f"bad signature of validator {statement.validator} at height {height}")
        return False

    def _is_timely(self, message: ProposalMessage) -> bool:
        if message.proposal.valid_round != NO_ROUND or message.block is None:
            return True
        timestamp = self.app.timestamp_of(message.block)
        return is_timely(self.app.params, timestamp, int(self._clock() * 1000), message.proposal.round)

    def _relay(self, peer: int, payload: bytes, *, has_body: bool) -> None:
        """Pass on what was valid and new: validators need not all be connected to each other."""
        key = self._checker.domain + payload[:200] if has_body else payload
        if key in self._relayed:
            return
        self._relayed[key] = None
        if len(self._relayed) > MAX_INBOX:
            self._relayed.popitem(last=False)
        if len(self._wire.peers()) < len(self.app.epochs.at(self.core.height).validators) - 1:
            self._wire.broadcast(payload, has_body=has_body, except_for=peer)

    def help(self, peer: int, height: int) -> None:
        """Send decisions from `height` on, not too often."""
        now = trio.current_time()
        if now - self._last_helped.get(peer, -CATCH_UP_SECONDS) < CATCH_UP_SECONDS:
            return
        self._last_helped[peer] = now
        for at in range(height, min(height + DECISIONS_AT_ONCE, self.app.chain.head.number + 1)):
            decided = self.app.decided(at)
            if decided is not None:
                block, commit = decided
                self._send_message(peer, Decision(block, commit.to_certificate()))

    def _send_message(self, peer: int, message: Message) -> None:
        self._wire.send(peer, encode_message(message), has_body=_has_body(message))

    # -- effects -------------------------------------------------------------------------------------------------
    async def _persist(self, effect: does.Persist) -> None:
        assert self._journal is not None  # a node without a key has nothing to persist
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._journal.append, effect.record)

    async def _sign(self, effect: does.Sign) -> None:
        assert self._key is not None  # the core of a node without a key never votes
        try:
            self._guard.check(effect.message)
        except DoubleSignRefused as error:
            log.error("not signed: %s", error, extra={"height": effect.message.height})
            return
        y_parity, r, s = self._key.sign(sign_digest(self._checker.domain, effect.message))
        signature = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes((y_parity,))
        # before anything that waits: the core goes on with its own vote first
        self._inbox.appendleft(Signed(effect.message.signed(signature)))

    async def _broadcast(self, effect: does.Broadcast) -> None:
        self._wire.broadcast(encode_message(effect.message), has_body=_has_body(effect.message))

    async def _send(self, effect: does.Send) -> None:
        self._send_message(effect.peer, effect.message)

    async def _ask(self, effect: does.Ask) -> None:
        peers = self._wire.peers()
        for peer in self._rng.sample(peers, min(ASK_PEERS, len(peers))):
            self._send_message(peer, effect.message)

    async def _set_timer(self, effect: does.SetTimer) -> None:
        wait = compute_timeout_ms(self.app.params, effect.kind, effect.round) / 1000
        self._nursery.start_soon(self._ring, wait, effect, self._height_scope())

    def _height_scope(self) -> trio.CancelScope:
        """A scope that ends with the height: its timers mean nothing later."""
        scope = trio.CancelScope()
        self._timers.append(scope)
        return scope

    async def _ring(self, wait: float, timer: does.SetTimer, scope: trio.CancelScope) -> None:
        with scope:
            await trio.sleep(wait)
        if scope.cancelled_caught or timer.height != self.core.height:
            return
        if timer.kind >= TimerKind.STUCK:
            self.feed(Rebroadcast(timer.height))
        else:
            self.feed(Timeout(timer.kind, timer.height, timer.round))

    async def _get_value(self, effect: does.GetValue) -> None:
        self._nursery.start_soon(self._build, effect)

    async def _build(self, effect: does.GetValue) -> None:
        app = self.app
        if effect.height != app.chain.head.number + 1:
            return
        plan, facts = app.plan(effect.last_commit)
        offer = app.producer.offer()
        candidate = await trio.to_thread.run_sync(app.build, plan, facts, offer, limiter=self._limiter)
        app.producer.drop_refused(offer)
        self.feed(Value(effect.height, effect.round, candidate))

    async def _validate(self, effect: does.Validate) -> None:
        self._nursery.start_soon(self._check, effect)

    async def _check(self, effect: does.Validate) -> None:
        app = self.app
        if effect.height != app.chain.head.number + 1:
            return
        reason = await trio.to_thread.run_sync(app.validate, effect.block, limiter=self._limiter)
        if reason is not None:
            log.warning("block 0x%s is invalid: %s", effect.block.hash.hex(), reason, extra={"height": effect.height})
        self.feed(Validity(effect.height, effect.block.hash, reason is None))

    async def _fetch_block(self, effect: does.FetchBlock) -> None:
        await self._ask(does.Ask(BlockRequest(effect.height, effect.block_hash)))

    async def _decide(self, effect: does.Decide) -> None:
        app = self.app
        async with self._advance:
            if effect.height != app.chain.head.number + 1:
                return
            commit = Commit.from_certificate(effect.commit, len(app.epochs.at(effect.height).validators))
            executed = await self._commit(effect.block.hash, commit)
        log.info(
            "decided 0x%s with %d of %d signatures, %d transactions",
            effect.block.hash.hex()[:12],
            len(effect.commit.votes),
            len(commit.signatures),
            len(executed.block.transactions),
            extra={"height": effect.height, "round": effect.commit.round},
        )

    async def _evidence(self, effect: does.Evidence) -> None:
        log.error("misbehaviour: %s", describe(effect.proof), extra={"height": effect.proof.height})
        if not isinstance(effect.proof, DoubleProposal):
            self.app.evidence[effect.proof.encode()] = effect.proof
            self.app.producer.wake()

    async def _peer_fault(self, effect: does.PeerFault) -> None:
        self._wire.fault(effect.peer, effect.reason)

    async def _peer_behind(self, effect: does.PeerBehind) -> None:
        self.help(effect.peer, effect.height)

    async def _peer_ahead(self, effect: does.PeerAhead) -> None:
        now = trio.current_time()
        if effect.height > self.core.height + DECISIONS_AT_ONCE:
            self._wire.behind(effect.peer, effect.height)
        if now - self._last_asked.get(effect.peer, -CATCH_UP_SECONDS) >= CATCH_UP_SECONDS:
            self._last_asked[effect.peer] = now
            self._nursery.start_soon(self._ask_ahead, effect)

    async def _ask_ahead(self, effect: does.PeerAhead) -> None:
        await trio.sleep(CATCH_UP_GRACE_SECONDS)
        machine = self.core.machine
        if machine is not None and effect.height > machine.height:
            self._send_message(effect.peer, make_status(machine))

    async def _halt(self, effect: does.Halt) -> None:
        raise Halted(
            f"consensus halts at height {effect.height}: {effect.reason} (block 0x{effect.block_hash.hex()}); "
            "this node disagrees with two thirds of the validators: compare versions, keep the data directory"
        )


def _has_body(message: Message) -> bool:
    if isinstance(message, ProposalMessage):
        return message.block is not None
    return hasattr(message, "block")


_PERFORM: Final[dict[type[does.Effect], Callable[[ConsensusHost, Any], Awaitable[None]]]] = {
    does.Persist: ConsensusHost._persist,
    does.Sign: ConsensusHost._sign,
    does.Broadcast: ConsensusHost._broadcast,
    does.Send: ConsensusHost._send,
    does.Ask: ConsensusHost._ask,
    does.SetTimer: ConsensusHost._set_timer,
    does.GetValue: ConsensusHost._get_value,
    does.Validate: ConsensusHost._validate,
    does.FetchBlock: ConsensusHost._fetch_block,
    does.Decide: ConsensusHost._decide,
    does.Evidence: ConsensusHost._evidence,
    does.PeerFault: ConsensusHost._peer_fault,
    does.PeerBehind: ConsensusHost._peer_behind,
    does.PeerAhead: ConsensusHost._peer_ahead,
    does.Halt: ConsensusHost._halt,
}
