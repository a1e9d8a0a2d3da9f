"""A validator's pool and the delegations in it: who owns how much of the stake, and who has earned what.

Stake that is added in one epoch earns from the next one on, as it has no part in the power that earns before that: so
nobody can slip in before a large reward. A pool therefore counts two kinds of shares: all of them, which own its
tokens, and those that earn. `matured_at` keeps the accumulator at which the others begin to earn.

A pool and a delegation are loaded, settled, changed and saved, in this order; saving stores the words that changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dmchain.chain.primitives.types import ZERO_ADDRESS, Address
from dmchain.chain.staking.arithmetic import (
    compute_accumulator_step,
    compute_burn,
    compute_burned_shares,
    compute_earned,
    compute_minted_shares,
    compute_value,
    split_commission,
)
from dmchain.chain.staking.layout import (
    POOL,
    POOL_WORDS,
    TOMBSTONE,
    U96,
    U160,
    Tombstone,
    delegation_slot,
    matured_at_slot,
    offset_slot,
    unpack_tombstone,
    validator_slot,
)
from dmchain.chain.staking.slots import Slots, check_range

_U48 = (1 << 48) - 1
_U64 = (1 << 64) - 1
_U160 = U160


def load_tombstone(slots: Slots, operator: bytes) -> Tombstone | None:
    return unpack_tombstone(slots.load(offset_slot(validator_slot(operator), TOMBSTONE)))


def _save(slots: Slots, base: int, old: tuple[int, ...], new: tuple[int, ...]) -> None:
    for place, (before, after) in enumerate(zip(old, new, strict=True)):
        if before != after:
            slots.store(offset_slot(base, place), after)


@dataclass(slots=True)
class Pool:
    """Words: uint96 tokens, uint160 shares | uint256 accumulator | uint96 rewards, uint96 commission, uint64 epoch |
    uint160 earning, uint96 left.

    `rewards` are what the pool owes, `commission` the operator's part of it. `epoch` is that of the last change;
    `earning` the shares that earn in it. `left` counts, modulo 2**96, the wei that ever left the pool except by a
    double signer's slash. INVARIANTS: tokens <= shares < 2**160, commission <= rewards, earning <= shares.
    """

    operator: Address
    tokens: int
    shares: int
    accumulator: int
    rewards: int
    commission: int
    epoch: int
    earning: int
    left: int
    matured: tuple[int, int] | None = None
    """(epoch, accumulator) to be noted when the pool is saved."""
    _words: tuple[int, ...] = field(default=(), repr=False)

    @classmethod
    def load(cls, slots: Slots, operator: bytes) -> Pool:
        base = validator_slot(operator)
        words = tuple([slots.load(offset_slot(base, POOL + place)) for place in range(POOL_WORDS)])
        stake, accumulator, rewards, earning = words
        return cls(
            operator=Address(bytes(operator)),
            tokens=stake & U96,
            shares=stake >> 96,
            accumulator=accumulator,
            rewards=rewards & U96,
            commission=rewards >> 96 & U96,
            epoch=rewards >> 192,
            earning=earning & _U160,
            left=earning >> 160,
            _words=words,
        )

    def _pack(self) -> tuple[int, ...]:
        return (
            check_range(self.tokens, "a pool's tokens") | check_range(self.shares, "a pool's shares", _U160) << 96,
            self.accumulator,
            check_range(self.rewards, "a pool's rewards")
            | check_range(self.commission, "a pool's commission", self.rewards) << 96
            | self.epoch << 192,
            check_range(self.earning, "a pool's earning shares", self.shares) | self.left << 160,
        )

    def save(self, slots: Slots) -> None:
        if self.matured is not None:
            epoch, accumulator = self.matured
            slots.store(matured_at_slot(self.operator, epoch), accumulator)
            self.matured = None
        words = self._pack()
        _save(slots, offset_slot(validator_slot(self.operator), POOL), self._words, words)
        self._words = words

    def enter(self, epoch: int) -> None:
        """Bring the pool into `epoch`: what was added in an earlier one earns from here on."""
        if self.epoch < epoch:
            if self.earning != self.shares:
                self.matured = (self.epoch, self.accumulator)
                self.earning = self.shares
            self.epoch = epoch

    def value_of(self, shares: int) -> int:
        return compute_value(shares, self.tokens, self.shares)

    def distribute(self, reward: int, commission_bps: int) -> None:
        """Credit `reward` wei, already in the contract. With nobody to earn it, it is all the operator's."""
        commission, rest = split_commission(reward, commission_bps) if self.earning else (reward, 0)
        if rest:
            self.accumulator += compute_accumulator_step(rest, self.earning)
        self.rewards += reward
        self.commission += commission

    def credit_operator(self, amount: int) -> None:
        self.rewards += amount
        self.commission += amount


@dataclass(slots=True)
class Delegation:
    """Words: uint160 shares, uint96 accrued | uint256 checkpoint | uint160 pending, uint64 pendingEpoch |
    address source, uint48 sinceBlock, uint48 completesAt | uint160 moved.

    `pending` shares were added in `pending_epoch` and do not earn in it. `moved` shares were redelegated here from
    `source` in block `since_block`, and answer for its offences before that until `completes_at`.
    INVARIANTS: pending <= shares, moved <= shares.
    """

    slot: int
    shares: int
    accrued: int
    checkpoint: int
    pending: int
    pending_epoch: int
    source: Address
    since_block: int
    completes_at: int
    moved: int
    _words: tuple[int, ...] = field(default=(), repr=False)

    @classmethod
    def load(cls, slots: Slots, operator: bytes, delegator: bytes) -> Delegation:
        base = delegation_slot(operator, delegator)
        words = [slots.load(offset_slot(base, place)) for place in range(4)]
        words.append(slots.load(offset_slot(base, 4)) if words[3] else 0)
        stake, checkpoint, pending, redelegation, moved = words
        return cls(
            slot=base,
            shares=stake & _U160,
            accrued=stake >> 160,
            checkpoint=checkpoint,
            pending=pending & _U160,
            pending_epoch=pending >> 160 & _U64,
            source=Address((redelegation & _U160).to_bytes(20, "big")),
            since_block=redelegation >> 160 & _U48,
            completes_at=redelegation >> 208,
            moved=moved,
            _words=tuple(words),
        )

    def _pack(self) -> tuple[int, ...]:
        return (
            self.shares | check_range(self.accrued, "accrued rewards") << 160,
            self.checkpoint,
            check_range(self.pending, "pending shares", self.shares) | self.pending_epoch << 160,
            int.from_bytes(self.source, "big")
            | min(self.since_block, _U48) << 160
            | min(self.completes_at, _U48) << 208,
            check_range(self.moved, "redelegated shares", self.shares),
        )

    def save(self, slots: Slots) -> None:
        if self.shares == 0:
            self.checkpoint = 0
        words = self._pack()
        _save(slots, self.slot, self._words, words)
        self._words = words

    @property
    def is_redelegated(self) -> bool:
        return self.source != ZERO_ADDRESS

    def forget_redelegation(self) -> None:
        self.source, self.since_block, self.completes_at, self.moved = ZERO_ADDRESS, 0, 0, 0


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """Stake that left a pool: `tokens` wei, of which `origin_tokens` were redelegated and still answer for it."""

    tokens: int
    origin: Address = ZERO_ADDRESS
    origin_block: int = 0
    origin_tokens: int = 0


class Position:
    """A delegation with its pool, settled: rewards credited, a slash that followed the stake taken.

    `burned` is what that slash took, in wei: it has left the pool, and whoever holds the contract's coin burns it.
    """

    def __init__(self, slots: Slots, operator: bytes, delegator: bytes, epoch: int, timestamp: int) -> None:
        self.pool = Pool.load(slots, operator)
        self.delegation = Delegation.load(slots, operator, delegator)
        self.pool.enter(epoch)
        self._settle_rewards(slots)
        self.offender: Address | None = None
        """Whose tombstone took `burned`."""
        self.burned = self._settle_redelegation(slots, timestamp)

    def save(self, slots: Slots) -> None:
        self.pool.save(slots)
        self.delegation.save(slots)

    @property
    def value(self) -> int:
        """Wei that the delegation is worth."""
        return self.pool.value_of(self.delegation.shares)

    def _settle_rewards(self, slots: Slots) -> None:
        pool, held = self.pool, self.delegation
        if held.shares and pool.accumulator != held.checkpoint:
            since = pool.accumulator - held.checkpoint
            earned = compute_earned(held.shares - held.pending, since)
            if held.pending and held.pending_epoch < pool.epoch:
                earned += compute_earned(held.pending, pool.accumulator - self._matured_at(slots))
            held.accrued += earned
        if held.pending and held.pending_epoch < pool.epoch:
            held.pending = held.pending_epoch = 0
        held.checkpoint = pool.accumulator

    def _matured_at(self, slots: Slots) -> int:
        epoch = self.delegation.pending_epoch
        if self.pool.matured is not None and self.pool.matured[0] == epoch:
            return self.pool.matured[1]
        return slots.load(matured_at_slot(self.pool.operator, epoch))

    def _settle_redelegation(self, slots: Slots, timestamp: int) -> int:
        """Take what a double signing of the stake's former validator costs it. Evidence older than the stake's
        liability is never accepted, so a tombstone that names it names it in time."""
        held = self.delegation
        if not held.is_redelegated:
            return 0
        tombstone = load_tombstone(slots, held.source)
        burned = 0
        if tombstone is not None and tombstone.is_liable(held.since_block):
            lost = compute_burn(held.moved, tombstone.fraction)
            burned = self.take(lost).tokens
            self.offender = held.source
            held.forget_redelegation()
        elif held.completes_at <= timestamp:
            held.forget_redelegation()
        return burned

    def add(self, amount: int) -> int:
        """Put `amount` wei in; return the new shares. They earn from the next epoch on."""
        pool, held = self.pool, self.delegation
        shares = compute_minted_shares(amount, pool.tokens, pool.shares)
        pool.tokens += amount
        pool.shares += shares
        held.shares += shares
        held.pending += shares
        held.pending_epoch = pool.epoch
        return shares

    def mature(self) -> None:
        """Let everything earn at once: the stake of genesis."""
        self.pool.earning = self.pool.shares
        self.delegation.pending = self.delegation.pending_epoch = 0

    def take_amount(self, amount: int) -> Withdrawn:
        """Take `amount` wei out, at most `value`."""
        return self.take(compute_burned_shares(amount, self.pool.tokens, self.pool.shares))

    def take(self, shares: int) -> Withdrawn:
        """Take shares out: first those that do not earn yet, and last those that were redelegated here."""
        pool, held = self.pool, self.delegation
        tokens = pool.value_of(shares)
        from_moved = max(shares - (held.shares - held.moved), 0)
        from_pending = min(shares, held.pending)
        held.pending -= from_pending
        if held.pending == 0:
            held.pending_epoch = 0
        pool.earning -= shares - from_pending
        pool.shares -= shares
        pool.tokens -= tokens
        pool.left = (pool.left + tokens) & U96
        held.shares -= shares
        held.moved -= from_moved
        if not from_moved:
            return Withdrawn(tokens)
        withdrawn = Withdrawn(tokens, held.source, held.since_block, -(-tokens * from_moved // shares))
        if held.moved == 0:
            held.forget_redelegation()
        return withdrawn
