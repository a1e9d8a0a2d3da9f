"""Consensus alone: real cores, journals on disk and encrypted sockets, without execution, pool or database.

    python bench/consensus.py [--validators 4,7] [--heights 400] [--interval-ms 50] [--json FILE]

Every validator is a process with the host, intake, sign journal and network of a node over a chain that is a number. The
time is that of the proposer, from asking the application for a block to its decision: proposal, two votes of everybody,
three journal appends, each synced. With --interval-ms 1 heights follow each other at once.
"""

# ruff: noqa: E402  (the imports need the checkout on sys.path)

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

import trio

from dmchain.chain.consensus.commit import Commit
from dmchain.chain.consensus.messages import Candidate
from dmchain.chain.consensus.proposer import ProposerSchedule
from dmchain.chain.consensus.signatures import SignatureChecker
from dmchain.chain.consensus.signbytes import compute_domain
from dmchain.chain.consensus.timing import ConsensusParams
from dmchain.chain.consensus.validators import Validator, ValidatorSet
from dmchain.chain.primitives.codec import encode
from dmchain.chain.primitives.crypto import PrivateKey, keccak
from dmchain.chain.primitives.types import Hash32
from dmchain.node.consensus.application import peek_hash
from dmchain.node.consensus.epochs import Epoch
from dmchain.node.consensus.host import ConsensusHost
from dmchain.node.network.addresses import Target
from dmchain.node.network.identity import ChainIdentity, NodeKey
from dmchain.node.network.messages import (
    ConsensusBody,
    ConsensusMessage,
    Push,
    Refusal,
    RefusalCode,
    Reply,
    Request,
    Status,
)
from dmchain.node.network.peer import Peer
from dmchain.node.network.peers import PeerManager, PeersConfig
from dmchain.node.network.transport import Endpoint, TcpNetwork
from dmchain.node.sign_journal import FileJournal
from dmchain.node.testnet import free_ports
from dmchain.node.worker import InlineWorker, PatientWorker

CHAIN_ID = 1337
GENESIS = Hash32(keccak(b"consensus alone"))
WARM_UP = 20
DEADLINE_S = 120.0


def key_of(kind: str, number: int) -> PrivateKey:
    return PrivateKey(keccak(f"{kind} {number}".encode()))


# ---------------------------------------------------------------- a chain that is a number


class NumberChain:
    """What the host asks of an application and its producer; blocks are names of heights."""

    def __init__(self, count: int, number: int, params: ConsensusParams) -> None:
        members = [Validator.from_public_key(key_of("consensus", each).public_key, 1) for each in range(count)]
        validators = ValidatorSet.from_unordered(members)
        self._epoch = Epoch(0, 1, validators, ProposerSchedule(validators.powers), 1)
        self.params = params
        self.own = key_of("consensus", number).address
        self.chain = SimpleNamespace(head=SimpleNamespace(number=0))
        self.epochs = SimpleNamespace(at=lambda height: self._epoch, find=lambda height: self._epoch)
        self.producer = self
        self.milliseconds: list[float] = []
        self._asked_at = 0.0
        self._decided: dict[int, tuple[Candidate, Commit]] = {}

    # the producer
    async def wait_for_work(self) -> None:
        await trio.lowlevel.checkpoint()

    def has_work(self) -> bool:
        return True

    def offer(self) -> None: ...

    def drop_refused(self, offer: None) -> None: ...

    # the application
    def useful_evidence(self) -> tuple[()]:
        return ()

    def draft(self, last_commit: Any) -> int:
        self._asked_at = time.perf_counter()
        height: int = self.chain.head.number + 1
        return height

    def build(self, height: int, offer: None) -> Candidate:
        stamp = int(time.time() * 1000).to_bytes(8, "big")
        body = encode([[[height.to_bytes(8, "big"), stamp, self.own]]])
        return Candidate(peek_hash(body), body)

    def validate(self, candidate: Candidate) -> None: ...

    def decode(self, body: bytes) -> None: ...

    def record_of(self, candidate: Candidate) -> Any:
        return SimpleNamespace(proposer=candidate.body[-20:], timestamp_ms=int(time.time() * 1000))

    def seen_commit(self, height: int) -> Commit | None:
        return self._decided[height][1] if height else None

    def decided(self, height: int) -> tuple[Candidate, Commit] | None:
        return self._decided.get(height)

    def commit(self, candidate: Candidate, commit: Commit) -> Any:
        self.chain.head.number += 1
        self._decided[commit.height] = candidate, commit
        if candidate.body[-20:] == self.own and self._asked_at:
            self.milliseconds.append((time.perf_counter() - self._asked_at) * 1000)
        self._asked_at = 0.0
        block = SimpleNamespace(transactions=())
        return SimpleNamespace(block=block, outcome=SimpleNamespace(changes=SimpleNamespace(undo=())))

    def follow_head(self, changed: Any = None) -> None: ...


# ---------------------------------------------------------------- one validator


class Wiring:
    """PeerHandler and Wire in one."""

    manager: PeerManager
    host: ConsensusHost

    def __init__(self) -> None:
        self._peers: dict[int, Peer] = {}

    def on_peer(self, peer: Peer) -> None:
        self._peers[peer.number] = peer

    async def on_message(self, peer: Peer, message: Push) -> None:
        if isinstance(message, ConsensusMessage | ConsensusBody):
            await self.host.receive(peer.number, message.payload)

    async def on_request(self, peer: Peer, request: Request) -> Reply:
        return Refusal(RefusalCode.UNSUPPORTED, "not served here")

    def on_gone(self, peer: Peer, reason: str) -> None:
        self._peers.pop(peer.number, None)
        self.host.forget_peer(peer.number)

    def broadcast(self, payload: bytes, *, has_body: bool) -> None:
        self.send_to(self.peers(), payload, has_body=has_body)

    def send(self, peer: int, payload: bytes, *, has_body: bool) -> None:
        self.send_to([peer], payload, has_body=has_body)

    def send_to(self, peers: list[int], payload: bytes, *, has_body: bool) -> None:
        envelope = ConsensusBody(payload) if has_body else ConsensusMessage(payload)
        self.manager.send_to([self._peers[peer] for peer in peers if peer in self._peers], envelope)

    def peers(self) -> list[int]:
        return list(self._peers)

    def fault(self, peer: int, reason: str) -> None:
        print(f"fault of peer {peer}: {reason}", file=sys.stderr)

    def behind(self, peer: int, height: int) -> None: ...


async def run_validator(number: int, ports: list[int], heights: int, interval_ms: int, folder: Path) -> None:
    """Take part until the end of standard input; print what was measured when `heights` are decided."""
    params = ConsensusParams(minimum_block_interval_ms=interval_ms)
    app: Any = NumberChain(len(ports), number, params)
    key, wiring = key_of("consensus", number), Wiring()
    checker = SignatureChecker(compute_domain(CHAIN_ID, GENESIS))
    done = trio.Event()

    def on_block(executed: Any) -> None:
        if app.chain.head.number >= heights:
            done.set()

    with FileJournal.create(folder / f"{number}.journal", key.address) as journal:
        host = ConsensusHost(
            app, checker, key, journal, wiring, clock=time.time, rng=Random(number), worker=InlineWorker(),
            journal_worker=PatientWorker(), on_block=on_block,
        )  # fmt: skip
        targets = [
            Target(Endpoint("127.0.0.1", port), key_of("node", other).address)
            for other, port in enumerate(ports)
            if other != number
        ]
        manager = PeerManager(
            TcpNetwork(), NodeKey(key_of("node", number)), ChainIdentity(CHAIN_ID, GENESIS),
            PeersConfig(listen=Endpoint("127.0.0.1", ports[number]), targets=tuple(targets)),
            wiring, lambda: Status(app.chain.head.number, GENESIS, 1), Random(os.urandom(8)),
        )  # fmt: skip
        wiring.host, wiring.manager = host, manager
        async with trio.open_nursery() as nursery:
            await nursery.start(manager.run)
            while len(wiring.peers()) < len(ports) - 1:
                await trio.sleep(0.01)
            await trio.sleep(0.3)
            nursery.start_soon(host.run)
            began, cpu = time.perf_counter(), time.process_time()
            host.resume()
            with trio.fail_after(DEADLINE_S):
                await done.wait()
            seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
            appends = journal.write_seconds
            result = {
                "milliseconds": app.milliseconds[WARM_UP // len(ports) :],
                "heights_per_second": heights / seconds,
                "cpu_ms": cpu_seconds * 1000 / heights,
                "journal_ms": appends.total / max(sum(appends.counts), 1) * 1000,
            }
            print(json.dumps(result), flush=True)
            await trio.to_thread.run_sync(sys.stdin.read)  # the others may need its votes
            nursery.cancel_scope.cancel()


# ---------------------------------------------------------------- all of them


@dataclass(frozen=True, slots=True)
class Result:
    """Milliseconds from asking for a block to its decision; CPU of one node for a height; one synced append."""

    validators: int
    p50_ms: float
    p99_ms: float
    samples: int
    heights_per_second: float
    cpu_ms: float
    journal_ms: float


def percentile(values: list[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def measure(count: int, heights: int, interval_ms: int) -> Result:
    ports = free_ports(count)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--heights", str(heights), "--interval-ms", str(interval_ms),
                   "--folder", folder, "--ports", ",".join(map(str, ports)), "--node"]  # fmt: skip
        nodes = [
            subprocess.Popen([*command, str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            for number in range(count)
        ]
        told = [json.loads(node.stdout.readline()) for node in nodes if node.stdout is not None]
        for node in nodes:
            node.communicate()
    values = [each for node in told for each in node["milliseconds"]]
    mean: Callable[[str], float] = lambda name: statistics.mean([node[name] for node in told])  # noqa: E731
    return Result(
        count,
        statistics.median(values),
        percentile(values, 0.99),
        len(values),
        mean("heights_per_second"),
        mean("cpu_ms"),
        mean("journal_ms"),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Consensus alone, with durability, on loopback.")
    parser.add_argument("--validators", default="4,7", help="sizes of the networks")
    parser.add_argument("--heights", type=int, default=400)
    parser.add_argument("--interval-ms", type=int, default=50, help="between the beginnings of heights")
    parser.add_argument("--json", type=Path, help="write the results there")
    parser.add_argument("--node", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--ports", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.node is not None:
        ports = [int(port) for port in options.ports.split(",")]
        work = (options.node, ports, options.heights, options.interval_ms, options.folder)
        trio.run(run_validator, *work)
        return
    print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {options.heights} heights, {options.interval_ms} ms apart"
    )
    print(f"{'validators':>10} {'p50 ms':>8} {'p99 ms':>8} {'heights/s':>10} {'CPU ms':>7} {'append ms':>10}")
    results = []
    for count in [int(text) for text in options.validators.split(",")]:
        found = measure(count, options.heights, options.interval_ms)
        results.append(found)
        print(
            f"{count:>10} {found.p50_ms:>8.1f} {found.p99_ms:>8.1f} {found.heights_per_second:>10.1f} {found.cpu_ms:>7.1f}"
            f" {found.journal_ms:>10.2f}",
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps([asdict(found) for found in results], indent=2) + "\n")


if __name__ == "__main__":
    main()
