"""A subscription: bought, run out, renewed, cancelled, sponsored; every period paid to the unit.

See docs/market/subscription.md. Subscriptions paid by the second are in test_flow_stream.py.
"""

from __future__ import annotations

import pytest

from dmchain.market import errors, subscription
from dmchain.market.enums import LicenseStatus
from dmchain.market.models import Publication
from tests.market.world import DAY, USD, World

PERIOD = 30 * DAY
PRICE = 30 * USD
FEE = PRICE * 250 // 10_000
NET = PRICE - FEE


def list_subscription(world: World, **more: object) -> Publication:
    return world.publish([subscription("30 USD", period="30d", **more)])  # type: ignore[arg-type]


def assert_books(world: World, escrowed: int, earned: int) -> None:
    assert world.contract_balance("EscrowPayment") == escrowed
    assert world.contract_balance("LicenseManager") == earned


def test_bought_run_out_and_renewed(world: World) -> None:
    consumer, provider = world.consumer, world.provider
    listed = list_subscription(world)
    before = world.tokens(consumer)
    bought = consumer.subscribe(listed.dataset_id, 2)
    assert world.tokens(consumer) == before - 2 * PRICE
    # The first period is earned, the second waits until it begins.
    assert_books(world, escrowed=PRICE, earned=PRICE)
    assert world.owed(provider) == NET
    term = consumer.term(bought.term_id)
    licence = consumer.verify(listed.dataset_id)
    assert licence.expires_at == term.starts_at + 2 * PERIOD

    with pytest.raises(errors.NothingLeft):
        provider.collect(bought.term_id)
    world.sleep_until(term.starts_at + PERIOD)
    world.stranger.collect(bought.term_id)
    assert_books(world, escrowed=0, earned=2 * PRICE)
    assert world.owed(provider) == 2 * NET

    world.sleep_until(term.starts_at + 2 * PERIOD)
    assert consumer.verify(listed.dataset_id).status is LicenseStatus.EXPIRED
    again = consumer.renew(listed.dataset_id)
    assert again.term_id == again.purchase_id != bought.term_id
    assert consumer.verify(listed.dataset_id).is_valid
    assert world.tokens(consumer) == before - 3 * PRICE
    assert_books(world, escrowed=0, earned=3 * PRICE)
    before = world.tokens(provider)
    provider.payouts.withdraw()
    assert world.tokens(provider) == before + 3 * NET
    assert_books(world, escrowed=0, earned=3 * FEE)


def test_a_renewal_in_time_prolongs_without_a_gap(world: World) -> None:
    consumer = world.consumer
    listed = list_subscription(world)
    bought = consumer.subscribe(listed.dataset_id)
    end = consumer.verify(listed.dataset_id).expires_at
    renewed = consumer.renew(listed.dataset_id, 2)
    assert renewed.term_id == bought.term_id
    assert consumer.verify(listed.dataset_id).expires_at == end + 2 * PERIOD
    assert_books(world, escrowed=2 * PRICE, earned=PRICE)


def test_cancelling_returns_the_periods_that_have_not_begun(world: World) -> None:
    consumer = world.consumer
    listed = list_subscription(world)
    before = world.tokens(consumer)
    bought = consumer.subscribe(listed.dataset_id, 4)
    start = consumer.term(bought.term_id).starts_at
    world.sleep_until(start + PERIOD + DAY)
    with pytest.raises(errors.NotParty):
        world.stranger.cancel(bought.term_id)
    consumer.cancel(bought.term_id)
    assert world.owed(consumer, contract="EscrowPayment") == 2 * PRICE
    assert consumer.verify(listed.dataset_id).expires_at == start + 2 * PERIOD
    assert consumer.verify(listed.dataset_id).is_valid

    consumer.payouts.withdraw()
    assert world.tokens(consumer) == before - 2 * PRICE
    world.provider.collect(bought.term_id)
    assert world.owed(world.provider) == 2 * NET
    assert_books(world, escrowed=0, earned=2 * PRICE)
    world.sleep_until(start + 2 * PERIOD)
    assert consumer.verify(listed.dataset_id).status is LicenseStatus.EXPIRED


def test_the_first_period_can_be_tried_in_escrow(world: World) -> None:
    consumer = world.consumer
    listed = list_subscription(world, escrow="3d")
    before = world.tokens(consumer)
    bought = consumer.subscribe(listed.dataset_id, 3)
    assert_books(world, escrowed=3 * PRICE, earned=0)
    # The provider gives the first period back: the licence ends, and the rest goes back as well.
    world.provider.refund(bought.purchase_id)
    assert not consumer.verify(listed.dataset_id).is_valid
    world.stranger.cancel(bought.term_id)
    consumer.payouts.withdraw()
    assert world.tokens(consumer) == before
    assert_books(world, escrowed=0, earned=0)


def test_what_a_sponsor_paid_ahead_makes_room_for_the_licensees_own(world: World) -> None:
    sponsor, consumer = world.second_consumer, world.consumer
    listed = list_subscription(world)
    offer = listed.offer_ids[0]
    before = world.tokens(sponsor)
    first = sponsor.subscribe(listed.dataset_id, 3, licensee=consumer.address())
    with pytest.raises(errors.LicenseHeld):
        world.third_consumer.buy(offer, licensee=consumer.address())
    own = consumer.buy(offer, 2)
    assert own.term_id != first.term_id
    start = consumer.term(first.term_id).starts_at
    assert consumer.verify(listed.dataset_id).expires_at == start + 3 * PERIOD
    sponsor.payouts.withdraw()
    assert world.tokens(sponsor) == before - PRICE
    assert_books(world, escrowed=2 * PRICE, earned=PRICE)


def test_giving_up_ends_the_licence_and_settles_the_account(world: World) -> None:
    consumer = world.consumer
    listed = list_subscription(world)
    before = world.tokens(consumer)
    consumer.subscribe(listed.dataset_id, 5)
    world.sleep(PERIOD)
    consumer.renounce(listed.dataset_id)
    assert consumer.verify(listed.dataset_id).status is LicenseStatus.REVOKED
    consumer.payouts.withdraw()
    assert world.tokens(consumer) == before - 2 * PRICE
    assert_books(world, escrowed=0, earned=2 * PRICE)
