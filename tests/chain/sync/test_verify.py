"""Verdicts on received blocks: who is at fault, and how far a job gets."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest

from dmchain.chain.consensus.commit import Commit
from dmchain.chain.consensus.signatures import SignatureChecker
from dmchain.chain.consensus.signbytes import compute_domain
from dmchain.chain.primitives.types import Hash32
from dmchain.chain.sync.verify import RunResult, VerifyRun, WireBlock, verify_run
from tests.chain.signed_chain import CHAIN_ID, SignedChain, Team

TEAM = Team(("ann", "bob", "cyd", "dan"))
SECOND = Team(("bob", "cyd", "dan", "eve"))
CHAIN = SignedChain(TEAM, {6: SECOND}).grow(10)


def wires(first: int, last: int, chain: SignedChain = CHAIN) -> list[WireBlock]:
    return [WireBlock(chain.bodies[h - 1].encode(), chain.commits[h - 1].encode()) for h in range(first, last + 1)]


def verify(blocks: list[WireBlock], start: int = 1, chain: SignedChain = CHAIN, **changes: object) -> RunResult:
    run = VerifyRun(7, start, tuple(blocks), TEAM.set, CHAIN_ID, None)
    return verify_run(replace(run, **changes), chain.checker.is_signed)  # type: ignore[arg-type]


def test_good_blocks_come_back_as_links() -> None:
    result = verify(wires(1, 4), parent_hash=CHAIN.genesis.hash)
    assert result.bad is None and result.number == 7
    assert [link.hash for link in result.links] == [CHAIN.header(height).hash for height in range(1, 5)]
    assert [link.parent_hash for link in result.links] == [CHAIN.header(height).hash for height in range(4)]


def test_a_job_ends_where_the_validators_change() -> None:
    result = verify(wires(3, 9), start=3)
    assert result.bad is None
    assert len(result.links) == 3
    assert result.links[-1].next_validators_hash == SECOND.set.hash
    assert len(verify(wires(6, 9), start=6, validators=SECOND.set).links) == 4


def test_blocks_before_a_bad_one_are_good() -> None:
    blocks = wires(1, 5)
    blocks[3] = replace(blocks[3], commit=blocks[2].commit)
    result = verify(blocks)
    assert len(result.links) == 3
    assert result.bad is not None
    assert (result.bad.height, result.bad.is_final) == (4, False)


def bad_reason(block: WireBlock, start: int = 1, **changes: object) -> tuple[str, bool]:
    bad = verify([block], start, **changes).bad
    assert bad is not None
    return bad.reason, bad.is_final


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda w: replace(w, block=b""), "RLP: got no bytes"),
        (lambda w: replace(w, block=w.block + b"\0"), "RLP: 1 bytes after the end"),
        (lambda w: replace(w, commit=b""), "commit: expected 46 bytes or more, got 0"),
        (lambda w: replace(w, block=wires(2, 2)[0].block), "block: expected height 1, got 2"),
        (lambda w: replace(w, commit=wires(2, 2)[0].commit), "commit: expected block 0x"),
    ],
)
def test_what_is_no_block_of_that_height_is_the_senders_fault(spoil, reason: str) -> None:  # type: ignore[no-untyped-def]
    got, is_final = bad_reason(spoil(wires(1, 1)[0]))
    assert got.startswith(reason)
    assert not is_final


def test_a_body_that_its_header_does_not_bind_is_the_senders_fault() -> None:
    other = SignedChain(TEAM)
    other.append(other.make_body())
    body = replace(other.bodies[0], facts=replace(other.bodies[0].facts, record=CHAIN.bodies[1].facts.record))
    got, is_final = bad_reason(WireBlock(body.encode(), other.commits[0].encode()))
    assert "record" in got or "last commit" in got
    assert not is_final


def test_a_commit_below_the_quorum_is_the_senders_fault() -> None:
    block = wires(1, 1)[0]
    commit = Commit.decode(block.commit)
    half = replace(commit, signatures=(*commit.signatures[:2], None, None))
    got, is_final = bad_reason(replace(block, commit=half.encode()))
    assert got == "commit of height 1: expected power 27 or more, got 20"
    assert not is_final


def test_one_bad_signature_beyond_the_quorum_is_refused_too() -> None:
    """The commit is stored, and the last one goes into the next block."""
    block = wires(1, 1)[0]
    commit = Commit.decode(block.commit)
    spoiled = replace(commit, signatures=(*commit.signatures[:3], commit.signatures[0]))
    got, _ = bad_reason(replace(block, commit=spoiled.encode()))
    assert got == "commit of height 1: bad signature of validator 3"


def test_a_commit_of_another_chain_is_refused() -> None:
    block = wires(1, 1)[0]
    checker = SignatureChecker(compute_domain(CHAIN_ID, Hash32(b"\x66" * 32)))
    run = VerifyRun(1, 1, (block,), TEAM.set, CHAIN_ID, None)
    bad = verify_run(run, checker.is_signed).bad
    assert bad is not None and "bad signature" in bad.reason


def test_once_a_quorum_has_signed_nobody_else_is_blamed() -> None:
    block = wires(1, 1)[0]
    got, is_final = bad_reason(block, parent_hash=Hash32(b"\x13" * 32))
    assert got.startswith("parent hash: expected 0x1313") and got.endswith("but a quorum has signed it")
    assert is_final
    assert bad_reason(block, chain_id=9) == ("chain id: expected 9, got 1337, but a quorum has signed it", True)


def test_jobs_and_results_travel_between_processes() -> None:
    run = VerifyRun(7, 1, tuple(wires(1, 2)), TEAM.set, CHAIN_ID, CHAIN.genesis.hash)
    again = pickle.loads(pickle.dumps(run))
    assert again == run
    result = verify_run(again, CHAIN.checker.is_signed)
    assert pickle.loads(pickle.dumps(result)) == result
