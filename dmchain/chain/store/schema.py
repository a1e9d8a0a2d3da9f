"""Keys of the database: one prefix byte, then binary big-endian parts, so that key order is number order.

| prefix | key after it | value |
|---|---|---|
| `a` | address 20 | account as in the state trie: RLP [nonce, balance, storage root, code hash] |
| `s` | address 20, slot 32 | storage value, big-endian without leading zeros |
| `c` | code hash 32 | code |
| `t` | path nibbles | node of the state trie |
| `u` | address 20, path nibbles | node of the account's storage trie |
| `d` | height 8 | undo record: flat keys that the block changed, with their values before it |
| `e` | flat key, height 8 | archive: the value before that block (first byte 0: there was none) |
| `h` | height 8 | header |
| `b` | height 8 | body: RLP [transactions, withdrawals] |
| `r` | height 8 | receipts |
| `k` | height 8 | consensus record and commit |
| `n` | block hash 32 | height 8 |
| `x` | transaction hash 32 | height 8, index 4 |
| `l` | kind 1, entry 8 of its hash, height 8 | nothing: the block holds a log of that address or first topic |
| `m` | name | metadata: schema version, genesis hash, head |
"""

from __future__ import annotations

SCHEMA_VERSION = 1

META_VERSION = b"mversion"
META_GENESIS = b"mgenesis"
META_HEAD = b"mhead"
META_ARCHIVE = b"marchive"
"""The height from which the archive index is complete; absent when the node keeps none."""
META_EARLIEST = b"mearliest"
"""The lowest height above 0 whose body and receipts are here; absent when all are. Headers may go further back."""
META_STATE_ROOT = b"mroot"
"""The root of the state at head where a devnet has edited it; absent when it is the header's."""


def be8(number: int) -> bytes:
    return number.to_bytes(8, "big")


def account_key(address: bytes) -> bytes:
    return b"a" + address


def storage_key(address: bytes, slot: int) -> bytes:
    return b"s" + address + slot.to_bytes(32, "big")


def code_key(code_hash: bytes) -> bytes:
    return b"c" + code_hash


def state_node_key(path: bytes) -> bytes:
    return b"t" + path


def storage_node_key(address: bytes, path: bytes) -> bytes:
    return b"u" + address + path


def undo_key(height: int) -> bytes:
    return b"d" + be8(height)


def archive_key(flat_key: bytes, height: int) -> bytes:
    return b"e" + flat_key + be8(height)


def header_key(height: int) -> bytes:
    return b"h" + be8(height)


def body_key(height: int) -> bytes:
    return b"b" + be8(height)


def receipts_key(height: int) -> bytes:
    return b"r" + be8(height)


def record_key(height: int) -> bytes:
    return b"k" + be8(height)


def number_key(block_hash: bytes) -> bytes:
    return b"n" + block_hash


def transaction_key(transaction_hash: bytes) -> bytes:
    return b"x" + transaction_hash


def log_key(kind: bytes, entry: bytes, height: int) -> bytes:
    """`kind` is b"a" for an address, b"t" for a first topic; `entry` 8 bytes that stand for it."""
    return b"l" + kind + entry + be8(height)
