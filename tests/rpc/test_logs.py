"""eth_getLogs and polling filters."""

from __future__ import annotations

from typing import Any

import pytest

from dmchain.chain.primitives.block import Log
from dmchain.chain.primitives.crypto import keccak
from dmchain.rpc.backend import Backend
from dmchain.rpc.config import MethodLimits
from dmchain.rpc.filters import PENDING_RING_HASHES
from tests.rpc.asking import Asker, Refused
from tests.rpc.fake import BOB, EMITTER, FakeChain, transfer

A, B, C = keccak(b"a"), keccak(b"b"), keccak(b"c")
EMITTER_HEX = "0x" + EMITTER.hex()


def hexed(data: bytes) -> str:
    return "0x" + data.hex()


def refused(ask: Asker, method: str, *params: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        ask(method, *params)
    return caught.value


@pytest.fixture
def logged(chain: FakeChain) -> FakeChain:
    """Blocks 1 to 3 with one log each: topics a; a, b; c, b of another contract."""
    chain.mine([transfer(nonce=0)], {0: [Log(EMITTER, (A,), b"1")]})
    chain.mine([transfer(nonce=1)], {0: [Log(EMITTER, (A, B), b"2")]})
    chain.mine([transfer(nonce=2)], {0: [Log(BOB, (C, B), b"3")]})
    return chain


def found(answer: Any) -> list[int]:
    return [int(entry["blockNumber"], 16) for entry in answer]


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        ({"fromBlock": "0x0", "toBlock": "0x3"}, [1, 2, 3]),
        ({"fromBlock": "earliest"}, [1, 2, 3]),
        ({"fromBlock": "0x2", "toBlock": "latest"}, [2, 3]),
        ({"fromBlock": "0x2"}, [2, 3]),
        ({}, [3]),
        ({"fromBlock": "0x0", "address": EMITTER_HEX}, [1, 2]),
        ({"fromBlock": "0x0", "address": [EMITTER_HEX, hexed(BOB)]}, [1, 2, 3]),
        ({"fromBlock": "0x0", "address": []}, [1, 2, 3]),
        ({"fromBlock": "0x0", "topics": [hexed(A)]}, [1, 2]),
        ({"fromBlock": "0x0", "topics": [None, hexed(B)]}, [2, 3]),
        ({"fromBlock": "0x0", "topics": [[hexed(A), hexed(C)], hexed(B)]}, [2, 3]),
        ({"fromBlock": "0x0", "topics": [[], [hexed(B)]]}, [2, 3]),
        ({"fromBlock": "0x0", "topics": [hexed(A), None]}, [2]),
        ({"fromBlock": "0x0", "topics": []}, [1, 2, 3]),
        ({"fromBlock": "0x4"}, []),
        ({"fromBlock": "0x9", "toBlock": "latest"}, []),
    ],
)
def test_criteria(ask: Asker, logged: FakeChain, criteria: dict[str, Any], expected: list[int]) -> None:
    assert found(ask("eth_getLogs", criteria)) == expected


def test_one_block_by_hash(ask: Asker, logged: FakeChain) -> None:
    assert found(ask("eth_getLogs", {"blockHash": hexed(logged.blocks[2].block.hash)})) == [2]
    error = refused(ask, "eth_getLogs", {"blockHash": hexed(A)})
    assert (error.code, error.message) == (-32000, "unknown block")


@pytest.mark.parametrize(
    ("criteria", "text"),
    [
        ({"fromBlock": "0x2", "toBlock": "0x1"}, "invalid block range params"),
        ({"fromBlock": "0x1", "toBlock": "0x9"}, "block range extends beyond current head block"),
        ({"blockHash": hexed(A), "fromBlock": "0x1"}, "cannot specify both BlockHash and FromBlock/ToBlock"),
        ({"address": [hexed(bytes(18) + index.to_bytes(2, "big")) for index in range(1001)]}, "exceed max addresses"),
        ({"topics": [[hexed(keccak(bytes([i, j]))) for i in range(40) for j in range(40)]]}, "exceed max topics"),
    ],
)
def test_bad_ranges(ask: Asker, logged: FakeChain, criteria: dict[str, Any], text: str) -> None:
    error = refused(ask, "eth_getLogs", criteria)
    assert error.code == -32602 and text in error.message


def test_limits_are_named(backend: Backend, logged: FakeChain) -> None:
    ask = Asker(backend, MethodLimits(max_log_results=2, max_log_range=3))
    assert found(ask("eth_getLogs", {"fromBlock": "0x2"})) == [2, 3]
    error = refused(ask, "eth_getLogs", {"fromBlock": "0x1"})
    assert error.code == -32005 and "query returned more than 2 results" in error.message
    error = refused(ask, "eth_getLogs", {"fromBlock": "0x0"})
    assert error.code == -32005 and "block range too large: got 4 blocks, the limit is 3" in error.message


def test_a_log_filter_reports_each_new_log_once(ask: Asker, chain: FakeChain) -> None:
    chain.mine([transfer(nonce=0)], {0: [Log(EMITTER, (A,), b"")]})
    filter_id = ask("eth_newFilter", {"address": EMITTER_HEX, "fromBlock": "0x0"})
    assert ask("eth_getFilterChanges", filter_id) == []
    chain.mine([transfer(nonce=1)], {0: [Log(EMITTER, (A,), b"")]})
    chain.mine([transfer(nonce=2)], {0: [Log(BOB, (A,), b"")]})
    assert found(ask("eth_getFilterChanges", filter_id)) == [2]
    assert ask("eth_getFilterChanges", filter_id) == []
    assert found(ask("eth_getFilterLogs", filter_id)) == [1, 2]


def test_a_log_filter_keeps_to_its_heights(ask: Asker, chain: FakeChain) -> None:
    filter_id = ask("eth_newFilter", {"fromBlock": "0x2", "toBlock": "0x3"})
    for nonce in range(4):
        chain.mine([transfer(nonce=nonce)], {0: [Log(EMITTER, (A,), b"")]})
    assert found(ask("eth_getFilterChanges", filter_id)) == [2, 3]


def test_a_block_filter_reports_hashes(ask: Asker, chain: FakeChain) -> None:
    filter_id = ask("eth_newBlockFilter")
    headers = [chain.mine([]) for _ in range(3)]
    assert ask("eth_getFilterChanges", filter_id) == [hexed(header.hash) for header in headers]
    assert ask("eth_getFilterChanges", filter_id) == []
    assert refused(ask, "eth_getFilterLogs", filter_id).message == "filter not found"


def test_a_filter_follows_a_devnet_that_goes_back(ask: Asker, chain: FakeChain) -> None:
    chain.observe(ask.filters)
    filter_id = ask("eth_newBlockFilter")
    chain.mine([])
    assert len(ask("eth_getFilterChanges", filter_id)) == 1
    chain.rewind(0)
    assert ask("eth_getFilterChanges", filter_id) == []
    header = chain.mine([transfer()])
    assert ask("eth_getFilterChanges", filter_id) == [hexed(header.hash)]


def test_pending_filters_share_one_bounded_ring(ask: Asker, chain: FakeChain) -> None:
    chain.observe(ask.filters)
    early = ask("eth_newPendingTransactionFilter")
    chain.add_waiting(transfer(nonce=0))
    late = ask("eth_newPendingTransactionFilter")
    chain.add_waiting(transfer(nonce=1))
    assert ask("eth_getFilterChanges", early) == [hexed(transfer(nonce=n).hash) for n in (0, 1)]
    assert ask("eth_getFilterChanges", late) == [hexed(transfer(nonce=1).hash)]
    assert ask("eth_getFilterChanges", late) == []
    tx = transfer(nonce=2)
    for _ in range(PENDING_RING_HASHES + 1):
        ask.filters.transaction_added(tx)
    assert refused(ask, "eth_getFilterChanges", late).message == "filter not found"


def test_filters_nobody_polls_are_forgotten(ask: Asker) -> None:
    polled, forgotten = ask("eth_newBlockFilter"), ask("eth_newBlockFilter")
    ask.now += 200
    ask("eth_getFilterChanges", polled)
    ask.now += 200
    ask("eth_getFilterChanges", polled)
    error = refused(ask, "eth_getFilterChanges", forgotten)
    assert (error.code, error.message) == (-32000, "filter not found")
    assert len(ask.filters) == 1


def test_uninstalling(ask: Asker) -> None:
    filter_id = ask("eth_newBlockFilter")
    assert ask("eth_uninstallFilter", filter_id) is True
    assert ask("eth_uninstallFilter", filter_id) is False
    assert refused(ask, "eth_getFilterChanges", "0x12").message == "filter not found"


def test_the_number_of_filters_is_limited(backend: Backend) -> None:
    ask = Asker(backend, MethodLimits(max_filters=10_000))
    for _ in range(10_000):
        ask("eth_newBlockFilter")
    assert "the limit is 10000" in refused(ask, "eth_newFilter", {}).message
    ask.now += 301
    assert ask("eth_newBlockFilter")
    assert len(ask.filters) == 1


def test_addresses_and_topics_of_filters_are_limited_in_sum(backend: Backend) -> None:
    ask = Asker(backend, MethodLimits(max_filter_terms=5))
    criteria = {"address": EMITTER_HEX, "topics": [[hexed(A), hexed(B)]]}
    first = ask("eth_newFilter", criteria)
    assert "too many addresses and topics" in refused(ask, "eth_newFilter", criteria).message
    ask("eth_uninstallFilter", first)
    ask("eth_newFilter", criteria)
    ask.now += 301
    ask("eth_newFilter", criteria)


def test_a_filter_with_too_many_logs_gives_them_in_parts(backend: Backend, chain: FakeChain) -> None:
    ask = Asker(backend, MethodLimits(max_log_results=2))
    filter_id = ask("eth_newFilter", {})
    for nonce, logs in enumerate((1, 1, 3, 1, 0)):
        chain.mine([transfer(nonce=nonce)], {0: [Log(EMITTER, (A,), b"")] * logs})
    polls = [found(ask("eth_getFilterChanges", filter_id)) for _ in range(4)]
    assert [height for poll in polls for height in poll] == [1, 2, 3, 3, 3, 4]
    assert ask("eth_getFilterChanges", filter_id) == []


def test_filters_that_make_no_sense(ask: Asker) -> None:
    assert "blockHash" in refused(ask, "eth_newFilter", {"blockHash": hexed(A)}).message
    assert "invalid block range" in refused(ask, "eth_newFilter", {"fromBlock": "0x2", "toBlock": "0x1"}).message
    assert "hashes only" in refused(ask, "eth_newPendingTransactionFilter", True).message
