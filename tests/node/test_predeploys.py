"""Every genesis that the commands make holds the market, unless told otherwise; the node says where it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dmchain.chain.genesis import Genesis, parse_genesis
from dmchain.chain.primitives.types import Address
from dmchain.marketplace_vm.market_genesis.addresses import ADDRESSES, DISPUTE_RESOLUTION, IMPLEMENTATIONS, TIMELOCK
from dmchain.marketplace_vm.market_genesis.parameters import COIN, DEVNET, MarketParameters
from dmchain.marketplace_vm.precompiles import CID_REGISTRY, LICENSE_LEDGER, STAKING
from dmchain.node.cli.app import app
from dmchain.node.devnet import devnet_market, genesis_document
from dmchain.node.keystore import devnet_keys
from dmchain.node.predeploys import market_contracts
from tests.node.process import DevnetProcess

NATIVE = {"CidRegistry": CID_REGISTRY, "LicenseLedger": LICENSE_LEDGER}


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def genesis_of(text: str) -> Genesis:
    return parse_genesis(json.loads(text))


def governance_of(genesis: Genesis) -> int:
    return dict(genesis.alloc[CID_REGISTRY].storage).get(0, 0)


def without_dollars(contracts: dict[str, Address]) -> dict[str, Address]:
    return {name: address for name, address in contracts.items() if name != "TestUSD"}


def test_a_devnets_genesis_holds_all_of_the_market() -> None:
    genesis = genesis_of(run("genesis", "new", "--devnet-accounts"))
    assert market_contracts(genesis) == {**NATIVE, **ADDRESSES}
    assert all(genesis.alloc[address].code for address in IMPLEMENTATIONS.values())
    assert governance_of(genesis) == int.from_bytes(TIMELOCK, "big")


def test_a_real_network_has_no_test_dollars() -> None:
    genesis = genesis_of(run("genesis", "new", "--fund", "0x" + "11" * 20))
    assert market_contracts(genesis) == {**NATIVE, **without_dollars(ADDRESSES)}


def test_a_genesis_in_which_nobody_can_vote_is_warned_of() -> None:
    result = CliRunner().invoke(app, ["genesis", "new"])
    assert "nobody holds the governance token" in result.stderr
    assert "nobody" not in CliRunner().invoke(app, ["genesis", "new", "--no-market"]).stderr


def test_a_bare_chain_holds_the_native_precompiles_alone() -> None:
    genesis = genesis_of(run("genesis", "new", "--devnet-accounts", "--no-market"))
    assert market_contracts(genesis) == NATIVE
    assert governance_of(genesis) == 0


def test_init_makes_the_market_of_a_devnet(tmp_path: Path) -> None:
    run("init", "--home", tmp_path / "full")
    run("init", "--home", tmp_path / "bare", "--no-market")
    made = {name: genesis_of((tmp_path / name / "genesis.json").read_text()) for name in ("full", "bare")}
    assert market_contracts(made["full"]) == {**NATIVE, **ADDRESSES}
    assert market_contracts(made["bare"]) == NATIVE


def test_a_testnet_lets_disputes_slash_its_validators(tmp_path: Path) -> None:
    run("testnet", "--validators", 1, "--output", tmp_path / "net", "--light", "--p2p-port", 0, "--rpc-port", 0)
    genesis = genesis_of((tmp_path / "net/validator-0/genesis.json").read_text())
    assert genesis.staking is not None
    assert genesis.staking.parameters.dispute_contract == DISPUTE_RESOLUTION
    assert market_contracts(genesis) == {**NATIVE, "Staking": STAKING, **without_dollars(ADDRESSES)}


def test_a_dispute_contract_that_was_asked_for_stays() -> None:
    own: dict[str, Any] = {"validators": [], "staking": {"disputeContract": "0x" + "22" * 20, "epochSeconds": 60}}
    staking = genesis_document({}, own=own, market=MarketParameters())["dmchain"]["staking"]
    assert staking == {"disputeContract": "0x" + "22" * 20, "epochSeconds": 60}
    assert "staking" not in genesis_document({}, market=MarketParameters())["dmchain"]


def test_funding_the_address_of_a_contract_leaves_its_code() -> None:
    document = genesis_document({TIMELOCK: 5, CID_REGISTRY: 7}, market=MarketParameters())
    genesis = parse_genesis(document)
    for address, balance in ((TIMELOCK, 5), (CID_REGISTRY, 7)):
        assert genesis.alloc[address].code and genesis.alloc[address].balance == balance


def test_many_accounts_do_not_make_many_token_holders() -> None:
    market = devnet_market(devnet_keys(12))
    assert market == DEVNET.with_holders(tuple([key.address for key in devnet_keys(10)]))


@pytest.mark.parametrize("options", [[], ["--no-market"]])
def test_the_running_node_shows_what_its_genesis_has(tmp_path: Path, options: list[str]) -> None:
    expected = NATIVE if options else {**NATIVE, **ADDRESSES}
    with DevnetProcess(tmp_path, *options) as node:
        shown = node.call("dm_nodeInfo")["contracts"]
        assert shown == {name: "0x" + address.hex() for name, address in expected.items()}
        assert {name: address.lower() for name, address in node.facts["contracts"].items()} == shown
        if not options:
            account = node.accounts[0]["address"][2:].lower()
            balance = node.call("eth_call", {"to": shown["PlatformToken"], "data": "0x70a08231" + "00" * 12 + account})
            assert int(balance, 16) == 5_000_000 * COIN
