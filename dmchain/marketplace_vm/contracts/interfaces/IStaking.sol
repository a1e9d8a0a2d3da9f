// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

IStaking constant STAKING = IStaking(0x000000000000000000000000000000000000da03);

/// @title Staking of validators, who are data providers
/// @notice Who may validate, with what stake, what it earns and what it loses. A native system contract at
/// 0x000000000000000000000000000000000000da03; call it directly, delegatecall is refused.
///
/// A validator is named by its operator's account; its consensus key is another key. Its stake is a pool that delegators,
/// the operator among them, own in shares. The validators of an epoch are chosen when the epoch before ends, among those
/// who hold a seat, by stake. Stake that is added earns from the next epoch on; stake that is taken out waits for the
/// unbonding period and answers for offences until then. Amounts are wei, times seconds since the Unix epoch, bps
/// hundredths of a percent. Coin that goes out is moved without a call to the recipient.
interface IStaking {
    /// @notice `Active` validators may be chosen; `Tombstoned` ones signed twice and are out for good.
    enum Status {
        None,
        Active,
        Jailed,
        Tombstoned
    }

    /// @param consensus address of the consensus key
    /// @param seated whether it can be chosen at all
    /// @param inSet whether it is in the set of the latest epoch
    /// @param commissionChangedAt when the commission was set
    /// @param jailedUntil when it may be unjailed, if it is jailed
    /// @param slashFraction what a double signing cost it, in parts of 1e18; 0 if it is not tombstoned
    /// @param stake of the whole pool
    /// @param selfStake the operator's own part of it
    /// @param rewards what the pool owes to delegators and operator
    /// @param commission the operator's part of that
    struct Validator {
        address operator;
        address consensus;
        Status status;
        bool seated;
        bool inSet;
        uint16 commissionBps;
        uint16 maxCommissionChangeBps;
        uint40 commissionChangedAt;
        uint40 jailedUntil;
        uint64 slashFraction;
        uint96 stake;
        uint96 selfStake;
        uint160 shares;
        uint96 rewards;
        uint96 commission;
    }

    /// @param stake what the shares are worth
    /// @param rewards what can be withdrawn
    /// @param pendingShares those that earn from the next epoch on
    /// @param redelegatedFrom the validator from which some of it came, and for which it answers until
    /// redelegationEndsAt; zero when there is none
    struct Delegation {
        uint96 stake;
        uint96 rewards;
        uint160 shares;
        uint160 pendingShares;
        address redelegatedFrom;
        uint48 redelegationEndsAt;
    }

    /// @param amount what will be paid, after the slashes known by now
    struct Unbonding {
        address validator;
        uint96 amount;
        uint64 completesAt;
    }

    /// @param firstHeight the first block that its set signs
    /// @param startTime that of the block that announced it
    /// @param endsAt the first block at or after this time announces the next epoch
    /// @param size validators in the set
    /// @param validatorsHash what the consensus record of its blocks says
    struct Epoch {
        uint64 number;
        uint64 firstHeight;
        uint64 startTime;
        uint64 endsAt;
        uint16 size;
        uint64 totalPower;
        bytes32 validatorsHash;
    }

    struct Member {
        address operator;
        address consensus;
        uint64 power;
    }

    /// @notice A validator's onions of hashes. Each of its blocks reveals the preimage of `anchor`, which is the anchor
    /// from then on.
    /// @param left how many layers are not revealed yet; 0: its blocks reveal zero
    /// @param nextEpoch with whose announcement the next onion takes the first one's place; 0 when none waits
    struct Randao {
        bytes32 anchor;
        uint48 left;
        bytes32 nextAnchor;
        uint48 nextLength;
        uint64 nextEpoch;
    }

    /// @notice The chain's numbers, fixed in its genesis; see docs/staking.md.
    struct Parameters {
        uint32 epochSeconds;
        uint32 unbondingSeconds;
        uint16 maxValidators;
        uint16 maxCandidates;
        uint32 windowCommits;
        uint32 windowSeconds;
        uint16 minimumSignedBps;
        uint32 jailSeconds;
        uint16 doubleSignBps;
        uint8 correlation;
        uint16 reporterBps;
        bool slashAmnesia;
        uint96 minimumSelfStake;
        uint96 blockReward;
        address disputeContract;
    }

    event ValidatorRegistered(
        address indexed operator,
        address indexed consensus,
        bytes publicKey,
        uint16 commissionBps,
        uint16 maxCommissionChangeBps,
        bool seated
    );
    event Delegated(address indexed validator, address indexed delegator, uint256 amount, uint256 shares);
    event Undelegated(
        address indexed validator,
        address indexed delegator,
        uint256 amount,
        uint256 shares,
        uint64 completesAt
    );
    event Redelegated(
        address indexed from,
        address indexed to,
        address indexed delegator,
        uint256 amount,
        uint64 completesAt
    );
    /// @param burned what slashes took from it
    event UnbondedWithdrawn(address indexed account, uint256 amount, uint256 burned);
    event RewardsWithdrawn(address indexed validator, address indexed delegator, uint256 amount);
    event CommissionWithdrawn(address indexed validator, uint256 amount);
    event CommissionChanged(address indexed validator, uint16 commissionBps);
    event RandaoSet(address indexed validator, bytes32 anchor, uint48 length, uint64 beginsWithEpoch);
    event Unjailed(address indexed validator);
    /// @param displaced who lost the seat; zero when one was free
    event SeatTaken(address indexed validator, address indexed displaced);
    /// @notice Stake that was redelegated paid for a double signing of its former validator, `offender`.
    event DelegationSlashed(
        address indexed validator,
        address indexed delegator,
        address indexed offender,
        uint256 burned
    );
    event DataSlashed(address indexed provider, uint256 requested, uint256 slashed, uint256 burned);
    event Compensated(address indexed provider, address indexed beneficiary, uint256 amount);

    /// @notice The function takes no native coin.
    error NotPayable(uint256 value);
    error UnknownFunction(bytes4 selector);
    /// @notice The arguments are not an encoding of the declared types, or longer than 16384 bytes.
    error InvalidCalldata();
    /// @notice Reached by delegatecall or callcode.
    error DirectCallOnly();

    /// @notice The chain's genesis names no validators.
    error StakingOff();
    error UnknownValidator(address operator);
    error AlreadyRegistered(address operator);
    /// @notice A consensus key serves one operator, once and for ever.
    error ConsensusKeyUsed(address consensus, address operator);
    /// @notice The proof of possession is not signed by the key with this address.
    error InvalidProof(address expected);
    error InvalidPublicKey(uint256 length);
    error InvalidCommission(uint16 given, uint16 lowest, uint16 highest);
    error CommissionChangedLately(uint64 nextChangeAt);
    /// @param stake the operator's own
    error SelfStakeTooLow(uint256 stake, uint256 needed);
    error ValidatorTombstoned(address operator);
    /// @notice An onion has an anchor and layers; (0, 0) is none.
    error InvalidRandao(bytes32 anchor, uint48 length);
    error NotJailed(address operator);
    error StillJailed(address operator, uint64 until);
    error AlreadySeated(address operator);
    error NotSeated(address operator);
    error StakeNotHigher(uint256 stake, uint256 displacedStake);
    error ZeroAmount();
    error StakeLimitExceeded(uint256 total, uint256 limit);
    /// @notice The pool was slashed down so far that new stake cannot be told from the old.
    error WorthlessPool(address validator);
    error InsufficientStake(uint256 stake, uint256 needed);
    error SameValidator(address validator);
    /// @notice Some of this delegation was redelegated here and still answers for its former validator.
    error RedelegationUnderWay(address validator, address delegator, uint64 until);
    error TooManyUnbondings(uint256 limit);
    error NothingToWithdraw();
    error NotDisputeContract(address caller, address disputeContract);
    error TooManyBeneficiaries(uint256 given, uint256 allowed);
    error InvalidBeneficiary(address beneficiary);

    /// @notice Become a validator, with msg.value as its own stake, at least the minimum. It may be chosen at the end of
    /// the epoch if it has a seat, which it gets while one is free.
    /// Emits {ValidatorRegistered} and {Delegated}.
    /// @param publicKey the consensus key, secp256k1, 64 bytes without prefix; never used before
    /// @param proof 65 bytes r, s and parity 0 or 1: its signature over keccak256(abi.encodePacked(keccak256("dmchain proof
    /// of possession v1"), block.chainid, address(STAKING), msg.sender))
    /// @param maxCommissionChangeBps the most the commission can change in a day; for good
    function register(
        bytes calldata publicKey,
        bytes calldata proof,
        uint16 commissionBps,
        uint16 maxCommissionChangeBps
    ) external payable;

    /// @notice Add msg.value to a validator's pool. An operator bonds more by delegating to itself, and has a seat again
    /// if it had lost its own, its stake suffices now and one is free. Tombstoned validators take no stake.
    /// Emits {Delegated}, and {SeatTaken} in that case.
    function delegate(address validator) external payable;

    /// @notice Take stake out. It can be withdrawn after the unbonding period, less what it is slashed until then. At most
    /// 16 such withdrawals of an account can be under way.
    /// Emits {Undelegated}.
    /// @param amount 1 or more; type(uint256).max for all there is
    function undelegate(address validator, uint256 amount) external returns (uint64 completesAt);

    /// @notice Move stake from one validator to another at once. For one unbonding period it answers for both, and neither
    /// it nor the rest of the delegation it joins can be redelegated.
    /// Emits {Redelegated}.
    /// @param amount 1 or more; type(uint256).max for all there is
    function redelegate(address from, address to, uint256 amount) external returns (uint64 completesAt);

    /// @notice Pay out what has waited long enough.
    /// Emits {UnbondedWithdrawn}.
    function withdrawUnbonded() external returns (uint256 amount);

    /// @notice Pay out the caller's rewards of one delegation.
    /// Emits {RewardsWithdrawn}.
    function withdrawRewards(address validator) external returns (uint256 amount);

    /// @notice Pay out the caller's commission as an operator.
    /// Emits {CommissionWithdrawn}.
    function withdrawCommission() external returns (uint256 amount);

    /// @notice Apply to a delegation what is due, a slash of redelegated stake above all; anybody may.
    /// Emits {DelegationSlashed} if there was one.
    function settle(address validator, address delegator) external;

    /// @notice Change the caller's commission, once a day and by at most what it registered.
    /// Emits {CommissionChanged}.
    function setCommission(uint16 commissionBps) external;

    /// @notice Register the caller's next randao onion, in place of one that waits. It begins when a whole epoch has passed,
    /// so that nobody can choose a reveal knowing what it will be mixed with.
    /// Emits {RandaoSet}.
    /// @param anchor a secret hashed `length` times with keccak256; zero, with length 0, for none
    /// @return beginsWithEpoch the epoch with whose announcement it begins, if the validator is in that one
    function setRandao(bytes32 anchor, uint48 length) external returns (uint64 beginsWithEpoch);

    /// @notice Leave jail when the time has come. The operator's own stake must suffice.
    /// Emits {Unjailed}.
    function unjail() external;

    /// @notice Take a free seat; if there is none, that of `displaced`, whose stake must be lower than the caller's.
    /// Emits {SeatTaken}.
    function takeSeat(address displaced) external;

    /// @notice Take stake of a provider after a lost dispute: from its own delegation to itself, then from what it has on
    /// the way out of it; other delegators lose nothing. Only the dispute contract of genesis.
    /// Emits {DataSlashed}, and {Compensated} for each beneficiary.
    /// @param amount what should be taken; less is taken when there is less
    /// @param beneficiaries up to 64, who get equal parts, the first also what the division leaves; none: burned
    function slashForData(
        address provider,
        uint256 amount,
        address[] calldata beneficiaries
    ) external returns (uint256 slashed);

    /// @notice A registered validator; reverts for others.
    function validator(address operator) external view returns (Validator memory);

    /// @notice Up to 50 validators in the order of registration.
    function validators(uint256 offset, uint256 limit) external view returns (Validator[] memory);

    function validatorCount() external view returns (uint256);

    /// @notice Who registered a consensus key; zero when nobody did.
    function operatorOf(address consensus) external view returns (address operator);

    /// @notice A validator's randao onions; all zero when it has none.
    function randao(address validator) external view returns (Randao memory);

    /// @notice The voting power that the validator's stake of now would give it.
    function power(address validator) external view returns (uint64);

    /// @notice A delegation as it would be if it were settled now; all zero when there is none.
    function delegation(address validator, address delegator) external view returns (Delegation memory);

    /// @notice What an account has on the way out, oldest first.
    function unbondings(address account) external view returns (Unbonding[] memory);

    /// @param bonded in pools
    /// @param unbonding on the way out, before slashes that are not applied yet
    /// @param rewards not withdrawn yet
    /// @param minted as block rewards since genesis
    /// @param burned by slashes since genesis
    function totals()
        external
        view
        returns (uint256 bonded, uint256 unbonding, uint256 rewards, uint256 minted, uint256 burned);

    /// @notice The latest epoch; its set may begin to sign one block from now.
    function epoch() external view returns (Epoch memory);

    /// @notice Up to 50 members of the latest epoch's set, by ascending consensus address.
    function validatorSet(uint256 offset, uint256 limit) external view returns (Member[] memory);

    function parameters() external view returns (Parameters memory);
}
