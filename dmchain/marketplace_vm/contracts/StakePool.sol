// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {Multicall} from "@openzeppelin/contracts/utils/Multicall.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {IStakePool} from "./interfaces/IStakePool.sol";
import {StakePoolBase} from "./StakePoolBase.sol";
import {SumTree} from "./SumTree.sol";

/// @title Pool of stakers from whom panels are drawn
/// @notice See {IStakePool}.
abstract contract StakePool is IStakePool, StakePoolBase, Multicall {
    using SafeCast for uint256;
    using SumTree for SumTree.Tree;

    constructor(address admin, address treasury_) {
        if (admin == address(0)) revert InvalidAddress(admin);
        _grantRole(DEFAULT_ADMIN_ROLE, admin);
        _setTreasury(treasury_);
    }

    // ---------------------------------------------------------------- members

    /// @inheritdoc IStakePool
    function join() external payable nonReentrant {
        Member storage m = _members[msg.sender];
        uint128 stake = (m.stake + msg.value).toUint128();
        if (stake < _minimumStake()) revert StakeTooLow(stake, _minimumStake());
        m.stake = stake;
        m.leavesAt = 0;
        _totalStake += uint128(msg.value);
        if (m.leaf == 0) m.leaf = _takeLeaf(msg.sender);
        emit Joined(msg.sender, msg.value, stake);
        _sync(msg.sender);
    }

    /// @inheritdoc IStakePool
    function requestLeave() external nonReentrant {
        Member storage m = _members[msg.sender];
        if (m.leaf == 0) revert NotMember(msg.sender);
        if (m.leavesAt != 0) revert AlreadyLeaving(msg.sender, m.leavesAt);
        m.leavesAt = uint64(block.timestamp) + _leaveDelay();
        emit Leaving(msg.sender, m.leavesAt);
        _sync(msg.sender);
    }

    /// @inheritdoc IStakePool
    function withdrawStake() external nonReentrant {
        Member storage m = _members[msg.sender];
        if (m.leavesAt == 0) revert NotLeaving(msg.sender);
        if (block.timestamp < m.leavesAt) revert TooEarly(uint64(block.timestamp), m.leavesAt);
        if (m.locked != 0) revert StakeLocked(msg.sender, m.locked);
        _sync(msg.sender);
        // Still in the tree: the draw that is pending may fall on it.
        if (m.weight != 0) revert DrawPending(_pendingDraws);
        uint128 amount = m.stake;
        uint32 leaf = m.leaf;
        delete _members[msg.sender];
        _leaves[leaf - 1] = address(0);
        _freeLeaves.push(leaf);
        _totalStake -= amount;
        emit Left(msg.sender, amount);
        Address.sendValue(payable(msg.sender), amount);
    }

    /// @inheritdoc IStakePool
    function sync(address account) external {
        _sync(account);
    }

    // ---------------------------------------------------------------- money

    /// @inheritdoc IStakePool
    function withdraw() external returns (uint256 amount) {
        return withdrawFor(msg.sender);
    }

    /// @inheritdoc IStakePool
    function withdrawFor(address account) public nonReentrant returns (uint256 amount) {
        amount = _owed[account];
        if (amount == 0) revert NothingOwed(account);
        _owed[account] = 0;
        _totalOwed -= uint128(amount);
        emit Withdrawn(account, amount);
        Address.sendValue(payable(account), amount);
    }

    /// @inheritdoc IStakePool
    function setTreasury(address treasury_) external onlyRole(DEFAULT_ADMIN_ROLE) {
        _setTreasury(treasury_);
    }

    // ---------------------------------------------------------------- views

    /// @inheritdoc IStakePool
    function member(address account) external view returns (Member memory) {
        return _members[account];
    }

    /// @inheritdoc IStakePool
    function isMember(address account) public view returns (bool) {
        return _targetWeight(_members[account]) != 0;
    }

    /// @inheritdoc IStakePool
    function memberFor(uint256 random) external view returns (address) {
        uint256 total = _tree.total;
        return total == 0 ? address(0) : _leaves[_tree.find(random % total)];
    }

    /// @inheritdoc IStakePool
    function leafCount() external view returns (uint256) {
        return _leaves.length;
    }

    /// @inheritdoc IStakePool
    function memberAt(uint256 leaf) external view returns (address) {
        return leaf < _leaves.length ? _leaves[leaf] : address(0);
    }

    /// @inheritdoc IStakePool
    function totalWeight() external view returns (uint256) {
        return _tree.total;
    }

    /// @inheritdoc IStakePool
    function totalStake() external view returns (uint256) {
        return _totalStake;
    }

    /// @inheritdoc IStakePool
    function minimumStake() external view returns (uint256) {
        return _minimumStake();
    }

    /// @inheritdoc IStakePool
    function pendingDraws() external view returns (uint256) {
        return _pendingDraws;
    }

    /// @inheritdoc IStakePool
    function owed(address account) external view returns (uint256) {
        return _owed[account];
    }

    /// @inheritdoc IStakePool
    function treasury() external view returns (address) {
        return _treasury;
    }

    /// @inheritdoc IStakePool
    function held() external view returns (uint256) {
        return uint256(_totalStake) + _totalOwed + _caseFunds;
    }
}
