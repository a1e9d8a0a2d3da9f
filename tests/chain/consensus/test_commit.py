"""Commits: one encoding, every signature counted, nothing believed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmchain.chain.consensus.certificates import InvalidCertificate
from dmchain.chain.consensus.commit import Commit, verify_commit, verify_commit_quorum
from dmchain.chain.consensus.messages import Vote
from dmchain.chain.consensus.signatures import SignatureChecker
from dmchain.chain.consensus.validators import ValidatorSet
from dmchain.chain.primitives.crypto import keccak
from dmchain.chain.primitives.errors import DecodeError
from dmchain.chain.primitives.types import Hash32
from tests.chain.consensus.signed import DOMAIN, Keys

KEYS = Keys((5, 1, 1, 1, 1))
BLOCK = Hash32(b"\5" * 32)
CHECKER = SignatureChecker(DOMAIN)


@st.composite
def commits(draw: st.DrawFn) -> Commit:
    signatures = draw(st.lists(st.one_of(st.none(), st.binary(min_size=65, max_size=65)), min_size=1, max_size=20))
    return Commit(draw(st.integers(0, 2**64 - 1)), draw(st.integers(0, 2**31 - 1)), BLOCK, tuple(signatures))


@given(commits())
@settings(max_examples=200, deadline=None)
def test_a_commit_survives_its_bytes_and_its_certificate(commit: Commit) -> None:
    assert Commit.decode(commit.encode()) == commit
    assert Commit.from_certificate(commit.to_certificate(), len(commit.signatures)) == commit
    assert commit.hash == keccak(commit.encode())


@given(commits(), st.data())
@settings(max_examples=200, deadline=None)
def test_other_bytes_are_refused_or_another_commit(commit: Commit, data: st.DataObject) -> None:
    raw = bytearray(commit.encode())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    try:
        other = Commit.decode(bytes(raw))
    except DecodeError:
        return
    assert other != commit
    assert other.encode() == bytes(raw)


def test_the_bytes_are_what_the_module_says() -> None:
    commit = Commit(258, 3, BLOCK, (None, b"a" * 65, None, None, None, None, None, None, b"b" * 65))
    head = "0000000000000102" + "00000003" + "05" * 32 + "0009" + "0201"
    assert commit.encode() == bytes.fromhex(head) + b"a" * 65 + b"b" * 65


def test_bits_beyond_the_last_validator_are_refused() -> None:
    raw = bytearray(Commit(1, 0, BLOCK, (b"a" * 65,) * 3).encode())
    raw[46] |= 8
    with pytest.raises(DecodeError, match="expected 307 bytes, got 242"):
        Commit.decode(bytes(raw))
    with pytest.raises(DecodeError, match="a bit beyond validator 2 is set"):
        Commit.decode(bytes(raw) + b"a" * 65)


def test_all_signatures_count() -> None:
    assert verify_commit(KEYS.commit(BLOCK), KEYS.set, CHECKER.is_signed) == 9
    weak = [index for index, power in enumerate(KEYS.set.powers) if power == 1]
    heavy = KEYS.set.powers.index(5)
    assert verify_commit(KEYS.commit(BLOCK, by=[heavy, *weak[:2]]), KEYS.set, CHECKER.is_signed) == 7
    with pytest.raises(InvalidCertificate, match="expected power 7 or more, got 6"):
        verify_commit(KEYS.commit(BLOCK, by=[heavy, weak[0]]), KEYS.set, CHECKER.is_signed)
    with pytest.raises(InvalidCertificate, match="expected power 7 or more, got 4"):
        verify_commit(KEYS.commit(BLOCK, by=weak), KEYS.set, CHECKER.is_signed)


@pytest.mark.parametrize("index", range(5))
def test_one_bad_signature_spoils_a_canonical_commit(index: int) -> None:
    commit = KEYS.commit(BLOCK)
    signatures = list(commit.signatures)
    signatures[index] = bytes(65)
    with pytest.raises(InvalidCertificate, match=f"bad signature of validator {index}"):
        verify_commit(Commit(7, 1, BLOCK, tuple(signatures)), KEYS.set, CHECKER.is_signed)


def test_a_quorum_is_enough_for_what_is_thrown_away() -> None:
    asked: list[int] = []

    def is_signed(vote: Vote, validators: ValidatorSet) -> bool:
        asked.append(vote.validator)
        return CHECKER.is_signed(vote, validators)

    even = Keys((1, 1, 1, 1))
    assert verify_commit_quorum(even.commit(BLOCK), even.set, is_signed) == 3
    assert asked == [0, 1, 2]


def test_a_commit_of_another_set_is_refused() -> None:
    other = Keys((1, 1, 1, 1))
    with pytest.raises(InvalidCertificate, match="expected 4 validators, got 5"):
        verify_commit(KEYS.commit(BLOCK), other.set, CHECKER.is_signed)
    with pytest.raises(InvalidCertificate, match="bad signature of validator 0"):
        verify_commit(Keys((1, 1, 1, 1), b"x").commit(BLOCK), other.set, CHECKER.is_signed)


def test_signatures_for_another_height_round_or_block_do_not_count() -> None:
    signatures = KEYS.commit(BLOCK).signatures
    for commit in (
        Commit(8, 1, BLOCK, signatures),
        Commit(7, 2, BLOCK, signatures),
        Commit(7, 1, Hash32(b"\6" * 32), signatures),
    ):
        with pytest.raises(InvalidCertificate, match="bad signature"):
            verify_commit(commit, KEYS.set, CHECKER.is_signed)
