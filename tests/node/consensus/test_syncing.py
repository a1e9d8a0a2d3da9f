"""What a node says of itself while block sync moves its head, and what it keeps of a block that it cannot follow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

from dmchain.chain.primitives.transaction import Transaction
from dmchain.chain.sync.events import Halt
from dmchain.node.consensus.host import Halted
from dmchain.node.network.messages import Blocks, Reply, Request, Status
from dmchain.rpc.backend import BlockRecord, LogRecord, SyncStatus
from tests.node.consensus.validators import open_network, until


class Watcher:
    """An rpc.backend.Observer."""

    def __init__(self) -> None:
        self.told: list[SyncStatus | None] = []

    def block_committed(self, block: BlockRecord, logs: Sequence[LogRecord]) -> None:
        pass

    def transaction_added(self, transaction: Transaction) -> None:
        pass

    def chain_reverted(self, height: int) -> None:
        pass

    def sync_changed(self, status: SyncStatus | None) -> None:
        self.told.append(status)


async def test_it_is_syncing_while_peers_claim_more_and_not_when_consensus_runs() -> None:
    async with open_network(4) as network:
        late = network.nodes[3]
        backend, watcher = late.backend, Watcher()
        backend.network = late.validator.view
        backend.observe(watcher)
        release = trio.Event()

        async def stall(request: Request) -> Reply:
            await release.wait()
            return Blocks(())

        await network.start_unconnected(3)
        assert backend.sync_status() is None  # nobody has told it of anything
        genesis_hash = late.chain.genesis_header.hash
        async with network.stranger(3, status=Status(500, genesis_hash, 1), answer=stall) as stranger:
            await until(lambda: stranger.requests > 0, 5, "asked")
            assert backend.sync_status() == SyncStatus(0, 0, 500)
            assert backend.node_status().consensus.height == 1  # type: ignore[union-attr]
            assert watcher.told == [SyncStatus(0, 0, 500)]
            release.set()
            await network.start(0, 1, 2)
            await network.decide(0)
            await until(lambda: late.height == 1 and not late.validator.sync.is_syncing, 10, "in step")
        assert backend.sync_status() is None
        assert watcher.told == [SyncStatus(0, 0, 500), None]
        assert backend.history().oldest_block == 0


async def test_a_block_it_cannot_follow_is_kept_for_a_person(tmp_path: Path) -> None:
    async with open_network(1) as network:
        sync = network.nodes[0].validator.sync
        sync._proof = tmp_path
        with pytest.raises(
            Halted, match=r"block 7 has a commit, but is invalid here: no reason .kept as .*invalid-7"
        ) as halted:
            sync.halted(Halt(7, "no reason", b"block", b"commit"))
        assert halted.value.hint
        assert (tmp_path / "invalid-7.block").read_bytes() == b"block"
        assert (tmp_path / "invalid-7.commit").read_bytes() == b"commit"
