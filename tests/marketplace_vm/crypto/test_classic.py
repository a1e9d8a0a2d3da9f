"""ecrecover, hashes, BLAKE2F and P256VERIFY against independent code and published vectors."""

from __future__ import annotations

import hashlib
import random
import sys

import pytest
from Crypto.Hash import RIPEMD160
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256
from eth._utils.blake2.compression import blake2b_compress
from eth_keys.backends import NativeECCBackend
from eth_keys.datatypes import Signature
from eth_keys.exceptions import BadSignature
from hypothesis import given, settings
from hypothesis import strategies as st

from dmchain.chain.primitives.crypto import SECP256K1_N, PrivateKey
from dmchain.marketplace_vm.crypto import InvalidInput, blake2, classic

TRUE = bytes(31) + b"\x01"


def word(number: int) -> bytes:
    return number.to_bytes(32, "big")


# ecrecover


def test_ecrecover_finds_the_signer_also_for_high_s() -> None:
    key = PrivateKey(word(12345))
    digest = hashlib.sha256(b"text").digest()
    parity, r, s = key.sign(digest)
    for v, s_value in ((27 + parity, s), (28 - parity, SECP256K1_N - s)):
        assert classic.ecrecover(digest + word(v) + word(r) + word(s_value)) == bytes(12) + key.address
        assert classic.ecrecover(digest + word(v) + word(r) + word(s_value) + b"more") == bytes(12) + key.address


@settings(max_examples=60, deadline=None)
@given(
    st.binary(min_size=32, max_size=32),
    st.sampled_from((0, 1, 26, 27, 28, 29, 27 << 8, 2**255 + 27)),
    st.sampled_from((0, 1, 2, 3, 4, 5, SECP256K1_N - 1, SECP256K1_N, SECP256K1_N + 1, 2**256 - 1)),
    st.sampled_from((0, 1, 2, SECP256K1_N // 2, SECP256K1_N - 1, SECP256K1_N, 2**256 - 1)),
)
def test_ecrecover_equals_pure_python(digest: bytes, v: int, r: int, s: int) -> None:
    expected = b""
    if v in (27, 28) and 0 < r < SECP256K1_N and 0 < s < SECP256K1_N:
        try:
            signature = Signature(vrs=(v - 27, r, s))
            expected = bytes(12) + NativeECCBackend().ecdsa_recover(digest, signature).to_canonical_address()
        except BadSignature:
            pass
    assert classic.ecrecover(digest + word(v) + word(r) + word(s)) == expected


def test_short_input_of_ecrecover_is_padded() -> None:
    assert classic.ecrecover(b"") == b""
    key = PrivateKey(word(7))
    for nonce in range(2000):  # a signature whose last byte is zero can be cut
        digest = hashlib.sha256(word(nonce)).digest()
        parity, r, s = key.sign(digest)
        if not s & 255:
            assert classic.ecrecover((digest + word(27 + parity) + word(r) + word(s))[:-1]) == bytes(12) + key.address
            return
    raise AssertionError("no such signature")


# hashes


@given(st.binary(max_size=300))
def test_hashes(data: bytes) -> None:
    assert classic.sha256(data) == hashlib.sha256(data).digest()
    assert classic.ripemd160(data) == bytes(12) + RIPEMD160.new(data).digest()


def test_ripemd160_falls_back_when_openssl_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, data: bytes = b"", **_: object) -> object:
        raise ValueError(f"unsupported hash type {name}")

    monkeypatch.setattr(hashlib, "new", refuse)
    classic._ripemd160.cache_clear()
    try:
        assert classic.ripemd160(b"abc")[12:].hex() == "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc"
    finally:
        classic._ripemd160.cache_clear()


# BLAKE2F

BLAKE2B_ABC = (  # EIP-152, test vector 5
    (12).to_bytes(4, "big")
    + bytes.fromhex("48c9bdf267e6096a3ba7ca8485ae67bb2bf894fe72f36e3cf1361d5f3af54fa5")
    + bytes.fromhex("d182e6ad7f520e511f6c3e2b8c68059b6bbd41fbabd9831f79217e1319cde05b")
    + b"abc".ljust(128, b"\0")
    + (3).to_bytes(16, "little")
    + b"\1"
)


def test_blake2f_of_abc_is_blake2b() -> None:
    assert len(BLAKE2B_ABC) == 213
    assert classic.read_blake2f_rounds(BLAKE2B_ABC) == 12
    assert classic.blake2f(BLAKE2B_ABC) == hashlib.blake2b(b"abc").digest()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 30), st.binary(min_size=208, max_size=208), st.booleans())
def test_blake2f_equals_pure_python(rounds: int, rest: bytes, final: bool) -> None:
    words = tuple(int.from_bytes(rest[at : at + 8], "little") for at in range(0, 208, 8))
    expected = blake2b_compress(rounds, words[:8], words[8:24], words[24:], final)
    assert blake2.compress(rounds, words[:8], words[8:24], words[24:], final) == expected
    assert classic.blake2f(rounds.to_bytes(4, "big") + rest + bytes((final,))) == expected


def test_blake2f_works_without_the_extension(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "blake2b", None)
    classic._blake2_compress.cache_clear()
    try:
        assert classic.blake2f(BLAKE2B_ABC) == hashlib.blake2b(b"abc").digest()
    finally:
        classic._blake2_compress.cache_clear()


def test_blake2f_input_is_checked() -> None:
    for data in (b"", BLAKE2B_ABC[:-1], BLAKE2B_ABC + b"\0", BLAKE2B_ABC[:-1] + b"\x02", BLAKE2B_ABC[:-1] + b"\xff"):
        with pytest.raises(InvalidInput):
            classic.read_blake2f_rounds(data)
        with pytest.raises(InvalidInput):
            classic.blake2f(data)


# P256VERIFY: ECDSA written out on affine points

P, N = classic.P256_P, classic.P256_N
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
Point = tuple[int, int] | None


def plus(a: Point, b: Point) -> Point:
    if a is None or b is None:
        return a or b
    if a[0] == b[0] and (a[1] + b[1]) % P == 0:
        return None
    rise, run = (3 * a[0] * a[0] - 3, 2 * a[1]) if a == b else (b[1] - a[1], b[0] - a[0])
    slope = rise * pow(run, -1, P) % P
    x = (slope * slope - a[0] - b[0]) % P
    return x, (slope * (a[0] - x) - a[1]) % P


def times(scalar: int, point: Point) -> Point:
    result: Point = None
    for bit in bin(scalar)[2:]:
        result = plus(result, result)
        if bit == "1":
            result = plus(result, point)
    return result


def slow_p256(data: bytes) -> bytes:
    if len(data) != 160:
        return b""
    h, r, s, x, y = (int.from_bytes(data[at : at + 32], "big") for at in range(0, 160, 32))
    if not 0 < r < N or not 0 < s < N or x >= P or y >= P or (y * y - x * x * x + 3 * x - B) % P:
        return b""
    inverse = pow(s, -1, N)
    point = plus(times(h * inverse % N, G), times(r * inverse % N, (x, y)))
    return TRUE if point is not None and point[0] % N == r else b""


def sign(secret: int, h: int, nonce: int) -> tuple[int, int]:
    point = times(nonce, G)
    assert point is not None
    r = point[0] % N
    return r, pow(nonce, -1, N) * (h + r * secret) % N


def p256(h: int, r: int, s: int, key: Point) -> bytes:
    x, y = key or (0, 0)
    return b"".join(map(word, (h, r, s, x, y)))


def test_p256_accepts_library_signatures() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    numbers = key.public_key().public_numbers()
    digest = hashlib.sha256(b"message").digest()
    r, s = utils.decode_dss_signature(key.sign(digest, ec.ECDSA(utils.Prehashed(SHA256()))))
    tail = word(numbers.x) + word(numbers.y)
    assert classic.p256_verify(digest + word(r) + word(s) + tail) == TRUE
    assert classic.p256_verify(digest + word(r) + word(N - s) + tail) == TRUE  # malleable, as the EIP keeps it
    assert classic.p256_verify(digest[::-1] + word(r) + word(s) + tail) == b""


def test_p256_edges_equal_the_slow_twin() -> None:
    rng = random.Random(5)
    secret = rng.randrange(1, N)
    key = times(secret, G)
    assert key is not None
    cases = []
    for h in (0, 1, N - 1, N, N + 1, P, 2**256 - 1, rng.randrange(2**256)):
        r, s = sign(secret, h, rng.randrange(1, N))
        cases += [p256(h, r, s, key), p256(h, s, r, key), p256(h ^ 1, r, s, key)]
    accepted = [classic.p256_verify(case) for case in cases]
    assert accepted == [slow_p256(case) for case in cases]
    assert accepted[::3] == [TRUE] * 8
    h = rng.randrange(N)
    r, s = sign(secret, h, 9)
    negative = (key[0], P - key[1])
    edges = [
        *(p256(h, value, s, key) for value in (0, N, N + r if N + r < 2**256 else N, 2**256 - 1)),
        *(p256(h, r, value, key) for value in (0, N, 2**256 - 1)),
        p256(h, r, s, None),
        p256(h, r, s, negative),
        p256(h, r, s, (key[0], key[1] ^ 1)),
        p256(h, r, s, (P, key[1])),
        p256(h, r, s, (key[0], P)),
        p256(h, r, s, (2**256 - 1, 2**256 - 1)),
        p256(h, r, s, (0, pow(B, (P + 1) // 4, P))),
        b"",
        p256(h, r, s, key)[:-1],
        p256(h, r, s, key) + b"\0",
    ]
    assert [classic.p256_verify(case) for case in edges] == [slow_p256(case) for case in edges] == [b""] * len(edges)


def test_p256_refuses_a_sum_at_infinity() -> None:
    """u1 G + u2 Q = 0 for Q = d G and h = -r d."""
    secret, r = 424242, 99
    key = times(secret, G)
    data = p256(-r * secret % N, r, 12345, key)
    assert classic.p256_verify(data) == slow_p256(data) == b""


def test_p256_compares_x_modulo_n() -> None:
    """The x of R lies between n and p, so r = x - n: pick R, then the key that makes it come out."""
    x = N + 1
    while (y := pow(x**3 - 3 * x + B, (P + 1) // 4, P)) ** 2 % P != (x**3 - 3 * x + B) % P:
        x += 1
    r, h, s = x - N, 77, 1234567
    # Q = (s R - h G) / r
    key = times(pow(r, -1, N), plus(times(s, (x, y)), times(N - h, G)))
    data = p256(h, r, s, key)
    assert classic.p256_verify(data) == slow_p256(data) == TRUE
    raised = p256(h, x, s, key)  # r itself must be below n
    assert classic.p256_verify(raised) == slow_p256(raised) == b""
