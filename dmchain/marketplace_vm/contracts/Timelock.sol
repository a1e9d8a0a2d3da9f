// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";

/// @title The delay between a decision of governance and its execution
/// @notice OpenZeppelin's TimelockController. It administers the market's contracts, owns the ProxyAdmins and receives
/// the platform's fees; it administers itself, so delay and roles too change only by a decision that waited.
contract Timelock is TimelockController {
    /// @param minDelay seconds between queueing and execution
    /// @param proposers who may queue and cancel: {DataGovernor}
    /// @param executors who may execute what is due; the zero address opens that to everybody
    /// @param admin may set roles without delay; zero on a network that means it
    constructor(uint256 minDelay, address[] memory proposers, address[] memory executors, address admin)
        TimelockController(minDelay, proposers, executors, admin)
    {}
}
