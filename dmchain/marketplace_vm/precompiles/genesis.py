"""What a genesis state holds of the native precompiles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from dmchain.chain.primitives.types import Address
from dmchain.marketplace_vm.precompiles import CID_REGISTRY, LICENSE_LEDGER, STAKING
from dmchain.marketplace_vm.precompiles.layout import GOVERNANCE_SLOT

STUB_CODE: Final = bytes.fromhex("5f5ffd")
"""PUSH0 PUSH0 REVERT. Solidity refuses to call an address without code; a machine that does not know the precompile
reverts instead of succeeding with nothing."""


@dataclass(frozen=True, slots=True)
class GenesisAccount:
    """Nonce 1 as for any contract: an account with nonce 0, no code and no balance loses its storage (EIP-161)."""

    nonce: int = 1
    balance: int = 0
    code: bytes = STUB_CODE
    storage: Mapping[int, int] = field(default_factory=dict)


def make_genesis_accounts(governance: Address | None = None) -> dict[Address, GenesisAccount]:
    """Return the accounts to allocate. `governance` may retire any data set; None: nobody may.

    Staking is off (`StakingOff`) unless the genesis file names validators, which decide what its account holds.
    """
    storage = {} if governance is None else {GOVERNANCE_SLOT: int.from_bytes(governance, "big")}
    return {CID_REGISTRY: GenesisAccount(storage=storage), LICENSE_LEDGER: GenesisAccount(), STAKING: GenesisAccount()}


GENESIS_ACCOUNTS: Final = make_genesis_accounts()
