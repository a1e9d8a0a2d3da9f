"""The node among its peers: consensus messages, transactions, blocks for who lacks them.

Implements the network's PeerHandler and the consensus host's Wire.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from random import Random
from typing import Final

import trio

from dmchain.chain.consensus.certificates import InvalidCertificate
from dmchain.chain.consensus.commit import Commit
from dmchain.chain.primitives.errors import DecodeError, InvalidTransaction, SignatureError
from dmchain.chain.primitives.transaction import Transaction
from dmchain.chain.primitives.types import ZERO_HASH, Hash32
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
MAX_ASKED: Final = 65_536
"""Transactions asked for and not come; and of each, so many other peers to ask are remembered:"""
MAX_SOURCES: Final = 3
SYNC_BEHIND: Final = 2
"""Heights behind a peer from which blocks are asked for in ranges; less is caught up with by decisions."""
SYNC_REST_SECONDS: Final = 10.0
"""A peer that was asked for blocks in vain is not asked again for so long."""
SCORE_FAULT: Final = 60
"""What no correct validator sends; the second time bans."""
SCORE_EMPTY_CLAIM: Final = 25
"""A height that is claimed and not delivered; it may have been the line, once or twice."""


class Peering:
    """One node's dealings with its peers. Give it `manager` and `host` before anything runs."""

    manager: PeerManager
    host: ConsensusHost

    def __init__(self, app: Application, submit: Callable[[Transaction], object], rng: Random) -> None:
        self._app = app
        self._submit = submit
        self._rng = rng
        self._peers: dict[int, Peer] = {}
        self._claims: dict[int, Status] = {}
        """What peers say of their chains."""
        self._resting: dict[int, float] = {}
        """Until when a peer is not asked for blocks."""
        self._seen: OrderedDict[Hash32, None] = OrderedDict()
        """Transactions that have been dealt with, lately: those that the pool has refused, too."""
        self._asked: dict[Hash32, list[Peer]] = {}
        """Transactions under way, with others that have them."""
        self._to_announce: list[Hash32] = []
        self._announce_bell = trio.Event()
        self._wanted: list[tuple[Peer, tuple[Hash32, ...]]] = []
        self._pulls = 0
        self._pull_bell = trio.Event()
        self._sync_bell = trio.Event()

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
        if peer in self._peers:
            known = self._claims.get(peer)
            earliest = 1 if known is None else known.earliest_height
            if known is None or known.height < height - 1:
                self._claims[peer] = Status(height - 1, ZERO_HASH, earliest)
                self._sync_bell.set()

    def status(self) -> Status:
        head = self._app.chain.head
        return Status(head.number, head.hash, 1)

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
        self._claims[peer.number] = status
        self.host.note_tip(peer.node_id, status.height)
        self._sync_bell.set()

    def _executable(self) -> list[Transaction]:
        pending, _ = self._app.producer.pool.content()
        return [tx for by_nonce in pending.values() for tx in by_nonce.values()]

    def on_gone(self, peer: Peer, reason: str) -> None:
        self._peers.pop(peer.number, None)
        self._claims.pop(peer.number, None)
        self._resting.pop(peer.number, None)
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

    # -- blocks --------------------------------------------------------------------------------------------------
    async def run_sync(self) -> None:
        """Fetch blocks in ranges while peers are well ahead."""
        while True:
            self._sync_bell = trio.Event()
            ahead = self._ahead()
            now = trio.current_time()
            rested = [peer for peer in ahead if self._resting.get(peer.number, now) <= now]
            if rested:
                await self._sync_from(self._rng.choice(rested))
                continue
            rests_until = [self._resting[peer.number] for peer in ahead]
            with trio.move_on_at(min(rests_until, default=float("inf"))):
                await self._sync_bell.wait()

    def _ahead(self) -> list[Peer]:
        """Who claims to have the blocks that are missing here. Not the highest claim first: anybody can claim that."""
        head = self._app.chain.head.number
        return [
            self._peers[number]
            for number, claim in self._claims.items()
            if claim.height >= head + SYNC_BEHIND and claim.earliest_height <= head + 1 and number in self._peers
        ]

    async def _sync_from(self, peer: Peer) -> None:
        """Ask for one range and apply it; let a peer that was of no use rest."""
        chain = self._app.chain
        before = chain.head.number
        try:
            reply = await peer.request(GetBlocks(before + 1, MAX_BLOCKS))
            if isinstance(reply, Blocks):
                await self._apply(reply)
        except RequestFailed as error:
            log.info("sync: %s", error)
        except (DecodeError, InvalidCertificate) as error:
            peer.misbehaved(100, f"sync: {error}")
        if chain.head.number == before:  # not even consensus has moved it
            self._resting[peer.number] = trio.current_time() + SYNC_REST_SECONDS
            if peer.is_open:
                claim = self._claims[peer.number].height if peer.number in self._claims else before
                peer.misbehaved(SCORE_EMPTY_CLAIM, f"sync: claims height {claim} and delivers no block {before + 1}")

    async def _apply(self, reply: Blocks) -> None:
        """Raises DecodeError and InvalidCertificate; Halted ends the node."""
        for entry in reply.blocks:
            commit = Commit.decode(entry.commit)
            if commit.height > self._app.chain.head.number and not await self.host.apply_decided(entry.block, commit):
                return


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
