"""Performs the core's effects on trio: signs, persists, sends, waits, executes, commits.

One task feeds the core, one input at a time, and performs the effects of each in order; nothing after a `Persist`
happens before the record is on disk. Building and validating run beside it in a worker thread and come back as inputs.
What can happen in the meantime (messages, timers) waits its turn in the inbox.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Final, Protocol, TypeAlias

import trio

from dmchain.chain.blockchain import ExecutedBlock
from dmchain.chain.consensus import effects as does
from dmchain.chain.consensus.commit import Commit
from dmchain.chain.consensus.core import Core
from dmchain.chain.consensus.encoding import encode_message
from dmchain.chain.consensus.evidence import DoubleProposal, describe
from dmchain.chain.consensus.inputs import (
    Input,
    Rebroadcast,
    Signed,
    Start,
    Timeout,
    TimerKind,
    Validity,
    Value,
    WorkAvailable,
)
from dmchain.chain.consensus.messages import BlockRequest, Candidate, SignRecord
from dmchain.chain.consensus.observer import ObserverPeriod
from dmchain.chain.consensus.signatures import SignatureChecker
from dmchain.chain.consensus.signbytes import sign_digest
from dmchain.chain.consensus.timing import ASK_PEERS, compute_timeout_ms
from dmchain.chain.primitives.crypto import PrivateKey
from dmchain.chain.primitives.errors import DecodeError, DmchainError, InvalidBlock, InvariantBroken
from dmchain.chain.primitives.types import Address
from dmchain.chain.store.gathered import GatheringKV
from dmchain.node.consensus.application import Application
from dmchain.node.consensus.intake import Intake, Wire
from dmchain.node.consensus.timers import Timers
from dmchain.node.production import changed_accounts
from dmchain.node.signer import DoubleSignRefused, SignGuard
from dmchain.node.worker import Worker

log = logging.getLogger("dmchain.consensus")

MAX_INBOX: Final = 4_096
"""Inputs waiting for the core; peers are held up beyond it."""
INPUTS_PER_TURN: Final = 64
"""Dealt with before other tasks get a turn."""
CATCH_UP_GRACE_SECONDS: Final = 0.05
"""A message of the next height usually means that the decision is on its way."""
WORK_GRACE_SECONDS: Final = 0.01
"""A pooled transaction has so long to reach the proposer, and the proposal this node, before its timer begins."""
GATHER_SECONDS: Final = 0.001
"""What a proposer waits for transactions that come together."""


class Journal(Protocol):
    """The sign journal (node.sign_journal). `record` is the last one; `append` is on disk when it returns, and so is
    `allow_from`. `sign_from` None: it was lost, observe."""

    sign_from: int | None

    @property
    def record(self) -> SignRecord | None: ...

    def append(self, record: SignRecord) -> None: ...

    def allow_from(self, height: int) -> None: ...

    def close(self) -> None: ...


class Observation:
    """How a validator that has lost its journal learns when it may sign again (chain.consensus.observer)."""

    def __init__(self, own: Address, validator_of: Callable[[Address], Address | None]) -> None:
        """`validator_of`: the consensus address that a node, named by its id, has proved to hold."""
        self.period = ObserverPeriod(own)
        self.validator_of = validator_of
        self.tips: dict[Address, int] = {}
        """Height by consensus address, as claimed and not verified yet."""


class Halted(DmchainError, InvariantBroken):
    """Consensus has stopped for good: a quorum stands behind what this node finds invalid. A person has to look."""

    hint = "this node disagrees with two thirds of the validators: compare versions, keep the data directory"


@dataclass(frozen=True, slots=True)
class _AskPeer:
    """A reminder to ask a peer that is ahead."""

    peer: int
    height: int


_Timer: TypeAlias = "does.SetTimer | _AskPeer"


class ConsensusHost:
    """Consensus of one node. `key` None: follow the chain, never vote.

    It begins with `resume`. While it is suspended, block sync moves the head, and no message is looked at.

    INVARIANT: the core is at the height after the head, or its Start is in the inbox, or consensus is suspended.
    """

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
        worker: Worker,
        journal_worker: Worker,
        on_block: Callable[[ExecutedBlock], None],
        observer: Observation | None = None,
    ) -> None:
        """`worker` executes blocks, `journal_worker` waits for the journal's disk. `observer`: the key's journal was
        lost; follow until it is known what it cannot have signed."""
        self.app = app
        self.core = Core(None if key is None else key.address, checker.is_signed)
        self.intake = Intake(self.core, app, checker, wire, self.feed, clock=clock, remind=self._remind)
        self._observer = observer
        self._checker = checker
        self._key = key
        self._journal = journal
        self._guard = SignGuard(self._last_record())
        self._wire = wire
        self._rng = rng
        self._worker = worker
        self._journal_worker = journal_worker
        self._on_block = on_block
        self._inbox: deque[Input] = deque()
        self._bell = trio.Event()
        self._room = trio.Event()
        self._advance = trio.Lock()
        """Held while a decided block becomes the head, by consensus or by sync."""
        self._is_suspended = True
        self._is_resuming = False
        self._nursery: trio.Nursery
        self._begun_at = -math.inf
        """When the last height began to be worked on here: blocks keep their distance from beginning to beginning."""
        self._timers: Timers[_Timer] = Timers()
        self._next_height = trio.Event()

    # -- life ----------------------------------------------------------------------------------------------------
    async def run(self) -> None:
        """Take part until cancelled. Raises Halted, and StorageError when the journal cannot be written."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._watch_work)
            nursery.start_soon(self._timers.run, self._ring)
            while True:
                if self._is_resuming:  # between steps: an effect of before `suspend` may have changed the journal
                    self._is_suspended = self._is_resuming = False
                    self._start_height()
                for _ in range(INPUTS_PER_TURN):
                    if not self._inbox:
                        break
                    happened = self._inbox.popleft()
                    if len(self._inbox) < MAX_INBOX:
                        self._room.set()
                    await self._step(happened)
                if self._inbox or self._is_resuming:
                    await trio.lowlevel.checkpoint()
                    continue
                self._bell = trio.Event()
                await self._bell.wait()

    async def _step(self, happened: Input) -> None:
        """Effects of before `suspend` are performed to the end, but nothing that follows from them."""
        log.debug("input %s", type(happened).__name__, extra={"height": self.core.height})
        for effect in self.core.step(happened):
            log.debug("effect %s", type(effect).__name__, extra={"height": self.core.height})
            await _PERFORM[type(effect)](self, effect)
        if type(happened) is Start:
            self.intake.start_height(happened.height)

    def feed(self, happened: Input) -> None:
        if not self._is_suspended:
            self._inbox.append(happened)
            self._bell.set()

    def resume(self) -> None:
        """Begin with the height after the head: the chain is where its validators are."""
        self._is_resuming = self._is_suspended
        self._bell.set()

    def suspend(self) -> None:
        """Leave the chain to block sync. What was signed stays in the journal, as when a process ends here."""
        self._is_suspended, self._is_resuming = True, False
        self._timers.clear()
        self._inbox.clear()
        self._room.set()
        self.core.stop()

    def note_tip(self, node_id: Address, height: int) -> None:
        """A peer says that it has decided a height."""
        observer = self._observer
        validator = None if observer is None else observer.validator_of(node_id)
        if observer is None or validator is None:
            return
        observer.tips[validator] = height
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
        if self._is_suspended:
            return
        app = self.app
        height = app.chain.head.number + 1
        epoch = app.epochs.at(height)
        commit = app.seen_commit(height - 1)
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

    async def _watch_work(self) -> None:
        """Tell the core when the pool, or the pool of evidence, has something for a block."""
        producer = self.app.producer
        while True:
            if not self.app.useful_evidence():
                await producer.wait_for_work()
            height, begun = self.app.chain.head.number + 1, self._next_height
            earliest = self._begun_at + self.app.params.minimum_block_interval_ms / 1000
            grace = GATHER_SECONDS if self._is_proposer(height) else WORK_GRACE_SECONDS
            await trio.sleep_until(max(earliest, trio.current_time() + grace))
            if height == self.app.chain.head.number + 1 and (producer.has_work() or self.app.useful_evidence()):
                self.feed(WorkAvailable(height))
                await begun.wait()

    def _is_proposer(self, height: int) -> bool:
        """Whether round 0 of the height after the head is this node's."""
        if self._key is None:
            return False
        epoch = self.app.epochs.at(height)
        return epoch.validators.validators[epoch.proposer(height, 0)].address == self._key.address

    async def apply_synced(self, height: int, raw: bytes, commit: bytes, senders: bytes) -> None:
        """Make a block that block sync has verified the head, unless there is a block of its height.

        Raises InvalidBlock when it cannot be executed: then a quorum stands behind what is invalid here.
        """
        async with self._advance:
            if height > self.app.chain.head.number:
                self._follow(await self._worker.run(_apply, self.app, raw, commit, senders))

    async def write_out(self, store: GatheringKV, *, goes_on: bool) -> None:
        """Bring what block sync has gathered to the disk. Raises StorageError."""
        async with self._advance:
            await self._worker.run(store.flush, goes_on=goes_on)

    async def _commit(self, candidate: Candidate, commit: Commit) -> ExecutedBlock:
        """The caller holds `_advance`."""
        with trio.CancelScope(shield=True):  # one batch: it takes milliseconds
            executed = await self._worker.run(self.app.commit, candidate, commit)
        self._follow(executed)
        return executed

    def _follow(self, executed: ExecutedBlock) -> None:
        """A block has become the head."""
        self.app.follow_head()
        self.app.producer.follow_head(changed_accounts(executed))
        self._on_block(executed)
        self._start_height()

    # -- messages ------------------------------------------------------------------------------------------------
    async def receive(self, peer: int, payload: bytes) -> None:
        """A message from a peer. Raises DecodeError for what no correct node sends."""
        while len(self._inbox) >= MAX_INBOX:
            if self._room.is_set():
                self._room = trio.Event()
            await self._room.wait()
        self.intake.take(peer, payload)

    def forget_peer(self, peer: int) -> None:
        self.intake.forget_peer(peer)

    # -- effects -------------------------------------------------------------------------------------------------
    async def _persist(self, effect: does.Persist) -> None:
        assert self._journal is not None  # a node without a key has nothing to persist
        with trio.CancelScope(shield=True):
            await self._journal_worker.run(self._journal.append, effect.record)

    async def _sign(self, effect: does.Sign) -> None:
        assert self._key is not None  # the core of a node without a key never votes
        try:
            self._guard.check(effect.message)
        except DoubleSignRefused as error:
            log.error("not signed: %s", error, extra={"height": effect.message.height})
            return
        y_parity, r, s = self._key.sign(sign_digest(self._checker.domain, effect.message))
        signature = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes((y_parity,))
        if not self._is_suspended:
            # before anything that waits: the core goes on with its own vote first
            self._inbox.appendleft(Signed(effect.message.signed(signature)))

    async def _broadcast(self, effect: does.Broadcast) -> None:
        self.intake.broadcast(effect.message)

    async def _send(self, effect: does.Send) -> None:
        self.intake.send(effect.peer, effect.message)

    async def _ask(self, effect: does.Ask) -> None:
        peers = self._wire.peers()
        for peer in self._rng.sample(peers, min(ASK_PEERS, len(peers))):
            self.intake.send(peer, effect.message)

    async def _set_timer(self, effect: does.SetTimer) -> None:
        if effect.kind is TimerKind.PROPOSE:
            self._begun_at = trio.current_time()
        if effect.kind is TimerKind.PROPOSE and effect.round > 0:
            log.info(
                "nothing decided in round %d", effect.round - 1, extra={"height": effect.height, "round": effect.round}
            )
        self._timers.set(compute_timeout_ms(self.app.params, effect.kind, effect.round) / 1000, effect)

    def _remind(self, peer: int, height: int) -> None:
        self._timers.set(CATCH_UP_GRACE_SECONDS, _AskPeer(peer, height))

    def _ring(self, timer: _Timer) -> None:
        if isinstance(timer, _AskPeer):
            self.intake.ask(timer.peer, timer.height)
        elif timer.kind >= TimerKind.STUCK:
            self.feed(Rebroadcast(timer.height))
        else:
            self.feed(Timeout(timer.kind, timer.height, timer.round))

    async def _get_value(self, effect: does.GetValue) -> None:
        self._nursery.start_soon(self._build, effect)

    async def _build(self, effect: does.GetValue) -> None:
        app = self.app
        if effect.height != app.chain.head.number + 1:
            return
        draft = app.draft(effect.last_commit)
        if draft is None:
            return
        offer = app.producer.offer()
        candidate = await self._worker.run(app.build, draft, offer)
        if candidate is not None:
            app.producer.drop_refused(offer)
            self.feed(Value(effect.height, effect.round, candidate))

    async def _validate(self, effect: does.Validate) -> None:
        self._nursery.start_soon(self._check, effect)

    async def _check(self, effect: does.Validate) -> None:
        verdict = await self._worker.run(self._judge, effect)
        if verdict is not None:
            self.feed(verdict)

    def _judge(self, effect: does.Validate) -> Validity | None:
        """None when the head has moved on: then the block is neither valid nor invalid, and nobody asks any more."""
        if effect.height != self.app.chain.head.number + 1:
            return None
        reason = self.app.validate(effect.block)
        if reason is not None:
            log.warning("block 0x%s is invalid: %s", effect.block.hash.hex(), reason, extra={"height": effect.height})
        return Validity(effect.height, effect.block.hash, reason is None)

    async def _fetch_block(self, effect: does.FetchBlock) -> None:
        await self._ask(does.Ask(BlockRequest(effect.height, effect.block_hash)))

    async def _decide(self, effect: does.Decide) -> None:
        app = self.app
        async with self._advance:
            if effect.height != app.chain.head.number + 1:
                self._check_same_decision(effect)
                return
            commit = Commit.from_certificate(effect.commit, len(app.epochs.at(effect.height).validators))
            try:
                executed = await self._commit(effect.block, commit)
            except InvalidBlock as error:
                raise Halted(f"block {effect.height} was valid and is invalid now: {error}") from error
        log.info(
            "decided 0x%s with %d of %d signatures, %d transactions",
            effect.block.hash.hex()[:12],
            len(effect.commit.votes),
            len(commit.signatures),
            len(executed.block.transactions),
            extra={"height": effect.height, "round": effect.commit.round},
        )

    def _check_same_decision(self, effect: does.Decide) -> None:
        """Block sync was faster; raises Halted when it brought another block."""
        header = self.app.chain.view.blocks.header(effect.height)
        if header is not None and header.hash != effect.block.hash:
            raise Halted(
                f"two blocks of height {effect.height} have a commit: 0x{header.hash.hex()}, which was applied, and "
                f"0x{effect.block.hash.hex()}"
            )

    async def _evidence(self, effect: does.Evidence) -> None:
        log.error("misbehaviour: %s", describe(effect.proof), extra={"height": effect.proof.height})
        if not isinstance(effect.proof, DoubleProposal):
            self.app.add_evidence(effect.proof)

    async def _peer_fault(self, effect: does.PeerFault) -> None:
        self._wire.fault(effect.peer, effect.reason)

    async def _peer_behind(self, effect: does.PeerBehind) -> None:
        self.intake.help(effect.peer, effect.height)

    async def _peer_ahead(self, effect: does.PeerAhead) -> None:
        self.intake.ahead(effect.peer, effect.height)

    async def _halt(self, effect: does.Halt) -> None:
        log.critical("proof: 0x%s", encode_message(effect.proof).hex(), extra={"height": effect.height})
        raise Halted(f"consensus halts at height {effect.height}: {effect.reason} (block 0x{effect.block_hash.hex()})")


def _apply(app: Application, raw: bytes, commit: bytes, senders: bytes) -> ExecutedBlock:
    """For a worker thread: execute and commit a verified block. Raises InvalidBlock."""
    try:
        block, decided = app.decode(raw).block, Commit.decode(commit)
    except DecodeError as error:
        raise InvariantBroken(f"a block was verified and is none: {error}") from error
    for index, transaction in enumerate(block.transactions):
        transaction.assume_sender(Address(senders[index * 20 : index * 20 + 20]))
    candidate = Candidate(block.hash, raw)
    reason = app.validate(candidate)
    if reason is not None:
        raise InvalidBlock(reason)
    return app.commit(candidate, decided)


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
