"""`dmchain snapshot`: the state of a stopped node as files, and back."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import click

from dmchain.chain.blockchain import Blockchain
from dmchain.chain.genesis import load_genesis
from dmchain.chain.primitives.errors import StorageError
from dmchain.chain.primitives.types import Hash32
from dmchain.chain.snapshot.manifest import MAX_CHUNK_BYTES, MIN_CHUNK_BYTES, InvalidSnapshot
from dmchain.chain.snapshot.restore import Restorer
from dmchain.chain.store.leveldb import LevelKV
from dmchain.marketplace_vm.executor import create_state
from dmchain.node.cli.client import json_option, show
from dmchain.node.cli.parameters import HASH
from dmchain.node.home import Home, open_home
from dmchain.node.node import make_executor
from dmchain.node.snapshots import (
    SnapshotFiles,
    create_snapshot,
    list_snapshots,
    open_snapshot,
    restore_snapshot,
)

PROGRESS_SECONDS = 2.0

_home_option = click.option(
    "--home", "home_path", type=click.Path(path_type=Path, file_okay=False), required=True, help="Home directory."
)
_snapshot_argument = click.argument("path", type=click.Path(path_type=Path, file_okay=False), metavar="SNAPSHOT")


@click.group()
def snapshot() -> None:
    """Save the state of a stopped node to files, and start a node from them.

    \b
    Example:
      dmchain snapshot create --home ./my-node
      dmchain snapshot restore --home ./another-node ./my-node/snapshots/1200
    """


class _Meter:
    """Says on stderr how far it is, every two seconds."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def say(self, text: str) -> None:
        now = time.monotonic()
        if now - self._last >= PROGRESS_SECONDS:
            self._last = now
            click.echo(text, err=True)


def snapshots_of(home: Home) -> Path:
    """Where a home keeps its snapshots unless told otherwise."""
    return home.path / "snapshots"


@snapshot.command()
@_home_option
@click.argument("target", type=click.Path(path_type=Path), required=False, metavar="[DIRECTORY]")
@click.option("--height", type=click.IntRange(0), help="One of the last 128 blocks; the head unless given.")
@click.option(
    "--chunk-bytes", type=click.IntRange(MIN_CHUNK_BYTES, MAX_CHUNK_BYTES), default=1024 * 1024, show_default=True
)
@json_option
def create(home_path: Path, target: Path | None, height: int | None, chunk_bytes: int, as_json: bool) -> None:
    """Write a snapshot; to snapshots/HEIGHT in the home directory unless told otherwise.

    \b
    Example:
      dmchain snapshot create --home ./my-node /backup/mainnet-1200
    """
    meter = _Meter()

    def progress(size: int, share: float) -> None:
        meter.say(f"{share:.0%} of the accounts, {size / 1e6:.1f} MB")

    with open_home(home_path) as home:
        if not home.data.exists():
            raise StorageError(f"{home.data}: there is no database", hint="the node has not run with this --home yet")
        genesis = load_genesis(home.genesis)
        store = LevelKV(home.data, create=False)
        try:
            chain = Blockchain(store, genesis, make_executor("native", genesis.rules))
            at = chain.head.number if height is None else height
            if at > chain.head.number:
                raise StorageError(f"block {at}: the head is block {chain.head.number}")
            files = create_snapshot(
                chain.view,
                at,
                snapshots_of(home) / str(at) if target is None else target,
                chain_id=chain.rules.chain_id,
                genesis_hash=chain.genesis_header.hash,
                chunk_bytes=chunk_bytes,
                progress=progress,
            )
        finally:
            store.close()
    show(_facts(files), as_json)


@snapshot.command("list")
@click.option("--home", "home_path", type=click.Path(path_type=Path, file_okay=False), help="Home directory.")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False), required=False)
@json_option
def list_command(home_path: Path | None, directory: Path | None, as_json: bool) -> None:
    """List the snapshots of a home directory, or those in a directory."""
    if (home_path is None) == (directory is None):
        raise click.UsageError("give --home or a directory")
    where = directory if home_path is None else snapshots_of(Home(home_path))
    assert where is not None
    found = list_snapshots(where)
    if as_json:
        show([_facts(files) for files in found], True)
        return
    for files in found:
        made = files.manifest
        click.echo(f"{made.height:>10}  0x{made.block_hash.hex()}  {made.stream_bytes / 1e6:9.1f} MB  {files.path}")


@snapshot.command()
@_snapshot_argument
@click.option("--block-hash", "expected", type=HASH, help="The block it must be of, from somewhere you trust.")
@click.option("--quick", is_flag=True, help="Check files and format only, do not rebuild the state root.")
@json_option
def verify(path: Path, expected: bytes | None, quick: bool, as_json: bool) -> None:
    """Check the files of a snapshot, and that its accounts give the state root of its header.

    Whether that header is the chain's is for --block-hash, or `dmchain verify chain`, to say.
    """
    files = open_snapshot(path)
    _expect_hash(files, expected)
    if quick:
        for _ in files.chunks():
            pass
    else:
        with tempfile.TemporaryDirectory(prefix="dmchain-verify-") as directory:
            _rebuild(files, Path(directory))
    show({**_facts(files), "stateRootRebuilt": not quick, "ok": True}, as_json)


def _rebuild(files: SnapshotFiles, directory: Path) -> None:
    """Restore into a directory that is thrown away, whatever the chain's genesis is."""
    made = files.manifest
    store = LevelKV(directory / "data")
    try:
        restorer = Restorer(store, made, made.chain_id, made.genesis_hash)
        meter = _Meter()
        for done, chunk in enumerate(files.chunks(), 1):
            restorer.feed(chunk)
            meter.say(_describe(files, done, restorer))
        restorer.check()
    finally:
        store.close()


@snapshot.command()
@_home_option
@_snapshot_argument
@click.option("--block-hash", "expected", type=HASH, help="The block it must be of, from somewhere you trust.")
@json_option
def restore(home_path: Path, path: Path, expected: bytes | None, as_json: bool) -> None:
    """Make the database of a home directory from a snapshot. There must be no database yet.

    The home directory has config and genesis already (`dmchain init`). A crash on the way leaves no database.

    \b
    Example:
      dmchain snapshot restore --home ./another-node --block-hash 0x… ./my-node/snapshots/1200
    """
    files = open_snapshot(path)
    meter = _Meter()
    with open_home(home_path) as home:
        genesis = load_genesis(home.genesis)
        header = restore_snapshot(
            files,
            home.data,
            chain_id=genesis.rules.chain_id,
            genesis=genesis.header(create_state(genesis.alloc).state_root),
            expected_hash=None if expected is None else Hash32(expected),
            progress=lambda done, restorer: meter.say(_describe(files, done, restorer)),
        )
    if expected is None:
        click.echo(
            "the state root is the header's; compare the block hash with one you trust (or use --block-hash)", err=True
        )
    show({"height": header.number, "blockHash": "0x" + header.hash.hex()}, as_json)


def _expect_hash(files: SnapshotFiles, expected: bytes | None) -> None:
    if expected is not None and files.manifest.block_hash != expected:
        raise InvalidSnapshot(
            f"block {files.manifest.height}: expected 0x{expected.hex()}, the snapshot is of"
            f" 0x{files.manifest.block_hash.hex()}"
        )


def _describe(files: SnapshotFiles, done: int, restorer: Restorer) -> str:
    chunks = len(files.manifest.chunk_hashes)
    return f"chunk {done} of {chunks}: {restorer.accounts} accounts, {restorer.slots} slots"


def _facts(files: SnapshotFiles) -> dict[str, Any]:
    made = files.manifest
    return {
        "path": str(files.path),
        "height": made.height,
        "blockHash": "0x" + made.block_hash.hex(),
        "stateRoot": "0x" + made.state_root.hex(),
        "chainId": made.chain_id,
        "genesisHash": "0x" + made.genesis_hash.hex(),
        "snapshotHash": "0x" + made.hash.hex(),
        "bytes": made.stream_bytes,
        "chunks": len(made.chunk_hashes),
        "accounts": made.accounts,
        "slots": made.slots,
        "codes": made.codes,
    }
