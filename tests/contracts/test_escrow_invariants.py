"""Whatever anybody does in whatever order, EscrowPayment owes what it has and pays each unit once."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contracts.chain import Reverted
from tests.contracts.payment_world import METRIC, NATIVE
from tests.contracts.test_escrow_payment import CLOSED, EscrowWorld

STEPS = 40


@pytest.fixture(scope="module")
def world() -> EscrowWorld:
    return EscrowWorld()


class Handler:
    """Acts as everybody at random, remembers what was paid in, and checks the books after each step."""

    def __init__(self, world: EscrowWorld, seed: int) -> None:
        self.world = world
        self.random = random.Random(seed)
        self.tokens = (NATIVE, world.usd.address)
        self.datasets = [world.dataset, world.register(b"other")]
        self.accounts = (world.buyer, world.friend)
        self.paid_in: dict[int, int] = {}
        self.withdrawn = dict.fromkeys(self.tokens, 0)
        self.succeeded = 0
        self.actions = [
            self.open,
            self.open,
            self.top_up,
            self.draw_down,
            self.settle,
            self.settle,
            self.give_back,
            self.freeze,
            self.resolve,
            self.withdraw,
            self.wait,
            self.score,
            self.retire,
        ]

    def run(self) -> None:
        for _ in range(STEPS):
            try:
                self.random.choice(self.actions)()
                self.succeeded += 1
            except Reverted as error:
                assert error.name not in ("", "Panic", "Unbacked"), error
            self.check()

    def any_escrow(self) -> int:
        return self.random.randint(1, len(self.paid_in) + 1)

    def any_amount(self, escrow_id: int) -> int:
        available = self.world.escrow.amountOf(escrow_id)
        return self.random.choice([available, self.random.randint(0, available + 1)])

    def open(self) -> None:
        conditional = self.random.random() < 0.4
        amount = self.random.choice([1, 3, 10_000, self.random.randint(1, 10**9)])
        escrow_id = self.world.open(
            datasetId=self.random.choice(self.datasets),
            payer=self.random.choice(self.accounts),
            token=self.random.choice(self.tokens),
            amount=amount,
            releaseAt=self.world.chain.timestamp + self.random.randint(0, 3 * 86_400),
            metric=METRIC if conditional else bytes(32),
            minScore=5_000 if conditional else 0,
            isPrepaid=self.random.random() < 0.4,
        )
        self.paid_in[escrow_id] = amount

    def top_up(self) -> None:
        escrow_id, amount = self.any_escrow(), self.random.randint(0, 10**6)
        token = self.world.escrow.escrow(escrow_id).token
        value = amount if token == NATIVE else 0
        buyer = self.world.buyer
        self.world.manager.topUp(self.world.escrow, escrow_id, 1, token, amount, sender=buyer, value=value)
        self.paid_in[escrow_id] += amount

    def draw_down(self) -> None:
        escrow_id = self.any_escrow()
        function = self.random.choice(["releasePart", "refundPart"])
        self.world.manager[function](self.world.escrow, escrow_id, self.any_amount(escrow_id))

    def settle(self) -> None:
        function = self.random.choice(["confirm", "release", "settleByOracle", "refundUnanswered", "refundVoid"])
        sender = self.random.choice([self.world.buyer, self.world.buyer, self.world.friend, self.world.stranger])
        self.world.escrow[function](self.any_escrow(), sender=sender)

    def give_back(self) -> None:
        escrow_id = self.any_escrow()
        self.world.escrow.refund(escrow_id, self.any_amount(escrow_id), sender=self.world.provider)

    def freeze(self) -> None:
        self.world.escrow.freeze(self.any_escrow(), sender=self.world.disputes)

    def resolve(self) -> None:
        bps = self.random.choice([0, 1, 5_000, 10_000, self.random.randint(0, 10_001)])
        self.world.escrow.resolve(self.any_escrow(), bps, sender=self.world.disputes)

    def withdraw(self) -> None:
        token = self.random.choice(self.tokens)
        done = self.world.escrow.withdrawFor(token, self.random.choice(self.accounts))
        self.withdrawn[token] += done.value

    def wait(self) -> None:
        self.world.chain.sleep(self.random.choice([1, 3_600, 86_400]))

    def score(self) -> None:
        dataset = self.random.choice(self.datasets)
        measured_at = self.world.chain.timestamp - self.random.randint(0, 7_200)
        self.world.oracle.setScore(dataset, METRIC, self.random.randint(0, 10_000), measured_at)

    def retire(self) -> None:
        if self.random.random() < 0.1:
            self.world.chain.registry.retire(self.random.choice(self.datasets), sender=self.world.provider)

    def check(self) -> None:
        escrow = self.world.escrow
        found: dict[int, Any] = {each: escrow.escrow(each) for each in self.paid_in}
        for each, paid in self.paid_in.items():
            one = found[each]
            assert one.amount + one.released + one.refunded == paid
            assert one.amount == 0 or one.state != CLOSED
        for token in self.tokens:
            mine = [one for one in found.values() if one.token == token]
            owed = sum(escrow.owed(token, account) for account in self.accounts)
            held = sum(one.amount for one in mine) + owed
            assert escrow.held(token) == held == self.world.balance(token, escrow)
            assert sum(one.released for one in mine) == self.world.distributed(token)
            assert sum(one.refunded for one in mine) == owed + self.withdrawn[token]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_each_unit_is_held_or_owed_or_was_paid_once(world: EscrowWorld, seed: int) -> None:
    with world.chain.reverted_after():
        handler = Handler(world, seed)
        handler.run()
        # A handler whose every step fails shows nothing.
        assert handler.succeeded > STEPS // 8
