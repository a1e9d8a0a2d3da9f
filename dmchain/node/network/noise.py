"""Noise_XX_25519_ChaChaPoly_SHA256, sans-IO, on the primitives of `cryptography`.

    -> e, payload            the initiator's payload travels in the clear
    <- e, ee, s, es, payload
    -> s, se, payload

Source: The Noise Protocol Framework, revision 34 (noiseprotocol.org/noise.html); names follow its sections 5.1 to 5.3.
Both ends mix the same prologue into the transcript, or the second message does not decrypt.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from dmchain.node.network.errors import NetworkError

PROTOCOL: Final = b"Noise_XX_25519_ChaChaPoly_SHA256"
"""Exactly 32 bytes, the length of the hash, so it is the first transcript hash as it stands (5.2)."""

KEY_BYTES: Final = 32
TAG_BYTES: Final = 16
MAX_MESSAGE_BYTES: Final = 65535
"""Of any Noise message, handshake or transport (section 3)."""
MAX_PLAINTEXT_BYTES: Final = MAX_MESSAGE_BYTES - TAG_BYTES

_PATTERN: Final = (("e",), ("e", "ee", "s", "es"), ("s", "se"))


class NoiseError(NetworkError):
    """A message is too short, was altered, or comes from somebody with another prologue or key."""


class Cipher:
    """One direction of a link: a key and a counter (CipherState). Messages must be opened in the order of sealing."""

    __slots__ = ("_aead", "_nonce")

    def __init__(self, key: bytes) -> None:
        self._aead = ChaCha20Poly1305(key)
        self._nonce = 0

    def seal(self, plaintext: bytes, associated: bytes = b"") -> bytes:
        """Return the ciphertext, TAG_BYTES longer."""
        return self._aead.encrypt(self._next_nonce(), plaintext, associated)

    def open(self, ciphertext: bytes, associated: bytes = b"") -> bytes:
        """Return the plaintext; raises NoiseError when the message is not the next one of the peer."""
        try:
            return self._aead.decrypt(self._next_nonce(), ciphertext, associated)
        except (InvalidTag, ValueError) as error:  # ValueError: shorter than a tag, in some versions
            raise NoiseError("message does not authenticate") from error

    def _next_nonce(self) -> bytes:
        # 2**64 - 1 is reserved (5.1); at a million messages a second it is 580,000 years away
        nonce = bytes(4) + self._nonce.to_bytes(8, "little")
        self._nonce += 1
        return nonce


def _derive_two_keys(chaining_key: bytes, input_key: bytes) -> tuple[bytes, bytes]:
    """HKDF of section 4.3 with two outputs."""
    secret = hmac.digest(chaining_key, input_key, "sha256")
    first = hmac.digest(secret, b"\x01", "sha256")
    return first, hmac.digest(secret, first + b"\x02", "sha256")


class NoiseXX:
    """One handshake, from one end. Call write_message and read_message in turns, the initiator writing first.

    INVARIANT: `messages_done` is 0 to 3, and the initiator writes the even ones. `ephemeral` is given by tests only.
    """

    def __init__(
        self,
        *,
        is_initiator: bool,
        static: X25519PrivateKey,
        prologue: bytes,
        ephemeral: X25519PrivateKey | None = None,
    ) -> None:
        self._is_initiator = is_initiator
        self._static = static
        self._ephemeral = X25519PrivateKey.generate() if ephemeral is None else ephemeral
        self._remote_ephemeral: X25519PublicKey | None = None
        self._remote_static: X25519PublicKey | None = None
        self._hash = PROTOCOL
        self._chaining_key = PROTOCOL
        self._cipher: Cipher | None = None
        self.messages_done = 0
        self._mix_hash(prologue)

    @property
    def is_complete(self) -> bool:
        return self.messages_done == len(_PATTERN)

    @property
    def is_our_turn(self) -> bool:
        return not self.is_complete and self._is_initiator == (self.messages_done % 2 == 0)

    @property
    def handshake_hash(self) -> bytes:
        """32 bytes that both ends of a complete handshake, and nobody else, agree on (channel binding, 11.2)."""
        return self._hash

    @property
    def remote_static(self) -> bytes:
        """The peer's static public key, 32 bytes; known from the message that carries it."""
        assert self._remote_static is not None, "asked for before the peer has sent it"
        return self._remote_static.public_bytes_raw()

    def write_message(self, payload: bytes = b"") -> bytes:
        """Return the next message with `payload` in it; encrypted from the second message on."""
        assert self.is_our_turn, "the peer writes the next message"
        parts = []
        for token in _PATTERN[self.messages_done]:
            if token == "e":
                public = self._ephemeral.public_key().public_bytes_raw()
                self._mix_hash(public)
                parts.append(public)
            elif token == "s":
                parts.append(self._encrypt_and_hash(self._static.public_key().public_bytes_raw()))
            else:
                self._mix_shared_secret(token)
        parts.append(self._encrypt_and_hash(payload))
        self.messages_done += 1
        return b"".join(parts)

    def read_message(self, message: bytes) -> bytes:
        """Take the peer's next message, return its payload; raises NoiseError, after which the handshake is over."""
        assert not self.is_complete and not self.is_our_turn, "it is our turn to write"
        rest = message
        for token in _PATTERN[self.messages_done]:
            if token == "e":
                raw, rest = _split(rest, KEY_BYTES)
                self._remote_ephemeral = X25519PublicKey.from_public_bytes(raw)
                self._mix_hash(raw)
            elif token == "s":
                raw, rest = _split(rest, KEY_BYTES + TAG_BYTES)
                self._remote_static = X25519PublicKey.from_public_bytes(self._decrypt_and_hash(raw))
            else:
                self._mix_shared_secret(token)
        payload = self._decrypt_and_hash(rest)
        self.messages_done += 1
        return payload

    def split(self) -> tuple[Cipher, Cipher]:
        """Return the ciphers for (sending, receiving) once the handshake is complete."""
        assert self.is_complete
        first, second = _derive_two_keys(self._chaining_key, b"")
        return (Cipher(first), Cipher(second)) if self._is_initiator else (Cipher(second), Cipher(first))

    def _mix_hash(self, data: bytes) -> None:
        self._hash = hashlib.sha256(self._hash + data).digest()

    def _mix_shared_secret(self, token: str) -> None:
        """Mix in a Diffie-Hellman result; the letters of `token` are the initiator's key and the responder's."""
        own_letter, remote_letter = (token[0], token[1]) if self._is_initiator else (token[1], token[0])
        own = self._ephemeral if own_letter == "e" else self._static
        remote = self._remote_ephemeral if remote_letter == "e" else self._remote_static
        assert remote is not None  # the pattern sends a key before it uses it
        try:
            shared = own.exchange(remote)
        except ValueError as error:  # an all-zero result: the peer sent a point of low order
            raise NoiseError("the peer's key has low order") from error
        self._chaining_key, key = _derive_two_keys(self._chaining_key, shared)
        self._cipher = Cipher(key)

    def _encrypt_and_hash(self, plaintext: bytes) -> bytes:
        ciphertext = plaintext if self._cipher is None else self._cipher.seal(plaintext, self._hash)
        self._mix_hash(ciphertext)
        return ciphertext

    def _decrypt_and_hash(self, ciphertext: bytes) -> bytes:
        plaintext = ciphertext if self._cipher is None else self._cipher.open(ciphertext, self._hash)
        self._mix_hash(ciphertext)
        return plaintext


def _split(data: bytes, size: int) -> tuple[bytes, bytes]:
    if len(data) < size:
        raise NoiseError(f"message too short: expected at least {size} bytes more, got {len(data)}")
    return data[:size], data[size:]
