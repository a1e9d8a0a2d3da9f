"""net_, web3_, txpool_, debug_ and dm_ methods."""

from __future__ import annotations

from typing import Any

import pytest

from dmchain.chain.primitives.crypto import keccak
from dmchain.chain.primitives.types import Hash32
from dmchain.rpc.api import build_methods
from dmchain.rpc.backend import Backend, CallLimits, CallRequest, TraceConfig
from dmchain.rpc.debug import parse_duration
from dmchain.rpc.errors import InvalidParams
from tests.rpc.asking import Asker, Refused
from tests.rpc.fake import ALICE, BOB, KEYS, FakeChain, make_backend, transfer


def hexed(data: bytes) -> str:
    return "0x" + data.hex()


def refused(ask: Asker, method: str, *params: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        ask(method, *params)
    return caught.value


def test_net_and_web3(ask: Asker) -> None:
    assert ask("net_version") == "1337"
    assert ask("net_listening") is True
    assert ask("net_peerCount") == "0x3"
    assert ask("web3_clientVersion") == "dmchain/v0.1.0/test"
    assert ask("web3_sha3", "0x68656c6c6f") == hexed(keccak(b"hello"))
    assert "eth" in ask("rpc_modules")


def test_the_pool_in_geths_shapes(ask: Asker, chain: FakeChain) -> None:
    assert ask("txpool_status") == {"pending": "0x0", "queued": "0x0"}
    for nonce in (1, 0, 10):
        chain.add_waiting(transfer(nonce=nonce))
    chain.add_waiting(transfer(KEYS[1], to=b"", data=b"\x00"))
    assert ask("txpool_status")["pending"] == "0x4"
    content = ask("txpool_content")
    senders = {key.lower(): value for key, value in content["pending"].items()}
    assert list(senders[hexed(ALICE)]) == ["0", "1", "10"]
    assert any(key != key.lower() for key in content["pending"])
    assert senders[hexed(ALICE)]["0"]["blockHash"] is None and content["queued"] == {}
    inspect = {key.lower(): value for key, value in ask("txpool_inspect")["pending"].items()}
    assert inspect[hexed(ALICE)]["0"] == f"{hexed(BOB)}: 5 wei + 50000 gas × 3000000000 wei"
    assert inspect[hexed(BOB)]["0"].startswith("contract creation: ")
    assert list(ask("txpool_contentFrom", hexed(ALICE))["pending"]) == ["0", "1", "10"]
    assert ask("txpool_contentFrom", "0x" + "00" * 20) == {"pending": {}, "queued": {}}


def test_raw_data(ask: Asker, chain: FakeChain) -> None:
    tx = transfer()
    header = chain.mine([tx])
    assert ask("debug_getRawHeader", "0x1") == hexed(header.encode())
    assert ask("debug_getRawHeader", hexed(header.hash)) == hexed(header.encode())
    assert ask("debug_getRawBlock", "latest") == hexed(chain.blocks[1].block.encode())
    assert ask("debug_getRawReceipts", "0x1") == [hexed(chain.blocks[1].receipts[0].encode())]
    assert ask("debug_getRawReceipts", "0x0") == []
    assert ask("debug_getRawTransaction", hexed(tx.hash)) == hexed(tx.raw)
    assert ask("debug_getRawTransaction", hexed(header.hash)) == "0x"
    assert ask("debug_getBadBlocks") == []
    assert refused(ask, "debug_getRawBlock", "0x9").message == "block not found"
    assert refused(ask, "debug_getRawBlock", "2").code == -32602


class EchoTracer:
    """Answers with what it was asked."""

    def trace_transaction(self, transaction_hash: Hash32, config: TraceConfig, limits: CallLimits) -> Any:
        return {"tracer": config.tracer, "options": config.options, "timeout": config.timeout_seconds}

    def trace_block(self, height: int, config: TraceConfig, limits: CallLimits) -> list[tuple[Hash32, Any]]:
        return [(Hash32(bytes(32)), {"height": height, "limit": config.limit})]

    def trace_call(self, request: CallRequest, config: TraceConfig, limits: CallLimits) -> Any:
        return {"gas": request.message.gas, "memory": config.enable_memory, "number": request.block_overrides.number}


def test_traces_exist_only_with_a_tracer(ask: Asker, chain: FakeChain) -> None:
    tx = transfer()
    header = chain.mine([tx])
    assert refused(ask, "debug_traceTransaction", hexed(tx.hash)).code == -32601
    traced = Asker(Backend(chain, tracer=EchoTracer()))
    options = {"tracer": "callTracer", "timeout": "5s", "tracerConfig": {"onlyTopCall": True}}
    assert traced("debug_traceTransaction", hexed(tx.hash), options) == {
        "tracer": "callTracer",
        "options": {"onlyTopCall": True},
        "timeout": 5.0,
    }
    assert traced("debug_traceBlockByNumber", "latest", {"limit": 3}) == [
        {"txHash": "0x" + "00" * 32, "result": {"height": 1, "limit": 3}}
    ]
    assert traced("debug_traceBlockByHash", hexed(header.hash))[0]["result"]["height"] == 1
    config = {"enableMemory": True, "blockOverrides": {"number": "0x7"}}
    assert traced("debug_traceCall", {"gas": "0x9"}, "latest", config) == {"gas": 9, "memory": True, "number": 7}
    assert refused(traced, "debug_traceTransaction", "0x" + "00" * 32).message == "transaction not found"
    bad_configs: list[dict[str, Any]] = [{"tracer": 5}, {"tracerConfig": []}, {"limit": -1}, {"enableMemory": 1}]
    for bad in [*bad_configs, {"timeout": "soon"}]:
        assert refused(traced, "debug_traceTransaction", hexed(tx.hash), bad).code == -32602


def test_durations() -> None:
    assert [parse_duration(text) for text in ("5s", "300ms", "1.5m", "2h")] == [5.0, 0.3, 90.0, 7200.0]
    for bad in ("5", "s", "-5s", "inf s", "1_0s", 5, None, "5d", "٥s"):
        with pytest.raises(InvalidParams):
            parse_duration(bad)


def test_node_info(ask: Asker, chain: FakeChain) -> None:
    info = ask("dm_nodeInfo")
    assert info["head"] == {
        "number": "0x0",
        "hash": hexed(chain.head().hash),
        "timestamp": hex(chain.head().timestamp),
    }
    assert info["devnet"] is True and info["problem"] is None and info["validatorCount"] == "0x4"


def test_datasets_and_licenses(ask: Asker) -> None:
    known, unknown = f"0x{1:064x}", f"0x{99:064x}"
    assert ask("dm_getDataset", known)["sizeBytes"] == hex(1000)
    assert ask("dm_getDataset", unknown) is None
    assert ask("dm_getLicense", known, hexed(BOB), "latest")["valid"] is True
    assert ask("dm_getLicense", known, hexed(ALICE)) is None


def test_datasets_come_in_pages(ask: Asker) -> None:
    found, cursor = [], None
    while True:
        page = ask("dm_listDatasets", {"limit": 2, "cursor": cursor})
        found += [item["datasetId"] for item in page["datasets"]]
        cursor = page["nextCursor"]
        if cursor is None:
            break
    assert found == [f"0x{number:064x}" for number in range(5)]
    assert ask("dm_listDatasets", {"owner": hexed(BOB)}) == {"datasets": [], "nextCursor": None}
    assert len(ask("dm_listDatasets")["datasets"]) == 5
    for options, text in (({"limit": 0}, "limit: expected 1 to 100, got 0"), ({"owner": "0x1"}, "owner: ")):
        assert text in refused(ask, "dm_listDatasets", options).message


def test_signing_control_and_market_exist_only_where_they_belong(chain: FakeChain) -> None:
    devnet, validator = build_methods(make_backend(chain)), build_methods(Backend(chain))
    only_devnet = devnet.keys() - validator.keys()
    assert {"evm_snapshot", "hardhat_setBalance", "anvil_mine", "eth_sign", "eth_sendTransaction"} <= only_devnet
    assert {"dm_getDataset"} <= only_devnet
    assert not any(name.startswith(("evm_", "hardhat_", "anvil_", "personal_")) for name in validator)
    assert "eth_accounts" in validator and Asker(Backend(chain))("eth_accounts") == []


MUST = """
eth_chainId eth_blockNumber eth_getBlockByNumber eth_getBalance eth_getCode eth_getStorageAt eth_getTransactionCount
eth_call eth_estimateGas eth_gasPrice eth_sendRawTransaction eth_getTransactionByHash eth_getTransactionReceipt
eth_getLogs net_version web3_clientVersion eth_feeHistory eth_getBlockByHash eth_getTransactionByBlockHashAndIndex
eth_getTransactionByBlockNumberAndIndex eth_getBlockTransactionCountByHash eth_getBlockTransactionCountByNumber
eth_getUncleCountByBlockHash eth_getUncleCountByBlockNumber eth_newFilter eth_newBlockFilter
eth_newPendingTransactionFilter eth_getFilterChanges eth_getFilterLogs eth_uninstallFilter eth_subscribe
eth_unsubscribe debug_getRawBlock debug_getRawHeader debug_getRawReceipts debug_getRawTransaction
eth_maxPriorityFeePerGas eth_getBlockReceipts eth_getProof eth_createAccessList eth_blobBaseFee eth_syncing
eth_accounts eth_fillTransaction eth_config txpool_content txpool_status txpool_inspect eth_sendRawTransactionSync
eth_getAccountInfo dm_nodeInfo
"""
DEVNET = """
evm_snapshot evm_revert evm_mine evm_increaseTime evm_setNextBlockTimestamp evm_setAutomine evm_setIntervalMining
evm_setBlockGasLimit eth_sendTransaction eth_signTransaction eth_sign personal_sign eth_signTypedData_v4
eth_sendUnsignedTransaction
"""
BOTH = """
setBalance setCode setNonce setStorageAt setCoinbase setNextBlockBaseFeePerGas impersonateAccount
stopImpersonatingAccount mine reset dropTransaction dumpState loadState getAutomine setMinGasPrice setLoggingEnabled
setRpcUrl metadata setPrevRandao setBlockTimestampInterval removeBlockTimestampInterval
"""


def test_every_method_that_clients_need_is_there(chain: FakeChain) -> None:
    validator, devnet = build_methods(Backend(chain)), build_methods(make_backend(chain))
    assert [name for name in MUST.split() if name not in validator] == []
    families = [f"{family}_{name}" for name in BOTH.split() for family in ("hardhat", "anvil")]
    assert [name for name in [*DEVNET.split(), *families] if name not in devnet] == []
