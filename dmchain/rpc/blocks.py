"""From what a client calls a block to a height of the chain."""

from __future__ import annotations

from dmchain.chain.primitives.types import Hash32
from dmchain.rpc.backend import PENDING, Chain, StateAt
from dmchain.rpc.errors import BlockNotFound
from dmchain.rpc.params import EARLIEST, LATEST, PENDING_TAG, BlockId, BlockNumber


def get_height(chain: Chain, block: BlockId) -> int | None:
    """The height of a block that exists, else None. PENDING_TAG is the head here: ask for it before."""
    if block is LATEST or block is PENDING_TAG:
        return chain.head().number
    if block is EARLIEST:
        return 0
    if isinstance(block, int):
        return block if block <= chain.head().number else None
    return chain.height_of(Hash32(block))  # type: ignore[arg-type]


def get_state_at(chain: Chain, block: BlockId) -> StateAt:
    """Where to read state; raises BlockNotFound with geth's wording."""
    if block is PENDING_TAG:
        return PENDING
    height = get_height(chain, block)
    if height is None:
        raise BlockNotFound("header for hash not found" if isinstance(block, bytes) else "header not found")
    return height


def get_existing_height(chain: Chain, block: BlockNumber | Hash32, what: str = "block") -> int:
    """A height for methods whose answer cannot be null (debug_*); raises BlockNotFound."""
    height = get_height(chain, block)
    if height is None:
        raise BlockNotFound(f"{what} not found")
    return height
