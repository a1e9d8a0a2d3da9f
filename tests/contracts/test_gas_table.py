"""The table of gas: every function has a row, the native licence check is cheaper, and the page says what is measured."""

from __future__ import annotations

import os

import pytest

from bench.market_gas import TABLE, find_forgotten, measure_checks, render
from bench.market_gas_scenes import Row, measure_market


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return measure_market()


def test_every_function_of_users_is_measured(rows: list[Row]) -> None:
    assert find_forgotten(rows) == []
    assert all(21_000 < gas < 2_000_000 for _, _, _, gas in rows)


def test_a_licence_check_costs_less_than_in_solidity() -> None:
    for question, native, solidity in measure_checks():
        assert native < solidity, question


@pytest.mark.skipif(os.environ.get("MARKET") != "full", reason="of make market-test: the page follows the contracts")
def test_the_page_says_what_is_measured(rows: list[Row]) -> None:
    assert TABLE.read_text() == render(rows, measure_checks()), "python bench/market_gas.py --write"
