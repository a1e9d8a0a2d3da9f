"""Real nodes that make and serve snapshots, and one that begins with theirs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dmchain.chain.primitives.errors import DmchainError
from dmchain.node.config import load_config, render_config
from tests.node.test_network_processes import Validator, network, transfer, wait_for, wait_until_mined

__all__ = ["network"]


def configure(validator: Validator, **values: object) -> None:
    """Change settings of a home: `snapshots_every=5`."""
    path = validator.home / "config.toml"
    kept = dict(load_config(path, environment={}).values)
    kept.update({name.replace("_", ".", 1): value for name, value in values.items()})
    path.write_text(render_config(kept))


def test_a_fresh_node_begins_with_a_snapshot_and_goes_on_with_blocks(network: list[Validator]) -> None:
    *makers, newcomer = network
    for validator in makers:
        configure(validator, snapshots_every=5)
        validator.start()
    send(makers, 0, 3)
    # there is none yet: blocks are synced instead
    newcomer.start("--sync", "snapshot")
    wait_until_mined(newcomer, send(makers, 3, 4))
    assert "syncing blocks instead" in newcomer.log()
    newcomer.kill()
    shutil.rmtree(newcomer.home / "data")

    sent = send(makers, 4, 12)
    for validator in makers:
        wait_for(lambda place=validator.home: list((place / "snapshots").glob("[1-9]*/manifest")), what=validator.log())  # type: ignore[misc]
    configure(newcomer, sync_snapshot_gain=1)
    newcomer.start("--sync", "snapshot")
    wait_until_mined(newcomer, sent)
    assert "restored the snapshot of block" in newcomer.log()
    assert "verified the header of block" in newcomer.log()
    # it takes part, though it lacks what was before
    sent = newcomer.call("eth_sendRawTransaction", transfer(3, 12))
    for validator in network:
        wait_until_mined(validator, sent)
    for method, block in (("eth_getBlockByNumber", "0x1"), ("eth_getBlockReceipts", "0x2")):
        with pytest.raises(AssertionError, match=r"4444.*pruned history unavailable"):
            newcomer.call(method, block, *([True] if method == "eth_getBlockByNumber" else []))
    assert newcomer.call("eth_getBlockByNumber", "0x0", True)["number"] == "0x0"
    fees = newcomer.call("eth_feeHistory", "0x400", "latest", [50])
    assert int(fees["oldestBlock"], 16) >= 5
    assert newcomer.call("eth_syncing") is False
    oldest = int(newcomer.call("eth_capabilities")["blocks"]["oldestBlock"], 16)
    assert oldest in (5, 10)
    agree_from(network, oldest)
    # a database is there: another start begins with it
    newcomer.kill()
    newcomer.start("--sync", "snapshot")
    assert newcomer.height() >= 12
    # and others can sync from it what it has
    makers[0].kill()
    sent = newcomer.call("eth_sendRawTransaction", transfer(3, 13))
    wait_until_mined(newcomer, sent)
    makers[0].start()
    wait_until_mined(makers[0], sent)
    agree_from(network, oldest)
    assert "Traceback" not in "".join(validator.log() for validator in network)


def send(validators: list[Validator], first: int, last: int) -> str:
    """Transfers in a block each; return the last one's hash."""
    sent = ""
    for nonce in range(first, last):
        sent = validators[nonce % len(validators)].call("eth_sendRawTransaction", transfer(3, nonce))
        wait_until_mined(validators[0], sent)
    return sent


def agree_from(validators: list[Validator], oldest: int) -> None:
    for height in range(oldest, min(validator.height() for validator in validators) + 1):
        hashes = {validator.call("eth_getBlockByNumber", hex(height), False)["hash"] for validator in validators}
        assert len(hashes) == 1, f"height {height}: {hashes}"


def test_what_is_trusted_must_be_a_height_and_a_hash(tmp_path: Path) -> None:
    for trust in ("12", "12:0x34", "x:0x" + "0" * 64, "-1:0x" + "0" * 64):
        with pytest.raises(DmchainError, match="HEIGHT:0xHASH"):
            load_config(None, environment={"DMCHAIN_SYNC_TRUST": trust})
    assert load_config(None, environment={"DMCHAIN_SYNC_TRUST": "12:0x" + "ab" * 32})["sync.trust"].startswith("12:")
