"""After a lost journal: silent long enough, and not for ever."""

from __future__ import annotations

from itertools import combinations

from dmchain.chain.consensus.observer import ObserverPeriod, is_journal_stale
from tests.chain.consensus.bench import address, validator_set


def test_two_thirds_must_have_reported() -> None:
    period = ObserverPeriod(address(0))
    group = validator_set((1, 1, 1, 1))
    for index, height in ((1, 10), (2, 12)):
        period.report(address(index), height)
        assert period.sign_from(group) is None
    period.report(address(3), 11)
    assert period.sign_from(group) == 15


def test_own_memory_does_not_count() -> None:
    period = ObserverPeriod(address(0))
    for index in (0, 1, 2):
        period.report(address(index), 10)
    assert period.sign_from(validator_set((1, 1, 1, 1))) is None


def test_the_highest_report_of_a_validator_counts() -> None:
    period = ObserverPeriod(address(9))
    for height in (4, 9, 6):
        for index in range(4):
            period.report(address(index), height)
    assert period.sign_from(validator_set((1, 1, 1, 1))) == 12


def test_whoever_answers_the_period_ends_above_what_may_have_been_signed() -> None:
    """The worst case of the argument, in full: it had voted in h = 7 when the others knew the least they could."""
    signed_height, group = 7, validator_set((1, 1, 1, 1))
    # a quorum of precommits for height 6 existed, its own among them; one validator is faulty and says anything low
    for faulty in (1, 2, 3):
        decided = dict.fromkeys((1, 2, 3), signed_height - 2)  # precommitted 6, so decided 5
        decided[faulty] = 0
        for answering in combinations((1, 2, 3), 3):
            period = ObserverPeriod(address(0))
            for index in answering:
                period.report(address(index), decided[index])
            first = period.sign_from(group)
            assert first is not None and first > signed_height


def test_a_journal_older_than_own_signatures_is_a_copy() -> None:
    assert is_journal_stale(10, [8, 11])
    assert not is_journal_stale(11, [8, 11])
    assert not is_journal_stale(0, [])
