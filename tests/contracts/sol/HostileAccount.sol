// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @notice An account that is code: does what it is told, and when it is sent coin, takes it, refuses it, burns all gas,
/// or calls back.
contract HostileAccount {
    enum Mode {
        Accept,
        Refuse,
        BurnGas,
        Reenter
    }

    Mode public mode;
    address public target;
    bytes public payload;
    bool public hasSucceeded;
    bytes public answer;

    error Refused();

    constructor() payable {}

    receive() external payable {
        if (mode == Mode.Refuse) revert Refused();
        if (mode == Mode.BurnGas) {
            while (true) {}
        }
        if (mode == Mode.Reenter) {
            mode = Mode.Accept;
            (hasSucceeded, answer) = target.call(payload);
        }
    }

    function set(Mode mode_, address target_, bytes calldata payload_) external {
        (mode, target, payload, hasSucceeded) = (mode_, target_, payload_, false);
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

    function onERC721Received(address, address, uint256, bytes calldata) external pure returns (bytes4) {
        return this.onERC721Received.selector;
    }

    function onERC1155Received(address, address, uint256, uint256, bytes calldata) external pure returns (bytes4) {
        return this.onERC1155Received.selector;
    }
}
