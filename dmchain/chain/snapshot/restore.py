"""Filling an empty database from a snapshot, and believing nothing of it that does not give the header's roots.

The trie is built anew, batch by batch, from the accounts and slots; its nodes are written as each batch is done. Nothing
marks the database as usable before `finish` has compared the state root with the header's.
"""

from __future__ import annotations

from collections.abc import Sequence

from dmchain.chain.consensus.body import Facts, Stored
from dmchain.chain.consensus.commit import Commit
from dmchain.chain.primitives.block import Block, Header, Receipt
from dmchain.chain.primitives.codec import decode, encode, encode_int, split_fields, to_list
from dmchain.chain.primitives.crypto import EMPTY_CODE_HASH, keccak
from dmchain.chain.primitives.errors import DmchainError
from dmchain.chain.primitives.types import Hash32
from dmchain.chain.snapshot.create import KEPT_HEADERS
from dmchain.chain.snapshot.manifest import InvalidSnapshot, Manifest
from dmchain.chain.snapshot.stream import (
    AccountEntry,
    BodyEntry,
    CodeEntry,
    EndEntry,
    Entry,
    HeaderEntry,
    SlotEntry,
    StreamReader,
)
from dmchain.chain.store import schema
from dmchain.chain.store.blocks import BlockReader, block_writes
from dmchain.chain.store.kv import KeyValue, MemoryKV, Write
from dmchain.chain.trie import EMPTY_ROOT, BatchTrie, NodeCache, ordered_root

BATCH_LEAVES = 16_384
"""Put into a trie at once: enough that its upper nodes are hashed rarely, few enough to fit in 100 MB."""
BATCH_BYTES = 16 * 1024 * 1024
"""Of flat keys and code, written at once."""
_CACHED_NODES = 8_192


class _Nodes:
    """The nodes of one trie in the store."""

    def __init__(self, store: KeyValue, prefix: bytes) -> None:
        self._store = store
        self._prefix = prefix

    def get(self, path: bytes, /) -> bytes | None:
        return self._store.get(self._prefix + path)


class _GrowingTrie:
    """A trie that is built from leaves in any order, a batch at a time."""

    def __init__(self, store: KeyValue, prefix: bytes, cache: NodeCache) -> None:
        self._store = store
        self._prefix = prefix
        self._cache = cache
        self._leaves: dict[bytes, bytes] = {}
        self._root = EMPTY_ROOT

    def add(self, key: bytes, value: bytes) -> None:
        self._leaves[keccak(key)] = value
        if len(self._leaves) >= BATCH_LEAVES:
            self.flush()

    def flush(self) -> Hash32:
        """Write what is waiting; return the root."""
        trie = BatchTrie(_Nodes(self._store, self._prefix), self._root, self._cache)
        self._root = trie.update(self._leaves)
        self._leaves = {}
        self._store.write([(self._prefix + path, node) for path, node in trie.changes.items()], sync=False)
        return self._root


class Restorer:
    """Takes chunks in order into `store`, which must be empty; `finish` makes it a database.

    After an exception the store is worth nothing: delete it.
    """

    def __init__(self, store: KeyValue, manifest: Manifest, chain_id: int, genesis_hash: Hash32) -> None:
        """Raises InvalidSnapshot when it is of another chain than that of `chain_id` and `genesis_hash`."""
        if (manifest.chain_id, manifest.genesis_hash) != (chain_id, genesis_hash):
            raise InvalidSnapshot(
                f"chain: expected id {chain_id} and genesis 0x{genesis_hash.hex()}, the snapshot is of id"
                f" {manifest.chain_id} and genesis 0x{manifest.genesis_hash.hex()}",
                hint="it is of another chain, or genesis.json is",
            )
        self.manifest = manifest
        self.accounts = self.slots = self.codes = 0
        self._store = store
        self._reader = StreamReader()
        self._chunk = 0
        self._cache = NodeCache(_CACHED_NODES)
        self._state = _GrowingTrie(store, b"t", self._cache)
        self._head: Header | None = None
        self._head_record = b""
        self._first_header = 0
        self._has_body = False
        self._address = b""
        self._account: list[bytes] = []
        self._storage: _GrowingTrie | None = None
        self._last_slot = b""
        self._has_code = False
        self._end: EndEntry | None = None
        self._writes: list[Write] = []
        self._write_bytes = 0
        self._fresh_codes: set[bytes] = set()
        """Codes among `_writes`, which the store does not have yet."""

    def feed(self, chunk: bytes) -> None:
        """Take the next chunk. Raises InvalidSnapshot."""
        if self._chunk >= len(self.manifest.chunk_hashes):
            raise InvalidSnapshot(f"expected {len(self.manifest.chunk_hashes)} chunks, got more")
        self.manifest.check_chunk(self._chunk, chunk)
        self._chunk += 1
        for entry in self._reader.feed(chunk):
            try:
                self._take(entry)
            except InvalidSnapshot:
                raise
            except DmchainError as error:
                raise InvalidSnapshot(f"chunk {self._chunk - 1}: {error}") from error

    def check(self) -> Header:
        """All chunks are in: compare state root and counts, and return the header they give. Raises InvalidSnapshot."""
        self._reader.finish()
        header = self._head
        if header is None or self._end is None or self._chunk != len(self.manifest.chunk_hashes):
            raise InvalidSnapshot(f"expected {len(self.manifest.chunk_hashes)} chunks, got {self._chunk}")
        self._close_account()
        root = self._state.flush()
        if root != header.state_root:
            expected_root = header.state_root.hex()
            raise InvalidSnapshot(f"state root: the accounts give 0x{root.hex()}, the header has 0x{expected_root}")
        counts = (self.accounts, self.slots, self.codes)
        for counted in (self._end, self.manifest):
            expected = (counted.accounts, counted.slots, counted.codes)
            if counts != expected:
                raise InvalidSnapshot(f"accounts, slots, codes: expected {expected}, got {counts}")
        self._flush()
        return header

    def finish(self, genesis: Header, commit: Commit | None = None) -> None:
        """Make the database usable, after `check`. `commit`: of the snapshot's block, verified, to go on from.

        The caller sees to it that the files reach the disk.
        """
        header = self._head
        assert header is not None and genesis.hash == self.manifest.genesis_hash
        if commit is not None:
            facts = Stored.decode(self._head_record).facts
            self._put(schema.record_key(header.number), Stored(facts, commit).encode())
        self._put_block(Block(genesis, (), ()), (), b"")  # of a young chain the header is there, and no body
        self._flush()
        self._store.write(
            [
                (schema.META_EARLIEST, schema.be8(header.number)),
                (schema.META_VERSION, schema.SCHEMA_VERSION.to_bytes(4, "big")),
                (schema.META_GENESIS, genesis.hash),
                (schema.META_HEAD, schema.be8(header.number)),
            ],
            sync=True,
        )

    # -- entries -------------------------------------------------------------------------------------------------
    def _take(self, entry: Entry) -> None:
        if isinstance(entry, SlotEntry):
            self._take_slot(entry)
        elif isinstance(entry, AccountEntry):
            self._take_account(entry)
        elif isinstance(entry, CodeEntry):
            self._take_code(entry)
        elif isinstance(entry, HeaderEntry):
            self._take_header(entry)
        elif isinstance(entry, BodyEntry):
            self._take_body(entry)
        else:
            if not self._has_body:
                raise InvalidSnapshot("end: before the body")
            self._end = entry

    def _take_header(self, entry: HeaderEntry) -> None:
        header = Header.decode(entry.header)
        if self._has_body:
            raise InvalidSnapshot(f"header {header.number}: after the body")
        before = self._head
        if before is None:
            self._first_header = header.number
        elif (header.number, header.parent_hash) != (before.number + 1, before.hash):
            raise InvalidSnapshot(f"header {header.number}: does not follow header {before.number}")
        if not self.manifest.height - KEPT_HEADERS < header.number <= self.manifest.height:
            raise InvalidSnapshot(
                f"header {header.number}: not one of the last {KEPT_HEADERS} of {self.manifest.height}"
            )
        record = b""
        if entry.facts:
            facts = Facts.decode(entry.facts)
            if facts.record.root() != header.parent_beacon_block_root:
                raise InvalidSnapshot(f"record {header.number}: not the one that the header commits to")
            record = Stored(facts).encode()
        elif header.number:
            raise InvalidSnapshot(f"record {header.number}: missing")
        self._head, self._head_record = header, record
        self._put(schema.header_key(header.number), entry.header)
        self._put(schema.record_key(header.number), record)
        self._put(schema.number_key(header.hash), schema.be8(header.number))

    def _take_body(self, entry: BodyEntry) -> None:
        header = self._head
        if header is None or self._has_body:
            raise InvalidSnapshot("body: expected once, after the headers")
        expected = (self.manifest.height, self.manifest.block_hash, self.manifest.state_root)
        if (header.number, header.hash, header.state_root) != expected:
            raise InvalidSnapshot(
                f"header {header.number}: expected block 0x{self.manifest.block_hash.hex()} of height"
                f" {self.manifest.height}, got 0x{header.hash.hex()}"
            )
        block, receipts = _decode_body(header, entry)
        self._put_block(block, receipts, self._head_record)
        self._has_body = True

    def _take_account(self, entry: AccountEntry) -> None:
        if not self._has_body or self._end is not None:
            raise InvalidSnapshot(f"account 0x{entry.address.hex()}: out of order")
        if entry.address <= self._address:
            raise InvalidSnapshot(f"account 0x{entry.address.hex()}: after 0x{self._address.hex()}, expected ascending")
        self._close_account()
        fields, lists = split_fields(entry.account)
        if len(fields) != 4 or lists or encode(fields) != entry.account or [len(f) for f in fields[2:]] != [32, 32]:
            raise InvalidSnapshot(f"account 0x{entry.address.hex()}: not [nonce, balance, storage root, code hash]")
        self._address, self._account = entry.address, fields
        self._has_code = False
        self._last_slot = b""
        self._storage = None
        self.accounts += 1
        self._put(schema.account_key(entry.address), entry.account)
        self._state.add(entry.address, entry.account)

    def _close_account(self) -> None:
        """The account's code must be here by now, and its slots must give its storage root."""
        if not self._account:
            return
        _, _, storage_root, code_hash = self._account
        if code_hash != EMPTY_CODE_HASH and not self._has_code:
            is_known = code_hash in self._fresh_codes or self._store.get(schema.code_key(code_hash)) is not None
            if not is_known:
                raise InvalidSnapshot(f"code 0x{code_hash.hex()} of 0x{self._address.hex()}: missing")
        root = EMPTY_ROOT if self._storage is None else self._storage.flush()
        if root != storage_root:
            raise InvalidSnapshot(
                f"storage of 0x{self._address.hex()}: slots give the root 0x{root.hex()}, the account has"
                f" 0x{storage_root.hex()}"
            )

    def _take_code(self, entry: CodeEntry) -> None:
        digest = keccak(entry.code)
        if not self._account or self._has_code or self._last_slot or digest != self._account[3]:
            raise InvalidSnapshot(f"code 0x{digest.hex()}: not that of account 0x{self._address.hex()}")
        self._has_code = True
        self.codes += 1
        self._fresh_codes.add(digest)
        self._put(schema.code_key(digest), entry.code)

    def _take_slot(self, entry: SlotEntry) -> None:
        if not self._account or self._end is not None:
            raise InvalidSnapshot("slot: before any account")
        if entry.slot <= self._last_slot:
            raise InvalidSnapshot(f"slot 0x{entry.slot.hex()} of 0x{self._address.hex()}: expected ascending")
        if entry.value[0] == 0:
            raise InvalidSnapshot(f"slot 0x{entry.slot.hex()} of 0x{self._address.hex()}: value with a leading zero")
        if self._storage is None:
            self._storage = _GrowingTrie(self._store, b"u" + self._address, self._cache)
        self._last_slot = entry.slot
        self.slots += 1
        self._put(b"s" + self._address + entry.slot, entry.value)
        self._storage.add(entry.slot, encode_int(int.from_bytes(entry.value, "big")))

    def _put_block(self, block: Block, receipts: Sequence[Receipt], record: bytes) -> None:
        for key, value in block_writes(block, receipts, record):
            if key != schema.META_HEAD and value is not None:
                self._put(key, value)

    # -- writing -------------------------------------------------------------------------------------------------
    def _put(self, key: bytes, value: bytes) -> None:
        self._writes.append((key, value))
        self._write_bytes += len(key) + len(value)
        if self._write_bytes >= BATCH_BYTES:
            self._flush()

    def _flush(self) -> None:
        self._store.write(self._writes, sync=False)
        self._writes = []
        self._write_bytes = 0
        self._fresh_codes.clear()


def _decode_body(header: Header, entry: BodyEntry) -> tuple[Block, tuple[Receipt, ...]]:
    """Decode what a database would keep, and compare its roots with the header's."""
    to_list(decode(entry.body), "body", 2)
    kept = MemoryKV()
    number = header.number
    kept.write(
        [
            (schema.header_key(number), header.encode()),
            (schema.body_key(number), entry.body),
            (schema.receipts_key(number), entry.receipts),
        ],
        sync=False,
    )
    reader = BlockReader(kept)
    block, receipts = reader.block(number), reader.receipts(number)
    assert block is not None and receipts is not None
    roots = (
        ("transactions_root", ordered_root([tx.raw for tx in block.transactions]), header.transactions_root),
        ("receipts_root", ordered_root([receipt.encode() for receipt in receipts]), header.receipts_root),
        (
            "withdrawals_root",
            ordered_root([item.encode() for item in block.withdrawals or ()]),
            header.withdrawals_root,
        ),
    )
    for name, got, expected in roots:
        if got != expected:
            raise InvalidSnapshot(
                f"body of block {number}: {name}: expected 0x{(expected or b'').hex()}, got 0x{got.hex()}"
            )
    return block, receipts
