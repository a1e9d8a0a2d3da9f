"""The validator set of an epoch: who signs, with what weight, and how much weight decides."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from dmchain.chain.primitives.crypto import keccak
from dmchain.chain.primitives.errors import DecodeError, DmchainError
from dmchain.chain.primitives.public_key import PUBLIC_KEY_BYTES, PublicKey
from dmchain.chain.primitives.types import Address, Hash32

MAX_VALIDATORS = 1024
"""Bounds a commit at 67 kB; the design is for 4 to 300 validators."""
MAX_TOTAL_POWER = 2**63 - 1
"""Fits the 64-bit fields of encodings; staking expresses power in a unit coarse enough."""

_HASH_DOMAIN = b"dmchain validator set v1"
_HASHED_ENTRY = struct.Struct(">20sQ")
_ENTRY = struct.Struct(f">{PUBLIC_KEY_BYTES}sQ")


class InvalidValidatorSet(DmchainError):
    """A validator set that consensus cannot run with."""


@dataclass(frozen=True, slots=True)
class Validator:
    """`address` is that of the consensus key (not of the operator's account); `public_key` 64 bytes, uncompressed.

    Only who checks signatures needs the public key; it may be empty in simulation.
    """

    address: Address
    power: int
    public_key: bytes = b""

    @classmethod
    def from_public_key(cls, public_key: bytes, power: int) -> Validator:
        """Derive the address; raises SignatureError when the bytes are no point of the curve."""
        return cls(PublicKey(public_key).address, power, public_key)


@dataclass(frozen=True)
class ValidatorSet:
    """Validators by ascending address; a validator's index is its place here.

    `quorum` is the least power above two thirds; `one_honest` the least above one third: any validators that heavy
    have a correct one among them, as long as less than a third are faulty.
    """

    validators: tuple[Validator, ...]

    def __post_init__(self) -> None:
        if not 0 < len(self.validators) <= MAX_VALIDATORS:
            raise InvalidValidatorSet(f"validators: expected 1 to {MAX_VALIDATORS}, got {len(self.validators)}")
        previous = b""
        for validator in self.validators:
            if len(validator.address) != 20:
                raise InvalidValidatorSet(f"address: expected 20 bytes, got {len(validator.address)}")
            if validator.address <= previous:
                raise InvalidValidatorSet(
                    f"validators: expected ascending addresses, got 0x{validator.address.hex()} after"
                    f" 0x{previous.hex()}"
                )
            previous = validator.address
            if validator.power < 1:
                raise InvalidValidatorSet(
                    f"power of 0x{validator.address.hex()}: expected 1 or more, got {validator.power}"
                )
        if self.total > MAX_TOTAL_POWER:
            raise InvalidValidatorSet(f"total power: expected at most 2**63 - 1, got {self.total}")

    @classmethod
    def from_unordered(cls, validators: Iterable[Validator]) -> ValidatorSet:
        return cls(tuple(sorted(validators, key=lambda validator: validator.address)))

    @cached_property
    def powers(self) -> tuple[int, ...]:
        return tuple([validator.power for validator in self.validators])

    @cached_property
    def total(self) -> int:
        return sum(self.powers)

    @cached_property
    def quorum(self) -> int:
        return 2 * self.total // 3 + 1

    @cached_property
    def one_honest(self) -> int:
        return (self.total - 1) // 3 + 1

    @cached_property
    def _indices(self) -> dict[Address, int]:
        return {validator.address: index for index, validator in enumerate(self.validators)}

    def index_of(self, address: Address | None) -> int | None:
        """The index of the validator with this address, None when it is not in the set."""
        return None if address is None else self._indices.get(address)

    def __len__(self) -> int:
        return len(self.validators)

    @cached_property
    def hash(self) -> Hash32:
        """keccak256(domain || count 4 || (address 20 || power 8) of each): what records and light clients refer to.

        Solidity computes it with abi.encodePacked. The address stands for the public key.
        """
        parts = [_HASH_DOMAIN, struct.pack(">I", len(self.validators))]
        parts += [_HASHED_ENTRY.pack(validator.address, validator.power) for validator in self.validators]
        return keccak(b"".join(parts))

    def encode(self) -> bytes:
        """(public key 64 || power 8) of each, in order: what a light client is sent."""
        return b"".join([_ENTRY.pack(validator.public_key, validator.power) for validator in self.validators])

    @classmethod
    def decode(cls, raw: bytes) -> ValidatorSet:
        """Raises DecodeError, SignatureError or InvalidValidatorSet."""
        if len(raw) % _ENTRY.size or len(raw) > MAX_VALIDATORS * _ENTRY.size:
            raise DecodeError(
                f"validator set: expected a multiple of {_ENTRY.size} bytes, at most"
                f" {MAX_VALIDATORS * _ENTRY.size}, got {len(raw)}"
            )
        return cls(tuple([Validator.from_public_key(key, power) for key, power in _ENTRY.iter_unpack(raw)]))
