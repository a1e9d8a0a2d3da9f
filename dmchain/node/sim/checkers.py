"""The invariants of docs/consensus.md, checked while a world runs, by means of their own.

Nothing here uses the core's tallies or certificates' checks: what is judged must not be its own judge.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from dmchain.chain.consensus.core import Core
from dmchain.chain.consensus.evidence import DoubleVote, Misbehaviour, describe, is_amnesia
from dmchain.chain.consensus.messages import (
    KIND_NAMES,
    NO_ROUND,
    PRECOMMIT,
    PREVOTE,
    Candidate,
    CommitCertificate,
    Message,
    ProposalMessage,
    Signable,
    SignRecord,
    Vote,
    statement,
)
from dmchain.chain.consensus.votes import KEPT_ROUNDS, PROPOSALS_PER_ROUND, WINDOW
from dmchain.chain.primitives.types import Hash32
from dmchain.node.sim.ledger import GENESIS, Ledger
from dmchain.node.sim.violation import Violation

Slot: TypeAlias = tuple[int, int, int]
"""(height, round, kind)."""


class Watched(Protocol):
    """A node as the checkers see it. `lock_seen` and `lock_height` are theirs to write; `incarnation` counts lives."""

    number: int
    incarnation: int
    chain: list[tuple[Candidate, CommitCertificate]]
    core: Core
    lock_seen: int
    lock_height: int


class Checkers:
    """Watches the correct nodes of one world."""

    def __init__(
        self,
        ledger: Ledger,
        powers_of: Callable[[int], tuple[int, ...]],
        node_of: Callable[[int, int], int],
        correct: frozenset[int],
    ) -> None:
        """`powers_of` a height, by node; `node_of` (height, validator index); `correct` are the nodes protected."""
        self._ledger = ledger
        self._powers_of = powers_of
        self._node_of = node_of
        self._correct = correct
        self.decided: dict[int, Hash32] = {}
        self.decisions = 0
        self.highest_round = 0
        self.evidence: set[tuple[str, int]] = set()
        self._said: dict[int, dict[Slot, Signable]] = {node: {} for node in correct}
        self._durable: dict[int, set[bytes]] = {node: set() for node in correct}
        self._locks: dict[tuple[int, int], list[Vote]] = {}
        """By (node, height): its precommits for values, in the order of rounds: the last binds it."""
        self._seen: dict[tuple[int, int], dict[tuple[int, Slot], Vote]] = {}
        self._owed: dict[tuple[int, int], set[tuple[int, Slot]]] = {}
        """By (node, incarnation): equivocations that reached it and must be evidence there."""
        self._told: dict[tuple[int, int], set[tuple[int, Slot]]] = {}

    # -- 1, 2, 3: decisions --------------------------------------------------------------------------------------
    def on_decide(self, node: Watched, height: int, block: Candidate, commit: CommitCertificate) -> None:
        self.decisions += 1
        self.highest_round = max(self.highest_round, commit.round)
        first = self.decided.setdefault(height, block.hash)
        if first != block.hash:
            raise Violation(1, f"disagreement at height {height}: {_short(first)} and {_short(block.hash)}")
        facts = self._ledger.blocks[block.hash]
        parent = node.chain[-1][0].hash if node.chain else GENESIS
        if not facts.is_valid:
            raise Violation(2, f"node {node.number} decided invalid block {_short(block.hash)}")
        if (facts.height, facts.parent) != (height, parent) or height != len(node.chain) + 1:
            raise Violation(2, f"node {node.number}: block {_short(block.hash)} does not follow the chain")
        powers = self._powers_of(height)
        signers = set()
        for vote in commit.votes:
            said = (vote.kind, vote.height, vote.round, vote.block_hash)
            if said == (PRECOMMIT, height, commit.round, block.hash) and self._ledger.is_signed(vote):
                signers.add(self._node_of(vote.height, vote.validator))
        if 3 * sum([powers[signer] for signer in signers]) <= 2 * sum(powers):
            raise Violation(3, f"node {node.number} decided height {height} without two thirds: {sorted(signers)}")

    # -- 4, 5, 9: what a node says -------------------------------------------------------------------------------
    def on_persist(self, node: Watched, record: SignRecord) -> None:
        durable = self._durable[node.number]
        durable.update([statement(message).signature for message in record.own])

    def on_send(self, node: Watched, message: Message) -> None:
        if isinstance(message, ProposalMessage):
            said: Signable = message.proposal
        elif isinstance(message, Vote):
            said = message
        else:
            return
        if self._node_of(said.height, said.validator) != node.number:
            return
        slot = (said.height, said.round, said.kind)
        first = self._said[node.number].setdefault(slot, said)
        if (first.block_hash, first.valid_round) != (said.block_hash, said.valid_round):
            raise Violation(4, f"node {node.number} signed two {KIND_NAMES[said.kind]}s: {first} and {said}")
        if said.signature not in self._durable[node.number]:
            raise Violation(9, f"node {node.number} sent a {KIND_NAMES[said.kind]} that was not durable: {said}")
        if isinstance(said, Vote) and said.block_hash is not None:
            self._check_lock(node.number, said)

    def _check_lock(self, node: int, vote: Vote) -> None:
        # a value is precommitted on a polka of the round, and re-proposed with one of the valid round
        polka_round = vote.valid_round if vote.kind == PREVOTE else vote.round
        if polka_round != NO_ROUND and vote.block_hash is not None:
            prevoters = self._ledger.prevoters(vote.height, polka_round, vote.block_hash)
            powers = self._powers_of(vote.height)
            if 3 * sum([powers[self._node_of(vote.height, voter)] for voter in prevoters]) <= 2 * sum(powers):
                raise Violation(5, f"node {node} voted without a polka in round {polka_round}: {vote}")
        precommits = self._locks.setdefault((node, vote.height), [])
        if vote.kind == PREVOTE:
            for bound in precommits:
                if is_amnesia(bound, vote):
                    raise Violation(5, f"node {node} prevoted against a precommit: {bound} and {vote}")
        elif not precommits or precommits[-1].round < vote.round:
            precommits.append(vote)

    def on_step(self, node: Watched) -> None:
        """After every input: the lock never goes back."""
        machine = node.core.machine
        if machine is None:
            return
        if machine.locked_round != node.lock_seen:
            if node.lock_height == machine.height and machine.locked_round < node.lock_seen:
                raise Violation(5, f"node {node.number}: locked round {node.lock_seen}, then {machine.locked_round}")
            precommits = self._locks.get((node.number, machine.height))
            # one that only observes has lost its journal: its lock is gone, and it says nothing
            if precommits and machine.locked_round < precommits[-1].round and machine.me is not None:
                raise Violation(5, f"node {node.number} has forgotten its lock of round {precommits[-1].round}")
            node.lock_seen = machine.locked_round
        node.lock_height = machine.height

    # -- 6, 7: evidence ------------------------------------------------------------------------------------------
    def on_evidence(self, node: Watched, proof: Misbehaviour) -> None:
        culprit = self._node_of(proof.height, proof.validator)
        if culprit in self._correct:
            raise Violation(6, f"correct node {culprit} accused: {describe(proof)}: {proof}")
        self.evidence.add((type(proof).__name__, culprit))
        if isinstance(proof, DoubleVote):
            vote = proof.first
            slot = (vote.height, vote.round, vote.kind)
            self._told.setdefault((node.number, node.incarnation), set()).add((culprit, slot))

    def on_vote(self, node: Watched, vote: Vote, culprit: int) -> None:
        """Before a byzantine node's vote is handed to a core that tallies its round."""
        machine = node.core.machine
        if machine is None or vote.height != machine.height or machine.is_over():
            return
        if not machine.votes.is_kept(vote.round):
            return
        life = (node.number, node.incarnation)
        slot = (vote.height, vote.round, vote.kind)
        first = self._seen.setdefault(life, {}).setdefault((culprit, slot), vote)
        if not first.is_same_statement(vote):
            self._owed.setdefault(life, set()).add((culprit, slot))

    def after_votes(self, node: Watched) -> None:
        """After a byzantine vote has been handled: a pair that has arrived is evidence by now."""
        life = (node.number, node.incarnation)
        owed = self._owed.get(life)
        if owed and not owed <= self._told.get(life, set()):
            culprit, slot = min(owed - self._told.get(life, set()))
            raise Violation(7, f"node {node.number} has two votes of node {culprit} and keeps silent: {slot}")

    # -- 8: memory -----------------------------------------------------------------------------------------------
    def check_memory(self, node: Watched) -> None:
        machine = node.core.machine
        if machine is None:
            return
        votes, size = machine.votes, len(machine.validators)
        rounds = KEPT_ROUNDS + WINDOW + 2 + len(votes.commits)
        _bound(node, "far votes", len(votes.far), size)
        _bound(node, "rounds", len(votes.rounds), rounds)
        _bound(node, "bodies", len(machine.blocks), PROPOSALS_PER_ROUND * (2 * WINDOW + 1) + rounds + 4)
        _bound(node, "own messages", len(machine.own), 3 * (KEPT_ROUNDS + 1))
        _bound(node, "early messages", node.core.early_messages, 3 * size)
        for tallies in votes.rounds.values():
            _bound(node, "proposals of a round", len(tallies.proposals), PROPOSALS_PER_ROUND)
            _bound(node, "votes of a round", len(tallies.prevotes) + len(tallies.precommits), 2 * size)


def _bound(node: Watched, what: str, got: int, limit: int) -> None:
    if got > limit:
        raise Violation(8, f"node {node.number}: {what}: expected at most {limit}, got {got}")


def _short(block_hash: Hash32 | None) -> str:
    return "nil" if block_hash is None else f"0x{block_hash.hex().lstrip('0') or '0'}"
