"""Symbolic values of a trace, and what is known of them: algebra that needs no code."""

from __future__ import annotations

from dataclasses import dataclass

from dmchain.marketplace_vm.translate.runtime import MAX
from dmchain.marketplace_vm.translate.tables import Expression

ADD, MUL, SUB, DIV, MOD = 0x01, 0x02, 0x03, 0x04, 0x06
EQ, AND, OR, XOR, BYTE, SHL, SHR, CLZ = 0x14, 0x16, 0x17, 0x18, 0x1A, 0x1B, 0x1C, 0x1E
ADDRESS, ORIGIN, CALLER, COINBASE = 0x30, 0x32, 0x33, 0x41
CALLDATASIZE, CODESIZE, RETURNDATASIZE, MSIZE = 0x36, 0x38, 0x3D, 0x59
COMMUTATIVE = frozenset({ADD, MUL, AND, OR, XOR, EQ})
WORD_BITS = 256

_RESULT_BITS = {
    **dict.fromkeys((ADDRESS, ORIGIN, CALLER, COINBASE), 160),
    **dict.fromkeys((CALLDATASIZE, CODESIZE, RETURNDATASIZE, MSIZE), 64),
    BYTE: 8,
    CLZ: 9,
}
"""Opcodes whose result is always shorter than a word."""


@dataclass(frozen=True, slots=True)
class Condition:
    """1 where `text` is true (or false, if negated), else 0. Not evaluated until it is needed as a number."""

    text: str
    negated: bool = False

    @property
    def test(self) -> str:
        return f"not {self.text}" if self.negated else self.text


Number = int | str
"""A constant, or the name of a local variable."""
Value = Number | Condition
"""An item of the symbolic stack."""


def show(value: Value) -> str:
    """The value as a Python expression."""
    if isinstance(value, int):
        return str(value) if value < 2**32 else hex(value)
    if isinstance(value, Condition):
        return f"(1 if {value.test} else 0)"
    return value


class Widths:
    """Upper bounds, in bits, of the values of variables."""

    def __init__(self) -> None:
        self._bits: dict[str, int] = {}

    def of(self, value: Number) -> int:
        return value.bit_length() if isinstance(value, int) else self._bits.get(value, WORD_BITS)

    def note(self, name: str, op: int, operands: list[Number]) -> None:
        """Remember what `name`, the result of `op`, is bounded by."""
        bits = _RESULT_BITS.get(op, WORD_BITS)
        if op == AND:
            bits = min(map(self.of, operands))
        elif op == OR:
            bits = max(map(self.of, operands))
        elif op == SHR and isinstance(operands[0], int):
            bits = max(self.of(operands[1]) - operands[0], 0)
        elif op in (DIV, MOD):
            bits = self.of(operands[0])
        elif op == ADD:
            bits = max(map(self.of, operands)) + 1
        if bits < WORD_BITS:
            self._bits[name] = bits


def simplify(op: int, operands: list[Number], widths: Widths) -> Expression | Number | None:
    """A cheaper form of `op`: its result if it is one of the operands or a constant, or another expression."""
    first, second = operands[0], operands[-1]
    if op == AND:
        return _simplify_and(operands, widths)
    if op in (SHL, SHR) and isinstance(first, int):
        if first >= WORD_BITS:
            return 0
        if first == 0:
            return second
        if op == SHR:
            return _SHIFT_RIGHT
        return _SHIFT_LEFT if widths.of(second) + first > WORD_BITS else _SHIFT_LEFT_SHORT
    if op in (DIV, MOD) and isinstance(second, int):
        if second == 0:
            return 0
        return _DIVIDE if op == DIV else _MODULO
    if op == ADD:
        if first == 0:
            return second
        if second == 0:
            return first
        if max(widths.of(first), widths.of(second)) < WORD_BITS:
            return _ADD_SHORT
    if op == SUB and second == 0:
        return first
    return None


def _simplify_and(operands: list[Number], widths: Widths) -> Number | None:
    """A mask of ones that is as long as the other operand changes nothing."""
    for mask, other in (operands, operands[::-1]):
        if mask == 0:
            return 0
        if isinstance(mask, int) and mask & (mask + 1) == 0 and widths.of(other) <= mask.bit_length() <= WORD_BITS:
            return other
    return None


_SHIFT_LEFT = Expression(2, "{1} << {0} & MAX")
_SHIFT_LEFT_SHORT = Expression(2, "{1} << {0}")
_SHIFT_RIGHT = Expression(2, "{1} >> {0}")
_DIVIDE = Expression(2, "{0} // {1}")
_MODULO = Expression(2, "{0} % {1}")
_ADD_SHORT = Expression(2, "{0} + {1}")
assert MAX.bit_length() == WORD_BITS
