"""Shapes of answers, against what other Ethereum clients answered (the kit) where there is a recording."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from dmchain.chain.primitives.block import Header, Log, Receipt, Withdrawal
from dmchain.chain.primitives.codec import decode, encode
from dmchain.chain.primitives.transaction import Transaction
from dmchain.chain.primitives.types import Address, Hash32
from dmchain.rpc.backend import BlockRecord, LogRecord, ReceiptRecord
from dmchain.rpc.format import (
    format_block,
    format_checksum_address,
    format_log,
    format_pending_block,
    format_receipt,
    format_transaction,
)
from tests.rpc.fake import FakeChain, transfer


class Imported:
    """The kit's chain, decoded as far as answers need it."""

    def __init__(self, kit: Path) -> None:
        self.headers: dict[int, Header] = {}
        self.blocks: dict[int, tuple[BlockRecord, list[Transaction]]] = {}
        self.places: dict[bytes, tuple[Transaction, Header, int]] = {}
        for raw in split_stream((kit.parent / "chain.rlp").read_bytes()):
            self._add(raw)

    def _add(self, raw: bytes) -> None:
        parts: Any = decode(raw)
        header = Header.from_rlp(parts[0])
        bodies = [Transaction.decode(item if isinstance(item, bytes) else encode(item)) for item in parts[1]]
        ommers = tuple(Header.from_rlp(item).hash for item in parts[2])
        withdrawals = tuple(Withdrawal.from_rlp(item) for item in parts[3]) if len(parts) > 3 else None
        hashes = [tx.hash for tx in bodies]
        self.blocks[header.number] = (BlockRecord(header, hashes, len(raw), withdrawals, ommers), bodies)
        for index, tx in enumerate(bodies):
            self.places[tx.hash] = (tx, header, index)


def split_stream(data: bytes) -> Iterator[bytes]:
    """Blocks one after the other: lists with a long header."""
    at = 0
    while at < len(data):
        assert data[at] > 0xF7
        size_bytes = data[at] - 0xF7
        end = at + 1 + size_bytes + int.from_bytes(data[at + 1 : at + 1 + size_bytes], "big")
        yield data[at:end]
        at = end


@pytest.fixture(scope="module")
def imported(kit: Path) -> Imported:
    return Imported(kit)


def conversations(kit: Path, method: str) -> list[tuple[list[Any], Any]]:
    """Parameters and results of a method."""
    found = []
    for path in sorted((kit / method).glob("*.io")):
        lines = path.read_text().splitlines()
        asked = [orjson.loads(line[2:]) for line in lines if line.startswith(">>")]
        answered = [orjson.loads(line[2:]) for line in lines if line.startswith("<<")]
        found += [(ask.get("params", []), answer.get("result")) for ask, answer in zip(asked, answered, strict=True)]
    assert found
    return found


@pytest.mark.parametrize("method", ["eth_getBlockByNumber", "eth_getBlockByHash"])
def test_blocks_are_as_recorded(kit: Path, imported: Imported, method: str) -> None:
    compared = 0
    for params, expected in conversations(kit, method):
        if expected is None or expected["number"] == "0x0":
            continue
        block, bodies = imported.blocks[int(expected["number"], 16)]
        assert format_block(block, bodies if params[1] else None) == expected
        compared += 1
    assert compared


@pytest.mark.parametrize(
    "method",
    ["eth_getTransactionByHash", "eth_getTransactionByBlockHashAndIndex", "eth_getTransactionByBlockNumberAndIndex"],
)
def test_transactions_are_as_recorded(kit: Path, imported: Imported, method: str) -> None:
    for _, expected in conversations(kit, method):
        if expected is not None:
            assert format_transaction(*imported.places[bytes.fromhex(expected["hash"][2:])]) == expected


@pytest.mark.parametrize("method", ["eth_getTransactionReceipt", "eth_getBlockReceipts"])
def test_receipts_are_as_recorded(kit: Path, imported: Imported, method: str) -> None:
    for _, answer in conversations(kit, method):
        for expected in answer if isinstance(answer, list) else [answer] if answer else []:
            tx, header, index = imported.places[bytes.fromhex(expected["transactionHash"][2:])]
            receipt = Receipt(
                type=int(expected["type"], 16),
                status=int(expected.get("status", "0x1"), 16),
                cumulative_gas_used=int(expected["cumulativeGasUsed"], 16),
                bloom=bytes.fromhex(expected["logsBloom"][2:]),
                logs=tuple(read_log(log) for log in expected["logs"]),
                gas_used=int(expected["gasUsed"], 16),
                effective_gas_price=int(expected["effectiveGasPrice"], 16),
                contract_address=Address(bytes.fromhex((expected["contractAddress"] or "0x")[2:])) or None,
            )
            first_log = int(expected["logs"][0]["logIndex"], 16) if expected["logs"] else 0
            blob_price = int(expected["blobGasPrice"], 16) if "blobGasPrice" in expected else None
            root = Hash32(bytes.fromhex(expected["root"][2:])) if "root" in expected else None
            record = ReceiptRecord(receipt, tx, header, index, first_log, blob_price, root)
            assert format_receipt(record) == expected


def read_log(log: dict[str, Any]) -> Log:
    topics = tuple(bytes.fromhex(topic[2:]) for topic in log["topics"])
    return Log(Address(bytes.fromhex(log["address"][2:])), topics, bytes.fromhex(log["data"][2:]))


def test_logs_are_as_recorded(kit: Path) -> None:
    compared = 0
    for _, answer in conversations(kit, "eth_getLogs"):
        for expected in answer or ():
            record = LogRecord(
                read_log(expected),
                Hash32(bytes.fromhex(expected["blockHash"][2:])),
                int(expected["blockNumber"], 16),
                int(expected["blockTimestamp"], 16),
                Hash32(bytes.fromhex(expected["transactionHash"][2:])),
                int(expected["transactionIndex"], 16),
                int(expected["logIndex"], 16),
            )
            assert format_log(record) == expected
            compared += 1
    assert compared


def test_a_waiting_transaction_has_no_place() -> None:
    tx = transfer()
    shown = format_transaction(tx)
    assert [shown[name] for name in ("blockHash", "blockNumber", "blockTimestamp", "transactionIndex")] == [None] * 4
    assert shown["gasPrice"] == hex(tx.max_fee_per_gas)


def test_a_mined_transaction_shows_the_price_it_paid(chain: FakeChain) -> None:
    tx = transfer()
    header = chain.mine([tx])
    assert format_transaction(tx, header, 0)["gasPrice"] == hex(tx.effective_gas_price(header.base_fee_per_gas or 0))


def test_a_legacy_transaction_without_chain_id_has_none() -> None:
    assert "chainId" not in format_transaction(transfer(type=0, chain_id=None))
    assert format_transaction(transfer(type=0))["chainId"] == "0x539"
    assert "yParity" not in format_transaction(transfer(type=0))


def test_the_pending_block_has_no_hash_nonce_and_miner(chain: FakeChain) -> None:
    chain.add_waiting(transfer())
    shown = format_pending_block(chain.pending_block(), False)
    assert (shown["hash"], shown["nonce"], shown["miner"]) == (None, None, None)
    assert shown["number"] == "0x1" and shown["transactions"] == ["0x" + transfer().hash.hex()]


def test_checksum_addresses() -> None:
    """Examples of EIP-55."""
    for expected in (
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
        "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
    ):
        assert format_checksum_address(bytes.fromhex(expected[2:])) == expected
