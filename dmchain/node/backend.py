"""What JSON-RPC asks of the node, answered from the chain, the pool and the executor.

Light methods answer from the view of the head; heavy ones take that view along into their worker thread, where later
blocks do not disturb it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import dmchain
from dmchain.chain.blockchain import ChainView, ExecutedBlock
from dmchain.chain.primitives.block import Block, Header, Receipt
from dmchain.chain.primitives.errors import InvariantBroken
from dmchain.chain.primitives.transaction import Transaction
from dmchain.chain.primitives.types import Address, Hash32
from dmchain.chain.rules import (
    MAX_BLOB_GAS,
    compute_blob_base_fee,
    compute_excess_blob_gas,
)
from dmchain.chain.store.blocks import KIND_ADDRESS, KIND_TOPIC, BlockReader
from dmchain.chain.store.kv import Reader
from dmchain.marketplace_vm.state import NO_ACCOUNT, read_account, read_code, read_slot
from dmchain.node.execution import Calls, PendingState, state_reader
from dmchain.node.forks import describe_forks
from dmchain.node.production import Producer
from dmchain.node.proofs import StateProver
from dmchain.rpc.backend import (
    PENDING,
    AccessListResult,
    Account,
    AccountProof,
    BlockFees,
    BlockRecord,
    CallLimits,
    CallRequest,
    ExecutionResult,
    ForkConfigs,
    History,
    LogQuery,
    LogRecord,
    NodeStatus,
    Observer,
    PendingBlock,
    PoolContent,
    ReceiptRecord,
    StateAt,
    StopFlag,
    Submitted,
    SyncStatus,
    TransactionRecord,
)
from dmchain.rpc.errors import PrunedHistory, TooManyResults

if TYPE_CHECKING:
    from dmchain.node.consensus.status import ConsensusView

T = TypeVar("T")

CLIENT_NAME = "dmchain"
TIP_BLOCKS = 20
"""Blocks whose lowest tips make the suggestion; geth looks at as many."""
DEFAULT_TIP_WEI = 10**9
"""Suggested where recent blocks say nothing: 1 gwei, which every wallet takes for normal."""
LOG_CHECK_BLOCKS = 64


def client_version() -> str:
    return f"{CLIENT_NAME}/v{dmchain.__version__}/python"


class ChainBackend:
    """Implements rpc.backend.Chain."""

    def __init__(self, producer: Producer, *, role: str, is_devnet: bool, automine: Callable[[], bool]) -> None:
        self._producer = producer
        self._chain = producer.chain
        self._pool = producer.pool
        self._role = role
        self._is_devnet = is_devnet
        self._automine = automine
        self._started = time.monotonic()
        self._observers: list[Observer] = []
        self._pending = PendingState(producer)
        self.calls = Calls(producer, self._pending)
        self.listen_addresses: tuple[str, ...] = ()
        self.contracts: Mapping[str, Address] = {}
        """What dm_nodeInfo shows of the market's contracts."""
        self.network: ConsensusView | None = None
        """None for a node that makes its chain alone, and until the network is set up."""

    # -- identity and head ---------------------------------------------------------------------------------------
    def chain_id(self) -> int:
        return self._chain.rules.chain_id

    def head(self) -> Header:
        # the view's, not the chain's: while a block is being committed that is one ahead of what can be read
        return self.view.head

    def sync_status(self) -> SyncStatus | None:
        return None if self.network is None else self.network.sync_status()

    def node_status(self) -> NodeStatus:
        network = self.network
        coinbase = self._producer.config.coinbase
        alone = NodeStatus(
            client_version=client_version(),
            node_id="0x" + coinbase.hex(),
            role=self._role,
            genesis_hash=self._chain.genesis_header.hash,
            listen_addresses=self.listen_addresses,
            peer_count=0,
            validator=coinbase,
            validator_count=1,
            uptime_seconds=int(time.monotonic() - self._started),
            is_devnet=self._is_devnet,
            contracts=self.contracts,
        )
        if network is None:
            return alone
        peers = network.peers()
        return replace(
            alone,
            node_id="0x" + network.node_id.hex(),
            role=network.role,
            peer_count=len(peers),
            validator=coinbase if network.is_signing else None,
            validator_count=network.validator_count,
            problem=network.problem(),
            consensus=network.consensus(),
            peers=peers,
        )

    def history(self) -> History:
        view = self.view
        earliest = view.blocks.earliest()
        oldest = 0 if earliest == 1 else earliest
        return History(oldest_block=oldest, oldest_receipts=oldest, oldest_state=view.history.oldest())

    def fork_configs(self) -> ForkConfigs:
        return describe_forks(self._chain.rules, self._chain.genesis_header.hash, self._producer.next_timestamp())

    @property
    def view(self) -> ChainView:
        return self._chain.view

    # -- blocks and transactions ---------------------------------------------------------------------------------
    def height_of(self, block_hash: Hash32) -> int | None:
        return self.view.blocks.height_of(block_hash)

    def header(self, height: int) -> Header | None:
        blocks = self.view.blocks
        return _found(blocks.header(height), blocks, height)

    def block(self, height: int) -> BlockRecord | None:
        blocks = self.view.blocks
        block = _found(blocks.block(height), blocks, height)
        return None if block is None else block_record(block)

    def raw_block(self, height: int) -> bytes | None:
        blocks = self.view.blocks
        block = _found(blocks.block(height), blocks, height)
        return None if block is None else block.encode()

    def transactions(self, height: int) -> Sequence[Transaction] | None:
        blocks = self.view.blocks
        body = _found(blocks.body(height), blocks, height)
        return None if body is None else [self._recognise(tx) for tx in body.transactions()]

    def _recognise(self, transaction: Transaction) -> Transaction:
        return recognise_impersonated(transaction) if self._is_devnet else transaction

    def receipts(self, height: int) -> Sequence[ReceiptRecord] | None:
        blocks = self.view.blocks
        block, receipts = blocks.block(height), blocks.receipts(height)
        if block is None or receipts is None:
            return _found(None, blocks, height)
        for tx in block.transactions:
            self._recognise(tx)
        return receipt_records(block, receipts)

    def transaction(self, transaction_hash: Hash32) -> TransactionRecord | None:
        blocks = self.view.blocks
        place = blocks.find_transaction(transaction_hash)
        if place is None:
            waiting = self._pool.get(transaction_hash)
            return None if waiting is None else TransactionRecord(waiting)
        height, index = place
        block = blocks.block(height)
        if block is None:
            raise InvariantBroken(f"the index names block {height}, which is not in the database")
        return TransactionRecord(self._recognise(block.transactions[index]), block.header, index)

    def receipt(self, transaction_hash: Hash32) -> ReceiptRecord | None:
        blocks = self.view.blocks
        place = blocks.find_transaction(transaction_hash)
        if place is None:
            return None
        height, index = place
        block, receipts = blocks.block(height), blocks.receipts(height)
        if block is None or receipts is None:
            raise InvariantBroken(f"the index names block {height}, which is not in the database")
        first_log = sum([len(receipt.logs) for receipt in receipts[:index]])
        tx = self._recognise(block.transactions[index])
        return ReceiptRecord(receipts[index], tx, block.header, index, first_log, _blob_price(tx, block.header))

    def logs(self, query: LogQuery, max_results: int, stop: StopFlag) -> Sequence[LogRecord]:
        blocks = self.view.blocks
        if query.last > 0:
            _check_kept(blocks, max(query.first, 1))
        found: list[LogRecord] = []
        for height in _candidate_heights(blocks, query, stop):
            found.extend(_matching_logs(blocks, height, query))
            if len(found) > max_results:
                raise TooManyResults(max_results)
        return found

    # -- fees ----------------------------------------------------------------------------------------------------
    def fees(self, height: int) -> BlockFees:
        max_blob_gas = MAX_BLOB_GAS if self._chain.rules.blobs else 0
        head = self.view.head
        if height == head.number + 1:
            excess = compute_excess_blob_gas(head)
            return BlockFees(self._producer.next_base_fee(), compute_blob_base_fee(excess), max_blob_gas)
        header = self.header(height)  # raises PrunedHistory
        if header is None:
            raise InvariantBroken(f"fees asked for block {height}, the head is {head.number}")
        blob_fee = compute_blob_base_fee(header.excess_blob_gas or 0)
        return BlockFees(header.base_fee_per_gas or 0, blob_fee, max_blob_gas)

    def suggested_tip(self) -> int:
        return max(DEFAULT_TIP_WEI, self._pool.config.min_tip_wei)

    def block_gas_limit(self) -> int:
        return self._producer.pool_head().gas_limit

    # -- state ---------------------------------------------------------------------------------------------------
    def state_at(self, at: StateAt) -> Reader:
        """The state that a block parameter means."""
        if at is PENDING:
            return self._pending.reader()
        assert isinstance(at, int)
        return state_reader(self.view, at)

    def timestamp_at(self, at: StateAt) -> int:
        """Seconds: of that block, or of the next one."""
        if at is PENDING:
            return self._producer.next_timestamp()
        assert isinstance(at, int)
        header = self.header(at)
        return self.view.head.timestamp if header is None else header.timestamp

    def account(self, address: Address, at: StateAt) -> Account:
        nonce, balance, code_hash, root = read_account(self.state_at(at), address) or NO_ACCOUNT
        return Account(nonce, balance, Hash32(code_hash), Hash32(root))

    def code(self, address: Address, at: StateAt) -> bytes:
        return read_code(self.state_at(at), address)

    def storage(self, address: Address, slot: int, at: StateAt) -> int:
        return read_slot(self.state_at(at), address, slot)

    def proof(self, address: Address, slots: Sequence[int], at: StateAt, stop: StopFlag) -> AccountProof:
        view = self.view
        height = view.head.number if at is PENDING else at
        assert isinstance(height, int)
        return StateProver(view, state_reader(view, height), height).prove(address, slots, stop)

    # -- execution -----------------------------------------------------------------------------------------------
    def call(self, request: CallRequest, limits: CallLimits) -> ExecutionResult:
        return self.calls.call(request, limits)

    def estimate_gas(self, request: CallRequest, limits: CallLimits) -> int:
        return self.calls.estimate_gas(request, limits)

    def create_access_list(self, request: CallRequest, limits: CallLimits) -> AccessListResult:
        return self.calls.create_access_list(request, limits)

    # -- pool ----------------------------------------------------------------------------------------------------
    def submit(self, raw: bytes) -> Submitted:
        return self.submit_transaction(Transaction.decode(raw))

    def submit_transaction(self, transaction: Transaction, *, sender_may_have_code: bool = False) -> Submitted:
        added = self._pool.add(transaction, self._producer.clock(), sender_may_have_code=sender_may_have_code)
        self._pending.invalidate()
        if added.changes.promoted:
            self._producer.wake()
            for observer in list(self._observers):
                for promoted in added.changes.promoted:
                    observer.transaction_added(promoted)
        return Submitted(transaction.hash, settles=added.executable and self._automine())

    def pending_nonce(self, address: Address) -> int:
        account = read_account(self.view.snapshot, address)
        return self._pool.pending_nonce(address, account[0] if account else 0)

    def pool_status(self) -> tuple[int, int]:
        status = self._pool.status()
        return status.pending, status.queued

    def pool_content(self, senders: Iterable[Address] | None = None) -> PoolContent:
        if senders is None:
            pending, queued = self._pool.content()
            return PoolContent(pending, queued)
        pending, queued = {}, {}
        for sender in senders:
            pending[sender], queued[sender] = self._pool.content_from(sender)
        return PoolContent(pending, queued)

    def pending_block(self) -> PendingBlock:
        return self._pending.block()

    # -- events --------------------------------------------------------------------------------------------------
    def observe(self, observer: Observer) -> Callable[[], None]:
        self._observers.append(observer)
        return lambda: self._observers.remove(observer)

    def invalidate_pending(self) -> None:
        self._pending.invalidate()

    def announce_block(self, executed: ExecutedBlock) -> None:
        """Tell the observers of a committed block."""
        self._pending.invalidate()
        if not self._observers:
            return
        record = block_record(executed.block)
        logs = log_records(executed.block, executed.receipts)
        for observer in list(self._observers):
            observer.block_committed(record, logs)

    def announce_sync(self, status: SyncStatus | None) -> None:
        """Tell the observers that block sync has begun, or None that it has ended."""
        for observer in list(self._observers):
            observer.sync_changed(status)

    def announce_revert(self, height: int) -> None:
        self._pending.invalidate()
        for observer in list(self._observers):
            observer.chain_reverted(height)


def _found(part: T | None, blocks: BlockReader, height: int) -> T | None:
    """A part of a block, None where there is no such block; raises PrunedHistory where there was one."""
    if part is None and height > 0:
        _check_kept(blocks, height)
    return part


def _check_kept(blocks: BlockReader, height: int) -> None:
    earliest = blocks.earliest()
    if height < earliest:
        raise PrunedHistory(height, earliest)


def recognise_impersonated(transaction: Transaction) -> Transaction:
    """Give a devnet's unsigned transaction (node.devnet.make_impersonated) that was read back its sender, for display."""
    if transaction.s == 0 and transaction.r >> 160 == 0:
        transaction.assume_sender(Address(transaction.r.to_bytes(20, "big")))
    return transaction


def block_record(block: Block) -> BlockRecord:
    hashes = [tx.hash for tx in block.transactions]
    return BlockRecord(block.header, hashes, len(block.encode()), block.withdrawals)


def _blob_price(tx: Transaction, header: Header) -> int | None:
    return compute_blob_base_fee(header.excess_blob_gas or 0) if tx.blob_versioned_hashes else None


def receipt_records(block: Block, receipts: Sequence[Receipt]) -> list[ReceiptRecord]:
    records, first_log = [], 0
    for index, (tx, receipt) in enumerate(zip(block.transactions, receipts, strict=True)):
        blob_price = _blob_price(tx, block.header)
        records.append(ReceiptRecord(receipt, tx, block.header, index, first_log, blob_price))
        first_log += len(receipt.logs)
    return records


def log_records(block: Block, receipts: Sequence[Receipt]) -> list[LogRecord]:
    """The logs of a block with their places."""
    header, records = block.header, list[LogRecord]()
    for index, receipt in enumerate(receipts):
        for log in receipt.logs:
            records.append(
                LogRecord(
                    log=log,
                    block_hash=header.hash,
                    block_number=header.number,
                    block_timestamp=header.timestamp,
                    transaction_hash=block.transactions[index].hash,
                    transaction_index=index,
                    log_index=len(records),
                )
            )
    return records


def _candidate_heights(blocks: BlockReader, query: LogQuery, stop: StopFlag) -> Iterable[int]:
    """Heights in the range that may hold a matching log, in order, by the log index."""
    heights: set[int] | None = None
    first_topics = query.topics[0] if query.topics else frozenset()
    for kind, values in ((KIND_ADDRESS, query.addresses), (KIND_TOPIC, first_topics)):
        if not values:
            continue
        having: set[int] = set()
        for value in sorted(values):
            stop.check()
            having.update(blocks.heights_with(kind, value, query.first, query.last))
        heights = having if heights is None else heights & having
    for count, height in enumerate(range(query.first, query.last + 1) if heights is None else sorted(heights)):
        if count % LOG_CHECK_BLOCKS == 0:
            stop.check()
        yield height


def _matching_logs(blocks: BlockReader, height: int, query: LogQuery) -> list[LogRecord]:
    header = blocks.header(height)
    if header is None or not any(header.bloom):
        return []
    block, receipts = blocks.block(height), blocks.receipts(height)
    if block is None or receipts is None:
        return []
    return [record for record in log_records(block, receipts) if _matches(record, query)]


def _matches(record: LogRecord, query: LogQuery) -> bool:
    if query.addresses and record.log.address not in query.addresses:
        return False
    topics = record.log.topics
    if len(query.topics) > len(topics):
        return False
    return all(not wanted or topics[at] in wanted for at, wanted in enumerate(query.topics))
