"""Commands about computation beside the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from dmchain.node.cli.market_common import DATASET, ID, add_id_command, reading, sending

if TYPE_CHECKING:
    from dmchain.market import Market


@click.group()
def compute() -> None:
    """Have an algorithm run where the data is, paid by prepaid units.

    The way of an order: order, accept, draw (two blocks later), the operator's attest, complete.

    \b
    Example:
      dmchain market compute order 0x… bafkrei… 100 --devnet-account 2
    """


@compute.command()
@click.argument("dataset", type=DATASET)
@click.argument("algorithm", metavar="CID")
@click.argument("max_units", type=ID, metavar="UNITS")
@click.option("--accept-within", default="1h", show_default=True)
@click.option("--complete-within", default="1d", show_default=True)
@click.option("--extra-pay", default="0", help='To who runs it: "1 USD".')
@click.option("--attestation-fee", default="0", help="To the operator who attests, in the same token.")
@click.option("--token", help="Of both; native coin unless given.")
@sending("dmchain market compute order 0x… bafkrei… 100 --accept-within 1h --devnet-account 2")
def order(market: Market, dataset: str, algorithm: str, max_units: int, **options: Any) -> Any:
    """Order a computation on a data set the sender has prepaid units of."""
    return market.compute.order(dataset, algorithm, max_units, **options)


@compute.command()
@click.argument("order_id", type=ID, metavar="ORDER")
@click.argument("result", metavar="CID")
@click.argument("used_units", type=ID, metavar="UNITS")
@sending("dmchain market compute attest 1 bafkrei… 42 --devnet-account 4")
def attest(market: Market, order_id: int, result: str, used_units: int) -> Any:
    """Sign, as the drawn operator, what a computation used. Prints the signature; nothing is sent."""
    return "0x" + market.compute.attest(order_id, result, used_units).hex()


@compute.command()
@click.argument("order_id", type=ID, metavar="ORDER")
@click.argument("result", metavar="CID")
@click.argument("used_units", type=ID, metavar="UNITS")
@click.argument("attestation", metavar="SIGNATURE")
@sending("dmchain market compute complete 1 bafkrei… 42 0x… --devnet-account 1")
def complete(market: Market, order_id: int, result: str, used_units: int, attestation: str) -> Any:
    """Hand in a result with the operator's signature: units are consumed, everybody is paid."""
    return market.compute.complete(order_id, result, used_units, attestation)


@compute.command()
@click.argument("dataset", type=DATASET)
@click.argument("executor", metavar="ADDRESS")
@sending("dmchain market compute executor 0x… 0x… --devnet-account 1")
def executor(market: Market, dataset: str, executor: str) -> Any:
    """Name who may run orders on a data set beside its owner."""
    return market.compute.set_executor(dataset, executor)


@compute.command()
@click.argument("order_id", type=ID, metavar="ORDER")
@reading("dmchain market compute show 1")
def show(market: Market, order_id: int) -> Any:
    """Show one order."""
    return market.compute.get(order_id)


_ACTIONS = {
    "accept": "Commit to run an order, as the data set's owner or executor.",
    "reject": "Refuse or give up an order; all goes back to the consumer.",
    "cancel": "Take an order back before it is accepted.",
    "draw": "Draw the operator who attests, two blocks after the order was accepted. Anyone may.",
    "redraw": "Ask for another operator when the drawn one is silent or gone.",
    "expire": "End an order that was not accepted or completed in time. Anyone may.",
}


def _add_action(name: str, text: str) -> None:
    def act(market: Market, number: int) -> Any:
        return getattr(market.compute, name)(number)

    add_id_command(compute, name, "ORDER", text, f"dmchain market compute {name} 1 --devnet-account 1", act)


for _name, _text in _ACTIONS.items():
    _add_action(_name, _text)
