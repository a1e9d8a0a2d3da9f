"""A host for the sync machine with a virtual clock, and peers of all kinds. One seed decides everything."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from dmchain.chain.consensus.commit import Commit
from dmchain.chain.consensus.effects import PeerFault
from dmchain.chain.primitives.types import Address
from dmchain.chain.sync.events import (
    TICK_MS,
    Applied,
    ApplyBlock,
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
from dmchain.chain.sync.machine import BlockSync, Phase
from dmchain.chain.sync.serving import select_blocks
from dmchain.chain.sync.verify import WireBlock, verify_run
from tests.chain.signed_chain import CHAIN_ID, SignedChain, Team, make_header, sign_commit

Blocks = tuple[WireBlock, ...]
MAX_SINGLE_BYTES = 4 * 1024 * 1024
"""The network's frame: no single block is larger."""


@dataclass
class FakePeer:
    """Serves a chain correctly. Subclasses are the ways not to."""

    chain: SignedChain
    latency_ms: int = 20
    validator: Address | None = None
    max_bytes: int = 2 * 1024 * 1024
    is_honest = True

    def claimed_height(self) -> int:
        return self.chain.height

    def earliest(self) -> int:
        return 1

    def reply(self, start: int, count: int) -> Blocks | None:
        """None: never answers."""
        return select_blocks(self.chain.wire, start, count, max_bytes=self.max_bytes)


class Slow(FakePeer):
    """Correct, but on the far side of a bad line."""

    latency_ms = 8_000

    def __init__(self, chain: SignedChain) -> None:
        super().__init__(chain, 8_000)


class Pruned(FakePeer):
    def earliest(self) -> int:
        return self.chain.height // 2 + 1


class Silent(FakePeer):
    is_honest = False

    def reply(self, start: int, count: int) -> Blocks | None:
        return None


class ClaimsTooMuch(FakePeer):
    is_honest = False

    def claimed_height(self) -> int:
        return 1_000_000


class ClaimsTooLittle(FakePeer):
    is_honest = False

    def claimed_height(self) -> int:
        return 0


class Empty(FakePeer):
    is_honest = False

    def reply(self, start: int, count: int) -> Blocks | None:
        return ()


class Dripper(FakePeer):
    """One block at a time, whatever is asked."""

    is_honest = False

    def reply(self, start: int, count: int) -> Blocks | None:
        return super().reply(start, 1)


class _Spoiler(FakePeer):
    """Answers correctly but for one thing."""

    is_honest = False

    def reply(self, start: int, count: int) -> Blocks | None:
        blocks = list(super().reply(start, count) or ())
        return tuple(self.spoil(start, blocks)) if blocks else ()

    def spoil(self, start: int, blocks: list[WireBlock]) -> Iterable[WireBlock]:
        raise NotImplementedError


class Gap(_Spoiler):
    def spoil(self, start: int, blocks: list[WireBlock]) -> Iterable[WireBlock]:
        return [*blocks[: len(blocks) // 2], *blocks[len(blocks) // 2 + 1 :]] if len(blocks) > 1 else []


class Reversed(_Spoiler):
    def spoil(self, start: int, blocks: list[WireBlock]) -> Iterable[WireBlock]:
        return blocks[::-1]


class Repeats(_Spoiler):
    def spoil(self, start: int, blocks: list[WireBlock]) -> Iterable[WireBlock]:
        return [blocks[0]] * len(blocks)


class TooMany(_Spoiler):
    def spoil(self, start: int, blocks: list[WireBlock]) -> Iterable[WireBlock]:
        return blocks * 300


class Garbage(_Spoiler):
    def spoil(self, start: int, blocks: list[WireBlock]) -> Iterable[WireBlock]:
        return [replace(blocks[-1], block=b"\xc3garbage"), *blocks[1:]]


class TornCommit(_Spoiler):
    def spoil(self, start: int, blocks: list[WireBlock]) -> Iterable[WireBlock]:
        return [*blocks[:-1], replace(blocks[-1], commit=blocks[-1].commit[:-1])]


class BadSignature(_Spoiler):
    def spoil(self, start: int, blocks: list[WireBlock]) -> Iterable[WireBlock]:
        raw = bytearray(blocks[-1].commit)
        raw[-20] ^= 1
        return [*blocks[:-1], replace(blocks[-1], commit=bytes(raw))]


class TooFewSignatures(_Spoiler):
    def spoil(self, start: int, blocks: list[WireBlock]) -> Iterable[WireBlock]:
        commit = Commit.decode(blocks[0].commit)
        kept = tuple([s if index == 0 else None for index, s in enumerate(commit.signatures)])
        return [replace(blocks[0], commit=replace(commit, signatures=kept).encode()), *blocks[1:]]


class CommitOfAnother(_Spoiler):
    def spoil(self, start: int, blocks: list[WireBlock]) -> Iterable[WireBlock]:
        return [replace(block, commit=blocks[-1].commit) for block in blocks]


class Forger(_Spoiler):
    """Blocks of its own that hang together, signed by keys of its own."""

    def spoil(self, start: int, blocks: list[WireBlock]) -> Iterable[WireBlock]:
        body = self.chain.bodies[start - 1]
        header = make_header(start, body.block.header.parent_hash, body.facts.record.root(), 1, coinbase=b"\x66" * 20)
        forged = replace(body, block=replace(body.block, header=header))
        team = Team(tuple(f"forger {n}" for n in range(len(self.chain.team_at(start).names))))
        commit = sign_commit(self.chain.domain, start, header.hash, team)
        return [WireBlock(forged.encode(), commit.encode()), *blocks[1:]]


HOSTILE: tuple[Callable[[SignedChain], FakePeer], ...] = (
    Silent, ClaimsTooMuch, ClaimsTooLittle, Empty, Dripper, Gap, Reversed, Repeats, TooMany, Garbage, TornCommit,
    BadSignature, TooFewSignatures, CommitOfAnother, Forger,
)  # fmt: skip


class SyncWorld:
    """Runs a machine from genesis against `peers`, which may grow their chain meanwhile."""

    def __init__(
        self,
        chain: SignedChain,
        peers: list[FakePeer],
        *,
        config: SyncConfig | None = None,
        seed: int = 0,
        apply_ms: int = 2,
        verify_ms: int = 3,
        own: Address | None = None,
        status_ms: int = 100,
    ) -> None:
        self.chain = chain
        self.random = random.Random(seed)
        self.now = 0
        self.apply_ms, self.verify_ms, self.status_ms = apply_ms, verify_ms, status_ms
        self.config = config or SyncConfig()
        start = Start(0, chain.genesis.hash, chain.team_at(1).set)
        self.machine = BlockSync(self.config, CHAIN_ID, start, 0, own)
        self.peers: dict[int, FakePeer] = {}
        self.applied: list[int] = []
        self.faults: dict[int, str] = {}
        self.slow: dict[int, str] = {}
        self.handed_over: HandOver | None = None
        self.halted: Halt | None = None
        self.fell_behind: FellBehind | None = None
        self.in_flight: dict[int, int] = {}
        self.reserved_bytes = 0
        self.most_buffered = 0
        self.trace: list[str] = []
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0
        for number, peer in enumerate(peers):
            self.connect(number, peer)
        self.after(0, self._tick)

    # -- time ----------------------------------------------------------------------------------------------------
    def after(self, delay_ms: int, act: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._queue, (self.now + delay_ms, self._count, act))

    def run(self, limit_ms: int, until: Callable[[], bool] | None = None) -> None:
        """Until a hand-over or halt, unless something else is wanted."""
        until = until or (lambda: self.handed_over is not None or self.halted is not None)
        while not until() and self._queue and self._queue[0][0] <= limit_ms:
            self.now, _, act = heapq.heappop(self._queue)
            act()
        self.now = max(self.now, limit_ms) if not until() else self.now

    def _tick(self) -> None:
        self.feed(Tick())
        self.after(TICK_MS, self._tick)

    # -- peers ---------------------------------------------------------------------------------------------------
    def connect(self, number: int, peer: FakePeer) -> None:
        self.peers[number] = peer
        peer.max_bytes = self.config.reply_bytes
        self._announce(number)

    def _announce(self, number: int) -> None:
        peer = self.peers.get(number)
        if peer is not None:
            self.feed(PeerStatus(number, peer.claimed_height(), peer.earliest(), peer.validator))
            self.after(self.status_ms, lambda: self._announce(number))

    def disconnect(self, number: int) -> None:
        if self.peers.pop(number, None) is not None:
            self.feed(PeerGone(number))

    # -- the machine ---------------------------------------------------------------------------------------------
    def feed(self, input: Input) -> None:
        for effect in self.machine.step(self.now, input):
            self.trace.append(f"{self.now} {effect!r:.80}")
            self._perform(effect)
        if self.machine.phase is Phase.SYNCING:
            self.most_buffered = max(self.most_buffered, self.machine.buffered_bytes)

    def _perform(self, effect: Effect) -> None:
        if isinstance(effect, RequestBlocks):
            self._request(effect)
        elif isinstance(effect, VerifyBlocks):
            run = effect.run
            delay = self.verify_ms + self.random.randrange(10)
            self.after(delay, lambda: self.feed(Verified(verify_run(run, self.chain.checker.is_signed))))
        elif isinstance(effect, ApplyBlock):
            self._apply(effect)
        elif isinstance(effect, PeerFault):
            self.faults[effect.peer] = effect.reason
            self.after(0, lambda: self.disconnect(effect.peer))
        elif isinstance(effect, PeerSlow):
            self.slow[effect.peer] = effect.reason
        elif isinstance(effect, HandOver):
            self.handed_over = effect
        elif isinstance(effect, Halt):
            self.halted = effect
        else:
            self.fell_behind = effect

    def _request(self, asked: RequestBlocks) -> None:
        number = asked.peer
        peer = self.peers[number]
        assert peer.earliest() <= asked.start and asked.start + asked.count - 1 <= peer.claimed_height()
        self.in_flight[number] = self.in_flight.get(number, 0) + 1
        assert self.in_flight[number] <= self.config.requests_per_peer
        blocks = peer.reply(asked.start, asked.count)
        delay = peer.latency_ms + self.random.randrange(peer.latency_ms + 1)
        answer: Any = BlocksArrived(number, asked.request, blocks or ())
        if blocks is None or delay >= self.config.request_timeout_ms:
            delay = self.config.request_timeout_ms - 1
            answer = RequestFailed(number, asked.request, "timed out")

        def arrive() -> None:
            self.in_flight[number] -= 1
            if number in self.peers:
                self.feed(answer)
                if self.random.random() < 0.05:
                    self.feed(answer)  # an answer that comes twice changes nothing

        self.after(delay, arrive)

    def _apply(self, block: ApplyBlock) -> None:
        expected = self.chain.wire(block.height)
        assert expected is not None and block.block == expected.block, "executes what is not the chain's block"
        assert block.height == len(self.applied) + 1, "out of order"
        self.applied.append(block.height)
        validators = self.chain.team_at(block.height + 1).set
        self.after(self.apply_ms, lambda: self.feed(Applied(block.height, validators)))
