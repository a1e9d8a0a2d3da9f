"""Commands about access that can be traded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from dmchain.node.cli.market_common import DATASET, ID, PERCENT, add_id_command, reading, sending

if TYPE_CHECKING:
    from dmchain.market import Market


@click.group()
def datatoken() -> None:
    """Tokens that are each worth a licence, a period or a unit of an offer, until they are redeemed.

    \b
    Example:
      dmchain market datatoken issue 0x… 1 1000 --royalty 5% --restricted --devnet-account 1
      dmchain market datatoken sell 1 100 "20 USD" --devnet-account 1
    """


@datatoken.command()
@click.argument("dataset", type=DATASET)
@click.argument("offer_id", type=ID, metavar="OFFER")
@click.argument("supply", type=ID)
@click.option("--royalty", "resale_royalty_bps", type=PERCENT, default="0%", help="Of resales.")
@click.option("--restricted", "is_restricted", is_flag=True, help="Traded in this book only: royalties are certain.")
@sending("dmchain market datatoken issue 0x… 1 1000 --royalty 5% --devnet-account 1")
def issue(market: Market, dataset: str, offer_id: int, supply: int, **options: Any) -> Any:
    """Make tokens on an offer of one's own data set."""
    return market.datatokens.issue(dataset, offer_id, supply, **options)


@datatoken.command()
@click.argument("class_id", type=ID, metavar="CLASS")
@click.argument("amount", type=ID)
@click.argument("unit_price", metavar="PRICE")
@sending('dmchain market datatoken sell 1 100 "20 USD" --devnet-account 1')
def sell(market: Market, class_id: int, amount: int, unit_price: str) -> Any:
    """Offer tokens at a price each."""
    return market.datatokens.sell(class_id, amount, unit_price)


@datatoken.command()
@click.argument("order_id", type=ID, metavar="SALE")
@click.argument("amount", type=ID, default=1)
@sending("dmchain market datatoken buy 1 2 --devnet-account 2")
def buy(market: Market, order_id: int, amount: int) -> Any:
    """Buy tokens of a sale."""
    return market.datatokens.buy(order_id, amount)


@datatoken.command()
@click.argument("class_id", type=ID, metavar="CLASS")
@click.argument("amount", type=ID, default=1)
@sending("dmchain market datatoken redeem 1 --devnet-account 2")
def redeem(market: Market, class_id: int, amount: int) -> Any:
    """Burn tokens for a licence, periods or units."""
    return market.datatokens.redeem(class_id, amount)


@datatoken.command()
@click.argument("class_id", type=ID, metavar="CLASS")
@click.argument("to", metavar="ADDRESS")
@click.argument("amount", type=ID, default=1)
@sending("dmchain market datatoken transfer 1 0x… 2 --devnet-account 2")
def transfer(market: Market, class_id: int, to: str, amount: int) -> Any:
    """Send tokens of a class that is not restricted."""
    return market.datatokens.transfer(to, class_id, amount)


@datatoken.command()
@click.argument("class_id", type=ID, metavar="CLASS")
@click.argument("account", required=False, metavar="[ADDRESS]")
@reading("dmchain market datatoken balance 1 --devnet-account 2")
def balance(market: Market, class_id: int, account: str | None) -> Any:
    """Show how many tokens of a class an account has."""
    return market.datatokens.balance(class_id, account)


@datatoken.command()
@click.argument("class_id", type=ID, metavar="CLASS")
@reading("dmchain market datatoken show 1")
def show(market: Market, class_id: int) -> Any:
    """Show one class."""
    return market.datatokens.get(class_id)


@datatoken.command("show-sale")
@click.argument("order_id", type=ID, metavar="SALE")
@reading("dmchain market datatoken show-sale 1")
def show_sale(market: Market, order_id: int) -> Any:
    """Show one sale."""
    return market.datatokens.sale(order_id)


add_id_command(
    datatoken,
    "cancel-sale",
    "SALE",
    "Take back what is left of a sale.",
    "dmchain market datatoken cancel-sale 1 --devnet-account 1",
    lambda market, number: market.datatokens.cancel_sale(number),
)
