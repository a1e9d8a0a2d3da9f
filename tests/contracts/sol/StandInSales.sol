// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ILicenseManager} from "dmchain/interfaces/ILicenseManager.sol";

/// @notice What DisputeResolution and Reputation ask of a LicenseManager, with answers that tests write down.
contract StandInSales {
    struct Payment {
        uint64 at;
        uint256 sum;
    }

    mapping(uint256 purchaseId => ILicenseManager.Purchase) private _purchases;
    mapping(bytes32 datasetId => mapping(address account => Payment[])) private _paid;
    mapping(bytes32 datasetId => mapping(address licensee => uint256)) public termOf;

    error UnknownPurchase(uint256 purchaseId);
    error FutureLookup(uint256 timepoint);

    function setPurchase(uint256 purchaseId, ILicenseManager.Purchase calldata p) external {
        _purchases[purchaseId] = p;
        termOf[p.datasetId][p.licensee] = p.termId;
    }

    /// @notice Count a payment of reference value.
    function pay(bytes32 datasetId, address account, uint256 value) external {
        _add(_paid[datasetId][account], value);
        _add(_paid[datasetId][address(0)], value);
    }

    function purchaseOf(uint256 purchaseId) external view returns (ILicenseManager.Purchase memory p) {
        p = _purchases[purchaseId];
        if (p.boughtAt == 0) revert UnknownPurchase(purchaseId);
    }

    function paidAt(bytes32 datasetId, address account, uint256 timepoint) public view returns (uint256 sum) {
        if (timepoint >= block.timestamp) revert FutureLookup(timepoint);
        Payment[] storage all = _paid[datasetId][account];
        for (uint256 i = all.length; i > 0; --i) {
            if (all[i - 1].at <= timepoint) return all[i - 1].sum;
        }
    }

    function totalPaidAt(bytes32 datasetId, uint256 timepoint) external view returns (uint256) {
        return paidAt(datasetId, address(0), timepoint);
    }

    function _add(Payment[] storage all, uint256 value) private {
        uint256 sum = all.length == 0 ? 0 : all[all.length - 1].sum;
        all.push(Payment(uint64(block.timestamp), sum + value));
    }
}
