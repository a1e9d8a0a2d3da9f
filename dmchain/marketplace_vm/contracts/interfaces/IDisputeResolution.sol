// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

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
interface IDisputeResolution is IStakePool {
    /// @notice `Evidence`: open; `Summoned`: the draw is announced; `Committing`, `Revealing`: the jury votes; `Decided`:
    /// a ruling that may be appealed, or only has to be executed; `Closed`: over, see `ruling`.
    enum Phase {
        None,
        Evidence,
        Summoned,
        Committing,
        Revealing,
        Decided,
        Closed
    }

    /// @notice `None` in a closed dispute: no jury, or no majority of it: deposits went back and nothing changed.
    enum Ruling {
        None,
        Consumer,
        Provider
    }

    /// @param jurySize seats of the first jury, odd; an appeal has twice as many and one more; at most 15
    /// @param wrongBps what a seat that voted against the final ruling loses, in bps of seatStake
    /// @param silentBps what a seat that did not reveal, or whose vote was denounced, loses
    /// @param compensationBps of what was paid for the data set, taken from the provider for the buyers
    /// @param bond deposit on top of the jury's fees; twice that for an appeal
    /// @param seatFee for a juror's seat
    /// @param seatStake of a juror, locked for each seat
    /// @param minimumStake what a juror must have staked; at least seatStake
    /// @param minimumSlash least that a provider who loses is asked for
    /// @param openWindow seconds after the purchase in which a dispute can be opened; later only on escrowed money
    /// @param evidencePeriod seconds between opening and jury
    /// @param summonPeriod seconds within which a jury must be found
    /// @param appealPeriod seconds after a ruling in which the loser can appeal
    /// @param leaveDelay seconds between asking to leave and taking a juror's stake
    struct Parameters {
        uint16 jurySize;
        uint16 wrongBps;
        uint16 silentBps;
        uint16 compensationBps;
        uint128 bond;
        uint128 seatFee;
        uint128 seatStake;
        uint128 minimumStake;
        uint128 minimumSlash;
        uint64 openWindow;
        uint64 evidencePeriod;
        uint64 summonPeriod;
        uint64 commitPeriod;
        uint64 revealPeriod;
        uint64 appealPeriod;
        uint64 leaveDelay;
    }

    /// @param licenseManager,escrow,providerStake,reputation contracts of the market; see their interfaces
    struct Collaborators {
        address licenseManager;
        address escrow;
        address providerStake;
        address reputation;
    }

    /// @param provider who sold the licence
    /// @param opener who opened the dispute and gets its deposit back
    /// @param version of the parameters, kept for the dispute's life
    /// @param deadline of the phase: end of evidence, commitments, revelations or appeals; in `Summoned` none
    /// @param summonEnds after this a draw without enough jurors ends the stage
    /// @param drawFrom in `Summoned`: the first block in which the jury can be drawn
    /// @param isAppeal whether the appeal is running or has run
    /// @param isRedraw whether this stage had a jury without a majority already
    /// @param ruling of the latest jury with a majority
    struct Dispute {
        uint256 purchaseId;
        bytes32 datasetId;
        address opener;
        Phase phase;
        Ruling ruling;
        bool isAppeal;
        bool isRedraw;
        bool escrowSettled;
        uint32 version;
        address provider;
        uint64 openedAt;
        address payer;
        uint64 deadline;
        address licensee;
        uint64 summonEnds;
        address appellant;
        uint64 drawFrom;
        uint256 pot;
        uint256 potLeft;
        uint256 paidFrom;
    }

    /// @param votes seats that voted for the consumer and for the provider
    struct Round {
        bool isAppeal;
        bool isSettled;
        uint32 seats;
        uint32 committed;
        uint32 revealed;
        uint32 forConsumer;
        uint32 forProvider;
        address[] jurors;
    }

    /// @param seats of the juror in the round
    /// @param isVoid whether its vote was denounced
    struct Ballot {
        uint32 seats;
        Ruling vote;
        bool isVoid;
        bytes32 commitment;
    }

    event DisputeOpened(
        uint256 indexed disputeId,
        bytes32 indexed datasetId,
        address indexed opener,
        uint256 purchaseId,
        address provider,
        uint256 deposit,
        uint256 frozen,
        bytes evidenceCid,
        uint64 evidenceEnds
    );
    event EvidenceAdded(uint256 indexed disputeId, address indexed party, bytes evidenceCid);
    event JurySummoned(uint256 indexed disputeId, uint256 seats, uint64 drawFrom);
    /// @notice Not enough jurors could be found for now.
    event JuryIncomplete(uint256 indexed disputeId, uint256 found, uint256 needed);
    /// @param jurors one for each seat
    event JuryDrawn(uint256 indexed disputeId, uint256 indexed round, address[] jurors, uint64 commitEnds);
    event VoteCommitted(uint256 indexed disputeId, uint256 indexed round, address indexed juror, bytes32 commitment);
    event RevealOpened(uint256 indexed disputeId, uint256 indexed round, uint64 revealEnds);
    event VoteRevealed(
        uint256 indexed disputeId,
        uint256 indexed round,
        address indexed juror,
        Ruling vote,
        uint256 seats
    );
    event VoteDenounced(
        uint256 indexed disputeId,
        uint256 indexed round,
        address indexed juror,
        address reporter,
        uint256 penalty,
        uint256 reward
    );
    /// @param ruling `None` when the jury had no majority of its seats
    event RoundTallied(
        uint256 indexed disputeId,
        uint256 indexed round,
        Ruling ruling,
        uint256 forConsumer,
        uint256 forProvider,
        uint64 appealEnds
    );
    event Conceded(uint256 indexed disputeId, address indexed provider);
    event Appealed(uint256 indexed disputeId, address indexed appellant, uint256 deposit);
    /// @param paid to each seat that voted for the ruling
    event JurorsSettled(uint256 indexed disputeId, uint256 indexed round, uint256 coherentSeats, uint256 paid);
    /// @param fromListing taken from the stake behind the listing
    /// @param fromValidator taken from the provider's stake as a validator
    event ProviderSlashed(
        uint256 indexed disputeId,
        address indexed provider,
        uint256 requested,
        uint256 fromListing,
        uint256 fromValidator
    );
    /// @notice The provider is no validator, or staking is off.
    event ValidatorSlashFailed(uint256 indexed disputeId, bytes reason);
    event DisputeExecuted(uint256 indexed disputeId, Ruling indexed ruling, uint256 pot);
    event EscrowSettled(uint256 indexed disputeId, uint256 indexed escrowId, uint256 refunded);
    event EscrowFailed(uint256 indexed disputeId, bytes reason);
    event ReputationFailed(uint256 indexed disputeId, bytes reason);
    event CompensationClaimed(uint256 indexed disputeId, address indexed account, uint256 amount);
    event ParametersChanged(uint32 indexed version, Parameters parameters);

    error InvalidParameters();
    error InvalidEvidence(uint256 length, uint256 allowed);
    error UnknownDispute(uint256 disputeId);
    error UnknownPurchase(uint256 purchaseId);
    error NotAParty(uint256 id, address caller);
    /// @notice Nothing was paid for the licence.
    error NothingPaid(uint256 purchaseId);
    /// @notice The purchase has or had a dispute, by which it is decided.
    error AlreadyDisputed(uint256 purchaseId, uint256 disputeId);
    error TooLateToOpen(uint256 purchaseId, uint64 openUntil);
    error WrongDeposit(uint256 given, uint256 needed);
    error WrongPhase(uint256 disputeId, Phase phase);
    error PhaseOver(uint256 disputeId, uint64 endedAt);
    error PhaseNotOver(uint256 disputeId, uint64 endsAt);
    error TooEarlyToDraw(uint256 disputeId, uint64 block_, uint64 drawFrom);
    error NotAJuror(uint256 disputeId, address account);
    error EmptyCommitment();
    error AlreadyVoted(uint256 disputeId, address juror);
    error WrongReveal(uint256 disputeId, bytes32 got, bytes32 expected);
    error InvalidVote(Ruling vote);
    error NotTheLoser(uint256 disputeId, address caller, address loser);
    error AlreadyAppealed(uint256 disputeId);
    error NothingToClaim(uint256 disputeId, address account);
    error AlreadyClaimed(uint256 disputeId, address account);
    error EscrowAlreadySettled(uint256 disputeId);
    /// @notice More gas must be sent, so that no call within can be starved.
    error NotEnoughGas(uint256 given, uint256 needed);
    error NotAcceptingCoin(address sender);

    // -- parties

    /// @notice Open a dispute about a purchase, as its payer or licensee, with exactly `openingDeposit()`.
    /// Emits {DisputeOpened}.
    /// @param evidenceCid binary CID of what is wrong, 1 to 128 bytes
    function open(uint256 purchaseId, bytes calldata evidenceCid) external payable returns (uint256 disputeId);

    /// @notice Add evidence or an answer, as opener, payer, licensee or provider, until the dispute is decided.
    /// Emits {EvidenceAdded}.
    function addEvidence(uint256 disputeId, bytes calldata evidenceCid) external;

    /// @notice Give in, as the provider, before the jury is summoned: the dispute is decided for the consumer at once.
    /// Emits {Conceded}.
    function concede(uint256 disputeId) external;

    /// @notice Ask for the bigger jury, as who lost, within the appeal period, with exactly `appealDeposit(disputeId)`.
    /// Emits {Appealed}.
    function appeal(uint256 disputeId, bytes calldata evidenceCid) external payable;

    // -- jurors

    /// @notice Commit to a vote for all of the caller's seats; again to change it while committing goes on.
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

    /// @notice Draw the jury with this block's prevRandao, at block `drawFrom` or later. Without enough jurors a new
    /// summons can be made until `summonEnds`; after that the stage ends.
    /// Emits {JuryDrawn} or {JuryIncomplete}.
    function draw(uint256 disputeId) external;

    /// @notice Count the votes when all who committed have revealed or the time is over.
    /// Emits {RoundTallied}.
    function tally(uint256 disputeId) external;

    /// @notice Carry out a ruling that is final: pay, slash, punish.
    /// Emits {DisputeExecuted} among others.
    function execute(uint256 disputeId) external;

    /// @notice Settle the escrow of a closed dispute, should that have failed when it was executed.
    /// Emits {EscrowSettled}.
    function settleEscrow(uint256 disputeId) external;

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
