"""Operations on BLS12-381 (EIP-2537) and KZG point evaluation (EIP-4844), on arkworks.

Of arkworks' two ways to read a point, "unchecked" still checks the curve and leaves out only the subgroup, which is
what EIP-2537 asks of additions; everything else asks for both.

KZG proofs are verified from the one number of the trusted setup that this needs, [tau]G2: ckzg would read the other
8,258 first, 1.7 s on the first call.
"""

from __future__ import annotations

import hashlib

from py_arkworks_bls12381 import GT, G1Point, G2Point, Scalar

from dmchain.marketplace_vm.crypto import InvalidInput
from dmchain.marketplace_vm.crypto.bls12_381_gas import count_terms

FIELD_MODULUS = 0x1A0111EA397FE69A4B1BA7B6434BACD764774B84F38512BF6730D2A0F6B0F6241EABFFFEB153FFFFB9FEFFFFFFFFAAAB
GROUP_ORDER = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001

FIELD_SIZE = 64
"""Bytes of one number of Fp: 48 used, 16 zero in front."""
G1_SIZE = 2 * FIELD_SIZE
G2_SIZE = 4 * FIELD_SIZE
SCALAR_SIZE = 32
G1_TERM_SIZE = G1_SIZE + SCALAR_SIZE
G2_TERM_SIZE = G2_SIZE + SCALAR_SIZE
PAIR_SIZE = G1_SIZE + G2_SIZE

_PADDING = bytes(16)
_TRUE = bytes(31) + b"\x01"
_FALSE = bytes(32)


def _require_size(what: str, data: bytes, size: int) -> None:
    if len(data) != size:
        raise InvalidInput(f"{what}: expected {size} bytes, got {len(data)}")


def _unpad(data: bytes) -> bytes:
    """Take the 16 zero bytes off each field element, and check that it is below the modulus."""
    numbers = []
    for at in range(0, len(data), FIELD_SIZE):
        if data[at : at + 16] != _PADDING:
            raise InvalidInput("field element: the first 16 bytes are not zero")
        number = data[at + 16 : at + FIELD_SIZE]
        if int.from_bytes(number, "big") >= FIELD_MODULUS:
            raise InvalidInput("field element: not below the field modulus")
        numbers.append(number)
    return b"".join(numbers)


def _pad(data: bytes) -> bytes:
    return b"".join([_PADDING + data[at : at + 48] for at in range(0, len(data), 48)])


def _read_g1(data: bytes) -> G1Point:
    try:
        return G1Point.from_xy_bytes_unchecked_be(_unpad(data))
    except ValueError as error:
        raise InvalidInput(f"G1 point: {error}") from error


def _read_g2(data: bytes) -> G2Point:
    try:
        return G2Point.from_xy_bytes_unchecked_be(_unpad(data))
    except ValueError as error:
        raise InvalidInput(f"G2 point: {error}") from error


def _read_g1_in_subgroup(data: bytes) -> G1Point:
    point = _read_g1(data)
    if not point.is_in_subgroup():
        raise InvalidInput("G1 point: not in the subgroup")
    return point


def _read_g2_in_subgroup(data: bytes) -> G2Point:
    point = _read_g2(data)
    if not point.is_in_subgroup():
        raise InvalidInput("G2 point: not in the subgroup")
    return point


def g1_add(data: bytes) -> bytes:
    _require_size("BLS12_G1ADD", data, 2 * G1_SIZE)
    return _pad((_read_g1(data[:G1_SIZE]) + _read_g1(data[G1_SIZE:])).to_xy_bytes_be())


def g2_add(data: bytes) -> bytes:
    _require_size("BLS12_G2ADD", data, 2 * G2_SIZE)
    return _pad((_read_g2(data[:G2_SIZE]) + _read_g2(data[G2_SIZE:])).to_xy_bytes_be())


def g1_multiply_sum(data: bytes) -> bytes:
    """The sum of scalar * point over terms of 160 bytes."""
    count_terms("BLS12_G1MSM", data, G1_TERM_SIZE)
    points, scalars = [], []
    for at in range(0, len(data), G1_TERM_SIZE):
        points.append(_read_g1_in_subgroup(data[at : at + G1_SIZE]))
        scalars.append(Scalar.from_be_bytes_mod_order(data[at + G1_SIZE : at + G1_TERM_SIZE]))
    result = points[0] * scalars[0] if len(points) == 1 else G1Point.multiexp_unchecked(points, scalars)
    return _pad(result.to_xy_bytes_be())


def g2_multiply_sum(data: bytes) -> bytes:
    """The sum of scalar * point over terms of 288 bytes."""
    count_terms("BLS12_G2MSM", data, G2_TERM_SIZE)
    points, scalars = [], []
    for at in range(0, len(data), G2_TERM_SIZE):
        points.append(_read_g2_in_subgroup(data[at : at + G2_SIZE]))
        scalars.append(Scalar.from_be_bytes_mod_order(data[at + G2_SIZE : at + G2_TERM_SIZE]))
    result = points[0] * scalars[0] if len(points) == 1 else G2Point.multiexp_unchecked(points, scalars)
    return _pad(result.to_xy_bytes_be())


def pairing_check(data: bytes) -> bytes:
    """1 or 0 in 32 bytes: is the product of the pairings of all pairs of 384 bytes one?"""
    count_terms("BLS12_PAIRING_CHECK", data, PAIR_SIZE)
    lefts, rights = [], []
    for at in range(0, len(data), PAIR_SIZE):
        lefts.append(_read_g1_in_subgroup(data[at : at + G1_SIZE]))
        rights.append(_read_g2_in_subgroup(data[at + G1_SIZE : at + PAIR_SIZE]))
    return _TRUE if GT.pairing_check(lefts, rights) else _FALSE


def map_fp_to_g1(data: bytes) -> bytes:
    _require_size("BLS12_MAP_FP_TO_G1", data, FIELD_SIZE)
    return _pad(G1Point.map_from_fp_be(_unpad(data)).to_xy_bytes_be())


def map_fp2_to_g2(data: bytes) -> bytes:
    _require_size("BLS12_MAP_FP2_TO_G2", data, 2 * FIELD_SIZE)
    return _pad(G2Point.map_from_fp2_be(_unpad(data)).to_xy_bytes_be())


# KZG

VERSIONED_HASH_VERSION_KZG = b"\x01"
FIELD_ELEMENTS_PER_BLOB = 4096

_TAU_G2 = G2Point.from_compressed_bytes(
    bytes.fromhex(
        "b5bfd7dd8cdeb128843bc287230af38926187075cbfbefa81009a2ce615ac53d2914e5870cb452d2afaaab24f3499f72"
        "185cbfee53492714734429b7b38608e23926c911cceceac9a36851477ba4c60b087041de621000edc98edada20c1def2"
    )
)
"""[tau]G2 of Ethereum's KZG ceremony: g2_monomial[1] of its trusted_setup.json."""
_G1 = G1Point()
_MINUS_G2 = -G2Point()
_COMPRESSED_INFINITY = b"\xc0" + bytes(47)
_POINT_EVALUATED = FIELD_ELEMENTS_PER_BLOB.to_bytes(32, "big") + GROUP_ORDER.to_bytes(32, "big")


def _read_compressed_g1(what: str, data: bytes) -> G1Point:
    """Read 48 bytes: flags (compressed, infinity, sign) in the first three bits, then x; one encoding per point."""
    if data[0] & 0x40:
        if data != _COMPRESSED_INFINITY:
            raise InvalidInput(f"{what}: not the encoding of infinity")
        return G1Point.identity()
    if not data[0] & 0x80:
        raise InvalidInput(f"{what}: not compressed")
    if int.from_bytes(data, "big") & ((1 << 381) - 1) >= FIELD_MODULUS:
        raise InvalidInput(f"{what}: x is not below the field modulus")
    try:
        return G1Point.from_compressed_bytes(data)  # checks curve and subgroup
    except ValueError as error:
        raise InvalidInput(f"{what}: {error}") from error


def evaluate_point(data: bytes) -> bytes:
    """EIP-4844: verify p(z) = y for versioned hash, z, y, commitment and proof; 192 bytes.

    With C the commitment and W the proof, e(C - y G1, G2) = e(W, (tau - z) G2). Moving z to the left saves a
    multiplication in G2: e(C - y G1 + z W, -G2) e(W, tau G2) = 1.
    """
    _require_size("point evaluation", data, 192)
    commitment_bytes = data[96:144]
    if data[:32] != VERSIONED_HASH_VERSION_KZG + hashlib.sha256(commitment_bytes).digest()[1:]:
        raise InvalidInput("point evaluation: the commitment does not have this versioned hash")
    z, y = int.from_bytes(data[32:64], "big"), int.from_bytes(data[64:96], "big")
    if z >= GROUP_ORDER or y >= GROUP_ORDER:
        raise InvalidInput("point evaluation: z or y is not below the order of the group")
    commitment = _read_compressed_g1("commitment", commitment_bytes)
    proof = _read_compressed_g1("proof", data[144:])
    left = commitment - _G1 * Scalar.from_be_bytes_mod_order(data[64:96])
    left += proof * Scalar.from_be_bytes_mod_order(data[32:64])
    if not GT.pairing_check([left, proof], [_MINUS_G2, _TAU_G2]):
        raise InvalidInput("point evaluation: the proof does not hold")
    return _POINT_EVALUATED
