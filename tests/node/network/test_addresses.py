"""The address book: kept targets for ever, hearsay in bounds."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmchain.chain.primitives.errors import DmchainError
from dmchain.chain.primitives.types import Address
from dmchain.node.network.addresses import (
    FIRST_RETRY_SECONDS,
    MAX_FAILURES,
    MAX_PER_SUBNET,
    MAX_RETRY_SECONDS,
    AddressBook,
    Target,
)
from dmchain.node.network.messages import PeerRecord
from dmchain.node.network.transport import Endpoint


def node(number: int) -> Address:
    return Address(number.to_bytes(20, "big"))


def at(number: int, port: int = 1) -> Endpoint:
    return Endpoint(f"10.{number // 250}.{number % 250}.1", port)


def record(sequence: int = 1) -> PeerRecord:
    return PeerRecord(b"\1\2\3\4", 1, sequence, bytes(65))


def book(**settings: int) -> AddressBook:
    return AddressBook(Random(1), **settings)


def test_targets_are_read_and_written() -> None:
    text = "0x" + "ab" * 20 + "@[2001:db8::1]:30303"
    assert Target.parse(text) == Target(Endpoint("2001:db8::1", 30303), Address(b"\xab" * 20))
    assert str(Target.parse(text)) == text
    assert Target.parse("seed.example.org:1") == Target(Endpoint("seed.example.org", 1))


@pytest.mark.parametrize("text", ["", "host", "host:", ":1", "host:65536", "host:-1", "ab@host:1", "0x@h:1", "h:１"])
def test_broken_targets_are_refused(text: str) -> None:
    with pytest.raises(DmchainError):
        Target.parse(text)


def test_kept_targets_are_tried_for_ever_with_growing_pauses() -> None:
    addresses, now = book(), 0.0
    addresses.keep(Target(at(1)), now)
    pauses = []
    for _ in range(30):
        (entry,) = addresses.kept_due(now)
        addresses.retry_later(at(1), now)
        pauses.append(entry.next_try - now)
        assert addresses.kept_due(now) == []
        now = entry.next_try
    assert pauses[0] <= FIRST_RETRY_SECONDS * 1.5
    assert all(pause <= MAX_RETRY_SECONDS * 1.5 for pause in pauses)
    assert pauses[-1] >= MAX_RETRY_SECONDS * 0.5
    assert len(set(pauses[-5:])) == 5  # jitter


def test_a_connection_that_lasted_makes_up_for_failures() -> None:
    addresses = book()
    addresses.keep(Target(at(1)), 0)
    for _ in range(10):
        addresses.retry_later(at(1), 0)
    addresses.settled(at(1))
    addresses.retry_later(at(1), 0)
    entry = addresses.get(at(1))
    assert entry is not None and entry.next_try <= FIRST_RETRY_SECONDS * 1.5


def test_hearsay_that_never_answers_is_forgotten() -> None:
    addresses = book()
    assert addresses.learn(node(1), at(1), record(), 0)
    for _ in range(MAX_FAILURES):
        addresses.retry_later(at(1), 0)
    assert len(addresses) == 0


def test_only_the_newest_record_of_a_node_counts() -> None:
    addresses = book()
    assert addresses.learn(node(1), at(1), record(5), 0)
    assert not addresses.learn(node(1), at(2), record(5), 0)
    assert not addresses.learn(node(1), at(2), record(4), 0)
    assert addresses.learn(node(1), at(2), record(6), 0)
    assert addresses.get(at(1)) is None and len(addresses) == 1


def test_hearsay_does_not_take_over_the_endpoint_of_another_node() -> None:
    addresses = book()
    addresses.keep(Target(at(1), node(1)), 0)
    assert not addresses.learn(node(2), at(1), record(9), 0)
    assert addresses.is_kept(node(1)) and not addresses.is_kept(node(2))


def test_one_subnet_cannot_fill_the_book() -> None:
    addresses = book()
    for number in range(100):
        addresses.learn(node(number), Endpoint("10.0.0.1", number + 1), record(), 0)
    assert len(addresses) == MAX_PER_SUBNET


def test_a_full_book_gives_up_what_nobody_has_reached() -> None:
    addresses = book(max_addresses=10)
    addresses.keep(Target(at(0)), 0)
    for number in range(1, 50):
        assert addresses.learn(node(number), at(number), record(), 0)
        if number <= 5:
            addresses.reached(at(number), node(number))
    assert len(addresses) == 10
    assert all(addresses.get(at(number)) is not None for number in range(6))


def test_only_records_of_reached_nodes_are_passed_on() -> None:
    addresses = book()
    for number in range(1, 6):
        addresses.learn(node(number), at(number), record(number), 0)
    addresses.reached(at(1), node(1))
    addresses.learn(node(6), at(6), record(6), 0, is_confirmed=True)
    assert {each.sequence for each in addresses.sample_records(64, leave_out=node(9))} == {1, 6}
    assert {each.sequence for each in addresses.sample_records(64, leave_out=node(1))} == {6}
    assert len(addresses.sample_records(1, leave_out=node(9))) == 1


def test_a_record_is_dropped_when_another_node_answers_there() -> None:
    addresses = book()
    addresses.learn(node(1), at(1), record(), 0)
    addresses.reached(at(1), node(2))
    assert addresses.sample_records(64, leave_out=node(9)) == ()


numbers = st.integers(0, 6)
steps = st.one_of(
    st.tuples(st.just("learn"), numbers, numbers, st.integers(0, 5)),
    st.tuples(st.sampled_from(["keep", "reached", "retry", "forget", "release"]), numbers, numbers, st.just(0)),
)


@settings(max_examples=200)
@given(st.lists(steps, max_size=80))
def test_the_books_counts_stay_true(actions: list[tuple[str, int, int, int]]) -> None:
    addresses = book(max_addresses=5)
    for action, number, other, sequence in actions:
        match action:
            case "learn":
                addresses.learn(node(number), at(other), record(sequence), 0)
            case "keep":
                addresses.keep(Target(at(other), node(number)), 0)
            case "reached":
                addresses.reached(at(other), node(number))
            case "retry":
                addresses.retry_later(at(other), 0)
            case "forget":
                addresses.forget(at(other))
            case "release":
                addresses.release(at(other))
        # every node can be found, at a kept endpoint if it has one
        entries = addresses._entries
        assert sum(addresses._subnets.values()) == len(entries)
        assert all(entries[endpoint].node_id == each for each, endpoint in addresses._of_node.items())
        assert {entry.node_id for entry in entries.values()} - {None} == set(addresses._of_node)
        kept = [entry for entry in entries.values() if entry.is_kept]
        assert len(entries) - len(kept) <= 7 and all(addresses.is_kept(e.node_id) for e in kept if e.node_id)
