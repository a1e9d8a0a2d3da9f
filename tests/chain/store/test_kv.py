"""LevelDB and its twin in memory do the same."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmchain.chain.store.kv import KeyValue, MemoryKV, prefix_end
from dmchain.chain.store.leveldb import LevelKV

keys = st.binary(min_size=1, max_size=3)
writes = st.lists(st.tuples(keys, st.none() | st.binary(max_size=3)), max_size=8)


@pytest.fixture(params=["memory", "leveldb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[KeyValue]:
    made: KeyValue = MemoryKV() if request.param == "memory" else LevelKV(tmp_path / "db")
    yield made
    made.close()


@given(
    batches=st.lists(writes, max_size=6),
    ranges=st.lists(st.tuples(keys, keys, st.booleans()), min_size=1, max_size=4),
    frozen_after=st.integers(0, 5),
)
@settings(max_examples=40, deadline=None)
def test_memory_and_leveldb_agree(
    batches: list[list[tuple[bytes, bytes | None]]], ranges: list[tuple[bytes, bytes, bool]], frozen_after: int
) -> None:
    directory = Path(tempfile.mkdtemp())
    stores: list[KeyValue] = [MemoryKV(), LevelKV(directory / "db")]
    try:
        snapshots = [each.snapshot() for each in stores]
        for index, batch in enumerate(batches):
            if index == frozen_after:
                snapshots = [each.snapshot() for each in stores]
            for each in stores:
                each.write(batch, sync=False)
        readers = [(*stores, "now"), (*snapshots, "then")]
        for memory, level, when in readers:
            for start, stop, reverse in [(b"\0", b"\xff\xff\xff\xff", False), *ranges]:
                found = list(memory.iterate(start, stop, reverse=reverse))
                assert found == list(level.iterate(start, stop, reverse=reverse)), when
                for key, value in found:
                    assert memory.get(key) == level.get(key) == value
            assert memory.get(b"none") == level.get(b"none") is None
    finally:
        for each in stores:
            each.close()
        shutil.rmtree(directory)


def test_the_last_write_of_a_batch_wins(store: KeyValue) -> None:
    store.write([(b"a", b"1"), (b"a", None), (b"b", None), (b"b", b"2"), (b"c", b"")], sync=True)
    assert list(store.iterate(b"a", b"z")) == [(b"b", b"2"), (b"c", b"")]


def test_snapshots_do_not_see_later_writes(store: KeyValue) -> None:
    store.write([(b"a", b"1")], sync=False)
    snapshot = store.snapshot()
    store.write([(b"a", b"2"), (b"b", b"3")], sync=False)
    assert snapshot.get(b"a") == b"1"
    assert list(snapshot.iterate(b"a", b"z")) == [(b"a", b"1")]
    snapshot.close()


def test_an_iteration_may_go_on_while_the_store_changes(store: KeyValue) -> None:
    store.write([(bytes([n]), b"x") for n in range(1, 10)], sync=False)
    seen = []
    for key, _ in store.snapshot().iterate(b"\0", b"\xff"):
        store.write([(key, None)], sync=False)
        seen.append(key)
    assert seen == [bytes([n]) for n in range(1, 10)]


@given(st.binary(min_size=1, max_size=4).filter(lambda prefix: set(prefix) != {255}), st.binary(max_size=4))
def test_prefix_end_is_just_behind_all_keys_with_the_prefix(prefix: bytes, rest: bytes) -> None:
    assert prefix + rest < prefix_end(prefix)
    assert not prefix_end(prefix).startswith(prefix)
