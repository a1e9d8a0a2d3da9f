"""The search for a gas limit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmchain.chain.primitives.errors import InsufficientFunds, IntrinsicGasTooLow
from dmchain.rpc.backend import ExecutionResult
from dmchain.rpc.errors import ExecutionFailed, ExecutionReverted
from dmchain.rpc.estimate import cap_by_funds, estimate_gas


class Contract:
    """Succeeds from `needed` gas on, uses `used`; below `intrinsic` it cannot start."""

    def __init__(self, needed: int, used: int, refunded: int = 0, intrinsic: int = 21_000) -> None:
        self.needed, self.used, self.refunded, self.intrinsic = needed, used, refunded, intrinsic
        self.runs = 0

    def __call__(self, gas: int) -> ExecutionResult:
        self.runs += 1
        if gas < self.intrinsic:
            raise IntrinsicGasTooLow(f"intrinsic gas too low: have {gas}, want {self.intrinsic}")
        if gas < self.needed:
            return ExecutionResult(b"", gas, "out of gas")
        return ExecutionResult(b"", self.used, gas_refunded=self.refunded)


def test_a_plain_transfer_takes_one_run() -> None:
    contract = Contract(21_000, 21_000)
    assert estimate_gas(contract, 30_000_000, is_plain_transfer=True) == 21_000
    assert contract.runs == 1


def test_a_usual_call_takes_few_runs() -> None:
    contract = Contract(50_000, 50_000)
    gas = estimate_gas(contract, 30_000_000)
    assert 50_000 <= gas <= 54_000
    assert contract.runs <= 4


@given(st.integers(21_000, 29_000_000), st.integers(0, 5_000_000), st.integers(0, 400_000))
def test_the_result_succeeds_and_is_within_the_tolerance(used: int, more: int, refunded: int) -> None:
    needed = min(30_000_000, used + more)
    exact = Contract(needed, used, refunded)
    assert estimate_gas(exact, 30_000_000, tolerance_per_mille=0) == needed
    rough = Contract(needed, used, refunded)
    gas = estimate_gas(rough, 30_000_000)
    assert needed <= gas <= max(needed * 1.0155, (used + refunded + 2_300) * 64 // 63)
    assert rough.runs <= exact.runs


def test_a_revert_keeps_its_data() -> None:
    with pytest.raises(ExecutionReverted) as caught:
        estimate_gas(lambda gas: ExecutionResult(b"", 30_000, "execution reverted", b"\x01"), 1_000_000)
    assert caught.value.data == "0x01"


@pytest.mark.parametrize("high", [21_000, 20_000, 1_000_000])
def test_more_gas_than_allowed_is_geths_error(high: int) -> None:
    with pytest.raises(ExecutionFailed, match=rf"gas required exceeds allowance \({high}\)"):
        estimate_gas(Contract(2_000_000, 2_000_000, intrinsic=21_500), high)


def test_other_failures_keep_their_words() -> None:
    with pytest.raises(ExecutionFailed, match="invalid opcode"):
        estimate_gas(lambda gas: ExecutionResult(b"", gas, "invalid opcode: INVALID"), 1_000_000)


def test_funds_bound_the_gas_only_when_a_fee_is_offered() -> None:
    assert cap_by_funds(100, balance=0, value=5, fee_cap=0) == 100
    assert cap_by_funds(100, balance=55, value=5, fee_cap=2) == 25
    with pytest.raises(InsufficientFunds):
        cap_by_funds(100, balance=4, value=5, fee_cap=1)
