"""Sets: quorums that intersect, one hash, one order."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmchain.chain.consensus.validators import (
    MAX_TOTAL_POWER,
    InvalidValidatorSet,
    Validator,
    ValidatorSet,
)
from dmchain.chain.primitives.crypto import keccak
from dmchain.chain.primitives.errors import DecodeError, SignatureError
from dmchain.chain.primitives.types import Address
from tests.chain.consensus.bench import address, validator_set
from tests.chain.consensus.signed import Keys


@given(st.lists(st.integers(1, 12), min_size=1, max_size=7))
def test_two_quorums_share_more_than_a_third(powers: list[int]) -> None:
    group = validator_set(powers)
    indices = range(len(powers))
    quorums = [
        set(chosen)
        for size in range(1, len(powers) + 1)
        for chosen in combinations(indices, size)
        if sum(powers[index] for index in chosen) >= group.quorum
    ]
    for one in quorums:
        for other in quorums:
            assert 3 * sum(powers[index] for index in one & other) > group.total


@given(st.lists(st.integers(1, 2**40), min_size=1, max_size=30))
def test_thresholds_are_the_least_above_one_and_two_thirds(powers: list[int]) -> None:
    group = validator_set(powers)
    assert 3 * group.quorum > 2 * group.total >= 3 * (group.quorum - 1)
    assert 3 * group.one_honest >= group.total > 3 * (group.one_honest - 1)


def test_faulty_validators_of_less_than_a_third_are_never_one_honest() -> None:
    for total in range(1, 200):
        group = validator_set((1,) * total)
        faulty = max(power for power in range(total + 1) if 3 * power < total)
        assert group.one_honest == faulty + 1
        assert total - faulty >= group.quorum


@pytest.mark.parametrize(
    ("validators", "reason"),
    [
        ((), "expected 1 to 1024, got 0"),
        ((Validator(address(0), 0),), "power of 0x00000000000000000000000000000000000000"),
        ((Validator(address(1), 1), Validator(address(0), 1)), "expected ascending addresses"),
        ((Validator(address(1), 1), Validator(address(1), 1)), "expected ascending addresses"),
        ((Validator(Address(b"short"), 1),), "address: expected 20 bytes, got 5"),
        ((Validator(address(0), MAX_TOTAL_POWER), Validator(address(1), 1)), "total power"),
    ],
)
def test_sets_that_cannot_run_are_refused(validators: tuple[Validator, ...], reason: str) -> None:
    with pytest.raises(InvalidValidatorSet, match=reason):
        ValidatorSet(validators)


def test_the_hash_is_that_of_packed_addresses_and_powers() -> None:
    group = validator_set((3, 5))
    packed = b"".join(address(index) + power.to_bytes(8, "big") for index, power in ((0, 3), (1, 5)))
    assert group.hash == keccak(b"dmchain validator set v1" + b"\0\0\0\2" + packed)
    assert group.hash != validator_set((5, 3)).hash


def test_a_set_survives_its_bytes() -> None:
    group = Keys((1, 2, 3)).set
    assert ValidatorSet.decode(group.encode()) == group
    assert [group.index_of(validator.address) for validator in group.validators] == [0, 1, 2]
    assert group.index_of(address(99)) is None
    assert group.index_of(None) is None


def test_false_bytes_of_a_set_are_refused() -> None:
    raw = Keys((1, 2, 3)).set.encode()
    with pytest.raises(DecodeError, match="multiple of 72 bytes"):
        ValidatorSet.decode(raw[:-1])
    with pytest.raises(InvalidValidatorSet):
        ValidatorSet.decode(raw[72:] + raw[:72])
    with pytest.raises(SignatureError, match="not a point"):
        ValidatorSet.decode(b"\1" * 72)


def test_order_of_arrival_does_not_matter() -> None:
    members = [Validator(address(index), index + 1) for index in (2, 0, 1)]
    assert ValidatorSet.from_unordered(members) == validator_set((1, 2, 3))
