"""What a node does with its peers, as the network sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from dmchain.node.network.messages import Hello, Push, Reply, Request

if TYPE_CHECKING:
    from dmchain.node.network.peer import Peer


class PeerHandler(Protocol):
    """What the node does with peers. Callbacks of one peer come in order: on_peer, messages and requests, on_gone."""

    def on_peer(self, peer: Peer) -> None:
        """The peer has said hello; it may be sent to from now on."""

    async def on_message(self, peer: Peer, message: Push) -> None:
        """Take a push. While this waits, nothing more is read from that peer: waiting is back-pressure.

        Raises ProtocolError, DecodeError or SignatureError for what no correct node sends.
        """

    async def on_request(self, peer: Peer, request: Request) -> Reply:
        """Answer a request, if only with a Refusal; up to MAX_REQUESTS run at once, beside on_message."""

    def on_gone(self, peer: Peer, reason: str) -> None:
        """The last callback about this peer."""


class PeerOwner(Protocol):
    """What a peer needs of the manager."""

    handler: PeerHandler

    def make_hello(self) -> Hello: ...

    def admit(self, peer: Peer) -> None:
        """Called once, after the peer's hello; raises TurnedAway."""

    def release(self, peer: Peer, reason: str) -> None:
        """Called once, when the connection is over, admitted or not."""

    def charge(self, peer: Peer, score: float, reason: str) -> bool:
        """Put down points against the peer; returns whether it is banned now."""

    def answer_peers(self, peer: Peer) -> Reply: ...
