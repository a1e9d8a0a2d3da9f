"""Header rules: what the next header must say, given its parent. Pure arithmetic, checked by every replica.

Sources: EIP-1559 (gas limit, base fee), EIP-3675 (constants since the merge), EIP-4844 and 7691 (blob gas), EIP-7825
(gas cap of a transaction); the timestamp rule is dmchain's own (docs/consensus.md).
"""

from __future__ import annotations

from dataclasses import dataclass

from dmchain.chain.primitives.block import (
    EMPTY_OMMERS_HASH,
    EMPTY_REQUESTS_HASH,
    EMPTY_TRIE_ROOT,
    MAX_EXTRA_DATA_BYTES,
    Header,
)
from dmchain.chain.primitives.errors import InvalidBlock

GAS_LIMIT_BOUND_DIVISOR = 1024
MIN_GAS_LIMIT = 5000
MAX_GAS_LIMIT = 2**63 - 1
BASE_FEE_CHANGE_DENOMINATOR = 8
ELASTICITY = 2
GAS_PER_BLOB = 2**17
MIN_BLOB_BASE_FEE = 1
TARGET_BLOB_GAS = 6 * GAS_PER_BLOB
MAX_BLOB_GAS = 9 * GAS_PER_BLOB
BLOB_BASE_FEE_UPDATE_FRACTION = 5_007_716
TRANSACTION_GAS_CAP = 2**24
"""EIP-7825, from Osaka on."""
MAX_INITCODE_BYTES = 49_152


@dataclass(frozen=True, slots=True)
class Rules:
    """What one chain demands. `osaka_time`: when contracts see CLZ, P256VERIFY, the new MODEXP and the gas cap.

    The last four are off on dmchain's own networks and on for imported Ethereum chains.
    """

    chain_id: int
    osaka_time: int | None = None
    strict_timestamps: bool = False
    blobs: bool = False
    withdrawals: bool = False
    requests: bool = False

    def is_osaka(self, timestamp: int) -> bool:
        return self.osaka_time is not None and timestamp >= self.osaka_time

    def transaction_gas_cap(self, timestamp: int) -> int | None:
        return TRANSACTION_GAS_CAP if self.is_osaka(timestamp) else None


def compute_base_fee(parent: Header) -> int:
    """Base fee of the block after `parent`, in wei per gas (EIP-1559)."""
    base_fee = parent.base_fee_per_gas or 0
    target = parent.gas_limit // ELASTICITY
    if parent.gas_used == target:
        return base_fee
    if parent.gas_used > target:
        delta = base_fee * (parent.gas_used - target) // target // BASE_FEE_CHANGE_DENOMINATOR
        return base_fee + max(delta, 1)
    return base_fee - base_fee * (target - parent.gas_used) // target // BASE_FEE_CHANGE_DENOMINATOR


def compute_gas_limit(parent_limit: int, wanted: int) -> int:
    """The gas limit closest to `wanted` that may follow `parent_limit`."""
    step = parent_limit // GAS_LIMIT_BOUND_DIVISOR - 1
    return max(min(wanted, parent_limit + step, MAX_GAS_LIMIT), parent_limit - step, MIN_GAS_LIMIT)


def compute_excess_blob_gas(parent: Header) -> int:
    return max(0, (parent.excess_blob_gas or 0) + (parent.blob_gas_used or 0) - TARGET_BLOB_GAS)


def compute_blob_base_fee(excess_blob_gas: int) -> int:
    """Wei per blob gas: e ** (excess / fraction) by Taylor series in integers (EIP-4844)."""
    at, output, term = 1, 0, MIN_BLOB_BASE_FEE * BLOB_BASE_FEE_UPDATE_FRACTION
    while term > 0:
        output += term
        term = term * excess_blob_gas // (BLOB_BASE_FEE_UPDATE_FRACTION * at)
        at += 1
    return output // BLOB_BASE_FEE_UPDATE_FRACTION


def _expect(field: str, got: object, expected: object) -> None:
    if got != expected:
        raise InvalidBlock(f"{field}: got {_show(got)}, expected {_show(expected)}")


def _show(value: object) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)


def validate_header(header: Header, parent: Header, rules: Rules) -> None:
    """Raise InvalidBlock unless `header` may follow `parent`; roots are checked after execution."""
    _expect("number", header.number, parent.number + 1)
    _expect("parent_hash", header.parent_hash, parent.hash)
    if header.requests_hash is None:
        raise InvalidBlock("requests_hash: missing, expected the 21 fields of Prague")
    if header.timestamp < parent.timestamp or (rules.strict_timestamps and header.timestamp == parent.timestamp):
        relation = "later than" if rules.strict_timestamps else "not before"
        raise InvalidBlock(f"timestamp: got {header.timestamp}, expected {relation} {parent.timestamp}")
    _validate_constants(header, rules)
    _validate_gas(header, parent)
    _validate_blob_gas(header, parent, rules)


def _validate_constants(header: Header, rules: Rules) -> None:
    _expect("ommers_hash", header.ommers_hash, EMPTY_OMMERS_HASH)
    _expect("difficulty", header.difficulty, 0)
    _expect("nonce", header.nonce, bytes(8))
    if len(header.extra_data) > MAX_EXTRA_DATA_BYTES:
        raise InvalidBlock(f"extra_data: got {len(header.extra_data)} bytes, expected at most {MAX_EXTRA_DATA_BYTES}")
    if not rules.withdrawals:
        _expect("withdrawals_root", header.withdrawals_root, EMPTY_TRIE_ROOT)
    if not rules.requests:
        _expect("requests_hash", header.requests_hash, EMPTY_REQUESTS_HASH)


def _validate_gas(header: Header, parent: Header) -> None:
    bound = parent.gas_limit // GAS_LIMIT_BOUND_DIVISOR
    if abs(header.gas_limit - parent.gas_limit) >= bound or not MIN_GAS_LIMIT <= header.gas_limit <= MAX_GAS_LIMIT:
        raise InvalidBlock(
            f"gas_limit: got {header.gas_limit}, expected less than {bound} away from {parent.gas_limit} "
            f"and {MIN_GAS_LIMIT} to {MAX_GAS_LIMIT}"
        )
    if header.gas_used > header.gas_limit:
        raise InvalidBlock(f"gas_used: got {header.gas_used}, expected at most the gas limit {header.gas_limit}")
    _expect("base_fee_per_gas", header.base_fee_per_gas, compute_base_fee(parent))


def _validate_blob_gas(header: Header, parent: Header, rules: Rules) -> None:
    _expect("excess_blob_gas", header.excess_blob_gas, compute_excess_blob_gas(parent))
    used = header.blob_gas_used or 0
    limit = MAX_BLOB_GAS if rules.blobs else 0
    if used > limit or used % GAS_PER_BLOB:
        raise InvalidBlock(f"blob_gas_used: got {used}, expected a multiple of {GAS_PER_BLOB} up to {limit}")
