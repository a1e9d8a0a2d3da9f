"""Whatever the calldata, value and gas, a call succeeds, reverts with an error of the interface, or halts; coin is kept
together, and gas bounds the work."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmchain.chain.primitives.errors import InvariantBroken
from dmchain.chain.staking import STAKING
from dmchain.chain.staking.invariants import check_conservation
from dmchain.marketplace_vm.precompiles import gas, staking
from dmchain.marketplace_vm.precompiles.staking_interface import WHOLE_STAKE
from tests.marketplace_vm.precompiles.native_machines import ERRORS, FlatMachine, Machine, MemoryMachine, PlainMachine
from tests.marketplace_vm.staking.rig import DISPUTES, ETHER, StakingChain, account

SELECTORS = sorted(staking.CONTRACT.by_selector)
PEOPLE = [account("v0"), account("v1"), account("dora"), DISPUTES, STAKING, bytes(20)]
INTERESTING = [
    *(each.rjust(32, b"\0") for each in PEOPLE),
    bytes(32), b"\xff" * 32,
    *(n.to_bytes(32, "big") for n in (1, 32, 64, 96, 128, 500, 10_001, ETHER, 2**64, 2**95, 2**96, 2**255)),
]  # fmt: skip


def prepare(machine: Machine) -> StakingChain:
    """Something of everything: delegations, rewards, withdrawals, a redelegation, a tombstone."""
    chain = StakingChain(machine=machine, block_reward=10**15)
    chain.do("dora", "delegate", account("v0"), value=5 * ETHER)
    chain.do("dora", "delegate", account("v2"), value=5 * ETHER)
    chain.next_epoch()
    chain.blocks(3)
    chain.do("dora", "undelegate", account("v0"), ETHER)
    chain.do("dora", "redelegate", account("v2"), account("v1"), ETHER)
    chain.block(evidence=[chain.double_vote("v2", 3)])
    return chain


SAMPLE = prepare(MemoryMachine())

words = st.one_of(st.sampled_from(INTERESTING), st.binary(min_size=32, max_size=32))
calldata = st.builds(
    lambda head, body, tail: head + b"".join(body) + tail,
    st.one_of(st.sampled_from(SELECTORS), st.binary(max_size=4)),
    st.lists(words, max_size=10),
    st.one_of(st.just(b""), st.binary(max_size=40)),
)


@st.composite
def nearly_valid_calls(draw: st.DrawFn) -> bytes:
    """Well-formed calls with plausible arguments, then perhaps one word replaced or the end cut off."""
    spec = staking.CONTRACT.by_selector[draw(st.sampled_from(SELECTORS))].spec
    registration = SAMPLE.registration("new")
    kinds: dict[str, st.SearchStrategy[Any]] = {
        "bytes": st.sampled_from([registration[0], registration[1], b"", bytes(65)]),
        "address[]": st.lists(st.sampled_from(PEOPLE), max_size=5),
        "address": st.sampled_from(PEOPLE),
        "bytes32": st.sampled_from([bytes(32), b"\1" * 32]),
        "uint48": st.sampled_from([0, 1, 2**48 - 1]),
        "uint16": st.sampled_from([0, 500, 10_000, 65_535]),
        "uint256": st.sampled_from([0, 1, ETHER, 10 * ETHER, 2**96, WHOLE_STAKE]),
    }
    data = spec.encode_call(*(draw(kinds[each.type.name]) for each in spec.inputs))
    if draw(st.booleans()):
        place = 4 + 32 * draw(st.integers(0, max(0, len(data) // 32 - 1)))
        data = data[:place] + draw(words) + data[place + 32 :]
    return data[: draw(st.integers(0, len(data)))] if draw(st.integers(0, 5)) == 0 else data


callers = st.sampled_from([account("v0"), account("v2"), account("dora"), DISPUTES])
values = st.sampled_from([0, 0, 0, 1, ETHER, 2**95])


def check(machine: Machine, caller: bytes, data: bytes, value: int, **options: Any) -> Any:
    machine.set_balance(caller, value + ETHER)
    outcome = machine.call(STAKING, caller, data, value=value, **options)
    if not outcome.success:
        assert outcome.output == b"" or outcome.output[:4] in ERRORS, outcome
        assert outcome.logs == () and machine.get_balance(caller) == value + ETHER
        if outcome.output:
            assert outcome.error is not None  # its arguments decode
    assert outcome.gas_used >= min(gas.ENTRY, options.get("gas", gas.ENTRY))
    check_conservation(machine.get_storage, machine.get_balance)
    return outcome


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(calldata, nearly_valid_calls()), callers, values, st.booleans(), st.sampled_from([9_000, 60_000, None])
)
def test_calls_end_in_a_way_the_interface_names(
    data: bytes, caller: bytes, value: int, static: bool, limit: int | None
) -> None:
    machine = MemoryMachine()
    machine.timestamp, machine.block_number = SAMPLE.now, SAMPLE.number
    machine.state.storage = dict(SAMPLE.state.storage)
    machine.state.balances = dict(SAMPLE.state.balances)
    before = machine.storage()
    outcome = check(machine, caller, data, 0 if static else value, static=static, gas=limit or 10_000_000)
    if static or not outcome.success:
        assert machine.storage() == before


@settings(max_examples=10, deadline=None)
@given(st.lists(st.tuples(st.one_of(calldata, nearly_valid_calls()), callers, values), min_size=1, max_size=12))
def test_all_machines_end_alike(calls: list[tuple[bytes, bytes, int]]) -> None:
    chains = [prepare(machine()) for machine in (MemoryMachine, PlainMachine, FlatMachine)]
    for data, caller, value in calls:
        outcomes = [check(chain.machine, caller, data, value) for chain in chains]
        assert outcomes[0] == outcomes[1] == outcomes[2]
    storages = [chain.machine.storage() for chain in chains]
    assert storages[0] == storages[1] == storages[2]
    balances = [chain.machine.get_balance(STAKING) for chain in chains]
    assert balances[0] == balances[1] == balances[2]


def test_running_out_of_gas_at_any_point_leaves_no_trace() -> None:
    """Every prefix of the work of the calls that move coin."""
    for caller, name, arguments, value in (
        ("dora", "delegate", [account("v0")], ETHER),
        ("dora", "undelegate", [account("v0"), ETHER], 0),
        ("dora", "redelegate", [account("v0"), account("v3"), ETHER], 0),
        ("dora", "settle", [account("v1"), account("dora")], 0),
        ("v1", "withdrawRewards", [account("v1")], 0),
    ):
        machine = MemoryMachine()
        machine.timestamp, machine.block_number = SAMPLE.now, SAMPLE.number
        machine.state.storage = dict(SAMPLE.state.storage)
        machine.state.balances = dict(SAMPLE.state.balances)
        before, balances = machine.storage(), dict(machine.state.balances)
        machine.set_balance(account(caller), ETHER)
        balances[account(caller)] = ETHER
        limit = 1_000
        while True:
            outcome = machine.do(account(caller), name, *arguments, at=STAKING, value=value, gas=limit)
            if outcome.success:
                break
            assert outcome.output == b"", outcome.error
            assert machine.storage() == before
            assert {key: amount for key, amount in machine.state.balances.items() if amount} == {
                key: amount for key, amount in balances.items() if amount
            }
            limit += 1_777


def test_a_contract_that_lost_coin_stops_the_node_instead_of_paying() -> None:
    """Conservation is broken below us: nothing goes on."""
    for machine in (MemoryMachine(), PlainMachine(), FlatMachine()):
        chain = prepare(machine)
        machine.set_balance(STAKING, 10)
        chain.machine.timestamp += 2_000
        with pytest.raises(InvariantBroken):
            machine.do(account("dora"), "withdrawUnbonded", at=STAKING)
