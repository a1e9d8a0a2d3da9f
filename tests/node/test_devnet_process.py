"""A real devnet process: ready file, clean end, kill -9, one node a home directory."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.error import URLError

import pytest

from dmchain.chain.primitives.crypto import PrivateKey
from dmchain.chain.primitives.transaction import DYNAMIC_FEE, UnsignedTransaction, sign_transaction
from tests.node.process import STOPS_WITHIN_S, DevnetProcess, RpcFailure

GWEI = 10**9


def transfer(node: DevnetProcess, nonce: int, account: int = 0) -> str:
    key = PrivateKey(bytes.fromhex(node.accounts[account]["privateKey"][2:]))
    unsigned = UnsignedTransaction(
        type=DYNAMIC_FEE,
        chain_id=node.facts["chainId"],
        nonce=nonce,
        gas=21_000,
        max_fee_per_gas=3 * GWEI,
        max_priority_fee_per_gas=GWEI,
        to=b"\x42" * 20,
        value=1,
    )
    return "0x" + sign_transaction(unsigned, key).raw.hex()


def test_a_transaction_is_mined_when_the_answer_comes(tmp_path: Path) -> None:
    with DevnetProcess(tmp_path) as node:
        sent = node.call("eth_sendRawTransaction", transfer(node, 0))
        receipt = node.call("eth_getTransactionReceipt", sent)
        assert receipt["status"] == "0x1"
        assert node.call("eth_getBalance", "0x" + "42" * 20, "latest") == "0x1"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly_and_soon(tmp_path: Path, number: int) -> None:
    with DevnetProcess(tmp_path) as node:
        node.call("eth_sendRawTransaction", transfer(node, 0))
        # a connection that stays open must not hold the node up
        with socket.create_connection(("127.0.0.1", int(node.url.rsplit(":", 1)[1]))):
            status, seconds = node.stop(number)
        assert status == 0
        assert seconds < STOPS_WITHIN_S
        assert "Traceback" not in node.log.read_text()


def test_a_heavy_call_does_not_hold_the_end_up(tmp_path: Path) -> None:
    """JUMPDEST PUSH0 JUMP for as long as the gas cap allows."""
    with DevnetProcess(tmp_path) as node:

        def spin() -> None:
            try:
                node.call("eth_call", {"data": "0x5b5f56", "gas": hex(50_000_000)}, "latest")
            except (RpcFailure, URLError, OSError):
                pass

        thread = threading.Thread(target=spin)
        thread.start()
        time.sleep(0.3)
        status, seconds = node.stop()
        thread.join()
        assert status == 0
        assert seconds < STOPS_WITHIN_S


def test_heavy_calls_do_not_hold_blocks_up(tmp_path: Path) -> None:
    """Six clients ask for loops that take all the gas there is, again and again; blocks are made all the while."""
    with DevnetProcess(tmp_path) as node:
        is_over = threading.Event()

        def spin() -> None:
            while not is_over.is_set():
                try:
                    node.call("eth_call", {"data": "0x5b600160005260206000205b60015056", "gas": hex(50_000_000)}, "latest")
                    node.call("eth_call", {"data": "0x5b5f56", "gas": hex(50_000_000)}, "latest")
                except (RpcFailure, URLError, OSError):
                    pass

        threads = [threading.Thread(target=spin) for _ in range(6)]
        for thread in threads:
            thread.start()
        waited = []
        for nonce in range(10):
            started = time.monotonic()
            sent = node.call("eth_sendRawTransaction", transfer(node, nonce))
            assert node.call("eth_getTransactionReceipt", sent)["status"] == "0x1"
            waited.append(time.monotonic() - started)
        is_over.set()
        node.kill()
        for thread in threads:
            thread.join()
        # far above what it takes, far below the seconds that one of those calls runs
        assert sorted(waited)[len(waited) // 2] < 3, waited


def test_what_a_client_was_told_survives_kill_minus_nine(tmp_path: Path) -> None:
    """Killed while it mines, five times over: every transaction whose answer came is there, and the state fits."""
    home = tmp_path / "home with space"
    nonce = 0
    told: list[str] = []
    for _ in range(5):
        with DevnetProcess(tmp_path, "--home", str(home)) as node:
            for sent in told:
                assert node.call("eth_getTransactionReceipt", sent)["status"] == "0x1"
            nonce = int(node.call("eth_getTransactionCount", node.accounts[0]["address"], "latest"), 16)
            assert nonce >= len(told)
            killer = threading.Timer(0.25, node.process.kill)
            killer.start()
            try:
                while True:
                    told.append(node.call("eth_sendRawTransaction", transfer(node, nonce)))
                    nonce += 1
            except (OSError, URLError, json.JSONDecodeError):
                pass
            killer.join()
    assert len(told) > 5
    result = subprocess.run(
        [sys.executable, "-m", "dmchain", "db", "verify", "--home", str(home), "--execute", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["ok"] is True


def test_a_second_node_on_one_home_is_refused(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with DevnetProcess(tmp_path, "--home", str(home)) as node:
        second = subprocess.run(
            [sys.executable, "-m", "dmchain", "devnet", "--port", "0", "--home", str(home)],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert second.returncode == 1
        assert str(node.process.pid) in second.stderr
        assert "Traceback" not in second.stderr
        assert node.call("eth_blockNumber") == "0x0"


def test_a_port_in_use_is_one_clear_error(tmp_path: Path) -> None:
    with DevnetProcess(tmp_path) as node:
        port = node.url.rsplit(":", 1)[1]
        second = subprocess.run(
            [sys.executable, "-m", "dmchain", "devnet", "--port", port],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert second.returncode == 1
        assert port in second.stderr
        assert "hint:" in second.stderr
        assert "Traceback" not in second.stderr


def test_a_database_of_another_schema_is_refused(tmp_path: Path) -> None:
    import plyvel

    home = tmp_path / "home"
    with DevnetProcess(tmp_path, "--home", str(home)) as node:
        node.stop()
    with plyvel.DB(str(home / "data")) as database:
        database.put(b"mversion", (99).to_bytes(4, "big"))
    second = subprocess.run(
        [sys.executable, "-m", "dmchain", "devnet", "--port", "0", "--home", str(home)],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert second.returncode == 1
    assert "got version 99, expected 1" in second.stderr
