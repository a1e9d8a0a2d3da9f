// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {BlockHeader} from "@openzeppelin/contracts/utils/BlockHeader.sol";
import {Blockhash} from "@openzeppelin/contracts/utils/Blockhash.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {PullPayments} from "./PullPayments.sol";
import {CID_REGISTRY, ICidRegistry} from "./interfaces/ICidRegistry.sol";
import {IComputeMarket} from "./interfaces/IComputeMarket.sol";
import {ILicenseManager} from "./interfaces/ILicenseManager.sol";
import {IQualityOracle} from "./interfaces/IQualityOracle.sol";

/// @title Market of computation beside the data
/// @notice See {IComputeMarket}. INVARIANT: for each token, the sum of `extraPay + attestationFee` over orders that are
/// ordered or accepted and of all that is owed equals `held(token)`, which is at most the balance.
contract ComputeMarket is PullPayments, EIP712, IComputeMarket {
    uint64 private constant LONGEST_TIMEOUT = 365 days;
    uint256 private constant SHORTEST_CID = 4;
    uint256 private constant LONGEST_CID = 128;
    /// @dev Tries to hit an operator among the seats: with one seat in four taken, all fail once in 10^8.
    uint256 private constant DRAW_TRIES = 64;
    bytes32 private constant USAGE_TYPEHASH = keccak256("Usage(uint256 orderId,bytes resultCid,uint64 usedUnits)");

    /// @inheritdoc IComputeMarket
    uint8 public constant maxDraws = 3;
    /// @inheritdoc IComputeMarket
    uint64 public immutable redrawAfter;

    ILicenseManager private immutable _manager;
    IQualityOracle private immutable _oracle;

    uint256 private _count;
    mapping(uint256 orderId => Order) private _orders;
    mapping(uint256 orderId => mapping(address operator => bool)) private _wasDrawn;
    mapping(bytes32 datasetId => mapping(address owner => address executor)) private _executors;

    /// @param manager the LicenseManager, on which this contract is a module
    /// @param redrawAfter_ seconds of silence after which another operator can be asked for
    constructor(address manager, address oracle, uint64 redrawAfter_) EIP712("dmchain ComputeMarket", "1") {
        if (manager == address(0)) revert InvalidAccount(manager);
        if (oracle == address(0)) revert InvalidAccount(oracle);
        _manager = ILicenseManager(manager);
        _oracle = IQualityOracle(oracle);
        redrawAfter = redrawAfter_;
    }

    // -- the consumer

    /// @inheritdoc IComputeMarket
    function order(OrderInput calldata input) external payable nonReentrant returns (uint256 orderId) {
        if (input.maxUnits == 0) revert InvalidUnits(0, type(uint64).max);
        _checkCid(input.algorithmCid);
        _checkTimeout(input.acceptWithin);
        _checkTimeout(input.completeWithin);
        uint256 promised = uint256(input.extraPay) + input.attestationFee;
        // Some tokens refuse to move nothing.
        _takeIn(promised == 0 ? address(0) : input.token, promised);
        orderId = ++_count;
        Order storage o = _orders[orderId];
        o.datasetId = input.datasetId;
        o.consumer = msg.sender;
        o.maxUnits = input.maxUnits;
        o.state = OrderState.Ordered;
        o.token = input.token;
        o.deadline = uint64(block.timestamp) + input.acceptWithin;
        o.completeWithin = input.completeWithin;
        o.registeredBlock = CID_REGISTRY.dataset(input.datasetId).registeredBlock;
        o.extraPay = input.extraPay;
        o.attestationFee = input.attestationFee;
        o.algorithmCid = input.algorithmCid;
        emit OrderPlaced(
            orderId,
            input.datasetId,
            msg.sender,
            input.algorithmCid,
            input.maxUnits,
            o.deadline,
            input.token,
            input.extraPay,
            input.attestationFee
        );
        o.termId = _manager.reserveFor(input.datasetId, msg.sender, input.maxUnits);
    }

    /// @inheritdoc IComputeMarket
    function cancel(uint256 orderId) external nonReentrant {
        Order storage o = _inState(orderId, OrderState.Ordered);
        if (msg.sender != o.consumer) revert NotConsumer(orderId, msg.sender, o.consumer);
        _close(orderId, o, Cause.Cancelled);
    }

    // -- the provider

    /// @inheritdoc IComputeMarket
    function setExecutor(bytes32 datasetId, address executor) external {
        address owner = CID_REGISTRY.ownerOf(datasetId);
        if (msg.sender != owner) revert NotProvider(datasetId, msg.sender, owner);
        _executors[datasetId][owner] = executor;
        emit ExecutorChanged(datasetId, owner, executor);
    }

    /// @inheritdoc IComputeMarket
    function accept(uint256 orderId) external nonReentrant {
        Order storage o = _inState(orderId, OrderState.Ordered);
        _checkProvider(o.datasetId);
        if (block.timestamp > o.deadline) revert DeadlinePassed(orderId, o.deadline);
        if (_isVoid(o)) revert DatasetVoid(o.datasetId);
        o.provider = msg.sender;
        o.state = OrderState.Accepted;
        o.deadline = uint64(block.timestamp) + o.completeWithin;
        _announceDraw(o);
        if (o.drawLeaves == 0) revert NoOperator();
        emit OrderAccepted(orderId, msg.sender, o.deadline, o.drawBlock);
    }

    /// @inheritdoc IComputeMarket
    function reject(uint256 orderId) external nonReentrant {
        Order storage o = _unfinished(orderId);
        if (msg.sender != o.provider) _checkProvider(o.datasetId);
        _close(orderId, o, Cause.Rejected);
    }

    // -- the attestation

    /// @inheritdoc IComputeMarket
    function draw(uint256 orderId, bytes calldata header) external nonReentrant returns (address attestor) {
        Order storage o = _inState(orderId, OrderState.Accepted);
        if (o.attestor != address(0)) revert AlreadyDrawn(orderId, o.attestor);
        if (block.number <= o.drawBlock) revert DrawPending(orderId, o.drawBlock);
        bytes32 expected = Blockhash.blockHash(o.drawBlock);
        if (expected != 0) {
            bytes32 got = keccak256(header);
            if (got != expected) revert WrongHeader(orderId, got, expected);
            attestor = _pick(orderId, o, BlockHeader.getPrevRandao(header));
        }
        if (attestor == address(0)) {
            _announceDraw(o);
            emit RedrawStarted(orderId, attestor, o.drawBlock);
        } else {
            o.attestor = attestor;
            o.drawnAt = uint64(block.timestamp);
            _wasDrawn[orderId][attestor] = true;
            emit AttestorDrawn(orderId, attestor, ++o.draws);
        }
    }

    /// @inheritdoc IComputeMarket
    function redraw(uint256 orderId) external nonReentrant {
        Order storage o = _inState(orderId, OrderState.Accepted);
        if (msg.sender != o.consumer && msg.sender != o.provider) {
            revert NotConsumer(orderId, msg.sender, o.consumer);
        }
        address former = o.attestor;
        if (former == address(0)) revert NotDrawn(orderId);
        if (o.draws >= maxDraws) revert TooManyDraws(orderId, maxDraws);
        uint64 due = o.drawnAt + redrawAfter;
        if (block.timestamp < due && _oracle.isOperator(former)) revert RedrawNotDue(orderId, due);
        o.attestor = address(0);
        _announceDraw(o);
        emit RedrawStarted(orderId, former, o.drawBlock);
    }

    /// @inheritdoc IComputeMarket
    function complete(uint256 orderId, bytes calldata resultCid, uint64 usedUnits, bytes calldata attestation)
        external
        nonReentrant
    {
        Order storage o = _inState(orderId, OrderState.Accepted);
        if (block.timestamp > o.deadline) revert DeadlinePassed(orderId, o.deadline);
        if (usedUnits == 0 || usedUnits > o.maxUnits) revert InvalidUnits(usedUnits, o.maxUnits);
        _checkCid(resultCid);
        address attestor = o.attestor;
        if (attestor == address(0)) revert NotDrawn(orderId);
        bytes32 digest = attestationDigest(orderId, resultCid, usedUnits);
        if (
            !_oracle.isOperator(attestor) || !SignatureChecker.isValidSignatureNow(attestor, digest, attestation)
        ) revert InvalidAttestation(orderId, attestor);
        o.state = OrderState.Completed;
        o.usedUnits = usedUnits;
        o.resultCid = resultCid;
        _credit(o.token, o.provider, o.extraPay);
        _credit(o.token, attestor, o.attestationFee);
        emit OrderCompleted(orderId, o.provider, attestor, resultCid, usedUnits);
        (uint256 termId, uint64 unused) = (o.termId, o.maxUnits - usedUnits);
        _manager.consumeFor(termId, usedUnits);
        if (unused > 0) _manager.unreserveFor(termId, unused);
    }

    /// @inheritdoc IComputeMarket
    function expire(uint256 orderId) external nonReentrant {
        Order storage o = _unfinished(orderId);
        Cause cause = o.state == OrderState.Ordered ? Cause.NotAccepted : Cause.NotCompleted;
        if (_isVoid(o)) {
            cause = Cause.DatasetVoid;
        } else if (block.timestamp <= o.deadline) {
            revert NotExpired(orderId, o.deadline);
        }
        _close(orderId, o, cause);
    }

    // -- views

    /// @inheritdoc IComputeMarket
    function attestationDigest(uint256 orderId, bytes calldata resultCid, uint64 usedUnits)
        public
        view
        returns (bytes32)
    {
        return _hashTypedDataV4(keccak256(abi.encode(USAGE_TYPEHASH, orderId, keccak256(resultCid), usedUnits)));
    }

    /// @inheritdoc IComputeMarket
    function orderOf(uint256 orderId) external view returns (Order memory) {
        return _known(orderId);
    }

    /// @inheritdoc IComputeMarket
    function executorOf(bytes32 datasetId) external view returns (address) {
        return _executors[datasetId][CID_REGISTRY.ownerOf(datasetId)];
    }

    /// @inheritdoc IComputeMarket
    function orderCount() external view returns (uint256) {
        return _count;
    }

    /// @inheritdoc IComputeMarket
    function licenseManager() external view returns (address) {
        return address(_manager);
    }

    /// @inheritdoc IComputeMarket
    function qualityOracle() external view returns (address) {
        return address(_oracle);
    }

    // -- internals

    /// @dev End an order without a result: everything goes back.
    function _close(uint256 orderId, Order storage o, Cause cause) private {
        o.state = OrderState.Closed;
        uint256 refunded = uint256(o.extraPay) + o.attestationFee;
        _credit(o.token, o.consumer, refunded);
        emit OrderClosed(orderId, cause, refunded);
        _manager.unreserveFor(o.termId, o.maxUnits);
    }

    /// @dev The next block's prevRandao is not known to anybody yet, and the seats are those of now.
    function _announceDraw(Order storage o) private {
        o.drawBlock = uint64(block.number) + 1;
        o.drawLeaves = SafeCast.toUint32(_oracle.leafCount());
    }

    /// @return attestor zero when no try hit an operator who is not a party and was not drawn before
    function _pick(uint256 orderId, Order storage o, bytes32 randao) private view returns (address attestor) {
        address owner = CID_REGISTRY.ownerOf(o.datasetId);
        uint256 leaves = o.drawLeaves;
        if (leaves == 0) return address(0);
        for (uint256 i = 0; i < DRAW_TRIES; ++i) {
            uint256 random = uint256(keccak256(abi.encode(randao, address(this), orderId, i)));
            attestor = _oracle.memberAt(random % leaves);
            bool isParty = attestor == owner || attestor == o.provider || attestor == o.consumer;
            if (!isParty && !_wasDrawn[orderId][attestor] && _oracle.isOperator(attestor)) return attestor;
        }
        return address(0);
    }

    function _known(uint256 orderId) private view returns (Order storage o) {
        o = _orders[orderId];
        if (o.state == OrderState.None) revert UnknownOrder(orderId);
    }

    function _inState(uint256 orderId, OrderState state) private view returns (Order storage o) {
        o = _known(orderId);
        if (o.state != state) revert WrongState(orderId, o.state);
    }

    function _unfinished(uint256 orderId) private view returns (Order storage o) {
        o = _known(orderId);
        if (o.state != OrderState.Ordered && o.state != OrderState.Accepted) revert WrongState(orderId, o.state);
    }

    function _checkProvider(bytes32 datasetId) private view {
        address owner = CID_REGISTRY.ownerOf(datasetId);
        if (msg.sender == owner) return;
        address executor = _executors[datasetId][owner];
        if (executor == address(0) || msg.sender != executor) revert NotProvider(datasetId, msg.sender, owner);
    }

    function _checkCid(bytes calldata cid) private pure {
        if (cid.length < SHORTEST_CID || cid.length > LONGEST_CID) {
            revert InvalidCidLength(cid.length, SHORTEST_CID, LONGEST_CID);
        }
    }

    function _checkTimeout(uint64 given) private pure {
        if (given == 0 || given > LONGEST_TIMEOUT) revert InvalidTimeout(given, 1, LONGEST_TIMEOUT);
    }

    /// @dev A claim dates the data set back to its commitment, so to an earlier block: no two registrations share one.
    function _isVoid(Order storage o) private view returns (bool) {
        ICidRegistry.Dataset memory dataset = CID_REGISTRY.dataset(o.datasetId);
        return dataset.status != ICidRegistry.DatasetStatus.Active || dataset.registeredBlock != o.registeredBlock;
    }
}
