"""What can fail, as exceptions that say what was got and what was expected, and what to do next.

Each custom error of each contract is a class of this module, by name: `except errors.OfferClosed as error` has its
arguments in `error.arguments`. All of them are `Reverted`, all of this module are `MarketError`.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from dmchain.chain.primitives.errors import DmchainError

_ERROR_STRING = bytes.fromhex("08c379a0")
_PANIC = bytes.fromhex("4e487b71")
_PANICS = {
    0x01: "an assertion does not hold",
    0x11: "arithmetic overflow or underflow",
    0x12: "division by zero",
    0x21: "a value outside its enum",
    0x22: "storage that is not encoded as it should be",
    0x31: "pop of an empty array",
    0x32: "an index out of bounds",
    0x41: "too much memory",
    0x51: "a call of a function that was never set",
}
_LATEST_SHOWN_TIME = 2**38
"""A number of seconds larger than this is no time a person means (after the year 10000)."""
_EARLIEST_SHOWN_TIME = 10**9
_TIME_TYPES = frozenset({"uint40", "uint48", "uint64"})
"""What the contracts keep times in; money is wider, and counts of this size do not happen."""


def printable(text: str) -> str:
    """Text from outside as it may be shown: what would move a terminal's cursor or turn the writing around is escaped."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


class MarketError(DmchainError):
    """Base of everything the SDK raises on purpose."""


class ConnectionFailed(MarketError):
    """The node was not reached, or what answered is no node."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(
            f"{where}: {printable(reason)}", hint="is the node running? `dmchain devnet` starts one for development"
        )
        self.where = where


class RpcFailure(MarketError):
    """The node answered with an error; `code` and `data` are JSON-RPC's, `data` bytes if it is hex."""

    def __init__(self, method: str, problem: Any) -> None:
        fields = problem if isinstance(problem, dict) else {"message": problem}
        self.method = method
        self.code: int | None = fields.get("code")
        self.reason = printable(str(fields.get("message")))
        self.data = _bytes_of(fields.get("data"))
        super().__init__(f"{method}: {self.reason}")


class WrongNetwork(MarketError):
    """The node is of another chain than expected."""


class NotDeployed(MarketError):
    """There is no such contract on this chain."""


class InvalidInput(MarketError):
    """A value given to an operation cannot be meant."""


class AbiError(MarketError):
    """A value does not fit the type a contract declares, or the answer of a contract is not what its ABI says."""


class NoSigner(MarketError):
    """The operation sends a transaction, and the market was opened without a key."""

    hint = "give Market(url, signer=…): keystore(path, password), private_key(secret) or unlocked(index)"


class InsufficientFunds(MarketError):
    """An account has less than the operation takes."""


class FeeTooHigh(MarketError):
    """The node suggests fees that nobody means to pay."""


class NotFound(MarketError):
    """There is no such thing on the chain."""


class TransactionError(MarketError):
    """About one transaction; `transaction_hash` is 0x and 64 digits."""

    def __init__(self, message: str, transaction_hash: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.transaction_hash = transaction_hash


class TransactionTimeout(TransactionError):
    """The transaction was in no block in time. It may still be."""


class TransactionDropped(TransactionError):
    """Another transaction of the account took the nonce."""


class TransactionFailed(TransactionError):
    """The transaction is in a block and did nothing, for a reason that cannot be found out any more."""


class Reverted(MarketError):
    """A contract refused. `name` is its error's, `arguments` by name, `data` the raw bytes.

    `transaction_hash` is None when it refused before anything was sent, as it mostly is.
    """

    def __init__(
        self,
        name: str,
        arguments: Mapping[str, Any],
        data: bytes,
        *,
        message: str,
        hint: str | None = None,
        transaction_hash: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.name = name
        self.arguments = dict(arguments)
        self.data = data
        self.transaction_hash = transaction_hash


_classes: dict[str, type[Reverted]] = {}


def reverted_class(name: str) -> type[Reverted]:
    """The exception class of the custom errors of this name."""
    if name not in _classes:
        _classes[name] = type(name, (Reverted,), {"__module__": __name__, "__doc__": f"A contract's error {name}."})
    return _classes[name]


def __getattr__(name: str) -> type[Reverted]:
    if not name.startswith("_"):
        from dmchain.market.abi import known_errors

        if any(each.name == name for found in known_errors().values() for each in found):
            return reverted_class(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}: no contract has such an error")


def decode_revert(
    data: bytes, *, names: Mapping[str, str] | None = None, transaction_hash: str | None = None
) -> Reverted:
    """The exception for the bytes a contract reverted with; unknown ones are shown as they are.

    `names`: contracts' names by checksummed address, for the message.
    """
    from dmchain.market.abi import known_errors
    from dmchain.market.hints import explain

    for entry in known_errors().get(data[:4], ()):
        try:
            arguments = entry.decode_arguments(data[4:])
        except AbiError:
            continue
        shown = ", ".join(
            f"{name} {_show_enum(parameter.enumeration, value) or show_argument(value, parameter.type, names or {})}"
            for (name, value), parameter in zip(arguments.items(), entry.inputs, strict=True)
        )
        explanation = explain(entry)
        message = f"{entry.name}: {explanation.text}" if explanation.text else f"{entry.name}"
        return reverted_class(entry.name)(
            entry.name,
            arguments,
            data,
            message=f"{message} ({shown})" if shown else message,
            hint=explanation.hint,
            transaction_hash=transaction_hash,
        )
    name, text = _decode_standard(data)
    return Reverted(name, {}, data, message=text, transaction_hash=transaction_hash)


def _decode_standard(data: bytes) -> tuple[str, str]:
    if not data:
        return "", "the contract refused without saying why"
    if data[:4] == _ERROR_STRING and len(data) >= 68:
        size = int.from_bytes(data[36:68], "big")
        return "Error", "the contract refused: " + printable(data[68 : 68 + min(size, 1024)].decode("utf-8", "replace"))
    if data[:4] == _PANIC and len(data) == 36:
        code = int.from_bytes(data[4:], "big")
        return "Panic", f"the contract stopped: {_PANICS.get(code, f'panic {code:#x}')}"
    return "0x" + data[:4].hex(), f"the contract refused with an error of no known contract: 0x{data[:132].hex()}"


def _show_enum(name: str, value: Any) -> str:
    """The name of an enum's member, as the models call it; nothing for other values."""
    from dmchain.market import enums

    members = getattr(enums, name, None) if name else None
    if members is None or value not in set(members):
        return ""
    return str(members(value).name).lower().replace("_", "-")


def show_argument(value: Any, kind: str, names: Mapping[str, str]) -> str:
    """An argument as a person reads it: contracts by name, times as dates, bytes as hex. `kind`: its Solidity type."""
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return names.get(value) or printable(value)
    if isinstance(value, int) and kind in _TIME_TYPES and _EARLIEST_SHOWN_TIME <= value < _LATEST_SHOWN_TIME:
        return f"{datetime.datetime.fromtimestamp(value, datetime.UTC):%Y-%m-%d %H:%M:%S} UTC"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} {show_argument(each, '', names)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(show_argument(each, kind.partition("[")[0], names) for each in value) + "]"
    return str(value)


def _bytes_of(data: Any) -> bytes | None:
    if isinstance(data, dict):
        data = data.get("data")
    if not isinstance(data, str) or not data.startswith("0x"):
        return None
    try:
        return bytes.fromhex(data[2:])
    except ValueError:
        return None
