"""State and block overrides of calls, with geth's rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dmchain.chain.executor import BlockEnvironment
from dmchain.chain.primitives.errors import DmchainError
from dmchain.chain.primitives.types import Address
from dmchain.marketplace_vm.call_types import AccountOverride, BlockOverrides, StateOverrides
from dmchain.marketplace_vm.state import FlatState
from dmchain.marketplace_vm.vm import DmComputation


class InvalidOverride(DmchainError):
    """State overrides that contradict each other or the state."""


def override_environment(environment: BlockEnvironment, overrides: BlockOverrides | None) -> BlockEnvironment:
    if overrides is None:
        return environment
    names = ("number", "timestamp", "gas_limit", "coinbase", "prev_randao", "base_fee", "blob_base_fee")
    changes = {name: getattr(overrides, name) for name in names}
    changes = {name: value for name, value in changes.items() if value is not None}
    return replace(environment, **changes) if changes else environment


def apply_state_overrides(flat: FlatState, overrides: StateOverrides, precompiles: dict[bytes, Any]) -> None:
    """Change `flat` as asked, and `precompiles`, which is the caller's own copy.

    An override of a precompile's code or place takes the precompile away from its address, as in geth; other overrides
    leave it there (geth would not), so that a test may give CidRegistry or LicenseLedger other storage.
    Raises InvalidOverride.
    """
    moved: set[bytes] = set()
    for address, account in overrides.items():
        if address in moved:
            raise InvalidOverride(f"account 0x{address.hex()} has already been overridden by a precompile")
        target = account.move_precompile_to
        if target is not None:
            if address not in precompiles:
                raise InvalidOverride(f"account 0x{address.hex()} is not a precompile")
            if target in overrides:
                raise InvalidOverride(f"account 0x{target.hex()} is already overridden")
            precompiles[target] = precompiles[address]
            moved.add(target)
        if target is not None or account.code is not None:
            precompiles.pop(address, None)
        _override_account(flat, address, account)
    flat.orig.clear()


def _override_account(flat: FlatState, address: Address, account: AccountOverride) -> None:
    if account.nonce is not None:
        flat.set_nonce(address, account.nonce)
    if account.balance is not None:
        flat.set_balance(address, account.balance)
    if account.code is not None:
        flat.set_code(address, account.code)
    if account.storage is not None and account.storage_diff is not None:
        raise InvalidOverride(f"account 0x{address.hex()} has both 'state' and 'stateDiff'")
    if account.storage is not None:
        flat.delete_storage(address)
    for slot, value in (account.storage or account.storage_diff or {}).items():
        flat.set_storage(address, slot, value)


def with_precompiles(base: type[DmComputation], precompiles: Mapping[bytes, Any]) -> type[DmComputation]:
    """`base` with other precompiles."""
    return type(base.__name__, (base,), {"_precompiles": precompiles})
