"""Passing proposals on a devnet, for the tests of flows that governance has a part in."""

from __future__ import annotations

from collections.abc import Sequence

from dmchain.market import Action, Market
from dmchain.market.enums import ProposalState
from tests.market.world import World

TIMELOCK_DELAY, VOTING_DELAY, VOTING_PERIOD = 2, 1, 60
"""Of a devnet's genesis, in seconds."""


def pass_proposal(world: World, voters: Sequence[Market], actions: Sequence[Action], description: str) -> int:
    """Propose, vote for, queue and execute; every state on the way is checked. Returns the proposal's id.

    The first of the voters proposes.
    """
    proposer = voters[0]
    proposal = proposer.governance.propose(actions, description)
    identifier = int(proposal.proposal_id)
    assert proposal.state == ProposalState.PENDING
    world.sleep(VOTING_DELAY + 1)
    for voter in voters:
        assert voter.governance.get(identifier).state == ProposalState.ACTIVE
        voter.governance.vote(identifier, "for", reason="good for the market")
    world.sleep(VOTING_PERIOD + 1)
    assert proposer.governance.get(identifier).state == ProposalState.SUCCEEDED
    assert proposer.governance.queue(identifier).state == ProposalState.QUEUED
    world.sleep(TIMELOCK_DELAY)
    assert proposer.governance.execute(identifier).state == ProposalState.EXECUTED
    return identifier
