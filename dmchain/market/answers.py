"""What nodes answer, checked where it enters: a node may be broken, or lie."""

from __future__ import annotations

from typing import Any

from dmchain.market.errors import MarketError, printable

SHOWN = 60


class BadAnswer(MarketError):
    """The node answered with something that its method never gives."""

    hint = "is it a node of an Ethereum-like chain? ask another one"

    def __init__(self, what: str, got: Any, expected: str) -> None:
        super().__init__(f"{what}: got {printable(repr(got))[:SHOWN]} from the node, expected {expected}")


def quantity(value: Any, what: str) -> int:
    """A number as JSON-RPC writes it. Raises BadAnswer."""
    try:
        if isinstance(value, str) and value.startswith("0x"):
            return int(value, 16)
    except ValueError:
        pass
    raise BadAnswer(what, value, "0x and hex digits")


def data(value: Any, what: str, size: int | None = None) -> bytes:
    """Bytes as JSON-RPC writes them, `size` of them if given. Raises BadAnswer."""
    try:
        raw = bytes.fromhex(value[2:]) if isinstance(value, str) and value.startswith("0x") else None
    except ValueError:
        raw = None
    if raw is None or size not in (None, len(raw)):
        raise BadAnswer(what, value, "0x and hex digits" if size is None else f"{size} bytes in hex")
    return raw


def field(value: Any, name: str, what: str) -> Any:
    """A field of an object. Raises BadAnswer."""
    if not isinstance(value, dict) or name not in value:
        raise BadAnswer(what, value, f"an object with {name}")
    return value[name]
