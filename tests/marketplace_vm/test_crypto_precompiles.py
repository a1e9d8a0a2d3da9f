"""The tables: same addresses, gas and answers as py-evm's, and no exception but VMError from any input."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from eth.exceptions import OutOfGas, VMError
from eth.vm.forks.prague.computation import PRAGUE_PRECOMPILES
from hypothesis import given, settings
from hypothesis import strategies as st

from dmchain.marketplace_vm.crypto import InvalidInput
from dmchain.marketplace_vm.crypto_precompiles import OSAKA_PRECOMPILES, PRECOMPILES

GAS_LIMIT = 3_000_000


class Computation:
    """As much of a py-evm computation as precompiles use."""

    def __init__(self, data: bytes, gas: int) -> None:
        self.msg = self
        self.data = data
        self.data_as_bytes = data
        self.gas = gas
        self.output = b""

    def consume_gas(self, amount: int, reason: str) -> None:
        if amount > self.gas:
            raise OutOfGas(reason)
        self.gas -= amount


def run(precompile: Any, data: bytes, gas: int = GAS_LIMIT) -> tuple[bytes, int] | None:
    """Return output and remaining gas, None for a failure."""
    computation = Computation(data, gas)
    try:
        precompile(computation)
    except VMError:
        return None
    return computation.output, computation.gas


def test_the_addresses_are_those_of_prague() -> None:
    assert set(PRECOMPILES) == set(PRAGUE_PRECOMPILES)
    assert [int.from_bytes(address, "big") for address in PRECOMPILES] == list(range(1, 0x12))
    assert set(OSAKA_PRECOMPILES) - set(PRECOMPILES) == {bytes(18) + b"\x01\x00"}


@pytest.mark.parametrize("address", PRECOMPILES, ids=lambda a: PRECOMPILES[a].name)
@pytest.mark.parametrize("size", [0, 1, 31, 32, 33, 64, 96, 128, 160, 192, 213, 256, 288, 384, 512])
def test_zeros_of_any_length_do_as_in_py_evm(address: bytes, size: int) -> None:
    data = bytes(size)
    assert run(PRECOMPILES[address], data) == run(PRAGUE_PRECOMPILES[address], data)


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6, 7, 9])
@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=300) | st.binary(min_size=213, max_size=213).map(lambda d: bytes(2) + d[2:-1] + b"\1"))
def test_random_input_does_as_in_py_evm(number: int, data: bytes) -> None:
    address = number.to_bytes(20, "big")
    if number == 5 and data[:32].strip(b"\0") == b"":
        return  # py-evm answers 0 for every base without bytes
    assert run(PRECOMPILES[address], data) == run(PRAGUE_PRECOMPILES[address], data)


@pytest.mark.parametrize("name", [p.name for p in (*PRECOMPILES.values(), *OSAKA_PRECOMPILES.values())])
@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=800), repeat=st.integers(1, 3))
def test_any_input_gives_output_or_invalid_input(name: str, data: bytes, repeat: int) -> None:
    for precompile in (*PRECOMPILES.values(), *OSAKA_PRECOMPILES.values()):
        if precompile.name == name:
            try:
                gas = precompile.compute_gas(data * repeat)
                assert isinstance(gas, int) and gas >= 0
                if gas < GAS_LIMIT:
                    assert type(precompile.run(data * repeat)) is bytes
            except InvalidInput:
                pass


def test_gas_is_charged_before_anything_is_computed() -> None:
    sizes = (2**255).to_bytes(32, "big") * 3  # would not fit in memory
    assert run(PRECOMPILES[bytes(19) + b"\x05"], sizes) is None
    rounds = b"\xff" * 4 + bytes(209)  # 4 billion rounds
    assert run(PRECOMPILES[bytes(19) + b"\x09"], rounds) is None
    for address, precompile in {**PRECOMPILES, **OSAKA_PRECOMPILES}.items():
        data = bytes({0x0C: 160, 0x0E: 288, 0x0F: 384}.get(int.from_bytes(address, "big"), 213))
        gas = precompile.compute_gas(data)
        if gas:
            with pytest.raises(OutOfGas):
                precompile(Computation(data, gas - 1))


def test_osaka_prices() -> None:
    assert run(OSAKA_PRECOMPILES[bytes(18) + b"\x01\x00"], b"", 6_900) == (b"", 0)
    assert run(OSAKA_PRECOMPILES[bytes(18) + b"\x01\x00"], b"", 6_899) is None
    assert run(OSAKA_PRECOMPILES[bytes(19) + b"\x05"], b"", 500) == (b"", 0)
    assert run(OSAKA_PRECOMPILES[bytes(19) + b"\x05"], (1025).to_bytes(32, "big")) is None


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    """And py-evm leaves py_ecc's BLS12-381 alone, while its own modules stay importable."""
    script = """
import sys
from dmchain.marketplace_vm.lean_imports import defer_curves
defer_curves()
from dmchain.marketplace_vm.crypto_precompiles import PRECOMPILES
import eth.vm.forks.prague as prague
for name in ("gmpy2", "py_arkworks_bls12381", "cryptography", "py_ecc.bls", "py_ecc.optimized_bls12_381"):
    assert name not in sys.modules, name
computation_class = prague.PragueVM.get_state_class().computation_class
assert computation_class.get_precompiles().keys() == PRECOMPILES.keys()
class Computation:
    data_as_bytes = bytes(256)
    def consume_gas(self, amount, reason): self.gas = amount
c = Computation(); c.msg = c
computation_class.get_precompiles()[bytes(19) + b"\\x0b"](c)
assert (c.output, c.gas) == (bytes(128), 375)
from eth.precompiles.bls12_381.bls12_381_g1 import bls12_g1_add
assert bls12_g1_add.__module__ == "eth.precompiles.bls12_381.bls12_381_g1"
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
