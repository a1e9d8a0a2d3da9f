"""The other side: which blocks a reply holds."""

from __future__ import annotations

from collections.abc import Callable

from dmchain.chain.primitives.codec import encode_bytes, encode_list, split_list
from dmchain.chain.store.blocks import BlockReader
from dmchain.chain.sync.verify import WireBlock

MAX_REPLY_BLOCKS = 1_024
MAX_REPLY_BYTES = 2 * 1024 * 1024


def read_wire(blocks: BlockReader, height: int) -> WireBlock | None:
    """A block with the commit that this node decided it with, as stored: nothing is decoded. From any thread.

    None where there is no such block, or no commit: of the first block after a snapshot it may be missing.
    """
    record, block = blocks.record(height), blocks.encoded(height)
    if not record or block is None:
        return None
    facts, commit = split_list(record)  # consensus.body.Stored
    if not commit:
        return None
    return WireBlock(encode_list(encode_bytes(block) + encode_bytes(facts)), commit)


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
