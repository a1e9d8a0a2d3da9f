"""Executing without committing: the pending state, and the calls of JSON-RPC."""

from __future__ import annotations

import time
from dataclasses import dataclass

from dmchain.chain.blockchain import Blockchain
from dmchain.chain.executor import BlockEnvironment
from dmchain.chain.primitives.block import EMPTY_BLOOM, EMPTY_OMMERS_HASH, EMPTY_REQUESTS_HASH, EMPTY_TRIE_ROOT, Block, Header
from dmchain.chain.primitives.errors import InvalidTransaction
from dmchain.chain.primitives.transaction import Transaction
from dmchain.chain.primitives.types import ZERO_HASH
from dmchain.chain.store.history import OverlayReader
from dmchain.chain.store.kv import Reader
from dmchain.marketplace_vm.executor import NativeExecutor
from dmchain.node.production import Producer
from dmchain.rpc.backend import PendingBlock

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
    def __init__(self, chain, pending):
        pass
