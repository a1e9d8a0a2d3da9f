"""`dmchain testnet`: the homes of a network of validators."""

from __future__ import annotations

import os
from pathlib import Path

import click

from dmchain.chain.primitives.crypto import PrivateKey
from dmchain.chain.primitives.types import UINT64_MAX
from dmchain.marketplace_vm.market_genesis.parameters import MarketParameters
from dmchain.node.cli.parameters import NO_MARKET, checksum
from dmchain.node.devnet import DEFAULT_BALANCE_ETHER, DEFAULT_CHAIN_ID, WEI_PER_ETHER
from dmchain.node.keystore import devnet_keys
from dmchain.node.testnet import (
    DEFAULT_P2P_PORT,
    DEFAULT_STAKE_ETHER,
    make_genesis,
    plan_validators,
    save_operator,
    write_home,
)

MAX_VALIDATORS = 100


@click.command()
@click.option("--validators", type=click.IntRange(1, MAX_VALIDATORS), default=4, show_default=True)
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), required=True, help="Made if needed.")
@click.option("--chain-id", type=click.IntRange(1, UINT64_MAX), default=DEFAULT_CHAIN_ID, show_default=True)
@click.option("--stake", type=click.IntRange(1, 10**9), default=DEFAULT_STAKE_ETHER, show_default=True,
              help="Of each, in whole coins.")  # fmt: skip
@click.option("--host", default="127.0.0.1", show_default=True, help="Where the validators reach each other.")
@click.option("--p2p-port", type=click.IntRange(0, 65_000), default=DEFAULT_P2P_PORT, show_default=True,
              help="Of the first; 0: free ones.")  # fmt: skip
@click.option(
    "--rpc-port", type=click.IntRange(0, 65_000), default=8545, show_default=True, help="Of the first; 0: free ones."
)
@click.option("--light", is_flag=True, help="Weak keystore encryption that is quick: for trials only.")
@NO_MARKET
def testnet(
    validators: int,
    output: Path,
    chain_id: int,
    stake: int,
    host: str,
    p2p_port: int,
    rpc_port: int,
    light: bool,
    no_market: bool,
) -> None:
    """Make home directories with keys, config and one genesis for a network of validators.

    \b
    Example:
      dmchain testnet --validators 4 --output ./net
      for n in 0 1 2 3; do dmchain node --home ./net/validator-$n & done
    """
    operators = [PrivateKey(os.urandom(32)) for _ in range(validators)]
    plan = plan_validators(
        output, [key.address for key in operators], host=host, first_p2p_port=p2p_port, first_rpc_port=rpc_port
    )
    funded = {key.address: DEFAULT_BALANCE_ETHER * WEI_PER_ETHER for key in (*operators, *devnet_keys(10))}
    market = None if no_market else MarketParameters().with_holders(tuple(funded))
    genesis = make_genesis(plan, funded, chain_id=chain_id, stake_ether=stake, market=market)
    for validator, operator in zip(plan, operators, strict=True):
        home = write_home(validator, genesis, is_light=light)
        save_operator(home, operator, is_light=light)
        click.echo(
            f"{home.path}  operator {checksum(operator.address)}  rpc http://{host}:{validator.rpc_port}  "
            f"p2p {validator.dial}"
        )
    click.echo("the genesis also funds the ten public test accounts: for trials only", err=True)
