"""The node among its peers: consensus messages, transactions, blocks for who lacks them.

Implements the network's PeerHandler and the consensus host's Wire.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import trio

from dmchain.chain.consensus.certificates import InvalidCertificate
from dmchain.chain.consensus.commit import Commit
from dmchain.chain.primitives.errors import DecodeError, DmchainError, InvalidTransaction, SignatureError
from dmchain.chain.primitives.transaction import Transaction
from dmchain.chain.primitives.types import Hash32
from dmchain.node.consensus.application import Application
from dmchain.node.consensus.host import ConsensusHost
from dmchain.node.network.errors import RequestFailed
from dmchain.node.network.messages import (
    MIB,
    Blocks,
    BlockWithCommit,
    ConsensusBody,
    ConsensusMessage,
    GetBlocks,
    GetTransactions,
    Push,
    Refusal,
    RefusalCode,
    Reply,
    Request,
    Status,
    TransactionHashes,
    Transactions,
)
from dmchain.node.network.peer import Peer
from dmchain.node.network.peers import PeerManager

log = logging.getLogger("dmchain.peering")

MAX_HASHES: Final = 512
"""Announced or asked for at once."""
ANNOUNCE_SECONDS: Final = 0.005
"""Transactions are announced together with those that follow within this time."""
SEEN_TRANSACTIONS: Final = 65_536
MAX_PULLS: Final = 256
"""Announcements waiting to be pulled; more are left to be announced by others."""
MAX_BLOCKS: Final = 64
MAX_REPLY_BYTES: Final = 2 * MIB
SYNC_BEHIND: Final = 2
"""Heights behind a peer from which blocks are asked for in ranges; less is caught up with by decisions."""


class Peering:
    """One node's dealings with its peers. Give it `manager` and `host` before anything runs."""

    manager: PeerManager
    host: ConsensusHost

    def __init__(self, app: Application, submit: Callable[[Transaction], object]) -> None:
        self._app = app
        self._submit = submit
        self._peers: dict[int, Peer] = {}
        self._heights: dict[int, int] = {}
        self._seen: OrderedDict[Hash32, None] = OrderedDict()
        self._to_announce: list[Hash32] = []
        self._announce_bell = trio.Event()
        self._wanted: list[tuple[Peer, tuple[Hash32, ...]]] = []
        self._pull_bell = trio.Event()
        self._sync_bell = trio.Event()

    # -- what the consensus host asks ----------------------------------------------------------------------------
    def broadcast(self, payload: bytes, *, has_body: bool, except_for: int | None = None) -> None:
        message = ConsensusBody(payload) if has_body else ConsensusMessage(payload)
        self.manager.broadcast(message, except_for=None if except_for is None else self._peers.get(except_for))

    def send(self, peer: int, payload: bytes, *, has_body: bool) -> None:
        connected = self._peers.get(peer)
        if connected is not None:
            connected.send(ConsensusBody(payload) if has_body else ConsensusMessage(payload))

    def peers(self) -> list[int]:
        return list(self._peers)

    def fault(self, peer: int, reason: str) -> None:
        connected = self._peers.get(peer)
        if connected is not None:
            log.warning("peer fault: %s", reason, extra={"peer": "0x" + connected.node_id.hex()})
            connected.misbehaved(50, reason)

    def behind(self, peer: int, height: int) -> None:
        self._heights[peer] = max(self._heights.get(peer, 0), height - 1)
        self._sync_bell.set()

    def status(self) -> Status:
        head = self._app.chain.head
        return Status(head.number, head.hash, 1)

    # -- what the network tells ----------------------------------------------------------------------------------
    def on_peer(self, peer: Peer) -> None:
        self._peers[peer.number] = peer
        log.info("connected", extra={"peer": "0x" + peer.node_id.hex()})
        waiting = [tx.hash for tx in self._executable()]
        for at in range(0, len(waiting), MAX_HASHES):
            peer.send(TransactionHashes(tuple(waiting[at : at + MAX_HASHES])))

    def _executable(self) -> list[Transaction]:
        pending, _ = self._app.producer.pool.content()
        return [tx for by_nonce in pending.values() for tx in by_nonce.values()]

    def on_gone(self, peer: Peer, reason: str) -> None:
        self._peers.pop(peer.number, None)
        self._heights.pop(peer.number, None)
        log.info("disconnected: %s", reason, extra={"peer": "0x" + peer.node_id.hex()})

    async def on_message(self, peer: Peer, message: Push) -> None:
        match message:
            case ConsensusMessage(payload) | ConsensusBody(payload):
                await self.host.receive(peer.number, payload)
            case TransactionHashes(hashes):
                self._want(peer, hashes)
            case Status(height=height):
                self._heights[peer.number] = height
                self.host.note_tip(peer.node_id, height)
                self._sync_bell.set()
            case _:
                pass

    async def on_request(self, peer: Peer, request: Request) -> Reply:
        match request:
            case GetTransactions(hashes):
                found = [self._app.producer.pool.get(tx_hash) for tx_hash in hashes[:MAX_HASHES]]
                return Transactions(_within([tx.raw for tx in found if tx is not None]))
            case GetBlocks(start, count):
                return self._serve_blocks(start, min(count, MAX_BLOCKS))
            case _:
                return Refusal(RefusalCode.UNSUPPORTED, "not served here")

    def _serve_blocks(self, start: int, count: int) -> Reply:
        blocks: list[BlockWithCommit] = []
        size = 0
        for height in range(start, min(start + count, self._app.chain.head.number + 1)):
            decided = self._app.decided(height)
            if decided is None:
                break
            candidate, commit = decided
            entry = BlockWithCommit(candidate.body, commit.encode())
            size += len(entry.block) + len(entry.commit)
            if blocks and size > MAX_REPLY_BYTES:
                break
            blocks.append(entry)
        if not blocks:
            return Refusal(RefusalCode.UNAVAILABLE, f"no block {start}")
        return Blocks(tuple(blocks))

    # -- transactions --------------------------------------------------------------------------------------------
    def announce(self, transaction: Transaction) -> None:
        """A transaction has become executable here: tell the peers, together with what follows at once."""
        if transaction.hash not in self._seen:
            self._note_seen(transaction.hash)
        self._to_announce.append(transaction.hash)
        self._announce_bell.set()

    def _note_seen(self, tx_hash: Hash32) -> None:
        self._seen[tx_hash] = None
        if len(self._seen) > SEEN_TRANSACTIONS:
            self._seen.popitem(last=False)

    async def run_announcer(self) -> None:
        while True:
            await self._announce_bell.wait()
            await trio.sleep(ANNOUNCE_SECONDS)
            self._announce_bell = trio.Event()
            hashes, self._to_announce = self._to_announce, []
            for at in range(0, len(hashes), MAX_HASHES):
                self.manager.broadcast(TransactionHashes(tuple(hashes[at : at + MAX_HASHES])))

    def _want(self, peer: Peer, hashes: tuple[Hash32, ...]) -> None:
        """Note which transactions of an announcement are to be pulled.

        Not pulled here: nothing more is read from that peer while its message is dealt with, the answer neither.
        """
        pool = self._app.producer.pool
        wanted = tuple([tx_hash for tx_hash in hashes if tx_hash not in self._seen and tx_hash not in pool])
        if not wanted or len(self._wanted) >= MAX_PULLS:
            return
        for tx_hash in wanted:
            self._note_seen(tx_hash)
        self._wanted.append((peer, wanted))
        self._pull_bell.set()

    async def run_puller(self) -> None:
        """Pull what was announced, from several peers at once."""
        async with trio.open_nursery() as nursery:
            while True:
                await self._pull_bell.wait()
                self._pull_bell = trio.Event()
                waiting, self._wanted = self._wanted, []
                for peer, wanted in waiting:
                    nursery.start_soon(self._pull, peer, wanted)

    async def _pull(self, peer: Peer, wanted: tuple[Hash32, ...]) -> None:
        try:
            reply = await peer.request(GetTransactions(wanted))
        except RequestFailed:
            for tx_hash in wanted:
                self._seen.pop(tx_hash, None)
            return
        if not isinstance(reply, Transactions):
            return
        for raw in reply.raw:
            try:
                tx = Transaction.decode(raw)
                if tx.hash not in wanted:
                    raise DecodeError("not one that was asked for")
                self._submit(tx)
            except InvalidTransaction as error:
                # the peer's head may be another: nobody is to blame
                log.debug("pulled transaction refused: %s", error)
            except (DecodeError, SignatureError) as error:
                peer.misbehaved(50, f"transactions: {error}")
                return

    # -- blocks --------------------------------------------------------------------------------------------------
    async def run_sync(self) -> None:
        """Fetch blocks in ranges while a peer is well ahead."""
        while True:
            await self._sync_bell.wait()
            self._sync_bell = trio.Event()
            while (peer := self._ahead()) is not None:
                if not await self._sync_from(peer):
                    self._heights.pop(peer.number, None)

    def _ahead(self) -> Peer | None:
        head = self._app.chain.head.number
        best = max(self._heights.items(), key=lambda item: item[1], default=(0, 0))
        return self._peers.get(best[0]) if best[1] >= head + SYNC_BEHIND else None

    async def _sync_from(self, peer: Peer) -> bool:
        """Ask for one range and apply it; False when the peer is of no use."""
        app = self._app
        try:
            reply = await peer.request(GetBlocks(app.chain.head.number + 1, MAX_BLOCKS))
        except RequestFailed:
            return False
        if not isinstance(reply, Blocks):
            return False
        try:
            for entry in reply.blocks:
                if not await self.host.apply_decided(entry.block, Commit.decode(entry.commit)):
                    break
        except (DecodeError, InvalidCertificate) as error:
            peer.misbehaved(100, f"sync: {error}")
            return False
        except DmchainError as error:
            log.warning("sync: %s", error, extra={"peer": "0x" + peer.node_id.hex()})
            return False
        return True


def _within(parts: list[bytes]) -> tuple[bytes, ...]:
    """As many of `parts` as fit a reply."""
    taken, size = [], 0
    for part in parts:
        size += len(part)
        if size > MAX_REPLY_BYTES:
            break
        taken.append(part)
    return tuple(taken)
