"""What a signature of consensus is over.

digest = keccak256(domain 32 || kind 1 || height 8 || round 4 || valid round + 1, 4 || block hash 32), big-endian,
nil being 32 zero bytes; domain = keccak256("dmchain consensus v1" || chain id 8 || genesis hash 32). Fixed width, so
nothing can be read two ways, and short enough for a Solidity contract to rebuild and hand to ecrecover. The signer is
who the signature recovers to: its index in the set is not signed.
"""

from __future__ import annotations

import struct

from dmchain.chain.consensus.messages import Signable
from dmchain.chain.primitives.crypto import keccak
from dmchain.chain.primitives.types import Hash32

SIGN_BYTES = struct.Struct(">32sBQII32s")
_DOMAIN = b"dmchain consensus v1"
_NIL = bytes(32)


def compute_domain(chain_id: int, genesis_hash: Hash32) -> Hash32:
    """What keeps a signature of one chain from meaning anything on another."""
    return keccak(_DOMAIN + struct.pack(">Q", chain_id) + genesis_hash)


def sign_bytes(domain: Hash32, message: Signable) -> bytes:
    """The 81 bytes whose keccak is signed."""
    return SIGN_BYTES.pack(
        domain,
        message.kind,
        message.height,
        message.round,
        message.valid_round + 1,
        message.block_hash or _NIL,
    )


def sign_digest(domain: Hash32, message: Signable) -> Hash32:
    """The 32 bytes that are signed with ECDSA over secp256k1, s in the lower half."""
    return keccak(sign_bytes(domain, message))
