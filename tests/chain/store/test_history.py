"""States of the past equal what they were, by undo records and by the archive."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmchain.chain.store import schema
from dmchain.chain.store.blocks import decode_undo, encode_undo
from dmchain.chain.store.history import (
    MAX_OVERLAYS,
    OverlayReader,
    StateHistory,
    StateUnavailable,
    archive_writes,
    unarchive_writes,
)
from dmchain.chain.store.kv import MemoryKV

ADDRESSES = [b"\x01" * 20, b"\x02" * 20]
KEYS = [schema.account_key(address) for address in ADDRESSES]
KEYS += [schema.storage_key(address, slot) for address in ADDRESSES for slot in (0, 1, 2**256 - 1)]
State = dict[bytes, bytes]
block = st.dictionaries(st.sampled_from(KEYS), st.none() | st.sampled_from([b"", b"\x01", b"\x02value"]), max_size=5)


class Chain:
    """Applies blocks of flat writes as Blockchain.commit does, and remembers each state."""

    def __init__(self, *, window: int = 1000, archive_from: int | None = None) -> None:
        self.store = MemoryKV()
        self.window = window
        self.archive_from = archive_from
        self.states: list[State] = [{}]

    def add(self, changes: dict[bytes, bytes | None]) -> None:
        height = len(self.states)
        state = dict(self.states[-1])
        undo = {key: state.get(key) for key, value in changes.items() if state.get(key) != value}
        writes: list[tuple[bytes, bytes | None]] = []
        for key in undo:
            value = changes[key]
            writes.append((key, value))
            if value is None:
                del state[key]
            else:
                state[key] = value
        writes.append((schema.undo_key(height), encode_undo(undo)))
        if self.archive_from is not None and height > self.archive_from:
            writes += archive_writes(undo, height)
            writes.append((schema.META_ARCHIVE, schema.be8(self.archive_from)))
        if height > self.window:
            writes.append((schema.undo_key(height - self.window), None))
        self.store.write(writes, sync=False)
        self.states.append(state)

    def history(self) -> StateHistory:
        return StateHistory(self.store, len(self.states) - 1)


def read_all(reader: Any) -> State:
    return {key: reader.get(key) for key in KEYS if reader.get(key) is not None}


def iterate_all(reader: Any, *, reverse: bool = False) -> list[tuple[bytes, bytes]]:
    parts = [list(reader.iterate(prefix, bytes([prefix[0] + 1]), reverse=reverse)) for prefix in (b"a", b"s")]
    return [entry for part in (reversed(parts) if reverse else parts) for entry in part]


@given(blocks=st.lists(block, max_size=12), archive_from=st.none() | st.integers(0, 6))
@settings(max_examples=150, deadline=None)
def test_every_height_reads_as_it_was(blocks: list[dict[bytes, bytes | None]], archive_from: int | None) -> None:
    chain = Chain(archive_from=archive_from)
    for changes in blocks:
        chain.add(changes)
    history = chain.history()
    for height, state in enumerate(chain.states):
        reader = history.at(height)
        assert read_all(reader) == state
        assert iterate_all(reader) == sorted(state.items())
        assert iterate_all(reader, reverse=True) == sorted(state.items(), reverse=True)
        changed = history.differences_of(reader, height)
        assert {key for key in KEYS if state.get(key) != chain.states[-1].get(key)} <= set(changed)
        assert all(value == state.get(key) for key, value in changed.items())


@given(blocks=st.lists(block, min_size=1, max_size=12), window=st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_a_window_forgets_what_is_older(blocks: list[dict[bytes, bytes | None]], window: int) -> None:
    chain = Chain(window=window)
    for changes in blocks:
        chain.add(changes)
    history = chain.history()
    head = len(chain.states) - 1
    assert history.oldest() == max(0, head - window)
    for height, state in enumerate(chain.states):
        if height >= history.oldest():
            assert read_all(history.at(height)) == state
        else:
            with pytest.raises(StateUnavailable, match=f"oldest kept is {history.oldest()}"):
                history.at(height)


@given(blocks=st.lists(block, min_size=2, max_size=8), archived=st.booleans())
@settings(max_examples=60, deadline=None)
def test_undoing_the_last_block_gives_the_state_before_it(
    blocks: list[dict[bytes, bytes | None]], archived: bool
) -> None:
    chain = Chain(archive_from=0 if archived else None)
    for changes in blocks:
        chain.add(changes)
    height = len(chain.states) - 1
    undo = decode_undo(chain.store.get(schema.undo_key(height)) or b"")
    chain.store.write([*undo.items(), (schema.undo_key(height), None), *unarchive_writes(undo, height)], sync=False)
    chain.states.pop()
    assert read_all(chain.store) == chain.states[-1]
    for at, state in enumerate(chain.states):
        assert read_all(chain.history().at(at)) == state


def test_the_future_and_negative_heights_are_refused() -> None:
    history = Chain().history()
    for height in (-1, 1, 2**64):
        with pytest.raises(StateUnavailable, match="the head is 0"):
            history.at(height)
    assert StateUnavailable.hint is not None


def test_an_archive_knows_nothing_from_before_it_was_one() -> None:
    chain = Chain(window=2, archive_from=4)
    for number in range(10):
        chain.add({KEYS[0]: bytes([number + 1])})
    history = chain.history()
    assert history.oldest() == 4
    assert read_all(history.at(4)) == chain.states[4]
    with pytest.raises(StateUnavailable):
        history.at(3)


def test_overlays_are_kept_for_the_next_reader_but_not_without_end() -> None:
    chain = Chain()
    for number in range(40):
        chain.add({KEYS[0]: bytes([number + 1])})
    history = chain.history()
    assert history.differences(3) is history.differences(3)
    for height in range(40):
        history.differences(height)
    assert len(history._overlays) == MAX_OVERLAYS


def test_an_overlay_hides_and_replaces() -> None:
    base = MemoryKV()
    base.write([(b"a1", b"x"), (b"a2", b"y")], sync=False)
    overlay = OverlayReader(base, {b"a1": None, b"a3": b"z"})
    assert [overlay.get(key) for key in (b"a1", b"a2", b"a3", b"a4")] == [None, b"y", b"z", None]
    assert list(overlay.iterate(b"a", b"b", reverse=True)) == [(b"a3", b"z"), (b"a2", b"y")]


@given(st.dictionaries(st.binary(max_size=60), st.none() | st.binary(max_size=100)))
def test_undo_records_are_read_as_they_were_written(undo: dict[bytes, bytes | None]) -> None:
    assert decode_undo(encode_undo(undo)) == undo
