"""Commands about disputes: for parties, for jurors, for anyone who moves one on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from dmchain.node.cli.market_common import ID, add_id_command, reading, sending

if TYPE_CHECKING:
    from dmchain.market import Market

SIDES = click.Choice(("consumer", "provider"))


@click.group()
def dispute() -> None:
    """Dispute a purchase before a jury drawn by stake.

    The way of a dispute: open, respond, summon, draw, the jurors' votes, tally, perhaps appeal, execute, claim. Every
    phase has an end in time, and anyone can move it on.

    \b
    Example:
      dmchain market dispute open 1 bafkrei… --devnet-account 2
      dmchain market dispute show 1
    """


@dispute.command("open")
@click.argument("purchase_id", type=ID, metavar="PURCHASE")
@click.argument("evidence", metavar="CID")
@sending("dmchain market dispute open 1 bafkrei… --devnet-account 2")
def open_(market: Market, purchase_id: int, evidence: str) -> Any:
    """Dispute a purchase with evidence of what is wrong. A deposit of native coin is taken."""
    return market.disputes.open(purchase_id, evidence)


@dispute.command()
@click.argument("dispute_id", type=ID, metavar="DISPUTE")
@click.argument("evidence", metavar="CID")
@sending("dmchain market dispute respond 1 bafkrei… --devnet-account 1")
def respond(market: Market, dispute_id: int, evidence: str) -> Any:
    """Add evidence or an answer, as a party."""
    return market.disputes.respond(dispute_id, evidence)


@dispute.command()
@click.argument("dispute_id", type=ID, metavar="DISPUTE")
@click.argument("evidence", metavar="CID")
@sending("dmchain market dispute appeal 1 bafkrei… --devnet-account 1")
def appeal(market: Market, dispute_id: int, evidence: str) -> Any:
    """Ask for the bigger jury, as who lost. A deposit of native coin is taken."""
    return market.disputes.appeal(dispute_id, evidence)


@dispute.command()
@click.argument("dispute_id", type=ID, metavar="DISPUTE")
@click.argument("account", required=False, metavar="[ADDRESS]")
@sending("dmchain market dispute claim 1 --devnet-account 2")
def claim(market: Market, dispute_id: int, account: str | None) -> Any:
    """Pay a buyer its part of the compensation. Anyone may, for anyone."""
    return market.disputes.claim(dispute_id, account)


@dispute.command()
@click.argument("dispute_id", type=ID, metavar="DISPUTE")
@reading("dmchain market dispute show 1")
def show(market: Market, dispute_id: int) -> Any:
    """Show a dispute and its juries."""
    return market.disputes.get(dispute_id)


_ACTIONS = {
    "concede": "Give in, as the provider, before the jury is summoned.",
    "summon": "Announce the draw of a jury, after the evidence period. Anyone may.",
    "draw": "Draw the jury, two blocks after the summons. Anyone may.",
    "tally": "Count the votes. Anyone may.",
    "execute": "Carry out a ruling that is final. Anyone may.",
    "settle-escrow": "Settle the escrow of a closed dispute, should that have failed. Anyone may.",
}


def _add_action(name: str, text: str) -> None:
    def act(market: Market, number: int) -> Any:
        return getattr(market.disputes, name.replace("-", "_"))(number)

    add_id_command(dispute, name, "DISPUTE", text, f"dmchain market dispute {name} 1 --devnet-account 2", act)


for _name, _text in _ACTIONS.items():
    _add_action(_name, _text)


@click.group()
def vote() -> None:
    """Vote on a dispute, as one of its jurors: commit first, reveal when all have.

    The secret between the two is derived from a signature of the juror's key, so nothing has to be kept.

    \b
    Example:
      dmchain market vote commit 1 consumer --devnet-account 3
      dmchain market vote reveal 1 consumer --devnet-account 3
    """


_salt_option = click.option("--salt", metavar="HEX", help="32 bytes of one's own, the same in commit and reveal.")


@vote.command()
@click.argument("dispute_id", type=ID, metavar="DISPUTE")
@click.argument("side", type=SIDES)
@_salt_option
@sending("dmchain market vote commit 1 consumer --devnet-account 3")
def commit(market: Market, dispute_id: int, side: str, salt: str | None) -> Any:
    """Commit to a vote without showing it, once."""
    return market.disputes.commit(dispute_id, side, salt=salt)


@vote.command()
@click.argument("dispute_id", type=ID, metavar="DISPUTE")
@click.argument("side", type=SIDES)
@_salt_option
@sending("dmchain market vote reveal 1 consumer --devnet-account 3")
def reveal(market: Market, dispute_id: int, side: str, salt: str | None) -> Any:
    """Reveal the vote after committing has ended."""
    return market.disputes.reveal(dispute_id, side, salt)


@click.group()
def juror() -> None:
    """Stake native coin to be drawn as a juror of disputes.

    \b
    Example:
      dmchain market juror join "10 DM" --devnet-account 3
    """


def add_pool_commands(group: click.Group, pool_of: Any, example: str) -> None:
    """Commands of a pool of stakers: jurors or operators."""

    @group.command()
    @click.argument("amount")
    @sending(f'dmchain market {example} join "10 DM" --devnet-account 3')
    def join(market: Market, amount: str) -> Any:
        """Stake native coin, on top of what is staked already."""
        return pool_of(market).join(amount)

    @group.command()
    @sending(f"dmchain market {example} leave --devnet-account 3")
    def leave(market: Market) -> Any:
        """Ask to leave: the stake can be withdrawn after a delay."""
        return pool_of(market).leave()

    @group.command("withdraw-stake")
    @sending(f"dmchain market {example} withdraw-stake --devnet-account 3")
    def withdraw_stake(market: Market) -> Any:
        """Take the stake out after `leave` and its delay."""
        return pool_of(market).withdraw_stake()

    @group.command("show")
    @click.argument("account", required=False, metavar="[ADDRESS]")
    @reading(f"dmchain market {example} show --devnet-account 3")
    def show_member(market: Market, account: str | None) -> Any:
        """Show stake, what is locked of it, and what is owed."""
        return pool_of(market).member(account)


add_pool_commands(juror, lambda market: market.disputes.jurors, "juror")
