"""Records of validators: what is taken, what is refused, and what is a lie."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dmchain.chain.primitives.crypto import PrivateKey, keccak
from dmchain.chain.primitives.types import Address, Hash32
from dmchain.node.network.errors import ProtocolError
from dmchain.node.network.identity import ChainIdentity
from dmchain.node.network.messages import ValidatorRecord, ValidatorRecords
from dmchain.node.network.transport import Endpoint
from dmchain.node.network.validator_records import (
    LIFETIME_SECONDS,
    MAX_RECORDS,
    MAX_SKEW_SECONDS,
    MIN_RENEWAL_SECONDS,
    ValidatorBook,
    check_validator_record,
    make_validator_record,
    validator_endpoint,
)
from dmchain.node.network.wire import FrameDecoder, encode

CHAIN = ChainIdentity(1337, Hash32(b"\x11" * 32))
NOW = 1_750_000_000
WHERE = Endpoint("10.0.0.7", 30333)


def key(name: str) -> PrivateKey:
    return PrivateKey(keccak(name.encode()))


def record(
    name: str = "v", *, node: str | None = None, now: int = NOW, endpoint: Endpoint | None = WHERE
) -> ValidatorRecord:
    return make_validator_record(key(name), key(node or f"node of {name}"), CHAIN, endpoint, now)


def book(*strangers: str) -> ValidatorBook:
    """One that knows everybody but `strangers`."""
    unknown = {key(name).address for name in strangers}
    return ValidatorBook(CHAIN, lambda address: address not in unknown)


@pytest.mark.parametrize("endpoint", [WHERE, Endpoint("2001:db8::1", 1), None])
def test_a_record_says_who_votes_where(endpoint: Endpoint | None) -> None:
    made = record(endpoint=endpoint)
    check_validator_record(made, CHAIN)
    assert validator_endpoint(made) == endpoint
    known = book()
    assert known.take(made, NOW) and not known.take(made, NOW)
    assert known.validator_of(key("node of v").address) == key("v").address
    assert known.get(key("v").address) == made and known.records() == (made,)


def test_records_travel_in_frames() -> None:
    message = ValidatorRecords((record(), record("w", endpoint=None)))
    decoder = FrameDecoder()
    decoder.receive_data(encode(message))
    frame = decoder.next_frame()
    assert frame is not None and frame.message == message


@pytest.mark.parametrize(
    "change",
    [
        {"node_id": Address(b"\x01" * 20)},
        {"consensus": Address(b"\x01" * 20)},
        {"ip": b"\x0a\0\0\x08"},
        {"port": 1},
        {"sequence": NOW + 1},
        {"expires": NOW + 60},
        {"consensus_signature": bytes(65)},
        {"node_signature": bytes(65)},
    ],
)
def test_whatever_is_changed_is_a_lie(change: dict[str, object]) -> None:
    with pytest.raises(ProtocolError, match="validator record"):
        book().take(replace(record(), **change), NOW)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change", [{"ip": b"123"}, {"port": 0}, {"ip": b""}, {"expires": NOW + LIFETIME_SECONDS + 1}]
)
def test_ill_formed_records_are_refused_before_any_signature(change: dict[str, object]) -> None:
    with pytest.raises(ProtocolError, match=r"got an address|lives for"):
        check_validator_record(replace(record(), **change), CHAIN)  # type: ignore[arg-type]


def test_a_record_of_another_chain_is_a_lie() -> None:
    with pytest.raises(ProtocolError, match="not signed by"):
        check_validator_record(record(), ChainIdentity(1337, Hash32(b"\x12" * 32)))


def test_nobody_claims_the_node_of_another_validator() -> None:
    """The node's own key has to sign: else a validator could take another's place in who is how far."""
    mine = record("v")
    stolen = make_validator_record(key("thief"), key("thief's node"), CHAIN, WHERE, NOW)
    with pytest.raises(ProtocolError, match="not signed by"):
        book().take(replace(stolen, node_id=mine.node_id), NOW)


def test_the_newest_counts_and_haste_is_no_news() -> None:
    known = book()
    assert known.take(record(now=NOW), NOW)
    assert not known.take(record(now=NOW + MIN_RENEWAL_SECONDS - 1), NOW)
    newer = record(now=NOW + MIN_RENEWAL_SECONDS, node="another node")
    assert known.take(newer, NOW)
    assert not known.take(record(now=NOW), NOW)
    assert known.validator_of(key("node of v").address) is None
    assert known.validator_of(key("another node").address) == key("v").address


def test_a_node_that_votes_with_another_key_leaves_the_old_one() -> None:
    known = book()
    known.take(record("v"), NOW)
    assert known.take(record("w", node="node of v"), NOW)
    assert known.get(key("v").address) is None and len(known.records()) == 1


def test_unknown_keys_expired_records_and_those_of_the_future_are_not_remembered() -> None:
    known = book("stranger")
    assert not known.take(record("stranger"), NOW)
    assert not known.take(record(now=NOW - LIFETIME_SECONDS), NOW)
    assert not known.take(record(now=NOW + MAX_SKEW_SECONDS + 1), NOW)
    broken = replace(record("stranger"), consensus_signature=bytes(65))
    assert not known.take(broken, NOW), "what is not wanted costs no signature check"
    assert known.records() == ()


def test_the_book_forgets_and_is_bounded() -> None:
    members = {key("v").address}
    known = ValidatorBook(CHAIN, members.__contains__)
    known.take(record(), NOW)
    known.prune(NOW + LIFETIME_SECONDS - 1)
    assert known.records()
    members.clear()
    known.prune(NOW)
    assert known.records() == () and known.validator_of(key("node of v").address) is None
    full = book()
    full._records = {Address(number.to_bytes(20, "big")): record() for number in range(MAX_RECORDS)}
    assert not full.take(record("one more"), NOW)


def test_only_ip_literals_are_advertised() -> None:
    for endpoint in (Endpoint("localhost", 1), Endpoint("0.0.0.0", 1), Endpoint("10.0.0.1", 0)):
        with pytest.raises(ValueError, match="advertised address"):
            record(endpoint=endpoint)
