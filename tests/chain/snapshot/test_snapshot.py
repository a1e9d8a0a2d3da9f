"""A snapshot restored is the state it was made of, whatever its bytes say otherwise is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dmchain.chain.consensus.body import Stored
from dmchain.chain.consensus.commit import Commit
from dmchain.chain.executor import AccountEdit
from dmchain.chain.genesis import Genesis, GenesisAccount
from dmchain.chain.primitives.crypto import keccak
from dmchain.chain.primitives.types import Address
from dmchain.chain.rules import Rules
from dmchain.chain.snapshot import restore as restoring
from dmchain.chain.snapshot.create import KEPT_HEADERS, SnapshotMaker, iterate_overlaid
from dmchain.chain.snapshot.manifest import InvalidSnapshot, Manifest
from dmchain.chain.snapshot.restore import Restorer
from dmchain.chain.snapshot.stream import (
    AccountEntry,
    BodyEntry,
    CodeEntry,
    EndEntry,
    Entry,
    HeaderEntry,
    SlotEntry,
    StreamReader,
    encode_entry,
)
from dmchain.chain.store import schema
from dmchain.chain.store.history import StateUnavailable
from dmchain.chain.store.kv import KeyValue, MemoryKV
from dmchain.marketplace_vm.state import rebuild_state_root
from tests.chain.small_chain import ALLOC, CHAIN_ID, COUNTER, KEYS, open_chain
from tests.chain.snapshot.recorded import add_block, grow, make, restore

CHAIN = grow(open_chain(), 12)
STATE = (b"a", b"s", b"c", b"t", b"u")


def entries_of(store: KeyValue, prefixes: tuple[bytes, ...] = STATE) -> dict[bytes, bytes]:
    return {key: value for prefix in prefixes for key, value in store.iterate(prefix, bytes([prefix[0] + 1]))}


# -- there and back ----------------------------------------------------------------------------------------------
def test_a_restored_database_holds_the_same_state_key_for_key() -> None:
    restored = restore(CHAIN, *make(CHAIN))
    assert entries_of(restored) == entries_of(CHAIN.store)
    assert rebuild_state_root(restored) == CHAIN.head.state_root


def test_a_node_goes_on_from_it_and_gets_the_same_blocks() -> None:
    chain = grow(open_chain(), 5)
    snapshot = make(chain)
    grow(chain, 3)
    again = open_chain(restore(chain, *snapshot))
    assert again.head.number == 5
    for height in (6, 7, 8):
        block = chain.view.blocks.block(height)
        assert block is not None
        again.commit(again.execute(block), b"")
    assert again.head == chain.head
    assert entries_of(again.store) == entries_of(chain.store)


def test_headers_records_and_the_last_body_come_along() -> None:
    restored = open_chain(restore(CHAIN, *make(CHAIN)))
    before, after = CHAIN.view.blocks, restored.view.blocks
    for height in range(13):
        assert after.header(height) == before.header(height)
    for height in range(1, 13):
        raw, was = after.record(height), before.record(height)
        assert raw is not None and was is not None
        assert Stored.decode(raw).facts == Stored.decode(was).facts
        assert Stored.decode(raw).seen_commit is None
    assert after.block(12) == before.block(12)
    assert after.receipts(12) == before.receipts(12)
    assert after.block(11) is None
    last = before.block(12)
    assert last is not None
    assert after.find_transaction(last.transactions[0].hash) == (12, 0)
    assert restored.store.get(schema.META_EARLIEST) == schema.be8(12)
    assert restored.view.history.oldest() == 12


def test_the_commit_of_the_head_is_kept_when_there_is_one() -> None:
    commit = Commit(12, 3, CHAIN.head.hash, (bytes(64) + b"\1",))
    restored = open_chain(restore(CHAIN, *make(CHAIN), commit=commit))
    raw = restored.view.blocks.record(12)
    assert raw is not None
    assert Stored.decode(raw).seen_commit == commit


def test_only_the_last_headers_come_along() -> None:
    chain = open_chain()
    for _ in range(KEPT_HEADERS + 4):
        add_block(chain, [])
    restored = open_chain(restore(chain, *make(chain)))
    blocks = restored.view.blocks
    assert blocks.header(0) == chain.genesis_header
    assert blocks.block(0) is not None
    assert blocks.header(4) is None
    assert blocks.header(5) is not None
    snapshot = make(restored)
    assert snapshot[0].hash == make(chain)[0].hash, "a restored node makes the same snapshot"


def test_the_genesis_block_can_be_saved_too() -> None:
    chain = open_chain()
    restored = open_chain(restore(chain, *make(chain)))
    assert restored.head == chain.head
    assert entries_of(restored.store) == entries_of(chain.store)


def test_an_older_height_gives_what_it_gave_then() -> None:
    chain = grow(open_chain(), 4)
    then = make(chain)
    grow(chain, 5)
    assert make(chain, 4) == then


def test_a_snapshot_is_not_disturbed_by_new_blocks() -> None:
    chain = grow(open_chain(), 4)
    quiet = make(chain)
    maker = SnapshotMaker(chain.view, 4, CHAIN_ID, chain.genesis_header.hash, 1024)
    chunks = []
    for chunk in maker.chunks():
        chunks.append(chunk)
        if chain.head.number < 9:
            grow(chain, 1)
    assert (maker.manifest(), chunks) == quiet


def test_two_nodes_make_the_same_bytes_though_their_commits_differ() -> None:
    other = open_chain()
    for height in range(1, 13):
        block, raw = CHAIN.view.blocks.block(height), CHAIN.view.blocks.record(height)
        assert block is not None and raw is not None
        other.commit(other.execute(block), Stored(Stored.decode(raw).facts, None).encode())
    assert make(other) == make(CHAIN)


def test_a_height_that_is_not_kept_is_refused() -> None:
    chain = grow(open_chain(history_window=3), 8)
    with pytest.raises(StateUnavailable, match="state of block 2 is not available"):
        make(chain, 2)


def test_a_state_edited_by_hand_is_refused() -> None:
    chain = grow(open_chain(), 1)
    chain.edit_state({COUNTER: AccountEdit(balance=5)})
    with pytest.raises(InvalidSnapshot, match="edited outside any block"):
        make(chain)


STORAGES = st.dictionaries(st.integers(0, 2**256 - 1), st.integers(1, 2**256 - 1), max_size=12)
ACCOUNTS = st.dictionaries(
    st.binary(min_size=20, max_size=20).map(Address),
    st.builds(
        lambda balance, nonce, code, storage: GenesisAccount(balance, nonce, code, tuple(sorted(storage.items()))),
        st.integers(0, 2**100),
        st.integers(0, 2**40),
        st.sampled_from((b"", b"\x00", b"\x60\x01", b"\xfe" * 2000)),
        STORAGES,
    ),
    max_size=12,
)


@given(accounts=ACCOUNTS, chunk_bytes=st.integers(1024, 4000), batch=st.integers(1, 9))
@settings(deadline=None, max_examples=40)
def test_any_state_comes_back(accounts: dict[Address, GenesisAccount], chunk_bytes: int, batch: int) -> None:
    """Whatever the sizes of chunks and of batches."""
    chain = open_chain(genesis=Genesis(Rules(CHAIN_ID), {**accounts, **ALLOC}))
    manifest, chunks = make(chain, chunk_bytes=chunk_bytes)
    assert all(len(chunk) == chunk_bytes for chunk in chunks[:-1])
    before = restoring.BATCH_LEAVES, restoring.BATCH_BYTES
    restoring.BATCH_LEAVES, restoring.BATCH_BYTES = batch, batch * 100
    try:
        restored = restore(chain, manifest, chunks)
    finally:
        restoring.BATCH_LEAVES, restoring.BATCH_BYTES = before
    assert entries_of(restored) == entries_of(chain.store)


def test_an_account_with_more_slots_than_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restoring, "BATCH_LEAVES", 50)
    slots = tuple(sorted((int.from_bytes(hashlib.sha256(b"%d" % n).digest(), "big"), n + 1) for n in range(400)))
    chain = open_chain(genesis=Genesis(Rules(CHAIN_ID), {**ALLOC, COUNTER: GenesisAccount(0, 1, b"\1", slots)}))
    assert entries_of(restore(chain, *make(chain))) == entries_of(chain.store)


# -- lies --------------------------------------------------------------------------------------------------------
MANIFEST, CHUNKS = make(CHAIN, chunk_bytes=2048)


def test_a_changed_byte_is_found_by_its_chunk() -> None:
    spoiled = [*CHUNKS[:-1], bytes([CHUNKS[-1][0] ^ 1]) + CHUNKS[-1][1:]]
    with pytest.raises(InvalidSnapshot, match=rf"chunk {len(CHUNKS) - 1}: expected 0x[0-9a-f]+, got 0x"):
        restore(CHAIN, MANIFEST, spoiled)


@pytest.mark.parametrize(
    ("chunks", "reason"),
    [(CHUNKS[:-1], "stream: ends before its end entry"), ([*CHUNKS, b"x"], "got more"), (CHUNKS[1:], "chunk 0")],
)
def test_missing_and_additional_chunks_are_refused(chunks: list[bytes], reason: str) -> None:
    with pytest.raises(InvalidSnapshot, match=reason):
        restore(CHAIN, MANIFEST, chunks)


def test_another_chain_is_refused() -> None:
    with pytest.raises(InvalidSnapshot, match="chain: expected id 7"):
        restore(CHAIN, MANIFEST, CHUNKS, chain_id=7)


def remade(change: Callable[[list[Entry]], list[Entry]], **fields: object) -> tuple[Manifest, list[bytes]]:
    """The snapshot with other entries and hashes to match: what a hostile maker can do."""
    reader = StreamReader()
    entries = [entry for chunk in CHUNKS for entry in reader.feed(chunk)]
    stream = b"".join(encode_entry(entry) for entry in change(entries))
    size = MANIFEST.chunk_bytes
    chunks = [stream[at : at + size] for at in range(0, len(stream), size)]
    hashes = tuple(keccak(chunk) for chunk in chunks)
    manifest = replace(MANIFEST, stream_bytes=len(stream), chunk_hashes=hashes)
    return replace(manifest, **fields), chunks  # type: ignore[arg-type]


def index_of(entries: list[Entry], kind: type) -> int:
    return next(at for at, entry in enumerate(entries) if isinstance(entry, kind))


def without(kind: type, which: int = 0) -> Callable[[list[Entry]], list[Entry]]:
    def change(entries: list[Entry]) -> list[Entry]:
        at = [at for at, entry in enumerate(entries) if isinstance(entry, kind)][which]
        return entries[:at] + entries[at + 1 :]

    return change


def twice(kind: type) -> Callable[[list[Entry]], list[Entry]]:
    def change(entries: list[Entry]) -> list[Entry]:
        at = index_of(entries, kind)
        return [*entries[: at + 1], *entries[at:]]

    return change


def swapped(kind: type) -> Callable[[list[Entry]], list[Entry]]:
    def change(entries: list[Entry]) -> list[Entry]:
        first, second = [at for at, entry in enumerate(entries) if isinstance(entry, kind)][:2]
        result = list(entries)
        result[first], result[second] = result[second], result[first]
        return result

    return change


def richer(entries: list[Entry]) -> list[Entry]:
    """One account's balance is another."""
    result = list(entries)
    at = next(at for at, e in enumerate(entries) if isinstance(e, AccountEntry) and e.address == KEYS[0].address)
    entry = result[at]
    assert isinstance(entry, AccountEntry)
    raw = bytearray(entry.account)
    raw[8] ^= 1
    result[at] = AccountEntry(entry.address, bytes(raw))
    return result


def more_in_slot(entries: list[Entry]) -> list[Entry]:
    result = list(entries)
    at = index_of(entries, SlotEntry)
    entry = entries[at]
    assert isinstance(entry, SlotEntry)
    result[at] = SlotEntry(entry.slot, b"\x7f")
    return result


LIES = [
    (richer, "state root: the accounts give 0x"),
    (more_in_slot, "slots give the root 0x"),
    (without(SlotEntry), "slots give the root 0x"),
    (without(AccountEntry), "state root|accounts, slots"),
    (without(EndEntry), "ends before its end entry"),
    (twice(EndEntry), "bytes after the end"),
    (twice(AccountEntry), "expected ascending"),
    (twice(SlotEntry), "expected ascending"),
    (swapped(AccountEntry), "expected ascending|code|storage"),
    (swapped(SlotEntry), "expected ascending"),
    (lambda entries: [*entries[:-1], EndEntry(1, 2, 3)], "accounts, slots, codes: expected"),
]


@pytest.mark.parametrize(("change", "reason"), LIES)
def test_a_changed_state_is_refused(change: Callable[[list[Entry]], list[Entry]], reason: str) -> None:
    with pytest.raises(InvalidSnapshot, match=reason):
        restore(CHAIN, *remade(change))


def test_headers_must_hang_together_and_be_the_manifests() -> None:
    cases: list[tuple[Callable[[list[Entry]], list[Entry]], str]] = [
        (without(HeaderEntry, 3), "header 4: does not follow header 2"),
        (without(HeaderEntry, -1), "header 11: expected block 0x"),
        (without(BodyEntry), "out of order"),
        (twice(BodyEntry), "body: expected once"),
        (swapped(HeaderEntry), "does not follow"),
        (without(CodeEntry), "missing"),
        (twice(CodeEntry), "not that of account"),
        (lambda e: [CodeEntry(x.code + b"\0") if isinstance(x, CodeEntry) else x for x in e], "not that of account"),
        (lambda e: [replace(e[0], facts=b""), replace(e[1], facts=b""), *e[2:]], "record 1: missing"),  # type: ignore[type-var]
        (
            lambda e: [e[0], replace(e[1], facts=e[2].facts), *e[2:]],  # type: ignore[type-var, union-attr]
            "record 1: not the one that the header commits to",
        ),
        (
            lambda e: [replace(x, receipts=b"\xc0") if isinstance(x, BodyEntry) else x for x in e],
            "receipts_root: expected 0x|expected|zip",
        ),
        (
            lambda e: [replace(x, body=b"\xc2\xc0\xc0") if isinstance(x, BodyEntry) else x for x in e],
            "transactions_root: expected 0x",
        ),
        (lambda e: [replace(x, body=b"\xc0") if isinstance(x, BodyEntry) else x for x in e], "body: expected 2 items"),
    ]
    for change, reason in cases:
        with pytest.raises(InvalidSnapshot, match=reason):
            restore(CHAIN, *remade(change))
    with pytest.raises(InvalidSnapshot, match="header 12: expected block"):
        restore(CHAIN, *remade(lambda e: e, block_hash=b"\x13" * 32))


def test_nothing_marks_the_database_before_the_end() -> None:
    manifest, chunks = remade(richer)
    store = MemoryKV()
    restorer = Restorer(store, manifest, CHAIN_ID, CHAIN.genesis_header.hash)
    with pytest.raises(InvalidSnapshot):
        for chunk in chunks:
            restorer.feed(chunk)
        restorer.check()
    assert store.get(schema.META_HEAD) is None and store.get(schema.META_VERSION) is None


@given(at=st.integers(0, len(b"".join(CHUNKS)) - 1), byte=st.integers(0, 255), size=st.integers(1, 3000))
@example(at=11196, byte=2, size=1)  # the status of a receipt: anything but 0 counts as 1 in the receipts root
@settings(deadline=None, max_examples=60)
def test_any_changed_byte_is_refused_though_the_hashes_match(at: int, byte: int, size: int) -> None:
    """Never an exception that a damaged file should not cause."""
    stream = bytearray(b"".join(CHUNKS))
    if stream[at] == byte:
        return
    stream[at] = byte
    chunks = [bytes(stream[start : start + 2048]) for start in range(0, len(stream), 2048)]
    manifest = replace(MANIFEST, chunk_hashes=tuple(keccak(chunk) for chunk in chunks))
    with pytest.raises(InvalidSnapshot):
        restore(CHAIN, manifest, chunks)


# -- bytes -------------------------------------------------------------------------------------------------------
def test_a_manifest_comes_back() -> None:
    assert Manifest.decode(MANIFEST.encode()) == MANIFEST


@given(at=st.integers(0, len(MANIFEST.encode()) - 1), bit=st.integers(0, 7))
def test_a_damaged_manifest_is_refused(at: int, bit: int) -> None:
    raw = bytearray(MANIFEST.encode())
    raw[at] ^= 1 << bit
    with pytest.raises(InvalidSnapshot):
        Manifest.decode(bytes(raw))


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "expected to begin with"),
        (b"dmchain snapshot 2\n" + bytes(40), "expected to begin with"),
        (b"dmchain snapshot 1\n", "checksum"),
        (replace(MANIFEST, chunk_bytes=100).encode(), "chunk size"),
        (replace(MANIFEST, chunk_hashes=()).encode(), "chunk hashes: expected"),
        (replace(MANIFEST, stream_bytes=0, chunk_hashes=()).encode(), "chunk hashes: expected 0"),
    ],
)
def test_what_is_no_manifest_is_refused(raw: bytes, reason: str) -> None:
    with pytest.raises(InvalidSnapshot, match=reason):
        Manifest.decode(raw)


@given(sizes=st.lists(st.integers(1, 500), min_size=1, max_size=40))
def test_entries_come_back_whatever_the_chunks(sizes: list[int]) -> None:
    reader = StreamReader()
    wanted = [entry for chunk in CHUNKS for entry in reader.feed(chunk)]
    stream = b"".join(CHUNKS)
    again = StreamReader()
    got: list[Entry] = []
    at = turn = 0
    while at < len(stream):
        size = sizes[turn % len(sizes)]
        got += again.feed(stream[at : at + size])
        at, turn = at + size, turn + 1
    again.finish()
    assert got == wanted


def test_lengths_beyond_any_entry_are_refused_before_anything_is_kept() -> None:
    reader = StreamReader()
    with pytest.raises(InvalidSnapshot, match="code: expected at most"):
        list(reader.feed(b"C\xff\xff\xff\xff"))


@given(
    base=st.dictionaries(st.binary(max_size=3), st.binary(max_size=2)),
    over=st.dictionaries(st.binary(max_size=3), st.none() | st.binary(max_size=2)),
)
def test_an_overlay_replaces_adds_and_hides(base: dict[bytes, bytes], over: dict[bytes, bytes | None]) -> None:
    store = MemoryKV()
    store.write(list(base.items()), sync=False)
    merged = {key: value for key, value in {**base, **over}.items() if value is not None and b"\1" <= key < b"\xf0"}
    assert list(iterate_overlaid(store, over, b"\1", b"\xf0")) == sorted(merged.items())


def test_the_chain_under_test_has_what_it_should() -> None:
    """Codes that accounts share, slots, accounts without anything."""
    assert MANIFEST.slots >= 12 and MANIFEST.codes >= 2 and MANIFEST.accounts > 12
