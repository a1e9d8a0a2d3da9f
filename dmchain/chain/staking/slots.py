"""How the records reach storage: through a call's host (which charges gas), a block's state, or read-only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from dmchain.chain.primitives.errors import InvariantBroken
from dmchain.chain.staking import STAKING
from dmchain.chain.staking.layout import (
    PARAMETERS_SLOT,
    REWARDS_SLOT,
    STAKE_SLOT,
    SUPPLY_SLOT,
    U96,
    array_slot,
    pack_pair,
    unpack_pair,
)
from dmchain.chain.staking.parameters import StakingParameters

GetStorage = Callable[[bytes, int], int]
"""(address, slot) -> value, over one state."""


class Slots(Protocol):
    """The staking contract's storage."""

    def load(self, slot: int) -> int: ...

    def store(self, slot: int, value: int) -> None: ...


class BlockState(Protocol):
    """The state of a block under way, as hooks change it; every change is journalled below."""

    def get_storage(self, address: bytes, slot: int) -> int: ...

    def set_storage(self, address: bytes, slot: int, value: int) -> None: ...

    def get_balance(self, address: bytes) -> int: ...

    def set_balance(self, address: bytes, balance: int) -> None: ...


class StateSlots:
    """Storage and balance of the staking contract in a block under way, free of gas."""

    def __init__(self, state: BlockState) -> None:
        self._state = state

    def load(self, slot: int) -> int:
        return self._state.get_storage(STAKING, slot)

    def store(self, slot: int, value: int) -> None:
        self._state.set_storage(STAKING, slot, value)

    @property
    def balance(self) -> int:
        return self._state.get_balance(STAKING)

    def mint(self, amount: int) -> None:
        """Create coin in the contract."""
        if amount:
            self._state.set_balance(STAKING, self.balance + amount)
            add_supply(self, minted=amount)

    def burn(self, amount: int) -> None:
        """Destroy coin of the contract; raises InvariantBroken when it has less."""
        if amount:
            self._state.set_balance(STAKING, check_range(self.balance - amount, "balance"))
            add_supply(self, burned=amount)


class ReadSlots:
    """The slots in a state that nobody changes."""

    def __init__(self, get_storage: GetStorage) -> None:
        self._get_storage = get_storage

    def load(self, slot: int) -> int:
        return self._get_storage(STAKING, slot)

    def store(self, slot: int, value: int) -> None:
        raise InvariantBroken("a reader wrote storage")


def check_range(value: int, what: str, highest: int = U96) -> int:
    """Return `value`; raises InvariantBroken when it cannot be: coin was counted twice or lost."""
    if not 0 <= value <= highest:
        raise InvariantBroken(f"staking: {what} would become {value}")
    return value


# ---------------------------------------------------------------- the contract's own words


def load_parameters(slots: Slots) -> StakingParameters | None:
    """None on a chain without staking."""
    timing = slots.load(PARAMETERS_SLOT)
    if timing == 0:
        return None
    return StakingParameters.unpack(timing, slots.load(PARAMETERS_SLOT + 1), slots.load(PARAMETERS_SLOT + 2))


def load_stake(slots: Slots) -> tuple[int, int]:
    """Return (bonded, unbonding) in wei."""
    return unpack_pair(slots.load(STAKE_SLOT), 96)


def add_stake(slots: Slots, *, bonded: int = 0, unbonding: int = 0) -> None:
    """Change the totals by these amounts, which may be negative."""
    if bonded or unbonding:
        was_bonded, was_unbonding = load_stake(slots)
        now = (check_range(was_bonded + bonded, "bonded"), check_range(was_unbonding + unbonding, "unbonding"))
        slots.store(STAKE_SLOT, pack_pair(*now, 96))


def load_rewards(slots: Slots) -> int:
    """Wei owed to delegators and operators, dust included."""
    return slots.load(REWARDS_SLOT)


def add_rewards(slots: Slots, amount: int) -> None:
    if amount:
        slots.store(REWARDS_SLOT, check_range(load_rewards(slots) + amount, "rewards"))


def load_supply(slots: Slots) -> tuple[int, int]:
    """Return (minted, burned) in wei since genesis; base fees are burned elsewhere."""
    return unpack_pair(slots.load(SUPPLY_SLOT), 128)


def add_supply(slots: Slots, *, minted: int = 0, burned: int = 0) -> None:
    was_minted, was_burned = load_supply(slots)
    highest = 2**128 - 1
    now = (
        check_range(was_minted + minted, "minted", highest),
        check_range(was_burned + burned, "burned", highest),
    )
    slots.store(SUPPLY_SLOT, pack_pair(*now, 128))


# ---------------------------------------------------------------- arrays of addresses


def load_address(slots: Slots, slot: int) -> bytes:
    return slots.load(slot).to_bytes(20, "big")


def append(slots: Slots, array: int, value: int) -> int:
    """Add to the array whose length is at slot `array`; return the index."""
    length = slots.load(array)
    slots.store(array_slot(array, length), value)
    slots.store(array, length + 1)
    return length
