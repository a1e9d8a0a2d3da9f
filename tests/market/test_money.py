"""Amounts as text and as whole numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmchain.market import NATIVE, Token, errors, format_amount, parse_amount
from dmchain.market.money import parse_decimal, split_amount

USD = Token("0x" + "11" * 20, "USD", 6)
WHOLE = Token("0x" + "22" * 20, "PCS", 0)


@pytest.mark.parametrize(
    ("text", "token", "amount"),
    [
        ("12.50 USD", USD, 12_500_000),
        ("12.5", USD, 12_500_000),
        ("0.000001 USD", USD, 1),
        ("1,000,000.25 usd", USD, 1_000_000_250_000),
        ("1_000 USD", USD, 1_000_000_000),
        ("1.500000000", USD, 1_500_000),
        ("0.1 DM", NATIVE, 10**17),
        ("7 PCS", WHOLE, 7),
        (f"5 {USD.address}", USD, 5_000_000),
    ],
)
def test_text_becomes_smallest_units(text: str, token: Token, amount: int) -> None:
    assert parse_amount(text, token) == amount


@pytest.mark.parametrize(
    "text",
    [
        "",
        "USD",
        "-1 USD",
        "1e3 USD",
        ".5 USD",
        "5. USD",
        "1,00 USD",
        "1.0000001 USD",
        "12 DM",
        "٥ USD",
        "1 2 USD",
        "0x10",
        "nan",
    ],
)
def test_what_is_no_amount_of_the_token_is_refused(text: str) -> None:
    with pytest.raises(errors.InvalidInput, match="amount: got"):
        parse_amount(text, USD)


def test_more_than_any_token_has_is_refused() -> None:
    with pytest.raises(errors.InvalidInput, match="more than any token has"):
        parse_decimal(str(2**256), 0)


@pytest.mark.parametrize(
    ("amount", "token", "text"),
    [
        (12_500_000, USD, "12.50 USD"),
        (0, USD, "0.00 USD"),
        (1, USD, "0.000001 USD"),
        (24_375_000, USD, "24.375 USD"),
        (-1_000_000, USD, "-1.00 USD"),
        (10**18, NATIVE, "1.00 DM"),
        (7, WHOLE, "7 PCS"),
    ],
)
def test_smallest_units_become_text(amount: int, token: Token, text: str) -> None:
    assert format_amount(amount, token) == text


@given(amount=st.integers(0, 2**256 - 1), decimals=st.integers(0, 36))
def test_what_is_shown_can_be_read_again(amount: int, decimals: int) -> None:
    token = Token("0x" + "33" * 20, "T$", decimals)
    assert parse_amount(format_amount(amount, token), token) == amount


@given(st.text(max_size=30))
def test_no_text_is_read_as_something_it_does_not_say(text: str) -> None:
    try:
        number, symbol = split_amount(text)
    except errors.InvalidInput:
        return
    assert text.split() == [each for each in (number, symbol) if each] or text.strip() == number + symbol
