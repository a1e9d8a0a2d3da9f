"""Scores follow from what was recorded, in integers that anybody can compute."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dmchain.chain.primitives.crypto import keccak
from tests.contracts.chain import ZERO, Chain, reverts
from tests.contracts.payment_world import make_cid
from tests.contracts.sales import sell

DATASET = keccak(make_cid(b"data"))
COMMENT = make_cid(b"comment")


class Scene:
    """A data set of `provider`, sold to buyers by a stand-in; `recorder` may record."""

    def __init__(self) -> None:
        self.chain = Chain()
        self.provider, self.recorder, *self.buyers = self.chain.accounts[1:9]
        self.chain.registry.registerCid(make_cid(b"data"), b"", [], 0, sender=self.provider)
        self.sales = self.chain.deploy("StandInSales")
        self.reputation = self.chain.deploy("Reputation", self.chain.admin, self.sales, [self.recorder])

    def sell(self, buyer: Any, number: int, value: int = 100) -> None:
        sell(self.sales, number, DATASET, buyer, provider=self.provider, amount=value)
        self.sales.pay(DATASET, buyer, value)
        self.chain.sleep(1)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene()


def score(ratings: list[int], deliveries: int = 0, lost: int = 0) -> int:
    """The formula of IReputation, once more."""
    points = 5 * 5_000 + sum(2_500 * (stars - 1) for stars in ratings)
    trust = 10 + min(deliveries, 90)
    return points * trust // ((5 + len(ratings)) * (trust + 10 * lost))


def test_without_a_record_the_score_is_in_the_middle(scene: Scene) -> None:
    assert scene.reputation.scoreOf(scene.provider) == scene.reputation.datasetScore(DATASET) == 5_000 == score([])


def test_recorders_count_sales_deliveries_and_disputes(scene: Scene) -> None:
    reputation, provider, recorder = scene.reputation, scene.provider, scene.recorder
    event = reputation.recordSale(provider, DATASET, 70, sender=recorder).event("SaleRecorded")
    assert (event.provider, event.datasetId, event.value) == (provider, DATASET, 70)
    reputation.recordSale(provider, DATASET, 30, sender=recorder)
    reputation.recordDelivery(provider, DATASET, sender=recorder)
    reputation.recordDispute(provider, DATASET, True, sender=recorder)
    reputation.recordDispute(provider, DATASET, False, sender=recorder)
    for record in (reputation.recordOf(provider), reputation.datasetRecord(DATASET)):
        assert (record.sales, record.volume, record.deliveries) == (2, 100, 1)
        assert (record.disputesWon, record.disputesLost, record.ratings, record.points) == (1, 1, 0, 0)
    assert reputation.scoreOf(provider) == score([], deliveries=1, lost=1) == 2_619
    role = keccak(b"RECORDER_ROLE")
    assert reputation.RECORDER_ROLE() == role
    for call in (
        lambda: reputation.recordSale(provider, DATASET, 1, sender=provider),
        lambda: reputation.recordDelivery(provider, DATASET, sender=provider),
        lambda: reputation.recordDispute(provider, DATASET, False, sender=provider),
    ):
        with reverts("AccessControlUnauthorizedAccount", provider, role):
            call()


def test_licensees_who_paid_rate_once_and_may_change_it(scene: Scene) -> None:
    reputation = scene.reputation
    first, second = scene.buyers[:2]
    scene.sell(first, 1)
    scene.sell(second, 2)
    event = reputation.rate(DATASET, 5, COMMENT, sender=first).event("Rated")
    assert (event.stars, event.previousStars, event.provider, event.commentCid) == (5, 0, scene.provider, COMMENT)
    assert reputation.scoreOf(scene.provider) == score([5])
    reputation.rate(DATASET, 2, b"", sender=second)
    assert reputation.rate(DATASET, 1, b"", sender=first).event("Rated").previousStars == 5
    assert reputation.scoreOf(scene.provider) == reputation.datasetScore(DATASET) == score([1, 2])
    record = reputation.recordOf(scene.provider)
    assert (record.ratings, record.points) == (2, 2_500)
    rating = reputation.ratingOf(DATASET, first)
    assert (rating.stars, rating.provider, rating.ratedAt) == (1, scene.provider, scene.chain.timestamp)


def test_who_has_not_paid_cannot_rate(scene: Scene) -> None:
    reputation = scene.reputation
    payer, friend = scene.buyers[:2]
    sell(scene.sales, 1, DATASET, friend, payer=payer, provider=scene.provider, amount=10)
    with reverts("NotAPayingLicensee", DATASET, friend):
        reputation.rate(DATASET, 5, b"", sender=friend)
    # a payment of this very second does not count yet
    scene.sales.pay(DATASET, payer, 10)
    with reverts("NotAPayingLicensee", DATASET, payer):
        reputation.rate(DATASET, 5, b"", sender=payer)
    scene.chain.sleep(1)
    reputation.rate(DATASET, 5, b"", sender=payer)
    for stars in (0, 6):
        with reverts("InvalidStars", stars):
            reputation.rate(DATASET, stars, b"", sender=payer)
    with reverts("InvalidComment", 129, 128):
        reputation.rate(DATASET, 4, b"\1" * 129, sender=payer)


def test_providers_do_not_rate_themselves(scene: Scene) -> None:
    scene.sell(scene.provider, 1)
    with reverts("OwnDataset", DATASET, scene.provider):
        scene.reputation.rate(DATASET, 5, b"", sender=scene.provider)


def test_a_rating_stays_with_who_sold_the_licence(scene: Scene) -> None:
    reputation = scene.reputation
    buyer, heir = scene.buyers[:2]
    scene.sell(buyer, 1)
    reputation.rate(DATASET, 1, b"", sender=buyer)
    scene.chain.registry.transferDataset(DATASET, heir, sender=scene.provider)
    reputation.rate(DATASET, 2, b"", sender=buyer)
    assert reputation.scoreOf(scene.provider) == score([2])
    assert reputation.scoreOf(heir) == 5_000


def test_not_even_many_deliveries_make_a_lost_dispute_nothing(scene: Scene) -> None:
    reputation, provider = scene.reputation, scene.provider
    reputation.recordDispute(provider, DATASET, True, sender=scene.recorder)
    for _ in range(95):
        reputation.recordDelivery(provider, DATASET, sender=scene.recorder)
    assert reputation.scoreOf(provider) == score([], deliveries=95, lost=1) == 4_545


def test_constructor_names_its_collaborators(scene: Scene) -> None:
    chain = scene.chain
    with reverts("InvalidAddress", ZERO):
        chain.deploy("Reputation", ZERO, scene.sales, [])
    with reverts("InvalidAddress", ZERO):
        chain.deploy("Reputation", chain.admin, ZERO, [])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stars=st.lists(st.integers(1, 5), max_size=5), deliveries=st.integers(0, 4), lost=st.integers(0, 4))
def test_the_score_is_the_formula_and_never_beyond_its_range(
    scene: Scene, stars: list[int], deliveries: int, lost: int
) -> None:
    chain, reputation = scene.chain, scene.reputation
    with chain.reverted_after():
        for number, (buyer, given_stars) in enumerate(zip(scene.buyers, stars, strict=False), 1):
            scene.sell(buyer, number)
            reputation.rate(DATASET, given_stars, b"", sender=buyer)
        for _ in range(deliveries):
            reputation.recordDelivery(scene.provider, DATASET, sender=scene.recorder)
        for _ in range(lost):
            reputation.recordDispute(scene.provider, DATASET, True, sender=scene.recorder)
        assert reputation.scoreOf(scene.provider) == score(stars, deliveries, lost) <= 10_000
