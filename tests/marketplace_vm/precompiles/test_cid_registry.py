"""CidRegistry: what users may do, what attackers may not. Every test runs over dicts and over py-evm."""

import eth_abi
import pytest

from dmchain.chain.primitives.crypto import keccak
from dmchain.marketplace_vm.precompiles import CID_REGISTRY, layout
from dmchain.marketplace_vm.precompiles.cid_registry import CONTRACT
from dmchain.marketplace_vm.precompiles.layout import DatasetStatus
from dmchain.marketplace_vm.precompiles.registry_interface import (
    COMMIT_WINDOW,
    MAX_ADDED_VERSIONS,
    compute_commitment,
)
from tests.marketplace_vm.precompiles.native_machines import START_TIME, Machine, MemoryMachine, Outcome
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
    make_cid_pair,
    make_long_cid,
    register,
)

OWNER, CONTROLLER, OPERATOR, STATUS, REGISTERED_AT, REGISTERED_BLOCK, CONTESTABLE_UNTIL = range(7)
SIZE, INDEX, VERSION_COUNT, PARENT_COUNT, CID, LATEST_CID, METADATA = range(7, 14)


def events(outcome: Outcome) -> list[str]:
    names = {spec.topic.to_bytes(32, "big"): spec.name for spec in CONTRACT.events}
    return [names[log.topics[0]] for log in outcome.logs]


# ---------------------------------------------------------------- registration


def test_registering_names_the_data_set_by_the_hash_of_its_cid(machine: Machine) -> None:
    cid, metadata = make_cid("data"), make_cid("card")
    outcome = machine.do(ALICE, "registerCid", cid, metadata, (), 1234)
    assert outcome.output == keccak(cid)
    seen = machine.see("dataset", keccak(cid))
    assert seen[OWNER] == seen[CONTROLLER] == as_hex(ALICE)
    assert seen[OPERATOR] == as_hex(NOBODY)
    assert seen[STATUS] == DatasetStatus.ACTIVE
    assert seen[REGISTERED_AT : CONTESTABLE_UNTIL + 1] == (START_TIME, 1, START_TIME + COMMIT_WINDOW)
    assert (seen[SIZE], seen[INDEX], seen[VERSION_COUNT], seen[PARENT_COUNT]) == (1234, 0, 1, 0)
    assert seen[CID] == seen[LATEST_CID] == cid
    assert seen[METADATA] == metadata
    assert machine.see("datasetOf", cid) == keccak(cid)
    assert machine.see("isRegistered", keccak(cid)) is True
    assert machine.see("ownerOf", keccak(cid)) == as_hex(ALICE)


def test_registering_emits_everything_an_indexer_needs(machine: Machine) -> None:
    parent = register(machine, BOB, "parent")
    cid, metadata = make_cid("data"), make_cid("card")
    outcome = machine.do(ALICE, "registerCid", cid, metadata, (parent,), 7)
    (log,) = outcome.logs
    assert log.address == CID_REGISTRY
    topic = keccak(b"DatasetRegistered(bytes32,address,bytes,bytes,bytes32[],uint64)")
    assert log.topics == (topic, keccak(cid), ALICE.rjust(32, b"\0"))
    assert eth_abi.decode(["bytes", "bytes", "bytes32[]", "uint64"], log.data) == (cid, metadata, (parent,), 7)


def test_the_first_registration_wins(machine: Machine) -> None:
    dataset_id = register(machine, ALICE, "data")
    machine.next_block()
    for caller in (ALICE, MALLORY):
        error = machine.fail(caller, "registerCid", make_cid("data"), b"", (), 0)
        assert error == ("AlreadyRegistered", dataset_id)


def test_both_spellings_of_a_cid_are_one_content(machine: Machine) -> None:
    for first, second in (make_cid_pair("a"), make_cid_pair("b")[::-1]):
        dataset_id = machine.must(ALICE, "registerCid", first, b"", (), 0)
        assert dataset_id == keccak(first)
        assert machine.fail(MALLORY, "registerCid", second, b"", (), 0) == ("AlreadyRegistered", dataset_id)
        assert machine.see("datasetOf", first) == machine.see("datasetOf", second) == dataset_id
        assert machine.see("isRegistered", keccak(second)) is False


def test_long_digests_and_missing_metadata_are_kept(machine: Machine) -> None:
    cid = make_long_cid("data")
    for metadata in (make_long_cid("card"), b""):
        dataset_id = machine.must(ALICE, "registerCid", cid, metadata, (), 2**64 - 1)
        seen = machine.see("dataset", dataset_id)
        assert (seen[CID], seen[METADATA], seen[SIZE]) == (cid, metadata, 2**64 - 1)
        cid = make_long_cid("other")


def test_cids_that_are_not_accepted_are_named(machine: Machine) -> None:
    name, reason = machine.fail(ALICE, "registerCid", b"\x01\x55\x00\x04data", b"", (), 0)
    assert name == "InvalidCid" and "hash is not one of" in reason
    name, _ = machine.fail(ALICE, "registerCid", make_cid("a"), b"junk", (), 0)
    assert name == "InvalidMetadataCid"
    name, _ = machine.fail(ALICE, "registerCid", b"", b"", (), 0)
    assert name == "InvalidCid"
    name, _ = machine.fail(NOBODY, "datasetOf", make_cid("a") + b"x")
    assert name == "InvalidCid"


def test_unknown_data_sets_are_named(machine: Machine) -> None:
    for name, *rest in [
        ("dataset",), ("ownerOf",), ("controllerOf",), ("versionCount",), ("versions", 0, 1), ("parents",),
        ("childCount",), ("children", 0, 1), ("addVersion", make_cid("v"), b""), ("transferDataset", BOB),
        ("setController", BOB), ("setOperator", BOB), ("retire",),
    ]:  # fmt: skip
        assert machine.fail(ALICE, str(name), UNKNOWN, *rest) == ("UnknownDataset", UNKNOWN)
    assert machine.see("isRegistered", UNKNOWN) is False
    assert machine.see("datasetOf", make_cid("never")) == bytes(32)


# ---------------------------------------------------------------- lineage


def test_lineage_is_readable_in_both_directions(machine: Machine) -> None:
    parents = tuple(register(machine, ALICE, f"parent {n}") for n in range(16))
    children = [register(machine, BOB, f"child {n}", parents) for n in range(3)]
    assert machine.see("parents", children[0]) == parents
    assert machine.see("parents", parents[0]) == ()
    assert machine.see("childCount", parents[15]) == 3
    assert list(machine.see("children", parents[15], 0, 10)) == children
    assert list(machine.see("children", parents[15], 1, 1)) == children[1:2]
    assert machine.see("children", parents[15], 3, 10) == ()
    assert machine.see("children", parents[15], 2**256 - 1, 2**256 - 1) == ()
    assert machine.see("dataset", children[0])[PARENT_COUNT] == 16


def test_parents_must_exist_and_be_named_once(machine: Machine) -> None:
    parent = register(machine, ALICE, "parent")
    cid = make_cid("child")
    assert machine.fail(BOB, "registerCid", cid, b"", (UNKNOWN,), 0) == ("InvalidParent", UNKNOWN)
    assert machine.fail(BOB, "registerCid", cid, b"", (parent, parent), 0) == ("InvalidParent", parent)
    assert machine.fail(BOB, "registerCid", cid, b"", (keccak(cid),), 0) == ("InvalidParent", keccak(cid))
    assert machine.fail(BOB, "registerCid", cid, b"", (parent,) * 17, 0) == ("TooManyParents", 17, 16)


def test_a_retired_parent_is_still_history(machine: Machine) -> None:
    parent = register(machine, ALICE, "parent")
    machine.must(ALICE, "retire", parent)
    child = register(machine, BOB, "child", (parent,))
    assert machine.see("parents", child) == (parent,)


def test_pages_are_bounded() -> None:
    machine = MemoryMachine()
    parent = register(machine, ALICE, "parent")
    for n in range(260):
        register(machine, BOB, f"child {n}", (parent,))
    assert len(machine.see("children", parent, 0, 2**256 - 1)) == 256
    assert len(machine.see("datasets", 0, 1000)) == 256
    for n in range(70):
        machine.must(ALICE, "addVersion", parent, make_cid(f"v{n}"), b"")
    assert len(machine.see("versions", parent, 0, 1000)) == 64
    assert len(machine.see("versions", parent, 64, 1000)) == 7


def test_all_data_sets_can_be_paged_through(machine: Machine) -> None:
    ids = [register(machine, ALICE, f"data {n}") for n in range(5)]
    assert machine.see("datasetCount") == 5
    assert [machine.see("datasetAt", n) for n in range(5)] == ids
    assert list(machine.see("datasets", 1, 3)) == ids[1:4]
    assert machine.fail(NOBODY, "datasetAt", 5) == ("IndexOutOfRange", 5, 5)
    assert [machine.see("dataset", each)[INDEX] for each in ids] == list(range(5))


# ---------------------------------------------------------------- versions


def test_versions_keep_their_order_and_dates(machine: Machine) -> None:
    dataset_id = register(machine, ALICE, "v0")
    for n in (1, 2):
        machine.next_block(seconds=10)
        outcome = machine.do(ALICE, "addVersion", dataset_id, make_cid(f"v{n}"), make_long_cid(f"m{n}"))
        assert outcome.logs[0].topics[2] == n.to_bytes(32, "big")
    assert machine.see("versionCount", dataset_id) == 3
    versions = machine.see("versions", dataset_id, 0, 10)
    assert [each[0] for each in versions] == [make_cid("v0"), make_cid("v1"), make_cid("v2")]
    assert [each[1] for each in versions] == [b"", make_long_cid("m1"), make_long_cid("m2")]
    assert [each[2] for each in versions] == [START_TIME, START_TIME + 10, START_TIME + 20]
    assert [each[3] for each in versions] == [1, 2, 3]
    seen = machine.see("dataset", dataset_id)
    assert (seen[CID], seen[LATEST_CID], seen[METADATA]) == (make_cid("v0"), make_cid("v2"), make_long_cid("m2"))
    assert machine.see("datasetOf", make_cid("v1")) == dataset_id


def test_a_version_is_taken_as_a_registration_is(machine: Machine) -> None:
    mine, theirs = register(machine, ALICE, "mine"), register(machine, BOB, "theirs")
    machine.must(ALICE, "addVersion", mine, make_cid("v1"), b"")
    assert machine.fail(BOB, "registerCid", make_cid("v1"), b"", (), 0) == ("AlreadyRegistered", mine)
    assert machine.fail(BOB, "addVersion", theirs, make_cid("v1"), b"") == ("AlreadyRegistered", mine)
    assert machine.fail(BOB, "addVersion", theirs, make_cid("mine"), b"") == ("AlreadyRegistered", mine)


def test_a_version_may_repeat_a_content_of_ones_own(machine: Machine) -> None:
    dataset_id = register(machine, ALICE, "data")
    machine.must(ALICE, "addVersion", dataset_id, make_cid("data"), make_cid("better card"))
    assert machine.see("dataset", dataset_id)[METADATA] == make_cid("better card")
    other = register(machine, ALICE, "other")
    machine.must(ALICE, "addVersion", dataset_id, make_cid("other"), b"")
    assert machine.see("datasetOf", make_cid("other")) == other


def test_only_the_owner_adds_versions(machine: Machine) -> None:
    dataset_id = register(machine, ALICE, "data")
    error = machine.fail(BOB, "addVersion", dataset_id, make_cid("v1"), b"")
    assert error == ("NotAuthorized", dataset_id, as_hex(BOB), as_hex(ALICE))


def test_the_number_of_versions_is_limited() -> None:
    machine = MemoryMachine()
    dataset_id = register(machine, ALICE, "data")
    slot = layout.dataset_slot(dataset_id)
    word = layout.unpack_dataset(machine.get_storage(CID_REGISTRY, slot))
    machine.state.storage[CID_REGISTRY, slot] = word._replace(version_count=MAX_ADDED_VERSIONS).pack()
    assert machine.fail(ALICE, "addVersion", dataset_id, make_cid("v"), b"") == ("TooManyVersions", dataset_id)
    machine.state.storage[CID_REGISTRY, layout.DATASET_IDS_SLOT] = 2**32
    assert machine.fail(ALICE, "registerCid", make_cid("one more"), b"", (), 0) == ("TooManyDatasets",)


# ---------------------------------------------------------------- commitments


def test_a_commitment_dates_a_registration(machine: Machine) -> None:
    commitment = commit(machine, ALICE, make_cid("data"))
    assert machine.see("commitmentOf", commitment) == (START_TIME, 1)
    machine.next_block(seconds=100)
    outcome = machine.do(ALICE, "registerCommitted", make_cid("data"), b"", (), 5, SALT)
    assert events(outcome) == ["DatasetRegistered"]
    seen = machine.see("dataset", outcome.output)
    assert seen[REGISTERED_AT : CONTESTABLE_UNTIL + 1] == (START_TIME, 1, START_TIME + COMMIT_WINDOW)
    assert machine.see("commitmentOf", commitment) == (0, 0)


def test_the_commitment_is_what_the_documentation_says() -> None:
    encoded = eth_abi.encode(["bytes", "address", "bytes32"], [make_cid("data"), ALICE, SALT])
    assert compute_commitment(make_cid("data"), ALICE, SALT) == keccak(encoded)


def front_run(machine: Machine) -> bytes:
    """Alice commits; Mallory sees her opening transaction, registers first and makes the most of it."""
    commit(machine, ALICE, make_cid("data"))
    machine.next_block()
    trap = register(machine, MALLORY, "trap")
    dataset_id = machine.must(MALLORY, "registerCid", make_cid("data"), make_cid("bad card"), (trap,), 9)
    machine.must(MALLORY, "addVersion", dataset_id, make_cid("bad version"), b"")
    machine.must(MALLORY, "setController", dataset_id, MALLORY)
    machine.must(MALLORY, "setOperator", dataset_id, MALLORY)
    return bytes(dataset_id)


def test_an_earlier_commitment_beats_a_front_runner(machine: Machine) -> None:
    dataset_id = front_run(machine)
    parent_of_trap = machine.see("parents", dataset_id)[0]
    outcome = machine.do(ALICE, "registerCommitted", make_cid("data"), make_cid("card"), (), 5, SALT)
    assert outcome.output == dataset_id
    assert events(outcome) == ["DatasetRegistered", "DatasetClaimed"]
    assert outcome.logs[1].topics[2:] == (ALICE.rjust(32, b"\0"), MALLORY.rjust(32, b"\0"))
    seen = machine.see("dataset", dataset_id)
    assert seen[OWNER] == seen[CONTROLLER] == as_hex(ALICE)
    assert seen[OPERATOR] == as_hex(NOBODY)
    assert (seen[VERSION_COUNT], seen[METADATA], seen[SIZE], seen[PARENT_COUNT]) == (1, make_cid("card"), 5, 0)
    assert seen[CID] == seen[LATEST_CID] == make_cid("data")
    assert machine.see("parents", dataset_id) == ()
    assert len(machine.see("versions", dataset_id, 0, 10)) == 1
    assert machine.see("datasetCount") == 2
    # What Mallory added to it is free again, his other data set stays his.
    assert machine.see("datasetOf", make_cid("bad version")) == bytes(32)
    assert register(machine, BOB, "bad version")
    assert machine.see("ownerOf", parent_of_trap) == as_hex(MALLORY)


def test_versions_after_a_claim_start_again(machine: Machine) -> None:
    dataset_id = front_run(machine)
    machine.must(ALICE, "registerCommitted", make_cid("data"), b"", (), 5, SALT)
    outcome = machine.do(ALICE, "addVersion", dataset_id, make_cid("good version"), b"")
    assert outcome.logs[0].topics[2] == (1).to_bytes(32, "big")
    versions = machine.see("versions", dataset_id, 0, 10)
    assert [each[0] for each in versions] == [make_cid("data"), make_cid("good version")]


@pytest.mark.parametrize("trick", ["retire", "give away", "give back", "own commitment"])
def test_no_trick_bars_the_earlier_commitment(machine: Machine, trick: str) -> None:
    commit(machine, ALICE, make_cid("data"))
    machine.next_block()
    if trick == "own commitment":
        commit(machine, MALLORY, make_cid("data"))
        dataset_id = machine.must(MALLORY, "registerCommitted", make_cid("data"), b"", (), 0, SALT)
    else:
        dataset_id = register(machine, MALLORY, "data")
    if trick == "retire":
        machine.must(MALLORY, "retire", dataset_id)
    elif trick == "give away":
        machine.must(MALLORY, "transferDataset", dataset_id, CAROL)
    elif trick == "give back":
        machine.must(MALLORY, "transferDataset", dataset_id, ALICE)
    machine.must(ALICE, "registerCommitted", make_cid("data"), b"", (), 5, SALT)
    seen = machine.see("dataset", dataset_id)
    assert (seen[OWNER], seen[STATUS], seen[SIZE]) == (as_hex(ALICE), DatasetStatus.ACTIVE, 5)


def test_adding_the_content_as_a_version_does_not_bar_it_either(machine: Machine) -> None:
    commit(machine, ALICE, make_cid("data"))
    machine.next_block()
    other = register(machine, MALLORY, "other")
    machine.must(MALLORY, "addVersion", other, make_cid("data"), b"")
    outcome = machine.do(ALICE, "registerCommitted", make_cid("data"), b"", (), 5, SALT)
    assert outcome.success
    assert machine.see("datasetOf", make_cid("data")) == outcome.output == keccak(make_cid("data"))
    assert machine.see("ownerOf", other) == as_hex(MALLORY)
    assert machine.see("dataset", other)[STATUS] == DatasetStatus.ACTIVE
    # The alias is gone for good: nobody can take the content again.
    assert machine.fail(MALLORY, "registerCid", make_cid("data"), b"", (), 0)[0] == "AlreadyRegistered"


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_other_spelling_does_not_bar_it_either(machine: Machine, order: tuple[int, int]) -> None:
    pair = make_cid_pair("data")
    mine, theirs = pair[order[0]], pair[order[1]]
    commit(machine, ALICE, mine)
    machine.next_block()
    bad = machine.must(MALLORY, "registerCid", theirs, b"", (), 0)
    outcome = machine.do(ALICE, "registerCommitted", mine, b"", (), 5, SALT)
    assert events(outcome) == ["DatasetRetired", "DatasetRegistered", "DatasetClaimed"]
    good = outcome.output
    assert machine.see("datasetOf", mine) == machine.see("datasetOf", theirs) == good != bad
    assert machine.see("dataset", bad)[STATUS] == DatasetStatus.SUPERSEDED
    assert machine.fail(MALLORY, "addVersion", bad, make_cid("more"), b"") == ("RetiredDataset", bad)
    assert machine.fail(MALLORY, "registerCid", theirs, b"", (), 0) == ("AlreadyRegistered", good)


def test_a_superseded_spelling_comes_back_for_a_still_earlier_commitment(machine: Machine) -> None:
    v0, v1 = make_cid_pair("data")
    commit(machine, CAROL, v1)
    machine.next_block()
    commit(machine, ALICE, v0)
    machine.next_block()
    first = machine.must(MALLORY, "registerCid", v1, b"", (), 0)
    second = machine.must(ALICE, "registerCommitted", v0, b"", (), 0, SALT)
    assert machine.must(CAROL, "registerCommitted", v1, b"", (), 3, SALT) == first
    assert machine.see("datasetOf", v0) == first
    assert machine.see("ownerOf", first) == as_hex(CAROL)
    assert machine.see("dataset", second)[STATUS] == DatasetStatus.SUPERSEDED
    assert machine.see("datasetCount") == 2


def test_a_commitment_of_the_same_block_or_later_wins_nothing(machine: Machine) -> None:
    dataset_id = register(machine, BOB, "data")
    commit(machine, MALLORY, make_cid("data"))
    assert machine.fail(MALLORY, "registerCommitted", make_cid("data"), b"", (), 0, SALT) == (
        "AlreadyRegistered",
        dataset_id,
    )
    machine.next_block()
    commit(machine, MALLORY, make_cid("data"), b"\x02" * 32)
    error = machine.fail(MALLORY, "registerCommitted", make_cid("data"), b"", (), 0, b"\x02" * 32)
    assert error == ("AlreadyRegistered", dataset_id)


def test_between_two_commitments_the_earlier_wins_whoever_opens_first(machine: Machine) -> None:
    commit(machine, ALICE, make_cid("data"))
    machine.next_block()
    commit(machine, BOB, make_cid("data"))
    machine.next_block()
    dataset_id = machine.must(BOB, "registerCommitted", make_cid("data"), b"", (), 0, SALT)
    machine.must(ALICE, "registerCommitted", make_cid("data"), b"", (), 0, SALT)
    assert machine.see("ownerOf", dataset_id) == as_hex(ALICE)
    machine.next_block()
    commit(machine, BOB, make_cid("data"))
    error = machine.fail(BOB, "registerCommitted", make_cid("data"), b"", (), 0, SALT)
    assert error == ("AlreadyRegistered", dataset_id)


def test_nobody_else_can_open_a_commitment(machine: Machine) -> None:
    cid = make_cid("data")
    commitment = commit(machine, ALICE, cid)
    machine.next_block()
    error = machine.fail(MALLORY, "registerCommitted", cid, b"", (), 0, SALT)
    assert error == ("UnknownCommitment", compute_commitment(cid, MALLORY, SALT))
    wrong_salt = compute_commitment(cid, ALICE, bytes(32))
    assert machine.fail(ALICE, "registerCommitted", cid, b"", (), 0, bytes(32)) == ("UnknownCommitment", wrong_salt)
    machine.must(ALICE, "registerCommitted", cid, b"", (), 0, SALT)
    assert machine.fail(ALICE, "registerCommitted", cid, b"", (), 0, SALT) == ("UnknownCommitment", commitment)


def test_commitments_expire_and_cannot_be_refreshed_before(machine: Machine) -> None:
    commitment = commit(machine, ALICE, make_cid("data"))
    machine.next_block(seconds=COMMIT_WINDOW)
    last = START_TIME + COMMIT_WINDOW
    assert machine.fail(MALLORY, "commitCid", commitment) == ("CommitmentExists", commitment, last)
    machine.next_block(seconds=1)
    error = machine.fail(ALICE, "registerCommitted", make_cid("data"), b"", (), 0, SALT)
    assert error == ("CommitmentExpired", commitment, last)
    commit(machine, ALICE, make_cid("data"))
    machine.must(ALICE, "registerCommitted", make_cid("data"), b"", (), 0, SALT)


def test_a_registration_is_final_after_the_window(machine: Machine) -> None:
    commit(machine, MALLORY, make_cid("data"))
    machine.next_block()
    dataset_id = register(machine, ALICE, "data")
    machine.next_block(seconds=machine.see("dataset", dataset_id)[CONTESTABLE_UNTIL] - machine.timestamp + 1)
    assert machine.fail(MALLORY, "registerCommitted", make_cid("data"), b"", (), 0, SALT)[0] == "CommitmentExpired"


def test_a_claim_may_not_close_a_circle_of_parents(machine: Machine) -> None:
    commit(machine, ALICE, make_cid("data"))
    older = register(machine, BOB, "older")
    machine.next_block()
    dataset_id = register(machine, MALLORY, "data")
    child = register(machine, MALLORY, "child", (dataset_id,))
    for bad in (child, dataset_id):
        error = machine.fail(ALICE, "registerCommitted", make_cid("data"), b"", (bad,), 0, SALT)
        assert error == ("InvalidParent", bad)
    machine.must(ALICE, "registerCommitted", make_cid("data"), b"", (older,), 0, SALT)
    assert machine.see("parents", dataset_id) == (older,)


def test_a_claim_with_the_same_parents_does_not_list_the_child_twice(machine: Machine) -> None:
    parents = (register(machine, BOB, "one"), register(machine, BOB, "two"))
    commit(machine, ALICE, make_cid("data"))
    machine.next_block()
    dataset_id = register(machine, MALLORY, "data", parents[:1])
    machine.must(ALICE, "registerCommitted", make_cid("data"), b"", parents, 0, SALT)
    for parent in parents:
        assert machine.see("children", parent, 0, 10) == (dataset_id,)
    assert machine.see("parents", dataset_id) == parents


# ---------------------------------------------------------------- ownership


def test_a_transfer_moves_ownership_and_resets_the_controller(machine: Machine) -> None:
    dataset_id = register(machine, ALICE, "data")
    machine.must(ALICE, "setController", dataset_id, CAROL)
    assert machine.see("controllerOf", dataset_id) == as_hex(CAROL)
    outcome = machine.do(ALICE, "transferDataset", dataset_id, BOB)
    assert events(outcome) == ["DatasetTransferred", "ControllerChanged"]
    assert machine.see("ownerOf", dataset_id) == machine.see("controllerOf", dataset_id) == as_hex(BOB)
    error = machine.fail(ALICE, "setController", dataset_id, ALICE)
    assert error == ("NotAuthorized", dataset_id, as_hex(ALICE), as_hex(BOB))
    assert machine.fail(BOB, "transferDataset", dataset_id, NOBODY) == ("InvalidOwner", as_hex(NOBODY))


def test_the_owner_is_controller_until_it_names_one(machine: Machine) -> None:
    dataset_id = register(machine, ALICE, "data")
    machine.must(ALICE, "setController", dataset_id, CAROL)
    outcome = machine.do(ALICE, "setController", dataset_id, NOBODY)
    assert outcome.logs[0].topics[2] == ALICE.rjust(32, b"\0")
    assert machine.see("controllerOf", dataset_id) == as_hex(ALICE)


def test_the_controller_has_no_say_in_the_registry(machine: Machine) -> None:
    dataset_id = register(machine, ALICE, "data")
    machine.must(ALICE, "setController", dataset_id, CAROL)
    for name, argument in [("transferDataset", CAROL), ("setController", BOB), ("setOperator", CAROL)]:
        assert machine.fail(CAROL, name, dataset_id, argument)[0] == "NotAuthorized"
    assert machine.fail(CAROL, "retire", dataset_id)[0] == "NotAuthorized"


def test_an_operator_binds_the_data_set_to_a_contract(machine: Machine) -> None:
    dataset_id, token = register(machine, ALICE, "data"), CAROL
    machine.must(ALICE, "setOperator", dataset_id, token)
    for name in ("transferDataset", "setController", "setOperator"):
        error = machine.fail(ALICE, name, dataset_id, BOB)
        assert error == ("NotAuthorized", dataset_id, as_hex(ALICE), as_hex(token))
    machine.must(token, "transferDataset", dataset_id, BOB)
    assert machine.see("dataset", dataset_id)[OPERATOR] == as_hex(token)
    machine.must(BOB, "addVersion", dataset_id, make_cid("v1"), b"")
    machine.must(token, "setController", dataset_id, ALICE)
    machine.must(token, "setOperator", dataset_id, NOBODY)
    machine.must(BOB, "setController", dataset_id, BOB)
    machine.must(BOB, "retire", dataset_id)


# ---------------------------------------------------------------- retirement and governance


def test_a_retired_data_set_is_a_tombstone(machine: Machine) -> None:
    dataset_id = register(machine, ALICE, "data")
    outcome = machine.do(ALICE, "retire", dataset_id)
    assert events(outcome) == ["DatasetRetired"]
    assert machine.see("dataset", dataset_id)[STATUS] == DatasetStatus.RETIRED
    assert machine.see("isRegistered", dataset_id) is True
    error = ("RetiredDataset", dataset_id)
    assert machine.fail(ALICE, "retire", dataset_id) == error
    assert machine.fail(ALICE, "transferDataset", dataset_id, BOB) == error
    assert machine.fail(ALICE, "setController", dataset_id, BOB) == error
    assert machine.fail(ALICE, "setOperator", dataset_id, BOB) == error
    assert machine.fail(ALICE, "addVersion", dataset_id, make_cid("v1"), b"") == error
    assert machine.fail(ALICE, "registerCid", make_cid("data"), b"", (), 0) == ("AlreadyRegistered", dataset_id)


def set_governance(machine: Machine, account: bytes) -> None:
    if isinstance(machine, MemoryMachine):
        machine.state.storage[CID_REGISTRY, layout.GOVERNANCE_SLOT] = int.from_bytes(account, "big")
    else:
        machine.state.set_storage(CID_REGISTRY, layout.GOVERNANCE_SLOT, int.from_bytes(account, "big"))  # type: ignore[attr-defined]


def test_governance_retires_anything_for_good(machine: Machine) -> None:
    set_governance(machine, CAROL)
    commit(machine, BOB, make_cid("banned"))
    machine.next_block()
    dataset_id = register(machine, MALLORY, "banned")
    machine.must(MALLORY, "retire", dataset_id)
    machine.must(CAROL, "retire", dataset_id)
    assert machine.see("dataset", dataset_id)[STATUS] == DatasetStatus.RETIRED_BY_GOVERNANCE
    assert machine.fail(CAROL, "retire", dataset_id) == ("RetiredDataset", dataset_id)
    # An accomplice's earlier commitment does not bring it back.
    error = machine.fail(BOB, "registerCommitted", make_cid("banned"), b"", (), 0, SALT)
    assert error == ("AlreadyRegistered", dataset_id)


def test_a_name_that_governance_retired_does_not_come_back_either(machine: Machine) -> None:
    """Superseded under one spelling, banned there, claimed again under it."""
    set_governance(machine, CAROL)
    v0, v1 = make_cid_pair("data")
    commit(machine, BOB, v1)
    machine.next_block()
    commit(machine, ALICE, v0)
    machine.next_block()
    banned = machine.must(MALLORY, "registerCid", v1, b"", (), 0)
    machine.must(ALICE, "registerCommitted", v0, b"", (), 0, SALT)
    machine.must(CAROL, "retire", banned)
    assert machine.fail(BOB, "registerCommitted", v1, b"", (), 0, SALT) == ("RetiredDataset", banned)


def test_governance_can_be_handed_over_by_itself_alone(machine: Machine) -> None:
    assert machine.see("governance") == as_hex(NOBODY)
    assert machine.fail(NOBODY, "transferGovernance", ALICE) == ("NotGovernance", as_hex(NOBODY), as_hex(NOBODY))
    set_governance(machine, CAROL)
    assert machine.fail(ALICE, "transferGovernance", ALICE) == ("NotGovernance", as_hex(ALICE), as_hex(CAROL))
    machine.must(CAROL, "transferGovernance", BOB)
    assert machine.see("governance") == as_hex(BOB)


def test_without_governance_the_zero_address_has_no_power(machine: Machine) -> None:
    dataset_id = register(machine, ALICE, "data")
    assert machine.fail(NOBODY, "retire", dataset_id)[0] == "NotAuthorized"


@pytest.mark.parametrize("when", [2**40 + 5, 2**64 - 1])
def test_times_beyond_the_stored_range_are_clamped(machine: Machine, when: int) -> None:
    machine.timestamp = when
    dataset_id = register(machine, ALICE, "data")
    assert machine.see("dataset", dataset_id)[REGISTERED_AT] == 2**40 - 1
    commit(machine, BOB, make_cid("other"))
    machine.must(BOB, "registerCommitted", make_cid("other"), b"", (), 0, SALT)
    again = commit(machine, BOB, make_cid("third"))
    assert machine.fail(BOB, "commitCid", again)[0] == "CommitmentExists"


def test_constants_are_readable(machine: Machine) -> None:
    assert machine.see("commitWindow") == COMMIT_WINDOW
