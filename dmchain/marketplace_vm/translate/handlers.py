"""The interpreter's functions for single opcodes, made from the same table as translated code.

Errors come in py-evm's order: static gas first, then the stack, then what the opcode itself checks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from eth.exceptions import FullStack, InsufficientStack, OutOfGas

from dmchain.chain.primitives.errors import InvariantBroken
from dmchain.marketplace_vm.translate import runtime
from dmchain.marketplace_vm.translate.tables import (
    DUP1,
    GAS,
    JUMPDEST,
    MLOAD,
    MSTORE,
    MSTORE8,
    NAMESPACE,
    POP,
    RETURN,
    REVERT,
    STRUCTURAL,
    SWAP1,
    Expression,
    Helper,
    OpcodeTable,
)

STACK_LIMIT = 1024

StackFunction = Callable[[list[int]], object]
"""Changes the stack; IndexError means that it is too short. The interpreter charges the gas."""
FrameFunction = Callable[[Any, list[int], int], int]
"""(computation, stack, gas) -> gas left."""


class Handlers:
    """The functions of one rule set, by opcode. An opcode with neither is the interpreter's or py-evm's."""

    def __init__(self, table: OpcodeTable) -> None:
        if table.structural != STRUCTURAL:
            missing = sorted(STRUCTURAL - table.structural)
            raise InvariantBroken(f"opcodes {missing}: the rule set replaces what the translator must know itself")
        self.gas = table.gas
        self.opcodes = table.opcodes
        self.on_stack: list[StackFunction | None] = [None] * 256
        self.on_frame: list[FrameFunction | None] = [None] * 256
        for op, expression in table.expressions.items():
            if expression.pure:
                self.on_stack[op] = _stack_function(expression)
            else:
                self.on_frame[op] = _frame_function(expression, table.gas[op])
        for op, helper in table.helpers.items():
            self.on_frame[op] = _helper_function(helper, table.gas[op], table.opcodes[op])
        self.on_stack[POP] = list.pop
        self.on_stack[JUMPDEST] = _nothing
        for depth in range(1, 17):
            self.on_stack[DUP1 + depth - 1] = _duplicate(depth)
            self.on_stack[SWAP1 + depth - 1] = _swap(depth)
        for op, function in ((MLOAD, _mload), (MSTORE, _mstore), (MSTORE8, _mstore8), (GAS, _gas_left)):
            self.on_frame[op] = _charged(function, table.gas[op])
        self.on_frame[RETURN] = _return
        self.on_frame[REVERT] = _revert


def _define(source: str, **names: Any) -> Any:
    """The function `f` that `source` defines."""
    scope: dict[str, Any] = {}
    exec(source, {**NAMESPACE, **names}, scope)
    return scope["f"]


def _stack_function(expression: Expression) -> StackFunction:
    names = "xyz"[: expression.arity]
    text = expression.text.format(*names)
    if expression.condition:
        text = f"1 if {text} else 0"
    lines = [f"{name} = stack.pop()" for name in names[:-1]] + [f"{names[-1]} = stack[-1]", f"stack[-1] = {text}"]
    return _define("def f(stack):\n " + "\n ".join(lines))  # type: ignore[no-any-return]


def _frame_function(expression: Expression, price: int) -> FrameFunction:
    if expression.arity == 0:
        lines = ["if len(stack) >= 1024: raise FullStack('push')", f"stack.append({expression.text})"]
    else:
        lines = ["if not stack: raise InsufficientStack('pop')", f"stack[-1] = {expression.text.format('stack[-1]')}"]
    source = f"def f(c, stack, gas):\n gas -= {price}\n if gas < 0: raise OutOfGas('gas')\n "
    return _define(source + "\n ".join(lines) + "\n return gas")  # type: ignore[no-any-return]


def _helper_function(helper: Helper, price: int, opcode: Any) -> FrameFunction:
    """With too few operands py-evm's opcode runs instead: some check other things before they pop."""
    names = "abcdefghij"[: helper.arity].replace("c", "k")
    call = f"helper(c, {', '.join(names)}, gas)"
    lines = [
        f"if len(stack) < {helper.arity}: underflow(c, opcode, gas)",
        f"gas -= {price}",
        "if gas < 0: raise OutOfGas('gas')",
        *(f"{name} = stack.pop()" for name in names),
        f"result, gas = {call}\n stack.append(result)" if helper.pushes else f"gas = {call}",
        "return gas",
    ]
    source = "def f(c, stack, gas):\n " + "\n ".join(lines)
    return _define(source, helper=helper.function, opcode=opcode, underflow=_underflow)  # type: ignore[no-any-return]


def _underflow(c: Any, opcode: Any, gas: int) -> None:
    c._gas_meter.gas_remaining = gas
    opcode(c)
    raise InvariantBroken(f"{opcode.mnemonic} ran with too few operands")


def _charged(function: Callable[[Any, list[int], int], int], price: int) -> FrameFunction:
    def charged(c: Any, stack: list[int], gas: int) -> int:
        gas -= price
        if gas < 0:
            raise OutOfGas("gas")
        return function(c, stack, gas)

    return charged


def _duplicate(depth: int) -> StackFunction:
    def duplicate(stack: list[int]) -> None:
        if len(stack) >= STACK_LIMIT:
            raise FullStack("DUP")
        stack.append(stack[-depth])

    return duplicate


def _swap(depth: int) -> StackFunction:
    other = -1 - depth

    def swap(stack: list[int]) -> None:
        stack[-1], stack[other] = stack[other], stack[-1]

    return swap


def _nothing(stack: list[int]) -> None:
    pass


def _gas_left(c: Any, stack: list[int], gas: int) -> int:
    if len(stack) >= STACK_LIMIT:
        raise FullStack("GAS")
    stack.append(gas)
    return gas


def _mload(c: Any, stack: list[int], gas: int) -> int:
    if not stack:
        raise InsufficientStack("MLOAD")
    memory = c.memory
    at = stack[-1]
    if at + 32 > len(memory):
        gas = runtime.grow(memory, at + 32, gas)
    stack[-1] = int.from_bytes(memory[at : at + 32], "big")
    return gas


def _mstore(c: Any, stack: list[int], gas: int) -> int:
    if len(stack) < 2:
        raise InsufficientStack("MSTORE")
    memory = c.memory
    at = stack.pop()
    if at + 32 > len(memory):
        gas = runtime.grow(memory, at + 32, gas)
    memory[at : at + 32] = stack.pop().to_bytes(32, "big")
    return gas


def _mstore8(c: Any, stack: list[int], gas: int) -> int:
    if len(stack) < 2:
        raise InsufficientStack("MSTORE8")
    memory = c.memory
    at = stack.pop()
    if at >= len(memory):
        gas = runtime.grow(memory, at + 1, gas)
    memory[at] = stack.pop() & 255
    return gas


def _return(c: Any, stack: list[int], gas: int) -> int:
    if len(stack) < 2:
        raise InsufficientStack("RETURN")
    runtime.finish(c, stack.pop(), stack.pop(), gas)
    return c._gas_meter.gas_remaining  # type: ignore[no-any-return]


def _revert(c: Any, stack: list[int], gas: int) -> int:
    if len(stack) < 2:
        raise InsufficientStack("REVERT")
    runtime.revert(c, stack.pop(), stack.pop(), gas)
    return gas
