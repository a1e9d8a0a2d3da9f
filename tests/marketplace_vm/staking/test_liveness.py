"""Downtime: the window, the jail, the way out, and what a mass outage must not do."""

from __future__ import annotations

import pytest

from dmchain.chain.primitives.errors import InvalidBlock
from dmchain.chain.staking.facts import ConsensusFacts, Jailed
from dmchain.chain.staking.hooks import process_block_start
from dmchain.chain.staking.layout import Status
from tests.marketplace_vm.staking.rig import ETHER, StakingChain, account, founder


def seven(**changes: int) -> StakingChain:
    """Seven validators, of whom one is within the sixth that may be jailed in an epoch."""
    names = [founder(f"v{n}", 10 * ETHER) for n in range(7)]
    return StakingChain(names, max_validators=7, max_candidates=8, **changes)


def names(chain: StakingChain) -> set[str]:
    return chain.names_at(chain.number + 1, [f"v{n}" for n in range(7)])


def test_who_signs_less_than_half_of_a_window_is_jailed_when_the_epoch_ends() -> None:
    chain = seven()
    chain.block()
    chain.blocks(11, 2, absent=["v3"])
    assert chain.validator("v3").missed == 11
    chain.block(30, absent=["v3"])
    assert chain.validator("v3").status == Status.ACTIVE
    notices = chain.block(60, absent=["v3"])
    jailed = [notice for notice in notices if isinstance(notice, Jailed)]
    assert jailed == [Jailed(account("v3"), 0, 13, chain.now + 200)]
    assert chain.validator("v3").status == Status.JAILED
    assert chain.validator("v3").stake == 10 * ETHER  # downtime costs nothing but earnings
    assert len(chain.epoch_at(chain.number + 1).operators) == 7  # the set of the epoch stays
    chain.block(1, absent=["v3"])
    assert names(chain) == {f"v{n}" for n in range(7)} - {"v3"}


@pytest.mark.parametrize(("missed", "is_jailed"), [(6, False), (7, True)])
def test_half_is_enough(missed: int, is_jailed: bool) -> None:
    chain = seven()
    chain.block()
    chain.blocks(missed, absent=["v3"])
    chain.blocks(11 - missed)
    chain.block(100)  # height 13: 12 commits are counted
    assert (chain.validator("v3").status == Status.JAILED) == is_jailed


def test_a_window_is_not_judged_before_both_commits_and_time_have_passed() -> None:
    few_commits = seven()
    few_commits.block()
    few_commits.blocks(9, 1, absent=["v3"])
    few_commits.block(100, absent=["v3"])  # height 11: 10 commits, but the set was announced with less
    assert few_commits.validator("v3").status == Status.JAILED  # exactly window_commits
    sparse = seven()
    sparse.block()
    sparse.blocks(8, 1, absent=["v3"])
    sparse.block(100, absent=["v3"])
    assert sparse.validator("v3").status == Status.ACTIVE
    assert sparse.validator("v3").missed == 9  # goes on into the next epoch
    quick = seven(window_seconds=1_000)
    quick.block()
    quick.blocks(20, 1, absent=["v3"])
    quick.block(100, absent=["v3"])
    assert quick.validator("v3").status == Status.ACTIVE
    quick.block(900, absent=["v3"])
    assert quick.validator("v3").status == Status.JAILED


def test_jail_is_left_on_request_when_the_time_has_come() -> None:
    chain = seven()
    chain.block()
    chain.blocks(11, absent=["v3"])
    chain.block(100, absent=["v3"])
    until = chain.validator("v3").jailed_until
    assert chain.fail("v3", "unjail") == ("StillJailed", "0x" + account("v3").hex(), until)
    assert chain.fail("v2", "unjail")[0] == "NotJailed"
    assert chain.fail("nobody", "unjail")[0] == "UnknownValidator"
    chain.block(until - chain.now - 1)
    assert chain.fail("v3", "unjail")[0] == "StillJailed"
    chain.block(1)
    chain.do("v3", "undelegate", account("v3"), 9 * ETHER + 1)
    assert chain.fail("v3", "unjail")[0] == "SelfStakeTooLow"
    chain.do("v3", "delegate", account("v3"), value=ETHER)
    chain.do("v3", "unjail")
    assert chain.fail("v3", "unjail")[0] == "NotJailed"
    chain.next_epoch()
    assert "v3" in names(chain)
    assert chain.validator("v3").missed == 0
    assert chain.validator("v3").window_height == chain.number + 1


def test_a_jailed_validator_is_not_chosen_until_it_asks() -> None:
    chain = seven()
    chain.block()
    chain.blocks(11, absent=["v3"])
    for _ in range(3):
        chain.next_epoch()
        assert "v3" not in names(chain)
    assert chain.validator("v3").is_seated


def test_a_mass_outage_jails_at_most_a_sixth_of_the_power() -> None:
    founders = [founder(f"v{n}", (20 if n == 1 else 10) * ETHER) for n in range(7)]
    chain = StakingChain(founders, max_validators=7, max_candidates=8)
    chain.block()
    chain.blocks(8, absent=["v1", "v2", "v3"])
    chain.blocks(3, absent=["v1", "v3"])
    chain.block(100)
    # v1 (a quarter) does not fit; v3 missed more than v2 and does; then nothing is left for v2
    statuses = {name: chain.validator(name).status for name in ("v1", "v2", "v3")}
    assert statuses == {"v1": Status.ACTIVE, "v2": Status.ACTIVE, "v3": Status.JAILED}


@pytest.mark.parametrize(("size", "is_jailed"), [(3, False), (4, True), (5, True), (6, True)])
def test_small_sets_jail_one_that_is_absent_alone(size: int, is_jailed: bool) -> None:
    """With fewer than six equal validators each weighs more than a sixth; of three each weighs a third, and without it
    there would have been no block to count."""
    chain = StakingChain(size, max_validators=6)
    chain.block()
    chain.blocks(20, 10, absent=["v1"])
    assert (chain.validator("v1").status == Status.JAILED) == is_jailed


@pytest.mark.parametrize("size", [4, 5])
def test_small_sets_jail_nobody_when_two_are_absent(size: int) -> None:
    """They would have had to take turns for blocks to be there at all."""
    chain = StakingChain(size, max_validators=6)
    chain.block()
    for _ in range(10):
        chain.block(10, absent=["v1", "v2"])
    assert {chain.validator(f"v{n}").status for n in range(size)} == {Status.ACTIVE}


def test_small_sets_jail_one_an_epoch_until_three_are_left() -> None:
    chain = StakingChain(5, max_validators=6)
    chain.block()
    chain.blocks(20, 10, absent=["v1"])
    chain.blocks(20, 10, absent=["v2"])
    chain.blocks(20, 10, absent=["v3"])
    statuses = [chain.validator(f"v{n}").status for n in range(5)]
    assert statuses == [Status.ACTIVE, Status.JAILED, Status.JAILED, Status.ACTIVE, Status.ACTIVE]
    assert len(chain.epoch_at(chain.number + 1).operators) == 3


def test_facts_that_do_not_fit_the_state_make_the_block_invalid() -> None:
    chain = seven()
    chain.block()
    chain.begin()
    good = chain.facts
    assert good is not None and good.last_commit is not None
    chain.end()
    wrong_height = good  # the commit of height 1, again
    number, time = chain.number + 1, chain.now
    nobody = ConsensusFacts(account("nobody"), None)
    for facts, text in (
        (wrong_height, "last commit: got height 1, expected 2"),
        (nobody, "not a registered validator"),
        (ConsensusFacts(good.proposer, None), "last commit: missing"),
    ):
        with pytest.raises(InvalidBlock, match=text):
            process_block_start(chain.state, number, time, facts)
    for wrong in (0, 6, 8):
        commit = type(good.last_commit)(2, 0, good.last_commit.block_hash, (bytes(65),) * wrong)
        with pytest.raises(InvalidBlock, match=f"got {wrong} validators, expected 7"):
            process_block_start(chain.state, number, time, ConsensusFacts(good.proposer, commit))
