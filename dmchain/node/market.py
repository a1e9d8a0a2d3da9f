"""The marketplace as JSON-RPC shows it, read from the native precompiles' storage."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from dmchain.chain.primitives.types import Address, Hash32
from dmchain.chain.store.kv import Reader
from dmchain.marketplace_vm.precompiles import readers
from dmchain.marketplace_vm.state import read_slot
from dmchain.node.backend import ChainBackend
from dmchain.rpc.backend import Dataset, DatasetFilter, DatasetPage, License, StateAt, StopFlag
from dmchain.rpc.errors import InvalidParams

SCAN_PAGE = 128
"""Data sets read between two looks at the stop flag."""
MAX_SCANNED = 20_000
"""Data sets one call looks at: a filter that matches little answers with fewer and a cursor to go on."""
MAX_VERSIONS = 256
"""Versions shown of one data set, oldest first."""


class MarketBackend:
    """Implements rpc.backend.Market."""

    def __init__(self, chain: ChainBackend) -> None:
        self._chain = chain

    def dataset(self, dataset_id: Hash32, at: StateAt) -> Dataset | None:
        get_storage = _storage(self._chain.state_at(at))
        found = readers.read_dataset(get_storage, dataset_id)
        return None if found is None else _show(get_storage, found)

    def license(self, dataset_id: Hash32, licensee: Address, at: StateAt) -> License | None:
        found = readers.read_license(
            _storage(self._chain.state_at(at)), dataset_id, licensee, self._chain.timestamp_at(at)
        )
        if found is None:
            return None
        return License(
            dataset_id=found.dataset_id,
            licensee=found.licensee,
            kind=int(found.kind),
            expires_at=found.expires_at,
            units=found.units,
            terms_hash=found.terms_hash,
            is_revoked=found.is_revoked,
            is_valid=found.is_valid,
        )

    def datasets(
        self, wanted: DatasetFilter, cursor: str | None, limit: int, at: StateAt, stop: StopFlag
    ) -> DatasetPage:
        get_storage = _storage(self._chain.state_at(at))
        start = _parse_cursor(cursor)
        page: list[Dataset] = []
        position = start
        for position, dataset in enumerate(_walk(get_storage, wanted, start, stop), start):
            if _is_wanted(dataset, wanted):
                page.append(_show(get_storage, dataset))
            if len(page) == limit or position - start + 1 == MAX_SCANNED:
                has_more = next(_walk(get_storage, wanted, position + 1, stop), None) is not None
                return DatasetPage(tuple(page), str(position + 1) if has_more else None)
        return DatasetPage(tuple(page), None)


def _storage(state: Reader) -> Callable[[bytes, int], int]:
    return lambda address, slot: read_slot(state, address, slot)


def _parse_cursor(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 18):
        raise InvalidParams("cursor: expected the nextCursor of an earlier page")
    return int(cursor)


def _walk(
    get_storage: Callable[[bytes, int], int], wanted: DatasetFilter, start: int, stop: StopFlag
) -> Iterator[readers.Dataset]:
    """Data sets in order of registration from a position on: of one parent's children, or all."""
    offset = start
    while True:
        stop.check()
        if wanted.parent is None:
            ids = list(readers.list_dataset_ids(get_storage, offset, SCAN_PAGE))
        else:
            ids = readers.read_children(get_storage, wanted.parent, offset, SCAN_PAGE)
        for dataset_id in ids:
            dataset = readers.read_dataset(get_storage, dataset_id)
            if dataset is not None:
                yield dataset
        if len(ids) < SCAN_PAGE:
            return
        offset += SCAN_PAGE


def _is_wanted(dataset: readers.Dataset, wanted: DatasetFilter) -> bool:
    return (
        (wanted.include_retired or not dataset.is_retired)
        and wanted.owner in (None, dataset.owner)
        and wanted.controller in (None, dataset.controller)
    )


def _show(get_storage: Callable[[bytes, int], int], dataset: readers.Dataset) -> Dataset:
    versions = readers.read_versions(get_storage, dataset.dataset_id, 0, MAX_VERSIONS)
    return Dataset(
        dataset_id=dataset.dataset_id,
        cid=dataset.first.cid,
        metadata_cid=dataset.latest.metadata_cid,
        owner=dataset.owner,
        controller=dataset.controller,
        size_bytes=dataset.first.size_bytes,  # stated at registration only
        parents=dataset.parents,
        versions=tuple(version.cid for version in versions),
        registered_block=dataset.registered_block,
        registered_at=dataset.registered_at,
        is_retired=dataset.is_retired,
    )
