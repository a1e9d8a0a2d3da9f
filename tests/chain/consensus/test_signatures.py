"""Signatures with real keys: recovered, verified by parsed key, remembered, refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmchain.chain.consensus import signatures
from dmchain.chain.consensus.messages import NO_ROUND, PREVOTE, Vote
from dmchain.chain.consensus.signatures import SignatureChecker
from dmchain.chain.primitives.crypto import SECP256K1_N
from dmchain.chain.primitives.types import Hash32
from tests.chain.consensus.signed import DOMAIN, Keys

KEYS = Keys((1, 2, 3))
VOTE = KEYS.vote(Vote(PREVOTE, 9, 0, NO_ROUND, Hash32(b"\7" * 32), 1))


def test_a_validators_vote_is_signed() -> None:
    checker = SignatureChecker(DOMAIN)
    assert checker.is_signed(VOTE, KEYS.set)
    assert checker.is_signed(VOTE, KEYS.set)  # from memory
    assert checker.recover(VOTE) == KEYS.keys[1].address
    assert checker.is_signed_by_key(VOTE, KEYS.set.validators[1])


def test_another_validators_vote_is_not() -> None:
    checker = SignatureChecker(DOMAIN)
    stolen = Vote(PREVOTE, 9, 0, NO_ROUND, VOTE.block_hash, 2, VOTE.signature)
    assert not checker.is_signed(stolen, KEYS.set)
    assert not checker.is_signed_by_key(stolen, KEYS.set.validators[2])
    beyond = Vote(PREVOTE, 9, 0, NO_ROUND, VOTE.block_hash, 3, VOTE.signature)
    assert not checker.is_signed(beyond, KEYS.set)


def test_a_vote_of_another_chain_is_not() -> None:
    assert not SignatureChecker(Hash32(b"\x09" * 32)).is_signed(VOTE, KEYS.set)


def test_the_other_parity_byte_is_nobodys_signature() -> None:
    other = VOTE.signed(VOTE.signature[:64] + bytes((1 - VOTE.signature[64],)))
    checker = SignatureChecker(DOMAIN)
    assert not checker.is_signed(other, KEYS.set)
    assert checker.is_signed_by_key(other, KEYS.set.validators[1])  # which does not look at it


def test_s_in_the_upper_half_is_refused_by_both() -> None:
    s = SECP256K1_N - int.from_bytes(VOTE.signature[32:64], "big")
    mirrored = VOTE.signed(VOTE.signature[:32] + s.to_bytes(32, "big") + bytes((1 - VOTE.signature[64],)))
    checker = SignatureChecker(DOMAIN)
    assert not checker.is_signed(mirrored, KEYS.set)
    assert not checker.is_signed_by_key(mirrored, KEYS.set.validators[1])


@given(st.one_of(st.binary(max_size=70), st.binary(min_size=65, max_size=65)))
@settings(max_examples=200, deadline=None)
def test_random_bytes_are_no_signature(raw: bytes) -> None:
    checker = SignatureChecker(DOMAIN)
    assert not checker.is_signed(VOTE.signed(raw), KEYS.set)
    assert not checker.is_signed_by_key(VOTE.signed(raw), KEYS.set.validators[1])


def test_the_memory_of_signatures_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signatures, "CACHE_ENTRIES", 4)
    checker = SignatureChecker(DOMAIN)
    for round in range(11):
        assert checker.is_signed(KEYS.vote(Vote(PREVOTE, 9, round, NO_ROUND, None, 0)), KEYS.set)
    assert len(checker._young) + len(checker._old) <= 8
