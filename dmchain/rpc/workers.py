"""Runs requests under trio: light calls on the spot, heavy ones in worker threads, waiting ones until a block comes.

No call can hold up others: heavy calls share a few threads and one bounded queue, every call and every batch has a
deadline, and a batch lets other connections run between its entries.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio

from dmchain.chain.primitives.transaction import Transaction
from dmchain.rpc.backend import BlockRecord, LogRecord, SyncStatus
from dmchain.rpc.config import ServerConfig
from dmchain.rpc.errors import CallTimeout, LimitExceeded, ServerBusy
from dmchain.rpc.jsonrpc import Entry, encode_batch
from dmchain.rpc.registry import Context, Dispatcher, Job

_SLICE_SECONDS = 0.002
"""Light entries of a batch run so long before others get a turn."""


class BlockBell:
    """Rings after every block; an Observer."""

    def __init__(self) -> None:
        self._rung = trio.Event()

    async def wait(self) -> None:
        await self._rung.wait()

    def ring(self) -> None:
        self._rung.set()
        self._rung = trio.Event()

    def block_committed(self, block: BlockRecord, logs: Sequence[LogRecord]) -> None:
        self.ring()

    def transaction_added(self, transaction: Transaction) -> None:
        """Nothing waits for it."""

    def chain_reverted(self, height: int) -> None:
        self.ring()

    def sync_changed(self, status: SyncStatus | None) -> None:
        """Nothing waits for it."""


class Workers:
    """Answers requests; one for all connections of a server."""

    def __init__(self, dispatcher: Dispatcher, config: ServerConfig, bell: BlockBell) -> None:
        self._dispatcher = dispatcher
        self._config = config
        self._bell = bell
        self._threads = trio.CapacityLimiter(config.heavy_threads)
        self._waiting = 0

    def start(self, entry: Entry, context: Context) -> bytes | Job:
        """The answer of a light call, or a job for `finish`."""
        return self._dispatcher.start(entry, context)

    async def finish(self, job: Job, context: Context, timeout: float | None = None) -> bytes:
        """Run a job to its answer; `timeout` in seconds bounds it further."""
        limit = (
            self._config.heavy_timeout_seconds if timeout is None else min(timeout, self._config.heavy_timeout_seconds)
        )
        deadline = trio.current_time() + limit
        while True:
            if job.work is not None:
                step = await self._run_in_thread(job, context, deadline)
            else:
                assert job.deferred is not None
                patience = job.deferred.timeout_seconds
                step = await self._wait(job, patience if timeout is None else min(patience, timeout))
            if isinstance(step, bytes):
                return step
            job = step

    async def _run_in_thread(self, job: Job, context: Context, deadline: float) -> bytes | Job:
        if self._waiting >= self._config.max_heavy_waiting:
            limit = self._config.max_heavy_waiting
            return self._dispatcher.fail(job, ServerBusy(f"more than {limit} heavy calls are waiting"))
        self._waiting += 1
        try:
            with trio.move_on_at(deadline):
                return await trio.to_thread.run_sync(
                    self._dispatcher.run, job, abandon_on_cancel=True, limiter=self._threads
                )
            return self._dispatcher.fail(job, CallTimeout())
        finally:
            # Whatever ended the wait: if the thread still runs, nobody wants its result any more.
            context.stop.requested = True
            self._waiting -= 1

    async def _wait(self, job: Job, timeout: float) -> bytes:
        answer = self._dispatcher.poll(job)
        if answer is None:
            with trio.move_on_after(timeout):
                while answer is None:
                    await self._bell.wait()
                    answer = self._dispatcher.poll(job)
        return self._dispatcher.expire(job) if answer is None else answer

    async def answer_batch(self, entries: Sequence[Entry], new_context: Callable[[], Context]) -> bytes:
        """Entries one after the other, in order, within a time and a size; b"" when there is nothing to send.

        Transactions sent one after the other wait for their blocks together: a devnet that makes a block of what it
        has would make a hundred blocks of a hundred. Whatever comes after them sees them settled.
        """
        config = self._config
        deadline = trio.current_time() + config.batch_timeout_seconds
        slice_end = trio.current_time() + _SLICE_SECONDS
        answers: list[bytes] = []
        waiting: list[tuple[int, Job, Context]] = []
        waiting_method = ""
        size = 0

        async def settle() -> None:
            for index, job, context in waiting:
                answers[index] = await self.finish(job, context, max(0.0, deadline - trio.current_time()))
            waiting.clear()

        for entry in entries:
            if waiting and getattr(entry, "method", "") != waiting_method:
                await settle()
            now = trio.current_time()
            if now >= slice_end:
                await trio.lowlevel.checkpoint()
                now = trio.current_time()
                slice_end = now + _SLICE_SECONDS
            if size > config.max_response_bytes:
                problem = f"response too large: the limit of a batch is {config.max_response_bytes} bytes"
                answers.append(self._dispatcher.refuse(entry, LimitExceeded(problem)))
                continue
            if now >= deadline:
                answers.append(self._dispatcher.refuse(entry, CallTimeout("batch timed out")))
                continue
            context = new_context()
            step = self._dispatcher.start(entry, context)
            if not isinstance(step, bytes):
                if step.deferred is not None:
                    waiting.append((len(answers), step, context))
                    waiting_method = step.method
                    answers.append(b"")
                    continue
                step = await self.finish(step, context, deadline - now)
                slice_end = trio.current_time() + _SLICE_SECONDS
            answers.append(step)
            size += len(step)
        await settle()
        return encode_batch(answers)
