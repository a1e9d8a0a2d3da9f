"""BLS12-381 against py-evm's py_ecc code, point evaluation against ckzg."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from types import SimpleNamespace

import ckzg
import eth
import pytest
from eth.exceptions import VMError
from eth.precompiles.bls12_381 import bls12_381_g1, bls12_381_g2, bls12_381_pairing
from eth.precompiles.bls12_381.constants import G1_MSM_DISCOUNTS, G2_MSM_DISCOUNTS
from py_ecc.optimized_bls12_381 import G1, G2, multiply, neg

from dmchain.marketplace_vm.crypto import InvalidInput, bls12_381, bls12_381_gas

P = bls12_381.FIELD_MODULUS
R = bls12_381.GROUP_ORDER

TWINS = {
    "g1_add": bls12_381_g1.bls12_g1_add,
    "g1_multiply_sum": bls12_381_g1.bls12_g1_msm,
    "g2_add": bls12_381_g2.bls12_g2_add,
    "g2_multiply_sum": bls12_381_g2.bls12_g2_msm,
    "pairing_check": bls12_381_pairing.bls12_pairing_check,
    "map_fp_to_g1": bls12_381_g1.bls12_map_fp_to_g1,
    "map_fp2_to_g2": bls12_381_g2.bls12_map_fp2_to_g2,
}


def g1(scalar: int) -> bytes:
    return bls12_381_g1.g1_optimized_3d_to_bytes(multiply(G1, scalar % R))


def g2(scalar: int) -> bytes:
    return bls12_381_g2.g2_optimized_3d_to_bytes(multiply(G2, scalar % R))


def number(value: int) -> bytes:
    return value.to_bytes(64, "big")


def outside_g1() -> bytes:
    """A point of the curve that is not in the subgroup: x = 4 (found by search)."""
    y = pow(4**3 + 4, (P + 1) // 4, P)
    return number(4) + number(y)


def outside_g2() -> bytes:
    """The same on the twist: map to the curve without clearing the cofactor."""
    point = bls12_381_g2.map_to_curve_G2(bls12_381_g2.OPTIMIZED_FQ2((5, 7)))
    return bls12_381_g2.g2_optimized_3d_to_bytes(point)


A1, B1, A2, B2 = g1(5), g1(77), g2(5), g2(77)
ZERO1, ZERO2 = bytes(128), bytes(256)
S = [value.to_bytes(32, "big") for value in (0, 1, 2, R - 1, R, R + 5, 2**256 - 1)]

CASES = {
    "g1_add": [A1 + B1, A1 + A1, A1 + g1(-5), A1 + ZERO1, ZERO1 + ZERO1, outside_g1() + A1, outside_g1() * 2],
    "g2_add": [A2 + B2, A2 + A2, A2 + g2(-5), ZERO2 + A2, ZERO2 + ZERO2, outside_g2() + A2, outside_g2() * 2],
    "g1_multiply_sum": [
        *(A1 + s for s in S),
        ZERO1 + S[6],
        A1 + S[2] + B1 + S[6] + ZERO1 + S[4],
        A1 + S[2] + g1(-10) + S[1],
        (ZERO1 + S[1]) * 3,
        outside_g1() + S[1],
        A1 + S[1] + outside_g1() + S[0],
    ],
    "g2_multiply_sum": [
        *(A2 + s for s in (S[0], S[3], S[5])),
        ZERO2 + S[6],
        A2 + S[2] + B2 + S[6],
        outside_g2() + S[1],
    ],
    "pairing_check": [
        A1 + A2,
        ZERO1 + A2,
        A1 + ZERO2,
        g1(6) + g2(35) + g1(-210) + g2(1),
        outside_g1() + ZERO2,
        ZERO1 + outside_g2(),
    ],
    "map_fp_to_g1": [number(v) for v in (0, 1, 2, 12345678901234567890, P - 1, P // 2)],
    "map_fp2_to_g2": [number(a) + number(b) for a, b in ((0, 0), (0, 1), (P - 1, 3), (123456789, P - 2))],
}
BROKEN_NUMBERS = [number(P), number(2**384 - 1), b"\x01" + bytes(63), bytes(15) + b"\x01" + bytes(48), number(2**384)]


def twin(name: str, data: bytes) -> bytes | None:
    """py-evm's answer, None for an error."""
    computation = SimpleNamespace(msg=SimpleNamespace(data=data), consume_gas=lambda *_, **__: None, output=None)
    try:
        TWINS[name](computation)
    except VMError:
        return None
    return computation.output


def ours(name: str, data: bytes) -> bytes | None:
    try:
        return getattr(bls12_381, name)(data)
    except InvalidInput:
        return None


@pytest.mark.parametrize("name", CASES)
def test_operations_equal_py_ecc(name: str) -> None:
    answers = [ours(name, data) for data in CASES[name]]
    assert answers == [twin(name, data) for data in CASES[name]]
    assert len(set(answers)) > 1


@pytest.mark.parametrize("name", CASES)
def test_broken_numbers_are_refused_in_every_place(name: str) -> None:
    good = CASES[name][0]
    assert ours(name, good) is not None
    coordinates = {"g1_multiply_sum": 2, "g2_multiply_sum": 4}.get(name, len(good) // 64)
    for at in range(coordinates):
        for broken in [*BROKEN_NUMBERS, number(int.from_bytes(good[at * 64 : at * 64 + 64], "big") + P)]:
            data = good[: at * 64] + broken + good[at * 64 + 64 :]
            assert ours(name, data) is None
            assert twin(name, data) is None
        if "map" not in name:  # any number is mapped, but hardly any pair is a point
            data = good[: at * 64] + number(7) + good[at * 64 + 64 :]
            assert ours(name, data) is None


@pytest.mark.parametrize("name", CASES)
def test_other_lengths_are_refused(name: str) -> None:
    good = CASES[name][0]
    for data in (b"", good[:-1], good + b"\0", bytes(len(good) // 2)):
        assert ours(name, data) is None


def test_one_random_mutation_never_raises_anything_else() -> None:
    rng = random.Random(7)
    for name, cases in CASES.items():
        for _ in range(30):
            data = bytearray(rng.choice(cases))
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            ours(name, bytes(data))


def test_discounts_equal_py_evms() -> None:
    assert list(bls12_381_gas._G1_DISCOUNTS) == G1_MSM_DISCOUNTS
    assert list(bls12_381_gas._G2_DISCOUNTS) == G2_MSM_DISCOUNTS


def test_prices_grow_by_the_last_discount_past_the_table() -> None:
    assert bls12_381_gas.g1_multiply_sum(bytes(160)) == 12_000
    assert bls12_381_gas.g1_multiply_sum(bytes(160 * 128)) == 128 * 12_000 * 519 // 1000
    assert bls12_381_gas.g1_multiply_sum(bytes(160 * 500)) == 500 * 12_000 * 519 // 1000
    assert bls12_381_gas.g2_multiply_sum(bytes(288 * 200)) == 200 * 22_500 * 524 // 1000
    assert bls12_381_gas.pairing_check(bytes(768)) == 102_900
    for gas in (bls12_381_gas.g1_multiply_sum, bls12_381_gas.g2_multiply_sum, bls12_381_gas.pairing_check):
        with pytest.raises(InvalidInput):
            gas(b"")


# KZG


@pytest.fixture(scope="module")
def trusted_setup() -> object:
    return ckzg.load_trusted_setup(str(Path(eth.__file__).parent / "_utils" / "kzg_trusted_setup.txt"), 0)


def evaluation(commitment: bytes, z: bytes, y: bytes, proof: bytes) -> bytes:
    return b"\x01" + hashlib.sha256(commitment).digest()[1:] + z + y + commitment + proof


def ckzg_accepts(data: bytes, setup: object) -> bool:
    try:
        return bool(ckzg.verify_kzg_proof(data[96:144], data[32:64], data[64:96], data[144:], setup))
    except (RuntimeError, ValueError):
        return False


def we_accept(data: bytes) -> bool:
    try:
        assert bls12_381.evaluate_point(data) == (4096).to_bytes(32, "big") + R.to_bytes(32, "big")
    except InvalidInput:
        return False
    return True


def test_point_evaluation_agrees_with_ckzg(trusted_setup: object) -> None:
    rng = random.Random(3)
    blob = b"".join(rng.randrange(R).to_bytes(32, "big") for _ in range(4096))
    commitment = ckzg.blob_to_kzg_commitment(blob, trusted_setup)
    z = rng.randrange(R).to_bytes(32, "big")
    proof, y = ckzg.compute_kzg_proof(blob, z, trusted_setup)
    good = evaluation(commitment, z, y, proof)
    infinity = b"\xc0" + bytes(47)
    zero_blob = evaluation(infinity, z, bytes(32), infinity)
    for data in (good, zero_blob):
        assert ckzg_accepts(data, trusted_setup)
        assert we_accept(data)
    outside = (4).to_bytes(48, "big")
    bad_points = [
        b"\x80" + bytes(47),  # x = 0 is in the curve, not in the subgroup
        b"\xe0" + bytes(47),  # infinity with a sign
        b"\xc0" + bytes(46) + b"\x01",
        b"\x40" + bytes(47),
        bytes(48),
        bytes((outside[0] | 0x80,)) + outside[1:],
        bytes((proof[0] & 0x7F,)) + proof[1:],  # not compressed
        bytes((proof[0] ^ 0x20,)) + proof[1:],  # the opposite point
        b"\xff" * 48,
        (P | 1 << 383).to_bytes(48, "big"),
    ]
    variants = [evaluation(commitment, z, y, point) for point in bad_points]
    variants += [evaluation(point, z, y, proof) for point in bad_points]
    variants += [
        evaluation(commitment, (int.from_bytes(z, "big") + R).to_bytes(32, "big"), y, proof)
        if int.from_bytes(z, "big") + R < 2**256
        else evaluation(commitment, b"\xff" * 32, y, proof),
        evaluation(commitment, z, b"\xff" * 32, proof),
        evaluation(commitment, z, R.to_bytes(32, "big"), proof),
        evaluation(commitment, z, z, proof),
        evaluation(commitment, y, y, proof),
        evaluation(proof, z, y, commitment),
        evaluation(infinity, z, y, proof),
        evaluation(commitment, z, y, infinity),
    ]
    for data in variants:
        assert not ckzg_accepts(data, trusted_setup)
        assert not we_accept(data)
    for _ in range(40):
        mutated = bytearray(good)
        mutated[rng.randrange(32, 192)] ^= 1 << rng.randrange(8)
        data = evaluation(bytes(mutated[96:144]), bytes(mutated[32:64]), bytes(mutated[64:96]), bytes(mutated[144:]))
        assert we_accept(data) is ckzg_accepts(data, trusted_setup) is False


def test_point_evaluation_checks_length_and_versioned_hash() -> None:
    infinity = b"\xc0" + bytes(47)
    good = evaluation(infinity, bytes(32), bytes(32), infinity)
    assert we_accept(good)
    for data in (b"", good[:-1], good + b"\0", b"\x02" + good[1:], b"\x01" + bytes(31) + good[32:]):
        assert not we_accept(data)


def test_negation_helper_of_this_test_is_right() -> None:
    assert g1(-5) == bls12_381_g1.g1_optimized_3d_to_bytes(neg(multiply(G1, 5)))
