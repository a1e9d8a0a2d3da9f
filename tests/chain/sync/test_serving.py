"""A reply holds what was asked for, as far as it is there and fits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dmchain.chain.sync.serving import select_blocks
from dmchain.chain.sync.verify import WireBlock


def blocks_of(sizes: list[int]) -> dict[int, WireBlock]:
    return {height: WireBlock(bytes(size), b"c") for height, size in enumerate(sizes, 1)}


@given(sizes=st.lists(st.integers(1, 50), max_size=30), start=st.integers(0, 40), count=st.integers(0, 40))
def test_replies_are_consecutive_and_bounded(sizes: list[int], start: int, count: int) -> None:
    have = blocks_of(sizes)
    reply = select_blocks(have.get, start, count, max_blocks=20, max_bytes=100)
    assert list(reply) == [have[height] for height in range(start, start + len(reply))]
    assert len(reply) <= min(count, 20)
    assert len(reply) <= 1 or sum(block.size for block in reply) <= 100
    following = have.get(start + len(reply))
    if len(reply) < min(count, 20) and following is not None:
        assert reply and sum(block.size for block in (*reply, following)) > 100


def test_a_block_above_the_limit_goes_alone() -> None:
    have = blocks_of([500, 1])
    assert select_blocks(have.get, 1, 2, max_bytes=100) == (have[1],)


def test_no_more_is_read_than_is_sent_and_one() -> None:
    have = blocks_of([40] * 50)
    read = []

    def get(height: int) -> WireBlock | None:
        read.append(height)
        return have.get(height)

    assert len(select_blocks(get, 1, 50, max_bytes=100)) == 2
    assert read == [1, 2, 3]
