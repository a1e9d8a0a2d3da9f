"""The simulated journal comes back from a crash with the record before or the one being written, through real bytes."""

from __future__ import annotations

import random

from dmchain.node.sim.journal import FaultyJournal, MemJournal
from tests.chain.consensus.bench import Bench


def test_a_crash_leaves_the_record_before_or_the_new_one() -> None:
    bench = Bench(0)
    bench.built("A", 0)
    bench.prevotes("A", 0, 1, 2)
    before, new = bench.records[0], bench.records[-1]
    outcomes = []
    for seed in range(60):
        journal = FaultyJournal(random.Random(seed))
        journal.append(before)
        journal.crash_during(new)
        outcomes.append(journal.record == new)
        assert journal.record in (before, new)
    assert 0 < sum(outcomes) < len(outcomes)


def test_a_crash_in_the_first_append_leaves_it_or_nothing() -> None:
    bench = Bench(0)
    bench.built("A", 0)
    found = set()
    for seed in range(40):
        journal = FaultyJournal(random.Random(seed))
        journal.crash_during(bench.records[0])
        found.add(journal.record is None)
    assert found == {True, False}


def test_a_lost_disk_remembers_nothing() -> None:
    bench = Bench(0)
    bench.built("A", 0)
    journal = MemJournal()
    journal.append(bench.records[0])
    journal.lose()
    assert (journal.record, journal.appends) == (None, 1)
