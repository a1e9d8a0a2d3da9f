// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IPullPayments} from "./IPullPayments.sol";

/// @title Escrow of all money of the market that is not earned yet
/// @notice Every unit in here belongs to an open escrow or is owed to an account that may withdraw it.
///
/// Two sorts. An escrow of a purchase is settled once: released to the provider when the buyer confirms or stays
/// silent until `releaseAt`, or as the oracle's score says if the purchase was made on that condition; paid back when
/// the provider says so, when a dispute does, or when the data set is void. A prepaid account (`isPrepaid`: units of
/// pay-per-compute, periods of a subscription that have not begun) is drawn down by the LicenseManager, part by part.
///
/// Released money goes to {ILicenseManager-distribute}. Money paid back waits for the payer to withdraw it: nothing is
/// ever pushed to a user. Void means: the data set was retired, or registered anew by an earlier commitment, or (for an
/// escrow of a purchase) the licence was taken away by whoever controls the data set after delisting. All that is still
/// held then goes back to the payers, whoever asks for it. Token 0 is the native coin, amounts are in the token's
/// smallest unit, times seconds since the Unix epoch.
interface IEscrowPayment is IPullPayments {
    enum EscrowState {
        None,
        Open,
        Frozen,
        Closed
    }

    /// @param offerId the offer by which released money is distributed
    /// @param purchaseId the purchase this money was paid for; the first one for a prepaid account
    /// @param payer who gets it back
    /// @param releaseAt from when on silence counts as consent; raised to the data set's contestableUntil if earlier
    /// @param metric quality on which the release depends, zero for none
    /// @param minScore the least score that releases, 0 to 10000
    struct EscrowInput {
        uint256 offerId;
        bytes32 datasetId;
        uint256 purchaseId;
        address payer;
        address licensee;
        address token;
        uint128 amount;
        uint64 releaseAt;
        bytes32 metric;
        uint16 minScore;
        bool isPrepaid;
    }

    /// @param amount what is still held
    /// @param released paid out to the provider's side so far
    /// @param refunded credited to the payer so far
    /// @param registeredBlock registration of the data set at the purchase: another one makes the escrow void
    /// @param contestableUntil no release without the buyer's word before this
    /// @param conditionMet the oracle's score reached minScore; release waits for contestableUntil alone
    struct Escrow {
        uint256 offerId;
        bytes32 datasetId;
        uint256 purchaseId;
        bytes32 metric;
        address payer;
        uint64 openedAt;
        uint16 minScore;
        EscrowState state;
        address licensee;
        uint64 releaseAt;
        bool isPrepaid;
        bool conditionMet;
        address token;
        uint64 contestableUntil;
        uint128 amount;
        uint128 released;
        uint128 refunded;
        uint64 registeredBlock;
    }

    /// @notice Why money left an escrow.
    enum Cause {
        Confirmed,
        DeadlinePassed,
        ScoreMet,
        ScoreUnmet,
        ScoreMissing,
        ProviderRefund,
        DatasetVoid,
        Dispute,
        Manager
    }

    event EscrowOpened(
        uint256 indexed escrowId,
        bytes32 indexed datasetId,
        address indexed payer,
        uint256 purchaseId,
        address licensee,
        address token,
        uint256 amount,
        uint64 releaseAt,
        bool isPrepaid
    );
    event EscrowToppedUp(uint256 indexed escrowId, uint256 indexed purchaseId, uint256 added, uint256 amount);
    /// @param released sent to the LicenseManager for distribution
    /// @param left still held
    event EscrowReleased(uint256 indexed escrowId, Cause indexed cause, uint256 released, uint256 left);
    /// @param refunded credited to `payer`, who withdraws it
    event EscrowRefunded(
        uint256 indexed escrowId,
        address indexed payer,
        Cause indexed cause,
        uint256 refunded,
        uint256 left
    );
    event ConditionMet(uint256 indexed escrowId, uint256 score, uint256 minScore);
    event EscrowFrozen(uint256 indexed escrowId, uint256 amount);
    /// @param refundBps part of the frozen money that went back, of 10000
    event EscrowResolved(uint256 indexed escrowId, uint256 refundBps, uint256 refunded, uint256 released);
    event DisputeResolutionChanged(address indexed disputes);
    event QualityOracleChanged(address indexed oracle);
    event ReputationChanged(address indexed reputation);

    error NotLicenseManager(address caller, address manager);
    error NotDisputeResolution(address caller, address disputes);
    /// @param required who may do this
    error NotParty(uint256 escrowId, address caller, address required);
    error UnknownEscrow(uint256 escrowId);
    error NotOpen(uint256 escrowId, EscrowState state);
    /// @notice Only the LicenseManager draws down a prepaid account.
    error PrepaidAccount(uint256 escrowId);
    error NotPrepaid(uint256 escrowId);
    error TooEarly(uint256 escrowId, uint64 time, uint64 earliest);
    /// @notice The release waits for the oracle's score: see {settleByOracle}.
    error ConditionOpen(uint256 escrowId, bytes32 metric, uint256 minScore);
    /// @notice There is no condition, or it has been met already.
    error NoCondition(uint256 escrowId);
    /// @param measuredAt of the latest score, 0 if there is none
    /// @param openedAt the score must be later than this
    error ScoreMissing(uint256 escrowId, uint64 measuredAt, uint64 openedAt);
    /// @notice There is a score: it decides.
    error ScorePresent(uint256 escrowId, uint256 score);
    error DatasetNotVoid(bytes32 datasetId);
    /// @notice Void, see above.
    error DatasetVoid(bytes32 datasetId);
    error InvalidAmount(uint256 escrowId, uint256 given, uint256 available);
    error InvalidScore(uint256 given, uint256 highest);
    error InvalidBps(uint256 given, uint256 highest);

    // -- by the LicenseManager

    /// @notice Take money in. Native coin comes with the call; an ERC-20 was transferred here before, in the same
    /// transaction. Only the LicenseManager.
    /// Emits {EscrowOpened}.
    /// @return escrowId counted from 1
    function open(EscrowInput calldata input) external payable returns (uint256 escrowId);

    /// @notice Add money of the same payer to a prepaid account. Only the LicenseManager.
    /// Emits {EscrowToppedUp}.
    /// @param purchaseId the purchase that paid it
    function topUp(uint256 escrowId, uint256 purchaseId, uint128 amount) external payable;

    /// @notice Distribute a part of a prepaid account: earned by consumption or by time. Only the LicenseManager,
    /// whose `distribute` is called for it.
    /// Emits {EscrowReleased}.
    function releasePart(uint256 escrowId, uint128 amount) external;

    /// @notice Credit a part of a prepaid account to its payer. Only the LicenseManager; it is not called back.
    /// Emits {EscrowRefunded}.
    function refundPart(uint256 escrowId, uint128 amount) external;

    // -- by buyers, providers and anyone

    /// @notice Say that all is well: release at once. Only payer or licensee. Before contestableUntil they take the
    /// risk that the data set is taken over by an earlier commitment.
    /// Emits {EscrowReleased}.
    function confirm(uint256 escrowId) external;

    /// @notice Release what nobody objected to. Anyone, from releaseAt on (from contestableUntil on if a score has met
    /// the condition).
    /// Emits {EscrowReleased}.
    function release(uint256 escrowId) external;

    /// @notice Apply the oracle's score of the agreed metric, measured after the purchase. Anyone. Enough: released,
    /// or noted if the data set can still be contested. Not enough: paid back, and the licence ends.
    /// Emits {EscrowReleased}, {ConditionMet} or {EscrowRefunded}.
    function settleByOracle(uint256 escrowId) external;

    /// @notice Take the money back when the oracle has not answered by releaseAt. Only the payer; the licence ends.
    /// Emits {EscrowRefunded}.
    function refundUnanswered(uint256 escrowId) external;

    /// @notice Pay back a part, or all, which ends the licence. Only the data set's owner.
    /// Emits {EscrowRefunded}.
    /// @param amount 1 to what is held
    function refund(uint256 escrowId, uint128 amount) external;

    /// @notice Pay all back because the data set is void. Anyone, frozen or not.
    /// Emits {EscrowRefunded}.
    function refundVoid(uint256 escrowId) external;

    // -- by DisputeResolution

    /// @notice Stop everything but {refundVoid} until {resolve}. Only DisputeResolution. Does nothing if it is closed.
    /// Emits {EscrowFrozen}.
    /// @return amount held now: 0 when closed
    function freeze(uint256 escrowId) external returns (uint128 amount);

    /// @notice End a freeze. Only DisputeResolution. Does nothing if it has been closed (void) meanwhile.
    ///
    /// An escrow of a purchase: `refundBps` of the money go back to the payer (rounded up), the rest is released; but
    /// 0 only thaws it while its deadline or condition is open, as if nothing had happened. All of it ends the
    /// licence. A prepaid account was not earned at all: 0 thaws it, anything else pays back all that is left and
    /// ends the licence.
    /// Emits {EscrowResolved}, with {EscrowRefunded} and {EscrowReleased} for the parts.
    /// @return refunded what the payer was credited
    function resolve(uint256 escrowId, uint256 refundBps) external returns (uint256 refunded);

    // -- administration

    /// @notice Only the admin.
    function setDisputeResolution(address disputes) external;

    /// @notice Only the admin.
    function setQualityOracle(address oracle) external;

    /// @notice Where confirmed deliveries are counted; zero for nowhere. Only the admin.
    function setReputation(address reputation) external;

    // -- views

    /// @notice Reverts with {UnknownEscrow}.
    function escrow(uint256 escrowId) external view returns (Escrow memory);

    /// @notice What is held in it now; 0 for none.
    function amountOf(uint256 escrowId) external view returns (uint128);

    /// @notice Whether it is void: see above.
    function isVoid(uint256 escrowId) external view returns (bool);

    function escrowCount() external view returns (uint256);

    function licenseManager() external view returns (address);

    function disputeResolution() external view returns (address);

    function qualityOracle() external view returns (address);

    function reputation() external view returns (address);
}
