"""Writes that are gathered: read at once, written together, lost together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dmchain.chain.store.gathered import MAX_ENTRIES, GatheringKV
from dmchain.chain.store.kv import MemoryKV

keys = st.binary(min_size=1, max_size=2)
batches = st.lists(st.tuples(keys, st.none() | st.binary(max_size=3)), max_size=8)


class CountingKV(MemoryKV):
    """Remembers how it was written to."""

    writes: list[tuple[int, bool]]

    def write(self, batch, *, sync):  # type: ignore[no-untyped-def]
        self.__dict__.setdefault("writes", []).append((len(batch), sync))
        super().write(batch, sync=sync)


@given(st.lists(st.tuples(batches, st.sampled_from(("write", "gather", "flush", "go on", "snapshot")))), keys, keys)
def test_reads_are_those_of_a_store_that_writes_at_once(
    steps: list[tuple[list[tuple[bytes, bytes | None]], str]], start: bytes, stop: bytes
) -> None:
    plain, store = MemoryKV(), GatheringKV(MemoryKV())
    views = []
    for batch, action in steps:
        if action == "gather":
            store.gather()
        elif action == "flush":
            store.flush()
        elif action == "go on":
            store.flush(goes_on=True)
        elif action == "snapshot":
            views.append((plain.snapshot(), store.snapshot()))
        plain.write(batch, sync=True)
        store.write(batch, sync=True)
    views.append((plain, store))
    for expected, got in views:
        for key in {start, stop, *[key for batch, _ in steps for key, _ in batch]}:
            assert got.get(key) == expected.get(key)
        for low, high in ((start, stop), (b"", b"\xff\xff")):
            for reverse in (False, True):
                assert list(got.iterate(low, high, reverse=reverse)) == list(
                    expected.iterate(low, high, reverse=reverse)
                )
    store.flush()
    assert list(store.base.iterate(b"", b"\xff" * 3)) == list(plain.iterate(b"", b"\xff" * 3))


def test_what_is_gathered_is_one_synced_batch() -> None:
    base = CountingKV()
    store = GatheringKV(base)
    store.write([(b"a", b"1")], sync=True)
    store.gather()
    store.write([(b"a", b"2"), (b"b", b"1")], sync=True)
    store.write([(b"b", None), (b"c", b"3")], sync=True)
    assert base.writes == [(1, True)] and store.batches == 2
    assert base.get(b"a") == b"1" and store.get(b"a") == b"2"
    store.flush(goes_on=True)
    assert base.writes == [(1, True), (3, True)] and store.batches == 0
    store.write([(b"d", b"4")], sync=True)
    assert base.get(b"d") is None
    store.close()
    assert base.get(b"d") == b"4"


def test_it_says_when_it_is_full() -> None:
    store = GatheringKV(MemoryKV())
    store.gather()
    store.write([(number.to_bytes(4, "big"), b"") for number in range(MAX_ENTRIES)], sync=True)
    assert store.is_full
    store.flush(goes_on=True)
    assert not store.is_full


def test_a_view_keeps_what_was_gathered_when_it_was_taken() -> None:
    store = GatheringKV(MemoryKV())
    store.gather()
    store.write([(b"a", b"1")], sync=True)
    view = store.snapshot()
    store.write([(b"a", b"2")], sync=True)
    store.flush()
    store.write([(b"a", b"3")], sync=True)
    assert view.get(b"a") == b"1"
    assert list(view.iterate(b"a", b"b")) == [(b"a", b"1")]
