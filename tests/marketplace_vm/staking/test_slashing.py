"""Double signing: who pays, how much, once; and that stake on its way out or elsewhere pays too."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dmchain.chain.consensus.body import MAX_EVIDENCE
from dmchain.chain.primitives.errors import InvalidBlock
from dmchain.chain.staking.facts import Tombstoned
from dmchain.chain.staking.layout import Status
from dmchain.chain.staking.parameters import WAD
from dmchain.chain.staking.readers import is_punishable, read_totals
from dmchain.marketplace_vm.precompiles.staking_interface import WHOLE_STAKE
from tests.marketplace_vm.staking.rig import ETHER, StakingChain, account, founder

FIVE_PERCENT = WAD // 20


def twenty(**changes: Any) -> StakingChain:
    """Enough validators that one of them alone is slashed by the base fraction: 3 x 1/60 = 5 %."""
    founders = [founder(f"v{n}", (1 if n == 0 else 59) * 10 * ETHER // (1 if n == 0 else 19)) for n in range(20)]
    options = {"max_validators": 20, "max_candidates": 24, "reporter_bps": 0} | changes
    return StakingChain(founders, **options)


def punish(chain: StakingChain, *names: str, height: int | None = None) -> tuple[Tombstoned, ...]:
    """Report a double signing at `height`, by default in one more block, signed by the latest set."""
    if height is None:
        chain.block()
    at = chain.number if height is None else height
    evidence = [chain.double_vote(name, at) for name in names]
    notices = chain.block(proposer="v19", evidence=evidence)
    return tuple([notice for notice in notices if isinstance(notice, Tombstoned)])


def test_a_double_signer_loses_its_part_and_its_place_for_good() -> None:
    chain = twenty()
    chain.do("dora", "delegate", account("v0"), value=10 * ETHER)
    chain.next_epoch()
    (notice,) = punish(chain, "v0")
    assert notice.operator == account("v0") and notice.height == chain.number - 1
    share = 20 * 10**6 * WAD // chain.epoch_at(notice.height).validators.total
    assert notice.fraction == max(FIVE_PERCENT, 3 * share)
    assert notice.lost == 20 * ETHER * notice.fraction // WAD
    found = chain.validator("v0")
    assert found.status == Status.TOMBSTONED
    assert found.stake == 20 * ETHER - notice.lost
    # everybody in the pool lost the same part
    assert chain.stake_of("v0", "dora") == chain.stake_of("v0") == found.stake // 2
    assert read_totals(chain.get_storage).burned == notice.lost
    assert len(chain.epoch_at(chain.number + 1).operators) == 20  # the seat in the set stays until the epoch ends
    chain.next_epoch()
    assert chain.names_at(chain.number + 1, ["v0"]) == set()
    assert not chain.validator("v0").is_seated
    for call, arguments, value in (("unjail", [], 0), ("takeSeat", [bytes(20)], 0), ("delegate", [account("v0")], 1)):
        assert chain.fail("v0", call, *arguments, value=value)[0] == "ValidatorTombstoned"
    assert chain.fail("v1", "redelegate", account("v1"), account("v0"), 1)[0] == "ValidatorTombstoned"
    chain.do("dora", "undelegate", account("v0"), WHOLE_STAKE)


def test_evidence_counts_once() -> None:
    chain = twenty()
    chain.blocks(3)
    evidence = chain.double_vote("v0", 2)
    other = chain.double_vote("v0", 3)
    chain.block(proposer="v19", evidence=[evidence, evidence, other])
    burned = read_totals(chain.get_storage).burned
    assert len([notice for notice in chain.notices if isinstance(notice, Tombstoned)]) == 1
    assert not is_punishable(chain.get_storage, other, chain.number + 1, chain.now)
    chain.block(proposer="v19", evidence=[other])
    assert read_totals(chain.get_storage).burned == burned


def test_validators_caught_together_lose_more() -> None:
    chain = twenty()
    chain.block()
    notices = punish(chain, "v1", "v2", "v3", height=1)
    assert len(notices) == 3
    epoch = chain.epoch_at(1)
    powers = dict(zip(epoch.operators, epoch.validators.powers, strict=True))
    shares = [powers[account(name)] * WAD // epoch.validators.total for name in ("v1", "v2", "v3")]
    assert {notice.fraction for notice in notices} == {3 * sum(shares)}
    # a fourth within the unbonding period is measured with them; one after it is not
    (fourth,) = punish(chain, "v4", height=1)
    assert fourth.fraction == 3 * (sum(shares) + shares[0])
    for _ in range(11):
        chain.next_epoch()
    (late,) = punish(chain, "v5")
    assert FIVE_PERCENT <= late.fraction < 3 * sum(shares)


def test_a_third_of_the_power_loses_everything() -> None:
    chain = StakingChain(3, max_validators=3, max_candidates=6)
    chain.block()
    notices = chain.block(proposer="v2", evidence=[chain.double_vote("v0", 1)])
    (notice,) = [each for each in notices if isinstance(each, Tombstoned)]
    assert notice.fraction == 3 * (WAD // 3)
    punished = chain.block(proposer="v2", evidence=[chain.double_vote("v1", 1)])
    assert [each.fraction for each in punished if isinstance(each, Tombstoned)] == [WAD]
    assert chain.validator("v1").stake == 0
    assert chain.fail("v1", "undelegate", account("v1"), WHOLE_STAKE) == ("ZeroAmount",)


def test_the_proposer_that_reports_gets_its_part_but_not_for_itself() -> None:
    chain = twenty(reporter_bps=100)
    chain.block()
    (notice,) = punish(chain, "v0", height=1)
    assert notice.reward == notice.lost // 100
    assert chain.validator("v19").commission == notice.reward
    assert read_totals(chain.get_storage).burned == notice.lost - notice.reward
    chain.do("v19", "withdrawCommission")
    (own,) = punish(chain, "v19", height=1)
    assert own.reward == 0


def test_stake_that_left_after_the_set_was_chosen_pays_when_it_is_withdrawn() -> None:
    chain = twenty()
    chain.do("dora", "delegate", account("v0"), value=10 * ETHER)
    chain.do("early", "delegate", account("v0"), value=10 * ETHER)
    chain.next_epoch()
    chain.do("early", "undelegate", account("v0"), WHOLE_STAKE)
    before = chain.number + 1  # early has left after the set of this height was chosen: it counted in it
    chain.next_epoch()
    chain.do("dora", "undelegate", account("v0"), 4 * ETHER)
    stake = chain.validator("v0").stake
    (notice,) = punish(chain, "v0", height=before)
    # what left pays on its own; the pool pays for the rest of the stake of then, 30 ether
    assert notice.lost == 16 * ETHER * notice.fraction // WAD
    assert chain.validator("v0").stake == stake - notice.lost
    for name, amount in (("early", 10 * ETHER), ("dora", 4 * ETHER)):
        lost = -(-amount * notice.fraction // WAD)
        ((_, seen, _),) = chain.see("unbondings", account(name))
        assert seen == amount - lost
    chain.block(1_000)
    burned = read_totals(chain.get_storage).burned
    outcome = chain.do("early", "withdrawUnbonded")
    assert int.from_bytes(outcome.output, "big") == 10 * ETHER - -(-10 * ETHER * notice.fraction // WAD)
    assert read_totals(chain.get_storage).burned > burned


def test_stake_that_left_before_the_set_was_chosen_is_free() -> None:
    chain = twenty()
    chain.do("dora", "delegate", account("v0"), value=10 * ETHER)
    chain.next_epoch()
    chain.do("dora", "undelegate", account("v0"), WHOLE_STAKE)
    chain.next_epoch()
    (notice,) = punish(chain, "v0")
    assert notice.lost == 10 * ETHER * notice.fraction // WAD
    ((_, amount, _),) = chain.see("unbondings", account("dora"))
    assert amount == 10 * ETHER


def test_stake_that_leaves_after_the_punishment_does_not_pay_again() -> None:
    chain = twenty()
    chain.block()
    chain.begin(proposer="v19", evidence=[chain.double_vote("v0", 1)])
    left = chain.stake_of("v0")
    chain.do("v0", "undelegate", account("v0"), WHOLE_STAKE)  # in the very block
    chain.end()
    ((_, amount, _),) = chain.see("unbondings", account("v0"))
    assert amount == left


def test_redelegated_stake_pays_where_it_is_now() -> None:
    chain = twenty()
    chain.do("dora", "delegate", account("v0"), value=10 * ETHER)
    chain.do("dora", "delegate", account("v1"), value=2 * ETHER)
    chain.next_epoch()
    chain.do("dora", "redelegate", account("v0"), account("v1"), WHOLE_STAKE)
    (notice,) = punish(chain, "v0")
    lost = -(-10 * ETHER * notice.fraction // WAD)
    assert notice.lost == 10 * ETHER * notice.fraction // WAD  # of the founder's own ten, all that is left there
    before = chain.validator("v1").stake
    assert chain.stake_of("v1", "dora") == 12 * ETHER - lost
    chain.do("anybody", "settle", account("v1"), account("dora"))
    assert chain.validator("v1").stake == before - lost
    assert chain.stake_of("v1", "dora") == 12 * ETHER - lost
    chain.do("anybody", "settle", account("v1"), account("dora"))
    assert chain.validator("v1").stake == before - lost  # once
    # and it is free to go on
    chain.do("dora", "redelegate", account("v1"), account("v2"), WHOLE_STAKE)


def test_redelegating_and_leaving_at_once_does_not_escape() -> None:
    chain = twenty()
    chain.do("dora", "delegate", account("v0"), value=10 * ETHER)
    chain.do("dora", "delegate", account("v1"), value=2 * ETHER)
    chain.next_epoch()
    chain.do("dora", "redelegate", account("v0"), account("v1"), WHOLE_STAKE)
    chain.do("dora", "undelegate", account("v1"), 5 * ETHER)  # two of its own, three that answer for v0
    chain.do("dora", "undelegate", account("v1"), WHOLE_STAKE)
    (notice,) = punish(chain, "v0")
    lost = [-(-part * ETHER * notice.fraction // WAD) for part in (3, 7)]
    assert [each[1] for each in chain.see("unbondings", account("dora"))] == [5 * ETHER - lost[0], 7 * ETHER - lost[1]]
    # both validators may be at fault: what the first left over answers for the second
    (second,) = punish(chain, "v1")
    rest = [5 * ETHER - lost[0], 7 * ETHER - lost[1]]
    expected = [amount - -(-amount * second.fraction // WAD) for amount in rest]
    assert [each[1] for each in chain.see("unbondings", account("dora"))] == expected
    chain.block(1_000)
    outcome = chain.do("dora", "withdrawUnbonded")
    assert int.from_bytes(outcome.output, "big") == sum(expected)


def test_stake_redelegated_before_the_set_was_chosen_is_free() -> None:
    chain = twenty()
    chain.do("dora", "delegate", account("v0"), value=10 * ETHER)
    chain.next_epoch()
    chain.do("dora", "redelegate", account("v0"), account("v1"), WHOLE_STAKE)
    chain.next_epoch()
    punish(chain, "v0")
    chain.do("dora", "settle", account("v1"), account("dora"))
    assert chain.stake_of("v1", "dora") == 10 * ETHER


def test_splitting_a_withdrawal_does_not_lower_the_slash() -> None:
    chain = twenty()
    chain.do("dora", "delegate", account("v0"), value=15)
    chain.next_epoch()
    for _ in range(15):
        chain.do("dora", "undelegate", account("v0"), 1)
    punish(chain, "v0")
    assert {each[1] for each in chain.see("unbondings", account("dora"))} == {0}
    chain.block(1_000)
    chain.do("dora", "withdrawUnbonded")


def test_going_in_and_out_after_an_offence_does_not_spare_the_pool() -> None:
    """`left` grows with every wash, but each washed wei pays its part on the way out."""
    plain, washed = twenty(), twenty()
    for chain in (plain, washed):
        chain.block()
    for _ in range(3):
        washed.do("v0", "delegate", account("v0"), value=ETHER)
        washed.do("v0", "undelegate", account("v0"), ETHER)
    (first,), (second,) = punish(plain, "v0", height=1), punish(washed, "v0", height=1)
    total = second.lost
    washed.block(1_000)
    outcome = washed.do("v0", "withdrawUnbonded")
    total += 3 * ETHER - int.from_bytes(outcome.output, "big")
    assert total >= first.lost


def test_evidence_expires_with_the_last_stake_that_answers() -> None:
    chain = twenty()
    chain.block()
    evidence = chain.double_vote("v0", 1)
    start = chain.epoch_at(1).start_time
    chain.block(999)
    assert is_punishable(chain.get_storage, evidence, chain.number + 1, start + 1_000)
    assert not is_punishable(chain.get_storage, evidence, chain.number + 1, start + 1_001)
    chain.block(1_001, proposer="v19", evidence=[evidence])
    assert chain.validator("v0").status == Status.ACTIVE


def test_evidence_of_things_to_come_and_amnesia_have_no_effect() -> None:
    chain = twenty()
    chain.blocks(2)
    future = replace(chain.double_vote("v0", 2))
    ahead = replace(future, first=replace(future.first, height=99), second=replace(future.second, height=99))
    amnesia = chain.amnesia("v0", 2)
    chain.block(proposer="v19", evidence=[ahead, amnesia])
    assert chain.validator("v0").status == Status.ACTIVE
    strict = twenty(slash_amnesia=True)
    strict.blocks(2)
    strict.block(proposer="v19", evidence=[strict.amnesia("v0", 2)])
    assert strict.validator("v0").status == Status.TOMBSTONED


def test_too_much_evidence_or_an_unknown_index_makes_the_block_invalid() -> None:
    chain = twenty()
    chain.block()
    evidence = chain.double_vote("v0", 1)
    with pytest.raises(InvalidBlock, match="got 9 pieces, expected at most 8"):
        chain.begin(evidence=[evidence] * (MAX_EVIDENCE + 1))
    again = twenty()
    again.block()
    outside = replace(
        evidence, first=replace(evidence.first, validator=20), second=replace(evidence.second, validator=20)
    )
    with pytest.raises(InvalidBlock, match="got validator 20, expected below 20"):
        again.begin(evidence=[outside])


def test_a_jailed_validator_is_still_slashed() -> None:
    chain = twenty()
    chain.block()
    chain.blocks(12, absent=["v0"])
    chain.block(100)
    assert chain.validator("v0").status == Status.JAILED
    punish(chain, "v0", height=5)
    assert chain.validator("v0").status == Status.TOMBSTONED
    assert chain.fail("v0", "unjail")[0] == "ValidatorTombstoned"


def test_a_tombstoned_proposer_earns_nothing() -> None:
    chain = twenty(block_reward=10**15)
    chain.block()
    punish(chain, "v0", height=1)
    minted = read_totals(chain.get_storage).minted
    chain.block(proposer="v0")
    assert read_totals(chain.get_storage).minted == minted
    chain.block(proposer="v1")
    assert read_totals(chain.get_storage).minted > minted


def test_newcomers_share_the_loss_of_the_stake_of_then_but_do_not_add_to_it() -> None:
    chain = twenty()
    chain.block()
    chain.do("late", "delegate", account("v0"), value=30 * ETHER)
    (notice,) = punish(chain, "v0", height=1)
    assert notice.lost == 10 * ETHER * notice.fraction // WAD
    assert chain.stake_of("v0", "late") == 30 * ETHER * (40 * ETHER - notice.lost) // (40 * ETHER)


def test_stake_that_leaves_in_the_announcing_block_is_no_part_of_the_set_and_free() -> None:
    chain = twenty()
    chain.do("dora", "delegate", account("v0"), value=10 * ETHER)
    chain.do("dora", "delegate", account("v1"), value=10 * ETHER)
    chain.next_epoch()
    chain.begin(100)
    chain.do("dora", "undelegate", account("v0"), WHOLE_STAKE)
    chain.do("dora", "redelegate", account("v1"), account("v2"), WHOLE_STAKE)
    assert chain.end()  # announces the set, without that stake
    chain.block()
    punish(chain, "v0", "v1")
    assert chain.see("unbondings", account("dora"))[0][1] == 10 * ETHER
    assert chain.stake_of("v2", "dora") == 10 * ETHER


def test_a_proposer_that_is_punished_itself_is_paid_for_nobody() -> None:
    chain = twenty(reporter_bps=100)
    chain.block()
    notices = punish(chain, "v1", "v19", "v2", height=1)
    assert [notice.reward for notice in notices] == [0, 0, 0]
    assert chain.validator("v19").commission == 0


def test_the_tombstoned_cannot_be_jailed_back_to_life() -> None:
    chain = twenty()
    chain.block()
    punish(chain, "v0", height=1)
    chain.blocks(12, absent=["v0"])
    chain.block(100, absent=["v0"])
    assert chain.validator("v0").status == Status.TOMBSTONED
    assert chain.validator("v0").jailed_until == 0


def test_offences_count_together_for_exactly_one_unbonding_period() -> None:
    fractions = []
    for wait in (1_000, 1_001):
        chain = twenty()
        chain.block()
        punish(chain, "v1", height=1)
        offended = chain.now
        for _ in range(9):
            chain.block(100)
        chain.block(offended + wait - chain.now, evidence=[chain.double_vote("v2", chain.number)], proposer="v19")
        (second,) = [notice for notice in chain.notices[1:] if isinstance(notice, Tombstoned) and notice.height > 1]
        fractions.append(second.fraction)
    assert fractions[0] > fractions[1]


def test_taking_everything_out_of_a_slashed_pool_leaves_no_shares_behind() -> None:
    chain = twenty()
    chain.do("dora", "delegate", account("v0"), value=40)
    chain.next_epoch()
    (notice,) = punish(chain, "v0")
    value = chain.stake_of("v0", "dora")
    assert value == 37  # 40 shares at a little less than 0.95 wei
    chain.do("dora", "undelegate", account("v0"), value)
    assert chain.see("delegation", account("v0"), account("dora"))[2] == 0
    assert notice.fraction > FIVE_PERCENT
