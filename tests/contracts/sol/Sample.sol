// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ICidRegistry, CID_REGISTRY} from "dmchain/interfaces/ICidRegistry.sol";
import {Initializable} from "@openzeppelin/contracts-upgradeable/proxy/utils/Initializable.sol";

/// @title What the tests of the test chain itself need
contract Sample is Initializable {
    struct Point {
        uint64 x;
        bytes32 label;
        address[] owners;
    }

    event Kept(address indexed who, string indexed text, Point point);

    error TooSmall(uint256 got, uint256 expected);

    uint256 public count;
    uint256 public immutable BORN = block.timestamp;
    Point private _point;

    constructor(uint256 start) payable {
        count = start;
    }

    receive() external payable {}

    function initialize(uint256 start) external initializer {
        count = start;
    }

    function add(uint256 amount) external payable returns (uint256 before, uint256 then) {
        if (amount < 3) revert TooSmall(amount, 3);
        before = count;
        count += amount;
        then = count;
    }

    function keep(Point calldata point) external {
        _point = point;
        emit Kept(msg.sender, "hello", point);
    }

    function kept() external view returns (Point memory) {
        return _point;
    }

    function surroundings() external view returns (uint256 time, uint256 number, uint256 randao, uint256 chainId) {
        return (block.timestamp, block.number, block.prevrandao, block.chainid);
    }

    function divide(uint256 by) external pure returns (uint256) {
        return 1 / by;
    }

    function register(bytes calldata cid) external returns (bytes32) {
        return CID_REGISTRY.registerCid(cid, "", new bytes32[](0), 1);
    }

    function pay(address payable to, uint256 amount) external {
        to.transfer(amount);
    }
}
