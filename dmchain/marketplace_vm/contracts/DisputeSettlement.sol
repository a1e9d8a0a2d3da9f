// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {DisputeBase} from "./DisputeBase.sol";
import {ILicenseManager} from "./interfaces/ILicenseManager.sol";
import {STAKING} from "./interfaces/IStaking.sol";

/// @title Drawing juries, counting votes, carrying out rulings
/// @notice The part of {DisputeResolution} that does not fit in one contract's size limit. It creates this one and reaches
/// it by delegatecall alone; called directly it finds no disputes.
contract DisputeSettlement is DisputeBase {
    constructor(Collaborators memory c) DisputeBase(c) {}

    /// @notice See {IDisputeResolution}.
    function draw(uint256 disputeId, bytes calldata header) external nonReentrant {
        Dispute storage d = _dispute(disputeId);
        _requirePhase(disputeId, d, Phase.Summoned);
        (bool isKnown, uint256 randao) = _randaoOf(d.drawBlock, header);
        if (!isKnown) {
            d.drawBlock = _nextDrawBlock();
            emit DrawPostponed(disputeId, d.drawBlock);
            return;
        }
        Parameters storage p = _parametersOf(d);
        uint256 seats = _jurySize(d);
        address[] memory drawn = _draw(randao, disputeId, seats, p.seatStake, false);
        if (drawn.length < seats) {
            for (uint256 i; i < drawn.length; ++i) {
                _unlock(drawn[i], p.seatStake);
            }
            emit JuryIncomplete(disputeId, drawn.length, seats);
            if (block.timestamp < d.summonEnds) d.phase = Phase.Evidence;
            else _endStage(disputeId, d);
            return;
        }
        uint256 round = _rounds[disputeId].length;
        Round storage r = _rounds[disputeId].push();
        r.isAppeal = d.isAppeal;
        r.seats = uint32(seats);
        for (uint256 i; i < seats; ++i) {
            if (_ballots[disputeId][round][drawn[i]].seats++ == 0) r.jurors.push(drawn[i]);
        }
        d.phase = Phase.Committing;
        d.deadline = uint64(block.timestamp) + p.commitPeriod;
        emit JuryDrawn(disputeId, round, drawn, d.deadline);
    }

    /// @notice See {IDisputeResolution}.
    function tally(uint256 disputeId) external nonReentrant {
        Dispute storage d = _dispute(disputeId);
        _requirePhase(disputeId, d, Phase.Revealing);
        uint256 round = _rounds[disputeId].length - 1;
        Round storage r = _rounds[disputeId][round];
        Parameters storage p = _parametersOf(d);
        uint64 revealEnds = d.deadline + p.revealPeriod;
        if (r.revealed + r.voided != r.committed && block.timestamp < revealEnds) {
            revert PhaseNotOver(disputeId, revealEnds);
        }
        if (uint256(r.revealed) * 2 > r.seats && r.forConsumer != r.forProvider) {
            d.ruling = r.forConsumer > r.forProvider ? Ruling.Consumer : Ruling.Provider;
            _decide(d, d.isAppeal ? 0 : p.appealPeriod);
            emit RoundTallied(disputeId, round, d.ruling, r.forConsumer, r.forProvider, d.deadline);
            return;
        }
        emit RoundTallied(disputeId, round, Ruling.None, r.forConsumer, r.forProvider, 0);
        _settleRound(disputeId, round, p, Ruling.None, 0);
        if (d.isRedraw) {
            _endStage(disputeId, d);
        } else {
            d.isRedraw = true;
            d.phase = Phase.Evidence;
            d.deadline = uint64(block.timestamp);
            d.summonEnds = d.deadline + p.summonPeriod;
        }
    }

    /// @notice See {IDisputeResolution}.
    function execute(uint256 disputeId) external nonReentrant {
        Dispute storage d = _dispute(disputeId);
        _requirePhase(disputeId, d, Phase.Decided);
        if (block.timestamp < d.deadline) revert PhaseNotOver(disputeId, d.deadline);
        d.phase = Phase.Closed;
        Parameters memory p = _parametersOf(d);
        (uint256 firstFees, uint256 appealFees, bool isAppealDecided) = _settleJuries(disputeId, d, p);
        uint256 spent = _returnDeposits(d, p, firstFees, appealFees, isAppealDecided);
        if (d.ruling == Ruling.Consumer) _compensate(disputeId, d, p, spent);
        emit DisputeExecuted(disputeId, d.ruling, d.pot);
        _letGo(disputeId, d, true);
    }

    /// @notice See {IDisputeResolution}.
    function settleEscrow(uint256 disputeId) external nonReentrant {
        Dispute storage d = _dispute(disputeId);
        _requirePhase(disputeId, d, Phase.Closed);
        if (d.escrowSettled) revert EscrowAlreadySettled(disputeId);
        this.resolveEscrow(disputeId);
        d.escrowSettled = true;
    }

    /// @notice A step of `execute` and `settleEscrow` that can fail as a whole. Only this contract calls it.
    function resolveEscrow(uint256 disputeId) external {
        if (msg.sender != address(this)) revert NotAParty(disputeId, msg.sender);
        Dispute storage d = _dispute(disputeId);
        ILicenseManager.Purchase memory bought = _licenseManager.purchaseOf(d.purchaseId);
        uint256 refundBps = d.ruling == Ruling.Consumer ? BPS : 0;
        _resolve(disputeId, bought.escrowId, refundBps);
        _resolve(disputeId, bought.prepaidId, refundBps);
    }

    /// @notice See {IDisputeResolution}.
    function setParameters(Parameters calldata parameters_) external onlyRole(DEFAULT_ADMIN_ROLE) {
        _setParameters(parameters_);
    }

    // ---------------------------------------------------------------- juries

    /// @dev No jury, or twice no majority. An appeal leaves the ruling as it was; a first stage ends without one: the
    /// deposit goes back, and the purchase can be disputed again.
    function _endStage(uint256 disputeId, Dispute storage d) private {
        if (d.isAppeal) {
            _decide(d, 0);
            return;
        }
        d.phase = Phase.Closed;
        delete _disputeOf[d.purchaseId];
        _credit(d.opener, _openingDepositOf(_parametersOf(d)));
        emit DisputeExecuted(disputeId, Ruling.None, 0);
        _letGo(disputeId, d, false);
    }

    /// @dev Free a jury. Who was silent, or voted against `ruling`, pays; that and `fees` is shared by the seats that
    /// voted for it, or by all that revealed if there is none. What nobody earned of penalties goes to the treasury.
    /// @return spent of the fees
    function _settleRound(uint256 disputeId, uint256 round, Parameters storage p, Ruling ruling, uint256 fees)
        private
        returns (uint256 spent)
    {
        Round storage r = _rounds[disputeId][round];
        r.isSettled = true;
        uint256 coherent = ruling == Ruling.None
            ? r.revealed
            : ruling == Ruling.Consumer ? r.forConsumer : r.forProvider;
        uint256 pool;
        for (uint256 i; i < r.jurors.length; ++i) {
            address juror = r.jurors[i];
            Ballot storage b = _ballots[disputeId][round][juror];
            if (b.isVoid) continue;
            uint256 bps;
            if (b.vote == Ruling.None) bps = p.silentBps;
            else if (ruling != Ruling.None && b.vote != ruling) bps = p.wrongBps;
            pool += _punish(disputeId, juror, b.seats, p, bps);
        }
        uint256 part;
        if (coherent != 0) {
            spent = fees;
            pool += fees;
            part = pool / coherent;
            for (uint256 i; i < r.jurors.length; ++i) {
                Ballot storage b = _ballots[disputeId][round][r.jurors[i]];
                if (b.vote != Ruling.None && (ruling == Ruling.None || b.vote == ruling)) {
                    _credit(r.jurors[i], part * b.seats);
                    pool -= part * b.seats;
                }
            }
        }
        _credit(_treasury, pool);
        emit JurorsSettled(disputeId, round, coherent, part);
    }

    /// @dev Settle the juries that came to a ruling: one, or with an appeal two.
    function _settleJuries(uint256 disputeId, Dispute storage d, Parameters memory p)
        private
        returns (uint256 firstFees, uint256 appealFees, bool isAppealDecided)
    {
        Round[] storage all = _rounds[disputeId];
        Parameters storage stored = _parametersOf(d);
        for (uint256 i; i < all.length; ++i) {
            if (all[i].isSettled) continue;
            uint256 spent = _settleRound(disputeId, i, stored, d.ruling, uint256(p.seatFee) * all[i].seats);
            if (all[i].isAppeal) (appealFees, isAppealDecided) = (spent, true);
            else firstFees = spent;
        }
    }

    // ---------------------------------------------------------------- parties

    function _openingDepositOf(Parameters storage p) private view returns (uint256) {
        return uint256(p.bond) + uint256(p.seatFee) * p.jurySize;
    }

    /// @dev Bonds and unspent fees. Who loses the dispute loses its bonds: the consumer's to the provider, the provider's
    /// to the pot.
    /// @return spent fees that the winning consumer has paid for juries
    function _returnDeposits(
        Dispute storage d,
        Parameters memory p,
        uint256 firstFees,
        uint256 appealFees,
        bool isAppealDecided
    ) private returns (uint256 spent) {
        bool isConsumer = d.ruling == Ruling.Consumer;
        _credit(isConsumer ? d.opener : d.provider, p.bond);
        _credit(d.opener, uint256(p.seatFee) * p.jurySize - firstFees);
        spent = firstFees;
        if (!d.isAppeal) return spent;
        uint256 bond = 2 * uint256(p.bond);
        _credit(d.appellant, uint256(p.seatFee) * (2 * uint256(p.jurySize) + 1) - appealFees);
        address winner = isConsumer ? d.opener : d.provider;
        if (!isAppealDecided || d.appellant == winner) _credit(d.appellant, bond);
        else if (isConsumer) d.pot = bond;
        else _credit(d.provider, bond);
        if (d.appellant == d.opener) spent += appealFees;
    }

    /// @dev Take stake of the provider: for the fees the consumer has spent, and for all buyers.
    function _compensate(uint256 disputeId, Dispute storage d, Parameters memory p, uint256 spent) private {
        d.paidFrom = _compensatedUntil[d.datasetId];
        uint256 damage = Math.mulDiv(_paidTotal(d), p.compensationBps, BPS);
        uint256 requested = Math.max(damage, p.minimumSlash) + spent;
        uint256 fromListing = _slashListing(d, requested);
        uint256 fromValidator = _slashValidator(disputeId, d.provider, requested - fromListing);
        emit ProviderSlashed(disputeId, d.provider, requested, fromListing, fromValidator);
        uint256 pot = d.pot + fromListing + fromValidator;
        uint256 refund = Math.min(pot, spent);
        _credit(d.opener, refund);
        pot -= refund;
        d.pot = pot;
        d.potLeft = pot;
        if (pot != 0 && d.openedAt > d.paidFrom) _compensatedUntil[d.datasetId] = d.openedAt;
    }

    function _slashListing(Dispute storage d, uint256 requested) private returns (uint256 slashed) {
        uint256 before = address(this).balance;
        _providerStake.slash(d.datasetId, d.provider, requested, address(this));
        slashed = address(this).balance - before;
        _fund(slashed);
    }

    /// @dev The chain's own stake, which arrives here without a call. Most providers are no validators.
    function _slashValidator(uint256 disputeId, address provider, uint256 requested) private returns (uint256 slashed) {
        if (requested == 0) return 0;
        _requireGas();
        uint256 before = address(this).balance;
        address[] memory beneficiaries = new address[](1);
        beneficiaries[0] = address(this);
        try STAKING.slashForData(provider, requested, beneficiaries) {
            slashed = address(this).balance - before;
            _fund(slashed);
        } catch (bytes memory reason) {
            emit ValidatorSlashFailed(disputeId, reason);
        }
    }

    // ---------------------------------------------------------------- the rest of the market

    function _resolve(uint256 disputeId, uint256 escrowId, uint256 refundBps) private {
        if (escrowId == 0 || _frozenBy[escrowId] != disputeId) return;
        delete _frozenBy[escrowId];
        emit EscrowSettled(disputeId, escrowId, _escrow.resolve(escrowId, refundBps));
    }

    /// @dev Let go of everything that the dispute held outside of this contract.
    function _letGo(uint256 disputeId, Dispute storage d, bool isDecided) private {
        _providerStake.unlock(d.datasetId, d.provider);
        _requireGas();
        try this.resolveEscrow(disputeId) {
            d.escrowSettled = true;
        } catch (bytes memory reason) {
            emit EscrowFailed(disputeId, reason);
        }
        if (!isDecided) return;
        _requireGas();
        try _reputation.recordDispute(d.provider, d.datasetId, d.ruling == Ruling.Consumer) {}
        catch (bytes memory reason) {
            emit ReputationFailed(disputeId, reason);
        }
    }
}
