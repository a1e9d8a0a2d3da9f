"""Types of command-line values, each with an error that says what was got and what was expected."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

import click

from dmchain.chain.primitives.types import UINT256_MAX, Address
from dmchain.chain.rules import MAX_GAS_LIMIT, MIN_GAS_LIMIT

UNITS = {"wei": 0, "gwei": 9, "ether": 18, "dm": 18}
GAS_LIMIT = click.IntRange(MIN_GAS_LIMIT, MAX_GAS_LIMIT)
NO_MARKET = click.option(
    "--no-market", is_flag=True, help="A bare chain: the native precompiles without the market's contracts."
)


class HexType(click.ParamType[Any]):
    """0x and hex digits; `size` bytes if given."""

    def __init__(self, name: str, size: int | None = None) -> None:
        self.name = name
        self.size = size

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> bytes:
        if isinstance(value, bytes):
            return value
        digits = value[2:] if value[:2] in ("0x", "0X") else None
        try:
            raw = None if digits is None or " " in digits else bytes.fromhex(digits)
        except ValueError:
            raw = None
        if raw is None:
            self.fail(f"got {value!r}, expected 0x and hex digits", param, ctx)
        if self.size is not None and len(raw) != self.size:
            self.fail(f"got {len(raw)} bytes, expected {self.size}", param, ctx)
        return raw


class AddressType(HexType):
    """20 bytes; with a checksum that holds if the digits are of mixed case (EIP-55)."""

    def __init__(self) -> None:
        super().__init__("address", 20)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Address:
        raw = super().convert(value, param, ctx)
        if isinstance(value, str):
            digits = value[2:]
            if digits not in (digits.lower(), digits.upper()) and value[2:] != checksum(raw)[2:]:
                self.fail(f"got {value}, expected {checksum(raw)}: the checksum does not hold", param, ctx)
        return Address(raw)


class AmountType(click.ParamType[Any]):
    """An amount of money: a number of wei, or a number and a unit (`1.5ether`, `3gwei`)."""

    name = "amount"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        text = value.strip().lower().replace(" ", "")
        unit = next((name for name in UNITS if text.endswith(name)), "")
        number = text.removesuffix(unit)
        for wanted in ("gwei", "wei"):
            if text.endswith(wanted):
                unit, number = wanted, text.removesuffix(wanted)
                break
        try:
            wei = Decimal(number).scaleb(UNITS[unit or "wei"])
        except InvalidOperation:
            self.fail(f"got {value!r}, expected a number and perhaps a unit: 1000, 3gwei, 1.5ether", param, ctx)
        if not wei.is_finite() or wei != wei.to_integral_value() or not 0 <= wei <= UINT256_MAX:
            self.fail(f"got {value!r}, expected a whole number of wei from 0 to 2**256 - 1", param, ctx)
        return int(wei)


def checksum(address: bytes) -> str:
    """EIP-55: upper case where the hash of the lower case has a high nibble."""
    from dmchain.chain.primitives.crypto import keccak

    digits = address.hex()
    digest = keccak(digits.encode()).hex()
    return "0x" + "".join(c.upper() if int(digest[at], 16) > 7 else c for at, c in enumerate(digits))


ADDRESS = AddressType()
AMOUNT = AmountType()
HASH = HexType("hash", 32)
DATA = HexType("data")
