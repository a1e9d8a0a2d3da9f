// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @title Stake behind a listing
/// @notice Native coin that a provider puts behind one of its data sets, and loses when it loses a dispute about it. It
/// belongs to who staked it, also after the data set was sold: a provider answers for what it sold itself. To take it out
/// one asks, waits for the delay, and withdraws when no dispute is open against it; until then it can be slashed.
/// Amounts are wei, times seconds since the Unix epoch.
interface IProviderStake {
    /// @param active stake that stands behind the data set
    /// @param leaving asked back, can still be slashed
    /// @param leavesAt when it can be withdrawn
    /// @param locks disputes that are open against this position
    struct Position {
        uint128 active;
        uint128 leaving;
        uint64 leavesAt;
        uint32 locks;
    }

    event Staked(bytes32 indexed datasetId, address indexed provider, uint256 amount, uint256 active);
    event UnstakeRequested(bytes32 indexed datasetId, address indexed provider, uint256 amount, uint64 leavesAt);
    event UnstakeCancelled(bytes32 indexed datasetId, address indexed provider, uint256 amount);
    event Unstaked(bytes32 indexed datasetId, address indexed provider, uint256 amount);
    event StakeLocked(bytes32 indexed datasetId, address indexed provider, uint256 locks);
    event StakeUnlocked(bytes32 indexed datasetId, address indexed provider, uint256 locks);
    /// @param requested what should have been taken
    /// @param slashed what there was of it
    event Slashed(
        bytes32 indexed datasetId,
        address indexed provider,
        address indexed beneficiary,
        uint256 requested,
        uint256 slashed
    );

    error ZeroAmount();
    error InvalidAddress(address given);
    error InvalidDelay(uint64 delay);
    error NotOwner(bytes32 datasetId, address caller, address owner);
    error InsufficientStake(uint256 active, uint256 needed);
    error NothingLeaving(bytes32 datasetId, address provider);
    error StillLeaving(uint64 now_, uint64 leavesAt);
    error LockedByDispute(bytes32 datasetId, address provider, uint256 locks);
    error NotLocked(bytes32 datasetId, address provider);

    /// @notice Put msg.value behind a data set, as its owner.
    /// Emits {Staked}.
    function stake(bytes32 datasetId) external payable;

    /// @notice Ask for stake back. It can be withdrawn `unstakeDelay()` seconds later; asking again before that begins
    /// the delay anew for all of it.
    /// Emits {UnstakeRequested}.
    /// @param amount 1 or more; type(uint256).max for all there is
    function requestUnstake(bytes32 datasetId, uint256 amount) external;

    /// @notice Put all that is leaving back behind the data set.
    /// Emits {UnstakeCancelled}.
    function cancelUnstake(bytes32 datasetId) external;

    /// @notice Take what was asked for, after the delay and while no dispute is open against the position.
    /// Emits {Unstaked}.
    function withdraw(bytes32 datasetId) external returns (uint256 amount);

    /// @notice Hold a position while a dispute is open. DISPUTE_ROLE only. Positions without stake can be locked too.
    /// Emits {StakeLocked}.
    function lock(bytes32 datasetId, address provider) external;

    /// @notice Undo one `lock`. DISPUTE_ROLE only.
    /// Emits {StakeUnlocked}.
    function unlock(bytes32 datasetId, address provider) external;

    /// @notice Take stake, what is active first, then what is leaving. DISPUTE_ROLE only.
    /// Emits {Slashed}.
    /// @param amount what should be taken; less is taken when there is less
    /// @param beneficiary gets the coin
    function slash(bytes32 datasetId, address provider, uint256 amount, address beneficiary)
        external
        returns (uint256 slashed);

    /// @notice What stands behind a data set: the active stake of its owner of the moment.
    function stakeOf(bytes32 datasetId) external view returns (uint256);

    function position(bytes32 datasetId, address provider) external view returns (Position memory);

    /// @notice Sum of all positions, never more than the balance.
    function held() external view returns (uint256);

    function unstakeDelay() external view returns (uint64);

    /// @notice Change the delay of requests to come, at most 90 days. Admin only.
    function setUnstakeDelay(uint64 delay) external;

    event UnstakeDelayChanged(uint64 delay);
}
