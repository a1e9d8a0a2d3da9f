"""What happens to block sync, and what it asks of its host. Times are milliseconds of any steady clock.

The host performs effects in order. Answers come back as inputs, at any time and in any order; an answer to something
that is no longer wanted is ignored.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TypeAlias

from dmchain.chain.consensus.effects import PeerFault
from dmchain.chain.consensus.inputs import Peer
from dmchain.chain.consensus.validators import ValidatorSet
from dmchain.chain.primitives.types import Address, Hash32
from dmchain.chain.sync.verify import RunResult, VerifyRun, WireBlock

TICK_MS = 250
"""How often the host says `Tick`: no deadline here is finer."""

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class SyncConfig:
    """Bounds and deadlines; the defaults are docs/sync.md's."""

    requests_per_peer: int = 4
    request_timeout_ms: int = 10_000
    hedge_ms: int = 2_000
    """When the block that all others wait for has been out this long, a second peer is asked for it."""
    reply_bytes: int = 2 * MEBIBYTE
    """What a reply may weigh; each request in flight counts as much against `buffer_bytes`."""
    wanted_reply_bytes: int = MEBIBYTE
    """What a request aims at: large enough to pay for the way, small enough that a slow line makes the timeout."""
    max_request_blocks: int = 256
    buffer_bytes: int = 64 * MEBIBYTE
    """Of blocks received but not executed, with what is in flight. The block needed next is asked for in any case."""
    window_blocks: int = 4_096
    """How far ahead of the last executed block blocks are fetched."""
    run_blocks: int = 64
    run_bytes: int = 2 * MEBIBYTE
    """Of one verification job."""
    max_runs: int = 3
    """Verification jobs out at once: one a process and one waiting, on two cores."""
    strikes: int = 3
    """So many timeouts, refusals or empty replies in a row, and a peer is passed over for `rest_ms`."""
    rest_ms: int = 60_000
    unproven_rest_ms: int = 10_000
    """A peer that has never delivered is asked for one range at a time, and passed over after one failure."""
    handover_ms: int = 500
    """Consensus takes over within as many blocks as peers make in this time, if that is more than one."""
    stall_ms: int = 10_000
    """Or when so long the distance has not shrunk, though blocks are executed: we are as fast as the chain."""
    stall_blocks: int = 64
    """But not from farther away than this."""
    quiet_ms: int = 1_000
    """Or when for so long no peer has claimed anything above, though too few validators are among them: should it be too
    early, consensus is left behind, and sync begins again."""
    behind_blocks: int = 16
    behind_ms: int = 3_000
    """Once consensus runs: so far behind for so long, sync is wanted again."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) < 1:
                raise ValueError(f"{field.name}: expected 1 or more, got {getattr(self, field.name)}")


# -- inputs ------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Start:
    """Sync from `height` on, the last block that is executed. `validators` sign height + 1."""

    height: int
    block_hash: Hash32
    validators: ValidatorSet


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """What a peer says of itself, on connecting and again with each new head.

    `validator`: the consensus address that the peer has proved to hold, None for others.
    """

    peer: Peer
    height: int
    earliest: int
    validator: Address | None = None


@dataclass(frozen=True, slots=True)
class PeerGone:
    peer: Peer


@dataclass(frozen=True, slots=True)
class BlocksArrived:
    """The reply to `RequestBlocks`: blocks from its start on, fewer than asked for where they are large."""

    peer: Peer
    request: int
    blocks: tuple[WireBlock, ...]


@dataclass(frozen=True, slots=True)
class RequestFailed:
    """No reply: refused, too late, or the connection is gone."""

    peer: Peer
    request: int
    reason: str


@dataclass(frozen=True, slots=True)
class Verified:
    """The answer to `VerifyBlocks`."""

    result: RunResult


@dataclass(frozen=True, slots=True)
class Applied:
    """A block is executed and stored: the answer to `ApplyBlock`, or told by consensus once that runs.

    `validators` sign height + 1, as the state now says.
    """

    height: int
    validators: ValidatorSet


@dataclass(frozen=True, slots=True)
class ApplyFailed:
    """A final block cannot be executed here."""

    height: int
    reason: str


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


Input: TypeAlias = (
    Start | PeerStatus | PeerGone | BlocksArrived | RequestFailed | Verified | Applied | ApplyFailed | Tick
)


# -- effects -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class RequestBlocks:
    """Ask for `count` blocks from `start` on; `request` is repeated in the answer."""

    peer: Peer
    request: int
    start: int
    count: int


@dataclass(frozen=True, slots=True)
class VerifyBlocks:
    """Run `verify.verify_run`, best in another process."""

    run: VerifyRun


@dataclass(frozen=True, slots=True)
class ApplyBlock:
    """Execute and store a block whose commit is verified. One is out at a time, in order of height.

    `senders` of its transactions, 20 bytes each.
    """

    height: int
    block: bytes
    commit: bytes
    senders: bytes = b""


@dataclass(frozen=True, slots=True)
class PeerSlow:
    """The peer does not deliver what it says it has. It is not asked for a while; it may be our line."""

    peer: Peer
    reason: str


@dataclass(frozen=True, slots=True)
class HandOver:
    """Begin consensus at height + 1; `validators` sign it."""

    height: int
    validators: ValidatorSet


@dataclass(frozen=True, slots=True)
class FellBehind:
    """Consensus cannot keep up with its peers: stop it and `Start` sync. Said once."""

    height: int
    peers_height: int


@dataclass(frozen=True, slots=True)
class Halt:
    """A quorum has signed a block that this node cannot follow: stop, keep the proof, tell a person.

    Either more than a third of the power has misbehaved, or this node's state is damaged.
    """

    height: int
    reason: str
    block: bytes
    commit: bytes


Effect: TypeAlias = RequestBlocks | VerifyBlocks | ApplyBlock | PeerFault | PeerSlow | HandOver | FellBehind | Halt
