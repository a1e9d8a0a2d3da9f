"""All peers of a node: dials, accepts, resolves duplicates, keeps slots, judges, and passes messages to the handler.

One nursery, opened by `run`, holds every connection; a peer's faults stay within its own task (peer.py).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Final

import trio

from dmchain.chain.primitives.errors import InvariantBroken
from dmchain.node.network import peer_file
from dmchain.node.network.addresses import AddressBook, Target
from dmchain.node.network.admission import Admission, AdmissionConfig
from dmchain.node.network.dialer import Dialer
from dmchain.node.network.discovery import check_record, is_dialable, make_record, record_endpoint
from dmchain.node.network.errors import (
    SCORE_TIMEOUT,
    DisconnectCode,
    HandshakeError,
    LinkClosed,
    ProtocolError,
    TurnedAway,
)
from dmchain.node.network.handler import PeerHandler
from dmchain.node.network.identity import ChainIdentity, NodeId, NodeKey
from dmchain.node.network.limits import LimitsConfig
from dmchain.node.network.link import Link, NoiseSecurity, Security, close_forcefully
from dmchain.node.network.messages import (
    MAX_PEER_RECORDS,
    TYPE_OF_KIND,
    Hello,
    PeerRecord,
    Peers,
    Priority,
    Push,
    Reply,
    Status,
)
from dmchain.node.network.peer import Peer
from dmchain.node.network.reputation import BAN_SECONDS, Reputation, host_subject, node_subject
from dmchain.node.network.transport import Endpoint, Network
from dmchain.node.network.wire import encode

logger = logging.getLogger("dmchain.network")

HANDSHAKE_SECONDS: Final = 5.0
"""For the whole handshake, hello included."""
YIELD_SECONDS: Final = 0.5
"""The node with the higher id waits so long before its first dial: the link that both would keep is the other's."""
KEPT_BAN_SECONDS: Final = 60.0
"""Validators are cut for misbehaviour like anybody, but not for long: without them the chain may stand."""
STATUS_SECONDS: Final = 0.25
"""Between two announcements of our head: those who take part learn of new heights from votes, and for who syncs four times a
second is enough."""
SAVE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class PeersConfig:
    """`listen` None: dial only. `advertise` is where others reach us, an IP literal; None tells nobody.

    `sequence` of the record we sign must grow from run to run: seconds since the epoch will do.
    """

    listen: Endpoint | None = None
    advertise: Endpoint | None = None
    sequence: int = 0
    targets: tuple[Target, ...] = ()
    wanted_outbound: int = 12
    """Nodes found by peer exchange are dialled until there are so many outbound connections."""
    software: str = "dmchain"
    admission: AdmissionConfig = field(default_factory=AdmissionConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    ban_seconds: float = BAN_SECONDS
    file: Path | None = None
    """Where scores, bans and addresses outlive the process."""


@dataclass(slots=True)
class Counters:
    """Since the start, for metrics."""

    accepted: int = 0
    refused: int = 0
    failed_handshakes: int = 0
    offences: int = 0
    bans: int = 0


class PeerManager:
    """Construct it, then keep `run` running. `peers` are those that have said hello and were admitted, by node id.

    `get_status` tells our chain's head, for hellos. `rng` must not be the same in the next run of the program: peers know
    a restarted node by what it draws. `security` is Noise unless a simulation asks for less.
    """

    def __init__(
        self,
        network: Network,
        key: NodeKey,
        chain: ChainIdentity,
        config: PeersConfig,
        handler: PeerHandler,
        get_status: Callable[[], Status],
        rng: Random,
        *,
        security: Security | None = None,
    ) -> None:
        self.handler = handler
        self.node_id: NodeId = key.node_id
        self.counters = Counters()
        self.reputation = Reputation(ban_seconds=config.ban_seconds)
        self.book = AddressBook(rng)
        self._network = network
        self._key = key
        self._chain = chain
        self._config = config
        self._get_status = get_status
        self._rng = rng
        self._security: Security = NoiseSecurity(key, chain) if security is None else security
        self._boot = rng.randbytes(8)
        self._record: tuple[PeerRecord, ...] = ()
        self._has_news = trio.Event()
        self._admission = Admission(config.admission)
        self._peers: dict[NodeId, Peer] = {}
        self._talking: dict[int, Peer] = {}
        """Every connection with a complete handshake, by number: admitted ones and those about to be."""
        self._last_number = 0
        self.dialer = Dialer(
            network,
            self,
            self.book,
            chain,
            rng,
            wanted=config.wanted_outbound,
            shares_loopback=not config.admission.limits_loopback,
        )

    # for the node

    @property
    def peers(self) -> Mapping[NodeId, Peer]:
        return MappingProxyType(self._peers)

    def broadcast(self, message: Push, priority: Priority | None = None, *, except_for: Peer | None = None) -> int:
        """`send_to` everybody, perhaps except for one."""
        return self.send_to([peer for peer in self._peers.values() if peer is not except_for], message, priority)

    def send_to(self, peers: Sequence[Peer], message: Push, priority: Priority | None = None) -> int:
        """Queue a message for some peers; return for how many. Encoded once."""
        if not peers:
            return 0
        frame = encode(message)
        rank = TYPE_OF_KIND[type(message)].priority if priority is None else priority
        return sum(peer.send_frame(frame, rank) for peer in peers)

    def announce_status(self) -> None:
        """Tell every peer our head: call it after each block. Of many blocks in a row, as in a sync, some are left out;
        the last one never is."""
        self._has_news.set()

    def keep(self, target: Target) -> None:
        """Stay connected to a node, beyond all slots: a seed, a validator."""
        if target.node_id != self.node_id:
            yields = target.node_id is not None and self.node_id > target.node_id
            self.book.keep(target, trio.current_time(), YIELD_SECONDS if yields else 0.0)
            self.dialer.wake()

    def stop_keeping(self, endpoint: Endpoint) -> None:
        self.book.release(endpoint)

    def ban(self, peer: Peer, reason: str) -> None:
        """Cut a peer and keep it out for the time of a first ban."""
        peer.misbehaved(1000, reason)

    # life

    async def run(self, *, task_status: trio.TaskStatus[Endpoint | None] = trio.TASK_STATUS_IGNORED) -> None:
        """Be connected until cancelled. `started()` gives the endpoint listened at, None without one.

        Raises OSError when the address cannot be had; everything about single peers is dealt with and logged.
        """
        config = self._config
        if config.file is not None:
            peer_file.load(config.file, self.book, self.reputation, self._chain, trio.current_time())
        async with trio.open_nursery() as nursery:
            try:
                bound = None
                if config.listen is not None:
                    bound = await nursery.start(self._network.listen, config.listen, self._accept)
                self._sign_record(bound)
                for target in config.targets:
                    self.keep(target)
                nursery.start_soon(self.dialer.run)
                nursery.start_soon(self._keep_announcing)
                nursery.start_soon(self._keep_saving)
                task_status.started(bound)
                await trio.sleep_forever()
            finally:
                self._save()
                nursery.cancel_scope.cancel()

    def _sign_record(self, bound: Endpoint | None) -> None:
        advertise = self._config.advertise
        if advertise is None:
            return
        if not advertise.port and bound is not None:
            advertise = Endpoint(advertise.host, bound.port)
        self._record = (make_record(self._key, self._chain, advertise, self._config.sequence),)

    def _save(self) -> None:
        if self._config.file is not None:
            peer_file.save(self._config.file, self.book, self.reputation, trio.current_time())

    async def _keep_announcing(self) -> None:
        while True:
            await self._has_news.wait()
            self._has_news = trio.Event()
            self.broadcast(self._get_status())
            await trio.sleep(STATUS_SECONDS)

    async def _keep_saving(self) -> None:
        while True:
            await trio.sleep(SAVE_SECONDS)
            self._save()

    async def _accept(self, stream: trio.abc.Stream, remote: Endpoint) -> None:
        """Take an inbound connection to its end."""
        if self.reputation.is_banned(host_subject(remote), trio.current_time()):
            why: str | None = "banned"
        else:
            why = self._admission.enter(remote)
        if why is not None:
            self.counters.refused += 1
            logger.debug("refused a connection: %s", why, extra={"peer": str(remote)})
            await close_forcefully(stream)
            return
        self.counters.accepted += 1
        peer = None
        try:
            peer = await self.shake_hands(stream, remote, is_outbound=False, expected=None)
            if peer is not None:
                await self.talk(peer)
        finally:
            self._admission.leave(remote, was_opened=peer is not None and peer.is_ready)

    # what peers ask of their owner

    def make_hello(self) -> Hello:
        return Hello(self._config.software, self._boot, self._get_status(), self._record)

    def admit(self, peer: Peer) -> None:
        """Take a peer that has said hello, or raise TurnedAway; a connection it replaces is closed first."""
        if peer.node_id == self.node_id:
            raise TurnedAway(DisconnectCode.SELF, "that is this node")
        if self.reputation.is_banned(node_subject(peer.node_id), trio.current_time()):
            raise TurnedAway(DisconnectCode.BANNED, "banned")
        record = self._check_own_record(peer)
        other = self._peers.get(peer.node_id)
        if other is None:
            self._check_slots(peer)
        elif self._is_better(peer, other):
            self._retire(other)
        else:
            raise TurnedAway(DisconnectCode.DUPLICATE, "already connected")
        self._peers[peer.node_id] = peer
        if not peer.is_outbound:
            self._admission.opened()
        if record is not None:
            self._note_record(peer, record)
        logger.info(
            "connected to %s (%s)",
            peer.remote,
            "outbound" if peer.is_outbound else "inbound",
            extra={"peer": str(peer)},
        )

    def _is_better(self, peer: Peer, other: Peer) -> bool:
        """Whether `peer` replaces `other`, a connection to the same node. Both ends come to the same answer.

        A node that was restarted speaks the truth about which connection is alive. Of two dials at the same time, that
        of the lower node id stays; of two by the same end, the later one.
        """
        assert peer.hello is not None and other.hello is not None
        if not other.is_open or peer.hello.boot != other.hello.boot:
            return True
        if peer.is_outbound == other.is_outbound:
            return True
        return peer.is_outbound == (self.node_id < peer.node_id)

    def _retire(self, other: Peer) -> None:
        other.disconnect(DisconnectCode.DUPLICATE, "replaced by a newer connection")
        self._forget(other, other.reason)

    def _check_slots(self, peer: Peer) -> None:
        if self._is_kept(peer):
            return
        count = sum(p.is_outbound == peer.is_outbound for p in self._peers.values() if not self._is_kept(p))
        config = self._config.admission
        limit = config.max_outbound if peer.is_outbound else config.max_inbound
        if count >= limit:
            raise TurnedAway(DisconnectCode.FULL, f"all {limit} places are taken")

    def _is_kept(self, peer: Peer) -> bool:
        return self.book.is_kept(peer.node_id)

    def _check_own_record(self, peer: Peer) -> PeerRecord | None:
        """The record in the peer's hello; raises ProtocolError when it is not the peer's own."""
        assert peer.hello is not None
        for record in peer.hello.record:
            node_id, _ = check_record(record, self._chain)
            if node_id != peer.node_id:
                raise ProtocolError(f"peer record: expected 0x{peer.node_id.hex()}, got 0x{node_id.hex()}")
            return record
        return None

    def _note_record(self, peer: Peer, record: PeerRecord) -> None:
        endpoint = record_endpoint(record)
        # only a node of this machine may tell of others on this machine
        if is_dialable(endpoint, allow_loopback=peer.remote.is_loopback):
            is_confirmed = host_subject(endpoint) == host_subject(peer.remote)
            self.book.learn(peer.node_id, endpoint, record, trio.current_time(), is_confirmed=is_confirmed)

    def release(self, peer: Peer, reason: str) -> None:
        if self._peers.get(peer.node_id) is peer:
            self._forget(peer, reason)
        self.dialer.wake()

    def _forget(self, peer: Peer, reason: str) -> None:
        del self._peers[peer.node_id]
        logger.info("disconnected from %s: %s", peer.remote, reason, extra={"peer": str(peer)})
        try:
            self.handler.on_gone(peer, reason)
        except InvariantBroken:
            raise
        except Exception:
            logger.exception("bug in on_gone", extra={"peer": str(peer)})

    def charge(self, peer: Peer, score: float, reason: str) -> bool:
        """Put points down against the node and its host; return whether the node is banned now.

        The host of a loopback address is everybody on this machine, so it is not charged unless configured.
        """
        now = trio.current_time()
        self.counters.offences += 1
        longest = KEPT_BAN_SECONDS if self._is_kept(peer) else float("inf")
        is_banned = self.reputation.charge(node_subject(peer.node_id), score, now, longest_ban=longest)
        if self._is_host_charged(peer.remote):
            self.reputation.charge(host_subject(peer.remote), score, now, longest_ban=longest)
        self.counters.bans += is_banned and peer.is_open
        logger.warning(
            "offence (%g points%s): %s", score, ", banned" if is_banned else "", reason, extra={"peer": str(peer)}
        )
        return is_banned

    def _is_host_charged(self, remote: Endpoint) -> bool:
        return self._config.admission.limits_loopback or not remote.is_loopback

    def answer_peers(self, peer: Peer) -> Reply:
        return Peers(self.book.sample_records(MAX_PEER_RECORDS, leave_out=peer.node_id))

    # what the dialer asks of its connector, and _accept

    @property
    def connections(self) -> Collection[Peer]:
        return self._talking.values()

    def is_barred(self, endpoint: Endpoint, node_id: NodeId | None) -> bool:
        now = trio.current_time()
        if self.reputation.is_banned(host_subject(endpoint), now):
            return True
        return node_id is not None and self.reputation.is_banned(node_subject(node_id), now)

    async def shake_hands(
        self, stream: trio.abc.Stream, remote: Endpoint, *, is_outbound: bool, expected: NodeId | None
    ) -> Peer | None:
        """Secure a stream; None when that failed, with the stream closed and the reason logged."""
        deadline = trio.current_time() + HANDSHAKE_SECONDS
        link: Link | None = None
        try:
            with trio.move_on_at(deadline):
                link = await self._security.secure(stream, is_initiator=is_outbound, expected=expected)
            if link is None:
                raise HandshakeError(f"handshake not done in {HANDSHAKE_SECONDS:g} s", score=SCORE_TIMEOUT)
        except (HandshakeError, LinkClosed) as error:
            self.counters.failed_handshakes += 1
            if isinstance(error, HandshakeError) and self._is_host_charged(remote):
                self.reputation.charge(host_subject(remote), error.score, trio.current_time())
            logger.info("no handshake: %s", error, extra={"peer": str(remote)})
        except Exception:
            logger.exception("bug in a handshake", extra={"peer": str(remote)})
        finally:
            if link is None:
                await close_forcefully(stream)
        if link is None:
            return None
        self._last_number += 1
        limits = self._config.limits
        return Peer(
            self, link, remote, self._last_number, is_outbound=is_outbound, limits=limits, hello_deadline=deadline
        )

    async def talk(self, peer: Peer) -> None:
        """Run a peer to its end."""
        self._talking[peer.number] = peer
        try:
            await peer.run()
        finally:
            del self._talking[peer.number]
