"""What the genesis of a dmchain network holds besides money: system contracts, native precompiles, the market."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from dmchain.chain.genesis import Genesis, GenesisAccount
from dmchain.chain.primitives.types import Address
from dmchain.marketplace_vm.market_genesis.addresses import ADDRESSES, DISPUTE_RESOLUTION, TIMELOCK
from dmchain.marketplace_vm.market_genesis.build import build_market
from dmchain.marketplace_vm.market_genesis.parameters import MarketParameters
from dmchain.marketplace_vm.precompiles import CID_REGISTRY, LICENSE_LEDGER, STAKING
from dmchain.marketplace_vm.precompiles.genesis import make_genesis_accounts
from dmchain.marketplace_vm.system import SYSTEM_CONTRACTS

NATIVE_CONTRACTS: Final[dict[str, Address]] = {"CidRegistry": CID_REGISTRY, "LicenseLedger": LICENSE_LEDGER}


def system_accounts(governance: Address | None = None) -> dict[Address, GenesisAccount]:
    """What every dmchain network has in block 0. `governance` may retire any data set."""
    accounts = {Address(address): GenesisAccount(nonce=1, code=code) for address, code in SYSTEM_CONTRACTS.items()}
    for address, account in make_genesis_accounts(governance).items():
        storage = tuple(sorted(account.storage.items()))
        accounts[address] = GenesisAccount(account.balance, account.nonce, account.code, storage)
    return accounts


def predeployed_accounts(market: MarketParameters | None, chain_id: int) -> dict[Address, GenesisAccount]:
    """`system_accounts`, and the market administered by its Timelock, which governs the registry too."""
    if market is None:
        return system_accounts()
    return {**system_accounts(TIMELOCK), **build_market(market, chain_id)}


def with_dispute_contract(own: Mapping[str, Any]) -> dict[str, Any]:
    """The section `dmchain` of a genesis with the market: disputes may slash validators' stake, if there are any."""
    if "validators" not in own:
        return dict(own)
    contract = "0x" + DISPUTE_RESOLUTION.hex()
    return {**own, "staking": {"disputeContract": contract, **own.get("staking", {})}}


def market_contracts(genesis: Genesis) -> dict[str, Address]:
    """The contracts of the market that this chain began with, by name; of Staking only where it is on."""
    known = {**NATIVE_CONTRACTS, **({"Staking": STAKING} if genesis.staking is not None else {}), **ADDRESSES}
    return {name: address for name, address in known.items() if address in genesis.alloc and genesis.alloc[address].code}
