"""LicenseManager: offers, their checks, quotes and administration."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contracts.chain import ZERO, reverts
from tests.contracts.market_world import (
    DAY,
    METRIC,
    MODULE_ROLE,
    MONTH,
    ONE_TIME,
    PAY_PER_COMPUTE,
    SUBSCRIPTION,
    TERMS,
    USD,
    Market,
    make_offer,
)

CENTURY = 100 * 365 * DAY
ABSENT = "0x00000000000000000000000000000000000000aa"


@pytest.fixture(scope="module")
def market() -> Market:
    return Market()


def test_an_offer_says_what_was_put_in(market: Market) -> None:
    dataset = market.publish()
    terms = make_offer(
        kind=SUBSCRIPTION, token=market.usd.address, price=3 * USD, period=MONTH, maxQuantity=9,
        escrowPeriod=DAY, metric=METRIC, minScore=9000,
    )  # fmt: skip
    receipt = market.manager.createOffer(dataset, terms, sender=market.provider)
    offer = market.manager.offer(receipt.value)
    for name, value in terms.items():
        assert getattr(offer, name) == value, name
    assert (offer.datasetId, offer.closed, offer.sold, offer.listingSerial) == (dataset, False, 0, 1)
    assert offer.createdAt == receipt.timestamp
    assert receipt.event("OfferCreated").datasetId == dataset
    assert market.manager.offersOf(dataset, 0, 9) == [receipt.value]
    assert market.manager.isSellable(receipt.value)
    assert not market.manager.isSellable(receipt.value + 1)


@pytest.mark.parametrize(
    ("changes", "field", "given"),
    [
        ({"kind": 0}, "kind", 0),
        ({"price": 2**96 + 1}, "price", 2**96 + 1),
        ({"token": ABSENT}, "token", 0xAA),
        ({"kind": SUBSCRIPTION}, "period", 0),
        ({"period": CENTURY + 1}, "period", CENTURY + 1),
        ({"escrowPeriod": 365 * DAY + 1}, "escrowPeriod", 365 * DAY + 1),
        ({"kind": PAY_PER_COMPUTE, "escrowPeriod": 1}, "escrowPeriod", 1),
        ({"metric": METRIC, "minScore": 1}, "escrowPeriod", 0),
        ({"metric": METRIC, "escrowPeriod": 1}, "minScore", 0),
        ({"minScore": 1}, "minScore", 1),
        ({"metric": METRIC, "escrowPeriod": 1, "minScore": 10_001}, "minScore", 10_001),
    ],
)
def test_what_makes_no_sense_is_refused(market: Market, changes: dict[str, Any], field: str, given: int) -> None:
    dataset = market.publish()
    with reverts("InvalidOffer", field, given):
        market.offer(dataset, **changes)


def test_only_the_owner_of_a_listed_data_set_makes_and_closes_offers(market: Market) -> None:
    dataset = market.publish()
    with reverts("NotDatasetOwner", dataset, market.stranger, market.provider):
        market.offer(dataset, owner=market.stranger)
    offer = market.offer(dataset)
    with reverts("NotDatasetOwner", dataset, market.stranger, market.provider):
        market.manager.closeOffer(offer, sender=market.stranger)
    receipt = market.manager.closeOffer(offer, sender=market.provider)
    assert receipt.event("OfferClosed").offerId == offer
    assert not market.manager.isSellable(offer)
    with reverts("OfferIsClosed", offer):
        market.buy(offer)
    with reverts("OfferIsClosed", offer):
        market.manager.closeOffer(offer, sender=market.provider)
    with reverts("UnknownOffer", 99):
        market.manager.closeOffer(99, sender=market.provider)
    market.listing.delist(int.from_bytes(dataset, "big"), sender=market.provider)
    with reverts("NotListed", dataset):
        market.offer(dataset)


def test_offers_are_paged(market: Market) -> None:
    dataset = market.publish(offers=[make_offer()] * 5)
    assert market.manager.offersOf(dataset, 1, 3) == [2, 3, 4]
    assert market.manager.offersOf(dataset, 4, 2**256 - 1) == [5]
    assert market.manager.offersOf(dataset, 5, 1) == market.manager.offersOf(bytes(32), 0, 1) == []


def test_a_quote_adds_up_and_names_what_will_be_paid(market: Market) -> None:
    parent = market.publish(b"parent", owner=market.parent, lineageRoyaltyBps=1000)
    dataset = market.publish(parents=[parent], offers=[make_offer(price=999)])
    assert market.manager.quote(1, 1) == (999, 24, 97, 878)
    assert [tuple(each) for each in market.manager.royaltiesOf(1)] == [(parent, 1000)]
    market.buy(1)
    paid = [market.owed(each) for each in (market.treasury, market.parent, market.provider)]
    assert paid == [24, 97, 878]
    # an ancestor that is retired gets nothing from then on: its part is the provider's
    market.chain.registry.retire(parent, sender=market.parent)
    assert market.manager.quote(1, 1) == (999, 24, 0, 975)
    market.buy(1, market.friend)
    assert [market.owed(each) for each in (market.treasury, market.parent, market.provider)] == [48, 97, 878 + 975]
    assert market.licensed(dataset, market.friend)
    with reverts("UnknownOffer", 7):
        market.manager.quote(7, 1)


def test_the_split_of_an_offer_is_that_of_its_making(market: Market) -> None:
    parent = market.publish(b"parent", owner=market.parent, lineageRoyaltyBps=1000)
    market.publish(parents=[parent], offers=[make_offer(price=1000)])
    market.listing.delist(int.from_bytes(parent, "big"), sender=market.parent)
    market.buy(1)
    assert market.owed(market.parent) == 97
    # who bought the parent gets its share from then on
    market.chain.registry.transferDataset(parent, market.grandparent, sender=market.parent)
    market.buy(1, market.friend)
    assert market.owed(market.grandparent) == 97


def test_no_more_is_sold_than_was_offered(market: Market) -> None:
    market.publish(offers=[make_offer(maxQuantity=1), make_offer(kind=PAY_PER_COMPUTE, maxQuantity=10)])
    market.buy(1)
    assert not market.manager.isSellable(1)
    with reverts("SoldOut", 1, 1, 0):
        market.buy(1, market.friend)
    market.buy(2, market.friend, 4)
    with reverts("SoldOut", 2, 7, 6):
        market.buy(2, market.friend, 7)
    market.buy(2, market.friend, 6)
    assert market.manager.offer(2).sold == 10


# ---------------------------------------------------------------- administration


def test_the_fee_is_the_admins_and_at_most_a_tenth(market: Market) -> None:
    manager = market.manager
    with reverts("AccessControlUnauthorizedAccount", market.stranger, bytes(32)):
        manager.setPlatformFee(0, sender=market.stranger)
    with reverts("InvalidBps", 1001, 1000):
        manager.setPlatformFee(1001)
    assert manager.setPlatformFee(1000).event("PlatformFeeChanged").bps == 1000
    assert manager.platformFeeBps() == 1000
    market.sell(price=10)
    market.buy(1)
    assert (market.owed(market.treasury), market.owed(market.provider)) == (1, 9)


def test_the_treasury_is_the_admins_to_name(market: Market) -> None:
    with reverts("AccessControlUnauthorizedAccount", market.stranger, bytes(32)):
        market.manager.setTreasury(market.stranger, sender=market.stranger)
    with reverts("InvalidAccount", ZERO):
        market.manager.setTreasury(ZERO)
    market.manager.setTreasury(market.rival)
    assert market.manager.treasury() == market.rival


def test_reference_rates_value_payments(market: Market) -> None:
    manager, usd = market.manager, market.usd
    with reverts("AccessControlUnauthorizedAccount", market.stranger, bytes(32)):
        manager.setReferenceRate(usd, 1, sender=market.stranger)
    with reverts("InvalidAccount", ZERO):
        manager.setReferenceRate(ZERO, 1)
    with reverts("ValueTooLarge", 2**128):
        manager.setReferenceRate(usd, 2**128)
    assert manager.referenceRate(ZERO) == 10**18
    dataset, offer = market.sell(token=usd.address, price=2 * USD)
    market.buy(offer)
    assert manager.totalPaidAt(dataset, market.chain.timestamp) == 0
    manager.setReferenceRate(usd, 10**30)
    market.chain.sleep(10)
    market.buy(offer, market.friend)
    native = market.offer(dataset, price=5)
    market.chain.sleep(10)
    market.buy(native, market.stranger)
    now = market.chain.timestamp
    assert manager.paidAt(dataset, market.buyer, now) == 0
    assert manager.paidAt(dataset, market.friend, now) == 2 * 10**18
    assert manager.totalPaidAt(dataset, now) == 2 * 10**18 + 5
    assert manager.totalPaidAt(dataset, now - 1) == 2 * 10**18
    assert manager.totalPaidAt(dataset, now - 11) == 0


def test_it_is_initialized_once_and_neither_half_of_its_code_ever(market: Market) -> None:
    with reverts("InvalidInitialization"):
        market.manager.initialize(market.stranger, market.stranger, 0)
    where = (market.listing, market.nft, market.escrow, market.reputation)
    bare = market.chain.deploy("LicenseManager", *where)
    with reverts("InvalidInitialization"):
        bare.initialize(market.stranger, market.stranger, 0)
    books = market.chain.deploy("LicenseBooks", *where)
    with reverts("AccessControlUnauthorizedAccount", market.admin, bytes(32)):
        books.setPlatformFee(0)
    with reverts("AccessControlUnauthorizedAccount", market.admin, MODULE_ROLE):
        books.grantFor(1, market.admin, market.admin, 0, 0)
    with reverts("InvalidAccount", ZERO):
        market.chain.deploy_proxy("LicenseManager", ZERO, market.treasury, 0, implementation=bare)
    with reverts("InvalidAccount", ZERO):
        market.chain.deploy_proxy("LicenseManager", market.admin, ZERO, 0, implementation=bare)
    manager = market.manager
    assert manager.dataListing() == market.listing.address
    assert manager.licenseNft() == market.nft.address
    assert manager.escrowPayment() == market.escrow.address
    assert manager.reputation() == market.reputation.address
    assert (manager.offerCount(), manager.purchaseCount()) == (0, 0)


def test_unknown_functions_and_plain_coin_are_refused(market: Market) -> None:
    with reverts():
        market.chain.send(market.manager, b"\x12\x34\x56\x78")
    with reverts():
        market.chain.send(market.manager, b"", value=1)
    with reverts():
        market.chain.send(market.manager, market.manager.data("offerCount"), value=1)


# ---------------------------------------------------------------- gifts


def test_an_owner_gives_licences_away(market: Market) -> None:
    dataset, offer = market.sell()
    expiry = market.chain.timestamp + DAY
    with reverts("NotDatasetOwner", dataset, market.stranger, market.provider):
        market.manager.gift(dataset, market.friend, ONE_TIME, expiry, 0, TERMS, sender=market.stranger)
    receipt = market.manager.gift(dataset, market.friend, ONE_TIME, expiry, 0, TERMS, sender=market.provider)
    assert receipt.event("Granted").payer == market.provider
    purchase = market.manager.purchaseOf(receipt.value)
    assert (purchase.offerId, purchase.amount, purchase.token, purchase.licensee) == (0, 0, ZERO, market.friend)
    assert market.license_of(dataset, market.friend).expiresAt == expiry
    with reverts("LicenseHeld", dataset, market.friend, receipt.value):
        market.manager.gift(dataset, market.friend, ONE_TIME, 0, 0, TERMS, sender=market.provider)
    with reverts("LicenseHeld", dataset, market.friend, receipt.value):
        market.buy(offer, market.friend)
    market.manager.renounce(dataset, sender=market.friend)
    market.buy(offer, market.friend)
    market.chain.registry.retire(dataset, sender=market.provider)
    with reverts("NotAvailable", dataset, 0):
        market.manager.gift(dataset, market.stranger, ONE_TIME, 0, 0, TERMS, sender=market.provider)


def test_units_that_were_given_are_used_for_nothing(market: Market) -> None:
    dataset = market.publish()
    args = (dataset, market.friend, PAY_PER_COMPUTE, 0, 5, TERMS)
    term = market.manager.gift(*args, sender=market.provider).value
    assert market.manager.consume(dataset, 2, sender=market.friend).event("UnitsUsed").arguments == {
        "termId": term, "units": 2, "amount": 0, "left": 3,
    }  # fmt: skip
    with reverts("NotPrepaid", term):
        market.manager.refundUnits(term, sender=market.friend)
    with reverts("InvalidKind", 0):
        market.manager.gift(dataset, market.buyer, 0, 0, 0, TERMS, sender=market.provider)
    assert market.manager.term(term).units == 3
    market.assert_sound()
