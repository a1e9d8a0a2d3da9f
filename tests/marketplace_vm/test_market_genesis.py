"""The market of block 0 is what its constructors make of it, at its fixed addresses, for any chain id."""

from __future__ import annotations

from typing import Any

import pytest
from eth._utils.address import generate_contract_address
from eth_abi import encode as abi_encode
from hypothesis import given, settings
from hypothesis import strategies as st

from dmchain.chain.genesis import GenesisAccount
from dmchain.chain.primitives.crypto import keccak
from dmchain.chain.primitives.types import Address
from dmchain.marketplace_vm.artifacts import load_artifact
from dmchain.marketplace_vm.market_genesis import build
from dmchain.marketplace_vm.market_genesis.addresses import ADDRESSES, IMPLEMENTATIONS, PLATFORM_TOKEN, TIMELOCK
from dmchain.marketplace_vm.market_genesis.build import PredeployFailed, build_market
from dmchain.marketplace_vm.market_genesis.encoding import encode_arguments, encode_call
from dmchain.marketplace_vm.market_genesis.parameters import COIN, DEVNET, MarketParameters
from dmchain.marketplace_vm.market_genesis.plan import Deploy, share_supply

HOLDERS = tuple([Address(bytes([number]) * 20) for number in (1, 2, 3)])
PARAMETERS = DEVNET.with_holders(HOLDERS)


@pytest.fixture(scope="module")
def accounts() -> dict[Address, GenesisAccount]:
    return build_market(PARAMETERS, 1337)


# ---------------------------------------------------------------- encoding

TYPES: dict[str, Any] = {
    "address": st.binary(min_size=20, max_size=20),
    "uint256": st.integers(0, 2**256 - 1),
    "uint16": st.integers(0, 2**16 - 1),
    "bool": st.booleans(),
    "bytes32": st.binary(min_size=32, max_size=32),
    "bytes4": st.binary(min_size=4, max_size=4),
    "bytes": st.binary(max_size=70),
    "string": st.text(max_size=40),
}


def parameters_and_values(depth: int) -> Any:
    """(ABI description, value) of one parameter, structs and arrays inside each other."""
    plain = st.sampled_from(sorted(TYPES)).flatmap(
        lambda kind: st.tuples(st.just({"name": "x", "type": kind}), TYPES[kind])
    )
    if depth == 0:
        return plain
    inner = parameters_and_values(depth - 1)
    struct = st.lists(inner, min_size=1, max_size=3).map(
        lambda parts: (
            {"name": "x", "type": "tuple", "components": [each for each, _ in parts]},
            tuple([value for _, value in parts]),
        )
    )
    array = st.tuples(inner, st.integers(0, 3), st.booleans()).map(
        lambda drawn: (
            {**drawn[0][0], "type": drawn[0][0]["type"] + (f"[{drawn[1]}]" if drawn[2] and drawn[1] else "[]")},
            [drawn[0][1]] * drawn[1],
        )
    )
    return plain | struct | array


def type_name(parameter: dict[str, Any]) -> str:
    kind: str = parameter["type"]
    if kind.startswith("tuple"):
        return "(" + ",".join(map(type_name, parameter["components"])) + ")" + kind[5:]
    return kind


@settings(max_examples=200, deadline=None)
@given(st.lists(parameters_and_values(2), max_size=4))
def test_arguments_are_encoded_as_eth_abi_does(drawn: list[Any]) -> None:
    parameters = [each for each, _ in drawn]
    values = [value for _, value in drawn]
    assert encode_arguments(parameters, values) == abi_encode([type_name(each) for each in parameters], values)


def test_calls_begin_with_the_selector_of_the_signature() -> None:
    function = next(item for item in load_artifact("TestUSD")["abi"] if item.get("name") == "transfer")
    assert encode_call(function, (HOLDERS[0], 5))[:4] == keccak(b"transfer(address,uint256)")[:4]


@pytest.mark.parametrize(
    ("kind", "value"),
    [("uint8", 256), ("uint8", -1), ("address", b"\1"), ("bytes32", b"\1"), ("bool", 2), ("int8", 1), ("uint8", "1")],
)
def test_values_out_of_their_type_are_refused_by_name(kind: str, value: Any) -> None:
    with pytest.raises(ValueError, match="amount"):
        encode_arguments([{"name": "amount", "type": kind}], [value])
    with pytest.raises(ValueError, match="amount"):
        encode_arguments([{"name": "amount", "type": kind}], [])


# ---------------------------------------------------------------- what is built


def test_every_contract_is_at_its_address_with_nonce_and_code(accounts: dict[Address, GenesisAccount]) -> None:
    for name, address in [*ADDRESSES.items(), *IMPLEMENTATIONS.items()]:
        account = accounts[address]
        assert account.nonce >= 1 and account.code and account.balance == 0, name


def test_only_proxies_admins_and_second_halves_are_at_addresses_that_nobody_chose(
    accounts: dict[Address, GenesisAccount],
) -> None:
    chosen = set(ADDRESSES.values()) | set(IMPLEMENTATIONS.values())
    others = {address: account for address, account in accounts.items() if address not in chosen}
    halves = {
        Address(generate_contract_address(creator, 1))
        for creator in (IMPLEMENTATIONS["LicenseManager"], ADDRESSES["DisputeResolution"])
    }
    assert halves < others.keys()
    assert {others[address].code for address in others.keys() - halves} == {
        bytes.fromhex(load_artifact("ProxyAdmin")["deployedBytecode"][2:])
    }
    for name in IMPLEMENTATIONS:
        storage = dict(accounts[ADDRESSES[name]].storage)
        admin_slot = int.from_bytes(keccak(b"eip1967.proxy.admin"), "big") - 1
        code_slot = int.from_bytes(keccak(b"eip1967.proxy.implementation"), "big") - 1
        admin = Address(storage[admin_slot].to_bytes(20, "big"))
        assert storage[code_slot].to_bytes(20, "big") == IMPLEMENTATIONS[name]
        assert dict(others[admin].storage) == {0: int.from_bytes(TIMELOCK, "big")}


def test_equal_arguments_give_equal_accounts(accounts: dict[Address, GenesisAccount]) -> None:
    assert build_market(PARAMETERS, 1337) == accounts


def test_the_chain_id_is_in_the_domains_of_permits_alone(accounts: dict[Address, GenesisAccount]) -> None:
    other = build_market(PARAMETERS, 4242)
    assert other.keys() == accounts.keys()
    differing = {address for address in accounts if other[address] != accounts[address]}
    assert PLATFORM_TOKEN in differing
    for address in differing:
        assert other[address].storage == accounts[address].storage
        assert (1337).to_bytes(32, "big") in accounts[address].code
        assert (4242).to_bytes(32, "big") in other[address].code


def test_no_dollars_where_they_are_not_wanted() -> None:
    accounts = build_market(MarketParameters(), 1)
    assert ADDRESSES["TestUSD"] not in accounts


def test_the_supply_is_shared_to_the_last_unit() -> None:
    for count in (0, 1, 3, 7):
        parameters = MarketParameters().with_holders(HOLDERS[:1] * count)
        treasury, amounts = share_supply(parameters)
        assert treasury + sum(amounts) == 100_000_000 * COIN
        assert len(amounts) == count and treasury >= 50_000_000 * COIN


def test_hundreds_may_share_the_supply() -> None:
    holders = tuple([Address(keccak(b"%d" % number)[:20]) for number in range(300)])
    token = build_market(MarketParameters().with_holders(holders), 1)[PLATFORM_TOKEN]
    assert len(token.storage) > 3 * len(holders)


def test_a_plan_that_does_not_fit_says_which_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "make_plan", lambda parameters: iter([Deploy("TestUSD", (HOLDERS,))]))
    with pytest.raises(PredeployFailed, match="constructor of TestUSD: got 1 arguments"):
        build_market(PARAMETERS, 1)
    monkeypatch.setattr(build, "make_plan", lambda parameters: iter([Deploy("PlatformToken", (HOLDERS, (1,)))]))
    with pytest.raises(PredeployFailed, match="deploying PlatformToken: revert 0x"):
        build_market(PARAMETERS, 1)
