"""ABI values as tests like them: structs by field name, addresses as lower-case text, events and errors decoded."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Any

from eth_abi import decode as abi_decode
from eth_abi import encode as abi_encode

from dmchain.chain.primitives.block import Log
from dmchain.chain.primitives.crypto import PrivateKey, keccak

Abi = list[dict[str, Any]]


class Account(str):
    """An address, as 0x and 40 lower-case digits, with its private key."""

    key: PrivateKey

    def __new__(cls, key: PrivateKey) -> Account:
        self = super().__new__(cls, "0x" + key.address.hex())
        self.key = key
        return self

    def sign(self, digest: bytes) -> tuple[int, bytes, bytes]:
        """(v, r, s) over a 32-byte digest, as `permit` takes them."""
        y_parity, r, s = self.key.sign(digest)
        return 27 + y_parity, r.to_bytes(32, "big"), s.to_bytes(32, "big")


@cache
def _tuple_class(names: tuple[str, ...]) -> Any:
    return namedtuple("Struct", [name or f"_{index}" for index, name in enumerate(names)], rename=True)


def type_of(parameter: Mapping[str, Any]) -> str:
    """The type in a signature: a struct is written as its parts."""
    kind: str = parameter["type"]
    if kind.startswith("tuple"):
        return "(" + ",".join(type_of(each) for each in parameter["components"]) + ")" + kind[5:]
    return kind


def signature_of(item: Mapping[str, Any]) -> str:
    return item["name"] + "(" + ",".join(type_of(each) for each in item.get("inputs", ())) + ")"


def selector_of(item: Mapping[str, Any]) -> bytes:
    return keccak(signature_of(item).encode())[:4]


def to_plain(value: Any) -> Any:
    """Bytes of an address, text of a contract, wei of an integer: what eth_abi takes for one value without structs."""
    address = getattr(value, "address", None)
    if isinstance(address, str):
        return address
    if isinstance(value, str) and value.startswith("0x"):
        return str(value)
    return value


def _prepare(parameter: Mapping[str, Any], value: Any) -> Any:
    kind: str = parameter["type"]
    if kind.endswith("]"):
        inner = {**parameter, "type": kind[: kind.rindex("[")]}
        return [_prepare(inner, each) for each in value]
    if kind == "tuple":
        components = parameter["components"]
        if is_dataclass(value) and not isinstance(value, type):
            value = {each.name: getattr(value, each.name) for each in fields(value)}
        if isinstance(value, Mapping):
            names = [each["name"] for each in components]
            wrong = set(value) ^ set(names)
            assert not wrong, f"{parameter.get('internalType', 'struct')} has the fields {names}, not {sorted(wrong)}"
            value = [value[name] for name in names]
        return tuple([_prepare(part, each) for part, each in zip(components, value, strict=True)])
    if kind == "bytes32" and isinstance(value, str):
        return bytes.fromhex(value.removeprefix("0x")) if value.startswith("0x") else value.encode().ljust(32, b"\0")
    if kind.startswith("bytes") and isinstance(value, str):
        return bytes.fromhex(value.removeprefix("0x"))
    if kind == "address" and isinstance(value, bytes):
        return "0x" + value.hex()
    return to_plain(value)


def _restore(parameter: Mapping[str, Any], value: Any) -> Any:
    kind: str = parameter["type"]
    if kind.endswith("]"):
        inner = {**parameter, "type": kind[: kind.rindex("[")]}
        return [_restore(inner, each) for each in value]
    if kind == "tuple":
        components = parameter["components"]
        parts = [_restore(part, each) for part, each in zip(components, value, strict=True)]
        return _tuple_class(tuple([each["name"] for each in components]))(*parts)
    return value


def encode_arguments(parameters: Sequence[Mapping[str, Any]], values: Sequence[Any]) -> bytes:
    """Structs may be given as mappings, dataclasses or sequences; addresses as text, bytes, accounts or contracts."""
    assert len(parameters) == len(values), (
        f"{len(values)} arguments, expected {len(parameters)}: {', '.join(each['name'] or '_' for each in parameters)}"
    )
    prepared = [_prepare(parameter, value) for parameter, value in zip(parameters, values, strict=True)]
    return abi_encode([type_of(each) for each in parameters], prepared)


def decode_arguments(parameters: Sequence[Mapping[str, Any]], data: bytes) -> list[Any]:
    values = abi_decode([type_of(each) for each in parameters], data)
    return [_restore(parameter, value) for parameter, value in zip(parameters, values, strict=True)]


def decode_result(parameters: Sequence[Mapping[str, Any]], data: bytes) -> Any:
    """None, the one value, or a named tuple of several."""
    values = decode_arguments(parameters, data)
    if len(values) <= 1:
        return values[0] if values else None
    return _tuple_class(tuple([each["name"] for each in parameters]))(*values)


@dataclass(frozen=True)
class Event:
    """A decoded log: `event.amount` is the argument called amount."""

    name: str
    address: str
    arguments: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.arguments[name]
        except KeyError:
            raise AttributeError(f"{self.name} has {sorted(self.arguments)}, not {name}") from None


BUILT_IN_ERRORS: Abi = [
    {"type": "error", "name": "Error", "inputs": [{"name": "message", "type": "string"}]},
    {"type": "error", "name": "Panic", "inputs": [{"name": "code", "type": "uint256"}]},
]


class Dictionary:
    """Events and errors of every contract seen, by topic and selector."""

    def __init__(self) -> None:
        self._events: dict[tuple[bytes, int], dict[str, Any]] = {}
        self._errors: dict[bytes, dict[str, Any]] = {}
        self.learn(BUILT_IN_ERRORS)

    def learn(self, abi: Iterable[dict[str, Any]]) -> None:
        for item in abi:
            if item["type"] == "event":
                indexed = sum(each["indexed"] for each in item["inputs"])
                self._events[keccak(signature_of(item).encode()), indexed] = item
            elif item["type"] == "error":
                self._errors[selector_of(item)] = item

    def event(self, log: Log) -> Event:
        address = "0x" + log.address.hex()
        item = self._events.get((log.topics[0], len(log.topics) - 1)) if log.topics else None
        if item is None:
            return Event("unknown", address, {"topics": log.topics, "data": log.data})
        plain = [each for each in item["inputs"] if not each["indexed"]]
        values = dict(zip([each["name"] for each in plain], decode_arguments(plain, log.data), strict=True))
        topics = iter(log.topics[1:])
        arguments: dict[str, Any] = {}
        for each in item["inputs"]:
            if not each["indexed"]:
                arguments[each["name"]] = values[each["name"]]
            elif each["type"] in ("string", "bytes") or each["type"].endswith("]") or each["type"] == "tuple":
                arguments[each["name"]] = next(topics)  # only its hash is in the log
            else:
                arguments[each["name"]] = decode_arguments([each], next(topics))[0]
        return Event(item["name"], address, arguments)

    def error(self, data: bytes) -> tuple[str, dict[str, Any]]:
        """(name, arguments) of revert data; an empty name for what nobody knows."""
        item = self._errors.get(data[:4])
        if item is None:
            return "", {}
        values = decode_arguments(item["inputs"], data[4:])
        names = [each["name"] or str(index) for index, each in enumerate(item["inputs"])]
        return item["name"], dict(zip(names, values, strict=True))
