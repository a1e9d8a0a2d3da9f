"""Proof that whoever registers a validator holds its consensus key.

Without it, somebody could register another's key, and be slashed or praised in its place. The proof is a signature over
a digest of its own domain, which names the chain and the operator: it is of no use to anybody else, and no vote can be
mistaken for it (signbytes.py hashes 81 bytes, this 104).
"""

from __future__ import annotations

from dmchain.chain.primitives.crypto import PrivateKey, keccak, recover_address
from dmchain.chain.primitives.errors import SignatureError
from dmchain.chain.primitives.public_key import SIGNATURE_BYTES
from dmchain.chain.primitives.types import Address, Hash32
from dmchain.chain.staking import STAKING

_DOMAIN = keccak(b"dmchain proof of possession v1")


def compute_possession_digest(chain_id: int, operator: bytes) -> Hash32:
    """keccak256(keccak256("dmchain proof of possession v1") || chain id, 32 || staking contract 20 || operator 20)."""
    return keccak(_DOMAIN + chain_id.to_bytes(32, "big") + STAKING + operator)


def prove_possession(key: PrivateKey, chain_id: int, operator: bytes) -> bytes:
    """Sign with a consensus key: r 32 || s 32 || y parity 1."""
    parity, r, s = key.sign(compute_possession_digest(chain_id, operator))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes((parity,))


def is_possession_proven(signature: bytes, chain_id: int, operator: bytes, consensus: Address) -> bool:
    """Whether the key with the address `consensus` made this proof."""
    if len(signature) != SIGNATURE_BYTES or signature[64] > 1:
        return False
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    try:
        signer = recover_address(compute_possession_digest(chain_id, operator), signature[64], r, s)
    except SignatureError:
        return False
    return signer == consensus
