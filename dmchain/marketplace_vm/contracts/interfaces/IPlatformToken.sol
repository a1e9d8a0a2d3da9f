// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IERC5805} from "@openzeppelin/contracts/interfaces/IERC5805.sol";
import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";

/// @title The governance token, DMG
/// @notice An ERC-20 of 18 decimals and fixed supply that votes in {DataGovernor} and in {CurationRegistry}; it is no
/// money of the market. A holder's votes count for whom it delegated to: the first holders vote for themselves, everybody
/// else calls `delegate` once (or signs for `delegateBySig`). Votes of the past are read by time: the clock is the time
/// of the block in seconds (ERC-6372, `mode=timestamp`), and a second can be asked for once it is over.
interface IPlatformToken is IERC20Metadata, IERC20Permit, IERC5805 {
    /// @notice The constructor was given lists of different lengths.
    error LengthMismatch(uint256 holders, uint256 amounts);
}
