"""Staking as docs/staking.md tells it, with plain objects: no slots, no accumulators, no lazy settlement of rewards.

Every reward is shared out at once, to everybody, and withdrawals are valued when they are looked at. Only shares are
kept as the contract keeps them, because they are what its rounding is about.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from dmchain.chain.staking.parameters import POWER_UNIT, WAD, StakingParameters

MAX_UNBONDINGS = 16


class Refused(Exception):
    """The model's revert."""


def ceil_div(a: int, b: int) -> int:
    return -(-a // b)


@dataclass
class Move:
    """A redelegation into a delegation."""

    source: str
    block: int
    until: int
    shares: int


@dataclass
class Stake:
    """One delegation. `late` shares were added in this epoch."""

    shares: int = 0
    late: int = 0
    owed: int = 0
    move: Move | None = None


@dataclass
class Entry:
    """A withdrawal; `moved` of it came from `origin`, in block `origin_block`."""

    validator: str
    amount: int
    block: int
    until: int
    origin: str | None = None
    origin_block: int = 0
    moved: int = 0


@dataclass
class Grave:
    fraction: int
    since: int
    block: int

    def holds(self, block: int) -> bool:
        return self.since < block < self.block


@dataclass
class Pool:
    commission_bps: int
    tokens: int = 0
    stakes: dict[str, Stake] = field(default_factory=dict)
    commission: int = 0
    left: int = 0
    grave: Grave | None = None
    jailed_until: int | None = None
    seated: bool = False
    missed: int = 0
    window_height: int = 1
    window_time: int = 0

    @property
    def shares(self) -> int:
        return sum(stake.shares for stake in self.stakes.values())

    def value(self, shares: int) -> int:
        return shares * self.tokens // self.shares if self.shares else 0

    def stake(self, who: str) -> Stake:
        return self.stakes.setdefault(who, Stake())


@dataclass
class Epoch:
    first_height: int
    since_block: int
    start: int
    powers: dict[str, int]
    left: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.powers.values())


class Model:
    """`order` gives the consensus address of a validator's name, which breaks ties."""

    def __init__(self, parameters: StakingParameters, now: int, order: dict[str, bytes]) -> None:
        self.parameters = parameters
        self.order = order
        self.now = now
        self.number = 0
        self.pools: dict[str, Pool] = {}
        self.queues: dict[str, list[Entry]] = {}
        self.epochs: list[Epoch] = []
        self.burned = self.minted = 0
        self.offences: list[tuple[int, int]] = []
        self.distributions = 0

    # -- helpers -------------------------------------------------------------------------------------------------
    def pool(self, name: str) -> Pool:
        if name not in self.pools:
            raise Refused("UnknownValidator")
        return self.pools[name]

    def alive(self, name: str) -> Pool:
        pool = self.pool(name)
        if pool.grave:
            raise Refused("ValidatorTombstoned")
        return pool

    def own(self, name: str) -> int:
        pool = self.pools[name]
        return pool.value(pool.stake(name).shares)

    def open(self, name: str, who: str) -> Stake:
        """Touch a delegation: a redelegation that ran out is forgotten, one whose source was punished pays."""
        pool = self.pool(name)
        stake = pool.stake(who)
        if stake.move:
            grave = self.pools[stake.move.source].grave
            if grave and grave.holds(stake.move.block):
                lost = ceil_div(stake.move.shares * grave.fraction, WAD)
                self.burned += self.take(name, who, lost).amount
                stake.move = None
            elif stake.move.until <= self.now:
                stake.move = None
        return stake

    def add(self, name: str, who: str, amount: int) -> int:
        pool = self.pools[name]
        shares = amount * pool.shares // pool.tokens if pool.shares else amount
        pool.tokens += amount
        stake = pool.stake(who)
        stake.shares += shares
        stake.late += shares
        return shares

    def take(self, name: str, who: str, shares: int) -> Entry:
        """What comes out, as the withdrawal it would be."""
        pool = self.pools[name]
        stake = pool.stake(who)
        tokens = pool.value(shares)
        own = stake.shares - (stake.move.shares if stake.move else 0)
        moved = max(0, shares - own)
        stake.shares -= shares
        stake.late = max(0, stake.late - shares)
        pool.tokens -= tokens
        pool.left += tokens
        entry = Entry(name, tokens, self.number, self.now + self.parameters.unbonding_seconds)
        if moved and stake.move:
            entry.origin, entry.origin_block = stake.move.source, stake.move.block
            entry.moved = ceil_div(tokens * moved, shares)
            stake.move.shares -= moved
            if stake.move.shares == 0:
                stake.move = None
        return entry

    def take_amount(self, name: str, who: str, amount: int | None) -> Entry:
        pool = self.pools[name]
        stake = pool.stake(who)
        value = pool.value(stake.shares)
        wanted = value if amount is None else amount
        if wanted == 0:
            raise Refused("ZeroAmount")
        if wanted > value:
            raise Refused("InsufficientStake")
        shares = stake.shares if wanted == value else ceil_div(wanted * pool.shares, pool.tokens)
        return self.take(name, who, shares)

    def due(self, entry: Entry) -> tuple[int, int]:
        """(paid, burned) of a withdrawal, as things stand."""
        amount = entry.amount
        if entry.origin:
            grave = self.pools[entry.origin].grave
            if grave and grave.holds(entry.origin_block):
                amount -= ceil_div(entry.moved * grave.fraction, WAD)
        grave = self.pools[entry.validator].grave
        if grave and grave.holds(entry.block):
            amount -= ceil_div(amount * grave.fraction, WAD)
        return amount, entry.amount - amount

    # -- calls ---------------------------------------------------------------------------------------------------
    def found(self, name: str, stake: int, commission_bps: int) -> None:
        self.pools[name] = Pool(commission_bps, seated=True, window_time=self.now)
        self.add(name, name, stake)
        self.pools[name].stake(name).late = 0

    def register(self, name: str, stake: int, commission_bps: int) -> None:
        if name in self.pools:
            raise Refused("AlreadyRegistered")
        if stake < self.parameters.minimum_self_stake:
            raise Refused("SelfStakeTooLow")
        self.pools[name] = Pool(commission_bps, seated=self.has_free_seat(), window_height=0)
        self.add(name, name, stake)

    def has_free_seat(self) -> bool:
        return sum(pool.seated for pool in self.pools.values()) < self.parameters.max_candidates

    def delegate(self, name: str, who: str, amount: int) -> None:
        pool = self.alive(name)
        self.open(name, who)
        if amount == 0:
            raise Refused("ZeroAmount")
        if pool.shares > pool.tokens << 64:
            raise Refused("WorthlessPool")
        self.add(name, who, amount)
        if who == name and not pool.seated and self.has_free_seat():
            pool.seated = self.own(name) >= self.parameters.minimum_self_stake

    def undelegate(self, name: str, who: str, amount: int | None) -> None:
        self.pool(name)
        queue = self.queues.setdefault(who, [])
        if len(queue) >= MAX_UNBONDINGS:
            raise Refused("TooManyUnbondings")
        self.open(name, who)
        queue.append(self.take_amount(name, who, amount))

    def redelegate(self, source: str, target: str, who: str, amount: int | None) -> None:
        if source == target:
            raise Refused("SameValidator")
        self.pool(source)
        pool = self.alive(target)
        if self.open(source, who).move or self.open(target, who).move:
            raise Refused("RedelegationUnderWay")
        if pool.shares > pool.tokens << 64:
            raise Refused("WorthlessPool")
        entry = self.take_amount(source, who, amount)
        shares = self.add(target, who, entry.amount)
        pool.stake(who).move = Move(source, self.number, entry.until, shares)

    def withdraw_unbonded(self, who: str) -> int:
        queue = self.queues.get(who, [])
        ready = [entry for entry in queue if entry.until <= self.now]
        if not ready:
            raise Refused("NothingToWithdraw")
        self.queues[who] = queue[len(ready) :]
        dues = [self.due(entry) for entry in ready]
        self.burned += sum(burned for _, burned in dues)
        return sum(paid for paid, _ in dues)

    def unjail(self, name: str) -> None:
        pool = self.alive(name)
        if pool.jailed_until is None:
            raise Refused("NotJailed")
        if self.now < pool.jailed_until:
            raise Refused("StillJailed")
        if self.own(name) < self.parameters.minimum_self_stake:
            raise Refused("SelfStakeTooLow")
        pool.jailed_until = None
        pool.seated = pool.seated or self.has_free_seat()

    def take_seat(self, name: str, displaced: str) -> None:
        pool = self.alive(name)
        if pool.seated:
            raise Refused("AlreadySeated")
        if self.own(name) < self.parameters.minimum_self_stake:
            raise Refused("SelfStakeTooLow")
        if not self.has_free_seat():
            if displaced not in self.pools or not self.pools[displaced].seated:
                raise Refused("NotSeated")
            if pool.tokens <= self.pools[displaced].tokens:
                raise Refused("StakeNotHigher")
            self.pools[displaced].seated = False
        pool.seated = True

    def slash_for_data(self, name: str, amount: int) -> int:
        pool = self.pool(name)
        self.open(name, name)
        value = self.own(name)
        seized = self.take_amount(name, name, min(amount, value)).amount if value else 0
        for entry in reversed(self.queues.get(name, [])):
            if entry.validator != name or seized == amount:
                continue
            paid, burned = self.due(entry)
            part = min(paid, amount - seized)
            self.burned += burned
            seized += part
            # what it was liable for is paid; what is left answers for what comes
            if entry.origin and (grave := self.pools[entry.origin].grave) and grave.holds(entry.origin_block):
                entry.origin, entry.moved = None, 0
            if pool.grave and pool.grave.holds(entry.block):
                entry.block = pool.grave.block
            entry.amount = paid - part
            entry.moved = min(entry.moved, entry.amount)
        return seized

    # -- blocks --------------------------------------------------------------------------------------------------
    def epoch_at(self, height: int) -> Epoch:
        return [epoch for epoch in self.epochs if epoch.first_height <= height][-1]

    def begin(self, seconds: int, absent: Iterable[str], accused: Iterable[tuple[str, int]], proposer: str) -> None:
        self.number += 1
        self.now += seconds
        for name in absent:
            self.pools[name].missed += 1
        offences = {}
        for name, height in accused:
            epoch = self.epoch_at(height)
            if not self.pools[name].grave and self.now <= epoch.start + self.parameters.unbonding_seconds:
                offences.setdefault(name, epoch)
        shares = {name: epoch.powers[name] * WAD // epoch.total for name, epoch in offences.items()}
        recent = [share for time, share in self.offences if time + self.parameters.unbonding_seconds >= self.now]
        together = sum(recent) + sum(shares.values())
        fraction = min(
            WAD, max(self.parameters.double_sign_bps * WAD // 10_000, self.parameters.correlation * together)
        )
        for name, epoch in offences.items():
            pool = self.pools[name]
            at_stake = epoch.powers[name] * POWER_UNIT - (pool.left - epoch.left[name])
            lost = min(pool.tokens, max(at_stake, 0) * fraction // WAD)
            pool.tokens -= lost
            pool.grave = Grave(fraction, epoch.since_block, self.number)
            pool.jailed_until = None
            reward = lost * self.parameters.reporter_bps // 10_000
            if proposer in offences or self.pools[proposer].grave:
                reward = 0
            self.pools[proposer].commission += reward
            self.burned += lost - reward
            self.offences.append((self.now, shares[name]))

    def end(self, absent: Iterable[str], proposer: str, gift: int) -> int:
        """Return what the block mints; `gift` came to the contract without a call."""
        minted = 0
        pool = self.pools[proposer]
        if not pool.grave:
            minted = self.compute_reward(list(absent))
            self.minted += minted
            self.share_out(pool, minted + gift)
        latest = self.epochs[-1]
        if self.now >= latest.start + self.parameters.epoch_seconds:
            self.judge(latest)
            self.choose(latest)
        return minted

    def compute_reward(self, absent: list[str]) -> int:
        full = self.parameters.block_reward
        if self.number == 1:
            return full
        epoch = self.epoch_at(self.number - 1)
        quorum = 2 * epoch.total // 3 + 1
        signed = epoch.total - sum(epoch.powers[name] for name in absent)
        if not absent or quorum >= epoch.total:
            return full
        return full // 2 + (full - full // 2) * max(signed - quorum, 0) // (epoch.total - quorum)

    def share_out(self, pool: Pool, amount: int) -> None:
        if amount == 0:
            return
        earning = {who: stake.shares - stake.late for who, stake in pool.stakes.items()}
        total = sum(earning.values())
        commission = amount * pool.commission_bps // 10_000 if total else amount
        pool.commission += commission
        for who, shares in earning.items():
            if total:
                pool.stakes[who].owed += (amount - commission) * shares // total
        self.distributions += 1

    def judge(self, latest: Epoch) -> None:
        found = []
        for name, power in latest.powers.items():
            pool = self.pools[name]
            expected = self.number - pool.window_height
            if (
                expected < self.parameters.window_commits
                or self.now - pool.window_time < self.parameters.window_seconds
            ):
                continue
            if (expected - pool.missed) * 10_000 < expected * self.parameters.minimum_signed_bps:
                found.append((-pool.missed, self.order[name], name, power))
            pool.missed, pool.window_height, pool.window_time = 0, self.number, self.now
        room = latest.total // 6
        jailed = []
        for _, _, name, power in sorted(found):
            if power <= room:
                room -= power
                jailed.append(name)
        if not jailed and len(found) == 1 and found[0][3] * 3 < latest.total:
            jailed = [found[0][2]]
        for name in jailed:
            pool = self.pools[name]
            if not pool.grave and pool.jailed_until is None:
                pool.jailed_until = self.now + self.parameters.jail_seconds

    def choose(self, latest: Epoch) -> None:
        candidates = []
        for name, pool in self.pools.items():
            if pool.seated and (pool.grave or self.own(name) < self.parameters.minimum_self_stake):
                pool.seated = False
            elif pool.seated and pool.jailed_until is None:
                candidates.append((-pool.tokens, self.order[name], name))
        chosen = [name for _, _, name in sorted(candidates)[: self.parameters.max_validators]]
        powers = {name: self.pools[name].tokens // POWER_UNIT for name in chosen} or dict(latest.powers)
        for name in powers:
            if name not in latest.powers:
                pool = self.pools[name]
                pool.missed, pool.window_height, pool.window_time = 0, self.number + 2, self.now
        left = {name: self.pools[name].left for name in powers}
        self.epochs.append(Epoch(self.number + 2, self.number, self.now, powers, left))
        for pool in self.pools.values():
            for stake in pool.stakes.values():
                stake.late = 0
