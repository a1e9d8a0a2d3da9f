"""Prices in gas. Every number is consensus: docs/precompiles.md gives the table and what was measured.

Storage and logs cost what the EVM charges for them. The rest is priced per microsecond of native work on CPython, so
that no call of a precompile is cheaper per microsecond than the cheapest ordinary opcodes: `bench/precompile_gas.py`
prints the figures.
"""

from typing import Final

# -- the EVM's own (EIP-2929, EIP-2200 as amended by EIP-3529, Yellow Paper appendix G)
COLD_SLOAD: Final = 2_100
WARM_READ: Final = 100
SSTORE_SET: Final = 20_000
SSTORE_RESET: Final = 2_900
SSTORE_CLEARS_REFUND: Final = 4_800
SSTORE_STIPEND: Final = 2_300
COLD_ACCOUNT: Final = 2_600
PAYMENT: Final = 6_700
"""A call's value transfer, 9000, without the stipend of 2300."""
NEW_ACCOUNT: Final = 25_000
LOG: Final = 375
LOG_TOPIC: Final = 375
LOG_BYTE: Final = 8

# -- ours
ENTRY: Final = 200
"""Every call: dispatch, and the checks of value and static flag."""
CALLDATA_WORD: Final = 6
"""Per started word of 32 bytes, before it is copied and decoded."""
OUTPUT_WORD: Final = 6
"""Per started word of the answer."""
SLOT: Final = 42
"""One mapping step: keccak of two words, as the KECCAK256 opcode charges (30 + 2 x 6)."""
CID: Final = 150
"""Check one CID and hash it (at most 128 bytes)."""
PARENT: Final = 250
"""Per parent of a registration, besides its storage."""
LICENSE_CHECK: Final = 3 * SLOT + 74
"""One look-up of a licence, besides its two slots."""

# Per function, besides ENTRY, calldata, output, storage and logs.
REGISTER: Final = 1_500
REGISTER_COMMITTED: Final = 2_000
COMMIT: Final = 300
ADD_VERSION: Final = 1_200
TRANSFER: Final = 500
ADMINISTER: Final = 400
VIEW: Final = 200
VIEW_DATASET: Final = 1_000
GRANT: Final = 600
CHANGE_LICENSE: Final = 500
LICENSE_OF: Final = 500

# Staking.
BURN: Final = 100
"""Coin destroyed: one balance of an account that changes anyway."""
POSITION: Final = 1_200
"""A pool and a delegation, unpacked, settled and packed again."""
REGISTER_VALIDATOR: Final = 5_000
"""The key's proof of possession takes 3000, as ECRECOVER does."""
DELEGATE: Final = 600
REDELEGATE: Final = 800
WITHDRAW: Final = 400
ADMINISTER_VALIDATOR: Final = 500
TAKE_SEAT: Final = 800
SLASH_FOR_DATA: Final = 800
UNBONDING_ENTRY: Final = 500
"""Each entry of a queue that is looked at, besides its storage."""
BENEFICIARY: Final = 100
"""Each of a compensation, besides the payment."""
VIEW_VALIDATOR: Final = 1_200
VIEW_MEMBER: Final = 300
VIEW_EPOCH: Final = 600
