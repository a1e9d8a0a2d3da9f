"""eth_call and its kin, filling in, and sending."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from dmchain.chain.primitives.errors import InsufficientFunds
from dmchain.rpc.backend import PENDING, CallLimits, CallRequest, ExecutionResult
from dmchain.rpc.errors import execution_error
from dmchain.rpc.jsonrpc import Call
from dmchain.rpc.registry import Job
from tests.rpc.asking import Asker, Refused
from tests.rpc.fake import ALICE, BASE_FEE, BOB, CHAIN_ID, EMITTER, TIP, FakeChain, transfer

FROM, TO = "0x" + ALICE.hex(), "0x" + BOB.hex()


def refused(ask: Asker, method: str, *params: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        ask(method, *params)
    return caught.value


class Recorder:
    """Keeps the last request."""

    def __init__(self, result: ExecutionResult | None = None) -> None:
        self.result = result or ExecutionResult(b"\xab", 30_000)
        self.request: CallRequest
        self.limits: CallLimits

    def __call__(self, request: CallRequest, limits: CallLimits) -> ExecutionResult:
        self.request, self.limits = request, limits
        return self.result


@pytest.fixture
def recorder(chain: FakeChain) -> Recorder:
    chain.on_call = Recorder()
    return chain.on_call


def test_a_call_answers_its_output(ask: Asker, recorder: Recorder) -> None:
    assert ask("eth_call", {"to": TO, "input": "0x01"}, "latest") == "0xab"
    message = recorder.request.message
    assert (message.sender, message.to, message.data) == (bytes(20), BOB, b"\x01")
    assert recorder.request.at == 0 and recorder.limits.gas_cap == 50_000_000
    assert (message.max_fee_per_gas, message.max_priority_fee_per_gas) == (None, None)


@pytest.mark.parametrize(
    ("members", "cap", "tip"),
    [
        ({"gasPrice": "0x5"}, 5, 5),
        ({"maxFeePerGas": "0x5", "maxPriorityFeePerGas": "0x2"}, 5, 2),
        ({"maxFeePerGas": "0x5"}, 5, 0),
        ({"maxPriorityFeePerGas": "0x2"}, None, None),
    ],
)
def test_fees_of_calls(ask: Asker, recorder: Recorder, members: dict[str, str], cap: Any, tip: Any) -> None:
    ask("eth_call", {"to": TO, **members}, "latest")
    assert recorder.request.message.max_fee_per_gas == cap
    assert recorder.request.message.max_priority_fee_per_gas == tip


def test_calls_take_every_shape_that_clients_send(ask: Asker, recorder: Recorder) -> None:
    full = {"from": FROM, "to": TO, "value": "0x1", "input": "0x00", "data": "0x00", "chainId": hex(CHAIN_ID)}
    ask("eth_call", full, "latest", {TO: {"balance": "0x1"}}, {"time": "0x5"})
    assert recorder.request.state_overrides[BOB].balance == 1
    assert recorder.request.block_overrides.timestamp == 5
    ask("eth_call", {"data": "0x60"})
    assert recorder.request.message.to == b""
    ask("eth_call", {"to": None, "data": "0x60"}, "pending")
    assert recorder.request.at is PENDING
    ask("eth_call", full, "latest", {}, {})
    ask("eth_call", full, None, None, None)
    ask("eth_estimateGas", {"from": FROM, "to": TO, "value": "0x1"})
    ask("eth_estimateGas", {"from": FROM, "to": None, "input": "0x60"}, "pending")


def test_another_chains_id_is_refused(ask: Asker) -> None:
    error = refused(ask, "eth_call", {"to": TO, "chainId": "0x1"}, "latest")
    assert error.message == "chainId does not match node's (have=1, want=1337)"


@pytest.mark.parametrize("method", ["eth_call", "eth_estimateGas"])
def test_reverts_are_the_same_from_call_and_estimate(ask: Asker, chain: FakeChain, method: str) -> None:
    data = bytes.fromhex("4e487b71") + (0x11).to_bytes(32, "big")
    result = ExecutionResult(data, 30_000, "execution reverted", data)
    chain.on_call = Recorder(result)
    error = refused(ask, method, {"to": TO}, "latest")
    assert (error.code, error.data) == (3, "0x" + data.hex())
    assert error.message == str(execution_error(result))


def test_a_message_that_cannot_start_keeps_its_words(ask: Asker, chain: FakeChain) -> None:
    def broke(request: CallRequest, limits: CallLimits) -> ExecutionResult:
        raise InsufficientFunds("insufficient funds for gas * price + value: balance 0, tx cost 1", hint="fund it")

    chain.on_call = broke
    error = refused(ask, "eth_call", {"to": TO}, "latest")
    assert error.code == -32000
    assert error.message == "insufficient funds for gas * price + value: balance 0, tx cost 1; fund it"


def test_a_bug_is_reported_and_not_shown(ask: Asker, chain: FakeChain) -> None:
    def broken(request: CallRequest, limits: CallLimits) -> ExecutionResult:
        raise ZeroDivisionError("secret")

    chain.on_call = broken
    job = ask.dispatcher.start(Call(b"1", "eth_call", [{"to": TO}]), ask.context())
    assert isinstance(job, Job)
    answer = ask.dispatcher.run(job)
    assert isinstance(answer, bytes)
    assert orjson.loads(answer)["error"] == {"code": -32603, "message": "internal error"}
    assert [name for name, _ in ask.bugs] == ["eth_call"]


def test_access_lists(ask: Asker, chain: FakeChain) -> None:
    answer = ask("eth_createAccessList", {"from": FROM, "to": TO}, "latest")
    assert answer["accessList"] == [{"address": "0x" + EMITTER.hex(), "storageKeys": [f"0x{1:064x}"]}]
    assert "error" not in answer
    chain.on_call = Recorder(ExecutionResult(b"", 9, "execution reverted", b""))
    assert ask("eth_createAccessList", {"to": TO})["error"] == "execution reverted"


# ---------------------------------------------------------------- filling in


def test_filling_in_a_transfer(ask: Asker, recorder: Recorder, chain: FakeChain) -> None:
    chain.add_waiting(transfer())
    answer = ask("eth_fillTransaction", {"from": FROM, "to": TO, "value": "0x1"})
    tx = answer["tx"]
    assert (tx["type"], tx["nonce"], tx["gas"], tx["chainId"]) == ("0x2", "0x1", hex(30_000), hex(CHAIN_ID))
    assert tx["maxPriorityFeePerGas"] == hex(TIP)
    assert tx["maxFeePerGas"] == hex(2 * BASE_FEE + TIP)
    assert (tx["v"], tx["r"], tx["s"]) == ("0x0", "0x0", "0x0")
    assert answer["raw"].startswith("0x02")


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, "0x2"),
        ({"type": "0x0"}, "0x0"),
        ({"type": "0x1"}, "0x1"),
        ({"gasPrice": "0x9"}, "0x0"),
        ({"gasPrice": "0x9", "type": "0x1"}, "0x1"),
        ({"gasPrice": "0x9", "accessList": []}, "0x1"),
        ({"accessList": []}, "0x2"),
        ({"maxFeePerGas": "0x9"}, "0x2"),
        ({"authorizationList": []}, "0x4"),
    ],
)
def test_the_type_follows_the_members(ask: Asker, members: dict[str, Any], expected: str) -> None:
    assert ask("eth_fillTransaction", {"from": FROM, "to": TO, **members})["tx"]["type"] == expected


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"type": "0x0", "maxFeePerGas": "0x9"}, "type: the members given need type 2, got 0"),
        ({"type": "0x2", "gasPrice": "0x9"}, "type: the members given need type 0 or 1, got 2"),
        ({"type": "0x4"}, "got 4"),
        ({"type": "0x3"}, "transaction type not supported"),
        ({"to": None}, "contract creation without any data provided"),
        ({"chainId": "0x1"}, "chainId does not match"),
    ],
)
def test_members_that_do_not_fit(ask: Asker, members: dict[str, Any], text: str) -> None:
    assert text in refused(ask, "eth_fillTransaction", {"from": FROM, "to": TO, **members}).message


# ---------------------------------------------------------------- sending


def test_sending_answers_the_hash(ask: Asker, chain: FakeChain) -> None:
    tx = transfer()
    assert ask("eth_sendRawTransaction", "0x" + tx.raw.hex()) == "0x" + tx.hash.hex()
    error = refused(ask, "eth_sendRawTransaction", "0x" + tx.raw.hex())
    assert (error.code, error.message) == (-32000, "already known")


@pytest.mark.parametrize("raw", ["0x", "0x00", "0xc0", "0x02", "0x7f00", "0xff", "0x02c0"])
def test_bytes_that_are_no_transaction_are_refused(ask: Asker, raw: str) -> None:
    assert refused(ask, "eth_sendRawTransaction", raw).code == -32000


def begin(ask: Asker, method: str, *params: Any) -> Job:
    job = ask.begin(orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))
    assert isinstance(job, Job)
    return job


def test_with_automine_the_answer_waits_for_the_block(ask: Asker, chain: FakeChain) -> None:
    chain.settles = True
    tx = transfer()
    job = begin(ask, "eth_sendRawTransaction", "0x" + tx.raw.hex())
    assert ask.dispatcher.poll(job) is None
    chain.mine([tx])
    answer = ask.dispatcher.poll(job)
    assert answer is not None and orjson.loads(answer)["result"] == "0x" + tx.hash.hex()


def test_with_automine_the_answer_goes_out_all_the_same(ask: Asker, chain: FakeChain) -> None:
    chain.settles = True
    job = begin(ask, "eth_sendRawTransaction", "0x" + transfer().raw.hex())
    assert orjson.loads(ask.dispatcher.expire(job))["result"] == "0x" + transfer().hash.hex()


def test_sync_sending_answers_the_receipt(ask: Asker, chain: FakeChain) -> None:
    tx = transfer()
    job = begin(ask, "eth_sendRawTransactionSync", "0x" + tx.raw.hex(), 5000)
    assert job.deferred is not None and job.deferred.timeout_seconds == 5.0
    chain.mine([tx])
    answer = ask.dispatcher.poll(job)
    assert answer is not None and orjson.loads(answer)["result"]["transactionHash"] == "0x" + tx.hash.hex()


def test_sync_sending_times_out_with_the_hash(ask: Asker, chain: FakeChain) -> None:
    tx = transfer()
    job = begin(ask, "eth_sendRawTransactionSync", "0x" + tx.raw.hex(), 10**9)
    assert job.deferred is not None and job.deferred.timeout_seconds == 60.0
    error = orjson.loads(ask.dispatcher.expire(job))["error"]
    assert (error["code"], error["data"]) == (4, "0x" + tx.hash.hex())
