"""Commands about listings and offers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dmchain.node.cli.client import json_option
from dmchain.node.cli.client import show as show_json
from dmchain.node.cli.market_common import DATASET, ID, PERCENT, Function, is_file, reading, sending, show_field

if TYPE_CHECKING:
    from dmchain.market import Market, OfferTerms
    from dmchain.market.models import Page, Summary

KINDS = ("one-time", "subscription", "pay-per-compute")


def price_options(command: Function) -> Function:
    """Add what `read_terms` reads."""
    options = (
        click.option("--price", "one_time", help='A licence paid once: "25 USD", "0.1 DM".'),
        click.option("--subscription", help='A price a period: "10 USD/30d".'),
        click.option("--per-unit", help='Prepaid units of computation: "0.05 USD".'),
        click.option("--valid-for", default="0", help="Of a licence paid once or prepaid; without end unless given."),
        click.option("--escrow", default="0", help="Time in which a buyer may object: 3d."),
        click.option("--metric", help="Payment depends on this metric of the quality oracle."),
        click.option("--min-score", type=click.IntRange(0, 10_000), default=0, help="Of that metric, to 10000."),
        click.option("--max-quantity", type=click.IntRange(0), default=0, help="The most that is ever sold."),
        click.option("--terms", help="Terms of use: their text or its hash."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def read_terms(options: dict[str, Any]) -> list[OfferTerms]:
    """Take the options of `price_options` out, as one offer for each price given. Raises UsageError."""
    from dmchain.market import one_time, pay_per_compute, subscription

    names = ("escrow", "metric", "min_score", "max_quantity", "terms")
    more = {name: options.pop(name) for name in names}
    valid_for = options.pop("valid_for")
    once, periods, units = (options.pop(name) for name in ("one_time", "subscription", "per_unit"))
    found = []
    if once is not None:
        found.append(one_time(once, period=valid_for, **more))
    if periods is not None:
        price, slash, period = periods.rpartition("/")
        if not slash:
            raise click.UsageError(f'--subscription: got {periods!r}, expected a price and a period, like "10 USD/30d"')
        found.append(subscription(price, period, **more))
    if units is not None:
        found.append(pay_per_compute(units, period=valid_for, **more))
    return found


@click.command()
@click.argument("content", metavar="FILE|CID")
@click.option("--spdx", required=True, help="Licence of the data: CC-BY-4.0, LicenseRef-MyTerms.")
@price_options
@click.option("--metadata", help="CID of the data set's description.")
@click.option("--metadata-uri", help="Where the description is; ipfs:// and a CID unless given.")
@click.option("--parent", "parents", multiple=True, type=DATASET, help="It is derived from; up to 16.")
@click.option("--format", default="", help="Media type: text/csv.")
@click.option("--size", "size_bytes", type=click.IntRange(0), help="In bytes; a file's own unless given.")
@click.option("--resale-royalty", "resale_royalty_bps", type=PERCENT, default="0%", help="When the listing is resold.")
@click.option(
    "--lineage-royalty", "lineage_royalty_bps", type=PERCENT, default="0%", help="Of what derived data earns."
)
@click.option("--available-for", default="0", help="Not for sale after that time.")
@click.option("--on-retirement", type=click.Choice(("run-out", "end-and-refund")), default="run-out", show_default=True)
@click.option("--commit-first", is_flag=True, help="Announce by a hash before, so that nobody can be faster.")
@sending('dmchain market publish data.csv --spdx CC-BY-4.0 --price "25 USD" --escrow 3d --devnet-account 1')
def publish(market: Market, content: str, **options: Any) -> Any:
    """Register a data set and list it with its offers, in one transaction.

    Of a small file the CID is computed; for anything else give the CID. The file itself goes nowhere.
    """
    offers = read_terms(options)
    is_here = is_file(content)
    if not is_here and ("/" in content or "." in content):
        raise click.UsageError(f"{content}: no such file, and no CID")
    return market.publish(Path(content) if is_here else content, offers=offers, **options)


@click.command("list")
@click.option("--offset", type=click.IntRange(0), default=0, show_default=True)
@click.option("--limit", type=click.IntRange(1, 100), default=25, show_default=True)
@reading("dmchain market list --limit 10")
def list_(market: Market, offset: int, limit: int) -> Any:
    """List what is for sale, with prices."""
    return _shown(market.list(offset=offset, limit=limit))


def _shown(page: Page) -> Any:
    ctx = click.get_current_context()
    if ctx.params.get("as_json"):
        return page
    _print_table(page.items)
    if page.next_offset is not None:
        click.echo(f"more: --offset {page.next_offset} (of {page.total})", err=True)
    return None


def _print_table(items: tuple[Summary, ...]) -> None:
    for item in items:
        listing = item.listing
        about = f"{show_field('spdx', listing.spdx)}  {show_field('format', listing.format)}"
        click.echo(f"{listing.dataset_id}  {about}  {item.owner}")
        for offer in item.offers:
            click.echo(f"  offer {offer.offer_id}: {price_of(offer)}")
    if not items:
        click.echo("nothing is listed", err=True)


def price_of(offer: Any) -> str:
    """`25.00 USD, once` or `10.00 USD a period of 30d`."""
    from dmchain.market.enums import LicenseKind
    from dmchain.node.cli.market_common import show_duration

    price = offer.token.format(offer.price)
    how = {
        LicenseKind.ONE_TIME: "once" + (f", valid {show_duration(offer.period)}" if offer.period else ""),
        LicenseKind.SUBSCRIPTION: f"for each {show_duration(offer.period)}",
        LicenseKind.PAY_PER_COMPUTE: "a unit",
    }[offer.kind]
    notes = f", escrow {show_duration(offer.escrow_period)}" if offer.escrow_period else ""
    return f"{price} {how}{notes}" + ("" if offer.is_sellable else " (not for sale now)")


@click.command()
@click.argument("text", required=False)
@click.option("--spdx", help="Licence of the data.")
@click.option("--owner", metavar="ADDRESS")
@click.option("--kind", type=click.Choice(KINDS), help="Of an offer that sells.")
@click.option("--limit", type=click.IntRange(1, 1000), default=25, show_default=True)
@reading("dmchain market find csv --kind subscription")
def find(market: Market, kind: str | None, **options: Any) -> Any:
    """Find listings by a text in CID, format or address of the description, and more."""
    found = market.find(kind=kind, **options)
    if click.get_current_context().params.get("as_json"):
        return found
    _print_table(found)
    return None


@click.command()
@click.argument("dataset", type=DATASET)
@reading("dmchain market show bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy")
def show(market: Market, dataset: str) -> Any:
    """Show all about one data set: registration, listing, offers, reputation, stake."""
    return market.show(dataset)


@click.command()
@click.argument("dataset", type=DATASET)
@click.option("--metadata-uri")
@click.option("--available-for", help="0 for without end.")
@sending("dmchain market update 0x… --available-for 30d --devnet-account 1")
def update(market: Market, dataset: str, **options: Any) -> Any:
    """Change where the description is, or how long the data set is for sale."""
    return market.update(dataset, **options)


@click.command()
@click.argument("dataset", type=DATASET)
@sending("dmchain market delist 0x… --devnet-account 1")
def delist(market: Market, dataset: str) -> Any:
    """Take a data set off the market; licences run on."""
    return market.delist(dataset)


@click.command()
@click.argument("dataset", type=DATASET)
@sending("dmchain market retire 0x… --devnet-account 1")
def retire(market: Market, dataset: str) -> Any:
    """End a data set for good, for legal reasons say: licences end, as the listing's terms say."""
    return market.retire(dataset)


@click.group()
def offer() -> None:
    """Make and close offers. They never change: close one and make another.

    \b
    Example:
      dmchain market offer make 0x… --subscription "10 USD/30d" --devnet-account 1
    """


@offer.command()
@click.argument("dataset", type=DATASET)
@price_options
@sending('dmchain market offer make 0x… --subscription "10 USD/30d" --devnet-account 1')
def make(market: Market, dataset: str, **options: Any) -> Any:
    """Offer licences of a listed data set."""
    terms = read_terms(options)
    if not terms:
        raise click.UsageError("give --price, --subscription or --per-unit")
    made = [market.offers.make(dataset, each) for each in terms]
    return made[0] if len(made) == 1 else tuple(made)


@offer.command()
@click.argument("offer_id", type=ID, metavar="OFFER")
@sending("dmchain market offer close 1 --devnet-account 1")
def close(market: Market, offer_id: int) -> Any:
    """Sell no more from an offer."""
    return market.offers.close(offer_id)


@offer.command("show")
@click.argument("offer_id", type=ID, metavar="OFFER")
@reading("dmchain market offer show 1")
def show_offer(market: Market, offer_id: int) -> Any:
    """Show one offer."""
    return market.offers.get(offer_id)


@offer.command("list")
@click.argument("dataset", type=DATASET)
@reading("dmchain market offer list 0x…")
def list_offers(market: Market, dataset: str) -> Any:
    """List a data set's offers, closed ones too."""
    return market.offers.of(dataset)


@click.command()
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False, exists=True), metavar="FILE")
@json_option
def cid(path: Path, as_json: bool) -> None:
    """Compute the CID of a small file, and the data set's id. No node is asked.

    \b
    Example:
      dmchain market cid data.csv
    """
    from dmchain.market import cids

    text, size = cids.of_file(path)
    show_json({"cid": text, "datasetId": cids.dataset_id(text), "sizeBytes": size}, as_json)
