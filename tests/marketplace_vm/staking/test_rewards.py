"""Who is paid what, and that nobody gets more than was there."""

from __future__ import annotations

import pytest

from dmchain.chain.staking import STAKING
from dmchain.chain.staking.readers import read_totals
from dmchain.marketplace_vm.precompiles.staking_interface import WHOLE_STAKE
from tests.marketplace_vm.staking.rig import ETHER, StakingChain, account, founder

REWARD = 10**15


def rewards_of(chain: StakingChain, validator: str, delegator: str) -> int:
    rewards: int = chain.see("delegation", account(validator), account(delegator))[1]
    return rewards


def is_owed(chain: StakingChain, validator: str, delegator: str, expected: int) -> bool:
    """`expected` but for the wei that rounding leaves in the pool."""
    return expected - 2 <= rewards_of(chain, validator, delegator) <= expected


def alone(commission_bps: int = 0, **changes: int) -> StakingChain:
    """One validator, so that it proposes every block and its commits are always complete."""
    return StakingChain([founder("v0", 10 * ETHER, commission_bps)], block_reward=REWARD, **changes)


def test_a_block_pays_its_proposers_pool_after_commission() -> None:
    chain = alone(commission_bps=1_000)
    chain.block()
    assert chain.validator("v0").commission == REWARD // 10
    assert is_owed(chain, "v0", "v0", REWARD - REWARD // 10)
    assert read_totals(chain.get_storage).minted == REWARD
    chain.do("v0", "withdrawCommission")
    chain.do("v0", "withdrawRewards", account("v0"))
    dust = chain.validator("v0").rewards
    assert dust <= 1
    assert chain.machine.get_balance(STAKING) == 10 * ETHER + dust


def test_delegators_share_by_stake_from_the_next_epoch_on() -> None:
    chain = alone()
    chain.block()
    chain.do("dora", "delegate", account("v0"), value=30 * ETHER)
    chain.blocks(3)
    assert rewards_of(chain, "v0", "dora") == 0
    assert is_owed(chain, "v0", "v0", 4 * REWARD)
    chain.block(100)  # announces the next epoch
    assert is_owed(chain, "v0", "v0", 5 * REWARD)
    chain.blocks(4)
    assert is_owed(chain, "v0", "dora", 3 * REWARD)
    assert is_owed(chain, "v0", "v0", 6 * REWARD)
    assert chain.epoch_at(chain.number).validators.powers == (40 * 10**6,)


def test_delegating_just_before_a_large_reward_earns_nothing_of_it() -> None:
    """Tips of a proposer whose coinbase is the staking contract are shared by the whole pool."""
    chain = alone()
    chain.begin()
    chain.do("thief", "delegate", account("v0"), value=10**6 * ETHER)
    tip = 7 * ETHER
    chain.supply += tip
    chain.machine.set_balance(STAKING, chain.machine.get_balance(STAKING) + tip)
    chain.end()
    assert rewards_of(chain, "v0", "thief") == 0
    assert is_owed(chain, "v0", "v0", REWARD + tip)
    chain.do("thief", "undelegate", account("v0"), WHOLE_STAKE)
    chain.next_epoch()
    assert rewards_of(chain, "v0", "thief") == 0


def test_stake_added_and_taken_within_an_epoch_changes_nobody_elses_rewards() -> None:
    quiet, busy = alone(), alone()
    for chain in (quiet, busy):
        chain.do("dora", "delegate", account("v0"), value=5 * ETHER)
        chain.next_epoch()
    for _ in range(5):
        quiet.block()
        busy.begin()
        busy.do("thief", "delegate", account("v0"), value=100 * ETHER)
        busy.end()
    busy.do("thief", "undelegate", account("v0"), WHOLE_STAKE)
    for name in ("v0", "dora"):
        assert rewards_of(quiet, "v0", name) == rewards_of(busy, "v0", name) > 0


def test_whoever_leaves_keeps_what_it_earned_and_earns_no_more() -> None:
    chain = alone()
    chain.do("dora", "delegate", account("v0"), value=10 * ETHER)
    chain.next_epoch()
    chain.blocks(2)
    earned = rewards_of(chain, "v0", "dora")
    assert earned > 0
    chain.do("dora", "undelegate", account("v0"), WHOLE_STAKE)
    chain.blocks(3)
    assert rewards_of(chain, "v0", "dora") == earned
    chain.do("dora", "withdrawRewards", account("v0"))
    assert chain.fail("dora", "withdrawRewards", account("v0")) == ("NothingToWithdraw",)


def test_a_pool_that_nobody_earns_in_pays_its_operator() -> None:
    chain = alone(commission_bps=0)
    chain.do("v0", "undelegate", account("v0"), WHOLE_STAKE)
    chain.block()
    assert (chain.validator("v0").commission, chain.validator("v0").shares) == (REWARD, 0)
    chain.do("v0", "withdrawCommission")


@pytest.mark.parametrize("absent", [0, 1, 2])
def test_a_complete_last_commit_is_worth_twice_a_bare_one(absent: int) -> None:
    # 7 equal validators: a quorum is 4 2/3 of them
    chain = StakingChain(
        [founder(f"v{n}", 10 * ETHER) for n in range(7)], block_reward=REWARD, max_validators=7, max_candidates=7
    )
    chain.block()
    minted = read_totals(chain.get_storage).minted
    chain.block(absent=[f"v{n}" for n in range(absent)])
    gained = read_totals(chain.get_storage).minted - minted
    total, unit = 70 * 10**6, 10 * 10**6
    quorum = 2 * total // 3 + 1
    above = total - absent * unit - quorum
    expected = REWARD if absent == 0 else REWARD // 2 + (REWARD - REWARD // 2) * above // (total - quorum)
    assert gained == expected
    assert REWARD // 2 <= gained <= REWARD


def test_every_proposer_has_its_turn_by_stake() -> None:
    chain = StakingChain(
        [founder("big", 30 * ETHER), founder("small", 10 * ETHER)],
        block_reward=REWARD,
        epoch_seconds=10**6,
        unbonding_seconds=2 * 10**6,
    )
    chain.blocks(40)
    assert is_owed(chain, "big", "big", 30 * REWARD)
    assert is_owed(chain, "small", "small", 10 * REWARD)


def test_tiny_delegations_cannot_round_rewards_out_of_a_pool() -> None:
    chain = alone()
    names = [f"ant{n}" for n in range(20)]
    for name in names:
        chain.do(name, "delegate", account("v0"), value=1)
    chain.next_epoch()
    chain.blocks(5)
    # a wei of ten ether earns less than a wei of this reward: nothing
    assert {rewards_of(chain, "v0", name) for name in names} == {0}
    chain.do("v0", "withdrawRewards", account("v0"))
    dust = chain.validator("v0").rewards
    assert 0 < dust <= 2 * 20 * 8  # what the ants are owed, less than a wei each and block
    for name in names:
        chain.do(name, "undelegate", account("v0"), 1)
    assert chain.validator("v0").stake == 10 * ETHER


def test_forced_coin_goes_to_the_pools_not_to_share_prices() -> None:
    """Whoever would make shares dear by a gift (as in vault inflation) makes a gift."""
    chain = alone()
    chain.do("ant", "delegate", account("v0"), value=1)
    chain.supply += 10**6 * ETHER
    chain.machine.set_balance(STAKING, chain.machine.get_balance(STAKING) + 10**6 * ETHER)
    chain.block()
    found = chain.validator("v0")
    assert (found.stake, found.shares) == (10 * ETHER + 1, 10 * ETHER + 1)
    chain.do("dora", "delegate", account("v0"), value=3)
    assert chain.stake_of("v0", "dora") == 3


def test_rewards_survive_many_epochs_of_changes() -> None:
    chain = alone()
    chain.do("dora", "delegate", account("v0"), value=10 * ETHER)
    for step in range(6):
        chain.next_epoch()
        chain.block()
        if step % 2:
            chain.do("dora", "delegate", account("v0"), value=ETHER)
    total = rewards_of(chain, "v0", "dora") + rewards_of(chain, "v0", "v0")
    minted = read_totals(chain.get_storage).minted
    assert minted - 12 <= total <= minted
