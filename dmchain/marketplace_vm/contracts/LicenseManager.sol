// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";

import {LicenseBooks} from "./LicenseBooks.sol";
import {LicenseState} from "./LicenseState.sol";
import {CID_REGISTRY} from "./interfaces/ICidRegistry.sol";
import {IEscrowPayment} from "./interfaces/IEscrowPayment.sol";
import {ILicenseLedger, LICENSE_LEDGER} from "./interfaces/ILicenseLedger.sol";
import {ILicenseSales} from "./interfaces/ILicenseSales.sol";

/// @title Sale of licences
/// @notice See {ILicenseManager}. Upgradeable, behind a TransparentUpgradeableProxy.
///
/// INVARIANTS, tested in tests/contracts/test_license_manager_invariants.py:
/// - For each token, `held` is the sum of all `owed`, and the balance.
/// - The prepaid account of a term that has not ended holds (periods - releasedPeriods + units) * price.
/// - An account has a licence by this contract only with a term, and a term only by a purchase that was paid for in the
///   same transaction, a grant of a module or a gift of the owner.
///
/// `distribute` and `distributeResale` are not guarded against reentrance: EscrowPayment calls back from within
/// `collect`, `consume` and `consumeFor`, after all changes here. They only add to balances what is there beyond the
/// books.
contract LicenseManager is LicenseState, ILicenseSales {
    using SafeERC20 for IERC20;
    using Checkpoints for Checkpoints.Trace208;

    /// @dev A purchase on its way.
    struct Sale {
        uint256 purchaseId;
        uint256 offerId;
        uint256 termId;
        bytes32 datasetId;
        address payer;
        address licensee;
        address token;
        uint64 quantity;
        uint128 amount;
        uint128 earned;
        uint128 escrowed;
        uint128 prepaid;
    }

    /// @dev The other half of the code.
    address private immutable BOOKS;

    /// @param reputation_ where sales are noted; zero for nowhere
    constructor(address dataListing_, address licenseNft_, address escrow_, address reputation_)
        LicenseState(dataListing_, licenseNft_, escrow_, reputation_)
    {
        BOOKS = address(new LicenseBooks(dataListing_, licenseNft_, escrow_, reputation_));
    }

    /// @dev Everything else is in the other half of the code.
    fallback() external {
        address books = BOOKS;
        assembly ("memory-safe") {
            calldatacopy(0, 0, calldatasize())
            let ok := delegatecall(gas(), books, 0, calldatasize(), 0, 0)
            returndatacopy(0, 0, returndatasize())
            switch ok
            case 0 { revert(0, returndatasize()) }
            default { return(0, returndatasize()) }
        }
    }

    /// @param admin gets DEFAULT_ADMIN_ROLE
    function initialize(address admin, address treasury_, uint16 feeBps) external initializer {
        if (admin == address(0)) revert InvalidAccount(admin);
        _grantRole(DEFAULT_ADMIN_ROLE, admin);
        _setTreasury(treasury_);
        _setPlatformFee(feeBps);
    }

    // -- purchases

    /// @inheritdoc ILicenseSales
    function purchase(uint256 offerId, address licensee, uint64 quantity, uint256 maxAmount)
        external
        payable
        nonReentrant
        returns (uint256 purchaseId)
    {
        return _purchase(msg.sender, offerId, licensee, quantity, maxAmount);
    }

    /// @inheritdoc ILicenseSales
    function purchaseWithPermit(
        uint256 offerId,
        address licensee,
        uint64 quantity,
        uint256 maxAmount,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external nonReentrant returns (uint256 purchaseId) {
        // Anyone can use a permit it has seen before its owner does: then the allowance is there, and all is well.
        try
            IERC20Permit(_requireOffer(offerId).token).permit(msg.sender, address(this), maxAmount, deadline, v, r, s)
        {} catch {}
        return _purchase(msg.sender, offerId, licensee, quantity, maxAmount);
    }

    /// @inheritdoc ILicenseSales
    function purchaseFor(address payer, uint256 offerId, address licensee, uint64 quantity, uint256 maxAmount)
        external
        payable
        nonReentrant
        onlyRole(MODULE_ROLE)
        returns (uint256 purchaseId)
    {
        return _purchase(payer, offerId, licensee, quantity, maxAmount);
    }

    /// @inheritdoc ILicenseSales
    function cancel(uint256 termId) external nonReentrant returns (uint256 refunded) {
        StoredTerm storage t = _requireSubscription(termId);
        bool intact = _isIntact(termId, t);
        if (intact && msg.sender != t.payer && msg.sender != t.licensee) revert NotParty(termId, msg.sender);
        if (!intact && !t.ended) (t.ended, t.broken) = (true, true);
        if (t.periods == (intact ? _begunPeriods(t) : t.releasedPeriods)) revert NothingLeft(termId);
        return _cancel(termId, t, intact);
    }

    /// @inheritdoc ILicenseSales
    function collect(uint256 termId) external nonReentrant returns (uint256 amount) {
        StoredTerm storage t = _requireSubscription(termId);
        if (!_isIntact(termId, t)) revert TermBroken(termId);
        if (_begunPeriods(t) == t.releasedPeriods) revert NothingLeft(termId);
        return _collect(termId, t);
    }

    /// @inheritdoc ILicenseSales
    function consume(bytes32 datasetId, uint64 units) external nonReentrant returns (uint64 left) {
        (uint256 termId, StoredTerm storage t) = _requireUnits(datasetId, msg.sender, units);
        LICENSE_LEDGER.consume(datasetId, msg.sender, units);
        return _useUnits(termId, t, units);
    }

    /// @inheritdoc ILicenseSales
    function refundUnits(uint256 termId) external nonReentrant returns (uint256 refunded) {
        StoredTerm storage t = _requireTerm(termId);
        if (_priceOf(t) == 0 || t.kind != ILicenseLedger.LicenseKind.PayPerCompute) revert NotPrepaid(termId);
        if (
            msg.sender != t.licensee &&
            _current[t.datasetId][t.licensee] == termId &&
            LICENSE_LEDGER.hasLicense(t.datasetId, t.licensee) &&
            _isIntact(termId, t)
        ) revert NotParty(termId, msg.sender);
        if (t.units == t.reservedUnits) revert NothingLeft(termId);
        _endTerm(termId, t, "units refunded");
        return _refundUnits(termId, t);
    }

    /// @inheritdoc ILicenseSales
    function renounce(bytes32 datasetId) external nonReentrant {
        uint256 termId = _current[datasetId][msg.sender];
        StoredTerm storage t = _terms[termId];
        if (termId == 0 || !_isIntact(termId, t)) {
            // Not granted here, or by somebody who meddled with it: there is no money in it.
            LICENSE_LEDGER.revoke(datasetId, msg.sender, "renounced");
            return;
        }
        // Only what was sold here has periods: a subscription that was given or is streamed has none.
        if (t.periods != 0) {
            if (_begunPeriods(t) != t.releasedPeriods) _collect(termId, t);
            if (t.periods != t.releasedPeriods) _cancel(termId, t, true);
        }
        _endTerm(termId, t, "renounced");
        if (t.kind == ILicenseLedger.LicenseKind.PayPerCompute) _refundUnits(termId, t);
    }

    // -- modules

    /// @inheritdoc ILicenseSales
    function consumeFor(uint256 termId, uint64 units)
        external
        nonReentrant
        onlyRole(MODULE_ROLE)
        returns (uint64 left)
    {
        StoredTerm storage t = _requireTerm(termId);
        if (units == 0 || units > t.reservedUnits) revert InsufficientUnits(termId, t.reservedUnits, units);
        t.reservedUnits -= units;
        // What was ordered while the licence was valid is paid for, even if it has run out meanwhile.
        if (_isGrantedHere(t) && LICENSE_LEDGER.hasLicense(t.datasetId, t.licensee)) {
            LICENSE_LEDGER.consume(t.datasetId, t.licensee, units);
        }
        return _useUnits(termId, t, units);
    }

    /// @inheritdoc ILicenseSales
    function endFor(bytes32 datasetId, address licensee, bytes32 reason) external nonReentrant onlyRole(MODULE_ROLE) {
        uint256 termId = _current[datasetId][licensee];
        StoredTerm storage t = _terms[termId];
        if (t.module == msg.sender && !t.ended) _endTerm(termId, t, reason);
    }

    /// @inheritdoc ILicenseSales
    function distribute(uint256 offerId, address payer, address token, uint256 amount)
        external
        payable
        onlyRole(MODULE_ROLE)
    {
        _takeUp(token, amount);
        _divide(offerId, payer, token, amount, _feeOf(amount));
    }

    /// @inheritdoc ILicenseSales
    function distributeResale(
        uint256 offerId,
        address payer,
        address token,
        uint256 price,
        uint256 royalty,
        address seller
    ) external payable onlyRole(MODULE_ROLE) {
        _takeUp(token, price);
        uint256 fee = _feeOf(price);
        // Reverts if fee and royalty are more than the price.
        _credit(token, seller, price - fee - royalty);
        _divide(offerId, payer, token, royalty + fee, fee);
    }

    /// @inheritdoc ILicenseSales
    function onRefund(uint256 purchaseId, uint256, bool endsLicence) external nonReentrant onlyRole(MODULE_ROLE) {
        uint256 termId = _purchases[purchaseId].termId;
        StoredTerm storage t = _terms[termId];
        if (!endsLicence || termId == 0) return;
        if (t.prepaidId != 0 && ESCROW.amountOf(t.prepaidId) == 0) {
            (t.periods, t.units, t.reservedUnits) = (t.releasedPeriods, 0, 0);
        }
        if (!t.ended) _endTerm(termId, t, "refunded");
        // A term of another payer that was joined to this one is of the same licence.
        uint256 currentId = _current[t.datasetId][t.licensee];
        StoredTerm storage latest = _terms[currentId];
        if (!latest.ended && latest.licenseNft == t.licenseNft) _endTerm(currentId, latest, "refunded");
    }

    // -- a purchase, step by step

    function _purchase(address payer, uint256 offerId, address licensee, uint64 quantity, uint256 maxAmount)
        private
        returns (uint256 purchaseId)
    {
        Sale memory sale;
        Offer storage o = _order(offerId, quantity, maxAmount, sale);
        sale.payer = payer;
        sale.licensee = licensee;
        if (sale.amount == 0 && licensee != payer) revert GiftNotFree(offerId);
        purchaseId = ++_purchaseCount;
        sale.purchaseId = purchaseId;
        if (!_extend(o, sale)) _begin(o, sale);
        _recordPurchase(purchaseId, offerId, sale.termId, payer, quantity, false);
        if (sale.amount == 0) {
            if (msg.value != 0) revert UnexpectedAmount(address(0), 0, msg.value);
        } else {
            _settle(o, sale);
        }
        emit Purchased(
            purchaseId,
            sale.datasetId,
            licensee,
            offerId,
            payer,
            sale.token,
            sale.amount,
            quantity,
            sale.termId,
            _purchases[purchaseId].escrowId,
            _terms[sale.termId].prepaidId
        );
    }

    /// @dev Check what is ordered, and count it as sold.
    function _order(uint256 offerId, uint64 quantity, uint256 maxAmount, Sale memory sale)
        private
        returns (Offer storage o)
    {
        o = _requireOffer(offerId);
        if (o.closed) revert OfferIsClosed(offerId);
        (uint64 serial, ) = DATA_LISTING.requireAvailable(o.datasetId);
        if (serial != o.listingSerial) revert OfferOfFormerListing(offerId, o.listingSerial, serial);
        uint64 most = o.kind == ILicenseLedger.LicenseKind.OneTime ? 1 : type(uint64).max;
        if (quantity == 0 || quantity > most) revert InvalidQuantity(quantity, most);
        if (o.maxQuantity != 0 && quantity > o.maxQuantity - o.sold) {
            revert SoldOut(offerId, quantity, o.maxQuantity - o.sold);
        }
        uint256 amount = uint256(o.price) * quantity;
        if (amount > maxAmount) revert PriceTooHigh(amount, maxAmount);
        if (amount > type(uint128).max) revert ValueTooLarge(amount);
        // Units of an offer without a limit could be counted beyond 64 bits only at no price and to no end.
        if (o.maxQuantity != 0) o.sold += quantity;
        (sale.offerId, sale.datasetId, sale.token) = (offerId, o.datasetId, o.token);
        (sale.quantity, sale.amount) = (quantity, uint128(amount));
    }

    /// @dev Add to the licence that is in force, if there is one; returns whether there is.
    function _extend(Offer storage o, Sale memory sale) private returns (bool) {
        if (!LICENSE_LEDGER.hasLicense(sale.datasetId, sale.licensee)) return false;
        uint256 termId = _current[sale.datasetId][sale.licensee];
        StoredTerm storage t = _terms[termId];
        if (_makeRoom(sale, termId, t)) return false;
        // Nothing else than what this very offer has sold can be added to.
        if (
            termId == 0 ||
            t.offerId != sale.offerId ||
            t.module != address(0) ||
            (t.kind == ILicenseLedger.LicenseKind.PayPerCompute && t.payer != sale.payer) ||
            (t.kind == ILicenseLedger.LicenseKind.OneTime && (o.period == 0 || o.escrowPeriod != 0)) ||
            !_isIntact(termId, t)
        ) revert LicenseHeld(sale.datasetId, sale.licensee, termId);
        if (t.kind == ILicenseLedger.LicenseKind.OneTime) {
            sale.termId = termId;
            sale.earned = sale.amount;
            uint64 expiresAt = LICENSE_LEDGER.licenseOf(sale.datasetId, sale.licensee).expiresAt;
            LICENSE_LEDGER.extend(sale.datasetId, sale.licensee, SafeCast.toUint64(uint256(expiresAt) + o.period), 0);
            return true;
        }
        sale.prepaid = sale.amount;
        if (t.kind == ILicenseLedger.LicenseKind.Subscription) {
            _extendSubscription(o, sale, termId, t);
        } else {
            _extendUnits(o, sale, termId, t);
        }
        return true;
    }

    /// @dev What others pay for a licensee gives way to what it buys itself, if they lose nothing by it: prepaid units,
    /// which are all refunded, and licences of modules, who keep the rest of the money. So nobody can keep an account
    /// from buying by paying a little for it each time.
    function _makeRoom(Sale memory sale, uint256 termId, StoredTerm storage t) private returns (bool) {
        if (t.payer == sale.payer || sale.payer != sale.licensee || !_isIntact(termId, t)) return false;
        bool isPrepaid = t.kind == ILicenseLedger.LicenseKind.PayPerCompute && t.offerId != 0 && t.reservedUnits == 0;
        if (t.module == address(0) && !isPrepaid) return false;
        _endTerm(termId, t, "replaced");
        _refundUnits(termId, t);
        return true;
    }

    function _extendSubscription(Offer storage o, Sale memory sale, uint256 termId, StoredTerm storage t) private {
        if (t.payer == sale.payer) {
            sale.termId = termId;
            t.periods = SafeCast.toUint64(uint256(t.periods) + sale.quantity);
        } else {
            if (t.periods != _begunPeriods(t)) {
                if (sale.payer != sale.licensee) revert LicenseHeld(sale.datasetId, sale.licensee, termId);
                _cancel(termId, t, true);
            }
            // Another payer's periods follow on those that have begun, in a term of their own.
            StoredTerm storage joined = _beginTerm(sale.purchaseId, sale.datasetId, sale.licensee, sale.payer);
            sale.termId = sale.purchaseId;
            joined.offerId = t.offerId;
            joined.kind = t.kind;
            joined.startsAt = _endOf(t, o.period);
            joined.grantedAt = t.grantedAt;
            joined.periods = sale.quantity;
            joined.licenseNft = t.licenseNft;
            t = joined;
        }
        LICENSE_LEDGER.extend(sale.datasetId, sale.licensee, _endOf(t, o.period), 0);
    }

    function _extendUnits(Offer storage o, Sale memory sale, uint256 termId, StoredTerm storage t) private {
        sale.termId = termId;
        t.units = SafeCast.toUint64(uint256(t.units) + sale.quantity);
        uint64 expiresAt = LICENSE_LEDGER.licenseOf(sale.datasetId, sale.licensee).expiresAt;
        uint64 renewed = _expiryAfter(o.period);
        if (renewed > expiresAt) expiresAt = renewed;
        LICENSE_LEDGER.extend(sale.datasetId, sale.licensee, expiresAt, sale.quantity);
    }

    /// @dev Grant a new licence.
    function _begin(Offer storage o, Sale memory sale) private {
        _leaveTerm(sale.datasetId, sale.licensee);
        sale.termId = sale.purchaseId;
        StoredTerm storage t = _beginTerm(sale.purchaseId, sale.datasetId, sale.licensee, sale.payer);
        t.offerId = uint64(sale.offerId);
        ILicenseLedger.LicenseKind kind = o.kind;
        t.kind = kind;
        uint64 expiresAt = _expiryAfter(o.period);
        uint64 units = 0;
        uint128 first = sale.amount;
        if (kind == ILicenseLedger.LicenseKind.PayPerCompute) {
            first = 0;
            units = sale.quantity;
            t.units = units;
        } else if (kind == ILicenseLedger.LicenseKind.Subscription) {
            first = o.price;
            (t.periods, t.releasedPeriods) = (sale.quantity, 1);
            expiresAt = _endOf(t, o.period);
        }
        sale.prepaid = sale.amount - first;
        if (o.escrowPeriod == 0) sale.earned = first;
        else sale.escrowed = first;
        LICENSE_LEDGER.grant(sale.datasetId, sale.licensee, kind, expiresAt, units, o.termsHash);
        t.licenseNft = uint64(LICENSE_NFT.mint(sale.licensee, sale.datasetId, sale.purchaseId));
    }

    /// @dev Take the money and put it where it belongs.
    function _settle(Offer storage o, Sale memory sale) private {
        if (sale.token == address(0)) {
            if (msg.value != sale.amount) revert UnexpectedAmount(address(0), sale.amount, msg.value);
        } else {
            if (msg.value != 0) revert UnexpectedAmount(address(0), 0, msg.value);
            _pull(sale.token, sale.payer, address(this), sale.earned);
            _pull(sale.token, sale.payer, address(ESCROW), uint256(sale.escrowed) + sale.prepaid);
        }
        if (sale.earned != 0) {
            _keep(sale.token, sale.earned);
            _divide(sale.offerId, sale.payer, sale.token, sale.earned, _feeOf(sale.earned));
        }
        if (sale.escrowed != 0) {
            _purchases[sale.purchaseId].escrowId = uint64(_openEscrow(o, sale, sale.escrowed, false));
        }
        if (sale.prepaid != 0) {
            StoredTerm storage t = _terms[sale.termId];
            if (t.prepaidId == 0) {
                t.prepaidId = uint64(_openEscrow(o, sale, sale.prepaid, true));
            } else {
                uint256 value = sale.token == address(0) ? sale.prepaid : 0;
                ESCROW.topUp{value: value}(t.prepaidId, sale.purchaseId, sale.prepaid);
            }
        }
        if (address(REPUTATION) != address(0)) {
            REPUTATION.recordSale(
                _purchases[sale.purchaseId].provider,
                sale.datasetId,
                _valueOf(sale.token, sale.amount)
            );
        }
    }

    function _openEscrow(Offer storage o, Sale memory sale, uint128 amount, bool isPrepaid) private returns (uint256) {
        IEscrowPayment.EscrowInput memory input = IEscrowPayment.EscrowInput({
            offerId: sale.offerId,
            datasetId: sale.datasetId,
            purchaseId: sale.purchaseId,
            payer: sale.payer,
            licensee: sale.licensee,
            token: sale.token,
            amount: amount,
            releaseAt: uint64(block.timestamp) + o.escrowPeriod,
            metric: isPrepaid ? bytes32(0) : o.metric,
            minScore: isPrepaid ? 0 : o.minScore,
            isPrepaid: isPrepaid
        });
        return ESCROW.open{value: sale.token == address(0) ? amount : 0}(input);
    }

    /// @dev Take an ERC-20 from an account that allowed it; a token that takes a fee is refused.
    function _pull(address token, address from, address to, uint256 amount) private {
        if (amount == 0) return;
        uint256 before = IERC20(token).balanceOf(to);
        IERC20(token).safeTransferFrom(from, to, amount);
        uint256 received = IERC20(token).balanceOf(to) - before;
        if (received != amount) revert UnexpectedAmount(token, amount, received);
    }

    // -- terms

    /// @dev End a term, and its licence if that is the one in force.
    function _endTerm(uint256 termId, StoredTerm storage t, bytes32 reason) private {
        t.ended = true;
        emit TermEnded(termId, t.datasetId, t.licensee, reason);
        if (_current[t.datasetId][t.licensee] == termId && _isGrantedHere(t)) {
            LICENSE_LEDGER.revoke(t.datasetId, t.licensee, reason);
        }
    }

    /// @dev Refund the periods that have not begun (all that were not paid out, if the term is broken).
    function _cancel(uint256 termId, StoredTerm storage t, bool intact) private returns (uint256 refunded) {
        uint64 kept = intact ? _begunPeriods(t) : t.releasedPeriods;
        uint64 periods = t.periods - kept;
        t.periods = kept;
        _takeBack(t, periods);
        refunded = uint256(periods) * _priceOf(t);
        uint64 expiresAt = _endOf(t, _offers[t.offerId].period);
        emit SubscriptionCancelled(termId, periods, refunded, expiresAt);
        if (intact && _current[t.datasetId][t.licensee] == termId && _isGrantedHere(t)) {
            // The ledger shortens nothing: the licence is granted again with its new end, which is still to come.
            t.grantedAt = uint64(block.timestamp);
            bytes32 terms = _offers[t.offerId].termsHash;
            LICENSE_LEDGER.revoke(t.datasetId, t.licensee, "cancelled");
            LICENSE_LEDGER.grant(t.datasetId, t.licensee, t.kind, expiresAt, 0, terms);
        }
        if (refunded != 0) ESCROW.refundPart(t.prepaidId, uint128(refunded));
    }

    /// @dev Pay out the periods that have begun.
    function _collect(uint256 termId, StoredTerm storage t) private returns (uint256 amount) {
        uint64 begun = _begunPeriods(t);
        uint64 periods = begun - t.releasedPeriods;
        t.releasedPeriods = begun;
        amount = uint256(periods) * _priceOf(t);
        emit PeriodsCollected(termId, periods, amount);
        if (amount != 0) ESCROW.releasePart(t.prepaidId, uint128(amount));
    }

    /// @dev Pay out units that were used.
    function _useUnits(uint256 termId, StoredTerm storage t, uint64 units) private returns (uint64 left) {
        left = t.units - units;
        t.units = left;
        uint256 amount = uint256(units) * _priceOf(t);
        emit UnitsUsed(termId, units, amount, left);
        if (amount != 0) ESCROW.releasePart(t.prepaidId, uint128(amount));
    }

    /// @dev Refund the units that are not promised to an order.
    function _refundUnits(uint256 termId, StoredTerm storage t) private returns (uint256 refunded) {
        uint64 units = t.units - t.reservedUnits;
        t.units = t.reservedUnits;
        _takeBack(t, units);
        refunded = uint256(units) * _priceOf(t);
        emit UnitsRefunded(termId, units, refunded);
        if (refunded != 0) ESCROW.refundPart(t.prepaidId, uint128(refunded));
    }

    /// @dev What is refunded can be sold again: nobody can empty an offer for nothing.
    function _takeBack(StoredTerm storage t, uint64 quantity) private {
        Offer storage o = _offers[t.offerId];
        if (o.maxQuantity != 0 && t.module == address(0)) o.sold -= quantity;
    }

    function _endOf(StoredTerm storage t, uint64 period) private view returns (uint64) {
        return SafeCast.toUint64(t.startsAt + uint256(t.periods) * period);
    }

    function _expiryAfter(uint64 period) private view returns (uint64) {
        return period == 0 ? 0 : uint64(block.timestamp) + period;
    }

    /// @dev Whether the ledger's licence is the one of this term, and this contract may change it.
    function _isGrantedHere(StoredTerm storage t) private view returns (bool) {
        if (CID_REGISTRY.controllerOf(t.datasetId) != address(this)) return false;
        ILicenseLedger.License memory held = LICENSE_LEDGER.licenseOf(t.datasetId, t.licensee);
        return
            held.grantedAt == t.grantedAt &&
            held.status != ILicenseLedger.LicenseStatus.None &&
            held.status != ILicenseLedger.LicenseStatus.Revoked &&
            held.status != ILicenseLedger.LicenseStatus.Superseded;
    }

    // -- money

    /// @dev Divide money that is on the books: `fee` to the treasury, the rest among ancestors and owner.
    function _divide(uint256 offerId, address payer, address token, uint256 amount, uint256 fee) private {
        bytes32 datasetId = _requireOffer(offerId).datasetId;
        uint256 shared = amount - fee;
        uint256 royalties = 0;
        Royalty[] storage shares = _royalties[offerId];
        for (uint256 i = 0; i < shares.length; ++i) {
            (uint256 part, address owner) = _shareOf(shares[i], shared);
            if (part == 0) continue;
            royalties += part;
            _credit(token, owner, part);
            emit RoyaltyCredited(shares[i].datasetId, owner, offerId, token, part);
        }
        address provider = CID_REGISTRY.ownerOf(datasetId);
        _credit(token, provider, shared - royalties);
        if (fee != 0) _credit(token, _treasury, fee);
        _countPaid(datasetId, payer, _valueOf(token, amount));
        emit Distributed(offerId, datasetId, provider, payer, token, amount, fee, royalties);
    }

    /// @dev Reference value in wei; capped, so that no sum of them overflows a checkpoint.
    function _valueOf(address token, uint256 amount) private view returns (uint256) {
        if (token == address(0)) return amount;
        uint256 rate = _rates[token];
        return rate == 0 ? 0 : Math.min(Math.mulDiv(amount, rate, RATE_UNIT), type(uint128).max);
    }

    function _countPaid(bytes32 datasetId, address payer, uint256 value) private {
        if (value == 0) return;
        uint48 now_ = uint48(block.timestamp);
        Checkpoints.Trace208 storage trace = _paid[datasetId][payer];
        trace.push(now_, SafeCast.toUint208(trace.latest() + value));
        trace = _totalPaid[datasetId];
        trace.push(now_, SafeCast.toUint208(trace.latest() + value));
    }
}
