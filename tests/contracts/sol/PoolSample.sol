// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {StakePool} from "dmchain/StakePool.sol";

/// @notice A {StakePool} whose inner workings can be called.
contract PoolSample is StakePool {
    uint64 public drawBlock;
    mapping(address account => bool) public isBarred;

    event Drawn(address[] accounts);

    constructor(address treasury_) StakePool(msg.sender, treasury_) {}

    function announce() external {
        drawBlock = _announceDraw();
    }

    function draw(uint256 id, uint256 seats, uint256 lockEach, bool isDistinct, bytes calldata header) external {
        (bool isKnown, uint256 randao) = _randaoOf(drawBlock, header);
        if (!isKnown) {
            drawBlock = _nextDrawBlock();
            emit DrawPostponed(id, drawBlock);
            return;
        }
        emit Drawn(_draw(randao, id, seats, lockEach, isDistinct));
    }

    function bar(address account, bool isBarred_) external {
        isBarred[account] = isBarred_;
    }

    function unlock(address account, uint256 amount) external {
        _unlock(account, amount);
    }

    function slash(address account, uint256 amount) external {
        _slash(account, 7, amount);
    }

    function fund() external payable {
        _fund(msg.value);
    }

    function credit(address account, uint256 amount) external {
        _credit(account, amount);
    }

    function _minimumStake() internal pure override returns (uint128) {
        return 10;
    }

    function _leaveDelay() internal pure override returns (uint64) {
        return 100;
    }

    function _mayServe(uint256, address account) internal view override returns (bool) {
        return !isBarred[account];
    }
}
