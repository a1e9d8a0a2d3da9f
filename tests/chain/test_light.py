"""Headers are believed because of who signed them: every way to lie is refused, and few blocks are needed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmchain.chain.consensus.commit import Commit
from dmchain.chain.consensus.evidence import verify_evidence
from dmchain.chain.consensus.record import Record
from dmchain.chain.consensus.signatures import SignatureChecker
from dmchain.chain.consensus.signbytes import compute_domain
from dmchain.chain.light import (
    InsufficientTrust,
    LightBlock,
    LightClient,
    LightError,
    TrustExpired,
    find_double_votes,
    prove_leaf,
    verify_anchor,
    verify_leaf,
    verify_light_block,
    verify_step,
)
from dmchain.chain.primitives.types import Address, Hash32
from tests.chain.signed_chain import CHAIN_ID, GENESIS_TIME, SignedChain, Team, sign_commit

PERIOD = 400_000_000
FIRST = Team(("ann", "bob", "cyd", "dan"))
HALF_NEW = Team(("cyd", "dan", "eve", "fay"))
NEW = Team(("eve", "fay", "gus", "hal"))
CHAIN = SignedChain(FIRST, {40: HALF_NEW, 80: NEW}).grow(120)
NOW = (GENESIS_TIME + 200) * 1000


def block_at(height: int, chain: SignedChain = CHAIN) -> LightBlock:
    return LightBlock(
        chain.header(height),
        chain.bodies[height - 1].facts.record,
        chain.commits[height - 1],
        chain.team_at(height).set,
        chain.team_at(height + 1).set,
    )


def step(trusted: LightBlock, block: LightBlock, now: int = NOW) -> None:
    verify_step(trusted, block, CHAIN_ID, now, PERIOD, CHAIN.checker.is_signed)


def walk(target: int, trusted: int = 1, chain: SignedChain = CHAIN) -> list[int]:
    """Heights asked for on the way."""
    client = LightClient(block_at(trusted, chain), target, CHAIN_ID, PERIOD, chain.checker.is_signed)
    asked = []
    while (wanted := client.wanted) is not None:
        asked.append(wanted)
        client.supply(block_at(wanted, chain), NOW)
    assert client.trusted.height == target
    assert client.verified <= len(asked) + 1
    return asked


# -- what is believed --------------------------------------------------------------------------------------------
def test_the_next_block_is_believed() -> None:
    for height in (1, 39, 40, 79, 80):
        step(block_at(height), block_at(height + 1))


def test_within_an_epoch_one_step_is_enough() -> None:
    assert walk(38) == [38]
    assert walk(120, trusted=80) == [120]


def test_half_of_the_validators_carry_trust_over() -> None:
    step(block_at(5), block_at(79))


def test_a_set_without_anybody_of_the_old_one_takes_a_block_in_between() -> None:
    with pytest.raises(InsufficientTrust, match="power 0 of the validators after block 5, expected 14 or more"):
        step(block_at(5), block_at(100))
    assert walk(120) == [120, 60]


def test_a_third_exactly_is_too_little() -> None:
    for kept, is_enough in ((10, False), (11, True)):
        chain = SignedChain(Team(("ann", "bob", "cyd"), (kept, 10, 30 - 10 - kept)), {5: Team(("ann", "x", "y"))})
        chain.grow(10)
        trusted, block = block_at(2, chain), block_at(8, chain)
        if is_enough:
            verify_step(trusted, block, CHAIN_ID, NOW, PERIOD, chain.checker.is_signed)
        else:
            with pytest.raises(InsufficientTrust, match="power 10 of the validators after block 2, expected 11"):
                verify_step(trusted, block, CHAIN_ID, NOW, PERIOD, chain.checker.is_signed)


def test_sets_that_change_completely_are_followed_from_end_to_end() -> None:
    """Each epoch is another team: trust passes over only at the last block of each, which names the next one."""
    teams = [Team(tuple(f"{name}{number}" for name in "abcd")) for number in range(6)]
    chain = SignedChain(teams[0], {10 * number: team for number, team in enumerate(teams) if number}).grow(60)
    asked = walk(60, chain=chain)
    assert {9, 19, 29, 39, 49} <= set(asked)
    assert len(asked) <= 40


def test_the_trusted_block_itself_needs_no_step() -> None:
    assert walk(7, trusted=7) == []


@given(trusted=st.integers(1, 120), target=st.integers(1, 120))
@settings(deadline=None, max_examples=40)
def test_any_height_is_reached_from_any_below(trusted: int, target: int) -> None:
    if target < trusted:
        with pytest.raises(LightError, match="lies below the trusted block"):
            walk(target, trusted)
    else:
        assert len(walk(target, trusted)) <= 16


def test_an_anchor_is_believed_by_the_hash_of_its_validators() -> None:
    verify_anchor(block_at(3), FIRST.set.hash, CHAIN_ID, NOW, PERIOD, CHAIN.checker.is_signed)
    with pytest.raises(LightError, match="which is trusted"):
        verify_anchor(block_at(3), NEW.set.hash, CHAIN_ID, NOW, PERIOD, CHAIN.checker.is_signed)


# -- time --------------------------------------------------------------------------------------------------------
def test_old_trust_expires() -> None:
    late = (GENESIS_TIME + 5) * 1000 + PERIOD
    step(block_at(5), block_at(6), late)
    with pytest.raises(TrustExpired, match=r"block 5: trusted, but 400000 s old; expected at most 400000 s"):
        step(block_at(5), block_at(6), late + 1)
    with pytest.raises(TrustExpired):
        verify_anchor(block_at(3), FIRST.set.hash, CHAIN_ID, late, PERIOD, CHAIN.checker.is_signed)


def test_a_block_from_the_future_is_refused() -> None:
    with pytest.raises(LightError, match="block 60: time: 45 s ahead of the clock"):
        step(block_at(5), block_at(60), (GENESIS_TIME + 15) * 1000)


def test_time_must_pass_and_heights_grow() -> None:
    with pytest.raises(LightError, match="expected one above the trusted block 6"):
        step(block_at(6), block_at(6))
    chain = SignedChain(FIRST).grow(3)
    chain.append(chain.make_body({"timestamp_ms": chain.bodies[1].facts.record.timestamp_ms}))
    with pytest.raises(LightError, match="block 4: time: expected more than"):
        verify_step(block_at(2, chain), block_at(4, chain), CHAIN_ID, NOW, PERIOD, chain.checker.is_signed)


# -- lies --------------------------------------------------------------------------------------------------------
LYING = Team(("liar 1", "liar 2", "liar 3", "liar 4"))


def test_a_forged_set_signs_nothing_that_is_believed() -> None:
    """A chain of its own, perfectly signed by its own validators, is not reached from trusted ones."""
    forged = SignedChain(FIRST, {20: LYING})
    forged.genesis, forged.domain, forged.checker = CHAIN.genesis, CHAIN.domain, CHAIN.checker
    forged.bodies, forged.commits = CHAIN.bodies[:19], CHAIN.commits[:19]
    forged.grow(20)
    with pytest.raises(InsufficientTrust):
        step(block_at(5), block_at(35, forged))
    with pytest.raises(LightError, match="block 20: validators hash"):
        step(block_at(19), block_at(20, forged))
    client = LightClient(block_at(1), 35, CHAIN_ID, PERIOD, CHAIN.checker.is_signed)
    with pytest.raises(LightError):
        while (wanted := client.wanted) is not None:
            client.supply(block_at(wanted, forged), NOW)


def test_trusted_signatures_cannot_be_borrowed() -> None:
    """The names of trusted validators in the set, other signatures in the commit."""
    block = block_at(30)
    commit = sign_commit(CHAIN.domain, 30, block.header.hash, LYING)
    with pytest.raises(LightError, match="bad signature of validator 0"):
        step(block_at(5), replace(block, commit=commit))


def test_seconds_and_milliseconds_must_agree() -> None:
    chain = SignedChain(FIRST).grow(3)
    chain.append(chain.make_body({"timestamp_ms": chain.bodies[2].facts.record.timestamp_ms + 5_000}))
    with pytest.raises(LightError, match="block 4: record seconds: expected"):
        verify_light_block(block_at(4, chain), CHAIN_ID, chain.checker.is_signed)


CASES: list[tuple[dict[str, Any], str]] = [
    ({"header": CHAIN.header(31)}, "record root: expected 0x"),
    ({"header": replace(CHAIN.header(30), state_root=b"\x13" * 32)}, "commit block hash: expected 0x"),
    ({"record": CHAIN.bodies[30].facts.record}, "record root: expected 0x"),
    ({"commit": CHAIN.commits[30]}, "commit height: expected 30, got 31"),
    ({"validators": LYING.set}, "validators hash: expected 0x"),
    ({"next_validators": LYING.set}, "next validators hash: expected 0x"),
]


@pytest.mark.parametrize(("change", "reason"), CASES)
def test_parts_must_belong_together(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(LightError, match=f"block 3[01]: {reason}"):
        verify_light_block(replace(block_at(30), **change), CHAIN_ID, CHAIN.checker.is_signed)


def test_another_chain_id_is_refused() -> None:
    with pytest.raises(LightError, match="record chain id: expected 9, got 1337"):
        verify_light_block(block_at(30), 9, CHAIN.checker.is_signed)


def test_signatures_of_another_genesis_are_worth_nothing() -> None:
    other = SignatureChecker(compute_domain(CHAIN_ID, Hash32(b"\x66" * 32)))
    with pytest.raises(LightError, match="bad signature"):
        verify_light_block(block_at(30), CHAIN_ID, other.is_signed)


@pytest.mark.parametrize("absent", [(0, 1), (2, 3), (0, 1, 2, 3)])
def test_two_thirds_must_have_signed(absent: tuple[int, ...]) -> None:
    block = block_at(30)
    commit = sign_commit(CHAIN.domain, 30, block.header.hash, FIRST, absent)
    with pytest.raises(LightError, match="expected power 27 or more, got"):
        verify_light_block(replace(block, commit=commit), CHAIN_ID, CHAIN.checker.is_signed)


def test_a_commit_of_more_validators_than_there_are_is_refused() -> None:
    block = block_at(30)
    long = Commit(30, 0, block.header.hash, (*block.commit.signatures, bytes(65)))
    with pytest.raises(LightError, match="got number 4"):
        step(block_at(5), replace(block, commit=long))


def test_a_fork_at_a_neighbour_is_seen() -> None:
    chain = SignedChain(FIRST).grow(4)
    chain.append(chain.make_body(parent_hash=b"\x13" * 32))
    with pytest.raises(LightError, match="block 5: parent hash: expected 0x"):
        verify_step(block_at(4, chain), block_at(5, chain), CHAIN_ID, NOW, PERIOD, chain.checker.is_signed)


def test_only_the_block_asked_for_is_taken() -> None:
    client = LightClient(block_at(1), 30, CHAIN_ID, PERIOD, CHAIN.checker.is_signed)
    with pytest.raises(LightError, match="expected block 30, got 29"):
        client.supply(block_at(29), NOW)


# -- forks -----------------------------------------------------------------------------------------------------------
def test_two_commits_of_one_round_convict_whoever_signed_both() -> None:
    other = Hash32(b"\x13" * 32)
    first = sign_commit(CHAIN.domain, 30, CHAIN.header(30).hash, FIRST, absent=(3,))
    second = sign_commit(CHAIN.domain, 30, other, FIRST, absent=(0,))
    proofs = find_double_votes(first, second)
    assert [proof.validator for proof in proofs] == [1, 2]
    for proof in proofs:
        verify_evidence(proof, FIRST.set, CHAIN.checker.is_signed)
    assert find_double_votes(first, first) == []
    assert find_double_votes(first, sign_commit(CHAIN.domain, 30, other, FIRST, round=1)) == []


# -- leaves ------------------------------------------------------------------------------------------------------
@given(index=st.integers(0, 12), other=st.integers(0, 15), bit=st.integers(0, 255))
def test_a_leaf_is_proved_with_four_hashes(index: int, other: int, bit: int) -> None:
    hashes = [Hash32(bytes([number]) * 32) for number in range(6)]
    record = Record(1337, 12, 99, 3, Address(b"\x77" * 20), *hashes, 5)
    leaf, proof, root = record.leaves()[index], prove_leaf(record, index), record.root()
    assert len(proof) == 4
    assert verify_leaf(root, index, leaf, proof)
    assert verify_leaf(root, other, leaf, proof) == (other == index)
    changed = (int.from_bytes(leaf, "big") ^ 1 << bit).to_bytes(32, "big")
    assert not verify_leaf(root, index, changed, proof)
    assert not verify_leaf(root, index, leaf, proof[:3])
    assert not verify_leaf(root, index, leaf, [*proof[:3], proof[3][:31]])
    assert not verify_leaf(root, 16 + index, leaf, proof)
