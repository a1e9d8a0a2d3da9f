// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @notice Makes a call that it was given in the midst of its next transfer (as an ERC-777 hook would), and keeps the
/// outcome.
contract ReentrantToken is ERC20 {
    address public target;
    bytes public payload;
    uint256 public callValue;
    bool public isArmed;
    bool public hasSucceeded;
    bytes public answer;

    constructor() ERC20("Reentrant", "RNT") {}

    receive() external payable {}

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function arm(address target_, bytes calldata payload_, uint256 callValue_) external {
        (target, payload, callValue, isArmed, hasSucceeded) = (target_, payload_, callValue_, true, false);
        answer = "";
    }

    function execute(address to, uint256 amount, bytes calldata data) external payable returns (bytes memory result) {
        bool success;
        (success, result) = to.call{value: amount}(data);
        if (!success) {
            assembly ("memory-safe") {
                revert(add(result, 32), mload(result))
            }
        }
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (isArmed) {
            isArmed = false;
            (hasSucceeded, answer) = target.call{value: callValue}(payload);
        }
    }
}
