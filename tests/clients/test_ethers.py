"""ethers over HTTP and WebSocket."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from eth_account.signers.local import LocalAccount

from tests.clients.toolchain import Contract

RECIPIENT = "0x000000000000000000000000000000000000cAFe"


def test_transactions_of_every_type(run_script: Callable[..., Any], account: LocalAccount, probe: Contract) -> None:
    told = run_script(
        "ethers_transactions",
        privateKey=account.key.to_0x_hex(),
        probe=probe.as_json(),
        recipient=RECIPIENT.lower(),
    )
    types = {name: each["transaction"]["type"] for name, each in told.items()}
    assert types == {"legacy": 0, "eip2930": 1, "eip1559": 2, "explicit": 2, "eip7702": 4}
    assert [each["receipt"]["status"] for each in told.values()] == [1] * 5
    assert told["eip2930"]["receipt"]["gasUsed"] == str(21000 + 2400 + 1900)
    for name in ("legacy", "eip2930", "eip1559", "explicit"):
        assert told[name]["transaction"]["hash"] == told[name]["sentHash"] == told[name]["receipt"]["hash"]
    delegated = told["eip7702"]
    assert delegated["code"] == "0xef0100" + delegated["probe"][2:].lower()
    assert delegated["self"] == delegated["account"]


def test_contracts_events_errors_and_reads(
    run_script: Callable[..., Any], account: LocalAccount, tokens: dict[str, Contract], probe: Contract
) -> None:
    told = run_script(
        "ethers_contracts",
        privateKey=account.key.to_0x_hex(),
        recipient=RECIPIENT.lower(),
        coin=tokens["Coin"].as_json(),
        card=tokens["Card"].as_json(),
        probe=probe.as_json(),
    )
    assert [(e["from"], e["to"].lower(), e["value"]) for e in told["watched"]] == [
        (account.address, RECIPIENT.lower(), "7")
    ]
    assert told["transferStatus"] == 1
    assert 21000 < int(told["estimate"]) <= int(told["gasUsed"])
    assert told["mints"] == [["0x" + "00" * 20, account.address, "5"]]
    assert told["owner"] == account.address
    assert sorted(told["balances"]) == ["7", "993"]
    assert told["blockHasTransfer"]
    errors = told["errors"]
    assert (errors["missingCard"]["name"], errors["missingCard"]["args"]) == ("ERC721NonexistentToken", ["6"])
    for way in ("call", "estimate", "send"):
        assert (errors[way]["name"], errors[way]["args"]) == ("TooMuch", [account.address, "101", "100"]), way
    assert errors["mined"] != "no failure"
    assert errors["text"]["reason"] == "asked for it"
    assert errors["panic"]["args"] == [18]
    assert int(told["feeData"]["maxFeePerGas"]) > 0


def test_websocket_provider_hears_heads_events_and_pending(
    run_script: Callable[..., Any], account: LocalAccount, tokens: dict[str, Contract]
) -> None:
    seen = run_script(
        "ethers_subscriptions",
        privateKey=account.key.to_0x_hex(),
        recipient=RECIPIENT.lower(),
        coin=tokens["Coin"].as_json(),
    )
    values, first = [int(value) for value in seen["values"]], int(seen["first"])
    assert values == [*range(first, first + len(values) - 2), 100, 101]
    numbers = seen["numbers"]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert seen["pending"] == 1
