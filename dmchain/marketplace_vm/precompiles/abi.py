"""The contract ABI, as far as native precompiles need it: strict, total on hostile input, bounded by it.

Signatures are written as in Solidity (`function f(bytes32 id) view returns (bool ok)`), once: dispatch, decoding,
encoding, event topics, error selectors and the ABI JSON all come from that one line.

Decoding accepts what solc's ABI coder v2 accepts: offsets may point anywhere inside the arguments, and bytes after the
last argument are ignored. A value out of its type's range, an offset or length that leaves the data is an `AbiError`.
Source: https://docs.soliditylang.org/en/latest/abi-spec.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from dmchain.chain.primitives.crypto import keccak
from dmchain.marketplace_vm.precompiles.host import Reverted

WORD: Final = 32


class AbiError(Exception):
    """The arguments are not an encoding of the declared types."""


@dataclass(frozen=True, slots=True)
class AbiType:
    """One type with its codec.

    `name` is canonical (a struct's is `(t1,t2)`), `internal` what solc writes as internalType. `head_size` in bytes, 32
    when dynamic. `decode(data, at)` reads the value whose head begins at `at`.
    """

    name: str
    internal: str
    is_dynamic: bool
    head_size: int
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes, int], Any]
    fields: tuple[Parameter, ...] = ()


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    type: AbiType
    indexed: bool = False


# ---------------------------------------------------------------- words


def encode_uint(value: int) -> bytes:
    return value.to_bytes(WORD, "big")


def decode_word(data: bytes, at: int) -> bytes:
    word = data[at : at + WORD]
    if len(word) != WORD:
        raise AbiError(f"word at {at}: expected 32 bytes, got {len(word)}")
    return word


def pad_right(data: bytes) -> bytes:
    return data + bytes(-len(data) % WORD)


def count_words(size_bytes: int) -> int:
    """Started words of 32 bytes."""
    return (size_bytes + WORD - 1) // WORD


def _uint(bits: int, internal: str | None = None) -> AbiType:
    def encode(value: int) -> bytes:
        if value >> bits:
            raise ValueError(f"uint{bits}: expected 0 to 2**{bits} - 1, got {value}")
        return value.to_bytes(WORD, "big")

    def decode(data: bytes, at: int) -> int:
        value = int.from_bytes(decode_word(data, at), "big")
        if value >> bits:
            raise AbiError(f"uint{bits} at {at}: got {value}")
        return value

    return AbiType(f"uint{bits}", internal or f"uint{bits}", False, WORD, encode, decode)


def _fixed_bytes(size: int) -> AbiType:
    def encode(value: bytes) -> bytes:
        if len(value) != size:
            raise ValueError(f"bytes{size}: got {len(value)} bytes")
        return value.ljust(WORD, b"\0")

    def decode(data: bytes, at: int) -> bytes:
        word = decode_word(data, at)
        if any(word[size:]):
            raise AbiError(f"bytes{size} at {at}: the padding is not zero")
        return word[:size]

    return AbiType(f"bytes{size}", f"bytes{size}", False, WORD, encode, decode)


def _encode_address(value: bytes) -> bytes:
    if len(value) != 20:
        raise ValueError(f"address: expected 20 bytes, got {len(value)}")
    return value.rjust(WORD, b"\0")


def _decode_address(data: bytes, at: int) -> bytes:
    word = decode_word(data, at)
    if any(word[:12]):
        raise AbiError(f"address at {at}: the padding is not zero")
    return word[12:]


def _encode_bool(value: bool) -> bytes:
    return encode_uint(1 if value else 0)


def _decode_bool(data: bytes, at: int) -> bool:
    value = int.from_bytes(decode_word(data, at), "big")
    if value > 1:
        raise AbiError(f"bool at {at}: got {value}")
    return value == 1


# ---------------------------------------------------------------- dynamic types


def decode_tail(data: bytes, at: int, item_size: int) -> tuple[int, int]:
    """Return (start, count) of the dynamic value whose offset stands at `at`; all its items lie inside `data`."""
    offset = int.from_bytes(decode_word(data, at), "big")
    if offset > len(data) - WORD:
        raise AbiError(f"offset at {at}: {offset} leaves the data")
    start = offset + WORD
    count = int.from_bytes(data[offset:start], "big")
    if count * item_size > len(data) - start:
        raise AbiError(f"length at {offset}: {count} leaves the data")
    return start, count


def _encode_bytes(value: bytes) -> bytes:
    return encode_uint(len(value)) + pad_right(value)


def _decode_bytes(data: bytes, at: int) -> bytes:
    start, count = decode_tail(data, at, 1)
    return data[start : start + count]


def _encode_string(value: str) -> bytes:
    return _encode_bytes(value.encode())


def _decode_string(data: bytes, at: int) -> str:
    try:
        return _decode_bytes(data, at).decode()
    except UnicodeDecodeError as error:
        raise AbiError(f"string at {at}: not UTF-8") from error


ELEMENTARY: Final[Mapping[str, AbiType]] = {
    **{f"uint{bits}": _uint(bits) for bits in range(8, 257, 8)},
    **{f"bytes{size}": _fixed_bytes(size) for size in range(1, 33)},
    "address": AbiType("address", "address", False, WORD, _encode_address, _decode_address),
    "bool": AbiType("bool", "bool", False, WORD, _encode_bool, _decode_bool),
    "bytes": AbiType("bytes", "bytes", True, WORD, _encode_bytes, _decode_bytes),
    "string": AbiType("string", "string", True, WORD, _encode_string, _decode_string),
}


def enum(kind: type[IntEnum], scope: str) -> AbiType:
    """A Solidity enum: uint8 whose range the handler checks, so that an unknown member gets an error of its own."""
    return _uint(8, f"enum {scope}.{kind.__name__}")


def array(item: AbiType) -> AbiType:
    """`item[]`. Only arrays of static one-word items can be decoded; any can be encoded."""

    def encode(values: Sequence[Any]) -> bytes:
        if not item.is_dynamic:
            return encode_uint(len(values)) + b"".join([item.encode(value) for value in values])
        return encode_uint(len(values)) + _join([item] * len(values), values)

    def decode(data: bytes, at: int) -> tuple[Any, ...]:
        if item.is_dynamic or item.head_size != WORD:
            raise NotImplementedError(f"decoding of {item.name}[]")
        start, count = decode_tail(data, at, WORD)
        if item.name == "bytes32":  # any word will do
            return tuple([data[place : place + WORD] for place in range(start, start + WORD * count, WORD)])
        return tuple([item.decode(data, start + WORD * index) for index in range(count)])

    return AbiType(f"{item.name}[]", f"{item.internal}[]", True, WORD, encode, decode, item.fields)


def struct(declaration: str, scope: str, types: Mapping[str, AbiType] | None = None) -> AbiType:
    """A Solidity struct, written `Name(type field, type field)`; its values are sequences. Only for output."""
    name, fields_text = _split_declaration(declaration)
    fields = parse_parameters(fields_text, types or {})
    is_dynamic = any(each.type.is_dynamic for each in fields)

    def decode(data: bytes, at: int) -> Any:
        raise NotImplementedError(f"decoding of struct {name}")

    return AbiType(
        name=f"({','.join(each.type.name for each in fields)})",
        internal=f"struct {scope}.{name}",
        is_dynamic=is_dynamic,
        head_size=WORD if is_dynamic else sum(each.type.head_size for each in fields),
        encode=lambda values: encode_values(fields, values),
        decode=decode,
        fields=fields,
    )


def encode_values(parameters: Sequence[Parameter], values: Sequence[Any]) -> bytes:
    """`abi.encode(values…)`. Raises ValueError for a value out of range: our own fault."""
    if len(values) != len(parameters):
        raise ValueError(f"expected {len(parameters)} values, got {len(values)}")
    return _join([each.type for each in parameters], values)


def _join(types: Sequence[AbiType], values: Sequence[Any]) -> bytes:
    offset = sum([each.head_size for each in types])
    heads: list[bytes] = []
    tails: list[bytes] = []
    for each, value in zip(types, values, strict=True):
        encoded = each.encode(value)
        if each.is_dynamic:
            heads.append(encode_uint(offset))
            tails.append(encoded)
            offset += len(encoded)
        else:
            heads.append(encoded)
    return b"".join(heads + tails)


# ---------------------------------------------------------------- signatures

_DECLARATION = re.compile(r"(?:(?:function|error|event|struct)\s+)?(\w+)\s*\(([^()]*)\)\s*(.*)", re.DOTALL)


def _split_declaration(declaration: str) -> tuple[str, str]:
    match = _DECLARATION.fullmatch(declaration.strip())
    if match is None:
        raise ValueError(f"not a declaration: {declaration}")
    return match[1], match[2]


def parse_parameters(text: str, types: Mapping[str, AbiType]) -> tuple[Parameter, ...]:
    """Parse `type [indexed] [name], …`; `types` are the enums and structs in scope."""
    parameters = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        type_name, *words = part.split()
        base = type_name.removesuffix("[]")
        found = types.get(base) or ELEMENTARY[base]
        indexed = bool(words) and words[0] == "indexed"
        name = words[-1] if words[int(indexed) :] else ""
        parameters.append(Parameter(name, array(found) if base != type_name else found, indexed))
    return tuple(parameters)


def _canonical(name: str, parameters: Sequence[Parameter]) -> str:
    return f"{name}({','.join(each.type.name for each in parameters)})"


@dataclass(frozen=True, slots=True)
class ErrorSpec:
    """A Solidity custom error. Call it with its arguments and raise the result."""

    name: str
    parameters: tuple[Parameter, ...]
    selector: bytes

    def __call__(self, *values: Any) -> Reverted:
        return Reverted(self.selector + encode_values(self.parameters, values))


def error(declaration: str, types: Mapping[str, AbiType] | None = None) -> ErrorSpec:
    name, text = _split_declaration(declaration)
    parameters = parse_parameters(text, types or {})
    return ErrorSpec(name, parameters, keccak(_canonical(name, parameters).encode())[:4])


@dataclass(frozen=True, slots=True)
class EventSpec:
    """A Solidity event; indexed parameters are one-word types."""

    name: str
    parameters: tuple[Parameter, ...]
    topic: int

    def encode(self, *values: Any) -> tuple[tuple[int, ...], bytes]:
        """Return (topics, data) for `Host.emit`; values in the order of declaration."""
        topics = [self.topic]
        plain: list[Parameter] = []
        plain_values: list[Any] = []
        for parameter, value in zip(self.parameters, values, strict=True):
            if parameter.indexed:
                topics.append(int.from_bytes(parameter.type.encode(value), "big"))
            else:
                plain.append(parameter)
                plain_values.append(value)
        return tuple(topics), encode_values(plain, plain_values)


def event(declaration: str, types: Mapping[str, AbiType] | None = None) -> EventSpec:
    name, text = _split_declaration(declaration)
    parameters = parse_parameters(text, types or {})
    return EventSpec(name, parameters, int.from_bytes(keccak(_canonical(name, parameters).encode()), "big"))


@dataclass(frozen=True, slots=True)
class FunctionSpec:
    """An external function. `mutability` is `view`, `payable` or `nonpayable`."""

    name: str
    inputs: tuple[Parameter, ...]
    outputs: tuple[Parameter, ...]
    mutability: str
    selector: bytes

    def encode_call(self, *values: Any) -> bytes:
        """Selector and arguments, as a caller would send them."""
        return self.selector + encode_values(self.inputs, values)

    def decode_arguments(self, data: bytes) -> list[Any]:
        """Read the arguments (without selector); raises AbiError."""
        values = []
        at = 0
        for each in self.inputs:
            values.append(each.type.decode(data, at))
            at += WORD
        return values

    def encode_result(self, *values: Any) -> bytes:
        return encode_values(self.outputs, values)


def function(declaration: str, types: Mapping[str, AbiType] | None = None) -> FunctionSpec:
    """Parse `name(inputs) [view|payable] [returns (outputs)]`.

    Inputs are one-word types, bytes, string or arrays of words.
    """
    match = _DECLARATION.fullmatch(declaration.strip())
    if match is None:
        raise ValueError(f"not a declaration: {declaration}")
    name, inputs_text, rest = match.groups()
    scope = types or {}
    inputs = parse_parameters(inputs_text, scope)
    outputs_text = re.search(r"returns\s*\((.*)\)", rest, re.DOTALL)
    outputs = parse_parameters(outputs_text[1], scope) if outputs_text else ()
    stated = re.match(r"(view|payable)\b", rest)
    mutability = stated[1] if stated else "nonpayable"
    return FunctionSpec(name, inputs, outputs, mutability, keccak(_canonical(name, inputs).encode())[:4])
