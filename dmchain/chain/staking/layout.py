"""Where the staking contract keeps what: storage slots and packed words.

As solc would lay out these declarations (tests compare), fields of a word from the low-order end:

    contract Staking {                                            // slot
        uint96 bonded; uint96 unbonding;                          // 0: wei
        uint96 rewards;                                           // 1: wei, owed to delegators and operators
        uint128 minted; uint128 burned;                           // 2: wei, since genesis
        uint64 epoch;                                             // 3: the latest announced
        Parameters parameters;                                    // 4 to 6, see parameters.py
        Consensus consensus;                                      // 7 and 8: 13 uint32, in ConsensusParams' order
        address[] operators;                                      // 9: all that ever registered
        address[] seats;                                          // 10: candidates, in no order
        mapping(address operator => Validator) validators;        // 11
        mapping(address consensus => address) operatorOf;         // 12: never cleared, a key is used once
        mapping(address operator => mapping(address delegator => Delegation)) delegations;    // 13
        mapping(address account => Queue) queues;                 // 14
        mapping(uint256 place => Epoch) epochs;                   // 15: a ring, place = number % epochs_kept
        mapping(address operator => mapping(uint256 epoch => uint256)) maturedAt;             // 16
        uint256[] offences;                                       // 17: uint64 time, uint64 share of power
    }
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

from dmchain.chain.primitives.crypto import keccak
from dmchain.chain.primitives.types import ZERO_HASH, Address, Hash32

STAKE_SLOT: Final = 0
REWARDS_SLOT: Final = 1
SUPPLY_SLOT: Final = 2
EPOCH_SLOT: Final = 3
PARAMETERS_SLOT: Final = 4
CONSENSUS_SLOT: Final = 7
OPERATORS_SLOT: Final = 9
SEATS_SLOT: Final = 10
OFFENCES_SLOT: Final = 17
_VALIDATORS: Final = (11).to_bytes(32, "big")
_OPERATOR_OF: Final = (12).to_bytes(32, "big")
_DELEGATIONS: Final = (13).to_bytes(32, "big")
_QUEUES: Final = (14).to_bytes(32, "big")
_EPOCHS: Final = (15).to_bytes(32, "big")
_MATURED_AT: Final = (16).to_bytes(32, "big")

_SLOTS: Final = 1 << 256
_ADDRESS: Final = (1 << 160) - 1
_U16: Final = (1 << 16) - 1
_U40: Final = (1 << 40) - 1
U48: Final = (1 << 48) - 1
_U64: Final = (1 << 64) - 1
U96: Final = (1 << 96) - 1
U160: Final = (1 << 160) - 1
_U128: Final = (1 << 128) - 1


class Status(IntEnum):
    """Of a validator."""

    NONE = 0
    ACTIVE = 1
    """May be chosen; whether it is in the set is another matter."""
    JAILED = 2
    TOMBSTONED = 3
    """Signed twice; for good."""


# ---------------------------------------------------------------- slots


def _number(raw: bytes) -> int:
    return int.from_bytes(raw, "big")


def _word(number: int) -> bytes:
    return number.to_bytes(32, "big")


def _at_address(address: bytes, base: bytes) -> bytes:
    return keccak(bytes(12) + address + base)


def offset_slot(slot: int, words: int) -> int:
    return (slot + words) % _SLOTS


def array_slot(slot: int, index: int) -> int:
    """Slot of an item of the array whose length is at `slot`."""
    return (_number(keccak(_word(slot))) + index) % _SLOTS


def validator_slot(operator: bytes) -> int:
    """First of the twelve slots of a validator: profile, four of its pool, liveness, tombstone, two of its key, three of
    its randao onions."""
    return _number(_at_address(operator, _VALIDATORS))


PROFILE: Final = 0
POOL: Final = 1
POOL_WORDS: Final = 4
LIVENESS: Final = 5
TOMBSTONE: Final = 6
PUBLIC_KEY: Final = 7
ONIONS: Final = 9


def operator_of_slot(consensus: bytes) -> int:
    return _number(_at_address(consensus, _OPERATOR_OF))


def delegation_slot(operator: bytes, delegator: bytes) -> int:
    """First of the five slots of a delegation: shares, checkpoint, pending, redelegation, redelegated shares."""
    return _number(_at_address(delegator, _at_address(operator, _DELEGATIONS)))


def queue_slot(account: bytes) -> int:
    """Slot of an account's queue of withdrawals: uint64 head, uint64 tail."""
    return _number(_at_address(account, _QUEUES))


def unbonding_slot(account: bytes, index: int) -> int:
    """First of the three slots of an entry."""
    items = (queue_slot(account) + 1) % _SLOTS
    return _number(keccak(_word(index) + _word(items)))


def epoch_slot(place: int) -> int:
    """First of the three slots of an epoch: header, hash of its set, priorities' height and total power."""
    return _number(keccak(_word(place) + _EPOCHS))


def member_slot(place: int, index: int) -> int:
    """First of the two slots of a validator of an epoch."""
    members = (epoch_slot(place) + 3) % _SLOTS
    return _number(keccak(_word(index) + _word(members)))


def matured_at_slot(operator: bytes, epoch: int) -> int:
    """Slot of the accumulator from which on the stake that was added in `epoch` earns."""
    return _number(keccak(_word(epoch) + _at_address(operator, _MATURED_AT)))


# ---------------------------------------------------------------- words


class Profile(NamedTuple):
    """address consensus; uint16 commissionBps; uint16 maxCommissionChangeBps; uint40 commissionChangedAt;
    uint16 seat; uint8 status.

    `seat` is the index in `seats` plus one, 0 for none.
    """

    consensus: Address
    commission_bps: int
    max_commission_change_bps: int
    commission_changed_at: int
    seat: int
    status: int

    def pack(self) -> int:
        return (
            _number(self.consensus)
            | self.commission_bps << 160
            | self.max_commission_change_bps << 176
            | min(self.commission_changed_at, _U40) << 192
            | self.seat << 232
            | self.status << 248
        )


def unpack_profile(word: int) -> Profile:
    return Profile(
        consensus=Address((word & _ADDRESS).to_bytes(20, "big")),
        commission_bps=word >> 160 & _U16,
        max_commission_change_bps=word >> 176 & _U16,
        commission_changed_at=word >> 192 & _U40,
        seat=word >> 232 & _U16,
        status=word >> 248,
    )


class Liveness(NamedTuple):
    """uint40 jailedUntil; uint40 memberEpoch; uint40 windowTime; uint64 windowHeight; uint40 missed.

    `member_epoch` is the latest epoch whose set it is in, plus one; the window counts the commits of heights from
    `window_height` on.
    """

    jailed_until: int
    member_epoch: int
    window_time: int
    window_height: int
    missed: int

    def pack(self) -> int:
        return (
            min(self.jailed_until, _U40)
            | self.member_epoch << 40
            | min(self.window_time, _U40) << 80
            | self.window_height << 120
            | min(self.missed, _U40) << 184
        )


def unpack_liveness(word: int) -> Liveness:
    return Liveness(word & _U40, word >> 40 & _U40, word >> 80 & _U40, word >> 120 & _U64, word >> 184 & _U40)


class Tombstone(NamedTuple):
    """uint64 fraction; uint64 sinceBlock; uint64 processedBlock; uint64 height.

    `fraction` of WAD; `height` of the double signing. Stake that left after block `since_block`, whose state decided
    the set that signed that height, and before block `processed_block`, is liable.
    """

    fraction: int
    since_block: int
    processed_block: int
    height: int

    def pack(self) -> int:
        return self.fraction | self.since_block << 64 | self.processed_block << 128 | self.height << 192

    def is_liable(self, left_in_block: int) -> bool:
        return self.since_block < left_in_block < self.processed_block


def unpack_tombstone(word: int) -> Tombstone | None:
    if word == 0:
        return None
    return Tombstone(word & _U64, word >> 64 & _U64, word >> 128 & _U64, word >> 192)


class Onions(NamedTuple):
    """bytes32 randaoAnchor | bytes32 nextRandaoAnchor | uint48 randaoLeft; uint48 nextRandaoLength; uint64 nextRandaoEpoch.

    The validator's next `left` blocks reveal preimages of `anchor`, one after the other. Another onion waits for epoch
    `next_epoch` to be announced; 0: none waits.
    """

    anchor: Hash32 = ZERO_HASH
    left: int = 0
    next_anchor: Hash32 = ZERO_HASH
    next_length: int = 0
    next_epoch: int = 0

    def pack(self) -> tuple[int, int, int]:
        counts = self.left | self.next_length << 48 | min(self.next_epoch, _U64) << 96
        return _number(self.anchor), _number(self.next_anchor), counts


def unpack_onions(anchor: int, next_anchor: int, counts: int) -> Onions:
    return Onions(
        anchor=Hash32(_word(anchor)),
        left=counts & U48,
        next_anchor=Hash32(_word(next_anchor)),
        next_length=counts >> 48 & U48,
        next_epoch=counts >> 96 & _U64,
    )


class EpochHeader(NamedTuple):
    """uint64 number; uint64 firstHeight; uint64 startTime; uint16 size | bytes32 validatorsHash |
    uint64 priorityHeight; uint64 totalPower.

    `start_time` is that of the block that announced the epoch, two heights before `first_height`; `size` validators.
    The members' priorities are those with which the turn of `priority_height` begins.
    """

    number: int
    first_height: int
    start_time: int
    size: int
    validators_hash: bytes
    priority_height: int
    total_power: int

    @property
    def since_block(self) -> int:
        """The block whose state decided the set."""
        return max(self.first_height - 2, 0)

    def pack(self) -> tuple[int, int, int]:
        return (
            self.number | self.first_height << 64 | self.start_time << 128 | self.size << 192,
            _number(self.validators_hash),
            self.priority_height | self.total_power << 64,
        )


def unpack_epoch(header: int, validators_hash: int, turns: int) -> EpochHeader:
    return EpochHeader(
        number=header & _U64,
        first_height=header >> 64 & _U64,
        start_time=header >> 128 & _U64,
        size=header >> 192 & _U16,
        validators_hash=_word(validators_hash),
        priority_height=turns & _U64,
        total_power=turns >> 64 & _U64,
    )


class Member(NamedTuple):
    """address consensus; uint64 power | uint96 left; int96 priority.

    `left` is the pool's counter of stake that has left it, when the set was chosen.
    """

    address: Address
    power: int
    left: int
    priority: int

    def pack(self) -> tuple[int, int]:
        return _number(self.address) | self.power << 160, self.left | (self.priority & U96) << 96


def unpack_member(first: int, second: int) -> Member:
    priority = second >> 96 & U96
    return Member(
        address=Address((first & _ADDRESS).to_bytes(20, "big")),
        power=first >> 160 & _U64,
        left=second & U96,
        priority=priority - (1 << 96) if priority >> 95 else priority,
    )


class Unbonding(NamedTuple):
    """address validator; uint96 amount | uint64 leftInBlock; uint64 completesAt; uint64 originBlock; bool slashed |
    address origin; uint96 originAmount.

    `origin_amount` of it was redelegated here from `origin` in block `origin_block` and answers for `origin`'s offences
    until then. `slashed`: the validator's tombstone has been applied.
    """

    validator: Address
    amount: int
    left_in_block: int
    completes_at: int
    origin_block: int = 0
    slashed: bool = False
    origin: Address = Address(bytes(20))
    origin_amount: int = 0

    def pack(self) -> tuple[int, int, int]:
        return (
            _number(self.validator) | self.amount << 160,
            min(self.left_in_block, _U64)
            | min(self.completes_at, _U64) << 64
            | self.origin_block << 128
            | int(self.slashed) << 192,
            _number(self.origin) | self.origin_amount << 160,
        )


def unpack_unbonding(first: int, second: int, third: int) -> Unbonding:
    return Unbonding(
        validator=Address((first & _ADDRESS).to_bytes(20, "big")),
        amount=first >> 160,
        left_in_block=second & _U64,
        completes_at=second >> 64 & _U64,
        origin_block=second >> 128 & _U64,
        slashed=bool(second >> 192 & 0xFF),
        origin=Address((third & _ADDRESS).to_bytes(20, "big")),
        origin_amount=third >> 160,
    )


def pack_pair(low: int, high: int, bits: int) -> int:
    return low | high << bits


def unpack_pair(word: int, bits: int) -> tuple[int, int]:
    return word & ((1 << bits) - 1), word >> bits


def pack_offence(time: int, share: int) -> int:
    return min(time, _U64) | share << 64


def unpack_offence(word: int) -> tuple[int, int]:
    """Return (time it was punished, its share of power in parts of WAD)."""
    return word & _U64, word >> 64 & _U64
