"""The devnet's test accounts, unlocked: eth_sendTransaction and every way to sign."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct, encode_typed_data
from eth_account.signers.local import LocalAccount
from web3 import Web3

from tests.clients.nodes import Account as DevAccount
from tests.clients.nodes import Node, RpcError

PERMIT = {
    "domain": {
        "name": "Coin",
        "version": "1",
        "chainId": 1337,
        "verifyingContract": "0x" + "cc" * 20,
    },
    "primaryType": "Order",
    "types": {
        "EIP712Domain": [
            {"name": "name", "type": "string"},
            {"name": "version", "type": "string"},
            {"name": "chainId", "type": "uint256"},
            {"name": "verifyingContract", "type": "address"},
        ],
        "Item": [{"name": "cid", "type": "bytes"}, {"name": "price", "type": "uint128"}],
        "Order": [
            {"name": "buyer", "type": "address"},
            {"name": "items", "type": "Item[]"},
            {"name": "salt", "type": "bytes32"},
            {"name": "delta", "type": "int64"},
            {"name": "open", "type": "bool"},
        ],
    },
    "message": {
        "buyer": "0x" + "bb" * 20,
        "items": [
            {"cid": "0x0155", "price": "340282366920938463463374607431768211455"},
            {"cid": "0x", "price": 1},
        ],
        "salt": "0x" + "5a" * 32,
        "delta": -7,
        "open": True,
    },
}


@pytest.fixture
def unlocked(node: Node) -> DevAccount:
    return node.accounts[2]


def test_accounts_are_those_of_the_well_known_mnemonic(node: Node) -> None:
    told = [address.lower() for address in node.call("eth_accounts")]
    assert told == [account.address.lower() for account in node.accounts]
    assert told[0] == "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"
    for account in node.accounts:
        assert Account.from_key(account.private_key).address.lower() == account.address.lower()
        assert int(node.call("eth_getBalance", account.address, "latest"), 16) > 10**20


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"gas": "0x5208"},
        {"gasPrice": "0x2540be400"},
        {"maxFeePerGas": "0x2540be400", "maxPriorityFeePerGas": "0x1", "type": "0x2"},
        {"accessList": []},
        {"input": "0x", "data": "0x", "chainId": "0x539"},
    ],
)
def test_what_the_sender_leaves_out_is_filled_in(node: Node, unlocked: DevAccount, fields: dict[str, Any]) -> None:
    nonce = int(node.call("eth_getTransactionCount", unlocked.address, "pending"), 16)
    sent = node.call(
        "eth_sendTransaction", {"from": unlocked.address, "to": "0x" + "77" * 20, "value": "0x1", **fields}
    )
    assert node.wait_for_receipt(sent)["status"] == "0x1"
    assert int(node.call("eth_getTransactionByHash", sent)["nonce"], 16) == nonce


def test_unknown_sender_is_refused(node: Node) -> None:
    with pytest.raises(RpcError):
        node.call("eth_sendTransaction", {"from": "0x" + "99" * 20, "to": "0x" + "77" * 20, "value": "0x1"})


def test_personal_sign_and_eth_sign(node: Node, unlocked: DevAccount) -> None:
    message = "0x" + b"I agree".hex()
    for signature in (
        node.call("personal_sign", message, unlocked.address),
        node.call("eth_sign", unlocked.address, message),
    ):
        signer = Account.recover_message(encode_defunct(hexstr=message), signature=signature)
        assert signer.lower() == unlocked.address.lower()


@pytest.mark.parametrize("as_text", [False, True])
def test_typed_data(node: Node, unlocked: DevAccount, as_text: bool) -> None:
    document = json.dumps(PERMIT) if as_text else PERMIT
    signature = node.call("eth_signTypedData_v4", unlocked.address, document)
    reference = json.loads(json.dumps(PERMIT))
    for item in reference["message"]["items"]:
        item["price"] = int(item["price"])
    signer = Account.recover_message(encode_typed_data(full_message=reference), signature=signature)
    assert signer.lower() == unlocked.address.lower()


def test_signed_but_not_sent(own_node: Node, unlocked: DevAccount, w3: Web3) -> None:
    nonce = node_nonce(own_node, unlocked)
    signed = own_node.call(
        "eth_signTransaction",
        {
            "from": unlocked.address,
            "to": "0x" + "77" * 20,
            "value": "0x1",
            "gas": "0x5208",
            "nonce": hex(nonce),
            "maxFeePerGas": "0x2540be400",
            "maxPriorityFeePerGas": "0x1",
        },
    )
    assert node_nonce(own_node, unlocked) == nonce
    assert w3.eth.account.recover_transaction(signed["raw"]).lower() == unlocked.address.lower()


def node_nonce(node: Node, account: DevAccount) -> int:
    return int(node.call("eth_getTransactionCount", account.address, "pending"), 16)


def test_impersonated_account_sends_until_it_is_stopped(node: Node, new_account: Callable[..., LocalAccount]) -> None:
    stranger = new_account().address
    request = {"from": stranger, "to": "0x" + "77" * 20, "value": "0x1"}
    for prefix in ("hardhat", "anvil"):
        node.call(f"{prefix}_impersonateAccount", stranger)
        sent = node.call("eth_sendTransaction", request)
        assert node.wait_for_receipt(sent)["status"] == "0x1"
        assert node.call("eth_getTransactionByHash", sent)["from"].lower() == stranger.lower()
        node.call(f"{prefix}_stopImpersonatingAccount", stranger)
        with pytest.raises(RpcError):
            node.call("eth_sendTransaction", request)
