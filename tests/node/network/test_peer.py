"""One connection between two nodes, over the simulated network: messages, requests, faults, deadlines."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from dmchain.chain.primitives.errors import DecodeError, InvariantBroken, SignatureError
from dmchain.node.network.errors import DisconnectCode, ProtocolError, RequestFailed
from dmchain.node.network.limits import LimitsConfig, Rate
from dmchain.node.network.messages import (
    MAX_CONSENSUS_BYTES,
    Blocks,
    ConsensusBody,
    ConsensusMessage,
    GetBlocks,
    GetSnapshotManifest,
    Peers,
    Push,
    Reply,
    Request,
    Status,
    TransactionHashes,
)
from dmchain.node.network.peer import MAX_REQUESTS, SILENCE_SECONDS, WRITE_SECONDS, Peer
from dmchain.node.network.requests import MAX_ABANDONED
from dmchain.node.network.simulated import LinkModel
from tests.node.network.nodes import Recorder, Simulation, simulation, status


async def test_messages_arrive_in_order_and_statuses_are_kept(autojump_clock: MockClock) -> None:
    async with simulation() as world:
        one, two = await world.start_pair()
        peer = two.recorder.only_peer
        assert peer.is_outbound and not one.recorder.only_peer.is_outbound
        assert peer.node_id == one.key.node_id and peer.hello is not None
        for number in range(1, 300):
            peer.send(ConsensusMessage(b"%d" % number))
        peer.send(Status(7, status().head_hash, 2))
        await one.recorder.wait_until(lambda: len(one.recorder.messages) == 300)
        assert [m.payload for _, m in one.recorder.messages[:-1]] == [b"%d" % n for n in range(1, 300)]  # type: ignore[union-attr]
        assert one.recorder.only_peer.status == Status(7, status().head_hash, 2)


async def test_requests_are_answered_in_parallel_up_to_the_limit(autojump_clock: MockClock) -> None:
    running, most = 0, 0

    async def answer(peer: Peer, request: Request) -> Reply:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await trio.sleep(1)
        running -= 1
        return Blocks(())

    async with simulation() as world:
        one, two = await world.start_pair()
        one.recorder.on_ask = answer
        peer, start = two.recorder.only_peer, trio.current_time()
        async with trio.open_nursery() as nursery:
            for _ in range(3 * MAX_REQUESTS):
                nursery.start_soon(peer.request, GetBlocks(1, 1))
        assert most == MAX_REQUESTS
        assert 3 < trio.current_time() - start < 4


async def test_a_refusal_is_an_error_with_its_reason(autojump_clock: MockClock) -> None:
    async with simulation() as world:
        _, two = await world.start_pair()
        with pytest.raises(RequestFailed, match="refused: no"):
            await two.recorder.only_peer.request(GetSnapshotManifest(0))


async def test_a_late_reply_is_no_offence(autojump_clock: MockClock) -> None:
    async def slow(peer: Peer, request: Request) -> Reply:
        await trio.sleep(3)
        return Blocks(())

    async with simulation() as world:
        one, two = await world.start_pair()
        one.recorder.on_ask = slow
        peer = two.recorder.only_peer
        with pytest.raises(RequestFailed, match="no answer within 1 s"):
            await peer.request(GetBlocks(1, 1), 1)
        await trio.sleep(5)
        assert peer.is_open and two.manager.counters.offences == 0


async def test_any_number_of_late_replies_is_no_offence(autojump_clock: MockClock) -> None:
    async def slow(peer: Peer, request: Request) -> Reply:
        await trio.sleep(1)
        return Blocks(())

    async with simulation() as world:
        one, two = await world.start_pair()
        one.recorder.on_ask = slow
        peer = two.recorder.only_peer
        for _ in range(2 * MAX_ABANDONED):
            with pytest.raises(RequestFailed, match="no answer"):
                await peer.request(GetBlocks(1, 1), 0.9)
            await trio.sleep(1)
        assert peer.is_open


async def test_a_peer_that_answers_nothing_is_dropped(autojump_clock: MockClock) -> None:
    async def never(peer: Peer, request: Request) -> Reply:
        await trio.sleep_forever()
        raise AssertionError

    async with simulation() as world:
        one, two = await world.start_pair()
        one.recorder.on_ask = never
        peer = two.recorder.only_peer
        failures = []
        for _ in range(MAX_ABANDONED + 1):
            with pytest.raises(RequestFailed) as failed:
                await peer.request(GetBlocks(1, 1), 1)
            failures.append(str(failed.value))
        # beyond MAX_REQUESTS the peer refuses at once, so those are answered
        assert any("refused: too many" in failure for failure in failures)


async def test_a_connection_that_ends_fails_its_requests(autojump_clock: MockClock) -> None:
    async def die(peer: Peer, request: Request) -> Reply:
        world.crash(1, one)
        await trio.sleep_forever()
        raise AssertionError

    async with simulation() as world:
        one, two = await world.start_pair()
        one.recorder.on_ask = die
        peer = two.recorder.only_peer
        with pytest.raises(RequestFailed, match="gone"):
            await peer.request(GetBlocks(1, 1))
        with pytest.raises(RequestFailed, match="not connected"):
            await peer.request(GetBlocks(1, 1))
        assert not peer.send(status())


async def test_a_wrong_type_of_reply_is_an_offence(autojump_clock: MockClock) -> None:
    async def lie(peer: Peer, request: Request) -> Reply:
        return Peers(())

    async with simulation() as world:
        one, two = await world.start_pair()
        one.recorder.on_ask = lie
        with pytest.raises(RequestFailed):
            await two.recorder.only_peer.request(GetBlocks(1, 1))
        assert two.recorder.reasons == ["GetBlocks: answered with Peers"]
        await one.recorder.wait_until(lambda: bool(one.recorder.gone))
        assert one.recorder.reasons == ["disconnected by the peer: GetBlocks: answered with Peers"]


@pytest.mark.parametrize("kind", [ProtocolError, DecodeError, SignatureError])
async def test_what_the_handler_objects_to_costs_the_peer(autojump_clock: MockClock, kind: type[Exception]) -> None:
    async def refuse(peer: Peer, message: Push) -> None:
        raise kind("not to my taste")

    async with simulation() as world:
        one, two = await world.start_pair()
        one.recorder.on_push = refuse
        two.recorder.only_peer.send(status())
        await one.recorder.wait_until(lambda: bool(one.recorder.gone))
        assert one.recorder.reasons == ["not to my taste"]
        assert one.manager.counters.offences == 1


async def test_a_bug_in_the_handler_ends_that_connection_without_blame(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(peer: Peer, message: Push) -> None:
        raise RuntimeError("a bug")

    async with simulation() as world:
        one, two = await world.start_pair()
        one.recorder.on_push = fail
        two.recorder.only_peer.send(status())
        await one.recorder.wait_until(lambda: bool(one.recorder.gone))
        assert one.recorder.reasons == ["internal error"]
        assert one.manager.counters.offences == 0
        assert "a bug" in caplog.text


async def test_a_bug_in_an_answer_is_a_refusal(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    async def fail(peer: Peer, request: Request) -> Reply:
        raise DecodeError("our database is broken")

    async with simulation() as world:
        one, two = await world.start_pair()
        one.recorder.on_ask = fail
        with pytest.raises(RequestFailed, match="refused: internal error"):
            await two.recorder.only_peer.request(GetBlocks(1, 1))
        assert two.recorder.only_peer.is_open
        assert one.manager.counters.offences == 0 and "our database is broken" in caplog.text


@pytest.mark.parametrize("is_request", [False, True])
async def test_a_broken_invariant_ends_the_node(autojump_clock: MockClock, is_request: bool) -> None:
    async def stop(peer: Peer, _message: object) -> Reply:
        raise InvariantBroken("two heads")

    with pytest.RaisesGroup(InvariantBroken, allow_unwrapped=True, flatten_subgroups=True):
        async with simulation() as world:
            one, two = await world.start_pair()
            one.recorder.on_push = stop  # type: ignore[assignment]
            one.recorder.on_ask = stop
            if is_request:
                await two.recorder.only_peer.request(GetBlocks(1, 1))
            two.recorder.only_peer.send(status())
            await trio.sleep(5)


async def test_a_waiting_handler_is_back_pressure_and_no_fault_of_the_peer(autojump_clock: MockClock) -> None:
    async def wait(peer: Peer, message: Push) -> None:
        await trio.sleep(5)

    async with simulation(model=LinkModel(window_bytes=10_000)) as world:
        one, two = await world.start_pair()
        one.recorder.on_push = wait
        for _ in range(5):
            two.recorder.only_peer.send(ConsensusMessage(bytes(9_000)))
        await one.recorder.wait_until(lambda: len(one.recorder.messages) == 5, 60)
        assert one.recorder.gone == [] and two.recorder.gone == []


async def test_whoever_does_not_read_cannot_call_the_other_silent(autojump_clock: MockClock) -> None:
    async def wait(peer: Peer, message: Push) -> None:
        await trio.sleep(30)

    async with simulation() as world:
        one, two = await world.start_pair(wanted_outbound=0)  # nor does anybody ask for peers
        one.recorder.on_push = wait
        two.recorder.only_peer.send(status())
        await one.recorder.wait_until(lambda: bool(one.recorder.gone), 60)
        assert two.recorder.reasons == ["silent for 15 s"]  # nobody answers its pings
        assert one.recorder.reasons != ["silent for 15 s"]


async def test_idle_connections_stay_open_and_know_their_round_trip(autojump_clock: MockClock) -> None:
    async with simulation(model=LinkModel(latency_seconds=(0.1, 0.1), jitter=0)) as world:
        one, two = await world.start_pair()
        await trio.sleep(300)
        assert one.recorder.gone == [] and two.recorder.gone == []
        assert two.recorder.only_peer.round_trip_seconds == pytest.approx(0.2, abs=0.01)


async def test_a_silent_peer_is_dropped_within_fifteen_seconds(autojump_clock: MockClock) -> None:
    async with simulation() as world:
        one, two = await world.start_pair()
        world.crash(1, one, is_silent=True)
        start = trio.current_time()
        await two.recorder.wait_until(lambda: bool(two.recorder.gone), 60)
        assert two.recorder.reasons == ["silent for 15 s"]
        assert trio.current_time() - start <= SILENCE_SECONDS + 0.1


async def stall(world: Simulation) -> tuple[Recorder, Peer]:
    """A pair of which the first one has stopped reading."""

    async def wait(peer: Peer, message: Push) -> None:
        await trio.sleep_forever()

    one, two = await world.start_pair()
    one.recorder.on_push = wait
    two.recorder.only_peer.send(status())
    return two.recorder, two.recorder.only_peer


async def test_a_peer_that_takes_nothing_is_dropped_by_the_write_timeout(autojump_clock: MockClock) -> None:
    async with simulation(model=LinkModel(window_bytes=10_000)) as world:
        recorder, peer = await stall(world)
        start = trio.current_time()
        for _ in range(40):
            peer.send(ConsensusMessage(bytes(10_000)))
        await recorder.wait_until(lambda: bool(recorder.gone), 60)
        assert recorder.reasons == ["too slow: took nothing for 8 s"]
        assert trio.current_time() - start <= WRITE_SECONDS + 1


async def test_a_full_consensus_queue_drops_the_peer_at_once(autojump_clock: MockClock) -> None:
    async with simulation(model=LinkModel(window_bytes=10_000)) as world:
        recorder, peer = await stall(world)
        largest = 0
        while peer.send(ConsensusBody(bytes(MAX_CONSENSUS_BYTES + 1))):
            largest = max(largest, peer.queued_bytes)
        await recorder.wait_until(lambda: bool(recorder.gone), 60)
        assert recorder.reasons == ["too slow: its consensus queue is full"]
        assert largest <= 16 * 2**20 and peer.queued_bytes == 0


async def test_a_full_bulk_queue_drops_announcements_only(autojump_clock: MockClock) -> None:
    async with simulation(model=LinkModel(window_bytes=10_000)) as world:
        _, peer = await stall(world)
        hashes = TransactionHashes((status().head_hash,) * 1000)
        sent = [peer.send(hashes) for _ in range(500)]
        assert sent.count(False) == peer.dropped > 0
        assert peer.is_open and peer.queued_bytes <= 4 * 2**20


async def test_votes_overtake_what_is_queued(autojump_clock: MockClock) -> None:
    async with simulation(model=LinkModel(bandwidth_bytes_per_second=100_000, window_bytes=1000)) as world:
        one, two = await world.start_pair()
        peer = two.recorder.only_peer
        for _ in range(20):
            peer.send(TransactionHashes((status().head_hash,) * 1000))
        await trio.sleep(1)
        peer.send(ConsensusMessage(b"vote"))
        await one.recorder.wait_until(lambda: len(one.recorder.messages) == 21)
        kinds = [type(message) for _, message in one.recorder.messages]
        assert kinds.index(ConsensusMessage) < 8


async def test_a_flood_is_read_slowly_and_costs_only_its_sender(autojump_clock: MockClock) -> None:
    limits = LimitsConfig(messages=Rate(100, 100), types={})
    async with simulation() as world:
        one, two = await world.start_pair(limits=limits)
        start = trio.current_time()
        for _ in range(1000):
            two.recorder.only_peer.send(ConsensusMessage(b"vote"))
        await one.recorder.wait_until(lambda: len(one.recorder.messages) == 1000, 60)
        assert trio.current_time() - start == pytest.approx(9, abs=1)


async def test_bytes_are_paced_too(autojump_clock: MockClock) -> None:
    limits = LimitsConfig(bytes=Rate(100_000, 100_000))
    async with simulation(model=LinkModel(window_bytes=10_000)) as world:
        one, two = await world.start_pair(limits=limits)
        start = trio.current_time()
        for _ in range(10):
            two.recorder.only_peer.send(ConsensusMessage(bytes(100_000)))
        await one.recorder.wait_until(lambda: len(one.recorder.messages) == 10, 60)
        assert trio.current_time() - start == pytest.approx(9, abs=1)


async def test_a_farewell_carries_the_reason(autojump_clock: MockClock) -> None:
    async with simulation() as world:
        one, two = await world.start_pair()
        peer = one.recorder.only_peer
        two.recorder.only_peer.disconnect(DisconnectCode.SHUTDOWN, "going to béd\n")
        await one.recorder.wait_until(lambda: bool(one.recorder.gone))
        assert one.recorder.reasons == ["disconnected by the peer: going to b?d?"]
        assert peer.farewell == DisconnectCode.SHUTDOWN


async def test_a_farewell_to_a_stalled_peer_does_not_wait_long(autojump_clock: MockClock) -> None:
    async with simulation(model=LinkModel(window_bytes=1000)) as world:
        recorder, peer = await stall(world)
        peer.send(ConsensusMessage(bytes(5000)))
        peer.send(ConsensusMessage(bytes(5000)))
        await trio.sleep(1)
        start = trio.current_time()
        peer.disconnect(DisconnectCode.SLOW, "enough")
        await recorder.wait_until(lambda: bool(recorder.gone))
        assert trio.current_time() - start <= 1


async def test_points_add_up_to_a_ban(autojump_clock: MockClock) -> None:
    async with simulation() as world:
        one, two = await world.start_pair()
        peer = one.recorder.only_peer
        peer.misbehaved(40, "bad block")
        assert peer.is_open
        peer.misbehaved(70, "bad block")
        assert not peer.is_open
        await one.recorder.wait_until(lambda: bool(one.recorder.gone))
        await trio.sleep(60)
        assert not one.recorder.peers and not two.recorder.peers  # not let in again
        assert one.manager.counters.bans == 1
