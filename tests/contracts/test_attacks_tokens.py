"""Hostile tokens and hostile accounts on the market as genesis deploys it: attempts, and what becomes of them."""

from __future__ import annotations

from typing import Any

import pytest

from dmchain.chain.primitives.crypto import keccak
from tests.contracts.chain import Contract, Reverted, reverts
from tests.contracts.genesis_world import COIN, DAY, NATIVE, PAY_PER_COMPUTE, SUBSCRIPTION, USD, Market, net

PRICE = 1_000


@pytest.fixture(scope="module")
def market() -> Market:
    return Market()


@pytest.fixture
def attacker(market: Market) -> Contract:
    """A contract with a thousand coins that does what it is told."""
    return market.chain.deploy("HostileAccount", value=1_000 * COIN)


# -- hostile tokens ----------------------------------------------------------------------------------------------------


def test_a_token_that_takes_a_fee_is_refused_everywhere(market: Market) -> None:
    seller, buyer = market.accounts[1:3]
    token = market.chain.deploy("FeeToken")
    token.mint(buyer, 10**6)
    terms = [
        market.offer(PRICE, token=token),
        market.offer(PRICE, token=token, escrowPeriod=DAY),
        market.offer(PRICE, SUBSCRIPTION, token=token),
        market.offer(PRICE, PAY_PER_COMPUTE, token=token),
    ]
    for each in terms:
        _, (offer,) = market.publish(seller, each)
        with reverts("UnexpectedAmount", token, PRICE, PRICE - PRICE // 100):
            market.buy(buyer, offer)
    token.approve(market["PaymentStream"], 10**6, sender=buyer)
    with reverts("UnexpectedAmount", token, PRICE, PRICE - PRICE // 100):
        market["PaymentStream"].startPlain(seller, token, 1, 1, PRICE, sender=buyer)
    market.check_books(token)


def test_a_token_whose_fee_comes_later_hurts_its_own_holders_alone(market: Market) -> None:
    """Escrowed while it had no fee; nobody else's money makes up for what is missing now."""
    seller, buyer = market.accounts[1:3]
    token = market.chain.deploy("FeeToken")
    token.setFee(0)
    token.mint(buyer, 10**6)
    _, (offer,) = market.publish(seller, market.offer(PRICE, token=token, escrowPeriod=DAY))
    _, (dollars,) = market.publish(seller, market.offer(100 * USD, escrowPeriod=DAY))
    market.buy(buyer, dollars)
    market.buy(buyer, offer)
    escrow = market["EscrowPayment"]
    number = escrow.escrowCount()
    token.setFee(100)
    with reverts("UnexpectedAmount", token, PRICE, PRICE - PRICE // 100):
        escrow.confirm(number, sender=buyer)
    escrow.refund(number, PRICE, sender=seller)  # a refund stays here, so it works
    escrow.withdrawFor(token, buyer)
    assert (escrow.held(token), escrow.held(market.usd)) == (0, 100 * USD)
    market.check_books(token)


def test_a_token_that_returns_nothing_works(market: Market) -> None:
    seller, buyer = market.accounts[1:3]
    token = market.chain.deploy("NoReturnToken")
    token.mint(buyer, 10**6)
    dataset, (once, monthly) = market.publish(
        seller, market.offer(PRICE, token=token, escrowPeriod=DAY), market.offer(PRICE, SUBSCRIPTION, token=token)
    )
    market.buy(buyer, once)
    market["EscrowPayment"].confirm(market["EscrowPayment"].escrowCount(), sender=buyer)
    market["LicenseManager"].withdrawFor(token, seller)
    assert token.balanceOf(seller) == net(PRICE)
    market["LicenseManager"].renounce(dataset, sender=buyer)
    purchase = market.buy(buyer, monthly, 3)
    market["LicenseManager"].cancel(purchase, sender=buyer)
    market["EscrowPayment"].withdrawFor(token, buyer)
    assert token.balanceOf(buyer) == 10**6 - 2 * PRICE
    market.check_books(token)


def test_a_token_that_only_says_it_was_moved_buys_nothing(market: Market) -> None:
    seller, buyer = market.accounts[1:3]
    token = market.chain.deploy("BlockingToken")
    token.mint(buyer, 10**6)
    dataset, (offer,) = market.publish(seller, market.offer(PRICE, token=token))
    token.setLying(True)
    with reverts("SafeERC20FailedOperation", token):
        market.buy(buyer, offer)
    assert not market.has_license(dataset, buyer)


def test_a_blocked_seller_or_parent_does_not_stop_a_sale(market: Market) -> None:
    seller, buyer, parent_owner = market.accounts[1:4]
    token = market.chain.deploy("BlockingToken")
    token.mint(buyer, 10**6)
    parent, _ = market.publish(parent_owner, lineageRoyaltyBps=1_000)
    dataset, (offer,) = market.publish(seller, market.offer(PRICE, token=token), parents=(parent,))
    token.setBlocked(seller, True)
    token.setBlocked(parent_owner, True)
    market.buy(buyer, offer)
    assert market.has_license(dataset, buyer)
    manager = market["LicenseManager"]
    with reverts("Blocked"):
        manager.withdrawFor(token, seller)
    manager.withdrawTo(token, market.accounts[6], sender=seller)  # the money is his, wherever it goes
    assert token.balanceOf(market.accounts[6]) == net(PRICE) - net(PRICE) // 10
    market.check_books(token)


def _reentries(market: Market, token: Contract, escrow_id: int, offer: int, stream: int) -> list[tuple[Any, bytes]]:
    """Calls that would be worth something in the midst of a transfer."""
    manager, escrow, streams = market["LicenseManager"], market["EscrowPayment"], market["PaymentStream"]
    return [
        (manager, manager.data("withdrawFor", token, token)),
        (manager, manager.data("withdrawTo", token, token)),
        (manager, manager.data("purchase", offer, token, 1, PRICE)),
        (manager, manager.data("distribute", offer, token, token, PRICE)),
        (escrow, escrow.data("release", escrow_id)),
        (escrow, escrow.data("confirm", escrow_id)),
        (escrow, escrow.data("withdrawFor", token, token)),
        (streams, streams.data("withdraw", stream)),
        (streams, streams.data("cancel", stream)),
    ]


@pytest.mark.parametrize("number", range(9))
@pytest.mark.parametrize("moment", ["purchase", "withdraw", "confirm", "stream"])
def test_a_token_that_calls_back_gains_nothing(market: Market, moment: str, number: int) -> None:
    """The token itself is seller, buyer and payer, so that every call it makes is allowed to it."""
    chain = market.chain
    token = chain.deploy("ReentrantToken")
    chain.set_balance(token, COIN)
    manager, escrow, streams = market["LicenseManager"], market["EscrowPayment"], market["PaymentStream"]
    token.mint(token, 10**6)
    for contract in (manager, escrow, streams):
        token.execute(token, 0, token.data("approve", contract, 10**9))
    seller = market.accounts[1]
    _, (offer, second, third) = market.publish(
        seller,
        market.offer(PRICE, token=token, escrowPeriod=DAY),
        market.offer(PRICE, token=token),
        market.offer(PRICE, token=token, kind=SUBSCRIPTION),
    )
    token.execute(manager, 0, manager.data("purchase", offer, market.accounts[7], 1, PRICE))
    escrow_id = escrow.escrowCount()
    token.execute(manager, 0, manager.data("purchase", second, market.accounts[8], 1, PRICE))
    token.execute(streams, 0, streams.data("startPlain", token, token, 1, 1, PRICE))
    stream = streams.streamCount()
    token.execute(streams, 0, streams.data("startPlain", seller, token, 1, 1, PRICE))
    chain.sleep(100)
    total = token.totalSupply()

    target, payload = _reentries(market, token, escrow_id, third, stream)[number]
    token.arm(target, payload, 0)
    calls = {
        "purchase": (manager, manager.data("purchase", second, market.accounts[9], 1, PRICE)),
        "withdraw": (manager, manager.data("withdrawFor", token, seller)),
        "confirm": (escrow, escrow.data("confirm", escrow_id)),
        "stream": (streams, streams.data("withdraw", stream + 1)),
    }
    try:
        token.execute(calls[moment][0], 0, calls[moment][1])
    except Reverted as error:
        assert error.name in ("UnexpectedAmount", "ReentrancyGuardReentrantCall"), error
    market.check_books(token)
    owners = (token, seller, market.timelock)
    owed = sum(contract.owed(token, each) for contract in (manager, escrow, streams) for each in owners)
    assert owed <= sum(contract.held(token) for contract in (manager, escrow, streams)) <= total
    for contract in (manager, escrow, streams):  # and everybody gets what he is owed
        for each in owners:
            if contract.owed(token, each):
                contract.withdrawFor(token, each)
    market.check_books(token)


# -- hostile accounts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [1, 2], ids=["refuses", "burns gas"])
def test_who_refuses_coin_stops_nobody_but_himself(market: Market, attacker: Contract, mode: int) -> None:
    manager, escrow = market["LicenseManager"], market["EscrowPayment"]
    buyer = market.accounts[2]
    parent, _ = market.publish(attacker.address, lineageRoyaltyBps=2_000)
    child_owner = market.accounts[3]
    dataset, (offer,) = market.publish(child_owner, market.offer(COIN, token=NATIVE), parents=(parent,))
    attacker.set(mode, market["LicenseManager"], b"")
    market.buy(buyer, offer)
    assert market.has_license(dataset, buyer)
    before = market.chain.balance(child_owner)
    manager.withdrawFor(NATIVE, child_owner)
    assert market.chain.balance(child_owner) - before == net(COIN) - net(COIN) * 2_000 // 10_000
    with pytest.raises(Reverted):
        manager.withdrawFor(NATIVE, attacker)
    assert manager.owed(NATIVE, attacker) == net(COIN) * 2_000 // 10_000
    attacker.execute(manager, 0, manager.data("withdrawTo", NATIVE, market.accounts[9]), gas=5_000_000)
    assert manager.owed(NATIVE, attacker) == escrow.held(NATIVE) == 0
    market.check_books()


def test_coin_is_withdrawn_once_however_often_the_receiver_asks(market: Market, attacker: Contract) -> None:
    manager = market["LicenseManager"]
    _, (offer,) = market.publish(attacker.address, market.offer(COIN, token=NATIVE))
    _, (other,) = market.publish(market.accounts[3], market.offer(5 * COIN, token=NATIVE))
    for each in (offer, other):
        market.buy(market.accounts[2], each)
    before = attacker.balance
    attacker.set(3, manager, manager.data("withdrawTo", NATIVE, attacker))
    manager.withdrawFor(NATIVE, attacker)
    assert attacker.balance - before == net(COIN)
    assert not attacker.hasSucceeded()
    assert attacker.answer()[:4] == keccak(b"ReentrancyGuardReentrantCall()")[:4]
    market.check_books()


def test_coin_that_comes_unasked_is_nobodys(market: Market, attacker: Contract) -> None:
    """It is refused, or counted to no one: books do not change."""
    for name in ("LicenseManager", "EscrowPayment", "PaymentStream", "ProviderStake", "QualityOracle"):
        with reverts():
            market.chain.send(market[name], b"", value=1, sender=market.accounts[2])
    with pytest.raises(Reverted):
        market.chain.send(market["DisputeResolution"], b"", value=1, sender=market.accounts[2])
    manager = market["LicenseManager"]
    market.usd.transfer(manager, 7, sender=market.accounts[2])
    assert (market.usd.balanceOf(manager), manager.held(market.usd)) == (7, 0)
    with reverts("NothingOwed", market.usd, market.accounts[2]):
        manager.withdrawFor(market.usd, market.accounts[2])
