"""The signer refuses what could contradict an earlier signature, whatever the core thinks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmchain.chain.consensus.messages import NO_ROUND, PRECOMMIT, PREVOTE, Proposal, Signable, Vote
from dmchain.chain.consensus.signatures import SignatureChecker
from dmchain.chain.consensus.validators import Validator, ValidatorSet
from dmchain.chain.primitives.crypto import PrivateKey
from dmchain.chain.primitives.types import Hash32
from dmchain.node.signer import DoubleSignRefused, LocalSigner, SignGuard
from tests.chain.consensus.bench import Bench, block_hash, prevote

A, B = block_hash("A"), block_hash("B")


def say(kind: int, height: int, round: int, value: Hash32 | None = A) -> Signable:
    if kind == 0:
        return Proposal(height, round, NO_ROUND, value or A, 0)
    return Vote(kind, height, round, NO_ROUND, value, 0)


positions = st.tuples(st.integers(1, 3), st.integers(0, 3), st.integers(0, 2), st.sampled_from((A, B)))


@given(st.lists(positions, max_size=30))
def test_no_two_different_statements_are_ever_signed_for_one_place(wishes: list[tuple[int, int, int, Hash32]]) -> None:
    guard = SignGuard()
    signed: dict[tuple[int, int, int], Signable] = {}
    for height, round, kind, value in wishes:
        message = say(kind, height, round, value)
        try:
            guard.check(message)
        except DoubleSignRefused:
            continue
        assert signed.setdefault((height, round, kind), message) == message
        assert (height, round, kind) == max(signed)


def test_the_same_again_is_signed_again() -> None:
    guard = SignGuard()
    guard.check(say(PREVOTE, 5, 1))
    guard.check(say(PREVOTE, 5, 1))
    for other in (
        say(PREVOTE, 5, 1, B),
        say(PREVOTE, 5, 1, None),
        say(0, 5, 1),
        say(PRECOMMIT, 5, 0),
        say(PRECOMMIT, 4, 9),
    ):
        with pytest.raises(DoubleSignRefused, match="expected one after the prevote of height 5, round 1"):
            guard.check(other)
    guard.check(say(PRECOMMIT, 5, 1, B))


def test_the_journal_tells_what_was_signed_before() -> None:
    bench = Bench(0)
    bench.built("A", 0)
    guard = SignGuard(bench.records[-1])
    guard.check(prevote("A", 0, 0))
    with pytest.raises(DoubleSignRefused):
        guard.check(prevote("B", 0, 0))
    with pytest.raises(DoubleSignRefused):
        guard.check(say(PREVOTE, 4, 7))
    guard.check(say(PRECOMMIT, 5, 0))


def test_a_signature_is_one_that_the_chain_accepts() -> None:
    key, domain = PrivateKey(b"\3" * 32), Hash32(b"\1" * 32)
    signer = LocalSigner(key, domain)
    assert signer.address == key.address
    signed = signer.sign(say(PREVOTE, 1, 0))
    group = ValidatorSet((Validator.from_public_key(key.public_key, 1),))
    assert SignatureChecker(domain).is_signed(signed, group)
    with pytest.raises(DoubleSignRefused):
        signer.sign(say(PREVOTE, 1, 0, B))
