"""ComputeMarket: orders of computation, and who attests what they used."""

from __future__ import annotations

import random
from typing import Any

import pytest
import rlp
from eth_abi import encode
from hypothesis import given, settings
from hypothesis import strategies as st

from dmchain.chain.primitives.crypto import keccak
from tests.contracts.chain import START_TIME, Contract, Reverted, reverts
from tests.contracts.payment_world import NATIVE, USD, World, assert_sound, make_cid, values
from tests.contracts.signing import typed_digest

ZERO = "0x" + "00" * 20
ORDERED, ACCEPTED, COMPLETED, CLOSED = 1, 2, 3, 4
CANCELLED, REJECTED, NOT_ACCEPTED, NOT_COMPLETED, VOID = range(5)
UNITS = 10
HOUR = 3_600
REDRAW_AFTER = 600
PAY, FEE = 7 * USD, 2 * USD
ALGORITHM, RESULT = make_cid(b"algorithm"), make_cid(b"result")
USAGE = keccak(b"Usage(uint256 orderId,bytes resultCid,uint64 usedUnits)")


class ComputeWorld(World):
    market: Contract

    def __init__(self) -> None:
        super().__init__()
        self.market = self.chain.deploy("ComputeMarket", self.manager, self.oracle, REDRAW_AFTER)
        self.usd.approve(self.market, 2**256 - 1, sender=self.buyer)
        self.operators = list(self.chain.accounts[10:15])
        self.oracle.setOperators(self.operators)

    def input(self, **changes: Any) -> dict[str, Any]:
        fields = {
            "datasetId": self.dataset,
            "algorithmCid": ALGORITHM,
            "maxUnits": UNITS,
            "acceptWithin": HOUR,
            "completeWithin": 2 * HOUR,
            "token": self.usd,
            "extraPay": PAY,
            "attestationFee": FEE,
        }
        return fields | changes

    def order(self, value: int = 0, **changes: Any) -> int:
        return int(self.market.order(self.input(**changes), sender=self.buyer, value=value).value)

    def accepted(self, **changes: Any) -> int:
        order_id = self.order(**changes)
        self.market.accept(order_id, sender=self.provider)
        return order_id

    def header_of(self, number: int, randao: bytes) -> bytes:
        """A header of this block, which the chain will know by its hash."""
        fields: list[Any] = [bytes(32)] * 6 + [bytes(256), 0, number, 0, 0, 0, b"", randao, bytes(8), 7]
        header: bytes = rlp.encode(fields)
        self.chain.block_hashes[number] = keccak(header)
        return header

    def draw(self, order_id: int, randao: bytes = b"\1" * 32) -> Any:
        """The operator drawn, after the block that decides."""
        number = self.market.orderOf(order_id).drawBlock
        header = self.header_of(number, randao)
        self.chain.block_number = max(self.chain.block_number, number + 1)
        drawn = self.market.draw(order_id, header).value
        return next((each for each in self.operators if each == drawn), drawn)

    def attest(self, operator: Any, order_id: int, used: int, result: bytes = RESULT) -> bytes:
        v, r, s = operator.sign(self.market.attestationDigest(order_id, result, used))
        return bytes(r + s + bytes([v]))

    def complete(self, order_id: int, operator: Any, used: int = UNITS, sender: Any = None) -> Any:
        signature = self.attest(operator, order_id, used)
        return self.market.complete(order_id, RESULT, used, signature, sender=sender or self.provider)


@pytest.fixture(scope="module")
def world() -> ComputeWorld:
    return ComputeWorld()


# -- ordering


def test_an_order_reserves_units_and_takes_what_it_promises(world: ComputeWorld) -> None:
    done = world.market.order(world.input(), sender=world.buyer)
    accept_by = START_TIME + HOUR
    expected = (1, world.dataset, world.buyer, ALGORITHM, UNITS, accept_by, world.usd.address, PAY, FEE)
    assert values(done.event("OrderPlaced")) == expected
    assert values(done.event("Reserved")) == (world.dataset, world.buyer, UNITS)
    found = world.market.orderOf(1)
    assert (found.consumer, found.state, found.deadline) == (world.buyer, ORDERED, accept_by)
    assert (found.termId, found.maxUnits, found.algorithmCid) == (1, UNITS, ALGORITHM)
    assert world.market.orderCount() == 1
    assert_sound(world, world.market, world.usd, PAY + FEE)


def test_an_order_may_promise_nothing_beside_its_units(world: ComputeWorld) -> None:
    world.order(extraPay=0, attestationFee=0)
    assert world.market.held(world.usd) == 0
    with reverts("UnexpectedAmount", NATIVE, 0, 5):
        world.order(extraPay=0, attestationFee=0, value=5)


def test_an_order_may_pay_in_native_coin(world: ComputeWorld) -> None:
    with reverts("UnexpectedAmount", NATIVE, 9, 8):
        world.order(token=NATIVE, extraPay=4, attestationFee=5, value=8)
    order_id = world.order(token=NATIVE, extraPay=4, attestationFee=5, value=9)
    world.market.cancel(order_id, sender=world.buyer)
    assert world.market.owed(NATIVE, world.buyer) == 9
    assert_sound(world, world.market, NATIVE, 9)


def test_what_cannot_be_ordered_is_refused(world: ComputeWorld) -> None:
    with reverts("InvalidUnits", 0, 2**64 - 1):
        world.order(maxUnits=0)
    for wrong in (b"abc", bytes(129)):
        with reverts("InvalidCidLength", len(wrong), 4, 128):
            world.order(algorithmCid=wrong)
    for wrong_time in (0, 365 * 86_400 + 1):
        with reverts("InvalidTimeout", wrong_time, 1, 365 * 86_400):
            world.order(acceptWithin=wrong_time)
        with reverts("InvalidTimeout", wrong_time, 1, 365 * 86_400):
            world.order(completeWithin=wrong_time)
    for collaborators in ((ZERO, world.oracle), (world.manager, ZERO)):
        with reverts("InvalidAccount", ZERO):
            world.chain.deploy("ComputeMarket", *collaborators, 1)


def test_unknown_orders_are_named(world: ComputeWorld) -> None:
    calls: dict[str, tuple[Any, ...]] = {
        "cancel": (),
        "accept": (),
        "reject": (),
        "draw": (b"",),
        "redraw": (),
        "complete": (RESULT, 1, b""),
        "expire": (),
        "orderOf": (),
    }
    for function, more in calls.items():
        with reverts("UnknownOrder", 3):
            world.market[function](3, *more)


def test_the_consumer_cancels_only_what_nobody_accepted(world: ComputeWorld) -> None:
    order_id = world.order()
    with reverts("NotConsumer", order_id, world.stranger, world.buyer):
        world.market.cancel(order_id, sender=world.stranger)
    done = world.market.cancel(order_id, sender=world.buyer)
    assert values(done.event("OrderClosed")) == (order_id, CANCELLED, PAY + FEE)
    assert values(done.event("Unreserved")) == (1, UNITS)
    accepted = world.accepted()
    with reverts("WrongState", accepted, ACCEPTED):
        world.market.cancel(accepted, sender=world.buyer)


# -- accepting


def test_the_owner_accepts_and_a_later_block_is_set_for_the_draw(world: ComputeWorld) -> None:
    order_id = world.order()
    world.chain.sleep(HOUR)
    with reverts("NotProvider", world.dataset, world.stranger, world.provider):
        world.market.accept(order_id, sender=world.stranger)
    done = world.market.accept(order_id, sender=world.provider)
    complete_by = START_TIME + 3 * HOUR
    assert values(done.event("OrderAccepted")) == (order_id, world.provider, complete_by, done.block_number + 1)
    found = world.market.orderOf(order_id)
    assert (found.state, found.provider, found.deadline) == (ACCEPTED, world.provider, complete_by)
    assert (found.drawLeaves, found.attestor) == (5, ZERO)
    with reverts("WrongState", order_id, ACCEPTED):
        world.market.accept(order_id, sender=world.provider)


def test_an_executor_accepts_until_the_data_set_changes_hands(world: ComputeWorld) -> None:
    first, second = world.order(), world.order()
    with reverts("NotProvider", world.dataset, world.stranger, world.provider):
        world.market.setExecutor(world.dataset, world.stranger, sender=world.stranger)
    done = world.market.setExecutor(world.dataset, world.stranger, sender=world.provider)
    assert values(done.event("ExecutorChanged")) == (world.dataset, world.provider, world.stranger)
    assert world.market.executorOf(world.dataset) == world.stranger
    world.market.accept(first, sender=world.stranger)
    world.chain.registry.transferDataset(world.dataset, world.friend, sender=world.provider)
    assert world.market.executorOf(world.dataset) == ZERO
    with reverts("NotProvider", world.dataset, world.stranger, world.friend):
        world.market.accept(second, sender=world.stranger)
    # It still does what it accepted, and is paid for it.
    world.complete(first, world.draw(first))
    assert world.market.owed(world.usd, world.stranger) == PAY


def test_accepting_too_late_or_without_operators_is_refused(world: ComputeWorld) -> None:
    order_id = world.order()
    world.oracle.setOperators([])
    with reverts("NoOperator"):
        world.market.accept(order_id, sender=world.provider)
    world.chain.sleep(HOUR + 1)
    with reverts("DeadlinePassed", order_id, START_TIME + HOUR):
        world.market.accept(order_id, sender=world.provider)


@pytest.mark.parametrize("accepted", [False, True])
def test_the_provider_may_give_up(world: ComputeWorld, accepted: bool) -> None:
    order_id = world.accepted() if accepted else world.order()
    with reverts("NotProvider", world.dataset, world.buyer, world.provider):
        world.market.reject(order_id, sender=world.buyer)
    done = world.market.reject(order_id, sender=world.provider)
    assert values(done.event("OrderClosed")) == (order_id, REJECTED, PAY + FEE)
    assert world.manager.reserved(1) == 0
    with reverts("WrongState", order_id, CLOSED):
        world.market.reject(order_id, sender=world.provider)


def test_who_accepted_may_give_up_even_when_it_is_executor_no_more(world: ComputeWorld) -> None:
    world.market.setExecutor(world.dataset, world.stranger, sender=world.provider)
    order_id = world.order()
    world.market.accept(order_id, sender=world.stranger)
    world.market.setExecutor(world.dataset, ZERO, sender=world.provider)
    assert world.market.reject(order_id, sender=world.stranger).event("OrderClosed").cause == REJECTED


# -- the draw


def test_the_draw_waits_for_its_block_and_needs_its_header(world: ComputeWorld) -> None:
    order_id = world.accepted()
    number = world.market.orderOf(order_id).drawBlock
    header = world.header_of(number, b"\2" * 32)
    assert world.chain.block_number == number
    with reverts("DrawPending", order_id, number):
        world.market.draw(order_id, header)
    world.chain.block_number = number + 1
    other = header[:-1] + b"\x08"
    with reverts("WrongHeader", order_id, keccak(other), keccak(header)):
        world.market.draw(order_id, other)
    done = world.market.draw(order_id, header, sender=world.stranger)
    assert done.value in world.operators
    assert values(done.event("AttestorDrawn")) == (order_id, done.value, 1)
    with reverts("AlreadyDrawn", order_id, done.value):
        world.market.draw(order_id, header)


def test_when_the_draw_is_made_and_by_whom_makes_no_difference(world: ComputeWorld) -> None:
    order_id = world.accepted()
    drawn = set()
    for delay in (1, 2, 50, 256):
        with world.chain.reverted_after():
            world.chain.block_number = world.market.orderOf(order_id).drawBlock + delay
            world.chain.randao = keccak(b"%d" % delay)
            drawn.add(world.draw(order_id, b"\7" * 32))
    assert len(drawn) == 1


def test_staking_after_the_block_is_known_moves_nothing(world: ComputeWorld) -> None:
    order_id = world.accepted()
    late = world.chain.accounts[15]
    with world.chain.reverted_after():
        honest = world.draw(order_id)
    world.oracle.setOperators([*world.operators, *[late] * 50])
    assert world.draw(order_id) == honest


def test_neither_party_is_drawn_nor_a_seat_that_is_empty(world: ComputeWorld) -> None:
    world.market.setExecutor(world.dataset, world.stranger, sender=world.provider)
    order_id = world.order()
    only = world.operators[0]
    world.oracle.setOperators([world.provider, world.buyer, ZERO, world.stranger, only])
    world.market.accept(order_id, sender=world.stranger)
    for number in range(20):
        with world.chain.reverted_after():
            assert world.draw(order_id, bytes([number]) * 32) == only


def test_without_an_eligible_operator_or_after_the_chain_forgot_a_new_block_is_set(world: ComputeWorld) -> None:
    order_id = world.accepted()
    world.oracle.setOperators([world.provider, world.buyer])
    assert world.draw(order_id) == ZERO
    found = world.market.orderOf(order_id)
    assert (found.drawBlock, found.drawLeaves, found.draws) == (world.chain.block_number, 2, 0)
    world.oracle.setOperators(world.operators)
    world.chain.block_number = found.drawBlock + 9_000
    done = world.market.draw(order_id, b"forgotten")
    assert values(done.event("RedrawStarted")) == (order_id, ZERO, done.block_number + 1)
    assert world.draw(order_id) in world.operators


def test_every_operator_can_be_drawn(world: ComputeWorld) -> None:
    order_id = world.accepted()
    drawn = set()
    for number in range(40):
        with world.chain.reverted_after():
            drawn.add(world.draw(order_id, keccak(bytes([number]))))
    assert drawn == set(world.operators)


def test_a_silent_operator_is_replaced_by_another_a_few_times(world: ComputeWorld) -> None:
    order_id = world.accepted()
    with reverts("NotDrawn", order_id):
        world.market.redraw(order_id, sender=world.buyer)
    drawn = [world.draw(order_id)]
    with reverts("RedrawNotDue", order_id, START_TIME + REDRAW_AFTER):
        world.market.redraw(order_id, sender=world.provider)
    with reverts("NotConsumer", order_id, world.stranger, world.buyer):
        world.market.redraw(order_id, sender=world.stranger)
    for party in (world.provider, world.buyer):
        world.chain.sleep(REDRAW_AFTER)
        done = world.market.redraw(order_id, sender=party)
        assert values(done.event("RedrawStarted")) == (order_id, drawn[-1], done.block_number + 1)
        with reverts("NotDrawn", order_id):
            world.complete(order_id, drawn[-1])
        drawn.append(world.draw(order_id))
    assert len(set(drawn)) == 3
    world.chain.sleep(REDRAW_AFTER)
    with reverts("TooManyDraws", order_id, 3):
        world.market.redraw(order_id, sender=world.buyer)


def test_an_operator_who_left_is_replaced_at_once_and_cannot_attest(world: ComputeWorld) -> None:
    order_id = world.accepted()
    gone = world.draw(order_id)
    world.oracle.dismiss(gone)
    with reverts("InvalidAttestation", order_id, gone):
        world.complete(order_id, gone)
    world.market.redraw(order_id, sender=world.provider)
    world.complete(order_id, world.draw(order_id))


# -- completing


def test_an_attested_result_consumes_units_and_pays_provider_and_operator(world: ComputeWorld) -> None:
    order_id = world.accepted()
    operator = world.draw(order_id)
    done = world.complete(order_id, operator, used=7, sender=world.stranger)
    assert values(done.event("OrderCompleted")) == (order_id, world.provider, operator, RESULT, 7)
    assert values(done.event("Consumed")) == (1, 7)
    assert values(done.event("Unreserved")) == (1, 3)
    assert world.market.owed(world.usd, world.provider) == PAY
    assert world.market.owed(world.usd, operator) == FEE
    found = world.market.orderOf(order_id)
    assert (found.state, found.usedUnits, found.resultCid) == (COMPLETED, 7, RESULT)
    with reverts("WrongState", order_id, COMPLETED):
        world.complete(order_id, operator, used=7)
    for account in (world.provider, operator):
        world.market.withdrawFor(world.usd, account)
    assert_sound(world, world.market, world.usd, 0)


def test_a_job_that_used_all_its_units_leaves_none_reserved(world: ComputeWorld) -> None:
    order_id = world.accepted()
    assert not world.complete(order_id, world.draw(order_id)).all("Unreserved")
    assert world.manager.reserved(1) == 0


def test_the_digest_is_what_a_wallet_signs(world: ComputeWorld) -> None:
    struct = keccak(encode(["bytes32", "uint256", "bytes32", "uint64"], [USAGE, 3, keccak(RESULT), 7]))
    expected = typed_digest(world.market, "dmchain ComputeMarket", struct)
    assert world.market.attestationDigest(3, RESULT, 7) == expected


def test_an_attestation_counts_for_one_order_result_and_usage_by_its_operator_alone(world: ComputeWorld) -> None:
    order_id, other = world.accepted(), world.accepted()
    operator = world.draw(order_id)
    stranger = next(each for each in world.operators if each != operator)
    refused = ("InvalidAttestation", order_id, operator)
    with reverts(*refused):
        world.complete(order_id, stranger)
    for forged in (
        world.attest(operator, other, 7),
        world.attest(operator, order_id, 6),
        world.attest(operator, order_id, 7, ALGORITHM),
        world.attest(operator, order_id, 7)[:64],
        b"",
    ):
        with reverts(*refused):
            world.market.complete(order_id, RESULT, 7, forged)
    for units in (0, UNITS + 1):
        with reverts("InvalidUnits", units, UNITS):
            world.complete(order_id, operator, used=units)
    with reverts("InvalidCidLength", 0, 4, 128):
        world.market.complete(order_id, b"", 7, b"")


def test_completing_needs_acceptance_a_draw_and_time(world: ComputeWorld) -> None:
    order_id = world.order()
    with reverts("WrongState", order_id, ORDERED):
        world.complete(order_id, world.operators[0])
    world.market.accept(order_id, sender=world.provider)
    with reverts("NotDrawn", order_id):
        world.complete(order_id, world.operators[0])
    operator = world.draw(order_id)
    world.chain.sleep(2 * HOUR)
    with world.chain.reverted_after():
        world.complete(order_id, operator)
    world.chain.sleep(1)
    with reverts("DeadlinePassed", order_id, START_TIME + 2 * HOUR):
        world.complete(order_id, operator)


# -- timeouts


@pytest.mark.parametrize(("accepted", "wait", "cause"), [(False, HOUR, NOT_ACCEPTED), (True, 2 * HOUR, NOT_COMPLETED)])
def test_after_the_deadline_anyone_ends_an_order_and_all_goes_back(
    world: ComputeWorld, accepted: bool, wait: int, cause: int
) -> None:
    order_id = world.accepted() if accepted else world.order()
    world.chain.sleep(wait)
    with reverts("NotExpired", order_id, START_TIME + wait):
        world.market.expire(order_id)
    world.chain.sleep(1)
    done = world.market.expire(order_id, sender=world.stranger)
    assert values(done.event("OrderClosed")) == (order_id, cause, PAY + FEE)
    assert world.manager.reserved(1) == 0
    before = world.usd.balanceOf(world.buyer)
    world.market.withdrawFor(world.usd, world.buyer)
    assert world.usd.balanceOf(world.buyer) - before == PAY + FEE
    assert_sound(world, world.market, world.usd, 0)


def test_a_void_data_set_ends_its_orders_at_once(world: ComputeWorld) -> None:
    ordered, accepted = world.order(), world.accepted()
    world.chain.registry.retire(world.dataset, sender=world.provider)
    with reverts("DatasetVoid", world.dataset):
        world.market.accept(ordered, sender=world.provider)
    for order_id in (ordered, accepted):
        assert world.market.expire(order_id).event("OrderClosed").cause == VOID
    assert world.market.owed(world.usd, world.buyer) == 2 * (PAY + FEE)


def test_a_data_set_taken_over_ends_its_orders_too(world: ComputeWorld) -> None:
    world.commit(b"stolen", world.friend)
    stolen = world.register(b"stolen")
    order_id = world.order(datasetId=stolen)
    world.chain.sleep(60)
    world.claim(b"stolen", world.friend)
    assert world.market.expire(order_id).event("OrderClosed").cause == VOID


# -- invariants


class Handler:
    """Orders and answers at random; after each step promises and debts must be the balance."""

    def __init__(self, world: ComputeWorld, seed: int) -> None:
        self.world = world
        self.random = random.Random(seed)
        self.count = 0
        self.withdrawn = 0
        self.paid_in = 0
        self.actions = [self.order, self.accept, self.accept, self.draw, self.draw, self.complete, self.complete]
        self.actions += [self.end, self.wait, self.withdraw, self.redraw]

    def run(self, steps: int) -> None:
        for _ in range(steps):
            try:
                self.random.choice(self.actions)()
            except Reverted as error:
                assert error.name not in ("", "Panic", "NothingReserved"), error
            self.check()

    def any_order(self) -> int:
        return self.random.randint(1, self.count + 1)

    def order(self) -> None:
        pay, fee = self.random.randint(0, 10**6), self.random.randint(0, 10**6)
        self.world.order(extraPay=pay, attestationFee=fee, maxUnits=self.random.randint(1, 20))
        self.count += 1
        self.paid_in += pay + fee

    def accept(self) -> None:
        self.world.market.accept(self.any_order(), sender=self.world.provider)

    def draw(self) -> None:
        self.world.draw(self.any_order(), keccak(self.random.randbytes(8)))

    def redraw(self) -> None:
        self.world.market.redraw(self.any_order(), sender=self.world.buyer)

    def complete(self) -> None:
        order_id = self.any_order()
        attestor = self.world.market.orderOf(order_id).attestor
        operator = next((each for each in self.world.operators if each == attestor), self.world.operators[0])
        self.world.complete(order_id, operator, self.random.randint(1, 20))

    def end(self) -> None:
        function = self.random.choice(["cancel", "reject", "expire"])
        sender = self.random.choice([self.world.buyer, self.world.provider])
        self.world.market[function](self.any_order(), sender=sender)

    def wait(self) -> None:
        self.world.chain.sleep(self.random.choice([1, 600, HOUR]))

    def withdraw(self) -> None:
        account = self.random.choice([self.world.buyer, self.world.provider, *self.world.operators])
        self.withdrawn += self.world.market.withdrawFor(self.world.usd, account).value

    def check(self) -> None:
        market, usd = self.world.market, self.world.usd
        promised = 0
        for order_id in range(1, self.count + 1):
            found = market.orderOf(order_id)
            is_open = found.state in (ORDERED, ACCEPTED)
            promised += found.extraPay + found.attestationFee if is_open else 0
            assert self.world.manager.reserved(found.termId) == (found.maxUnits if is_open else 0)
        accounts = [self.world.buyer, self.world.provider, *self.world.operators]
        owed = sum(market.owed(usd, each) for each in accounts)
        assert_sound(self.world, market, usd, promised + owed)
        assert promised + owed + self.withdrawn == self.paid_in


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_each_unit_is_promised_or_owed_or_was_paid_once(world: ComputeWorld, seed: int) -> None:
    with world.chain.reverted_after():
        Handler(world, seed).run(40)
