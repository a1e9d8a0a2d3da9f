"""CidRegistry's reading side: what handlers load from storage, and the views.

Views charge for each item of an answer before they load it; pages are bounded.
"""

from __future__ import annotations

from collections.abc import Sequence

from dmchain.chain.primitives.types import ZERO_ADDRESS, ZERO_HASH
from dmchain.marketplace_vm.precompiles import gas
from dmchain.marketplace_vm.precompiles import registry_interface as interface
from dmchain.marketplace_vm.precompiles.abi import encode_uint
from dmchain.marketplace_vm.precompiles.cid import InvalidCid, compute_content_key, compute_digest_size
from dmchain.marketplace_vm.precompiles.host import Host
from dmchain.marketplace_vm.precompiles.layout import (
    DATASET_IDS_SLOT,
    GOVERNANCE_SLOT,
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
    parent_slot,
    unpack_commitment,
    unpack_dataset,
    unpack_version,
    version_slots,
)


def load_dataset(host: Host, dataset_id: bytes) -> DatasetWord:
    """Read the packed word of a registered data set; reverts with UnknownDataset."""
    word = host.load(dataset_slot(dataset_id))
    if word == 0:
        raise interface.UNKNOWN_DATASET(dataset_id)
    return unpack_dataset(word)


def load_address(host: Host, slot: int) -> bytes:
    return host.load(slot).to_bytes(20, "big")


def load_controller(host: Host, dataset_id: bytes, dataset: DatasetWord) -> bytes:
    """The account that may grant licences: the owner, unless set otherwise."""
    controller = load_address(host, controller_slot(dataset_id))
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


def find_holder(host: Host, content_key: bytes) -> tuple[bytes, int, DatasetWord] | None:
    """Return (data set id, version index, data set) of the content's holder, or None when it is free."""
    slot = holder_slot(content_key)
    dataset_id = host.load(slot).to_bytes(32, "big")
    if dataset_id != ZERO_HASH:
        index = host.load(next_slot(slot))
        dataset = load_dataset(host, dataset_id)
        if index >= dataset.first_version:
            return dataset_id, index, dataset
        # The version belonged to a registration that has been superseded since: the content is free again.
    word = host.load(dataset_slot(content_key))
    if word == 0:
        return None
    dataset = unpack_dataset(word)
    return content_key, dataset.first_version, dataset


def check_cids(host: Host, cid: bytes, metadata_cid: bytes) -> tuple[int, int]:
    """Return the digest sizes of both (0 for no metadata); reverts with InvalidCid or InvalidMetadataCid."""
    host.charge(gas.CID * 2)
    try:
        size = compute_digest_size(cid)
    except InvalidCid as problem:
        raise interface.INVALID_CID(str(problem)) from problem
    if not metadata_cid:
        return size, 0
    try:
        return size, compute_digest_size(metadata_cid)
    except InvalidCid as problem:
        raise interface.INVALID_METADATA_CID(str(problem)) from problem


# ---------------------------------------------------------------- views


def get_dataset(host: Host, dataset_id: bytes) -> bytes:
    dataset = load_dataset(host, dataset_id)
    controller = load_controller(host, dataset_id, dataset)
    operator = load_address(host, operator_slot(dataset_id))
    first, cid, metadata_cid = _load_cids(host, dataset_id, dataset.first_version)
    latest_cid = cid
    if dataset.version_count - dataset.first_version > 1:
        _, latest_cid, metadata_cid = _load_cids(host, dataset_id, dataset.version_count - 1)
    fields = (
        dataset.owner, controller, operator, dataset.status, first.since_time, first.since_block,
        first.since_time + interface.COMMIT_WINDOW, first.size_bytes, dataset.position,
        dataset.version_count - dataset.first_version, dataset.parent_count, cid, latest_cid, metadata_cid,
    )  # fmt: skip
    return interface.DATASET.encode_result(fields)


def get_dataset_of(host: Host, cid: bytes) -> bytes:
    check_cids(host, cid, b"")
    holder = find_holder(host, compute_content_key(cid))
    return ZERO_HASH if holder is None else holder[0]


def is_registered(host: Host, dataset_id: bytes) -> bytes:
    return encode_uint(1 if host.load(dataset_slot(dataset_id)) else 0)


def get_owner_of(host: Host, dataset_id: bytes) -> bytes:
    return load_dataset(host, dataset_id).owner.rjust(32, b"\0")


def get_controller_of(host: Host, dataset_id: bytes) -> bytes:
    return load_controller(host, dataset_id, load_dataset(host, dataset_id)).rjust(32, b"\0")


def get_version_count(host: Host, dataset_id: bytes) -> bytes:
    dataset = load_dataset(host, dataset_id)
    return encode_uint(dataset.version_count - dataset.first_version)


def get_versions(host: Host, dataset_id: bytes, offset: int, limit: int) -> bytes:
    dataset = load_dataset(host, dataset_id)
    page = _page(dataset.version_count - dataset.first_version, offset, limit, interface.MAX_VERSION_PAGE)
    found = []
    for position in page:
        host.charge(gas.SLOT * 2 + gas.CID)
        word, cid, metadata_cid = _load_cids(host, dataset_id, dataset.first_version + position)
        found.append((cid, metadata_cid, word.since_time, word.since_block, word.size_bytes))
    return interface.VERSIONS.encode_result(found)


def get_parents(host: Host, dataset_id: bytes) -> bytes:
    dataset = load_dataset(host, dataset_id)
    found = []
    for position in range(dataset.parent_count):
        host.charge(gas.SLOT * 2)
        found.append(host.load(parent_slot(dataset_id, position)))
    return _encode_ids(found)


def get_child_count(host: Host, dataset_id: bytes) -> bytes:
    load_dataset(host, dataset_id)
    return encode_uint(host.load(children_slot(dataset_id)))


def get_children(host: Host, dataset_id: bytes, offset: int, limit: int) -> bytes:
    load_dataset(host, dataset_id)
    found = []
    for position in _page(host.load(children_slot(dataset_id)), offset, limit, interface.MAX_PAGE):
        host.charge(gas.SLOT * 2)
        found.append(host.load(child_slot(dataset_id, position)))
    return _encode_ids(found)


def get_dataset_count(host: Host) -> bytes:
    return encode_uint(host.load(DATASET_IDS_SLOT))


def get_dataset_at(host: Host, index: int) -> bytes:
    count = host.load(DATASET_IDS_SLOT)
    if index >= count:
        raise interface.INDEX_OUT_OF_RANGE(index, count)
    return encode_uint(host.load(dataset_ids_item_slot(index)))


def get_datasets(host: Host, offset: int, limit: int) -> bytes:
    found = []
    for index in _page(host.load(DATASET_IDS_SLOT), offset, limit, interface.MAX_PAGE):
        host.charge(gas.SLOT)
        found.append(host.load(dataset_ids_item_slot(index)))
    return _encode_ids(found)


def get_commitment(host: Host, commitment: bytes) -> bytes:
    since_time, since_block = unpack_commitment(host.load(commitment_slot(commitment)))
    return encode_uint(since_time) + encode_uint(since_block)


def get_governance(host: Host) -> bytes:
    return encode_uint(host.load(GOVERNANCE_SLOT))


def get_commit_window(host: Host) -> bytes:
    return encode_uint(interface.COMMIT_WINDOW)


def _page(count: int, offset: int, limit: int, most: int) -> range:
    """The positions that a paged view answers: fewer than `limit` at the end, and never more than `most`."""
    return range(min(offset, count), min(offset + min(limit, most), count))


def _encode_ids(ids: Sequence[int]) -> bytes:
    return encode_uint(32) + encode_uint(len(ids)) + b"".join([encode_uint(each) for each in ids])
