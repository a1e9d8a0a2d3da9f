"""An authenticated pipe of bytes between two nodes, over any trio stream.

After the handshake the stream is cut into Noise transport messages: length 2 || ciphertext. Frames (wire.py) lie across
them as they come: a batch of small frames is one message, a large frame several.
"""

from __future__ import annotations

import contextlib
from typing import Final, Protocol

import trio

from dmchain.node.network.errors import HandshakeError, LinkClosed, ProtocolError
from dmchain.node.network.handshake import Handshake, Secured
from dmchain.node.network.identity import ChainIdentity, NodeId, NodeKey
from dmchain.node.network.noise import MAX_PLAINTEXT_BYTES, TAG_BYTES, NoiseError

RECEIVE_BYTES: Final = 131072
MAX_RECORDS_AT_ONCE: Final = 64
"""Opened before other tasks get a turn: about 0.2 ms of tiny records."""
REFUSAL_SECONDS: Final = 1.0
"""To tell the peer why the handshake failed."""


class Link(Protocol):
    """A pipe to a node whose identity is known. One task may send while another receives.

    `received_bytes` and `received_records` count what came in before decryption: what its handling cost.
    """

    remote: NodeId
    received_bytes: int
    received_records: int

    async def send(self, data: bytes) -> None:
        """Raises LinkClosed."""

    async def receive(self) -> bytes:
        """Return some bytes, b"" at the end; always a checkpoint. Raises LinkClosed, ProtocolError."""

    async def aclose(self) -> None:
        """Close at once; unsent bytes may be lost. Never raises."""


class Security(Protocol):
    """How a stream becomes a link."""

    async def secure(self, stream: trio.abc.Stream, *, is_initiator: bool, expected: NodeId | None = None) -> Link:
        """Raises HandshakeError or LinkClosed. The caller sets the deadline, and closes the stream on failure."""


class NoiseSecurity:
    """Noise XX (handshake.py): the only security a real network has."""

    def __init__(self, key: NodeKey, chain: ChainIdentity) -> None:
        self._key = key
        self._chain = chain

    async def secure(self, stream: trio.abc.Stream, *, is_initiator: bool, expected: NodeId | None = None) -> NoiseLink:
        handshake = Handshake(self._key, self._chain, is_initiator=is_initiator, expected=expected)
        try:
            await _send(stream, handshake.start())
            while handshake.secured is None:
                data = await _receive(stream)
                if not data:
                    raise HandshakeError("closed by the peer during the handshake", score=0)
                await _send(stream, handshake.receive_data(data))
        except HandshakeError as error:
            if error.reply:
                with trio.move_on_after(REFUSAL_SECONDS), contextlib.suppress(LinkClosed):
                    await _send(stream, error.reply)
            raise
        return NoiseLink(stream, handshake.secured)


class NoiseLink:
    """A Link of encrypted records."""

    def __init__(self, stream: trio.abc.Stream, secured: Secured) -> None:
        self._stream = stream
        self._sending = secured.sending
        self._receiving = secured.receiving
        self._buffer = bytearray(secured.surplus)
        self._has_more = bool(secured.surplus)
        self.remote = secured.remote
        self.handshake_hash = secured.handshake_hash
        self.received_bytes = 0
        self.received_records = 0

    async def send(self, data: bytes) -> None:
        await _send(self._stream, self._seal(data))

    def _seal(self, data: bytes) -> bytes:
        parts: list[bytes] = []
        for start in range(0, len(data), MAX_PLAINTEXT_BYTES):
            ciphertext = self._sending.seal(data[start : start + MAX_PLAINTEXT_BYTES])
            parts += (len(ciphertext).to_bytes(2, "big"), ciphertext)
        return b"".join(parts)

    async def receive(self) -> bytes:
        if self._has_more:
            await trio.lowlevel.checkpoint()
        while True:
            if self._has_more and (plaintext := self._open_some()):
                return plaintext
            data = await _receive(self._stream)
            if not data:
                if self._buffer:
                    raise LinkClosed("closed by the peer within a message")
                return b""
            self.received_bytes += len(data)
            self._buffer += data
            self._has_more = True

    def _open_some(self) -> bytes:
        """Open up to MAX_RECORDS_AT_ONCE complete records; b"" when there is none."""
        buffer, at = self._buffer, 0
        parts: list[bytes] = []
        while len(parts) < MAX_RECORDS_AT_ONCE:
            start = at + 2
            if len(buffer) < start:
                self._has_more = False
                break
            end = start + int.from_bytes(buffer[at:start], "big")
            if end <= start + TAG_BYTES:  # an empty message would be work for nothing
                raise ProtocolError(f"encrypted message: expected more than {TAG_BYTES} bytes, got {end - start}")
            if len(buffer) < end:
                self._has_more = False
                break
            try:
                parts.append(self._receiving.open(bytes(memoryview(buffer)[start:end])))
            except NoiseError as error:
                raise ProtocolError(f"encrypted {error}") from error
            at = end
        del buffer[:at]
        self.received_records += len(parts)
        return b"".join(parts)

    async def aclose(self) -> None:
        await close_forcefully(self._stream)


async def close_forcefully(stream: trio.abc.Stream) -> None:
    """Close without waiting; a stream that is broken already counts as closed."""
    with contextlib.suppress(trio.BrokenResourceError, OSError):
        await trio.aclose_forcefully(stream)


async def _send(stream: trio.abc.Stream, data: bytes) -> None:
    if data:
        try:
            await stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise LinkClosed("connection lost") from error


async def _receive(stream: trio.abc.Stream) -> bytes:
    try:
        return bytes(await stream.receive_some(RECEIVE_BYTES))
    except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
        raise LinkClosed("connection lost") from error
