"""Standards kept by the holders of DMG: applications, challenges, votes, and every unit of their deposits."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from typing import Any

import pytest
from eth_abi import encode
from hypothesis import given, settings
from hypothesis import strategies as st

from dmchain.chain.primitives.crypto import keccak
from tests.contracts.chain import Chain, Contract, Reverted, reverts

DEPOSIT = 1_000
REVIEW, VOTE, QUORUM_BPS, VOTER_SHARE_BPS = 100, 200, 1_000, 3_000
SUPPLY = 1_000_000
NONE, APPLIED, ACCEPTED, APPLICATION_CHALLENGED, ENTRY_CHALLENGED = range(5)
STATUS_PENDING, KEPT, REMOVED, NO_QUORUM = range(4)
STANDARD_CID = bytes.fromhex("01551220") + hashlib.sha256(b"how a data set must be").digest()
STANDARD = keccak(STANDARD_CID)
REASON = bytes.fromhex("01551220") + hashlib.sha256(b"it is not").digest()


def make_cid(name: str) -> bytes:
    return bytes.fromhex("01551220") + hashlib.sha256(name.encode()).digest()


@dataclass(frozen=True)
class World:
    """The owner holds two data sets; everybody but the poor holds DMG and votes for themselves."""

    chain: Chain
    token: Contract
    curation: Contract
    datasets: list[bytes] = field(default_factory=list)

    @property
    def owner(self) -> Any:
        return self.chain.accounts[1]

    @property
    def challenger(self) -> Any:
        return self.chain.accounts[2]

    @property
    def voters(self) -> Any:
        """With 300,000, 200,000 and 100,000 votes."""
        return self.chain.accounts[3:6]

    @property
    def poor(self) -> Any:
        return self.chain.accounts[7]

    def apply(self, dataset: bytes | None = None) -> bytes:
        dataset = dataset or self.datasets[0]
        self.curation.applyFor(dataset, STANDARD, sender=self.owner)
        return dataset

    def challenge(self, dataset: bytes) -> int:
        return int(self.curation.challenge(dataset, STANDARD, REASON, sender=self.challenger).value)

    def status(self, dataset: bytes) -> int:
        return int(self.curation.entry(dataset, STANDARD).status)

    def is_curated(self, dataset: bytes) -> bool:
        return bool(self.curation.isCurated(dataset, STANDARD))

    def gain(self, account: Any) -> int:
        """What it has and is owed now, less what it began with."""
        return int(self.token.balanceOf(account) + self.curation.owed(account) - BEGIN[account])


BEGIN: dict[Any, int] = {}


EXAMPLES = 60 if os.environ.get("MARKET") == "full" else 12
"""Random plays: more of them in `make market-test`."""


@pytest.fixture(scope="module")
def world() -> World:
    chain = Chain()
    amounts = [100_000, 100_000, 300_000, 200_000, 100_000, 200_000]
    holders = chain.accounts[1:7]
    BEGIN.update(zip(holders, amounts, strict=True))
    token = chain.deploy("PlatformToken", holders, amounts)
    parameters = (REVIEW, VOTE, QUORUM_BPS, VOTER_SHARE_BPS)
    curation = chain.deploy("CurationRegistry", token, chain.admin, parameters)
    curation.addStandard(STANDARD_CID, DEPOSIT)
    for holder in holders:
        token.approve(curation, 2**256 - 1, sender=holder)
    datasets = []
    for name in ("one", "two"):
        chain.registry.registerCid(make_cid(name), b"", [], 5, sender=chain.accounts[1])
        datasets.append(keccak(make_cid(name)))
    chain.sleep(10)
    return World(chain, token, curation, datasets)


# -- applying ----------------------------------------------------------------------------------------------------------


def test_an_application_nobody_challenges_is_accepted_after_its_review(world: World) -> None:
    dataset = world.apply()
    assert world.token.balanceOf(world.curation) == world.curation.held() == DEPOSIT
    assert (world.status(dataset), world.is_curated(dataset)) == (APPLIED, False)
    world.chain.sleep(REVIEW - 1)
    assert (world.status(dataset), world.is_curated(dataset)) == (APPLIED, False)
    world.chain.sleep(1)
    assert (world.status(dataset), world.is_curated(dataset)) == (ACCEPTED, True)
    assert world.curation.entriesOf(STANDARD, 0, 10) == [dataset]
    assert world.curation.standard(STANDARD).entryCount == 1
    assert not world.is_curated(world.datasets[1])


def test_only_the_owner_of_an_active_data_set_applies_and_once(world: World) -> None:
    dataset = world.datasets[0]
    with reverts("NotDatasetOwner", dataset, world.challenger, world.owner):
        world.curation.applyFor(dataset, STANDARD, sender=world.challenger)
    with reverts("UnknownStandard", bytes(32)):
        world.curation.applyFor(dataset, bytes(32), sender=world.owner)
    with reverts("UnknownDataset", bytes(32)):
        world.curation.applyFor(bytes(32), STANDARD, sender=world.owner)
    world.apply()
    with reverts("UnexpectedStatus", dataset, STANDARD, APPLIED):
        world.apply()
    world.chain.registry.retire(world.datasets[1], sender=world.owner)
    with reverts("InactiveDataset", world.datasets[1]):
        world.apply(world.datasets[1])


def test_an_owner_without_the_deposit_does_not_apply(world: World) -> None:
    world.chain.registry.transferDataset(world.datasets[0], world.poor, sender=world.owner)
    world.token.approve(world.curation, DEPOSIT, sender=world.poor)
    with reverts("ERC20InsufficientBalance", world.poor, 0, DEPOSIT):
        world.curation.applyFor(world.datasets[0], STANDARD, sender=world.poor)
    assert world.curation.held() == 0


def test_an_entry_is_taken_back_with_its_deposit(world: World) -> None:
    dataset = world.apply()
    with reverts("NotAllowedToRemove", dataset, STANDARD, world.challenger):
        world.curation.removeEntry(dataset, STANDARD, sender=world.challenger)
    world.curation.removeEntry(dataset, STANDARD, sender=world.owner)
    assert (world.status(dataset), world.curation.entriesOf(STANDARD, 0, 10)) == (NONE, [])
    assert world.curation.owed(world.owner) == DEPOSIT
    world.curation.withdraw(sender=world.owner)
    assert (world.gain(world.owner), world.curation.held()) == (0, 0)
    with reverts("NothingOwed", world.owner):
        world.curation.withdrawFor(world.owner)
    with reverts("UnexpectedStatus", dataset, STANDARD, NONE):
        world.curation.removeEntry(dataset, STANDARD, sender=world.owner)


def test_a_new_owner_may_remove_the_entry_of_the_old_one_who_is_paid(world: World) -> None:
    dataset = world.apply()
    world.chain.registry.transferDataset(dataset, world.poor, sender=world.owner)
    world.curation.removeEntry(dataset, STANDARD, sender=world.poor)
    assert (world.curation.owed(world.owner), world.curation.owed(world.poor)) == (DEPOSIT, 0)


def test_a_retired_data_set_is_curated_no_more_and_anybody_clears_its_entry(world: World) -> None:
    dataset = world.apply()
    world.chain.sleep(REVIEW)
    assert world.is_curated(dataset)
    world.chain.registry.retire(dataset, sender=world.owner)
    assert not world.is_curated(dataset)
    world.curation.removeEntry(dataset, STANDARD, sender=world.poor)
    assert world.curation.owed(world.owner) == DEPOSIT


def test_a_data_set_that_began_anew_has_to_apply_anew(world: World) -> None:
    """Somebody committed to the content before it was registered, and claims it."""
    chain, rightful = world.chain, world.challenger
    cid, salt = make_cid("contested"), bytes(31) + b"\1"
    encoded = encode(["bytes", "address", "bytes32"], [cid, str(rightful), salt])
    chain.registry.commitCid(keccak(encoded), sender=rightful)
    chain.registry.registerCid(cid, b"", [], 1, sender=world.owner)
    dataset = world.apply(keccak(cid))
    chain.sleep(REVIEW)
    assert world.is_curated(dataset)
    chain.registry.registerCommitted(cid, b"", [], 1, salt, sender=rightful)
    assert not world.is_curated(dataset)
    world.curation.applyFor(dataset, STANDARD, sender=rightful)
    assert (world.status(dataset), world.curation.owed(world.owner)) == (APPLIED, DEPOSIT)
    assert world.curation.held() == world.token.balanceOf(world.curation) == 2 * DEPOSIT
    assert world.curation.entriesOf(STANDARD, 0, 10) == [dataset]


# -- challenges --------------------------------------------------------------------------------------------------------


def test_a_challenger_who_wins_takes_the_deposit_but_for_the_voters_part(world: World) -> None:
    dataset = world.apply()
    identifier = world.challenge(dataset)
    assert (world.status(dataset), world.is_curated(dataset)) == (APPLICATION_CHALLENGED, False)
    big, middle, small = world.voters
    world.curation.vote(identifier, False, sender=big)
    world.curation.vote(identifier, True, sender=middle)
    world.curation.vote(identifier, False, sender=small)
    with reverts("VoteRunning", challengeId=identifier):
        world.curation.resolve(identifier)
    world.chain.sleep(VOTE)
    done = world.curation.resolve(identifier).event("ChallengeResolved")
    assert (done.outcome, done.votesToKeep, done.votesToRemove) == (REMOVED, 200_000, 400_000)
    assert (world.status(dataset), world.curation.entriesOf(STANDARD, 0, 10)) == (NONE, [])
    reward = DEPOSIT * VOTER_SHARE_BPS // 10_000
    assert (world.gain(world.owner), world.gain(world.challenger)) == (-DEPOSIT, DEPOSIT - reward)
    assert world.curation.claimReward(identifier, big).value == reward * 3 // 4
    assert world.curation.claimReward(identifier, small, sender=world.poor).value == reward - reward * 3 // 4
    for loser in (middle, big, world.poor):
        with reverts("NoReward", identifier, loser):
            world.curation.claimReward(identifier, loser)
    world.curation.withdraw(sender=world.challenger)
    assert world.curation.held() == world.token.balanceOf(world.curation) == 0


def test_a_challenger_who_loses_pays_the_applicant_and_the_voters(world: World) -> None:
    dataset = world.apply()
    world.chain.sleep(REVIEW)
    identifier = world.challenge(dataset)
    assert (world.status(dataset), world.is_curated(dataset)) == (ENTRY_CHALLENGED, True)
    big, middle, _ = world.voters
    world.curation.vote(identifier, True, sender=big)
    world.curation.vote(identifier, False, sender=middle)
    world.chain.sleep(VOTE)
    world.curation.resolve(identifier)
    assert (world.status(dataset), world.is_curated(dataset)) == (ACCEPTED, True)
    reward = DEPOSIT * VOTER_SHARE_BPS // 10_000
    assert world.curation.owed(world.owner) == DEPOSIT - reward
    assert world.curation.claimReward(identifier, big).value == reward
    assert world.gain(world.challenger) == -DEPOSIT
    assert world.curation.held() == DEPOSIT + DEPOSIT - reward
    with reverts("AlreadyResolved", identifier):
        world.curation.resolve(identifier)


@pytest.mark.parametrize("votes", [(), (True,), (False,)])
def test_without_a_quorum_the_entry_stands_and_nobody_loses(world: World, votes: tuple[bool, ...]) -> None:
    dataset = world.apply()
    chain, small = world.chain, world.chain.accounts[8]
    world.token.transfer(small, 99_999, sender=world.chain.accounts[6])
    world.token.delegate(small, sender=small)
    chain.sleep(1)
    identifier = world.challenge(dataset)
    assert world.curation.challengeOf(identifier).quorum == SUPPLY * QUORUM_BPS // 10_000 == 100_000
    for side in votes:
        world.curation.vote(identifier, side, sender=small)
    chain.sleep(VOTE)
    world.curation.resolve(identifier)
    assert world.curation.challengeOf(identifier).outcome == NO_QUORUM
    assert world.status(dataset) == ACCEPTED
    assert (world.gain(world.challenger), world.gain(world.owner)) == (0, -DEPOSIT)
    with reverts("NoReward", identifier, small):
        world.curation.claimReward(identifier, small)


def test_challenges_that_cost_nothing_do_not_hold_a_deposit_for_ever(world: World) -> None:
    """Nobody votes; the challenger is back in the same second, and the owner has time to leave all the same."""
    dataset = world.apply()
    identifier = world.challenge(dataset)
    world.chain.sleep(VOTE)
    world.curation.resolve(identifier)
    with reverts("ChallengedTooSoon", dataset, STANDARD, world.chain.timestamp + REVIEW):
        world.challenge(dataset)
    world.curation.removeEntry(dataset, STANDARD, sender=world.owner)
    world.curation.withdraw(sender=world.owner)
    assert world.gain(world.owner) == 0
    world.apply()  # an application is open to challenges at once
    world.challenge(dataset)


def test_a_tie_keeps_the_entry(world: World) -> None:
    dataset = world.apply()
    identifier = world.challenge(dataset)
    world.curation.vote(identifier, True, sender=world.owner)
    world.curation.vote(identifier, False, sender=world.challenger)
    world.chain.sleep(VOTE)
    world.curation.resolve(identifier)
    assert world.curation.challengeOf(identifier).outcome == KEPT
    assert world.status(dataset) == ACCEPTED


def test_an_accepted_entry_can_be_challenged_again(world: World) -> None:
    dataset = world.apply()
    for _ in range(2):
        identifier = world.challenge(dataset)
        world.curation.vote(identifier, True, sender=world.voters[0])
        world.chain.sleep(VOTE)
        world.curation.resolve(identifier)
        with reverts("ChallengedTooSoon", challengeableFrom=world.chain.timestamp + REVIEW):
            world.challenge(dataset)
        world.chain.sleep(REVIEW)
    last = world.challenge(dataset)
    assert last == world.curation.challengeCount() == 3
    world.curation.vote(last, False, sender=world.voters[0])
    world.chain.sleep(VOTE)
    world.curation.resolve(last)
    assert world.status(dataset) == NONE
    world.apply()
    assert world.curation.entry(dataset, STANDARD).challengeId == 0


def test_while_challenged_nothing_else_happens_to_an_entry(world: World) -> None:
    dataset = world.apply()
    identifier = world.challenge(dataset)
    expected = ("UnexpectedStatus", dataset, STANDARD, APPLICATION_CHALLENGED)
    with reverts(*expected):
        world.challenge(dataset)
    with reverts(*expected):
        world.curation.removeEntry(dataset, STANDARD, sender=world.owner)
    with reverts(*expected):
        world.apply()
    with reverts("NotResolved", identifier):
        world.curation.claimReward(identifier, world.owner)
    with reverts("UnexpectedStatus", world.datasets[1], STANDARD, NONE):
        world.challenge(world.datasets[1])
    with reverts("InvalidCidLength", 3):
        world.curation.challenge(dataset, STANDARD, b"abc", sender=world.challenger)
    for unknown in (0, 2):
        with reverts("UnknownChallenge", unknown):
            world.curation.resolve(unknown)


# -- votes -------------------------------------------------------------------------------------------------------------


def test_votes_bought_after_the_challenge_do_not_count(world: World) -> None:
    identifier = world.challenge(world.apply())
    big = world.voters[0]
    world.token.transfer(world.poor, 300_000, sender=big)  # even in the very second of the challenge
    world.token.delegate(world.poor, sender=world.poor)
    world.chain.sleep(1)
    with reverts("NoVotes", world.poor, world.curation.challengeOf(identifier).snapshot):
        world.curation.vote(identifier, False, sender=world.poor)
    assert world.curation.vote(identifier, True, sender=big).event("Voted").votes == 300_000


def test_each_votes_once_and_in_time(world: World) -> None:
    identifier = world.challenge(world.apply())
    world.curation.vote(identifier, True, sender=world.voters[0])
    with reverts("AlreadyVoted", identifier, world.voters[0]):
        world.curation.vote(identifier, False, sender=world.voters[0])
    world.chain.sleep(VOTE)
    with reverts("VoteEnded", challengeId=identifier):
        world.curation.vote(identifier, False, sender=world.voters[1])
    ballot = world.curation.ballotOf(identifier, world.voters[0])
    assert tuple(ballot) == (300_000, True, False)


# -- governance --------------------------------------------------------------------------------------------------------


def test_only_the_admin_sets_standards_and_parameters_and_within_bounds(world: World) -> None:
    curation, stranger = world.curation, world.challenger
    for call in (
        lambda: curation.addStandard(make_cid("other"), 1, sender=stranger),
        lambda: curation.setStandard(STANDARD, 1, False, sender=stranger),
        lambda: curation.setParameters((1, 1, 1, 1), sender=stranger),
    ):
        with reverts("AccessControlUnauthorizedAccount", stranger, bytes(32)):
            call()
    with reverts("StandardExists", STANDARD):
        curation.addStandard(STANDARD_CID, 1)
    with reverts("InvalidCidLength", 129):
        curation.addStandard(bytes(129), 1)
    with reverts("ParameterOutOfRange", given=0, least=1):
        curation.addStandard(make_cid("other"), 0)
    for wrong in ((0, 1, 1, 1), (1, 0, 1, 1), (1, 1, 10_001, 1), (1, 1, 1, 10_001), (2**64 - 1, 1, 1, 1)):
        with reverts("ParameterOutOfRange"):
            curation.setParameters(wrong)
    other = curation.addStandard(make_cid("other"), 7).value
    assert curation.standards(0, 10) == [STANDARD, other] and curation.standards(1, 1) == [other]
    assert curation.standards(5, 10) == [] and curation.standardCount() == 2


def test_a_challenge_keeps_the_terms_it_began_with(world: World) -> None:
    dataset = world.apply()
    identifier = world.challenge(dataset)
    world.curation.setParameters((1, 1, 10_000, 0))
    world.curation.setStandard(STANDARD, 77, True)
    world.curation.vote(identifier, False, sender=world.voters[0])
    with reverts("VoteRunning", challengeId=identifier):
        world.curation.resolve(identifier)
    world.chain.sleep(VOTE)
    world.curation.resolve(identifier)
    kept = world.curation.challengeOf(identifier)
    assert (kept.outcome, kept.deposit, kept.rewardLeft) == (REMOVED, DEPOSIT, 300)
    world.apply()
    assert world.curation.entry(dataset, STANDARD).deposit == 77


def test_a_standard_switched_off_curates_nothing_and_lets_deposits_go(world: World) -> None:
    dataset = world.apply()
    world.chain.sleep(REVIEW)
    second = world.apply(world.datasets[1])
    identifier = world.challenge(second)
    world.curation.setStandard(STANDARD, DEPOSIT, False)
    assert not world.is_curated(dataset)
    with reverts("InactiveStandard", STANDARD):
        world.challenge(dataset)
    world.curation.removeEntry(dataset, STANDARD, sender=world.poor)
    with reverts("InactiveStandard", STANDARD):
        world.apply()
    world.chain.sleep(VOTE)
    world.curation.resolve(identifier)
    world.curation.removeEntry(second, STANDARD, sender=world.poor)
    world.curation.withdrawFor(world.owner)
    world.curation.withdrawFor(world.challenger)
    assert world.curation.held() == 0
    world.curation.setStandard(STANDARD, DEPOSIT, True)
    world.apply()


# -- money -------------------------------------------------------------------------------------------------------------

STEP = st.tuples(
    st.sampled_from(["apply", "remove", "challenge", "vote", "vote", "vote", "wait", "resolve", "claim", "withdraw"]),
    st.integers(0, 5),
    st.integers(0, 3),
)


@settings(max_examples=EXAMPLES, deadline=None)
@given(steps=st.lists(STEP, min_size=5, max_size=40), share=st.sampled_from([0, 1, 3_333, 10_000]))
def test_the_registry_always_holds_just_what_it_owes(world: World, steps: list[Any], share: int) -> None:
    with world.chain.reverted_after():
        world.curation.setParameters((REVIEW, VOTE, QUORUM_BPS, share))
        world.curation.setStandard(STANDARD, 997, True)
        for step in steps:
            try:
                _perform(world, *step)
            except Reverted as error:
                assert error.name, f"{step}: {error}"
            _check_money(world)
        _settle(world)


def _perform(world: World, kind: str, who: int, which: int) -> None:
    curation, person = world.curation, world.chain.accounts[1 + who]
    dataset = world.datasets[which % 2]
    identifier = curation.entry(dataset, STANDARD).challengeId or curation.challengeCount()
    match kind:
        case "apply":
            world.apply(dataset)
        case "remove":
            curation.removeEntry(dataset, STANDARD, sender=person)
        case "challenge":
            curation.challenge(dataset, STANDARD, REASON, sender=person)
        case "vote":
            curation.vote(identifier, which > 1, sender=person)
        case "wait":
            world.chain.sleep((1, REVIEW, VOTE, VOTE)[which])
        case "resolve":
            curation.resolve(identifier)
        case "claim":
            curation.claimReward(identifier, person)
        case "withdraw":
            curation.withdraw(sender=person)


def _check_money(world: World) -> None:
    """The sum of its parts is `held`, `held` is the balance, and the supply is all there."""
    curation = world.curation
    people = world.chain.accounts[1:7]
    parts = sum(curation.entry(dataset, STANDARD).deposit for dataset in world.datasets)
    parts += sum(curation.owed(person) for person in people)
    for identifier in range(1, curation.challengeCount() + 1):
        made = curation.challengeOf(identifier)
        parts += made.rewardLeft + (made.deposit if made.outcome == STATUS_PENDING else 0)
    assert parts == curation.held() == world.token.balanceOf(curation)
    assert sum(world.token.balanceOf(person) for person in people) + parts == SUPPLY


def _settle(world: World) -> None:
    """When everybody has taken what is theirs, nothing is left."""
    curation, people = world.curation, world.chain.accounts[1:7]
    world.chain.sleep(VOTE)
    for identifier in range(1, curation.challengeCount() + 1):
        if curation.challengeOf(identifier).outcome == STATUS_PENDING:
            curation.resolve(identifier)
        for person in people:
            try:
                curation.claimReward(identifier, person)
            except Reverted as error:
                assert error.name == "NoReward"
    for dataset in curation.entriesOf(STANDARD, 0, 10):
        curation.removeEntry(dataset, STANDARD, sender=world.owner)
    for person in people:
        if curation.owed(person):
            curation.withdrawFor(person)
    assert world.token.balanceOf(curation) == curation.held() == 0
