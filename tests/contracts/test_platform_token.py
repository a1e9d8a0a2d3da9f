"""DMG: a fixed supply, votes by time, signatures in place of transactions."""

from __future__ import annotations

import os

import pytest
from eth_abi import encode
from hypothesis import given, settings
from hypothesis import strategies as st

from dmchain.chain.primitives.crypto import keccak
from tests.contracts.chain import START_TIME, ZERO, Chain, Contract, reverts
from tests.contracts.signing import DELEGATION, permit_digest, typed_digest

SUPPLY = {1: 600 * 10**18, 2: 400 * 10**18}


EXAMPLES = 60 if os.environ.get("MARKET") == "full" else 12
"""Random plays: more of them in `make market-test`."""


@pytest.fixture(scope="module")
def token() -> Contract:
    chain = Chain()
    holders = [chain.accounts[index] for index in SUPPLY]
    return chain.deploy("PlatformToken", holders, list(SUPPLY.values()))


def test_the_supply_is_what_the_holders_were_given(token: Contract) -> None:
    alice, bob = token.chain.accounts[1:3]
    assert (token["name"](), token.symbol(), token.decimals()) == ("dmchain Governance", "DMG", 18)
    assert token.totalSupply() == 10**21
    assert (token.balanceOf(alice), token.balanceOf(bob)) == (SUPPLY[1], SUPPLY[2])


def test_there_is_no_way_to_mint(token: Contract) -> None:
    names = {item["name"] for item in token.abi if item["type"] == "function"}
    assert not {name for name in names if "mint" in name.lower() or "burn" in name.lower()}


def test_lists_of_different_lengths_are_refused(chain: Chain) -> None:
    chain.deploy("PlatformToken", [], [])
    with reverts("LengthMismatch", 1, 2):
        chain.deploy("PlatformToken", [chain.accounts[1]], [1, 2])


def test_first_holders_vote_for_themselves_and_others_once_they_delegate(token: Contract) -> None:
    alice, bob, carol = token.chain.accounts[1:4]
    assert (token.delegates(alice), token.getVotes(alice)) == (alice, SUPPLY[1])
    token.transfer(carol, 100, sender=alice)
    assert (token.getVotes(alice), token.getVotes(carol), token.delegates(carol)) == (SUPPLY[1] - 100, 0, ZERO)
    token.delegate(carol, sender=carol)
    assert token.getVotes(carol) == 100
    token.delegate(bob, sender=carol)
    assert (token.getVotes(carol), token.getVotes(bob)) == (0, SUPPLY[2] + 100)


def test_past_votes_are_read_by_the_second_once_it_is_over(token: Contract) -> None:
    chain, (alice, bob) = token.chain, token.chain.accounts[1:3]
    assert (token.clock(), token.CLOCK_MODE()) == (START_TIME, "mode=timestamp")
    with reverts("ERC5805FutureLookup", START_TIME, START_TIME):
        token.getPastVotes(alice, START_TIME)
    chain.sleep(10)
    token.transfer(bob, 7, sender=alice)
    token.transfer(bob, 3, sender=alice)  # another block, the same second: the last word counts
    chain.sleep(1)
    assert token.getPastVotes(alice, START_TIME + 9) == SUPPLY[1]
    assert token.getPastVotes(alice, START_TIME + 10) == SUPPLY[1] - 10
    assert token.getPastVotes(bob, START_TIME + 10) == SUPPLY[2] + 10
    assert token.getPastTotalSupply(START_TIME + 10) == 10**21
    assert token.getPastVotes(alice, START_TIME - 1) == 0


def test_permit_is_an_approval_that_somebody_else_sends_once(token: Contract) -> None:
    alice, bob, relay = token.chain.accounts[1:4]
    deadline = START_TIME + 60
    signature = alice.sign(permit_digest(token, alice, bob, 55, deadline))
    token.permit(alice, bob, 55, deadline, *signature, sender=relay)
    assert token.allowance(alice, bob) == 55
    with reverts("ERC2612InvalidSigner"):
        token.permit(alice, bob, 55, deadline, *signature, sender=relay)
    token.transferFrom(alice, bob, 55, sender=bob)
    assert token.balanceOf(bob) == SUPPLY[2] + 55


def test_permit_ends_at_its_deadline(token: Contract) -> None:
    alice, bob = token.chain.accounts[1:3]
    signature = alice.sign(permit_digest(token, alice, bob, 55, START_TIME + 60))
    token.chain.sleep(61)
    with reverts("ERC2612ExpiredSignature", START_TIME + 60):
        token.permit(alice, bob, 55, START_TIME + 60, *signature)


def test_a_delegation_can_be_signed(token: Contract) -> None:
    alice, bob, relay = token.chain.accounts[1:4]
    expiry = START_TIME + 60
    struct = keccak(encode(["bytes32", "address", "uint256", "uint256"], [DELEGATION, str(bob), 0, expiry]))
    signature = alice.sign(typed_digest(token, token["name"](), struct))
    token.delegateBySig(bob, 0, expiry, *signature, sender=relay)
    assert token.getVotes(bob) == 10**21
    with reverts("InvalidAccountNonce", alice, 1):
        token.delegateBySig(bob, 0, expiry, *signature, sender=relay)


ACTION = st.tuples(
    st.sampled_from(["transfer", "delegate", "wait"]), st.integers(1, 4), st.integers(1, 4), st.integers(0, 50)
)


@settings(max_examples=EXAMPLES, deadline=None)
@given(actions=st.lists(ACTION, max_size=12))
def test_votes_always_sum_to_what_is_delegated(token: Contract, actions: list[tuple[str, int, int, int]]) -> None:
    chain = token.chain
    with chain.reverted_after():
        people = chain.accounts[1:5]
        for kind, one, other, percent in actions:
            if kind == "transfer":
                amount = token.balanceOf(chain.accounts[one]) * percent // 100
                token.transfer(chain.accounts[other], amount, sender=chain.accounts[one])
            elif kind == "delegate":
                token.delegate(chain.accounts[other], sender=chain.accounts[one])
            else:
                chain.sleep(percent)
        for person in people:
            supporters = [each for each in people if token.delegates(each) == person]
            assert token.getVotes(person) == sum(token.balanceOf(each) for each in supporters)
        assert sum(token.balanceOf(person) for person in people) == token.totalSupply() == 10**21
