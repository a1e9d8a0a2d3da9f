"""evm_, hardhat_ and anvil_ methods: control of a development network, never registered elsewhere.

Where the three families disagree: times are seconds, except that evm_setIntervalMining takes milliseconds as hardhat
does (numbers under 100, which only anvil's seconds can be, are seconds), and hardhat_setBlockTimestampInterval
milliseconds as viem sends it. Numbers may be JSON integers or hex, with leading zeros or without.
"""

from __future__ import annotations

from typing import Any

from dmchain.chain.primitives.types import Address, Hash32
from dmchain.rpc.backend import Devnet
from dmchain.rpc.calls import TRANSACTION, fill_transaction, submit_deferred, with_nonce
from dmchain.rpc.errors import InvalidParams
from dmchain.rpc.format import Json, format_data
from dmchain.rpc.params import (
    Argument,
    TransactionArgs,
    parse_address,
    parse_any,
    parse_bool,
    parse_data,
    parse_hash,
    parse_number,
    parse_storage_key,
)
from dmchain.rpc.registry import Context, Deferred, MethodTable

methods = MethodTable()

ADDRESS = Argument("address", parse_address)
NUMBER = Argument("value", parse_number)
ENABLED = Argument("enabled", parse_bool)
_LEAST_INTERVAL_MS = 100


def _devnet(context: Context) -> Devnet:
    devnet = context.backend.devnet
    assert devnet is not None, "devnet methods are registered only on a devnet"
    return devnet


# ---------------------------------------------------------------- snapshots


@methods.add("evm_snapshot", "anvil_snapshot", heavy=True)
def take_snapshot(context: Context) -> str:
    return hex(_devnet(context).snapshot())


@methods.add("evm_revert", "anvil_revert", arguments=(Argument("snapshotId", parse_number),), heavy=True)
def revert(context: Context, snapshot_id: int) -> bool:
    return _devnet(context).revert(snapshot_id)


@methods.add("hardhat_reset", "anvil_reset", arguments=(Argument("options", parse_any, None),), heavy=True)
def reset(context: Context, options: Any) -> bool:
    forking = options.get("forking") if type(options) is dict else None
    if type(forking) is dict and forking.get("jsonRpcUrl") is not None:
        raise InvalidParams("forking: this network cannot fork another one")
    _devnet(context).reset()
    return True


@methods.add("hardhat_dumpState", "anvil_dumpState", arguments=(Argument("history", parse_any, None),), heavy=True)
def dump_state(context: Context, history: Any) -> str:
    return format_data(_devnet(context).dump_state())


@methods.add("hardhat_loadState", "anvil_loadState", arguments=(Argument("state", parse_data),), heavy=True)
def load_state(context: Context, state: bytes) -> bool:
    _devnet(context).load_state(state)
    return True


# ---------------------------------------------------------------- blocks and time


@methods.add("evm_mine", arguments=(Argument("options", parse_any, None),), heavy=True)
def mine_at(context: Context, options: Any) -> str:
    """One block, at a timestamp if given; anvil's {blocks, timestamp} too. Answers "0x0" as all do."""
    blocks, timestamp = 1, options
    if type(options) is dict:
        timestamp = options.get("timestamp")
        blocks = parse_number(options.get("blocks") or 1)
    moment = None if timestamp is None else parse_number(timestamp)
    _devnet(context).mine(_check_blocks(context, blocks), timestamp=moment)
    return "0x0"


@methods.add(
    "hardhat_mine", "anvil_mine",
    arguments=(Argument("blocks", parse_number, 1), Argument("interval", parse_number, None)),
    heavy=True,
)  # fmt: skip
def mine(context: Context, blocks: int, interval: int | None) -> bool:
    _devnet(context).mine(_check_blocks(context, blocks), interval_seconds=interval)
    return True


def _check_blocks(context: Context, blocks: int) -> int:
    limit = context.limits.max_devnet_blocks
    if blocks > limit:
        raise InvalidParams(f"blocks: expected at most {limit}, got {blocks}")
    return blocks


@methods.add("evm_increaseTime", "anvil_increaseTime", arguments=(NUMBER,), heavy=True)
def increase_time(context: Context, seconds: int) -> int:
    return _devnet(context).increase_time(_seconds(seconds))


@methods.add("evm_setTime", "anvil_setTime", arguments=(NUMBER,), heavy=True)
def set_time(context: Context, timestamp: int) -> int:
    return _devnet(context).set_time(_seconds(timestamp))


@methods.add("evm_setNextBlockTimestamp", "anvil_setNextBlockTimestamp", arguments=(NUMBER,), heavy=True)
def set_next_timestamp(context: Context, timestamp: int) -> int:
    _devnet(context).set_next_timestamp(_seconds(timestamp))
    return timestamp


@methods.add("anvil_setBlockTimestampInterval", arguments=(NUMBER,), heavy=True)
def set_timestamp_interval(context: Context, seconds: int) -> bool:
    _devnet(context).set_timestamp_interval(_seconds(seconds))
    return True


@methods.add("hardhat_setBlockTimestampInterval", arguments=(NUMBER,), heavy=True)
def set_timestamp_interval_ms(context: Context, milliseconds: int) -> bool:
    _devnet(context).set_timestamp_interval(_seconds(milliseconds // 1000))
    return True


@methods.add("anvil_removeBlockTimestampInterval", "hardhat_removeBlockTimestampInterval", heavy=True)
def remove_timestamp_interval(context: Context) -> bool:
    _devnet(context).set_timestamp_interval(None)
    return True


def _seconds(value: int) -> int:
    if value >> 63:
        raise InvalidParams(f"expected seconds of at most 63 bits, got {value:#x}")
    return value


@methods.add("hardhat_getAutomine", "anvil_getAutomine", heavy=True)
def get_automine(context: Context) -> bool:
    return _devnet(context).automine()


@methods.add("evm_setAutomine", "anvil_setAutomine", arguments=(ENABLED,), heavy=True)
def set_automine(context: Context, enabled: bool) -> bool:
    _devnet(context).set_automine(enabled)
    return True


def parse_interval(value: Any) -> int:
    """A number, or hardhat's [least, most] of which the mean is taken."""
    if type(value) is list and len(value) == 2:
        return (parse_number(value[0]) + parse_number(value[1])) // 2
    return parse_number(value)


@methods.add("evm_setIntervalMining", arguments=(Argument("interval", parse_interval),), heavy=True)
def set_interval_mining_ms(context: Context, interval: int) -> bool:
    milliseconds = interval * 1000 if interval < _LEAST_INTERVAL_MS else interval
    _devnet(context).set_interval_mining(_seconds(milliseconds))
    return True


@methods.add("anvil_setIntervalMining", arguments=(NUMBER,), heavy=True)
def set_interval_mining(context: Context, seconds: int) -> bool:
    _devnet(context).set_interval_mining(_seconds(seconds * 1000))
    return True


@methods.add("evm_setBlockGasLimit", "anvil_setBlockGasLimit", arguments=(NUMBER,), heavy=True)
def set_block_gas_limit(context: Context, gas_limit: int) -> bool:
    _devnet(context).set_block_gas_limit(_seconds(gas_limit))
    return True


@methods.add("hardhat_setNextBlockBaseFeePerGas", "anvil_setNextBlockBaseFeePerGas", arguments=(NUMBER,), heavy=True)
def set_next_base_fee(context: Context, base_fee: int) -> bool:
    _devnet(context).set_next_base_fee(base_fee)
    return True


@methods.add("hardhat_setMinGasPrice", "anvil_setMinGasPrice", arguments=(NUMBER,), heavy=True)
def set_min_gas_price(context: Context, price: int) -> bool:
    _devnet(context).set_min_gas_price(price)
    return True


@methods.add("hardhat_setCoinbase", "anvil_setCoinbase", arguments=(ADDRESS,), heavy=True)
def set_coinbase(context: Context, address: Address) -> bool:
    _devnet(context).set_coinbase(address)
    return True


@methods.add("hardhat_setPrevRandao", "anvil_setPrevRandao", arguments=(Argument("value", parse_hash),), heavy=True)
def set_prev_randao(context: Context, value: Hash32) -> bool:
    _devnet(context).set_prev_randao(value)
    return True


# ---------------------------------------------------------------- state


@methods.add("hardhat_setBalance", "anvil_setBalance", "evm_setAccountBalance", arguments=(ADDRESS, NUMBER), heavy=True)
def set_balance(context: Context, address: Address, balance: int) -> bool:
    _devnet(context).set_balance(address, balance)
    return True


@methods.add("hardhat_setNonce", "anvil_setNonce", "evm_setAccountNonce", arguments=(ADDRESS, NUMBER), heavy=True)
def set_nonce(context: Context, address: Address, nonce: int) -> bool:
    _devnet(context).set_nonce(address, nonce)
    return True


@methods.add(
    "hardhat_setCode",
    "anvil_setCode",
    "evm_setAccountCode",
    arguments=(ADDRESS, Argument("code", parse_data)),
    heavy=True,
)
def set_code(context: Context, address: Address, code: bytes) -> bool:
    _devnet(context).set_code(address, code)
    return True


@methods.add(
    "hardhat_setStorageAt", "anvil_setStorageAt", "evm_setAccountStorageAt",
    arguments=(ADDRESS, Argument("slot", parse_storage_key), Argument("value", parse_storage_key)),
    heavy=True,
)  # fmt: skip
def set_storage_at(context: Context, address: Address, slot: int, value: int) -> bool:
    _devnet(context).set_storage(address, slot, value)
    return True


# ---------------------------------------------------------------- accounts and pool


@methods.add("hardhat_impersonateAccount", "anvil_impersonateAccount", arguments=(ADDRESS,), heavy=True)
def impersonate(context: Context, address: Address) -> bool:
    _devnet(context).impersonate(address)
    return True


@methods.add("hardhat_stopImpersonatingAccount", "anvil_stopImpersonatingAccount", arguments=(ADDRESS,), heavy=True)
def stop_impersonating(context: Context, address: Address) -> bool:
    _devnet(context).stop_impersonating(address)
    return True


@methods.add("anvil_autoImpersonateAccount", arguments=(ENABLED,), heavy=True)
def auto_impersonate(context: Context, enabled: bool) -> bool:
    _devnet(context).auto_impersonate(enabled)
    return True


@methods.add("eth_sendUnsignedTransaction", arguments=(TRANSACTION,), heavy=True)
def send_unsigned_transaction(context: Context, args: TransactionArgs) -> Deferred:
    """From any account, as if it were impersonated (viem's test client)."""
    sender = args.sender
    if sender is None:
        raise InvalidParams("invalid argument 0 (transaction): from: expected an address, got null")
    filled = fill_transaction(context, args)
    chain = context.backend.chain

    def submit() -> Any:
        nonce = chain.pending_nonce(sender) if args.nonce is None else args.nonce
        return _devnet(context).submit_unsigned(with_nonce(filled, nonce), sender)

    return submit_deferred(context, submit)


@methods.add(
    "hardhat_dropTransaction", "anvil_dropTransaction", arguments=(Argument("transactionHash", parse_hash),), heavy=True
)
def drop_transaction(context: Context, transaction_hash: Hash32) -> bool:
    return _devnet(context).drop_transaction(transaction_hash)


@methods.add("anvil_dropAllTransactions", heavy=True)
def drop_all_transactions(context: Context) -> None:
    _devnet(context).drop_all_transactions()


# ---------------------------------------------------------------- what tools ask


@methods.add("hardhat_metadata", "anvil_metadata")
def get_metadata(context: Context) -> Json:
    """hardhat's helpers take a node that answers this for a development network."""
    chain = context.backend.chain
    status, head = chain.node_status(), chain.head()
    return {
        "clientVersion": status.client_version,
        "chainId": chain.chain_id(),
        "instanceId": format_data(status.genesis_hash),
        "latestBlockNumber": head.number,
        "latestBlockHash": format_data(head.hash),
    }


@methods.add("hardhat_setLoggingEnabled", "anvil_setLoggingEnabled", arguments=(ENABLED,))
def set_logging(context: Context, enabled: bool) -> bool:
    """Taken and ignored: logs are the operator's."""
    return True


@methods.add("hardhat_setRpcUrl", "anvil_setRpcUrl", arguments=(Argument("url", parse_any),))
def set_rpc_url(context: Context, url: Any) -> None:
    """Taken and ignored: there is no fork whose source could change."""
