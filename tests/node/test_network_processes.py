"""Real validators: processes, sockets, files, kill -9."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dmchain.chain.primitives.transaction import DYNAMIC_FEE, UnsignedTransaction, sign_transaction
from dmchain.node.keystore import devnet_keys

GWEI = 10**9
VALIDATORS = 4
CHAOS_SECONDS = float(os.environ.get("CHAOS_SECONDS", "12"))
"""CHAOS_SECONDS=300 is the long run."""


class Validator:
    """One `dmchain node` process that can be killed and started again."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.ready = home / "ready.json"
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def start(self, *options: str) -> None:
        self.ready.unlink(missing_ok=True)
        with (self.home / "log.txt").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "dmchain", "node", "--home", str(self.home), "--ready-file", str(self.ready),
                 *options],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        deadline = time.monotonic() + 40
        while not self.ready.exists():
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)
        self.url = json.loads(self.ready.read_text())["rpc"]

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def log(self) -> str:
        return (self.home / "log.txt").read_text()[-4000:]

    def call(self, method: str, *params: Any) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=20) as answer:
            document = json.loads(answer.read())
        assert "error" not in document, document["error"]
        return document["result"]

    def height(self) -> int:
        return int(self.call("eth_blockNumber"), 16)


@pytest.fixture
def network(tmp_path: Path) -> Iterator[list[Validator]]:
    made = subprocess.run(
        [sys.executable, "-m", "dmchain", "testnet", "--validators", str(VALIDATORS), "--output", str(tmp_path),
         "--light", "--rpc-port", "0", "--p2p-port", "0"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    validators = [Validator(tmp_path / f"validator-{number}") for number in range(VALIDATORS)]
    try:
        yield validators
    finally:
        for validator in validators:
            validator.kill()


def transfer(account: int, nonce: int, value: int = 1) -> str:
    key = devnet_keys(10)[account]
    unsigned = UnsignedTransaction(DYNAMIC_FEE, 1337, nonce, 21_000, 10 * GWEI, GWEI, b"\x77" * 20, value)
    return "0x" + sign_transaction(unsigned, key).raw.hex()


def wait_for(condition: Any, seconds: float = 60.0, what: str = "") -> Any:
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def wait_until_mined(validator: Validator, sent: str) -> Any:
    return wait_for(lambda: validator.call("eth_getTransactionReceipt", sent), what=validator.log())


def agree(validators: list[Validator]) -> None:
    """Every height that two nodes have is the same block."""
    lowest = min(validator.height() for validator in validators)
    for height in range(lowest + 1):
        hashes = {validator.call("eth_getBlockByNumber", hex(height), False)["hash"] for validator in validators}
        assert len(hashes) == 1, f"height {height}: {hashes}"


def test_four_validators_agree_and_one_may_be_away(network: list[Validator]) -> None:
    for validator in network:
        validator.start()
    sent = network[0].call("eth_sendRawTransaction", transfer(0, 0))
    for validator in network:
        receipt = wait_until_mined(validator, sent)
        assert receipt["status"] == "0x1"
    network[3].kill()
    sent = network[1].call("eth_sendRawTransaction", transfer(0, 1))
    wait_for(lambda: network[2].call("eth_getTransactionReceipt", sent), what=network[2].log())
    network[3].start()
    wait_for(lambda: network[3].call("eth_getTransactionReceipt", sent), what=network[3].log())
    agree(network)


def test_a_late_joiner_catches_up_by_block_sync(network: list[Validator]) -> None:
    for validator in network[:3]:
        validator.start()
    for nonce in range(25):
        sent = network[nonce % 3].call("eth_sendRawTransaction", transfer(1, nonce))
        wait_until_mined(network[0], sent)
    network[3].start()
    wait_until_mined(network[3], sent)
    agree(network)


def test_a_lost_journal_is_refused_and_then_observed(network: list[Validator]) -> None:
    for validator in network:
        validator.start()
    sent = network[0].call("eth_sendRawTransaction", transfer(2, 0))
    wait_for(lambda: network[3].call("eth_getTransactionReceipt", sent), what=network[3].log())
    network[3].kill()
    journal = network[3].home / "keys" / "sign.journal"
    journal.unlink()
    refused = subprocess.run(
        [sys.executable, "-m", "dmchain", "node", "--home", str(network[3].home)],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert refused.returncode == 1
    assert "--journal-lost" in refused.stderr
    network[3].start("--journal-lost")
    for nonce in range(1, 8):
        sent = network[0].call("eth_sendRawTransaction", transfer(2, nonce))
        wait_until_mined(network[3], sent)
    wait_for(lambda: "signing again from height" in network[3].log(), what=network[3].log())


def test_killed_one_after_another_under_load_nothing_is_lost(network: list[Validator]) -> None:
    """kill -9 and restart in turn: no height disagrees, every accepted transaction is mined once, same state root."""
    for validator in network:
        validator.start()
    accepted: list[str] = []
    nonces = [0] * 10
    deadline = time.monotonic() + CHAOS_SECONDS
    victim, killed_at = 0, time.monotonic()
    while time.monotonic() < deadline:
        account = len(accepted) % 10
        target = network[(victim + 1 + len(accepted) % 3) % VALIDATORS]
        accepted.append(target.call("eth_sendRawTransaction", transfer(account, nonces[account])))
        nonces[account] += 1
        if time.monotonic() - killed_at > 4:
            process = network[victim].process
            assert process is not None
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                network[victim].start()
            victim = (victim + 1) % VALIDATORS
            killed_at = time.monotonic()
        time.sleep(0.03)
    for validator in network:
        for sent in accepted:
            wait_until_mined(validator, sent)
    agree(network)
    heights = [validator.height() for validator in network]
    common = hex(min(heights))
    roots = {validator.call("eth_getBlockByNumber", common, False)["stateRoot"] for validator in network}
    assert len(roots) == 1
    mined = [
        sent
        for height in range(min(heights) + 1)
        for sent in network[0].call("eth_getBlockByNumber", hex(height), False)["transactions"]
    ]
    assert len(mined) == len(set(mined))
    assert set(accepted) <= set(mined)
    assert "Traceback" not in "".join(validator.log() for validator in network)
