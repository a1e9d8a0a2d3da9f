"""LicenseNFT: one soulbound token for each licence, whose validity is the ledger's."""

from __future__ import annotations

import pytest

from tests.contracts.chain import ZERO, reverts
from tests.contracts.market_world import MONTH, SUBSCRIPTION, Market


@pytest.fixture(scope="module")
def market() -> Market:
    return Market()


def test_a_purchase_mints_a_locked_token_for_the_licensee(market: Market) -> None:
    dataset, offer = market.sell()
    receipt = market.manager.purchase(offer, market.buyer, 1, 100, sender=market.buyer, value=100)
    token = market.nft.tokenOf(dataset, market.buyer)
    assert token == 1 == market.nft.tokenCount()
    assert receipt.event("Locked").tokenId == token
    assert market.nft.locked(token)
    assert market.nft.ownerOf(token) == market.buyer
    license = market.nft.license(token)
    assert (license.datasetId, license.licensee, license.purchaseId) == (dataset, market.buyer, receipt.value)
    assert license.mintedAt == receipt.timestamp


def test_a_licensee_that_cannot_receive_tokens_gets_one_all_the_same(market: Market) -> None:
    dataset, offer = market.sell()
    market.buy(offer, licensee=market.usd.address)
    assert market.nft.tokenOf(dataset, market.usd.address) == 1


def test_it_can_neither_be_transferred_nor_approved(market: Market) -> None:
    _, offer = market.sell()
    market.buy(offer)
    buyer, friend = market.buyer, market.friend
    with reverts("Soulbound"):
        market.nft.transferFrom(buyer, friend, 1, sender=buyer)
    with reverts("Soulbound"):
        market.nft["safeTransferFrom(address,address,uint256)"](buyer, friend, 1, sender=buyer)
    with reverts("Soulbound"):
        market.nft["safeTransferFrom(address,address,uint256,bytes)"](buyer, friend, 1, b"x", sender=buyer)
    with reverts("Soulbound"):
        market.nft.transferFrom(buyer, buyer, 1, sender=buyer)
    with reverts("Soulbound"):
        market.nft.approve(friend, 1, sender=buyer)
    with reverts("Soulbound"):
        market.nft.setApprovalForAll(friend, True, sender=buyer)
    assert market.nft.ownerOf(1) == buyer
    assert market.nft.balanceOf(buyer) == 1


def test_access_needs_the_owner_the_latest_token_and_a_valid_licence(market: Market) -> None:
    dataset, offer = market.sell(kind=SUBSCRIPTION, period=MONTH)
    market.buy(offer)
    nft = market.nft
    assert nft.verifyAccess(1, market.buyer)
    assert not nft.verifyAccess(1, market.friend)
    assert not nft.verifyAccess(0, ZERO)
    assert not nft.verifyAccess(2, ZERO)
    assert not nft.verifyAccess(2, market.buyer)
    market.chain.sleep(MONTH)
    assert not nft.verifyAccess(1, market.buyer)
    market.buy(offer)
    assert nft.tokenOf(dataset, market.buyer) == 2
    assert nft.verifyAccess(2, market.buyer)
    assert not nft.verifyAccess(1, market.buyer)


def test_a_renewal_keeps_the_token(market: Market) -> None:
    _, offer = market.sell(kind=SUBSCRIPTION, period=MONTH)
    market.buy(offer)
    market.buy(offer)
    assert market.nft.tokenCount() == 1


def test_metadata_are_the_listings_until_it_is_gone(market: Market) -> None:
    dataset, offer = market.sell()
    market.buy(offer)
    assert market.nft.tokenURI(1) == "ipfs://metadata"
    market.listing.delist(int.from_bytes(dataset, "big"), sender=market.provider)
    assert market.nft.tokenURI(1) == ""
    for call in (market.nft.tokenURI, market.nft.locked, market.nft.license):
        with reverts("ERC721NonexistentToken", 2):
            call(2)


def test_only_the_license_manager_mints(market: Market) -> None:
    with reverts("NotMinter", market.admin, market.manager):
        market.nft.mint(market.buyer, bytes(32), 1)
    assert market.nft.minter() == market.manager.address
    assert market.nft.dataListing() == market.listing.address


def test_it_announces_its_interfaces(market: Market) -> None:
    for interface in ("01ffc9a7", "80ac58cd", "5b5e139f", "b45a3c0e"):  # ERC-165, 721, 721 metadata, 5192
        assert market.nft.supportsInterface(bytes.fromhex(interface))
    assert not market.nft.supportsInterface(bytes.fromhex("ffffffff"))
