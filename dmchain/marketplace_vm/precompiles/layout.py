"""Where the precompiles keep what: storage slots and packed words.

The layout is the one solc would give the declarations below, so that `cast storage`, `cast index`, storage-proof
libraries and `vm.store` of Foundry work with their usual formulas. docs/precompiles.md is the integrators' reference;
tests/marketplace_vm/precompiles/test_layout.py compares it with solc's storageLayout when solc is at hand.

    contract CidRegistry {                                        // slot
        address governance;                                       // 0
        bytes32[] datasetIds;                                     // 1
        mapping(bytes32 datasetId => Dataset) datasets;           // 2
        mapping(bytes32 datasetId => mapping(uint256 => Version)) versions;    // 3
        mapping(bytes32 datasetId => mapping(uint256 => bytes32)) parents;     // 4
        mapping(bytes32 datasetId => bytes32[]) children;         // 5
        mapping(bytes32 contentKey => Holder) holders;            // 6
        mapping(bytes32 commitment => Commitment) commitments;    // 7
    }
    contract LicenseLedger {
        mapping(bytes32 datasetId => mapping(address licensee => License)) licenses;    // 0
    }

A word of a struct holds its fields from the low-order end, as in Solidity.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

from dmchain.chain.primitives.crypto import keccak

GOVERNANCE_SLOT: Final = 0
DATASET_IDS_SLOT: Final = 1
_DATASETS: Final = (2).to_bytes(32, "big")
_VERSIONS: Final = (3).to_bytes(32, "big")
_PARENTS: Final = (4).to_bytes(32, "big")
_CHILDREN: Final = (5).to_bytes(32, "big")
_HOLDERS: Final = (6).to_bytes(32, "big")
_COMMITMENTS: Final = (7).to_bytes(32, "big")
_LICENSES: Final = (0).to_bytes(32, "big")

_SLOTS: Final = 1 << 256
_ADDRESS_MASK: Final = (1 << 160) - 1
UINT40_MAX: Final = (1 << 40) - 1
UINT64_MAX: Final = (1 << 64) - 1

MAX_VERSION_INDEX: Final = (1 << 24) - 1
MAX_DATASET_INDEX: Final = (1 << 32) - 1


class DatasetStatus(IntEnum):
    NONE = 0
    ACTIVE = 1
    RETIRED = 2
    """By its owner."""
    RETIRED_BY_GOVERNANCE = 3
    SUPERSEDED = 4
    """Its content was claimed with an earlier commitment under the CID's other spelling (v0 or v1)."""


class LicenseKind(IntEnum):
    NONE = 0
    ONE_TIME = 1
    SUBSCRIPTION = 2
    PAY_PER_COMPUTE = 3


# ---------------------------------------------------------------- slots


def _mapping(key: bytes, base: bytes) -> bytes:
    return keccak(key + base)


def _number(slot: bytes) -> int:
    return int.from_bytes(slot, "big")


def dataset_slot(dataset_id: bytes) -> int:
    """Slot of the packed word; controller and operator are in the two slots after it."""
    return int.from_bytes(keccak(dataset_id + _DATASETS), "big")


def controller_slot(dataset_id: bytes) -> int:
    return (dataset_slot(dataset_id) + 1) % _SLOTS


def operator_slot(dataset_id: bytes) -> int:
    return (dataset_slot(dataset_id) + 2) % _SLOTS


def dataset_ids_item_slot(index: int) -> int:
    return (_number(keccak(DATASET_IDS_SLOT.to_bytes(32, "big"))) + index) % _SLOTS


class VersionSlots(NamedTuple):
    """The five slots of one version. A tail is used by 64-byte digests only, and means nothing otherwise."""

    word: int
    digest: int
    metadata_digest: int
    digest_tail: int
    metadata_digest_tail: int


def version_slots(dataset_id: bytes, index: int) -> VersionSlots:
    first = _number(_mapping(index.to_bytes(32, "big"), _mapping(dataset_id, _VERSIONS)))
    return VersionSlots(*((first + offset) % _SLOTS for offset in range(5)))


def parent_slot(dataset_id: bytes, position: int) -> int:
    return _number(_mapping(position.to_bytes(32, "big"), _mapping(dataset_id, _PARENTS)))


def children_slot(dataset_id: bytes) -> int:
    """Slot of the number of children."""
    return _number(_mapping(dataset_id, _CHILDREN))


def child_slot(dataset_id: bytes, position: int) -> int:
    return (_number(keccak(_mapping(dataset_id, _CHILDREN))) + position) % _SLOTS


def holder_slot(content_key: bytes) -> int:
    """Slot of the data set id; the version index is in the slot after it."""
    return _number(_mapping(content_key, _HOLDERS))


def commitment_slot(commitment: bytes) -> int:
    return _number(_mapping(commitment, _COMMITMENTS))


def license_slot(dataset_id: bytes, licensee: bytes) -> int:
    """Slot of the packed word; the hash of the terms is in the slot after it."""
    return int.from_bytes(keccak(bytes(12) + licensee + keccak(dataset_id + _LICENSES)), "big")


def next_slot(slot: int) -> int:
    return (slot + 1) % _SLOTS


# ---------------------------------------------------------------- words


class DatasetWord(NamedTuple):
    """address owner; uint24 versionCount; uint24 firstVersion; uint32 index; uint8 status; uint8 parentCount.

    Versions `firstVersion` to `versionCount - 1` are the data set's; earlier ones belong to a registration that was
    superseded by an earlier commitment. So `firstVersion` also names the generation that licences belong to.
    `index` (`position` here) is the place in `datasetIds`. INVARIANT: a parent's is below its child's, so lineage
    has no cycle.
    """

    owner: bytes
    version_count: int
    first_version: int
    position: int
    status: int
    parent_count: int

    def pack(self) -> int:
        return (
            int.from_bytes(self.owner, "big")
            | self.version_count << 160
            | self.first_version << 184
            | self.position << 208
            | self.status << 240
            | self.parent_count << 248
        )


def unpack_dataset(word: int) -> DatasetWord:
    return DatasetWord(
        owner=(word & _ADDRESS_MASK).to_bytes(20, "big"),
        version_count=word >> 160 & 0xFFFFFF,
        first_version=word >> 184 & 0xFFFFFF,
        position=word >> 208 & 0xFFFFFFFF,
        status=word >> 240 & 0xFF,
        parent_count=word >> 248,
    )


class VersionWord(NamedTuple):
    """uint56 cidPrefix; uint56 metadataPrefix; uint64 sizeBytes; uint40 sinceTime; uint40 sinceBlock.

    A prefix is the CID without its digest, as a big-endian number (0: no CID). `since…` is the moment that decides
    precedence: of the commitment if there was one, else of the registration.
    """

    cid_prefix: int
    metadata_prefix: int
    size_bytes: int
    since_time: int
    since_block: int

    def pack(self) -> int:
        return (
            self.cid_prefix
            | self.metadata_prefix << 56
            | self.size_bytes << 112
            | self.since_time << 176
            | self.since_block << 216
        )


def unpack_version(word: int) -> VersionWord:
    return VersionWord(
        cid_prefix=word & 0xFFFFFFFFFFFFFF,
        metadata_prefix=word >> 56 & 0xFFFFFFFFFFFFFF,
        size_bytes=word >> 112 & UINT64_MAX,
        since_time=word >> 176 & UINT40_MAX,
        since_block=word >> 216,
    )


def pack_commitment(since_time: int, since_block: int) -> int:
    """uint64 timestamp; uint64 blockNumber."""
    return since_time | since_block << 64


def unpack_commitment(word: int) -> tuple[int, int]:
    """Return (timestamp, block number)."""
    return word & UINT64_MAX, word >> 64


class LicenseWord(NamedTuple):
    """uint64 expiresAt; uint64 units; uint64 grantedAt; uint24 generation; uint8 kind; bool revoked; bool metered.

    `expiresAt` in seconds, 0 for never; `units` left, when metered; `generation` is the data set's `firstVersion` when
    the licence was granted.
    """

    expires_at: int
    units: int
    granted_at: int
    generation: int
    kind: int
    revoked: bool
    metered: bool

    def pack(self) -> int:
        return (
            self.expires_at
            | self.units << 64
            | self.granted_at << 128
            | self.generation << 192
            | self.kind << 216
            | self.revoked << 224
            | self.metered << 232
        )


def unpack_license(word: int) -> LicenseWord:
    return LicenseWord(
        expires_at=word & UINT64_MAX,
        units=word >> 64 & UINT64_MAX,
        granted_at=word >> 128 & UINT64_MAX,
        generation=word >> 192 & 0xFFFFFF,
        kind=word >> 216 & 0xFF,
        revoked=bool(word >> 224 & 0xFF),
        metered=bool(word >> 232 & 0xFF),
    )


def split_cid(raw: bytes, digest_size: int) -> tuple[int, int, int]:
    """Return (prefix, digest, tail) as stored; `tail` is 0 for a 32-byte digest."""
    digest = raw[-digest_size:]
    return int.from_bytes(raw[:-digest_size], "big"), _number(digest[:32]), _number(digest[32:])


def join_cid(prefix: int, digest: int, tail: int) -> bytes:
    """Undo `split_cid`; b"" when the prefix is 0. The last byte of a prefix is the digest length."""
    if prefix == 0:
        return b""
    raw = prefix.to_bytes((prefix.bit_length() + 7) // 8, "big") + digest.to_bytes(32, "big")
    return raw + tail.to_bytes(32, "big") if has_tail(prefix) else raw


def has_tail(prefix: int) -> bool:
    """Whether the digest is 64 bytes long."""
    return prefix & 0xFF == 64
