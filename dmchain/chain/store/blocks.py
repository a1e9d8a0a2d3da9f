"""Blocks, receipts, and the indexes that find them, on a key-value store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dmchain.chain.primitives.block import Block, Header, Receipt, Withdrawal
from dmchain.chain.primitives.codec import (
    RlpItem,
    decode,
    encode,
    encode_bytes,
    encode_list,
    split_list,
    to_blob,
    to_int,
    to_list,
)
from dmchain.chain.primitives.crypto import keccak
from dmchain.chain.primitives.errors import StorageError
from dmchain.chain.primitives.transaction import Transaction
from dmchain.chain.primitives.types import Hash32
from dmchain.chain.store import schema
from dmchain.chain.store.kv import Reader, Write
from dmchain.chain.store.recent import RecentBlock, RecentBlocks

_LIST = 0xC0
"""The first byte of an RLP list, and so of a legacy transaction."""
KIND_ADDRESS = b"a"
KIND_TOPIC = b"t"
ENTRY_BYTES = 8
"""Of the hash of an address or topic in the log index: a collision costs one needless look at a block."""


@dataclass(frozen=True, slots=True)
class Body:
    """The transactions, still encoded, and withdrawals of a block."""

    raw_transactions: tuple[bytes, ...]
    withdrawals: tuple[Withdrawal, ...] | None

    def transactions(self) -> tuple[Transaction, ...]:
        return tuple([Transaction.decode(raw) for raw in self.raw_transactions])


def log_entry(value: bytes) -> bytes:
    """What stands for an address or a topic in the log index."""
    return keccak(value)[:ENTRY_BYTES]


def block_writes(block: Block, receipts: Sequence[Receipt], record: bytes) -> list[Write]:
    """Everything that a block adds to the store, but its state."""
    height = block.header.number
    number = schema.be8(height)
    transactions = b"".join([encode_bytes(tx.raw) for tx in block.transactions])
    body = encode_list(transactions)
    if block.withdrawals is not None:
        body += encode_list(b"".join([withdrawal.encode() for withdrawal in block.withdrawals]))
    writes: list[Write] = [
        (schema.header_key(height), block.header.encode()),
        (schema.body_key(height), encode_list(body)),
        (schema.receipts_key(height), encode_list(b"".join([receipt.encode_stored() for receipt in receipts]))),
        (schema.record_key(height), record),
        (schema.number_key(block.hash), number),
        (schema.META_HEAD, number),
    ]
    for index, tx in enumerate(block.transactions):
        writes.append((b"x" + tx.hash, number + index.to_bytes(4, "big")))
    addresses = {log.address: True for receipt in receipts for log in receipt.logs}
    topics = {log.topics[0]: True for receipt in receipts for log in receipt.logs if log.topics}
    writes.extend((schema.log_key(KIND_ADDRESS, log_entry(address), height), b"") for address in addresses)
    writes.extend((schema.log_key(KIND_TOPIC, log_entry(topic), height), b"") for topic in topics)
    return writes


def unindex_writes(block: Block, receipts: Sequence[Receipt]) -> list[Write]:
    """Take a block out of the store again (the devnet's revert and the one-block rollback)."""
    return [(key, None) for key, _ in block_writes(block, receipts, b"") if key != schema.META_HEAD]


class BlockReader:
    """Reads blocks from one view of the store; those in `recent` without decoding them."""

    def __init__(self, reader: Reader, recent: RecentBlocks | None = None) -> None:
        self._reader = reader
        self._get = reader.get
        self._recent = recent

    def head_height(self) -> int | None:
        raw = self._get(schema.META_HEAD)
        return None if raw is None else int.from_bytes(raw, "big")

    def earliest(self) -> int:
        """The lowest height above 0 whose body and receipts are here: 1 unless the store began with a snapshot."""
        raw = self._get(schema.META_EARLIEST)
        return 1 if raw is None else int.from_bytes(raw, "big")

    def header(self, height: int) -> Header | None:
        raw = self._raw_header(height)
        if raw is None:
            return None
        recent = None if self._recent is None else self._recent.get(height, raw)
        return Header.decode(raw) if recent is None else recent.block.header

    def _raw_header(self, height: int) -> bytes | None:
        return self._get(schema.header_key(height)) if 0 <= height < 1 << 64 else None

    def height_of(self, block_hash: bytes) -> int | None:
        raw = self._get(schema.number_key(block_hash))
        return None if raw is None else int.from_bytes(raw, "big")

    def _decoded(self, height: int) -> RecentBlock | None:
        """The block and its receipts from `recent`, or decoded now for the next who asks."""
        raw = self._raw_header(height)
        if raw is None or self._recent is None:
            return None
        found = self._recent.get(height, raw)
        if found is None:
            body, receipts = self._read_body(height), self._read_receipts(height)
            if body is None or receipts is None:
                return None
            block = Block(Header.decode(raw), body.transactions(), body.withdrawals)
            found = self._recent.add(raw, block, receipts)
        return found

    def body(self, height: int) -> Body | None:
        recent = self._decoded(height)
        if recent is None:
            return self._read_body(height)
        return Body(tuple([tx.raw for tx in recent.block.transactions]), recent.block.withdrawals)

    def _read_body(self, height: int) -> Body | None:
        raw = self._get(schema.body_key(height))
        if raw is None:
            return None
        parts = to_list(decode(raw), "body")
        transactions = tuple([to_blob(item, "transaction") for item in to_list(parts[0], "transactions")])
        withdrawals: tuple[Withdrawal, ...] | None = None
        if len(parts) > 1:
            withdrawals = tuple([Withdrawal.from_rlp(item) for item in to_list(parts[1], "withdrawals")])
        return Body(transactions, withdrawals)

    def block(self, height: int) -> Block | None:
        recent = self._decoded(height)
        if recent is not None:
            return recent.block
        header, body = self.header(height), self._read_body(height)
        if header is None or body is None:
            return None
        return Block(header, body.transactions(), body.withdrawals)

    def encoded(self, height: int) -> bytes | None:
        """`Block.encode` of a block, put together from what is stored: a transaction costs a twentieth of decoding it."""
        header, body = self._raw_header(height), self._get(schema.body_key(height))
        if header is None or body is None:
            return None
        transactions, *withdrawals = split_list(body)
        # stored are all as strings, on the wire legacy ones are the lists that they are
        wired = [raw if raw[0] >= _LIST else encode_bytes(raw) for raw in split_list(transactions)]
        return encode_list(header + encode_list(b"".join(wired)) + b"\xc0" + b"".join(withdrawals))

    def receipts(self, height: int) -> tuple[Receipt, ...] | None:
        recent = self._decoded(height)
        return self._read_receipts(height) if recent is None else recent.receipts

    def _read_receipts(self, height: int) -> tuple[Receipt, ...] | None:
        raw = self._get(schema.receipts_key(height))
        if raw is None:
            return None
        return tuple([Receipt.decode_stored(encode(_as_list(item))) for item in to_list(decode(raw), "receipts")])

    def record(self, height: int) -> bytes | None:
        return self._get(schema.record_key(height))

    def find_transaction(self, transaction_hash: bytes) -> tuple[int, int] | None:
        """(height, index) of a transaction in the chain."""
        raw = self._get(schema.transaction_key(transaction_hash))
        if raw is None:
            return None
        return int.from_bytes(raw[:8], "big"), int.from_bytes(raw[8:], "big")

    def heights_with(self, kind: bytes, value: bytes, first: int, last: int) -> Iterator[int]:
        """Heights from `first` to `last` whose logs may have `value` as address or first topic, in order."""
        entry = log_entry(value)
        start, stop = schema.log_key(kind, entry, first), schema.log_key(kind, entry, last + 1)
        for key, _ in self._reader.iterate(start, stop):
            yield int.from_bytes(key[-8:], "big")


def _as_list(item: RlpItem) -> list[RlpItem]:
    return to_list(item, "stored receipt")


def encode_undo(undo: dict[bytes, bytes | None]) -> bytes:
    """RLP [[key, was there, value], ...]."""
    # by hand: this is a tenth of the cost of a transfer
    entries = [
        encode_list(encode_bytes(key) + (b"\x80\x80" if value is None else b"\x01" + encode_bytes(value)))
        for key, value in undo.items()
    ]
    return encode_list(b"".join(entries))


def decode_undo(raw: bytes) -> dict[bytes, bytes | None]:
    undo: dict[bytes, bytes | None] = {}
    for entry in to_list(decode(raw), "undo record"):
        key, existed, value = to_list(entry, "undo entry", 3)
        undo[to_blob(key, "undo key")] = to_blob(value, "undo value") if to_int(existed, "undo flag", 1) else None
    return undo


def open_schema(get: Reader, genesis_hash: Hash32) -> None:
    """Check that the store belongs to this program and this chain; raises StorageError that says what differs."""
    raw = get.get(schema.META_VERSION)
    if raw is None:
        return
    version = int.from_bytes(raw, "big")
    if version != schema.SCHEMA_VERSION:
        raise StorageError(
            f"database schema: got version {version}, expected {schema.SCHEMA_VERSION}",
            hint="it was written by another release: use that one, or `dmchain db export` there and `import` here",
        )
    stored = get.get(schema.META_GENESIS)
    if stored != genesis_hash:
        raise StorageError(
            f"genesis: the database belongs to 0x{(stored or b'').hex()}, the genesis file is 0x{genesis_hash.hex()}",
            hint="use the genesis.json that this home directory began with, or another --home",
        )
