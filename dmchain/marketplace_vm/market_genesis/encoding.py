"""ABI encoding of constructor and function arguments, driven by an artifact's ABI.

The native precompiles' codec (precompiles.abi) knows their types alone, and eth_abi, which knows all, is not among the
node's dependencies. This encodes what deployments need: integers, addresses, booleans, bytes, strings, arrays, structs.
Source: https://docs.soliditylang.org/en/latest/abi-spec.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from dmchain.chain.primitives.crypto import keccak

_WORD = 32
_ARRAY = re.compile(r"(.*)\[(\d*)\]")


def encode_arguments(parameters: Sequence[Mapping[str, Any]], values: Sequence[Any]) -> bytes:
    """The arguments of a call. Raises ValueError, naming the parameter, for a value that its type does not have."""
    if len(parameters) != len(values):
        names = ", ".join(each["name"] for each in parameters)
        raise ValueError(f"got {len(values)} arguments, expected {len(parameters)}: {names}")
    heads: list[bytes | None] = []
    tails: list[bytes] = []
    for parameter, value in zip(parameters, values, strict=True):
        encoded = _encode(parameter, value)
        is_dynamic = _is_dynamic(parameter)
        heads.append(None if is_dynamic else encoded)
        tails.append(encoded if is_dynamic else b"")
    at = sum(_WORD if head is None else len(head) for head in heads)
    parts = []
    for head, tail in zip(heads, tails, strict=True):
        parts.append(at.to_bytes(_WORD, "big") if head is None else head)
        at += len(tail)
    return b"".join(parts) + b"".join(tails)


def encode_call(function: Mapping[str, Any], values: Sequence[Any]) -> bytes:
    """Calldata: selector and arguments."""
    signature = f"{function['name']}({','.join(type_name(each) for each in function['inputs'])})"
    return keccak(signature.encode())[:4] + encode_arguments(function["inputs"], values)


def type_name(parameter: Mapping[str, Any]) -> str:
    """The type in a signature, a struct as its parts."""
    kind: str = parameter["type"]
    if kind.startswith("tuple"):
        return f"({','.join(type_name(each) for each in parameter['components'])}){kind[5:]}"
    return kind


def _is_dynamic(parameter: Mapping[str, Any]) -> bool:
    kind = parameter["type"]
    array = _ARRAY.fullmatch(kind)
    if array:
        return not array[2] or _is_dynamic({**parameter, "type": array[1]})
    if kind == "tuple":
        return any(_is_dynamic(each) for each in parameter["components"])
    return kind in ("bytes", "string")


def _encode(parameter: Mapping[str, Any], value: Any) -> bytes:
    kind = parameter["type"]
    array = _ARRAY.fullmatch(kind)
    if array:
        if array[2] and len(value) != int(array[2]):
            raise ValueError(f"{parameter['name']}: got {len(value)} elements, expected {array[2]}")
        encoded = encode_arguments([{**parameter, "type": array[1]}] * len(value), value)
        return encoded if array[2] else len(value).to_bytes(_WORD, "big") + encoded
    if kind == "tuple":
        return encode_arguments(parameter["components"], value)
    if kind in ("bytes", "string"):
        raw = value.encode() if isinstance(value, str) else value
        return len(raw).to_bytes(_WORD, "big") + raw + bytes(-len(raw) % _WORD)
    return _encode_word(kind, value, parameter["name"])


def _encode_word(kind: str, value: Any, name: str) -> bytes:
    if kind == "address":
        if not isinstance(value, bytes) or len(value) != 20:
            raise ValueError(f"{name}: got {value!r}, expected an address of 20 bytes")
        return value.rjust(_WORD, b"\0")
    if kind.startswith("bytes"):
        if not isinstance(value, bytes) or len(value) != int(kind[5:]):
            raise ValueError(f"{name}: got {value!r}, expected {kind}")
        return value.ljust(_WORD, b"\0")
    if not kind.startswith("uint") and kind != "bool":
        raise ValueError(f"{name}: values of type {kind} cannot be encoded")
    bits = 1 if kind == "bool" else int(kind[4:])
    if not isinstance(value, int) or not 0 <= value < 1 << bits:
        raise ValueError(f"{name}: got {value!r}, expected {kind}")
    return value.to_bytes(_WORD, "big")
