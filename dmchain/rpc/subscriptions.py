"""eth_subscribe without I/O: who wants which events, and the messages to send them.

    node --Observer--> Hub: events in a bounded queue --distribute()--> Session.deliver(message)

The shell drives `distribute` in small steps, so that a block with many logs and thousands of subscribers does not
hold up calls. Nothing is ever left out: a session that cannot take its messages is disconnected by the shell, and
when events come faster than they can be distributed all subscribers are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import orjson

from dmchain.chain.primitives.block import Header, Log
from dmchain.chain.primitives.transaction import Transaction
from dmchain.chain.primitives.types import Address
from dmchain.rpc.backend import BlockRecord, LogRecord, SyncStatus
from dmchain.rpc.config import MethodLimits
from dmchain.rpc.errors import METHOD_NOT_FOUND, LimitExceeded, RpcError, quote
from dmchain.rpc.format import format_header, format_log, format_sync_status, format_transaction
from dmchain.rpc.jsonrpc import encode_notification
from dmchain.rpc.logs import check_alternatives, parse_log_filter
from dmchain.rpc.params import Argument, LogFilter, parse_any, parse_bool, parse_string
from dmchain.rpc.registry import Context, MethodTable

methods = MethodTable()

MAX_WAITING_EVENTS = 20_000
"""Events between node and subscribers: some seconds of a busy pool. More means that distribution cannot keep up."""

MAX_WAITING_MESSAGES = 10_000
"""Messages of one subscription whose id the client has not been told yet (slow calls before it in a batch)."""


class Kind(Enum):
    HEADS = "newHeads"
    LOGS = "logs"
    PENDING = "newPendingTransactions"
    PENDING_FULL = "newPendingTransactions, full"
    SYNCING = "syncing"


@dataclass(slots=True, eq=False)
class Subscription:
    """`waiting` holds messages until the client has been told the id; None once it has."""

    id: str
    kind: Kind
    session: Session
    criteria: LogFilter | None = None
    waiting: list[bytes] | None = field(default_factory=list)

    def notify(self, result: bytes) -> None:
        message = encode_notification(self.id, result)
        if self.waiting is None:
            self.session.deliver(message)
        elif len(self.waiting) < MAX_WAITING_MESSAGES:
            self.waiting.append(message)
        else:
            self.session.disconnect("notifications came faster than the answer to eth_subscribe")

    def matches(self, log: Log, height: int) -> bool:
        """Whether a log passes the criteria (its address is checked by the hub's index)."""
        criteria = self.criteria
        assert criteria is not None
        if isinstance(criteria.first, int) and height < criteria.first:
            return False
        if isinstance(criteria.last, int) and height > criteria.last:
            return False
        return matches_topics(log, criteria.topics)


def matches_topics(log: Log, wanted: Sequence[frozenset[bytes]]) -> bool:
    """The topic rule of log filters: see backend.LogQuery."""
    topics = log.topics
    if len(wanted) > len(topics):
        return False
    return all(not choices or topics[at] in choices for at, choices in enumerate(wanted))


class Session:
    """The subscriptions of one connection. `deliver` queues a message and never raises or blocks."""

    def __init__(self, hub: Hub, deliver: Callable[[bytes], None], disconnect: Callable[[str], None]) -> None:
        self._hub = hub
        self.deliver = deliver
        self.disconnect = disconnect
        self.subscriptions: dict[str, Subscription] = {}

    def begin(self) -> SessionRequest:
        """The view of this session that one request gets."""
        return SessionRequest(self, self._hub)

    def close(self) -> None:
        """The connection is gone: forget everything."""
        for subscription in list(self.subscriptions.values()):
            self._hub.remove(subscription)
        self.subscriptions.clear()


class SessionRequest:
    """Collects what one request subscribed to, so that ids reach the client before their first notification."""

    __slots__ = ("_created", "_hub", "_session")

    def __init__(self, session: Session, hub: Hub) -> None:
        self._session = session
        self._hub = hub
        self._created: list[Subscription] = []

    def subscribe(self, kind: Kind, criteria: LogFilter | None = None) -> str:
        subscription = self._hub.add(self._session, kind, criteria)
        self._created.append(subscription)
        return subscription.id

    def unsubscribe(self, subscription_id: str) -> bool:
        subscription = self._session.subscriptions.pop(subscription_id, None)
        if subscription is None:
            return False
        self._hub.remove(subscription)
        return True

    def activate(self) -> None:
        """The answer is on its way: let the notifications follow."""
        for subscription in self._created:
            waiting, subscription.waiting = subscription.waiting, None
            for message in waiting or ():
                self._session.deliver(message)
        self._created.clear()


class Hub:
    """All subscriptions of a server; an Observer of the chain.

    Log subscriptions are indexed by address; those without one are tried for every log.
    """

    def __init__(self, limits: MethodLimits, new_id: Callable[[], str], wake: Callable[[], None]) -> None:
        self._max = limits.max_subscriptions
        self._max_per_session = limits.max_subscriptions_per_connection
        self._max_terms = limits.max_filter_terms
        self._terms = 0
        self._new_id = new_id
        self._wake = wake
        self._count = 0
        self._by_kind: dict[Kind, dict[str, Subscription]] = {kind: {} for kind in Kind}
        self._by_address: dict[Address, dict[str, Subscription]] = {}
        self._any_address: dict[str, Subscription] = {}
        self._events: deque[Callable[[], Iterator[None]]] = deque()
        self._lags = False

    def __len__(self) -> int:
        return self._count

    def add(self, session: Session, kind: Kind, criteria: LogFilter | None) -> Subscription:
        """Raises LimitExceeded."""
        if len(session.subscriptions) >= self._max_per_session:
            raise LimitExceeded(f"too many subscriptions: the limit per connection is {self._max_per_session}")
        if self._count >= self._max:
            raise LimitExceeded(f"too many subscriptions: the limit of this server is {self._max}")
        terms = 0 if criteria is None else criteria.terms
        if self._terms + terms > self._max_terms:
            raise LimitExceeded(f"too many addresses and topics in subscriptions: the limit is {self._max_terms}")
        self._terms += terms
        subscription = Subscription(self._new_id(), kind, session, criteria)
        session.subscriptions[subscription.id] = subscription
        self._by_kind[kind][subscription.id] = subscription
        self._count += 1
        if criteria is not None:
            for address in criteria.addresses:
                self._by_address.setdefault(address, {})[subscription.id] = subscription
            if not criteria.addresses:
                self._any_address[subscription.id] = subscription
        return subscription

    def remove(self, subscription: Subscription) -> None:
        if self._by_kind[subscription.kind].pop(subscription.id, None) is None:
            return
        self._count -= 1
        self._any_address.pop(subscription.id, None)
        if subscription.criteria is not None:
            self._terms -= subscription.criteria.terms
            for address in subscription.criteria.addresses:
                watchers = self._by_address.get(address)
                if watchers is not None:
                    watchers.pop(subscription.id, None)
                    if not watchers:
                        del self._by_address[address]

    # Observer

    def block_committed(self, block: BlockRecord, logs: Sequence[LogRecord]) -> None:
        if self._by_kind[Kind.HEADS]:
            self._put(lambda: self._send_head(block.header))
        if logs and self._by_kind[Kind.LOGS]:
            self._put(lambda: self._send_logs(logs))

    def transaction_added(self, transaction: Transaction) -> None:
        if self._by_kind[Kind.PENDING] or self._by_kind[Kind.PENDING_FULL]:
            self._put(lambda: self._send_pending(transaction))

    def chain_reverted(self, height: int) -> None:
        """Subscribers see the heights of the next heads fall; logs of a devnet's past are not sent again."""

    def sync_changed(self, status: SyncStatus | None) -> None:
        if self._by_kind[Kind.SYNCING]:
            self._put(lambda: self._send_sync(status))

    def _put(self, event: Callable[[], Iterator[None]]) -> None:
        if len(self._events) >= MAX_WAITING_EVENTS:
            self._events.clear()
            self._lags = True
        if not self._lags:
            self._events.append(event)
        self._wake()

    # distribution

    def distribute(self) -> Iterator[None]:
        """Send what has happened; every `next` is a small step. Ends when nothing is left."""
        while self._events or self._lags:
            if self._lags:
                yield from self._disconnect_all()
                self._lags = False
                continue
            yield from self._events.popleft()()

    def _disconnect_all(self) -> Iterator[None]:
        sessions = {id(item.session): item.session for kind in self._by_kind.values() for item in kind.values()}
        for session in sessions.values():
            session.disconnect("events come faster than they can be sent")
            session.close()
            yield

    def _send_head(self, header: Header) -> Iterator[None]:
        return self._notify(Kind.HEADS, orjson.dumps(format_header(header)))

    def _send_pending(self, transaction: Transaction) -> Iterator[None]:
        yield from self._notify(Kind.PENDING, b'"0x%b"' % transaction.hash.hex().encode())
        if self._by_kind[Kind.PENDING_FULL]:
            yield from self._notify(Kind.PENDING_FULL, orjson.dumps(format_transaction(transaction)))

    def _send_sync(self, status: SyncStatus | None) -> Iterator[None]:
        shown: Any = False if status is None else {"syncing": True, "status": format_sync_status(status)}
        return self._notify(Kind.SYNCING, orjson.dumps(shown))

    def _notify(self, kind: Kind, result: bytes) -> Iterator[None]:
        for subscription in list(self._by_kind[kind].values()):
            subscription.notify(result)
            yield

    def _send_logs(self, logs: Sequence[LogRecord]) -> Iterator[None]:
        for record in logs:
            log = record.log
            watchers = self._by_address.get(log.address)
            candidates = [*self._any_address.values(), *(watchers.values() if watchers else ())]
            result = b""
            for subscription in candidates:
                if subscription.matches(log, record.block_number):
                    result = result or orjson.dumps(format_log(record))
                    subscription.notify(result)
                yield


# ---------------------------------------------------------------- methods


class NotificationsUnsupported(RpcError):
    code = METHOD_NOT_FOUND

    def __init__(self) -> None:
        super().__init__("notifications not supported", hint="connect with a WebSocket to subscribe")


class UnknownSubscription(RpcError):
    code = METHOD_NOT_FOUND

    def __init__(self, kind: str) -> None:
        super().__init__(f'no "{quote(kind)}" subscription in eth namespace')


@methods.add("eth_subscribe", arguments=(Argument("kind", parse_string), Argument("argument", parse_any, None)))
def subscribe(context: Context, name: str, argument: Any) -> str:
    if context.session is None:
        raise NotificationsUnsupported()
    if name == Kind.LOGS.value:
        criteria = parse_log_filter({} if argument is None else argument)
        check_alternatives(context, criteria)
        return context.session.subscribe(Kind.LOGS, criteria)
    if name == Kind.PENDING.value:
        full = argument is not None and parse_bool(argument)
        return context.session.subscribe(Kind.PENDING_FULL if full else Kind.PENDING)
    if name in (Kind.HEADS.value, Kind.SYNCING.value):
        return context.session.subscribe(Kind(name))
    raise UnknownSubscription(name)


@methods.add("eth_unsubscribe", arguments=(Argument("subscription", parse_string),))
def unsubscribe(context: Context, subscription_id: str) -> bool:
    if context.session is None:
        raise NotificationsUnsupported()
    return context.session.unsubscribe(subscription_id)
