"""The validator sets of epochs, as the state keeps them.

An epoch is announced at the end of block b: its set is chosen from the state of that moment and signs from height
b + 2 on. So the set of height h + 1 is known from the state after block h - 1, which is what the record of block h,
written before its execution, can speak of.

The sets of one unbonding period are kept in a ring: evidence about any of their heights can be judged.
"""

from __future__ import annotations

from collections.abc import Sequence

from dmchain.chain.consensus.proposer import ProposerSchedule, carry_priorities
from dmchain.chain.consensus.validators import Validator, ValidatorSet
from dmchain.chain.staking.layout import (
    EPOCH_SLOT,
    EpochHeader,
    Member,
    epoch_slot,
    member_slot,
    offset_slot,
    unpack_epoch,
    unpack_member,
)
from dmchain.chain.staking.parameters import PRIORITY_STRIDE, StakingParameters
from dmchain.chain.staking.slots import Slots


def load_epoch(slots: Slots, parameters: StakingParameters, number: int) -> EpochHeader | None:
    """None when the epoch is not announced yet, or not kept any more."""
    base = epoch_slot(number % parameters.epochs_kept)
    header = unpack_epoch(*[slots.load(offset_slot(base, place)) for place in range(3)])
    return header if header.number == number and header.size else None


def load_latest_epoch(slots: Slots, parameters: StakingParameters) -> EpochHeader:
    header = load_epoch(slots, parameters, slots.load(EPOCH_SLOT))
    assert header is not None  # genesis has epoch 0
    return header


def find_epoch(slots: Slots, parameters: StakingParameters, height: int) -> EpochHeader | None:
    """The epoch whose set signs `height`; None when it is not kept any more."""
    latest = load_latest_epoch(slots, parameters)
    if latest.first_height <= height:
        return latest
    # INVARIANT: low begins after height or is not kept, or is the answer; high begins after height
    low, high = max(latest.number - parameters.epochs_kept + 1, 0), latest.number
    found = None
    while low < high:
        middle = (low + high) // 2
        header = load_epoch(slots, parameters, middle)
        if header is None or header.first_height <= height:
            found = header
            low = middle + 1
        else:
            high = middle
    return found


def load_member(slots: Slots, parameters: StakingParameters, epoch: EpochHeader, index: int) -> Member:
    base = member_slot(epoch.number % parameters.epochs_kept, index)
    return unpack_member(slots.load(base), slots.load(offset_slot(base, 1)))


def load_members(slots: Slots, parameters: StakingParameters, epoch: EpochHeader) -> list[Member]:
    return [load_member(slots, parameters, epoch, index) for index in range(epoch.size)]


def store_epoch(slots: Slots, parameters: StakingParameters, header: EpochHeader, members: Sequence[Member]) -> None:
    """Announce an epoch; it takes the place of the oldest one kept."""
    place = header.number % parameters.epochs_kept
    for offset, word in enumerate(header.pack()):
        slots.store(offset_slot(epoch_slot(place), offset), word)
    for index, member in enumerate(members):
        base = member_slot(place, index)
        first, second = member.pack()
        slots.store(base, first)
        slots.store(offset_slot(base, 1), second)
    slots.store(EPOCH_SLOT, header.number)


def make_epoch(
    number: int,
    first_height: int,
    start_time: int,
    validators: ValidatorSet,
    left: Sequence[int],
    priorities: Sequence[int],
) -> tuple[EpochHeader, list[Member]]:
    """`left` and `priorities` by validator index."""
    header = EpochHeader(
        number=number,
        first_height=first_height,
        start_time=start_time,
        size=len(validators),
        validators_hash=validators.hash,
        priority_height=first_height,
        total_power=validators.total,
    )
    members = [
        Member(validator.address, validator.power, *rest)
        for validator, *rest in zip(validators.validators, left, priorities, strict=True)
    ]
    return header, members


def to_validator_set(members: Sequence[Member]) -> ValidatorSet:
    """Without public keys."""
    return ValidatorSet(tuple([Validator(member.address, member.power) for member in members]))


def _priorities_after(members: Sequence[Member], turns: int) -> tuple[int, ...]:
    schedule = ProposerSchedule([each.power for each in members], [each.priority for each in members])
    return schedule.priorities_after(turns)


def roll_priorities(slots: Slots, parameters: StakingParameters, epoch: EpochHeader, next_height: int) -> None:
    """Take turns in the state, a stride at a time, so that nobody has to work out an epoch from its beginning.

    `next_height` is the height after the block under way. proposer(height, round) stays what it was.
    """
    if next_height - epoch.priority_height < PRIORITY_STRIDE:
        return
    members = load_members(slots, parameters, epoch)
    priorities = _priorities_after(members, PRIORITY_STRIDE)
    place = epoch.number % parameters.epochs_kept
    for index, (member, priority) in enumerate(zip(members, priorities, strict=True)):
        slots.store(offset_slot(member_slot(place, index), 1), member._replace(priority=priority).pack()[1])
    moved = epoch._replace(priority_height=epoch.priority_height + PRIORITY_STRIDE)
    slots.store(offset_slot(epoch_slot(place), 2), moved.pack()[2])


def carry_into(
    members: Sequence[Member], epoch: EpochHeader, next_first_height: int, validators: ValidatorSet
) -> tuple[int, ...]:
    """Priorities of the set that follows `epoch` at `next_first_height`."""
    turns = next_first_height - epoch.priority_height
    ended = dict(zip([each.address for each in members], _priorities_after(members, turns), strict=True))
    return carry_priorities(ended, validators)
