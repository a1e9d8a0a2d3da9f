"""Names for the sizes and units that every other module speaks in."""

from typing import NewType

Address = NewType("Address", bytes)
"""20 bytes."""
Hash32 = NewType("Hash32", bytes)
"""32 bytes."""
Height = NewType("Height", int)
"""Block number, from 0 (genesis)."""
Round = NewType("Round", int)
Wei = NewType("Wei", int)
Gas = NewType("Gas", int)
Timestamp = NewType("Timestamp", int)
"""Whole seconds since the Unix epoch."""

ZERO_ADDRESS = Address(bytes(20))
ZERO_HASH = Hash32(bytes(32))

UINT64_MAX = 2**64 - 1
UINT256_MAX = 2**256 - 1
