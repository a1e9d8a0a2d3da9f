// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IPlatformToken} from "./IPlatformToken.sol";

/// @title Standards of quality, kept by the holders of DMG
/// @notice A standard is a document, named by its CID, that says what a data set must be like. A data set's owner applies
/// with a deposit of DMG; when nobody challenges the application during the review it is accepted. Anybody may challenge
/// an application, or later the accepted entry, with an equal deposit: then the holders of DMG vote. The loser's deposit
/// goes to the winner, a part of it to those who voted for the winning side.
///
/// Votes count as they stood in the second before the challenge. Without a quorum, or on a tie, the entry stands; without
/// a quorum both deposits go back. An accepted entry stays accepted while it is challenged; when it stood a challenge,
/// there is no other for the length of a review.
///
/// Money leaves by `withdraw` and `claimReward` only. Deposits are in DMG units of 10^-18, times seconds.
interface ICurationRegistry {
    /// @notice `Applied`: under review. `Accepted`: the review passed without a challenge, or the vote was for it.
    enum EntryStatus {
        None,
        Applied,
        Accepted,
        ApplicationChallenged,
        EntryChallenged
    }

    /// @notice `Kept`: it stands, and the challenger lost. `Removed`: it is out, and the applicant lost. `NoQuorum`: it
    /// stands, and nobody lost.
    enum Outcome {
        Pending,
        Kept,
        Removed,
        NoQuorum
    }

    /// @param reviewPeriod seconds in which an application can be challenged before it is accepted
    /// @param votePeriod seconds a vote lasts
    /// @param quorumBps votes that must be cast, of all DMG, in 1/10,000
    /// @param voterShareBps part of the loser's deposit that goes to the voters of the winning side, in 1/10,000
    struct Parameters {
        uint64 reviewPeriod;
        uint64 votePeriod;
        uint16 quorumBps;
        uint16 voterShareBps;
    }

    /// @param cid the document, a binary CID
    /// @param deposit what an application must put down from now on
    /// @param isActive false: no new applications and challenges, and nothing is curated by it
    /// @param entryCount applications and accepted entries that stand now
    struct Standard {
        bytes cid;
        uint128 deposit;
        bool isActive;
        uint256 entryCount;
    }

    /// @param status at this moment
    /// @param applicant who put down the deposit and gets it back
    /// @param deposit of the applicant
    /// @param appliedAt time of the application
    /// @param reviewEndsAt until then (exclusive) the application is under review
    /// @param challengeId the latest challenge, 0 if there was none
    /// @param registeredBlock the data set's at the application: a data set that began anew since has no entry
    /// @param challengeableFrom no challenge before this: set when the entry stood one
    struct Entry {
        EntryStatus status;
        address applicant;
        uint128 deposit;
        uint64 appliedAt;
        uint64 reviewEndsAt;
        uint64 registeredBlock;
        uint256 challengeId;
        uint64 challengeableFrom;
    }

    /// @param datasetId, standardId the entry
    /// @param challenger put down `deposit` too
    /// @param deposit of each side
    /// @param snapshot the time whose votes count
    /// @param voteEndsAt until then (exclusive) votes are taken
    /// @param quorum votes that must be cast
    /// @param voterShareBps as the parameter was at the challenge
    /// @param outcome `Pending` until `resolve`
    /// @param votesToKeep, votesToRemove cast so far
    /// @param rewardLeft what voters of the winning side have not claimed yet
    /// @param votesLeft the votes these rewards are for
    /// @param reasonCid why, a binary CID
    struct Challenge {
        bytes32 datasetId;
        bytes32 standardId;
        address challenger;
        uint128 deposit;
        uint64 snapshot;
        uint64 voteEndsAt;
        uint16 voterShareBps;
        Outcome outcome;
        uint256 quorum;
        uint256 votesToKeep;
        uint256 votesToRemove;
        uint256 rewardLeft;
        uint256 votesLeft;
        bytes reasonCid;
    }

    /// @param votes the weight, 0: has not voted
    /// @param isForKeeping the side
    /// @param hasClaimed the reward was paid
    struct Ballot {
        uint208 votes;
        bool isForKeeping;
        bool hasClaimed;
    }

    event ParametersChanged(Parameters parameters);

    /// @param standardId keccak256(cid)
    event StandardAdded(bytes32 indexed standardId, bytes cid, uint128 deposit);

    event StandardChanged(bytes32 indexed standardId, uint128 deposit, bool isActive);

    event Applied(
        bytes32 indexed datasetId,
        bytes32 indexed standardId,
        address indexed applicant,
        uint128 deposit,
        uint64 reviewEndsAt
    );

    /// @notice The entry was taken back by its applicant or the data set's owner, or had lapsed.
    event EntryRemoved(bytes32 indexed datasetId, bytes32 indexed standardId, address indexed by);

    event Challenged(
        uint256 indexed challengeId,
        bytes32 indexed datasetId,
        bytes32 indexed standardId,
        address challenger,
        uint128 deposit,
        uint64 snapshot,
        uint64 voteEndsAt,
        bytes reasonCid
    );

    event Voted(uint256 indexed challengeId, address indexed voter, bool isForKeeping, uint256 votes);

    event ChallengeResolved(
        uint256 indexed challengeId,
        bytes32 indexed datasetId,
        bytes32 indexed standardId,
        Outcome outcome,
        uint256 votesToKeep,
        uint256 votesToRemove
    );

    event RewardClaimed(uint256 indexed challengeId, address indexed voter, uint256 amount);

    event Withdrawn(address indexed account, uint256 amount);

    error UnknownStandard(bytes32 standardId);
    error InactiveStandard(bytes32 standardId);
    error StandardExists(bytes32 standardId);
    /// @param length in bytes, not 4 to 128
    error InvalidCidLength(uint256 length);
    /// @notice A parameter is outside its range.
    error ParameterOutOfRange(bytes32 name, uint256 given, uint256 least, uint256 most);
    /// @notice The data set is not active in the registry of content identifiers.
    error InactiveDataset(bytes32 datasetId);
    error NotDatasetOwner(bytes32 datasetId, address caller, address owner);
    /// @param status what it is instead
    error UnexpectedStatus(bytes32 datasetId, bytes32 standardId, EntryStatus status);
    /// @notice The entry stood a challenge just now.
    error ChallengedTooSoon(bytes32 datasetId, bytes32 standardId, uint64 challengeableFrom);
    error NotAllowedToRemove(bytes32 datasetId, bytes32 standardId, address caller);
    error UnknownChallenge(uint256 challengeId);
    error VoteEnded(uint256 challengeId, uint64 endedAt);
    error VoteRunning(uint256 challengeId, uint64 endsAt);
    error AlreadyResolved(uint256 challengeId);
    error NotResolved(uint256 challengeId);
    error AlreadyVoted(uint256 challengeId, address voter);
    /// @param timepoint the snapshot of the challenge
    error NoVotes(address voter, uint256 timepoint);
    error NoReward(uint256 challengeId, address voter);
    error NothingOwed(address account);
    error UnexpectedAmount(address token, uint256 expected, uint256 received);

    /// @notice Add a standard. Only the admin.
    /// Emits {StandardAdded}.
    /// @param cid the document, a binary CID of 4 to 128 bytes
    /// @param deposit what an application must put down, more than 0
    /// @return standardId keccak256(cid)
    function addStandard(bytes calldata cid, uint128 deposit) external returns (bytes32 standardId);

    /// @notice Change the deposit for new applications, or switch a standard off and on. Only the admin.
    /// Emits {StandardChanged}.
    function setStandard(bytes32 standardId, uint128 deposit, bool isActive) external;

    /// @notice Change the parameters; challenges that run keep theirs. Only the admin.
    /// Emits {ParametersChanged}.
    function setParameters(Parameters calldata parameters_) external;

    /// @notice Apply with the deposit of the standard, which this contract must be allowed to take. Only the owner of the
    /// data set. An entry from before the data set began anew is removed first, its deposit owed to its applicant.
    /// Emits {Applied}.
    function applyFor(bytes32 datasetId, bytes32 standardId) external;

    /// @notice Remove an entry that is not challenged; the deposit is owed to its applicant. The applicant and the owner
    /// of the data set may at any time; anybody when the data set is not active or began anew, or the standard is not
    /// active.
    /// Emits {EntryRemoved}.
    function removeEntry(bytes32 datasetId, bytes32 standardId) external;

    /// @notice Challenge an application or an accepted entry with a deposit equal to the applicant's, which this contract
    /// must be allowed to take.
    /// Emits {Challenged}.
    /// @param reasonCid binary CID of the reasons, 4 to 128 bytes
    function challenge(bytes32 datasetId, bytes32 standardId, bytes calldata reasonCid)
        external
        returns (uint256 challengeId);

    /// @notice Vote with the votes the caller had at the snapshot, once.
    /// Emits {Voted}.
    function vote(uint256 challengeId, bool isForKeeping) external;

    /// @notice Count the votes when voting is over, and settle the deposits. Anybody may.
    /// Emits {ChallengeResolved}.
    function resolve(uint256 challengeId) external;

    /// @notice Send a voter of the winning side its part of the loser's deposit. Anybody may, for anybody.
    /// Emits {RewardClaimed}.
    function claimReward(uint256 challengeId, address voter) external returns (uint256 amount);

    /// @notice Send the caller what it is owed.
    /// Emits {Withdrawn}.
    function withdraw() external returns (uint256 amount);

    /// @notice Send an account what it is owed. Anybody may.
    /// Emits {Withdrawn}.
    function withdrawFor(address account) external returns (uint256 amount);

    /// @notice Whether the data set meets the standard as far as its holders judge: accepted, the standard active, the
    /// data set active and the same as at the application.
    function isCurated(bytes32 datasetId, bytes32 standardId) external view returns (bool);

    /// @notice The entry, its status as of now.
    function entry(bytes32 datasetId, bytes32 standardId) external view returns (Entry memory);

    /// @notice The data sets that have an entry of any status, in no order, from `offset` on: at most `limit`, at most
    /// 100. Removals between two calls move entries.
    function entriesOf(bytes32 standardId, uint256 offset, uint256 limit) external view returns (bytes32[] memory);

    function standard(bytes32 standardId) external view returns (Standard memory);

    function standardCount() external view returns (uint256);

    /// @notice Standards in the order they were added from `offset` on: at most `limit`, at most 100.
    function standards(uint256 offset, uint256 limit) external view returns (bytes32[] memory);

    /// @notice Challenges ever made: their ids are 1 to this.
    function challengeCount() external view returns (uint256);

    function challengeOf(uint256 challengeId) external view returns (Challenge memory);

    function ballotOf(uint256 challengeId, address voter) external view returns (Ballot memory);

    function parameters() external view returns (Parameters memory);

    /// @notice What an account can withdraw.
    function owed(address account) external view returns (uint256);

    /// @notice All that this contract owes: deposits, rewards not claimed and what is owed. Its balance is never less.
    function held() external view returns (uint256);

    function token() external view returns (IPlatformToken);
}
