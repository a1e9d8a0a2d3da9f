"""Polling filters (eth_newFilter and its kin) as a table without I/O or clock.

A filter keeps a cursor, not what it found: answers are read from the chain when polled, so 10,000 filters cost a few
hundred bytes each and nothing per block. Pending transaction hashes, which the chain does not keep, live in one bounded
ring that all filters share.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from threading import Lock

from dmchain.chain.primitives.transaction import Transaction
from dmchain.rpc.backend import BlockRecord, LogRecord, SyncStatus
from dmchain.rpc.errors import LimitExceeded, RpcError
from dmchain.rpc.params import LogFilter

PENDING_RING_HASHES = 32_768
"""Hashes kept for pending filters: 8 s of 4000 transactions a second, or a minute of an ordinary devnet's worst."""


class FilterKind(Enum):
    LOGS = "logs"
    BLOCKS = "blocks"
    PENDING = "pending"


@dataclass(slots=True)
class Filter:
    """One filter. `cursor` is the next height to look at, for PENDING the next number in the ring."""

    id: str
    kind: FilterKind
    cursor: int
    last_poll: float
    criteria: LogFilter | None = None


class FilterNotFound(RpcError):
    """geth's wording: viem and ethers make a new filter when they read it."""

    def __init__(self) -> None:
        super().__init__("filter not found")


class FilterTable:
    """All filters of a server; also an Observer of the chain. Safe to use from several threads.

    INVARIANT: `_filters` is ordered by last poll, so expiry looks only at its front.
    """

    def __init__(self, max_filters: int, max_terms: int, lifetime_seconds: float, new_id: Callable[[], str]) -> None:
        self._max_filters = max_filters
        self._max_terms = max_terms
        self._terms = 0
        self._lifetime = lifetime_seconds
        self._new_id = new_id
        self._filters: OrderedDict[str, Filter] = OrderedDict()
        self._ring: deque[str] = deque(maxlen=PENDING_RING_HASHES)
        self._ring_end = 0
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._filters)

    def create(self, kind: FilterKind, now: float, next_height: int = 0, criteria: LogFilter | None = None) -> str:
        """Add a filter that reports what comes from `next_height` on; raises LimitExceeded."""
        with self._lock:
            self._expire(now)
            if len(self._filters) >= self._max_filters:
                raise LimitExceeded(
                    f"too many filters: the limit is {self._max_filters}",
                    hint="uninstall filters, or use eth_subscribe over a WebSocket",
                )
            terms = 0 if criteria is None else criteria.terms
            if self._terms + terms > self._max_terms:
                raise LimitExceeded(f"too many addresses and topics in filters: the limit is {self._max_terms}")
            self._terms += terms
            cursor = self._ring_end if kind is FilterKind.PENDING else next_height
            filter_id = self._new_id()
            self._filters[filter_id] = Filter(filter_id, kind, cursor, now, criteria)
            return filter_id

    def touch(self, filter_id: str, now: float) -> Filter:
        """Find a filter and renew its life; raises FilterNotFound."""
        with self._lock:
            self._expire(now)
            found = self._filters.get(filter_id)
            if found is None:
                raise FilterNotFound()
            found.last_poll = now
            self._filters.move_to_end(filter_id)
            return found

    def get(self, filter_id: str) -> Filter | None:
        return self._filters.get(filter_id)

    def remove(self, filter_id: str) -> bool:
        with self._lock:
            return self._pop(filter_id)

    def advance(self, entry: Filter, cursor: int, next_height: int) -> None:
        """Note that `cursor` to `next_height` - 1 were reported, unless the chain was reverted meanwhile."""
        with self._lock:
            if entry.cursor == cursor:
                entry.cursor = max(cursor, next_height)

    def take_pending(self, entry: Filter) -> list[str]:
        """Hashes that entered the pool since the last poll; raises FilterNotFound when some were dropped meanwhile."""
        with self._lock:
            missed = self._ring_end - entry.cursor
            if missed > len(self._ring):
                # Rather no filter than one that forgets: clients set up a new one.
                self._pop(entry.id)
                raise FilterNotFound()
            entry.cursor = self._ring_end
            return list(islice(self._ring, len(self._ring) - missed, None))

    def _expire(self, now: float) -> None:
        oldest_poll = now - self._lifetime
        while self._filters:
            first = next(iter(self._filters.values()))
            if first.last_poll > oldest_poll:
                return
            self._pop(first.id)

    def _pop(self, filter_id: str) -> bool:
        entry = self._filters.pop(filter_id, None)
        if entry is not None and entry.criteria is not None:
            self._terms -= entry.criteria.terms
        return entry is not None

    # Observer

    def block_committed(self, block: BlockRecord, logs: Sequence[LogRecord]) -> None:
        """Nothing to do: filters read the chain when polled."""

    def transaction_added(self, transaction: Transaction) -> None:
        with self._lock:
            self._ring.append("0x" + transaction.hash.hex())
            self._ring_end += 1

    def chain_reverted(self, height: int) -> None:
        """Blocks above `height` will be others: report them again."""
        with self._lock:
            for entry in self._filters.values():
                if entry.kind is not FilterKind.PENDING:
                    entry.cursor = min(entry.cursor, height + 1)

    def sync_changed(self, status: SyncStatus | None) -> None:
        """Of no interest to filters."""
