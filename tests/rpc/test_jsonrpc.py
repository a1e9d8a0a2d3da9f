"""The JSON-RPC 2.0 core: what bodies become, and what answers look like."""

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmchain.rpc.errors import INVALID_PARAMS, INVALID_REQUEST, PARSE_ERROR, InvalidParams, RpcError
from dmchain.rpc.jsonrpc import (
    Call,
    Malformed,
    Request,
    encode_batch,
    encode_error,
    encode_notification,
    encode_result,
    parse_request,
)


def only(body: bytes) -> Call | Malformed:
    request = parse_request(body)
    assert not request.is_batch and len(request.entries) == 1
    return request.entries[0]


def call(**members: object) -> bytes:
    return orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": "m", **members})


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ('"id":1,"method":"m","params":[1]', Call(b"1", "m", [1])),
        ('"id":1,"method":"m"', Call(b"1", "m", [])),
        ('"id":1,"method":"m","params":null', Call(b"1", "m", [])),
        ('"id":1,"method":"m","params":[]', Call(b"1", "m", [])),
        ('"id":1,"method":"m","params":{"a":2}', Call(b"1", "m", {"a": 2})),
        ('"method":"m"', Call(None, "m", [])),
        ('"id":null,"method":"m"', Call(b"null", "m", [])),
        ('"id":"x\\"y","method":"m"', Call(b'"x\\"y"', "m", [])),
        ('"id":"","method":"m"', Call(b'""', "m", [])),
        ('"id":-7,"method":"m"', Call(b"-7", "m", [])),
        ('"id":1.5,"method":"m"', Call(b"1.5", "m", [])),
        ('"id":true,"method":"m"', Call(b"true", "m", [])),
        ('"id":1,"method":"a","method":"b"', Call(b"1", "b", [])),  # of duplicate keys the last counts, as in Go
        ('"id":1,"method":"m","extra":{}', Call(b"1", "m", [])),
    ],
)
def test_well_formed_calls(members: str, expected: Call) -> None:
    assert only(b'{"jsonrpc":"2.0",%b}' % members.encode()) == expected


@pytest.mark.parametrize("digits", ["18446744073709551616", "123456789012345678901234567890", "-9223372036854775809"])
def test_ids_over_64_bits_go_back_digit_for_digit(digits: str) -> None:
    body = b'{"jsonrpc":"2.0","id":%b,"method":"m"}' % digits.encode()
    assert only(body) == Call(digits.encode(), "m", [])
    batch = parse_request(b'[%b,7,{"jsonrpc":"2.0","id":%b,"method":1}]' % (body, digits.encode()))
    assert [entry.id for entry in batch.entries] == [digits.encode(), b"null", digits.encode()]


@pytest.mark.parametrize(
    ("body", "code", "id_"),
    [
        (b"", PARSE_ERROR, b"null"),
        (b"   ", PARSE_ERROR, b"null"),
        (b"{", PARSE_ERROR, b"null"),
        (b"\xff\xfe", PARSE_ERROR, b"null"),
        (b'{"jsonrpc":"2.0","id":1,"method":"m","params":[NaN]}', PARSE_ERROR, b"null"),
        (b'{"jsonrpc":"2.0","id":1,"method":"m","params":[1e999]}', PARSE_ERROR, b"null"),
        (b'{"jsonrpc":"2.0","id":1,"method":"\\ud800"}', PARSE_ERROR, b"null"),
        (b"[" * 2000 + b"]" * 2000, PARSE_ERROR, b"null"),
        (b"1", INVALID_REQUEST, b"null"),
        (b'"text"', INVALID_REQUEST, b"null"),
        (b"null", INVALID_REQUEST, b"null"),
        (b"{}", INVALID_REQUEST, b"null"),
        (b'{"id":5,"method":"m"}', INVALID_REQUEST, b"5"),
        (b'{"jsonrpc":2.0,"id":5,"method":"m"}', INVALID_REQUEST, b"5"),
        (b'{"jsonrpc":"1.0","id":5,"method":"m"}', INVALID_REQUEST, b"5"),
        (b'{"jsonrpc":"2.0","id":5}', INVALID_REQUEST, b"5"),
        (b'{"jsonrpc":"2.0","id":5,"method":""}', INVALID_REQUEST, b"5"),
        (b'{"jsonrpc":"2.0","id":5,"method":["m"]}', INVALID_REQUEST, b"5"),
        (b'{"jsonrpc":"2.0","id":[1],"method":"m"}', INVALID_REQUEST, b"null"),
        (b'{"jsonrpc":"2.0","id":{},"method":"m"}', INVALID_REQUEST, b"null"),
        (b'{"jsonrpc":"2.0","id":5,"method":"m","params":"text"}', INVALID_PARAMS, b"5"),
        (b'{"jsonrpc":"2.0","id":5,"method":"m","params":7}', INVALID_PARAMS, b"5"),
        (b"[]", INVALID_REQUEST, b"null"),
    ],
)
def test_malformed_bodies_are_answered_with_an_error(body: bytes, code: int, id_: bytes) -> None:
    entry = only(body)
    assert isinstance(entry, Malformed)
    assert entry.error.code == code
    assert entry.id == id_


def test_a_malformed_notification_is_not_answered() -> None:
    entry = only(b'{"jsonrpc":"2.0","method":"m","params":7}')
    assert isinstance(entry, Malformed) and entry.id is None


def test_a_batch_keeps_its_order_and_its_bad_entries() -> None:
    request = parse_request(b'[%b,1,{"jsonrpc":"2.0","method":"n"},[]]' % call())
    assert request.is_batch
    assert [type(entry) for entry in request.entries] == [Call, Malformed, Call, Malformed]


def test_a_batch_that_is_too_large_gets_one_error() -> None:
    body = b"[%b]" % b",".join([call()] * 3)
    assert len(parse_request(body, 3).entries) == 3
    refused = parse_request(body, 2)
    assert not refused.is_batch
    assert isinstance(refused.entries[0], Malformed)
    assert "got 3 entries, the limit is 2" in str(refused.entries[0].error)


def test_text_bodies_are_taken_as_bytes_are() -> None:
    assert parse_request(call().decode()) == parse_request(call())


def test_answers() -> None:
    assert encode_result(b"1", "0x1") == b'{"jsonrpc":"2.0","id":1,"result":"0x1"}'
    assert encode_result(b'"a"', None) == b'{"jsonrpc":"2.0","id":"a","result":null}'
    assert orjson.loads(encode_error(b"null", InvalidParams("bad"))) == {
        "jsonrpc": "2.0",
        "id": None,
        "error": {"code": -32602, "message": "bad"},
    }
    assert orjson.loads(encode_error(b"2", RpcError("m", data="0x08", hint="do this"))) == {
        "jsonrpc": "2.0",
        "id": 2,
        "error": {"code": -32000, "message": "m; do this", "data": "0x08"},
    }
    assert orjson.loads(encode_error(b"2", RpcError("bad \ud800 text")))["error"]["message"] == "bad ? text"
    assert encode_batch([b"1", b"", b"2"]) == b"[1,2]"
    assert encode_batch([b"", b""]) == b""
    assert orjson.loads(encode_notification("0x1", b'{"a":1}')) == {
        "jsonrpc": "2.0",
        "method": "eth_subscription",
        "params": {"subscription": "0x1", "result": {"a": 1}},
    }


@given(st.binary(max_size=300))
def test_no_bytes_raise(body: bytes) -> None:
    assert isinstance(parse_request(body), Request)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
messages = st.dictionaries(
    st.sampled_from(["jsonrpc", "id", "method", "params", "x"]), json_values | st.just("2.0"), max_size=5
)


@given(json_values | messages | st.lists(messages, max_size=5))
def test_no_json_raises_and_ids_go_back_unchanged(value: object) -> None:
    body = json.dumps(value).encode("utf-8", "surrogatepass")
    request = parse_request(body)
    for entry in request.entries:
        if isinstance(entry, Call) and entry.id is not None:
            source = value[request.entries.index(entry)] if isinstance(value, list) else value
            assert isinstance(source, dict)
            assert json.loads(entry.id) == source["id"] or source["id"] != source["id"]
