"""All contracts that hold money, as in genesis, under random actions of everybody: their books agree with each other.

- Each holds exactly what it says it owes, in each token.
- A prepaid account holds the price of the periods and units that its term has left.
- A valid licence belongs to a term that stands, and that was paid for: here, or by a stream that flows.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmchain.chain.primitives.crypto import keccak
from tests.contracts.chain import ZERO, Reverted
from tests.contracts.drawing import seal
from tests.contracts.genesis_world import (
    COIN,
    DAY,
    NATIVE,
    ONE_TIME,
    PAY_PER_COMPUTE,
    SUBSCRIPTION,
    USD,
    Market,
    make_cid,
)

STEPS = 90
CHECK_EVERY = 5
METRIC = keccak(b"completeness")
RESULT = make_cid("result")
CLOSED = 3


class MarketWorld(Market):
    """Two data sets with offers of every kind, three buyers, five operators."""

    def __init__(self) -> None:
        super().__init__()
        self.provider = self.accounts[1]
        self.buyers = list(self.accounts[2:5])
        self.operators = list(self.accounts[10:15])
        for operator in self.operators:
            self["QualityOracle"].join(sender=operator, value=COIN)
        for buyer in self.buyers:
            for spender in ("LicenseManager", "PaymentStream", "ComputeMarket"):
                self.usd.approve(self[spender], 2**256 - 1, sender=buyer)
        parent, _ = self.publish(self.accounts[5], lineageRoyaltyBps=1_000)
        self.datasets: list[bytes] = []
        self.offers: list[int] = []
        for parents in ((), (parent,), (parent,)):
            dataset, offers = self.publish(
                self.provider,
                self.offer(100 * USD + 1, escrowPeriod=2 * DAY),
                self.offer(10**9 + 7, token=NATIVE, escrowPeriod=DAY, metric=METRIC, minScore=5_000),
                self.offer(3 * USD + 1, SUBSCRIPTION, period=DAY, escrowPeriod=DAY),
                self.offer(10**6 + 3, SUBSCRIPTION, token=NATIVE, period=DAY),
                self.offer(USD + 1, PAY_PER_COMPUTE),
                self.offer(777, PAY_PER_COMPUTE, token=NATIVE, period=3 * DAY),
                parents=parents,
            )
            self.datasets.append(dataset)
            self.offers += offers
        kinds = {offer: self["LicenseManager"].offer(offer) for offer in self.offers}
        self.terms = {offer: (found.kind, found.token, found.price) for offer, found in kinds.items()}


@pytest.fixture(scope="module")
def world() -> MarketWorld:
    return MarketWorld()


class Handler:
    """One random life of the market."""

    def __init__(self, world: MarketWorld, seed: int) -> None:
        self.world = world
        self.random = random.Random(seed)
        self.manager, self.escrow = world["LicenseManager"], world["EscrowPayment"]
        self.streams, self.compute = world["PaymentStream"], world["ComputeMarket"]
        self.disputes = world["DisputeResolution"].address
        self.succeeded: dict[str, int] = {}
        self.actions = [
            *[self.buy] * 5,
            *[self.wait] * 3,
            *[self.consume] * 2,
            *[self.collect] * 2,
            self.cancel,
            self.refund_units,
            self.renounce,
            *[self.settle_escrow] * 3,
            self.give_back,
            self.dispute,
            *[self.start_stream] * 2,
            *[self.act_on_stream] * 3,
            *[self.order] * 3,
            *[self.act_on_order] * 5,
            self.withdraw,
            self.retire,
        ]

    def run(self) -> None:
        for step in range(STEPS):
            action = self.random.choice(self.actions)
            try:
                action()
                self.succeeded[action.__name__] = self.succeeded.get(action.__name__, 0) + 1
            except Reverted as error:
                assert error.name not in ("", "Panic"), error
            if step % CHECK_EVERY == CHECK_EVERY - 1:
                self.check()

    # -- actions

    def any_buyer(self) -> Any:
        return self.random.choice(self.world.buyers)

    def any_of(self, count: int) -> int:
        """An id, now and then one that does not exist."""
        return self.random.randint(1, max(count, 1)) if self.random.random() < 0.95 else count + 1

    def any_term(self, kind: int) -> tuple[int, Any]:
        """Mostly a term of this kind and who has it; else any id and anybody."""
        found = [self.manager.purchaseOf(each) for each in range(1, self.manager.purchaseCount() + 1)]
        fitting = [each for each in found if each.kind == kind and each.module == ZERO]
        if not fitting or self.random.random() < 0.1:
            return self.any_of(len(found)), self.any_buyer()
        chosen = self.random.choice(fitting)
        return chosen.termId, self.random.choice([chosen.licensee, chosen.licensee, chosen.payer])

    def any_metered(self) -> tuple[bytes, Any]:
        """Mostly a data set and an account with units of it."""
        term_id, sender = self.any_term(PAY_PER_COMPUTE)
        known = term_id <= self.manager.purchaseCount()
        return self.manager.term(term_id).datasetId if known else self.random.choice(self.world.datasets), sender

    def buy(self) -> None:
        offer = self.random.choice(self.world.offers)
        kind, token, price = self.world.terms[offer]
        quantity = 1 if kind == ONE_TIME else self.random.randint(1, 8)
        payer = self.any_buyer()
        licensee = payer if self.random.random() < 0.7 else self.any_buyer()
        value = price * quantity if token == NATIVE else 0
        self.manager.purchase(offer, licensee, quantity, 2**128, sender=payer, value=value)

    def wait(self) -> None:
        self.world.chain.sleep(self.random.choice([1, 3_600, DAY // 2, DAY]))

    def consume(self) -> None:
        dataset, sender = self.any_metered()
        self.manager.consume(dataset, self.random.randint(1, 3), sender=sender)

    def collect(self) -> None:
        self.manager.collect(self.any_term(SUBSCRIPTION)[0])

    def cancel(self) -> None:
        term_id, sender = self.any_term(SUBSCRIPTION)
        self.manager.cancel(term_id, sender=sender)

    def refund_units(self) -> None:
        term_id, sender = self.any_term(PAY_PER_COMPUTE)
        self.manager.refundUnits(term_id, sender=sender)

    def renounce(self) -> None:
        self.manager.renounce(self.random.choice(self.world.datasets), sender=self.any_buyer())

    def settle_escrow(self) -> None:
        function = self.random.choice(["confirm", "release", "settleByOracle", "refundUnanswered", "refundVoid"])
        escrow_id = self.any_of(self.escrow.escrowCount())
        known = escrow_id <= self.escrow.escrowCount()
        self.escrow[function](escrow_id, sender=self.escrow.escrow(escrow_id).payer if known else self.any_buyer())

    def give_back(self) -> None:
        escrow_id = self.any_of(self.escrow.escrowCount())
        amount = self.random.choice([1, self.escrow.amountOf(escrow_id)])
        self.escrow.refund(escrow_id, amount, sender=self.world.provider)

    def dispute(self) -> None:
        escrow_id = self.any_of(self.escrow.escrowCount())
        if self.random.random() < 0.5:
            self.escrow.freeze(escrow_id, sender=self.disputes)
        else:
            bps = self.random.choice([0, 2_500, 10_000])
            self.escrow.resolve(escrow_id, bps, sender=self.disputes)

    def start_stream(self) -> None:
        kinds = [offer for offer, (kind, _, _) in self.world.terms.items() if kind == SUBSCRIPTION]
        offer = self.random.choice(kinds if self.random.random() < 0.95 else self.world.offers)
        _, token, price = self.world.terms[offer]
        deposit = price * self.random.randint(1, 4) + self.random.randint(0, 99)
        payer = self.any_buyer()
        self.streams.setMinimum(offer, self.random.choice([0, 0, 3_600, DAY]), sender=self.world.provider)
        value = deposit if token == NATIVE else 0
        self.streams.start(offer, self.any_buyer(), deposit, sender=payer, value=value)

    def act_on_stream(self) -> None:
        stream_id = self.any_of(self.streams.streamCount())
        known = stream_id <= self.streams.streamCount()
        sender = self.streams.stream(stream_id).payer if known else self.any_buyer()
        function = self.random.choice(["withdraw", "withdraw", "cancel", "close", "stopVoid", "topUp"])
        if function != "topUp":
            self.streams[function](stream_id, sender=sender)
            return
        amount = self.random.randint(1, 10**6)
        value = amount if self.streams.stream(stream_id).token == NATIVE else 0
        self.streams.topUp(stream_id, amount, sender=sender, value=value)

    def order(self) -> None:
        dataset, sender = self.any_metered()
        wanted = {
            "datasetId": dataset,
            "algorithmCid": RESULT,
            "maxUnits": self.random.randint(1, 5),
            "acceptWithin": DAY,
            "completeWithin": DAY,
            "token": self.world.usd,
            "extraPay": self.random.randint(0, USD),
            "attestationFee": self.random.randint(0, USD),
        }
        self.compute.order(wanted, sender=sender)

    def act_on_order(self) -> None:
        order_id = self.any_of(self.compute.orderCount())
        found = self.compute.orderOf(order_id)
        function = self.random.choice(["accept", "accept", "complete", "complete", "cancel", "expire"])
        if function != "complete":
            sender = self.world.provider if function == "accept" else found.consumer
            self.compute[function](order_id, sender=sender)
            return
        if found.attestor == ZERO and found.drawBlock:
            header = seal(self.world.chain, found.drawBlock, self.random.getrandbits(256))
            self.compute.draw(order_id, header)
        attestor = self.compute.orderOf(order_id).attestor
        operator = next((each for each in self.world.operators if each == attestor), self.world.operators[0])
        used = self.random.randint(1, found.maxUnits)
        v, r, s = operator.sign(self.compute.attestationDigest(order_id, RESULT, used))
        self.compute.complete(order_id, RESULT, used, r + s + bytes([v]))

    def withdraw(self) -> None:
        vault = self.random.choice([self.manager, self.escrow, self.streams, self.compute])
        token = self.random.choice([NATIVE, self.world.usd.address])
        accounts = [*self.world.buyers, self.world.provider, self.world.timelock]
        owed = [each for each in accounts if vault.owed(token, each)]
        vault.withdrawFor(token, self.random.choice(owed or accounts))

    def retire(self) -> None:
        if self.random.random() < 0.3:
            self.world.chain.registry.retire(self.random.choice(self.world.datasets), sender=self.world.provider)

    # -- what must be true

    def check(self) -> None:
        self.check_terms()
        self.check_licences()
        escrows = [self.escrow.escrow(each) for each in range(1, self.escrow.escrowCount() + 1)]
        streams = range(1, self.streams.streamCount() + 1)
        flows = [(self.streams.stream(each).token, sum(self.streams.claims(each))) for each in streams]
        orders = [self.compute.orderOf(each) for each in range(1, self.compute.orderCount() + 1)]
        promised = [(each.token, each.extraPay + each.attestationFee) for each in orders if each.state in (1, 2)]
        kept = {
            "LicenseManager": [],
            "EscrowPayment": [(each.token, each.amount) for each in escrows],
            "PaymentStream": flows,
            "ComputeMarket": promised,
        }
        for name, sums in kept.items():
            for token in (NATIVE, self.world.usd.address):
                self.check_vault(name, token, sum(amount for of, amount in sums if of == token))

    def check_vault(self, name: str, token: str, kept: int) -> None:
        vault = self.world[name]
        people = [*self.world.buyers, *self.world.accounts[1:2], self.world.accounts[5], self.world.timelock]
        if name == "ComputeMarket":
            people += self.world.operators
        owed = sum(vault.owed(token, each) for each in people)
        balance = vault.balance if token == NATIVE else self.world.usd.balanceOf(vault)
        assert vault.held(token) == kept + owed == balance, (name, token)

    def check_terms(self) -> None:
        for purchase_id in range(1, self.manager.purchaseCount() + 1):
            purchase = self.manager.purchaseOf(purchase_id)
            if purchase.termId != purchase_id:
                continue
            term = self.manager.term(purchase_id)
            left = (term.periods - term.releasedPeriods + term.units) * term.price
            assert left == (self.escrow.amountOf(term.prepaidId) if term.prepaidId else 0)
            assert term.reservedUnits <= term.units

    def check_licences(self) -> None:
        for dataset in self.world.datasets:
            for buyer in self.world.buyers:
                if not self.world.has_license(dataset, buyer):
                    continue
                term_id = self.manager.termOf(dataset, buyer)
                assert term_id and self.manager.isIntact(term_id)
                if self.manager.term(term_id).module != ZERO:
                    assert self.streams.streamOf(dataset, buyer) != 0
                else:
                    assert self.manager.purchaseOf(term_id).amount > 0


SEEN: dict[str, int] = {}


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_the_books_of_all_contracts_agree_whatever_happens(world: MarketWorld, seed: int) -> None:
    with world.chain.reverted_after():
        handler = Handler(world, seed)
        handler.run()
        for name, times in handler.succeeded.items():
            SEEN[name] = SEEN.get(name, 0) + times


def test_the_random_lives_did_every_kind_of_thing(world: MarketWorld) -> None:
    if not SEEN:
        pytest.skip("runs after the test before it")
    needed = {
        "buy",
        "wait",
        "consume",
        "collect",
        "settle_escrow",
        "start_stream",
        "act_on_stream",
        "order",
        "withdraw",
    }
    assert needed <= SEEN.keys(), SEEN
