"""The staking part of a genesis file."""

from __future__ import annotations

from typing import Any

import pytest

from dmchain.chain.consensus.timing import ConsensusParams
from dmchain.chain.genesis import GenesisAccount, parse_genesis
from dmchain.chain.genesis_staking import NATIVE_CODE, STAKING_KEYS
from dmchain.chain.primitives.crypto import PrivateKey, keccak
from dmchain.chain.primitives.errors import InvalidGenesis
from dmchain.chain.staking import STAKING
from dmchain.chain.staking.invariants import check_conservation
from dmchain.chain.staking.layout import Status
from dmchain.chain.staking.readers import (
    list_validators,
    read_consensus_params,
    read_delegation,
    read_epoch_at,
    read_parameters,
    read_totals,
)

ETHER = 10**18
KEYS = [PrivateKey(keccak(bytes((n,)))) for n in range(3)]


def validator(number: int, **changes: Any) -> dict[str, Any]:
    entry = {
        "operator": "0x" + bytes([number + 1]).hex() * 20,
        "publicKey": "0x" + KEYS[number].public_key.hex(),
        "stake": str((number + 1) * 1_000 * ETHER),
        "commissionBps": 500,
        "maxCommissionChangeBps": 100,
        "dial": f"tcp://10.0.0.{number}:30333",
    }
    return {key: value for key, value in (entry | changes).items() if value is not None}


def document(validators: Any = None, **section: Any) -> dict[str, Any]:
    given = [validator(0), validator(1)] if validators is None else validators
    return {
        "config": {"chainId": 7},
        "timestamp": 1_700_000_000,
        "alloc": {},
        "dmchain": {"validators": given, **section},
    }


def storage_of(account: GenesisAccount) -> Any:
    slots = dict(account.storage)
    return lambda address, slot: slots.get(slot, 0)


def test_a_full_section_is_read_and_stored() -> None:
    staking = {
        "epochSeconds": 60, "unbondingSeconds": 3_600, "maxValidators": 21, "maxCandidates": 64, "windowCommits": 50,
        "windowSeconds": 600, "minimumSignedBps": 4_000, "jailSeconds": 30, "doubleSignBps": 1_000, "correlation": 2,
        "reporterBps": 50, "slashAmnesia": True, "minimumSelfStake": "0x3635c9adc5dea00000", "blockReward": "7",
        "disputeContract": "0x" + "dd" * 20,
    }  # fmt: skip
    genesis = parse_genesis(document(staking=staking, consensus={"proposeMs": 900, "heartbeatMs": 5_000}))
    assert genesis.staking is not None
    parameters = genesis.staking.parameters
    assert (parameters.epoch_seconds, parameters.slash_amnesia, parameters.block_reward) == (60, True, 7)
    assert parameters.minimum_self_stake == 1_000 * ETHER and parameters.dispute_contract == b"\xdd" * 20
    assert genesis.staking.consensus == ConsensusParams(propose_ms=900, heartbeat_ms=5_000)
    assert [each.dial for each in genesis.staking.validators] == ["tcp://10.0.0.0:30333", "tcp://10.0.0.1:30333"]
    account = genesis.alloc[STAKING]
    assert (account.balance, account.nonce, account.code) == (3_000 * ETHER, 1, NATIVE_CODE)
    get = storage_of(account)
    assert read_parameters(get) == parameters
    assert read_consensus_params(get) == genesis.staking.consensus
    assert read_totals(get).bonded == read_totals(get).owed == 3_000 * ETHER
    epoch = read_epoch_at(get, 1)
    assert epoch is not None and epoch.validators == genesis.staking.validator_set()
    assert epoch.priorities == (0, 0) and epoch.start_time == 1_700_000_000
    found = list(list_validators(get, 0, 10))
    assert [each.stake for each in found] == [1_000 * ETHER, 2_000 * ETHER]
    assert all((each.status, each.is_seated, each.is_in_set) == (Status.ACTIVE, True, True) for each in found)
    own = read_delegation(get, found[1].operator, found[1].operator, 0)
    assert own is not None and (own.stake, own.pending_shares) == (2_000 * ETHER, 0)
    accounts = [each.operator for each in found]
    assert check_conservation(get, lambda address: account.balance if address == STAKING else 0, accounts) == 0


def test_defaults_are_those_of_the_dataclasses() -> None:
    genesis = parse_genesis(document())
    assert genesis.staking is not None
    assert genesis.staking.parameters.epoch_seconds == 600
    assert genesis.staking.consensus == ConsensusParams()


def test_a_chain_without_validators_has_no_staking() -> None:
    genesis = parse_genesis({"config": {"chainId": 7}, "alloc": {}, "dmchain": {}})
    assert genesis.staking is None and STAKING not in genesis.alloc
    assert parse_genesis({"config": {"chainId": 7}, "alloc": {}}).staking is None


def test_the_stub_of_the_contract_may_stand_in_alloc_and_nothing_else() -> None:
    given = document()
    key = "0x" + STAKING.hex()
    given["alloc"] = {key: {"nonce": "0x1", "code": "0x5f5ffd", "balance": "0x0"}}
    assert parse_genesis(given).alloc[STAKING].balance == 3_000 * ETHER
    given["alloc"] = {key: {"balance": "0x1"}}
    with pytest.raises(InvalidGenesis, match="expected nothing"):
        parse_genesis(given)


@pytest.mark.parametrize("key", STAKING_KEYS[1:])
def test_parameters_without_validators_are_refused(key: str) -> None:
    with pytest.raises(InvalidGenesis, match=r"dmchain\.validators: missing"):
        parse_genesis({"config": {"chainId": 7}, "alloc": {}, "dmchain": {key: {}}})


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"validators": {}}, r"dmchain\.validators: expected a list, got \{\}"),
        ({"validators": []}, r"dmchain\.validators: got 0, expected 1 to 100"),
        ({"validators": [7]}, r"dmchain\.validators\[0\]: expected an object, got 7"),
        ({"validators": [validator(0, operator=None)]}, r"validators\[0\]\.operator: missing"),
        ({"validators": [validator(0, operator="0x12")]}, r"operator: expected 20 bytes, got 1"),
        ({"validators": [validator(0, publicKey="0x" + "00" * 64)]}, r"publicKey: .*not a point"),
        ({"validators": [validator(0, publicKey="0x" + "00" * 33)]}, r"publicKey: expected 64 bytes, got 33"),
        (
            {"validators": [validator(0, stake=str(999 * ETHER))]},
            r"validators\[0\]\.stake: got 999.* expected at least",
        ),
        ({"validators": [validator(0, stake="-1")]}, r"stake: got '-1', expected 0 to"),
        ({"validators": [validator(0, commissionBps=10_001)]}, r"commissionBps: got 10001, expected 0 to 10000"),
        ({"validators": [validator(0, color="red")]}, r"validators\[0\]\.color: unknown, expected one of"),
        ({"validators": [validator(0, dial="a\nb")]}, r"dial: expected up to 256 printable ASCII"),
        ({"validators": [validator(0, dial="x" * 257)]}, r"dial: expected up to 256 printable ASCII"),
        ({"validators": [validator(0), validator(1, operator="0x" + "01" * 20)]}, "the same operator appears twice"),
        (
            {"validators": [validator(0), validator(1, publicKey="0x" + KEYS[0].public_key.hex())]},
            "the same publicKey appears twice",
        ),
        ({"staking": {"epochSeconds": 0}}, r"dmchain\.staking\.epochSeconds: expected 1 to 4294967295, got 0"),
        ({"staking": {"epoch_seconds": 5}}, r"dmchain\.staking\.epoch_seconds: unknown"),
        ({"staking": {"slashAmnesia": 1}}, r"dmchain\.staking\.slashAmnesia: expected true or false, got 1"),
        ({"staking": {"disputeContract": "0x"}}, r"disputeContract: expected 20 bytes, got 0"),
        ({"staking": {"maxValidators": 1, "maxCandidates": 1}}, r"dmchain\.validators: got 2, expected 1 to 1"),
        ({"staking": []}, r"dmchain\.staking: expected an object"),
        ({"consensus": {"proposeMs": 0}}, r"dmchain\.consensus\.proposeMs: expected 1 to"),
        ({"consensus": {"speed": 9}}, r"dmchain\.consensus\.speed: unknown, expected one of proposeMs"),
    ],
)
def test_what_does_not_hold_is_named(given: dict[str, Any], text: str) -> None:
    validators = given.pop("validators", None)
    with pytest.raises(InvalidGenesis, match=text):
        parse_genesis(document(validators, **given))


def test_too_much_stake_is_refused() -> None:
    half = str(2**94 + 1)
    with pytest.raises(InvalidGenesis, match="got a stake of"):
        parse_genesis(document([validator(0, stake=half), validator(1, stake=half)]))
