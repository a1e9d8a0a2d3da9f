"""Editors and mypy see what an operation returns, blocking or awaited, and what it takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

RIGHT = """
from typing import assert_type
from dmchain.market import AsyncMarket, Market
from dmchain.market.models import Dispute, License, Member, Purchase

def blocking(market: Market) -> None:
    assert_type(market.buy(7, 2, licensee="0x"), Purchase)
    assert_type(market.disputes.open(1, "Qm"), Dispute)
    assert_type(market.quality.operators.join("1 DM"), Member)

async def awaited(market: AsyncMarket) -> None:
    assert_type(await market.buy(7), Purchase)
    assert_type(await market.verify("0x"), License)
    assert_type(await market.disputes.jurors.leave(), Member)
"""

WRONG = """
from dmchain.market import AsyncMarket, Market
from dmchain.market.models import Purchase

def mistakes(market: Market, other: AsyncMarket) -> None:
    market.buy("seven")
    market.buy(7, licencee="0x")
    purchase: Purchase = other.buy(7)
    market.no_such_operation()
"""


def check(tmp_path: Path, source: str) -> list[str]:
    path = tmp_path / "sample.py"
    path.write_text(source)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return [line for line in done.stdout.splitlines() if "error:" in line]


def test_results_and_arguments_have_their_types(tmp_path: Path) -> None:
    assert check(tmp_path, RIGHT) == []
    wrong = check(tmp_path, WRONG)
    assert [int(line.split(":")[1]) for line in wrong] == [6, 7, 8, 9], wrong
