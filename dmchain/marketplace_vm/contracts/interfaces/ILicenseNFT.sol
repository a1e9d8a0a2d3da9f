// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @title Tokens for licences
/// @notice A soulbound ERC-721 (ERC-5192): one for each licence, kept through its renewals, minted by the
/// LicenseManager to the licensee; a licence bought after the former has ended comes with a new one. It cannot be
/// transferred or approved, and says nothing by itself: whether the licence is valid is read from the LicenseLedger.
/// Minting calls nobody: a licensee that is a contract needs no `onERC721Received`.
interface ILicenseNFT {
    /// @param purchaseId the purchase that began the licence
    struct License {
        bytes32 datasetId;
        address licensee;
        uint64 mintedAt;
        uint256 purchaseId;
    }

    /// @notice ERC-5192. Every token is locked for ever when it is minted.
    event Locked(uint256 tokenId);
    /// @notice ERC-5192. Never emitted.
    event Unlocked(uint256 tokenId);

    error Soulbound();
    error NotMinter(address caller, address minter);

    /// @notice Only the minter.
    /// Emits {IERC721-Transfer} and {Locked}.
    /// @return tokenId counted from 1
    function mint(address licensee, bytes32 datasetId, uint256 purchaseId) external returns (uint256 tokenId);

    /// @notice ERC-5192: always true. Reverts for a token that does not exist.
    function locked(uint256 tokenId) external view returns (bool);

    /// @notice Whether `user` may use the data: it owns the token, the token stands for its latest licence, and the
    /// LicenseLedger says that the licence is valid. False for a token that does not exist.
    function verifyAccess(uint256 tokenId, address user) external view returns (bool);

    /// @notice The token of an account's latest licence; 0 if it never had a licence.
    function tokenOf(bytes32 datasetId, address licensee) external view returns (uint256 tokenId);

    /// @notice What a token stands for. Reverts for one that does not exist.
    function license(uint256 tokenId) external view returns (License memory);

    function tokenCount() external view returns (uint256);

    /// @notice The account that mints: the LicenseManager.
    function minter() external view returns (address);

    /// @notice Where metadata come from: the DataListing.
    function dataListing() external view returns (address);
}
