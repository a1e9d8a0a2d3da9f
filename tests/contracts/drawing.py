"""Headers of the blocks that decide draws, and the draws as a plain list would make them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from eth_abi import encode

from dmchain.chain.primitives.codec import encode as encode_rlp
from dmchain.chain.primitives.crypto import keccak
from tests.contracts.chain import Chain

HEADER_FIELDS = 21
PREV_RANDAO = 13
MAX_SKIPPED = 32


def seal(chain: Chain, number: int, randao: int) -> bytes:
    """Let block `number` have this prevRandao, and be in the past of the next block; returns its header."""
    fields = [b""] * HEADER_FIELDS
    fields[PREV_RANDAO] = randao.to_bytes(32, "big")
    header = encode_rlp(fields)
    chain.block_hashes[number] = keccak(header)
    chain.block_number = max(chain.block_number, number + 1)
    return header


def draw_from_list(
    weights: Sequence[tuple[Any, int]],
    randao: int,
    contract: Any,
    case: int,
    seats: int,
    *,
    is_distinct: bool,
    may_sit: Callable[[Any, int], bool] = lambda account, seats: True,
) -> list[Any]:
    """What StakePoolBase._draw must give. `weights` in the order of the leaves; `may_sit(account, seats it has)`."""
    left = list(weights)
    drawn: list[Any] = []
    removed = 0
    n = 0
    while len(drawn) < seats and sum(weight for _, weight in left) and removed < seats + MAX_SKIPPED:
        seed = encode(["uint256", "address", "uint256", "uint256"], [randao, str(contract), case, n])
        point = int.from_bytes(keccak(seed), "big") % sum(weight for _, weight in left)
        index = 0
        while point >= left[index][1]:
            point -= left[index][1]
            index += 1
        account = left[index][0]
        is_seated = may_sit(account, drawn.count(account))
        if is_seated:
            drawn.append(account)
        if not is_seated or is_distinct:
            left[index] = (account, 0)
            removed += 1
        n += 1
    return drawn
