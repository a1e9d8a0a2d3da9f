"""Block production: wait for work, build, have it decided, commit, tell.

Execution comes before the decision. `Decide` is the seam: alone, a node decides at once; with consensus it proposes
the executed block and commits whatever the validators decide. Building and committing run in a worker thread; the
event loop stays free for clients and peers.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import trio

from dmchain.chain.admission import Account as PoolAccount
from dmchain.chain.admission import PoolHead
from dmchain.chain.blockchain import Blockchain, BlockPlan, ExecutedBlock
from dmchain.chain.consensus.body import Facts, Stored
from dmchain.chain.consensus.record import Record, compute_mix
from dmchain.chain.mempool import BestTransactions, Mempool
from dmchain.chain.primitives.crypto import EMPTY_CODE_HASH, keccak
from dmchain.chain.primitives.errors import InvalidTransaction
from dmchain.chain.primitives.transaction import Transaction
from dmchain.chain.primitives.types import Address, Hash32
from dmchain.chain.rules import compute_base_fee, compute_gas_limit
from dmchain.chain.store.kv import Reader
from dmchain.marketplace_vm.executor import delegation_target
from dmchain.marketplace_vm.state import read_account, read_code

log = logging.getLogger("dmchain.production")

EXTRA_DATA = b"dmchain"
BUILD_BUDGET_SECONDS = 0.5
"""A block is closed when building it has taken this long, even if the pool has more: others must validate it well
within the propose timeout."""
INTERVAL_SHARE = 0.7
"""Of the time between blocks that a node alone may spend on building one: nobody else has to validate it."""
CANDIDATE_FACTOR = 2
"""How much more than a block's gas the candidates may ask for together: most use less than their limit."""


@dataclass(frozen=True, slots=True)
class ProductionConfig:
    """When blocks are made and what the proposer puts in them.

    `block_time_seconds` None: when there is work, after `gather_seconds` in which more may come; else one block each
    interval, empty or not. `heartbeat_seconds`: a block on demand even without work; None: never.
    """

    coinbase: Address
    gas_limit: int
    block_time_seconds: float | None = None
    gather_seconds: float = 0.0
    heartbeat_seconds: float | None = 60.0


class Decide(Protocol):
    """Who says that a block is final."""

    async def decide(self, executed: ExecutedBlock, record: Record) -> bytes:
        """Return what is stored beside the block (record and commit) once it is decided."""
        ...


class DecideAlone:
    """A network of one validator: what it builds is decided."""

    async def decide(self, executed: ExecutedBlock, record: Record) -> bytes:
        return Stored(Facts(record)).encode()


@dataclass(slots=True)
class NextBlock:
    """A devnet's wishes for the block after the head; forgotten when it is committed."""

    timestamp: int | None = None
    base_fee: int | None = None
    prev_randao: Hash32 | None = None


class StateAccounts:
    """The state at head as the pool asks for it."""

    def __init__(self, state: Reader) -> None:
        self._state = state

    def account(self, address: Address) -> PoolAccount:
        account = read_account(self._state, address)
        if account is None:
            return PoolAccount(0, 0)
        nonce, balance, code_hash, _ = account
        if code_hash == EMPTY_CODE_HASH:
            return PoolAccount(nonce, balance)
        is_delegated = delegation_target(read_code(self._state, address)) is not None
        return PoolAccount(nonce, balance, has_code=not is_delegated, is_delegated=is_delegated)


class Candidates:
    """The transactions offered to one block: taken from the pool on its own thread, read on the builder's."""

    def __init__(self, best: BestTransactions, gas_limit: int) -> None:
        self._transactions: list[Transaction] = []
        self._at = 0
        self._blocked: set[Address] = set()
        self.refused: list[tuple[Transaction, InvalidTransaction]] = []
        gas = 0
        for tx in best:
            self._transactions.append(tx)
            gas += tx.intrinsic_gas
            if gas > gas_limit * CANDIDATE_FACTOR:
                break

    def next(self, gas_left: int) -> Transaction | None:
        while self._at < len(self._transactions):
            tx = self._transactions[self._at]
            self._at += 1
            if tx.sender in self._blocked:
                continue
            if tx.gas > gas_left:
                self._blocked.add(tx.sender)
                continue
            return tx
        return None

    def included(self, transaction: Transaction) -> None:
        pass

    def rejected(self, transaction: Transaction, error: InvalidTransaction) -> None:
        self._blocked.add(transaction.sender)
        self.refused.append((transaction, error))


class Producer:
    """Makes the blocks of a node, one after the other."""

    def __init__(
        self,
        chain: Blockchain,
        pool: Mempool,
        config: ProductionConfig,
        decide: Decide,
        *,
        clock: Callable[[], float] = time.time,
        stopwatch: Callable[[], float] = time.monotonic,
        on_block: Callable[[ExecutedBlock], None] = lambda executed: None,
    ) -> None:
        """`clock` gives seconds since the epoch; `stopwatch` measures how long a block takes to build."""
        self.chain = chain
        self.pool = pool
        self.config = config
        self.decide = decide
        self.on_block = on_block
        self.time_offset = 0
        self.timestamp_interval: int | None = None
        self.next_block = NextBlock()
        self.gas_limit_exact = False
        self.clock = clock
        self._stopwatch = stopwatch
        self._work = trio.Event()
        self.turn = trio.Lock()
        self._limiter = trio.CapacityLimiter(1)
        self._last_ms = self._stored_milliseconds()

    def _stored_milliseconds(self) -> int:
        raw = self.chain.view.blocks.record(self.chain.head.number)
        return Stored.decode(raw).facts.record.timestamp_ms if raw else self.chain.head.timestamp * 1000

    # -- the loop ------------------------------------------------------------------------------------------------
    def wake(self) -> None:
        """There may be work: a transaction has become executable, or the settings have changed."""
        self._work.set()

    def has_work(self) -> bool:
        """Whether a block made now would have a transaction."""
        return self.pool.has_executable(self.next_base_fee())

    async def wait_for_work(self) -> None:
        """Until there is a transaction for a block, or `wake` is called for another reason."""
        if not self.has_work():
            self._work = trio.Event()
            await self._work.wait()
        else:
            await trio.lowlevel.checkpoint()

    async def run(self) -> None:
        """Make blocks until cancelled."""
        began = trio.current_time()
        while True:
            self._work = trio.Event()
            interval = self.config.block_time_seconds
            if interval is not None:
                await self._wait_interval(began, interval)
            elif not self.has_work():
                wait = self.config.heartbeat_seconds
                with trio.move_on_after(math.inf if wait is None else wait) as timeout:
                    await self._work.wait()
                if not timeout.cancelled_caught:
                    if self.config.block_time_seconds is not None:
                        began = trio.current_time()
                        continue
                    if self.config.gather_seconds:
                        await trio.sleep(self.config.gather_seconds)
                    if not self.has_work():
                        continue
            began = trio.current_time()
            await self.make_block()

    async def _wait_interval(self, began: float, interval: float) -> None:
        """Until `interval` seconds after the last block was begun: making it is part of the interval."""
        deadline = began + interval
        while trio.current_time() < deadline and self.config.block_time_seconds == interval:
            with trio.move_on_at(deadline):
                await self._work.wait()
                self._work = trio.Event()

    def offer(self) -> Candidates:
        """What the pool has for the next block; to be asked for on the event loop."""
        limit = self._gas_limit()
        return Candidates(self.pool.best(self.next_base_fee(), limit * CANDIDATE_FACTOR), limit)

    def share_senders(self, transactions: Iterable[Transaction]) -> None:
        """Spare the recovery of senders that the pool knows already. Reads a dictionary: safe from a worker thread."""
        for tx in transactions:
            known = self.pool.get(tx.hash)
            if known is not None:
                tx.assume_sender(known.sender)

    async def make_block(self) -> ExecutedBlock:
        """Build one block on the head, have it decided and commit it."""
        async with self.turn:
            plan, record = self._plan()
            candidates = self.offer()
            executed = await trio.to_thread.run_sync(self.build, plan, candidates, limiter=self._limiter)
            stored = await self.decide.decide(executed, record)
            with trio.CancelScope(shield=True):
                # a commit under way is finished: the caller learns of it, or the store does not have it
                await trio.to_thread.run_sync(self.chain.commit, executed, stored, limiter=self._limiter)
            self._last_ms = record.timestamp_ms
            self.next_block = NextBlock()
            self.drop_refused(candidates)
            self.follow_head(changed_accounts(executed))
            self.on_block(executed)
            return executed

    def build(self, plan: BlockPlan, candidates: Candidates) -> ExecutedBlock:
        interval = self.config.block_time_seconds
        budget = BUILD_BUDGET_SECONDS
        if interval is not None and not math.isinf(interval):
            budget = max(budget, interval * INTERVAL_SHARE)
        deadline = time.monotonic() + budget
        return self.chain.build(plan, candidates, stop=lambda: time.monotonic() > deadline)

    def drop_refused(self, candidates: Candidates) -> None:
        for tx, error in candidates.refused:
            log.info("transaction 0x%s does not fit the state: %s", tx.hash.hex(), error)
            self.pool.remove(tx.hash, self.clock())

    def set_block_time(self, seconds: float | None) -> None:
        """Change when blocks are made: None on demand, infinity only when told."""
        self.config = replace(self.config, block_time_seconds=seconds)
        self.wake()

    def pool_clear(self) -> None:
        """Drop everything that waits."""
        self.pool.clear()

    # -- what the next block says --------------------------------------------------------------------------------
    def _gas_limit(self) -> int:
        if self.gas_limit_exact:
            return self.config.gas_limit
        return compute_gas_limit(self.chain.head.gas_limit, self.config.gas_limit)

    def next_base_fee(self) -> int:
        wanted = self.next_block.base_fee
        return compute_base_fee(self.chain.head) if wanted is None else wanted

    def next_timestamp(self) -> int:
        """Whole seconds the next block would have now."""
        return self._next_milliseconds() // 1000

    def _next_milliseconds(self) -> int:
        parent = self.chain.head
        earliest = parent.timestamp + (1 if self.chain.rules.strict_timestamps else 0)
        if self.next_block.timestamp is not None:
            now = self.next_block.timestamp * 1000
        elif self.timestamp_interval is not None:
            now = (parent.timestamp + self.timestamp_interval) * 1000
        else:
            now = int((self.clock() + self.time_offset) * 1000)
        return max(now, earliest * 1000, self._last_ms + 1)

    def _plan(self) -> tuple[BlockPlan, Record]:
        parent = self.chain.head
        milliseconds = self._next_milliseconds()
        height = parent.number + 1
        # alone there is no one to surprise: the reveal only has to be the same for everyone who looks
        reveal = keccak(b"dmchain reveal" + height.to_bytes(8, "big") + parent.hash)
        record = Record(
            chain_id=self.chain.rules.chain_id,
            height=height,
            timestamp_ms=milliseconds,
            proposer=self.config.coinbase,
            randao_reveal=reveal,
        )
        mix = self.next_block.prev_randao or compute_mix(parent.prev_randao, reveal)
        plan = BlockPlan(
            timestamp=milliseconds // 1000,
            coinbase=self.config.coinbase,
            prev_randao=mix,
            parent_beacon_block_root=record.root(),
            gas_limit=self.config.gas_limit,
            extra_data=EXTRA_DATA,
            base_fee=self.next_block.base_fee,
            exact_gas_limit=self.gas_limit_exact,
        )
        return plan, record

    def pending_plan(self) -> BlockPlan:
        """The plan of the block that would be made now."""
        return self._plan()[0]

    # -- the pool ------------------------------------------------------------------------------------------------
    def pool_head(self) -> PoolHead:
        return PoolHead(
            reader=StateAccounts(self.chain.view.snapshot),
            base_fee=self.next_base_fee(),
            gas_limit=self._gas_limit(),
            transaction_gas_cap=self.chain.rules.transaction_gas_cap(self.next_timestamp()),
        )

    def follow_head(self, changed: Iterable[Address] | None) -> None:
        """Bring the pool to the head; None: anything may have changed."""
        if changed is None:
            self._last_ms = self._stored_milliseconds()
            self.pool.on_reset(self.pool_head(), self.clock())
        else:
            self.pool.on_block(changed, self.pool_head(), self.clock())
        self.wake()


def changed_accounts(executed: ExecutedBlock) -> Sequence[Address]:
    """Accounts whose nonce, balance or code a block changed, from its undo record."""
    return [Address(key[1:]) for key in executed.outcome.changes.undo if key[:1] == b"a"]


def initial_pool_head(chain: Blockchain, gas_limit: int) -> PoolHead:
    """For the pool of a node that starts: replaced when the producer follows the head."""
    return PoolHead(StateAccounts(chain.view.snapshot), compute_base_fee(chain.head), gas_limit)
