// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {CID_REGISTRY, ICidRegistry} from "./interfaces/ICidRegistry.sol";
import {IQualityOracle} from "./interfaces/IQualityOracle.sol";
import {StakePool} from "./StakePool.sol";

/// @title Oracle of data quality
/// @notice See {IQualityOracle}. Penalties go to the treasury and not to the other operators: a majority must gain
/// nothing by calling a minority outliers.
contract QualityOracle is IQualityOracle, StakePool {
    using SafeCast for uint256;

    uint16 private constant MAX_SCORE = 10_000;
    uint256 private constant MAX_PANEL = 15;
    uint256 private constant MAX_CID_BYTES = 128;
    uint256 private constant MAX_JOB_BYTES = 256;
    uint256 private constant MAX_PAGE = 100;
    uint64 private constant MAX_PERIOD = 90 days;

    Parameters[] private _parameters;
    /// @dev Request n is at n - 1.
    Request[] private _requests;
    mapping(uint256 requestId => Answer[]) private _answers;
    /// @dev Position in the panel plus one.
    mapping(uint256 requestId => mapping(address operator => uint256)) private _seats;
    mapping(bytes32 datasetId => mapping(bytes32 metric => uint256[])) private _history;
    /// @dev The fulfilled request whose panel was drawn last.
    mapping(bytes32 datasetId => mapping(bytes32 metric => uint256)) private _latest;

    constructor(address admin, address treasury_, Parameters memory parameters_) StakePool(admin, treasury_) {
        _setParameters(parameters_);
    }

    // ---------------------------------------------------------------- requests

    /// @inheritdoc IQualityOracle
    function requestQualityCheck(uint256 listingId, ValidationJob calldata job)
        external
        payable
        nonReentrant
        returns (uint256 requestId)
    {
        bytes32 datasetId = bytes32(listingId);
        if (CID_REGISTRY.dataset(datasetId).status != ICidRegistry.DatasetStatus.Active) {
            revert InactiveDataset(datasetId);
        }
        if (
            bytes(job.job).length == 0 || bytes(job.job).length > MAX_JOB_BYTES
                || job.jobCid.length > MAX_CID_BYTES
        ) revert InvalidJob();
        bytes32 measured = metricOf(job.job, job.jobCid);
        if (job.metric != measured) revert WrongMetric(job.metric, measured);
        uint128 minimumFee = _current().minimumFee;
        if (msg.value < minimumFee) revert FeeTooLow(msg.value, minimumFee);
        _fund(msg.value);

        Request storage r = _requests.push();
        requestId = _requests.length;
        r.datasetId = datasetId;
        r.metric = job.metric;
        r.requester = msg.sender;
        r.status = RequestStatus.Requested;
        r.version = uint32(_parameters.length);
        r.fee = msg.value.toUint128();
        r.requestedAt = uint64(block.timestamp);
        r.drawBlock = _announceDraw();
        emit QualityCheckRequested(
            requestId, datasetId, job.metric, msg.sender, msg.value, job.job, job.jobCid, r.drawBlock
        );
    }

    /// @inheritdoc IQualityOracle
    function drawPanel(uint256 requestId, bytes calldata header) external nonReentrant {
        Request storage r = _request(requestId);
        if (r.status != RequestStatus.Requested) revert WrongStatus(requestId, r.status);
        (bool isKnown, uint256 randao) = _randaoOf(r.drawBlock, header);
        if (!isKnown) {
            r.drawBlock = _nextDrawBlock();
            emit DrawPostponed(requestId, r.drawBlock);
            return;
        }
        Parameters storage p = _parameters[r.version - 1];
        address[] memory operators = _draw(randao, requestId, p.panelSize, p.seatStake, true);
        if (operators.length < p.quorum) {
            for (uint256 i; i < operators.length; ++i) {
                _unlock(operators[i], p.seatStake);
            }
            _fail(requestId, r);
            return;
        }
        for (uint256 i; i < operators.length; ++i) {
            _answers[requestId].push().operator = operators[i];
            _seats[requestId][operators[i]] = i + 1;
        }
        r.status = RequestStatus.Committing;
        r.drawnAt = uint64(block.timestamp);
        r.commitEnds = r.drawnAt + p.commitPeriod;
        r.revealEnds = r.commitEnds + p.revealPeriod;
        emit PanelDrawn(requestId, operators, r.commitEnds);
    }

    /// @inheritdoc IQualityOracle
    function commitAnswer(uint256 requestId, bytes32 commitment) external {
        Request storage r = _request(requestId);
        Answer storage a = _answerOf(requestId, r, msg.sender);
        if (block.timestamp >= r.commitEnds) revert PeriodOver(requestId, r.commitEnds);
        if (commitment == 0) revert EmptyCommitment();
        if (a.commitment != 0) revert AlreadyCommitted(requestId, msg.sender);
        a.commitment = commitment;
        emit AnswerCommitted(requestId, msg.sender, commitment);
        if (++r.committed == _answers[requestId].length) {
            r.commitEnds = uint64(block.timestamp);
            r.revealEnds = r.commitEnds + _parameters[r.version - 1].revealPeriod;
            emit RevealOpened(requestId, r.revealEnds);
        }
    }

    /// @inheritdoc IQualityOracle
    function revealAnswer(uint256 requestId, uint16 score, bytes32 salt) external {
        Request storage r = _request(requestId);
        Answer storage a = _answerOf(requestId, r, msg.sender);
        if (block.timestamp < r.commitEnds) revert PeriodNotOver(requestId, r.commitEnds);
        if (block.timestamp >= r.revealEnds) revert PeriodOver(requestId, r.revealEnds);
        if (score > MAX_SCORE) revert InvalidScore(score);
        if (a.hasRevealed) revert AlreadyRevealed(requestId, msg.sender);
        bytes32 got = commitmentFor(requestId, msg.sender, score, salt);
        if (got != a.commitment) revert WrongReveal(requestId, got, a.commitment);
        a.hasRevealed = true;
        a.score = score;
        ++r.revealed;
        emit AnswerRevealed(requestId, msg.sender, score);
    }

    /// @inheritdoc IQualityOracle
    function fulfillQualityCheck(uint256 requestId) external nonReentrant {
        Request storage r = _request(requestId);
        if (r.status != RequestStatus.Committing) revert WrongStatus(requestId, r.status);
        if (block.timestamp < r.commitEnds) revert PeriodNotOver(requestId, r.commitEnds);
        if (r.revealed != r.committed && block.timestamp < r.revealEnds) {
            revert PeriodNotOver(requestId, r.revealEnds);
        }
        Parameters memory p = _parameters[r.version - 1];
        Answer[] memory panel = _answers[requestId];
        uint16 median = _median(panel, r.revealed);
        uint16 coherent;
        for (uint256 i; i < panel.length; ++i) {
            if (_isCoherent(panel[i], median, p.tolerance)) ++coherent;
        }
        bool isFulfilled = coherent >= p.quorum;
        uint256 penalties = _settlePanel(requestId, panel, p, median, isFulfilled);
        _credit(_treasury, penalties);
        if (!isFulfilled) {
            _fail(requestId, r);
            return;
        }
        _payPanel(panel, r.fee, median, p.tolerance, coherent);
        r.status = RequestStatus.Fulfilled;
        r.score = median;
        r.coherent = coherent;
        _history[r.datasetId][r.metric].push(requestId);
        uint256 latest = _latest[r.datasetId][r.metric];
        if (latest == 0 || r.drawnAt >= _request(latest).drawnAt) _latest[r.datasetId][r.metric] = requestId;
        emit QualityCheckFulfilled(requestId, r.datasetId, r.metric, median, coherent, r.revealed);
    }

    /// @inheritdoc IQualityOracle
    function setParameters(Parameters calldata parameters_) external onlyRole(DEFAULT_ADMIN_ROLE) {
        _setParameters(parameters_);
    }

    // ---------------------------------------------------------------- views

    /// @inheritdoc IQualityOracle
    function scoreOf(bytes32 datasetId, bytes32 metric)
        external
        view
        returns (uint16 score, uint64 measuredAt, uint16 coherentAnswers)
    {
        uint256 requestId = _latest[datasetId][metric];
        if (requestId == 0) return (0, 0, 0);
        Request storage r = _request(requestId);
        return (r.score, r.drawnAt, r.coherent);
    }

    /// @inheritdoc IQualityOracle
    function history(bytes32 datasetId, bytes32 metric, uint256 offset, uint256 limit)
        external
        view
        returns (uint256[] memory requestIds)
    {
        uint256[] storage all = _history[datasetId][metric];
        uint256 left = offset < all.length ? all.length - offset : 0;
        if (limit > MAX_PAGE) limit = MAX_PAGE;
        requestIds = new uint256[](left < limit ? left : limit);
        for (uint256 i; i < requestIds.length; ++i) {
            requestIds[i] = all[offset + i];
        }
    }

    /// @inheritdoc IQualityOracle
    function isOperator(address account) external view returns (bool) {
        return _targetWeight(_members[account]) != 0;
    }

    /// @inheritdoc IQualityOracle
    function request(uint256 requestId) external view returns (Request memory r) {
        r = _request(requestId);
        if (r.status == RequestStatus.Committing && block.timestamp >= r.commitEnds) {
            r.status = RequestStatus.Revealing;
        }
    }

    /// @inheritdoc IQualityOracle
    function answers(uint256 requestId) external view returns (Answer[] memory) {
        return _answers[requestId];
    }

    /// @inheritdoc IQualityOracle
    function requestCount() external view returns (uint256) {
        return _requests.length;
    }

    /// @inheritdoc IQualityOracle
    function commitmentFor(uint256 requestId, address operator, uint16 score, bytes32 salt)
        public
        view
        returns (bytes32)
    {
        return keccak256(abi.encode(block.chainid, address(this), requestId, operator, score, salt));
    }

    /// @inheritdoc IQualityOracle
    function metricOf(string calldata job, bytes calldata jobCid) public pure returns (bytes32) {
        return jobCid.length == 0 ? keccak256(bytes(job)) : keccak256(abi.encode(job, jobCid));
    }

    /// @inheritdoc IQualityOracle
    function parameters() external view returns (Parameters memory) {
        return _current();
    }

    /// @inheritdoc IQualityOracle
    function parametersAt(uint32 version) external view returns (Parameters memory) {
        return _parameters[version - 1];
    }

    // ---------------------------------------------------------------- inside

    function _minimumStake() internal view override returns (uint128) {
        return _current().minimumStake;
    }

    function _leaveDelay() internal view override returns (uint64) {
        return _current().leaveDelay;
    }

    function _mayServe(uint256 requestId, address account) internal view override returns (bool) {
        Request storage r = _request(requestId);
        return account != r.requester && account != CID_REGISTRY.ownerOf(r.datasetId);
    }

    function _current() private view returns (Parameters storage) {
        return _parameters[_parameters.length - 1];
    }

    function _request(uint256 requestId) private view returns (Request storage) {
        if (requestId == 0 || requestId > _requests.length) revert UnknownRequest(requestId);
        return _requests[requestId - 1];
    }

    function _answerOf(uint256 requestId, Request storage r, address operator)
        private
        view
        returns (Answer storage)
    {
        if (r.status != RequestStatus.Committing) revert WrongStatus(requestId, r.status);
        uint256 seat = _seats[requestId][operator];
        if (seat == 0) revert NotOnPanel(requestId, operator);
        return _answers[requestId][seat - 1];
    }

    /// @dev The middle of the revealed scores, the mean of the two in the middle (rounded down) of an even number.
    function _median(Answer[] memory panel, uint256 revealed) private pure returns (uint16) {
        if (revealed == 0) return 0;
        uint16[] memory sorted = new uint16[](revealed);
        uint256 count;
        for (uint256 i; i < panel.length; ++i) {
            if (!panel[i].hasRevealed) continue;
            uint256 j = count++;
            for (; j > 0 && sorted[j - 1] > panel[i].score; --j) {
                sorted[j] = sorted[j - 1];
            }
            sorted[j] = panel[i].score;
        }
        uint256 middle = revealed / 2;
        if (revealed % 2 == 1) return sorted[middle];
        return uint16((uint256(sorted[middle - 1]) + sorted[middle]) / 2);
    }

    function _isCoherent(Answer memory a, uint16 median, uint16 tolerance) private pure returns (bool) {
        if (!a.hasRevealed) return false;
        return a.score > median ? a.score - median <= tolerance : median - a.score <= tolerance;
    }

    /// @dev Free all seats. The silent pay; outliers only if there is a result they lie outside of.
    function _settlePanel(
        uint256 requestId,
        Answer[] memory panel,
        Parameters memory p,
        uint16 median,
        bool isFulfilled
    ) private returns (uint256 penalties) {
        for (uint256 i; i < panel.length; ++i) {
            _unlock(panel[i].operator, p.seatStake);
            uint256 bps;
            if (!panel[i].hasRevealed) bps = p.silentBps;
            else if (isFulfilled && !_isCoherent(panel[i], median, p.tolerance)) bps = p.outlierBps;
            uint256 penalty = uint256(p.seatStake) * bps / BPS;
            _slash(panel[i].operator, requestId, penalty);
            penalties += penalty;
        }
    }

    /// @dev Equal parts of the fee to coherent operators, what the division leaves to the treasury.
    function _payPanel(Answer[] memory panel, uint256 fee, uint16 median, uint16 tolerance, uint256 coherent)
        private
    {
        uint256 part = fee / coherent;
        for (uint256 i; i < panel.length; ++i) {
            if (_isCoherent(panel[i], median, tolerance)) _credit(panel[i].operator, part);
        }
        _credit(_treasury, fee - part * coherent);
    }

    function _fail(uint256 requestId, Request storage r) private {
        r.status = RequestStatus.Failed;
        _credit(r.requester, r.fee);
        emit QualityCheckFailed(requestId, r.fee);
    }

    function _setParameters(Parameters memory p) private {
        if (
            p.panelSize == 0 || p.panelSize > MAX_PANEL || p.quorum > p.panelSize
                || uint256(p.quorum) * 2 <= p.panelSize || p.tolerance > MAX_SCORE || p.outlierBps > BPS
                || p.silentBps > BPS || p.seatStake == 0 || p.minimumStake < p.seatStake || p.commitPeriod == 0
                || p.commitPeriod > MAX_PERIOD || p.revealPeriod == 0 || p.revealPeriod > MAX_PERIOD
                || p.leaveDelay > MAX_PERIOD
        ) revert InvalidParameters();
        _parameters.push(p);
        emit ParametersChanged(uint32(_parameters.length), p);
    }
}
