"""The chain: validate, execute, commit, head. Execution comes before the decision, commit after it.

A block is executed on the state at head and leaves no trace until `commit` moves the head in one synced batch. Several
candidates of one height may be executed; at most one is committed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from dmchain.chain.executor import AccountEdit, BlockEnvironment, Executor, Outcome
from dmchain.chain.genesis import Genesis
from dmchain.chain.primitives.block import (
    EMPTY_OMMERS_HASH,
    Block,
    Header,
    Receipt,
    Withdrawal,
)
from dmchain.chain.primitives.errors import (
    InvalidBlock,
    InvalidTransaction,
    InvariantBroken,
    SignatureError,
    StorageError,
)
from dmchain.chain.primitives.transaction import Transaction
from dmchain.chain.primitives.types import Address, Hash32
from dmchain.chain.rules import (
    compute_base_fee,
    compute_blob_base_fee,
    compute_excess_blob_gas,
    compute_gas_limit,
    validate_header,
)
from dmchain.chain.staking.facts import ConsensusFacts
from dmchain.chain.store import schema
from dmchain.chain.store.blocks import (
    BlockReader,
    block_writes,
    decode_undo,
    encode_undo,
    open_schema,
    unindex_writes,
)
from dmchain.chain.store.history import DEFAULT_WINDOW, StateHistory, archive_writes, unarchive_writes
from dmchain.chain.store.kv import KeyValue, Reader, Snapshot, Write
from dmchain.chain.store.recent import RecentBlocks
from dmchain.chain.trie import ordered_root

BLOCK_HASH_WINDOW = 256
MAX_BLOCK_BYTES = 7 * 1024 * 1024 // 2
"""Of transactions in one block: with what belongs to each, the record, commits and evidence, a proposal must fit the
network's largest frame, 4 MiB."""


@dataclass(frozen=True, slots=True)
class BlockPlan:
    """What the proposer decides about a block; all of it ends in the header.

    `gas_limit` is the limit wanted: the block's own may move only 1/1024 towards it. `base_fee` None: as EIP-1559 has it
    (a devnet may set another).
    """

    timestamp: int
    coinbase: Address
    prev_randao: Hash32
    parent_beacon_block_root: Hash32
    gas_limit: int
    extra_data: bytes = b""
    base_fee: int | None = None
    exact_gas_limit: bool = False
    consensus: ConsensusFacts | None = None
    """What the staking hooks of a network of validators need; part of the block's facts."""


@dataclass(frozen=True, slots=True)
class ExecutedBlock:
    """A block with the result of executing it on its parent's state."""

    block: Block
    outcome: Outcome

    @property
    def receipts(self) -> tuple[Receipt, ...]:
        return self.outcome.receipts


class TransactionSource(Protocol):
    """Where a block under construction takes its transactions from, best first."""

    def next(self, gas_left: int) -> Transaction | None:
        """The next candidate that needs at most `gas_left`, or None at the end."""
        ...

    def included(self, transaction: Transaction) -> None: ...

    def rejected(self, transaction: Transaction, error: InvalidTransaction) -> None:
        """It cannot go into this block; nothing of the same sender after it can either."""
        ...


class ChainView:
    """The chain at one height, unchanged by later blocks. May be used from any thread."""

    def __init__(self, snapshot: Snapshot, head: Header, recent: RecentBlocks | None = None) -> None:
        self.snapshot = snapshot
        self.head = head
        self.blocks = BlockReader(snapshot, recent)
        self.history = StateHistory(snapshot, head.number)

    def state(self, height: int) -> Reader:
        return self.history.at(height)


class Blockchain:
    """One chain on one store. Its methods that change anything are called by one thread at a time."""

    def __init__(
        self,
        store: KeyValue,
        genesis: Genesis,
        executor: Executor,
        *,
        history_window: int = DEFAULT_WINDOW,
        archive: bool = False,
    ) -> None:
        """Open the chain, writing block 0 into an empty store. Raises StorageError when the store is another chain's."""
        self.store = store
        self.rules = genesis.rules
        self.executor = executor
        self.history_window = history_window
        self.archive = archive
        self._recent = RecentBlocks()
        changes = executor.create(genesis.alloc)
        self.genesis_header = genesis.header(changes.state_root)
        open_schema(store, self.genesis_header.hash)
        reader = BlockReader(store)
        height = reader.head_height()
        if height is None:
            block = Block(self.genesis_header, (), ())
            writes = [*changes.writes, *block_writes(block, (), b"")]
            writes.append((schema.META_VERSION, schema.SCHEMA_VERSION.to_bytes(4, "big")))
            writes.append((schema.META_GENESIS, block.hash))
            store.write(writes, sync=True)
            height = 0
        self._set_archive(height)
        head = reader.header(height)
        if head is None:
            raise InvariantBroken(f"the header of the head, block {height}, is not in the database")
        self._load_recent_hashes(height)
        self._move_head(head)

    def _load_recent_hashes(self, height: int) -> None:
        reader = BlockReader(self.store)
        self._recent_hashes: dict[int, Hash32] = {}
        for number in range(max(0, height - BLOCK_HASH_WINDOW), height):
            header = reader.header(number)
            if header is not None:
                self._recent_hashes[number] = header.hash

    def _set_archive(self, height: int) -> None:
        kept = self.store.get(schema.META_ARCHIVE)
        if self.archive and kept is None:
            self.store.write([(schema.META_ARCHIVE, schema.be8(height))], sync=True)
        elif not self.archive:
            # of an archive, or of a wider window, that was asked for until now: gaps between records would mislead
            stale = self.store.iterate(schema.undo_key(0), schema.undo_key(max(height - self.history_window + 1, 0)))
            writes: list[Write] = [(key, None) for key, _ in stale]
            if kept is not None:
                writes.append((schema.META_ARCHIVE, None))
            if writes:
                self.store.write(writes, sync=True)

    def _move_head(self, head: Header) -> None:
        self.head = head
        edited = self.store.get(schema.META_STATE_ROOT)
        self.state_root = head.state_root if edited is None else Hash32(edited)
        self._recent_hashes[head.number] = head.hash
        self._recent_hashes.pop(head.number - BLOCK_HASH_WINDOW - 1, None)
        self.view = ChainView(self.store.snapshot(), head, self._recent)

    # -- execution -----------------------------------------------------------------------------------------------
    def environment(self, plan: BlockPlan) -> BlockEnvironment:
        """What the transactions of the block after the head see."""
        parent = self.head
        excess = compute_excess_blob_gas(parent)
        limit = plan.gas_limit if plan.exact_gas_limit else compute_gas_limit(parent.gas_limit, plan.gas_limit)
        hashes = dict(self._recent_hashes)
        return BlockEnvironment(
            number=parent.number + 1,
            timestamp=plan.timestamp,
            coinbase=plan.coinbase,
            gas_limit=limit,
            base_fee=compute_base_fee(parent) if plan.base_fee is None else plan.base_fee,
            prev_randao=plan.prev_randao,
            parent_hash=parent.hash,
            parent_beacon_block_root=plan.parent_beacon_block_root,
            block_hash=hashes.get,
            excess_blob_gas=excess,
            blob_base_fee=compute_blob_base_fee(excess),
            consensus=plan.consensus,
        )

    def build(self, plan: BlockPlan, source: TransactionSource, *, stop: Callable[[], bool]) -> ExecutedBlock:
        """Make the next block from `source`. `stop` is asked between transactions; what is in by then is the block."""
        environment = self.environment(plan)
        run = self.executor.begin(self.store, self.state_root, environment)
        transactions: list[Transaction] = []
        size = 0
        while not stop():
            tx = source.next(environment.gas_limit - run.gas_used)
            if tx is None:
                break
            if size + len(tx.raw) > MAX_BLOCK_BYTES:
                break
            try:
                run.apply(tx)
            except InvalidTransaction as error:
                source.rejected(tx, error)
                continue
            source.included(tx)
            transactions.append(tx)
            size += len(tx.raw)
        outcome = run.finish(())
        header = self._seal(environment, plan.extra_data, transactions, (), outcome)
        return ExecutedBlock(Block(header, tuple(transactions), ()), outcome)

    def _seal(
        self,
        environment: BlockEnvironment,
        extra_data: bytes,
        transactions: Sequence[Transaction],
        withdrawals: Sequence[Withdrawal],
        outcome: Outcome,
    ) -> Header:
        bloom = 0
        for receipt in outcome.receipts:
            if receipt.logs:
                bloom |= int.from_bytes(receipt.bloom, "big")
        return Header(
            parent_hash=environment.parent_hash,
            ommers_hash=EMPTY_OMMERS_HASH,
            coinbase=environment.coinbase,
            state_root=outcome.changes.state_root,
            transactions_root=ordered_root([tx.raw for tx in transactions]),
            receipts_root=ordered_root([receipt.encode() for receipt in outcome.receipts]),
            bloom=bloom.to_bytes(256, "big"),
            difficulty=0,
            number=environment.number,
            gas_limit=environment.gas_limit,
            gas_used=outcome.gas_used,
            timestamp=environment.timestamp,
            extra_data=extra_data,
            prev_randao=environment.prev_randao,
            nonce=bytes(8),
            base_fee_per_gas=environment.base_fee,
            withdrawals_root=ordered_root([withdrawal.encode() for withdrawal in withdrawals]),
            blob_gas_used=outcome.blob_gas_used,
            excess_blob_gas=environment.excess_blob_gas,
            parent_beacon_block_root=environment.parent_beacon_block_root,
            requests_hash=outcome.requests_hash,
        )

    def execute(self, block: Block, consensus: ConsensusFacts | None = None) -> ExecutedBlock:
        """Validate and execute a block made elsewhere; raises InvalidBlock that says which rule it breaks.

        `consensus`: verified facts that came with the block, on a network of validators.
        """
        header = block.header
        validate_header(header, self.head, self.rules)
        if block.withdrawals is None:
            raise InvalidBlock("withdrawals: missing, expected a list")
        if block.withdrawals and not self.rules.withdrawals:
            raise InvalidBlock(f"withdrawals: got {len(block.withdrawals)}, expected none")
        assert header.parent_beacon_block_root is not None  # validate_header wants all 21 fields
        plan = BlockPlan(
            timestamp=header.timestamp,
            coinbase=header.coinbase,
            prev_randao=header.prev_randao,
            parent_beacon_block_root=header.parent_beacon_block_root,
            gas_limit=header.gas_limit,
            exact_gas_limit=True,
            consensus=consensus,
        )
        environment = self.environment(plan)
        run = self.executor.begin(self.store, self.state_root, environment)
        for index, tx in enumerate(block.transactions):
            try:
                run.apply(tx)
            except (InvalidTransaction, SignatureError) as error:
                raise InvalidBlock(f"transaction {index} (0x{tx.hash.hex()}): {error}") from error
        outcome = run.finish(block.withdrawals)
        sealed = self._seal(environment, header.extra_data, block.transactions, block.withdrawals, outcome)
        if sealed.hash != header.hash:
            raise InvalidBlock(describe_difference(header, sealed))
        return ExecutedBlock(block, outcome)

    # -- moving the head -----------------------------------------------------------------------------------------
    def commit(self, executed: ExecutedBlock, record: bytes = b"") -> None:
        """Make an executed block the head: one atomic batch, on disk when this returns.

        `record` is kept beside the block (consensus record and commit).
        """
        block, outcome = executed.block, executed.outcome
        if block.header.parent_hash != self.head.hash:
            raise InvariantBroken(
                f"block {block.number} was executed on 0x{block.header.parent_hash.hex()}, the head is "
                f"0x{self.head.hash.hex()}"
            )
        changes = outcome.changes
        writes: list[Write] = list(changes.writes)
        writes += block_writes(block, outcome.receipts, record)
        writes.append((schema.undo_key(block.number), encode_undo(changes.undo)))
        if self.archive:
            writes += archive_writes(changes.undo, block.number)
        if self.state_root != self.head.state_root:
            writes.append((schema.META_STATE_ROOT, None))
        if block.number > self.history_window and not self.archive:
            writes.append((schema.undo_key(block.number - self.history_window), None))
        self.store.write(writes, sync=True)
        self.executor.committed(changes)
        self._recent.add(block.header.encode(), block, outcome.receipts)
        self._move_head(block.header)

    # -- a devnet's privileges -----------------------------------------------------------------------------------
    def edit_state(self, edits: Mapping[Address, AccountEdit]) -> dict[bytes, bytes | None]:
        """Change the state at head outside any block; returns what undoes it, for `rollback`."""
        changes = self.executor.edit(self.store, self.state_root, edits)
        height = self.head.number
        # what was there before the edit belongs to the time before this head, too
        undo = {**changes.undo, **self._undo_of(height)}
        writes = [*changes.writes, (schema.undo_key(height), encode_undo(undo))]
        if self.archive:
            fresh = {key: value for key, value in changes.undo.items() if not self._is_archived(key, height)}
            writes += archive_writes(fresh, height)
        writes.append((schema.META_STATE_ROOT, changes.state_root))
        self.store.write(writes, sync=True)
        self.executor.reset()
        self._move_head(self.head)
        return changes.undo

    def _is_archived(self, key: bytes, height: int) -> bool:
        return self.store.get(schema.archive_key(key, height)) is not None

    def rollback(self, height: int, edits: Sequence[Mapping[bytes, bytes | None]] = ()) -> None:
        """Make the block at `height` the head again. `edits`: undo records of edits made at that height, oldest first.

        Raises StorageError when an undo record of a block above is no longer kept.
        """
        values: dict[bytes, bytes | None] = {}
        writes: list[Write] = []
        for at in range(self.head.number, height, -1):
            if self.store.get(schema.undo_key(at)) is None:
                raise StorageError(f"cannot go back to block {height}: the undo record of block {at} is not kept")
            values.update(self._undo_of(at))
            writes += self._unindex(at)
        for undo in reversed(edits):
            values.update(undo)
        header = BlockReader(self.store).header(height)
        if header is None:
            raise InvariantBroken(f"block {height} is not in the database")
        changes = self.executor.restore(self.store, self.state_root, values)
        root = None if changes.state_root == header.state_root else changes.state_root
        writes += changes.writes
        writes += [(schema.META_STATE_ROOT, root), (schema.META_HEAD, schema.be8(height))]
        self.store.write(writes, sync=True)
        self.executor.reset()
        self._load_recent_hashes(height)
        self._move_head(header)

    def _undo_of(self, height: int) -> dict[bytes, bytes | None]:
        raw = self.store.get(schema.undo_key(height))
        return {} if raw is None else decode_undo(raw)

    def _unindex(self, height: int) -> list[Write]:
        """The writes that take the block at `height`, which is above the new head, out of the store."""
        reader = BlockReader(self.store)
        block, receipts = reader.block(height), reader.receipts(height)
        if block is None or receipts is None:
            raise InvariantBroken(f"block {height} is not in the database")
        writes = unindex_writes(block, receipts)
        writes.append((schema.undo_key(height), None))
        if self.archive:
            writes += unarchive_writes(self._undo_of(height), height)
        return writes


def describe_difference(got: Header, expected: Header) -> str:
    """Name the first field in which a header differs from what execution gives."""
    order = (
        "gas_used", "blob_gas_used", "transactions_root", "withdrawals_root", "bloom", "receipts_root",
        "requests_hash", "state_root",
    )  # fmt: skip
    for name in order:
        ours, theirs = getattr(expected, name), getattr(got, name)
        if ours != theirs:
            show = [value.hex() if isinstance(value, bytes) else value for value in (theirs, ours)]
            return f"{name}: got {show[0]}, expected {show[1]}"
    return f"header: got 0x{got.hash.hex()}, expected 0x{expected.hash.hex()}"
