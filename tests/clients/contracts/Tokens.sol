// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";

/// @notice An OpenZeppelin ERC-20 whose whole supply goes to its deployer.
contract Coin is ERC20 {
    constructor(uint256 supply) ERC20("Coin", "COIN") {
        _mint(msg.sender, supply);
    }
}

/// @notice An OpenZeppelin ERC-721 that anyone may mint.
contract Card is ERC721 {
    constructor() ERC721("Card", "CARD") {}

    function mint(address to, uint256 tokenId) external {
        _safeMint(to, tokenId);
    }
}
