// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ILicenseLedger} from "dmchain/interfaces/ILicenseLedger.sol";

/// @notice The ledger of licences as a contract would have it: mappings, packed as tightly as Solidity packs. What the
/// native one at 0x..DA02 saves is measured against this. Licences here do as there; data sets are registered by hand.
contract SolidityLedger is ILicenseLedger {
    enum Status {
        None,
        Active,
        Retired
    }

    struct Dataset {
        address controller;
        Status status;
        uint32 registration;
    }

    struct Terms {
        LicenseKind kind;
        bool metered;
        bool revoked;
        uint32 registration;
        uint64 expiresAt;
        uint64 units;
        uint64 grantedAt;
    }

    mapping(bytes32 datasetId => Dataset) private _datasets;
    mapping(bytes32 datasetId => mapping(address licensee => Terms)) private _terms;
    mapping(bytes32 datasetId => mapping(address licensee => bytes32)) private _termsHashes;

    function register(bytes32 datasetId) external {
        Dataset storage stored = _datasets[datasetId];
        stored.controller = msg.sender;
        stored.status = Status.Active;
        ++stored.registration;
    }

    function retire(bytes32 datasetId) external {
        if (_datasets[datasetId].controller != msg.sender) {
            revert NotController(datasetId, msg.sender, _datasets[datasetId].controller);
        }
        if (_datasets[datasetId].status != Status.Active) revert RetiredDataset(datasetId);
        _datasets[datasetId].status = Status.Retired;
    }

    function grant(
        bytes32 datasetId,
        address licensee,
        LicenseKind kind,
        uint64 expiresAt,
        uint64 units,
        bytes32 termsHash
    ) external {
        uint32 registration = _controlled(datasetId, true);
        if (licensee == address(0)) revert InvalidLicensee(licensee);
        if (kind == LicenseKind.None) revert InvalidKind(uint8(kind));
        if (expiresAt == 0 ? kind == LicenseKind.Subscription : expiresAt <= block.timestamp) {
            revert InvalidExpiry(expiresAt, uint64(block.timestamp) + 1);
        }
        if (kind == LicenseKind.PayPerCompute && units == 0) revert InvalidUnits(units);
        if (_isValid(_datasets[datasetId], _terms[datasetId][licensee])) revert LicenseInForce(datasetId, licensee);
        _terms[datasetId][licensee] =
            Terms(kind, units != 0, false, registration, expiresAt, units, uint64(block.timestamp));
        _termsHashes[datasetId][licensee] = termsHash;
        emit LicenseGranted(datasetId, licensee, kind, expiresAt, units, termsHash, msg.sender);
    }

    function extend(bytes32 datasetId, address licensee, uint64 expiresAt, uint64 units) external {
        uint32 registration = _controlled(datasetId, true);
        Terms storage terms = _terms[datasetId][licensee];
        if (terms.registration != registration || terms.revoked) {
            revert LicenseNotInForce(datasetId, licensee, _statusOf(_datasets[datasetId], terms));
        }
        if ((expiresAt == 0) != (terms.expiresAt == 0)) revert InvalidExpiry(expiresAt, terms.expiresAt);
        if (expiresAt != 0 && (expiresAt <= block.timestamp || expiresAt < terms.expiresAt)) {
            revert InvalidExpiry(expiresAt, terms.expiresAt);
        }
        if (units != 0 && !terms.metered) revert InvalidUnits(units);
        terms.expiresAt = expiresAt;
        terms.units += units;
        emit LicenseExtended(datasetId, licensee, expiresAt, terms.units);
    }

    function consume(bytes32 datasetId, address licensee, uint64 units) external returns (uint64 remaining) {
        _controlled(datasetId, true);
        if (units == 0) revert InvalidUnits(units);
        Terms storage terms = _terms[datasetId][licensee];
        LicenseStatus status = _statusOf(_datasets[datasetId], terms);
        bool isShort = status == LicenseStatus.Valid && terms.metered && units > terms.units;
        if (isShort || status == LicenseStatus.Exhausted) {
            revert InsufficientUnits(datasetId, licensee, terms.units, units);
        }
        if (status != LicenseStatus.Valid) revert LicenseNotInForce(datasetId, licensee, status);
        remaining = type(uint64).max;
        if (terms.metered) {
            remaining = terms.units - units;
            terms.units = remaining;
        }
        emit UnitsConsumed(datasetId, licensee, units, remaining);
    }

    function revoke(bytes32 datasetId, address licensee, bytes32 reason) external {
        uint32 registration = _controlled(datasetId, false);
        Terms storage terms = _terms[datasetId][licensee];
        if (terms.registration != registration || terms.revoked) {
            revert LicenseNotInForce(datasetId, licensee, _statusOf(_datasets[datasetId], terms));
        }
        terms.revoked = true;
        emit LicenseRevoked(datasetId, licensee, reason);
    }

    function hasLicense(bytes32 datasetId, address account) external view returns (bool) {
        return _isValid(_datasets[datasetId], _terms[datasetId][account]);
    }

    function licenseOf(bytes32 datasetId, address account) external view returns (License memory) {
        Terms storage terms = _terms[datasetId][account];
        return License({
            status: _statusOf(_datasets[datasetId], terms),
            kind: terms.kind,
            metered: terms.metered,
            expiresAt: terms.expiresAt,
            units: terms.units,
            grantedAt: terms.grantedAt,
            termsHash: _termsHashes[datasetId][account]
        });
    }

    function hasLicenses(bytes32[] calldata datasetIds, address account) external view returns (uint256 bitmap) {
        if (datasetIds.length > 256) revert TooManyQueries(datasetIds.length, 256);
        for (uint256 i = 0; i < datasetIds.length; ++i) {
            if (_isValid(_datasets[datasetIds[i]], _terms[datasetIds[i]][account])) bitmap |= 1 << i;
        }
    }

    function _controlled(bytes32 datasetId, bool mustBeActive) private view returns (uint32 registration) {
        Dataset storage stored = _datasets[datasetId];
        if (stored.status == Status.None) revert UnknownDataset(datasetId);
        if (stored.controller != msg.sender) revert NotController(datasetId, msg.sender, stored.controller);
        if (mustBeActive && stored.status != Status.Active) revert RetiredDataset(datasetId);
        return stored.registration;
    }

    function _isValid(Dataset storage dataset, Terms storage terms) private view returns (bool) {
        if (dataset.status != Status.Active) return false;
        Terms memory loaded = terms;
        return loaded.registration == dataset.registration && !loaded.revoked && loaded.kind != LicenseKind.None
            && (loaded.expiresAt == 0 || block.timestamp < loaded.expiresAt) && (!loaded.metered || loaded.units != 0);
    }

    function _statusOf(Dataset storage dataset, Terms storage terms) private view returns (LicenseStatus) {
        if (terms.kind == LicenseKind.None) return LicenseStatus.None;
        if (terms.registration != dataset.registration) return LicenseStatus.Superseded;
        if (terms.revoked) return LicenseStatus.Revoked;
        if (dataset.status != Status.Active) return LicenseStatus.DatasetRetired;
        if (terms.expiresAt != 0 && block.timestamp >= terms.expiresAt) return LicenseStatus.Expired;
        if (terms.metered && terms.units == 0) return LicenseStatus.Exhausted;
        return LicenseStatus.Valid;
    }
}
