"""The stack of a trace while its source is written: values by name, and only what must be is read or written back.

`S` is the real stack. A trace has put `_items` on top of it and used up its `_taken` topmost items; it is not touched
until `flush`. Item `d` of S is S[-1 - d]: 0 is the top as it was when the trace began.
"""

from __future__ import annotations

from collections.abc import Callable

from dmchain.marketplace_vm.translate.values import Condition, Number, Value, show

STACK_LIMIT = 1024
MAX_SEPARATE_WRITES = 2
"""Changed items written back one by one; more are cheaper as a slice."""


class SymbolicStack:
    """`assign` writes a line that computes an expression, and returns the variable it is in."""

    def __init__(self, assign: Callable[[str], str]) -> None:
        self._assign = assign
        self._items: list[Value] = []
        self._taken = 0
        self._loaded: dict[int, str] = {}
        """Item of S -> the variable that holds it."""
        self._deepest = 0
        self._highest = 0

    def push(self, value: Value) -> None:
        self._items.append(value)
        self._highest = max(self._highest, len(self._items) - self._taken)

    def top(self, depth: int = 0) -> Value | None:
        """An item that the trace has put there, None if that item is of S."""
        return self._items[-1 - depth] if depth < len(self._items) else None

    def pop(self) -> Value:
        return self._items.pop() if self._items else self._take()

    def operand(self) -> Number:
        """Pop an item as a number."""
        return self._number(self.pop())

    def drop(self) -> None:
        """Pop an item that nobody wants to see."""
        if self._items:
            self._items.pop()
        else:
            self._taken += 1
            self._deepest = max(self._deepest, self._taken)

    def duplicate(self, depth: int) -> None:
        """DUP: push the item `depth` places below the top."""
        if depth < len(self._items):
            index = len(self._items) - 1 - depth
            value = self._items[index] = self._number(self._items[index])
        else:
            value = self._load(self._taken + depth - len(self._items))
        self.push(value)

    def swap(self, depth: int) -> None:
        """SWAP: exchange the top with the item `depth` places below it."""
        while len(self._items) <= depth:
            self._items.insert(0, self._take())
        self._items[-1], self._items[-1 - depth] = self._items[-1 - depth], self._items[-1]

    def flush(self) -> list[str]:
        """Statements that make S what it has to be when the trace is left here."""
        items, taken = self._items, self._taken
        shared = min(taken, len(items))
        changed = [index for index in range(shared) if items[index] != self._loaded.get(taken - 1 - index)]
        if len(changed) > MAX_SEPARATE_WRITES:
            values = "".join(show(value) + ", " for value in items[changed[0] :])
            return [f"S[{changed[0] - taken}:] = ({values})"]
        statements = [f"S[{index - taken}] = {show(items[index])}" for index in changed]
        if taken > shared:
            statements.append("S.pop()" if taken - shared == 1 else f"del S[{shared - taken}:]")
        elif len(items) == shared + 1:
            statements.append(f"S.append({show(items[shared])})")
        elif len(items) > shared:
            statements.append(f"S += ({', '.join(map(show, items[shared:]))})")
        return statements

    def guard(self, leave: str) -> str:
        """A statement that runs `leave` when S is too short or too long for the trace; empty if it cannot be."""
        most = STACK_LIMIT - self._highest
        if self._deepest:
            return f"if not {self._deepest} <= len(S) <= {most}: {leave}"
        return f"if len(S) > {most}: {leave}" if self._highest else ""

    def _number(self, value: Value) -> Number:
        return self._assign(f"1 if {value.test} else 0") if isinstance(value, Condition) else value

    def _take(self) -> str:
        """The topmost item of S that is not used up yet; now it is."""
        self._taken += 1
        return self._load(self._taken - 1)

    def _load(self, depth: int) -> str:
        """The variable that holds item `depth` of S."""
        self._deepest = max(self._deepest, depth + 1)
        name = self._loaded.get(depth)
        if name is None:
            name = self._loaded[depth] = self._assign(f"S[{-1 - depth}]")
        return name
