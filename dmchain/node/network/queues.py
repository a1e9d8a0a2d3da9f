"""What waits to be sent to one peer: three bounded queues, sans-IO."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from dmchain.node.network.messages import KIB, MIB, Priority

MAX_BATCH_BYTES: Final = 128 * KIB
"""Sent with one call; a larger frame goes alone."""


@dataclass(frozen=True, slots=True)
class QueueLimit:
    messages: int
    bytes: int


DEFAULT_QUEUE_LIMITS: Final[Mapping[Priority, QueueLimit]] = MappingProxyType(
    {
        # frames to all peers are one object, so the bytes of consensus are held once whatever the number of peers
        Priority.CONSENSUS: QueueLimit(4096, 16 * MIB),
        # four replies in flight of at most 4 MiB each, and what we ask ourselves
        Priority.REQUEST: QueueLimit(256, 18 * MIB),
        Priority.BULK: QueueLimit(1024, 4 * MIB),
    }
)


@dataclass(slots=True)
class _Queue:
    limit: QueueLimit
    frames: deque[bytes] = field(default_factory=deque)
    size: int = 0


class SendQueue:
    """Frames of one peer by priority.

    INVARIANT: `size` of each queue is the sum of its frames and at most its limit.
    """

    def __init__(self, limits: Mapping[Priority, QueueLimit] = DEFAULT_QUEUE_LIMITS) -> None:
        self._queues = [_Queue(limits[priority]) for priority in Priority]

    def push(self, frame: bytes, priority: Priority) -> bool:
        """Append; False when the queue has no room: the caller drops the frame or the peer."""
        queue = self._queues[priority]
        if len(queue.frames) >= queue.limit.messages or queue.size + len(frame) > queue.limit.bytes:
            return False
        queue.frames.append(frame)
        queue.size += len(frame)
        return True

    def pop_batch(self) -> bytes:
        """Take the most urgent frames, up to MAX_BATCH_BYTES but at least one; b"" when there are none."""
        batch: list[bytes] = []
        total = 0
        for queue in self._queues:
            while queue.frames:
                frame = queue.frames[0]
                if batch and total + len(frame) > MAX_BATCH_BYTES:
                    return b"".join(batch)
                queue.frames.popleft()
                queue.size -= len(frame)
                batch.append(frame)
                total += len(frame)
        return batch[0] if len(batch) == 1 else b"".join(batch)

    def clear(self) -> None:
        for queue in self._queues:
            queue.frames.clear()
            queue.size = 0

    @property
    def size_bytes(self) -> int:
        return sum(queue.size for queue in self._queues)

    def __bool__(self) -> bool:
        return any(queue.frames for queue in self._queues)
