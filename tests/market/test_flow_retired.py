"""A data set withdrawn: existing licences behave as its terms say, there are no new ones, what is not earned goes back.

See docs/market/retirement.md.
"""

from __future__ import annotations

import pytest

from dmchain.market import errors, one_time, pay_per_compute, subscription
from dmchain.market.enums import DatasetStatus, LicenseStatus, RetirementTerms
from dmchain.market.models import Publication
from tests.market.world import DAY, USD, World

PERIOD = 30 * DAY
ONCE, MONTHLY, UNIT = 100 * USD, 30 * USD, 2 * USD
FEE_BPS = 250


def net_of(amount: int) -> int:
    return amount - amount * FEE_BPS // 10_000


def list_all_kinds(world: World, on_retirement: RetirementTerms) -> Publication:
    offers = [
        one_time("100 USD"),
        one_time("100 USD", escrow="3d"),
        subscription("30 USD", period="30d"),
        pay_per_compute("2 USD"),
    ]
    return world.publish(offers, on_retirement=on_retirement)


def test_retired_for_legal_reasons_licences_end_and_what_is_not_earned_goes_back(world: World) -> None:
    listed = list_all_kinds(world, RetirementTerms.END_AND_REFUND)
    settled, escrowed, monthly, metered = listed.offer_ids
    owner, in_escrow, subscriber, computing = (world.market(at) for at in (2, 3, 7, 8))
    before = {each: world.tokens(each) for each in (owner, in_escrow, subscriber, computing)}
    owner.buy(settled)
    bought = in_escrow.buy(escrowed)
    subscribed = subscriber.buy(monthly, 3)
    prepaid = computing.buy(metered, 10)
    computing.consume(listed.dataset_id, 4)
    streaming = world.stranger
    stream_before = world.tokens(streaming)
    stream = streaming.streams.start(monthly, deposit="30 USD")

    world.provider.retire(listed.dataset_id)

    assert world.stranger.show(listed.dataset_id).dataset.status is DatasetStatus.RETIRED
    for each in (owner, in_escrow, subscriber, computing, streaming):
        assert each.verify(listed.dataset_id).status is LicenseStatus.DATASET_RETIRED
    for offer in listed.offer_ids:
        with pytest.raises(errors.NotAvailable):
            world.third_consumer.buy(offer)
    with pytest.raises(errors.NotAvailable):
        world.provider.gift(listed.dataset_id, world.market(9).address())

    # Anyone may send the money back, and the payers fetch it.
    anyone = world.market(9)
    anyone.escrow.refund_void(bought.escrow_id)
    anyone.cancel(subscribed.term_id)
    anyone.refund_units(prepaid.term_id)
    stopped = anyone.streams.stop_void(stream.stream_id)
    for each in (in_escrow, subscriber, computing, streaming):
        anyone.payouts.withdraw(each.address())
    assert world.tokens(owner) == before[owner] - ONCE  # earned before
    assert world.tokens(in_escrow) == before[in_escrow]
    assert world.tokens(subscriber) == before[subscriber] - MONTHLY
    assert world.tokens(computing) == before[computing] - 4 * UNIT
    assert world.tokens(streaming) == stream_before - stopped.withdrawn
    assert world.contract_balance("EscrowPayment") == 0
    assert world.contract_balance("PaymentStream") == 0
    earned = [ONCE, MONTHLY, 4 * UNIT]
    assert world.contract_balance("LicenseManager") == sum(earned) + stopped.withdrawn
    assert world.owed(world.provider) >= sum(net_of(each) for each in earned)


def test_terms_that_promise_to_run_out_are_kept_by_delisting(world: World) -> None:
    listed = list_all_kinds(world, RetirementTerms.RUN_OUT)
    settled, escrowed, monthly, metered = listed.offer_ids
    owner, in_escrow, subscriber, computing = (world.market(at) for at in (2, 3, 7, 8))
    owner.buy(settled)
    bought = in_escrow.buy(escrowed)
    subscribed = subscriber.buy(monthly, 2)
    computing.buy(metered, 10)

    world.provider.delist(listed.dataset_id)

    with pytest.raises(errors.NotListed):
        world.third_consumer.buy(settled)
    with pytest.raises(errors.NotListed):
        subscriber.buy(monthly)
    for each in (owner, in_escrow, subscriber, computing):
        assert each.verify(listed.dataset_id).is_valid
    # Everything goes on: escrow, periods, units.
    in_escrow.confirm(bought.purchase_id)
    computing.consume(listed.dataset_id, 3)
    world.sleep(PERIOD)
    world.provider.collect(subscribed.term_id)
    assert subscriber.verify(listed.dataset_id).is_valid
    amounts = (ONCE, ONCE, MONTHLY, MONTHLY, 3 * UNIT)
    assert world.owed(world.provider) == sum(net_of(each) for each in amounts)
    assert world.contract_balance("LicenseManager") == sum(amounts)
    assert world.contract_balance("EscrowPayment") == 7 * UNIT
    world.sleep(PERIOD)
    assert subscriber.verify(listed.dataset_id).status is LicenseStatus.EXPIRED


def test_an_owner_that_takes_licences_away_after_delisting_is_not_paid_for_them(world: World) -> None:
    listed = list_all_kinds(world, RetirementTerms.RUN_OUT)
    subscriber, provider = world.consumer, world.provider
    before = world.tokens(subscriber)
    bought = subscriber.buy(listed.offer_ids[2], 6)
    provider.delist(listed.dataset_id)
    dataset = bytes.fromhex(listed.dataset_id[2:])
    provider.transact("CidRegistry", "setController", dataset, provider.address())
    provider.transact("LicenseLedger", "revoke", dataset, subscriber.address(), bytes(32))
    world.sleep(2 * PERIOD)
    with pytest.raises(errors.TermBroken):
        provider.collect(bought.term_id)
    world.stranger.cancel(bought.term_id)
    subscriber.payouts.withdraw()
    assert world.tokens(subscriber) == before - MONTHLY
    assert world.contract_balance("EscrowPayment") == 0


def test_datatokens_of_a_retired_data_set_are_worth_nothing_but_can_be_taken_back(world: World) -> None:
    listed = world.publish([one_time("100 USD")], on_retirement=RetirementTerms.END_AND_REFUND)
    made = world.provider.datatokens.issue(listed.dataset_id, listed.offer_ids[0], 5)
    sale = world.provider.datatokens.sell(made.class_id, 5, "100 USD")
    world.consumer.datatokens.buy(sale.order_id)
    world.provider.retire(listed.dataset_id)
    with pytest.raises(errors.ClassVoid):
        world.consumer.datatokens.redeem(made.class_id)
    with pytest.raises(errors.ClassVoid):
        world.second_consumer.datatokens.buy(sale.order_id)
    world.provider.datatokens.cancel_sale(sale.order_id)
    assert world.provider.datatokens.balance(made.class_id) == 4
