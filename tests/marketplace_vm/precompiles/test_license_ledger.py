"""LicenseLedger: grants, renewals, meters and revocations, over dicts and over py-evm."""

from typing import Any

import eth_abi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmchain.chain.primitives.crypto import keccak
from dmchain.marketplace_vm.precompiles import LICENSE_LEDGER
from dmchain.marketplace_vm.precompiles.layout import (
    DatasetStatus,
    DatasetWord,
    LicenseKind,
    LicenseWord,
    license_slot,
)
from dmchain.marketplace_vm.precompiles.license_ledger import LicenseStatus, compute_status, is_valid
from tests.marketplace_vm.precompiles.native_machines import START_TIME, Machine, Outcome
from tests.marketplace_vm.precompiles.samples import (
    ALICE,
    BOB,
    CAROL,
    MALLORY,
    NOBODY,
    SALT,
    UNKNOWN,
    as_hex,
    commit,
    make_cid,
    register,
)

ONE_TIME, SUBSCRIPTION, PAY_PER_COMPUTE = LicenseKind.ONE_TIME, LicenseKind.SUBSCRIPTION, LicenseKind.PAY_PER_COMPUTE
TERMS = keccak(b"terms")
FOREVER = 0
UINT64_MAX = 2**64 - 1


def must(machine: Machine, name: str, *arguments: Any, by: bytes = ALICE) -> Any:
    return machine.must(by, name, *arguments, at=LICENSE_LEDGER)


def fail(machine: Machine, name: str, *arguments: Any, by: bytes = ALICE) -> Any:
    return machine.fail(by, name, *arguments, at=LICENSE_LEDGER)


def has(machine: Machine, dataset_id: bytes, account: bytes = BOB) -> bool:
    answer: bool = machine.see("hasLicense", dataset_id, account, at=LICENSE_LEDGER)
    return answer


def look(machine: Machine, dataset_id: bytes, account: bytes = BOB) -> Any:
    """(status, kind, metered, expiresAt, units, grantedAt, termsHash)"""
    return machine.see("licenseOf", dataset_id, account, at=LICENSE_LEDGER)


def grant_any(machine: Machine, dataset_id: bytes, expires_at: int = 0, units: int = 0) -> None:
    must(machine, "grant", dataset_id, BOB, ONE_TIME, expires_at, units, TERMS)


@pytest.fixture
def dataset_id(machine: Machine) -> bytes:
    return register(machine, ALICE, "data")


# ---------------------------------------------------------------- granting


def test_a_licence_without_end_or_meter_lasts(machine: Machine, dataset_id: bytes) -> None:
    assert not has(machine, dataset_id)
    must(machine, "grant", dataset_id, BOB, ONE_TIME, FOREVER, 0, TERMS)
    assert has(machine, dataset_id) and not has(machine, dataset_id, ALICE)
    assert look(machine, dataset_id) == (LicenseStatus.VALID, ONE_TIME, False, 0, 0, START_TIME, TERMS)
    machine.next_block(seconds=10**9)
    assert has(machine, dataset_id)


def test_granting_emits_the_whole_licence(machine: Machine, dataset_id: bytes) -> None:
    end = START_TIME + 60
    outcome = machine.do(ALICE, "grant", dataset_id, BOB, SUBSCRIPTION, end, 7, TERMS, at=LICENSE_LEDGER)
    (log,) = outcome.logs
    topic = keccak(b"LicenseGranted(bytes32,address,uint8,uint64,uint64,bytes32,address)")
    assert (log.address, log.topics) == (LICENSE_LEDGER, (topic, dataset_id, BOB.rjust(32, b"\0")))
    values = eth_abi.decode(["uint8", "uint64", "uint64", "bytes32", "address"], log.data)
    assert values == (SUBSCRIPTION, end, 7, TERMS, as_hex(ALICE))


def test_only_the_controller_changes_licences(machine: Machine, dataset_id: bytes) -> None:
    machine.must(ALICE, "setController", dataset_id, CAROL)
    calls: list[tuple[Any, ...]] = [
        ("grant", dataset_id, BOB, ONE_TIME, 0, 0, TERMS),
        ("extend", dataset_id, BOB, 0, 0),
        ("consume", dataset_id, BOB, 1),
        ("revoke", dataset_id, BOB, bytes(32)),
    ]
    for call in calls:
        for caller in (ALICE, BOB, MALLORY):
            error = fail(machine, *call, by=caller)
            assert error == ("NotController", dataset_id, as_hex(caller), as_hex(CAROL))
    for name, _, *rest in calls:
        assert fail(machine, name, UNKNOWN, *rest) == ("UnknownDataset", UNKNOWN)
    must(machine, *calls[0], by=CAROL)
    assert has(machine, dataset_id)


def test_a_new_controller_has_the_say_over_existing_licences(machine: Machine, dataset_id: bytes) -> None:
    machine.must(ALICE, "setController", dataset_id, CAROL)
    must(machine, "grant", dataset_id, BOB, PAY_PER_COMPUTE, FOREVER, 10, TERMS, by=CAROL)
    machine.must(ALICE, "transferDataset", dataset_id, MALLORY)
    assert has(machine, dataset_id)
    assert fail(machine, "consume", dataset_id, BOB, 1, by=CAROL)[0] == "NotController"
    assert must(machine, "consume", dataset_id, BOB, 1, by=MALLORY) == 9


def test_arguments_that_make_no_licence_are_refused(machine: Machine, dataset_id: bytes) -> None:
    grant = ("grant", dataset_id, BOB)
    soon = START_TIME + 1
    assert fail(machine, "grant", dataset_id, NOBODY, ONE_TIME, 0, 0, TERMS) == ("InvalidLicensee", as_hex(NOBODY))
    for kind in (0, 4, 255):
        assert fail(machine, *grant, kind, 0, 0, TERMS) == ("InvalidKind", kind)
    assert fail(machine, *grant, ONE_TIME, START_TIME, 0, TERMS) == ("InvalidExpiry", START_TIME, soon)
    assert fail(machine, *grant, SUBSCRIPTION, FOREVER, 0, TERMS) == ("InvalidExpiry", 0, soon)
    assert fail(machine, *grant, PAY_PER_COMPUTE, FOREVER, 0, TERMS) == ("InvalidUnits", 0)


def test_a_valid_licence_cannot_be_overwritten(machine: Machine, dataset_id: bytes) -> None:
    grant_any(machine, dataset_id)
    error = fail(machine, "grant", dataset_id, BOB, SUBSCRIPTION, START_TIME + 1, 0, TERMS)
    assert error == ("LicenseInForce", dataset_id, as_hex(BOB))


@pytest.mark.parametrize("end", ["expired", "exhausted", "revoked"])
def test_a_licence_that_ended_makes_room_for_a_new_one(machine: Machine, dataset_id: bytes, end: str) -> None:
    must(machine, "grant", dataset_id, BOB, PAY_PER_COMPUTE, START_TIME + 10, 5, TERMS)
    if end == "expired":
        machine.next_block(seconds=10)
    elif end == "exhausted":
        must(machine, "consume", dataset_id, BOB, 5)
    else:
        must(machine, "revoke", dataset_id, BOB, bytes(32))
    assert not has(machine, dataset_id)
    must(machine, "grant", dataset_id, BOB, ONE_TIME, FOREVER, 0, bytes(32))
    assert look(machine, dataset_id) == (LicenseStatus.VALID, ONE_TIME, False, 0, 0, machine.timestamp, bytes(32))


# ---------------------------------------------------------------- time


def test_a_licence_ends_at_the_second_it_names(machine: Machine, dataset_id: bytes) -> None:
    grant_any(machine, dataset_id, expires_at=START_TIME + 10)
    machine.next_block(seconds=9)
    assert has(machine, dataset_id)
    machine.next_block(seconds=1)
    assert not has(machine, dataset_id)
    assert look(machine, dataset_id)[0] == LicenseStatus.EXPIRED


def test_extending_moves_the_end_and_never_back(machine: Machine, dataset_id: bytes) -> None:
    grant_any(machine, dataset_id, expires_at=START_TIME + 10)
    outcome = machine.do(ALICE, "extend", dataset_id, BOB, START_TIME + 20, 0, at=LICENSE_LEDGER)
    assert eth_abi.decode(["uint64", "uint64"], outcome.logs[0].data) == (START_TIME + 20, 0)
    assert fail(machine, "extend", dataset_id, BOB, START_TIME + 19, 0) == (
        "InvalidExpiry",
        START_TIME + 19,
        START_TIME + 20,
    )
    assert fail(machine, "extend", dataset_id, BOB, FOREVER, 0)[0] == "InvalidExpiry"
    must(machine, "extend", dataset_id, BOB, START_TIME + 20, 0)


def test_an_expired_licence_can_be_renewed(machine: Machine, dataset_id: bytes) -> None:
    grant_any(machine, dataset_id, expires_at=START_TIME + 10)
    machine.next_block(seconds=100)
    now = machine.timestamp
    assert fail(machine, "extend", dataset_id, BOB, now, 0) == ("InvalidExpiry", now, now + 1)
    must(machine, "extend", dataset_id, BOB, now + 1, 0)
    assert has(machine, dataset_id)


def test_a_licence_without_end_stays_without(machine: Machine, dataset_id: bytes) -> None:
    must(machine, "grant", dataset_id, BOB, PAY_PER_COMPUTE, FOREVER, 1, TERMS)
    assert fail(machine, "extend", dataset_id, BOB, START_TIME + 10, 0) == ("InvalidExpiry", START_TIME + 10, 0)
    must(machine, "extend", dataset_id, BOB, FOREVER, 4)
    assert look(machine, dataset_id)[4] == 5


# ---------------------------------------------------------------- units


def test_units_run_out_and_can_be_topped_up(machine: Machine, dataset_id: bytes) -> None:
    must(machine, "grant", dataset_id, BOB, PAY_PER_COMPUTE, FOREVER, 10, TERMS)
    outcome = machine.do(ALICE, "consume", dataset_id, BOB, 4, at=LICENSE_LEDGER)
    assert eth_abi.decode(["uint64", "uint64"], outcome.logs[0].data) == (4, 6)
    error = fail(machine, "consume", dataset_id, BOB, 7)
    assert error == ("InsufficientUnits", dataset_id, as_hex(BOB), 6, 7)
    assert must(machine, "consume", dataset_id, BOB, 6) == 0
    assert look(machine, dataset_id)[0] == LicenseStatus.EXHAUSTED and not has(machine, dataset_id)
    error = fail(machine, "consume", dataset_id, BOB, 1)
    assert error == ("InsufficientUnits", dataset_id, as_hex(BOB), 0, 1)
    must(machine, "extend", dataset_id, BOB, FOREVER, 3)
    assert has(machine, dataset_id)
    assert fail(machine, "consume", dataset_id, BOB, 0) == ("InvalidUnits", 0)


def test_consuming_a_licence_without_meter_leaves_a_record_only(machine: Machine, dataset_id: bytes) -> None:
    grant_any(machine, dataset_id)
    before = machine.storage()
    outcome = machine.do(ALICE, "consume", dataset_id, BOB, 1000, at=LICENSE_LEDGER)
    assert outcome.output == UINT64_MAX.to_bytes(32, "big")
    assert eth_abi.decode(["uint64", "uint64"], outcome.logs[0].data) == (1000, UINT64_MAX)
    assert machine.storage() == before
    assert fail(machine, "extend", dataset_id, BOB, FOREVER, 1) == ("InvalidUnits", 1)


def test_units_cannot_overflow(machine: Machine, dataset_id: bytes) -> None:
    must(machine, "grant", dataset_id, BOB, PAY_PER_COMPUTE, UINT64_MAX, UINT64_MAX - 1, TERMS)
    assert fail(machine, "extend", dataset_id, BOB, UINT64_MAX, 2) == ("InvalidUnits", 2)
    must(machine, "extend", dataset_id, BOB, UINT64_MAX, 1)
    assert look(machine, dataset_id)[3:5] == (UINT64_MAX, UINT64_MAX)
    assert must(machine, "consume", dataset_id, BOB, UINT64_MAX) == 0


def test_nothing_is_consumed_after_the_end(machine: Machine, dataset_id: bytes) -> None:
    must(machine, "grant", dataset_id, BOB, PAY_PER_COMPUTE, START_TIME + 10, 10, TERMS)
    machine.next_block(seconds=10)
    error = fail(machine, "consume", dataset_id, BOB, 1)
    assert error == ("LicenseNotInForce", dataset_id, as_hex(BOB), LicenseStatus.EXPIRED)
    assert fail(machine, "consume", dataset_id, CAROL, 1)[3] == LicenseStatus.NONE


# ---------------------------------------------------------------- the end


def test_a_revoked_licence_is_over(machine: Machine, dataset_id: bytes) -> None:
    grant_any(machine, dataset_id)
    reason = b"dispute 7".ljust(32, b"\0")
    outcome = machine.do(ALICE, "revoke", dataset_id, BOB, reason, at=LICENSE_LEDGER)
    assert outcome.logs[0].data == reason
    assert not has(machine, dataset_id)
    assert look(machine, dataset_id)[0] == LicenseStatus.REVOKED
    error = ("LicenseNotInForce", dataset_id, as_hex(BOB), LicenseStatus.REVOKED)
    assert fail(machine, "revoke", dataset_id, BOB, reason) == error
    assert fail(machine, "extend", dataset_id, BOB, FOREVER, 0) == error
    assert fail(machine, "consume", dataset_id, BOB, 1) == error
    assert fail(machine, "revoke", dataset_id, CAROL, reason)[3] == LicenseStatus.NONE


def test_retiring_the_data_set_ends_all_licences(machine: Machine, dataset_id: bytes) -> None:
    grant_any(machine, dataset_id)
    machine.must(ALICE, "retire", dataset_id)
    assert not has(machine, dataset_id)
    assert look(machine, dataset_id)[0] == LicenseStatus.DATASET_RETIRED
    error = ("RetiredDataset", dataset_id)
    assert fail(machine, "grant", dataset_id, CAROL, ONE_TIME, 0, 0, TERMS) == error
    assert fail(machine, "extend", dataset_id, BOB, FOREVER, 0) == error
    assert fail(machine, "consume", dataset_id, BOB, 1) == error
    must(machine, "revoke", dataset_id, BOB, bytes(32))


def test_a_front_runners_licences_end_with_its_registration(machine: Machine) -> None:
    commit(machine, ALICE, make_cid("secret"))
    machine.next_block()
    dataset_id = register(machine, MALLORY, "secret")
    must(machine, "grant", dataset_id, BOB, ONE_TIME, FOREVER, 0, TERMS, by=MALLORY)
    assert has(machine, dataset_id)
    machine.must(ALICE, "registerCommitted", make_cid("secret"), b"", (), 0, SALT)
    assert not has(machine, dataset_id)
    assert look(machine, dataset_id)[0] == LicenseStatus.SUPERSEDED
    error = fail(machine, "extend", dataset_id, BOB, FOREVER, 0)
    assert error == ("LicenseNotInForce", dataset_id, as_hex(BOB), LicenseStatus.SUPERSEDED)
    grant_any(machine, dataset_id)
    assert has(machine, dataset_id)


# ---------------------------------------------------------------- gates


def test_many_licences_are_checked_with_one_call(machine: Machine) -> None:
    ids = [register(machine, ALICE, f"data {n}") for n in range(5)]
    for position in (0, 3, 4):
        must(machine, "grant", ids[position], BOB, ONE_TIME, FOREVER, 0, TERMS)
    machine.must(ALICE, "retire", ids[4])
    query = [*ids, UNKNOWN, ids[0]]
    assert machine.see("hasLicenses", query, BOB, at=LICENSE_LEDGER) == 0b1001001
    assert machine.see("hasLicenses", [], BOB, at=LICENSE_LEDGER) == 0
    assert machine.see("hasLicenses", [ids[0]] * 256, BOB, at=LICENSE_LEDGER) == 2**256 - 1
    assert fail(machine, "hasLicenses", [ids[0]] * 257, BOB) == ("TooManyQueries", 257, 256)


def test_a_gate_reads_two_slots_and_costs_little(machine: Machine, dataset_id: bytes) -> None:
    grant_any(machine, dataset_id)
    outcome: Outcome = machine.do(BOB, "hasLicense", dataset_id, BOB, at=LICENSE_LEDGER, static=True)
    assert outcome.gas_used == 4624
    # Unknown data sets and accounts take the same way: no answer is cheaper than another.
    other = machine.do(BOB, "hasLicense", UNKNOWN, CAROL, at=LICENSE_LEDGER, static=True)
    assert other.success and other.gas_used == outcome.gas_used


def test_the_licence_word_is_where_the_documentation_says(machine: Machine, dataset_id: bytes) -> None:
    must(machine, "grant", dataset_id, BOB, PAY_PER_COMPUTE, START_TIME + 99, 5, TERMS)
    inner = keccak(dataset_id + bytes(32))
    slot = int.from_bytes(keccak(BOB.rjust(32, b"\0") + inner), "big")
    assert slot == license_slot(dataset_id, BOB)
    word = machine.get_storage(LICENSE_LEDGER, slot)
    assert word & UINT64_MAX == START_TIME + 99
    assert word >> 64 & UINT64_MAX == 5
    assert machine.get_storage(LICENSE_LEDGER, slot + 1) == int.from_bytes(TERMS, "big")


small = st.integers(0, 2)


@given(
    st.builds(DatasetWord, st.just(ALICE), st.just(3), small, small, st.sampled_from(list(DatasetStatus)), small),
    st.builds(LicenseWord, small, small, small, small, small, st.booleans(), st.booleans()),
    small,
)
def test_the_quick_check_agrees_with_the_status(dataset: DatasetWord, held: LicenseWord, timestamp: int) -> None:
    expected = compute_status(dataset, held.pack(), timestamp) == LicenseStatus.VALID
    assert is_valid(dataset.pack(), held.pack(), timestamp) is expected
