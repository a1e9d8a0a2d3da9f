"""What the commands of `dmchain market` share: options, a market opened with them, and how results are shown."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dmchain.node.cli.client import DEFAULT_URL, json_option
from dmchain.node.cli.keys import key_options, load_key
from dmchain.node.cli.parameters import AMOUNT

if TYPE_CHECKING:
    from dmchain.market import Market, Progress, Token

KEY_SOURCES = ("key_file", "private_key_file", "devnet_account")
OPTIONS = (*KEY_SOURCES, "password_file", "rpc", "expected_chain_id", "timeout", "tip", "max_fee")
GOVERNED = ("Proposal", "Standard", "CurationEntry", "Challenge")
"""Results whose amounts are in DMG."""
ZERO_ADDRESS = "0x" + "0" * 40
ZERO_HASH = "0x" + "0" * 64
_TIME_NAME = re.compile(r"(at|until|ends|by|deadline|snapshot|eta)$", re.IGNORECASE)
_EARLIEST_TIME = 10**9
_LATEST_TIME = 2**38

Function = Callable[..., Any]


def reading(example: str) -> Callable[[Function], Function]:
    """Make a function of a market a command's callback: options of the node, and a key or none (for "my own")."""
    return _using(example, is_sending=False)


def sending(example: str) -> Callable[[Function], Function]:
    """As `reading`, with a key and what a transaction takes."""
    return _using(example, is_sending=True)


def _using(example: str, *, is_sending: bool) -> Callable[[Function], Function]:
    def decorate(function: Function) -> Function:
        @wraps(function)
        def command(as_json: bool, **options: Any) -> Any:
            own = {name: options.pop(name, None) for name in OPTIONS}
            market = open_market(own, is_sending=is_sending)
            result = function(market=market, **options)
            show_result(market, result, as_json)
            return 0 if getattr(result, "is_valid", True) else 1

        command.__doc__ = f"{inspect.cleandoc(function.__doc__ or '')}\n\n\b\nExample:\n  {example}\n"
        decorated: Function = command
        if is_sending:
            decorated = click.option("--max-fee", type=AMOUNT, help="Per gas.")(decorated)
            decorated = click.option("--tip", type=AMOUNT, help="Per gas, to the proposer.")(decorated)
            decorated = click.option(
                "--timeout",
                type=click.FloatRange(0, min_open=True),
                default=60.0,
                show_default=True,
                help="Seconds to wait for a transaction.",
            )(decorated)
        decorated = click.option(
            "--chain-id", "expected_chain_id", type=click.IntRange(1), help="Refuse any other chain."
        )(decorated)
        decorated = click.option(
            "--rpc",
            envvar="DMCHAIN_RPC",
            default=DEFAULT_URL,
            show_default=True,
            metavar="URL",
            help="The node to ask.",
        )(decorated)
        return json_option(key_options(decorated))

    return decorate


def open_market(options: dict[str, Any], *, is_sending: bool) -> Market:
    """A market with the options' node and key. Raises DmchainError, UsageError."""
    from dmchain.market import Fees, Market, private_key

    has_key = any(options[name] is not None for name in KEY_SOURCES)
    signer = private_key(load_key(options).secret) if is_sending or has_key else None
    return Market(
        options["rpc"],
        signer,
        chain_id=options["expected_chain_id"],
        timeout=options.get("timeout") or 60.0,
        fees=Fees(tip=options.get("tip"), max_fee=options.get("max_fee")),
        on_progress=_show_progress,
    )


def _show_progress(progress: Progress) -> None:
    match progress.stage:
        case "sent":
            click.echo(f"{progress.action}: sent {progress.transaction_hash}", err=True)
        case "mined":
            click.echo(f"{progress.action}: in block {progress.block_number}", err=True)


def add_id_command(
    group: click.Group, name: str, metavar: str, text: str, example: str, act: Callable[[Market, int], Any]
) -> None:
    """Add a command that does one thing to one numbered thing, in a transaction."""

    def callback(market: Market, number: int) -> Any:
        return act(market, number)

    callback.__doc__ = text
    group.command(name)(click.argument("number", type=ID, metavar=metavar)(sending(example)(callback)))


# ---------------------------------------------------------------- results


def show_result(market: Market, result: Any, as_json: bool) -> None:
    """Print what an operation returned: JSON, or for people. Nothing for None."""
    from dmchain.market import to_json

    if result is None:
        return
    if as_json:
        click.echo(json.dumps(to_json(result)))
    elif isinstance(result, tuple | list):
        for at, each in enumerate(result):
            if at:
                click.echo("")
            show_result(market, each, False)
        if not result:
            click.echo("nothing", err=True)
    elif dataclasses.is_dataclass(result) and not isinstance(result, type):
        for line in describe(market, result):
            click.echo(line)
    else:
        click.echo(result)


def describe(market: Market, result: Any, indent: str = "") -> list[str]:
    """A result as lines `name  value`, with amounts in their token and times as dates."""
    from dmchain.market import Event
    from dmchain.market.structs import amount_fields

    if isinstance(result, Event):
        facts = ", ".join(f"{name} {show_field(name, value)}" for name, value in result.arguments.items())
        return [f"{indent}{result.contract or result.address}.{result.name}: {facts}"]
    token = _token_of(market, result)
    amounts = amount_fields(type(result))
    rows: list[tuple[str, Any]] = []
    for field in dataclasses.fields(result):
        value = getattr(result, field.name)
        if field.name in amounts:
            rows.append((field.name, token.format(value)))
        elif field.name == "token":
            rows.append(("token", f"{token.symbol} {token.address}"))
        else:
            rows.append((field.name, value))
    width = max(len(name) for name, _ in rows)
    lines: list[str] = []
    for name, value in rows:
        label = name.replace("_", " ")
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            lines += [f"{indent}{label}", *describe(market, value, indent + "  ")]
        elif isinstance(value, tuple) and value and dataclasses.is_dataclass(value[0]):
            for each in value:
                inner = describe(market, each, indent + "  ")
                if len(inner) == 1:
                    lines.append(f"{indent}{label.removesuffix('s'):{width}}  {inner[0].strip()}")
                else:
                    lines += [f"{indent}{label.removesuffix('s')}", *inner]
        else:
            lines.append(f"{indent}{label:{width}}  {show_field(name, value)}".rstrip())
    return lines


def _token_of(market: Market, result: Any) -> Token:
    """What the amounts of a result are in: its own token, DMG, or native coin."""
    from dmchain.market import NATIVE
    from dmchain.market.money import Token

    own = getattr(result, "token", None)
    if isinstance(own, Token):
        return own
    if isinstance(own, str):
        return market.tokens.get(own)
    return market.tokens.get("DMG") if type(result).__name__ in GOVERNED else NATIVE


def show_field(name: str, value: Any) -> str:
    """A value as a person reads it."""
    if value is None or value in (ZERO_ADDRESS, ZERO_HASH, ""):
        return "-"
    if value == 0 and (name.endswith(("_at", "_until")) or name in ("eta", "deadline")):
        return "-"
    if isinstance(value, Enum):
        return value.name.lower().replace("_", "-")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(show_field(name, each) for each in value) or "-"
    if isinstance(value, dict):
        return ", ".join(f"{key} {show_field(key, each)}" for key, each in value.items())
    if isinstance(value, int) and name.endswith("_bps"):
        return f"{value / 100:g} %"
    if isinstance(value, int) and name in ("period", "escrow_period", "complete_within"):
        return show_duration(value)
    if isinstance(value, int) and _TIME_NAME.search(name) and _EARLIEST_TIME <= value < _LATEST_TIME:
        return f"{datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M:%S} UTC"
    if isinstance(value, bytes):
        return "0x" + value.hex()
    # text of a listing is anybody's: it must not steer the terminal
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in str(value))


def show_duration(seconds: int) -> str:
    """30 days as `30d`; `-` for none."""
    for unit, size in (("w", 604_800), ("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds and seconds % size == 0 and (unit != "w" or seconds < 52 * size):
            return f"{seconds // size}{unit}"
    return f"{seconds}s" if seconds else "-"


class Shares(click.ParamType[Any]):
    """`5%` or `2.5%`, to hundredths of a percent."""

    name = "percent"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from dmchain.node.cli.stake import PERCENT

        return PERCENT.convert(value, param, ctx)


class Dataset(click.ParamType[Any]):
    """A data set by id or CID, or by a small file whose CID is computed."""

    name = "dataset"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value.startswith("0x") or not is_file(value):
            return str(value)
        from dmchain.market import cids

        return cids.of_file(value)[0]


def is_file(text: str) -> bool:
    """Whether there is such a file; a text that cannot name one names none."""
    try:
        return Path(text).is_file()
    except OSError:
        return False


DATASET = Dataset()
PERCENT = Shares()
ID = click.IntRange(1)
