"""Evidence: detected pairs verify, everything else does not, and one offence has one encoding."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmchain.chain.consensus.evidence import (
    Amnesia,
    ChainEvidence,
    DoubleProposal,
    DoubleVote,
    InvalidEvidence,
    compute_evidence_hash,
    decode_evidence,
    describe,
    make_double_vote,
    verify_evidence,
)
from dmchain.chain.consensus.messages import NO_ROUND, PRECOMMIT, PREVOTE, Vote
from dmchain.chain.consensus.signatures import SignatureChecker
from dmchain.chain.primitives.crypto import keccak
from dmchain.chain.primitives.errors import DecodeError
from dmchain.chain.primitives.types import ZERO_HASH, Hash32
from tests.chain.consensus.bench import proposal
from tests.chain.consensus.signed import DOMAIN, Keys

KEYS = Keys((1, 1, 1, 1))
CHECKER = SignatureChecker(DOMAIN)
A, B = Hash32(b"\xaa" * 32), Hash32(b"\xbb" * 32)


def cast(
    kind: int, value: Hash32 | None, round: int, valid_round: int = NO_ROUND, by: int = 2, height: int = 7
) -> Vote:
    return KEYS.vote(Vote(kind, height, round, valid_round, value, by))


DOUBLES = {
    "two values": (cast(PREVOTE, A, 1), cast(PREVOTE, B, 1)),
    "value and nil": (cast(PRECOMMIT, None, 1), cast(PRECOMMIT, B, 1)),
    "two valid rounds of one value": (cast(PREVOTE, A, 3, 1), cast(PREVOTE, A, 3)),
}


@pytest.mark.parametrize("name", DOUBLES)
def test_a_double_vote_verifies_and_survives_its_bytes(name: str) -> None:
    first, second = DOUBLES[name]
    evidence = make_double_vote(first, second)
    assert make_double_vote(second, first) == evidence
    verify_evidence(evidence, KEYS.set, CHECKER.is_signed)
    assert decode_evidence(evidence.encode()) == evidence
    assert len(evidence.encode()) == 218


def test_amnesia_verifies_and_survives_its_bytes() -> None:
    evidence = Amnesia(cast(PRECOMMIT, A, 1), cast(PREVOTE, B, 3, 0))
    verify_evidence(evidence, KEYS.set, CHECKER.is_signed)
    assert decode_evidence(evidence.encode()) == evidence
    assert len(evidence.encode()) == 217


NOT_EVIDENCE: dict[str, tuple[ChainEvidence, str]] = {
    "the same vote twice": (DoubleVote(*[cast(PREVOTE, A, 1)] * 2), "two different votes"),
    "two kinds": (DoubleVote(cast(PREVOTE, A, 1), cast(PRECOMMIT, B, 1)), "kind: expected the same"),
    "two rounds": (DoubleVote(cast(PREVOTE, A, 1), cast(PREVOTE, B, 2)), "round: expected the same"),
    "two heights": (DoubleVote(cast(PREVOTE, A, 1), cast(PREVOTE, B, 1, height=8)), "height: expected the same"),
    "two validators": (DoubleVote(cast(PREVOTE, A, 1), cast(PREVOTE, B, 1, by=1)), "validator: expected the same"),
    "the wrong order": (DoubleVote(cast(PREVOTE, B, 1), cast(PREVOTE, A, 1)), "the smaller first"),
    "an unlocked prevote": (Amnesia(cast(PRECOMMIT, A, 1), cast(PREVOTE, B, 3, 1)), "does not forget"),
    "the same value": (Amnesia(cast(PRECOMMIT, A, 1), cast(PREVOTE, A, 3)), "does not forget"),
    "an earlier prevote": (Amnesia(cast(PRECOMMIT, A, 1), cast(PREVOTE, B, 1)), "does not forget"),
    "a nil prevote": (Amnesia(cast(PRECOMMIT, A, 1), cast(PREVOTE, None, 3)), "does not forget"),
    "a nil precommit": (Amnesia(cast(PRECOMMIT, None, 1), cast(PREVOTE, A, 3)), "does not forget"),
    "votes of two": (Amnesia(cast(PRECOMMIT, A, 1), cast(PREVOTE, B, 3, by=1)), "one validator"),
    "kinds the wrong way": (Amnesia(cast(PREVOTE, A, 1), cast(PRECOMMIT, B, 3)), "a precommit and a prevote"),
}


@pytest.mark.parametrize("name", NOT_EVIDENCE)
def test_what_a_correct_validator_may_do_is_no_evidence(name: str) -> None:
    evidence, reason = NOT_EVIDENCE[name]
    with pytest.raises(InvalidEvidence, match=reason):
        verify_evidence(evidence, KEYS.set, CHECKER.is_signed)


def test_forged_votes_convict_nobody() -> None:
    first, second = DOUBLES["two values"]
    forged = make_double_vote(first, second.signed(first.signature))
    with pytest.raises(InvalidEvidence, match="bad signature of validator 2"):
        verify_evidence(forged, KEYS.set, CHECKER.is_signed)
    smaller = Keys((1, 1))
    with pytest.raises(InvalidEvidence, match="validator: expected below 2, got 2"):
        verify_evidence(make_double_vote(first, second), smaller.set, CHECKER.is_signed)


@given(st.one_of(st.binary(max_size=250), st.binary(min_size=217, max_size=217).map(lambda raw: b"\1" + raw)))
@settings(max_examples=300, deadline=None)
def test_garbage_is_refused_or_canonical(raw: bytes) -> None:
    try:
        evidence = decode_evidence(raw)
    except DecodeError:
        return
    assert evidence.encode() == raw


@given(st.sampled_from(sorted(DOUBLES)), st.integers(0, 217), st.integers(1, 255))
@settings(max_examples=300, deadline=None)
def test_changed_bytes_never_verify(name: str, at: int, flip: int) -> None:
    raw = bytearray(make_double_vote(*DOUBLES[name]).encode())
    raw[at] ^= flip
    try:
        evidence = decode_evidence(bytes(raw))
        verify_evidence(evidence, KEYS.set, CHECKER.is_signed)
    except (DecodeError, InvalidEvidence):
        return
    raise AssertionError(f"byte {at} of evidence does not matter")


def test_the_hash_of_evidence_is_of_its_bytes_in_order() -> None:
    one, two = (make_double_vote(*DOUBLES[name]) for name in ("two values", "value and nil"))
    assert compute_evidence_hash([]) == ZERO_HASH
    assert compute_evidence_hash([one, two]) == keccak(one.encode() + two.encode())
    assert compute_evidence_hash([two, one]) != compute_evidence_hash([one, two])


def test_descriptions_name_who_and_what() -> None:
    first = proposal("A", 3).proposal
    assert describe(make_double_vote(*DOUBLES["value and nil"])) == "validator 2 at height 7: two precommits in round 1"
    assert describe(DoubleProposal(first, first)) == "validator 3 at height 5: two proposals in round 3"
    amnesia = Amnesia(cast(PRECOMMIT, A, 1), cast(PREVOTE, B, 3, 0))
    assert describe(amnesia) == "validator 2 at height 7: a prevote in round 3 against its precommit in round 1"
