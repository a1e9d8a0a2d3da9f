"""The market as block 0 of a devnet has it, on a chain in process."""

from __future__ import annotations

from functools import cache

from dmchain.chain.genesis import GenesisAccount
from dmchain.chain.primitives.types import Address
from dmchain.marketplace_vm.market_genesis.addresses import ADDRESSES, TIMELOCK
from dmchain.marketplace_vm.market_genesis.build import build_market
from dmchain.marketplace_vm.market_genesis.parameters import DEVNET, MarketParameters
from tests.contracts.chain import ACCOUNTS, CHAIN_ID, Chain, Contract

HOLDERS = 10


def devnet_parameters() -> MarketParameters:
    """Those of a devnet, with the first ten accounts of the test chain in place of the well-known ones."""
    return DEVNET.with_holders(tuple([account.key.address for account in ACCOUNTS[:HOLDERS]]))


@cache
def _devnet_market(chain_id: int) -> dict[Address, GenesisAccount]:
    return build_market(devnet_parameters(), chain_id)


class PredeployedMarket:
    """`market.LicenseManager` and so on are the contracts of genesis; nobody but the Timelock administers them."""

    def __init__(self, chain_id: int = CHAIN_ID) -> None:
        self.chain = Chain(governance=TIMELOCK, alloc=_devnet_market(chain_id), chain_id=chain_id)
        self.contracts = {name: self.chain.contract(address, name) for name, address in ADDRESSES.items()}

    def __getattr__(self, name: str) -> Contract:
        try:
            return self.__dict__["contracts"][name]  # type: ignore[no-any-return]
        except KeyError:
            raise AttributeError(f"no contract {name}") from None
