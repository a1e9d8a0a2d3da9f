"""Parsed secp256k1 public keys: checking many signatures of few signers.

Parsing a key costs as much as a third of checking a signature with it, so those who check the same validators again
and again keep the parsed form. Verifying takes 0.7 of the time of recovering the signer, but says nothing about the
last byte of a signature.
"""

from __future__ import annotations

import coincurve
from coincurve._libsecp256k1 import ffi, lib  # type: ignore[import-not-found]  # compiled
from coincurve.context import GLOBAL_CONTEXT

from dmchain.chain.primitives.crypto import public_key_to_address
from dmchain.chain.primitives.errors import SignatureError
from dmchain.chain.primitives.types import Address

PUBLIC_KEY_BYTES = 64
SIGNATURE_BYTES = 65
"""r 32 || s 32 || y parity 1, as Ethereum's precompile ECRECOVER takes them (with v = 27 + parity)."""

_CONTEXT = GLOBAL_CONTEXT.ctx


class PublicKey:
    """A point on secp256k1, parsed once."""

    __slots__ = ("_point", "address", "raw")

    def __init__(self, raw: bytes) -> None:
        """Take the 64 bytes of the uncompressed point without prefix; raises SignatureError off the curve."""
        if len(raw) != PUBLIC_KEY_BYTES:
            raise SignatureError(f"public key: expected {PUBLIC_KEY_BYTES} bytes, got {len(raw)}")
        try:
            self._point = coincurve.PublicKey(b"\x04" + raw).public_key
        except ValueError as error:
            raise SignatureError("public key: not a point of secp256k1") from error
        self.raw = raw
        self.address: Address = public_key_to_address(raw)

    def verify(self, digest: bytes, signature: bytes) -> bool:
        """Whether r || s of a 65-byte `signature` signs the 32-byte `digest`, with s in the lower half.

        The parity byte is not looked at: whoever needs it to be right recovers the signer instead.
        """
        if len(digest) != 32 or len(signature) != SIGNATURE_BYTES:
            return False
        parsed = ffi.new("secp256k1_ecdsa_signature *")
        if not lib.secp256k1_ecdsa_signature_parse_compact(_CONTEXT, parsed, signature[:64]):
            return False
        # libsecp256k1 itself refuses an s in the upper half here
        return bool(lib.secp256k1_ecdsa_verify(_CONTEXT, parsed, digest, self._point))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and self.raw == other.raw

    def __hash__(self) -> int:
        return hash(self.raw)

    def __repr__(self) -> str:
        return f"PublicKey(address=0x{self.address.hex()})"
