"""Stake on its way out: a queue per account, first in, first out, bounded.

An entry stays liable for what its validator did while the stake was bonded; what it owes is worked out when it is
withdrawn, so that no slash has to visit the queues of all delegators.
"""

from __future__ import annotations

from dataclasses import dataclass

from dmchain.chain.primitives.types import ZERO_ADDRESS
from dmchain.chain.staking.arithmetic import compute_burn
from dmchain.chain.staking.layout import (
    Unbonding,
    offset_slot,
    pack_pair,
    queue_slot,
    unbonding_slot,
    unpack_pair,
    unpack_unbonding,
)
from dmchain.chain.staking.parameters import MAX_UNBONDINGS
from dmchain.chain.staking.pool import load_tombstone
from dmchain.chain.staking.slots import Slots


@dataclass(slots=True)
class Queue:
    """Entries `head` to `tail - 1` of one account; all wait equally long, so they complete in this order."""

    account: bytes
    head: int
    tail: int

    @classmethod
    def load(cls, slots: Slots, account: bytes) -> Queue:
        return cls(account, *unpack_pair(slots.load(queue_slot(account)), 64))

    def save(self, slots: Slots) -> None:
        if self.head == self.tail:
            self.head = self.tail = 0
        slots.store(queue_slot(self.account), pack_pair(self.head, self.tail, 64))

    @property
    def is_full(self) -> bool:
        return self.tail - self.head >= MAX_UNBONDINGS

    def entry(self, slots: Slots, index: int) -> Unbonding:
        base = unbonding_slot(self.account, index)
        return unpack_unbonding(*[slots.load(offset_slot(base, place)) for place in range(3)])

    def replace(self, slots: Slots, index: int, entry: Unbonding) -> None:
        base = unbonding_slot(self.account, index)
        for place, word in enumerate(entry.pack()):
            slots.store(offset_slot(base, place), word)

    def append(self, slots: Slots, entry: Unbonding) -> int:
        """Return its index."""
        index = self.tail
        base = unbonding_slot(self.account, index)
        for place, word in enumerate(entry.pack()):
            if word:
                slots.store(offset_slot(base, place), word)
        self.tail += 1
        return index

    def pop(self, slots: Slots) -> None:
        """Clear the first entry."""
        base = unbonding_slot(self.account, self.head)
        for place in range(3):
            slots.store(offset_slot(base, place), 0)
        self.head += 1


def settle_unbonding(slots: Slots, entry: Unbonding) -> tuple[Unbonding, int]:
    """Return the entry after the slashes it is liable for, and what they take from it in wei.

    The origin's comes first. Whoever stores the entry keeps `origin_amount` within `amount`.
    """
    burned = 0
    if entry.origin != ZERO_ADDRESS:
        tombstone = load_tombstone(slots, entry.origin)
        if tombstone is not None and tombstone.is_liable(entry.origin_block):
            burned = compute_burn(entry.origin_amount, tombstone.fraction)
            entry = entry._replace(amount=entry.amount - burned, origin=ZERO_ADDRESS, origin_block=0, origin_amount=0)
    if not entry.slashed:
        tombstone = load_tombstone(slots, entry.validator)
        if tombstone is not None and tombstone.is_liable(entry.left_in_block):
            lost = compute_burn(entry.amount, tombstone.fraction)
            burned += lost
            entry = entry._replace(amount=entry.amount - lost, slashed=True)
    return entry, burned
