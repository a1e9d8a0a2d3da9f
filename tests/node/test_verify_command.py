"""`dmchain verify`: what is true passes, and no change to any answer makes it say anything else."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from dmchain.chain.primitives.errors import DmchainError
from dmchain.node.cli.app import app
from dmchain.node.cli.client import Client, ClientError
from tests.node.light_network import BUYER, DATASET, OWNER, LightNetwork
from tests.rpc.asking import Asker, Refused

URL = "http://the-node"
LICENSE = ("verify", "license", "0x" + DATASET.hex(), "0x" + BUYER.address.hex())
Change = Callable[[str, tuple[Any, ...], Any], Any]


class Answers:
    """Stands in for Client.call: nodes by URL, each with a way to change answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch | None = None) -> None:
        self.nodes: dict[str, tuple[Asker, Change]] = {}
        self.calls: list[str] = []
        self.seen: dict[str, Any] = {}
        if monkeypatch is not None:
            monkeypatch.setattr(Client, "call", lambda client, method, *params: self.call(client.url, method, *params))

    def serve(
        self, network: LightNetwork, url: str = URL, change: Change = lambda method, params, result: result
    ) -> None:
        self.nodes[url] = network.asker(), change

    def call(self, url: str, method: str, *params: Any) -> Any:
        self.calls.append(method)
        if url not in self.nodes:
            raise ClientError(f"{url}: connection refused")
        asker, change = self.nodes[url]
        try:
            result = asker(method, *params)
        except Refused as error:
            raise ClientError(f"{method}: {error.message}") from error
        return change(method, params, result)


def run(*arguments: str | Path, fails: bool = False) -> Any:
    command = [str(item) for item in (*arguments, "--rpc", URL, "--json")]
    result = CliRunner().invoke(app, command, standalone_mode=False)
    if fails:
        assert isinstance(result.exception, DmchainError), (result.exception, result.output)
        return str(result.exception)
    assert result.exception is None, (result.exception, result.output)
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> LightNetwork:
    made = LightNetwork(tmp_path_factory.mktemp("network"))
    made.add(made.register())
    made.add(made.grant(expires_at=made.began + 10**6, units=5))
    for _ in range(6):
        made.add()
    return made


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch, network: LightNetwork) -> Answers:
    served = Answers(monkeypatch)
    served.serve(network)
    return served


def validators_hash(network: LightNetwork) -> str:
    asked: str = network.asker()("dm_getValidators", "0x1")["hash"]
    return asked


# -- the chain ---------------------------------------------------------------------------------------------------
def test_the_newest_block_is_verified_from_genesis(network: LightNetwork, answers: Answers) -> None:
    found = run("verify", "chain", "--trust", network.genesis_path)
    assert found["ok"] is True
    assert found["height"] == 8
    assert found["blockHash"] == "0x" + network.chain.head.hash.hex()
    assert found["stateRoot"] == "0x" + network.chain.head.state_root.hex()
    assert (found["signers"], found["validators"], found["blocksVerified"]) == (3, 4, 2)
    assert answers.calls.count("dm_getValidators") == 1, "one set is asked for once"


def test_a_height_with_a_hash_of_validators_can_be_trusted(network: LightNetwork, answers: Answers) -> None:
    trust = f"3:{validators_hash(network)}"
    assert run("verify", "chain", "--trust", trust, "--height", "5")["height"] == 5
    genesis = "0x" + network.chain.genesis_header.hash.hex()
    assert run("verify", "chain", "--trust", trust, "--genesis-hash", genesis)["height"] == 8
    wrong = "0x" + "13" * 32
    assert "which is trusted" in run("verify", "chain", "--trust", f"3:{wrong}", fails=True)
    assert "bad signature" in run("verify", "chain", "--trust", trust, "--genesis-hash", wrong, fails=True)
    assert "not 0x1313" in run("verify", "chain", "--trust", network.genesis_path, "--genesis-hash", wrong, fails=True)


def test_heights_below_the_trusted_one_and_above_the_head_fail(network: LightNetwork, answers: Answers) -> None:
    trust = f"3:{validators_hash(network)}"
    assert "lies below" in run("verify", "chain", "--trust", trust, "--height", "2", fails=True)
    assert "no commit of block 0x63" in run("verify", "chain", "--trust", trust, "--height", "99", fails=True)


def test_old_trust_expires(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = LightNetwork(tmp_path, began=int(time.time()) - 5 * 86_400)
    old.add()
    Answers(monkeypatch).serve(old)
    assert "trusted, but 431" in run("verify", "chain", "--trust", old.genesis_path, fails=True)
    assert run("verify", "chain", "--trust", old.genesis_path, "--trusting-days", "6")["ok"] is True


def test_another_networks_genesis_is_refused(tmp_path: Path, answers: Answers) -> None:
    stranger = LightNetwork(tmp_path, names="wxyz")
    assert "which is trusted" in run("verify", "chain", "--trust", stranger.genesis_path, fails=True)


def test_a_witness_with_the_same_block_agrees(network: LightNetwork, answers: Answers) -> None:
    answers.serve(network, "http://witness")
    assert run("verify", "chain", "--trust", network.genesis_path, "--witness", "http://witness")["ok"] is True
    assert run("verify", "chain", "--trust", network.genesis_path, "--witness", "http://nobody")["ok"] is True


def test_a_fork_is_told(tmp_path: Path, network: LightNetwork, answers: Answers) -> None:
    """The same validators have signed another chain from the same genesis."""
    twin = LightNetwork(tmp_path, began=network.began)
    twin.genesis_path.write_bytes(network.genesis_path.read_bytes())
    for _ in range(8):
        twin.add()
    answers.serve(twin, "http://witness")
    said = run("verify", "chain", "--trust", network.genesis_path, "--witness", "http://witness", fails=True)
    assert "block 8: signed twice" in said
    assert "3 validators have signed both" in said


# -- licences ----------------------------------------------------------------------------------------------------
def test_a_licence_is_verified(network: LightNetwork, answers: Answers) -> None:
    found = run(*LICENSE, "--trust", network.genesis_path)
    assert (found["valid"], found["status"], found["units"], found["kind"]) == (True, "valid", 5, "one-time")
    assert found["expiresAt"] == network.began + 10**6
    assert found["termsHash"] == "0x" + "77" * 32
    assert found["height"] == 8
    assert {"dm_getLicense", "eth_call"}.isdisjoint(answers.calls), "nothing is taken from the node's word"


def test_at_an_earlier_height_it_was_not_there_yet(network: LightNetwork, answers: Answers) -> None:
    said = run(*LICENSE, "--trust", network.genesis_path, "--height", "1", fails=True)
    assert said.endswith(": none")


def test_somebody_else_holds_none(network: LightNetwork, answers: Answers) -> None:
    account = "0x" + OWNER.address.hex()
    said = run("verify", "license", LICENSE[2], account, "--trust", network.genesis_path, fails=True)
    assert "holds no valid licence" in said and said.endswith(": none")


@pytest.mark.parametrize(
    ("happen", "status"),
    [
        (lambda made: [made.grant(), made.revoke()], "revoked"),
        (lambda made: [made.grant(), made.retire()], "dataset-retired"),
        (lambda made: [made.grant(units=2), made.consume(2)], "exhausted"),
        (lambda made: [made.grant(expires_at=made.began + 20)], "expired"),
    ],
)
def test_what_has_ended_is_no_licence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, happen: Callable[[LightNetwork], list[Any]], status: str
) -> None:
    """The last one had not run out at the newest block, but has by now."""
    made = LightNetwork(tmp_path)
    made.add(made.register())
    for transaction in happen(made):
        made.add(transaction)
    Answers(monkeypatch).serve(made)
    assert run(*LICENSE, "--trust", made.genesis_path, fails=True).endswith(f": {status}")


def test_a_node_that_hides_new_blocks_is_noticed(network: LightNetwork, answers: Answers) -> None:
    said = run(*LICENSE, "--trust", network.genesis_path, "--max-age", "5", fails=True)
    assert "the newest block the node shows, 8, is 5" in said


# -- lies --------------------------------------------------------------------------------------------------------
def strings_in(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where there is hex in an answer."""
    if isinstance(value, dict):
        return [found for key, item in value.items() for found in strings_in(item, (*path, key))]
    if isinstance(value, list):
        return [found for at, item in enumerate(value) for found in strings_in(item, (*path, at))]
    return [path] if isinstance(value, str) and value.startswith("0x") else []


def changed_at(document: Any, path: tuple[Any, ...], change: Callable[[Any], Any]) -> Any:
    result = copy.deepcopy(document)
    place = result
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = change(place[path[-1]])
    return result


CHECKED = ("dm_getCommit", "dm_getRecord", "dm_getValidators", "eth_getProof")
UNUSED = {
    # what is not looked at, since the rest proves it
    "dm_getRecord": {"blockHash", "root"},
    "dm_getValidators": {"blockNumber", "hash", "totalPower", "quorum"},
    "eth_getProof": {"address", "balance", "codeHash", "nonce", "storageHash", "key", "value"},
}


def is_used(method: str, path: tuple[Any, ...]) -> bool:
    return not UNUSED.get(method, set()) & set(path)


@given(data=st.data())
@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_changed_answer_changes_the_verdict(network: LightNetwork, answers: Answers, data: st.DataObject) -> None:
    """Any single digit of anything that is used: the verdict is the true one, or an error."""
    method = data.draw(st.sampled_from(CHECKED))
    turn = data.draw(st.integers(0, 1))
    wants_used = data.draw(st.sampled_from((True, True, True, False)))
    count = 0
    touched: list[tuple[Any, ...]] = []

    def change(called: str, params: tuple[Any, ...], result: Any) -> Any:
        nonlocal count
        if called != method or result is None:
            return result
        count += 1
        if count - 1 != turn:
            return result
        paths = [path for path in strings_in(result) if is_used(method, path) is wants_used]
        path = data.draw(st.sampled_from(paths or strings_in(result)))
        digits: str = data.draw(st.sampled_from("0123456789abcdef"))

        def spoil(text: str) -> str:
            at = data.draw(st.integers(2, len(text) - 1)) if len(text) > 2 else 1
            return text[:at] + digits + text[at + 1 :]

        spoiled = changed_at(result, path, spoil)
        if spoiled != result:
            touched.append(path)
        return spoiled

    answers.serve(network, change=change)
    command = [*LICENSE, "--trust", str(network.genesis_path), "--rpc", URL, "--json"]
    outcome = CliRunner().invoke(app, command, standalone_mode=False)
    used = [path for path in touched if is_used(method, path)]
    event(f"{method}: {'used' if used else 'not used' if touched else 'unchanged'}")
    if used:
        assert isinstance(outcome.exception, DmchainError), (method, used, outcome.output)
    else:
        assert outcome.exception is None, (method, touched, outcome.exception)
        assert json.loads(outcome.stdout)["valid"] is True


@pytest.mark.parametrize(
    "answer", [None, 5, "0x", [], {}, {"header": "0x"}, {"signatures": [None] * 5000}, "x" * 10**6]
)
@pytest.mark.parametrize("method", CHECKED)
def test_nonsense_is_an_error(network: LightNetwork, answers: Answers, method: str, answer: Any) -> None:
    answers.serve(network, change=lambda called, params, result: answer if called == method else result)
    run(*LICENSE, "--trust", network.genesis_path, fails=True)


def test_an_old_licence_cannot_be_shown_for_a_new_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proofs of the height before the licence was revoked do not fit the new state root."""
    made = LightNetwork(tmp_path)
    made.add(made.register())
    made.add(made.grant())
    made.add(made.revoke())
    served = Answers(monkeypatch)
    asker = made.asker()

    def replay(method: str, params: tuple[Any, ...], result: Any) -> Any:
        return asker(method, *params[:2], "0x2") if method == "eth_getProof" else result

    served.serve(made, change=replay)
    assert "proof of 0x" in run(*LICENSE, "--trust", made.genesis_path, fails=True)
    served.serve(made)
    assert run(*LICENSE, "--trust", made.genesis_path, fails=True).endswith("revoked")


def test_the_option_says_what_it_takes(network: LightNetwork, answers: Answers) -> None:
    runner = CliRunner()
    for wrong in ("0:0x" + "11" * 32, "7:0x1234"):
        result = runner.invoke(app, ["verify", "chain", "--trust", wrong])
        assert result.exit_code == 2, result.output
    assert "No such file" in run("verify", "chain", "--trust", "nowhere.json", fails=True)
