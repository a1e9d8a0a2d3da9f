"""Who proposes: smooth weighted round robin over an epoch's set.

Each turn every validator's priority grows by its power; the highest proposes and pays the total power. Over time each
proposes in proportion to its power, evenly spread. The schedule of an epoch is a function of the set and the
priorities it starts with; proposer(height, round) is its entry at (heights since the epoch began + round). No round
changes anything, so a node that restarts or syncs agrees by construction.

Priorities are carried from epoch to epoch in the staking state, else validators with little power would never propose
in short epochs (`carry_priorities`).
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence

from dmchain.chain.consensus.validators import ValidatorSet
from dmchain.chain.primitives.types import Address

NEWCOMER_NUMERATOR = 9
NEWCOMER_DENOMINATOR = 8
"""A newcomer starts 9/8 of the total power behind, so that leaving and coming back never gains a turn (the number is
CometBFT's)."""
PRIORITY_WINDOW = 2
"""Priorities span at most this many times the total power after a change of the set."""


class ProposerSchedule:
    """The endless sequence of proposers of one epoch, worked out as far as it has been asked for."""

    def __init__(self, powers: Sequence[int], priorities: Sequence[int] | None = None) -> None:
        """`priorities` by validator index, at the beginning of the epoch; None: all zero, as at genesis."""
        if priorities is not None and len(priorities) != len(powers):
            raise ValueError(f"priorities: expected {len(powers)}, got {len(priorities)}")
        self._powers = tuple(powers)
        self._total = sum(powers)
        self._start = [0] * len(powers) if priorities is None else list(priorities)
        self._priorities = list(self._start)
        self._sequence = array("H")

    def at(self, position: int) -> int:
        """Index of the proposer `position` turns after the epoch's first."""
        sequence = self._sequence
        while len(sequence) <= position:
            sequence.append(advance(self._powers, self._priorities, self._total))
        return sequence[position]

    def priorities_after(self, turns: int) -> tuple[int, ...]:
        """Priorities by index after `turns` turns: what the next epoch carries on from."""
        priorities = list(self._start)
        for _ in range(turns):
            advance(self._powers, priorities, self._total)
        return tuple(priorities)


def advance(powers: Sequence[int], priorities: list[int], total: int) -> int:
    """Take one turn: change `priorities` in place and return who proposes. Of equals the lowest index does."""
    highest = 0
    for index, power in enumerate(powers):
        priorities[index] += power
        if priorities[index] > priorities[highest]:
            highest = index
    priorities[highest] -= total
    return highest


def carry_priorities(previous: Mapping[Address, int], validators: ValidatorSet) -> tuple[int, ...]:
    """Priorities with which the next epoch's set starts, given those with which the last one ended.

    Who stays keeps its priority, newcomers start behind everybody; then all are scaled into the window and centred.
    """
    total = validators.total
    behind = -(total * NEWCOMER_NUMERATOR // NEWCOMER_DENOMINATOR)
    priorities = [previous.get(validator.address, behind) for validator in validators.validators]
    window = PRIORITY_WINDOW * total
    spread = max(priorities) - min(priorities)
    if spread > window:
        ratio = -(-spread // window)
        # towards zero, so that the scaling has no preference for either sign
        priorities = [value // ratio if value >= 0 else -(-value // ratio) for value in priorities]
    centre = sum(priorities) // len(priorities)
    return tuple([value - centre for value in priorities])
