"""bn254 against py_ecc and against the structure of the groups."""

from __future__ import annotations

import random
from math import gcd

import pytest
from eth._utils.bn128 import validate_point
from eth_utils import ValidationError
from hypothesis import given, settings
from hypothesis import strategies as st
from py_ecc import optimized_bn128 as slow

from dmchain.marketplace_vm.crypto import InvalidInput, bn254

P = bn254.FIELD_MODULUS
R = bn254.CURVE_ORDER
COFACTOR = 2 * P - R

scalars = st.integers(0, 2**256 - 1) | st.sampled_from((0, 1, 2, 3, R - 1, R, R + 1, 2 * R, 2**128, 2**256 - 1))


def encode_g1(point: object) -> bytes:
    if slow.is_inf(point):
        return bytes(64)
    return b"".join(int(value.n).to_bytes(32, "big") for value in slow.normalize(point))


def encode_g2(point: object) -> bytes:
    if slow.is_inf(point):
        return bytes(128)
    return b"".join(int(v.coeffs[k]).to_bytes(32, "big") for v in slow.normalize(point) for k in (1, 0))


G1 = encode_g1(slow.G1)
G2 = encode_g2(slow.G2)


def times_g1(scalar: int) -> bytes:
    return bn254.multiply(G1 + (scalar % R).to_bytes(32, "big"))


def point_outside_g2(seed: int) -> object:
    """A random point of the twist; the cofactor is 254 bits long, so it is never in G2."""
    rng = random.Random(seed)
    while True:
        x = slow.FQ2([rng.randrange(P), rng.randrange(P)])
        square = x**3 + slow.b2
        # a square root in Fp2 for p = 3 mod 4
        a1 = square ** ((P - 3) // 4)
        root = a1 * square
        alpha = a1 * root
        if alpha == slow.FQ2([P - 1, 0]):
            root = root * slow.FQ2([0, 1])
        else:
            root = root * (alpha + slow.FQ2.one()) ** ((P - 1) // 2)
        if root * root == square:
            return (x, root, slow.FQ2.one())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, R - 1), scalars)
def test_multiplication_equals_py_ecc(start: int, scalar: int) -> None:
    point = slow.multiply(slow.G1, start)
    expected = encode_g1(slow.multiply(point, scalar))
    assert bn254.multiply(encode_g1(point) + scalar.to_bytes(32, "big")) == expected


@settings(max_examples=200, deadline=None)
@given(st.integers(0, R - 1), scalars)
def test_multiplication_equals_double_and_add(start: int, scalar: int) -> None:
    point = bn254._read_g1(times_g1(start))
    plain = bn254._g1_multiply_plain(point, scalar)
    assert bn254._g1_multiply(point, scalar) == plain


@settings(max_examples=40, deadline=None)
@given(st.integers(-3, 3), st.integers(-3, 3), st.integers(0, R))
def test_addition_equals_py_ecc(a: int, b: int, shift: int) -> None:
    """Small differences: equal, opposite and infinite operands are common."""
    left, right = times_g1(a + shift), times_g1(b - shift)
    expected = slow.multiply(slow.G1, (a + b) % R)
    assert bn254.add(left + right) == encode_g1(expected)


def test_short_input_is_padded_and_long_input_cut() -> None:
    assert bn254.add(b"") == bytes(64)
    assert bn254.multiply(b"") == bytes(64)
    assert bn254.add(G1) == G1
    assert bn254.add(G1 + bytes(64) + b"more") == G1
    assert bn254.multiply(G1 + b"\x01") == times_g1(1 << 248)
    assert bn254.multiply(G1 + (3).to_bytes(32, "big") + b"more") == times_g1(3)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from((0, 1, 2, 3, P - 2, P - 1, P, P + 1, P + 2, 2**256 - 1)) | st.integers(0, 2**256 - 1),
    st.sampled_from((0, 1, 2, 3, P - 2, P - 1, P, P + 1, P + 2, 2**256 - 1)),
)
def test_the_same_points_are_refused_as_in_py_evm(x: int, y: int) -> None:
    data = x.to_bytes(32, "big") + y.to_bytes(32, "big")
    try:
        validate_point(x, y)
    except ValidationError:
        for function in (bn254.add, bn254.multiply):
            with pytest.raises(InvalidInput):
                function(data)
        with pytest.raises(InvalidInput):
            bn254.pairing_check(data + G2)
    else:
        assert bn254.add(data) == data


@settings(max_examples=10, deadline=None)
@given(st.integers(1, R - 1), st.integers(1, R - 1), st.integers(-1, 1))
def test_pairing_is_bilinear(a: int, b: int, error: int) -> None:
    q = encode_g2(slow.multiply(slow.G2, b))
    data = times_g1(a) + q + times_g1(error - a * b) + G2
    assert bn254.pairing_check(data) is (error == 0)
    assert bn254.pairing_check(times_g1(a + 1) + q + times_g1(7) + G2 + data) is False


def test_pairing_of_one_pair_equals_py_ecc_up_to_the_exponent() -> None:
    """Both values are e(P, Q)^((p^12 - 1) / r) to a power known to be prime to r."""
    p, q = slow.multiply(slow.G1, 1234), slow.multiply(slow.G2, 56789)
    walk = bn254._G2Walk(bn254._read_g1(encode_g1(p)), bn254._read_g2(encode_g2(q)))
    ours = bn254._final_exponentiation(bn254._miller_loop([walk]))
    power = 2 * bn254.U * (6 * bn254.U**2 + 3 * bn254.U + 1)
    assert gcd(power, R) == 1
    theirs = slow.pairing(q, p) ** (power % R)
    # py_ecc: Fp12 = Fp[w] / (w^12 - 18 w^6 + 82), where i = w^6 - 9
    real = [int(v) for v in bn254.unpack(ours[0], bn254._SLOT)]
    imaginary = [int(v) for v in bn254.unpack(ours[1], bn254._SLOT)]
    flat = [(r - 9 * i) % P for r, i in zip(real, imaginary, strict=True)] + imaginary
    assert flat == [int(c) for c in theirs.coeffs]


def test_infinity_pairs_with_everything_to_one() -> None:
    assert bn254.pairing_check(b"") is True
    assert bn254.pairing_check(bytes(192)) is True
    assert bn254.pairing_check(G1 + bytes(128)) is True
    assert bn254.pairing_check(bytes(64) + G2) is True
    assert bn254.pairing_check(G1 + G2) is False
    assert bn254.pairing_check(G1 + G2 + bytes(64) + G2 + G1 + bytes(128)) is False


@pytest.mark.parametrize("seed", range(4))
def test_points_outside_g2_are_refused(seed: int) -> None:
    point = point_outside_g2(seed)
    assert slow.is_on_curve(point, slow.b2)
    for p in (G1, bytes(64)):
        with pytest.raises(InvalidInput, match="not in G2"):
            bn254.pairing_check(p + encode_g2(point))
    inside = slow.multiply(point, COFACTOR)
    assert bn254.pairing_check(G1 + encode_g2(inside) + times_g1(-1) + encode_g2(inside)) is True
    # off by a point of small order: 10069 is the smallest prime factor of the cofactor
    small = slow.multiply(point, R * COFACTOR // 10069)
    assert not slow.is_inf(small)
    for outside in (small, slow.add(inside, small)):
        with pytest.raises(InvalidInput, match="not in G2"):
            bn254.pairing_check(G1 + encode_g2(outside))


def test_g2_points_off_the_twist_or_out_of_range_are_refused() -> None:
    for at in range(0, 128, 32):
        number = int.from_bytes(G2[at : at + 32], "big")
        for wrong in (number + 1, number + P, 2**256 - 1):
            data = G2[:at] + wrong.to_bytes(32, "big") + G2[at + 32 :]
            with pytest.raises(InvalidInput):
                bn254.pairing_check(G1 + data)


@pytest.mark.parametrize("size", [1, 191, 193, 383])
def test_pairing_input_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(InvalidInput, match="multiple of 192"):
        bn254.pairing_check(bytes(size))


def test_the_end_of_the_walk_decides_about_g2() -> None:
    """The proof behind `_G2Walk`: the norm of 6U + 2 + psi - psi^2 + psi^3 and the cofactor share no factor."""
    trace = P + 1 - R
    constant = linear = 0  # constant + linear * psi, by Horner with psi^2 = trace * psi - p
    for coefficient in (1, -1, 1, 6 * bn254.U + 2):
        constant, linear = coefficient - linear * P, constant + linear * trace
    norm = constant**2 + trace * constant * linear + P * linear**2
    assert norm % R == 0
    assert gcd(norm, COFACTOR) == 1


def test_products_of_the_largest_values_do_not_overflow_a_slot() -> None:
    full = bn254.pack([bn254.mpz(P)] * 6, bn254._SLOT)
    assert bn254._multiply((full, full), (full, full)) == (0, 0)
    assert bn254._square((full, full)) == (0, 0)
    assert 156 * P * P < 1 << bn254._SLOT


@settings(max_examples=50, deadline=None)
@given(st.randoms(use_true_random=False))
def test_fp12_is_a_field(rng: random.Random) -> None:
    def element() -> tuple[object, object]:
        picks = [rng.choice((0, 1, P - 1, rng.randrange(P))) for _ in range(12)]
        return (
            bn254.pack([bn254.mpz(v) for v in picks[:6]], bn254._SLOT),
            bn254.pack([bn254.mpz(v) for v in picks[6:]], bn254._SLOT),
        )

    a, b, c = element(), element(), element()
    multiply = bn254._multiply
    assert multiply(a, multiply(b, c)) == multiply(multiply(a, b), c)
    assert bn254._square(a) == multiply(a, a)
    if a != (0, 0):
        assert multiply(a, bn254._invert(a)) == bn254._ONE
    assert bn254._frobenius(multiply(a, b), 1) == multiply(bn254._frobenius(a, 1), bn254._frobenius(b, 1))
    assert bn254._frobenius(bn254._frobenius(a, 1), 2) == multiply(bn254._frobenius(a, 3), bn254._ONE)
    assert multiply(bn254._conjugate(a), bn254._ONE) == bn254._frobenius(bn254._frobenius(a, 3), 3)
