// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @notice Makes a call that it was given instead of its next `transferFrom`, and says that all went well.
contract PhantomToken is ERC20 {
    address public target;
    bytes public payload;
    bool public hasSucceeded;

    constructor() ERC20("Phantom", "PHT") {}

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function arm(address target_, bytes calldata payload_) external {
        (target, payload) = (target_, payload_);
    }

    function execute(address to, bytes calldata data) external {
        (bool success, bytes memory result) = to.call(data);
        if (!success) {
            assembly ("memory-safe") {
                revert(add(result, 32), mload(result))
            }
        }
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        if (target == address(0)) return super.transferFrom(from, to, amount);
        address called = target;
        target = address(0);
        (hasSucceeded, ) = called.call(payload);
        return true;
    }
}
