// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @notice Answers clients in every way a call can end, and uses what a client has to estimate right.
contract Probe {
    error TooMuch(address actor, uint256 asked, uint256 limit);

    event Noted(address indexed actor, uint256 indexed key, string text);

    uint256 public constant LIMIT = 100;

    mapping(uint256 key => uint256 value) private _values;

    receive() external payable {}

    /// @notice Reverts with a custom error above the limit, else notes the value.
    function put(uint256 key, uint256 value, string calldata text) external payable {
        if (value > LIMIT) revert TooMuch(msg.sender, value, LIMIT);
        _values[key] = value;
        emit Noted(msg.sender, key, text);
    }

    function valueOf(uint256 key) external view returns (uint256) {
        return _values[key];
    }

    function failWithText() external pure {
        require(false, "asked for it");
    }

    function failWithPanic(uint256 zero) external pure returns (uint256) {
        return 1 / zero;
    }

    function failWithNothing() external pure {
        assembly {
            revert(0, 0)
        }
    }

    /// @notice Needs 63/64 head-room in the inner call: a gas estimate equal to the gas used is too low.
    function callDeep(uint256 depth) external {
        if (depth == 0) {
            _values[block.number] = 1;
        } else {
            Probe(payable(address(this))).callDeep(depth - 1);
        }
    }

    /// @notice Contract of an EIP-7702 account answers as itself.
    function self() external view returns (address) {
        return address(this);
    }
}
