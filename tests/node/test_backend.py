"""What a node's JSON-RPC reads of the chain."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from dmchain.chain.store.kv import MemoryKV, Snapshot
from dmchain.node.backend import ChainBackend
from tests.chain.small_chain import extend, open_chain


class AskedWhileCommitting(MemoryKV):
    """At the moment in which a commit takes its snapshot a client, on another thread, asks for the latest block."""

    backend: ChainBackend | None = None
    asked = 0

    def snapshot(self) -> Snapshot:
        if self.backend is not None:
            height = self.backend.head().number
            assert self.backend.header(height) is not None, f"told of block {height}, which cannot be read yet"
            self.asked += 1
        return super().snapshot()


def test_the_latest_block_can_be_read_while_the_next_one_is_committed() -> None:
    store = AskedWhileCommitting()
    chain = open_chain(store)
    backend = ChainBackend.__new__(ChainBackend)
    cast(Any, backend)._chain = chain
    cast(Any, backend)._producer = SimpleNamespace(chain=chain)
    store.backend = backend
    extend(chain, 3)
    assert store.asked >= 3
    assert backend.head() == chain.head
