"""dm_ methods: the marketplace's registry and ledger without ABI coding, and the node."""

from __future__ import annotations

from typing import Any

from dmchain.chain.primitives.types import Address, Hash32
from dmchain.rpc.backend import ConsensusStatus, Dataset, DatasetFilter, License, Market, PeerStatus
from dmchain.rpc.blocks import get_state_at
from dmchain.rpc.errors import InvalidParams
from dmchain.rpc.format import Json, format_data, format_sync_status
from dmchain.rpc.params import (
    LATEST,
    Argument,
    BlockId,
    parse_address,
    parse_block_id,
    parse_bool,
    parse_hash,
    parse_number,
    parse_object,
    parse_string,
)
from dmchain.rpc.registry import Context, MethodTable, Work

node_methods = MethodTable()
methods = MethodTable()

DATASET_ID = Argument("datasetId", parse_hash)
BLOCK = Argument("block", parse_block_id, LATEST)
DEFAULT_PAGE_SIZE = 25


@node_methods.add("dm_nodeInfo")
def get_node_info(context: Context) -> Json:
    """Who this node is and how it is."""
    chain = context.backend.chain
    status, head = chain.node_status(), chain.head()
    pending, queued = chain.pool_status()
    return {
        "clientVersion": status.client_version,
        "nodeId": status.node_id,
        "role": status.role,
        "chainId": hex(chain.chain_id()),
        "genesisHash": format_data(status.genesis_hash),
        "head": {
            "number": hex(head.number),
            "hash": format_data(head.hash),
            "timestamp": hex(head.timestamp),
        },
        "syncing": format_sync_status(chain.sync_status()),
        "peerCount": hex(status.peer_count),
        "listenAddresses": list(status.listen_addresses),
        "validator": None if status.validator is None else format_data(status.validator),
        "validatorCount": hex(status.validator_count),
        "pool": {"pending": hex(pending), "queued": hex(queued)},
        "uptimeSeconds": hex(status.uptime_seconds),
        "devnet": status.is_devnet,
        "problem": status.problem,
        "contracts": {name: format_data(address) for name, address in status.contracts.items()},
        "consensus": None if status.consensus is None else format_consensus(status.consensus),
        "peers": [format_peer(peer) for peer in status.peers],
    }


def format_consensus(status: ConsensusStatus) -> Json:
    return {
        "height": hex(status.height),
        "round": None if status.round < 0 else hex(status.round),
        "step": status.step,
        "epoch": hex(status.epoch),
        "proposer": None if status.proposer is None else format_data(status.proposer),
        "address": None if status.address is None else format_data(status.address),
        "signing": status.is_signing,
        "validators": [
            {
                "address": format_data(each.address),
                "operator": format_data(each.operator),
                "power": hex(each.power),
                "connected": each.is_connected,
            }
            for each in status.validators
        ],
    }


def format_peer(peer: PeerStatus) -> Json:
    """Without its network address: JSON-RPC may be open to people who should not know it."""
    return {
        "nodeId": format_data(peer.node_id),
        "direction": "out" if peer.is_outbound else "in",
        "software": peer.software,
        "height": hex(peer.height),
    }


@methods.add("dm_getDataset", arguments=(DATASET_ID, BLOCK))
def get_dataset(context: Context, dataset_id: Hash32, block: BlockId) -> Json | None:
    dataset = _market(context).dataset(dataset_id, get_state_at(context.backend.chain, block))
    return None if dataset is None else format_dataset(dataset)


@methods.add("dm_getLicense", arguments=(DATASET_ID, Argument("licensee", parse_address), BLOCK))
def get_license(context: Context, dataset_id: Hash32, licensee: Address, block: BlockId) -> Json | None:
    found = _market(context).license(dataset_id, licensee, get_state_at(context.backend.chain, block))
    return None if found is None else format_license(found)


@methods.add("dm_listDatasets", arguments=(Argument("options", parse_object, {}), BLOCK))
def list_datasets(context: Context, options: dict[str, Any], block: BlockId) -> Work:
    """A page of datasets in order of registration.

    Options, all of them optional: owner, controller, parent, includeRetired, limit, cursor (`nextCursor` of the page
    before).
    """
    limit = _option(options, "limit", parse_number, DEFAULT_PAGE_SIZE)
    if not 1 <= limit <= context.limits.max_page_size:
        raise InvalidParams(f"limit: expected 1 to {context.limits.max_page_size}, got {limit}")
    wanted = DatasetFilter(
        owner=_option(options, "owner", parse_address),
        controller=_option(options, "controller", parse_address),
        parent=_option(options, "parent", parse_hash),
        include_retired=_option(options, "includeRetired", parse_bool, False),
    )
    cursor = _option(options, "cursor", parse_string)
    market, at = _market(context), get_state_at(context.backend.chain, block)

    def read() -> Json:
        page = market.datasets(wanted, cursor, limit, at, context.stop)
        return {"datasets": [format_dataset(item) for item in page.datasets], "nextCursor": page.next_cursor}

    return Work(read)


def _option(options: dict[str, Any], name: str, parse: Any, default: Any = None) -> Any:
    value = options.get(name)
    if value is None:
        return default
    try:
        return parse(value)
    except InvalidParams as error:
        raise InvalidParams(f"{name}: {error}") from None


def _market(context: Context) -> Market:
    market = context.backend.market
    assert market is not None, "market methods are registered only where there is a market"
    return market


def format_dataset(dataset: Dataset) -> Json:
    return {
        "datasetId": format_data(dataset.dataset_id),
        "cid": format_data(dataset.cid),
        "metadataCid": format_data(dataset.metadata_cid),
        "owner": format_data(dataset.owner),
        "controller": format_data(dataset.controller),
        "sizeBytes": hex(dataset.size_bytes),
        "parents": [format_data(parent) for parent in dataset.parents],
        "versions": [format_data(version) for version in dataset.versions],
        "registeredBlock": hex(dataset.registered_block),
        "registeredAt": hex(dataset.registered_at),
        "retired": dataset.is_retired,
    }


def format_license(found: License) -> Json:
    return {
        "datasetId": format_data(found.dataset_id),
        "licensee": format_data(found.licensee),
        "kind": hex(found.kind),
        "expiresAt": hex(found.expires_at),
        "units": None if found.units is None else hex(found.units),
        "termsHash": format_data(found.terms_hash),
        "revoked": found.is_revoked,
        "valid": found.is_valid,
    }
