"""Starting and stopping a node as a real process, and speaking plain JSON-RPC to it."""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from tests.clients.toolchain import REPOSITORY, foundry_binary

# Hardhat's and anvil's test mnemonic, which `dmchain devnet` uses too.
TEST_MNEMONIC = "test test test test test test test test test test test junk"
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0


class RpcError(Exception):
    """An error object in a JSON-RPC answer."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(f"{error.get('code')}: {error.get('message')}")
        self.code: int = error.get("code", 0)
        self.message: str = error.get("message", "")
        self.data: Any = error.get("data")


@dataclass(frozen=True, slots=True)
class Account:
    address: str
    private_key: str


@dataclass(frozen=True, slots=True)
class Node:
    """A running node that answers."""

    kind: str
    rpc: str
    ws: str
    chain_id: int
    accounts: tuple[Account, ...]
    contracts: dict[str, Any]
    pid: int
    _ids: Iterator[int] = field(default_factory=itertools.count)

    def post(self, payload: Any, timeout_s: float = 60.0) -> Any:
        """POST any JSON value and return the decoded answer, whatever it is."""
        request = urllib.request.Request(self.rpc, json.dumps(payload).encode(), {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=timeout_s) as response:
            return json.loads(response.read())

    def call(self, method: str, *params: Any) -> Any:
        """One request; returns its result, raises RpcError."""
        answer = self.post({"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": list(params)})
        if "error" in answer:
            raise RpcError(answer["error"])
        return answer["result"]

    def wait_for_receipt(self, tx_hash: str, timeout_s: float = 20.0) -> dict[str, Any]:
        """Poll for a receipt until the deadline; raises AssertionError after it."""
        receipt: dict[str, Any] | None = poll(
            lambda: self.call("eth_getTransactionReceipt", tx_hash), f"receipt of {tx_hash}", timeout_s
        )
        assert receipt is not None
        return receipt


def poll(ask: Any, what: str, timeout_s: float = 20.0, interval_s: float = 0.02) -> Any:
    """Ask again until the answer is true; raises AssertionError naming ``what`` after the deadline."""
    deadline = time.monotonic() + timeout_s
    while True:
        answer = ask()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"no {what} within {timeout_s} s"
        time.sleep(interval_s)


@contextlib.contextmanager
def running_devnet(*arguments: str) -> Iterator[Node]:
    """``dmchain devnet`` on a free port, as its user would start it."""
    with tempfile.TemporaryDirectory(prefix="dmchain-devnet-") as folder:
        ready, log = Path(folder) / "ready.json", Path(folder) / "log"
        command = [
            sys.executable,
            "-m",
            "dmchain",
            "devnet",
            "--port",
            "0",
            "--home",
            str(Path(folder) / "home"),
            "--ready-file",
            str(ready),
            *arguments,
        ]
        with log.open("wb") as sink, _process(command, stdout=sink, stderr=sink) as process:

            def is_ready() -> bool:
                assert process.poll() is None, f"devnet ended with {process.returncode}:\n{log.read_text()[-800:]}"
                return ready.exists()

            poll(is_ready, "ready file", START_TIMEOUT_S)
            told = json.loads(ready.read_text())
            yield Node(
                kind="dmchain",
                rpc=told["rpc"],
                ws=told["ws"],
                chain_id=int(told["chainId"]),
                accounts=tuple(Account(a["address"], a["privateKey"]) for a in told["accounts"]),
                contracts=told.get("contracts", {}),
                pid=told["pid"],
            )


@contextlib.contextmanager
def running_anvil(*arguments: str) -> Iterator[Node]:
    """anvil from npm on a free port, with the chain id and the accounts of our devnet."""
    from eth_account import Account as EthAccount

    command = [
        str(foundry_binary(REPOSITORY / "bench", "anvil")),
        "--port",
        "0",
        "--chain-id",
        "1337",
        "--mnemonic",
        TEST_MNEMONIC,
        *arguments,
    ]
    EthAccount.enable_unaudited_hdwallet_features()
    keys = [EthAccount.from_mnemonic(TEST_MNEMONIC, account_path=f"m/44'/60'/0'/0/{i}") for i in range(10)]
    with _process(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        port = _read_until(process.stdout, b"Listening on ").rpartition(b":")[2].decode().strip()
        threading.Thread(target=_drain, args=(process.stdout,), daemon=True).start()
        yield Node(
            kind="anvil",
            rpc=f"http://127.0.0.1:{port}",
            ws=f"ws://127.0.0.1:{port}",
            chain_id=1337,
            accounts=tuple(Account(k.address, "0x" + bytes(k.key).hex()) for k in keys),
            contracts={},
            pid=process.pid,
        )


@contextlib.contextmanager
def _process(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A child that is asked to stop at the end, and killed when it does not."""
    with subprocess.Popen(command, cwd=REPOSITORY, **options) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _read_until(stream: IO[bytes], prefix: bytes) -> bytes:
    for line in stream:
        if line.startswith(prefix):
            return line
    raise AssertionError(f"the process ended before it printed {prefix!r}")


def _drain(stream: IO[bytes]) -> None:
    for _ in stream:
        pass
