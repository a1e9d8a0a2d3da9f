"""Which heights are wanted, asked for, and received but not verified. Bookkeeping only; knows no peers' claims."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dmchain.chain.consensus.inputs import Peer
from dmchain.chain.sync.verify import WireBlock


@dataclass(slots=True)
class Request:
    """Blocks `start` to `stop` - 1 were asked of `peer` at `asked_at` (ms)."""

    peer: Peer
    start: int
    stop: int
    asked_at: int


@dataclass(frozen=True, slots=True)
class Received:
    peer: Peer
    wire: WireBlock


class Window:
    """Heights above `base`, the last verified one.

    INVARIANT: every height above `base` and below `_unasked` is received or in a request that is out; every one below
    `_missing` is received.
    """

    def __init__(self, base: int) -> None:
        self.base = base
        self.received: dict[int, Received] = {}
        self.requests: dict[int, Request] = {}
        self.received_bytes = 0
        self._asked: dict[int, int] = {}
        """Height -> number of requests that cover it."""
        self._unasked = base + 1
        self._missing = base + 1

    # -- asking --------------------------------------------------------------------------------------------------
    def first_missing(self) -> int:
        """The lowest height that is not received: what everything else waits for."""
        while self._missing in self.received:
            self._missing += 1
        return self._missing

    def first_unasked(self) -> int:
        """The lowest height that is neither received nor asked for."""
        while self._unasked in self.received or self._unasked in self._asked:
            self._unasked += 1
        return self._unasked

    def free_stretch(self, start: int, limit: int) -> int:
        """How many heights from `start` on, at most `limit`, are neither received nor asked for."""
        count = 0
        while count < limit and start + count not in self.received and start + count not in self._asked:
            count += 1
        return count

    def add_request(self, number: int, request: Request) -> None:
        self.requests[number] = request
        for height in range(request.start, request.stop):
            self._asked[height] = self._asked.get(height, 0) + 1

    def end_request(self, number: int) -> Request:
        """The request is answered or given up; what it covered is free to be asked again."""
        request = self.requests.pop(number)
        for height in range(request.start, request.stop):
            left = self._asked[height] - 1
            if left:
                self._asked[height] = left
            else:
                del self._asked[height]
        self._unasked = max(self.base + 1, min(self._unasked, request.start))
        return request

    def requests_for(self, height: int) -> list[Request]:
        return [request for request in self.requests.values() if request.start <= height < request.stop]

    # -- received ------------------------------------------------------------------------------------------------
    def store(self, height: int, peer: Peer, wire: WireBlock) -> None:
        """Keep a block, unless it is verified already or another peer was faster."""
        if height > self.base and height not in self.received:
            self.received[height] = Received(peer, wire)
            self.received_bytes += wire.size

    def consecutive(self, start: int) -> Iterator[WireBlock]:
        """Received blocks from `start` on, up to the first gap."""
        while (found := self.received.get(start)) is not None:
            yield found.wire
            start += 1

    def take_verified(self) -> WireBlock:
        """The block above `base` is verified: hand it out and move `base` up."""
        self.base += 1
        wire = self.received.pop(self.base).wire
        self.received_bytes -= wire.size
        self._unasked = max(self._unasked, self.base + 1)
        self._missing = max(self._missing, self.base + 1)
        return wire

    def drop_from(self, peer: Peer) -> None:
        """Forget what a peer has sent and was asked: none of it is trusted any more."""
        for height in [height for height, found in self.received.items() if found.peer == peer]:
            self.received_bytes -= self.received.pop(height).wire.size
            self._unasked = min(self._unasked, height)
            self._missing = min(self._missing, height)
        self.forget_requests_of(peer)

    def forget_requests_of(self, peer: Peer) -> None:
        for number in [number for number, request in self.requests.items() if request.peer == peer]:
            self.end_request(number)
