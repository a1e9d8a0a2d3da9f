// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @title Types, events and errors of {IStakePool}
/// @notice Apart from its functions for contracts that work on a pool's storage without having them.
interface IStakePoolTypes {
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
    /// @notice The draw was not made while the chain knew the block; another block decides it.
    event DrawPostponed(uint256 indexed id, uint64 drawBlock);
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
    error TooEarlyToDraw(uint64 block_, uint64 drawFrom);
    error WrongHeader(uint64 drawBlock, bytes32 got, bytes32 expected);
    error NothingOwed(address account);
    error PoolFull(uint256 limit);
}
