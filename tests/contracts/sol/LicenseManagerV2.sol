// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {LicenseState} from "dmchain/LicenseState.sol";
import {CID_REGISTRY} from "dmchain/interfaces/ICidRegistry.sol";
import {ILicenseManager} from "dmchain/interfaces/ILicenseManager.sol";

/// @title A LicenseManager with one pricing model more: bulk offers
/// @notice What governance would propose as the next implementation. A bulk offer is an offer whose price, lower than
/// that of others, is for purchases of at least so many periods or units. All else is done by the implementation before,
/// on the same storage.
contract LicenseManagerV2 is LicenseState {
    event BulkOfferCreated(uint256 indexed offerId, uint64 leastQuantity);

    error QuantityTooSmall(uint256 offerId, uint64 given, uint64 least);
    error InvalidLeastQuantity(uint64 given);

    address private immutable BEFORE;

    mapping(uint256 offerId => uint64) internal _leastQuantities;

    constructor(address before, address dataListing_, address licenseNft_, address escrow_, address reputation_)
        LicenseState(dataListing_, licenseNft_, escrow_, reputation_)
    {
        BEFORE = before;
    }

    fallback() external payable {
        _pass();
    }

    /// @notice Make an offer for purchases of at least `leastQuantity`. Only the data set's owner.
    function createBulkOffer(bytes32 datasetId, ILicenseManager.OfferInput calldata input, uint64 leastQuantity)
        external
        returns (uint256 offerId)
    {
        address owner = CID_REGISTRY.ownerOf(datasetId);
        if (msg.sender != owner) revert NotDatasetOwner(datasetId, msg.sender, owner);
        if (leastQuantity < 2) revert InvalidLeastQuantity(leastQuantity);
        bytes memory data = abi.encodeCall(ILicenseManager(address(this)).createOffer, (datasetId, input));
        (bool success, bytes memory result) = BEFORE.delegatecall(data);
        if (!success) {
            assembly ("memory-safe") {
                revert(add(result, 32), mload(result))
            }
        }
        offerId = abi.decode(result, (uint256));
        _leastQuantities[offerId] = leastQuantity;
        emit BulkOfferCreated(offerId, leastQuantity);
    }

    function purchase(uint256 offerId, address, uint64 quantity, uint256) external payable returns (uint256) {
        _check(offerId, quantity);
        _pass();
    }

    function purchaseWithPermit(
        uint256 offerId,
        address,
        uint64 quantity,
        uint256,
        uint256,
        uint8,
        bytes32,
        bytes32
    ) external returns (uint256) {
        _check(offerId, quantity);
        _pass();
    }

    function purchaseFor(address, uint256 offerId, address, uint64 quantity, uint256)
        external
        payable
        returns (uint256)
    {
        _check(offerId, quantity);
        _pass();
    }

    function leastQuantityOf(uint256 offerId) external view returns (uint64) {
        return _leastQuantities[offerId];
    }

    function withdrawFor(address, address) public override returns (uint256) {
        _pass();
    }

    function withdrawTo(address, address) public override returns (uint256) {
        _pass();
    }

    function _check(uint256 offerId, uint64 quantity) private view {
        uint64 least = _leastQuantities[offerId];
        if (quantity < least) revert QuantityTooSmall(offerId, quantity, least);
    }

    /// @dev Run the call by the implementation before, and end with what it answers.
    function _pass() private {
        address target = BEFORE;
        assembly {
            calldatacopy(0, 0, calldatasize())
            let ok := delegatecall(gas(), target, 0, calldatasize(), 0, 0)
            returndatacopy(0, 0, returndatasize())
            switch ok
            case 0 {
                revert(0, returndatasize())
            }
            default {
                return(0, returndatasize())
            }
        }
    }
}
