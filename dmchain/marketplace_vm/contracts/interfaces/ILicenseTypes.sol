// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ILicenseLedger} from "./ILicenseLedger.sol";

/// @title Structs, events and errors of the LicenseManager
/// @notice See {ILicenseManager}.
interface ILicenseTypes {
    // -- offers

    /// @param price of the whole licence (OneTime), of a period (Subscription), of a unit (PayPerCompute); at most 2^96
    /// @param period validity in seconds, 0 for ever; a subscription needs one
    /// @param maxQuantity the most that is sold of it: licences, periods or units; 0 for no limit. What cancelling or
    /// {ILicenseSales-refundUnits} gave back can be sold again.
    /// @param escrowPeriod seconds in which a buyer may object, 0: settled at once. Of a subscription: for the first
    /// period
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
    /// @param sold of maxQuantity; not counted without one
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

    /// @notice Share of an ancestor data set in what an offer earns, fixed when the offer is made; paid to the owner of
    /// the moment while the ancestor is active, else to the provider.
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
    /// @param provider the data set's owner at that time
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
        address provider;
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
    /// @param ended by a refund or a dispute, given up, replaced, or found broken: what is not earned can be refunded
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
    /// @notice Made for an earlier registration of the data set.
    error OfferOfFormerRegistration(uint256 offerId, uint64 offerBlock, uint64 currentBlock);
    error InvalidQuantity(uint64 given, uint64 highest);
    /// @param left of the offer's maxQuantity
    error SoldOut(uint256 offerId, uint64 given, uint64 left);
    error PriceTooHigh(uint256 amount, uint256 maxAmount);
    /// @notice The account holds a valid licence that this does not extend: give it up first ({renounce}) or let it run
    /// out.
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
}
