"""What a sender is told: pending nonces, refusals in the words clients look for, batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from eth_account.signers.local import LocalAccount

from tests.clients.nodes import Node, RpcError, poll

GWEI = 10**9
TO = "0x" + "33" * 20


def sign(node: Node, account: LocalAccount, nonce: int, **changes: Any) -> str:
    fields = {
        "type": 2,
        "chainId": node.chain_id,
        "to": TO,
        "value": 1,
        "gas": 21000,
        "nonce": nonce,
        "maxFeePerGas": 10 * GWEI,
        "maxPriorityFeePerGas": GWEI,
        **changes,
    }
    return str(account.sign_transaction(fields).raw_transaction.to_0x_hex())


def nonce_of(node: Node, account: LocalAccount, tag: str) -> int:
    return int(node.call("eth_getTransactionCount", account.address, tag), 16)


@pytest.fixture
def held(node: Node, account: LocalAccount) -> Iterator[Node]:
    """The node with block production by transactions switched off, once the account is funded."""
    node.call("evm_setAutomine", False)
    try:
        yield node
    finally:
        node.call("evm_mine")
        node.call("evm_setAutomine", True)


def test_pending_nonce_counts_what_waits_in_the_pool(held: Node, account: LocalAccount) -> None:
    hashes = [held.call("eth_sendRawTransaction", sign(held, account, nonce)) for nonce in range(3)]
    assert (nonce_of(held, account, "latest"), nonce_of(held, account, "pending")) == (0, 3)
    waiting = held.call("eth_getTransactionByHash", hashes[0])
    assert (waiting["blockHash"], waiting["blockNumber"], waiting["transactionIndex"]) == (None, None, None)
    assert held.call("eth_getTransactionReceipt", hashes[0]) is None
    held.call("evm_mine")
    assert nonce_of(held, account, "latest") == 3
    assert [held.call("eth_getTransactionReceipt", h)["status"] for h in hashes] == ["0x1"] * 3


def test_pending_nonce_stops_at_a_gap(node: Node, account: LocalAccount) -> None:
    late = node.call("eth_sendRawTransaction", sign(node, account, 1))
    assert nonce_of(node, account, "pending") == 0
    early = node.call("eth_sendRawTransaction", sign(node, account, 0))
    assert node.wait_for_receipt(early)["status"] == "0x1"
    assert node.wait_for_receipt(late)["status"] == "0x1"


def test_replacement_needs_a_higher_price(held: Node, account: LocalAccount) -> None:
    first = held.call("eth_sendRawTransaction", sign(held, account, 0))
    with pytest.raises(RpcError, match="replacement transaction underpriced"):
        held.call("eth_sendRawTransaction", sign(held, account, 0, value=2))
    second = held.call(
        "eth_sendRawTransaction",
        sign(held, account, 0, value=2, maxFeePerGas=12 * GWEI, maxPriorityFeePerGas=2 * GWEI),
    )
    held.call("evm_mine")
    assert held.wait_for_receipt(second)["status"] == "0x1"
    assert held.call("eth_getTransactionReceipt", first) is None


def test_replacement_of_a_transaction_that_waits_for_its_nonce(node: Node, account: LocalAccount) -> None:
    node.call("eth_sendRawTransaction", sign(node, account, 5))
    with pytest.raises(RpcError, match="replacement transaction underpriced"):
        node.call("eth_sendRawTransaction", sign(node, account, 5, value=2))


def test_sent_twice_is_already_known(held: Node, account: LocalAccount) -> None:
    raw = sign(held, account, 0)
    held.call("eth_sendRawTransaction", raw)
    with pytest.raises(RpcError, match=r"already known|already imported"):
        held.call("eth_sendRawTransaction", raw)


def test_spent_nonce_is_too_low(node: Node, account: LocalAccount) -> None:
    node.wait_for_receipt(node.call("eth_sendRawTransaction", sign(node, account, 0)))
    with pytest.raises(RpcError, match="nonce too low"):
        node.call("eth_sendRawTransaction", sign(node, account, 0, value=9))


REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    "funds": ({"value": 10**20}, "(?i)insufficient funds for gas \\* price \\+ value"),
    "gas": ({"gas": 20999}, "intrinsic gas too low"),
    "block gas": ({"gas": 2**40}, "exceeds block gas limit|gas limit too high|intrinsic gas too high"),
    "tip": ({"maxPriorityFeePerGas": 11 * GWEI}, "max priority fee per gas higher than max fee per gas"),
}


@pytest.mark.parametrize("rule", REFUSALS)
def test_refusal_says_why(node: Node, account: LocalAccount, rule: str) -> None:
    changes, words = REFUSALS[rule]
    with pytest.raises(RpcError, match=words) as raised:
        node.call("eth_sendRawTransaction", sign(node, account, 0, **changes))
    if node.kind == "dmchain":
        assert raised.value.code == -32000


def test_floor_of_calldata_gas_is_enforced(own_node: Node, account: LocalAccount) -> None:
    """EIP-7623: 1000 non-zero bytes cost at least 21000 + 40 * 1000."""
    with pytest.raises(RpcError, match=r"(?i)floor|intrinsic"):
        own_node.call("eth_sendRawTransaction", sign(own_node, account, 0, data="0x" + "ff" * 1000, gas=60999))


def test_other_chains_transactions_are_refused(node: Node, account: LocalAccount) -> None:
    with pytest.raises(RpcError, match=r"(?i)chain.?id"):
        node.call("eth_sendRawTransaction", sign(node, account, 0, chainId=1))


def test_unfunded_account_can_call_but_not_send(own_node: Node, new_account: Callable[..., LocalAccount]) -> None:
    node = own_node
    poor = new_account(0)
    assert node.call("eth_estimateGas", {"from": poor.address, "to": TO}) == "0x5208"
    assert node.call("eth_call", {"from": poor.address, "to": TO}, "latest") == "0x"
    with pytest.raises(RpcError, match=r"(?i)insufficient funds"):
        node.call("eth_sendRawTransaction", sign(node, poor, 0))
    with pytest.raises(RpcError, match=r"(?i)insufficient funds"):
        node.call("eth_estimateGas", {"from": poor.address, "to": TO, "value": "0x1"})


def test_garbage_is_refused_and_the_node_lives(node: Node) -> None:
    for raw in ("0x", "0x02", "0xc0", "0x02c0", "0x03" + "00" * 50, "0xf8" + "ff" * 40):
        with pytest.raises(RpcError):
            node.call("eth_sendRawTransaction", raw)
    assert node.call("eth_chainId") == hex(node.chain_id)


def test_batch_answers_by_id_and_isolates_failures(node: Node, account: LocalAccount) -> None:
    answers = node.post(
        [
            {"jsonrpc": "2.0", "id": "text", "method": "eth_chainId"},
            {"jsonrpc": "2.0", "id": 7, "method": "eth_missing", "params": []},
            {
                "jsonrpc": "2.0",
                "id": 8,
                "method": "eth_sendRawTransaction",
                "params": [sign(node, account, 0)],
            },
            {"jsonrpc": "2.0", "id": 9, "method": "eth_getBalance", "params": ["0x12", "latest"]},
        ]
    )
    by_id = {answer["id"]: answer for answer in answers}
    assert set(by_id) == {"text", 7, 8, 9}
    assert by_id["text"]["result"] == hex(node.chain_id)
    assert by_id[7]["error"]["code"] == -32601
    assert by_id[9]["error"]["code"] == -32602
    assert node.wait_for_receipt(by_id[8]["result"])["status"] == "0x1"


def test_batch_of_a_hundred_transactions_is_mined(node: Node, account: LocalAccount) -> None:
    raws = [sign(node, account, nonce) for nonce in range(100)]
    answers = node.post(
        [{"jsonrpc": "2.0", "id": i, "method": "eth_sendRawTransaction", "params": [raw]} for i, raw in enumerate(raws)]
    )
    assert all("result" in answer for answer in answers), answers
    poll(lambda: nonce_of(node, account, "latest") == 100, "the hundredth transaction")
    for answer in answers:
        assert node.wait_for_receipt(answer["result"])["status"] == "0x1"


def test_transactions_of_a_batch_share_blocks_and_what_follows_sees_them(own_node: Node, account: LocalAccount) -> None:
    """Blocks are on demand, and every answer waits for its transaction's block; but not one by one."""
    before = int(own_node.call("eth_blockNumber"), 16)
    requests = [("eth_sendRawTransaction", [sign(own_node, account, nonce)]) for nonce in range(50)]
    requests.append(("eth_getTransactionCount", [account.address, "latest"]))
    answers = own_node.post(
        [{"jsonrpc": "2.0", "id": i, "method": m, "params": p} for i, (m, p) in enumerate(requests)]
    )
    assert [answer["id"] for answer in answers] == list(range(51))
    assert answers[50]["result"] == hex(50)
    assert int(own_node.call("eth_blockNumber"), 16) - before <= 25


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({"jsonrpc": "2.0", "id": 1, "method": 5}, -32600),
        ({"jsonrpc": "2.0", "id": 1}, -32600),
        ([], -32600),
        ([1], -32600),
        ({"jsonrpc": "2.0", "id": 1, "method": "eth_getBalance", "params": []}, -32602),
    ],
)
def test_malformed_requests_have_json_rpcs_codes(own_node: Node, payload: Any, code: int) -> None:
    answer = own_node.post(payload)
    answer = answer[0] if isinstance(answer, list) else answer
    assert answer["error"]["code"] == code
