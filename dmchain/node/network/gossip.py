"""How news spreads: consensus messages are pushed whole, transactions are announced and pulled.

Both remember by content hash what they have seen, in bounded tables. Nothing is passed on before the host of this
package has found it valid.
"""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice
from random import Random
from typing import Final, Protocol

import trio

from dmchain.chain.primitives.crypto import keccak
from dmchain.chain.primitives.types import Hash32
from dmchain.node.network.errors import (
    SCORE_FLOOD,
    SCORE_UNSOLICITED,
    DisconnectCode,
    ProtocolError,
    RequestFailed,
)
from dmchain.node.network.limits import Rate, TokenBucket
from dmchain.node.network.messages import (
    MAX_CONSENSUS_BYTES,
    MAX_HASHES,
    MAX_REPLY_BYTES,
    ConsensusBody,
    ConsensusMessage,
    GetTransactions,
    TransactionHashes,
    Transactions,
)
from dmchain.node.network.peer import Peer
from dmchain.node.network.peers import PeerManager

logger = logging.getLogger("dmchain.network")

MAX_SEEN: Final = 8_192
"""Consensus messages remembered with who sent them: 20 heights of 200 validators."""
MAX_SLOTS: Final = 65_536
MAX_KNOWN_PER_PEER: Final = 4_096
MAX_PULLS: Final = 16_384
MAX_PULLS_PER_PEER: Final = 2_048
"""Transactions to be pulled that have not come yet, in all and from one peer; further announcements are not heard."""
MAX_ANNOUNCERS: Final = 4
"""Other peers remembered for each of them, should the first not deliver."""
PULL_SECONDS: Final = 5.0
GATHER_SECONDS: Final = 0.01
"""Hashes that come within this time of an announcement go into the next one."""
REPEATS: Final = Rate(50, 500)
"""Of one consensus message by the same peer: a stuck validator repeats itself once a second."""


class SeenCache:
    """The last `capacity` keys."""

    __slots__ = ("_capacity", "_keys")

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._keys: OrderedDict[Hashable, None] = OrderedDict()

    def add(self, key: Hashable) -> bool:
        """Remember a key; return whether it is new."""
        if key in self._keys:
            self._keys.move_to_end(key)
            return False
        self._keys[key] = None
        if len(self._keys) > self._capacity:
            self._keys.popitem(last=False)
        return True

    def discard(self, key: Hashable) -> None:
        self._keys.pop(key, None)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._keys

    def __len__(self) -> int:
        return len(self._keys)


def content_id(payload: bytes) -> bytes:
    """32 bytes that name a payload; SHA-256, because processors have instructions for it."""
    return hashlib.sha256(payload).digest()


class SlotFilter:
    """At most two different messages for one slot: the first, and a second one as proof that the sender lies.

    A slot is (height, round, validator, kind) of a vote whose signature has been checked.
    """

    def __init__(self, capacity: int = MAX_SLOTS) -> None:
        self._capacity = capacity
        self._slots: OrderedDict[Hashable, tuple[bytes, ...]] = OrderedDict()

    def admit(self, slot: Hashable, name: bytes) -> bool:
        """Whether the message of that name is one of the first two of its slot."""
        names = self._slots.get(slot, ())
        if name in names:
            return True
        if len(names) >= 2:
            return False
        self._slots[slot] = (*names, name)
        self._slots.move_to_end(slot)
        if len(self._slots) > self._capacity:
            self._slots.popitem(last=False)
        return True


class Verdict(Enum):
    """What the judge makes of a consensus message."""

    RELAY = "relay"
    """Valid and of use to others: pass it on."""
    KEEP = "keep"
    """Valid, but others get it from its author."""
    IGNORE = "ignore"
    """Neither good nor bad, such as one of a far height: forget it, so that it may come again."""


class ConsensusJudge(Protocol):
    """Takes consensus messages that are new to this node."""

    async def judge(self, peer: Peer, payload: bytes) -> Verdict:
        """Decode, verify and take a message; waiting is back-pressure on that peer.

        Raises ProtocolError, DecodeError or SignatureError for what no correct node sends or relays.
        """


class ConsensusGossip:
    """Pushes consensus messages to everybody, each once, judged before it goes on.

    `degree` limits to how many peers a message is relayed; one's own go to all.
    """

    def __init__(self, peers: PeerManager, judge: ConsensusJudge, rng: Random, *, degree: int = 8) -> None:
        self.repeated = 0
        self._peers = peers
        self._judge = judge
        self._rng = rng
        self._degree = degree
        self._seen: OrderedDict[bytes, set[int]] = OrderedDict()
        """The numbers of the peers that have sent us the message of that name."""
        self._repeats: dict[int, TokenBucket] = {}

    def publish(self, payload: bytes) -> int:
        """Send one's own message to all peers; return to how many."""
        self._note(content_id(payload), None)
        return self._peers.broadcast(_wrap(payload))

    def send(self, peer: Peer, payload: bytes) -> bool:
        """Send a message to one peer: an answer, a certificate it lacks."""
        return peer.send(_wrap(payload))

    async def on_message(self, peer: Peer, message: ConsensusMessage | ConsensusBody) -> None:
        """Take a message from a peer; raises what the judge raises, and ProtocolError for endless repetition."""
        payload = message.payload
        if isinstance(message, ConsensusBody) and len(payload) <= MAX_CONSENSUS_BYTES:
            raise ProtocolError("ConsensusBody: small enough for ConsensusMessage", score=SCORE_UNSOLICITED)
        name = content_id(payload)
        if not self._note(name, peer):
            return
        verdict = await self._judge.judge(peer, payload)
        if verdict is Verdict.IGNORE:
            self._seen.pop(name, None)
        elif verdict is Verdict.RELAY:
            self._relay(name, message)

    def forget_peer(self, peer: Peer) -> None:
        """The peer is gone."""
        self._repeats.pop(peer.number, None)

    def _note(self, name: bytes, peer: Peer | None) -> bool:
        """Remember who has a message; return whether it is new."""
        senders = self._seen.get(name)
        if senders is None:
            self._seen[name] = set() if peer is None else {peer.number}
            if len(self._seen) > MAX_SEEN:
                self._seen.popitem(last=False)
            return True
        self.repeated += 1
        if peer is not None:
            if peer.number in senders:
                self._count_repeat(peer)
            senders.add(peer.number)
        return False

    def _count_repeat(self, peer: Peer) -> None:
        now = trio.current_time()
        bucket = self._repeats.setdefault(peer.number, TokenBucket(REPEATS, now))
        if not bucket.try_take(1, now):
            raise ProtocolError(
                "ConsensusMessage: the same ones again and again", score=SCORE_FLOOD, code=DisconnectCode.FLOOD
            )

    def _relay(self, name: bytes, message: ConsensusMessage | ConsensusBody) -> None:
        have = self._seen.get(name, set())
        lacking = [peer for peer in self._peers.peers.values() if peer.number not in have]
        if len(lacking) > self._degree:
            lacking = self._rng.sample(lacking, self._degree)
        self._peers.send_to(lacking, message)


def _wrap(payload: bytes) -> ConsensusMessage | ConsensusBody:
    return ConsensusMessage(payload) if len(payload) <= MAX_CONSENSUS_BYTES else ConsensusBody(payload)


class TransactionPool(Protocol):
    """What gossip needs of the mempool."""

    def has(self, transaction_hash: Hash32) -> bool:
        """Whether the transaction is in the pool, or was refused or mined so lately that it is not wanted."""

    def get_raw(self, transaction_hash: Hash32) -> bytes | None:
        """The bytes to hand on."""

    async def add_from_peer(self, peer: Peer, raw: Sequence[bytes]) -> None:
        """Take transactions whose hashes were asked for; call `TransactionGossip.announce` with those admitted.

        Raises ProtocolError, DecodeError or SignatureError for what no correct node has in its pool; a transaction
        that only does not suit us, for its price or nonce, is no offence.
        """


@dataclass(slots=True)
class _Pull:
    """A transaction asked for. `others` have announced it too."""

    others: list[Peer] = field(default_factory=list)


class TransactionGossip:
    """Announces hashes, pulls what is missing. `run` must be running."""

    def __init__(self, peers: PeerManager, pool: TransactionPool) -> None:
        self._peers = peers
        self._pool = pool
        self._known: dict[int, SeenCache] = {}
        """Hashes that a peer has told us or was told, by its number."""
        self._fresh: dict[Hash32, None] = {}
        self._is_fresh = trio.Event()
        self._pulls: dict[Hash32, _Pull] = {}
        self._wanted: dict[Peer, list[Hash32]] = {}
        """What is still to be asked of a peer; a peer is in it while a task pulls from it."""
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Announce and pull until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            while True:
                await self._is_fresh.wait()
                self._is_fresh = trio.Event()
                self._announce_fresh()
                await trio.sleep(GATHER_SECONDS)

    def announce(self, hashes: Sequence[Hash32]) -> None:
        """Tell peers of transactions newly in the pool: the first at once, those that follow closely together."""
        for transaction_hash in hashes:
            self._fresh[transaction_hash] = None
        if self._fresh:
            self._is_fresh.set()

    def greet(self, peer: Peer, hashes: Sequence[Hash32]) -> None:
        """Tell a new peer of the pool's executable transactions, at most MAX_HASHES."""
        self._tell(peer, hashes[:MAX_HASHES])

    def forget_peer(self, peer: Peer) -> None:
        """The peer is gone."""
        self._known.pop(peer.number, None)

    def on_hashes(self, peer: Peer, message: TransactionHashes) -> None:
        """A peer has announced transactions: pull those we lack, unless too many are under way already."""
        known = self._known_to(peer)
        wanted: list[Hash32] = []
        room = min(MAX_PULLS - len(self._pulls), MAX_PULLS_PER_PEER - len(self._wanted.get(peer, ())))
        for transaction_hash in message.hashes:
            known.add(transaction_hash)
            pull = self._pulls.get(transaction_hash)
            if pull is not None:
                if len(pull.others) < MAX_ANNOUNCERS:
                    pull.others.append(peer)
            elif len(wanted) < room and not self._pool.has(transaction_hash):
                self._pulls[transaction_hash] = _Pull()
                wanted.append(transaction_hash)
        self._start_pull(peer, wanted)

    def on_request(self, peer: Peer, request: GetTransactions) -> Transactions:
        """The transactions asked for that are in the pool, up to MAX_REPLY_BYTES."""
        known = self._known_to(peer)
        found: list[bytes] = []
        size = 0
        for transaction_hash in request.hashes:
            raw = self._pool.get_raw(transaction_hash)
            if raw is not None:
                size += len(raw) + 5  # msgpack's longest head of a byte string
                if found and size > MAX_REPLY_BYTES:
                    break
                found.append(raw)
                known.add(transaction_hash)
        return Transactions(tuple(found))

    def _announce_fresh(self) -> None:
        hashes, self._fresh = list(self._fresh), {}
        for peer in list(self._peers.peers.values()):
            self._tell(peer, hashes)

    def _tell(self, peer: Peer, hashes: Sequence[Hash32]) -> None:
        known = self._known_to(peer)
        news = iter([each for each in hashes if known.add(each)])
        while batch := tuple(islice(news, MAX_HASHES)):
            if not peer.send(TransactionHashes(batch)):
                for each in batch:
                    known.discard(each)

    def _known_to(self, peer: Peer) -> SeenCache:
        known = self._known.get(peer.number)
        if known is None:
            known = self._known[peer.number] = SeenCache(MAX_KNOWN_PER_PEER)
        return known

    def _start_pull(self, peer: Peer, hashes: list[Hash32]) -> None:
        if not hashes:
            return
        if peer in self._wanted:
            self._wanted[peer] += hashes
            return
        assert self._nursery is not None, "run is not running"
        self._wanted[peer] = hashes
        self._nursery.start_soon(self._keep_pulling, peer)

    async def _keep_pulling(self, peer: Peer) -> None:
        """Ask a peer for what is wanted of it, one request after the other."""
        wanted = self._wanted[peer]
        while wanted:
            batch, wanted[:] = wanted[:MAX_HASHES], wanted[MAX_HASHES:]
            await self._pull(peer, batch)
        del self._wanted[peer]

    async def _pull(self, peer: Peer, hashes: list[Hash32]) -> None:
        """Ask one peer; what does not come is asked of another one that has announced it."""
        try:
            reply = await peer.request(GetTransactions(tuple(hashes)), PULL_SECONDS)
            assert isinstance(reply, Transactions)
            self._check_asked(reply, hashes)
            await peer.guard(lambda: self._pool.add_from_peer(peer, reply.raw))
        except RequestFailed as error:
            logger.debug("transactions: %s", error)
        except ProtocolError as error:
            peer.fail(error)
        self._ask_others(hashes)

    def _check_asked(self, reply: Transactions, hashes: Sequence[Hash32]) -> None:
        asked = set(hashes)
        for raw in reply.raw:
            transaction_hash = keccak(raw)  # of the envelope: the hash of every type of transaction
            if transaction_hash not in asked:
                raise ProtocolError(f"Transactions: 0x{transaction_hash.hex()} was not asked for")
            asked.discard(transaction_hash)

    def _ask_others(self, hashes: Sequence[Hash32]) -> None:
        next_asks: dict[Peer, list[Hash32]] = {}
        for transaction_hash in hashes:
            pull = self._pulls.pop(transaction_hash)
            if self._pool.has(transaction_hash):
                continue
            while pull.others:
                other = pull.others.pop(0)
                if other.is_open:
                    next_asks.setdefault(other, []).append(transaction_hash)
                    self._pulls[transaction_hash] = pull
                    break
        for peer, wanted in next_asks.items():
            self._start_pull(peer, wanted)
