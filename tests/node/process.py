"""A real devnet process for tests: started, asked over JSON-RPC, stopped or killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

START_SECONDS = 30
STOPS_WITHIN_S = 10
"""A node that waits for a client or a call to end takes longer. How fast it is on a quiet machine, bench/startup.py says."""


class RpcFailure(Exception):
    """The node answered with an error object."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error["message"])
        self.code = error["code"]
        self.data = error.get("data")


class DevnetProcess:
    """`dmchain devnet` as a user runs it."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.ready_file = folder / f"ready-{time.monotonic_ns()}.json"
        self.log = folder / "log.txt"
        command = [sys.executable, "-m", "dmchain", "devnet", "--port", "0", "--ready-file", str(self.ready_file)]
        self._output = self.log.open("ab")
        self.process = subprocess.Popen(
            [*command, *options], stdout=self._output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        )
        self.facts = self._wait()
        self.url: str = self.facts["rpc"]
        self.accounts: list[dict[str, str]] = self.facts["accounts"]

    def _wait(self) -> dict[str, Any]:
        deadline = time.monotonic() + START_SECONDS
        while not self.ready_file.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                raise AssertionError(f"the devnet did not start: {self.log.read_text()}")
            time.sleep(0.02)
        facts: dict[str, Any] = json.loads(self.ready_file.read_text())
        return facts

    def call(self, method: str, *params: Any) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            document = json.loads(answer.read())
        if "error" in document:
            raise RpcFailure(document["error"])
        return document["result"]

    def kill(self) -> None:
        """As a power cut of the process: SIGKILL."""
        self.process.kill()
        self.process.wait()
        self._output.close()

    def stop(self, number: int = signal.SIGINT) -> tuple[int, float]:
        """Ask it to stop; returns exit status and seconds it took."""
        started = time.monotonic()
        os.kill(self.process.pid, number)
        status = self.process.wait(timeout=20)
        self._output.close()
        return status, time.monotonic() - started

    def __enter__(self) -> DevnetProcess:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.process.poll() is None:
            self.kill()
