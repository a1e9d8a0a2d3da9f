"""The simulated network: delay, loss, duplication, reordering and partitions, all drawn from the world's generator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dmchain.chain.consensus.messages import (
    CommitCertificate,
    Decision,
    Message,
    Polka,
    ProposalMessage,
    RoundStatus,
    Vote,
    VoteBundle,
)
from dmchain.node.sim.plan import MILLISECOND, SECOND

if TYPE_CHECKING:
    from dmchain.node.sim.host import SimulatedNode
    from dmchain.node.sim.world import World

_CERTIFICATE: Final = 3
_DECISION: Final = 4


class Network:
    """Carries messages between the nodes of a world. Perfect but for delay once the world is healed."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rng = world.rng
        plan = world.plan
        self._base, self._jitter = plan.base_delay, plan.jitter
        self._drop, self._duplicate, self._slow, self._scope = plan.drop, plan.duplicate, plan.slow, plan.scope
        self._groups: list[int] | None = None
        self._scopes: dict[tuple[int, int, int], list[int] | None] = {}
        self._peers: dict[int, list[int]] = {}
        self.messages = 0
        self.is_healed = plan.heal_at == 0

    def peers_of(self, node: SimulatedNode) -> list[int]:
        """Indices of all nodes but `node` and its twin."""
        peers = self._peers.get(node.index)
        if peers is None:
            others = [other.index for other in self._world.nodes if other.number != node.number]
            peers = self._peers[node.index] = others
        return peers

    def broadcast(self, node: SimulatedNode, message: Message) -> None:
        if node.is_correct:
            self._world.checkers.on_send(node, message)
        elif self._world.byzantine[node.index].on_broadcast(node, message):
            return
        for peer in self.peers_of(node):
            self.carry(node.index, peer, message)

    def send(self, node: SimulatedNode, peer: int, message: Message) -> None:
        if node.is_correct:
            self._world.checkers.on_send(node, message)
        elif not self._world.byzantine[node.index].may_send(node, message):
            return
        self.carry(node.index, peer, message)

    def carry(self, sender: int, receiver: int, message: Message) -> None:
        """Deliver after a while, or not, or twice."""
        world, rng = self._world, self._rng
        self.messages += 1
        delay = self._base + int(rng.random() * self._jitter)
        if not self.is_healed:
            groups = self._groups
            if groups is not None and groups[sender] != groups[receiver]:
                return
            if self._drop and rng.random() < self._drop:
                return
            if self._scope and self._is_cut(sender, receiver, message):
                return
            if self._slow and rng.random() < self._slow:
                delay += int((0.5 + rng.random() * 5.5) * SECOND)
            if self._duplicate and rng.random() < self._duplicate:
                again = delay + int(rng.random() * SECOND)
                node = world.nodes[receiver]
                world.schedule(again, node.on_message, node, (sender, message))
        node = world.nodes[receiver]
        world.schedule(delay, node.on_message, node, (sender, message))

    def ask_tip(self, node: SimulatedNode, peer: int) -> None:
        """A question about the decided height and its answer, as the status exchange of real connections has it."""
        other = self._world.nodes[peer]
        groups = self._groups
        if groups is not None and not self.is_healed and groups[node.index] != groups[peer]:
            return
        if other.is_alive and not (self._drop and not self.is_healed and self._rng.random() < self._drop):
            delay = 2 * self._base + int(self._rng.random() * self._jitter) + MILLISECOND
            self._world.schedule(delay, node.on_tip, node, (peer, len(other.chain)))

    # -- partitions ----------------------------------------------------------------------------------------------
    def split(self) -> None:
        """Cut the network into two or three parts."""
        parts = self._rng.choice((2, 2, 3))
        self._groups = [self._rng.randrange(parts) for _ in self._world.nodes]

    def join(self) -> None:
        self._groups = None

    def heal(self) -> None:
        self.is_healed = True
        self._groups = None

    def _is_cut(self, sender: int, receiver: int, message: Message) -> bool:
        scope = self._scope_of(sender, message)
        if scope is None:
            return False
        if scope not in self._scopes:
            groups = None
            if self._rng.random() < self._scope:
                parts = self._rng.choice((2, 2, 3))
                groups = [self._rng.randrange(parts) for _ in self._world.nodes]
            self._scopes[scope] = groups
        groups = self._scopes[scope]
        return groups is not None and groups[sender] != groups[receiver]

    def _scope_of(self, sender: int, message: Message) -> tuple[int, int, int] | None:
        """(height, round, kind) of what a scope fault cuts."""
        if isinstance(message, Vote):
            return message.height, message.round, message.kind
        if isinstance(message, ProposalMessage):
            return message.proposal.height, message.proposal.round, message.proposal.kind
        if isinstance(message, Decision):
            return message.commit.height, 0, _DECISION
        if isinstance(message, Polka | CommitCertificate | VoteBundle | RoundStatus):
            machine = self._world.nodes[sender].core.machine
            return message.height, machine.round if machine is not None else 0, _CERTIFICATE
        return None
