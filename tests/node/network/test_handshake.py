"""Two ends of the handshake without a network: who agrees, who is refused, and with what reason."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmchain.chain.primitives.types import Hash32
from dmchain.node.network.errors import HandshakeError
from dmchain.node.network.handshake import HEADER_BYTES, MAX_HANDSHAKE_BYTES, Handshake, Secured
from dmchain.node.network.identity import ChainIdentity, NodeId, NodeKey
from tests.node.network.nodes import CHAIN, node_key


def ends(
    theirs: ChainIdentity = CHAIN, *, expected: NodeId | None = None, key: NodeKey | None = None
) -> tuple[Handshake, Handshake]:
    """An initiator, node 1, and a responder of chain `theirs`, node 2."""
    return (
        Handshake(key or node_key(1), CHAIN, is_initiator=True, expected=expected),
        Handshake(node_key(2), theirs, is_initiator=False),
    )


def shake_hands(initiator: Handshake, responder: Handshake) -> tuple[Secured, Secured]:
    second = responder.receive_data(initiator.start())
    third = initiator.receive_data(second)
    assert responder.receive_data(third) == b""
    assert initiator.secured is not None and responder.secured is not None
    return initiator.secured, responder.secured


def test_both_ends_learn_who_the_other_is() -> None:
    one, two = shake_hands(*ends())
    assert one.remote == node_key(2).node_id
    assert two.remote == node_key(1).node_id
    assert one.handshake_hash == two.handshake_hash
    assert two.receiving.open(one.sending.seal(b"hello")) == b"hello"


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 60), max_size=12), st.binary(max_size=40))
def test_fragments_and_surplus_do_not_matter(cuts: list[int], surplus: bytes) -> None:
    initiator, responder = ends()
    third = initiator.receive_data(responder.receive_data(initiator.start())) + surplus
    start = 0
    for cut in cuts:
        if responder.secured is None:
            assert responder.receive_data(third[start : start + cut]) == b""
            start += cut
    if responder.secured is None:
        responder.receive_data(third[start:])
        start = len(third)
    assert responder.secured is not None
    assert responder.secured.surplus + third[start:] == surplus


@pytest.mark.parametrize(
    ("theirs", "named"),
    [
        (replace(CHAIN, chain_id=5), "wrong chain: expected chain id 5, got 1337"),
        (replace(CHAIN, genesis_hash=Hash32(b"h" * 32)), "wrong genesis: expected 0x6868"),
        (replace(CHAIN, version=2), "wrong protocol version: expected 2, got 1"),
    ],
)
def test_another_chain_is_refused_at_once_and_both_ends_say_why(theirs: ChainIdentity, named: str) -> None:
    initiator, responder = ends(theirs)
    with pytest.raises(HandshakeError, match=named) as refused:
        responder.receive_data(initiator.start())
    with pytest.raises(HandshakeError, match=named.partition(":")[0]) as told:
        initiator.receive_data(refused.value.reply)
    assert refused.value.score == told.value.score == 0  # an honest node of another chain is no enemy


def test_an_unexpected_identity_is_refused_before_ours_is_told() -> None:
    initiator, responder = ends(expected=node_key(3).node_id)
    second = responder.receive_data(initiator.start())
    with pytest.raises(HandshakeError, match="unexpected identity"):
        initiator.receive_data(second)


class Impostor(NodeKey):
    """Shows the proof of another node, for another Noise key."""

    def make_proof(self, chain: ChainIdentity) -> bytes:
        return node_key(9).make_proof(chain)


class Forger(NodeKey):
    """Shows another's public key with a signature of its own."""

    def make_proof(self, chain: ChainIdentity) -> bytes:
        return node_key(9).make_proof(chain)[:64] + super().make_proof(chain)[64:]


class Stammerer(NodeKey):
    def make_proof(self, chain: ChainIdentity) -> bytes:
        return super().make_proof(chain) + b"\0"


class Scribbler(NodeKey):
    def make_proof(self, chain: ChainIdentity) -> bytes:
        return super().make_proof(chain)[:64] + b"\xff" * 65


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        (Impostor, "bad signature"),
        (Forger, "bad signature"),
        (Scribbler, "bad signature"),
        (Stammerer, "expected 129 bytes, got 130"),
    ],
)
def test_an_identity_that_is_not_proven_is_refused(kind: type[NodeKey], named: str) -> None:
    key = kind(node_key(1)._key)
    initiator, responder = ends(key=key)
    third = initiator.receive_data(responder.receive_data(initiator.start()))
    with pytest.raises(HandshakeError, match=named) as refused:
        responder.receive_data(third)
    assert refused.value.score > 0


def test_a_recorded_handshake_cannot_be_replayed() -> None:
    initiator, responder = ends()
    first = initiator.start()
    third = initiator.receive_data(responder.receive_data(first))
    again = Handshake(node_key(2), CHAIN, is_initiator=False)
    again.receive_data(first)
    with pytest.raises(HandshakeError, match="authenticate"):
        again.receive_data(third)


@pytest.mark.parametrize("first", [b"GET / HTTP/1.1\r\n", b"\x16\x03\x01\x02\x00", b"SSH-2.0-", b"\x00"])
def test_other_protocols_are_recognised_by_one_byte(first: bytes) -> None:
    _, responder = ends()
    with pytest.raises(HandshakeError, match="not a dmchain node"):
        responder.receive_data(first[:1])


def test_an_oversized_message_is_refused_by_its_length() -> None:
    _, responder = ends()
    with pytest.raises(HandshakeError, match=f"at most {MAX_HANDSHAKE_BYTES} bytes, got 2049"):
        responder.receive_data(b"\xd1" + (2049).to_bytes(2, "big"))


def test_a_refusal_only_goes_one_way() -> None:
    _, responder = ends()
    with pytest.raises(HandshakeError, match="refusal from the initiator"):
        responder.receive_data(b"\xd0\x00\x00")


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=100), max_size=5), st.booleans(), st.sampled_from([b"", b"\xd1", b"\xd1\x00\x51"]))
def test_garbage_is_refused_and_never_kept(pieces: list[bytes], is_initiator: bool, head: bytes) -> None:
    end = ends()[0 if is_initiator else 1]
    end.start()
    try:
        for piece in [head, *pieces]:
            end.receive_data(piece)
    except HandshakeError:
        return
    assert end.secured is None
    assert len(end._buffer) <= HEADER_BYTES + MAX_HANDSHAKE_BYTES
