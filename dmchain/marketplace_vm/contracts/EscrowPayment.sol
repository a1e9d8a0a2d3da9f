// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {AccessControlUpgradeable} from "@openzeppelin/contracts-upgradeable/access/AccessControlUpgradeable.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {PullPayments} from "./PullPayments.sol";
import {CID_REGISTRY, ICidRegistry} from "./interfaces/ICidRegistry.sol";
import {IEscrowPayment} from "./interfaces/IEscrowPayment.sol";
import {ILicenseManager} from "./interfaces/ILicenseManager.sol";
import {IQualityOracle} from "./interfaces/IQualityOracle.sol";
import {IReputation} from "./interfaces/IReputation.sol";

/// @title Escrow of all money of the market that is not earned yet
/// @notice See {IEscrowPayment}. INVARIANT: for each token, the sum of `amount` over escrows that are not closed and of
/// all that is owed equals `held(token)`, which is at most the balance.
contract EscrowPayment is AccessControlUpgradeable, PullPayments, IEscrowPayment {
    uint256 private constant BPS = 10_000;

    ILicenseManager private _manager;
    address private _disputes;
    IQualityOracle private _oracle;
    IReputation private _reputation;
    uint256 private _count;
    mapping(uint256 escrowId => Escrow) private _escrows;

    modifier onlyManager() {
        if (msg.sender != address(_manager)) revert NotLicenseManager(msg.sender, address(_manager));
        _;
    }

    modifier onlyDisputes() {
        if (msg.sender != _disputes) revert NotDisputeResolution(msg.sender, _disputes);
        _;
    }

    /// @custom:oz-upgrades-unsafe-allow constructor
    constructor() {
        _disableInitializers();
    }

    /// @param admin gets DEFAULT_ADMIN_ROLE
    /// @param reputation_ may be zero: then confirmed deliveries are not counted
    function initialize(address admin, address manager, address disputes, address oracle, address reputation_)
        external
        initializer
    {
        if (admin == address(0)) revert InvalidAccount(admin);
        if (manager == address(0)) revert InvalidAccount(manager);
        _grantRole(DEFAULT_ADMIN_ROLE, admin);
        _manager = ILicenseManager(manager);
        _setDisputes(disputes);
        _setOracle(oracle);
        _setReputation(reputation_);
    }

    // -- by the LicenseManager

    /// @inheritdoc IEscrowPayment
    function open(EscrowInput calldata input) external payable onlyManager nonReentrant returns (uint256 escrowId) {
        if (input.payer == address(0)) revert InvalidAccount(input.payer);
        if (input.minScore > BPS) revert InvalidScore(input.minScore, BPS);
        ICidRegistry.Dataset memory dataset = CID_REGISTRY.dataset(input.datasetId);
        if (dataset.status != ICidRegistry.DatasetStatus.Active) revert DatasetVoid(input.datasetId);
        escrowId = ++_count;
        if (input.amount == 0) revert InvalidAmount(escrowId, 0, type(uint128).max);
        Escrow storage e = _escrows[escrowId];
        e.offerId = input.offerId;
        e.datasetId = input.datasetId;
        e.purchaseId = input.purchaseId;
        e.metric = input.metric;
        e.payer = input.payer;
        e.openedAt = uint64(block.timestamp);
        e.minScore = input.minScore;
        e.state = EscrowState.Open;
        e.licensee = input.licensee;
        // While an earlier commitment can take the data set over, the seller may not be whose content it is.
        e.releaseAt = input.releaseAt > dataset.contestableUntil ? input.releaseAt : dataset.contestableUntil;
        e.isPrepaid = input.isPrepaid;
        e.token = input.token;
        e.contestableUntil = dataset.contestableUntil;
        e.amount = input.amount;
        e.registeredBlock = dataset.registeredBlock;
        emit EscrowOpened(
            escrowId,
            input.datasetId,
            input.payer,
            input.purchaseId,
            input.licensee,
            input.token,
            input.amount,
            e.releaseAt,
            input.isPrepaid
        );
        _takeUp(input.token, input.amount);
    }

    /// @inheritdoc IEscrowPayment
    function topUp(uint256 escrowId, uint256 purchaseId, uint128 amount) external payable onlyManager nonReentrant {
        Escrow storage e = _prepaid(escrowId);
        _checkSound(e);
        if (amount == 0) revert InvalidAmount(escrowId, 0, type(uint128).max);
        e.amount += amount;
        emit EscrowToppedUp(escrowId, purchaseId, amount, e.amount);
        _takeUp(e.token, amount);
    }

    /// @inheritdoc IEscrowPayment
    function releasePart(uint256 escrowId, uint128 amount) external onlyManager nonReentrant {
        Escrow storage e = _prepaid(escrowId);
        _checkAmount(escrowId, e, amount);
        _checkSound(e);
        _release(escrowId, e, amount, Cause.Manager);
    }

    /// @inheritdoc IEscrowPayment
    function refundPart(uint256 escrowId, uint128 amount) external onlyManager nonReentrant {
        Escrow storage e = _prepaid(escrowId);
        _checkAmount(escrowId, e, amount);
        _refund(escrowId, e, amount, Cause.Manager);
    }

    // -- by buyers, providers and anyone

    /// @inheritdoc IEscrowPayment
    function confirm(uint256 escrowId) external nonReentrant {
        Escrow storage e = _purchase(escrowId);
        if (msg.sender != e.payer && msg.sender != e.licensee) revert NotParty(escrowId, msg.sender, e.payer);
        _checkSound(e);
        if (address(_reputation) != address(0)) {
            // Who sold it, not who owns the data set by now.
            _reputation.recordDelivery(_manager.purchaseOf(e.purchaseId).provider, e.datasetId);
        }
        _release(escrowId, e, e.amount, Cause.Confirmed);
    }

    /// @inheritdoc IEscrowPayment
    function release(uint256 escrowId) external nonReentrant {
        Escrow storage e = _purchase(escrowId);
        _checkSound(e);
        bool isConditional = e.metric != 0;
        if (isConditional && !e.conditionMet) revert ConditionOpen(escrowId, e.metric, e.minScore);
        uint64 earliest = e.conditionMet ? e.contestableUntil : e.releaseAt;
        if (block.timestamp < earliest) revert TooEarly(escrowId, uint64(block.timestamp), earliest);
        _release(escrowId, e, e.amount, isConditional ? Cause.ScoreMet : Cause.DeadlinePassed);
    }

    /// @inheritdoc IEscrowPayment
    function settleByOracle(uint256 escrowId) external nonReentrant {
        Escrow storage e = _purchase(escrowId);
        if (e.metric == 0 || e.conditionMet) revert NoCondition(escrowId);
        _checkSound(e);
        (uint256 score, uint64 measuredAt) = _score(e);
        if (measuredAt <= e.openedAt) revert ScoreMissing(escrowId, measuredAt, e.openedAt);
        if (score < e.minScore) {
            _refundAndTell(escrowId, e, e.amount, Cause.ScoreUnmet, true);
            return;
        }
        e.conditionMet = true;
        emit ConditionMet(escrowId, score, e.minScore);
        if (block.timestamp >= e.contestableUntil) _release(escrowId, e, e.amount, Cause.ScoreMet);
    }

    /// @inheritdoc IEscrowPayment
    function refundUnanswered(uint256 escrowId) external nonReentrant {
        Escrow storage e = _purchase(escrowId);
        if (msg.sender != e.payer) revert NotParty(escrowId, msg.sender, e.payer);
        if (e.metric == 0 || e.conditionMet) revert NoCondition(escrowId);
        if (block.timestamp < e.releaseAt) revert TooEarly(escrowId, uint64(block.timestamp), e.releaseAt);
        (uint256 score, uint64 measuredAt) = _score(e);
        if (measuredAt > e.openedAt) revert ScorePresent(escrowId, score);
        _refundAndTell(escrowId, e, e.amount, Cause.ScoreMissing, true);
    }

    /// @inheritdoc IEscrowPayment
    function refund(uint256 escrowId, uint128 amount) external nonReentrant {
        Escrow storage e = _purchase(escrowId);
        address owner = CID_REGISTRY.ownerOf(e.datasetId);
        if (msg.sender != owner) revert NotParty(escrowId, msg.sender, owner);
        _checkAmount(escrowId, e, amount);
        _refundAndTell(escrowId, e, amount, Cause.ProviderRefund, amount == e.amount);
    }

    /// @inheritdoc IEscrowPayment
    function refundVoid(uint256 escrowId) external nonReentrant {
        Escrow storage e = _known(escrowId);
        if (e.state == EscrowState.Closed) revert NotOpen(escrowId, e.state);
        if (!_isVoid(e)) revert DatasetNotVoid(e.datasetId);
        // A prepaid account may have been used up before: it is closed all the same.
        _refundAndTell(escrowId, e, e.amount, Cause.DatasetVoid, true);
    }

    // -- by DisputeResolution

    /// @inheritdoc IEscrowPayment
    function freeze(uint256 escrowId) external onlyDisputes nonReentrant returns (uint128 amount) {
        Escrow storage e = _known(escrowId);
        if (e.state == EscrowState.Closed) return 0;
        if (e.state != EscrowState.Open) revert NotOpen(escrowId, e.state);
        e.state = EscrowState.Frozen;
        amount = e.amount;
        emit EscrowFrozen(escrowId, amount);
    }

    /// @inheritdoc IEscrowPayment
    function resolve(uint256 escrowId, uint256 refundBps)
        external
        onlyDisputes
        nonReentrant
        returns (uint256 refunded)
    {
        if (refundBps > BPS) revert InvalidBps(refundBps, BPS);
        Escrow storage e = _known(escrowId);
        if (e.state != EscrowState.Frozen) return 0;
        e.state = EscrowState.Open;
        uint128 amount = e.amount;
        if (refundBps > 0) refunded = Math.mulDiv(amount, refundBps, BPS, Math.Rounding.Ceil);
        bool isVoid_ = _isVoid(e);
        if (isVoid_ || (e.isPrepaid && refundBps > 0)) refunded = amount;
        // What the jury left to the provider is no longer conditional, but waits while the data set is contestable.
        bool isReleased = refundBps > 0 && refunded < amount && block.timestamp >= e.contestableUntil;
        if (refundBps > 0 && refunded < amount && !isReleased) {
            e.metric = 0;
            e.releaseAt = e.contestableUntil;
        }
        emit EscrowResolved(escrowId, refundBps, refunded, isReleased ? amount - refunded : 0);
        if (refunded > 0) {
            Cause cause = isVoid_ ? Cause.DatasetVoid : Cause.Dispute;
            _refundAndTell(escrowId, e, uint128(refunded), cause, refunded == amount);
        }
        if (isReleased) _release(escrowId, e, e.amount, Cause.Dispute);
    }

    // -- administration

    /// @inheritdoc IEscrowPayment
    function setDisputeResolution(address disputes) external onlyRole(DEFAULT_ADMIN_ROLE) {
        _setDisputes(disputes);
    }

    /// @inheritdoc IEscrowPayment
    function setQualityOracle(address oracle) external onlyRole(DEFAULT_ADMIN_ROLE) {
        _setOracle(oracle);
    }

    /// @inheritdoc IEscrowPayment
    function setReputation(address reputation_) external onlyRole(DEFAULT_ADMIN_ROLE) {
        _setReputation(reputation_);
    }

    // -- views

    /// @inheritdoc IEscrowPayment
    function escrow(uint256 escrowId) external view returns (Escrow memory) {
        return _known(escrowId);
    }

    /// @inheritdoc IEscrowPayment
    function amountOf(uint256 escrowId) external view returns (uint128) {
        return _escrows[escrowId].amount;
    }

    /// @inheritdoc IEscrowPayment
    function isVoid(uint256 escrowId) external view returns (bool) {
        return _isVoid(_known(escrowId));
    }

    /// @inheritdoc IEscrowPayment
    function escrowCount() external view returns (uint256) {
        return _count;
    }

    /// @inheritdoc IEscrowPayment
    function licenseManager() external view returns (address) {
        return address(_manager);
    }

    /// @inheritdoc IEscrowPayment
    function disputeResolution() external view returns (address) {
        return _disputes;
    }

    /// @inheritdoc IEscrowPayment
    function qualityOracle() external view returns (address) {
        return address(_oracle);
    }

    /// @inheritdoc IEscrowPayment
    function reputation() external view returns (address) {
        return address(_reputation);
    }

    // -- internals

    /// @dev Send a part to be distributed. The books are done before money moves.
    function _release(uint256 escrowId, Escrow storage e, uint128 amount, Cause cause) private {
        uint128 left = e.amount - amount;
        e.amount = left;
        e.released += amount;
        if (!e.isPrepaid && left == 0) e.state = EscrowState.Closed;
        (uint256 offerId, address payer, address token) = (e.offerId, e.payer, e.token);
        _giveUp(token, amount);
        emit EscrowReleased(escrowId, cause, amount, left);
        if (token == address(0)) {
            _manager.distribute{value: amount}(offerId, payer, token, amount);
        } else {
            _send(token, address(_manager), amount);
            _manager.distribute(offerId, payer, token, amount);
        }
    }

    /// @dev Credit a part to the payer, and tell the LicenseManager, which did not ask for it.
    function _refundAndTell(uint256 escrowId, Escrow storage e, uint128 amount, Cause cause, bool endsLicence) private {
        _refund(escrowId, e, amount, cause);
        if (endsLicence) e.state = EscrowState.Closed;
        _manager.onRefund(e.purchaseId, amount, endsLicence);
    }

    function _refund(uint256 escrowId, Escrow storage e, uint128 amount, Cause cause) private {
        uint128 left = e.amount - amount;
        e.amount = left;
        e.refunded += amount;
        _credit(e.token, e.payer, amount);
        emit EscrowRefunded(escrowId, e.payer, cause, amount, left);
    }

    function _setDisputes(address disputes) private {
        _disputes = disputes;
        emit DisputeResolutionChanged(disputes);
    }

    function _setOracle(address oracle) private {
        _oracle = IQualityOracle(oracle);
        emit QualityOracleChanged(oracle);
    }

    function _setReputation(address reputation_) private {
        _reputation = IReputation(reputation_);
        emit ReputationChanged(reputation_);
    }

    function _known(uint256 escrowId) private view returns (Escrow storage e) {
        e = _escrows[escrowId];
        if (e.state == EscrowState.None) revert UnknownEscrow(escrowId);
    }

    /// @dev An open escrow of a purchase.
    function _purchase(uint256 escrowId) private view returns (Escrow storage e) {
        e = _known(escrowId);
        if (e.isPrepaid) revert PrepaidAccount(escrowId);
        if (e.state != EscrowState.Open) revert NotOpen(escrowId, e.state);
    }

    /// @dev An open prepaid account.
    function _prepaid(uint256 escrowId) private view returns (Escrow storage e) {
        e = _known(escrowId);
        if (!e.isPrepaid) revert NotPrepaid(escrowId);
        if (e.state != EscrowState.Open) revert NotOpen(escrowId, e.state);
    }

    function _checkAmount(uint256 escrowId, Escrow storage e, uint128 amount) private view {
        if (amount == 0 || amount > e.amount) revert InvalidAmount(escrowId, amount, e.amount);
    }

    function _checkSound(Escrow storage e) private view {
        if (_isVoid(e)) revert DatasetVoid(e.datasetId);
    }

    /// @dev A claim dates the data set back to its commitment, so to an earlier block: no two registrations share one.
    /// And whoever takes the licence back, as a seller can after delisting, shall not be paid for it.
    function _isVoid(Escrow storage e) private view returns (bool) {
        ICidRegistry.Dataset memory dataset = CID_REGISTRY.dataset(e.datasetId);
        bool isSound = dataset.status == ICidRegistry.DatasetStatus.Active;
        if (!isSound || dataset.registeredBlock != e.registeredBlock) return true;
        // Of prepaid accounts the LicenseManager releases nothing then, and keeps what is left for a cancellation.
        return !e.isPrepaid && _manager.isBroken(_manager.purchaseOf(e.purchaseId).termId);
    }

    /// @return score the latest of the agreed metric
    /// @return measuredAt 0 when there is none
    function _score(Escrow storage e) private view returns (uint256 score, uint64 measuredAt) {
        if (address(_oracle) != address(0)) (score, measuredAt, ) = _oracle.scoreOf(e.datasetId, e.metric);
    }
}
