"""Everything two nodes can say to each other, and the table of its numbers, sizes and priorities.

Messages are immutable and checked when they come in. Heights are below 2**63. Payloads of consensus, transactions,
blocks, commits and snapshots are opaque bytes here; whoever asked for them decodes them strictly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final, TypeAlias

from dmchain.chain.primitives.types import Address, Hash32
from dmchain.node.network.fields import Blob, Field, ListOf, Struct, Text, Uint, fixed

KIB: Final = 1024
MIB: Final = 1024 * KIB

MAX_HEIGHT: Final = 2**63 - 1
MAX_REPLY_BYTES: Final = 2 * MIB
"""Whoever answers with many items stops adding when it has that much; a single larger item goes alone."""
MAX_BODY_BYTES: Final = 4 * MIB - 64
"""A block, or a proposal with its block."""
MAX_CONSENSUS_BYTES: Final = 128 * KIB
"""A certificate of 300 validators takes 40 KiB."""
MAX_TRANSACTION_BYTES: Final = 128 * KIB + 64
"""As geth's pool admits; 64 for an envelope."""
MAX_HASHES: Final = 1024
MAX_TRANSACTIONS: Final = 1024
MAX_NEW_TRANSACTIONS: Final = 64
MAX_NEW_BYTES: Final = 64 * KIB
"""Pushed unasked in one message: what is more is announced."""
MAX_BLOCKS: Final = 1024
MAX_PEER_RECORDS: Final = 64
MAX_VALIDATOR_RECORDS: Final = 64
MAX_COMMIT_BYTES: Final = 64 * KIB
MAX_MANIFEST_BYTES: Final = 1 * MIB
MAX_SET_BYTES: Final = 32 * KIB
"""1,024 validators of 28 bytes."""
MAX_CHUNK_BYTES: Final = 2 * MIB


class Priority(IntEnum):
    """Queues of a peer, the most urgent first."""

    CONSENSUS = 0
    REQUEST = 1
    BULK = 2


@dataclass(frozen=True, slots=True)
class PeerRecord:
    """Where a node can be reached, signed by it (discovery.py). `ip` has 4 or 16 bytes; the highest sequence counts."""

    ip: bytes
    port: int
    sequence: int
    signature: bytes


@dataclass(frozen=True, slots=True)
class ValidatorRecord:
    """Which node votes with a consensus key (an address), and where it listens, if it says so: signed by both keys
    (validator_records.py). `ip` has 0, 4 or 16 bytes; `sequence` and `expires` are seconds since the epoch."""

    consensus: Address
    node_id: Address
    ip: bytes
    port: int
    sequence: int
    expires: int
    consensus_signature: bytes
    node_signature: bytes


@dataclass(frozen=True, slots=True)
class ValidatorRecords:
    """Told to new peers, and passed on when one is news."""

    records: tuple[ValidatorRecord, ...]


@dataclass(frozen=True, slots=True)
class Status:
    """The sender's chain: also how a new head is announced. Blocks from `earliest_height` on can be asked for."""

    height: int
    head_hash: Hash32
    earliest_height: int


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message in each direction. `boot` is drawn at random when the program starts; a link from another
    boot of the same node replaces an old one. `record` holds at most one record, of a node that can be dialled."""

    software: str
    boot: bytes
    status: Status
    record: tuple[PeerRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class Ping:
    """Answered at once."""


@dataclass(frozen=True, slots=True)
class Pong:
    pass


@dataclass(frozen=True, slots=True)
class Disconnect:
    """The last message: why the sender closes. `code` is a DisconnectCode, or a newer one we do not know."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class GetPeers:
    pass


@dataclass(frozen=True, slots=True)
class Peers:
    records: tuple[PeerRecord, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """The answer to a request that will not be answered."""

    code: int
    reason: str


class RefusalCode(IntEnum):
    UNAVAILABLE = 0
    BUSY = 1
    UNSUPPORTED = 2


@dataclass(frozen=True, slots=True)
class TransactionHashes:
    """Transactions the sender has, to be pulled by whoever lacks them."""

    hashes: tuple[Hash32, ...]


@dataclass(frozen=True, slots=True)
class GetTransactions:
    hashes: tuple[Hash32, ...]


@dataclass(frozen=True, slots=True)
class Transactions:
    """Raw transactions, in the order asked for; those the sender no longer has are left out."""

    raw: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class NewTransactions:
    """Raw transactions that have just come to the sender from its own clients; nobody asked for them."""

    raw: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ConsensusMessage:
    """A vote, a certificate, a proposal without its block: what chain.consensus encodes."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class ConsensusBody:
    """The same, with a block in it."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class GetBlocks:
    """Ask for `count` blocks from height `start` on."""

    start: int
    count: int


@dataclass(frozen=True, slots=True)
class BlockWithCommit:
    """A block as stored and the certificate that it is final."""

    block: bytes
    commit: bytes


@dataclass(frozen=True, slots=True)
class Blocks:
    """Blocks of consecutive heights from the first one asked for; fewer when they are many or large."""

    blocks: tuple[BlockWithCommit, ...]


@dataclass(frozen=True, slots=True)
class GetSnapshotManifest:
    """Ask what the snapshot of `height` consists of; 0 is the newest."""

    height: int


@dataclass(frozen=True, slots=True)
class SnapshotManifest:
    height: int
    manifest: bytes


@dataclass(frozen=True, slots=True)
class GetSnapshotChunk:
    height: int
    index: int


@dataclass(frozen=True, slots=True)
class SnapshotChunk:
    data: bytes


@dataclass(frozen=True, slots=True)
class GetLightBlock:
    """Ask for what proves the block at `height` to somebody who knows an earlier validator set."""

    height: int


@dataclass(frozen=True, slots=True)
class LightBlockParts:
    """Header, record, commit, who signs this height and who signs the next one, each as chain.consensus encodes it."""

    header: bytes
    record: bytes
    commit: bytes
    validators: bytes
    next_validators: bytes


Push: TypeAlias = (
    Hello
    | Status
    | Disconnect
    | ValidatorRecords
    | TransactionHashes
    | NewTransactions
    | ConsensusMessage
    | ConsensusBody
)
Request: TypeAlias = (
    Ping | GetPeers | GetTransactions | GetBlocks | GetSnapshotManifest | GetSnapshotChunk | GetLightBlock
)
Reply: TypeAlias = Pong | Peers | Transactions | Blocks | SnapshotManifest | SnapshotChunk | LightBlockParts | Refusal
Message: TypeAlias = Push | Request | Reply


class Role(IntEnum):
    PUSH = 0
    REQUEST = 1
    REPLY = 2


@dataclass(frozen=True, slots=True)
class MessageType:
    """One row of the table. `max_bytes` is of the whole frame without its length; `answer` that of a request."""

    number: int
    kind: Callable[..., Any]
    role: Role
    priority: Priority
    max_bytes: int
    fields: tuple[tuple[str, Field], ...] = field(default=())
    answer: type | None = None


_HEIGHT = Uint(MAX_HEIGHT)
_HASH = fixed(32)
_HASHES = (("hashes", ListOf(_HASH, 1, MAX_HASHES)),)
_REASON = (("code", Uint(255)), ("reason", Text(200)))
_STATUS = (("height", _HEIGHT), ("head_hash", _HASH), ("earliest_height", _HEIGHT))
_RECORD = Struct(
    PeerRecord,
    (("ip", Blob(4, 16)), ("port", Uint(65535)), ("sequence", Uint(2**64 - 1)), ("signature", fixed(65))),
)
_VALIDATOR = Struct(
    ValidatorRecord,
    (
        ("consensus", fixed(20)),
        ("node_id", fixed(20)),
        ("ip", Blob(0, 16)),
        ("port", Uint(65535)),
        ("sequence", Uint(2**63 - 1)),
        ("expires", Uint(2**63 - 1)),
        ("consensus_signature", fixed(65)),
        ("node_signature", fixed(65)),
    ),
)
_BLOCK = Struct(BlockWithCommit, (("block", Blob(1, MAX_BODY_BYTES)), ("commit", Blob(0, MAX_COMMIT_BYTES))))

_P, _Q, _A = Role.PUSH, Role.REQUEST, Role.REPLY
_VOTE, _ASK, _BULK = Priority.CONSENSUS, Priority.REQUEST, Priority.BULK

MESSAGE_TYPES: Final = (
    # link; pings and farewells overtake everything, so that a long queue does not look like silence
    MessageType(0, Hello, _P, _VOTE, 512, (
        ("software", Text(64)), ("boot", fixed(8)), ("status", Struct(Status, _STATUS)),
        ("record", ListOf(_RECORD, 0, 1)),
    )),
    MessageType(1, Status, _P, _ASK, 64, _STATUS),
    MessageType(2, Ping, _Q, _VOTE, 16, answer=Pong),
    MessageType(3, Pong, _A, _VOTE, 16),
    MessageType(4, Disconnect, _P, _VOTE, 256, _REASON),
    MessageType(5, GetPeers, _Q, _ASK, 16, answer=Peers),
    MessageType(6, Peers, _A, _ASK, 8 * KIB, (("records", ListOf(_RECORD, 0, MAX_PEER_RECORDS)),)),
    MessageType(7, Refusal, _A, _ASK, 256, _REASON),
    MessageType(8, ValidatorRecords, _P, _BULK, 16 * KIB, (
        ("records", ListOf(_VALIDATOR, 1, MAX_VALIDATOR_RECORDS)),
    )),
    # transactions
    MessageType(16, TransactionHashes, _P, _BULK, 36 * KIB, _HASHES),
    MessageType(17, GetTransactions, _Q, _ASK, 36 * KIB, _HASHES, answer=Transactions),
    MessageType(18, Transactions, _A, _BULK, MAX_REPLY_BYTES + 132 * KIB, (
        ("raw", ListOf(Blob(1, MAX_TRANSACTION_BYTES), 0, MAX_TRANSACTIONS)),
    )),
    MessageType(19, NewTransactions, _P, _BULK, MAX_NEW_BYTES + 512, (
        ("raw", ListOf(Blob(1, MAX_NEW_BYTES), 1, MAX_NEW_TRANSACTIONS)),
    )),
    # consensus
    MessageType(24, ConsensusMessage, _P, _VOTE, MAX_CONSENSUS_BYTES + 16, (
        ("payload", Blob(1, MAX_CONSENSUS_BYTES)),
    )),
    MessageType(25, ConsensusBody, _P, _VOTE, MAX_BODY_BYTES + 16, (("payload", Blob(1, MAX_BODY_BYTES)),)),
    # blocks and snapshots
    MessageType(32, GetBlocks, _Q, _ASK, 32, (
        ("start", _HEIGHT), ("count", Uint(MAX_BLOCKS)),
    ), answer=Blocks),
    MessageType(33, Blocks, _A, _ASK, 4 * MIB, (("blocks", ListOf(_BLOCK, 0, MAX_BLOCKS)),)),
    MessageType(34, GetSnapshotManifest, _Q, _ASK, 32, (("height", _HEIGHT),), answer=SnapshotManifest),
    MessageType(35, SnapshotManifest, _A, _ASK, MAX_MANIFEST_BYTES + 32, (
        ("height", _HEIGHT), ("manifest", Blob(1, MAX_MANIFEST_BYTES)),
    )),
    MessageType(36, GetSnapshotChunk, _Q, _ASK, 32, (
        ("height", _HEIGHT), ("index", Uint(2**32 - 1)),
    ), answer=SnapshotChunk),
    MessageType(37, SnapshotChunk, _A, _ASK, MAX_CHUNK_BYTES + 32, (("data", Blob(1, MAX_CHUNK_BYTES)),)),
    MessageType(38, GetLightBlock, _Q, _ASK, 32, (("height", _HEIGHT),), answer=LightBlockParts),
    MessageType(39, LightBlockParts, _A, _ASK, 2 * MAX_SET_BYTES + MAX_COMMIT_BYTES + 4 * KIB, (
        ("header", Blob(1, 1 * KIB)), ("record", Blob(1, 1 * KIB)), ("commit", Blob(1, MAX_COMMIT_BYTES)),
        ("validators", Blob(1, MAX_SET_BYTES)), ("next_validators", Blob(1, MAX_SET_BYTES)),
    )),
)  # fmt: skip
"""Numbers are for ever: a message that changes its fields gets a new one."""

TYPE_OF_NUMBER: Final = {row.number: row for row in MESSAGE_TYPES}
TYPE_OF_KIND: Final = {row.kind: row for row in MESSAGE_TYPES}
