"""Catching up within a height, by pull: a stuck validator says where it is and what it has; a peer sends what it lacks.

Certificates are large, and a blind periodic broadcast of them grows with the square of the validators. So nothing but a
validator's own votes of the round is repeated unasked.
"""

from __future__ import annotations

from dmchain.chain.consensus.machine import HeightMachine
from dmchain.chain.consensus.messages import (
    Decision,
    Message,
    ProposalMessage,
    RoundStatus,
    Step,
    Vote,
    VoteBundle,
)


def make_status(machine: HeightMachine) -> RoundStatus:
    """Line 49: where this node is."""
    votes = machine.votes
    tallies = votes.rounds.get(machine.round)
    if tallies is None:
        return RoundStatus(machine.height, machine.round, machine.step, machine.valid_round, False, False, 0, 0)
    return RoundStatus(
        height=machine.height,
        round=machine.round,
        step=machine.step,
        valid_round=machine.valid_round,
        has_proposal=bool(tallies.proposals),
        has_polka=tallies.polka is not None,
        prevotes=votes.bitmap(tallies.prevotes),
        precommits=votes.bitmap(tallies.precommits),
    )


def answer_status(machine: HeightMachine, status: RoundStatus) -> list[Message]:
    """Lines 51 to 55: what a peer at the same height lacks, in the order in which it can use it."""
    votes = machine.votes
    if machine.decision is not None:  # 51
        return [Decision(*machine.decision)]
    answers: list[Message] = [votes.commit_certificate(round) for round in votes.commits]
    if machine.step is Step.IDLE:
        return answers
    if status.round > machine.round:  # 52: the peer is ahead: ask it back
        return [*answers, make_status(machine)]
    if status.round < machine.round:  # 53
        if machine.round_certificate:
            answers.append(VoteBundle(machine.height, machine.round_certificate))
        status = RoundStatus(status.height, machine.round, status.step, status.valid_round, False, False, 0, 0)
    if machine.valid_polka is not None and machine.valid_round > status.valid_round:  # 54
        answers.append(machine.valid_polka)
    return answers + bundle_of_round(machine, status)


def bundle_of_round(machine: HeightMachine, status: RoundStatus) -> list[Message]:
    """Line 55: proposal, polka and votes of the current round that `status` does not have."""
    votes = machine.votes
    tallies = votes.rounds.get(machine.round)
    if tallies is None:
        return []
    answers: list[Message] = []
    first = tallies.first_proposal()
    if first is not None and not status.has_proposal:
        # its proof is made here: what came with the proposal has not been looked at by anybody
        has_proof = votes.has_polka(first.valid_round, first.block_hash)
        proof = votes.polka_certificate(first.valid_round) if has_proof else None
        answers.append(ProposalMessage(first, None, proof))
    if tallies.polka is not None and not status.has_polka:
        answers.append(votes.polka_certificate(machine.round))
    missing: list[Vote] = []
    for have, theirs in ((tallies.prevotes, status.prevotes), (tallies.precommits, status.precommits)):
        missing += [have[validator] for validator in sorted(have) if not theirs >> validator & 1]
    if missing:
        answers.append(VoteBundle(machine.height, tuple(missing)))
    return answers
