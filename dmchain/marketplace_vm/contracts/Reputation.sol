// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {AccessControl} from "@openzeppelin/contracts/access/AccessControl.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {ILicenseManager} from "./interfaces/ILicenseManager.sol";
import {CID_REGISTRY} from "./interfaces/ICidRegistry.sol";
import {IReputation} from "./interfaces/IReputation.sol";

/// @title Reputation of providers and data sets
/// @notice See {IReputation}.
contract Reputation is IReputation, AccessControl {
    using SafeCast for uint256;

    /// @notice Notes sales, deliveries and disputes: LicenseManager, EscrowPayment, DisputeResolution.
    bytes32 public constant RECORDER_ROLE = keccak256("RECORDER_ROLE");
    uint256 private constant PRIOR_RATINGS = 5;
    uint256 private constant PRIOR_POINTS = 5000;
    uint256 private constant POINTS_PER_STAR = 2500;
    uint256 private constant TRUST = 10;
    uint256 private constant MOST_DELIVERIES = 90;
    uint256 private constant WEIGHT_OF_LOSS = 10;
    uint256 private constant MAX_CID_BYTES = 128;

    ILicenseManager private immutable _licenseManager;
    mapping(address provider => Record) private _providers;
    mapping(bytes32 datasetId => Record) private _datasets;
    mapping(bytes32 datasetId => mapping(address licensee => Rating)) private _ratings;

    /// @param admin gets DEFAULT_ADMIN_ROLE
    /// @param licenseManager knows who has paid
    /// @param recorders get RECORDER_ROLE
    constructor(address admin, address licenseManager, address[] memory recorders) {
        if (admin == address(0)) revert InvalidAddress(admin);
        if (licenseManager == address(0)) revert InvalidAddress(licenseManager);
        _licenseManager = ILicenseManager(licenseManager);
        _grantRole(DEFAULT_ADMIN_ROLE, admin);
        for (uint256 i; i < recorders.length; ++i) {
            _grantRole(RECORDER_ROLE, recorders[i]);
        }
    }

    /// @inheritdoc IReputation
    function recordSale(address provider, bytes32 datasetId, uint256 value) external onlyRole(RECORDER_ROLE) {
        uint128 worth = value.toUint128();
        ++_providers[provider].sales;
        _providers[provider].volume += worth;
        ++_datasets[datasetId].sales;
        _datasets[datasetId].volume += worth;
        emit SaleRecorded(provider, datasetId, value);
    }

    /// @inheritdoc IReputation
    function recordDelivery(address provider, bytes32 datasetId) external onlyRole(RECORDER_ROLE) {
        ++_providers[provider].deliveries;
        ++_datasets[datasetId].deliveries;
        emit DeliveryRecorded(provider, datasetId);
    }

    /// @inheritdoc IReputation
    function recordDispute(address provider, bytes32 datasetId, bool isLost) external onlyRole(RECORDER_ROLE) {
        if (isLost) {
            ++_providers[provider].disputesLost;
            ++_datasets[datasetId].disputesLost;
        } else {
            ++_providers[provider].disputesWon;
            ++_datasets[datasetId].disputesWon;
        }
        emit DisputeRecorded(provider, datasetId, isLost);
    }

    /// @inheritdoc IReputation
    function rate(bytes32 datasetId, uint8 stars, bytes calldata commentCid) external {
        if (stars == 0 || stars > 5) revert InvalidStars(stars);
        if (commentCid.length > MAX_CID_BYTES) revert InvalidComment(commentCid.length, MAX_CID_BYTES);
        Rating storage rating = _ratings[datasetId][msg.sender];
        uint8 previous = rating.stars;
        if (previous == 0) {
            // Money of known value that was divided, fee paid: a rating has a price.
            if (_licenseManager.paidAt(datasetId, msg.sender, block.timestamp - 1) == 0) {
                revert NotAPayingLicensee(datasetId, msg.sender);
            }
            rating.provider = _sellerOf(datasetId, msg.sender);
            if (msg.sender == rating.provider || msg.sender == CID_REGISTRY.ownerOf(datasetId)) {
                revert OwnDataset(datasetId, msg.sender);
            }
        }
        rating.stars = stars;
        rating.ratedAt = uint64(block.timestamp);
        rating.commentCid = commentCid;
        _count(_providers[rating.provider], previous, stars);
        _count(_datasets[datasetId], previous, stars);
        emit Rated(datasetId, msg.sender, rating.provider, stars, previous, commentCid);
    }

    /// @inheritdoc IReputation
    function scoreOf(address provider) external view returns (uint256) {
        return _score(_providers[provider]);
    }

    /// @inheritdoc IReputation
    function datasetScore(bytes32 datasetId) external view returns (uint256) {
        return _score(_datasets[datasetId]);
    }

    /// @inheritdoc IReputation
    function recordOf(address provider) external view returns (Record memory) {
        return _providers[provider];
    }

    /// @inheritdoc IReputation
    function datasetRecord(bytes32 datasetId) external view returns (Record memory) {
        return _datasets[datasetId];
    }

    /// @inheritdoc IReputation
    function ratingOf(bytes32 datasetId, address licensee) external view returns (Rating memory) {
        return _ratings[datasetId][licensee];
    }

    /// @dev Who sold the licence; of a payer who holds none itself, the owner of the moment.
    function _sellerOf(bytes32 datasetId, address licensee) private view returns (address) {
        uint256 termId = _licenseManager.termOf(datasetId, licensee);
        return termId == 0 ? CID_REGISTRY.ownerOf(datasetId) : _licenseManager.purchaseOf(termId).provider;
    }

    /// @dev Replace a rating (0 stars: none) in a record.
    function _count(Record storage r, uint256 previous, uint256 stars) private {
        if (previous == 0) ++r.ratings;
        else r.points -= uint128((previous - 1) * POINTS_PER_STAR);
        r.points += uint128((stars - 1) * POINTS_PER_STAR);
    }

    /// @dev One division at the end, so that nothing is lost to rounding before.
    function _score(Record storage r) private view returns (uint256) {
        uint256 points = PRIOR_RATINGS * PRIOR_POINTS + r.points;
        uint256 trust = TRUST + Math.min(r.deliveries, MOST_DELIVERIES);
        return points * trust / ((PRIOR_RATINGS + r.ratings) * (trust + WEIGHT_OF_LOSS * r.disputesLost));
    }
}
