"""genesis.json: geth's format with one section of our own, `dmchain`. Parsed strictly, never trusted.

A genesis without that section is a plain Ethereum chain: strictly increasing timestamps, withdrawals and requests as
its forks demand. With it, the rules are dmchain's (docs/architecture.md).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

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

MAX_GENESIS_BYTES = 256 * 1024 * 1024
DEFAULT_GAS_LIMIT = 30_000_000
DEFAULT_BASE_FEE = 10**9
"""1 gwei: low enough for presigned deployments at a fixed 100 gwei."""
OWN_SECTION = "dmchain"
_HEX_DIGITS = frozenset("0123456789abcdefABCDEF")
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
    """A checked genesis file."""

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
                raise InvalidGenesis(f"the key {_describe(key)} appears twice in one object")
            seen.add(key)
    return result


def parse_genesis(document: Any) -> Genesis:
    """Check a decoded genesis file."""
    top = _object(document, "genesis")
    config = _object(top.get("config", _missing("config")), "config")
    ours = top.get(OWN_SECTION)
    section = None if ours is None else _object(ours, OWN_SECTION)
    rules = _parse_rules(config, section)
    alloc = parse_alloc(top.get("alloc", _missing("alloc")))
    extra = _bytes(top.get("extraData", "0x"), "extraData")
    if len(extra) > MAX_EXTRA_DATA_BYTES:
        raise InvalidGenesis(f"extraData: got {len(extra)} bytes, expected at most {MAX_EXTRA_DATA_BYTES}")
    gas_limit = _quantity(top.get("gasLimit", DEFAULT_GAS_LIMIT), "gasLimit", MAX_GAS_LIMIT)
    if gas_limit < MIN_GAS_LIMIT:
        raise InvalidGenesis(f"gasLimit: got {gas_limit}, expected at least {MIN_GAS_LIMIT}")
    if _quantity(top.get("difficulty", 0), "difficulty", UINT256_MAX) and section is not None:
        raise InvalidGenesis("difficulty: expected 0, there is no proof of work")
    return Genesis(
        rules=rules,
        alloc=alloc,
        gas_limit=gas_limit,
        base_fee=_quantity(top.get("baseFeePerGas", DEFAULT_BASE_FEE), "baseFeePerGas", UINT256_MAX),
        timestamp=_quantity(top.get("timestamp", 0), "timestamp", UINT64_MAX),
        extra_data=extra,
        coinbase=Address(_bytes(top.get("coinbase", "0x" + "00" * 20), "coinbase", 20)),
        prev_randao=Hash32(_bytes(top.get("mixHash", "0x" + "00" * 32), "mixHash", 32)),
        excess_blob_gas=_quantity(top.get("excessBlobGas", 0), "excessBlobGas", UINT64_MAX),
        blob_gas_used=_quantity(top.get("blobGasUsed", 0), "blobGasUsed", UINT64_MAX),
        is_dmchain=section is not None,
    )


def _parse_rules(config: Mapping[str, Any], section: Mapping[str, Any] | None) -> Rules:
    chain_id = _quantity(config.get("chainId", _missing("config.chainId")), "config.chainId", UINT64_MAX)
    if chain_id == 0:
        raise InvalidGenesis("config.chainId: expected 1 or more, got 0")
    for fork in _FORKS_BEFORE_PRAGUE:
        at = config.get(fork, 0)
        if _quantity(at, f"config.{fork}", UINT64_MAX) != 0:
            raise InvalidGenesis(
                f"config.{fork}: got {_describe(at)}, expected 0",
                hint="the chain begins with Prague's rules; earlier forks cannot be imported",
            )
    osaka = config.get("osakaTime")
    osaka_time = None if osaka is None else _quantity(osaka, "config.osakaTime", UINT64_MAX)
    if section is None:
        return Rules(chain_id, osaka_time, strict_timestamps=True, withdrawals=True, requests=True)
    known = ("timestamps",)
    for key in section:
        if key not in known:
            raise InvalidGenesis(f"{OWN_SECTION}.{_short(key)}: unknown, expected one of {', '.join(known)}")
    timestamps = section.get("timestamps", "non-decreasing")
    if timestamps not in ("non-decreasing", "increasing"):
        raise InvalidGenesis(
            f'{OWN_SECTION}.timestamps: got {_describe(timestamps)}, expected "non-decreasing" or "increasing"'
        )
    return Rules(chain_id, osaka_time, strict_timestamps=timestamps == "increasing")


def parse_alloc(value: Any) -> dict[Address, GenesisAccount]:
    """Accounts by address, with or without 0x."""
    alloc = {}
    for key, entry in _object(value, "alloc").items():
        address = Address(_bytes(key if key[:2] in ("0x", "0X") else "0x" + key, f"alloc.{_short(key)}", 20))
        if address in alloc:
            raise InvalidGenesis(f"alloc: the address {_short(key)} appears twice")
        alloc[address] = _parse_account(entry, f"alloc.{_short(key)}")
    return alloc


def _parse_account(value: Any, field: str) -> GenesisAccount:
    entry = _object(value, field)
    for key in entry:
        if key not in ("balance", "nonce", "code", "storage", "secretKey"):
            raise InvalidGenesis(f"{field}.{_short(key)}: unknown, expected balance, nonce, code or storage")
    storage = []
    for key, slot_value in _object(entry.get("storage", {}), f"{field}.storage").items():
        slot = _word(key, f"{field}.storage key")
        number = _word(slot_value, f"{field}.storage.{_short(key)}")
        if number:
            storage.append((slot, number))
    if len({slot for slot, _ in storage}) != len(storage):
        raise InvalidGenesis(f"{field}.storage: a slot appears twice")
    return GenesisAccount(
        balance=_quantity(entry.get("balance", 0), f"{field}.balance", UINT256_MAX),
        nonce=_quantity(entry.get("nonce", 0), f"{field}.nonce", UINT64_MAX - 1),
        code=_bytes(entry.get("code", "0x"), f"{field}.code"),
        storage=tuple(sorted(storage)),
    )


class _Missing:
    def __init__(self, field: str) -> None:
        self.field = field


def _missing(field: str) -> _Missing:
    return _Missing(field)


def _object(value: Any, field: str) -> Mapping[str, Any]:
    _present(value)
    if not isinstance(value, dict):
        raise InvalidGenesis(f"{field}: expected an object, got {_describe(value)}")
    return value


def _present(value: Any) -> None:
    if isinstance(value, _Missing):
        raise InvalidGenesis(f"{value.field}: missing")


def _describe(value: Any) -> str:
    return _short(repr(value))


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def _quantity(value: Any, field: str, limit: int) -> int:
    """A number: a JSON integer, or a string in decimal or with 0x."""
    _present(value)
    number: int | None = None
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, float) and math.isfinite(value) and value.is_integer() and abs(value) < 2**53:
        number = int(value)
    elif isinstance(value, str) and len(value) <= 80 and value.isascii() and "_" not in value:
        try:
            number = int(value, 16) if value[:2] in ("0x", "0X") else int(value, 10)
        except ValueError:
            number = None
    if number is None:
        raise InvalidGenesis(f"{field}: expected a number (decimal or 0x), got {_describe(value)}")
    if not 0 <= number <= limit:
        raise InvalidGenesis(f"{field}: got {_describe(value)}, expected 0 to {limit}")
    return number


def _word(value: Any, field: str) -> int:
    """A storage key or value: up to 32 bytes of hex."""
    if isinstance(value, str) and value[:2] not in ("0x", "0X"):
        value = "0x" + value
    return _quantity(value, field, UINT256_MAX)


def _bytes(value: Any, field: str, size: int | None = None) -> bytes:
    _present(value)
    if not isinstance(value, str) or value[:2] not in ("0x", "0X"):
        raise InvalidGenesis(f"{field}: expected a string of hex digits after 0x, got {_describe(value)}")
    if len(value) % 2 or not _HEX_DIGITS.issuperset(value[2:]):
        raise InvalidGenesis(f"{field}: expected hex digits in pairs, got {_describe(value)}")
    raw = bytes.fromhex(value[2:])
    if size is not None and len(raw) != size:
        raise InvalidGenesis(f"{field}: expected {size} bytes, got {len(raw)}")
    return raw
