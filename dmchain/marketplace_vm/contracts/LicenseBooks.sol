// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";

import {LicenseState} from "./LicenseState.sol";
import {CID_REGISTRY} from "./interfaces/ICidRegistry.sol";
import {IDataListing} from "./interfaces/IDataListing.sol";
import {ILicenseBooks} from "./interfaces/ILicenseBooks.sol";
import {ILicenseLedger, LICENSE_LEDGER} from "./interfaces/ILicenseLedger.sol";

/// @title Offers, grants, views and administration of the LicenseManager
/// @notice See {ILicenseManager}. The second half of its code: {LicenseManager} makes it and delegates to it what it
/// does not know itself, so that one address has all functions though no code may be longer than 24,576 bytes. Called
/// directly it has no roles, no offers and no money.
contract LicenseBooks is LicenseState, ILicenseBooks {
    using Checkpoints for Checkpoints.Trace208;

    uint256 private constant MAX_PRICE = 2 ** 96;
    uint256 private constant MAX_PERIOD = 100 * 365 days;
    uint256 private constant MAX_ESCROW_PERIOD = 365 days;
    uint256 private constant MAX_PAGE = 100;
    uint256 private constant MAX_RATE = type(uint128).max;

    constructor(address dataListing_, address licenseNft_, address escrow_, address reputation_)
        LicenseState(dataListing_, licenseNft_, escrow_, reputation_)
    {}

    // -- offers and gifts

    /// @inheritdoc ILicenseBooks
    function createOffer(bytes32 datasetId, OfferInput calldata input) external returns (uint256 offerId) {
        _requireOwnerOrModule(datasetId);
        _checkOffer(input);
        (uint64 serial, uint64 registeredBlock) = DATA_LISTING.requireAvailable(datasetId);
        offerId = ++_offerCount;
        Offer storage o = _offers[offerId];
        o.datasetId = datasetId;
        o.metric = input.metric;
        o.termsHash = input.termsHash;
        o.token = input.token;
        o.kind = input.kind;
        o.minScore = input.minScore;
        o.period = input.period;
        o.price = input.price;
        o.maxQuantity = input.maxQuantity;
        o.escrowPeriod = input.escrowPeriod;
        o.registeredBlock = registeredBlock;
        o.listingSerial = serial;
        o.createdAt = uint64(block.timestamp);
        _offersOf[datasetId].push(offerId);
        IDataListing.Share[] memory shares = DATA_LISTING.lineage(datasetId);
        Royalty[] storage royalties = _royalties[offerId];
        for (uint256 i = 0; i < shares.length; ++i) {
            royalties.push(Royalty(shares[i].datasetId, shares[i].bps));
        }
        emit OfferCreated(offerId, datasetId, input.kind, input, royalties);
    }

    /// @inheritdoc ILicenseBooks
    function closeOffer(uint256 offerId) external {
        Offer storage o = _requireOffer(offerId);
        _requireOwnerOrModule(o.datasetId);
        if (o.closed) revert OfferIsClosed(offerId);
        o.closed = true;
        emit OfferClosed(offerId, o.datasetId);
    }

    /// @inheritdoc ILicenseBooks
    function gift(
        bytes32 datasetId,
        address licensee,
        ILicenseLedger.LicenseKind kind,
        uint64 expiresAt,
        uint64 units,
        bytes32 termsHash
    ) external nonReentrant returns (uint256 purchaseId) {
        address owner = CID_REGISTRY.ownerOf(datasetId);
        if (msg.sender != owner) revert NotDatasetOwner(datasetId, msg.sender, owner);
        DATA_LISTING.requireAvailable(datasetId);
        _requireNoLicense(datasetId, licensee);
        purchaseId = ++_purchaseCount;
        StoredTerm storage t = _beginTerm(purchaseId, datasetId, licensee, msg.sender);
        t.kind = kind;
        t.units = units;
        _recordPurchase(purchaseId, 0, purchaseId, msg.sender, units == 0 ? 1 : units, true);
        emit Granted(purchaseId, datasetId, licensee, 0, msg.sender, address(0), expiresAt, units);
        LICENSE_LEDGER.grant(datasetId, licensee, kind, expiresAt, units, termsHash);
        t.licenseNft = uint64(LICENSE_NFT.mint(licensee, datasetId, purchaseId));
    }

    // -- modules

    /// @inheritdoc ILicenseBooks
    function grantFor(uint256 offerId, address payer, address licensee, uint64 expiresAt, uint64 units)
        external
        nonReentrant
        onlyRole(MODULE_ROLE)
        returns (uint256 termId)
    {
        Offer storage o = _requireOffer(offerId);
        bytes32 datasetId = o.datasetId;
        uint64 registeredBlock = CID_REGISTRY.dataset(datasetId).registeredBlock;
        if (registeredBlock != o.registeredBlock) {
            revert OfferOfFormerRegistration(offerId, o.registeredBlock, registeredBlock);
        }
        termId = _current[datasetId][licensee];
        StoredTerm storage t = _terms[termId];
        if (LICENSE_LEDGER.hasLicense(datasetId, licensee)) {
            if (t.module != msg.sender || t.offerId != offerId || t.payer != payer || !_isIntact(termId, t)) {
                revert LicenseHeld(datasetId, licensee, termId);
            }
            t.units += units;
            LICENSE_LEDGER.extend(datasetId, licensee, expiresAt, units);
        } else {
            _leaveTerm(datasetId, licensee);
            termId = ++_purchaseCount;
            t = _beginTerm(termId, datasetId, licensee, payer);
            t.offerId = uint64(offerId);
            t.kind = o.kind;
            t.units = units;
            t.module = msg.sender;
            _recordPurchase(termId, offerId, termId, payer, units == 0 ? 1 : units, true);
            LICENSE_LEDGER.grant(datasetId, licensee, o.kind, expiresAt, units, o.termsHash);
            t.licenseNft = uint64(LICENSE_NFT.mint(licensee, datasetId, termId));
        }
        emit Granted(termId, datasetId, licensee, offerId, payer, msg.sender, expiresAt, units);
    }

    /// @inheritdoc ILicenseBooks
    function reserveFor(bytes32 datasetId, address licensee, uint64 units)
        external
        nonReentrant
        onlyRole(MODULE_ROLE)
        returns (uint256 termId)
    {
        StoredTerm storage t;
        (termId, t) = _requireUnits(datasetId, licensee, units);
        if (!LICENSE_LEDGER.hasLicense(datasetId, licensee)) revert TermBroken(termId);
        t.reservedUnits += units;
        emit UnitsReserved(termId, units, t.reservedUnits);
    }

    /// @inheritdoc ILicenseBooks
    function unreserveFor(uint256 termId, uint64 units) external nonReentrant onlyRole(MODULE_ROLE) {
        StoredTerm storage t = _terms[termId];
        if (units > t.reservedUnits) units = t.reservedUnits;
        t.reservedUnits -= units;
        emit UnitsUnreserved(termId, units, t.reservedUnits);
    }

    // -- administration

    /// @inheritdoc ILicenseBooks
    function setPlatformFee(uint16 bps) external onlyRole(DEFAULT_ADMIN_ROLE) {
        _setPlatformFee(bps);
    }

    /// @inheritdoc ILicenseBooks
    function setTreasury(address treasury_) external onlyRole(DEFAULT_ADMIN_ROLE) {
        _setTreasury(treasury_);
    }

    /// @inheritdoc ILicenseBooks
    function setReferenceRate(address token, uint256 rate) external onlyRole(DEFAULT_ADMIN_ROLE) {
        if (token == address(0)) revert InvalidAccount(token);
        if (rate > MAX_RATE) revert ValueTooLarge(rate);
        _rates[token] = rate;
        emit ReferenceRateChanged(token, rate);
    }

    // -- views

    /// @inheritdoc ILicenseBooks
    function offer(uint256 offerId) external view returns (Offer memory) {
        return _requireOffer(offerId);
    }

    /// @inheritdoc ILicenseBooks
    function isSellable(uint256 offerId) external view returns (bool) {
        Offer storage o = _offers[offerId];
        if (o.createdAt == 0 || o.closed || (o.maxQuantity != 0 && o.sold == o.maxQuantity)) return false;
        if (!DATA_LISTING.isAvailable(o.datasetId)) return false;
        return DATA_LISTING.listingOf(o.datasetId).serial == o.listingSerial;
    }

    /// @inheritdoc ILicenseBooks
    function royaltiesOf(uint256 offerId) external view returns (Royalty[] memory) {
        return _royalties[offerId];
    }

    /// @inheritdoc ILicenseBooks
    function offersOf(bytes32 datasetId, uint256 offset, uint256 limit) external view returns (uint256[] memory) {
        return _page(_offersOf[datasetId], offset, limit);
    }

    /// @inheritdoc ILicenseBooks
    function quote(uint256 offerId, uint64 quantity)
        external
        view
        returns (uint256 amount, uint256 fee, uint256 royalties, uint256 net)
    {
        amount = uint256(_requireOffer(offerId).price) * quantity;
        fee = _feeOf(amount);
        Royalty[] storage shares = _royalties[offerId];
        for (uint256 i = 0; i < shares.length; ++i) {
            (uint256 part, ) = _shareOf(shares[i], amount - fee);
            royalties += part;
        }
        net = amount - fee - royalties;
    }

    /// @inheritdoc ILicenseBooks
    function purchaseOf(uint256 purchaseId) external view returns (Purchase memory p) {
        StoredPurchase storage stored = _purchases[purchaseId];
        if (stored.boughtAt == 0) revert UnknownPurchase(purchaseId);
        StoredTerm storage t = _terms[stored.termId];
        Offer storage o = _offers[stored.offerId];
        p.offerId = stored.offerId;
        p.datasetId = t.datasetId;
        p.payer = stored.payer;
        p.boughtAt = stored.boughtAt;
        p.licensee = t.licensee;
        p.quantity = stored.quantity;
        p.token = o.token;
        p.kind = t.kind;
        p.module = t.module;
        p.amount = stored.isGranted ? 0 : o.price * stored.quantity;
        p.provider = stored.provider;
        p.termId = stored.termId;
        p.escrowId = stored.escrowId;
        p.prepaidId = t.prepaidId;
    }

    /// @inheritdoc ILicenseBooks
    function purchasesOf(address account, uint256 offset, uint256 limit) external view returns (uint256[] memory) {
        return _page(_purchasesOf[account], offset, limit);
    }

    /// @inheritdoc ILicenseBooks
    function term(uint256 termId) external view returns (Term memory) {
        StoredTerm storage t = _requireTerm(termId);
        return
            Term({
                offerId: t.offerId,
                datasetId: t.datasetId,
                payer: t.payer,
                startsAt: t.startsAt,
                ended: t.ended,
                licensee: t.licensee,
                grantedAt: t.grantedAt,
                module: t.module,
                periods: t.periods,
                releasedPeriods: t.releasedPeriods,
                units: t.units,
                reservedUnits: t.reservedUnits,
                price: _priceOf(t),
                prepaidId: t.prepaidId,
                licenseNft: t.licenseNft
            });
    }

    /// @inheritdoc ILicenseBooks
    function termOf(bytes32 datasetId, address licensee) external view returns (uint256 termId) {
        return _current[datasetId][licensee];
    }

    /// @inheritdoc ILicenseBooks
    function isIntact(uint256 termId) external view returns (bool) {
        return _isIntact(termId, _requireTerm(termId));
    }

    /// @inheritdoc ILicenseBooks
    function isBroken(uint256 termId) external view returns (bool) {
        StoredTerm storage t = _requireTerm(termId);
        return t.broken || (!t.ended && !_isIntact(termId, t));
    }

    /// @inheritdoc ILicenseBooks
    function periodsOf(uint256 termId) external view returns (uint64 collectable, uint64 refundable) {
        StoredTerm storage t = _requireSubscription(termId);
        uint64 kept = _isIntact(termId, t) ? _begunPeriods(t) : t.releasedPeriods;
        return (kept - t.releasedPeriods, t.periods - kept);
    }

    /// @inheritdoc ILicenseBooks
    function offerCount() external view returns (uint256) {
        return _offerCount;
    }

    /// @inheritdoc ILicenseBooks
    function purchaseCount() external view returns (uint256) {
        return _purchaseCount;
    }

    /// @inheritdoc ILicenseBooks
    function paidAt(bytes32 datasetId, address account, uint256 timepoint) external view returns (uint256) {
        return _paid[datasetId][account].upperLookupRecent(SafeCast.toUint48(timepoint));
    }

    /// @inheritdoc ILicenseBooks
    function totalPaidAt(bytes32 datasetId, uint256 timepoint) external view returns (uint256) {
        return _totalPaid[datasetId].upperLookupRecent(SafeCast.toUint48(timepoint));
    }

    /// @inheritdoc ILicenseBooks
    function platformFeeBps() external view returns (uint16) {
        return _feeBps;
    }

    /// @inheritdoc ILicenseBooks
    function treasury() external view returns (address) {
        return _treasury;
    }

    /// @inheritdoc ILicenseBooks
    function referenceRate(address token) public view returns (uint256) {
        return token == address(0) ? RATE_UNIT : _rates[token];
    }

    /// @inheritdoc ILicenseBooks
    function dataListing() external view returns (address) {
        return address(DATA_LISTING);
    }

    /// @inheritdoc ILicenseBooks
    function licenseNft() external view returns (address) {
        return address(LICENSE_NFT);
    }

    /// @inheritdoc ILicenseBooks
    function escrowPayment() external view returns (address) {
        return address(ESCROW);
    }

    /// @inheritdoc ILicenseBooks
    function reputation() external view returns (address) {
        return address(REPUTATION);
    }

    // -- internals

    function _requireOwnerOrModule(bytes32 datasetId) private view {
        if (hasRole(MODULE_ROLE, msg.sender)) return;
        address owner = CID_REGISTRY.ownerOf(datasetId);
        if (msg.sender != owner) revert NotDatasetOwner(datasetId, msg.sender, owner);
    }

    function _requireNoLicense(bytes32 datasetId, address licensee) private {
        if (LICENSE_LEDGER.hasLicense(datasetId, licensee)) {
            revert LicenseHeld(datasetId, licensee, _current[datasetId][licensee]);
        }
        _leaveTerm(datasetId, licensee);
    }

    function _checkOffer(OfferInput calldata input) private view {
        ILicenseLedger.LicenseKind kind = input.kind;
        if (kind == ILicenseLedger.LicenseKind.None) revert InvalidOffer("kind", 0);
        if (input.price > MAX_PRICE) revert InvalidOffer("price", input.price);
        if (input.token != address(0) && input.token.code.length == 0) {
            revert InvalidOffer("token", uint160(input.token));
        }
        if (
            input.period > MAX_PERIOD || (input.period == 0 && kind == ILicenseLedger.LicenseKind.Subscription)
        ) revert InvalidOffer("period", input.period);
        // Prepaid units are paid for as they are used: there is nothing to wait for.
        if (
            input.escrowPeriod > MAX_ESCROW_PERIOD ||
            (input.escrowPeriod != 0 && kind == ILicenseLedger.LicenseKind.PayPerCompute) ||
            (input.escrowPeriod == 0 && input.metric != 0)
        ) revert InvalidOffer("escrowPeriod", input.escrowPeriod);
        if (input.minScore > MAX_BPS || (input.metric == 0) != (input.minScore == 0)) {
            revert InvalidOffer("minScore", input.minScore);
        }
    }

    function _page(uint256[] storage items, uint256 offset, uint256 limit)
        private
        view
        returns (uint256[] memory page)
    {
        uint256 count = items.length;
        uint256 size = offset >= count ? 0 : count - offset;
        size = Math.min(Math.min(size, limit), MAX_PAGE);
        page = new uint256[](size);
        for (uint256 i = 0; i < size; ++i) {
            page[i] = items[offset + i];
        }
    }
}
