// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @title Types, events and errors of {IDisputeResolution}
/// @notice Apart from its functions for the contracts that share its storage. Amounts are wei, times seconds since the
/// Unix epoch.
interface IDisputeTypes {
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
    /// @param drawBlock in `Summoned`: the block whose prevRandao draws the jury, in any later block
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
        uint64 drawBlock;
        uint256 pot;
        uint256 potLeft;
        uint256 paidFrom;
    }

    /// @notice A jury; the numbers are of seats.
    /// @param isSettled whether its jurors were paid and punished
    /// @param revealed seats whose votes count
    /// @param voided seats whose votes were denounced
    struct Round {
        bool isAppeal;
        bool isSettled;
        uint32 seats;
        uint32 committed;
        uint32 revealed;
        uint32 voided;
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
    event JurySummoned(uint256 indexed disputeId, uint256 seats, uint64 drawBlock);
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
    /// @param executableFrom when a jury would have come to the same
    event Conceded(uint256 indexed disputeId, address indexed provider, uint64 executableFrom);
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
    error NotAJuror(uint256 disputeId, address account);
    error EmptyCommitment();
    error AlreadyVoted(uint256 disputeId, address juror);
    error WrongReveal(uint256 disputeId, bytes32 got, bytes32 expected);
    error InvalidVote(Ruling vote);
    error NotTheLoser(uint256 disputeId, address caller, address loser);
    error AlreadyAppealed(uint256 disputeId);
    error WasConceded(uint256 disputeId);
    error NothingToClaim(uint256 disputeId, address account);
    error AlreadyClaimed(uint256 disputeId, address account);
    error EscrowAlreadySettled(uint256 disputeId);
    /// @notice More gas must be sent, so that no call within can be starved.
    error NotEnoughGas(uint256 given, uint256 needed);
    error NotAcceptingCoin(address sender);
}
