"""DataListing: tokens that stand for data sets, and the registry's owner, operator and controller that go with them."""

from __future__ import annotations

import pytest
from eth_abi import encode

from dmchain.chain.primitives.crypto import keccak
from tests.contracts.chain import ZERO, reverts
from tests.contracts.market_world import (
    DAY,
    END_AND_REFUND,
    RUN_OUT,
    USD,
    Market,
    make_cid,
    make_content,
    make_listing,
    make_offer,
)

ACTIVE, RETIRED, RETIRED_BY_GOVERNANCE = 1, 2, 3


@pytest.fixture(scope="module")
def market() -> Market:
    return Market()


def token_of(dataset: bytes) -> int:
    return int.from_bytes(dataset, "big")


def list_data(market: Market, dataset: bytes, *, uri: str = "ipfs://m", sender: str | None = None, **changes: object):
    return market.listing.listData(dataset, uri, make_listing(**changes), [], sender=sender or market.provider)


def register(market: Market, content: bytes = b"content") -> bytes:
    registered = market.chain.registry.registerCid(make_cid(content), b"", [], 7, sender=market.provider)
    return bytes(registered.value)


# ---------------------------------------------------------------- listing


def test_publishing_registers_lists_and_offers_in_one_transaction(market: Market) -> None:
    content, offers = make_content(b"content"), [make_offer(), make_offer(price=7)]
    listing = make_listing(onRetirement=RUN_OUT, availableUntil=market.chain.timestamp + DAY, lineageRoyaltyBps=300)
    receipt = market.listing.publish(content, "ipfs://m", listing, offers, sender=market.provider)
    dataset = keccak(make_cid(b"content"))
    assert receipt.value == token_of(dataset)
    entry = market.chain.registry.dataset(dataset)
    assert (entry.owner, entry.operator, entry.controller, entry.status) == (
        market.provider,
        market.listing.address,
        market.manager.address,
        ACTIVE,
    )
    assert entry.sizeBytes == len(b"content")
    listed = market.listing.listing(receipt.value)
    assert listed == market.listing.listingOf(dataset)
    assert (listed.datasetId, listed.creator, listed.serial, listed.listedAt) == (
        dataset,
        market.provider,
        1,
        receipt.timestamp,
    )
    assert (listed.spdx, listed.format, listed.metadataURI) == ("CC-BY-4.0", "text/csv", "ipfs://m")
    assert (listed.resaleRoyaltyBps, listed.lineageRoyaltyBps, listed.onRetirement) == (500, 300, RUN_OUT)
    assert listed.registeredBlock == entry.registeredBlock
    assert market.listing.ownerOf(receipt.value) == market.provider
    assert market.listing.tokenURI(receipt.value) == "ipfs://m"
    assert market.listing.isListed(dataset) and market.listing.isAvailable(dataset)
    assert market.manager.offersOf(dataset, 0, 10) == [1, 2]
    assert receipt.event("Listed").owner == market.provider


def test_an_owner_lists_what_it_registered_once_this_contract_is_the_operator(market: Market) -> None:
    dataset = register(market)
    with reverts("NotOperator", dataset, ZERO):
        list_data(market, dataset)
    market.chain.registry.setOperator(dataset, market.listing, sender=market.provider)
    with reverts("NotDatasetOwner", dataset, market.stranger, market.provider):
        list_data(market, dataset, sender=market.stranger)
    list_data(market, dataset)
    with reverts("AlreadyListed", dataset, 1):
        list_data(market, dataset)
    assert market.chain.registry.controllerOf(dataset) == market.manager.address


def test_publishing_a_content_that_somebody_has_registered_is_refused(market: Market) -> None:
    dataset = register(market)
    with reverts("AlreadyRegistered", dataset):
        market.publish(b"content", owner=market.rival)


@pytest.mark.parametrize(
    ("changes", "uri", "error"),
    [
        ({"spdx": ""}, "ipfs://m", ("InvalidText", "spdx", 0, 64)),
        ({"spdx": "x" * 65}, "ipfs://m", ("InvalidText", "spdx", 65, 64)),
        ({"format": "x" * 65}, "ipfs://m", ("InvalidText", "format", 65, 64)),
        ({}, "", ("InvalidText", "metadataURI", 0, 1024)),
        ({}, "x" * 1025, ("InvalidText", "metadataURI", 1025, 1024)),
        ({"resaleRoyaltyBps": 2001}, "ipfs://m", ("InvalidBps", "resaleRoyaltyBps", 2001, 2000)),
        ({"lineageRoyaltyBps": 2001}, "ipfs://m", ("InvalidBps", "lineageRoyaltyBps", 2001, 2000)),
        ({"availableUntil": 1_700_000_000}, "ipfs://m", ("InvalidAvailability", 1_700_000_000, 1_700_000_001)),
    ],
)
def test_what_a_listing_says_is_checked(
    market: Market, changes: dict[str, object], uri: str, error: tuple[object, ...]
) -> None:
    with reverts(str(error[0]), *error[1:]):
        market.listing.publish(make_content(b"content"), uri, make_listing(**changes), [], sender=market.provider)


def test_a_listing_begins_with_at_most_sixteen_offers(market: Market) -> None:
    with reverts("TooManyOffers", 17, 16):
        market.publish(offers=[make_offer()] * 17)
    market.publish(offers=[make_offer()] * 16)
    assert market.manager.offerCount() == 16


def test_its_owner_changes_metadata_and_availability(market: Market) -> None:
    token = token_of(market.publish())
    now = market.chain.timestamp
    receipt = market.listing.update(token, "ipfs://new", now + DAY, sender=market.provider)
    assert receipt.event("ListingUpdated").arguments == {
        "tokenId": token,
        "availableUntil": now + DAY,
        "metadataURI": "ipfs://new",
    }
    assert market.listing.tokenURI(token) == "ipfs://new"
    with reverts("NotDatasetOwner", token.to_bytes(32, "big"), market.stranger, market.provider):
        market.listing.update(token, "ipfs://evil", 0, sender=market.stranger)
    with reverts("InvalidAvailability", now, now + 1):
        market.listing.update(token, "ipfs://new", now, sender=market.provider)
    market.chain.sleep(DAY)
    dataset = token.to_bytes(32, "big")
    assert not market.listing.isAvailable(dataset)
    with reverts("NotAvailable", dataset, now + DAY):
        market.offer(dataset)


# ---------------------------------------------------------------- ownership


def test_the_data_set_moves_with_the_token_and_stays_under_the_manager(market: Market) -> None:
    dataset, offer = market.sell(price=1000)
    token = token_of(dataset)
    market.buy(offer)
    market.listing.transferFrom(market.provider, market.friend, token, sender=market.provider)
    entry = market.chain.registry.dataset(dataset)
    assert (entry.owner, entry.operator, entry.controller) == (
        market.friend,
        market.listing.address,
        market.manager.address,
    )
    assert market.licensed(dataset)
    # offers go with it: the new owner is paid
    market.buy(offer, market.stranger)
    assert (market.owed(market.provider), market.owed(market.friend)) == (975, 975)
    with reverts("NotDatasetOwner", dataset, market.provider, market.friend):
        market.manager.closeOffer(offer, sender=market.provider)
    market.manager.closeOffer(offer, sender=market.friend)
    assert market.listing.royaltyInfo(token, 10_000) == (market.provider, 500)


def test_the_owner_cannot_move_the_data_set_behind_the_token(market: Market) -> None:
    dataset = market.publish()
    registry = market.chain.registry
    for act in (registry.transferDataset, registry.setController, registry.setOperator):
        with reverts("NotAuthorized", dataset, market.provider, market.listing):
            act(dataset, market.friend, sender=market.provider)


def test_a_retired_data_set_keeps_its_token_where_it_is(market: Market) -> None:
    dataset = market.publish()
    market.chain.registry.retire(dataset, sender=market.provider)
    assert not market.listing.isAvailable(dataset)
    with reverts("RetiredDataset", dataset):
        market.listing.transferFrom(market.provider, market.friend, token_of(dataset), sender=market.provider)
    market.listing.delist(token_of(dataset), sender=market.provider)
    assert not market.listing.isListed(dataset)


def test_delisting_burns_the_token_and_gives_the_operators_rights_back(market: Market) -> None:
    dataset, offer = market.sell()
    token = token_of(dataset)
    market.buy(offer)
    with reverts("NotDatasetOwner", dataset, market.stranger, market.provider):
        market.listing.delist(token, sender=market.stranger)
    receipt = market.listing.delist(token, sender=market.provider)
    assert receipt.event("Delisted").arguments == {
        "tokenId": token,
        "owner": market.provider,
        "serial": 1,
        "stale": False,
    }
    entry = market.chain.registry.dataset(dataset)
    assert (entry.operator, entry.controller) == (ZERO, market.manager.address)
    assert market.licensed(dataset)
    with reverts("NotListed", dataset):
        market.buy(offer, market.friend)
    with reverts("NotListed", dataset):
        market.listing.listing(token)
    with reverts("ERC721NonexistentToken", token):
        market.listing.ownerOf(token)


def test_offers_of_a_former_listing_do_not_come_back_to_life(market: Market) -> None:
    dataset, offer = market.sell(price=1)
    market.listing.delist(token_of(dataset), sender=market.provider)
    market.chain.registry.setOperator(dataset, market.listing, sender=market.provider)
    list_data(market, dataset)
    assert not market.manager.isSellable(offer)
    with reverts("OfferOfFormerListing", offer, 1, 2):
        market.buy(offer)


def test_an_owner_that_does_not_list_after_all_gets_its_rights_back(market: Market) -> None:
    dataset = register(market)
    registry = market.chain.registry
    registry.setOperator(dataset, market.listing, sender=market.provider)
    with reverts("NotDatasetOwner", dataset, market.stranger, market.provider):
        market.listing.releaseOperator(dataset, sender=market.stranger)
    market.listing.releaseOperator(dataset, sender=market.provider)
    registry.transferDataset(dataset, market.friend, sender=market.provider)
    listed = market.publish(b"other")
    with reverts("AlreadyListed", listed, 1):
        market.listing.releaseOperator(listed, sender=market.provider)


# ---------------------------------------------------------------- earlier commitments


def test_an_earlier_commitment_takes_the_data_set_with_listing_and_all(market: Market) -> None:
    market.commit(b"content", market.rival)
    dataset, offer = market.sell()
    token = token_of(dataset)
    market.take_over(b"content", market.rival, [make_offer(price=5)])
    assert market.listing.ownerOf(token) == market.rival
    assert market.chain.registry.ownerOf(dataset) == market.rival
    assert market.listing.tokenCount() == 1
    with reverts("OfferOfFormerListing", offer, 1, 2):
        market.buy(offer)
    market.buy(offer + 1)
    assert market.owed(market.provider) == 0
    assert market.owed(market.rival) == 5


def test_a_commitment_is_bound_to_its_publisher(market: Market) -> None:
    market.commit(b"content", market.provider)
    with reverts("UnknownCommitment"):
        market.take_over(b"content", market.stranger)
    market.take_over(b"content", market.provider)


def test_the_token_of_a_front_runner_sells_nothing_and_cannot_move(market: Market) -> None:
    # The rightful owner registers by hand, and makes this contract the operator without listing yet.
    registry, salt = market.chain.registry, bytes(32)
    own = keccak(encode(["bytes", "address", "bytes32"], [make_cid(b"other"), str(market.rival), salt]))
    registry.commitCid(own, sender=market.rival)
    other, other_offer = market.sell(b"other")
    registry.registerCommitted(make_cid(b"other"), b"", [], 1, salt, sender=market.rival)
    assert market.listing.isListed(other) and not market.listing.isAvailable(other)
    with reverts("StaleListing", datasetId=other):
        market.buy(other_offer)
    registry.setOperator(other, market.listing, sender=market.rival)
    with reverts("StaleListing", datasetId=other):
        market.listing.transferFrom(market.provider, market.stranger, token_of(other), sender=market.provider)
    market.listing.delist(token_of(other), sender=market.provider)
    assert (
        registry.dataset(other).operator == market.listing.address
    )  # untouched: it is not the front-runner's any more
    market.listing.listData(other, "ipfs://m", make_listing(), [], sender=market.rival)
    assert market.listing.ownerOf(token_of(other)) == market.rival


# ---------------------------------------------------------------- sales


def test_access_is_bought_by_token_and_offer(market: Market) -> None:
    dataset, offer = market.sell(price=100)
    other, other_offer = market.sell(b"other", token=market.usd.address, price=3 * USD)
    receipt = market.listing.purchaseAccess(token_of(dataset), offer, sender=market.buyer, value=100)
    assert market.manager.purchaseOf(receipt.value).payer == market.buyer
    assert market.licensed(dataset)
    market.listing.purchaseAccess(token_of(other), other_offer, sender=market.buyer)
    assert market.owed(market.provider, market.usd) == 3 * USD - 3 * USD * 250 // 10_000
    with reverts("WrongOffer", token_of(dataset), other_offer, other):
        market.listing.purchaseAccess(token_of(dataset), other_offer, sender=market.buyer)
    with reverts("UnexpectedAmount", ZERO, 100, 99):
        market.listing.purchaseAccess(token_of(dataset), offer, sender=market.friend, value=99)
    with reverts("UnknownOffer", 9):
        market.listing.purchaseAccess(token_of(dataset), 9, sender=market.friend)
    market.assert_sound()
    market.assert_sound(market.usd)


def test_curators_stop_sales_but_not_licences(market: Market) -> None:
    dataset, offer = market.sell()
    market.buy(offer)
    role = market.listing.CURATOR_ROLE()
    with reverts("AccessControlUnauthorizedAccount", market.stranger, role):
        market.listing.setSuspended(dataset, True, sender=market.stranger)
    market.listing.grantRole(role, market.stranger)
    market.listing.setSuspended(dataset, True, sender=market.stranger)
    with reverts("NotAvailable", dataset, 0):
        market.buy(offer, market.friend)
    assert market.licensed(dataset) and market.listing.isSuspended(dataset)
    market.listing.setSuspended(dataset, False, sender=market.stranger)
    market.buy(offer, market.friend)


# ---------------------------------------------------------------- views


def test_listings_are_paged_and_close_their_gaps(market: Market) -> None:
    datasets = [market.publish(bytes([number])) for number in range(4)]
    assert market.listing.tokenCount() == 4
    assert [each.datasetId for each in market.listing.listings(1, 2)] == datasets[1:3]
    assert [each.datasetId for each in market.listing.listings(3, 100)] == datasets[3:]
    assert market.listing.listings(4, 1) == market.listing.listings(2**256 - 1, 2**256 - 1) == []
    market.listing.delist(token_of(datasets[1]), sender=market.provider)
    assert [each.datasetId for each in market.listing.listings(0, 9)] == [datasets[0], datasets[3], datasets[2]]
    assert market.listing.tokenByIndex(1) == token_of(datasets[3])
    for dataset in (datasets[3], datasets[2], datasets[0]):
        market.listing.delist(token_of(dataset), sender=market.provider)
    assert market.listing.tokenCount() == 0


def test_resale_royalties_follow_erc2981_at_any_price(market: Market) -> None:
    token = token_of(market.publish(resaleRoyaltyBps=2000))
    assert market.listing.royaltyInfo(token, 2**256 - 1) == (market.provider, (2**256 - 1) // 5)
    assert market.listing.royaltyInfo(token, 4) == (market.provider, 0)
    for interface in ("2a55205a", "80ac58cd", "7965db0b"):  # ERC-2981, ERC-721, AccessControl
        assert market.listing.supportsInterface(bytes.fromhex(interface))


def test_it_is_initialized_once_and_its_implementation_never(market: Market) -> None:
    with reverts("InvalidInitialization"):
        market.listing.initialize(market.stranger, sender=market.stranger)
    bare = market.chain.deploy("DataListing", market.manager)
    with reverts("InvalidInitialization"):
        bare.initialize(market.stranger)
    with reverts("InvalidAccount", ZERO):
        market.chain.deploy_proxy("DataListing", ZERO, implementation=bare)
    assert market.listing.licenseManager() == market.manager.address


# ---------------------------------------------------------------- lineage


def shares(market: Market, dataset: bytes) -> list[tuple[bytes, int]]:
    return [(share.datasetId, share.bps) for share in market.listing.lineage(dataset)]


def test_every_ancestor_has_its_part_of_what_its_child_gets(market: Market) -> None:
    old = market.publish(b"old", lineageRoyaltyBps=1000)
    left = market.publish(b"left", parents=[old], lineageRoyaltyBps=2000)
    right = market.publish(b"right", parents=[old], lineageRoyaltyBps=500)
    free = market.publish(b"free", parents=[old])
    child = market.publish(b"child", parents=[left, right, free])
    # the oldest is reached through both of its paying children: 1000 of 2000 and of 500
    assert shares(market, child) == [(left, 2000), (right, 500), (old, 250)]
    assert shares(market, old) == []
    assert market.listing.lineageRoyaltyOf(left) == 2000


def test_shares_stop_at_half_of_everything(market: Market) -> None:
    parents = [market.publish(bytes([number]), lineageRoyaltyBps=2000) for number in range(4)]
    child = market.publish(b"child", parents=parents)
    assert shares(market, child) == [(parents[0], 2000), (parents[1], 2000), (parents[2], 1000)]


def test_shares_stop_at_sixteen_ancestors_and_four_generations(market: Market) -> None:
    line = [market.publish(b"0", lineageRoyaltyBps=2000)]
    for number in range(1, 6):
        line.append(market.publish(b"%d" % number, parents=[line[-1]], lineageRoyaltyBps=2000))
    assert shares(market, line[5]) == [(line[4], 2000), (line[3], 400), (line[2], 80), (line[1], 16)]
    many = [market.publish(b"p%d" % number, lineageRoyaltyBps=10, parents=[line[0]]) for number in range(16)]
    child = market.publish(b"many", parents=many)
    assert shares(market, child) == [(each, 10) for each in many]


def test_what_is_delisted_retired_or_taken_over_asks_for_nothing(market: Market) -> None:
    market.commit(b"stolen", market.rival)
    gone, retired, stolen = (market.publish(each, lineageRoyaltyBps=100) for each in (b"gone", b"retired", b"stolen"))
    child = market.publish(b"child", parents=[gone, retired, stolen])
    assert len(shares(market, child)) == 3
    market.listing.delist(token_of(gone), sender=market.provider)
    market.chain.registry.retire(retired)
    market.take_over(b"stolen", market.rival)
    assert shares(market, child) == []


def test_retirement_terms_are_told(market: Market) -> None:
    dataset = market.publish(onRetirement=END_AND_REFUND)
    assert market.listing.listingOf(dataset).onRetirement == END_AND_REFUND
