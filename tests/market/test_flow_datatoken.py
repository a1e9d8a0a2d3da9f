"""Access that can be resold: datatokens issued, sold, resold with a royalty, redeemed; a licence NFT stays where it is.

See docs/market/datatoken.md.
"""

from __future__ import annotations

import pytest

from dmchain.market import errors, one_time, subscription
from dmchain.market.models import Publication
from tests.market.world import COIN, DAY, USD, World

PRICE = 100 * USD
FEE_BPS = 250
ROYALTY_BPS = 500


def part(amount: int, bps: int) -> int:
    return amount * bps // 10_000


def treasury(world: World) -> str:
    return str(world.provider.call("LicenseManager", "treasury"))


def issue(world: World, supply: int = 10, **more: object) -> tuple[Publication, int]:
    """A derived data set with an offer, and tokens upon it."""
    parent = world.publish([], by=world.creator, lineage_royalty_bps=1000)
    listed = world.publish([one_time("100 USD")], parents=[parent.dataset_id])
    made = world.provider.datatokens.issue(
        listed.dataset_id, listed.offer_ids[0], supply, resale_royalty_bps=ROYALTY_BPS, **more
    )  # type: ignore[arg-type]
    return listed, made.class_id


def test_sold_resold_and_redeemed_with_every_unit_accounted_for(world: World) -> None:
    provider, first, second = world.provider, world.consumer, world.second_consumer
    listed, class_id = issue(world)

    # The issuer's own sale is divided like any purchase.
    sale = provider.datatokens.sell(class_id, 4, "100 USD")
    assert sale.is_primary
    before = world.tokens(first)
    first.datatokens.buy(sale.order_id, 3)
    price, fee = 3 * PRICE, part(3 * PRICE, FEE_BPS)
    inherited = part(price - fee, 1000)
    assert world.tokens(first) == before - price
    assert world.owed(treasury(world)) == fee
    assert world.owed(world.creator) == inherited
    assert world.owed(provider) == price - fee - inherited
    assert first.datatokens.balance(class_id) == 3

    # A resale pays the royalty, of which the parent has its part; the rest is the seller's.
    resale = first.datatokens.sell(class_id, 2, "250 USD")
    assert not resale.is_primary
    paid, resale_fee, royalty, proceeds = second.datatokens.quote(resale.order_id, 2)
    assert (paid, resale_fee, royalty) == (500 * USD, part(500 * USD, FEE_BPS), part(500 * USD, ROYALTY_BPS))
    before = world.tokens(second)
    second.datatokens.buy(resale.order_id, 2)
    assert world.tokens(second) == before - 500 * USD
    assert world.owed(first) == proceeds == 500 * USD - resale_fee - royalty
    assert world.owed(treasury(world)) == fee + resale_fee
    parents_part = part(royalty, 1000)
    assert world.owed(world.creator) == inherited + parents_part
    assert world.owed(provider) == price - fee - inherited + royalty - parents_part
    assert world.contract_balance("LicenseManager") == price + 500 * USD
    assert world.contract_balance("Datatoken") == 0
    before = world.tokens(first)
    first.payouts.withdraw()
    assert world.tokens(first) == before + proceeds

    # Who redeems holds a licence; the token is gone.
    term = second.datatokens.redeem(class_id)
    assert second.verify(listed.dataset_id).is_valid and not first.verify(listed.dataset_id).is_valid
    assert second.datatokens.balance(class_id) == 1
    assert second.purchase(term.term_id).licensee == second.address()
    made = second.datatokens.get(class_id)
    assert (made.issued, made.redeemed) == (10, 1)


def test_a_licence_nft_cannot_be_transferred(world: World) -> None:
    listed, class_id = issue(world)
    consumer, friend = world.consumer, world.second_consumer
    sale = world.provider.datatokens.sell(class_id, 1, "0.5 DM")
    consumer.datatokens.buy(sale.order_id)
    consumer.datatokens.redeem(class_id)
    token = consumer.call("LicenseNFT", "tokenOf", bytes.fromhex(listed.dataset_id[2:]), consumer.address())
    with pytest.raises(errors.Soulbound):
        consumer.transact("LicenseNFT", "transferFrom", consumer.address(), friend.address(), token)
    with pytest.raises(errors.Soulbound):
        consumer.transact("LicenseNFT", "approve", friend.address(), token)
    with pytest.raises(errors.Soulbound):
        consumer.transact("LicenseNFT", "setApprovalForAll", friend.address(), True)
    assert consumer.call("LicenseNFT", "ownerOf", token) == consumer.address()
    assert consumer.call("LicenseNFT", "verifyAccess", token, consumer.address())
    assert consumer.call("LicenseNFT", "locked", token)
    net = COIN // 2 - part(COIN // 2, FEE_BPS)
    assert world.owed(world.provider, "DM") == net - part(net, 1000)


def test_restricted_tokens_change_hands_in_the_book_alone(world: World) -> None:
    _, class_id = issue(world, is_restricted=True)
    consumer, friend = world.consumer, world.second_consumer
    sale = world.provider.datatokens.sell(class_id, 2, "100 USD")
    consumer.datatokens.buy(sale.order_id, 2)
    with pytest.raises(errors.TransfersRestricted):
        consumer.datatokens.transfer(friend.address(), class_id)
    resale = consumer.datatokens.sell(class_id, 2, "110 USD")
    friend.datatokens.buy(resale.order_id)
    consumer.datatokens.cancel_sale(resale.order_id)
    assert (consumer.datatokens.balance(class_id), friend.datatokens.balance(class_id)) == (1, 1)


def test_free_tokens_are_sent_and_become_periods_of_a_subscription(world: World) -> None:
    listed = world.publish([subscription("30 USD", period="30d")])
    made = world.provider.datatokens.issue(listed.dataset_id, listed.offer_ids[0], 12)
    consumer = world.consumer
    world.provider.datatokens.transfer(consumer.address(), made.class_id, 3)
    consumer.datatokens.redeem(made.class_id, 2)
    end = consumer.verify(listed.dataset_id).expires_at
    consumer.datatokens.redeem(made.class_id)
    assert consumer.verify(listed.dataset_id).expires_at == end + 30 * DAY
    assert world.contract_balance("LicenseManager") == 0
