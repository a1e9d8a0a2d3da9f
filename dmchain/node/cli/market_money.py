"""Commands about money that waits, stake, and test dollars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from dmchain.node.cli.market_common import DATASET, reading, sending

if TYPE_CHECKING:
    from dmchain.market import Market

_token_option = click.option("--token", "tokens", multiple=True, help="Look at this one, too: an address.")


@click.group()
def payouts() -> None:
    """What the market owes an account: proceeds, royalties, refunds, fees, compensation. It waits until it is fetched.

    \b
    Example:
      dmchain market payouts show --devnet-account 1
      dmchain market payouts withdraw --devnet-account 1
    """


@payouts.command()
@click.argument("account", required=False, metavar="[ADDRESS]")
@_token_option
@reading("dmchain market payouts show --devnet-account 1")
def show(market: Market, account: str | None, tokens: tuple[str, ...]) -> Any:
    """Show what can be withdrawn, by contract and token."""
    return market.payouts.owed(account, tokens=tokens)


@payouts.command()
@click.argument("account", required=False, metavar="[ADDRESS]")
@_token_option
@sending("dmchain market payouts withdraw --devnet-account 1")
def withdraw(market: Market, account: str | None, tokens: tuple[str, ...]) -> Any:
    """Fetch all of it, a transaction for each contract and token."""
    return tuple(owed for owed, _ in market.payouts.withdraw(account, tokens=tokens))


@click.command()
@click.argument("token", default="DM")
@click.argument("account", required=False, metavar="[ADDRESS]")
@reading("dmchain market balance USD 0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC")
def balance(market: Market, token: str, account: str | None) -> Any:
    """Show what an account has of a token: DM (native coin), USD, DMG, or an address."""
    found = market.tokens.get(token)
    amount = market.tokens.balance(found, account)
    if click.get_current_context().params.get("as_json"):
        return {"token": found, "amount": str(amount)}
    return found.format(amount)


@click.command()
@click.argument("amount", default="10000 USD")
@click.option("--to", "account", metavar="ADDRESS", help="The sender unless given.")
@sending("dmchain market faucet --devnet-account 2")
def faucet(market: Market, amount: str, account: str | None) -> Any:
    """Make test dollars from nothing, on a devnet: up to 10,000 USD."""
    return market.tokens.faucet(amount, account)


@click.group()
def stake() -> None:
    """Stake native coin behind a data set; it is lost with a dispute.

    \b
    Example:
      dmchain market stake add 0x… "100 DM" --devnet-account 1
    """


@stake.command()
@click.argument("dataset", type=DATASET)
@click.argument("amount")
@sending('dmchain market stake add 0x… "100 DM" --devnet-account 1')
def add(market: Market, dataset: str, amount: str) -> Any:
    """Put native coin behind a data set of the sender's."""
    return market.stake.add(dataset, amount)


@stake.command()
@click.argument("dataset", type=DATASET)
@click.argument("amount", required=False)
@sending('dmchain market stake unstake 0x… "50 DM" --devnet-account 1')
def unstake(market: Market, dataset: str, amount: str | None) -> Any:
    """Ask for stake back, all unless given; `withdraw` pays it after the delay."""
    return market.stake.request_unstake(dataset, amount)


@stake.command()
@click.argument("dataset", type=DATASET)
@sending("dmchain market stake cancel 0x… --devnet-account 1")
def cancel(market: Market, dataset: str) -> Any:
    """Leave the stake where it is after all."""
    return market.stake.cancel_unstake(dataset)


@stake.command("withdraw")
@click.argument("dataset", type=DATASET)
@sending("dmchain market stake withdraw 0x… --devnet-account 1")
def withdraw_stake(market: Market, dataset: str) -> Any:
    """Take what was asked for, after the delay and while no dispute is open."""
    return market.stake.withdraw(dataset)


@stake.command("show")
@click.argument("dataset", type=DATASET)
@click.argument("provider", required=False, metavar="[ADDRESS]")
@reading("dmchain market stake show 0x…")
def show_stake(market: Market, dataset: str, provider: str | None) -> Any:
    """Show what a provider has behind a data set, its owner unless named."""
    return market.stake.position(dataset, provider)
