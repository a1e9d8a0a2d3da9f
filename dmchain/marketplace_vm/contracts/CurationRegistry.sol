// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {AccessControl} from "@openzeppelin/contracts/access/AccessControl.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {EnumerableSet} from "@openzeppelin/contracts/utils/structs/EnumerableSet.sol";

import {CID_REGISTRY, ICidRegistry} from "./interfaces/ICidRegistry.sol";
import {ICurationRegistry} from "./interfaces/ICurationRegistry.sol";
import {IPlatformToken} from "./interfaces/IPlatformToken.sol";

/// @title Standards of quality, kept by the holders of DMG
/// @notice See {ICurationRegistry}.
contract CurationRegistry is ICurationRegistry, AccessControl, ReentrancyGuardTransient {
    using EnumerableSet for EnumerableSet.Bytes32Set;
    using SafeERC20 for IERC20;

    /// @dev `isAccepted` is set when the entry is challenged after its review, or stood a challenge; until then the
    /// review's end alone decides.
    struct StoredEntry {
        address applicant;
        uint64 appliedAt;
        bool isAccepted;
        uint128 deposit;
        uint64 reviewEndsAt;
        uint64 registeredBlock;
        uint64 challengeId;
        uint64 challengeableFrom;
    }

    struct StoredStandard {
        bytes cid;
        uint128 deposit;
        bool isActive;
        EnumerableSet.Bytes32Set datasetIds;
    }

    uint256 private constant _BPS = 10_000;
    uint256 private constant _MAX_PAGE = 100;
    uint256 private constant _MIN_CID_LENGTH = 4;
    uint256 private constant _MAX_CID_LENGTH = 128;
    uint64 private constant _MAX_PERIOD = 365 days;

    /// @inheritdoc ICurationRegistry
    IPlatformToken public immutable token;
    /// @inheritdoc ICurationRegistry
    uint256 public challengeCount;
    /// @inheritdoc ICurationRegistry
    mapping(address account => uint256) public owed;
    /// @inheritdoc ICurationRegistry
    /// @dev Invariant: the sum of deposits of entries, deposits of pending challenges, rewards left and `owed`.
    uint256 public held;

    Parameters private _parameters;
    bytes32[] private _standardIds;
    mapping(bytes32 standardId => StoredStandard) private _standards;
    mapping(bytes32 datasetId => mapping(bytes32 standardId => StoredEntry)) private _entries;
    mapping(uint256 challengeId => Challenge) private _challenges;
    mapping(uint256 challengeId => mapping(address voter => Ballot)) private _ballots;

    /// @param token_ deposits and votes
    /// @param admin adds standards and sets parameters: {Timelock}
    /// @param parameters_ see {setParameters}
    constructor(IPlatformToken token_, address admin, Parameters memory parameters_) {
        token = token_;
        _grantRole(DEFAULT_ADMIN_ROLE, admin);
        _setParameters(parameters_);
    }

    // ---------------------------------------------------------------- governance

    /// @inheritdoc ICurationRegistry
    function addStandard(bytes calldata cid, uint128 deposit)
        external
        onlyRole(DEFAULT_ADMIN_ROLE)
        returns (bytes32 standardId)
    {
        _checkCid(cid);
        _checkRange("deposit", deposit, 1, type(uint128).max);
        standardId = keccak256(cid);
        StoredStandard storage added = _standards[standardId];
        if (added.deposit != 0) revert StandardExists(standardId);
        added.cid = cid;
        added.deposit = deposit;
        added.isActive = true;
        _standardIds.push(standardId);
        emit StandardAdded(standardId, cid, deposit);
    }

    /// @inheritdoc ICurationRegistry
    function setStandard(bytes32 standardId, uint128 deposit, bool isActive) external onlyRole(DEFAULT_ADMIN_ROLE) {
        StoredStandard storage changed = _existing(standardId);
        _checkRange("deposit", deposit, 1, type(uint128).max);
        changed.deposit = deposit;
        changed.isActive = isActive;
        emit StandardChanged(standardId, deposit, isActive);
    }

    /// @inheritdoc ICurationRegistry
    function setParameters(Parameters calldata parameters_) external onlyRole(DEFAULT_ADMIN_ROLE) {
        _setParameters(parameters_);
    }

    // ---------------------------------------------------------------- entries

    /// @inheritdoc ICurationRegistry
    function applyFor(bytes32 datasetId, bytes32 standardId) external nonReentrant {
        StoredStandard storage target = _active(standardId);
        ICidRegistry.Dataset memory dataset = CID_REGISTRY.dataset(datasetId);
        if (dataset.status != ICidRegistry.DatasetStatus.Active) revert InactiveDataset(datasetId);
        if (dataset.owner != msg.sender) revert NotDatasetOwner(datasetId, msg.sender, dataset.owner);

        StoredEntry storage stored = _entries[datasetId][standardId];
        if (stored.applicant != address(0)) {
            EntryStatus status = _statusOf(stored);
            bool isStale = stored.registeredBlock != dataset.registeredBlock;
            if (!isStale || _isChallenged(status)) revert UnexpectedStatus(datasetId, standardId, status);
            _remove(datasetId, standardId);
        }

        uint128 deposit = target.deposit;
        uint64 reviewEndsAt = uint64(block.timestamp) + _parameters.reviewPeriod;
        _entries[datasetId][standardId] = StoredEntry({
            applicant: msg.sender,
            appliedAt: uint64(block.timestamp),
            isAccepted: false,
            deposit: deposit,
            reviewEndsAt: reviewEndsAt,
            registeredBlock: dataset.registeredBlock,
            challengeId: 0,
            challengeableFrom: 0
        });
        target.datasetIds.add(datasetId);
        held += deposit;
        emit Applied(datasetId, standardId, msg.sender, deposit, reviewEndsAt);
        _take(deposit);
    }

    /// @inheritdoc ICurationRegistry
    function removeEntry(bytes32 datasetId, bytes32 standardId) external {
        StoredEntry storage stored = _entries[datasetId][standardId];
        EntryStatus status = _statusOf(stored);
        if (status == EntryStatus.None || _isChallenged(status)) {
            revert UnexpectedStatus(datasetId, standardId, status);
        }
        if (msg.sender != stored.applicant && _standards[standardId].isActive) {
            ICidRegistry.Dataset memory dataset = CID_REGISTRY.dataset(datasetId);
            if (_isSame(stored, dataset) && msg.sender != dataset.owner) {
                revert NotAllowedToRemove(datasetId, standardId, msg.sender);
            }
        }
        _remove(datasetId, standardId);
    }

    // ---------------------------------------------------------------- challenges

    /// @inheritdoc ICurationRegistry
    function challenge(bytes32 datasetId, bytes32 standardId, bytes calldata reasonCid)
        external
        nonReentrant
        returns (uint256 challengeId)
    {
        _checkCid(reasonCid);
        _active(standardId);
        StoredEntry storage stored = _entries[datasetId][standardId];
        EntryStatus status = _statusOf(stored);
        if (status != EntryStatus.Applied && status != EntryStatus.Accepted) {
            revert UnexpectedStatus(datasetId, standardId, status);
        }
        if (block.timestamp < stored.challengeableFrom) {
            revert ChallengedTooSoon(datasetId, standardId, stored.challengeableFrom);
        }

        challengeId = ++challengeCount;
        stored.isAccepted = status == EntryStatus.Accepted;
        stored.challengeId = SafeCast.toUint64(challengeId);

        // The second before: it is over, so nobody gains votes by what follows in this one.
        uint64 snapshot = uint64(block.timestamp) - 1;
        Challenge storage opened = _challenges[challengeId];
        opened.datasetId = datasetId;
        opened.standardId = standardId;
        opened.challenger = msg.sender;
        opened.deposit = stored.deposit;
        opened.snapshot = snapshot;
        opened.voteEndsAt = uint64(block.timestamp) + _parameters.votePeriod;
        opened.voterShareBps = _parameters.voterShareBps;
        opened.quorum = Math.mulDiv(token.getPastTotalSupply(snapshot), _parameters.quorumBps, _BPS);
        opened.reasonCid = reasonCid;
        held += stored.deposit;
        emit Challenged(
            challengeId, datasetId, standardId, msg.sender, stored.deposit, snapshot, opened.voteEndsAt, reasonCid
        );
        _take(stored.deposit);
    }

    /// @inheritdoc ICurationRegistry
    function vote(uint256 challengeId, bool isForKeeping) external {
        Challenge storage current = _existingChallenge(challengeId);
        if (block.timestamp >= current.voteEndsAt) revert VoteEnded(challengeId, current.voteEndsAt);
        Ballot storage ballot = _ballots[challengeId][msg.sender];
        if (ballot.votes != 0) revert AlreadyVoted(challengeId, msg.sender);
        uint256 votes = token.getPastVotes(msg.sender, current.snapshot);
        if (votes == 0) revert NoVotes(msg.sender, current.snapshot);

        ballot.votes = SafeCast.toUint208(votes);
        ballot.isForKeeping = isForKeeping;
        if (isForKeeping) current.votesToKeep += votes;
        else current.votesToRemove += votes;
        emit Voted(challengeId, msg.sender, isForKeeping, votes);
    }

    /// @inheritdoc ICurationRegistry
    function resolve(uint256 challengeId) external {
        Challenge storage current = _existingChallenge(challengeId);
        if (block.timestamp < current.voteEndsAt) revert VoteRunning(challengeId, current.voteEndsAt);
        if (current.outcome != Outcome.Pending) revert AlreadyResolved(challengeId);
        (bytes32 datasetId, bytes32 standardId) = (current.datasetId, current.standardId);
        StoredEntry storage stored = _entries[datasetId][standardId];

        Outcome outcome = _count(current);
        current.outcome = outcome;
        if (outcome != Outcome.Removed) {
            stored.isAccepted = true;
            // A time in which the entry can be taken back: a challenge that nobody votes on costs its maker nothing, and
            // must not hold the applicant's deposit for ever.
            stored.challengeableFrom = uint64(block.timestamp) + _parameters.reviewPeriod;
        }
        if (outcome == Outcome.NoQuorum) {
            owed[current.challenger] += current.deposit;
        } else {
            uint256 reward = (uint256(current.deposit) * current.voterShareBps) / _BPS;
            current.rewardLeft = reward;
            if (outcome == Outcome.Kept) {
                current.votesLeft = current.votesToKeep;
                owed[stored.applicant] += current.deposit - reward;
            } else {
                current.votesLeft = current.votesToRemove;
                owed[current.challenger] += 2 * uint256(current.deposit) - reward;
                delete _entries[datasetId][standardId];
                _standards[standardId].datasetIds.remove(datasetId);
            }
        }
        emit ChallengeResolved(
            challengeId, datasetId, standardId, outcome, current.votesToKeep, current.votesToRemove
        );
    }

    // ---------------------------------------------------------------- money

    /// @inheritdoc ICurationRegistry
    function claimReward(uint256 challengeId, address voter) external nonReentrant returns (uint256 amount) {
        Challenge storage current = _existingChallenge(challengeId);
        Outcome outcome = current.outcome;
        if (outcome == Outcome.Pending) revert NotResolved(challengeId);
        Ballot storage ballot = _ballots[challengeId][voter];
        bool hasWon = outcome != Outcome.NoQuorum && ballot.isForKeeping == (outcome == Outcome.Kept);
        if (ballot.votes == 0 || ballot.hasClaimed || !hasWon) revert NoReward(challengeId, voter);

        ballot.hasClaimed = true;
        // Of what is left, so that the last one takes the rest: no unit stays behind.
        amount = Math.mulDiv(current.rewardLeft, ballot.votes, current.votesLeft);
        current.rewardLeft -= amount;
        current.votesLeft -= ballot.votes;
        held -= amount;
        emit RewardClaimed(challengeId, voter, amount);
        IERC20(token).safeTransfer(voter, amount);
    }

    /// @inheritdoc ICurationRegistry
    function withdraw() external returns (uint256 amount) {
        return _withdraw(msg.sender);
    }

    /// @inheritdoc ICurationRegistry
    function withdrawFor(address account) external returns (uint256 amount) {
        return _withdraw(account);
    }

    // ---------------------------------------------------------------- views

    /// @inheritdoc ICurationRegistry
    function isCurated(bytes32 datasetId, bytes32 standardId) external view returns (bool) {
        StoredEntry storage stored = _entries[datasetId][standardId];
        EntryStatus status = _statusOf(stored);
        if (status != EntryStatus.Accepted && status != EntryStatus.EntryChallenged) return false;
        return _standards[standardId].isActive && _isSame(stored, CID_REGISTRY.dataset(datasetId));
    }

    /// @inheritdoc ICurationRegistry
    function entry(bytes32 datasetId, bytes32 standardId) external view returns (Entry memory) {
        StoredEntry storage stored = _entries[datasetId][standardId];
        return Entry({
            status: _statusOf(stored),
            applicant: stored.applicant,
            deposit: stored.deposit,
            appliedAt: stored.appliedAt,
            reviewEndsAt: stored.reviewEndsAt,
            registeredBlock: stored.registeredBlock,
            challengeId: stored.challengeId,
            challengeableFrom: stored.challengeableFrom
        });
    }

    /// @inheritdoc ICurationRegistry
    function entriesOf(bytes32 standardId, uint256 offset, uint256 limit) external view returns (bytes32[] memory) {
        EnumerableSet.Bytes32Set storage datasetIds = _existing(standardId).datasetIds;
        (uint256 start, uint256 end) = _page(datasetIds.length(), offset, limit);
        return datasetIds.values(start, end);
    }

    /// @inheritdoc ICurationRegistry
    function standard(bytes32 standardId) external view returns (Standard memory) {
        StoredStandard storage stored = _existing(standardId);
        return Standard(stored.cid, stored.deposit, stored.isActive, stored.datasetIds.length());
    }

    /// @inheritdoc ICurationRegistry
    function standardCount() external view returns (uint256) {
        return _standardIds.length;
    }

    /// @inheritdoc ICurationRegistry
    function standards(uint256 offset, uint256 limit) external view returns (bytes32[] memory page) {
        (uint256 start, uint256 end) = _page(_standardIds.length, offset, limit);
        page = new bytes32[](end - start);
        for (uint256 i = start; i < end; ++i) {
            page[i - start] = _standardIds[i];
        }
    }

    /// @inheritdoc ICurationRegistry
    function challengeOf(uint256 challengeId) external view returns (Challenge memory) {
        return _existingChallenge(challengeId);
    }

    /// @inheritdoc ICurationRegistry
    function ballotOf(uint256 challengeId, address voter) external view returns (Ballot memory) {
        return _ballots[challengeId][voter];
    }

    /// @inheritdoc ICurationRegistry
    function parameters() external view returns (Parameters memory) {
        return _parameters;
    }

    // ---------------------------------------------------------------- within

    function _setParameters(Parameters memory parameters_) private {
        _checkRange("reviewPeriod", parameters_.reviewPeriod, 1, _MAX_PERIOD);
        _checkRange("votePeriod", parameters_.votePeriod, 1, _MAX_PERIOD);
        _checkRange("quorumBps", parameters_.quorumBps, 0, _BPS);
        _checkRange("voterShareBps", parameters_.voterShareBps, 0, _BPS);
        _parameters = parameters_;
        emit ParametersChanged(parameters_);
    }

    /// @dev The entry is not challenged. Its deposit becomes owed.
    function _remove(bytes32 datasetId, bytes32 standardId) private {
        StoredEntry storage stored = _entries[datasetId][standardId];
        owed[stored.applicant] += stored.deposit;
        delete _entries[datasetId][standardId];
        _standards[standardId].datasetIds.remove(datasetId);
        emit EntryRemoved(datasetId, standardId, msg.sender);
    }

    function _withdraw(address account) private nonReentrant returns (uint256 amount) {
        amount = owed[account];
        if (amount == 0) revert NothingOwed(account);
        owed[account] = 0;
        held -= amount;
        emit Withdrawn(account, amount);
        IERC20(token).safeTransfer(account, amount);
    }

    /// @dev Take a deposit from the caller; what arrives must be all of it.
    function _take(uint256 amount) private {
        uint256 before = token.balanceOf(address(this));
        IERC20(token).safeTransferFrom(msg.sender, address(this), amount);
        uint256 received = token.balanceOf(address(this)) - before;
        if (received != amount) revert UnexpectedAmount(address(token), amount, received);
    }

    function _count(Challenge storage current) private view returns (Outcome) {
        uint256 cast = current.votesToKeep + current.votesToRemove;
        if (cast == 0 || cast < current.quorum) return Outcome.NoQuorum;
        return current.votesToRemove > current.votesToKeep ? Outcome.Removed : Outcome.Kept;
    }

    function _statusOf(StoredEntry storage stored) private view returns (EntryStatus) {
        if (stored.applicant == address(0)) return EntryStatus.None;
        uint256 challengeId = stored.challengeId;
        if (challengeId != 0 && _challenges[challengeId].outcome == Outcome.Pending) {
            return stored.isAccepted ? EntryStatus.EntryChallenged : EntryStatus.ApplicationChallenged;
        }
        if (stored.isAccepted || block.timestamp >= stored.reviewEndsAt) return EntryStatus.Accepted;
        return EntryStatus.Applied;
    }

    function _isChallenged(EntryStatus status) private pure returns (bool) {
        return status == EntryStatus.ApplicationChallenged || status == EntryStatus.EntryChallenged;
    }

    /// @dev Whether the data set is active and did not begin anew since the application. A claim gives it the block of
    /// an earlier commitment, so the block tells registrations apart.
    function _isSame(StoredEntry storage stored, ICidRegistry.Dataset memory dataset) private view returns (bool) {
        return
            dataset.status == ICidRegistry.DatasetStatus.Active && dataset.registeredBlock == stored.registeredBlock;
    }

    function _existing(bytes32 standardId) private view returns (StoredStandard storage stored) {
        stored = _standards[standardId];
        if (stored.deposit == 0) revert UnknownStandard(standardId);
    }

    function _active(bytes32 standardId) private view returns (StoredStandard storage stored) {
        stored = _existing(standardId);
        if (!stored.isActive) revert InactiveStandard(standardId);
    }

    function _existingChallenge(uint256 challengeId) private view returns (Challenge storage) {
        if (challengeId == 0 || challengeId > challengeCount) revert UnknownChallenge(challengeId);
        return _challenges[challengeId];
    }

    function _page(uint256 count, uint256 offset, uint256 limit) private pure returns (uint256 start, uint256 end) {
        start = Math.min(offset, count);
        end = Math.min(start + Math.min(limit, _MAX_PAGE), count);
    }

    function _checkCid(bytes calldata cid) private pure {
        if (cid.length < _MIN_CID_LENGTH || cid.length > _MAX_CID_LENGTH) revert InvalidCidLength(cid.length);
    }

    function _checkRange(bytes32 name, uint256 given, uint256 least, uint256 most) private pure {
        if (given < least || given > most) revert ParameterOutOfRange(name, given, least, most);
    }
}
