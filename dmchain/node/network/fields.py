"""Checks of single fields, at the boundary where bytes become messages.

A field spec turns what msgpack decoded into a value of the exact type and range, or raises ValueError saying what was
expected; `encode` is its inverse. Names are put in front by the caller.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol


class Field(Protocol):
    def decode(self, value: object) -> Any:
        """Raises ValueError: "expected ..., got ..."."""

    def encode(self, value: Any) -> Any:
        """What msgpack packs."""


@dataclass(frozen=True, slots=True)
class Uint:
    """A whole number from 0 to `maximum`."""

    maximum: int

    def decode(self, value: object) -> int:
        if type(value) is not int:  # a bool is no number here
            raise ValueError(f"expected a whole number, got {describe(value)}")
        if not 0 <= value <= self.maximum:
            raise ValueError(f"expected 0 to {self.maximum}, got {value}")
        return value

    def encode(self, value: Any) -> Any:
        return value


@dataclass(frozen=True, slots=True)
class Blob:
    """Between `minimum` and `maximum` bytes."""

    minimum: int
    maximum: int

    def decode(self, value: object) -> bytes:
        if type(value) is not bytes:
            raise ValueError(f"expected bytes, got {describe(value)}")
        if not self.minimum <= len(value) <= self.maximum:
            wanted = str(self.minimum) if self.minimum == self.maximum else f"{self.minimum} to {self.maximum}"
            raise ValueError(f"expected {wanted} bytes, got {len(value)}")
        return value

    def encode(self, value: Any) -> Any:
        return value


def fixed(size: int) -> Blob:
    """Exactly `size` bytes."""
    return Blob(size, size)


@dataclass(frozen=True, slots=True)
class Text:
    """At most `maximum` printable ASCII characters: it may end in a log or on a terminal."""

    maximum: int

    def decode(self, value: object) -> str:
        if type(value) is not str:
            raise ValueError(f"expected text, got {describe(value)}")
        if len(value) > self.maximum:
            raise ValueError(f"expected at most {self.maximum} characters, got {len(value)}")
        if not (value.isascii() and value.isprintable()):
            raise ValueError("expected printable ASCII")
        return value

    def encode(self, value: Any) -> Any:
        return value


@dataclass(frozen=True, slots=True)
class ListOf:
    """A tuple of `minimum` to `maximum` items."""

    item: Field
    minimum: int
    maximum: int

    def decode(self, value: object) -> tuple[Any, ...]:
        if type(value) is not tuple:
            raise ValueError(f"expected a list, got {describe(value)}")
        if not self.minimum <= len(value) <= self.maximum:
            raise ValueError(f"expected {self.minimum} to {self.maximum} items, got {len(value)}")
        decode = self.item.decode
        try:
            return tuple([decode(item) for item in value])
        except ValueError as error:
            raise ValueError(f"an item: {error}") from None

    def encode(self, value: Any) -> Any:
        encode = self.item.encode
        return [encode(item) for item in value]


@dataclass(frozen=True, slots=True)
class Struct:
    """A list with one value per attribute of `kind`, in the order of its constructor's arguments."""

    kind: Callable[..., Any]
    fields: tuple[tuple[str, Field], ...]

    def decode(self, value: object) -> Any:
        if type(value) is not tuple:
            raise ValueError(f"expected a list, got {describe(value)}")
        return self.kind(*decode_fields(self.fields, value))

    def encode(self, value: Any) -> Any:
        return encode_fields(self.fields, value)


def decode_fields(fields: tuple[tuple[str, Field], ...], values: tuple[object, ...]) -> list[Any]:
    """Check each value; raises ValueError naming the field."""
    if len(values) != len(fields):
        raise ValueError(f"expected {len(fields)} fields, got {len(values)}")
    checked = []
    for (name, field), value in zip(fields, values, strict=True):
        try:
            checked.append(field.decode(value))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return checked


def encode_fields(fields: tuple[tuple[str, Field], ...], source: object) -> list[Any]:
    return [field.encode(getattr(source, name)) for name, field in fields]


def describe(value: object) -> str:
    """The type of what a peer sent; never the value, which may be long or unprintable."""
    return type(value).__name__
