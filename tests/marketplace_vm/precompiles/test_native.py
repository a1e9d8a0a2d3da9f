"""The binding to py-evm: who may call how, what a contract sees, what a bug does, and that gas is the EVM's own."""

import logging
from dataclasses import replace
from typing import Any

import pytest
from eth.vm.forks.cancun.transaction_context import CancunTransactionContext
from eth.vm.message import Message
from hypothesis import given
from hypothesis import strategies as st

from dmchain.chain.primitives.errors import InvariantBroken
from dmchain.marketplace_vm.precompiles import CID_REGISTRY, LICENSE_LEDGER, gas, native
from dmchain.marketplace_vm.precompiles.dispatch import MAX_CALLDATA_BYTES, NativeContract
from dmchain.marketplace_vm.precompiles.host import compute_log_gas, compute_sstore_gas
from tests.marketplace_vm.precompiles.native_machines import (
    GAS,
    MACHINES,
    EvmMachine,
    Machine,
    Outcome,
    PlainMachine,
    spec_of,
)
from tests.marketplace_vm.precompiles.samples import ALICE, BOB, MALLORY, as_hex, make_cid, make_long_cid, register
from tests.marketplace_vm.precompiles.solidity import compile_standard

PROXY = b"\x9c" * 20
CALL, CALLCODE, DELEGATECALL, STATICCALL = 0xF1, 0xF2, 0xF4, 0xFA


def proxy(opcode: int, target: bytes) -> bytes:
    """Code that passes calldata (and value) on and returns one word of success, then the returned data."""
    value = b"\x34" if opcode in (CALL, CALLCODE) else b""
    forward = (
        bytes.fromhex("365f5f37") + bytes.fromhex("5f5f365f") + value + b"\x73" + target + b"\x5a" + bytes((opcode,))
    )
    return forward + bytes.fromhex("5f52" + "3d5f60203e" + "3d6020015ff3")


def call_through(evm: EvmMachine, opcode: int, target: bytes, data: bytes, value: int = 0) -> tuple[bool, bytes]:
    """Return (success, returned data) as a contract at PROXY sees them."""
    evm.install(PROXY, proxy(opcode, target))
    outcome = evm.call(PROXY, ALICE, data, value=value)
    assert outcome.success
    return bool(int.from_bytes(outcome.output[:32], "big")), outcome.output[32:]


def selector_of(name: str) -> bytes:
    return next(e.selector for c in native.CONTRACTS for e in c.errors if e.name == name)


REGISTER = spec_of(CID_REGISTRY, "registerCid").encode_call(make_cid("data"), b"", (), 0)
COUNT = spec_of(CID_REGISTRY, "datasetCount").encode_call()


# ---------------------------------------------------------------- ways of calling


def test_a_contract_registers_and_owns(evm: EvmMachine) -> None:
    success, dataset_id = call_through(evm, CALL, CID_REGISTRY, REGISTER)
    assert success
    assert evm.see("ownerOf", dataset_id) == as_hex(PROXY)


def test_a_contract_sees_custom_errors(evm: EvmMachine) -> None:
    dataset_id = register(evm, BOB, "data")
    success, data = call_through(evm, CALL, CID_REGISTRY, REGISTER)
    assert not success
    assert data == selector_of("AlreadyRegistered") + dataset_id


@pytest.mark.parametrize("opcode", [DELEGATECALL, CALLCODE])
@pytest.mark.parametrize("target", [CID_REGISTRY, LICENSE_LEDGER])
@pytest.mark.parametrize("data", [REGISTER, COUNT, b""])
def test_borrowing_the_code_is_refused(evm: EvmMachine, opcode: int, target: bytes, data: bytes) -> None:
    before = evm.storage()
    success, returned = call_through(evm, opcode, target, data)
    assert (success, returned) == (False, selector_of("DirectCallOnly"))
    assert evm.storage() == before


def test_reads_work_and_writes_fail_under_staticcall(evm: EvmMachine) -> None:
    register(evm, BOB, "other")
    assert call_through(evm, STATICCALL, CID_REGISTRY, COUNT) == (True, (1).to_bytes(32, "big"))
    before = evm.storage()
    assert call_through(evm, STATICCALL, CID_REGISTRY, REGISTER) == (False, b"")
    assert evm.storage() == before


def test_every_function_that_is_not_a_view_fails_under_staticcall(machine: Machine) -> None:
    dataset_id = register(machine, ALICE, "data")
    machine.must(ALICE, "grant", dataset_id, BOB, 3, 0, 5, bytes(32), at=LICENSE_LEDGER)
    machine.must(ALICE, "grant", dataset_id, ALICE, 1, 0, 0, bytes(32), at=LICENSE_LEDGER)
    calls: list[tuple[Any, ...]] = [
        (CID_REGISTRY, "registerCid", make_cid("x"), b"", (), 0), (CID_REGISTRY, "commitCid", bytes(32)),
        (CID_REGISTRY, "addVersion", dataset_id, make_cid("x"), b""),
        (CID_REGISTRY, "transferDataset", dataset_id, BOB), (CID_REGISTRY, "setController", dataset_id, BOB),
        (CID_REGISTRY, "setController", dataset_id, bytes(20)), (CID_REGISTRY, "setOperator", dataset_id, BOB),
        (CID_REGISTRY, "retire", dataset_id), (LICENSE_LEDGER, "grant", dataset_id, MALLORY, 1, 0, 0, bytes(32)),
        (LICENSE_LEDGER, "extend", dataset_id, BOB, 0, 1), (LICENSE_LEDGER, "consume", dataset_id, BOB, 1),
        (LICENSE_LEDGER, "consume", dataset_id, ALICE, 1), (LICENSE_LEDGER, "revoke", dataset_id, BOB, bytes(32)),
    ]  # fmt: skip
    before = machine.storage()
    for address, name, *arguments in calls:
        outcome = machine.do(ALICE, name, *arguments, at=address, static=True)
        assert (outcome.success, outcome.output, outcome.gas_used, outcome.logs) == (False, b"", GAS, ()), name
    assert machine.storage() == before
    for address, name, *arguments in calls[:3]:
        assert machine.do(ALICE, name, *arguments, at=address).success


@pytest.mark.parametrize("target", [CID_REGISTRY, LICENSE_LEDGER])
def test_coin_is_sent_back(machine: Machine, target: bytes) -> None:
    for data in (REGISTER, COUNT, b""):
        outcome = machine.call(target, ALICE, data, value=5)
        assert outcome.error == ("NotPayable", 5)
    if isinstance(machine, EvmMachine):
        assert machine.state.get_balance(target) == 0
        machine.install(PROXY, proxy(CALL, target))
        outcome = machine.call(PROXY, ALICE, COUNT, value=7)
        assert outcome.output[32:] == selector_of("NotPayable") + (7).to_bytes(32, "big")
        assert machine.state.get_balance(PROXY) == 7


@pytest.mark.parametrize("target", [CID_REGISTRY, LICENSE_LEDGER])
@pytest.mark.parametrize("data", [b"", b"\x01", b"\x01\x02\x03", b"\xde\xad\xbe\xef", b"\xde\xad\xbe\xef" + bytes(64)])
def test_unknown_functions_revert(machine: Machine, target: bytes, data: bytes) -> None:
    assert machine.call(target, ALICE, data).error == ("UnknownFunction", data[:4].ljust(4, b"\0"))


def test_calldata_is_bounded_and_paid_for(machine: Machine) -> None:
    fits = machine.call(CID_REGISTRY, ALICE, COUNT.ljust(MAX_CALLDATA_BYTES, b"\0"))
    short = machine.call(CID_REGISTRY, ALICE, COUNT)
    assert fits.output == short.output
    assert fits.gas_used - short.gas_used == gas.CALLDATA_WORD * (MAX_CALLDATA_BYTES // 32 - 1)
    longer = machine.call(CID_REGISTRY, ALICE, COUNT.ljust(MAX_CALLDATA_BYTES + 1, b"\0"))
    assert longer.error == ("InvalidCalldata",) and longer.gas_used == gas.ENTRY


def test_the_code_at_the_addresses_is_a_stub_that_reverts(evm: EvmMachine) -> None:
    for address in native.PRECOMPILES:
        assert evm.state.get_nonce(address) == 1
        code = evm.state.get_code(address)
        evm.install(PROXY, code)
        outcome = evm.call(PROXY, ALICE, REGISTER)
        assert (outcome.success, outcome.output) == (False, b"") and outcome.gas_used < 10


def test_precompile_addresses_are_warm_from_the_start(evm: EvmMachine) -> None:
    evm.state.lock_changes()
    for address in native.PRECOMPILES:
        assert evm.state.is_address_warm(address)


# ---------------------------------------------------------------- EIP-7702


@pytest.mark.parametrize("opcode", [CALL, STATICCALL, DELEGATECALL, CALLCODE])
def test_a_delegation_to_a_precompile_runs_nothing(evm: EvmMachine, opcode: int) -> None:
    evm.install(BOB, b"\xef\x01\x00" + CID_REGISTRY)
    before = evm.storage()
    for data in (REGISTER, COUNT, b""):
        assert call_through(evm, opcode, BOB, data) == (True, b"")
    assert evm.storage() == before


def test_a_transaction_to_a_delegated_account_runs_nothing(evm: EvmMachine) -> None:
    evm.state.lock_changes()
    message = Message(
        gas=GAS, to=BOB, sender=ALICE, value=0, data=REGISTER, code=evm.state.get_code(CID_REGISTRY),
        code_address=CID_REGISTRY, is_delegation=True,
    )  # fmt: skip
    context = CancunTransactionContext(gas_price=7, origin=ALICE)
    computation = evm.state.computation_class.apply_message(evm.state, message, context)
    assert computation.is_success and computation.output == b"" and computation.get_gas_used() == 0
    assert native.PRECOMPILES[CID_REGISTRY](computation) is computation and computation.output == b""


# ---------------------------------------------------------------- gas


def test_every_gas_limit_below_the_need_changes_nothing(machine: Machine) -> None:
    """Each limit up to what the call needs: it halts, takes all of it, and leaves no trace."""
    data = spec_of(LICENSE_LEDGER, "grant")
    dataset_id = register(machine, ALICE, "data")
    calldata = data.encode_call(dataset_id, BOB, 2, 2**40, 7, make_cid("t")[-32:])
    needed = 52_000
    before = machine.storage()
    # 23 does not divide the prices, so limits fall on every side of every charge.
    for limit in range(0, needed, 1013):
        outcome = machine.call(LICENSE_LEDGER, ALICE, calldata, gas=limit)
        assert (outcome.success, outcome.output, outcome.gas_used, outcome.logs) == (False, b"", limit, ())
    assert machine.storage() == before
    full = machine.call(LICENSE_LEDGER, ALICE, calldata)
    assert full.success and full.gas_used > needed


def test_exactly_enough_gas_is_enough() -> None:
    for make in MACHINES:
        used = make().call(CID_REGISTRY, ALICE, REGISTER).gas_used
        assert make().call(CID_REGISTRY, ALICE, REGISTER, gas=used).success
        assert not make().call(CID_REGISTRY, ALICE, REGISTER, gas=used - 1).success


def test_a_call_stipend_cannot_write(machine: Machine) -> None:
    outcome = machine.do(ALICE, "commitCid", bytes(32), gas=2300 + gas.COLD_SLOAD)
    assert not outcome.success and outcome.output == b""


values = st.integers(0, 2)


@given(values, values, values, st.booleans())
def test_storage_gas_is_that_of_sstore(original: int, current: int, new: int, is_cold: bool) -> None:
    """Run SSTORE itself: `original` from a transaction before, `current` and `new` within one."""

    def run(*written: int) -> Outcome:
        evm = PlainMachine()
        evm.install(PROXY, b"".join(bytes((0x60, value, 0x60, 5, 0x55)) for value in written))
        evm.state.set_storage(PROXY, 5, original)
        return evm.call(PROXY, ALICE, b"")

    first = [] if is_cold else [current]
    before, after = run(*first), run(*first, new)
    cost, refund = compute_sstore_gas(original, original if is_cold else current, new, is_cold)
    assert after.gas_used - before.gas_used - 6 == cost
    assert after.refund - before.refund == refund


@pytest.mark.parametrize("topics", range(5))
@pytest.mark.parametrize("size", [0, 1, 33, 500])
def test_log_gas_is_that_of_log(evm: EvmMachine, topics: int, size: int) -> None:
    prefix = bytes.fromhex("5f6103e052")  # memory paid before
    pushes = b"\x5f" * topics + b"\x61" + size.to_bytes(2, "big") + b"\x5f"
    evm.install(PROXY, prefix + pushes)
    before = evm.call(PROXY, ALICE, b"").gas_used
    evm.install(PROXY, prefix + pushes + bytes((0xA0 + topics,)))
    assert evm.call(PROXY, ALICE, b"").gas_used - before == compute_log_gas(topics, size)


def test_storage_prices_are_those_of_the_evm(evm: EvmMachine) -> None:
    evm.install(PROXY, bytes.fromhex("5f54"))
    assert evm.call(PROXY, ALICE, b"").gas_used == 2 + gas.COLD_SLOAD
    evm.install(PROXY, bytes.fromhex("5f545f54"))
    assert evm.call(PROXY, ALICE, b"").gas_used == 4 + gas.COLD_SLOAD + gas.WARM_READ


def test_all_machines_agree_on_gas_output_logs_and_storage() -> None:
    """One script with every function in it."""
    machines = [make() for make in MACHINES]
    script: list[tuple[Any, ...]] = [
        (ALICE, CID_REGISTRY, "registerCid", make_cid("a"), make_cid("m"), (), 5),
        (BOB, CID_REGISTRY, "registerCid", make_long_cid("b"), make_long_cid("m"), (), 5),
        (BOB, CID_REGISTRY, "registerCid", make_cid("a"), b"", (), 5),
        (ALICE, CID_REGISTRY, "commitCid", bytes(32)),
        (ALICE, CID_REGISTRY, "commitmentOf", bytes(32)),
        (ALICE, CID_REGISTRY, "datasets", 0, 10),
        (ALICE, CID_REGISTRY, "governance"),
    ]
    ids = [make.must(ALICE, "registerCid", make_cid("first"), b"", (), 0) for make in machines]
    first = ids[0]
    script += [
        (BOB, CID_REGISTRY, "registerCid", make_cid("c"), b"", (first,), 5),
        (ALICE, CID_REGISTRY, "addVersion", first, make_cid("v"), make_long_cid("v")),
        (ALICE, CID_REGISTRY, "versions", first, 0, 5), (ALICE, CID_REGISTRY, "children", first, 0, 5),
        (ALICE, LICENSE_LEDGER, "grant", first, BOB, 3, 0, 9, bytes(32)),
        (ALICE, LICENSE_LEDGER, "consume", first, BOB, 9), (ALICE, LICENSE_LEDGER, "extend", first, BOB, 0, 4),
        (ALICE, LICENSE_LEDGER, "hasLicenses", [first, bytes(32)], BOB), (BOB, LICENSE_LEDGER, "licenseOf", first, BOB),
        (BOB, LICENSE_LEDGER, "revoke", first, BOB, bytes(32)),
        (ALICE, LICENSE_LEDGER, "revoke", first, BOB, bytes(32)),
        (ALICE, CID_REGISTRY, "setController", first, BOB), (ALICE, CID_REGISTRY, "setController", first, bytes(20)),
        (ALICE, CID_REGISTRY, "setOperator", first, BOB), (BOB, CID_REGISTRY, "transferDataset", first, MALLORY),
        (MALLORY, CID_REGISTRY, "retire", first), (MALLORY, CID_REGISTRY, "dataset", first),
    ]  # fmt: skip
    for caller, address, name, *arguments in script:
        outcomes = [machine.do(caller, name, *arguments, at=address) for machine in machines]
        assert outcomes[0] == outcomes[1] == outcomes[2], name
    assert machines[0].storage() == machines[1].storage() == machines[2].storage()


# ---------------------------------------------------------------- failures that are ours


def broken_contract(evm: EvmMachine, problem: BaseException) -> NativeContract:
    """The registry with a handler that raises."""

    def run(host: Any) -> bytes:
        host.store(1, 1)
        raise problem

    handlers = [replace(h, run=run) if h.spec.name == "datasetCount" else h for h in native.CONTRACTS[0].handlers]
    contract = replace(native.CONTRACTS[0], handlers=tuple(handlers))
    table = {**evm.state.computation_class._precompiles, CID_REGISTRY: native.bind(contract)}
    evm.state.computation_class = type("Broken", (evm.state.computation_class,), {"_precompiles": table})
    return contract


@pytest.mark.parametrize("problem", [ValueError("oops"), KeyError(3), ZeroDivisionError(), AssertionError()])
def test_a_bug_is_a_halt_and_is_logged(evm: EvmMachine, problem: Exception, caplog: pytest.LogCaptureFixture) -> None:
    broken_contract(evm, problem)
    with caplog.at_level(logging.ERROR):
        outcome = evm.call(CID_REGISTRY, ALICE, COUNT, gas=100_000)
    assert (outcome.success, outcome.output, outcome.gas_used) == (False, b"", 100_000)
    assert evm.storage() == {}
    assert "bug in a native precompile" in caplog.text and COUNT.hex() in caplog.text
    assert call_through(evm, CALL, CID_REGISTRY, COUNT) == (False, b"")


@pytest.mark.parametrize("problem", [InvariantBroken("disk"), MemoryError(), RecursionError(), KeyboardInterrupt()])
def test_what_need_not_happen_on_every_node_is_no_halt(evm: EvmMachine, problem: BaseException) -> None:
    broken_contract(evm, problem)
    with pytest.raises(type(problem)):
        evm.call(CID_REGISTRY, ALICE, COUNT)


@pytest.mark.parametrize("method", ["get_storage", "set_storage", "is_storage_warm", "mark_storage_warm"])
def test_a_failing_state_stops_execution(evm: EvmMachine, method: str) -> None:
    """The same exceptions as a bug, but from below: one node's disk must not decide what a call returns."""

    def fail(*arguments: Any, **options: Any) -> Any:
        raise KeyError("missing trie node")

    setattr(evm.state, method, fail)
    with pytest.raises(KeyError, match="missing trie node"):
        evm.call(CID_REGISTRY, ALICE, REGISTER)


# ---------------------------------------------------------------- Solidity

CONSUMER = """
// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;
import {ICidRegistry, CID_REGISTRY} from "ICidRegistry.sol";
import {ILicenseLedger, LICENSE_LEDGER} from "ILicenseLedger.sol";

contract Consumer {
    modifier licensed(bytes32 datasetId) {
        require(LICENSE_LEDGER.hasLicense(datasetId, msg.sender), "no licence");
        _;
    }

    function gated(bytes32 datasetId) external view licensed(datasetId) returns (uint256) { return 42; }

    function sell(bytes calldata cid, address licensee) external returns (bytes32 id, bytes memory latest) {
        bytes32[] memory parents = new bytes32[](0);
        id = CID_REGISTRY.registerCid(cid, "", parents, 1);
        LICENSE_LEDGER.grant(id, licensee, ILicenseLedger.LicenseKind.OneTime, 0, 0, bytes32(0));
        ICidRegistry.Dataset memory found = CID_REGISTRY.dataset(id);
        require(found.owner == address(this) && found.status == ICidRegistry.DatasetStatus.Active);
        require(CID_REGISTRY.versions(id, 0, 10).length == 1);
        latest = found.latestCid;
        try CID_REGISTRY.registerCid(cid, "", parents, 1) { revert("twice"); }
        catch (bytes memory reason) { require(bytes4(reason) == ICidRegistry.AlreadyRegistered.selector); }
    }
}
"""


def test_a_solidity_contract_registers_grants_gates_and_catches(evm: EvmMachine) -> None:
    folder = native.__file__.rsplit("/", 2)[0] + "/contracts/interfaces"
    sources = {"Consumer.sol": CONSUMER}
    for name in ("ICidRegistry.sol", "ILicenseLedger.sol"):
        with open(f"{folder}/{name}") as file:
            sources[name] = file.read()
    compiled = compile_standard(sources, ["abi", "evm.deployedBytecode.object", "evm.methodIdentifiers"])
    contract = compiled["Consumer.sol"]["Consumer"]["evm"]
    selectors = {name.split("(")[0]: bytes.fromhex(each) for name, each in contract["methodIdentifiers"].items()}
    evm.install(PROXY, bytes.fromhex(contract["deployedBytecode"]["object"]))
    cid = make_cid("data")
    sell = selectors["sell"] + (
        (64).to_bytes(32, "big") + BOB.rjust(32, b"\0") + len(cid).to_bytes(32, "big") + cid.ljust(64, b"\0")
    )
    outcome = evm.call(PROXY, ALICE, sell)
    assert outcome.success, outcome.output
    dataset_id = outcome.output[:32]
    assert len(outcome.logs) == 2 and cid in outcome.output
    assert evm.call(PROXY, BOB, selectors["gated"] + dataset_id).output == (42).to_bytes(32, "big")
    refused = evm.call(PROXY, MALLORY, selectors["gated"] + dataset_id)
    assert not refused.success and b"no licence" in refused.output
