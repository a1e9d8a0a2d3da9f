"""The numbers a genesis gives the market's contracts; governance changes them later, where the contracts allow it.

Times in seconds, native money in wei, DMG in units of 10^-18, test dollars in units of 10^-6, shares in bps of 10,000.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from dmchain.chain.primitives.types import Address

COIN: Final = 10**18
USD: Final = 10**6
MINUTE: Final = 60
HOUR: Final = 3_600
DAY: Final = 86_400


@dataclass(frozen=True, slots=True)
class GovernanceParameters:
    """DataGovernor, Timelock and CurationRegistry. `proposal_threshold` and the quorums are of votes, that is DMG."""

    voting_delay: int = 2 * DAY
    voting_period: int = 7 * DAY
    timelock_delay: int = 2 * DAY
    proposal_threshold: int = 100_000 * COIN
    quorum_percent: int = 4
    review_period: int = 3 * DAY
    curation_vote_period: int = 5 * DAY
    curation_quorum_bps: int = 200
    voter_share_bps: int = 5_000


@dataclass(frozen=True, slots=True)
class OracleParameters:
    """QualityOracle.Parameters, in its order."""

    panel_size: int = 5
    quorum: int = 3
    tolerance: int = 500
    outlier_bps: int = 2_000
    silent_bps: int = 1_000
    commit_period: int = HOUR
    reveal_period: int = HOUR
    leave_delay: int = 7 * DAY
    seat_stake: int = 10 * COIN
    minimum_stake: int = 50 * COIN
    minimum_fee: int = COIN // 10


@dataclass(frozen=True, slots=True)
class DisputeParameters:
    """DisputeResolution.Parameters, in its order."""

    jury_size: int = 3
    wrong_bps: int = 2_000
    silent_bps: int = 4_000
    compensation_bps: int = 10_000
    bond: int = COIN
    seat_fee: int = COIN // 10
    seat_stake: int = 10 * COIN
    minimum_stake: int = 10 * COIN
    minimum_slash: int = COIN
    open_window: int = 7 * DAY
    """At most `unstake_delay`: who sells cannot take its stake away while the buyer can still object."""
    evidence_period: int = 2 * DAY
    summon_period: int = DAY
    commit_period: int = 2 * DAY
    reveal_period: int = DAY
    appeal_period: int = 2 * DAY
    leave_delay: int = 14 * DAY


@dataclass(frozen=True, slots=True)
class MarketParameters:
    """All of them; the defaults are for networks that mean it, `DEVNET` has short times.

    `holders` share the half of `token_supply` that the treasury does not keep, each as much as the others. Whoever holds
    DMG governs: without holders nobody does. `dollars_each` is what each of `dollar_holders` begins with; no TestUSD is
    made when `has_test_usd` is false.
    """

    governance: GovernanceParameters = field(default_factory=GovernanceParameters)
    oracle: OracleParameters = field(default_factory=OracleParameters)
    disputes: DisputeParameters = field(default_factory=DisputeParameters)
    platform_fee_bps: int = 250
    unstake_delay: int = 7 * DAY
    redraw_after: int = 6 * HOUR
    token_supply: int = 100_000_000 * COIN
    holders: tuple[Address, ...] = ()
    has_test_usd: bool = False
    dollar_holders: tuple[Address, ...] = ()
    dollars_each: int = 1_000_000 * USD
    wei_per_dollar: int = COIN
    """What a test dollar counts in the totals by which buyers are compensated: a devnet's dollar is one coin."""

    def with_holders(self, holders: tuple[Address, ...]) -> MarketParameters:
        """The same numbers, with the supply of DMG (and of test dollars, if there are any) in these hands."""
        return replace(self, holders=holders, dollar_holders=holders if self.has_test_usd else ())


DEVNET: Final = MarketParameters(
    governance=GovernanceParameters(
        voting_delay=1,
        voting_period=MINUTE,
        timelock_delay=2,
        proposal_threshold=0,
        review_period=MINUTE,
        curation_vote_period=MINUTE,
        curation_quorum_bps=100,
    ),
    oracle=OracleParameters(
        commit_period=30, reveal_period=30, leave_delay=MINUTE, seat_stake=COIN, minimum_stake=COIN
    ),
    disputes=DisputeParameters(
        seat_stake=COIN,
        minimum_stake=COIN,
        open_window=10 * MINUTE,
        evidence_period=10,
        summon_period=MINUTE,
        commit_period=30,
        reveal_period=30,
        appeal_period=20,
        leave_delay=MINUTE,
    ),
    unstake_delay=10 * MINUTE,
    redraw_after=30,
    has_test_usd=True,
)
"""Short enough to sit through, long enough to type the commands."""
