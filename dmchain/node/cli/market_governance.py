"""Commands about governance and curation."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from dmchain.node.cli.market_common import DATASET, ID, add_id_command, reading, sending

if TYPE_CHECKING:
    from dmchain.market import Market


@click.group()
def governance() -> None:
    """Change the market's parameters by proposal, vote and Timelock. DMG votes once it is delegated, to oneself too.

    \b
    Example:
      dmchain market governance propose "Lower the fee" LicenseManager setPlatformFee 200 --devnet-account 0
      dmchain market governance vote 5… for --devnet-account 0
    """


def _argument(text: str) -> Any:
    """A Solidity value: JSON where it is JSON (numbers, true, lists), hex bytes that are no address, else text."""
    if text.startswith("0x") and len(text) != 42:
        try:
            return bytes.fromhex(text[2:])
        except ValueError:
            return text
    try:
        return json.loads(text)
    except ValueError:
        return text


@governance.command()
@click.argument("description")
@click.argument("contract")
@click.argument("function")
@click.argument("arguments", nargs=-1)
@click.option("--value", default="0", help="Native coin that the Timelock sends along.")
@sending('dmchain market governance propose "Lower the fee" LicenseManager setPlatformFee 200 --devnet-account 0')
def propose(
    market: Market, description: str, contract: str, function: str, arguments: tuple[str, ...], value: str
) -> Any:
    """Propose that the Timelock calls a function of a contract of the market."""
    from dmchain.market import Action

    action = Action(contract, function, tuple(map(_argument, arguments)), market.tokens.parse(value, "DM"))
    return market.governance.propose([action], description)


@governance.command()
@click.argument("proposal")
@click.argument("support", type=click.Choice(("for", "against", "abstain")))
@click.option("--reason")
@sending("dmchain market governance vote 5… for --devnet-account 0")
def vote(market: Market, proposal: str, support: str, reason: str | None) -> Any:
    """Vote with the votes the sender had when voting began."""
    return market.governance.vote(_number(proposal), support, reason=reason)


def _number(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise click.BadParameter(f"got {text!r}, expected the number of a proposal") from None


def _add_proposal_command(name: str, text: str) -> None:
    def callback(market: Market, proposal: str) -> Any:
        return getattr(market.governance, name)(_number(proposal))

    callback.__doc__ = text
    example = f"dmchain market governance {name} 5… --devnet-account 0"
    governance.command(name)(click.argument("proposal")(sending(example)(callback)))


_add_proposal_command("queue", "Put a proposal that won into the Timelock. Anyone may.")
_add_proposal_command("execute", "Carry out a proposal after the Timelock's delay. Anyone may.")
_add_proposal_command("cancel", "Take back one's own proposal before voting begins.")


@governance.command()
@click.argument("proposal")
@reading("dmchain market governance show 5…")
def show(market: Market, proposal: str) -> Any:
    """Show state and votes of a proposal."""
    return market.governance.get(_number(proposal))


@governance.command("list")
@reading("dmchain market governance list")
def list_(market: Market) -> Any:
    """List the latest proposals."""
    return market.governance.list()


@governance.command()
@click.argument("account", required=False, metavar="[ADDRESS]")
@sending("dmchain market governance delegate --devnet-account 0")
def delegate(market: Market, account: str | None) -> Any:
    """Let the sender's DMG vote through an account, its own unless given."""
    return market.governance.delegate(account)


@governance.command()
@reading("dmchain market governance parameters")
def parameters(market: Market) -> Any:
    """Show what governance has set."""
    return market.governance.parameters()


@click.group()
def curation() -> None:
    """Standards of quality that holders of DMG keep: apply with a deposit, challenge with another, vote.

    \b
    Example:
      dmchain market curation standards
      dmchain market curation apply 0x… 0x… --devnet-account 1
    """


@curation.command()
@reading("dmchain market curation standards")
def standards(market: Market) -> Any:
    """List the standards."""
    return market.curation.standards()


@curation.command("apply")
@click.argument("dataset", type=DATASET)
@click.argument("standard")
@sending("dmchain market curation apply 0x… 0x… --devnet-account 1")
def apply_(market: Market, dataset: str, standard: str) -> Any:
    """Apply with a data set of the sender's; the deposit is taken in DMG."""
    return market.curation.apply(dataset, standard)


@curation.command()
@click.argument("dataset", type=DATASET)
@click.argument("standard")
@sending("dmchain market curation remove 0x… 0x… --devnet-account 1")
def remove(market: Market, dataset: str, standard: str) -> Any:
    """Take an entry back; its deposit waits in `payouts`."""
    return market.curation.remove(dataset, standard)


@curation.command()
@click.argument("dataset", type=DATASET)
@click.argument("standard")
@click.argument("reason", metavar="CID")
@sending("dmchain market curation challenge 0x… 0x… bafkrei… --devnet-account 2")
def challenge(market: Market, dataset: str, standard: str, reason: str) -> Any:
    """Say that a data set does not meet a standard, with an equal deposit."""
    return market.curation.challenge(dataset, standard, reason)


@curation.command("vote")
@click.argument("challenge_id", type=ID, metavar="CHALLENGE")
@click.argument("side", type=click.Choice(("keep", "remove")))
@sending("dmchain market curation vote 1 keep --devnet-account 0")
def vote_on_challenge(market: Market, challenge_id: int, side: str) -> Any:
    """Vote on a challenge with the DMG the sender had when it was made."""
    return market.curation.vote(challenge_id, keep=side == "keep")


@curation.command("claim")
@click.argument("challenge_id", type=ID, metavar="CHALLENGE")
@click.argument("voter", required=False, metavar="[ADDRESS]")
@sending("dmchain market curation claim 1 --devnet-account 0")
def claim(market: Market, challenge_id: int, voter: str | None) -> Any:
    """Pay a voter of the winning side its share of the loser's deposit."""
    return market.curation.claim_reward(challenge_id, voter)


@curation.command("show")
@click.argument("dataset", type=DATASET)
@click.argument("standard")
@reading("dmchain market curation show 0x… 0x…")
def show_entry(market: Market, dataset: str, standard: str) -> Any:
    """Show whether a data set meets a standard."""
    return market.curation.entry(dataset, standard)


@curation.command("show-challenge")
@click.argument("challenge_id", type=ID, metavar="CHALLENGE")
@reading("dmchain market curation show-challenge 1")
def show_challenge(market: Market, challenge_id: int) -> Any:
    """Show one challenge."""
    return market.curation.get(challenge_id)


add_id_command(
    curation,
    "resolve",
    "CHALLENGE",
    "Count the votes and settle the deposits. Anyone may.",
    "dmchain market curation resolve 1 --devnet-account 0",
    lambda market, number: market.curation.resolve(number),
)
