"""When code is translated, what that may cost, and how much of it is kept."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

import pytest
from eth.vm.code_stream import CodeStream
from eth.vm.forks.prague.opcodes import PRAGUE_OPCODES
from eth.vm.logic import arithmetic
from eth.vm.opcode import as_opcode
from hypothesis import example, given
from hypothesis import strategies as st

from dmchain.chain.primitives.errors import InvariantBroken
from dmchain.chain.primitives.types import Address
from dmchain.marketplace_vm.translate import DEFAULT_POLICY, EAGER_POLICY, Policy, Translator
from dmchain.marketplace_vm.translate.generator import MAX_TRACE_CHARACTERS
from dmchain.marketplace_vm.translate.program import Program, ProgramCache
from dmchain.marketplace_vm.translate.tables import OpcodeTable
from dmchain.marketplace_vm.vm import OSAKA_OPCODES, DmComputation, ExecutionStopped, OsakaComputation, run_plain
from tests.marketplace_vm.translate.machine import CONTRACTS, SENDER, Account, build_state, create, run
from tests.marketplace_vm.translate.programs import push

TABLE = OpcodeTable(OSAKA_OPCODES)
COUNTER = bytes.fromhex("5f545b600101805f5500")


def program_of(translator: Translator, code: bytes) -> Program:
    return translator.rule_set(OsakaComputation.opcodes).programs.get(code)


def test_code_is_translated_only_after_it_has_earned_it() -> None:
    translator = Translator(DEFAULT_POLICY)
    state = build_state({CONTRACTS[0]: Account(COUNTER)}, translator.run)
    program = program_of(translator, COUNTER)
    runs = 0
    while not program.blocks:
        operations = -program.credit
        run(state, translator.run, CONTRACTS[0])
        runs += 1
        assert program.blocks or -program.credit < operations
    assert runs > DEFAULT_POLICY.visits
    assert runs * len(COUNTER) > MAX_TRACE_CHARACTERS * DEFAULT_POLICY.price // 2


def test_a_loop_is_translated_within_its_first_run() -> None:
    translator = Translator()
    loop = bytes.fromhex("62ffffff5b6001900380600457")
    state = build_state({CONTRACTS[0]: Account(loop)}, translator.run)
    run(state, translator.run, CONTRACTS[0], gas=1_000_000)
    assert program_of(translator, loop).blocks.keys() == {4}


def test_code_that_is_never_translated_has_no_blocks() -> None:
    translator = Translator(Policy(visits=255, price=0))
    state = build_state({CONTRACTS[0]: Account(COUNTER)}, translator.run)
    for _ in range(600):
        run(state, translator.run, CONTRACTS[0])
    assert not program_of(translator, COUNTER).blocks


def many_jumpdests() -> bytes:
    return b"\x5b" * 24_000


def side_exits_before_garbage() -> bytes:
    """Each JUMPDEST leaves at once; what follows it is long, and never runs."""
    garbage = b"\x36\x35\x80\x52" * 8
    size = 6 + len(garbage)
    return b"".join(b"\x5b\x36" + push(n * size, 2) + b"\x57" + garbage for n in range(1, 600)) + b"\x5b"


def side_exits_before_a_shared_tail() -> bytes:
    """The same with one long tail that every stretch jumps to."""
    size, count = 10, 2000
    tail = push(size * count, 2) + b"\x56"
    heads = b"".join(b"\x5b\x36" + push(n * size, 2) + b"\x57" + tail for n in range(1, count + 1))
    return heads + b"\x5b" + b"\x36\x35\x80\x52" * 800


def deep_exits() -> bytes:
    """Every conditional jump would write back a hundred changed items."""
    return b"\x36" * 100 + b"\x5b" + (b"\x80\x60\x65\x57\x36\x01" + bytes([0x90 + 14])) * 700


def far_constants() -> bytes:
    return (b"\x7f" + b"\xfe" * 32 + b"\x36\x52") * 600


@pytest.mark.parametrize(
    "make", [many_jumpdests, side_exits_before_garbage, side_exits_before_a_shared_tail, deep_exits, far_constants]
)
def test_what_is_generated_stays_in_proportion_to_gas(make: Callable[[], bytes]) -> None:
    """An opcode costs one gas at least, so a character of source takes `price` gas at least."""
    code = make()
    translator = Translator()
    state = build_state({CONTRACTS[0]: Account(code)}, translator.run)
    used = 0
    for _ in range(40):
        outcome = run(state, translator.run, CONTRACTS[0], gas=200_000, data=b"\x01")
        used += 200_000 - outcome.gas_remaining
    program = program_of(translator, code)
    assert program.characters * DEFAULT_POLICY.price <= used
    assert program.characters <= DEFAULT_POLICY.max_program_characters + 4 * MAX_TRACE_CHARACTERS


@given(code=st.binary(min_size=1, max_size=3000))
@example(deep_exits())
@example(b"\x36" + b"\x15" * 5000)
@example(b"\x36" * 1000 + b"\x50" * 1000)
@example(b"\x36\x80\x01" * 2000)
def test_one_trace_has_a_bounded_size_and_compiles(code: bytes) -> None:
    program = Program(code, TABLE, EAGER_POLICY)
    program.translate(0)
    assert program.characters < 4 * MAX_TRACE_CHARACTERS


def test_a_program_stops_growing_at_its_limit() -> None:
    code = b"\x5b\x36\x50" * 4000
    translator = Translator(Policy(visits=0, price=0, max_program_characters=3000))
    state = build_state({CONTRACTS[0]: Account(code)}, translator.run)
    outcome = run(state, translator.run, CONTRACTS[0])
    assert outcome.error == "" and program_of(translator, code).characters < 3000 + MAX_TRACE_CHARACTERS


def test_the_cache_of_programs_is_bounded_and_what_is_used_stays() -> None:
    policy = Policy(visits=0, price=0, max_cache_bytes=60_000)
    cache = ProgramCache(TABLE, policy)
    used = cache.get(COUNTER)
    for number in range(300):
        cache.get(push(number, 2) * 20).translate(0)
        assert cache.get(COUNTER) is used
    assert len(cache) < 60


def test_the_size_of_a_program_is_not_underestimated() -> None:
    for code in (many_jumpdests(), side_exits_before_garbage()):
        program = Program(code, TABLE, EAGER_POLICY)
        assert program.is_jump_target(len(code) - 1)
        held = (program.padded, program.visits, program.jump_targets, program.blocks)
        assert sum(map(sys.getsizeof, held)) < program.size_bytes


def test_results_do_not_depend_on_what_the_cache_has_dropped() -> None:
    codes = [push(number, 2) + b"\x54\x60\x01\x01" + push(number, 2) + b"\x55" for number in range(40)]
    addresses = [Address(bytes([number + 1]) * 20) for number in range(40)]
    world = {address: Account(code) for address, code in zip(addresses, codes, strict=True)}
    small = Translator(Policy(visits=1, price=0, max_cache_bytes=4000))
    state, expected = build_state(world, small.run), build_state(world, run_plain)
    for _ in range(4):
        for address in addresses:
            assert run(state, small.run, address) == run(expected, run_plain, address)


def test_initcode_is_not_kept() -> None:
    translator = Translator(EAGER_POLICY)
    state = build_state({SENDER: Account()}, translator.run)
    assert create(state, translator.run, COUNTER).error == ""
    assert len(translator.rule_set(OsakaComputation.opcodes).programs) == 0


@given(code=st.binary(max_size=200), position=st.integers(0, 210))
@example(b"\x7f" + b"\x5b" * 40, 33)
def test_jump_targets_are_those_of_py_evm(code: bytes, position: int) -> None:
    program = Program(code, TABLE, EAGER_POLICY)
    stream = CodeStream(code)
    for at in (position, *range(210)):
        expected = at < len(code) and code[at] == 0x5B and stream.is_valid_opcode(at)
        assert program.is_jump_target(at) == expected


# -- rule sets -----------------------------------------------------------------------------------------------------
def test_each_rule_set_has_its_own_opcodes() -> None:
    leading_zeros = bytes.fromhex("60011e5f55")
    runner = Translator(EAGER_POLICY).run
    for base, error in ((OsakaComputation, ""), (DmComputation, "InvalidInstruction"), (OsakaComputation, "")):
        kind = type("Tested", (base,), {"code_runner": staticmethod(runner)})
        state = build_state({CONTRACTS[0]: Account(leading_zeros)}, runner)
        assert run(state, runner, CONTRACTS[0], kind=kind).error == error


def test_an_opcode_that_a_fork_replaces_is_called_instead_of_inlined() -> None:
    addition = as_opcode(logic_fn=arithmetic.sub, mnemonic="ADD", gas_cost=50)
    opcodes = {**PRAGUE_OPCODES, 0x01: addition}
    code = bytes.fromhex("60036005015b600990015f5500")
    outcomes = []
    for runner in (run_plain, Translator(EAGER_POLICY).run, Translator(Policy(visits=255)).run):
        kind = type("Tested", (DmComputation,), {"opcodes": opcodes, "code_runner": staticmethod(runner)})
        outcomes.append(run(build_state({CONTRACTS[0]: Account(code)}, runner), runner, CONTRACTS[0], kind=kind))
    assert outcomes[0] == outcomes[1] == outcomes[2] and outcomes[0].storage == {(CONTRACTS[0], 0): 2**256 - 7}


def test_a_rule_set_cannot_replace_what_the_translator_must_know_itself() -> None:
    opcodes = {**PRAGUE_OPCODES, 0x56: as_opcode(logic_fn=arithmetic.sub, mnemonic="JUMP", gas_cost=8)}
    with pytest.raises(InvariantBroken, match="86"):
        Translator().rule_set(opcodes)


# -- threads -------------------------------------------------------------------------------------------------------
def test_threads_share_programs_and_get_the_same_results() -> None:
    translator = Translator(Policy(visits=3, price=0, max_cache_bytes=10_000))
    code = bytes.fromhex("61010035") + b"\x5b" * 30 + bytes.fromhex("5f355f525f5b600101803510602957805f5260205ff3")
    world = {CONTRACTS[0]: Account(code), CONTRACTS[1]: Account(COUNTER)}
    expected = [run(build_state(world, run_plain), run_plain, address) for address in CONTRACTS[:2]]
    wrong: list[object] = []

    def work() -> None:
        state = build_state(world, translator.run)
        for _ in range(60):
            for address, outcome in zip(CONTRACTS, expected, strict=False):
                got = run(state, translator.run, address)
                if got != outcome:
                    wrong.append(got)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


class Signal:
    """Asks to stop when it has been looked at `patience` times."""

    def __init__(self, patience: int) -> None:
        self.looks = 0
        self.patience = patience

    @property
    def requested(self) -> bool:
        self.looks += 1
        return self.looks > self.patience


LOOPS = {
    "one block": "5b5f56",
    "conditional": "5b60015f57",
    "two blocks": "5f5b5b366002575b36600157366003576001565b",
    "interpreted": "5b5f5f5f5f3c5f56",
}


@pytest.mark.parametrize("name", LOOPS)
@pytest.mark.parametrize("visits", [0, 3, 255])
def test_a_run_ends_when_it_is_asked_to(name: str, visits: int) -> None:
    runner = Translator(Policy(visits=visits, price=0)).run
    state = build_state({CONTRACTS[0]: Account(bytes.fromhex(LOOPS[name]))}, runner)
    state.stop = Signal(500)
    with pytest.raises(ExecutionStopped):
        run(state, runner, CONTRACTS[0], gas=10**12, data=b"\x01")


@pytest.mark.parametrize("visits", [0, 255])
def test_memory_that_no_machine_has_is_out_of_gas_even_for_a_caller_who_offers_it(visits: int) -> None:
    runner = Translator(Policy(visits=visits, price=0)).run
    for code in ("64ffffffffff51", "60016801000000000000000052", "64ffffffffff5ff3"):
        state = build_state({CONTRACTS[0]: Account(bytes.fromhex(code))}, runner)
        assert run(state, runner, CONTRACTS[0], gas=2**128).error == "OutOfGas"
