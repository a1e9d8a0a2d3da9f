"""The numbers a chain fixes in its genesis, and those that every chain shares. Amounts in wei, times in seconds."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final

from dmchain.chain.consensus.timing import ConsensusParams
from dmchain.chain.primitives.types import ZERO_ADDRESS, Address

BPS: Final = 10_000
"""Basis points of a whole."""
WAD: Final = 10**18
"""Slash fractions and shares of power are parts of this."""
POWER_UNIT: Final = 10**12
"""Wei of stake per unit of voting power: coarse enough that no total of stake leaves 63 bits of power."""
MAX_STAKE: Final = 2**95
"""Wei that may be bonded and unbonding together, and as much again of rewards: both fit 96 bits, together too."""
MAX_SET: Final = 100
"""Validators of an epoch. Bounds every loop of a block; the chain's own limit may be lower."""
MAX_SEATS: Final = 256
"""Candidates among whom an epoch's validators are chosen."""
MAX_EPOCHS_KEPT: Final = 4_096
MAX_UNBONDINGS: Final = 16
"""Withdrawals under way per account."""
MAX_RECENT_OFFENCES: Final = 256
"""How many of the latest double signers count towards the correlated fraction."""
COMMISSION_INTERVAL_SECONDS: Final = 86_400
"""Between two changes of one validator's commission; delegators have that long to react to each step."""
PRIORITY_STRIDE: Final = 64
"""Heights after which proposer priorities are written to the state: no node works out more than these many turns."""
JAIL_LIMIT_DIVISOR: Final = 6
"""Downtime removes at most 1/6 of an epoch's power, or one validator of less than a third while all others are there: a
mass outage must not turn into a halt by jail."""

_RANGES: Final = (
    # (field, lowest, highest, bits in its word)
    ("epoch_seconds", 1, 2**32 - 1, 32),
    ("unbonding_seconds", 1, 2**32 - 1, 32),
    ("max_validators", 1, MAX_SET, 16),
    ("max_candidates", 1, MAX_SEATS, 16),
    ("window_commits", 1, 2**32 - 1, 32),
    ("window_seconds", 0, 2**32 - 1, 32),
    ("minimum_signed_bps", 0, BPS, 16),
    ("jail_seconds", 0, 2**32 - 1, 32),
    ("double_sign_bps", 0, BPS, 16),
    ("correlation", 0, 2**8 - 1, 8),
    ("reporter_bps", 0, BPS, 16),
    ("slash_amnesia", 0, 1, 8),
)
_AMOUNT_RANGES: Final = (
    ("minimum_self_stake", POWER_UNIT, MAX_STAKE, 96),
    ("block_reward", 0, 2**80, 96),
)


@dataclass(frozen=True, slots=True)
class StakingParameters:
    """What one chain's staking demands. Raises ValueError, naming the field, when a value is out of range.

    The window of liveness ends when `window_commits` and `window_seconds` have both passed; who signed less than
    `minimum_signed_bps` of it is jailed for `jail_seconds`. A double signer loses `double_sign_bps`, or `correlation`
    times the share of power that was slashed within one unbonding period, whichever is more; the proposer that reports
    it gets `reporter_bps` of what its pool loses. `block_reward` is minted per block, in full when the last commit is
    complete. `dispute_contract` alone may call slashForData; zero: nobody.
    """

    epoch_seconds: int = 600
    unbonding_seconds: int = 7 * 86_400
    max_validators: int = MAX_SET
    max_candidates: int = MAX_SEATS
    window_commits: int = 100
    window_seconds: int = 3_600
    minimum_signed_bps: int = 5_000
    jail_seconds: int = 600
    double_sign_bps: int = 500
    correlation: int = 3
    reporter_bps: int = 100
    slash_amnesia: bool = False
    minimum_self_stake: int = 1_000 * 10**18
    block_reward: int = 0
    dispute_contract: Address = ZERO_ADDRESS

    def __post_init__(self) -> None:
        for name, low, high, _ in (*_RANGES, *_AMOUNT_RANGES):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name}: expected {low} to {high}, got {value}")
        if self.max_candidates < self.max_validators:
            raise ValueError(
                f"max_candidates: expected at least max_validators, {self.max_validators}, got {self.max_candidates}"
            )
        if self.unbonding_seconds < 2 * self.epoch_seconds:
            # evidence counts until one unbonding period after its epoch was announced: else it would be late at once
            raise ValueError(
                f"unbonding_seconds: expected at least two epochs of {self.epoch_seconds} s, got {self.unbonding_seconds}"
            )
        if self.epochs_kept > MAX_EPOCHS_KEPT:
            raise ValueError(
                f"unbonding_seconds: expected at most {MAX_EPOCHS_KEPT - 4} epochs of {self.epoch_seconds} s, "
                f"got {self.unbonding_seconds} s"
            )
        if len(self.dispute_contract) != 20:
            raise ValueError(f"dispute_contract: expected 20 bytes, got {len(self.dispute_contract)}")

    @property
    def epochs_kept(self) -> int:
        """Validator sets that the state remembers: those of one unbonding period, for evidence, and some to spare."""
        return self.unbonding_seconds // self.epoch_seconds + 4

    def pack(self) -> tuple[int, int, int]:
        """Three words, fields from the low-order end in the order above."""
        return (
            _pack(self, _RANGES),
            _pack(self, _AMOUNT_RANGES),
            int.from_bytes(self.dispute_contract, "big"),
        )

    @classmethod
    def unpack(cls, timing: int, amounts: int, dispute_contract: int) -> StakingParameters:
        values: dict[str, Any] = {**_unpack(timing, _RANGES), **_unpack(amounts, _AMOUNT_RANGES)}
        values["slash_amnesia"] = bool(values["slash_amnesia"])
        return cls(**values, dispute_contract=Address(dispute_contract.to_bytes(20, "big")))


def unpack_timing(word: int) -> dict[str, int]:
    """The fields of the first word alone: calls pay for each word they read."""
    return _unpack(word, _RANGES)


def unpack_amounts(word: int) -> dict[str, int]:
    """The fields of the second word alone."""
    return _unpack(word, _AMOUNT_RANGES)


def _pack(parameters: StakingParameters, ranges: tuple[tuple[str, int, int, int], ...]) -> int:
    word = at = 0
    for name, _, _, bits in ranges:
        word |= int(getattr(parameters, name)) << at
        at += bits
    return word


def _unpack(word: int, ranges: tuple[tuple[str, int, int, int], ...]) -> dict[str, int]:
    values = {}
    for name, _, _, bits in ranges:
        values[name] = word & ((1 << bits) - 1)
        word >>= bits
    return values


def pack_consensus(params: ConsensusParams) -> tuple[int, int]:
    """Two words: the fields in their order, uint32 each, from the low-order end."""
    packed = 0
    for index, each in enumerate(fields(params)):
        packed |= getattr(params, each.name) << 32 * index
    return packed & (1 << 256) - 1, packed >> 256


def unpack_consensus(first: int, second: int) -> ConsensusParams:
    packed = first | second << 256
    values = [packed >> 32 * index & 0xFFFFFFFF for index in range(len(fields(ConsensusParams)))]
    return ConsensusParams(*values)
