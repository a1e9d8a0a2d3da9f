"""Programs, one per contract code, and the bounded cache of them.

Translating costs time that nobody pays gas for, so it is earned: every opcode the interpreter runs is a credit of the
program, every character of generated source has a price (`Policy.price`), and a program starts in debt by the largest
trace. Hence, whatever contract an attacker writes, compiling takes about as long as interpreting took before: at worst
translation halves the speed of a node, and only until the attacker's loops are fast.

What is translated, and when, changes no result. It differs between nodes, and between threads of one node: the counters
here are not exact under threads, and need not be.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dmchain.marketplace_vm.translate.generator import MAX_TRACE_CHARACTERS, Generator
from dmchain.marketplace_vm.translate.runtime import reject_jump
from dmchain.marketplace_vm.translate.tables import JUMPDEST, NAMESPACE, PUSH1, PUSH32, OpcodeTable

Block = Callable[[Any, list[int], Any], int]
"""A translated trace; `generator` says what it takes and returns."""

MAX_VISITS = 255
_STEPS = tuple(op - PUSH1 + 2 if PUSH1 <= op <= PUSH32 else 1 for op in range(256))
"""Bytes from one opcode to the next."""


@dataclass(frozen=True, slots=True)
class Policy:
    """When to translate, and how much to keep.

    `visits`: how often a position must have been reached, at most 254; MAX_VISITS means never. `price`: interpreted
    opcodes that pay for one character of source. Sizes are in bytes, of which a character of source counts for
    `bytes_per_character`: compiled code with its constants, line table and names.
    """

    visits: int = 16
    price: int = 3
    max_program_characters: int = 1_000_000
    max_cache_bytes: int = 64 * 1024 * 1024
    bytes_per_character: int = 4


DEFAULT_POLICY = Policy()
EAGER_POLICY = Policy(visits=0, price=0)
"""For tests: translate whatever is about to run."""


class Program:
    """One contract code with its translated traces, by the position they start at."""

    __slots__ = (
        "blocks", "cache", "characters", "code", "credit", "jump_targets", "padded", "policy", "scanned", "table",
        "visits",
    )  # fmt: skip

    def __init__(self, code: bytes, table: OpcodeTable, policy: Policy, cache: ProgramCache | None = None) -> None:
        self.code = code
        self.padded = code + bytes(33)
        """Reading past the end gives STOP, and zeros for push data (Yellow Paper, 9.4.1)."""
        self.table = table
        self.policy = policy
        self.cache = cache
        self.blocks: dict[int, Block] = {}
        self.visits = bytearray(len(self.padded))
        self.credit = -MAX_TRACE_CHARACTERS * policy.price
        self.characters = 0
        self.jump_targets = bytearray(len(code))
        """1 at each jump destination below `scanned`, else 0."""
        self.scanned = 0

    # -- jump destinations ---------------------------------------------------------------------------------------
    def is_jump_target(self, position: int) -> bool:
        """Whether there is a JUMPDEST at `position` that is not push data."""
        if position >= len(self.code):
            return False
        if position >= self.scanned:
            self._scan(position)
        return self.jump_targets[position] == 1

    def _scan(self, last: int) -> None:
        """Find jump destinations up to position `last`. Two threads may do so at once, with the same result."""
        code, position, targets = self.code, self.scanned, self.jump_targets
        while position <= last:
            op = code[position]
            if op == JUMPDEST:
                targets[position] = 1
            position += _STEPS[op]
        self.scanned = position

    def check_jump(self, target: int) -> int:
        """Return `target` if a jump may go there, else raise what py-evm raises."""
        return target if self.is_jump_target(target) else reject_jump(self.code, target)

    # -- translation ---------------------------------------------------------------------------------------------
    def visit(self, position: int) -> Block | None:
        """Count that a run has arrived at `position`, and translate from there once that has been earned."""
        count = self.visits[position]
        policy = self.policy
        if count < policy.visits:
            self.visits[position] = count + 1
            return None
        if self.credit < 0 or self.characters > policy.max_program_characters or policy.visits == MAX_VISITS:
            self.visits[position] = count >> 1
            return None
        return self.translate(position)

    def translate(self, position: int) -> Block:
        """Compile the trace that starts at `position`, and pay for it."""
        generator = Generator(self, self.table, position)
        source = generator.generate()
        scope: dict[str, Any] = {"D": self.jump_targets, "P": self}
        exec(compile(source, f"<evm at {position}>", "exec"), NAMESPACE, scope)
        block: Block = scope["block"]
        self.blocks[position] = block
        size = len(source) + generator.operations
        self.characters += size
        self.credit -= size * self.policy.price
        if self.cache is not None:
            self.cache.grew(size * self.policy.bytes_per_character)
        return block

    def forget(self) -> None:
        """Drop what is translated: blocks know their program, and only the garbage collector would find out."""
        self.blocks.clear()

    @property
    def size_bytes(self) -> int:
        """Memory held, estimated."""
        return 4 * len(self.code) + 1000 + self.characters * self.policy.bytes_per_character


class ProgramCache:
    """The programs of one rule set by their code, in two generations.

    Programs that were used since the last change of generation are in the young one; when that exceeds its share of
    `max_cache_bytes`, it becomes the old one and the old one goes. The key is the code itself and not its hash: the
    computation does not know the hash, and Python keeps the hash of a bytes object with it.
    """

    def __init__(self, table: OpcodeTable, policy: Policy) -> None:
        self.table = table
        self.policy = policy
        self._young: dict[bytes, Program] = {}
        self._old: dict[bytes, Program] = {}
        self._young_bytes = 0

    def __len__(self) -> int:
        return len(self._young.keys() | self._old.keys())

    def get(self, code: bytes) -> Program:
        program = self._young.get(code)
        return self._promote(code) if program is None else program

    def _promote(self, code: bytes) -> Program:
        program = self._old.get(code) or Program(code, self.table, self.policy, self)
        if self._young_bytes > self.policy.max_cache_bytes // 2:
            dropped = [old for code, old in self._old.items() if code not in self._young and old is not program]
            self._old, self._young, self._young_bytes = self._young, {}, 0
            for old in dropped:
                old.forget()
        self._young[code] = program
        self._young_bytes += program.size_bytes
        return program

    def grew(self, size_bytes: int) -> None:
        """A program of the cache has become larger."""
        self._young_bytes += size_bytes
