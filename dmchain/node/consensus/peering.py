"""The node among its peers: consensus messages, transactions, blocks for who lacks them.

Implements the network's PeerHandler and the consensus host's Wire.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import trio

from dmchain.chain.primitives.errors import DecodeError, InvalidTransaction, SignatureError
from dmchain.chain.primitives.transaction import Transaction
from dmchain.chain.primitives.types import ZERO_HASH, Address, Hash32
from dmchain.chain.sync.serving import select_blocks
from dmchain.chain.sync.verify import WireBlock
from dmchain.node.consensus.application import Application
from dmchain.node.consensus.host import ConsensusHost
from dmchain.node.consensus.syncing import Syncing
from dmchain.node.network.errors import RequestFailed
from dmchain.node.network.identity import NodeId
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
MAX_BLOCKS: Final = 256
"""In one reply: as many as block sync asks for."""
MAX_REPLY_BYTES: Final = 2 * MIB
MAX_ASKED: Final = 65_536
"""Transactions asked for and not come; and of each, so many other peers to ask are remembered:"""
MAX_SOURCES: Final = 3
SCORE_FAULT: Final = 60
"""What no correct validator sends; the second time bans."""
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
        validator_of: Callable[[NodeId], Address | None],
    ) -> None:
        """`validator_of`: the consensus address that a node has proved to hold."""
        self._app = app
        self._submit = submit
        self._validator_of = validator_of
        self._peers: dict[int, Peer] = {}
        self._seen: OrderedDict[Hash32, None] = OrderedDict()
        """Transactions that have been dealt with, lately: those that the pool has refused, too."""
        self._asked: dict[Hash32, list[Peer]] = {}
        """Transactions under way, with others that have them."""
        self._to_announce: list[Hash32] = []
        self._announce_bell = trio.Event()
        self._wanted: list[tuple[Peer, tuple[Hash32, ...]]] = []
        self._pulls = 0
        self._pull_bell = trio.Event()

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
        return Status(view.head.number, view.head.hash, view.blocks.earliest())

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
        log.debug("connected", extra={"peer": "0x" + peer.node_id.hex()})
        if peer.status is not None:
            self._note_claim(peer, peer.status)
        waiting = [tx.hash for tx in self._executable()]
        for at in range(0, len(waiting), MAX_HASHES):
            peer.send(TransactionHashes(tuple(waiting[at : at + MAX_HASHES])))

    def _note_claim(self, peer: Peer, status: Status) -> None:
        self.host.note_tip(peer.node_id, status.height)
        self.sync.peer_status(peer.number, status, self._validator_of(peer.node_id))

    def _executable(self) -> list[Transaction]:
        pending, _ = self._app.producer.pool.content()
        return [tx for by_nonce in pending.values() for tx in by_nonce.values()]

    def on_gone(self, peer: Peer, reason: str) -> None:
        self._peers.pop(peer.number, None)
        self.sync.peer_gone(peer.number)
        self.host.forget_peer(peer.number)
        log.debug("disconnected: %s", reason, extra={"peer": "0x" + peer.node_id.hex()})

    async def on_message(self, peer: Peer, message: Push) -> None:
        match message:
            case ConsensusMessage(payload) | ConsensusBody(payload):
                await self.host.receive(peer.number, payload)
            case TransactionHashes(hashes):
                self._want(peer, hashes)
            case Status():
                self._note_claim(peer, message)
            case _:
                pass

    async def on_request(self, peer: Peer, request: Request) -> Reply:
        match request:
            case GetTransactions(hashes):
                found = [self._app.producer.pool.get(tx_hash) for tx_hash in hashes[:MAX_HASHES]]
                return Transactions(_within([tx.raw for tx in found if tx is not None]))
            case GetBlocks(start, count):
                return self._serve_blocks(start, count)
            case _:
                return Refusal(RefusalCode.UNSUPPORTED, "not served here")

    def _serve_blocks(self, start: int, count: int) -> Reply:
        wires = select_blocks(self._wire_block, start, count, max_blocks=MAX_BLOCKS, max_bytes=MAX_REPLY_BYTES)
        if not wires:
            return Refusal(RefusalCode.UNAVAILABLE, f"no block {start}")
        return Blocks(tuple([BlockWithCommit(wire.block, wire.commit) for wire in wires]))

    def _wire_block(self, height: int) -> WireBlock | None:
        decided = self._app.decided(height)
        return None if decided is None else WireBlock(decided[0].body, decided[1].encode())

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
        wanted = []
        for tx_hash in hashes:
            if tx_hash in self._seen or tx_hash in pool:
                continue
            others = self._asked.get(tx_hash)
            if others is None:
                wanted.append(tx_hash)
            elif len(others) < MAX_SOURCES and peer not in others:
                others.append(peer)
        if self._pulls < MAX_PULLS and len(self._asked) < MAX_ASKED:
            self._pull_soon(peer, wanted)

    def _pull_soon(self, peer: Peer, wanted: list[Hash32]) -> None:
        for at in range(0, len(wanted), MAX_HASHES):
            part = tuple(wanted[at : at + MAX_HASHES])
            self._asked.update({tx_hash: [] for tx_hash in part if tx_hash not in self._asked})
            self._pulls += 1
            self._wanted.append((peer, part))
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
            came = self._take_transactions(peer, reply.raw, wanted) if isinstance(reply, Transactions) else set()
        except RequestFailed:
            came = set()
        finally:
            self._pulls -= 1
        for tx_hash in came:
            self._asked.pop(tx_hash, None)
            self._note_seen(tx_hash)
        self._ask_others([tx_hash for tx_hash in wanted if tx_hash not in came])

    def _take_transactions(self, peer: Peer, raw: tuple[bytes, ...], wanted: tuple[Hash32, ...]) -> set[Hash32]:
        """Put transactions into the pool; return which of those that were wanted have come."""
        came: set[Hash32] = set()
        expected = set(wanted)
        for each in raw:
            try:
                tx = Transaction.decode(each)
                if tx.hash not in expected:
                    raise DecodeError("not one that was asked for")
                came.add(tx.hash)
                self._submit(tx)
            except InvalidTransaction as error:
                # the peer's head may be another: nobody is to blame
                log.debug("pulled transaction refused: %s", error)
            except (DecodeError, SignatureError) as error:
                peer.misbehaved(SCORE_FAULT, f"transactions: {error}")
                break
        return came

    def _ask_others(self, missing: list[Hash32]) -> None:
        """A peer did not deliver what it had announced: whoever has announced the same is next."""
        for tx_hash in missing:
            others = [peer for peer in self._asked.pop(tx_hash, []) if peer.is_open]
            if others:
                self._asked[tx_hash] = others[1:]
                self._pull_soon(others[0], [tx_hash])


def _envelope(payload: bytes, *, has_body: bool) -> ConsensusMessage | ConsensusBody:
    return ConsensusBody(payload) if has_body else ConsensusMessage(payload)


def _within(parts: list[bytes]) -> tuple[bytes, ...]:
    """As many of `parts` as fit a reply."""
    taken, size = [], 0
    for part in parts:
        size += len(part)
        if size > MAX_REPLY_BYTES:
            break
        taken.append(part)
    return tuple(taken)
