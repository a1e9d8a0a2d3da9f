"""Fixtures for the client tests: one real node per session, client libraries installed from npm.

``DMCHAIN_CLIENT_TESTS_NODE=anvil`` runs the same tests against anvil, to tell a wrong test from a wrong node;
the tests of our own precompiles are skipped then.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from eth_account import Account as EthAccount
from eth_account.signers.local import LocalAccount
from web3 import HTTPProvider, Web3

from tests.clients import toolchain
from tests.clients.nodes import Node, running_anvil, running_devnet
from tests.clients.toolchain import CLIENTS, Contract, ToolchainUnavailable, compile_solidity, find_node, foundry_binary

SCRIPT_TIMEOUT_S = 60
PEER = os.environ.get("DMCHAIN_CLIENT_TESTS_NODE", "dmchain")


def _unavailable(reason: str) -> NoReturn:
    """Skip with one line on a developer's machine; fail where the tools are expected."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def npm() -> Path:
    """``node_modules`` with the client libraries."""
    try:
        return toolchain.install(CLIENTS)
    except ToolchainUnavailable as error:
        reason = str(error)
    _unavailable(reason)


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    """The node under test: a fresh devnet of one validator, blocks on demand."""
    if PEER == "anvil":
        with running_anvil() as anvil:
            yield anvil
        return
    with running_devnet() as devnet:
        yield devnet


@pytest.fixture(scope="module")
def spare_node() -> Iterator[Node]:
    """A node of a module's own, for tests that turn its clock or take back its blocks."""
    with running_anvil() if PEER == "anvil" else running_devnet() as node:
        yield node


@pytest.fixture(scope="session")
def own_node(node: Node) -> Node:
    """The node under test, for what our chain has or promises beyond others."""
    if node.kind != "dmchain":
        pytest.skip(f"{node.kind} does not do this")
    return node


@pytest.fixture(scope="session")
def w3(node: Node) -> Web3:
    connection = Web3(HTTPProvider(node.rpc))
    connection.eth.account.enable_unaudited_hdwallet_features()
    return connection


@pytest.fixture
def new_account(node: Node, w3: Web3) -> Callable[..., LocalAccount]:
    """Makes accounts of a test's own, so that tests cannot disturb each other's nonces."""
    bank = w3.eth.account.from_key(node.accounts[0].private_key)

    def make(balance_wei: int = 10**19) -> LocalAccount:
        account: LocalAccount = EthAccount.create()
        if balance_wei:
            transaction = {
                "type": 2,
                "chainId": node.chain_id,
                "to": account.address,
                "value": balance_wei,
                "gas": 21000,
                "nonce": w3.eth.get_transaction_count(bank.address),
                "maxFeePerGas": 10**11,
                "maxPriorityFeePerGas": 1,
            }
            sent = w3.eth.send_raw_transaction(bank.sign_transaction(transaction).raw_transaction)
            assert w3.eth.wait_for_transaction_receipt(sent, timeout=20, poll_latency=0.02)["status"] == 1
        return account

    return make


@pytest.fixture
def account(new_account: Callable[..., LocalAccount]) -> LocalAccount:
    return new_account()


@pytest.fixture(scope="session")
def tokens(npm: Path) -> dict[str, Contract]:
    return compile_solidity(CLIENTS / "contracts" / "Tokens.sol")


@pytest.fixture(scope="session")
def probe(npm: Path) -> Contract:
    return compile_solidity(CLIENTS / "contracts" / "Probe.sol")["Probe"]


@pytest.fixture
def run_script(npm: Path, node: Node) -> Callable[..., Any]:
    """Runs ``js/<name>.mjs``: arguments as JSON on stdin, the result as JSON on stdout."""

    def run(name: str, **arguments: Any) -> Any:
        done = subprocess.run(
            [find_node(), str(CLIENTS / "js" / f"{name}.mjs")],
            cwd=CLIENTS,
            capture_output=True,
            text=True,
            input=json.dumps({"rpc": node.rpc, "ws": node.ws, "chainId": node.chain_id, **arguments}),
            timeout=SCRIPT_TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, f"{name}.mjs failed:\n{done.stderr[-6000:]}"
        return json.loads(done.stdout)

    return run


@pytest.fixture
def cast(npm: Path, node: Node) -> Callable[..., Any]:
    """Runs ``cast`` against the node; returns stdout, decoded when ``--json`` was asked for."""
    try:
        binary = foundry_binary(CLIENTS, "cast")
    except ToolchainUnavailable as error:
        binary, reason = None, str(error)
    if binary is None:
        _unavailable(reason)

    def run(*arguments: str, fails: bool = False) -> Any:
        done = subprocess.run(
            [str(binary), *arguments],
            env={**os.environ, "ETH_RPC_URL": node.rpc},
            capture_output=True,
            text=True,
            timeout=SCRIPT_TIMEOUT_S,
            check=False,
        )
        shown = " ".join(("cast", *(each[:60] for each in arguments)))
        if fails:
            assert done.returncode != 0, f"{shown} succeeded:\n{done.stdout}"
            return done.stderr
        assert done.returncode == 0, f"{shown} failed:\n{done.stderr[-4000:]}"
        return json.loads(done.stdout) if "--json" in arguments else done.stdout.strip()

    return run
