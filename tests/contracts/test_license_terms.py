"""LicenseManager: subscriptions and prepaid units; renewals, cancellations, several payers, meddling owners, modules."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contracts.chain import ZERO, reverts
from tests.contracts.market_world import (
    DATASET_RETIRED,
    DAY,
    EXPIRED,
    MODULE_ROLE,
    MONTH,
    NATIVE,
    ONE_TIME,
    PAY_PER_COMPUTE,
    REVOKED,
    SUBSCRIPTION,
    TERMS,
    USD,
    VALID,
    Market,
    make_listing,
)

PRICE = 1000
NET = 975


@pytest.fixture(scope="module")
def market() -> Market:
    return Market()


def subscribe(market: Market, periods: int = 3, **changes: Any) -> tuple[bytes, int, int]:
    dataset, offer = market.sell(kind=SUBSCRIPTION, period=MONTH, price=PRICE, **changes)
    return dataset, offer, market.buy(offer, quantity=periods)


def prepay(market: Market, units: int = 10, **changes: Any) -> tuple[bytes, int, int]:
    dataset, offer = market.sell(kind=PAY_PER_COMPUTE, price=PRICE, **changes)
    return dataset, offer, market.buy(offer, quantity=units)


def refunds(market: Market, account: Any = None) -> int:
    return market.owed(account or market.buyer, NATIVE, market.escrow)


def prepaid(market: Market, term: int) -> int:
    return int(market.escrow.amountOf(market.manager.term(term).prepaidId))


def seize(market: Market, dataset: bytes) -> None:
    """The owner takes the data set off the market and its licences into its own hands."""
    market.listing.delist(int.from_bytes(dataset, "big"), sender=market.provider)
    market.chain.registry.setController(dataset, market.provider, sender=market.provider)


# ---------------------------------------------------------------- subscriptions


def test_the_first_period_is_paid_out_and_the_others_wait(market: Market) -> None:
    dataset, _, term = subscribe(market)
    start = market.chain.timestamp
    assert market.license_of(dataset).expiresAt == start + 3 * MONTH
    assert market.owed(market.provider) == NET
    assert prepaid(market, term) == 2 * PRICE
    details = market.manager.term(term)
    assert (details.periods, details.releasedPeriods, details.price, details.startsAt) == (3, 1, PRICE, start)
    assert market.manager.periodsOf(term) == (0, 2)
    with reverts("NothingLeft", term):
        market.manager.collect(term, sender=market.provider)
    market.assert_sound()


def test_periods_are_collected_as_they_begin(market: Market) -> None:
    _, _, term = subscribe(market)
    market.chain.sleep(MONTH - 1)
    with reverts("NothingLeft", term):
        market.manager.collect(term)
    market.chain.sleep(1)
    receipt = market.manager.collect(term, sender=market.stranger)
    assert receipt.value == PRICE
    assert receipt.event("PeriodsCollected").arguments == {"termId": term, "periods": 1, "amount": PRICE}
    market.chain.sleep(10 * MONTH)
    market.manager.collect(term)
    assert (market.owed(market.provider), prepaid(market, term)) == (3 * NET, 0)
    with reverts("NothingLeft", term):
        market.manager.cancel(term, sender=market.buyer)
    market.assert_sound()


def test_cancelling_refunds_what_has_not_begun_and_ends_with_the_running_period(market: Market) -> None:
    dataset, _, term = subscribe(market)
    start = market.chain.timestamp
    market.chain.sleep(MONTH + 5)
    with reverts("NotParty", term, market.stranger):
        market.manager.cancel(term, sender=market.stranger)
    receipt = market.manager.cancel(term, sender=market.buyer)
    assert receipt.event("SubscriptionCancelled").arguments == {
        "termId": term, "periodsRefunded": 1, "refunded": PRICE, "expiresAt": start + 2 * MONTH,
    }  # fmt: skip
    license = market.license_of(dataset)
    assert (license.status, license.expiresAt, license.termsHash) == (VALID, start + 2 * MONTH, TERMS)
    assert refunds(market) == PRICE
    assert market.nft.verifyAccess(market.nft.tokenOf(dataset, market.buyer), market.buyer)
    market.manager.collect(term)  # the second period had begun
    assert market.owed(market.provider) == 2 * NET
    market.chain.sleep(MONTH)
    assert market.license_of(dataset).status == EXPIRED
    market.assert_sound()


def test_a_renewal_adds_periods_to_the_term(market: Market) -> None:
    dataset, offer, term = subscribe(market, 1)
    start = market.chain.timestamp
    market.chain.sleep(10)
    again = market.buy(offer, quantity=2)
    purchase = market.manager.purchaseOf(again)
    assert (purchase.termId, purchase.amount, purchase.escrowId) == (term, 2 * PRICE, 0)
    assert market.license_of(dataset).expiresAt == start + 3 * MONTH
    assert prepaid(market, term) == 2 * PRICE
    market.buy(offer)
    assert prepaid(market, term) == 3 * PRICE
    market.chain.sleep(4 * MONTH)
    after = market.buy(offer)
    assert market.manager.purchaseOf(after).termId == after
    assert market.manager.collect(term).value == 3 * PRICE
    assert market.license_of(dataset).expiresAt == market.chain.timestamp + MONTH
    market.assert_sound()


def test_a_renewal_after_a_cancellation_continues_from_there(market: Market) -> None:
    dataset, offer, term = subscribe(market)
    start = market.chain.timestamp
    market.manager.cancel(term, sender=market.buyer)
    market.buy(offer, quantity=1)
    assert market.license_of(dataset).expiresAt == start + 2 * MONTH
    assert prepaid(market, term) == PRICE
    market.assert_sound()


def test_the_first_period_may_wait_in_escrow(market: Market) -> None:
    dataset, _, term = subscribe(market, escrowPeriod=DAY)
    purchase = market.manager.purchaseOf(term)
    assert market.escrow.amountOf(purchase.escrowId) == PRICE
    assert market.escrow.amountOf(purchase.prepaidId) == 2 * PRICE
    market.escrow.refund(purchase.escrowId, PRICE, sender=market.provider)
    assert not market.licensed(dataset)
    # the rest is no longer earned by anyone: whoever asks has it sent back
    with reverts("TermBroken", term):
        market.manager.collect(term)
    assert market.manager.periodsOf(term) == (0, 2)
    market.manager.cancel(term, sender=market.stranger)
    assert refunds(market) == 3 * PRICE
    assert market.owed(market.provider) == 0
    market.assert_sound()


def test_a_sponsor_is_in_nobodys_way(market: Market) -> None:
    dataset, offer = market.sell(kind=SUBSCRIPTION, period=MONTH, price=PRICE)
    start = market.chain.timestamp
    sponsored = market.buy(offer, market.friend, 4, licensee=market.buyer)
    with reverts("LicenseHeld", dataset, market.buyer, sponsored):
        market.buy(offer, market.stranger, licensee=market.buyer)
    own = market.buy(offer, quantity=2)
    assert market.manager.purchaseOf(own).termId == own
    assert refunds(market, market.friend) == 3 * PRICE
    assert market.license_of(dataset).expiresAt == start + 3 * MONTH
    assert market.manager.term(own).startsAt == start + MONTH
    assert market.nft.tokenCount() == 1
    # of the own periods none has begun
    assert market.manager.periodsOf(own) == (0, 2)
    with reverts("NotParty", own, market.friend):
        market.manager.cancel(own, sender=market.friend)
    market.manager.cancel(own, sender=market.buyer)
    assert refunds(market) == 2 * PRICE
    assert market.license_of(dataset).expiresAt == start + MONTH
    market.assert_sound()


def test_a_sponsor_can_stop_paying(market: Market) -> None:
    _, offer = market.sell(kind=SUBSCRIPTION, period=MONTH, price=PRICE)
    term = market.buy(offer, market.friend, 4, licensee=market.buyer)
    market.manager.cancel(term, sender=market.friend)
    assert (refunds(market, market.friend), refunds(market)) == (3 * PRICE, 0)
    market.assert_sound()


def test_a_refund_in_the_first_term_ends_the_term_that_was_joined_to_it(market: Market) -> None:
    dataset, offer = market.sell(kind=SUBSCRIPTION, period=DAY, price=PRICE, escrowPeriod=MONTH)
    first = market.buy(offer, market.friend, licensee=market.buyer)
    joined = market.buy(offer, quantity=5)
    market.escrow.refund(market.manager.purchaseOf(first).escrowId, PRICE, sender=market.provider)
    assert not market.licensed(dataset)
    assert market.manager.term(joined).ended
    market.manager.cancel(joined, sender=market.stranger)
    assert (refunds(market, market.friend), refunds(market)) == (PRICE, 5 * PRICE)
    market.assert_sound()


def test_another_kind_of_licence_is_not_mixed_in(market: Market) -> None:
    dataset, _, term = subscribe(market)
    for other in (market.offer(dataset), market.offer(dataset, kind=SUBSCRIPTION, period=MONTH, price=PRICE)):
        with reverts("LicenseHeld", dataset, market.buyer, term):
            market.buy(other)


def test_who_gives_up_gets_back_what_has_not_begun(market: Market) -> None:
    dataset, offer, term = subscribe(market, 5)
    market.chain.sleep(2 * MONTH)
    receipt = market.manager.renounce(dataset, sender=market.buyer)
    assert receipt.event("TermEnded").reason == b"renounced".ljust(32, b"\0")
    assert market.license_of(dataset).status == REVOKED
    assert (market.owed(market.provider), refunds(market), prepaid(market, term)) == (3 * NET, 2 * PRICE, 0)
    with reverts("NothingLeft", term):
        market.manager.cancel(term, sender=market.buyer)
    market.buy(offer)
    market.assert_sound()


def test_free_periods_cost_and_refund_nothing(market: Market) -> None:
    _, offer = market.sell(kind=SUBSCRIPTION, period=MONTH, price=0)
    term = market.buy(offer, quantity=3)
    market.chain.sleep(MONTH)
    market.manager.collect(term)
    market.manager.cancel(term, sender=market.buyer)
    assert (market.escrow.escrowCount(), market.manager.held(ZERO)) == (0, 0)


# ---------------------------------------------------------------- owners who meddle, data sets that end


def test_an_owner_who_takes_licences_away_is_not_paid_for_what_it_did_not_give(market: Market) -> None:
    dataset, _, term = subscribe(market, 6)
    seize(market, dataset)
    market.chain.ledger.revoke(dataset, market.buyer, b"gone".ljust(32, b"\0"), sender=market.provider)
    market.chain.sleep(3 * MONTH)
    assert not market.manager.isIntact(term)
    with reverts("TermBroken", term):
        market.manager.collect(term, sender=market.provider)
    market.manager.cancel(term, sender=market.stranger)
    assert (refunds(market), market.owed(market.provider)) == (5 * PRICE, NET)
    market.assert_sound()


def test_a_licence_granted_again_by_its_owner_does_not_mend_the_term(market: Market) -> None:
    dataset, _, term = subscribe(market, 6)
    seize(market, dataset)
    expiry = market.license_of(dataset).expiresAt
    market.chain.sleep(1)
    market.chain.ledger.revoke(dataset, market.buyer, bytes(32), sender=market.provider)
    market.chain.sleep(10)
    market.chain.ledger.grant(dataset, market.buyer, SUBSCRIPTION, expiry, 0, TERMS, sender=market.provider)
    market.chain.registry.setController(dataset, market.manager, sender=market.provider)
    market.chain.sleep(MONTH)
    with reverts("TermBroken", term):
        market.manager.collect(term, sender=market.provider)


def test_a_licence_shortened_within_the_second_of_its_grant_breaks_the_term(market: Market) -> None:
    dataset, _, term = subscribe(market, 6)
    seize(market, dataset)
    market.chain.ledger.revoke(dataset, market.buyer, bytes(32), sender=market.provider)
    expiry = market.chain.timestamp + 1
    market.chain.ledger.grant(dataset, market.buyer, SUBSCRIPTION, expiry, 0, TERMS, sender=market.provider)
    market.chain.sleep(MONTH)
    with reverts("TermBroken", term):
        market.manager.collect(term, sender=market.provider)


def test_a_subscriber_whose_owner_left_the_market_can_still_cancel(market: Market) -> None:
    dataset, _, term = subscribe(market, 6)
    seize(market, dataset)
    market.manager.cancel(term, sender=market.buyer)
    assert refunds(market) == 5 * PRICE
    assert market.licensed(dataset)  # only the controller could end it earlier
    market.assert_sound()


def test_delisting_lets_subscriptions_run(market: Market) -> None:
    dataset, _, term = subscribe(market, 2)
    market.listing.delist(int.from_bytes(dataset, "big"), sender=market.provider)
    market.chain.sleep(MONTH)
    assert market.licensed(dataset)
    market.manager.collect(term)
    assert market.owed(market.provider) == 2 * NET


def test_what_is_not_earned_of_a_retired_data_set_goes_back(market: Market) -> None:
    dataset, _, term = subscribe(market, 6)
    market.chain.sleep(MONTH)
    market.chain.registry.retire(dataset, sender=market.provider)
    assert market.license_of(dataset).status == DATASET_RETIRED
    with reverts("TermBroken", term):
        market.manager.collect(term, sender=market.provider)
    market.escrow.refundVoid(market.manager.term(term).prepaidId, sender=market.stranger)
    assert (refunds(market), market.owed(market.provider)) == (5 * PRICE, NET)
    assert market.manager.term(term).ended
    with reverts("NothingLeft", term):
        market.manager.cancel(term, sender=market.buyer)
    market.assert_sound()


def test_cancelling_does_as_well_when_the_data_set_is_retired(market: Market) -> None:
    dataset, _, term = subscribe(market, 6)
    market.chain.registry.retire(dataset, sender=market.provider)
    market.manager.cancel(term, sender=market.stranger)
    assert refunds(market) == 5 * PRICE
    market.assert_sound()


def test_a_broken_term_stays_broken_when_a_new_one_follows(market: Market) -> None:
    market.commit(b"content", market.rival)
    dataset, _, term = subscribe(market, 3)
    market.take_over(b"content", market.rival)
    offer = market.offer(dataset, owner=market.rival, price=7)
    market.buy(offer)
    market.chain.sleep(2 * MONTH)
    with reverts("TermBroken", term):
        market.manager.collect(term, sender=market.rival)
    market.manager.cancel(term, sender=market.stranger)
    assert refunds(market) == 2 * PRICE
    assert market.owed(market.rival) == 7
    market.assert_sound()


# ---------------------------------------------------------------- units


def test_units_are_paid_out_as_they_are_used(market: Market) -> None:
    dataset, _, term = prepay(market)
    assert market.owed(market.provider) == 0
    assert (market.license_of(dataset).units, prepaid(market, term)) == (10, 10 * PRICE)
    assert market.manager.consume(dataset, 3, sender=market.buyer).value == 7
    assert (market.license_of(dataset).units, prepaid(market, term)) == (7, 7 * PRICE)
    assert market.owed(market.provider) == 3 * NET
    for units in (0, 8):
        with reverts("InsufficientUnits", term, 7, units):
            market.manager.consume(dataset, units, sender=market.buyer)
    with reverts("NoTerm", dataset, market.stranger):
        market.manager.consume(dataset, 1, sender=market.stranger)
    market.manager.consume(dataset, 7, sender=market.buyer)
    assert not market.licensed(dataset)
    market.assert_sound()


def test_more_units_are_added_and_the_end_moves_on(market: Market) -> None:
    dataset, offer, term = prepay(market, period=MONTH)
    market.chain.sleep(DAY)
    again = market.buy(offer, quantity=5)
    assert market.manager.purchaseOf(again).termId == term
    license = market.license_of(dataset)
    assert (license.units, license.expiresAt) == (15, market.chain.timestamp + MONTH)
    assert prepaid(market, term) == 15 * PRICE


def test_units_not_used_are_refunded_to_the_payer(market: Market) -> None:
    dataset, offer, term = prepay(market)
    market.manager.consume(dataset, 4, sender=market.buyer)
    for other in (market.stranger, market.provider):
        with reverts("NotParty", term, other):
            market.manager.refundUnits(term, sender=other)
    receipt = market.manager.refundUnits(term, sender=market.buyer)
    assert receipt.event("UnitsRefunded").arguments == {"termId": term, "units": 6, "refunded": 6 * PRICE}
    assert not market.licensed(dataset)
    assert (refunds(market), market.owed(market.provider)) == (6 * PRICE, 4 * NET)
    with reverts("NothingLeft", term):
        market.manager.refundUnits(term, sender=market.buyer)
    market.buy(offer, quantity=2)
    assert market.license_of(dataset).units == 2
    market.assert_sound()


def test_units_left_when_a_licence_runs_out_go_back_whoever_asks(market: Market) -> None:
    dataset, offer, term = prepay(market, period=MONTH)
    market.chain.sleep(MONTH)
    with reverts("LicenseNotInForce", status=EXPIRED):
        market.manager.consume(dataset, 1, sender=market.buyer)
    fresh = market.buy(offer, quantity=1)  # does not lose them
    market.manager.refundUnits(term, sender=market.stranger)
    assert refunds(market) == 10 * PRICE
    assert market.licensed(dataset) and prepaid(market, fresh) == PRICE
    market.assert_sound()


def test_units_of_a_sponsor_make_room_for_the_licensees_own(market: Market) -> None:
    dataset, offer = market.sell(kind=PAY_PER_COMPUTE, price=PRICE)
    term = market.buy(offer, market.friend, 3, licensee=market.buyer)
    with reverts("LicenseHeld", dataset, market.buyer, term):
        market.buy(offer, market.stranger, 2, licensee=market.buyer)
    own = market.buy(offer, quantity=2)
    assert refunds(market, market.friend) == 3 * PRICE
    assert market.license_of(dataset).units == 2 == market.manager.term(own).units
    market.assert_sound()


def test_giving_up_refunds_units_too(market: Market) -> None:
    dataset, _, _ = prepay(market)
    market.manager.renounce(dataset, sender=market.buyer)
    assert refunds(market) == 10 * PRICE
    assert market.license_of(dataset).status == REVOKED
    market.assert_sound()


def test_only_what_was_prepaid_here_can_be_collected_or_refunded(market: Market) -> None:
    dataset, _, term = prepay(market)
    with reverts("NotSubscription", term):
        market.manager.collect(term)
    with reverts("NotSubscription", term):
        market.manager.cancel(term)
    other, _, subscription = subscribe_other(market)
    with reverts("NotPrepaid", subscription):
        market.manager.refundUnits(subscription, sender=market.buyer)
    with reverts("NotPrepaid", subscription):
        market.manager.consume(other, 1, sender=market.buyer)
    assert market.licensed(dataset)


def subscribe_other(market: Market) -> tuple[bytes, int, int]:
    dataset, offer = market.sell(b"other", kind=SUBSCRIPTION, period=MONTH, price=PRICE)
    return dataset, offer, market.buy(offer)


def test_units_of_a_meddled_licence_cannot_be_used(market: Market) -> None:
    dataset, _, term = prepay(market)
    seize(market, dataset)
    market.chain.ledger.revoke(dataset, market.buyer, bytes(32), sender=market.provider)
    with reverts("TermBroken", term):
        market.manager.consume(dataset, 1, sender=market.buyer)
    market.manager.refundUnits(term, sender=market.stranger)
    assert refunds(market) == 10 * PRICE


# ---------------------------------------------------------------- modules


def test_reserved_units_are_for_their_order_alone(market: Market) -> None:
    dataset, _, term = prepay(market)
    manager, module = market.manager, market.module
    assert manager.reserveFor(dataset, market.buyer, 6, sender=module).value == term
    with reverts("InsufficientUnits", term, 4, 5):
        manager.consume(dataset, 5, sender=market.buyer)
    with reverts("InsufficientUnits", term, 4, 5):
        manager.reserveFor(dataset, market.buyer, 5, sender=module)
    assert manager.consumeFor(term, 2, sender=module).value == 8
    with reverts("InsufficientUnits", term, 4, 5):
        manager.consumeFor(term, 5, sender=module)
    with reverts("InsufficientUnits", term, 4, 0):
        manager.consumeFor(term, 0, sender=module)
    manager.unreserveFor(term, 99, sender=module)  # no more than there is
    assert manager.term(term).reservedUnits == 0
    assert (market.license_of(dataset).units, prepaid(market, term)) == (8, 8 * PRICE)
    market.assert_sound()


def test_an_order_is_paid_even_if_licence_or_licensee_have_gone(market: Market) -> None:
    dataset, _, term = prepay(market, period=MONTH)
    manager, module = market.manager, market.module
    manager.reserveFor(dataset, market.buyer, 4, sender=module)
    manager.refundUnits(term, sender=market.buyer)
    assert refunds(market) == 6 * PRICE and not market.licensed(dataset)
    manager.consumeFor(term, 3, sender=module)
    assert market.owed(market.provider) == 3 * NET
    market.chain.sleep(MONTH)
    manager.unreserveFor(term, 1, sender=module)
    manager.refundUnits(term, sender=market.stranger)
    assert (refunds(market), prepaid(market, term)) == (7 * PRICE, 0)
    with reverts("TermBroken", term):
        manager.reserveFor(dataset, market.buyer, 1, sender=module)
    market.assert_sound()


def test_units_on_order_stop_the_licensee_from_replacing_a_sponsor(market: Market) -> None:
    dataset, offer = market.sell(kind=PAY_PER_COMPUTE, price=PRICE)
    term = market.buy(offer, market.friend, 3, licensee=market.buyer)
    market.manager.reserveFor(dataset, market.buyer, 1, sender=market.module)
    with reverts("LicenseHeld", dataset, market.buyer, term):
        market.buy(offer, quantity=2)


def test_modules_grant_extend_and_end_what_they_granted(market: Market) -> None:
    dataset, offer = market.sell(kind=SUBSCRIPTION, period=MONTH, price=PRICE)
    manager, module, now = market.manager, market.module, market.chain.timestamp
    term = manager.grantFor(offer, market.friend, market.buyer, now + DAY, 0, sender=module).value
    purchase = manager.purchaseOf(term)
    assert (purchase.module, purchase.payer, purchase.amount, purchase.offerId) == (module, market.friend, 0, offer)
    assert manager.term(term).price == 0
    assert manager.grantFor(offer, market.friend, market.buyer, now + 2 * DAY, 0, sender=module).value == term
    assert market.license_of(dataset).expiresAt == now + 2 * DAY
    with reverts("LicenseHeld", dataset, market.buyer, term):
        manager.grantFor(offer, market.stranger, market.buyer, now + 3 * DAY, 0, sender=module)
    with reverts("LicenseHeld", dataset, market.buyer, term):
        market.buy(offer, market.stranger, licensee=market.buyer)
    for act in (manager.collect, manager.cancel):
        with reverts("NotSubscription", term):
            act(term, sender=market.buyer)
    manager.endFor(dataset, market.buyer, b"dry".ljust(32, b"\0"), sender=module)
    assert not market.licensed(dataset)
    manager.endFor(dataset, market.buyer, bytes(32), sender=module)  # for a second time: nothing
    assert market.nft.tokenCount() == 1


def test_a_module_ends_nothing_of_others(market: Market) -> None:
    dataset, _, _ = subscribe(market)
    market.manager.endFor(dataset, market.buyer, bytes(32), sender=market.module)
    market.manager.endFor(dataset, market.stranger, bytes(32), sender=market.module)
    assert market.licensed(dataset)


def test_a_module_grants_nothing_by_offers_of_a_former_registration(market: Market) -> None:
    market.commit(b"content", market.rival)
    _, offer = market.sell()
    market.take_over(b"content", market.rival)
    with reverts("OfferOfFormerRegistration", offerId=offer):
        market.manager.grantFor(offer, market.buyer, market.buyer, 0, 0, sender=market.module)


def test_modules_divide_money_that_they_sent_before(market: Market) -> None:
    _, offer = market.sell()
    manager, module, usd = market.manager, market.module, market.usd
    manager.distribute(offer, market.buyer, ZERO, PRICE, sender=module, value=PRICE)
    assert market.owed(market.provider) == NET
    for amount, value in ((PRICE, 0), (PRICE, PRICE + 1)):
        with reverts("UnexpectedAmount", ZERO, amount, value):
            manager.distribute(offer, market.buyer, ZERO, amount, sender=module, value=value)
    with reverts("UnexpectedAmount", usd, PRICE, 0):
        manager.distribute(offer, market.buyer, usd, PRICE, sender=module)
    usd.mint(module, USD)
    usd.transfer(manager, PRICE, sender=module)
    manager.distribute(offer, market.buyer, usd, PRICE, sender=module)
    assert market.owed(market.provider, usd) == NET
    manager.distributeResale(offer, market.buyer, ZERO, PRICE, 100, market.friend, sender=module, value=PRICE)
    assert (market.owed(market.friend), market.owed(market.provider)) == (PRICE - 25 - 100, NET + 100)
    with reverts("Panic", 0x11):
        manager.distributeResale(offer, market.buyer, ZERO, PRICE, 976, market.friend, sender=module, value=PRICE)
    with reverts("UnknownOffer", 9):
        manager.distribute(9, market.buyer, ZERO, 1, sender=module, value=1)
    market.assert_sound()
    market.assert_sound(usd)


def test_refunds_of_unknown_purchases_are_passed_over(market: Market) -> None:
    market.manager.onRefund(99, 1, True, sender=market.module)
    dataset, offer = market.sell()
    market.manager.onRefund(market.buy(offer), 1, False, sender=market.module)
    assert market.licensed(dataset)
    market.chain.registry.retire(dataset, sender=market.provider)
    market.manager.onRefund(1, 1, True, sender=market.module)
    assert market.license_of(dataset).status == REVOKED


def test_nobody_else_is_a_module(market: Market) -> None:
    manager, who = market.manager, market.stranger
    calls = [
        lambda: manager.reserveFor(bytes(32), who, 1, sender=who),
        lambda: manager.unreserveFor(1, 1, sender=who),
        lambda: manager.consumeFor(1, 1, sender=who),
        lambda: manager.grantFor(1, who, who, 0, 0, sender=who),
        lambda: manager.endFor(bytes(32), who, bytes(32), sender=who),
        lambda: manager.distribute(1, who, ZERO, 0, sender=who),
        lambda: manager.distributeResale(1, who, ZERO, 0, 0, who, sender=who),
        lambda: manager.onRefund(1, 1, True, sender=who),
    ]
    for call in calls:
        with reverts("AccessControlUnauthorizedAccount", who, MODULE_ROLE):
            call()


def test_reservations_need_a_valid_licence(market: Market) -> None:
    dataset, _, term = prepay(market, period=MONTH)
    market.chain.sleep(MONTH)
    with reverts("TermBroken", term):
        market.manager.reserveFor(dataset, market.buyer, 1, sender=market.module)
    market.manager.gift(dataset, market.friend, ONE_TIME, 0, 0, TERMS, sender=market.provider)
    with reverts("NotPrepaid", 2):
        market.manager.reserveFor(dataset, market.friend, 1, sender=market.module)


def test_what_was_refunded_can_be_sold_again(market: Market) -> None:
    """Else an offer could be emptied for nothing: buy all of it, have it refunded."""
    dataset, offer, term = prepay(market, 10, maxQuantity=10)
    market.manager.consume(dataset, 3, sender=market.buyer)
    with reverts("SoldOut", offer, 1, 0):
        market.buy(offer, market.friend)
    market.manager.refundUnits(term, sender=market.buyer)
    market.buy(offer, market.friend, 7)
    assert market.manager.offer(offer).sold == 10
    other, periods = market.sell(b"other", kind=SUBSCRIPTION, period=MONTH, price=PRICE, maxQuantity=5)
    market.manager.cancel(market.buy(periods, quantity=5), sender=market.buyer)
    assert market.manager.offer(periods).sold == 1
    assert market.licensed(other)
    market.assert_sound()


def test_a_few_units_from_a_stranger_keep_nobody_from_buying_something_else(market: Market) -> None:
    dataset, units = market.sell(kind=PAY_PER_COMPUTE, price=PRICE)
    forever = market.offer(dataset, price=5 * PRICE)
    market.buy(units, market.stranger, 1, licensee=market.buyer)
    market.buy(forever)
    assert market.license_of(dataset).kind == ONE_TIME
    assert refunds(market, market.stranger) == PRICE
    # units of one's own, or given by the owner, do not give way
    own = market.buy(units, market.friend, 1)
    with reverts("LicenseHeld", dataset, market.friend, own):
        market.buy(forever, market.friend)
    args = (dataset, market.rival, PAY_PER_COMPUTE, 0, 5, TERMS)
    gift = market.manager.gift(*args, sender=market.provider).value
    with reverts("LicenseHeld", dataset, market.rival, gift):
        market.buy(forever, market.rival)
    market.assert_sound()


@pytest.mark.parametrize("kind", [ONE_TIME, SUBSCRIPTION, PAY_PER_COMPUTE])
def test_a_gift_of_any_kind_can_be_given_up(market: Market, kind: int) -> None:
    dataset, offer = market.sell(price=PRICE)
    expiry, units = market.chain.timestamp + DAY, 3 if kind == PAY_PER_COMPUTE else 0
    market.manager.gift(dataset, market.buyer, kind, expiry, units, TERMS, sender=market.provider)
    with reverts("LicenseHeld", dataset, market.buyer, 1):
        market.buy(offer)
    market.manager.renounce(dataset, sender=market.buyer)
    assert not market.licensed(dataset)
    market.buy(offer)
    market.assert_sound()


def test_a_licence_that_another_streams_gives_way_too(market: Market) -> None:
    dataset, offer = market.sell(kind=SUBSCRIPTION, period=MONTH, price=PRICE)
    soon = market.chain.timestamp + 1
    streamed = market.manager.grantFor(offer, market.stranger, market.buyer, soon, 0, sender=market.module).value
    with reverts("LicenseHeld", dataset, market.buyer, streamed):
        market.buy(offer, market.friend, licensee=market.buyer)
    market.buy(offer)
    assert market.manager.term(streamed).ended
    market.manager.endFor(dataset, market.buyer, bytes(32), sender=market.module)  # no longer its own
    assert market.license_of(dataset).expiresAt == market.chain.timestamp + MONTH
    own = market.manager.grantFor(offer, market.friend, market.friend, soon, 0, sender=market.module).value
    with reverts("LicenseHeld", dataset, market.friend, own):
        market.buy(offer, market.friend)


def test_a_term_is_broken_by_the_owner_not_by_its_own_parties(market: Market) -> None:
    dataset, _, term = subscribe(market)
    assert not market.manager.isBroken(term)
    market.manager.renounce(dataset, sender=market.buyer)
    assert market.manager.term(term).ended and not market.manager.isBroken(term)
    other, _, taken = subscribe_other(market)
    seize(market, other)
    market.chain.ledger.revoke(other, market.buyer, bytes(32), sender=market.provider)
    assert market.manager.isBroken(taken) and not market.manager.term(taken).ended
    # and it stays so when a new licence follows
    registry = market.chain.registry
    registry.setOperator(other, market.listing, sender=market.provider)
    market.listing.listData(other, "ipfs://m", make_listing(), [], sender=market.provider)
    market.buy(market.offer(other, price=1))
    assert market.manager.isBroken(taken) and market.manager.term(taken).ended
    third, thirds = market.sell(b"third", kind=SUBSCRIPTION, period=MONTH, price=PRICE)
    cancelled = market.buy(thirds, quantity=2)
    market.chain.registry.retire(third, sender=market.provider)
    market.manager.cancel(cancelled, sender=market.stranger)
    assert market.manager.isBroken(cancelled) and market.manager.term(cancelled).ended
    with reverts("UnknownPurchase", 99):
        market.manager.isBroken(99)


def test_a_former_term_is_not_collected_for_who_took_the_data_set_over(market: Market) -> None:
    market.commit(b"content", market.rival)
    dataset, _, term = subscribe(market, 3)
    market.chain.sleep(DAY - 10)
    # The licence is followed by another one while nothing is wrong: the term is not the current one any more.
    market.manager.renounce(dataset, sender=market.buyer)
    market.buy(market.offer(dataset, price=1))
    assert not market.manager.isIntact(term)
    sponsored = market.buy(market.offer(dataset, kind=SUBSCRIPTION, period=3600, price=PRICE), market.friend, 1)
    offer = market.manager.purchaseOf(sponsored).offerId
    market.chain.sleep(1)
    market.buy(offer, market.stranger, 2, licensee=market.friend)
    assert market.manager.isIntact(sponsored)
    market.take_over(b"content", market.rival)
    assert not market.manager.isIntact(sponsored)
    with reverts("TermBroken", sponsored):
        market.manager.collect(sponsored, sender=market.rival)
