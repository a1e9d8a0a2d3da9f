"""`dmchain market` as a user runs it: data on stdout, talk on stderr, hints, exit status, never a traceback."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest

from dmchain.market import one_time
from dmchain.node.cli.app import app, main
from dmchain.node.cli.market import COMMANDS, market
from dmchain.node.cli.market_common import show_duration, show_field
from dmchain.testing import Devnet
from tests.market.world import World

PROVIDER, CONSUMER = ("--devnet-account", "1"), ("--devnet-account", "2")


@dataclass(frozen=True, slots=True)
class Done:
    """What a command said."""

    stdout: str
    stderr: str


class Cli:
    """Runs commands against a devnet as the program does, in this process: starting one each time takes a second."""

    def run(self, *arguments: str, status: int = 0) -> Done:
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            main(["market", *arguments])
        assert (ended.value.code or 0) == status, f"{arguments}\n{out.getvalue()}{err.getvalue()}"
        return Done(out.getvalue(), err.getvalue())

    def json(self, *arguments: str, status: int = 0) -> Any:
        return json.loads(self.run(*arguments, "--json", status=status).stdout)


@pytest.fixture
def cli(devnet: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("DMCHAIN_RPC", devnet.url)
    monkeypatch.chdir(tmp_path)
    return Cli()


def leaves(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """All commands that do something, with their names."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    ctx = click.Context(command)
    for name in command.list_commands(ctx):
        found = command.get_command(ctx, name)
        assert found is not None
        yield from leaves(found, (*path, name))


ALL = list(leaves(market, ("market",)))


@pytest.mark.parametrize(
    ("path", "command"), ALL, ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_every_command_has_help_json_and_an_example_of_its_own(path: tuple[str, ...], command: click.Command) -> None:
    text = command.help or ""
    assert f"dmchain {' '.join(path)}" in text.split("Example:", 1)[1], path
    assert "as_json" in {each.name for each in command.params}


@pytest.mark.parametrize(
    ("path", "command"), ALL, ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_every_example_is_understood(path: tuple[str, ...], command: click.Command) -> None:
    """Options and arguments of the examples parse; files and addresses in them are not there."""
    import shlex

    line = (command.help or "").split("Example:", 1)[1].strip().splitlines()[0]
    words = shlex.split(line)[1 + len(path) :]
    if path[-1] != "cid":
        with click.Context(command, info_name=path[-1]) as ctx:
            command.parse_args(ctx, words)


def test_the_list_of_commands_names_what_there_is() -> None:
    ctx = click.Context(market)
    for name in COMMANDS:
        assert market.get_command(ctx, name) is not None
    assert app.get_command(click.Context(app), "market") is market


def test_help_and_other_commands_do_not_wait_for_web3() -> None:
    code = (
        "import sys\n"
        "from dmchain.node.cli.app import app\n"
        "for arguments in (['--help'], ['market', '--help'], ['market', 'buy', '--help'], ['tx', '--help']):\n"
        "    app.main(arguments, standalone_mode=False)\n"
        "assert not {'web3', 'aiohttp', 'eth'} & set(sys.modules), sorted(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_program_prints_data_on_stdout_and_talk_on_stderr(devnet: Devnet) -> None:
    command = [sys.executable, "-m", "dmchain", "market", "faucet", "1 USD", "--json", "--rpc", devnet.url, *CONSUMER]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["events"][0]["name"] == "Transfer"
    assert done.stderr.startswith("mint: sent 0x")


def test_a_purchase_from_file_to_payout(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("a,b\n1,2\n")
    listed = cli.json("publish", "data.csv", "--spdx", "CC-BY-4.0", "--price", "25 USD", "--escrow", "3d", *PROVIDER)
    assert listed["offerIds"] == [1] and listed["cid"] == cli.json("cid", "data.csv")["cid"]

    assert "offer 1: 25.00 tUSD once, escrow 3d" in cli.run("list").stdout
    bought = cli.run("buy", "1", *CONSUMER)
    assert "amount            25.00 tUSD" in bought.stdout
    assert "purchaseWithPermit: sent 0x" in bought.stderr and "in block 2" in bought.stderr

    assert cli.json("verify", "data.csv", *CONSUMER)["status"] == "valid"
    assert cli.json("verify", "data.csv", *PROVIDER, status=1)["status"] == "none"
    assert cli.json("escrow", "show", "1")["amount"] == "25000000"
    cli.run("confirm", "1", *CONSUMER)
    (owed,) = cli.json("payouts", "show", *PROVIDER)
    assert owed["amount"] == "24375000" and owed["contract"] == "LicenseManager"
    cli.run("payouts", "withdraw", *PROVIDER)
    assert cli.json("payouts", "show", *PROVIDER) == []
    assert "1000024.375 tUSD" in cli.run("balance", "USD", *PROVIDER).stdout


def test_offers_of_every_kind_and_what_is_done_with_them(cli: Cli, world: World) -> None:
    cid = world.cid()
    prices = ("--price", "0.5 DM", "--subscription", "10 USD/30d", "--per-unit", "0.05 USD")
    listed = cli.json("publish", cid, "--spdx", "MIT", *prices, "--lineage-royalty", "5%", *PROVIDER)
    kinds = [each["kind"] for each in cli.json("show", cid)["offers"]]
    assert kinds == ["one_time", "subscription", "pay_per_compute"]
    once, periods, units = listed["offerIds"]
    assert cli.json("quote", str(periods), "3")["amount"] == "30000000"

    subscription = cli.json("subscribe", cid, "--periods", "3", *CONSUMER)
    cli.run("cancel", str(subscription["termId"]), *CONSUMER)
    assert [each["amount"] for each in cli.json("payouts", "show", *CONSUMER)] == ["20000000"]

    other = ("--devnet-account", "3")
    cli.run("buy", str(units), "100", *other)
    assert cli.json("consume", cid, "7", *other) == 93
    assert cli.json("buy", str(once), "--devnet-account", "4")["amount"] == str(5 * 10**17)

    stream = cli.json("stream", "start", str(periods), "--lasting", "30d", "--devnet-account", "5")
    assert stream["deposit"] == "10000000"
    assert cli.json("stream", "cancel", str(stream["streamId"]), "--devnet-account", "5")["state"] == "ended"

    assert cli.json("find", "--kind", "subscription")[0]["cid"] == cid
    assert cli.json("find", "--spdx", "CC-BY-4.0") == []
    cli.run("offer", "close", str(periods), *PROVIDER)
    closed = cli.run("buy", str(periods), *CONSUMER, status=1)
    assert closed.stderr.startswith("error: OfferIsClosed: the offer is closed (offerId 2)\nhint: ")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("buy", "99", *CONSUMER), 1, "error: UnknownOffer: there is no such offer (offerId 99)"),
        (("buy", "1"), 2, "give one of --key-file, --private-key-file and --devnet-account"),
        (("show", "nonsense"), 1, "error: data set: got 'nonsense', expected 0x and 64 hex digits, or a CID"),
        (("show", "0x" + "00" * 32), 1, "error: UnknownDataset: no such data set is registered"),
        (("publish", "./none.csv", "--spdx", "MIT", *PROVIDER), 2, "./none.csv: no such file, and no CID"),
        (("publish", "none", "--spdx", "MIT", *PROVIDER), 1, "error: CID: got 'none'"),
        (("verify", "0x" + "00" * 32, "0x12"), 1, "error: address: got '0x12', expected 0x and 40 hex digits"),
        (("list", "--chain-id", "5"), 1, "got chain id 1337, expected 5"),
        (("list", "--rpc", "http://127.0.0.1:1"), 1, "Connection refused"),
        (("faucet", "10001 USD", *CONSUMER), 1, "error: FaucetLimitExceeded: the faucet gives at most"),
        (("faucet", "much", *CONSUMER), 1, "error: amount: got 'much', expected a number"),
        (("dispute", "show", "7"), 1, "error: UnknownDispute: there is no such dispute (disputeId 7)"),
        (("governance", "show", "seven"), 2, "got 'seven', expected the number of a proposal"),
        (
            ("governance", "propose", "x", "Nothing", "f", *CONSUMER),
            1,
            "error: contract: got 'Nothing', expected one of",
        ),
        (("offer", "make", "0x" + "00" * 32, *PROVIDER), 2, "give --price, --subscription or --per-unit"),
        (("stream", "start", "1", *CONSUMER), 1, "error: stream: give either deposit or lasting"),
    ],
)
def test_what_goes_wrong_is_one_line_and_a_hint(
    cli: Cli, arguments: tuple[str, ...], status: int, message: str
) -> None:
    done = cli.run(*arguments, status=status)
    assert message in done.stderr and not done.stdout


def test_without_web3_the_command_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "web3.py").write_text("raise ImportError('No module named web3')\n")
    done = subprocess.run(
        [sys.executable, "-m", "dmchain", "market", "list"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "error: dmchain.market needs web3.py (No module named web3)\nhint: pip install 'dmchain[market]'\n"
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "-"), (1, "1s"), (90, "90s"), (3600, "1h"), (86_400, "1d"), (30 * 86_400, "30d"), (604_800, "1w")],
)
def test_durations_are_shown_as_they_are_given(seconds: int, text: str) -> None:
    assert show_duration(seconds) == text


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("expires_at", 0, "-"),
        ("expires_at", 1_700_000_000, "2023-11-14 22:13:20 UTC"),
        ("units", 1_700_000_000, "1700000000"),
        ("lineage_royalty_bps", 250, "2.5 %"),
        ("owner", "0x" + "00" * 20, "-"),
        ("closed", False, "no"),
        ("period", 86_400, "1d"),
    ],
)
def test_fields_are_shown_for_people(name: str, value: Any, text: str) -> None:
    assert show_field(name, value) == text


def test_text_of_a_listing_cannot_steer_the_terminal(cli: Cli, world: World) -> None:
    world.publish([one_time("1 USD")], format="text/\x1b[2J\u202ecsv", metadata_uri="x\ny\x07")
    for arguments in (("list",), ("show", world.provider.list().items[0].listing.dataset_id)):
        shown = cli.run(*arguments).stdout
        assert "\\x1b[2J\\u202ecsv" in shown
        assert not {"\x1b", "\u202e", "\x07"} & set(shown)
