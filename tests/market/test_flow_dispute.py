"""Bad data, a frivolous complaint, an appeal: disputes through JSON-RPC. See docs/market/disputes.md."""

from __future__ import annotations

import os

import pytest

from dmchain.market import Market, errors, one_time
from dmchain.market.enums import EscrowState, Phase, Ruling
from dmchain.market.models import Publication, Purchase
from tests.market.judging import decide, draw_jury, execute, seats_of, vote
from tests.market.validating import make_validator, validator_stake
from tests.market.world import COIN, USD, World

IN_FULL = pytest.mark.skipif(os.environ.get("MARKET") != "full", reason="of make market-test")
BOND, SEAT_FEE, SEAT_STAKE = COIN, COIN // 10, COIN
FEES, APPEAL_FEES = 3 * SEAT_FEE, 7 * SEAT_FEE
DEPOSIT, APPEAL_DEPOSIT = BOND + FEES, 2 * BOND + APPEAL_FEES
"""Of a devnet's genesis: juries of 3 and 7."""
WRONG = SEAT_STAKE * 2_000 // 10_000
STAKES = [10 * COIN, 20 * COIN, 30 * COIN, 40 * COIN, 50 * COIN]


@pytest.fixture
def court(world: World) -> World:
    """Five jurors with different stakes."""
    for juror, stake in zip(world.jurors, STAKES, strict=False):
        juror.disputes.jurors.join(stake)
    return world


def owed(world: World, account: Market | str) -> int:
    """What the dispute contract owes an account, in wei."""
    address = account if isinstance(account, str) else account.address()
    return int(world.provider.call("DisputeResolution", "owed", address))


def assert_conserved(world: World, dispute_ids: list[int]) -> None:
    """Stakes, pots, deposits and debts of the contract are all that it has, to the unit."""
    read = world.provider.call
    treasury = read("DisputeResolution", "treasury")
    people = [*world.jurors, world.provider, world.consumer, world.second_consumer, world.third_consumer, treasury]
    stakes = sum(juror.disputes.jurors.member().stake for juror in world.jurors)
    cases = [world.stranger.disputes.get(each) for each in dispute_ids]
    deposits = sum(
        DEPOSIT + (APPEAL_DEPOSIT if case.is_appeal else 0) for case in cases if case.phase is not Phase.CLOSED
    )
    pots = sum(case.pot_left for case in cases)
    debts = sum(owed(world, each) for each in people)
    held = read("DisputeResolution", "held")
    assert stakes + deposits + pots + debts == held
    assert world.contract_balance("DisputeResolution", "DM") == held


def sell_bad_data(world: World) -> tuple[Publication, Purchase]:
    """Two have paid for good, 40 USD each; the consumer's 100 USD are in escrow."""
    listed = world.publish([one_time("100 USD", escrow="3d"), one_time("40 USD")])
    escrowed, settled = listed.offer_ids
    world.second_consumer.buy(settled)
    world.third_consumer.buy(settled)
    bought = world.consumer.buy(escrowed)
    world.sleep(1)
    return listed, bought


def assert_withdrawn(world: World, account: Market, amount: int) -> None:
    """Anybody fetches what the dispute contract owes the account, which then has it."""
    assert owed(world, account) == amount
    before = world.coins(account)
    world.stranger.transact("DisputeResolution", "withdrawFor", account.address())
    assert world.coins(account) == before + amount
    assert owed(world, account) == 0


def test_bad_data_is_paid_back_to_everybody_who_bought_it(court: World) -> None:
    world = court
    make_validator(world, world.provider, 200 * COIN)
    listed, bought = sell_bad_data(world)
    world.provider.stake.add(listed.dataset_id, "50 DM")

    # The consumer puts down bond and fees; its money stays where it is.
    case = world.consumer.disputes.open(bought.purchase_id, world.cid())
    assert world.contract_balance("DisputeResolution", "DM") == sum(STAKES) + DEPOSIT
    assert world.stranger.escrow.get(bought.escrow_id).state is EscrowState.FROZEN
    with pytest.raises(errors.NotOpen):
        world.consumer.confirm(bought.purchase_id)
    world.provider.disputes.respond(case.dispute_id, world.cid())
    with pytest.raises(errors.PhaseNotOver):
        world.stranger.disputes.summon(case.dispute_id)

    # Three seats by stake, a secret vote, one voice against the others if there is more than one.
    seats = seats_of(world, draw_jury(world, case.dispute_id))
    for juror, count in seats.items():
        assert juror.disputes.jurors.member().locked == count * SEAT_STAKE
    odd = next((juror for juror, count in seats.items() if count == 1 and len(seats) > 1), None)
    votes = {juror: "provider" if juror is odd else "consumer" for juror in seats}
    decided = vote(world, case.dispute_id, votes)
    assert (decided.phase, decided.ruling) == (Phase.DECIDED, Ruling.CONSUMER)
    with pytest.raises(errors.PhaseNotOver):
        world.stranger.disputes.execute(case.dispute_id)
    assert_conserved(world, [case.dispute_id])

    closed = execute(world, case.dispute_id)
    assert (closed.phase, closed.escrow_settled) == (Phase.CLOSED, True)

    # 80 coins' worth were paid for good, and 0.3 of fees spent: 50 from the listing, 30.3 from the validator's stake.
    assert closed.pot == 80 * COIN
    assert world.stranger.stake.of(listed.dataset_id) == 0
    assert validator_stake(world.provider) == 200 * COIN - (80 * COIN + FEES - 50 * COIN)
    assert_conserved(world, [case.dispute_id])

    # The escrow goes back, the licence has ended; bond and fees too.
    assert world.owed(world.consumer, "USD", "EscrowPayment") == 100 * USD
    assert not world.consumer.verify(listed.dataset_id).is_valid
    assert_withdrawn(world, world.consumer, DEPOSIT)

    # All harmed buyers, whoever asks for it.
    for buyer in (world.second_consumer, world.third_consumer):
        assert world.stranger.disputes.claimable(case.dispute_id, buyer.address()) == 40 * COIN
        before = world.coins(buyer)
        world.stranger.disputes.claim(case.dispute_id, buyer.address())
        assert world.coins(buyer) == before + 40 * COIN
    with pytest.raises(errors.AlreadyClaimed):
        world.stranger.disputes.claim(case.dispute_id, world.second_consumer.address())
    with pytest.raises(errors.NothingToClaim):
        world.consumer.disputes.claim(case.dispute_id)
    assert world.stranger.disputes.get(case.dispute_id).pot_left == 0

    # Jurors: the fees, and what the one who voted otherwise lost.
    pool = FEES + (WRONG if odd else 0)
    coherent = sum(count for juror, count in seats.items() if juror is not odd)
    for juror, count in seats.items():
        stake = STAKES[world.jurors.index(juror)]
        member = juror.disputes.jurors.member()
        assert (member.stake, member.locked) == (stake - (WRONG if juror is odd else 0), 0)
        if juror is not odd:
            assert_withdrawn(world, juror, pool // coherent * count)
    assert world.stranger.reputation(world.provider.address()).disputes_lost == 1
    assert world.stranger.reputation(world.provider.address()).score == 2_500
    assert_conserved(world, [case.dispute_id])


def test_a_frivolous_dispute_loses_its_bond(court: World) -> None:
    world = court
    listed, bought = sell_bad_data(world)
    world.provider.stake.add(listed.dataset_id, "50 DM")
    case = world.consumer.disputes.open(bought.purchase_id, world.cid())
    seats = decide(world, case.dispute_id, "provider")
    execute(world, case.dispute_id)

    assert owed(world, world.consumer) == 0
    assert_withdrawn(world, world.provider, BOND)
    for juror, count in seats.items():
        assert_withdrawn(world, juror, count * SEAT_FEE)
    assert world.stranger.stake.of(listed.dataset_id) == 50 * COIN
    assert world.stranger.escrow.get(bought.escrow_id).state is EscrowState.OPEN
    assert world.consumer.verify(listed.dataset_id).is_valid
    assert world.stranger.reputation(world.provider.address()).disputes_won == 1
    assert_conserved(world, [case.dispute_id])
    with pytest.raises(errors.AlreadyDisputed):
        world.consumer.disputes.open(bought.purchase_id, world.cid())
    # and the sale takes its course
    world.consumer.confirm(bought.purchase_id)
    assert world.owed(world.consumer, "USD", "EscrowPayment") == 0


def test_an_appeal_turns_a_wrong_ruling(court: World) -> None:
    world = court
    listed, bought = sell_bad_data(world)
    world.provider.stake.add(listed.dataset_id, "90 DM")
    case = world.consumer.disputes.open(bought.purchase_id, world.cid())
    first = decide(world, case.dispute_id, "provider")
    with pytest.raises(errors.NotTheLoser):
        world.provider.disputes.appeal(case.dispute_id, world.cid())
    appealed = world.consumer.disputes.appeal(case.dispute_id, world.cid())
    assert (appealed.phase, appealed.is_appeal) == (Phase.EVIDENCE, True)
    assert_conserved(world, [case.dispute_id])
    second = decide(world, case.dispute_id, "consumer")
    assert sum(second.values()) == 7
    with pytest.raises(errors.AlreadyAppealed):
        world.provider.disputes.appeal(case.dispute_id, world.cid())
    closed = execute(world, case.dispute_id)

    assert closed.ruling is Ruling.CONSUMER
    # The second jury's fees are the provider's to pay; the first jury earned none.
    assert world.stranger.stake.of(listed.dataset_id) == 90 * COIN - (80 * COIN + APPEAL_FEES)
    assert_withdrawn(world, world.consumer, DEPOSIT + APPEAL_DEPOSIT)
    for juror in world.jurors[:5]:
        lost = WRONG * first.get(juror, 0)
        assert juror.disputes.jurors.member().stake == STAKES[world.jurors.index(juror)] - lost
        assert owed(world, juror) == SEAT_FEE * second.get(juror, 0)
    treasury = world.provider.call("DisputeResolution", "treasury")
    assert owed(world, treasury) == 3 * WRONG
    assert world.owed(world.consumer, "USD", "EscrowPayment") == 100 * USD
    assert_conserved(world, [case.dispute_id])


@IN_FULL
def test_an_appeal_that_fails_pays_the_buyers(court: World) -> None:
    world = court
    listed, bought = sell_bad_data(world)
    world.provider.stake.add(listed.dataset_id, "90 DM")
    case = world.consumer.disputes.open(bought.purchase_id, world.cid())
    decide(world, case.dispute_id, "consumer")
    world.provider.disputes.appeal(case.dispute_id, world.cid())
    decide(world, case.dispute_id, "consumer")
    closed = execute(world, case.dispute_id)

    assert closed.pot == 80 * COIN + 2 * BOND
    assert owed(world, world.provider) == 0
    assert_withdrawn(world, world.consumer, DEPOSIT)
    before = world.coins(world.second_consumer)
    world.stranger.disputes.claim(case.dispute_id, world.second_consumer.address())
    assert world.coins(world.second_consumer) == before + 41 * COIN
    assert_conserved(world, [case.dispute_id])


@IN_FULL
def test_a_provider_who_concedes_spares_everybody_the_jury(court: World) -> None:
    world = court
    listed, bought = sell_bad_data(world)
    world.provider.stake.add(listed.dataset_id, "50 DM")
    case = world.consumer.disputes.open(bought.purchase_id, world.cid())
    world.provider.disputes.concede(case.dispute_id)
    closed = execute(world, case.dispute_id)
    assert (closed.ruling, closed.rounds, closed.pot) == (Ruling.CONSUMER, (), 50 * COIN)
    assert_withdrawn(world, world.consumer, DEPOSIT)
    # 50 of 80 coins: each gets 25
    assert world.stranger.disputes.claimable(case.dispute_id, world.third_consumer.address()) == 25 * COIN
    assert_conserved(world, [case.dispute_id])
