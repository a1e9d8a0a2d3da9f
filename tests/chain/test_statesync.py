"""State sync among peers of all kinds: a snapshot of the chain, or none; never another one."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmchain.chain.consensus.effects import PeerFault
from dmchain.chain.primitives.crypto import keccak
from dmchain.chain.primitives.types import Hash32
from dmchain.chain.snapshot.manifest import Manifest
from dmchain.chain.statesync import (
    AskChunk,
    AskManifest,
    ChunkArrived,
    ChunkFailed,
    DropChunks,
    Effect,
    Finished,
    GiveUp,
    HeaderRefused,
    HeaderVerified,
    Input,
    ManifestArrived,
    ManifestFailed,
    PeerGone,
    PeerJoined,
    Phase,
    Restored,
    RestoreFailed,
    RestoreSnapshot,
    StateSync,
    StateSyncConfig,
    StoreChunk,
    Tick,
    VerifyHeader,
)

CHAIN_ID, GENESIS = 1337, Hash32(b"\x99" * 32)
TRUE_HASHES = {height: Hash32(keccak(b"block %d" % height)) for height in (4000, 5000)}
ROOT = Hash32(b"\x55" * 32)


def make(height: int, chunks: int = 12, seed: int = 0, **changes: object) -> tuple[Manifest, list[bytes]]:
    """A snapshot of chunks that mean nothing; `restore` of the world knows which are the chain's."""
    data = [bytes([seed]) + number.to_bytes(2, "big") + bytes(1021) for number in range(chunks)]
    manifest = Manifest(
        CHAIN_ID, GENESIS, height, TRUE_HASHES.get(height, Hash32(b"\x66" * 32)), ROOT, 1024, 1024 * chunks, 1, 2, 3,
        tuple(keccak(chunk) for chunk in data),
    )  # fmt: skip
    return replace(manifest, **changes), data  # type: ignore[arg-type]


TRUE = make(5000)


@dataclass
class FakePeer:
    """Has a snapshot and serves it correctly; subclasses do not."""

    snapshot: tuple[Manifest, list[bytes]] = TRUE
    latency_ms: int = 30
    is_honest: bool = True

    def manifest(self) -> bytes | None:
        return self.snapshot[0].encode()

    def chunk(self, index: int) -> bytes | None:
        return self.snapshot[1][index]


@dataclass
class WithoutSnapshot(FakePeer):
    def manifest(self) -> bytes | None:
        return None


@dataclass
class Silent(FakePeer):
    is_honest: bool = False
    latency_ms: int = 60_000


@dataclass
class Refusing(FakePeer):
    is_honest: bool = False

    def chunk(self, index: int) -> bytes | None:
        return None


@dataclass
class Spoiling(FakePeer):
    is_honest: bool = False

    def chunk(self, index: int) -> bytes | None:
        return self.snapshot[1][index][:-1] + b"\x01"


@dataclass
class Garbage(FakePeer):
    is_honest: bool = False

    def manifest(self) -> bytes | None:
        return b"dmchain snapshot 1\nwhatever"


@dataclass
class Stranger(FakePeer):
    """Of another chain."""

    is_honest: bool = False

    def manifest(self) -> bytes | None:
        return make(6000, genesis_hash=Hash32(b"\x98" * 32))[0].encode()


def forged_header() -> FakePeer:
    """A block that is not the chain's."""
    return FakePeer(make(5000, block_hash=Hash32(b"\x13" * 32)), is_honest=False)


def forged_state() -> FakePeer:
    """The chain's block with other accounts: shows only when the root is rebuilt."""
    return FakePeer(make(5000, chunks=9, seed=7), is_honest=False)


def unverifiable() -> FakePeer:
    return FakePeer(make(10**9), is_honest=False)


HOSTILE: tuple[Callable[[], FakePeer], ...] = (
    Silent, Refusing, Spoiling, Garbage, Stranger, forged_header, forged_state, unverifiable,
)  # fmt: skip


class World:
    """A host with a virtual clock; light verification and restoring are told what is true."""

    def __init__(self, peers: list[FakePeer], seed: int = 0, height: int = 0, **config: int) -> None:
        self.config = StateSyncConfig(**config)
        self.random = random.Random(seed)
        self.now = 0
        self.machine = StateSync(self.config, CHAIN_ID, GENESIS, height, 0)
        self.peers = dict(enumerate(peers))
        self.everybody = dict(self.peers)
        self.chunks: dict[int, bytes] = {}
        self.faults: dict[int, str] = {}
        self.in_flight: dict[int, int] = {}
        self.end: Finished | GiveUp | None = None
        self.restores = 0
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0
        self.after(0, self._tick)
        for number in self.peers:
            self.feed(PeerJoined(number))

    def after(self, delay_ms: int, act: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._queue, (self.now + delay_ms, self._count, act))

    def run(self, limit_ms: int = 600_000) -> World:
        while self.end is None and self._queue and self._queue[0][0] <= limit_ms:
            self.now, _, act = heapq.heappop(self._queue)
            act()
        return self

    def _tick(self) -> None:
        self.feed(Tick())
        self.after(250, self._tick)

    def connect(self, number: int, peer: FakePeer) -> None:
        self.peers[number] = self.everybody[number] = peer
        self.feed(PeerJoined(number))

    def disconnect(self, number: int) -> None:
        if self.peers.pop(number, None) is not None:
            self.feed(PeerGone(number))

    def feed(self, input: Input) -> None:
        for effect in self.machine.step(self.now, input):
            self._perform(effect)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case AskManifest(peer):
                raw = self.peers[peer].manifest()
                answer: Input = ManifestFailed(peer) if raw is None else ManifestArrived(peer, raw)
                self.after(20, lambda: self.feed(answer))
            case VerifyHeader(height):
                known = TRUE_HASHES.get(height)
                reply: Input = HeaderRefused(height, "the node has no such block")
                if known is not None:
                    reply = HeaderVerified(height, known, ROOT)
                self.after(100, lambda: self.feed(reply))
            case AskChunk():
                self._ask(effect)
            case StoreChunk(index, data):
                assert index not in self.chunks, "stored twice"
                self.chunks[index] = data
            case DropChunks():
                self.chunks.clear()
            case RestoreSnapshot(manifest):
                self._restore(manifest)
            case PeerFault(peer, reason):
                self.faults[peer] = reason
                self.after(0, lambda: self.disconnect(peer))
            case Finished() | GiveUp():
                assert self.end is None
                self.end = effect

    def _ask(self, asked: AskChunk) -> None:
        peer = self.peers[asked.peer]
        assert asked.height == peer.snapshot[0].height
        self.in_flight[asked.peer] = self.in_flight.get(asked.peer, 0) + 1
        assert self.in_flight[asked.peer] <= self.config.requests_per_peer
        data = peer.chunk(asked.index)
        answer: Input = ChunkFailed(asked.peer, asked.request)
        if data is not None and peer.latency_ms < self.config.request_timeout_ms:
            answer = ChunkArrived(asked.peer, asked.request, data)
        delay = min(peer.latency_ms + self.random.randrange(20), self.config.request_timeout_ms - 1)

        def arrive() -> None:
            self.in_flight[asked.peer] -= 1
            self.feed(answer)
            if self.random.random() < 0.1:
                self.feed(answer)

        self.after(delay, arrive)

    def _restore(self, manifest: Manifest) -> None:
        self.restores += 1
        assert sorted(self.chunks) == list(range(len(manifest.chunk_hashes)))
        is_true = [self.chunks[index] for index in sorted(self.chunks)] in (TRUE[1], OLDER[1])
        answer: Input = Restored() if is_true else RestoreFailed("state root: the accounts give another")
        self.after(500, lambda: self.feed(answer))


OLDER = make(4000, chunks=5, seed=3)


def test_chunks_come_from_several_peers() -> None:
    world = World([FakePeer(), FakePeer(), FakePeer(), WithoutSnapshot()])
    asked: set[int] = set()
    perform = world._ask

    def note(effect: AskChunk) -> None:
        asked.add(effect.peer)
        perform(effect)

    world._ask = note  # type: ignore[method-assign]
    world.run()
    assert world.end == Finished(5000)
    assert asked == {0, 1, 2}
    assert not world.faults
    assert world.machine.phase is Phase.DONE


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda kind: kind.__name__)
def test_one_hostile_peer_does_not_stop_it(hostile: Callable[[], FakePeer]) -> None:
    world = World([hostile(), FakePeer(), FakePeer()]).run()
    assert world.end == Finished(5000)
    assert 1 not in world.faults and 2 not in world.faults


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Spoiling, "expected 0x"),
        (Garbage, "manifest: "),
        (Stranger, "manifest: of another chain"),
        (forged_header, "manifest: not of the chain's block 5000"),
        (forged_state, "state root: the accounts give another"),
    ],
)
def test_who_lies_is_told_of(kind: Callable[[], FakePeer], reason: str) -> None:
    world = World([kind(), kind()]).run()
    assert isinstance(world.end, GiveUp)
    assert set(world.faults) == {0, 1}
    assert all(reason in said for said in world.faults.values())


def test_who_merely_does_not_deliver_is_not_blamed() -> None:
    world = World([Silent(), Refusing(), unverifiable()]).run()
    assert isinstance(world.end, GiveUp)
    assert not world.faults
    assert not world.chunks


def test_the_highest_snapshot_is_taken_and_another_if_that_fails() -> None:
    world = World([FakePeer(OLDER), FakePeer(OLDER), FakePeer()]).run()
    assert world.end == Finished(5000)
    world = World([FakePeer(OLDER), Refusing()]).run()
    assert world.end == Finished(4000)


def test_of_two_at_one_height_the_more_common_is_taken() -> None:
    world = World([forged_state(), FakePeer(), FakePeer()]).run()
    assert world.end == Finished(5000)
    assert world.restores == 1
    world = World([forged_state(), forged_state(), FakePeer()]).run()
    assert world.end == Finished(5000)
    assert world.restores == 2
    assert set(world.faults) == {0, 1}


def test_without_a_useful_snapshot_it_gives_up() -> None:
    assert isinstance(World([WithoutSnapshot()]).run().end, GiveUp)
    near = World([FakePeer()], height=4800).run()
    assert near.end == GiveUp("no peer has a snapshot that helps")
    assert near.now < 10_000
    assert World([FakePeer()], height=4800, minimum_gain=200).run().end == Finished(5000)


def test_without_peers_it_waits_for_them() -> None:
    world = World([]).run(60_000)
    assert world.end is None
    world.connect(0, FakePeer())
    assert world.run(120_000).end == Finished(5000)


def test_a_peer_that_leaves_is_replaced_by_one_that_comes() -> None:
    world = World([FakePeer(latency_ms=3_000)])
    world.after(7_000, lambda: world.disconnect(0))
    world.after(9_000, lambda: world.connect(1, FakePeer()))
    assert world.run().end == Finished(5000)
    assert not world.faults


def test_too_many_chunks_are_not_even_begun() -> None:
    world = World([FakePeer(make(5000, chunks=20))], max_chunks=19).run()
    assert isinstance(world.end, GiveUp)


def test_an_answer_to_an_earlier_snapshots_question_is_nobodys_fault() -> None:
    """The first snapshot is given up while its chunk 0 is under way from a peer that is asked for chunk 0 again."""
    machine = StateSync(StateSyncConfig(requests_per_peer=1), CHAIN_ID, GENESIS, 0, 0)
    machine.step(0, PeerJoined(1))
    machine.step(0, ManifestArrived(1, TRUE[0].encode()))
    machine.step(5_000, Tick())
    asked = machine.step(5_100, HeaderVerified(5000, TRUE_HASHES[5000], ROOT))
    assert asked == [AskChunk(1, 1, 5000, 0)]
    again = machine.step(15_200, Tick())  # timed out
    assert again == [AskChunk(1, 2, 5000, 0)] or again[0] == AskChunk(1, 2, 5000, 1)
    assert machine.step(15_300, ChunkArrived(1, 1, b"late and wrong")) == []


@given(
    seed=st.integers(0, 2**32),
    hostile=st.lists(st.sampled_from(HOSTILE), max_size=6),
    others=st.lists(st.sampled_from((FakePeer, WithoutSnapshot, lambda: FakePeer(OLDER))), max_size=3),
    latency=st.integers(1, 5_000),
)
@settings(deadline=None, max_examples=60)
def test_with_one_correct_peer_it_ends_with_the_chains_state(
    seed: int, hostile: list[Callable[[], FakePeer]], others: list[Callable[[], FakePeer]], latency: int
) -> None:
    peers = [kind() for kind in (*hostile, *others)]
    peers.insert(seed % (len(peers) + 1), FakePeer(latency_ms=latency))
    world = World(peers, seed).run(3_600_000)
    assert isinstance(world.end, Finished)
    assert all(not world.everybody[number].is_honest for number in world.faults)
