"""Keys, signatures and keccak against eth-keys and published vectors."""

import pytest
from eth_keys import keys
from hypothesis import given, settings
from hypothesis import strategies as st

from dmchain.chain.primitives.crypto import SECP256K1_N, PrivateKey, keccak, recover_address
from dmchain.chain.primitives.errors import SignatureError

secrets = st.integers(1, SECP256K1_N - 1).map(lambda number: number.to_bytes(32, "big"))
digests = st.binary(min_size=32, max_size=32)


def test_keccak_is_not_sha3() -> None:
    assert keccak(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"


@given(secrets, digests)
@settings(max_examples=30, deadline=None)
def test_addresses_and_signatures_are_those_of_eth_keys(secret: bytes, digest: bytes) -> None:
    key, other = PrivateKey(secret), keys.PrivateKey(secret)
    assert key.address == other.public_key.to_canonical_address()
    assert key.public_key == other.public_key.to_bytes()
    y_parity, r, s = key.sign(digest)
    assert (y_parity, r, s) == other.sign_msg_hash(digest).vrs
    assert s <= SECP256K1_N // 2
    assert recover_address(digest, y_parity, r, s) == key.address


@given(digests, st.integers(-1, 3), st.integers(0, 2**256 - 1), st.integers(0, 2**256 - 1))
@settings(max_examples=60, deadline=None)
def test_any_signature_is_recovered_or_refused(digest: bytes, y_parity: int, r: int, s: int) -> None:
    try:
        assert len(recover_address(digest, y_parity, r, s)) == 20
    except SignatureError:
        pass


@pytest.mark.parametrize("secret", [b"", b"\0" * 32, b"\1" * 31, SECP256K1_N.to_bytes(32, "big")])
def test_bad_secrets_are_refused_without_showing_them(secret: bytes) -> None:
    with pytest.raises(SignatureError, match="private key"):
        PrivateKey(secret)


def test_a_key_does_not_show_its_secret() -> None:
    assert "11" * 8 not in repr(PrivateKey(b"\x11" * 32))
