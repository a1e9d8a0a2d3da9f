"""`dmchain stake`: become a validator, delegate, and look at who stakes what."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from dmchain.chain.primitives.crypto import PrivateKey
from dmchain.chain.primitives.types import Address
from dmchain.chain.staking.parameters import BPS
from dmchain.chain.staking.possession import prove_possession
from dmchain.marketplace_vm.precompiles.staking_interface import WHOLE_STAKE
from dmchain.node.cli.client import Client, json_option, rpc_option, show
from dmchain.node.cli.keys import load_key
from dmchain.node.cli.parameters import ADDRESS, AMOUNT, checksum
from dmchain.node.cli.staking import StakingClient, show_coins, show_time
from dmchain.node.cli.tx import RECEIPT_TIMEOUT_SECONDS, Fees, sending_options
from dmchain.node.config import ConfigError, load_config
from dmchain.node.home import Home
from dmchain.node.keystore import load_keyfile, read_password
from dmchain.node.randao import ONION_LAYERS, create_seed, load_seed, save_seed

_COIN_FIELDS = ("stake", "selfStake", "rewards", "commission", "amount", "burned", "minimumSelfStake", "blockReward")
_TIME_FIELDS = ("jailedUntil", "commissionChangedAt", "completesAt", "redelegationEndsAt", "startTime", "endsAt")


class Percent(click.ParamType[Any]):
    """`5%` or `2.5%`, to basis points."""

    name = "percent"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        whole, point, rest = value.removesuffix("%").partition(".")
        digits = whole + rest.ljust(2, "0")
        is_number = (
            digits.isascii() and digits.isdecimal() and len(rest) <= 2 and bool(whole) and bool(rest) == bool(point)
        )
        if not value.endswith("%") or not is_number or int(digits) > BPS:
            self.fail(
                f"got {value!r}, expected a percentage from 0% to 100% with up to two decimals, like 2.5%", param, ctx
            )
        return int(digits)


class StakeAmount(click.ParamType[Any]):
    """An amount, or `all`."""

    name = "amount|all"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        return WHOLE_STAKE if value == "all" else AMOUNT.convert(value, param, ctx)


PERCENT = Percent()
STAKE_AMOUNT = StakeAmount()


@click.group()
def stake() -> None:
    """Stake coins: validate, delegate, see rewards. A validator is named by its operator's address.

    \b
    Example:
      dmchain stake validators
      dmchain stake delegate 0x… 500dm --key-file keys/me.json
    """


def _send(client: Client, as_json: bool, options: dict[str, Any], name: str, *arguments: Any, value: int = 0) -> None:
    _report(_submit(client, load_key(options), options, name, *arguments, value=value), as_json)


def _submit(
    client: Client, key: PrivateKey, options: dict[str, Any], name: str, *arguments: Any, value: int = 0
) -> dict[str, Any]:
    """Send a transaction to the contract; return its receipt."""
    return StakingClient(client).send(
        key, name, *arguments, value=value, fees=Fees.of(options), timeout_seconds=RECEIPT_TIMEOUT_SECONDS
    )


def _report(receipt: dict[str, Any], as_json: bool) -> None:
    if as_json:
        show(receipt, True)
        return
    click.echo(f"transaction  {receipt['transactionHash']}")
    if "blockNumber" in receipt:
        click.echo(f"block        {int(receipt['blockNumber'], 16)}")
    for event in receipt.get("events", ()):
        facts = [
            f"{name} {_show_field(name, value)}" for name, value in event.items() if name not in ("event", "publicKey")
        ]
        click.echo(f"{event['event']}: {', '.join(facts)}")


def _show_field(name: str, value: Any) -> str:
    if name in _COIN_FIELDS:
        return show_coins(value)
    if name in _TIME_FIELDS:
        return show_time(value)
    if name.endswith("Bps"):
        return f"{value / 100:g} %"
    return json.dumps(value) if isinstance(value, bool | dict | list) else str(value)


# ---------------------------------------------------------------- validators


@stake.command()
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    help="Of the node that shall validate.",
)
@click.option(
    "--consensus-key-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Instead of --home.",
)
@click.option("--consensus-password-file", type=click.Path(path_type=Path, dir_okay=False), help="Opens it.")
@click.option("--amount", type=AMOUNT, required=True, help="Own stake: 1000dm.")
@click.option("--commission", type=PERCENT, default="5%", show_default=True, help="Of what delegators earn.")
@click.option("--max-commission-change", type=PERCENT, default="1%", show_default=True, help="A day, for ever.")
@sending_options
def register(
    home: Path | None,
    consensus_key_file: Path | None,
    consensus_password_file: Path | None,
    amount: int,
    commission: int,
    max_commission_change: int,
    client: Client,
    as_json: bool,
    **options: Any,
) -> None:
    """Register a validator with its own stake. The sender is its operator; the consensus key stays with the node.

    It signs from the epoch on that begins after this one ends, if its stake is among the highest. With --home a second
    transaction registers what its blocks reveal for prevRandao, as `dmchain stake randao` does.

    \b
    Example:
      dmchain stake register --home ./my-node --amount 1000dm --key-file operator.json
    """
    consensus = _load_consensus_key(home, consensus_key_file, consensus_password_file)
    operator = load_key(options)
    proof = prove_possession(consensus, int(client.call("eth_chainId"), 16), operator.address)
    arguments = (consensus.public_key, proof, commission, max_commission_change)
    receipt = _submit(client, operator, options, "register", *arguments, value=amount)
    if home is not None:
        nonce = None if options["nonce"] is None else options["nonce"] + 1
        second = {**options, "gas": None, "nonce": nonce}
        randao_receipt = _submit(client, operator, second, "setRandao", *_make_onion(home, ONION_LAYERS))
        receipt["randaoTransactionHash"] = randao_receipt["transactionHash"]
        receipt["events"] = [*receipt.get("events", ()), *randao_receipt.get("events", ())]
    _report(receipt, as_json)


def _make_onion(home: Path, layers: int) -> tuple[bytes, int]:
    """Make the next onion of the seed in a home, or the first of a new one; return its anchor and length.

    The seed is on disk before the chain hears of the onion.
    """
    path = home / load_config(Home(home).config)["validator.randao"]
    seed = load_seed(path) if path.exists() else create_seed(path)
    seed.generation += 1
    save_seed(path, seed)
    return seed.make_onion(seed.generation, layers).anchor, layers


@stake.command()
@click.option(
    "--home", type=click.Path(path_type=Path, file_okay=False, exists=True), required=True, help="Of the validator's node."
)
@click.option(
    "--blocks", type=click.IntRange(1, 1 << 24), default=ONION_LAYERS, show_default=True, help="How many it lasts."
)
@sending_options
def randao(home: Path, blocks: int, client: Client, as_json: bool, **options: Any) -> None:
    """Register what the validator's blocks reveal for prevRandao: a new onion of hashes, from the seed in its home.

    It begins one to two epochs later, if the validator is in the set; the old one serves until then. Without one, or when
    it is used up, blocks reveal nothing. The sender is the operator.

    \b
    Example:
      dmchain stake randao --home ./my-node --key-file operator.json
    """
    _send(client, as_json, options, "setRandao", *_make_onion(home, blocks))


def _load_consensus_key(home: Path | None, key_file: Path | None, password_file: Path | None) -> PrivateKey:
    if (home is None) == (key_file is None):
        raise click.UsageError("give either --home or --consensus-key-file")
    if home is not None:
        config = load_config(Home(home).config)
        if not config["validator.key_file"]:
            raise ConfigError(
                f"{Home(home).config}: validator.key_file: missing", hint="`dmchain keys new` makes a key for it"
            )
        key_file, password_file = home / config["validator.key_file"], home / config["validator.password_file"]
    assert key_file is not None
    if password_file is not None:
        password = read_password(password_file)
    else:
        password = str(click.prompt("Password of the consensus key", hide_input=True, err=True))
    return load_keyfile(key_file, password)


@stake.command()
@click.argument("percent", type=PERCENT)
@sending_options
def commission(percent: int, client: Client, as_json: bool, **options: Any) -> None:
    """Change the commission of the sender's validator: once a day, by its maximum change at most.

    \b
    Example:
      dmchain stake commission 4% --key-file operator.json
    """
    _send(client, as_json, options, "setCommission", percent)


@stake.command("withdraw-commission")
@sending_options
def withdraw_commission(client: Client, as_json: bool, **options: Any) -> None:
    """Pay the commission earned so far to the operator, who sends this."""
    _send(client, as_json, options, "withdrawCommission")


@stake.command()
@sending_options
def unjail(client: Client, as_json: bool, **options: Any) -> None:
    """Let the sender's validator be chosen again after its time in jail."""
    _send(client, as_json, options, "unjail")


@stake.command("take-seat")
@click.argument("displaced", type=ADDRESS)
@sending_options
def take_seat(displaced: Address, client: Client, as_json: bool, **options: Any) -> None:
    """Take the seat of a candidate with less stake, when all seats are taken."""
    _send(client, as_json, options, "takeSeat", displaced)


# ---------------------------------------------------------------- delegation


@stake.command()
@click.argument("validator", type=ADDRESS)
@click.argument("amount", type=AMOUNT)
@sending_options
def delegate(validator: Address, amount: int, client: Client, as_json: bool, **options: Any) -> None:
    """Add stake to a validator. It earns with it, and is slashed with it.

    \b
    Example:
      dmchain stake delegate 0x… 500dm --key-file keys/me.json
    """
    _send(client, as_json, options, "delegate", validator, value=amount)


@stake.command()
@click.argument("validator", type=ADDRESS)
@click.argument("amount", type=STAKE_AMOUNT)
@sending_options
def undelegate(validator: Address, amount: int, client: Client, as_json: bool, **options: Any) -> None:
    """Take stake back: it waits out the unbonding period, then `withdraw` pays it."""
    _send(client, as_json, options, "undelegate", validator, amount)


@stake.command()
@click.argument("source", type=ADDRESS, metavar="FROM")
@click.argument("target", type=ADDRESS, metavar="TO")
@click.argument("amount", type=STAKE_AMOUNT)
@sending_options
def redelegate(source: Address, target: Address, amount: int, client: Client, as_json: bool, **options: Any) -> None:
    """Move stake from one validator to another without waiting."""
    _send(client, as_json, options, "redelegate", source, target, amount)


@stake.command()
@sending_options
def withdraw(client: Client, as_json: bool, **options: Any) -> None:
    """Pay out the sender's stake whose unbonding period is over."""
    _send(client, as_json, options, "withdrawUnbonded")


@stake.command()
@click.argument("validator", type=ADDRESS)
@sending_options
def rewards(validator: Address, client: Client, as_json: bool, **options: Any) -> None:
    """Pay out what the sender's stake with a validator has earned."""
    _send(client, as_json, options, "withdrawRewards", validator)


# ---------------------------------------------------------------- views


@stake.command()
@rpc_option
@json_option
def validators(client: Client, as_json: bool) -> None:
    """List all registered validators, most stake first.

    \b
    Example:
      dmchain stake validators --rpc http://127.0.0.1:8545
    """
    found = sorted(StakingClient(client).validators(), key=lambda each: -int(each["stake"]))
    if as_json:
        show(found, True)
        return
    click.echo(f"{'operator':42}  {'stake':>18}  {'own':>18}  commission  state")
    for each in found:
        percent = f"{each['commissionBps'] / 100:g} %"
        click.echo(
            f"{each['operator']}  {show_coins(each['stake']):>18}  {show_coins(each['selfStake']):>18}  {percent:>10}  "
            + _describe_state(each)
        )


def _describe_state(validator: dict[str, Any]) -> str:
    if validator["status"] == "jailed":
        return f"jailed until {show_time(validator['jailedUntil'])}"
    if validator["status"] == "tombstoned":
        return "tombstoned"
    if validator["inSet"]:
        return "in the set"
    return "candidate" if validator["seated"] else "no seat"


def _show_struct(facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        show(facts, True)
    else:
        show({name: _show_field(name, value) for name, value in facts.items()}, False)


@stake.command()
@click.argument("operator", type=ADDRESS)
@rpc_option
@json_option
def validator(operator: Address, client: Client, as_json: bool) -> None:
    """Show one validator."""
    _show_struct(StakingClient(client).view("validator", operator), as_json)


@stake.command()
@click.argument("validator", type=ADDRESS)
@click.argument("delegator", type=ADDRESS)
@rpc_option
@json_option
def delegation(validator: Address, delegator: Address, client: Client, as_json: bool) -> None:
    """Show what an account has staked with one validator."""
    _show_struct(StakingClient(client).view("delegation", validator, delegator), as_json)


@stake.command()
@click.argument("delegator", type=ADDRESS)
@rpc_option
@json_option
def delegations(delegator: Address, client: Client, as_json: bool) -> None:
    """List what an account has staked with each validator, and what is being paid back."""
    staking = StakingClient(client)
    found = []
    for each in staking.validators():
        held = staking.view("delegation", bytes.fromhex(each["operator"][2:]), delegator)
        if int(held["shares"]) or int(held["rewards"]):
            found.append({"validator": each["operator"], **held})
    unbonding = staking.view("unbondings", delegator)
    if as_json:
        show({"delegator": checksum(delegator), "delegations": found, "unbondings": unbonding}, True)
        return
    click.echo(f"{'validator':42}  {'stake':>18}  {'rewards':>24}")
    for each in found:
        click.echo(f"{each['validator']}  {show_coins(each['stake']):>18}  {show_coins(each['rewards']):>24}")
    for each in unbonding:
        click.echo(
            f"{each['validator']}  {show_coins(each['amount']):>18}  unbonding until {show_time(each['completesAt'])}"
        )


@stake.command()
@rpc_option
@json_option
def parameters(client: Client, as_json: bool) -> None:
    """Show the chain's staking parameters, the epoch under way, and totals."""
    staking = StakingClient(client)
    names = ("bonded", "unbonding", "rewards", "minted", "burned")
    totals = dict(zip(names, staking.view("totals"), strict=True))
    facts = {"parameters": staking.view("parameters"), "epoch": staking.view("epoch"), "totals": totals}
    if as_json:
        show(facts, True)
        return
    show(
        {
            **{name: _show_field(name, value) for name, value in facts["parameters"].items()},
            **{f"epoch {name}": _show_field(name, value) for name, value in facts["epoch"].items()},
            **{f"total {name}": show_coins(value) for name, value in totals.items()},
        },
        False,
    )
