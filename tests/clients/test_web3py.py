"""web3.py over HTTP."""

from __future__ import annotations

import pytest
from eth_abi import decode
from eth_account.signers.local import LocalAccount
from eth_utils import keccak
from web3 import Web3
from web3.contract import Contract as Web3Contract
from web3.exceptions import ContractCustomError, ContractLogicError, ContractPanicError, Web3RPCError

from tests.clients.nodes import Node
from tests.clients.toolchain import Contract

GWEI = 10**9
STRANGER = Web3.to_checksum_address("0x" + "ab" * 20)
RECIPIENT = Web3.to_checksum_address("0x00000000000000000000000000000000000a11ce")


def deploy(w3: Web3, account: LocalAccount, built: Contract, *arguments: object) -> Web3Contract:
    """Deploy with a locally signed transaction, filled in by web3.py itself."""
    factory = w3.eth.contract(abi=built.abi, bytecode=built.bytecode)
    receipt = transact(w3, account, factory.constructor(*arguments).build_transaction({"from": account.address}))
    assert receipt["contractAddress"] is not None
    return w3.eth.contract(receipt["contractAddress"], abi=built.abi)


def transact(w3: Web3, account: LocalAccount, transaction: dict) -> dict:
    """Sign, send and wait; the transaction must succeed."""
    transaction.setdefault("nonce", w3.eth.get_transaction_count(account.address))
    sent = w3.eth.send_raw_transaction(account.sign_transaction(transaction).raw_transaction)
    receipt = w3.eth.wait_for_transaction_receipt(sent, timeout=20, poll_latency=0.02)
    assert receipt["status"] == 1
    return receipt


@pytest.fixture
def probed(w3: Web3, account: LocalAccount, probe: Contract) -> Web3Contract:
    return deploy(w3, account, probe)


FEES = {
    0: {"gasPrice": 10 * GWEI},
    1: {"gasPrice": 10 * GWEI, "accessList": [{"address": RECIPIENT, "storageKeys": ["0x" + "01" * 32]}]},
    2: {"maxFeePerGas": 10 * GWEI, "maxPriorityFeePerGas": GWEI},
}


@pytest.mark.parametrize("kind", FEES)
def test_transfer_of_each_type_arrives_and_is_reported_as_sent(w3: Web3, account: LocalAccount, kind: int) -> None:
    before = w3.eth.get_balance(RECIPIENT)
    unsigned = {
        "chainId": w3.eth.chain_id,
        "to": RECIPIENT,
        "value": 3,
        "gas": 30000,
        "nonce": 0,
        **FEES[kind],
    }
    signed = account.sign_transaction({**unsigned, "type": kind} if kind else unsigned)
    receipt = w3.eth.wait_for_transaction_receipt(
        w3.eth.send_raw_transaction(signed.raw_transaction), timeout=20, poll_latency=0.02
    )
    mined = w3.eth.get_transaction(signed.hash)
    assert w3.eth.get_balance(RECIPIENT) == before + 3
    assert (receipt["status"], receipt["type"], receipt["to"], receipt["contractAddress"]) == (
        1,
        kind,
        RECIPIENT,
        None,
    )
    assert receipt["gasUsed"] == receipt["cumulativeGasUsed"] == 21000 + (4300 if kind == 1 else 0)
    assert (mined["type"], mined["from"], mined["nonce"], mined["value"]) == (kind, account.address, 0, 3)
    assert (mined["blockHash"], mined["transactionIndex"]) == (
        receipt["blockHash"],
        receipt["transactionIndex"],
    )
    assert w3.eth.get_raw_transaction(signed.hash) == signed.raw_transaction
    base_fee = w3.eth.get_block(receipt["blockHash"])["baseFeePerGas"]
    price = 10 * GWEI if kind < 2 else base_fee + GWEI
    assert receipt["effectiveGasPrice"] == mined["gasPrice"] == price


def test_set_code_transaction_delegates_an_account(w3: Web3, account: LocalAccount, probed: Web3Contract) -> None:
    nonce = w3.eth.get_transaction_count(account.address)
    authorization = account.sign_authorization(
        {"chainId": w3.eth.chain_id, "address": probed.address, "nonce": nonce + 1}
    )
    receipt = transact(
        w3,
        account,
        {
            "type": 4,
            "chainId": w3.eth.chain_id,
            "to": account.address,
            "value": 0,
            "gas": 200_000,
            "data": "0x",
            "maxFeePerGas": 10 * GWEI,
            "maxPriorityFeePerGas": GWEI,
            "authorizationList": [authorization],
        },
    )
    mined = w3.eth.get_transaction(receipt["transactionHash"])
    assert receipt["type"] == mined["type"] == 4
    assert mined["authorizationList"][0]["address"] == probed.address
    assert w3.eth.get_code(account.address) == bytes.fromhex("ef0100") + bytes.fromhex(probed.address[2:])
    assert w3.eth.get_transaction_count(account.address) == nonce + 2
    delegated = w3.eth.contract(account.address, abi=probed.abi)
    assert delegated.functions.self().call() == account.address


def test_type_two_fields_are_filled_in_by_the_client(w3: Web3, account: LocalAccount) -> None:
    signing = Web3(w3.provider)
    from web3.middleware import SignAndSendRawMiddlewareBuilder

    signing.middleware_onion.inject(SignAndSendRawMiddlewareBuilder.build(account), layer=0)
    sent = signing.eth.send_transaction({"from": account.address, "to": RECIPIENT, "value": 1})
    receipt = signing.eth.wait_for_transaction_receipt(sent, timeout=20, poll_latency=0.02)
    assert (receipt["status"], receipt["type"]) == (1, 2)


def test_erc20_transfer_is_seen_by_filters_and_logs(
    w3: Web3, account: LocalAccount, tokens: dict[str, Contract]
) -> None:
    coin = deploy(w3, account, tokens["Coin"], 1000)
    created = coin.events.Transfer.create_filter(from_block="latest", argument_filters={"to": RECIPIENT})
    every = coin.events.Transfer.create_filter(from_block="earliest")
    receipt = transact(w3, account, coin.functions.transfer(RECIPIENT, 7).build_transaction({"from": account.address}))
    assert coin.functions.balanceOf(RECIPIENT).call() == 7
    assert coin.functions.balanceOf(account.address).call() == 993
    changes = created.get_new_entries()
    assert [dict(log["args"]) for log in changes] == [{"from": account.address, "to": RECIPIENT, "value": 7}]
    assert created.get_new_entries() == []
    assert [log["args"]["value"] for log in every.get_all_entries()] == [1000, 7]
    assert w3.eth.uninstall_filter(created.filter_id) is True
    assert w3.eth.uninstall_filter(created.filter_id) is False
    logs = coin.events.Transfer.get_logs(from_block=receipt["blockNumber"])
    assert [log["transactionHash"] for log in logs] == [receipt["transactionHash"]]
    assert [log["args"]["value"] for log in coin.events.Transfer().process_receipt(receipt)] == [7]


def test_erc721_mint_and_its_custom_error(w3: Web3, account: LocalAccount, tokens: dict[str, Contract]) -> None:
    card = deploy(w3, account, tokens["Card"])
    transact(w3, account, card.functions.mint(account.address, 5).build_transaction({"from": account.address}))
    assert card.functions.ownerOf(5).call() == account.address
    with pytest.raises(ContractCustomError) as raised:
        card.functions.ownerOf(6).call()
    assert raised.value.data == "0x" + (keccak(text="ERC721NonexistentToken(uint256)")[:4] + bytes(31) + b"\6").hex()


def test_block_and_pending_filters_report_each_hash_once(w3: Web3, account: LocalAccount) -> None:
    blocks, pending = w3.eth.filter("latest"), w3.eth.filter("pending")
    receipts = [
        transact(
            w3,
            account,
            {
                "chainId": w3.eth.chain_id,
                "to": RECIPIENT,
                "value": 1,
                "gas": 21000,
                "gasPrice": 10 * GWEI,
            },
        )
        for _ in range(2)
    ]
    seen = blocks.get_new_entries()
    assert [h for h in seen if h in {r["blockHash"] for r in receipts}] == [r["blockHash"] for r in receipts]
    announced = pending.get_new_entries()
    assert [announced.count(r["transactionHash"]) for r in receipts] == [1, 1]
    assert pending.get_new_entries() == []


def test_custom_error_reaches_the_client_from_call_and_from_estimate(w3: Web3, probed: Web3Contract) -> None:
    for ask in (probed.functions.put(1, 101, "x").call, probed.functions.put(1, 101, "x").estimate_gas):
        with pytest.raises(ContractCustomError) as raised:
            ask({"from": RECIPIENT})
        raw = bytes.fromhex(raised.value.data.removeprefix("0x"))
        assert raw[:4] == keccak(text="TooMuch(address,uint256,uint256)")[:4]
        assert decode(["address", "uint256", "uint256"], raw[4:]) == (RECIPIENT.lower(), 101, 100)


def test_each_other_way_to_fail_has_its_own_exception(w3: Web3, probed: Web3Contract) -> None:
    with pytest.raises(ContractLogicError, match="asked for it"):
        probed.functions.failWithText().call()
    with pytest.raises(ContractPanicError, match=r"[Dd]ivision"):
        probed.functions.failWithPanic(0).call()
    with pytest.raises(ContractLogicError):
        probed.functions.failWithNothing().call()


def test_mined_failure_has_status_zero_and_burns_its_nonce(
    w3: Web3, account: LocalAccount, probed: Web3Contract
) -> None:
    nonce = w3.eth.get_transaction_count(account.address)
    transaction = probed.functions.put(1, 101, "x").build_transaction(
        {"from": account.address, "gas": 100_000, "nonce": nonce}
    )
    sent = w3.eth.send_raw_transaction(account.sign_transaction(transaction).raw_transaction)
    receipt = w3.eth.wait_for_transaction_receipt(sent, timeout=20, poll_latency=0.02)
    assert (receipt["status"], receipt["logs"]) == (0, [])
    assert w3.eth.get_transaction_count(account.address) == nonce + 1
    assert probed.functions.valueOf(1).call() == 0


def test_estimates_are_sufficient_and_tight(w3: Web3, account: LocalAccount, probed: Web3Contract) -> None:
    assert w3.eth.estimate_gas({"from": account.address, "to": RECIPIENT, "value": 1}) == 21000
    # nobody has to own the gas money to ask
    assert w3.eth.estimate_gas({"from": STRANGER, "to": RECIPIENT}) == 21000
    for call in (probed.functions.put(9, 1, "text"), probed.functions.callDeep(12)):
        estimate = call.estimate_gas({"from": account.address})
        receipt = transact(w3, account, call.build_transaction({"from": account.address, "gas": estimate}))
        assert receipt["gasUsed"] <= estimate <= receipt["gasUsed"] * 1.25


def test_calls_see_state_and_block_overrides(w3: Web3, probed: Web3Contract, probe: Contract) -> None:
    runtime = w3.eth.get_code(probed.address)
    elsewhere = w3.to_checksum_address("0x" + "5e" * 20)
    ghost = w3.eth.contract(elsewhere, abi=probe.abi)
    slot = keccak((3).to_bytes(32, "big") + bytes(32))
    overridden = {elsewhere: {"code": runtime.to_0x_hex(), "stateDiff": {"0x" + slot.hex(): "0x" + "00" * 31 + "2a"}}}
    assert ghost.functions.valueOf(3).call({}, "latest", overridden) == 42
    assert w3.eth.get_code(elsewhere) == b""


def test_fee_questions_are_answered(w3: Web3, account: LocalAccount) -> None:
    transact(
        w3,
        account,
        {"chainId": w3.eth.chain_id, "to": RECIPIENT, "value": 1, "gas": 21000, "gasPrice": 10 * GWEI},
    )
    history = w3.eth.fee_history(1, "latest", [20.0, 80.0])
    assert len(history["baseFeePerGas"]) == 2 and len(history["reward"][0]) == 2
    assert history["baseFeePerGas"][0] == w3.eth.get_block("latest")["baseFeePerGas"]
    assert 0 < history["gasUsedRatio"][0] < 1
    assert w3.eth.gas_price >= history["baseFeePerGas"][1]
    assert w3.eth.max_priority_fee >= 0


def test_node_introduces_itself(w3: Web3, node: Node) -> None:
    assert w3.is_connected()
    assert w3.eth.chain_id == node.chain_id == int(w3.net.version)
    assert node.kind in w3.client_version.lower()
    assert w3.eth.syncing is False
    assert w3.eth.get_block("earliest")["number"] == 0
    assert w3.eth.get_block("safe")["number"] <= w3.eth.get_block("latest")["number"]


def test_unknown_method_is_named_in_the_error(w3: Web3) -> None:
    with pytest.raises(Web3RPCError) as raised:
        w3.manager.request_blocking("eth_noSuchThing", [])
    assert raised.value.rpc_response is not None
    assert raised.value.rpc_response["error"]["code"] == -32601
