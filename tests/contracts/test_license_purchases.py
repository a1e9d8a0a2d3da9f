"""LicenseManager: buying once, escrows, permits, presents, hostile tokens, withdrawals."""

from __future__ import annotations

import pytest
from eth_abi import encode

from dmchain.chain.primitives.crypto import keccak
from tests.contracts.chain import ZERO, Contract, reverts
from tests.contracts.market_world import (
    DAY,
    METRIC,
    MODULE_ROLE,
    MONTH,
    NATIVE,
    SUBSCRIPTION,
    SUPERSEDED,
    TERMS,
    USD,
    Market,
    make_listing,
)

MOST = 2**256 - 1
OPEN, CLOSED = 1, 3


@pytest.fixture(scope="module")
def market() -> Market:
    return Market()


def token_market(market: Market, name: str, price: int = 1000) -> tuple[Contract, bytes, int]:
    """A hostile token, and an offer in it that the buyer could pay."""
    token = market.chain.deploy(name)
    token.mint(market.buyer, 10**9)
    token.approve(market.manager, 10**9, sender=market.buyer)
    dataset, offer = market.sell(token=token.address, price=price)
    return token, dataset, offer


# ---------------------------------------------------------------- once


def test_native_coin_buys_a_licence_for_ever(market: Market) -> None:
    dataset, offer = market.sell(price=1000)
    before = market.chain.balance(market.buyer)
    receipt = market.manager.purchase(offer, market.buyer, 1, 1000, sender=market.buyer, value=1000)
    purchase = market.manager.purchaseOf(receipt.value)
    assert purchase._asdict() == {
        "offerId": offer, "datasetId": dataset, "payer": market.buyer, "boughtAt": receipt.timestamp,
        "licensee": market.buyer, "quantity": 1, "token": NATIVE, "kind": 1, "module": ZERO, "amount": 1000,
        "provider": market.provider, "termId": receipt.value, "escrowId": 0, "prepaidId": 0,
    }  # fmt: skip
    license = market.license_of(dataset)
    assert (license.status, license.kind, license.expiresAt, license.termsHash) == (1, 1, 0, TERMS)
    assert market.chain.balance(market.buyer) == before - 1000
    assert (market.owed(market.treasury), market.owed(market.provider)) == (25, 975)
    assert market.manager.purchasesOf(market.buyer, 0, 9) == [receipt.value]
    assert market.reputation.recordOf(market.provider).sales == 1
    event = receipt.event("Distributed")
    assert (event.amount, event.fee, event.royalties) == (1000, 25, 0)
    market.assert_sound()


def test_value_and_price_must_agree(market: Market) -> None:
    _, offer = market.sell(price=1000)
    _, in_usd = market.sell(b"usd", token=market.usd.address, price=1000)
    for value in (0, 999, 1001):
        with reverts("UnexpectedAmount", ZERO, 1000, value):
            market.buy(offer, value=value)
    with reverts("UnexpectedAmount", ZERO, 0, 1):
        market.buy(in_usd, value=1)
    with reverts("PriceTooHigh", 1000, 999):
        market.manager.purchase(offer, market.buyer, 1, 999, sender=market.buyer, value=1000)
    with reverts("UnknownOffer", 9):
        market.manager.purchase(9, market.buyer, 1, MOST, sender=market.buyer)
    with reverts("UnknownPurchase", 9):
        market.manager.purchaseOf(9)
    with reverts("UnknownPurchase", 9):
        market.manager.term(9)


def test_a_one_time_licence_is_bought_one_at_a_time(market: Market) -> None:
    _, offer = market.sell()
    for quantity in (0, 2):
        with reverts("InvalidQuantity", quantity, 1):
            market.buy(offer, quantity=quantity)


def test_a_licence_for_ever_is_not_sold_twice(market: Market) -> None:
    dataset, offer = market.sell()
    purchase = market.buy(offer)
    with reverts("LicenseHeld", dataset, market.buyer, purchase):
        market.buy(offer)
    with reverts("LicenseHeld", dataset, market.buyer, purchase):
        market.buy(market.offer(dataset, price=1))


def test_a_licence_that_ends_is_renewed_from_its_end(market: Market) -> None:
    dataset, offer = market.sell(period=MONTH, price=1000)
    first = market.buy(offer)
    start = market.chain.timestamp
    market.chain.sleep(10)
    second = market.buy(offer)
    assert market.license_of(dataset).expiresAt == start + 2 * MONTH
    assert market.manager.purchaseOf(second).termId == first
    market.chain.sleep(2 * MONTH)
    assert not market.licensed(dataset)
    third = market.buy(offer)
    assert market.manager.purchaseOf(third).termId == third
    assert market.license_of(dataset).expiresAt == market.chain.timestamp + MONTH
    assert market.owed(market.provider) == 3 * 975
    market.assert_sound()


def test_a_free_licence_is_for_who_asks(market: Market) -> None:
    dataset, offer = market.sell(price=0, escrowPeriod=DAY)
    with reverts("GiftNotFree", offer):
        market.buy(offer, licensee=market.friend)
    with reverts("UnexpectedAmount", ZERO, 0, 1):
        market.buy(offer, value=1)
    purchase = market.buy(offer)
    assert market.licensed(dataset)
    assert market.manager.purchaseOf(purchase).escrowId == 0
    assert market.reputation.recordOf(market.provider).sales == 0
    market.assert_sound()


def test_a_present_is_paid_by_one_and_held_by_another(market: Market) -> None:
    dataset, offer = market.sell(price=1000)
    purchase = market.buy(offer, licensee=market.friend)
    assert market.licensed(dataset, market.friend) and not market.licensed(dataset)
    assert (
        market.manager.purchasesOf(market.friend, 0, 9) == [purchase] == market.manager.purchasesOf(market.buyer, 0, 9)
    )
    now = market.chain.timestamp
    assert market.manager.paidAt(dataset, market.buyer, now) == 1000
    assert market.manager.paidAt(dataset, market.friend, now) == 0
    with reverts("InvalidLicensee", ZERO):
        market.buy(offer, licensee=ZERO)


def test_only_modules_buy_for_others(market: Market) -> None:
    dataset, offer = market.sell(token=market.usd.address, price=USD)
    with reverts("AccessControlUnauthorizedAccount", market.stranger, MODULE_ROLE):
        market.manager.purchaseFor(market.buyer, offer, market.stranger, 1, MOST, sender=market.stranger)
    market.manager.purchaseFor(market.buyer, offer, market.buyer, 1, MOST, sender=market.module)
    assert market.licensed(dataset)
    assert market.usd.balanceOf(market.buyer) == 1_000_000 * USD - USD


# ---------------------------------------------------------------- permits


def sign_permit(market: Market, owner: object, value: int, deadline: int) -> tuple[int, bytes, bytes]:
    struct = keccak(b"Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)")
    fields = [struct, str(owner), market.manager.address, value, market.usd.nonces(owner), deadline]
    hashed = keccak(encode(["bytes32", "address", "address", "uint256", "uint256", "uint256"], fields))
    v, r, s = owner.sign(keccak(b"\x19\x01" + market.usd.DOMAIN_SEPARATOR() + hashed))  # type: ignore[attr-defined]
    return v, r, s


def test_a_permit_saves_the_approval_and_may_have_been_used_by_a_front_runner(market: Market) -> None:
    dataset, offer = market.sell(token=market.usd.address, price=USD)
    for buyer, is_front_run in ((market.buyer, False), (market.friend, True)):
        market.usd.approve(market.manager, 0, sender=buyer)
        deadline = market.chain.timestamp + 60
        v, r, s = sign_permit(market, buyer, USD, deadline)
        if is_front_run:
            market.usd.permit(buyer, market.manager, USD, deadline, v, r, s, sender=market.stranger)
        market.manager.purchaseWithPermit(offer, buyer, 1, USD, deadline, v, r, s, sender=buyer)
        assert market.licensed(dataset, buyer)
    market.usd.approve(market.manager, 0, sender=market.stranger)
    with reverts("ERC20InsufficientAllowance", needed=USD):
        market.manager.purchaseWithPermit(offer, market.stranger, 1, USD, deadline, v, r, s, sender=market.stranger)
    native = market.offer(dataset, price=1)
    with reverts():
        market.manager.purchaseWithPermit(native, market.stranger, 1, 1, deadline, v, r, s, sender=market.stranger)


# ---------------------------------------------------------------- escrow


def test_money_in_escrow_is_divided_when_the_buyer_confirms(market: Market) -> None:
    dataset, offer = market.sell(price=1000, escrowPeriod=DAY)
    purchase = market.manager.purchaseOf(market.buy(offer))
    escrow = market.escrow.escrow(purchase.escrowId)
    assert (escrow.amount, escrow.payer, escrow.state, escrow.isPrepaid) == (1000, market.buyer, OPEN, False)
    assert market.licensed(dataset)
    assert market.manager.held(ZERO) == 0
    assert market.manager.paidAt(dataset, market.buyer, market.chain.timestamp) == 0
    market.assert_sound()
    market.escrow.confirm(purchase.escrowId, sender=market.buyer)
    assert (market.owed(market.treasury), market.owed(market.provider)) == (25, 975)
    assert market.manager.paidAt(dataset, market.buyer, market.chain.timestamp) == 1000
    market.assert_sound()


def test_a_refund_of_all_ends_the_licence_and_of_a_part_does_not(market: Market) -> None:
    dataset, offer = market.sell(price=1000, escrowPeriod=DAY)
    mine = market.manager.purchaseOf(market.buy(offer))
    other = market.manager.purchaseOf(market.buy(offer, market.friend))
    market.escrow.refund(mine.escrowId, 999, sender=market.provider)
    assert market.licensed(dataset)
    receipt = market.escrow.refund(mine.escrowId, 1, sender=market.provider)
    assert receipt.event("TermEnded").termId == mine.termId
    assert not market.licensed(dataset) and market.licensed(dataset, market.friend)
    assert market.manager.term(mine.termId).ended
    assert market.owed(market.buyer, NATIVE, market.escrow) == 1000
    market.escrow.confirm(other.escrowId, sender=market.friend)
    assert market.owed(market.provider) == 975
    market.buy(offer)  # and may buy again
    assert market.licensed(dataset)
    market.assert_sound()


def test_an_escrow_on_a_condition_names_metric_and_score(market: Market) -> None:
    _, offer = market.sell(price=1000, escrowPeriod=DAY, metric=METRIC, minScore=9000)
    escrow = market.escrow.escrow(market.manager.purchaseOf(market.buy(offer)).escrowId)
    assert (escrow.metric, escrow.minScore, escrow.conditionMet) == (METRIC, 9000, False)


def test_a_one_time_licence_in_escrow_is_not_renewed(market: Market) -> None:
    dataset, offer = market.sell(price=1000, escrowPeriod=DAY, period=MONTH)
    purchase = market.buy(offer)
    with reverts("LicenseHeld", dataset, market.buyer, purchase):
        market.buy(offer)


# ---------------------------------------------------------------- data sets that change hands or end


def test_the_owner_of_the_moment_is_paid(market: Market) -> None:
    dataset, offer = market.sell(price=1000, escrowPeriod=DAY)
    purchase = market.manager.purchaseOf(market.buy(offer))
    market.listing.transferFrom(market.provider, market.rival, int.from_bytes(dataset, "big"), sender=market.provider)
    market.escrow.confirm(purchase.escrowId, sender=market.buyer)
    assert (market.owed(market.provider), market.owed(market.rival)) == (0, 975)
    assert market.manager.purchaseOf(1).provider == market.provider


def test_a_front_runner_keeps_nothing_of_what_is_not_released(market: Market) -> None:
    market.commit(b"content", market.rival)
    dataset, offer = market.sell(price=1000, escrowPeriod=DAY)
    purchase = market.manager.purchaseOf(market.buy(offer))
    market.take_over(b"content", market.rival)
    assert market.license_of(dataset).status == SUPERSEDED
    assert not market.manager.isIntact(purchase.termId)
    market.escrow.refundVoid(purchase.escrowId, sender=market.stranger)
    assert market.owed(market.buyer, NATIVE, market.escrow) == 1000
    assert market.owed(market.provider) == market.owed(market.rival) == 0
    market.assert_sound()


def test_a_licence_from_elsewhere_must_be_given_up_first(market: Market) -> None:
    dataset, offer = market.sell()
    registry, token = market.chain.registry, int.from_bytes(dataset, "big")
    market.listing.delist(token, sender=market.provider)
    registry.setController(dataset, market.provider, sender=market.provider)
    market.chain.ledger.grant(dataset, market.buyer, 1, 0, 0, TERMS, sender=market.provider)
    registry.setOperator(dataset, market.listing, sender=market.provider)
    market.listing.listData(dataset, "ipfs://m", make_listing(), [], sender=market.provider)
    offer = market.offer(dataset)
    with reverts("LicenseHeld", dataset, market.buyer, 0):
        market.buy(offer)
    market.manager.renounce(dataset, sender=market.buyer)
    market.buy(offer)
    with reverts("LicenseNotInForce", datasetId=dataset):
        market.manager.renounce(dataset, sender=market.friend)


# ---------------------------------------------------------------- hostile tokens and accounts


def test_a_token_that_takes_a_fee_is_refused(market: Market) -> None:
    token, dataset, offer = token_market(market, "FeeToken")
    with reverts("UnexpectedAmount", token, 1000, 990):
        market.buy(offer)
    escrowed = market.offer(dataset, token=token.address, price=1000, escrowPeriod=DAY)
    with reverts("UnexpectedAmount", token, 1000, 990):
        market.buy(escrowed)
    assert not market.licensed(dataset)
    token.setFee(0)
    market.buy(offer)
    market.assert_sound(token)


def test_a_token_that_returns_nothing_works(market: Market) -> None:
    token, dataset, offer = token_market(market, "NoReturnToken")
    market.buy(offer)
    assert market.licensed(dataset)
    market.manager.withdrawFor(token, market.provider)
    assert token.balanceOf(market.provider) == 975
    market.assert_sound(token)


def test_a_token_that_lies_buys_nothing(market: Market) -> None:
    token, dataset, offer = token_market(market, "BlockingToken")
    token.setLying(True)
    with reverts("SafeERC20FailedOperation", token):
        market.buy(offer)
    assert not market.licensed(dataset)


def test_who_is_refused_by_a_token_stands_in_nobodys_way(market: Market) -> None:
    token, _, offer = token_market(market, "BlockingToken")
    market.buy(offer)
    token.setBlocked(market.treasury, True)
    token.setBlocked(market.provider, True)
    with reverts("Blocked"):
        market.manager.withdrawFor(token, market.provider)
    token.mint(market.friend, 1000)
    token.approve(market.manager, 1000, sender=market.friend)
    market.buy(offer, market.friend)
    market.manager.withdrawTo(token, market.rival, sender=market.provider)
    assert token.balanceOf(market.rival) == 2 * 975
    market.assert_sound(token)


@pytest.mark.parametrize("period", [0, DAY])
def test_a_token_that_calls_back_finds_the_door_shut(market: Market, period: int) -> None:
    token = market.chain.deploy("ReentrantToken")
    token.mint(market.buyer, 10_000)
    token.approve(market.manager, 10_000, sender=market.buyer)
    dataset = market.publish()
    offer = market.offer(dataset, token=token.address, price=1000, escrowPeriod=period)
    calls = [
        market.manager.data("purchase", offer, market.friend, 1, MOST),
        market.manager.data("withdrawFor", token, market.provider),
        market.manager.data("renounce", dataset),
        market.manager.data("cancel", 1),
    ]
    for call, buyer in zip(calls, (market.buyer, market.friend, market.stranger, market.rival), strict=True):
        token.mint(buyer, 1000)
        token.approve(market.manager, 1000, sender=buyer)
        token.arm(market.manager, call, 0)
        market.buy(offer, buyer)
        assert not token.hasSucceeded()
        assert token.answer()[:4] == keccak(b"ReentrancyGuardReentrantCall()")[:4]
        market.assert_sound(token)


def test_a_refusing_treasury_or_provider_does_not_stop_sales(market: Market) -> None:
    hostile = market.chain.deploy("HostileAccount")
    hostile.set(1, ZERO, b"")  # refuses coin
    market.manager.setTreasury(hostile)
    dataset, offer = market.sell(price=1000)
    market.listing.transferFrom(market.provider, hostile, int.from_bytes(dataset, "big"), sender=market.provider)
    market.buy(offer)
    assert market.owed(hostile.address) == 1000
    with reverts("Refused"):
        market.manager.withdrawFor(ZERO, hostile)
    market.assert_sound(more=[hostile.address])
    hostile.set(3, market.manager.address, market.manager.data("withdrawFor", ZERO, hostile))  # calls back
    market.manager.withdrawFor(ZERO, hostile)
    assert not hostile.hasSucceeded()
    assert hostile.balance == 1000
    market.assert_sound(more=[hostile.address])


def test_coin_that_was_forced_in_or_given_belongs_to_nobody(market: Market) -> None:
    market.usd.transfer(market.manager, 77, sender=market.friend)
    _, offer = market.sell(token=market.usd.address, price=1000)
    market.buy(offer)
    assert market.manager.held(market.usd) == 1000
    assert market.usd.balanceOf(market.manager) == 1077
    with reverts("NothingOwed", market.usd, market.friend):
        market.manager.withdrawFor(market.usd, market.friend)


def test_prices_beyond_what_money_can_be_are_refused(market: Market) -> None:
    _, offer = market.sell(kind=SUBSCRIPTION, period=1, price=2**96)
    with reverts("ValueTooLarge", 2**96 * 2**33):
        market.buy(offer, quantity=2**33, value=0)
    free = market.offer(market.publish(b"free"), kind=SUBSCRIPTION, period=MONTH, price=0)
    with reverts("SafeCastOverflowedUintDowncast"):
        market.buy(free, quantity=2**64 - 1)


def test_money_of_another_purchase_is_not_counted_as_the_price_of_this_one(market: Market) -> None:
    """The token moves nothing, but has an escrow of the same amount released in the midst of the payment."""
    token = market.chain.deploy("PhantomToken")
    token.mint(token, 10_000)
    dataset = market.publish()
    escrowed = market.offer(dataset, token=token.address, price=1000, escrowPeriod=DAY)
    token.execute(token, token.data("approve", market.manager, 10_000))
    token.execute(market.manager, market.manager.data("purchase", escrowed, token, 1, MOST))
    escrow = market.manager.purchaseOf(1).escrowId
    at_once = market.offer(dataset, token=token.address, price=1000)
    token.arm(market.escrow, market.escrow.data("confirm", escrow))
    with reverts("UnexpectedAmount", token, 2000, 1000):
        market.buy(at_once)
    assert market.manager.held(token) == 0
    market.assert_sound(token)
