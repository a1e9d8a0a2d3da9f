"""Fee history and price suggestions; arithmetic apart from the methods."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from dmchain.rpc.backend import Chain, ReceiptRecord
from dmchain.rpc.blocks import get_height
from dmchain.rpc.config import MethodLimits
from dmchain.rpc.errors import BlockNotFound, InvalidParams
from dmchain.rpc.format import Json
from dmchain.rpc.jsonrpc import describe
from dmchain.rpc.params import Argument, BlockNumber, parse_block_number, parse_list, parse_number
from dmchain.rpc.registry import Context, MethodTable, Work

methods = MethodTable()

_PERCENTILES_PARSED = 10_000


@methods.add("eth_gasPrice")
def get_gas_price(context: Context) -> str:
    """What a legacy transaction should pay: the next block's base fee and a tip."""
    chain = context.backend.chain
    return hex(_next_base_fee(chain) + chain.suggested_tip())


@methods.add("eth_maxPriorityFeePerGas")
def get_max_priority_fee(context: Context) -> str:
    return hex(context.backend.chain.suggested_tip())


@methods.add("eth_baseFee")
def get_base_fee(context: Context) -> str:
    """Of the next block."""
    return hex(_next_base_fee(context.backend.chain))


@methods.add("eth_blobBaseFee")
def get_blob_base_fee(context: Context) -> str:
    """Of the next block."""
    chain = context.backend.chain
    return hex(chain.fees(chain.head().number + 1).blob_base_fee)


def _next_base_fee(chain: Chain) -> int:
    return chain.fees(chain.head().number + 1).base_fee


def parse_percentile(value: object) -> float:
    if type(value) not in (int, float) or not 0 <= value <= 100:  # type: ignore[operator]
        raise InvalidParams(f"invalid reward percentile: expected a number from 0 to 100, got {describe(value)}")
    return value  # type: ignore[return-value]


@methods.add(
    "eth_feeHistory",
    arguments=(
        Argument("blockCount", parse_number),
        Argument("newestBlock", parse_block_number),
        Argument("rewardPercentiles", parse_list(parse_percentile, _PERCENTILES_PARSED), ()),
    ),
)
def get_fee_history(context: Context, count: int, newest: BlockNumber, percentiles: Sequence[float]) -> Json | Work:
    """Base fees, fullness and tips of `count` blocks up to `newest`, and the base fee of the block after."""
    _check_percentiles(percentiles, context.limits)
    chain = context.backend.chain
    last = get_height(chain, newest)
    if last is None:
        raise BlockNotFound(f"request beyond head block: requested {newest}, head {chain.head().number}")
    oldest = chain.history().oldest_receipts
    count = min(count, context.limits.max_fee_history_blocks, max(last + 1 - oldest, 0))
    if count == 0:
        return {"oldestBlock": "0x0", "gasUsedRatio": None}
    return Work(lambda: compute_fee_history(context, last - count + 1, last, percentiles))


def _check_percentiles(percentiles: Sequence[float], limits: MethodLimits) -> None:
    limit = limits.max_fee_history_percentiles
    if len(percentiles) > limit:
        raise InvalidParams(f"too many reward percentiles: got {len(percentiles)}, the limit is {limit}")
    for before, after in pairwise(percentiles):
        if after <= before:
            raise InvalidParams(f"invalid reward percentile: expected rising values, got {before} then {after}")


def compute_fee_history(context: Context, first: int, last: int, percentiles: Sequence[float]) -> Json:
    """The answer for blocks `first` to `last`; in a worker thread."""
    chain = context.backend.chain
    base_fees, blob_base_fees, rewards = [], [], []
    gas_ratios: list[float] = []
    blob_ratios: list[float] = []
    for height in range(first, last + 1):
        context.stop.check()
        header, fees = chain.header(height), chain.fees(height)
        if header is None:
            raise InvalidParams(f"block {height} is no longer kept by this node")
        base_fees.append(hex(fees.base_fee))
        blob_base_fees.append(hex(fees.blob_base_fee))
        gas_ratios.append(header.gas_used / header.gas_limit if header.gas_limit else 0.0)
        blob_ratios.append((header.blob_gas_used or 0) / fees.max_blob_gas if fees.max_blob_gas else 0.0)
        if percentiles:
            receipts = chain.receipts(height) or ()
            rewards.append([hex(tip) for tip in compute_rewards(receipts, fees.base_fee, header.gas_used, percentiles)])
    following = chain.fees(last + 1)
    result: Json = {
        "oldestBlock": hex(first),
        "baseFeePerGas": [*base_fees, hex(following.base_fee)],
        "gasUsedRatio": gas_ratios,
        "baseFeePerBlobGas": [*blob_base_fees, hex(following.blob_base_fee)],
        "blobGasUsedRatio": blob_ratios,
    }
    if percentiles:
        result["reward"] = rewards
    return result


def compute_rewards(
    receipts: Sequence[ReceiptRecord], base_fee: int, gas_used: int, percentiles: Sequence[float]
) -> list[int]:
    """Tips (wei per gas) at percentiles of the gas used, transactions ordered by tip; zeros for an empty block."""
    if not receipts:
        return [0] * len(percentiles)
    tips = sorted((item.receipt.effective_gas_price - base_fee, item.receipt.gas_used) for item in receipts)
    rewards = []
    at, gas = 0, tips[0][1]
    for percentile in percentiles:
        threshold = int(gas_used * percentile / 100)
        while gas < threshold and at < len(tips) - 1:
            at += 1
            gas += tips[at][1]
        rewards.append(max(0, tips[at][0]))
    return rewards
