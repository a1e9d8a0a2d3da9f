// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {LicenseState} from "dmchain/LicenseState.sol";

abstract contract Earlier {
    uint256 internal _earlier;
}

/// @notice An upgrade that must not be made: its new variable comes before the others and moves them all.
contract LicenseManagerMoved is Earlier, LicenseState {
    constructor(address dataListing_, address licenseNft_, address escrow_, address reputation_)
        LicenseState(dataListing_, licenseNft_, escrow_, reputation_)
    {}
}
