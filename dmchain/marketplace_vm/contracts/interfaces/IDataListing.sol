// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ILicenseManager} from "./ILicenseManager.sol";

/// @title Tokens that stand for data sets
/// @notice An ERC-721 with ERC-2981 royalties: who holds the token owns the data set. `tokenId` is
/// uint256(datasetId). While a data set is listed, this contract is its operator in the CidRegistry and the
/// LicenseManager its controller; a transfer of the token transfers the data set.
///
/// A listing belongs to one registration of the data set. When the content is taken over by an earlier commitment (see
/// {ICidRegistry}), the token of the former registrant is stale: it sells nothing, cannot be transferred, and
/// disappears when the new owner lists. Times are seconds since the Unix epoch, shares are in hundredths of a percent
/// (bps).
interface IDataListing {
    /// @notice What the provider promises about licences when the data set is withdrawn from the market. `RunOut`: it
    /// is delisted, never retired by its owner, so that licences run to their end; a licensee may dispute a retirement.
    /// `EndAndRefund`: the owner may retire it (for legal reasons, say): licences end at once, and what is not earned
    /// yet (escrows, unused units, periods not begun, streams) goes back to who paid it.
    enum RetirementTerms {
        RunOut,
        EndAndRefund
    }

    /// @param spdx licence of the data by its SPDX identifier ("CC-BY-4.0", "LicenseRef-..."), 1 to 64 bytes
    /// @param format media type of the data ("application/vnd.apache.parquet"), at most 64 bytes
    /// @param resaleRoyaltyBps to the creator when the token is resold (ERC-2981), at most 2000
    /// @param lineageRoyaltyBps what this data set asks of what derived data sets earn, at most 2000
    /// @param availableUntil no sales from then on, 0 for no end
    struct ListingInput {
        string spdx;
        string format;
        uint16 resaleRoyaltyBps;
        uint16 lineageRoyaltyBps;
        uint64 availableUntil;
        RetirementTerms onRetirement;
    }

    /// @notice A content to register: see {ICidRegistry-registerCid}.
    struct Content {
        bytes cid;
        bytes metadataCid;
        bytes32[] parents;
        uint64 sizeBytes;
    }

    /// @param creator who listed it, and gets the resale royalties
    /// @param serial number of the listing, counted from 1: an offer belongs to one listing
    /// @param registeredBlock registration of the data set it belongs to
    struct Listing {
        bytes32 datasetId;
        address creator;
        uint64 serial;
        uint64 listedAt;
        uint64 registeredBlock;
        uint64 availableUntil;
        uint16 resaleRoyaltyBps;
        uint16 lineageRoyaltyBps;
        RetirementTerms onRetirement;
        string spdx;
        string format;
        string metadataURI;
    }

    /// @notice A data set and its share of what is earned by another.
    struct Share {
        bytes32 datasetId;
        uint16 bps;
    }

    event Listed(
        uint256 indexed tokenId,
        address indexed owner,
        uint64 indexed serial,
        string spdx,
        string format,
        uint64 availableUntil,
        RetirementTerms onRetirement,
        string metadataURI
    );
    event ListingUpdated(uint256 indexed tokenId, uint64 availableUntil, string metadataURI);
    /// @param stale removed because the data set has a new registration
    event Delisted(uint256 indexed tokenId, address indexed owner, uint64 indexed serial, bool stale);
    /// @notice Sales of a data set were stopped, or allowed again, by a curator.
    event SalesSuspended(bytes32 indexed datasetId, bool isSuspended);
    /// @notice A data set that is not listed got its own operator rights back.
    event OperatorReleased(bytes32 indexed datasetId, address indexed owner);

    error NotDatasetOwner(bytes32 datasetId, address caller, address owner);
    /// @notice Before listing, the owner makes this contract the operator: CID_REGISTRY.setOperator(datasetId,
    /// listing).
    error NotOperator(bytes32 datasetId, address operator);
    error AlreadyListed(bytes32 datasetId, uint64 serial);
    error NotListed(bytes32 datasetId);
    /// @notice The data set has been registered anew since it was listed.
    error StaleListing(bytes32 datasetId, uint64 registeredBlock, uint64 currentBlock);
    /// @notice Not for sale: retired, past its time, or suspended by a curator.
    error NotAvailable(bytes32 datasetId, uint64 availableUntil);
    error InvalidText(string field, uint256 length, uint256 longest);
    error InvalidBps(string field, uint256 given, uint256 highest);
    error InvalidAvailability(uint64 given, uint64 earliest);
    error TooManyOffers(uint256 given, uint256 allowed);
    /// @notice The offer is for another data set.
    error WrongOffer(uint256 tokenId, uint256 license, bytes32 offeredDatasetId);
    error InvalidAccount(address account);

    // -- listing

    /// @notice List a data set of the caller, of which this contract has been made the operator.
    /// Emits {Listed}.
    /// @param hash the datasetId
    /// @param metadataURI of the token; 1 to 1024 bytes
    /// @param offers at most 16, may be added later
    function listData(
        bytes32 hash,
        string calldata metadataURI,
        ListingInput calldata input,
        ILicenseManager.OfferInput[] calldata offers
    ) external returns (uint256 tokenId);

    /// @notice Register a content and list it at once; the caller becomes the owner. Whoever watches pending
    /// transactions can be faster: see {publishCommitted}.
    /// Emits {Listed}.
    function publish(
        Content calldata content,
        string calldata metadataURI,
        ListingInput calldata input,
        ILicenseManager.OfferInput[] calldata offers
    ) external returns (uint256 tokenId);

    /// @notice As {publish}, with the date of a commitment made by CID_REGISTRY.commitCid(commitmentFor(...)).
    /// Emits {Listed}.
    /// @param salt 32 random bytes, as given to {commitmentFor}
    function publishCommitted(
        Content calldata content,
        string calldata metadataURI,
        ListingInput calldata input,
        ILicenseManager.OfferInput[] calldata offers,
        bytes32 salt
    ) external returns (uint256 tokenId);

    /// @notice Buy one licence, period or unit for the caller through the LicenseManager; it is the LicenseManager that
    /// needs the allowance. Native coin comes with the call.
    /// @param license id of one of the data set's offers (see {ILicenseManager-offersOf}). Offers never change, so the
    /// price is the one the caller has seen, whatever is done to the listing before.
    function purchaseAccess(uint256 tokenId, uint256 license) external payable returns (uint256 purchaseId);

    /// @notice Only the token's owner.
    /// Emits {ListingUpdated}.
    function update(uint256 tokenId, string calldata metadataURI, uint64 availableUntil) external;

    /// @notice Take a data set off the market: no new licences, those there run on under the LicenseManager, which
    /// remains the controller. The token is burned, the owner gets the operator's rights back. Of a stale listing only
    /// the token is burned. Only the token's owner.
    /// Emits {Delisted}.
    function delist(uint256 tokenId) external;

    /// @notice Give the operator's rights over a data set that is not listed back to its owner. Only the data set's
    /// owner.
    /// Emits {OperatorReleased}.
    function releaseOperator(bytes32 datasetId) external;

    /// @notice Stop sales of a data set while a complaint is looked into, or allow them again; licences there run on.
    /// Only CURATOR_ROLE.
    /// Emits {SalesSuspended}.
    function setSuspended(bytes32 datasetId, bool isSuspended) external;

    // -- views

    /// @notice Reverts with {NotListed}.
    function listing(uint256 tokenId) external view returns (Listing memory);

    /// @notice As {listing}, by data set.
    function listingOf(bytes32 datasetId) external view returns (Listing memory);

    function isListed(bytes32 datasetId) external view returns (bool);

    /// @notice Whether licences can be bought now.
    function isAvailable(bytes32 datasetId) external view returns (bool);

    /// @notice The listing's serial and the registration it belongs to, if licences can be bought now. Reverts with
    /// {NotListed}, {StaleListing} or {NotAvailable}.
    function requireAvailable(bytes32 datasetId) external view returns (uint64 serial, uint64 registeredBlock);

    /// @notice What derived data sets owe this one, 0 if it is not listed (or stale).
    function lineageRoyaltyOf(bytes32 datasetId) external view returns (uint16 bps);

    /// @notice Who has a share in what a data set earns: its ancestors along the lineage, nearest first. Each gets its
    /// own listing's lineageRoyaltyBps of what its child gets, the data set itself counting as 10000; one reached by
    /// two ways gets both. At most 16 of them, to the fourth generation, and at most 5000 bps in all: what is beyond is
    /// left out.
    function lineage(bytes32 datasetId) external view returns (Share[] memory);

    function isSuspended(bytes32 datasetId) external view returns (bool);

    function tokenCount() external view returns (uint256);

    /// @notice In no particular order: delisting moves the last token to the place of the delisted one.
    function tokenByIndex(uint256 index) external view returns (uint256 tokenId);

    /// @notice Listings from `offset` on: at most `limit`, and at most 100.
    function listings(uint256 offset, uint256 limit) external view returns (Listing[] memory);

    /// @notice What to commit to before {publishCommitted}.
    function commitmentFor(bytes calldata cid, address publisher, bytes32 salt) external view returns (bytes32);

    function licenseManager() external view returns (address);
}
