"""A backend in memory for tests of the methods: real headers, transactions and receipts, a toy state, scripted
calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dmchain.chain.primitives.block import (
    EMPTY_OMMERS_HASH,
    EMPTY_REQUESTS_HASH,
    EMPTY_TRIE_ROOT,
    Block,
    Header,
    Log,
    Receipt,
    compute_bloom,
)
from dmchain.chain.primitives.crypto import PrivateKey, keccak
from dmchain.chain.primitives.errors import InvalidTransaction, NonceTooLow
from dmchain.chain.primitives.transaction import Transaction, UnsignedTransaction, sign_transaction
from dmchain.chain.primitives.types import ZERO_ADDRESS, ZERO_HASH, Address, Hash32
from dmchain.rpc.backend import (
    PENDING,
    AccessListResult,
    Account,
    AccountProof,
    Backend,
    BlockFees,
    BlockRecord,
    CallLimits,
    CallRequest,
    Dataset,
    DatasetFilter,
    DatasetPage,
    ExecutionResult,
    ForkConfig,
    ForkConfigs,
    History,
    License,
    LogQuery,
    LogRecord,
    NodeStatus,
    Observer,
    PendingBlock,
    PoolContent,
    ReceiptRecord,
    StateAt,
    StopFlag,
    StorageProof,
    Submitted,
    SyncStatus,
    TransactionRecord,
)
from dmchain.rpc.errors import StateUnavailable, TooManyResults, execution_error
from dmchain.rpc.subscriptions import matches_topics

CHAIN_ID = 1337
BASE_FEE = 7
TIP = 1_000_000_000
GAS_LIMIT = 30_000_000
KEYS = [PrivateKey(bytes([index + 1]) * 32) for index in range(3)]
ALICE, BOB, CAROL = (key.address for key in KEYS)
EMITTER = Address(b"\xee" * 20)


def transfer(key: PrivateKey = KEYS[0], nonce: int = 0, to: bytes = BOB, **changes: Any) -> Transaction:
    fields: dict[str, Any] = {"type": 2, "chain_id": CHAIN_ID, "nonce": nonce, "gas": 50_000, "to": to, "value": 5}
    fields |= {"max_fee_per_gas": 3 * TIP, "max_priority_fee_per_gas": TIP} | changes
    return sign_transaction(UnsignedTransaction(**fields), key)


def succeed(request: CallRequest, limits: CallLimits) -> ExecutionResult:
    """A call that echoes its data."""
    return ExecutionResult(request.message.data, 21_000)


@dataclass
class MinedBlock:
    block: Block
    receipts: list[Receipt]


@dataclass
class FakeChain:
    """`on_call` decides what calls do; `settles` makes `submit` promise a block; the head is `blocks[-1]`."""

    on_call: Callable[[CallRequest, CallLimits], ExecutionResult] = succeed
    settles: bool = False
    oldest_state: int = 0
    status: SyncStatus | None = None
    problem: str | None = None
    balances: dict[Address, int] = field(default_factory=lambda: {ALICE: 10**18})
    slots: dict[tuple[Address, int], int] = field(default_factory=dict)
    codes: dict[Address, bytes] = field(default_factory=dict)
    waiting: dict[Hash32, Transaction] = field(default_factory=dict)
    blocks: list[MinedBlock] = field(default_factory=list)
    observers: list[Observer] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.blocks:
            self.mine([], announce=False)

    # making blocks

    def mine(
        self,
        transactions: Sequence[Transaction],
        logs: Mapping[int, Sequence[Log]] | None = None,
        announce: bool = True,
    ) -> Header:
        """Append a block; `logs` by index of the transaction."""
        receipts, cumulative = [], 0
        for index, tx in enumerate(transactions):
            self.waiting.pop(tx.hash, None)
            emitted = tuple((logs or {}).get(index, ()))
            cumulative += 21_000
            created = Address(keccak(tx.hash)[12:]) if tx.is_create else None
            price = tx.effective_gas_price(BASE_FEE)
            bloom = compute_bloom(emitted)
            receipts.append(Receipt(tx.type, 1, cumulative, bloom, emitted, 21_000, price, created))
        number = len(self.blocks)
        header = Header(
            self.blocks[-1].block.hash if self.blocks else ZERO_HASH,
            EMPTY_OMMERS_HASH, CAROL, EMPTY_TRIE_ROOT, EMPTY_TRIE_ROOT, EMPTY_TRIE_ROOT,
            compute_bloom([log for receipt in receipts for log in receipt.logs]),
            0, number, GAS_LIMIT, cumulative, 1_700_000_000 + number, b"dm", ZERO_HASH, bytes(8),
            BASE_FEE, EMPTY_TRIE_ROOT, 0, 0, ZERO_HASH, EMPTY_REQUESTS_HASH,
        )  # fmt: skip
        self.blocks.append(MinedBlock(Block(header, tuple(transactions)), receipts))
        if announce:
            record = self.block(number)
            assert record is not None
            block_logs = list(self._logs_of(number))
            for observer in list(self.observers):
                observer.block_committed(record, block_logs)
        return header

    def rewind(self, height: int) -> None:
        del self.blocks[height + 1 :]
        for observer in list(self.observers):
            observer.chain_reverted(height)

    # identity

    def chain_id(self) -> int:
        return CHAIN_ID

    def head(self) -> Header:
        return self.blocks[-1].block.header

    def sync_status(self) -> SyncStatus | None:
        return self.status

    def node_status(self) -> NodeStatus:
        genesis = self.blocks[0].block.hash
        return NodeStatus(
            "dmchain/v0.1.0/test", "node", "validator", genesis, ("0.0.0.0:1",), 3, CAROL, 4, 60, True, self.problem
        )

    def history(self) -> History:
        return History(0, 0, self.oldest_state)

    def fork_configs(self) -> ForkConfigs:
        current = ForkConfig(0, 6, 9, 5_007_716, b"\xe2\x9a\x7b\x81", {"ID": Address(bytes(19) + b"\x04")}, {})
        return ForkConfigs(current)

    # blocks

    def height_of(self, block_hash: Hash32) -> int | None:
        return next((item.block.number for item in self.blocks if item.block.hash == block_hash), None)

    def _mined(self, height: int) -> MinedBlock | None:
        return self.blocks[height] if 0 <= height < len(self.blocks) else None

    def header(self, height: int) -> Header | None:
        mined = self._mined(height)
        return None if mined is None else mined.block.header

    def block(self, height: int) -> BlockRecord | None:
        mined = self._mined(height)
        if mined is None:
            return None
        block = mined.block
        return BlockRecord(block.header, [tx.hash for tx in block.transactions], len(block.encode()), block.withdrawals)

    def raw_block(self, height: int) -> bytes | None:
        mined = self._mined(height)
        return None if mined is None else mined.block.encode()

    def transactions(self, height: int) -> Sequence[Transaction] | None:
        mined = self._mined(height)
        return None if mined is None else mined.block.transactions

    def receipts(self, height: int) -> Sequence[ReceiptRecord] | None:
        mined = self._mined(height)
        if mined is None:
            return None
        records, first_log = [], 0
        for index, receipt in enumerate(mined.receipts):
            tx = mined.block.transactions[index]
            records.append(ReceiptRecord(receipt, tx, mined.block.header, index, first_log))
            first_log += len(receipt.logs)
        return records

    def transaction(self, transaction_hash: Hash32) -> TransactionRecord | None:
        for mined in self.blocks:
            for index, tx in enumerate(mined.block.transactions):
                if tx.hash == transaction_hash:
                    return TransactionRecord(tx, mined.block.header, index)
        waiting = self.waiting.get(transaction_hash)
        return None if waiting is None else TransactionRecord(waiting)

    def receipt(self, transaction_hash: Hash32) -> ReceiptRecord | None:
        for height in range(len(self.blocks)):
            for record in self.receipts(height) or ():
                if record.transaction.hash == transaction_hash:
                    return record
        return None

    def _logs_of(self, height: int) -> Iterable[LogRecord]:
        for record in self.receipts(height) or ():
            header = record.header
            for at, log in enumerate(record.receipt.logs, record.first_log_index):
                place = (header.hash, header.number, header.timestamp, record.transaction.hash, record.index, at)
                yield LogRecord(log, *place)

    def logs(self, query: LogQuery, max_results: int, stop: StopFlag) -> Sequence[LogRecord]:
        found = []
        for height in range(query.first, query.last + 1):
            stop.check()
            for record in self._logs_of(height):
                fits = not query.addresses or record.log.address in query.addresses
                if fits and matches_topics(record.log, query.topics):
                    found.append(record)
        if len(found) > max_results:
            raise TooManyResults(max_results)
        return found

    # fees

    def fees(self, height: int) -> BlockFees:
        assert height <= self.head().number + 1
        return BlockFees(BASE_FEE, 1, 9 * 131_072)

    def suggested_tip(self) -> int:
        return TIP

    def block_gas_limit(self) -> int:
        return GAS_LIMIT

    # state: the same at every height, but gone below `oldest_state`

    def _check(self, at: StateAt) -> None:
        if at is not PENDING and isinstance(at, int) and at < self.oldest_state:
            raise StateUnavailable(at, self.oldest_state)

    def account(self, address: Address, at: StateAt) -> Account:
        self._check(at)
        mined = sum(tx.sender == address for item in self.blocks for tx in item.block.transactions)
        code_hash = keccak(self.codes.get(address, b""))
        return Account(mined, self.balances.get(address, 0), code_hash, EMPTY_TRIE_ROOT)

    def code(self, address: Address, at: StateAt) -> bytes:
        self._check(at)
        return self.codes.get(address, b"")

    def storage(self, address: Address, slot: int, at: StateAt) -> int:
        self._check(at)
        return self.slots.get((address, slot), 0)

    def proof(self, address: Address, slots: Sequence[int], at: StateAt, stop: StopFlag) -> AccountProof:
        values = tuple(StorageProof(slot, self.storage(address, slot, at), (b"\x80",)) for slot in slots)
        return AccountProof(self.account(address, at), (b"\xc0",), values)

    # execution

    def call(self, request: CallRequest, limits: CallLimits) -> ExecutionResult:
        return self.on_call(request, limits)

    def estimate_gas(self, request: CallRequest, limits: CallLimits) -> int:
        result = self.on_call(request, limits)
        if result.error is not None:
            raise execution_error(result)
        return result.gas_used

    def create_access_list(self, request: CallRequest, limits: CallLimits) -> AccessListResult:
        result = self.on_call(request, limits)
        return AccessListResult(((EMITTER, (1,)),), result.gas_used, result.error)

    # pool

    def submit(self, raw: bytes) -> Submitted:
        tx = Transaction.decode(raw)
        if tx.hash in self.waiting:
            raise InvalidTransaction("already known")
        state_nonce = self.account(tx.sender, PENDING).nonce
        if tx.nonce < state_nonce:
            raise NonceTooLow(f"nonce too low: next nonce {state_nonce}, tx nonce {tx.nonce}")
        self.add_waiting(tx)
        return Submitted(tx.hash, self.settles)

    def add_waiting(self, tx: Transaction) -> None:
        self.waiting[tx.hash] = tx
        for observer in list(self.observers):
            observer.transaction_added(tx)

    def pending_nonce(self, address: Address) -> int:
        nonce = self.account(address, PENDING).nonce
        while any(tx.sender == address and tx.nonce == nonce for tx in self.waiting.values()):
            nonce += 1
        return nonce

    def pool_status(self) -> tuple[int, int]:
        return len(self.waiting), 0

    def pool_content(self, senders: Iterable[Address] | None = None) -> PoolContent:
        wanted = None if senders is None else set(senders)
        pending: dict[Address, dict[int, Transaction]] = {}
        for tx in self.waiting.values():
            if wanted is None or tx.sender in wanted:
                pending.setdefault(tx.sender, {})[tx.nonce] = tx
        return PoolContent(pending, {})

    def pending_block(self) -> PendingBlock:
        head = self.head()
        header = head.replace(parent_hash=head.hash, number=head.number + 1, timestamp=head.timestamp + 1)
        return PendingBlock(header, tuple(self.waiting.values()), 600)

    # events

    def observe(self, observer: Observer) -> Callable[[], None]:
        self.observers.append(observer)
        return lambda: self.observers.remove(observer)


@dataclass
class FakeWallet:
    keys: Sequence[PrivateKey] = tuple(KEYS[:2])

    def accounts(self) -> Sequence[Address]:
        return [key.address for key in self.keys]

    def key_of(self, address: Address) -> PrivateKey | None:
        return next((key for key in self.keys if key.address == address), None)


class FakeDevnet:
    """Writes down what it was told; a few answers are real."""

    def __init__(self, chain: FakeChain) -> None:
        self.chain = chain
        self.calls: list[tuple[Any, ...]] = []
        self.impersonated: set[Address] = set()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def record(*arguments: Any, **named: Any) -> Any:
            self.calls.append((name, *arguments, *named.values()))
            return {"snapshot": 1, "revert": True, "automine": True, "increase_time": 60, "dump_state": b"\x01"}.get(
                name
            )

        return record

    def impersonate(self, address: Address) -> None:
        self.impersonated.add(address)

    def is_impersonated(self, address: Address) -> bool:
        return address in self.impersonated

    def submit_unsigned(self, unsigned: UnsignedTransaction, sender: Address) -> Submitted:
        self.calls.append(("submit_unsigned", unsigned, sender))
        return Submitted(Hash32(b"\x11" * 32))


@dataclass
class FakeMarket:
    entries: Sequence[Dataset] = ()

    def dataset(self, dataset_id: Hash32, at: StateAt) -> Dataset | None:
        return next((item for item in self.entries if item.dataset_id == dataset_id), None)

    def license(self, dataset_id: Hash32, licensee: Address, at: StateAt) -> License | None:
        if licensee != BOB:
            return None
        return License(dataset_id, licensee, 1, 0, None, ZERO_HASH, False, True)

    def datasets(
        self, wanted: DatasetFilter, cursor: str | None, limit: int, at: StateAt, stop: StopFlag
    ) -> DatasetPage:
        start = int(cursor or 0)
        found = [item for item in self.entries if wanted.owner in (None, item.owner)]
        end = start + limit
        return DatasetPage(tuple(found[start:end]), str(end) if end < len(found) else None)


def make_dataset(number: int, owner: Address = ALICE) -> Dataset:
    return Dataset(
        Hash32(number.to_bytes(32, "big")),
        b"\x01\x55",
        b"\x01\x70",
        owner,
        ZERO_ADDRESS,
        1000,
        (),
        (b"\x01\x55",),
        3,
        99,
        False,
    )


def make_backend(chain: FakeChain | None = None, *, is_devnet: bool = True) -> Backend:
    chain = chain or FakeChain()
    backend = Backend(chain, FakeMarket([make_dataset(number) for number in range(5)]))
    if is_devnet:
        backend = replace(backend, wallet=FakeWallet(), devnet=FakeDevnet(chain))
    return backend
