"""Values as people give them: what cannot be meant is refused with what was got and what was expected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmchain.chain.primitives.crypto import keccak
from dmchain.market import AsyncMarket, Market, cids, errors
from dmchain.market.addresses import ADDRESSES, merge
from dmchain.market.context import parse_address
from dmchain.market.enums import LicenseKind
from dmchain.market.inputs import bytes32, dataset_id, duration, hashed, kind_of
from dmchain.market.money import split_amount

CID = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
READERS: tuple[Callable[[Any], Any], ...] = (
    dataset_id, duration, kind_of, hashed, parse_address, split_amount, cids.to_bytes, lambda text: bytes32(text, "x"),
)  # fmt: skip
NUMBERS = "0123456789"


@given(
    text=st.one_of(
        st.text(max_size=90), st.text("0123456789abcdefxX. dDmMsS", max_size=90), st.text(NUMBERS, max_size=90)
    )
)
def test_no_text_breaks_a_reader(text: str) -> None:
    for read in READERS:
        try:
            read(text)
        except errors.InvalidInput as error:
            assert "got" in str(error)


@given(st.integers(-(2**300), 2**300))
def test_no_number_breaks_a_reader(number: int) -> None:
    for read in (dataset_id, duration):
        try:
            read(number)
        except errors.InvalidInput as error:
            assert "got" in str(error)


def test_a_data_set_has_many_names() -> None:
    raw = keccak(cids.to_bytes(CID))
    for name in (
        raw,
        "0x" + raw.hex(),
        CID,
        "ipfs://" + CID,
        int.from_bytes(raw, "big"),
        str(int.from_bytes(raw, "big")),
    ):
        assert dataset_id(name) == raw


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("15m", 900), ("12h", 43_200), ("30d", 2_592_000), ("2w", 1_209_600), ("7", 7)]
)
def test_durations(text: str, seconds: int) -> None:
    assert duration(text) == duration(seconds) == seconds


def test_kinds_of_licences_have_names() -> None:
    for name in ("one-time", "one_time", "ONE_TIME"):
        assert kind_of(name) is LicenseKind.ONE_TIME
    assert kind_of("pay-per-compute") is kind_of(LicenseKind.PAY_PER_COMPUTE)


def test_a_name_is_hashed_and_a_hash_is_not() -> None:
    assert hashed("completeness") == keccak(b"completeness")
    assert hashed("0x" + "07" * 32) == b"\x07" * 32 == hashed(b"\x07" * 32)
    assert hashed(None) == hashed("") == bytes(32)


def test_a_checksum_that_does_not_hold_is_refused() -> None:
    good = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
    assert parse_address(good.lower()) == parse_address(good) == good
    with pytest.raises(errors.InvalidInput, match="the checksum does not hold"):
        parse_address(good.replace("C5", "c5"))


@pytest.mark.parametrize("url", ["", "foo", "ftp://x", "http://", "http://[::1", "http://localhost:99999", "8545"])
@pytest.mark.parametrize("kind", [Market, AsyncMarket])
def test_what_is_no_url_of_a_node_is_refused(kind: Any, url: str) -> None:
    with pytest.raises(errors.InvalidInput, match="expected a URL like"):
        kind(url)


def test_addresses_come_from_the_chain_where_it_says_them() -> None:
    other = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
    told = merge({"LicenseManager": other.lower(), "ICidRegistry": other, "TestUSD": "nonsense", "DataListing": None})
    assert told["LicenseManager"] == told["CidRegistry"] == other
    assert told["TestUSD"] == ADDRESSES["TestUSD"] and told["DataListing"] == ADDRESSES["DataListing"]
