"""Read the state of staking without running the EVM: for consensus, JSON-RPC, light clients and checks.

Every function takes `get_storage(address, slot) -> int` over one state, so that an answer never mixes two blocks.
Amounts are wei, times seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from dmchain.chain.consensus.evidence import ChainEvidence
from dmchain.chain.consensus.proposer import ProposerSchedule
from dmchain.chain.consensus.timing import ConsensusParams
from dmchain.chain.consensus.validators import Validator, ValidatorSet
from dmchain.chain.primitives.errors import InvariantBroken
from dmchain.chain.primitives.types import Address, Hash32
from dmchain.chain.staking.arithmetic import compute_power
from dmchain.chain.staking.epochs import find_epoch, load_latest_epoch, load_member, load_members
from dmchain.chain.staking.hooks import find_punishable_epoch
from dmchain.chain.staking.layout import (
    CONSENSUS_SLOT,
    EPOCH_SLOT,
    OPERATORS_SLOT,
    Onions,
    Status,
    Tombstone,
    array_slot,
)
from dmchain.chain.staking.parameters import StakingParameters, unpack_consensus
from dmchain.chain.staking.pool import Pool, Position, load_tombstone
from dmchain.chain.staking.randao import load_onions
from dmchain.chain.staking.slots import (
    GetStorage,
    ReadSlots,
    load_parameters,
    load_rewards,
    load_stake,
    load_supply,
)
from dmchain.chain.staking.unbonding import Queue, settle_unbonding
from dmchain.chain.staking.validators import (
    load_liveness,
    load_operator,
    load_profile,
    load_public_key,
    load_self_stake,
)


def read_parameters(get_storage: GetStorage) -> StakingParameters | None:
    """None on a chain without staking."""
    return load_parameters(ReadSlots(get_storage))


def read_consensus_params(get_storage: GetStorage) -> ConsensusParams:
    """Raises ValueError on a chain without staking."""
    slots = ReadSlots(get_storage)
    return unpack_consensus(slots.load(CONSENSUS_SLOT), slots.load(CONSENSUS_SLOT + 1))


# ---------------------------------------------------------------- sets


@dataclass(frozen=True)
class EpochSet:
    """Who signs the heights of an epoch. `operators` by validator index, like the set.

    `priorities` are those with which the turn of `priority_height` begins, which is at most a stride behind.
    """

    number: int
    first_height: int
    start_time: int
    validators: ValidatorSet
    operators: tuple[Address, ...]
    priorities: tuple[int, ...]
    priority_height: int

    @property
    def hash(self) -> Hash32:
        """What a record's validatorsHash says."""
        return self.validators.hash

    @cached_property
    def schedule(self) -> ProposerSchedule:
        """Its position 0 is round 0 of `priority_height`."""
        return ProposerSchedule(self.validators.powers, self.priorities)

    def proposer(self, height: int, round: int) -> int:
        """Index of the proposer; `height` at or after `priority_height`."""
        return self.schedule.at(height - self.priority_height + round)


def read_epoch_at(get_storage: GetStorage, height: int) -> EpochSet | None:
    """The set that signs `height`, with public keys; None when it is not known (any more).

    The state after block h - 1 knows the sets of h and h + 1, and of the heights of one unbonding period before.
    Proposers are known for the heights of h and h + 1 alone.
    """
    slots = ReadSlots(get_storage)
    parameters = load_parameters(slots)
    header = None if parameters is None else find_epoch(slots, parameters, height)
    if parameters is None or header is None:
        return None
    members = load_members(slots, parameters, header)
    operators = [load_operator(slots, member.address) for member in members]
    validators = []
    for member, operator in zip(members, operators, strict=True):
        if operator is None:
            raise InvariantBroken(f"0x{member.address.hex()} is in epoch {header.number}, but nobody registered it")
        validators.append(Validator(member.address, member.power, load_public_key(slots, operator)))
    return EpochSet(
        number=header.number,
        first_height=header.first_height,
        start_time=header.start_time,
        validators=ValidatorSet(tuple(validators)),
        operators=tuple([operator for operator in operators if operator is not None]),
        priorities=tuple([member.priority for member in members]),
        priority_height=header.priority_height,
    )


def read_epoch_key(get_storage: GetStorage, height: int) -> tuple[int, int] | None:
    """(epoch, priority height) of `height`: what decides `read_epoch_at`, at the price of a few slots."""
    slots = ReadSlots(get_storage)
    parameters = load_parameters(slots)
    header = None if parameters is None else find_epoch(slots, parameters, height)
    return None if header is None else (header.number, header.priority_height)


def read_epoch_end(get_storage: GetStorage) -> int | None:
    """The first block at or after this time announces the next epoch."""
    slots = ReadSlots(get_storage)
    parameters = load_parameters(slots)
    if parameters is None:
        return None
    return load_latest_epoch(slots, parameters).start_time + parameters.epoch_seconds


def is_punishable(get_storage: GetStorage, evidence: ChainEvidence, number: int, timestamp: int) -> bool:
    """Whether evidence, which has been verified, would still have an effect in block `number`.

    `get_storage` is of the state before that block.
    """
    slots = ReadSlots(get_storage)
    parameters = load_parameters(slots)
    if parameters is None:
        return False
    epoch = find_punishable_epoch(slots, parameters, evidence, number, timestamp)
    if epoch is None or not 0 <= evidence.validator < epoch.size:
        return False
    operator = load_operator(slots, load_member(slots, parameters, epoch, evidence.validator).address)
    return operator is not None and load_profile(slots, operator).status != Status.TOMBSTONED


# ---------------------------------------------------------------- validators


@dataclass(frozen=True, slots=True)
class ValidatorState:
    """A registered validator. `stake` is the whole pool's, `self_stake` the operator's own part; `rewards` are owed to
    delegators and operator, of which `commission` to the operator. `missed` of the commits from `window_height` on."""

    operator: Address
    consensus: Address
    public_key: bytes
    status: Status
    is_seated: bool
    is_in_set: bool
    commission_bps: int
    max_commission_change_bps: int
    commission_changed_at: int
    jailed_until: int
    window_height: int
    missed: int
    tombstone: Tombstone | None
    stake: int
    self_stake: int
    shares: int
    rewards: int
    commission: int

    @property
    def power(self) -> int:
        """What the stake of now would give it."""
        return compute_power(self.stake)


def read_validator(get_storage: GetStorage, operator: bytes) -> ValidatorState | None:
    """None when `operator` (20 bytes) never registered."""
    slots = ReadSlots(get_storage)
    profile = load_profile(slots, operator)
    if profile.status == Status.NONE:
        return None
    liveness = load_liveness(slots, operator)
    pool = Pool.load(slots, operator)
    return ValidatorState(
        operator=Address(bytes(operator)),
        consensus=profile.consensus,
        public_key=load_public_key(slots, operator),
        status=Status(profile.status),
        is_seated=profile.seat > 0,
        is_in_set=liveness.member_epoch == slots.load(EPOCH_SLOT) + 1,
        commission_bps=profile.commission_bps,
        max_commission_change_bps=profile.max_commission_change_bps,
        commission_changed_at=profile.commission_changed_at,
        jailed_until=liveness.jailed_until,
        window_height=liveness.window_height,
        missed=liveness.missed,
        tombstone=load_tombstone(slots, operator),
        stake=pool.tokens,
        self_stake=load_self_stake(slots, pool),
        shares=pool.shares,
        rewards=pool.rewards,
        commission=pool.commission,
    )


def count_validators(get_storage: GetStorage) -> int:
    """All that ever registered."""
    return ReadSlots(get_storage).load(OPERATORS_SLOT)


def list_validators(get_storage: GetStorage, offset: int, limit: int) -> Iterator[ValidatorState]:
    """Yield at most `limit` validators in the order of registration, after skipping `offset`."""
    count = count_validators(get_storage)
    slots = ReadSlots(get_storage)
    for index in range(min(offset, count), min(offset + limit, count)):
        operator = slots.load(array_slot(OPERATORS_SLOT, index)).to_bytes(20, "big")
        found = read_validator(get_storage, operator)
        if found is not None:
            yield found


def find_operator(get_storage: GetStorage, consensus: bytes) -> Address | None:
    """Who registered the consensus key with this address."""
    return load_operator(ReadSlots(get_storage), consensus)


def is_candidate(get_storage: GetStorage, consensus: bytes) -> bool:
    """Whether the consensus key's validator has a seat, from which it may be chosen when it is not in jail."""
    slots = ReadSlots(get_storage)
    operator = load_operator(slots, consensus)
    return operator is not None and load_profile(slots, operator).seat > 0


def read_onions(get_storage: GetStorage, consensus: bytes) -> Onions:
    """The randao onions of a consensus key; all zero when it has none, or nobody registered it."""
    slots = ReadSlots(get_storage)
    operator = load_operator(slots, consensus)
    return Onions() if operator is None else load_onions(slots, operator)


# ---------------------------------------------------------------- stake


@dataclass(frozen=True, slots=True)
class DelegationState:
    """A delegation as it would be if it were settled now. `pending_shares` earn from the next epoch on; what came from
    `redelegated_from` answers for it until `redelegation_ends_at`."""

    validator: Address
    delegator: Address
    stake: int
    rewards: int
    shares: int
    pending_shares: int
    redelegated_from: Address | None
    redelegation_ends_at: int


def read_delegation(
    get_storage: GetStorage, operator: bytes, delegator: bytes, timestamp: int
) -> DelegationState | None:
    """None when there is neither stake nor rewards."""
    slots = ReadSlots(get_storage)
    position = Position(slots, operator, delegator, slots.load(EPOCH_SLOT), timestamp)
    held = position.delegation
    if held.shares == 0 and held.accrued == 0:
        return None
    return DelegationState(
        validator=Address(bytes(operator)),
        delegator=Address(bytes(delegator)),
        stake=position.value,
        rewards=held.accrued,
        shares=held.shares,
        pending_shares=held.pending,
        redelegated_from=held.source if held.is_redelegated else None,
        redelegation_ends_at=held.completes_at,
    )


@dataclass(frozen=True, slots=True)
class UnbondingState:
    """Stake on its way out; `amount` after the slashes known by now."""

    validator: Address
    amount: int
    completes_at: int


def read_unbondings(get_storage: GetStorage, account: bytes) -> list[UnbondingState]:
    """Oldest first."""
    slots = ReadSlots(get_storage)
    queue = Queue.load(slots, account)
    entries = []
    for index in range(queue.head, queue.tail):
        entry, _ = settle_unbonding(slots, queue.entry(slots, index))
        entries.append(UnbondingState(entry.validator, entry.amount, entry.completes_at))
    return entries


@dataclass(frozen=True, slots=True)
class StakeTotals:
    """`minted` and `burned` since genesis; base fees are burned elsewhere and not counted."""

    bonded: int
    unbonding: int
    rewards: int
    minted: int
    burned: int

    @property
    def owed(self) -> int:
        """What the contract has to hold."""
        return self.bonded + self.unbonding + self.rewards


def read_totals(get_storage: GetStorage) -> StakeTotals:
    slots = ReadSlots(get_storage)
    return StakeTotals(*load_stake(slots), load_rewards(slots), *load_supply(slots))
