"""Header rules: every field of a header is decided by the parent, checked after execution, or the proposer's choice."""

from __future__ import annotations

from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import pytest
from eth.vm.forks.cancun.state import fake_exponential
from eth.vm.forks.london.headers import calculate_expected_base_fee_per_gas
from eth.vm.forks.prague.constants import BLOB_BASE_FEE_UPDATE_FRACTION_PRAGUE
from eth.vm.forks.prague.headers import calc_excess_blob_gas_prague
from hypothesis import given
from hypothesis import strategies as st

from dmchain.chain.blockchain import describe_difference
from dmchain.chain.primitives.block import (
    EMPTY_BLOOM,
    EMPTY_OMMERS_HASH,
    EMPTY_REQUESTS_HASH,
    EMPTY_TRIE_ROOT,
    Header,
)
from dmchain.chain.primitives.errors import InvalidBlock
from dmchain.chain.primitives.types import ZERO_ADDRESS, Hash32
from dmchain.chain.rules import (
    GAS_PER_BLOB,
    MAX_BLOB_GAS,
    MAX_GAS_LIMIT,
    MIN_GAS_LIMIT,
    TARGET_BLOB_GAS,
    TRANSACTION_GAS_CAP,
    Rules,
    compute_base_fee,
    compute_blob_base_fee,
    compute_excess_blob_gas,
    compute_gas_limit,
    validate_header,
)

RULES = Rules(1337)
OTHER = Hash32(b"\x77" * 32)
PARENT = Header(
    parent_hash=Hash32(b"\x01" * 32),
    ommers_hash=EMPTY_OMMERS_HASH,
    coinbase=ZERO_ADDRESS,
    state_root=Hash32(b"\x02" * 32),
    transactions_root=EMPTY_TRIE_ROOT,
    receipts_root=EMPTY_TRIE_ROOT,
    bloom=EMPTY_BLOOM,
    difficulty=0,
    number=9,
    gas_limit=30_000_000,
    gas_used=20_000_000,
    timestamp=1_700_000_000,
    extra_data=b"",
    prev_randao=Hash32(bytes(32)),
    nonce=bytes(8),
    base_fee_per_gas=10**9,
    withdrawals_root=EMPTY_TRIE_ROOT,
    blob_gas_used=0,
    excess_blob_gas=0,
    parent_beacon_block_root=Hash32(bytes(32)),
    requests_hash=EMPTY_REQUESTS_HASH,
)
CHILD = PARENT.replace(
    parent_hash=PARENT.hash,
    number=10,
    timestamp=PARENT.timestamp + 1,
    base_fee_per_gas=compute_base_fee(PARENT),
    gas_used=0,
)

WRONG: dict[str, list[Any]] = {
    "parent_hash": [OTHER],
    "ommers_hash": [OTHER],
    "difficulty": [1],
    "number": [9, 11],
    "gas_limit": [30_000_000 + 29_296, 30_000_000 - 29_296, 0, 2**63],
    "gas_used": [30_000_001],
    "timestamp": [PARENT.timestamp - 1, 0],
    "extra_data": [bytes(33)],
    "nonce": [b"\x00" * 7 + b"\x01"],
    "base_fee_per_gas": [10**9, 0],
    "withdrawals_root": [OTHER],
    "blob_gas_used": [GAS_PER_BLOB, 1],
    "excess_blob_gas": [1],
    "requests_hash": [OTHER, None],
}
AFTER_EXECUTION = {"state_root", "transactions_root", "receipts_root", "bloom"}
FREE = {"coinbase", "prev_randao", "parent_beacon_block_root"}
"""The proposer's; consensus decides about them (docs/consensus.md)."""


def test_a_header_made_by_the_rules_is_valid() -> None:
    validate_header(CHILD, PARENT, RULES)


@pytest.mark.parametrize(("field", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_wrong_field_is_named(field: str, value: Any) -> None:
    with pytest.raises(InvalidBlock, match=f"^{field}: "):
        validate_header(CHILD.replace(**{field: value}), PARENT, RULES)


def test_no_field_is_forgotten() -> None:
    assert set(WRONG) | AFTER_EXECUTION | FREE == {field.name for field in fields(Header)}
    for field in AFTER_EXECUTION | FREE:
        value = b"\x77" * len(getattr(CHILD, field))
        validate_header(CHILD.replace(**{field: value}), PARENT, RULES)


@pytest.mark.parametrize("field", [*sorted(AFTER_EXECUTION), "gas_used", "blob_gas_used", "withdrawals_root"])
def test_what_execution_shows_to_be_wrong_is_named(field: str) -> None:
    value = getattr(CHILD, field)
    wrong = CHILD.replace(**{field: value + 1 if isinstance(value, int) else b"\x77" * len(value)})
    assert describe_difference(wrong, CHILD).startswith(f"{field}: got ")


def test_headers_of_older_forks_are_refused() -> None:
    with pytest.raises(InvalidBlock, match="21 fields"):
        validate_header(CHILD.replace(requests_hash=None, parent_beacon_block_root=None), PARENT, RULES)


def test_timestamps_may_repeat_unless_the_rules_are_strict() -> None:
    same = CHILD.replace(timestamp=PARENT.timestamp)
    validate_header(same, PARENT, RULES)
    with pytest.raises(InvalidBlock, match=r"^timestamp: got 1700000000, expected later than 1700000000"):
        validate_header(same, PARENT, Rules(1, strict_timestamps=True))


def test_imported_chains_may_have_blobs_withdrawals_and_requests() -> None:
    rules = Rules(1, blobs=True, withdrawals=True, requests=True)
    header = CHILD.replace(blob_gas_used=MAX_BLOB_GAS, withdrawals_root=OTHER, requests_hash=OTHER)
    validate_header(header, PARENT, rules)
    with pytest.raises(InvalidBlock, match=r"^blob_gas_used"):
        validate_header(header.replace(blob_gas_used=MAX_BLOB_GAS + GAS_PER_BLOB), PARENT, rules)


gas = st.integers(MIN_GAS_LIMIT, 2**40)


@given(limit=gas, used=st.floats(0, 1), base_fee=st.integers(0, 2**80))
def test_base_fee_is_that_of_eip_1559(limit: int, used: float, base_fee: int) -> None:
    parent = PARENT.replace(gas_limit=limit, gas_used=int(limit * used), base_fee_per_gas=base_fee)
    assert compute_base_fee(parent) == calculate_expected_base_fee_per_gas(parent)  # type: ignore[arg-type]


def test_a_full_block_lifts_even_a_base_fee_of_zero() -> None:
    assert compute_base_fee(PARENT.replace(base_fee_per_gas=0, gas_used=PARENT.gas_limit)) == 1
    assert compute_base_fee(PARENT.replace(base_fee_per_gas=7, gas_used=0)) == 7


@given(limit=st.integers(MIN_GAS_LIMIT, MAX_GAS_LIMIT), wanted=st.integers(0, 2**64))
def test_a_computed_gas_limit_is_valid_and_moves_towards_what_is_wanted(limit: int, wanted: int) -> None:
    parent = PARENT.replace(gas_limit=limit, gas_used=0)
    chosen = compute_gas_limit(limit, wanted)
    child = CHILD.replace(parent_hash=parent.hash, gas_limit=chosen, base_fee_per_gas=compute_base_fee(parent))
    validate_header(child, parent, RULES)
    reachable = min(max(wanted, MIN_GAS_LIMIT), MAX_GAS_LIMIT)
    assert abs(reachable - chosen) <= abs(reachable - limit)


@given(excess=st.integers(0, 2**40), used=st.integers(0, 9))
def test_excess_blob_gas_is_that_of_prague(excess: int, used: int) -> None:
    parent = SimpleNamespace(excess_blob_gas=excess, blob_gas_used=used * GAS_PER_BLOB)
    ours = compute_excess_blob_gas(PARENT.replace(excess_blob_gas=excess, blob_gas_used=used * GAS_PER_BLOB))
    assert ours == calc_excess_blob_gas_prague(parent)  # type: ignore[arg-type]
    assert ours >= excess - TARGET_BLOB_GAS


@given(st.integers(0, 2**30))
def test_blob_base_fee_is_that_of_prague(excess: int) -> None:
    assert compute_blob_base_fee(excess) == fake_exponential(1, excess, BLOB_BASE_FEE_UPDATE_FRACTION_PRAGUE)


def test_the_gas_cap_of_a_transaction_comes_with_osaka() -> None:
    rules = Rules(1, osaka_time=100)
    assert rules.transaction_gas_cap(99) is None
    assert rules.transaction_gas_cap(100) == TRANSACTION_GAS_CAP == 16_777_216
    assert Rules(1).transaction_gas_cap(10**12) is None
