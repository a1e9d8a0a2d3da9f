"""Small chains whose blocks carry records, as snapshots want them."""

from __future__ import annotations

from typing import Any

from dmchain.chain.blockchain import Blockchain
from dmchain.chain.consensus.body import Facts, Stored
from dmchain.chain.consensus.commit import Commit
from dmchain.chain.consensus.record import Record
from dmchain.chain.primitives.transaction import Transaction
from dmchain.chain.primitives.types import Hash32
from dmchain.chain.snapshot.create import SnapshotMaker
from dmchain.chain.snapshot.manifest import Manifest
from dmchain.chain.snapshot.restore import Restorer
from dmchain.chain.store.kv import KeyValue, MemoryKV
from tests.chain.small_chain import CHAIN_ID, KEYS, build, counting, transaction


def add_block(chain: Blockchain, transactions: list[Transaction]) -> None:
    height = chain.head.number + 1
    record = Record(CHAIN_ID, height, timestamp_ms=(chain.head.timestamp + 1) * 1000)
    executed = build(chain, transactions, parent_beacon_block_root=record.root())
    seen = Commit(height, 0, executed.block.hash, (bytes(64) + b"\1",))
    chain.commit(executed, Stored(Facts(record), seen).encode())


def grow(chain: Blockchain, blocks: int) -> Blockchain:
    """Each block counts in a slot of its own and pays somebody new."""
    for _ in range(blocks):
        height = chain.head.number + 1
        paid = transaction(KEYS[1], height - 1, to=height.to_bytes(20, "big"), value=height)
        add_block(chain, [counting(KEYS[0], height - 1, height * 0x1234567), paid])
    return chain


def make(chain: Blockchain, height: int | None = None, chunk_bytes: int = 1024) -> tuple[Manifest, list[bytes]]:
    at = chain.head.number if height is None else height
    maker = SnapshotMaker(chain.view, at, CHAIN_ID, chain.genesis_header.hash, chunk_bytes)
    chunks = list(maker.chunks())
    return maker.manifest(), chunks


def restore(
    chain: Blockchain, manifest: Manifest, chunks: list[bytes], store: KeyValue | None = None, **changes: Any
) -> KeyValue:
    """Into a fresh store; `chain` lends its genesis."""
    target = MemoryKV() if store is None else store
    genesis = chain.genesis_header
    restorer = Restorer(target, manifest, changes.get("chain_id", CHAIN_ID), Hash32(genesis.hash))
    for chunk in chunks:
        restorer.feed(chunk)
    restorer.check()
    restorer.finish(genesis, changes.get("commit"))
    return target
