"""A validator that joins a running network as people do it: init, node, stake register."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dmchain.node.testnet import free_ports
from tests.node.test_network_processes import Validator, transfer, wait_for

FOUNDERS = 2


def dmchain(*arguments: str | Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "dmchain", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def founders(tmp_path: Path) -> Iterator[list[Validator]]:
    """Two validators whose epochs last a second."""
    dmchain(
        "testnet", "--validators", str(FOUNDERS), "--output", tmp_path, "--light", "--rpc-port", "0", "--p2p-port", "0"
    )
    made = [Validator(tmp_path / f"validator-{number}") for number in range(FOUNDERS)]
    for validator in made:
        path = validator.home / "genesis.json"
        document = json.loads(path.read_text())
        document["dmchain"]["staking"] = {"epochSeconds": 1, "unbondingSeconds": 4_000}
        path.write_text(json.dumps(document))
    try:
        for validator in made:
            validator.start()
        yield made
    finally:
        for validator in made:
            validator.kill()


def edit(config: Path, **values: str) -> None:
    """Set the first line of each name."""
    text = config.read_text()
    for name, value in values.items():
        text, count = re.subn(rf"^{name} = .*$", f"{name} = {value}", text, count=1, flags=re.MULTILINE)
        assert count == 1, name
    config.write_text(text)


def test_a_validator_that_registers_later_is_known_to_all_and_reveals_like_all(
    founders: list[Validator], tmp_path: Path
) -> None:
    home = tmp_path / "newcomer"
    dmchain("init", "--home", home, "--genesis", founders[0].home / "genesis.json", "--validator")
    (port,) = free_ports(1)
    edit(home / "config.toml", port="0", listen=f'"127.0.0.1:{port}"')
    newcomer = Validator(home)
    try:
        newcomer.start()
        told = json.loads(
            dmchain("stake", "register", "--home", home, "--amount", "1000dm", "--devnet-account", "9", "--json",
                    "--rpc", newcomer.url)
        )  # fmt: skip
        assert [event["event"] for event in told["events"]] == ["ValidatorRegistered", "Delegated", "RandaoSet"]
        consensus = told["events"][0]["consensus"].lower()
        nonces = iter(range(1_000))

        def shown(validator: Validator) -> Any:
            validators = validator.call("dm_nodeInfo")["consensus"]["validators"]
            return next((each for each in validators if each["address"].lower() == consensus), None)

        def is_known() -> bool:
            founders[0].call("eth_sendRawTransaction", transfer(0, next(nonces)))  # epochs end with blocks
            return all((shown(validator) or {}).get("connected") is True for validator in founders)

        wait_for(is_known, 40, "known to everybody")
        wait_for(lambda: newcomer.call("dm_nodeInfo")["consensus"]["signing"], 20, newcomer.log())
    finally:
        newcomer.kill()
