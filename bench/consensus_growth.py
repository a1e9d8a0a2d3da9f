"""How consensus grows with the number of validators, in simulation: messages, bytes, CPU and virtual time of a height.

    python bench/consensus_growth.py [--validators 4,7,21,50,100] [--heights 20] [--link-ms 50] [--json FILE]

The cores of `dmchain sim` on perfect links of half to one and a half times `--link-ms`, everybody connected to everybody,
no execution. CPU is that of all cores together on one processor of this machine, without signatures and sockets; what
signatures cost is computed from one check of this machine: a node checks two votes of each validator and a proposal.
"""

# ruff: noqa: E402  (the imports need the checkout on sys.path)

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from dmchain.chain.consensus.encoding import encode_message
from dmchain.chain.consensus.messages import ProposalMessage
from dmchain.chain.primitives.crypto import PrivateKey, keccak, recover_address
from dmchain.node.sim.plan import MILLISECOND, FaultPlan
from dmchain.node.sim.world import World

SEED = 1


@dataclass(frozen=True, slots=True)
class Row:
    """Of one height, network-wide where it does not say otherwise. `latency_ms` virtual, from the proposal to the decision
    of the last node; `cpu_ms` and `signatures_ms` of one node."""

    validators: int
    messages: float
    kilobytes: float
    node_kilobytes: float
    latency_ms: float
    worst_ms: float
    cpu_ms: float
    signatures_ms: float


class Counted(World):
    """A world that counts bytes and notes when heights begin and end."""

    def __init__(self, plan: FaultPlan) -> None:
        super().__init__(plan)
        self.bytes = 0
        self.proposed: dict[int, int] = {}
        self.decided: dict[int, int] = defaultdict(int)
        self._sizes: dict[int, tuple[Any, int]] = {}
        carry = self.network.carry

        def count(sender: int, receiver: int, message: Any) -> None:
            self.bytes += self._size(message)
            carry(sender, receiver, message)

        self.network.carry = count  # type: ignore[method-assign]

    def _size(self, message: Any) -> int:
        """A message goes to many: encoded once."""
        known = self._sizes.get(id(message))
        if known is None or known[0] is not message:
            if len(self._sizes) > 1_000:
                self._sizes.clear()
            known = self._sizes[id(message)] = message, len(encode_message(message))
            if isinstance(message, ProposalMessage):
                self.proposed.setdefault(message.proposal.height, self.now)
        return known[1]

    def note(self, node: Any, decide: Any) -> None:
        super().note(node, decide)
        self.decided[decide.height] = max(self.decided[decide.height], self.now)


def measure_check_ms() -> float:
    """One signature check by recovery."""
    key, digest = PrivateKey(keccak(b"bench")), keccak(b"digest")
    parity, r, s = key.sign(digest)
    count = 2_000
    began = time.process_time()
    for _ in range(count):
        recover_address(digest, parity, r, s)
    return (time.process_time() - began) / count * 1000


def measure(validators: int, heights: int, link_ms: int, check_ms: float) -> Row:
    world = Counted(
        FaultPlan(
            seed=SEED,
            nodes=validators,
            target_height=heights,
            powers=((1,) * validators,),
            epoch_heights=1_000_000,
            byzantine={},
            base_delay=link_ms * MILLISECOND // 2,
            jitter=link_ms * MILLISECOND,
        )
    )
    began = time.process_time()
    world.run()
    seconds = time.process_time() - began
    # the last height may be under way at some nodes; the first one waits for its start
    measured = [height for height in world.proposed if 1 < height < heights]
    latencies = [(world.decided[height] - world.proposed[height]) / MILLISECOND for height in measured]
    return Row(
        validators,
        world.network.messages / heights,
        world.bytes / heights / 1000,
        world.bytes / heights / 1000 / validators,
        statistics.median(latencies),
        max(latencies),
        seconds / heights / validators * 1000,
        (2 * validators + 1) * check_ms,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Growth of consensus with the number of validators, simulated.")
    parser.add_argument("--validators", default="4,7,21,50,100")
    parser.add_argument("--heights", type=int, default=20)
    parser.add_argument("--link-ms", type=int, default=50, help="mean one-way delay")
    parser.add_argument("--json", type=Path, help="write the results there")
    options = parser.parse_args()
    check_ms = measure_check_ms()
    print(
        f"load {os.getloadavg()[0]:.1f}; {options.heights} heights, links of {options.link_ms} ms; one check {check_ms:.3f} ms"
    )
    print(
        f"{'validators':>10} {'messages':>9} {'kB':>8} {'kB/node':>8} {'ms':>6} {'worst':>6} {'CPU/node':>9} {'signatures':>11}"
    )
    rows = []
    for count in [int(text) for text in options.validators.split(",")]:
        row = measure(count, options.heights, options.link_ms, check_ms)
        rows.append(row)
        print(
            f"{row.validators:>10} {row.messages:>9.0f} {row.kilobytes:>8.0f} {row.node_kilobytes:>8.1f}"
            f" {row.latency_ms:>6.0f} {row.worst_ms:>6.0f} {row.cpu_ms:>9.2f} {row.signatures_ms:>11.2f}",
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")


if __name__ == "__main__":
    main()
