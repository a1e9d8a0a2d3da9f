"""Why a contract reverted: Solidity's Error(string) and Panic(uint256), in geth's words (accounts/abi, panicReasons)."""

from __future__ import annotations

_ERROR_SELECTOR = bytes.fromhex("08c379a0")
_PANIC_SELECTOR = bytes.fromhex("4e487b71")
_PANIC_REASONS = {
    0x00: "generic panic",
    0x01: "assert(false)",
    0x11: "arithmetic underflow or overflow",
    0x12: "division or modulo by zero",
    0x21: "enum overflow",
    0x22: "invalid encoded storage byte array accessed",
    0x31: "out-of-bounds array access; popping on an empty array",
    0x32: "out-of-bounds access of an array or bytesN",
    0x41: "out of memory",
    0x51: "uninitialized function",
}


def decode_revert_reason(output: bytes) -> str | None:
    """The text of Error(string) or Panic(uint256), or None for anything else."""
    selector, body = output[:4], output[4:]
    if selector == _PANIC_SELECTOR and len(body) >= 32:
        code = int.from_bytes(body[:32], "big")
        return _PANIC_REASONS.get(code, f"unknown panic code: {code:#x}")
    if selector == _ERROR_SELECTOR and len(body) >= 64:
        offset = int.from_bytes(body[:32], "big")
        if offset > len(body) - 32:
            return None
        size = int.from_bytes(body[offset : offset + 32], "big")
        text = body[offset + 32 : offset + 32 + size]
        if len(text) == size:
            return text.decode("utf-8", "replace")
    return None
