"""What waits to be sent, against a model of three lists."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dmchain.node.network.messages import Priority
from dmchain.node.network.queues import MAX_BATCH_BYTES, QueueLimit, SendQueue

LIMITS = dict.fromkeys(Priority, QueueLimit(messages=4, bytes=200))
frames = st.binary(min_size=1, max_size=90)


@given(st.lists(st.one_of(st.tuples(st.sampled_from(Priority), frames), st.none()), max_size=40))
def test_frames_leave_by_priority_and_in_order(steps: list[tuple[Priority, bytes] | None]) -> None:
    queue = SendQueue(LIMITS)
    model: dict[Priority, list[bytes]] = {priority: [] for priority in Priority}
    for step in steps:
        if step is None:
            expected = b"".join(b"".join(model[priority]) for priority in Priority)
            assert queue.pop_batch() == expected
            model = {priority: [] for priority in Priority}
            continue
        priority, frame = step
        waiting = model[priority]
        has_room = len(waiting) < 4 and sum(map(len, waiting)) + len(frame) <= 200
        assert queue.push(frame, priority) == has_room
        if has_room:
            waiting.append(frame)
        assert queue.size_bytes == sum(len(each) for waiting in model.values() for each in waiting)


@given(st.lists(st.integers(1, 3 * MAX_BATCH_BYTES), min_size=1, max_size=8))
def test_batches_are_bounded_but_a_large_frame_goes_alone(sizes: list[int]) -> None:
    queue = SendQueue()
    for size in sizes:
        assert queue.push(bytes(size), Priority.CONSENSUS)
    batches = []
    while batch := queue.pop_batch():
        batches.append(len(batch))
    assert sum(batches) == sum(sizes)
    assert all(batch <= MAX_BATCH_BYTES or batch in sizes for batch in batches)
    assert not queue


def test_the_urgent_overtakes() -> None:
    queue = SendQueue()
    queue.push(b"bulk", Priority.BULK)
    queue.push(b"request", Priority.REQUEST)
    queue.push(b"vote", Priority.CONSENSUS)
    assert queue.pop_batch() == b"voterequestbulk"
