"""A stablecoin with six decimals that gives itself away."""

from __future__ import annotations

import pytest

from tests.contracts.chain import START_TIME, Chain, Contract, reverts
from tests.contracts.signing import permit_digest


@pytest.fixture(scope="module")
def usd() -> Contract:
    chain = Chain()
    return chain.deploy("TestUSD", [chain.accounts[1]], 50_000_000)


def test_it_has_six_decimals_and_its_first_holders(usd: Contract) -> None:
    assert (usd["name"](), usd.symbol(), usd.decimals()) == ("Test USD", "tUSD", 6)
    assert usd.totalSupply() == usd.balanceOf(usd.chain.accounts[1]) == 50_000_000


def test_anybody_may_mint_up_to_the_limit_of_a_call(usd: Contract) -> None:
    stranger, friend = usd.chain.accounts[5:7]
    limit = usd.FAUCET_LIMIT()
    assert limit == 10_000 * 10**6
    usd.mint(friend, limit, sender=stranger)
    usd.mint(friend, 1, sender=stranger)
    assert usd.balanceOf(friend) == limit + 1
    with reverts("FaucetLimitExceeded", limit + 1, limit):
        usd.mint(friend, limit + 1, sender=stranger)


def test_permit_works_with_its_domain(usd: Contract) -> None:
    alice, shop = usd.chain.accounts[1:3]
    signature = alice.sign(permit_digest(usd, alice, shop, 20, START_TIME))
    usd.permit(alice, shop, 20, START_TIME, *signature, sender=shop)
    usd.transferFrom(alice, shop, 20, sender=shop)
    assert (usd.balanceOf(shop), usd.nonces(alice)) == (20, 1)
