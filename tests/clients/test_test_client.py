"""What test suites do to a devnet, through viem's test client: snapshots, time, mining, state by decree."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.clients.nodes import Node
from tests.clients.toolchain import CLIENTS, Contract, find_node

SOMEONE = "0x" + "5a" * 20
MINER = "0x" + "cb" * 20


@pytest.mark.parametrize("mode", ["hardhat", "anvil"])
def test_viem_test_client(spare_node: Node, npm: object, probe: Contract, mode: str) -> None:
    arguments = {
        "rpc": spare_node.rpc,
        "ws": spare_node.ws,
        "chainId": spare_node.chain_id,
        "mode": mode,
        "privateKey": spare_node.accounts[0].private_key,
        "someone": SOMEONE,
        "miner": MINER,
        "codeAt": "0x" + "c0de" * 10,
        "probe": probe.as_json(),
    }
    done = subprocess.run(
        [find_node(), "js/viem_test_client.mjs"],
        cwd=CLIENTS,
        input=json.dumps(arguments),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    told = json.loads(done.stdout)
    assert 5000 <= int(told.pop("increase")) <= 5010  # and the seconds that went by
    assert told == {
        "revert": ["5", "0"],
        "balance": str(3 * 10**18),
        "nonce": 9,
        "code": "0x" + "2a".rjust(64, "0"),
        "storage": "0x" + "7".rjust(64, "0"),
        "mined": "5",
        "interval": "7",
        "jump": "1000",
        "baseFee": "123456789",
        "coinbase": MINER,
        "impersonated": SOMEONE,
        "waiting": "waiting",
        "dropped": "gone",
        "automine": "success",
        "contract": 42,
    }
