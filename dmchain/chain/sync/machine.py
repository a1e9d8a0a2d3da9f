"""The state machine of block sync. Sans-IO: see `events` for what goes in and out.

    asked -> received -> (in a verification job) -> verified -> applied, one after the other

The validators who sign a height are known for certain only once the block before is executed. Within an epoch they do
not change, and each record, signed by a quorum, names the hash of the next height's set; so verification runs ahead of
execution until a record names another set, and goes on when execution has told which.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Any

from dmchain.chain.consensus.effects import PeerFault
from dmchain.chain.consensus.inputs import Peer
from dmchain.chain.primitives.types import Address
from dmchain.chain.sync.events import (
    Applied,
    ApplyBlock,
    ApplyFailed,
    BlocksArrived,
    Effect,
    FellBehind,
    Halt,
    HandOver,
    Input,
    PeerGone,
    PeerSlow,
    PeerStatus,
    RequestBlocks,
    RequestFailed,
    Start,
    SyncConfig,
    Tick,
    Verified,
    VerifyBlocks,
)
from dmchain.chain.sync.handover import Handover
from dmchain.chain.sync.peers import PeerState, PeerTable
from dmchain.chain.sync.verify import BlockLink, RunResult, VerifyRun, WireBlock
from dmchain.chain.sync.window import Request, Window

_SLOW_REQUEST_US = 2_000_000
"""A peer is asked for as many blocks as it is likely to deliver in this time."""
_ASKED_AT_ONCE = 2
"""Requests that may be out for one block."""


class Phase(Enum):
    SYNCING = "syncing"
    FOLLOWING = "following"
    """Consensus runs; this machine only watches for it falling behind."""
    HALTED = "halted"


class BlockSync:
    """Block sync of one node. `height` is that of the last block executed."""

    def __init__(self, config: SyncConfig, chain_id: int, start: Start, now: int, own: Address | None = None) -> None:
        """`own`: the consensus address of this node, None where it does not validate."""
        self.config = config
        self.phase = Phase.SYNCING
        self._chain_id = chain_id
        self._peers = PeerTable(config.requests_per_peer)
        self._handover = Handover(config, own)
        self._effects: list[Effect] = []
        self._now = now
        self._on_start(start)
        self._next_number = 1
        """Of requests and jobs; never used twice, so that late answers are recognised."""
        self._mean_bytes = config.wanted_reply_bytes // 16
        """Of a block: a running mean, at first a cautious guess."""
        self._handlers: dict[type, Callable[[Any], None]] = {
            Start: self._on_start,
            PeerStatus: self._on_status,
            PeerGone: self._on_gone,
            BlocksArrived: self._on_blocks,
            RequestFailed: self._on_request_failed,
            Verified: self._on_verified,
            Applied: self._on_applied,
            ApplyFailed: self._on_apply_failed,
            Tick: lambda _: None,
        }

    def step(self, now: int, input: Input) -> list[Effect]:
        """Take one input at the time `now` (ms, never going back); return what the host is to do, in order."""
        self._now = now
        self._effects = []
        if self.phase is not Phase.HALTED:
            self._handlers[type(input)](input)
            if self.phase is Phase.SYNCING:
                self._advance()
            elif self.phase is Phase.FOLLOWING:
                self._watch()
        return self._effects

    @property
    def highest(self) -> int:
        """The highest height that a peer claims, for progress displays; never below one's own."""
        return max([self.height, *(state.height for state in self._peers.active(self._now))])

    @property
    def target(self) -> int:
        """Where the chain is, as far as is known: what validators worth more than a third have, else `highest`."""
        reached = self._peers.height_reached(self._validators)
        return self.highest if reached is None else max(self.height, reached)

    @property
    def buffered_bytes(self) -> int:
        """Of blocks that are received and not executed."""
        return self._window.received_bytes + self._verified_bytes

    # -- inputs --------------------------------------------------------------------------------------------------
    def _on_start(self, start: Start) -> None:
        self.phase = Phase.SYNCING
        self._begin_at(start)
        self._handover.start(self._now)

    def _begin_at(self, start: Start) -> None:
        """Forget everything but the peers."""
        self.height = start.height
        self._validators = start.validators
        self._window = Window(start.height)
        self._tip = BlockLink(start.block_hash, start.block_hash, start.validators.hash)
        """The last verified block: where the next one must hang."""
        self._verified: dict[int, tuple[WireBlock, BlockLink]] = {}
        self._verified_bytes = 0
        self._is_applying = False
        self._runs: deque[VerifyRun] = deque()
        self._results: dict[int, RunResult] = {}
        self._dispatched = start.height
        """Up to here blocks are in jobs or verified."""
        self._peers.forget_requests()

    def _on_status(self, status: PeerStatus) -> None:
        self._peers.update(status.peer, status.height, status.earliest, status.validator)

    def _on_gone(self, gone: PeerGone) -> None:
        self._peers.remove(gone.peer)
        if self.phase is Phase.SYNCING:
            self._window.forget_requests_of(gone.peer)

    def _on_blocks(self, arrived: BlocksArrived) -> None:
        peer, blocks = arrived.peer, arrived.blocks
        request = self._end_request(peer, arrived.request)
        state = self._peers.get(peer)
        if request is None or state is None:
            return
        count = request.stop - request.start
        size = sum([wire.size for wire in blocks])
        if len(blocks) > count:
            self._condemn(peer, f"blocks: asked for {count}, got {len(blocks)}")
        elif len(blocks) > 1 and size > self.config.reply_bytes:
            self._condemn(peer, f"blocks: expected at most {self.config.reply_bytes} bytes, got {size}")
        elif not blocks:
            state.height = min(state.height, request.start - 1)
            self._strike(state, f"has no block {request.start}, which it claimed to have")
        else:
            state.note_delivery(len(blocks), self._now - request.asked_at)
            self._mean_bytes += (size // len(blocks) - self._mean_bytes) // 4
            for offset, wire in enumerate(blocks):
                self._window.store(request.start + offset, peer, wire)

    def _on_request_failed(self, failed: RequestFailed) -> None:
        state = self._peers.get(failed.peer)
        if self._end_request(failed.peer, failed.request) is not None and state is not None:
            self._strike(state, failed.reason)

    def _on_verified(self, verified: Verified) -> None:
        if self.phase is Phase.SYNCING and any(run.number == verified.result.number for run in self._runs):
            self._results[verified.result.number] = verified.result

    def _on_applied(self, applied: Applied) -> None:
        if self.phase is Phase.FOLLOWING:
            self.height = applied.height
            self._validators = applied.validators
        elif self.phase is Phase.SYNCING and self._is_applying and applied.height == self.height + 1:
            self._is_applying = False
            wire, link = self._verified.pop(applied.height)
            self._verified_bytes -= wire.size
            self.height = applied.height
            self._validators = applied.validators
            self._handover.note_progress(self._now)
            if applied.validators.hash != link.next_validators_hash:
                expected, got = link.next_validators_hash.hex(), applied.validators.hash.hex()
                reason = f"validators of the next height: the record has 0x{expected}, the state 0x{got}"
                self._halt(applied.height, reason, wire)

    def _on_apply_failed(self, failed: ApplyFailed) -> None:
        if self.phase is Phase.SYNCING and self._is_applying and failed.height == self.height + 1:
            self._halt(failed.height, failed.reason, self._verified[failed.height][0])

    # -- what follows from them ----------------------------------------------------------------------------------
    def _advance(self) -> None:
        self._expire_requests()
        self._accept_results()
        if self.phase is Phase.SYNCING:
            self._consider_handover()
        if self.phase is Phase.SYNCING:
            self._dispatch_runs()
            self._apply_next()
            self._ask_for_more()

    def _watch(self) -> None:
        behind = self._handover.is_behind(self._now, self.height, self._peers, self._validators)
        if behind is not None:
            self._effects.append(FellBehind(self.height, behind))

    def _consider_handover(self) -> None:
        self._handover.observe(self._now, self.height, self._peers, self._validators)
        if self._is_applying:
            return
        has_more = self.height + 1 in self._verified
        if self._handover.is_due(self._now, self.height, self._validators, has_more=has_more):
            self.phase = Phase.FOLLOWING
            self._begin_at(Start(self.height, self._tip.hash, self._validators))
            self._effects.append(HandOver(self.height, self._validators))

    def _halt(self, height: int, reason: str, wire: WireBlock) -> None:
        self.phase = Phase.HALTED
        self._effects.append(Halt(height, reason, wire.block, wire.commit))

    # -- verification --------------------------------------------------------------------------------------------
    def _dispatch_runs(self) -> None:
        """Give out jobs in order of height, small ones only when nothing else is under way."""
        if self._validators.hash != self._tip.next_validators_hash:
            return  # execution will tell who they are
        while len(self._runs) < self.config.max_runs:
            blocks = self._collect_run()
            if not blocks or (self._runs and len(blocks) < self.config.run_blocks // 4):
                return
            parent = self._tip.hash if self._dispatched == self._window.base else None
            start = self._dispatched + 1
            run = VerifyRun(self._take_number(), start, tuple(blocks), self._validators, self._chain_id, parent)
            self._runs.append(run)
            self._dispatched += len(blocks)
            self._effects.append(VerifyBlocks(run))

    def _collect_run(self) -> list[WireBlock]:
        blocks: list[WireBlock] = []
        size = 0
        for wire in self._window.consecutive(self._dispatched + 1):
            size += wire.size
            if blocks and (len(blocks) == self.config.run_blocks or size > self.config.run_bytes):
                break
            blocks.append(wire)
        return blocks

    def _accept_results(self) -> None:
        while self._runs and self._runs[0].number in self._results:
            run = self._runs.popleft()
            self._accept(run, self._results.pop(run.number))

    def _accept(self, run: VerifyRun, result: RunResult) -> None:
        for link in result.links:
            wire = self._window.take_verified()
            height = self._window.base
            self._verified[height] = wire, link
            self._verified_bytes += wire.size
            if link.parent_hash != self._tip.hash:
                reason = f"parent hash: expected 0x{self._tip.hash.hex()}, got 0x{link.parent_hash.hex()}"
                self._halt(height, f"{reason}, but a quorum has signed it", wire)
                return
            self._tip = link
        bad = result.bad
        if bad is not None:
            culprit = self._window.received[bad.height]
            if bad.is_final:
                self._halt(bad.height, bad.reason, culprit.wire)
            else:
                self._condemn(culprit.peer, f"block {bad.height}: {bad.reason}")
        elif self._tip.next_validators_hash != run.validators.hash:
            self._withdraw_runs()

    def _withdraw_runs(self) -> None:
        """Jobs under way have lost their meaning: their answers will be ignored."""
        self._runs.clear()
        self._results.clear()
        self._dispatched = self._window.base

    # -- execution -----------------------------------------------------------------------------------------------
    def _apply_next(self) -> None:
        height = self.height + 1
        if not self._is_applying and height in self._verified:
            self._is_applying = True
            wire, link = self._verified[height]
            self._effects.append(ApplyBlock(height, wire.block, wire.commit, link.senders))

    # -- asking --------------------------------------------------------------------------------------------------
    def _ask_for_more(self) -> None:
        self._hedge()
        limit = self._limit()
        while (start := self._window.first_unasked()) <= limit:
            if start != self.height + 1 and not self._has_room():
                return  # what is buffered will be executed first
            state = self._peers.choose(start, self._now)
            if state is None:
                return
            self._ask(state, start, self._window.free_stretch(start, self._wanted_blocks(state, start, limit)))

    def _limit(self) -> int:
        """The highest block to ask for. What validators worth more than a third do not have is not there."""
        limit = self.height + self.config.window_blocks
        reached = self._peers.height_reached(self._validators)
        return limit if reached is None else min(limit, max(reached, self.height + 1))

    def _has_room(self) -> bool:
        reserved = (len(self._window.requests) + 1) * self.config.reply_bytes
        return self.buffered_bytes + reserved <= self.config.buffer_bytes

    def _wanted_blocks(self, state: PeerState, start: int, limit: int) -> int:
        by_size = self.config.wanted_reply_bytes // max(self._mean_bytes, 1)
        by_speed = _SLOW_REQUEST_US // (state.us_per_block + 1)
        wanted = max(1, min(by_size, by_speed, self.config.max_request_blocks))
        return min(wanted, limit - start + 1, state.height - start + 1)

    def _hedge(self) -> None:
        """Do not let one slow peer hold up what several have fetched already."""
        missing = self._window.first_missing()
        out = self._window.requests_for(missing)
        if not 0 < len(out) < _ASKED_AT_ONCE or self._now - out[0].asked_at < self.config.hedge_ms:
            return
        state = self._peers.choose(missing, self._now, besides=[out[0].peer])
        if state is not None:
            count = min(out[0].stop - missing, self._wanted_blocks(state, missing, out[0].stop))
            self._ask(state, missing, count)

    def _ask(self, state: PeerState, start: int, count: int) -> None:
        number = self._take_number()
        state.in_flight += 1
        self._window.add_request(number, Request(state.peer, start, start + count, self._now))
        self._effects.append(RequestBlocks(state.peer, number, start, count))

    def _end_request(self, peer: Peer, number: int) -> Request | None:
        """The request that `peer` answers, None when it is not waited for any more."""
        request = self._window.requests.get(number) if self.phase is Phase.SYNCING else None
        if request is None or request.peer != peer:
            return None
        self._window.end_request(number)
        state = self._peers.get(peer)
        if state is not None:
            state.in_flight -= 1
        return request

    def _expire_requests(self) -> None:
        deadline = self._now - self.config.request_timeout_ms
        late = [number for number, request in self._window.requests.items() if request.asked_at <= deadline]
        for number in late:
            request = self._end_request(self._window.requests[number].peer, number)
            state = None if request is None else self._peers.get(request.peer)
            if state is not None:
                self._strike(state, f"no reply within {self.config.request_timeout_ms} ms")

    def _take_number(self) -> int:
        number = self._next_number
        self._next_number += 1
        return number

    # -- judging -------------------------------------------------------------------------------------------------
    def _strike(self, state: PeerState, reason: str) -> None:
        state.strikes += 1
        if state.is_proven and state.strikes < self.config.strikes:
            return
        state.strikes = 0
        state.resting_until = self._now + (self.config.rest_ms if state.is_proven else self.config.unproven_rest_ms)
        self._effects.append(PeerSlow(state.peer, reason))

    def _condemn(self, peer: Peer, reason: str) -> None:
        """The peer has sent what no correct node sends: forget all of it that is not verified."""
        self._peers.condemn(peer)
        self._window.drop_from(peer)
        self._withdraw_runs()
        self._effects.append(PeerFault(peer, reason))
