"""`dmchain genesis`: make and check genesis files."""

from __future__ import annotations

import json
from pathlib import Path

import click

from dmchain.chain.genesis import DEFAULT_GAS_LIMIT, load_genesis
from dmchain.chain.primitives.types import UINT64_MAX, Address
from dmchain.node.cli.parameters import ADDRESS, GAS_LIMIT, NO_MARKET


@click.group()
def genesis() -> None:
    """Make and check genesis files (geth's format with a section `dmchain`)."""


@genesis.command()
@click.option("--chain-id", type=click.IntRange(1, UINT64_MAX), default=1337, show_default=True)
@click.option("--gas-limit", type=GAS_LIMIT, default=DEFAULT_GAS_LIMIT, show_default=True)
@click.option("--fund", "funded", type=ADDRESS, multiple=True, help="Give this account --balance; may be repeated.")
@click.option("--balance", type=click.IntRange(0, 10**12), default=10_000, show_default=True, help="In whole coins.")
@click.option("--timestamp", type=click.IntRange(0, UINT64_MAX), default=0, show_default=True)
@click.option("--devnet-accounts", is_flag=True,
              help="Fund the ten well-known test accounts; the market gets a devnet's short times and TestUSD.")  # fmt: skip
@NO_MARKET
def new(
    chain_id: int,
    gas_limit: int,
    funded: tuple[Address, ...],
    balance: int,
    timestamp: int,
    devnet_accounts: bool,
    no_market: bool,
) -> None:
    """Write a genesis file to stdout, with the market's contracts in it. The funded accounts share half of the
    governance token; the rest is the treasury's.

    \b
    Example:
      dmchain genesis new --chain-id 4242 --devnet-accounts > genesis.json
    """
    from dmchain.marketplace_vm.market_genesis.parameters import DEVNET, MarketParameters
    from dmchain.node.devnet import WEI_PER_ETHER, genesis_document
    from dmchain.node.keystore import devnet_keys

    addresses = list(funded)
    if devnet_accounts:
        addresses += [key.address for key in devnet_keys(10)]
    holders = tuple(dict.fromkeys(addresses))
    market = None if no_market else (DEVNET if devnet_accounts else MarketParameters()).with_holders(holders)
    if market is not None and not holders:
        click.echo("nobody holds the governance token: nobody can ever change the market; see --fund", err=True)
    document = genesis_document(
        dict.fromkeys(addresses, balance * WEI_PER_ETHER),
        chain_id=chain_id,
        gas_limit=gas_limit,
        timestamp=timestamp,
        market=market,
    )
    click.echo(json.dumps(document, indent=2))


@genesis.command()
@click.argument("path", type=click.Path(path_type=Path), metavar="FILE")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def check(path: Path, as_json: bool) -> None:
    """Check a genesis file and print the hash of its block 0.

    \b
    Example:
      dmchain genesis check genesis.json
    """
    from dmchain.marketplace_vm.executor import create_state

    checked = load_genesis(path)
    header = checked.header(create_state(checked.alloc).state_root)
    facts = {
        "chainId": checked.rules.chain_id,
        "genesisHash": "0x" + header.hash.hex(),
        "stateRoot": "0x" + header.state_root.hex(),
        "accounts": len(checked.alloc),
        "gasLimit": checked.gas_limit,
        "kind": "dmchain" if checked.is_dmchain else "ethereum",
    }
    if as_json:
        click.echo(json.dumps(facts))
    else:
        for name, value in facts.items():
            click.echo(f"{name:12} {value}")
