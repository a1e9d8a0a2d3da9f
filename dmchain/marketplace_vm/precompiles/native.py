"""Binds the native precompiles to py-evm: `PRECOMPILES` joins the `_precompiles` of a computation class.

What can happen, and what the EVM sees:

| in the handler                                  | in the EVM                                                     |
|-------------------------------------------------|----------------------------------------------------------------|
| returns                                         | success with that output                                       |
| raises Reverted                                 | REVERT with that data: state undone, unused gas returned       |
| runs out of gas, or writes under STATICCALL     | exceptional halt: state undone, all gas consumed               |
| any other exception: a bug                      | exceptional halt, the same on every node, logged as an error   |
| the state below fails (disk, memory, invariant) | not the EVM's business: the exception passes and stops the node|

DELEGATECALL and CALLCODE would run on the caller's account and are reverted with DirectCallOnly. An account delegated
to a precompile (EIP-7702) runs nothing and succeeds, as the EIP says of precompiles.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from eth.abc import ComputationAPI
from eth.exceptions import OutOfGas, Revert, VMError, WriteProtection

from dmchain.chain.primitives.errors import InvariantBroken
from dmchain.marketplace_vm.precompiles import cid_registry, gas, license_ledger, staking
from dmchain.marketplace_vm.precompiles.dispatch import DIRECT_CALL_ONLY, NativeContract
from dmchain.marketplace_vm.precompiles.genesis import GENESIS_ACCOUNTS, GenesisAccount, make_genesis_accounts
from dmchain.marketplace_vm.precompiles.host import (
    Reverted,
    compute_log_gas,
    compute_payment_gas,
    compute_sstore_gas,
)

__all__ = [
    "CONTRACTS",
    "GENESIS_ACCOUNTS",
    "PRECOMPILES",
    "GenesisAccount",
    "NativeHalt",
    "bind",
    "make_genesis_accounts",
]

logger = logging.getLogger("dmchain.marketplace_vm.precompiles")


class NativeHalt(VMError):
    """A handler raised what it must not: the call fails and consumes all its gas, on every node alike."""


class ComputationHost:
    """`Host` over one py-evm computation. Every change goes through the journalled state, so reverts undo it."""

    __slots__ = ("_computation", "_consume_gas", "_state", "address", "caller", "is_static", "state_failed", "value")

    def __init__(self, computation: Any, address: bytes) -> None:
        message = computation.msg
        self._computation = computation
        self._consume_gas: Callable[[int, str], None] = computation.consume_gas
        self._state = computation.state
        self.address = address
        self.caller: bytes = message.sender
        self.value: int = message.value
        self.is_static: bool = message.is_static
        self.state_failed = False
        """The state below raised: not the handler's doing, and perhaps not the same on every node."""

    @property
    def timestamp(self) -> int:
        timestamp: int = self._state.timestamp
        return timestamp

    @property
    def block_number(self) -> int:
        number: int = self._state.block_number
        return number

    @property
    def chain_id(self) -> int:
        chain_id: int = self._state.execution_context.chain_id
        return chain_id

    def charge(self, amount: int) -> None:
        self._consume_gas(amount, "native precompile")

    def load(self, slot: int, account: bytes | None = None) -> int:
        address = account or self.address
        state = self._state
        try:
            is_cold = not state.is_storage_warm(address, slot)
        except BaseException:
            self.state_failed = True
            raise
        self._consume_gas(gas.COLD_SLOAD if is_cold else gas.WARM_READ, "native SLOAD")
        try:
            if is_cold:
                state.mark_storage_warm(address, slot)
            value: int = state.get_storage(address, slot)
        except BaseException:
            self.state_failed = True
            raise
        return value

    def store(self, slot: int, value: int) -> None:
        if self.is_static:
            raise WriteProtection("a native precompile wrote storage under STATICCALL")
        if self._computation.get_gas_remaining() <= gas.SSTORE_STIPEND:
            raise OutOfGas("SSTORE needs more than the call stipend (EIP-2200)")
        address = self.address
        state = self._state
        try:
            is_cold = not state.is_storage_warm(address, slot)
            current = state.get_storage(address, slot)
            original = state.get_storage(address, slot, from_journal=False)
        except BaseException:
            self.state_failed = True
            raise
        cost, refund = compute_sstore_gas(original, current, value, is_cold)
        self._consume_gas(cost, "native SSTORE")
        if refund:
            self._computation.refund_gas(refund)
        try:
            if is_cold:
                state.mark_storage_warm(address, slot)
            state.set_storage(address, slot, value)
        except BaseException:
            self.state_failed = True
            raise

    def emit(self, topics: tuple[int, ...], data: bytes) -> None:
        if self.is_static:
            raise WriteProtection("a native precompile wrote a log under STATICCALL")
        self._consume_gas(compute_log_gas(len(topics), len(data)), "native LOG")
        self._computation.add_log_entry(self.address, topics, data)

    def pay(self, recipient: bytes, amount: int) -> None:
        if self.is_static:
            raise WriteProtection("a native precompile sent coin under STATICCALL")
        if amount == 0:
            return
        state = self._state
        try:
            is_cold = not state.is_address_warm(recipient)
            is_empty = state.account_is_empty(recipient)
        except BaseException:
            self.state_failed = True
            raise
        self._consume_gas(compute_payment_gas(is_cold, is_empty), "native payment")
        try:
            if is_cold:
                state.mark_address_warm(recipient)
            self._take(amount)
            state.set_balance(recipient, state.get_balance(recipient) + amount)
        except BaseException:
            self.state_failed = True
            raise

    def burn(self, amount: int) -> None:
        if self.is_static:
            raise WriteProtection("a native precompile burned coin under STATICCALL")
        if amount == 0:
            return
        self._consume_gas(gas.BURN, "native burning")
        try:
            self._take(amount)
        except BaseException:
            self.state_failed = True
            raise

    def _take(self, amount: int) -> None:
        balance = self._state.get_balance(self.address)
        if balance < amount:
            raise InvariantBroken(f"0x{self.address.hex()} has {balance} wei and would spend {amount}")
        self._state.set_balance(self.address, balance - amount)


def bind(contract: NativeContract) -> Callable[[ComputationAPI], ComputationAPI]:
    """Return the function that py-evm calls with a computation addressed to `contract`."""

    def run(computation: Any) -> ComputationAPI:
        message = computation.msg
        if message.is_delegation:
            return computation
        host = ComputationHost(computation, contract.address)
        try:
            if message.storage_address != contract.address:
                host.charge(gas.ENTRY)
                raise DIRECT_CALL_ONLY()
            computation.output = contract.run(host, message.data)
        except Reverted as reverted:
            computation.output = reverted.data
            raise Revert(reverted.data) from None
        except (VMError, InvariantBroken, MemoryError, RecursionError):
            raise
        except Exception as bug:
            if host.state_failed:
                raise
            logger.exception("%s: bug in a native precompile, calldata %s", contract.name, bytes(message.data).hex())
            raise NativeHalt(f"{contract.name}: {type(bug).__name__}") from bug
        return computation

    return run


CONTRACTS: Final = (cid_registry.CONTRACT, license_ledger.CONTRACT, staking.CONTRACT)

PRECOMPILES: Final[dict[bytes, Callable[[ComputationAPI], ComputationAPI]]] = {
    contract.address: bind(contract) for contract in CONTRACTS
}
"""Address -> precompile, for `_precompiles` of a computation class: these addresses are warm then (EIP-2929)."""
