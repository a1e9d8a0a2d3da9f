"""What `dmchain devnet` says when it is ready: a table for people, JSON for programs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from dmchain.chain.primitives.crypto import PrivateKey
from dmchain.chain.primitives.types import Address
from dmchain.node.cli.parameters import checksum
from dmchain.node.home import write_atomically


@dataclass(frozen=True)
class DevnetReport:
    """Tells the user, and whoever waits for the ready file, that the network answers."""

    keys: Sequence[PrivateKey]
    ready_file: Path | None
    as_json: bool
    contracts: Mapping[str, Address] = field(default_factory=dict)

    def __call__(self, rpc: str, websocket: str, chain_id: int, validators: Sequence[Mapping[str, Any]]) -> None:
        """`validators`: an entry each, of the first one the endpoint is."""
        facts = {
            "rpc": rpc,
            "ws": websocket,
            "chainId": chain_id,
            "pid": os.getpid(),
            "accounts": [
                {"address": checksum(key.address), "privateKey": "0x" + key.secret.hex()} for key in self.keys
            ],
            "contracts": {name: checksum(address) for name, address in self.contracts.items()},
            "validators": list(validators),
        }
        if self.ready_file is not None:
            write_atomically(self.ready_file, json.dumps(facts, indent=2).encode() + b"\n")
        if self.as_json:
            click.echo(json.dumps(facts))
        else:
            _print_table(facts)
        sys.stdout.flush()


def _print_table(facts: Mapping[str, Any]) -> None:
    click.echo("Accounts (public keys of a development network: never send real money to them)")
    for number, account in enumerate(facts["accounts"]):
        click.echo(f"  ({number}) {account['address']}  {account['privateKey']}")
    click.echo("\nMarket contracts")
    for name, address in facts["contracts"].items():
        click.echo(f"  {name:17} {address}")
    if len(facts["validators"]) > 1:
        click.echo("\nValidators")
        for number, each in enumerate(facts["validators"]):
            click.echo(f"  ({number}) {each['address']}  {each['rpc']}  process {each['pid']}  {each['home']}")
    if any("metrics" in each for each in facts["validators"]):
        click.echo("\nMetrics")
        for number, each in enumerate(facts["validators"]):
            click.echo(f"  ({number}) {each['metrics']}")
    click.echo(f"\nChain id   {facts['chainId']}")
    click.echo(f"HTTP       {facts['rpc']}")
    click.echo(f"WebSocket  {facts['ws']}")
    click.echo("\nListening. Stop with Ctrl-C.", err=True)
