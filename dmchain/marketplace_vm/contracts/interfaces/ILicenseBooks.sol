// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ILicenseLedger} from "./ILicenseLedger.sol";
import {ILicenseTypes} from "./ILicenseTypes.sol";

/// @title Offers, grants, views and administration of the LicenseManager
/// @notice See {ILicenseManager}, of which this is a part.
interface ILicenseBooks is ILicenseTypes {
    // -- offers and gifts

    /// @notice Make an offer. Only the data set's owner, or a module for it, while it is listed. The shares of the
    /// lineage are fixed now, see {IDataListing-lineage}.
    /// Emits {OfferCreated}.
    /// @return offerId counted from 1
    function createOffer(bytes32 datasetId, OfferInput calldata input) external returns (uint256 offerId);

    /// @notice End an offer for good. Only the data set's owner, or a module for it.
    /// Emits {OfferClosed}.
    function closeOffer(uint256 offerId) external;

    /// @notice Give a licence for nothing. Only the owner of a listed data set, to an account without a valid licence.
    /// Emits {Granted}.
    function gift(
        bytes32 datasetId,
        address licensee,
        ILicenseLedger.LicenseKind kind,
        uint64 expiresAt,
        uint64 units,
        bytes32 termsHash
    ) external returns (uint256 purchaseId);

    // -- modules (MODULE_ROLE)

    /// @notice Grant a licence by an offer whose money the module handles. A valid licence that the same module granted
    /// by the same offer for the same payer is extended: to `expiresAt`, by `units`.
    /// Emits {Granted}.
    /// @param payer whose it is; a new term when it is another one
    function grantFor(uint256 offerId, address payer, address licensee, uint64 expiresAt, uint64 units)
        external
        returns (uint256 termId);

    /// @notice Set units of a valid pay-per-compute licence aside.
    /// Emits {UnitsReserved}.
    function reserveFor(bytes32 datasetId, address licensee, uint64 units) external returns (uint256 termId);

    /// @notice Undo a reservation. Never reverts: at most what is reserved is set free.
    /// Emits {UnitsUnreserved}.
    function unreserveFor(uint256 termId, uint64 units) external;

    // -- administration

    /// @param bps at most 1000. Applies to what is divided from now on.
    function setPlatformFee(uint16 bps) external;

    function setTreasury(address treasury) external;

    /// @notice Value of a token, for the compensation of buyers; 0: payments in it count for nothing.
    /// @param rate native coin (wei) for 1e18 of the token's smallest units
    function setReferenceRate(address token, uint256 rate) external;

    // -- views

    /// @notice Reverts with {UnknownOffer}.
    function offer(uint256 offerId) external view returns (Offer memory);

    /// @notice Whether it can be bought from now.
    function isSellable(uint256 offerId) external view returns (bool);

    function royaltiesOf(uint256 offerId) external view returns (Royalty[] memory);

    /// @notice Ids of a data set's offers from `offset` on, oldest first, closed ones too: at most `limit`, and at most
    /// 100.
    function offersOf(bytes32 datasetId, uint256 offset, uint256 limit) external view returns (uint256[] memory);

    /// @notice What a quantity costs and how it would be divided now: amount == fee + royalties + net.
    function quote(uint256 offerId, uint64 quantity)
        external
        view
        returns (uint256 amount, uint256 fee, uint256 royalties, uint256 net);

    /// @notice Reverts with {UnknownPurchase}. Named `purchaseOf`, as `purchase` buys.
    function purchaseOf(uint256 purchaseId) external view returns (Purchase memory);

    /// @notice Ids of what an account bought or was given, oldest first: at most `limit`, and at most 100.
    function purchasesOf(address account, uint256 offset, uint256 limit) external view returns (uint256[] memory);

    /// @notice Reverts with {UnknownPurchase}.
    function term(uint256 termId) external view returns (Term memory);

    /// @notice The term of an account's licence, valid or not; 0 when none was granted here.
    function termOf(bytes32 datasetId, address licensee) external view returns (uint256 termId);

    /// @notice Whether a term stands: not ended, its licence in the ledger is the one granted here, and the data set is
    /// active under the same registration. Of a term that is not current any more only the first is asked.
    function isIntact(uint256 termId) external view returns (bool);

    /// @notice Whether a term came to its end by nothing that its payer or licensee did or the rules foresee: its
    /// licence was taken away or replaced in the ledger, or the data set is not active any more. Known as long as the
    /// term is.
    function isBroken(uint256 termId) external view returns (bool);

    /// @notice Periods of a subscription that have begun and can be collected, and those that cancelling would refund.
    function periodsOf(uint256 termId) external view returns (uint64 collectable, uint64 refundable);

    function offerCount() external view returns (uint256);

    function purchaseCount() external view returns (uint256);

    /// @notice Reference value (native coin, wei) of what `account` had paid for a data set and had been distributed
    /// until `timepoint` (seconds, before now). Money that went back was never counted.
    function paidAt(bytes32 datasetId, address account, uint256 timepoint) external view returns (uint256);

    /// @notice As {paidAt}, by all accounts.
    function totalPaidAt(bytes32 datasetId, uint256 timepoint) external view returns (uint256);

    function platformFeeBps() external view returns (uint16);

    function treasury() external view returns (address);

    function referenceRate(address token) external view returns (uint256);

    function dataListing() external view returns (address);

    function licenseNft() external view returns (address);

    function escrowPayment() external view returns (address);

    function reputation() external view returns (address);
}
