"""The fixtures that the package brings to projects of others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dmchain.testing import DevnetFailed, open_devnet

PROJECT = '''
import hashlib

def register(dmchain):
    registry = dmchain.contract("ICidRegistry")
    cid = bytes.fromhex("01551220") + hashlib.sha256(b"data").digest()
    sent = registry.functions.registerCid(cid, b"", [], 4).transact({"from": dmchain.accounts[0]["address"]})
    assert dmchain.web3.eth.wait_for_transaction_receipt(sent)["status"] == 1
    return registry.functions.isRegistered(dmchain.web3.keccak(cid)).call()

def test_first(dmchain):
    assert register(dmchain)

def test_the_market_is_there(dmchain):
    assert dmchain.contract("TestUSD").functions.symbol().call() == "tUSD"

def test_second_finds_the_chain_as_it_was(dmchain):
    assert dmchain.call("eth_blockNumber") == "0x0"
    assert register(dmchain)
'''


def test_a_project_of_others_needs_no_set_up(tmp_path: Path) -> None:
    (tmp_path / "test_market.py").write_text(PROJECT)
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "3 passed" in result.stdout


def test_a_devnet_that_does_not_start_says_why() -> None:
    with pytest.raises(DevnetFailed, match="accounts"), open_devnet("--accounts", "0"):
        pass
