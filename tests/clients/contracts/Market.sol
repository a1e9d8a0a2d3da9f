// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ICidRegistry} from "dmchain/interfaces/ICidRegistry.sol";
import {ILicenseLedger} from "dmchain/interfaces/ILicenseLedger.sol";

/// @notice Reaches the native precompiles in every way the EVM has.
contract Caller {
    ICidRegistry private constant REGISTRY = ICidRegistry(0x000000000000000000000000000000000000DA01);
    ILicenseLedger private constant LEDGER = ILicenseLedger(0x000000000000000000000000000000000000Da02);

    error GivenUp();

    event Registered(bytes32 datasetId);
    event AlreadyThere(bytes32 datasetId);
    event Failed(bytes reason);

    /// @notice Registers, or finds out from the custom error which data set has the content already.
    function tryRegister(bytes calldata cid) external {
        try REGISTRY.registerCid(cid, "", new bytes32[](0), 1) returns (bytes32 datasetId) {
            emit Registered(datasetId);
        } catch (bytes memory reason) {
            if (bytes4(reason) == ICidRegistry.AlreadyRegistered.selector) {
                bytes32 datasetId;
                assembly {
                    datasetId := mload(add(reason, 36))
                }
                emit AlreadyThere(datasetId);
            } else {
                emit Failed(reason);
            }
        }
    }

    function register(bytes calldata cid) external returns (bytes32) {
        return REGISTRY.registerCid(cid, "", new bytes32[](0), 1);
    }

    /// @notice Registers in an inner call that is undone, and tells whether anything is left of it.
    function registerAndUndo(bytes calldata cid) external returns (bool leftOver) {
        try this.registerAndRevert(cid) {
            revert("not undone");
        } catch {
            leftOver = REGISTRY.isRegistered(keccak256(cid));
        }
        emit Registered(leftOver ? keccak256(cid) : bytes32(0));
    }

    function registerAndRevert(bytes calldata cid) external {
        REGISTRY.registerCid(cid, "", new bytes32[](0), 1);
        require(REGISTRY.isRegistered(keccak256(cid)), "not visible inside");
        revert GivenUp();
    }

    /// @notice This contract's own licence business: it must be the controller of the data set.
    function grant(bytes32 datasetId, address licensee, uint64 expiresAt) external {
        LEDGER.grant(datasetId, licensee, ILicenseLedger.LicenseKind.OneTime, expiresAt, 0, bytes32(0));
    }

    /// @notice STATICCALL, as Solidity makes it for a view function.
    function check(bytes32 datasetId, address account) external view returns (bool) {
        return LEDGER.hasLicense(datasetId, account);
    }

    /// @notice Any call of the registry by one of the EVM's four call opcodes (F1, F2, F4, FA), with its outcome.
    function callBy(uint8 opcode, address target, bytes memory data) external returns (bool ok, bytes memory output) {
        if (opcode == 0xf1) (ok, output) = target.call(data);
        else if (opcode == 0xf4) (ok, output) = target.delegatecall(data);
        else if (opcode == 0xfa) (ok, output) = target.staticcall(data);
        else {
            assembly {
                ok := callcode(gas(), target, 0, add(data, 32), mload(data), 0, 0)
                output := mload(0x40)
                mstore(output, returndatasize())
                returndatacopy(add(output, 32), 0, returndatasize())
                mstore(0x40, add(output, add(32, and(add(returndatasize(), 31), not(31)))))
            }
        }
    }

    /// @notice Gas of one licence check, cold and warm.
    function measure(bytes32 datasetId, address account) external view returns (uint256 cold, uint256 warm) {
        uint256 before = gasleft();
        LEDGER.hasLicense(datasetId, account);
        cold = before - gasleft();
        before = gasleft();
        LEDGER.hasLicense(datasetId, account);
        warm = before - gasleft();
    }
}
