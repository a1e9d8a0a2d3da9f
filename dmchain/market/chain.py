"""What operations ask about the chain itself: its time, and headers that decide draws."""

from __future__ import annotations

import time

from dmchain.market.answers import data, field, quantity
from dmchain.market.errors import NotFound, RpcFailure
from dmchain.market.inputs import DurationLike, duration
from dmchain.market.steps import Request, Steps


def chain_time() -> Steps[int]:
    """Seconds by the latest block or by this machine's clock, whichever is later: a devnet's time can be moved."""
    block = yield Request("eth_getBlockByNumber", ("latest", False))
    return max(quantity(field(block, "timestamp", "latest block"), "timestamp"), int(time.time()))


def deadline_after(value: DurationLike) -> Steps[int]:
    """The time that is so long from now; 0, which means never, for no time at all."""
    seconds = duration(value)
    return (yield from chain_time()) + seconds if seconds else 0


def read_draw_header(block: int, what: str) -> Steps[bytes]:
    """The header, in RLP, of the block that decides a draw. Raises NotFound while that block is still to come."""
    if not block:
        raise NotFound(f"{what}: no draw was announced")
    latest = quantity((yield Request("eth_blockNumber")), "eth_blockNumber")
    try:
        header = yield Request("debug_getRawHeader", (hex(block),))
    except RpcFailure as failure:
        raise NotFound(
            f"{what}: the draw is decided by block {block}, the latest is {latest}",
            hint="wait for it; on a devnet `dmchain query rpc evm_mine` makes a block",
        ) from failure
    return data(header, "debug_getRawHeader")
