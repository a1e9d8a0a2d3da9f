"""Datatoken: classes upon offers, the book of orders, royalties of resales, redemption for licences."""

from __future__ import annotations

from typing import Any

import pytest

from dmchain.chain.primitives.crypto import keccak
from tests.contracts.chain import ZERO, reverts
from tests.contracts.market_world import DAY, MONTH, PAY_PER_COMPUTE, SUBSCRIPTION, USD, VALID, Market, make_offer

PRICE = 1000


@pytest.fixture(scope="module")
def market() -> Market:
    return Market()


def issue(
    market: Market, dataset: bytes, offer: int, supply: int = 10, bps: int = 500, restricted: bool = False
) -> int:
    return int(market.datatoken.issue(dataset, offer, supply, bps, restricted, sender=market.provider).value)


def open_class(market: Market, *, restricted: bool = False, bps: int = 500, **changes: Any) -> tuple[bytes, int]:
    dataset, offer = market.sell(**changes)
    return dataset, issue(market, dataset, offer, bps=bps, restricted=restricted)


def sell(market: Market, class_id: int, amount: int, price: int = PRICE, token: Any = ZERO, seller: Any = None) -> int:
    return int(market.datatoken.sell(class_id, amount, token, price, sender=seller or market.provider).value)


def buy(market: Market, order: int, amount: int, buyer: Any = None) -> Any:
    sale = market.datatoken.sale(order)
    value = sale.unitPrice * amount if sale.token == ZERO else 0
    return market.datatoken.buy(order, amount, 2**256 - 1, sender=buyer or market.buyer, value=value)


def assert_tokens_conserved(market: Market) -> None:
    tokens = market.datatoken
    in_orders: dict[int, int] = {}
    for order in range(1, tokens.saleCount() + 1):
        sale = tokens.sale(order)
        in_orders[sale.classId] = in_orders.get(sale.classId, 0) + sale.amount
    for class_id in range(1, tokens.classCount() + 1):
        details = tokens["class"](class_id)
        held = sum(tokens.balanceOf(account, class_id) for account in market.users)
        kept = tokens.balanceOf(tokens.address, class_id)
        assert kept == in_orders.get(class_id, 0)
        assert held + kept == tokens["totalSupply(uint256)"](class_id) == details.issued - details.redeemed


def test_a_class_stands_upon_an_offer(market: Market) -> None:
    dataset, offer = market.sell()
    receipt = market.datatoken.issue(dataset, offer, 10, 500, True, sender=market.provider)
    assert receipt.event("ClassIssued").supply == 10
    details = market.datatoken["class"](receipt.value)
    assert (details.datasetId, details.offerId, details.issuer) == (dataset, offer, market.provider)
    assert (details.resaleRoyaltyBps, details.isRestricted, details.issued, details.redeemed) == (500, True, 10, 0)
    assert market.datatoken.balanceOf(market.provider, receipt.value) == 10
    assert market.datatoken.uri(receipt.value) == "ipfs://metadata"
    assert market.datatoken.royaltyInfo(receipt.value, 10_001) == (market.provider, 500)
    assert market.datatoken.licenseManager() == market.manager.address
    for interface in ("d9b67a26", "2a55205a"):  # ERC-1155, ERC-2981
        assert market.datatoken.supportsInterface(bytes.fromhex(interface))
    with reverts("UnknownClass", 9):
        market.datatoken["class"](9)


def test_the_classes_of_a_data_set_are_listed(market: Market) -> None:
    dataset, offer = market.sell()
    made = [issue(market, dataset, offer) for _ in range(3)]
    open_other(market)
    assert market.datatoken.classesOf(dataset, 0, 100) == made
    assert market.datatoken.classesOf(dataset, 1, 1) == made[1:2]
    assert market.datatoken.classesOf(dataset, 3, 2**256 - 1) == market.datatoken.classesOf(bytes(32), 0, 1) == []


def test_only_the_owner_issues_and_only_what_sells(market: Market) -> None:
    dataset, offer = market.sell()
    other, other_offer = market.sell(b"other")
    with reverts("NotDatasetOwner", dataset, market.stranger, market.provider):
        market.datatoken.issue(dataset, offer, 1, 0, False, sender=market.stranger)
    with reverts("WrongOffer", other_offer, other, dataset):
        issue(market, dataset, other_offer)
    for supply in (0, 2**64):
        with reverts("InvalidSupply", supply, 2**64 - 1):
            issue(market, dataset, offer, supply)
    with reverts("InvalidBps", 2001, 2000):
        issue(market, dataset, offer, bps=2001)
    market.manager.closeOffer(offer, sender=market.provider)
    with reverts("OfferNotSellable", offer):
        issue(market, dataset, offer)


def test_a_first_sale_is_divided_like_a_purchase(market: Market) -> None:
    parent = market.publish(b"parent", owner=market.parent, lineageRoyaltyBps=1000)
    dataset = market.publish(offers=[make_offer(price=PRICE)], parents=[parent])
    class_id = issue(market, dataset, 1)
    order = sell(market, class_id, 4)
    assert market.datatoken.quoteSale(order, 3) == (3000, 75, 0, 2925)
    receipt = buy(market, order, 3)
    assert (receipt.value, receipt.event("Sold").royalty) == (3000, 0)
    assert [market.owed(each) for each in (market.treasury, market.parent, market.provider)] == [75, 292, 2633]
    assert market.datatoken.balanceOf(market.buyer, class_id) == 3
    assert market.manager.paidAt(dataset, market.buyer, market.chain.timestamp) == 3000
    market.assert_sound()
    assert_tokens_conserved(market)


def test_a_resale_pays_royalty_and_fee_and_the_seller(market: Market) -> None:
    parent = market.publish(b"parent", owner=market.parent, lineageRoyaltyBps=1000)
    dataset = market.publish(offers=[make_offer(price=PRICE)], parents=[parent])
    class_id = issue(market, dataset, 1, bps=2000)
    buy(market, sell(market, class_id, 2, price=0), 2)
    order = sell(market, class_id, 2, 5000, market.usd, market.buyer)
    assert not market.datatoken.sale(order).isPrimary
    assert market.datatoken.quoteSale(order, 2) == (10_000, 250, 2000, 7750)
    buy(market, order, 2, market.friend)
    owed = [market.owed(each, market.usd) for each in (market.treasury, market.parent, market.provider, market.buyer)]
    assert owed == [250, 200, 1800, 7750]
    assert market.usd.balanceOf(market.friend) == 1_000_000 * USD - 10_000
    market.assert_sound(market.usd)
    assert_tokens_conserved(market)


def test_who_sold_the_data_set_resells_what_is_left(market: Market) -> None:
    dataset, class_id = open_class(market)
    order = sell(market, class_id, 5)
    assert market.datatoken.sale(order).isPrimary
    market.listing.transferFrom(market.provider, market.rival, int.from_bytes(dataset, "big"), sender=market.provider)
    assert not market.datatoken.sale(order).isPrimary
    buy(market, order, 1)
    assert [market.owed(each) for each in (market.treasury, market.rival, market.provider)] == [25, 50, 925]
    market.assert_sound()


def test_orders_are_cancelled_by_their_sellers(market: Market) -> None:
    _, class_id = open_class(market)
    order = sell(market, class_id, 5)
    buy(market, order, 2)
    with reverts("NotSeller", order, market.stranger, market.provider):
        market.datatoken.cancelSale(order, sender=market.stranger)
    assert market.datatoken.cancelSale(order, sender=market.provider).event("SaleCancelled").returned == 3
    assert market.datatoken.balanceOf(market.provider, class_id) == 8
    with reverts("InvalidAmount", 0, 0):
        market.datatoken.cancelSale(order, sender=market.provider)
    with reverts("InvalidAmount", 1, 0):
        buy(market, order, 1)
    with reverts("UnknownSale", 9):
        market.datatoken.cancelSale(9, sender=market.provider)
    assert_tokens_conserved(market)


def test_amounts_and_prices_are_checked(market: Market) -> None:
    _, class_id = open_class(market)
    with reverts("InvalidAmount", 0, 2**128 - 1):
        sell(market, class_id, 0)
    with reverts("ERC1155InsufficientBalance", needed=11):
        sell(market, class_id, 11)
    order = sell(market, class_id, 5)
    for amount in (0, 6):
        with reverts("InvalidAmount", amount, 5):
            buy(market, order, amount)
    with reverts("PriceTooHigh", 2000, 1999):
        market.datatoken.buy(order, 2, 1999, sender=market.buyer, value=2000)
    for value in (0, 1999, 2001):
        with reverts("UnexpectedAmount", ZERO, 2000, value):
            market.datatoken.buy(order, 2, 2000, sender=market.buyer, value=value)
    in_usd = sell(market, class_id, 1, token=market.usd)
    with reverts("UnexpectedAmount", ZERO, 0, 1):
        market.datatoken.buy(in_usd, 1, PRICE, sender=market.buyer, value=1)


def test_a_token_that_takes_a_fee_buys_nothing(market: Market) -> None:
    token = market.chain.deploy("FeeToken")
    token.mint(market.buyer, 10**6)
    token.approve(market.datatoken, 10**6, sender=market.buyer)
    _, class_id = open_class(market)
    order = sell(market, class_id, 1, token=token)
    with reverts("UnexpectedAmount", token, 1000, 990):
        buy(market, order, 1)
    market.assert_sound(token)


def test_a_buyer_cannot_come_back_while_it_pays(market: Market) -> None:
    token = market.chain.deploy("ReentrantToken")
    token.mint(market.buyer, 10**6)
    token.approve(market.datatoken, 10**6, sender=market.buyer)
    _, class_id = open_class(market)
    order = sell(market, class_id, 2, token=token)
    token.arm(market.datatoken, market.datatoken.data("buy", order, 1, 2**255), 0)
    buy(market, order, 1)
    assert not token.hasSucceeded()
    assert token.answer()[:4] == keccak(b"ReentrancyGuardReentrantCall()")[:4]
    market.assert_sound(token)


def test_restricted_tokens_move_only_through_the_book(market: Market) -> None:
    _, class_id = open_class(market, restricted=True)
    buy(market, sell(market, class_id, 3), 3)
    tokens = market.datatoken
    with reverts("TransfersRestricted", class_id):
        tokens.safeTransferFrom(market.buyer, market.friend, class_id, 1, b"", sender=market.buyer)
    with reverts("TransfersRestricted", class_id):
        tokens.safeBatchTransferFrom(market.buyer, market.friend, [class_id], [1], b"", sender=market.buyer)
    with reverts("ERC1155InvalidReceiver", tokens):
        tokens.safeTransferFrom(market.buyer, tokens, class_id, 1, b"", sender=market.buyer)
    _, free = open_other(market)
    tokens.safeTransferFrom(market.provider, market.friend, free, 1, b"", sender=market.provider)
    with reverts("TransfersRestricted", class_id):
        tokens.safeBatchTransferFrom(
            market.provider, market.friend, [free, class_id], [1, 1], b"", sender=market.provider
        )
    assert_tokens_conserved(market)


def open_other(market: Market) -> tuple[bytes, int]:
    dataset, offer = market.sell(b"other")
    return dataset, issue(market, dataset, offer)


# ---------------------------------------------------------------- redemption


def test_a_token_is_redeemed_for_a_licence(market: Market) -> None:
    dataset, class_id = open_class(market)
    buy(market, sell(market, class_id, 3), 3)
    for amount in (0, 2):
        with reverts("InvalidAmount", amount, 1):
            market.datatoken.redeem(class_id, amount, sender=market.buyer)
    receipt = market.datatoken.redeem(class_id, 1, sender=market.buyer)
    purchase = market.manager.purchaseOf(receipt.value)
    assert (purchase.module, purchase.payer, purchase.licensee) == (
        market.datatoken.address,
        market.buyer,
        market.buyer,
    )
    assert market.licensed(dataset)
    assert market.nft.verifyAccess(1, market.buyer)
    assert market.datatoken.balanceOf(market.buyer, class_id) == 2
    with reverts("AlreadyLicensed", dataset, market.buyer):
        market.datatoken.redeem(class_id, 1, sender=market.buyer)
    with reverts("ERC1155InsufficientBalance", needed=1):
        market.datatoken.redeem(class_id, 1, sender=market.stranger)
    assert_tokens_conserved(market)


def test_tokens_of_a_subscription_are_periods(market: Market) -> None:
    dataset, class_id = open_class(market, kind=SUBSCRIPTION, period=MONTH)
    start = market.chain.timestamp
    first = market.datatoken.redeem(class_id, 2, sender=market.provider).value
    market.chain.sleep(DAY)
    assert market.datatoken.redeem(class_id, 3, sender=market.provider).value == first
    license = market.license_of(dataset, market.provider)
    assert (license.status, license.expiresAt) == (VALID, start + 5 * MONTH)
    with reverts("LicenseHeld", dataset, market.provider, first):
        market.buy(1, market.provider)
    with reverts("SafeCastOverflowedUintDowncast"):
        big = issue(market, dataset, 1, 2**64 - 1)
        market.datatoken.redeem(big, 2**64 - 1, sender=market.provider)


def test_tokens_of_pay_per_compute_are_units_paid_for_already(market: Market) -> None:
    dataset, class_id = open_class(market, kind=PAY_PER_COMPUTE, period=MONTH)
    market.datatoken.redeem(class_id, 4, sender=market.provider)
    market.chain.sleep(DAY)
    market.datatoken.redeem(class_id, 2, sender=market.provider)
    license = market.license_of(dataset, market.provider)
    assert (license.units, license.expiresAt) == (6, market.chain.timestamp + MONTH)
    market.manager.consume(dataset, 6, sender=market.provider)
    assert market.manager.held(ZERO) == 0
    assert not market.licensed(dataset, market.provider)


def test_a_bought_licence_is_not_mixed_with_tokens(market: Market) -> None:
    dataset, class_id = open_class(market, kind=SUBSCRIPTION, period=MONTH)
    bought = market.buy(1)
    buy(market, sell(market, class_id, 1), 1)
    with reverts("LicenseHeld", dataset, market.buyer, bought):
        market.datatoken.redeem(class_id, 1, sender=market.buyer)
    assert market.datatoken.balanceOf(market.buyer, class_id) == 1  # not lost


def test_tokens_outlive_their_offer_but_not_their_data_set(market: Market) -> None:
    dataset, class_id = open_class(market)
    order = sell(market, class_id, 3)
    buy(market, order, 2)
    market.manager.closeOffer(1, sender=market.provider)
    market.datatoken.redeem(class_id, 1, sender=market.buyer)
    market.chain.registry.retire(dataset, sender=market.provider)
    with reverts("ClassVoid", class_id):
        market.datatoken.redeem(class_id, 1, sender=market.buyer)
    with reverts("ClassVoid", class_id):
        buy(market, order, 1)
    with reverts("ClassVoid", class_id):
        sell(market, class_id, 1, seller=market.buyer)
    market.datatoken.cancelSale(order, sender=market.provider)
    assert_tokens_conserved(market)


def test_a_class_of_a_former_registration_is_void(market: Market) -> None:
    market.commit(b"content", market.rival)
    _, class_id = open_class(market)
    order = sell(market, class_id, 1)
    market.take_over(b"content", market.rival)
    with reverts("ClassVoid", class_id):
        buy(market, order, 1)
    market.listing.delist(int.from_bytes(market.datatoken["class"](class_id).datasetId, "big"), sender=market.rival)
    assert market.datatoken.uri(class_id) == ""


def test_what_costs_nothing_moves_no_money(market: Market) -> None:
    token = market.chain.deploy("BlockingToken")
    token.setPaused(True)
    _, class_id = open_class(market)
    order = sell(market, class_id, 2, price=0, token=token)
    assert buy(market, order, 2).value == 0
    assert market.datatoken.balanceOf(market.buyer, class_id) == 2
    with reverts("UnexpectedAmount", ZERO, 0, 1):
        market.datatoken.buy(sell(market, class_id, 1, price=0), 1, 0, sender=market.buyer, value=1)
