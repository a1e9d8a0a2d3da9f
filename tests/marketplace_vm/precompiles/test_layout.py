"""Storage layout: packed words round-trip, and solc would put everything in the same place."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmchain.chain.primitives.crypto import keccak
from dmchain.marketplace_vm.precompiles import layout
from dmchain.marketplace_vm.precompiles.cid import compute_digest_size
from dmchain.marketplace_vm.precompiles.layout import DatasetWord, LicenseWord, VersionWord
from tests.marketplace_vm.precompiles.samples import ALICE, BOB, make_cid, make_cid_pair, make_long_cid
from tests.marketplace_vm.precompiles.solidity import compile_standard


def uint(bits: int) -> st.SearchStrategy[int]:
    return st.integers(0, 2**bits - 1)


dataset_words = st.builds(
    DatasetWord, st.binary(min_size=20, max_size=20), uint(24), uint(24), uint(32), uint(8), uint(8)
)
version_words = st.builds(VersionWord, uint(56), uint(56), uint(64), uint(40), uint(40))
license_words = st.builds(LicenseWord, uint(64), uint(64), uint(64), uint(24), uint(8), st.booleans(), st.booleans())


@given(dataset_words, version_words, license_words)
def test_words_round_trip_in_256_bits(dataset: DatasetWord, version: VersionWord, held: LicenseWord) -> None:
    assert layout.unpack_dataset(dataset.pack()) == dataset
    assert layout.unpack_version(version.pack()) == version
    assert layout.unpack_license(held.pack()) == held
    assert max(dataset.pack(), version.pack(), held.pack()) < 2**256


@given(uint(64), uint(64))
def test_commitments_round_trip(time: int, block: int) -> None:
    assert layout.unpack_commitment(layout.pack_commitment(time, block)) == (time, block)


@pytest.mark.parametrize(
    "cid", [make_cid("a"), *make_cid_pair("a"), make_long_cid("a"), b"\x01\x55\xa0\xe4\x02\x20" + ALICE + bytes(12)]
)
def test_a_cid_is_stored_in_prefix_and_digest(cid: bytes) -> None:
    prefix, digest, tail = layout.split_cid(cid, compute_digest_size(cid))
    assert 0 < prefix < 2**56
    assert layout.has_tail(prefix) == (len(cid) > 64)
    assert layout.join_cid(prefix, digest, tail) == cid


def test_no_two_things_share_a_slot() -> None:
    """The fixed slots, and everything of a few data sets whose ids are chosen by an adversary."""
    ids = [bytes(32), (1).to_bytes(32, "big"), (2).to_bytes(32, "big"), b"\xff" * 32, keccak(bytes(64))]
    slots = [layout.GOVERNANCE_SLOT, layout.DATASET_IDS_SLOT]
    slots += [layout.dataset_ids_item_slot(index) for index in range(5)]
    for each in ids:
        slots += [layout.dataset_slot(each), layout.controller_slot(each), layout.operator_slot(each)]
        slots += [slot for index in range(3) for slot in layout.version_slots(each, index)]
        slots += [layout.parent_slot(each, position) for position in range(16)]
        slots += [layout.children_slot(each), *(layout.child_slot(each, position) for position in range(3))]
        slots += [layout.holder_slot(each), layout.next_slot(layout.holder_slot(each)), layout.commitment_slot(each)]
    assert len(set(slots)) == len(slots)


# ---------------------------------------------------------------- against solc


def members(types: dict[str, Any], name: str) -> dict[str, tuple[int, int]]:
    """Struct member -> (slot within the struct, bit offset)."""
    (found,) = [entry for entry in types.values() if entry["label"].endswith(f".{name}")]
    return {each["label"]: (int(each["slot"]), 8 * each["offset"]) for each in found["members"]}


def place(word: int) -> int:
    """The bit offset of the only non-zero field of a word."""
    return (word & -word).bit_length() - 1


def test_solc_lays_out_the_same() -> None:
    source = (Path(__file__).parent / "StorageLayout.sol").read_text()
    compiled = compile_standard({"StorageLayout.sol": source}, ["storageLayout"])["StorageLayout.sol"]
    registry = compiled["RegistryLayout"]["storageLayout"]
    ledger = compiled["LedgerLayout"]["storageLayout"]
    slots = {each["label"]: int(each["slot"]) for each in registry["storage"]}
    assert slots == {
        "governance": layout.GOVERNANCE_SLOT, "datasetIds": layout.DATASET_IDS_SLOT, "datasets": 2, "versions": 3,
        "parents": 4, "children": 5, "holders": 6, "commitments": 7,
    }  # fmt: skip
    assert [each["slot"] for each in ledger["storage"]] == ["0"], json.dumps(ledger)

    dataset = members(registry["types"], "Dataset")
    names = ["owner", "versionCount", "firstVersion", "index", "status", "parentCount"]
    for position, name in enumerate(names):
        values: list[Any] = [bytes(20), 0, 0, 0, 0, 0]
        values[position] = b"\0" * 19 + b"\x01" if position == 0 else 1
        assert dataset[name] == (0, place(DatasetWord(*values).pack())), name
    assert (dataset["controller"], dataset["operator"]) == ((1, 0), (2, 0))

    version = members(registry["types"], "Version")
    for position, name in enumerate(["cidPrefix", "metadataPrefix", "sizeBytes", "sinceTime", "sinceBlock"]):
        word = VersionWord(*(int(position == each) for each in range(5)))
        assert version[name] == (0, place(word.pack())), name
    tails = ["cidDigest", "metadataDigest", "cidDigestTail", "metadataDigestTail"]
    assert [version[name] for name in tails] == [(1, 0), (2, 0), (3, 0), (4, 0)]

    held = members(ledger["types"], "License")
    names = ["expiresAt", "units", "grantedAt", "generation", "kind", "revoked", "metered"]
    for position, name in enumerate(names):
        word_of = LicenseWord(*(position == each for each in range(7)))
        assert held[name] == (0, place(word_of.pack())), name
    assert held["termsHash"] == (1, 0)
    assert members(registry["types"], "Holder") == {"datasetId": (0, 0), "version": (1, 0)}
    assert members(registry["types"], "Commitment") == {"timestamp": (0, 0), "blockNumber": (0, 64)}


def test_mapping_and_array_slots_follow_soliditys_formulas() -> None:
    def nested(key: bytes, base: bytes) -> bytes:
        return keccak(key + base)

    def word(number: int) -> bytes:
        return number.to_bytes(32, "big")

    each = keccak(b"id")
    assert layout.dataset_slot(each) == int.from_bytes(nested(each, word(2)), "big")
    assert layout.version_slots(each, 7)[0] == int.from_bytes(nested(word(7), nested(each, word(3))), "big")
    assert layout.parent_slot(each, 3) == int.from_bytes(nested(word(3), nested(each, word(4))), "big")
    assert layout.child_slot(each, 3) == int.from_bytes(keccak(nested(each, word(5))), "big") + 3
    assert layout.holder_slot(each) == int.from_bytes(nested(each, word(6)), "big")
    assert layout.commitment_slot(each) == int.from_bytes(nested(each, word(7)), "big")
    expected = nested(BOB.rjust(32, b"\0"), nested(each, word(0)))
    assert layout.license_slot(each, BOB) == int.from_bytes(expected, "big")
    assert layout.dataset_ids_item_slot(2) == int.from_bytes(keccak(word(1)), "big") + 2
