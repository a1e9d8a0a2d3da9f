"""The simulated network: physics as configured, TCP's manners, and the same run for the same seed."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from random import Random

import pytest
import trio
from trio.testing import MockClock

from dmchain.node.network.addresses import Target
from dmchain.node.network.errors import RequestFailed
from dmchain.node.network.messages import ConsensusMessage, GetBlocks
from dmchain.node.network.simulated import LinkModel, SimulatedNetwork
from dmchain.node.network.transport import Endpoint
from tests.deterministic import run_simulation
from tests.node.network.nodes import PORT, simulation

ONE, TWO = "10.1.0.1", "10.2.0.1"
EXACT = LinkModel(latency_seconds=(0.1, 0.1), jitter=0, bandwidth_bytes_per_second=1000)


class Wire:
    """A connection from host one to host two."""

    def __init__(self, network: SimulatedNetwork, near: trio.abc.Stream, far: trio.abc.Stream) -> None:
        self.network, self.near, self.far = network, near, far


async def connect(nursery: trio.Nursery, model: LinkModel, seed: int = 1) -> Wire:
    network = SimulatedNetwork(Random(seed), model)
    await nursery.start(network.run)
    accepted: list[trio.abc.Stream] = []

    async def keep(stream: trio.abc.Stream, _remote: Endpoint) -> None:
        accepted.append(stream)

    await nursery.start(network.host(TWO).listen, Endpoint(TWO, PORT), keep)
    near = await network.host(ONE).dial(Endpoint(TWO, PORT))
    return Wire(network, near, accepted[0])


async def receive(stream: trio.abc.Stream, count: int) -> bytes:
    data = b""
    while len(data) < count and (piece := await stream.receive_some()):
        data += bytes(piece)
    return data


async def test_a_piece_takes_its_size_and_the_latency(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    wire = await connect(nursery, EXACT)
    start = trio.current_time()
    await wire.near.send_all(bytes(500))
    await wire.near.send_all(bytes(500))
    assert trio.current_time() == start
    await receive(wire.far, 500)
    assert trio.current_time() - start == pytest.approx(0.6)
    await receive(wire.far, 500)
    assert trio.current_time() - start == pytest.approx(1.1)


async def test_what_a_host_sends_is_shared_by_its_streams(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    wire = await connect(nursery, EXACT)
    other = await wire.network.host(ONE).dial(Endpoint(TWO, PORT))
    start = trio.current_time()
    await other.send_all(bytes(1000))
    await wire.near.send_all(bytes(1))
    await receive(wire.far, 1)
    assert trio.current_time() - start == pytest.approx(1.101)


async def test_loss_delays_but_keeps_order(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    wire = await connect(nursery, LinkModel(loss=0.5, retransmission_seconds=1))
    sent = b"".join(bytes((number,)) for number in range(200))
    start = trio.current_time()
    for number in sent:
        await wire.near.send_all(bytes((number,)))
    assert await receive(wire.far, 200) == sent
    assert trio.current_time() - start > 1


async def test_a_full_window_holds_the_sender_up(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    wire = await connect(nursery, LinkModel(window_bytes=1000))
    with trio.move_on_after(100) as scope:
        await wire.near.send_all(bytes(999))
        await wire.near.send_all(b"too much")
    assert scope.cancelled_caught
    with trio.fail_after(1):
        await receive(wire.far, 1007)
        await wire.near.send_all(b"again")


async def test_a_partition_stalls_streams_and_healing_lets_them_go_on(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    wire = await connect(nursery, EXACT)
    await wire.near.send_all(b"under way ")
    wire.network.partition({ONE}, {TWO})
    await wire.near.send_all(b"held up ")
    with trio.move_on_after(50) as scope:
        await wire.far.receive_some()
    assert scope.cancelled_caught
    wire.network.heal()
    await wire.near.send_all(b"after")
    await wire.near.aclose()
    assert await receive(wire.far, 100) == b"under way held up after"


async def test_dials_across_a_partition_do_not_return(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    wire = await connect(nursery, EXACT)
    wire.network.partition({ONE})
    with trio.move_on_after(100) as scope:
        await wire.network.host(ONE).dial(Endpoint(TWO, PORT))
    assert scope.cancelled_caught


async def test_nobody_there_refuses(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    wire = await connect(nursery, EXACT)
    with pytest.raises(ConnectionRefusedError):
        await wire.network.host(ONE).dial(Endpoint(TWO, 1))
    with pytest.raises(OSError, match="in use"):
        await wire.network.host(TWO).listen(Endpoint(TWO, PORT), lambda stream, remote: stream.aclose())


async def test_closing_ends_the_other_end_after_what_was_sent(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    wire = await connect(nursery, EXACT)
    await wire.near.send_all(b"last words")
    await wire.near.aclose()
    assert await receive(wire.far, 100) == b"last words"
    assert await wire.far.receive_some() == b""
    with pytest.raises(trio.BrokenResourceError):
        for _ in range(3):
            await wire.far.send_all(b"to nobody")
            await trio.sleep(1)
    with pytest.raises(trio.ClosedResourceError):
        await wire.near.send_all(b"x")
    with pytest.raises(trio.ClosedResourceError):
        await wire.near.receive_some()


async def test_a_dead_host_resets_its_streams(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    wire = await connect(nursery, EXACT)
    wire.network.kill(TWO)
    with pytest.raises(trio.BrokenResourceError):
        await wire.near.receive_some()
    with pytest.raises(trio.BrokenResourceError):
        await wire.near.send_all(b"x")
    with pytest.raises(ConnectionRefusedError):
        await wire.network.host(ONE).dial(Endpoint(TWO, PORT))


async def test_a_host_without_power_says_nothing(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    wire = await connect(nursery, LinkModel(window_bytes=100))
    wire.network.kill(TWO, is_silent=True)
    for work in (
        lambda: wire.near.receive_some(),
        lambda: wire.near.send_all(bytes(200)),
        lambda: wire.network.host(ONE).dial(Endpoint(TWO, PORT)),
    ):
        with trio.move_on_after(100) as scope:
            await work()
        assert scope.cancelled_caught


async def test_one_task_at_a_time(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    wire = await connect(nursery, EXACT)
    nursery.start_soon(wire.far.receive_some)
    await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(trio.BusyResourceError):
        await wire.far.receive_some()
    await wire.near.send_all(b"x")


async def busy_network(seed: int) -> str:
    """Five nodes that talk, lose packets, split and heal: the hash of everything that happened, with times."""
    trace = hashlib.sha256()
    async with simulation(seed, LinkModel(loss=0.05)) as world:
        nodes = [await world.start(number) for number in range(1, 6)]
        for node in nodes:
            for other in nodes:
                if node is not other:
                    node.manager.keep(Target(other.endpoint, other.key.node_id))
        for node in nodes:
            await node.recorder.wait_until(lambda node=node: len(node.recorder.peers) == 4)
        for step in range(20):
            nodes[step % 5].manager.broadcast(ConsensusMessage(bytes((step,)) * 1000))
            with suppress(RequestFailed):
                await next(iter(nodes[step % 5].manager.peers.values())).request(GetBlocks(step, 2), 0.5)
            await trio.sleep(0.1)
            if step == 5:
                world.network.partition({world.address(1), world.address(2)})
            if step == 10:
                world.network.heal()
        await trio.sleep(5)
        for node in nodes:
            for peer, message in node.recorder.messages:
                trace.update(repr((peer.remote, message)).encode())
        trace.update(repr((trio.current_time(), world.network.delivered_bytes)).encode())
    return trace.hexdigest()


def test_the_same_seed_gives_the_same_run() -> None:
    first = run_simulation(busy_network, 1, seed=1)
    assert run_simulation(busy_network, 1, seed=1) == first
    assert run_simulation(busy_network, 2, seed=2) != first
