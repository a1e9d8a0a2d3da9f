"""Builds the market's Solidity contracts with solc from npm (docs/market/contracts.md)."""
