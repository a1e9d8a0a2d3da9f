// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

ICidRegistry constant CID_REGISTRY = ICidRegistry(0x000000000000000000000000000000000000DA01);

/// @title Registry of content identifiers
/// @notice Who registered which content, when, and derived from what. A native precompile at
/// 0x000000000000000000000000000000000000DA01; call it directly, delegatecall is refused.
///
/// A data set is named by the keccak256 of the binary CID it was registered with. A content belongs to one data set at a
/// time: the first to register it or to add it as a version, unless somebody had committed to it earlier (see
/// `commitCid`). Times are seconds since the Unix epoch, sizes are bytes.
///
/// Accepted CIDs: version 0 or 1 in canonical binary form (no multibase prefix), 4 to 128 bytes; sha2-256, sha2-512,
/// blake2b-256, blake3 or keccak-256 with the full digest; codec raw, protobuf, cbor, dag-pb, dag-cbor, git-raw,
/// dag-jose, swarm-manifest, dag-json, json, messagepack or car.
interface ICidRegistry {
    /// @notice While `Active`, licences may be granted and count. The others are final, but for this: until
    /// `contestableUntil` a data set that its owner retired, or that was superseded, can begin anew by a claim; and
    /// governance can retire any. `Superseded`: its content was claimed under the CID's other spelling (v0 or v1).
    enum DatasetStatus {
        None,
        Active,
        Retired,
        RetiredByGovernance,
        Superseded
    }

    /// @param owner may add versions and retire, and everything the controller and operator may while these are not set
    /// @param controller may grant licences
    /// @param operator when not zero, only it may transfer the data set and set controller and operator
    /// @param registeredAt time of the commitment if it was registered with one, else of the registration
    /// @param registeredBlock block of that moment
    /// @param contestableUntil until this time an earlier commitment may take the data set over
    /// @param sizeBytes size of the content as stated at registration
    /// @param index position in the list of all data sets
    /// @param versionCount 1 or more: the registered CID is the first version
    /// @param cid the CID it was registered with
    /// @param latestCid the CID of the latest version
    /// @param metadataCid the metadata of the latest version, may be empty
    struct Dataset {
        address owner;
        address controller;
        address operator;
        DatasetStatus status;
        uint64 registeredAt;
        uint64 registeredBlock;
        uint64 contestableUntil;
        uint64 sizeBytes;
        uint32 index;
        uint32 versionCount;
        uint32 parentCount;
        bytes cid;
        bytes latestCid;
        bytes metadataCid;
    }

    /// @param sizeBytes as stated at registration; 0 for versions added later
    struct Version {
        bytes cid;
        bytes metadataCid;
        uint64 addedAt;
        uint64 addedBlock;
        uint64 sizeBytes;
    }

    /// @notice A data set was registered, or begun anew by a claim: then versions, controller, operator and licences of
    /// the earlier registration count no more.
    event DatasetRegistered(
        bytes32 indexed datasetId,
        address indexed owner,
        bytes cid,
        bytes metadataCid,
        bytes32[] parents,
        uint64 sizeBytes
    );

    /// @notice Follows DatasetRegistered when an earlier commitment took the content from `previousOwner`.
    /// @param previousDatasetId the data set that held the content, often `datasetId` itself
    event DatasetClaimed(
        bytes32 indexed datasetId,
        address indexed owner,
        address indexed previousOwner,
        bytes32 previousDatasetId
    );

    event CidCommitted(bytes32 indexed commitment, address indexed sender);

    /// @param index 1 for the first version after the registered one
    event VersionAdded(bytes32 indexed datasetId, uint256 indexed index, bytes cid, bytes metadataCid);

    event DatasetTransferred(bytes32 indexed datasetId, address indexed from, address indexed to);

    /// @param controller the account that may grant licences from now on
    event ControllerChanged(bytes32 indexed datasetId, address indexed controller);

    event OperatorChanged(bytes32 indexed datasetId, address indexed operator);

    event DatasetRetired(bytes32 indexed datasetId, address indexed by, DatasetStatus status);

    event GovernanceTransferred(address indexed from, address indexed to);

    /// @notice The call carried native coin.
    error NotPayable(uint256 value);
    error UnknownFunction(bytes4 selector);
    /// @notice The arguments are not an encoding of the declared types, or longer than 16384 bytes.
    error InvalidCalldata();
    /// @notice Reached by delegatecall or callcode.
    error DirectCallOnly();

    /// @param datasetId the data set that holds the content
    error AlreadyRegistered(bytes32 datasetId);
    error UnknownDataset(bytes32 datasetId);
    /// @notice The data set is not `Active`.
    error RetiredDataset(bytes32 datasetId);
    /// @param required the account that may do this
    error NotAuthorized(bytes32 datasetId, address caller, address required);
    error NotGovernance(address caller, address governance);
    error InvalidCid(string reason);
    error InvalidMetadataCid(string reason);
    error InvalidOwner(address owner);
    error TooManyParents(uint256 given, uint256 allowed);
    /// @notice The parent is unknown, named twice, or not older than the data set.
    error InvalidParent(bytes32 parent);
    error TooManyVersions(bytes32 datasetId);
    error TooManyDatasets();
    error IndexOutOfRange(uint256 index, uint256 count);
    error CommitmentExists(bytes32 commitment, uint64 expiresAt);
    error UnknownCommitment(bytes32 commitment);
    error CommitmentExpired(bytes32 commitment, uint64 expiredAt);

    /// @notice Register a content; the caller becomes its owner. Whoever watches pending transactions can be faster:
    /// commit first where that matters.
    /// Emits {DatasetRegistered}.
    /// @param cid binary CID of the content
    /// @param metadataCid binary CID of its description, or empty
    /// @param parents up to 16 data sets this one is derived from, registered before, each once
    /// @param sizeBytes size of the content, 0 for not stated
    /// @return datasetId keccak256(cid)
    function registerCid(bytes calldata cid, bytes calldata metadataCid, bytes32[] calldata parents, uint64 sizeBytes)
        external
        returns (bytes32 datasetId);

    /// @notice Announce a registration without showing the content. Within `commitWindow()` seconds, opening it with
    /// `registerCommitted` beats every registration of the content that dates from a later block.
    /// Emits {CidCommitted}.
    /// @param commitment keccak256(abi.encode(bytes cid, address owner, bytes32 salt)): `owner` is who will register,
    /// `salt` is 32 random bytes. Anybody may send it.
    function commitCid(bytes32 commitment) external;

    /// @notice Register a content with the date of a commitment, taking it from a later registrant if there is one. The
    /// data set then begins anew: see {DatasetRegistered}. Parents must be older than the data set.
    /// Emits {DatasetRegistered}, and {DatasetClaimed} when it was taken from somebody.
    /// @param salt as in the commitment
    /// @return datasetId keccak256(cid)
    function registerCommitted(
        bytes calldata cid,
        bytes calldata metadataCid,
        bytes32[] calldata parents,
        uint64 sizeBytes,
        bytes32 salt
    ) external returns (bytes32 datasetId);

    /// @notice Add a version. Only the owner. A CID that a data set of the same owner holds may come again, for new
    /// metadata or a step back.
    /// Emits {VersionAdded}.
    function addVersion(bytes32 datasetId, bytes calldata cid, bytes calldata metadataCid) external;

    /// @notice Give the data set to a new owner. Only the operator, or the owner while there is none. The controller is
    /// reset: the new owner is the controller until it names one. Licences stay.
    /// Emits {DatasetTransferred} and {ControllerChanged}.
    function transferDataset(bytes32 datasetId, address newOwner) external;

    /// @notice Set who may grant, extend, meter and revoke licences; zero for the owner. It takes over the licences that
    /// exist. Only the operator, or the owner while there is none.
    /// Emits {ControllerChanged}.
    function setController(bytes32 datasetId, address controller) external;

    /// @notice Bind the data set to a contract (say, the one of a token that stands for it); zero to unbind. Only the
    /// operator, or the owner while there is none.
    /// Emits {OperatorChanged}.
    function setOperator(bytes32 datasetId, address operator) external;

    /// @notice End a data set for good: no new licences, versions or owners, and licences no longer count; the history
    /// stays, and the content cannot be registered again. Only the owner or governance.
    /// Emits {DatasetRetired}.
    function retire(bytes32 datasetId) external;

    /// @notice Hand over the right to retire any data set; zero gives it up. Only governance.
    /// Emits {GovernanceTransferred}.
    function transferGovernance(address newGovernance) external;

    /// @notice Everything about a data set. Reverts with {UnknownDataset}.
    function dataset(bytes32 datasetId) external view returns (Dataset memory);

    /// @notice The data set that holds a content, zero if none. CIDv0 and CIDv1 of the same content find the same one.
    function datasetOf(bytes calldata cid) external view returns (bytes32 datasetId);

    /// @notice Whether the data set exists, retired or not.
    function isRegistered(bytes32 datasetId) external view returns (bool);

    function ownerOf(bytes32 datasetId) external view returns (address);

    function controllerOf(bytes32 datasetId) external view returns (address);

    function versionCount(bytes32 datasetId) external view returns (uint256);

    /// @notice Versions from `offset` on, oldest first: at most `limit`, and at most 64.
    function versions(bytes32 datasetId, uint256 offset, uint256 limit) external view returns (Version[] memory);

    /// @notice The data sets this one is derived from, in the order given at registration: at most 16.
    function parents(bytes32 datasetId) external view returns (bytes32[] memory);

    function childCount(bytes32 datasetId) external view returns (uint256);

    /// @notice Data sets registered as derived from this one, oldest first: at most `limit`, and at most 256. After a
    /// claim, a child's own `parents` may no longer contain this one: those count.
    function children(bytes32 datasetId, uint256 offset, uint256 limit) external view returns (bytes32[] memory);

    /// @notice The number of data sets ever registered.
    function datasetCount() external view returns (uint256);

    /// @notice The data set at a position in the order of registration. Reverts with {IndexOutOfRange}.
    function datasetAt(uint256 index) external view returns (bytes32 datasetId);

    /// @notice Data sets in order of registration from `offset` on: at most `limit`, and at most 256.
    function datasets(uint256 offset, uint256 limit) external view returns (bytes32[] memory);

    /// @notice When a commitment was made; zeros when there is none or it was opened.
    function commitmentOf(bytes32 commitment) external view returns (uint64 committedAt, uint64 committedBlock);

    /// @notice The account that may retire any data set, zero if none.
    function governance() external view returns (address);

    /// @notice Seconds within which a commitment must be opened.
    function commitWindow() external view returns (uint64);
}
