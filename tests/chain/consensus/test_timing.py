"""Timeouts and timeliness are arithmetic."""

from __future__ import annotations

import pytest

from dmchain.chain.consensus.inputs import TimerKind
from dmchain.chain.consensus.timing import ConsensusParams, compute_timeout_ms, is_timely

PARAMS = ConsensusParams()


@pytest.mark.parametrize(
    ("kind", "round", "expected"),
    [
        (TimerKind.PROPOSE, 0, 3_000),
        (TimerKind.PROPOSE, 4, 5_000),
        (TimerKind.PROPOSE, 10_000, 15_000),
        (TimerKind.PREVOTE, 0, 1_000),
        (TimerKind.PRECOMMIT, 2, 2_000),
        (TimerKind.STUCK, 0, 5_000),
        (TimerKind.STUCK, -1, 5_000),
        (TimerKind.STUCK, 2, 8_000),
        (TimerKind.RETRY, 9, 1_000),
        (TimerKind.HEARTBEAT, 0, 60_000),
    ],
)
def test_timeouts_grow_linearly_up_to_the_cap(kind: TimerKind, round: int, expected: int) -> None:
    assert compute_timeout_ms(PARAMS, kind, round) == expected


@pytest.mark.parametrize(
    ("age", "round", "expected"),
    [
        (0, 0, True),
        (-500, 0, True),
        (-501, 0, False),
        (2_500, 0, True),
        (2_501, 0, False),
        (2_501, 1, True),
        (-501, 9, False),
    ],
)
def test_a_block_is_timely_within_precision_and_delay(age: int, round: int, expected: bool) -> None:
    assert is_timely(PARAMS, 1_000_000 - age, 1_000_000, round) is expected


def test_the_hash_of_parameters_changes_with_each() -> None:
    names = ConsensusParams.__slots__
    hashes = {ConsensusParams(**{name: 77}).hash for name in names}
    assert len({PARAMS.hash, *hashes}) == len(names) + 1


def test_parameters_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="propose_ms: expected 1 to"):
        ConsensusParams(propose_ms=0)
