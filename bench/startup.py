"""From starting the program to its first answer: `dmchain devnet` and anvil, in turns.

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


def time_start(command: list[str], port: int) -> float:
    """Seconds until the first answer; the process is stopped afterwards."""
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            while not ask(port):
                assert process.poll() is None, f"{command[0]} ended with {process.returncode}"
                assert time.perf_counter() - started < DEADLINE_S, f"{command[0]}: no answer in {DEADLINE_S} s"
                time.sleep(ASK_S)
            return time.perf_counter() - started
        finally:
            process.terminate()
            process.wait()


def start_dmchain() -> float:
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="dmchain-startup-") as home:
        return time_start([*DMCHAIN, "devnet", "--port", str(port), "--home", f"{home}/home"], port)


def start_anvil() -> float:
    port = free_port()
    return time_start([str(foundry_binary(REPOSITORY / "bench", "anvil")), "--port", str(port)], port)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="3 starts instead of 10")
    starts: dict[str, Callable[[], float]] = {"dmchain devnet": start_dmchain, "anvil": start_anvil}
    seconds: dict[str, list[float]] = {name: [] for name in starts}
    for _ in range(3 if parser.parse_args().quick else 10):
        for name, start in starts.items():
            seconds[name].append(start())
    for name, found in seconds.items():
        print(f"{name:16}  median {statistics.median(found):6.3f} s  min {min(found):6.3f} s  ({len(found)} starts)")


if __name__ == "__main__":
    main()
