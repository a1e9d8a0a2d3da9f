// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ILicenseLedger} from "./ILicenseLedger.sol";
import {IPullPayments} from "./IPullPayments.sol";

/// @title Sale of licences
/// @notice Offers, purchases and the division of what is earned. The LicenseManager is the controller of every listed data
/// set in the CidRegistry, so it is who grants licences in the LicenseLedger.
///
/// **Offers** never change: an owner closes one and makes another. They sell while the data set is listed, in the listing
/// they were made under, and pass to the new owner with the data set. Who made it does not matter: the owner of the moment
/// is paid.
///
/// **Terms.** Licences live in terms: one unbroken stretch of a licence with one payer, named by the purchase that began
/// it. A renewal by the same payer adds to the term. An account has at most one licence of a data set, so at most one
/// term that is current.
///
/// **Money.** What is earned at once is divided at once: platform fee to the treasury, shares of ancestor data sets to
/// their owners, the rest to the data set's owner, each as a balance to withdraw. Nothing is ever pushed to a user. What
/// is not earned yet (a purchase with an escrow period, periods that have not begun, units not consumed) lies in
/// EscrowPayment. So `held(token)` is the sum of all `owed`, and the balance.
///
/// Token 0 is the native coin, amounts are in the token's smallest unit, times are seconds since the Unix epoch, shares
/// in hundredths of a percent (bps).
interface ILicenseManager is IPullPayments {
    // -- offers

    /// @param price of the whole licence (OneTime), of a period (Subscription), of a unit (PayPerCompute); at most 2^96
    /// @param period validity in seconds, 0 for ever; a subscription needs one
    /// @param maxQuantity the most that is ever sold of it: licences, periods or units; 0 for no limit
    /// @param escrowPeriod seconds in which a buyer may object, 0: settled at once. Of a subscription: for the first period
    /// @param metric quality on which payment depends (see QualityOracle), zero for none; needs an escrowPeriod
    /// @param minScore of that metric, 1 to 10000
    /// @param termsHash hash of the terms of use
    struct OfferInput {
        ILicenseLedger.LicenseKind kind;
        address token;
        uint128 price;
        uint64 period;
        uint64 maxQuantity;
        uint64 escrowPeriod;
        bytes32 metric;
        uint16 minScore;
        bytes32 termsHash;
    }

    /// @param listingSerial listing it was made under: it sells in no other
    /// @param registeredBlock registration of the data set at that time
    /// @param sold of maxQuantity
    struct Offer {
        bytes32 datasetId;
        bytes32 metric;
        bytes32 termsHash;
        address token;
        ILicenseLedger.LicenseKind kind;
        bool closed;
        uint16 minScore;
        uint64 period;
        uint128 price;
        uint64 maxQuantity;
        uint64 sold;
        uint64 escrowPeriod;
        uint64 registeredBlock;
        uint64 listingSerial;
        uint64 createdAt;
    }

    /// @notice Share of an ancestor data set in what an offer earns, fixed when the offer is made; paid to the owner of the
    /// moment while the ancestor is active, else to the provider.
    struct Royalty {
        bytes32 datasetId;
        uint16 bps;
    }

    // -- purchases

    /// @notice What was paid, granted or given.
    /// @param offerId 0 for a gift
    /// @param module the contract that granted it (a stream, a datatoken); zero for a purchase or a gift
    /// @param amount paid here; 0 for gifts and for licences granted by modules
    /// @param quantity licences, periods or units
    /// @param termId the term it began or added to
    /// @param escrowId the escrow in which a one-time price or a first period waits, 0 for none
    /// @param prepaidId the prepaid account of the term, 0 for none
    struct Purchase {
        uint256 offerId;
        bytes32 datasetId;
        address payer;
        uint64 boughtAt;
        address licensee;
        uint64 quantity;
        address token;
        ILicenseLedger.LicenseKind kind;
        address module;
        uint128 amount;
        uint256 termId;
        uint256 escrowId;
        uint256 prepaidId;
    }

    /// @param startsAt when its first period begins
    /// @param grantedAt of its licence in the ledger: another one there means that somebody else meddled with it
    /// @param periods of a subscription, paid
    /// @param releasedPeriods of these, paid out or in the escrow of the purchase
    /// @param units of pay-per-compute, prepaid and not consumed
    /// @param reservedUnits of these, promised to orders
    /// @param price of a period or unit; 0 if not prepaid here
    /// @param ended by a refund or a dispute, a cancellation in mid-air, or given up
    struct Term {
        uint256 offerId;
        bytes32 datasetId;
        address payer;
        uint64 startsAt;
        bool ended;
        address licensee;
        uint64 grantedAt;
        address module;
        uint64 periods;
        uint64 releasedPeriods;
        uint64 units;
        uint64 reservedUnits;
        uint128 price;
        uint256 prepaidId;
        uint256 licenseNft;
    }

    event OfferCreated(
        uint256 indexed offerId,
        bytes32 indexed datasetId,
        ILicenseLedger.LicenseKind indexed kind,
        OfferInput terms,
        Royalty[] royalties
    );
    event OfferClosed(uint256 indexed offerId, bytes32 indexed datasetId);
    event Purchased(
        uint256 indexed purchaseId,
        bytes32 indexed datasetId,
        address indexed licensee,
        uint256 offerId,
        address payer,
        address token,
        uint256 amount,
        uint64 quantity,
        uint256 termId,
        uint256 escrowId,
        uint256 prepaidId
    );
    /// @notice A licence that was not paid for here: a gift of the owner, or granted by a module.
    event Granted(
        uint256 indexed purchaseId,
        bytes32 indexed datasetId,
        address indexed licensee,
        uint256 offerId,
        address payer,
        address module,
        uint64 expiresAt,
        uint64 units
    );
    /// @param expiresAt new end of the licence
    event SubscriptionCancelled(uint256 indexed termId, uint64 periodsRefunded, uint256 refunded, uint64 expiresAt);
    /// @param periods paid out now
    event PeriodsCollected(uint256 indexed termId, uint64 periods, uint256 amount);
    /// @param left units not consumed
    event UnitsUsed(uint256 indexed termId, uint64 units, uint256 amount, uint64 left);
    event UnitsReserved(uint256 indexed termId, uint64 units, uint64 reserved);
    event UnitsUnreserved(uint256 indexed termId, uint64 units, uint64 reserved);
    event UnitsRefunded(uint256 indexed termId, uint64 units, uint256 refunded);
    event TermEnded(uint256 indexed termId, bytes32 indexed datasetId, address indexed licensee, bytes32 reason);
    /// @notice Money was divided; `fee + royalties + net == amount`.
    event Distributed(
        uint256 indexed offerId,
        bytes32 indexed datasetId,
        address indexed provider,
        address payer,
        address token,
        uint256 amount,
        uint256 fee,
        uint256 royalties
    );
    event RoyaltyCredited(
        bytes32 indexed datasetId,
        address indexed owner,
        uint256 indexed offerId,
        address token,
        uint256 amount
    );
    event PlatformFeeChanged(uint16 bps);
    event TreasuryChanged(address indexed treasury);
    event ReferenceRateChanged(address indexed token, uint256 rate);

    /// @param owner who may do this
    error NotDatasetOwner(bytes32 datasetId, address caller, address owner);
    error NotParty(uint256 purchaseId, address caller);
    error UnknownOffer(uint256 offerId);
    error UnknownPurchase(uint256 purchaseId);
    error InvalidOffer(string field, uint256 given);
    error OfferIsClosed(uint256 offerId);
    /// @notice Made under an earlier listing of the data set.
    error OfferOfFormerListing(uint256 offerId, uint64 offerSerial, uint64 currentSerial);
    error InvalidQuantity(uint64 given, uint64 highest);
    /// @param left of the offer's maxQuantity
    error SoldOut(uint256 offerId, uint64 given, uint64 left);
    error PriceTooHigh(uint256 amount, uint256 maxAmount);
    /// @notice The account holds a valid licence that this does not extend: give it up first ({renounce}) or let it run out.
    /// @param termId its term, 0 when it was not granted here
    error LicenseHeld(bytes32 datasetId, address licensee, uint256 termId);
    /// @notice Free licences are for who asks for them.
    error GiftNotFree(uint256 offerId);
    error InvalidBps(uint256 given, uint256 highest);
    error NotSubscription(uint256 termId);
    error NotPrepaid(uint256 termId);
    /// @notice No period that has not begun, no unit unused, no money to collect.
    error NothingLeft(uint256 termId);
    /// @param available units not consumed and not reserved (or reserved, when these are asked for)
    error InsufficientUnits(uint256 termId, uint64 available, uint64 needed);
    /// @notice The data set is no longer sound, or the licence was taken away: what is not earned can be refunded.
    error TermBroken(uint256 termId);
    error NoTerm(bytes32 datasetId, address licensee);
    error ValueTooLarge(uint256 given);

    /// @notice Make an offer. Only the data set's owner, or a module for it, while it is listed. The shares of the lineage
    /// are fixed now, see {IDataListing-lineage}.
    /// Emits {OfferCreated}.
    /// @return offerId counted from 1
    function createOffer(bytes32 datasetId, OfferInput calldata input) external returns (uint256 offerId);

    /// @notice End an offer for good. Only the data set's owner, or a module for it.
    /// Emits {OfferClosed}.
    function closeOffer(uint256 offerId) external;

    // -- purchases

    /// @notice Buy from an offer. The price is taken from the caller: allowed to this contract before, or sent along if it
    /// is native coin. Bought again while the licence runs, a subscription or prepaid units are added to; so is a
    /// one-time licence that ends and has no escrow.
    ///
    /// What another account has paid for the licensee and is not begun or consumed stands in the way of others, but not of
    /// the licensee: when it buys for itself that money goes back first.
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

    /// @notice Stop a subscription: periods that have not begun are refunded, the licence ends with the current one. Only
    /// payer or licensee. When the term is broken or ended anyone may, and all that was not collected goes back.
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

    /// @notice Give up a licence of the caller. Nothing is refunded that {cancel} or {refundUnits} would not refund: these
    /// come first here.
    /// Emits {TermEnded}.
    function renounce(bytes32 datasetId) external;

    // -- modules (MODULE_ROLE)

    /// @notice Set units of a valid pay-per-compute licence aside.
    /// Emits {UnitsReserved}.
    function reserveFor(bytes32 datasetId, address licensee, uint64 units) external returns (uint256 termId);

    /// @notice Undo a reservation. Never reverts: at most what is reserved is set free.
    /// Emits {UnitsUnreserved}.
    function unreserveFor(uint256 termId, uint64 units) external;

    /// @notice Use up reserved units, even when the licence has expired meanwhile; their price is paid out.
    /// Emits {UnitsUsed}.
    function consumeFor(uint256 termId, uint64 units) external returns (uint64 left);

    /// @notice Grant a licence by an offer whose money the module handles. A valid licence that the same module granted by
    /// the same offer for the same payer is extended: to `expiresAt`, by `units`.
    /// Emits {Granted}.
    /// @param payer whose it is; a new term when it is another one
    function grantFor(uint256 offerId, address payer, address licensee, uint64 expiresAt, uint64 units)
        external
        returns (uint256 termId);

    /// @notice End a licence now if its current term was granted by the calling module. Never reverts.
    /// Emits {TermEnded}.
    function endFor(bytes32 datasetId, address licensee, bytes32 reason) external;

    /// @notice Divide money earned by an offer. Native coin comes with the call; an ERC-20 was transferred here before, in
    /// the same transaction.
    /// Emits {Distributed} and {RoyaltyCredited}.
    /// @param payer whose payment it was: see {paidAt}
    function distribute(uint256 offerId, address payer, address token, uint256 amount) external payable;

    /// @notice Divide the price of a resale: fee to the treasury, `royalty` as what the offer earns (with its ancestors'
    /// shares), the rest to the seller. Money as for {distribute}.
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

    /// @notice Ids of a data set's offers from `offset` on, oldest first, closed ones too: at most `limit`, and at most 100.
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

    /// @notice Periods of a subscription that have begun and can be collected, and those that cancelling would refund.
    function periodsOf(uint256 termId) external view returns (uint64 collectable, uint64 refundable);

    function offerCount() external view returns (uint256);

    function purchaseCount() external view returns (uint256);

    /// @notice Reference value (native coin, wei) of what `account` had paid for a data set and had been distributed until
    /// `timepoint` (seconds, before now). Money that went back was never counted.
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
