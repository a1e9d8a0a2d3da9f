"""Verification of blocks in other processes: signatures are most of the work of block sync, and threads share one core.

Processes are started when the first job of some size comes and stopped when there has been none for a while. Small jobs
without one, and any when one dies, are verified in a thread.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Final

import trio

from dmchain.chain.consensus.signatures import SignatureChecker
from dmchain.chain.primitives.types import Hash32
from dmchain.chain.sync.verify import RunResult, VerifyRun, verify_run
from dmchain.node.worker import Worker

log = logging.getLogger("dmchain.sync")

IDLE_SECONDS: Final = 30.0
JOB_SECONDS: Final = 60.0
"""A job of 64 blocks with 300 signatures each takes one."""

RETRY_SECONDS: Final = 60.0
"""After a process has failed."""

FEW_BLOCKS: Final = 16
FEW_BYTES: Final = 256 * 1024
"""Not worth a process that takes half a second and 60 MiB to start: a node that was away for a moment."""

START_SECONDS: Final = 3.0
"""A job that is worth a process waits so long for it to start: in a thread it would hold up everything else."""

_checker: SignatureChecker | None = None
"""Of the worker process."""


def _set_up(domain: bytes) -> None:
    """In the worker: the node decides when it ends, and an interrupt from the terminal is meant for the node."""
    global _checker
    _checker = SignatureChecker(Hash32(domain))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()


def _end_with_parent() -> None:
    """Else a node that is killed would leave its workers waiting for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


def _greet() -> None:
    """The first job of a process: it is up when this is done."""


def _work(run: VerifyRun) -> RunResult:
    assert _checker is not None
    return verify_run(run, _checker.is_signed)


class WorkerVerifier:
    """Verifies jobs where a worker works: on the spot, for simulations."""

    def __init__(self, domain: Hash32, worker: Worker) -> None:
        self._checker = SignatureChecker(domain)
        self._worker = worker

    async def verify(self, run: VerifyRun) -> RunResult:
        return await self._worker.run(verify_run, run, self._checker.is_signed)

    async def run(self) -> None:
        await trio.sleep_forever()


class ProcessVerifier:
    """Verifies jobs of one chain. `domain` as `signbytes.compute_domain` makes it."""

    def __init__(self, domain: Hash32, processes: int = 1) -> None:
        self._domain = domain
        self._processes = processes
        self._pool: ProcessPoolExecutor | None = None
        self._greeting: Future[None] | None = None
        self._jobs = 0
        self._limiter = trio.CapacityLimiter(processes + 1)
        self._own = SignatureChecker(domain)
        self._used_at = 0.0
        self._retry_at = 0.0

    async def verify(self, run: VerifyRun) -> RunResult:
        self._jobs += 1
        try:
            is_large = len(run.blocks) > FEW_BLOCKS or sum([wire.size for wire in run.blocks]) > FEW_BYTES
            pool = self._ready_pool(is_wanted=is_large)
            if pool is None and is_large:
                pool = await self._started_pool()
            if pool is not None:
                try:
                    return await trio.to_thread.run_sync(
                        lambda: pool.submit(_work, run).result(JOB_SECONDS),
                        limiter=self._limiter,
                        abandon_on_cancel=True,
                    )
                except (BrokenProcessPool, TimeoutError, RuntimeError) as error:
                    self._fail(pool, error)
            return await trio.to_thread.run_sync(
                verify_run, run, self._own.is_signed, limiter=self._limiter, abandon_on_cancel=True
            )
        finally:
            self._jobs -= 1
            self._used_at = trio.current_time()

    async def run(self) -> None:
        """Stop idle processes, until cancelled; then stop all of them."""
        try:
            while True:
                await trio.sleep(IDLE_SECONDS / 2)
                if self._pool is not None and not self._jobs and trio.current_time() - self._used_at >= IDLE_SECONDS:
                    self._drop(self._pool)
        finally:
            if self._pool is not None:
                self._drop(self._pool)

    def _ready_pool(self, *, is_wanted: bool) -> ProcessPoolExecutor | None:
        """The pool when a process of it is up; begins to start one when it `is_wanted` and there is none."""
        pool, greeting = self._pool, self._greeting
        if pool is None:
            if is_wanted and trio.current_time() >= self._retry_at:
                # spawn: a fork would copy trio's state, the database's lock and half a gigabyte
                context = multiprocessing.get_context("spawn")
                self._pool = pool = ProcessPoolExecutor(self._processes, context, _set_up, (self._domain,))
                try:
                    self._greeting = pool.submit(_greet)
                except (OSError, RuntimeError) as failure:  # no memory, no process numbers left
                    self._fail(pool, failure)
            return None
        if greeting is None or not greeting.done():
            return None
        error = greeting.exception()
        if error is not None:
            self._fail(pool, error)
            return None
        return pool

    async def _started_pool(self) -> ProcessPoolExecutor | None:
        """The pool once a process of it is up; None when that takes too long, or fails."""
        greeting = self._greeting
        if self._pool is None or greeting is None:
            return None
        await trio.to_thread.run_sync(
            lambda: wait([greeting], START_SECONDS), limiter=self._limiter, abandon_on_cancel=True
        )
        return self._ready_pool(is_wanted=False)

    def _fail(self, pool: ProcessPoolExecutor, error: BaseException) -> None:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        log.warning("a verification process has failed: %s; verifying in a thread", reason)
        self._retry_at = trio.current_time() + RETRY_SECONDS
        self._drop(pool)

    def _drop(self, pool: ProcessPoolExecutor) -> None:
        """Its processes end with the job they have, which takes a second at most."""
        if self._pool is pool:
            self._pool = None
        pool.shutdown(wait=False, cancel_futures=True)
