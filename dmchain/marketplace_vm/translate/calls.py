"""CALL, CALLCODE, DELEGATECALL and STATICCALL, as functions of generated code and of the interpreter.

They follow py-evm's `CallEIP7702` and its bases step by step, with two differences that show nowhere but in memory
and time: a call to an account without code makes no computation, and a finished child is not kept. What a child leaves
behind (logs, refunds) moves to its parent at once; py-evm keeps every child until the end of the transaction, which at
130 gas a call would be 200,000 computations in a block.
"""

from __future__ import annotations

from typing import Any

from eth.exceptions import OutOfGas, WriteProtection

from dmchain.marketplace_vm.translate.runtime import (
    ADDRESS_MASK,
    STATIC_MESSAGE,
    charge_account_access,
    grow,
)

CALL_DEPTH_LIMIT = 1024
GAS_CALL_VALUE = 9000
GAS_NEW_ACCOUNT = 25_000
GAS_CALL_STIPEND = 2300
DELEGATION_PREFIX = b"\xef\x01\x00"
DELEGATION_BYTES = 23


class CallMessage:
    """The message of a call: py-evm's Message without the checks of what only opcodes can have made."""

    __slots__ = (
        "code", "code_address", "data", "depth", "gas", "is_delegation", "is_static", "sender", "should_transfer_value",
        "storage_address", "to", "value",
    )  # fmt: skip
    is_create = False
    create_address = None
    refund = 0

    gas: int
    to: bytes
    sender: bytes
    value: int
    data: bytes
    depth: int
    code: bytes
    code_address: bytes
    storage_address: bytes
    should_transfer_value: bool
    is_static: bool
    is_delegation: bool

    @property
    def data_as_bytes(self) -> bytes:
        return self.data


def call(
    c: Any, gas_wanted: int, target: int, value: int, at: int, size: int, out: int, out_size: int, gas: int
) -> tuple[int, int]:
    """CALL. Returns (1 on success else 0, gas left), like the three that follow."""
    if value and c.msg.is_static:
        raise WriteProtection(STATIC_MESSAGE)
    gas = charge_memory(c, at, size, out, out_size, gas)
    address = (target & ADDRESS_MASK).to_bytes(20, "big")
    source, gas = load_code(c, address, gas)
    extra = 0
    if value:
        extra = GAS_CALL_VALUE
        if c.flat.account_is_empty(address):
            extra += GAS_NEW_ACCOUNT
    stipend = GAS_CALL_STIPEND if value else 0
    sent, gas = take_call_gas(gas_wanted, extra, gas)
    if not can_call(c, value):
        return 0, gas + sent + stipend
    message = new_message(c, sent + stipend, address, source, at, size)
    message.sender = c.address
    message.value = value
    message.should_transfer_value = True
    message.is_static = c.msg.is_static
    return run_call(c, message, out, out_size, gas)


def call_code(
    c: Any, gas_wanted: int, target: int, value: int, at: int, size: int, out: int, out_size: int, gas: int
) -> tuple[int, int]:
    """CALLCODE: the target's code on the caller's storage."""
    gas = charge_memory(c, at, size, out, out_size, gas)
    source, gas = load_code(c, (target & ADDRESS_MASK).to_bytes(20, "big"), gas)
    stipend = GAS_CALL_STIPEND if value else 0
    sent, gas = take_call_gas(gas_wanted, GAS_CALL_VALUE if value else 0, gas)
    if not can_call(c, value):
        return 0, gas + sent + stipend
    message = new_message(c, sent + stipend, c.address, source, at, size)
    message.sender = c.address
    message.value = value
    message.should_transfer_value = True
    message.is_static = c.msg.is_static
    return run_call(c, message, out, out_size, gas)


def delegate_call(
    c: Any, gas_wanted: int, target: int, at: int, size: int, out: int, out_size: int, gas: int
) -> tuple[int, int]:
    """DELEGATECALL: CALLCODE that keeps sender and value."""
    gas = charge_memory(c, at, size, out, out_size, gas)
    source, gas = load_code(c, (target & ADDRESS_MASK).to_bytes(20, "big"), gas)
    sent, gas = take_call_gas(gas_wanted, 0, gas)
    if not can_call(c, 0):
        return 0, gas + sent
    message = new_message(c, sent, c.address, source, at, size)
    message.sender = c.msg.sender
    message.value = c.msg.value
    message.should_transfer_value = False
    message.is_static = c.msg.is_static
    return run_call(c, message, out, out_size, gas)


def static_call(
    c: Any, gas_wanted: int, target: int, at: int, size: int, out: int, out_size: int, gas: int
) -> tuple[int, int]:
    """STATICCALL (EIP-214)."""
    gas = charge_memory(c, at, size, out, out_size, gas)
    address = (target & ADDRESS_MASK).to_bytes(20, "big")
    source, gas = load_code(c, address, gas)
    sent, gas = take_call_gas(gas_wanted, 0, gas)
    if not can_call(c, 0):
        return 0, gas + sent
    message = new_message(c, sent, address, source, at, size)
    message.sender = c.address
    message.value = 0
    message.should_transfer_value = False
    message.is_static = True
    return run_call(c, message, out, out_size, gas)


# -- the steps -----------------------------------------------------------------------------------------------------
def charge_memory(c: Any, at: int, size: int, out: int, out_size: int, gas: int) -> int:
    """Memory for the input, then for the output."""
    memory = c.memory
    if size and at + size > len(memory):
        gas = grow(memory, at + size, gas)
    if out_size and out + out_size > len(memory):
        gas = grow(memory, out + out_size, gas)
    return gas


CodeSource = tuple[bytes, bytes, bool]
"""(code, address it lies at, whether a delegation led there)."""


def load_code(c: Any, address: bytes, gas: int) -> tuple[CodeSource, int]:
    """Find the code that a call to `address` runs, following one delegation (EIP-7702). Also returns the gas left."""
    gas = charge_account_access(c, address, gas)
    code: bytes = c.flat.get_code(address)
    if len(code) != DELEGATION_BYTES or code[:3] != DELEGATION_PREFIX:
        return (code, address, False), gas
    address = code[3:]
    gas = charge_account_access(c, address, gas)
    return (c.flat.get_code(address), address, True), gas


def take_call_gas(wanted: int, extra: int, gas: int) -> tuple[int, int]:
    """Return (gas for the child, gas left) after the fee `extra`: at most 63/64 goes (EIP-150)."""
    gas -= extra
    if gas < 0:
        raise OutOfGas("call")
    most = gas - (gas >> 6)
    sent = wanted if wanted < most else most
    return sent, gas - sent


def can_call(c: Any, value: int) -> bool:
    """Whether depth and balance allow it. If not the call fails without return data, and its gas comes back."""
    if c.msg.depth >= CALL_DEPTH_LIMIT or (value and c.flat.get_balance(c.address) < value):
        c.return_data = b""
        return False
    return True


def new_message(c: Any, gas: int, storage_address: bytes, source: CodeSource, at: int, size: int) -> CallMessage:
    """The parts that all four kinds fill in the same way."""
    message = CallMessage()
    message.gas = gas
    message.to = message.storage_address = storage_address
    message.code, message.code_address, message.is_delegation = source
    message.data = bytes(c.memory[at : at + size])
    message.depth = c.msg.depth + 1
    return message


def run_call(c: Any, message: CallMessage, out: int, out_size: int, gas: int) -> tuple[int, int]:
    """Run the child, write its output to memory, take over what it leaves. Returns (success, gas left)."""
    if not message.code and message.code_address not in c._precompiles:
        touch(c.flat, message)
        c.return_data = b""
        return 1, gas + message.gas
    child = c.apply_message(c.state, message, c.transaction_context, c)
    error = child._error
    if error is None:
        output = child._output
        keep(c, child)
        gas += child._gas_meter.gas_remaining
    elif error.burns_gas:
        c.return_data = b""
        return 0, gas
    else:
        output = child.output
        gas += child._gas_meter.gas_remaining
    c.return_data = output
    if out_size and output:
        size = min(out_size, len(output))
        c.memory[out : out + size] = output[:size]
    return (1 if error is None else 0), gas


def touch(flat: Any, message: CallMessage) -> None:
    """What `apply_message` does to the state when there is no code to run."""
    target = message.storage_address
    if message.value and message.should_transfer_value:
        flat.set_balance(message.sender, flat.get_balance(message.sender) - message.value)
        flat.set_balance(target, flat.get_balance(target) + message.value)
    flat.touch_account(target)


def keep(c: Any, child: Any) -> None:
    """Take over the logs and refunds of a child that succeeded; the child itself only if it did more than that."""
    if child.children or child.accounts_to_delete or child.beneficiaries:
        c.children.append(child)
        return
    if child._log_entries:
        c._log_entries.extend(child._log_entries)
    c._gas_meter.gas_refunded += child._gas_meter.gas_refunded
