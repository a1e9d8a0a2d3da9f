"""What goes wrong between nodes. All of it is expected: nothing here may end more than one peer's connection."""

from __future__ import annotations

from enum import IntEnum

from dmchain.chain.primitives.errors import DmchainError

BAN_SCORE = 100
"""Points at which a node or an address is banned. They decay at REPUTATION_DECAY (reputation.py)."""

SCORE_MALFORMED = 60
"""Bytes that are no message. A correct node sends none, but a broken one may; the second time it is banned."""
SCORE_BAD_SIGNATURE = 60
SCORE_FLOOD = 60
SCORE_UNSOLICITED = 35
"""A reply to nothing, a second hello: out of place, but well formed. The third time it is banned."""
SCORE_HANDSHAKE = 21
"""Port scanners and browsers end here as well. The fifth time within some minutes is too much."""
SCORE_TIMEOUT = 5
"""A request not answered in time: it may be our line."""


class DisconnectCode(IntEnum):
    """Why a connection ends, as it is said to the peer."""

    SHUTDOWN = 0
    PROTOCOL = 1
    DUPLICATE = 2
    FULL = 3
    BANNED = 4
    FLOOD = 5
    SLOW = 6
    SILENT = 7
    SELF = 8
    INTERNAL = 9


class NetworkError(DmchainError):
    """Base of what peers and connections do to us."""


class ProtocolError(NetworkError):
    """The peer sent what no correct node sends: it is cut, and `score` points are charged to it."""

    def __init__(
        self, message: str, *, score: int = SCORE_MALFORMED, code: DisconnectCode = DisconnectCode.PROTOCOL
    ) -> None:
        super().__init__(message)
        self.score = score
        self.code = code


class HandshakeError(NetworkError):
    """No link came about. `score` is charged to the address; 0 where an honest node may be the cause.

    `reply` is what the peer should still be sent, so that it can say why.
    """

    def __init__(self, message: str, *, score: int = SCORE_HANDSHAKE, reply: bytes = b"") -> None:
        super().__init__(message)
        self.score = score
        self.reply = reply


class LinkClosed(NetworkError):
    """The connection is gone; nobody is to blame."""


class RequestFailed(NetworkError):
    """A request got no answer: the peer is gone, slow, or refused. The message says which."""


class TurnedAway(NetworkError):
    """The peer did nothing wrong, but there is no place for it."""

    def __init__(self, code: DisconnectCode, message: str) -> None:
        super().__init__(message)
        self.code = code
