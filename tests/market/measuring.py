"""A quality check from request to score, as its operators would run it."""

from __future__ import annotations

from dmchain.market import Market
from tests.market.world import World


def measure(world: World, dataset: str, metric: str, score: int, *, by: Market) -> None:
    """`by` asks, five operators (who join for it) answer `score`, and the result is on chain."""
    operators = world.operators[:5]
    world.join(operators)
    # A score counts for purchases of an earlier second: a devnet makes many blocks in one.
    world.sleep(1)
    check = by.quality.request(dataset, metric)
    world.mine(2)
    panel = {each.operator.lower() for each in by.quality.draw(check.request_id).answers}
    drawn = [each for each in operators if each.address().lower() in panel]
    assert len(drawn) == len(panel) >= 3
    for each in drawn:
        each.quality.commit(check.request_id, score)
    # All have committed: revealing begins at once.
    for each in drawn:
        each.quality.reveal(check.request_id, score)
    world.stranger.quality.fulfill(check.request_id)
    assert by.quality.score(dataset, metric).score == score
