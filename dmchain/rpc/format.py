"""What answers look like: chain data to the JSON objects of the Ethereum JSON-RPC specification.

Quantities are hex without leading zeros, data is hex of full length, addresses are lower case except where geth
writes them with the checksum of EIP-55 (keys of txpool_content). Blocks carry every field of their header, `uncles`,
`size` and no `totalDifficulty`; transactions and logs carry `blockTimestamp`; what is not there yet is null.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from dmchain.chain.primitives.block import Header, Withdrawal
from dmchain.chain.primitives.crypto import keccak
from dmchain.chain.primitives.transaction import AccessList, Authorization, Transaction
from dmchain.rpc.backend import (
    AccessListResult,
    AccountProof,
    BlockRecord,
    ForkConfig,
    ForkConfigs,
    LogRecord,
    PendingBlock,
    ReceiptRecord,
    SyncStatus,
    TransactionRecord,
)

Json = dict[str, Any]

BLOB_GAS = 131_072
"""Blob gas of one blob, EIP-4844 (GAS_PER_BLOB)."""


def format_data(data: bytes) -> str:
    return "0x" + data.hex()


def format_optional(data: bytes | None) -> str | None:
    """Hex, or None for nothing (an absent address is b"" in transactions)."""
    return "0x" + data.hex() if data else None


def format_word(value: int) -> str:
    """32 bytes."""
    return f"0x{value:064x}"


def format_checksum_address(address: bytes) -> str:
    """EIP-55."""
    digits = address.hex()
    digest = keccak(digits.encode()).hex()
    mixed = [digit.upper() if mark > "7" else digit for digit, mark in zip(digits, digest, strict=False)]
    return "0x" + "".join(mixed)


# ---------------------------------------------------------------- blocks


def format_header(header: Header) -> Json:
    """The fields of a header with its hash, as newHeads sends them."""
    result: Json = {
        "hash": "0x" + header.hash.hex(),
        "parentHash": "0x" + header.parent_hash.hex(),
        "sha3Uncles": "0x" + header.ommers_hash.hex(),
        "miner": "0x" + header.coinbase.hex(),
        "stateRoot": "0x" + header.state_root.hex(),
        "transactionsRoot": "0x" + header.transactions_root.hex(),
        "receiptsRoot": "0x" + header.receipts_root.hex(),
        "logsBloom": "0x" + header.bloom.hex(),
        "difficulty": hex(header.difficulty),
        "number": hex(header.number),
        "gasLimit": hex(header.gas_limit),
        "gasUsed": hex(header.gas_used),
        "timestamp": hex(header.timestamp),
        "extraData": "0x" + header.extra_data.hex(),
        "mixHash": "0x" + header.prev_randao.hex(),
        "nonce": "0x" + header.nonce.hex(),
    }
    if header.base_fee_per_gas is not None:
        result["baseFeePerGas"] = hex(header.base_fee_per_gas)
    if header.withdrawals_root is not None:
        result["withdrawalsRoot"] = "0x" + header.withdrawals_root.hex()
    if header.blob_gas_used is not None:
        result["blobGasUsed"] = hex(header.blob_gas_used)
    if header.excess_blob_gas is not None:
        result["excessBlobGas"] = hex(header.excess_blob_gas)
    if header.parent_beacon_block_root is not None:
        result["parentBeaconBlockRoot"] = "0x" + header.parent_beacon_block_root.hex()
    if header.requests_hash is not None:
        result["requestsHash"] = "0x" + header.requests_hash.hex()
    return result


def format_block(block: BlockRecord, transactions: Sequence[Transaction] | None) -> Json:
    """A block with its transactions in full, or with their hashes when `transactions` is None."""
    header = block.header
    result = format_header(header)
    result["size"] = hex(block.size)
    if transactions is None:
        result["transactions"] = ["0x" + item.hex() for item in block.transaction_hashes]
    else:
        result["transactions"] = [format_transaction(tx, header, at) for at, tx in enumerate(transactions)]
    result["uncles"] = ["0x" + item.hex() for item in block.ommer_hashes]
    if header.withdrawals_root is not None:
        result["withdrawals"] = [format_withdrawal(item) for item in block.withdrawals or ()]
    return result


def format_pending_block(block: PendingBlock, full: bool) -> Json:
    """The pending block; hash, nonce and miner are null as in geth."""
    result = format_header(block.header)
    result["hash"] = result["nonce"] = result["miner"] = None
    result["size"] = hex(block.size)
    if full:
        result["transactions"] = [format_transaction(tx) for tx in block.transactions]
    else:
        result["transactions"] = ["0x" + tx.hash.hex() for tx in block.transactions]
    result["uncles"] = []
    if block.header.withdrawals_root is not None:
        result["withdrawals"] = []
    return result


def format_withdrawal(withdrawal: Withdrawal) -> Json:
    return {
        "index": hex(withdrawal.index),
        "validatorIndex": hex(withdrawal.validator_index),
        "address": "0x" + withdrawal.address.hex(),
        "amount": hex(withdrawal.amount),
    }


# ---------------------------------------------------------------- transactions


def format_transaction(tx: Transaction, header: Header | None = None, index: int | None = None) -> Json:
    """A transaction; with `header` and `index` as mined, without as waiting."""
    if header is None or index is None:
        place: Json = {
            "blockHash": None,
            "blockNumber": None,
            "blockTimestamp": None,
            "transactionIndex": None,
        }
        gas_price = tx.max_fee_per_gas
    else:
        place = {
            "blockHash": "0x" + header.hash.hex(),
            "blockNumber": hex(header.number),
            "blockTimestamp": hex(header.timestamp),
            "transactionIndex": hex(index),
        }
        gas_price = tx.max_fee_per_gas if tx.type < 2 else tx.effective_gas_price(header.base_fee_per_gas or 0)
    return {**place, **format_signed_fields(tx, gas_price), "from": "0x" + tx.sender.hex()}


def format_signed_fields(tx: Transaction, gas_price: int) -> Json:
    """What the transaction itself says, with `gas_price` in wei per gas."""
    result: Json = {
        "hash": "0x" + tx.hash.hex(),
        "type": hex(tx.type),
        "nonce": hex(tx.nonce),
        "gas": hex(tx.gas),
        "gasPrice": hex(gas_price),
        "to": format_optional(tx.to),
        "value": hex(tx.value),
        "input": "0x" + tx.data.hex(),
        "v": hex(tx.v),
        "r": hex(tx.r),
        "s": hex(tx.s),
    }
    if tx.chain_id is not None:
        result["chainId"] = hex(tx.chain_id)
    if tx.type >= 1:
        result["accessList"] = format_access_list(tx.access_list)
        result["yParity"] = hex(tx.y_parity)
    if tx.type >= 2:
        result["maxFeePerGas"] = hex(tx.max_fee_per_gas)
        result["maxPriorityFeePerGas"] = hex(tx.max_priority_fee_per_gas)
    if tx.type == 3:
        result["maxFeePerBlobGas"] = hex(tx.max_fee_per_blob_gas)
        result["blobVersionedHashes"] = ["0x" + item.hex() for item in tx.blob_versioned_hashes]
    if tx.type == 4:
        result["authorizationList"] = [format_authorization(item) for item in tx.authorization_list]
    return result


def format_transaction_record(record: TransactionRecord) -> Json:
    return format_transaction(record.transaction, record.header, record.index)


def format_access_list(access_list: AccessList) -> list[Json]:
    return [
        {"address": "0x" + address.hex(), "storageKeys": [f"0x{slot:064x}" for slot in slots]}
        for address, slots in access_list
    ]


def format_authorization(item: Authorization) -> Json:
    return {
        "chainId": hex(item.chain_id),
        "address": "0x" + item.address.hex(),
        "nonce": hex(item.nonce),
        "yParity": hex(item.y_parity),
        "r": hex(item.r),
        "s": hex(item.s),
    }


# ---------------------------------------------------------------- receipts and logs


def format_receipt(record: ReceiptRecord) -> Json:
    receipt, tx, header = record.receipt, record.transaction, record.header
    block_hash, block_number = "0x" + header.hash.hex(), hex(header.number)
    tx_hash, tx_index, timestamp = "0x" + tx.hash.hex(), hex(record.index), hex(header.timestamp)
    result: Json = {
        "blockHash": block_hash,
        "blockNumber": block_number,
        "transactionHash": tx_hash,
        "transactionIndex": tx_index,
        "type": hex(receipt.type),
        "from": "0x" + tx.sender.hex(),
        "to": format_optional(tx.to),
        "contractAddress": format_optional(receipt.contract_address),
        "cumulativeGasUsed": hex(receipt.cumulative_gas_used),
        "gasUsed": hex(receipt.gas_used),
        "effectiveGasPrice": hex(receipt.effective_gas_price),
        "logs": [
            {
                "address": "0x" + log.address.hex(),
                "topics": ["0x" + topic.hex() for topic in log.topics],
                "data": "0x" + log.data.hex(),
                "blockNumber": block_number,
                "transactionHash": tx_hash,
                "transactionIndex": tx_index,
                "blockHash": block_hash,
                "blockTimestamp": timestamp,
                "logIndex": hex(log_index),
                "removed": False,
            }
            for log_index, log in enumerate(receipt.logs, record.first_log_index)
        ],
        "logsBloom": "0x" + receipt.bloom.hex(),
    }
    if record.post_state_root is not None:
        result["root"] = "0x" + record.post_state_root.hex()
    else:
        result["status"] = hex(receipt.status)
    if receipt.type == 3:
        result["blobGasUsed"] = hex(BLOB_GAS * len(tx.blob_versioned_hashes))
        result["blobGasPrice"] = hex(record.blob_gas_price or 0)
    return result


def format_log(record: LogRecord) -> Json:
    log = record.log
    return {
        "address": "0x" + log.address.hex(),
        "topics": ["0x" + topic.hex() for topic in log.topics],
        "data": "0x" + log.data.hex(),
        "blockNumber": hex(record.block_number),
        "transactionHash": "0x" + record.transaction_hash.hex(),
        "transactionIndex": hex(record.transaction_index),
        "blockHash": "0x" + record.block_hash.hex(),
        "blockTimestamp": hex(record.block_timestamp),
        "logIndex": hex(record.log_index),
        "removed": record.removed,
    }


def format_logs(records: Iterable[LogRecord]) -> list[Json]:
    return [format_log(record) for record in records]


# ---------------------------------------------------------------- state, calls, node


def format_proof(address: bytes, proof: AccountProof, keys: Sequence[str]) -> Json:
    """EIP-1186; `keys` are the slots in the form that the client used."""
    account = proof.account
    return {
        "address": "0x" + address.hex(),
        "accountProof": ["0x" + node.hex() for node in proof.proof],
        "balance": hex(account.balance),
        "codeHash": "0x" + account.code_hash.hex(),
        "nonce": hex(account.nonce),
        "storageHash": "0x" + account.storage_root.hex(),
        "storageProof": [
            {"key": key, "value": hex(item.value), "proof": ["0x" + node.hex() for node in item.proof]}
            for key, item in zip(keys, proof.storage, strict=True)
        ],
    }


def format_access_list_result(result: AccessListResult) -> Json:
    answer: Json = {"accessList": format_access_list(result.access_list), "gasUsed": hex(result.gas_used)}
    if result.error is not None:
        answer["error"] = result.error
    return answer


def format_sync_status(status: SyncStatus | None) -> Json | bool:
    if status is None:
        return False
    return {
        "startingBlock": hex(status.starting),
        "currentBlock": hex(status.current),
        "highestBlock": hex(status.highest),
    }


def format_fork_configs(configs: ForkConfigs, chain_id: int) -> Json:
    """EIP-7910."""

    def format_fork(fork: ForkConfig | None) -> Json | None:
        if fork is None:
            return None
        return {
            "activationTime": fork.activation_time,
            "blobSchedule": {
                "baseFeeUpdateFraction": fork.blob_base_fee_update_fraction,
                "max": fork.blob_max,
                "target": fork.blob_target,
            },
            "chainId": hex(chain_id),
            "forkId": "0x" + fork.fork_id.hex(),
            "precompiles": {name: "0x" + item.hex() for name, item in fork.precompiles.items()},
            "systemContracts": {name: "0x" + item.hex() for name, item in fork.system_contracts.items()},
        }

    return {
        "current": format_fork(configs.current),
        "next": format_fork(configs.next),
        "last": format_fork(configs.last),
    }
