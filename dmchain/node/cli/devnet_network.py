"""`dmchain devnet --validators N`: several nodes from one command."""

from __future__ import annotations

import logging
import signal
from dataclasses import replace
from pathlib import Path

import trio

from dmchain.chain.genesis import load_genesis
from dmchain.chain.primitives.crypto import PrivateKey
from dmchain.chain.primitives.errors import DmchainError
from dmchain.node.cli.devnet_report import DevnetReport
from dmchain.node.cli.parameters import checksum
from dmchain.node.devnet_network import (
    DevnetNetwork,
    LaunchOptions,
    NetworkOptions,
    RunningValidator,
    prepare_homes,
)
from dmchain.node.errors import first_error
from dmchain.node.predeploys import market_contracts

log = logging.getLogger("dmchain.devnet")


def run_devnet_network(
    base: Path,
    accounts: list[PrivateKey],
    options: NetworkOptions,
    launch: LaunchOptions,
    report: DevnetReport,
) -> None:
    """Make the homes below `base` (locked by the caller), run the nodes until SIGINT or SIGTERM."""
    places = prepare_homes(base, options, accounts)
    report = replace(report, contracts=market_contracts(load_genesis(places[0].home.genesis)))
    try:
        trio.run(_run_until_signal, DevnetNetwork(places, launch), report)
    except* DmchainError as group:
        raise first_error(group) from None


async def _run_until_signal(network: DevnetNetwork, report: DevnetReport) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_run, network, report)
            async for number in signals:
                log.info("stopping on %s", signal.Signals(number).name)
                nursery.cancel_scope.cancel()
                return


async def _run(network: DevnetNetwork, report: DevnetReport) -> None:
    async with network:
        running = await network.wait_ready()
        first = running[0].facts
        report(first["rpc"], first["ws"], first["chainId"], [_describe(each) for each in running])
        await network.wait_for_end()


def _describe(each: RunningValidator) -> dict[str, object]:
    facts = {
        "address": checksum(each.place.address),
        "operator": checksum(each.place.operator),
        "rpc": each.facts["rpc"],
        "pid": each.facts["pid"],
        "home": str(each.place.home.path),
    }
    if "metrics" in each.facts:
        facts["metrics"] = each.facts["metrics"]
    return facts
