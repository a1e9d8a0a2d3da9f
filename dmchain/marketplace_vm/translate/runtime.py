"""What generated code and the interpreter call: memory, hashing, storage, logs, copies.

Every function here does what py-evm's opcode of the same purpose does, with three conventions: operands come as ints
in the order the opcode pops them, gas comes last and is returned (last), and the opcode's static gas is already paid.
`c` is the computation; `bind` has put `address`, `flat` and `memory` on it.

An error other than OutOfGas comes before or after the charge as in py-evm: which of two errors a program dies of does
not change the chain, but error messages show it.
"""

from __future__ import annotations

from typing import Any

from eth.exceptions import (
    InvalidInstruction,
    InvalidJumpDestination,
    OutOfBoundsRead,
    OutOfGas,
    Revert,
    WriteProtection,
)
from gmpy2 import powmod

from dmchain.chain.primitives.crypto import keccak
from dmchain.marketplace_vm.state import MISSING

MAX = 2**256 - 1
SIGN = 2**255
CEILING = 2**256
ADDRESS_MASK = 2**160 - 1

MAX_MEMORY_BYTES = 2**32
"""35 * 10**12 gas."""

GAS_WARM_ACCESS = 100
GAS_COLD_ACCOUNT = 2600
GAS_COLD_SLOT = 2100
"""EIP-2929."""
GAS_STORAGE_SET = 20_000
GAS_STORAGE_RESET = 2900
STORAGE_STIPEND = 2300
REFUND_STORAGE_CLEAR = 4800
REFUND_STORAGE_UNSET = GAS_STORAGE_SET - GAS_WARM_ACCESS
REFUND_STORAGE_RESTORE = GAS_STORAGE_RESET - GAS_WARM_ACCESS
"""EIP-2200 with the figures of EIP-2929 and EIP-3529."""
GAS_EXPONENT_BYTE = 50
GAS_KECCAK_WORD = 6
GAS_COPY_WORD = 3
GAS_LOG_BYTE = 8
GAS_LOG_TOPIC = 375

STATIC_MESSAGE = "Cannot modify state while inside of a STATICCALL context"


def bind(c: Any) -> None:
    """Put on a fresh computation what the functions of this module read."""
    c.address = c.msg.storage_address
    c.flat = c.state.flat
    c.memory = c._memory._bytes


# -- memory --------------------------------------------------------------------------------------------------------
def grow(memory: bytearray, end: int, gas: int) -> int:
    """Extend the memory to hold byte `end - 1`, which it does not. Returns the gas left; raises OutOfGas.

    A memory of w words costs 3 w + w² / 512 in total. Nothing holds a view of a memory, so it grows in place. Above
    MAX_MEMORY_BYTES the price is beyond any block, but not beyond what a caller of `eth_call` may offer.
    """
    words, have = (end + 31) >> 5, len(memory) >> 5
    gas -= 3 * (words - have) + (words * words >> 9) - (have * have >> 9)
    if gas < 0 or end > MAX_MEMORY_BYTES:
        raise OutOfGas("memory")
    memory.extend(bytes((words - have) << 5))
    return gas


def copy_memory(c: Any, target: int, source: int, size: int, gas: int) -> int:
    """MCOPY (EIP-5656)."""
    if size:
        memory = c.memory
        end = max(target, source) + size
        if end > len(memory):
            gas = grow(memory, end, gas)
        gas -= GAS_COPY_WORD * ((size + 31) >> 5)
        if gas < 0:
            raise OutOfGas("MCOPY")
        memory[target : target + size] = memory[source : source + size]
    return gas


def copy_padded(c: Any, data: bytes, target: int, source: int, size: int, gas: int) -> int:
    """Copy from `data`, which zeros follow, into memory."""
    if size:
        memory = c.memory
        if target + size > len(memory):
            gas = grow(memory, target + size, gas)
        gas -= GAS_COPY_WORD * ((size + 31) >> 5)
        if gas < 0:
            raise OutOfGas("copy")
        memory[target : target + size] = data[source : source + size].ljust(size, b"\0")
    return gas


def copy_calldata(c: Any, target: int, source: int, size: int, gas: int) -> int:
    return copy_padded(c, c.msg.data, target, source, size, gas)


def copy_code(c: Any, target: int, source: int, size: int, gas: int) -> int:
    return copy_padded(c, c.msg.code, target, source, size, gas)


def copy_account_code(c: Any, account: int, target: int, source: int, size: int, gas: int) -> int:
    """EXTCODECOPY."""
    address = (account & ADDRESS_MASK).to_bytes(20, "big")
    gas = charge_account_access(c, address, gas)
    return copy_padded(c, c.flat.get_code(address), target, source, size, gas)


def copy_return_data(c: Any, target: int, source: int, size: int, gas: int) -> int:
    """RETURNDATACOPY (EIP-211): reading past the end is an error."""
    if source + size > len(c.return_data):
        raise OutOfBoundsRead(f"return data: bytes up to {source + size} asked for, there are {len(c.return_data)}")
    return copy_padded(c, c.return_data, target, source, size, gas)


def calldata_word(c: Any, at: int) -> int:
    word = c.msg.data[at : at + 32]
    if len(word) == 32:
        return int.from_bytes(word, "big")
    return int.from_bytes(word, "big") << (8 * (32 - len(word)))


# -- hashing -------------------------------------------------------------------------------------------------------
MAX_REMEMBERED_HASHES = 50_000
_PAIRS: dict[tuple[int, int], int] = {}
"""Hashes of two words: the keys of Solidity's mappings, and the same ones come back."""


def hash_pair(first: int, second: int) -> int:
    """Keccak-256 of two words, as an int."""
    pair = (first, second)
    known = _PAIRS.get(pair)
    if known is None:
        if len(_PAIRS) >= MAX_REMEMBERED_HASHES:
            _PAIRS.clear()
        data = first.to_bytes(32, "big") + second.to_bytes(32, "big")
        known = _PAIRS[pair] = int.from_bytes(keccak(data), "big")
    return known


def keccak_memory(c: Any, at: int, size: int, gas: int) -> tuple[int, int]:
    """KECCAK256, as an int."""
    memory = c.memory
    if size and at + size > len(memory):
        gas = grow(memory, at + size, gas)
    gas -= GAS_KECCAK_WORD * ((size + 31) >> 5)
    if gas < 0:
        raise OutOfGas("KECCAK256")
    data = bytes(memory[at : at + size])
    if size == 64:
        return hash_pair(int.from_bytes(data[:32], "big"), int.from_bytes(data[32:], "big")), gas
    return int.from_bytes(keccak(data), "big"), gas


# -- arithmetic ----------------------------------------------------------------------------------------------------
def signed_divide(a: int, b: int) -> int:
    if b == 0:
        return 0
    a = a - CEILING if a >= SIGN else a
    b = b - CEILING if b >= SIGN else b
    quotient = abs(a) // abs(b)
    return (quotient if (a < 0) == (b < 0) else -quotient) & MAX


def signed_modulo(a: int, b: int) -> int:
    """The result has the sign of `a`."""
    if b == 0:
        return 0
    a = a - CEILING if a >= SIGN else a
    b = b - CEILING if b >= SIGN else b
    rest = abs(a) % abs(b)
    return (-rest if a < 0 else rest) & MAX


def sign_extend(byte: int, value: int) -> int:
    """Repeat the sign bit of the `byte`-th lowest byte upwards."""
    if byte > 31:
        return value
    sign = 1 << (byte * 8 + 7)
    return value | (CEILING - sign) if value & sign else value & (sign - 1)


def arithmetic_shift_right(shift: int, value: int) -> int:
    if value >= SIGN:
        return ((value - CEILING) >> min(shift, 256)) & MAX
    return value >> min(shift, 256)


def exponentiate(c: Any, base: int, exponent: int, gas: int) -> tuple[int, int]:
    """EXP: 50 gas per byte of the exponent (EIP-160)."""
    gas -= GAS_EXPONENT_BYTE * ((exponent.bit_length() + 7) >> 3)
    if gas < 0:
        raise OutOfGas("EXP")
    if exponent < 256:
        return pow(base, exponent, CEILING), gas
    # ten times faster than Python's for a long exponent
    return int(powmod(base, exponent, CEILING)), gas


# -- accounts and the transaction ----------------------------------------------------------------------------------
def charge_account_access(c: Any, address: bytes, gas: int) -> int:
    """EIP-2929: 2600 for the first access of a transaction, 100 afterwards."""
    flat = c.flat
    warm = flat.warm
    if address in warm or address in c._precompiles:
        gas -= GAS_WARM_ACCESS
    else:
        flat.journal.append((warm, address, MISSING))
        warm[address] = True
        gas -= GAS_COLD_ACCOUNT
    if gas < 0:
        raise OutOfGas("account access")
    return gas


def balance(c: Any, target: int, gas: int) -> tuple[int, int]:
    address = (target & ADDRESS_MASK).to_bytes(20, "big")
    gas = charge_account_access(c, address, gas)
    return c.flat.get_balance(address), gas


def code_size(c: Any, target: int, gas: int) -> tuple[int, int]:
    address = (target & ADDRESS_MASK).to_bytes(20, "big")
    gas = charge_account_access(c, address, gas)
    return len(c.flat.get_code(address)), gas


def code_hash(c: Any, target: int, gas: int) -> tuple[int, int]:
    """EXTCODEHASH (EIP-1052): 0 for an account that does not exist or is empty."""
    address = (target & ADDRESS_MASK).to_bytes(20, "big")
    gas = charge_account_access(c, address, gas)
    if c.flat.account_is_empty(address):
        return 0, gas
    return int.from_bytes(c.flat.get_code_hash(address), "big"), gas


def blob_hash(c: Any, index: int) -> int:
    hashes = c.transaction_context.blob_versioned_hashes
    return int.from_bytes(hashes[index], "big") if index < len(hashes) else 0


# -- storage -------------------------------------------------------------------------------------------------------
def load_storage(c: Any, slot: int, gas: int) -> tuple[int, int]:
    """SLOAD (EIP-2929)."""
    flat = c.flat
    key = (c.address, slot)
    warm = flat.warm
    if key in warm:
        gas -= GAS_WARM_ACCESS
    else:
        flat.journal.append((warm, key, MISSING))
        warm[key] = True
        gas -= GAS_COLD_SLOT
    if gas < 0:
        raise OutOfGas("SLOAD")
    value = flat.sto.get(key)
    if value is None:
        value = flat.get_storage(c.address, slot)
    return value, gas


def storage_price(original: int, current: int, value: int) -> tuple[int, int]:
    """(gas, refund) of changing a warm slot from `current` to `value`; `original` is its value before the transaction.

    EIP-2200's table. The refund may be negative.
    """
    if current == value:
        return GAS_WARM_ACCESS, 0
    if original == current:
        if original == 0:
            return GAS_STORAGE_SET, 0
        return GAS_STORAGE_RESET, REFUND_STORAGE_CLEAR if value == 0 else 0
    refund = 0
    if original != 0:
        if current == 0:
            refund -= REFUND_STORAGE_CLEAR
        if value == 0:
            refund += REFUND_STORAGE_CLEAR
    if original == value:
        refund += REFUND_STORAGE_UNSET if original == 0 else REFUND_STORAGE_RESTORE
    return GAS_WARM_ACCESS, refund


def store_storage(c: Any, slot: int, value: int, gas: int) -> int:
    """SSTORE (EIP-2200, EIP-2929, EIP-3529)."""
    if c.msg.is_static:
        raise WriteProtection(STATIC_MESSAGE)
    if gas <= STORAGE_STIPEND:
        raise OutOfGas("SSTORE never runs on the stipend of a transfer (EIP-2200)")
    flat = c.flat
    address = c.address
    key = (address, slot)
    current = flat.sto.get(key)
    if current is None:
        current = flat.get_storage(address, slot)
    cost, refund = storage_price(flat.orig.get(key, current), current, value)
    if key not in flat.warm:
        flat.journal.append((flat.warm, key, MISSING))
        flat.warm[key] = True
        cost += GAS_COLD_SLOT
    gas -= cost
    if gas < 0:
        raise OutOfGas("SSTORE")
    if refund:
        c._gas_meter.gas_refunded += refund
    if current != value:
        flat.set_storage(address, slot, value)
    return gas


def load_transient(c: Any, slot: int, gas: int) -> tuple[int, int]:
    """TLOAD (EIP-1153). The value is kept as bytes, as py-evm's opcode pushes it."""
    return int.from_bytes(c.flat.get_transient(c.address, slot), "big"), gas


def store_transient(c: Any, slot: int, value: int, gas: int) -> int:
    """TSTORE (EIP-1153)."""
    if c.msg.is_static:
        raise WriteProtection(STATIC_MESSAGE)
    c.flat.set_transient(c.address, slot, value.to_bytes((value.bit_length() + 7) >> 3 or 1, "big"))
    return gas


# -- logs and ends -------------------------------------------------------------------------------------------------
def log(c: Any, at: int, size: int, *topics_and_gas: int) -> int:
    """LOG0 to LOG4."""
    *topics, gas = topics_and_gas
    if c.msg.is_static:
        raise WriteProtection(STATIC_MESSAGE)
    gas -= GAS_LOG_BYTE * size + GAS_LOG_TOPIC * len(topics)
    if gas < 0:
        raise OutOfGas("LOG")
    memory = c.memory
    if size and at + size > len(memory):
        gas = grow(memory, at + size, gas)
    data = bytes(memory[at : at + size])
    c._log_entries.append((c.transaction_context.get_next_log_counter(), c.address, tuple(topics), data))
    return gas


def finish(c: Any, at: int, size: int, gas: int) -> None:
    """Set the output of RETURN and the gas that is left."""
    memory = c.memory
    if size and at + size > len(memory):
        gas = grow(memory, at + size, gas)
    c._output = bytes(memory[at : at + size])
    c._gas_meter.gas_remaining = gas


def revert(c: Any, at: int, size: int, gas: int) -> None:
    finish(c, at, size, gas)
    raise Revert(c._output)


def reject_jump(code: bytes, target: int) -> int:
    """Raise what py-evm raises: a JUMPDEST inside push data is another error than no JUMPDEST."""
    if target < len(code) and code[target] == 0x5B:
        raise InvalidInstruction("Jump resulted in invalid instruction")
    raise InvalidJumpDestination("Invalid Jump Destination")
