"""Noise XX against the published vector, an independent implementation, and altered messages."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from noise.connection import Keypair, NoiseConnection

from dmchain.node.network.noise import MAX_PLAINTEXT_BYTES, PROTOCOL, Cipher, NoiseError, NoiseXX

PROLOGUE = b"prologue"

# Noise_XX_25519_ChaChaPoly_SHA256 of the cacophony test vectors (github.com/haskell-cryptography/cacophony)
VECTOR_PROLOGUE = bytes.fromhex("4a6f686e2047616c74")
VECTOR_KEYS = {
    name: X25519PrivateKey.from_private_bytes(bytes.fromhex(secret))
    for name, secret in {
        "initiator static": "e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1",
        "initiator ephemeral": "893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a",
        "responder static": "4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893",
        "responder ephemeral": "bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b",
    }.items()
}
VECTOR_HANDSHAKE_HASH = "c8e5f64e846193be2a834104c2a009868d6c9f3bd3c186299888b488b2f1f58e"
VECTOR_MESSAGES = (  # (payload, message), the initiator's first
    (
        "4c756477696720766f6e204d69736573",
        "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c79444c756477696720766f6e204d69736573",
    ),
    (
        "4d757272617920526f746862617264",
        "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f14480884381cbad1f276e038c48378ffce2b65285e08d6b68"
        "aaa3629a5a8639392490e5b9bd5269c2f1e4f488ed8831161f19b7815528f8982ffe09be9b5c412f8a0db50f8814c7194e83f23d"
        "bd8d162c9326ad",
    ),
    (
        "462e20412e20486179656b",
        "c7195ffacac1307ff99046f219750fc47693e23c3cb08b89c2af808b444850a80ae475b9df0f169ae80a89be0865b57f58c9fea0"
        "d4ec82a286427402f113e4b6ae769a1d95941d49b25030",
    ),
    ("4361726c204d656e676572", "96763ed773f8e47bb3712f0e29b3060ffc956ffc146cee53d5e1df"),
    ("4a65616e2d426170746973746520536179", "3e40f15f6f3a46ae446b253bf8b1d9ffb6ed9b174d272328ff91a7e2e5c79c07f5"),
    (
        "457567656e2042f6686d20766f6e2042617765726b",
        "eb3f3515110702e047a6c9da4478b6ead94873c11c0f2d710ddb3f09fce024b3a58502ae3f",
    ),
)


def pair(prologue: bytes = PROLOGUE, other: bytes | None = None) -> tuple[NoiseXX, NoiseXX]:
    return (
        NoiseXX(is_initiator=True, static=X25519PrivateKey.generate(), prologue=prologue),
        NoiseXX(is_initiator=False, static=X25519PrivateKey.generate(), prologue=prologue if other is None else other),
    )


def shake_hands(initiator: NoiseXX, responder: NoiseXX) -> None:
    writer, reader = initiator, responder
    for payload in (b"", b"responder", b"initiator"):
        assert reader.read_message(writer.write_message(payload)) == payload
        writer, reader = reader, writer


def test_published_vector() -> None:
    ends = [
        NoiseXX(
            is_initiator=role == "initiator",
            static=VECTOR_KEYS[f"{role} static"],
            prologue=VECTOR_PROLOGUE,
            ephemeral=VECTOR_KEYS[f"{role} ephemeral"],
        )
        for role in ("initiator", "responder")
    ]
    for number, (payload, message) in enumerate(VECTOR_MESSAGES[:3]):
        writer, reader = ends[number % 2], ends[1 - number % 2]
        assert writer.write_message(bytes.fromhex(payload)).hex() == message
        assert reader.read_message(bytes.fromhex(message)).hex() == payload
    assert [end.handshake_hash.hex() for end in ends] == [VECTOR_HANDSHAKE_HASH] * 2
    ciphers = [end.split() for end in ends]
    for number, (payload, message) in enumerate(VECTOR_MESSAGES[3:]):
        writer = 1 - number % 2  # the responder writes the first one
        assert ciphers[writer][0].seal(bytes.fromhex(payload)).hex() == message
        assert ciphers[1 - writer][1].open(bytes.fromhex(message)).hex() == payload


@pytest.mark.parametrize("is_initiator", [True, False])
def test_understands_an_independent_implementation(is_initiator: bool) -> None:
    ours = NoiseXX(is_initiator=is_initiator, static=X25519PrivateKey.generate(), prologue=PROLOGUE)
    theirs = NoiseConnection.from_name(PROTOCOL)
    theirs.set_keypair_from_private_bytes(Keypair.STATIC, X25519PrivateKey.generate().private_bytes_raw())
    theirs.set_prologue(PROLOGUE)
    (theirs.set_as_responder if is_initiator else theirs.set_as_initiator)()
    theirs.start_handshake()
    for number in range(3):
        payload = b"payload %d" % number
        if ours.is_our_turn:
            assert theirs.read_message(ours.write_message(payload)) == payload
        else:
            assert ours.read_message(bytes(theirs.write_message(payload))) == payload
    assert ours.is_complete
    assert ours.handshake_hash == theirs.get_handshake_hash()
    sending, receiving = ours.split()
    for number in range(3):
        text = b"message %d" % number
        assert theirs.decrypt(sending.seal(text)) == text
        assert receiving.open(bytes(theirs.encrypt(text))) == text


def test_both_ends_learn_each_others_static_key_and_share_a_hash() -> None:
    initiator, responder = pair()
    shake_hands(initiator, responder)
    assert initiator.is_complete and responder.is_complete
    assert initiator.handshake_hash == responder.handshake_hash
    assert initiator.remote_static == responder._static.public_key().public_bytes_raw()
    assert responder.remote_static == initiator._static.public_key().public_bytes_raw()


def test_another_prologue_fails_at_the_second_message() -> None:
    initiator, responder = pair(other=b"other")
    responder.read_message(initiator.write_message())
    with pytest.raises(NoiseError, match="authenticate"):
        initiator.read_message(responder.write_message())


@pytest.mark.parametrize("number", [1, 2])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_an_altered_message_is_refused(number: int, data: st.DataObject) -> None:
    writer, reader = pair()
    for _ in range(number):
        reader.read_message(writer.write_message(b"payload"))
        writer, reader = reader, writer
    message = bytearray(writer.write_message(b"payload"))
    position = data.draw(st.integers(0, len(message) - 1))
    message[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(NoiseError):
        reader.read_message(bytes(message))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 2))
def test_whatever_comes_is_refused_as_a_noise_error_or_understood(garbage: bytes, number: int) -> None:
    writer, reader = pair()
    for _ in range(number):
        reader.read_message(writer.write_message())
        writer, reader = reader, writer
    try:
        reader.read_message(garbage)
    except NoiseError:
        return
    assert number == 0 and len(garbage) >= 32  # only the first message is in the clear


def test_a_key_of_low_order_is_refused() -> None:
    initiator, responder = pair()
    initiator.write_message()
    responder.read_message(bytes(32))
    with pytest.raises(NoiseError, match="low order"):
        responder.write_message()


def test_ciphers_take_messages_once_and_in_order() -> None:
    sealing, opening = Cipher(b"k" * 32), Cipher(b"k" * 32)
    first, second, third = (sealing.seal(text) for text in (b"first", b"second", b"third"))
    assert opening.open(first) == b"first"
    with pytest.raises(NoiseError):
        opening.open(first)  # again; whatever does not open uses up its turn
    assert opening.open(third) == b"third"
    with pytest.raises(NoiseError):
        opening.open(second)  # too late


def test_the_largest_message_fits_its_length_field() -> None:
    assert len(Cipher(b"k" * 32).seal(bytes(MAX_PLAINTEXT_BYTES))) == 65535
