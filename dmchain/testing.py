"""Development networks for tests: a context manager, and fixtures that pytest finds by itself.

    def test_market(dmchain):
        registry = dmchain.contract("ICidRegistry")
        ...

`dmchain_devnet` is one devnet for the whole session; `dmchain` is the same, put back after each test.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dmchain.chain.primitives.errors import DmchainError

START_SECONDS = 60.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.02


class DevnetFailed(DmchainError):
    """The devnet did not start, or has ended."""


class RpcFailure(DmchainError):
    """The node answered with an error; `code` and `data` are JSON-RPC's."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(str(error.get("message")))
        self.code = error.get("code")
        self.data = error.get("data")


class Devnet:
    """A running `dmchain devnet`. `accounts` have `address` and `privateKey`; `contracts` addresses by name."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self.facts = facts
        self.url: str = facts["rpc"]
        self.websocket_url: str = facts["ws"]
        self.chain_id: int = facts["chainId"]
        self.accounts: list[dict[str, str]] = facts["accounts"]
        self.contracts: dict[str, str] = facts["contracts"]
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self._web3: Any = None

    def call(self, method: str, *params: Any) -> Any:
        """One JSON-RPC call; raises RpcFailure."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})
        with self._opener.open(request, timeout=60) as answer:
            document = json.loads(answer.read())
        if "error" in document:
            raise RpcFailure(document["error"])
        return document["result"]

    @property
    def web3(self) -> Any:
        """A web3.py instance (needs the extra `market`)."""
        if self._web3 is None:
            from web3 import HTTPProvider, Web3

            self._web3 = Web3(HTTPProvider(self.url))
        return self._web3

    def contract(self, name: str) -> Any:
        """A contract of the market as a web3.py contract: `LicenseManager`, or a native one by its interface: `ICidRegistry`.

        Raises KeyError for a name that this devnet does not have.
        """
        from dmchain.marketplace_vm.artifacts import load_artifact

        artifact = load_artifact(name)
        address = artifact.get("address") or self.contracts[name]
        return self.web3.eth.contract(self.web3.to_checksum_address(address), abi=artifact["abi"])

    def snapshot(self) -> str:
        """Remember the chain as it is."""
        snapshot: str = self.call("evm_snapshot")
        return snapshot

    def revert(self, snapshot: str) -> None:
        """Put the chain back; raises RpcFailure when the snapshot is not known any more."""
        if not self.call("evm_revert", snapshot):
            raise RpcFailure({"message": f"snapshot {snapshot} is not known", "code": None})


@contextmanager
def open_devnet(*options: str) -> Iterator[Devnet]:
    """Run a devnet on a free port until the block is left; `options` are those of `dmchain devnet`.

    Raises DevnetFailed with what it printed when it does not start.
    """
    with tempfile.TemporaryDirectory(prefix="dmchain-test-") as folder:
        ready, log = Path(folder) / "ready.json", Path(folder) / "log.txt"
        command = [sys.executable, "-m", "dmchain", "devnet", "--port", "0", "--ready-file", str(ready), *options]
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + START_SECONDS
            while not ready.exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise DevnetFailed(f"the devnet did not start: {log.read_text()[-2000:]}")
                time.sleep(POLL_SECONDS)
            yield Devnet(json.loads(ready.read_text()))
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.kill(process.pid, signal.SIGINT)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def dmchain_devnet() -> Iterator[Devnet]:
    """One devnet for the whole session."""
    with open_devnet() as devnet:
        yield devnet


@pytest.fixture
def dmchain(dmchain_devnet: Devnet) -> Iterator[Devnet]:
    """The session's devnet, put back after the test."""
    snapshot = dmchain_devnet.snapshot()
    yield dmchain_devnet
    dmchain_devnet.revert(snapshot)
