// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

ILicenseLedger constant LICENSE_LEDGER = ILicenseLedger(0x000000000000000000000000000000000000Da02);

/// @title Ledger of licences
/// @notice Who may use which data set until when. A native precompile at 0x000000000000000000000000000000000000Da02;
/// call it directly, delegatecall is refused.
///
/// Only a data set's controller in the CidRegistry changes its licences; the controller of the moment has the say over
/// all of them. There is at most one licence per data set and account. It is valid when the data set is active, it is not
/// revoked, block.timestamp < expiresAt (0: never expires), and, if it is metered, units are left. Times are seconds since
/// the Unix epoch; what a unit is (a query, a gigabyte, a second of compute) is for the terms to say.
interface ILicenseLedger {
    enum LicenseKind {
        None,
        OneTime,
        Subscription,
        PayPerCompute
    }

    /// @notice `None`: never granted. `Superseded`: granted by a registrant from whom an earlier commitment has taken the
    /// data set.
    enum LicenseStatus {
        None,
        Valid,
        Expired,
        Exhausted,
        Revoked,
        DatasetRetired,
        Superseded
    }

    /// @param metered whether `units` count
    /// @param expiresAt first second at which it is no longer valid, 0 for never
    /// @param units units left, 0 when not metered
    /// @param termsHash hash of the terms agreed on
    struct License {
        LicenseStatus status;
        LicenseKind kind;
        bool metered;
        uint64 expiresAt;
        uint64 units;
        uint64 grantedAt;
        bytes32 termsHash;
    }

    event LicenseGranted(
        bytes32 indexed datasetId,
        address indexed licensee,
        LicenseKind kind,
        uint64 expiresAt,
        uint64 units,
        bytes32 termsHash,
        address controller
    );

    /// @param expiresAt the new expiry, 0 for never
    /// @param units units left, those added included
    event LicenseExtended(bytes32 indexed datasetId, address indexed licensee, uint64 expiresAt, uint64 units);

    /// @param remaining units left; type(uint64).max when not metered
    event UnitsConsumed(bytes32 indexed datasetId, address indexed licensee, uint64 units, uint64 remaining);

    event LicenseRevoked(bytes32 indexed datasetId, address indexed licensee, bytes32 reason);

    /// @notice The call carried native coin.
    error NotPayable(uint256 value);
    error UnknownFunction(bytes4 selector);
    /// @notice The arguments are not an encoding of the declared types, or longer than 16384 bytes.
    error InvalidCalldata();
    /// @notice Reached by delegatecall or callcode.
    error DirectCallOnly();

    error UnknownDataset(bytes32 datasetId);
    /// @notice The data set is not active.
    error RetiredDataset(bytes32 datasetId);
    /// @param controller the account that may do this
    error NotController(bytes32 datasetId, address caller, address controller);
    error InvalidLicensee(address licensee);
    error InvalidKind(uint8 kind);
    /// @param earliest the earliest expiry allowed; 0 when the licence never expires and cannot be given an end
    error InvalidExpiry(uint64 given, uint64 earliest);
    error InvalidUnits(uint64 given);
    /// @notice The licensee holds a valid licence: extend it, or revoke it first.
    error LicenseInForce(bytes32 datasetId, address licensee);
    error LicenseNotInForce(bytes32 datasetId, address licensee, LicenseStatus status);
    error InsufficientUnits(bytes32 datasetId, address licensee, uint64 available, uint64 needed);
    error TooManyQueries(uint256 given, uint256 allowed);

    /// @notice Grant a licence. Only the controller, for an active data set, to an account without a valid licence; what
    /// is left of an earlier one is replaced.
    /// Emits {LicenseGranted}.
    /// @param kind a subscription needs an expiry, pay-per-compute needs units
    /// @param expiresAt after block.timestamp, or 0 for never
    /// @param units prepaid units, or 0 for a licence without a meter
    /// @param termsHash hash of the terms agreed on, may be zero
    function grant(
        bytes32 datasetId,
        address licensee,
        LicenseKind kind,
        uint64 expiresAt,
        uint64 units,
        bytes32 termsHash
    ) external;

    /// @notice Renew a licence that is not revoked, expired and exhausted ones too. Only the controller, for an active
    /// data set.
    /// Emits {LicenseExtended}.
    /// @param expiresAt the new expiry: after block.timestamp and never earlier than before; 0 exactly when the licence
    /// never expires
    /// @param units units to add; 0 when the licence is not metered
    function extend(bytes32 datasetId, address licensee, uint64 expiresAt, uint64 units) external;

    /// @notice Use up units of a valid licence. Only the controller. On a licence without a meter it only leaves a record.
    /// Emits {UnitsConsumed}.
    /// @param units 1 or more
    /// @return remaining units left; type(uint64).max when not metered
    function consume(bytes32 datasetId, address licensee, uint64 units) external returns (uint64 remaining);

    /// @notice End a licence. Only the controller, retired data sets included. The account may be granted a new one.
    /// Emits {LicenseRevoked}.
    /// @param reason a short text or a hash
    function revoke(bytes32 datasetId, address licensee, bytes32 reason) external;

    /// @notice Whether the account holds a valid licence now. Reads two storage slots; never reverts for an unknown data
    /// set.
    function hasLicense(bytes32 datasetId, address account) external view returns (bool);

    /// @notice The licence of an account with its status at this block; all zero when none was granted.
    function licenseOf(bytes32 datasetId, address account) external view returns (License memory);

    /// @notice Bit i is set when the account holds a valid licence for datasetIds[i]; up to 256 of them.
    function hasLicenses(bytes32[] calldata datasetIds, address account) external view returns (uint256 bitmap);
}
