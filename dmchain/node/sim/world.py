"""A discrete-event simulation: one heap of events, one virtual clock, one random generator, many cores."""

from __future__ import annotations

import hashlib
import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

from dmchain.chain.consensus.effects import Decide
from dmchain.chain.consensus.machine import HeightMachine, MachineFactory
from dmchain.chain.consensus.observer import ObserverPeriod
from dmchain.chain.consensus.proposer import ProposerSchedule, carry_priorities
from dmchain.chain.consensus.timing import ConsensusParams
from dmchain.chain.consensus.validators import Validator, ValidatorSet
from dmchain.chain.primitives.types import Address
from dmchain.node.sim.byzantine import Byzantine, make_byzantine_machine
from dmchain.node.sim.checkers import Checkers
from dmchain.node.sim.host import SimulatedNode
from dmchain.node.sim.ledger import Ledger
from dmchain.node.sim.network import Network
from dmchain.node.sim.plan import MILLISECOND, SECOND, FaultPlan
from dmchain.node.sim.violation import Violation

PROGRESS_BASE: Final = 20 * SECOND
PROGRESS_PER_HEIGHT: Final = 8 * SECOND
PROGRESS_PER_BYZANTINE: Final = 4 * SECOND
"""From healing on every correct node must reach the target height within the base and so much for each height that the
last of them lacks, with a round lost for each byzantine validator in each height, since in the schedule they may stand
one after the other. Thousands of worlds have taken half of it at most."""
EVENT_LIMIT: Final = 3_000_000

Handler: TypeAlias = Callable[[int, Any], None]
Event: TypeAlias = tuple[int, int, Handler, int, Any]
"""(time, sequence, handler, incarnation of the node when it was scheduled, data)."""

PARAMS: Final = ConsensusParams(
    propose_ms=1_000,
    propose_delta_ms=250,
    prevote_ms=500,
    prevote_delta_ms=250,
    precommit_ms=500,
    precommit_delta_ms=250,
    timeout_cap_ms=6_000,
    heartbeat_ms=3_000,
    retry_ms=1_000,
)
"""Shorter than a real network's, since the simulated one's delays are."""


@dataclass(frozen=True, slots=True)
class Epoch:
    validators: ValidatorSet
    proposers: ProposerSchedule
    first_height: int
    nodes: tuple[int, ...]
    """Node numbers by validator index."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a world that held its invariants did."""

    seed: int
    events: int
    messages: int
    decisions: int
    crashes: int
    barriers: int
    evidence: int
    highest_round: int
    recovery_ms: int
    """From healing until the target was reached."""
    trace: str


class World:
    """One simulated world; `run` lets it live."""

    def __init__(
        self,
        plan: FaultPlan,
        *,
        machine: MachineFactory = HeightMachine,
        node: type[SimulatedNode] = SimulatedNode,
        is_traced: bool = False,
    ) -> None:
        """`machine` and `node` may be mutants; `is_traced` hashes every event, which costs time."""
        self.plan = plan
        self.params = PARAMS
        self.rng = random.Random(plan.seed)
        self.now = 0
        self.events = 0
        self.crashes = 0
        self.barriers = 0
        self.ledger = Ledger()
        self.is_healed = plan.heal_at == 0
        self.addresses = [Address((number + 1).to_bytes(20, "big")) for number in range(plan.nodes)]
        self._heap: list[Event] = []
        self._sequence = 0
        self._machine = machine
        self._trace = hashlib.blake2b(digest_size=8)
        self._is_traced = is_traced
        self._epochs: list[Epoch] = []
        correct = frozenset(number for number in range(plan.nodes) if number not in plan.byzantine)
        self.checkers = Checkers(self.ledger, plan.powers_at, self.node_of, correct)
        self.nodes: list[SimulatedNode] = []
        for number in range(plan.nodes):
            behaviour = plan.byzantine.get(number)
            for _ in range(2 if behaviour == "twins" else 1):
                self.nodes.append(node(self, number, len(self.nodes), behaviour))
        self.correct = [node for node in self.nodes if node.is_correct]
        self.byzantine = {
            node.index: Byzantine(self, node.behaviour) for node in self.nodes if node.behaviour is not None
        }
        self.network = Network(self)
        self._deadline = self._compute_deadline()
        for node_ in self.nodes:
            node_.timer_rate = 1 + self.rng.uniform(-plan.timer_skew, plan.timer_skew)
            node_.clock_offset = self.rng.randint(-plan.clock_skew, plan.clock_skew) + SECOND * 10
        self._schedule_faults()

    def _schedule_faults(self) -> None:
        plan, rng = self.plan, self.rng
        if plan.heal_at == 0:
            return
        for _ in range(plan.partitions):
            self.schedule(rng.randrange(plan.heal_at), self._on_split, None, None)
        for _ in range(plan.random_crashes):
            self.schedule(rng.randrange(plan.heal_at), self._on_crash, None, rng.choice(self.correct))
        if plan.power_cut:
            self.schedule(rng.randrange(plan.heal_at), self._on_power_cut, None, None)
        if plan.disk_loss:
            unlucky = [node for node in self.correct if self._may_lose_disk(node)]
            if unlucky:
                at = rng.randrange(plan.heal_at * 7 // 10)
                self.schedule(at, self._on_disk_loss, None, rng.choice(unlucky))
        self.schedule(plan.heal_at, self._on_heal, None, None)

    def _may_lose_disk(self, node: SimulatedNode) -> bool:
        """One that loses its disk counts as faulty until it may sign again."""
        faulty = {*self.plan.byzantine, node.number}
        return all(3 * sum([powers[number] for number in faulty]) < sum(powers) for powers in self.plan.powers)

    # -- facts of the world ----------------------------------------------------------------------------------------
    def epoch_of(self, height: int) -> Epoch:
        """The set of a height and its proposers; priorities are carried from epoch to epoch."""
        index = min((height - 1) // self.plan.epoch_heights, self.plan.epochs - 1)
        while len(self._epochs) <= index:
            self._epochs.append(self._make_epoch(len(self._epochs)))
        return self._epochs[index]

    def _make_epoch(self, index: int) -> Epoch:
        powers = self.plan.powers[index]
        nodes = tuple([number for number, power in enumerate(powers) if power])
        validators = ValidatorSet(tuple([Validator(self.addresses[number], powers[number]) for number in nodes]))
        priorities = None
        if index:
            before = self._epochs[index - 1]
            ended = before.proposers.priorities_after(self.plan.epoch_heights)
            members = before.validators.validators
            previous = {validator.address: value for validator, value in zip(members, ended, strict=True)}
            priorities = carry_priorities(previous, validators)
        proposers = ProposerSchedule(validators.powers, priorities)
        return Epoch(validators, proposers, index * self.plan.epoch_heights + 1, nodes)

    def node_of(self, height: int, validator: int) -> int:
        """The number of the node that is `validator` in the set of `height`."""
        return self.epoch_of(height).nodes[validator]

    def index_of(self, height: int, validator: int) -> int:
        """Where to reach a validator (the first of twins)."""
        number = self.node_of(height, validator)
        return next(node.index for node in self.nodes if node.number == number)

    def may_crash(self) -> bool:
        crash = self.plan.crash
        return bool(crash) and not self.is_healed and self.rng.random() < crash / 2

    def draw_execution(self) -> int:
        return int(self.rng.random() * self.plan.execution)

    def draw_work_delay(self) -> int | None:
        """How long until a node hears of work at a new height; None: it does not."""
        plan = self.plan
        if not plan.work_delay:
            return 0
        if self.rng.random() < plan.work_unheard:
            return None
        return 1 + int(self.rng.random() * plan.work_delay)

    def make_observer(self, node: SimulatedNode) -> ObserverPeriod | None:
        """How a node without journal begins; None would let it sign at once."""
        return ObserverPeriod(self.addresses[node.number])

    # -- events ----------------------------------------------------------------------------------------------------
    def schedule(self, delay: int, handler: Handler, node: SimulatedNode | None, data: Any) -> None:
        """Call handler(incarnation of node now, data) after `delay` microseconds."""
        self._sequence += 1
        incarnation = 0 if node is None else node.incarnation
        heapq.heappush(self._heap, (self.now + delay, self._sequence, handler, incarnation, data))

    def boot(self, node: SimulatedNode) -> None:
        machine = self._machine
        if node.behaviour is not None:
            machine = partial(make_byzantine_machine, node.behaviour)
        node.boot(machine)

    def _on_split(self, incarnation: int, data: None) -> None:
        if not self.is_healed:
            self.network.split()
            self.schedule(self.rng.randrange(SECOND, 8 * SECOND), self._on_join, None, None)

    def _on_join(self, incarnation: int, data: None) -> None:
        self.network.join()

    def _on_crash(self, incarnation: int, node: SimulatedNode) -> None:
        if node.is_alive and not self.is_healed:
            node.crash()

    def _on_power_cut(self, incarnation: int, data: None) -> None:
        for node in self.correct:
            if node.is_alive:
                node.crash()

    def _on_disk_loss(self, incarnation: int, node: SimulatedNode) -> None:
        if node.is_alive and not self.is_healed:
            node.crash(lose_disk=True)

    def _on_heal(self, incarnation: int, data: None) -> None:
        self.is_healed = True
        self.network.heal()
        for node in self.nodes:
            node.clock_offset = 10 * SECOND
        self._deadline = self._compute_deadline()

    def _compute_deadline(self) -> int:
        missing = self.plan.target_height - min([len(node.chain) for node in self.correct])
        per_height = PROGRESS_PER_HEIGHT + len(self.plan.byzantine) * PROGRESS_PER_BYZANTINE
        return self.now + PROGRESS_BASE + max(0, missing) * per_height

    def note(self, node: SimulatedNode, decide: Decide) -> None:
        """Every decision is part of the trace, even when events are not."""
        what = (node.number, decide.height, decide.block.hash.hex(), decide.commit.round, self.now)
        self._trace.update(repr(what).encode())

    # -- the loop --------------------------------------------------------------------------------------------------
    def run(self) -> Outcome:
        """Live until every correct node has reached the target height; raises Violation."""
        for node in self.nodes:
            self.boot(node)
        heap, pop = self._heap, heapq.heappop
        check = 0
        while heap:
            self.now, _, handler, incarnation, data = pop(heap)
            self.events += 1
            if self._is_traced:
                self._trace.update(repr((self.now, handler.__qualname__, data)).encode())
            handler(incarnation, data)
            if self.is_healed:
                if self.checkers.decisions != check:
                    check = self.checkers.decisions
                    if self._is_done():
                        return self._outcome()
                if self.now > self._deadline or self.events > EVENT_LIMIT:
                    break
        heights = [len(node.chain) for node in self.correct]
        rounds = [node.core.machine.round if node.core.machine else None for node in self.correct]
        raise Violation(
            10,
            f"no progress: heights {heights}, target {self.plan.target_height}, rounds {rounds}, after"
            f" {self.now / SECOND:.1f} s, healed at {self.plan.heal_at / SECOND:.1f} s",
        )

    def _is_done(self) -> bool:
        target = self.plan.target_height
        return all(len(node.chain) >= target for node in self.correct)

    def _outcome(self) -> Outcome:
        checkers = self.checkers
        return Outcome(
            seed=self.plan.seed,
            events=self.events,
            messages=self.network.messages,
            decisions=checkers.decisions,
            crashes=self.crashes,
            barriers=self.barriers,
            evidence=len(checkers.evidence),
            highest_round=checkers.highest_round,
            recovery_ms=max(0, self.now - self.plan.heal_at) // MILLISECOND,
            trace=self._trace.hexdigest(),
        )
