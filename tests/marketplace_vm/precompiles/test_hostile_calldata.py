"""Whatever the calldata, a call succeeds, reverts with an error of the interface, or halts: never anything else."""

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from dmchain.marketplace_vm.precompiles import CID_REGISTRY, LICENSE_LEDGER, cid_registry, gas, license_ledger
from tests.marketplace_vm.precompiles.native_machines import ERRORS, FlatMachine, Machine, MemoryMachine, PlainMachine
from tests.marketplace_vm.precompiles.samples import (
    ALICE,
    BOB,
    SALT,
    commit,
    make_cid,
    make_cid_pair,
    make_long_cid,
    register,
)

MARKET = (cid_registry.CONTRACT, license_ledger.CONTRACT)
SELECTORS = [(contract.address, selector) for contract in MARKET for selector in contract.by_selector]


def prepare(machine: Machine) -> list[bytes]:
    """A registry with something of everything in it; return the ids."""
    ids = [register(machine, ALICE, "a"), register(machine, BOB, "b")]
    ids.append(machine.must(ALICE, "registerCid", make_cid_pair("c")[0], make_long_cid("m"), ids, 7))
    machine.must(ALICE, "addVersion", ids[0], make_cid("a1"), b"")
    commit(machine, ALICE, make_cid("committed"))
    machine.must(ALICE, "grant", ids[0], BOB, 3, 0, 10, bytes(32), at=LICENSE_LEDGER)
    return ids


SAMPLE = MemoryMachine()
IDS = prepare(SAMPLE)
INTERESTING = [
    *IDS, SALT, bytes(32), b"\xff" * 32, ALICE.rjust(32, b"\0"), BOB.rjust(32, b"\0"),
    *(n.to_bytes(32, "big") for n in (1, 2, 3, 31, 32, 33, 64, 96, 128, 160, 192, 256, 2**64 - 1, 2**64, 2**255)),
]  # fmt: skip
CIDS = [
    make_cid("a"),
    make_cid("new"),
    make_cid("committed"),
    *make_cid_pair("c"),
    make_long_cid("m"),
    b"\x01\x55\x00\x00",
    b"",
]

words = st.one_of(st.sampled_from(INTERESTING), st.binary(min_size=32, max_size=32))
calldata = st.builds(
    lambda head, body, tail: head + b"".join(body) + tail,
    st.one_of(st.sampled_from([selector for _, selector in SELECTORS]), st.binary(max_size=4)),
    st.lists(words, max_size=12),
    st.one_of(st.just(b""), st.binary(max_size=40)),
)


@st.composite
def nearly_valid_calls(draw: st.DrawFn) -> bytes:
    """Well-formed calls with plausible arguments, then perhaps one word replaced or the end cut off."""
    address, selector = draw(st.sampled_from(SELECTORS))
    contract = next(each for each in MARKET if each.address == address)
    spec = contract.by_selector[selector].spec
    kinds: dict[str, st.SearchStrategy[Any]] = {
        "bytes": st.sampled_from(CIDS),
        "bytes32[]": st.lists(st.sampled_from([*IDS, bytes(32)]), max_size=4),
        "bytes32": st.sampled_from([*IDS, SALT]),
        "address": st.sampled_from([ALICE, BOB, bytes(20)]),
        "uint8": st.integers(0, 4),
        "uint64": st.sampled_from([0, 1, 10, 2**40, 2**64 - 1]),
        "uint256": st.sampled_from([0, 1, 2, 300, 2**256 - 1]),
    }
    data = spec.encode_call(*(draw(kinds[each.type.name]) for each in spec.inputs))
    if draw(st.booleans()):
        place = 4 + 32 * draw(st.integers(0, max(0, len(data) // 32 - 1)))
        data = data[:place] + draw(words) + data[place + 32 :]
    return data[: draw(st.integers(0, len(data)))] if draw(st.integers(0, 5)) == 0 else data


def check(machine: Machine, address: bytes, data: bytes, **options: Any) -> Any:
    outcome = machine.call(address, ALICE, data, **options)
    if not outcome.success:
        assert outcome.output == b"" or outcome.output[:4] in ERRORS, outcome
        assert outcome.logs == ()
        if outcome.output:
            assert outcome.error is not None  # its arguments decode
    assert outcome.gas_used >= min(gas.ENTRY, options.get("gas", gas.ENTRY))
    return outcome


@settings(max_examples=300)
@given(
    st.sampled_from([CID_REGISTRY, LICENSE_LEDGER]),
    st.one_of(calldata, nearly_valid_calls()),
    st.booleans(),
    st.booleans(),
)
@example(CID_REGISTRY, b"", False, False)
def test_calls_end_in_a_way_the_interface_names(address: bytes, data: bytes, static: bool, poor: bool) -> None:
    # Any exception other than Reverted and MemoryHalt would surface here.
    machine = MemoryMachine()
    machine.state.storage = dict(SAMPLE.state.storage)
    before = machine.storage()
    outcome = check(machine, address, data, static=static, gas=9_000 if poor else 10_000_000)
    if static or not outcome.success:
        assert machine.storage() == before


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.sampled_from([CID_REGISTRY, LICENSE_LEDGER]), st.one_of(calldata, nearly_valid_calls())),
        max_size=6,
    )
)
def test_all_machines_end_alike(calls: list[tuple[bytes, bytes]]) -> None:
    machines: list[Machine] = [MemoryMachine(), PlainMachine(), FlatMachine()]
    for machine in machines:
        prepare(machine)
    for address, data in calls:
        outcomes = [check(machine, address, data) for machine in machines]
        assert outcomes[0] == outcomes[1] == outcomes[2]
    storages = [machine.storage() for machine in machines]
    assert storages[0] == storages[1] == storages[2]
