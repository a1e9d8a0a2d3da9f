"""Staking: the calls of the system contract at 0x…DA03. What happens at the edges of blocks is in chain.staking.hooks.

Coin comes in with payable calls and goes out as plain balance moves, which call nobody: there is nothing to reenter.
Every function changes storage first and pays last. docs/staking.md has the rules, chain/staking the records.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dmchain.chain.primitives.crypto import public_key_to_address
from dmchain.chain.primitives.public_key import PUBLIC_KEY_BYTES
from dmchain.chain.primitives.types import UINT64_MAX, ZERO_ADDRESS, Address, Hash32
from dmchain.chain.staking import STAKING
from dmchain.chain.staking.arithmetic import is_worthless
from dmchain.chain.staking.layout import EPOCH_SLOT, PARAMETERS_SLOT, Profile, Status, Unbonding, operator_of_slot
from dmchain.chain.staking.parameters import (
    BPS,
    COMMISSION_INTERVAL_SECONDS,
    MAX_STAKE,
    MAX_UNBONDINGS,
    unpack_amounts,
    unpack_timing,
)
from dmchain.chain.staking.pool import Pool, Position, Withdrawn
from dmchain.chain.staking.possession import is_possession_proven
from dmchain.chain.staking.randao import is_onion, plan_onion
from dmchain.chain.staking.slots import add_rewards, add_stake, add_supply, load_stake
from dmchain.chain.staking.unbonding import Queue, settle_unbonding
from dmchain.chain.staking.validators import (
    count_seats,
    load_liveness,
    load_profile,
    load_self_stake,
    register,
    store_profile,
    take_free_seat,
    take_seat_of,
)
from dmchain.marketplace_vm.precompiles import gas
from dmchain.marketplace_vm.precompiles import staking_interface as interface
from dmchain.marketplace_vm.precompiles import staking_views as views
from dmchain.marketplace_vm.precompiles.abi import encode_uint, function
from dmchain.marketplace_vm.precompiles.dispatch import COMMON_ERRORS, Handler, NativeContract
from dmchain.marketplace_vm.precompiles.host import Host

# ---------------------------------------------------------------- what the functions share


def _load_timing(host: Host) -> dict[str, int]:
    """The parameters' first word; reverts with StakingOff on a chain without staking."""
    word = host.load(PARAMETERS_SLOT)
    if word == 0:
        raise interface.STAKING_OFF()
    return unpack_timing(word)


def _load_minimum_self_stake(host: Host) -> int:
    return unpack_amounts(host.load(PARAMETERS_SLOT + 1))["minimum_self_stake"]


def _require_validator(host: Host, operator: bytes) -> Profile:
    profile = load_profile(host, operator)
    if profile.status == Status.NONE:
        raise interface.UNKNOWN_VALIDATOR(operator)
    return profile


def _require_not_tombstoned(operator: bytes, profile: Profile) -> None:
    if profile.status == Status.TOMBSTONED:
        raise interface.VALIDATOR_TOMBSTONED(operator)


def _burn(host: Host, amount: int) -> None:
    if amount:
        add_supply(host, burned=amount)
        host.burn(amount)


def _open(host: Host, operator: bytes, delegator: bytes) -> Position:
    """Load a delegation and settle it, burning what it owes for the offence of a former validator."""
    host.charge(gas.POSITION)
    position = Position(host, operator, delegator, host.load(EPOCH_SLOT), host.timestamp)
    if position.offender is not None:
        add_stake(host, bonded=-position.burned)
        _burn(host, position.burned)
        host.emit(
            *interface.DELEGATION_SLASHED.encode(operator, delegator, position.offender, position.burned)
        )
    return position


def _bond(host: Host, operator: bytes, position: Position, amount: int) -> None:
    """Add the coin that came with the call."""
    if amount == 0:
        raise interface.ZERO_AMOUNT()
    if is_worthless(position.pool.tokens, position.pool.shares):
        raise interface.WORTHLESS_POOL(operator)
    total = sum(load_stake(host)) + amount
    if total > MAX_STAKE:
        raise interface.STAKE_LIMIT_EXCEEDED(total, MAX_STAKE)
    shares = position.add(amount)
    position.save(host)
    add_stake(host, bonded=amount)
    host.emit(*interface.DELEGATED.encode(operator, host.caller, amount, shares))


def _compute_completion(host: Host, timing: dict[str, int]) -> int:
    """When stake that begins to unbond now has waited long enough, in seconds."""
    return min(host.timestamp + timing["unbonding_seconds"], UINT64_MAX)


def _take(position: Position, amount: int) -> Withdrawn:
    """Take `amount` wei, or WHOLE_STAKE, out of a delegation. All of it takes what rounding left over along."""
    value = position.value
    wanted = value if amount == interface.WHOLE_STAKE else amount
    if wanted == 0:
        raise interface.ZERO_AMOUNT()
    if wanted > value:
        raise interface.INSUFFICIENT_STAKE(value, wanted)
    if wanted == value:
        return position.take(position.delegation.shares)
    return position.take_amount(wanted)


# ---------------------------------------------------------------- validators


def register_validator(
    host: Host, public_key: bytes, proof: bytes, commission_bps: int, max_commission_change_bps: int
) -> bytes:
    timing = _load_timing(host)
    operator = Address(host.caller)
    if load_profile(host, operator).status != Status.NONE:
        raise interface.ALREADY_REGISTERED(operator)
    if len(public_key) != PUBLIC_KEY_BYTES:
        raise interface.INVALID_PUBLIC_KEY(len(public_key))
    for bps in (commission_bps, max_commission_change_bps):
        if bps > BPS:
            raise interface.INVALID_COMMISSION(bps, 0, BPS)
    minimum = _load_minimum_self_stake(host)
    if host.value < minimum:
        raise interface.SELF_STAKE_TOO_LOW(host.value, minimum)
    consensus = public_key_to_address(public_key)
    holder = host.load(operator_of_slot(consensus))
    if holder:
        raise interface.CONSENSUS_KEY_USED(consensus, holder.to_bytes(20, "big"))
    if not is_possession_proven(proof, host.chain_id, operator, consensus):
        raise interface.INVALID_PROOF(consensus)
    profile = register(
        host,
        operator,
        public_key,
        commission_bps=commission_bps,
        max_commission_change_bps=max_commission_change_bps,
        timestamp=host.timestamp,
        max_candidates=timing["max_candidates"],
    )
    host.emit(
        *interface.VALIDATOR_REGISTERED.encode(
            operator, consensus, public_key, commission_bps, max_commission_change_bps, profile.seat > 0
        )
    )
    _bond(host, operator, _open(host, operator, operator), host.value)
    return b""


def set_commission(host: Host, commission_bps: int) -> bytes:
    profile = _require_validator(host, host.caller)
    lowest = max(profile.commission_bps - profile.max_commission_change_bps, 0)
    highest = min(profile.commission_bps + profile.max_commission_change_bps, BPS)
    if not lowest <= commission_bps <= highest:
        raise interface.INVALID_COMMISSION(commission_bps, lowest, highest)
    next_change = profile.commission_changed_at + COMMISSION_INTERVAL_SECONDS
    if host.timestamp < next_change:
        raise interface.COMMISSION_CHANGED_LATELY(next_change)
    changed = profile._replace(commission_bps=commission_bps, commission_changed_at=host.timestamp)
    store_profile(host, host.caller, changed)
    host.emit(*interface.COMMISSION_CHANGED.encode(host.caller, commission_bps))
    return b""


def unjail(host: Host) -> bytes:
    timing = _load_timing(host)
    operator = host.caller
    profile = _require_validator(host, operator)
    _require_not_tombstoned(operator, profile)
    if profile.status != Status.JAILED:
        raise interface.NOT_JAILED(operator)
    until = load_liveness(host, operator).jailed_until
    if host.timestamp < until:
        raise interface.STILL_JAILED(operator, until)
    _require_self_stake(host, operator)
    profile = take_free_seat(host, operator, profile._replace(status=Status.ACTIVE), timing["max_candidates"])
    store_profile(host, operator, profile)
    host.emit(*interface.UNJAILED.encode(operator))
    return b""


def _require_self_stake(host: Host, operator: bytes) -> Pool:
    pool = Pool.load(host, operator)
    own, minimum = load_self_stake(host, pool), _load_minimum_self_stake(host)
    if own < minimum:
        raise interface.SELF_STAKE_TOO_LOW(own, minimum)
    return pool


def take_seat(host: Host, displaced: bytes) -> bytes:
    timing = _load_timing(host)
    operator = host.caller
    profile = _require_validator(host, operator)
    _require_not_tombstoned(operator, profile)
    if profile.seat:
        raise interface.ALREADY_SEATED(operator)
    pool = _require_self_stake(host, operator)
    if count_seats(host) < timing["max_candidates"]:
        displaced = ZERO_ADDRESS
        profile = take_free_seat(host, operator, profile, timing["max_candidates"])
    else:
        if not load_profile(host, displaced).seat:
            raise interface.NOT_SEATED(displaced)
        other = Pool.load(host, displaced).tokens
        if pool.tokens <= other:
            raise interface.STAKE_NOT_HIGHER(pool.tokens, other)
        profile = take_seat_of(host, operator, profile, displaced)
    store_profile(host, operator, profile)
    host.emit(*interface.SEAT_TAKEN.encode(operator, displaced))
    return b""


def set_randao(host: Host, anchor: bytes, length: int) -> bytes:
    operator = host.caller
    _require_not_tombstoned(operator, _require_validator(host, operator))
    if not is_onion(anchor, length):
        raise interface.INVALID_RANDAO(anchor, length)
    begins = plan_onion(host, operator, Hash32(anchor), length)
    host.emit(*interface.RANDAO_SET.encode(operator, anchor, length, begins))
    return encode_uint(begins)


# ---------------------------------------------------------------- stake


def delegate(host: Host, operator: bytes) -> bytes:
    timing = _load_timing(host)
    profile = _require_validator(host, operator)
    _require_not_tombstoned(operator, profile)
    position = _open(host, operator, host.caller)
    _bond(host, operator, position, host.value)
    if host.caller == operator and not profile.seat:
        _retake_seat(host, operator, profile, timing["max_candidates"])
    return b""


def _retake_seat(host: Host, operator: bytes, profile: Profile, max_candidates: int) -> None:
    """An operator that tops up a stake that had become too low gets a seat back when one is free."""
    pool = Pool.load(host, operator)
    if load_self_stake(host, pool) >= _load_minimum_self_stake(host):
        seated = take_free_seat(host, operator, profile, max_candidates)
        if seated.seat:
            store_profile(host, operator, seated)
            host.emit(*interface.SEAT_TAKEN.encode(operator, ZERO_ADDRESS))


def undelegate(host: Host, operator: bytes, amount: int) -> bytes:
    timing = _load_timing(host)
    _require_validator(host, operator)
    queue = Queue.load(host, host.caller)
    if queue.is_full:
        raise interface.TOO_MANY_UNBONDINGS(MAX_UNBONDINGS)
    position = _open(host, operator, host.caller)
    shares = position.delegation.shares
    out = _take(position, amount)
    position.save(host)
    completes_at = _compute_completion(host, timing)
    entry = Unbonding(
        Address(operator), out.tokens, host.block_number, completes_at, out.origin_block, False, out.origin,
        out.origin_tokens,
    )  # fmt: skip
    queue.append(host, entry)
    queue.save(host)
    add_stake(host, bonded=-out.tokens, unbonding=out.tokens)
    burned_shares = shares - position.delegation.shares
    host.emit(*interface.UNDELEGATED.encode(operator, host.caller, out.tokens, burned_shares, completes_at))
    return encode_uint(completes_at)


def redelegate(host: Host, source: bytes, target: bytes, amount: int) -> bytes:
    timing = _load_timing(host)
    if source == target:
        raise interface.SAME_VALIDATOR(source)
    _require_validator(host, source)
    _require_not_tombstoned(target, _require_validator(host, target))
    old = _open(host, source, host.caller)
    new = _open(host, target, host.caller)
    for operator, position in ((source, old), (target, new)):
        if position.delegation.is_redelegated:
            # One hop: liability is followed to one former validator, and one at a time.
            raise interface.REDELEGATION_UNDER_WAY(operator, host.caller, position.delegation.completes_at)
    if is_worthless(new.pool.tokens, new.pool.shares):
        raise interface.WORTHLESS_POOL(target)
    out = _take(old, amount)
    old.save(host)
    completes_at = _compute_completion(host, timing)
    held = new.delegation
    held.moved = new.add(out.tokens)
    held.source, held.since_block, held.completes_at = Address(source), host.block_number, completes_at
    new.save(host)
    host.emit(*interface.REDELEGATED.encode(source, target, host.caller, out.tokens, completes_at))
    return encode_uint(completes_at)


def withdraw_unbonded(host: Host) -> bytes:
    account = host.caller
    queue = Queue.load(host, account)
    paid = burned = 0
    first = queue.head
    while queue.head < queue.tail:
        host.charge(gas.UNBONDING_ENTRY)
        entry = queue.entry(host, queue.head)
        if entry.completes_at > host.timestamp:
            break
        settled, lost = settle_unbonding(host, entry)
        queue.pop(host)
        paid += settled.amount
        burned += lost
    if queue.head == first:
        raise interface.NOTHING_TO_WITHDRAW()
    queue.save(host)
    add_stake(host, unbonding=-(paid + burned))
    _burn(host, burned)
    host.emit(*interface.UNBONDED_WITHDRAWN.encode(account, paid, burned))
    host.pay(account, paid)
    return encode_uint(paid)


# ---------------------------------------------------------------- rewards


def withdraw_rewards(host: Host, operator: bytes) -> bytes:
    _require_validator(host, operator)
    position = _open(host, operator, host.caller)
    amount = position.delegation.accrued
    if amount == 0:
        raise interface.NOTHING_TO_WITHDRAW()
    position.delegation.accrued = 0
    position.pool.rewards -= amount
    position.save(host)
    add_rewards(host, -amount)
    host.emit(*interface.REWARDS_WITHDRAWN.encode(operator, host.caller, amount))
    host.pay(host.caller, amount)
    return encode_uint(amount)


def withdraw_commission(host: Host) -> bytes:
    operator = host.caller
    _require_validator(host, operator)
    pool = Pool.load(host, operator)
    amount = pool.commission
    if amount == 0:
        raise interface.NOTHING_TO_WITHDRAW()
    pool.commission = 0
    pool.rewards -= amount
    pool.save(host)
    add_rewards(host, -amount)
    host.emit(*interface.COMMISSION_WITHDRAWN.encode(operator, amount))
    host.pay(operator, amount)
    return encode_uint(amount)


def settle(host: Host, operator: bytes, delegator: bytes) -> bytes:
    _require_validator(host, operator)
    _open(host, operator, delegator).save(host)
    return b""


# ---------------------------------------------------------------- disputes


def slash_for_data(host: Host, provider: bytes, amount: int, beneficiaries: Sequence[bytes]) -> bytes:
    dispute_contract = host.load(PARAMETERS_SLOT + 2).to_bytes(20, "big")
    if dispute_contract == ZERO_ADDRESS or host.caller != dispute_contract:
        raise interface.NOT_DISPUTE_CONTRACT(host.caller, dispute_contract)
    if amount == 0:
        raise interface.ZERO_AMOUNT()
    if len(beneficiaries) > interface.MAX_BENEFICIARIES:
        raise interface.TOO_MANY_BENEFICIARIES(len(beneficiaries), interface.MAX_BENEFICIARIES)
    for beneficiary in beneficiaries:
        host.charge(gas.BENEFICIARY)
        if beneficiary in (ZERO_ADDRESS, STAKING):
            raise interface.INVALID_BENEFICIARY(beneficiary)
    _require_validator(host, provider)
    slashed = _seize_bonded(host, provider, amount)
    slashed += _seize_unbonding(host, provider, amount - slashed)
    burned = 0 if beneficiaries else slashed
    _burn(host, burned)
    host.emit(*interface.DATA_SLASHED.encode(provider, amount, slashed, burned))
    if beneficiaries and slashed:
        _compensate(host, provider, slashed, beneficiaries)
    return encode_uint(slashed)


def _seize_bonded(host: Host, provider: bytes, amount: int) -> int:
    """Take up to `amount` wei of a provider's delegation to itself; its delegators lose nothing."""
    position = _open(host, provider, provider)
    wanted = min(amount, position.value)
    seized = _take(position, wanted).tokens if wanted else 0
    position.save(host)
    add_stake(host, bonded=-seized)
    return seized


def _seize_unbonding(host: Host, provider: bytes, amount: int) -> int:
    """Take up to `amount` wei of what the provider has on the way out of its own pool, the latest first."""
    if amount == 0:
        return 0
    queue = Queue.load(host, provider)
    seized = burned = 0
    for index in range(queue.tail - 1, queue.head - 1, -1):
        if seized == amount:
            break
        host.charge(gas.UNBONDING_ENTRY)
        before = queue.entry(host, index)
        if before.validator != provider:
            continue
        entry, lost = settle_unbonding(host, before)
        part = min(entry.amount, amount - seized)
        rest = entry.amount - part
        after = entry._replace(amount=rest, origin_amount=min(entry.origin_amount, rest))
        if after != before:
            queue.replace(host, index, after)
        seized += part
        burned += lost
    add_stake(host, unbonding=-(seized + burned))
    _burn(host, burned)
    return seized


def _compensate(host: Host, provider: bytes, amount: int, beneficiaries: Sequence[bytes]) -> None:
    """Pay equal parts; the first gets what the division leaves."""
    part, rest = divmod(amount, len(beneficiaries))
    payments = [(each, part + (rest if place == 0 else 0)) for place, each in enumerate(beneficiaries)]
    for beneficiary, payment in payments:
        host.emit(*interface.COMPENSATED.encode(provider, beneficiary, payment))
    for beneficiary, payment in payments:
        host.pay(beneficiary, payment)


# ---------------------------------------------------------------- the interface

CONTRACT: Final = NativeContract(
    name=interface.SCOPE,
    address=STAKING,
    handlers=(
        Handler(
            function(
                """register(bytes publicKey, bytes proof, uint16 commissionBps, uint16 maxCommissionChangeBps) payable"""
            ),
            gas.REGISTER_VALIDATOR,
            register_validator,
        ),
        Handler(function("delegate(address validator) payable"), gas.DELEGATE, delegate),
        Handler(
            function("undelegate(address validator, uint256 amount) returns (uint64 completesAt)"),
            gas.DELEGATE,
            undelegate,
        ),
        Handler(
            function("redelegate(address from, address to, uint256 amount) returns (uint64 completesAt)"),
            gas.REDELEGATE,
            redelegate,
        ),
        Handler(function("withdrawUnbonded() returns (uint256 amount)"), gas.WITHDRAW, withdraw_unbonded),
        Handler(
            function("withdrawRewards(address validator) returns (uint256 amount)"), gas.WITHDRAW, withdraw_rewards
        ),
        Handler(function("withdrawCommission() returns (uint256 amount)"), gas.WITHDRAW, withdraw_commission),
        Handler(function("settle(address validator, address delegator)"), gas.WITHDRAW, settle),
        Handler(function("setCommission(uint16 commissionBps)"), gas.ADMINISTER_VALIDATOR, set_commission),
        Handler(
            function("setRandao(bytes32 anchor, uint48 length) returns (uint64 beginsWithEpoch)"),
            gas.ADMINISTER_VALIDATOR,
            set_randao,
        ),
        Handler(function("unjail()"), gas.ADMINISTER_VALIDATOR, unjail),
        Handler(function("takeSeat(address displaced)"), gas.TAKE_SEAT, take_seat),
        Handler(
            function(
                """slashForData(address provider, uint256 amount, address[] beneficiaries)
                returns (uint256 slashed)"""
            ),
            gas.SLASH_FOR_DATA,
            slash_for_data,
        ),
        *views.HANDLERS,
    ),
    errors=(*COMMON_ERRORS, *interface.ERRORS),
    events=interface.EVENTS,
)
