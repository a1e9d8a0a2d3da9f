"""Curve arithmetic of alt_bn128 for the precompiles of EIP-196 and EIP-197.

No maintained wheel offers this curve for CPython 3.11 to 3.14, so it is written here on gmpy2, where it is 15 to 100
times faster than py_ecc. What the speed rests on:

- A modular inversion by GMP costs only four multiplications, so points stay affine and formulas stay short.
- An element of Fp12 is held as two big integers, its real and imaginary coefficients packed SLOT bits apart. A product
  in Fp12 is then three multiplications of 3,100-bit integers, and each coefficient is reduced once.
- The pairs of one check share the squarings of the Miller loop and the final exponentiation.
- Membership in G2 follows from where the Miller loop ends, at no extra cost (see `_G2Walk`).

E:  y^2 = x^3 + 3 over Fp.      Fp2 = Fp[i] / (i^2 + 1).     XI = 9 + i.
E': y^2 = x^3 + 3 / XI over Fp2, the twist, mapped to E by (x, y) -> (x w^2, y w^3).    Fp12 = Fp2[w] / (w^6 - XI).

Nothing here is secret, so nothing runs in constant time.
"""

from __future__ import annotations

from typing import TypeAlias

from gmpy2 import invert, mpz, pack, powmod, unpack

from dmchain.marketplace_vm.crypto import InvalidInput

U = 4965661367192848881
"""The parameter of this Barreto-Naehrig curve: everything else follows from it."""
FIELD_MODULUS = 36 * U**4 + 36 * U**3 + 24 * U**2 + 6 * U + 1
CURVE_ORDER = 36 * U**4 + 36 * U**3 + 18 * U**2 + 6 * U + 1

POINT_SIZE = 64
PAIR_SIZE = 192

G1Point: TypeAlias = tuple[mpz, mpz] | None
"""Affine, None at infinity."""
Fp2: TypeAlias = tuple[mpz, mpz]
"""Real and imaginary part."""
Fp12: TypeAlias = tuple[mpz, mpz]
"""The real and the imaginary parts of the coefficients of w^0 .. w^5, packed SLOT bits apart, each 0 to p."""

_P = mpz(FIELD_MODULUS)
_R = CURVE_ORDER


class InvalidPoint(InvalidInput):
    """Coordinates are out of range, or not those of a point of the group."""


# G1


def _read_g1(data: bytes) -> G1Point:
    x, y = mpz(int.from_bytes(data[:32], "big")), mpz(int.from_bytes(data[32:], "big"))
    if x >= _P or y >= _P:
        raise InvalidPoint("a coordinate is not below the field modulus")
    if not x and not y:
        return None
    if (y * y - x * x * x - 3) % _P:
        raise InvalidPoint("the point is not on the curve")
    return x, y  # the curve's order is prime, so every point is in the group


def _write_g1(point: G1Point) -> bytes:
    if point is None:
        return bytes(POINT_SIZE)
    return int(point[0]).to_bytes(32, "big") + int(point[1]).to_bytes(32, "big")


def _g1_add(p: G1Point, q: G1Point) -> G1Point:
    if p is None:
        return q
    if q is None:
        return p
    x1, y1 = p
    x2, y2 = q
    if x1 != x2:
        slope = (y2 - y1) * invert(x2 - x1, _P) % _P
    elif y1 == y2:  # and not 0: no point has order 2
        slope = 3 * x1 * x1 * invert(2 * y1, _P) % _P
    else:
        return None
    x3 = (slope * slope - x1 - x2) % _P
    return x3, (slope * (x1 - x3) - y1) % _P


def _signed_digits(number: int, width: int) -> dict[int, int]:
    """Return the width-`width` non-adjacent form: position -> digit, odd and below 2^(width - 1) in size."""
    digits = {}
    modulus = 1 << width
    while number:
        at = (number & -number).bit_length() - 1
        digit = (number >> at) & (modulus - 1)
        if digit >= modulus >> 1:
            digit -= modulus
        digits[at] = digit
        number -= digit << at
    return digits


def _cube_root_of_one(modulus: int) -> int:
    """Return the first primitive cube root of 1 met when trying small bases; the modulus is 1 mod 3."""
    base = 2
    while (root := int(powmod(base, (modulus - 1) // 3, modulus))) == 1:
        base += 1
    return root


def _short_basis(eigenvalue: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return two short vectors (a, b) with a + b * eigenvalue = 0 mod r: half an extended Euclid."""
    old_r, r, old_t, t = _R, eigenvalue, 0, 1
    while r * r > _R:
        quotient = old_r // r
        old_r, r = r, old_r - quotient * r
        old_t, t = t, old_t - quotient * t
    return (r, -t), (old_r, -old_t)


_BETA = mpz(_cube_root_of_one(FIELD_MODULUS))
"""(x, y) -> (BETA x, y) is an endomorphism of E, multiplication by LAMBDA, one of the two cube roots of 1 mod r."""


def _matching_eigenvalue() -> int:
    root = _cube_root_of_one(_R)
    generator: G1Point = (mpz(1), mpz(2))
    image: G1Point = (_BETA, mpz(2))
    return root if _g1_multiply_plain(generator, root) == image else root * root % _R


def _g1_multiply_plain(point: G1Point, scalar: int) -> G1Point:
    result: G1Point = None
    for bit in bin(scalar)[2:]:
        result = _g1_add(result, result)
        if bit == "1":
            result = _g1_add(result, point)
    return result


_LAMBDA = _matching_eigenvalue()
(_A1, _B1), (_A2, _B2) = _short_basis(_LAMBDA)
_DETERMINANT = _A1 * _B2 - _A2 * _B1
_WINDOW = 5


def _g1_multiply(point: G1Point, scalar: int) -> G1Point:
    """scalar * point by the endomorphism: two half-length scalars share their doublings."""
    scalar %= _R
    if point is None or not scalar:
        return None
    # subtract from (scalar, 0) the nearest lattice vector
    c1 = (2 * _B2 * scalar + _DETERMINANT) // (2 * _DETERMINANT)
    c2 = (-2 * _B1 * scalar + _DETERMINANT) // (2 * _DETERMINANT)
    halves = (scalar - c1 * _A1 - c2 * _A2, -c1 * _B1 - c2 * _B2)
    double = _g1_add(point, point)
    multiples = [point]  # 1, 3, 5, .. 15 times the point, none at infinity
    for _ in range((1 << (_WINDOW - 2)) - 1):
        multiples.append(_finite(_g1_add(multiples[-1], double)))
    additions: dict[int, list[tuple[mpz, mpz]]] = {}
    for half, table in zip(halves, (multiples, [(_BETA * x % _P, y) for x, y in multiples]), strict=True):
        for at, digit in _signed_digits(half, _WINDOW).items():
            x, y = table[abs(digit) >> 1]
            additions.setdefault(at, []).append((x, y if digit > 0 else _P - y))
    x, y, z = mpz(1), mpz(1), mpz(0)  # Jacobian: (x / z^2, y / z^3), here at infinity
    for at in range(max(additions), -1, -1):
        square = y * y % _P
        cross = 4 * x * square % _P
        tangent = 3 * x * x % _P
        z = 2 * y * z % _P
        x = (tangent * tangent - cross - cross) % _P
        y = (tangent * (cross - x) - 8 * square * square) % _P
        for x2, y2 in additions.get(at, ()):
            x, y, z = _add_affine(x, y, z, x2, y2)
    if not z:
        return None
    inverse = invert(z, _P)
    square = inverse * inverse % _P
    return x * square % _P, y * square * inverse % _P


def _finite(point: G1Point) -> tuple[mpz, mpz]:
    assert point is not None
    return point


def _add_affine(x: mpz, y: mpz, z: mpz, x2: mpz, y2: mpz) -> tuple[mpz, mpz, mpz]:
    """Add a point that is not at infinity to one in Jacobian coordinates."""
    if not z:
        return x2, y2, mpz(1)
    square = z * z % _P
    run = (x2 * square - x) % _P
    rise = (y2 * z % _P * square - y) % _P
    if not run:
        both = None if rise else _g1_add((x2, y2), (x2, y2))
        return (mpz(1), mpz(1), mpz(0)) if both is None else (*both, mpz(1))
    run2 = run * run % _P
    run3 = run * run2 % _P
    cross = x * run2 % _P
    new = (rise * rise - run3 - cross - cross) % _P
    return new, (rise * (cross - new) - y * run3) % _P, z * run % _P


def add(data: bytes) -> bytes:
    """EIP-196 addition: two points, 128 bytes, missing ones are zero, to 64. Raises InvalidPoint."""
    data = data[:128].ljust(128, b"\0")
    return _write_g1(_g1_add(_read_g1(data[:64]), _read_g1(data[64:])))


def multiply(data: bytes) -> bytes:
    """EIP-196 multiplication: a point and any scalar, 96 bytes, missing ones are zero, to 64. Raises InvalidPoint."""
    data = data[:96].ljust(96, b"\0")
    return _write_g1(_g1_multiply(_read_g1(data[:64]), int.from_bytes(data[64:], "big")))


# Fp2, where it is not written out


def _fp2_multiply(a: Fp2, b: Fp2) -> Fp2:
    return (a[0] * b[0] - a[1] * b[1]) % _P, (a[0] * b[1] + a[1] * b[0]) % _P


def _fp2_invert(a: Fp2) -> Fp2:
    scale = invert(a[0] * a[0] + a[1] * a[1], _P)
    return a[0] * scale % _P, -a[1] * scale % _P


def _fp2_power(a: Fp2, exponent: int) -> Fp2:
    result = (mpz(1), mpz(0))
    for bit in bin(exponent)[2:]:
        result = _fp2_multiply(result, result)
        if bit == "1":
            result = _fp2_multiply(result, a)
    return result


_XI: Fp2 = (mpz(9), mpz(1))
_TWIST_B = _fp2_multiply((mpz(3), mpz(0)), _fp2_invert(_XI))

# Fp12

_SLOT = 520
"""Bits per coefficient. Before reduction one is below 156 p^2 < 2^516 (see `_reduce`), and never negative."""
_LOW_SLOTS = 6 * _SLOT
_LOW_MASK = (mpz(1) << _LOW_SLOTS) - 1
_LIFT_PRODUCT = pack([8 * _P * _P] * 11, _SLOT)
"""A multiple of p in each slot, above the 6 p^2 that is subtracted there."""
_LIFT_RESULT = pack([16 * _P * _P] * 6, _SLOT)
"""The same against 12 p^2."""
_ODD_SLOTS = sum((((mpz(1) << _SLOT) - 1) << (j * _SLOT) for j in (1, 3, 5)), mpz(0))
_P_IN_ODD_SLOTS = sum((_P << (j * _SLOT) for j in (1, 3, 5)), mpz(0))
_ONE: Fp12 = (mpz(1), mpz(0))


def _reduce(real: mpz, imaginary: mpz) -> Fp12:
    """Fold the coefficients of w^6 .. w^10 down by w^6 = 9 + i, and reduce each modulo p.

    `real` comes lifted: its slots are below 14 p^2, those of `imaginary` below 12 p^2.
    """
    real_high = real >> _LOW_SLOTS
    imaginary_high = imaginary >> _LOW_SLOTS
    low = (real & _LOW_MASK) + 9 * real_high - imaginary_high + _LIFT_RESULT
    high = (imaginary & _LOW_MASK) + real_high + 9 * imaginary_high
    return (
        pack([slot % _P for slot in unpack(low, _SLOT)], _SLOT),
        pack([slot % _P for slot in unpack(high, _SLOT)], _SLOT) if high else high,
    )


def _multiply(a: Fp12, b: Fp12) -> Fp12:
    real = a[0] * b[0]
    imaginary = a[1] * b[1]
    cross = (a[0] + a[1]) * (b[0] + b[1]) - real - imaginary
    return _reduce(real - imaginary + _LIFT_PRODUCT, cross)


def _square(a: Fp12) -> Fp12:
    real = a[0] * a[0]
    imaginary = a[1] * a[1]
    cross = a[0] * a[1]
    return _reduce(real - imaginary + _LIFT_PRODUCT, cross + cross)


def _conjugate(a: Fp12) -> Fp12:
    """a^(p^6): w becomes -w. The inverse of what the easy part of the final exponentiation gives."""
    return (
        a[0] + _P_IN_ODD_SLOTS - 2 * (a[0] & _ODD_SLOTS),
        a[1] + _P_IN_ODD_SLOTS - 2 * (a[1] & _ODD_SLOTS),
    )


def _fp2_powers(a: Fp2) -> list[Fp2]:
    powers = [(mpz(1), mpz(0))]
    for _ in range(5):
        powers.append(_fp2_multiply(powers[-1], a))
    return powers


_FROBENIUS = [_fp2_powers(_fp2_power(_XI, (FIELD_MODULUS**k - 1) // 6)) for k in (1, 2, 3)]
"""w^(p^k) = w * XI^((p^k - 1) / 6): per k and power of w the factor of its coefficient."""


def _frobenius(a: Fp12, power: int) -> Fp12:
    """a^(p^power) for power 1, 2 or 3."""
    real, imaginary = unpack(a[0], _SLOT), unpack(a[1], _SLOT)
    real += [mpz(0)] * (6 - len(real))
    imaginary += [mpz(0)] * (6 - len(imaginary))
    sign = -1 if power & 1 else 1
    pairs = [
        _fp2_multiply((x, sign * y), factor)
        for x, y, factor in zip(real, imaginary, _FROBENIUS[power - 1], strict=True)
    ]
    return pack([x for x, _ in pairs], _SLOT), pack([y for _, y in pairs], _SLOT)


def _invert(a: Fp12) -> Fp12:
    """Multiply by conjugates until only a number of Fp2 is left, and invert that."""
    conjugate = _conjugate(a)
    in_fp6 = _multiply(a, conjugate)
    step = _frobenius(in_fp6, 2)
    others = _multiply(step, _frobenius(step, 2))
    norm = _multiply(in_fp6, others)
    scale = _fp2_invert((norm[0] & ((mpz(1) << _SLOT) - 1), norm[1] & ((mpz(1) << _SLOT) - 1)))
    return _multiply(_multiply(conjugate, others), scale)


_U_DIGITS = _signed_digits(U, 4)
_U_TOP = max(_U_DIGITS)


def _power_u(a: Fp12) -> Fp12:
    """a^U for an `a` whose conjugate is its inverse."""
    square = _square(a)
    odd_powers = [a]
    for _ in range(3):
        odd_powers.append(_multiply(odd_powers[-1], square))
    result = odd_powers[_U_DIGITS[_U_TOP] >> 1]
    for at in range(_U_TOP - 1, -1, -1):
        result = _square(result)
        digit = _U_DIGITS.get(at, 0)
        if digit > 0:
            result = _multiply(result, odd_powers[digit >> 1])
        elif digit:
            result = _multiply(result, _conjugate(odd_powers[-digit >> 1]))
    return result


def _final_exponentiation(f: Fp12) -> Fp12:
    """f^(c (p^12 - 1) / r) with c = 2 U (6 U^2 + 3 U + 1), which r does not divide.

    The chain is that of Fuentes-Castaneda, Knapp and Rodriguez-Henriquez, "Faster hashing to G2" (2011), 4.1.
    """
    f = _multiply(_conjugate(f), _invert(f))
    f = _multiply(_frobenius(f, 2), f)  # the easy part: (p^6 - 1)(p^2 + 1)
    f_u = _conjugate(_power_u(f))
    y1 = _square(f_u)
    y3 = _multiply(_square(y1), y1)
    y4 = _conjugate(_power_u(y3))
    y6 = _power_u(_square(y4))
    y8 = _multiply(_multiply(y6, y4), _conjugate(y3))
    y9 = _multiply(y8, y1)
    y11 = _multiply(_multiply(y8, y4), f)
    y13 = _multiply(_frobenius(y9, 1), y11)
    y14 = _multiply(_frobenius(y8, 2), y13)
    return _multiply(_frobenius(_multiply(_conjugate(f), y9), 3), y14)


# The Miller loop

_PSI_X = _FROBENIUS[0][2]
_PSI_Y = _FROBENIUS[0][3]
_LOOP_DIGITS = _signed_digits(6 * U + 2, 2)
_LOOP_TOP = max(_LOOP_DIGITS)


class _G2Walk:
    """One pair (P, Q) on its way through the optimal ate loop: T runs from Q to (6U + 2) Q and two steps further.

    INVARIANT: Q is on E', T is a multiple of it (plus images under psi) and neither is at infinity. psi is the
    Frobenius map of E carried over to E'; on G2 it multiplies by p, and (6U + 2) + p - p^2 + p^3 = 0 mod r. So for
    Q in G2 the walk ends with T = -psi^3(Q). The converse holds: the norm of 6U + 2 + psi - psi^2 + psi^3 in
    Z[psi] / (psi^2 - (p + 1 - r) psi + p) has no factor in common with the cofactor 2p - r of E'. A point outside G2
    may also meet a vertical line on the way, which for one in G2 cannot happen: either way it is found out.
    """

    __slots__ = ("_minus_xp", "_q", "_t", "_yp")

    def __init__(self, p: G1Point, q: tuple[Fp2, Fp2]) -> None:
        self._minus_xp, self._yp = (mpz(0), mpz(0)) if p is None else (_P - p[0], p[1])
        self._q = self._t = (*q[0], *q[1])

    def double(self) -> Fp12:
        """T = 2T; return the tangent at T, evaluated at P."""
        x0, x1, y0, y1 = self._t
        square0, square1 = 3 * (x0 + x1) * (x0 - x1), 6 * x0 * x1
        return self._step(square0, square1, y0 + y0, y1 + y1, x0, x1)

    def add_q(self, sign: int) -> Fp12:
        x0, x1, y0, y1 = self._q
        return self._add(x0, x1, y0, y1) if sign > 0 else self._add(x0, x1, -y0, -y1)

    def add_images(self) -> tuple[Fp12, Fp12]:
        """T = T + psi(Q) - psi^2(Q); return both lines. Raises InvalidPoint for Q outside G2."""
        first = self._psi(self._q)
        second = self._psi(first)
        third = self._psi(second)
        lines = self._add(*first), self._add(second[0], second[1], -second[2], -second[3])
        if self._t != (third[0], third[1], -third[2] % _P, -third[3] % _P):
            raise InvalidPoint("the point is not in G2")
        return lines

    @staticmethod
    def _psi(point: tuple[mpz, mpz, mpz, mpz]) -> tuple[mpz, mpz, mpz, mpz]:
        x0, x1, y0, y1 = point
        return (*_fp2_multiply((x0, -x1), _PSI_X), *_fp2_multiply((y0, -y1), _PSI_Y))

    def _add(self, x0: mpz, x1: mpz, y0: mpz, y1: mpz) -> Fp12:
        tx0, tx1, ty0, ty1 = self._t
        return self._step(ty0 - y0, ty1 - y1, tx0 - x0, tx1 - x1, x0, x1)

    def _step(self, rise0: mpz, rise1: mpz, run0: mpz, run1: mpz, x0: mpz, x1: mpz) -> Fp12:
        """Move T along the line through it of slope rise / run, whose other intersection has the given x."""
        tx0, tx1, ty0, ty1 = self._t
        norm = (run0 * run0 + run1 * run1) % _P
        if not norm:
            raise InvalidPoint("the point is not in G2")
        scale = invert(norm, _P)
        slope0 = (rise0 * run0 + rise1 * run1) % _P * scale % _P
        slope1 = (rise1 * run0 - rise0 * run1) % _P * scale % _P
        new0 = ((slope0 + slope1) * (slope0 - slope1) - tx0 - x0) % _P
        new1 = (2 * slope0 * slope1 - tx1 - x1) % _P
        diff0, diff1 = tx0 - new0, tx1 - new1
        self._t = (
            new0,
            new1,
            (slope0 * diff0 - slope1 * diff1 - ty0) % _P,
            (slope0 * diff1 + slope1 * diff0 - ty1) % _P,
        )
        if not self._yp:  # P at infinity: the walk goes on only to check Q
            return _ONE
        # on E: l(P) = yP - slope xP w + (slope xT - yT) w^3
        minus_xp = self._minus_xp
        cubic0 = (slope0 * tx0 - slope1 * tx1 - ty0) % _P
        cubic1 = (slope0 * tx1 + slope1 * tx0 - ty1) % _P
        return (
            self._yp + (slope0 * minus_xp % _P << _SLOT) + (cubic0 << 3 * _SLOT),
            (slope1 * minus_xp % _P << _SLOT) + (cubic1 << 3 * _SLOT),
        )


def _miller_loop(walks: list[_G2Walk]) -> Fp12:
    """Return the product of the Miller functions of all pairs."""
    f = _ONE
    for at in range(_LOOP_TOP - 1, -1, -1):
        digit = _LOOP_DIGITS.get(at, 0)
        if f is not _ONE:
            f = _square(f)
        for walk in walks:
            f = _multiply(f, walk.double())
            if digit:
                f = _multiply(f, walk.add_q(digit))
    for walk in walks:
        for line in walk.add_images():
            f = _multiply(f, line)
    return f


def _read_g2(data: bytes) -> tuple[Fp2, Fp2] | None:
    """Read 128 bytes, imaginary parts first (EIP-197), and check the curve but not the subgroup."""
    x1, x0, y1, y0 = (mpz(int.from_bytes(data[at : at + 32], "big")) for at in (0, 32, 64, 96))
    if x0 >= _P or x1 >= _P or y0 >= _P or y1 >= _P:
        raise InvalidPoint("a coordinate is not below the field modulus")
    if not (x0 or x1 or y0 or y1):
        return None
    x, y = (x0, x1), (y0, y1)
    left = _fp2_multiply(y, y)
    right = _fp2_multiply(_fp2_multiply(x, x), x)
    if left != ((right[0] + _TWIST_B[0]) % _P, (right[1] + _TWIST_B[1]) % _P):
        raise InvalidPoint("the point is not on the twisted curve")
    return x, y


def pairing_check(data: bytes) -> bool:
    """EIP-197: is the product of the pairings of all (G1, G2) pairs of 192 bytes one?

    Raises InvalidInput for another length, InvalidPoint for what is not in its group.
    """
    if len(data) % PAIR_SIZE:
        raise InvalidInput(f"pairing check: expected a multiple of {PAIR_SIZE} bytes, got {len(data)}")
    walks = []
    for at in range(0, len(data), PAIR_SIZE):
        p = _read_g1(data[at : at + 64])
        q = _read_g2(data[at + 64 : at + PAIR_SIZE])
        if q is not None:
            walks.append(_G2Walk(p, q))
    f = _miller_loop(walks)
    return f == _ONE or _final_exponentiation(f) == _ONE
