"""What a client can verify by itself: hashes, roots and proofs, recomputed from JSON with other libraries."""

from __future__ import annotations

from typing import Any

import pytest
import rlp
from eth_account.signers.local import LocalAccount
from eth_bloom import BloomFilter
from eth_utils import keccak
from trie import HexaryTrie
from web3 import Web3

from tests.clients.nodes import Node
from tests.clients.toolchain import Contract

# Prague header, in RLP order (EIP-1559, 4895, 4844, 4788, 7685), with the width of fixed-size fields
HEADER_FIELDS = (
    ("parentHash", 32),
    ("sha3Uncles", 32),
    ("miner", 20),
    ("stateRoot", 32),
    ("transactionsRoot", 32),
    ("receiptsRoot", 32),
    ("logsBloom", 256),
    ("difficulty", None),
    ("number", None),
    ("gasLimit", None),
    ("gasUsed", None),
    ("timestamp", None),
    ("extraData", -1),
    ("mixHash", 32),
    ("nonce", 8),
    ("baseFeePerGas", None),
    ("withdrawalsRoot", 32),
    ("blobGasUsed", None),
    ("excessBlobGas", None),
    ("parentBeaconBlockRoot", 32),
    ("requestsHash", 32),
)
GWEI = 10**9


def compute_header_hash(block: dict[str, Any]) -> str:
    """Keccak of the header's RLP; the widths of its fields are checked on the way."""
    fields: list[Any] = []
    for name, width in HEADER_FIELDS:
        if width is None:
            fields.append(int(block[name], 16))
            assert block[name] == hex(fields[-1]), f"{name} is not a canonical quantity: {block[name]}"
        else:
            raw = bytes.fromhex(block[name][2:])
            assert width in (-1, len(raw)), f"{name} has {len(raw)} bytes"
            fields.append(raw)
    return "0x" + keccak(rlp.encode(fields)).hex()


def compute_ordered_root(items: list[bytes]) -> str:
    """Root of the trie from RLP(index) to item (yellow paper, 4.4.3)."""
    tree = HexaryTrie({})
    for index, item in enumerate(items):
        tree[rlp.encode(index)] = item
    return "0x" + tree.root_hash.hex()


def encode_receipt(receipt: dict[str, Any]) -> bytes:
    """Consensus encoding of a receipt (EIP-2718)."""
    logs = [
        [
            bytes.fromhex(log["address"][2:]),
            [bytes.fromhex(t[2:]) for t in log["topics"]],
            bytes.fromhex(log["data"][2:]),
        ]
        for log in receipt["logs"]
    ]
    body = rlp.encode(
        [
            int(receipt["status"], 16),
            int(receipt["cumulativeGasUsed"], 16),
            bytes.fromhex(receipt["logsBloom"][2:]),
            logs,
        ]
    )
    kind = int(receipt["type"], 16)
    return bytes((kind,)) + body if kind else body


@pytest.fixture(scope="module")
def busy_block(node: Node, w3: Web3, tokens: dict[str, Contract]) -> dict[str, Any]:
    """The block of an ERC-20 transfer, after some transactions of other types."""
    sender = w3.eth.account.from_key(node.accounts[1].private_key)
    built = tokens["Coin"]
    coin = w3.eth.contract(abi=built.abi, bytecode=built.bytecode)
    nonce = w3.eth.get_transaction_count(sender.address)
    shared = {"chainId": node.chain_id, "value": 0, "maxFeePerGas": 10 * GWEI, "maxPriorityFeePerGas": GWEI}
    deployment = {
        **shared,
        "nonce": nonce,
        "gas": 2_000_000,
        "data": coin.constructor(10**6).data_in_transaction,
    }
    deployed = send(node, sender, deployment)
    send(
        node,
        sender,
        {
            "chainId": node.chain_id,
            "to": sender.address,
            "value": 1,
            "gas": 21000,
            "gasPrice": 10 * GWEI,
            "nonce": nonce + 1,
        },
    )
    coin = w3.eth.contract(w3.to_checksum_address(deployed["contractAddress"]), abi=built.abi)
    data = coin.encode_abi("transfer", [sender.address, 5])
    receipt = send(node, sender, {**shared, "nonce": nonce + 2, "gas": 100_000, "to": coin.address, "data": data})
    block: dict[str, Any] = node.call("eth_getBlockByHash", receipt["blockHash"], True)
    return block


def send(node: Node, sender: LocalAccount, transaction: dict[str, Any]) -> dict[str, Any]:
    raw = sender.sign_transaction(transaction).raw_transaction
    receipt = node.wait_for_receipt(node.call("eth_sendRawTransaction", "0x" + raw.hex()))
    assert receipt["status"] == "0x1"
    return receipt


def test_hash_of_every_block_is_the_hash_of_its_fields(node: Node, busy_block: dict[str, Any]) -> None:
    parent = None
    for number in range(int(busy_block["number"], 16) + 1):
        block = node.call("eth_getBlockByNumber", hex(number), False)
        assert compute_header_hash(block) == block["hash"]
        assert parent is None or block["parentHash"] == parent["hash"]
        assert parent is None or int(block["timestamp"], 16) >= int(parent["timestamp"], 16)
        parent = block


def test_transactions_root_commits_to_the_raw_transactions(node: Node, busy_block: dict[str, Any]) -> None:
    raws = [bytes.fromhex(node.call("eth_getRawTransactionByHash", t["hash"])[2:]) for t in busy_block["transactions"]]
    assert [("0x" + keccak(raw).hex()) for raw in raws] == [t["hash"] for t in busy_block["transactions"]]
    assert compute_ordered_root(raws) == busy_block["transactionsRoot"]


def test_receipts_root_and_bloom_commit_to_the_receipts(node: Node, busy_block: dict[str, Any]) -> None:
    receipts = node.call("eth_getBlockReceipts", busy_block["hash"])
    assert compute_ordered_root([encode_receipt(r) for r in receipts]) == busy_block["receiptsRoot"]
    assert receipts[-1]["cumulativeGasUsed"] == busy_block["gasUsed"]
    bloom = BloomFilter()
    logs = [log for receipt in receipts for log in receipt["logs"]]
    assert logs
    for log in logs:
        for value in (log["address"], *log["topics"]):
            bloom.add(bytes.fromhex(value[2:]))
    assert int(bloom) == int(busy_block["logsBloom"], 16)


def test_sender_of_each_transaction_is_the_signer(node: Node, w3: Web3, busy_block: dict[str, Any]) -> None:
    for transaction in busy_block["transactions"]:
        raw = node.call("eth_getRawTransactionByHash", transaction["hash"])
        assert w3.eth.account.recover_transaction(raw).lower() == transaction["from"].lower()


def test_base_fee_follows_the_parent(node: Node, busy_block: dict[str, Any]) -> None:
    parent = node.call("eth_getBlockByHash", busy_block["parentHash"], False)
    base_fee, used = int(parent["baseFeePerGas"], 16), int(parent["gasUsed"], 16)
    target = int(parent["gasLimit"], 16) // 2
    delta = base_fee * abs(used - target) // target // 8
    expected = base_fee + max(delta, 1) if used > target else base_fee - delta if used < target else base_fee
    assert int(busy_block["baseFeePerGas"], 16) == expected


def test_the_same_block_is_told_by_hash_number_and_index(node: Node, busy_block: dict[str, Any]) -> None:
    assert node.call("eth_getBlockByNumber", busy_block["number"], True) == busy_block
    brief = node.call("eth_getBlockByNumber", busy_block["number"], False)
    assert brief["transactions"] == [t["hash"] for t in busy_block["transactions"]]
    assert busy_block["uncles"] == []
    count = hex(len(busy_block["transactions"]))
    assert node.call("eth_getBlockTransactionCountByHash", busy_block["hash"]) == count
    assert node.call("eth_getBlockTransactionCountByNumber", busy_block["number"]) == count
    assert node.call("eth_getUncleCountByBlockHash", busy_block["hash"]) == "0x0"
    for index, transaction in enumerate(busy_block["transactions"]):
        assert node.call("eth_getTransactionByBlockHashAndIndex", busy_block["hash"], hex(index)) == transaction
        assert node.call("eth_getTransactionByBlockNumberAndIndex", busy_block["number"], hex(index)) == transaction
        assert node.call("eth_getTransactionByHash", transaction["hash"]) == transaction
    assert node.call("eth_getTransactionByBlockHashAndIndex", busy_block["hash"], "0xff") is None


def test_logs_are_the_same_in_receipts_and_queries(node: Node, busy_block: dict[str, Any]) -> None:
    in_receipts = [log for r in node.call("eth_getBlockReceipts", busy_block["number"]) for log in r["logs"]]
    assert node.call("eth_getLogs", {"blockHash": busy_block["hash"]}) == in_receipts
    span = {"fromBlock": busy_block["number"], "toBlock": busy_block["number"]}
    assert node.call("eth_getLogs", span) == in_receipts
    assert [int(log["logIndex"], 16) for log in in_receipts] == list(range(len(in_receipts)))
    assert in_receipts[0]["blockTimestamp"] == busy_block["timestamp"]
    assert (
        node.call("eth_getLogs", {**span, "topics": [["0x" + "00" * 32, in_receipts[0]["topics"][0]]]}) == in_receipts
    )
    assert node.call("eth_getLogs", {**span, "topics": [None, "0x" + "00" * 32]}) == []


def test_account_and_storage_proofs_lead_to_the_state_root(node: Node, busy_block: dict[str, Any]) -> None:
    coin = busy_block["transactions"][0]["to"]
    holder = busy_block["transactions"][0]["from"]
    slot = keccak(bytes.fromhex(holder[2:]).rjust(32, b"\0") + bytes(32))  # balances are in slot 0
    proof = node.call("eth_getProof", coin, ["0x" + slot.hex(), "0x" + "0f".rjust(64, "0")], busy_block["number"])
    account = rlp.decode(trie_value(busy_block["stateRoot"], keccak(hexstr=coin), proof["accountProof"]))
    assert [int.from_bytes(account[0], "big"), int.from_bytes(account[1], "big")] == [
        int(proof["nonce"], 16),
        int(proof["balance"], 16),
    ]
    assert ["0x" + account[2].hex(), "0x" + account[3].hex()] == [proof["storageHash"], proof["codeHash"]]
    assert keccak(hexstr=node.call("eth_getCode", coin, "latest")) == account[3]
    held, absent = proof["storageProof"]
    assert rlp.decode(trie_value(proof["storageHash"], keccak(slot), held["proof"])) == (10**6).to_bytes(3, "big")
    assert (held["value"], absent["value"]) == (hex(10**6), "0x0")
    assert trie_value(proof["storageHash"], keccak(b"\x0f".rjust(32, b"\0")), absent["proof"]) == b""


def trie_value(root: str, key: bytes, proof: list[str]) -> bytes:
    nodes = [rlp.decode(bytes.fromhex(node[2:])) for node in proof]
    return bytes(HexaryTrie.get_from_proof(bytes.fromhex(root[2:]), key, nodes))


def test_what_is_not_there_is_null(node: Node) -> None:
    nothing = "0x" + "42" * 32
    assert node.call("eth_getBlockByHash", nothing, False) is None
    assert node.call("eth_getBlockByNumber", "0xfffffff", False) is None
    assert node.call("eth_getTransactionByHash", nothing) is None
    assert node.call("eth_getTransactionReceipt", nothing) is None
    assert node.call("eth_getBlockReceipts", "0xfffffff") is None


def test_short_storage_keys_and_no_total_difficulty(own_node: Node, busy_block: dict[str, Any]) -> None:
    coin = busy_block["transactions"][0]["to"]
    proof = own_node.call("eth_getProof", coin, ["0x2", "0x0"], "latest")
    assert [int(entry["value"], 16) for entry in proof["storageProof"]] == [10**6, 0]
    assert own_node.call("eth_getStorageAt", coin, "0x2", "latest") == "0x" + (10**6).to_bytes(32, "big").hex()
    assert "totalDifficulty" not in busy_block
