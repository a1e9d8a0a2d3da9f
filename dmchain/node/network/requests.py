"""Our requests to one peer that it has not answered yet."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import trio

from dmchain.node.network.errors import ProtocolError
from dmchain.node.network.messages import TYPE_OF_KIND, Refusal, Reply, Request
from dmchain.node.network.wire import MAX_REQUEST_ID, Frame

MAX_ABANDONED: Final = 16
"""Requests given up on that the peer still owes an answer to."""


@dataclass(eq=False, slots=True)
class Pending:
    """A request under way. `done` is set when there is a reply, or when there will be none."""

    request: Request
    answer: type
    done: trio.Event = field(default_factory=trio.Event)
    reply: Reply | None = None
    is_abandoned: bool = False


class RequestTable:
    """INVARIANT: an id is in the table from `open` until its reply comes, whether or not anybody still waits for it.

    So a reply that comes late is recognised, and one to nothing is an offence.
    """

    def __init__(self) -> None:
        self._pending: dict[int, Pending] = {}
        self._last_id = 0
        self._abandoned = 0

    def is_expected(self, request_id: int) -> bool:
        return request_id in self._pending

    @property
    def is_overdue(self) -> bool:
        """Whether the peer leaves so much unanswered that it is no use."""
        return self._abandoned > MAX_ABANDONED

    def open(self, request: Request) -> tuple[int, Pending]:
        """Give a request an id, from 1 to MAX_REQUEST_ID."""
        answer = TYPE_OF_KIND[type(request)].answer
        assert answer is not None, "not a request"
        request_id = self._last_id % MAX_REQUEST_ID + 1
        while request_id in self._pending:
            request_id = request_id % MAX_REQUEST_ID + 1
        self._last_id = request_id
        pending = self._pending[request_id] = Pending(request, answer)
        return request_id, pending

    def take_reply(self, frame: Frame) -> None:
        """Hand a reply to whoever waits for it; raises ProtocolError for one of another type than was asked for.

        That the id is expected was checked when the first bytes of the frame came in.
        """
        pending = self._pending.pop(frame.request_id)
        reply = frame.message
        if type(reply) is not pending.answer and not isinstance(reply, Refusal):
            raise ProtocolError(f"{type(pending.request).__name__}: answered with {type(reply).__name__}")
        self._abandoned -= pending.is_abandoned
        pending.reply = reply  # type: ignore[assignment]  # the type of the answer, so a Reply
        pending.done.set()

    def abandon(self, pending: Pending) -> None:
        """Nobody waits any more; without effect on one that is done."""
        if not pending.done.is_set() and not pending.is_abandoned:
            pending.is_abandoned = True
            self._abandoned += 1

    def close(self) -> None:
        """No reply will come any more."""
        for pending in self._pending.values():
            pending.done.set()
        self._pending.clear()
