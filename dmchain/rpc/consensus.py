"""dm_ methods for light clients: what proves a block final. docs/light.md says how to check the answers."""

from __future__ import annotations

from dmchain.rpc.backend import CommitInfo, Consensus, RecordInfo, ValidatorSetInfo
from dmchain.rpc.blocks import get_height
from dmchain.rpc.format import Json, format_data, format_optional
from dmchain.rpc.params import LATEST, Argument, BlockId, parse_block_id
from dmchain.rpc.registry import Context, MethodTable

methods = MethodTable()

BLOCK = Argument("block", parse_block_id, LATEST)


@methods.add("dm_getCommit", arguments=(BLOCK,))
def get_commit(context: Context, block: BlockId) -> Json | None:
    """The signatures that make a block final, with its header."""
    height = get_height(context.backend.chain, block)
    found = None if height is None else _consensus(context).commit(height)
    return None if found is None else format_commit(found)


@methods.add("dm_getRecord", arguments=(BLOCK,))
def get_record(context: Context, block: BlockId) -> Json | None:
    """The consensus record that the header's parentBeaconBlockRoot commits to."""
    height = get_height(context.backend.chain, block)
    found = None if height is None else _consensus(context).record(height)
    return None if found is None else format_record(found)


@methods.add("dm_getValidators", arguments=(BLOCK,))
def get_validators(context: Context, block: BlockId) -> Json | None:
    """Who signs a height; the one after the head can be asked for as well."""
    chain = context.backend.chain
    height = get_height(chain, block)
    if height is None and block == chain.head().number + 1:
        height = chain.head().number + 1
    found = None if height is None else _consensus(context).validators(height)
    return None if found is None else format_validators(found)


def _consensus(context: Context) -> Consensus:
    consensus = context.backend.consensus
    assert consensus is not None, "consensus methods are registered only where there is consensus"
    return consensus


def format_commit(found: CommitInfo) -> Json:
    return {
        "blockNumber": hex(found.height),
        "blockHash": format_data(found.block_hash),
        "header": format_data(found.header),
        "round": hex(found.round),
        "signatures": [format_optional(signature) for signature in found.signatures],
        "canonical": found.is_canonical,
    }


def format_record(found: RecordInfo) -> Json:
    return {
        "blockNumber": hex(found.height),
        "blockHash": format_data(found.block_hash),
        "root": format_data(found.root),
        "version": hex(found.version),
        "chainId": hex(found.chain_id),
        "timestampMs": hex(found.timestamp_ms),
        "epoch": hex(found.epoch),
        "proposer": format_data(found.proposer),
        "validatorsHash": format_data(found.validators_hash),
        "nextValidatorsHash": format_data(found.next_validators_hash),
        "lastCommitHash": format_data(found.last_commit_hash),
        "evidenceHash": format_data(found.evidence_hash),
        "paramsHash": format_data(found.params_hash),
        "randaoReveal": format_data(found.randao_reveal),
        "minimumSoftware": hex(found.minimum_software),
    }


def format_validators(found: ValidatorSetInfo) -> Json:
    return {
        "blockNumber": hex(found.height),
        "hash": format_data(found.hash),
        "totalPower": hex(found.total_power),
        "quorum": hex(found.quorum),
        "validators": [{"address": format_data(address), "power": hex(power)} for address, power in found.validators],
    }
