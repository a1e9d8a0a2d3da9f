"""Networks of validators: the SDK waits for their blocks, and a licence is verified without believing the node."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from dmchain.market import Market, cids, one_time, private_key
from dmchain.testing import Devnet, open_devnet


@pytest.fixture(scope="module")
def network() -> Iterator[Devnet]:
    with open_devnet("--validators", "2") as devnet:
        yield devnet


def verify(network: Devnet, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dmchain", "market", "verify", *arguments, "--rpc", network.url, "--json"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_licence_bought_on_a_network_is_proved_to_who_trusts_its_validators(network: Devnet) -> None:
    provider, consumer = (Market(network.url, private_key(network.accounts[at]["privateKey"])) for at in (1, 2))
    cid = cids.of_content(b"data")
    listing = provider.publish(cid, spdx="MIT", offers=[one_time("25 USD")], commit_first=True)
    consumer.buy(listing.offer_ids[0])
    assert consumer.verify(cid).is_valid

    height = network.call("eth_blockNumber")
    trust = f"{int(height, 16)}:{network.call('dm_getValidators', height)['hash']}"
    proved = verify(network, cid, consumer.address(), "--trust", trust)
    assert proved.returncode == 0, proved.stderr
    facts = json.loads(proved.stdout)
    assert facts["valid"] and facts["datasetId"] == listing.dataset_id and facts["signers"] == 2

    refused = verify(network, cid, provider.address(), "--trust", trust)
    assert refused.returncode == 1 and not json.loads(refused.stdout)["valid"]
    assert "holds no valid licence" in refused.stderr

    another = f"{int(height, 16)}:0x{'11' * 32}"
    assert "error:" in verify(network, cid, consumer.address(), "--trust", another).stderr
