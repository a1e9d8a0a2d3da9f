"""foundry's cast."""

from __future__ import annotations

import json
import os
import select
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from eth_account.signers.local import LocalAccount

from tests.clients.nodes import Node
from tests.clients.toolchain import CLIENTS, Contract, foundry_binary

RECIPIENT = "0x000000000000000000000000000000000000cA57"
Cast = Callable[..., Any]


@pytest.fixture
def key(account: LocalAccount) -> str:
    return account.key.to_0x_hex()


@pytest.fixture
def coin(cast: Cast, key: str, tokens: dict[str, Contract]) -> str:
    supply = (1000).to_bytes(32, "big").hex()
    created = cast("send", "--json", "--private-key", key, "--create", tokens["Coin"].bytecode + supply)
    assert created["status"] == "0x1"
    return str(created["contractAddress"])


@pytest.fixture
def probed(cast: Cast, key: str, probe: Contract) -> str:
    return str(cast("send", "--json", "--private-key", key, "--create", probe.bytecode)["contractAddress"])


TYPES = {
    "0x0": ["--legacy"],
    "0x1": [
        "--legacy",
        "--access-list",
        json.dumps([{"address": RECIPIENT, "storageKeys": ["0x" + "00" * 32]}]),
    ],
    "0x2": [],
}


@pytest.mark.parametrize("kind", TYPES)
def test_transfer_of_each_type(cast: Cast, key: str, account: LocalAccount, kind: str) -> None:
    receipt = cast("send", "--json", "--private-key", key, RECIPIENT, "--value", "1", *TYPES[kind])
    assert (receipt["status"], receipt["type"], receipt["from"].lower()) == (
        "0x1",
        kind,
        account.address.lower(),
    )
    mined = cast("tx", "--json", receipt["transactionHash"])
    assert (mined["type"], mined["blockHash"]) == (kind, receipt["blockHash"])
    assert cast("receipt", "--json", receipt["transactionHash"])["gasUsed"] == receipt["gasUsed"]


def test_set_code_transaction(cast: Cast, key: str, account: LocalAccount, probed: str) -> None:
    receipt = cast("send", "--json", "--private-key", key, account.address, "--auth", probed)
    assert (receipt["status"], receipt["type"]) == ("0x1", "0x4")
    assert cast("code", account.address) == "0xef0100" + probed[2:].lower()
    assert cast("call", account.address, "self()(address)") == account.address


def test_erc20_transfer_calls_logs_and_estimate(cast: Cast, key: str, account: LocalAccount, coin: str) -> None:
    estimate = int(cast("estimate", "--from", account.address, coin, "transfer(address,uint256)", RECIPIENT, "7"))
    receipt = cast("send", "--json", "--private-key", key, coin, "transfer(address,uint256)", RECIPIENT, "7")
    assert receipt["status"] == "0x1"
    assert int(receipt["gasUsed"], 16) <= estimate <= int(receipt["gasUsed"], 16) * 1.25
    assert cast("call", coin, "balanceOf(address)(uint256)", RECIPIENT) == "7"
    assert cast("call", coin, "symbol()(string)") == '"COIN"'
    logs = cast(
        "logs",
        "--json",
        "--from-block",
        "0",
        "--address",
        coin,
        "Transfer(address indexed,address indexed,uint256)",
        account.address,
    )
    assert [int(log["data"], 16) for log in logs] == [7]


def test_erc721_mint(cast: Cast, key: str, account: LocalAccount, tokens: dict[str, Contract]) -> None:
    card = cast("send", "--json", "--private-key", key, "--create", tokens["Card"].bytecode)["contractAddress"]
    cast("send", "--json", "--private-key", key, card, "mint(address,uint256)", account.address, "5")
    assert cast("call", card, "ownerOf(uint256)(address)", "5") == account.address
    assert "0x7e273289" in cast("call", card, "ownerOf(uint256)(address)", "6", fails=True)


@pytest.mark.parametrize("command", [["call"], ["estimate"], ["send", "--private-key", "KEY"]])
def test_custom_error_is_shown_with_its_data(
    cast: Cast, key: str, account: LocalAccount, probed: str, command: list[str]
) -> None:
    name, *options = [key if part == "KEY" else part for part in command]
    options += [] if name == "send" else ["--from", account.address]
    told = cast(name, *options, probed, "put(uint256,uint256,string)", "1", "101", "x", fails=True)
    selector = cast("sig", "TooMuch(address,uint256,uint256)")
    assert selector in told and account.address[2:].lower() in told.lower()


def test_reads(cast: Cast, node: Node, coin: str) -> None:
    assert cast("chain-id") == str(node.chain_id)
    assert int(cast("block-number")) > 0
    assert cast("block", "--json", "latest")["hash"].startswith("0x")
    assert int(cast("gas-price")) > 0
    assert int(cast("base-fee")) >= 0
    assert int(cast("storage", coin, "2"), 16) == 1000
    assert cast("nonce", coin) == "1"
    assert int(cast("balance", node.accounts[5].address)) > 0
    assert cast("codesize", coin) == str(len(cast("code", coin)) // 2 - 1)
    assert json.loads(cast("proof", coin, "2"))["storageProof"][0]["value"] == "0x3e8"
    assert node.kind in cast("client").lower()


def test_access_list_names_the_touched_slots(cast: Cast, account: LocalAccount, coin: str) -> None:
    told = cast("access-list", "--json", "--from", account.address, coin, "transfer(address,uint256)", RECIPIENT, "1")
    assert [entry["address"].lower() for entry in told["accessList"]] == [coin.lower()]
    assert len(told["accessList"][0]["storageKeys"]) == 2


def test_signed_offline_then_published(cast: Cast, key: str, account: LocalAccount) -> None:
    raw = cast("mktx", "--private-key", key, RECIPIENT, "--value", "2")
    assert cast("publish", "--json", raw)["status"] == "0x1"
    assert cast("nonce", account.address) == "1"


def test_unlocked_account_sends(cast: Cast, node: Node) -> None:
    receipt = cast("send", "--json", "--unlocked", "--from", node.accounts[3].address, RECIPIENT, "--value", "1")
    assert (receipt["status"], receipt["from"].lower()) == ("0x1", node.accounts[3].address.lower())


def test_mined_transaction_is_run_again_locally(cast: Cast, key: str, coin: str) -> None:
    sent = cast("send", "--json", "--private-key", key, coin, "transfer(address,uint256)", RECIPIENT, "3")
    told = cast("run", "--quick", sent["transactionHash"])
    assert "Transaction successfully executed." in told
    assert f"Gas used: {int(sent['gasUsed'], 16)}" in told


def test_log_subscription(cast: Cast, node: Node, npm: object, key: str, account: LocalAccount, coin: str) -> None:
    """`cast logs --subscribe` prints a log as it happens; transfers go on until the first is heard."""
    command = [
        str(foundry_binary(CLIENTS, "cast")),
        "logs",
        "--subscribe",
        "--rpc-url",
        node.ws,
        "--address",
        coin,
        "Transfer(address indexed,address indexed,uint256)",
        account.address,
    ]
    # cast holds its output back when it is not a terminal
    heard = ""
    master, terminal = os.openpty()
    with subprocess.Popen(command, stdout=terminal, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL) as process:
        os.close(terminal)
        try:
            for _ in range(40):
                cast("send", "--json", "--private-key", key, coin, "transfer(address,uint256)", RECIPIENT, "1")
                if select.select([master], [], [], 0.25)[0]:
                    heard = os.read(master, 65536).decode()
                    break
        finally:
            process.kill()
            os.close(master)
    assert f"address: {coin}".lower() in heard.lower()
