"""A development network: a fresh genesis with prefunded test accounts, and what only such a network has."""

from __future__ import annotations

import gzip
import io
import json
import math
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import trio

from dmchain.chain.executor import AccountEdit
from dmchain.chain.genesis import DEFAULT_BASE_FEE, DEFAULT_GAS_LIMIT, decode_json, parse_alloc
from dmchain.chain.primitives.codec import encode
from dmchain.chain.primitives.crypto import PrivateKey, keccak
from dmchain.chain.primitives.errors import InvalidGenesis
from dmchain.chain.primitives.transaction import LEGACY, Transaction, UnsignedTransaction
from dmchain.chain.primitives.types import Address, Hash32
from dmchain.chain.store.kv import Reader, prefix_end
from dmchain.marketplace_vm.market_genesis.parameters import DEVNET, MarketParameters
from dmchain.marketplace_vm.state import decode_account, read_code
from dmchain.node.backend import ChainBackend
from dmchain.node.predeploys import predeployed_accounts, with_dispute_contract
from dmchain.node.production import NextBlock, Producer
from dmchain.rpc.backend import Submitted
from dmchain.rpc.errors import InvalidParams

MAX_DUMP_BYTES = 256 * 1024 * 1024
DEFAULT_CHAIN_ID = 1337
"""OpenZeppelin's plugins treat 1337 and 31337 as throwaway networks."""
DEFAULT_BALANCE_ETHER = 10_000
WEI_PER_ETHER = 10**18
VALIDATOR_KEY = PrivateKey(keccak(b"dmchain devnet validator"))
"""Of a devnet's validator; public, as the test accounts are."""

TOKEN_HOLDERS = 10
"""How many of the funded accounts share a devnet's governance tokens and begin with test dollars."""


def devnet_market(keys: Sequence[PrivateKey]) -> MarketParameters:
    """A devnet's market: short times, TestUSD, tokens for the first accounts."""
    return DEVNET.with_holders(tuple([key.address for key in keys[:TOKEN_HOLDERS]]))


def genesis_document(
    funded: Mapping[Address, int] | Sequence[tuple[Address, int]],
    *,
    chain_id: int = DEFAULT_CHAIN_ID,
    gas_limit: int = DEFAULT_GAS_LIMIT,
    base_fee: int = DEFAULT_BASE_FEE,
    timestamp: int = 0,
    own: Mapping[str, Any] | None = None,
    market: MarketParameters | None = None,
) -> dict[str, Any]:
    """A genesis.json for a dmchain network; `funded` maps addresses to balances in wei.

    `own`: more for the section `dmchain`: validators, staking and consensus parameters (chain.genesis_staking).
    `market`: predeploy the market's contracts with these parameters; None: only the native precompiles.
    """
    own = dict(own or {}) if market is None else with_dispute_contract(own or {})
    alloc: dict[str, Any] = {}
    for address, account in predeployed_accounts(market, chain_id).items():
        entry: dict[str, Any] = {"balance": hex(account.balance), "nonce": hex(account.nonce)}
        entry["code"] = "0x" + account.code.hex()
        if account.storage:
            entry["storage"] = {f"0x{slot:064x}": f"0x{value:064x}" for slot, value in account.storage}
        alloc["0x" + address.hex()] = entry
    for address, balance in dict(funded).items():
        alloc.setdefault("0x" + address.hex(), {})["balance"] = hex(balance)
    forks = ("homestead", "eip150", "eip155", "eip158", "byzantium", "constantinople", "petersburg", "istanbul")
    config: dict[str, Any] = {"chainId": chain_id}
    config.update({f"{name}Block": 0 for name in (*forks, "berlin", "london")})
    config.update({"terminalTotalDifficulty": 0, "shanghaiTime": 0, "cancunTime": 0, "pragueTime": 0, "osakaTime": 0})
    return {
        "config": config,
        "timestamp": hex(timestamp),
        "gasLimit": hex(gas_limit),
        "baseFeePerGas": hex(base_fee),
        "difficulty": "0x0",
        "extraData": "0x",
        "alloc": alloc,
        "dmchain": {"timestamps": "non-decreasing", **own},
    }


class DevnetWallet:
    """Unlocked accounts. Implements rpc.backend.Wallet."""

    def __init__(self, keys: Sequence[PrivateKey]) -> None:
        self._keys = {key.address: key for key in keys}

    def accounts(self) -> Sequence[Address]:
        return list(self._keys)

    def key_of(self, address: Address) -> PrivateKey | None:
        return self._keys.get(address)


@dataclass(slots=True)
class _Snapshot:
    height: int
    edits: int
    time_offset: int


class DevnetControl:
    """Implements rpc.backend.Devnet: time, mining and state by decree.

    Every method is called in a worker thread; what changes anything runs on the event loop, between blocks.
    """

    def __init__(self, producer: Producer, backend: ChainBackend) -> None:
        self._producer = producer
        self._chain = producer.chain
        self._backend = backend
        self._snapshots: dict[int, _Snapshot] = {}
        self._next_snapshot = 1
        self._edits: list[tuple[int, dict[bytes, bytes | None]]] = []
        """Undo records of edits since the oldest snapshot, with the height they were made at."""
        self._impersonated: set[Address] = set()
        self._auto_impersonate = False
        self._automine = producer.config.block_time_seconds is None

    # -- snapshots -----------------------------------------------------------------------------------------------
    def snapshot(self) -> int:
        return trio.from_thread.run_sync(self._take_snapshot)

    def _take_snapshot(self) -> int:
        number = self._next_snapshot
        self._next_snapshot += 1
        self._snapshots[number] = _Snapshot(
            self._chain.head.number, len(self._edits), self._producer.time_offset
        )
        return number

    def revert(self, snapshot_id: int) -> bool:
        return trio.from_thread.run(self._revert, snapshot_id)

    async def _revert(self, snapshot_id: int) -> bool:
        snapshot = self._snapshots.get(snapshot_id)
        if snapshot is None:
            return False
        edits = [undo for height, undo in self._edits[snapshot.edits :] if height == snapshot.height]
        await self._go_back(snapshot.height, edits)
        self._edits = self._edits[: snapshot.edits]
        self._snapshots = {number: kept for number, kept in self._snapshots.items() if number < snapshot_id}
        self._producer.time_offset = snapshot.time_offset
        return True

    def reset(self) -> None:
        trio.from_thread.run(self._reset)

    async def _reset(self) -> None:
        edits = [undo for height, undo in self._edits if height == 0]
        await self._go_back(0, edits)
        self._edits.clear()
        self._snapshots.clear()
        self._producer.time_offset = 0

    async def _go_back(self, height: int, edits: list[dict[bytes, bytes | None]]) -> None:
        async with self._producer.turn:
            await trio.to_thread.run_sync(self._chain.rollback, height, edits)
            self._producer.pool_clear()
            self._producer.next_block = NextBlock()
            self._producer.follow_head(None)
            self._backend.announce_revert(height)

    # -- mining --------------------------------------------------------------------------------------------------
    def mine(self, blocks: int, interval_seconds: int | None = None, timestamp: int | None = None) -> None:
        trio.from_thread.run(self._mine, blocks, interval_seconds, timestamp)

    async def _mine(self, blocks: int, interval_seconds: int | None, timestamp: int | None) -> None:
        for number in range(blocks):
            if number == 0 and timestamp is not None:
                self._set_next_timestamp(timestamp)
            elif number and interval_seconds is not None:
                self._set_next_timestamp(self._chain.head.timestamp + interval_seconds)
            await self._producer.make_block()

    def automine(self) -> bool:
        return self._automine

    def set_automine(self, enabled: bool) -> None:
        trio.from_thread.run_sync(self._set_automine, enabled)

    def _set_automine(self, enabled: bool) -> None:
        self._automine = enabled
        self._producer.set_block_time(None if enabled else math.inf)

    def set_interval_mining(self, milliseconds: int) -> None:
        trio.from_thread.run_sync(self._set_interval_mining, milliseconds)

    def _set_interval_mining(self, milliseconds: int) -> None:
        self._automine = False
        self._producer.set_block_time(milliseconds / 1000 if milliseconds else math.inf)

    # -- time ----------------------------------------------------------------------------------------------------
    def increase_time(self, seconds: int) -> int:
        return trio.from_thread.run_sync(self._increase_time, seconds)

    def _increase_time(self, seconds: int) -> int:
        self._producer.time_offset += seconds
        return self._producer.time_offset

    def set_time(self, timestamp: int) -> int:
        return trio.from_thread.run_sync(self._set_time, timestamp)

    def _set_time(self, timestamp: int) -> int:
        self._producer.time_offset = timestamp - int(time.time())
        return self._producer.time_offset

    def set_next_timestamp(self, timestamp: int) -> None:
        trio.from_thread.run_sync(self._set_next_timestamp, timestamp)

    def _set_next_timestamp(self, timestamp: int) -> None:
        parent = self._chain.head
        if timestamp < parent.timestamp:
            raise InvalidParams(
                f"timestamp {timestamp} is before the head's: expected at least {parent.timestamp}"
            )
        self._producer.next_block.timestamp = timestamp
        # later blocks go on from there, as on other development nodes
        self._producer.time_offset = timestamp - int(time.time())

    def set_timestamp_interval(self, seconds: int | None) -> None:
        self._producer.timestamp_interval = seconds

    # -- what blocks say -----------------------------------------------------------------------------------------
    def set_block_gas_limit(self, gas_limit: int) -> None:
        trio.from_thread.run_sync(self._configure, gas_limit, None)

    def set_coinbase(self, address: Address) -> None:
        trio.from_thread.run_sync(self._configure, None, address)

    def _configure(self, gas_limit: int | None, coinbase: Address | None) -> None:
        config = self._producer.config
        if gas_limit is not None:
            config = replace(config, gas_limit=gas_limit)
            self._producer.gas_limit_exact = True
        if coinbase is not None:
            config = replace(config, coinbase=coinbase)
        self._producer.config = config
        self._producer.follow_head(())

    def set_next_base_fee(self, base_fee: int) -> None:
        trio.from_thread.run_sync(self._set_next_base_fee, base_fee)

    def _set_next_base_fee(self, base_fee: int) -> None:
        self._producer.next_block.base_fee = base_fee
        self._producer.follow_head(())

    def set_min_gas_price(self, price: int) -> None:
        raise InvalidParams("the least gas price cannot be set: fees follow EIP-1559; set the next base fee instead")

    def set_prev_randao(self, value: Hash32) -> None:
        self._producer.next_block.prev_randao = value

    # -- state ---------------------------------------------------------------------------------------------------
    def set_balance(self, address: Address, balance: int) -> None:
        self._edit(address, AccountEdit(balance=balance))

    def set_nonce(self, address: Address, nonce: int) -> None:
        self._edit(address, AccountEdit(nonce=nonce))

    def set_code(self, address: Address, code: bytes) -> None:
        self._edit(address, AccountEdit(code=code))

    def set_storage(self, address: Address, slot: int, value: int) -> None:
        self._edit(address, AccountEdit(storage={slot: value}))

    def _edit(self, address: Address, edit: AccountEdit) -> None:
        trio.from_thread.run(self._edit_state, {address: edit})

    async def _edit_state(self, edits: Mapping[Address, AccountEdit]) -> None:
        async with self._producer.turn:
            undo = await trio.to_thread.run_sync(self._chain.edit_state, edits)
            self._edits.append((self._chain.head.number, undo))
            self._producer.follow_head(list(edits))
            self._backend.invalidate_pending()

    def dump_state(self) -> bytes:
        return dump_accounts(self._chain.view.snapshot)

    def load_state(self, dump: bytes) -> None:
        trio.from_thread.run(self._edit_state, parse_dump(dump))

    # -- accounts without keys -----------------------------------------------------------------------------------
    def impersonate(self, address: Address) -> None:
        self._impersonated.add(address)

    def stop_impersonating(self, address: Address) -> None:
        self._impersonated.discard(address)

    def auto_impersonate(self, enabled: bool) -> None:
        self._auto_impersonate = enabled

    def is_impersonated(self, address: Address) -> bool:
        return self._auto_impersonate or address in self._impersonated

    def submit_unsigned(self, unsigned: UnsignedTransaction, sender: Address) -> Submitted:
        transaction = make_impersonated(unsigned, sender)
        return self._backend.submit_transaction(transaction, sender_may_have_code=True)

    # -- pool ----------------------------------------------------------------------------------------------------
    def drop_transaction(self, transaction_hash: Hash32) -> bool:
        return trio.from_thread.run_sync(self._drop, transaction_hash)

    def _drop(self, transaction_hash: Hash32) -> bool:
        pool = self._producer.pool
        is_there = transaction_hash in pool
        pool.remove(transaction_hash, time.time())
        self._backend.invalidate_pending()
        return is_there

    def drop_all_transactions(self) -> None:
        trio.from_thread.run_sync(self._drop_all)

    def _drop_all(self) -> None:
        self._producer.pool_clear()
        self._backend.invalidate_pending()


def make_impersonated(unsigned: UnsignedTransaction, sender: Address) -> Transaction:
    """A transaction that nobody signed: r is the sender, s is 0, which no rule of the chain accepts.

    Only this process knows its sender; a node that imports the block refuses it.
    """
    fields = unsigned.signing_fields()
    r = int.from_bytes(sender, "big")
    if unsigned.type == LEGACY:
        v = 27 if unsigned.chain_id is None else 35 + 2 * unsigned.chain_id
        transaction = Transaction.decode(encode([*fields, v, r, 0]))
    else:
        transaction = Transaction.decode(bytes((unsigned.type,)) + encode([*fields, 0, r, 0]))
    transaction.assume_sender(sender)
    return transaction


def dump_accounts(state: Reader) -> bytes:
    """All accounts with code and storage, as gzipped JSON in the shape of a genesis' alloc."""
    alloc: dict[str, Any] = {}
    for key, raw in state.iterate(b"a", b"b"):
        address = key[1:]
        nonce, balance, _, _ = decode_account(raw)
        entry: dict[str, Any] = {"nonce": hex(nonce), "balance": hex(balance)}
        code = read_code(state, address)
        if code:
            entry["code"] = "0x" + code.hex()
        prefix = b"s" + address
        storage = {
            "0x" + slot[21:].hex(): "0x" + value.rjust(32, b"\0").hex()
            for slot, value in state.iterate(prefix, prefix_end(prefix))
        }
        if storage:
            entry["storage"] = storage
        alloc["0x" + address.hex()] = entry
    return gzip.compress(json.dumps(alloc, separators=(",", ":")).encode(), mtime=0)


def parse_dump(dump: bytes) -> dict[Address, AccountEdit]:
    """Check a dump; raises InvalidParams that names the field."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(dump)) as file:
            text = file.read(MAX_DUMP_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidParams("state: expected what anvil_dumpState of this node returned") from error
    if len(text) > MAX_DUMP_BYTES:
        raise InvalidParams(f"state: expected at most {MAX_DUMP_BYTES} bytes after decompression")
    try:
        accounts = parse_alloc(decode_json(text.decode("utf-8", "replace")))
    except InvalidGenesis as error:
        raise InvalidParams(f"state: {error}") from error
    return {
        address: AccountEdit(account.nonce, account.balance, account.code, dict(account.storage))
        for address, account in accounts.items()
    }
