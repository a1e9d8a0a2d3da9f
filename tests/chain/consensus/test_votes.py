"""Tallies raced against a slow twin that recounts everything from a list."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from dmchain.chain.consensus.messages import NO_ROUND, PRECOMMIT, PREVOTE, Vote
from dmchain.chain.consensus.votes import KEPT_ROUNDS, WINDOW, HeightVotes
from tests.chain.consensus.bench import HEIGHT, block_hash, polka, precommit, prevote, validator_set

POWERS = (3, 1, 1, 2, 1)


class SlowVotes:
    """The first vote of each validator, round and kind, counted anew for each question."""

    def __init__(self) -> None:
        self.votes: list[Vote] = []
        self.convicted: set[tuple[int, int, int]] = set()

    def add(self, vote: Vote) -> None:
        for known in self.votes:
            if (known.validator, known.round, known.kind) == (vote.validator, vote.round, vote.kind):
                if (known.block_hash, known.valid_round) != (vote.block_hash, vote.valid_round):
                    self.convicted.add((vote.kind, vote.round, vote.validator))
                return
        self.votes.append(vote)

    def power(self, kind: int, round: int) -> int:
        return sum(POWERS[vote.validator] for vote in self.votes if (vote.kind, vote.round) == (kind, round))

    def polka(self, round: int) -> set[tuple[bytes | None, int]]:
        keys = {(vote.block_hash, vote.valid_round) for vote in self.votes}
        return {
            key
            for key in keys
            if sum(
                POWERS[vote.validator]
                for vote in self.votes
                if (vote.kind, vote.round) == (PREVOTE, round) and (vote.block_hash, vote.valid_round) == key
            )
            >= validator_set(POWERS).quorum
        }

    def skip_target(self, current: int) -> int:
        group = validator_set(POWERS)
        for round in sorted({vote.round for vote in self.votes if vote.round > current}, reverse=True):
            ahead = {vote.validator for vote in self.votes if vote.round >= round}
            if sum(POWERS[validator] for validator in ahead) >= group.one_honest:
                return round
        return current


near_votes = st.builds(
    lambda kind, value, round, by: (
        prevote(value, round, by, valid_round=round - 1 if value and round else NO_ROUND)
        if kind
        else precommit(value, round, by)
    ),
    st.booleans(),
    st.sampled_from((None, "A", "B")),
    st.integers(0, 3),
    st.integers(0, 4),
)


@given(st.lists(near_votes, max_size=60), st.integers(1, 3))
@settings(max_examples=300, deadline=None)
def test_tallies_are_those_of_the_slow_twin(votes: list[Vote], current: int) -> None:
    fast, slow = HeightVotes(HEIGHT, validator_set(POWERS)), SlowVotes()
    fast.enter(current)
    for vote in votes:
        fast.add(vote)
        slow.add(vote)
        assert fast.skip_target() == slow.skip_target(current)
    for round in range(4):
        tallies = fast.at(round)
        assert tallies.prevote_power == slow.power(PREVOTE, round)
        assert tallies.precommit_power == slow.power(PRECOMMIT, round)
        assert {tallies.polka} - {None} == slow.polka(round)
    doubles = {key for key in fast.reported if key[0]}
    assert doubles == slow.convicted


@given(st.lists(near_votes, max_size=60))
@settings(max_examples=200, deadline=None)
def test_a_round_certificate_proves_its_round_to_a_fresh_node(votes: list[Vote]) -> None:
    known = HeightVotes(HEIGHT, validator_set(POWERS))
    known.enter(0)
    for vote in votes:
        known.add(vote)
    target = known.skip_target()
    if target == 0:
        return
    fresh = HeightVotes(HEIGHT, validator_set(POWERS))
    fresh.enter(0)
    for vote in known.votes_from(target):
        fresh.add(vote)
    assert fresh.skip_target() == target


def test_far_votes_are_counted_when_their_round_comes_near() -> None:
    votes = HeightVotes(HEIGHT, validator_set())
    votes.enter(0)
    for by in range(3):
        votes.add(precommit("A", 10, by))
    assert votes.commits == {}
    assert votes.skip_target() == 10
    votes.enter(10 - WINDOW)
    assert votes.commits == {10: block_hash("A")}


def test_of_far_votes_the_highest_is_kept() -> None:
    votes = HeightVotes(HEIGHT, validator_set())
    votes.enter(0)
    for round in (7, 30, 12):
        votes.add(prevote(None, round, 1))
    assert votes.far == {1: prevote(None, 30, 1)}


def test_a_polka_counts_values_with_their_valid_round() -> None:
    votes = HeightVotes(HEIGHT, validator_set())
    votes.enter(3)
    votes.add(prevote("A", 3, 0, valid_round=1))
    votes.add(prevote("A", 3, 1, valid_round=1))
    votes.add(prevote("A", 3, 2))
    assert votes.at(3).polka is None
    votes.add(prevote("A", 3, 3, valid_round=1))
    assert votes.at(3).polka == (block_hash("A"), 1)
    assert votes.polka_certificate(3) == polka("A", 3, (0, 1, 3), valid_round=1)


def test_a_polka_with_votes_that_conflict_with_tallied_ones_holds() -> None:
    votes = HeightVotes(HEIGHT, validator_set())
    votes.enter(0)
    for by in (0, 1):
        votes.add(prevote("B", 0, by))
    proof = polka("A", 0, (0, 1, 2))
    votes.accept_polka(proof)
    assert votes.at(0).polka == (block_hash("A"), NO_ROUND)
    assert votes.polka_certificate(0) is proof
    assert {key[2] for key in votes.reported} == {0, 1}


def test_rounds_that_are_too_old_are_forgotten_with_their_offences() -> None:
    votes = HeightVotes(HEIGHT, validator_set())
    votes.enter(0)
    votes.add(prevote("A", 0, 1))
    votes.add(prevote("B", 0, 1))
    votes.enter(KEPT_ROUNDS + 1)
    assert votes.rounds == {}
    assert votes.reported == set()
    votes.add(prevote("A", 0, 2))
    assert votes.rounds == {}
