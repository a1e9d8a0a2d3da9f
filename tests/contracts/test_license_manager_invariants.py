"""Random sequences of all that can be done with listings, licences, escrows and datatokens, and what must always hold.

One printed seed decides everything. In both vaults what is held is the balance and the sum of what is owed (and of open
escrows); money came only from buyers and went only to withdrawals; prepaid accounts hold what their terms say; a listing's
token and its data set have one owner; licences and their tokens belong to those who bought, were given or were granted
them; datatokens are neither made nor lost. DMCHAIN_SEEDS="7 8" tries other seeds.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.contracts.chain import Receipt, Reverted
from tests.contracts.market_world import (
    DAY,
    MONTH,
    NATIVE,
    ONE_TIME,
    PAY_PER_COMPUTE,
    SUBSCRIPTION,
    TERMS,
    VALID,
    Market,
    make_listing,
    make_offer,
)

SEEDS = [int(each) for each in os.environ.get("DMCHAIN_SEEDS", "0 1").split()]
ACTIONS = 120
CHECK_EVERY = 4
"""A check takes as long as ten actions."""
MOST = 2**256 - 1
NONE, SUPERSEDED = 0, 6


@pytest.fixture(scope="module")
def market() -> Market:
    return Market()


class Handler:
    """Does random things; those that the contracts refuse with an error of their own count as done."""

    def __init__(self, market: Market, seed: int) -> None:
        self.market, self.random = market, random.Random(seed)
        self.people = [market.provider, market.parent, market.rival, market.buyer, market.friend, market.stranger]
        self.datasets: list[bytes] = []
        self.contents: dict[bytes, bytes] = {}
        self.committed: set[bytes] = set()
        self.paid_in: Counter[str] = Counter()
        self.entitled: set[tuple[bytes, str]] = set()
        self.done: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.tokens = {str(NATIVE): NATIVE, market.usd.address: market.usd}
        # Some do more for the course of things than others.
        self.actions: list[Callable[[], Receipt | None]] = [
            *[self.publish] * 2, *[self.offer] * 3, *[self.buy] * 10, *[self.buy_through_listing] * 2, *[self.sleep] * 4,
            *[self.consume] * 3, *[self.collect] * 3, *[self.withdraw] * 2, self.cancel, self.refund_units, self.renounce,
            self.reserve, self.unreserve, self.consume_for, *[self.confirm] * 2, self.release, self.refund, self.refund_void,
            self.transfer, self.retire, self.delist, self.take_over, self.gift, self.grant, self.end, self.close_offer,
            *[self.issue] * 2, *[self.sell_tokens] * 2, *[self.buy_tokens] * 3, *[self.redeem] * 2, self.cancel_sale,
            self.freeze, self.resolve, self.change_fee,
        ]  # fmt: skip

    def step(self) -> None:
        action = self.random.choice(self.actions)
        try:
            receipt = action()
        except Reverted as error:
            assert error.name not in ("Panic", "Error", ""), f"{action.__name__}: {error}"
            self.refused[action.__name__] += 1
            return
        self.done[action.__name__] += 1
        if receipt is not None:
            self.observe(receipt)

    def observe(self, receipt: Receipt) -> None:
        """Note who paid and who was entitled, from what the contracts say happened."""
        for event in receipt.all("Purchased"):
            self.paid_in[event.token] += event.amount
            self.entitled.add((event.datasetId, event.licensee))
        for event in receipt.all("Granted"):
            self.entitled.add((event.datasetId, event.licensee))
        for event in receipt.all("Sold"):
            self.paid_in[event.token] += event.price

    # ------------------------------------------------------------ actions

    def pick(self, most: int) -> int:
        return self.random.randint(1, max(1, int(most)))

    def who(self) -> Any:
        return self.random.choice(self.people)

    def dataset(self) -> bytes:
        return self.random.choice(self.datasets) if self.datasets else bytes(32)

    def owner(self, dataset: bytes) -> Any:
        return self.market.chain.registry.ownerOf(dataset) if dataset in self.datasets else self.who()

    def terms(self) -> dict[str, Any]:
        kind = self.random.choice((ONE_TIME, SUBSCRIPTION, PAY_PER_COMPUTE))
        period = self.random.choice((0, DAY, MONTH))
        escrow = self.random.choice((0, 0, DAY, 5 * DAY))
        return make_offer(
            kind=kind,
            token=self.random.choice(list(self.tokens)),
            price=self.random.choice((0, 1, 39, 997, 10**6 + 1)),
            period=period or (DAY if kind == SUBSCRIPTION else 0),
            escrowPeriod=0 if kind == PAY_PER_COMPUTE else escrow,
            maxQuantity=self.random.choice((0, 0, 0, 9)),
        )

    def publish(self) -> Receipt | None:
        content = b"content %d" % len(self.datasets)
        parents = self.random.sample(self.datasets, min(len(self.datasets), self.random.randint(0, 3)))
        if self.random.random() < 0.5:
            self.market.commit(content, self.market.rival)
            self.committed.add(content)
        dataset = self.market.publish(
            content, [self.terms() for _ in range(3)], owner=self.who(), parents=parents,
            lineageRoyaltyBps=self.random.choice((0, 500, 2000)),
        )  # fmt: skip
        self.datasets.append(dataset)
        self.contents[dataset] = content
        return None

    def take_over(self) -> Receipt | None:
        dataset = self.dataset()
        content = self.contents.get(dataset, b"")
        if content in self.committed:
            self.market.take_over(content, self.market.rival, [self.terms()])
            self.committed.remove(content)
            # Licences of the former registration count no more: whoever has one again must have got it again.
            self.entitled = {each for each in self.entitled if each[0] != dataset}
        return None

    def offer(self) -> Receipt:
        dataset = self.dataset()
        return self.market.manager.createOffer(dataset, self.terms(), sender=self.owner(dataset))

    def close_offer(self) -> Receipt:
        offer = self.pick(self.market.manager.offerCount())
        return self.market.manager.closeOffer(offer, sender=self.owner(self.market.manager.offer(offer).datasetId))

    def _value(self, offer: int, quantity: int) -> int:
        terms = self.market.manager.offer(offer)
        return terms.price * quantity if str(terms.token) == NATIVE else 0

    def buy(self) -> Receipt:
        offer, payer = self.pick(self.market.manager.offerCount()), self.who()
        licensee = payer if self.random.random() < 0.7 else self.who()
        quantity = self.random.choice((1, 1, 1, 2, 3, 7))
        value = self._value(offer, quantity)
        return self.market.manager.purchase(offer, licensee, quantity, MOST, sender=payer, value=value)

    def buy_through_listing(self) -> Receipt:
        offer = self.pick(self.market.manager.offerCount())
        token = int.from_bytes(self.market.manager.offer(offer).datasetId, "big")
        return self.market.listing.purchaseAccess(token, offer, sender=self.who(), value=self._value(offer, 1))

    def sleep(self) -> None:
        self.market.chain.sleep(self.random.choice((1, 3600, DAY, 2 * DAY, MONTH)))

    def term(self) -> int:
        return self.pick(self.market.manager.purchaseCount())

    def cancel(self) -> Receipt:
        term = self.term()
        details = self.market.manager.term(term)
        return self.market.manager.cancel(
            term, sender=self.random.choice((details.payer, details.licensee, self.who()))
        )

    def collect(self) -> Receipt:
        return self.market.manager.collect(self.term(), sender=self.who())

    def consume(self) -> Receipt:
        details = self.market.manager.term(self.term())
        return self.market.manager.consume(details.datasetId, self.pick(3), sender=details.licensee)

    def refund_units(self) -> Receipt:
        term = self.term()
        return self.market.manager.refundUnits(term, sender=self.market.manager.term(term).licensee)

    def renounce(self) -> Receipt:
        details = self.market.manager.term(self.term())
        return self.market.manager.renounce(details.datasetId, sender=details.licensee)

    def reserve(self) -> Receipt:
        details = self.market.manager.term(self.term())
        return self.market.manager.reserveFor(
            details.datasetId, details.licensee, self.pick(3), sender=self.market.module
        )

    def unreserve(self) -> Receipt:
        return self.market.manager.unreserveFor(self.term(), self.pick(3), sender=self.market.module)

    def consume_for(self) -> Receipt:
        return self.market.manager.consumeFor(self.term(), self.pick(3), sender=self.market.module)

    def gift(self) -> Receipt:
        dataset, expiry = self.dataset(), self.market.chain.timestamp + DAY
        kind = self.random.choice((ONE_TIME, SUBSCRIPTION, PAY_PER_COMPUTE))
        units = 3 if kind == PAY_PER_COMPUTE else 0
        owner = self.owner(dataset)
        return self.market.manager.gift(dataset, self.who(), kind, expiry, units, TERMS, sender=owner)

    def grant(self) -> Receipt:
        offer, expiry = self.pick(self.market.manager.offerCount()), self.market.chain.timestamp + 2 * DAY
        units = 2 if self.market.manager.offer(offer).kind == PAY_PER_COMPUTE else 0
        licensee = self.who()
        return self.market.manager.grantFor(offer, licensee, licensee, expiry, units, sender=self.market.module)

    def end(self) -> Receipt:
        return self.market.manager.endFor(self.dataset(), self.who(), TERMS, sender=self.market.module)

    def escrow(self) -> int:
        return self.pick(self.market.escrow.escrowCount())

    def confirm(self) -> Receipt:
        escrow = self.escrow()
        return self.market.escrow.confirm(escrow, sender=self.market.escrow.escrow(escrow).payer)

    def release(self) -> Receipt:
        return self.market.escrow.release(self.escrow(), sender=self.who())

    def refund(self) -> Receipt:
        escrow = self.escrow()
        details = self.market.escrow.escrow(escrow)
        amount = self.random.choice((details.amount, self.pick(details.amount)))
        return self.market.escrow.refund(escrow, amount, sender=self.owner(details.datasetId))

    def refund_void(self) -> Receipt:
        return self.market.escrow.refundVoid(self.escrow(), sender=self.who())

    def freeze(self) -> Receipt:
        return self.market.escrow.freeze(self.escrow(), sender=self.market.disputes)

    def resolve(self) -> Receipt:
        bps = self.random.choice((0, 3333, 10_000))
        return self.market.escrow.resolve(self.escrow(), bps, sender=self.market.disputes)

    def transfer(self) -> Receipt:
        dataset = self.dataset()
        owner = self.owner(dataset)
        return self.market.listing.transferFrom(owner, self.who(), int.from_bytes(dataset, "big"), sender=owner)

    def retire(self) -> Receipt | None:
        dataset = self.dataset()
        if self.random.random() < 0.15:
            return self.market.chain.registry.retire(dataset, sender=self.owner(dataset))
        return None

    def delist(self) -> Receipt | None:
        """Off the market, and on again; or what was off comes back."""
        dataset = self.dataset()
        owner = self.owner(dataset)
        if self.market.listing.isListed(dataset):
            self.market.listing.delist(int.from_bytes(dataset, "big"), sender=owner)
            return None
        self.market.chain.registry.setOperator(dataset, self.market.listing, sender=owner)
        return self.market.listing.listData(dataset, "ipfs://m", make_listing(), [self.terms()], sender=owner)

    def change_fee(self) -> Receipt:
        return self.market.manager.setPlatformFee(self.random.choice((0, 250, 1000)))

    def issue(self) -> Receipt:
        offer = self.pick(self.market.manager.offerCount())
        dataset = self.market.manager.offer(offer).datasetId
        bps, restricted = self.random.choice((0, 500, 2000)), self.random.random() < 0.5
        return self.market.datatoken.issue(dataset, offer, 5, bps, restricted, sender=self.owner(dataset))

    def token_class(self) -> int:
        return self.pick(self.market.datatoken.classCount())

    def sell_tokens(self) -> Receipt:
        class_id, price = self.token_class(), self.random.choice((0, 1, 777))
        holders = [each for each in self.people if self.market.datatoken.balanceOf(each, class_id)]
        seller = self.random.choice(holders or self.people)
        token = self.random.choice(list(self.tokens))
        return self.market.datatoken.sell(class_id, self.pick(2), token, price, sender=seller)

    def buy_tokens(self) -> Receipt:
        order = self.pick(self.market.datatoken.saleCount())
        sale, amount = self.market.datatoken.sale(order), self.pick(2)
        value = sale.unitPrice * amount if sale.token == NATIVE else 0
        return self.market.datatoken.buy(order, amount, MOST, sender=self.who(), value=value)

    def cancel_sale(self) -> Receipt:
        order = self.pick(self.market.datatoken.saleCount())
        return self.market.datatoken.cancelSale(order, sender=self.market.datatoken.sale(order).seller)

    def redeem(self) -> Receipt:
        class_id = self.token_class()
        holders = [each for each in self.people if self.market.datatoken.balanceOf(each, class_id)]
        return self.market.datatoken.redeem(class_id, 1, sender=self.random.choice(holders or self.people))

    def withdraw(self) -> Receipt | None:
        token, account = (
            self.random.choice(list(self.tokens.values())),
            self.random.choice([*self.people, self.market.treasury]),
        )
        vault = self.random.choice((self.market.manager, self.market.escrow))
        due = vault.owed(token, account)
        before = self.market.balance(token, account)
        receipt = vault.withdrawFor(token, account, sender=self.market.admin)
        assert self.market.balance(token, account) == before + due
        self.paid_in[str(getattr(token, "address", token))] -= due
        return receipt

    # ------------------------------------------------------------ what must hold

    def check(self) -> None:
        market = self.market
        for name, token in self.tokens.items():
            market.assert_sound(token, accounts=[*self.people, market.treasury])
            assert market.manager.held(token) + market.escrow.held(token) == self.paid_in[name]
        self.check_listings()
        self.check_terms()
        self.check_tokens()

    def check_listings(self) -> None:
        market = self.market
        assert market.listing.tokenCount() == sum(map(market.listing.isListed, self.datasets))
        for dataset in filter(market.listing.isListed, self.datasets):
            entry = market.chain.registry.dataset(dataset)
            if market.listing.listingOf(dataset).registeredBlock == entry.registeredBlock:
                assert market.listing.ownerOf(int.from_bytes(dataset, "big")) == entry.owner
                assert (entry.operator, entry.controller) == (market.listing.address, market.manager.address)
            else:
                assert not market.listing.isAvailable(dataset)

    def check_terms(self) -> None:
        manager, chain = self.market.manager, self.market.chain
        for term_id in range(1, manager.purchaseCount() + 1):
            if manager.purchaseOf(term_id).termId != term_id:
                continue
            term = manager.term(term_id)
            assert term.reservedUnits <= term.units and term.releasedPeriods <= term.periods
            left = (term.periods - term.releasedPeriods + term.units) * term.price
            if term.prepaidId and not term.ended:
                assert self.market.escrow.amountOf(term.prepaidId) == left
            if manager.termOf(term.datasetId, term.licensee) == term_id and manager.isIntact(term_id):
                license = chain.ledger.licenseOf(term.datasetId, term.licensee)
                assert not term.units or license.units == term.units
                assert self.market.nft.tokenOf(term.datasetId, term.licensee) == term.licenseNft
                assert self.market.nft.verifyAccess(term.licenseNft, term.licensee) == (license.status == VALID)
        for dataset in self.datasets:
            for account in self.people:
                status = chain.ledger.licenseOf(dataset, account).status
                assert status in (NONE, SUPERSEDED) or (dataset, account) in self.entitled

    def check_tokens(self) -> None:
        tokens = self.market.datatoken
        in_orders: Counter[int] = Counter()
        for order in range(1, tokens.saleCount() + 1):
            sale = tokens.sale(order)
            in_orders[sale.classId] += sale.amount
        for class_id in range(1, tokens.classCount() + 1):
            details = tokens["class"](class_id)
            kept = tokens.balanceOf(tokens.address, class_id)
            assert kept == in_orders[class_id]
            total = kept + sum(tokens.balanceOf(account, class_id) for account in self.people)
            assert total == details.issued - details.redeemed == tokens["totalSupply(uint256)"](class_id)


@pytest.mark.parametrize("seed", SEEDS)
def test_money_licences_and_tokens_are_conserved(market: Market, seed: int) -> None:
    handler = Handler(market, seed)
    for _ in range(3):
        handler.publish()
    for action in range(ACTIONS):
        handler.step()
        if action % CHECK_EVERY == 0:
            handler.check()
    print(f"seed {seed}: done {dict(handler.done)}, refused {dict(handler.refused)}")
    assert handler.done["buy"] > 0
    # At the end everybody takes what is theirs, and the vaults keep what is still open.
    for token in handler.tokens.values():
        for vault in (market.manager, market.escrow):
            for account in [*handler.people, market.treasury]:
                if vault.owed(token, account):
                    due = vault.owed(token, account)
                    vault.withdrawFor(token, account)
                    handler.paid_in[str(getattr(token, "address", token))] -= due
    handler.check()
    assert market.manager.held(NATIVE) == market.balance(NATIVE, market.manager.address) == 0
