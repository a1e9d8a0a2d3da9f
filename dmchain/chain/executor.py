"""What the chain asks of whatever executes blocks. Owned here, implemented in `dmchain.marketplace_vm`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from dmchain.chain.genesis import GenesisAccount
from dmchain.chain.primitives.block import Receipt, Withdrawal
from dmchain.chain.primitives.transaction import Transaction
from dmchain.chain.primitives.types import Address, Hash32
from dmchain.chain.staking.facts import ConsensusFacts, Notice
from dmchain.chain.store.kv import Reader, Write


@dataclass(frozen=True, slots=True)
class BlockEnvironment:
    """What a block's transactions can see of it: header fields that are known before they run.

    `block_hash(number)` gives the hash of one of the 256 blocks before this one, or None. `blob_base_fee` in wei.
    `consensus` is what the staking hooks need; None where nobody votes, and then they do nothing.
    """

    number: int
    timestamp: int
    coinbase: Address
    gas_limit: int
    base_fee: int
    prev_randao: Hash32
    parent_hash: Hash32
    parent_beacon_block_root: Hash32
    block_hash: Callable[[int], bytes | None]
    excess_blob_gas: int = 0
    blob_base_fee: int = 1
    consensus: ConsensusFacts | None = None


@dataclass(frozen=True, slots=True)
class AccountEdit:
    """New values of one account; None leaves what is there. Balance in wei."""

    nonce: int | None = None
    balance: int | None = None
    code: bytes | None = None
    storage: Mapping[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class StateChanges:
    """What one block did to the state: the writes that move the database, and what undoes them.

    `undo` maps each flat key that changed to its value before the block, None where there was none. `seen` is the
    executor's own, given back to it by `Executor.committed`.
    """

    state_root: Hash32
    writes: list[Write] = field(default_factory=list)
    undo: dict[bytes, bytes | None] = field(default_factory=dict)
    seen: Any = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a whole block. `requests_hash` is EIP-7685's, of the empty list where requests are off.

    `notices` tell what the staking hooks did.
    """

    changes: StateChanges
    receipts: tuple[Receipt, ...]
    gas_used: int
    blob_gas_used: int
    requests_hash: Hash32
    notices: tuple[Notice, ...] = ()


class BlockExecution(Protocol):
    """One block under way."""

    gas_used: int

    def apply(self, transaction: Transaction) -> Receipt:
        """Run one transaction. Raises InvalidTransaction, and then nothing has changed."""
        ...

    def finish(self, withdrawals: Sequence[Withdrawal]) -> Outcome:
        """End the block: withdrawals, staking, requests, roots. Raises InvalidBlock where a system contract fails."""
        ...


class Executor(Protocol):
    """Executes blocks on a state that a Reader holds."""

    def create(self, alloc: Mapping[Address, GenesisAccount]) -> StateChanges:
        """Make the state of block 0."""
        ...

    def begin(
        self,
        reader: Reader,
        parent_state_root: Hash32,
        environment: BlockEnvironment,
        *,
        system_calls: bool = True,
    ) -> BlockExecution:
        """Start a block on the state of the head, with the system calls and staking hooks before its transactions.

        Raises InvalidBlock when the environment's consensus facts do not fit that state.
        """
        ...

    def restore(
        self, reader: Reader, state_root: Hash32, values: Mapping[bytes, bytes | None]
    ) -> StateChanges:
        """Put flat keys back to these values (an undo record) and compute the root that gives."""
        ...

    def edit(self, reader: Reader, state_root: Hash32, edits: Mapping[Address, AccountEdit]) -> StateChanges:
        """Change accounts outside any block: a devnet's privilege."""
        ...

    def committed(self, changes: StateChanges) -> None:
        """The block is in the database: remember what it taught."""
        ...

    def reset(self) -> None:
        """Forget what was remembered: the head has moved otherwise than by one block."""
        ...
