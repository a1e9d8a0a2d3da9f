"""When sets change, who gets into them, and whose turn it is."""

from __future__ import annotations

from dmchain.chain.consensus.proposer import ProposerSchedule, carry_priorities
from dmchain.chain.staking.facts import EpochAnnounced
from dmchain.chain.staking.parameters import PRIORITY_STRIDE
from dmchain.chain.staking.readers import (
    read_consensus_params,
    read_epoch_at,
    read_epoch_end,
    read_epoch_key,
    read_parameters,
)
from dmchain.marketplace_vm.precompiles.staking_interface import WHOLE_STAKE
from tests.marketplace_vm.staking.rig import ETHER, GENESIS_TIME, StakingChain, account, founder


def test_genesis_is_epoch_0_and_signs_from_block_1_on() -> None:
    chain = StakingChain()
    epoch = chain.epoch_at(1)
    assert (epoch.number, epoch.first_height, epoch.start_time) == (0, 1, GENESIS_TIME)
    assert epoch.validators == chain.genesis.validator_set()
    assert epoch.hash == chain.genesis.validator_set().hash
    assert read_epoch_at(chain.get_storage, 0) is None
    assert read_parameters(chain.get_storage) == chain.parameters
    assert read_consensus_params(chain.get_storage) == chain.genesis.consensus
    assert read_epoch_end(chain.get_storage) == GENESIS_TIME + 100


def test_a_set_is_announced_by_the_block_that_ends_the_epoch_and_signs_two_heights_later() -> None:
    chain = StakingChain()
    chain.do("v0", "delegate", account("v0"), value=5 * ETHER)
    assert chain.block(99) == ()
    old = chain.epoch_at(1).hash
    (announced,) = chain.block(1)  # height 2
    assert isinstance(announced, EpochAnnounced)
    assert (announced.number, announced.first_height, announced.validators) == (1, 4, 4)
    assert announced.total_power == 45 * 10**6
    # the record of block 3, made on the state after block 2, says: 3 is signed by the old set, 4 by the new one
    assert chain.epoch_at(3).hash == old
    assert chain.epoch_at(4).hash == announced.validators_hash != old
    assert chain.block(50) == ()
    assert chain.epoch_at(4).number == 1
    assert read_epoch_end(chain.get_storage) == GENESIS_TIME + 200


def test_what_happens_after_the_announcement_waits_for_the_next_epoch() -> None:
    chain = StakingChain()
    chain.begin(100)
    chain.do("v0", "delegate", account("v0"), value=ETHER)  # in the announcing block: counts
    chain.end()
    chain.begin(1)
    chain.do("v1", "delegate", account("v1"), value=ETHER)  # in the block between: does not
    chain.end()
    epoch = chain.epoch_at(3)
    powers = dict(zip(epoch.operators, epoch.validators.powers, strict=True))
    assert (powers[account("v0")], powers[account("v1")]) == (11 * 10**6, 10 * 10**6)


def test_the_richest_are_chosen_and_ties_go_to_the_lower_address() -> None:
    chain = StakingChain(2, max_validators=3)
    for name, stake in (("a", 3), ("b", 3), ("c", 2), ("d", 11)):
        chain.register(name, stake * ETHER)
    chain.next_epoch()
    assert chain.names_at(chain.number + 1, ["v0", "v1", "a", "b", "c", "d"]) == {"v0", "v1", "d"}
    chain.do("v0", "undelegate", account("v0"), 8 * ETHER)
    chain.next_epoch()
    lower = min("ab", key=lambda name: chain.validator(name).consensus)
    assert chain.names_at(chain.number + 1, ["v0", "v1", "a", "b", "c", "d"]) == {"v1", "d", lower}


def test_the_old_set_goes_on_when_nobody_is_left_to_choose() -> None:
    chain = StakingChain()
    before = chain.epoch_at(1).validators
    for index in range(4):
        chain.do(f"v{index}", "undelegate", account(f"v{index}"), WHOLE_STAKE)
    chain.next_epoch()
    assert chain.epoch_at(chain.number + 1).validators == before


def test_epochs_are_time_and_sparse_blocks_make_one_epoch_each() -> None:
    chain = StakingChain()
    for number in range(1, 6):
        notices = chain.block(350)
        assert [notice.number for notice in notices if isinstance(notice, EpochAnnounced)] == [number]
    assert [chain.epoch_at(height).number for height in range(1, 7)] == [0, 0, 1, 2, 3, 4]


def test_sets_of_one_unbonding_period_are_kept_and_older_ones_forgotten() -> None:
    chain = StakingChain()  # 1000 s of 100 s: 14 sets
    hashes = {}
    for _ in range(30):
        chain.do("v0", "delegate", account("v0"), value=ETHER)
        chain.block(100)
        height = chain.number + 1
        hashes[height] = chain.epoch_at(height).hash
    known = [height for height in hashes if read_epoch_at(chain.get_storage, height) is not None]
    assert known == list(range(chain.number + 2 - 13, chain.number + 2))
    for height in known:
        assert chain.epoch_at(height).hash == hashes[height]
        assert read_epoch_key(chain.get_storage, height) is not None
    assert read_epoch_key(chain.get_storage, 2) is None


def test_proposers_are_those_of_one_schedule_per_epoch() -> None:
    """The state rolls priorities forward every 64 heights and over epochs; a schedule worked out from the beginning of
    each epoch says the same."""
    chain = StakingChain([founder(f"v{n}", (n + 1) * 3 * ETHER) for n in range(4)], epoch_seconds=150)
    expected: list[tuple[int, int]] = []
    priorities: tuple[int, ...] | None = None
    epoch = chain.epoch_at(1)
    schedule = ProposerSchedule(epoch.validators.powers, priorities)
    for height in range(1, 500):
        found = chain.epoch_at(height)
        if found.number != epoch.number:
            turns = found.first_height - epoch.first_height
            ended = dict(zip(
                [each.address for each in epoch.validators.validators], schedule.priorities_after(turns), strict=True
            ))  # fmt: skip
            priorities = carry_priorities(ended, found.validators)
            schedule = ProposerSchedule(found.validators.powers, priorities)
            epoch = found
        for round in (0, 3):
            assert found.proposer(height, round) == schedule.at(height - epoch.first_height + round)
        assert height - found.priority_height < PRIORITY_STRIDE + 2
        expected.append((epoch.number, schedule.at(height - epoch.first_height)))
        chain.begin(1)
        if height % 70 == 0:
            chain.do("v0", "delegate", account("v0"), value=height * ETHER)
        chain.end()
    assert epoch.number >= 3
    assert {index for _, index in expected} == {0, 1, 2, 3}


def test_newcomers_wait_for_their_turn_but_get_it() -> None:
    chain = StakingChain()
    chain.register("new", 10 * ETHER)
    chain.do("v3", "undelegate", account("v3"), WHOLE_STAKE)
    chain.next_epoch()
    epoch = chain.epoch_at(chain.number + 1)
    place = epoch.operators.index(account("new"))
    turns = [epoch.proposer(chain.number + 1 + ahead, 0) for ahead in range(12)]
    assert turns[0] != place and place in turns
