"""Proof of stake: who may validate, with what weight, what it earns and what it loses.

The state lives in the storage slots of one native contract at STAKING, so that proofs, reverts, snapshots and traces
work as for any contract. Two kinds of code change it: calls (dmchain/marketplace_vm/precompiles/staking.py) and the
hooks at the edges of each block (`hooks`). Both work on the records of this package, which knows nothing of the EVM.
docs/staking.md states the rules.
"""

from typing import Final

from dmchain.chain.primitives.types import Address

STAKING: Final = Address(bytes.fromhex("000000000000000000000000000000000000da03"))
