"""Block sync against peers of all kinds: it ends at the chain's head, blames whom it should, and stays bounded."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dmchain.chain.sync.events import (
    Applied,
    ApplyFailed,
    BlocksArrived,
    PeerSlow,
    PeerStatus,
    RequestBlocks,
    Start,
    SyncConfig,
    Tick,
)
from dmchain.chain.sync.machine import Phase
from tests.chain.signed_chain import SignedChain, Team
from tests.chain.sync.world import (
    HOSTILE,
    MAX_SINGLE_BYTES,
    BadSignature,
    ClaimsTooLittle,
    ClaimsTooMuch,
    Dripper,
    Empty,
    FakePeer,
    Forger,
    Pruned,
    Silent,
    Slow,
    SyncWorld,
)

TEAM = Team(("ann", "bob", "cyd", "dan"))
SECOND = Team(("bob", "cyd", "dan", "eve", "fay"), (10, 10, 10, 25, 5))
THIRD = Team(("eve",))
CHAIN = SignedChain(TEAM, {60: SECOND, 61: TEAM, 120: THIRD}).grow(150)
"""Sets change at 60, at once again at 61, and at 120."""
STEADY = SignedChain(TEAM).grow(40)
CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def validators_of(chain: SignedChain) -> list[FakePeer]:
    """One correct peer for each validator of the head."""
    team = chain.team_at(chain.height + 1)
    return [FakePeer(chain, 10 + index, key.address) for index, key in enumerate(team.keys)]


def test_a_new_node_executes_every_block_and_hands_over() -> None:
    world = SyncWorld(CHAIN, validators_of(CHAIN))
    world.run(30_000)
    assert world.applied == list(range(1, 151))
    assert world.handed_over is not None
    assert world.handed_over.height == 150
    assert world.handed_over.validators == CHAIN.team_at(151).set
    assert not world.faults and not world.slow


def test_several_peers_are_asked_at_once() -> None:
    config = SyncConfig(max_request_blocks=5)
    world = SyncWorld(CHAIN, [FakePeer(CHAIN, 100) for _ in range(3)], config=config)
    asked = {line.split("peer=")[1].split(",")[0] for line in world.trace if "RequestBlocks" in line}
    assert asked == {"0", "1", "2"}
    assert all(count <= 4 for count in world.in_flight.values())


def test_the_same_seed_gives_the_same_trace() -> None:
    traces = []
    for _ in range(2):
        peers = [*validators_of(CHAIN), BadSignature(CHAIN, 5), Slow(CHAIN)]
        world = SyncWorld(CHAIN, peers, seed=7)
        world.run(60_000)
        traces.append(world.trace)
    assert traces[0] == traces[1]


@pytest.mark.parametrize("kind", HOSTILE, ids=lambda kind: kind.__name__)  # type: ignore[attr-defined]
def test_one_hostile_peer_does_not_stop_it(kind: type[FakePeer]) -> None:
    """Though it answers first."""
    world = SyncWorld(STEADY, [kind(STEADY, 1), FakePeer(STEADY, 50)], seed=3)
    world.run(60_000)
    assert world.applied == list(range(1, 41))
    assert world.handed_over is not None
    assert 1 not in world.faults and 1 not in world.slow


@pytest.mark.parametrize(
    ("kind", "reason"),
    [(BadSignature, "bad signature of validator"), (Forger, "bad signature of validator 0")],
)
def test_a_bad_commit_is_the_senders_fault(kind: type[FakePeer], reason: str) -> None:
    world = SyncWorld(STEADY, [kind(STEADY, 1), FakePeer(STEADY, 50)])
    world.run(60_000)
    assert reason in world.faults[0]


def test_a_commit_of_validators_of_another_epoch_is_refused() -> None:
    """Eve alone signs from 120 on; a peer has her sign block 30 as well."""
    chain = SignedChain(TEAM, {120: THIRD})
    chain.grow(40)
    false = SignedChain(THIRD)
    false.genesis, false.domain = chain.genesis, chain.domain
    false.grow(40)
    world = SyncWorld(chain, [FakePeer(false, 1), FakePeer(chain, 60)])
    world.run(60_000)
    assert world.applied == list(range(1, 41))
    assert list(world.faults) == [0]


def test_a_slow_peer_does_not_hold_up_what_others_have_fetched() -> None:
    peers = [Slow(STEADY), FakePeer(STEADY, 20)]
    world = SyncWorld(STEADY, peers, config=SyncConfig(max_request_blocks=4))
    world.run(60_000, until=lambda: len(world.applied) == 40)
    assert world.now < 4_000  # the slow one takes 8 to 16 s for a single reply
    assert not world.faults


def test_a_dripping_peer_gets_little_to_do() -> None:
    chain = SignedChain(TEAM).grow(150)
    world = SyncWorld(chain, [Dripper(chain, 10), FakePeer(chain, 10)], config=SyncConfig(max_request_blocks=16))
    world.run(60_000, until=lambda: len(world.applied) == 150)
    assert world.now < 2_000


def test_a_peer_that_has_pruned_is_not_asked_for_what_it_lacks() -> None:
    world = SyncWorld(STEADY, [Pruned(STEADY, 1), FakePeer(STEADY, 50)])
    world.run(60_000)
    assert world.applied == list(range(1, 41))
    assert not world.faults and not world.slow


def test_a_peer_that_lies_about_its_height_is_passed_over() -> None:
    world = SyncWorld(STEADY, [ClaimsTooMuch(STEADY, 1), FakePeer(STEADY, 50)])
    world.run(60_000)
    assert world.handed_over is not None
    assert "which it claimed to have" in world.slow[0]


def test_an_empty_reply_takes_the_claim_back_and_a_stranger_has_one_chance() -> None:
    machine = SyncWorld(STEADY, []).machine
    (asked,) = machine.step(0, PeerStatus(5, 10, 1))
    assert asked == RequestBlocks(5, 1, 1, 10)
    (slow,) = machine.step(10, BlocksArrived(5, 1, ()))
    assert slow == PeerSlow(5, "has no block 1, which it claimed to have")
    assert machine.step(20, PeerStatus(5, 10, 1)) == []
    rest_ms = machine.config.unproven_rest_ms
    assert machine.step(9 + rest_ms, Tick()) == []
    assert machine.step(10 + rest_ms, Tick()) == [RequestBlocks(5, 2, 1, 10)]
    wires = tuple([STEADY.wire(height) for height in (1, 2)])
    machine.step(50 + rest_ms, BlocksArrived(5, 2, wires))  # type: ignore[arg-type]
    assert machine.step(60 + rest_ms, BlocksArrived(5, 4, ())) == []  # it has delivered: one failure may be an accident


def test_nothing_is_asked_for_that_validators_do_not_have() -> None:
    """Whatever strangers claim: else they would have all others asked for blocks that are not there."""
    world = SyncWorld(STEADY, [])
    for peer, key in enumerate(TEAM.keys[:2]):
        world.machine.step(0, PeerStatus(peer, 10, 1, key.address))
    effects = world.machine.step(1, PeerStatus(9, 1_000, 1))
    assert not [effect for effect in effects if isinstance(effect, RequestBlocks)]
    assert world.machine.target == 10 and world.machine.highest == 1_000


def test_a_peer_that_leaves_is_replaced() -> None:
    world = SyncWorld(STEADY, [Silent(STEADY, 1)])
    world.after(500, lambda: world.disconnect(0))
    world.after(600, lambda: world.connect(1, FakePeer(STEADY)))
    world.run(60_000, until=lambda: len(world.applied) == 40)
    assert world.now < 2_000


def test_memory_is_bounded_while_execution_is_slow() -> None:
    chain = SignedChain(TEAM)
    chain.grow(120, extra_data=b"\xee" * 60_000)
    config = SyncConfig(buffer_bytes=1_000_000, reply_bytes=200_000, wanted_reply_bytes=100_000)
    world = SyncWorld(chain, validators_of(chain), config=config, apply_ms=50)
    world.run(60_000)
    assert world.handed_over is not None
    assert 400_000 < world.most_buffered <= 1_000_000


def test_the_block_needed_next_is_asked_for_though_the_buffer_is_full() -> None:
    """The first peer has swallowed the request for the lowest heights; the rest fills the buffer."""
    chain = SignedChain(TEAM)
    chain.grow(60, extra_data=b"\xee" * 10_000)
    config = SyncConfig(buffer_bytes=100_000, reply_bytes=40_000, wanted_reply_bytes=20_000)
    world = SyncWorld(chain, [Silent(chain, 1), FakePeer(chain, 20)], config=config)
    world.run(120_000)
    assert world.applied == list(range(1, 61))


# -- a quorum that errs ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("run_blocks", [1, 5, 64])
def test_it_halts_on_a_final_block_that_hangs_elsewhere(run_blocks: int) -> None:
    """In the middle of a job or at the beginning of one that ran beside the job before."""
    chain = SignedChain(TEAM).grow(20)
    chain.append(chain.make_body(parent_hash=b"\x13" * 32))
    chain.grow(3)
    world = SyncWorld(chain, [FakePeer(chain)], config=SyncConfig(run_blocks=run_blocks))
    world.run(20_000)
    assert world.halted is not None
    assert world.halted.height == 21
    assert world.halted.reason.startswith("parent hash: expected 0x")
    assert not world.faults


def test_it_halts_on_a_final_block_of_other_validators_than_announced() -> None:
    chain = SignedChain(TEAM).grow(20)
    chain.append(chain.make_body({"validators_hash": b"\x13" * 32}))
    world = SyncWorld(chain, [FakePeer(chain)])
    world.run(20_000)
    assert world.halted is not None
    assert world.halted.height == 21
    assert "validators hash" in world.halted.reason
    assert world.machine.phase is Phase.HALTED


def test_it_halts_when_the_state_names_other_validators_than_the_record() -> None:
    world = SyncWorld(STEADY, [FakePeer(STEADY)])
    world.run(10_000, until=lambda: len(world.applied) == 5)
    world.feed(Applied(5, THIRD.set))
    assert world.halted is not None
    assert world.halted.reason.startswith("validators of the next height")


def test_it_halts_when_a_final_block_cannot_be_executed() -> None:
    world = SyncWorld(STEADY, [FakePeer(STEADY)])
    world.run(10_000, until=lambda: len(world.applied) == 5)
    world.feed(ApplyFailed(5, "state_root: got 12, expected 34"))
    assert world.halted is not None
    wire = STEADY.wire(5)
    assert wire is not None
    assert (world.halted.height, world.halted.block, world.halted.commit) == (5, wire.block, wire.commit)
    assert world.machine.step(world.now, Tick()) == []


# -- hand-over ---------------------------------------------------------------------------------------------------
def test_peers_worth_a_third_at_the_same_height_are_enough() -> None:
    """Though a fourth claims to be far ahead."""
    peers = [*validators_of(STEADY)[:2], ClaimsTooMuch(STEADY, 5, TEAM.keys[3].address)]
    world = SyncWorld(STEADY, peers, apply_ms=1)
    world.run(60_000)
    assert world.handed_over is not None
    assert world.handed_over.height == 40
    assert world.now < 1_000


def test_a_third_that_claims_too_little_cannot_cause_it() -> None:
    """Weight below one third that says the chain is at 0 does not count; more than that holds a correct validator."""
    peers = [ClaimsTooLittle(STEADY, 5, TEAM.keys[0].address), FakePeer(STEADY, 50, TEAM.keys[1].address)]
    world = SyncWorld(STEADY, peers)
    world.run(10_000)
    assert world.handed_over is not None
    assert world.handed_over.height >= 39


def test_several_links_of_one_validator_count_once() -> None:
    peers = [ClaimsTooLittle(STEADY, 5, TEAM.keys[0].address) for _ in range(5)]
    world = SyncWorld(STEADY, [*peers, FakePeer(STEADY, 50)])
    world.run(10_000)
    assert world.handed_over is not None
    assert world.handed_over.height >= 39


def test_at_genesis_it_hands_over_at_once() -> None:
    chain = SignedChain(TEAM)
    world = SyncWorld(chain, [FakePeer(chain, 20, key.address) for key in TEAM.keys[1:]], own=TEAM.keys[0].address)
    assert world.handed_over is not None
    assert world.handed_over.height == 0


def test_a_lone_validator_waits_for_nobody() -> None:
    chain = SignedChain(THIRD)
    world = SyncWorld(chain, [], own=THIRD.keys[0].address)
    world.run(1_000)
    assert world.handed_over is not None


def test_without_peers_a_validator_among_others_waits() -> None:
    chain = SignedChain(TEAM)
    world = SyncWorld(chain, [], own=TEAM.keys[0].address)
    world.run(30_000)
    assert world.handed_over is None


def test_with_few_peers_it_hands_over_after_a_quiet_while() -> None:
    world = SyncWorld(STEADY, [FakePeer(STEADY)])
    world.run(60_000)
    assert world.handed_over is not None
    assert 1_000 <= world.now < 3_000


def grow_while_running(world: SyncWorld, every_ms: int, until_ms: int) -> None:
    def grow() -> None:
        world.chain.grow(1)
        if world.now < until_ms:
            world.after(every_ms, grow)

    world.after(every_ms, grow)


def test_it_hands_over_to_a_chain_with_short_block_times() -> None:
    """50 ms a block: by the time a block is fetched and executed there are three more."""
    chain = SignedChain(TEAM).grow(20)
    peers: list[FakePeer] = [FakePeer(chain, 150, key.address) for key in TEAM.keys]
    world = SyncWorld(chain, peers, apply_ms=5, status_ms=20)
    grow_while_running(world, 50, 20_000)
    world.run(20_000)
    assert world.handed_over is not None
    assert world.now < 5_000
    assert chain.height - world.handed_over.height <= 15


def test_it_hands_over_when_it_is_just_as_fast_as_the_chain() -> None:
    chain = SignedChain(TEAM).grow(30)
    world = SyncWorld(chain, [FakePeer(chain, 20, key.address) for key in TEAM.keys], apply_ms=100)
    grow_while_running(world, 100, 40_000)
    world.run(40_000)
    assert world.handed_over is not None
    assert 10_000 <= world.now < 20_000


def test_after_the_hand_over_it_notices_falling_behind_and_can_start_again() -> None:
    chain = SignedChain(TEAM).grow(10)
    world = SyncWorld(chain, validators_of(chain))
    world.run(5_000)
    assert world.handed_over is not None
    world.feed(Applied(11, TEAM.set))
    chain.grow(40)
    world.run(20_000, until=lambda: world.fell_behind is not None)
    assert world.fell_behind is not None
    assert (world.fell_behind.height, world.fell_behind.peers_height) == (11, 50)
    world.applied = list(range(1, 12))
    world.handed_over = None
    world.feed(Start(11, chain.header(11).hash, TEAM.set))
    world.run(40_000)
    assert world.handed_over is not None
    assert world.handed_over.height == 50


def test_a_follower_believes_anybody_who_is_far_ahead_and_a_validator_does_not() -> None:
    for own, is_behind in ((None, True), (TEAM.keys[0].address, False)):
        chain = SignedChain(TEAM).grow(10)
        world = SyncWorld(chain, [FakePeer(chain)], own=own)
        world.run(5_000)
        assert world.handed_over is not None
        chain.grow(40)
        world.run(20_000, until=lambda world=world: world.fell_behind is not None)  # type: ignore[misc]
        assert (world.fell_behind is not None) == is_behind


def test_a_liar_cannot_make_consensus_stop() -> None:
    chain = SignedChain(TEAM).grow(10)
    world = SyncWorld(chain, validators_of(chain)[1:])
    world.run(5_000)
    world.connect(9, ClaimsTooMuch(chain, 5, TEAM.keys[0].address))
    world.run(30_000, until=lambda: False)
    assert world.fell_behind is None


# -- odds and ends -----------------------------------------------------------------------------------------------
def test_answers_nobody_waits_for_are_ignored() -> None:
    world = SyncWorld(STEADY, [Empty(STEADY, 1)])
    before = world.machine.height
    world.feed(Applied(3, TEAM.set))
    world.feed(ApplyFailed(1, "not asked"))
    assert world.machine.height == before
    assert world.machine.phase is Phase.SYNCING


def test_the_first_request_is_small_and_later_ones_follow_the_size_of_blocks() -> None:
    chain = SignedChain(TEAM).grow(2)
    world = SyncWorld(chain, [])
    (asked,) = world.machine.step(0, PeerStatus(5, 10_000, 1))
    assert asked == RequestBlocks(5, 1, 1, 16)
    effects = world.machine.step(100, BlocksArrived(5, 1, (chain.wire(1), chain.wire(2))))  # type: ignore[arg-type]
    requests = [effect for effect in effects if isinstance(effect, RequestBlocks)]
    assert len(requests) == 4 and all(request.count > 16 for request in requests)


def test_the_configuration_must_be_positive() -> None:
    with pytest.raises(ValueError, match="max_runs: expected 1 or more, got 0"):
        SyncConfig(max_runs=0)


@given(
    seed=st.integers(0, 2**32),
    hostile=st.lists(st.sampled_from(HOSTILE), max_size=6),
    honest=st.lists(st.sampled_from((FakePeer, Pruned, Slow)), max_size=2),
    latency=st.integers(1, 300),
    request_blocks=st.integers(1, 60),
    run_blocks=st.integers(1, 40),
    buffer=st.integers(1, 40),
)
@settings(CALM, max_examples=25)
def test_whatever_peers_do_it_executes_the_chain(
    seed: int,
    hostile: list[type[FakePeer]],
    honest: list[type[FakePeer]],
    latency: int,
    request_blocks: int,
    run_blocks: int,
    buffer: int,
) -> None:
    """With one correct peer among any others; the checks of every step are in SyncWorld."""
    peers: list[FakePeer] = [kind(CHAIN) for kind in (*hostile, *honest)]
    peers.insert(seed % (len(peers) + 1), FakePeer(CHAIN, latency))
    config = SyncConfig(
        max_request_blocks=request_blocks,
        run_blocks=run_blocks,
        buffer_bytes=buffer * 20_000,
        reply_bytes=200_000,
        max_runs=1 + seed % 4,
    )
    world = SyncWorld(CHAIN, peers, seed=seed, config=config)
    world.run(600_000, until=lambda: len(world.applied) == 150 or world.halted is not None)
    # within one block of the end it may leave the last one to consensus
    assert world.applied == list(range(1, 1 + (150 if world.handed_over is None else len(world.applied))))
    assert len(world.applied) >= 149
    assert all(not peers[number].is_honest for number in world.faults)
    assert world.most_buffered <= config.buffer_bytes + len(peers) * 4 * config.reply_bytes + MAX_SINGLE_BYTES
