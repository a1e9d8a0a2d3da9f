"""What the source of a trace looks like."""

from __future__ import annotations

import pytest
from eth.vm.forks.prague.opcodes import PRAGUE_OPCODES

from dmchain.marketplace_vm.translate import EAGER_POLICY, source_at
from dmchain.marketplace_vm.vm import OSAKA_OPCODES, run_plain
from tests.marketplace_vm.translate.machine import CONTRACTS, Account, build_state, run, translator


def body(code: str) -> list[str]:
    """The lines of the trace at 0 between the head and the end, without gas."""
    lines = [line.strip() for line in source_at(bytes.fromhex(code), OSAKA_OPCODES).splitlines()]
    return [line for line in lines[3:] if "gas - " not in line and "g.gas_remaining" not in line]


def test_moving_values_makes_no_code() -> None:
    assert body("60016002600380915050905050") == []


def test_constants_are_folded_and_masks_that_change_nothing_dropped() -> None:
    assert body("60076006025f55") == ["gas = store_storage(c, 0, 42, gas)"]
    masked = "33" + "73" + "ff" * 20 + "16" + "5f55"
    assert body(masked) == ["v1 = to_int(c.msg.sender, 'big')", "gas = store_storage(c, 0, v1, gas)"]


def test_the_same_expression_is_computed_once() -> None:
    assert body("5f3560ff165f3560ff16015f55") == [
        "v1 = calldata_word(c, 0)",
        "v2 = v1 & 255",
        "v3 = v2 + v2",
        "gas = store_storage(c, 0, v3, gas)",
    ]


def test_a_comparison_meets_its_jump_without_becoming_a_number() -> None:
    lines = source_at(bytes.fromhex("366004101515600957005b00"), PRAGUE_OPCODES).splitlines()
    assert any(line.strip().startswith("if 4 < v1:") for line in lines)


def test_the_slot_of_a_mapping_is_hashed_from_the_words_just_written() -> None:
    assert "v2 = hash_pair(v1, 3)" in body("335f526003602052604060002054")


def test_memory_is_checked_once_and_not_written_twice() -> None:
    lines = body("600160405260016040526040515f55")
    assert sum("grow" in line for line in lines) == 1
    assert sum("M[64:96] =" in line for line in lines) == 1
    assert lines[-1] == "gas = store_storage(c, 0, 1, gas)"


def test_a_write_at_an_unknown_address_makes_memory_unknown() -> None:
    lines = body("60076040526001" + "5f35" + "52" + "6040515f55")
    assert "v3 = to_int(M[64:96], 'big')" in lines


@pytest.mark.parametrize("write", ["6001604153", "60016050" + "52", "60205f604137", "60205f60605e"])
def test_a_write_that_overlaps_a_known_word_makes_it_unknown(write: str) -> None:
    code = bytes.fromhex("7f" + "ab" * 32 + "604052" + write + "604051606051015f55")
    eager = translator(EAGER_POLICY)
    outcomes = [
        run(build_state({CONTRACTS[0]: Account(code)}, r), r, CONTRACTS[0], data=b"\x77" * 32)
        for r in (run_plain, eager)
    ]
    assert outcomes[0] == outcomes[1]


def test_a_jump_back_to_the_start_is_a_loop_of_python() -> None:
    assert any(
        "while not stop.requested" in line
        for line in source_at(bytes.fromhex("5b5a600057"), PRAGUE_OPCODES).splitlines()
    )


def test_an_opcode_that_is_not_inlined_leaves_for_the_interpreter() -> None:
    assert source_at(bytes.fromhex("5f5f5ff0"), PRAGUE_OPCODES).rstrip().endswith("return -5")


def test_only_changed_items_are_written_back() -> None:
    """Of the three items that this reads, one changes before the conditional jump."""
    source = source_at(bytes.fromhex("5b9160010191366000575f5f60005700"), PRAGUE_OPCODES)
    assert "if v" in source and ": S[-3] = v" in source
