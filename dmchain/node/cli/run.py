"""`dmchain devnet`, `init` and `node`: commands that run a node or prepare one."""

from __future__ import annotations

import gc
import json
import logging
import math
import os
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import trio

from dmchain.chain.genesis import DEFAULT_GAS_LIMIT, Genesis, load_genesis
from dmchain.chain.mempool import MempoolConfig
from dmchain.chain.primitives.crypto import PrivateKey
from dmchain.chain.primitives.errors import DmchainError, StorageError
from dmchain.chain.primitives.types import UINT64_MAX, ZERO_ADDRESS, Address, Hash32
from dmchain.marketplace_vm.vm import prepare_thread_stacks
from dmchain.node.cli.devnet_report import DevnetReport
from dmchain.node.cli.parameters import ADDRESS, GAS_LIMIT, NO_MARKET, checksum
from dmchain.node.config import Config, ConfigError, load_config, render_config
from dmchain.node.devnet import (
    DEFAULT_BALANCE_ETHER,
    DEFAULT_CHAIN_ID,
    VALIDATOR_KEY,
    WEI_PER_ETHER,
    devnet_market,
    genesis_document,
)
from dmchain.node.errors import first_error
from dmchain.node.home import ACCOUNTS_FILE, NODE_KEY_FILE, Home, open_home, write_atomically
from dmchain.node.keystore import (
    DEVNET_MNEMONIC,
    derive_keys,
    devnet_keys,
    load_keyfile,
    load_secret_file,
    read_password,
)
from dmchain.node.logs import LEVELS, set_up_logging
from dmchain.node.network.transport import Endpoint
from dmchain.node.node import ENGINES, Node, NodeSettings, open_node
from dmchain.node.parent import end_with_parent
from dmchain.node.predeploys import market_contracts
from dmchain.node.production import ProductionConfig
from dmchain.rpc.config import MethodLimits, ServerConfig

if TYPE_CHECKING:  # what only a node of a network needs is imported where it is used: a lone devnet starts sooner
    from dmchain.node.bootstrap import SnapshotSync
    from dmchain.node.consensus.validator import NetworkSettings
    from dmchain.node.snapshot_keeper import SnapshotPlan

MAX_ACCOUNTS = 1000
MAX_DEVNET_VALIDATORS = 32
GC_THRESHOLD = 10_000
SWITCH_SECONDS = 0.0005
"""How long a thread that executes may keep the event loop from votes: a tenth of CPython's own choice."""
"""New objects before the collector looks: a block makes tens of thousands that reference counting frees."""


class BlockTime(click.ParamType[Any]):
    """`on-demand`, or seconds between blocks."""

    name = "on-demand|SECONDS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | None:
        if value is None or value == "on-demand":
            return None
        try:
            seconds = float(value)
        except ValueError:
            seconds = math.nan
        if not 0.05 <= seconds <= 3600:
            self.fail(f"got {value!r}, expected on-demand or a number of seconds from 0.05 to 3600", param, ctx)
        return seconds


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8545, show_default=True, help="0 takes a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--chain-id", type=click.IntRange(1, UINT64_MAX), default=DEFAULT_CHAIN_ID, show_default=True)
@click.option("--accounts", type=click.IntRange(1, MAX_ACCOUNTS), default=10, show_default=True)
@click.option("--balance", type=click.IntRange(0, 10**12), default=DEFAULT_BALANCE_ETHER, show_default=True,
              help="Of each account, in whole coins.")  # fmt: skip
@click.option("--mnemonic", default=DEVNET_MNEMONIC, help='Default: "test test … junk", as other devnets have it.')
@click.option("--block-time", type=BlockTime(), default="on-demand", show_default=True)
@click.option("--gas-limit", type=GAS_LIMIT, default=DEFAULT_GAS_LIMIT, show_default=True, help="Of a block.")
@click.option(
    "--home", type=click.Path(path_type=Path, file_okay=False), help="Keep the chain here; else it is temporary."
)
@click.option("--ready-file", type=click.Path(path_type=Path, dir_okay=False), help="Write JSON here when it answers.")
@click.option("--engine", type=click.Choice(ENGINES), default="native", show_default=True)
@click.option("--cors-origin", "cors_origins", multiple=True, help="Web origin to serve besides localhost; * for all.")
@click.option("--vhost", "vhosts", multiple=True, help="Name allowed in the Host header; * for all.")
@click.option("--log-level", type=click.Choice(LEVELS), default="warning", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print what --ready-file holds instead of a table.")
@click.option("--validators", type=click.IntRange(1, MAX_DEVNET_VALIDATORS), default=1, show_default=True,
              help="2 or more: so many nodes, each with its own process and keys.")  # fmt: skip
@click.option("--metrics", is_flag=True, help="Serve Prometheus metrics of each node on a free port.")
@NO_MARKET
def devnet(
    port: int,
    host: str,
    chain_id: int,
    accounts: int,
    balance: int,
    mnemonic: str,
    block_time: float | None,
    gas_limit: int,
    home: Path | None,
    ready_file: Path | None,
    engine: str,
    cors_origins: tuple[str, ...],
    vhosts: tuple[str, ...],
    log_level: str,
    as_json: bool,
    validators: int,
    metrics: bool,
    no_market: bool,
) -> None:
    """Run a fresh development network: funded accounts, the market's contracts, a block for every transaction.

    The accounts' keys are public. Never send real money to them. With several validators blocks are decided by
    consensus, and the methods that control time, mining and state are not there.

    \b
    Example:
      dmchain devnet --port 8545 --block-time on-demand
      dmchain devnet --validators 4
    """
    set_up_logging(log_level)
    keys = derive_keys(mnemonic, accounts)
    with ExitStack() as stack:
        if home is None:
            home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dmchain-devnet-")))
        place = stack.enter_context(open_home(home, create=True))
        if validators > 1:
            from dmchain.node.cli.devnet_network import run_devnet_network
            from dmchain.node.devnet_network import LaunchOptions, NetworkOptions

            run_devnet_network(
                place.path,
                keys,
                NetworkOptions(validators, chain_id, balance * WEI_PER_ETHER, gas_limit, block_time, not no_market),
                LaunchOptions(host, port, engine, log_level, cors_origins, vhosts, with_metrics=metrics),
                DevnetReport(keys, ready_file, as_json),
            )
            return
        if (place.path / ACCOUNTS_FILE).exists():
            raise StorageError(
                f"home {home}: holds a devnet of several validators", hint="say how many with --validators N"
            )
        if not place.genesis.exists():
            document = genesis_document(
                {key.address: balance * WEI_PER_ETHER for key in keys},
                chain_id=chain_id,
                gas_limit=gas_limit,
                timestamp=int(time.time()),
                market=None if no_market else devnet_market(keys),
            )
            write_atomically(place.genesis, json.dumps(document, indent=2).encode() + b"\n")
        genesis = load_genesis(place.genesis)
        settings = NodeSettings(
            data=place.data,
            genesis=genesis,
            production=ProductionConfig(VALIDATOR_KEY.address, gas_limit, block_time, heartbeat_seconds=None),
            rpc=ServerConfig(host=host, port=port, cors_origins=cors_origins, vhosts=vhosts),
            mempool=MempoolConfig.devnet(),
            engine=engine,
            archive=True,
            is_devnet=True,
            wallet_keys=keys,
            metrics=Endpoint("127.0.0.1", 0) if metrics else None,
        )
        report = DevnetReport(keys, ready_file, as_json, market_contracts(genesis))

        def tell(running: Node) -> None:
            validator = {"address": checksum(VALIDATOR_KEY.address), "rpc": running.url, "pid": os.getpid()}
            if running.metrics is not None:
                validator["metrics"] = f"http://{running.metrics}/metrics"
            report(
                running.url,
                running.websocket_url,
                running.chain.rules.chain_id,
                [{**validator, "home": str(place.path)}],
            )

        run_node(settings, tell)


def run_node(settings: NodeSettings, report: Any) -> None:
    """Run until SIGINT or SIGTERM; what fails at start is one clear error."""
    prepare_thread_stacks()
    sys.setswitchinterval(SWITCH_SECONDS)
    # what is imported stays: without this the collector walks py-evm again and again
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, *gc.get_threshold()[1:])
    try:
        trio.run(_run_until_signal, settings, report)
    except* DmchainError as group:
        raise first_error(group) from None
    except* OSError as group:
        error = first_error(group)
        places = f"{settings.rpc.host}:{settings.rpc.port}"
        if settings.network is not None and settings.network.listen is not None:
            places += f" or {settings.network.listen}"
        raise DmchainError(
            f"cannot listen on {places}: {getattr(error, 'strerror', None) or error}",
            hint="another program may use that port; --port 0 takes a free one",
        ) from None


async def _run_until_signal(settings: NodeSettings, report: Any) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with open_node(settings) as node:
            report(node)
            async for number in signals:
                logging.getLogger("dmchain.node").info("stopping on %s", signal.Signals(number).name)
                return


@click.command()
@click.option("--home", type=click.Path(path_type=Path, file_okay=False), required=True, help="Made if needed.")
@click.option(
    "--genesis", "genesis_file", type=click.Path(path_type=Path, dir_okay=False), help="The network's genesis.json."
)
@click.option("--chain-id", type=click.IntRange(1, UINT64_MAX), default=DEFAULT_CHAIN_ID, show_default=True,
              help="Of a new genesis, where --genesis names none.")  # fmt: skip
@click.option("--coinbase", type=ADDRESS, help="Who gets the tips of this node's blocks.")
@click.option("--validator", "is_validator", is_flag=True, help="With a new consensus key, sign journal and randao seed.")
@NO_MARKET
def init(
    home: Path, genesis_file: Path | None, chain_id: int, coinbase: bytes | None, is_validator: bool, no_market: bool
) -> None:
    """Make a home directory with config.toml and genesis.json.

    \b
    Example:
      dmchain init --home ./my-node && dmchain node --home ./my-node
      dmchain init --home ./my-node --genesis genesis.json --validator
    """
    with open_home(home, create=True) as place:
        for path in (place.config, place.genesis):
            if path.exists():
                raise StorageError(f"{path}: exists already", hint="use another --home; nothing was changed")
        if genesis_file is not None:
            load_genesis(genesis_file)
            document = genesis_file.read_bytes()
        else:
            keys = devnet_keys(10)
            accounts = {key.address: DEFAULT_BALANCE_ETHER * WEI_PER_ETHER for key in keys}
            market = None if no_market else devnet_market(keys)
            made = genesis_document(accounts, chain_id=chain_id, market=market)
            document = json.dumps(made, indent=2).encode() + b"\n"
            click.echo("the genesis funds the ten public test accounts: for trials only", err=True)
        write_atomically(place.genesis, document)
        values = {} if coinbase is None else {"production.coinbase": checksum(coinbase)}
        if is_validator:
            key = PrivateKey(os.urandom(32))
            from dmchain.node.randao import RandaoSeed
            from dmchain.node.testnet import write_validator_keys

            values |= write_validator_keys(place, key, RandaoSeed(os.urandom(32)))
            click.echo(f"consensus key {checksum(key.address)}: `dmchain stake register` makes it a validator's", err=True)
        write_atomically(place.config, render_config(values).encode())
        place.keys.mkdir(mode=0o700, exist_ok=True)
        click.echo(f"made {home}: edit config.toml, then run `dmchain node --home {home}`", err=True)


@click.command()
@click.option("--home", type=click.Path(path_type=Path, file_okay=False), required=True, envvar="DMCHAIN_HOME")
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--engine", type=click.Choice(ENGINES))
@click.option("--archive/--no-archive", default=None, help="Keep the state of every height.")
@click.option("--log-level", type=click.Choice(LEVELS))
@click.option("--log-json/--log-text", default=None, help="One JSON object a line, with height, round and peer.")
@click.option("--sync", "sync_mode", type=click.Choice(("blocks", "snapshot")),
              help="Where there is no database: all blocks, or a snapshot of peers, verified from the validators of genesis "
              "(or sync.trust).")  # fmt: skip
@click.option("--metrics", metavar="HOST:PORT", help="Serve Prometheus metrics there, at /metrics; port 0 takes a free one.")
@click.option("--ready-file", type=click.Path(path_type=Path, dir_okay=False), help="Write JSON here when it answers.")
@click.option(
    "--journal-lost", is_flag=True, help="The sign journal is lost: begin a new one, and observe before signing."
)
@click.option("--devnet-child", type=click.Path(path_type=Path, dir_okay=False), hidden=True,
              help="A node of `dmchain devnet`: unlock the accounts of this file, end with standard input.")  # fmt: skip
def node(
    home: Path,
    host: str | None,
    port: int | None,
    engine: str | None,
    archive: bool | None,
    log_level: str | None,
    log_json: bool | None,
    sync_mode: str | None,
    metrics: str | None,
    ready_file: Path | None,
    journal_lost: bool,
    devnet_child: Path | None,
) -> None:
    """Run the node of a home directory until Ctrl-C or SIGTERM.

    \b
    Example:
      dmchain node --home ./my-node --port 8545
    """
    if devnet_child is not None:
        end_with_parent()
    with open_home(home) as place:
        config = load_config(
            place.config,
            flags={
                "rpc.host": host,
                "rpc.port": port,
                "execution.engine": engine,
                "execution.archive": archive,
                "log.level": log_level,
                "log.json": log_json,
                "sync.mode": sync_mode,
                "metrics.listen": metrics,
            },
        )
        set_up_logging(config["log.level"], as_json=config["log.json"])
        settings = node_settings(place, config, journal_lost=journal_lost)
        if devnet_child is not None:
            from dmchain.node.devnet_network import read_accounts

            settings = replace(settings, mempool=MempoolConfig.devnet(), wallet_keys=read_accounts(devnet_child))

        def report(running: Node) -> None:
            facts = {"rpc": running.url, "ws": running.websocket_url, "chainId": running.chain.rules.chain_id}
            if running.metrics is not None:
                facts["metrics"] = f"http://{running.metrics}/metrics"
            if ready_file is not None:
                write_atomically(ready_file, json.dumps({**facts, "pid": os.getpid()}, indent=2).encode() + b"\n")
            addresses = [str(facts[name]) for name in ("rpc", "ws", "metrics") if name in facts]
            click.echo(f"listening on {', '.join(addresses)}", err=True)

        run_node(settings, report)


def node_settings(home: Home, config: Config, *, journal_lost: bool = False) -> NodeSettings:
    """What the settings of a home directory mean."""
    coinbase = config["production.coinbase"]
    heartbeat = config["production.heartbeat"]
    genesis = load_genesis(home.genesis)
    network = network_settings(home, genesis, config, journal_lost=journal_lost)
    return NodeSettings(
        data=home.data,
        genesis=genesis,
        production=ProductionConfig(
            coinbase=Address(bytes.fromhex(coinbase[2:])) if coinbase else ZERO_ADDRESS,
            gas_limit=config["production.gas_limit"],
            block_time_seconds=config["production.block_time"],
            gather_seconds=config["production.gather"],
            heartbeat_seconds=heartbeat or None,
        ),
        rpc=ServerConfig(
            host=config["rpc.host"],
            port=config["rpc.port"],
            vhosts=config["rpc.vhosts"],
            cors_origins=config["rpc.cors_origins"],
            heavy_timeout_seconds=config["rpc.call_timeout"],
        ),
        limits=MethodLimits(gas_cap=config["rpc.gas_cap"]),
        mempool=MempoolConfig(
            global_slots=config["pool.global_slots"],
            max_bytes=config["pool.max_bytes"],
            lifetime_seconds=config["pool.lifetime"],
            min_tip_wei=config["pool.min_tip"],
        ),
        network=network,
        snapshot_sync=None if network is None else _snapshot_sync(home, genesis, network, config),
        snapshots=_snapshot_plan(home, config),
        metrics=Endpoint.parse(config["metrics.listen"]) if config["metrics.listen"] else None,
        engine=config["execution.engine"],
        history_window=config["execution.history_window"],
        archive=config["execution.archive"],
    )


def _snapshot_plan(home: Home, config: Config) -> SnapshotPlan | None:
    every = config["snapshots.every"]
    if not every:
        return None
    from dmchain.node.snapshot_keeper import SnapshotPlan

    return SnapshotPlan(home.snapshots, every, config["snapshots.keep"])


def _snapshot_sync(home: Home, genesis: Genesis, network: NetworkSettings, config: Config) -> SnapshotSync | None:
    """How a home without a database gets one; None: by executing all blocks."""
    if config["sync.mode"] != "snapshot" or genesis.staking is None:
        return None
    from dmchain.chain.statesync import StateSyncConfig
    from dmchain.node.bootstrap import SnapshotSync
    from dmchain.node.consensus.validator import genesis_targets
    from dmchain.node.light_trust import Trust

    height, _, digest = config["sync.trust"].partition(":")
    return SnapshotSync(
        data=home.data,
        chunks=home.path / "chunks",
        node_key=network.node_key,
        targets=(*network.targets, *genesis_targets(genesis.staking, network.node_key.address)),
        trust=Trust(int(height), Hash32(bytes.fromhex(digest[2:]))) if height else None,
        config=StateSyncConfig(minimum_gain=config["sync.snapshot_gain"]),
    )


def network_settings(home: Home, genesis: Genesis, config: Config, *, journal_lost: bool) -> NetworkSettings | None:
    """The part in a network; None for a chain that this node makes alone."""
    if genesis.staking is None:
        return None
    from dmchain.node.consensus.validator import NetworkSettings
    from dmchain.node.network.addresses import Target
    from dmchain.node.randao import load_seed

    key_file = config["validator.key_file"]
    key = None
    if key_file:
        password_file = config["validator.password_file"]
        if not password_file:
            raise ConfigError("validator.password_file: missing, expected the file that opens validator.key_file")
        key = load_keyfile(home.path / key_file, read_password(home.path / password_file))
    seed_file = home.path / config["validator.randao"]
    return NetworkSettings(
        node_key=_node_key(home),
        consensus_key=key,
        journal=home.path / config["validator.journal"],
        listen=Endpoint.parse(config["p2p.listen"]) if config["p2p.listen"] else None,
        advertise=Endpoint.parse(config["p2p.advertise"]) if config["p2p.advertise"] else None,
        targets=tuple([Target.parse(text) for text in config["p2p.peers"]]),
        peer_file=home.path / "peers.json",
        journal_lost=journal_lost,
        proof=home.path,
        snapshots=home.snapshots,
        randao=load_seed(seed_file) if key is not None and seed_file.exists() else None,
    )


def _node_key(home: Home) -> PrivateKey:
    """The key that peers know this node by; made on first use."""
    path = home.keys / NODE_KEY_FILE
    if not path.exists():
        home.keys.mkdir(mode=0o700, exist_ok=True)
        write_atomically(path, os.urandom(32).hex().encode() + b"\n", mode=0o600)
    return load_secret_file(path)
