"""The handshake of two nodes as a sans-IO machine: bytes in, bytes out, an identity and two ciphers at the end.

Each record is kind 1 || length 2 || body. The first Noise message carries the initiator's prologue in the clear, so
that the responder can name a difference instead of failing to decrypt; it answers one with a refusal that carries its
own prologue. A refusal is not authenticated: it explains a failure, it proves nothing about the peer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dmchain.node.network.errors import HandshakeError
from dmchain.node.network.identity import ChainIdentity, NodeId, NodeKey, check_proof
from dmchain.node.network.noise import Cipher, NoiseError, NoiseXX

MAX_HANDSHAKE_BYTES: Final = 2048
"""Of one record's body; ours are 81 to 241 bytes."""
HEADER_BYTES: Final = 3
KIND_NOISE: Final = 0xD1
KIND_REFUSAL: Final = 0xD0
"""Neither the first byte of HTTP, TLS nor SSH: whatever else calls this port is recognised by one byte."""


@dataclass(frozen=True, slots=True)
class Secured:
    """A complete handshake. `surplus` are bytes after it: the beginning of the encrypted stream."""

    remote: NodeId
    sending: Cipher
    receiving: Cipher
    handshake_hash: bytes
    surplus: bytes


class Handshake:
    """One end. `receive_data` returns what to send; once `secured` is not None the handshake is complete.

    `expected` is whom the initiator means to reach, None for anybody.
    """

    def __init__(
        self, key: NodeKey, chain: ChainIdentity, *, is_initiator: bool, expected: NodeId | None = None
    ) -> None:
        self._key = key
        self._chain = chain
        self._is_initiator = is_initiator
        self._expected = expected
        self._noise = NoiseXX(is_initiator=is_initiator, static=key.noise, prologue=chain.prologue())
        self._buffer = bytearray()
        self.secured: Secured | None = None

    def start(self) -> bytes:
        """What to send first: nothing, for the responder."""
        return self._record(self._noise.write_message(self._chain.prologue())) if self._is_initiator else b""

    def receive_data(self, data: bytes) -> bytes:
        """Take bytes, return bytes to send; raises HandshakeError, whose `reply` is still to be sent."""
        assert self.secured is None, "the handshake is complete"
        self._buffer += data
        out = b""
        while self.secured is None and (record := self._next_record()) is not None:
            kind, body = record
            if kind == KIND_REFUSAL:
                self._read_refusal(body)
            out += self._read_noise(body)
        return out

    def _next_record(self) -> tuple[int, bytes] | None:
        buffer = self._buffer
        if buffer and buffer[0] not in (KIND_NOISE, KIND_REFUSAL):
            raise HandshakeError(f"not a dmchain node: first byte 0x{buffer[0]:02x}")
        if len(buffer) < HEADER_BYTES:
            return None
        kind, size = buffer[0], int.from_bytes(buffer[1:HEADER_BYTES], "big")
        if size > MAX_HANDSHAKE_BYTES:
            raise HandshakeError(f"handshake message: expected at most {MAX_HANDSHAKE_BYTES} bytes, got {size}")
        if len(buffer) < HEADER_BYTES + size:
            return None
        body = bytes(buffer[HEADER_BYTES : HEADER_BYTES + size])
        del buffer[: HEADER_BYTES + size]
        return kind, body

    def _read_refusal(self, theirs: bytes) -> None:
        if not self._is_initiator:
            raise HandshakeError("a refusal from the initiator")
        self._chain.check_prologue(theirs)
        raise HandshakeError("the peer refused us without a reason that holds", score=0)

    def _read_noise(self, body: bytes) -> bytes:
        """Take one Noise message; return our answer, b"" when the peer's was the last one."""
        try:
            payload = self._noise.read_message(body)
        except NoiseError as error:
            raise HandshakeError(f"handshake: {error}") from error
        if self._noise.messages_done == 1:
            return self._answer_first(payload)
        remote = self._check_identity(payload)
        answer = b""
        if self._noise.is_our_turn:
            answer = self._record(self._noise.write_message(self._key.make_proof(self._chain)))
        sending, receiving = self._noise.split()
        self.secured = Secured(remote, sending, receiving, self._noise.handshake_hash, bytes(self._buffer))
        return answer

    def _answer_first(self, theirs: bytes) -> bytes:
        try:
            self._chain.check_prologue(theirs)
        except HandshakeError as error:
            error.reply = bytes((KIND_REFUSAL,)) + _with_length(self._chain.prologue())
            raise
        return self._record(self._noise.write_message(self._key.make_proof(self._chain)))

    def _check_identity(self, proof: bytes) -> NodeId:
        remote = check_proof(proof, self._noise.remote_static, self._chain)
        if self._expected is not None and remote != self._expected:
            # an address may have passed to another node: no offence
            raise HandshakeError(
                f"unexpected identity: expected 0x{self._expected.hex()}, got 0x{remote.hex()}", score=0
            )
        return remote

    def _record(self, message: bytes) -> bytes:
        return bytes((KIND_NOISE,)) + _with_length(message)


def _with_length(body: bytes) -> bytes:
    return len(body).to_bytes(2, "big") + body
