"""CidRegistry: who registered which content, when, derived from what, and who may grant licences for it.

A data set is named by the keccak256 of the binary CID it was registered with. A content (the CIDv1 spelling of a CID)
belongs to at most one data set at a time, its holder: the one registered with it, or the one that added it as a version.

The first registration wins, unless somebody had committed to the content before it and opens that commitment within
COMMIT_WINDOW seconds: then the data set starts anew for the claimant (`_claim`), so that watching the mempool does not pay.
docs/precompiles.md walks through the attacks that shaped this.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dmchain.marketplace_vm.precompiles import CID_REGISTRY, gas
from dmchain.marketplace_vm.precompiles.abi import encode_uint, encode_values, enum, error, event, function, struct
from dmchain.marketplace_vm.precompiles.cid import (
    InvalidCid,
    compute_content_key,
    compute_dataset_id,
    compute_digest_size,
)
from dmchain.marketplace_vm.precompiles.dispatch import COMMON_ERRORS, Handler, NativeContract
from dmchain.marketplace_vm.precompiles.host import Host
from dmchain.marketplace_vm.precompiles.layout import (
    DATASET_IDS_SLOT,
    GOVERNANCE_SLOT,
    MAX_DATASET_INDEX,
    MAX_VERSION_INDEX,
    UINT40_MAX,
    UINT64_MAX,
    DatasetStatus,
    DatasetWord,
    VersionWord,
    child_slot,
    children_slot,
    commitment_slot,
    controller_slot,
    dataset_ids_item_slot,
    dataset_slot,
    has_tail,
    holder_slot,
    join_cid,
    next_slot,
    operator_slot,
    pack_commitment,
    parent_slot,
    split_cid,
    unpack_commitment,
    unpack_dataset,
    unpack_version,
    version_slots,
)
from dmchain.chain.primitives.crypto import keccak
from dmchain.chain.primitives.types import ZERO_ADDRESS, ZERO_HASH

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
_VERSION = struct(
    "Version(bytes cid, bytes metadataCid, uint64 addedAt, uint64 addedBlock, uint64 sizeBytes)", _SCOPE
)
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
RETIRED = event("DatasetRetired(bytes32 indexed datasetId, address indexed by, DatasetStatus status)", {"DatasetStatus": _STATUS})
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


def compute_commitment(cid: bytes, owner: bytes, salt: bytes) -> bytes:
    """keccak256(abi.encode(cid, owner, salt)): what `commitCid` takes.

    `owner` (20 bytes) is who will register: nobody else can open it. `salt` is 32 random bytes: without it a commitment
    to a CID that others know could be recognised.
    """
    return keccak(encode_values(_COMMITMENT_PARTS, (cid, owner, salt)))


_COMMITMENT_PARTS = function("commitment(bytes cid, address owner, bytes32 salt)").inputs


# ---------------------------------------------------------------- reading


def _load_dataset(host: Host, dataset_id: bytes) -> DatasetWord:
    """Read the packed word of a registered data set; reverts with UnknownDataset."""
    word = host.load(dataset_slot(dataset_id))
    if word == 0:
        raise UNKNOWN_DATASET(dataset_id)
    return unpack_dataset(word)


def _load_address(host: Host, slot: int) -> bytes:
    return host.load(slot).to_bytes(20, "big")


def _load_controller(host: Host, dataset_id: bytes, dataset: DatasetWord) -> bytes:
    """The account that may grant licences: the owner, unless set otherwise."""
    controller = _load_address(host, controller_slot(dataset_id))
    return dataset.owner if controller == ZERO_ADDRESS else controller


def _load_cids(host: Host, dataset_id: bytes, index: int) -> tuple[VersionWord, bytes, bytes]:
    """Return the packed word, CID and metadata CID (maybe b"") of a version."""
    slots = version_slots(dataset_id, index)
    version = unpack_version(host.load(slots.word))
    digest = host.load(slots.digest)
    tail = host.load(slots.digest_tail) if has_tail(version.cid_prefix) else 0
    cid = join_cid(version.cid_prefix, digest, tail)
    if version.metadata_prefix == 0:
        return version, cid, b""
    digest = host.load(slots.metadata_digest)
    tail = host.load(slots.metadata_digest_tail) if has_tail(version.metadata_prefix) else 0
    return version, cid, join_cid(version.metadata_prefix, digest, tail)


def _find_holder(host: Host, content_key: bytes) -> tuple[bytes, int, DatasetWord] | None:
    """Return (data set id, version index, data set) of the content's holder, or None when it is free."""
    slot = holder_slot(content_key)
    dataset_id = host.load(slot).to_bytes(32, "big")
    if dataset_id != ZERO_HASH:
        index = host.load(next_slot(slot))
        dataset = _load_dataset(host, dataset_id)
        if index >= dataset.first_version:
            return dataset_id, index, dataset
        # The version belonged to a registration that has been superseded since: the content is free again.
    word = host.load(dataset_slot(content_key))
    if word == 0:
        return None
    dataset = unpack_dataset(word)
    return content_key, dataset.first_version, dataset


# ---------------------------------------------------------------- checks


def _check_cids(host: Host, cid: bytes, metadata_cid: bytes) -> tuple[int, int]:
    """Return the digest sizes of both (0 for no metadata); reverts with InvalidCid or InvalidMetadataCid."""
    host.charge(gas.CID * 2)
    try:
        size = compute_digest_size(cid)
    except InvalidCid as problem:
        raise INVALID_CID(str(problem)) from problem
    if not metadata_cid:
        return size, 0
    try:
        return size, compute_digest_size(metadata_cid)
    except InvalidCid as problem:
        raise INVALID_METADATA_CID(str(problem)) from problem


def _require_active(dataset_id: bytes, dataset: DatasetWord) -> None:
    if dataset.status != DatasetStatus.ACTIVE:
        raise RETIRED_DATASET(dataset_id)


def _require_authority(host: Host, dataset_id: bytes, dataset: DatasetWord) -> None:
    """The operator when there is one, else the owner."""
    operator = _load_address(host, operator_slot(dataset_id))
    required = dataset.owner if operator == ZERO_ADDRESS else operator
    if host.caller != required:
        raise NOT_AUTHORIZED(dataset_id, host.caller, required)


# ---------------------------------------------------------------- writing


def _write_version(
    host: Host, dataset_id: bytes, index: int, cid: bytes, metadata_cid: bytes, sizes: tuple[int, int], word: VersionWord
) -> None:
    """Store one version; `sizes` are the digest sizes. `word` comes with its prefixes still 0."""
    slots = version_slots(dataset_id, index)
    prefix, digest, tail = split_cid(cid, sizes[0])
    metadata_prefix = 0
    if metadata_cid:
        metadata_prefix, metadata_digest, metadata_tail = split_cid(metadata_cid, sizes[1])
        host.store(slots.metadata_digest, metadata_digest)
        if sizes[1] == 64:
            host.store(slots.metadata_digest_tail, metadata_tail)
    host.store(slots.word, word._replace(cid_prefix=prefix, metadata_prefix=metadata_prefix).pack())
    host.store(slots.digest, digest)
    if sizes[0] == 64:
        host.store(slots.digest_tail, tail)


def _write_holder(host: Host, content_key: bytes, dataset_id: bytes, index: int) -> None:
    """Make a data set the holder of a content. Nothing needs storing when the content key is its id."""
    slot = holder_slot(content_key)
    if dataset_id != content_key:
        host.store(slot, int.from_bytes(dataset_id, "big"))
        host.store(next_slot(slot), index)
    elif host.load(slot):
        host.store(slot, 0)
        host.store(next_slot(slot), 0)


def _write_parents(host: Host, dataset_id: bytes, index: int, parents: Sequence[bytes], old_count: int) -> None:
    """Store the parents, and the data set among their children.

    `index` is the data set's own; `old_count` the number of parents it had before it was claimed. The parents' lists of
    children are append-only: after a claim they may name a child that no longer names them.
    """
    if len(parents) > MAX_PARENTS:
        raise TOO_MANY_PARENTS(len(parents), MAX_PARENTS)
    host.charge(gas.PARENT * (len(parents) + old_count))
    old = [host.load(parent_slot(dataset_id, position)) for position in range(old_count)]
    seen: set[bytes] = set()
    for position, parent in enumerate(parents):
        word = host.load(dataset_slot(parent))
        # Only older data sets: a claimed one may have descendants already, and lineage must not run in circles.
        if word == 0 or unpack_dataset(word).index >= index or parent in seen:
            raise INVALID_PARENT(parent)
        seen.add(parent)
        number = int.from_bytes(parent, "big")
        host.store(parent_slot(dataset_id, position), number)
        if number not in old:
            slot = children_slot(parent)
            count = host.load(slot)
            host.store(child_slot(parent, count), int.from_bytes(dataset_id, "big"))
            host.store(slot, count + 1)


def _append_id(host: Host, dataset_id: bytes) -> int:
    """Add to the list of all data sets; return the index there."""
    index = host.load(DATASET_IDS_SLOT)
    if index > MAX_DATASET_INDEX:
        raise TOO_MANY_DATASETS()
    host.store(dataset_ids_item_slot(index), int.from_bytes(dataset_id, "big"))
    host.store(DATASET_IDS_SLOT, index + 1)
    return index


def _install(
    host: Host,
    cid: bytes,
    metadata_cid: bytes,
    sizes: tuple[int, int],
    parents: Sequence[bytes],
    size_bytes: int,
    since: tuple[int, int],
) -> bytes:
    """Write a data set that the caller has the right to; return its id.

    `since` is (seconds, block number) of the commitment or registration. What an earlier registrant left is cut off:
    versions and licences by `first_version`, controller and operator by clearing them.
    """
    dataset_id = compute_dataset_id(cid)
    word = host.load(dataset_slot(dataset_id))
    if word == 0:
        index, first_version, old_parents = _append_id(host, dataset_id), 0, 0
    else:
        old = unpack_dataset(word)
        index, first_version, old_parents = old.index, old.version_count, old.parent_count
        if first_version > MAX_VERSION_INDEX - 1:
            raise TOO_MANY_VERSIONS(dataset_id)
        host.store(controller_slot(dataset_id), 0)
        host.store(operator_slot(dataset_id), 0)
    _write_parents(host, dataset_id, index, parents, old_parents)
    _write_version(
        host, dataset_id, first_version, cid, metadata_cid, sizes,
        VersionWord(0, 0, size_bytes, min(since[0], UINT40_MAX), min(since[1], UINT40_MAX)),
    )  # fmt: skip
    _write_holder(host, compute_content_key(cid), dataset_id, first_version)
    dataset = DatasetWord(
        host.caller, first_version + 1, first_version, index, DatasetStatus.ACTIVE, len(parents)
    )
    host.store(dataset_slot(dataset_id), dataset.pack())
    host.emit(*REGISTERED.encode(dataset_id, host.caller, cid, metadata_cid, parents, size_bytes))
    return dataset_id


# ---------------------------------------------------------------- registration


def register_cid(host: Host, cid: bytes, metadata_cid: bytes, parents: Sequence[bytes], size_bytes: int) -> bytes:
    sizes = _check_cids(host, cid, metadata_cid)
    holder = _find_holder(host, compute_content_key(cid))
    if holder is not None:
        raise ALREADY_REGISTERED(holder[0])
    return _install(host, cid, metadata_cid, sizes, parents, size_bytes, (host.timestamp, host.block_number))


def commit_cid(host: Host, commitment: bytes) -> bytes:
    slot = commitment_slot(commitment)
    word = host.load(slot)
    if word:
        expires_at = _compute_expiry(unpack_commitment(word)[0])
        # An earlier date is worth more: nobody may push it forward while it counts.
        if host.timestamp <= expires_at:
            raise COMMITMENT_EXISTS(commitment, expires_at)
    host.store(slot, pack_commitment(min(host.timestamp, UINT64_MAX), min(host.block_number, UINT64_MAX)))
    host.emit(*COMMITTED.encode(commitment, host.caller))
    return b""


def register_committed(
    host: Host, cid: bytes, metadata_cid: bytes, parents: Sequence[bytes], size_bytes: int, salt: bytes
) -> bytes:
    sizes = _check_cids(host, cid, metadata_cid)
    since = _open_commitment(host, compute_commitment(cid, host.caller, salt))
    content_key = compute_content_key(cid)
    holder = _find_holder(host, content_key)
    if holder is None:
        return _install(host, cid, metadata_cid, sizes, parents, size_bytes, since)
    return _claim(host, cid, metadata_cid, sizes, parents, size_bytes, since, holder)


def _compute_expiry(committed_at: int) -> int:
    """The last second at which a commitment may be opened."""
    return min(committed_at + COMMIT_WINDOW, UINT64_MAX)


def _open_commitment(host: Host, commitment: bytes) -> tuple[int, int]:
    """Use up a commitment; return its (seconds, block number)."""
    slot = commitment_slot(commitment)
    word = host.load(slot)
    if word == 0:
        raise UNKNOWN_COMMITMENT(commitment)
    since = unpack_commitment(word)
    expires_at = _compute_expiry(since[0])
    if host.timestamp > expires_at:
        raise COMMITMENT_EXPIRED(commitment, expires_at)
    host.store(slot, 0)
    return since


def _claim(
    host: Host,
    cid: bytes,
    metadata_cid: bytes,
    sizes: tuple[int, int],
    parents: Sequence[bytes],
    size_bytes: int,
    since: tuple[int, int],
    holder: tuple[bytes, int, DatasetWord],
) -> bytes:
    """Take a content from its holder with an earlier commitment.

    Refused when the holder's claim is as old or older, and when governance retired it: a claim must not bring back what
    was banned. Whether the caller owns the holder by now does not matter: a front-runner could give it to him, with
    the licences it granted to itself.
    """
    held_id, index, held = holder
    held_since = unpack_version(host.load(version_slots(held_id, index).word))
    if since[1] >= held_since.since_block or held.status == DatasetStatus.RETIRED_BY_GOVERNANCE:
        raise ALREADY_REGISTERED(held_id)
    if index == held.first_version and held_id != compute_dataset_id(cid):
        # The holder was registered with the other spelling of this very CID: its name must not stay in use.
        host.store(dataset_slot(held_id), held._replace(status=DatasetStatus.SUPERSEDED).pack())
        host.emit(*RETIRED.encode(held_id, host.caller, DatasetStatus.SUPERSEDED))
    dataset_id = _install(host, cid, metadata_cid, sizes, parents, size_bytes, since)
    host.emit(*CLAIMED.encode(dataset_id, host.caller, held.owner, held_id))
    return dataset_id


def add_version(host: Host, dataset_id: bytes, cid: bytes, metadata_cid: bytes) -> bytes:
    sizes = _check_cids(host, cid, metadata_cid)
    dataset = _load_dataset(host, dataset_id)
    if host.caller != dataset.owner:
        raise NOT_AUTHORIZED(dataset_id, host.caller, dataset.owner)
    _require_active(dataset_id, dataset)
    index = dataset.version_count
    if index >= MAX_ADDED_VERSIONS:
        raise TOO_MANY_VERSIONS(dataset_id)
    content_key = compute_content_key(cid)
    holder = _find_holder(host, content_key)
    if holder is None:
        _write_holder(host, content_key, dataset_id, index)
    elif holder[2].owner != host.caller:
        # A content of one's own may come again: new metadata, a step back, or two data sets that share a version.
        raise ALREADY_REGISTERED(holder[0])
    since = VersionWord(0, 0, 0, min(host.timestamp, UINT40_MAX), min(host.block_number, UINT40_MAX))
    _write_version(host, dataset_id, index, cid, metadata_cid, sizes, since)
    host.store(dataset_slot(dataset_id), dataset._replace(version_count=index + 1).pack())
    host.emit(*VERSION_ADDED.encode(dataset_id, index - dataset.first_version, cid, metadata_cid))
    return b""


# ---------------------------------------------------------------- ownership


def transfer_dataset(host: Host, dataset_id: bytes, new_owner: bytes) -> bytes:
    dataset = _load_dataset(host, dataset_id)
    _require_authority(host, dataset_id, dataset)
    _require_active(dataset_id, dataset)
    if new_owner == ZERO_ADDRESS:
        raise INVALID_OWNER(new_owner)
    host.store(dataset_slot(dataset_id), dataset._replace(owner=new_owner).pack())
    # A seller must not go on granting licences through a controller of his.
    host.store(controller_slot(dataset_id), 0)
    host.emit(*TRANSFERRED.encode(dataset_id, dataset.owner, new_owner))
    host.emit(*CONTROLLER_CHANGED.encode(dataset_id, new_owner))
    return b""


def set_controller(host: Host, dataset_id: bytes, controller: bytes) -> bytes:
    dataset = _load_dataset(host, dataset_id)
    _require_authority(host, dataset_id, dataset)
    _require_active(dataset_id, dataset)
    host.store(controller_slot(dataset_id), int.from_bytes(controller, "big"))
    effective = dataset.owner if controller == ZERO_ADDRESS else controller
    host.emit(*CONTROLLER_CHANGED.encode(dataset_id, effective))
    return b""


def set_operator(host: Host, dataset_id: bytes, operator: bytes) -> bytes:
    dataset = _load_dataset(host, dataset_id)
    _require_authority(host, dataset_id, dataset)
    _require_active(dataset_id, dataset)
    host.store(operator_slot(dataset_id), int.from_bytes(operator, "big"))
    host.emit(*OPERATOR_CHANGED.encode(dataset_id, operator))
    return b""


def retire(host: Host, dataset_id: bytes) -> bytes:
    dataset = _load_dataset(host, dataset_id)
    governance = _load_address(host, GOVERNANCE_SLOT)
    if host.caller == governance != ZERO_ADDRESS:
        status = DatasetStatus.RETIRED_BY_GOVERNANCE
        if dataset.status == status:
            raise RETIRED_DATASET(dataset_id)
    elif host.caller == dataset.owner:
        status = DatasetStatus.RETIRED
        _require_active(dataset_id, dataset)
    else:
        raise NOT_AUTHORIZED(dataset_id, host.caller, dataset.owner)
    host.store(dataset_slot(dataset_id), dataset._replace(status=status).pack())
    host.emit(*RETIRED.encode(dataset_id, host.caller, status))
    return b""


def transfer_governance(host: Host, new_governance: bytes) -> bytes:
    governance = _load_address(host, GOVERNANCE_SLOT)
    if host.caller != governance or governance == ZERO_ADDRESS:
        raise NOT_GOVERNANCE(host.caller, governance)
    host.store(GOVERNANCE_SLOT, int.from_bytes(new_governance, "big"))
    host.emit(*GOVERNANCE_TRANSFERRED.encode(governance, new_governance))
    return b""


# ---------------------------------------------------------------- views


def get_dataset(host: Host, dataset_id: bytes) -> bytes:
    dataset = _load_dataset(host, dataset_id)
    controller = _load_controller(host, dataset_id, dataset)
    operator = _load_address(host, operator_slot(dataset_id))
    first, cid, metadata_cid = _load_cids(host, dataset_id, dataset.first_version)
    latest_cid = cid
    if dataset.version_count - dataset.first_version > 1:
        _, latest_cid, metadata_cid = _load_cids(host, dataset_id, dataset.version_count - 1)
    fields = (
        dataset.owner, controller, operator, dataset.status, first.since_time, first.since_block,
        first.since_time + COMMIT_WINDOW, first.size_bytes, dataset.index,
        dataset.version_count - dataset.first_version, dataset.parent_count, cid, latest_cid, metadata_cid,
    )  # fmt: skip
    return DATASET.encode_result(fields)


def get_dataset_of(host: Host, cid: bytes) -> bytes:
    _check_cids(host, cid, b"")
    holder = _find_holder(host, compute_content_key(cid))
    return ZERO_HASH if holder is None else holder[0]


def is_registered(host: Host, dataset_id: bytes) -> bytes:
    return encode_uint(1 if host.load(dataset_slot(dataset_id)) else 0)


def get_owner_of(host: Host, dataset_id: bytes) -> bytes:
    return _load_dataset(host, dataset_id).owner.rjust(32, b"\0")


def get_controller_of(host: Host, dataset_id: bytes) -> bytes:
    return _load_controller(host, dataset_id, _load_dataset(host, dataset_id)).rjust(32, b"\0")


def get_version_count(host: Host, dataset_id: bytes) -> bytes:
    dataset = _load_dataset(host, dataset_id)
    return encode_uint(dataset.version_count - dataset.first_version)


def get_versions(host: Host, dataset_id: bytes, offset: int, limit: int) -> bytes:
    dataset = _load_dataset(host, dataset_id)
    page = _page(dataset.version_count - dataset.first_version, offset, limit, MAX_VERSION_PAGE)
    found = []
    for position in page:
        host.charge(gas.SLOT * 2 + gas.CID)
        word, cid, metadata_cid = _load_cids(host, dataset_id, dataset.first_version + position)
        found.append((cid, metadata_cid, word.since_time, word.since_block, word.size_bytes))
    return VERSIONS.encode_result(found)


def get_parents(host: Host, dataset_id: bytes) -> bytes:
    dataset = _load_dataset(host, dataset_id)
    found = []
    for position in range(dataset.parent_count):
        host.charge(gas.SLOT * 2)
        found.append(host.load(parent_slot(dataset_id, position)))
    return _encode_ids(found)


def get_child_count(host: Host, dataset_id: bytes) -> bytes:
    _load_dataset(host, dataset_id)
    return encode_uint(host.load(children_slot(dataset_id)))


def get_children(host: Host, dataset_id: bytes, offset: int, limit: int) -> bytes:
    _load_dataset(host, dataset_id)
    found = []
    for position in _page(host.load(children_slot(dataset_id)), offset, limit, MAX_PAGE):
        host.charge(gas.SLOT * 2)
        found.append(host.load(child_slot(dataset_id, position)))
    return _encode_ids(found)


def get_dataset_count(host: Host) -> bytes:
    return encode_uint(host.load(DATASET_IDS_SLOT))


def get_dataset_at(host: Host, index: int) -> bytes:
    count = host.load(DATASET_IDS_SLOT)
    if index >= count:
        raise INDEX_OUT_OF_RANGE(index, count)
    return encode_uint(host.load(dataset_ids_item_slot(index)))


def get_datasets(host: Host, offset: int, limit: int) -> bytes:
    found = []
    for index in _page(host.load(DATASET_IDS_SLOT), offset, limit, MAX_PAGE):
        host.charge(gas.SLOT)
        found.append(host.load(dataset_ids_item_slot(index)))
    return _encode_ids(found)


def get_commitment(host: Host, commitment: bytes) -> bytes:
    since_time, since_block = unpack_commitment(host.load(commitment_slot(commitment)))
    return encode_uint(since_time) + encode_uint(since_block)


def get_governance(host: Host) -> bytes:
    return encode_uint(host.load(GOVERNANCE_SLOT))


def get_commit_window(host: Host) -> bytes:
    return encode_uint(COMMIT_WINDOW)


def _page(count: int, offset: int, limit: int, most: int) -> range:
    """The positions that a paged view answers: fewer than `limit` at the end, and never more than `most`."""
    return range(min(offset, count), min(offset + min(limit, most), count))


def _encode_ids(ids: Sequence[int]) -> bytes:
    return encode_uint(32) + encode_uint(len(ids)) + b"".join([encode_uint(each) for each in ids])


# ---------------------------------------------------------------- the interface

DATASET = function("dataset(bytes32 datasetId) view returns (Dataset)", _TYPES)
VERSIONS = function("versions(bytes32 datasetId, uint256 offset, uint256 limit) view returns (Version[])", _TYPES)

CONTRACT: Final = NativeContract(
    name=_SCOPE,
    address=CID_REGISTRY,
    handlers=(
        Handler(
            function(
                """registerCid(bytes cid, bytes metadataCid, bytes32[] parents, uint64 sizeBytes)
                returns (bytes32 datasetId)"""
            ),
            gas.REGISTER,
            register_cid,
        ),
        Handler(function("commitCid(bytes32 commitment)"), gas.COMMIT, commit_cid),
        Handler(
            function(
                """registerCommitted(bytes cid, bytes metadataCid, bytes32[] parents, uint64 sizeBytes, bytes32 salt)
                returns (bytes32 datasetId)"""
            ),
            gas.REGISTER_COMMITTED,
            register_committed,
        ),
        Handler(function("addVersion(bytes32 datasetId, bytes cid, bytes metadataCid)"), gas.ADD_VERSION, add_version),
        Handler(function("transferDataset(bytes32 datasetId, address newOwner)"), gas.TRANSFER, transfer_dataset),
        Handler(function("setController(bytes32 datasetId, address controller)"), gas.ADMINISTER, set_controller),
        Handler(function("setOperator(bytes32 datasetId, address operator)"), gas.ADMINISTER, set_operator),
        Handler(function("retire(bytes32 datasetId)"), gas.ADMINISTER, retire),
        Handler(function("transferGovernance(address newGovernance)"), gas.ADMINISTER, transfer_governance),
        Handler(DATASET, gas.VIEW_DATASET, get_dataset),
        Handler(function("datasetOf(bytes cid) view returns (bytes32 datasetId)"), gas.VIEW * 2, get_dataset_of),
        Handler(function("isRegistered(bytes32 datasetId) view returns (bool)"), gas.VIEW, is_registered),
        Handler(function("ownerOf(bytes32 datasetId) view returns (address)"), gas.VIEW, get_owner_of),
        Handler(function("controllerOf(bytes32 datasetId) view returns (address)"), gas.VIEW, get_controller_of),
        Handler(function("versionCount(bytes32 datasetId) view returns (uint256)"), gas.VIEW, get_version_count),
        Handler(VERSIONS, gas.VIEW, get_versions),
        Handler(function("parents(bytes32 datasetId) view returns (bytes32[])"), gas.VIEW, get_parents),
        Handler(function("childCount(bytes32 datasetId) view returns (uint256)"), gas.VIEW, get_child_count),
        Handler(
            function("children(bytes32 datasetId, uint256 offset, uint256 limit) view returns (bytes32[])"),
            gas.VIEW,
            get_children,
        ),
        Handler(function("datasetCount() view returns (uint256)"), gas.VIEW, get_dataset_count),
        Handler(function("datasetAt(uint256 index) view returns (bytes32 datasetId)"), gas.VIEW, get_dataset_at),
        Handler(function("datasets(uint256 offset, uint256 limit) view returns (bytes32[])"), gas.VIEW, get_datasets),
        Handler(
            function("commitmentOf(bytes32 commitment) view returns (uint64 committedAt, uint64 committedBlock)"),
            gas.VIEW,
            get_commitment,
        ),
        Handler(function("governance() view returns (address)"), gas.VIEW, get_governance),
        Handler(function("commitWindow() view returns (uint64)"), gas.VIEW, get_commit_window),
    ),
    errors=(
        *COMMON_ERRORS, ALREADY_REGISTERED, UNKNOWN_DATASET, RETIRED_DATASET, NOT_AUTHORIZED, NOT_GOVERNANCE,
        INVALID_CID, INVALID_METADATA_CID, INVALID_OWNER, TOO_MANY_PARENTS, INVALID_PARENT, TOO_MANY_VERSIONS,
        TOO_MANY_DATASETS, INDEX_OUT_OF_RANGE, COMMITMENT_EXISTS, UNKNOWN_COMMITMENT, COMMITMENT_EXPIRED,
    ),  # fmt: skip
    events=(
        REGISTERED, CLAIMED, COMMITTED, VERSION_ADDED, TRANSFERRED, CONTROLLER_CHANGED, OPERATOR_CHANGED, RETIRED,
        GOVERNANCE_TRANSFERRED,
    ),  # fmt: skip
)  # fmt: skip
