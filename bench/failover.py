"""What the loss of one of four validators costs: kill -9 one of them under a trickle of transactions.

    python bench/failover.py [--kills 4] [--after 8]

After each kill `--after` transactions are sent to another node, each when the one before is in a block. One in four heights
is the dead validator's to propose: it waits for the propose timeout (3 s) and goes to the second round. Then the validator
is started again, and the time is taken until it signs.
"""

# ruff: noqa: E402  (the imports need the checkout on sys.path)

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from dmchain.chain.consensus.timing import ConsensusParams
from tests.node.test_network_processes import Validator, transfer

VALIDATORS = 4
DEADLINE_S = 60.0
POLL_S = 0.005


def make_network(folder: Path) -> list[Validator]:
    command = [sys.executable, "-m", "dmchain", "testnet", "--validators", str(VALIDATORS), "--output", str(folder),
               "--light", "--rpc-port", "0", "--p2p-port", "0"]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    return [Validator(folder / f"validator-{number}") for number in range(VALIDATORS)]


def mine(node: Validator, nonces: Iterator[int]) -> float:
    """Seconds from sending a transaction to its receipt."""
    began = time.perf_counter()
    sent = node.call("eth_sendRawTransaction", transfer(0, next(nonces)))
    while node.call("eth_getTransactionReceipt", sent) is None:
        if time.perf_counter() - began > DEADLINE_S:
            raise TimeoutError(f"{sent}: in no block after {DEADLINE_S:g} s")
        time.sleep(POLL_S)
    return time.perf_counter() - began


def until_signing(node: Validator) -> float:
    began = time.perf_counter()
    while not node.call("dm_nodeInfo")["consensus"]["signing"]:
        if time.perf_counter() - began > DEADLINE_S:
            raise TimeoutError(f"does not sign after {DEADLINE_S:g} s")
        time.sleep(POLL_S)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description="One of four validators killed.")
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--after", type=int, default=8, help="transactions after each kill")
    options = parser.parse_args()
    limit = ConsensusParams().propose_ms / 1000 + 0.5
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; aim: a block within {limit:g} s")
    with tempfile.TemporaryDirectory() as folder:
        nodes = make_network(Path(folder))
        nonces = iter(range(10**6))
        try:
            for node in nodes:
                node.start()
            calm = [mine(nodes[0], nonces) for _ in range(20)]
            print(f"all there: p50 {statistics.median(calm) * 1000:.0f} ms")
            for number in range(options.kills):
                victim = nodes[1 + number % (VALIDATORS - 1)]
                victim.kill()
                taken = [mine(nodes[0], nonces) for _ in range(options.after)]
                slow = [seconds for seconds in taken if seconds > limit]
                victim.start()
                back = until_signing(victim)
                print(
                    f"one killed: next block {taken[0]:.2f} s, slowest of {options.after} {max(taken):.2f} s, "
                    f"{len(slow)} above the aim; signs again {back:.2f} s after its start",
                    flush=True,
                )
        finally:
            for node in nodes:
                node.kill()


if __name__ == "__main__":
    main()
