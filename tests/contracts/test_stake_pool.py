"""Members of a pool are drawn by stake, fairly, and its money is conserved."""

from __future__ import annotations

import random

import pytest

from tests.contracts.chain import ZERO, Chain, Contract, reverts
from tests.contracts.drawing import draw_from_list, seal

DELAY = 100
TREASURY = "0x" + "77" * 20


@pytest.fixture(scope="module")
def pool() -> Contract:
    return Chain().deploy("PoolSample", TREASURY)


def draw(pool: Contract, randao: int, seats: int, lock: int = 0, *, is_distinct: bool = False, case: int = 1):
    """Announce and draw; returns the accounts."""
    pool.announce()
    header = seal(pool.chain, pool.drawBlock(), randao)
    return pool.draw(case, seats, lock, is_distinct, header).event("Drawn").accounts


def test_stake_is_the_chance_of_being_drawn(pool: Contract) -> None:
    small, big = pool.chain.accounts[1:3]
    pool.join(sender=small, value=10)
    pool.join(sender=big, value=90)
    assert pool.totalWeight() == pool.totalStake() == pool.held() == pool.balance == 100
    drawn = draw(pool, 1, 200)
    assert 160 < drawn.count(big) < 195
    assert [pool.memberFor(point) for point in (0, 9, 10, 99, 100)] == [small, small, big, big, small]


def test_an_empty_pool_draws_nobody(pool: Contract) -> None:
    assert pool.memberFor(5) == ZERO
    assert draw(pool, 1, 3) == []


@pytest.mark.parametrize("seed", range(4))
def test_draws_are_those_of_a_plain_list(pool: Contract, seed: int) -> None:
    chain, rng = pool.chain, random.Random(seed)
    staked: dict = {}
    places: list = []
    for step in range(60):
        account = rng.choice(chain.accounts[:13])
        if account not in staked:
            amount = rng.randint(10, 1000)
            pool.join(sender=account, value=amount)
            staked[account] = amount
            free = [index for index in range(len(places)) if places[index] is None]
            leaf = pool.member(account).leaf - 1
            assert leaf in free or (leaf == len(places) and not free)
            if leaf == len(places):
                places.append(None)
            places[leaf] = account
        elif rng.random() < 0.3:
            pool.requestLeave(sender=account)
            chain.sleep(DELAY)
            pool.withdrawStake(sender=account)
            places[places.index(account)] = None
            del staked[account]
        else:
            more = rng.randint(0, 50)
            pool.join(sender=account, value=more)
            staked[account] += more
        assert pool.totalWeight() == pool.totalStake() == sum(staked.values()) == pool.balance
        assert [pool.memberAt(i) for i in range(pool.leafCount())] == [place or ZERO for place in places]
        if step % 6 == 5:
            weights = [(place, staked.get(place, 0)) for place in places]
            randao, seats, is_distinct = rng.getrandbits(256), rng.randint(1, 9), rng.random() < 0.5
            expected = draw_from_list(weights, randao, pool.address, step, seats, is_distinct=is_distinct)
            assert draw(pool, randao, seats, is_distinct=is_distinct, case=step) == expected
            # members who were set aside are back
            assert pool.totalWeight() == sum(staked.values())
    points = [rng.randrange(sum(staked.values())) for _ in range(20)]
    line = [place for place in places for _ in range(staked.get(place, 0))]
    assert [pool.memberFor(point) for point in points] == [line[point] for point in points]


def test_who_may_not_serve_or_has_no_free_stake_is_passed_over(pool: Contract) -> None:
    barred, poor, rich = pool.chain.accounts[1:4]
    for account, stake in ((barred, 5_000), (poor, 10), (rich, 100)):
        pool.join(sender=account, value=stake)
    pool.bar(barred, True)
    weights = [(barred, 5_000), (poor, 10), (rich, 100)]
    drawn = draw(pool, 5, 4, lock=10)
    limits = {poor: 1, rich: 10}
    assert drawn == draw_from_list(
        weights, 5, pool.address, 1, 4, is_distinct=False, may_sit=lambda who, has: has < limits.get(who, 0)
    )
    assert barred not in drawn
    assert [pool.member(who).locked for who in (poor, rich)] == [10 * drawn.count(poor), 10 * drawn.count(rich)]
    # twelve seats are more than there is stake for
    pool.unlock(poor, pool.member(poor).locked)
    pool.unlock(rich, pool.member(rich).locked)
    assert sorted(draw(pool, 6, 12, lock=10)) == sorted([poor] + [rich] * 10)
    assert pool.totalWeight() == 5_110


def test_distinct_seats_fall_on_distinct_members(pool: Contract) -> None:
    accounts = pool.chain.accounts[:6]
    for account in accounts:
        pool.join(sender=account, value=10)
    assert sorted(draw(pool, 9, 6, lock=10, is_distinct=True)) == sorted(accounts)
    assert draw(pool, 9, 6, lock=10, is_distinct=True) == []


def test_nothing_that_happens_before_an_announced_draw_changes_it(pool: Contract) -> None:
    chain = pool.chain
    accounts = chain.accounts[:5]
    for account in accounts:
        pool.join(sender=account, value=100)
    pool.announce()
    header = seal(chain, pool.drawBlock(), 4)
    expected = draw_from_list([(who, 100) for who in accounts], 4, pool.address, 1, 5, is_distinct=False)
    mark = chain.snapshot()
    for meddle in (
        lambda: pool.join(sender=chain.accounts[8], value=10**9),
        lambda: pool.join(sender=accounts[2], value=10**9),
        lambda: pool.requestLeave(sender=accounts[3]),
        lambda: pool.slash(accounts[1], 50),
        lambda: pool.sync(accounts[0]),
        lambda: chain.sleep(1000),
    ):
        meddle()
        assert pool.draw(1, 5, 10, False, header).event("Drawn").accounts == expected
        chain.restore(mark)


def test_only_the_header_of_the_announced_block_draws(pool: Contract) -> None:
    chain = pool.chain
    pool.join(sender=chain.accounts[1], value=10)
    announced = chain.block_number
    pool.announce()
    number = pool.drawBlock()
    assert number == announced + 2
    with reverts("TooEarlyToDraw", announced + 1, number + 1):
        pool.draw(1, 1, 0, False, b"")
    header = seal(chain, number, 3)
    forged = header[:-1] + b"\1"
    with reverts("WrongHeader", drawBlock=number):
        pool.draw(1, 1, 0, False, forged)
    chain.block_number += 100
    assert pool.draw(1, 1, 0, False, header).event("Drawn").accounts == [chain.accounts[1]]


def test_a_draw_that_was_missed_is_decided_by_another_block(pool: Contract) -> None:
    chain = pool.chain
    pool.join(sender=chain.accounts[1], value=10)
    pool.announce()
    header = seal(chain, pool.drawBlock(), 3)
    chain.block_number += 10_000
    at = chain.block_number
    assert pool.draw(1, 1, 0, False, header).event("DrawPostponed").drawBlock == at + 2 == pool.drawBlock()
    assert pool.pendingDraws() == 1
    assert pool.draw(1, 1, 0, False, seal(chain, at + 2, 3)).event("Drawn").accounts == [chain.accounts[1]]
    assert pool.pendingDraws() == 0


def test_weights_changed_during_a_draw_count_after_a_sync(pool: Contract) -> None:
    chain = pool.chain
    first, second = chain.accounts[1:3]
    pool.join(sender=first, value=10)
    pool.announce()
    pool.join(sender=second, value=30)
    pool.requestLeave(sender=first)
    chain.sleep(DELAY)
    with reverts("DrawPending", 1):
        pool.withdrawStake(sender=first)
    assert (pool.member(first).weight, pool.member(second).weight, pool.totalWeight()) == (10, 0, 10)
    header = seal(chain, pool.drawBlock(), 1)
    # in one transaction, so that nobody can announce the next draw in between
    calls = [pool.data("sync", first), pool.data("sync", second)]
    pool.draw(1, 0, 0, False, header)
    assert len(pool.multicall(calls, sender=first).all("WeightChanged")) == 2
    assert pool.totalWeight() == 30
    pool.withdrawStake(sender=first)
    assert pool.balance == 30


def test_leaving_takes_the_delay_and_free_stake(pool: Contract) -> None:
    chain = pool.chain
    alice, bob = chain.accounts[1:3]
    with reverts("StakeTooLow", 9, 10):
        pool.join(sender=alice, value=9)
    with reverts("NotMember", alice):
        pool.requestLeave(sender=alice)
    with reverts("NotLeaving", alice):
        pool.withdrawStake(sender=alice)
    pool.join(sender=alice, value=30)
    assert pool.isMember(alice) and not pool.isMember(bob)
    assert draw(pool, 1, 2, lock=10) == [alice] * 2
    pool.requestLeave(sender=alice)
    leaves_at = chain.timestamp + DELAY
    assert not pool.isMember(alice) and pool.totalWeight() == 0
    with reverts("AlreadyLeaving", alice, leaves_at):
        pool.requestLeave(sender=alice)
    with reverts("TooEarly", chain.timestamp, leaves_at):
        pool.withdrawStake(sender=alice)
    chain.sleep(DELAY)
    with reverts("StakeLocked", alice, 20):
        pool.withdrawStake(sender=alice)
    pool.unlock(alice, 20)
    before = chain.balance(alice)
    pool.withdrawStake(sender=alice)
    assert chain.balance(alice) == before + 30 and pool.held() == pool.balance == 0
    pool.join(sender=alice, value=10)
    pool.requestLeave(sender=alice)
    pool.join(sender=alice, value=0)
    assert pool.isMember(alice) and pool.totalWeight() == 10


def test_slashed_stake_is_owed_to_whom_it_is_credited(pool: Contract) -> None:
    chain = pool.chain
    alice, bob = chain.accounts[1:3]
    pool.join(sender=alice, value=15)
    pool.slash(alice, 6)
    assert (pool.totalStake(), pool.totalWeight(), pool.held(), pool.isMember(alice)) == (9, 0, 15, False)
    pool.credit(bob, 6)
    before = chain.balance(bob)
    with reverts("NothingOwed", alice):
        pool.withdraw(sender=alice)
    pool.withdrawFor(bob, sender=alice)
    assert chain.balance(bob) == before + 6 and pool.held() == pool.balance == 9
    with reverts("NothingOwed", bob):
        pool.withdraw(sender=bob)


def test_only_the_admin_names_the_treasury(pool: Contract) -> None:
    chain = pool.chain
    with reverts("AccessControlUnauthorizedAccount", chain.accounts[1], bytes(32)):
        pool.setTreasury(chain.accounts[1], sender=chain.accounts[1])
    with reverts("InvalidAddress", ZERO):
        pool.setTreasury(ZERO)
    pool.setTreasury(chain.accounts[1])
    assert pool.treasury() == chain.accounts[1]
    with reverts("InvalidAddress", ZERO):
        chain.deploy("PoolSample", ZERO)
