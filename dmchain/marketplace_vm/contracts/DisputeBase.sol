// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {CID_REGISTRY} from "./interfaces/ICidRegistry.sol";
import {IDisputeTypes} from "./interfaces/IDisputeTypes.sol";
import {IEscrowPayment} from "./interfaces/IEscrowPayment.sol";
import {ILicenseManager} from "./interfaces/ILicenseManager.sol";
import {IProviderStake} from "./interfaces/IProviderStake.sol";
import {IReputation} from "./interfaces/IReputation.sol";
import {StakePoolBase} from "./StakePoolBase.sol";

/// @title State of disputes
/// @notice What {DisputeResolution} and {DisputeSettlement} share: one storage, and the rules both need. Neither may add
/// state of its own.
abstract contract DisputeBase is IDisputeTypes, StakePoolBase {
    uint256 private constant MAX_JURY = 15;
    uint64 private constant MAX_PERIOD = 90 days;
    /// @dev Gas that must be left for calls to other contracts, lest they be starved on purpose: they are caught.
    uint256 private constant GAS_FOR_CALLS = 1_500_000;

    ILicenseManager internal immutable _licenseManager;
    IEscrowPayment internal immutable _escrow;
    IProviderStake internal immutable _providerStake;
    IReputation internal immutable _reputation;

    Parameters[] internal _parameters;
    /// @dev Dispute n is at n - 1.
    Dispute[] internal _disputes;
    mapping(uint256 disputeId => Round[]) internal _rounds;
    mapping(uint256 disputeId => mapping(uint256 round => mapping(address juror => Ballot))) internal _ballots;
    mapping(uint256 purchaseId => uint256 disputeId) internal _disputeOf;
    /// @dev Which dispute froze an escrow: a prepaid account can serve several purchases.
    mapping(uint256 escrowId => uint256 disputeId) internal _frozenBy;
    mapping(uint256 disputeId => mapping(address account => bool)) internal _hasClaimed;
    /// @dev Payments for a data set until then were compensated already.
    mapping(bytes32 datasetId => uint256 timepoint) internal _compensatedUntil;

    constructor(Collaborators memory c) {
        if (c.licenseManager == address(0)) revert InvalidAddress(c.licenseManager);
        if (c.escrow == address(0)) revert InvalidAddress(c.escrow);
        if (c.providerStake == address(0)) revert InvalidAddress(c.providerStake);
        if (c.reputation == address(0)) revert InvalidAddress(c.reputation);
        _licenseManager = ILicenseManager(c.licenseManager);
        _escrow = IEscrowPayment(c.escrow);
        _providerStake = IProviderStake(c.providerStake);
        _reputation = IReputation(c.reputation);
    }

    function _current() internal view returns (Parameters storage) {
        return _parameters[_parameters.length - 1];
    }

    function _parametersOf(Dispute storage d) internal view returns (Parameters storage) {
        return _parameters[d.version - 1];
    }

    function _dispute(uint256 disputeId) internal view returns (Dispute storage) {
        if (disputeId == 0 || disputeId > _disputes.length) revert UnknownDispute(disputeId);
        return _disputes[disputeId - 1];
    }

    /// @dev Committing turns into revealing by time alone.
    function _phase(Dispute storage d) internal view returns (Phase) {
        return d.phase == Phase.Committing && block.timestamp >= d.deadline ? Phase.Revealing : d.phase;
    }

    function _requirePhase(uint256 disputeId, Dispute storage d, Phase expected) internal view {
        Phase phase_ = _phase(d);
        if (phase_ != expected) revert WrongPhase(disputeId, phase_);
    }

    function _jurySize(Dispute storage d) internal view returns (uint256) {
        uint256 size = _parametersOf(d).jurySize;
        return d.isAppeal ? 2 * size + 1 : size;
    }

    function _decide(Dispute storage d, uint64 appealPeriod) internal {
        d.phase = Phase.Decided;
        // Payments up to the opening can be summed up from the second after it on.
        d.deadline = uint64(Math.max(block.timestamp + appealPeriod, d.openedAt + 1));
    }

    function _mayServe(uint256 disputeId, address account) internal view override returns (bool) {
        Dispute storage d = _dispute(disputeId);
        return !_isParty(d, account) && account != CID_REGISTRY.ownerOf(d.datasetId)
            && _licenseManager.paidAt(d.datasetId, account, block.timestamp - 1) == 0;
    }

    function _isParty(Dispute storage d, address account) internal view returns (bool) {
        return account == d.opener || account == d.payer || account == d.licensee || account == d.provider;
    }

    /// @dev Free a juror's seats and take the penalty out of what was locked for them.
    function _punish(uint256 disputeId, address juror, uint256 seats, Parameters storage p, uint256 bps)
        internal
        returns (uint256 penalty)
    {
        uint256 locked = uint256(p.seatStake) * seats;
        _unlock(juror, locked);
        penalty = locked * bps / BPS;
        _slash(juror, disputeId, penalty);
    }

    /// @dev What all had paid, less what was compensated before; 0 when the dispute is older than that.
    function _paidTotal(Dispute storage d) internal view returns (uint256) {
        if (d.openedAt <= d.paidFrom) return 0;
        uint256 before = d.paidFrom == 0 ? 0 : _licenseManager.totalPaidAt(d.datasetId, d.paidFrom);
        return _licenseManager.totalPaidAt(d.datasetId, d.openedAt) - before;
    }

    function _requireGas() internal view {
        if (gasleft() < GAS_FOR_CALLS) revert NotEnoughGas(gasleft(), GAS_FOR_CALLS);
    }

    function _minimumStake() internal view override returns (uint128) {
        return _current().minimumStake;
    }

    function _leaveDelay() internal view override returns (uint64) {
        return _current().leaveDelay;
    }

    function _setParameters(Parameters memory p) internal {
        if (
            p.jurySize % 2 == 0 || p.jurySize > MAX_JURY || p.wrongBps > BPS || p.silentBps > BPS || p.seatStake == 0
                || p.minimumStake < p.seatStake || p.evidencePeriod > MAX_PERIOD || p.summonPeriod > MAX_PERIOD
                || p.commitPeriod == 0 || p.commitPeriod > MAX_PERIOD || p.revealPeriod == 0
                || p.revealPeriod > MAX_PERIOD || p.appealPeriod > MAX_PERIOD || p.leaveDelay > MAX_PERIOD
                || p.openWindow > 10 * 365 days || p.bond > type(uint96).max || p.seatFee > type(uint96).max
                || p.seatStake > type(uint96).max || p.minimumSlash > type(uint96).max
        ) revert InvalidParameters();
        _parameters.push(p);
        emit ParametersChanged(uint32(_parameters.length), p);
    }
}
