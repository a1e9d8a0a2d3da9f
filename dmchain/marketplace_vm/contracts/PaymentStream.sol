// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {PullPayments} from "./PullPayments.sol";
import {CID_REGISTRY, ICidRegistry} from "./interfaces/ICidRegistry.sol";
import {ILicenseLedger, LICENSE_LEDGER} from "./interfaces/ILicenseLedger.sol";
import {ILicenseManager} from "./interfaces/ILicenseManager.sol";
import {IPaymentStream} from "./interfaces/IPaymentStream.sol";

/// @title Payment by the second
/// @notice See {IPaymentStream}. INVARIANT: for each token, the sum of `deposit - withdrawn` over all streams and of
/// all that is owed equals `held(token)`, which is at most the balance.
contract PaymentStream is PullPayments, IPaymentStream {
    /// @dev The longest a deposit may last, some 34,000 years: beyond is a mistake in the amount, and times stay small.
    uint256 private constant MAX_SECONDS = 2 ** 40;
    bytes32 private constant CANCELLED = "stream cancelled";
    bytes32 private constant REPLACED = "stream replaced";

    ILicenseManager private immutable _manager;
    uint256 private _count;
    mapping(uint256 streamId => Stream) private _streams;
    mapping(bytes32 datasetId => mapping(address licensee => uint256 streamId)) private _active;
    /// @inheritdoc IPaymentStream
    mapping(uint256 offerId => uint64 minimum) public minimumOf;

    /// @param manager the LicenseManager, on which this contract is a module
    constructor(address manager) {
        if (manager == address(0)) revert InvalidAccount(manager);
        _manager = ILicenseManager(manager);
    }

    /// @inheritdoc IPaymentStream
    function setMinimum(uint256 offerId, uint64 minimum) external {
        bytes32 datasetId = _manager.offer(offerId).datasetId;
        address owner = CID_REGISTRY.ownerOf(datasetId);
        if (msg.sender != owner) revert NotDatasetOwner(datasetId, msg.sender, owner);
        minimumOf[offerId] = minimum;
        emit MinimumChanged(offerId, minimum);
    }

    /// @inheritdoc IPaymentStream
    function start(uint256 offerId, address licensee, uint128 deposit)
        external
        payable
        nonReentrant
        returns (uint256 streamId)
    {
        if (licensee == address(0)) revert InvalidAccount(licensee);
        ILicenseManager.Offer memory offer = _manager.offer(offerId);
        uint64 minimum = minimumOf[offerId];
        if (
            offer.kind != ILicenseLedger.LicenseKind.Subscription ||
            minimum == type(uint64).max ||
            !_manager.isSellable(offerId)
        ) revert NotStreamable(offerId);
        _closeFormer(offer.datasetId, licensee);
        streamId = _open(offer.token, offer.price, offer.period, deposit, minimum);
        Stream storage s = _streams[streamId];
        s.offerId = offerId;
        s.datasetId = offer.datasetId;
        s.licensee = licensee;
        s.registeredBlock = offer.registeredBlock;
        _active[offer.datasetId][licensee] = streamId;
        _emitStarted(streamId, s);
        s.termId = uint64(_manager.grantFor(offerId, msg.sender, licensee, s.stopsAt, 0));
    }

    /// @inheritdoc IPaymentStream
    function startPlain(address recipient, address token, uint128 price, uint64 period, uint128 deposit)
        external
        payable
        nonReentrant
        returns (uint256 streamId)
    {
        if (recipient == address(0) || recipient == address(this)) revert InvalidAccount(recipient);
        streamId = _open(token, price, period, deposit, 0);
        Stream storage s = _streams[streamId];
        s.recipient = recipient;
        _emitStarted(streamId, s);
    }

    /// @inheritdoc IPaymentStream
    function topUp(uint256 streamId, uint128 amount) external payable nonReentrant {
        Stream storage s = _known(streamId);
        if (s.state != StreamState.Active) revert NotActive(streamId);
        if (_isVoid(s)) revert DatasetVoid(s.datasetId);
        if (block.timestamp >= s.stopsAt) revert StreamRanDry(streamId, s.stopsAt);
        _takeIn(s.token, amount);
        s.deposit += amount;
        uint64 stopsAt = s.startedAt + _secondsFor(s.deposit, s.price, s.period);
        bool isLonger = stopsAt > s.stopsAt;
        s.stopsAt = stopsAt;
        emit StreamToppedUp(streamId, msg.sender, amount, stopsAt);
        if (isLonger && s.offerId != 0) {
            s.termId = uint64(_manager.grantFor(s.offerId, s.payer, s.licensee, stopsAt, 0));
        }
    }

    /// @inheritdoc IPaymentStream
    function cancel(uint256 streamId) external nonReentrant {
        Stream storage s = _known(streamId);
        address other = s.offerId == 0 ? s.recipient : s.licensee;
        if (msg.sender != s.payer && msg.sender != other) revert NotParty(streamId, msg.sender, s.payer, other);
        if (s.state != StreamState.Active) revert NotActive(streamId);
        bool isFlowing = block.timestamp < s.stopsAt;
        // What flowed to a data set that is void by now goes back as well, see stopVoid.
        _end(streamId, s, _isVoid(s) ? s.withdrawn : _flowed(s));
        if (isFlowing && s.offerId != 0) _manager.endFor(s.datasetId, s.licensee, CANCELLED);
    }

    /// @inheritdoc IPaymentStream
    function close(uint256 streamId) external nonReentrant {
        Stream storage s = _known(streamId);
        if (s.state != StreamState.Active) revert NotActive(streamId);
        if (block.timestamp < s.stopsAt) revert StreamFlowing(streamId, s.stopsAt);
        if (_isVoid(s)) revert DatasetVoid(s.datasetId);
        _end(streamId, s, _flowed(s));
    }

    /// @inheritdoc IPaymentStream
    function stopVoid(uint256 streamId) external nonReentrant {
        Stream storage s = _known(streamId);
        if (!_isVoid(s)) revert DatasetNotVoid(s.datasetId);
        if (s.state == StreamState.Ended && s.deposit == s.withdrawn) revert NotActive(streamId);
        _end(streamId, s, s.withdrawn);
    }

    /// @inheritdoc IPaymentStream
    function withdraw(uint256 streamId) external nonReentrant returns (uint256 amount) {
        Stream storage s = _known(streamId);
        if (_isVoid(s)) revert DatasetVoid(s.datasetId);
        if (s.state == StreamState.Active && block.timestamp >= s.stopsAt) _end(streamId, s, _flowed(s));
        amount = _claimable(s);
        if (amount == 0) revert NothingToWithdraw(streamId);
        s.withdrawn += uint128(amount); // at most the deposit
        address token = s.token;
        _giveUp(token, amount);
        emit StreamWithdrawn(streamId, amount);
        if (s.offerId == 0) {
            _send(token, s.recipient, amount);
        } else if (token == address(0)) {
            _manager.distribute{value: amount}(s.offerId, s.payer, token, amount);
        } else {
            _send(token, address(_manager), amount);
            _manager.distribute(s.offerId, s.payer, token, amount);
        }
    }

    /// @inheritdoc IPaymentStream
    function stream(uint256 streamId) external view returns (Stream memory) {
        return _known(streamId);
    }

    /// @inheritdoc IPaymentStream
    function claims(uint256 streamId) external view returns (uint256 forRecipient, uint256 forPayer) {
        Stream storage s = _known(streamId);
        if (_isVoid(s)) return (0, s.deposit - s.withdrawn);
        forRecipient = _claimable(s);
        forPayer = s.deposit - s.withdrawn - forRecipient;
    }

    /// @inheritdoc IPaymentStream
    function streamOf(bytes32 datasetId, address licensee) external view returns (uint256 streamId) {
        streamId = _active[datasetId][licensee];
        if (block.timestamp >= _streams[streamId].stopsAt) streamId = 0;
    }

    /// @inheritdoc IPaymentStream
    function streamCount() external view returns (uint256) {
        return _count;
    }

    /// @inheritdoc IPaymentStream
    function licenseManager() external view returns (address) {
        return address(_manager);
    }

    // -- internals

    /// @dev Take the deposit and write down what both sorts of streams have in common.
    function _open(address token, uint128 price, uint64 period, uint128 deposit, uint64 minimum)
        private
        returns (uint256 streamId)
    {
        if (price == 0 || period == 0) revert InvalidRate(price, period);
        uint64 length = _secondsFor(deposit, price, period);
        uint64 needed = minimum == 0 ? 1 : minimum;
        if (length < needed) revert DepositTooSmall(deposit, (uint256(price) * needed + period - 1) / period);
        _takeIn(token, deposit);
        streamId = ++_count;
        Stream storage s = _streams[streamId];
        s.payer = msg.sender;
        s.startedAt = uint64(block.timestamp);
        s.state = StreamState.Active;
        s.stopsAt = s.startedAt + length;
        s.token = token;
        s.period = period;
        s.price = price;
        s.deposit = deposit;
        s.minimum = minimum;
    }

    /// @dev End a stream of which all that is paid out or claimable is `earned`: the rest is the payer's.
    function _end(uint256 streamId, Stream storage s, uint256 earned) private {
        uint256 rest = s.deposit - earned;
        if (s.state == StreamState.Active) {
            s.state = StreamState.Ended;
            if (block.timestamp < s.stopsAt) s.stopsAt = uint64(block.timestamp);
            if (s.offerId != 0 && _active[s.datasetId][s.licensee] == streamId) {
                delete _active[s.datasetId][s.licensee];
            }
        }
        s.deposit = uint128(earned);
        if (rest > 0) _credit(s.token, s.payer, rest);
        emit StreamEnded(streamId, s.stopsAt, rest, earned - s.withdrawn);
    }

    /// @dev An account without a licence may still have a stream that ran dry, or whose licence was ended elsewhere.
    /// One that somebody else pays for must not keep the licensee from paying for its own.
    function _closeFormer(bytes32 datasetId, address licensee) private {
        uint256 former = _active[datasetId][licensee];
        Stream storage s = _streams[former];
        if (former != 0) {
            bool isReplaced = msg.sender == licensee && s.payer != licensee && block.timestamp < s.stopsAt;
            // Whether it is void must be asked first: ended by this contract, a term is not broken any more.
            _end(former, s, _isVoid(s) ? s.withdrawn : _flowed(s));
            if (isReplaced) _manager.endFor(datasetId, licensee, REPLACED);
        }
        if (LICENSE_LEDGER.hasLicense(datasetId, licensee)) revert LicenseInForce(datasetId, licensee);
    }

    function _emitStarted(uint256 streamId, Stream storage s) private {
        emit StreamStarted(
            streamId,
            s.offerId,
            s.payer,
            s.licensee,
            s.recipient,
            s.token,
            s.deposit,
            s.price,
            s.period,
            s.stopsAt
        );
    }

    function _known(uint256 streamId) private view returns (Stream storage s) {
        s = _streams[streamId];
        if (s.state == StreamState.None) revert UnknownStream(streamId);
    }

    /// @dev What has flowed of an active stream: from its start each time, so that nothing is rounded twice.
    function _flowed(Stream storage s) private view returns (uint256) {
        uint256 until = block.timestamp < s.stopsAt ? block.timestamp : s.stopsAt;
        uint256 elapsed = until - s.startedAt;
        if (elapsed < s.minimum) elapsed = s.minimum;
        return (elapsed * s.price) / s.period;
    }

    function _claimable(Stream storage s) private view returns (uint256) {
        return (s.state == StreamState.Active ? _flowed(s) : s.deposit) - s.withdrawn;
    }

    /// @dev A claim dates the data set back to its commitment, so to an earlier block: no two registrations share one.
    /// And whoever takes the licence back, as a seller can after delisting, shall not be paid on for it.
    function _isVoid(Stream storage s) private view returns (bool) {
        if (s.offerId == 0) return false;
        ICidRegistry.Dataset memory dataset = CID_REGISTRY.dataset(s.datasetId);
        bool isSound = dataset.status == ICidRegistry.DatasetStatus.Active;
        if (!isSound || dataset.registeredBlock != s.registeredBlock || _manager.isBroken(s.termId)) return true;
        // Granted again for a shorter time within the second of the start: the term cannot tell that.
        ILicenseLedger.License memory held = LICENSE_LEDGER.licenseOf(s.datasetId, s.licensee);
        return held.grantedAt == s.startedAt && held.expiresAt != 0 && held.expiresAt < s.stopsAt;
    }

    /// @return whole seconds that a deposit pays for
    function _secondsFor(uint256 deposit, uint256 price, uint256 period) private pure returns (uint64) {
        uint256 length = (deposit * period) / price;
        if (length > MAX_SECONDS) revert DepositTooLarge(length, MAX_SECONDS);
        return uint64(length);
    }
}
