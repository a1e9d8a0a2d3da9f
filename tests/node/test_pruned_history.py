"""A node that began with a snapshot says which blocks it does not have, whatever it is asked."""

from __future__ import annotations

from typing import Any

import pytest

from dmchain.chain.blockchain import Blockchain
from dmchain.chain.genesis import load_genesis
from dmchain.chain.store import schema
from dmchain.marketplace_vm.executor import NativeExecutor
from tests.node.light_network import LightNetwork
from tests.rpc.asking import Asker, Refused

EARLIEST, HEAD = 6, 9
FIRST_HEADER = 4


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Asker:
    """Of blocks 1 to 3 it has nothing, of 4 and 5 the headers: as if a snapshot of block 6 had been restored."""
    network = LightNetwork(tmp_path_factory.mktemp("pruned"))
    network.add(network.register())
    for _ in range(HEAD - 1):
        network.add()
    blocks = network.chain.view.blocks
    gone: list[bytes] = []
    for height in range(1, EARLIEST):
        header = blocks.header(height)
        assert header is not None
        gone += [schema.body_key(height), schema.receipts_key(height), schema.undo_key(height)]
        if height < FIRST_HEADER:
            gone += [schema.header_key(height), schema.record_key(height), schema.number_key(header.hash)]
    network.store.write([*[(key, None) for key in gone], (schema.META_EARLIEST, schema.be8(EARLIEST))], sync=True)
    genesis = load_genesis(network.genesis_path)
    network.chain = Blockchain(network.store, genesis, NativeExecutor(genesis.rules))
    return network.asker()


@pytest.mark.parametrize("height", ["0x1", hex(FIRST_HEADER), hex(EARLIEST - 1)])
@pytest.mark.parametrize(
    ("method", "more"),
    [
        ("eth_getBlockByNumber", (False,)),
        ("eth_getBlockByNumber", (True,)),
        ("eth_getBlockTransactionCountByNumber", ()),
        ("eth_getBlockReceipts", ()),
        ("eth_getTransactionByBlockNumberAndIndex", ("0x0",)),
        ("debug_getRawBlock", ()),
        ("debug_getRawReceipts", ()),
    ],
)
def test_methods_about_blocks_that_are_not_there_say_so(
    node: Asker, method: str, more: tuple[Any, ...], height: str
) -> None:
    with pytest.raises(
        Refused, match=f"pruned history unavailable: block {int(height, 16)}, the oldest kept is 6"
    ) as no:
        node(method, height, *more)
    assert no.value.code == 4444


def test_blocks_that_are_there_and_those_to_come_are_answered_as_ever(node: Asker) -> None:
    for height in (0, EARLIEST, HEAD):
        assert int(node("eth_getBlockByNumber", hex(height), True)["number"], 16) == height
        assert node("eth_getBlockReceipts", hex(height)) == []
    assert node("eth_getBlockByNumber", hex(HEAD + 1), False) is None
    assert node("eth_getBlockReceipts", hex(HEAD + 1)) is None
    assert node("eth_getTransactionByHash", "0x" + "12" * 32) is None


def test_logs_and_fees_begin_where_there_are_blocks(node: Asker) -> None:
    with pytest.raises(Refused, match="pruned history unavailable: block 1"):
        node("eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest"})
    assert node("eth_getLogs", {"fromBlock": hex(EARLIEST), "toBlock": "latest"}) == []
    fees = node("eth_feeHistory", "0x400", "latest", [50])
    assert int(fees["oldestBlock"], 16) == EARLIEST
    assert len(fees["gasUsedRatio"]) == HEAD - EARLIEST + 1
    assert node("eth_feeHistory", "0x2", "0x1", [])["gasUsedRatio"] is None
    oldest = node("eth_capabilities")
    assert {int(oldest[part]["oldestBlock"], 16) for part in ("tx", "blocks", "receipts", "logs")} == {EARLIEST}


def test_what_is_known_of_headers_is_told(node: Asker) -> None:
    assert node("eth_getHeaderByNumber", hex(FIRST_HEADER))["number"] == hex(FIRST_HEADER)
    with pytest.raises(Refused, match="pruned history unavailable"):
        node("eth_getHeaderByNumber", hex(FIRST_HEADER - 1))
    with pytest.raises(Refused, match="historical state of block 2 is not available"):
        node("eth_getBalance", "0x" + "11" * 20, "0x2")
