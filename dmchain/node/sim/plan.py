"""What goes wrong in one simulated world: drawn from its seed, so that the seed tells the whole story.

Swarm testing: which families of faults exist at all in a world is itself random, since a world with every fault at once
makes little progress and finds little.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Final

from dmchain.chain.primitives.errors import DmchainError

MILLISECOND: Final = 1_000
SECOND: Final = 1_000_000
"""Virtual time is whole microseconds."""

FAMILIES: Final = (
    "drop", "delay", "duplicate", "partition", "scope", "crash", "power", "diskloss", "skew", "signer", "byzantine",
    "validators", "idle",
)  # fmt: skip
"""`scope` cuts the network per (height, round, kind of message), as Twins does; `power` is a power cut of all nodes;
`signer` a remote signer that takes its time; `validators` changes of the set; `idle` heights that wait for work."""

BEHAVIOURS: Final = (
    "chaos", "chaos", "equivocate", "silent", "amnesia", "invalid", "flood", "selective", "twins", "twins", "withhold",
    "forge",
)  # fmt: skip
"""What a byzantine validator does (byzantine.py); listed as often as it is drawn."""


class UnknownFault(DmchainError):
    """A family of faults that does not exist."""


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """One world. Times in microseconds, probabilities from 0 to 1.

    `powers` by epoch, then by node; 0 is a node outside the set. `byzantine` maps nodes to what they do. Faults end at
    `heal_at`; from then on the world must make progress.
    """

    seed: int
    nodes: int
    target_height: int
    powers: tuple[tuple[int, ...], ...]
    epoch_heights: int
    byzantine: dict[int, str]
    heal_at: int = 0
    base_delay: int = 5 * MILLISECOND
    jitter: int = 5 * MILLISECOND
    drop: float = 0.0
    duplicate: float = 0.0
    slow: float = 0.0
    """Share of messages that take seconds, and so arrive out of order."""
    partitions: int = 0
    scope: float = 0.0
    crash: float = 0.0
    """At each durability barrier and each decision."""
    random_crashes: int = 0
    """Of one node each, at any moment."""
    power_cut: bool = False
    disk_loss: bool = False
    clock_skew: int = 0
    timer_skew: float = 0.0
    execution: int = 0
    signer_delay: int = 0
    work_delay: int = 0
    work_unheard: float = 0.0

    @property
    def epochs(self) -> int:
        return len(self.powers)

    def powers_at(self, height: int) -> tuple[int, ...]:
        return self.powers[min((height - 1) // self.epoch_heights, self.epochs - 1)]


def parse_families(text: str) -> frozenset[str]:
    """ "all", "none", or names of FAMILIES separated by commas."""
    if text == "all":
        return frozenset(FAMILIES)
    if text == "none":
        return frozenset()
    names = frozenset(name.strip() for name in text.split(","))
    unknown = sorted(names - set(FAMILIES))
    if unknown:
        raise UnknownFault(
            f"unknown fault {unknown[0]!r}", hint=f"expected all, none, or some of: {', '.join(FAMILIES)}"
        )
    return names


def draw_plan(
    seed: int,
    *,
    validators: int | None = None,
    heights: int | None = None,
    families: frozenset[str] = frozenset(FAMILIES),
) -> FaultPlan:
    """The world of a seed. Leaving out families leaves the rest of it as it was."""
    rng = random.Random(seed * 2_654_435_761 % (1 << 61) + 17)
    drawn_nodes = rng.choice((4, 4, 4, 5, 6, 7, 7, 10))
    nodes = validators or drawn_nodes
    drawn_heights = rng.choice((3, 4, 6))
    powers = (1,) * nodes if rng.random() < 0.6 else tuple([rng.randint(1, 10) for _ in range(nodes)])
    plan = FaultPlan(
        seed=seed,
        nodes=nodes,
        target_height=heights or drawn_heights,
        powers=(powers,),
        epoch_heights=rng.choice((1, 2, 2)),
        byzantine=_draw_byzantine(rng, powers),
        heal_at=rng.choice((5, 15, 30)) * SECOND,
        base_delay=rng.choice((5, 20, 50)) * MILLISECOND,
        jitter=rng.choice((5, 20, 100)) * MILLISECOND,
        drop=rng.choice((0, 0, 0.05, 0.15, 0.3)),
        duplicate=rng.choice((0, 0, 0.1)),
        slow=rng.choice((0, 0, 0.05)),
        partitions=rng.choice((0, 0, 1, 3)),
        scope=rng.choice((0, 0, 0.3, 0.7)),
        crash=rng.choice((0, 0, 0.02, 0.06)),
        random_crashes=rng.choice((0, 0, 2, 5)),
        power_cut=rng.random() < 0.15,
        disk_loss=rng.random() < 0.15,
        clock_skew=rng.choice((0, 0, 200, 1_500)) * MILLISECOND,
        timer_skew=rng.choice((0, 0, 0.3)),
        execution=rng.choice((0, 2, 50)) * MILLISECOND,
        signer_delay=rng.choice((0, 0, 0, 40)) * MILLISECOND,
        work_delay=rng.choice((0, 0, 0, 30, 800)) * MILLISECOND,
        work_unheard=rng.choice((0, 0.3, 0.9)),
    )
    if plan.scope and rng.random() < 0.7:
        plan = replace(plan, drop=0.0)
    if rng.random() < 0.3:
        plan = replace(plan, powers=_draw_epochs(rng, plan))
    return _without(plan, frozenset(FAMILIES) - families)


def _draw_byzantine(rng: random.Random, powers: tuple[int, ...]) -> dict[int, str]:
    byzantine: dict[int, str] = {}
    total, weight = sum(powers), 0
    if rng.random() < 0.8:
        order = list(range(len(powers)))
        rng.shuffle(order)
        for node in order:
            if 3 * (weight + powers[node]) < total and rng.random() < 0.85:
                byzantine[node] = rng.choice(BEHAVIOURS)
                weight += powers[node]
    return byzantine


def _draw_epochs(rng: random.Random, plan: FaultPlan) -> tuple[tuple[int, ...], ...]:
    """Sets of later epochs: powers change, nodes leave and come, byzantine ones stay below a third."""
    epochs = [plan.powers[0]]
    for _ in range(rng.choice((1, 2, 3))):
        for _attempt in range(20):
            powers = tuple(
                [
                    0 if rng.random() < 0.25 else max(1, power + rng.randint(-power + 1, power))
                    for power in plan.powers[0]
                ]
            )
            faulty = sum([powers[node] for node in plan.byzantine])
            if sum(1 for power in powers if power) >= 3 and 3 * faulty < sum(powers):
                epochs.append(powers)
                break
    return tuple(epochs)


def _without(plan: FaultPlan, families: frozenset[str]) -> FaultPlan:
    off: dict[str, dict[str, object]] = {
        "drop": {"drop": 0.0},
        "delay": {"slow": 0.0},
        "duplicate": {"duplicate": 0.0},
        "partition": {"partitions": 0},
        "scope": {"scope": 0.0},
        "crash": {"crash": 0.0, "random_crashes": 0},
        "power": {"power_cut": False},
        "diskloss": {"disk_loss": False},
        "skew": {"clock_skew": 0, "timer_skew": 0.0},
        "signer": {"signer_delay": 0},
        "byzantine": {"byzantine": {}},
        "validators": {"powers": plan.powers[:1]},
        "idle": {"work_delay": 0, "work_unheard": 0.0},
    }
    for family in sorted(families):
        plan = replace(plan, **off[family])  # type: ignore[arg-type]
    if not (families ^ frozenset(FAMILIES)):
        plan = replace(plan, heal_at=0)
    return plan
