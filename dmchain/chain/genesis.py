"""genesis.json: geth's format with one section of our own, `dmchain`. Parsed strictly, never trusted.

A genesis without that section is a plain Ethereum chain: strictly increasing timestamps, withdrawals and requests as
its forks demand. With it, the rules are dmchain's (docs/architecture.md).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from dmchain.chain.genesis_fields import describe, json_object, missing, quantity, raw_bytes, shorten, word
from dmchain.chain.genesis_staking import NATIVE_CODE, STAKING_KEYS, GenesisStaking, make_storage, parse_staking
from dmchain.chain.primitives.block import (
    EMPTY_BLOOM,
    EMPTY_OMMERS_HASH,
    EMPTY_REQUESTS_HASH,
    EMPTY_TRIE_ROOT,
    MAX_EXTRA_DATA_BYTES,
    Header,
)
from dmchain.chain.primitives.errors import InvalidGenesis
from dmchain.chain.primitives.types import UINT64_MAX, UINT256_MAX, ZERO_ADDRESS, ZERO_HASH, Address, Hash32
from dmchain.chain.rules import MAX_GAS_LIMIT, MIN_GAS_LIMIT, Rules
from dmchain.chain.staking import STAKING

MAX_GENESIS_BYTES = 256 * 1024 * 1024
DEFAULT_GAS_LIMIT = 30_000_000
DEFAULT_BASE_FEE = 10**9
"""1 gwei: low enough for presigned deployments at a fixed 100 gwei."""
OWN_SECTION = "dmchain"
_FORKS_BEFORE_PRAGUE = (
    "homesteadBlock", "eip150Block", "eip155Block", "eip158Block", "byzantiumBlock", "constantinopleBlock",
    "petersburgBlock", "istanbulBlock", "berlinBlock", "londonBlock", "shanghaiTime", "cancunTime", "pragueTime",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class GenesisAccount:
    """One entry of `alloc`; balance in wei."""

    balance: int = 0
    nonce: int = 0
    code: bytes = b""
    storage: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Genesis:
    """A checked genesis file. `staking` None: a chain without validators of its own, such as a lone devnet's.

    `alloc` has everything that block 0 holds, the staking contract included.
    """

    rules: Rules
    alloc: Mapping[Address, GenesisAccount]
    gas_limit: int = DEFAULT_GAS_LIMIT
    base_fee: int = DEFAULT_BASE_FEE
    timestamp: int = 0
    extra_data: bytes = b""
    coinbase: Address = ZERO_ADDRESS
    prev_randao: Hash32 = ZERO_HASH
    excess_blob_gas: int = 0
    blob_gas_used: int = 0
    is_dmchain: bool = True
    staking: GenesisStaking | None = None

    def header(self, state_root: Hash32) -> Header:
        """Block 0, given the root of the state that `alloc` makes."""
        return Header(
            parent_hash=ZERO_HASH,
            ommers_hash=EMPTY_OMMERS_HASH,
            coinbase=self.coinbase,
            state_root=state_root,
            transactions_root=EMPTY_TRIE_ROOT,
            receipts_root=EMPTY_TRIE_ROOT,
            bloom=EMPTY_BLOOM,
            difficulty=0,
            number=0,
            gas_limit=self.gas_limit,
            gas_used=0,
            timestamp=self.timestamp,
            extra_data=self.extra_data,
            prev_randao=self.prev_randao,
            nonce=bytes(8),
            base_fee_per_gas=self.base_fee,
            withdrawals_root=EMPTY_TRIE_ROOT,
            blob_gas_used=self.blob_gas_used,
            excess_blob_gas=self.excess_blob_gas,
            parent_beacon_block_root=ZERO_HASH,
            requests_hash=EMPTY_REQUESTS_HASH,
        )


def load_genesis(path: Path) -> Genesis:
    """Read and check a genesis file; every error names the file and the field."""
    try:
        size = path.stat().st_size
        if size > MAX_GENESIS_BYTES:
            raise InvalidGenesis(f"{path}: {size} bytes, expected at most {MAX_GENESIS_BYTES}")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidGenesis(f"{path}: {error.strerror}", hint="`dmchain genesis new` writes one") from error
    except UnicodeDecodeError as error:
        raise InvalidGenesis(f"{path}: not UTF-8 text: {error.reason} at byte {error.start}") from error
    try:
        return parse_genesis(decode_json(text))
    except InvalidGenesis as error:
        raise InvalidGenesis(f"{path}: {error}", hint=error.hint) from error


def decode_json(text: str) -> Any:
    """JSON without duplicate keys, NaN or runaway nesting."""
    try:
        # orjson bounds the nesting; the standard library, with the recursion limit the EVM needs, would crash
        orjson.loads(text)
        return json.loads(text, object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError) as error:
        raise InvalidGenesis(f"not JSON: {str(error)[:200]}") from error


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise InvalidGenesis(f"the key {describe(key)} appears twice in one object")
            seen.add(key)
    return result


def parse_genesis(document: Any) -> Genesis:
    """Check a decoded genesis file."""
    top = json_object(document, "genesis")
    config = json_object(top.get("config", missing("config")), "config")
    ours = top.get(OWN_SECTION)
    section = None if ours is None else json_object(ours, OWN_SECTION)
    rules = _parse_rules(config, section)
    alloc = parse_alloc(top.get("alloc", missing("alloc")))
    extra = raw_bytes(top.get("extraData", "0x"), "extraData")
    if len(extra) > MAX_EXTRA_DATA_BYTES:
        raise InvalidGenesis(f"extraData: got {len(extra)} bytes, expected at most {MAX_EXTRA_DATA_BYTES}")
    gas_limit = quantity(top.get("gasLimit", DEFAULT_GAS_LIMIT), "gasLimit", MAX_GAS_LIMIT)
    if gas_limit < MIN_GAS_LIMIT:
        raise InvalidGenesis(f"gasLimit: got {gas_limit}, expected at least {MIN_GAS_LIMIT}")
    if quantity(top.get("difficulty", 0), "difficulty", UINT256_MAX) and section is not None:
        raise InvalidGenesis("difficulty: expected 0, there is no proof of work")
    timestamp = quantity(top.get("timestamp", 0), "timestamp", UINT64_MAX)
    staking = None if section is None else parse_staking(section)
    if staking is not None:
        alloc[STAKING] = _make_staking_account(staking, timestamp, alloc.get(STAKING))
    return Genesis(
        rules=rules,
        alloc=alloc,
        gas_limit=gas_limit,
        base_fee=quantity(top.get("baseFeePerGas", DEFAULT_BASE_FEE), "baseFeePerGas", UINT256_MAX),
        timestamp=timestamp,
        extra_data=extra,
        coinbase=Address(raw_bytes(top.get("coinbase", "0x" + "00" * 20), "coinbase", 20)),
        prev_randao=Hash32(raw_bytes(top.get("mixHash", "0x" + "00" * 32), "mixHash", 32)),
        excess_blob_gas=quantity(top.get("excessBlobGas", 0), "excessBlobGas", UINT64_MAX),
        blob_gas_used=quantity(top.get("blobGasUsed", 0), "blobGasUsed", UINT64_MAX),
        is_dmchain=section is not None,
        staking=staking,
    )


def _make_staking_account(
    staking: GenesisStaking, timestamp: int, given: GenesisAccount | None
) -> GenesisAccount:
    if given not in (None, GenesisAccount(), GenesisAccount(nonce=1, code=NATIVE_CODE)):
        raise InvalidGenesis(
            f"alloc.0x{STAKING.hex()}: expected nothing, the staking contract holds what {OWN_SECTION}.validators say"
        )
    return GenesisAccount(staking.balance, 1, NATIVE_CODE, make_storage(staking, timestamp))


def _parse_rules(config: Mapping[str, Any], section: Mapping[str, Any] | None) -> Rules:
    chain_id = quantity(config.get("chainId", missing("config.chainId")), "config.chainId", UINT64_MAX)
    if chain_id == 0:
        raise InvalidGenesis("config.chainId: expected 1 or more, got 0")
    for fork in _FORKS_BEFORE_PRAGUE:
        at = config.get(fork, 0)
        if quantity(at, f"config.{fork}", UINT64_MAX) != 0:
            raise InvalidGenesis(
                f"config.{fork}: got {describe(at)}, expected 0",
                hint="the chain begins with Prague's rules; earlier forks cannot be imported",
            )
    osaka = config.get("osakaTime")
    osaka_time = None if osaka is None else quantity(osaka, "config.osakaTime", UINT64_MAX)
    if section is None:
        return Rules(chain_id, osaka_time, strict_timestamps=True, withdrawals=True, requests=True)
    known = ("timestamps", *STAKING_KEYS)
    for key in section:
        if key not in known:
            raise InvalidGenesis(f"{OWN_SECTION}.{shorten(key)}: unknown, expected one of {', '.join(known)}")
    timestamps = section.get("timestamps", "non-decreasing")
    if timestamps not in ("non-decreasing", "increasing"):
        raise InvalidGenesis(
            f'{OWN_SECTION}.timestamps: got {describe(timestamps)}, expected "non-decreasing" or "increasing"'
        )
    return Rules(chain_id, osaka_time, strict_timestamps=timestamps == "increasing")


def parse_alloc(value: Any) -> dict[Address, GenesisAccount]:
    """Accounts by address, with or without 0x."""
    alloc = {}
    for key, entry in json_object(value, "alloc").items():
        address = Address(raw_bytes(key if key[:2] in ("0x", "0X") else "0x" + key, f"alloc.{shorten(key)}", 20))
        if address in alloc:
            raise InvalidGenesis(f"alloc: the address {shorten(key)} appears twice")
        alloc[address] = _parse_account(entry, f"alloc.{shorten(key)}")
    return alloc


def _parse_account(value: Any, field: str) -> GenesisAccount:
    entry = json_object(value, field)
    for key in entry:
        if key not in ("balance", "nonce", "code", "storage", "secretKey"):
            raise InvalidGenesis(f"{field}.{shorten(key)}: unknown, expected balance, nonce, code or storage")
    storage = []
    for key, slot_value in json_object(entry.get("storage", {}), f"{field}.storage").items():
        slot = word(key, f"{field}.storage key")
        number = word(slot_value, f"{field}.storage.{shorten(key)}")
        if number:
            storage.append((slot, number))
    if len({slot for slot, _ in storage}) != len(storage):
        raise InvalidGenesis(f"{field}.storage: a slot appears twice")
    return GenesisAccount(
        balance=quantity(entry.get("balance", 0), f"{field}.balance", UINT256_MAX),
        nonce=quantity(entry.get("nonce", 0), f"{field}.nonce", UINT64_MAX - 1),
        code=raw_bytes(entry.get("code", "0x"), f"{field}.code"),
        storage=tuple(sorted(storage)),
    )
