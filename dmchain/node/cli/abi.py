"""Contract calls from the command line: `name(types)(return types)` and arguments as text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from dmchain.chain.primitives.crypto import keccak


@dataclass(frozen=True, slots=True)
class Signature:
    """A function with its argument and return types."""

    name: str
    arguments: tuple[str, ...]
    returns: tuple[str, ...]


def _split_types(text: str) -> tuple[str, ...]:
    """Split at the commas outside of tuples."""
    types, depth, current = [], 0, ""
    for char in text:
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            types.append(current.strip())
            current = ""
        else:
            current += char
    if current.strip():
        types.append(current.strip())
    return tuple(types)


def parse_signature(text: str) -> Signature:
    """Read `name(uint256,address)(bool)`; the return types may be left out."""
    opened = text.find("(")
    name = text[:opened].strip()
    groups, depth, start = [], 0, 0
    for at, char in enumerate(text):
        if char == "(":
            if depth == 0:
                start = at
            depth += 1
        elif char == ")":
            depth -= 1
            if depth == 0:
                groups.append(text[start + 1 : at])
    if opened < 1 or depth != 0 or len(groups) not in (1, 2) or not name.isidentifier():
        raise click.BadParameter(f"got {text!r}, expected name(types) or name(types)(return types)")
    return Signature(name, _split_types(groups[0]), _split_types(groups[1]) if len(groups) == 2 else ())


def _parse_value(kind: str, text: Any) -> Any:
    if kind.endswith("]"):
        values = json.loads(text) if isinstance(text, str) else text
        return [_parse_value(kind[: kind.rindex("[")], value) for value in values]
    if kind.startswith("("):
        values = json.loads(text) if isinstance(text, str) else text
        return tuple(_parse_value(inner, value) for inner, value in zip(_split_types(kind[1:-1]), values, strict=True))
    if kind.startswith(("uint", "int")):
        return text if isinstance(text, int) else int(text, 0)
    if kind == "bool":
        return {"true": True, "false": False, True: True, False: False}[text]
    if kind.startswith("bytes"):
        return bytes.fromhex(text.removeprefix("0x"))
    return text


def encode_call(signature: Signature, arguments: Sequence[str]) -> bytes:
    """Selector and encoded arguments; arrays and tuples are written as JSON."""
    from eth_abi import encode
    from eth_abi.exceptions import EncodingError, ParseError

    if len(arguments) != len(signature.arguments):
        raise click.BadParameter(
            f"{signature.name}: got {len(arguments)} arguments, expected {len(signature.arguments)}"
        )
    values = []
    for kind, text in zip(signature.arguments, arguments, strict=True):
        try:
            values.append(_parse_value(kind, text))
        except (ValueError, KeyError, TypeError) as error:
            raise click.BadParameter(f"{signature.name}: {text!r} is no {kind}") from error
    selector = keccak(f"{signature.name}({','.join(signature.arguments)})".encode())[:4]
    try:
        encoded: bytes = encode(signature.arguments, values)
        return selector + encoded
    except (EncodingError, ParseError, ValueError, OverflowError) as error:
        raise click.BadParameter(f"{signature.name}: {error}") from error


def decode_result(signature: Signature, output: bytes) -> list[Any]:
    """The returned values, fit for JSON; the bytes themselves when no return types were given."""
    from eth_abi import decode
    from eth_abi.exceptions import DecodingError

    if not signature.returns:
        return ["0x" + output.hex()]
    try:
        return [_show(value) for value in decode(signature.returns, output)]
    except DecodingError as error:
        raise click.ClickException(f"the answer does not fit {signature.returns}: {error}") from error


def _show(value: Any) -> Any:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, tuple | list):
        return [_show(entry) for entry in value]
    return value
