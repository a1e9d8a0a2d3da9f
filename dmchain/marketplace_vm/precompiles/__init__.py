"""Native precompiles: consensus code in Python at fixed addresses, ABI-encoded like any contract.

CidRegistry keeps who registered which content when; LicenseLedger keeps who may use it until when. Their storage is
ordinary contract storage, so proofs, reverts, snapshots and traces work unchanged (docs/precompiles.md).

Only the addresses live here, so that a client may import them without py-evm.
"""

from typing import Final

from dmchain.chain.primitives.types import Address

CID_REGISTRY: Final = Address(bytes.fromhex("000000000000000000000000000000000000da01"))
LICENSE_LEDGER: Final = Address(bytes.fromhex("000000000000000000000000000000000000da02"))
