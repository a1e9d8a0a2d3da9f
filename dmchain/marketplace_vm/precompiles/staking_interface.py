"""Staking's structs, events and errors: the ABI that IStaking.sol documents."""

from __future__ import annotations

from typing import Final

from dmchain.chain.staking.layout import Status
from dmchain.marketplace_vm.precompiles.abi import enum, error, event, struct

SCOPE: Final = "IStaking"
MAX_PAGE: Final = 50
"""Items that one call of a paged view returns at most."""
MAX_BENEFICIARIES: Final = 64
"""Of one slashForData."""
WHOLE_STAKE: Final = 2**256 - 1
"""As an amount: everything that is there."""

_STATUS = enum(Status, SCOPE)
_SCOPED = {"Status": _STATUS}
VALIDATOR = struct(
    """Validator(address operator, address consensus, Status status, bool seated, bool inSet, uint16 commissionBps,
        uint16 maxCommissionChangeBps, uint40 commissionChangedAt, uint40 jailedUntil, uint64 slashFraction,
        uint96 stake, uint96 selfStake, uint160 shares, uint96 rewards, uint96 commission)""",
    SCOPE,
    _SCOPED,
)
DELEGATION = struct(
    """Delegation(uint96 stake, uint96 rewards, uint160 shares, uint160 pendingShares, address redelegatedFrom,
        uint48 redelegationEndsAt)""",
    SCOPE,
)
UNBONDING = struct("Unbonding(address validator, uint96 amount, uint64 completesAt)", SCOPE)
EPOCH = struct(
    """Epoch(uint64 number, uint64 firstHeight, uint64 startTime, uint64 endsAt, uint16 size, uint64 totalPower,
        bytes32 validatorsHash)""",
    SCOPE,
)
MEMBER = struct("Member(address operator, address consensus, uint64 power)", SCOPE)
PARAMETERS = struct(
    """Parameters(uint32 epochSeconds, uint32 unbondingSeconds, uint16 maxValidators, uint16 maxCandidates,
        uint32 windowCommits, uint32 windowSeconds, uint16 minimumSignedBps, uint32 jailSeconds, uint16 doubleSignBps,
        uint8 correlation, uint16 reporterBps, bool slashAmnesia, uint96 minimumSelfStake, uint96 blockReward,
        address disputeContract)""",
    SCOPE,
)
RANDAO = struct(
    "Randao(bytes32 anchor, uint48 left, bytes32 nextAnchor, uint48 nextLength, uint64 nextEpoch)", SCOPE
)
TYPES: Final = {
    "Status": _STATUS,
    "Validator": VALIDATOR,
    "Delegation": DELEGATION,
    "Unbonding": UNBONDING,
    "Epoch": EPOCH,
    "Randao": RANDAO,
    "Member": MEMBER,
    "Parameters": PARAMETERS,
}

VALIDATOR_REGISTERED = event(
    """ValidatorRegistered(address indexed operator, address indexed consensus, bytes publicKey, uint16 commissionBps,
        uint16 maxCommissionChangeBps, bool seated)"""
)
DELEGATED = event(
    "Delegated(address indexed validator, address indexed delegator, uint256 amount, uint256 shares)"
)
UNDELEGATED = event(
    """Undelegated(address indexed validator, address indexed delegator, uint256 amount, uint256 shares,
        uint64 completesAt)"""
)
REDELEGATED = event(
    """Redelegated(address indexed from, address indexed to, address indexed delegator, uint256 amount,
        uint64 completesAt)"""
)
UNBONDED_WITHDRAWN = event("UnbondedWithdrawn(address indexed account, uint256 amount, uint256 burned)")
REWARDS_WITHDRAWN = event("RewardsWithdrawn(address indexed validator, address indexed delegator, uint256 amount)")
COMMISSION_WITHDRAWN = event("CommissionWithdrawn(address indexed validator, uint256 amount)")
COMMISSION_CHANGED = event("CommissionChanged(address indexed validator, uint16 commissionBps)")
RANDAO_SET = event("RandaoSet(address indexed validator, bytes32 anchor, uint48 length, uint64 beginsWithEpoch)")
UNJAILED = event("Unjailed(address indexed validator)")
SEAT_TAKEN = event("SeatTaken(address indexed validator, address indexed displaced)")
DELEGATION_SLASHED = event(
    """DelegationSlashed(address indexed validator, address indexed delegator, address indexed offender,
        uint256 burned)"""
)
DATA_SLASHED = event("DataSlashed(address indexed provider, uint256 requested, uint256 slashed, uint256 burned)")
COMPENSATED = event("Compensated(address indexed provider, address indexed beneficiary, uint256 amount)")
EVENTS: Final = (
    VALIDATOR_REGISTERED,
    DELEGATED,
    UNDELEGATED,
    REDELEGATED,
    UNBONDED_WITHDRAWN,
    REWARDS_WITHDRAWN,
    COMMISSION_WITHDRAWN,
    COMMISSION_CHANGED,
    RANDAO_SET,
    UNJAILED,
    SEAT_TAKEN,
    DELEGATION_SLASHED,
    DATA_SLASHED,
    COMPENSATED,
)

STAKING_OFF = error("StakingOff()")
UNKNOWN_VALIDATOR = error("UnknownValidator(address operator)")
ALREADY_REGISTERED = error("AlreadyRegistered(address operator)")
CONSENSUS_KEY_USED = error("ConsensusKeyUsed(address consensus, address operator)")
INVALID_PROOF = error("InvalidProof(address expected)")
INVALID_PUBLIC_KEY = error("InvalidPublicKey(uint256 length)")
INVALID_COMMISSION = error("InvalidCommission(uint16 given, uint16 lowest, uint16 highest)")
COMMISSION_CHANGED_LATELY = error("CommissionChangedLately(uint64 nextChangeAt)")
SELF_STAKE_TOO_LOW = error("SelfStakeTooLow(uint256 stake, uint256 needed)")
VALIDATOR_TOMBSTONED = error("ValidatorTombstoned(address operator)")
INVALID_RANDAO = error("InvalidRandao(bytes32 anchor, uint48 length)")
NOT_JAILED = error("NotJailed(address operator)")
STILL_JAILED = error("StillJailed(address operator, uint64 until)")
ALREADY_SEATED = error("AlreadySeated(address operator)")
NOT_SEATED = error("NotSeated(address operator)")
STAKE_NOT_HIGHER = error("StakeNotHigher(uint256 stake, uint256 displacedStake)")
ZERO_AMOUNT = error("ZeroAmount()")
STAKE_LIMIT_EXCEEDED = error("StakeLimitExceeded(uint256 total, uint256 limit)")
WORTHLESS_POOL = error("WorthlessPool(address validator)")
INSUFFICIENT_STAKE = error("InsufficientStake(uint256 stake, uint256 needed)")
SAME_VALIDATOR = error("SameValidator(address validator)")
REDELEGATION_UNDER_WAY = error("RedelegationUnderWay(address validator, address delegator, uint64 until)")
TOO_MANY_UNBONDINGS = error("TooManyUnbondings(uint256 limit)")
NOTHING_TO_WITHDRAW = error("NothingToWithdraw()")
NOT_DISPUTE_CONTRACT = error("NotDisputeContract(address caller, address disputeContract)")
TOO_MANY_BENEFICIARIES = error("TooManyBeneficiaries(uint256 given, uint256 allowed)")
INVALID_BENEFICIARY = error("InvalidBeneficiary(address beneficiary)")
ERRORS: Final = (
    STAKING_OFF,
    UNKNOWN_VALIDATOR,
    ALREADY_REGISTERED,
    CONSENSUS_KEY_USED,
    INVALID_PROOF,
    INVALID_PUBLIC_KEY,
    INVALID_COMMISSION,
    COMMISSION_CHANGED_LATELY,
    SELF_STAKE_TOO_LOW,
    VALIDATOR_TOMBSTONED,
    INVALID_RANDAO,
    NOT_JAILED,
    STILL_JAILED,
    ALREADY_SEATED,
    NOT_SEATED,
    STAKE_NOT_HIGHER,
    ZERO_AMOUNT,
    STAKE_LIMIT_EXCEEDED,
    WORTHLESS_POOL,
    INSUFFICIENT_STAKE,
    SAME_VALIDATOR,
    REDELEGATION_UNDER_WAY,
    TOO_MANY_UNBONDINGS,
    NOTHING_TO_WITHDRAW,
    NOT_DISPUTE_CONTRACT,
    TOO_MANY_BENEFICIARIES,
    INVALID_BENEFICIARY,
)
