"""What a call is given and what it gives back.

The inputs are Protocols: whoever asks (JSON-RPC, tests) has dataclasses of its own with these fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from dmchain.chain.primitives.block import Log
from dmchain.chain.primitives.transaction import AccessList, Authorization
from dmchain.chain.primitives.types import Address, Hash32


class CallMessage(Protocol):
    """What is run. `to` is b"" for a creation; gas None: as much as the cap, or the sender's means, allow.

    Fees in wei per gas; both None or 0: no fee is charged. `nonce` only decides the address of a creation.
    """

    @property
    def sender(self) -> Address: ...
    @property
    def to(self) -> bytes: ...
    @property
    def data(self) -> bytes: ...
    @property
    def value(self) -> int: ...
    @property
    def gas(self) -> int | None: ...
    @property
    def max_fee_per_gas(self) -> int | None: ...
    @property
    def max_priority_fee_per_gas(self) -> int | None: ...
    @property
    def nonce(self) -> int | None: ...
    @property
    def access_list(self) -> AccessList: ...
    @property
    def authorization_list(self) -> tuple[Authorization, ...]: ...
    @property
    def blob_versioned_hashes(self) -> tuple[bytes, ...]: ...
    @property
    def max_fee_per_blob_gas(self) -> int | None: ...


class AccountOverride(Protocol):
    """New values of one account; None leaves what is there. `storage` replaces all slots, `storage_diff` some."""

    @property
    def nonce(self) -> int | None: ...
    @property
    def balance(self) -> int | None: ...
    @property
    def code(self) -> bytes | None: ...
    @property
    def storage(self) -> Mapping[int, int] | None: ...
    @property
    def storage_diff(self) -> Mapping[int, int] | None: ...
    @property
    def move_precompile_to(self) -> Address | None: ...


StateOverrides = Mapping[Address, AccountOverride]


class BlockOverrides(Protocol):
    """New values of the block environment; None leaves what is there."""

    @property
    def number(self) -> int | None: ...
    @property
    def timestamp(self) -> int | None: ...
    @property
    def gas_limit(self) -> int | None: ...
    @property
    def coinbase(self) -> Address | None: ...
    @property
    def prev_randao(self) -> Hash32 | None: ...
    @property
    def base_fee(self) -> int | None: ...
    @property
    def blob_base_fee(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class CallResult:
    """What a call did; `error` None means success, else it is geth's text.

    `revert_data` is None unless the call ended in REVERT. `gas_used` is net of `gas_refunded`: their sum is the least
    gas limit that could have been enough.
    """

    output: bytes
    gas_used: int
    error: str | None = None
    revert_data: bytes | None = None
    logs: tuple[Log, ...] = ()
    gas_refunded: int = 0
    contract_address: Address | None = None


@dataclass(frozen=True, slots=True)
class AccessListResult:
    """What a call touches besides sender, recipient, coinbase and precompiles; gas as used with that list."""

    access_list: AccessList
    gas_used: int
    error: str | None = None
