// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {IEscrowPayment} from "dmchain/interfaces/IEscrowPayment.sol";
import {ILicenseLedger, LICENSE_LEDGER} from "dmchain/interfaces/ILicenseLedger.sol";
import {ILicenseManager} from "dmchain/interfaces/ILicenseManager.sol";

/// @notice Does for escrow, streams and computation what the LicenseManager does, and lets a test see and choose it all.
contract StandInManager {
    using SafeERC20 for IERC20;

    event Distributed(uint256 offerId, address payer, address token, uint256 amount);
    event RefundTold(uint256 purchaseId, uint256 amount, bool endsLicence);
    event Reserved(bytes32 datasetId, address licensee, uint64 units);
    event Unreserved(uint256 termId, uint64 units);
    event Consumed(uint256 termId, uint64 units);

    /// @notice Told to distribute money that had not come.
    error Unbacked(address token, uint256 balance, uint256 needed);
    error NothingReserved(uint256 termId, uint64 reserved, uint64 asked);

    /// @notice All that was distributed, by token: it stays here.
    mapping(address token => uint256) public distributed;
    mapping(uint256 offerId => ILicenseManager.Offer) private _offers;
    mapping(uint256 offerId => bool) public isSellable;
    mapping(uint256 termId => uint64) public reserved;
    uint256 public terms;
    mapping(uint256 termId => bool) public isBroken;
    mapping(uint256 purchaseId => address) private _providers;

    // -- for the test

    function setOffer(uint256 offerId, ILicenseManager.Offer calldata given, bool sellable) external {
        _offers[offerId] = given;
        isSellable[offerId] = sellable;
    }

    /// @dev An ERC-20 is pulled from the caller without a look at what came, and passed on.
    function openEscrow(IEscrowPayment escrow, IEscrowPayment.EscrowInput calldata input)
        external
        payable
        returns (uint256)
    {
        _pass(escrow, input.token, input.amount);
        return escrow.open{value: msg.value}(input);
    }

    function openUnpaid(IEscrowPayment escrow, IEscrowPayment.EscrowInput calldata input)
        external
        payable
        returns (uint256)
    {
        return escrow.open{value: msg.value}(input);
    }

    function topUp(IEscrowPayment escrow, uint256 escrowId, uint256 purchaseId, address token, uint128 amount)
        external
        payable
    {
        _pass(escrow, token, amount);
        escrow.topUp{value: msg.value}(escrowId, purchaseId, amount);
    }

    function releasePart(IEscrowPayment escrow, uint256 escrowId, uint128 amount) external {
        escrow.releasePart(escrowId, amount);
    }

    function refundPart(IEscrowPayment escrow, uint256 escrowId, uint128 amount) external {
        escrow.refundPart(escrowId, amount);
    }

    function setProvider(uint256 purchaseId, address provider) external {
        _providers[purchaseId] = provider;
    }

    // -- as the LicenseManager

    function purchaseOf(uint256 purchaseId) external view returns (ILicenseManager.Purchase memory found) {
        found.provider = _providers[purchaseId];
        found.termId = purchaseId;
    }

    function offer(uint256 offerId) external view returns (ILicenseManager.Offer memory) {
        return _offers[offerId];
    }

    function distribute(uint256 offerId, address payer, address token, uint256 amount) external payable {
        distributed[token] += amount;
        uint256 balance = token == address(0) ? address(this).balance : IERC20(token).balanceOf(address(this));
        if (balance < distributed[token]) revert Unbacked(token, balance, distributed[token]);
        emit Distributed(offerId, payer, token, amount);
    }

    function onRefund(uint256 purchaseId, uint256 amount, bool endsLicence) external {
        emit RefundTold(purchaseId, amount, endsLicence);
    }

    function grantFor(uint256 offerId, address, address licensee, uint64 expiresAt, uint64 units)
        external
        returns (uint256)
    {
        ILicenseManager.Offer storage given = _offers[offerId];
        if (LICENSE_LEDGER.hasLicense(given.datasetId, licensee)) {
            LICENSE_LEDGER.extend(given.datasetId, licensee, expiresAt, units);
        } else {
            LICENSE_LEDGER.grant(given.datasetId, licensee, given.kind, expiresAt, units, given.termsHash);
        }
        return ++terms;
    }

    function setBroken(uint256 termId, bool broken) external {
        isBroken[termId] = broken;
    }

    function endFor(bytes32 datasetId, address licensee, bytes32 reason) external {
        if (LICENSE_LEDGER.hasLicense(datasetId, licensee)) LICENSE_LEDGER.revoke(datasetId, licensee, reason);
    }

    function reserveFor(bytes32 datasetId, address licensee, uint64 units) external returns (uint256 termId) {
        termId = ++terms;
        reserved[termId] = units;
        emit Reserved(datasetId, licensee, units);
    }

    function unreserveFor(uint256 termId, uint64 units) external {
        if (units > reserved[termId]) revert NothingReserved(termId, reserved[termId], units);
        reserved[termId] -= units;
        emit Unreserved(termId, units);
    }

    function consumeFor(uint256 termId, uint64 units) external returns (uint64) {
        if (units > reserved[termId]) revert NothingReserved(termId, reserved[termId], units);
        reserved[termId] -= units;
        emit Consumed(termId, units);
        return 0;
    }

    function _pass(IEscrowPayment escrow, address token, uint256 amount) private {
        if (token == address(0)) return;
        IERC20(token).safeTransferFrom(msg.sender, address(this), amount);
        IERC20(token).safeTransfer(address(escrow), amount);
    }
}
