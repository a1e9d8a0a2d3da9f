"""How transactions get around: those of this node's clients are pushed whole to some peers, so that the next proposer has
them a millisecond later; everything else is announced by hash and pulled by whoever lacks it.

What came from a peer is announced later than what came from a client, and to those only that have not told of it: most of
it is in a block by then, and nobody has to hear of it again.
"""

from __future__ import annotations

import logging
import math
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

import trio

from dmchain.chain.mempool import Mempool
from dmchain.chain.primitives.errors import DecodeError, InvalidTransaction, SignatureError
from dmchain.chain.primitives.transaction import Transaction
from dmchain.chain.primitives.types import Hash32
from dmchain.node.network.errors import RequestFailed
from dmchain.node.network.messages import (
    MAX_NEW_BYTES,
    MAX_NEW_TRANSACTIONS,
    MAX_REPLY_BYTES,
    GetTransactions,
    NewTransactions,
    Push,
    TransactionHashes,
    Transactions,
)
from dmchain.node.network.peer import Peer

log = logging.getLogger("dmchain.peering")

MAX_HASHES: Final = 512
"""Announced or asked for at once."""
ANNOUNCE_SECONDS: Final = 0.01
"""Between two announcements; the first after a silence goes at once."""
RELAY_SECONDS: Final = 0.03
"""How long what came from a peer waits: a block takes about as long."""
PUSH_PEERS: Final = 8
"""Peers that get new transactions whole, or the square root of all if that is more; the others hear of them."""
SEEN_TRANSACTIONS: Final = 65_536
MAX_PULLS: Final = 256
"""Announcements waiting to be pulled; more are left to be announced by others."""
MAX_ASKED: Final = 65_536
"""Transactions asked for and not come; and of each, so many other peers to ask are remembered:"""
MAX_SOURCES: Final = 3
MAX_TOLD: Final = 16_384
"""Transactions of which it is remembered who has told of them."""
TAKEN_PER_TURN: Final = 16
"""Pushed transactions that are taken, some 3 ms, before other tasks get a turn."""
SCORE_FAULT: Final = 60
"""What no correct node sends; the second time bans."""


class TransactionGossip:
    """Transactions between one node's pool and its peers."""

    def __init__(
        self,
        pool: Callable[[], Mempool],
        submit: Callable[[Transaction], object],
        peers: Callable[[], list[Peer]],
        send: Callable[[list[Peer], Push], object],
    ) -> None:
        """`submit` puts a transaction into the pool, and raises InvalidTransaction or SignatureError; the pool's owner
        calls `announce` for what has become executable. `peers` are those connected now."""
        self._pool = pool
        self._submit = submit
        self._peers = peers
        self._send = send
        self._seen: OrderedDict[Hash32, bool] = OrderedDict()
        """Transactions that have been dealt with, lately, those that the pool has refused too; whether from a peer."""
        self._told: OrderedDict[Hash32, set[int]] = OrderedDict()
        """Who has told of a transaction, by number of the peer."""
        self._asked: dict[Hash32, list[Peer]] = {}
        """Transactions under way, with others that have them."""
        self._new: list[Transaction] = []
        self._to_relay: list[Hash32] = []
        self._announce_bell = trio.Event()
        self._relay_bell = trio.Event()
        self._wanted: list[tuple[Peer, tuple[Hash32, ...]]] = []
        self._pulls = 0
        self._pull_bell = trio.Event()
        self._turn = 0

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._run_announcer)
            nursery.start_soon(self._run_relay)
            nursery.start_soon(self._run_puller)

    # -- telling -------------------------------------------------------------------------------------------------
    def announce(self, transaction: Transaction) -> None:
        """A transaction has become executable here: tell the peers."""
        if self._seen.get(transaction.hash):
            self._to_relay.append(transaction.hash)
            self._relay_bell.set()
        else:
            self._note_seen(transaction.hash, is_foreign=False)
            self._new.append(transaction)
            self._announce_bell.set()

    def greet(self, peer: Peer) -> None:
        """Tell a new peer of all that waits here."""
        pending, _ = self._pool().content()
        waiting = [tx.hash for by_nonce in pending.values() for tx in by_nonce.values()]
        self._tell([peer], waiting)

    async def _run_announcer(self) -> None:
        while True:
            await self._announce_bell.wait()
            self._announce_bell = trio.Event()
            new, self._new = self._new, []
            self._push(new)
            await trio.sleep(ANNOUNCE_SECONDS)

    def _push(self, new: list[Transaction]) -> None:
        """Send what is new whole to some peers, others each time, and its hashes to the rest."""
        peers = self._peers()
        count = max(PUSH_PEERS, math.isqrt(len(peers)))
        if len(peers) > count:
            self._turn = (self._turn + count) % len(peers)
            peers = peers[self._turn :] + peers[: self._turn]
        whole = _first_within(new)
        if whole:
            self._send(peers[:count], NewTransactions(tuple([tx.raw for tx in whole])))
        hashes = [tx.hash for tx in new]
        self._tell(peers[:count], hashes[len(whole) :])
        self._tell(peers[count:], hashes)

    async def _run_relay(self) -> None:
        while True:
            await self._relay_bell.wait()
            await trio.sleep(RELAY_SECONDS)
            self._relay_bell = trio.Event()
            hashes, self._to_relay = self._to_relay, []
            pool = self._pool()
            waiting = [tx_hash for tx_hash in hashes if tx_hash in pool]
            for peer in self._peers() if waiting else ():
                self._tell([peer], [tx_hash for tx_hash in waiting if peer.number not in self._told.get(tx_hash, ())])

    def _tell(self, peers: list[Peer], hashes: list[Hash32]) -> None:
        for at in range(0, len(hashes), MAX_HASHES):
            self._send(peers, TransactionHashes(tuple(hashes[at : at + MAX_HASHES])))

    # -- hearing -------------------------------------------------------------------------------------------------
    async def take_new(self, peer: Peer, raw: tuple[bytes, ...]) -> None:
        """Take transactions that a peer has pushed. Raises DecodeError and SignatureError, which are its fault."""
        pool = self._pool()
        for number, each in enumerate(raw, 1):
            tx = Transaction.decode(each)
            self._note_told(peer, tx.hash)
            if tx.hash not in self._seen and tx.hash not in pool:
                self._take(tx)
            if number % TAKEN_PER_TURN == 0:
                await trio.lowlevel.checkpoint()

    def _take(self, tx: Transaction) -> None:
        """Raises SignatureError."""
        self._note_seen(tx.hash, is_foreign=True)
        try:
            self._submit(tx)
        except InvalidTransaction as error:
            # the peer's head may be another: nobody is to blame
            log.debug("transaction of a peer refused: %s", error)

    def _note_seen(self, tx_hash: Hash32, *, is_foreign: bool) -> None:
        self._seen[tx_hash] = is_foreign
        if len(self._seen) > SEEN_TRANSACTIONS:
            self._seen.popitem(last=False)

    def _note_told(self, peer: Peer, tx_hash: Hash32) -> None:
        known = self._told.get(tx_hash)
        if known is None:
            known = self._told[tx_hash] = set()
            if len(self._told) > MAX_TOLD:
                self._told.popitem(last=False)
        known.add(peer.number)

    def hear(self, peer: Peer, hashes: Iterable[Hash32]) -> None:
        """Note which transactions of an announcement are to be pulled.

        Not pulled here: nothing more is read from that peer while its message is dealt with, the answer neither.
        """
        pool = self._pool()
        wanted = []
        for tx_hash in hashes:
            self._note_told(peer, tx_hash)
            if tx_hash in self._seen or tx_hash in pool:
                continue
            others = self._asked.get(tx_hash)
            if others is None:
                wanted.append(tx_hash)
            elif len(others) < MAX_SOURCES and peer not in others:
                others.append(peer)
        if self._pulls < MAX_PULLS and len(self._asked) < MAX_ASKED:
            self._pull_soon(peer, wanted)

    # -- pulling -------------------------------------------------------------------------------------------------
    def _pull_soon(self, peer: Peer, wanted: list[Hash32]) -> None:
        for at in range(0, len(wanted), MAX_HASHES):
            part = tuple(wanted[at : at + MAX_HASHES])
            self._asked.update({tx_hash: [] for tx_hash in part if tx_hash not in self._asked})
            self._pulls += 1
            self._wanted.append((peer, part))
            self._pull_bell.set()

    async def _run_puller(self) -> None:
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
            came = self._take_reply(peer, reply.raw, wanted) if isinstance(reply, Transactions) else set()
        except RequestFailed:
            came = set()
        finally:
            self._pulls -= 1
        for tx_hash in came:
            self._asked.pop(tx_hash, None)
        self._ask_others([tx_hash for tx_hash in wanted if tx_hash not in came])

    def _take_reply(self, peer: Peer, raw: tuple[bytes, ...], wanted: tuple[Hash32, ...]) -> set[Hash32]:
        """Put transactions into the pool; return which of those that were wanted have come."""
        came: set[Hash32] = set()
        expected = set(wanted)
        try:
            for each in raw:
                tx = Transaction.decode(each)
                if tx.hash not in expected:
                    raise DecodeError("not one that was asked for")
                came.add(tx.hash)
                self._take(tx)
        except (DecodeError, SignatureError) as error:
            peer.misbehaved(SCORE_FAULT, f"transactions: {error}")
        return came

    def _ask_others(self, missing: list[Hash32]) -> None:
        """A peer did not deliver what it had announced: whoever has announced the same is next."""
        for tx_hash in missing:
            others = [peer for peer in self._asked.pop(tx_hash, []) if peer.is_open]
            if others and tx_hash not in self._seen:
                self._asked[tx_hash] = others[1:]
                self._pull_soon(others[0], [tx_hash])

    def serve(self, hashes: Iterable[Hash32]) -> Transactions:
        """The answer to a pull: as much of it as fits a reply."""
        pool = self._pool()
        taken: list[bytes] = []
        size = 0
        for tx_hash in hashes:
            tx = pool.get(tx_hash)
            if tx is None:
                continue
            size += len(tx.raw)
            if size > MAX_REPLY_BYTES:
                break
            taken.append(tx.raw)
        return Transactions(tuple(taken))


def _first_within(transactions: list[Transaction]) -> list[Transaction]:
    """As many from the beginning as one message may push."""
    size = count = 0
    for tx in transactions[:MAX_NEW_TRANSACTIONS]:
        size += len(tx.raw)
        if size > MAX_NEW_BYTES:
            break
        count += 1
    return transactions[:count]
