"""A subscription paid by the second: start, accrue, top up, cancel, both sides withdraw. See docs/market/streams.md."""

from __future__ import annotations

import pytest

from dmchain.market import Receipt, errors, subscription
from dmchain.market.enums import StreamState
from dmchain.market.models import Publication
from tests.market.world import COIN, DAY, USD, World

PERIOD = 30 * DAY
PRICE = 30 * USD
FEE_BPS = 250


def list_subscription(world: World, price: str = "30 USD") -> Publication:
    return world.publish([subscription(price, period="30d")])


def time_of(world: World, receipt: Receipt) -> int:
    """Of the block a transaction is in: a devnet's clock runs while a test does."""
    block = world.devnet.call("eth_getBlockByNumber", hex(receipt.block_number), False)
    return int(block["timestamp"], 16)


def net_of(amount: int) -> int:
    """What the provider gets of a distribution."""
    return amount - amount * FEE_BPS // 10_000


def test_money_flows_by_the_second_and_both_sides_get_theirs_to_the_unit(world: World) -> None:
    listed = list_subscription(world)
    payer, provider = world.consumer, world.provider
    before = world.tokens(payer)
    stream = payer.streams.start(listed.offer_ids[0], deposit="30 USD")
    assert world.tokens(payer) == before - PRICE == before - world.contract_balance("PaymentStream")
    assert stream.stops_at == stream.started_at + PERIOD
    licence = payer.verify(listed.dataset_id)
    assert licence.is_valid
    assert licence.expires_at == stream.stops_at

    # The provider fetches what has flowed after ten days, whoever sends the transaction.
    world.sleep(10 * DAY)
    receipt = world.stranger.streams.withdraw(stream.stream_id)
    first = (time_of(world, receipt) - stream.started_at) * PRICE // PERIOD
    assert receipt.event("StreamWithdrawn").arguments["amount"] == first >= 10 * USD
    assert world.owed(provider) == net_of(first)

    # Cancelled after twenty days: the licence ends, and every unit of the deposit belongs to one of them.
    world.sleep(10 * DAY)
    cancelled = payer.streams.cancel(stream.stream_id)
    assert cancelled.state is StreamState.ENDED
    assert not payer.verify(listed.dataset_id).is_valid
    flowed = (cancelled.stops_at - stream.started_at) * PRICE // PERIOD
    assert (cancelled.deposit, cancelled.claimable, cancelled.refundable) == (flowed, flowed - first, 0)
    assert world.owed(payer) == PRICE - flowed
    assert world.contract_balance("PaymentStream") == PRICE - first

    provider.streams.withdraw(stream.stream_id)
    payer.payouts.withdraw()
    assert world.tokens(payer) == before - flowed
    assert world.contract_balance("PaymentStream") == 0
    assert world.contract_balance("LicenseManager") == flowed
    assert world.owed(provider) == net_of(first) + net_of(flowed - first)
    before = world.tokens(provider)
    provider.payouts.withdraw()
    assert world.tokens(provider) == before + net_of(first) + net_of(flowed - first)


def test_a_stream_in_native_coin_loses_no_wei(world: World) -> None:
    listed = list_subscription(world, "1 DM")
    stream = world.consumer.streams.start(listed.offer_ids[0], lasting="15d")
    assert stream.deposit == COIN // 2
    assert world.contract_balance("PaymentStream", "DM") == COIN // 2
    world.sleep(DAY)
    receipt = world.provider.streams.withdraw(stream.stream_id)
    flowed = (time_of(world, receipt) - stream.started_at) * COIN // PERIOD
    assert world.owed(world.provider, "DM") == net_of(flowed)
    assert world.contract_balance("PaymentStream", "DM") == COIN // 2 - flowed
    cancelled = world.consumer.streams.cancel(stream.stream_id)
    assert world.owed(world.consumer, "DM") == COIN // 2 - cancelled.deposit
    assert cancelled.deposit == flowed + cancelled.claimable


def test_a_top_up_by_anybody_prolongs_the_licence(world: World) -> None:
    listed = list_subscription(world)
    stream = world.consumer.streams.start(listed.offer_ids[0], deposit="10 USD")
    longer = world.second_consumer.streams.top_up(stream.stream_id, "20 USD")
    assert longer.stops_at == stream.started_at + PERIOD
    assert world.consumer.verify(listed.dataset_id).expires_at == longer.stops_at
    found = world.stranger.streams.of(listed.dataset_id, world.consumer.address())
    assert found is not None and found.stream_id == stream.stream_id


def test_a_provider_asks_for_a_day_at_least(world: World) -> None:
    listed = list_subscription(world)
    world.provider.streams.set_minimum(listed.offer_ids[0], "1d")
    stream = world.consumer.streams.start(listed.offer_ids[0], deposit="30 USD")
    assert (stream.claimable, stream.refundable) == (1 * USD, 29 * USD)
    world.consumer.streams.cancel(stream.stream_id)
    assert world.owed(world.consumer) == 29 * USD
    world.stranger.streams.withdraw(stream.stream_id)
    assert world.owed(world.provider) == net_of(1 * USD)
    world.provider.streams.set_minimum(listed.offer_ids[0], None)
    with pytest.raises(errors.NotStreamable):
        world.consumer.streams.start(listed.offer_ids[0], deposit="30 USD")


def test_a_stream_that_ran_dry_ends_by_itself(world: World) -> None:
    listed = list_subscription(world)
    # 11.574074... units flow in a second: a deposit of 20 pays for one second and leaves 9 (8.43 rounded) over.
    stream = world.consumer.streams.start(listed.offer_ids[0], deposit=20)
    assert stream.stops_at == stream.started_at + 1
    world.sleep(60)
    assert not world.consumer.verify(listed.dataset_id).is_valid
    with pytest.raises(errors.StreamRanDry):
        world.consumer.streams.top_up(stream.stream_id, "1 USD")
    world.stranger.streams.withdraw(stream.stream_id)
    assert world.owed(world.consumer) == 9
    assert world.contract_balance("LicenseManager") == 11
    # A new stream begins where there is none.
    again = world.consumer.streams.start(listed.offer_ids[0], deposit="30 USD")
    assert world.consumer.verify(listed.dataset_id).expires_at == again.stops_at


def test_a_present_makes_way_for_the_stream_of_who_got_it(world: World) -> None:
    listed = list_subscription(world)
    before = world.tokens(world.stranger)
    world.third_consumer.tokens.transfer(world.stranger.address(), "10 USD", "USD")
    present = world.stranger.streams.start(listed.offer_ids[0], deposit="10 USD", licensee=world.consumer.address())
    own = world.consumer.streams.start(listed.offer_ids[0], deposit="30 USD")
    assert world.consumer.verify(listed.dataset_id).expires_at == own.stops_at
    ended = world.consumer.streams.get(present.stream_id)
    assert ended.state is StreamState.ENDED
    world.stranger.payouts.withdraw()
    assert world.tokens(world.stranger) == before + 10 * USD - ended.deposit


def test_a_stream_flows_on_when_its_offer_is_closed_and_its_data_set_delisted(world: World) -> None:
    listed = list_subscription(world)
    stream = world.consumer.streams.start(listed.offer_ids[0], deposit="10 USD")
    world.provider.offers.close(listed.offer_ids[0])
    world.provider.delist(listed.dataset_id)
    longer = world.consumer.streams.top_up(stream.stream_id, "5 USD")
    assert world.consumer.verify(listed.dataset_id).expires_at == longer.stops_at
    world.sleep(20 * DAY)
    world.stranger.streams.withdraw(stream.stream_id)
    assert world.owed(world.provider) == net_of(15 * USD)
    with pytest.raises(errors.NotStreamable):
        world.consumer.streams.start(listed.offer_ids[0], deposit="10 USD")


def test_a_retired_data_set_stops_the_stream_and_returns_what_was_not_fetched(world: World) -> None:
    listed = list_subscription(world)
    before = world.tokens(world.consumer)
    stream = world.consumer.streams.start(listed.offer_ids[0], deposit="30 USD")
    world.sleep(10 * DAY)
    taken = world.provider.streams.withdraw(stream.stream_id).event("StreamWithdrawn").arguments["amount"]
    world.provider.retire(listed.dataset_id)
    with pytest.raises(errors.DatasetVoid):
        world.provider.streams.withdraw(stream.stream_id)
    world.stranger.streams.stop_void(stream.stream_id)
    world.consumer.payouts.withdraw()
    assert world.tokens(world.consumer) == before - taken
    assert world.contract_balance("PaymentStream") == 0


def test_a_plain_stream_pays_a_salary_without_a_licence(world: World) -> None:
    worker = world.stranger
    stream = world.consumer.streams.start_plain(worker.address(), "10 USD", "1d", "20 USD")
    world.sleep(5 * DAY)
    # Somebody else pays the gas, so that the worker's balance changes by the salary alone.
    before = world.tokens(worker)
    world.second_consumer.streams.withdraw(stream.stream_id)
    assert world.tokens(worker) == before + 20 * USD
    assert world.contract_balance("PaymentStream") == 0
