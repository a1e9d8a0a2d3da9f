"""Headers, receipts and blocks, byte for byte as Ethereum encodes them.

Sources: Yellow Paper section 4.4, EIP-1559 (base fee), 4399 (prevRandao), 4895 (withdrawals), 4844 (blob gas),
4788 (parent beacon block root), 7685 (requests), 2718 (typed receipts).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

from dmchain.chain.primitives.codec import (
    RlpItem,
    decode,
    encode,
    encode_bytes,
    encode_int,
    encode_list,
    to_blob,
    to_bytes,
    to_int,
    to_list,
)
from dmchain.chain.primitives.crypto import keccak
from dmchain.chain.primitives.errors import DecodeError
from dmchain.chain.primitives.transaction import Transaction
from dmchain.chain.primitives.types import Address, Hash32

EMPTY_TRIE_ROOT = keccak(b"\x80")
EMPTY_OMMERS_HASH = keccak(b"\xc0")
EMPTY_REQUESTS_HASH = Hash32(hashlib.sha256(b"").digest())
EMPTY_BLOOM = bytes(256)
MAX_EXTRA_DATA_BYTES = 32


@dataclass(frozen=True)
class Header:
    """A block header with the 21 fields of Prague.

    The fields from `base_fee_per_gas` on are None in headers of an imported chain from before their fork; a field may
    be None only if all fields after it are. `hash` is keccak(rlp(header)), cached.
    """

    parent_hash: Hash32
    ommers_hash: Hash32
    coinbase: Address
    state_root: Hash32
    transactions_root: Hash32
    receipts_root: Hash32
    bloom: bytes
    difficulty: int
    number: int
    gas_limit: int
    gas_used: int
    timestamp: int
    extra_data: bytes
    prev_randao: Hash32
    nonce: bytes
    base_fee_per_gas: int | None = None
    withdrawals_root: Hash32 | None = None
    blob_gas_used: int | None = None
    excess_blob_gas: int | None = None
    parent_beacon_block_root: Hash32 | None = None
    requests_hash: Hash32 | None = None

    @cached_property
    def hash(self) -> Hash32:
        return keccak(self.encode())

    def to_list(self) -> list[Any]:
        values = [getattr(self, name) for name in _HEADER_NAMES]
        while values and values[-1] is None:
            values.pop()
        if any(value is None for value in values):
            raise DecodeError("header: a field before the last one is missing")
        return values

    def encode(self) -> bytes:
        return encode(self.to_list())

    @classmethod
    def decode(cls, raw: bytes) -> Header:
        return cls.from_rlp(decode(raw))

    @classmethod
    def from_rlp(cls, item: RlpItem) -> Header:
        """Check sizes and ranges of the decoded list; raises DecodeError that names the field."""
        items = to_list(item, "header")
        if not 15 <= len(items) <= len(_HEADER_SIZES):
            raise DecodeError(f"header: expected 15 to {len(_HEADER_SIZES)} fields, got {len(items)}")
        values: list[Any] = []
        for (name, size), value in zip(_HEADER_SIZES.items(), items, strict=False):
            if size is None:
                values.append(to_blob(value, name))
            elif size < 0:
                values.append(to_int(value, name, -size))
            else:
                values.append(to_bytes(value, name, size))
        return cls(*values)

    def replace(self, **changes: Any) -> Header:
        return replace(self, **changes)


_HEADER_SIZES: dict[str, int | None] = {
    "parent_hash": 32, "ommers_hash": 32, "coinbase": 20, "state_root": 32, "transactions_root": 32,
    "receipts_root": 32, "bloom": 256, "difficulty": -256, "number": -64, "gas_limit": -64, "gas_used": -64,
    "timestamp": -64, "extra_data": None, "prev_randao": 32, "nonce": 8, "base_fee_per_gas": -256,
    "withdrawals_root": 32, "blob_gas_used": -64, "excess_blob_gas": -64, "parent_beacon_block_root": 32,
    "requests_hash": 32,
}  # fmt: skip
"""Bytes of a fixed-size field; minus the bits of an integer; None for bytes of any length."""
_HEADER_NAMES = tuple(field.name for field in fields(Header))
assert tuple(_HEADER_SIZES) == _HEADER_NAMES


@dataclass(frozen=True, slots=True)
class Log:
    """One event: the contract's address, up to four 32-byte topics, data."""

    address: Address
    topics: tuple[bytes, ...]
    data: bytes

    def encode(self) -> bytes:
        topics = b"".join([b"\xa0" + topic for topic in self.topics])
        return encode_list(b"\x94" + self.address + encode_list(topics) + encode_bytes(self.data))


_BLOOM_BITS: dict[bytes, int] = {}
_BLOOM_BITS_MAX = 65_536


def bloom_bits(entry: bytes) -> int:
    """The three bits of the 2048-bit bloom that stand for an address or a topic, as an integer."""
    bits = _BLOOM_BITS.get(entry)
    if bits is None:
        digest = keccak(entry)
        bits = 0
        for at in (0, 2, 4):
            bits |= 1 << ((digest[at] << 8 | digest[at + 1]) & 2047)
        if len(_BLOOM_BITS) >= _BLOOM_BITS_MAX:
            _BLOOM_BITS.clear()
        _BLOOM_BITS[entry] = bits
    return bits


def compute_bloom(logs: Iterable[Log]) -> bytes:
    """The 256-byte bloom of the addresses and topics of `logs`."""
    bits = 0
    for log in logs:
        bits |= bloom_bits(log.address)
        for topic in log.topics:
            bits |= bloom_bits(topic)
    return bits.to_bytes(256, "big") if bits else EMPTY_BLOOM


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a transaction did. The first five fields are consensus; the rest is kept for JSON-RPC.

    `status` is 1 or 0; gas in units; `effective_gas_price` in wei; `contract_address` of a creation, else None.
    """

    type: int
    status: int
    cumulative_gas_used: int
    bloom: bytes
    logs: tuple[Log, ...]
    gas_used: int
    effective_gas_price: int
    contract_address: Address | None

    def encode(self) -> bytes:
        """The consensus encoding that the receipts root commits to."""
        payload = (
            (b"\x01" if self.status else b"\x80")
            + encode_int(self.cumulative_gas_used)
            + b"\xb9\x01\x00"
            + self.bloom
            + encode_list(b"".join([log.encode() for log in self.logs]))
        )
        body = encode_list(payload)
        return bytes((self.type,)) + body if self.type else body

    def encode_stored(self) -> bytes:
        """What the database keeps: without the bloom, which the logs give back."""
        logs = encode_list(b"".join([log.encode() for log in self.logs]))
        head = encode_int(self.type) + encode_int(self.status) + encode_int(self.cumulative_gas_used)
        tail = encode_int(self.gas_used) + encode_int(self.effective_gas_price)
        return encode_list(head + tail + encode_bytes(self.contract_address or b"") + logs)

    @classmethod
    def decode_stored(cls, raw: bytes) -> Receipt:
        type_, status, cumulative, gas_used, price, contract, logs = to_list(decode(raw), "stored receipt", 7)
        entries = []
        for log in to_list(logs, "logs"):
            address, topics, data = to_list(log, "log", 3)
            hashes = tuple([to_bytes(topic, "topic", 32) for topic in to_list(topics, "topics")])
            entries.append(Log(Address(to_bytes(address, "log address", 20)), hashes, to_blob(data, "log data")))
        created = to_blob(contract, "contract address")
        return cls(
            to_int(type_, "type", 8),
            to_int(status, "status", 1),
            to_int(cumulative, "cumulative gas", 64),
            compute_bloom(entries),
            tuple(entries),
            to_int(gas_used, "gas used", 64),
            to_int(price, "effective gas price"),
            Address(created) if created else None,
        )


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """EIP-4895, of imported Ethereum chains; `amount` in gwei. dmchain's own blocks carry none."""

    index: int
    validator_index: int
    address: Address
    amount: int

    def encode(self) -> bytes:
        return encode([self.index, self.validator_index, self.address, self.amount])

    @classmethod
    def from_rlp(cls, item: RlpItem) -> Withdrawal:
        index, validator, address, amount = to_list(item, "withdrawal", 4)
        return cls(
            to_int(index, "withdrawal index", 64),
            to_int(validator, "withdrawal validator index", 64),
            Address(to_bytes(address, "withdrawal address", 20)),
            to_int(amount, "withdrawal amount", 64),
        )


@dataclass(frozen=True)
class Block:
    """A header with its transactions; `withdrawals` is None in blocks from before Shanghai."""

    header: Header
    transactions: tuple[Transaction, ...]
    withdrawals: tuple[Withdrawal, ...] | None = ()

    @property
    def hash(self) -> Hash32:
        return self.header.hash

    @property
    def number(self) -> int:
        return self.header.number

    def encode(self) -> bytes:
        """Ethereum's block encoding: typed transactions are byte strings, legacy ones lists."""
        transactions = [tx.raw if tx.type == 0 else encode_bytes(tx.raw) for tx in self.transactions]
        payload = self.header.encode() + encode_list(b"".join(transactions)) + b"\xc0"
        if self.withdrawals is not None:
            payload += encode_list(b"".join([withdrawal.encode() for withdrawal in self.withdrawals]))
        return encode_list(payload)

    @classmethod
    def decode(cls, raw: bytes) -> Block:
        """Decode a block without ommers; checks form and sizes, not the rules of the chain."""
        parts = to_list(decode(raw), "block")
        if len(parts) not in (3, 4):
            raise DecodeError(f"block: expected 3 or 4 parts, got {len(parts)}")
        if to_list(parts[2], "ommers"):
            raise DecodeError("ommers: expected none")
        transactions = []
        for item in to_list(parts[1], "transactions"):
            if isinstance(item, list):
                transactions.append(Transaction.decode(encode(item)))
            elif item[:1] >= b"\x80":
                raise DecodeError("transactions: a legacy transaction must be a list, got a string")
            else:
                transactions.append(Transaction.decode(item))
        withdrawals = None
        if len(parts) == 4:
            withdrawals = tuple([Withdrawal.from_rlp(item) for item in to_list(parts[3], "withdrawals")])
        return cls(Header.from_rlp(parts[0]), tuple(transactions), withdrawals)
