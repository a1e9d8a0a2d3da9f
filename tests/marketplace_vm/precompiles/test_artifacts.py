"""The committed ABI JSON, the dispatch tables and the Solidity interfaces say the same."""

import json
from types import ModuleType
from typing import Any

import pytest
from eth_utils.abi import event_abi_to_log_topic, function_abi_to_4byte_selector

from dmchain.marketplace_vm.precompiles import (
    CID_REGISTRY,
    LICENSE_LEDGER,
    STAKING,
    artifacts,
    license_ledger,
    native,
    registry_interface,
    staking_interface,
)
from dmchain.marketplace_vm.precompiles.abi import ErrorSpec, EventSpec
from dmchain.marketplace_vm.precompiles.dispatch import NativeContract
from tests.marketplace_vm.precompiles.solidity import compile_standard

INTERFACES = artifacts.ARTIFACTS.parent / "contracts/interfaces"

each_contract = pytest.mark.parametrize("contract", native.CONTRACTS, ids=lambda contract: contract.name)


def load(contract: NativeContract) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((artifacts.ARTIFACTS / f"{contract.name}.json").read_text())
    return found


@each_contract
def test_the_committed_artifact_is_up_to_date(contract: NativeContract) -> None:
    path = artifacts.ARTIFACTS / f"{contract.name}.json"
    assert path.read_text() == artifacts.render(contract), "run python -m dmchain.marketplace_vm.precompiles.artifacts"


def test_addresses_are_the_fixed_ones() -> None:
    addresses = [CID_REGISTRY, LICENSE_LEDGER, STAKING]
    assert [bytes.fromhex(load(each)["address"][2:]) for each in native.CONTRACTS] == addresses
    assert list(native.PRECOMPILES) == addresses
    assert [int.from_bytes(each, "big") for each in addresses] == [0xDA01, 0xDA02, 0xDA03]


@each_contract
def test_selectors_errors_and_topics_follow_from_the_abi(contract: NativeContract) -> None:
    abi = load(contract)["abi"]

    def of(kind: str) -> list[dict[str, Any]]:
        return [item for item in abi if item["type"] == kind]

    functions = {function_abi_to_4byte_selector(item): item["name"] for item in of("function")}  # type: ignore[arg-type]
    assert functions == {selector: handler.spec.name for selector, handler in contract.by_selector.items()}
    errors = {function_abi_to_4byte_selector({**item, "type": "function"}): item["name"] for item in of("error")}  # type: ignore[arg-type]
    assert errors == {error.selector: error.name for error in contract.errors}
    topics = {int.from_bytes(event_abi_to_log_topic(item), "big"): item["name"] for item in of("event")}  # type: ignore[arg-type]
    assert topics == {event.topic: event.name for event in contract.events}


@pytest.mark.parametrize(
    ("module", "contract"),
    list(zip((registry_interface, license_ledger, staking_interface), native.CONTRACTS, strict=True)),
)
def test_every_error_and_event_in_the_code_is_in_the_interface(module: ModuleType, contract: NativeContract) -> None:
    for spec in vars(module).values():
        if isinstance(spec, ErrorSpec):
            assert spec in contract.errors
        if isinstance(spec, EventSpec):
            assert spec in contract.events


def test_solc_derives_the_same_abi_from_the_interfaces() -> None:
    sources = {
        path.name: path.read_text()
        for path in INTERFACES.glob("*.sol")
        if path.stem in ("ICidRegistry", "ILicenseLedger", "IStaking")
    }
    compiled = compile_standard(sources, ["abi"])
    for contract in native.CONTRACTS:
        abi = compiled[f"{contract.name}.sol"][contract.name]["abi"]
        assert sorted(abi, key=lambda item: (item["type"], item["name"])) == load(contract)["abi"]
