"""Where genesis puts the market's contracts. No heavy imports: clients may read this too."""

from __future__ import annotations

from typing import Final

from dmchain.chain.primitives.types import Address


def _at(number: int) -> Address:
    return Address(number.to_bytes(20, "big"))


DATA_LISTING: Final = _at(0xDA10)
LICENSE_NFT: Final = _at(0xDA11)
LICENSE_MANAGER: Final = _at(0xDA12)
ESCROW_PAYMENT: Final = _at(0xDA13)
PAYMENT_STREAM: Final = _at(0xDA14)
PROVIDER_STAKE: Final = _at(0xDA15)
REPUTATION: Final = _at(0xDA16)
DISPUTE_RESOLUTION: Final = _at(0xDA17)
QUALITY_ORACLE: Final = _at(0xDA18)
COMPUTE_MARKET: Final = _at(0xDA19)
PLATFORM_TOKEN: Final = _at(0xDA1A)
TEST_USD: Final = _at(0xDA1B)
DATA_GOVERNOR: Final = _at(0xDA1C)
TIMELOCK: Final = _at(0xDA1D)
CURATION_REGISTRY: Final = _at(0xDA1E)
DATATOKEN: Final = _at(0xDA1F)

ADDRESSES: Final[dict[str, Address]] = {
    "DataListing": DATA_LISTING,
    "LicenseNFT": LICENSE_NFT,
    "LicenseManager": LICENSE_MANAGER,
    "EscrowPayment": ESCROW_PAYMENT,
    "PaymentStream": PAYMENT_STREAM,
    "ProviderStake": PROVIDER_STAKE,
    "Reputation": REPUTATION,
    "DisputeResolution": DISPUTE_RESOLUTION,
    "QualityOracle": QUALITY_ORACLE,
    "ComputeMarket": COMPUTE_MARKET,
    "PlatformToken": PLATFORM_TOKEN,
    "TestUSD": TEST_USD,
    "DataGovernor": DATA_GOVERNOR,
    "Timelock": TIMELOCK,
    "CurationRegistry": CURATION_REGISTRY,
    "Datatoken": DATATOKEN,
}
"""What users call, by the name of the contract; behind proxies where IMPLEMENTATIONS has the name too."""

IMPLEMENTATIONS: Final[dict[str, Address]] = {
    "DataListing": _at(0xDA30),
    "LicenseManager": _at(0xDA32),
    "EscrowPayment": _at(0xDA33),
}
"""The code behind the proxies of block 0; governance may put others there."""
