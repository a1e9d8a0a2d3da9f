"""The schedule of proposers: fair, smooth, the same for everybody, carried over epochs."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmchain.chain.consensus.proposer import PRIORITY_WINDOW, ProposerSchedule, carry_priorities
from dmchain.chain.primitives.types import Address
from tests.chain.consensus.bench import address, validator_set

powers_lists = st.lists(st.integers(1, 20), min_size=1, max_size=8)


@given(powers_lists)
def test_in_one_cycle_everybody_proposes_as_often_as_its_power(powers: list[int]) -> None:
    schedule = ProposerSchedule(powers)
    turns = [schedule.at(position) for position in range(sum(powers))]
    assert [turns.count(index) for index in range(len(powers))] == powers
    assert schedule.priorities_after(sum(powers)) == (0,) * len(powers)


@given(powers_lists)
def test_at_any_time_nobody_is_more_than_a_turn_from_its_share(powers: list[int]) -> None:
    schedule, total = ProposerSchedule(powers), sum(powers)
    counts = [0] * len(powers)
    for position in range(2 * total):
        counts[schedule.at(position)] += 1
        for count, power in zip(counts, powers, strict=True):
            assert abs(count * total - power * (position + 1)) < total * len(powers)


def test_the_first_turns_of_known_sets() -> None:
    assert [ProposerSchedule((1, 1, 1, 1)).at(position) for position in range(8)] == [0, 1, 2, 3, 0, 1, 2, 3]
    assert [ProposerSchedule((5, 1, 1)).at(position) for position in range(7)] == [0, 0, 1, 0, 2, 0, 0]


@given(powers_lists, st.integers(0, 60), st.integers(0, 60))
def test_any_position_may_be_asked_first(powers: list[int], late: int, early: int) -> None:
    one, other = ProposerSchedule(powers), ProposerSchedule(powers)
    assert one.at(late + early) == [other.at(position) for position in range(late + early + 1)][-1]
    assert one.at(early) == other.at(early)


@given(powers_lists, st.integers(0, 50), st.integers(0, 50))
def test_an_epoch_with_the_same_set_goes_on_where_the_last_one_ended(powers: list[int], first: int, more: int) -> None:
    whole = ProposerSchedule(powers)
    second = ProposerSchedule(powers, whole.priorities_after(first))
    assert [second.at(position) for position in range(more)] == [whole.at(first + position) for position in range(more)]


def test_small_validators_propose_in_short_epochs() -> None:
    group = validator_set((50, 50, 1))
    priorities: dict[Address, int] = {}
    turns = []
    for _ in range(60):  # epochs of two heights
        schedule = ProposerSchedule(group.powers, carry_priorities(priorities, group))
        turns += [schedule.at(0), schedule.at(1)]
        ended = schedule.priorities_after(2)
        priorities = {address(index): value for index, value in enumerate(ended)}
    assert turns.count(2) == 1


@given(
    st.dictionaries(st.integers(0, 9), st.integers(-(10**6), 10**6), max_size=8),
    st.lists(st.integers(1, 100), min_size=1, max_size=8),
)
@settings(max_examples=200)
def test_carried_priorities_are_centred_and_within_the_window(before: dict[int, int], powers: list[int]) -> None:
    group = validator_set(powers)
    carried = carry_priorities({address(index): value for index, value in before.items()}, group)
    assert max(carried) - min(carried) <= PRIORITY_WINDOW * group.total
    assert 0 <= sum(carried) < len(powers)


def test_leaving_and_coming_back_gains_no_turn() -> None:
    group = validator_set((1, 1, 1, 1))
    stayed = {address(index): value for index, value in enumerate(ProposerSchedule(group.powers).priorities_after(2))}
    back = ProposerSchedule(group.powers, carry_priorities({k: v for k, v in stayed.items() if k != address(0)}, group))
    assert 0 not in [back.at(position) for position in range(4)]


def test_priorities_of_another_set_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 2, got 1"):
        ProposerSchedule((1, 1), (0,))
