"""Where the contracts are: what `dm_nodeInfo` says, else the fixed addresses of every genesis."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from eth_utils.address import is_address, to_checksum_address

_LAST_BYTES: Final = {
    "CidRegistry": 0x01,
    "LicenseLedger": 0x02,
    "Staking": 0x03,
    "DataListing": 0x10,
    "LicenseNFT": 0x11,
    "LicenseManager": 0x12,
    "EscrowPayment": 0x13,
    "PaymentStream": 0x14,
    "ProviderStake": 0x15,
    "Reputation": 0x16,
    "DisputeResolution": 0x17,
    "QualityOracle": 0x18,
    "ComputeMarket": 0x19,
    "PlatformToken": 0x1A,
    "TestUSD": 0x1B,
    "DataGovernor": 0x1C,
    "Timelock": 0x1D,
    "CurationRegistry": 0x1E,
    "Datatoken": 0x1F,
}

ADDRESSES: Final[Mapping[str, str]] = MappingProxyType(
    {name: to_checksum_address(f"0x{0xDA00 + last:040x}") for name, last in _LAST_BYTES.items()}
)
"""Contract -> address of genesis."""


def merge(*sources: Mapping[str, Any]) -> dict[str, str]:
    """The fixed addresses, replaced by what later sources say; what is no address is left out."""
    found = dict(ADDRESSES)
    for source in sources:
        for name, value in source.items():
            address = value.get("address") if isinstance(value, Mapping) else value
            if isinstance(address, str) and is_address(address):
                found[name.removeprefix("I") if name[1:2].isupper() else name] = to_checksum_address(address)
    return found
