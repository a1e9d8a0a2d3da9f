"""The other side: which blocks a reply holds."""

from __future__ import annotations

from collections.abc import Callable

from dmchain.chain.sync.verify import WireBlock

MAX_REPLY_BLOCKS = 1_024
MAX_REPLY_BYTES = 2 * 1024 * 1024


def select_blocks(
    read: Callable[[int], WireBlock | None],
    start: int,
    count: int,
    *,
    max_blocks: int = MAX_REPLY_BLOCKS,
    max_bytes: int = MAX_REPLY_BYTES,
) -> tuple[WireBlock, ...]:
    """At most `count` blocks from `start` on, as far as `read` has them and they fit.

    The first one goes whatever it weighs, or a large block could never be had. Nothing is read beyond what is sent,
    but for the one that did not fit.
    """
    blocks: list[WireBlock] = []
    size = 0
    for height in range(start, start + min(count, max_blocks)):
        block = read(height)
        if block is None:
            break
        size += block.size
        if blocks and size > max_bytes:
            break
        blocks.append(block)
    return tuple(blocks)
