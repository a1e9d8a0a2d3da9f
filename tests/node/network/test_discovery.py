"""Signed peer records, and the file that keeps them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from dmchain.node.network import peer_file
from dmchain.node.network.addresses import AddressBook
from dmchain.node.network.discovery import check_record, is_dialable, make_record
from dmchain.node.network.errors import ProtocolError
from dmchain.node.network.reputation import Reputation
from dmchain.node.network.transport import Endpoint
from tests.node.network.nodes import CHAIN, node_key

KEY = node_key(1)
HOME = Endpoint("203.0.113.7", 30303)


@pytest.mark.parametrize("endpoint", [HOME, Endpoint("2001:db8::7", 1)])
def test_a_record_says_who_is_where(endpoint: Endpoint) -> None:
    assert check_record(make_record(KEY, CHAIN, endpoint, 5), CHAIN) == (KEY.node_id, endpoint)


@pytest.mark.parametrize("endpoint", [Endpoint("example.org", 1), Endpoint("0.0.0.0", 1), Endpoint("203.0.113.7", 0)])
def test_only_an_ip_address_with_a_port_can_be_advertised(endpoint: Endpoint) -> None:
    with pytest.raises(ValueError, match="expected an IP address and a port"):
        make_record(KEY, CHAIN, endpoint, 5)


def test_an_altered_record_is_nobodys_or_refused() -> None:
    record = make_record(KEY, CHAIN, HOME, 5)
    for altered in (
        replace(record, ip=b"\1\2\3\4"),
        replace(record, port=1),
        replace(record, sequence=6),
        replace(record, signature=bytes(65)),
        replace(record, signature=record.signature[:64] + b"\x07"),
    ):
        try:
            node_id, _ = check_record(altered, CHAIN)
        except ProtocolError:
            continue
        assert node_id != KEY.node_id


def test_a_record_of_another_chain_is_not_ours() -> None:
    record = make_record(KEY, replace(CHAIN, chain_id=5), HOME, 5)
    assert check_record(record, CHAIN)[0] != KEY.node_id


@pytest.mark.parametrize("ip", [b"", b"\1\2\3", b"\1" * 5, b"\1" * 15])
def test_half_an_address_is_refused(ip: bytes) -> None:
    with pytest.raises(ProtocolError, match="expected an IP and a port"):
        check_record(replace(make_record(KEY, CHAIN, HOME, 5), ip=ip), CHAIN)


@pytest.mark.parametrize(
    ("host", "is_welcome"),
    [
        ("203.0.113.7", True),
        ("10.0.0.1", True),
        ("127.0.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("169.254.169.254", False),  # where clouds keep secrets
        ("::1", False),
        ("fe80::1", False),
        ("2001:db8::1", True),
        ("localhost", False),
    ],
)
def test_hearsay_does_not_send_us_everywhere(host: str, is_welcome: bool) -> None:
    assert is_dialable(Endpoint(host, 1), allow_loopback=False) == is_welcome


def test_loopback_is_for_devnets() -> None:
    assert is_dialable(Endpoint("127.0.0.1", 1), allow_loopback=True)


def filled() -> tuple[AddressBook, Reputation]:
    book, reputation = AddressBook(Random(1)), Reputation()
    book.learn(KEY.node_id, HOME, make_record(KEY, CHAIN, HOME, 5), 0, is_confirmed=True)
    reputation.charge("node:ab", 100, 0)
    return book, reputation


def test_addresses_and_bans_outlive_the_process(tmp_path: Path) -> None:
    path = tmp_path / "peers.json"
    peer_file.save(path, *filled(), 100)
    book, reputation = AddressBook(Random(1)), Reputation()
    peer_file.load(path, book, reputation, CHAIN, 5000)
    entry = book.get(HOME)
    assert entry is not None and entry.node_id == KEY.node_id
    assert reputation.is_banned("node:ab", 5499) and not reputation.is_banned("node:ab", 5501)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version":2}', b'{"version":1}', b"\xff" * 100, b"1" * 5000])
def test_a_broken_file_is_not_used(tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "peers.json"
    path.write_bytes(content)
    book = AddressBook(Random(1))
    peer_file.load(path, book, Reputation(), CHAIN, 0)
    assert len(book) == 0
    assert "not used" in caplog.text


def test_no_file_is_no_news(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    peer_file.load(tmp_path / "none.json", AddressBook(Random(1)), Reputation(), CHAIN, 0)
    assert not caplog.text


def test_a_file_of_another_chain_gives_no_false_names(tmp_path: Path) -> None:
    path = tmp_path / "peers.json"
    peer_file.save(path, *filled(), 0)
    book = AddressBook(Random(1))
    peer_file.load(path, book, Reputation(), replace(CHAIN, chain_id=5), 0)
    entry = book.get(HOME)
    assert entry is None or entry.node_id != KEY.node_id


def test_a_file_that_cannot_be_written_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    peer_file.save(tmp_path / "missing" / "peers.json", *filled(), 0)
    assert "not written" in caplog.text
