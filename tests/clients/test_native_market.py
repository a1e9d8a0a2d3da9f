"""The native registry and ledger, as clients and contracts see them: like any other contract."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from typing import Any

import pytest
from eth_abi import decode
from eth_account.signers.local import LocalAccount
from eth_utils import keccak
from web3 import Web3
from web3.contract import Contract as Web3Contract
from web3.exceptions import ContractCustomError
from web3.logs import DISCARD

from tests.clients.nodes import Node, RpcError
from tests.clients.toolchain import CLIENTS, REPOSITORY, Contract, compile_solidity

ARTIFACTS = REPOSITORY / "dmchain" / "marketplace_vm" / "artifacts"
ONE_TIME = 1
CALL, CALLCODE, DELEGATECALL, STATICCALL = 0xF1, 0xF2, 0xF4, 0xFA
LICENSEE = Web3.to_checksum_address("0x" + "1c" * 20)
NO_HASH = b"\0" * 32


def new_cid() -> bytes:
    """A version 1 CID, raw, sha2-256, of content that nobody has."""
    return bytes.fromhex("01551220") + hashlib.sha256(os.urandom(32)).digest()


def artifact(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((ARTIFACTS / f"{name}.json").read_text())
    return {"address": loaded["address"], "abi": loaded["abi"]}


def selector(signature: str) -> bytes:
    return keccak(text=signature)[:4]


@pytest.fixture(scope="module")
def caller_contract(npm: object) -> Contract:
    return compile_solidity(CLIENTS / "contracts" / "Market.sol")["Caller"]


@pytest.fixture
def registry(own_node: Node, w3: Web3) -> Web3Contract:
    found = artifact("ICidRegistry")
    return w3.eth.contract(w3.to_checksum_address(found["address"]), abi=found["abi"])


@pytest.fixture
def ledger(own_node: Node, w3: Web3) -> Web3Contract:
    found = artifact("ILicenseLedger")
    return w3.eth.contract(w3.to_checksum_address(found["address"]), abi=found["abi"])


@pytest.fixture
def send(w3: Web3, account: LocalAccount) -> Callable[..., dict[str, Any]]:
    """Signs, sends and waits; the transaction must succeed."""

    def send(call: Any, **fields: Any) -> dict[str, Any]:
        nonce = w3.eth.get_transaction_count(account.address)
        unsigned = call.build_transaction({"from": account.address, "nonce": nonce, **fields})
        sent = w3.eth.send_raw_transaction(account.sign_transaction(unsigned).raw_transaction)
        receipt = w3.eth.wait_for_transaction_receipt(sent, timeout=20, poll_latency=0.02)
        assert receipt["status"] == 1
        return dict(receipt)

    return send


@pytest.fixture
def caller(w3: Web3, send: Callable[..., dict[str, Any]], caller_contract: Contract) -> Web3Contract:
    factory = w3.eth.contract(abi=caller_contract.abi, bytecode=caller_contract.bytecode)
    return w3.eth.contract(send(factory.constructor())["contractAddress"], abi=caller_contract.abi)


def test_registration_grant_and_check_from_account_and_contract(
    registry: Web3Contract,
    ledger: Web3Contract,
    caller: Web3Contract,
    account: LocalAccount,
    send: Any,
    w3: Web3,
) -> None:
    cid = new_cid()
    dataset_id = keccak(cid)
    created = registry.events.DatasetRegistered.create_filter(
        from_block="latest", argument_filters={"owner": account.address}
    )
    receipt = send(registry.functions.registerCid(cid, b"", [], 1234))
    (event,) = created.get_new_entries()
    assert (event["args"]["datasetId"], event["args"]["cid"], event["args"]["sizeBytes"]) == (
        dataset_id,
        cid,
        1234,
    )
    assert registry.events.DatasetRegistered().process_receipt(receipt)[0]["args"]["owner"] == account.address
    assert registry.functions.isRegistered(dataset_id).call()
    assert registry.functions.datasetOf(cid).call() == dataset_id
    assert registry.functions.ownerOf(dataset_id).call() == account.address
    assert registry.functions.controllerOf(dataset_id).call() == account.address

    send(registry.functions.setController(dataset_id, caller.address))
    assert registry.functions.controllerOf(dataset_id).call() == caller.address
    assert not ledger.functions.hasLicense(dataset_id, LICENSEE).call()
    assert not caller.functions.check(dataset_id, LICENSEE).call()
    with pytest.raises(ContractCustomError) as raised:
        ledger.functions.grant(dataset_id, LICENSEE, ONE_TIME, 0, 0, NO_HASH).estimate_gas({"from": account.address})
    assert bytes.fromhex(raised.value.data[2:10]) == selector("NotController(bytes32,address,address)")

    receipt = send(caller.functions.grant(dataset_id, LICENSEE, 0))
    (granted,) = ledger.events.LicenseGranted().process_receipt(receipt)
    assert (granted["args"]["licensee"], granted["args"]["controller"]) == (LICENSEE, caller.address)
    assert ledger.functions.hasLicense(dataset_id, LICENSEE).call()
    assert caller.functions.check(dataset_id, LICENSEE).call()
    assert not caller.functions.check(dataset_id, account.address).call()
    assert ledger.functions.hasLicenses([NO_HASH, dataset_id], LICENSEE).call() == 0b10


def test_license_ends_at_its_second(
    own_node: Node, registry: Web3Contract, ledger: Web3Contract, caller: Web3Contract, send: Any, w3: Web3
) -> None:
    """Asked for at another time by a block override: the chain's clock need not move."""
    cid = new_cid()
    send(registry.functions.registerCid(cid, b"", [], 1))
    send(registry.functions.setController(keccak(cid), caller.address))
    ends = w3.eth.get_block("latest")["timestamp"] + 10_000
    send(caller.functions.grant(keccak(cid), LICENSEE, ends))
    data = ledger.encode_abi("hasLicense", [keccak(cid), LICENSEE])

    def is_valid(timestamp: int) -> int:
        call = {"to": ledger.address, "data": data}
        return int(own_node.call("eth_call", call, "latest", {}, {"time": hex(timestamp)}), 16)

    assert [is_valid(ends - 1), is_valid(ends)] == [1, 0]


def test_solidity_catches_the_custom_error(registry: Web3Contract, caller: Web3Contract, send: Any) -> None:
    cid = new_cid()
    first, second = send(caller.functions.tryRegister(cid)), send(caller.functions.tryRegister(cid))
    bad = send(caller.functions.tryRegister(b"\x00\x11\x22\x33"))
    assert caller.events.Registered().process_receipt(first, errors=DISCARD)[0]["args"]["datasetId"] == keccak(cid)
    assert caller.events.AlreadyThere().process_receipt(second)[0]["args"]["datasetId"] == keccak(cid)
    reason = caller.events.Failed().process_receipt(bad)[0]["args"]["reason"]
    assert reason[:4] == selector("InvalidCid(string)")
    assert decode(["string"], reason[4:])[0]
    assert registry.functions.ownerOf(keccak(cid)).call() == caller.address


def test_undone_call_leaves_nothing(registry: Web3Contract, caller: Web3Contract, send: Any) -> None:
    cid = new_cid()
    receipt = send(caller.functions.registerAndUndo(cid))
    (event,) = caller.events.Registered().process_receipt(receipt)
    assert event["args"]["datasetId"] == NO_HASH
    assert [log["address"] for log in receipt["logs"]] == [caller.address]
    assert not registry.functions.isRegistered(keccak(cid)).call()
    send(registry.functions.registerCid(cid, b"", [], 1))


def test_borrowed_code_is_refused(registry: Web3Contract, caller: Web3Contract, send: Any) -> None:
    """DELEGATECALL and CALLCODE would run on the caller's storage."""
    cid = new_cid()
    data = registry.encode_abi("registerCid", [cid, b"", [], 1])
    for opcode in (DELEGATECALL, CALLCODE):
        ok, output = caller.functions.callBy(opcode, registry.address, data).call()
        assert (ok, output) == (False, selector("DirectCallOnly()"))
        send(caller.functions.callBy(opcode, registry.address, data))
    assert not registry.functions.isRegistered(keccak(cid)).call()
    ok, output = caller.functions.callBy(CALL, registry.address, data).call()
    assert (ok, output) == (True, keccak(cid))


def test_static_call_reads_but_never_writes(registry: Web3Contract, caller: Web3Contract, send: Any) -> None:
    cid = new_cid()
    write = registry.encode_abi("registerCid", [cid, b"", [], 1])
    read = registry.encode_abi("isRegistered", [keccak(cid)])
    ok, output = caller.functions.callBy(STATICCALL, registry.address, write).call()
    assert (ok, output) == (False, b"")
    ok, output = caller.functions.callBy(STATICCALL, registry.address, read).call()
    assert (ok, output) == (True, NO_HASH)
    send(caller.functions.callBy(STATICCALL, registry.address, write), gas=3_000_000)
    assert not registry.functions.isRegistered(keccak(cid)).call()


def test_check_is_cheap_for_contracts(registry: Web3Contract, caller: Web3Contract, send: Any) -> None:
    """Two or three storage slots, cold (2100 gas each) and then warm (100 each)."""
    cid = new_cid()
    send(registry.functions.registerCid(cid, b"", [], 1))
    cold, warm = caller.functions.measure(keccak(cid), LICENSEE).call()
    assert warm < 2_500
    assert 2 * 2_000 <= cold - warm <= 3 * 2_000 + 2_600


def test_estimates_suffice_for_native_calls(registry: Web3Contract, account: LocalAccount, send: Any) -> None:
    parents: list[bytes] = []
    for _ in range(3):
        cid = new_cid()
        call = registry.functions.registerCid(cid, new_cid(), parents, 1)
        estimate = call.estimate_gas({"from": account.address})
        receipt = send(call, gas=estimate)
        assert receipt["gasUsed"] <= estimate <= receipt["gasUsed"] * 1.2
        parents.append(keccak(cid))
    assert registry.functions.parents(parents[2]).call() == parents[:2]
    assert registry.functions.children(parents[0], 0, 10).call() == parents[1:]


def test_ether_sent_to_the_registry_is_refused(own_node: Node, registry: Web3Contract, account: LocalAccount) -> None:
    data = registry.encode_abi("registerCid", [new_cid(), b"", [], 1])
    call = {"from": account.address, "to": registry.address, "value": "0x1", "data": data}
    with pytest.raises(RpcError) as raised:
        own_node.call("eth_call", call, "latest")
    assert raised.value.code == 3
    assert raised.value.data == "0x" + (selector("NotPayable(uint256)") + (1).to_bytes(32, "big")).hex()


def test_viem_works_with_the_native_contracts(
    own_node: Node, run_script: Callable[..., Any], account: LocalAccount, caller_contract: Contract
) -> None:
    cid = new_cid()
    told = run_script(
        "viem_market",
        privateKey=account.key.to_0x_hex(),
        registry=artifact("ICidRegistry"),
        ledger=artifact("ILicenseLedger"),
        caller=caller_contract.as_json(),
        cid="0x" + cid.hex(),
        licensee=LICENSEE,
    )
    dataset_id = "0x" + keccak(cid).hex()
    assert told["registered"] == {"result": dataset_id, "status": "success"}
    for failure in ("again", "estimateAgain"):
        assert (told[failure]["errorName"], told[failure]["args"]) == ("AlreadyRegistered", [dataset_id])
    assert told["invalid"]["errorName"] == "InvalidCid"
    assert told["refused"]["errorName"] == "NotController"
    assert [event["datasetId"] for event in told["events"]] == [dataset_id]
    assert told["dataset"]["owner"] == account.address
    assert told["controller"].lower() == told["caller"].lower()
    assert (told["before"], told["fromAccount"], told["fromContract"]) == (False, True, True)
    assert (told["license"]["kind"], told["license"]["expiresAt"]) == (ONE_TIME, "0")
    assert told["many"] == str(0b101)


def test_ethers_works_with_the_native_contracts(
    own_node: Node, run_script: Callable[..., Any], account: LocalAccount, caller_contract: Contract
) -> None:
    cid = new_cid()
    told = run_script(
        "ethers_market",
        privateKey=account.key.to_0x_hex(),
        registry=artifact("ICidRegistry"),
        ledger=artifact("ILicenseLedger"),
        caller=caller_contract.as_json(),
        cid="0x" + cid.hex(),
        licensee=LICENSEE,
    )
    dataset_id = "0x" + keccak(cid).hex()
    assert told["events"] == ["DatasetRegistered"]
    assert told["again"] == {"name": "AlreadyRegistered", "args": [dataset_id]}
    assert told["refused"]["name"] == "NotController"
    assert (told["owner"], told["controller"]) == (account.address, told["caller"])
    assert (told["before"], told["fromAccount"], told["fromContract"]) == (False, True, True)
    assert told["granted"] == [LICENSEE]


def test_cast_works_with_the_native_contracts(own_node: Node, cast: Callable[..., Any], account: LocalAccount) -> None:
    cid = new_cid()
    dataset_id, key = "0x" + keccak(cid).hex(), account.key.to_0x_hex()
    registry, ledger = artifact("ICidRegistry")["address"], artifact("ILicenseLedger")["address"]
    register = "registerCid(bytes,bytes,bytes32[],uint64)"
    sent = cast("send", "--json", "--private-key", key, registry, register, "0x" + cid.hex(), "0x", "[]", "7")
    assert (sent["status"], sent["logs"][0]["topics"][1]) == ("0x1", dataset_id)
    told = cast("call", "--from", account.address, registry, register, "0x" + cid.hex(), "0x", "[]", "7", fails=True)
    assert selector("AlreadyRegistered(bytes32)").hex() in told and dataset_id[2:] in told
    grant = "grant(bytes32,address,uint8,uint64,uint64,bytes32)"
    terms = "0x" + "00" * 32
    sent = cast("send", "--json", "--private-key", key, ledger, grant, dataset_id, LICENSEE, "1", "0", "0", terms)
    assert sent["status"] == "0x1"
    assert cast("call", ledger, "hasLicense(bytes32,address)(bool)", dataset_id, LICENSEE) == "true"
    assert cast("call", ledger, "hasLicense(bytes32,address)(bool)", dataset_id, account.address) == "false"


def test_own_methods_tell_the_same_as_the_contracts(
    own_node: Node, registry: Web3Contract, ledger: Web3Contract, account: LocalAccount, send: Any
) -> None:
    cid = new_cid()
    dataset_id = "0x" + keccak(cid).hex()
    assert own_node.call("dm_getDataset", dataset_id) is None
    send(registry.functions.registerCid(cid, b"", [], 77))
    send(ledger.functions.grant(keccak(cid), LICENSEE, ONE_TIME, 0, 0, NO_HASH))
    dataset = own_node.call("dm_getDataset", dataset_id)
    assert dataset["owner"].lower() == account.address.lower()
    license_ = own_node.call("dm_getLicense", dataset_id, LICENSEE)
    assert license_["licensee"].lower() == LICENSEE.lower()
    assert own_node.call("dm_getLicense", dataset_id, account.address) is None


def test_license_is_proven_by_storage(own_node: Node, registry: Web3Contract, ledger: Web3Contract, send: Any) -> None:
    """The genesis accounts of the precompiles have code and a nonce, and their storage has a root."""
    for contract in (registry, ledger):
        proof = own_node.call("eth_getProof", contract.address, ["0x0"], "latest")
        assert proof["nonce"] == "0x1"
        assert own_node.call("eth_getCode", contract.address, "latest") == "0x5f5ffd"
    cid = new_cid()
    before = own_node.call("eth_getProof", registry.address, [], "latest")["storageHash"]
    send(registry.functions.registerCid(cid, b"", [], 77))
    assert own_node.call("eth_getProof", registry.address, [], "latest")["storageHash"] != before
