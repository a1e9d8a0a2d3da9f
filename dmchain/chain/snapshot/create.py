"""Making a snapshot: one pass over a view of the database, in the order of its keys."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping

from dmchain.chain.blockchain import ChainView
from dmchain.chain.consensus.body import Stored
from dmchain.chain.consensus.commit import Commit
from dmchain.chain.primitives.codec import split_list
from dmchain.chain.primitives.crypto import EMPTY_CODE_HASH, keccak
from dmchain.chain.primitives.errors import InvariantBroken
from dmchain.chain.primitives.types import Hash32
from dmchain.chain.snapshot.manifest import DEFAULT_CHUNK_BYTES, InvalidSnapshot, Manifest, cut
from dmchain.chain.snapshot.stream import (
    AccountEntry,
    BodyEntry,
    CodeEntry,
    EndEntry,
    Entry,
    HeaderEntry,
    SlotEntry,
    encode_entry,
)
from dmchain.chain.store import schema
from dmchain.chain.store.kv import Reader

KEPT_HEADERS = 256
"""What BLOCKHASH may ask for."""
_CODE_HASH_FIELD = 3

Progress = Callable[[int, float], None]
"""Told of bytes so far, and of the share of the accounts done (0 to 1), every now and then."""


class SnapshotMaker:
    """One snapshot of `view` at `height`, the head or one whose undo records are kept.

    Memory: a chunk, the differences between `height` and the head, and 32 bytes for each different code.
    """

    def __init__(
        self,
        view: ChainView,
        height: int,
        chain_id: int,
        genesis_hash: Hash32,
        chunk_bytes: int = DEFAULT_CHUNK_BYTES,
    ) -> None:
        """Raises StateUnavailable for a height whose state is not kept, InvalidSnapshot for one edited by hand."""
        if view.snapshot.get(schema.META_STATE_ROOT) is not None:
            raise InvalidSnapshot("the state was edited outside any block", hint="a devnet's edits cannot be proved")
        overlay = {} if height == view.head.number else view.history.differences(height)
        header = view.blocks.header(height)
        if header is None:
            raise InvariantBroken(f"block {height} is not in the view")
        self.header = header
        self._view = view
        self._overlay = overlay
        self._chain_id = chain_id
        self._genesis_hash = genesis_hash
        self._chunk_bytes = chunk_bytes
        self._stream_bytes = self._accounts = self._slots = self._codes = 0
        self._hashes: list[Hash32] = []

    def chunks(self, progress: Progress = lambda size, share: None) -> Iterator[bytes]:
        """The chunks in order. When all are taken, `manifest` is ready."""
        for chunk in cut(self._stream(progress), self._chunk_bytes):
            self._stream_bytes += len(chunk)
            self._hashes.append(keccak(chunk))
            yield chunk

    def manifest(self) -> Manifest:
        return Manifest(
            chain_id=self._chain_id,
            genesis_hash=self._genesis_hash,
            height=self.header.number,
            block_hash=self.header.hash,
            state_root=self.header.state_root,
            chunk_bytes=self._chunk_bytes,
            stream_bytes=self._stream_bytes,
            accounts=self._accounts,
            slots=self._slots,
            codes=self._codes,
            chunk_hashes=tuple(self._hashes),
        )

    def seen_commit(self) -> Commit | None:
        """The commit this node decided the block with. Not part of the snapshot: other nodes may have another."""
        raw = self._view.blocks.record(self.header.number)
        return Stored.decode(raw).seen_commit if raw else None

    # -- the stream ----------------------------------------------------------------------------------------------
    def _stream(self, progress: Progress) -> Iterator[bytes]:
        for entry in self._blocks():
            yield encode_entry(entry)
        for count, entry in enumerate(self._state()):
            yield encode_entry(entry)
            if count % 4096 == 0 and isinstance(entry, AccountEntry):
                progress(self._stream_bytes, int.from_bytes(entry.address[:4], "big") / 2**32)
        yield encode_entry(EndEntry(self._accounts, self._slots, self._codes))
        progress(self._stream_bytes, 1.0)

    def _blocks(self) -> Iterator[Entry]:
        get, height = self._view.snapshot.get, self.header.number
        for at in range(max(0, height - KEPT_HEADERS + 1), height + 1):
            header, record = get(schema.header_key(at)), get(schema.record_key(at))
            if header is None:
                continue  # restored from a snapshot itself, not long ago
            yield HeaderEntry(header, Stored.decode(record).facts.encode() if record else b"")
        body, receipts = get(schema.body_key(height)), get(schema.receipts_key(height))
        if body is None or receipts is None:
            raise InvariantBroken(f"the body of block {height} is not in the database")
        yield BodyEntry(body, receipts)

    def _state(self) -> Iterator[Entry]:
        """Accounts and slots by two iterators side by side: both are in order of the address."""
        get = self._view.snapshot.get
        slots = self._iterate(b"s", b"t")
        slot = next(slots, None)
        seen: set[bytes] = {EMPTY_CODE_HASH}
        for key, account in self._iterate(b"a", b"b"):
            address = key[1:]
            self._accounts += 1
            yield AccountEntry(address, account)
            code_hash = split_list(account)[_CODE_HASH_FIELD]
            if code_hash not in seen:
                seen.add(code_hash)
                code = get(schema.code_key(code_hash))
                if code is None:
                    raise InvariantBroken(f"code 0x{code_hash.hex()} of 0x{address.hex()} is not in the database")
                self._codes += 1
                yield CodeEntry(code)
            while slot is not None and slot[0][1:21] <= address:
                if slot[0][1:21] < address:
                    raise InvariantBroken(f"storage without an account: 0x{slot[0][1:21].hex()}")
                self._slots += 1
                yield SlotEntry(slot[0][21:], slot[1])
                slot = next(slots, None)
        if slot is not None:
            raise InvariantBroken(f"storage without an account: 0x{slot[0][1:21].hex()}")

    def _iterate(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        return iterate_overlaid(self._view.snapshot, self._overlay, start, stop)


def iterate_overlaid(
    base: Reader, overlay: Mapping[bytes, bytes | None], start: bytes, stop: bytes
) -> Iterator[tuple[bytes, bytes]]:
    """Entries of `base` from `start` up to `stop` with those of `overlay` in their place (None hides), in order."""
    over = sorted([item for item in overlay.items() if start <= item[0] < stop])
    under = ((key, value) for key, value in base.iterate(start, stop) if key not in overlay)
    for key, value in heapq.merge(over, under, key=lambda item: item[0]):
        if value is not None:
            yield key, value
