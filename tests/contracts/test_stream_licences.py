"""Streams and their licences in the real LicenseManager: who may end a licence, and who is paid on when it is gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.contracts.chain import Contract, reverts
from tests.contracts.genesis_world import DAY, ONE_TIME, SUBSCRIPTION, USD, Market

PRICE = 30 * USD
PERIOD = 30 * DAY
REVOKED = b"taken back".ljust(32, b"\0")


class StreamMarket(Market):
    """A subscription that the buyer may stream, and a licence for a second."""

    def __init__(self) -> None:
        super().__init__()
        self.seller, self.buyer, self.accomplice, self.stranger = self.accounts[1:5]
        self.streams: Contract = self["PaymentStream"]
        for account in (self.buyer, self.accomplice):
            self.usd.approve(self.streams, 2**256 - 1, sender=account)
        self.dataset, (self.monthly, self.brief) = self.publish(
            self.seller, self.offer(PRICE, SUBSCRIPTION), self.offer(1, ONE_TIME, period=1)
        )

    def start(self, payer: Any = None) -> int:
        done = self.streams.start(self.monthly, self.buyer, PRICE, sender=payer or self.buyer)
        return int(done.value)

    def delist(self) -> None:
        self["DataListing"].delist(int.from_bytes(self.dataset, "big"), sender=self.seller)
        self.chain.registry.setController(self.dataset, self.seller, sender=self.seller)

    def take_back(self) -> None:
        """What a seller can do who controls its data set again."""
        self.delist()
        self.chain.ledger.revoke(self.dataset, self.buyer, REVOKED, sender=self.seller)

    def list_again(self) -> list[int]:
        """New offers of the same data set: a month, and a second."""
        listing = {"spdx": "CC-BY-4.0", "format": "csv", "resaleRoyaltyBps": 0, "lineageRoyaltyBps": 0}
        listing |= {"availableUntil": 0, "onRetirement": 0}
        offers = [self.offer(PRICE, SUBSCRIPTION), self.offer(1, ONE_TIME, period=1)]
        self.chain.registry.setOperator(self.dataset, self["DataListing"], sender=self.seller)
        done = self["DataListing"].listData(self.dataset, "ipfs://again", listing, offers, sender=self.seller)
        return [event.offerId for event in done.all("OfferCreated")]

    def assert_void(self, stream_id: int, deposit: int = PRICE) -> None:
        """The seller gets nothing more, the payer all that is there."""
        with reverts("DatasetVoid", self.dataset):
            self.streams.withdraw(stream_id, sender=self.seller)
        payer = self.streams.stream(stream_id).payer
        self.streams.stopVoid(stream_id)
        assert self.streams.owed(self.usd, payer) == deposit
        assert self["LicenseManager"].owed(self.usd, self.seller) <= 1  # the price of a present
        assert self.streams.held(self.usd) == deposit == self.usd.balanceOf(self.streams)


@pytest.fixture(scope="module")
def market() -> StreamMarket:
    return StreamMarket()


def test_a_seller_who_takes_the_licence_back_is_not_paid_on(market: StreamMarket) -> None:
    stream_id = market.start()
    market.chain.sleep(DAY)
    assert not market["LicenseManager"].isBroken(market.streams.stream(stream_id).termId)
    market.take_back()
    market.chain.sleep(28 * DAY)
    assert market.streams.claims(stream_id) == (0, PRICE)
    market.assert_void(stream_id)


def _gift(market: StreamMarket) -> None:
    expires_at = market.chain.timestamp + 1
    market["LicenseManager"].gift(market.dataset, market.buyer, 1, expires_at, 0, bytes(32), sender=market.seller)


def _present(market: StreamMarket) -> None:
    market.buy(market.accomplice, market["LicenseManager"].offerCount(), licensee=market.buyer)


@pytest.mark.parametrize("give", [_gift, _present])
def test_another_licence_for_a_moment_does_not_cover_that_up(
    market: StreamMarket, give: Callable[[StreamMarket], None]
) -> None:
    stream_id = market.start()
    market.chain.sleep(DAY)
    market.take_back()
    market.list_again()
    give(market)
    market.chain.sleep(DAY)
    assert not market.has_license(market.dataset, market.buyer)
    market.assert_void(stream_id)


def test_nor_does_a_shorter_licence_within_the_same_second(market: StreamMarket) -> None:
    stream_id = market.start()
    market.take_back()
    market.chain.ledger.grant(
        market.dataset, market.buyer, SUBSCRIPTION, market.chain.timestamp + 1, 0, bytes(32), sender=market.seller
    )
    market.chain.sleep(DAY)
    market.assert_void(stream_id)


def test_a_licensee_who_gives_its_licence_up_cheats_nobody(market: StreamMarket) -> None:
    stream_id = market.start()
    market.chain.sleep(10 * DAY)
    market["LicenseManager"].renounce(market.dataset, sender=market.buyer)
    assert not market.has_license(market.dataset, market.buyer)
    with reverts("DatasetNotVoid", market.dataset):
        market.streams.stopVoid(stream_id)
    assert market.streams.withdraw(stream_id).value == 10 * USD
    # The payer tops it up: that is a new licence.
    market.streams.topUp(stream_id, USD, sender=market.buyer)
    assert market.has_license(market.dataset, market.buyer)
    market.take_back()
    assert market.streams.claims(stream_id) == (0, 21 * USD)


def test_a_licensee_who_buys_for_itself_while_another_pays_cheats_nobody(market: StreamMarket) -> None:
    stream_id = market.start(market.accomplice)
    market.chain.sleep(10 * DAY)
    market.buy(market.buyer, market.brief)
    market.chain.sleep(DAY)
    assert not market.has_license(market.dataset, market.buyer)
    assert market.streams.withdraw(stream_id).value == 11 * USD
    market.streams.cancel(stream_id, sender=market.accomplice)
    assert market.streams.owed(market.usd, market.accomplice) == 19 * USD


def test_delisting_alone_changes_nothing(market: StreamMarket) -> None:
    stream_id = market.start()
    market.delist()
    market.chain.sleep(PERIOD)
    assert market.streams.withdraw(stream_id).value == PRICE


def test_a_stream_of_ones_own_in_place_of_a_present_that_was_taken_back(market: StreamMarket) -> None:
    present = market.start(market.accomplice)
    market.chain.sleep(10 * DAY)
    market.take_back()
    (monthly, _) = market.list_again()
    market.streams.start(monthly, market.buyer, PRICE, sender=market.buyer)
    assert market.streams.claims(present) == (0, 0)
    assert market.streams.owed(market.usd, market.accomplice) == PRICE


def test_nor_is_a_seller_paid_from_escrow_for_a_licence_it_took_back(market: StreamMarket) -> None:
    dataset, (once, monthly) = market.publish(
        market.seller,
        market.offer(PRICE, ONE_TIME, escrowPeriod=3 * DAY),
        market.offer(PRICE, SUBSCRIPTION, escrowPeriod=3 * DAY),
    )
    market.dataset = dataset
    escrow, manager = market["EscrowPayment"], market["LicenseManager"]
    bought = manager.purchaseOf(market.buy(market.buyer, once))
    rented_id = market.buy(market.accomplice, monthly, 2)
    rented = manager.purchaseOf(rented_id)
    market.take_back()
    market.chain.ledger.revoke(dataset, market.accomplice, REVOKED, sender=market.seller)
    # Ending the broken term for its periods to come does not make its first one good.
    manager.cancel(rented_id, sender=market.stranger)
    market.chain.sleep(3 * DAY)
    for each in (bought, rented):
        with reverts("DatasetVoid", dataset):
            escrow.release(each.escrowId)
        escrow.refundVoid(each.escrowId)
    assert escrow.owed(market.usd, market.buyer) == PRICE
    assert escrow.owed(market.usd, market.accomplice) == 2 * PRICE
    assert manager.owed(market.usd, market.seller) == 0
