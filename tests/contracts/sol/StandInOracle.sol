// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @notice Scores and operators as a test wants them; also takes note of deliveries, as Reputation does.
contract StandInOracle {
    struct Score {
        uint16 score;
        uint64 measuredAt;
        uint16 answers;
    }

    event DeliveryRecorded(address indexed provider, bytes32 indexed datasetId);

    mapping(bytes32 datasetId => mapping(bytes32 metric => Score)) public scoreOf;
    mapping(address account => bool) public isOperator;
    address[] private _leaves;

    function setScore(bytes32 datasetId, bytes32 metric, uint16 score, uint64 measuredAt) external {
        scoreOf[datasetId][metric] = Score(score, measuredAt, 3);
    }

    /// @dev Zero for a seat that was given up.
    function setOperators(address[] calldata leaves) external {
        for (uint256 i = 0; i < _leaves.length; ++i) isOperator[_leaves[i]] = false;
        _leaves = leaves;
        for (uint256 i = 0; i < leaves.length; ++i) isOperator[leaves[i]] = leaves[i] != address(0);
    }

    function dismiss(address operator) external {
        isOperator[operator] = false;
    }

    function leafCount() external view returns (uint256) {
        return _leaves.length;
    }

    function memberAt(uint256 leaf) external view returns (address) {
        return leaf < _leaves.length ? _leaves[leaf] : address(0);
    }

    function recordDelivery(address provider, bytes32 datasetId) external {
        emit DeliveryRecorded(provider, datasetId);
    }
}
