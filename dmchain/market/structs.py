"""From structs of the contracts to dataclasses, and from these to JSON."""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import Any, NewType, TypeVar

from dmchain.market import cids
from dmchain.market.errors import AbiError

Amount = NewType("Amount", int)
"""Smallest units of a token. JSON has it as text: programs read large numbers as floats."""

T = TypeVar("T")


@cache
def _hints(cls: Any) -> dict[str, Any]:
    return typing.get_type_hints(cls)


@cache
def _defaults(cls: Any) -> frozenset[str]:
    return frozenset(each.name for each in dataclasses.fields(cls) if each.default is not dataclasses.MISSING)


def amount_fields(cls: Any) -> frozenset[str]:
    """Names of a dataclass' fields that are amounts of money."""
    return frozenset(name for name, hint in _hints(cls).items() if hint is Amount)


def _camel(name: str) -> str:
    return re.sub(r"_([a-z0-9])", lambda found: found[1].upper(), name).replace("Uri", "URI")


def build(cls: type[T], struct: Mapping[str, Any], **known: Any) -> T:
    """Make a dataclass from a struct of a contract; `known` are fields it does not have.

    Bytes of fields named like a CID become text, others hex; enumerations become members. Raises AbiError when contract
    and package do not belong together.
    """
    values = dict(known)
    for name, hint in _hints(typing.cast(Any, cls)).items():
        if name in values or (_camel(name) not in struct and name in _defaults(typing.cast(Any, cls))):
            continue
        if _camel(name) not in struct:
            raise AbiError(f"{cls.__name__}: the contract's struct has no field {_camel(name)}")
        value = struct[_camel(name)]
        if isinstance(hint, type) and issubclass(hint, Enum):
            value = hint(value)
        elif isinstance(value, bytes):
            value = cids.to_text(value) if name == "cid" or name.endswith("_cid") else "0x" + value.hex()
        elif isinstance(value, list):
            value = tuple("0x" + each.hex() if isinstance(each, bytes) else each for each in value)
        values[name] = value
    return cls(**values)


def to_json(value: Any) -> Any:
    """What json.dumps takes: enumerations by name in lower case, amounts as decimal text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        amounts = amount_fields(type(value))
        fields = ((each.name, getattr(value, each.name)) for each in dataclasses.fields(value))
        return {_camel(name): str(entry) if name in amounts else to_json(entry) for name, entry in fields}
    if isinstance(value, Enum):
        return value.name.lower()
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, Mapping):
        return {key: to_json(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(entry) for entry in value]
    return value
