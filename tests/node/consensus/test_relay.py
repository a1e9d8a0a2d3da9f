"""What is passed on, and to whom."""

from __future__ import annotations

from dmchain.chain.consensus.messages import NO_ROUND, PREVOTE, Vote
from dmchain.chain.consensus.votes import KEPT_ROUNDS
from dmchain.node.consensus.relay import MAX_SLOTS, QUIET_SECONDS, Relay
from tests.node.consensus.validators import some_hash

PEERS = [1, 2, 3]


def vote(round: int = 0, value: int = 1, validator: int = 0, height: int = 5) -> Vote:
    return Vote(PREVOTE, height, round, NO_ROUND, some_hash(value), validator, bytes(65))


def test_a_statement_is_passed_on_once_and_an_equivocation_too() -> None:
    relay = Relay()
    assert relay.is_new(vote()) and not relay.is_new(vote())
    assert relay.is_new(vote(value=2))
    assert not relay.is_new(vote(value=3)), "a third proves nothing more"
    assert relay.has_heard(vote()) and not relay.has_heard(vote(value=3))


def test_a_statement_goes_to_everybody_but_whom_it_came_from() -> None:
    assert Relay().choose_targets(PEERS, 2, validator=0, now=0) == [1, 3]


def test_a_peer_that_hears_a_validator_without_help_is_left_alone_for_a_while() -> None:
    relay = Relay()
    relay.note_repeated(3, validator=0, now=100)
    assert relay.choose_targets(PEERS, 2, validator=0, now=100 + QUIET_SECONDS / 2) == [1]
    assert relay.choose_targets(PEERS, 2, validator=1, now=100 + QUIET_SECONDS / 2) == [1, 3]
    assert relay.choose_targets(PEERS, 2, validator=0, now=100 + QUIET_SECONDS) == [1, 3]
    relay.note_repeated(3, validator=0, now=200)
    relay.forget_peer(3)
    assert relay.choose_targets(PEERS, 2, validator=0, now=200) == [1, 3]


def test_old_heights_and_the_oldest_rounds_of_a_long_height_are_forgotten() -> None:
    relay = Relay()
    for round in range(MAX_SLOTS + 1):
        relay.is_new(vote(round=round))
    assert not relay.has_heard(vote(round=0))
    assert relay.has_heard(vote(round=MAX_SLOTS - KEPT_ROUNDS)) and relay.has_heard(vote(round=MAX_SLOTS))
    relay.start_height(7)
    assert not relay.has_heard(vote(round=MAX_SLOTS))


def test_two_peers_that_both_hear_a_validator_soon_leave_each_other_alone() -> None:
    """Whoever is quicker each time."""
    left, right = Relay(), Relay()
    passed = 0
    for height in range(100):
        now = 100.0 + height / 100
        said = vote(height=height)
        ends = [(left, 1), (right, 2)]  # each knows the other by the other's number
        quick, slow = ends if height % 3 else ends[::-1]
        for relay, _ in ends:
            relay.start_height(height)
            relay.is_new(said)
        for (relay, me), (other, it) in ((quick, slow), (slow, quick)):
            for _ in relay.choose_targets([it], 9, said.validator, now):
                passed += 1
                other.note_repeated(me, said.validator, now)
                if other.should_answer(me, said.validator, now):
                    passed += 1
                    relay.note_repeated(it, said.validator, now)
                    assert not relay.should_answer(it, said.validator, now), "no answer to an answer"
    assert passed <= 3


def test_a_peer_that_repeats_itself_is_not_answered_again_and_again() -> None:
    relay = Relay()
    answers = [relay.should_answer(3, 0, 100 + second / 10) for second in range(100)]
    assert sum(answers) == 2
    relay.forget_peer(3)
    assert relay.should_answer(3, 0, 100)


def test_when_a_connection_ends_everybody_is_passed_everything_again() -> None:
    """The others may have heard through that peer."""
    relay = Relay()
    relay.note_repeated(1, validator=0, now=100)
    relay.note_repeated(3, validator=0, now=100)
    assert relay.choose_targets(PEERS, 9, validator=0, now=101) == [2]
    relay.forget_peer(2)
    assert relay.choose_targets([1, 3], 9, validator=0, now=101) == [1, 3]
