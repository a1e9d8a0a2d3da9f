"""Who pays what to whom at the end of a dispute, to the unit; and nothing is made or lost, whatever is done."""

from __future__ import annotations

import os
import random
from typing import Any

import pytest

from tests.contracts.chain import Reverted, reverts
from tests.contracts.dispute_world import (
    APPEAL_DEPOSIT,
    CLOSED,
    COMMITTING,
    CONSUMER,
    DATASET,
    DECIDED,
    EVIDENCE,
    PROVIDER,
    REVEALING,
    TREASURY,
    VALIDATOR_STAKE,
    World,
)
from tests.contracts.drawing import seal

BOND, FEES, APPEAL_BOND, APPEAL_FEES = 10_000, 300, 20_000, 700
REFUSE, REENTER = 1, 3

SEEDS = range(3) if os.environ.get("MARKET") == "full" else range(1)
"""Of the random plays: more of them in `make market-test`."""


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def claim(world: World, dispute: int, account: Any) -> int:
    """Claim for an account; what it was paid."""
    before = world.chain.balance(account)
    paid = world.disputes.claim(dispute, account, sender=world.stranger).event("CompensationClaimed").amount
    assert world.chain.balance(account) == before + paid
    return int(paid)


def test_all_who_paid_share_what_is_taken_from_listing_and_validator(world: World) -> None:
    """Three bought, for 1000, 500 and 250; 600 stand behind the listing: the chain's stake pays the rest."""
    world.stake(600)
    purchase = world.buy(world.consumer, 1_000)
    world.buy(world.second, 500)
    world.buy(world.third, 250)
    number = world.open(purchase)
    world.chain.sleep(1)
    world.buy(world.stranger, 10_000)  # too late to count
    world.decide(number, CONSUMER)
    event = world.execute(number).event("ProviderSlashed")
    assert (event.requested, event.fromListing, event.fromValidator) == (1_750 + FEES, 600, 1_450)
    assert world.validator_stake == VALIDATOR_STAKE - 1_450
    assert world.stakes.held() == world.stakes.balance == 0
    # deposit back: the bond, and the fees out of what was taken
    assert world.owed(world.consumer) == BOND + FEES
    assert world.disputes.dispute(number).pot == 1_750
    world.assert_conserved()
    assert [world.disputes.claimable(number, who) for who in (world.consumer, world.stranger)] == [1_000, 0]
    assert [claim(world, number, who) for who in (world.consumer, world.second, world.third)] == [1_000, 500, 250]
    with reverts("NothingToClaim", number, world.stranger):
        world.disputes.claim(number, world.stranger)
    with reverts("AlreadyClaimed", number, world.second):
        world.disputes.claim(number, world.second)
    assert world.disputes.dispute(number).potLeft == 0
    record = world.reputation.recordOf(world.provider)
    assert (record.disputesLost, record.disputesWon) == (1, 0) and world.reputation.scoreOf(world.provider) == 2_500
    world.assert_conserved()


def test_a_frivolous_dispute_loses_its_bond_and_fees(world: World) -> None:
    world.stake(600)
    number = world.open(world.buy(world.consumer, escrow=3))
    jury = world.decide(number, PROVIDER)
    world.execute(number)
    assert world.owed(world.provider) == BOND and world.owed(world.consumer) == 0
    assert {juror: world.owed(juror) for juror in jury} == {juror: 100 * seats for juror, seats in jury.items()}
    assert world.escrow.amounts(3) == 1_000 and not world.escrow.isFrozen(3)
    assert world.stakes.held() == 600 and world.validator_stake == VALIDATOR_STAKE
    assert world.reputation.recordOf(world.provider).disputesWon == 1
    with reverts("NothingToClaim", number, world.consumer):
        world.disputes.claim(number, world.consumer)
    world.assert_conserved()


def test_coherent_jurors_share_the_fees_and_what_the_others_lose(world: World) -> None:
    """Two vote with the ruling, one against it: 500 of its stake and 300 of fees are 400 for each seat."""
    number = world.open(world.buy(world.consumer))
    first, second, wrong = world.draw_apart(number)
    world.vote(number, {first: CONSUMER, second: CONSUMER, wrong: PROVIDER})
    world.execute(number)
    assert (world.owed(first), world.owed(second), world.owed(wrong)) == (400, 400, 0)
    assert world.disputes.member(wrong).stake == 9_500 and world.disputes.member(wrong).weight == 9_500
    assert all(world.disputes.member(juror).locked == 0 for juror in (first, second, wrong))
    world.assert_conserved()


def test_what_does_not_divide_goes_to_the_treasury(world: World) -> None:
    world.disputes.setParameters(world.disputes.parameters()._asdict() | {"wrongBps": 3_333, "seatFee": 101})
    number = int(
        world.disputes.open(world.buy(world.consumer), EVIDENCE, sender=world.consumer, value=BOND + 303).value
    )
    first, second, wrong = world.draw_apart(number)
    world.vote(number, {first: PROVIDER, second: PROVIDER, wrong: CONSUMER})
    world.execute(number)
    # 303 of fees and 333 of stake
    assert (world.owed(first), world.owed(second), world.owed(TREASURY)) == (318, 318, 0)
    number = int(
        world.disputes.open(world.buy(world.consumer), EVIDENCE, sender=world.consumer, value=BOND + 303).value
    )
    first, second, _ = world.draw_apart(number)
    world.vote(number, {first: PROVIDER, second: PROVIDER})
    world.execute(number)
    # 303 and 800
    assert world.owed(TREASURY) == 1


def test_an_appeal_of_the_provider_turns_the_ruling(world: World) -> None:
    """The first jury was wrong: it pays; the consumer loses the bond, and the provider has its deposit back."""
    number = world.open(world.buy(world.consumer))
    first = world.decide(number, CONSUMER)
    assert world.disputes.appealDeposit(number) == APPEAL_DEPOSIT
    world.disputes.appeal(number, EVIDENCE, sender=world.provider, value=APPEAL_DEPOSIT)
    assert world.disputes.dispute(number).appellant == world.provider
    second = world.decide(number, PROVIDER, randao=5)
    world.execute(number)
    assert world.owed(world.provider) == BOND + APPEAL_BOND
    # nobody of the first jury earned its fees: they go back to who had paid them
    assert world.owed(world.consumer) == FEES
    assert world.owed(TREASURY) == 3 * 500
    stakes = {juror: 10_000 - 500 * first.get(juror, 0) for juror in world.jurors}
    assert {juror: world.disputes.member(juror).stake for juror in world.jurors} == stakes
    assert all(world.owed(juror) == 100 * second.get(juror, 0) for juror in world.jurors)
    world.assert_conserved()


def test_an_appeal_of_the_consumer_turns_the_ruling(world: World) -> None:
    """All deposits of the consumer come back; the provider pays the fees of the jury that was right."""
    world.stake(5_000)
    number = world.open(world.buy(world.consumer))
    world.decide(number, PROVIDER)
    world.disputes.appeal(number, EVIDENCE, sender=world.consumer, value=APPEAL_DEPOSIT)
    world.decide(number, CONSUMER, randao=5)
    event = world.execute(number).event("ProviderSlashed")
    assert (event.requested, event.fromListing, event.fromValidator) == (1_000 + APPEAL_FEES, 1_700, 0)
    assert world.owed(world.consumer) == BOND + FEES + APPEAL_BOND + APPEAL_FEES
    assert claim(world, number, world.consumer) == 1_000
    world.assert_conserved()


def test_an_appeal_that_fails_costs_its_bond(world: World) -> None:
    world.stake(50_000)
    number = world.open(world.buy(world.consumer))
    world.decide(number, CONSUMER)
    world.disputes.appeal(number, EVIDENCE, sender=world.provider, value=APPEAL_DEPOSIT)
    world.decide(number, CONSUMER, randao=5)
    world.execute(number)
    # the provider's bond is for the buyers
    assert world.disputes.dispute(number).pot == APPEAL_BOND + 1_000 and world.owed(world.provider) == 0
    assert world.owed(world.consumer) == BOND + FEES
    world.assert_conserved()
    other = world.open(world.buy(world.second), by=world.second)
    world.decide(other, PROVIDER)
    world.disputes.appeal(other, EVIDENCE, sender=world.second, value=APPEAL_DEPOSIT)
    world.decide(other, PROVIDER, randao=6)
    world.execute(other)
    assert world.owed(world.provider) == BOND + APPEAL_BOND and world.owed(world.second) == 0
    world.assert_conserved()


def test_less_is_taken_when_there_is_less(world: World) -> None:
    """Nothing behind the listing and a validator that owns less than the damage: jurors first, then the buyers."""
    purchase = world.buy(world.consumer, 3 * VALIDATOR_STAKE)
    world.buy(world.second, VALIDATOR_STAKE)
    number = world.open(purchase)
    world.decide(number, CONSUMER)
    event = world.execute(number).event("ProviderSlashed")
    assert (event.requested, event.fromValidator) == (4 * VALIDATOR_STAKE + FEES, VALIDATOR_STAKE)
    pot = VALIDATOR_STAKE - FEES
    assert claim(world, number, world.consumer) == pot * 3 // 4
    assert claim(world, number, world.second) == pot // 4
    world.assert_conserved()


def test_a_provider_with_nothing_leaves_nothing_to_claim(world: World) -> None:
    """Not even the fees: the consumer paid the jurors."""
    chain = world.chain
    chain.registry.transferDataset(DATASET, world.third, sender=world.provider)
    number = world.open(world.buy(world.consumer, provider=world.third))
    world.decide(number, CONSUMER)
    receipt = world.execute(number)
    assert receipt.event("ValidatorSlashFailed") and receipt.event("DisputeExecuted").pot == 0
    assert world.owed(world.consumer) == BOND
    with reverts("NothingToClaim", number, world.consumer):
        world.disputes.claim(number, world.consumer)
    world.assert_conserved()
    # a payment that nobody made good can be made good later
    world.stakes.stake(DATASET, sender=world.third, value=5_000)
    number = world.open(world.buy(world.second, 200, provider=world.third), by=world.second)
    world.decide(number, CONSUMER, randao=3)
    world.execute(number)
    assert [claim(world, number, who) for who in (world.consumer, world.second)] == [1_000, 200]


def test_without_payments_of_known_value_the_payer_gets_what_is_taken(world: World) -> None:
    number = world.open(world.buy(world.second, payer=world.consumer, escrow=1))
    world.decide(number, CONSUMER)
    assert world.execute(number).event("ProviderSlashed").requested == 500 + FEES
    assert world.escrow.amounts(1) == 0
    assert claim(world, number, world.consumer) == 500
    world.assert_conserved()


def test_buyers_are_compensated_once_for_the_same_payment(world: World) -> None:
    """Two disputes about one data set: the second is for what was paid after the first was opened."""
    first_purchase, second_purchase = world.buy(world.consumer, 1_000), world.buy(world.second, 500)
    first = world.open(first_purchase)
    world.chain.sleep(1)
    world.buy(world.second, 70)
    world.buy(world.third, 30)
    second = world.open(second_purchase, by=world.second)
    world.decide(first, CONSUMER)
    world.execute(first)
    assert [claim(world, first, who) for who in (world.consumer, world.second)] == [1_000, 500]
    world.decide(second, CONSUMER, randao=4)
    assert world.execute(second).event("ProviderSlashed").requested == 500 + FEES
    # 500 is the least that is taken: 70 to 30
    assert world.disputes.claimable(second, world.consumer) == 0
    assert [claim(world, second, who) for who in (world.second, world.third)] == [350, 150]
    world.assert_conserved()


def test_a_dispute_older_than_the_last_compensation_is_for_its_payer_alone(world: World) -> None:
    old_purchase = world.buy(world.consumer, 1_000)
    old = world.open(old_purchase)
    world.chain.sleep(1)
    young = world.open(world.buy(world.second, 400), by=world.second)
    world.decide(young, CONSUMER)
    world.execute(young)
    assert [claim(world, young, who) for who in (world.consumer, world.second)] == [1_000, 400]
    world.decide(old, CONSUMER, randao=4)
    world.execute(old)
    assert world.disputes.claimable(old, world.second) == 0
    assert claim(world, old, world.consumer) == 500
    world.assert_conserved()
    # and it does not bring back what was compensated
    third = world.open(world.buy(world.third, 600), by=world.third)
    world.decide(third, CONSUMER, randao=6)
    world.execute(third)
    assert world.disputes.claimable(third, world.consumer) == 0
    assert claim(world, third, world.third) == 600


def test_a_buyer_that_refuses_or_calls_back_harms_nobody_else(world: World) -> None:
    hostile = world.chain.deploy("HostileAccount")
    purchase = world.buy(world.consumer, 600)
    world.buy(hostile, 400)
    number = world.open(purchase)
    world.decide(number, CONSUMER)
    world.execute(number)
    again = world.disputes.data("claim", number, hostile)
    hostile.set(REFUSE, world.disputes, again)
    with reverts("Refused"):
        world.disputes.claim(number, hostile)
    assert claim(world, number, world.consumer) == 600
    hostile.set(REENTER, world.disputes, again)
    world.disputes.claim(number, hostile)
    assert not hostile.hasSucceeded() and hostile.balance == 400
    world.assert_conserved()


def test_coin_that_was_forced_in_belongs_to_nobody(world: World) -> None:
    world.chain.set_balance(world.disputes, world.disputes.balance + 12_345)
    purchase = world.buy(world.consumer)
    number = world.open(purchase)
    world.decide(number, CONSUMER)
    world.execute(number)
    claim(world, number, world.consumer)
    assert world.disputes.balance == world.disputes.held() + 12_345


def test_without_staking_on_the_chain_the_listing_pays_alone() -> None:
    world = World(has_validator=False)
    world.stake(800)
    number = world.open(world.buy(world.consumer))
    world.decide(number, CONSUMER)
    receipt = world.execute(number)
    event = receipt.event("ProviderSlashed")
    assert (event.requested, event.fromListing, event.fromValidator) == (1_000 + FEES, 800, 0)
    assert receipt.event("ValidatorSlashFailed")
    assert claim(world, number, world.consumer) == 800 - FEES
    world.assert_conserved()


class Player:
    """Anybody who does anything: the handler of the invariant test."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.rng = world, random.Random(seed)
        self.votes: dict[tuple[int, int, Any], int] = {}
        self.ended = 0

    def step(self) -> None:
        actions = [self.join, self.leave, self.withdraw, self.buy, self.open, self.push, self.push, self.push]
        actions += [self.ballots, self.ballots, self.ballots, self.appeal, self.claim, self.sleep]
        try:
            self.rng.choice(actions)()
        except Reverted:
            pass

    def any_dispute(self) -> int:
        return self.rng.randint(1, max(1, self.world.disputes.disputeCount()))

    def join(self) -> None:
        self.world.disputes.join(sender=self.rng.choice(self.world.jurors), value=self.rng.choice([0, 1_000, 7_000]))

    def leave(self) -> None:
        disputes = self.world.disputes
        if self.rng.random() < 0.5:
            self.rng.choice([disputes.requestLeave, disputes.withdrawStake])(sender=self.rng.choice(self.world.jurors))

    def withdraw(self) -> None:
        self.world.disputes.withdrawFor(self.rng.choice([*self.world.chain.accounts, TREASURY]))

    def buy(self) -> None:
        world = self.world
        if self.rng.random() < 0.5:
            world.stake(self.rng.randint(1, 2_000))
        buyer = self.rng.choice([world.consumer, world.second, world.third])
        world.buy(buyer, self.rng.randint(1, 3_000), escrow=self.rng.choice([0, 100 + world.purchases]))

    def open(self) -> None:
        if self.world.disputes.disputeCount() < 4:
            self.buy()
        purchase = self.rng.randint(max(1, self.world.purchases - 3), max(1, self.world.purchases))
        self.world.open(purchase, by=self.world.sales.purchaseOf(purchase).payer)

    def push(self) -> None:
        """Whatever comes next for a dispute."""
        world, disputes, number = self.world, self.world.disputes, self.any_dispute()
        case = disputes.dispute(number)
        if case.phase in (1, DECIDED) and self.rng.random() < 0.7:
            world.chain.timestamp = max(world.chain.timestamp, case.deadline)
        if case.phase == 1 and self.rng.random() < 0.05:
            disputes.concede(number, sender=world.provider)
        elif case.phase == 1:
            disputes.summon(number)
        elif case.phase == 2:
            disputes.draw(number, seal(world.chain, case.drawBlock, self.rng.getrandbits(256)))
        elif case.phase in (COMMITTING, REVEALING):
            disputes.tally(number)
        elif case.phase == DECIDED:
            disputes.execute(number)
            self.ended += 1

    def ballots(self) -> None:
        world, number = self.world, self.any_dispute()
        phase = world.phase(number)
        round_number = len(world.disputes.rounds(number)) - 1
        for juror in list(world.jury(number)) if phase in (COMMITTING, REVEALING) else []:
            key = (number, round_number, juror)
            if phase == COMMITTING and key not in self.votes and self.rng.random() < 0.9:
                vote = self.rng.choice([CONSUMER, CONSUMER, PROVIDER])
                world.commit(number, {juror: vote})
                self.votes[key] = vote
                if self.rng.random() < 0.1:
                    world.disputes.denounce(number, juror, vote, b"\6" * 32, sender=world.stranger)
            elif phase == REVEALING and key in self.votes and self.rng.random() < 0.9:
                vote = self.votes.pop(key)
                world.reveal(number, {juror: vote})

    def appeal(self) -> None:
        number = self.any_dispute()
        loser = self.rng.choice([self.world.provider, self.world.disputes.dispute(number).opener])
        self.world.disputes.appeal(number, EVIDENCE, sender=loser, value=APPEAL_DEPOSIT)

    def claim(self) -> None:
        self.world.disputes.claim(self.any_dispute(), self.rng.choice(self.world.chain.accounts))

    def sleep(self) -> None:
        self.world.chain.sleep(self.rng.choice([1, 20, 60, 150]))


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_is_done_money_is_conserved(world: World, seed: int) -> None:
    player = Player(world, seed)
    for _ in range(250):
        player.step()
        world.assert_conserved()
        assert world.stakes.held() == world.stakes.balance
    finish(world)
    assert world.disputes.disputeCount() > 2


def finish(world: World) -> None:
    """Anybody can bring every dispute to its end, and then nothing is locked."""
    disputes, chain = world.disputes, world.chain
    for number in range(1, disputes.disputeCount() + 1):
        for _ in range(20):
            case = disputes.dispute(number)
            if case.phase == CLOSED:
                break
            chain.timestamp = max(chain.timestamp, case.deadline)
            if case.phase == 1:
                disputes.summon(number, sender=world.stranger)
            elif case.phase == 2:
                disputes.draw(number, seal(chain, case.drawBlock, number), sender=world.stranger)
            elif case.phase in (COMMITTING, REVEALING):
                chain.timestamp = max(chain.timestamp, disputes.dispute(number).deadline)
                disputes.tally(number, sender=world.stranger)
            else:
                disputes.execute(number, sender=world.stranger)
        assert disputes.dispute(number).phase == CLOSED
        world.assert_conserved()
    assert disputes.pendingDraws() == 0
    assert all(disputes.member(who).locked == 0 for who in chain.accounts)
    assert world.stakes.position(DATASET, world.provider).locks == 0
