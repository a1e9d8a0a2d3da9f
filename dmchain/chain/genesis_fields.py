"""Reading fields of a genesis file: every error names the field, what was got and what was expected."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from dmchain.chain.primitives.errors import InvalidGenesis
from dmchain.chain.primitives.types import UINT256_MAX

_HEX_DIGITS = frozenset("0123456789abcdefABCDEF")


class Missing:
    """Stands for a field that is not there; whoever reads it raises."""

    def __init__(self, field: str) -> None:
        self.field = field


def missing(field: str) -> Missing:
    """A default for `Mapping.get` of a field that has to be there."""
    return Missing(field)


def boolean(value: Any, field: str) -> bool:
    present(value)
    if not isinstance(value, bool):
        raise InvalidGenesis(f"{field}: expected true or false, got {describe(value)}")
    return value


def json_object(value: Any, field: str) -> Mapping[str, Any]:
    present(value)
    if not isinstance(value, dict):
        raise InvalidGenesis(f"{field}: expected an object, got {describe(value)}")
    return value


def present(value: Any) -> None:
    if isinstance(value, Missing):
        raise InvalidGenesis(f"{value.field}: missing")


def describe(value: Any) -> str:
    return shorten(repr(value))


def shorten(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def quantity(value: Any, field: str, limit: int) -> int:
    """A number: a JSON integer, or a string in decimal or with 0x."""
    present(value)
    number: int | None = None
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, float) and math.isfinite(value) and value.is_integer() and abs(value) < 2**53:
        number = int(value)
    elif isinstance(value, str) and len(value) <= 80 and value.isascii() and "_" not in value:
        try:
            number = int(value, 16) if value[:2] in ("0x", "0X") else int(value, 10)
        except ValueError:
            number = None
    if number is None:
        raise InvalidGenesis(f"{field}: expected a number (decimal or 0x), got {describe(value)}")
    if not 0 <= number <= limit:
        raise InvalidGenesis(f"{field}: got {describe(value)}, expected 0 to {limit}")
    return number


def word(value: Any, field: str) -> int:
    """A storage key or value: up to 32 bytes of hex."""
    if isinstance(value, str) and value[:2] not in ("0x", "0X"):
        value = "0x" + value
    return quantity(value, field, UINT256_MAX)


def raw_bytes(value: Any, field: str, size: int | None = None) -> bytes:
    """Hex digits after 0x; `size` bytes of them when it is given."""
    present(value)
    if not isinstance(value, str) or value[:2] not in ("0x", "0X"):
        raise InvalidGenesis(f"{field}: expected a string of hex digits after 0x, got {describe(value)}")
    if len(value) % 2 or not _HEX_DIGITS.issuperset(value[2:]):
        raise InvalidGenesis(f"{field}: expected hex digits in pairs, got {describe(value)}")
    raw = bytes.fromhex(value[2:])
    if size is not None and len(raw) != size:
        raise InvalidGenesis(f"{field}: expected {size} bytes, got {len(raw)}")
    return raw
