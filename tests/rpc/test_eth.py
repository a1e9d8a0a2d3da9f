"""eth_ methods that read."""

from __future__ import annotations

from typing import Any

import pytest

from dmchain.chain.primitives.block import Log
from dmchain.chain.primitives.crypto import keccak
from dmchain.rpc.backend import SyncStatus
from tests.rpc.asking import Asker, Refused
from tests.rpc.fake import ALICE, BOB, EMITTER, KEYS, FakeChain, transfer

UNKNOWN = "0x" + "00" * 31 + "07"


def hexed(data: bytes) -> str:
    return "0x" + data.hex()


def refused(ask: Asker, method: str, *params: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        ask(method, *params)
    return caught.value


def test_identity(ask: Asker, chain: FakeChain) -> None:
    assert ask("eth_chainId") == "0x539"
    assert ask("eth_blockNumber") == "0x0"
    assert ask("eth_syncing") is False
    chain.status = SyncStatus(0, 5, 16)
    assert ask("eth_syncing") == {"startingBlock": "0x0", "currentBlock": "0x5", "highestBlock": "0x10"}
    assert ask("eth_accounts") == [hexed(ALICE), hexed(BOB)]
    assert ask("eth_protocolVersion") == "0x44"
    assert ask("eth_mining") is True and ask("eth_hashrate") == "0x0"
    assert ask("eth_config")["current"]["forkId"] == "0xe29a7b81"
    assert ask("eth_capabilities")["head"]["number"] == "0x0"


def test_unknown_methods_have_geths_words(ask: Asker) -> None:
    error = refused(ask, "eth_foo")
    assert (error.code, error.message) == (-32601, "the method eth_foo does not exist/is not available")


def test_blocks_by_number_tag_and_hash(ask: Asker, chain: FakeChain) -> None:
    tx = transfer()
    header = chain.mine([tx])
    by_number = ask("eth_getBlockByNumber", "0x1", False)
    assert by_number["transactions"] == [hexed(tx.hash)]
    assert by_number["hash"] == hexed(header.hash)
    for tag in ("latest", "safe", "finalized"):
        assert ask("eth_getBlockByNumber", tag, False) == by_number
    assert ask("eth_getBlockByHash", hexed(header.hash), False) == by_number
    assert ask("eth_getBlockByHash", hexed(header.hash)) == by_number
    assert ask("eth_getBlockByNumber", "earliest", False)["number"] == "0x0"
    full = ask("eth_getBlockByNumber", "latest", True)
    assert full["transactions"][0]["from"] == hexed(ALICE)
    assert ask("eth_getBlockByNumber", "earliest", True)["transactions"] == []
    assert "totalDifficulty" not in full and full["uncles"] == []
    assert ask("eth_getHeaderByNumber", "0x1")["hash"] == hexed(header.hash)


def test_blocks_that_are_not_there_are_null(ask: Asker) -> None:
    assert ask("eth_getBlockByNumber", "0x9", False) is None
    assert ask("eth_getBlockByHash", UNKNOWN, True) is None
    assert ask("eth_getHeaderByHash", UNKNOWN) is None
    assert ask("eth_getBlockReceipts", "0x9") is None
    assert ask("eth_getBlockReceipts", UNKNOWN) is None
    assert ask("eth_getBlockTransactionCountByNumber", "0x9") is None
    assert ask("eth_getUncleCountByBlockHash", UNKNOWN) is None


def test_the_pending_block_shows_the_pool(ask: Asker, chain: FakeChain) -> None:
    chain.add_waiting(transfer())
    block = ask("eth_getBlockByNumber", "pending", True)
    assert block["number"] == "0x1" and block["hash"] is None
    assert block["transactions"][0]["hash"] == hexed(transfer().hash)
    assert ask("eth_getBlockTransactionCountByNumber", "pending") == "0x1"
    assert ask("eth_getTransactionByBlockNumberAndIndex", "pending", "0x0")["hash"] == hexed(transfer().hash)
    assert ask("eth_getTransactionByBlockNumberAndIndex", "pending", "0x1") is None


def test_uncles_are_counted_and_never_shown(ask: Asker) -> None:
    assert ask("eth_getUncleCountByBlockNumber", "latest") == "0x0"
    assert ask("eth_getUncleByBlockNumberAndIndex", "latest", "0x0") is None


def test_transactions(ask: Asker, chain: FakeChain) -> None:
    tx = transfer()
    assert ask("eth_getTransactionByHash", hexed(tx.hash)) is None
    chain.add_waiting(tx)
    assert ask("eth_getTransactionByHash", hexed(tx.hash))["blockHash"] is None
    assert ask("eth_getTransactionReceipt", hexed(tx.hash)) is None
    header = chain.mine([transfer(KEYS[1]), tx])
    shown = ask("eth_getTransactionByHash", hexed(tx.hash))
    assert (shown["blockHash"], shown["transactionIndex"]) == (hexed(header.hash), "0x1")
    assert shown["blockTimestamp"] == hex(header.timestamp)
    assert ask("eth_getTransactionByBlockHashAndIndex", hexed(header.hash), "0x1") == shown
    assert ask("eth_getTransactionByBlockNumberAndIndex", "0x1", "0x1") == shown
    assert ask("eth_getTransactionByBlockNumberAndIndex", "0x1", "0x2") is None
    assert ask("eth_getTransactionByBlockNumberAndIndex", "0x7", "0x0") is None
    assert ask("eth_getRawTransactionByHash", hexed(tx.hash)) == hexed(tx.raw)
    assert ask("eth_getRawTransactionByBlockNumberAndIndex", "0x1", "0x1") == hexed(tx.raw)
    assert ask("eth_getRawTransactionByBlockHashAndIndex", hexed(header.hash), "0x3") is None
    assert ask("eth_getBlockTransactionCountByHash", hexed(header.hash)) == "0x2"


def test_receipts_number_logs_within_the_block(ask: Asker, chain: FakeChain) -> None:
    log = Log(EMITTER, (keccak(b"a"),), b"\x01")
    chain.mine([transfer(), transfer(KEYS[1])], {0: [log, log], 1: [log]})
    receipts = ask("eth_getBlockReceipts", "latest")
    assert [entry["logIndex"] for receipt in receipts for entry in receipt["logs"]] == ["0x0", "0x1", "0x2"]
    assert ask("eth_getTransactionReceipt", receipts[1]["transactionHash"]) == receipts[1]
    assert receipts[0]["contractAddress"] is None and receipts[0]["status"] == "0x1"
    chain.mine([transfer(nonce=1, to=b"", data=b"\x00")])
    created = ask("eth_getBlockReceipts", "0x2")[0]
    assert created["to"] is None and len(created["contractAddress"]) == 42


def test_state_at_every_kind_of_block(ask: Asker, chain: FakeChain) -> None:
    header = chain.mine([])
    places: list[Any] = ["latest", "pending", "safe", "earliest", "0x1", hexed(header.hash)]
    places += [{"blockHash": hexed(header.hash), "requireCanonical": True}, {"blockNumber": "0x1"}, None]
    for block in places:
        assert ask("eth_getBalance", hexed(ALICE), block) == hex(10**18)
    assert ask("eth_getBalance", hexed(ALICE)) == hex(10**18)
    assert ask.by_name("eth_getBalance", address=hexed(ALICE), block="0x1") == hex(10**18)


def test_state_of_blocks_that_are_not_there_is_an_error(ask: Asker, chain: FakeChain) -> None:
    assert refused(ask, "eth_getBalance", hexed(ALICE), "0x9").message == "header not found"
    assert refused(ask, "eth_getBalance", hexed(ALICE), UNKNOWN).message == "header for hash not found"
    chain.mine([])
    chain.oldest_state = 1
    assert "historical state of block 0 is not available" in refused(ask, "eth_getCode", hexed(ALICE), "0x0").message


def test_accounts(ask: Asker, chain: FakeChain) -> None:
    chain.codes[EMITTER] = b"\x60\x00"
    chain.slots[(EMITTER, 1)] = 42
    emitter = hexed(EMITTER)
    assert ask("eth_getCode", emitter) == "0x6000"
    assert ask("eth_getCode", hexed(BOB), "latest") == "0x"
    assert ask("eth_getStorageAt", emitter, "0x1", "latest") == f"0x{42:064x}"
    assert ask("eth_getStorageAt", emitter, "0x" + "0" * 63 + "1") == f"0x{42:064x}"
    assert refused(ask, "eth_getStorageAt", emitter, "0xasdf", "latest").code == -32602
    assert ask("eth_getStorageValues", {emitter: ["0x1", "0x2"]}, "latest") == {
        emitter: [f"0x{42:064x}", f"0x{0:064x}"]
    }
    assert "empty request" in refused(ask, "eth_getStorageValues", {}, "latest").message
    assert ask("eth_getAccountInfo", emitter, "0x0") == {"balance": "0x0", "nonce": "0x0", "code": "0x6000"}
    assert ask("eth_getBalance", hexed(b"\x01" * 20), "latest") == "0x0"


def test_nonces_count_the_pool_only_when_pending(ask: Asker, chain: FakeChain) -> None:
    chain.add_waiting(transfer())
    assert ask("eth_getTransactionCount", hexed(ALICE), "latest") == "0x0"
    assert ask("eth_getTransactionCount", hexed(ALICE), "pending") == "0x1"
    chain.mine([transfer()])
    assert ask("eth_getTransactionCount", hexed(ALICE)) == "0x1"


def test_proofs_show_keys_as_they_were_asked(ask: Asker) -> None:
    word = "0x" + "00" * 31 + "02"
    proof = ask("eth_getProof", hexed(EMITTER), ["0x0", "0x01", word], "latest")
    assert [entry["key"] for entry in proof["storageProof"]] == ["0x0", "0x1", word]
    assert proof["accountProof"] == ["0xc0"] and proof["address"] == hexed(EMITTER)
    assert ask("eth_getProof", hexed(EMITTER), [])["storageProof"] == []
    error = refused(ask, "eth_getProof", hexed(EMITTER), ["0x0"] * 1025, "latest")
    assert (error.code, error.message) == (-32602, "too many slots (max 1024): got 1025")


@pytest.mark.parametrize(
    ("method", "params", "text"),
    [
        ("eth_getBalance", [], "missing value for required argument 0 (address)"),
        ("eth_getBalance", ["0x1"], "invalid argument 0 (address)"),
        ("eth_getBalance", ["0x" + "11" * 20, "newest"], "invalid argument 1 (block)"),
        ("eth_getBlockByNumber", ["2", True], "invalid argument 0 (block): hex string without 0x prefix"),
        ("eth_getBlockByNumber", ["0x1", "yes"], "invalid argument 1 (fullTransactions)"),
        ("eth_getTransactionByHash", ["0x12"], "invalid argument 0 (transactionHash)"),
        ("eth_chainId", [1], "too many arguments, want at most 0: got 1"),
    ],
)
def test_bad_arguments_are_named(ask: Asker, method: str, params: list[Any], text: str) -> None:
    error = refused(ask, method, *params)
    assert error.code == -32602 and text in error.message
