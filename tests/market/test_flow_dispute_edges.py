"""Disputes about prepaid units, about data that was retired, and about a listing that was sold meanwhile."""

from __future__ import annotations

import os

import pytest

from dmchain.market import one_time, pay_per_compute
from dmchain.market.enums import EscrowState, Phase, Ruling
from tests.market.judging import decide, execute
from tests.market.world import COIN, USD, World

pytestmark = pytest.mark.skipif(os.environ.get("MARKET") != "full", reason="of make market-test")


def owed(world: World, account: object) -> int:
    """What the dispute contract owes a market's account, in wei."""
    return int(world.provider.call("DisputeResolution", "owed", account.address()))  # type: ignore[attr-defined]


def test_unused_units_go_back_and_used_ones_are_compensated(world: World) -> None:
    listed = world.publish([pay_per_compute("1 USD")])
    world.provider.stake.add(listed.dataset_id, "50 DM")
    world.jurors[0].disputes.jurors.join("10 DM")
    bought = world.consumer.buy(listed.offer_ids[0], 100)
    world.consumer.consume(listed.dataset_id, 30)
    world.sleep(1)
    case = world.consumer.disputes.open(bought.purchase_id, world.cid())
    assert world.stranger.escrow.get(bought.prepaid_id).state is EscrowState.FROZEN
    decide(world, case.dispute_id, "consumer")
    closed = execute(world, case.dispute_id)

    assert closed.escrow_settled
    assert world.owed(world.consumer, "USD", "EscrowPayment") == 70 * USD
    assert not world.consumer.verify(listed.dataset_id).is_valid
    # 30 units were paid out: so much comes from the stake
    before = world.coins(world.consumer)
    world.stranger.disputes.claim(case.dispute_id, world.consumer.address())
    assert world.coins(world.consumer) == before + 30 * COIN
    assert world.contract_balance("EscrowPayment") == 70 * USD


def test_data_retired_during_a_dispute_is_paid_back_by_either_and_once(world: World) -> None:
    listed = world.publish([one_time("100 USD", escrow="3d")])
    world.jurors[0].disputes.jurors.join("10 DM")
    bought = world.consumer.buy(listed.offer_ids[0])
    world.sleep(1)
    case = world.consumer.disputes.open(bought.purchase_id, world.cid())
    world.provider.retire(listed.dataset_id)
    world.stranger.escrow.refund_void(bought.escrow_id)
    decide(world, case.dispute_id, "consumer")
    closed = execute(world, case.dispute_id)
    assert (closed.phase, closed.escrow_settled) == (Phase.CLOSED, True)
    assert world.owed(world.consumer, "USD", "EscrowPayment") == 100 * USD
    assert world.contract_balance("EscrowPayment") == 100 * USD


def test_who_sold_the_data_answers_after_the_listing_was_sold(world: World) -> None:
    listed = world.publish([one_time("40 USD")])
    seller, heir = world.provider, world.creator
    seller.stake.add(listed.dataset_id, "50 DM")
    world.jurors[0].disputes.jurors.join("10 DM")
    bought = world.consumer.buy(listed.offer_ids[0])
    world.sleep(1)
    seller.transact("DataListing", "transferFrom", seller.address(), heir.address(), listed.token_id)
    heir.stake.add(listed.dataset_id, "70 DM")

    case = world.consumer.disputes.open(bought.purchase_id, world.cid())
    assert case.provider == seller.address()
    decide(world, case.dispute_id, "consumer")
    closed = execute(world, case.dispute_id)
    assert (closed.ruling, closed.pot) == (Ruling.CONSUMER, 40 * COIN)
    assert (
        world.stranger.stake.position(listed.dataset_id, seller.address()).active
        == 50 * COIN - 40 * COIN - 3 * COIN // 10
    )
    assert world.stranger.stake.position(listed.dataset_id, heir.address()).active == 70 * COIN
    assert world.stranger.reputation(seller.address()).disputes_lost == 1
    assert world.stranger.reputation(heir.address()).disputes_lost == 0


def test_without_a_jury_the_deposit_goes_back_and_the_sale_goes_on(world: World) -> None:
    listed = world.publish([one_time("100 USD", escrow="3d")])
    bought = world.consumer.buy(listed.offer_ids[0])
    world.sleep(1)
    case = world.consumer.disputes.open(bought.purchase_id, world.cid())
    world.sleep_until(case.summon_ends)
    world.stranger.disputes.summon(case.dispute_id)
    world.mine(2)
    closed = world.stranger.disputes.draw(case.dispute_id)
    assert (closed.phase, closed.ruling) == (Phase.CLOSED, Ruling.NONE)
    assert owed(world, world.consumer) == COIN + 3 * COIN // 10
    assert world.stranger.escrow.get(bought.escrow_id).state is EscrowState.OPEN
    world.consumer.confirm(bought.purchase_id)
    assert world.owed(world.provider) == 97_500_000
