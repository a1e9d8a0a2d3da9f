"""Modular exponentiation (EIP-198) and its prices (EIP-2565 to Prague, EIP-7883 and EIP-7823 from Osaka).

On GMP: Python's own three-argument pow is about ten times slower on numbers of 1024 bytes.
"""

from __future__ import annotations

from typing import NamedTuple

from dmchain.marketplace_vm.crypto import InvalidInput

MINIMUM_GAS = 200
OSAKA_MINIMUM_GAS = 500
OSAKA_MAX_LENGTH = 1024
"""EIP-7823: bytes of base, exponent and modulus each."""


class _Lengths(NamedTuple):
    base: int
    exponent: int
    modulus: int


def _read(data: bytes, start: int, size: int) -> int:
    """Read a number of `size` bytes; what lies past the end of the input is zero.

    The price grows with the size at least as fast as the zeros do, except where the number is not needed: callers
    ask only for what has been paid for.
    """
    part = data[start : start + size]
    return int.from_bytes(part, "big") << (8 * (size - len(part)))


def _read_lengths(data: bytes) -> _Lengths:
    return _Lengths(_read(data, 0, 32), _read(data, 32, 32), _read(data, 64, 32))


def _exponent_head(data: bytes, lengths: _Lengths) -> int:
    return _read(data, 96 + lengths.base, min(lengths.exponent, 32))


def compute_gas(data: bytes) -> int:
    """EIP-2565."""
    lengths = _read_lengths(data)
    words = (max(lengths.base, lengths.modulus) + 7) // 8
    iterations = max(_exponent_head(data, lengths).bit_length() - 1, 0)
    if lengths.exponent > 32:
        iterations += 8 * (lengths.exponent - 32)
    return max(MINIMUM_GAS, words * words * max(iterations, 1) // 3)


def compute_osaka_gas(data: bytes) -> int:
    """EIP-7883; raises InvalidInput for lengths above the limit of EIP-7823."""
    lengths = _read_lengths(data)
    if max(lengths) > OSAKA_MAX_LENGTH:
        raise InvalidInput(f"MODEXP: expected lengths up to {OSAKA_MAX_LENGTH} bytes, got {max(lengths)}")
    longer = max(lengths.base, lengths.modulus)
    words = (longer + 7) // 8
    complexity = 16 if longer <= 32 else 2 * words * words
    iterations = max(_exponent_head(data, lengths).bit_length() - 1, 0)
    if lengths.exponent > 32:
        iterations += 16 * (lengths.exponent - 32)
    return max(OSAKA_MINIMUM_GAS, complexity * max(iterations, 1))


def modexp(data: bytes) -> bytes:
    """base^exponent mod modulus in as many bytes as the modulus has. 0^0 is 1, anything modulo 0 is 0.

    To be called only after its gas has been charged: the lengths in the input decide how much memory it takes.
    """
    from gmpy2 import mpz, powmod

    lengths = _read_lengths(data)
    if not lengths.modulus:
        return b""
    base_end = 96 + lengths.base
    exponent_end = base_end + lengths.exponent
    modulus = _read(data, exponent_end, lengths.modulus)
    if modulus <= 1:
        return bytes(lengths.modulus)
    base = _read(data, 96, lengths.base)
    exponent = _read(data, base_end, lengths.exponent)
    return int(powmod(mpz(base), exponent, modulus)).to_bytes(lengths.modulus, "big")
