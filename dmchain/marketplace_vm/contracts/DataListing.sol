// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {AccessControlUpgradeable} from "@openzeppelin/contracts-upgradeable/access/AccessControlUpgradeable.sol";
import {ERC721Upgradeable} from "@openzeppelin/contracts-upgradeable/token/ERC721/ERC721Upgradeable.sol";
import {IERC2981} from "@openzeppelin/contracts/interfaces/IERC2981.sol";
import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";

import {CID_REGISTRY, ICidRegistry} from "./interfaces/ICidRegistry.sol";
import {IDataListing} from "./interfaces/IDataListing.sol";
import {ILicenseManager} from "./interfaces/ILicenseManager.sol";

/// @title Tokens that stand for data sets
/// @notice See {IDataListing}. Upgradeable, behind a TransparentUpgradeableProxy.
///
/// INVARIANT: while a listing is not stale, the token's owner is the data set's owner in the registry, this contract
/// its operator, the LicenseManager its controller. The registry lets the operator alone change these three, and a
/// registration is told from the next by its block: a claim must be older than what it replaces.
contract DataListing is ERC721Upgradeable, AccessControlUpgradeable, IERC2981, IDataListing {
    /// @notice May stop the sales of a data set for a while.
    bytes32 public constant CURATOR_ROLE = keccak256("CURATOR_ROLE");

    uint256 private constant MAX_BPS = 10_000;
    uint16 private constant MAX_ROYALTY_BPS = 2_000;
    uint256 private constant MAX_LINEAGE_BPS = 5_000;
    uint256 private constant MAX_SHARES = 16;
    uint256 private constant MAX_GENERATION = 4;
    uint256 private constant MAX_OFFERS = 16;
    uint256 private constant MAX_PAGE = 100;
    uint256 private constant MAX_TEXT = 64;
    uint256 private constant MAX_URI = 1024;

    ILicenseManager private immutable LICENSE_MANAGER;

    uint64 private _serial;
    bytes32[] private _ids;
    mapping(bytes32 datasetId => uint256 placeAfter) private _places;
    mapping(bytes32 datasetId => Listing) private _listings;
    mapping(bytes32 datasetId => bool) private _suspended;

    constructor(address licenseManager_) {
        LICENSE_MANAGER = ILicenseManager(licenseManager_);
        _disableInitializers();
    }

    /// @param admin gets DEFAULT_ADMIN_ROLE
    function initialize(address admin) external initializer {
        if (admin == address(0)) revert InvalidAccount(admin);
        __ERC721_init("dmchain data set", "DMD");
        _grantRole(DEFAULT_ADMIN_ROLE, admin);
    }

    // -- listing

    /// @inheritdoc IDataListing
    function listData(
        bytes32 hash,
        string calldata metadataURI,
        ListingInput calldata input,
        ILicenseManager.OfferInput[] calldata offers
    ) external returns (uint256 tokenId) {
        ICidRegistry.Dataset memory dataset = CID_REGISTRY.dataset(hash);
        if (dataset.owner != msg.sender) revert NotDatasetOwner(hash, msg.sender, dataset.owner);
        if (dataset.operator != address(this)) revert NotOperator(hash, dataset.operator);
        return _list(hash, dataset.registeredBlock, metadataURI, input, offers);
    }

    /// @inheritdoc IDataListing
    function publish(
        Content calldata content,
        string calldata metadataURI,
        ListingInput calldata input,
        ILicenseManager.OfferInput[] calldata offers
    ) external returns (uint256 tokenId) {
        bytes32 datasetId = _register(content);
        return _list(datasetId, _handOver(datasetId), metadataURI, input, offers);
    }

    /// @inheritdoc IDataListing
    function publishCommitted(
        Content calldata content,
        string calldata metadataURI,
        ListingInput calldata input,
        ILicenseManager.OfferInput[] calldata offers,
        bytes32 salt
    ) external returns (uint256 tokenId) {
        bytes32 datasetId = _registerCommitted(content, _saltOf(msg.sender, salt));
        return _list(datasetId, _handOver(datasetId), metadataURI, input, offers);
    }

    /// @inheritdoc IDataListing
    function purchaseAccess(uint256 tokenId, uint256 license) external payable returns (uint256 purchaseId) {
        bytes32 offered = LICENSE_MANAGER.offer(license).datasetId;
        if (offered != bytes32(tokenId)) revert WrongOffer(tokenId, license, offered);
        // No limit is needed: the price of an offer is for ever.
        return LICENSE_MANAGER.purchaseFor{value: msg.value}(msg.sender, license, msg.sender, 1, type(uint256).max);
    }

    /// @inheritdoc IDataListing
    function update(uint256 tokenId, string calldata metadataURI, uint64 availableUntil) external {
        Listing storage listed = _requireTokenOwner(tokenId);
        _checkText("metadataURI", metadataURI, 1, MAX_URI);
        _checkAvailability(availableUntil);
        listed.metadataURI = metadataURI;
        listed.availableUntil = availableUntil;
        emit ListingUpdated(tokenId, availableUntil, metadataURI);
    }

    /// @inheritdoc IDataListing
    function delist(uint256 tokenId) external {
        Listing storage listed = _requireTokenOwner(tokenId);
        bytes32 datasetId = listed.datasetId;
        ICidRegistry.Dataset memory dataset = CID_REGISTRY.dataset(datasetId);
        bool stale = dataset.registeredBlock != listed.registeredBlock;
        _remove(datasetId, stale);
        // A retired data set has no rights left to give back, a stale one is somebody else's.
        if (!stale && dataset.status == ICidRegistry.DatasetStatus.Active) {
            CID_REGISTRY.setOperator(datasetId, address(0));
        }
    }

    /// @inheritdoc IDataListing
    function releaseOperator(bytes32 datasetId) external {
        ICidRegistry.Dataset memory dataset = CID_REGISTRY.dataset(datasetId);
        if (dataset.owner != msg.sender) revert NotDatasetOwner(datasetId, msg.sender, dataset.owner);
        Listing storage listed = _listings[datasetId];
        if (listed.serial != 0 && listed.registeredBlock == dataset.registeredBlock) {
            revert AlreadyListed(datasetId, listed.serial);
        }
        emit OperatorReleased(datasetId, msg.sender);
        CID_REGISTRY.setOperator(datasetId, address(0));
    }

    /// @inheritdoc IDataListing
    function setSuspended(bytes32 datasetId, bool isSuspended_) external onlyRole(CURATOR_ROLE) {
        _suspended[datasetId] = isSuspended_;
        emit SalesSuspended(datasetId, isSuspended_);
    }

    // -- views

    /// @inheritdoc IDataListing
    function listing(uint256 tokenId) external view returns (Listing memory) {
        return listingOf(bytes32(tokenId));
    }

    /// @inheritdoc IDataListing
    function listingOf(bytes32 datasetId) public view returns (Listing memory listed) {
        listed = _listings[datasetId];
        if (listed.serial == 0) revert NotListed(datasetId);
    }

    /// @inheritdoc IDataListing
    function isListed(bytes32 datasetId) external view returns (bool) {
        return _listings[datasetId].serial != 0;
    }

    /// @inheritdoc IDataListing
    function isAvailable(bytes32 datasetId) external view returns (bool) {
        Listing storage listed = _listings[datasetId];
        return listed.serial != 0 && _isCurrent(listed) && _isOnSale(listed);
    }

    /// @inheritdoc IDataListing
    function requireAvailable(bytes32 datasetId) external view returns (uint64 serial, uint64 registeredBlock) {
        Listing storage listed = _listings[datasetId];
        if (listed.serial == 0) revert NotListed(datasetId);
        ICidRegistry.Dataset memory dataset = CID_REGISTRY.dataset(datasetId);
        if (listed.registeredBlock != dataset.registeredBlock) {
            revert StaleListing(datasetId, listed.registeredBlock, dataset.registeredBlock);
        }
        if (dataset.status != ICidRegistry.DatasetStatus.Active || !_isOnSale(listed)) {
            revert NotAvailable(datasetId, listed.availableUntil);
        }
        return (listed.serial, listed.registeredBlock);
    }

    /// @inheritdoc IDataListing
    function lineageRoyaltyOf(bytes32 datasetId) public view returns (uint16 bps) {
        Listing storage listed = _listings[datasetId];
        bps = listed.lineageRoyaltyBps;
        // Most ancestors ask for nothing: only the others are looked up in the registry.
        if (bps != 0 && !_isCurrent(listed)) bps = 0;
    }

    /// @inheritdoc IDataListing
    function lineage(bytes32 datasetId) external view returns (Share[] memory shares) {
        shares = new Share[](MAX_SHARES);
        uint256[] memory generations = new uint256[](MAX_SHARES);
        // The shares found so far are the queue of a breadth-first walk: `next` is the first not looked at.
        (uint256 count, uint256 left) = _addParents(shares, generations, 0, MAX_LINEAGE_BPS, datasetId, MAX_BPS, 1);
        for (uint256 next = 0; next < count && left != 0; ++next) {
            uint256 generation = generations[next] + 1;
            if (generation > MAX_GENERATION) break;
            Share memory child = shares[next];
            (count, left) = _addParents(shares, generations, count, left, child.datasetId, child.bps, generation);
        }
        assembly ("memory-safe") {
            // Cut the array to what is filled.
            mstore(shares, count)
        }
    }

    /// @inheritdoc IDataListing
    function isSuspended(bytes32 datasetId) external view returns (bool) {
        return _suspended[datasetId];
    }

    /// @inheritdoc IDataListing
    function tokenCount() external view returns (uint256) {
        return _ids.length;
    }

    /// @inheritdoc IDataListing
    function tokenByIndex(uint256 index) external view returns (uint256 tokenId) {
        return uint256(_ids[index]);
    }

    /// @inheritdoc IDataListing
    function listings(uint256 offset, uint256 limit) external view returns (Listing[] memory page) {
        uint256 count = _ids.length;
        uint256 size = offset >= count ? 0 : count - offset;
        if (size > limit) size = limit;
        if (size > MAX_PAGE) size = MAX_PAGE;
        page = new Listing[](size);
        for (uint256 i = 0; i < size; ++i) {
            page[i] = _listings[_ids[offset + i]];
        }
    }

    /// @inheritdoc IDataListing
    function commitmentFor(bytes calldata cid, address publisher, bytes32 salt) external view returns (bytes32) {
        return keccak256(abi.encode(cid, address(this), _saltOf(publisher, salt)));
    }

    /// @inheritdoc IDataListing
    function licenseManager() external view returns (address) {
        return address(LICENSE_MANAGER);
    }

    /// @inheritdoc IERC2981
    function royaltyInfo(uint256 tokenId, uint256 salePrice) external view returns (address, uint256) {
        Listing storage listed = _listings[bytes32(tokenId)];
        uint256 bps = listed.resaleRoyaltyBps;
        // In two parts, so that no price is too large to be asked about.
        return (listed.creator, (salePrice / MAX_BPS) * bps + ((salePrice % MAX_BPS) * bps) / MAX_BPS);
    }

    /// @notice Metadata of the data set.
    function tokenURI(uint256 tokenId) public view override returns (string memory) {
        _requireOwned(tokenId);
        return _listings[bytes32(tokenId)].metadataURI;
    }

    /// @inheritdoc IERC165
    function supportsInterface(bytes4 interfaceId)
        public
        view
        override(ERC721Upgradeable, AccessControlUpgradeable, IERC165)
        returns (bool)
    {
        return interfaceId == type(IERC2981).interfaceId || super.supportsInterface(interfaceId);
    }

    // -- internals

    /// @dev A transfer of the token is a transfer of the data set; the registry resets the controller with it.
    function _update(address to, uint256 tokenId, address auth) internal override returns (address from) {
        from = super._update(to, tokenId, auth);
        if (from == address(0) || to == address(0)) return from;
        bytes32 datasetId = bytes32(tokenId);
        uint64 listedBlock = _listings[datasetId].registeredBlock;
        uint64 currentBlock = CID_REGISTRY.dataset(datasetId).registeredBlock;
        if (listedBlock != currentBlock) revert StaleListing(datasetId, listedBlock, currentBlock);
        CID_REGISTRY.transferDataset(datasetId, to);
        CID_REGISTRY.setController(datasetId, address(LICENSE_MANAGER));
    }

    function _register(Content calldata content) private returns (bytes32) {
        return CID_REGISTRY.registerCid(content.cid, content.metadataCid, content.parents, content.sizeBytes);
    }

    function _registerCommitted(Content calldata content, bytes32 salt) private returns (bytes32) {
        return
            CID_REGISTRY.registerCommitted(
                content.cid,
                content.metadataCid,
                content.parents,
                content.sizeBytes,
                salt
            );
    }

    /// @dev Make a data set that this contract has registered the caller's; return the block of its registration.
    function _handOver(bytes32 datasetId) private returns (uint64 registeredBlock) {
        CID_REGISTRY.setOperator(datasetId, address(this));
        CID_REGISTRY.transferDataset(datasetId, msg.sender);
        return CID_REGISTRY.dataset(datasetId).registeredBlock;
    }

    /// @dev Make the token of a data set whose owner is the caller and whose operator is this contract.
    function _list(
        bytes32 datasetId,
        uint64 registeredBlock,
        string calldata metadataURI,
        ListingInput calldata input,
        ILicenseManager.OfferInput[] calldata offers
    ) private returns (uint256 tokenId) {
        Listing storage listed = _listings[datasetId];
        if (listed.serial != 0) {
            if (listed.registeredBlock == registeredBlock) revert AlreadyListed(datasetId, listed.serial);
            _remove(datasetId, true);
        }
        _checkInput(metadataURI, input, offers.length);
        tokenId = uint256(datasetId);
        _write(listed, datasetId, registeredBlock, metadataURI, input);
        _ids.push(datasetId);
        _places[datasetId] = _ids.length;
        _mint(msg.sender, tokenId);
        _announce(tokenId, listed.serial, metadataURI, input);
        CID_REGISTRY.setController(datasetId, address(LICENSE_MANAGER));
        for (uint256 i = 0; i < offers.length; ++i) {
            LICENSE_MANAGER.createOffer(datasetId, offers[i]);
        }
    }

    function _write(
        Listing storage listed,
        bytes32 datasetId,
        uint64 registeredBlock,
        string calldata metadataURI,
        ListingInput calldata input
    ) private {
        listed.datasetId = datasetId;
        listed.creator = msg.sender;
        listed.serial = ++_serial;
        listed.listedAt = uint64(block.timestamp);
        listed.registeredBlock = registeredBlock;
        listed.availableUntil = input.availableUntil;
        listed.resaleRoyaltyBps = input.resaleRoyaltyBps;
        listed.lineageRoyaltyBps = input.lineageRoyaltyBps;
        listed.onRetirement = input.onRetirement;
        listed.spdx = input.spdx;
        listed.format = input.format;
        listed.metadataURI = metadataURI;
    }

    function _announce(uint256 tokenId, uint64 serial, string calldata metadataURI, ListingInput calldata input)
        private
    {
        emit Listed(
            tokenId,
            msg.sender,
            serial,
            input.spdx,
            input.format,
            input.availableUntil,
            input.onRetirement,
            metadataURI
        );
    }

    /// @dev Burn the token and forget the listing.
    function _remove(bytes32 datasetId, bool stale) private {
        emit Delisted(uint256(datasetId), _ownerOf(uint256(datasetId)), _listings[datasetId].serial, stale);
        uint256 place = _places[datasetId];
        bytes32 last = _ids[_ids.length - 1];
        _ids[place - 1] = last;
        _places[last] = place;
        _ids.pop();
        delete _places[datasetId];
        delete _listings[datasetId];
        _burn(uint256(datasetId));
    }

    /// @dev One step of {lineage}: give the parents of `child`, which gets `childBps`, their shares of it.
    /// @param left bps that may still be given away
    function _addParents(
        Share[] memory shares,
        uint256[] memory generations,
        uint256 count,
        uint256 left,
        bytes32 child,
        uint256 childBps,
        uint256 generation
    ) private view returns (uint256, uint256) {
        bytes32[] memory parents = CID_REGISTRY.parents(child);
        for (uint256 i = 0; i < parents.length && left != 0; ++i) {
            uint256 bps = (childBps * lineageRoyaltyOf(parents[i])) / MAX_BPS;
            if (bps == 0) continue;
            if (bps > left) bps = left;
            uint256 place = 0;
            while (place < count && shares[place].datasetId != parents[i]) ++place;
            if (place == MAX_SHARES) continue;
            if (place == count) {
                shares[place].datasetId = parents[i];
                generations[place] = generation;
                ++count;
            }
            // At most MAX_LINEAGE_BPS in all.
            shares[place].bps += uint16(bps);
            left -= bps;
        }
        return (count, left);
    }

    function _requireTokenOwner(uint256 tokenId) private view returns (Listing storage listed) {
        address owner = _requireOwned(tokenId);
        if (msg.sender != owner) revert NotDatasetOwner(bytes32(tokenId), msg.sender, owner);
        return _listings[bytes32(tokenId)];
    }

    /// @dev Whether the data set is active in the registration that was listed.
    function _isCurrent(Listing storage listed) private view returns (bool) {
        ICidRegistry.Dataset memory dataset = CID_REGISTRY.dataset(listed.datasetId);
        return
            dataset.registeredBlock == listed.registeredBlock && dataset.status == ICidRegistry.DatasetStatus.Active;
    }

    function _isOnSale(Listing storage listed) private view returns (bool) {
        return
            (listed.availableUntil == 0 || block.timestamp < listed.availableUntil) && !_suspended[listed.datasetId];
    }

    function _checkInput(string calldata metadataURI, ListingInput calldata input, uint256 offerCount) private view {
        _checkText("metadataURI", metadataURI, 1, MAX_URI);
        _checkText("spdx", input.spdx, 1, MAX_TEXT);
        _checkText("format", input.format, 0, MAX_TEXT);
        if (input.resaleRoyaltyBps > MAX_ROYALTY_BPS) {
            revert InvalidBps("resaleRoyaltyBps", input.resaleRoyaltyBps, MAX_ROYALTY_BPS);
        }
        if (input.lineageRoyaltyBps > MAX_ROYALTY_BPS) {
            revert InvalidBps("lineageRoyaltyBps", input.lineageRoyaltyBps, MAX_ROYALTY_BPS);
        }
        _checkAvailability(input.availableUntil);
        if (offerCount > MAX_OFFERS) revert TooManyOffers(offerCount, MAX_OFFERS);
    }

    function _checkText(string memory field, string calldata text, uint256 shortest, uint256 longest) private pure {
        uint256 length = bytes(text).length;
        if (length < shortest || length > longest) revert InvalidText(field, length, longest);
    }

    function _checkAvailability(uint64 availableUntil) private view {
        if (availableUntil != 0 && availableUntil <= block.timestamp) {
            revert InvalidAvailability(availableUntil, uint64(block.timestamp) + 1);
        }
    }

    /// @dev Bound to the publisher: nobody else can open the commitment through this contract.
    function _saltOf(address publisher, bytes32 salt) private pure returns (bytes32) {
        return keccak256(abi.encode(publisher, salt));
    }
}
