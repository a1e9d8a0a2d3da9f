"""Five operators measure a data set, one lies, one is silent: through JSON-RPC. See docs/market/quality.md."""

from __future__ import annotations

import pytest

from dmchain.market import Market, errors, one_time
from dmchain.market.enums import RequestStatus
from dmchain.market.models import QualityCheck
from tests.market.world import COIN, World

FEE = 3 * COIN
STAKE, SEAT_STAKE = 10 * COIN, COIN
OUTLIER, SILENT = SEAT_STAKE * 2_000 // 10_000, SEAT_STAKE * 1_000 // 10_000
"""What a lie and silence cost on a devnet."""
METRIC = "completeness"


@pytest.fixture
def dataset(world: World) -> str:
    """A listed data set, and five operators with ten coins each."""
    world.join(world.operators[:5], "10 DM")
    return world.publish([one_time("10 USD")]).dataset_id


def owed(world: World, account: Market | str) -> int:
    """What the oracle owes an account, in wei."""
    address = account if isinstance(account, str) else account.address()
    return int(world.provider.call("QualityOracle", "owed", address))


def assert_conserved(world: World, open_fees: int = 0) -> None:
    """Stakes, fees of open requests and debts are all that the oracle has, to the unit."""
    read = world.provider.call
    people = [*world.operators, world.consumer, read("QualityOracle", "treasury")]
    stakes = sum(operator.quality.operators.member().stake for operator in world.operators)
    held = read("QualityOracle", "held")
    assert stakes + open_fees + sum(owed(world, each) for each in people) == held
    assert world.contract_balance("QualityOracle", "DM") == held


def ask(world: World, dataset: str, fee: int = FEE) -> QualityCheck:
    """The consumer asks; anybody draws the panel when the block that decides is there."""
    asked = world.consumer.quality.request(dataset, METRIC, fee=fee)
    assert asked.status is RequestStatus.REQUESTED
    assert_conserved(world, fee)
    with pytest.raises(errors.NotFound):
        world.stranger.quality.draw(asked.request_id)
    world.mine(2)
    return world.stranger.quality.draw(asked.request_id)


def answer(world: World, request_id: int, scores: dict[Market, int]) -> None:
    """Commit all, then reveal all; whoever is on the panel and not in `scores` is silent."""
    for operator, score in scores.items():
        operator.quality.commit(request_id, score)
    check = world.stranger.quality.get(request_id)
    if check.status is RequestStatus.COMMITTING:
        with pytest.raises(errors.PeriodNotOver):
            next(iter(scores)).quality.reveal(request_id, 0)
        world.sleep_until(check.commit_ends)
    for operator, score in scores.items():
        operator.quality.reveal(request_id, score)


def test_five_operators_one_liar_one_silent(world: World, dataset: str) -> None:
    check = ask(world, dataset)
    first, second, third, liar, silent = world.operators[:5]
    # the owner and who asks are never on it; five operators, five seats
    assert {each.operator for each in check.answers} == {each.address() for each in world.operators[:5]}
    assert all(each.quality.operators.member().locked == SEAT_STAKE for each in world.operators[:5])
    answer(world, check.request_id, {first: 9_000, second: 9_200, third: 8_900, liar: 1_000})
    done = world.stranger.quality.fulfill(check.request_id)

    # 1000, 8900, 9000, 9200: the mean of the two in the middle
    assert (done.status, done.score, done.coherent) == (RequestStatus.FULFILLED, 8_950, 3)
    score = world.stranger.quality.score(dataset, METRIC)
    assert (score.score, score.measured_at, score.answers) == (8_950, check.drawn_at, 3)

    members = [each.quality.operators.member() for each in world.operators[:5]]
    assert [each.stake for each in members] == [STAKE] * 3 + [STAKE - OUTLIER, STAKE - SILENT]
    assert [each.locked for each in members] == [0] * 5
    treasury = world.provider.call("QualityOracle", "treasury")
    assert owed(world, treasury) == OUTLIER + SILENT
    assert_conserved(world)

    # the fee is the three honest operators'
    for operator in (first, second, third):
        assert owed(world, operator) == FEE // 3
        before = world.coins(operator)
        world.stranger.transact("QualityOracle", "withdrawFor", operator.address())
        assert world.coins(operator) == before + FEE // 3
    assert [owed(world, each) for each in (liar, silent, world.consumer)] == [0, 0, 0]
    assert_conserved(world)


def test_answers_that_do_not_agree_make_no_score_and_the_fee_goes_back(world: World, dataset: str) -> None:
    check = ask(world, dataset)
    answer(world, check.request_id, dict(zip(world.operators[:5], (0, 2_500, 5_000, 7_500, 10_000), strict=True)))
    done = world.stranger.quality.fulfill(check.request_id)
    assert done.status is RequestStatus.FAILED
    assert world.stranger.quality.score(dataset, METRIC).measured_at == 0
    assert all(each.quality.operators.member().stake == STAKE for each in world.operators[:5])
    before = world.coins(world.consumer)
    world.stranger.transact("QualityOracle", "withdrawFor", world.consumer.address())
    assert world.coins(world.consumer) == before + FEE
    assert_conserved(world)


def test_two_silent_operators_are_too_few_to_hinder_a_quorum_and_three_are_enough(world: World, dataset: str) -> None:
    check = ask(world, dataset)
    answer(world, check.request_id, dict.fromkeys(world.operators[:3], 7_000))
    assert world.stranger.quality.fulfill(check.request_id).score == 7_000

    again = ask(world, dataset)
    answer(world, again.request_id, dict.fromkeys(world.operators[:2], 1_000))
    assert world.stranger.quality.fulfill(again.request_id).status is RequestStatus.FAILED
    assert world.stranger.quality.score(dataset, METRIC).score == 7_000
    stakes = [each.quality.operators.member().stake for each in world.operators[:5]]
    assert stakes == [STAKE] * 2 + [STAKE - SILENT] + [STAKE - 2 * SILENT] * 2
    assert_conserved(world)


def test_without_enough_operators_the_fee_goes_back_at_the_draw(world: World) -> None:
    world.join(world.operators[:2], "10 DM")
    dataset = world.publish([one_time("10 USD")]).dataset_id
    failed = ask(world, dataset)
    assert (failed.status, failed.answers) == (RequestStatus.FAILED, ())
    assert owed(world, world.consumer) == FEE
    assert_conserved(world)


def test_operators_leave_after_a_delay_and_when_their_seats_are_settled(world: World, dataset: str) -> None:
    check = ask(world, dataset)
    leaver = world.operators[0]
    leaving = leaver.quality.operators.leave()
    assert not leaving.is_member
    with pytest.raises(errors.TooEarly):
        leaver.quality.operators.withdraw_stake()
    answer(world, check.request_id, dict.fromkeys(world.operators[:5], 6_000))
    world.sleep_until(leaving.leaves_at)
    with pytest.raises(errors.StakeLocked):
        leaver.quality.operators.withdraw_stake()
    world.stranger.quality.fulfill(check.request_id)
    before = world.coins(leaver)
    receipt = leaver.quality.operators.withdraw_stake()
    assert world.coins(leaver) == before + STAKE - receipt.fee
    assert leaver.quality.operators.member().owed == FEE // 5
    assert_conserved(world)
