"""What a simulation ends with when an invariant does not hold."""

from __future__ import annotations


class Violation(Exception):
    """An invariant is broken. `invariant` is its number in docs/consensus.md (Invariants), 0 for the simulation's own.

    Not an expected failure: it is a bug of the core, or of the simulation.
    """

    def __init__(self, invariant: int, message: str) -> None:
        super().__init__(message)
        self.invariant = invariant
