"""Calls and creations: what reaches the child, what comes back, and what is kept of it."""

from __future__ import annotations

import pytest
from eth.vm.message import Message

from dmchain.chain.primitives.types import Address
from dmchain.marketplace_vm.translate import EAGER_POLICY, Policy
from dmchain.marketplace_vm.vm import prepare_thread_stacks, run_on_big_stack, run_plain
from tests.marketplace_vm.translate.machine import (
    CONTRACTS,
    DELEGATING,
    NOBODY,
    SENDER,
    Account,
    Outcome,
    World,
    build_state,
    computation_class,
    execute,
    run,
    translator,
)
from tests.marketplace_vm.translate.programs import push

pytestmark = pytest.mark.filterwarnings("ignore:SELFDESTRUCT:DeprecationWarning")

CALLER, CALLEE, _, _ = CONTRACTS
IDENTITY = Address(bytes(19) + b"\x04")
CALL, CALLCODE, DELEGATECALL, STATICCALL = 0xF1, 0xF2, 0xF4, 0xFA
KINDS = (CALL, CALLCODE, DELEGATECALL, STATICCALL)

EAGER = translator(EAGER_POLICY)
INTERPRETER = translator(Policy(visits=255))

RETURNS = bytes.fromhex("5a5f52346020523360405260605ff3")  # gas, value, sender
REVERTS = bytes.fromhex("60ff5f5260205ffd")
FAILS = bytes.fromhex("fe")
LOGS = bytes.fromhex("5f5fa0600160025560015f55")
STORES_AND_REVERTS = bytes.fromhex("600760015560055f5d5f5fa05f5ffd")


def call(kind: int, to: Address, *, value: int = 0, gas: bytes = b"\x5a", size: int = 0, out: int = 96) -> bytes:
    """Bytecode of one call, input and output at 0; leaves the success flag."""
    values = push(value) if kind in (CALL, CALLCODE) else b""
    return push(out) + push(0) + push(size) + push(0) + values + push(int.from_bytes(to, "big")) + gas + bytes([kind])


def reported(*calls: bytes) -> bytes:
    """Make calls, and store for each: success, gas left, size and first word of the return data, memory."""
    code = b""
    for number, one in enumerate(calls):
        base = 8 * number
        code += one + push(base) + b"\x55"
        code += b"\x5a" + push(base + 1) + b"\x55" + b"\x3d" + push(base + 2) + b"\x55"
        code += b"\x5f\x51" + push(base + 3) + b"\x55" + b"\x60\x40\x51" + push(base + 4) + b"\x55"
    return code + b"\x00"


def assert_agree(world: World, *, gas: int = 2_000_000, value: int = 0, static: bool = False) -> Outcome:
    expected = run(build_state(world, run_plain), run_plain, CALLER, gas=gas, value=value, static=static)
    assert expected.undone
    for runner in (EAGER, INTERPRETER):
        assert run(build_state(world, runner), runner, CALLER, gas=gas, value=value, static=static) == expected
    return expected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("code", [RETURNS, REVERTS, FAILS, LOGS, STORES_AND_REVERTS, b"", b"\x00"])
def test_each_kind_of_call_agrees_on_each_kind_of_end(kind: int, code: bytes) -> None:
    for out in (0, 10, 200):
        calls = [call(kind, CALLEE, out=out, size=size, gas=push(60_000)) for size in (0, 33)]
        world = {SENDER: Account(), CALLER: Account(reported(*calls)), CALLEE: Account(code)}
        assert assert_agree(world, value=3).error == ""


@pytest.mark.parametrize("kind", (CALL, CALLCODE))
@pytest.mark.parametrize("target", [CALLEE, NOBODY, SENDER, CALLER, IDENTITY])
def test_value_is_paid_for_and_comes_back_where_it_cannot_move(kind: int, target: Address) -> None:
    for balance in (0, 5, 100):
        code = reported(*(call(kind, target, value=value, gas=push(9000)) for value in (0, 5, 6)))
        world = {SENDER: Account(), CALLER: Account(code, balance=balance), CALLEE: Account(RETURNS)}
        if target != CALLER:
            assert assert_agree(world).error == ""


def test_value_in_a_static_frame_is_write_protected_even_to_nobody() -> None:
    world = {SENDER: Account(), CALLER: Account(call(CALL, NOBODY, value=1))}
    assert assert_agree(world, static=True).error == "WriteProtection"
    assert assert_agree(world | {CALLER: Account(call(CALLCODE, NOBODY, value=1))}, static=True).error == ""


@pytest.mark.parametrize("gas", [0, 100, 2300, 50_000, 2**256 - 1])
def test_at_most_63_of_64_parts_of_the_gas_go_along(gas: int) -> None:
    world = {CALLER: Account(reported(call(CALL, CALLEE, gas=push(gas)))), CALLEE: Account(RETURNS)}
    outcome = assert_agree(world, gas=640_000)
    if gas == 2**256 - 1:
        assert 630_000 - 3000 < outcome.storage[(CALLER, 3)] < 630_000


@pytest.mark.parametrize("target", [CALLEE, NOBODY, IDENTITY, DELEGATING, SENDER])
@pytest.mark.parametrize("kind", KINDS)
def test_calls_follow_one_delegation(kind: int, target: Address) -> None:
    """EIP-7702, to a contract, to nobody, to a precompile (which runs nothing), to itself, to a plain account."""
    world = {
        SENDER: Account(),
        CALLER: Account(reported(call(kind, DELEGATING), call(kind, DELEGATING, size=40))),
        CALLEE: Account(bytes.fromhex("30545f52") + RETURNS, storage={7: 1}),
        DELEGATING: Account(b"\xef\x01\x00" + target, balance=50),
    }
    assert_agree(world)


def test_precompiles_answer_and_fail_as_in_the_plain_loop() -> None:
    targets = [Address(bytes(19) + bytes([n])) for n in range(1, 10)]
    calls = [call(CALL, target, size=64, gas=push(gas)) for target in targets for gas in (10, 40_000)]
    assert_agree({CALLER: Account(b"\x60\x2a\x5f\x52" + reported(*calls))}, gas=5_000_000)


def test_logs_of_nested_frames_keep_their_order_and_failed_frames_have_none() -> None:
    inner = b"\x60\x01\x5f\x5f\xa1"
    middle = b"\x60\x02\x5f\x5f\xa1" + call(CALL, CONTRACTS[2]) + b"\x60\x03\x5f\x5f\xa1"
    failing = middle + b"\xfe"
    for child in (middle, failing):
        code = b"\x60\x04\x5f\x5f\xa1" + call(CALL, CALLEE) + b"\x60\x05\x5f\x5f\xa1"
        outcome = assert_agree({CALLER: Account(code), CALLEE: Account(child), CONTRACTS[2]: Account(inner)})
        topics = [topics[0] for _, topics, _ in outcome.logs]
        assert topics == ([4, 2, 1, 3, 5] if child is middle else [4, 5])


def test_refunds_of_children_count_only_where_they_succeed() -> None:
    clears = bytes.fromhex("5f5f55")
    for end, refund in (("00", 4800), ("5f5ffd", 0)):
        callee = Account(clears + bytes.fromhex(end), storage={0: 1})
        assert assert_agree({CALLER: Account(call(CALL, CALLEE)), CALLEE: callee}).refund == refund


@pytest.mark.parametrize("original", [0, 1, 2])
def test_storage_prices_and_refunds_follow_every_path(original: int) -> None:
    """EIP-2200's table: all sequences of three writes of 0, 1, 2, the second in a frame of its own."""
    for first in range(3):
        for second in range(3):
            for third in range(3):
                writes = [push(value) + b"\x5f\x55" for value in (first, second, third)]
                code = writes[0] + call(DELEGATECALL, CALLEE) + writes[2] + b"\x5a\x60\x09\x55"
                world = {CALLER: Account(code, storage={0: original}), CALLEE: Account(writes[1])}
                assert_agree(world)


def test_self_destruction_agrees_in_old_and_new_accounts() -> None:
    destroys = b"\x73" + NOBODY + b"\xff"
    twice = call(CALL, CALLEE) + call(CALL, CALLEE)
    assert_agree({CALLER: Account(twice), CALLEE: Account(destroys, balance=9)})
    initcode = destroys
    word = push(int.from_bytes(initcode.ljust(32, b"\0"), "big"), 32)
    creates = word + b"\x5f\x52" + push(len(initcode)) + b"\x5f\x60\x03\xf0"
    outcome = assert_agree({CALLER: Account(creates + creates, balance=10)})
    assert len(outcome.deleted) == 2


def test_creation_agrees_on_collisions_nonces_and_deposits() -> None:
    for initcode in ("5f5ff3", "60ef5f5360015ff3", "62ffffff5ff3", "fe", "60015f5560015ff3", "5f5ffd"):
        raw = bytes.fromhex(initcode)
        store = push(int.from_bytes(raw.ljust(32, b"\0"), "big"), 32) + b"\x5f\x52"
        create = push(len(raw)) + b"\x5f\x5f\xf0"
        create2 = b"\x60\x07" + push(len(raw)) + b"\x5f\x5f\xf5"
        for balance, nonce in ((0, 1), (5, 2**64 - 1)):
            code = store + reported(create, create2, create2)
            assert_agree({CALLER: Account(code, balance=balance, nonce=nonce)}, gas=600_000)


def test_initcode_above_the_limit_ends_the_frame_that_creates() -> None:
    """EIP-3860. py-evm raises where the creation begins, so the creating frame dies of it."""
    for size in (49_152, 49_153):
        for create in (push(size) + b"\x5f\x5f\xf0", b"\x5f" + push(size) + b"\x5f\x5f\xf5"):
            outcome = assert_agree({CALLER: Account(reported(create))})
            assert outcome.error == ("" if size == 49_152 else "OutOfGas")


def test_finished_children_are_not_kept() -> None:
    """At 130 gas a call, a block would otherwise hold 200,000 computations."""
    loop = b"\x61\x03\xe8\x5b" + call(CALL, CALLEE) + b"\x50\x60\x01\x90\x03\x80\x60\x03\x57"
    for runner in (EAGER, INTERPRETER):
        state = build_state({CALLER: Account(loop), CALLEE: Account(LOGS)}, runner)
        message = Message(gas=10_000_000, to=CALLER, sender=SENDER, value=0, data=b"", code=loop)
        computation = execute(state, computation_class(runner), message)
        assert computation._error is None and computation.children == []
        assert len(computation.get_log_entries()) == 1000


RECURSES = {
    "CALL": call(CALL, CALLER),
    "DELEGATECALL": call(DELEGATECALL, CALLER),
    "STATICCALL": call(STATICCALL, CALLER),
    "CREATE": b"\x38\x5f\x5f\x39\x38\x5f\x5f\xf0",
}


@pytest.mark.parametrize("name", RECURSES)
def test_full_depth_of_calls_is_reached_on_a_worker_thread(name: str) -> None:
    """1024 nested frames, and the deepest one's call fails: the same on every machine, or nodes would disagree."""
    prepare_thread_stacks()
    counts = b"\x5f\x54\x60\x01\x01\x5f\x55" if name != "STATICCALL" else b""
    world = {SENDER: Account(), CALLER: Account(counts + RECURSES[name])}
    gas = 10**13 if name != "CREATE" else 10**15
    outcome = run_on_big_stack(lambda: assert_agree(world, gas=gas))
    assert outcome.error == ""
    if name in ("CALL", "DELEGATECALL"):
        assert outcome.storage[(CALLER, 0)] == 1025
