"""Random contracts give the same results in py-evm's loop, in the interpreter and translated, at any threshold.

A longer campaign: DMCHAIN_TRANSLATOR_SEEDS=20000:50000 python -m pytest tests/marketplace_vm/translate -k seeded -s
"""

from __future__ import annotations

import os
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmchain.marketplace_vm.translate import MAX_VISITS, Policy
from dmchain.marketplace_vm.vm import run_plain
from tests.marketplace_vm.translate.machine import (
    CONTRACTS,
    SENDER,
    Account,
    World,
    build_state,
    create,
    run,
    translator,
)
from tests.marketplace_vm.translate.programs import INTERESTING, push, random_code, random_world

RUNNERS = {visits: translator(Policy(visits=visits, price=0)) for visits in (0, 1, 2, MAX_VISITS)}
pytestmark = pytest.mark.filterwarnings("ignore:SELFDESTRUCT:DeprecationWarning")

ROUNDS = {0: 1, 1: 2, 2: 3, MAX_VISITS: 1}
"""Runs of each program under each threshold: enough for the last one to be translated."""


def random_message(random: Random) -> dict[str, Any]:
    static = random.random() < 0.05
    return {
        "gas": random.choice((3000, 30_000, 100_000, 400_000, 400_000, 400_000)),
        "data": random.randbytes(random.choice((0, 4, 36, 100))),
        "value": 0 if static else random.choice((0, 0, 0, 5)),
        "static": static,
        "depth": random.choice((0, 0, 0, 0, 1021)),
    }


def assert_all_agree(world: World, message: dict[str, Any]) -> None:
    expected = run(build_state(world, run_plain), run_plain, CONTRACTS[0], **message)
    assert expected.undone
    for visits, runner in RUNNERS.items():
        state = build_state(world, runner)
        for _ in range(ROUNDS[visits]):
            assert run(state, runner, CONTRACTS[0], **message) == expected, f"visits {visits}"


@pytest.mark.parametrize("batch", range(4))
def test_seeded_worlds_of_contracts_agree(batch: int) -> None:
    first, count = map(int, os.environ.get("DMCHAIN_TRANSLATOR_SEEDS", "0:120").split(":"))
    for seed in range(first + batch, first + count, 4):
        random = Random(seed)
        world = random_world(random)
        try:
            assert_all_agree(world, random_message(random))
        except AssertionError as error:
            raise AssertionError(f"seed {seed}") from error


@settings(max_examples=100, deadline=None)
@given(code=st.binary(min_size=1, max_size=120), gas=st.integers(0, 60_000), data=st.binary(max_size=40))
def test_arbitrary_bytes_agree(code: bytes, gas: int, data: bytes) -> None:
    world = {SENDER: Account(), CONTRACTS[0]: Account(code, storage={0: 1})}
    assert_all_agree(world, {"gas": gas, "data": data})


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), gas=st.integers(0, 100_000))
def test_initcode_agrees(seed: int, gas: int) -> None:
    initcode = random_code(Random(seed))
    world = {SENDER: Account(), CONTRACTS[1]: Account(b"\x5b\x60\x01\x5f\x55")}
    expected = create(build_state(world, run_plain), run_plain, initcode, gas=gas)
    for runner in RUNNERS.values():
        assert create(build_state(world, runner), runner, initcode, gas=gas) == expected


STACK_OPERATIONS = {
    1: (0x15, 0x19, 0x1E),
    2: (*range(0x01, 0x08), 0x0A, 0x0B, *range(0x10, 0x15), *range(0x16, 0x19), *range(0x1A, 0x1E)),
    3: (0x08, 0x09),
}


@pytest.mark.parametrize("arity", STACK_OPERATIONS)
def test_arithmetic_agrees_on_edge_values_known_and_unknown(arity: int) -> None:
    """Operands come as constants, which are folded, and as calldata, which is not."""
    random = Random(arity)
    for op in STACK_OPERATIONS[arity]:
        for _ in range(12):
            values = [random.choice((*INTERESTING, random.getrandbits(256))) for _ in range(arity)]
            loads = b"".join(
                push(value) if random.random() < 0.5 else push(32 * i) + b"\x35" for i, value in enumerate(values)
            )
            code = loads + bytes([op]) + b"\x5f\x52\x60\x20\x5f\xf3"
            data = b"".join(value.to_bytes(32, "big") for value in values)
            assert_all_agree({CONTRACTS[0]: Account(code)}, {"gas": 100_000, "data": data})


GAS_SWEEP = {
    "storage": "5f54600160015560025f555f60015500",
    "memory": "6001608052610100516103e85360405160605260405f20",
    "jumps": "60035b6001900380600257600b56005b00",
    "log and transient": "60015f5d5f5c5f5260205f5fa1600760205fa0",
    "call": "5f5f5f5f600173" + "11" * 20 + "5af1505f5f5f5f73" + "11" * 20 + "61ffff" + "fa",
    "create": "6960016001555f5ff3fe5f526009601760" + "00" + "f0",
    "copies": "60405f5f3760405f5f3960205f60205e60205f5f73" + "11" * 20 + "3c",
    "accounts": "303173" + "11" * 20 + "3b3b73" + "0e" * 20 + "3f47",
    "exponent": "61ffff60020a600260ff0a",
    "returns": "60206020f3",
    "reverts": "60206020fd",
    "selfdestruct": "73" + "0e" * 20 + "ff",
}


@pytest.mark.parametrize("name", GAS_SWEEP)
def test_running_out_of_gas_agrees_at_every_amount(name: str) -> None:
    """Every amount of gas up to what the program needs, so that it dies at each opcode in turn."""
    world = {
        SENDER: Account(),
        CONTRACTS[0]: Account(bytes.fromhex(GAS_SWEEP[name]), balance=100, storage={1: 5}),
        CONTRACTS[1]: Account(bytes.fromhex("5a5f525f54600155")),
    }
    runners = [run_plain, *RUNNERS.values()]
    states = [build_state(world, runner) for runner in runners]
    enough = run(states[0], run_plain, CONTRACTS[0], gas=200_000)
    needed = 200_000 - enough.gas_remaining if enough.error in ("", "Revert") else 30_000
    step = max(1, needed // 150)
    for gas in [*range(min(needed, 120)), *range(120, needed + 3, step), needed - 1, needed]:
        pairs = zip(states, runners, strict=True)
        expected, *others = (run(state, runner, CONTRACTS[0], gas=gas) for state, runner in pairs)
        assert others == [expected] * len(others), f"gas {gas}"


@pytest.mark.parametrize("op", [*range(0x01, 0x20), *range(0x20, 0x60), *range(0x80, 0xA5), *range(0xF0, 0x100)])
@pytest.mark.parametrize("static", [False, True])
def test_each_opcode_agrees_on_a_short_and_on_a_full_stack(op: int, static: bool) -> None:
    for height in (0, 1, 2, 6, 1023, 1024):
        world = {CONTRACTS[0]: Account(b"\x5f" * height + bytes([op]) + b"\x00")}
        for gas in (100_000, 2 * height + 2300):
            expected, *others = (
                run(build_state(world, runner), runner, CONTRACTS[0], gas=gas, static=static)
                for runner in (run_plain, RUNNERS[0], RUNNERS[MAX_VISITS])
            )
            assert others == [expected, expected], f"height {height}, gas {gas}"


def test_addresses_ignore_the_upper_bytes_of_a_word() -> None:
    dirty = push(int.from_bytes(CONTRACTS[1], "big") + 2**200)
    for op in (0x31, 0x3B, 0x3F):
        code = dirty + bytes([op]) + bytes.fromhex("5f5500")
        assert_all_agree({CONTRACTS[0]: Account(code), CONTRACTS[1]: Account(b"\x00", balance=9)}, {"gas": 100_000})


@pytest.mark.parametrize(
    ("target", "error"), [(1, "InvalidInstruction"), (0, "InvalidJumpDestination"), (999, "InvalidJumpDestination")]
)
def test_a_jump_into_push_data_is_another_error_than_one_to_no_jumpdest(target: int, error: str) -> None:
    """With the target known when it is translated, and known only when it runs (CALLDATASIZE is 0)."""
    for code in (b"\x60\x5b" + push(target, 2) + b"\x56", b"\x60\x5b" + push(target, 2) + b"\x36\x01\x56"):
        world = {CONTRACTS[0]: Account(code)}
        assert run(build_state(world, run_plain), run_plain, CONTRACTS[0], gas=1000).error == error
        assert_all_agree(world, {"gas": 1000})
