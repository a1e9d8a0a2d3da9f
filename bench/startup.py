"""From starting the program to its first answer, and from SIGTERM to its end: `dmchain devnet` and anvil, in turns.

    python bench/startup.py [--quick]

The clock runs from spawning the process until `eth_chainId` is answered. A node's port is asked for every 5 ms.
"""

# ruff: noqa: E402  (the imports need the checkout on sys.path)

from __future__ import annotations

import argparse
import http.client
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from tests.clients.toolchain import foundry_binary

PROGRAM = Path(sys.executable).parent / "dmchain"
DMCHAIN = [str(PROGRAM)] if PROGRAM.exists() else [sys.executable, "-m", "dmchain"]
DEADLINE_S = 60.0
ASK_S = 0.005
QUESTION = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []})


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def ask(port: int) -> bool:
    """True when the node answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("POST", "/", QUESTION, {"content-type": "application/json"})
        return "result" in json.loads(connection.getresponse().read())
    except (ConnectionError, OSError):
        return False
    finally:
        connection.close()


def time_run(command: list[str], port: int) -> tuple[float, float]:
    """Seconds until the first answer, and seconds that stopping takes."""
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            while not ask(port):
                assert process.poll() is None, f"{command[0]} ended with {process.returncode}"
                assert time.perf_counter() - started < DEADLINE_S, f"{command[0]}: no answer in {DEADLINE_S} s"
                time.sleep(ASK_S)
            answered = time.perf_counter()
            process.terminate()
            process.wait()
            return answered - started, time.perf_counter() - answered
        finally:
            process.kill()


def run_dmchain() -> tuple[float, float]:
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="dmchain-startup-") as home:
        return time_run([*DMCHAIN, "devnet", "--port", str(port), "--home", f"{home}/home"], port)


def run_anvil() -> tuple[float, float]:
    port = free_port()
    return time_run([str(foundry_binary(REPOSITORY / "bench", "anvil")), "--port", str(port)], port)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="3 starts instead of 10")
    runs: dict[str, Callable[[], tuple[float, float]]] = {"dmchain devnet": run_dmchain, "anvil": run_anvil}
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for _ in range(3 if parser.parse_args().quick else 10):
        for name, run in runs.items():
            seconds[name].append(run())
    for name, found in seconds.items():
        starts, stops = zip(*found, strict=True)
        print(
            f"{name:16}  start: median {statistics.median(starts):6.3f} s  min {min(starts):6.3f} s"
            f"   stop: median {statistics.median(stops):6.3f} s  max {max(stops):6.3f} s  ({len(found)} runs)"
        )


if __name__ == "__main__":
    main()
