"""viem over HTTP and WebSocket."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from eth_account.signers.local import LocalAccount

from tests.clients.nodes import Node, RpcError
from tests.clients.toolchain import Contract

RECIPIENT = "0x000000000000000000000000000000000000bEEF"
METHOD_NOT_FOUND = -32601
STRANGER = "0x1111111111111111111111111111111111111111"


def test_transactions_of_every_type(run_script: Callable[..., Any], account: LocalAccount, probe: Contract) -> None:
    told = run_script(
        "viem_transactions", privateKey=account.key.to_0x_hex(), probe=probe.as_json(), recipient=RECIPIENT
    )
    types = {name: (each["receipt"]["type"], each["transaction"]["type"]) for name, each in told.items()}
    assert types == {
        "legacy": ("legacy", "legacy"),
        "eip2930": ("eip2930", "eip2930"),
        "eip1559": ("eip1559", "eip1559"),
        "explicit": ("eip1559", "eip1559"),
        "eip7702": ("eip7702", "eip7702"),
    }
    for name, each in told.items():
        receipt, transaction = each["receipt"], each["transaction"]
        assert receipt["status"] == "success", name
        assert receipt["blockHash"] == transaction["blockHash"]
        assert int(receipt["effectiveGasPrice"]) <= int(transaction.get("maxFeePerGas", transaction["gasPrice"]))
        assert int(receipt["gasUsed"]) <= int(transaction["gas"])
    assert told["eip2930"]["receipt"]["gasUsed"] == str(21000 + 2400 + 1900)
    delegated = told["eip7702"]
    assert delegated["code"] == "0xef0100" + delegated["probe"][2:].lower()
    assert delegated["delegation"].lower() == delegated["probe"].lower()
    assert delegated["self"] == delegated["account"]


def test_contracts_events_errors_and_reads(
    run_script: Callable[..., Any], account: LocalAccount, tokens: dict[str, Contract], probe: Contract
) -> None:
    told = run_script(
        "viem_contracts",
        privateKey=account.key.to_0x_hex(),
        recipient=RECIPIENT,
        stranger=STRANGER,
        coin=tokens["Coin"].as_json(),
        card=tokens["Card"].as_json(),
        probe=probe.as_json(),
    )
    assert (told["transfer"]["status"], told["transfer"]["logs"], told["mint"]) == ("success", 1, "success")
    assert told["changes"] == [{"from": account.address, "to": RECIPIENT, "value": "7"}]
    assert (told["again"], told["everything"], told["uninstalled"]) == (0, ["7"], True)
    assert told["balances"] == ["993", "7"]
    assert told["name"] == "Coin"
    assert told["events"] == ["Transfer", "Transfer"]
    assert told["logs"] == ["1000", "7"]
    assert told["owner"] == account.address
    too_much = {"name": "TooMuch", "args": [account.address, "101", "100"], "reason": None}
    assert told["errors"] == {
        "missingCard": {"name": "ERC721NonexistentToken", "args": ["6"], "reason": None},
        "simulate": too_much,
        "estimate": too_much,
        "text": {"name": "Error", "args": ["asked for it"], "reason": "asked for it"},
        "panic": {
            "name": "Panic",
            "args": ["18"],
            "reason": "Division or modulo by zero (e.g. `5 / 0` or `23 % 0`).",
        },
        "nothing": {"name": None, "args": None, "reason": "execution reverted"},
    }
    assert 21000 < int(told["estimate"]) <= int(told["transfer"]["gasUsed"])
    assert told["estimatePoor"] == "21000"
    assert told["deployless"] == "100"
    assert [entry["address"].lower() for entry in told["accessList"]] == [told["coin"].lower()]
    assert len(told["accessList"][0]["storageKeys"]) == 2
    assert int(told["fees"]["maxFeePerGas"]) >= int(told["fees"]["maxPriorityFeePerGas"])
    assert len(told["history"]["baseFeePerGas"]) == 3
    assert (told["proof"], int(told["storage"], 16)) == ("1000", 1000)
    assert int(told["blobBaseFee"]) >= 1


def test_simulated_blocks_build_on_each_other_and_leave_nothing(
    node: Node, run_script: Callable[..., Any], account: LocalAccount, tokens: dict[str, Contract]
) -> None:
    try:
        node.call("eth_simulateV1", {"blockStateCalls": []}, "latest")
    except RpcError as error:
        if error.code == METHOD_NOT_FOUND:
            pytest.skip("the node has no eth_simulateV1 yet")
    told = run_script(
        "viem_simulate", privateKey=account.key.to_0x_hex(), recipient=RECIPIENT, coin=tokens["Coin"].as_json()
    )
    if node.kind != "anvil":  # which counts from the head itself
        assert told["numbers"] == [str(int(told["height"]) + 1), str(int(told["height"]) + 2)]
    assert told["timestamp"] == str(10**11)
    assert told["calls"] == [
        [["success", 1, None], ["success", 0, "1"]],
        [["success", 1, None], ["success", 0, "2"]],
    ]
    assert told["after"] == "0"


def test_watchers_see_every_event_once_and_in_order(
    run_script: Callable[..., Any], account: LocalAccount, tokens: dict[str, Contract]
) -> None:
    told = run_script(
        "viem_subscriptions",
        privateKey=account.key.to_0x_hex(),
        recipient=RECIPIENT,
        coin=tokens["Coin"].as_json(),
    )
    for transport in ("ws", "http"):
        seen = told[transport]
        values = [int(value) for value in seen["values"]]
        first = int(seen["first"])
        assert values == [*range(first, first + len(values) - 2), 100, 101], transport
        numbers = [int(number) for number in seen["numbers"]]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), transport
        assert seen["linked"], transport
        assert seen["pending"] == 1, transport
