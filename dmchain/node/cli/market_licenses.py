"""Commands about buying and holding licences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from dmchain.node.cli.market_common import DATASET, ID, add_id_command, reading, sending

if TYPE_CHECKING:
    from dmchain.market import Market

QUANTITY = click.IntRange(1)
_licensee_option = click.option("--licensee", metavar="ADDRESS", help="Who gets the licence; the sender unless given.")


def offer_of(market: Market, text: str) -> int:
    """The offer a person means: its id, or a data set with one offer that sells. Raises DmchainError."""
    from dmchain.market.errors import InvalidInput, NotFound
    from dmchain.node.cli.market_listings import price_of

    if text.isascii() and text.isdecimal() and len(text) < 20:
        return int(text)
    found = [each for each in market.offers.of(text) if each.is_sellable]
    if not found:
        raise NotFound(f"{text}: nothing of it is for sale", hint="`dmchain market show` shows its offers")
    if len(found) > 1:
        shown = "; ".join(f"{each.offer_id}: {price_of(each)}" for each in found)
        raise InvalidInput(f"{text}: several offers: {shown}", hint="name one of them instead of the data set")
    return found[0].offer_id


@click.command()
@click.argument("offer", type=DATASET, metavar="OFFER|DATASET")
@click.argument("quantity", type=QUANTITY, default=1)
@reading("dmchain market quote 1 12")
def quote(market: Market, offer: str, quantity: int) -> Any:
    """Show what a quantity costs and who gets it: platform, parents, provider."""
    return market.quote(offer_of(market, offer), quantity)


@click.command()
@click.argument("offer", type=DATASET, metavar="OFFER|DATASET")
@click.argument("quantity", type=QUANTITY, default=1)
@_licensee_option
@click.option("--max", "max_amount", help='Not more than this: "30 USD".')
@sending("dmchain market buy 1 --devnet-account 2")
def buy(market: Market, offer: str, quantity: int, **options: Any) -> Any:
    """Buy a licence, QUANTITY periods of a subscription, or QUANTITY units.

    Tokens are paid by a signed permit where they have one, else by an approval of exactly the price.
    """
    return market.buy(offer_of(market, offer), quantity, **options)


@click.command()
@click.argument("dataset", type=DATASET)
@click.option("--periods", type=QUANTITY, default=1, show_default=True)
@click.option("--offer", "offer_id", type=ID, help="The cheapest subscription unless given.")
@_licensee_option
@sending("dmchain market subscribe 0x… --periods 3 --devnet-account 2")
def subscribe(market: Market, dataset: str, periods: int, **options: Any) -> Any:
    """Buy periods of a subscription."""
    return market.subscribe(dataset, periods, **options)


@click.command()
@click.argument("dataset", type=DATASET)
@click.argument("quantity", type=QUANTITY, default=1)
@_licensee_option
@sending("dmchain market renew 0x… 2 --devnet-account 2")
def renew(market: Market, dataset: str, quantity: int, licensee: str | None) -> Any:
    """Buy more periods or units by the offer of the current licence."""
    return market.renew(dataset, quantity, licensee=licensee)


@click.command()
@click.argument("term_id", type=ID, metavar="PURCHASE")
@sending("dmchain market cancel 1 --devnet-account 2")
def cancel(market: Market, term_id: int) -> Any:
    """Stop a subscription, named by the purchase that began it. What has not begun waits in `payouts`."""
    return market.cancel(term_id)


@click.command()
@click.argument("term_id", type=ID, metavar="PURCHASE")
@sending("dmchain market collect 1 --devnet-account 1")
def collect(market: Market, term_id: int) -> Any:
    """Pay out the periods of a subscription that have begun. Anyone may."""
    return market.collect(term_id)


@click.command()
@click.argument("dataset", type=DATASET)
@click.argument("units", type=QUANTITY)
@sending("dmchain market consume 0x… 10 --devnet-account 2")
def consume(market: Market, dataset: str, units: int) -> Any:
    """Use up prepaid units of the sender; prints how many are left."""
    return market.consume(dataset, units)


@click.command("refund-units")
@click.argument("term_id", type=ID, metavar="PURCHASE")
@sending("dmchain market refund-units 1 --devnet-account 2")
def refund_units(market: Market, term_id: int) -> Any:
    """Get the price of unused units back; the licence ends."""
    return market.refund_units(term_id)


@click.command()
@click.argument("dataset", type=DATASET)
@sending("dmchain market renounce 0x… --devnet-account 2")
def renounce(market: Market, dataset: str) -> Any:
    """Give up the sender's licence."""
    return market.renounce(dataset)


@click.command()
@click.argument("dataset", type=DATASET)
@click.argument("licensee", metavar="ADDRESS")
@click.option("--kind", type=click.Choice(("one-time", "subscription", "pay-per-compute")), default="one-time")
@click.option("--valid-for", default="0", help="Without end unless given.")
@click.option("--units", type=click.IntRange(0), default=0)
@click.option("--terms")
@sending("dmchain market gift 0x… 0x… --valid-for 30d --devnet-account 1")
def gift(market: Market, dataset: str, licensee: str, **options: Any) -> Any:
    """Give a licence of one's own data set for nothing."""
    return market.gift(dataset, licensee, **options)


@click.command()
@click.argument("dataset", type=DATASET)
@click.argument("account", required=False)
@click.option(
    "--trust", metavar="GENESIS|HEIGHT:HASH", help="Believe no node: check storage proofs, see `dmchain verify`."
)
@reading("dmchain market verify 0x… 0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC")
def verify(market: Market, dataset: str, account: str | None, trust: str | None) -> Any:
    """Check whether an account holds a valid licence: exit status 0, or 1 if not.

    The node is believed unless --trust names what is trusted instead: a genesis file, or a height with the hash of its
    validators. Then the answer is proved, as `dmchain verify license` does.
    """
    if trust is None:
        return market.verify(dataset, account)
    _verify_by_proof(market, dataset, account, trust)
    return None


def _verify_by_proof(market: Market, dataset: str, account: str | None, trust: str) -> None:
    """Run `dmchain verify license`. The data set's id is computed here: a node could name another one."""
    from dmchain.market.context import parse_address
    from dmchain.market.inputs import dataset_id
    from dmchain.node.cli.verify import license_command

    options = click.get_current_context().params
    who = market.address() if account is None else parse_address(account)
    arguments = ["0x" + dataset_id(dataset).hex(), who, "--trust", trust, "--rpc", options["rpc"]]
    license_command.main([*arguments, *(["--json"] if options["as_json"] else [])], standalone_mode=False)


@click.command()
@click.argument("account", required=False)
@click.option("--offset", type=click.IntRange(0), default=0)
@click.option("--limit", type=click.IntRange(1, 100), default=25, show_default=True)
@reading("dmchain market purchases --devnet-account 2")
def purchases(market: Market, account: str | None, **options: Any) -> Any:
    """List what an account bought or was given, oldest first."""
    return market.purchases(account, **options)


@click.command()
@click.argument("purchase_id", type=ID, metavar="PURCHASE")
@reading("dmchain market purchase 1")
def purchase(market: Market, purchase_id: int) -> Any:
    """Show one purchase, its term and the escrow its money is in."""
    found = market.purchase(purchase_id)
    rows: list[Any] = [found, market.term(found.term_id)]
    if found.escrow_id:
        rows.append(market.escrow.get(found.escrow_id))
    return tuple(rows)


@click.command()
@click.argument("purchase_id", type=ID, metavar="PURCHASE")
@sending("dmchain market confirm 1 --devnet-account 2")
def confirm(market: Market, purchase_id: int) -> Any:
    """Say that the data was delivered as promised: the provider is paid at once."""
    return market.confirm(purchase_id)


@click.command()
@click.argument("purchase_id", type=ID, metavar="PURCHASE")
@click.option("--amount", help="All that is held unless given; all of it ends the licence.")
@sending('dmchain market refund 1 --amount "5 USD" --devnet-account 1')
def refund(market: Market, purchase_id: int, amount: str | None) -> Any:
    """Give money of a purchase back that is in escrow, as the provider."""
    return market.refund(purchase_id, amount)


@click.command()
@click.argument("dataset", type=DATASET)
@click.argument("stars", type=click.IntRange(1, 5))
@click.option("--comment", metavar="CID")
@sending("dmchain market rate 0x… 5 --devnet-account 2")
def rate(market: Market, dataset: str, stars: int, comment: str | None) -> Any:
    """Rate a data set with 1 to 5 stars, as a licensee who paid for it."""
    return market.rate(dataset, stars, comment)


@click.command()
@click.argument("provider", required=False, metavar="[ADDRESS]")
@click.option("--dataset", help="Of a data set instead of a provider.")
@reading("dmchain market reputation 0x70997970C51812dc3A010C7d01b50e0d17dc79C8")
def reputation(market: Market, provider: str | None, dataset: str | None) -> Any:
    """Show score (0 to 10000) and record of a provider or a data set."""
    return market.reputation(provider, dataset=dataset)


@click.group()
def escrow() -> None:
    """Money of purchases that is not earned yet. Escrows are named by their purchase.

    \b
    Example:
      dmchain market escrow show 1
    """


@escrow.command("show")
@click.argument("purchase_id", type=ID, metavar="PURCHASE")
@reading("dmchain market escrow show 1")
def show_escrow(market: Market, purchase_id: int) -> Any:
    """Show the escrow of a purchase."""
    return market.escrow.of(purchase_id)


_ESCROW_ACTIONS = {
    "release": "Pay the provider after the deadline passed in silence. Anyone may.",
    "settle-by-oracle": "Apply the quality oracle's score: enough pays the provider. Anyone may.",
    "refund-unanswered": "Take the money back when the oracle has not answered in time.",
    "refund-void": "Pay all back because the data set was retired or taken over. Anyone may.",
}


def _add_escrow_action(name: str, text: str) -> None:
    def act(market: Market, purchase_id: int) -> Any:
        escrow_id = market.escrow.of(purchase_id).escrow_id
        return getattr(market.escrow, name.replace("-", "_"))(escrow_id)

    add_id_command(escrow, name, "PURCHASE", text, f"dmchain market escrow {name} 1 --devnet-account 2", act)


for _name, _text in _ESCROW_ACTIONS.items():
    _add_escrow_action(_name, _text)
