// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {IPullPayments} from "./interfaces/IPullPayments.sol";

/// @title Books of a contract that holds money
/// @notice See {IPullPayments}. INVARIANT: for each token, `held` is the sum of what the contract keeps for its purposes
/// and of all that is `owed`, and the balance is never less. What is more came unasked and belongs to nobody.
abstract contract PullPayments is IPullPayments, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    mapping(address token => uint256 amount) private _held;
    mapping(address token => mapping(address account => uint256 amount)) private _owed;

    /// @inheritdoc IPullPayments
    function withdrawFor(address token, address account) public virtual nonReentrant returns (uint256 amount) {
        return _withdraw(token, account, account);
    }

    /// @inheritdoc IPullPayments
    function withdrawTo(address token, address recipient) public virtual nonReentrant returns (uint256 amount) {
        if (recipient == address(0) || recipient == address(this)) revert InvalidAccount(recipient);
        return _withdraw(token, msg.sender, recipient);
    }

    /// @inheritdoc IPullPayments
    function owed(address token, address account) public view returns (uint256) {
        return _owed[token][account];
    }

    /// @inheritdoc IPullPayments
    function held(address token) public view returns (uint256) {
        return _held[token];
    }

    /// @dev Take `amount` from the caller, measured: a token that takes a fee is refused.
    function _takeIn(address token, uint256 amount) internal {
        if (token == address(0)) {
            if (msg.value != amount) revert UnexpectedAmount(token, amount, msg.value);
        } else {
            if (msg.value != 0) revert UnexpectedAmount(address(0), 0, msg.value);
            uint256 before = IERC20(token).balanceOf(address(this));
            IERC20(token).safeTransferFrom(msg.sender, address(this), amount);
            uint256 received = IERC20(token).balanceOf(address(this)) - before;
            if (received != amount) revert UnexpectedAmount(token, amount, received);
        }
        _held[token] += amount;
    }

    /// @dev Take up `amount` that a trusted contract has sent here: with this call, or an ERC-20 just before it.
    function _takeUp(address token, uint256 amount) internal {
        if (token == address(0)) {
            if (msg.value != amount) revert UnexpectedAmount(token, amount, msg.value);
        } else {
            if (msg.value != 0) revert UnexpectedAmount(address(0), 0, msg.value);
            uint256 surplus = IERC20(token).balanceOf(address(this)) - _held[token];
            if (surplus < amount) revert UnexpectedAmount(token, amount, surplus);
        }
        _held[token] += amount;
    }

    /// @dev Put money on the books that came from a third party and was measured. What a token that calls back has had
    /// booked in the meantime was measured too: it is not booked twice.
    function _keep(address token, uint256 amount) internal {
        uint256 total = _held[token] + amount;
        uint256 balance = token == address(0) ? address(this).balance : IERC20(token).balanceOf(address(this));
        if (balance < total) revert UnexpectedAmount(token, total, balance);
        _held[token] = total;
    }

    /// @dev Turn held money into a claim of `account`.
    function _credit(address token, address account, uint256 amount) internal {
        _owed[token][account] += amount;
    }

    /// @dev Strike money off the books that is about to leave.
    function _giveUp(address token, uint256 amount) internal {
        _held[token] -= amount;
    }

    /// @dev Send money that was struck off the books.
    function _send(address token, address recipient, uint256 amount) internal {
        if (token == address(0)) {
            Address.sendValue(payable(recipient), amount);
        } else {
            IERC20(token).safeTransfer(recipient, amount);
        }
    }

    function _withdraw(address token, address account, address recipient) internal returns (uint256 amount) {
        amount = _owed[token][account];
        if (amount == 0) revert NothingOwed(token, account);
        _owed[token][account] = 0;
        _held[token] -= amount;
        emit Withdrawn(token, account, recipient, amount);
        _send(token, recipient, amount);
    }
}
