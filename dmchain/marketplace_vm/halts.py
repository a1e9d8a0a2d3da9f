"""Why a frame ended, in geth's words: client libraries, explorers and people look for these texts.

py-evm's exceptions say what went wrong with its own objects, and most map one to one. How many items were on a stack
that had too few is lost by the time an exception arrives; `run_checked` looks before each opcode. Blocks never run that
way: only traces, and the second run of a call that failed for this reason, which `Explainer` gives up if it is long.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import Any

from eth.exceptions import (
    ContractCreationCollision,
    FullStack,
    Halt,
    InsufficientFunds,
    InsufficientStack,
    InvalidInstruction,
    InvalidJumpDestination,
    OutOfBoundsRead,
    OutOfGas,
    ReservedBytesInCode,
    Revert,
    StackDepthLimit,
    WriteProtection,
)
from eth.vm.forks.spurious_dragon.constants import EIP170_CODE_SIZE_LIMIT

from dmchain.marketplace_vm.vm import STOP_INTERVAL, ExecutionStopped

REVERTED = "execution reverted"
OUT_OF_GAS = "out of gas"
STACK_LIMIT = 1024

_REASONS: dict[type[Exception], str] = {
    Revert: REVERTED,
    InvalidJumpDestination: "invalid jump destination",
    WriteProtection: "write protection",
    OutOfBoundsRead: "return data out of bounds",
    ReservedBytesInCode: "invalid code: must not begin with 0xef",
    InsufficientFunds: "insufficient balance for transfer",
    StackDepthLimit: "max call depth exceeded",
    ContractCreationCollision: "contract address collision",
}
_OUT_OF_GAS_REASONS = (
    # part of py-evm's text, geth's text
    ("Write contract code", "contract creation code storage out of gas"),
    ("EIP170", f"max code size exceeded: limit {EIP170_CODE_SIZE_LIMIT}"),
    ("EIP-3860", "out of gas: max initcode size exceeded"),
)
_OPCODE_IN_TEXT = re.compile("opcode 0x([0-9a-f]+)", re.IGNORECASE)
EXPLAINED_OPCODES = 100_000
"""A second run goes this far: about 50 ms."""


class HaltReason:
    """Mixed into what `run_checked` raises: the text is geth's already."""


class StackUnderflow(HaltReason, InsufficientStack):
    def __init__(self, size: int, needed: int) -> None:
        super().__init__(f"stack underflow ({size} <=> {needed})")


class StackOverflow(HaltReason, FullStack):
    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"stack limit reached {size} ({limit})")


class UnknownOpcode(HaltReason, InvalidInstruction):
    def __init__(self, opcode: int) -> None:
        super().__init__(name_opcode(opcode))


def name_opcode(opcode: int) -> str:
    name = "INVALID" if opcode == 0xFE else f"opcode {opcode:#x} not defined"
    return f"invalid opcode: {name}"


def needs_a_look(error: Exception) -> bool:
    """Whether only a second run, with an `Explainer`, can tell the reason."""
    return isinstance(error, InsufficientStack) and not isinstance(error, HaltReason)


def halt_reason(error: Exception) -> str:
    """geth's text for py-evm's exception."""
    if isinstance(error, HaltReason):
        return str(error)
    reason = _REASONS.get(type(error))
    if reason is not None:
        return reason
    text = str(error)
    if isinstance(error, OutOfGas):
        for part, known in _OUT_OF_GAS_REASONS:
            if part in text:
                return known
        return OUT_OF_GAS
    if isinstance(error, InvalidInstruction):
        opcode = _OPCODE_IN_TEXT.search(text)
        return name_opcode(int(opcode[1], 16)) if opcode else "invalid jump destination"
    if isinstance(error, InsufficientStack):
        return "stack underflow"
    if isinstance(error, FullStack):
        # whatever pushes one item more than it takes
        return str(StackOverflow(STACK_LIMIT, STACK_LIMIT - 1))
    return text or type(error).__name__


def _stack_effects() -> dict[int, tuple[int, int]]:
    """Opcode -> (items it takes, items it leaves)."""
    effects: dict[int, tuple[int, int]] = {0x00: (0, 0), 0x20: (2, 1), 0x5B: (0, 0), 0x5E: (3, 0)}
    effects |= dict.fromkeys((*range(0x01, 0x08), *range(0x0A, 0x0C), *range(0x10, 0x15), *range(0x16, 0x19)), (2, 1))
    effects |= dict.fromkeys((*range(0x1A, 0x1E),), (2, 1))
    effects |= dict.fromkeys((0x08, 0x09), (3, 1))
    effects |= dict.fromkeys((0x15, 0x19, 0x1E, 0x31, 0x35, 0x3B, 0x3F, 0x40, 0x49, 0x51, 0x54, 0x5C), (1, 1))
    effects |= dict.fromkeys((0x30, 0x32, 0x33, 0x34, 0x36, 0x38, 0x3A, 0x3D, *range(0x41, 0x49), 0x4A), (0, 1))
    effects |= dict.fromkeys((0x58, 0x59, 0x5A, *range(0x5F, 0x80)), (0, 1))
    effects |= dict.fromkeys((0x37, 0x39, 0x3E), (3, 0)) | {0x3C: (4, 0)}
    effects |= dict.fromkeys((0x50, 0x56, 0xFF), (1, 0))
    effects |= dict.fromkeys((0x52, 0x53, 0x55, 0x57, 0x5D, 0xF3, 0xFD), (2, 0))
    effects |= {0x80 + n: (n + 1, n + 2) for n in range(16)}
    effects |= {0x90 + n: (n + 2, n + 2) for n in range(16)}
    effects |= {0xA0 + n: (n + 2, 0) for n in range(5)}
    effects |= {0xF0: (3, 1), 0xF1: (7, 1), 0xF2: (7, 1), 0xF4: (6, 1), 0xF5: (4, 1), 0xFA: (6, 1)}
    return effects


STACK_EFFECTS = _stack_effects()


def check_stack(opcode: int, size: int) -> None:
    """Raise what geth would before an opcode that it knows: too few items, or too many after it."""
    takes, leaves = STACK_EFFECTS.get(opcode, (0, 0))
    if size < takes:
        raise StackUnderflow(size, takes)
    limit = STACK_LIMIT + takes - leaves
    if size > limit:
        raise StackOverflow(size, limit)


def run_checked(computation: Any) -> None:
    """`vm.run_plain`, raising StackUnderflow, StackOverflow and UnknownOpcode."""
    opcodes = computation.opcodes
    values = computation._stack.values
    stop = computation.state.stop
    stream = iter(computation.code)
    try:
        while True:
            for opcode in islice(stream, STOP_INTERVAL):
                function = opcodes.get(opcode)
                if function is None:
                    raise UnknownOpcode(opcode)
                check_stack(opcode, len(values))
                function(computation)
            if stop.requested:
                raise ExecutionStopped
    except Halt:
        return


class RunTooLong(Exception):
    """An Explainer has seen enough."""


class Explainer:
    """A tracer that runs frames with the checks of `run_checked`, for at most EXPLAINED_OPCODES in all."""

    def __init__(self) -> None:
        self._left = EXPLAINED_OPCODES

    def enter(self, computation: Any) -> None:
        # a frame costs as much as some opcodes, and a precompile perhaps as much as its gas lets it
        message = computation.msg
        self._left -= message.gas // 100 if message.code_address in computation._precompiles else 100
        if self._left < 0:
            raise RunTooLong

    def leave(self, computation: Any) -> None:
        pass

    def run(self, computation: Any) -> None:
        opcodes = computation.opcodes
        values = computation._stack.values
        try:
            for opcode in computation.code:
                self._left -= 1
                if self._left < 0:
                    raise RunTooLong
                function = opcodes.get(opcode)
                if function is None:
                    raise UnknownOpcode(opcode)
                check_stack(opcode, len(values))
                function(computation)
        except Halt:
            return
