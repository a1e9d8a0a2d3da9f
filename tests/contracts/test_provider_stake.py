"""Stake behind a listing stays with who staked it, waits, is locked by disputes and can be slashed."""

from __future__ import annotations

import os
import random

import pytest

from dmchain.chain.primitives.crypto import keccak
from tests.contracts.chain import ZERO, Chain, Contract, Reverted, reverts
from tests.contracts.payment_world import make_cid

DELAY = 1_000
ALL = 2**256 - 1
DATASET = keccak(make_cid(b"data"))
OTHER = keccak(make_cid(b"other"))

SEEDS = range(3) if os.environ.get("MARKET") == "full" else range(1)
"""Of the random plays: more of them in `make market-test`."""


@pytest.fixture(scope="module")
def stakes() -> Contract:
    chain = Chain()
    owner, disputes = chain.accounts[1], chain.accounts[9]
    chain.registry.registerCid(make_cid(b"data"), b"", [], 0, sender=owner)
    chain.registry.registerCid(make_cid(b"other"), b"", [], 0, sender=owner)
    return chain.deploy("ProviderStake", chain.admin, disputes, DELAY)


@pytest.fixture
def owner(stakes: Contract) -> str:
    return stakes.chain.accounts[1]


@pytest.fixture
def disputes(stakes: Contract) -> str:
    return stakes.chain.accounts[9]


def test_only_the_owner_stakes(stakes: Contract, owner: str) -> None:
    stranger = stakes.chain.accounts[2]
    with reverts("NotOwner", DATASET, stranger, owner):
        stakes.stake(DATASET, sender=stranger, value=1)
    with reverts("ZeroAmount"):
        stakes.stake(DATASET, sender=owner)
    event = stakes.stake(DATASET, sender=owner, value=7).event("Staked")
    assert (event.datasetId, event.provider, event.amount, event.active) == (DATASET, owner, 7, 7)
    stakes.stake(DATASET, sender=owner, value=5)
    assert stakes.stakeOf(DATASET) == stakes.held() == stakes.balance == 12


def test_stake_comes_back_after_the_delay(stakes: Contract, owner: str) -> None:
    chain = stakes.chain
    stakes.stake(DATASET, sender=owner, value=10)
    with reverts("InsufficientStake", 10, 11):
        stakes.requestUnstake(DATASET, 11, sender=owner)
    with reverts("ZeroAmount"):
        stakes.requestUnstake(OTHER, ALL, sender=owner)
    with reverts("NothingLeaving", DATASET, owner):
        stakes.withdraw(DATASET, sender=owner)
    with reverts("NothingLeaving", DATASET, owner):
        stakes.cancelUnstake(DATASET, sender=owner)
    stakes.requestUnstake(DATASET, 4, sender=owner)
    assert stakes.stakeOf(DATASET) == 6
    chain.sleep(DELAY - 1)
    # asking for more begins the delay anew, or one could always have most of it at the door
    stakes.requestUnstake(DATASET, 1, sender=owner)
    chain.sleep(DELAY - 1)
    with reverts("StillLeaving", chain.timestamp, chain.timestamp + 1):
        stakes.withdraw(DATASET, sender=owner)
    chain.sleep(1)
    before = chain.balance(owner)
    assert stakes.withdraw(DATASET, sender=owner).event("Unstaked").amount == 5
    assert chain.balance(owner) == before + 5 and stakes.held() == stakes.balance == 5
    stakes.requestUnstake(DATASET, ALL, sender=owner)
    stakes.cancelUnstake(DATASET, sender=owner)
    assert stakes.stakeOf(DATASET) == 5


def test_an_open_dispute_holds_the_position(stakes: Contract, owner: str, disputes: str) -> None:
    chain = stakes.chain
    stakes.stake(DATASET, sender=owner, value=10)
    stakes.requestUnstake(DATASET, ALL, sender=owner)
    stakes.lock(DATASET, owner, sender=disputes)
    assert stakes.lock(DATASET, owner, sender=disputes).event("StakeLocked").locks == 2
    chain.sleep(DELAY)
    for locks in (2, 1):
        with reverts("LockedByDispute", DATASET, owner, locks):
            stakes.withdraw(DATASET, sender=owner)
        assert stakes.unlock(DATASET, owner, sender=disputes).event("StakeUnlocked").locks == locks - 1
    with reverts("NotLocked", DATASET, owner):
        stakes.unlock(DATASET, owner, sender=disputes)
    stakes.withdraw(DATASET, sender=owner)
    assert stakes.held() == stakes.balance == 0


def test_a_slash_takes_what_there_is(stakes: Contract, owner: str, disputes: str) -> None:
    chain = stakes.chain
    victim = chain.accounts[3]
    stakes.stake(DATASET, sender=owner, value=10)
    stakes.stake(OTHER, sender=owner, value=100)
    stakes.requestUnstake(DATASET, 4, sender=owner)
    before = chain.balance(victim)
    event = stakes.slash(DATASET, owner, 7, victim, sender=disputes).event("Slashed")
    assert (event.requested, event.slashed, event.beneficiary) == (7, 7, victim)
    position = stakes.position(DATASET, owner)
    assert (position.active, position.leaving) == (0, 3)
    assert stakes.slash(DATASET, owner, 50, victim, sender=disputes).value == 3
    assert stakes.slash(DATASET, owner, 50, victim, sender=disputes).value == 0
    assert chain.balance(victim) == before + 10
    # the other listing's stake is not touched
    assert stakes.held() == stakes.balance == stakes.stakeOf(OTHER) == 100
    with reverts("InvalidAddress", ZERO):
        stakes.slash(OTHER, owner, 1, ZERO, sender=disputes)


def test_a_seller_keeps_answering_with_its_stake(stakes: Contract, owner: str, disputes: str) -> None:
    chain = stakes.chain
    buyer = chain.accounts[4]
    stakes.stake(DATASET, sender=owner, value=10)
    chain.registry.transferDataset(DATASET, buyer, sender=owner)
    assert stakes.stakeOf(DATASET) == 0
    with reverts("NotOwner", DATASET, owner, buyer):
        stakes.stake(DATASET, sender=owner, value=1)
    stakes.stake(DATASET, sender=buyer, value=3)
    assert stakes.slash(DATASET, owner, 6, disputes, sender=disputes).value == 6
    assert stakes.position(DATASET, owner).active == 4 and stakes.stakeOf(DATASET) == 3
    stakes.requestUnstake(DATASET, ALL, sender=owner)
    chain.sleep(DELAY)
    stakes.withdraw(DATASET, sender=owner)
    assert stakes.held() == stakes.balance == 3


def test_roles(stakes: Contract, owner: str) -> None:
    chain = stakes.chain
    role = keccak(b"DISPUTE_ROLE")
    assert stakes.DISPUTE_ROLE() == role
    for call in (
        lambda: stakes.lock(DATASET, owner, sender=owner),
        lambda: stakes.unlock(DATASET, owner, sender=owner),
        lambda: stakes.slash(DATASET, owner, 1, owner, sender=owner),
    ):
        with reverts("AccessControlUnauthorizedAccount", owner, role):
            call()
    with reverts("AccessControlUnauthorizedAccount", owner, bytes(32)):
        stakes.setUnstakeDelay(5, sender=owner)
    stakes.setUnstakeDelay(5)
    assert stakes.unstakeDelay() == 5
    with reverts("InvalidDelay", 90 * 86_400 + 1):
        stakes.setUnstakeDelay(90 * 86_400 + 1)
    with reverts("InvalidAddress", ZERO):
        chain.deploy("ProviderStake", ZERO, ZERO, 1)
    assert not chain.deploy("ProviderStake", chain.admin, ZERO, 1).hasRole(role, ZERO)


REFUSE, REENTER = 1, 3


def test_a_recipient_that_calls_back_or_refuses_gets_nothing_more(stakes: Contract) -> None:
    chain = stakes.chain
    hostile = chain.deploy("HostileAccount")
    chain.registry.transferDataset(DATASET, hostile, sender=chain.accounts[1])
    stakes.stake(OTHER, sender=chain.accounts[1], value=10)
    hostile.execute(stakes, 10, stakes.data("stake", DATASET), value=10)
    hostile.execute(stakes, 0, stakes.data("requestUnstake", DATASET, ALL))
    chain.sleep(DELAY)
    withdrawal = stakes.data("withdraw", DATASET)
    hostile.set(REFUSE, stakes, withdrawal)
    with reverts("Refused"):
        hostile.execute(stakes, 0, withdrawal)
    hostile.set(REENTER, stakes, withdrawal)
    hostile.execute(stakes, 0, withdrawal)
    assert not hostile.hasSucceeded() and hostile.balance == 10
    assert stakes.held() == stakes.balance == 10


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_is_done_stakes_are_conserved(stakes: Contract, disputes: str, seed: int) -> None:
    chain, rng = stakes.chain, random.Random(seed)
    people = chain.accounts[1:4]
    sink = chain.accounts[15]
    start = chain.balance(sink)
    paid_in = paid_out = 0
    for _ in range(60):
        dataset = rng.choice([DATASET, OTHER])
        who = rng.choice(people)
        action = rng.randrange(7)
        amount = rng.randint(1, 50)
        try:
            if action == 0:
                stakes.stake(dataset, sender=who, value=amount)
                paid_in += amount
            elif action == 1:
                stakes.requestUnstake(dataset, rng.choice([amount, ALL]), sender=who)
            elif action == 2:
                paid_out += stakes.withdraw(dataset, sender=who).value
            elif action == 3:
                paid_out += stakes.slash(dataset, who, amount, sink, sender=disputes).value
            elif action == 4:
                stakes.lock(dataset, who, sender=disputes)
            elif action == 5:
                stakes.unlock(dataset, who, sender=disputes)
            else:
                chain.registry.transferDataset(dataset, who, sender=chain.registry.ownerOf(dataset))
        except Reverted:
            pass
        chain.sleep(rng.choice([0, DELAY // 3]))
        positions = [stakes.position(d, p) for d in (DATASET, OTHER) for p in people]
        assert stakes.held() == stakes.balance == sum(p.active + p.leaving for p in positions) == paid_in - paid_out
    assert chain.balance(sink) >= start
