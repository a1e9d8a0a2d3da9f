// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

// The storage of the native precompiles, written down for solc: test_layout.py compares. Never deployed.

contract RegistryLayout {
    struct Dataset {
        address owner;
        uint24 versionCount;
        uint24 firstVersion;
        uint32 index;
        uint8 status;
        uint8 parentCount;
        address controller;
        address operator;
    }

    struct Version {
        uint56 cidPrefix;
        uint56 metadataPrefix;
        uint64 sizeBytes;
        uint40 sinceTime;
        uint40 sinceBlock;
        bytes32 cidDigest;
        bytes32 metadataDigest;
        bytes32 cidDigestTail;
        bytes32 metadataDigestTail;
    }

    struct Holder {
        bytes32 datasetId;
        uint24 version;
    }

    struct Commitment {
        uint64 timestamp;
        uint64 blockNumber;
    }

    address public governance;
    bytes32[] public datasetIds;
    mapping(bytes32 datasetId => Dataset) public datasets;
    mapping(bytes32 datasetId => mapping(uint256 index => Version)) public versions;
    mapping(bytes32 datasetId => mapping(uint256 position => bytes32)) public parents;
    mapping(bytes32 datasetId => bytes32[]) public children;
    mapping(bytes32 contentKey => Holder) public holders;
    mapping(bytes32 commitment => Commitment) public commitments;
}

contract LedgerLayout {
    struct License {
        uint64 expiresAt;
        uint64 units;
        uint64 grantedAt;
        uint24 generation;
        uint8 kind;
        bool revoked;
        bool metered;
        bytes32 termsHash;
    }

    mapping(bytes32 datasetId => mapping(address licensee => License)) public licenses;
}
