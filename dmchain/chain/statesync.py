"""State sync: a snapshot from several peers, in place of every block since genesis. Sans-IO, as block sync is.

    asking for manifests -> header verified -> fetching chunks -> restoring -> done
                 ^_______________|__________________|______________|   the next manifest, or give up

A peer's manifest says what its snapshot is of. The header it names is verified first, by light verification, which the
host does. Chunks are checked against the manifest as they come; whether the manifest itself speaks the truth shows when
the state root is rebuilt. All who have offered a false one are at fault. Peers with the same bytes offer the same
manifest, so chunks come from all of them.

Giving up is no failure: the node syncs blocks instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias

from dmchain.chain.consensus.effects import PeerFault
from dmchain.chain.consensus.inputs import Peer
from dmchain.chain.primitives.types import Hash32
from dmchain.chain.snapshot.manifest import InvalidSnapshot, Manifest


@dataclass(frozen=True, slots=True)
class StateSyncConfig:
    """Times in milliseconds."""

    discover_ms: int = 5_000
    """How long manifests are waited for before one is chosen."""
    request_timeout_ms: int = 10_000
    requests_per_peer: int = 2
    """A chunk is a megabyte or two."""
    strikes: int = 3
    """Failed requests in a row after which a peer is not asked any more."""
    patience_ms: int = 30_000
    """So long without a chunk, and the manifest is given up."""
    minimum_gain: int = 500
    """Blocks that a snapshot must save, or block sync is the faster way."""
    max_chunks: int = 65_536
    max_offers: int = 64
    """Different manifests that are remembered; of each, every peer that has it."""


class Phase(Enum):
    DISCOVERING = "discovering"
    VERIFYING = "verifying"
    FETCHING = "fetching"
    RESTORING = "restoring"
    DONE = "done"
    GIVEN_UP = "given up"


# -- inputs ------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class PeerJoined:
    peer: Peer


@dataclass(frozen=True, slots=True)
class PeerGone:
    peer: Peer


@dataclass(frozen=True, slots=True)
class ManifestArrived:
    peer: Peer
    raw: bytes


@dataclass(frozen=True, slots=True)
class ManifestFailed:
    """It has none, or did not answer."""

    peer: Peer


@dataclass(frozen=True, slots=True)
class HeaderVerified:
    """The answer to `VerifyHeader`: this is the chain's block at that height."""

    height: int
    block_hash: Hash32
    state_root: Hash32


@dataclass(frozen=True, slots=True)
class HeaderRefused:
    """The answer to `VerifyHeader`: it cannot be verified, now."""

    height: int
    reason: str


@dataclass(frozen=True, slots=True)
class ChunkArrived:
    """The reply to `AskChunk`."""

    peer: Peer
    request: int
    data: bytes


@dataclass(frozen=True, slots=True)
class ChunkFailed:
    """No reply: refused, too late, or the connection is gone."""

    peer: Peer
    request: int


@dataclass(frozen=True, slots=True)
class Restored:
    """The answer to `RestoreSnapshot`: the database is there."""


@dataclass(frozen=True, slots=True)
class RestoreFailed:
    """The answer to `RestoreSnapshot`: the chunks do not give the state root."""

    reason: str


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


Input: TypeAlias = (
    PeerJoined
    | PeerGone
    | ManifestArrived
    | ManifestFailed
    | HeaderVerified
    | HeaderRefused
    | ChunkArrived
    | ChunkFailed
    | Restored
    | RestoreFailed
    | Tick
)


# -- effects -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class AskManifest:
    """Of the peer's newest snapshot."""

    peer: Peer


@dataclass(frozen=True, slots=True)
class VerifyHeader:
    """Verify the block at `height` without believing these peers (`dmchain.chain.light`)."""

    height: int


@dataclass(frozen=True, slots=True)
class AskChunk:
    """`request` is repeated in the answer."""

    peer: Peer
    request: int
    height: int
    index: int


@dataclass(frozen=True, slots=True)
class StoreChunk:
    """Put it where `RestoreSnapshot` finds it; it is the manifest's."""

    index: int
    data: bytes


@dataclass(frozen=True, slots=True)
class DropChunks:
    """Forget what was stored: another snapshot follows, or none."""


@dataclass(frozen=True, slots=True)
class RestoreSnapshot:
    """All chunks are stored: make the database (`dmchain.chain.snapshot.restore`)."""

    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Finished:
    """The database is at this height; block sync goes on from there."""

    height: int


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No snapshot can be had: sync blocks from where the node is."""

    reason: str


Effect: TypeAlias = (
    AskManifest | VerifyHeader | AskChunk | StoreChunk | DropChunks | RestoreSnapshot | PeerFault | Finished | GiveUp
)


@dataclass(slots=True)
class _PeerState:
    offer: Hash32 | None = None
    """The hash of its manifest."""
    in_flight: int = 0
    strikes: int = 0


@dataclass(slots=True)
class _Offer:
    manifest: Manifest
    peers: set[Peer]


class StateSync:
    """State sync of one node whose head is `height`. Begins with the first input."""

    def __init__(self, config: StateSyncConfig, chain_id: int, genesis_hash: Hash32, height: int, now: int) -> None:
        self.config = config
        self.phase = Phase.DISCOVERING
        self.stored = 0
        """Chunks of the snapshot being fetched that are there, for progress displays."""
        self._chain = (chain_id, genesis_hash)
        self._height = height
        self._now = now
        self._began: int | None = None
        """When the first peer came."""
        self._peers: dict[Peer, _PeerState] = {}
        self._faulty: set[Peer] = set()
        self._offers: dict[Hash32, _Offer] = {}
        self._refused: set[Hash32] = set()
        """Manifests that led to nothing."""
        self._chosen: _Offer | None = None
        self._missing: dict[int, None] = {}
        """Chunks neither stored nor asked for, in the order of asking."""
        self._asked: dict[int, tuple[Peer, int, int]] = {}
        """Request -> who was asked, for which chunk, and when."""
        self._next_request = 1
        self._moved_at = now
        self._effects: list[Effect] = []
        self._handlers: dict[type, Callable[[Any], None]] = {
            PeerJoined: self._on_joined,
            PeerGone: lambda gone: self._forget(gone.peer),
            ManifestArrived: self._on_manifest,
            ManifestFailed: lambda _: None,
            HeaderVerified: self._on_header,
            HeaderRefused: self._on_header_refused,
            ChunkArrived: self._on_chunk,
            ChunkFailed: self._on_chunk_failed,
            Restored: self._on_restored,
            RestoreFailed: self._on_restore_failed,
            Tick: lambda _: None,
        }

    @property
    def manifest(self) -> Manifest | None:
        """Of the snapshot being fetched."""
        return None if self._chosen is None else self._chosen.manifest

    @property
    def is_over(self) -> bool:
        return self.phase in (Phase.DONE, Phase.GIVEN_UP)

    def step(self, now: int, input: Input) -> list[Effect]:
        """Take one input at the time `now` (ms); return what the host is to do, in order."""
        self._now = now
        self._effects = []
        if not self.is_over:
            self._handlers[type(input)](input)
            self._advance()
        return self._effects

    # -- inputs --------------------------------------------------------------------------------------------------
    def _on_joined(self, joined: PeerJoined) -> None:
        if joined.peer not in self._peers and joined.peer not in self._faulty:
            self._peers[joined.peer] = _PeerState()
            if self._began is None:
                self._began = self._now
            self._effects.append(AskManifest(joined.peer))

    def _on_manifest(self, arrived: ManifestArrived) -> None:
        state = self._peers.get(arrived.peer)
        if state is None or state.offer is not None:
            return
        try:
            manifest = Manifest.decode(arrived.raw)
        except InvalidSnapshot as error:
            self._condemn(arrived.peer, str(error))
            return
        if (manifest.chain_id, manifest.genesis_hash) != self._chain:
            self._condemn(arrived.peer, "manifest: of another chain")
            return
        too_large = len(manifest.chunk_hashes) > self.config.max_chunks
        if too_large or manifest.height < self._height + self.config.minimum_gain:
            return
        name = manifest.hash
        offer = self._offers.get(name)
        if offer is None:
            if len(self._offers) >= self.config.max_offers:
                return
            offer = self._offers[name] = _Offer(manifest, set())
        state.offer = name
        offer.peers.add(arrived.peer)

    def _on_header(self, verified: HeaderVerified) -> None:
        chosen = self._chosen
        if self.phase is not Phase.VERIFYING or chosen is None or chosen.manifest.height != verified.height:
            return
        manifest = chosen.manifest
        if (manifest.block_hash, manifest.state_root) != (verified.block_hash, verified.state_root):
            self._abandon(f"manifest: not of the chain's block {verified.height}", is_false=True)
            return
        self.phase = Phase.FETCHING
        self.stored = 0
        self._missing = dict.fromkeys(range(len(manifest.chunk_hashes)))
        self._moved_at = self._now

    def _on_header_refused(self, refused: HeaderRefused) -> None:
        chosen = self._chosen
        if self.phase is Phase.VERIFYING and chosen is not None and chosen.manifest.height == refused.height:
            self._abandon(refused.reason, is_false=False)

    def _on_chunk(self, arrived: ChunkArrived) -> None:
        index = self._end_request(arrived.peer, arrived.request)
        if index is None or self._chosen is None:
            return
        try:
            self._chosen.manifest.check_chunk(index, arrived.data)
        except InvalidSnapshot as error:
            self._missing[index] = None
            self._condemn(arrived.peer, str(error))
            return
        self._peers[arrived.peer].strikes = 0
        self.stored += 1
        self._moved_at = self._now
        self._effects.append(StoreChunk(index, arrived.data))

    def _on_chunk_failed(self, failed: ChunkFailed) -> None:
        index = self._end_request(failed.peer, failed.request)
        if index is not None:
            self._peers[failed.peer].strikes += 1
            self._missing[index] = None

    def _on_restored(self, _: Restored) -> None:
        if self.phase is Phase.RESTORING and self._chosen is not None:
            self.phase = Phase.DONE
            self._effects.append(Finished(self._chosen.manifest.height))

    def _on_restore_failed(self, failed: RestoreFailed) -> None:
        if self.phase is Phase.RESTORING:
            self._abandon(failed.reason, is_false=True)

    # -- what follows from them ----------------------------------------------------------------------------------
    def _advance(self) -> None:
        if self.phase is Phase.DISCOVERING:
            if self._began is not None and self._now - self._began >= self.config.discover_ms:
                self._choose()
        elif self.phase is Phase.FETCHING:
            self._expire()
            self._ask()
            if not self._missing and not self._asked:
                assert self._chosen is not None
                self.phase = Phase.RESTORING
                self._effects.append(RestoreSnapshot(self._chosen.manifest))
            elif self._now - self._moved_at >= self.config.patience_ms:
                self._abandon(f"no chunk for {self.config.patience_ms} ms", is_false=False)

    def _choose(self) -> None:
        """The highest snapshot that most peers have; of two as good, always the same one."""
        offers = [(name, offer) for name, offer in self._offers.items() if offer.peers and name not in self._refused]
        if not offers:
            self.phase = Phase.GIVEN_UP
            self._effects.append(GiveUp("no peer has a snapshot that helps"))
            return
        name, self._chosen = max(offers, key=lambda item: (item[1].manifest.height, len(item[1].peers), item[0]))
        self._refused.add(name)
        self.phase = Phase.VERIFYING
        self._effects.append(VerifyHeader(self._chosen.manifest.height))

    def _abandon(self, reason: str, *, is_false: bool) -> None:
        """Try the next manifest. `is_false`: no correct node offers this one."""
        chosen = self._chosen
        assert chosen is not None
        self._chosen = None
        if self.stored or self.phase is Phase.RESTORING:
            self._effects.append(DropChunks())
        self.stored = 0
        self._missing.clear()
        self._asked.clear()
        for state in self._peers.values():
            state.in_flight = state.strikes = 0
        if is_false:
            for peer in sorted(chosen.peers):
                self._condemn(peer, reason)
        self.phase = Phase.DISCOVERING
        self._choose()

    # -- fetching ------------------------------------------------------------------------------------------------
    def _ask(self) -> None:
        assert self._chosen is not None
        while self._missing:
            peer = self._choose_peer(self._chosen)
            if peer is None:
                return
            index = next(iter(self._missing))
            del self._missing[index]
            self._peers[peer].in_flight += 1
            number = self._next_request
            self._next_request += 1
            self._asked[number] = peer, index, self._now
            self._effects.append(AskChunk(peer, number, self._chosen.manifest.height, index))

    def _choose_peer(self, offer: _Offer) -> Peer | None:
        able = []
        for peer in offer.peers:
            state = self._peers[peer]
            if state.in_flight < self.config.requests_per_peer and state.strikes < self.config.strikes:
                able.append((state.in_flight, state.strikes, peer))
        return min(able)[2] if able else None

    def _end_request(self, peer: Peer, number: int) -> int | None:
        """The chunk that the request was for; None when its answer is not waited for any more."""
        asked, index, _ = self._asked.get(number, (None, 0, 0))
        if asked != peer:
            return None
        del self._asked[number]
        self._peers[peer].in_flight -= 1
        return index

    def _expire(self) -> None:
        deadline = self._now - self.config.request_timeout_ms
        late = [(number, peer) for number, (peer, _, asked_at) in self._asked.items() if asked_at <= deadline]
        for number, peer in late:
            self._on_chunk_failed(ChunkFailed(peer, number))

    # -- peers ---------------------------------------------------------------------------------------------------
    def _forget(self, peer: Peer) -> None:
        self._faulty.discard(peer)
        state = self._peers.pop(peer, None)
        if state is None:
            return
        if state.offer is not None:
            self._offers[state.offer].peers.discard(peer)
        for number, index in [(number, index) for number, (asked, index, _) in self._asked.items() if asked == peer]:
            del self._asked[number]
            self._missing[index] = None

    def _condemn(self, peer: Peer, reason: str) -> None:
        """It has sent what no correct node sends: never ask it again on this connection."""
        self._forget(peer)
        self._faulty.add(peer)
        self._effects.append(PeerFault(peer, reason))
