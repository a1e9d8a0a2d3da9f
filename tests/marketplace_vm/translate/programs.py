"""Random contracts: mostly sensible programs, so that runs get deep, with enough nonsense to die in every way."""

from __future__ import annotations

from random import Random

from dmchain.chain.primitives.types import Address
from tests.marketplace_vm.translate.machine import CONTRACTS, DELEGATING, NOBODY, SENDER, Account

INTERESTING = (
    0, 1, 2, 3, 5, 31, 32, 33, 64, 96, 255, 256, 257, 1023, 1024, 2**31, 2**32 - 1, 2**64, 2**128 - 1, 2**160 - 1,
    2**160, 2**255 - 1, 2**255, 2**256 - 32, 2**256 - 1,
)  # fmt: skip
BINARY = [*range(0x01, 0x08), 0x0A, 0x0B, *range(0x10, 0x15), *range(0x16, 0x19), *range(0x1A, 0x1E)]
UNARY = [0x15, 0x19, 0x1E, 0x31, 0x35, 0x3B, 0x3F, 0x40, 0x49, 0x54, 0x5C, 0x51]
TERNARY = [0x08, 0x09]
NULLARY = [0x30, 0x32, 0x33, 0x34, 0x36, 0x38, 0x3A, 0x3D, *range(0x41, 0x49), 0x4A, 0x58, 0x59, 0x5A]
TARGETS = [*CONTRACTS, DELEGATING, NOBODY, SENDER, *(bytes(19) + bytes([n]) for n in (1, 2, 4, 5, 6)), b"\xcc" * 20]


def push(value: int, size: int | None = None) -> bytes:
    raw = value.to_bytes((value.bit_length() + 7) // 8, "big") if size is None else value.to_bytes(size, "big")
    return bytes([0x5F + len(raw)]) + raw


class Writer:
    """Writes one contract. `depth` is the height of the stack as far as it is known.

    A `tame` contract jumps forward only, calls those of higher rank, keeps to small memory and mostly succeeds.
    """

    def __init__(
        self, random: Random, labels: int, *, initcode: bool = False, tame: bool = False, rank: int = 0
    ) -> None:
        self.random = random
        self.labels = labels
        self.label_now = 0
        self.targets = TARGETS if not tame else [*CONTRACTS[rank + 1 :] * 2, *TARGETS[len(CONTRACTS) :]]
        self.tame = tame
        self.code = bytearray()
        self.fixups: list[tuple[int, int]] = []
        self.depth = 0
        self.initcode = initcode

    def number(self) -> int:
        r = self.random
        kind = r.random()
        if kind < 0.5:
            return r.choice(INTERESTING)
        if kind < 0.8:
            return r.randrange(300)
        return r.getrandbits(r.choice((8, 16, 64, 160, 256)))

    def op(self, op: int, pops: int, pushes: int) -> None:
        """Write an opcode, after operands for it unless fate wants an underflow."""
        while self.depth < pops and (self.tame or self.random.random() > 0.004):
            self.push(self.number())
        self.code.append(op)
        self.depth = max(0, self.depth - pops) + pushes

    def push(self, value: int) -> None:
        self.code += push(value)
        self.depth += 1

    def offset(self) -> int:
        r = self.random
        if self.tame:
            return r.choice((0, 0, 32, 64, r.randrange(100)))
        if r.random() < 0.005:
            return self.number()
        return r.choice((0, 0, 32, 64, 96, 128, 7, r.randrange(200), r.randrange(2000)))

    def size(self) -> int:
        r = self.random
        if self.tame:
            return r.choice((0, 32, 32, 64, 20))
        return r.choice((0, 1, 32, 32, 64, r.randrange(100), self.number() if r.random() < 0.03 else 20))

    def label(self) -> None:
        """Push the position of a label."""
        label = self.random.randrange(self.label_now + 1 if self.tame else 0, self.labels)
        self.code += b"\x61\0\0"
        self.fixups.append((len(self.code) - 2, label))
        self.depth += 1

    def statement(self) -> None:
        r = self.random
        kind = r.random()
        if kind < 0.22:
            self.push(self.number())
        elif kind < 0.38:
            self.op(r.choice(BINARY), 2, 1)
        elif kind < 0.40:
            self.op(r.choice(TERNARY), 3, 1)
        elif kind < 0.47:
            self.op(r.choice(NULLARY), 0, 1)
        elif kind < 0.54:
            if r.random() < 0.7:
                self.push(r.randrange(6))
            self.op(r.choice(UNARY), 1, 1)
        elif kind < 0.62:
            n = r.randrange(1, min(16, max(1, self.depth)) + 1)
            self.op(0x7F + n, n, n + 1)
        elif kind < 0.70:
            n = r.randrange(1, min(16, max(1, self.depth - 1)) + 1)
            self.op(0x8F + n, n + 1, n + 1)
        elif kind < 0.73:
            self.op(0x50, 1, 0)
        elif kind < 0.81:
            self.memory()
        elif kind < 0.87:
            self.store()
        elif kind < 0.92:
            self.call()
        elif kind < 0.95:
            self.branch()
        elif kind < 0.965:
            self.idiom()
        elif kind < 0.973:
            self.create()
        elif not self.tame:
            self.rare()

    def memory(self) -> None:
        r = self.random
        kind = r.randrange(7)
        if kind < 3:
            self.push(self.number()) if r.random() < 0.5 else None
            if r.random() < 0.9:
                self.push(self.offset())
            self.op(r.choice((0x52, 0x52, 0x53)), 2, 0)
        elif kind == 3:
            self.push(self.offset())
            self.op(0x51, 1, 1)
        elif kind == 4:
            self.push(self.size()), self.push(self.offset())
            self.op(0x20, 2, 1)
        else:
            op = r.choice((0x37, 0x39, 0x3E, 0x5E, 0x5E))
            if op == 0x3E and r.random() < 0.8:
                self.op(0x3D, 0, 1), self.push(0), self.push(0)
            else:
                self.push(self.size()), self.push(self.offset()), self.push(self.offset())
            self.op(op, 3, 0)

    def store(self) -> None:
        r = self.random
        kind = r.randrange(5)
        if kind < 3:
            if r.random() < 0.7:
                self.push(r.choice((0, 0, 0, 1, 2, 7)))
            else:
                self.op(0x5A, 0, 1)  # the gas left, so that a difference in gas becomes one in storage
            self.push(r.randrange(4))
            self.op(0x55, 2, 0)
        elif kind == 3:
            self.push(self.number()), self.push(r.randrange(4))
            self.op(0x5D, 2, 0)
        else:
            topics = r.randrange(5)
            for _ in range(topics):
                self.push(self.number())
            self.push(self.size()), self.push(self.offset())
            self.op(0xA0 + topics, 2 + topics, 0)

    def call(self) -> None:
        r = self.random
        op = r.choice((0xF1, 0xF1, 0xF2, 0xF4, 0xFA))
        self.push(self.size()), self.push(self.offset()), self.push(self.size()), self.push(self.offset())
        if op in (0xF1, 0xF2):
            self.push(r.choice((0, 0, 0, 1, 1000, 2**200)))
        self.push(int.from_bytes(r.choice(self.targets), "big") + (r.random() < 0.05) * 2**170)
        if r.random() < 0.6:
            self.op(0x5A, 0, 1)
        else:
            self.push(r.choice((0, 100, 2300, 5000, 30_000, 2**255)))
        self.op(op, 7 if op in (0xF1, 0xF2) else 6, 1)

    def create(self) -> None:
        r = self.random
        if self.initcode:
            inner = bytes.fromhex(r.choice(("5f5ff3", "33ff", "60ef5f5360015ff3", "60095f55fe")))
        else:
            inner = Writer(Random(r.random()), 2, initcode=True, tame=r.random() < 0.7).write(3)
        for at in range(0, len(inner), 32):
            self.push(int.from_bytes(inner[at : at + 32].ljust(32, b"\0"), "big"))
            self.push(at)
            self.op(0x52, 2, 0)
        op = r.choice((0xF0, 0xF5))
        if op == 0xF5:
            self.push(r.randrange(2))
        self.push(len(inner)), self.push(0), self.push(r.choice((0, 0, 5)))
        self.op(op, 4 if op == 0xF5 else 3, 1)

    def branch(self) -> None:
        r = self.random
        if self.label_now == self.labels - 1 and self.tame:
            return
        if r.random() < 0.4:
            self.op(r.choice((0x10, 0x11, 0x12, 0x13, 0x14)), 2, 1)
            self.code += b"\x15" * r.randrange(4)
        elif self.depth == 0:
            self.op(0x5A, 0, 1)
        if self.tame or r.random() < 0.97:
            self.target()
        self.op(0x57, 2, 0)

    def target(self) -> None:
        """A label as jump target, sometimes such that it is known only when it runs."""
        self.label()
        if self.random.random() < 0.2:
            self.code += b"\x36\x5f\x02\x01"

    def idiom(self) -> None:
        """What Solidity writes: a mapping's slot, an internal function, the free memory pointer."""
        r = self.random
        kind = r.randrange(3)
        if kind == 0:
            self.push(r.randrange(3)), self.push(0)
            self.op(0x52, 2, 0)
            self.code += push(r.randrange(3)) + b"\x60\x20\x52\x60\x40\x5f\x20"
            self.code += r.choice((b"\x54\x50", b"\x80\x54\x60\x01\x01\x90\x55"))
        elif kind == 1:
            at = len(self.code)
            function, main, first, second = (push(at + offset, 2) for offset in (4, 11, 21, 29))
            self.code += main + b"\x56" + b"\x5b\x90\x60\x01\x01\x90\x56"  # f(x) = x + 1
            self.code += b"\x5b\x60\x07" + first + function + b"\x56" + b"\x5b" + second + function + b"\x56\x5b"
            self.depth += 1
        else:
            self.code += b"\x60\x80\x60\x40\x52\x60\x40\x51\x33\x81\x52"  # mstore(mload(0x40), caller)
            self.code += b"\x60\x20\x01\x60\x40\x51\x80\x91\x03\x90\xa0"  # log it

    def rare(self) -> None:
        r = self.random
        kind = r.randrange(9)
        if kind == 0:
            self.code.append(r.choice((0x0C, 0x21, 0xFE, 0xB0, 0xEF)))
        elif kind == 1:
            self.push(self.size()), self.push(self.offset()), self.push(self.offset())
            self.push(int.from_bytes(r.choice(self.targets), "big"))
            self.op(0x3C, 4, 0)
        elif kind == 2 and r.random() < 0.4:
            self.push(int.from_bytes(r.choice(self.targets), "big"))
            self.op(0xFF, 1, 0)
        elif kind == 3:
            self.push(self.size()), self.push(self.offset())
            self.op(r.choice((0xF3, 0xFD)), 2, 0)
        elif kind == 4:
            self.code.append(0x5B)
        elif kind == 5 and r.random() < 0.3:
            self.code.append(0x00)
        elif kind == 6:
            for _ in range(r.choice((20, 300, 1020))):
                self.code.append(r.choice((0x80, 0x5F, 0x5A)))
                self.depth += 1
        elif kind == 7:
            self.counted_loop()
        else:
            self.code += push(self.number())
            self.op(r.choice((0x56, 0x57)), 1, 0)

    def counted_loop(self) -> None:
        """for (i = n; i > 0; i--) { statements that keep the stack }"""
        r = self.random
        self.push(r.randrange(1, 30))
        start = len(self.code)
        self.code.append(0x5B)
        for _ in range(r.randrange(3)):
            self.code += push(r.randrange(6)) + b"\x80" + r.choice((b"\x54\x01", b"\x01\x51", b"\x02\x5c"))
            self.code += push(r.randrange(6)) + r.choice((b"\x55", b"\x52", b"\x5d"))
        self.code += b"\x60\x01\x90\x03\x80" + push(start, 2) + b"\x57"

    def write(self, statements: int) -> bytes:
        """Each label begins a stretch of `statements` or so; most stretches end by jumping on."""
        r = self.random
        places = []
        for label in range(self.labels):
            self.label_now = label
            places.append(len(self.code))
            self.code.append(0x5B)
            for _ in range(r.randrange(1, 2 * statements)):
                self.statement()
            if r.random() < 0.5 and not (self.tame and self.label_now == self.labels - 1):
                self.target()
                self.op(0x56, 1, 0)
        self.push(self.size()), self.push(self.offset())
        self.code.append(r.choice((0xF3, 0xF3, 0xF3, 0xFD)))
        if r.random() < 0.2:
            self.code += bytes([r.randrange(0x60, 0x80)]) + r.randbytes(r.randrange(20))
        for at, label in self.fixups:
            self.code[at : at + 2] = places[label].to_bytes(2, "big")
        return bytes(self.code)


def random_code(random: Random, rank: int = 0) -> bytes:
    if random.random() < 0.05:
        return random.randbytes(random.randrange(1, 200))
    tame = random.random() < 0.6
    return Writer(random, random.randrange(1, 7), tame=tame, rank=rank).write(random.choice((3, 8, 20)))


def random_world(random: Random) -> dict[Address, Account]:
    """Four contracts that call each other, an account that delegates to one of them, and a rich sender."""
    world = {SENDER: Account(nonce=5), DELEGATING: Account(b"\xef\x01\x00" + random.choice(TARGETS), balance=77)}
    for rank, address in enumerate(CONTRACTS):
        storage = {slot: random.choice((1, 2, 7, 2**255)) for slot in range(6) if random.random() < 0.4}
        world[address] = Account(random_code(random, rank), balance=random.choice((0, 10**6)), storage=storage)
    return world
