"""eth_ methods that read: identity, blocks, transactions, receipts, accounts."""

from __future__ import annotations

from typing import Any

from dmchain.chain.primitives.types import Address, Hash32
from dmchain.rpc.backend import TransactionRecord
from dmchain.rpc.blocks import get_height, get_state_at
from dmchain.rpc.errors import InvalidParams
from dmchain.rpc.format import (
    Json,
    format_block,
    format_data,
    format_fork_configs,
    format_header,
    format_pending_block,
    format_proof,
    format_receipt,
    format_sync_status,
    format_transaction_record,
    format_word,
)
from dmchain.rpc.params import (
    LATEST,
    PENDING_TAG,
    Argument,
    BlockId,
    BlockNumber,
    parse_address,
    parse_block_id,
    parse_block_number,
    parse_bool,
    parse_hash,
    parse_list,
    parse_object,
    parse_storage_key,
    parse_uint64,
)
from dmchain.rpc.registry import Context, MethodTable, Work

methods = MethodTable()

ADDRESS = Argument("address", parse_address)
BLOCK = Argument("block", parse_block_id, LATEST)
BLOCK_NUMBER = Argument("block", parse_block_number)
BLOCK_HASH = Argument("blockHash", parse_hash)
FULL = Argument("fullTransactions", parse_bool, False)
INDEX = Argument("index", parse_uint64)
TRANSACTION_HASH = Argument("transactionHash", parse_hash)
MAX_LIST = 100_000
"""Entries parsed before a method's own, configurable limit is looked at."""


# ---------------------------------------------------------------- identity


@methods.add("eth_chainId")
def get_chain_id(context: Context) -> str:
    return hex(context.backend.chain.chain_id())


@methods.add("eth_blockNumber")
def get_block_number(context: Context) -> str:
    return hex(context.backend.chain.head().number)


@methods.add("eth_syncing")
def get_syncing(context: Context) -> Json | bool:
    return format_sync_status(context.backend.chain.sync_status())


@methods.add("eth_accounts")
def get_accounts(context: Context) -> list[str]:
    wallet = context.backend.wallet
    return [] if wallet is None else [format_data(address) for address in wallet.accounts()]


@methods.add("eth_coinbase")
def get_coinbase(context: Context) -> str:
    chain = context.backend.chain
    return format_data(chain.node_status().validator or chain.head().coinbase)


@methods.add("eth_mining")
def is_mining(context: Context) -> bool:
    return context.backend.chain.node_status().validator is not None


@methods.add("eth_hashrate")
def get_hashrate(context: Context) -> str:
    return "0x0"


@methods.add("eth_protocolVersion")
def get_protocol_version(context: Context) -> str:
    """eth/68, whose transactions and receipts these are."""
    return hex(68)


@methods.add("eth_config")
def get_config(context: Context) -> Json:
    """EIP-7910."""
    chain = context.backend.chain
    return format_fork_configs(chain.fork_configs(), chain.chain_id())


@methods.add("eth_capabilities")
def get_capabilities(context: Context) -> Json:
    """Which history this node can serve."""
    chain = context.backend.chain
    head, history = chain.head(), chain.history()

    def since(height: int) -> Json:
        return {"disabled": False, "oldestBlock": hex(height)}

    return {
        "head": {"number": hex(head.number), "hash": format_data(head.hash)},
        "state": since(history.oldest_state),
        "stateproofs": since(history.oldest_state),
        "tx": since(history.oldest_block),
        "blocks": since(history.oldest_block),
        "receipts": since(history.oldest_receipts),
        "logs": since(history.oldest_receipts),
    }


# ---------------------------------------------------------------- blocks


@methods.add("eth_getBlockByNumber", arguments=(BLOCK_NUMBER, FULL))
def get_block_by_number(context: Context, number: BlockNumber, full: bool) -> Json | Work | None:
    if number is PENDING_TAG:
        return format_pending_block(context.backend.chain.pending_block(), full)
    return _get_block(context, number, full)


@methods.add("eth_getBlockByHash", arguments=(BLOCK_HASH, FULL))
def get_block_by_hash(context: Context, block_hash: Hash32, full: bool) -> Json | Work | None:
    return _get_block(context, block_hash, full)


def _get_block(context: Context, block: BlockId, full: bool) -> Json | Work | None:
    chain = context.backend.chain
    height = get_height(chain, block)
    record = None if height is None else chain.block(height)
    if height is None or record is None:
        return None
    if not full or not record.transaction_hashes:
        return format_block(record, () if full else None)
    return Work(lambda: format_block(record, chain.transactions(height)))


@methods.add("eth_getHeaderByNumber", arguments=(BLOCK_NUMBER,))
def get_header_by_number(context: Context, number: BlockNumber) -> Json | None:
    return _get_header(context, number)


@methods.add("eth_getHeaderByHash", arguments=(BLOCK_HASH,))
def get_header_by_hash(context: Context, block_hash: Hash32) -> Json | None:
    return _get_header(context, block_hash)


def _get_header(context: Context, block: BlockId) -> Json | None:
    height = get_height(context.backend.chain, block)
    header = None if height is None else context.backend.chain.header(height)
    return None if header is None else format_header(header)


@methods.add("eth_getBlockTransactionCountByNumber", arguments=(BLOCK_NUMBER,))
def get_transaction_count_by_number(context: Context, number: BlockNumber) -> str | None:
    if number is PENDING_TAG:
        return hex(len(context.backend.chain.pending_block().transactions))
    return _get_transaction_count(context, number)


@methods.add("eth_getBlockTransactionCountByHash", arguments=(BLOCK_HASH,))
def get_transaction_count_by_hash(context: Context, block_hash: Hash32) -> str | None:
    return _get_transaction_count(context, block_hash)


def _get_transaction_count(context: Context, block: BlockId) -> str | None:
    height = get_height(context.backend.chain, block)
    record = None if height is None else context.backend.chain.block(height)
    return None if record is None else hex(len(record.transaction_hashes))


@methods.add("eth_getUncleCountByBlockNumber", arguments=(BLOCK_NUMBER,))
@methods.add("eth_getUncleCountByBlockHash", arguments=(BLOCK_HASH,))
def get_uncle_count(context: Context, block: BlockId) -> str | None:
    height = get_height(context.backend.chain, block)
    record = None if height is None else context.backend.chain.block(height)
    return None if record is None else hex(len(record.ommer_hashes))


@methods.add("eth_getUncleByBlockNumberAndIndex", arguments=(BLOCK_NUMBER, INDEX))
@methods.add("eth_getUncleByBlockHashAndIndex", arguments=(BLOCK_HASH, INDEX))
def get_uncle(context: Context, block: BlockId, index: int) -> None:
    """No uncles: headers of imported chains' uncles are not kept."""


# ---------------------------------------------------------------- transactions and receipts


@methods.add("eth_getTransactionByHash", arguments=(TRANSACTION_HASH,))
def get_transaction(context: Context, transaction_hash: Hash32) -> Json | None:
    record = context.backend.chain.transaction(transaction_hash)
    return None if record is None else format_transaction_record(record)


@methods.add("eth_getTransactionByBlockNumberAndIndex", arguments=(BLOCK_NUMBER, INDEX))
@methods.add("eth_getTransactionByBlockHashAndIndex", arguments=(BLOCK_HASH, INDEX))
def get_transaction_by_index(context: Context, block: BlockId, index: int) -> Json | None:
    record = _find_by_index(context, block, index)
    return None if record is None else format_transaction_record(record)


@methods.add("eth_getRawTransactionByHash", arguments=(TRANSACTION_HASH,))
def get_raw_transaction(context: Context, transaction_hash: Hash32) -> str | None:
    record = context.backend.chain.transaction(transaction_hash)
    return None if record is None else format_data(record.transaction.raw)


@methods.add("eth_getRawTransactionByBlockNumberAndIndex", arguments=(BLOCK_NUMBER, INDEX))
@methods.add("eth_getRawTransactionByBlockHashAndIndex", arguments=(BLOCK_HASH, INDEX))
def get_raw_transaction_by_index(context: Context, block: BlockId, index: int) -> str | None:
    record = _find_by_index(context, block, index)
    return None if record is None else format_data(record.transaction.raw)


def _find_by_index(context: Context, block: BlockId, index: int) -> TransactionRecord | None:
    chain = context.backend.chain
    if block is PENDING_TAG:
        waiting = chain.pending_block().transactions
        return TransactionRecord(waiting[index]) if index < len(waiting) else None
    height = get_height(chain, block)
    record = None if height is None else chain.block(height)
    if record is None or index >= len(record.transaction_hashes):
        return None
    return chain.transaction(record.transaction_hashes[index])


@methods.add("eth_getTransactionReceipt", arguments=(TRANSACTION_HASH,))
def get_receipt(context: Context, transaction_hash: Hash32) -> Json | None:
    record = context.backend.chain.receipt(transaction_hash)
    return None if record is None else format_receipt(record)


@methods.add("eth_getBlockReceipts", arguments=(Argument("block", parse_block_id),))
def get_block_receipts(context: Context, block: BlockId) -> Work | None:
    chain = context.backend.chain
    height = None if block is PENDING_TAG else get_height(chain, block)
    if height is None:
        return None

    def read() -> list[Json] | None:
        records = chain.receipts(height)
        return None if records is None else [format_receipt(record) for record in records]

    return Work(read)


# ---------------------------------------------------------------- accounts


@methods.add("eth_getBalance", arguments=(ADDRESS, BLOCK))
def get_balance(context: Context, address: Address, block: BlockId) -> str:
    chain = context.backend.chain
    return hex(chain.account(address, get_state_at(chain, block)).balance)


@methods.add("eth_getTransactionCount", arguments=(ADDRESS, BLOCK))
def get_nonce(context: Context, address: Address, block: BlockId) -> str:
    """The next nonce; at "pending" the transactions waiting in the pool are counted."""
    chain = context.backend.chain
    if block is PENDING_TAG:
        return hex(chain.pending_nonce(address))
    return hex(chain.account(address, get_state_at(chain, block)).nonce)


@methods.add("eth_getCode", arguments=(ADDRESS, BLOCK))
def get_code(context: Context, address: Address, block: BlockId) -> str:
    chain = context.backend.chain
    return format_data(chain.code(address, get_state_at(chain, block)))


@methods.add("eth_getStorageAt", arguments=(ADDRESS, Argument("slot", parse_storage_key), BLOCK))
def get_storage_at(context: Context, address: Address, slot: int, block: BlockId) -> str:
    chain = context.backend.chain
    return format_word(chain.storage(address, slot, get_state_at(chain, block)))


@methods.add("eth_getStorageValues", arguments=(Argument("requests", parse_object), BLOCK))
def get_storage_values(context: Context, requests: dict[str, Any], block: BlockId) -> Work:
    """Slots of many accounts in one answer: {address: [slot, ...]} to {address: [value, ...]}."""
    parse_slots = parse_list(parse_storage_key, MAX_LIST)
    wanted = {parse_address(key): parse_slots(slots) for key, slots in requests.items()}
    total = sum(map(len, wanted.values()))
    if not total:
        raise InvalidParams("empty request")
    _check_slots(context, total)
    chain = context.backend.chain
    at = get_state_at(chain, block)
    return Work(
        lambda: {
            format_data(address): [format_word(chain.storage(address, slot, at)) for slot in slots]
            for address, slots in wanted.items()
        }
    )


def _check_slots(context: Context, slots: int) -> None:
    limit = context.limits.max_proof_slots
    if slots > limit:
        raise InvalidParams(f"too many slots (max {limit}): got {slots}")


@methods.add("eth_getAccountInfo", arguments=(ADDRESS, BLOCK))
def get_account_info(context: Context, address: Address, block: BlockId) -> Json:
    """Balance, nonce and code at once: forge asks for it when it forks."""
    chain = context.backend.chain
    at = get_state_at(chain, block)
    account = chain.account(address, at)
    code = format_data(chain.code(address, at))
    return {"balance": hex(account.balance), "nonce": hex(account.nonce), "code": code}


def parse_proof_key(value: Any) -> tuple[int, str]:
    """A slot and how to show it: 32 bytes stay 32 bytes, anything shorter becomes a quantity, as in geth."""
    slot = parse_storage_key(value)
    return slot, format_word(slot) if len(value) >= 64 else hex(slot)


PROOF_KEYS = Argument("storageKeys", parse_list(parse_proof_key, MAX_LIST), ())


@methods.add("eth_getProof", arguments=(ADDRESS, PROOF_KEYS, BLOCK))
def get_proof(context: Context, address: Address, keys: list[tuple[int, str]], block: BlockId) -> Work:
    """EIP-1186."""
    _check_slots(context, len(keys))
    chain = context.backend.chain
    at = get_state_at(chain, block)

    def prove() -> Json:
        proof = chain.proof(address, [slot for slot, _ in keys], at, context.stop)
        return format_proof(address, proof, [shown for _, shown in keys])

    return Work(prove)
