// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @title Money that waits to be fetched
/// @notice Shared by the contracts that hold money: nothing is pushed to a user, so nobody who refuses money, or whose
/// token does, stands in another's way. Token 0 is the native coin.
interface IPullPayments {
    /// @param account whose money it was
    /// @param recipient where it went
    event Withdrawn(address indexed token, address indexed account, address indexed recipient, uint256 amount);

    /// @param expected what should have come in
    /// @param received what came in: less from a token that takes a fee, or msg.value that does not fit
    error UnexpectedAmount(address token, uint256 expected, uint256 received);
    error NothingOwed(address token, address account);
    error InvalidAccount(address account);

    /// @notice Send `account` what it is owed; anyone may.
    /// Emits {Withdrawn}.
    function withdrawFor(address token, address account) external returns (uint256 amount);

    /// @notice Send what the caller is owed to another account.
    /// Emits {Withdrawn}.
    function withdrawTo(address token, address recipient) external returns (uint256 amount);

    /// @notice What `account` can withdraw.
    function owed(address token, address account) external view returns (uint256);

    /// @notice All that this contract must be able to pay: never more than its balance.
    function held(address token) external view returns (uint256);
}
