"""Checking consensus signatures: one definition, and a cache because every vote is met several times.

A signature is 65 bytes r || s || y parity, s in the lower half. It is a validator's when ecrecover of the digest gives
the validator's address: the definition a Solidity contract uses, parity byte included. Bulk checks of commits use the
parsed public key instead (0.7 of the time), which leaves the parity byte unproven; they are for commits that are read
and thrown away, not for those that go into a block.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from dmchain.chain.consensus.messages import Signable, Vote
from dmchain.chain.consensus.signbytes import sign_digest
from dmchain.chain.consensus.validators import Validator, ValidatorSet
from dmchain.chain.primitives.crypto import recover_address
from dmchain.chain.primitives.errors import SignatureError
from dmchain.chain.primitives.public_key import SIGNATURE_BYTES, PublicKey
from dmchain.chain.primitives.types import Address, Hash32

IsSigned: TypeAlias = Callable[[Vote, ValidatorSet], bool]
"""The pure predicate the core is given: is this the vote of the validator it names?"""

CACHE_ENTRIES = 20_000
"""About two heights' votes of 300 validators, per generation; an entry is some 250 bytes."""
KEY_CACHE_ENTRIES = 4_096


class SignatureChecker:
    """Checks signatures of one chain."""

    def __init__(self, domain: Hash32) -> None:
        """`domain` as `signbytes.compute_domain` makes it."""
        self.domain = domain
        self._young: dict[bytes, Address] = {}
        self._old: dict[bytes, Address] = {}
        self._keys: dict[bytes, PublicKey] = {}

    def is_signed(self, message: Signable, validators: ValidatorSet) -> bool:
        """Whether the validator that `message` names in `validators` has signed it."""
        if not 0 <= message.validator < len(validators):
            return False
        signer = self.recover(message)
        return signer is not None and signer == validators.validators[message.validator].address

    def recover(self, message: Signable) -> Address | None:
        """Who has signed `message`; None when nobody can have."""
        signature = message.signature
        if len(signature) != SIGNATURE_BYTES:
            return None
        digest = sign_digest(self.domain, message)
        key = digest + signature
        signer = self._young.get(key) or self._old.get(key)
        if signer is not None:
            return signer
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
        try:
            signer = recover_address(digest, signature[64], r, s)
        except SignatureError:
            return None
        if len(self._young) >= CACHE_ENTRIES:
            self._old, self._young = self._young, {}
        self._young[key] = signer
        return signer

    def is_signed_by_key(self, message: Signable, validator: Validator) -> bool:
        """Whether `validator` (whose public key must be there) has signed `message`, but for the parity byte."""
        key = self._keys.get(validator.public_key)
        if key is None:
            key = PublicKey(validator.public_key)
            if len(self._keys) >= KEY_CACHE_ENTRIES:
                self._keys.clear()
            self._keys[validator.public_key] = key
        return key.verify(sign_digest(self.domain, message), message.signature)
