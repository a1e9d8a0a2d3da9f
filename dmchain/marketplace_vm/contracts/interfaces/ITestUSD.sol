// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";

/// @title A stablecoin to play with
/// @notice An ERC-20 of 6 decimals with permit, as the real ones are, that anybody may mint. On development networks only.
interface ITestUSD is IERC20Metadata, IERC20Permit {
    /// @notice More was asked of the faucet than it gives in one call.
    error FaucetLimitExceeded(uint256 requested, uint256 allowed);

    /// @notice Make new coins from nothing.
    /// Emits {Transfer} from the zero address.
    /// @param to who gets them
    /// @param amount in units of 10^-6 USD, at most `FAUCET_LIMIT()` a call
    function mint(address to, uint256 amount) external;

    /// @notice What the faucet gives in one call: 10,000 USD, in units of 10^-6 USD.
    function FAUCET_LIMIT() external view returns (uint256);
}
