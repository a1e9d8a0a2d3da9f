"""`dmchain snapshot`: from a home directory to files and into another home."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dmchain.chain.blockchain import Blockchain
from dmchain.chain.consensus.body import Facts, Stored
from dmchain.chain.consensus.record import Record
from dmchain.chain.genesis import load_genesis
from dmchain.chain.primitives.crypto import PrivateKey
from dmchain.chain.primitives.errors import DmchainError
from dmchain.chain.primitives.transaction import DYNAMIC_FEE, UnsignedTransaction, sign_transaction
from dmchain.chain.store.leveldb import LevelKV
from dmchain.marketplace_vm.executor import NativeExecutor
from dmchain.marketplace_vm.state import read_account
from dmchain.node.cli.app import app
from dmchain.node.keystore import devnet_keys
from dmchain.node.snapshots import MANIFEST, create_snapshot, list_snapshots, open_snapshot, restore_snapshot
from tests.chain.small_chain import Queue, plan_after

KEYS: list[PrivateKey] = list(devnet_keys(2))


def run(*arguments: str | Path, fails: bool = False) -> Any:
    """The JSON a command prints; with `fails` the error it ends with."""
    result = CliRunner().invoke(app, [str(item) for item in arguments], standalone_mode=False)
    if fails:
        assert isinstance(result.exception, DmchainError), result.output
        return str(result.exception)
    assert result.exception is None, (result.exception, result.output)
    return json.loads(result.stdout) if "--json" in arguments else result.stdout


def open_chain(home: Path) -> tuple[LevelKV, Blockchain]:
    genesis = load_genesis(home / "genesis.json")
    store = LevelKV(home / "data")
    return store, Blockchain(store, genesis, NativeExecutor(genesis.rules))


def add_blocks(home: Path, count: int, transfers: int = 1) -> tuple[int, bytes]:
    """Pay `transfers` new accounts in each block; height and hash of the head."""
    store, chain = open_chain(home)
    for _ in range(count):
        height = chain.head.number + 1
        record = Record(chain.rules.chain_id, height, (chain.head.timestamp + 1) * 1000)
        account = read_account(store, KEYS[0].address)
        assert account is not None
        first = account[0]
        payments = [
            sign_transaction(
                UnsignedTransaction(
                    type=DYNAMIC_FEE, chain_id=chain.rules.chain_id, nonce=nonce, gas=21_000, value=1,
                    max_fee_per_gas=10**11, max_priority_fee_per_gas=0, to=(nonce + 1).to_bytes(20, "big"),
                ),
                KEYS[0],
            )
            for nonce in range(first, first + transfers)
        ]  # fmt: skip
        plan = plan_after(chain, parent_beacon_block_root=record.root())
        executed = chain.build(plan, Queue(payments), stop=lambda: False)
        assert len(executed.block.transactions) == transfers
        chain.commit(executed, Stored(Facts(record)).encode())
    head = chain.head.number, bytes(chain.head.hash)
    store.close()
    return head


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "first"
    run("init", "--home", path)
    add_blocks(path, 3)
    return path


@pytest.fixture
def other(tmp_path: Path, home: Path) -> Path:
    path = tmp_path / "second"
    run("init", "--home", path, "--genesis", home / "genesis.json")
    return path


def test_a_snapshot_moves_a_node(home: Path, other: Path) -> None:
    made = run("snapshot", "create", "--home", home, "--json")
    assert made["height"] == 3
    assert made["path"] == str(home / "snapshots" / "3")
    assert run("snapshot", "verify", made["path"], "--json")["ok"] is True
    restored = run("snapshot", "restore", "--home", other, made["path"], "--block-hash", made["blockHash"], "--json")
    assert restored == {"height": 3, "blockHash": made["blockHash"]}
    assert add_blocks(other, 2) == add_blocks(home, 2)
    assert not list(other.glob("*.partial"))


def test_an_older_height_can_be_saved(home: Path) -> None:
    assert run("snapshot", "create", "--home", home, "--height", "1", "--json")["height"] == 1
    assert "the head is block 3" in run("snapshot", "create", "--home", home, "--height", "9", fails=True)


def test_snapshots_are_listed_by_height(home: Path, tmp_path: Path) -> None:
    for height in ("2", "1"):
        run("snapshot", "create", "--home", home, "--height", height)
    (home / "snapshots" / "9.partial").mkdir()
    listed = run("snapshot", "list", "--home", home, "--json")
    assert [entry["height"] for entry in listed] == [1, 2]
    assert run("snapshot", "list", tmp_path / "nowhere", "--json") == []


def test_it_does_not_overwrite_anything(home: Path, other: Path) -> None:
    path = run("snapshot", "create", "--home", home, "--json")["path"]
    assert "exists already" in run("snapshot", "create", "--home", home, fails=True)
    assert "there is a database already" in run("snapshot", "restore", "--home", home, path, fails=True)


def test_a_home_without_a_database_has_nothing_to_save(other: Path) -> None:
    assert "there is no database" in run("snapshot", "create", "--home", other, fails=True)


def test_what_is_no_snapshot_is_refused(home: Path, other: Path) -> None:
    assert "no snapshot there" in run("snapshot", "verify", home, fails=True)
    path = Path(run("snapshot", "create", "--home", home, "--json")["path"])
    wrong = "0x" + "13" * 32
    assert "expected 0x1313" in run("snapshot", "verify", path, "--block-hash", wrong, fails=True)
    assert "expected 0x1313" in run("snapshot", "restore", "--home", other, path, "--block-hash", wrong, fails=True)
    chunk = path / "000000.chunk"
    raw = chunk.read_bytes()
    chunk.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    for arguments in (("verify", path), ("verify", path, "--quick"), ("restore", "--home", other, path)):
        assert "chunk 0: expected 0x" in run("snapshot", *arguments, fails=True)
    assert not (other / "data").exists()
    chunk.unlink()
    assert "No such file" in run("snapshot", "verify", path, fails=True)
    (path / MANIFEST).write_bytes(b"something else")
    assert "expected to begin with" in run("snapshot", "verify", path, fails=True)


def test_another_chains_snapshot_is_refused(home: Path, tmp_path: Path) -> None:
    path = run("snapshot", "create", "--home", home, "--json")["path"]
    stranger = tmp_path / "stranger"
    run("init", "--home", stranger, "--chain-id", "99")
    assert "the snapshot is of id" in run("snapshot", "restore", "--home", stranger, path, fails=True)
    assert not (stranger / "data").exists()


def test_what_a_crash_left_is_cleared_away(home: Path, other: Path) -> None:
    path = run("snapshot", "create", "--home", home, "--json")["path"]
    (other / "data.partial").mkdir()
    (other / "data.partial" / "CURRENT").write_text("half a database")
    assert run("snapshot", "restore", "--home", other, path, "--json")["height"] == 3


def test_a_database_is_usable_only_after_the_last_step(home: Path, other: Path) -> None:
    """Killed while it restores, again and again, a home has no database; in the end it has the whole one."""
    add_blocks(home, 2, transfers=1000)
    path = run("snapshot", "create", "--home", home, "--chunk-bytes", "4096", "--json")["path"]
    command = [sys.executable, "-m", "dmchain", "snapshot", "restore", "--home", str(other), path]
    for delay in (0.6, 0.8, 1.0):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(delay)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        if (other / "data").exists():
            break
    if not (other / "data").exists():
        run("snapshot", "restore", "--home", other, path)
    store, chain = open_chain(other)
    assert chain.head.number == 5
    store.close()


def test_a_running_node_can_make_one(home: Path, tmp_path: Path) -> None:
    """From its view, while it goes on."""
    store, chain = open_chain(home)
    target = tmp_path / "live" / "3"
    options = {"chain_id": chain.rules.chain_id, "genesis_hash": chain.genesis_header.hash}
    files = create_snapshot(chain.view, 3, target, **options)  # type: ignore[arg-type]
    assert [found.manifest for found in list_snapshots(target.parent)] == [files.manifest]
    assert open_snapshot(target).commit() is None
    restore_snapshot(files, tmp_path / "data", chain_id=chain.rules.chain_id, genesis=chain.genesis_header)
    store.close()
