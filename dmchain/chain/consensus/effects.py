"""Everything the consensus core may ask of its host.

The order of a list of effects is a contract: they are performed first to last, and nothing after a `Persist` may
happen before the record is on disk. A host that fails to persist stops.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from dmchain.chain.consensus.evidence import Misbehaviour
from dmchain.chain.consensus.inputs import Peer, TimerKind
from dmchain.chain.consensus.messages import (
    Candidate,
    CommitCertificate,
    Message,
    Polka,
    Signable,
    SignRecord,
)
from dmchain.chain.primitives.types import Hash32


@dataclass(frozen=True, slots=True)
class Persist:
    """Make the record durable (one fdatasync) before going on."""

    record: SignRecord


@dataclass(frozen=True, slots=True)
class Sign:
    """Sign the statement; answered by `Signed`, at once or later, or never."""

    message: Signable


@dataclass(frozen=True, slots=True)
class Broadcast:
    """Send to all validators, by whatever way the network has."""

    message: Message


@dataclass(frozen=True, slots=True)
class Send:
    peer: Peer
    message: Message


@dataclass(frozen=True, slots=True)
class Ask:
    """Send to a few peers of the host's choice, others each time (ASK_PEERS of timing)."""

    message: Message


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Answered by `Timeout(kind, height, round)`, or `Rebroadcast(height)` for STUCK and RETRY. Never cancelled: the
    core ignores a timer that has lost its meaning."""

    kind: TimerKind
    height: int
    round: int


@dataclass(frozen=True, slots=True)
class GetValue:
    """Build a block; answered by `Value`. `last_commit` is the fullest certificate of the height before."""

    height: int
    round: int
    last_commit: CommitCertificate | None


@dataclass(frozen=True, slots=True)
class Validate:
    """Execute and check a block; answered by `Validity`. The result is worth keeping: `Decide` commits it."""

    height: int
    block: Candidate


@dataclass(frozen=True, slots=True)
class FetchBlock:
    """Ask for a body; `hints` are indices of validators that voted for it."""

    height: int
    block_hash: Hash32
    hints: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Decide:
    """The block is final: store it with its certificate, commit the state, then `Start` the next height."""

    height: int
    block: Candidate
    commit: CommitCertificate


@dataclass(frozen=True, slots=True)
class Evidence:
    """Somebody has misbehaved, provably: into the pool of evidence, and onto the log."""

    proof: Misbehaviour


@dataclass(frozen=True, slots=True)
class PeerFault:
    """The peer has sent what no correct node sends."""

    peer: Peer
    reason: str


@dataclass(frozen=True, slots=True)
class PeerBehind:
    """The peer says that it is stuck at a lower height: send it the decision, or let it sync."""

    peer: Peer
    height: int


@dataclass(frozen=True, slots=True)
class PeerAhead:
    """The peer is at a higher height: unless the decision comes soon, ask it."""

    peer: Peer
    height: int


@dataclass(frozen=True, slots=True)
class Halt:
    """A quorum stands behind a block that this node finds invalid: stop, keep the proof, tell a person."""

    height: int
    block_hash: Hash32
    reason: str
    proof: Polka | CommitCertificate


Effect: TypeAlias = (
    Persist
    | Sign
    | Broadcast
    | Send
    | Ask
    | SetTimer
    | GetValue
    | Validate
    | FetchBlock
    | Decide
    | Evidence
    | PeerFault
    | PeerBehind
    | PeerAhead
    | Halt
)
