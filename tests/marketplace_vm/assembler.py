"""EVM programs from text, for tests: mnemonics, numbers (pushed), labels.

    asm("CALLDATASIZE @end JUMPI 1 0 SSTORE :end STOP")

A number is pushed in as few bytes as it needs, `0x...` with as many bytes as it has digits for, `@name` pushes the
position of `:name`, which becomes a JUMPDEST; `.abcd` puts bytes there as they are.
"""

from __future__ import annotations

from dmchain.marketplace_vm.vm import OSAKA_OPCODES

MNEMONICS = {getattr(opcode, "__wrapped__", opcode).mnemonic: value for value, opcode in OSAKA_OPCODES.items()}
MNEMONICS |= {"KECCAK256": 0x20, "INVALID": 0xFE, "PREVRANDAO": 0x44}


def push(value: int | bytes) -> bytes:
    raw = value if isinstance(value, bytes) else value.to_bytes((value.bit_length() + 7) // 8, "big")
    return bytes([0x5F + len(raw)]) + raw


def asm(text: str) -> bytes:
    code = bytearray()
    labels: dict[str, int] = {}
    uses: list[tuple[int, str]] = []
    for word in text.split():
        if word in MNEMONICS:
            code.append(MNEMONICS[word])
        elif word.startswith(":"):
            labels[word[1:]] = len(code)
            code.append(0x5B)
        elif word.startswith("@"):
            uses.append((len(code) + 1, word[1:]))
            code += b"\x61\0\0"
        elif word.startswith("."):
            code += bytes.fromhex(word[1:])
        elif word.startswith("0x"):
            code += push(bytes.fromhex(word[2:]))
        else:
            code += push(int(word))
    for at, name in uses:
        code[at : at + 2] = labels[name].to_bytes(2, "big")
    return bytes(code)


def initcode_of(runtime: bytes) -> bytes:
    """Initcode that deploys `runtime`."""
    size = len(runtime).to_bytes(2, "big").hex()
    return asm(f"0x{size} DUP1 0x000b 0 CODECOPY 0 RETURN") + runtime


assert len(initcode_of(b"")) == 0x0B
