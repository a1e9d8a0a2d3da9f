"""Storage layout: packed words round-trip, and solc would put everything in the same place."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmchain.chain.consensus.timing import ConsensusParams
from dmchain.chain.primitives.crypto import keccak
from dmchain.chain.primitives.types import Address, Hash32
from dmchain.chain.staking import layout
from dmchain.chain.staking.layout import EpochHeader, Liveness, Member, Onions, Profile, Tombstone, Unbonding
from dmchain.chain.staking.parameters import StakingParameters, pack_consensus, unpack_consensus
from dmchain.chain.staking.pool import Delegation, Pool
from tests.marketplace_vm.precompiles.solidity import compile_standard


def uint(bits: int) -> st.SearchStrategy[int]:
    return st.integers(0, 2**bits - 1)


hashes = st.binary(min_size=32, max_size=32).map(Hash32)
addresses = st.binary(min_size=20, max_size=20).map(Address)


@given(st.builds(Profile, addresses, uint(16), uint(16), uint(40), uint(16), uint(8)))
def test_profiles_round_trip(profile: Profile) -> None:
    assert layout.unpack_profile(profile.pack()) == profile


@given(st.builds(Liveness, uint(40), uint(40), uint(40), uint(64), uint(40)))
def test_liveness_round_trips(liveness: Liveness) -> None:
    assert layout.unpack_liveness(liveness.pack()) == liveness


@given(st.builds(Tombstone, st.integers(1, 2**64 - 1), uint(64), uint(64), uint(64)))
def test_tombstones_round_trip(tombstone: Tombstone) -> None:
    assert layout.unpack_tombstone(tombstone.pack()) == tombstone
    assert layout.unpack_tombstone(0) is None


@given(st.builds(Onions, hashes, uint(48), hashes, uint(48), uint(64)))
def test_onions_round_trip(onions: Onions) -> None:
    assert layout.unpack_onions(*onions.pack()) == onions


@given(
    st.builds(
        EpochHeader, uint(64), uint(64), uint(64), uint(16), st.binary(min_size=32, max_size=32), uint(64), uint(64)
    ),
    st.builds(Member, addresses, uint(64), uint(96), st.integers(-(2**95), 2**95 - 1)),
)
def test_epochs_and_members_round_trip(epoch: EpochHeader, member: Member) -> None:
    assert layout.unpack_epoch(*epoch.pack()) == epoch
    assert layout.unpack_member(*member.pack()) == member
    assert max(*epoch.pack(), *member.pack()) < 2**256


@given(
    st.builds(Unbonding, addresses, uint(96), uint(64), uint(64), uint(64), st.booleans(), addresses, uint(96)),
    uint(64),
    uint(64),
)
def test_withdrawals_and_offences_round_trip(entry: Unbonding, time: int, share: int) -> None:
    assert layout.unpack_unbonding(*entry.pack()) == entry
    assert layout.unpack_offence(layout.pack_offence(time, share)) == (time, share)


class Words:
    """Slots that remember what was stored."""

    def __init__(self) -> None:
        self.values: dict[int, int] = {}

    def load(self, slot: int) -> int:
        return self.values.get(slot, 0)

    def store(self, slot: int, value: int) -> None:
        assert 0 <= value < 2**256
        self.values[slot] = value


@given(uint(96), uint(160), uint(256), uint(96), uint(64), uint(96))
def test_pools_round_trip(tokens: int, shares: int, accumulator: int, rewards: int, epoch: int, left: int) -> None:
    slots = Words()
    pool = Pool.load(slots, bytes(20))
    values = (tokens, shares, accumulator, rewards, rewards // 3, epoch, shares // 2, left)
    names = ("tokens", "shares", "accumulator", "rewards", "commission", "epoch", "earning", "left")
    for name, value in zip(names, values, strict=True):
        setattr(pool, name, value)
    pool.save(slots)
    again = Pool.load(slots, bytes(20))
    assert tuple(getattr(again, name) for name in names) == values


@given(uint(160), uint(96), uint(256), uint(64), addresses, uint(48), uint(48))
def test_delegations_round_trip(
    shares: int, accrued: int, checkpoint: int, epoch: int, source: Address, since: int, until: int
) -> None:
    slots = Words()
    held = Delegation.load(slots, bytes(20), bytes(20))
    names = (
        "shares", "accrued", "checkpoint", "pending", "pending_epoch", "source", "since_block", "completes_at", "moved"
    )  # fmt: skip
    values = (shares, accrued, checkpoint if shares else 0, shares // 2, epoch, source, since, until, shares // 3)
    for name, value in zip(names, values, strict=True):
        setattr(held, name, value)
    held.save(slots)
    again = Delegation.load(slots, bytes(20), bytes(20))
    expected = list(values)
    if not any(source) and not since and not until:
        expected[-1] = 0  # without a redelegation nothing was moved, and its slot is not read
    assert [getattr(again, name) for name in names] == expected


def test_parameters_round_trip() -> None:
    odd = StakingParameters(7, 900, 9, 11, 13, 17, 19, 23, 29, 31, 37, True, 10**13, 41, Address(b"\x2b" * 20))
    for each in (StakingParameters(), odd):
        assert StakingParameters.unpack(*each.pack()) == each
    params = ConsensusParams(*range(1, 14))
    assert unpack_consensus(*pack_consensus(params)) == params


def test_no_two_things_share_a_slot() -> None:
    people = [bytes(20), (1).to_bytes(20, "big"), (11).to_bytes(20, "big"), b"\xff" * 20]
    slots = list(range(18))
    for array in (layout.OPERATORS_SLOT, layout.SEATS_SLOT, layout.OFFENCES_SLOT):
        slots += [layout.array_slot(array, index) for index in range(5)]
    for each in people:
        slots += [layout.offset_slot(layout.validator_slot(each), place) for place in range(12)]
        slots += [layout.operator_of_slot(each), layout.queue_slot(each)]
        slots += [layout.offset_slot(layout.unbonding_slot(each, n), place) for n in range(3) for place in range(3)]
        for other in people:
            slots += [layout.offset_slot(layout.delegation_slot(each, other), place) for place in range(5)]
        slots += [layout.matured_at_slot(each, epoch) for epoch in range(3)]
    for place in range(3):
        slots += [layout.offset_slot(layout.epoch_slot(place), word) for word in range(3)]
        slots += [layout.offset_slot(layout.member_slot(place, n), word) for n in range(3) for word in range(2)]
    assert len(set(slots)) == len(slots)


# ---------------------------------------------------------------- against solc


def members(types: dict[str, Any], name: str) -> dict[str, tuple[int, int]]:
    """Struct member -> (slot within the struct, bit offset)."""
    (found,) = [entry for entry in types.values() if entry["label"].endswith(f".{name}")]
    return {each["label"]: (int(each["slot"]), 8 * each["offset"]) for each in found["members"]}


def place(words: tuple[int, ...]) -> tuple[int, int]:
    """(word, bit offset) of the only bit that is set."""
    ((index, word),) = [(index, word) for index, word in enumerate(words) if word]
    return index, word.bit_length() - 1


def one(count: int, position: int, kinds: dict[int, Any]) -> list[Any]:
    """Values that are zero but for one, which is 1."""
    values: list[Any] = [kinds.get(index, 0) for index in range(count)]
    zero = values[position]
    values[position] = bytes(len(zero) - 1) + b"\x01" if isinstance(zero, bytes) else 1
    return values


@pytest.fixture(scope="module")
def solc() -> dict[str, Any]:
    source = (Path(__file__).parent / "StorageLayout.sol").read_text()
    compiled = compile_standard({"StorageLayout.sol": source}, ["storageLayout"])["StorageLayout.sol"]
    found: dict[str, Any] = compiled["StakingLayout"]["storageLayout"]
    return found


def test_solc_gives_the_same_slots(solc: dict[str, Any]) -> None:
    slots = {each["label"]: int(each["slot"]) for each in solc["storage"]}
    assert slots == {
        "stake": layout.STAKE_SLOT, "rewards": layout.REWARDS_SLOT, "supply": layout.SUPPLY_SLOT,
        "epoch": layout.EPOCH_SLOT, "timing": layout.PARAMETERS_SLOT, "amounts": 5, "disputeContract": 6,
        "consensus": layout.CONSENSUS_SLOT, "operators": layout.OPERATORS_SLOT, "seats": layout.SEATS_SLOT,
        "validators": 11, "operatorOf": 12, "delegations": 13, "queues": 14, "epochs": 15, "maturedAt": 16,
        "offences": layout.OFFENCES_SLOT,
    }  # fmt: skip


def test_solc_packs_words_alike(solc: dict[str, Any]) -> None:
    types = solc["types"]
    validator = members(types, "Validator")
    for position, name in enumerate(
        ["consensus", "commissionBps", "maxCommissionChangeBps", "commissionChangedAt", "seat", "status"]
    ):
        word = Profile(*one(6, position, {0: bytes(20)})).pack()
        assert validator[name] == place((word,))
    for position, name in enumerate(["jailedUntil", "memberEpoch", "windowTime", "windowHeight", "missed"]):
        word = Liveness(*one(5, position, {})).pack()
        assert validator[name] == (layout.LIVENESS, place((word,))[1])
    assert (validator["tombstone"], validator["publicKey"]) == ((layout.TOMBSTONE, 0), (layout.PUBLIC_KEY, 0))
    onions = ["randaoAnchor", "randaoLeft", "nextRandaoAnchor", "nextRandaoLength", "nextRandaoEpoch"]
    for position, name in enumerate(onions):
        word, offset = place(Onions(*one(5, position, {0: bytes(32), 2: bytes(32)})).pack())
        assert validator[name] == (layout.ONIONS + word, offset)
    for position, name in enumerate(["fraction", "sinceBlock", "processedBlock", "height"]):
        assert members(types, "Tombstone")[name] == place((Tombstone(*one(4, position, {})).pack(),))
    pool = {name: validator[name] for name in ("tokens", "shares", "rewards", "commission", "epoch", "earning", "left")}
    assert pool == {
        "tokens": (1, 0), "shares": (1, 96), "rewards": (3, 0), "commission": (3, 96), "epoch": (3, 192),
        "earning": (4, 0), "left": (4, 160),
    }  # fmt: skip
    assert validator["accumulator"] == (2, 0)
    assert members(types, "Delegation") == {
        "shares": (0, 0), "accrued": (0, 160), "checkpoint": (1, 0), "pending": (2, 0), "source": (3, 0),
        "sinceBlock": (3, 160), "completesAt": (3, 208), "moved": (4, 0),
    }  # fmt: skip
    assert members(types, "Pending") == {"shares": (0, 0), "epoch": (0, 160)}


def test_solc_packs_queues_and_epochs_alike(solc: dict[str, Any]) -> None:
    types = solc["types"]
    entry = members(types, "Unbonding")
    names = ["validator", "amount", "leftInBlock", "completesAt", "originBlock", "slashed", "origin", "originAmount"]
    for position, name in enumerate(names):
        values = one(8, position, {0: bytes(20), 6: bytes(20)})
        assert entry[name] == place(Unbonding(*values).pack()), name
    epoch = members(types, "Epoch")
    names = ["number", "firstHeight", "startTime", "size", "validatorsHash", "priorityHeight", "totalPower"]
    for position, name in enumerate(names):
        assert epoch[name] == place(EpochHeader(*one(7, position, {4: bytes(32)})).pack()), name
    assert epoch["members"] == (3, 0)
    assert members(types, "Member") == {"consensus": (0, 0), "power": (0, 160), "turn": (1, 0)}
    assert members(types, "Turn") == {"left": (0, 0), "priority": (0, 96)}
    queue = members(types, "Queue")
    assert queue == {"head": (0, 0), "tail": (0, 64), "entries": (1, 0)}
    assert members(types, "Stake") == {"bonded": (0, 0), "unbonding": (0, 96)}
    assert members(types, "Supply") == {"minted": (0, 0), "burned": (0, 128)}


def test_solc_packs_parameters_alike(solc: dict[str, Any]) -> None:
    camel = {"_".join(_words(name)): where for name, where in members(solc["types"], "Timing").items()}
    base = StakingParameters(max_validators=2, max_candidates=100)
    for each in fields(StakingParameters)[:12]:
        other = replace(base, **{each.name: getattr(base, each.name) ^ 1})
        assert camel[each.name] == (0, (base.pack()[0] ^ other.pack()[0]).bit_length() - 1), each.name
    assert members(solc["types"], "Amounts") == {"minimumSelfStake": (0, 0), "blockReward": (0, 96)}


def _words(name: str) -> list[str]:
    spaced = "".join([f" {letter.lower()}" if letter.isupper() else letter for letter in name])
    return spaced.split()


def test_mapping_and_array_slots_follow_soliditys_formulas() -> None:
    def word(value: int | bytes) -> bytes:
        return value.rjust(32, b"\0") if isinstance(value, bytes) else value.to_bytes(32, "big")

    def at(key: int | bytes, base: int) -> int:
        return int.from_bytes(keccak(word(key) + word(base)), "big")

    one, two = b"\x01" * 20, b"\x02" * 20
    assert layout.validator_slot(one) == at(one, 11)
    assert layout.operator_of_slot(one) == at(one, 12)
    assert layout.delegation_slot(one, two) == at(two, at(one, 13))
    assert layout.queue_slot(one) == at(one, 14)
    assert layout.unbonding_slot(one, 7) == at(7, at(one, 14) + 1)
    assert layout.epoch_slot(3) == at(3, 15)
    assert layout.member_slot(3, 5) == at(5, at(3, 15) + 3)
    assert layout.matured_at_slot(one, 9) == at(9, at(one, 16))
    assert layout.array_slot(9, 2) == int.from_bytes(keccak(word(9)), "big") + 2
