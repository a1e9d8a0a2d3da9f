"""Algorithms that go to the data: prepaid units, attested usage, exhaustion, refund. See docs/market/compute.md."""

from __future__ import annotations

import pytest

from dmchain.market import Market, cids, errors, pay_per_compute
from dmchain.market.enums import OrderState
from dmchain.market.models import ComputeOrder, Publication
from tests.market.world import DAY, USD, World

UNIT = 2 * USD
FEE_BPS = 250
ALGORITHM = cids.of_content(b"train a model")
RESULT = cids.of_content(b"the model")


def net_of(amount: int) -> int:
    """What the provider gets of a distribution."""
    return amount - amount * FEE_BPS // 10_000


@pytest.fixture
def listed(world: World) -> Publication:
    """A data set by the unit, and an oracle with five operators."""
    world.join(world.operators[:5])
    return world.publish([pay_per_compute("2 USD")])


def accept_and_draw(world: World, order: ComputeOrder) -> Market:
    """The provider accepts, two blocks go by, anybody draws: returns the operator who attests."""
    world.provider.compute.accept(order.order_id)
    world.mine(2)
    attestor = world.stranger.compute.draw(order.order_id).attestor.lower()
    return next(each for each in world.operators if each.address().lower() == attestor)


def assert_prepaid(world: World, listed: Publication, units: int) -> None:
    """The licence counts this many units, and the escrow holds their price and nothing else."""
    assert world.consumer.verify(listed.dataset_id).units == units
    assert world.contract_balance("EscrowPayment") == units * UNIT


def test_an_attested_job_consumes_its_units_and_pays_everybody(world: World, listed: Publication) -> None:
    before = world.tokens(world.consumer)
    bought = world.consumer.buy(listed.offer_ids[0], 10)
    assert_prepaid(world, listed, 10)
    order = world.consumer.compute.order(
        listed.dataset_id, ALGORITHM, 6, extra_pay="5 USD", attestation_fee="1 USD", token="USD"
    )
    assert world.tokens(world.consumer) == before - 10 * UNIT - 6 * USD
    assert world.contract_balance("ComputeMarket") == 6 * USD
    # Reserved units cannot be used otherwise.
    with pytest.raises(errors.InsufficientUnits):
        world.consumer.consume(listed.dataset_id, 5)

    operator = accept_and_draw(world, order)
    attestation = operator.compute.attest(order.order_id, RESULT, 4)
    done = world.provider.compute.complete(order.order_id, RESULT, 4, attestation)
    assert (done.state, done.used_units, done.result_cid) == (OrderState.COMPLETED, 4, RESULT)

    assert_prepaid(world, listed, 6)
    assert world.contract_balance("LicenseManager") == 4 * UNIT
    assert world.owed(world.provider, contract="LicenseManager") == net_of(4 * UNIT)
    assert world.owed(world.provider, contract="ComputeMarket") == 5 * USD
    assert world.owed(operator) == 1 * USD
    world.provider.payouts.withdraw()
    operator.payouts.withdraw()
    assert world.contract_balance("ComputeMarket") == 0
    assert world.contract_balance("LicenseManager") == 4 * UNIT - net_of(4 * UNIT)

    # What is left is refunded to the unit, and the licence ends.
    world.consumer.refund_units(bought.term_id)
    assert not world.consumer.verify(listed.dataset_id).is_valid
    world.consumer.payouts.withdraw()
    assert world.tokens(world.consumer) == before - 4 * UNIT - 6 * USD
    assert world.contract_balance("EscrowPayment") == 0


def test_only_the_drawn_operator_attests(world: World, listed: Publication) -> None:
    world.consumer.buy(listed.offer_ids[0], 10)
    order = world.consumer.compute.order(listed.dataset_id, ALGORITHM, 6)
    operator = accept_and_draw(world, order)
    other = next(each for each in world.operators[:5] if each is not operator)
    with pytest.raises(errors.InvalidAttestation):
        world.provider.compute.complete(order.order_id, RESULT, 4, other.compute.attest(order.order_id, RESULT, 4))
    # Nor does its word for four units buy five.
    attestation = operator.compute.attest(order.order_id, RESULT, 4)
    with pytest.raises(errors.InvalidAttestation):
        world.provider.compute.complete(order.order_id, RESULT, 5, attestation)


def test_units_run_out_and_more_are_bought(world: World, listed: Publication) -> None:
    world.consumer.buy(listed.offer_ids[0], 3)
    with pytest.raises(errors.InsufficientUnits):
        world.consumer.compute.order(listed.dataset_id, ALGORITHM, 4)
    order = world.consumer.compute.order(listed.dataset_id, ALGORITHM, 3)
    operator = accept_and_draw(world, order)
    attestation = operator.compute.attest(order.order_id, RESULT, 3)
    world.provider.compute.complete(order.order_id, RESULT, 3, attestation)
    assert not world.consumer.verify(listed.dataset_id).is_valid
    assert_prepaid(world, listed, 0)
    with pytest.raises(errors.Reverted):
        world.consumer.compute.order(listed.dataset_id, ALGORITHM, 1)
    world.consumer.buy(listed.offer_ids[0], 2)
    assert_prepaid(world, listed, 2)
    assert world.consumer.consume(listed.dataset_id, 2) == 0
    assert world.owed(world.provider) == net_of(3 * UNIT) + net_of(2 * UNIT)
    assert_prepaid(world, listed, 0)


def test_an_order_that_nobody_accepts_gives_everything_back(world: World, listed: Publication) -> None:
    before = world.tokens(world.consumer)
    bought = world.consumer.buy(listed.offer_ids[0], 10)
    order = world.consumer.compute.order(
        listed.dataset_id, ALGORITHM, 10, accept_within="1h", extra_pay="5 USD", token="USD"
    )
    with pytest.raises(errors.NotExpired):
        world.stranger.compute.expire(order.order_id)
    world.sleep(3601)
    world.stranger.compute.expire(order.order_id)
    world.consumer.refund_units(bought.term_id)
    world.consumer.payouts.withdraw()
    assert world.tokens(world.consumer) == before
    assert world.contract_balance("ComputeMarket") == world.contract_balance("EscrowPayment") == 0


def test_a_provider_who_does_not_deliver_gets_nothing(world: World, listed: Publication) -> None:
    world.consumer.buy(listed.offer_ids[0], 10)
    order = world.consumer.compute.order(
        listed.dataset_id, ALGORITHM, 10, complete_within="1d", extra_pay="5 USD", token="USD"
    )
    operator = accept_and_draw(world, order)
    attestation = operator.compute.attest(order.order_id, RESULT, 10)
    world.sleep(DAY + 60)
    with pytest.raises(errors.DeadlinePassed):
        world.provider.compute.complete(order.order_id, RESULT, 10, attestation)
    closed = world.consumer.compute.expire(order.order_id)
    assert closed.state is OrderState.CLOSED
    assert world.owed(world.consumer, contract="ComputeMarket") == 5 * USD
    assert world.owed(world.provider) == 0
    # The units are free again.
    assert world.consumer.consume(listed.dataset_id, 10) == 0


def test_a_retired_data_set_closes_orders_and_returns_prepaid_units(world: World, listed: Publication) -> None:
    before = world.tokens(world.consumer)
    bought = world.consumer.buy(listed.offer_ids[0], 10)
    order = world.consumer.compute.order(listed.dataset_id, ALGORITHM, 4, extra_pay="5 USD", token="USD")
    world.provider.compute.accept(order.order_id)
    world.provider.retire(listed.dataset_id)
    world.stranger.compute.expire(order.order_id)
    world.stranger.escrow.refund_void(bought.prepaid_id)
    world.stranger.payouts.withdraw(world.consumer.address())
    assert world.tokens(world.consumer) == before
    assert world.contract_balance("EscrowPayment") == world.contract_balance("ComputeMarket") == 0
