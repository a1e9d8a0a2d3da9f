// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @notice The ERC-20 of the benchmark: a million coins for each holder.
contract BenchCoin is ERC20 {
    constructor(address[] memory holders) ERC20("Coin", "COIN") {
        for (uint256 i = 0; i < holders.length; i++) _mint(holders[i], 10 ** 24);
    }
}

interface IChecksLicenses {
    function hasLicense(bytes32 datasetId, address account) external view returns (bool);
}

/// @notice Lets licensees pass, and counts them: what an integrator of licences does.
contract Turnstile {
    error NoLicense(bytes32 datasetId, address account);

    IChecksLicenses private immutable _ledger;
    mapping(address account => uint256 visits) private _visits;

    constructor(IChecksLicenses ledger) {
        _ledger = ledger;
    }

    function pass(bytes32 datasetId) external {
        if (!_ledger.hasLicense(datasetId, msg.sender)) revert NoLicense(datasetId, msg.sender);
        _visits[msg.sender]++;
    }
}

/// @notice What the native precompiles do for a registration, a grant and a check, in Solidity: the same calldata, the
/// same checks of a version 1 CID with a sha2-256 digest, the same events, the same facts in storage.
contract SolidityMarket {
    enum LicenseKind {
        NONE,
        ONE_TIME,
        SUBSCRIPTION,
        PAY_PER_COMPUTE
    }

    struct Dataset {
        address owner;
        uint40 since;
        uint16 parentCount;
        bool retired;
        address controller;
        uint64 sizeBytes;
        uint256 index;
        bytes cid;
        bytes metadataCid;
    }

    struct License {
        uint64 expiresAt;
        uint64 units;
        uint40 grantedAt;
        LicenseKind kind;
        bool revoked;
        bool metered;
        bytes32 termsHash;
    }

    error AlreadyRegistered(bytes32 datasetId);
    error InvalidCid(string reason);
    error UnknownDataset(bytes32 datasetId);
    error NotController(bytes32 datasetId, address caller, address controller);

    event DatasetRegistered(
        bytes32 indexed datasetId,
        address indexed owner,
        bytes cid,
        bytes metadataCid,
        bytes32[] parents,
        uint64 sizeBytes
    );
    event LicenseGranted(
        bytes32 indexed datasetId,
        address indexed licensee,
        LicenseKind kind,
        uint64 expiresAt,
        uint64 units,
        bytes32 termsHash,
        address controller
    );

    mapping(bytes32 datasetId => Dataset) private _datasets;
    mapping(bytes32 datasetId => bytes32[]) private _parents;
    mapping(bytes32 datasetId => bytes32[]) private _children;
    mapping(bytes32 contentKey => bytes32 datasetId) private _holders;
    mapping(bytes32 datasetId => mapping(address account => License)) private _licenses;
    bytes32[] private _ids;

    function registerCid(bytes calldata cid, bytes calldata metadataCid, bytes32[] calldata parents, uint64 sizeBytes)
        external
        returns (bytes32 datasetId)
    {
        _checkCid(cid);
        if (metadataCid.length != 0) _checkCid(metadataCid);
        datasetId = keccak256(cid);
        bytes32 contentKey = keccak256(cid[2:]);
        if (_holders[contentKey] != 0) revert AlreadyRegistered(_holders[contentKey]);
        _holders[contentKey] = datasetId;
        Dataset storage dataset = _datasets[datasetId];
        dataset.owner = msg.sender;
        dataset.since = uint40(block.timestamp);
        dataset.parentCount = uint16(parents.length);
        dataset.sizeBytes = sizeBytes;
        dataset.index = _ids.length;
        dataset.cid = cid;
        dataset.metadataCid = metadataCid;
        for (uint256 i = 0; i < parents.length; i++) {
            if (_datasets[parents[i]].owner == address(0)) revert UnknownDataset(parents[i]);
            _parents[datasetId].push(parents[i]);
            _children[parents[i]].push(datasetId);
        }
        _ids.push(datasetId);
        emit DatasetRegistered(datasetId, msg.sender, cid, metadataCid, parents, sizeBytes);
    }

    function setController(bytes32 datasetId, address controller) external {
        _datasets[datasetId].controller = controller;
    }

    function grant(
        bytes32 datasetId,
        address licensee,
        LicenseKind kind,
        uint64 expiresAt,
        uint64 units,
        bytes32 termsHash
    ) external {
        Dataset storage dataset = _datasets[datasetId];
        address controller = dataset.controller == address(0) ? dataset.owner : dataset.controller;
        if (msg.sender != controller) revert NotController(datasetId, msg.sender, controller);
        _licenses[datasetId][licensee] =
            License(expiresAt, units, uint40(block.timestamp), kind, false, units > 0, termsHash);
        emit LicenseGranted(datasetId, licensee, kind, expiresAt, units, termsHash, msg.sender);
    }

    function hasLicense(bytes32 datasetId, address account) external view returns (bool) {
        License storage held = _licenses[datasetId][account];
        Dataset storage dataset = _datasets[datasetId];
        return dataset.owner != address(0) && !dataset.retired && held.kind != LicenseKind.NONE && !held.revoked
            && (held.expiresAt == 0 || held.expiresAt > block.timestamp) && (!held.metered || held.units > 0);
    }

    function _checkCid(bytes calldata cid) private pure {
        if (cid.length < 4 || cid.length > 128) revert InvalidCid("size");
        if (cid[0] != 0x01) revert InvalidCid("version");
        if (cid[1] != 0x55 && cid[1] != 0x70 && cid[1] != 0x71) revert InvalidCid("codec");
        if (cid[2] != 0x12 || cid[3] != 0x20 || cid.length != 36) revert InvalidCid("digest");
    }
}
