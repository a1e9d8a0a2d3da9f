// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @notice Refuses transfers to and from accounts on a list, and everything while it is paused; can lie by returning
/// false without moving anything.
contract BlockingToken is ERC20 {
    mapping(address account => bool) public isBlocked;
    bool public isPaused;
    bool public isLying;

    error Blocked();

    constructor() ERC20("Blocking", "BLK") {}

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function setBlocked(address account, bool blocked) external {
        isBlocked[account] = blocked;
    }

    function setPaused(bool paused) external {
        isPaused = paused;
    }

    function setLying(bool lying) external {
        isLying = lying;
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        return isLying ? false : super.transfer(to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        return isLying ? false : super.transferFrom(from, to, amount);
    }

    function _update(address from, address to, uint256 value) internal override {
        if (isPaused || isBlocked[from] || isBlocked[to]) revert Blocked();
        super._update(from, to, value);
    }
}
