"""Which consensus messages are passed on, and to whom: validators need not all be connected to each other. Sans-IO.

What is passed on is passed on once. In a full mesh that would still mean that everybody hears everything from
everybody; so a peer that sends what one has already heard shows that it hears that validator without help, and is left
alone about that validator for a while. It is shown the same in return, with the same statement: else, of two peers that
both hear somebody, the one that was quicker the first time would pass everything on to the other for ever. Where links are
few nothing comes twice, and everything is passed on.

INVARIANT (memory): statements of three heights, of a few rounds each and at most two per validator, kind and round;
notes about peers, two per peer and validator.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

from dmchain.chain.consensus.messages import Proposal, Vote
from dmchain.chain.consensus.votes import KEPT_ROUNDS

QUIET_SECONDS: Final = 10.0
"""Then a peer is tried again: the link by which it heard may be gone."""
ANSWER_SECONDS: Final = QUIET_SECONDS / 2
"""A peer that repeats statements of one validator is answered once in so long."""
STATEMENTS_PER_SLOT: Final = 2
"""An equivocator's second statement is evidence that everybody should see; a third proves nothing more."""
MAX_SLOTS: Final = 16_384
"""Of one height; 100 validators fill as many in 54 rounds. Then old rounds are forgotten."""

Slot: TypeAlias = tuple[int, int, int]
"""(kind, round, validator)."""


class Relay:
    """What one node has passed on, and which peers need it."""

    def __init__(self) -> None:
        self._heard: dict[int, dict[Slot, list[Vote | Proposal]]] = {}
        """By height."""
        self._quiet_until: dict[tuple[int, int], float] = {}
        """By (peer, validator)."""
        self._answered_until: dict[tuple[int, int], float] = {}
        """By (peer, validator): it was sent a statement, or will not be answered yet."""

    def is_new(self, said: Vote | Proposal) -> bool:
        """Whether this statement, whose signature is good, is to be passed on now; asked once for each."""
        slots = self._heard.setdefault(said.height, {})
        if len(slots) >= MAX_SLOTS:
            slots = self._heard[said.height] = {
                slot: heard for slot, heard in slots.items() if slot[1] >= said.round - KEPT_ROUNDS
            }
        heard = slots.setdefault((said.kind, said.round, said.validator), [])
        if said in heard or len(heard) >= STATEMENTS_PER_SLOT:
            return False
        heard.append(said)
        return True

    def has_heard(self, said: Vote | Proposal) -> bool:
        slots = self._heard.get(said.height, {})
        return said in slots.get((said.kind, said.round, said.validator), ())

    def note_repeated(self, peer: int, validator: int, now: float) -> None:
        """`peer` has sent a statement of `validator` that this node had already."""
        self._quiet_until[peer, validator] = now + QUIET_SECONDS

    def should_answer(self, peer: int, validator: int, now: float) -> bool:
        """Whether to send `peer`, which has repeated a statement of `validator`, that statement in return: so that it
        leaves this node alone, too. Asked once for each repetition."""
        if self._answered_until.get((peer, validator), now) > now:
            return False
        self._answered_until[peer, validator] = now + ANSWER_SECONDS
        return True

    def choose_targets(self, peers: Iterable[int], sender: int, validator: int, now: float) -> list[int]:
        """Who should be passed a statement of `validator` that came from `sender`."""
        quiet_until = self._quiet_until
        targets = [peer for peer in peers if peer != sender and quiet_until.get((peer, validator), now) <= now]
        for peer in targets:
            self._answered_until[peer, validator] = now + ANSWER_SECONDS
        return targets

    def start_height(self, height: int) -> None:
        """Forget what is older than the height before."""
        self._heard = {at: slots for at, slots in self._heard.items() if at >= height - 1}

    def forget_peer(self, peer: int) -> None:
        """A connection is over. Others may have heard through that peer what they need from this node now: everybody is
        passed everything again, until they show that they hear it."""
        self._quiet_until.clear()
        self._answered_until.clear()
