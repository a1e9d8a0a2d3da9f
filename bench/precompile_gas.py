"""What the native precompiles' gas buys: microseconds per call and gas per microsecond, next to ordinary opcodes.

Run `python bench/precompile_gas.py`. "warm" repeats a call within one transaction, the cheapest way to make a node
work: storage costs 100 gas a slot there, so the figure shows whether the native work itself is paid for. Times are CPU
time of this process; on a shared machine only the ratios mean something.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from dmchain.marketplace_vm.precompiles import CID_REGISTRY, LICENSE_LEDGER, cid_registry, license_ledger
from dmchain.marketplace_vm.precompiles.host import MemoryHost, MemoryState
from tests.marketplace_vm.precompiles.native_machines import spec_of

OWNER = b"\xaa" * 20
LICENSEE = b"\xbb" * 20
CONTRACTS = {CID_REGISTRY: cid_registry.CONTRACT, LICENSE_LEDGER: license_ledger.CONTRACT}


def make_cid(text: str, code: int = 0x12) -> bytes:
    digest = hashlib.sha256(text.encode()).digest()
    return b"\x01\x55" + bytes((code, 32)) + digest


def measure(work: Callable[[], Any], rounds: int) -> float:
    """CPU microseconds per call, the best of five."""
    best = float("inf")
    for _ in range(5):
        start = time.process_time_ns()
        for _ in range(rounds):
            work()
        best = min(best, time.process_time_ns() - start)
    return best / rounds / 1000


class Bench:
    def __init__(self) -> None:
        self.state = MemoryState()
        self.parents = [self.run(CID_REGISTRY, "registerCid", make_cid(f"p{n}"), b"", [], 1)[0] for n in range(16)]
        self.dataset = self.run(CID_REGISTRY, "registerCid", make_cid("d"), make_cid("m"), self.parents, 1)[0]
        for n in range(63):
            self.run(CID_REGISTRY, "addVersion", self.dataset, make_cid(f"v{n}"), make_cid(f"m{n}"))
        self.run(LICENSE_LEDGER, "grant", self.dataset, LICENSEE, 3, 0, 10**9, bytes(32))
        self.licensed = []
        for n in range(256):
            each = self.run(CID_REGISTRY, "registerCid", make_cid(f"l{n}"), b"", [self.parents[0]], 1)[0]
            self.run(LICENSE_LEDGER, "grant", each, LICENSEE, 1, 0, 0, bytes(32))
            self.licensed.append(each)

    def run(self, address: bytes, name: str, *arguments: Any, fresh: bool = True) -> tuple[bytes, int]:
        """Return (output, gas)."""
        if fresh:
            self.state.begin_transaction()
        host = MemoryHost(self.state, address, OWNER)
        output = CONTRACTS[address].run(host, spec_of(address, name).encode_call(*arguments))
        return output, 30_000_000 - host.gas_left

    def measure_handler(self, address: bytes, name: str, *arguments: Any) -> tuple[int, float]:
        """Gas and microseconds of a call repeated in one transaction with everything undone in between."""
        data = spec_of(address, name).encode_call(*arguments)
        contract = CONTRACTS[address]
        before = dict(self.state.storage)

        def work() -> int:
            host = MemoryHost(self.state, address, OWNER)
            contract.run(host, data)
            self.state.logs.clear()
            return 30_000_000 - host.gas_left

        work()
        used = 0
        spent = 0.0
        rounds = 30
        best = float("inf")
        for _ in range(7):
            spent = 0.0
            for _ in range(rounds):
                self.state.storage = dict(before)
                start = time.process_time_ns()
                used = work()
                spent += time.process_time_ns() - start
            best = min(best, spent / rounds / 1000)
        self.state.storage = before
        return used, best


def main() -> None:
    bench = Bench()
    d, licensed = bench.dataset, bench.licensed
    sha512 = b"\x01\x55\x13\x40" + bytes(range(64))
    rows = [
        (CID_REGISTRY, "registerCid", make_cid("new"), make_cid("meta"), [], 1),
        (CID_REGISTRY, "registerCid", sha512, sha512[:-1] + b"\0", bench.parents, 1),
        (CID_REGISTRY, "commitCid", bytes(32)),
        (CID_REGISTRY, "addVersion", d, make_cid("new"), make_cid("meta")),
        (CID_REGISTRY, "transferDataset", d, OWNER),
        (CID_REGISTRY, "setController", d, LICENSEE),
        (CID_REGISTRY, "setOperator", d, LICENSEE),
        (CID_REGISTRY, "retire", d),
        (CID_REGISTRY, "dataset", d),
        (CID_REGISTRY, "datasetOf", make_cid("d")),
        (CID_REGISTRY, "isRegistered", d),
        (CID_REGISTRY, "ownerOf", d),
        (CID_REGISTRY, "controllerOf", d),
        (CID_REGISTRY, "versionCount", d),
        (CID_REGISTRY, "versions", d, 0, 64),
        (CID_REGISTRY, "versions", d, 0, 1),
        (CID_REGISTRY, "parents", d),
        (CID_REGISTRY, "children", bench.parents[0], 0, 256),
        (CID_REGISTRY, "datasetCount"),
        (CID_REGISTRY, "datasetAt", 3),
        (CID_REGISTRY, "datasets", 0, 256),
        (CID_REGISTRY, "commitmentOf", bytes(32)),
        (LICENSE_LEDGER, "grant", d, OWNER, 1, 0, 0, bytes(range(32))),
        (LICENSE_LEDGER, "extend", d, LICENSEE, 0, 1),
        (LICENSE_LEDGER, "consume", d, LICENSEE, 1),
        (LICENSE_LEDGER, "revoke", d, LICENSEE, bytes(32)),
        (LICENSE_LEDGER, "hasLicense", d, LICENSEE),
        (LICENSE_LEDGER, "licenseOf", d, LICENSEE),
        (LICENSE_LEDGER, "hasLicenses", licensed, LICENSEE),
        (LICENSE_LEDGER, "hasLicenses", licensed[:1], LICENSEE),
    ]
    print(f"{'handler over dicts, warm':34} {'gas':>8} {'us':>8} {'gas/us':>7}")
    for address, name, *arguments in rows:
        used, spent = bench.measure_handler(address, name, *arguments)
        print(f"{name:34} {used:8} {spent:8.1f} {used / spent:7.0f}")


if __name__ == "__main__":
    main()
