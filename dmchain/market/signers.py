"""Who signs: a key in this process, or an account that the node of a devnet keeps unlocked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_utils.address import is_address, to_checksum_address

from dmchain.market.answers import BadAnswer, data
from dmchain.market.errors import InvalidInput
from dmchain.market.steps import Request, Steps

SIGNATURE_BYTES = 65
HASH_BYTES = 32
MAX_KEYSTORE_BYTES = 64 * 1024


class Signer(Protocol):
    """What sends transactions. Implement it for a hardware wallet or a remote signer."""

    def resolve(self) -> Steps[str]:
        """The checksummed address; may ask the node once."""
        ...

    def submit(self, transaction: Mapping[str, Any]) -> Steps[str]:
        """Sign and send; returns the hash. `transaction` has eth-account's fields. Raises RpcFailure."""
        ...

    def sign_typed(self, document: Mapping[str, Any]) -> Steps[bytes]:
        """Sign EIP-712 data: 65 bytes r, s, v. `document` as in eth_signTypedData_v4."""
        ...


@dataclass(frozen=True, slots=True)
class LocalSigner:
    """A key in this process; it never leaves it."""

    account: LocalAccount = field(repr=False)

    @property
    def address(self) -> str:
        return str(self.account.address)

    def resolve(self) -> Steps[str]:
        yield from ()
        return self.address

    def submit(self, transaction: Mapping[str, Any]) -> Steps[str]:
        signed = self.account.sign_transaction(dict(transaction))
        yield Request("eth_sendRawTransaction", ("0x" + bytes(signed.raw_transaction).hex(),))
        return "0x" + bytes(signed.hash).hex()  # what was signed, whatever the node says it took

    def sign_typed(self, document: Mapping[str, Any]) -> Steps[bytes]:
        yield from ()
        return bytes(self.account.sign_typed_data(full_message=dict(document)).signature)


@dataclass(slots=True)
class UnlockedSigner:
    """An account of the node, which signs: on development networks only. By address, or by its place in eth_accounts."""

    which: str | int = 0
    _address: str | None = None

    def resolve(self) -> Steps[str]:
        if self._address is None:
            accounts = yield Request("eth_accounts")
            if not isinstance(accounts, list) or not all(is_address(each) for each in accounts):
                raise BadAnswer("eth_accounts", accounts, "a list of addresses")
            self._address = _choose(self.which, accounts)
        return self._address

    def submit(self, transaction: Mapping[str, Any]) -> Steps[str]:
        hidden = ("chainId", "type")
        fields = {
            name: hex(value) if isinstance(value, int) else value
            for name, value in transaction.items()
            if name not in hidden
        }
        sent = yield Request("eth_sendTransaction", (fields,))
        return "0x" + data(sent, "eth_sendTransaction", HASH_BYTES).hex()

    def sign_typed(self, document: Mapping[str, Any]) -> Steps[bytes]:
        address = yield from self.resolve()
        signature = yield Request("eth_signTypedData_v4", (address, json.dumps(document, default=_as_hex)))
        return data(signature, "eth_signTypedData_v4", SIGNATURE_BYTES)


def _as_hex(value: Any) -> str:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    raise TypeError(f"got {type(value).__name__}")


def _choose(which: str | int, accounts: list[str]) -> str:
    if isinstance(which, str):
        if which.lower() not in (each.lower() for each in accounts):
            raise InvalidInput(f"signer: {which} is not one of the node's {len(accounts)} unlocked accounts")
        return str(to_checksum_address(which))
    if not 0 <= which < len(accounts):
        raise InvalidInput(
            f"signer: got account {which}, expected one of the node's {len(accounts)} unlocked accounts",
            hint="only a devnet has unlocked accounts; sign with keystore(path, password) elsewhere",
        )
    return str(to_checksum_address(accounts[which]))


SignerLike: TypeAlias = Signer | LocalAccount


def as_signer(signer: SignerLike | None) -> Signer | None:
    """Accept eth-account's accounts as they are."""
    return LocalSigner(signer) if isinstance(signer, LocalAccount) else signer


def private_key(secret: str | bytes) -> LocalSigner:
    """Sign with a private key of 32 bytes (or 64 hex digits). Raises InvalidInput, without the key in the message."""
    try:
        return LocalSigner(Account.from_key(secret))
    except Exception:
        raise InvalidInput("private key: expected 32 bytes, or 64 hex digits") from None


def keystore(path: str | Path, password: str) -> LocalSigner:
    """Sign with the key of a keystore file (version 3). Raises InvalidInput."""
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror or error}") from None
    if len(raw) > MAX_KEYSTORE_BYTES:
        raise InvalidInput(f"{path}: {len(raw)} bytes are too many for a keystore file")
    try:
        secret = Account.decrypt(json.loads(raw), password)
    except (ValueError, TypeError, KeyError) as error:
        wrong = "MAC" in str(error)
        reason = "the password is wrong" if wrong else f"not a keystore file: {error}"
        raise InvalidInput(f"{path}: {reason}") from None
    return LocalSigner(Account.from_key(secret))


def unlocked(which: str | int = 0) -> UnlockedSigner:
    """Let the node of a devnet sign: the account of this address, or at this place in eth_accounts."""
    if isinstance(which, str) and not is_address(which):
        raise InvalidInput(f"signer: got {which!r}, expected an address or a number")
    return UnlockedSigner(which)
