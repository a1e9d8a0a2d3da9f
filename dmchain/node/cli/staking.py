"""The staking contract as commands use it: views as dictionaries, transactions, errors and events by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from dmchain.chain.primitives.crypto import PrivateKey
from dmchain.chain.staking import STAKING
from dmchain.chain.staking.layout import Status
from dmchain.marketplace_vm.precompiles.abi import ErrorSpec, EventSpec, FunctionSpec, Parameter
from dmchain.marketplace_vm.precompiles.staking import CONTRACT
from dmchain.marketplace_vm.precompiles.staking_interface import MAX_PAGE
from dmchain.node.cli.client import Client, ClientError
from dmchain.node.cli.parameters import checksum
from dmchain.node.cli.tx import Fees, make_transaction

_FUNCTIONS: Final[Mapping[str, FunctionSpec]] = {each.spec.name: each.spec for each in CONTRACT.handlers}
_ERRORS: Final[Mapping[bytes, ErrorSpec]] = {each.selector: each for each in CONTRACT.errors}
_EVENTS: Final[Mapping[bytes, EventSpec]] = {each.topic.to_bytes(32, "big"): each for each in CONTRACT.events}
_TO: Final = "0x" + STAKING.hex()
_HINTS: Final = {
    "StakingOff": "this chain has no validators: `dmchain testnet` makes one that has",
    "UnknownValidator": "a validator is named by its operator's address; `dmchain stake validators` lists them",
    "AlreadyRegistered": "one account operates one validator; `dmchain stake delegate` adds stake to it",
    "ConsensusKeyUsed": "every validator needs a consensus key of its own",
    "InvalidProof": "the consensus key given is not the one registered, or the node is of another chain",
    "SelfStakeTooLow": "`dmchain stake parameters` shows minimumSelfStake; --amount gives more",
    "CommissionChangedLately": "commission changes once a day",
    "InvalidCommission": "it may change by maxCommissionChangeBps at a time: `dmchain stake validator` shows it",
    "StillJailed": "wait until then; bring the node back in step first",
    "NotJailed": "there is nothing to undo",
    "ValidatorTombstoned": "it has signed twice and never validates again; withdraw what is left",
    "InsufficientStake": "`dmchain stake delegations` shows what is there; the amount `all` takes everything",
    "InvalidRandao": "an onion has an anchor and layers: `dmchain stake randao` makes one",
    "TooManyUnbondings": "wait for one to end, and withdraw it",
    "NothingToWithdraw": "`dmchain stake delegations` shows rewards, and until when stake is unbonding",
    "RedelegationUnderWay": "stake that was moved once can move on after the unbonding period",
}


@dataclass(frozen=True, slots=True)
class StakingClient:
    """The contract at one node."""

    client: Client

    def view(self, name: str, *arguments: Any, at: str = "latest") -> Any:
        """Call a view; a struct comes back as a dictionary, several results as a list. Raises ClientError."""
        from eth_abi import decode
        from eth_abi.exceptions import DecodingError

        spec = _FUNCTIONS[name]
        message = {"to": _TO, "data": "0x" + spec.encode_call(*arguments).hex()}
        try:
            output = bytes.fromhex(self.client.call("eth_call", message, at)[2:])
            values = decode([each.type.name for each in spec.outputs], output)
        except ClientError as error:
            raise explain(error) from error
        except DecodingError as error:
            raise ClientError(
                f"staking: {name}: the answer is not the contract's",
                hint="is the node one of dmchain, and is its chain at genesis one with staking?",
            ) from error
        shown = [_name_fields(each, value) for each, value in zip(spec.outputs, values, strict=True)]
        return shown[0] if len(shown) == 1 else shown

    def pages(self, name: str, count: int) -> Iterator[Any]:
        """All items of a paged view."""
        for offset in range(0, count, MAX_PAGE):
            yield from self.view(name, offset, MAX_PAGE)

    def validators(self) -> list[dict[str, Any]]:
        return list(self.pages("validators", int(self.view("validatorCount"))))

    def send(
        self, key: PrivateKey, name: str, *arguments: Any, value: int = 0, fees: Fees, timeout_seconds: float
    ) -> dict[str, Any]:
        """Send a transaction and wait for its receipt, which gets the contract's events under `events`.

        With `fees.no_wait` only the hash comes back. Raises ClientError with the contract's own reason.
        """
        data = _FUNCTIONS[name].encode_call(*arguments)
        try:
            signed = make_transaction(self.client, key, to=STAKING, value=value, data=data, fees=fees)
            sent = self.client.call("eth_sendRawTransaction", "0x" + signed.raw.hex())
        except ClientError as error:
            raise explain(error) from error
        if fees.no_wait:
            return {"transactionHash": sent}
        receipt: dict[str, Any] = self.client.wait_for_receipt(sent, timeout_seconds)
        if int(receipt["status"], 16) != 1:
            raise ClientError(f"{sent} failed in block {int(receipt['blockNumber'], 16)}")
        receipt["events"] = [read_event(log) for log in receipt["logs"] if log["address"] == _TO]
        return receipt


def explain(error: ClientError) -> ClientError:
    """The error that the contract reverted with, by name and with its arguments; other errors as they are."""
    raw = bytes.fromhex(error.data[2:]) if error.data else b""
    spec = _ERRORS.get(raw[:4])
    if spec is None:
        return error
    from eth_abi import decode

    values = decode([each.type.name for each in spec.parameters], raw[4:])
    named = [f"{each.name} {_show_argument(each, value)}" for each, value in zip(spec.parameters, values, strict=True)]
    return ClientError("staking: " + spec.name + (": " + ", ".join(named) if named else ""), hint=_HINTS.get(spec.name))


def read_event(log: Mapping[str, Any]) -> dict[str, Any]:
    """Name and arguments of one of the contract's logs."""
    from eth_abi import decode

    topics = [bytes.fromhex(topic[2:]) for topic in log["topics"]]
    spec = _EVENTS[topics[0]]
    plain = [each for each in spec.parameters if not each.indexed]
    values = dict(
        zip(
            [each.name for each in plain],
            decode([each.type.name for each in plain], bytes.fromhex(log["data"][2:])),
            strict=True,
        )
    )
    indexed = [each for each in spec.parameters if each.indexed]
    for each, topic in zip(indexed, topics[1:], strict=True):
        values[each.name] = decode([each.type.name], topic)[0]
    return {"event": spec.name, **{each.name: _plain(each, values[each.name]) for each in spec.parameters}}


def _name_fields(parameter: Parameter, value: Any) -> Any:
    fields = parameter.type.fields
    if fields and parameter.type.name.endswith("[]"):
        return [_as_dictionary(fields, each) for each in value]
    if fields:
        return _as_dictionary(fields, value)
    return _plain(parameter, value)


def _as_dictionary(fields: Sequence[Parameter], values: Sequence[Any]) -> dict[str, Any]:
    shown = {each.name: _plain(each, value) for each, value in zip(fields, values, strict=True)}
    if "status" in shown:
        shown["status"] = Status(shown["status"]).name.lower()
    return shown


def _plain(parameter: Parameter, value: Any) -> Any:
    """Fit for JSON: amounts of coin as decimal text, as programs lose digits beyond 2**53."""
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if parameter.type.name == "address":
        return checksum(bytes.fromhex(value[2:]))
    if isinstance(value, int) and not isinstance(value, bool) and _is_large(parameter):
        return str(value)
    return value


def _is_large(parameter: Parameter) -> bool:
    return parameter.type.name in ("uint96", "uint160", "uint256") or parameter.name == "slashFraction"


def _show_argument(parameter: Parameter, value: Any) -> str:
    if parameter.type.name == "address":
        return checksum(bytes.fromhex(value[2:]))
    if parameter.name in ("until", "nextChangeAt"):
        return show_time(value)
    if parameter.type.name == "uint256" and parameter.name in ("stake", "needed", "total", "displacedStake"):
        return show_coins(value)
    return str(value)


def show_coins(wei: int | str) -> str:
    """Whole coins with as many decimals as it takes."""
    text = f"{Decimal(wei).scaleb(-18):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def show_time(seconds: int) -> str:
    """UTC; "-" for zero and for what no calendar has."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds else "-"
    except (ValueError, OverflowError, OSError):
        return "never"
