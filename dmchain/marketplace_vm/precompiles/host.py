"""What a native precompile may ask of the machine below it, and the same machine in memory for tests.

A handler sees a `Host` and nothing else, so that one file runs on plain py-evm, on the flat state and under translated
code with identical gas, output, logs and storage (native.py binds it). A handler ends in three ways: it returns, raises
`Reverted` with the data that Solidity's `catch` sees, or the host raises because gas ran out or the call is static.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NoReturn, Protocol

from dmchain.chain.primitives.block import Log
from dmchain.chain.primitives.errors import InvariantBroken
from dmchain.chain.primitives.types import Address, Hash32
from dmchain.marketplace_vm.precompiles import gas


class Reverted(Exception):
    """The call is undone, unused gas is returned, `data` is its output."""

    def __init__(self, data: bytes = b"") -> None:
        super().__init__(data.hex())
        self.data = data


class Host(Protocol):
    """One call of a precompile.

    Every method charges its gas before it works. `charge`, `load`, `store`, `emit`, `pay` and `burn` raise the machine's
    out-of-gas error; all that write raise its write-protection error when `is_static`. Handlers let those pass.
    """

    @property
    def address(self) -> bytes:
        """The precompile's own account: 20 bytes."""

    @property
    def caller(self) -> bytes:
        """msg.sender: 20 bytes."""

    @property
    def value(self) -> int:
        """Wei sent with the call."""

    @property
    def chain_id(self) -> int: ...

    @property
    def is_static(self) -> bool: ...

    @property
    def timestamp(self) -> int:
        """The block's time, in seconds."""

    @property
    def block_number(self) -> int: ...

    def charge(self, amount: int) -> None:
        """Consume `amount` gas."""

    def load(self, slot: int, account: bytes | None = None) -> int:
        """Read a slot of this precompile, or of another account (EIP-2929: 2100 gas the first time, then 100)."""

    def store(self, slot: int, value: int) -> None:
        """Write a slot of this precompile, with the gas and refunds of SSTORE (EIP-2200, 2929, 3529)."""

    def emit(self, topics: tuple[int, ...], data: bytes) -> None:
        """Append a log of this precompile, with the gas of LOGn."""

    def pay(self, recipient: bytes, amount: int) -> None:
        """Move `amount` wei of the precompile's to another account, without calling it; nothing for 0.

        It costs what a CALL with value costs but for the stipend, which nobody can use. Raises InvariantBroken when the
        precompile has less.
        """

    def burn(self, amount: int) -> None:
        """Destroy `amount` wei of the precompile's; nothing for 0. Raises InvariantBroken when it has less."""


def compute_sstore_gas(original: int, current: int, new: int, is_cold: bool) -> tuple[int, int]:
    """Return (gas, change of the refund counter) of an SSTORE (EIP-2200 with the numbers of EIP-2929 and EIP-3529).

    `original` is the value when the transaction began.
    """
    cost = gas.COLD_SLOAD if is_cold else 0
    if current == new:
        return cost + gas.WARM_READ, 0
    if original == current:
        if original == 0:
            return cost + gas.SSTORE_SET, 0
        return cost + gas.SSTORE_RESET, 0 if new else gas.SSTORE_CLEARS_REFUND
    refund = 0
    if original != 0:
        if current == 0:
            refund -= gas.SSTORE_CLEARS_REFUND
        if new == 0:
            refund += gas.SSTORE_CLEARS_REFUND
    if original == new:
        refund += (gas.SSTORE_SET if original == 0 else gas.SSTORE_RESET) - gas.WARM_READ
    return cost + gas.WARM_READ, refund


def compute_payment_gas(is_cold: bool, is_empty: bool) -> int:
    """Gas for sending coin to an account (EIP-150, 161, 2929), which is `is_empty` when it has no nonce, coin or code."""
    cost = gas.COLD_ACCOUNT if is_cold else gas.WARM_READ
    return cost + gas.PAYMENT + (gas.NEW_ACCOUNT if is_empty else 0)


def compute_log_gas(topics: int, size_bytes: int) -> int:
    return gas.LOG + gas.LOG_TOPIC * topics + gas.LOG_BYTE * size_bytes


class MemoryHalt(Exception):
    """MemoryHost: the call fails and consumes all its gas (out of gas, or a write under STATICCALL)."""


@dataclass(slots=True)
class MemoryState:
    """Storage, logs and block context that `MemoryHost` works on: one transaction at a time.

    `original` and `warm` are what EIP-2200 and EIP-2929 know of the running transaction.
    """

    storage: dict[tuple[bytes, int], int] = field(default_factory=dict)
    balances: dict[bytes, int] = field(default_factory=dict)
    logs: list[Log] = field(default_factory=list)
    timestamp: int = 1_700_000_000
    block_number: int = 1
    chain_id: int = 1337
    original: dict[tuple[bytes, int], int] = field(default_factory=dict)
    warm: set[tuple[bytes, int]] = field(default_factory=set)
    warm_accounts: set[bytes] = field(default_factory=set)

    def begin_transaction(self) -> None:
        self.original.clear()
        self.warm.clear()
        self.warm_accounts.clear()
        self.logs.clear()

    def get_storage(self, address: bytes, slot: int) -> int:
        return self.storage.get((address, slot), 0)

    def set_storage(self, address: bytes, slot: int, value: int) -> None:
        self.storage[(address, slot)] = value

    def get_balance(self, address: bytes) -> int:
        return self.balances.get(address, 0)

    def set_balance(self, address: bytes, balance: int) -> None:
        if balance < 0:
            raise InvariantBroken(f"balance of 0x{address.hex()} would become {balance}")
        self.balances[address] = balance


class MemoryHost:
    """A `Host` over dicts. Its caller moves `value` before, and undoes `state` when the call fails.

    An account is empty when it has no coin. Caller and precompile are warm.
    """

    def __init__(
        self,
        state: MemoryState,
        address: bytes,
        caller: bytes,
        *,
        gas_limit: int = 30_000_000,
        value: int = 0,
        is_static: bool = False,
    ) -> None:
        self._state = state
        self.address = address
        self.caller = caller
        self.value = value
        self.is_static = is_static
        self.gas_left = gas_limit
        self.refund = 0

    @property
    def timestamp(self) -> int:
        return self._state.timestamp

    @property
    def block_number(self) -> int:
        return self._state.block_number

    @property
    def chain_id(self) -> int:
        return self._state.chain_id

    def charge(self, amount: int) -> None:
        if amount < 0:
            raise ValueError(f"gas: expected 0 or more, got {amount}")
        if amount > self.gas_left:
            self._halt(f"out of gas: {amount} needed, {self.gas_left} left")
        self.gas_left -= amount

    def load(self, slot: int, account: bytes | None = None) -> int:
        key = (account or self.address, slot)
        self.charge(gas.COLD_SLOAD if self._make_warm(key) else gas.WARM_READ)
        return self._state.storage.get(key, 0)

    def store(self, slot: int, value: int) -> None:
        if self.is_static:
            self._halt("write under STATICCALL")
        if self.gas_left <= gas.SSTORE_STIPEND:
            self._halt("SSTORE needs more than the call stipend (EIP-2200)")
        key = (self.address, slot)
        current = self._state.storage.get(key, 0)
        original = self._state.original.get(key, current)
        cost, refund = compute_sstore_gas(original, current, value, self._make_warm(key))
        self.charge(cost)
        self.refund += refund
        self._state.original.setdefault(key, current)
        self._state.storage[key] = value

    def emit(self, topics: tuple[int, ...], data: bytes) -> None:
        if self.is_static:
            self._halt("log under STATICCALL")
        self.charge(compute_log_gas(len(topics), len(data)))
        words = tuple(Hash32(topic.to_bytes(32, "big")) for topic in topics)
        self._state.logs.append(Log(Address(self.address), words, data))

    def pay(self, recipient: bytes, amount: int) -> None:
        if self.is_static:
            self._halt("payment under STATICCALL")
        if amount == 0:
            return
        state = self._state
        is_cold = recipient not in (self.caller, self.address) and recipient not in state.warm_accounts
        self.charge(compute_payment_gas(is_cold, state.get_balance(recipient) == 0))
        state.warm_accounts.add(recipient)
        state.set_balance(self.address, state.get_balance(self.address) - amount)
        state.set_balance(recipient, state.get_balance(recipient) + amount)

    def burn(self, amount: int) -> None:
        if self.is_static:
            self._halt("burning under STATICCALL")
        if amount:
            self.charge(gas.BURN)
            self._state.set_balance(self.address, self._state.get_balance(self.address) - amount)

    def _make_warm(self, key: tuple[bytes, int]) -> bool:
        if key in self._state.warm:
            return False
        self._state.warm.add(key)
        return True

    def _halt(self, reason: str) -> NoReturn:
        raise MemoryHalt(reason)
