"""What staking costs: microseconds and gas of its calls with all storage warm, and milliseconds of its hooks per block.

Run `python bench/staking.py`. A call is repeated within one transaction, its storage put back in between: the cheapest
way to make a node work, so the figure shows whether the native work itself is paid for. Hooks run on the flat state with
4, 21 and 100 validators, without the roots that follow. CPU time of this process; on a shared machine only the ratios
mean something.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from dmchain.chain.staking import STAKING
from dmchain.marketplace_vm.precompiles import staking
from dmchain.marketplace_vm.precompiles.host import MemoryHost, Reverted
from tests.marketplace_vm.precompiles.native_machines import FlatMachine, MemoryMachine, spec_of
from tests.marketplace_vm.staking.rig import DISPUTES, ETHER, StakingChain, account, founder


def prepare() -> StakingChain:
    founders = [founder(f"v{n}", 10 * ETHER) for n in range(100)]
    chain = StakingChain(
        founders, machine=MemoryMachine(), is_checked=False, max_validators=100, max_candidates=256, block_reward=10**15
    )
    for name in ("v1", "v2", "v3"):
        chain.do("dora", "delegate", account(name), value=9 * ETHER)
    chain.next_epoch()
    for n in range(1, 20):
        chain.block(proposer=f"v{n}")
    for _ in range(12):
        chain.do("dora", "undelegate", account("v1"), ETHER // 4)
        chain.do("v1", "undelegate", account("v1"), ETHER // 4)
    chain.do("dora", "redelegate", account("v1"), account("v2"), ETHER)
    return chain


def measure_call(chain: StakingChain, who: bytes, name: str, *arguments: Any, value: int = 0) -> tuple[int, float]:
    """Gas and microseconds; a revert is measured too."""
    state = chain.state
    data = spec_of(STAKING, name).encode_call(*arguments)
    storage, balances = dict(state.storage), dict(state.balances)
    state.timestamp, state.block_number = chain.now, chain.number
    state.begin_transaction()
    used = 0
    best = float("inf")
    for _ in range(7):
        spent = 0
        for _ in range(20):
            state.storage, state.balances = dict(storage), dict(balances)
            state.balances[STAKING] += value
            state.logs.clear()
            host = MemoryHost(state, STAKING, who, value=value)
            start = time.process_time_ns()
            try:
                staking.CONTRACT.run(host, data)
            except Reverted:
                pass
            spent += time.process_time_ns() - start
            used = 30_000_000 - host.gas_left
        best = min(best, spent / 20_000)
    state.storage, state.balances = storage, balances
    return used, best


def measure_calls() -> None:
    chain = prepare()
    dora, v1 = account("dora"), account("v1")
    new = chain.registration("new")
    wrong = (new[0], bytes(31) + b"\1" + bytes(31) + b"\1" + b"\0", 0, 0)
    victims = [account(f"victim {n}") for n in range(64)]
    rows: list[tuple[bytes, str, list[Any], int]] = [
        (account("new"), "register", [*new], 2 * ETHER),
        (account("new"), "register", [*wrong], 2 * ETHER),
        (dora, "delegate", [account("v3")], ETHER),
        (dora, "undelegate", [account("v3"), ETHER], 0),
        (dora, "redelegate", [account("v3"), account("v4"), ETHER], 0),
        (dora, "withdrawRewards", [account("v3")], 0),
        (v1, "withdrawCommission", [], 0),
        (dora, "settle", [account("v2"), dora], 0),
        (v1, "setCommission", [0], 0),
        (v1, "unjail", [], 0),
        (v1, "takeSeat", [v1], 0),
        (DISPUTES, "slashForData", [v1, 1, []], 0),
        (DISPUTES, "slashForData", [v1, 99 * ETHER, []], 0),
        (DISPUTES, "slashForData", [v1, ETHER, victims], 0),
        (dora, "validator", [v1], 0),
        (dora, "validators", [0, 50], 0),
        (dora, "operatorOf", [v1], 0),
        (dora, "power", [v1], 0),
        (dora, "delegation", [account("v2"), dora], 0),
        (dora, "unbondings", [dora], 0),
        (dora, "totals", [], 0),
        (dora, "epoch", [], 0),
        (dora, "validatorSet", [0, 50], 0),
        (dora, "parameters", [], 0),
    ]
    print(f"{'call over dicts, warm':34} {'gas':>8} {'us':>8} {'gas/us':>7}")
    for who, name, arguments, value in rows:
        used, spent = measure_call(chain, who, name, *arguments, value=value)
        print(f"{name:34} {used:8} {spent:8.1f} {used / spent:7.0f}")
    chain.machine.timestamp += 2_000
    used, spent = measure_call(chain, dora, "withdrawUnbonded")
    print(f"{'withdrawUnbonded, 12':34} {used:8} {spent:8.1f} {used / spent:7.0f}")


class TimedChain(StakingChain):
    """Counts the time of hooks alone."""

    spent_ns = 0

    def _hook(self, process: Any) -> Any:
        start = time.process_time_ns()
        notices = super()._hook(process)
        self.spent_ns += time.process_time_ns() - start
        return notices


def measure_hooks(validators: int) -> None:
    founders = [founder(f"v{n}", 10 * ETHER) for n in range(validators)]
    chain = TimedChain(
        founders, machine=FlatMachine(), is_checked=False, max_validators=100, max_candidates=256, block_reward=10**15,
        epoch_seconds=150, window_commits=100, window_seconds=100,
    )  # fmt: skip
    kinds: dict[str, list[float]] = {"ordinary": [], "a third absent": [], "priorities rolled": [], "epoch ended": []}
    rolled = 1
    for height in range(1, 400):
        absent = [f"v{n}" for n in range(validators // 3)] if height % 5 == 0 else []
        chain.spent_ns = 0
        notices = chain.block(absent=absent)
        priority_height = chain.epoch_at(height + 1).priority_height
        kind = "a third absent" if absent else "ordinary"
        if notices:
            kind = "epoch ended"
        elif priority_height != rolled:
            kind = "priorities rolled"
        rolled = priority_height
        kinds[kind].append(chain.spent_ns / 1e6)
    for kind, times in kinds.items():
        print(f"{validators:3} validators, {kind:20} {statistics.median(times):8.2f} ms  ({len(times)} blocks)")


def main() -> None:
    measure_calls()
    for validators in (4, 21, 100):
        measure_hooks(validators)


if __name__ == "__main__":
    main()
