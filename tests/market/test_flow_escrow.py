"""Money in escrow: silence, consent, a score that was promised, and money back. See docs/market/escrow.md."""

from __future__ import annotations

import pytest

from dmchain.market import Market, errors, one_time
from dmchain.market.enums import EscrowState
from dmchain.market.models import Publication, Purchase
from tests.market.measuring import measure
from tests.market.world import COIN, DAY, USD, World

PRICE = 100 * USD
FEE_BPS = 250
"""Platform fee of a devnet's genesis."""
FEE = PRICE * FEE_BPS // 10_000
NET = PRICE - FEE


def assert_books(world: World, escrowed: int, earned: int, token: str = "USD") -> None:
    """The escrow has this and the LicenseManager that, to the unit."""
    assert world.contract_balance("EscrowPayment", token) == escrowed
    assert world.contract_balance("LicenseManager", token) == earned


def treasury(world: World) -> str:
    return str(world.provider.call("LicenseManager", "treasury"))


def sell(world: World, price: str = "100 USD", **conditions: object) -> tuple[Publication, Purchase]:
    """A data set listed and bought once, the price in escrow for three days."""
    listed = world.publish([one_time(price, escrow="3d", **conditions)])  # type: ignore[arg-type]
    return listed, world.consumer.buy(listed.offer_ids[0])


def assert_paid_back(world: World, amount: int, before: int, by: Market, token: str = "USD") -> None:
    """`by` is owed `amount` by the escrow, fetches it, and has `before + amount` then."""
    assert world.owed(by, token, "EscrowPayment") == amount
    world.stranger.payouts.withdraw(by.address())
    assert world.tokens(by, token) == before + amount


def test_silence_until_the_deadline_pays_the_provider(world: World) -> None:
    before = world.tokens(world.consumer)
    listed, bought = sell(world)
    assert world.tokens(world.consumer) == before - PRICE
    assert world.consumer.verify(listed.dataset_id).is_valid
    assert_books(world, escrowed=PRICE, earned=0)
    held = world.stranger.escrow.get(bought.escrow_id)
    assert (held.amount, held.state, held.release_at) == (PRICE, EscrowState.OPEN, held.opened_at + 3 * DAY)

    with pytest.raises(errors.TooEarly) as refused:
        world.provider.escrow.release(bought.escrow_id)
    assert refused.value.arguments["earliest"] == held.release_at
    world.sleep_until(held.release_at)
    world.stranger.escrow.release(bought.escrow_id)

    assert_books(world, escrowed=0, earned=PRICE)
    assert world.owed(world.provider) == NET
    assert world.owed(treasury(world)) == FEE
    before = world.tokens(world.provider)
    world.provider.payouts.withdraw()
    assert world.tokens(world.provider) == before + NET
    assert_books(world, escrowed=0, earned=FEE)
    assert world.consumer.verify(listed.dataset_id).is_valid


def test_confirming_pays_the_provider_at_once_and_counts_as_a_delivery(world: World) -> None:
    _, bought = sell(world)
    with pytest.raises(errors.NotParty):
        world.stranger.confirm(bought.purchase_id)
    world.consumer.confirm(bought.purchase_id)
    assert_books(world, escrowed=0, earned=PRICE)
    assert (world.owed(world.provider), world.owed(treasury(world))) == (NET, FEE)
    assert world.stranger.reputation(world.provider.address()).deliveries == 1
    with pytest.raises(errors.NotOpen):
        world.consumer.confirm(bought.purchase_id)


def test_native_coin_waits_and_is_paid_in_the_same_way(world: World) -> None:
    _, bought = sell(world, "2 DM")
    assert_books(world, escrowed=2 * COIN, earned=0, token="DM")
    world.consumer.confirm(bought.purchase_id)
    fee = 2 * COIN * FEE_BPS // 10_000
    assert world.owed(world.provider, "DM") == 2 * COIN - fee
    before = world.coins(world.provider)
    world.stranger.payouts.withdraw(world.provider.address())
    assert world.coins(world.provider) == before + 2 * COIN - fee
    assert_books(world, escrowed=0, earned=fee, token="DM")


def test_a_score_that_meets_the_condition_pays_the_provider(world: World) -> None:
    listed, bought = sell(world, metric="completeness", min_score=9_000)
    with pytest.raises(errors.ScoreMissing):
        world.provider.escrow.settle_by_oracle(bought.escrow_id)
    measure(world, listed.dataset_id, "completeness", 9_000, by=world.provider)

    # The data set is new: until nobody can claim it by an earlier commitment, the score is only noted.
    world.provider.escrow.settle_by_oracle(bought.escrow_id)
    held = world.provider.escrow.get(bought.escrow_id)
    assert held.condition_met
    assert_books(world, escrowed=PRICE, earned=0)
    world.sleep_until(held.contestable_until)
    world.stranger.escrow.release(bought.escrow_id)
    assert_books(world, escrowed=0, earned=PRICE)
    assert world.owed(world.provider) == NET
    assert world.consumer.verify(listed.dataset_id).is_valid


def test_a_score_that_misses_the_condition_returns_the_money_and_ends_the_licence(world: World) -> None:
    before = world.tokens(world.consumer)
    listed, bought = sell(world, metric="completeness", min_score=9_000)
    measure(world, listed.dataset_id, "completeness", 8_999, by=world.consumer)
    world.stranger.escrow.settle_by_oracle(bought.escrow_id)
    assert not world.consumer.verify(listed.dataset_id).is_valid
    assert_paid_back(world, PRICE, before - PRICE, world.consumer)
    assert_books(world, escrowed=0, earned=0)


def test_a_condition_that_nobody_measured_returns_the_money_after_the_deadline(world: World) -> None:
    before = world.tokens(world.consumer)
    listed, bought = sell(world, metric="completeness", min_score=9_000)
    world.sleep_until(world.consumer.escrow.get(bought.escrow_id).release_at)
    with pytest.raises(errors.ConditionOpen):
        world.provider.escrow.release(bought.escrow_id)
    world.consumer.escrow.refund_unanswered(bought.escrow_id)
    assert not world.consumer.verify(listed.dataset_id).is_valid
    assert_paid_back(world, PRICE, before - PRICE, world.consumer)


def test_the_provider_gives_back_a_part_and_gets_the_rest(world: World) -> None:
    before = world.tokens(world.consumer)
    listed, bought = sell(world)
    world.provider.refund(bought.purchase_id, "30 USD")
    assert world.consumer.verify(listed.dataset_id).is_valid
    world.consumer.confirm(bought.purchase_id)
    rest = 70 * USD
    assert world.owed(world.provider) == rest - rest * FEE_BPS // 10_000
    assert_books(world, escrowed=30 * USD, earned=rest)
    assert_paid_back(world, 30 * USD, before - PRICE, world.consumer)
    assert_books(world, escrowed=0, earned=rest)


def test_a_retired_data_set_returns_what_is_in_escrow_to_whoever_paid(world: World) -> None:
    before = world.tokens(world.second_consumer)
    listed = world.publish([one_time("100 USD", escrow="3d")])
    # A present: the licence is the consumer's, the money comes back to who paid.
    gift = world.second_consumer.buy(listed.offer_ids[0], licensee=world.consumer.address())
    world.provider.retire(listed.dataset_id)
    assert not world.consumer.verify(listed.dataset_id).is_valid
    world.stranger.escrow.refund_void(gift.escrow_id)
    assert world.owed(world.consumer) == 0
    assert_paid_back(world, PRICE, before - PRICE, world.second_consumer)
    assert_books(world, escrowed=0, earned=0)
