// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {AccessControlUpgradeable} from "@openzeppelin/contracts-upgradeable/access/AccessControlUpgradeable.sol";
import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";

import {PullPayments} from "./PullPayments.sol";
import {CID_REGISTRY, ICidRegistry} from "./interfaces/ICidRegistry.sol";
import {IDataListing} from "./interfaces/IDataListing.sol";
import {IEscrowPayment} from "./interfaces/IEscrowPayment.sol";
import {ILicenseLedger, LICENSE_LEDGER} from "./interfaces/ILicenseLedger.sol";
import {ILicenseNFT} from "./interfaces/ILicenseNFT.sol";
import {ILicenseTypes} from "./interfaces/ILicenseTypes.sol";
import {IReputation} from "./interfaces/IReputation.sol";

/// @title State of the LicenseManager
/// @notice What its two halves share: {LicenseManager} (purchases, terms, distribution) and {LicenseBooks} (offers,
/// gifts, views, administration). Both run on the storage of the one proxy, so neither declares state of its own.
abstract contract LicenseState is PullPayments, AccessControlUpgradeable, ILicenseTypes {
    /// @dev Three slots. The amount is the offer's price times the quantity, unless a module granted it.
    struct StoredPurchase {
        uint64 offerId;
        uint64 termId;
        uint64 boughtAt;
        uint64 quantity;
        address payer;
        uint64 escrowId;
        bool isGranted;
        address provider;
    }

    /// @dev {Term} with counters cut to 64 bits: all of them are counted one by one.
    struct StoredTerm {
        uint64 offerId;
        uint64 startsAt;
        uint64 grantedAt;
        uint64 prepaidId;
        uint64 periods;
        uint64 releasedPeriods;
        uint64 units;
        uint64 reservedUnits;
        address payer;
        uint64 licenseNft;
        bool ended;
        ILicenseLedger.LicenseKind kind;
        address licensee;
        bytes32 datasetId;
        address module;
        bool broken;
    }

    /// @notice Contracts of the market that act for their users here.
    bytes32 public constant MODULE_ROLE = keccak256("MODULE_ROLE");

    uint256 internal constant MAX_BPS = 10_000;
    uint16 private constant MAX_FEE_BPS = 1_000;
    uint256 internal constant RATE_UNIT = 1e18;

    IDataListing internal immutable DATA_LISTING;
    ILicenseNFT internal immutable LICENSE_NFT;
    IEscrowPayment internal immutable ESCROW;
    IReputation internal immutable REPUTATION;

    uint64 internal _offerCount;
    uint64 internal _purchaseCount;
    uint16 internal _feeBps;
    address internal _treasury;
    mapping(uint256 offerId => Offer) internal _offers;
    mapping(uint256 offerId => Royalty[]) internal _royalties;
    mapping(bytes32 datasetId => uint256[]) internal _offersOf;
    mapping(uint256 purchaseId => StoredPurchase) internal _purchases;
    mapping(uint256 termId => StoredTerm) internal _terms;
    mapping(bytes32 datasetId => mapping(address licensee => uint256 termId)) internal _current;
    mapping(address account => uint256[]) internal _purchasesOf;
    mapping(address token => uint256) internal _rates;
    mapping(bytes32 datasetId => mapping(address account => Checkpoints.Trace208)) internal _paid;
    mapping(bytes32 datasetId => Checkpoints.Trace208) internal _totalPaid;

    constructor(address dataListing_, address licenseNft_, address escrow_, address reputation_) {
        DATA_LISTING = IDataListing(dataListing_);
        LICENSE_NFT = ILicenseNFT(licenseNft_);
        ESCROW = IEscrowPayment(escrow_);
        REPUTATION = IReputation(reputation_);
        _disableInitializers();
    }

    function _recordPurchase(
        uint256 purchaseId,
        uint256 offerId,
        uint256 termId,
        address payer,
        uint64 quantity,
        bool isGranted
    ) internal {
        StoredTerm storage t = _terms[termId];
        _purchases[purchaseId] = StoredPurchase({
            offerId: uint64(offerId),
            termId: uint64(termId),
            boughtAt: uint64(block.timestamp),
            quantity: quantity,
            payer: payer,
            escrowId: 0,
            isGranted: isGranted,
            provider: CID_REGISTRY.ownerOf(t.datasetId)
        });
        address licensee = t.licensee;
        _purchasesOf[licensee].push(purchaseId);
        if (payer != licensee) _purchasesOf[payer].push(purchaseId);
    }

    /// @dev Make a term the current one of its licensee, beginning now.
    function _beginTerm(uint256 termId, bytes32 datasetId, address licensee, address payer)
        internal
        returns (StoredTerm storage t)
    {
        t = _terms[termId];
        t.datasetId = datasetId;
        t.licensee = licensee;
        t.payer = payer;
        t.startsAt = uint64(block.timestamp);
        t.grantedAt = uint64(block.timestamp);
        _current[datasetId][licensee] = termId;
    }

    /// @dev The current term is about to be followed by a new one. If it is broken, that must not be forgotten: what is
    /// not earned of it stays refundable.
    function _leaveTerm(bytes32 datasetId, address licensee) internal {
        uint256 termId = _current[datasetId][licensee];
        StoredTerm storage t = _terms[termId];
        if (termId != 0 && !t.ended && !_isIntact(termId, t)) (t.ended, t.broken) = (true, true);
    }

    /// @dev Periods that have begun by now: those that are over, and the running one.
    function _begunPeriods(StoredTerm storage t) internal view returns (uint64) {
        if (block.timestamp < t.startsAt) return 0;
        uint256 begun = (block.timestamp - t.startsAt) / _offers[t.offerId].period + 1;
        return begun < t.periods ? uint64(begun) : t.periods;
    }

    /// @dev What a period or unit cost its payer here: nothing if it was given, or paid for elsewhere.
    function _priceOf(StoredTerm storage t) internal view returns (uint128) {
        return t.module == address(0) ? _offers[t.offerId].price : 0;
    }

    function _isIntact(uint256 termId, StoredTerm storage t) internal view returns (bool) {
        if (t.ended) return false;
        if (_current[t.datasetId][t.licensee] != termId) {
            // Its licence was followed by another one: what matters is whether the data set was taken over.
            return
                t.offerId == 0 ||
                CID_REGISTRY.dataset(t.datasetId).registeredBlock == _offers[t.offerId].registeredBlock;
        }
        ILicenseLedger.License memory held = LICENSE_LEDGER.licenseOf(t.datasetId, t.licensee);
        // Whoever meddles within the second of the grant could still shorten what was paid for.
        uint256 endsAt = t.periods == 0 ? 0 : t.startsAt + uint256(t.periods) * _offers[t.offerId].period;
        if (held.expiresAt < endsAt) return false;
        return
            held.grantedAt == t.grantedAt &&
            (held.status == ILicenseLedger.LicenseStatus.Valid ||
                held.status == ILicenseLedger.LicenseStatus.Expired ||
                held.status == ILicenseLedger.LicenseStatus.Exhausted);
    }

    /// @dev An ancestor's part of `shared`, 0 while it is not active; rounded down.
    function _shareOf(Royalty storage share, uint256 shared) internal view returns (uint256 part, address owner) {
        ICidRegistry.Dataset memory ancestor = CID_REGISTRY.dataset(share.datasetId);
        if (ancestor.status == ICidRegistry.DatasetStatus.Active) {
            part = (shared * share.bps) / MAX_BPS;
            owner = ancestor.owner;
        }
    }

    function _feeOf(uint256 amount) internal view returns (uint256) {
        return (amount * _feeBps) / MAX_BPS;
    }

    function _requireOffer(uint256 offerId) internal view returns (Offer storage o) {
        o = _offers[offerId];
        if (o.createdAt == 0) revert UnknownOffer(offerId);
    }

    function _requireTerm(uint256 termId) internal view returns (StoredTerm storage t) {
        t = _terms[termId];
        if (t.startsAt == 0) revert UnknownPurchase(termId);
    }

    /// @dev A term of periods that were sold here.
    function _requireSubscription(uint256 termId) internal view returns (StoredTerm storage t) {
        t = _requireTerm(termId);
        if (t.kind != ILicenseLedger.LicenseKind.Subscription || t.offerId == 0 || t.module != address(0)) {
            revert NotSubscription(termId);
        }
    }

    function _setPlatformFee(uint16 bps) internal {
        if (bps > MAX_FEE_BPS) revert InvalidBps(bps, MAX_FEE_BPS);
        _feeBps = bps;
        emit PlatformFeeChanged(bps);
    }

    function _setTreasury(address treasury_) internal {
        if (treasury_ == address(0)) revert InvalidAccount(treasury_);
        _treasury = treasury_;
        emit TreasuryChanged(treasury_);
    }

    /// @dev The current term with `units` that are free to use.
    function _requireUnits(bytes32 datasetId, address licensee, uint64 units)
        internal
        view
        returns (uint256 termId, StoredTerm storage t)
    {
        termId = _current[datasetId][licensee];
        t = _terms[termId];
        if (termId == 0) revert NoTerm(datasetId, licensee);
        if (t.kind != ILicenseLedger.LicenseKind.PayPerCompute) revert NotPrepaid(termId);
        if (!_isIntact(termId, t)) revert TermBroken(termId);
        uint64 free = t.units - t.reservedUnits;
        if (units == 0 || units > free) revert InsufficientUnits(termId, free, units);
    }
}
