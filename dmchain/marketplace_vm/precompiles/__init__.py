"""Native precompiles: consensus code in Python at fixed addresses, ABI-encoded like any contract.

CidRegistry keeps who registered which content when; LicenseLedger keeps who may use it until when (docs/precompiles.md).
Staking keeps the stake of validators and delegators (docs/staking.md). Their storage is ordinary contract storage, so
proofs, reverts, snapshots and traces work unchanged.

Only the addresses live here, so that a client may import them without py-evm.
"""

from typing import Final

from dmchain.chain.primitives.types import Address
from dmchain.chain.staking import STAKING

__all__ = ["CID_REGISTRY", "LICENSE_LEDGER", "STAKING"]

CID_REGISTRY: Final = Address(bytes.fromhex("000000000000000000000000000000000000da01"))
LICENSE_LEDGER: Final = Address(bytes.fromhex("000000000000000000000000000000000000da02"))
