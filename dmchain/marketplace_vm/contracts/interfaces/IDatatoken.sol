// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;


/// @title Transferable access
/// @notice An ERC-1155 (with ERC-2981 and supply) whose tokens can be traded, and redeemed for a licence. Each class is
/// issued by the owner of a data set upon one of its offers: a token of it buys one licence (OneTime), one period
/// (Subscription) or one unit (PayPerCompute) of that offer.
///
/// Tokens are sold in a built-in book of orders. What the issuer of a class sells while it owns the data set is a first
/// sale: divided like any purchase, see {ILicenseManager-distribute}. Any other sale is a resale: the platform fee goes
/// to the treasury, the royalty to the data set's owner and its ancestors, the rest to the seller. Of a restricted
/// class tokens move only through the book; of others anyone can transfer them by ERC-1155, and marketplaces honour
/// ERC-2981 or not. No contract can see what is paid outside: two who trust each other can name a low price in any
/// book.
///
/// All proceeds wait in the LicenseManager; this contract holds tokens of open orders, and no money. A token of a data
/// set that was retired or registered anew cannot be redeemed or sold.
interface IDatatoken {
    /// @param registeredBlock registration of the data set at that time: another one makes the class void
    /// @param issued how many there ever are
    struct Class {
        bytes32 datasetId;
        uint256 offerId;
        address issuer;
        uint64 registeredBlock;
        uint16 resaleRoyaltyBps;
        bool isRestricted;
        uint128 issued;
        uint128 redeemed;
    }

    /// @param amount left to sell
    /// @param isPrimary a first sale, as things stand
    struct SaleOrder {
        uint256 classId;
        address seller;
        bool isPrimary;
        uint128 amount;
        uint128 unitPrice;
        address token;
    }

    event ClassIssued(
        uint256 indexed classId,
        bytes32 indexed datasetId,
        uint256 indexed offerId,
        address issuer,
        uint256 supply,
        uint16 resaleRoyaltyBps,
        bool isRestricted
    );
    event SaleOpened(
        uint256 indexed orderId,
        uint256 indexed classId,
        address indexed seller,
        uint256 amount,
        address token,
        uint256 unitPrice,
        bool isPrimary
    );
    event SaleCancelled(uint256 indexed orderId, uint256 returned);
    /// @param royalty 0 for a first sale, which is divided as a whole
    event Sold(
        uint256 indexed orderId,
        uint256 indexed classId,
        address indexed buyer,
        address seller,
        uint256 amount,
        address token,
        uint256 price,
        uint256 royalty
    );
    event Redeemed(uint256 indexed classId, address indexed holder, uint256 indexed termId, uint256 amount);

    error NotDatasetOwner(bytes32 datasetId, address caller, address owner);
    error WrongOffer(uint256 offerId, bytes32 offeredDatasetId, bytes32 datasetId);
    error OfferNotSellable(uint256 offerId);
    error InvalidSupply(uint256 given, uint256 highest);
    error InvalidBps(uint256 given, uint256 highest);
    error InvalidAmount(uint256 given, uint256 highest);
    error UnknownClass(uint256 classId);
    error UnknownSale(uint256 orderId);
    error NotSeller(uint256 orderId, address caller, address seller);
    error PriceTooHigh(uint256 price, uint256 maxPrice);
    /// @notice Tokens of the class are only sold in the book.
    error TransfersRestricted(uint256 classId);
    /// @notice The data set was retired or registered anew.
    error ClassVoid(uint256 classId);
    /// @notice The holder has a valid licence that never ends: a token would be burned for nothing.
    error AlreadyLicensed(bytes32 datasetId, address holder);
    error UnexpectedAmount(address token, uint256 expected, uint256 received);

    /// @notice Make `supply` tokens on an offer of a listed data set and give them to the caller, its owner.
    /// Emits {ClassIssued}.
    /// @param offerId an offer that sells now
    /// @param supply 1 to 2^64 - 1; they do not count against the offer's maxQuantity
    /// @param resaleRoyaltyBps at most 2000
    /// @param isRestricted tokens move only through this contract's book
    /// @return classId the ERC-1155 token id, counted from 1
    function issue(
        bytes32 datasetId,
        uint256 offerId,
        uint128 supply,
        uint16 resaleRoyaltyBps,
        bool isRestricted
    ) external returns (uint256 classId);

    /// @notice Offer tokens of the caller; they are kept here until sold or taken back.
    /// Emits {SaleOpened}.
    /// @param token what is paid in, 0 for native coin
    /// @return orderId counted from 1
    function sell(uint256 classId, uint128 amount, address token, uint128 unitPrice) external returns (uint256 orderId);

    /// @notice Take back what is left of an order. Only its seller.
    /// Emits {SaleCancelled}.
    function cancelSale(uint256 orderId) external;

    /// @notice Buy from an order. An ERC-20 is allowed to this contract before; native coin comes with the call,
    /// exactly.
    /// Emits {Sold}.
    /// @param maxPrice the most the caller pays in all
    function buy(uint256 orderId, uint128 amount, uint256 maxPrice) external payable returns (uint256 price);

    /// @notice Burn tokens of the caller for a licence: `amount` periods or units, or one licence (amount 1).
    /// Emits {Redeemed}.
    /// A licence redeemed from the same offer is extended; any other valid one stands in the way.
    /// @return termId see {ILicenseManager-term}
    function redeem(uint256 classId, uint64 amount) external returns (uint256 termId);

    /// @notice Reverts with {UnknownClass}.
    function class(uint256 classId) external view returns (Class memory);

    /// @notice Reverts with {UnknownSale}.
    function sale(uint256 orderId) external view returns (SaleOrder memory);

    /// @notice How the price of a purchase from an order would be divided now. Of a first sale `royalty` is 0, and
    /// owner and ancestors share the proceeds; of a resale they share the royalty, and the seller gets the proceeds.
    function quoteSale(uint256 orderId, uint128 amount)
        external
        view
        returns (uint256 price, uint256 fee, uint256 royalty, uint256 proceeds);

    function classCount() external view returns (uint256);

    /// @notice Classes of a data set from `offset` on, oldest first: at most `limit`, and at most 100. Who buys a
    /// listing looks here first: their tokens can be redeemed whoever owns the data set.
    function classesOf(bytes32 datasetId, uint256 offset, uint256 limit)
        external
        view
        returns (uint256[] memory classIds);

    function saleCount() external view returns (uint256);

    function licenseManager() external view returns (address);
}
