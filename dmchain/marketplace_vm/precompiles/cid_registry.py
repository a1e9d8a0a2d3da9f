"""CidRegistry: who registered which content, when, derived from what, and who may grant licences for it.

A data set is named by the keccak256 of the binary CID it was registered with. A content (the CIDv1 spelling of a CID)
belongs to at most one data set at a time, its holder: the one registered with it, or one that added it as a version.

The first registration wins, unless somebody had committed to the content before it and opens that commitment within
COMMIT_WINDOW seconds: then the data set begins anew for the claimant (`_claim`), so that watching the mempool does not
pay. docs/precompiles.md walks through the attacks that shaped this.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dmchain.chain.primitives.types import ZERO_ADDRESS
from dmchain.marketplace_vm.precompiles import CID_REGISTRY, gas
from dmchain.marketplace_vm.precompiles import registry_interface as interface
from dmchain.marketplace_vm.precompiles import registry_views as views
from dmchain.marketplace_vm.precompiles.abi import function
from dmchain.marketplace_vm.precompiles.cid import compute_content_key, compute_dataset_id
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
    holder_slot,
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
from dmchain.marketplace_vm.precompiles.registry_views import check_cids, find_holder, load_address, load_dataset


def _require_active(dataset_id: bytes, dataset: DatasetWord) -> None:
    if dataset.status != DatasetStatus.ACTIVE:
        raise interface.RETIRED_DATASET(dataset_id)


def _require_authority(host: Host, dataset_id: bytes, dataset: DatasetWord) -> None:
    """The operator when there is one, else the owner."""
    operator = load_address(host, operator_slot(dataset_id))
    required = dataset.owner if operator == ZERO_ADDRESS else operator
    if host.caller != required:
        raise interface.NOT_AUTHORIZED(dataset_id, host.caller, required)


# ---------------------------------------------------------------- writing


def _write_version(
    host: Host,
    dataset_id: bytes,
    index: int,
    cid: bytes,
    metadata_cid: bytes,
    sizes: tuple[int, int],
    word: VersionWord,
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
    if len(parents) > interface.MAX_PARENTS:
        raise interface.TOO_MANY_PARENTS(len(parents), interface.MAX_PARENTS)
    host.charge(gas.PARENT * (len(parents) + old_count))
    old = [host.load(parent_slot(dataset_id, position)) for position in range(old_count)]
    seen: set[bytes] = set()
    for position, parent in enumerate(parents):
        word = host.load(dataset_slot(parent))
        # Only older data sets: a claimed one may have descendants already, and lineage must not run in circles.
        if word == 0 or unpack_dataset(word).position >= index or parent in seen:
            raise interface.INVALID_PARENT(parent)
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
        raise interface.TOO_MANY_DATASETS()
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
    """Write a data set whose content the caller has the right to; return its id.

    `since` is (seconds, block number) of the commitment or registration. What an earlier registrant left is cut off:
    versions and licences by `first_version`, controller and operator by clearing them.
    """
    dataset_id = compute_dataset_id(cid)
    word = host.load(dataset_slot(dataset_id))
    if word == 0:
        index, first_version, old_parents = _append_id(host, dataset_id), 0, 0
    else:
        old = unpack_dataset(word)
        if old.status == DatasetStatus.RETIRED_BY_GOVERNANCE:
            raise interface.RETIRED_DATASET(dataset_id)
        index, first_version, old_parents = old.position, old.version_count, old.parent_count
        if first_version > MAX_VERSION_INDEX - 1:
            raise interface.TOO_MANY_VERSIONS(dataset_id)
        host.store(controller_slot(dataset_id), 0)
        host.store(operator_slot(dataset_id), 0)
    _write_parents(host, dataset_id, index, parents, old_parents)
    _write_version(
        host, dataset_id, first_version, cid, metadata_cid, sizes,
        VersionWord(0, 0, size_bytes, min(since[0], UINT40_MAX), min(since[1], UINT40_MAX)),
    )  # fmt: skip
    _write_holder(host, compute_content_key(cid), dataset_id, first_version)
    dataset = DatasetWord(host.caller, first_version + 1, first_version, index, DatasetStatus.ACTIVE, len(parents))
    host.store(dataset_slot(dataset_id), dataset.pack())
    host.emit(*interface.REGISTERED.encode(dataset_id, host.caller, cid, metadata_cid, parents, size_bytes))
    return dataset_id


# ---------------------------------------------------------------- registration


def register_cid(host: Host, cid: bytes, metadata_cid: bytes, parents: Sequence[bytes], size_bytes: int) -> bytes:
    sizes = check_cids(host, cid, metadata_cid)
    holder = find_holder(host, compute_content_key(cid))
    if holder is not None:
        raise interface.ALREADY_REGISTERED(holder[0])
    return _install(host, cid, metadata_cid, sizes, parents, size_bytes, (host.timestamp, host.block_number))


def commit_cid(host: Host, commitment: bytes) -> bytes:
    slot = commitment_slot(commitment)
    word = host.load(slot)
    if word:
        expires_at = _compute_expiry(unpack_commitment(word)[0])
        # An earlier date is worth more: nobody may push it forward while it counts.
        if host.timestamp <= expires_at:
            raise interface.COMMITMENT_EXISTS(commitment, expires_at)
    host.store(slot, pack_commitment(min(host.timestamp, UINT64_MAX), min(host.block_number, UINT64_MAX)))
    host.emit(*interface.COMMITTED.encode(commitment, host.caller))
    return b""


def register_committed(
    host: Host, cid: bytes, metadata_cid: bytes, parents: Sequence[bytes], size_bytes: int, salt: bytes
) -> bytes:
    sizes = check_cids(host, cid, metadata_cid)
    since = _open_commitment(host, interface.compute_commitment(cid, host.caller, salt))
    content_key = compute_content_key(cid)
    holder = find_holder(host, content_key)
    if holder is None:
        return _install(host, cid, metadata_cid, sizes, parents, size_bytes, since)
    return _claim(host, cid, metadata_cid, sizes, parents, size_bytes, since, holder)


def _compute_expiry(committed_at: int) -> int:
    """The last second at which a commitment may be opened."""
    return min(committed_at + interface.COMMIT_WINDOW, UINT64_MAX)


def _open_commitment(host: Host, commitment: bytes) -> tuple[int, int]:
    """Use up a commitment; return its (seconds, block number)."""
    slot = commitment_slot(commitment)
    word = host.load(slot)
    if word == 0:
        raise interface.UNKNOWN_COMMITMENT(commitment)
    since = unpack_commitment(word)
    expires_at = _compute_expiry(since[0])
    if host.timestamp > expires_at:
        raise interface.COMMITMENT_EXPIRED(commitment, expires_at)
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
        raise interface.ALREADY_REGISTERED(held_id)
    if index == held.first_version and held_id != compute_dataset_id(cid):
        # The holder was registered with the other spelling of this very CID: its name must not stay in use.
        host.store(dataset_slot(held_id), held._replace(status=DatasetStatus.SUPERSEDED).pack())
        host.emit(*interface.RETIRED.encode(held_id, host.caller, DatasetStatus.SUPERSEDED))
    dataset_id = _install(host, cid, metadata_cid, sizes, parents, size_bytes, since)
    host.emit(*interface.CLAIMED.encode(dataset_id, host.caller, held.owner, held_id))
    return dataset_id


def add_version(host: Host, dataset_id: bytes, cid: bytes, metadata_cid: bytes) -> bytes:
    sizes = check_cids(host, cid, metadata_cid)
    dataset = load_dataset(host, dataset_id)
    if host.caller != dataset.owner:
        raise interface.NOT_AUTHORIZED(dataset_id, host.caller, dataset.owner)
    _require_active(dataset_id, dataset)
    index = dataset.version_count
    if index >= interface.MAX_ADDED_VERSIONS:
        raise interface.TOO_MANY_VERSIONS(dataset_id)
    content_key = compute_content_key(cid)
    holder = find_holder(host, content_key)
    if holder is None:
        _write_holder(host, content_key, dataset_id, index)
    elif holder[2].owner != host.caller:
        # A content of one's own may come again: new metadata, a step back, or two data sets that share a version.
        raise interface.ALREADY_REGISTERED(holder[0])
    since = VersionWord(0, 0, 0, min(host.timestamp, UINT40_MAX), min(host.block_number, UINT40_MAX))
    _write_version(host, dataset_id, index, cid, metadata_cid, sizes, since)
    host.store(dataset_slot(dataset_id), dataset._replace(version_count=index + 1).pack())
    host.emit(*interface.VERSION_ADDED.encode(dataset_id, index - dataset.first_version, cid, metadata_cid))
    return b""


# ---------------------------------------------------------------- ownership


def transfer_dataset(host: Host, dataset_id: bytes, new_owner: bytes) -> bytes:
    dataset = load_dataset(host, dataset_id)
    _require_authority(host, dataset_id, dataset)
    _require_active(dataset_id, dataset)
    if new_owner == ZERO_ADDRESS:
        raise interface.INVALID_OWNER(new_owner)
    host.store(dataset_slot(dataset_id), dataset._replace(owner=new_owner).pack())
    # A seller must not go on granting licences through a controller of his.
    host.store(controller_slot(dataset_id), 0)
    host.emit(*interface.TRANSFERRED.encode(dataset_id, dataset.owner, new_owner))
    host.emit(*interface.CONTROLLER_CHANGED.encode(dataset_id, new_owner))
    return b""


def set_controller(host: Host, dataset_id: bytes, controller: bytes) -> bytes:
    dataset = load_dataset(host, dataset_id)
    _require_authority(host, dataset_id, dataset)
    _require_active(dataset_id, dataset)
    host.store(controller_slot(dataset_id), int.from_bytes(controller, "big"))
    effective = dataset.owner if controller == ZERO_ADDRESS else controller
    host.emit(*interface.CONTROLLER_CHANGED.encode(dataset_id, effective))
    return b""


def set_operator(host: Host, dataset_id: bytes, operator: bytes) -> bytes:
    dataset = load_dataset(host, dataset_id)
    _require_authority(host, dataset_id, dataset)
    _require_active(dataset_id, dataset)
    host.store(operator_slot(dataset_id), int.from_bytes(operator, "big"))
    host.emit(*interface.OPERATOR_CHANGED.encode(dataset_id, operator))
    return b""


def retire(host: Host, dataset_id: bytes) -> bytes:
    dataset = load_dataset(host, dataset_id)
    governance = load_address(host, GOVERNANCE_SLOT)
    if host.caller == governance != ZERO_ADDRESS:
        status = DatasetStatus.RETIRED_BY_GOVERNANCE
        if dataset.status == status:
            raise interface.RETIRED_DATASET(dataset_id)
    elif host.caller == dataset.owner:
        status = DatasetStatus.RETIRED
        _require_active(dataset_id, dataset)
    else:
        raise interface.NOT_AUTHORIZED(dataset_id, host.caller, dataset.owner)
    host.store(dataset_slot(dataset_id), dataset._replace(status=status).pack())
    host.emit(*interface.RETIRED.encode(dataset_id, host.caller, status))
    return b""


def transfer_governance(host: Host, new_governance: bytes) -> bytes:
    governance = load_address(host, GOVERNANCE_SLOT)
    if host.caller != governance or governance == ZERO_ADDRESS:
        raise interface.NOT_GOVERNANCE(host.caller, governance)
    host.store(GOVERNANCE_SLOT, int.from_bytes(new_governance, "big"))
    host.emit(*interface.GOVERNANCE_TRANSFERRED.encode(governance, new_governance))
    return b""


# ---------------------------------------------------------------- the interface

CONTRACT: Final = NativeContract(
    name="ICidRegistry",
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
        Handler(interface.DATASET, gas.VIEW_DATASET, views.get_dataset),
        Handler(function("datasetOf(bytes cid) view returns (bytes32 datasetId)"), gas.VIEW * 2, views.get_dataset_of),
        Handler(function("isRegistered(bytes32 datasetId) view returns (bool)"), gas.VIEW, views.is_registered),
        Handler(function("ownerOf(bytes32 datasetId) view returns (address)"), gas.VIEW, views.get_owner_of),
        Handler(function("controllerOf(bytes32 datasetId) view returns (address)"), gas.VIEW, views.get_controller_of),
        Handler(function("versionCount(bytes32 datasetId) view returns (uint256)"), gas.VIEW, views.get_version_count),
        Handler(interface.VERSIONS, gas.VIEW, views.get_versions),
        Handler(function("parents(bytes32 datasetId) view returns (bytes32[])"), gas.VIEW, views.get_parents),
        Handler(function("childCount(bytes32 datasetId) view returns (uint256)"), gas.VIEW, views.get_child_count),
        Handler(
            function("children(bytes32 datasetId, uint256 offset, uint256 limit) view returns (bytes32[])"),
            gas.VIEW,
            views.get_children,
        ),
        Handler(function("datasetCount() view returns (uint256)"), gas.VIEW, views.get_dataset_count),
        Handler(function("datasetAt(uint256 index) view returns (bytes32 datasetId)"), gas.VIEW, views.get_dataset_at),
        Handler(
            function("datasets(uint256 offset, uint256 limit) view returns (bytes32[])"), gas.VIEW, views.get_datasets
        ),
        Handler(
            function("commitmentOf(bytes32 commitment) view returns (uint64 committedAt, uint64 committedBlock)"),
            gas.VIEW,
            views.get_commitment,
        ),
        Handler(function("governance() view returns (address)"), gas.VIEW, views.get_governance),
        Handler(function("commitWindow() view returns (uint64)"), gas.VIEW, views.get_commit_window),
    ),
    errors=(*COMMON_ERRORS, *interface.ERRORS),
    events=interface.EVENTS,
)
