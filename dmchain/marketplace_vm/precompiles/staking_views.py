"""Staking's views. They charge for each item of an answer before they load it; pages are bounded."""

from __future__ import annotations

from typing import Any, Final

from dmchain.chain.primitives.types import UINT64_MAX, ZERO_ADDRESS, Address
from dmchain.chain.staking.arithmetic import compute_power
from dmchain.chain.staking.epochs import load_latest_epoch, load_member
from dmchain.chain.staking.layout import EPOCH_SLOT, OPERATORS_SLOT, Status, array_slot
from dmchain.chain.staking.parameters import StakingParameters
from dmchain.chain.staking.pool import Pool, Position, load_tombstone
from dmchain.chain.staking.randao import load_onions
from dmchain.chain.staking.slots import load_address, load_parameters, load_rewards, load_stake, load_supply
from dmchain.chain.staking.unbonding import Queue, settle_unbonding
from dmchain.chain.staking.validators import load_liveness, load_operator, load_profile, load_self_stake
from dmchain.marketplace_vm.precompiles import gas
from dmchain.marketplace_vm.precompiles import staking_interface as interface
from dmchain.marketplace_vm.precompiles.abi import encode_uint, function
from dmchain.marketplace_vm.precompiles.dispatch import Handler
from dmchain.marketplace_vm.precompiles.host import Host


def _page(count: int, offset: int, limit: int) -> range:
    return range(min(offset, count), min(offset + min(limit, interface.MAX_PAGE), count))


def _require_parameters(host: Host) -> StakingParameters:
    parameters = load_parameters(host)
    if parameters is None:
        raise interface.STAKING_OFF()
    return parameters


# ---------------------------------------------------------------- validators


def _describe_validator(host: Host, operator: bytes) -> tuple[Any, ...]:
    host.charge(gas.VIEW_VALIDATOR)
    profile = load_profile(host, operator)
    if profile.status == Status.NONE:
        raise interface.UNKNOWN_VALIDATOR(operator)
    liveness = load_liveness(host, operator)
    tombstone = load_tombstone(host, operator)
    pool = Pool.load(host, operator)
    return (
        operator,
        profile.consensus,
        profile.status,
        profile.seat > 0,
        liveness.member_epoch == host.load(EPOCH_SLOT) + 1,
        profile.commission_bps,
        profile.max_commission_change_bps,
        profile.commission_changed_at,
        liveness.jailed_until,
        0 if tombstone is None else tombstone.fraction,
        pool.tokens,
        load_self_stake(host, pool),
        pool.shares,
        pool.rewards,
        pool.commission,
    )


def validator(host: Host, operator: bytes) -> bytes:
    return VALIDATOR.encode_result(_describe_validator(host, operator))


def validators(host: Host, offset: int, limit: int) -> bytes:
    page = _page(host.load(OPERATORS_SLOT), offset, limit)
    operators = [load_address(host, array_slot(OPERATORS_SLOT, index)) for index in page]
    return VALIDATORS.encode_result([_describe_validator(host, operator) for operator in operators])


def validator_count(host: Host) -> bytes:
    return encode_uint(host.load(OPERATORS_SLOT))


def operator_of(host: Host, consensus: bytes) -> bytes:
    return OPERATOR_OF.encode_result(load_operator(host, consensus) or ZERO_ADDRESS)


def get_power(host: Host, operator: bytes) -> bytes:
    return encode_uint(compute_power(Pool.load(host, operator).tokens))


def randao(host: Host, operator: bytes) -> bytes:
    return RANDAO.encode_result(tuple(load_onions(host, operator)))


# ---------------------------------------------------------------- stake


def delegation(host: Host, operator: bytes, delegator: bytes) -> bytes:
    host.charge(gas.POSITION)
    position = Position(host, operator, delegator, host.load(EPOCH_SLOT), host.timestamp)
    held = position.delegation
    fields = (position.value, held.accrued, held.shares, held.pending, held.source, held.completes_at)
    return DELEGATION.encode_result(fields)


def unbondings(host: Host, account: bytes) -> bytes:
    queue = Queue.load(host, account)
    entries = []
    for index in range(queue.head, queue.tail):
        host.charge(gas.UNBONDING_ENTRY)
        entry, _ = settle_unbonding(host, queue.entry(host, index))
        entries.append((entry.validator, entry.amount, entry.completes_at))
    return UNBONDINGS.encode_result(entries)


def totals(host: Host) -> bytes:
    return TOTALS.encode_result(*load_stake(host), load_rewards(host), *load_supply(host))


# ---------------------------------------------------------------- the chain's own


def epoch(host: Host) -> bytes:
    parameters = _require_parameters(host)
    found = load_latest_epoch(host, parameters)
    fields = (
        found.number,
        found.first_height,
        found.start_time,
        min(found.start_time + parameters.epoch_seconds, UINT64_MAX),
        found.size,
        found.total_power,
        found.validators_hash,
    )
    return EPOCH.encode_result(fields)


def validator_set(host: Host, offset: int, limit: int) -> bytes:
    parameters = _require_parameters(host)
    found = load_latest_epoch(host, parameters)
    members = []
    for index in _page(found.size, offset, limit):
        host.charge(gas.VIEW_MEMBER)
        member = load_member(host, parameters, found, index)
        members.append((load_operator(host, member.address) or Address(bytes(20)), member.address, member.power))
    return VALIDATOR_SET.encode_result(members)


def parameters(host: Host) -> bytes:
    found = _require_parameters(host)
    names = (
        "epoch_seconds", "unbonding_seconds", "max_validators", "max_candidates", "window_commits", "window_seconds",
        "minimum_signed_bps", "jail_seconds", "double_sign_bps", "correlation", "reporter_bps", "slash_amnesia",
        "minimum_self_stake", "block_reward", "dispute_contract",
    )  # fmt: skip
    return PARAMETERS.encode_result(tuple([getattr(found, name) for name in names]))


# ---------------------------------------------------------------- the interface

_TYPES = interface.TYPES
VALIDATOR = function("validator(address operator) view returns (Validator)", _TYPES)
VALIDATORS = function("validators(uint256 offset, uint256 limit) view returns (Validator[])", _TYPES)
OPERATOR_OF = function("operatorOf(address consensus) view returns (address operator)")
DELEGATION = function("delegation(address validator, address delegator) view returns (Delegation)", _TYPES)
UNBONDINGS = function("unbondings(address account) view returns (Unbonding[])", _TYPES)
TOTALS = function(
    """totals() view returns (uint256 bonded, uint256 unbonding, uint256 rewards, uint256 minted, uint256 burned)"""
)
EPOCH = function("epoch() view returns (Epoch)", _TYPES)
VALIDATOR_SET = function("validatorSet(uint256 offset, uint256 limit) view returns (Member[])", _TYPES)
RANDAO = function("randao(address validator) view returns (Randao)", _TYPES)
PARAMETERS = function("parameters() view returns (Parameters)", _TYPES)

HANDLERS: Final = (
    Handler(VALIDATOR, gas.VIEW, validator),
    Handler(VALIDATORS, gas.VIEW, validators),
    Handler(function("validatorCount() view returns (uint256)"), gas.VIEW, validator_count),
    Handler(OPERATOR_OF, gas.VIEW, operator_of),
    Handler(function("power(address validator) view returns (uint64)"), gas.VIEW_EPOCH, get_power),
    Handler(RANDAO, gas.VIEW, randao),
    Handler(DELEGATION, gas.VIEW, delegation),
    Handler(UNBONDINGS, gas.VIEW, unbondings),
    Handler(TOTALS, gas.VIEW, totals),
    Handler(EPOCH, gas.VIEW_EPOCH, epoch),
    Handler(VALIDATOR_SET, gas.VIEW_EPOCH, validator_set),
    Handler(PARAMETERS, gas.VIEW_EPOCH, parameters),
)
