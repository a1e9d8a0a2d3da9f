"""A development network of several validators: their homes, and their processes while one command lives.

    parent (dmchain devnet --validators N) -- pipe on stdin --> child (dmchain node --devnet-child …), N times

A child is a node like any other: its own home, keys, journal, sockets. It ends when its parent does (node.parent).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import trio

from dmchain.chain.genesis import load_genesis
from dmchain.chain.primitives.crypto import PrivateKey, keccak, public_key_to_address
from dmchain.chain.primitives.errors import DmchainError, StorageError
from dmchain.chain.primitives.types import Address
from dmchain.node.config import ENVIRONMENT_PREFIX
from dmchain.node.devnet import devnet_market
from dmchain.node.home import ACCOUNTS_FILE, PRIVATE_FILE, Home, write_atomically
from dmchain.node.testnet import make_genesis, plan_validators, save_operator, write_home

READY_FILE: Final = "ready.json"
LOG_FILE: Final = "node.log"
START_SECONDS: Final = 60.0
"""All nodes together; on one busy core each takes a few seconds of it."""
STOP_SECONDS: Final = 1.2
"""From SIGTERM to SIGKILL: the whole command ends within two seconds."""
POLL_SECONDS: Final = 0.02
SHOWN_LOG_LINES: Final = 6
ONION_LAYERS: Final = 1 << 16
"""Blocks of one validator's randao onion: a devnet lives shorter than a chain, and shall start at once."""


class ChildEnded(DmchainError):
    """A validator's process has ended although nobody asked it to."""


def operator_key(number: int) -> PrivateKey:
    """The account key of validator `number`; public, as the test accounts are."""
    return PrivateKey(keccak(b"dmchain devnet operator %d" % number))


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """What a new network is made with. `block_time_seconds` None: a block when there is work."""

    validators: int
    chain_id: int
    balance_wei: int
    gas_limit: int
    block_time_seconds: float | None = None
    has_market: bool = True


@dataclass(frozen=True, slots=True)
class ValidatorHome:
    """One validator of the network on disk. `address` is that of its consensus key."""

    number: int
    home: Home
    operator: Address
    address: Address

    @property
    def ready_file(self) -> Path:
        return self.home.path / READY_FILE

    @property
    def log_file(self) -> Path:
        return self.home.path / LOG_FILE


def prepare_homes(base: Path, options: NetworkOptions, accounts: Sequence[PrivateKey]) -> list[ValidatorHome]:
    """Make the validators' homes below `base`, or find those that an earlier run has made there.

    Raises StorageError when another kind of network lives there. Writes the unlocked accounts' keys for the nodes.
    """
    found = sorted(base.glob("validator-*"))
    if Home(base).genesis.exists():
        raise StorageError(
            f"home {base}: holds a devnet of one validator", hint="leave --validators away, or use another --home"
        )
    if found and len(found) != options.validators:
        raise StorageError(
            f"home {base}: holds a devnet of {len(found)} validators",
            hint=f"--validators {len(found)}, or another --home",
        )
    if not found:
        _make_homes(base, options, accounts)
    secrets = ["0x" + key.secret.hex() for key in accounts]
    write_atomically(base / ACCOUNTS_FILE, json.dumps(secrets).encode() + b"\n", mode=PRIVATE_FILE)
    return _find_homes(base, options.validators)


def _make_homes(base: Path, options: NetworkOptions, accounts: Sequence[PrivateKey]) -> None:
    operators = [operator_key(number) for number in range(options.validators)]
    plan = plan_validators(base, [key.address for key in operators], first_p2p_port=0, first_rpc_port=0)
    consensus = None
    if options.block_time_seconds is not None:
        interval = round(options.block_time_seconds * 1000)
        consensus = {"minimumBlockIntervalMs": interval, "heartbeatMs": interval}
    genesis = make_genesis(
        plan,
        {key.address: options.balance_wei for key in (*operators, *accounts)},
        chain_id=options.chain_id,
        gas_limit=options.gas_limit,
        consensus=consensus,
        onion_layers=ONION_LAYERS,
        market=devnet_market(accounts) if options.has_market else None,
    )
    settings = {"production.gas_limit": options.gas_limit, "execution.archive": True}
    for validator, operator in zip(plan, operators, strict=True):
        save_operator(write_home(validator, genesis, settings=settings, is_light=True), operator, is_light=True)


def _find_homes(base: Path, count: int) -> list[ValidatorHome]:
    homes = [Home(base / f"validator-{number}") for number in range(count)]
    genesis = load_genesis(homes[0].genesis)
    staking = genesis.staking
    if staking is None or len(staking.validators) != count:
        raise StorageError(f"{homes[0].genesis}: expected a genesis of {count} validators", hint="use another --home")
    return [
        ValidatorHome(number, home, member.operator, public_key_to_address(member.public_key))
        for number, (home, member) in enumerate(zip(homes, staking.validators, strict=True))
    ]


def read_accounts(path: Path) -> list[PrivateKey]:
    """The unlocked accounts that the parent has written."""
    try:
        secrets = json.loads(path.read_bytes())
        return [PrivateKey(bytes.fromhex(secret[2:])) for secret in secrets]
    except (OSError, ValueError, TypeError) as error:
        raise StorageError(f"{path}: {error}") from error


# ---------------------------------------------------------------- processes


@dataclass(frozen=True, slots=True)
class LaunchOptions:
    """How the nodes are started. The first listens on `port` (0: a free one), the others on free ones."""

    host: str
    port: int
    engine: str
    log_level: str
    cors_origins: tuple[str, ...] = ()
    vhosts: tuple[str, ...] = ()
    with_metrics: bool = False


@dataclass(frozen=True, slots=True)
class RunningValidator:
    """A validator that answers: `facts` is what it wrote when it did (rpc, ws, chainId, pid)."""

    place: ValidatorHome
    facts: Mapping[str, Any]


class DevnetNetwork:
    """The processes of a network. Within `async with` they run; leaving it ends them, whatever the reason.

    A child that ends on its own raises ChildEnded in the task that waits with `wait_ready` or `wait_for_end`.
    """

    def __init__(self, places: Sequence[ValidatorHome], options: LaunchOptions) -> None:
        self._places = places
        self._options = options
        self._processes: list[trio.Process] = []

    async def __aenter__(self) -> DevnetNetwork:
        try:
            for place in self._places:
                self._processes.append(await self._start(place))
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._stop()

    async def _start(self, place: ValidatorHome) -> trio.Process:
        options = self._options
        place.ready_file.unlink(missing_ok=True)
        command = [sys.executable, "-m", "dmchain", "node", "--home", str(place.home.path), "--host", options.host]
        command += ["--port", str(options.port if place.number == 0 else 0), "--engine", options.engine]
        command += ["--log-level", options.log_level, "--ready-file", str(place.ready_file)]
        command += ["--devnet-child", str(place.home.path.parent / ACCOUNTS_FILE)]
        if options.with_metrics:
            command += ["--metrics", "127.0.0.1:0"]
        # settings meant for `dmchain node` are not meant for all of these at once
        environment = {name: value for name, value in os.environ.items() if not name.startswith(ENVIRONMENT_PREFIX)}
        environment["DMCHAIN_RPC_CORS_ORIGINS"] = ",".join(options.cors_origins)
        environment["DMCHAIN_RPC_VHOSTS"] = ",".join(options.vhosts)
        with place.log_file.open("wb") as log:
            # a session of its own: Ctrl-C in the terminal is the parent's to deal with
            return await trio.lowlevel.open_process(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment, start_new_session=True
            )

    async def wait_ready(self) -> list[RunningValidator]:
        """Until every node answers; raises DmchainError when one ends, or when it takes too long."""
        running: list[RunningValidator] = []
        with trio.move_on_after(START_SECONDS):
            for place in self._places:
                while not place.ready_file.exists():
                    self._check()
                    await trio.sleep(POLL_SECONDS)
                running.append(RunningValidator(place, json.loads(place.ready_file.read_bytes())))
            return running
        late = self._places[len(running)]
        raise DmchainError(f"validator-{late.number} does not answer after {START_SECONDS:g} s{_log_tail(late)}")

    def _check(self) -> None:
        for place, process in zip(self._places, self._processes, strict=True):
            if process.poll() is not None:
                raise _describe_end(place, process)

    async def wait_for_end(self) -> None:
        """Until a child ends on its own, which raises ChildEnded."""
        ended: list[tuple[ValidatorHome, trio.Process]] = []
        async with trio.open_nursery() as nursery:

            async def watch(place: ValidatorHome, process: trio.Process) -> None:
                await process.wait()
                ended.append((place, process))
                nursery.cancel_scope.cancel()

            for place, process in zip(self._places, self._processes, strict=True):
                nursery.start_soon(watch, place, process)
        raise _describe_end(*ended[0])

    async def _stop(self) -> None:
        """Ask all to end, and kill those that do not."""
        with trio.CancelScope(shield=True):
            for process in self._processes:
                if process.poll() is None:
                    process.terminate()
            with trio.move_on_after(STOP_SECONDS):
                for process in self._processes:
                    await process.wait()
            for process in self._processes:
                if process.poll() is None:
                    process.kill()
                await process.wait()
                if process.stdin is not None:
                    await process.stdin.aclose()


def _describe_end(place: ValidatorHome, process: trio.Process) -> ChildEnded:
    status = process.returncode
    assert status is not None
    how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"has ended with status {status}"
    return ChildEnded(
        f"validator-{place.number} (process {process.pid}) {how}: the network is stopped{_log_tail(place)}"
    )


def _log_tail(place: ValidatorHome) -> str:
    """The last lines of a node's log, for an error message: with a temporary home the file is about to go."""
    try:
        lines = place.log_file.read_text(errors="replace").splitlines()[-SHOWN_LOG_LINES:]
    except OSError:
        lines = []
    return "".join(["\n  | " + line for line in lines])
