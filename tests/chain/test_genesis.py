"""genesis.json: what is good is read, what is not is refused by name, and nothing else ever happens."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmchain.chain.genesis import (
    DEFAULT_BASE_FEE,
    DEFAULT_GAS_LIMIT,
    Genesis,
    GenesisAccount,
    decode_json,
    load_genesis,
    parse_genesis,
)
from dmchain.chain.primitives.errors import InvalidGenesis
from dmchain.chain.primitives.types import Address

ADDRESS = "0x" + "ab" * 20
GOOD: dict[str, Any] = {
    "config": {"chainId": 1337, "pragueTime": 0, "osakaTime": 5, "terminalTotalDifficulty": 0},
    "alloc": {
        ADDRESS: {"balance": "0x10", "nonce": "1", "code": "0x00", "storage": {"0x01": "0x02", "03": "0x00"}},
        "cd" * 20: {"balance": "1000000000000000000000"},
    },
    "gasLimit": "0x1c9c380",
    "baseFeePerGas": 7,
    "timestamp": "1700000000",
    "extraData": "0x6869",
    "coinbase": "0x" + "01" * 20,
    "mixHash": "0x" + "02" * 32,
    "difficulty": "0x0",
    "nonce": "0x0",
    "dmchain": {"timestamps": "increasing"},
}


def changed(path: str, value: Any) -> Any:
    """GOOD with one value replaced; a dotted path."""
    document = copy.deepcopy(GOOD)
    *parents, last = path.split("/")
    at = document
    for part in parents:
        at = at[part]
    at[last] = value
    return document


def test_every_field_is_read() -> None:
    genesis = parse_genesis(GOOD)
    assert genesis.rules.chain_id == 1337
    assert (genesis.rules.osaka_time, genesis.rules.strict_timestamps) == (5, True)
    assert genesis.alloc == {
        Address(b"\xab" * 20): GenesisAccount(16, 1, b"\0", ((1, 2),)),
        Address(b"\xcd" * 20): GenesisAccount(10**21),
    }
    assert (genesis.gas_limit, genesis.base_fee, genesis.timestamp) == (30_000_000, 7, 1_700_000_000)
    assert (genesis.extra_data, genesis.coinbase, genesis.prev_randao) == (b"hi", b"\1" * 20, b"\2" * 32)
    header = genesis.header(genesis.prev_randao)
    assert (header.number, header.gas_limit, header.base_fee_per_gas) == (0, 30_000_000, 7)
    assert header.encode() == type(header).decode(header.encode()).encode()


def test_what_is_left_out_has_a_default() -> None:
    genesis = parse_genesis({"config": {"chainId": 1}, "alloc": {}, "dmchain": {}})
    assert genesis == Genesis(genesis.rules, {}, DEFAULT_GAS_LIMIT, DEFAULT_BASE_FEE)
    assert not genesis.rules.strict_timestamps


def test_without_our_section_it_is_an_ethereum_chain() -> None:
    rules = parse_genesis({"config": {"chainId": 1}, "alloc": {}}).rules
    assert (rules.strict_timestamps, rules.withdrawals, rules.requests) == (True, True, True)


BAD = [
    ("config", 5),
    ("config", None),
    ("config/chainId", 0),
    ("config/chainId", -1),
    ("config/chainId", 2**64),
    ("config/chainId", "abc"),
    ("config/chainId", True),
    ("config/chainId", 1.5),
    ("config/chainId", "1_000"),
    ("config/chainId", None),
    ("config/londonBlock", 5),
    ("config/pragueTime", "0x1"),
    ("config/osakaTime", "soon"),
    ("alloc", []),
    ("alloc/" + ADDRESS, 5),
    ("alloc/" + ADDRESS + "/balance", -5),
    ("alloc/" + ADDRESS + "/balance", "0x" + "f" * 65),
    ("alloc/" + ADDRESS + "/nonce", 2**64 - 1),
    ("alloc/" + ADDRESS + "/code", "0x123"),
    ("alloc/" + ADDRESS + "/code", "00"),
    ("alloc/" + ADDRESS + "/code", "0x0g"),
    ("alloc/" + ADDRESS + "/storage", 5),
    ("alloc/" + ADDRESS + "/mystery", 5),
    ("gasLimit", 4999),
    ("gasLimit", 2**63),
    ("baseFeePerGas", []),
    ("timestamp", 2**64),
    ("extraData", "0x" + "00" * 33),
    ("extraData", 5),
    ("coinbase", "0x01"),
    ("mixHash", "0x01"),
    ("difficulty", 1),
    ("excessBlobGas", -1),
    ("blobGasUsed", "x"),
    ("dmchain", 5),
    ("dmchain/timestamps", "backwards"),
    ("dmchain/timestamps", []),
    ("dmchain/mystery", 1),
]


@pytest.mark.parametrize(("path", "value"), BAD)
def test_what_is_wrong_is_named(path: str, value: Any) -> None:
    with pytest.raises(InvalidGenesis) as caught:
        parse_genesis(changed(path, value))
    assert str(caught.value).startswith(path.replace("/", ".")), str(caught.value)


@pytest.mark.parametrize("path", ["config", "alloc", "config/chainId"])
def test_what_is_missing_is_named(path: str) -> None:
    document = copy.deepcopy(GOOD)
    *parents, last = path.split("/")
    at = document
    for part in parents:
        at = at[part]
    del at[last]
    with pytest.raises(InvalidGenesis, match=f"^{path.replace('/', '.')}: missing"):
        parse_genesis(document)


@pytest.mark.parametrize(
    ("alloc", "text"),
    [
        ({"0x01": {}}, "alloc.0x01: expected 20 bytes"),
        ({ADDRESS: {}, ADDRESS.upper().replace("X", "x"): {}}, "appears twice"),
        ({ADDRESS: {"storage": {"0x1": "1", "0x01": "2"}}}, "a slot appears twice"),
        ({ADDRESS: {"storage": {"zz": "1"}}}, "storage key: expected a number"),
        ({ADDRESS: {"storage": {"1": "0x" + "f" * 65}}}, r"storage.1: got"),
    ],
)
def test_accounts_are_checked(alloc: Any, text: str) -> None:
    with pytest.raises(InvalidGenesis, match=text):
        parse_genesis(changed("alloc", alloc))


def test_long_rubbish_is_shortened_in_the_message() -> None:
    with pytest.raises(InvalidGenesis) as caught:
        parse_genesis(changed("gasLimit", "9" * 10_000))
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ('{"a": 1, "a": 2}', "'a' appears twice"),
        ('{"a": NaN}', "not JSON"),
        ('{"a": Infinity}', "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"a": ' + "1" * 5_000 + "}", "not JSON"),
        ('"\\ud800"', "not JSON"),
    ],
)
def test_text_that_is_not_proper_json_is_refused(text: str, part: str) -> None:
    with pytest.raises(InvalidGenesis, match=part):
        decode_json(text)


def test_files_are_named_in_errors(tmp_path: Path) -> None:
    path = tmp_path / "genesis.json"
    with pytest.raises(InvalidGenesis, match=r"genesis\.json: No such file") as caught:
        load_genesis(path)
    assert caught.value.hint is not None
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidGenesis, match=r"genesis\.json: not UTF-8"):
        load_genesis(path)
    path.write_text(json.dumps(changed("gasLimit", 1)))
    with pytest.raises(InvalidGenesis, match=r"genesis\.json: gasLimit: got 1"):
        load_genesis(path)
    path.write_text(json.dumps(GOOD))
    assert load_genesis(path) == parse_genesis(GOOD)
    with pytest.raises(InvalidGenesis, match="directory"):
        load_genesis(tmp_path)


# ---------------------------------------------------------------- nothing but InvalidGenesis

strings = st.text(max_size=8) | st.sampled_from(
    ["0x", "0x0", "0X1", "-1", "1e3", ADDRESS, "0x" + "00" * 32, "٣", "0x٣"]
)
scalars: st.SearchStrategy[Any] = st.none() | st.booleans() | st.integers(-(2**70), 2**300) | st.floats() | strings
names = st.sampled_from([
    "config", "alloc", "chainId", "balance", "nonce", "code", "storage", "gasLimit", "dmchain", "timestamps", "pragueTime",
    "osakaTime", "difficulty", "timestamp", "extraData", "validators", ADDRESS,
])  # fmt: skip
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names | strings, inner, max_size=4),
    max_leaves=12,
)


def parse_or_refuse(document: Any) -> None:
    try:
        genesis = parse_genesis(document)
    except InvalidGenesis as error:
        assert str(error)
        return
    assert genesis.rules.chain_id > 0
    genesis.header(genesis.prev_randao).encode()


@given(documents)
@settings(max_examples=300, deadline=None)
def test_arbitrary_documents_are_read_or_refused(document: Any) -> None:
    parse_or_refuse(document)


def paths(document: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = [path] if path else []
    if isinstance(document, dict):
        for key, value in document.items():
            found += paths(value, (*path, key))
    return found


@given(path=st.sampled_from(paths(GOOD)), value=documents, renamed=st.none() | names | strings)
@settings(max_examples=500, deadline=None)
def test_damaged_documents_are_read_or_refused(path: tuple[str, ...], value: Any, renamed: str | None) -> None:
    document = copy.deepcopy(GOOD)
    at = document
    for part in path[:-1]:
        at = at[part]
    if renamed is not None:
        value = at.pop(path[-1])
        at[renamed] = value
    else:
        at[path[-1]] = value
    parse_or_refuse(document)


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: raw.decode("latin-1")))
@settings(max_examples=300, deadline=None)
def test_arbitrary_text_is_read_or_refused(text: str) -> None:
    try:
        document = decode_json(text)
    except InvalidGenesis:
        return
    parse_or_refuse(document)
