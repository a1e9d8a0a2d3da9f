"""Source of a Python function for a stretch of bytecode.

A *trace* starts at one position of the code and follows its execution: through straight code, through jumps whose
target is a constant, and at a conditional jump in the direction that was seen more often; the other direction leaves
the function. That is `block(c, S, g)` with the computation, its stack (a list of ints) and its gas meter:

* it returns the position to go on at, -1 at the end of the run, or `for_interpreter(position)`;
* the stack is symbolic while it runs: opcodes that only move values make no code. `S` is rewritten at exits alone;
* gas is charged per *segment*: in advance, for all opcodes up to the next one that can leave the function, that can
  fail of anything but gas, or whose effect depends on the gas left. Within a segment only OutOfGas can happen, so a
  program that dies in it dies of OutOfGas in py-evm's loop too, and what it had changed by then is undone in both;
* the first line checks once that no opcode of the trace can over- or underflow the stack. When one could, the
  interpreter runs the stretch, and finds the same error at the same opcode as py-evm.

Every result gets a line and a variable of its own, so that no expression an attacker writes is deep enough to make
Python's parser recurse. `characters` counts what was written, repeated exits included, and ends the trace.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from dmchain.marketplace_vm.translate.runtime import GAS_KECCAK_WORD
from dmchain.marketplace_vm.translate.symbolic_stack import SymbolicStack
from dmchain.marketplace_vm.translate.tables import (
    DUP1,
    DUP16,
    GAS,
    ISZERO,
    JUMP,
    JUMPDEST,
    JUMPI,
    MLOAD,
    MSTORE,
    MSTORE8,
    PC,
    POP,
    PUSH0,
    PUSH32,
    RETURN,
    REVERT,
    STOP,
    SWAP1,
    SWAP16,
    Expression,
    Helper,
    OpcodeTable,
)
from dmchain.marketplace_vm.translate.values import COMMUTATIVE, Condition, Number, Value, Widths, show, simplify

if TYPE_CHECKING:
    from dmchain.marketplace_vm.translate.program import Program

MAX_TRACE_OPERATIONS = 512
MAX_TRACE_CHARACTERS = 20_000
MAX_PASSES = 2
"""How often one trace may run through the same JUMPDEST: internal functions are called more than once."""
HALT = -1

FRAME_CONSTANTS = frozenset((0x30, *range(0x32, 0x37), 0x38, 0x3A, *range(0x41, 0x47), 0x48, 0x4A))
"""Opcodes whose result, given their operand, is the same throughout one call frame."""
CALLDATALOAD, KECCAK256 = 0x35, 0x20


def for_interpreter(position: int) -> int:
    """The return value by which a block says: let the interpreter go on at `position`. Its own inverse."""
    return -2 - position


class Generator:
    """Writes the function for one trace: construct, `generate`, read `operations` and `characters` for the price."""

    def __init__(self, program: Program, table: OpcodeTable, entry: int) -> None:
        self.program = program
        self.table = table
        self.entry = entry
        self.operations = 0
        self.characters = 0
        self._lines: list[str] = []
        self._names = 0
        self._stack = SymbolicStack(self._assign)
        # the open segment: where its charge goes, and how much it is
        self._charge_line = 0
        self._charge = 0
        # what is known: bytes of memory at least, aligned words of it, expressions that have been computed
        self._memory_size = 0
        self._words: dict[int, Number] = {}
        self._computed: dict[str, str] = {}
        self._widths = Widths()
        self._passes: dict[int, int] = {}
        self._loops = False

    def generate(self) -> str:
        """Return the source; `block` is the function in it."""
        self._open_segment()
        position: int | None = self.entry
        while position is not None:
            position = self._step(position)
        head = ["def block(c, S, g, D=D, P=P):", " gas = g.gas_remaining", " M = c.memory"]
        guard = self._stack.guard(f"g.gas_remaining = gas; return {for_interpreter(self.entry)}")
        body = [line for line in (guard, *self._lines) if line]
        if not self._loops:
            return "\n".join([*head, *(" " + line for line in body)]) + "\n"
        loop = [" stop = c.state.stop", " while not stop.requested:", *("  " + line for line in body)]
        return "\n".join([*head, *loop, " raise ExecutionStopped"]) + "\n"

    # -- one opcode ----------------------------------------------------------------------------------------------
    def _step(self, position: int) -> int | None:
        """Write the opcode at `position`. Returns where the trace goes on, None at its end."""
        if self.operations >= MAX_TRACE_OPERATIONS or self.characters >= MAX_TRACE_CHARACTERS:
            return self._leave(position)
        op = self.program.padded[position]
        table = self.table
        self.operations += 1
        if op in table.expressions:
            self._charge += table.gas[op]
            self._expression(op, table.expressions[op])
        elif op in table.helpers:
            self._charge += table.gas[op]
            if op != KECCAK256 or not self._hash_known_words():
                self._helper(table.helpers[op])
        elif op not in table.structural:
            return self._leave_to_interpreter(position)
        elif PUSH0 <= op <= PUSH32:
            self._charge += table.gas[op]
            size = op - PUSH0
            self._stack.push(int.from_bytes(self.program.padded[position + 1 : position + 1 + size], "big"))
            return position + 1 + size
        elif DUP1 <= op <= DUP16:
            self._charge += table.gas[op]
            self._stack.duplicate(op - DUP1)
        elif SWAP1 <= op <= SWAP16:
            self._charge += table.gas[op]
            self._stack.swap(op - SWAP1 + 1)
        else:
            self._charge += table.gas[op]
            return _STRUCTURAL[op](self, position)
        return position + 1

    def _expression(self, op: int, expression: Expression) -> None:
        if op == ISZERO and isinstance(self._stack.top(), Condition):
            condition = self._stack.pop()
            assert isinstance(condition, Condition)
            self._stack.push(Condition(condition.text, not condition.negated))
            return
        operands = [self._stack.operand() for _ in range(expression.arity)]
        if op in COMMUTATIVE and isinstance(operands[0], int):
            operands.reverse()
        constants = [operand for operand in operands if isinstance(operand, int)]
        if expression.pure and len(constants) == len(operands):
            self._stack.push(self.table.fold[op](*constants))
            return
        simpler = simplify(op, operands, self._widths) if operands else None
        if simpler is not None and not isinstance(simpler, Expression):
            self._stack.push(simpler)
            return
        text = (simpler or expression).text.format(*map(show, operands))
        if expression.condition:
            self._stack.push(Condition(text))
            return
        if expression.pure or op in FRAME_CONSTANTS:
            name = self._compute(text)
        else:
            name = self._assign(text)
        self._widths.note(name, op, operands)
        self._stack.push(name)

    def _compute(self, text: str) -> str:
        """The variable that holds `text`, whose value is the same wherever in the trace it stands."""
        name = self._computed.get(text)
        if name is None:
            name = self._computed[text] = self._assign(text)
        return name

    def _helper(self, helper: Helper) -> None:
        operands = [self._stack.operand() for _ in range(helper.arity)]
        if helper.barrier:
            self._close_segment()
        call = f"{helper.function.__name__}(c, {''.join(show(operand) + ', ' for operand in operands)}gas)"
        if helper.pushes:
            name = self._new_name()
            self._emit(f"{name}, gas = {call}")
            self._stack.push(name)
        else:
            self._emit(f"gas = {call}")
        if helper.writes_memory:
            self._words.clear()
        if helper.barrier:
            self._open_segment()

    def _hash_known_words(self) -> bool:
        """KECCAK256 of two words that this trace has written, as every access to a mapping does."""
        at, size = self._stack.top(), self._stack.top(1)
        if not isinstance(at, int) or size != 64 or at not in self._words or at + 32 not in self._words:
            return False
        self._stack.pop(), self._stack.pop()
        self._charge += 2 * GAS_KECCAK_WORD
        self._stack.push(self._compute(f"hash_pair({show(self._words[at])}, {show(self._words[at + 32])})"))
        return True

    # -- memory --------------------------------------------------------------------------------------------------
    def _memory_range(self, size: int) -> tuple[Value, str, str]:
        """Take an address off the stack and make memory hold `size` bytes there: (address, start, end)."""
        address = self._stack.operand()
        if isinstance(address, int):
            end = address + size
            if end > self._memory_size:
                self._emit(f"if len(M) < {show(end)}: gas = grow(M, {show(end)}, gas)")
                self._memory_size = end
            return address, show(address), show(end)
        end_name = self._assign(f"{address} + {size}")
        self._emit(f"if len(M) < {end_name}: gas = grow(M, {end_name}, gas)")
        return address, show(address), end_name

    def _mload(self, position: int) -> int:
        address, start, end = self._memory_range(32)
        known = self._words.get(address) if isinstance(address, int) else None
        if known is None:
            known = self._assign(f"to_int(M[{start}:{end}], 'big')")
            if isinstance(address, int) and address % 32 == 0:
                self._words[address] = known
        self._stack.push(known)
        return position + 1

    def _mstore(self, position: int) -> int:
        address, start, end = self._memory_range(32)
        value = self._stack.operand()
        if isinstance(address, int) and self._words.get(address) == value:
            return position + 1
        encoded = repr(value.to_bytes(32, "big")) if isinstance(value, int) else f"{value}.to_bytes(32, 'big')"
        self._emit(f"M[{start}:{end}] = {encoded}")
        self._forget_words(address)
        if isinstance(address, int) and address % 32 == 0:
            self._words[address] = value
        return position + 1

    def _mstore8(self, position: int) -> int:
        address, start, _ = self._memory_range(1)
        value = self._stack.operand()
        self._emit(f"M[{start}] = {value & 255}" if isinstance(value, int) else f"M[{start}] = {value} & 255")
        self._forget_words(address)
        return position + 1

    def _forget_words(self, address: Value) -> None:
        """Forget the words that a write of up to 32 bytes at `address` may change."""
        if isinstance(address, int):
            first = address - address % 32
            self._words.pop(first, None)
            self._words.pop(first + 32, None)
        else:
            self._words.clear()

    # -- jumps ---------------------------------------------------------------------------------------------------
    def _jump(self, position: int) -> int | None:
        return self._go_to(self._stack.operand(), position)

    def _go_to(self, target: Value, position: int) -> int | None:
        if isinstance(target, int) and self.program.is_jump_target(target):
            return target if self._may_follow(target, position) else self._leave(target)
        self._close_segment()
        self._emit("; ".join(self._exit(target)))
        return None

    def _conditional_jump(self, position: int) -> int | None:
        target = self._stack.operand()
        condition = self._stack.pop()
        if isinstance(condition, int):
            return self._go_to(target, position) if condition else position + 1
        self._close_segment()
        holds = condition if isinstance(condition, Condition) else Condition(condition)
        valid = isinstance(target, int) and self.program.is_jump_target(target)
        visits = self.program.visits
        usual = isinstance(target, int) and valid and visits[target] > visits[position + 1]
        if usual and isinstance(target, int) and self._may_follow(target, position):
            unless = Condition(holds.text, not holds.negated)
            self._emit(f"if {unless.test}: {'; '.join(self._exit(position + 1, jumps=False))}")
            self._open_segment()
            return target
        self._emit(f"if {holds.test}: {'; '.join(self._exit(target))}")
        self._open_segment()
        if usual and not visits[position + 1]:
            return self._leave(position + 1)
        return position + 1

    def _may_follow(self, target: int, position: int) -> bool:
        """Whether a jump goes on within the trace. Not back to where that has been: a loop has its own trace."""
        passes = self._passes.get(target, 0)
        return passes == 0 or (position < target and passes < MAX_PASSES)

    # -- ends ----------------------------------------------------------------------------------------------------
    def _stop(self, position: int) -> None:
        self._close_segment()
        self._emit(f"g.gas_remaining = gas; return {HALT}")

    def _return(self, position: int) -> None:
        at, size = self._stack.operand(), self._stack.operand()
        self._close_segment()
        self._emit(f"finish(c, {show(at)}, {show(size)}, gas); return {HALT}")

    def _revert(self, position: int) -> None:
        at, size = self._stack.operand(), self._stack.operand()
        self._close_segment()
        self._emit(f"revert(c, {show(at)}, {show(size)}, gas)")

    def _leave(self, position: int) -> int | None:
        """End the trace: the run goes on at `position`."""
        self._close_segment()
        self._emit("; ".join(self._exit(position, jumps=False)))
        return None

    def _leave_to_interpreter(self, position: int) -> int | None:
        self._close_segment()
        self._emit("; ".join([*self._stack.flush(), "g.gas_remaining = gas", f"return {for_interpreter(position)}"]))
        return None

    def _exit(self, target: Value, *, jumps: bool = True) -> list[str]:
        """Statements that write the stack back and leave for `target`, an unchecked jump destination if `jumps`."""
        if jumps and not (isinstance(target, int) and self.program.is_jump_target(target)):
            where = show(target)
            if isinstance(target, int):
                return [f"P.check_jump({where})"]
            known = f"{where} < {len(self.program.code)} and D[{where}]"
            leave = [f"return {where} if {known} else P.check_jump({where})"]
        elif target == self.entry:
            self._loops = True
            return [*self._stack.flush(), "continue"]
        else:
            leave = [f"return {show(target)}"]
        return [*self._stack.flush(), "g.gas_remaining = gas", *leave]

    # -- text ----------------------------------------------------------------------------------------------------
    def _emit(self, line: str) -> None:
        self._lines.append(line)
        self.characters += len(line)

    def _new_name(self) -> str:
        self._names += 1
        return f"v{self._names}"

    def _assign(self, text: str) -> str:
        name = self._new_name()
        self._emit(f"{name} = {text}")
        return name

    def _open_segment(self) -> None:
        self._charge_line = len(self._lines)
        self._charge = 0
        self._lines.append("")

    def _close_segment(self) -> None:
        if self._charge:
            line = f"if (gas := gas - {self._charge}) < 0: raise OutOfGas('gas')"
            self._lines[self._charge_line] = line
            self.characters += len(line)
            self._charge = 0

    # -- small opcodes -------------------------------------------------------------------------------------------
    def _drop(self, position: int) -> int:
        self._stack.drop()
        return position + 1

    def _program_counter(self, position: int) -> int:
        self._stack.push(position)
        return position + 1

    def _gas_left(self, position: int) -> int:
        self._close_segment()
        self._stack.push(self._assign("gas"))
        self._open_segment()
        return position + 1

    def _jump_target(self, position: int) -> int:
        self._passes[position] = self._passes.get(position, 0) + 1
        return position + 1


_STRUCTURAL: dict[int, Callable[[Generator, int], int | None]] = {
    STOP: Generator._stop,
    POP: Generator._drop,
    MLOAD: Generator._mload,
    MSTORE: Generator._mstore,
    MSTORE8: Generator._mstore8,
    JUMP: Generator._jump,
    JUMPI: Generator._conditional_jump,
    PC: Generator._program_counter,
    GAS: Generator._gas_left,
    JUMPDEST: Generator._jump_target,
    RETURN: Generator._return,
    REVERT: Generator._revert,
}
