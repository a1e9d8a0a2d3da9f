// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ILicenseLedger} from "dmchain/interfaces/ILicenseLedger.sol";

/// @notice A contract that gates something on a licence, and tells what asking costs it.
contract LicenseGate {
    /// @return cold gas of the first question in a transaction, call included
    /// @return warm gas of the same question once more
    function measure(ILicenseLedger ledger, bytes32 datasetId, address account)
        external
        view
        returns (uint256 cold, uint256 warm, bool answer)
    {
        uint256 before = gasleft();
        answer = ledger.hasLicense(datasetId, account);
        cold = before - gasleft();
        before = gasleft();
        ledger.hasLicense(datasetId, account);
        warm = before - gasleft();
    }

    /// @return cold gas of one question about all of them
    function measureMany(ILicenseLedger ledger, bytes32[] calldata datasetIds, address account)
        external
        view
        returns (uint256 cold, uint256 bitmap)
    {
        uint256 before = gasleft();
        bitmap = ledger.hasLicenses(datasetIds, account);
        cold = before - gasleft();
    }
}
