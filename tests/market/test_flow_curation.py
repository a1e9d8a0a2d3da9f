"""A standard of quality from its adoption by governance to a vote about a data set, through JSON-RPC, to the unit."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from dmchain.market import Action, Market, cids, errors
from dmchain.market.enums import EntryStatus, Outcome
from tests.market.governing import pass_proposal
from tests.market.world import World

DEPOSIT = 100 * 10**18
REVIEW_PERIOD, VOTE_PERIOD = 60, 60
VOTER_SHARE_BPS = 5_000
STANDARD = cids.of_content(b"Every label is checked by two people.")
DATASET = cids.of_content(b"cat, dog, cat")
REASON = cids.of_content(b"Rows 7 to 9 are not labelled.")


@dataclass(frozen=True)
class People:
    """Each holds DMG and votes for itself, as the first accounts of a devnet do."""

    world: World
    provider: Market
    challenger: Market
    big: Market
    small: Market

    @property
    def voters(self) -> list[Market]:
        return [self.big, self.small]

    def total_of(self, market: Market) -> int:
        """DMG in hand and owed."""
        account = market.address()
        return market.tokens.balance("DMG") + int(market.call("CurationRegistry", "owed", account))

    def held(self) -> int:
        """What the registry says it owes, which is all it has."""
        held = int(self.big.call("CurationRegistry", "held"))
        assert held == self.big.tokens.balance("DMG", self.big.contract_address("CurationRegistry"))
        return held


@pytest.fixture
def people(world: World) -> People:
    people = People(world, world.provider, world.stranger, world.market(8), world.market(9))
    people.small.tokens.transfer(people.big.address(), 10**24, "DMG")
    add = Action("CurationRegistry", "addStandard", (cids.to_bytes(STANDARD), DEPOSIT))
    pass_proposal(world, people.voters, [add], "Two people check every label")
    people.provider.transact("CidRegistry", "registerCid", cids.to_bytes(DATASET), b"", [], 13)
    return people


def test_governance_adopts_a_standard_and_a_data_set_meets_it(people: People) -> None:
    (standard,) = people.provider.curation.standards()
    assert (standard.deposit, standard.is_active) == (DEPOSIT, True)
    entry = people.provider.curation.apply(DATASET, STANDARD)
    assert (entry.status, entry.is_curated) == (EntryStatus.APPLIED, False)
    assert people.held() == DEPOSIT
    people.world.sleep(REVIEW_PERIOD)
    entry = people.small.curation.entry(DATASET, STANDARD)
    assert (entry.status, entry.is_curated) == (EntryStatus.ACCEPTED, True)
    people.provider.curation.remove(DATASET, STANDARD)
    ((owed, _),) = people.provider.payouts.withdraw()
    assert (owed.contract, owed.amount, people.held()) == ("CurationRegistry", DEPOSIT, 0)


def test_a_challenge_that_wins_moves_the_deposit_to_the_unit(people: People) -> None:
    begin = {market: people.total_of(market) for market in (people.provider, people.challenger, *people.voters)}
    people.provider.curation.apply(DATASET, STANDARD)
    challenge = people.challenger.curation.challenge(DATASET, STANDARD, REASON)
    people.big.curation.vote(challenge.challenge_id, keep=False)
    people.small.curation.vote(challenge.challenge_id, keep=False)
    people.provider.curation.vote(challenge.challenge_id, keep=True)
    with pytest.raises(errors.VoteRunning):
        people.challenger.curation.resolve(challenge.challenge_id)
    people.world.sleep(VOTE_PERIOD)
    challenge = people.challenger.curation.resolve(challenge.challenge_id)
    assert challenge.outcome == Outcome.REMOVED
    assert not people.small.curation.entry(DATASET, STANDARD).is_curated

    reward = DEPOSIT * VOTER_SHARE_BPS // 10_000
    for voter in people.voters:
        people.challenger.curation.claim_reward(challenge.challenge_id, voter.address())
    people.challenger.payouts.withdraw()
    gains = {market: people.total_of(market) - before for market, before in begin.items()}
    weights = [people.big.governance.votes() - gains[people.big], people.small.governance.votes() - gains[people.small]]
    assert gains[people.provider] == -DEPOSIT
    assert gains[people.challenger] == DEPOSIT - reward
    assert gains[people.big] == reward * weights[0] // sum(weights)
    assert gains[people.small] == reward - gains[people.big]
    assert people.held() == 0
    with pytest.raises(errors.NoReward):
        people.provider.curation.claim_reward(challenge.challenge_id)


def test_a_challenge_that_loses_pays_who_was_challenged(people: People) -> None:
    before = people.total_of(people.provider)
    people.provider.curation.apply(DATASET, STANDARD)
    people.world.sleep(REVIEW_PERIOD)
    challenge = people.challenger.curation.challenge(DATASET, STANDARD, REASON)
    people.big.curation.vote(challenge.challenge_id, keep=True)
    assert people.small.curation.entry(DATASET, STANDARD).is_curated
    people.world.sleep(VOTE_PERIOD)
    assert people.small.curation.resolve(challenge.challenge_id).outcome == Outcome.KEPT
    assert people.total_of(people.provider) == before - DEPOSIT + DEPOSIT // 2
    people.big.curation.claim_reward(challenge.challenge_id)
    people.provider.curation.remove(DATASET, STANDARD)
    people.provider.payouts.withdraw()
    assert people.held() == 0
