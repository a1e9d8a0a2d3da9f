"""Any method with any arguments: an answer or an error, never an unexpected exception."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dmchain.chain.primitives.block import Log
from dmchain.rpc.api import build_methods
from dmchain.rpc.backend import Backend
from dmchain.rpc.jsonrpc import parse_request
from dmchain.rpc.registry import Job
from tests.rpc.asking import Asker
from tests.rpc.fake import ALICE, BOB, EMITTER, FakeChain, make_backend, transfer

ADDRESSES = ["0x" + address.hex() for address in (ALICE, BOB, EMITTER)]
HASH = "0x" + "ab" * 32


def make_asker() -> Asker:
    chain = FakeChain()
    chain.mine([transfer()], {0: [Log(EMITTER, (b"\xab" * 32,), b"")]})
    chain.add_waiting(transfer(nonce=1))
    return Asker(make_backend(chain))


ASKER = make_asker()
NAMES = sorted(build_methods(ASKER.backend))

near_valid: st.SearchStrategy[Any] = st.sampled_from(
    [*ADDRESSES, HASH, "0x", "0x0", "0x1", "0x2", "0x01", "latest", "pending", "earliest", "0x" + transfer().hash.hex(),
     "0x" + transfer(nonce=5).raw.hex(), "newHeads", "logs", True, False, None, 0, 1, 2**53, 1.5, "", "\u0661", [], {},
     "0x" + "f" * 64, "0x" + "f" * 16]
)  # fmt: skip
numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
scalars = near_valid | numbers | st.text(max_size=10)
KEYS = [
    "from",
    "to",
    "gas",
    "gasPrice",
    "maxFeePerGas",
    "value",
    "nonce",
    "data",
    "input",
    "accessList",
    "address",
    "storageKeys",
    "topics",
    "fromBlock",
    "toBlock",
    "blockHash",
    "blockNumber",
    "limit",
    "cursor",
    "owner",
    "tracer",
    "state",
    "stateDiff",
    "balance",
    "code",
    "number",
    "time",
    "type",
    "chainId",
    "authorizationList",
    "timestamp",
    "blocks",
    "forking",
    "types",
    "primaryType",
    "domain",
    "message",
]
KEYS += ADDRESSES
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=800, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(NAMES), st.lists(values, max_size=4) | st.dictionaries(st.sampled_from(KEYS), values, max_size=3)
)
def test_no_arguments_make_a_method_fail_unexpectedly(name: str, params: Any) -> None:
    answer = ASKER.begin(orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": name, "params": params}))
    if isinstance(answer, Job):
        answer = ASKER.dispatcher.expire(answer)
    parsed = orjson.loads(answer)
    assert ("result" in parsed) != ("error" in parsed)
    if "error" in parsed:
        assert parsed["error"]["code"] != -32603, parsed
        assert "Traceback" not in parsed["error"]["message"]
    # Keep the pool small, whatever was sent.
    while len(ASKER.backend.chain.waiting) > 5:  # type: ignore[attr-defined]
        ASKER.backend.chain.waiting.popitem()  # type: ignore[attr-defined]


@given(
    st.binary(max_size=200) | st.text(max_size=100).map(lambda text: orjson.dumps({"jsonrpc": "2.0", "method": text}))
)
def test_no_body_makes_the_dispatcher_fail(body: bytes) -> None:
    for entry in parse_request(body).entries:
        answer = ASKER.dispatcher.start(entry, ASKER.context())
        assert isinstance(answer, Job) or answer == b"" or orjson.loads(answer)
    assert not ASKER.bugs


def test_every_method_answers_a_call_without_arguments() -> None:
    for backend in (make_backend(), Backend(FakeChain())):
        asker = Asker(backend)
        for name in build_methods(backend):
            answer = asker.begin(orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": name}))
            assert isinstance(answer, bytes)
            error = orjson.loads(answer).get("error")
            assert error is None or error["code"] in (-32602, -32601, -32000), (name, error)
