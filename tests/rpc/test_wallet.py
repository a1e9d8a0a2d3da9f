"""Signing with the node's keys, and control of a devnet."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from dmchain.chain.primitives.crypto import keccak, recover_address
from dmchain.chain.primitives.transaction import Transaction
from dmchain.rpc.backend import Backend
from tests.rpc.asking import Asker, Refused
from tests.rpc.fake import ALICE, BOB, CAROL, FakeChain, FakeDevnet, transfer

FROM, TO, OUTSIDER = "0x" + ALICE.hex(), "0x" + BOB.hex(), "0x" + CAROL.hex()
H32 = "0x" + "11" * 32


def refused(ask: Asker, method: str, *params: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        ask(method, *params)
    return caught.value


@pytest.fixture
def devnet(backend: Backend) -> FakeDevnet:
    return cast(FakeDevnet, backend.devnet)


def recover(signature: str, digest: bytes) -> bytes:
    raw = bytes.fromhex(signature[2:])
    assert len(raw) == 65 and raw[64] in (27, 28)
    return recover_address(digest, raw[64] - 27, int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:64], "big"))


def test_sending_signs_with_the_next_nonce(ask: Asker, chain: FakeChain) -> None:
    for nonce in (0, 1):
        tx_hash = ask("eth_sendTransaction", {"from": FROM, "to": TO, "value": "0x1", "gas": "0x5208"})
        tx = chain.waiting[bytes.fromhex(tx_hash[2:])]  # type: ignore[index]
        assert (tx.sender, tx.nonce, tx.value, tx.type) == (ALICE, nonce, 1, 2)
    ask("eth_sendTransaction", {"from": FROM, "to": None, "input": "0x60", "nonce": "0x5", "gasPrice": hex(10**9)})
    assert sorted(tx.nonce for tx in chain.waiting.values()) == [0, 1, 5]


def test_strangers_cannot_send(ask: Asker) -> None:
    assert "unknown account" in refused(ask, "eth_sendTransaction", {"from": OUTSIDER, "to": TO}).message
    assert "from: expected an address" in refused(ask, "eth_sendTransaction", {"to": TO}).message
    assert "unknown account" in refused(ask, "eth_sign", OUTSIDER, "0x00").message


def test_impersonated_accounts_send_unsigned(ask: Asker, devnet: FakeDevnet) -> None:
    ask("hardhat_impersonateAccount", OUTSIDER)
    assert ask("eth_sendTransaction", {"from": OUTSIDER, "to": TO, "value": "0x2"}) == H32
    name, unsigned, sender = devnet.calls[-1]
    assert (name, unsigned.value, unsigned.gas, sender) == ("submit_unsigned", 2, 21_000, CAROL)
    assert ask("eth_sendUnsignedTransaction", {"from": FROM, "to": TO}) == H32


def test_signing_a_transaction_does_not_send_it(ask: Asker, chain: FakeChain) -> None:
    answer = ask("eth_signTransaction", {"from": FROM, "to": TO, "value": "0x1"})
    tx = Transaction.decode(bytes.fromhex(answer["raw"][2:]))
    assert tx.sender == ALICE and answer["tx"]["hash"] == "0x" + tx.hash.hex()
    assert not chain.waiting


def test_messages_are_signed_with_their_prefix(ask: Asker) -> None:
    digest = keccak(b"\x19Ethereum Signed Message:\n5hello")
    signature = ask("eth_sign", FROM, "0x" + b"hello".hex())
    assert recover(signature, digest) == ALICE
    assert ask("personal_sign", "0x" + b"hello".hex(), FROM) == signature
    assert ask("personal_sign", "hello", FROM, "password") == signature


TYPED: dict[str, Any] = {
    "types": {
        "EIP712Domain": [{"name": "name", "type": "string"}, {"name": "chainId", "type": "uint256"}],
        "Mail": [{"name": "amount", "type": "uint256"}, {"name": "to", "type": "address"}],
    },
    "primaryType": "Mail",
    "domain": {"name": "x", "chainId": 1337},
    "message": {"amount": 2**200, "to": TO},
}


def test_typed_data_is_signed(ask: Asker) -> None:
    signature = ask("eth_signTypedData_v4", FROM, json.dumps(TYPED))
    domain_type = keccak(b"EIP712Domain(string name,uint256 chainId)")
    domain = keccak(domain_type + keccak(b"x") + (1337).to_bytes(32, "big"))
    mail_type = keccak(b"Mail(uint256 amount,address to)")
    mail = keccak(mail_type + (2**200).to_bytes(32, "big") + bytes(12) + BOB)
    assert recover(signature, keccak(b"\x19\x01" + domain + mail)) == ALICE
    small = {**TYPED, "message": {"amount": "5", "to": TO}}
    assert ask("eth_signTypedData", FROM, small) == ask("eth_signTypedData_v4", FROM, json.dumps(small))


BAD_TYPED: list[Any] = ["", "{", "[]", "[" * 100_000, "[" * 1_000 + "]" * 1_000, 5, {}, {"types": {}}]
BAD_TYPED += [{"types": 5, "primaryType": 1}, {**TYPED, "primaryType": "Nope"}]
BAD_TYPED += [{**TYPED, "message": {"amount": "x", "to": TO}}]


@pytest.mark.parametrize("data", BAD_TYPED)
def test_bad_typed_data_is_refused(ask: Asker, data: Any) -> None:
    assert refused(ask, "eth_signTypedData_v4", FROM, data).code == -32602


@pytest.mark.parametrize(
    ("method", "params", "answer", "told"),
    [
        ("evm_snapshot", [], "0x1", ("snapshot",)),
        ("evm_revert", ["0x1"], True, ("revert", 1)),
        ("evm_mine", [], "0x0", ("mine", 1, None)),
        ("evm_mine", ["0x5"], "0x0", ("mine", 1, 5)),
        ("evm_mine", [5], "0x0", ("mine", 1, 5)),
        ("evm_mine", [{"blocks": 3}], "0x0", ("mine", 3, None)),
        ("hardhat_mine", [], True, ("mine", 1, None)),
        ("hardhat_mine", ["0x100", "0x3c"], True, ("mine", 256, 60)),
        ("anvil_mine", ["0x2"], True, ("mine", 2, None)),
        ("evm_increaseTime", ["0x3c"], 60, ("increase_time", 60)),
        ("evm_increaseTime", [60], 60, ("increase_time", 60)),
        ("evm_setNextBlockTimestamp", ["0x5"], 5, ("set_next_timestamp", 5)),
        ("evm_setAutomine", [True], True, ("set_automine", True)),
        ("evm_setIntervalMining", [0], True, ("set_interval_mining", 0)),
        ("evm_setIntervalMining", [5000], True, ("set_interval_mining", 5000)),
        ("evm_setIntervalMining", [2], True, ("set_interval_mining", 2000)),
        ("evm_setIntervalMining", [[1000, 3000]], True, ("set_interval_mining", 2000)),
        ("anvil_setIntervalMining", [5], True, ("set_interval_mining", 5000)),
        ("evm_setBlockGasLimit", ["0x1000"], True, ("set_block_gas_limit", 4096)),
        ("hardhat_setBalance", [TO, "0x01"], True, ("set_balance", BOB, 1)),
        ("anvil_setCode", [TO, "0x00"], True, ("set_code", BOB, b"\x00")),
        ("hardhat_setNonce", [TO, "0x7"], True, ("set_nonce", BOB, 7)),
        ("anvil_setStorageAt", [TO, "0x0", H32], True, ("set_storage", BOB, 0, int(H32, 16))),
        ("hardhat_setCoinbase", [TO], True, ("set_coinbase", BOB)),
        ("anvil_setNextBlockBaseFeePerGas", ["0x5"], True, ("set_next_base_fee", 5)),
        ("hardhat_setMinGasPrice", ["0x0"], True, ("set_min_gas_price", 0)),
        ("hardhat_setPrevRandao", [H32], True, ("set_prev_randao", bytes.fromhex(H32[2:]))),
        ("anvil_setBlockTimestampInterval", [1], True, ("set_timestamp_interval", 1)),
        ("hardhat_setBlockTimestampInterval", [1000], True, ("set_timestamp_interval", 1)),
        ("anvil_removeBlockTimestampInterval", [], True, ("set_timestamp_interval", None)),
        ("hardhat_reset", [], True, ("reset",)),
        ("anvil_reset", [{"forking": {"blockNumber": None}}], True, ("reset",)),
        ("hardhat_dumpState", [], "0x01", ("dump_state",)),
        ("hardhat_loadState", ["0x01"], True, ("load_state", b"\x01")),
        ("hardhat_getAutomine", [], True, ("automine",)),
    ],
)
def test_control(ask: Asker, devnet: FakeDevnet, method: str, params: list[Any], answer: Any, told: Any) -> None:
    assert ask(method, *params) == answer
    assert devnet.calls == [told]


def test_control_refuses_what_it_cannot_do(ask: Asker) -> None:
    forking = {"forking": {"jsonRpcUrl": "http://example.org"}}
    assert "cannot fork" in refused(ask, "hardhat_reset", forking).message
    assert "expected at most 100000" in refused(ask, "hardhat_mine", "0x7fffffff").message
    assert refused(ask, "evm_increaseTime", "0x" + "f" * 64).code == -32602
    assert refused(ask, "hardhat_setBalance", TO, "lots").code == -32602


def test_tools_are_told_what_they_ask(ask: Asker, chain: FakeChain) -> None:
    chain.mine([transfer()])
    metadata = ask("hardhat_metadata")
    assert metadata["chainId"] == 1337 and metadata["latestBlockNumber"] == 1
    assert ask("anvil_metadata") == metadata
    assert ask("anvil_setLoggingEnabled", False) is True
    assert ask("hardhat_setRpcUrl", "http://x") is None
