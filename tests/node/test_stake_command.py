"""Values of `dmchain stake`, and what the contract's errors become."""

from __future__ import annotations

import click
import pytest

from dmchain.marketplace_vm.precompiles import staking_interface as interface
from dmchain.marketplace_vm.precompiles.staking_interface import WHOLE_STAKE
from dmchain.node.cli.client import ClientError
from dmchain.node.cli.stake import PERCENT, STAKE_AMOUNT
from dmchain.node.cli.staking import explain, show_coins, show_time

ALICE = b"\x11" * 20


@pytest.mark.parametrize(("text", "bps"), [("5%", 500), ("2.5%", 250), ("0.01%", 1), ("100%", 10_000), ("0%", 0)])
def test_a_percentage_becomes_basis_points(text: str, bps: int) -> None:
    assert PERCENT.convert(text, None, None) == bps


@pytest.mark.parametrize("text", ["5", "", "%", "-1%", "100.01%", "1.234%", "1.%", ".5%", "five%", "٥%"])
def test_what_is_no_percentage_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="expected a percentage"):
        PERCENT.convert(text, None, None)


def test_all_means_the_whole_stake() -> None:
    assert STAKE_AMOUNT.convert("all", None, None) == WHOLE_STAKE
    assert STAKE_AMOUNT.convert("1.5dm", None, None) == 15 * 10**17


def test_an_error_of_the_contract_is_told_by_name_with_a_hint() -> None:
    data = "0x" + interface.STILL_JAILED(ALICE, 1_700_000_000).data.hex()
    told = explain(ClientError("eth_estimateGas: execution reverted", data=data))
    assert str(told) == (
        "staking: StillJailed: operator 0x1111111111111111111111111111111111111111, until 2023-11-14T22:13:20Z"
    )
    assert told.hint


def test_other_errors_stay_as_they_are() -> None:
    for data in (None, "0x", "0x08c379a0"):
        error = ClientError("eth_estimateGas: execution reverted", data=data)
        assert explain(error) is error


@pytest.mark.parametrize(
    ("wei", "text"),
    [
        (0, "0"),
        (1, "0.000000000000000001"),
        (10**18, "1"),
        (15 * 10**18, "15"),
        (10**20, "100"),
        ("2500000000000000000", "2.5"),
    ],
)
def test_coins_are_shown_without_needless_digits(wei: int | str, text: str) -> None:
    assert show_coins(wei) == text


def test_times_beyond_the_calendar_are_never() -> None:
    assert show_time(0) == "-"
    assert show_time(2**64 - 1) == "never"
