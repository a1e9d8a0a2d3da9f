// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IPullPayments} from "./IPullPayments.sol";

/// @title Payment by the second
/// @notice A payer puts down a deposit that flows to the other side as time goes by. A stream by an offer (of a
/// subscription) comes with a licence that lasts as long as the deposit; a plain stream is money alone.
///
/// What has flowed after t seconds is floor(t * price / period), counted from the start each time, so no second is
/// ever rounded twice: at every moment what the one side may claim and what the other may claim add up to the
/// deposit. The stream ends when the deposit does not pay for another whole second; the rest of less than that goes
/// back to the payer.
///
/// A licence of a second may be all that a buyer of a file needs. So a provider can demand that streams by an offer pay
/// for some time at least: that much has flowed the moment they start, and comes back to nobody.
///
/// Money of a stream by an offer is sent to {ILicenseManager-distribute}. When its data set is retired, or registered
/// anew by an earlier commitment, or its licence is taken away by whoever controls the data set after delisting, the
/// stream is void: nothing more can be withdrawn, and what is still there goes back to the payer, whoever asks for it.
/// Token 0 is the native coin, times are seconds since the Unix epoch.
interface IPaymentStream is IPullPayments {
    /// @notice `Ended`: by cancelling, by running dry, or void. What has flowed until then can still be withdrawn.
    enum StreamState {
        None,
        Active,
        Ended
    }

    /// @param offerId 0 for a plain stream
    /// @param recipient of a plain stream; zero for one by an offer, whose money is distributed
    /// @param price what flows in `period` seconds
    /// @param deposit all that was paid in, less what went back to the payer
    /// @param withdrawn what has been paid to the recipient's side
    /// @param startedAt when it began to flow
    /// @param stopsAt when it stops or stopped
    /// @param minimum seconds that count as flowed from the start
    /// @param termId the term of its licence in the LicenseManager
    /// @param registeredBlock registration of the data set at the start: another one makes the stream void
    struct Stream {
        uint256 offerId;
        bytes32 datasetId;
        address payer;
        uint64 startedAt;
        StreamState state;
        address licensee;
        uint64 stopsAt;
        address recipient;
        uint64 registeredBlock;
        address token;
        uint64 period;
        uint128 price;
        uint128 deposit;
        uint128 withdrawn;
        uint64 minimum;
        uint64 termId;
    }

    event StreamStarted(
        uint256 indexed streamId,
        uint256 indexed offerId,
        address indexed payer,
        address licensee,
        address recipient,
        address token,
        uint256 deposit,
        uint256 price,
        uint256 period,
        uint64 stopsAt
    );
    /// @param minimum seconds; type(uint64).max for no streams
    event MinimumChanged(uint256 indexed offerId, uint64 minimum);
    event StreamToppedUp(uint256 indexed streamId, address indexed by, uint256 added, uint64 stopsAt);
    /// @param refunded credited to the payer, who withdraws it
    /// @param claimable what has flowed and was not withdrawn yet
    event StreamEnded(uint256 indexed streamId, uint64 endedAt, uint256 refunded, uint256 claimable);
    /// @param amount sent to the LicenseManager for distribution, or to the recipient of a plain stream
    event StreamWithdrawn(uint256 indexed streamId, uint256 amount);

    error UnknownStream(uint256 streamId);
    error NotActive(uint256 streamId);
    /// @notice The deposit is used up: start a new stream.
    error StreamRanDry(uint256 streamId, uint64 stoppedAt);
    /// @notice Still flowing.
    error StreamFlowing(uint256 streamId, uint64 until);
    error NotParty(uint256 streamId, address caller, address payer, address other);
    /// @notice Streams need an offer of a subscription that is for sale, and whose provider does not refuse them.
    error NotStreamable(uint256 offerId);
    /// @notice The account holds a valid licence of the data set.
    error LicenseInForce(bytes32 datasetId, address licensee);
    /// @notice Of a stream: void, see above.
    error DatasetVoid(bytes32 datasetId);
    error DatasetNotVoid(bytes32 datasetId);
    /// @param given does not pay for one second, or not for the offer's minimum
    error DepositTooSmall(uint256 given, uint256 least);
    /// @notice The deposit pays for longer than the offer allows, or beyond what times can hold.
    error DepositTooLarge(uint256 givenSeconds, uint256 mostSeconds);
    error NotDatasetOwner(bytes32 datasetId, address caller, address owner);
    error InvalidRate(uint256 price, uint256 period);
    error NothingToWithdraw(uint256 streamId);

    /// @notice Demand that streams by an offer pay for so many seconds at least; type(uint64).max refuses them. Holds
    /// for streams that start from now on. Only the data set's owner.
    /// Emits {MinimumChanged}.
    function setMinimum(uint256 offerId, uint64 minimum) external;

    /// @notice Start a stream by an offer. `deposit` is taken from the caller, who is the payer; it needs to have
    /// allowed it to this contract, or send it along if it is native coin. The licensee gets the licence. A stream that
    /// somebody else pays for the caller ends.
    /// Emits {StreamStarted}, and {StreamEnded} for a former stream of the licensee.
    /// @return streamId counted from 1
    function start(uint256 offerId, address licensee, uint128 deposit) external payable returns (uint256 streamId);

    /// @notice Start a stream to an account, without a licence.
    /// Emits {StreamStarted}.
    /// @param price what flows in `period` seconds
    function startPlain(address recipient, address token, uint128 price, uint64 period, uint128 deposit)
        external
        payable
        returns (uint256 streamId);

    /// @notice Add to the deposit; the licence is extended. Anyone may, to the payer's credit, while it flows.
    /// Emits {StreamToppedUp}.
    function topUp(uint256 streamId, uint128 amount) external payable;

    /// @notice Stop now: the licence ends, what has not flowed goes back to the payer. Only payer, licensee, or the
    /// recipient of a plain stream.
    /// Emits {StreamEnded}.
    function cancel(uint256 streamId) external;

    /// @notice Close a stream that ran dry, and credit the payer the rest of less than a second. Anyone.
    /// Emits {StreamEnded}.
    function close(uint256 streamId) external;

    /// @notice Stop a stream whose data set is void, and credit the payer all that is left. Anyone.
    /// Emits {StreamEnded}.
    function stopVoid(uint256 streamId) external;

    /// @notice Pay out what has flowed, to those it belongs to. Anyone may.
    /// Emits {StreamWithdrawn}, and {StreamEnded} if it ran dry.
    function withdraw(uint256 streamId) external returns (uint256 amount);

    /// @notice Reverts with {UnknownStream}.
    function stream(uint256 streamId) external view returns (Stream memory);

    /// @notice What each side may claim at this second.
    /// @return forRecipient flowed and not withdrawn
    /// @return forPayer what a cancel would give back; 0 once it ended
    function claims(uint256 streamId) external view returns (uint256 forRecipient, uint256 forPayer);

    /// @notice Seconds that a stream by an offer pays for at least.
    function minimumOf(uint256 offerId) external view returns (uint64);

    /// @notice The stream that pays for an account's licence, 0 if none is active.
    function streamOf(bytes32 datasetId, address licensee) external view returns (uint256 streamId);

    function streamCount() external view returns (uint256);

    function licenseManager() external view returns (address);
}
