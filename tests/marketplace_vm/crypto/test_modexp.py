"""MODEXP against Python's own pow and the price formulas as their EIPs write them."""

from __future__ import annotations

import pytest
from eth.vm.forks.berlin.computation import BERLIN_PRECOMPILES
from hypothesis import given, settings
from hypothesis import strategies as st

from dmchain.marketplace_vm.crypto import InvalidInput
from dmchain.marketplace_vm.crypto.modexp import compute_gas, compute_osaka_gas, modexp

parts = st.binary(max_size=80) | st.sampled_from((b"", b"\0", b"\1", b"\2", b"\0" * 40, b"\xff" * 40, b"\0\0\1"))
lengths = st.integers(0, 70) | st.sampled_from((2**32, 2**64, 2**255, 2**256 - 1))


def call(base: bytes, exponent: bytes, modulus: bytes, *, cut: int = 0) -> bytes:
    head = b"".join(len(part).to_bytes(32, "big") for part in (base, exponent, modulus))
    data = head + base + exponent + modulus
    return data[: len(data) - cut]


@settings(max_examples=300, deadline=None)
@given(parts, parts, parts)
def test_equals_python(base: bytes, exponent: bytes, modulus: bytes) -> None:
    b, e, m = (int.from_bytes(part, "big") for part in (base, exponent, modulus))
    expected = (pow(b, e, m) if m else 0).to_bytes(len(modulus), "big")
    assert modexp(call(base, exponent, modulus)) == expected


def test_an_empty_base_is_the_number_zero() -> None:
    assert modexp(call(b"", b"\0", b"\7")) == b"\1"
    assert modexp(call(b"", b"", b"\7")) == b"\1"
    assert modexp(call(b"", b"\2", b"\7")) == b"\0"
    assert modexp(call(b"", b"", b"\1")) == b"\0"
    assert modexp(call(b"\3", b"\2", b"")) == b""


@settings(max_examples=200, deadline=None)
@given(parts, parts, parts, st.integers(0, 200))
def test_bytes_past_the_end_are_zero(base: bytes, exponent: bytes, modulus: bytes, cut: int) -> None:
    whole = call(base, exponent, modulus)
    cut = min(cut, len(whole) - 96)
    short = whole[: len(whole) - cut]
    padded = short + bytes(cut)
    assert modexp(short) == modexp(padded)
    assert compute_gas(short) == compute_gas(padded)
    assert compute_osaka_gas(short) == compute_osaka_gas(padded)


@settings(max_examples=300, deadline=None)
@given(lengths, lengths, lengths, st.binary(max_size=120))
def test_gas_is_total_and_equals_the_formulas(base: int, exponent: int, modulus: int, rest: bytes) -> None:
    data = b"".join(size.to_bytes(32, "big") for size in (base, exponent, modulus)) + rest
    head_size = min(exponent, 32)
    head = int.from_bytes(rest[base : base + head_size].ljust(head_size, b"\0"), "big")

    def iterations(per_byte: int) -> int:
        count = max(head.bit_length() - 1, 0)
        return max(count if exponent <= 32 else per_byte * (exponent - 32) + count, 1)

    longest = max(base, modulus)
    assert compute_gas(data) == max(200, ((longest + 7) // 8) ** 2 * iterations(8) // 3)
    if max(base, exponent, modulus) > 1024:
        with pytest.raises(InvalidInput):
            compute_osaka_gas(data)
    else:
        complexity = 16 if longest <= 32 else 2 * ((longest + 7) // 8) ** 2
        assert compute_osaka_gas(data) == max(500, complexity * iterations(16))


def test_gas_equals_py_evm() -> None:
    class Charged(Exception):
        pass

    class Computation:
        def __init__(self, data: bytes) -> None:
            self.msg = self
            self.data_as_bytes = data

        def consume_gas(self, gas: int, reason: str) -> None:
            raise Charged(gas)

    slow = BERLIN_PRECOMPILES[bytes(19) + b"\x05"]
    for base in (0, 1, 8, 9, 64, 1025):
        for exponent in (0, 1, 31, 32, 33, 64, 10**9):
            for modulus in (0, 1, 33, 1024):
                for rest in (b"", bytes(3000), b"\xff" * 3000, b"\x00\x07" * 1500):
                    data = b"".join(size.to_bytes(32, "big") for size in (base, exponent, modulus)) + rest
                    with pytest.raises(Charged) as charged:
                        slow(Computation(data))
                    assert compute_gas(data) == charged.value.args[0]


def test_osaka_limits_are_inclusive() -> None:
    data = call(b"\1" * 1024, b"\1" * 1024, b"\1" * 1024)
    assert compute_osaka_gas(data) == 2 * 128**2 * (16 * 992 + 248)
    for grown in (call(b"\1" * 1025, b"", b""), call(b"", b"\1" * 1025, b""), call(b"", b"", b"\1" * 1025)):
        with pytest.raises(InvalidInput, match="1024"):
            compute_osaka_gas(grown)


def test_a_huge_exponent_without_modulus_costs_little_and_takes_no_memory() -> None:
    data = bytes(32) + (2**256 - 1).to_bytes(32, "big") + bytes(32)
    assert compute_gas(data) == 200
    assert modexp(data) == b""
