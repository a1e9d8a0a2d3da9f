"""A dispute's way through a jury, as its jurors and a keeper would take it."""

from __future__ import annotations

from dmchain.market import Market
from dmchain.market.enums import Phase
from dmchain.market.models import Dispute
from tests.market.world import World


def draw_jury(world: World, dispute_id: int) -> Dispute:
    """Summon a jury when the evidence is in, and draw it."""
    world.sleep_until(world.stranger.disputes.get(dispute_id).deadline)
    world.stranger.disputes.summon(dispute_id)
    world.mine(2)
    drawn = world.stranger.disputes.draw(dispute_id)
    assert drawn.phase is Phase.COMMITTING
    return drawn


def seats_of(world: World, dispute: Dispute) -> dict[Market, int]:
    """The jurors of the last round and how many seats each has."""
    number = len(dispute.rounds) - 1
    found = {}
    for juror in world.jurors:
        ballot = juror.call("DisputeResolution", "ballot", dispute.dispute_id, number, juror.address())
        if ballot["seats"]:
            found[juror] = int(ballot["seats"])
    assert sum(found.values()) == dispute.rounds[number].seats
    return found


def vote(world: World, dispute_id: int, votes: dict[Market, str]) -> Dispute:
    """All jurors commit, all reveal, anybody counts."""
    for juror, choice in votes.items():
        juror.disputes.commit(dispute_id, choice)
    if world.stranger.disputes.get(dispute_id).phase is Phase.COMMITTING:
        world.sleep_until(world.stranger.disputes.get(dispute_id).deadline)
    for juror, choice in votes.items():
        juror.disputes.reveal(dispute_id, choice)
    return world.stranger.disputes.tally(dispute_id)


def decide(world: World, dispute_id: int, ruling: str) -> dict[Market, int]:
    """Draw a jury that votes with one voice; returns its seats."""
    seats = seats_of(world, draw_jury(world, dispute_id))
    vote(world, dispute_id, dict.fromkeys(seats, ruling))
    return seats


def execute(world: World, dispute_id: int) -> Dispute:
    """Carry out what was decided, when nobody can appeal any more."""
    world.sleep_until(world.stranger.disputes.get(dispute_id).deadline)
    return world.stranger.disputes.execute(dispute_id)
