// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ILicenseTypes} from "./ILicenseTypes.sol";

/// @title Purchases, terms and distribution of the LicenseManager
/// @notice See {ILicenseManager}, of which this is a part.
interface ILicenseSales is ILicenseTypes {
    // -- purchases

    /// @notice Buy from an offer. The price is taken from the caller: allowed to this contract before, or sent along if
    /// it is native coin. Bought again while the licence runs, a subscription or prepaid units are added to; so is a
    /// one-time licence that ends and has no escrow.
    ///
    /// What another account has paid for the licensee and is not begun or consumed stands in the way of others, but not
    /// of the licensee: when it buys for itself that money goes back first. (Periods give way to periods of the same
    /// offer, units to whatever is bought.)
    /// Emits {Purchased}.
    /// @param licensee who gets the licence: a present when it is not the caller
    /// @param quantity 1 (OneTime), periods, or units
    /// @param maxAmount the most the caller pays
    function purchase(uint256 offerId, address licensee, uint64 quantity, uint256 maxAmount)
        external
        payable
        returns (uint256 purchaseId);

    /// @notice As {purchase} with an ERC-2612 permit of the caller for `maxAmount` (which may have been used already).
    function purchaseWithPermit(
        uint256 offerId,
        address licensee,
        uint64 quantity,
        uint256 maxAmount,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external returns (uint256 purchaseId);

    /// @notice As {purchase} for an account that asked a module to. Only modules; native coin comes with the call.
    function purchaseFor(address payer, uint256 offerId, address licensee, uint64 quantity, uint256 maxAmount)
        external
        payable
        returns (uint256 purchaseId);

    /// @notice Stop a subscription: periods that have not begun are refunded, the licence ends with the current one.
    /// Only payer or licensee. When the term is broken or ended anyone may, and all that was not collected goes back.
    /// Emits {SubscriptionCancelled}.
    /// @param termId the purchase that began it
    function cancel(uint256 termId) external returns (uint256 refunded);

    /// @notice Pay out the periods of a subscription that have begun. Anyone.
    /// Emits {PeriodsCollected}.
    function collect(uint256 termId) external returns (uint256 amount);

    /// @notice Use up prepaid units of the caller; their price is paid out.
    /// Emits {UnitsUsed}.
    function consume(bytes32 datasetId, uint64 units) external returns (uint64 left);

    /// @notice Return the price of prepaid units that are neither consumed nor reserved; the licence ends. Only the
    /// licensee; its payer or anyone once the licence is no longer valid.
    /// Emits {UnitsRefunded}.
    function refundUnits(uint256 termId) external returns (uint256 refunded);

    /// @notice Give up a licence of the caller. Nothing is refunded that {cancel} or {refundUnits} would not refund:
    /// these come first here.
    /// Emits {TermEnded}.
    function renounce(bytes32 datasetId) external;

    // -- modules (MODULE_ROLE)

    /// @notice Use up reserved units, even when the licence has expired meanwhile; their price is paid out.
    /// Emits {UnitsUsed}.
    function consumeFor(uint256 termId, uint64 units) external returns (uint64 left);

    /// @notice End a licence now if its current term was granted by the calling module. Never reverts.
    /// Emits {TermEnded}.
    function endFor(bytes32 datasetId, address licensee, bytes32 reason) external;

    /// @notice Divide money earned by an offer. Native coin comes with the call; an ERC-20 was transferred here before,
    /// in the same transaction.
    /// Emits {Distributed} and {RoyaltyCredited}.
    /// @param payer whose payment it was: see {paidAt}
    function distribute(uint256 offerId, address payer, address token, uint256 amount) external payable;

    /// @notice Divide the price of a resale: fee to the treasury, `royalty` as what the offer earns (with its
    /// ancestors' shares), the rest to the seller. Money as for {distribute}.
    /// Emits {Distributed} and {RoyaltyCredited}.
    function distributeResale(
        uint256 offerId,
        address payer,
        address token,
        uint256 price,
        uint256 royalty,
        address seller
    ) external payable;

    /// @notice EscrowPayment gave money back by its own rules. Never reverts.
    /// Emits {TermEnded} if it ends the licence.
    function onRefund(uint256 purchaseId, uint256 amount, bool endsLicence) external;
}
