"""What a node tells a monitoring system: collected when it is asked, and an HTTP listener for it alone.

The listener is apart from JSON-RPC, so that the one can be open to the world and the other to the monitoring system.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import trio

from dmchain.chain.blockchain import Blockchain
from dmchain.chain.mempool import Mempool
from dmchain.chain.primitives.errors import DmchainError
from dmchain.chain.primitives.transaction import Transaction
from dmchain.node.consensus.validator import ValidatorNode
from dmchain.node.metrics import (
    CONTENT_TYPE,
    INTERVAL_BUCKETS_SECONDS,
    Family,
    Histogram,
    Sample,
    counter,
    counters,
    gauge,
    histogram,
    render,
)
from dmchain.node.network.transport import Endpoint
from dmchain.node.sign_journal import FileJournal
from dmchain.rpc.backend import BlockRecord, LogRecord, SyncStatus
from dmchain.rpc.registry import CallCounts

log = logging.getLogger("dmchain.metrics")

MAX_REQUEST_BYTES: Final = 8 * 1024
REQUEST_SECONDS: Final = 5.0
MAX_CONNECTIONS: Final = 16


class BlockMeter:
    """Counts what is committed. An rpc.backend.Observer."""

    def __init__(self) -> None:
        self.blocks = 0
        self.transactions = 0
        self.gas = 0
        self.intervals = Histogram(INTERVAL_BUCKETS_SECONDS)
        self._last: float | None = None

    def block_committed(self, block: BlockRecord, logs: Sequence[LogRecord]) -> None:
        now = time.monotonic()
        self.blocks += 1
        self.transactions += len(block.transaction_hashes)
        self.gas += block.header.gas_used
        if self._last is not None:
            self.intervals.observe(now - self._last)
        self._last = now

    def transaction_added(self, transaction: Transaction) -> None:
        pass

    def chain_reverted(self, height: int) -> None:
        pass

    def sync_changed(self, status: SyncStatus | None) -> None:
        pass


class Monitor:
    """Reads a node's numbers; to be asked on the event loop. `validator` is None for a node that is alone."""

    def __init__(
        self,
        chain: Blockchain,
        pool: Mempool,
        meter: BlockMeter,
        calls: CallCounts,
        validator: Callable[[], ValidatorNode | None],
        version: str,
    ) -> None:
        self._chain = chain
        self._pool = pool
        self._meter = meter
        self._calls = calls
        self._validator = validator
        self._version = version
        self._started = time.time()

    def render(self) -> str:
        families = self._of_chain() + self._of_process()
        validator = self._validator()
        if validator is not None:
            families += _of_consensus(validator, self._chain.head.number)
        return render(families)

    def _of_chain(self) -> list[Family]:
        head, pool, meter = self._chain.head, self._pool.status(), self._meter
        chain_id = str(self._chain.rules.chain_id)
        return [
            gauge("dmchain_info", "Version and chain.", 1, version=self._version, chain_id=chain_id),
            gauge("dmchain_head_height", "Height of the newest block.", head.number),
            gauge("dmchain_head_timestamp_seconds", "Time of the newest block.", head.timestamp),
            gauge("dmchain_head_base_fee_wei", "Base fee of the newest block.", head.base_fee_per_gas or 0),
            counter("dmchain_blocks_total", "Blocks committed since the start.", meter.blocks),
            counter("dmchain_transactions_total", "Transactions in them.", meter.transactions),
            counter("dmchain_gas_total", "Gas used in them; its rate is gas per second.", meter.gas),
            histogram("dmchain_block_interval_seconds", "Between one commit and the next.", meter.intervals),
            Family(
                "dmchain_pool_transactions",
                "gauge",
                "Transactions waiting.",
                (Sample(pool.pending, {"state": "pending"}), Sample(pool.queued, {"state": "queued"})),
            ),
            counters("dmchain_rpc_calls_total", "JSON-RPC calls by method.", "method", self._calls.calls),
            counters("dmchain_rpc_errors_total", "Those answered with an error.", "method", self._calls.errors),
        ]

    def _of_process(self) -> list[Family]:
        """Under the names that all exporters use."""
        families = [
            counter("process_cpu_seconds_total", "User and system time.", time.process_time()),
            gauge("process_start_time_seconds", "When the process began.", self._started),
        ]
        try:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            files = len(os.listdir("/proc/self/fd"))
        except (OSError, ValueError, IndexError):  # not Linux
            return families
        memory = pages * os.sysconf("SC_PAGE_SIZE")
        return [
            *families,
            gauge("process_resident_memory_bytes", "Memory in use.", memory),
            gauge("process_open_fds", "Open files and sockets.", files),
        ]


def _of_consensus(validator: ValidatorNode, head: int) -> list[Family]:
    view, manager = validator.view, validator.manager
    status, peers, counts, sync = view.consensus(), view.peers(), validator.manager.counters, validator.sync
    total = sum([each.power for each in status.validators])
    own = sum([each.power for each in status.validators if each.address == status.address])
    families = [
        gauge("dmchain_consensus_height", "The height being decided.", status.height),
        gauge("dmchain_consensus_round", "Its round; -1 while there is no work.", status.round),
        gauge(
            "dmchain_consensus_step", "0 idle, 1 propose, 2 prevote, 3 precommit, 4 commit, 5 halted.", int(view.step)
        ),
        gauge("dmchain_consensus_epoch", "Epoch of the height.", status.epoch),
        gauge("dmchain_consensus_signing", "1 while this node signs.", int(status.is_signing)),
        gauge("dmchain_validators", "Validators of the epoch.", len(status.validators)),
        gauge("dmchain_voting_power", "Their voting power.", total),
        gauge("dmchain_own_voting_power", "This node's share of it.", own),
        gauge("dmchain_sync_active", "1 while block sync moves the head, 0 once consensus does.", int(sync.is_syncing)),
        gauge("dmchain_sync_target_height", "Where the chain is, as peers say.", max(head, sync.target)),
        gauge("dmchain_sync_behind_blocks", "How far that is ahead.", max(0, sync.target - head)),
        gauge("dmchain_healthy", "0 when /health answers 503.", int(view.problem() is None)),
        Family(
            "dmchain_peers",
            "gauge",
            "Connected nodes.",
            (
                Sample(sum([peer.is_outbound for peer in peers]), {"direction": "out"}),
                Sample(sum([not peer.is_outbound for peer in peers]), {"direction": "in"}),
            ),
        ),
        counter("dmchain_peers_accepted_total", "Nodes admitted.", counts.accepted),
        counter("dmchain_peers_refused_total", "Nodes turned away.", counts.refused),
        counter("dmchain_peer_handshakes_failed_total", "Handshakes that failed.", counts.failed_handshakes),
        counter("dmchain_peer_offences_total", "Misbehaviour of peers.", counts.offences),
        counter("dmchain_peer_bans_total", "Peers banned for it.", counts.bans),
        gauge(
            "dmchain_peer_queued_bytes", "Waiting to be sent.", sum([each.queued_bytes for each in manager.connections])
        ),
    ]
    if isinstance(validator.journal, FileJournal):
        written = validator.journal.write_seconds
        families.append(histogram("dmchain_journal_write_seconds", "An append to the sign journal, synced.", written))
    return families


# ---------------------------------------------------------------- the listener


async def serve_metrics(
    endpoint: Endpoint,
    get_text: Callable[[], str],
    *,
    task_status: trio.TaskStatus[Endpoint] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer `GET /metrics` until cancelled; `started()` gives the endpoint with the real port.

    What a client does wrong ends its own connection. Raises DmchainError when the address cannot be had.
    """
    try:
        listeners = await trio.open_tcp_listeners(endpoint.port, host=endpoint.host)
    except OSError as error:
        raise DmchainError(
            f"metrics.listen: cannot listen on {endpoint}: {error.strerror or error}", hint="another port, or none"
        ) from error
    free = trio.Semaphore(MAX_CONNECTIONS)
    task_status.started(Endpoint(*listeners[0].socket.getsockname()[:2]))
    await trio.serve_listeners(partial(_serve_client, free, get_text), listeners)


async def _serve_client(free: trio.Semaphore, get_text: Callable[[], str], stream: trio.SocketStream) -> None:
    """One request and its answer: monitoring systems ask every few seconds, a connection each is cheap."""
    async with stream:
        try:
            free.acquire_nowait()
        except trio.WouldBlock:
            return
        try:
            with trio.move_on_after(REQUEST_SECONDS):
                request = await _read_request(stream)
                if request is not None:
                    await stream.send_all(_answer(request, get_text))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        except Exception:
            log.exception("metrics failed")
        finally:
            free.release()


async def _read_request(stream: trio.SocketStream) -> list[bytes] | None:
    """Method and target; None when no request comes that could be answered."""
    head = b""
    while b"\r\n\r\n" not in head:
        data = await stream.receive_some(MAX_REQUEST_BYTES)
        head += data
        if not data or len(head) > MAX_REQUEST_BYTES:
            return None
    return head.split(b"\r\n", 1)[0].split(b" ")


def _answer(request: list[bytes], get_text: Callable[[], str]) -> bytes:
    if len(request) != 3 or not request[2].startswith(b"HTTP/1."):
        return _respond("400 Bad Request", "expected HTTP/1.1\n")
    method, target, _ = request
    if method not in (b"GET", b"HEAD"):
        return _respond("405 Method Not Allowed", "metrics are GET /metrics\n")
    if target.partition(b"?")[0] != b"/metrics":
        return _respond("404 Not Found", "metrics are at /metrics\n")
    return _respond("200 OK", get_text(), has_body=method == b"GET")


def _respond(status: str, text: str, *, has_body: bool = True) -> bytes:
    body = text.encode()
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (body if has_body else b"")
