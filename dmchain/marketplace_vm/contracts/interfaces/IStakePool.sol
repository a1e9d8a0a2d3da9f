// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IStakePoolTypes} from "./IStakePoolTypes.sol";

/// @title Pool of stakers from whom panels are drawn
/// @notice What jurors of {IDisputeResolution} and operators of {IQualityOracle} have in common: they stake native coin,
/// are drawn by it, have a part of it locked for each seat they hold, and leave after a delay. Amounts are wei, times
/// seconds since the Unix epoch.
///
/// The chance of being drawn is the stake as it was when it was last written to the pool's sum tree. A draw is announced;
/// prevRandao of the second block after that decides it; then anybody makes it, with that block's header. In between
/// nothing is written to the tree: whoever knows the randomness must not be able to shift the result by joining, leaving
/// or being paid in front of the draw. A change made meanwhile counts after `sync`.
interface IStakePool is IStakePoolTypes {
    /// @notice Stake msg.value, on top of what is staked already; at least `minimumStake()` together. Ends a leave.
    /// Emits {Joined}.
    function join() external payable;

    /// @notice Ask to leave. The member is drawn no more and can take its stake after the delay, once all its seats are
    /// settled. A seat from a draw announced before still has to be served.
    /// Emits {Leaving}.
    function requestLeave() external;

    /// @notice Take the whole stake out after `requestLeave` and its delay.
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

    /// @notice Places that members have or had, numbered from 0.
    function leafCount() external view returns (uint256);

    /// @notice The member at a place; zero when it is free. Places do not move while their members stay.
    function memberAt(uint256 leaf) external view returns (address);

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
