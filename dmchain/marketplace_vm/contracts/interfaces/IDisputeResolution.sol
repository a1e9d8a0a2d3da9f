// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IDisputeTypes} from "./IDisputeTypes.sol";
import {IStakePool} from "./IStakePool.sol";

/// @title Disputes about licences
/// @notice A licensee who was sold bad data puts down a deposit and opens a dispute; escrowed money of the purchase is
/// frozen. Jurors, drawn by stake, vote by commitment and revelation; the loser may appeal once to a jury more than twice
/// as big. If the consumer wins, escrowed money goes back, the provider's stake (behind the listing, and as a validator)
/// is slashed, and all who had paid for the data set when the dispute was opened share what was taken. If the provider
/// wins, it gets the consumer's bond. Jurors who voted as the case ended share the fees and what the others lose.
///
/// The provider is who owned the data set when the licence was sold. Payer, licensee, opener, provider, the owner of the
/// moment, and whoever has paid for the data set cannot be jurors. A juror may get several seats, as in Kleros: the chance
/// of a seat is proportional to stake, whether held by one account or split among many, so distinct seats would only
/// reward splitting. It casts one vote for all of them.
///
/// Every phase has an end, and anybody can move a dispute on: `summon`, `draw`, `tally`, `execute`, `settleEscrow`.
interface IDisputeResolution is IDisputeTypes, IStakePool {
    // -- parties

    /// @notice Open a dispute about a purchase, as its payer or licensee, with exactly `openingDeposit()`.
    /// Emits {DisputeOpened}.
    /// @param evidenceCid binary CID of what is wrong, 1 to 128 bytes
    function open(uint256 purchaseId, bytes calldata evidenceCid) external payable returns (uint256 disputeId);

    /// @notice Add evidence or an answer, as opener, payer, licensee or provider, until the dispute is decided.
    /// Emits {EvidenceAdded}.
    function addEvidence(uint256 disputeId, bytes calldata evidenceCid) external;

    /// @notice Give in, as the provider, before the jury is summoned: the dispute is decided for the consumer, without fees
    /// of a jury. It is executed when a jury's ruling would have been at the latest: stake that is bonded in validation
    /// must not come out faster this way.
    /// Emits {Conceded}.
    function concede(uint256 disputeId) external;

    /// @notice Ask for the bigger jury, as who lost, within the appeal period, with exactly `appealDeposit(disputeId)`.
    /// Emits {Appealed}.
    function appeal(uint256 disputeId, bytes calldata evidenceCid) external payable;

    // -- jurors

    /// @notice Commit to a vote for all of the caller's seats, once.
    /// Emits {VoteCommitted}, and {RevealOpened} with the last one.
    /// @param commitment see `commitmentFor`
    function commitVote(uint256 disputeId, bytes32 commitment) external;

    /// @notice Reveal the vote, after committing has ended.
    /// Emits {VoteRevealed}.
    function revealVote(uint256 disputeId, Ruling vote, bytes32 salt) external;

    /// @notice Show that a juror let its vote be known while others could still commit. The vote is void, the juror pays
    /// as if silent, half of it to the caller.
    /// Emits {VoteDenounced}.
    function denounce(uint256 disputeId, address juror, Ruling vote, bytes32 salt) external;

    // -- anybody

    /// @notice Announce the draw of a jury, after the evidence period.
    /// Emits {JurySummoned}.
    function summon(uint256 disputeId) external;

    /// @notice Draw the jury, after block `drawBlock`. Without enough jurors a new summons can be made until `summonEnds`;
    /// after that the stage ends. When the block is so old that the chain has forgotten its hash (8191 blocks), another
    /// one is announced.
    /// Emits {JuryDrawn}, {JuryIncomplete} or {DrawPostponed}.
    /// @param header of `drawBlock`, RLP, as debug_getRawHeader gives it
    function draw(uint256 disputeId, bytes calldata header) external;

    /// @notice Count the votes when all who committed have revealed or the time is over.
    /// Emits {RoundTallied}.
    function tally(uint256 disputeId) external;

    /// @notice Carry out a ruling that is final: pay, slash, punish.
    /// Emits {DisputeExecuted} among others.
    function execute(uint256 disputeId) external;

    /// @notice Settle the escrow of a closed dispute, should that have failed when it was executed.
    /// Emits {EscrowSettled}.
    function settleEscrow(uint256 disputeId) external;

    /// @notice The step of `execute` and `settleEscrow` that can fail as a whole. The contract calls itself; nobody else may.
    /// Emits {EscrowSettled}.
    function resolveEscrow(uint256 disputeId) external;

    /// @notice Pay a buyer its part of the compensation: what it had paid for the data set until the dispute was opened,
    /// less what an earlier dispute covered, in proportion to that of all. When nobody's payment has a known value, the
    /// payer of the purchase gets all.
    /// Emits {CompensationClaimed}.
    function claim(uint256 disputeId, address account) external returns (uint256 amount);

    /// @notice Set the parameters of disputes to come. Admin only.
    /// Emits {ParametersChanged}.
    function setParameters(Parameters calldata parameters_) external;

    // -- views

    function dispute(uint256 disputeId) external view returns (Dispute memory);

    function disputeCount() external view returns (uint256);

    /// @notice The dispute that a purchase has or had; 0 if none, or if it ended without ruling.
    function disputeOf(uint256 purchaseId) external view returns (uint256 disputeId);

    function rounds(uint256 disputeId) external view returns (Round[] memory);

    function ballot(uint256 disputeId, uint256 round, address juror) external view returns (Ballot memory);

    /// @notice What `claim` would pay.
    function claimable(uint256 disputeId, address account) external view returns (uint256 amount);

    function openingDeposit() external view returns (uint256);

    function appealDeposit(uint256 disputeId) external view returns (uint256);

    /// @notice keccak256(abi.encode(block.chainid, address(this), disputeId, round, juror, vote, salt)).
    /// @param salt 32 random bytes, or the vote can be guessed
    function commitmentFor(uint256 disputeId, uint256 round, address juror, Ruling vote, bytes32 salt)
        external
        view
        returns (bytes32);

    /// @notice The parameters of new disputes.
    function parameters() external view returns (Parameters memory);

    function parametersAt(uint32 version) external view returns (Parameters memory);

    function collaborators() external view returns (Collaborators memory);
}
