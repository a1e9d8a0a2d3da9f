"""Vectors of what is signed: whoever changes them changes the protocol."""

from __future__ import annotations

import pytest
from eth_keys import keys

from dmchain.chain.consensus.messages import (
    NO_ROUND,
    PRECOMMIT,
    PREVOTE,
    Proposal,
    Signable,
    Vote,
)
from dmchain.chain.consensus.signbytes import compute_domain, sign_bytes, sign_digest
from dmchain.chain.primitives.crypto import PrivateKey, keccak
from dmchain.chain.primitives.types import Hash32
from dmchain.node.signer import LocalSigner

DOMAIN = compute_domain(1337, Hash32(bytes.fromhex("11" * 32)))
BLOCK = Hash32(bytes.fromhex("ab" * 32))
KEY = PrivateKey(bytes.fromhex("46" * 32))

VECTORS: list[tuple[Signable, str, str, str]] = [
    (
        Proposal(7, 2, 1, BLOCK, 0),
        "00" + "0000000000000007" + "00000002" + "00000002" + "ab" * 32,
        "22f8c5a58f272ff99e3bcebff151b7db93e8563fffc499f0a72ca2f3b58c56f8",
        "6659e5b2970be5c05e88485bbddef9f596f870601bc147c1d926719dea6248ae"
        "3d006e88f0e0efab86f8c42e2053f31da09bc566b196e792ade6cf175691b66a01",
    ),
    (
        Vote(PREVOTE, 7, 2, 1, BLOCK, 3),
        "01" + "0000000000000007" + "00000002" + "00000002" + "ab" * 32,
        "7ff41f9ed0035432412fb2183fb776df55f1b3fe9c38da8e2b9d98483dc28154",
        "9163dc3c6ead5984ccdb5892a892884b14b53497713cdaa7d1a22ad98561a549"
        "4cb00d031c386cdab64c7a4c423c49d485fc6b1446695407f06a02eab3e5b1cd00",
    ),
    (
        Vote(PREVOTE, 8, 2, NO_ROUND, None, 3),
        "01" + "0000000000000008" + "00000002" + "00000000" + "00" * 32,
        "9bcd1b28987f6db0d73947f7d3f71e3c9e32ae33d47d6cacfe773f0efb18c638",
        "76252c05a30c0bd959d76f7b3f40fe05d812ac447a794a0959ae4073ba68f780"
        "72a133a5e934ce2f56a48ed64e370e0873bdfa863174e36eb999d6ab3a995e2e01",
    ),
    (
        Vote(PRECOMMIT, 8, 2, NO_ROUND, BLOCK, 3),
        "02" + "0000000000000008" + "00000002" + "00000000" + "ab" * 32,
        "0b5af485eedbb1600ebccca5a543bda16dede611dc71ad7f7db2a249d11b13c7",
        "a0714798d8f07547bb8d58d51f995a2ace14d44a88c1d85374f3c1c8c5814d8b"
        "447ba6475997df442b19fdc57a70f14f4816f09bdf3cfa06c20eb0096a08f4cd00",
    ),
]


def test_the_domain_is_of_chain_id_and_genesis() -> None:
    assert DOMAIN.hex() == "3c987e025b7cf68730a4b23d494767237ead8dd63250abee2418075a7db846f4"
    assert keccak(b"dmchain consensus v1" + (1337).to_bytes(8, "big") + b"\x11" * 32) == DOMAIN
    assert compute_domain(1338, Hash32(b"\x11" * 32)) != DOMAIN
    assert compute_domain(1337, Hash32(b"\x12" * 32)) != DOMAIN


@pytest.mark.parametrize(("message", "fields", "digest", "signature"), VECTORS)
def test_vectors(message: Signable, fields: str, digest: str, signature: str) -> None:
    assert sign_bytes(DOMAIN, message).hex() == DOMAIN.hex() + fields
    assert sign_digest(DOMAIN, message).hex() == digest
    signed = LocalSigner(KEY, DOMAIN).sign(message)
    assert signed.signature.hex() == signature
    # another implementation of ECDSA recovers the same signer, as a contract's ecrecover would
    recovered = keys.Signature(signed.signature).recover_public_key_from_msg_hash(bytes.fromhex(digest))
    assert recovered.to_canonical_address() == KEY.address


def test_nothing_of_a_statement_can_change_without_changing_the_digest() -> None:
    base = Vote(PREVOTE, 7, 2, 1, BLOCK, 3)
    others: list[Signable] = [
        Vote(PRECOMMIT, 7, 2, 1, BLOCK, 3),
        Vote(PREVOTE, 8, 2, 1, BLOCK, 3),
        Vote(PREVOTE, 7, 3, 1, BLOCK, 3),
        Vote(PREVOTE, 7, 2, 0, BLOCK, 3),
        Vote(PREVOTE, 7, 2, NO_ROUND, BLOCK, 3),
        Vote(PREVOTE, 7, 2, 1, Hash32(b"\xac" * 32), 3),
        Vote(PREVOTE, 7, 2, 1, None, 3),
        Proposal(7, 2, 1, BLOCK, 3),
    ]
    digests = {sign_digest(DOMAIN, message) for message in (base, *others)}
    assert len(digests) == len(others) + 1


def test_the_index_of_the_validator_is_not_signed() -> None:
    assert sign_digest(DOMAIN, Vote(PREVOTE, 7, 2, 1, BLOCK, 3)) == sign_digest(
        DOMAIN, Vote(PREVOTE, 7, 2, 1, BLOCK, 4)
    )
