"""EscrowPayment: who gets unearned money, when, and that none is lost on the way."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contracts.chain import START_TIME, Chain, Contract, reverts
from tests.contracts.payment_world import COMMIT_WINDOW, METRIC, NATIVE, USD, World, assert_sound, values

PRICE = 100 * USD
DAY = 86_400
ESCROW_PERIOD = 3 * DAY
OPEN, FROZEN, CLOSED = 1, 2, 3
CONFIRMED, DEADLINE, SCORE_MET, SCORE_UNMET, SCORE_MISSING, BY_PROVIDER, VOID, DISPUTE, MANAGER = range(9)


class EscrowWorld(World):
    escrow: Contract

    def __init__(self) -> None:
        super().__init__()
        arguments = (self.admin, self.manager, self.disputes, self.oracle, self.oracle)
        self.escrow = self.chain.deploy_proxy("EscrowPayment", *arguments)
        for account in (self.buyer, self.friend):
            self.usd.approve(self.manager, 2**256 - 1, sender=account)

    def input(self, **changes: Any) -> dict[str, Any]:
        fields = {
            "offerId": 7,
            "datasetId": self.dataset,
            "purchaseId": 70,
            "payer": self.buyer,
            "licensee": self.friend,
            "token": self.usd,
            "amount": PRICE,
            "releaseAt": self.chain.timestamp + ESCROW_PERIOD,
            "metric": bytes(32),
            "minScore": 0,
            "isPrepaid": False,
        }
        return fields | changes

    def open(self, **changes: Any) -> int:
        """An escrow of `PRICE` from the buyer for the friend, in test dollars."""
        given = self.input(**changes)
        value = given["amount"] if given["token"] == NATIVE else 0
        return int(self.manager.openEscrow(self.escrow, given, sender=self.buyer, value=value).value)

    def prepay(self, **changes: Any) -> int:
        return self.open(isPrepaid=True, releaseAt=0, **changes)

    def score(self, score: int) -> None:
        """The oracle measures a second later than now."""
        self.oracle.setScore(self.dataset, METRIC, score, self.chain.sleep(1))

    def owed(self, account: Any = None, token: Any = None) -> int:
        return int(self.escrow.owed(token or self.usd, account or self.buyer))

    def distributed(self, token: Any = None) -> int:
        return int(self.manager.distributed(token or self.usd))


@pytest.fixture(scope="module")
def world() -> EscrowWorld:
    return EscrowWorld()


# -- opening


def test_an_escrow_remembers_what_it_was_opened_with(world: EscrowWorld) -> None:
    escrow_id = world.open(metric=METRIC, minScore=8000)
    found = world.escrow.escrow(escrow_id)
    assert escrow_id == 1 == world.escrow.escrowCount()
    assert (found.payer, found.licensee, found.token) == (world.buyer, world.friend, world.usd.address)
    assert (found.amount, found.released, found.refunded, found.state) == (PRICE, 0, 0, OPEN)
    assert (found.openedAt, found.releaseAt) == (START_TIME, START_TIME + ESCROW_PERIOD)
    assert (found.metric, found.minScore, found.conditionMet) == (METRIC, 8000, False)
    assert (found.offerId, found.purchaseId, found.datasetId) == (7, 70, world.dataset)
    assert_sound(world, world.escrow, world.usd, PRICE)


def test_release_never_comes_before_nobody_can_take_the_data_set_over(world: EscrowWorld) -> None:
    escrow_id = world.open(releaseAt=world.chain.timestamp + 60)
    contestable_until = START_TIME + COMMIT_WINDOW
    assert world.escrow.escrow(escrow_id).releaseAt == contestable_until
    world.chain.sleep(60)
    with reverts("TooEarly", escrow_id, world.chain.timestamp, contestable_until):
        world.escrow.release(escrow_id, sender=world.provider)


def test_only_the_license_manager_opens_fills_and_draws(world: EscrowWorld) -> None:
    account = world.prepay()
    refused = ("NotLicenseManager", world.stranger, world.manager)
    with reverts(*refused):
        world.escrow.open(world.input(), sender=world.stranger)
    with reverts(*refused):
        world.escrow.topUp(account, 71, 1, sender=world.stranger)
    with reverts(*refused):
        world.escrow.releasePart(account, 1, sender=world.stranger)
    with reverts(*refused):
        world.escrow.refundPart(account, 1, sender=world.stranger)


def test_nothing_opens_on_money_that_did_not_come(world: EscrowWorld) -> None:
    with reverts("UnexpectedAmount", world.usd, PRICE, 0):
        world.manager.openUnpaid(world.escrow, world.input())
    world.open()
    with reverts("UnexpectedAmount", world.usd, PRICE, 0):
        world.manager.openUnpaid(world.escrow, world.input())
    with reverts("UnexpectedAmount", NATIVE, 5, 4):
        world.manager.openUnpaid(world.escrow, world.input(token=NATIVE, amount=5), value=4)
    with reverts("UnexpectedAmount", NATIVE, 0, 4):
        world.manager.openEscrow(world.escrow, world.input(), value=4, sender=world.buyer)


def test_a_token_that_takes_a_fee_is_refused(world: EscrowWorld) -> None:
    token = world.chain.deploy("FeeToken")
    token.mint(world.buyer, 10_000)
    token.approve(world.manager, 10_000, sender=world.buyer)
    token.setFee(0)
    assert world.open(token=token, amount=1000) == 1
    token.setFee(100)
    # The stand-in loses the fee on the way in, and a second one on the way here.
    token.mint(world.manager, 1000)
    with reverts("UnexpectedAmount", token, 1000, 990):
        world.open(token=token, amount=1000)
    token.setFee(0)
    assert_sound(world, world.escrow, token, 1000)


def test_a_surplus_that_came_unasked_is_not_taken_for_a_payment_twice(world: EscrowWorld) -> None:
    world.usd.transfer(world.escrow, 50, sender=world.buyer)
    world.open()
    assert world.escrow.held(world.usd) == PRICE
    assert world.usd.balanceOf(world.escrow) == PRICE + 50


def test_what_cannot_be_an_escrow_is_refused(world: EscrowWorld) -> None:
    with reverts("InvalidAccount", "0x" + "00" * 20):
        world.open(payer="0x" + "00" * 20)
    with reverts("InvalidScore", 10_001, 10_000):
        world.open(metric=METRIC, minScore=10_001)
    with reverts("InvalidAmount", 1, 0, 2**128 - 1):
        world.open(amount=0)
    world.chain.registry.retire(world.dataset, sender=world.provider)
    with reverts("DatasetVoid", world.dataset):
        world.open()


def test_unknown_escrows_are_named(world: EscrowWorld) -> None:
    for view in (world.escrow.escrow, world.escrow.isVoid):
        with reverts("UnknownEscrow", 9):
            view(9)
    assert world.escrow.amountOf(9) == 0
    for function in ("confirm", "release", "settleByOracle", "refundUnanswered", "refundVoid"):
        with reverts("UnknownEscrow", 9):
            world.escrow[function](9)


# -- silence and consent


def test_silence_until_the_deadline_releases(world: EscrowWorld) -> None:
    escrow_id = world.open()
    deadline = START_TIME + ESCROW_PERIOD
    world.chain.timestamp = deadline - 1
    with reverts("TooEarly", escrow_id, deadline - 1, deadline):
        world.escrow.release(escrow_id, sender=world.provider)
    world.chain.timestamp = deadline
    done = world.escrow.release(escrow_id, sender=world.stranger)
    assert values(done.event("EscrowReleased")) == (escrow_id, DEADLINE, PRICE, 0)
    assert values(done.event("Distributed")) == (7, world.buyer, world.usd.address, PRICE)
    assert world.usd.balanceOf(world.manager) == PRICE
    assert_sound(world, world.escrow, world.usd, 0)
    found = world.escrow.escrow(escrow_id)
    assert (found.state, found.amount, found.released) == (CLOSED, 0, PRICE)
    with reverts("NotOpen", escrow_id, CLOSED):
        world.escrow.release(escrow_id)


@pytest.mark.parametrize("who", ["buyer", "friend"])
def test_payer_or_licensee_confirm_at_once(world: EscrowWorld, who: str) -> None:
    escrow_id = world.open(token=NATIVE, amount=10**18)
    world.manager.setProvider(70, world.provider)
    world.chain.registry.transferDataset(world.dataset, world.stranger, sender=world.provider)
    with reverts("NotParty", escrow_id, world.provider, world.buyer):
        world.escrow.confirm(escrow_id, sender=world.provider)
    done = world.escrow.confirm(escrow_id, sender=getattr(world, who))
    assert done.event("EscrowReleased").cause == CONFIRMED
    assert values(done.event("DeliveryRecorded")) == (world.provider, world.dataset)
    assert world.chain.balance(world.manager) == 10**18 == world.distributed(NATIVE)
    assert_sound(world, world.escrow, NATIVE, 0)


def test_deliveries_need_not_be_counted(world: EscrowWorld) -> None:
    world.escrow.setReputation("0x" + "00" * 20)
    done = world.escrow.confirm(world.open(), sender=world.buyer)
    assert not done.all("DeliveryRecorded")


# -- the provider's own refund


def test_the_provider_gives_back_a_part_and_the_rest_is_released_later(world: EscrowWorld) -> None:
    escrow_id = world.open()
    with reverts("NotParty", escrow_id, world.buyer, world.provider):
        world.escrow.refund(escrow_id, 1, sender=world.buyer)
    for wrong in (0, PRICE + 1):
        with reverts("InvalidAmount", escrow_id, wrong, PRICE):
            world.escrow.refund(escrow_id, wrong, sender=world.provider)
    done = world.escrow.refund(escrow_id, 30 * USD, sender=world.provider)
    assert values(done.event("EscrowRefunded")) == (escrow_id, world.buyer, BY_PROVIDER, 30 * USD, 70 * USD)
    assert values(done.event("RefundTold")) == (70, 30 * USD, False)
    assert_sound(world, world.escrow, world.usd, PRICE)
    world.chain.sleep(ESCROW_PERIOD)
    world.escrow.release(escrow_id)
    assert (world.distributed(), world.owed()) == (70 * USD, 30 * USD)
    assert_sound(world, world.escrow, world.usd, 30 * USD)


def test_a_whole_refund_ends_the_licence(world: EscrowWorld) -> None:
    escrow_id = world.open()
    world.escrow.refund(escrow_id, 1, sender=world.provider)
    done = world.escrow.refund(escrow_id, PRICE - 1, sender=world.provider)
    assert done.event("RefundTold").endsLicence
    assert world.escrow.escrow(escrow_id).state == CLOSED
    assert world.owed() == PRICE


# -- the oracle's condition


def test_a_score_that_meets_the_condition_releases(world: EscrowWorld) -> None:
    escrow_id = world.open(metric=METRIC, minScore=8000)
    world.pass_contestable()
    world.score(8000)
    done = world.escrow.settleByOracle(escrow_id, sender=world.stranger)
    assert values(done.event("ConditionMet")) == (escrow_id, 8000, 8000)
    assert values(done.event("EscrowReleased")) == (escrow_id, SCORE_MET, PRICE, 0)
    assert_sound(world, world.escrow, world.usd, 0)


def test_while_contestable_a_good_score_is_noted_and_released_later(world: EscrowWorld) -> None:
    escrow_id = world.open(metric=METRIC, minScore=8000)
    world.score(9000)
    assert not world.escrow.settleByOracle(escrow_id).all("EscrowReleased")
    with reverts("NoCondition", escrow_id):
        world.escrow.settleByOracle(escrow_id)
    with reverts("TooEarly", escrow_id, world.chain.timestamp, START_TIME + COMMIT_WINDOW):
        world.escrow.release(escrow_id)
    # A later score changes nothing, and the deadline of the escrow need not be awaited.
    world.score(100)
    world.chain.timestamp = START_TIME + COMMIT_WINDOW
    with reverts("NoCondition", escrow_id):
        world.escrow.refundUnanswered(escrow_id, sender=world.buyer)
    assert world.escrow.release(escrow_id).event("EscrowReleased").cause == SCORE_MET


def test_a_score_that_misses_the_condition_refunds_and_ends_the_licence(world: EscrowWorld) -> None:
    escrow_id = world.open(metric=METRIC, minScore=8000)
    world.score(7999)
    done = world.escrow.settleByOracle(escrow_id)
    assert values(done.event("EscrowRefunded")) == (escrow_id, world.buyer, SCORE_UNMET, PRICE, 0)
    assert values(done.event("RefundTold")) == (70, PRICE, True)
    assert_sound(world, world.escrow, world.usd, PRICE)
    with reverts("NotOpen", escrow_id, CLOSED):
        world.escrow.settleByOracle(escrow_id)


def test_only_a_score_measured_after_the_purchase_counts(world: EscrowWorld) -> None:
    world.oracle.setScore(world.dataset, METRIC, 10_000, world.chain.timestamp)
    escrow_id = world.open(metric=METRIC, minScore=8000)
    with reverts("ScoreMissing", escrow_id, START_TIME, START_TIME):
        world.escrow.settleByOracle(escrow_id)


def test_no_answer_by_the_deadline_lets_the_payer_take_the_money_back(world: EscrowWorld) -> None:
    escrow_id = world.open(metric=METRIC, minScore=8000)
    deadline = START_TIME + ESCROW_PERIOD
    with reverts("ConditionOpen", escrow_id, METRIC, 8000):
        world.escrow.release(escrow_id)
    with reverts("TooEarly", escrow_id, START_TIME, deadline):
        world.escrow.refundUnanswered(escrow_id, sender=world.buyer)
    world.chain.timestamp = deadline
    with reverts("ConditionOpen", escrow_id, METRIC, 8000):
        world.escrow.release(escrow_id)
    with reverts("NotParty", escrow_id, world.friend, world.buyer):
        world.escrow.refundUnanswered(escrow_id, sender=world.friend)
    done = world.escrow.refundUnanswered(escrow_id, sender=world.buyer)
    assert done.event("EscrowRefunded").cause == SCORE_MISSING
    assert done.event("RefundTold").endsLicence


def test_a_late_answer_still_decides(world: EscrowWorld) -> None:
    escrow_id = world.open(metric=METRIC, minScore=8000)
    world.chain.sleep(ESCROW_PERIOD)
    world.score(8500)
    with reverts("ScorePresent", escrow_id, 8500):
        world.escrow.refundUnanswered(escrow_id, sender=world.buyer)
    world.escrow.settleByOracle(escrow_id)
    assert world.distributed() == PRICE


def test_the_buyer_may_confirm_without_the_oracle(world: EscrowWorld) -> None:
    escrow_id = world.open(metric=METRIC, minScore=8000)
    world.escrow.confirm(escrow_id, sender=world.buyer)
    assert world.distributed() == PRICE


def test_without_a_condition_no_score_matters(world: EscrowWorld) -> None:
    escrow_id = world.open()
    world.score(0)
    for function in ("settleByOracle", "refundUnanswered"):
        with reverts("NoCondition", escrow_id):
            world.escrow[function](escrow_id, sender=world.buyer)


def test_without_an_oracle_a_condition_is_unanswered(world: EscrowWorld) -> None:
    escrow_id = world.open(metric=METRIC, minScore=8000)
    world.escrow.setQualityOracle("0x" + "00" * 20)
    with reverts("ScoreMissing", escrow_id, 0, START_TIME):
        world.escrow.settleByOracle(escrow_id)
    world.chain.sleep(ESCROW_PERIOD)
    world.escrow.refundUnanswered(escrow_id, sender=world.buyer)
    assert world.owed() == PRICE


# -- disputes


def test_a_frozen_escrow_moves_for_nobody(world: EscrowWorld) -> None:
    escrow_id = world.open(metric=METRIC, minScore=8000)
    with reverts("NotDisputeResolution", world.stranger, world.disputes):
        world.escrow.freeze(escrow_id, sender=world.stranger)
    assert world.escrow.freeze(escrow_id, sender=world.disputes).value == PRICE
    world.chain.sleep(ESCROW_PERIOD)
    world.score(9000)
    attempts = [
        ("confirm", world.buyer, ()),
        ("release", world.stranger, ()),
        ("settleByOracle", world.stranger, ()),
        ("refundUnanswered", world.buyer, ()),
        ("refund", world.provider, (1,)),
        ("freeze", world.disputes, ()),
    ]
    for function, sender, more in attempts:
        with reverts("NotOpen", escrow_id, FROZEN):
            world.escrow[function](escrow_id, *more, sender=sender)


@pytest.mark.parametrize(("bps", "refunded"), [(1, 10_000), (3_333, 33_330_000), (9_999, 99_990_000)])
def test_a_dispute_divides_the_money(world: EscrowWorld, bps: int, refunded: int) -> None:
    escrow_id = world.open()
    world.escrow.freeze(escrow_id, sender=world.disputes)
    world.pass_contestable()
    done = world.escrow.resolve(escrow_id, bps, sender=world.disputes)
    assert done.value == refunded == world.owed()
    assert world.distributed() == PRICE - refunded
    assert values(done.event("EscrowResolved")) == (escrow_id, bps, refunded, PRICE - refunded)
    assert values(done.event("RefundTold")) == (70, refunded, False)
    assert world.escrow.escrow(escrow_id).state == CLOSED
    assert_sound(world, world.escrow, world.usd, refunded)


def test_the_odd_unit_of_a_division_is_the_payers(world: EscrowWorld) -> None:
    escrow_id = world.open(amount=3)
    world.escrow.freeze(escrow_id, sender=world.disputes)
    world.pass_contestable()
    world.escrow.resolve(escrow_id, 5000, sender=world.disputes)
    assert (world.owed(), world.distributed()) == (2, 1)


def test_a_dispute_won_whole_ends_the_licence(world: EscrowWorld) -> None:
    escrow_id = world.open()
    world.escrow.freeze(escrow_id, sender=world.disputes)
    done = world.escrow.resolve(escrow_id, 10_000, sender=world.disputes)
    assert values(done.event("RefundTold")) == (70, PRICE, True)
    assert world.owed() == PRICE


def test_a_dispute_lost_thaws_the_escrow_as_it_was(world: EscrowWorld) -> None:
    escrow_id = world.open(metric=METRIC, minScore=8000)
    world.escrow.freeze(escrow_id, sender=world.disputes)
    assert world.escrow.resolve(escrow_id, 0, sender=world.disputes).value == 0
    with reverts("ConditionOpen", escrow_id, METRIC, 8000):
        world.escrow.release(escrow_id)
    assert world.escrow.escrow(escrow_id).state == OPEN


def test_what_a_jury_leaves_the_provider_waits_while_the_data_set_is_contestable(world: EscrowWorld) -> None:
    escrow_id = world.open(metric=METRIC, minScore=8000)
    world.escrow.freeze(escrow_id, sender=world.disputes)
    done = world.escrow.resolve(escrow_id, 2_500, sender=world.disputes)
    assert values(done.event("EscrowResolved")) == (escrow_id, 2_500, 25 * USD, 0)
    with reverts("TooEarly", escrow_id, START_TIME, START_TIME + COMMIT_WINDOW):
        world.escrow.release(escrow_id)
    world.pass_contestable()
    world.escrow.release(escrow_id)
    assert (world.owed(), world.distributed()) == (25 * USD, 75 * USD)


def test_disputes_tolerate_escrows_that_are_closed(world: EscrowWorld) -> None:
    escrow_id = world.open()
    world.escrow.confirm(escrow_id, sender=world.buyer)
    assert world.escrow.freeze(escrow_id, sender=world.disputes).value == 0
    assert world.escrow.resolve(escrow_id, 10_000, sender=world.disputes).value == 0
    with reverts("InvalidBps", 10_001, 10_000):
        world.escrow.resolve(escrow_id, 10_001, sender=world.disputes)
    with reverts("NotDisputeResolution", world.admin, world.disputes):
        world.escrow.resolve(escrow_id, 0, sender=world.admin)


# -- prepaid accounts


def test_a_prepaid_account_is_filled_and_drawn_part_by_part(world: EscrowWorld) -> None:
    account = world.prepay()
    done = world.manager.topUp(world.escrow, account, 71, world.usd, 50 * USD, sender=world.buyer)
    assert values(done.event("EscrowToppedUp")) == (account, 71, 50 * USD, 150 * USD)
    done = world.manager.releasePart(world.escrow, account, 20 * USD)
    assert values(done.event("EscrowReleased")) == (account, MANAGER, 20 * USD, 130 * USD)
    done = world.manager.refundPart(world.escrow, account, 130 * USD)
    assert values(done.event("EscrowRefunded")) == (account, world.buyer, MANAGER, 130 * USD, 0)
    assert not done.all("RefundTold")
    assert (world.owed(), world.distributed()) == (130 * USD, 20 * USD)
    assert_sound(world, world.escrow, world.usd, 130 * USD)
    # It may be filled again.
    world.manager.topUp(world.escrow, account, 72, world.usd, USD, sender=world.buyer)
    assert world.escrow.amountOf(account) == USD


def test_a_prepaid_account_in_native_coin(world: EscrowWorld) -> None:
    account = world.prepay(token=NATIVE, amount=10)
    world.manager.topUp(world.escrow, account, 71, NATIVE, 5, value=5, sender=world.buyer)
    with reverts("UnexpectedAmount", NATIVE, 5, 4):
        world.manager.topUp(world.escrow, account, 71, NATIVE, 5, value=4, sender=world.buyer)
    world.manager.releasePart(world.escrow, account, 15)
    assert world.chain.balance(world.manager) == 15
    assert_sound(world, world.escrow, NATIVE, 0)


def test_parts_are_neither_nothing_nor_more_than_there_is(world: EscrowWorld) -> None:
    account = world.prepay()
    for wrong in (0, PRICE + 1):
        with reverts("InvalidAmount", account, wrong, PRICE):
            world.manager.releasePart(world.escrow, account, wrong)
        with reverts("InvalidAmount", account, wrong, PRICE):
            world.manager.refundPart(world.escrow, account, wrong)
    with reverts("InvalidAmount", account, 0, 2**128 - 1):
        world.manager.topUp(world.escrow, account, 71, world.usd, 0, sender=world.buyer)


def test_prepaid_accounts_and_escrows_are_not_taken_for_each_other(world: EscrowWorld) -> None:
    account, escrow_id = world.prepay(), world.open()
    for function, more in [("confirm", ()), ("release", ()), ("settleByOracle", ()), ("refund", (1,))]:
        with reverts("PrepaidAccount", account):
            world.escrow[function](account, *more, sender=world.buyer)
    for function in ("releasePart", "refundPart"):
        with reverts("NotPrepaid", escrow_id):
            world.manager[function](world.escrow, escrow_id, 1)


def test_a_dispute_about_a_prepaid_account_gives_back_all_or_nothing(world: EscrowWorld) -> None:
    account = world.prepay()
    world.escrow.freeze(account, sender=world.disputes)
    for function in ("releasePart", "refundPart"):
        with reverts("NotOpen", account, FROZEN):
            world.manager[function](world.escrow, account, 1)
    world.escrow.resolve(account, 0, sender=world.disputes)
    world.manager.releasePart(world.escrow, account, 40 * USD)
    world.escrow.freeze(account, sender=world.disputes)
    done = world.escrow.resolve(account, 1, sender=world.disputes)
    assert done.value == 60 * USD == world.owed()
    assert values(done.event("RefundTold")) == (70, 60 * USD, True)
    with reverts("NotOpen", account, CLOSED):
        world.manager.topUp(world.escrow, account, 71, world.usd, 1, sender=world.buyer)


# -- void data sets


@pytest.mark.parametrize("who", ["provider", "admin"])
def test_a_retired_data_set_sends_all_money_back(world: EscrowWorld, who: str) -> None:
    escrow_id, frozen, account = world.open(), world.open(), world.prepay()
    world.manager.releasePart(world.escrow, account, 25 * USD)
    world.escrow.freeze(frozen, sender=world.disputes)
    with reverts("DatasetNotVoid", world.dataset):
        world.escrow.refundVoid(escrow_id)
    world.chain.sleep(ESCROW_PERIOD)
    world.chain.registry.retire(world.dataset, sender=getattr(world, who))
    assert world.escrow.isVoid(escrow_id)
    with reverts("DatasetVoid", world.dataset):
        world.escrow.release(escrow_id)
    with reverts("DatasetVoid", world.dataset):
        world.escrow.confirm(escrow_id, sender=world.buyer)
    with reverts("DatasetVoid", world.dataset):
        world.manager.releasePart(world.escrow, account, 1)
    with reverts("DatasetVoid", world.dataset):
        world.manager.topUp(world.escrow, account, 71, world.usd, 1, sender=world.buyer)
    for each, amount in ((escrow_id, PRICE), (frozen, PRICE), (account, 75 * USD)):
        done = world.escrow.refundVoid(each, sender=world.stranger)
        assert values(done.event("EscrowRefunded")) == (each, world.buyer, VOID, amount, 0)
        assert values(done.event("RefundTold")) == (70, amount, True)
        with reverts("NotOpen", each, CLOSED):
            world.escrow.refundVoid(each)
    assert world.escrow.resolve(frozen, 10_000, sender=world.disputes).value == 0
    assert_sound(world, world.escrow, world.usd, world.owed())


def test_a_data_set_taken_over_sends_the_money_back(world: EscrowWorld) -> None:
    world.commit(b"stolen", world.friend)
    stolen = world.register(b"stolen", world.provider)
    escrow_id = world.open(datasetId=stolen)
    world.chain.sleep(60)
    world.claim(b"stolen", world.friend)
    assert world.chain.registry.ownerOf(stolen) == world.friend
    assert world.escrow.isVoid(escrow_id)
    with reverts("DatasetVoid", stolen):
        world.escrow.confirm(escrow_id, sender=world.buyer)
    world.escrow.refundVoid(escrow_id)
    assert world.owed() == PRICE
    # A purchase from the rightful owner stands on its own feet.
    second = world.open(datasetId=stolen)
    assert not world.escrow.isVoid(second)


def test_a_licence_that_was_taken_away_sends_the_money_back(world: EscrowWorld) -> None:
    escrow_id, account = world.open(), world.prepay()
    world.manager.setBroken(70, True)
    world.chain.sleep(ESCROW_PERIOD)
    with reverts("DatasetVoid", world.dataset):
        world.escrow.release(escrow_id)
    world.escrow.refundVoid(escrow_id)
    assert world.owed() == PRICE
    # What becomes of a prepaid account is for the LicenseManager to say.
    with reverts("DatasetNotVoid", world.dataset):
        world.escrow.refundVoid(account)


def test_a_score_does_not_settle_what_is_void(world: EscrowWorld) -> None:
    escrow_id = world.open(metric=METRIC, minScore=1)
    world.score(9000)
    world.chain.registry.retire(world.dataset, sender=world.provider)
    with reverts("DatasetVoid", world.dataset):
        world.escrow.settleByOracle(escrow_id)


def test_a_dispute_resolved_on_a_void_data_set_refunds_all(world: EscrowWorld) -> None:
    escrow_id = world.open()
    world.escrow.freeze(escrow_id, sender=world.disputes)
    world.chain.registry.retire(world.dataset, sender=world.provider)
    done = world.escrow.resolve(escrow_id, 0, sender=world.disputes)
    assert (done.value, done.event("EscrowRefunded").cause) == (PRICE, VOID)


# -- withdrawing


def test_refunds_are_withdrawn_once_by_anyone_to_their_owner_or_by_the_owner_to_anyone(world: EscrowWorld) -> None:
    world.escrow.refund(world.open(), 10, sender=world.provider)
    before = world.usd.balanceOf(world.buyer)
    done = world.escrow.withdrawFor(world.usd, world.buyer, sender=world.stranger)
    assert values(done.event("Withdrawn")) == (world.usd.address, world.buyer, world.buyer, 10)
    assert done.value == 10 == world.usd.balanceOf(world.buyer) - before
    with reverts("NothingOwed", world.usd, world.buyer):
        world.escrow.withdrawFor(world.usd, world.buyer)
    world.escrow.refund(1, 20, sender=world.provider)
    for nowhere in ("0x" + "00" * 20, world.escrow):
        with reverts("InvalidAccount", nowhere):
            world.escrow.withdrawTo(world.usd, nowhere, sender=world.buyer)
    world.escrow.withdrawTo(world.usd, world.provider, sender=world.buyer)
    assert world.usd.balanceOf(world.provider) == 20
    assert_sound(world, world.escrow, world.usd, PRICE - 30)


def test_a_payer_that_refuses_coin_stands_in_nobodys_way(world: EscrowWorld) -> None:
    hostile = world.chain.deploy("HostileAccount")
    hostile.set(1, world.escrow, b"")
    mine = world.open(token=NATIVE, amount=10, payer=hostile)
    world.open(token=NATIVE, amount=20)
    world.chain.registry.retire(world.dataset, sender=world.provider)
    for each in (1, 2):
        world.escrow.refundVoid(each)
    with reverts("Refused"):
        world.escrow.withdrawFor(NATIVE, hostile)
    world.escrow.withdrawFor(NATIVE, world.buyer)
    to = world.escrow.data("withdrawTo", NATIVE, world.friend)
    before = world.chain.balance(world.friend)
    hostile.execute(world.escrow, 0, to)
    assert world.chain.balance(world.friend) - before == 10
    assert mine == 1
    assert_sound(world, world.escrow, NATIVE, 0)


def test_a_payer_that_comes_back_while_it_is_paid_gets_nothing_more(world: EscrowWorld) -> None:
    hostile = world.chain.deploy("HostileAccount")
    world.open(token=NATIVE, amount=10, payer=hostile)
    world.open(token=NATIVE, amount=1000)
    world.chain.registry.retire(world.dataset, sender=world.provider)
    world.escrow.refundVoid(1)
    hostile.set(3, world.escrow, world.escrow.data("withdrawFor", NATIVE, hostile))
    world.escrow.withdrawFor(NATIVE, hostile)
    assert not hostile.hasSucceeded()
    assert world.chain.balance(hostile) == 10
    assert_sound(world, world.escrow, NATIVE, 1000)


def test_a_token_that_calls_back_cannot_act_twice(world: EscrowWorld) -> None:
    token = world.chain.deploy("ReentrantToken")
    token.mint(world.buyer, 2000)
    token.approve(world.manager, 2000, sender=world.buyer)
    escrow_id = world.open(token=token, amount=1000, payer=token)
    other = world.open(token=token, amount=1000, payer=token)
    attempts = [world.escrow.data(name, escrow_id) for name in ("confirm", "release", "refundVoid")]
    attempts += [world.escrow.data("confirm", other), world.escrow.data("withdrawFor", token, token)]
    for payload in attempts:
        with world.chain.reverted_after():
            token.arm(world.escrow, payload, 0)
            token.execute(world.escrow, 0, world.escrow.data("confirm", escrow_id))
            assert not token.hasSucceeded()
            assert_sound(world, world.escrow, token, 1000)
            assert token.balanceOf(world.manager) == 1000


def test_a_token_that_stops_hurts_only_its_own_money(world: EscrowWorld) -> None:
    token = world.chain.deploy("BlockingToken")
    token.mint(world.buyer, 100)
    token.approve(world.manager, 100, sender=world.buyer)
    blocked, fine = world.open(token=token, amount=100), world.open()
    token.setPaused(True)
    with reverts("Blocked"):
        world.escrow.confirm(blocked, sender=world.buyer)
    world.escrow.confirm(fine, sender=world.buyer)
    world.escrow.refund(blocked, 40, sender=world.provider)
    token.setPaused(False)
    token.setLying(True)
    with reverts("SafeERC20FailedOperation", token):
        world.escrow.withdrawFor(token, world.buyer)
    token.setLying(False)
    world.escrow.withdrawFor(token, world.buyer)
    assert_sound(world, world.escrow, token, 60)


# -- administration


def test_it_is_initialized_once_behind_its_proxy(world: EscrowWorld) -> None:
    arguments = (world.admin, world.manager, world.disputes, world.oracle, world.oracle)
    with reverts("InvalidInitialization"):
        world.escrow.initialize(*arguments)
    bare = world.chain.deploy("EscrowPayment")
    with reverts("InvalidInitialization"):
        bare.initialize(*arguments)
    zero = "0x" + "00" * 20
    with reverts("InvalidAccount", zero):
        Chain().deploy_proxy("EscrowPayment", zero, *arguments[1:])
    with reverts("InvalidAccount", zero):
        Chain().deploy_proxy("EscrowPayment", world.admin, zero, *arguments[2:])
    found = (world.escrow.licenseManager(), world.escrow.disputeResolution())
    assert found == (world.manager.address, world.disputes)
    assert world.escrow.qualityOracle() == world.escrow.reputation() == world.oracle.address


def test_only_the_admin_changes_collaborators(world: EscrowWorld) -> None:
    for function, view, event in [
        ("setDisputeResolution", "disputeResolution", "DisputeResolutionChanged"),
        ("setQualityOracle", "qualityOracle", "QualityOracleChanged"),
        ("setReputation", "reputation", "ReputationChanged"),
    ]:
        with reverts("AccessControlUnauthorizedAccount", world.stranger, bytes(32)):
            world.escrow[function](world.friend, sender=world.stranger)
        assert values(world.escrow[function](world.friend).event(event)) == (world.friend,)
        assert world.escrow[view]() == world.friend
