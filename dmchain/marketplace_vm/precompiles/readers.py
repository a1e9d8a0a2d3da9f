"""Read the market's state without running the EVM: for JSON-RPC, indexers and storage proofs.

Every function takes `get_storage(address, slot) -> int` over one state, so that an answer never mixes two blocks.
Slots that nothing was written to read as 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from dmchain.chain.primitives.types import ZERO_ADDRESS, Address, Hash32
from dmchain.marketplace_vm.precompiles import CID_REGISTRY, LICENSE_LEDGER
from dmchain.marketplace_vm.precompiles.cid import compute_content_key
from dmchain.marketplace_vm.precompiles.layout import (
    DATASET_IDS_SLOT,
    DatasetStatus,
    DatasetWord,
    LicenseKind,
    VersionWord,
    child_slot,
    children_slot,
    controller_slot,
    dataset_ids_item_slot,
    dataset_slot,
    has_tail,
    holder_slot,
    join_cid,
    license_slot,
    next_slot,
    operator_slot,
    parent_slot,
    unpack_dataset,
    unpack_license,
    unpack_version,
    version_slots,
)
from dmchain.marketplace_vm.precompiles.license_ledger import LicenseStatus, compute_status
from dmchain.marketplace_vm.precompiles.registry_interface import COMMIT_WINDOW

GetStorage = Callable[[bytes, int], int]


@dataclass(frozen=True, slots=True)
class Version:
    """`index` counts from 0, the registered CID. `size_bytes` 0: not stated. `metadata_cid` may be b""."""

    index: int
    cid: bytes
    metadata_cid: bytes
    size_bytes: int
    added_at: int
    added_block: int


@dataclass(frozen=True, slots=True)
class Dataset:
    """An entry of the CidRegistry.

    `index` is its place in the order of registration; `operator` is the zero address when there is none.
    `registered_at` (seconds) and `registered_block` are of the commitment when there was one; until `contestable_until`
    (seconds) somebody with an earlier commitment may take the data set over. `first` and `latest` may be the same.
    """

    dataset_id: Hash32
    index: int
    owner: Address
    controller: Address
    operator: Address
    status: DatasetStatus
    parents: tuple[Hash32, ...]
    child_count: int
    version_count: int
    first: Version
    latest: Version
    registered_at: int
    registered_block: int
    contestable_until: int

    @property
    def is_retired(self) -> bool:
        return self.status != DatasetStatus.ACTIVE


@dataclass(frozen=True, slots=True)
class License:
    """An entry of the LicenseLedger, seen at a block time. `expires_at` 0: never; `units` left, None: not metered."""

    dataset_id: Hash32
    licensee: Address
    kind: LicenseKind
    expires_at: int
    units: int | None
    granted_at: int
    terms_hash: Hash32
    status: LicenseStatus

    @property
    def is_valid(self) -> bool:
        return self.status == LicenseStatus.VALID

    @property
    def is_revoked(self) -> bool:
        return self.status == LicenseStatus.REVOKED


def _read_word(get_storage: GetStorage, dataset_id: bytes) -> DatasetWord | None:
    word = get_storage(CID_REGISTRY, dataset_slot(dataset_id))
    return unpack_dataset(word) if word else None


def _read_address(get_storage: GetStorage, slot: int) -> Address:
    return Address(get_storage(CID_REGISTRY, slot).to_bytes(20, "big"))


def _read_id(get_storage: GetStorage, slot: int) -> Hash32:
    return Hash32(get_storage(CID_REGISTRY, slot).to_bytes(32, "big"))


def _read_version(get_storage: GetStorage, dataset_id: bytes, dataset: DatasetWord, index: int) -> Version:
    slots = version_slots(dataset_id, dataset.first_version + index)

    def read_cid(prefix: int, digest: int, tail: int) -> bytes:
        if prefix == 0:
            return b""
        second = get_storage(CID_REGISTRY, tail) if has_tail(prefix) else 0
        return join_cid(prefix, get_storage(CID_REGISTRY, digest), second)

    word: VersionWord = unpack_version(get_storage(CID_REGISTRY, slots.word))
    return Version(
        index=index,
        cid=read_cid(word.cid_prefix, slots.digest, slots.digest_tail),
        metadata_cid=read_cid(word.metadata_prefix, slots.metadata_digest, slots.metadata_digest_tail),
        size_bytes=word.size_bytes,
        added_at=word.since_time,
        added_block=word.since_block,
    )


def read_dataset(get_storage: GetStorage, dataset_id: bytes) -> Dataset | None:
    """Return a data set, retired or not; None when the id (32 bytes) was never registered."""
    word = _read_word(get_storage, dataset_id)
    if word is None:
        return None
    controller = _read_address(get_storage, controller_slot(dataset_id))
    count = word.version_count - word.first_version
    first = _read_version(get_storage, dataset_id, word, 0)
    parents = (_read_id(get_storage, parent_slot(dataset_id, position)) for position in range(word.parent_count))
    return Dataset(
        dataset_id=Hash32(bytes(dataset_id)),
        index=word.position,
        owner=Address(word.owner),
        controller=Address(word.owner) if controller == ZERO_ADDRESS else controller,
        operator=_read_address(get_storage, operator_slot(dataset_id)),
        status=DatasetStatus(word.status),
        parents=tuple(parents),
        child_count=get_storage(CID_REGISTRY, children_slot(dataset_id)),
        version_count=count,
        first=first,
        latest=first if count == 1 else _read_version(get_storage, dataset_id, word, count - 1),
        registered_at=first.added_at,
        registered_block=first.added_block,
        contestable_until=first.added_at + COMMIT_WINDOW,
    )


def read_versions(get_storage: GetStorage, dataset_id: bytes, offset: int, limit: int) -> list[Version]:
    """Return at most `limit` versions from `offset` on, oldest first; nothing for an unknown data set."""
    word = _read_word(get_storage, dataset_id)
    if word is None:
        return []
    places = _page(word.version_count - word.first_version, offset, limit)
    return [_read_version(get_storage, dataset_id, word, index) for index in places]


def read_children(get_storage: GetStorage, dataset_id: bytes, offset: int, limit: int) -> list[Hash32]:
    """Return at most `limit` ids of data sets that were registered as derived from this one, oldest first."""
    places = _page(get_storage(CID_REGISTRY, children_slot(dataset_id)), offset, limit)
    return [_read_id(get_storage, child_slot(dataset_id, position)) for position in places]


def find_dataset_id(get_storage: GetStorage, cid: bytes) -> Hash32 | None:
    """Return the data set that holds a content (an accepted binary CID), registered with it or as a version."""
    content_key = compute_content_key(cid)
    slot = holder_slot(content_key)
    holder = _read_id(get_storage, slot)
    if any(holder):
        word = _read_word(get_storage, holder)
        if word is not None and get_storage(CID_REGISTRY, next_slot(slot)) >= word.first_version:
            return holder
    return content_key if _read_word(get_storage, content_key) is not None else None


def count_datasets(get_storage: GetStorage) -> int:
    return get_storage(CID_REGISTRY, DATASET_IDS_SLOT)


def list_dataset_ids(
    get_storage: GetStorage, offset: int, limit: int, *, newest_first: bool = False
) -> Iterator[Hash32]:
    """Yield at most `limit` ids in order of registration, after skipping `offset`."""
    count = count_datasets(get_storage)
    for position in _page(count, offset, limit):
        index = count - 1 - position if newest_first else position
        yield _read_id(get_storage, dataset_ids_item_slot(index))


def list_datasets(get_storage: GetStorage, offset: int, limit: int, *, newest_first: bool = False) -> Iterator[Dataset]:
    """Yield at most `limit` data sets, retired ones too, in order of registration, after skipping `offset`."""
    for dataset_id in list_dataset_ids(get_storage, offset, limit, newest_first=newest_first):
        dataset = read_dataset(get_storage, dataset_id)
        if dataset is not None:
            yield dataset


def read_license(get_storage: GetStorage, dataset_id: bytes, account: bytes, timestamp: int) -> License | None:
    """Return the licence of `account` (20 bytes) as it stands at `timestamp`; None when none was ever granted."""
    slot = license_slot(dataset_id, account)
    word = get_storage(LICENSE_LEDGER, slot)
    dataset = _read_word(get_storage, dataset_id)
    if word == 0 or dataset is None:
        return None
    held = unpack_license(word)
    return License(
        dataset_id=Hash32(bytes(dataset_id)),
        licensee=Address(bytes(account)),
        kind=LicenseKind(held.kind),
        expires_at=held.expires_at,
        units=held.units if held.metered else None,
        granted_at=held.granted_at,
        terms_hash=Hash32(get_storage(LICENSE_LEDGER, next_slot(slot)).to_bytes(32, "big")),
        status=compute_status(dataset, word, timestamp),
    )


def _page(count: int, offset: int, limit: int) -> range:
    return range(min(offset, count), min(offset + limit, count))
