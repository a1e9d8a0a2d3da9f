"""JSON-RPC 2.0 without I/O: bytes of a body in, calls and immediate errors out; results in, bytes out.

Source: https://www.jsonrpc.org/specification. Where it is silent we do as geth: an id may be a string, a number, a
boolean or null but no array or object; `params` may be absent or null. orjson refuses what JSON forbids (NaN,
infinities, lone surrogates, control characters, invalid UTF-8, more than 1024 levels); of duplicate keys the last one
counts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from dmchain.rpc.errors import InvalidParams, InvalidRequest, ParseError, RpcError

NULL_ID = b"null"

Params = list[Any] | dict[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """One call. `id` is the JSON text to repeat in the answer, None for a notification (which gets no answer)."""

    id: bytes | None
    method: str
    params: Params


@dataclass(frozen=True, slots=True)
class Malformed:
    """An entry that is answered with an error straight away. `id` is None when nothing is to be sent."""

    id: bytes | None
    error: RpcError


Entry = Call | Malformed


@dataclass(frozen=True, slots=True)
class Request:
    """A body: one entry, or the entries of a batch in order."""

    entries: Sequence[Entry]
    is_batch: bool


def parse_request(body: bytes | bytearray | str, max_batch_entries: int = 500) -> Request:
    """Parse a whole body; never raises: what is wrong becomes a Malformed entry.

    An empty batch and one of more than `max_batch_entries` are answered with a single error, id null.
    """
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return Request((Malformed(NULL_ID, ParseError(f"parse error: {error.msg}")),), False)
    if type(parsed) is not list:
        entry = _parse_entry(parsed)
        if type(parsed) is dict and _is_inexact(parsed.get("id")):
            (entry,) = _repair_ids(body, False, [entry])
        return Request((entry,), False)
    if not parsed:
        return Request((Malformed(NULL_ID, InvalidRequest("empty batch")),), False)
    if len(parsed) > max_batch_entries:
        problem = f"batch too large: got {len(parsed)} entries, the limit is {max_batch_entries}"
        return Request((Malformed(NULL_ID, InvalidRequest(problem)),), False)
    entries = [_parse_entry(item) for item in parsed]
    if any(type(item) is dict and _is_inexact(item.get("id")) for item in parsed):
        entries = _repair_ids(body, True, entries)
    return Request(entries, True)


def _parse_entry(item: Any) -> Entry:
    if type(item) is not dict:
        return Malformed(NULL_ID, InvalidRequest(f"invalid request: expected an object, got {describe(item)}"))
    id_: bytes | None = None
    if "id" in item:
        id_ = encode_id(item["id"])
        if id_ is None:
            problem = f"invalid request: id: expected a string, a number or null, got {describe(item['id'])}"
            return Malformed(NULL_ID, InvalidRequest(problem))
    method = item.get("method")
    if item.get("jsonrpc") != "2.0":
        problem = f'invalid request: jsonrpc: expected "2.0", got {describe(item.get("jsonrpc"))}'
        return Malformed(id_ or NULL_ID, InvalidRequest(problem))
    if type(method) is not str or not method:
        problem = f"invalid request: method: expected a name, got {describe(method)}"
        return Malformed(id_ or NULL_ID, InvalidRequest(problem))
    params = item.get("params")
    if params is None:
        params = []
    elif type(params) is not list and type(params) is not dict:
        problem = f"params: expected an array or an object, got {describe(params)}"
        return Malformed(id_, InvalidParams(problem))
    return Call(id_, method, params)


def encode_id(value: Any) -> bytes | None:
    """JSON text of an id, or None when it may not be one."""
    if type(value) is int:
        return b"%d" % value
    if value is None:
        return NULL_ID
    if type(value) in (str, float, bool):
        return orjson.dumps(value)
    return None


def _is_inexact(value: Any) -> bool:
    """Whether an id is an integer too large for orjson, which reads it as a float."""
    return type(value) is float and abs(value) >= 2**53


def _repair_ids(body: bytes | bytearray | str, is_batch: bool, entries: list[Entry]) -> list[Entry]:
    """Read the body again with numbers as text, so that an id like 2**64 goes back digit for digit. Rare.

    orjson has read it before: that bounds its depth, without which json could overflow the C stack.
    """
    try:
        parsed = json.loads(body, parse_int=_Digits, parse_float=_Digits)
    except (ValueError, RecursionError):
        return entries
    repaired: list[Entry] = []
    for item, entry in zip(parsed if is_batch else [parsed], entries, strict=True):
        id_ = item.get("id") if type(item) is dict else None
        if entry.id is not None and type(id_) is _Digits:
            exact = id_.encode()
            if isinstance(entry, Call):
                entry = Call(exact, entry.method, entry.params)
            else:
                entry = Malformed(exact, entry.error)
        repaired.append(entry)
    return repaired


class _Digits(str):
    """A number as it was written."""


def describe(value: Any) -> str:
    """What a client sent, in few words, for error messages."""
    if value is None:
        return "null"
    if value is True or value is False:
        return "true" if value else "false"
    if type(value) is str:
        return json.dumps(value if len(value) <= 66 else value[:64] + "…", ensure_ascii=False)
    if type(value) in (int, float):
        return str(value)
    if type(value) is list:
        return f"an array of {len(value)}"
    return "an object"


# ---------------------------------------------------------------- answers


def encode_result(id_: bytes, result: Any) -> bytes:
    """An answer. Raises TypeError when `result` is not fit for JSON, a bug of ours."""
    try:
        body = orjson.dumps(result)
    except orjson.JSONEncodeError:
        # orjson goes 254 levels deep, a trace of nested calls up to 2050
        body = json.dumps(result, separators=(",", ":")).encode()
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (id_, body)


def encode_error(id_: bytes, error: RpcError) -> bytes:
    """An error answer. The hint, if any, follows the text."""
    message = str(error) if error.hint is None else f"{error}; {error.hint}"
    # A text may quote bytes that are no UTF-8 (surrogate escapes): it must not make the answer fail.
    body: dict[str, Any] = {"code": error.code, "message": message.encode("utf-8", "replace").decode()}
    if error.data is not None:
        body["data"] = error.data
    return b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (id_, orjson.dumps(body))


def encode_batch(answers: Sequence[bytes]) -> bytes:
    """Join the answers of a batch; empty ones belong to notifications. b"" when there is nothing to send."""
    present = [answer for answer in answers if answer]
    return b"[%b]" % b",".join(present) if present else b""


def encode_notification(subscription: str, result: bytes) -> bytes:
    """An eth_subscription message; `result` is JSON text already, so that many subscribers share it."""
    return b'{"jsonrpc":"2.0","method":"eth_subscription","params":{"subscription":"%b","result":%b}}' % (
        subscription.encode(),
        result,
    )
