"""The sums behind staking: whole numbers only, and who gets the remainder of each division is written down.

A validator's stake is a pool that delegators own in shares. INVARIANT: shares >= tokens, so a share is never worth more
than a wei. A slash takes tokens and leaves shares; what is rounded away stays in the pool. Nothing but a delegation
adds tokens, so no donation can make a share dear and a delegation worthless.

Rewards are F1-style (Ojha, "F1 Fee Distribution", 2019) but per share instead of per token: a slash then changes
nothing about rewards, and a delegator's reward between two moments is shares * (accumulator then - before).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from dmchain.chain.primitives.types import Address
from dmchain.chain.staking.parameters import BPS, JAIL_LIMIT_DIVISOR, POWER_UNIT, WAD

ACCUMULATOR_BITS: Final = 128
"""Fraction bits of a pool's reward per share. One wei over 2**96 shares still counts; 2**128 wei of rewards on a pool
of a single share still fit 256 bits."""
MAX_DILUTION_BITS: Final = 64
"""A pool whose shares are worth less than 2**-64 wei takes no new stake: shares stay below 2**160."""


def compute_power(tokens: int) -> int:
    """Voting power of `tokens` wei."""
    return tokens // POWER_UNIT


# ---------------------------------------------------------------- shares


def is_worthless(tokens: int, shares: int) -> bool:
    """Whether a pool was slashed so far down that new stake cannot be told from the old any more."""
    return shares > tokens << MAX_DILUTION_BITS


def compute_minted_shares(amount: int, tokens: int, shares: int) -> int:
    """Shares for `amount` wei, rounded down; at least `amount`, since no share is worth more than a wei."""
    return amount * shares // tokens if shares else amount


def compute_value(part: int, tokens: int, shares: int) -> int:
    """Wei that `part` of the shares are worth, rounded down."""
    return part * tokens // shares if shares else 0


def compute_burned_shares(amount: int, tokens: int, shares: int) -> int:
    """Shares that `amount` wei (at most `tokens`) cost, rounded up. Their value is `amount` exactly."""
    return -(-amount * shares // tokens) if tokens else 0


# ---------------------------------------------------------------- rewards


def split_commission(reward: int, commission_bps: int) -> tuple[int, int]:
    """Return (commission, rest); the commission is rounded down."""
    commission = reward * commission_bps // BPS
    return commission, reward - commission


def compute_accumulator_step(reward: int, earning_shares: int) -> int:
    """What `reward` adds to the accumulator, rounded down: claims never exceed what was put in."""
    return (reward << ACCUMULATOR_BITS) // earning_shares


def compute_earned(shares: int, step: int) -> int:
    """What `shares` earn while the accumulator grows by `step`, rounded down."""
    return shares * step >> ACCUMULATOR_BITS


def compute_block_reward(full: int, signed_power: int, total_power: int) -> int:
    """What a block mints: half of `full` for a bare quorum in its last commit, all of it for everybody's signature.

    So a proposer does not leave out slow validators. What is not earned is not minted.
    """
    quorum = 2 * total_power // 3 + 1
    if signed_power >= total_power or quorum >= total_power:
        return full
    above = max(signed_power - quorum, 0)
    return full // 2 + (full - full // 2) * above // (total_power - quorum)


# ---------------------------------------------------------------- slashing


def compute_slash_fraction(base_bps: int, correlation: int, slashed_share: int) -> int:
    """Parts of WAD that a double signer loses; `slashed_share` (of WAD) is the power that was slashed of late."""
    return min(WAD, max(base_bps * WAD // BPS, correlation * slashed_share))


def compute_pool_loss(tokens: int, stake: int, left: int, fraction: int) -> int:
    """What the pool itself loses, in wei, rounded down.

    `stake` is what it had when the set of the offence was chosen, `left` what has gone since then: that part is liable
    too, and pays on its own (`compute_burn`). Whoever joined since shares the loss, which is why it is measured by
    the stake of then and not by the pool of now.
    """
    return min(tokens, max(stake - left, 0) * fraction // WAD)


def compute_burn(amount: int, fraction: int) -> int:
    """What stake on its way out loses, rounded up: splitting it in small parts gains nothing."""
    return -(-amount * fraction // WAD)


# ---------------------------------------------------------------- the set


class Candidate(NamedTuple):
    """A validator that may be chosen; `address` of its consensus key, `tokens` its whole pool in wei."""

    address: Address
    operator: Address
    tokens: int


def select_validators(candidates: Iterable[Candidate], limit: int) -> list[Candidate]:
    """The `limit` candidates with most stake (of equals the lower address), by ascending address."""
    ranked = sorted(candidates, key=lambda each: (-each.tokens, each.address))
    return sorted(ranked[:limit], key=lambda each: each.address)


class Absence(NamedTuple):
    """A validator that signed too little; `place` is its index in the set."""

    missed: int
    place: int
    power: int


def is_absent(missed: int, expected: int, minimum_signed_bps: int) -> bool:
    """Whether less than the minimum of `expected` commits was signed."""
    return (expected - missed) * BPS < expected * minimum_signed_bps


def choose_jailed(absences: Sequence[Absence], total_power: int) -> list[int]:
    """Places of those to jail: the worst first (of equals the lower place), as long as their power stays within 1/6.

    One that does not fit is passed over for the next. If nobody fits, because in a small set everybody weighs more than
    a sixth, the worst is jailed when all others that are not absent hold a quorum: else its turns would cost a propose
    timeout for ever. Then it is the only absent one, since two would weigh more than a third.
    """
    budget = total_power // JAIL_LIMIT_DIVISOR
    jailed = []
    for absence in sorted(absences, key=lambda each: (-each.missed, each.place)):
        if absence.power <= budget:
            budget -= absence.power
            jailed.append(absence.place)
    present = total_power - sum([each.power for each in absences])
    if absences and not jailed and 3 * present > 2 * total_power:
        jailed = [absences[0].place]
    return sorted(jailed)
