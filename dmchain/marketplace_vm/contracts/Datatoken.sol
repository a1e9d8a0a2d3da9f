// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IERC2981} from "@openzeppelin/contracts/interfaces/IERC2981.sol";
import {ERC1155} from "@openzeppelin/contracts/token/ERC1155/ERC1155.sol";
import {ERC1155Supply} from "@openzeppelin/contracts/token/ERC1155/extensions/ERC1155Supply.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {CID_REGISTRY, ICidRegistry} from "./interfaces/ICidRegistry.sol";
import {IDataListing} from "./interfaces/IDataListing.sol";
import {IDatatoken} from "./interfaces/IDatatoken.sol";
import {ILicenseLedger, LICENSE_LEDGER} from "./interfaces/ILicenseLedger.sol";
import {ILicenseManager} from "./interfaces/ILicenseManager.sol";

/// @title Transferable access
/// @notice See {IDatatoken}.
///
/// INVARIANTS: this contract's balance of a class is the sum of its open orders; totalSupply is issued - redeemed.
///
/// Tokens move in the book without asking the receiver (`onERC1155Received`): a buyer's code has no say in a sale.
contract Datatoken is ERC1155Supply, ReentrancyGuardTransient, IERC2981, IDatatoken {
    using SafeERC20 for IERC20;

    struct StoredOrder {
        address seller;
        uint64 classId;
        address token;
        uint128 amount;
        uint128 unitPrice;
    }

    uint256 private constant MAX_BPS = 10_000;
    uint16 private constant MAX_ROYALTY_BPS = 2_000;
    uint256 private constant MAX_PAGE = 100;

    ILicenseManager private immutable LICENSE_MANAGER;

    uint256 private _classCount;
    uint256 private _saleCount;
    mapping(uint256 classId => Class) private _classes;
    mapping(uint256 orderId => StoredOrder) private _orders;
    mapping(bytes32 datasetId => uint256[]) private _classesOf;

    constructor(address licenseManager_) ERC1155("") {
        LICENSE_MANAGER = ILicenseManager(licenseManager_);
    }

    // -- issue and redeem

    /// @inheritdoc IDatatoken
    function issue(bytes32 datasetId, uint256 offerId, uint128 supply, uint16 resaleRoyaltyBps, bool isRestricted)
        external
        nonReentrant
        returns (uint256 classId)
    {
        address owner = CID_REGISTRY.ownerOf(datasetId);
        if (msg.sender != owner) revert NotDatasetOwner(datasetId, msg.sender, owner);
        bytes32 offered = LICENSE_MANAGER.offer(offerId).datasetId;
        if (offered != datasetId) revert WrongOffer(offerId, offered, datasetId);
        if (!LICENSE_MANAGER.isSellable(offerId)) revert OfferNotSellable(offerId);
        if (supply == 0 || supply > type(uint64).max) revert InvalidSupply(supply, type(uint64).max);
        if (resaleRoyaltyBps > MAX_ROYALTY_BPS) revert InvalidBps(resaleRoyaltyBps, MAX_ROYALTY_BPS);
        classId = ++_classCount;
        _classes[classId] = Class({
            datasetId: datasetId,
            offerId: offerId,
            issuer: msg.sender,
            registeredBlock: CID_REGISTRY.dataset(datasetId).registeredBlock,
            resaleRoyaltyBps: resaleRoyaltyBps,
            isRestricted: isRestricted,
            issued: supply,
            redeemed: 0
        });
        _classesOf[datasetId].push(classId);
        emit ClassIssued(classId, datasetId, offerId, msg.sender, supply, resaleRoyaltyBps, isRestricted);
        _move(address(0), msg.sender, classId, supply);
    }

    /// @inheritdoc IDatatoken
    function redeem(uint256 classId, uint64 amount) external nonReentrant returns (uint256 termId) {
        Class storage c = _requireSound(classId);
        ILicenseManager.Offer memory o = LICENSE_MANAGER.offer(c.offerId);
        uint64 most = o.kind == ILicenseLedger.LicenseKind.OneTime ? 1 : type(uint64).max;
        if (amount == 0 || amount > most) revert InvalidAmount(amount, most);
        c.redeemed += amount;
        _move(msg.sender, address(0), classId, amount);
        (uint64 expiresAt, uint64 units) = _licenseFor(c.datasetId, o, amount);
        termId = LICENSE_MANAGER.grantFor(c.offerId, msg.sender, msg.sender, expiresAt, units);
        emit Redeemed(classId, msg.sender, termId, amount);
    }

    // -- the book

    /// @inheritdoc IDatatoken
    function sell(uint256 classId, uint128 amount, address token, uint128 unitPrice)
        external
        nonReentrant
        returns (uint256 orderId)
    {
        Class storage c = _requireSound(classId);
        if (amount == 0) revert InvalidAmount(0, type(uint128).max);
        orderId = ++_saleCount;
        // Classes are counted one by one: 64 bits hold them.
        _orders[orderId] = StoredOrder(msg.sender, uint64(classId), token, amount, unitPrice);
        emit SaleOpened(orderId, classId, msg.sender, amount, token, unitPrice, _isPrimary(c, msg.sender));
        _move(msg.sender, address(this), classId, amount);
    }

    /// @inheritdoc IDatatoken
    function cancelSale(uint256 orderId) external nonReentrant {
        StoredOrder storage order = _requireOrder(orderId);
        if (msg.sender != order.seller) revert NotSeller(orderId, msg.sender, order.seller);
        uint256 amount = order.amount;
        if (amount == 0) revert InvalidAmount(0, 0);
        order.amount = 0;
        emit SaleCancelled(orderId, amount);
        _move(address(this), msg.sender, order.classId, amount);
    }

    /// @inheritdoc IDatatoken
    function buy(uint256 orderId, uint128 amount, uint256 maxPrice)
        external
        payable
        nonReentrant
        returns (uint256 price)
    {
        StoredOrder storage order = _requireOrder(orderId);
        Class storage c = _requireSound(order.classId);
        if (amount == 0 || amount > order.amount) revert InvalidAmount(amount, order.amount);
        price = uint256(order.unitPrice) * amount;
        if (price > maxPrice) revert PriceTooHigh(price, maxPrice);
        bool isPrimary = _isPrimary(c, order.seller);
        uint256 royalty = isPrimary ? 0 : (price * c.resaleRoyaltyBps) / MAX_BPS;
        order.amount -= amount;
        emit Sold(orderId, order.classId, msg.sender, order.seller, amount, order.token, price, royalty);
        _move(address(this), msg.sender, order.classId, amount);
        _pay(order.token, price);
        if (price == 0) return 0;
        if (isPrimary) {
            LICENSE_MANAGER.distribute{value: msg.value}(c.offerId, msg.sender, order.token, price);
        } else {
            LICENSE_MANAGER.distributeResale{value: msg.value}(
                c.offerId,
                msg.sender,
                order.token,
                price,
                royalty,
                order.seller
            );
        }
    }

    // -- views

    /// @inheritdoc IDatatoken
    function class(uint256 classId) external view returns (Class memory) {
        return _requireClass(classId);
    }

    /// @inheritdoc IDatatoken
    function sale(uint256 orderId) external view returns (SaleOrder memory) {
        StoredOrder storage order = _requireOrder(orderId);
        bool isPrimary = _isPrimary(_classes[order.classId], order.seller);
        return SaleOrder(order.classId, order.seller, isPrimary, order.amount, order.unitPrice, order.token);
    }

    /// @inheritdoc IDatatoken
    function quoteSale(uint256 orderId, uint128 amount)
        external
        view
        returns (uint256 price, uint256 fee, uint256 royalty, uint256 proceeds)
    {
        StoredOrder storage order = _requireOrder(orderId);
        Class storage c = _classes[order.classId];
        price = uint256(order.unitPrice) * amount;
        fee = (price * LICENSE_MANAGER.platformFeeBps()) / MAX_BPS;
        if (!_isPrimary(c, order.seller)) royalty = (price * c.resaleRoyaltyBps) / MAX_BPS;
        proceeds = price - fee - royalty;
    }

    /// @inheritdoc IDatatoken
    function classCount() external view returns (uint256) {
        return _classCount;
    }

    /// @inheritdoc IDatatoken
    function classesOf(bytes32 datasetId, uint256 offset, uint256 limit)
        external
        view
        returns (uint256[] memory classIds)
    {
        uint256[] storage all = _classesOf[datasetId];
        uint256 size = offset >= all.length ? 0 : all.length - offset;
        if (size > limit) size = limit;
        if (size > MAX_PAGE) size = MAX_PAGE;
        classIds = new uint256[](size);
        for (uint256 i = 0; i < size; ++i) {
            classIds[i] = all[offset + i];
        }
    }

    /// @inheritdoc IDatatoken
    function saleCount() external view returns (uint256) {
        return _saleCount;
    }

    /// @inheritdoc IDatatoken
    function licenseManager() external view returns (address) {
        return address(LICENSE_MANAGER);
    }

    /// @inheritdoc IERC2981
    function royaltyInfo(uint256 classId, uint256 salePrice) external view returns (address, uint256) {
        Class storage c = _requireClass(classId);
        uint256 bps = c.resaleRoyaltyBps;
        // In two parts, so that no price is too large to be asked about.
        uint256 royalty = (salePrice / MAX_BPS) * bps + ((salePrice % MAX_BPS) * bps) / MAX_BPS;
        return (CID_REGISTRY.ownerOf(c.datasetId), royalty);
    }

    /// @notice Metadata of the listing; empty when the data set is not listed any more.
    function uri(uint256 classId) public view override returns (string memory) {
        IDataListing dataListing = IDataListing(LICENSE_MANAGER.dataListing());
        try dataListing.listingOf(_requireClass(classId).datasetId) returns (IDataListing.Listing memory listing) {
            return listing.metadataURI;
        } catch {
            return "";
        }
    }

    /// @inheritdoc IERC165
    function supportsInterface(bytes4 interfaceId) public view override(ERC1155, IERC165) returns (bool) {
        return interfaceId == type(IERC2981).interfaceId || super.supportsInterface(interfaceId);
    }

    // -- internals

    /// @dev Tokens of a restricted class come from the book or go to it. Nobody can send tokens here by ERC-1155: this
    /// contract does not accept them.
    function _update(address from, address to, uint256[] memory ids, uint256[] memory amounts) internal override {
        if (from != address(0) && to != address(0) && from != address(this) && to != address(this)) {
            for (uint256 i = 0; i < ids.length; ++i) {
                if (_classes[ids[i]].isRestricted) revert TransfersRestricted(ids[i]);
            }
        }
        super._update(from, to, ids, amounts);
    }

    /// @dev Move, mint or burn without asking the receiver.
    function _move(address from, address to, uint256 classId, uint256 amount) private {
        uint256[] memory ids = new uint256[](1);
        uint256[] memory amounts = new uint256[](1);
        ids[0] = classId;
        amounts[0] = amount;
        _update(from, to, ids, amounts);
    }

    /// @dev Send the buyer's ERC-20 to the LicenseManager, measured; native coin goes along with the call there.
    function _pay(address token, uint256 price) private {
        if (token == address(0)) {
            if (msg.value != price) revert UnexpectedAmount(token, price, msg.value);
            return;
        }
        if (msg.value != 0) revert UnexpectedAmount(address(0), 0, msg.value);
        if (price == 0) return;
        uint256 before = IERC20(token).balanceOf(address(LICENSE_MANAGER));
        IERC20(token).safeTransferFrom(msg.sender, address(LICENSE_MANAGER), price);
        uint256 received = IERC20(token).balanceOf(address(LICENSE_MANAGER)) - before;
        if (received != price) revert UnexpectedAmount(token, price, received);
    }

    /// @dev End and units of the caller's licence after redeeming `amount`. If the licence in force is not one that can
    /// be extended, `grantFor` says so.
    function _licenseFor(bytes32 datasetId, ILicenseManager.Offer memory o, uint64 amount)
        private
        view
        returns (uint64 expiresAt, uint64 units)
    {
        bool isHeld = LICENSE_LEDGER.hasLicense(datasetId, msg.sender);
        uint64 heldUntil = isHeld ? LICENSE_LEDGER.licenseOf(datasetId, msg.sender).expiresAt : 0;
        if (o.kind == ILicenseLedger.LicenseKind.PayPerCompute) {
            units = amount;
            if (o.period != 0) expiresAt = uint64(block.timestamp) + o.period;
            if (heldUntil > expiresAt) expiresAt = heldUntil;
        } else if (o.period == 0) {
            if (isHeld) revert AlreadyLicensed(datasetId, msg.sender);
        } else {
            uint256 start = heldUntil == 0 ? block.timestamp : heldUntil;
            expiresAt = SafeCast.toUint64(start + uint256(amount) * o.period);
        }
    }

    function _isPrimary(Class storage c, address seller) private view returns (bool) {
        return seller == c.issuer && seller == CID_REGISTRY.ownerOf(c.datasetId);
    }

    function _requireClass(uint256 classId) private view returns (Class storage c) {
        c = _classes[classId];
        if (c.issuer == address(0)) revert UnknownClass(classId);
    }

    /// @dev A class whose data set is active in the registration it was issued on.
    function _requireSound(uint256 classId) private view returns (Class storage c) {
        c = _requireClass(classId);
        ICidRegistry.Dataset memory dataset = CID_REGISTRY.dataset(c.datasetId);
        if (
            dataset.status != ICidRegistry.DatasetStatus.Active || dataset.registeredBlock != c.registeredBlock
        ) revert ClassVoid(classId);
    }

    function _requireOrder(uint256 orderId) private view returns (StoredOrder storage order) {
        order = _orders[orderId];
        if (order.seller == address(0)) revert UnknownSale(orderId);
    }
}
