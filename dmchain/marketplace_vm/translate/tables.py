"""What each opcode is to the translator, taken from the opcode objects of one rule set.

An opcode is inlined only when the rule set uses the very object the inline form was written from, Prague's, so that a
fork that replaces an opcode is honoured without a change here: the new object is called instead.

| group         | how it runs                                              | gas              | may fail with   |
|---------------|----------------------------------------------------------|------------------|-----------------|
| `EXPRESSIONS` | a Python expression of its operands and the computation  | static           | nothing         |
| `HELPERS`     | a function of `runtime` that takes and returns gas       | static + dynamic | OutOfGas        |
| ... `barrier` | the same, or of `calls`; what follows is charged later   | static + dynamic | any error       |
| structural    | stack, memory, jumps, ends: written out in both tiers    | static + memory  | see `generator` |
| all others    | py-evm's opcode object, called by the interpreter        | its own          | any error       |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from eth.exceptions import FullStack, InsufficientStack
from eth.vm.forks.prague.opcodes import PRAGUE_OPCODES

from dmchain.marketplace_vm.translate import calls, runtime
from dmchain.marketplace_vm.vm import ExecutionStopped

STOP, ISZERO, CLZ, KECCAK256 = 0x00, 0x15, 0x1E, 0x20
POP, MLOAD, MSTORE, MSTORE8 = 0x50, 0x51, 0x52, 0x53
JUMP, JUMPI, PC, GAS, JUMPDEST = 0x56, 0x57, 0x58, 0x5A, 0x5B
PUSH0, PUSH1, PUSH32 = 0x5F, 0x60, 0x7F
DUP1, DUP16, SWAP1, SWAP16 = 0x80, 0x8F, 0x90, 0x9F
RETURN, REVERT = 0xF3, 0xFD

GAS_COUNT_LEADING_ZEROS = 5
"""EIP-7939."""


@dataclass(frozen=True, slots=True)
class Expression:
    """`text` gives the result from operands `{0}` (top of the stack), `{1}`, `{2}` and the computation `c`.

    `condition`: the text is true or false instead of 1 or 0. `pure`: it depends on nothing but the operands.
    """

    arity: int
    text: str
    condition: bool = False
    pure: bool = True


@dataclass(frozen=True, slots=True)
class Helper:
    """`function(c, *operands, gas)` returns `(result, gas)`, or `gas` alone where the opcode pushes nothing."""

    arity: int
    function: Callable[..., Any]
    pushes: bool
    barrier: bool = False
    writes_memory: bool = False


EXPRESSIONS: Mapping[int, Expression] = {
    0x01: Expression(2, "({0} + {1}) & MAX"),
    0x02: Expression(2, "({0} * {1}) & MAX"),
    0x03: Expression(2, "({0} - {1}) & MAX"),
    0x04: Expression(2, "{0} // {1} if {1} else 0"),
    0x05: Expression(2, "signed_divide({0}, {1})"),
    0x06: Expression(2, "{0} % {1} if {1} else 0"),
    0x07: Expression(2, "signed_modulo({0}, {1})"),
    0x08: Expression(3, "({0} + {1}) % {2} if {2} else 0"),
    0x09: Expression(3, "({0} * {1}) % {2} if {2} else 0"),
    0x0B: Expression(2, "sign_extend({0}, {1})"),
    0x10: Expression(2, "{0} < {1}", condition=True),
    0x11: Expression(2, "{0} > {1}", condition=True),
    0x12: Expression(2, "({0} ^ SIGN) < ({1} ^ SIGN)", condition=True),
    0x13: Expression(2, "({0} ^ SIGN) > ({1} ^ SIGN)", condition=True),
    0x14: Expression(2, "{0} == {1}", condition=True),
    0x15: Expression(1, "{0} == 0", condition=True),
    0x16: Expression(2, "{0} & {1}"),
    0x17: Expression(2, "{0} | {1}"),
    0x18: Expression(2, "{0} ^ {1}"),
    0x19: Expression(1, "{0} ^ MAX"),
    0x1A: Expression(2, "{1} >> (248 - 8 * {0}) & 255 if {0} < 32 else 0"),
    0x1B: Expression(2, "{1} << {0} & MAX if {0} < 256 else 0"),
    0x1C: Expression(2, "{1} >> {0} if {0} < 256 else 0"),
    0x1D: Expression(2, "arithmetic_shift_right({0}, {1})"),
    0x1E: Expression(1, "256 - {0}.bit_length()"),
    0x30: Expression(0, "to_int(c.address, 'big')", pure=False),
    0x32: Expression(0, "to_int(c.transaction_context.origin, 'big')", pure=False),
    0x33: Expression(0, "to_int(c.msg.sender, 'big')", pure=False),
    0x34: Expression(0, "c.msg.value", pure=False),
    0x35: Expression(1, "calldata_word(c, {0})", pure=False),
    0x36: Expression(0, "len(c.msg.data)", pure=False),
    0x38: Expression(0, "len(c.msg.code)", pure=False),
    0x3A: Expression(0, "c.transaction_context.gas_price", pure=False),
    0x3D: Expression(0, "len(c.return_data)", pure=False),
    0x40: Expression(1, "to_int(c.state.get_ancestor_hash({0}), 'big')", pure=False),
    0x41: Expression(0, "to_int(c.state.coinbase, 'big')", pure=False),
    0x42: Expression(0, "c.state.timestamp", pure=False),
    0x43: Expression(0, "c.state.block_number", pure=False),
    0x44: Expression(0, "to_int(c.state.mix_hash, 'big')", pure=False),
    0x45: Expression(0, "c.state.gas_limit", pure=False),
    0x46: Expression(0, "c.state.execution_context.chain_id", pure=False),
    0x47: Expression(0, "c.flat.get_balance(c.address)", pure=False),
    0x48: Expression(0, "c.state.base_fee", pure=False),
    0x49: Expression(1, "blob_hash(c, {0})", pure=False),
    0x4A: Expression(0, "c.state.blob_base_fee", pure=False),
    0x59: Expression(0, "len(c.memory)", pure=False),
}

HELPERS: Mapping[int, Helper] = {
    0x0A: Helper(2, runtime.exponentiate, pushes=True),
    0x20: Helper(2, runtime.keccak_memory, pushes=True),
    0x31: Helper(1, runtime.balance, pushes=True),
    0x37: Helper(3, runtime.copy_calldata, pushes=False, writes_memory=True),
    0x39: Helper(3, runtime.copy_code, pushes=False, writes_memory=True),
    0x3B: Helper(1, runtime.code_size, pushes=True),
    0x3C: Helper(4, runtime.copy_account_code, pushes=False, writes_memory=True),
    0x3E: Helper(3, runtime.copy_return_data, pushes=False, barrier=True, writes_memory=True),
    0x3F: Helper(1, runtime.code_hash, pushes=True),
    0x54: Helper(1, runtime.load_storage, pushes=True),
    0x55: Helper(2, runtime.store_storage, pushes=False, barrier=True),
    0x5C: Helper(1, runtime.load_transient, pushes=True),
    0x5D: Helper(2, runtime.store_transient, pushes=False, barrier=True),
    0x5E: Helper(3, runtime.copy_memory, pushes=False, writes_memory=True),
    0xA0: Helper(2, runtime.log, pushes=False, barrier=True),
    0xA1: Helper(3, runtime.log, pushes=False, barrier=True),
    0xA2: Helper(4, runtime.log, pushes=False, barrier=True),
    0xA3: Helper(5, runtime.log, pushes=False, barrier=True),
    0xA4: Helper(6, runtime.log, pushes=False, barrier=True),
    0xF1: Helper(7, calls.call, pushes=True, barrier=True, writes_memory=True),
    0xF2: Helper(7, calls.call_code, pushes=True, barrier=True, writes_memory=True),
    0xF4: Helper(6, calls.delegate_call, pushes=True, barrier=True, writes_memory=True),
    0xFA: Helper(6, calls.static_call, pushes=True, barrier=True, writes_memory=True),
}

STRUCTURAL = frozenset(
    {STOP, POP, MLOAD, MSTORE, MSTORE8, JUMP, JUMPI, PC, GAS, JUMPDEST, RETURN, REVERT} | set(range(PUSH0, SWAP16 + 1))
)


def unwrap(opcode: Any) -> Any:
    """The opcode object under py-evm's deprecation warning, which would cost more than SELFDESTRUCT itself."""
    while hasattr(opcode, "__wrapped__"):
        opcode = opcode.__wrapped__
    return opcode


class OpcodeTable:
    """One rule set as the translator sees it. Immutable once built."""

    def __init__(self, opcodes: Mapping[int, Any]) -> None:
        inlined = {value for value, opcode in opcodes.items() if opcode is PRAGUE_OPCODES.get(value)}
        clz = opcodes.get(CLZ)
        if clz is not None and (clz.mnemonic, clz.gas_cost) == ("CLZ", GAS_COUNT_LEADING_ZEROS):
            inlined.add(CLZ)
        self.opcodes = {value: unwrap(opcode) for value, opcode in opcodes.items()}
        self.gas = [getattr(self.opcodes.get(value), "gas_cost", 0) for value in range(256)]
        self.expressions = {value: EXPRESSIONS[value] for value in inlined & EXPRESSIONS.keys()}
        self.helpers = {value: HELPERS[value] for value in inlined & HELPERS.keys()}
        self.structural = inlined & STRUCTURAL
        self.fold = {value: fold_function(e) for value, e in self.expressions.items() if e.pure}


NAMESPACE: dict[str, Any] = {
    **{name: value for name, value in vars(runtime).items() if name[0] != "_"},
    **{helper.function.__name__: helper.function for helper in HELPERS.values()},
    "ExecutionStopped": ExecutionStopped,
    "FullStack": FullStack,
    "InsufficientStack": InsufficientStack,
    "__builtins__": {"len": len},
    "to_int": int.from_bytes,
}
"""The globals of generated code; shared, so nothing may be defined in it."""


def fold_function(expression: Expression) -> Callable[..., int]:
    """The expression as a function of its operands."""
    names = "xyz"[: expression.arity]
    return eval(f"lambda {', '.join(names)}: int({expression.text.format(*names)})", {**NAMESPACE, "int": int})  # type: ignore[no-any-return]
