"""How news spreads: each once, judged first, pulled from whoever has it; over the simulated network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from dmchain.chain.primitives.crypto import keccak
from dmchain.chain.primitives.errors import DecodeError, SignatureError
from dmchain.chain.primitives.types import Hash32
from dmchain.node.network.addresses import Target
from dmchain.node.network.gossip import (
    MAX_PULLS_PER_PEER,
    ConsensusGossip,
    SeenCache,
    SlotFilter,
    TransactionGossip,
    Verdict,
    content_id,
)
from dmchain.node.network.messages import (
    MAX_CONSENSUS_BYTES,
    ConsensusBody,
    ConsensusMessage,
    GetTransactions,
    Push,
    Reply,
    Request,
    TransactionHashes,
    Transactions,
)
from dmchain.node.network.peer import Peer
from tests.node.network.nodes import Recorder, Simulation, TestNode, simulation


@given(st.integers(1, 10), st.lists(st.integers(0, 15), max_size=60))
def test_the_cache_remembers_the_last_ones(capacity: int, keys: list[int]) -> None:
    cache, model = SeenCache(capacity), []
    for key in keys:
        assert cache.add(key) == (key not in model)
        model = ([each for each in model if each != key] + [key])[-capacity:]
        assert len(cache) == len(model) and all(each in cache for each in model)


def test_a_slot_holds_a_vote_and_one_that_contradicts_it() -> None:
    slots = SlotFilter(capacity=3)
    assert slots.admit("slot", b"first")
    assert slots.admit("slot", b"first")
    assert slots.admit("slot", b"second")
    assert not slots.admit("slot", b"third")
    assert slots.admit("slot", b"second")
    for number in range(3):
        slots.admit(number, b"x")
    assert slots.admit("slot", b"third")  # forgotten


class Judge(Recorder):
    """Takes what begins with `ok`, keeps `keep`, puts off `later`, and objects to the rest."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[bytes] = []
        self.gossip: ConsensusGossip

    async def on_message(self, peer: Peer, message: Push) -> None:
        assert isinstance(message, ConsensusMessage | ConsensusBody)
        await self.gossip.on_message(peer, message)
        self._change()

    def on_gone(self, peer: Peer, reason: str) -> None:
        self.gossip.forget_peer(peer)
        super().on_gone(peer, reason)

    async def judge(self, peer: Peer, payload: bytes) -> Verdict:
        self.taken.append(payload)
        if payload.startswith(b"ok"):
            return Verdict.RELAY
        if payload.startswith(b"keep"):
            return Verdict.KEEP
        if payload.startswith(b"later"):
            return Verdict.IGNORE
        raise SignatureError("not signed by a validator")


async def start_judges(world: Simulation, count: int, pairs: Sequence[tuple[int, int]]) -> list[TestNode]:
    """Nodes 0, 1, ... connected as `pairs` say."""
    nodes = []
    for number in range(count):
        judge = Judge()
        node = await world.start(number + 1, recorder=judge)
        judge.gossip = ConsensusGossip(node.manager, judge, Random(number))
        nodes.append(node)
    for one, two in pairs:
        nodes[one].manager.keep(nodes[two].target)
    for number, node in enumerate(nodes):
        degree = sum(number in pair for pair in pairs)
        await node.recorder.wait_until(lambda node=node, degree=degree: len(node.manager.peers) == degree)
    return nodes


def judge_of(node: TestNode) -> Judge:
    assert isinstance(node.recorder, Judge)
    return node.recorder


RING = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0)]
MESH = [(one, two) for one in range(5) for two in range(one)]


@pytest.mark.parametrize("pairs", [RING, MESH], ids=["ring", "mesh"])
async def test_everybody_judges_a_message_once(autojump_clock: MockClock, pairs: Sequence[tuple[int, int]]) -> None:
    async with simulation() as world:
        nodes = await start_judges(world, 5, pairs)
        judge_of(nodes[0]).gossip.publish(b"ok 1")
        judge_of(nodes[2]).gossip.publish(b"ok 2" + bytes(MAX_CONSENSUS_BYTES))
        await trio.sleep(10)
        for number, node in enumerate(nodes):
            heard = sorted(payload[:4] for payload in judge_of(node).taken)
            assert heard == {0: [b"ok 2"], 2: [b"ok 1"]}.get(number, [b"ok 1", b"ok 2"])


async def test_a_message_does_not_go_back_to_who_sent_it(autojump_clock: MockClock) -> None:
    async with simulation() as world:
        nodes = await start_judges(world, 3, [(0, 1), (1, 2)])
        judge_of(nodes[0]).gossip.publish(b"ok")
        await trio.sleep(5)
        assert judge_of(nodes[2]).taken == [b"ok"]
        assert [judge_of(node).gossip.repeated for node in nodes] == [0, 0, 0]


async def test_what_is_kept_is_not_passed_on(autojump_clock: MockClock) -> None:
    async with simulation() as world:
        nodes = await start_judges(world, 3, [(0, 1), (1, 2)])
        judge_of(nodes[0]).gossip.publish(b"keep this")
        await trio.sleep(5)
        assert judge_of(nodes[1]).taken == [b"keep this"] and judge_of(nodes[2]).taken == []


async def test_what_is_put_off_may_come_again(autojump_clock: MockClock) -> None:
    async with simulation() as world:
        nodes = await start_judges(world, 2, [(0, 1)])
        for _ in range(3):
            judge_of(nodes[0]).gossip.publish(b"later")
        judge_of(nodes[0]).gossip.send(nodes[0].recorder.only_peer, b"ok")
        await trio.sleep(5)
        assert judge_of(nodes[1]).taken == [b"later"] * 3 + [b"ok"]


async def test_nonsense_is_not_relayed_and_costs_its_sender(autojump_clock: MockClock) -> None:
    async with simulation() as world:
        nodes = await start_judges(world, 3, [(0, 1), (1, 2)])
        judge_of(nodes[0]).gossip.publish(b"nonsense")
        await nodes[1].recorder.wait_until(lambda: bool(nodes[1].recorder.gone))
        assert nodes[1].recorder.reasons == ["not signed by a validator"]
        assert judge_of(nodes[2]).taken == []


async def test_endless_repetition_is_a_flood(autojump_clock: MockClock) -> None:
    async with simulation() as world:
        nodes = await start_judges(world, 2, [(0, 1)])
        for _ in range(600):
            nodes[0].recorder.only_peer.send(ConsensusMessage(b"ok"))
        await nodes[1].recorder.wait_until(lambda: bool(nodes[1].recorder.gone))
        assert nodes[1].recorder.reasons == ["ConsensusMessage: the same ones again and again"]
        assert judge_of(nodes[1]).taken == [b"ok"]


async def test_a_small_message_does_not_come_as_a_large_one(autojump_clock: MockClock) -> None:
    async with simulation() as world:
        nodes = await start_judges(world, 2, [(0, 1)])
        nodes[0].recorder.only_peer.send(ConsensusBody(b"ok"))
        await nodes[1].recorder.wait_until(lambda: bool(nodes[1].recorder.gone))
        assert "small enough" in nodes[1].recorder.reasons[0]


def test_names_are_of_content() -> None:
    assert content_id(b"a") == content_id(b"a") != content_id(b"b")


@dataclass
class Pool(Recorder):
    """A mempool of bytes. What begins with `bad` no correct node has."""

    raw: dict[Hash32, bytes] = field(default_factory=dict)
    gossip: TransactionGossip | None = None
    asked: list[tuple[bytes, ...]] = field(default_factory=list)
    heard: int = 0
    serves: bool = True

    def has(self, transaction_hash: Hash32) -> bool:
        return transaction_hash in self.raw

    def get_raw(self, transaction_hash: Hash32) -> bytes | None:
        return self.raw.get(transaction_hash)

    def add(self, *raw: bytes) -> None:
        self.raw.update({keccak(each): each for each in raw})
        assert self.gossip is not None
        self.gossip.announce([keccak(each) for each in raw])

    async def add_from_peer(self, peer: Peer, raw: Sequence[bytes]) -> None:
        if any(each.startswith(b"bad") for each in raw):
            raise DecodeError("no transaction")
        self.add(*raw)
        self._change()

    async def on_message(self, peer: Peer, message: Push) -> None:
        assert isinstance(message, TransactionHashes) and self.gossip is not None
        self.heard += 1
        self.gossip.on_hashes(peer, message)

    async def on_request(self, peer: Peer, request: Request) -> Reply:
        assert isinstance(request, GetTransactions) and self.gossip is not None
        self.asked.append(request.hashes)
        if not self.serves:
            await trio.sleep_forever()
        return self.gossip.on_request(peer, request)

    def on_peer(self, peer: Peer) -> None:
        super().on_peer(peer)
        assert self.gossip is not None
        self.gossip.greet(peer, list(self.raw))

    def on_gone(self, peer: Peer, reason: str) -> None:
        super().on_gone(peer, reason)
        assert self.gossip is not None
        self.gossip.forget_peer(peer)


async def start_pools(world: Simulation, count: int, pairs: Sequence[tuple[int, int]]) -> list[Pool]:
    nodes, pools = [], []
    for number in range(count):
        pool = Pool()
        node = await world.start(number + 1, recorder=pool)
        pool.gossip = TransactionGossip(node.manager, pool)
        await world.nursery.start(pool.gossip.run)
        nodes.append(node)
        pools.append(pool)
    for one, two in pairs:
        nodes[one].manager.keep(nodes[two].target)
    for number, node in enumerate(nodes):
        degree = sum(number in pair for pair in pairs)
        await node.recorder.wait_until(lambda node=node, degree=degree: len(node.manager.peers) == degree)
    return pools


@pytest.mark.parametrize("pairs", [RING, MESH], ids=["ring", "mesh"])
async def test_transactions_reach_everybody_and_are_asked_for_once(
    autojump_clock: MockClock, pairs: Sequence[tuple[int, int]]
) -> None:
    async with simulation() as world:
        pools = await start_pools(world, 5, pairs)
        for number in range(200):
            pools[number % 5].add(b"transaction %d" % number)
            await trio.sleep(0.001)
        await trio.sleep(5)
        assert all(len(pool.raw) == 200 for pool in pools)
        asked = [each for pool in pools for batch in pool.asked for each in batch]
        assert len(asked) == 200 * 4


async def test_announcements_close_together_are_one_message(autojump_clock: MockClock) -> None:
    async with simulation() as world:
        one, two = await start_pools(world, 2, [(0, 1)])
        for number in range(100):
            one.add(b"%d" % number)
            await trio.sleep(0.0005)
        await trio.sleep(2)
        assert len(two.raw) == 100
        assert two.heard <= 7 and len(one.asked) <= 7
        assert one.heard == 0  # who has told us is not told
        assert one.gossip is not None and one.gossip._fresh == {}


async def test_a_new_peer_is_told_of_the_pool(autojump_clock: MockClock) -> None:
    async with simulation() as world:
        one, two = await start_pools(world, 2, [])
        one.add(b"early")
        assert one.gossip is not None
        one.gossip._peers.keep(Target(world.endpoint(2)))
        await two.wait_until(lambda: bool(two.raw))


async def test_what_one_peer_does_not_deliver_another_one_does(autojump_clock: MockClock) -> None:
    async with simulation() as world:
        pools = await start_pools(world, 3, [(0, 2), (1, 2)])
        pools[0].serves = False
        for pool in pools[:2]:
            pool.raw[keccak(b"late")] = b"late"
        assert pools[0].gossip is not None and pools[1].gossip is not None
        pools[0].gossip.announce([keccak(b"late")])
        await trio.sleep(1)
        pools[1].gossip.announce([keccak(b"late")])
        await trio.sleep(2)
        assert pools[2].raw == {}
        await trio.sleep(5)
        assert pools[2].raw == {keccak(b"late"): b"late"}


async def test_what_was_not_asked_for_is_an_offence(autojump_clock: MockClock) -> None:
    async def swap(peer: Peer, request: Request) -> Reply:
        return Transactions((b"something else",))

    async with simulation() as world:
        one, two = await start_pools(world, 2, [(0, 1)])
        one.on_request = swap  # type: ignore[method-assign]
        one.add(b"bait")
        await two.wait_until(lambda: bool(two.gone))
        assert "was not asked for" in two.reasons[0]


async def test_a_transaction_no_correct_node_has_is_an_offence(autojump_clock: MockClock) -> None:
    async with simulation() as world:
        one, two = await start_pools(world, 2, [(0, 1)])
        one.add(b"bad")
        await two.wait_until(lambda: bool(two.gone))
        assert two.reasons == ["no transaction"]


async def test_announcements_of_nothing_do_not_pile_up(autojump_clock: MockClock) -> None:
    async with simulation() as world:
        one, two = await start_pools(world, 2, [(0, 1)])
        one.serves = False
        for number in range(20):
            hashes = tuple(Hash32((number * 1000 + each).to_bytes(32, "big")) for each in range(1000))
            one.only_peer.send(TransactionHashes(hashes))
        await trio.sleep(2)
        assert two.gossip is not None
        assert len(two.gossip._pulls) <= MAX_PULLS_PER_PEER + 1024
        await trio.sleep(60)
        assert len(two.gossip._pulls) == 0 and two.gossip._wanted == {}


def test_replies_stay_below_their_limit() -> None:
    pool = Pool()
    gossip = TransactionGossip(None, pool)  # type: ignore[arg-type]
    pool.raw = {Hash32(bytes((number,)) * 32): bytes(120_000) for number in range(100)}
    reply = gossip.on_request(_Nobody(), GetTransactions(tuple(pool.raw)))  # type: ignore[arg-type]
    assert sum(map(len, reply.raw)) <= 2 * 2**20 and len(reply.raw) == 17


class _Nobody:
    number = 1
