// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @title Pool of stakers from whom panels are drawn
/// @notice What jurors of {IDisputeResolution} and operators of {IQualityOracle} have in common: they stake native coin,
/// are drawn by it, have a part of it locked for each seat they hold, and leave after a delay. Amounts are wei, times
/// seconds since the Unix epoch.
///
/// The chance of being drawn is the stake as it was when it was last written to the pool's sum tree. From the moment a
/// draw is announced until it is made nothing is written to the tree: whoever sees the randomness of the coming block
/// must not be able to shift the result by joining, leaving or being paid in front of the draw. A change made meanwhile
/// counts after `sync`.
interface IStakePool {
    /// @param stake all that the member has in the pool, locked parts included
    /// @param locked the part that answers for the seats it holds
    /// @param weight what its chance of being drawn is measured by
    /// @param leavesAt when a member that leaves can take its stake; 0 while it does not leave
    struct Member {
        uint128 stake;
        uint128 locked;
        uint128 weight;
        uint64 leavesAt;
        uint32 leaf;
    }

    /// @param amount added now
    /// @param stake of the member after it
    event Joined(address indexed account, uint256 amount, uint256 stake);
    event Leaving(address indexed account, uint64 leavesAt);
    event Left(address indexed account, uint256 amount);
    event WeightChanged(address indexed account, uint256 weight);
    /// @param id the dispute or request
    event StakeSlashed(address indexed account, uint256 indexed id, uint256 amount);
    event Credited(address indexed account, uint256 amount);
    event Withdrawn(address indexed account, uint256 amount);
    event TreasuryChanged(address indexed treasury);

    error InvalidAddress(address given);
    error StakeTooLow(uint256 stake, uint256 needed);
    error NotMember(address account);
    error AlreadyLeaving(address account, uint64 leavesAt);
    error NotLeaving(address account);
    error TooEarly(uint64 now_, uint64 allowedFrom);
    /// @notice Some of the stake answers for seats that are not settled yet.
    error StakeLocked(address account, uint256 locked);
    /// @notice The pool waits for a draw that was announced. Make it first (see `multicall`), then call again.
    error DrawPending(uint256 pendingDraws);
    error NothingOwed(address account);
    error PoolFull(uint256 limit);

    /// @notice Stake msg.value, on top of what is staked already; at least `minimumStake()` together. Ends a leave.
    /// Emits {Joined}.
    function join() external payable;

    /// @notice Ask to leave. The member is drawn no more and can take its stake after the delay, once all its seats are
    /// settled. A seat from a draw announced before still has to be served.
    /// Emits {Leaving}.
    function leave() external;

    /// @notice Take the whole stake out after `leave` and its delay.
    /// Emits {Left}.
    function withdrawStake() external;

    /// @notice Write a member's weight to the tree if it has changed; anybody may. Does nothing while a draw is pending.
    /// Emits {WeightChanged} if it did.
    function sync(address account) external;

    /// @notice Pay out what the contract owes the caller: fees, shares of penalties, bonds given back.
    /// Emits {Withdrawn}.
    function withdraw() external returns (uint256 amount);

    /// @notice As `withdraw`, for somebody else; the coin goes to `account`.
    /// Emits {Withdrawn}.
    function withdrawFor(address account) external returns (uint256 amount);

    /// @notice Where penalties go that nobody is owed. Admin only.
    /// Emits {TreasuryChanged}.
    function setTreasury(address treasury) external;

    function member(address account) external view returns (Member memory);

    /// @notice Whether it has the minimum stake and is not leaving.
    function isMember(address account) external view returns (bool);

    /// @notice The member that a random number falls on, by stake; zero when the pool is empty.
    function memberFor(uint256 random) external view returns (address);

    /// @notice Sum of the weights in the tree.
    function totalWeight() external view returns (uint256);

    /// @notice Sum of all stakes.
    function totalStake() external view returns (uint256);

    function minimumStake() external view returns (uint256);

    /// @notice Draws that were announced and not made yet.
    function pendingDraws() external view returns (uint256);

    function owed(address account) external view returns (uint256);

    function treasury() external view returns (address);

    /// @notice Native coin that the contract answers for: stakes, deposits, pots and what it owes. Never more than its
    /// balance.
    function held() external view returns (uint256);
}
