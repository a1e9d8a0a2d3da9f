"""Whom to ask, and what claims are worth."""

from __future__ import annotations

from dmchain.chain.consensus.validators import Validator, ValidatorSet
from dmchain.chain.primitives.types import Address
from dmchain.chain.sync.peers import PeerTable

NAMES = [Address(bytes([number]) * 20) for number in range(1, 6)]
HEAVY = ValidatorSet(tuple(Validator(name, power) for name, power in zip(NAMES, (25, 5, 5, 5, 1), strict=True)))
"""A third and more takes 14."""


def table(*claims: tuple[int, int | None]) -> PeerTable:
    """Peers 0, 1, ... with (height, number of the validator)."""
    made = PeerTable(4)
    for peer, (height, validator) in enumerate(claims):
        made.update(peer, height, 1, None if validator is None else NAMES[validator])
    return made


def test_a_third_of_the_power_says_where_the_chain_is() -> None:
    peers = table((10, 0), (99, 1), (5, 2))
    assert peers.height_not_passed(HEAVY) == 10
    assert peers.height_reached(HEAVY) == 10


def test_less_says_nothing() -> None:
    assert table((10, 1), (20, 2)).height_not_passed(HEAVY) is None
    assert table((10, None), (20, None)).height_reached(HEAVY) is None


def test_the_highest_claim_of_a_validator_counts_whatever_the_order_of_its_links() -> None:
    assert table((40, 0), (0, 0)).height_not_passed(HEAVY) == 40
    assert table((0, 0), (40, 0)).height_not_passed(HEAVY) == 40


def test_the_likely_fastest_is_asked_and_nobody_beyond_the_limit() -> None:
    peers = table((9, None), (9, None), (3, None))
    slow = peers.get(0)
    assert slow is not None
    slow.note_delivery(10, 1_000)
    fast = peers.choose(5, 0)
    assert fast is not None and fast.peer == 1
    fast.in_flight = 1
    assert peers.choose(5, 0) is slow  # one request at a time of who has never delivered
    fast.note_delivery(10, 100)
    fast.in_flight = 0
    for _ in range(8):
        state = peers.choose(5, 0)
        assert state is not None
        state.in_flight += 1
    assert peers.choose(5, 0) is None
    assert peers.choose(4, 0, besides=[0, 1]) is None


def test_the_faulty_are_not_taken_back_while_connected() -> None:
    peers = table((9, 0))
    peers.condemn(0)
    peers.update(0, 9, 1, NAMES[0])
    assert peers.choose(5, 0) is None and len(peers) == 0
    peers.remove(0)
    peers.update(0, 9, 1, NAMES[0])
    assert peers.choose(5, 0) is not None


def test_a_resting_peer_is_not_asked_and_its_claim_does_not_count_as_active() -> None:
    peers = table((9, None))
    state = peers.get(0)
    assert state is not None
    state.resting_until = 100
    assert peers.choose(5, 99) is None and peers.active(99) == []
    assert peers.choose(5, 100) is not None and peers.active(100) == [state]
