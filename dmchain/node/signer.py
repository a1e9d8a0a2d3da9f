"""Signing for a validator: never twice differently, also across restarts."""

from __future__ import annotations

from typing import Protocol

from dmchain.chain.consensus.messages import KIND_NAMES, Signable, SignRecord, statement
from dmchain.chain.consensus.signbytes import sign_digest
from dmchain.chain.primitives.crypto import PrivateKey
from dmchain.chain.primitives.errors import DmchainError
from dmchain.chain.primitives.types import Address, Hash32


class DoubleSignRefused(DmchainError):
    """The signer was asked for what could contradict an earlier signature."""


class SignGuard:
    """The signing rule: refuse (height, round, kind) at or below the last signed unless it is the same again.

    It repeats what the core promises by itself, on purpose: a bug in one of them is not enough to sign twice.
    """

    def __init__(self, record: SignRecord | None = None) -> None:
        """`record` is the last one of the journal; None when nothing was ever signed."""
        self._last: Signable | None = None
        if record is not None:
            for message in record.own:
                said = statement(message)
                if self._last is None or _position(said) > _position(self._last):
                    self._last = said

    def check(self, message: Signable) -> None:
        """Raises DoubleSignRefused, else remembers `message` as signed."""
        last = self._last
        if last is None or _position(message) > _position(last):
            self._last = message
        elif message.signed(b"") != last.signed(b""):
            raise DoubleSignRefused(
                f"{KIND_NAMES[message.kind]} of height {message.height}, round {message.round}: expected one after the"
                f" {KIND_NAMES[last.kind]} of height {last.height}, round {last.round}, or the same again",
                hint="is another process signing with this key, or was an old copy of the journal restored?",
            )


def _position(message: Signable) -> tuple[int, int, int]:
    return message.height, message.round, message.kind


class Signer(Protocol):
    """Where the consensus key is: in this process, or behind a socket."""

    address: Address

    def sign(self, message: Signable) -> Signable:
        """The same statement with its signature; raises DoubleSignRefused."""
        ...


class LocalSigner:
    """The key in this process."""

    def __init__(self, key: PrivateKey, domain: Hash32, record: SignRecord | None = None) -> None:
        """`domain` of the chain (signbytes.compute_domain); `record` the journal's last."""
        self.address = key.address
        self._key = key
        self._domain = domain
        self._guard = SignGuard(record)

    def sign(self, message: Signable) -> Signable:
        self._guard.check(message)
        parity, r, s = self._key.sign(sign_digest(self._domain, message))
        return message.signed(r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes((parity,)))
