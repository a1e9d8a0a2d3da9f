"""Light blocks between nodes: what a database gives proves the chain, and what liars give proves nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dmchain.chain.consensus.validators import ValidatorSet
from dmchain.chain.light import LightError, TrustExpired
from dmchain.chain.primitives.errors import DecodeError
from dmchain.node.light_peers import LightPeers, decode_members, decode_parts, encode_members, serve_light_block
from dmchain.node.light_trust import Trust
from dmchain.node.network.errors import RequestFailed
from dmchain.node.network.messages import GetLightBlock, LightBlockParts, Refusal, Reply
from dmchain.node.network.wire import encode
from dmchain.node.validator_sets import read_validators
from tests.node.light_network import CHAIN_ID, LightNetwork


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> LightNetwork:
    made = LightNetwork(tmp_path_factory.mktemp("light"))
    for _ in range(9):
        made.add()
    return made


def first_set(network: LightNetwork) -> ValidatorSet:
    found = read_validators(network.chain.view.snapshot, 1)
    assert found is not None
    return found


class Peers:
    """Numbered peers: `honest` ones have the chain, the others answer with `lie`, None for nothing."""

    def __init__(self, network: LightNetwork, count: int, honest: set[int], lie: Reply | None = None) -> None:
        self.network = network
        self.honest = honest
        self.lie = lie
        self.count = count
        self.asked: list[int] = []
        self.faults: dict[int, str] = {}

    async def ask(self, peer: int, message: GetLightBlock) -> Reply:
        self.asked.append(peer)
        if peer in self.honest:
            reply = serve_light_block(self.network.chain.view, message.height)
            encode(reply, 1)  # it fits a frame
            return reply
        if self.lie is None:
            raise RequestFailed("no answer")
        return self.lie

    def light(self, trust: Trust | None = None, *, now: float | None = None) -> LightPeers:
        chain = self.network.chain
        time = chain.head.timestamp + 1 if now is None else now
        return LightPeers(
            self.ask,
            lambda: list(range(self.count)),
            self.faults.__setitem__,
            trust or Trust(1, first_set(self.network).hash),
            CHAIN_ID,
            chain.genesis_header.hash,
            clock=lambda: time,
        )


def parts_of(network: LightNetwork, height: int) -> LightBlockParts:
    parts = serve_light_block(network.chain.view, height)
    assert isinstance(parts, LightBlockParts)
    return parts


def test_what_is_served_is_the_block(network: LightNetwork) -> None:
    for height in (1, 5, 9):
        block = decode_parts(parts_of(network, height))
        assert block.header == network.chain.view.blocks.header(height)
        assert block.validators.hash == first_set(network).hash
    for height in (0, 10, 2**62):
        assert isinstance(serve_light_block(network.chain.view, height), Refusal)


def test_sets_come_back_and_broken_ones_are_refused(network: LightNetwork) -> None:
    members = first_set(network)
    raw = encode_members(members)
    assert decode_members(raw).hash == members.hash
    for broken in (raw[:-1], raw * 400):
        with pytest.raises(DecodeError, match="validators: expected at most"):
            decode_members(broken)


async def test_any_height_is_verified_from_genesis(network: LightNetwork) -> None:
    peers = Peers(network, 3, {0, 1, 2})
    light = peers.light()
    for height in (9, 4, 1):
        assert (await light.verify(height)).header == network.chain.view.blocks.header(height)
    assert not peers.faults


async def test_liars_are_found_out_and_the_next_peer_is_asked(network: LightNetwork) -> None:
    true = parts_of(network, 1)
    other = replace(true, record=parts_of(network, 2).record)
    unsigned = replace(true, commit=parts_of(network, 3).commit)
    for lie in (replace(true, header=b"\xff"), replace(true, validators=b"x"), other, unsigned, parts_of(network, 2)):
        peers = Peers(network, 2, {1}, lie)
        assert (await peers.light().verify(7)).height == 7
        assert list(peers.faults) == [0]


async def test_silent_peers_cost_one_question_each_and_are_asked_last(network: LightNetwork) -> None:
    peers = Peers(network, 30, {3, 20})
    light = peers.light()
    assert (await light.verify(5)).height == 5
    assert peers.asked[:4] == [0, 1, 2, 3]
    peers.asked.clear()
    with pytest.raises(LightError, match="block 1000 cannot be verified"):
        await light.verify(1000)
    assert peers.asked[0] == 3 and len(set(peers.asked)) == 4
    peers.asked.clear()
    assert (await light.verify(6)).height == 6
    assert set(peers.asked) <= {3, 7, 8, 9}
    assert not peers.faults


async def test_old_trust_is_told_and_nobody_is_blamed(network: LightNetwork) -> None:
    peers = Peers(network, 2, {0, 1})
    with pytest.raises(TrustExpired):
        await peers.light(now=network.chain.head.timestamp + 10 * 86_400).verify(5)
    assert not peers.faults
