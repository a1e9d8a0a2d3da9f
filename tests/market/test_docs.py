"""docs/market/sdk.md, docs/market/cli.md and the example do what they say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from dmchain.market import AsyncMarket, Market
from dmchain.market.steps import Group, operation
from dmchain.testing import Devnet
from tests.market.pages import run_page

ROOT = Path(__file__).resolve().parents[2]
SDK = (ROOT / "docs/market/sdk.md").read_text()


def test_the_program_of_the_sdk_page_runs(devnet: Devnet) -> None:
    program = "\n".join(re.findall(r"```python\n(.*?)```", SDK, re.DOTALL))
    program = program.replace("http://127.0.0.1:8545", devnet.url)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_commands_of_the_cli_page_do_what_it_says(
    devnet: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_page("cli.md", devnet.url, tmp_path, monkeypatch)


def test_the_example_runs(devnet: Devnet) -> None:
    command = [sys.executable, str(ROOT / "examples/market_sdk.py"), devnet.url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "licensed: True" in done.stdout and "to fetch after cancelling: 20.00 tUSD" in done.stdout


def operations_of(group: object, prefix: str = "") -> set[str]:
    """Names of all operations of a market, those of its groups with the group's."""
    found = {
        prefix + name
        for kind in type(group).__mro__
        for name, value in vars(kind).items()
        if isinstance(value, operation)
    }
    for name, value in vars(group).items():
        if isinstance(value, Group):
            found |= operations_of(value, f"{prefix}{name}.")
    return found


def test_the_sdk_page_names_every_operation() -> None:
    market = Market("http://127.0.0.1:1")
    names = operations_of(market)
    assert names == operations_of(AsyncMarket("http://127.0.0.1:1")) and len(names) > 100
    table = SDK.split("## All operations", 1)[1]
    shared = {"chain_id", "address", "contract_address"}
    for name in sorted(each for each in names - shared if not each.startswith("quality.operators.")):
        group, _, last = name.rpartition(".")
        is_there = f"`{last}`" in table or f"`.{last}`" in table or f"`{name}`" in table or f"`{last}(" in table
        assert is_there and group.partition(".")[0] in table, name
