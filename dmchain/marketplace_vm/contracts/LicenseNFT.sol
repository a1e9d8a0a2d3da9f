// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";
import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";

import {IDataListing} from "./interfaces/IDataListing.sol";
import {LICENSE_LEDGER} from "./interfaces/ILicenseLedger.sol";
import {ILicenseNFT} from "./interfaces/ILicenseNFT.sol";

/// @title Tokens for licences
/// @notice See {ILicenseNFT}.
contract LicenseNFT is ERC721, ILicenseNFT {
    /// @dev The licensee is the owner: it cannot change.
    struct Stored {
        bytes32 datasetId;
        uint64 mintedAt;
        uint64 purchaseId;
    }

    bytes4 private constant ERC5192_ID = 0xb45a3c0e;

    address private immutable MINTER;
    IDataListing private immutable DATA_LISTING;

    uint256 private _tokenCount;
    mapping(uint256 tokenId => Stored) private _licenses;
    mapping(bytes32 datasetId => mapping(address licensee => uint256 tokenId)) private _tokenOf;

    constructor(address minter_, address dataListing_) ERC721("dmchain licence", "DML") {
        MINTER = minter_;
        DATA_LISTING = IDataListing(dataListing_);
    }

    /// @inheritdoc ILicenseNFT
    function mint(address licensee, bytes32 datasetId, uint256 purchaseId) external returns (uint256 tokenId) {
        if (msg.sender != MINTER) revert NotMinter(msg.sender, MINTER);
        tokenId = ++_tokenCount;
        // Purchases are counted one by one: 64 bits hold them.
        _licenses[tokenId] = Stored(datasetId, uint64(block.timestamp), uint64(purchaseId));
        _tokenOf[datasetId][licensee] = tokenId;
        _mint(licensee, tokenId);
        emit Locked(tokenId);
    }

    /// @inheritdoc ILicenseNFT
    function locked(uint256 tokenId) external view returns (bool) {
        _requireOwned(tokenId);
        return true;
    }

    /// @inheritdoc ILicenseNFT
    function verifyAccess(uint256 tokenId, address user) external view returns (bool) {
        if (tokenId == 0 || _ownerOf(tokenId) != user) return false;
        bytes32 datasetId = _licenses[tokenId].datasetId;
        return _tokenOf[datasetId][user] == tokenId && LICENSE_LEDGER.hasLicense(datasetId, user);
    }

    /// @inheritdoc ILicenseNFT
    function tokenOf(bytes32 datasetId, address licensee) external view returns (uint256 tokenId) {
        return _tokenOf[datasetId][licensee];
    }

    /// @inheritdoc ILicenseNFT
    function license(uint256 tokenId) external view returns (License memory) {
        Stored storage stored = _licenses[tokenId];
        return License(stored.datasetId, _requireOwned(tokenId), stored.mintedAt, stored.purchaseId);
    }

    /// @inheritdoc ILicenseNFT
    function tokenCount() external view returns (uint256) {
        return _tokenCount;
    }

    /// @inheritdoc ILicenseNFT
    function minter() external view returns (address) {
        return MINTER;
    }

    /// @inheritdoc ILicenseNFT
    function dataListing() external view returns (address) {
        return address(DATA_LISTING);
    }

    /// @notice Metadata of the listing; empty when the data set is not listed any more.
    function tokenURI(uint256 tokenId) public view override returns (string memory) {
        _requireOwned(tokenId);
        try DATA_LISTING.listingOf(_licenses[tokenId].datasetId) returns (IDataListing.Listing memory listing) {
            return listing.metadataURI;
        } catch {
            return "";
        }
    }

    /// @notice Always reverts: nobody may act for a licensee.
    function approve(address, uint256) public pure override {
        revert Soulbound();
    }

    /// @notice Always reverts: nobody may act for a licensee.
    function setApprovalForAll(address, bool) public pure override {
        revert Soulbound();
    }

    /// @inheritdoc IERC165
    function supportsInterface(bytes4 interfaceId) public view override returns (bool) {
        return interfaceId == ERC5192_ID || super.supportsInterface(interfaceId);
    }

    /// @dev Tokens come into being and stay: there is no transfer and no burning.
    function _update(address to, uint256 tokenId, address auth) internal override returns (address from) {
        from = super._update(to, tokenId, auth);
        if (from != address(0)) revert Soulbound();
    }
}
