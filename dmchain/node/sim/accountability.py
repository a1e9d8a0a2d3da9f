"""Who is to blame for a fork: with more than a third byzantine there are disagreements, and every one convicts.

Out of the votes that the correct validators of a run hold together, find those that no correct validator can have sent.
Promise: at least as many culprits as make a third, and never a correct one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from dmchain.chain.consensus.evidence import is_amnesia
from dmchain.chain.consensus.machine import HeightMachine
from dmchain.chain.consensus.messages import PRECOMMIT, PREVOTE, Vote
from dmchain.node.sim.explore import Explorer
from dmchain.node.sim.violation import Violation

FORK = 1
"""The invariant a disagreement breaks."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """`is_fork`: correct validators have decided different blocks."""

    seed: int
    is_fork: bool
    culprits: frozenset[int]


def judge_run(explorer: Explorer, steps: int = 900) -> Judgement:
    """Let `explorer` run until its validators disagree or it ends; judge by what they hold.

    Raises Violation when a fork leaves fewer than f + 1 culprits (11), when a correct validator is accused (6), and for
    any other broken invariant.
    """
    is_fork = False
    try:
        explorer.run(steps)
    except Violation as violation:
        if violation.invariant != FORK:
            raise
        is_fork = True
    machines = [p.core.machine for p in explorer.participants.values() if p.core.machine is not None]
    culprits = find_culprits(machines)
    framed = culprits - set(explorer.byzantine)
    if framed:
        raise Violation(6, f"correct validators {sorted(framed)} accused after the fact")
    enough = (explorer.size - 1) // 3 + 1
    if is_fork and len(culprits) < enough:
        raise Violation(11, f"a fork with culprits {sorted(culprits)}, expected {enough} or more")
    return Judgement(explorer.seed, is_fork, culprits)


def find_culprits(machines: Iterable[HeightMachine]) -> frozenset[int]:
    """Validators that two of the votes in `machines` (of one height) convict together."""
    votes: dict[int, set[Vote]] = defaultdict(set)
    for machine in machines:
        for vote in _held_votes(machine):
            votes[vote.validator].add(vote)
    return frozenset(validator for validator, said in votes.items() if _is_guilty(said))


def _held_votes(machine: HeightMachine) -> Iterable[Vote]:
    for tallies in machine.votes.rounds.values():
        yield from tallies.prevotes.values()
        yield from tallies.precommits.values()
        for certificate in (tallies.received_polka, tallies.received_commit):
            if certificate is not None:
                yield from certificate.votes
    yield from machine.votes.far.values()
    if machine.valid_polka is not None:
        yield from machine.valid_polka.votes


def _is_guilty(votes: set[Vote]) -> bool:
    precommits = [vote for vote in votes if vote.kind == PRECOMMIT]
    prevotes = [vote for vote in votes if vote.kind == PREVOTE]
    for said in (precommits, prevotes):
        by_round: dict[int, Vote] = {}
        for vote in said:
            if not by_round.setdefault(vote.round, vote).is_same_statement(vote):
                return True
    return any(is_amnesia(before, after) for before in precommits for after in prevotes)
