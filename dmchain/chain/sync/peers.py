"""What peers say they have, how they deliver, and what their validators' weight says about where the chain is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dmchain.chain.consensus.inputs import Peer
from dmchain.chain.consensus.validators import ValidatorSet
from dmchain.chain.primitives.types import Address

_MEAN_SHARE = 4
"""One new measurement moves a mean by a quarter."""


@dataclass(slots=True)
class PeerState:
    """`height` is the lower of what the peer claims and what it has failed to deliver.

    `us_per_block` is a running mean in microseconds, 0 until the first reply; `resting_until` in milliseconds.
    """

    peer: Peer
    height: int
    earliest: int
    validator: Address | None
    in_flight: int = 0
    us_per_block: int = 0
    strikes: int = 0
    resting_until: int = 0

    @property
    def is_proven(self) -> bool:
        """It has delivered blocks: what it claims is worth something."""
        return self.us_per_block > 0

    def note_delivery(self, blocks: int, elapsed_ms: int) -> None:
        self.strikes = 0
        sample = max(1, elapsed_ms * 1000 // blocks)
        mean = self.us_per_block
        self.us_per_block = sample if mean == 0 else mean + (sample - mean) // _MEAN_SHARE


class PeerTable:
    """Connected peers. Those found faulty are kept by name alone until they are gone."""

    def __init__(self, requests_per_peer: int) -> None:
        self._limit = requests_per_peer
        self._peers: dict[Peer, PeerState] = {}
        self._faulty: set[Peer] = set()

    def __len__(self) -> int:
        return len(self._peers)

    def get(self, peer: Peer) -> PeerState | None:
        return self._peers.get(peer)

    def update(self, peer: Peer, height: int, earliest: int, validator: Address | None) -> None:
        """Take a status; that of a faulty peer is worth nothing."""
        if peer in self._faulty:
            return
        known = self._peers.get(peer)
        if known is None:
            self._peers[peer] = PeerState(peer, height, earliest, validator)
        else:
            known.height, known.earliest, known.validator = height, earliest, validator

    def remove(self, peer: Peer) -> None:
        self._peers.pop(peer, None)
        self._faulty.discard(peer)

    def condemn(self, peer: Peer) -> None:
        """Never ask it again on this connection."""
        self._peers.pop(peer, None)
        self._faulty.add(peer)

    def forget_requests(self) -> None:
        for state in self._peers.values():
            state.in_flight = 0

    def choose(self, height: int, now: int, besides: Iterable[Peer] = ()) -> PeerState | None:
        """Whom to ask for the block at `height`: the one likely to deliver first, of those with a free slot."""
        tried = set(besides)
        best: PeerState | None = None
        best_rank: tuple[int, int, Peer] | None = None
        for state in self._peers.values():
            limit = self._limit if state.is_proven else 1
            if state.in_flight >= limit or now < state.resting_until or state.peer in tried:
                continue
            if not state.earliest <= height <= state.height:
                continue
            rank = ((state.in_flight + 1) * (state.us_per_block + 1), state.in_flight, state.peer)
            if best_rank is None or rank < best_rank:
                best, best_rank = state, rank
        return best

    def active(self, now: int) -> list[PeerState]:
        """Those whose claims have not just proved empty."""
        return [state for state in self._peers.values() if now >= state.resting_until]

    def _claims(self, validators: ValidatorSet) -> list[tuple[int, int]]:
        """(height, power) of each validator that is a peer, ascending; the highest claim where it has several links."""
        heights: dict[int, int] = {}
        for state in self._peers.values():
            index = validators.index_of(state.validator)
            if index is not None:
                heights[index] = max(heights.get(index, 0), state.height)
        return sorted((height, validators.powers[index]) for index, height in heights.items())

    def height_not_passed(self, validators: ValidatorSet) -> int | None:
        """The lowest height such that peers worth more than a third claim no more: a correct one is among them."""
        return _reach(self._claims(validators), validators.one_honest)

    def height_reached(self, validators: ValidatorSet) -> int | None:
        """The highest height that peers worth more than a third claim to have: a correct one has it."""
        return _reach(self._claims(validators)[::-1], validators.one_honest)


def _reach(claims: list[tuple[int, int]], wanted: int) -> int | None:
    power = 0
    for height, weight in claims:
        power += weight
        if power >= wanted:
            return height
    return None
