"""Light verification: a chain of headers by validator sets, with real keys, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dmchain.chain.consensus.commit import Commit
from dmchain.chain.consensus.evidence import verify_evidence
from dmchain.chain.consensus.light import (
    TRUSTING_PERIOD_MS,
    InvalidLightBlock,
    LightBlock,
    NotEnoughTrust,
    Trusted,
    TrustExpired,
    find_double_votes,
    verify_light_block,
)
from dmchain.chain.consensus.record import Record
from dmchain.chain.consensus.signatures import SignatureChecker
from dmchain.chain.consensus.validators import ValidatorSet
from dmchain.chain.primitives.block import EMPTY_BLOOM, EMPTY_OMMERS_HASH, EMPTY_TRIE_ROOT, Header
from dmchain.chain.primitives.types import ZERO_ADDRESS, ZERO_HASH, Hash32
from tests.chain.consensus.signed import DOMAIN, Keys

CHAIN_ID = 1
CHECKER = SignatureChecker(DOMAIN)
NOW_MS = 1_700_000_100_000
OLD, NEW = Keys((1, 1, 1, 1)), Keys((1, 1, 1, 1), b"new")


def make_header(record: Record) -> Header:
    return Header(
        parent_hash=ZERO_HASH, ommers_hash=EMPTY_OMMERS_HASH, coinbase=ZERO_ADDRESS, state_root=EMPTY_TRIE_ROOT,
        transactions_root=EMPTY_TRIE_ROOT, receipts_root=EMPTY_TRIE_ROOT, bloom=EMPTY_BLOOM, difficulty=0,
        number=record.height, gas_limit=30_000_000, gas_used=0, timestamp=record.timestamp_ms // 1000, extra_data=b"",
        prev_randao=ZERO_HASH, nonce=bytes(8), base_fee_per_gas=1, withdrawals_root=EMPTY_TRIE_ROOT, blob_gas_used=0,
        excess_blob_gas=0, parent_beacon_block_root=record.root(), requests_hash=ZERO_HASH,
    )  # fmt: skip


def make_block(height: int, signers: Keys, announced: Keys | None = None, by: list[int] | None = None) -> LightBlock:
    record = Record(
        chain_id=CHAIN_ID,
        height=height,
        timestamp_ms=1_700_000_000_000 + height * 1_000,
        validators_hash=signers.set.hash,
        next_validators_hash=(announced or signers).set.hash,
    )
    header = make_header(record)
    return LightBlock(header, record, signers.commit(header.hash, height, by=by), signers.set)


def trust(height: int, signers: Keys, announced: Keys | None = None) -> Trusted:
    block = make_block(height, signers, announced)
    return Trusted(
        CHAIN_ID, height, block.header.hash, block.record.timestamp_ms, signers.set, block.record.next_validators_hash
    )


def test_height_after_height_through_a_change_of_the_set() -> None:
    trusted = trust(1, OLD)
    for height, signers, announced in ((2, OLD, OLD), (3, OLD, NEW), (4, NEW, NEW), (5, NEW, NEW)):
        trusted = verify_light_block(trusted, make_block(height, signers, announced), CHECKER, NOW_MS)
    assert trusted.height == 5
    assert trusted.validators == NEW.set


def test_far_ahead_within_one_set() -> None:
    trusted = verify_light_block(trust(1, OLD), make_block(50, OLD), CHECKER, NOW_MS)
    assert trusted.block_hash == make_block(50, OLD).header.hash


def test_far_ahead_over_a_whole_new_set_needs_a_height_in_between() -> None:
    with pytest.raises(NotEnoughTrust, match="expected 2 of the trusted power behind it, got 0"):
        verify_light_block(trust(1, OLD), make_block(50, NEW), CHECKER, NOW_MS)


def test_a_set_that_was_not_announced_is_refused() -> None:
    with pytest.raises(InvalidLightBlock, match="signed by a set that was not announced"):
        verify_light_block(trust(1, OLD), make_block(2, NEW), CHECKER, NOW_MS)


def test_old_trust_is_no_trust() -> None:
    with pytest.raises(TrustExpired):
        verify_light_block(trust(1, OLD), make_block(2, OLD), CHECKER, NOW_MS + TRUSTING_PERIOD_MS)


def test_time_and_height_go_forward_only() -> None:
    with pytest.raises(InvalidLightBlock, match="height: expected above 5, got 5"):
        verify_light_block(trust(5, OLD), make_block(5, OLD), CHECKER, NOW_MS)
    with pytest.raises(InvalidLightBlock, match="not in the future"):
        verify_light_block(trust(1, OLD), make_block(500, OLD), CHECKER, NOW_MS)


GOOD = make_block(2, OLD)


def with_header(**changes: object) -> LightBlock:
    return replace(GOOD, header=GOOD.header.replace(**changes))


MISMATCHED: dict[str, tuple[LightBlock, str]] = {
    "another chain": (replace(GOOD, record=replace(GOOD.record, chain_id=2)), "chain id"),
    "another record": (replace(GOOD, record=replace(GOOD.record, epoch=9)), "root of the record"),
    "another height": (with_header(number=3), "height of the record"),
    "another state": (with_header(state_root=Hash32(b"\7" * 32)), "block of the commit"),
    "another time": (with_header(timestamp=5), "time of the record"),
    "a record that the header does not name": (with_header(parent_beacon_block_root=ZERO_HASH), "root of the record"),
    "another set": (replace(GOOD, validators=NEW.set), "hash of the validator set"),
    "the commit of another height": (replace(GOOD, commit=make_block(3, OLD).commit), "height of the commit"),
    "too few signatures": (make_block(2, OLD, by=[0, 1]), "expected power 3 or more, got 2"),
    "a commit of a smaller set": (
        replace(GOOD, commit=Commit(2, 1, GOOD.header.hash, GOOD.commit.signatures[:3])),
        "expected 4 validators, got 3",
    ),
    "a stranger's signature": (
        replace(GOOD, commit=Commit(2, 1, GOOD.header.hash, NEW.commit(GOOD.header.hash, 2).signatures)),
        "bad signature of validator 0",
    ),
}


@pytest.mark.parametrize("name", MISMATCHED)
def test_what_does_not_belong_together_is_refused(name: str) -> None:
    block, reason = MISMATCHED[name]
    with pytest.raises(InvalidLightBlock, match=reason):
        verify_light_block(trust(1, OLD), block, CHECKER, NOW_MS)


def test_a_third_of_the_trusted_set_does_not_excuse_a_false_commit() -> None:
    """A set of its own making, with enough of the trusted validators in it, still has to sign by two thirds."""
    mixed = ValidatorSet.from_unordered((*OLD.set.validators[:2], *NEW.set.validators[:2]))
    record = Record(CHAIN_ID, 40, 1_700_000_040_000, validators_hash=mixed.hash, next_validators_hash=mixed.hash)
    header = make_header(record)
    signatures: list[bytes | None] = [None] * 4
    for keys in (OLD,):
        signed = keys.commit(header.hash, 40).signatures
        for index, validator in enumerate(keys.set.validators[:2]):
            place = mixed.index_of(validator.address)
            assert place is not None
            signatures[place] = signed[index]
    block = LightBlock(header, record, Commit(40, 1, header.hash, tuple(signatures)), mixed)
    with pytest.raises(InvalidLightBlock, match="expected power 3 or more, got 2"):
        verify_light_block(trust(1, OLD), block, CHECKER, NOW_MS)


def test_two_commits_of_one_round_convict_who_signed_both() -> None:
    one, other = OLD.commit(Hash32(b"\1" * 32), by=[0, 1, 2]), OLD.commit(Hash32(b"\2" * 32), by=[1, 2, 3])
    proofs = find_double_votes(one, other)
    assert [proof.validator for proof in proofs] == [1, 2]
    for proof in proofs:
        verify_evidence(proof, OLD.set, CHECKER.is_signed)
    assert find_double_votes(one, one) == []
    assert find_double_votes(one, OLD.commit(Hash32(b"\2" * 32), round=2)) == []
