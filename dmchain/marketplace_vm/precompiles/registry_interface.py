"""What CidRegistry shows to the outside: limits, structs, events and errors, as Solidity declares them."""

from __future__ import annotations

from typing import Final

from dmchain.chain.primitives.crypto import keccak
from dmchain.chain.primitives.types import Hash32
from dmchain.marketplace_vm.precompiles.abi import encode_values, enum, error, event, function, struct
from dmchain.marketplace_vm.precompiles.layout import MAX_VERSION_INDEX, DatasetStatus

COMMIT_WINDOW: Final = 86_400
"""Seconds within which a commitment must be opened. Long enough to upload a data set and to outlast censorship, and a
registration that nobody contested for so long is final."""
MAX_PARENTS: Final = 16
"""Royalties are paid along the lineage: contracts walk it."""
MAX_PAGE: Final = 256
"""Ids in one answer."""
MAX_VERSION_PAGE: Final = 64
MAX_ADDED_VERSIONS: Final = MAX_VERSION_INDEX + 1 - 65_536
"""A data set takes no more versions; the room above is for claims, so that nobody can bar one by adding versions."""

_SCOPE = "ICidRegistry"
_STATUS = enum(DatasetStatus, _SCOPE)
_DATASET = struct(
    """Dataset(address owner, address controller, address operator, DatasetStatus status, uint64 registeredAt,
        uint64 registeredBlock, uint64 contestableUntil, uint64 sizeBytes, uint32 index, uint32 versionCount,
        uint32 parentCount, bytes cid, bytes latestCid, bytes metadataCid)""",
    _SCOPE,
    {"DatasetStatus": _STATUS},
)
_VERSION = struct("Version(bytes cid, bytes metadataCid, uint64 addedAt, uint64 addedBlock, uint64 sizeBytes)", _SCOPE)
_TYPES = {"Dataset": _DATASET, "Version": _VERSION}

REGISTERED = event(
    """DatasetRegistered(bytes32 indexed datasetId, address indexed owner, bytes cid, bytes metadataCid,
        bytes32[] parents, uint64 sizeBytes)"""
)
CLAIMED = event(
    """DatasetClaimed(bytes32 indexed datasetId, address indexed owner, address indexed previousOwner,
        bytes32 previousDatasetId)"""
)
COMMITTED = event("CidCommitted(bytes32 indexed commitment, address indexed sender)")
VERSION_ADDED = event("VersionAdded(bytes32 indexed datasetId, uint256 indexed index, bytes cid, bytes metadataCid)")
TRANSFERRED = event("DatasetTransferred(bytes32 indexed datasetId, address indexed from, address indexed to)")
CONTROLLER_CHANGED = event("ControllerChanged(bytes32 indexed datasetId, address indexed controller)")
OPERATOR_CHANGED = event("OperatorChanged(bytes32 indexed datasetId, address indexed operator)")
RETIRED = event(
    "DatasetRetired(bytes32 indexed datasetId, address indexed by, DatasetStatus status)", {"DatasetStatus": _STATUS}
)
GOVERNANCE_TRANSFERRED = event("GovernanceTransferred(address indexed from, address indexed to)")

ALREADY_REGISTERED = error("AlreadyRegistered(bytes32 datasetId)")
UNKNOWN_DATASET = error("UnknownDataset(bytes32 datasetId)")
RETIRED_DATASET = error("RetiredDataset(bytes32 datasetId)")
NOT_AUTHORIZED = error("NotAuthorized(bytes32 datasetId, address caller, address required)")
NOT_GOVERNANCE = error("NotGovernance(address caller, address governance)")
INVALID_CID = error("InvalidCid(string reason)")
INVALID_METADATA_CID = error("InvalidMetadataCid(string reason)")
INVALID_OWNER = error("InvalidOwner(address owner)")
TOO_MANY_PARENTS = error("TooManyParents(uint256 given, uint256 allowed)")
INVALID_PARENT = error("InvalidParent(bytes32 parent)")
TOO_MANY_VERSIONS = error("TooManyVersions(bytes32 datasetId)")
TOO_MANY_DATASETS = error("TooManyDatasets()")
INDEX_OUT_OF_RANGE = error("IndexOutOfRange(uint256 index, uint256 count)")
COMMITMENT_EXISTS = error("CommitmentExists(bytes32 commitment, uint64 expiresAt)")
UNKNOWN_COMMITMENT = error("UnknownCommitment(bytes32 commitment)")
COMMITMENT_EXPIRED = error("CommitmentExpired(bytes32 commitment, uint64 expiredAt)")


def compute_commitment(cid: bytes, owner: bytes, salt: bytes) -> Hash32:
    """keccak256(abi.encode(cid, owner, salt)): what `commitCid` takes.

    `owner` (20 bytes) is who will register: nobody else can open it. `salt` is 32 random bytes: without it a commitment
    to a CID that others know could be recognised.
    """
    return keccak(encode_values(_COMMITMENT_PARTS, (cid, owner, salt)))


_COMMITMENT_PARTS = function("commitment(bytes cid, address owner, bytes32 salt)").inputs

DATASET = function("dataset(bytes32 datasetId) view returns (Dataset)", _TYPES)
VERSIONS = function("versions(bytes32 datasetId, uint256 offset, uint256 limit) view returns (Version[])", _TYPES)

ERRORS: Final = (
    ALREADY_REGISTERED,
    UNKNOWN_DATASET,
    RETIRED_DATASET,
    NOT_AUTHORIZED,
    NOT_GOVERNANCE,
    INVALID_CID,
    INVALID_METADATA_CID,
    INVALID_OWNER,
    TOO_MANY_PARENTS,
    INVALID_PARENT,
    TOO_MANY_VERSIONS,
    TOO_MANY_DATASETS,
    INDEX_OUT_OF_RANGE,
    COMMITMENT_EXISTS,
    UNKNOWN_COMMITMENT,
    COMMITMENT_EXPIRED,
)
EVENTS: Final = (
    REGISTERED,
    CLAIMED,
    COMMITTED,
    VERSION_ADDED,
    TRANSFERRED,
    CONTROLLER_CHANGED,
    OPERATOR_CHANGED,
    RETIRED,
    GOVERNANCE_TRANSFERRED,
)
