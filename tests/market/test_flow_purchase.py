"""A licence bought once: publish, list, buy, verify, confirm; provider, two parents and treasury paid to the unit.

See docs/market/purchase.md.
"""

from __future__ import annotations

import pytest

from dmchain.market import errors, one_time
from dmchain.market.enums import EscrowState, LicenseStatus
from dmchain.market.models import Publication
from tests.market.world import COIN, DAY, USD, World

PRICE = 100 * USD
FEE_BPS = 250
"""Platform fee of a devnet's genesis."""


def treasury(world: World) -> str:
    return str(world.provider.call("LicenseManager", "treasury"))


def derived(world: World, price: str = "100 USD", escrow: str = "3d") -> tuple[Publication, Publication, Publication]:
    """Two parents that ask for 10 % and 4 % of what is derived from them, and the data set derived from both."""
    first = world.publish([], by=world.creator, lineage_royalty_bps=1000)
    second = world.publish([], by=world.second_creator, lineage_royalty_bps=400)
    parents = [first.dataset_id, second.dataset_id]
    child = world.publish([one_time(price, escrow=escrow, terms="LicenseRef-research-only")], parents=parents)
    return first, second, child


def assert_books(world: World, escrowed: int, earned: int, token: str = "USD") -> None:
    """The escrow has this and the LicenseManager that, to the unit, and both know it."""
    assert world.contract_balance("EscrowPayment", token) == escrowed
    assert world.contract_balance("LicenseManager", token) == earned
    address = world.provider.tokens.get(token).address
    assert world.provider.call("EscrowPayment", "held", address) == escrowed
    assert world.provider.call("LicenseManager", "held", address) == earned


def test_a_purchase_from_publication_to_payment(world: World) -> None:
    _, _, listed = derived(world)
    consumer, provider = world.consumer, world.provider
    offer = listed.offer_ids[0]
    fee = PRICE * FEE_BPS // 10_000
    royalties = [(PRICE - fee) * bps // 10_000 for bps in (1000, 400)]
    net = PRICE - fee - sum(royalties)
    quote = consumer.quote(offer)
    assert (quote.amount, quote.fee, quote.royalties, quote.net) == (PRICE, fee, sum(royalties), net)

    # Bought: the licence is there, the price lies in escrow.
    before = world.tokens(consumer)
    bought = consumer.buy(offer)
    assert world.tokens(consumer) == before - PRICE
    licence = consumer.verify(listed.dataset_id)
    assert (licence.is_valid, licence.expires_at) == (True, 0)
    assert not world.stranger.verify(listed.dataset_id).is_valid
    token = consumer.call("LicenseNFT", "tokenOf", bytes.fromhex(listed.dataset_id[2:]), consumer.address())
    assert consumer.call("LicenseNFT", "verifyAccess", token, consumer.address())
    assert_books(world, escrowed=PRICE, earned=0)
    assert world.stranger.escrow.get(bought.escrow_id).state is EscrowState.OPEN

    # Confirmed: everybody is owed their part, and nothing is left over.
    consumer.confirm(bought.purchase_id)
    assert_books(world, escrowed=0, earned=PRICE)
    owed = [world.owed(each) for each in (treasury(world), world.creator, world.second_creator, provider)]
    assert owed == [fee, *royalties, net]
    assert sum(owed) == PRICE
    for each, due in ((world.creator, royalties[0]), (world.second_creator, royalties[1]), (provider, net)):
        before = world.tokens(each)
        world.stranger.payouts.withdraw(each.address())
        assert world.tokens(each) == before + due
    world.stranger.payouts.withdraw(treasury(world))
    assert world.tokens(treasury(world)) == fee
    assert_books(world, escrowed=0, earned=0)
    assert world.stranger.reputation(provider.address()).deliveries == 1


def test_native_coin_settled_at_once_is_divided_to_the_wei(world: World) -> None:
    _, _, listed = derived(world, "1.000000000000000001 DM", escrow="0")
    price = COIN + 1
    fee = price * FEE_BPS // 10_000
    royalties = [(price - fee) * bps // 10_000 for bps in (1000, 400)]
    net = price - fee - sum(royalties)
    before = world.coins(world.consumer)
    bought = world.consumer.buy(listed.offer_ids[0])
    receipt = world.devnet.call("eth_getTransactionReceipt", bought.transaction_hash)
    gas = int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)
    assert world.coins(world.consumer) == before - price - gas
    assert_books(world, escrowed=0, earned=price, token="DM")
    owed = [world.owed(each, "DM") for each in (treasury(world), world.creator, world.second_creator, world.provider)]
    assert owed == [fee, *royalties, net]
    before = world.coins(world.provider)
    world.stranger.payouts.withdraw(world.provider.address())
    assert world.coins(world.provider) == before + net
    assert_books(world, escrowed=0, earned=price - net, token="DM")


def test_the_share_of_a_parent_that_was_retired_is_the_providers(world: World) -> None:
    first, _, listed = derived(world, escrow="0")
    world.creator.retire(first.dataset_id)
    world.consumer.buy(listed.offer_ids[0])
    fee = PRICE * FEE_BPS // 10_000
    royalty = (PRICE - fee) * 400 // 10_000
    assert world.owed(world.creator) == 0
    assert world.owed(world.second_creator) == royalty
    assert world.owed(world.provider) == PRICE - fee - royalty
    assert_books(world, escrowed=0, earned=PRICE)


def test_a_new_owner_of_the_listing_is_paid_from_then_on(world: World) -> None:
    _, _, listed = derived(world)
    bought = world.consumer.buy(listed.offer_ids[0])
    buyer = world.third_consumer
    world.provider.transact(
        "DataListing", "transferFrom", world.provider.address(), buyer.address(), int(listed.dataset_id, 16)
    )
    world.consumer.confirm(bought.purchase_id)
    fee = PRICE * FEE_BPS // 10_000
    royalties = sum((PRICE - fee) * bps // 10_000 for bps in (1000, 400))
    assert world.owed(world.provider) == 0
    assert world.owed(buyer) == PRICE - fee - royalties
    assert buyer.show(listed.dataset_id).dataset.owner == buyer.address()


def test_a_present_and_a_gift(world: World) -> None:
    listed = world.publish([one_time("5 USD")])
    offer = listed.offer_ids[0]
    friend, other = world.second_consumer, world.third_consumer
    before = world.tokens(world.consumer)
    world.consumer.buy(offer, licensee=friend.address())
    assert world.tokens(world.consumer) == before - 5 * USD
    assert friend.verify(listed.dataset_id).is_valid and not world.consumer.verify(listed.dataset_id).is_valid
    world.provider.gift(listed.dataset_id, other.address(), valid_for="1d")
    assert other.verify(listed.dataset_id).is_valid
    world.sleep(DAY)
    assert other.verify(listed.dataset_id).status is LicenseStatus.EXPIRED
    with pytest.raises(errors.NotDatasetOwner):
        world.stranger.gift(listed.dataset_id, other.address())
    with pytest.raises(errors.LicenseHeld):
        friend.buy(offer)


def test_offers_that_closed_or_were_left_behind_sell_nothing(world: World) -> None:
    listed = world.publish([one_time("5 USD"), one_time("6 USD")])
    first, second = listed.offer_ids
    world.provider.offers.close(first)
    with pytest.raises(errors.OfferIsClosed):
        world.consumer.buy(first)
    bought = world.consumer.buy(second)
    world.provider.delist(listed.dataset_id)
    with pytest.raises(errors.NotListed):
        world.second_consumer.buy(second)
    assert world.consumer.verify(listed.dataset_id).is_valid
    assert world.consumer.purchase(bought.purchase_id).amount == 6 * USD
