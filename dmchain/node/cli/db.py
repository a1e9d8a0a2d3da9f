"""`dmchain db`: look after the database of a stopped node."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import click

from dmchain.chain.blockchain import Blockchain
from dmchain.chain.genesis import load_genesis
from dmchain.chain.primitives.block import Block
from dmchain.chain.primitives.errors import DmchainError, StorageError
from dmchain.chain.store.kv import prefix_end
from dmchain.chain.store.leveldb import LevelKV
from dmchain.chain.trie import ordered_root
from dmchain.marketplace_vm.state import rebuild_state_root
from dmchain.marketplace_vm.vm import prepare_thread_stacks, run_on_big_stack
from dmchain.node.cli.client import json_option, show
from dmchain.node.home import Home, open_home
from dmchain.node.node import ENGINES, make_executor

PROGRESS_EVERY = 1000
EXPORT_MAGIC = b"dmchain blocks 1\n"
MAX_EXPORTED_BLOCK_BYTES = 64 * 1024 * 1024
_KINDS = {
    b"a": "accounts", b"s": "storage", b"c": "code", b"t": "state trie", b"u": "storage tries", b"d": "undo records",
    b"e": "archive", b"h": "headers", b"b": "bodies", b"r": "receipts", b"k": "records", b"n": "block hashes",
    b"x": "transaction index", b"l": "log index", b"m": "metadata",
}  # fmt: skip


@click.group()
def db() -> None:
    """Look after the database of a stopped node.

    \b
    Example:
      dmchain db stats --home ./my-node
    """


def _home_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--home", "home_path", type=click.Path(path_type=Path, file_okay=False), required=True, help="Home directory."
    )(command)


def _open_store(home: Home) -> LevelKV:
    if not home.data.exists():
        raise StorageError(f"{home.data}: there is no database", hint="the node has not run with this --home yet")
    return LevelKV(home.data, create=False)


def _open_chain(home: Home, store: LevelKV, engine: str = "native") -> Blockchain:
    genesis = load_genesis(home.genesis)
    from dmchain.chain.store import schema

    archive = store.get(schema.META_ARCHIVE) is not None
    return Blockchain(store, genesis, make_executor(engine, genesis.rules), archive=archive)


@db.command()
@_home_option
@json_option
def stats(home_path: Path, as_json: bool) -> None:
    """Count entries and bytes by kind."""
    with open_home(home_path) as home:
        store = _open_store(home)
        try:
            rows = {}
            for prefix, name in _KINDS.items():
                count = keys = values = 0
                for key, value in store.iterate(prefix, prefix_end(prefix)):
                    count += 1
                    keys += len(key)
                    values += len(value)
                rows[name] = {"entries": count, "keyBytes": keys, "valueBytes": values}
        finally:
            store.close()
    if as_json:
        show(rows, True)
        return
    click.echo(f"{'kind':18} {'entries':>10} {'key bytes':>12} {'value bytes':>12}")
    for name, row in rows.items():
        click.echo(f"{name:18} {row['entries']:>10} {row['keyBytes']:>12} {row['valueBytes']:>12}")


@db.command()
@_home_option
@click.option("--execute", is_flag=True, help="Execute every block again, too, from genesis on.")
@click.option("--engine", type=click.Choice(ENGINES), default="native", show_default=True)
@json_option
def verify(home_path: Path, execute: bool, engine: str, as_json: bool) -> None:
    """Check that the blocks link up, that their roots hold, and that the state has the root of the head."""
    prepare_thread_stacks()
    with open_home(home_path) as home:
        store = _open_store(home)
        try:
            chain = _open_chain(home, store, engine)
            _verify_blocks(chain)
            root = rebuild_state_root(chain.store)
            if root != chain.state_root:
                raise StorageError(
                    f"state root: the accounts give 0x{root.hex()}, the head wants 0x{chain.state_root.hex()}",
                    hint="the database is damaged: import an export, or sync again",
                )
            if execute:
                run_on_big_stack(lambda: _execute_all(home, chain, engine))
            show({"head": chain.head.number, "stateRoot": "0x" + root.hex(), "ok": True}, as_json)
        finally:
            store.close()


def _verify_blocks(chain: Blockchain) -> None:
    parent = None
    for height in range(chain.head.number + 1):
        block, receipts = chain.view.blocks.block(height), chain.view.blocks.receipts(height)
        if block is None or receipts is None:
            raise StorageError(f"block {height} is not in the database")
        header = block.header
        if parent is not None and header.parent_hash != parent:
            raise StorageError(f"block {height}: its parent is 0x{header.parent_hash.hex()}, expected 0x{parent.hex()}")
        if ordered_root([tx.raw for tx in block.transactions]) != header.transactions_root:
            raise StorageError(f"block {height}: the transactions do not give the header's root")
        if ordered_root([receipt.encode() for receipt in receipts]) != header.receipts_root:
            raise StorageError(f"block {height}: the receipts do not give the header's root")
        parent = header.hash
        if height and height % PROGRESS_EVERY == 0:
            click.echo(f"verified {height} of {chain.head.number} blocks", err=True)


def _execute_all(home: Home, chain: Blockchain, engine: str) -> None:
    from dmchain.chain.store.kv import MemoryKV

    genesis = load_genesis(home.genesis)
    again = Blockchain(MemoryKV(), genesis, make_executor(engine, genesis.rules))
    for height in range(1, chain.head.number + 1):
        block = chain.view.blocks.block(height)
        assert block is not None  # _verify_blocks has read it
        again.commit(again.execute(block))
        if height % PROGRESS_EVERY == 0:
            click.echo(f"executed {height} of {chain.head.number} blocks", err=True)


@db.command()
@_home_option
def compact(home_path: Path) -> None:
    """Rewrite the files without what was deleted."""
    with open_home(home_path) as home:
        store = _open_store(home)
        try:
            click.echo("compacting; this may take minutes on a large database", err=True)
            store.compact()
        finally:
            store.close()


@db.command("export")
@_home_option
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE")
@click.option("--first", type=click.IntRange(1), default=1, show_default=True)
@click.option("--last", type=click.IntRange(1), help="The head unless given.")
def export_blocks(home_path: Path, path: Path, first: int, last: int | None) -> None:
    """Write blocks (RLP, each after its length) to a file that `import` reads.

    \b
    Example:
      dmchain db export --home ./my-node blocks.bin
    """
    with open_home(home_path) as home:
        store = _open_store(home)
        try:
            chain = _open_chain(home, store)
            stop = chain.head.number if last is None else min(last, chain.head.number)
            partial = path.with_name(path.name + ".partial")
            with partial.open("wb") as file:
                file.write(EXPORT_MAGIC)
                for height in range(first, stop + 1):
                    block = chain.view.blocks.block(height)
                    if block is None:
                        raise StorageError(f"block {height} is not in the database")
                    raw, record = block.encode(), chain.view.blocks.record(height) or b""
                    file.write(struct.pack(">II", len(raw), len(record)) + raw + record)
                    if height % PROGRESS_EVERY == 0:
                        click.echo(f"exported {height} of {stop} blocks", err=True)
            partial.replace(path)
            click.echo(f"exported {max(0, stop - first + 1)} blocks", err=True)
        finally:
            store.close()


@db.command("import")
@_home_option
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False, exists=True), metavar="FILE")
@click.option("--engine", type=click.Choice(ENGINES), default="native", show_default=True)
def import_blocks(home_path: Path, path: Path, engine: str) -> None:
    """Execute and append the blocks of an export; those that are there already are passed over.

    \b
    Example:
      dmchain db import --home ./my-node blocks.bin
    """
    prepare_thread_stacks()
    with open_home(home_path) as home:
        genesis = load_genesis(home.genesis)
        store = LevelKV(home.data)
        try:
            chain = Blockchain(store, genesis, make_executor(engine, genesis.rules))
            with path.open("rb") as file:
                run_on_big_stack(lambda: _import_all(chain, file, path))
            click.echo(f"the head is block {chain.head.number} 0x{chain.head.hash.hex()}", err=True)
        finally:
            store.close()


def _import_all(chain: Blockchain, file: BinaryIO, path: Path) -> None:
    for raw, record in _read_export(file, path):
        block = Block.decode(raw)
        if block.number <= chain.head.number:
            known = chain.view.blocks.header(block.number)
            if known is None or known.hash != block.hash:
                raise StorageError(f"{path}: block {block.number} is another one than in the database")
            continue
        chain.commit(chain.execute(block), record)
        if block.number % PROGRESS_EVERY == 0:
            click.echo(f"imported block {block.number}", err=True)


def _read_export(file: BinaryIO, path: Path) -> Iterator[tuple[bytes, bytes]]:
    if file.read(len(EXPORT_MAGIC)) != EXPORT_MAGIC:
        raise DmchainError(f"{path}: not an export of blocks", hint="`dmchain db export` writes one")
    while head := file.read(8):
        sizes = struct.unpack(">II", head) if len(head) == 8 else (0, 0)
        if not 0 < sizes[0] <= MAX_EXPORTED_BLOCK_BYTES or sizes[1] > MAX_EXPORTED_BLOCK_BYTES:
            raise DmchainError(f"{path}: damaged at byte {file.tell()}: lengths {sizes}")
        raw, record = file.read(sizes[0]), file.read(sizes[1])
        if len(raw) + len(record) != sum(sizes):
            raise DmchainError(f"{path}: ends inside a block", hint="the export was cut short; make it again")
        yield raw, record


