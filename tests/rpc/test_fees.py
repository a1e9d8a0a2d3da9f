"""Fee history and suggestions."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmchain.chain.primitives.block import EMPTY_BLOOM, Receipt
from dmchain.rpc.backend import ReceiptRecord
from dmchain.rpc.fees import compute_rewards
from tests.rpc.asking import Asker, Refused
from tests.rpc.fake import BASE_FEE, KEYS, TIP, FakeChain, transfer


def test_suggestions(ask: Asker) -> None:
    assert ask("eth_gasPrice") == hex(BASE_FEE + TIP)
    assert ask("eth_maxPriorityFeePerGas") == hex(TIP)
    assert ask("eth_baseFee") == hex(BASE_FEE)
    assert ask("eth_blobBaseFee") == "0x1"


def test_history(ask: Asker, chain: FakeChain) -> None:
    chain.mine([transfer(), transfer(KEYS[1], max_priority_fee_per_gas=5)])
    chain.mine([])
    history = ask("eth_feeHistory", "0x2", "latest", [20.0, 80])
    assert history["oldestBlock"] == "0x1"
    assert history["baseFeePerGas"] == [hex(BASE_FEE)] * 3
    assert history["gasUsedRatio"] == [42_000 / 30_000_000, 0.0]
    assert history["reward"] == [["0x5", hex(TIP)], ["0x0", "0x0"]]
    assert history["baseFeePerBlobGas"] == ["0x1"] * 3 and history["blobGasUsedRatio"] == [0, 0]


@pytest.mark.parametrize("count", ["0x5", 5, "5", "0x05", 10**30 if False else 5.0])
def test_the_count_comes_in_many_forms_and_is_cut_to_what_is_there(ask: Asker, count: Any) -> None:
    history = ask("eth_feeHistory", count, "latest", [])
    assert history["oldestBlock"] == "0x0" and len(history["gasUsedRatio"]) == 1
    assert "reward" not in history


def test_no_blocks(ask: Asker) -> None:
    assert ask("eth_feeHistory", "0x0", "latest") == {"oldestBlock": "0x0", "gasUsedRatio": None}


@pytest.mark.parametrize(
    ("params", "text"),
    [
        (["0x1", "latest", [-1]], "expected a number from 0 to 100, got -1"),
        (["0x1", "latest", [101]], "got 101"),
        (["0x1", "latest", [50, 20]], "expected rising values, got 50 then 20"),
        (["0x1", "latest", [True]], "got true"),
        (["0x1", "latest", ["20"]], 'got "20"'),
        (["0x1", "latest", [index / 10 for index in range(101)]], "too many reward percentiles"),
        (["0x1", "0x9", []], "request beyond head block: requested 9, head 0"),
    ],
)
def test_bad_requests(ask: Asker, params: list[Any], text: str) -> None:
    with pytest.raises(Refused) as caught:
        ask("eth_feeHistory", *params)
    assert text in caught.value.message


def receipt(tip: int, gas: int) -> ReceiptRecord:
    inner = Receipt(2, 1, gas, EMPTY_BLOOM, (), gas, tip + BASE_FEE, None)
    return ReceiptRecord(inner, transfer(), FakeChain().head(), 0, 0)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(21_000, 90_000)), min_size=1, max_size=12), st.floats(0, 100))
def test_rewards_are_those_of_the_gas_at_the_percentile(used: list[tuple[int, int]], percentile: float) -> None:
    total = sum(gas for _, gas in used)
    (reward,) = compute_rewards([receipt(tip, gas) for tip, gas in used], BASE_FEE, total, [percentile])
    by_unit: list[int] = []
    for tip, gas in sorted(used):
        by_unit += [tip] * (gas // 1000)
    threshold = int(total * percentile / 100)
    covered = 0
    for tip, gas in sorted(used):
        covered += gas
        if covered >= threshold:
            assert reward == tip
            break
