"""Keccak-256 and secp256k1 ECDSA with recovery.

safe-pysha3's C keccak is 4 to 10 times faster than the other backends of eth-hash; coincurve recovers a key in 0.04 ms
against 4.8 ms in pure Python, and releases the interpreter lock.
"""

from __future__ import annotations

import coincurve
import sha3

from dmchain.chain.primitives.errors import SignatureError
from dmchain.chain.primitives.types import Address, Hash32

SECP256K1_N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
SECP256K1_HALF_N = SECP256K1_N // 2

_keccak_256 = sha3.keccak_256
_recover = coincurve.PublicKey.from_signature_and_message


def keccak(data: bytes) -> Hash32:
    """Keccak-256 (the padding of Ethereum, not of FIPS 202)."""
    digest: Hash32 = _keccak_256(data).digest()
    return digest


EMPTY_CODE_HASH = keccak(b"")


def public_key_to_address(public_key: bytes) -> Address:
    """The last 20 bytes of the hash of the 64-byte uncompressed public key."""
    return Address(keccak(public_key)[12:])


def recover_address(digest: bytes, y_parity: int, r: int, s: int) -> Address:
    """Return the signer's address.

    Parameters: `digest` 32 bytes; `y_parity` 0 or 1; `r`, `s` as in the signature.
    Raises SignatureError when r or s are out of range, s is in the upper half (EIP-2), or no key matches.
    """
    if y_parity not in (0, 1):
        raise SignatureError(f"signature y parity: expected 0 or 1, got {y_parity}")
    if not 0 < r < SECP256K1_N:
        raise SignatureError("signature r is out of range")
    if not 0 < s <= SECP256K1_HALF_N:
        raise SignatureError("signature s is out of range: expected 1 to n/2 (EIP-2)")
    compact = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes((y_parity,))
    return recover_compact(compact, digest)


def recover_compact(compact: bytes, digest: bytes) -> Address:
    """Return the signer's address for a 65-byte r || s || y_parity whose ranges were checked before."""
    try:
        point = _recover(compact, digest, hasher=None)
    except Exception as error:  # coincurve raises bare Exception and ValueError for points off the curve
        raise SignatureError("signature belongs to no key") from error
    return Address(_keccak_256(point.format(compressed=False)[1:]).digest()[12:])


class PrivateKey:
    """A secp256k1 secret key. Its representation never shows the secret."""

    __slots__ = ("_key", "address", "public_key")

    def __init__(self, secret: bytes) -> None:
        """Take 32 bytes, a number from 1 to n - 1; raises SignatureError otherwise."""
        if len(secret) != 32 or not 0 < int.from_bytes(secret, "big") < SECP256K1_N:
            raise SignatureError("private key: expected 32 bytes, a number between 1 and the order of secp256k1")
        self._key = coincurve.PrivateKey(secret)
        self.public_key: bytes = self._key.public_key.format(compressed=False)[1:]
        self.address = public_key_to_address(self.public_key)

    @property
    def secret(self) -> bytes:
        return self._key.secret

    def sign(self, digest: bytes) -> tuple[int, int, int]:
        """Sign a 32-byte digest (RFC 6979); return (y_parity, r, s) with s in the lower half."""
        signature = self._key.sign_recoverable(digest, hasher=None)
        return signature[64], int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")

    def __repr__(self) -> str:
        return f"PrivateKey(address=0x{self.address.hex()})"
