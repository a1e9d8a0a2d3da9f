"""The least gas limit with which a call succeeds: geth's search (eth/gasestimator), as a pure function.

Not the gas that a run used: a call may need more than it uses, because it holds back 1/64 at every inner call
(EIP-150), because a stipend must be there before it is given, or because it looks at GAS.
"""

from __future__ import annotations

from collections.abc import Callable

from dmchain.chain.primitives.errors import FloorGasTooLow, InsufficientFunds, IntrinsicGasTooLow
from dmchain.chain.primitives.transaction import GAS_TRANSACTION
from dmchain.rpc.backend import ExecutionResult
from dmchain.rpc.errors import ExecutionFailed, execution_error

CALL_STIPEND = 2_300
"""Gas given to the callee of a call with value; it must be in hand before."""
OUT_OF_GAS = "out of gas"
DEFAULT_TOLERANCE_PER_MILLE = 15
"""geth stops when the interval is within 1.5 % of the upper bound: halves the number of runs."""


def cap_by_funds(gas: int, *, balance: int, value: int, fee_cap: int) -> int:
    """The gas that an account can pay for: wei, wei, wei per gas. With no fee there is no limit but `gas`.

    Raises InsufficientFunds when even the value cannot be paid.
    """
    if not fee_cap:
        return gas
    if value > balance:
        raise InsufficientFunds("insufficient funds for transfer")
    return min(gas, (balance - value) // fee_cap)


def estimate_gas(
    run: Callable[[int], ExecutionResult],
    high: int,
    *,
    is_plain_transfer: bool = False,
    tolerance_per_mille: int = DEFAULT_TOLERANCE_PER_MILLE,
) -> int:
    """Search in (20999, `high`] with `run(gas limit)`; 0 tolerance finds the exact minimum.

    `run` may raise IntrinsicGasTooLow or FloorGasTooLow, which mean "more gas"; other exceptions pass through.
    `is_plain_transfer`: no data and a recipient without code, so 21000 is tried first.
    Raises ExecutionReverted or ExecutionFailed when the call fails however much gas it gets.
    """
    if is_plain_transfer and high >= GAS_TRANSACTION and _try(run, GAS_TRANSACTION) is not None:
        return GAS_TRANSACTION
    result = _try_or_raise(run, high)
    low = max(result.gas_used - 1, GAS_TRANSACTION - 1)
    # What was in use at most is the answer nearly always; if not, a little more is, and then the interval is small.
    peak = result.gas_used + result.gas_refunded
    for guess in (peak, peak - 1, (peak + CALL_STIPEND) * 64 // 63):
        if low < guess < high:
            if _try(run, guess) is None:
                low = guess
            else:
                high = guess
    while low + 1 < high:
        if (high - low) * 1000 < high * tolerance_per_mille:
            break
        # Most calls need little: do not start in the middle of a huge interval.
        middle = min((low + high) // 2, low * 2)
        if _try(run, middle) is None:
            low = middle
        else:
            high = middle
    return high


def _try(run: Callable[[int], ExecutionResult], gas: int) -> ExecutionResult | None:
    """The result of a success, None for any failure."""
    try:
        result = run(gas)
    except (IntrinsicGasTooLow, FloorGasTooLow):
        return None
    return result if result.error is None else None


def _try_or_raise(run: Callable[[int], ExecutionResult], gas: int) -> ExecutionResult:
    try:
        result = run(gas)
    except (IntrinsicGasTooLow, FloorGasTooLow):
        raise ExecutionFailed(f"gas required exceeds allowance ({gas})") from None
    if result.error is None:
        return result
    if result.revert_data is None and result.error.startswith(OUT_OF_GAS):
        raise ExecutionFailed(f"gas required exceeds allowance ({gas})")
    raise execution_error(result)
