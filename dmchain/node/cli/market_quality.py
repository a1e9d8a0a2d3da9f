"""Commands about the quality oracle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from dmchain.node.cli.market_common import DATASET, ID, add_id_command, reading, sending
from dmchain.node.cli.market_disputes import add_pool_commands

if TYPE_CHECKING:
    from dmchain.market import Market

SCORE = click.IntRange(0, 10_000)


@click.group()
def quality() -> None:
    """Have quality measured by operators drawn by stake. Scores are 0 to 10000; metrics are named freely.

    The way of a check: request, draw (two blocks later), the operators' commit and reveal, fulfill.

    \b
    Example:
      dmchain market quality request 0x… completeness --devnet-account 2
      dmchain market quality score 0x… completeness
    """


@quality.command()
@click.argument("dataset", type=DATASET)
@click.argument("metric")
@click.option("--job", help="Name of the validation job; the metric's unless given.")
@click.option("--job-cid", metavar="CID", help="Its description.")
@click.option("--fee", help='"0.1 DM"; the least unless given.')
@sending("dmchain market quality request 0x… completeness --devnet-account 2")
def request(market: Market, dataset: str, metric: str, **options: Any) -> Any:
    """Ask for a check; the fee is taken in native coin."""
    return market.quality.request(dataset, metric, **options)


_salt_option = click.option("--salt", metavar="HEX", help="32 bytes of one's own, the same in commit and reveal.")


@quality.command()
@click.argument("request_id", type=ID, metavar="CHECK")
@click.argument("score", type=SCORE)
@_salt_option
@sending("dmchain market quality commit 1 9200 --devnet-account 4")
def commit(market: Market, request_id: int, score: int, salt: str | None) -> Any:
    """Commit to a score, as an operator on the panel."""
    return market.quality.commit(request_id, score, salt=salt)


@quality.command()
@click.argument("request_id", type=ID, metavar="CHECK")
@click.argument("score", type=SCORE)
@_salt_option
@sending("dmchain market quality reveal 1 9200 --devnet-account 4")
def reveal(market: Market, request_id: int, score: int, salt: str | None) -> Any:
    """Reveal the score after committing has ended."""
    return market.quality.reveal(request_id, score, salt)


@quality.command()
@click.argument("dataset", type=DATASET)
@click.argument("metric")
@reading("dmchain market quality score 0x… completeness")
def score(market: Market, dataset: str, metric: str) -> Any:
    """Show the latest score by a metric."""
    return market.quality.score(dataset, metric)


@quality.command()
@click.argument("request_id", type=ID, metavar="CHECK")
@reading("dmchain market quality show 1")
def show(market: Market, request_id: int) -> Any:
    """Show a check and its panel's answers."""
    return market.quality.get(request_id)


add_id_command(
    quality,
    "draw",
    "CHECK",
    "Draw the panel, two blocks after the request. Anyone may.",
    "dmchain market quality draw 1 --devnet-account 2",
    lambda market, number: market.quality.draw(number),
)
add_id_command(
    quality,
    "fulfill",
    "CHECK",
    "Close a check: median, quorum, penalties. Anyone may.",
    "dmchain market quality fulfill 1 --devnet-account 2",
    lambda market, number: market.quality.fulfill(number),
)


@click.group()
def operator() -> None:
    """Stake native coin to be drawn as an operator of the quality oracle.

    \b
    Example:
      dmchain market operator join "10 DM" --devnet-account 4
    """


add_pool_commands(operator, lambda market: market.quality.operators, "operator")
