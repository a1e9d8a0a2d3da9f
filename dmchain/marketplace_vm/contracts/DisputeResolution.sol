// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {DisputeBase} from "./DisputeBase.sol";
import {DisputeSettlement} from "./DisputeSettlement.sol";
import {IDisputeResolution} from "./interfaces/IDisputeResolution.sol";
import {ILicenseManager} from "./interfaces/ILicenseManager.sol";
import {StakePool} from "./StakePool.sol";

/// @title Disputes about licences
/// @notice See {IDisputeResolution}. A dispute passes Evidence, Summoned, Committing and Revealing once for each jury, and
/// ends in Closed: by a ruling that is final, or without one when two juries in turn had no majority or none was found.
contract DisputeResolution is IDisputeResolution, DisputeBase, StakePool {
    uint256 private constant MAX_CID_BYTES = 128;
    DisputeSettlement private immutable _settlement;

    constructor(address admin, address treasury_, Collaborators memory c, Parameters memory parameters_)
        StakePool(admin, treasury_)
        DisputeBase(c)
    {
        _setParameters(parameters_);
        _settlement = new DisputeSettlement(c);
    }

    /// @dev Slashed stake behind listings arrives here; that of validators arrives without a call.
    receive() external payable {
        if (msg.sender != address(_providerStake)) revert NotAcceptingCoin(msg.sender);
    }

    // ---------------------------------------------------------------- parties

    /// @inheritdoc IDisputeResolution
    function open(uint256 purchaseId, bytes calldata evidenceCid)
        external
        payable
        nonReentrant
        returns (uint256 disputeId)
    {
        _checkEvidence(evidenceCid);
        ILicenseManager.Purchase memory bought = _licenseManager.purchaseOf(purchaseId);
        if (msg.sender != bought.payer && msg.sender != bought.licensee) revert NotAParty(purchaseId, msg.sender);
        if (_disputeOf[purchaseId] != 0) revert AlreadyDisputed(purchaseId, _disputeOf[purchaseId]);
        if (msg.value != openingDeposit()) revert WrongDeposit(msg.value, openingDeposit());
        // Streams and datatokens are paid elsewhere; what was paid there is known as well.
        if (
            bought.amount == 0
                && _licenseManager.paidAt(bought.datasetId, bought.payer, block.timestamp - 1) == 0
        ) revert NothingPaid(purchaseId);
        _fund(msg.value);

        Dispute storage d = _disputes.push();
        disputeId = _disputes.length;
        _disputeOf[purchaseId] = disputeId;
        Parameters storage p = _current();
        d.purchaseId = purchaseId;
        d.datasetId = bought.datasetId;
        d.opener = msg.sender;
        d.phase = Phase.Evidence;
        d.version = uint32(_parameters.length);
        d.provider = bought.provider;
        d.payer = bought.payer;
        d.licensee = bought.licensee;
        d.openedAt = uint64(block.timestamp);
        d.deadline = d.openedAt + p.evidencePeriod;
        d.summonEnds = d.deadline + p.summonPeriod;

        uint256 frozen = _freeze(disputeId, purchaseId, bought.escrowId);
        if (bought.prepaidId != bought.escrowId) frozen += _freeze(disputeId, purchaseId, bought.prepaidId);
        if (frozen == 0 && block.timestamp > bought.boughtAt + p.openWindow) {
            revert TooLateToOpen(purchaseId, bought.boughtAt + p.openWindow);
        }
        _providerStake.lock(d.datasetId, d.provider);
        emit DisputeOpened(
            disputeId, d.datasetId, msg.sender, purchaseId, d.provider, msg.value, frozen, evidenceCid, d.deadline
        );
    }

    /// @inheritdoc IDisputeResolution
    function addEvidence(uint256 disputeId, bytes calldata evidenceCid) external {
        Dispute storage d = _dispute(disputeId);
        Phase phase_ = _phase(d);
        if (phase_ == Phase.Decided || phase_ == Phase.Closed) revert WrongPhase(disputeId, phase_);
        if (!_isParty(d, msg.sender)) revert NotAParty(disputeId, msg.sender);
        _addEvidence(disputeId, evidenceCid);
    }

    /// @inheritdoc IDisputeResolution
    function concede(uint256 disputeId) external {
        Dispute storage d = _dispute(disputeId);
        if (msg.sender != d.provider) revert NotAParty(disputeId, msg.sender);
        if (d.phase != Phase.Evidence || d.isAppeal || d.isRedraw) revert WrongPhase(disputeId, d.phase);
        d.ruling = Ruling.Consumer;
        // Who concedes saves the jury's fees, but no time: else a provider could get bonded stake out at once, by a dispute
        // with itself.
        Parameters storage p = _parametersOf(d);
        _decide(d, p.evidencePeriod + p.commitPeriod + p.revealPeriod + p.appealPeriod);
        emit Conceded(disputeId, msg.sender, d.deadline);
    }

    /// @inheritdoc IDisputeResolution
    function appeal(uint256 disputeId, bytes calldata evidenceCid) external payable nonReentrant {
        Dispute storage d = _dispute(disputeId);
        _requirePhase(disputeId, d, Phase.Decided);
        if (d.isAppeal) revert AlreadyAppealed(disputeId);
        if (_rounds[disputeId].length == 0) revert WasConceded(disputeId);
        if (block.timestamp >= d.deadline) revert PhaseOver(disputeId, d.deadline);
        address loser = d.ruling == Ruling.Consumer ? d.provider : d.opener;
        if (msg.sender != loser) revert NotTheLoser(disputeId, msg.sender, loser);
        if (msg.value != appealDeposit(disputeId)) revert WrongDeposit(msg.value, appealDeposit(disputeId));
        _fund(msg.value);
        d.isAppeal = true;
        d.isRedraw = false;
        d.appellant = msg.sender;
        Parameters storage p = _parametersOf(d);
        d.phase = Phase.Evidence;
        d.deadline = uint64(block.timestamp) + p.evidencePeriod;
        d.summonEnds = d.deadline + p.summonPeriod;
        emit Appealed(disputeId, msg.sender, msg.value);
        _addEvidence(disputeId, evidenceCid);
    }

    // ---------------------------------------------------------------- jury

    /// @inheritdoc IDisputeResolution
    function summon(uint256 disputeId) external {
        Dispute storage d = _dispute(disputeId);
        _requirePhase(disputeId, d, Phase.Evidence);
        if (block.timestamp < d.deadline) revert PhaseNotOver(disputeId, d.deadline);
        d.phase = Phase.Summoned;
        d.drawBlock = _announceDraw();
        emit JurySummoned(disputeId, _jurySize(d), d.drawBlock);
    }

    /// @inheritdoc IDisputeResolution
    function commitVote(uint256 disputeId, bytes32 commitment) external {
        Dispute storage d = _dispute(disputeId);
        (uint256 round, Round storage r, Ballot storage b) = _ballotOf(disputeId, d, msg.sender, Phase.Committing);
        if (commitment == 0) revert EmptyCommitment();
        if (b.commitment != 0) revert AlreadyVoted(disputeId, msg.sender);
        b.commitment = commitment;
        r.committed += b.seats;
        emit VoteCommitted(disputeId, round, msg.sender, commitment);
        if (r.committed == r.seats) {
            // `deadline` is always the end of committing; revealing lasts a period more.
            d.deadline = uint64(block.timestamp);
            emit RevealOpened(disputeId, round, d.deadline + _parametersOf(d).revealPeriod);
        }
    }

    /// @inheritdoc IDisputeResolution
    function revealVote(uint256 disputeId, Ruling vote, bytes32 salt) external {
        Dispute storage d = _dispute(disputeId);
        (uint256 round, Round storage r, Ballot storage b) = _ballotOf(disputeId, d, msg.sender, Phase.Revealing);
        uint64 revealEnds = d.deadline + _parametersOf(d).revealPeriod;
        if (block.timestamp >= revealEnds) revert PhaseOver(disputeId, revealEnds);
        _openBallot(disputeId, round, msg.sender, b, vote, salt);
        b.vote = vote;
        r.revealed += b.seats;
        if (vote == Ruling.Consumer) r.forConsumer += b.seats;
        else r.forProvider += b.seats;
        emit VoteRevealed(disputeId, round, msg.sender, vote, b.seats);
    }

    /// @inheritdoc IDisputeResolution
    function denounce(uint256 disputeId, address juror, Ruling vote, bytes32 salt) external nonReentrant {
        Dispute storage d = _dispute(disputeId);
        (uint256 round, Round storage r, Ballot storage b) = _ballotOf(disputeId, d, juror, Phase.Committing);
        _openBallot(disputeId, round, juror, b, vote, salt);
        b.isVoid = true;
        r.voided += b.seats;
        Parameters storage p = _parametersOf(d);
        uint256 penalty = _punish(disputeId, juror, b.seats, p, p.silentBps);
        uint256 reward = penalty / 2;
        _credit(msg.sender, reward);
        _credit(_treasury, penalty - reward);
        emit VoteDenounced(disputeId, round, juror, msg.sender, penalty, reward);
    }

    // ---------------------------------------------------------------- in DisputeSettlement

    /// @inheritdoc IDisputeResolution
    function draw(uint256, bytes calldata) external {
        _delegate();
    }

    /// @inheritdoc IDisputeResolution
    function tally(uint256) external {
        _delegate();
    }

    /// @inheritdoc IDisputeResolution
    function execute(uint256) external {
        _delegate();
    }

    /// @inheritdoc IDisputeResolution
    function settleEscrow(uint256) external {
        _delegate();
    }

    /// @inheritdoc IDisputeResolution
    function resolveEscrow(uint256) external {
        _delegate();
    }

    /// @inheritdoc IDisputeResolution
    function setParameters(Parameters calldata) external {
        _delegate();
    }

    /// @dev Run the same function of {DisputeSettlement} on this contract's storage, and return or revert as it does.
    function _delegate() private {
        address target = address(_settlement);
        assembly ("memory-safe") {
            let data := mload(0x40)
            calldatacopy(data, 0, calldatasize())
            let isDone := delegatecall(gas(), target, data, calldatasize(), 0, 0)
            returndatacopy(data, 0, returndatasize())
            switch isDone
            case 0 { revert(data, returndatasize()) }
            default { return(data, returndatasize()) }
        }
    }

    // ---------------------------------------------------------------- compensation

    /// @inheritdoc IDisputeResolution
    function claim(uint256 disputeId, address account) external nonReentrant returns (uint256 amount) {
        if (_hasClaimed[disputeId][account]) revert AlreadyClaimed(disputeId, account);
        amount = claimable(disputeId, account);
        if (amount == 0) revert NothingToClaim(disputeId, account);
        _hasClaimed[disputeId][account] = true;
        _dispute(disputeId).potLeft -= amount;
        _spend(amount);
        emit CompensationClaimed(disputeId, account, amount);
        Address.sendValue(payable(account), amount);
    }

    // ---------------------------------------------------------------- views

    /// @inheritdoc IDisputeResolution
    function dispute(uint256 disputeId) external view returns (Dispute memory result) {
        Dispute storage d = _dispute(disputeId);
        result = d;
        result.phase = _phase(d);
        if (result.phase == Phase.Revealing) result.deadline += _parametersOf(d).revealPeriod;
    }

    /// @inheritdoc IDisputeResolution
    function disputeCount() external view returns (uint256) {
        return _disputes.length;
    }

    /// @inheritdoc IDisputeResolution
    function disputeOf(uint256 purchaseId) external view returns (uint256 disputeId) {
        return _disputeOf[purchaseId];
    }

    /// @inheritdoc IDisputeResolution
    function rounds(uint256 disputeId) external view returns (Round[] memory) {
        return _rounds[disputeId];
    }

    /// @inheritdoc IDisputeResolution
    function ballot(uint256 disputeId, uint256 round, address juror) external view returns (Ballot memory) {
        return _ballots[disputeId][round][juror];
    }

    /// @inheritdoc IDisputeResolution
    function claimable(uint256 disputeId, address account) public view returns (uint256 amount) {
        Dispute storage d = _dispute(disputeId);
        if (d.potLeft == 0 || _hasClaimed[disputeId][account]) return 0;
        uint256 total = _paidTotal(d);
        if (total == 0) return account == d.payer ? d.potLeft : 0;
        uint256 until = _licenseManager.paidAt(d.datasetId, account, d.openedAt);
        uint256 before = d.paidFrom == 0 ? 0 : _licenseManager.paidAt(d.datasetId, account, d.paidFrom);
        amount = Math.min(Math.mulDiv(d.pot, until - before, total), d.potLeft);
    }

    /// @inheritdoc IDisputeResolution
    function openingDeposit() public view returns (uint256) {
        Parameters storage p = _current();
        return uint256(p.bond) + uint256(p.seatFee) * p.jurySize;
    }

    /// @inheritdoc IDisputeResolution
    function appealDeposit(uint256 disputeId) public view returns (uint256) {
        Parameters storage p = _parametersOf(_dispute(disputeId));
        return 2 * uint256(p.bond) + uint256(p.seatFee) * (2 * uint256(p.jurySize) + 1);
    }

    /// @inheritdoc IDisputeResolution
    function commitmentFor(uint256 disputeId, uint256 round, address juror, Ruling vote, bytes32 salt)
        public
        view
        returns (bytes32)
    {
        return keccak256(abi.encode(block.chainid, address(this), disputeId, round, juror, vote, salt));
    }

    /// @inheritdoc IDisputeResolution
    function parameters() external view returns (Parameters memory) {
        return _current();
    }

    /// @inheritdoc IDisputeResolution
    function parametersAt(uint32 version) external view returns (Parameters memory) {
        return _parameters[version - 1];
    }

    /// @inheritdoc IDisputeResolution
    function collaborators() external view returns (Collaborators memory) {
        return Collaborators(
            address(_licenseManager), address(_escrow), address(_providerStake), address(_reputation)
        );
    }

    // ---------------------------------------------------------------- votes

    function _ballotOf(uint256 disputeId, Dispute storage d, address juror, Phase expected)
        private
        view
        returns (uint256 round, Round storage r, Ballot storage b)
    {
        _requirePhase(disputeId, d, expected);
        round = _rounds[disputeId].length - 1;
        r = _rounds[disputeId][round];
        b = _ballots[disputeId][round][juror];
        if (b.seats == 0) revert NotAJuror(disputeId, juror);
    }

    /// @dev Check an opened ballot that has not been opened before.
    function _openBallot(
        uint256 disputeId,
        uint256 round,
        address juror,
        Ballot storage b,
        Ruling vote,
        bytes32 salt
    ) private view {
        if (vote == Ruling.None) revert InvalidVote(vote);
        if (b.isVoid || b.vote != Ruling.None) revert AlreadyVoted(disputeId, juror);
        bytes32 got = commitmentFor(disputeId, round, juror, vote, salt);
        if (got != b.commitment) revert WrongReveal(disputeId, got, b.commitment);
    }

    // ---------------------------------------------------------------- the rest of the market

    function _freeze(uint256 disputeId, uint256 purchaseId, uint256 escrowId) private returns (uint256 amount) {
        if (escrowId == 0) return 0;
        if (_frozenBy[escrowId] != 0) revert AlreadyDisputed(purchaseId, _frozenBy[escrowId]);
        amount = _escrow.freeze(escrowId);
        if (amount != 0) _frozenBy[escrowId] = disputeId;
    }

    function _checkEvidence(bytes calldata evidenceCid) private pure {
        if (evidenceCid.length == 0 || evidenceCid.length > MAX_CID_BYTES) {
            revert InvalidEvidence(evidenceCid.length, MAX_CID_BYTES);
        }
    }

    function _addEvidence(uint256 disputeId, bytes calldata evidenceCid) private {
        _checkEvidence(evidenceCid);
        emit EvidenceAdded(disputeId, msg.sender, evidenceCid);
    }

}
