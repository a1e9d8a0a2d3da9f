// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @title Reputation of providers and data sets
/// @notice What happened, counted: sales, confirmed deliveries, disputes and ratings; and a score from 0 to 10000 made of
/// it. All of it is integer arithmetic, so that anybody computes the same.
///
/// score = mean * trust / (trust + 10 * lost), where mean = (5 * 5000 + points) / (5 + ratings): a rating of 1 to 5
/// stars is worth 0, 2500, 5000, 7500 or 10000 points, and five ratings of 5000 are there from the start; and
/// trust = 10 + confirmed deliveries, of which 90 count. Without any record it is 5000; a first lost dispute halves it, and
/// weighs less the more deliveries were confirmed; but not less than a tenth, as deliveries of next to nothing between
/// friends cost next to nothing.
interface IReputation {
    /// @param sales licences sold
    /// @param volume what was paid for them, in wei of reference value
    /// @param deliveries confirmed by licensees
    /// @param disputesWon decided for the provider
    /// @param disputesLost decided against it
    /// @param ratings how many there are
    /// @param points their sum, 0 to 10000 each
    struct Record {
        uint64 sales;
        uint64 deliveries;
        uint64 disputesWon;
        uint64 disputesLost;
        uint64 ratings;
        uint128 points;
        uint128 volume;
    }

    /// @param provider who is rated: the owner who sold the licence
    /// @param stars 1 to 5, 0 when there is no rating
    struct Rating {
        address provider;
        uint8 stars;
        uint64 ratedAt;
        bytes commentCid;
    }

    /// @param value wei of reference value
    event SaleRecorded(address indexed provider, bytes32 indexed datasetId, uint256 value);
    event DeliveryRecorded(address indexed provider, bytes32 indexed datasetId);
    event DisputeRecorded(address indexed provider, bytes32 indexed datasetId, bool isLost);
    /// @param previousStars 0 for a first rating
    event Rated(
        bytes32 indexed datasetId,
        address indexed licensee,
        address indexed provider,
        uint8 stars,
        uint8 previousStars,
        bytes commentCid
    );

    error InvalidStars(uint8 stars);
    error InvalidComment(uint256 length, uint256 allowed);
    error InvalidAddress(address given);
    /// @notice The account has not paid for a licence of the data set.
    error NotAPayingLicensee(bytes32 datasetId, address account);
    /// @notice Providers do not rate themselves.
    error OwnDataset(bytes32 datasetId, address account);

    /// @notice Note a sale. RECORDER_ROLE only.
    /// Emits {SaleRecorded}.
    /// @param value what was paid, in wei of reference value; 0 when it is not known
    function recordSale(address provider, bytes32 datasetId, uint256 value) external;

    /// @notice Note a delivery that its licensee confirmed. RECORDER_ROLE only.
    /// Emits {DeliveryRecorded}.
    function recordDelivery(address provider, bytes32 datasetId) external;

    /// @notice Note a dispute that was decided. RECORDER_ROLE only.
    /// Emits {DisputeRecorded}.
    function recordDispute(address provider, bytes32 datasetId, bool isLost) external;

    /// @notice Rate a data set, as a licensee who paid for it; once per licence, a later rating replaces the earlier one.
    /// Emits {Rated}.
    /// @param stars 1 to 5
    /// @param commentCid binary CID of a comment, may be empty; at most 128 bytes
    function rate(bytes32 datasetId, uint8 stars, bytes calldata commentCid) external;

    /// @notice Score of a provider, 0 to 10000.
    function scoreOf(address provider) external view returns (uint256);

    /// @notice Score of a data set, 0 to 10000.
    function datasetScore(bytes32 datasetId) external view returns (uint256);

    function recordOf(address provider) external view returns (Record memory);

    function datasetRecord(bytes32 datasetId) external view returns (Record memory);

    function ratingOf(bytes32 datasetId, address licensee) external view returns (Rating memory);
}
