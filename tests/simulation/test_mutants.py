"""Every mutant is killed, and this says by what.

`World` and `Exploration` kill by running seeds up to a limit until an invariant breaks; `Table` by a row of the step
tables; `Unit` by a test of a single thing. Rules that only make a height faster (adoption) or that another rule makes up
for (round certificates) escape random runs for hours: those have tables of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from dmchain.chain.consensus import observer
from dmchain.chain.consensus.machine import HeightMachine
from dmchain.node.sim.campaign import run_exploration, run_world
from dmchain.node.sim.mutants import MUTANTS, UnknownMutant, find_mutant
from dmchain.node.sim.violation import Violation
from tests.chain.consensus.step_tables import run_table
from tests.chain.consensus.test_core import test_the_proof_of_the_round_survives_a_crash as proof_survives
from tests.chain.consensus.test_core import (
    test_the_record_of_a_precommit_holds_lock_body_and_own_messages as record_is_whole,
)
from tests.chain.consensus.test_observer import (
    test_whoever_answers_the_period_ends_above_what_may_have_been_signed as period_is_long_enough,
)


@dataclass(frozen=True)
class World:
    """One of the first `up_to` worlds breaks one of `invariants`."""

    up_to: int
    invariants: frozenset[int]

    def kill(self, name: str) -> None:
        run_until_broken(lambda seed: run_world(seed, mutant=MUTANTS[name]), self.up_to, self.invariants)


@dataclass(frozen=True)
class Exploration:
    """One of the first `up_to` runs of the explorer breaks one of `invariants`."""

    up_to: int
    invariants: frozenset[int]

    def kill(self, name: str) -> None:
        run_until_broken(lambda seed: run_exploration(seed, mutant=MUTANTS[name]), self.up_to, self.invariants)


@dataclass(frozen=True)
class Table:
    """A step table comes out differently."""

    table: str

    def kill(self, name: str) -> None:
        run_table(self.table)
        with pytest.raises(AssertionError):
            run_table(self.table, MUTANTS[name].machine)


@dataclass(frozen=True)
class Unit:
    """A unit test, which takes the machine, fails."""

    test: Callable[[type[HeightMachine]], None]

    def kill(self, name: str) -> None:
        self.test(HeightMachine)
        with pytest.raises(AssertionError):
            self.test(MUTANTS[name].machine)


def run_until_broken(run: Callable[[int], object], up_to: int, invariants: frozenset[int]) -> None:
    for seed in range(1, up_to + 1):
        try:
            run(seed)
        except Violation as violation:
            assert violation.invariant in invariants, f"seed {seed}: {violation}"
            return
    raise AssertionError(f"survived {up_to} seeds")


def broken(*invariants: int) -> frozenset[int]:
    return frozenset(invariants)


KILLERS: dict[str, list[World | Exploration | Table | Unit]] = {
    "majority-quorum": [World(20, broken(3, 5, 6))],
    "last-vote-counts": [Exploration(50, broken(3, 5, 6)), World(60, broken(3, 5, 6))],
    "no-far-votes": [Table("round skip by votes of more than a third")],
    "endless-rounds": [World(150, broken(8))],
    "equivocation-not-told": [Exploration(20, broken(7)), World(20, broken(7))],
    "eager-accuser": [Exploration(60, broken(6))],
    "conflict-blocks-certificate": [
        World(100, broken(10)),
        Table("a commit certificate decides, votes that conflict with it notwithstanding"),
    ],
    "lock-forgotten": [Exploration(20, broken(5)), World(40, broken(5))],
    "lock-ignored": [Exploration(20, broken(5)), World(40, broken(5))],
    "lock-not-recorded": [Exploration(20, broken(5)), World(40, broken(5))],
    "valid-round-not-compared": [
        Exploration(1_500, broken(1, 5)),
        Table("a re-proposal with an older polka than the lock is refused"),
    ],
    "lax-lock": [Table("locked: the same value without a polka is refused too (strict lock)")],
    "polka-not-required": [
        Exploration(60, broken(5)),
        Table("a re-proposal waits for its polka, and with it frees from an older lock"),
    ],
    "early-precommit": [Exploration(20, broken(5)), World(20, broken(5))],
    "invalid-block-prevoted": [Exploration(600, broken(2)), Table("an invalid proposal gets nil")],
    "forgery-believed": [Exploration(100, broken(3, 5, 6)), World(20, broken(3, 5, 6))],
    "short-certificate-believed": [Exploration(60, broken(2, 3, 5, 6)), World(20, broken(3, 5))],
    "no-round-certificate": [Unit(proof_survives)],
    "round-certificate-not-recorded": [Unit(proof_survives)],
    "no-skip": [World(300, broken(10)), Table("round skip by votes of more than a third")],
    "no-adoption": [Table("the proposer re-proposes the newest polka it knows")],
    "polka-not-shared": [Table("locked: a fresh value of another proposer is refused and the polka told")],
    "no-precommit-timer": [World(20, broken(10)), Table("a round given up in part waits for the precommit timer")],
    "round-never-given-up": [Table("silent proposer: nil round by timeouts")],
    "hasty-rounds": [Table("a round given up before its propose timeout waits for that")],
    "no-propose-timer": [World(30, broken(10)), Table("the good case, as proposer")],
    "sent-before-durable": [Exploration(10, broken(9)), World(10, broken(9))],
    "proposal-not-persisted": [Exploration(20, broken(9)), World(20, broken(9))],
    "own-not-restored": [Exploration(20, broken(4)), World(40, broken(4))],
    "bodies-not-recorded": [Unit(record_is_whole)],
    "no-journal": [World(60, broken(4, 5))],
    "no-observer-period": [World(150, broken(4, 5))],
    "short-observer-period": [],
}


@pytest.mark.parametrize("name", [name for name, killers in KILLERS.items() if killers])
def test_the_mutant_is_killed(name: str) -> None:
    for killer in KILLERS[name]:
        killer.kill(name)


def test_an_observer_period_one_height_shorter_is_too_short(monkeypatch: pytest.MonkeyPatch) -> None:
    period_is_long_enough()
    monkeypatch.setattr(observer, "OBSERVED_HEIGHTS", observer.OBSERVED_HEIGHTS - 1)
    with pytest.raises(AssertionError):
        period_is_long_enough()


def test_every_mutant_has_its_killer() -> None:
    assert set(KILLERS) == set(MUTANTS)


def test_unknown_mutants_are_named() -> None:
    with pytest.raises(UnknownMutant, match="unknown mutant 'x'"):
        find_mutant("x")
