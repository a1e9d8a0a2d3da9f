"""Who a node is, and of which chain.

A node has a secp256k1 key of its own, apart from the consensus key and from every account; its id is the address of
that key, derived as Ethereum does. The Noise static key is made anew for each run of the program and never stored; the
node key signs it, bound to the chain, and the signature travels encrypted in the handshake.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final, TypeAlias

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from dmchain.chain.primitives.crypto import PrivateKey, keccak, public_key_to_address, recover_address
from dmchain.chain.primitives.errors import SignatureError
from dmchain.chain.primitives.types import UINT64_MAX, Address, Hash32
from dmchain.node.network.errors import SCORE_BAD_SIGNATURE, SCORE_HANDSHAKE, HandshakeError

PROTOCOL_NAME: Final = b"dmchain"
PROTOCOL_VERSION: Final = 1
"""Raised by every change that old nodes would misread."""

PUBLIC_KEY_BYTES: Final = 64
SIGNATURE_BYTES: Final = 65
"""r 32 || s 32 || y parity 1."""
PROOF_BYTES: Final = PUBLIC_KEY_BYTES + SIGNATURE_BYTES

_PROLOGUE: Final = struct.Struct(">7sHQ32s")
PROLOGUE_BYTES: Final = _PROLOGUE.size
_NODE_KEY_DOMAIN: Final = b"dmchain node key v1"

NodeId: TypeAlias = Address
"""20 bytes: the address of the node key."""


@dataclass(frozen=True, slots=True)
class ChainIdentity:
    """What two nodes must have in common to talk: protocol, version, chain id (below 2**64) and genesis hash."""

    chain_id: int
    genesis_hash: Hash32
    version: int = PROTOCOL_VERSION

    def __post_init__(self) -> None:
        if not 0 < self.chain_id <= UINT64_MAX:
            raise ValueError(f"chain id: expected 1 to 2**64 - 1, got {self.chain_id}")
        if len(self.genesis_hash) != 32:
            raise ValueError(f"genesis hash: expected 32 bytes, got {len(self.genesis_hash)}")

    def prologue(self) -> bytes:
        """The PROLOGUE_BYTES that both ends mix into the handshake and compare at its start."""
        return _PROLOGUE.pack(PROTOCOL_NAME, self.version, self.chain_id, self.genesis_hash)

    def check_prologue(self, theirs: bytes) -> None:
        """Raise HandshakeError naming the first difference. An honest node of another chain costs nothing."""
        if len(theirs) != PROLOGUE_BYTES:
            raise HandshakeError(f"prologue: expected {PROLOGUE_BYTES} bytes, got {len(theirs)}")
        name, version, chain_id, genesis_hash = _PROLOGUE.unpack(theirs)
        if name != PROTOCOL_NAME:
            raise HandshakeError(f"wrong protocol: expected {PROTOCOL_NAME!r}, got {name!r}", score=SCORE_HANDSHAKE)
        if version != self.version:
            raise HandshakeError(f"wrong protocol version: expected {self.version}, got {version}", score=0)
        if chain_id != self.chain_id:
            raise HandshakeError(f"wrong chain: expected chain id {self.chain_id}, got {chain_id}", score=0)
        if genesis_hash != self.genesis_hash:
            raise HandshakeError(
                f"wrong genesis: expected 0x{self.genesis_hash.hex()}, got 0x{genesis_hash.hex()}", score=0
            )


class NodeKey:
    """This node's key, with the Noise key of this run."""

    __slots__ = ("_key", "node_id", "noise")

    def __init__(self, key: PrivateKey) -> None:
        self._key = key
        self.node_id: NodeId = key.address
        self.noise = X25519PrivateKey.generate()

    def make_proof(self, chain: ChainIdentity) -> bytes:
        """public key 64 || signature 65 over the Noise static key: the payload of the handshake."""
        digest = _noise_key_digest(self.noise.public_key().public_bytes_raw(), chain)
        return self._key.public_key + self.sign(digest)

    def sign(self, digest: bytes) -> bytes:
        """r || s || y parity over 32 bytes, which the caller has separated by domain."""
        y_parity, r, s = self._key.sign(digest)
        return r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes((y_parity,))

    def __repr__(self) -> str:
        return f"NodeKey(node_id=0x{self.node_id.hex()})"


def check_proof(proof: bytes, noise_static: bytes, chain: ChainIdentity) -> NodeId:
    """Return who owns `noise_static`; raises HandshakeError unless the node key in `proof` has signed it."""
    if len(proof) != PROOF_BYTES:
        raise HandshakeError(f"identity: expected {PROOF_BYTES} bytes, got {len(proof)}")
    claimed = public_key_to_address(proof[:PUBLIC_KEY_BYTES])
    try:
        signer = recover_signer(_noise_key_digest(noise_static, chain), proof[PUBLIC_KEY_BYTES:])
    except SignatureError as error:
        raise HandshakeError(f"bad signature of the identity: {error}", score=SCORE_BAD_SIGNATURE) from error
    if signer != claimed:
        raise HandshakeError(
            f"bad signature of the identity: expected 0x{claimed.hex()}, got one of 0x{signer.hex()}",
            score=SCORE_BAD_SIGNATURE,
        )
    return claimed


def recover_signer(digest: bytes, signature: bytes) -> Address:
    """The address that made a 65-byte signature; raises SignatureError. Only s in the lower half is taken."""
    if len(signature) != SIGNATURE_BYTES:
        raise SignatureError(f"signature: expected {SIGNATURE_BYTES} bytes, got {len(signature)}")
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    return recover_address(digest, signature[64], r, s)


def _noise_key_digest(noise_static: bytes, chain: ChainIdentity) -> bytes:
    return keccak(_NODE_KEY_DOMAIN + chain.prologue() + noise_static)
