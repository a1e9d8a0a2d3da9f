"""A part of the campaign: the lock rules under a scheduler that may do anything, and who is to blame for forks."""

from __future__ import annotations

import pytest

from dmchain.node.sim.accountability import judge_run
from dmchain.node.sim.explore import Explorer
from dmchain.node.sim.mutants import MUTANTS
from dmchain.node.sim.violation import Violation


@pytest.mark.parametrize("part", range(4))
def test_four_validators_one_byzantine(part: int) -> None:
    decided = rounds = 0
    for seed in range(part, 1_200, 4):
        run = Explorer(seed).run()
        decided += run.decided > 0
        rounds += run.highest_round > 2
    assert decided > 150
    assert rounds > 40  # else the scheduler no longer gets into the interesting rounds


def test_seven_validators_two_byzantine() -> None:
    for seed in range(150):
        Explorer(seed, validators=7, byzantine=2).run()


def test_no_byzantine_validator_at_all() -> None:
    for seed in range(100):
        run = Explorer(seed, byzantine=0).run()
        assert run.accused == frozenset()


def test_a_run_is_its_seed() -> None:
    assert Explorer(5).run() == Explorer(5).run()


def test_forks_convict_more_than_a_third_and_nobody_else() -> None:
    forks = [judge_run(Explorer(seed, byzantine=2)) for seed in range(1, 450)]
    guilty = [judgement.culprits for judgement in forks if judgement.is_fork]
    assert len(guilty) >= 2
    assert all(len(culprits) >= 2 for culprits in guilty)


def test_forks_without_equivocation_convict_by_amnesia() -> None:
    for seed in range(1, 250):
        judge_run(Explorer(seed, byzantine=2, may_equivocate=False))


def test_the_judge_notices_a_fork_at_all() -> None:
    broken = MUTANTS["lock-ignored"].machine
    with pytest.raises(Violation):
        for seed in range(50):
            judge_run(Explorer(seed, byzantine=2, machine=broken))
