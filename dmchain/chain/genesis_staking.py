"""The staking part of a genesis file: `dmchain.validators`, `dmchain.staking` and `dmchain.consensus`.

    "validators": [{"operator": "0x…20", "publicKey": "0x…64", "stake": "1000000000000000000000",
                    "commissionBps": 500, "maxCommissionChangeBps": 100, "dial": "tcp://10.0.0.1:30333",
                    "randaoAnchor": "0x…32", "randaoLength": 262144}],
    "staking":    {"epochSeconds": 600, …},    the fields of StakingParameters
    "consensus":  {"proposeMs": 3000, …}       the fields of ConsensusParams

A chain without validators has neither of the other two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from dmchain.chain.consensus.timing import ConsensusParams
from dmchain.chain.consensus.validators import Validator, ValidatorSet
from dmchain.chain.genesis_fields import boolean, describe, json_object, missing, present, quantity, raw_bytes, shorten
from dmchain.chain.primitives.errors import InvalidGenesis, SignatureError
from dmchain.chain.primitives.public_key import PUBLIC_KEY_BYTES, PublicKey
from dmchain.chain.primitives.types import ZERO_HASH, Address, Hash32
from dmchain.chain.staking.arithmetic import compute_power
from dmchain.chain.staking.epochs import make_epoch, store_epoch
from dmchain.chain.staking.layout import CONSENSUS_SLOT, PARAMETERS_SLOT, U48, Liveness, Onions
from dmchain.chain.staking.parameters import BPS, MAX_STAKE, StakingParameters, pack_consensus
from dmchain.chain.staking.pool import Position
from dmchain.chain.staking.randao import is_onion, store_onions
from dmchain.chain.staking.slots import add_stake
from dmchain.chain.staking.validators import register, store_liveness

STAKING_KEYS = ("validators", "staking", "consensus")
"""Of the section `dmchain`."""
NATIVE_CODE = bytes.fromhex("5f5ffd")
"""What every native contract's account holds: PUSH0 PUSH0 REVERT."""
MAX_DIAL_CHARACTERS = 256


@dataclass(frozen=True, slots=True)
class GenesisValidator:
    """A validator of epoch 0. `operator` is its account, `public_key` (64 bytes) that of its consensus key.

    `stake` in wei, bonded by the operator itself; `dial` tells other nodes where it listens, "" if it does not say.
    Its blocks reveal the `randao_length` layers below `randao_anchor`; without them they reveal zero.
    """

    operator: Address
    public_key: bytes
    stake: int
    commission_bps: int = 0
    max_commission_change_bps: int = 0
    dial: str = ""
    randao_anchor: Hash32 = ZERO_HASH
    randao_length: int = 0


@dataclass(frozen=True, slots=True)
class GenesisStaking:
    """Who validates from block 1 on, and by which numbers. Raises InvalidGenesis when they contradict each other."""

    validators: tuple[GenesisValidator, ...]
    parameters: StakingParameters = field(default_factory=StakingParameters)
    consensus: ConsensusParams = field(default_factory=ConsensusParams)

    def __post_init__(self) -> None:
        parameters = self.parameters
        if not 0 < len(self.validators) <= parameters.max_validators:
            raise InvalidGenesis(
                f"dmchain.validators: got {len(self.validators)}, expected 1 to {parameters.max_validators}"
            )
        for name, values in (
            ("operator", [each.operator for each in self.validators]),
            ("publicKey", [each.public_key for each in self.validators]),
        ):
            if len(set(values)) != len(values):
                raise InvalidGenesis(f"dmchain.validators: the same {name} appears twice")
        for index, each in enumerate(self.validators):
            if each.stake < parameters.minimum_self_stake:
                raise InvalidGenesis(
                    f"dmchain.validators[{index}].stake: got {each.stake}, expected at least minimumSelfStake, "
                    f"{parameters.minimum_self_stake}"
                )
        if self.balance > MAX_STAKE:
            raise InvalidGenesis(f"dmchain.validators: got a stake of {self.balance}, expected at most {MAX_STAKE}")

    @property
    def balance(self) -> int:
        """Wei in the staking contract at genesis."""
        return sum([each.stake for each in self.validators])

    def validator_set(self) -> ValidatorSet:
        """Who signs height 1."""
        return ValidatorSet.from_unordered(
            [Validator.from_public_key(each.public_key, compute_power(each.stake)) for each in self.validators]
        )


# ---------------------------------------------------------------- parsing


def parse_staking(section: Mapping[str, Any]) -> GenesisStaking | None:
    """Read the keys of STAKING_KEYS in the section `dmchain`; None without any. Raises InvalidGenesis."""
    if not any(key in section for key in STAKING_KEYS):
        return None
    validators = section.get("validators", missing("dmchain.validators"))
    present(validators)
    if not isinstance(validators, list):
        raise InvalidGenesis(f"dmchain.validators: expected a list, got {describe(validators)}")
    return GenesisStaking(
        tuple([_parse_validator(each, f"dmchain.validators[{index}]") for index, each in enumerate(validators)]),
        _parse_numbers(section.get("staking", {}), "dmchain.staking", StakingParameters),
        _parse_numbers(section.get("consensus", {}), "dmchain.consensus", ConsensusParams),
    )


def _parse_validator(value: Any, at: str) -> GenesisValidator:
    entry = json_object(value, at)
    known = (
        "operator", "publicKey", "stake", "commissionBps", "maxCommissionChangeBps", "dial", "randaoAnchor",
        "randaoLength",
    )  # fmt: skip
    _refuse_unknown(entry, at, known)
    public_key = raw_bytes(entry.get("publicKey", missing(f"{at}.publicKey")), f"{at}.publicKey", PUBLIC_KEY_BYTES)
    try:
        PublicKey(public_key)
    except SignatureError as error:
        raise InvalidGenesis(f"{at}.publicKey: {error}") from error
    dial = entry.get("dial", "")
    if not isinstance(dial, str) or len(dial) > MAX_DIAL_CHARACTERS or not (dial.isascii() and dial.isprintable()):
        raise InvalidGenesis(
            f"{at}.dial: expected up to {MAX_DIAL_CHARACTERS} printable ASCII characters, got {describe(dial)}"
        )
    anchor = Hash32(raw_bytes(entry.get("randaoAnchor", "0x" + "00" * 32), f"{at}.randaoAnchor", 32))
    length = quantity(entry.get("randaoLength", 0), f"{at}.randaoLength", U48)
    if not is_onion(anchor, length):
        raise InvalidGenesis(f"{at}: expected randaoAnchor and randaoLength, both or neither, and neither zero")
    return GenesisValidator(
        operator=Address(raw_bytes(entry.get("operator", missing(f"{at}.operator")), f"{at}.operator", 20)),
        public_key=public_key,
        stake=quantity(entry.get("stake", missing(f"{at}.stake")), f"{at}.stake", MAX_STAKE),
        commission_bps=quantity(entry.get("commissionBps", 0), f"{at}.commissionBps", BPS),
        max_commission_change_bps=quantity(entry.get("maxCommissionChangeBps", 0), f"{at}.maxCommissionChangeBps", BPS),
        dial=dial,
        randao_anchor=anchor,
        randao_length=length,
    )


def _parse_numbers(value: Any, at: str, kind: type[Any]) -> Any:
    """An object whose keys are the fields of the dataclass `kind` in camelCase; its ranges are the dataclass's."""
    entry = json_object(value, at)
    names = {_camel(each.name): each for each in fields(kind)}
    _refuse_unknown(entry, at, tuple(names))
    values: dict[str, Any] = {}
    for key, given in entry.items():
        path = f"{at}.{key}"
        match names[key].type:
            case "bool":
                values[names[key].name] = boolean(given, path)
            case "Address":
                values[names[key].name] = Address(raw_bytes(given, path, 20))
            case _:
                values[names[key].name] = quantity(given, path, MAX_STAKE)
    try:
        return kind(**values)
    except ValueError as error:
        name, _, problem = str(error).partition(": ")
        raise InvalidGenesis(f"{at}.{_camel(name)}: {problem}") from error


def _refuse_unknown(entry: Mapping[str, Any], at: str, known: tuple[str, ...]) -> None:
    for key in entry:
        if key not in known:
            raise InvalidGenesis(f"{at}.{shorten(key)}: unknown, expected one of {', '.join(known)}")


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join([part.capitalize() for part in rest])


# ---------------------------------------------------------------- the staking contract's account


class _DictSlots:
    def __init__(self) -> None:
        self.values: dict[int, int] = {}

    def load(self, slot: int) -> int:
        return self.values.get(slot, 0)

    def store(self, slot: int, value: int) -> None:
        self.values[slot] = value


def make_storage(staking: GenesisStaking, timestamp: int) -> tuple[tuple[int, int], ...]:
    """Slots and values of the staking contract in block 0, whose time is `timestamp` (seconds). Its balance is
    `staking.balance`."""
    slots = _DictSlots()
    parameters = staking.parameters
    for offset, word in enumerate(parameters.pack()):
        slots.store(PARAMETERS_SLOT + offset, word)
    for offset, word in enumerate(pack_consensus(staking.consensus)):
        slots.store(CONSENSUS_SLOT + offset, word)
    for each in staking.validators:
        register(
            slots,
            each.operator,
            each.public_key,
            commission_bps=each.commission_bps,
            max_commission_change_bps=each.max_commission_change_bps,
            timestamp=timestamp,
            max_candidates=parameters.max_candidates,
        )
        store_liveness(slots, each.operator, Liveness(0, 1, timestamp, 1, 0))
        if each.randao_length:
            store_onions(slots, each.operator, Onions(each.randao_anchor, each.randao_length))
        position = Position(slots, each.operator, each.operator, 0, timestamp)
        position.add(each.stake)
        position.mature()
        position.save(slots)
    add_stake(slots, bonded=staking.balance)
    validators = staking.validator_set()
    nothing = [0] * len(validators)
    store_epoch(slots, parameters, *make_epoch(0, 1, timestamp, validators, nothing, nothing))
    return tuple(sorted((slot, value) for slot, value in slots.values.items() if value))
