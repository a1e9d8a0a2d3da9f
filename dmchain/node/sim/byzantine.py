"""What byzantine validators do. Each runs the real core, lets it follow the height, and says something else.

They may sign anything in their own name and know all blocks; they cannot forge others' signatures, though they try.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from dmchain.chain.consensus.inputs import Start
from dmchain.chain.consensus.machine import HeightMachine
from dmchain.chain.consensus.messages import (
    NO_ROUND,
    PRECOMMIT,
    PREVOTE,
    Candidate,
    CommitCertificate,
    Decision,
    Message,
    Polka,
    Proposal,
    ProposalMessage,
    Vote,
    VoteBundle,
)
from dmchain.chain.consensus.signatures import IsSigned
from dmchain.chain.primitives.public_key import SIGNATURE_BYTES
from dmchain.chain.primitives.types import Hash32
from dmchain.node.sim.ledger import GENESIS

if TYPE_CHECKING:
    from dmchain.node.sim.host import SimulatedNode
    from dmchain.node.sim.world import World


class AmnesiacMachine(HeightMachine):
    """A validator that votes as if it had never locked, and believes any valid round."""

    def lock_allows(self, proposal: Proposal) -> bool:
        return True

    def has_polka_for(self, proposal: Proposal) -> bool:
        return True

    def lock(self, block_hash: Hash32) -> None:
        pass


def make_byzantine_machine(behaviour: str, start: Start, me: int | None, is_signed: IsSigned) -> HeightMachine:
    kind = AmnesiacMachine if behaviour == "amnesia" else HeightMachine
    return kind(start, me, is_signed)


class Byzantine:
    """One byzantine node's tongue."""

    def __init__(self, world: World, behaviour: str) -> None:
        self._world = world
        self._behaviour = behaviour
        self._rng: random.Random = world.rng

    def may_send(self, node: SimulatedNode, message: Message) -> bool:
        """Whether an answer to a single peer leaves."""
        if self._behaviour == "silent":
            return False
        return self._behaviour != "chaos" or self._rng.random() < 0.7

    def on_broadcast(self, node: SimulatedNode, message: Message) -> bool:
        """Take care of what the core wants to say; returns whether that is all."""
        kind = self._behaviour
        if kind in ("twins", "amnesia"):
            return False
        if kind == "chaos":
            kind = self._rng.choice(("equivocate", "selective", "invalid", "honest", "silent", "withhold"))
        if kind == "silent":
            return True
        if kind == "selective":
            for peer in self._peers(node):
                if self._rng.random() < 0.5:
                    self._carry(node, peer, message)
            return True
        if isinstance(message, Vote):
            return self._on_vote(node, message, kind)
        if isinstance(message, ProposalMessage):
            return self._on_proposal(node, message, kind)
        return False

    # -- votes ---------------------------------------------------------------------------------------------------
    def _on_vote(self, node: SimulatedNode, vote: Vote, kind: str) -> bool:
        if kind == "equivocate":
            self._equivocate(node, vote)
            return True
        if kind == "flood":
            self._flood(node, vote)
        elif kind == "forge":
            self._forge(node, vote)
        return False

    def _equivocate(self, node: SimulatedNode, vote: Vote) -> None:
        """Another vote for every peer, sometimes with the other kind early."""
        machine = node.core.machine
        assert machine is not None
        values = [None, vote.block_hash, *list(machine.blocks)[:4]]
        for peer in self._peers(node):
            value = self._rng.choice(values)
            valid_round = vote.valid_round if vote.kind == PRECOMMIT else self._any_valid_round(node, vote.round)
            self._carry(node, peer, self._vote(node, vote.kind, vote, value, valid_round))
            if self._rng.random() < 0.3:
                other = PREVOTE if vote.kind == PRECOMMIT else PRECOMMIT
                self._carry(node, peer, self._vote(node, other, vote, value, NO_ROUND))

    def _flood(self, node: SimulatedNode, vote: Vote) -> None:
        """Votes of rounds and heights far away."""
        for peer in self._peers(node):
            for _ in range(3):
                height = vote.height + self._rng.randint(0, 2)
                me = self._world.epoch_of(height).validators.index_of(self._world.addresses[node.number])
                if me is None:
                    continue
                kind, round = self._rng.choice((PREVOTE, PRECOMMIT)), vote.round + self._rng.randint(0, 1000)
                value = self._rng.choice((None, vote.block_hash))
                wild = Vote(kind, height, round, NO_ROUND, value, me)
                self._carry(node, peer, self._signed(wild))

    def _forge(self, node: SimulatedNode, vote: Vote) -> None:
        """Certificates with signatures of others made up, with too few votes, with one vote many times."""
        if vote.block_hash is None:
            return
        rng, size = self._rng, len(self._world.epoch_of(vote.height).validators)
        said = (vote.kind, vote.height, vote.round, vote.valid_round, vote.block_hash)
        made_up = [Vote(*said, validator, bytes(SIGNATURE_BYTES)) for validator in range(size)]
        made_up[vote.validator] = vote
        votes = rng.choice((tuple(made_up), (vote,), (vote,) * size))
        for peer in self._peers(node):
            block = self._world.ledger.blocks[vote.block_hash].candidate
            if vote.kind == PREVOTE:
                false: Message = Polka(vote.height, vote.round, vote.valid_round, vote.block_hash, votes)
            else:
                commit = CommitCertificate(vote.height, vote.round, vote.block_hash, votes)
                false = rng.choice((commit, Decision(block, commit), VoteBundle(vote.height, votes)))
            self._carry(node, peer, false)

    # -- proposals -----------------------------------------------------------------------------------------------
    def _on_proposal(self, node: SimulatedNode, message: ProposalMessage, kind: str) -> bool:
        if kind == "withhold":
            for peer in self._peers(node):
                if self._rng.random() < 0.6:
                    bare = ProposalMessage(message.proposal, None, message.polka)
                    self._carry(node, peer, message if self._rng.random() < 0.3 else bare)
            return True
        proposal = message.proposal
        if kind == "forge" and proposal.round > 0:
            for peer in self._peers(node):
                self._carry(node, peer, self._with_forged_polka(message))
            return True
        if kind not in ("equivocate", "invalid"):
            return False
        machine = node.core.machine
        assert machine is not None
        blocks = list(machine.blocks.values())[:2]
        blocks += [self._new_block(node, is_valid=kind != "invalid") for _ in range(2)]
        for peer in self._peers(node):
            block = self._rng.choice(blocks)
            valid_round = self._any_valid_round(node, proposal.round)
            other = Proposal(proposal.height, proposal.round, valid_round, block.hash, proposal.validator)
            polka = message.polka if valid_round == proposal.valid_round else machine.valid_polka
            signed = self._world.ledger.sign(other)
            assert isinstance(signed, Proposal)
            self._carry(node, peer, ProposalMessage(signed, block, polka))
        return True

    def _with_forged_polka(self, message: ProposalMessage) -> ProposalMessage:
        """A re-proposal of a round that had no polka, with one made up."""
        said = message.proposal
        valid_round = self._rng.randrange(said.round)
        proposal = self._world.ledger.sign(
            Proposal(said.height, said.round, valid_round, said.block_hash, said.validator)
        )
        assert isinstance(proposal, Proposal)
        size = len(self._world.epoch_of(said.height).validators)
        votes = [
            Vote(PREVOTE, said.height, valid_round, NO_ROUND, said.block_hash, validator, bytes(SIGNATURE_BYTES))
            for validator in range(size)
        ]
        polka = Polka(said.height, valid_round, NO_ROUND, said.block_hash, tuple(votes))
        return ProposalMessage(proposal, message.block, polka)

    def _new_block(self, node: SimulatedNode, *, is_valid: bool) -> Candidate:
        parent = node.chain[-1][0].hash if node.chain else GENESIS
        return self._world.ledger.make_block(
            len(node.chain) + 1, parent, node.number, node.clock_ms(), is_valid=is_valid
        )

    # -- tools ---------------------------------------------------------------------------------------------------
    def _any_valid_round(self, node: SimulatedNode, round: int) -> int:
        machine = node.core.machine
        assert machine is not None
        rounds = [NO_ROUND, machine.valid_round, self._rng.randint(NO_ROUND, round - 1) if round else NO_ROUND]
        chosen = self._rng.choice(rounds)
        return chosen if chosen < round else NO_ROUND

    def _vote(self, node: SimulatedNode, kind: int, like: Vote, value: Hash32 | None, valid_round: int) -> Vote:
        if value is None or kind == PRECOMMIT:
            valid_round = NO_ROUND
        return self._signed(Vote(kind, like.height, like.round, valid_round, value, like.validator))

    def _signed(self, vote: Vote) -> Vote:
        signed = self._world.ledger.sign(vote)
        assert isinstance(signed, Vote)
        return signed

    def _peers(self, node: SimulatedNode) -> list[int]:
        return self._world.network.peers_of(node)

    def _carry(self, node: SimulatedNode, peer: int, message: Message) -> None:
        self._world.network.carry(node.index, peer, message)
