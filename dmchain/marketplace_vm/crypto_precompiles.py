"""The cryptographic precompiles of Prague and Osaka, faster than py-evm's and callable without it.

py-evm computes most of these in pure Python: a block of 30 Mgas of BLS, bn254 or BLAKE2 calls would take minutes.
It also differs from the rules in two places, both right here: MODEXP with a base of length 0 (the number 0, and
0**0 is 1), and the trusted setup read from disk at each point evaluation. docs/precompile-speed.md has the figures.

Heavy libraries are imported on the first call that needs them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from eth.exceptions import VMError

from dmchain.chain.primitives.types import Address
from dmchain.marketplace_vm.crypto import InvalidInput, bls12_381_gas, classic, modexp

_TRUE = bytes(31) + b"\x01"
_FALSE = bytes(32)


@dataclass(frozen=True, slots=True)
class Precompile:
    """A precompile as two functions of the input; called with a py-evm computation it does what py-evm expects.

    `compute_gas` is cheap, `run` may only be called after that gas was charged. Both raise InvalidInput, which burns
    all gas of the call, and nothing else.
    """

    name: str
    compute_gas: Callable[[bytes], int]
    run: Callable[[bytes], bytes]

    def __call__(self, computation: Any) -> Any:
        """Charge, compute, set the output. Raises OutOfGas or VMError."""
        data = computation.msg.data_as_bytes
        try:
            computation.consume_gas(self.compute_gas(data), reason=self.name)
            computation.output = self.run(data)
        except InvalidInput as error:
            raise VMError(f"{self.name}: {error}") from error
        return computation


def _fixed(gas: int) -> Callable[[bytes], int]:
    return lambda data: gas


def _per_word(base: int, word: int) -> Callable[[bytes], int]:
    return lambda data: base + word * ((len(data) + 31) // 32)


def _bn254_add(data: bytes) -> bytes:
    from dmchain.marketplace_vm.crypto import bn254

    return bn254.add(data)


def _bn254_multiply(data: bytes) -> bytes:
    from dmchain.marketplace_vm.crypto import bn254

    return bn254.multiply(data)


def _bn254_pairing(data: bytes) -> bytes:
    from dmchain.marketplace_vm.crypto import bn254

    return _TRUE if bn254.pairing_check(data) else _FALSE


def _bn254_pairing_gas(data: bytes) -> int:
    """EIP-1108."""
    return 45_000 + 34_000 * (len(data) // 192)


def _bls(function: str) -> Callable[[bytes], bytes]:
    def run(data: bytes) -> bytes:
        from dmchain.marketplace_vm.crypto import bls12_381

        result: bytes = getattr(bls12_381, function)(data)
        return result

    return run


def _address(number: int) -> Address:
    return Address(number.to_bytes(20, "big"))


PRECOMPILES: Mapping[Address, Precompile] = MappingProxyType(
    {
        _address(0x01): Precompile("ECRECOVER", _fixed(3_000), classic.ecrecover),
        _address(0x02): Precompile("SHA256", _per_word(60, 12), classic.sha256),
        _address(0x03): Precompile("RIPEMD160", _per_word(600, 120), classic.ripemd160),
        _address(0x04): Precompile("IDENTITY", _per_word(15, 3), bytes),
        _address(0x05): Precompile("MODEXP", modexp.compute_gas, modexp.modexp),
        # EIP-1108 prices
        _address(0x06): Precompile("BN254_ADD", _fixed(150), _bn254_add),
        _address(0x07): Precompile("BN254_MUL", _fixed(6_000), _bn254_multiply),
        _address(0x08): Precompile("BN254_PAIRING", _bn254_pairing_gas, _bn254_pairing),
        _address(0x09): Precompile("BLAKE2F", classic.read_blake2f_rounds, classic.blake2f),
        _address(0x0A): Precompile("KZG_POINT_EVALUATION", _fixed(50_000), _bls("evaluate_point")),
        _address(0x0B): Precompile("BLS12_G1ADD", _fixed(375), _bls("g1_add")),
        _address(0x0C): Precompile("BLS12_G1MSM", bls12_381_gas.g1_multiply_sum, _bls("g1_multiply_sum")),
        _address(0x0D): Precompile("BLS12_G2ADD", _fixed(600), _bls("g2_add")),
        _address(0x0E): Precompile("BLS12_G2MSM", bls12_381_gas.g2_multiply_sum, _bls("g2_multiply_sum")),
        _address(0x0F): Precompile("BLS12_PAIRING_CHECK", bls12_381_gas.pairing_check, _bls("pairing_check")),
        _address(0x10): Precompile("BLS12_MAP_FP_TO_G1", _fixed(5_500), _bls("map_fp_to_g1")),
        _address(0x11): Precompile("BLS12_MAP_FP2_TO_G2", _fixed(23_800), _bls("map_fp2_to_g2")),
    }
)
"""By address, as of Prague."""

OSAKA_PRECOMPILES: Mapping[Address, Precompile] = MappingProxyType(
    {
        _address(0x05): Precompile("MODEXP", modexp.compute_osaka_gas, modexp.modexp),
        _address(0x100): Precompile("P256VERIFY", _fixed(6_900), classic.p256_verify),
    }
)
"""What Osaka changes and adds: to be laid over PRECOMPILES."""
