"""Jobs come back verified from another process, whatever happens to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import trio

from dmchain.chain.sync.verify import VerifyRun, verify_run
from dmchain.node.verification import ProcessVerifier
from tests.chain.signed_chain import CHAIN_ID, SignedChain, Team

CHAIN = SignedChain(Team(("ann", "bob", "cyd", "dan"))).grow(6)


def job(number: int, first: int = 1, last: int = 3) -> VerifyRun:
    blocks = tuple(wire for height in range(first, last + 1) if (wire := CHAIN.wire(height)) is not None)
    return VerifyRun(number, first, blocks, CHAIN.team.set, CHAIN_ID)


def children() -> set[int]:
    listed = Path(f"/proc/self/task/{os.getpid()}/children")
    return {int(item) for task in listed.parents[1].iterdir() for item in (task / "children").read_text().split()}


async def warmed(verifier: ProcessVerifier) -> ProcessVerifier:
    """Its first process is up."""
    with trio.fail_after(20):
        while verifier._ready_pool(is_wanted=True) is None:
            await trio.sleep(0.02)
    return verifier


async def test_jobs_are_verified_elsewhere() -> None:
    verifier = ProcessVerifier(CHAIN.domain)
    before = children()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(verifier.run)
        results = [await verifier.verify(job(0))]  # in a thread: there is no process yet
        await warmed(verifier)

        async def ask(run: VerifyRun) -> None:
            results.append(await verifier.verify(run))

        async with trio.open_nursery() as asking:
            asking.start_soon(ask, job(1))
            asking.start_soon(ask, job(2, 4, 6))
        assert sorted(results, key=lambda result: result.number) == [
            verify_run(job(0), CHAIN.checker.is_signed),
            verify_run(job(1), CHAIN.checker.is_signed),
            verify_run(job(2, 4, 6), CHAIN.checker.is_signed),
        ]
        assert len(children() - before) >= 1
        nursery.cancel_scope.cancel()


async def test_a_process_that_dies_costs_nothing_but_time() -> None:
    verifier = ProcessVerifier(CHAIN.domain)
    before = children()
    await warmed(verifier)
    expected = verify_run(job(1), CHAIN.checker.is_signed).links
    assert (await verifier.verify(job(1))).links == expected
    for process in children() - before:
        if b"resource_tracker" not in Path(f"/proc/{process}/cmdline").read_bytes():
            os.kill(process, signal.SIGKILL)
    assert (await verifier.verify(job(2))).links == expected
    assert (await verifier.verify(job(3))).links == expected
    assert verifier._pool is None, "not tried again at once"


PROGRAM = """
import sys, time, trio
sys.path.insert(0, {root!r})
from tests.node.test_verification import job, warmed, CHAIN
from dmchain.node.verification import ProcessVerifier

async def main():
    verifier = await warmed(ProcessVerifier(CHAIN.domain))
    await verifier.verify(job(1))
    print("ready", flush=True)
    await trio.sleep(60)

if __name__ == "__main__":
    trio.run(main)
"""


def test_its_processes_end_with_a_node_that_is_killed(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(root=str(Path(__file__).resolve().parents[2])))
    process = subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    tasks = Path(f"/proc/{process.pid}/task")
    workers = {int(pid) for task in tasks.iterdir() for pid in (task / "children").read_text().split()}
    assert workers
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}/cmdline").exists() and _lives(pid) for pid in workers):
        assert time.monotonic() < deadline, "a worker outlives its node"
        time.sleep(0.05)


def _lives(pid: int) -> bool:
    try:
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
