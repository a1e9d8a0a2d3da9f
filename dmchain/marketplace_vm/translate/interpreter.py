"""The interpreter: runs what is not translated, counts how often positions are reached, and knows every opcode.

Several times faster than py-evm's loop, with the same results opcode by opcode, errors included. It works on the same
stack of ints as translated code, so the two hand a run over to each other at any *leader*: a JUMPDEST, the opcode after
a JUMPI not taken, the opcode after one that py-evm's object has run.
"""

from __future__ import annotations

from typing import Any

from eth.exceptions import FullStack, InsufficientStack, InvalidInstruction, OutOfGas

from dmchain.marketplace_vm.translate.generator import HALT
from dmchain.marketplace_vm.translate.handlers import STACK_LIMIT, Handlers
from dmchain.marketplace_vm.translate.program import Program
from dmchain.marketplace_vm.translate.tables import (
    JUMP,
    JUMPDEST,
    JUMPI,
    PC,
    PUSH0,
    PUSH32,
    RETURN,
    STOP,
)
from dmchain.marketplace_vm.vm import ExecutionStopped

JUMPS = (JUMPI, JUMP)


def interpret(c: Any, program: Program, handlers: Handlers, stack: list[int], position: int) -> int:
    """Run from `position` to a leader that is translated, and return where that is; HALT at the end of the run.

    The opcode at `position` is run even if it is translated: translated code comes here with what it cannot do.
    """
    meter = c._gas_meter
    gas: int = meter.gas_remaining
    code, blocks, visits, patience = program.padded, program.blocks, program.visits, program.policy.visits
    prices, on_stack, on_frame = handlers.gas, handlers.on_stack, handlers.on_frame
    stop = c.state.stop
    operations = credited = 0
    arrived = False
    while True:
        op = code[position]
        if arrived or (op == JUMPDEST and operations):
            arrived = False
            if position in blocks:
                break
            count = visits[position]
            if count < patience:
                visits[position] = count + 1
            else:
                program.credit += operations - credited
                credited = operations
                if program.visit(position) is not None:
                    break
        operations += 1
        stack_function = on_stack[op]
        if stack_function is not None:
            gas -= prices[op]
            if gas < 0:
                raise OutOfGas("gas")
            try:
                stack_function(stack)
            except IndexError:
                raise InsufficientStack(f"opcode 0x{op:x} at {position}") from None
            position += 1
        elif PUSH0 <= op <= PUSH32:
            gas -= prices[op]
            if gas < 0:
                raise OutOfGas("gas")
            if len(stack) >= STACK_LIMIT:
                raise FullStack("push")
            position += 1
            end = position + op - PUSH0
            stack.append(int.from_bytes(code[position:end], "big"))
            position = end
        elif op in JUMPS:
            gas -= prices[op]
            if gas < 0:
                raise OutOfGas("gas")
            if len(stack) < (2 if op == JUMPI else 1):
                raise InsufficientStack(f"opcode 0x{op:x} at {position}")
            target = stack.pop()
            if op == JUMP or stack.pop():
                position = program.check_jump(target)
                if stop.requested:
                    raise ExecutionStopped
            else:
                position += 1
                arrived = True
        elif (frame_function := on_frame[op]) is not None:
            gas = frame_function(c, stack, gas)
            if op == RETURN:
                position = HALT
                break
            position += 1
        elif op == STOP:
            position = HALT
            break
        elif op == PC:
            gas -= prices[op]
            if gas < 0:
                raise OutOfGas("gas")
            if len(stack) >= STACK_LIMIT:
                raise FullStack("PC")
            stack.append(position)
            position += 1
        else:
            gas = run_opcode(c, handlers, stack, position, op, gas)
            position += 1
            arrived = True
    program.credit += operations - credited
    meter.gas_remaining = gas
    return position


def run_opcode(c: Any, handlers: Handlers, stack: list[int], position: int, op: int, gas: int) -> int:
    """Run py-evm's object for `op`, and make an int of what it pushed. Returns the gas left; Halt passes through."""
    opcode = handlers.opcodes.get(op)
    if opcode is None:
        raise InvalidInstruction(f"Invalid opcode 0x{op:x} @ {position}")
    meter = c._gas_meter
    meter.gas_remaining = gas
    opcode(c)
    c.memory = c._memory._bytes
    if stack:
        pushed: int | bytes = stack[-1]
        if isinstance(pushed, bytes):
            stack[-1] = int.from_bytes(pushed, "big")
    return meter.gas_remaining  # type: ignore[no-any-return]
