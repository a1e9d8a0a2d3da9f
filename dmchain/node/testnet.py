"""Home directories, keys and one genesis for a network of validators."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dmchain.chain.genesis import DEFAULT_GAS_LIMIT
from dmchain.chain.primitives.crypto import PrivateKey
from dmchain.chain.primitives.errors import StorageError
from dmchain.chain.primitives.types import Address
from dmchain.marketplace_vm.market_genesis.parameters import MarketParameters
from dmchain.node.config import ConfigError, render_config
from dmchain.node.devnet import DEFAULT_CHAIN_ID, WEI_PER_ETHER, genesis_document
from dmchain.node.home import NODE_KEY_FILE, PRIVATE_DIRECTORY, PRIVATE_FILE, Home, write_atomically
from dmchain.node.keystore import read_password, save_key
from dmchain.node.randao import ONION_LAYERS, RandaoSeed, save_seed
from dmchain.node.sign_journal import FileJournal

DEFAULT_STAKE_ETHER = 100_000
DEFAULT_P2P_PORT = 30_333
FREE_PORTS = range(12_000, 30_000)
FREE_PORT_TRIES = 1000
PASSWORD_FILE = "password"
JOURNAL_FILE = "sign.journal"
RANDAO_FILE = "randao.json"
OPERATOR_FILE = "operator.json"


@dataclass(frozen=True, slots=True)
class PlannedValidator:
    """One validator of a network to be made. `operator` is the account that its stake belongs to."""

    home: Path
    operator: Address
    consensus_key: PrivateKey
    node_key: PrivateKey
    rpc_port: int
    p2p_host: str
    p2p_port: int
    randao: RandaoSeed

    @property
    def dial(self) -> str:
        return f"0x{self.node_key.address.hex()}@{self.p2p_host}:{self.p2p_port}"


def plan_validators(
    output: Path,
    operators: Sequence[Address],
    *,
    host: str = "127.0.0.1",
    first_p2p_port: int = DEFAULT_P2P_PORT,
    first_rpc_port: int = 8545,
) -> list[PlannedValidator]:
    """One validator per operator below `output`, ports counting up; port 0 takes free ones."""
    free_p2p = free_ports(len(operators)) if first_p2p_port == 0 else None
    free_rpc = free_ports(len(operators)) if first_rpc_port == 0 else None
    return [
        PlannedValidator(
            home=output / f"validator-{number}",
            operator=operator,
            consensus_key=PrivateKey(os.urandom(32)),
            node_key=PrivateKey(os.urandom(32)),
            rpc_port=free_rpc[number] if free_rpc else first_rpc_port + number,
            p2p_host=host,
            p2p_port=free_p2p[number] if free_p2p else first_p2p_port + number,
            randao=RandaoSeed(os.urandom(32)),
        )
        for number, operator in enumerate(operators)
    ]


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now, below those that systems give to connections (Linux: from 32768).

    One of those would be taken by the very peers that redial a node while it is down: a connection to a free port of
    one's own machine can be given that port as its source, and is then connected to itself.
    """
    held: dict[int, socket.socket] = {}
    with ExitStack() as stack:
        for _ in range(FREE_PORT_TRIES):
            if len(held) == count:
                return list(held)
            each = stack.enter_context(socket.socket())
            port = FREE_PORTS[secrets.randbelow(len(FREE_PORTS))]
            with contextlib.suppress(OSError):
                each.bind(("127.0.0.1", port))
                held[port] = each
    raise ConfigError(
        f"found {len(held)} free ports of {count} from {FREE_PORTS.start} to {FREE_PORTS.stop - 1}",
        hint="name the ports",
    )


def make_genesis(
    validators: Sequence[PlannedValidator],
    funded: Mapping[Address, int],
    *,
    chain_id: int = DEFAULT_CHAIN_ID,
    stake_ether: int = DEFAULT_STAKE_ETHER,
    gas_limit: int = DEFAULT_GAS_LIMIT,
    consensus: Mapping[str, int] | None = None,
    staking: Mapping[str, Any] | None = None,
    onion_layers: int = ONION_LAYERS,
    market: MarketParameters | None = None,
) -> dict[str, Any]:
    """The genesis of the network: everybody in it has the same stake, and a randao onion of so many layers.

    `market`: what the market's contracts are made with; None leaves them out.
    """
    own: dict[str, Any] = {
        "validators": [
            {
                "operator": "0x" + each.operator.hex(),
                "publicKey": "0x" + each.consensus_key.public_key.hex(),
                "stake": str(stake_ether * WEI_PER_ETHER),
                "commissionBps": 500,
                "maxCommissionChangeBps": 100,
                "dial": each.dial,
                "randaoAnchor": "0x" + each.randao.make_onion(0, onion_layers).anchor.hex(),
                "randaoLength": onion_layers,
            }
            for each in validators
        ]
    }
    if consensus:
        own["consensus"] = dict(consensus)
    if staking:
        own["staking"] = dict(staking)
    return genesis_document(
        funded, chain_id=chain_id, gas_limit=gas_limit, timestamp=int(time.time()), own=own, market=market
    )


def write_home(
    validator: PlannedValidator,
    genesis: Mapping[str, Any],
    *,
    settings: Mapping[str, Any] | None = None,
    is_light: bool = False,
) -> Home:
    """Write one home directory; raises StorageError when it is there already. `is_light`: weak keystore encryption."""
    home = Home(validator.home)
    if home.config.exists():
        raise StorageError(f"{home.path}: exists already", hint="use another directory; nothing was changed")
    home.path.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    keys = write_validator_keys(home, validator.consensus_key, validator.randao, is_light=is_light)
    write_atomically(home.keys / NODE_KEY_FILE, validator.node_key.secret.hex().encode() + b"\n", mode=PRIVATE_FILE)
    write_atomically(home.genesis, json.dumps(genesis, indent=2).encode() + b"\n")
    values = {
        "rpc.port": validator.rpc_port,
        "production.coinbase": "0x" + validator.operator.hex(),
        "p2p.listen": f"{validator.p2p_host}:{validator.p2p_port}",
        **keys,
        **(settings or {}),
    }
    write_atomically(home.config, render_config(values).encode())
    return home


def write_validator_keys(
    home: Home, key: PrivateKey, randao: RandaoSeed, *, is_light: bool = False
) -> dict[str, str]:
    """Put a new consensus key, its password file, its empty sign journal and its randao seed into a home; return their
    settings."""
    home.keys.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)
    password = os.urandom(16).hex()
    write_atomically(home.keys / PASSWORD_FILE, password.encode() + b"\n", mode=PRIVATE_FILE)
    stored = save_key(key, home.keys, password, is_light=is_light)
    FileJournal.create(home.keys / JOURNAL_FILE, key.address).close()
    save_seed(home.keys / RANDAO_FILE, randao)
    return {"validator.key_file": f"keys/{stored.path.name}", "validator.password_file": f"keys/{PASSWORD_FILE}"}


def save_operator(home: Home, operator: PrivateKey, *, is_light: bool = False) -> None:
    """Put the operator's account key beside the consensus key, under the same password: right for trials alone."""
    password = read_password(home.keys / PASSWORD_FILE)
    stored = save_key(operator, home.keys, password, is_light=is_light)
    os.rename(stored.path, home.keys / OPERATOR_FILE)
