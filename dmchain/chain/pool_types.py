"""What the pool is told and what it tells: its limits, and the results of its methods."""

from __future__ import annotations

from dataclasses import dataclass, field

from dmchain.chain.primitives.transaction import Transaction


@dataclass(frozen=True, slots=True)
class MempoolConfig:
    """Limits of one pool. The defaults are geth's, but for the least tip: the base fee alone is a fee here."""

    account_slots: int = 16
    """Executable transactions of one account that are the last to be displaced."""
    account_queue: int = 64
    """Waiting transactions of one account."""
    global_slots: int = 5_120
    """Together with `global_queue`, the limit of all transactions. One account alone may fill it."""
    global_queue: int = 1_024
    """Waiting transactions of all accounts."""
    max_bytes: int = 64 * 2**20
    """Encoded bytes of all transactions. Decoded ones take up to about 5 times that in memory."""
    max_transaction_bytes: int = 128 * 1024
    price_bump_percent: int = 10
    min_tip_wei: int = 0
    lifetime_seconds: float = 3 * 3600.0
    """A transaction that waits longer is dropped."""
    delegated_slots: int = 1
    """Transactions of an account with a delegation, or with one in a pooled authorization."""
    refuse_below_base_fee: bool = False
    """Refuse what the next block cannot take, as devnets do, instead of keeping it for cheaper times."""

    @classmethod
    def devnet(cls) -> MempoolConfig:
        """For one's own machine: tests send thousands of transactions from one account, in any order."""
        return cls(
            account_queue=16_384,
            global_slots=200_000,
            global_queue=65_536,
            max_bytes=512 * 2**20,
            delegated_slots=4_096,
            refuse_below_base_fee=True,
        )


@dataclass(frozen=True, slots=True)
class Dropped:
    """A transaction the pool gave up: `reason` is "evicted", "expired", "gas-limit", "account-limit" or "removed"."""

    transaction: Transaction
    reason: str


@dataclass(slots=True)
class PoolChanges:
    """What a call did, in order. `promoted`: executable from now on, to be announced. `demoted`: waiting from now on.

    `settled`: the account's nonce has passed them, in a block or by a competitor.
    """

    promoted: list[Transaction] = field(default_factory=list)
    demoted: list[Transaction] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    settled: list[Transaction] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Added:
    """The pool took `transaction`; `replaced` had the same sender and nonce.

    `changes.promoted` includes it if it is executable.
    """

    transaction: Transaction
    executable: bool
    replaced: Transaction | None
    changes: PoolChanges


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """Numbers of transactions, and the bytes of their encodings."""

    pending: int
    queued: int
    size_bytes: int
