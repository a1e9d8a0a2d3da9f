"""Many seeds on several processes: the gate, and longer campaigns by argument.

A seed means the same world whoever runs it: a failure is reproduced by its line alone.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from dmchain.node.sim.explore import Explorer
from dmchain.node.sim.mutants import Mutant, find_mutant
from dmchain.node.sim.plan import draw_plan, parse_families
from dmchain.node.sim.violation import Violation
from dmchain.node.sim.world import Outcome

WORLD: Final = "world"
EXPLORE: Final = "explore"
GATE_SEEDS: Final = 5_000
GATE_EXPLORATIONS: Final = 25_000
"""What a change of consensus must pass; two cores do it in a few minutes."""
RIGHT: Final = ""
"""The name of no mutant: the core as it is."""

_CHUNK: Final = {WORLD: 50, EXPLORE: 250}
_AHEAD: Final = 3
"""Chunks per process that wait in line; more would only delay stopping."""


@dataclass(frozen=True, slots=True)
class Job:
    """Seeds first, first + 1, … of one kind. `validators` None: as drawn. `faults` as plan.parse_families reads it."""

    kind: str
    first: int
    count: int
    validators: int | None = None
    faults: str = "all"
    mutant: str = RIGHT

    def chunks(self) -> Iterator[Job]:
        """The job in pieces for the pool."""
        size = _CHUNK[self.kind]
        for first in range(self.first, self.first + self.count, size):
            yield replace(self, first=first, count=min(size, self.first + self.count - first))


@dataclass(frozen=True, slots=True)
class Failure:
    """A seed that broke an invariant. `invariant` by number, 0 when the core raised an exception of its own."""

    kind: str
    seed: int
    validators: int | None
    faults: str
    mutant: str
    invariant: int
    message: str

    def command(self) -> str:
        """What reproduces it."""
        words = ["dmchain", "sim", "--seed", str(self.seed)]
        if self.kind == EXPLORE:
            words += ["--explore", "1"]
        if self.validators is not None:
            words += ["--validators", str(self.validators)]
        if self.faults != "all":
            words += ["--faults", self.faults]
        if self.mutant:
            words += ["--mutant", self.mutant]
        return " ".join(words)


@dataclass(slots=True)
class Tally:
    """What a campaign has done so far. `cpu_seconds` over all processes; `recovery_ms` the longest after healing."""

    seeds: int = 0
    explorations: int = 0
    decided_explorations: int = 0
    events: int = 0
    messages: int = 0
    decisions: int = 0
    crashes: int = 0
    barriers: int = 0
    evidence: int = 0
    highest_round: int = 0
    recovery_ms: int = 0
    cpu_seconds: float = 0.0
    failures: list[Failure] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        for name in (
            "seeds", "explorations", "decided_explorations", "events", "messages", "decisions", "crashes", "barriers",
            "evidence", "cpu_seconds",
        ):  # fmt: skip
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.highest_round = max(self.highest_round, other.highest_round)
        self.recovery_ms = max(self.recovery_ms, other.recovery_ms)
        self.failures += other.failures

    def count_world(self, outcome: Outcome) -> None:
        self.events += outcome.events
        self.messages += outcome.messages
        self.decisions += outcome.decisions
        self.crashes += outcome.crashes
        self.barriers += outcome.barriers
        self.evidence += outcome.evidence
        self.highest_round = max(self.highest_round, outcome.highest_round)
        self.recovery_ms = max(self.recovery_ms, outcome.recovery_ms)


def run_world(
    seed: int,
    validators: int | None = None,
    faults: str = "all",
    mutant: Mutant | None = None,
    *,
    heights: int | None = None,
    is_traced: bool = False,
) -> Outcome:
    """One simulated world; raises Violation."""
    plan = draw_plan(seed, validators=validators, heights=heights, families=parse_families(faults))
    if mutant is None:
        mutant = Mutant(RIGHT)
    return mutant.world(plan, machine=mutant.machine, node=mutant.node, is_traced=is_traced).run()


def run_exploration(seed: int, validators: int | None = None, mutant: Mutant | None = None) -> bool:
    """One explorer run; returns whether anybody decided; raises Violation."""
    size = 4 if validators is None else validators
    machine = (mutant or Mutant(RIGHT)).machine
    return Explorer(seed, validators=size, byzantine=(size - 1) // 3, machine=machine).run().decided > 0


def run_job(job: Job) -> Tally:
    """Run the seeds of a job one after the other in this process."""
    tally = Tally()
    mutant = find_mutant(job.mutant) if job.mutant else None
    began = time.process_time()
    for seed in range(job.first, job.first + job.count):
        try:
            if job.kind == WORLD:
                tally.seeds += 1
                tally.count_world(run_world(seed, job.validators, job.faults, mutant))
            else:
                tally.explorations += 1
                tally.decided_explorations += run_exploration(seed, job.validators, mutant)
        except Violation as violation:
            tally.failures.append(_failure(job, seed, violation.invariant, str(violation)))
        except Exception as error:  # a bug that shows as an exception fails its seed, not the campaign
            tally.failures.append(_failure(job, seed, 0, f"{type(error).__name__}: {error}"))
    tally.cpu_seconds = time.process_time() - began
    return tally


def _failure(job: Job, seed: int, invariant: int, message: str) -> Failure:
    return Failure(job.kind, seed, job.validators, job.faults, job.mutant, invariant, message)


def run_campaign(jobs: list[Job], processes: int, on_progress: Callable[[Tally], None] = lambda tally: None) -> Tally:
    """Run `jobs` on `processes` processes, telling what has been done after each piece."""
    total = Tally()
    chunks = (chunk for job in jobs for chunk in job.chunks())
    if processes == 1:
        for chunk in chunks:
            total.add(run_job(chunk))
            on_progress(total)
        return total
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        running: set[Future[Tally]] = set()
        try:
            for chunk in chunks:
                running.add(pool.submit(run_job, chunk))
                if len(running) >= processes * _AHEAD:
                    running = _collect(running, total, on_progress)
            while running:
                running = _collect(running, total, on_progress)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    total.failures.sort(key=lambda failure: (failure.kind, failure.seed))
    return total


def _collect(running: set[Future[Tally]], total: Tally, on_progress: Callable[[Tally], None]) -> set[Future[Tally]]:
    done, still_running = wait(running, return_when=FIRST_COMPLETED)
    for future in done:
        total.add(future.result())
    on_progress(total)
    return still_running


def gate_jobs(first: int = 1, seeds: int = GATE_SEEDS, explorations: int = GATE_EXPLORATIONS) -> list[Job]:
    """The explorer first, for it finds what it finds sooner."""
    return [Job(EXPLORE, first, explorations), Job(WORLD, first, seeds)]


def corpus_entry(failure: Failure) -> dict[str, object]:
    """What is kept of a failure in tests/simulation/corpus."""
    return {
        "kind": failure.kind,
        "seed": failure.seed,
        "validators": failure.validators,
        "faults": failure.faults,
        "invariant": failure.invariant,
        "message": failure.message,
    }


def corpus_path(directory: Path, failure: Failure) -> Path:
    size = "" if failure.validators is None else f"-{failure.validators}"
    return directory / f"{failure.kind}-{failure.seed}{size}.json"
