"""Networks of whole nodes under faults. Every block and message is checked as it happens (checker.py).

`SIMULATION_SEEDS=200` runs each random scenario with so many seeds; the seed is in every failure.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import eth_abi
import pytest
import trio

from dmchain.chain.primitives.crypto import keccak
from dmchain.chain.primitives.types import Address
from dmchain.chain.staking import STAKING
from dmchain.chain.staking.possession import prove_possession
from dmchain.chain.staking.readers import read_validator
from dmchain.marketplace_vm.state import read_slot
from dmchain.node.consensus.host import Halted
from dmchain.node.network.messages import ConsensusMessage
from tests.deterministic import run_simulation
from tests.simulation.byzantine import Equivocator
from tests.simulation.full_node import CHAIN_ID, ETHER, FullNode, LinkModel, World, open_world, transfer

SEEDS = range(int(os.environ.get("SIMULATION_SEEDS", "2")))


def simulate(scenario: Callable[[World], Awaitable[None]], seed: int, count: int, **options: Any) -> str:
    """Run a scenario; return its trace."""

    async def main() -> str:
        async with open_world(seed, count, **options) as world:
            await scenario(world)
        return world.trace.hexdigest()

    return run_simulation(main, seed=seed)


# -- no faults -------------------------------------------------------------------------------------------------------


async def under_load(world: World) -> None:
    await world.start()
    await world.load.run(15, per_second=8)
    await world.until_mined()


@pytest.mark.parametrize("count", [1, 4, 7])
def test_validators_agree_under_load(count: int) -> None:
    simulate(under_load, 1, count)


def test_the_same_seed_gives_the_same_trace_and_another_another() -> None:
    traces = [simulate(crash_and_restart, seed, 4) for seed in (5, 5, 6)]
    assert traces[0] == traces[1] != traces[2]


def test_twenty_validators_agree() -> None:
    async def scenario(world: World) -> None:
        await world.start()
        for account in range(3):
            world.load.send(account)
            await trio.sleep(1)
        await world.until_mined()

    simulate(scenario, 1, 20)


def test_an_idle_network_makes_a_block_at_each_heartbeat() -> None:
    async def scenario(world: World) -> None:
        await world.start()
        await trio.sleep(12)
        assert {node.height for node in world.nodes} == {2}

    simulate(scenario, 1, 4)


def test_blocks_as_large_as_they_may_be_reach_everybody() -> None:
    """As proposals, as decisions, and in block sync."""

    async def scenario(world: World) -> None:
        await world.start(0, 1, 2)
        await trio.sleep(1)
        for number in range(50):
            account = number % 5
            nonce = world.load.nonces[account]
            world.load.nonces[account] += 1
            tx = transfer(world.accounts[account], nonce, b"\x77" * 20, 1, bytes(120_000), 1_300_000)
            world.nodes[0].submit(tx)
            world.load.accepted.append(tx)
        await world.until_mined(seconds=60)
        chain = world.nodes[0].chain
        sizes = [len(block.encode()) for n in range(1, chain.head.number + 1) if (block := chain.view.blocks.block(n))]
        assert max(sizes) > 3_000_000
        await world.start(3)
        await world.until_height(chain.head.number, seconds=30)

    patient = {"proposeMs": 3_000, "messageDelayMs": 3_000}
    simulate(scenario, 1, 4, consensus=patient, gas_limit=200_000_000)


# -- partitions ------------------------------------------------------------------------------------------------------


def test_a_majority_goes_on_without_the_rest_and_halves_wait() -> None:
    async def scenario(world: World) -> None:
        await world.start()
        await trio.sleep(1)
        world.partition([0, 1, 2], [3])
        for _ in range(8):
            world.load.send(at=world.nodes[0])
            await trio.sleep(0.3)
        await world.until_height(4, [0, 1, 2])
        assert world.nodes[3].height < 2
        world.heal()
        await world.until_mined(seconds=15)
        world.partition([0, 1], [2, 3])
        before = max(node.height for node in world.nodes)
        world.load.send(at=world.nodes[0])
        world.load.send(at=world.nodes[3])
        await trio.sleep(20)
        # what was under way may still be decided by those who had all votes
        assert max(node.height for node in world.nodes) <= before + 1
        world.heal()
        await world.until_mined(seconds=15)

    simulate(scenario, 2, 4)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_partitions_never_split_the_chain(seed: int) -> None:
    async def scenario(world: World) -> None:
        await world.start()
        world.nursery.start_soon(world.load.run, 25, 3.0)
        for _ in range(4):
            await trio.sleep(world.rng.uniform(0.2, 2))
            numbers = list(range(5))
            world.rng.shuffle(numbers)
            cut = world.rng.randrange(1, 5)
            world.partition(numbers[:cut], numbers[cut:])
            await trio.sleep(world.rng.uniform(0.2, 3))
            world.heal()
        await trio.sleep(8)
        await world.until_mined()

    simulate(scenario, seed, 5)


def test_a_line_and_a_star_of_validators_decide() -> None:
    """Nobody is connected to everybody, and the middle of the star is connected to all that are not connected."""
    line = {0: [1], 1: [0, 2], 2: [1, 3], 3: [2, 4], 4: [3]}
    star = {0: [1, 2, 3, 4], 1: [0], 2: [0], 3: [0], 4: [0]}
    for neighbours in (line, star):

        async def scenario(world: World) -> None:
            await world.start()
            await trio.sleep(2)  # who has one neighbour cannot tell from it where the chain is
            for _ in range(5):
                world.load.send()
                await trio.sleep(0.4)
            await world.until_mined(seconds=10)
            assert set(world.checker.rounds.values()) == {0}

        simulate(scenario, 3, 5, neighbours=neighbours)


def test_lossy_and_slow_links_only_cost_time() -> None:
    async def scenario(world: World) -> None:
        await world.start()
        await world.load.run(10, per_second=1)
        await world.until_mined(seconds=120)

    simulate(scenario, 4, 4, links=LinkModel(latency_seconds=(0.05, 0.3), loss=0.1, retransmission_seconds=0.3))


# -- crashes ---------------------------------------------------------------------------------------------------------


async def crash_and_restart(world: World) -> None:
    """One after another dies at a random moment, now and then all of them."""
    await world.start()
    world.nursery.start_soon(world.load.run, 20, 4.0)
    for _ in range(6):
        await trio.sleep(world.rng.uniform(0.05, 1.0))
        count = len(world.nodes)
        victims = range(count) if world.rng.random() < 0.2 else [world.rng.randrange(count)]
        is_silent = world.rng.random() < 0.3
        for victim in victims:
            world.crash(victim, is_silent=is_silent)
        await trio.sleep(world.rng.uniform(0, 1.5))
        for victim in victims:
            await world.restart(victim)
    await trio.sleep(8)
    await world.until_mined()


@pytest.mark.parametrize("seed", SEEDS)
def test_crashes_lose_nothing_and_sign_nothing_twice(seed: int) -> None:
    simulate(crash_and_restart, seed, 4)


def test_one_of_four_dead_costs_one_round() -> None:
    """Its propose timeout, and the precommit timeout that follows a round without a decision."""

    async def scenario(world: World) -> None:
        await world.start()
        await trio.sleep(1)
        world.crash(world.nodes.index(world.node_of_proposer(1)), is_silent=True)
        sent_at = trio.current_time()
        world.load.send(at=world.running[0])
        await world.until_height(1)
        assert trio.current_time() - sent_at < 0.6 + 0.3 + 0.5
        assert world.checker.rounds == {1: 1}

    simulate(scenario, 1, 4)


def test_a_late_joiner_and_a_follower_sync_blocks() -> None:
    async def scenario(world: World) -> None:
        world.nodes[4].validates = False
        await world.start(0, 1, 2)
        for _ in range(30):
            world.load.send(at=world.nodes[0])
            await trio.sleep(0.25)
        await world.until_mined()
        height = world.nodes[0].height
        assert height > 10
        await world.start(3, 4)
        await world.until_height(height, seconds=5)  # there is no need for a new block
        world.load.send(at=world.nodes[4])
        await world.until_mined(seconds=5)

    simulate(scenario, 1, 5, founders=4)


def test_a_node_far_behind_after_a_partition_syncs_and_votes_again() -> None:
    """Consensus gives way to block sync, and takes over again without a gap."""

    async def scenario(world: World) -> None:
        await world.start()
        await trio.sleep(1)
        world.partition([0, 1, 2], [3])
        for _ in range(50):
            world.load.send(at=world.nodes[0])
            await trio.sleep(0.5)
        away = world.nodes[3]
        assert world.nodes[0].height > away.height + 20
        began = []
        host, sync = away.validator.host, away.validator.sync
        suspend, resume = host.suspend, host.resume
        host.suspend = lambda: (began.append("sync"), suspend())[1]  # type: ignore[method-assign,func-returns-value]
        host.resume = lambda: (began.append("consensus"), resume())[1]  # type: ignore[method-assign,func-returns-value]
        world.heal()
        await world.until_mined(seconds=20)
        await world.until(lambda: not sync.is_syncing, 10, "consensus again")
        assert began == ["sync", "consensus"], began
        world.crash(0)  # now the others are no quorum without it
        world.load.send(at=away)
        await world.until_mined(seconds=10)

    simulate(scenario, 1, 4)


def test_crashes_in_the_middle_of_a_sync_lose_whole_blocks_alone() -> None:
    """Blocks far from the end go to the disk several at a time: what is there afterwards is a chain all the same."""

    async def scenario(world: World) -> None:
        await world.start(0, 1, 2)
        for _ in range(100):
            world.load.send(at=world.nodes[0])
            await trio.sleep(0.45)
        await world.until_mined()
        late, height = world.nodes[3], world.nodes[0].height
        assert height > 55
        await world.start(3)
        seen = []
        for wanted in (2, 9, 16):
            await world.until(lambda wanted=wanted: late.height >= wanted, 10, "under way")  # type: ignore[misc]
            seen.append(late.height)
            assert late.store.batches  # something is not on the disk yet
            world.crash(3)
            await world.restart(3)
            seen.append(late.height)
        assert any(after < before for before, after in zip(seen[::2], seen[1::2], strict=True))
        await world.until_height(height, seconds=10)
        world.load.send(at=late)
        await world.until_mined(seconds=5)

    simulate(scenario, 1, 4)


# -- staking ---------------------------------------------------------------------------------------------------------

EPOCHS = {"epochSeconds": 3, "unbondingSeconds": 120, "windowCommits": 10, "windowSeconds": 2, "jailSeconds": 5}


def stake_call(signature: str, *arguments: Any) -> bytes:
    types = signature[signature.index("(") + 1 : -1]
    return keccak(signature.encode())[:4] + eth_abi.encode(types.split(","), arguments)


def register(world: World, node: FullNode, stake_ether: int, *, at: FullNode) -> None:
    """Make a node a candidate, from its operator's account."""
    key = node.consensus_key
    proof = prove_possession(key, CHAIN_ID, node.operator_key.address)
    data = stake_call("register(bytes,bytes,uint16,uint16)", key.public_key, proof, 0, 100)
    at.submit(transfer(node.operator_key, 0, STAKING, stake_ether * ETHER, data, 1_500_000))


def is_in_set(node: FullNode, consensus: Address) -> bool:
    return node.validator.app.epochs.at(node.height + 1).validators.index_of(consensus) is not None


def test_the_validator_set_changes_under_load() -> None:
    """A fifth validator bonds and signs; delegations to it outweigh one of the first, who leaves."""

    async def scenario(world: World) -> None:
        await world.start()
        world.nursery.start_soon(world.load.run, 60, 4.0)
        await trio.sleep(1)
        newcomer = world.nodes[4]
        register(world, newcomer, 100_000, at=world.nodes[0])
        await world.until(
            lambda: is_in_set(world.nodes[0], newcomer.consensus_key.address), 20, "the fifth is in the set"
        )
        world.crash(3)  # three of the old ones are no quorum of five
        height = world.nodes[0].height
        await world.until_height(height + 5, [0, 1, 2, 4], seconds=20)
        data = stake_call("delegate(address)", newcomer.operator_key.address)
        world.nodes[1].submit(transfer(world.accounts[7], 0, STAKING, 5_000 * ETHER, data, 500_000))
        undelegate = stake_call("undelegate(address,uint256)", world.nodes[1].operator_key.address, 2**256 - 1)
        world.nodes[1].submit(transfer(world.nodes[1].operator_key, 0, STAKING, 0, undelegate, 500_000))
        await world.restart(3)
        left = world.nodes[1].consensus_key.address
        await world.until(lambda: not is_in_set(world.nodes[0], left), 30, "the second has left the set")
        epoch = world.nodes[0].validator.app.epochs.at(world.nodes[0].height + 1)
        index = epoch.validators.index_of(newcomer.consensus_key.address)
        assert index is not None
        assert epoch.validators.powers[index] == max(epoch.validators.powers)
        await trio.sleep(10)
        await world.until_mined()

    run_with_spare_account(scenario, 1, 5, founders=4, staking=EPOCHS)


def run_with_spare_account(scenario: Callable[[World], Awaitable[None]], seed: int, count: int, **options: Any) -> None:
    """`simulate`, with the last account left to the scenario."""

    async def spare(world: World) -> None:
        world.load.nonces.pop()
        await scenario(world)

    simulate(spare, seed, count, **options)


def test_absent_validators_are_jailed_and_the_rest_go_on() -> None:
    async def scenario(world: World) -> None:
        await world.start()
        await trio.sleep(0.5)
        world.crash(6)
        gone = world.nodes[6].consensus_key.address
        world.nursery.start_soon(world.load.run, 60, 5.0)
        await world.until(lambda: not is_in_set(world.nodes[0], gone), 30, "the seventh is jailed")
        await world.until_mined()

    simulate(scenario, 1, 7, staking=EPOCHS)


def tombstoned(node: FullNode, operator: Address) -> bool:
    state = node.chain.view.snapshot
    found = read_validator(lambda address, slot: read_slot(state, address, slot), operator)
    return found is not None and found.tombstone is not None


# -- byzantine -------------------------------------------------------------------------------------------------------


def equivocate(node: FullNode, rng: Random, *, is_lazy: bool) -> None:
    """Have a node vote for something else as well, to everybody."""
    node.world.checker.byzantine.add(node.consensus_key.address)
    node.tamper = lambda validator: Equivocator(node, validator, rng, is_lazy=is_lazy).install()


@pytest.mark.parametrize("seed", SEEDS)
def test_an_equivocator_is_convicted_in_a_block_and_the_rest_go_on(seed: int) -> None:
    async def scenario(world: World) -> None:
        villain = world.nodes[2]
        equivocate(villain, Random(seed), is_lazy=seed % 2 == 1)
        await world.start()
        world.nursery.start_soon(world.load.run, 15, 4.0)
        await world.until(lambda: bool(world.checker.evidence), 30, "evidence in a block")
        honest = world.nodes[0]
        await world.until(lambda: tombstoned(honest, villain.operator_key.address), 5, "tombstoned")
        assert set(world.checker.evidence) == {villain.consensus_key.address}
        await trio.sleep(4)
        await world.until_mined()
        height = honest.height
        await trio.sleep(4)
        assert honest.height <= height + 2  # evidence that changes nothing makes no work

    simulate(scenario, seed, 4)


def test_a_validator_that_sends_garbage_is_cut_and_the_rest_go_on() -> None:
    async def scenario(world: World) -> None:
        villain = world.nodes[3]
        await world.start()
        await trio.sleep(0.5)
        world.checker.byzantine.add(villain.consensus_key.address)
        rng = Random(7)
        for _ in range(3):
            villain.validator.manager.broadcast(ConsensusMessage(rng.randbytes(100)))
            await trio.sleep(0.3)
        for node in world.nodes[:3]:
            assert villain.node_key.address not in node.validator.manager.peers
        for _ in range(5):
            world.load.send(at=world.nodes[0])
            await trio.sleep(0.3)
        await world.until(lambda: all(node.height >= world.checker.last_height() for node in world.nodes[:3]), 20)

    simulate(scenario, 1, 4)


def test_clocks_that_are_wrong_or_jump_back_stop_nothing() -> None:
    async def scenario(world: World) -> None:
        world.clock_error[0] = 3_600.0  # an hour fast: nobody takes its blocks, and it takes nobody's for fresh
        await world.start()
        world.nursery.start_soon(world.load.run, 12, 4.0)
        await trio.sleep(2)
        world.clock_error[1] = -0.4
        await trio.sleep(2)
        world.clock_error[1] = 0.0
        world.clock_error[0] = -3_600.0
        await trio.sleep(4)
        await world.until_mined()
        header = world.nodes[2].chain.head
        assert abs(header.timestamp - world.clock()) < 30

    simulate(scenario, 1, 4)


# -- one that disagrees ----------------------------------------------------------------------------------------------


def test_a_node_that_finds_a_decided_block_invalid_halts_and_the_rest_go_on() -> None:
    """Whether it meets the block in consensus or in block sync; and it does not vote when it is started again."""

    async def scenario(world: World) -> None:
        world.expects_failures = True
        odd = world.nodes[3]
        odd.tamper = lambda validator: setattr(validator.app, "validate", lambda candidate: "I do not like it")
        await world.start()
        await trio.sleep(1)
        for _ in range(6):
            world.load.send(at=world.nodes[0])
            await trio.sleep(0.5)
        await world.until_mined()
        assert isinstance(odd.failure, Halted) and not odd.is_running
        assert "invalid" in str(odd.failure) and odd.failure.hint
        assert odd.height < 2 < world.nodes[0].height
        await world.restart(3)
        await world.until(lambda: not odd.is_running, 10, "halted again")
        assert isinstance(odd.failure, Halted) and odd.life == 2 and odd.height < 2

    simulate(scenario, 1, 4)
