"""A part of the campaign: worlds hold their invariants, and a seed is a world."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from dmchain.node.sim.campaign import run_world
from dmchain.node.sim.plan import FAMILIES, FaultPlan, UnknownFault, draw_plan, parse_families

PARTS = 4
SEEDS = 240


@pytest.mark.parametrize("part", range(PARTS))
def test_worlds_with_all_faults_hold(part: int) -> None:
    for seed in range(1 + part, 1 + SEEDS, PARTS):
        outcome = run_world(seed)
        assert outcome.decisions > 0


@pytest.mark.parametrize("validators", [1, 2, 3, 13, 21])
def test_sets_of_any_size_hold(validators: int) -> None:
    for seed in range(3):
        run_world(seed, validators)


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_of_faults_alone_holds(family: str) -> None:
    for seed in range(3):
        run_world(seed, faults=family)


def test_without_faults_every_height_is_decided_in_round_0() -> None:
    for seed in range(10):
        outcome = run_world(seed, faults="none")
        assert (outcome.highest_round, outcome.crashes, outcome.evidence) == (0, 0, 0)


def test_the_same_seed_gives_the_same_trace() -> None:
    for seed in (3, 7, 11, 20):
        first, second = (run_world(seed, is_traced=True) for _ in range(2))
        assert first == second
    assert run_world(3, is_traced=True).trace != run_world(4, is_traced=True).trace


def test_a_trace_depends_on_no_hash_seed() -> None:
    code = "from dmchain.node.sim.campaign import run_world; print(run_world(11, is_traced=True).trace)"
    traces = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert traces == {run_world(11, is_traced=True).trace + "\n"}


def test_leaving_out_faults_changes_nothing_else() -> None:
    for seed in range(50):
        whole, calm = draw_plan(seed), draw_plan(seed, families=frozenset(FAMILIES) - {"drop", "crash"})
        assert (calm.drop, calm.crash, calm.random_crashes) == (0, 0, 0)
        assert (calm.byzantine, calm.partitions, calm.powers) == (whole.byzantine, whole.partitions, whole.powers)


def test_byzantine_power_stays_below_a_third_in_every_epoch() -> None:
    for seed in range(500):
        plan: FaultPlan = draw_plan(seed)
        for powers in plan.powers:
            assert 3 * sum(powers[node] for node in plan.byzantine) < sum(powers)


def test_worlds_differ() -> None:
    plans = [draw_plan(seed) for seed in range(200)]
    for name in (
        "drop", "slow", "duplicate", "partitions", "scope", "crash", "random_crashes", "power_cut", "disk_loss",
        "clock_skew", "timer_skew", "signer_delay", "work_delay", "byzantine",
    ):  # fmt: skip
        having = sum(bool(getattr(plan, name)) for plan in plans)
        assert 10 < having < 190, name
    assert sum(plan.epochs > 1 for plan in plans) > 20


def test_unknown_faults_are_named() -> None:
    with pytest.raises(UnknownFault, match="unknown fault 'fire'"):
        parse_families("drop,fire")
    assert parse_families("drop, crash") == {"drop", "crash"}
