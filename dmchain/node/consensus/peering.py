"""The node among its peers: consensus messages, transactions, blocks for who lacks them.

Implements the network's PeerHandler and the consensus host's Wire.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

import trio

from dmchain.chain.blockchain import ChainView
from dmchain.chain.primitives.transaction import Transaction
from dmchain.chain.primitives.types import ZERO_HASH
from dmchain.chain.sync.serving import read_wire, select_blocks
from dmchain.node.consensus.application import Application
from dmchain.node.consensus.host import ConsensusHost
from dmchain.node.consensus.identities import Identities
from dmchain.node.consensus.syncing import Syncing
from dmchain.node.consensus.transactions import MAX_HASHES, SCORE_FAULT, TransactionGossip
from dmchain.node.light_peers import serve_light_block
from dmchain.node.network.errors import RequestFailed
from dmchain.node.network.messages import (
    MAX_REPLY_BYTES,
    MIB,
    Blocks,
    BlockWithCommit,
    ConsensusBody,
    ConsensusMessage,
    GetBlocks,
    GetLightBlock,
    GetSnapshotChunk,
    GetSnapshotManifest,
    GetTransactions,
    NewTransactions,
    Push,
    Refusal,
    RefusalCode,
    Reply,
    Request,
    Status,
    TransactionHashes,
    ValidatorRecord,
    ValidatorRecords,
)
from dmchain.node.network.peer import Peer
from dmchain.node.network.peers import PeerManager
from dmchain.node.state_sync import SnapshotServer
from dmchain.node.worker import Worker

log = logging.getLogger("dmchain.peering")

MAX_BLOCKS: Final = 256
"""In one reply: as many as block sync asks for."""
IDENTITY_SECONDS: Final = 2.0
"""Between two looks at whether this node has to say who it is, and whom to stay connected to."""
MAX_UNREAD_BYTES: Final = 2 * MIB
"""Waiting to be sent to a peer; the next large reply is made when less is left."""
UNREAD_SECONDS: Final = 0.02
SCORE_FALSE_BLOCK: Final = 100
"""A block that is none, or with a commit that is none: nobody has signed that by mistake."""
SCORE_EMPTY_CLAIM: Final = 25
"""Blocks that are claimed and not delivered, three times in a row; it may have been the line, once or twice."""


class Peering:
    """One node's dealings with its peers. Give it `manager`, `host` and `sync` before anything runs."""

    manager: PeerManager
    host: ConsensusHost
    sync: Syncing

    def __init__(
        self,
        app: Application,
        submit: Callable[[Transaction], object],
        identities: Identities,
        worker: Worker,
        snapshots: SnapshotServer | None = None,
    ) -> None:
        """`identities`: who of the peers is which validator. `worker` reads what peers ask for; `snapshots`
        are served to them."""
        self._app = app
        self.transactions = TransactionGossip(
            lambda: app.producer.pool,
            submit,
            lambda: list(self._peers.values()),
            lambda peers, message: self.manager.send_to(peers, message),
        )
        self._identities = identities
        self._worker = worker
        self._snapshots = snapshots
        self._peers: dict[int, Peer] = {}
        self._turns: dict[int, trio.Lock] = {}
        """Large replies to one peer are made one after the other, as it reads them: it could ask for more than it reads."""

    # -- what the consensus host asks ----------------------------------------------------------------------------
    def broadcast(self, payload: bytes, *, has_body: bool) -> None:
        self.manager.broadcast(_envelope(payload, has_body=has_body))

    def send(self, peer: int, payload: bytes, *, has_body: bool) -> None:
        self.send_to([peer], payload, has_body=has_body)

    def send_to(self, peers: list[int], payload: bytes, *, has_body: bool) -> None:
        connected = [self._peers[peer] for peer in peers if peer in self._peers]
        if connected:
            self.manager.send_to(connected, _envelope(payload, has_body=has_body))

    def peers(self) -> list[int]:
        return list(self._peers)

    def fault(self, peer: int, reason: str) -> None:
        connected = self._peers.get(peer)
        if connected is not None:
            log.warning("peer fault: %s", reason, extra={"peer": "0x" + connected.node_id.hex()})
            connected.misbehaved(SCORE_FAULT, reason)

    def behind(self, peer: int, height: int) -> None:
        """It has decided the height before the one it speaks of, if it speaks the truth."""
        connected = self._peers.get(peer)
        if connected is not None and connected.status is not None and connected.status.height < height - 1:
            self._note_claim(connected, Status(height - 1, ZERO_HASH, connected.status.earliest_height))

    def status(self) -> Status:
        view = self._app.chain.view
        earliest = view.blocks.earliest()
        if earliest > 1 and self._app.seen_commit(earliest) is None:
            earliest += 1  # a snapshot came without the commit of its block
        return Status(view.head.number, view.head.hash, earliest)

    # -- what block sync asks ------------------------------------------------------------------------------------
    async def ask(self, peer: int, message: Request) -> Reply:
        """Raises RequestFailed."""
        connected = self._peers.get(peer)
        if connected is None:
            raise RequestFailed("the connection is over")
        return await connected.request(message)

    def sync_fault(self, peer: int, reason: str) -> None:
        connected = self._peers.get(peer)
        if connected is not None:
            connected.misbehaved(SCORE_FALSE_BLOCK, f"sync: {reason}")

    def sync_failure(self, peer: int, reason: str) -> None:
        connected = self._peers.get(peer)
        if connected is not None:
            connected.misbehaved(SCORE_EMPTY_CLAIM, f"sync: {reason}")

    # -- what the network tells ----------------------------------------------------------------------------------
    def on_peer(self, peer: Peer) -> None:
        self._peers[peer.number] = peer
        self._turns[peer.number] = trio.Lock()
        log.debug("connected", extra={"peer": "0x" + peer.node_id.hex()})
        if peer.status is not None:
            self._note_claim(peer, peer.status)
        for records in self._identities.all_records():
            peer.send(ValidatorRecords(records))
        self.transactions.greet(peer)

    # -- who is who ----------------------------------------------------------------------------------------------
    async def run_identities(self) -> None:
        """Say who this node is, and stay connected to validators wherever they say they are."""
        while True:
            own = self._identities.renew()
            if own is not None:
                self.manager.broadcast(ValidatorRecords((own,)))
            begin, end = self._identities.retarget()
            for target in end:
                self.manager.stop_keeping(target.endpoint)
            for target in begin:
                self.manager.keep(target)
            await trio.sleep(IDENTITY_SECONDS)

    def _learn(self, sender: Peer, news: tuple[ValidatorRecord, ...]) -> None:
        """Pass on what is new of validators, and see what those that are connected have said before."""
        if not news:
            return
        self.manager.broadcast(ValidatorRecords(news), except_for=sender)
        nodes = {record.node_id for record in news}
        for peer in list(self._peers.values()):
            if peer.node_id in nodes and peer.status is not None:
                self._note_claim(peer, peer.status)

    def _note_claim(self, peer: Peer, status: Status) -> None:
        self.host.note_tip(peer.node_id, status.height)
        self.sync.peer_status(peer.number, status, self._identities.validator_of(peer.node_id))

    def on_gone(self, peer: Peer, reason: str) -> None:
        self._peers.pop(peer.number, None)
        self._turns.pop(peer.number, None)
        self.sync.peer_gone(peer.number)
        self.host.forget_peer(peer.number)
        log.debug("disconnected: %s", reason, extra={"peer": "0x" + peer.node_id.hex()})

    async def on_message(self, peer: Peer, message: Push) -> None:
        match message:
            case ConsensusMessage(payload) | ConsensusBody(payload):
                await self.host.receive(peer.number, payload)
            case ValidatorRecords(records):
                self._learn(peer, self._identities.take(records))
            case NewTransactions(raw):
                await self.transactions.take_new(peer, raw)
            case TransactionHashes(hashes):
                self.transactions.hear(peer, hashes)
            case Status():
                self._note_claim(peer, message)
            case _:
                pass

    async def on_request(self, peer: Peer, request: Request) -> Reply:
        match request:
            case GetTransactions(hashes):
                return self.transactions.serve(hashes[:MAX_HASHES])
            case _:
                turn = self._turns.get(peer.number)
                if turn is None:
                    return Refusal(RefusalCode.UNAVAILABLE, "the connection is over")
                async with turn:
                    while peer.queued_bytes > MAX_UNREAD_BYTES:
                        await trio.sleep(UNREAD_SECONDS)
                    return await self._serve(request)

    async def _serve(self, request: Request) -> Reply:
        """What is large or has to be read from the disk."""
        match request:
            case GetBlocks(start, count):
                return await self._worker.run(_serve_blocks, self._app.chain.view, start, count)
            case GetLightBlock(height):
                return await self._worker.run(serve_light_block, self._app.chain.view, height)
            case GetSnapshotManifest() if self._snapshots is not None:
                return await self._worker.run(self._snapshots.manifest, request)
            case GetSnapshotChunk() if self._snapshots is not None:
                return await self._worker.run(self._snapshots.chunk, request)
            case _:
                return Refusal(RefusalCode.UNAVAILABLE, "not served here")


def _serve_blocks(view: ChainView, start: int, count: int) -> Reply:
    blocks = view.blocks
    wires = select_blocks(
        lambda height: read_wire(blocks, height), start, count, max_blocks=MAX_BLOCKS, max_bytes=MAX_REPLY_BYTES
    )
    if not wires:
        return Refusal(RefusalCode.UNAVAILABLE, f"no block {start}")
    return Blocks(tuple([BlockWithCommit(wire.block, wire.commit) for wire in wires]))


def _envelope(payload: bytes, *, has_body: bool) -> ConsensusMessage | ConsensusBody:
    return ConsensusBody(payload) if has_body else ConsensusMessage(payload)
