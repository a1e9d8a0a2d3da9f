"""How much gas a second loops of single opcodes burn: in py-evm's loop, in the interpreter, translated.

The lowest figure of the middle column is the floor for code that is new each time; the lowest of the right one is what
an attacker with one contract is left with. The block gas limit has to fit both.

Usage: python bench/evm_speed.py [NAME...]
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from dmchain.marketplace_vm.translate import MAX_VISITS, Policy, Translator
from dmchain.marketplace_vm.vm import run_plain
from tests.marketplace_vm.translate.machine import CONTRACTS, SENDER, Account, Runner, build_state, run

CALLEE, NOBODY = CONTRACTS[1].hex(), "0e" * 20
DIVISOR = "cd" * 32

BODIES = {
    "counter alone": "",
    "JUMPDEST": "5b" * 200,
    "ADD": "600160020150" * 20,
    "DUP, SWAP": "808091905050" * 20,
    "MUL": f"807f{DIVISOR}0250" * 20,
    "DIV": f"807f{DIVISOR}900450" * 20,
    "MULMOD": f"80807f{DIVISOR}91900950" * 20,
    "EXP": f"7f{DIVISOR}810a50" * 10,
    "MSTORE": "80608052" * 20,
    "MLOAD": "60805150" * 20,
    "MCOPY 4 KiB": "6110005f805e" * 5,
    "CALLDATACOPY": "60205f5f37" * 5,
    "KECCAK256 64 bytes": "60405f2050" * 10,
    "KECCAK256 8 KiB": "6120005f2050" * 2,
    "SLOAD": "5f5450" * 20,
    "SSTORE": "805f55" * 5,
    "TLOAD": "5f5c50" * 5,
    "TSTORE": "805f5d" * 5,
    "BALANCE": "303150" * 5,
    "EXTCODECOPY": "60205f5f303c" * 5,
    "BLOCKHASH": "61012b4050" * 5,
    "LOG0": "5f5fa0" * 5,
    "CALL to nobody": f"5f5f5f5f5f73{NOBODY}5af150",
    "CALL to STOP": f"5f5f5f5f5f73{CALLEE}5af150",
    "STATICCALL to identity": "60205f60205f60045afa50",
    "STATICCALL to SHA-256": "60205f60205f60025afa50",
    "CREATE": "5f5f5ff050",
}
"""Bytecode that leaves the stack as it is: on it is a counter."""


def loop(body: str) -> bytes:
    """for (n = 2**24 - 1; n > 0; n--) body"""
    return bytes.fromhex(f"62ffffff5b{body}6001900380600457")


def measure(runner: Runner, code: bytes, gas: int) -> float:
    """Million gas a second of processor time."""
    world = {
        SENDER: Account(),
        CONTRACTS[0]: Account(code, storage={0: 5}),
        CONTRACTS[1]: Account(b"\x00"),
    }
    state = build_state(world, runner)
    started = time.process_time()
    outcome = run(state, runner, CONTRACTS[0], gas=gas)
    return (gas - outcome.gas_remaining) / 1e6 / (time.process_time() - started)


def main() -> None:
    wanted = sys.argv[1:] or list(BODIES)
    columns: tuple[tuple[str, Runner, int], ...] = (
        ("py-evm", run_plain, 600_000),
        ("interpreter", Translator(Policy(visits=MAX_VISITS)).run, 2_000_000),
        ("translated", Translator().run, 20_000_000),
    )
    print(f"{'Mgas/s':24}" + "".join(f"{name:>13}" for name, _, _ in columns))
    for name in wanted:
        code = loop(BODIES[name])
        print(f"{name:24}" + "".join(f"{measure(runner, code, gas):13.1f}" for _, runner, gas in columns), flush=True)


if __name__ == "__main__":
    main()
