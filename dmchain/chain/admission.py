"""What a transaction must be before the pool looks at its place: every rule a proposer or validator would apply.

The order is from cheap to dear: size and fields, then the signature (40 us), then the sender's account. Texts are
geth's, because client libraries match on them. Sources: EIP-155, 1559, 2681, 3607, 3860, 7623, 7702, 7825.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from dmchain.chain.primitives.errors import (
    FeeCapTooLow,
    FloorGasTooLow,
    GasLimitExceeded,
    InitcodeTooLarge,
    InsufficientFunds,
    IntrinsicGasTooLow,
    InvalidTransaction,
    NonceMax,
    NonceTooLow,
    SenderNotEOA,
    SignatureError,
    TipAboveFeeCap,
    TransactionTypeNotSupported,
    WrongChainId,
)
from dmchain.chain.primitives.transaction import BLOB, Transaction
from dmchain.chain.primitives.types import UINT64_MAX, Address
from dmchain.chain.rules import MAX_INITCODE_BYTES


class PoolRejection(InvalidTransaction):
    """The transaction may be valid, but this pool does not take it (now)."""

    code = "pool"


class AlreadyKnown(PoolRejection):
    code = "already-known"


class Underpriced(PoolRejection):
    """The fee is below the pool's minimum, or the pool is full of transactions that pay at least as much."""

    code = "underpriced"


class ReplacementUnderpriced(PoolRejection):
    """A transaction of the same sender and nonce is pooled, and not both fees are 10 % above its fees."""

    code = "replacement-underpriced"


class OversizedTransaction(PoolRejection):
    code = "oversized"


class AccountLimitExceeded(PoolRejection):
    """The sender has as many waiting transactions as one account may have."""

    code = "account-limit-exceeded"


class DelegationLimit(PoolRejection):
    """An account whose balance others can move (EIP-7702) has its few transactions in the pool already."""

    code = "delegation-limit"


class InvalidSender(InvalidTransaction):
    code = "invalid-sender"


class Account(NamedTuple):
    """A sender as the head's state has it; `balance` in wei.

    `has_code`: code other than a delegation (EIP-7702), so that it may not send; `is_delegated`: the code is one.
    """

    nonce: int
    balance: int
    has_code: bool = False
    is_delegated: bool = False


class AccountReader(Protocol):
    """The state at the head, as far as the pool asks for it."""

    def account(self, address: Address) -> Account:
        """An account that does not exist is Account(0, 0)."""
        ...


@dataclass(frozen=True, slots=True)
class PoolHead:
    """The block that the next one will follow: its state, and what the next header will say.

    `base_fee` in wei per gas; `gas_limit` of a block; `transaction_gas_cap` of EIP-7825, None where it is not in force.
    """

    reader: AccountReader
    base_fee: int
    gas_limit: int
    transaction_gas_cap: int | None = None


def validate_fields(tx: Transaction, *, chain_id: int, head: PoolHead, max_bytes: int, min_tip: int) -> None:
    """Check what needs neither signature nor state. `max_bytes` of the encoding, `min_tip` in wei per gas.

    Raises TransactionTypeNotSupported, OversizedTransaction, InitcodeTooLarge, GasLimitExceeded, TipAboveFeeCap,
    WrongChainId, NonceMax, IntrinsicGasTooLow, FloorGasTooLow, Underpriced.
    """
    if tx.type == BLOB:
        raise TransactionTypeNotSupported(
            "transaction type not supported: tx type 3 not supported by this pool: the chain carries no blobs"
        )
    if len(tx.raw) > max_bytes:
        raise OversizedTransaction(f"oversized data: transaction size {len(tx.raw)}, limit {max_bytes}")
    if not tx.to and len(tx.data) > MAX_INITCODE_BYTES:
        raise InitcodeTooLarge(f"max initcode size exceeded: code size {len(tx.data)}, limit {MAX_INITCODE_BYTES}")
    cap = head.transaction_gas_cap
    if cap is not None and tx.gas > cap:
        raise GasLimitExceeded(f"transaction gas limit too high (cap: {cap}, tx: {tx.gas})")
    if tx.gas > head.gas_limit:
        raise GasLimitExceeded(f"exceeds block gas limit: tx gas {tx.gas}, block gas limit {head.gas_limit}")
    if tx.max_priority_fee_per_gas > tx.max_fee_per_gas:
        raise TipAboveFeeCap(
            "max priority fee per gas higher than max fee per gas: "
            f"maxPriorityFeePerGas: {tx.max_priority_fee_per_gas}, maxFeePerGas: {tx.max_fee_per_gas}"
        )
    if tx.chain_id is not None and tx.chain_id != chain_id:  # None: signed before EIP-155, valid on any chain
        raise WrongChainId(f"invalid sender: invalid chain id for signer: have {tx.chain_id} want {chain_id}")
    if tx.nonce == UINT64_MAX:
        raise NonceMax("nonce has max value")
    if tx.gas < tx.intrinsic_gas:
        raise IntrinsicGasTooLow(f"intrinsic gas too low: have {tx.gas}, want {tx.intrinsic_gas}")
    if tx.gas < tx.floor_gas:
        raise FloorGasTooLow(f"insufficient gas for floor data gas cost: have {tx.gas}, want {tx.floor_gas}")
    if tx.max_priority_fee_per_gas < min_tip:
        raise Underpriced(
            f"transaction underpriced: gas tip cap {tx.max_priority_fee_per_gas}, minimum needed {min_tip}"
        )


def recover_sender(tx: Transaction) -> Address:
    """The signer's address; raises InvalidSender."""
    try:
        return tx.sender
    except SignatureError as error:
        raise InvalidSender(f"invalid sender: {error}") from error


def validate_sender(tx: Transaction, sender: Address, account: Account, *, may_have_code: bool = False) -> None:
    """Check nonce and code of the sender's account; raises NonceTooLow, SenderNotEOA."""
    if tx.nonce < account.nonce:
        raise NonceTooLow(f"nonce too low: next nonce {account.nonce}, tx nonce {tx.nonce}")
    if account.has_code and not may_have_code:
        raise SenderNotEOA(f"sender not an eoa: address 0x{sender.hex()} has code")


def validate_funds(balance: int, cost: int, spent: int, previous: int | None) -> None:
    """Check that the balance covers the transaction and the sender's executable ones; all in wei.

    Parameters: `cost` gas * fee cap + value; `spent` the same of the sender's executable transactions; `previous` that
    of the one among them which would be replaced. Raises InsufficientFunds.
    """
    if balance < cost:
        raise InsufficientFunds(
            f"insufficient funds for gas * price + value: balance {balance}, tx cost {cost}, overshot {cost - balance}"
        )
    extra = cost if previous is None else cost - previous
    if balance < spent + extra:
        name = "tx cost" if previous is None else "tx bumped"
        raise InsufficientFunds(
            "insufficient funds for gas * price + value: "
            f"balance {balance}, queued cost {spent}, {name} {extra}, overshot {spent + extra - balance}"
        )


def validate_base_fee(tx: Transaction, sender: Address, base_fee: int) -> None:
    """Raise FeeCapTooLow when the transaction cannot be in a block with this base fee (wei per gas)."""
    if tx.max_fee_per_gas < base_fee:
        raise FeeCapTooLow(
            f"max fee per gas less than block base fee: address 0x{sender.hex()}, "
            f"maxFeePerGas: {tx.max_fee_per_gas}, baseFee: {base_fee}"
        )


def validate_replacement(old: Transaction, new: Transaction, bump_percent: int) -> None:
    """Raise ReplacementUnderpriced unless both fees grow, by `bump_percent` or more (rounded down, as geth does)."""
    factor = 100 + bump_percent
    tip, cap = old.max_priority_fee_per_gas, old.max_fee_per_gas
    new_tip, new_cap = new.max_priority_fee_per_gas, new.max_fee_per_gas
    if new_tip <= tip or new_cap <= cap or new_tip < tip * factor // 100 or new_cap < cap * factor // 100:
        raise ReplacementUnderpriced(
            "replacement transaction underpriced: "
            f"new tx gas fee cap {new_cap}, tip cap {new_tip}, "
            f"queued tx gas fee cap {cap}, tip cap {tip}, both must grow by {bump_percent} % or more"
        )
