"""`dmchain devnet --validators N`: real processes from one command, and none left behind."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.node.process import STOPS_WITHIN_S, DevnetProcess, RpcFailure

ETHER = 10**18


def is_running(pid: int) -> bool:
    """Whether a process lives; a zombie, whose parent has not looked yet, does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:  # no /proc on this system, or gone in the meantime
        return Path("/proc").is_dir() is False
    return state != "Z"


def wait_for(condition: object, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def dmchain(*arguments: str) -> str:
    """Run a command that is expected to succeed; what it printed."""
    done = run(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dmchain", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def pids(node: DevnetProcess) -> list[int]:
    return [validator["pid"] for validator in node.facts["validators"]]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevnetProcess]:
    with DevnetProcess(tmp_path_factory.mktemp("network"), "--validators", "3", "--metrics") as node:
        yield node
        node.stop()
        assert not Path(node.facts["validators"][0]["home"]).exists()


def test_every_validator_is_a_process_that_answers(network: DevnetProcess) -> None:
    validators = network.facts["validators"]
    assert len(validators) == len({each["address"] for each in validators}) == len(set(pids(network))) == 3
    assert network.url == validators[0]["rpc"]
    assert all(is_running(pid) for pid in pids(network))
    assert all((Path(each["home"]) / "config.toml").exists() for each in validators)
    log = network.log.read_text()
    assert all(f"({number}) {each['address']}  {each['rpc']}" in log for number, each in enumerate(validators))


def test_web3_sends_from_an_unlocked_account_and_all_agree(network: DevnetProcess) -> None:
    from web3 import HTTPProvider, Web3

    clients = [Web3(HTTPProvider(each["rpc"])) for each in network.facts["validators"]]
    first = clients[0]
    assert first.eth.accounts == [account["address"] for account in network.accounts]
    value = {"from": first.eth.accounts[0], "to": "0x" + "42" * 20, "value": ETHER}
    sent = clients[1].eth.send_transaction(value)
    for client in clients:
        receipt = client.eth.wait_for_transaction_receipt(sent, timeout=20, poll_latency=0.02)
        assert receipt["status"] == 1
        assert client.eth.get_block(receipt["blockNumber"])["hash"] == receipt["blockHash"]
        assert client.eth.get_balance("0x" + "42" * 20) >= ETHER


def test_status_shows_peers_round_and_the_validator_set(network: DevnetProcess) -> None:
    wait_for(lambda: network.call("dm_nodeInfo")["peerCount"] == "0x2")
    info = network.call("dm_nodeInfo")
    consensus = info["consensus"]
    shown = dmchain("status", "--rpc", network.url)
    assert info["role"] == "validator" and consensus["signing"]
    own = network.facts["validators"][0]
    assert consensus["address"] == own["address"].lower()
    assert {each["operator"] for each in consensus["validators"]} == {
        each["operator"].lower() for each in network.facts["validators"]
    }
    assert all(each["connected"] for each in consensus["validators"])
    assert len({each["nodeId"] for each in info["peers"]}) == 2
    lines = {" ".join(line.split()) for line in shown.splitlines()}
    assert {"role validator, signs", "peers 2", "validators 3", "health well"} <= lines
    assert f"{own['address']} {own['operator']} 33.3 % this node" in {line.removesuffix(", proposes") for line in lines}


def test_metrics_of_every_node_can_be_scraped(network: DevnetProcess) -> None:
    network.call("txpool_status")
    for place, each in enumerate(network.facts["validators"]):
        with urllib.request.urlopen(each["metrics"], timeout=10) as answer:
            assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
            values = parse_metrics(answer.read().decode())
        assert values["dmchain_validators"] == 3
        assert values["dmchain_consensus_signing"] == 1
        assert values['dmchain_peers{direction="in"}'] + values['dmchain_peers{direction="out"}'] == 2
        assert values["dmchain_head_height"] >= 0
        written = values["dmchain_journal_write_seconds_count"]
        assert values['dmchain_journal_write_seconds_bucket{le="+Inf"}'] == written
        assert (values.get('dmchain_rpc_calls_total{method="txpool_status"}', 0) >= 1) == (place == 0)


def parse_metrics(text: str) -> dict[str, float]:
    """Every line is a comment or `name{label="value",…} number`."""
    values = {}
    for line in text.splitlines():
        if line.startswith(("# HELP ", "# TYPE ")):
            continue
        found = re.fullmatch(r'([a-z_]+(?:\{[a-z]+="[^"]*"(?:,[a-z_]+="[^"]*")*\})?) ([-+0-9.e]+)', line)
        assert found, line
        assert found[1] not in values, line
        values[found[1]] = float(found[2])
    return values


def test_stake_moves_by_command_and_reasons_are_told(network: DevnetProcess) -> None:
    operator, delegator = network.facts["validators"][1]["operator"], network.accounts[3]["address"]
    sender = ("--rpc", network.url, "--json", "--devnet-account", "3")
    view = ("--rpc", network.url, "--json")
    bonded = json.loads(dmchain("stake", "delegate", operator, "500dm", *sender))
    assert [event["event"] for event in bonded["events"]] == ["Delegated"]
    assert json.loads(dmchain("stake", "delegation", operator, delegator, *view))["stake"] == str(500 * ETHER)
    dmchain("stake", "undelegate", operator, "200dm", *sender)
    found = json.loads(dmchain("stake", "delegations", delegator, *view))
    assert [each["stake"] for each in found["delegations"]] == [str(300 * ETHER)]
    assert [(each["validator"], each["amount"]) for each in found["unbondings"]] == [(operator, str(200 * ETHER))]
    validators = json.loads(dmchain("stake", "validators", *view))
    assert validators[0]["operator"] == operator and validators[0]["inSet"]
    refused = run("stake", "undelegate", operator, "301dm", *sender)
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: staking: InsufficientStake: stake 300, needed 301\nhint: ")


def test_an_account_becomes_a_validator_by_command(network: DevnetProcess, tmp_path: Path) -> None:
    home = tmp_path / "home"
    genesis = Path(network.facts["validators"][0]["home"]) / "genesis.json"
    dmchain("init", "--home", str(home), "--genesis", str(genesis), "--validator")
    dmchain(
        "stake", "register", "--home", str(home), "--amount", "2000dm", "--commission", "2.5%",
        "--rpc", network.url, "--devnet-account", "4",
    )  # fmt: skip
    operator = network.accounts[4]["address"]
    found = json.loads(dmchain("stake", "validator", operator, "--rpc", network.url, "--json"))
    key_file = home / tomllib.loads((home / "config.toml").read_text())["validator"]["key_file"]
    assert found["consensus"].lower() == "0x" + key_file.stem
    assert (found["commissionBps"], found["status"]) == (250, "active")
    assert (home / "keys" / "sign.journal").exists()
    assert found["seated"] and not found["inSet"]  # from the next epoch on


def test_time_and_state_are_nobodys_to_set(network: DevnetProcess) -> None:
    for method, *params in (("evm_mine",), ("hardhat_setBalance", "0x" + "42" * 20, "0x1"), ("evm_increaseTime", 5)):
        with pytest.raises(RpcFailure) as failure:
            network.call(method, *params)
        assert failure.value.code == -32601


def test_killed_stopped_or_failing_it_leaves_no_process_behind(tmp_path: Path) -> None:
    """kill -9 of the parent, the same home again, Ctrl-C, and again with a port that is taken: one home throughout."""
    options = ("--validators", "2", "--home", str(tmp_path / "home"))
    with DevnetProcess(tmp_path, *options) as node:
        sent = node.call("eth_sendTransaction", {"from": node.accounts[0]["address"], "to": "0x" + "42" * 20})
        wait_for(lambda: node.call("eth_getTransactionReceipt", sent))
        children = pids(node)
        node.kill()
        wait_for(lambda: not any(is_running(pid) for pid in children), 5)
    with DevnetProcess(tmp_path, *options) as node:
        assert node.call("eth_getTransactionReceipt", sent)["status"] == "0x1"
        children = pids(node)
        status, seconds = node.stop()
        assert status == 0
        assert seconds < STOPS_WITHIN_S
        assert not any(is_running(pid) for pid in children)
        assert "Traceback" not in node.log.read_text()
    config = tomllib.loads((tmp_path / "home" / "validator-1" / "config.toml").read_text())
    port = int(config["p2p"]["listen"].rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)), pytest.raises(AssertionError) as failure:
        DevnetProcess(tmp_path, *options)
    assert re.search(
        r"error: validator-1 \(process \d+\) has ended with status 1: the network is stopped", str(failure.value)
    )
    assert f"cannot listen on 127.0.0.1:0 or 127.0.0.1:{port}" in str(failure.value)


def test_a_home_of_another_size_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home" / "validator-0").mkdir(parents=True)
    with pytest.raises(AssertionError, match=r"holds a devnet of 1 validators"):
        DevnetProcess(tmp_path, "--validators", "2", "--home", str(tmp_path / "home"))
