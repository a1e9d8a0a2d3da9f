"""The chain that the contracts are tested on does what its users rely on."""

from __future__ import annotations

import hashlib

import pytest

from dmchain.chain.primitives.crypto import keccak
from tests.contracts.chain import FUNDS, START_TIME, Chain, Contract, reverts, to_bytes

CID = bytes.fromhex("01551220") + hashlib.sha256(b"content").digest()


@pytest.fixture(scope="module")
def sample() -> Contract:
    return Chain().deploy("Sample", 5, value=7)


def test_views_return_values_and_transactions_receipts(sample: Contract) -> None:
    assert sample.count() == 5
    done = sample.add(10, value=2)
    assert (done.value.before, done.value.then) == (5, 15)
    assert sample.count() == 15
    assert 20_000 < done.gas_used < 60_000
    assert sample.balance == 9


@pytest.mark.parametrize("again", range(2))
def test_each_test_begins_where_the_fixture_ended(sample: Contract, again: int) -> None:
    assert (sample.count(), sample.balance, sample.chain.timestamp) == (5, 7, START_TIME)
    sample.add(3, value=again)
    sample.chain.sleep(10)


def test_custom_errors_are_decoded_and_change_nothing(sample: Contract) -> None:
    chain = sample.chain
    with reverts("TooSmall", 2, 3):
        sample.add(2, value=1)
    with reverts("TooSmall", expected=3):
        sample.add(2)
    with reverts("Panic", 0x12):
        sample.divide(0)
    with reverts():
        chain.send(sample, b"\1\2\3\4")
    assert (sample.count(), sample.balance) == (5, 7)
    with pytest.raises(AssertionError, match="expected Other"), reverts("Other"):
        sample.add(2)
    with pytest.raises(AssertionError, match="it succeeded"), reverts("TooSmall"):
        sample.add(3)


def test_structs_go_in_and_come_out_by_name(sample: Contract) -> None:
    alice, bob = sample.chain.accounts[1:3]
    done = sample.keep({"x": 7, "label": b"\1" * 32, "owners": [alice, sample]}, sender=bob)
    kept = sample.kept()
    assert (kept.x, kept.label, kept.owners) == (7, b"\1" * 32, [alice, sample.address])
    event = done.event("Kept")
    assert (event.who, event.text, event.point.x) == (bob, keccak(b"hello"), 7)


def test_time_randao_and_chain_id_are_what_the_chain_says(sample: Contract) -> None:
    chain = sample.chain
    chain.sleep(100)
    chain.randao = (77).to_bytes(32, "big")
    seen = sample.surroundings()
    assert (seen.time, seen.randao, seen.chainId) == (START_TIME + 100, 77, 1337)
    before = seen.number
    sample.add(3)
    assert sample.surroundings().number == before + 1
    assert Chain(chain_id=5).deploy("Sample", 1).surroundings().chainId == 5


def test_the_native_precompiles_are_there(sample: Contract) -> None:
    chain = sample.chain
    dataset_id = sample.register(CID).value
    assert dataset_id == keccak(CID)
    assert chain.registry.dataset(dataset_id).owner == sample.address
    with reverts("AlreadyRegistered", keccak(CID)):
        sample.register(CID)


def test_deploying_at_a_chosen_address_and_behind_a_proxy(chain: Chain) -> None:
    fixed = chain.deploy("Sample", 4, at=0xDA99)
    assert to_bytes(fixed) == (0xDA99).to_bytes(20, "big")
    assert fixed.count() == 4
    proxy = chain.deploy_proxy("Sample", 9, at=0xDA98, owner=chain.accounts[3], implementation=fixed)
    assert (proxy.count(), proxy.proxy_admin.owner()) == (9, chain.accounts[3])
    with reverts("InvalidInitialization"):
        proxy.initialize(1)


def test_balances_move_by_values_alone(sample: Contract) -> None:
    chain = sample.chain
    carol = chain.accounts[9]
    sample.pay(carol, 3)
    assert chain.balance(carol) == FUNDS + 3
    sample.call.pay(carol, 3)
    assert chain.balance(carol) == FUNDS + 3
