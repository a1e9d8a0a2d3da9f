"""What the JSON-RPC methods ask of the node: Protocols that rpc owns and `dmchain.node` implements.

`Chain` is the part that every node has. `Wallet` and `Devnet` exist on a development network only, `Market` where the
marketplace is deployed, `Tracer` where the executor has trace hooks, `Consensus` where validators sign blocks; a missing
part means that its methods are not registered, so they answer "the method X does not exist/is not available".

Threads. Methods marked *light* are called on the event loop's thread and must answer from memory or with a handful of
database reads. Methods marked *heavy* are called in worker threads, several at a time, while the node goes on
committing blocks: they work on a read snapshot and look at their StopFlag every few milliseconds. Readers of the
head, blocks, fees and state are light and must be safe to call from worker threads as well; the pool, events and node
status are used from the event loop's thread alone. No method of `Chain` waits for a future block.

Blocks are named by height: there is one block per height for ever (a devnet's `revert` is announced to observers).
Failures: a `DmchainError` raised by any of these becomes JSON-RPC error -32000 with its text, an `RpcError` keeps its
own code, anything else is a bug (-32603, logged).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Protocol

from dmchain.chain.primitives.block import Header, Log, Receipt, Withdrawal
from dmchain.chain.primitives.crypto import PrivateKey
from dmchain.chain.primitives.transaction import AccessList, Authorization, Transaction, UnsignedTransaction
from dmchain.chain.primitives.types import Address, Hash32
from dmchain.rpc.errors import CallTimeout


class Pending(Enum):
    """The state after the head with the pool's executable transactions applied."""

    PENDING = "pending"


PENDING: Final = Pending.PENDING

StateAt = int | Pending
"""A height (the state after that block), or PENDING."""


# ---------------------------------------------------------------- limits


class StopFlag:
    """Raised by the server when nobody waits for an answer any more (timeout, shutdown); read by long work."""

    __slots__ = ("requested",)

    def __init__(self) -> None:
        self.requested = False

    def check(self) -> None:
        """Raise CallTimeout when the work should end."""
        if self.requested:
            raise CallTimeout()


@dataclass(frozen=True, slots=True)
class CallLimits:
    """What one execution may use: `gas_cap` units of gas at most, and only until `stop` is requested."""

    gas_cap: int
    stop: StopFlag


# ---------------------------------------------------------------- chain data


@dataclass(frozen=True, slots=True)
class BlockRecord:
    """A block without the bodies of its transactions. `size` is the RLP size in bytes.

    `withdrawals` is None before Shanghai; `ommer_hashes` is empty but on imported proof-of-work chains.
    """

    header: Header
    transaction_hashes: Sequence[Hash32]
    size: int
    withdrawals: tuple[Withdrawal, ...] | None = ()
    ommer_hashes: tuple[Hash32, ...] = ()


@dataclass(frozen=True, slots=True)
class PendingBlock:
    """The block that would be built now on the head; its roots and hash mean nothing."""

    header: Header
    transactions: tuple[Transaction, ...]
    size: int


@dataclass(frozen=True, slots=True)
class TransactionRecord:
    """A transaction with its place in the chain: `header` and `index` are None while it waits in the pool."""

    transaction: Transaction
    header: Header | None = None
    index: int | None = None


@dataclass(frozen=True, slots=True)
class ReceiptRecord:
    """A receipt with what JSON-RPC adds to it.

    `first_log_index` counts the logs of the block before this transaction; `blob_gas_price` (wei) only for type 3;
    `post_state_root` only for receipts from before Byzantium, which carry no status.
    """

    receipt: Receipt
    transaction: Transaction
    header: Header
    index: int
    first_log_index: int
    blob_gas_price: int | None = None
    post_state_root: Hash32 | None = None


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A log with its place in the chain; `log_index` counts within the block."""

    log: Log
    block_hash: Hash32
    block_number: int
    block_timestamp: int
    transaction_hash: Hash32
    transaction_index: int
    log_index: int
    removed: bool = False


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Logs of blocks `first` to `last` (both included) in chain order.

    `addresses` empty means any address. `topics[i]` empty means anything at position i, else one of these; a log with
    fewer topics than positions given does not match.
    """

    first: int
    last: int
    addresses: frozenset[Address] = frozenset()
    topics: tuple[frozenset[bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class BlockFees:
    """Fees of one height, in wei per gas. `max_blob_gas` is the limit of the block's fork (0: no blobs)."""

    base_fee: int
    blob_base_fee: int
    max_blob_gas: int


@dataclass(frozen=True, slots=True)
class Account:
    """An account of the state; absent accounts are nonce 0, balance 0, the hashes of empty code and empty trie."""

    nonce: int
    balance: int
    code_hash: Hash32
    storage_root: Hash32


@dataclass(frozen=True, slots=True)
class StorageProof:
    slot: int
    value: int
    proof: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class AccountProof:
    """EIP-1186: RLP nodes from the root down."""

    account: Account
    proof: tuple[bytes, ...]
    storage: tuple[StorageProof, ...]


@dataclass(frozen=True, slots=True)
class SyncStatus:
    """Heights of a catch-up under way."""

    starting: int
    current: int
    highest: int


@dataclass(frozen=True, slots=True)
class ForkConfig:
    """One fork as eth_config (EIP-7910) shows it; names are those of the EIP."""

    activation_time: int
    blob_target: int
    blob_max: int
    blob_base_fee_update_fraction: int
    fork_id: bytes
    precompiles: Mapping[str, Address]
    system_contracts: Mapping[str, Address]


@dataclass(frozen=True, slots=True)
class ForkConfigs:
    current: ForkConfig
    next: ForkConfig | None = None
    last: ForkConfig | None = None


@dataclass(frozen=True, slots=True)
class History:
    """The oldest heights whose data this node still has."""

    oldest_block: int
    oldest_receipts: int
    oldest_state: int


# ---------------------------------------------------------------- calls


@dataclass(frozen=True, slots=True)
class CallMessage:
    """A call as eth_call and eth_estimateGas take it.

    `to` is b"" for a creation; `gas` None means the gas cap (or the sender's means, when a fee is given). With both fee
    fields None no fee is charged and the base fee of the block environment is 0 for GASPRICE and BASEFEE, as in geth;
    `gasPrice` of a legacy call sets both fields. `nonce` is never checked, it only decides the address of a creation.
    `type` None: the lowest type that has the fields given.
    """

    sender: Address
    to: bytes = b""
    data: bytes = b""
    value: int = 0
    gas: int | None = None
    max_fee_per_gas: int | None = None
    max_priority_fee_per_gas: int | None = None
    nonce: int | None = None
    access_list: AccessList = ()
    authorization_list: tuple[Authorization, ...] = ()
    blob_versioned_hashes: tuple[bytes, ...] = ()
    max_fee_per_blob_gas: int | None = None
    type: int | None = None


@dataclass(frozen=True, slots=True)
class AccountOverride:
    """Changes made to one account before a call. `storage` replaces all slots, `storage_diff` only those named."""

    nonce: int | None = None
    balance: int | None = None
    code: bytes | None = None
    storage: Mapping[int, int] | None = None
    storage_diff: Mapping[int, int] | None = None
    move_precompile_to: Address | None = None


StateOverrides = Mapping[Address, AccountOverride]


@dataclass(frozen=True, slots=True)
class BlockOverrides:
    """Changes made to the block environment of a call."""

    number: int | None = None
    timestamp: int | None = None
    gas_limit: int | None = None
    coinbase: Address | None = None
    prev_randao: Hash32 | None = None
    base_fee: int | None = None
    blob_base_fee: int | None = None


@dataclass(frozen=True, slots=True)
class CallRequest:
    """One call with everything that decides its outcome."""

    message: CallMessage
    at: StateAt
    state_overrides: StateOverrides
    block_overrides: BlockOverrides


@dataclass(frozen=True, slots=True)
class ExecutionResult:
    """What a call did. `error` None means success.

    A revert has error "execution reverted" and `revert_data` (perhaps empty); any other failure has geth's wording
    ("out of gas", "invalid opcode: INVALID", "stack underflow (0 <=> 1)", ...) and `revert_data` None. `gas_used` is
    net of `gas_refunded`, which helps rpc.estimate to guess and may be left 0.
    """

    output: bytes
    gas_used: int
    error: str | None = None
    revert_data: bytes | None = None
    logs: tuple[Log, ...] = ()
    gas_refunded: int = 0


@dataclass(frozen=True, slots=True)
class AccessListResult:
    """The accesses of a call (without sender, recipient and precompiles unless slots are touched)."""

    access_list: AccessList
    gas_used: int
    error: str | None = None


# ---------------------------------------------------------------- pool and events


@dataclass(frozen=True, slots=True)
class Submitted:
    """The pool took a transaction. `settles`: it will be in a block at once (devnet automine), so the answer waits."""

    hash: Hash32
    settles: bool = False


@dataclass(frozen=True, slots=True)
class PoolContent:
    """Pool transactions by sender and nonce: `pending` can run now, `queued` wait for an earlier nonce."""

    pending: Mapping[Address, Mapping[int, Transaction]]
    queued: Mapping[Address, Mapping[int, Transaction]]


class Observer(Protocol):
    """Told what happens, on the event loop's thread, after the data can be read back; must not block or raise."""

    def block_committed(self, block: BlockRecord, logs: Sequence[LogRecord]) -> None: ...

    def transaction_added(self, transaction: Transaction) -> None:
        """A transaction entered the pool's executable part for the first time."""

    def chain_reverted(self, height: int) -> None:
        """Devnet only: the head is `height` again, what was above is gone."""

    def sync_changed(self, status: SyncStatus | None) -> None: ...


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """A connected node. `height` is the head it last told of."""

    node_id: Address
    is_outbound: bool
    software: str
    height: int


@dataclass(frozen=True, slots=True)
class ValidatorStatus:
    """A validator of the height under way. `is_connected` None: nothing says which node is its."""

    address: Address
    operator: Address
    power: int
    is_connected: bool | None


@dataclass(frozen=True, slots=True)
class ConsensusStatus:
    """The height that is being decided. `round` -1 and `step` "idle": it has not begun, there is no work.

    `address` is that of this node's consensus key, None without one.
    """

    height: int
    round: int
    step: str
    epoch: int
    proposer: Address | None
    address: Address | None
    is_signing: bool
    validators: tuple[ValidatorStatus, ...]


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """What dm_nodeInfo and /health show. `problem` is None when the node is healthy, else one sentence."""

    client_version: str
    node_id: str
    role: str
    genesis_hash: Hash32
    listen_addresses: tuple[str, ...]
    peer_count: int
    validator: Address | None
    validator_count: int
    uptime_seconds: int
    is_devnet: bool = False
    problem: str | None = None
    consensus: ConsensusStatus | None = None
    """None on a chain that one node makes alone."""
    peers: tuple[PeerStatus, ...] = ()
    contracts: Mapping[str, Address] = field(default_factory=dict)
    """The market's contracts of block 0 by name, the native ones too."""


class Chain(Protocol):
    """The chain, its state, the pool and the node."""

    # identity and head: light; chain_id and head from any thread
    def chain_id(self) -> int: ...

    def head(self) -> Header: ...

    def sync_status(self) -> SyncStatus | None:
        """None when in step with the network."""

    def node_status(self) -> NodeStatus: ...

    def history(self) -> History: ...

    def fork_configs(self) -> ForkConfigs: ...

    # blocks and transactions: light, from any thread; None for what does not exist
    def height_of(self, block_hash: Hash32) -> int | None: ...

    def header(self, height: int) -> Header | None: ...

    def block(self, height: int) -> BlockRecord | None: ...

    def raw_block(self, height: int) -> bytes | None: ...

    def transactions(self, height: int) -> Sequence[Transaction] | None:
        """Bodies of a block's transactions."""

    def receipts(self, height: int) -> Sequence[ReceiptRecord] | None:
        """All receipts of a block in order."""

    def transaction(self, transaction_hash: Hash32) -> TransactionRecord | None:
        """From the chain, else from the pool."""

    def receipt(self, transaction_hash: Hash32) -> ReceiptRecord | None: ...

    def logs(self, query: LogQuery, max_results: int, stop: StopFlag) -> Sequence[LogRecord]:
        """Heavy. Raise errors.TooManyResults(max_results) when more logs match."""

    # fees: light, from any thread
    def fees(self, height: int) -> BlockFees:
        """Fees of a block; heights up to head + 1 (the next block)."""

    def suggested_tip(self) -> int:
        """Wei per gas that gets a transaction into one of the next blocks; never below what the pool accepts."""

    def block_gas_limit(self) -> int:
        """Gas limit of the next block."""

    # state: light, from any thread; raise errors.StateUnavailable when the height's state is gone
    def account(self, address: Address, at: StateAt) -> Account: ...

    def code(self, address: Address, at: StateAt) -> bytes: ...

    def storage(self, address: Address, slot: int, at: StateAt) -> int: ...

    def proof(self, address: Address, slots: Sequence[int], at: StateAt, stop: StopFlag) -> AccountProof:
        """Heavy."""

    # execution: heavy
    def call(self, request: CallRequest, limits: CallLimits) -> ExecutionResult:
        """Run without keeping the changes. At height h the environment is block h's own; at PENDING the next block's.

        Raise InvalidTransaction (geth's wording) when the message could not even start.
        """

    def estimate_gas(self, request: CallRequest, limits: CallLimits) -> int:
        """Least gas limit that succeeds; see rpc.estimate. Raise errors.execution_error(result) when none does.

        Always against the next block's number and timestamp, on the state of `request.at`.
        """

    def create_access_list(self, request: CallRequest, limits: CallLimits) -> AccessListResult: ...

    # pool: light
    def submit(self, raw: bytes) -> Submitted:
        """Take a signed transaction (type 3 in its network form); raise InvalidTransaction with geth's wording."""

    def pending_nonce(self, address: Address) -> int: ...

    def pool_status(self) -> tuple[int, int]:
        """Numbers of pending and queued transactions."""

    def pool_content(self, senders: Iterable[Address] | None = None) -> PoolContent:
        """A copy that stays as it is: it is formatted in a worker thread."""

    def pending_block(self) -> PendingBlock: ...

    # events: light
    def observe(self, observer: Observer) -> Callable[[], None]:
        """Start telling `observer`; the returned function ends it."""


# ---------------------------------------------------------------- development network


class Wallet(Protocol):
    """Accounts whose keys the node holds. Light."""

    def accounts(self) -> Sequence[Address]: ...

    def key_of(self, address: Address) -> PrivateKey | None: ...


class Devnet(Protocol):
    """Control of a development network. All heavy: called in a worker thread, may wait until the change is in place.

    Implementations may use `trio.from_thread`.
    """

    def snapshot(self) -> int:
        """Remember the present chain, pool and settings; ids count up from 1."""

    def revert(self, snapshot_id: int) -> bool:
        """Go back; forgets this snapshot and later ones. False when there is no such id."""

    def reset(self) -> None:
        """Back to genesis."""

    def mine(self, blocks: int, interval_seconds: int | None = None, timestamp: int | None = None) -> None:
        """Make blocks now, `interval_seconds` apart in their timestamps; the first at `timestamp` if given."""

    def increase_time(self, seconds: int) -> int:
        """Move the clock of later blocks; returns the total offset in seconds."""

    def set_time(self, timestamp: int) -> int:
        """Set the clock of later blocks; returns the resulting offset in seconds."""

    def set_next_timestamp(self, timestamp: int) -> None: ...

    def set_timestamp_interval(self, seconds: int | None) -> None:
        """Fixed distance of later blocks' timestamps; None ends it."""

    def automine(self) -> bool: ...

    def set_automine(self, enabled: bool) -> None: ...

    def set_interval_mining(self, milliseconds: int) -> None:
        """0 ends it."""

    def set_block_gas_limit(self, gas_limit: int) -> None: ...

    def set_next_base_fee(self, base_fee: int) -> None: ...

    def set_min_gas_price(self, price: int) -> None: ...

    def set_coinbase(self, address: Address) -> None: ...

    def set_prev_randao(self, value: Hash32) -> None: ...

    def set_balance(self, address: Address, balance: int) -> None: ...

    def set_nonce(self, address: Address, nonce: int) -> None: ...

    def set_code(self, address: Address, code: bytes) -> None: ...

    def set_storage(self, address: Address, slot: int, value: int) -> None: ...

    def impersonate(self, address: Address) -> None: ...

    def stop_impersonating(self, address: Address) -> None: ...

    def auto_impersonate(self, enabled: bool) -> None: ...

    def is_impersonated(self, address: Address) -> bool:
        """Light."""

    def submit_unsigned(self, unsigned: UnsignedTransaction, sender: Address) -> Submitted:
        """Pool a transaction of an impersonated account. Light."""

    def drop_transaction(self, transaction_hash: Hash32) -> bool: ...

    def drop_all_transactions(self) -> None: ...

    def dump_state(self) -> bytes: ...

    def load_state(self, dump: bytes) -> None: ...


# ---------------------------------------------------------------- market


@dataclass(frozen=True, slots=True)
class Dataset:
    """An entry of the CidRegistry. `versions` newest last, the first being the registered CID."""

    dataset_id: Hash32
    cid: bytes
    metadata_cid: bytes
    owner: Address
    controller: Address
    size_bytes: int
    parents: tuple[Hash32, ...]
    versions: tuple[bytes, ...]
    registered_block: int
    registered_at: int
    is_retired: bool


@dataclass(frozen=True, slots=True)
class License:
    """An entry of the LicenseLedger. `expires_at` 0: never; `units` None: not metered; `is_valid` at block time."""

    dataset_id: Hash32
    licensee: Address
    kind: int
    expires_at: int
    units: int | None
    terms_hash: Hash32
    is_revoked: bool
    is_valid: bool


@dataclass(frozen=True, slots=True)
class DatasetFilter:
    """Which datasets to list; None means any."""

    owner: Address | None = None
    controller: Address | None = None
    parent: Hash32 | None = None
    include_retired: bool = False


@dataclass(frozen=True, slots=True)
class DatasetPage:
    """`next_cursor` goes into the next call; None at the end."""

    datasets: tuple[Dataset, ...]
    next_cursor: str | None


class Market(Protocol):
    """Readers of the marketplace at a height. `dataset` and `license` light, `datasets` heavy."""

    def dataset(self, dataset_id: Hash32, at: StateAt) -> Dataset | None: ...

    def license(self, dataset_id: Hash32, licensee: Address, at: StateAt) -> License | None: ...

    def datasets(
        self, wanted: DatasetFilter, cursor: str | None, limit: int, at: StateAt, stop: StopFlag
    ) -> DatasetPage:
        """At most `limit` datasets in order of registration; raise errors.InvalidParams for a foreign cursor."""


# ---------------------------------------------------------------- traces


@dataclass(frozen=True, slots=True)
class TraceConfig:
    """geth's trace options. `tracer` None means struct logs; `options` is tracerConfig as sent."""

    tracer: str | None = None
    options: Mapping[str, Any] | None = None
    timeout_seconds: float | None = None
    enable_memory: bool = False
    disable_stack: bool = False
    disable_storage: bool = False
    enable_return_data: bool = False
    limit: int = 0


class Tracer(Protocol):
    """Re-executes with a tracer; results are ready for JSON. Heavy."""

    def trace_transaction(self, transaction_hash: Hash32, config: TraceConfig, limits: CallLimits) -> Any: ...

    def trace_block(self, height: int, config: TraceConfig, limits: CallLimits) -> list[tuple[Hash32, Any]]:
        """Transaction hash and trace of every transaction of the block, in order."""

    def trace_call(self, request: CallRequest, config: TraceConfig, limits: CallLimits) -> Any: ...


# ---------------------------------------------------------------- consensus


@dataclass(frozen=True, slots=True)
class CommitInfo:
    """Why a block is final. `header` is its RLP; `signatures` by validator index, 65 bytes each, None for the absent.

    `is_canonical`: the one inside the next block, the same on every node; else the one this node decided with.
    """

    height: int
    block_hash: Hash32
    header: bytes
    round: int
    signatures: tuple[bytes | None, ...]
    is_canonical: bool


@dataclass(frozen=True, slots=True)
class RecordInfo:
    """The consensus record of a block; names are those of `dmchain.chain.consensus.record`."""

    height: int
    block_hash: Hash32
    root: Hash32
    version: int
    chain_id: int
    timestamp_ms: int
    epoch: int
    proposer: Address
    validators_hash: Hash32
    next_validators_hash: Hash32
    last_commit_hash: Hash32
    evidence_hash: Hash32
    params_hash: Hash32
    randao_reveal: Hash32
    minimum_software: int


@dataclass(frozen=True, slots=True)
class ValidatorSetInfo:
    """Who signs `height`: consensus address and power each, by ascending address; `quorum` is the power that decides."""

    height: int
    hash: Hash32
    total_power: int
    quorum: int
    validators: tuple[tuple[Address, int], ...]


class Consensus(Protocol):
    """What light clients verify, by height. Light; None for what this node does not have."""

    def commit(self, height: int) -> CommitInfo | None: ...

    def record(self, height: int) -> RecordInfo | None: ...

    def validators(self, height: int) -> ValidatorSetInfo | None:
        """Heights up to head + 1."""


@dataclass(frozen=True, slots=True)
class Backend:
    """Everything the methods may use; a part that is None has no methods."""

    chain: Chain
    market: Market | None = None
    wallet: Wallet | None = None
    devnet: Devnet | None = None
    tracer: Tracer | None = None
    consensus: Consensus | None = None
