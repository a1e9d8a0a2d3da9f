"""Deployments that every EVM chain is expected to accept: signed once for all chains, before EIP-155."""

from __future__ import annotations

import json
from typing import Any

import pytest
from eth_account.signers.local import LocalAccount
from web3 import Web3

from tests.clients.nodes import Node
from tests.clients.toolchain import REPOSITORY

KIT = REPOSITORY.parent / "shared" / "kits" / "presigned" / "presigned.json"
NAMES = ("create2", "multicall3", "erc1820")


@pytest.fixture(scope="module")
def presigned() -> dict[str, dict[str, Any]]:
    if not KIT.exists():
        pytest.skip(f"the presigned transactions are not beside this checkout: no {KIT}")
    found: dict[str, dict[str, Any]] = json.loads(KIT.read_text())
    return found


@pytest.mark.parametrize("name", NAMES)
def test_presigned_deployment_appears_at_its_address(
    node: Node, w3: Web3, presigned: dict[str, dict[str, Any]], name: str
) -> None:
    entry = presigned[name]
    if node.call("eth_getCode", entry["address"], "latest") != "0x":
        assert node.kind == "anvil", f"{name} is deployed before it was sent"
        pytest.skip("anvil predeploys it")
    bank = w3.eth.account.from_key(node.accounts[4].private_key)
    cost = int(entry["gasLimit"]) * int(entry["gasPrice"])
    fund(node, bank, entry["sender"], cost)
    receipt = node.wait_for_receipt(node.call("eth_sendRawTransaction", entry["raw"]))
    assert (receipt["status"], receipt["type"]) == ("0x1", "0x0")
    assert receipt["contractAddress"].lower() == entry["address"].lower()
    mined = node.call("eth_getTransactionByHash", receipt["transactionHash"])
    assert (mined["from"].lower(), mined["gasPrice"]) == (
        entry["sender"].lower(),
        hex(int(entry["gasPrice"])),
    )
    assert mined["v"] in ("0x1b", "0x1c") and mined.get("chainId") is None
    assert len(node.call("eth_getCode", entry["address"], "latest")) > 100


def fund(node: Node, bank: LocalAccount, to: str, amount: int) -> None:
    transaction = {
        "type": 2,
        "chainId": node.chain_id,
        "to": to,
        "value": amount,
        "gas": 21000,
        "maxFeePerGas": 10**11,
        "maxPriorityFeePerGas": 1,
        "nonce": int(node.call("eth_getTransactionCount", bank.address, "pending"), 16),
    }
    sent = node.call("eth_sendRawTransaction", bank.sign_transaction(transaction).raw_transaction.to_0x_hex())
    assert node.wait_for_receipt(sent)["status"] == "0x1"


def test_create2_proxy_and_multicall_work_once_deployed(
    node: Node, w3: Web3, presigned: dict[str, dict[str, Any]]
) -> None:
    """The proxy deploys one byte of code at its CREATE2 address; Multicall3 reads the height."""
    proxy, multicall = presigned["create2"]["address"], presigned["multicall3"]["address"]
    if node.call("eth_getCode", proxy, "latest") == "0x" or node.call("eth_getCode", multicall, "latest") == "0x":
        pytest.skip("the deployments above did not run")
    init = bytes.fromhex("60015f5360015ff3")  # returns one byte of code: 0x01
    salt = bytes(31) + b"\x01"
    predicted = w3.keccak(b"\xff" + bytes.fromhex(proxy[2:]) + salt + w3.keccak(init))[12:]
    bank = w3.eth.account.from_key(node.accounts[4].private_key)
    sent = node.call(
        "eth_sendRawTransaction",
        bank.sign_transaction(
            {
                "type": 2,
                "chainId": node.chain_id,
                "to": proxy,
                "value": 0,
                "gas": 200_000,
                "maxFeePerGas": 10**11,
                "maxPriorityFeePerGas": 1,
                "data": salt + init,
                "nonce": int(node.call("eth_getTransactionCount", bank.address, "pending"), 16),
            }
        ).raw_transaction.to_0x_hex(),
    )
    assert node.wait_for_receipt(sent)["status"] == "0x1"
    assert node.call("eth_getCode", "0x" + predicted.hex(), "latest") == "0x01"
    height = node.call("eth_call", {"to": multicall, "data": "0x42cbb15c"}, "latest")  # getBlockNumber()
    assert int(height, 16) in (
        int(node.call("eth_blockNumber"), 16),
        int(node.call("eth_blockNumber"), 16) + 1,
    )
