"""The LicenseManager is upgraded: offers, licences, terms and balances stay, a pricing model is new."""

from __future__ import annotations

from typing import Any

import pytest

from dmchain.chain.primitives.crypto import keccak
from tests.contracts.chain import Contract, load, reverts
from tests.contracts.genesis_world import DAY, PAY_PER_COMPUTE, SUBSCRIPTION, USD, Market
from tools.contracts.layouts import LayoutChanged, check_layout, normalize_layout

ADMIN_SLOT = int.from_bytes(keccak(b"eip1967.proxy.admin"), "big") - 1
IMPLEMENTATION_SLOT = int.from_bytes(keccak(b"eip1967.proxy.implementation"), "big") - 1


@pytest.fixture(scope="module")
def market() -> Market:
    """A data set with three offers; bob has bought of each kind from another data set."""
    return Market()


def layout_of(name: str) -> Any:
    return normalize_layout(load(name).output["storageLayout"])


def deploy_next(market: Market) -> Contract:
    manager = market["LicenseManager"]
    before = market.chain.storage(manager, IMPLEMENTATION_SLOT).to_bytes(20, "big")
    collaborators = (manager.dataListing(), manager.licenseNft(), manager.escrowPayment(), manager.reputation())
    return market.chain.deploy("LicenseManagerV2", before, *collaborators)


def upgrade(market: Market, implementation: Contract, sender: Any) -> Contract:
    """Point the proxy at another implementation; returns the proxy with the new functions."""
    chain, manager = market.chain, market["LicenseManager"]
    admin = chain.contract(chain.storage(manager, ADMIN_SLOT).to_bytes(20, "big"), "ProxyAdmin")
    admin.upgradeAndCall(manager, implementation, b"", sender=sender)
    return implementation.at(manager)


def test_only_the_timelock_upgrades(market: Market) -> None:
    new = deploy_next(market)
    for stranger in (market.chain.admin, market["DataGovernor"].address):
        with reverts("OwnableUnauthorizedAccount", stranger):
            upgrade(market, new, stranger)
    upgrade(market, new, market.timelock)
    slot = market.chain.storage(market["LicenseManager"], IMPLEMENTATION_SLOT)
    assert slot == int(new.address, 16)


def test_everything_that_was_there_stays(market: Market) -> None:
    alice, bob, carol = market.accounts[1:4]
    manager = market["LicenseManager"]
    offers = [market.offer(100 * USD, period=90 * DAY), market.offer(10 * USD, SUBSCRIPTION)]
    offers.append(market.offer(2 * USD, PAY_PER_COMPUTE))
    sold = [market.publish(alice, each) for each in offers]
    purchases = [market.buy(bob, ids[0], quantity) for (_, ids), quantity in zip(sold, (1, 3, 50), strict=True)]

    def everything() -> list[Any]:
        seen: list[Any] = [manager.offer(ids[0]) for _, ids in sold]
        seen += [manager.purchaseOf(each) for each in purchases] + [manager.term(each) for each in purchases]
        seen += [market.has_license(dataset, bob) for dataset, _ in sold]
        seen += [market["LicenseNFT"].verifyAccess(each, bob) for each in (1, 2, 3)]
        seen += [manager.owed(market.usd, who) for who in (alice, bob, market.timelock)]
        seen += [manager.held(market.usd), manager.platformFeeBps(), manager.treasury(), manager.purchaseCount()]
        seen += [manager.hasRole(manager.MODULE_ROLE(), market["DataListing"])]
        return seen

    before = everything()
    upgrade(market, deploy_next(market), market.timelock)
    assert everything() == before
    assert all(before[9:15])

    # and everything goes on: units are used, a subscription ends, somebody new buys, money is fetched
    manager.consume(sold[2][0], 10, sender=bob)
    assert manager.cancel(purchases[1], sender=bob).value == 20 * USD
    market.buy(carol, sold[0][1][0])
    before_withdrawal = market.usd.balanceOf(alice)
    owed = manager.owed(market.usd, alice)
    manager.withdrawTo(market.usd, alice, sender=alice)
    assert market.usd.balanceOf(alice) - before_withdrawal == owed
    assert owed == (100 + 100 + 10 + 20) * USD * 9750 // 10_000
    market.check_books()


def test_the_new_implementation_adds_a_pricing_model(market: Market) -> None:
    alice, bob = market.accounts[1:3]
    dataset, (single,) = market.publish(alice, market.offer(2 * USD, PAY_PER_COMPUTE))
    manager = market["LicenseManager"]
    new = upgrade(market, deploy_next(market), market.timelock)
    with reverts("NotDatasetOwner", dataset, bob, alice):
        new.createBulkOffer(dataset, market.offer(1 * USD, PAY_PER_COMPUTE), 100, sender=bob)
    with reverts("InvalidLeastQuantity", 1):
        new.createBulkOffer(dataset, market.offer(1 * USD, PAY_PER_COMPUTE), 1, sender=alice)
    bulk = new.createBulkOffer(dataset, market.offer(1 * USD, PAY_PER_COMPUTE), 100, sender=alice).value
    with reverts("QuantityTooSmall", bulk, 99, 100):
        market.buy(bob, bulk, 99)
    market.buy(bob, bulk, 100)
    assert market["EscrowPayment"].held(market.usd) == 100 * USD
    assert manager.consume(dataset, 40, sender=bob).value == 60
    assert manager.owed(market.usd, alice) == 40 * USD * 9750 // 10_000
    assert (new.leastQuantityOf(bulk), new.leastQuantityOf(single)) == (100, 0)
    market.check_books()


def test_an_implementation_is_nobodys(market: Market) -> None:
    chain, stranger = market.chain, market.accounts[5]
    new = deploy_next(market)
    for name in ("LicenseManager", "DataListing", "EscrowPayment"):
        implementation = market[name].at(chain.storage(market[name], IMPLEMENTATION_SLOT).to_bytes(20, "big"))
        zeros = [stranger] * 5 if name == "EscrowPayment" else [stranger, stranger, 0] if name[0] == "L" else [stranger]
        for each in (implementation, market[name]):
            with reverts("InvalidInitialization"):
                each.initialize(*zeros, sender=stranger)
    with reverts("InvalidInitialization"):
        market["LicenseManager"].at(new.address).initialize(stranger, stranger, 0, sender=stranger)


def test_the_layout_check_tells_a_good_upgrade_from_a_bad_one() -> None:
    check_layout(layout_of("LicenseManager"), layout_of("LicenseManagerV2"))
    check_layout(layout_of("LicenseManager"), layout_of("LicenseBooks"))
    with pytest.raises(LayoutChanged, match="_offers"):
        check_layout(layout_of("LicenseManager"), layout_of("LicenseManagerMoved"))
    with pytest.raises(LayoutChanged):
        check_layout(layout_of("LicenseManagerV2"), layout_of("LicenseManager"))
