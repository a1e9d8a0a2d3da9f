"""Parsed public keys, raced against recovery."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmchain.chain.primitives.crypto import SECP256K1_N, PrivateKey, recover_address
from dmchain.chain.primitives.errors import SignatureError
from dmchain.chain.primitives.public_key import PublicKey

digests = st.binary(min_size=32, max_size=32)
secrets = st.integers(1, SECP256K1_N - 1).map(lambda number: number.to_bytes(32, "big"))


def sign(key: PrivateKey, digest: bytes) -> bytes:
    parity, r, s = key.sign(digest)
    return r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes((parity,))


@given(secrets, digests, digests)
@settings(max_examples=60, deadline=None)
def test_what_recovers_verifies_and_nothing_else(secret: bytes, digest: bytes, other: bytes) -> None:
    key = PrivateKey(secret)
    public, signature = PublicKey(key.public_key), sign(key, digest)
    assert public.address == key.address
    assert public.verify(digest, signature)
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    assert recover_address(digest, signature[64], r, s) == public.address
    assert public.verify(other, signature) == (other == digest)


@given(secrets, secrets, digests)
@settings(max_examples=40, deadline=None)
def test_another_keys_signature_does_not_verify(one: bytes, two: bytes, digest: bytes) -> None:
    # of the digest zero, whoever has the mirrored key has the same signatures
    if one != two and any(digest):
        assert not PublicKey(PrivateKey(one).public_key).verify(digest, sign(PrivateKey(two), digest))


def test_malformed_signatures_do_not_verify() -> None:
    key = PrivateKey(b"\1" * 32)
    public, digest = PublicKey(key.public_key), b"\2" * 32
    good = sign(key, digest)
    mirrored = good[:32] + (SECP256K1_N - int.from_bytes(good[32:64], "big")).to_bytes(32, "big") + good[64:]
    for bad in (b"", good[:64], good + b"\0", bytes(65), b"\xff" * 65, mirrored):
        assert not public.verify(digest, bad)
    assert not public.verify(digest[:31], good)


@pytest.mark.parametrize("raw", [b"", b"\1" * 63, b"\4" + b"\1" * 64, b"\1" * 64, bytes(64)])
def test_what_is_no_point_is_refused(raw: bytes) -> None:
    with pytest.raises(SignatureError, match="public key"):
        PublicKey(raw)


def test_keys_are_equal_when_their_points_are() -> None:
    one, same = PublicKey(PrivateKey(b"\1" * 32).public_key), PublicKey(PrivateKey(b"\1" * 32).public_key)
    other = PublicKey(PrivateKey(b"\2" * 32).public_key)
    assert one == same and hash(one) == hash(same)
    assert one != other
    assert repr(one) == "PublicKey(address=0x1a642f0e3c3af545e7acbd38b07251b3990914f1)"
