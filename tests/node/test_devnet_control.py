"""What only a development network can do, over JSON-RPC."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.node.process import DevnetProcess, RpcFailure

NOBODY = "0x" + "77" * 20


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevnetProcess]:
    with DevnetProcess(tmp_path_factory.mktemp("devnet")) as process:
        yield process


@pytest.fixture(autouse=True)
def undone(node: DevnetProcess) -> Iterator[None]:
    """Every test leaves the chain as it found it: which is itself a test of snapshots."""
    head = node.call("eth_getBlockByNumber", "latest", False)
    snapshot = node.call("evm_snapshot")
    yield
    assert node.call("evm_revert", snapshot) is True
    assert node.call("eth_getBlockByNumber", "latest", False) == head


def send(node: DevnetProcess, value: int = 1, to: str = NOBODY) -> str:
    sender = node.accounts[0]["address"]
    sent: str = node.call("eth_sendTransaction", {"from": sender, "to": to, "value": hex(value)})
    return sent


def balance(node: DevnetProcess, address: str = NOBODY, at: str = "latest") -> int:
    return int(node.call("eth_getBalance", address, at), 16)


def height(node: DevnetProcess) -> int:
    return int(node.call("eth_blockNumber"), 16)


def test_revert_takes_blocks_receipts_and_state_back(node: DevnetProcess) -> None:
    snapshot = node.call("evm_snapshot")
    before = height(node)
    sent = send(node)
    assert balance(node) == 1
    assert node.call("evm_revert", snapshot) is True
    assert (balance(node), height(node)) == (0, before)
    assert node.call("eth_getTransactionReceipt", sent) is None
    assert node.call("evm_revert", snapshot) is False


def test_the_same_transaction_can_be_sent_again_after_a_revert(node: DevnetProcess) -> None:
    snapshot = node.call("evm_snapshot")
    first = send(node)
    node.call("evm_revert", snapshot)
    assert send(node) == first
    assert node.call("eth_getTransactionReceipt", first)["status"] == "0x1"


def test_balance_nonce_code_and_storage_are_set_without_a_block(node: DevnetProcess) -> None:
    before = height(node)
    node.call("hardhat_setBalance", NOBODY, "0x64")
    node.call("anvil_setNonce", NOBODY, "0x5")
    node.call("anvil_setCode", NOBODY, "0x60015f5260205ff3")
    node.call("hardhat_setStorageAt", NOBODY, "0x0", "0x" + "11".zfill(64))
    assert balance(node) == 100
    assert node.call("eth_getTransactionCount", NOBODY, "latest") == "0x5"
    assert node.call("eth_call", {"to": NOBODY}, "latest") == "0x" + "1".zfill(64)
    assert int(node.call("eth_getStorageAt", NOBODY, "0x0", "latest"), 16) == 0x11
    assert height(node) == before


def test_blocks_after_an_edit_build_on_it(node: DevnetProcess) -> None:
    node.call("hardhat_setBalance", NOBODY, "0x64")
    send(node, 1)
    send(node, 2)
    assert balance(node) == 103
    assert balance(node, at=hex(height(node) - 1)) == 101


def test_an_edit_after_a_snapshot_is_reverted_too(node: DevnetProcess) -> None:
    node.call("hardhat_setBalance", NOBODY, "0x1")
    snapshot = node.call("evm_snapshot")
    node.call("hardhat_setBalance", NOBODY, "0x2")
    send(node, 5)
    node.call("hardhat_setBalance", NOBODY, "0x3")
    node.call("evm_revert", snapshot)
    assert balance(node) == 1
    send(node, 4)
    assert balance(node) == 5


def test_time_moves_as_told(node: DevnetProcess) -> None:
    node.call("evm_increaseTime", 3600)
    node.call("evm_mine")
    first = int(node.call("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
    node.call("evm_setNextBlockTimestamp", first + 1000)
    node.call("evm_mine")
    second = int(node.call("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
    assert second == first + 1000
    with pytest.raises(RpcFailure, match="before the head"):
        node.call("evm_setNextBlockTimestamp", first)
    node.call("evm_setNextBlockTimestamp", second + 5)


def test_mining_many_blocks_at_intervals(node: DevnetProcess) -> None:
    before = height(node)
    node.call("hardhat_mine", "0x5", "0x3c")
    assert height(node) == before + 5
    times = [
        int(node.call("eth_getBlockByNumber", hex(number), False)["timestamp"], 16)
        for number in range(before + 1, before + 6)
    ]
    assert [later - earlier for earlier, later in zip(times, times[1:], strict=False)] == [60] * 4


def test_without_automine_transactions_wait_for_a_block(node: DevnetProcess) -> None:
    node.call("evm_setAutomine", False)
    try:
        sent = send(node)
        assert node.call("eth_getTransactionReceipt", sent) is None
        assert balance(node) == 0
        assert balance(node, at="pending") == 1
        assert node.call("eth_getTransactionCount", node.accounts[0]["address"], "pending") != node.call(
            "eth_getTransactionCount", node.accounts[0]["address"], "latest"
        )
        node.call("evm_mine")
        assert node.call("eth_getTransactionReceipt", sent)["status"] == "0x1"
    finally:
        node.call("evm_setAutomine", True)


def test_a_dropped_transaction_is_gone(node: DevnetProcess) -> None:
    node.call("evm_setAutomine", False)
    try:
        sent = send(node)
        assert node.call("anvil_dropTransaction", sent)
        node.call("evm_mine")
        assert node.call("eth_getTransactionByHash", sent) is None
    finally:
        node.call("evm_setAutomine", True)


def test_an_impersonated_account_needs_no_key(node: DevnetProcess) -> None:
    node.call("hardhat_setBalance", NOBODY, hex(10**18))
    request = {"from": NOBODY, "to": node.accounts[1]["address"], "value": "0x1"}
    with pytest.raises(RpcFailure, match="unknown account"):
        node.call("eth_sendTransaction", request)
    node.call("hardhat_impersonateAccount", NOBODY)
    sent = node.call("eth_sendTransaction", request)
    receipt = node.call("eth_getTransactionReceipt", sent)
    assert (receipt["status"], receipt["from"]) == ("0x1", NOBODY)
    node.call("hardhat_stopImpersonatingAccount", NOBODY)
    with pytest.raises(RpcFailure, match="unknown account"):
        node.call("eth_sendTransaction", request)


def test_an_unsigned_transaction_from_outside_is_refused(node: DevnetProcess) -> None:
    """The form in which impersonated transactions are kept has s = 0."""
    from dmchain.chain.primitives.transaction import UnsignedTransaction
    from dmchain.chain.primitives.types import Address
    from dmchain.node.devnet import make_impersonated

    sender = Address(bytes.fromhex(node.accounts[0]["address"][2:]))
    forged = make_impersonated(UnsignedTransaction(2, 1337, 0, 21_000, 10**10, 1, sender, 1), sender)
    with pytest.raises(RpcFailure):
        node.call("eth_sendRawTransaction", "0x" + forged.raw.hex())


def test_next_base_fee_and_gas_limit_are_obeyed(node: DevnetProcess) -> None:
    node.call("hardhat_setNextBlockBaseFeePerGas", "0x10")
    node.call("evm_mine")
    assert node.call("eth_getBlockByNumber", "latest", False)["baseFeePerGas"] == "0x10"
    node.call("evm_setBlockGasLimit", hex(12_345_678))
    node.call("evm_mine")
    assert int(node.call("eth_getBlockByNumber", "latest", False)["gasLimit"], 16) == 12_345_678
    node.call("evm_setBlockGasLimit", hex(30_000_000))


def test_dumped_state_loads_into_another_chain(node: DevnetProcess) -> None:
    node.call("hardhat_setBalance", NOBODY, "0x99")
    node.call("hardhat_setStorageAt", NOBODY, "0x1", "0x" + "22".zfill(64))
    dump = node.call("anvil_dumpState")
    node.call("hardhat_setBalance", NOBODY, "0x0")
    node.call("hardhat_setStorageAt", NOBODY, "0x1", "0x" + "00".zfill(64))
    node.call("anvil_loadState", dump)
    assert balance(node) == 0x99
    assert int(node.call("eth_getStorageAt", NOBODY, "0x1", "latest"), 16) == 0x22
    with pytest.raises(RpcFailure, match="state"):
        node.call("anvil_loadState", "0x1234")


def test_proofs_hold_at_head_and_before(node: DevnetProcess) -> None:
    from dmchain.chain.primitives.crypto import keccak
    from dmchain.chain.trie import verify_proof

    account = node.accounts[0]["address"]
    for value in (1, 2, 3):
        send(node, value)
    for at in range(height(node), height(node) - 3, -1):
        block = node.call("eth_getBlockByNumber", hex(at), False)
        proof = node.call("eth_getProof", account, [], hex(at))
        nodes = [bytes.fromhex(item[2:]) for item in proof["accountProof"]]
        root = bytes.fromhex(block["stateRoot"][2:])
        assert verify_proof(root, keccak(bytes.fromhex(account[2:])), nodes) is not None
        assert proof["balance"] == node.call("eth_getBalance", account, hex(at))


def test_reset_goes_back_to_genesis_and_can_be_repeated(tmp_path: pytest.TempPathFactory) -> None:
    with DevnetProcess(tmp_path) as fresh:  # type: ignore[arg-type]
        fresh.call("hardhat_setBalance", NOBODY, "0x5")
        send(fresh, 2)
        fresh.call("hardhat_reset")
        assert (height(fresh), balance(fresh)) == (0, 0)
        send(fresh, 2)
        assert (height(fresh), balance(fresh)) == (1, 2)
