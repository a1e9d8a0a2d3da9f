"""Money is whole numbers of a token's smallest unit; text has a decimal point and the token's symbol.

No floats anywhere: "12.50 USD" is 12_500_000 of a token of 6 decimals.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from dmchain.chain.primitives.types import UINT256_MAX
from dmchain.market.errors import InvalidInput

ZERO_ADDRESS: Final = "0x0000000000000000000000000000000000000000"
_NUMBER = re.compile(r"[0-9]{1,3}(?:[_,][0-9]{3})+(?:\.[0-9]+)?|[0-9]+(?:\.[0-9]+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Token:
    """What prices are in: an ERC-20, or the native coin at address zero. `decimals` places after the point."""

    address: str
    symbol: str
    decimals: int
    name: str = ""

    @property
    def is_native(self) -> bool:
        return self.address == ZERO_ADDRESS

    def format(self, amount: int) -> str:
        return format_amount(amount, self)


NATIVE: Final = Token(ZERO_ADDRESS, "DM", 18, "native coin")


def parse_decimal(text: str, decimals: int) -> int:
    """`12.5` with 6 decimals is 12_500_000. Thousands may be parted by `_` or `,`. Raises InvalidInput."""
    stripped = text.strip()
    if not _NUMBER.fullmatch(stripped):
        raise InvalidInput(f"amount: got {text!r}, expected a number like 12.50")
    whole, _, rest = stripped.replace("_", "").replace(",", "").partition(".")
    rest = rest.rstrip("0")
    if len(rest) > decimals:
        raise InvalidInput(f"amount: got {text!r}, expected at most {decimals} digits after the point")
    amount = int(whole + rest.ljust(decimals, "0"))
    if amount > UINT256_MAX:
        raise InvalidInput(f"amount: got {text!r}, which is more than any token has")
    return amount


def split_amount(text: str) -> tuple[str, str]:
    """`"12.50 USD"` -> (`"12.50"`, `"USD"`). The symbol may be missing, or be an address. Raises InvalidInput."""
    found = re.fullmatch(r"\s*([0-9][0-9_,.]*)\s*(0x[0-9a-fA-F]{40}|[A-Za-z$][\w$]*)?\s*", text, re.ASCII)
    if found is None:
        raise InvalidInput(f"amount: got {text!r}, expected a number and perhaps a token, like 12.50 USD")
    return found[1], found[2] or ""


def parse_amount(text: str, token: Token) -> int:
    """An amount in the token's smallest unit: "12.50" or "12.50 USD". Raises InvalidInput."""
    number, symbol = split_amount(text)
    if symbol and symbol.lower() not in (token.symbol.lower(), token.address.lower()):
        raise InvalidInput(f"amount: got {text!r}, expected an amount of {token.symbol}")
    return parse_decimal(number, token.decimals)


def format_amount(amount: int, token: Token) -> str:
    """12_500_000 of a token of 6 decimals is "12.50 USD": all digits that count, and at least two."""
    sign = "-" if amount < 0 else ""
    digits = str(abs(amount)).rjust(token.decimals + 1, "0")
    whole, rest = (digits[: -token.decimals], digits[-token.decimals :]) if token.decimals else (digits, "")
    rest = rest.rstrip("0").ljust(min(2, token.decimals), "0")
    return f"{sign}{whole}{'.' + rest if rest else ''} {token.symbol}"
