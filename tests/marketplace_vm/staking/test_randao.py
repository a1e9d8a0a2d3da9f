"""Randao onions: who may register what, when it begins, and which reveals make a block invalid."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmchain.chain.primitives.crypto import keccak
from dmchain.chain.primitives.errors import InvalidBlock
from dmchain.chain.primitives.types import ZERO_HASH, Hash32
from dmchain.chain.staking.randao import HashOnion
from dmchain.chain.staking.readers import read_onions
from tests.marketplace_vm.staking.rig import ETHER, StakingChain, account, founder, key_of

CORE = Hash32(keccak(b"core"))


def chain_with(length: int) -> tuple[StakingChain, HashOnion]:
    """Four founders, of whom v0 has an onion."""
    onion = HashOnion(CORE, length)
    first = replace(founder("v0", 10 * ETHER), randao_anchor=onion.anchor, randao_length=length)
    return StakingChain([first, *[founder(f"v{index}", 10 * ETHER) for index in range(1, 4)]]), onion


def left(chain: StakingChain, name: str = "v0") -> int:
    return read_onions(chain.get_storage, key_of(name).address).left


def test_each_block_of_a_proposer_reveals_the_next_layer() -> None:
    chain, onion = chain_with(5)
    for number in range(4, -1, -1):
        chain.block(proposer="v0", reveal=onion.layer(number))
        chain.block(proposer="v1")
        assert left(chain) == number
        assert chain.see("randao", account("v0"))[:2] == (onion.layer(number), number)


@pytest.mark.parametrize("layer", [None, 0, 2, 4, 5])
def test_any_other_reveal_makes_the_block_invalid(layer: int | None) -> None:
    chain, onion = chain_with(5)
    chain.block(proposer="v0", reveal=onion.layer(4))
    wrong = ZERO_HASH if layer is None else onion.layer(layer)
    with pytest.raises(InvalidBlock, match="randao reveal: got .* expected 0x" + onion.layer(4).hex()):
        chain.block(proposer="v0", reveal=wrong)


def test_who_has_no_onion_left_reveals_zero() -> None:
    chain, onion = chain_with(1)
    chain.block(proposer="v0", reveal=onion.layer(0))
    chain.block(proposer="v0")
    with pytest.raises(InvalidBlock, match="expected zero: the proposer has no onion left"):
        chain.begin(proposer="v1", reveal=Hash32(b"\1" * 32))


def test_a_new_onion_begins_when_a_whole_epoch_has_passed() -> None:
    chain, old = chain_with(50)
    new = HashOnion(Hash32(keccak(b"another core")), 7)
    chain.block(50, proposer="v0", reveal=old.layer(49))
    outcome = chain.do("v0", "setRandao", new.anchor, 7)
    assert int.from_bytes(outcome.output, "big") == 2 and len(outcome.logs) == 1
    chain.next_epoch(proposer="v1")
    chain.block(proposer="v0", reveal=old.layer(48))
    chain.next_epoch(proposer="v1")
    chain.block(proposer="v0", reveal=new.layer(6))
    assert left(chain) == 6
    assert tuple(chain.see("randao", account("v0"))[2:]) == (bytes(32), 0, 0)


def test_the_last_one_registered_counts_and_none_can_be_chosen() -> None:
    chain, _ = chain_with(50)
    chain.do("v0", "setRandao", HashOnion(CORE, 9).anchor, 9)
    chain.do("v0", "setRandao", bytes(32), 0)
    chain.next_epoch(proposer="v1")
    assert left(chain) == 50
    chain.next_epoch(proposer="v1")
    assert left(chain) == 0
    chain.block(proposer="v0")


def test_registering_late_puts_the_beginning_off() -> None:
    chain, _ = chain_with(50)
    chain.do("v0", "setRandao", HashOnion(CORE, 9).anchor, 9)
    chain.next_epoch(proposer="v1")
    chain.do("v0", "setRandao", HashOnion(CORE, 8).anchor, 8)
    chain.next_epoch(proposer="v1")
    assert left(chain) == 50
    chain.next_epoch(proposer="v1")
    assert left(chain) == 8


def test_a_validator_that_joins_registers_its_first_onion_like_any_other() -> None:
    chain, _ = chain_with(50)
    chain.register("new", 20 * ETHER)
    onion = HashOnion(CORE, 3)
    chain.do("new", "setRandao", onion.anchor, 3)
    chain.next_epoch(proposer="v1")
    chain.block(proposer="new")
    chain.next_epoch(proposer="v1")
    chain.block(proposer="new", reveal=onion.layer(2))


def test_only_validators_that_may_still_propose_register_onions() -> None:
    chain, _ = chain_with(50)
    assert chain.fail("nobody", "setRandao", b"\1" * 32, 1)[0] == "UnknownValidator"
    for anchor, length in ((bytes(32), 1), (b"\1" * 32, 0)):
        assert chain.fail("v1", "setRandao", anchor, length)[0] == "InvalidRandao"
    chain.block()
    chain.block(evidence=[chain.double_vote("v1", 1)], proposer="v2")
    assert chain.fail("v1", "setRandao", b"\1" * 32, 1)[0] == "ValidatorTombstoned"


@given(st.integers(1, 3 * HashOnion.STRIDE + 1), st.data())
def test_layers_are_those_of_hashing_one_by_one(length: int, data: st.DataObject) -> None:
    onion = HashOnion(CORE, length)
    layers: list[bytes] = [CORE]
    for _ in range(length):
        layers.append(keccak(layers[-1]))
    assert onion.anchor == layers[-1]
    for number in data.draw(st.lists(st.integers(0, length), max_size=8)):
        assert onion.layer(number) == layers[number]


def test_layers_beyond_either_end_are_refused() -> None:
    onion = HashOnion(CORE, 3)
    for number in (-1, 4):
        with pytest.raises(ValueError, match="expected 0 to 3"):
            onion.layer(number)
    with pytest.raises(ValueError, match="expected 1 or more"):
        HashOnion(CORE, 0)
