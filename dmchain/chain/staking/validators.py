"""Registered validators: their profile, liveness, and the seats from which an epoch's set is chosen.

Seats are few, so that choosing is bounded work. One is taken at registration while there is room; when all are taken,
a validator with more stake may take another's. Epoch ends clear those whose own stake no longer suffices.
"""

from __future__ import annotations

from dmchain.chain.primitives.crypto import public_key_to_address
from dmchain.chain.primitives.types import Address
from dmchain.chain.staking.layout import (
    LIVENESS,
    OPERATORS_SLOT,
    PROFILE,
    PUBLIC_KEY,
    SEATS_SLOT,
    U160,
    Liveness,
    Profile,
    Status,
    array_slot,
    delegation_slot,
    offset_slot,
    operator_of_slot,
    unpack_liveness,
    unpack_profile,
    validator_slot,
)
from dmchain.chain.staking.pool import Pool
from dmchain.chain.staking.slots import Slots, append


def load_profile(slots: Slots, operator: bytes) -> Profile:
    """All zero, with status NONE, when the operator never registered."""
    return unpack_profile(slots.load(offset_slot(validator_slot(operator), PROFILE)))


def store_profile(slots: Slots, operator: bytes, profile: Profile) -> None:
    slots.store(offset_slot(validator_slot(operator), PROFILE), profile.pack())


def load_liveness(slots: Slots, operator: bytes) -> Liveness:
    return unpack_liveness(slots.load(offset_slot(validator_slot(operator), LIVENESS)))


def store_liveness(slots: Slots, operator: bytes, liveness: Liveness) -> None:
    slots.store(offset_slot(validator_slot(operator), LIVENESS), liveness.pack())


def load_operator(slots: Slots, consensus: bytes) -> Address | None:
    """Who registered this consensus key; None when nobody did."""
    word = slots.load(operator_of_slot(consensus))
    return Address(word.to_bytes(20, "big")) if word else None


def load_public_key(slots: Slots, operator: bytes) -> bytes:
    """64 bytes, uncompressed without prefix."""
    base = validator_slot(operator)
    words = [slots.load(offset_slot(base, PUBLIC_KEY + place)) for place in range(2)]
    return b"".join([word.to_bytes(32, "big") for word in words])


def store_public_key(slots: Slots, operator: bytes, public_key: bytes) -> None:
    base = validator_slot(operator)
    for place in range(2):
        part = public_key[32 * place : 32 * place + 32]
        slots.store(offset_slot(base, PUBLIC_KEY + place), int.from_bytes(part, "big"))


def load_self_stake(slots: Slots, pool: Pool) -> int:
    """Wei of the operator's own delegation to its own pool."""
    shares = slots.load(delegation_slot(pool.operator, pool.operator)) & U160
    return pool.value_of(shares)


def register(
    slots: Slots,
    operator: Address,
    public_key: bytes,
    *,
    commission_bps: int,
    max_commission_change_bps: int,
    timestamp: int,
    max_candidates: int,
) -> Profile:
    """Enter a validator that is not in yet, with a key that is not; return its profile, with a seat if one is free."""
    consensus = public_key_to_address(public_key)
    profile = Profile(consensus, commission_bps, max_commission_change_bps, timestamp, 0, Status.ACTIVE)
    profile = take_free_seat(slots, operator, profile, max_candidates)
    store_profile(slots, operator, profile)
    store_public_key(slots, operator, public_key)
    number = int.from_bytes(operator, "big")
    slots.store(operator_of_slot(consensus), number)
    append(slots, OPERATORS_SLOT, number)
    return profile


# ---------------------------------------------------------------- seats


def count_seats(slots: Slots) -> int:
    return slots.load(SEATS_SLOT)


def load_seat(slots: Slots, index: int) -> Address:
    return Address(slots.load(array_slot(SEATS_SLOT, index)).to_bytes(20, "big"))


def load_seats(slots: Slots) -> list[Address]:
    return [load_seat(slots, index) for index in range(count_seats(slots))]


def take_free_seat(slots: Slots, operator: bytes, profile: Profile, max_candidates: int) -> Profile:
    """Return the profile with a seat if it had one or one was free; the caller stores it."""
    if profile.seat or count_seats(slots) >= max_candidates:
        return profile
    index = append(slots, SEATS_SLOT, int.from_bytes(operator, "big"))
    return profile._replace(seat=index + 1)


def take_seat_of(slots: Slots, operator: bytes, profile: Profile, displaced: bytes) -> Profile:
    """Give the seat of `displaced`, which has one, to `operator`; return its profile, for the caller to store."""
    loser = load_profile(slots, displaced)
    slots.store(array_slot(SEATS_SLOT, loser.seat - 1), int.from_bytes(operator, "big"))
    store_profile(slots, displaced, loser._replace(seat=0))
    return profile._replace(seat=loser.seat)


def leave_seat(slots: Slots, operator: bytes) -> None:
    """Clear a seat that is taken; the last one moves to its place."""
    profile = load_profile(slots, operator)
    last = count_seats(slots) - 1
    index = profile.seat - 1
    if index != last:
        moved = load_seat(slots, last)
        slots.store(array_slot(SEATS_SLOT, index), int.from_bytes(moved, "big"))
        store_profile(slots, moved, load_profile(slots, moved)._replace(seat=index + 1))
    slots.store(array_slot(SEATS_SLOT, last), 0)
    slots.store(SEATS_SLOT, last)
    store_profile(slots, operator, profile._replace(seat=0))
