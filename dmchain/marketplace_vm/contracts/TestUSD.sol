// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";

import {ITestUSD} from "./interfaces/ITestUSD.sol";

/// @title A stablecoin to play with
/// @notice See {ITestUSD}.
contract TestUSD is ERC20, ERC20Permit, ITestUSD {
    /// @inheritdoc ITestUSD
    uint256 public constant FAUCET_LIMIT = 10_000e6;

    /// @param holders accounts that begin with coins
    /// @param amountEach what each of them gets, in units of 10^-6 USD
    constructor(address[] memory holders, uint256 amountEach) ERC20("Test USD", "tUSD") ERC20Permit("Test USD") {
        for (uint256 i = 0; i < holders.length; ++i) {
            _mint(holders[i], amountEach);
        }
    }

    /// @inheritdoc ITestUSD
    function mint(address to, uint256 amount) external {
        if (amount > FAUCET_LIMIT) revert FaucetLimitExceeded(amount, FAUCET_LIMIT);
        _mint(to, amount);
    }

    /// @inheritdoc IERC20Metadata
    function decimals() public pure override(ERC20, IERC20Metadata) returns (uint8) {
        return 6;
    }

    /// @inheritdoc IERC20Permit
    function nonces(address owner) public view override(IERC20Permit, ERC20Permit) returns (uint256) {
        return super.nonces(owner);
    }
}
