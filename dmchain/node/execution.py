"""Executing without committing: the pending state, and the calls of JSON-RPC."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import trio

from dmchain.chain.blockchain import Blockchain, ChainView
from dmchain.chain.executor import BlockEnvironment
from dmchain.chain.primitives.block import (
    EMPTY_BLOOM,
    EMPTY_OMMERS_HASH,
    EMPTY_REQUESTS_HASH,
    EMPTY_TRIE_ROOT,
    Block,
    Header,
)
from dmchain.chain.primitives.errors import InvalidTransaction
from dmchain.chain.primitives.transaction import Transaction
from dmchain.chain.primitives.types import ZERO_HASH
from dmchain.chain.rules import Rules, compute_blob_base_fee
from dmchain.chain.store.history import OverlayReader
from dmchain.chain.store.kv import Reader
from dmchain.marketplace_vm.call_types import CallResult
from dmchain.marketplace_vm.calls import StateView
from dmchain.marketplace_vm.executor import NativeExecutor
from dmchain.marketplace_vm.state import CodeCache
from dmchain.marketplace_vm.vm import ExecutionStopped
from dmchain.node.production import Producer
from dmchain.rpc.backend import (
    PENDING,
    AccessListResult,
    CallLimits,
    CallRequest,
    ExecutionResult,
    PendingBlock,
    StateAt,
)
from dmchain.rpc.errors import CallTimeout, StateUnavailable
from dmchain.rpc.estimate import estimate_gas

MAX_STATE_VIEWS = 32
ESTIMATE_TOLERANCE_PER_MILLE = 0
"""Estimates are exact: wallets add their own margin, and tests compare with what was used."""
PENDING_BUDGET_SECONDS = 0.02
"""The pending state is asked for on the event loop: what the pool holds beyond this is left out."""


@dataclass(slots=True)
class _Pending:
    head_hash: bytes
    reader: Reader
    block: PendingBlock


class PendingState:
    """The state after the head with the pool's executable transactions applied, made when somebody asks."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer
        self._executor = NativeExecutor(producer.chain.rules)
        self._made: _Pending | None = None

    def invalidate(self) -> None:
        """The pool or the head has changed."""
        self._made = None

    def reader(self) -> Reader:
        return self._make().reader

    def block(self) -> PendingBlock:
        return self._make().block

    def _make(self) -> _Pending:
        chain = self._producer.chain
        made = self._made
        if made is None or made.head_hash != chain.head.hash:
            made = self._made = self._execute(chain)
        return made

    def _execute(self, chain: Blockchain) -> _Pending:
        view = chain.view
        environment = chain.environment(self._producer.pending_plan())
        run = self._executor.begin(view.snapshot, view.head.state_root, environment)
        best = self._producer.pool.best(environment.base_fee, environment.gas_limit)
        deadline = time.monotonic() + PENDING_BUDGET_SECONDS
        transactions: list[Transaction] = []
        for tx in best:
            try:
                receipt = run.apply(tx)
            except InvalidTransaction:
                best.skip_sender()
                continue
            best.use_gas(receipt.gas_used)
            transactions.append(tx)
            if time.monotonic() > deadline:
                break
        outcome = run.finish(())
        header = pending_header(view.head, environment, outcome.gas_used)
        block = Block(header, tuple(transactions), ())
        pending = PendingBlock(header, block.transactions, len(block.encode()))
        return _Pending(view.head.hash, OverlayReader(view.snapshot, dict(outcome.changes.writes)), pending)


def pending_header(parent: Header, environment: BlockEnvironment, gas_used: int = 0) -> Header:
    """A header for the block that would be made now; its roots mean nothing."""
    return Header(
        parent_hash=parent.hash,
        ommers_hash=EMPTY_OMMERS_HASH,
        coinbase=environment.coinbase,
        state_root=ZERO_HASH,
        transactions_root=EMPTY_TRIE_ROOT,
        receipts_root=EMPTY_TRIE_ROOT,
        bloom=EMPTY_BLOOM,
        difficulty=0,
        number=environment.number,
        gas_limit=environment.gas_limit,
        gas_used=gas_used,
        timestamp=environment.timestamp,
        extra_data=b"",
        prev_randao=environment.prev_randao,
        nonce=bytes(8),
        base_fee_per_gas=environment.base_fee,
        withdrawals_root=EMPTY_TRIE_ROOT,
        blob_gas_used=0,
        excess_blob_gas=environment.excess_blob_gas,
        parent_beacon_block_root=environment.parent_beacon_block_root,
        requests_hash=EMPTY_REQUESTS_HASH,
    )


class Calls:
    """eth_call and its relatives: made ready once per state and environment, then shared by all worker threads."""

    def __init__(self, producer: Producer, pending: PendingState) -> None:
        self._producer = producer
        self._chain = producer.chain
        self._pending = pending
        self._codes = CodeCache()
        self._views: OrderedDict[tuple[object, ...], OwnedStateView] = OrderedDict()

    def call(self, request: CallRequest, limits: CallLimits) -> ExecutionResult:
        view = self.view_at(request.at)
        with stoppable():
            result = view.call(
                request.message,
                gas_cap=limits.gas_cap,
                stop=limits.stop,
                state_overrides=request.state_overrides,
                block_overrides=request.block_overrides,
            )
        return _execution_result(result)

    def estimate_gas(self, request: CallRequest, limits: CallLimits) -> int:
        view = self._next_view(request.at)
        with (
            stoppable(),
            view.prepare(
                request.message,
                gas_cap=limits.gas_cap,
                stop=limits.stop,
                state_overrides=request.state_overrides,
                block_overrides=request.block_overrides,
            ) as prepared,
        ):
            return estimate_gas(
                lambda gas: _execution_result(prepared.run(gas)),
                prepared.highest_gas(),
                is_plain_transfer=prepared.is_plain_transfer,
                tolerance_per_mille=ESTIMATE_TOLERANCE_PER_MILLE,
            )

    def create_access_list(self, request: CallRequest, limits: CallLimits) -> AccessListResult:
        view = self._next_view(request.at)
        with stoppable():
            result = view.create_access_list(
                request.message,
                gas_cap=limits.gas_cap,
                stop=limits.stop,
                state_overrides=request.state_overrides,
                block_overrides=request.block_overrides,
            )
        return AccessListResult(result.access_list, result.gas_used, result.error)

    def view_at(self, at: StateAt) -> StateView:
        """State and environment after block `at`: the environment is that block's own."""
        if at is PENDING:
            return self._next_view(at)
        assert isinstance(at, int)
        view = self._chain.view
        header = view.blocks.header(at)
        if header is None:
            raise StateUnavailable(at, view.history.oldest())
        return self._keep((id(view), at), lambda: (state_reader(view, at), environment_of(view, header)), view)

    def _next_view(self, at: StateAt) -> StateView:
        """The state of `at` in the environment of the next block."""
        view, plan = self._chain.view, self._producer.pending_plan()
        if at is PENDING:
            reader = trio.from_thread.run_sync(self._pending.reader)
        else:
            assert isinstance(at, int)
            reader = state_reader(view, at)
        environment = self._chain.environment(plan)
        return self._keep((id(view), at, id(reader), plan.timestamp), lambda: (reader, environment), view)

    def _keep(
        self,
        key: tuple[object, ...],
        make: Callable[[], tuple[Reader, BlockEnvironment]],
        view: ChainView,
    ) -> StateView:
        kept = self._views.get(key)
        if kept is None or kept.owner is not view:
            reader, environment = make()
            kept = OwnedStateView(view, self._chain.rules, reader, environment, self._codes)
            self._views[key] = kept
            while len(self._views) > MAX_STATE_VIEWS:
                with suppress(KeyError):  # another thread was faster
                    self._views.popitem(last=False)
        return kept


class OwnedStateView(StateView):
    """A StateView that remembers which view of the chain it was made on (ids come back, objects do not)."""

    def __init__(
        self, owner: ChainView, rules: Rules, reader: Reader, environment: BlockEnvironment, codes: CodeCache
    ) -> None:
        super().__init__(rules, reader, environment, codes=codes)
        self.owner = owner


@contextmanager
def stoppable() -> Iterator[None]:
    """Turn the end of an execution that nobody waits for into JSON-RPC's timeout."""
    try:
        yield
    except ExecutionStopped as error:
        raise CallTimeout from error


def _execution_result(result: CallResult) -> ExecutionResult:
    return ExecutionResult(
        result.output, result.gas_used, result.error, result.revert_data, result.logs, result.gas_refunded
    )


def state_reader(view: ChainView, height: int) -> Reader:
    """The state after block `height`; raises the JSON-RPC error where it is gone."""
    if height != view.head.number and not view.history.oldest() <= height < view.head.number:
        raise StateUnavailable(height, view.history.oldest())
    return view.state(height)


def environment_of(view: ChainView, header: Header) -> BlockEnvironment:
    """What the transactions of an existing block saw of it."""

    def block_hash(number: int) -> bytes | None:
        ancestor = view.blocks.header(number)
        return None if ancestor is None else ancestor.hash

    excess = header.excess_blob_gas or 0
    return BlockEnvironment(
        number=header.number,
        timestamp=header.timestamp,
        coinbase=header.coinbase,
        gas_limit=header.gas_limit,
        base_fee=header.base_fee_per_gas or 0,
        prev_randao=header.prev_randao,
        parent_hash=header.parent_hash,
        parent_beacon_block_root=header.parent_beacon_block_root or ZERO_HASH,
        block_hash=block_hash,
        excess_blob_gas=excess,
        blob_base_fee=compute_blob_base_fee(excess),
    )
