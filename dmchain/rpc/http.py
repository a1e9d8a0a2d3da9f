"""The server: HTTP/1.1 and WebSocket on one port, h11 and wsproto on trio.

    accept -> HttpConnection: request by request -- Upgrade --> WebSocketConnection

Error handling: what a client does wrong ends at worst its own connection; an unexpected exception in a connection is
logged and ends that connection alone. JSON-RPC errors travel with HTTP status 200, because wallets take other statuses
for a dead endpoint; other statuses are used for what is no JSON-RPC (403 Host or Origin, 404, 405, 413, 415, 503).
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import trio

from dmchain.chain.primitives.transaction import Transaction
from dmchain.rpc.api import build_methods
from dmchain.rpc.backend import Backend, BlockRecord, LogRecord, Observer, SyncStatus
from dmchain.rpc.compression import ByteBudget
from dmchain.rpc.config import MethodLimits, ServerConfig
from dmchain.rpc.connection import HttpConnection
from dmchain.rpc.filters import FilterTable
from dmchain.rpc.guard import host_rule, origin_rule
from dmchain.rpc.registry import CallCounts, Context, Dispatcher
from dmchain.rpc.subscriptions import Hub
from dmchain.rpc.workers import BlockBell, Workers

logger = logging.getLogger("dmchain.rpc")

_DISTRIBUTE_STEPS = 64
"""Notifications queued before other tasks get a turn."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the server listens."""

    host: str
    port: int

    @property
    def http_url(self) -> str:
        return f"http://{self._netloc}"

    @property
    def ws_url(self) -> str:
        return f"ws://{self._netloc}"

    @property
    def _netloc(self) -> str:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


async def serve(
    config: ServerConfig,
    backend: Backend,
    limits: MethodLimits | None = None,
    *,
    stop: trio.Event | None = None,
    counts: CallCounts | None = None,
    task_status: trio.TaskStatus[Endpoint] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled, or until `stop` is set and running requests have had `config.shutdown_seconds`.

    `counts` are kept up to date for whoever watches.

    `started()` gives the address as soon as clients can connect. Raises OSError when the port cannot be had.
    """
    server = Server(config, backend, limits or MethodLimits(), counts)
    listeners = await trio.open_tcp_listeners(config.port, host=config.host)
    forget = backend.chain.observe(server)
    try:
        async with trio.open_nursery() as connections:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(server.distribute)
                await nursery.start(
                    partial(trio.serve_listeners, server.handle, listeners, handler_nursery=connections)
                )
                host, port = listeners[0].socket.getsockname()[:2]
                task_status.started(Endpoint(host, port))
                await (trio.Event() if stop is None else stop).wait()
                server.shut_down()
                nursery.cancel_scope.cancel()
            connections.cancel_scope.deadline = trio.current_time() + config.shutdown_seconds
    finally:
        forget()


class Server:
    """What all connections share. An Observer of the chain: it passes events on to filters, subscriptions, waiters."""

    def __init__(
        self, config: ServerConfig, backend: Backend, limits: MethodLimits, counts: CallCounts | None = None
    ) -> None:
        self.config = config
        self.backend = backend
        self.limits = limits
        self.is_host_allowed = host_rule(config.vhosts)
        self.is_origin_allowed = origin_rule(config.cors_origins)
        self.is_closing = False
        self.unsent = ByteBudget(config.max_unsent_bytes)
        self.requests = ByteBudget(config.max_request_bytes_held)
        self.filters = FilterTable(limits.max_filters, limits.max_filter_terms, limits.filter_lifetime_seconds, new_id)
        self.hub = Hub(limits, new_id, self._wake)
        bell = BlockBell()
        self.workers = Workers(Dispatcher(build_methods(backend), report_bug, counts), config, bell)
        self._observers: tuple[Observer, ...] = (self.filters, self.hub, bell)
        self._events = trio.Event()
        self._open: set[HttpConnection] = set()
        self.idle: dict[HttpConnection, None] = {}

    def new_context(self) -> Context:
        return Context(self.backend, self.limits, self.filters, trio.current_time())

    # connections

    async def handle(self, stream: trio.SocketStream) -> None:
        """Serve one connection to its end; never raises but Cancelled."""
        connection = HttpConnection(self, stream)
        async with stream:
            if len(self._open) >= self.config.max_connections and not self._evict_idle():
                await connection.refuse()
                return
            self._open.add(connection)
            try:
                await connection.run()
            except Exception:
                logger.exception("connection failed")
            finally:
                self._open.discard(connection)
                self.idle.pop(connection, None)

    def _evict_idle(self) -> bool:
        """Close the connection that has been idle longest; False when all are busy."""
        for connection in self.idle:
            del self.idle[connection]
            connection.close()
            return True
        return False

    def shut_down(self) -> None:
        """Let running requests finish, close what is idle."""
        self.is_closing = True
        for connection in list(self._open):
            connection.shut_down(connection in self.idle)

    # events

    async def distribute(self) -> None:
        """Send notifications to subscribers, in slices."""
        while True:
            await self._events.wait()
            self._events = trio.Event()
            try:
                for step, _ in enumerate(self.hub.distribute(), 1):
                    if step % _DISTRIBUTE_STEPS == 0:
                        await trio.lowlevel.checkpoint()
            except Exception:
                logger.exception("notifying subscribers failed")

    def _wake(self) -> None:
        self._events.set()

    def block_committed(self, block: BlockRecord, logs: Sequence[LogRecord]) -> None:
        for observer in self._observers:
            observer.block_committed(block, logs)

    def transaction_added(self, transaction: Transaction) -> None:
        for observer in self._observers:
            observer.transaction_added(transaction)

    def chain_reverted(self, height: int) -> None:
        for observer in self._observers:
            observer.chain_reverted(height)

    def sync_changed(self, status: SyncStatus | None) -> None:
        for observer in self._observers:
            observer.sync_changed(status)


def new_id() -> str:
    """An id for a filter or subscription that nobody can guess."""
    return "0x" + secrets.token_hex(16)


def report_bug(method: str, error: BaseException) -> None:
    logger.error("%s failed unexpectedly", method, exc_info=error)
