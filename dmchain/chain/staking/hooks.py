"""What staking does at the edges of a block, in the block's own state: before its first transaction it counts who
signed the last commit and punishes what the evidence proves; after the last one it pays the proposer and, when the
epoch is over, chooses the next set.

Nothing here costs gas or leaves a log, since it belongs to no transaction; `Notice`s tell the node. Work per block is
bounded: one validator and those that did not sign; per epoch: the seats and the set.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dmchain.chain.consensus.body import MAX_EVIDENCE
from dmchain.chain.consensus.evidence import Amnesia, ChainEvidence
from dmchain.chain.consensus.validators import Validator, ValidatorSet
from dmchain.chain.primitives.errors import InvalidBlock
from dmchain.chain.primitives.types import Address, Hash32
from dmchain.chain.staking.arithmetic import (
    Absence,
    Candidate,
    choose_jailed,
    compute_block_reward,
    compute_pool_loss,
    compute_power,
    compute_slash_fraction,
    is_absent,
    select_validators,
)
from dmchain.chain.staking.epochs import (
    carry_into,
    find_epoch,
    load_latest_epoch,
    load_member,
    load_members,
    make_epoch,
    roll_priorities,
    store_epoch,
)
from dmchain.chain.staking.facts import ConsensusFacts, EpochAnnounced, Jailed, Notice, Tombstoned
from dmchain.chain.staking.layout import (
    EPOCH_SLOT,
    OFFENCES_SLOT,
    TOMBSTONE,
    U96,
    EpochHeader,
    Liveness,
    Member,
    Profile,
    Status,
    Tombstone,
    array_slot,
    offset_slot,
    pack_offence,
    unpack_offence,
    validator_slot,
)
from dmchain.chain.staking.parameters import (
    BPS,
    MAX_RECENT_OFFENCES,
    MAX_STAKE,
    POWER_UNIT,
    WAD,
    StakingParameters,
)
from dmchain.chain.staking.pool import Pool
from dmchain.chain.staking.randao import begin_next_onion, process_reveal
from dmchain.chain.staking.slots import (
    BlockState,
    Slots,
    StateSlots,
    add_rewards,
    add_stake,
    append,
    load_parameters,
    load_rewards,
    load_stake,
)
from dmchain.chain.staking.validators import (
    leave_seat,
    load_liveness,
    load_operator,
    load_profile,
    load_seats,
    load_self_stake,
    store_liveness,
    store_profile,
)


@dataclass(slots=True)
class _Block:
    """A block under way. `timestamp` in seconds."""

    slots: StateSlots
    parameters: StakingParameters
    number: int
    timestamp: int
    facts: ConsensusFacts
    notices: list[Notice] = field(default_factory=list)

    def operator_of(self, consensus: Address) -> Address:
        operator = load_operator(self.slots, consensus)
        if operator is None:
            raise InvalidBlock(f"proposer or signer 0x{consensus.hex()}: not a registered validator")
        return operator

    def epoch_of(self, height: int) -> EpochHeader | None:
        return find_epoch(self.slots, self.parameters, height)


def _open(state: BlockState, number: int, timestamp: int, facts: ConsensusFacts) -> _Block | None:
    slots = StateSlots(state)
    parameters = load_parameters(slots)
    return None if parameters is None else _Block(slots, parameters, number, timestamp, facts)


def process_block_start(state: BlockState, number: int, timestamp: int, facts: ConsensusFacts) -> tuple[Notice, ...]:
    """Before the first transaction of block `number`. Nothing happens on a chain without staking.

    Raises InvalidBlock when the facts do not fit the state: a commit of another height or of a set of another size, too
    much evidence, an unknown proposer, a reveal that is not its onion's next layer, or a validator index that the set does
    not have.
    """
    block = _open(state, number, timestamp, facts)
    if block is None:
        return ()
    process_reveal(block.slots, block.operator_of(facts.proposer), facts.reveal)
    _count_absences(block)
    _process_evidence(block)
    return tuple(block.notices)


def process_block_end(state: BlockState, number: int, timestamp: int, facts: ConsensusFacts) -> tuple[Notice, ...]:
    """After the last transaction of block `number`, and after all that is paid to its coinbase."""
    block = _open(state, number, timestamp, facts)
    if block is None:
        return ()
    _pay_proposer(block)
    epoch = load_latest_epoch(block.slots, block.parameters)
    if timestamp >= epoch.start_time + block.parameters.epoch_seconds:
        _judge_liveness(block, epoch)
        _announce_epoch(block, epoch)
    else:
        roll_priorities(block.slots, block.parameters, epoch, number + 1)
    return tuple(block.notices)


# ---------------------------------------------------------------- the last commit


def _load_commit_epoch(block: _Block) -> EpochHeader | None:
    """The epoch whose set signed the last commit, which is checked against it; None in block 1."""
    commit = block.facts.last_commit
    if commit is None:
        if block.number > 1:
            raise InvalidBlock(f"last commit: missing, expected that of height {block.number - 1}")
        return None
    if commit.height != block.number - 1:
        raise InvalidBlock(f"last commit: got height {commit.height}, expected {block.number - 1}")
    epoch = block.epoch_of(commit.height)
    count = 0 if epoch is None else epoch.size
    if len(commit.signatures) != count:
        raise InvalidBlock(f"last commit: got {len(commit.signatures)} validators, expected {count}")
    return epoch


def _load_absent(block: _Block) -> tuple[EpochHeader | None, list[Member]]:
    """Return (epoch, members without a signature) of the last commit."""
    epoch = _load_commit_epoch(block)
    commit = block.facts.last_commit
    if epoch is None or commit is None:
        return epoch, []
    absent = [index for index, signature in enumerate(commit.signatures) if signature is None]
    return epoch, [load_member(block.slots, block.parameters, epoch, index) for index in absent]


def _count_absences(block: _Block) -> None:
    for member in _load_absent(block)[1]:
        operator = block.operator_of(member.address)
        liveness = load_liveness(block.slots, operator)
        store_liveness(block.slots, operator, liveness._replace(missed=liveness.missed + 1))


# ---------------------------------------------------------------- evidence


@dataclass(frozen=True, slots=True)
class _Offence:
    height: int
    operator: Address
    epoch: EpochHeader
    member: Member

    @property
    def share(self) -> int:
        return self.member.power * WAD // self.epoch.total_power


def find_punishable_epoch(
    slots: Slots, parameters: StakingParameters, evidence: ChainEvidence, number: int, timestamp: int
) -> EpochHeader | None:
    """The epoch of the evidence, None when it is of no use in block `number`: too old, or of a height to come.

    Stake that was bonded when the epoch's set was chosen is all still here until one unbonding period later.
    """
    if evidence.height > number or (isinstance(evidence, Amnesia) and not parameters.slash_amnesia):
        return None
    epoch = find_epoch(slots, parameters, evidence.height)
    if epoch is None or timestamp > epoch.start_time + parameters.unbonding_seconds:
        return None
    return epoch


def _process_evidence(block: _Block) -> None:
    """Punish all offenders of a block alike: whoever is caught together is slashed together."""
    pieces = block.facts.evidence
    if len(pieces) > MAX_EVIDENCE:
        raise InvalidBlock(f"evidence: got {len(pieces)} pieces, expected at most {MAX_EVIDENCE}")
    offences: dict[Address, _Offence] = {}
    for piece in pieces:
        offence = _find_offence(block, piece)
        if offence is not None:
            offences.setdefault(offence.operator, offence)
    if not offences:
        return
    shares = [offence.share for offence in offences.values()]
    slashed_share = _sum_recent_shares(block) + sum(shares)
    parameters = block.parameters
    fraction = compute_slash_fraction(parameters.double_sign_bps, parameters.correlation, slashed_share)
    is_rewarded = block.operator_of(block.facts.proposer) not in offences
    for offence in offences.values():
        _punish(block, offence, fraction, is_rewarded=is_rewarded)
    for share in shares:
        append(block.slots, OFFENCES_SLOT, pack_offence(block.timestamp, share))


def _find_offence(block: _Block, evidence: ChainEvidence) -> _Offence | None:
    """None when there is nothing to punish: too old, or punished before."""
    epoch = find_punishable_epoch(block.slots, block.parameters, evidence, block.number, block.timestamp)
    if epoch is None:
        return None
    if not 0 <= evidence.validator < epoch.size:
        raise InvalidBlock(f"evidence: got validator {evidence.validator}, expected below {epoch.size}")
    member = load_member(block.slots, block.parameters, epoch, evidence.validator)
    operator = block.operator_of(member.address)
    if load_profile(block.slots, operator).status == Status.TOMBSTONED:
        return None
    return _Offence(evidence.height, operator, epoch, member)


def _sum_recent_shares(block: _Block) -> int:
    """Power that was slashed within one unbonding period, in parts of WAD."""
    count = block.slots.load(OFFENCES_SLOT)
    total = 0
    for index in range(count - 1, max(count - MAX_RECENT_OFFENCES, 0) - 1, -1):
        time, share = unpack_offence(block.slots.load(array_slot(OFFENCES_SLOT, index)))
        if time + block.parameters.unbonding_seconds < block.timestamp:
            break
        total += share
    return total


def _punish(block: _Block, offence: _Offence, fraction: int, *, is_rewarded: bool) -> None:
    slots = block.slots
    operator = offence.operator
    profile = load_profile(slots, operator)
    store_profile(slots, operator, profile._replace(status=Status.TOMBSTONED))
    tombstone = Tombstone(fraction, offence.epoch.since_block, block.number, offence.height)
    slots.store(offset_slot(validator_slot(operator), TOMBSTONE), tombstone.pack())
    pool = Pool.load(slots, operator)
    left = (pool.left - offence.member.left) & U96
    lost = compute_pool_loss(pool.tokens, offence.member.power * POWER_UNIT, left, fraction)
    pool.tokens -= lost
    pool.save(slots)
    add_stake(slots, bonded=-lost)
    reward = _reward_reporter(block, lost) if is_rewarded else 0
    slots.burn(lost - reward)
    block.notices.append(Tombstoned(operator, offence.height, fraction, lost, reward))


def _reward_reporter(block: _Block, lost: int) -> int:
    """Give the proposer its part of what was taken; return it in wei."""
    operator = block.operator_of(block.facts.proposer)
    reward = lost * block.parameters.reporter_bps // BPS
    if reward == 0 or load_profile(block.slots, operator).status == Status.TOMBSTONED:
        return 0
    pool = Pool.load(block.slots, operator)
    pool.enter(block.slots.load(EPOCH_SLOT))
    pool.credit_operator(reward)
    pool.save(block.slots)
    add_rewards(block.slots, reward)
    return reward


# ---------------------------------------------------------------- rewards


def _pay_proposer(block: _Block) -> None:
    """Credit to the proposer's pool what the block mints, and whatever else has come to the contract without a call:
    the tips of a proposer that names the contract as its coinbase. A tombstoned proposer earns nothing; what has come
    waits for the next one."""
    slots = block.slots
    operator = block.operator_of(block.facts.proposer)
    profile = load_profile(slots, operator)
    if profile.status == Status.TOMBSTONED:
        return
    slots.mint(_compute_block_reward(block))
    bonded, unbonding = load_stake(slots)
    rewards = load_rewards(slots)
    amount = min(slots.balance - bonded - unbonding - rewards, MAX_STAKE - rewards)
    if amount <= 0:
        return
    pool = Pool.load(slots, operator)
    pool.enter(slots.load(EPOCH_SLOT))
    pool.distribute(amount, profile.commission_bps)
    pool.save(slots)
    add_rewards(slots, amount)


def _compute_block_reward(block: _Block) -> int:
    full = block.parameters.block_reward
    if full == 0:
        return 0
    epoch, absent = _load_absent(block)
    if epoch is None:
        return full
    signed = epoch.total_power - sum([member.power for member in absent])
    return compute_block_reward(full, signed, epoch.total_power)


# ---------------------------------------------------------------- the end of an epoch


def _judge_liveness(block: _Block, epoch: EpochHeader) -> None:
    """Jail members of the latest set that signed too little of a complete window; the set itself stays as it is."""
    slots, parameters = block.slots, block.parameters
    members = load_members(slots, parameters, epoch)
    absences: list[Absence] = []
    windows: list[tuple[Address, Liveness, int]] = []
    for place, member in enumerate(members):
        operator = block.operator_of(member.address)
        liveness = load_liveness(slots, operator)
        expected = block.number - liveness.window_height  # the commit of this very height is not counted yet
        windows.append((operator, liveness, expected))
        if expected < parameters.window_commits:
            continue
        if block.timestamp - liveness.window_time < parameters.window_seconds:
            continue
        if is_absent(liveness.missed, expected, parameters.minimum_signed_bps):
            absences.append(Absence(liveness.missed, place, member.power))
        fresh = liveness._replace(window_time=block.timestamp, window_height=block.number, missed=0)
        store_liveness(slots, operator, fresh)
    for place in choose_jailed(absences, epoch.total_power):
        operator, liveness, expected = windows[place]
        _jail(block, operator, expected - liveness.missed, expected)


def _jail(block: _Block, operator: Address, signed: int, expected: int) -> None:
    slots = block.slots
    profile = load_profile(slots, operator)
    if profile.status != Status.ACTIVE:
        return
    until = block.timestamp + block.parameters.jail_seconds
    store_profile(slots, operator, profile._replace(status=Status.JAILED))
    store_liveness(slots, operator, load_liveness(slots, operator)._replace(jailed_until=until))
    block.notices.append(Jailed(operator, signed, expected, until))


def _announce_epoch(block: _Block, ended: EpochHeader) -> None:
    slots, parameters = block.slots, block.parameters
    old_members = load_members(slots, parameters, ended)
    chosen = select_validators(_load_candidates(block), parameters.max_validators)
    if chosen:
        validators = [Validator(each.address, compute_power(each.tokens)) for each in chosen]
    else:
        # nobody left to choose: better the old set than none
        validators = [Validator(each.address, each.power) for each in old_members]
    new_set = ValidatorSet(tuple(validators))
    operators = [block.operator_of(each.address) for each in new_set.validators]
    first_height = block.number + 2
    header, members = make_epoch(
        ended.number + 1,
        first_height,
        block.timestamp,
        new_set,
        [Pool.load(slots, operator).left for operator in operators],
        carry_into(old_members, ended, first_height, new_set),
    )
    for operator in operators:
        _enrol(block, operator, header)
    store_epoch(slots, parameters, header, members)
    block.notices.append(
        EpochAnnounced(header.number, first_height, header.size, header.total_power, Hash32(header.validators_hash))
    )


def _load_candidates(block: _Block) -> list[Candidate]:
    """Those who may be chosen. Who is tombstoned or has too little stake of its own loses its seat."""
    slots = block.slots
    candidates = []
    for operator in load_seats(slots):
        profile: Profile = load_profile(slots, operator)
        pool = Pool.load(slots, operator)
        own = load_self_stake(slots, pool)
        if profile.status == Status.TOMBSTONED or own < block.parameters.minimum_self_stake:
            leave_seat(slots, operator)
        elif profile.status == Status.ACTIVE:
            candidates.append(Candidate(profile.consensus, operator, pool.tokens))
    return candidates


def _enrol(block: _Block, operator: Address, epoch: EpochHeader) -> None:
    """Note that a validator is in the set; who was not in the one before begins a new window."""
    begin_next_onion(block.slots, operator, epoch.number)
    liveness = load_liveness(block.slots, operator)
    if liveness.member_epoch != epoch.number:  # it was stored plus one
        liveness = liveness._replace(window_time=block.timestamp, window_height=epoch.first_height, missed=0)
    store_liveness(block.slots, operator, liveness._replace(member_epoch=epoch.number + 1))
