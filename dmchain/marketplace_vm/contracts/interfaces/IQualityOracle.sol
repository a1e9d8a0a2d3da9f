// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IStakePool} from "./IStakePool.sol";

/// @title Oracle of data quality
/// @notice Anybody asks, for a fee, how good a data set is by some metric. A panel of staked operators, drawn by
/// prevRandao among those who are neither the data set's owner nor the one who asks, runs the validation job and answers
/// by commitment and revelation with a score from 0 to 10000. The median counts when a quorum of answers lies within a
/// tolerance around it; then answers outside of it cost their operators stake and the fee is shared by the others. Who
/// does not answer loses stake in any case. Without a quorum the fee goes back.
///
/// The median of an even number of answers is the mean of the middle two, rounded down.
interface IQualityOracle is IStakePool {
    /// @notice `Requested`: the panel is to be drawn; `Committing`, `Revealing`: it answers; `Fulfilled`: there is a score;
    /// `Failed`: no panel or no quorum, the fee went back.
    enum RequestStatus {
        None,
        Requested,
        Committing,
        Revealing,
        Fulfilled,
        Failed
    }

    /// @param metric what is measured. It names the job, see `metricOf`: whoever agrees on a metric (an escrow's condition)
    /// has agreed on how it is measured, and nobody can have it measured in another way
    /// @param job name of the validation job that operators run, say "completeness"; 1 to 256 bytes
    /// @param jobCid binary CID of the job's description and parameters, may be empty; at most 128 bytes
    struct ValidationJob {
        bytes32 metric;
        string job;
        bytes jobCid;
    }

    /// @param panelSize operators on a panel, at most 15
    /// @param quorum answers within the tolerance that make a result; more than half of panelSize
    /// @param tolerance how far from the median an answer may be
    /// @param outlierBps what an answer farther away costs, in bps of seatStake
    /// @param silentBps what no answer costs, in bps of seatStake
    /// @param seatStake what is locked for each seat
    /// @param minimumStake what an operator must have staked; at least seatStake
    /// @param minimumFee for a request
    /// @param commitPeriod seconds to commit, from the draw
    /// @param revealPeriod seconds to reveal after that
    /// @param leaveDelay seconds between asking to leave and taking the stake
    struct Parameters {
        uint16 panelSize;
        uint16 quorum;
        uint16 tolerance;
        uint16 outlierBps;
        uint16 silentBps;
        uint64 commitPeriod;
        uint64 revealPeriod;
        uint64 leaveDelay;
        uint128 seatStake;
        uint128 minimumStake;
        uint128 minimumFee;
    }

    /// @param drawBlock the block whose prevRandao draws the panel, in any later block
    /// @param drawnAt when it was drawn
    /// @param commitEnds when committing ends; earlier when all have committed
    /// @param revealEnds when revealing ends
    /// @param score the median, when fulfilled
    /// @param coherent answers within the tolerance, when fulfilled
    struct Request {
        bytes32 datasetId;
        bytes32 metric;
        address requester;
        RequestStatus status;
        uint32 version;
        uint128 fee;
        uint64 requestedAt;
        uint64 drawBlock;
        uint64 drawnAt;
        uint64 commitEnds;
        uint64 revealEnds;
        uint16 committed;
        uint16 revealed;
        uint16 score;
        uint16 coherent;
    }

    /// @param hasRevealed whether `score` is an answer
    struct Answer {
        address operator;
        bytes32 commitment;
        bool hasRevealed;
        uint16 score;
    }

    event QualityCheckRequested(
        uint256 indexed requestId,
        bytes32 indexed datasetId,
        bytes32 indexed metric,
        address requester,
        uint256 fee,
        string job,
        bytes jobCid,
        uint64 drawBlock
    );
    event PanelDrawn(uint256 indexed requestId, address[] operators, uint64 commitEnds);
    event AnswerCommitted(uint256 indexed requestId, address indexed operator, bytes32 commitment);
    /// @notice All have committed, so revealing begins at once.
    event RevealOpened(uint256 indexed requestId, uint64 revealEnds);
    event AnswerRevealed(uint256 indexed requestId, address indexed operator, uint16 score);
    event QualityCheckFulfilled(
        uint256 indexed requestId,
        bytes32 indexed datasetId,
        bytes32 indexed metric,
        uint16 score,
        uint16 coherent,
        uint16 revealed
    );
    /// @param refunded the fee, credited to the requester
    event QualityCheckFailed(uint256 indexed requestId, uint256 refunded);
    event ParametersChanged(uint32 indexed version, Parameters parameters);

    error UnknownRequest(uint256 requestId);
    error InactiveDataset(bytes32 datasetId);
    error FeeTooLow(uint256 fee, uint256 needed);
    error InvalidJob();
    /// @param expected the metric that the job measures
    error WrongMetric(bytes32 metric, bytes32 expected);
    error WrongStatus(uint256 requestId, RequestStatus status);
    error NotOnPanel(uint256 requestId, address account);
    error AlreadyCommitted(uint256 requestId, address operator);
    error AlreadyRevealed(uint256 requestId, address operator);
    error PeriodOver(uint256 requestId, uint64 endedAt);
    error PeriodNotOver(uint256 requestId, uint64 endsAt);
    error WrongReveal(uint256 requestId, bytes32 got, bytes32 expected);
    error EmptyCommitment();
    error InvalidScore(uint16 score);
    error InvalidParameters();

    /// @notice Ask for a quality check of a data set; msg.value is the fee, at least `parameters().minimumFee`.
    /// Emits {QualityCheckRequested}.
    /// @param listingId the listing's token id, which is uint256(datasetId)
    function requestQualityCheck(uint256 listingId, ValidationJob calldata job)
        external
        payable
        returns (uint256 requestId);

    /// @notice Draw the panel, after block `drawBlock`; anybody may. Fails the request when there are too few operators for
    /// a quorum. When the block is so old that the chain has forgotten its hash (8191 blocks), another one is announced.
    /// Emits {PanelDrawn}, {QualityCheckFailed} or {DrawPostponed}.
    /// @param header of `drawBlock`, RLP, as debug_getRawHeader gives it
    function drawPanel(uint256 requestId, bytes calldata header) external;

    /// @notice Commit to an answer, as an operator on the panel, once.
    /// Emits {AnswerCommitted}, and {RevealOpened} with the last one.
    /// @param commitment see `commitmentFor`
    function commitAnswer(uint256 requestId, bytes32 commitment) external;

    /// @notice Reveal the answer after committing has ended.
    /// Emits {AnswerRevealed}.
    /// @param score 0 to 10000
    function revealAnswer(uint256 requestId, uint16 score, bytes32 salt) external;

    /// @notice Close the request when all who committed have revealed or the time is over; anybody may.
    /// Emits {QualityCheckFulfilled} or {QualityCheckFailed}, and {StakeSlashed} for those who pay.
    function fulfillQualityCheck(uint256 requestId) external;

    /// @notice Set the parameters of requests to come. Admin only.
    /// Emits {ParametersChanged}.
    function setParameters(Parameters calldata parameters_) external;

    /// @notice The latest score of a data set by a metric.
    /// @return score 0 to 10000
    /// @return measuredAt when the panel was drawn, so all of its work is later; 0 when there is no score
    /// @return answers how many lay within the tolerance
    function scoreOf(bytes32 datasetId, bytes32 metric)
        external
        view
        returns (uint16 score, uint64 measuredAt, uint16 answers);

    /// @notice Fulfilled requests about a data set and metric from `offset` on, oldest first: at most `limit` and 100.
    function history(bytes32 datasetId, bytes32 metric, uint256 offset, uint256 limit)
        external
        view
        returns (uint256[] memory requestIds);

    /// @notice Whether the account is an active operator.
    function isOperator(address account) external view returns (bool);

    function request(uint256 requestId) external view returns (Request memory);

    /// @notice The panel of a request with what it has answered, in the order of the draw.
    function answers(uint256 requestId) external view returns (Answer[] memory);

    function requestCount() external view returns (uint256);

    /// @notice keccak256(abi.encode(block.chainid, address(this), requestId, operator, score, salt)). The salt must be
    /// random, or the score can be guessed from it.
    function commitmentFor(uint256 requestId, address operator, uint16 score, bytes32 salt)
        external
        view
        returns (bytes32);

    /// @notice The metric that a job measures: keccak256(bytes(job)) when there is no description, else
    /// keccak256(abi.encode(job, jobCid)).
    function metricOf(string calldata job, bytes calldata jobCid) external pure returns (bytes32 metric);

    /// @notice The parameters of new requests.
    function parameters() external view returns (Parameters memory);

    /// @notice The parameters of a version, which a request keeps for all its life.
    function parametersAt(uint32 version) external view returns (Parameters memory);
}
