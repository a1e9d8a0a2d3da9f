"""The shell of block sync, with a fake network under trio's mock clock."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock

from dmchain.chain.consensus.validators import ValidatorSet
from dmchain.chain.primitives.errors import InvalidBlock, StorageError
from dmchain.chain.sync.events import Halt, Start, SyncConfig
from dmchain.chain.sync.serving import select_blocks
from dmchain.chain.sync.verify import RunResult, VerifyRun, verify_run
from dmchain.node.block_sync import BlockSyncHost
from dmchain.node.network.errors import RequestFailed
from dmchain.node.network.messages import Blocks, BlockWithCommit, GetBlocks, Refusal, RefusalCode, Reply
from tests.chain.signed_chain import CHAIN_ID, SignedChain, Team

TEAM = Team(("ann", "bob", "cyd", "dan"))
OTHERS = Team(("cyd", "dan", "eve", "fay"))


class FakeNode:
    """A node at genesis; peer 1 has `chain` and takes 50 ms, peer 2 fails in its way."""

    def __init__(self, chain: SignedChain, second: Callable[[], Reply] | None = None) -> None:
        self.chain = chain
        self.second = second
        self.height = 0
        self.faults: dict[int, str] = {}
        self.events: list[str] = []
        self.halt: Halt | None = None
        self.breaks_at: int | None = None
        self.error: Exception = InvalidBlock("state_root: got 1, expected 2")
        self.host = BlockSyncHost(self, self._verify, CHAIN_ID, config=SyncConfig(max_request_blocks=8))

    def position(self) -> Start:
        validators = self.chain.team_at(self.height + 1).set
        return Start(self.height, self.chain.header(self.height).hash, validators)

    async def _verify(self, run: VerifyRun) -> RunResult:
        await trio.sleep(0.005)
        return verify_run(run, self.chain.checker.is_signed)

    async def request(self, peer: int, message: GetBlocks) -> Reply:
        await trio.sleep(0.05 * peer)
        if peer == 2 and self.second is not None:
            return self.second()
        wires = select_blocks(self.chain.wire, message.start, message.count)
        return Blocks(tuple([BlockWithCommit(wire.block, wire.commit) for wire in wires]))

    async def apply(self, height: int, block: bytes, commit: bytes, senders: bytes) -> ValidatorSet:
        await trio.sleep(0.002)
        if height == self.breaks_at:
            raise self.error
        assert height == self.height + 1
        self.height = height
        return self.chain.team_at(height + 1).set

    def fault(self, peer: int, reason: str) -> None:
        self.faults[peer] = reason
        self.host.peer_gone(peer)

    def slow(self, peer: int, reason: str) -> None:
        self.events.append(f"peer {peer} is slow")

    def handed_over(self, height: int) -> None:
        self.events.append(f"handed over at {height}")

    def fell_behind(self, height: int, peers_height: int) -> None:
        self.events.append(f"behind: {height} of {peers_height}")

    def halted(self, halt: Halt) -> None:
        self.halt = halt

    def connect(self, *peers: int) -> None:
        for at, peer in enumerate(peers):
            self.host.peer_status(peer, self.chain.height, 1, self.chain.team_at(1).keys[at].address)

    async def run(self, seconds: float) -> None:
        with trio.move_on_after(seconds):
            await self.host.run()


async def test_it_fetches_verifies_executes_and_hands_over(autojump_clock: MockClock) -> None:
    node = FakeNode(SignedChain(TEAM, {20: OTHERS}).grow(50))
    node.connect(1, 3)
    await node.run(12)
    assert node.height == 50
    assert node.events == ["handed over at 50"]
    assert not node.faults
    assert not node.host.is_syncing


def fail() -> Reply:
    raise RequestFailed("gone")


@pytest.mark.parametrize(
    ("second", "is_fault"),
    [
        (fail, False),
        (lambda: Refusal(RefusalCode.BUSY, "busy"), False),
        (lambda: Blocks(()), False),
        (lambda: Blocks((BlockWithCommit(b"garbage", b"x"),)), True),
    ],
)
async def test_a_peer_that_fails_is_told_of_and_replaced(
    autojump_clock: MockClock, second: Callable[[], Reply], is_fault: bool
) -> None:
    node = FakeNode(SignedChain(TEAM).grow(60), second)
    node.connect(2, 1, 3)
    await node.run(30)
    assert node.height == 60
    assert (2 in node.faults) is is_fault
    assert 1 not in node.faults and 3 not in node.faults


async def test_a_final_block_that_cannot_be_executed_halts_it(autojump_clock: MockClock) -> None:
    node = FakeNode(SignedChain(TEAM).grow(10))
    node.breaks_at = 7
    node.connect(1, 3)
    await node.run(10)
    assert node.halt is not None
    assert (node.halt.height, node.halt.reason) == (7, "state_root: got 1, expected 2")
    assert node.height == 6


async def test_a_full_disk_is_not_the_networks_fault(autojump_clock: MockClock) -> None:
    """It ends the node; it does not look like a fork."""
    node = FakeNode(SignedChain(TEAM).grow(10))
    node.breaks_at, node.error = 7, StorageError("database write: no space left")
    node.connect(1, 3)
    with pytest.raises(ExceptionGroup) as raised:
        await node.run(10)
    assert raised.value.subgroup(StorageError) is not None
    assert node.halt is None


async def test_it_begins_again_when_consensus_falls_behind(autojump_clock: MockClock) -> None:
    node = FakeNode(SignedChain(TEAM).grow(10))
    node.connect(1, 3)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.host.run)
        await trio.sleep(2)
        assert node.events == ["handed over at 10"]
        node.height = 11
        node.host.note_head(11, TEAM.set)
        node.chain.grow(50)
        node.connect(1, 3)
        await trio.sleep(10)
        nursery.cancel_scope.cancel()
    assert node.events == ["handed over at 10", "behind: 11 of 60", "handed over at 60"]
    assert node.height == 60
