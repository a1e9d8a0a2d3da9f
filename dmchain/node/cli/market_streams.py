"""Commands about payment by the second."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from dmchain.node.cli.market_common import DATASET, ID, add_id_command, reading, sending
from dmchain.node.cli.market_licenses import offer_of

if TYPE_CHECKING:
    from dmchain.market import Market


@click.group()
def stream() -> None:
    """Pay for a subscription by the second. What the payer gets back waits in `payouts`.

    \b
    Example:
      dmchain market stream start 2 --lasting 30d --devnet-account 2
    """


@stream.command()
@click.argument("offer", type=DATASET, metavar="OFFER|DATASET")
@click.option("--deposit", help='"10 USD".')
@click.option("--lasting", help="Deposit for so long: 30d.")
@click.option("--licensee", metavar="ADDRESS", help="Who gets the licence; the sender unless given.")
@sending("dmchain market stream start 2 --lasting 30d --devnet-account 2")
def start(market: Market, offer: str, **options: Any) -> Any:
    """Start a stream by an offer of a subscription; the licence lasts as long as the deposit."""
    return market.streams.start(offer_of(market, offer), **options)


@stream.command()
@click.argument("offer", type=DATASET, metavar="OFFER|DATASET")
@click.argument("minimum", metavar="DURATION|none")
@sending("dmchain market stream minimum 2 1d --devnet-account 1")
def minimum(market: Market, offer: str, minimum: str) -> Any:
    """Let streams by an offer pay for some time at least, as the provider; `none` refuses streams."""
    return market.streams.set_minimum(offer_of(market, offer), None if minimum == "none" else minimum)


@stream.command()
@click.argument("recipient", metavar="ADDRESS")
@click.option("--rate", required=True, help='"1 USD".')
@click.option("--per", required=True, help="1h.")
@click.option("--deposit", required=True, help='"24 USD".')
@sending('dmchain market stream pay 0x… --rate "1 USD" --per 1h --deposit "24 USD" --devnet-account 2')
def pay(market: Market, recipient: str, rate: str, per: str, deposit: str) -> Any:
    """Pay an account by the second, without a licence."""
    return market.streams.start_plain(recipient, rate, per, deposit)


@stream.command("top-up")
@click.argument("stream_id", type=ID, metavar="STREAM")
@click.argument("amount")
@sending('dmchain market stream top-up 1 "5 USD" --devnet-account 2')
def top_up(market: Market, stream_id: int, amount: str) -> Any:
    """Add to the deposit: the licence lasts longer."""
    return market.streams.top_up(stream_id, amount)


@stream.command()
@click.argument("stream_id", type=ID, metavar="STREAM")
@reading("dmchain market stream show 1")
def show(market: Market, stream_id: int) -> Any:
    """Show a stream and what each side may claim now."""
    return market.streams.get(stream_id)


add_id_command(
    stream,
    "cancel",
    "STREAM",
    "Stop now: the licence ends, what has not flowed goes back to the payer.",
    "dmchain market stream cancel 1 --devnet-account 2",
    lambda market, number: market.streams.cancel(number),
)
add_id_command(
    stream,
    "withdraw",
    "STREAM",
    "Pay out what has flowed, to those it belongs to. Anyone may.",
    "dmchain market stream withdraw 1 --devnet-account 1",
    lambda market, number: market.streams.withdraw(number),
)
add_id_command(
    stream,
    "close",
    "STREAM",
    "Close a stream that ran dry. Anyone may.",
    "dmchain market stream close 1 --devnet-account 2",
    lambda market, number: market.streams.close(number),
)
add_id_command(
    stream,
    "stop-void",
    "STREAM",
    "Stop a stream whose data set was retired or taken over. Anyone may.",
    "dmchain market stream stop-void 1 --devnet-account 2",
    lambda market, number: market.streams.stop_void(number),
)
