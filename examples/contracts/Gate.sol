// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

/// @notice All that a contract needs of dmchain to gate something. The whole interface is
/// dmchain/marketplace_vm/contracts/interfaces/ILicenseLedger.sol.
interface ILicenseLedger {
    function hasLicense(bytes32 datasetId, address account) external view returns (bool);
}

/// @title Gate
/// @notice Opens for whoever holds a valid licence of one data set.
contract Gate {
    /// @notice `account` holds no valid licence of `datasetId`.
    error NoLicense(bytes32 datasetId, address account);

    event Entered(address indexed account, uint256 visits);

    ILicenseLedger private constant LEDGER = ILicenseLedger(0x000000000000000000000000000000000000Da02);

    /// @notice keccak256 of the data set's binary CID.
    bytes32 public immutable datasetId;

    mapping(address account => uint256 visits) private _visits;

    constructor(bytes32 datasetId_) {
        datasetId = datasetId_;
    }

    /// @notice Requirements: the caller holds a valid licence. Emits Entered.
    function enter() external {
        if (!LEDGER.hasLicense(datasetId, msg.sender)) revert NoLicense(datasetId, msg.sender);
        uint256 visits = ++_visits[msg.sender];
        emit Entered(msg.sender, visits);
    }
}
