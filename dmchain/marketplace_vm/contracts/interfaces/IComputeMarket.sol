// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IPullPayments} from "./IPullPayments.sol";

/// @title Market of computation beside the data
/// @notice A licensee with prepaid units orders that an algorithm be run on a data set; the provider runs it where the
/// data is; an operator of the quality oracle, drawn for the order, attests how many units it used.
///
/// Units are reserved at the order and consumed or set free when it ends; their price is released by the
/// LicenseManager. An order may promise extra pay to whoever runs it, and a fee to the operator who attests: both are
/// held here until then. Every end but completion gives all of it back.
///
/// The operator is drawn with the prevRandao of one block, fixed when the provider accepts and still to come then,
/// among the seats that the oracle had at that time. So the provider can neither choose who attests (any operator
/// would do for one who runs an operator itself), nor wait for a better draw (as it could if the drawing
/// transaction's own prevRandao counted), nor grind it as the proposer of that block (as it could with the block's
/// hash), nor move it onto itself by staking more (seats count alike; a new one only where it takes the place of one
/// that was given up). The draw takes that block's header, of which the chain remembers the hash, and can be made by
/// anyone.
///
/// Token 0 is the native coin, times are seconds since the Unix epoch.
interface IComputeMarket is IPullPayments {
    enum OrderState {
        None,
        Ordered,
        Accepted,
        Completed,
        Closed
    }

    /// @param algorithmCid binary CID of what is to be run
    /// @param maxUnits reserved, at least 1
    /// @param acceptWithin seconds in which a provider must accept
    /// @param completeWithin seconds from then on in which it must complete
    /// @param token of the two amounts
    /// @param extraPay to the account that accepts, beside the price of the units
    /// @param attestationFee to the operator who attests
    struct OrderInput {
        bytes32 datasetId;
        bytes algorithmCid;
        uint64 maxUnits;
        uint64 acceptWithin;
        uint64 completeWithin;
        address token;
        uint128 extraPay;
        uint128 attestationFee;
    }

    /// @param provider who accepted
    /// @param attestor the operator drawn, zero until then
    /// @param drawBlock the block whose prevRandao decides, zero until it is accepted
    /// @param drawLeaves seats of the oracle among which it decides
    /// @param deadline to be accepted by, then to be completed by: the last second
    /// @param draws how many operators have been drawn
    /// @param termId the term of the licence whose units are reserved
    /// @param registeredBlock registration of the data set at the order: another one makes the order void
    struct Order {
        bytes32 datasetId;
        uint256 termId;
        address consumer;
        uint64 maxUnits;
        OrderState state;
        uint8 draws;
        address provider;
        uint64 usedUnits;
        uint32 drawLeaves;
        address attestor;
        uint64 drawBlock;
        address token;
        uint64 deadline;
        uint64 completeWithin;
        uint64 drawnAt;
        uint64 registeredBlock;
        uint128 extraPay;
        uint128 attestationFee;
        bytes algorithmCid;
        bytes resultCid;
    }

    /// @notice Why an order ended without a result.
    enum Cause {
        Cancelled,
        Rejected,
        NotAccepted,
        NotCompleted,
        DatasetVoid
    }

    event OrderPlaced(
        uint256 indexed orderId,
        bytes32 indexed datasetId,
        address indexed consumer,
        bytes algorithmCid,
        uint64 maxUnits,
        uint64 acceptBy,
        address token,
        uint256 extraPay,
        uint256 attestationFee
    );
    event OrderAccepted(uint256 indexed orderId, address indexed provider, uint64 completeBy, uint64 drawBlock);
    event AttestorDrawn(uint256 indexed orderId, address indexed attestor, uint8 draws);
    event RedrawStarted(uint256 indexed orderId, address indexed former, uint64 drawBlock);
    event OrderCompleted(
        uint256 indexed orderId,
        address indexed provider,
        address indexed attestor,
        bytes resultCid,
        uint64 usedUnits
    );
    event OrderClosed(uint256 indexed orderId, Cause indexed cause, uint256 refunded);
    /// @param owner in whose name the executor acts
    event ExecutorChanged(bytes32 indexed datasetId, address indexed owner, address indexed executor);

    error UnknownOrder(uint256 orderId);
    error WrongState(uint256 orderId, OrderState state);
    /// @notice Neither the owner of the data set nor its executor.
    error NotProvider(bytes32 datasetId, address caller, address owner);
    error NotConsumer(uint256 orderId, address caller, address consumer);
    error InvalidUnits(uint256 given, uint256 highest);
    error InvalidTimeout(uint64 given, uint64 lowest, uint64 highest);
    error InvalidCidLength(uint256 given, uint256 lowest, uint256 highest);
    error DeadlinePassed(uint256 orderId, uint64 deadline);
    error NotExpired(uint256 orderId, uint64 deadline);
    error DatasetVoid(bytes32 datasetId);
    /// @notice The draw's block is still to come.
    error DrawPending(uint256 orderId, uint256 drawBlock);
    /// @param expected hash of the draw's block
    error WrongHeader(uint256 orderId, bytes32 got, bytes32 expected);
    error NotDrawn(uint256 orderId);
    error AlreadyDrawn(uint256 orderId, address attestor);
    /// @notice The oracle has no operators.
    error NoOperator();
    error RedrawNotDue(uint256 orderId, uint64 due);
    error TooManyDraws(uint256 orderId, uint256 allowed);
    /// @notice The signature is not the attestor's, or it is no operator any more.
    error InvalidAttestation(uint256 orderId, address attestor);

    /// @notice Order a computation. The caller holds a valid pay-per-compute licence with enough units that are not
    /// reserved, see {ILicenseManager-reserveFor}. extraPay and attestationFee are taken from it: allowed before, or
    /// sent along if in native coin.
    /// Emits {OrderPlaced}.
    /// @return orderId counted from 1
    function order(OrderInput calldata input) external payable returns (uint256 orderId);

    /// @notice Take an order back before it is accepted. Only its consumer.
    /// Emits {OrderClosed}.
    function cancel(uint256 orderId) external;

    /// @notice Name who may accept orders on a data set beside its owner, zero for nobody. Only the owner; void when
    /// the data set changes hands.
    /// Emits {ExecutorChanged}.
    function setExecutor(bytes32 datasetId, address executor) external;

    /// @notice Commit to run it. Only the data set's owner or executor.
    /// Emits {OrderAccepted}.
    function accept(uint256 orderId) external;

    /// @notice Refuse an order, or give up one that was accepted. Only the data set's owner or executor, or who
    /// accepted.
    /// Emits {OrderClosed}.
    function reject(uint256 orderId) external;

    /// @notice Draw the operator who attests. Anyone, after the order's drawBlock. When the chain has forgotten that
    /// block (8191 blocks later) or it yields no operator but the order's parties, a new block is set instead.
    /// Emits {AttestorDrawn}, or {RedrawStarted}.
    /// @param header RLP of the header of drawBlock
    /// @return attestor zero in the latter case
    function draw(uint256 orderId, bytes calldata header) external returns (address attestor);

    /// @notice Ask for another operator: at once when the drawn one has left the oracle; else after it was silent for
    /// `redrawAfter()` seconds. Only consumer or provider; at most `maxDraws()` are drawn for an order.
    /// Emits {RedrawStarted}.
    function redraw(uint256 orderId) external;

    /// @notice Hand in the result. Anyone who has the attestor's signature. The units are consumed, what was reserved
    /// beyond them is free again, extra pay and fee are credited.
    /// Emits {OrderCompleted}.
    /// @param resultCid binary CID of the result
    /// @param usedUnits 1 to maxUnits
    /// @param attestation signature (65 bytes, or ERC-1271) of the attestor over `attestationDigest`
    function complete(uint256 orderId, bytes calldata resultCid, uint64 usedUnits, bytes calldata attestation) external;

    /// @notice End an order that was not accepted or completed in time, or whose data set was retired or taken over.
    /// Anyone.
    /// Emits {OrderClosed}.
    function expire(uint256 orderId) external;

    /// @notice The EIP-712 digest the attestor signs: domain ("dmchain ComputeMarket", "1", chain id, this contract),
    /// type Usage(uint256 orderId,bytes resultCid,uint64 usedUnits).
    function attestationDigest(uint256 orderId, bytes calldata resultCid, uint64 usedUnits)
        external
        view
        returns (bytes32);

    /// @notice Reverts with {UnknownOrder}. Named `orderOf`, as `order` places one.
    function orderOf(uint256 orderId) external view returns (Order memory);

    /// @notice The account that may accept orders beside the owner of the moment; zero for none.
    function executorOf(bytes32 datasetId) external view returns (address);

    function licenseManager() external view returns (address);

    function qualityOracle() external view returns (address);

    function orderCount() external view returns (uint256);

    function redrawAfter() external view returns (uint64);

    function maxDraws() external view returns (uint8);
}
