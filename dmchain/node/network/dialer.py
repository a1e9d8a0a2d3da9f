"""Whom to connect to: kept targets always, nodes found by peer exchange while outbound places are free."""

from __future__ import annotations

import logging
from collections.abc import Collection
from random import Random
from typing import Final, Protocol

import trio

from dmchain.node.network.addresses import AddressBook, Entry
from dmchain.node.network.admission import subnet
from dmchain.node.network.discovery import check_record, is_dialable
from dmchain.node.network.errors import DisconnectCode, ProtocolError, RequestFailed
from dmchain.node.network.identity import ChainIdentity, NodeId
from dmchain.node.network.messages import GetPeers, Peers
from dmchain.node.network.peer import Peer
from dmchain.node.network.transport import Endpoint, Network

logger = logging.getLogger("dmchain.network")

DIAL_SECONDS: Final = 5.0
MAX_DIALS: Final = 8
"""At once."""
DIAL_TICK_SECONDS: Final = 0.5
LASTING_SECONDS: Final = 10.0
"""A connection that lasts so long makes up for earlier failures."""
TURNED_AWAY_SECONDS: Final = 30.0
FIRST_DISCOVERY_SECONDS: Final = 2.0
MAX_DISCOVERY_SECONDS: Final = 60.0


class Connector(Protocol):
    """What the dialer needs of the manager."""

    node_id: NodeId

    @property
    def connections(self) -> Collection[Peer]:
        """Every connection with a complete handshake, admitted or about to be."""

    def is_barred(self, endpoint: Endpoint, node_id: NodeId | None) -> bool:
        """Whether a node or its host is banned."""

    async def shake_hands(
        self, stream: trio.abc.Stream, remote: Endpoint, *, is_outbound: bool, expected: NodeId | None
    ) -> Peer | None: ...

    async def talk(self, peer: Peer) -> None: ...


class Dialer:
    """Keeps outbound connections. `shares_loopback`: nodes of this machine count as being in different subnets."""

    def __init__(
        self,
        network: Network,
        connector: Connector,
        book: AddressBook,
        chain: ChainIdentity,
        rng: Random,
        *,
        wanted: int,
        shares_loopback: bool,
    ) -> None:
        self.dials = 0
        self.failures = 0
        self._network = network
        self._connector = connector
        self._book = book
        self._chain = chain
        self._rng = rng
        self._wanted = wanted
        self._shares_loopback = shares_loopback
        self._dialling: set[Endpoint] = set()
        self._wake = trio.Event()

    def wake(self) -> None:
        """Something has changed: look for something to dial now."""
        self._wake.set()

    async def run(self) -> None:
        """Dial until cancelled; connections end with it."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_discovering)
            while True:
                self._wake = trio.Event()
                self._dial_what_is_due(nursery)
                with trio.move_on_after(DIAL_TICK_SECONDS):
                    await self._wake.wait()

    def _dial_what_is_due(self, nursery: trio.Nursery) -> None:
        now = trio.current_time()
        for entry in self._book.kept_due(now):
            if not self._connector.is_barred(entry.endpoint, entry.node_id):
                self._start(entry, nursery)
        while self._wants_more():
            found = self._book.pick_hearsay(now, self._is_wanted)
            if found is None or not self._start(found, nursery):
                return

    def _start(self, entry: Entry, nursery: trio.Nursery) -> bool:
        """Dial unless there is no need or too much going on; return whether a dial was started."""
        if len(self._dialling) >= MAX_DIALS or self._is_busy(entry):
            return False
        self._dialling.add(entry.endpoint)
        nursery.start_soon(self._dial, entry.endpoint, entry.node_id if entry.is_kept else None)
        return True

    def _wants_more(self) -> bool:
        outbound = sum(peer.is_outbound for peer in self._connector.connections)
        return outbound + len(self._dialling) < self._wanted

    def _is_wanted(self, entry: Entry) -> bool:
        """A node we are not connected to, not banned, in a subnet we have not dialled yet."""
        if self._is_busy(entry) or self._connector.is_barred(entry.endpoint, entry.node_id):
            return False
        ip = entry.endpoint.ip
        if ip is not None and ip.is_loopback and self._shares_loopback:
            return True
        near = subnet(entry.endpoint)
        return all(subnet(peer.remote) != near for peer in self._connector.connections if peer.is_outbound)

    def _is_busy(self, entry: Entry) -> bool:
        """Whether there is a connection to that node, or one in the making."""
        if entry.endpoint in self._dialling or entry.node_id == self._connector.node_id:
            return True
        return any(
            peer.node_id == entry.node_id or (peer.is_outbound and peer.remote == entry.endpoint)
            for peer in self._connector.connections
        )

    async def _dial(self, endpoint: Endpoint, expected: NodeId | None) -> None:
        """Dial, talk until the end, and see to the next try."""
        self.dials += 1
        peer: Peer | None = None
        try:
            if (stream := await self._open_stream(endpoint)) is not None:
                peer = await self._connector.shake_hands(stream, endpoint, is_outbound=True, expected=expected)
        finally:
            self._dialling.discard(endpoint)
        if peer is not None:
            self._book.reached(endpoint, peer.node_id)
            await self._connector.talk(peer)
        self._plan_next(endpoint, peer)

    async def _open_stream(self, endpoint: Endpoint) -> trio.abc.Stream | None:
        why: object = f"no answer within {DIAL_SECONDS:g} s"
        try:
            with trio.move_on_after(DIAL_SECONDS):
                return await self._network.dial(endpoint)
        except OSError as error:
            why = error
        self.failures += 1
        logger.debug("dial failed: %s", why, extra={"peer": str(endpoint)})
        return None

    def _plan_next(self, endpoint: Endpoint, peer: Peer | None) -> None:
        """`peer` is the connection that has ended, None when none came about."""
        now, least = trio.current_time(), 0.0
        if peer is not None:
            if peer.node_id == self._connector.node_id:
                self._book.forget(endpoint)
                return
            if peer.is_ready and now - peer.connected_at >= LASTING_SECONDS:
                self._book.settled(endpoint)
            if peer.farewell in (DisconnectCode.FULL, DisconnectCode.BANNED):
                least = TURNED_AWAY_SECONDS
        self._book.retry_later(endpoint, now, least_seconds=least)

    async def _keep_discovering(self) -> None:
        """Ask for other nodes while outbound places are free: soon at first, then ever more rarely."""
        interval = FIRST_DISCOVERY_SECONDS
        while True:
            await trio.sleep(interval * self._rng.uniform(0.5, 1.5))
            ready = [peer for peer in self._connector.connections if peer.is_ready and peer.is_open]
            if ready and self._wants_more():
                await self._ask_for_peers(self._rng.choice(ready))
            interval = min(interval * 1.5, MAX_DISCOVERY_SECONDS)

    async def _ask_for_peers(self, peer: Peer) -> None:
        """A lie costs a failed dial; a bad signature costs the liar."""
        try:
            reply = await peer.request(GetPeers())
            assert isinstance(reply, Peers)
            for record in reply.records:
                node_id, endpoint = check_record(record, self._chain)
                allows = peer.remote.is_loopback
                if node_id != self._connector.node_id and is_dialable(endpoint, allow_loopback=allows):
                    self._book.learn(node_id, endpoint, record, trio.current_time())
        except RequestFailed as error:
            logger.debug("peer exchange: %s", error)
        except ProtocolError as error:
            peer.fail(error)
        self.wake()
