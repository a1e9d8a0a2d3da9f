"""Campaigns add up, on any number of processes, and a failure says how to see it again."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from dmchain.node.cli.sim import sim
from dmchain.node.sim.campaign import (
    EXPLORE,
    WORLD,
    Job,
    Tally,
    corpus_entry,
    corpus_path,
    gate_jobs,
    run_campaign,
    run_exploration,
    run_world,
)

CORPUS = Path(__file__).parent / "corpus"


def without_time(tally: Tally) -> dict[str, object]:
    return dataclasses.asdict(tally) | {"cpu_seconds": 0}


def test_two_processes_find_what_one_finds() -> None:
    jobs = [Job(EXPLORE, 1, 260), Job(WORLD, 1, 60)]
    seen: list[int] = []
    one = run_campaign(jobs, 1, lambda tally: seen.append(tally.seeds + tally.explorations))
    two = run_campaign(jobs, 2)
    assert without_time(one) == without_time(two)
    assert (one.seeds, one.explorations, one.failures) == (60, 260, [])
    assert seen == [250, 260, 310, 320]


def test_failures_are_gathered_with_the_command_that_shows_them() -> None:
    jobs = [Job(WORLD, 1, 2, 4, "crash", "sent-before-durable"), Job(EXPLORE, 1, 20, mutant="lock-ignored")]
    tally = run_campaign(jobs, 1)
    world, exploration = tally.failures[0], tally.failures[-1]
    assert (world.kind, world.invariant) == (WORLD, 9)
    assert world.command() == "dmchain sim --seed 1 --validators 4 --faults crash --mutant sent-before-durable"
    assert (exploration.kind, exploration.invariant) == (EXPLORE, 5)
    assert exploration.command() == f"dmchain sim --seed {exploration.seed} --explore 1 --mutant lock-ignored"


def test_an_exception_fails_its_seed_and_not_the_campaign(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*args: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("dmchain.node.sim.campaign.run_world", crash)
    tally = run_campaign([Job(WORLD, 1, 3)], 1)
    assert [failure.message for failure in tally.failures] == ["ZeroDivisionError: a bug"] * 3
    assert {failure.invariant for failure in tally.failures} == {0}


def test_the_gate_is_large_enough() -> None:
    counts = {job.kind: job.count for job in gate_jobs()}
    assert counts == {WORLD: 5_000, EXPLORE: 25_000}


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.json")), ids=lambda path: path.stem)
def test_seeds_that_once_failed_hold(path: Path) -> None:
    entry = json.loads(path.read_text())
    if entry["kind"] == WORLD:
        run_world(entry["seed"], entry["validators"], entry["faults"])
    else:
        run_exploration(entry["seed"], entry["validators"])


def test_a_kept_failure_is_what_the_corpus_holds(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        sim, ["--seeds", "2", "--mutant", "sent-before-durable", "--processes", "1", "--keep", str(tmp_path)]
    )
    assert "invariant 9: node" in result.stderr
    assert "dmchain sim --seed 1 --mutant sent-before-durable" in result.stderr
    kept = sorted(tmp_path.glob("*.json"))
    assert [path.name for path in kept] == ["world-1.json", "world-2.json"]
    [first] = run_campaign([Job(WORLD, 1, 1, mutant="sent-before-durable")], 1).failures
    assert json.loads(kept[0].read_text()) == corpus_entry(first)
    assert corpus_path(tmp_path, first) == kept[0]


# -- the command -------------------------------------------------------------------------------------------------
def test_one_world_is_told() -> None:
    result = CliRunner().invoke(sim, ["--seed", "7", "--validators", "4"], standalone_mode=False)
    assert result.return_value == 0
    assert "trace" in result.stdout and "decisions" in result.stdout
    assert CliRunner().invoke(sim, ["--seed", "7", "--validators", "4"]).stdout == result.stdout


def test_one_world_as_json() -> None:
    result = CliRunner().invoke(sim, ["--seed", "7", "--faults", "drop,byzantine", "--heights", "2", "--json"])
    facts = json.loads(result.stdout)
    assert facts["ok"] is True
    assert facts["plan"]["crash"] == 0
    assert facts["plan"]["target_height"] == 2


def test_a_broken_invariant_is_exit_status_1() -> None:
    result = CliRunner().invoke(sim, ["--seed", "1", "--mutant", "sent-before-durable"], standalone_mode=False)
    assert result.return_value == 1
    assert "invariant 9" in result.stdout


def test_many_runs_as_json() -> None:
    result = CliRunner().invoke(sim, ["--seeds", "5", "--explore", "20", "--processes", "1", "--json"])
    facts = json.loads(result.stdout)
    assert (facts["seeds"], facts["explorations"], facts["failures"]) == (5, 20, [])


def test_mutants_are_listed_and_wrong_names_refused() -> None:
    runner = CliRunner()
    assert "lock-ignored" in runner.invoke(sim, ["--mutant", "list"]).stdout.splitlines()
    for arguments in (["--mutant", "x"], ["--faults", "fire"]):
        assert runner.invoke(sim, arguments).exit_code != 0


def test_help_has_an_example() -> None:
    assert "dmchain sim --seed 7 --validators 4" in CliRunner().invoke(sim, ["--help"]).stdout
