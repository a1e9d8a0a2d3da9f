"""`dmchain sim`: consensus in simulated worlds, from a seed."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import click

from dmchain.chain.consensus.validators import MAX_VALIDATORS
from dmchain.node.sim.campaign import (
    EXPLORE,
    GATE_EXPLORATIONS,
    GATE_SEEDS,
    WORLD,
    Failure,
    Job,
    Tally,
    corpus_entry,
    corpus_path,
    gate_jobs,
    run_campaign,
    run_world,
)
from dmchain.node.sim.mutants import MUTANTS, find_mutant
from dmchain.node.sim.plan import FAMILIES, draw_plan, parse_families
from dmchain.node.sim.violation import Violation

EXIT_VIOLATION = 1
_SHOWN_FAILURES = 20


@click.command()
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="The world, or the first of many.")
@click.option(
    "--validators", type=click.IntRange(1, MAX_VALIDATORS), help="How many; drawn from the seed if not given."
)
@click.option("--heights", type=click.IntRange(1), help="Heights to reach, in one world; drawn if not given.")
@click.option(
    "--faults", default="all", show_default=True, metavar="NAMES", help=f"all, none, or of: {', '.join(FAMILIES)}."
)
@click.option("--seeds", type=click.IntRange(1), help="Run this many worlds.")
@click.option("--explore", type=click.IntRange(1), help="Run this many seeds of the untimed explorer of one height.")
@click.option(
    "--campaign",
    is_flag=True,
    help=f"The gate: {GATE_SEEDS} worlds and {GATE_EXPLORATIONS} explorer runs, or as many as --seeds and --explore say.",
)
@click.option("--mutant", metavar="NAME", default="", help="Break a rule on purpose; `list` names them.")
@click.option("--processes", type=click.IntRange(1, 256), help="As many as there are cores if not given.")
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write failing seeds there, as tests/simulation/corpus has them.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def sim(
    seed: int,
    validators: int | None,
    heights: int | None,
    faults: str,
    seeds: int | None,
    explore: int | None,
    campaign: bool,
    mutant: str,
    processes: int | None,
    keep: Path | None,
    as_json: bool,
) -> int:
    """Run the consensus core in simulated worlds with faults, and check its invariants.

    A seed decides everything: delays, losses, partitions, crashes, what byzantine validators do. Without --seeds,
    --explore or --campaign one world is run and told about. Exit status 1 when an invariant is broken.

    \b
    Example:
      dmchain sim --seed 7 --validators 4 --faults drop,crash,byzantine
      dmchain sim --campaign --processes 2
      dmchain sim --explore 2000 --mutant lock-ignored
    """
    parse_families(faults)
    if mutant == "list":
        click.echo("\n".join(MUTANTS))
        return 0
    if mutant:
        find_mutant(mutant)
    jobs = []
    if campaign:
        jobs = gate_jobs(seed, seeds or GATE_SEEDS, explore or GATE_EXPLORATIONS)
    else:
        if explore:
            jobs.append(Job(EXPLORE, seed, explore, validators, mutant=mutant))
        if seeds:
            jobs.append(Job(WORLD, seed, seeds, validators, faults, mutant))
    if not jobs:
        return _run_one(seed, validators, heights, faults, mutant, as_json)
    return _run_many(jobs, processes or os.cpu_count() or 1, keep, as_json)


def _run_one(seed: int, validators: int | None, heights: int | None, faults: str, mutant: str, as_json: bool) -> int:
    plan = draw_plan(seed, validators=validators, heights=heights, families=parse_families(faults))
    facts: dict[str, Any] = {"plan": dataclasses.asdict(plan)}
    try:
        outcome = run_world(seed, validators, faults, find_mutant(mutant) if mutant else None, heights=heights)
    except Violation as violation:
        facts |= {"ok": False, "invariant": violation.invariant, "violation": str(violation)}
    else:
        facts |= {"ok": True, "outcome": dataclasses.asdict(outcome)}
    if as_json:
        click.echo(json.dumps(facts))
    else:
        _print_world(facts)
    return 0 if facts["ok"] else EXIT_VIOLATION


def _print_world(facts: dict[str, Any]) -> None:
    plan = facts["plan"]
    byzantine = ", ".join(f"{node} {what}" for node, what in plan.pop("byzantine").items()) or "none"
    click.echo(f"{'byzantine':16} {byzantine}")
    for name, value in plan.items():
        if value or name == "seed":
            click.echo(f"{name:16} {value}")
    if facts["ok"]:
        for name, value in facts["outcome"].items():
            click.echo(f"{name:16} {value}")
    else:
        click.echo(f"{'violation':16} invariant {facts['invariant']}: {facts['violation']}")


def _run_many(jobs: list[Job], processes: int, keep: Path | None, as_json: bool) -> int:
    progress = _Progress(sum([job.count for job in jobs]))
    tally = run_campaign(jobs, processes, progress.show)
    progress.finish()
    for failure in tally.failures[:_SHOWN_FAILURES]:
        click.echo(f"invariant {failure.invariant}: {failure.message[:200]}", err=True)
        click.echo(f"  {failure.command()}", err=True)
    if keep is not None and tally.failures:
        _keep(keep, tally.failures)
    facts = dataclasses.asdict(tally) | {"seconds": round(progress.seconds(), 1), "processes": processes}
    facts["cpu_seconds"] = round(tally.cpu_seconds, 1)
    facts["failures"] = [dataclasses.asdict(failure) | {"command": failure.command()} for failure in tally.failures]
    if as_json:
        click.echo(json.dumps(facts))
    else:
        facts["failures"] = len(tally.failures)
        for name, value in facts.items():
            click.echo(f"{name:20} {value}")
    return EXIT_VIOLATION if tally.failures else 0


def _keep(directory: Path, failures: list[Failure]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for failure in failures:
        corpus_path(directory, failure).write_text(json.dumps(corpus_entry(failure), indent=2) + "\n")


class _Progress:
    """One line on stderr that is rewritten on a terminal, and a line each ten seconds elsewhere."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._began = time.monotonic()
        self._last = 0.0
        self._is_terminal = sys.stderr.isatty()

    def seconds(self) -> float:
        return time.monotonic() - self._began

    def show(self, tally: Tally) -> None:
        now = time.monotonic()
        if now - self._last < (0.2 if self._is_terminal else 10.0):
            return
        self._last = now
        done = tally.seeds + tally.explorations
        rate = done / max(self.seconds(), 0.001)
        text = (
            f"{done}/{self._total} seeds, {self.seconds():.0f} s, {(self._total - done) / max(rate, 0.001):.0f} s left,"
            f" {tally.decisions} decisions, {tally.crashes} crashes, {len(tally.failures)} violations"
        )
        click.echo(("\r" + text.ljust(100)) if self._is_terminal else text, err=True, nl=not self._is_terminal)

    def finish(self) -> None:
        if self._is_terminal:
            click.echo(err=True)
