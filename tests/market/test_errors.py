"""Every custom error of every contract becomes an exception that says its arguments."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi import encode

from dmchain.market import errors
from dmchain.market.abi import Entry, Parameter, known_errors, known_interfaces
from dmchain.market.errors import Reverted, decode_revert
from dmchain.market.hint_texts import HINTS
from dmchain.market.hints import explain as explanation_of

ENTRIES = [
    pytest.param(entry, id=f"{entry.contract}.{entry.name}")
    for interface in known_interfaces()
    for entry in interface.errors.values()
]
NOW = 1_700_000_000


def sample(parameter: Parameter) -> Any:
    kind = parameter.type
    if kind.endswith("]"):
        element = Parameter("", kind[: kind.rindex("[")], parameter.fields)
        return [sample(element)]
    if parameter.fields:
        return tuple(sample(each) for each in parameter.fields)
    if kind == "address":
        return "0x" + "ab" * 20
    if kind == "bool":
        return True
    if kind == "string":
        return "why"
    if kind == "bytes":
        return b"\x01\x02"
    if kind.startswith("bytes"):
        return b"\x07" * int(kind[5:])
    return 1


def revert_data(entry: Entry) -> bytes:
    types = [each.type for each in entry.inputs]
    return entry.digest[:4] + encode(types, [sample(each) for each in entry.inputs])


@pytest.mark.parametrize("entry", ENTRIES)
def test_an_error_of_a_contract_is_decoded_by_name(entry: Entry) -> None:
    error = decode_revert(revert_data(entry))
    assert type(error) is getattr(errors, entry.name)
    assert isinstance(error, Reverted)
    assert error.name == entry.name and str(error).startswith(entry.name)
    assert len(error.arguments) == len(entry.inputs)
    assert "{" not in explanation_of(entry).text  # links of NatSpec are for its own readers


def test_contracts_agree_about_what_an_error_with_one_selector_says() -> None:
    for selector, entries in known_errors().items():
        assert len({entry.signature for entry in entries}) == 1, selector.hex()


def test_every_hint_is_about_an_error_that_exists() -> None:
    names = {entry.name for entries in known_errors().values() for entry in entries}
    assert set(HINTS) <= names, set(HINTS) - names


def test_contracts_are_called_by_name_and_times_are_dates() -> None:
    entry = next(each.values[0] for each in ENTRIES if each.id == "IStaking.StillJailed")
    assert isinstance(entry, Entry)
    address = "0x" + "Ab" * 20
    data = entry.digest[:4] + encode([each.type for each in entry.inputs], [address, NOW])
    from eth_utils.address import to_checksum_address

    text = str(decode_revert(data, names={to_checksum_address(address): "SomeContract"}))
    assert "SomeContract" in text and "2023-11-14 22:13:20 UTC" in text


def test_plain_reverts_and_panics_are_told() -> None:
    with_reason = bytes.fromhex("08c379a0") + encode(["string"], ["too late"])
    assert str(decode_revert(with_reason)) == "the contract refused: too late"
    assert "overflow" in str(decode_revert(bytes.fromhex("4e487b71") + (0x11).to_bytes(32, "big")))
    assert "without saying why" in str(decode_revert(b""))


@pytest.mark.parametrize(
    "data",
    [b"\x01", b"\xff" * 4, b"\xff" * 1000, bytes.fromhex("08c379a0"), bytes.fromhex("08c379a0") + b"\xff" * 64],
)
def test_garbage_is_shown_as_it_is(data: bytes) -> None:
    assert isinstance(decode_revert(data), Reverted)


def test_a_truncated_error_is_not_believed() -> None:
    entry = next(each.values[0] for each in ENTRIES if each.id == "IStaking.StillJailed")
    assert isinstance(entry, Entry)
    assert type(decode_revert(entry.digest[:4] + b"\x00" * 31)) is Reverted


def test_an_error_that_no_contract_has_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no contract has such an error"):
        _ = errors.NoSuchErrorAnywhere


def test_reasons_cannot_steer_the_terminal() -> None:
    data = bytes.fromhex("08c379a0") + encode(["string"], ["\x1b[2J\u202egone"])
    assert str(decode_revert(data)) == "the contract refused: \\x1b[2J\\u202egone"
    failure = errors.RpcFailure("eth_call", {"code": 1, "message": "\x1b]0;title\x07"})
    assert str(failure) == "eth_call: \\x1b]0;title\\x07"
