// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {AccessControl} from "@openzeppelin/contracts/access/AccessControl.sol";
import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {CID_REGISTRY} from "./interfaces/ICidRegistry.sol";
import {IProviderStake} from "./interfaces/IProviderStake.sol";

/// @title Stake behind a listing
/// @notice See {IProviderStake}.
contract ProviderStake is IProviderStake, AccessControl, ReentrancyGuardTransient {
    using SafeCast for uint256;

    /// @notice Locks and slashes: DisputeResolution.
    bytes32 public constant DISPUTE_ROLE = keccak256("DISPUTE_ROLE");
    uint64 private constant MAX_DELAY = 90 days;

    mapping(bytes32 datasetId => mapping(address provider => Position)) private _positions;
    uint256 private _held;
    uint64 private _unstakeDelay;

    /// @param admin gets DEFAULT_ADMIN_ROLE
    /// @param disputes gets DISPUTE_ROLE, unless zero
    /// @param unstakeDelay_ seconds
    constructor(address admin, address disputes, uint64 unstakeDelay_) {
        if (admin == address(0)) revert InvalidAddress(admin);
        _grantRole(DEFAULT_ADMIN_ROLE, admin);
        if (disputes != address(0)) _grantRole(DISPUTE_ROLE, disputes);
        _setUnstakeDelay(unstakeDelay_);
    }

    /// @inheritdoc IProviderStake
    function stake(bytes32 datasetId) external payable nonReentrant {
        if (msg.value == 0) revert ZeroAmount();
        address owner = CID_REGISTRY.ownerOf(datasetId);
        if (msg.sender != owner) revert NotOwner(datasetId, msg.sender, owner);
        Position storage p = _positions[datasetId][msg.sender];
        p.active = (p.active + msg.value).toUint128();
        _held += msg.value;
        emit Staked(datasetId, msg.sender, msg.value, p.active);
    }

    /// @inheritdoc IProviderStake
    function requestUnstake(bytes32 datasetId, uint256 amount) external {
        Position storage p = _positions[datasetId][msg.sender];
        if (amount == type(uint256).max) amount = p.active;
        if (amount == 0) revert ZeroAmount();
        if (amount > p.active) revert InsufficientStake(p.active, amount);
        p.active -= uint128(amount);
        p.leaving += uint128(amount);
        p.leavesAt = uint64(block.timestamp) + _unstakeDelay;
        emit UnstakeRequested(datasetId, msg.sender, amount, p.leavesAt);
    }

    /// @inheritdoc IProviderStake
    function cancelUnstake(bytes32 datasetId) external {
        Position storage p = _positions[datasetId][msg.sender];
        uint128 amount = p.leaving;
        if (amount == 0) revert NothingLeaving(datasetId, msg.sender);
        p.leaving = 0;
        p.leavesAt = 0;
        p.active += amount;
        emit UnstakeCancelled(datasetId, msg.sender, amount);
    }

    /// @inheritdoc IProviderStake
    function withdraw(bytes32 datasetId) external nonReentrant returns (uint256 amount) {
        Position storage p = _positions[datasetId][msg.sender];
        amount = p.leaving;
        if (amount == 0) revert NothingLeaving(datasetId, msg.sender);
        if (block.timestamp < p.leavesAt) revert StillLeaving(uint64(block.timestamp), p.leavesAt);
        if (p.locks != 0) revert LockedByDispute(datasetId, msg.sender, p.locks);
        p.leaving = 0;
        p.leavesAt = 0;
        _held -= amount;
        emit Unstaked(datasetId, msg.sender, amount);
        Address.sendValue(payable(msg.sender), amount);
    }

    /// @inheritdoc IProviderStake
    function lock(bytes32 datasetId, address provider) external onlyRole(DISPUTE_ROLE) {
        uint32 locks = ++_positions[datasetId][provider].locks;
        emit StakeLocked(datasetId, provider, locks);
    }

    /// @inheritdoc IProviderStake
    function unlock(bytes32 datasetId, address provider) external onlyRole(DISPUTE_ROLE) {
        Position storage p = _positions[datasetId][provider];
        if (p.locks == 0) revert NotLocked(datasetId, provider);
        uint32 locks = --p.locks;
        emit StakeUnlocked(datasetId, provider, locks);
    }

    /// @inheritdoc IProviderStake
    function slash(bytes32 datasetId, address provider, uint256 amount, address beneficiary)
        external
        nonReentrant
        onlyRole(DISPUTE_ROLE)
        returns (uint256 slashed)
    {
        if (beneficiary == address(0)) revert InvalidAddress(beneficiary);
        Position storage p = _positions[datasetId][provider];
        uint256 fromActive = Math.min(amount, p.active);
        uint256 fromLeaving = Math.min(amount - fromActive, p.leaving);
        slashed = fromActive + fromLeaving;
        p.active -= uint128(fromActive);
        p.leaving -= uint128(fromLeaving);
        _held -= slashed;
        emit Slashed(datasetId, provider, beneficiary, amount, slashed);
        if (slashed != 0) Address.sendValue(payable(beneficiary), slashed);
    }

    /// @inheritdoc IProviderStake
    function setUnstakeDelay(uint64 delay) external onlyRole(DEFAULT_ADMIN_ROLE) {
        _setUnstakeDelay(delay);
    }

    /// @inheritdoc IProviderStake
    function stakeOf(bytes32 datasetId) external view returns (uint256) {
        return _positions[datasetId][CID_REGISTRY.ownerOf(datasetId)].active;
    }

    /// @inheritdoc IProviderStake
    function position(bytes32 datasetId, address provider) external view returns (Position memory) {
        return _positions[datasetId][provider];
    }

    /// @inheritdoc IProviderStake
    function held() external view returns (uint256) {
        return _held;
    }

    /// @inheritdoc IProviderStake
    function unstakeDelay() external view returns (uint64) {
        return _unstakeDelay;
    }

    function _setUnstakeDelay(uint64 delay) private {
        if (delay > MAX_DELAY) revert InvalidDelay(delay);
        _unstakeDelay = delay;
        emit UnstakeDelayChanged(delay);
    }
}
