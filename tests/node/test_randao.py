"""A validator's randao seed: found again from the state alone, kept from other eyes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dmchain.chain.primitives.crypto import keccak
from dmchain.chain.primitives.types import Hash32
from dmchain.chain.staking.layout import Onions
from dmchain.node.keystore import KeyFileError
from dmchain.node.randao import GENERATIONS_AHEAD, RandaoSeed, create_seed, load_seed, save_seed

SEED = keccak(b"seed")
LAYERS = 1_300


def state_after(seed: RandaoSeed, generation: int, revealed: int) -> Onions:
    """What the chain says when so many layers of an onion are revealed."""
    onion = seed.make_onion(generation, LAYERS)
    return Onions(anchor=onion.layer(LAYERS - revealed), left=LAYERS - revealed)


@pytest.mark.parametrize("revealed", [0, 1, 511, 512, 513, LAYERS - 1])
@pytest.mark.parametrize("generation", [0, 2, 3, 3 + GENERATIONS_AHEAD])
def test_a_node_without_memory_finds_its_place_in_the_state(generation: int, revealed: int) -> None:
    state = state_after(RandaoSeed(SEED), generation, revealed)
    reveal = RandaoSeed(SEED, 3).next_reveal(state)
    assert reveal is not None and keccak(reveal) == state.anchor


def test_a_node_that_runs_goes_on_with_an_onion_that_was_registered_meanwhile() -> None:
    seed = RandaoSeed(SEED)
    for generation, revealed in ((0, 0), (0, 1), (1, 0), (1, 700), (0, 5)):
        state = state_after(RandaoSeed(SEED), generation, revealed)
        reveal = seed.next_reveal(state)
        assert reveal is not None and keccak(reveal) == state.anchor


def test_an_onion_of_another_seed_or_of_no_layers_has_no_reveal() -> None:
    seed = RandaoSeed(SEED)
    other = state_after(RandaoSeed(keccak(SEED)), 0, 3)
    assert seed.next_reveal(other) is None
    assert seed.next_reveal(other) is None
    assert seed.next_reveal(Onions()) is None
    assert seed.next_reveal(state_after(seed, 0, 4)) is not None


def test_generations_and_seeds_have_different_onions() -> None:
    anchors = {RandaoSeed(keccak(bytes((n,)))).make_onion(generation, 3).anchor for n in range(3) for generation in range(3)}
    assert len(anchors) == 9


def test_a_seed_file_is_read_again_and_never_overwritten_by_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "randao.json"
    made = create_seed(path)
    made.generation = 7
    save_seed(path, made)
    read = load_seed(path)
    assert (read.seed, read.generation) == (made.seed, 7)
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(KeyFileError, match="exists already"):
        create_seed(path)


def test_a_seed_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "randao.json"
    create_seed(path)
    path.chmod(0o640)
    with pytest.raises(KeyFileError, match="mode 0640"):
        load_seed(path)


@pytest.mark.parametrize(
    "document",
    [
        "",
        "[]",
        "{}",
        "null",
        json.dumps({"seed": "0x00", "generation": 0}),
        json.dumps({"seed": "0x" + "00" * 32, "generation": -1}),
        json.dumps({"seed": "0x" + "00" * 32, "generation": True}),
        json.dumps({"seed": 5, "generation": 0}),
        json.dumps({"seed": "0x" + "zz" * 32, "generation": 0}),
    ],
)
def test_what_is_no_seed_file_is_refused_by_name(tmp_path: Path, document: str) -> None:
    path = tmp_path / "randao.json"
    path.write_text(document)
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match=r"randao\.json: not a randao seed"):
        load_seed(path)


def test_a_seed_has_32_bytes() -> None:
    with pytest.raises(ValueError, match="got 31 bytes"):
        RandaoSeed(bytes(31))
    assert RandaoSeed(SEED).make_onion(0, 1).layer(0) == Hash32(keccak(b"dmchain randao v1" + bytes(8) + SEED))
