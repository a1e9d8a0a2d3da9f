"""`dmchain market`: the whole market, one command a step. Commands are imported when they are used."""

from __future__ import annotations

import importlib

import click

COMMANDS = {
    "publish": ("listings:publish", "Register a data set and list it with its offers."),
    "list": ("listings:list_", "List what is for sale."),
    "find": ("listings:find", "Find listings by text, licence, owner or kind of offer."),
    "show": ("listings:show", "Show all about one data set."),
    "update": ("listings:update", "Change a listing."),
    "delist": ("listings:delist", "Take a data set off the market; licences run on."),
    "retire": ("listings:retire", "End a data set for good."),
    "offer": ("listings:offer", "Make and close offers."),
    "cid": ("listings:cid", "Compute the CID of a small file."),
    "quote": ("licenses:quote", "Show what a quantity costs and who gets it."),
    "buy": ("licenses:buy", "Buy a licence, periods or units."),
    "subscribe": ("licenses:subscribe", "Buy periods of a subscription."),
    "renew": ("licenses:renew", "Buy more of what one has."),
    "cancel": ("licenses:cancel", "Stop a subscription; what has not begun is refunded."),
    "collect": ("licenses:collect", "Pay out the periods that have begun."),
    "consume": ("licenses:consume", "Use up prepaid units."),
    "refund-units": ("licenses:refund_units", "Get the price of unused units back."),
    "renounce": ("licenses:renounce", "Give up a licence."),
    "gift": ("licenses:gift", "Give a licence for nothing."),
    "verify": ("licenses:verify", "Check whether an account may use a data set."),
    "purchases": ("licenses:purchases", "List what an account bought."),
    "purchase": ("licenses:purchase", "Show one purchase and where its money is."),
    "confirm": ("licenses:confirm", "Say that the data was delivered: the provider is paid."),
    "refund": ("licenses:refund", "Give money back to a buyer."),
    "escrow": ("licenses:escrow", "Money that waits for a word, a date, a score or a jury."),
    "rate": ("licenses:rate", "Rate a data set with 1 to 5 stars."),
    "reputation": ("licenses:reputation", "Show the record of a provider or a data set."),
    "stream": ("streams:stream", "Pay by the second."),
    "dispute": ("disputes:dispute", "Open and follow disputes."),
    "vote": ("disputes:vote", "Vote on a dispute, as a juror."),
    "juror": ("disputes:juror", "Stake to be drawn as a juror."),
    "quality": ("quality:quality", "Have quality measured, and measure it."),
    "operator": ("quality:operator", "Stake to be drawn as an operator of the quality oracle."),
    "compute": ("compute:compute", "Have algorithms run beside the data."),
    "stake": ("money:stake", "Stake behind a data set."),
    "payouts": ("money:payouts", "See and fetch what the market owes."),
    "balance": ("money:balance", "Show what an account has of a token."),
    "faucet": ("money:faucet", "Test dollars from nothing, on a devnet."),
    "datatoken": ("datatokens:datatoken", "Access that can be traded."),
    "governance": ("governance:governance", "Propose, vote, execute."),
    "curation": ("governance:curation", "Standards of quality that holders of DMG keep."),
}
"""Name -> (module after `market_` and attribute, one line for --help)."""


class MarketGroup(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(f"dmchain.node.cli.market_{module}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=MarketGroup)
def market() -> None:
    """Publish, find, buy and use data.

    Data sets are named by their id (0x and 64 digits), their CID, or a small file at hand; amounts are like
    "12.50 USD" or "0.1 DM", durations like 30d, 12h or 90s. With --json, amounts are text in the token's smallest unit.

    \b
    Example:
      dmchain market publish data.csv --spdx CC-BY-4.0 --price "25 USD" --escrow 3d --devnet-account 1
      dmchain market buy 1 --devnet-account 2
    """
