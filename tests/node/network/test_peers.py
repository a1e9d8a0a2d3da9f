"""Many nodes over the simulated network: who is connected to whom, and stays so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from dmchain.node.network.addresses import Target
from dmchain.node.network.admission import AdmissionConfig
from dmchain.node.network.dialer import TURNED_AWAY_SECONDS
from dmchain.node.network.errors import BAN_SCORE, DisconnectCode
from dmchain.node.network.messages import ConsensusMessage, Status
from dmchain.node.network.peers import KEPT_BAN_SECONDS
from dmchain.node.network.simulated import LinkModel
from tests.deterministic import run_simulation
from tests.node.network.nodes import CHAIN, Recorder, Simulation, TestNode, node_key, simulation, start_node, status


async def start_mesh(world: Simulation, count: int, **settings: object) -> list[TestNode]:
    """Nodes that all dial each other as soon as they run."""
    nodes = [await world.start(number, **settings) for number in range(1, count + 1)]
    for node in nodes:
        for other in nodes:
            if node is not other:
                node.manager.keep(other.target)
    return nodes


async def all_connected(nodes: list[TestNode], seconds: float = 30) -> None:
    for node in nodes:
        await node.recorder.wait_until(lambda node=node: len(node.manager.peers) == len(nodes) - 1, seconds)


def links(nodes: list[TestNode]) -> list[tuple[bytes, bytes]]:
    """(dialler, dialled) of every connection, from both ends."""
    return sorted(
        (node.key.node_id, peer.node_id) if peer.is_outbound else (peer.node_id, node.key.node_id)
        for node in nodes
        for peer in node.manager.peers.values()
    )


async def test_everybody_finds_everybody_once(autojump_clock: MockClock) -> None:
    async with simulation() as world:
        nodes = await start_mesh(world, 6)
        await all_connected(nodes)
        await trio.sleep(60)
        assert all(len(node.manager.peers) == 5 for node in nodes)
        both = links(nodes)
        assert len(both) == 30 and len(set(both)) == 15  # both ends agree which connection it is


def dial_each_other(seed: int) -> None:
    """Two nodes dial at the same moment, without waiting for each other."""

    async def main() -> None:
        async with simulation(seed, LinkModel(jitter=0.9)) as world:
            one, two = await world.start(1), await world.start(2)
            one.manager.keep(Target(two.endpoint))  # without the id, nobody yields
            two.manager.keep(Target(one.endpoint))
            await trio.sleep(10)
            lower = min(one, two, key=lambda node: node.key.node_id)
            higher = two if lower is one else one
            assert links([one, two]) == [(lower.key.node_id, higher.key.node_id)] * 2
            for node in (one, two):
                assert all("replaced" in reason for reason in node.recorder.reasons)
                assert len(node.recorder.reasons) <= 1

    run_simulation(main, seed=seed)


@pytest.mark.parametrize("seed", range(10))
def test_of_two_dials_at_once_the_lower_nodes_stays(seed: int) -> None:
    dial_each_other(seed)


async def test_the_lower_node_dials_first(autojump_clock: MockClock) -> None:
    async with simulation() as world:
        nodes = await start_mesh(world, 4)
        await all_connected(nodes)
        assert all(dialler < dialled for dialler, dialled in links(nodes))
        assert all(node.recorder.gone == [] for node in nodes)


@pytest.mark.parametrize("is_outbound", [False, True])
async def test_a_restarted_node_replaces_its_old_connection(autojump_clock: MockClock, is_outbound: bool) -> None:
    """Whoever had dialled: even if by the rule of two dials at once the old one would stay."""
    lower, higher = sorted((1, 2), key=lambda number: node_key(number).node_id)
    async with simulation() as world:
        one, two = await world.start(lower), await world.start(higher)
        if is_outbound:
            one.manager.keep(two.target)
        else:
            two.manager.keep(one.target)
        await one.recorder.wait_until(lambda: bool(one.recorder.peers))
        two.scope.cancel()
        world.network.kill(world.address(higher), is_silent=True)  # no goodbye: node one knows nothing of it
        await trio.sleep(1)
        assert one.recorder.only_peer.is_outbound == is_outbound
        await world.start(higher, targets=(one.target,), run_number=1)
        await one.recorder.wait_until(lambda: bool(one.recorder.gone), 5)
        assert one.recorder.reasons == ["replaced by a newer connection"]
        assert len(one.manager.peers) == 1


async def test_kept_targets_are_redialled_with_patience(autojump_clock: MockClock) -> None:
    async with simulation() as world:
        one, two = await world.start_pair()
        world.crash(1, one)
        await two.recorder.wait_until(lambda: not two.recorder.peers)
        before = two.manager.dialer.dials
        await trio.sleep(600)
        assert 10 < two.manager.dialer.dials - before < 40
        await world.start(1)
        await two.recorder.wait_until(lambda: bool(two.recorder.peers), 120)


async def test_partitions_heal(autojump_clock: MockClock) -> None:
    async with simulation() as world:
        nodes = await start_mesh(world, 4)
        await all_connected(nodes)
        world.network.partition({world.address(1), world.address(2)})
        await trio.sleep(60)
        assert all(len(node.manager.peers) == 1 for node in nodes)
        world.network.heal()
        await all_connected(nodes, 180)


async def test_a_node_does_not_talk_to_itself(autojump_clock: MockClock) -> None:
    async with simulation() as world:
        one = await world.start(1)
        one.manager.keep(Target(one.endpoint))
        one.manager.keep(one.target)
        await trio.sleep(30)
        assert one.manager.peers == {}
        assert one.manager.dialer.dials == 1


async def test_another_node_at_an_address_is_not_taken_for_the_one_meant(autojump_clock: MockClock) -> None:
    async with simulation() as world:
        one = await world.start(1)
        two = await world.start(2)
        two.manager.keep(Target(one.endpoint, node_key(9).node_id))
        await trio.sleep(30)
        assert two.manager.peers == {} and one.manager.peers == {}
        assert two.manager.counters.failed_handshakes > 1


async def test_places_are_limited_but_not_for_kept_nodes(autojump_clock: MockClock) -> None:
    async with simulation() as world:
        one = await world.start(1, admission=AdmissionConfig(max_inbound=2))
        one.manager.keep(Target(world.endpoint(5), node_key(5).node_id))
        others = [await world.start(number, targets=(Target(one.endpoint),)) for number in range(2, 6)]
        await trio.sleep(20)
        assert len(one.manager.peers) == 3
        assert node_key(5).node_id in one.manager.peers
        (left_out,) = [node for node in others if not node.manager.peers]
        assert left_out.manager.dialer.dials <= 20 / TURNED_AWAY_SECONDS * 2 + 1  # and it does not insist


async def test_nodes_find_each_other_through_one_seed(autojump_clock: MockClock) -> None:
    async with simulation() as world:
        seed = await world.start(1, advertise=world.endpoint(1))
        nodes = [seed]
        for number in range(2, 9):
            settings = {"targets": (Target(seed.endpoint),), "advertise": world.endpoint(number)}
            nodes.append(await world.start(number, **settings))
        await trio.sleep(120)
        assert all(len(node.manager.peers) == 7 for node in nodes)


async def test_bans_outlive_the_process(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with simulation() as world:
        one = await world.start(1, file=tmp_path / "peers.json")
        two = await world.start(2, targets=(one.target,))
        await one.recorder.wait_until(lambda: bool(one.recorder.peers))
        one.manager.ban(one.recorder.only_peer, "a test")
        await one.recorder.wait_until(lambda: not one.recorder.peers)
        world.crash(1, one)
        await trio.sleep(5)
        again = await world.start(1, file=tmp_path / "peers.json")
        await trio.sleep(300)
        assert not again.manager.peers
        await trio.sleep(600)
        assert again.manager.peers and two.manager.peers


async def test_a_banned_node_is_known_on_another_host(autojump_clock: MockClock) -> None:
    async with simulation() as world:
        one, two = await world.start_pair()
        one.manager.ban(one.recorder.only_peer, "a test")
        await one.recorder.wait_until(lambda: not one.recorder.peers)
        two.scope.cancel()
        elsewhere = world.network.host(world.address(7))
        settings = {"is_plain": True, "listen": None, "targets": (one.target,)}
        again = await start_node(world.nursery, elsewhere, 2, **settings)
        await trio.sleep(20)
        assert not one.manager.peers and not again.manager.peers


async def test_a_validator_is_banned_but_not_for_long(autojump_clock: MockClock) -> None:
    async with simulation() as world:
        one = await world.start(1)
        two = await world.start(2)
        one.manager.keep(two.target)
        await one.recorder.wait_until(lambda: bool(one.recorder.peers))
        one.recorder.only_peer.misbehaved(BAN_SCORE, "an invalid block")
        await one.recorder.wait_until(lambda: not one.recorder.peers)
        await trio.sleep(KEPT_BAN_SECONDS - 5)
        assert not one.manager.peers
        await one.recorder.wait_until(lambda: bool(one.recorder.peers), 120)


async def test_other_chains_stay_apart(autojump_clock: MockClock) -> None:
    async with simulation() as world:
        one = await world.start(1)
        for number, chain in ((2, replace(CHAIN, chain_id=5)), (3, CHAIN)):
            await world.start(number, chain=chain, is_plain=number == 2, targets=(Target(one.endpoint),))
        await trio.sleep(30)
        assert one.manager.peers == {}  # the third speaks Noise, the first does not: nothing in common either


async def test_noise_runs_over_the_simulated_network(autojump_clock: MockClock) -> None:
    async with simulation() as world:
        one, two = await world.start_pair(is_plain=False)
        two.recorder.only_peer.send(ConsensusMessage(bytes(100_000)))
        await one.recorder.wait_until(lambda: bool(one.recorder.messages))
        assert one.recorder.only_peer.node_id == two.key.node_id


async def test_a_broadcast_reaches_everybody_but_one(autojump_clock: MockClock) -> None:
    async with simulation() as world:
        nodes = await start_mesh(world, 4)
        await all_connected(nodes)
        left_out = nodes[0].manager.peers[nodes[1].key.node_id]
        assert nodes[0].manager.broadcast(ConsensusMessage(b"vote"), except_for=left_out) == 2
        nodes[0].manager.announce_status()
        await trio.sleep(1)
        assert [len(node.recorder.messages) for node in nodes] == [0, 1, 2, 2]
        assert isinstance(nodes[1].recorder.messages[0][1], Status)


class Clumsy(Recorder):
    """Its on_gone has a bug."""

    def on_gone(self, peer: object, reason: str) -> None:
        raise RuntimeError("oops")


async def test_a_bug_in_on_gone_is_logged_and_survived(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with simulation() as world:
        one = await world.start(1, recorder=Clumsy())
        two = await world.start(2, targets=(one.target,))
        await two.recorder.wait_until(lambda: bool(two.recorder.peers))
        two.recorder.only_peer.disconnect(DisconnectCode.SHUTDOWN, "bye")
        await trio.sleep(5)
        assert "bug in on_gone" in caplog.text
        assert one.manager.peers and two.manager.peers  # connected again


async def test_one_host_gets_few_connections(autojump_clock: MockClock) -> None:
    async with simulation() as world:
        one = await world.start(1, admission=AdmissionConfig(max_per_host=2))
        for number in (12, 13, 14):
            host = world.network.host(world.address(2))
            await start_node(world.nursery, host, number, is_plain=True, listen=None, targets=(Target(one.endpoint),))
        await trio.sleep(5)
        assert len(one.manager.peers) == 2
        assert one.manager.counters.refused >= 1


async def test_many_blocks_in_a_row_are_few_announcements(autojump_clock: MockClock) -> None:
    """A node that syncs must not look like one that floods."""
    async with simulation() as world:
        one, two = await world.start_pair()
        head = status()
        one.manager._get_status = lambda: head
        for height in range(1, 2001):
            head = status(height)
            one.manager.announce_status()
            await trio.sleep(0.001)
        await trio.sleep(1)
        assert two.recorder.gone == [] and two.manager.counters.offences == 0
        assert two.recorder.only_peer.status == status(2000)
        assert len(two.recorder.messages) <= 42
