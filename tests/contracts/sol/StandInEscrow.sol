// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @notice What DisputeResolution asks of EscrowPayment, written down.
contract StandInEscrow {
    mapping(uint256 escrowId => uint128) public amounts;
    mapping(uint256 escrowId => bool) public isFrozen;
    bool public isBroken;

    event Frozen(uint256 escrowId);
    event Resolved(uint256 escrowId, uint256 refundBps);

    error Broken();

    function set(uint256 escrowId, uint128 amount) external {
        amounts[escrowId] = amount;
    }

    function setBroken(bool isBroken_) external {
        isBroken = isBroken_;
    }

    function freeze(uint256 escrowId) external returns (uint128 amount) {
        amount = amounts[escrowId];
        if (amount == 0) return 0;
        isFrozen[escrowId] = true;
        emit Frozen(escrowId);
    }

    function resolve(uint256 escrowId, uint256 refundBps) external returns (uint256 refunded) {
        if (isBroken) revert Broken();
        isFrozen[escrowId] = false;
        refunded = amounts[escrowId] * refundBps / 10_000;
        if (refundBps != 0) amounts[escrowId] = 0;
        emit Resolved(escrowId, refundBps);
    }
}
