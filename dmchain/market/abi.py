"""ABIs as the package ships them: encoding calls, decoding results, events and custom errors. Bytes in, bytes out.

Structs are dicts by field name; addresses are checksummed text; bytes stay bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib.resources import files
from typing import Any

from eth_abi import decode as _decode
from eth_abi import encode as _encode
from eth_abi.exceptions import DecodingError, EncodingError
from eth_utils.address import to_checksum_address

from dmchain.chain.primitives.crypto import keccak
from dmchain.market.errors import AbiError

_ARTIFACTS = files("dmchain.marketplace_vm").joinpath("artifacts")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A declared value: `type` as in signatures, `fields` of a struct (or of each struct of an array)."""

    name: str
    type: str
    fields: tuple[Parameter, ...] = ()
    is_indexed: bool = False
    enumeration: str = ""
    """Name of the enum it is of, if it is one."""

    @classmethod
    def of(cls, item: Mapping[str, Any]) -> Parameter:
        fields = tuple(cls.of(each) for each in item.get("components", ()))
        kind: str = item["type"]
        if fields:
            kind = "(" + ",".join(each.type for each in fields) + ")" + kind.removeprefix("tuple")
        internal = item.get("internalType", "")
        enumeration = internal.rpartition(".")[2].removeprefix("enum ") if internal.startswith("enum ") else ""
        return cls(item.get("name", ""), kind, fields, bool(item.get("indexed")), enumeration)


@dataclass(frozen=True, slots=True)
class Entry:
    """A function, an event or an error."""

    contract: str
    name: str
    inputs: tuple[Parameter, ...]
    outputs: tuple[Parameter, ...] = ()
    is_view: bool = False
    notice: str = ""
    """What NatSpec says about an error."""

    @property
    def signature(self) -> str:
        return f"{self.name}({','.join(each.type for each in self.inputs)})"

    @property
    def digest(self) -> bytes:
        """An event's topic; its first four bytes are a function's or an error's selector."""
        return keccak(self.signature.encode())

    def encode(self, arguments: Sequence[Any]) -> bytes:
        """Call data. Structs are given as dicts or sequences. Raises AbiError that names the argument."""
        if len(arguments) != len(self.inputs):
            raise AbiError(f"{self.contract}.{self.signature}: got {len(arguments)} arguments")
        values = []
        for parameter, argument in zip(self.inputs, arguments, strict=True):
            try:
                value = _pack(parameter, argument)
                _encode([parameter.type], [value])
            except (EncodingError, ValueError, TypeError, KeyError, OverflowError) as error:
                shown = f"{self.contract}.{self.name}: {parameter.name}: got {argument!r}"
                raise AbiError(f"{shown}, expected {parameter.type} ({error})") from error
            values.append(value)
        encoded: bytes = _encode([each.type for each in self.inputs], values)
        return self.digest[:4] + encoded

    def decode_output(self, data: bytes) -> Any:
        """The result of a function: one value, a tuple of several, None of none. Raises AbiError."""
        values = _unpack_all(self.outputs, data, f"{self.contract}.{self.name}")
        return None if not values else values[0] if len(values) == 1 else tuple(values)

    def decode_arguments(self, data: bytes) -> dict[str, Any]:
        """The arguments of an error, by name; those without one are called by position."""
        values = _unpack_all(self.inputs, data, f"{self.contract}.{self.name}")
        return {each.name or str(at): value for at, (each, value) in enumerate(zip(self.inputs, values, strict=True))}

    def decode_log(self, topics: Sequence[bytes], data: bytes) -> dict[str, Any]:
        """The arguments of an event; indexed ones of dynamic type are known by hash only."""
        indexed = [each for each in self.inputs if each.is_indexed]
        plain = tuple(each for each in self.inputs if not each.is_indexed)
        if len(indexed) != len(topics) - 1:
            raise AbiError(f"{self.contract}.{self.name}: got {len(topics)} topics, expected {len(indexed) + 1}")
        found = dict(zip((each.name for each in plain), _unpack_all(plain, data, self.name), strict=True))
        for each, topic in zip(indexed, topics[1:], strict=True):
            is_hashed = each.type in ("string", "bytes") or each.type[-1] in ")]"
            found[each.name] = topic if is_hashed else _unpack_all((each,), topic, self.name)[0]
        return {each.name: found[each.name] for each in self.inputs}


def _pack(parameter: Parameter, value: Any) -> Any:
    if parameter.type.endswith("]") and parameter.fields:
        element = Parameter(parameter.name, parameter.type[: parameter.type.rindex("[")], parameter.fields)
        return [_pack(element, each) for each in value]
    if parameter.fields:
        parts = [value[each.name] for each in parameter.fields] if isinstance(value, Mapping) else list(value)
        return tuple(_pack(each, part) for each, part in zip(parameter.fields, parts, strict=True))
    return value


def _unpack_all(parameters: Sequence[Parameter], data: bytes, what: str) -> list[Any]:
    try:
        values = _decode([each.type for each in parameters], data)
    except (DecodingError, ValueError, OverflowError) as error:
        raise AbiError(f"{what}: the answer of {len(data)} bytes is not what the ABI says: {error}") from error
    return [_unpack(each, value) for each, value in zip(parameters, values, strict=True)]


def _unpack(parameter: Parameter, value: Any) -> Any:
    if parameter.type.endswith("]"):
        element = Parameter(parameter.name, parameter.type[: parameter.type.rindex("[")], parameter.fields)
        return [_unpack(element, each) for each in value]
    if parameter.fields:
        return {each.name: _unpack(each, part) for each, part in zip(parameter.fields, value, strict=True)}
    return to_checksum_address(value) if parameter.type == "address" else value


class Interface:
    """The ABI of one contract."""

    def __init__(self, name: str, abi: Sequence[Mapping[str, Any]], userdoc: Mapping[str, Any] | None = None) -> None:
        self.name = name
        self.abi = list(abi)
        self._error_docs: Mapping[str, Any] = (userdoc or {}).get("errors", {})

    def _entries(self, kind: str) -> Iterator[Entry]:
        for item in self.abi:
            if item["type"] == kind:
                inputs = tuple(Parameter.of(each) for each in item.get("inputs", ()))
                outputs = tuple(Parameter.of(each) for each in item.get("outputs", ()))
                is_view = item.get("stateMutability") in ("view", "pure")
                yield Entry(self.name, item["name"], inputs, outputs, is_view)

    @cached_property
    def functions(self) -> tuple[Entry, ...]:
        return tuple(self._entries("function"))

    @cached_property
    def events(self) -> dict[bytes, Entry]:
        """By topic."""
        return {each.digest: each for each in self._entries("event")}

    @cached_property
    def errors(self) -> dict[bytes, Entry]:
        """By selector."""
        found = {}
        for entry in self._entries("error"):
            docs = self._error_docs.get(entry.signature, ())
            notice = " ".join(each["notice"] for each in docs if "notice" in each)
            found[entry.digest[:4]] = replace(entry, notice=notice)
        return found

    def function(self, name: str, count: int | None = None) -> Entry:
        """A function by name or signature; `count` arguments tell overloads apart. Raises AbiError."""
        found = [each for each in self.functions if name in (each.name, each.signature)]
        if len(found) > 1 and count is not None:
            found = [each for each in found if len(each.inputs) == count]
        if len(found) != 1:
            kind = "no function" if not found else f"{len(found)} functions"
            raise AbiError(f"{self.name} has {kind} {name}" + ("" if count is None else f" of {count} arguments"))
        return found[0]


@cache
def load_interface(name: str) -> Interface:
    """The ABI of a contract of the package, `LicenseManager` or `ICidRegistry`. Raises AbiError."""
    for candidate in (name, f"I{name}"):
        artifact = _ARTIFACTS.joinpath(f"{candidate}.json")
        if artifact.is_file():
            content = json.loads(artifact.read_text())
            return Interface(name, content["abi"], content.get("userdoc"))
    raise AbiError(f"the package has no ABI of {name}")


@cache
def known_interfaces() -> tuple[Interface, ...]:
    """All ABIs of the package."""
    names = sorted(each.name.removesuffix(".json") for each in _ARTIFACTS.iterdir() if each.name.endswith(".json"))
    found = []
    for name in names:
        content = json.loads(_ARTIFACTS.joinpath(f"{name}.json").read_text())
        if isinstance(content, dict) and "abi" in content:
            found.append(Interface(name, content["abi"], content.get("userdoc")))
    return tuple(found)


@cache
def known_errors() -> dict[bytes, tuple[Entry, ...]]:
    """Every custom error of every ABI, by selector. Several contracts may declare one error; shorter names first."""
    found: dict[bytes, list[Entry]] = {}
    for interface in known_interfaces():
        for selector, entry in interface.errors.items():
            found.setdefault(selector, []).append(entry)
    return {selector: tuple(entries) for selector, entries in found.items()}


@cache
def known_events() -> dict[bytes, tuple[Entry, ...]]:
    """Every event of every ABI, by topic: ERC-20's and ERC-721's Transfer differ in what is indexed alone."""
    found: dict[bytes, list[Entry]] = {}
    for interface in known_interfaces():
        for topic, entry in interface.events.items():
            shapes = [[each.is_indexed for each in other.inputs] for other in found.get(topic, ())]
            if [each.is_indexed for each in entry.inputs] not in shapes:
                found.setdefault(topic, []).append(entry)
    return {topic: tuple(entries) for topic, entries in found.items()}
