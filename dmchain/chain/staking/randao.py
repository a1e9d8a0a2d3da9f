"""Randao: every block of a validator reveals the next layer of an onion of hashes that the validator has registered.

    anchor = keccak(keccak(… keccak(core)))        `length` times
    reveal of a block = the preimage of the anchor; then it is the anchor itself
    prevRandao(h) = keccak(prevRandao(h - 1) ‖ reveal)

A reveal is bound before anybody, its owner included, can know what it will be mixed with: a new onion replaces the old
one when a whole epoch has passed since it was registered. So a proposer can only choose to propose or not, one bit for
each turn it gives away. A validator without an onion, or with all of it revealed, reveals zero: nothing to choose.
"""

from __future__ import annotations

from typing import Final

from dmchain.chain.primitives.crypto import keccak
from dmchain.chain.primitives.errors import InvalidBlock
from dmchain.chain.primitives.types import ZERO_HASH, Hash32
from dmchain.chain.staking.layout import EPOCH_SLOT, ONIONS, Onions, offset_slot, unpack_onions, validator_slot
from dmchain.chain.staking.slots import Slots

REGISTRATION_EPOCHS: Final = 2
"""From the epoch in which an onion is registered to the announcement with which it begins: one whole epoch between."""


def load_onions(slots: Slots, operator: bytes) -> Onions:
    """All zero for a validator that never registered any."""
    base = validator_slot(operator)
    return unpack_onions(*[slots.load(offset_slot(base, ONIONS + place)) for place in range(3)])


def store_onions(slots: Slots, operator: bytes, onions: Onions) -> None:
    base = validator_slot(operator)
    for place, word in enumerate(onions.pack()):
        slots.store(offset_slot(base, ONIONS + place), word)


def is_onion(anchor: bytes, length: int) -> bool:
    """Whether the two fit: an onion has an anchor and layers, none has neither."""
    return (anchor == ZERO_HASH) == (length == 0)


def plan_onion(slots: Slots, operator: bytes, anchor: Hash32, length: int) -> int:
    """Register the validator's next onion in place of one that waits; return the epoch with which it begins."""
    begins = slots.load(EPOCH_SLOT) + REGISTRATION_EPOCHS
    onions = load_onions(slots, operator)
    store_onions(slots, operator, onions._replace(next_anchor=anchor, next_length=length, next_epoch=begins))
    return begins


def begin_next_onion(slots: Slots, operator: bytes, epoch: int) -> None:
    """At the announcement of `epoch`, which has this validator: the onion that has waited long enough is its own now."""
    onions = load_onions(slots, operator)
    if 0 < onions.next_epoch <= epoch:
        store_onions(slots, operator, Onions(anchor=onions.next_anchor, left=onions.next_length))


def process_reveal(slots: Slots, operator: bytes, reveal: Hash32) -> None:
    """Check the reveal of a block that this validator proposed, and take the layer off.

    Raises InvalidBlock when the reveal is not the one that the onion, or its absence, demands.
    """
    onions = load_onions(slots, operator)
    if onions.left == 0:
        if reveal != ZERO_HASH:
            raise InvalidBlock(f"randao reveal: got 0x{reveal.hex()}, expected zero: the proposer has no onion left")
        return
    hashed = keccak(reveal)
    if hashed != onions.anchor:
        raise InvalidBlock(
            f"randao reveal: got 0x{reveal.hex()}, which hashes to 0x{hashed.hex()}, expected 0x{onions.anchor.hex()}"
        )
    store_onions(slots, operator, onions._replace(anchor=reveal, left=onions.left - 1))


# ---------------------------------------------------------------- the owner's side


class HashOnion:
    """The layers of one onion, from its secret core. Keeps one in `STRIDE` and the run of layers last used.

    Layer i is the core hashed i times; layer `length` is the anchor.
    """

    STRIDE: Final = 512

    def __init__(self, core: Hash32, length: int) -> None:
        """Hashes `length` times, some 0.8 microseconds each. Raises ValueError below one."""
        if length < 1:
            raise ValueError(f"length: got {length}, expected 1 or more")
        self.length = length
        self._marks = [core]
        layer: bytes = core
        for number in range(1, length + 1):
            layer = keccak(layer)
            if number % self.STRIDE == 0:
                self._marks.append(Hash32(layer))
        self.anchor = Hash32(layer)
        self._run_start = -1
        self._run: list[Hash32] = []

    def layer(self, number: int) -> Hash32:
        """The core hashed `number` times, 0 to `length`: at most STRIDE hashes of work, mostly none."""
        if not 0 <= number <= self.length:
            raise ValueError(f"layer: got {number}, expected 0 to {self.length}")
        place, offset = divmod(number, self.STRIDE)
        if place != self._run_start:
            run = [self._marks[place]]
            for _ in range(min(self.STRIDE - 1, self.length - place * self.STRIDE)):
                run.append(Hash32(keccak(run[-1])))
            self._run_start, self._run = place, run
        return self._run[offset]
