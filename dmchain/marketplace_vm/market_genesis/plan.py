"""What is deployed where, in which order, and who is told what afterwards. The source of truth about block 0's market.

Everything is administered by the Timelock, which governance alone moves; the calls after deployment are made as it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass
from typing import Any, Final

from dmchain.chain.primitives.crypto import keccak
from dmchain.chain.primitives.types import ZERO_ADDRESS
from dmchain.marketplace_vm.market_genesis.addresses import (
    COMPUTE_MARKET,
    DATA_GOVERNOR,
    DATA_LISTING,
    DATATOKEN,
    DISPUTE_RESOLUTION,
    ESCROW_PAYMENT,
    LICENSE_MANAGER,
    LICENSE_NFT,
    PAYMENT_STREAM,
    PLATFORM_TOKEN,
    PROVIDER_STAKE,
    QUALITY_ORACLE,
    REPUTATION,
    TEST_USD,
    TIMELOCK,
)
from dmchain.marketplace_vm.market_genesis.parameters import MarketParameters

ANYBODY: Final = ZERO_ADDRESS
"""As an executor of the Timelock."""
NOBODY: Final = ZERO_ADDRESS
"""As the Timelock's admin besides itself."""
MODULE_ROLE: Final = keccak(b"MODULE_ROLE")


@dataclass(frozen=True, slots=True)
class Deploy:
    """Run a constructor at the contract's fixed address.

    `initialize`: the arguments of the initializer of a contract behind a proxy, whose implementation gets `arguments`.
    """

    name: str
    arguments: tuple[Any, ...] = ()
    initialize: tuple[Any, ...] | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """Call a function as the Timelock."""

    name: str
    function: str
    arguments: tuple[Any, ...]


def make_plan(parameters: MarketParameters) -> Iterator[Deploy | Call]:
    """The steps, in order. Collaborators may be named before they exist: their addresses are fixed."""
    yield from _governance(parameters)
    yield Deploy("LicenseNFT", (LICENSE_MANAGER, DATA_LISTING))
    yield Deploy(
        "LicenseManager",
        (DATA_LISTING, LICENSE_NFT, ESCROW_PAYMENT, REPUTATION),
        (TIMELOCK, TIMELOCK, parameters.platform_fee_bps),
    )
    yield Deploy("DataListing", (LICENSE_MANAGER,), (TIMELOCK,))
    yield Deploy("EscrowPayment", (), (TIMELOCK, LICENSE_MANAGER, DISPUTE_RESOLUTION, QUALITY_ORACLE, REPUTATION))
    yield Deploy("PaymentStream", (LICENSE_MANAGER,))
    yield Deploy("ProviderStake", (TIMELOCK, DISPUTE_RESOLUTION, parameters.unstake_delay))
    yield Deploy("Reputation", (TIMELOCK, LICENSE_MANAGER, (LICENSE_MANAGER, ESCROW_PAYMENT, DISPUTE_RESOLUTION)))
    yield Deploy("QualityOracle", (TIMELOCK, TIMELOCK, astuple(parameters.oracle)))
    yield Deploy(
        "DisputeResolution",
        (
            TIMELOCK,
            TIMELOCK,
            (LICENSE_MANAGER, ESCROW_PAYMENT, PROVIDER_STAKE, REPUTATION),
            astuple(parameters.disputes),
        ),
    )
    yield Deploy("ComputeMarket", (LICENSE_MANAGER, QUALITY_ORACLE, parameters.redraw_after))
    yield Deploy("Datatoken", (LICENSE_MANAGER,))
    yield from _roles(parameters)


def _governance(parameters: MarketParameters) -> Iterator[Deploy]:
    numbers = parameters.governance
    yield Deploy("Timelock", (numbers.timelock_delay, (DATA_GOVERNOR,), (ANYBODY,), NOBODY))
    treasury, amounts = share_supply(parameters)
    yield Deploy("PlatformToken", ((TIMELOCK, *parameters.holders), (treasury, *amounts)))
    if parameters.has_test_usd:
        yield Deploy("TestUSD", (parameters.dollar_holders, parameters.dollars_each))
    yield Deploy(
        "DataGovernor",
        (
            PLATFORM_TOKEN,
            TIMELOCK,
            numbers.voting_delay,
            numbers.voting_period,
            numbers.proposal_threshold,
            numbers.quorum_percent,
        ),
    )
    yield Deploy(
        "CurationRegistry",
        (
            PLATFORM_TOKEN,
            TIMELOCK,
            (
                numbers.review_period,
                numbers.curation_vote_period,
                numbers.curation_quorum_bps,
                numbers.voter_share_bps,
            ),
        ),
    )


def share_supply(parameters: MarketParameters) -> tuple[int, tuple[int, ...]]:
    """(DMG of the treasury, of each holder): half of it among the holders, what does not divide stays."""
    holders = parameters.holders
    each = parameters.token_supply // 2 // len(holders) if holders else 0
    return parameters.token_supply - each * len(holders), (each,) * len(holders)


def _roles(parameters: MarketParameters) -> Iterator[Call]:
    for module in (DATA_LISTING, ESCROW_PAYMENT, PAYMENT_STREAM, COMPUTE_MARKET, DATATOKEN):
        yield Call("LicenseManager", "grantRole", (MODULE_ROLE, module))
    if parameters.has_test_usd:
        # the rate is per 10^18 units of the token
        rate = parameters.wei_per_dollar * 10**12
        yield Call("LicenseManager", "setReferenceRate", (TEST_USD, rate))
