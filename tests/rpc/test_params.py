"""Arguments: what is taken, what is refused, and with which words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmchain.rpc.backend import AccountOverride, BlockOverrides
from dmchain.rpc.errors import InvalidParams
from dmchain.rpc.params import (
    EARLIEST,
    LATEST,
    PENDING_TAG,
    Argument,
    LogFilter,
    bind,
    log_filter_parser,
    parse_address,
    parse_authorization,
    parse_block_id,
    parse_block_number,
    parse_block_overrides,
    parse_data,
    parse_hash,
    parse_number,
    parse_quantity,
    parse_state_overrides,
    parse_storage_key,
    parse_transaction_args,
    parse_uint64,
)

ADDRESS = "0x" + "ab" * 20
HASH = "0x" + "cd" * 32
parse_log_filter = log_filter_parser(3, 2)


def refusal(parse: Any, value: Any) -> str:
    with pytest.raises(InvalidParams) as caught:
        parse(value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("0x0", 0), ("0x1", 1), ("0xFf", 255), ("0X10", 16), ("0x" + "f" * 64, 2**256 - 1)],
)
def test_quantities(value: str, expected: int) -> None:
    assert parse_quantity(value) == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0x", "at least one digit"),
        ("", "empty hex string"),
        ("1", "hex string without 0x prefix"),
        ("0x01", "leading zero digits"),
        ("0x00", "leading zero digits"),
        ("0xg", "invalid hex string"),
        ("0x-1", "invalid hex string"),
        ("0x 1", "invalid hex string"),
        ("0x1_0", "invalid hex string"),
        ("0x١", "invalid hex string"),
        ("0x1" + "0" * 64, "hex number > 256 bits"),
        (1, "expected a hex string, got 1"),
        (1.5, "expected a hex string, got 1.5"),
        (True, "expected a hex string, got true"),
        ([], "expected a hex string, got an array of 0"),
        ({}, "expected a hex string, got an object"),
    ],
)
def test_bad_quantities(value: Any, text: str) -> None:
    assert text in refusal(parse_quantity, value)


def test_quantities_have_a_width() -> None:
    assert parse_uint64("0xffffffffffffffff") == 2**64 - 1
    assert "hex number > 64 bits" in refusal(parse_uint64, "0x10000000000000000")


@pytest.mark.parametrize(
    ("value", "expected"), [(5, 5), ("5", 5), ("0x5", 5), ("0x0005", 5), (5.0, 5), ("0x" + "0" * 63 + "1", 1)]
)
def test_lenient_numbers(value: Any, expected: int) -> None:
    assert parse_number(value) == expected


@pytest.mark.parametrize(
    "value", [-1, "-1", 1.5, 1e300, "0x", "", "1e3", "٣", None, True, [], 2**256, "0x1" + "0" * 64]
)
def test_bad_lenient_numbers(value: Any) -> None:
    refusal(parse_number, value)


def test_data() -> None:
    assert parse_data("0x") == b""
    assert parse_data("0xABcd") == b"\xab\xcd"
    assert "odd length" in refusal(parse_data, "0x123")
    assert "invalid hex string" in refusal(parse_data, "0x12 34 ")
    assert "invalid hex string" in refusal(parse_data, "0xzz")
    assert "without 0x prefix" in refusal(parse_data, "1234")


def test_addresses_and_hashes_have_their_size() -> None:
    assert parse_address(ADDRESS.upper().replace("0X", "0x")) == b"\xab" * 20
    assert "length 38, want 40 for address" in refusal(parse_address, ADDRESS[:-2])
    assert "length 39, want 40" in refusal(parse_address, ADDRESS[:-1])
    assert "length 62, want 64 for hash" in refusal(parse_hash, HASH[:-2])
    assert "invalid hex string" in refusal(parse_address, "0x" + "é" * 40)


@pytest.mark.parametrize(
    ("value", "expected"), [("0x0", 0), ("0x00", 0), ("0x", 0), ("1f", 31), ("0x123", 0x123), (HASH, int(HASH, 16))]
)
def test_storage_keys_are_lenient(value: str, expected: int) -> None:
    assert parse_storage_key(value) == expected


def test_bad_storage_keys_have_geths_words() -> None:
    assert refusal(parse_storage_key, "0xasdf") == 'invalid hex in storage key: "0xasdf"'
    assert "storage key too long (want at most 32 bytes)" in refusal(parse_storage_key, "0x" + "0" * 65)
    assert "storage key: expected a hex string" in refusal(parse_storage_key, 7)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("latest", LATEST),
        ("safe", LATEST),
        ("finalized", LATEST),
        ("earliest", EARLIEST),
        ("pending", PENDING_TAG),
        ("0x10", 16),
        (HASH, b"\xcd" * 32),
        ({"blockHash": HASH}, b"\xcd" * 32),
        ({"blockHash": HASH, "requireCanonical": True}, b"\xcd" * 32),
        ({"blockNumber": "0x2"}, 2),
        ({"blockNumber": "pending"}, PENDING_TAG),
    ],
)
def test_block_ids(value: Any, expected: Any) -> None:
    assert parse_block_id(value) == expected
    assert type(parse_block_id(value)) is type(expected)


@pytest.mark.parametrize(
    "value",
    ["newest", "", "0x", "2", 2, "0x01", HASH[:-1], {}, {"blockHash": HASH, "blockNumber": "0x1"}, [], {"blockHash": 1},
     {"blockHash": HASH, "requireCanonical": "yes"}],
)  # fmt: skip
def test_bad_block_ids(value: Any) -> None:
    refusal(parse_block_id, value)


def test_a_block_number_is_no_hash() -> None:
    refusal(parse_block_number, HASH)


def test_transaction_args_take_both_names_of_data_and_nulls() -> None:
    args = parse_transaction_args({"to": None, "input": "0x01", "data": "0x01", "from": ADDRESS, "chainId": "0x1"})
    assert (args.to, args.data, args.sender, args.chain_id) == (None, b"\x01", b"\xab" * 20, 1)
    assert parse_transaction_args({"data": "0x02"}).data == b"\x02"
    assert 'both "data" and "input" are set' in refusal(parse_transaction_args, {"data": "0x", "input": "0x01"})
    blobs = {"blobs": ["0x00"], "commitments": [], "cellProofs": ["0x"], "blobVersionedHashes": [HASH]}
    assert parse_transaction_args(blobs).blob_versioned_hashes == (b"\xcd" * 32,)


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"from": "0x1"}, "from: hex string has length 1, want 40"),
        ({"gas": "0x01"}, "gas: hex number with leading zero digits"),
        ({"gas": 21000}, "gas: expected a hex string, got 21000"),
        ({"value": "1"}, "value: hex string without 0x prefix"),
        ({"gasPrice": "0x1", "maxFeePerGas": "0x1"}, "both gasPrice and"),
        ({"maxFeePerGas": "0x1", "maxPriorityFeePerGas": "0x2"}, "maxFeePerGas (1) < maxPriorityFeePerGas (2)"),
        ({"accessList": [{"address": ADDRESS, "storageKeys": ["0x0"]}]}, "accessList: entry 0: storageKeys: entry 0"),
        ({"accessList": [5]}, "accessList: entry 0: expected an object"),
        ({"accessList": {}}, "accessList: expected an array"),
        ({"authorizationList": [{}]}, "authorizationList: entry 0: missing member chainId"),
        ({"type": "0x7f"}, "type: expected at most 4, got 127"),
        ({"blobVersionedHashes": [HASH] * 200}, "array too long"),
    ],
)
def test_bad_transaction_args_name_the_member(members: dict[str, Any], text: str) -> None:
    assert text in refusal(parse_transaction_args, members)


def test_access_lists_and_authorizations() -> None:
    args = parse_transaction_args({"accessList": [{"address": ADDRESS, "storageKeys": [HASH]}, {"address": ADDRESS}]})
    assert args.access_list == ((b"\xab" * 20, (int(HASH, 16),)), (b"\xab" * 20, ()))
    members = {"chainId": "0x1", "address": ADDRESS, "nonce": "0x0", "r": HASH, "s": "0x01", "v": "0x1"}
    assert parse_authorization(members).y_parity == 1
    assert parse_authorization({**members, "yParity": 0}).y_parity == 0


def test_state_overrides() -> None:
    overrides = parse_state_overrides({
        ADDRESS: {"balance": "0x0a", "code": "0x00", "nonce": "0x1", "stateDiff": {HASH: "0x01"}},
        "0x" + "00" * 20: None,
    })  # fmt: skip
    assert overrides[parse_address(ADDRESS)] == AccountOverride(1, 10, b"\x00", None, {int(HASH, 16): 1})
    assert "both 'state' and 'stateDiff'" in refusal(parse_state_overrides, {ADDRESS: {"state": {}, "stateDiff": {}}})
    assert ADDRESS in refusal(parse_state_overrides, {ADDRESS: {"code": 1}})


def test_block_overrides_take_both_families_of_names() -> None:
    assert parse_block_overrides({"time": "0x5", "feeRecipient": ADDRESS, "prevRandao": HASH}) == BlockOverrides(
        timestamp=5, coinbase=parse_address(ADDRESS), prev_randao=parse_hash(HASH)
    )
    assert parse_block_overrides({"coinbase": ADDRESS, "baseFee": "0x7"}).base_fee == 7
    assert "at most 64 bits" in refusal(parse_block_overrides, {"number": "0x10000000000000000"})


def test_log_filters() -> None:
    address, topic = parse_address(ADDRESS), parse_hash(HASH)
    everything = LogFilter(None, None, None, frozenset(), ())
    assert parse_log_filter({}) == everything
    assert parse_log_filter({"address": None, "topics": None, "fromBlock": None}) == everything
    assert parse_log_filter({"address": ADDRESS}).addresses == {address}
    assert parse_log_filter({"address": [ADDRESS, ADDRESS]}).addresses == {address}
    one, anything = frozenset((topic,)), frozenset[bytes]()
    assert parse_log_filter({"topics": [None, HASH, [HASH], []]}).topics == (anything, one, one, anything)
    assert parse_log_filter({"topics": [[None, HASH]]}).topics == (frozenset(),)
    assert parse_log_filter({"fromBlock": "earliest", "toBlock": "0x5"}).last == 5
    assert parse_log_filter({"blockHash": HASH}).block_hash == topic


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"blockHash": HASH, "fromBlock": "0x1"}, "cannot specify both BlockHash and FromBlock/ToBlock"),
        ({"topics": [None] * 5}, "exceed max topics"),
        ({"topics": HASH}, "topics: expected an array"),
        ({"topics": [[HASH] * 3]}, "array too long: got 3 entries, the limit is 2"),
        ({"topics": [[[HASH]]]}, "position 0"),
        ({"address": [ADDRESS] * 4}, "array too long: got 4 entries, the limit is 3"),
        ({"address": {}}, "address: expected an array"),
        ({"address": ["0x1"]}, "address: entry 0"),
        ({"fromBlock": 1}, "fromBlock: expected a hex string"),
    ],
)
def test_bad_log_filters(members: dict[str, Any], text: str) -> None:
    assert text in refusal(parse_log_filter, members)


ARGUMENTS = (Argument("first", parse_quantity), Argument("second", parse_quantity, 9))


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        (["0x1"], [1, 9]),
        (["0x1", None], [1, 9]),
        (["0x1", "0x2"], [1, 2]),
        ({"first": "0x1"}, [1, 9]),
        ({"second": "0x3", "first": "0x1"}, [1, 3]),
    ],
)
def test_binding(params: Any, expected: list[int]) -> None:
    assert bind(params, ARGUMENTS) == expected


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ([], "missing value for required argument 0 (first)"),
        ([None], "missing value for required argument 0 (first)"),
        ({}, "missing value for required argument 0 (first)"),
        (["2"], "invalid argument 0 (first): hex string without 0x prefix"),
        (["0x1", "x"], "invalid argument 1 (second)"),
        (["0x1", "0x2", "0x3"], "too many arguments, want at most 2: got 3"),
        ({"third": 1}, 'unknown argument "third": expected one of first, second'),
    ],
)
def test_binding_names_the_argument(params: Any, text: str) -> None:
    with pytest.raises(InvalidParams) as caught:
        bind(params, ARGUMENTS)
    assert text in str(caught.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**64) | st.floats(allow_nan=False) | st.text(max_size=70)
    | st.from_regex(r"0x[0-9a-f]{0,70}", fullmatch=True),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(["from", "to", "gas", "data", "input", "accessList", "topics", "address", "blockHash", "state",
                         "fromBlock", "authorizationList", "type", ADDRESS, "stateDiff", "storageKeys"])
        | st.text(max_size=5),
        inner, max_size=4),
    max_leaves=15,
)  # fmt: skip


@given(json_values)
def test_parsers_answer_or_refuse_but_never_fail(value: Any) -> None:
    parsers = (
        parse_quantity, parse_number, parse_data, parse_address, parse_hash, parse_storage_key, parse_block_id,
        parse_block_number, parse_transaction_args, parse_state_overrides, parse_block_overrides, parse_log_filter,
        parse_authorization,
    )  # fmt: skip
    for parse in parsers:
        try:
            parse(value)
        except InvalidParams as error:
            assert str(error)


@given(st.integers(0, 2**256 - 1))
def test_every_quantity_is_read_back(number: int) -> None:
    assert parse_quantity(hex(number)) == parse_number(hex(number)) == parse_storage_key(hex(number)) == number
