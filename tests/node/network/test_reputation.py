"""Scores decay, bans end, each is longer than the last, and nothing grows without bound."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmchain.node.network.errors import BAN_SCORE
from dmchain.node.network.reputation import MAX_BAN_SECONDS, REPUTATION_DECAY, Reputation, host_subject
from dmchain.node.network.transport import Endpoint


def test_points_add_up_to_a_ban_that_ends() -> None:
    reputation = Reputation(ban_seconds=600)
    assert not reputation.charge("node:a", 50, 0)
    assert reputation.charge("node:a", 50, 0)
    assert reputation.is_banned("node:a", 599) and not reputation.is_banned("node:a", 600)
    assert not reputation.is_banned("node:b", 0)


def test_points_decay_so_that_accidents_do_not_add_up() -> None:
    reputation = Reputation()
    for hour in range(50):
        assert not reputation.charge("node:a", 50, hour * 3600)
    assert reputation.score("node:a", 49 * 3600) == 50


def test_each_ban_is_twice_as_long_up_to_a_day() -> None:
    reputation, now, lengths = Reputation(ban_seconds=600), 0.0, []
    for _ in range(12):
        reputation.charge("node:a", BAN_SCORE, now)
        lengths.append(reputation.bans(now)["node:a"])
        now += lengths[-1]
    assert lengths[:4] == [600, 1200, 2400, 4800]
    assert lengths[-1] == MAX_BAN_SECONDS


def test_a_ban_can_be_kept_short() -> None:
    reputation = Reputation()
    assert reputation.charge("node:a", BAN_SCORE, 0, longest_ban=60)
    assert not reputation.is_banned("node:a", 60)


def test_no_points_leave_no_trace() -> None:
    reputation = Reputation()
    assert not reputation.charge("node:a", 0, 0)
    assert reputation.dump(0) == []


def test_the_longest_unheard_of_is_forgotten_first() -> None:
    reputation = Reputation(max_subjects=10)
    for number in range(10):
        reputation.charge(str(number), 10, 0)
    reputation.charge("0", 10, 1)
    for number in range(10, 15):
        reputation.charge(str(number), 10, 2)
    assert [row[0] for row in reputation.dump(2)] == ["6", "7", "8", "9", "0", "10", "11", "12", "13", "14"]


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 120), st.floats(0, 1000)), max_size=20),
    st.floats(0, 10_000),
)
def test_what_is_dumped_can_be_loaded_at_any_time(offences: list[tuple[str, float, float]], start: float) -> None:
    reputation, now = Reputation(), 0.0
    for subject, score, wait in offences:
        now += wait
        reputation.charge(subject, score, now)
    again = Reputation()
    again.load(reputation.dump(now), start)
    for subject in "abc":
        assert again.score(subject, start) == pytest.approx(reputation.score(subject, now), abs=1e-6)
        assert again.bans(start).get(subject, 0) == pytest.approx(reputation.bans(now).get(subject, 0), abs=1e-6)


@pytest.mark.parametrize("rows", [[["a"]], [["a", "x", 0, 0]], [None], [["a", 1, [], 1]]])
def test_broken_rows_are_refused(rows: list[list[object]]) -> None:
    with pytest.raises((ValueError, TypeError)):
        Reputation().load(rows, 0)


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("1.2.3.4", "1.2.3.4", True),
        ("1.2.3.4", "1.2.3.5", False),
        ("1.2.3.4", "::ffff:1.2.3.4", True),
        ("2001:db8::1", "2001:db8::ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("example.org", "example.com", False),
    ],
)
def test_what_counts_as_one_host(one: str, other: str, is_same: bool) -> None:
    assert (host_subject(Endpoint(one, 1)) == host_subject(Endpoint(other, 2))) == is_same


def test_a_full_bans_worth_is_forgotten_in_ten_minutes() -> None:
    assert BAN_SCORE / REPUTATION_DECAY == 600
