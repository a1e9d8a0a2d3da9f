"""PaymentStream: money that flows by the second, to the unit."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contracts.chain import START_TIME, Contract, Reverted, reverts
from tests.contracts.payment_world import NATIVE, USD, World, assert_sound, values

ZERO = "0x" + "00" * 20
PERIOD = 30 * 86_400
PRICE = 100 * USD
SUBSCRIPTION = 2
ACTIVE, ENDED = 1, 2
OFFER, COIN_OFFER = 1, 2


class StreamWorld(World):
    streams: Contract

    def __init__(self) -> None:
        super().__init__()
        self.streams = self.chain.deploy("PaymentStream", self.manager)
        self.chain.registry.setController(self.dataset, self.manager, sender=self.provider)
        self.offer(OFFER)
        self.offer(COIN_OFFER, token=NATIVE, price=10**18)
        for account in (self.buyer, self.friend, self.stranger):
            self.usd.approve(self.streams, 2**256 - 1, sender=account)

    def offer(self, offer_id: int, sellable: bool = True, **changes: Any) -> None:
        dataset = changes.get("datasetId", self.dataset)
        fields = {
            "datasetId": dataset,
            "metric": bytes(32),
            "termsHash": bytes(32),
            "token": self.usd,
            "kind": SUBSCRIPTION,
            "closed": False,
            "minScore": 0,
            "period": PERIOD,
            "price": PRICE,
            "maxQuantity": 0,
            "sold": 0,
            "escrowPeriod": 0,
            "registeredBlock": self.chain.registry.dataset(dataset).registeredBlock,
            "listingSerial": 1,
            "createdAt": self.chain.timestamp,
        }
        self.manager.setOffer(offer_id, fields | changes, sellable)

    def start(self, deposit: int = PRICE, offer: int = OFFER, licensee: Any = None, sender: Any = None) -> int:
        value = deposit if offer == COIN_OFFER else 0
        sender = sender or self.buyer
        return int(self.streams.start(offer, licensee or sender, deposit, sender=sender, value=value).value)

    def plain(self, price: int, period: int, deposit: int, recipient: Any = None, token: Any = NATIVE) -> int:
        value = deposit if token == NATIVE else 0
        recipient = recipient or self.provider
        done = self.streams.startPlain(recipient, token, price, period, deposit, sender=self.buyer, value=value)
        return int(done.value)


@pytest.fixture(scope="module")
def world() -> StreamWorld:
    return StreamWorld()


# -- starting


def test_a_stream_comes_with_a_licence_for_as_long_as_it_is_funded(world: StreamWorld) -> None:
    done = world.streams.start(OFFER, world.friend, PRICE // 2, sender=world.buyer)
    assert done.value == 1 == world.streams.streamCount()
    stops = START_TIME + PERIOD // 2
    expected = (1, OFFER, world.buyer, world.friend, ZERO, world.usd.address, PRICE // 2, PRICE, PERIOD, stops)
    assert values(done.event("StreamStarted")) == expected
    assert world.chain.ledger.licenseOf(world.dataset, world.friend).expiresAt == stops
    assert not world.licensed(world.buyer)
    assert world.streams.streamOf(world.dataset, world.friend) == 1
    world.chain.timestamp = stops - 1
    assert world.licensed(world.friend)
    world.chain.timestamp = stops
    assert not world.licensed(world.friend)
    assert world.streams.streamOf(world.dataset, world.friend) == 0


def test_a_stream_remembers_its_terms(world: StreamWorld) -> None:
    found = world.streams.stream(world.start())
    assert (found.payer, found.licensee, found.recipient) == (world.buyer, world.buyer, ZERO)
    assert (found.price, found.period, found.deposit, found.withdrawn) == (PRICE, PERIOD, PRICE, 0)
    assert (found.startedAt, found.stopsAt, found.state) == (START_TIME, START_TIME + PERIOD, ACTIVE)
    assert world.streams.licenseManager() == world.manager.address
    # The offer may change hands or close meanwhile: the stream flows as agreed.
    world.offer(OFFER, sellable=False, price=1)
    world.chain.sleep(PERIOD // 4)
    assert world.streams.claims(1) == (PRICE // 4, PRICE * 3 // 4)


@pytest.mark.parametrize("change", [{"kind": 1}, {"kind": 3}, {"sellable": False}])
def test_only_an_open_offer_of_a_subscription_streams(world: StreamWorld, change: dict[str, Any]) -> None:
    world.offer(5, **change)
    with reverts("NotStreamable", 5):
        world.start(offer=5)


def test_a_licence_in_force_is_not_paid_for_twice(world: StreamWorld) -> None:
    world.start()
    for payer in (world.buyer, world.stranger):
        with reverts("LicenseInForce", world.dataset, world.buyer):
            world.start(licensee=world.buyer, sender=payer)


def test_a_stream_by_somebody_else_does_not_keep_the_licensee_from_paying_for_its_own(world: StreamWorld) -> None:
    unasked = world.start(PRICE // 1000, licensee=world.buyer, sender=world.stranger)
    world.chain.sleep(100)
    with reverts("LicenseInForce", world.dataset, world.buyer):
        world.start(licensee=world.buyer, sender=world.friend)
    done = world.streams.start(OFFER, world.buyer, PRICE, sender=world.buyer)
    flowed = 100 * PRICE // PERIOD
    assert values(done.event("StreamEnded")) == (unasked, START_TIME + 100, PRICE // 1000 - flowed, flowed)
    assert world.streams.owed(world.usd, world.stranger) == PRICE // 1000 - flowed
    found = world.streams.stream(world.streams.streamOf(world.dataset, world.buyer))
    assert found.payer == world.buyer
    assert world.chain.ledger.licenseOf(world.dataset, world.buyer).expiresAt == START_TIME + 100 + PERIOD
    assert_sound(world, world.streams, world.usd, PRICE // 1000 + PRICE)


def test_what_cannot_flow_is_refused(world: StreamWorld) -> None:
    with reverts("InvalidAccount", ZERO):
        world.start(licensee=ZERO)
    second = PRICE // PERIOD + 1
    with reverts("DepositTooSmall", second - 1, second):
        world.start(second - 1)
    assert world.streams.stream(world.start(second)).stopsAt == START_TIME + 1
    for price, period in ((0, 1), (1, 0)):
        with reverts("InvalidRate", price, period):
            world.plain(price, period, 10)
    with reverts("DepositTooLarge", 2**40 + 1, 2**40):
        world.plain(1, 1, 2**40 + 1)
    for nobody in (ZERO, world.streams):
        with reverts("InvalidAccount", nobody):
            world.plain(1, 1, 10, recipient=nobody)
    with reverts("InvalidAccount", ZERO):
        world.chain.deploy("PaymentStream", ZERO)


def test_the_deposit_must_come_in_whole(world: StreamWorld) -> None:
    with reverts("UnexpectedAmount", NATIVE, 10, 9):
        world.streams.startPlain(world.provider, NATIVE, 1, 1, 10, value=9)
    with reverts("UnexpectedAmount", NATIVE, 0, 9):
        world.streams.start(OFFER, world.buyer, PRICE, sender=world.buyer, value=9)
    token = world.chain.deploy("FeeToken")
    token.mint(world.buyer, 1000)
    token.approve(world.streams, 1000, sender=world.buyer)
    with reverts("UnexpectedAmount", token, 1000, 990):
        world.plain(1, 1, 1000, token=token)


def test_unknown_streams_are_named(world: StreamWorld) -> None:
    for function in ("cancel", "close", "stopVoid", "withdraw", "stream", "claims"):
        with reverts("UnknownStream", 4):
            world.streams[function](4)
    with reverts("UnknownStream", 4):
        world.streams.topUp(4, 1)


# -- flowing


def test_money_flows_by_the_second_and_no_rounding_adds_up(world: StreamWorld) -> None:
    # A third of a unit a second: withdrawn every second, after 3000 seconds exactly 1000 have come.
    stream_id = world.plain(1, 3, 10_000)
    taken = 0
    for second in range(1, 301):
        world.chain.sleep(1)
        mine, rest = world.streams.claims(stream_id)
        assert taken + mine == second // 3
        assert taken + mine + rest == 10_000
        if mine:
            taken += world.streams.withdraw(stream_id).value
        else:
            with reverts("NothingToWithdraw", stream_id):
                world.streams.withdraw(stream_id)
    assert taken == 100
    assert_sound(world, world.streams, NATIVE, 10_000 - taken)


def test_anyone_withdraws_for_the_provider_through_the_license_manager(world: StreamWorld) -> None:
    stream_id = world.start()
    world.chain.sleep(PERIOD // 3)
    done = world.streams.withdraw(stream_id, sender=world.stranger)
    assert values(done.event("StreamWithdrawn")) == (stream_id, PRICE // 3)
    assert values(done.event("Distributed")) == (OFFER, world.buyer, world.usd.address, PRICE // 3)
    assert world.usd.balanceOf(world.manager) == PRICE // 3
    assert_sound(world, world.streams, world.usd, PRICE - PRICE // 3)


def test_a_stream_in_native_coin(world: StreamWorld) -> None:
    stream_id = world.start(10**18, COIN_OFFER)
    world.chain.sleep(1000)
    world.streams.withdraw(stream_id)
    flowed = 1000 * 10**18 // PERIOD
    assert world.chain.balance(world.manager) == flowed == world.manager.distributed(NATIVE)
    assert_sound(world, world.streams, NATIVE, 10**18 - flowed)


def test_a_plain_stream_pays_its_recipient_and_grants_nothing(world: StreamWorld) -> None:
    stream_id = world.plain(10 * USD, 100, 20 * USD, world.friend, world.usd)
    before = world.usd.balanceOf(world.friend)
    world.chain.sleep(50)
    world.streams.withdraw(stream_id, sender=world.stranger)
    assert world.usd.balanceOf(world.friend) - before == 5 * USD
    assert not world.licensed(world.friend)


def test_a_top_up_makes_stream_and_licence_last_longer(world: StreamWorld) -> None:
    stream_id = world.start(PRICE // 2)
    world.chain.sleep(PERIOD // 4)
    done = world.streams.topUp(stream_id, PRICE, sender=world.stranger)
    stops = START_TIME + PERIOD * 3 // 2
    assert values(done.event("StreamToppedUp")) == (stream_id, world.stranger, PRICE, stops)
    assert world.chain.ledger.licenseOf(world.dataset, world.buyer).expiresAt == stops
    # What has flowed does not change by it.
    assert world.streams.claims(stream_id) == (PRICE // 4, PRICE * 5 // 4)
    assert_sound(world, world.streams, world.usd, PRICE * 3 // 2)


def test_top_ups_too_small_for_a_second_add_up(world: StreamWorld) -> None:
    stream_id = world.plain(10, 1, 10)
    for _ in range(9):
        world.streams.topUp(stream_id, 1, value=1)
    assert world.streams.stream(stream_id).stopsAt == START_TIME + 1
    world.streams.topUp(stream_id, 1, value=1)
    assert world.streams.stream(stream_id).stopsAt == START_TIME + 2
    with reverts("DepositTooLarge"):
        world.streams.topUp(stream_id, 2**45, value=2**45)


def test_a_stream_that_ran_dry_takes_no_top_up(world: StreamWorld) -> None:
    stream_id = world.start()
    world.chain.sleep(PERIOD)
    with reverts("StreamRanDry", stream_id, START_TIME + PERIOD):
        world.streams.topUp(stream_id, PRICE, sender=world.buyer)


# -- a minimum


def test_a_minimum_has_flowed_the_moment_a_stream_starts(world: StreamWorld) -> None:
    day = PRICE // 30
    done = world.streams.setMinimum(OFFER, 86_400, sender=world.provider)
    assert values(done.event("MinimumChanged")) == (OFFER, 86_400)
    assert world.streams.minimumOf(OFFER) == 86_400
    least = PRICE * 86_400 // PERIOD + 1
    with reverts("DepositTooSmall", least - 1, least):
        world.start(least - 1)
    stream_id = world.start()
    assert world.streams.claims(stream_id) == (day, PRICE - day)
    assert world.streams.withdraw(stream_id).value == day
    world.chain.sleep(3_600)
    with reverts("NothingToWithdraw", stream_id):
        world.streams.withdraw(stream_id)
    # Cancelled within the first day, it costs that day; later every second counts as without a minimum.
    with world.chain.reverted_after():
        world.streams.cancel(stream_id, sender=world.buyer)
        assert world.streams.owed(world.usd, world.buyer) == PRICE - day
        assert not world.licensed(world.buyer)
    world.chain.sleep(86_400)
    assert world.streams.claims(stream_id) == (90_000 * PRICE // PERIOD - day, PRICE - 90_000 * PRICE // PERIOD)


def test_a_deposit_of_just_the_minimum_flows_at_once(world: StreamWorld) -> None:
    world.streams.setMinimum(OFFER, 86_400, sender=world.provider)
    deposit = PRICE * 86_400 // PERIOD + 1
    stream_id = world.start(deposit)
    assert world.streams.stream(stream_id).stopsAt == START_TIME + 86_400
    world.streams.withdraw(stream_id)
    world.chain.sleep(86_400)
    world.streams.close(stream_id)
    assert world.streams.owed(world.usd, world.buyer) == 1


def test_streams_that_run_keep_their_minimum_and_plain_ones_have_none(world: StreamWorld) -> None:
    stream_id, plain = world.start(), world.plain(1, 1, 10)
    world.streams.setMinimum(OFFER, 86_400, sender=world.provider)
    assert world.streams.claims(stream_id) == (0, PRICE)
    assert world.streams.claims(plain) == (0, 10)


def test_a_provider_may_refuse_streams(world: StreamWorld) -> None:
    with reverts("NotDatasetOwner", world.dataset, world.stranger, world.provider):
        world.streams.setMinimum(OFFER, 1, sender=world.stranger)
    world.streams.setMinimum(OFFER, 2**64 - 1, sender=world.provider)
    with reverts("NotStreamable", OFFER):
        world.start()


# -- ending


@pytest.mark.parametrize("who", ["buyer", "friend"])
def test_payer_or_licensee_cancel_and_both_sides_get_theirs(world: StreamWorld, who: str) -> None:
    stream_id = world.start(licensee=world.friend)
    world.chain.sleep(1000)
    with reverts("NotParty", stream_id, world.provider, world.buyer, world.friend):
        world.streams.cancel(stream_id, sender=world.provider)
    done = world.streams.cancel(stream_id, sender=getattr(world, who))
    flowed = 1000 * PRICE // PERIOD
    assert values(done.event("StreamEnded")) == (stream_id, START_TIME + 1000, PRICE - flowed, flowed)
    assert not world.licensed(world.friend)
    assert world.streams.claims(stream_id) == (flowed, 0)
    assert world.streams.owed(world.usd, world.buyer) == PRICE - flowed
    # Time makes no difference any more.
    world.chain.sleep(PERIOD)
    assert world.streams.withdraw(stream_id).value == flowed
    with reverts("NothingToWithdraw", stream_id):
        world.streams.withdraw(stream_id)
    before = world.usd.balanceOf(world.buyer)
    world.streams.withdrawFor(world.usd, world.buyer)
    assert world.usd.balanceOf(world.buyer) - before == PRICE - flowed
    assert_sound(world, world.streams, world.usd, 0)


def test_an_ended_stream_does_nothing_more(world: StreamWorld) -> None:
    stream_id = world.start()
    world.streams.cancel(stream_id, sender=world.buyer)
    assert world.streams.owed(world.usd, world.buyer) == PRICE
    for function in ("cancel", "close"):
        with reverts("NotActive", stream_id):
            world.streams[function](stream_id, sender=world.buyer)
    with reverts("NotActive", stream_id):
        world.streams.topUp(stream_id, 1, sender=world.buyer)


def test_the_recipient_of_a_plain_stream_may_end_it(world: StreamWorld) -> None:
    stream_id = world.plain(1, 1, 100)
    world.chain.sleep(40)
    with reverts("NotParty", stream_id, world.friend, world.buyer, world.provider):
        world.streams.cancel(stream_id, sender=world.friend)
    world.streams.cancel(stream_id, sender=world.provider)
    assert world.streams.claims(stream_id) == (40, 0)


def test_the_rest_of_less_than_a_second_goes_back_to_the_payer(world: StreamWorld) -> None:
    stream_id = world.plain(10, 1, 25)
    with reverts("StreamFlowing", stream_id, START_TIME + 2):
        world.streams.close(stream_id)
    world.chain.sleep(100)
    assert world.streams.claims(stream_id) == (20, 5)
    done = world.streams.close(stream_id, sender=world.stranger)
    assert values(done.event("StreamEnded")) == (stream_id, START_TIME + 2, 5, 20)
    assert world.streams.owed(NATIVE, world.buyer) == 5
    assert world.streams.withdraw(stream_id).value == 20


def test_withdrawing_from_a_dry_stream_closes_it(world: StreamWorld) -> None:
    stream_id = world.plain(10, 1, 25)
    world.chain.sleep(2)
    done = world.streams.withdraw(stream_id)
    assert (done.value, done.event("StreamEnded").refunded) == (20, 5)
    assert world.streams.stream(stream_id).state == ENDED
    assert_sound(world, world.streams, NATIVE, 5)


def test_cancelling_a_dry_stream_leaves_a_licence_from_elsewhere_alone(world: StreamWorld) -> None:
    stream_id = world.start()
    world.chain.sleep(PERIOD)
    world.manager.grantFor(OFFER, world.buyer, world.buyer, world.chain.timestamp + PERIOD, 0)
    world.streams.cancel(stream_id, sender=world.buyer)
    assert world.licensed(world.buyer)


def test_a_new_stream_closes_the_one_that_ran_dry(world: StreamWorld) -> None:
    first = world.start(PRICE + 1)
    world.chain.sleep(PERIOD + 5)
    second = world.start()
    assert world.streams.stream(first).state == ENDED
    assert world.streams.owed(world.usd, world.buyer) == 1
    assert world.streams.streamOf(world.dataset, world.buyer) == second
    assert world.streams.claims(first) == (PRICE, 0)


def test_a_new_stream_after_the_licence_was_ended_elsewhere_stops_the_old_one(world: StreamWorld) -> None:
    first = world.start()
    world.chain.sleep(PERIOD // 2)
    world.manager.endFor(world.dataset, world.buyer, b"revoked".ljust(32, b"\0"))
    second = world.start(sender=world.friend, licensee=world.buyer)
    assert world.streams.claims(first) == (PRICE // 2, 0)
    assert world.streams.owed(world.usd, world.buyer) == PRICE // 2
    assert world.streams.stream(second).payer == world.friend
    assert_sound(world, world.streams, world.usd, 2 * PRICE)


# -- void data sets


@pytest.mark.parametrize("function", ["stopVoid", "cancel"])
def test_a_retired_data_set_stops_the_stream_and_all_that_is_there_goes_back(world: StreamWorld, function: str) -> None:
    stream_id = world.start()
    world.chain.sleep(1000)
    with reverts("DatasetNotVoid", world.dataset):
        world.streams.stopVoid(stream_id)
    taken = world.streams.withdraw(stream_id).value
    world.chain.sleep(1000)
    world.chain.registry.retire(world.dataset, sender=world.provider)
    assert world.streams.claims(stream_id) == (0, PRICE - taken)
    with reverts("DatasetVoid", world.dataset):
        world.streams.withdraw(stream_id)
    with reverts("DatasetVoid", world.dataset):
        world.streams.topUp(stream_id, 1, sender=world.buyer)
    world.streams[function](stream_id, sender=world.buyer)
    assert world.streams.owed(world.usd, world.buyer) == PRICE - taken
    with reverts("NotActive", stream_id):
        world.streams.stopVoid(stream_id)
    assert_sound(world, world.streams, world.usd, PRICE - taken)


def test_a_data_set_taken_over_gives_back_even_what_was_cancelled_before(world: StreamWorld) -> None:
    world.commit(b"stolen", world.friend)
    stolen = world.register(b"stolen")
    world.chain.registry.setController(stolen, world.manager, sender=world.provider)
    world.offer(9, datasetId=stolen)
    cancelled = world.start(offer=9)
    world.chain.sleep(1000)
    world.streams.cancel(cancelled, sender=world.buyer)
    running = world.start(offer=9)
    dry = world.start(PRICE // 1000, offer=9, sender=world.stranger)
    world.chain.sleep(PERIOD // 1000)
    world.claim(b"stolen", world.friend)
    with reverts("DatasetVoid", stolen):
        world.streams.close(dry)
    for each in (cancelled, running, dry):
        with reverts("DatasetVoid", stolen):
            world.streams.withdraw(each)
        world.streams.stopVoid(each, sender=world.stranger)
    assert world.streams.owed(world.usd, world.buyer) == 2 * PRICE
    assert world.streams.owed(world.usd, world.stranger) == PRICE // 1000
    assert world.manager.distributed(world.usd) == 0


def test_a_new_stream_from_the_rightful_owner_sends_back_the_whole_deposit_of_the_void_one(world: StreamWorld) -> None:
    world.commit(b"stolen", world.friend)
    stolen = world.register(b"stolen")
    world.chain.registry.setController(stolen, world.manager, sender=world.provider)
    world.offer(9, datasetId=stolen)
    first = world.start(offer=9)
    world.chain.sleep(1000)
    world.claim(b"stolen", world.friend)
    world.chain.registry.setController(stolen, world.manager, sender=world.friend)
    world.offer(10, datasetId=stolen)
    second = world.start(offer=10)
    assert world.streams.owed(world.usd, world.buyer) == PRICE
    assert world.streams.claims(first) == (0, 0)
    world.chain.sleep(1000)
    assert world.streams.withdraw(second).value == 1000 * PRICE // PERIOD


def test_plain_streams_are_never_void(world: StreamWorld) -> None:
    stream_id = world.plain(1, 1, 10)
    with reverts("DatasetNotVoid", bytes(32)):
        world.streams.stopVoid(stream_id)


# -- hostile parties


def test_a_recipient_that_refuses_coin_keeps_nobody_from_cancelling(world: StreamWorld) -> None:
    hostile = world.chain.deploy("HostileAccount")
    hostile.set(1, ZERO, b"")
    stream_id = world.plain(1, 1, 100, recipient=hostile)
    world.chain.sleep(60)
    with reverts("Refused"):
        world.streams.withdraw(stream_id)
    before = world.chain.balance(world.buyer)
    world.streams.cancel(stream_id, sender=world.buyer)
    world.streams.withdrawTo(NATIVE, world.buyer, sender=world.buyer)
    assert world.chain.balance(world.buyer) - before == 40
    hostile.set(0, ZERO, b"")
    world.streams.withdraw(stream_id)
    assert world.chain.balance(hostile) == 60
    assert_sound(world, world.streams, NATIVE, 0)


def test_coming_back_in_a_transfer_gains_nothing(world: StreamWorld) -> None:
    hostile = world.chain.deploy("HostileAccount")
    stream_id = world.plain(1, 1, 100, recipient=hostile)
    world.chain.sleep(60)
    for payload in (world.streams.data("withdraw", stream_id), world.streams.data("cancel", stream_id)):
        with world.chain.reverted_after():
            hostile.set(3, world.streams, payload)
            world.streams.withdraw(stream_id)
            assert not hostile.hasSucceeded()
            assert_sound(world, world.streams, NATIVE, 40)
    token = world.chain.deploy("ReentrantToken")
    token.mint(world.buyer, 200)
    token.approve(world.streams, 200, sender=world.buyer)
    token.arm(world.streams, world.streams.data("withdraw", stream_id), 0)
    world.plain(1, 1, 100, token=token)
    assert not token.hasSucceeded()
    assert_sound(world, world.streams, token, 100)


# -- invariants


class Handler:
    """Starts, fills, cancels and withdraws at random; after each step both sides' claims must be the deposit."""

    def __init__(self, world: StreamWorld, seed: int) -> None:
        self.world = world
        self.random = random.Random(seed)
        self.paid_in: dict[int, int] = {}
        self.taken: dict[int, int] = {}
        self.payers = (world.buyer, world.friend)
        self.returned = 0
        self.actions = [self.start, self.start_plain, self.top_up, self.end, self.withdraw, self.withdraw, self.wait]
        self.actions += [self.withdraw_rest, self.wait]

    def run(self, steps: int) -> None:
        for step in range(steps):
            try:
                self.random.choice(self.actions)()
            except Reverted as error:
                assert error.name not in ("", "Panic", "Unbacked"), error
            if step == steps * 3 // 4:
                self.world.chain.registry.retire(self.world.dataset, sender=self.world.provider)
            self.check()

    def any_stream(self) -> int:
        return self.random.randint(1, len(self.paid_in) + 1)

    def start(self) -> None:
        self.world.streams.setMinimum(OFFER, self.random.choice([0, 0, 3_600, PERIOD // 2]), sender=self.world.provider)
        deposit = self.random.randint(1, 2 * PRICE)
        payer, licensee = self.random.choice(self.payers), self.random.choice(self.payers)
        self.paid_in[self.world.start(deposit, licensee=licensee, sender=payer)] = deposit

    def start_plain(self) -> None:
        deposit = self.random.randint(1, 10**9)
        price, period = self.random.randint(1, 10**6), self.random.randint(1, 10**6)
        self.paid_in[self.world.plain(price, period, deposit, token=self.world.usd)] = deposit

    def top_up(self) -> None:
        stream_id, amount = self.any_stream(), self.random.randint(0, PRICE)
        self.world.streams.topUp(stream_id, amount, sender=self.world.stranger)
        self.paid_in[stream_id] += amount

    def end(self) -> None:
        function = self.random.choice(["cancel", "close", "stopVoid"])
        self.world.streams[function](self.any_stream(), sender=self.random.choice(self.payers))

    def withdraw(self) -> None:
        stream_id = self.any_stream()
        self.taken[stream_id] = self.taken.get(stream_id, 0) + self.world.streams.withdraw(stream_id).value

    def withdraw_rest(self) -> None:
        self.returned += self.world.streams.withdrawFor(self.world.usd, self.random.choice(self.payers)).value

    def wait(self) -> None:
        self.world.chain.sleep(self.random.choice([1, 7, 3_600, PERIOD // 2]))

    def check(self) -> None:
        streams, usd = self.world.streams, self.world.usd
        claimed = 0
        for each in self.paid_in:
            found, (mine, rest) = streams.stream(each), streams.claims(each)
            assert found.deposit - found.withdrawn == mine + rest
            assert found.withdrawn == self.taken.get(each, 0)
            assert found.state == ACTIVE or rest == 0 or found.offerId == OFFER
            claimed += mine + rest
        owed = sum(streams.owed(usd, payer) for payer in self.payers)
        assert_sound(self.world, streams, usd, claimed + owed)
        assert claimed + owed + self.returned + sum(self.taken.values()) == sum(self.paid_in.values())


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_at_every_moment_both_claims_add_up_to_the_deposit(world: StreamWorld, seed: int) -> None:
    with world.chain.reverted_after():
        Handler(world, seed).run(40)


@settings(max_examples=60, deadline=None)
@given(
    price=st.integers(1, 2**96),
    period=st.integers(1, 2**40),
    seconds=st.integers(1, 2**30),
    dust=st.integers(0, 2**20),
    at=st.integers(0, 2**31),
)
def test_neither_side_loses_a_unit_to_rounding(
    world: StreamWorld, price: int, period: int, seconds: int, dust: int, at: int
) -> None:
    deposit = min(-(-seconds * price // period) + dust, 2**127)
    funded = deposit * period // price
    with world.chain.reverted_after():
        world.chain.set_balance(world.buyer, deposit)
        if not 0 < funded <= 2**40:
            with reverts("DepositTooSmall" if funded == 0 else "DepositTooLarge"):
                world.plain(price, period, deposit)
            return
        stream_id = world.plain(price, period, deposit)
        world.chain.sleep(at)
        flowed = min(at, funded) * price // period
        assert world.streams.claims(stream_id) == (flowed, deposit - flowed)
        assert world.streams.stream(stream_id).stopsAt == START_TIME + funded
