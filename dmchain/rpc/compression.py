"""Bodies and frames on the wire, without I/O: gzip for HTTP, frames and permessage-deflate for WebSocket.

Everything has a limit: a kilobyte of deflate can hold a megabyte, and a client that does not read can hold answers.
"""

from __future__ import annotations

import zlib

from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol

from dmchain.chain.primitives.errors import DmchainError

_GZIP_WINDOW = 16 + zlib.MAX_WBITS
FREE_BODY_BYTES = 65_536
"""Of a request's body that are not counted against the budget of all requests."""
_FAST = 1
"""zlib's quickest level: hex JSON shrinks to a third at some 100 MB/s; higher levels gain little."""


class BodyTooLarge(DmchainError):
    """A body is larger than allowed once it is decompressed."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"request too large: the limit is {limit} bytes")


class BadEncoding(DmchainError):
    """A body is not what its Content-Encoding says."""


def compress(body: bytes) -> bytes:
    """gzip."""
    encoder = zlib.compressobj(_FAST, zlib.DEFLATED, _GZIP_WINDOW)
    return encoder.compress(body) + encoder.flush()


def decompress(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """Undo gzip or deflate; raises BodyTooLarge and BadEncoding, and never holds more than `max_bytes` + 1."""
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise BadEncoding(f"content-encoding: expected gzip, deflate or identity, got {encoding[:40]}")
    decoder = zlib.decompressobj(_GZIP_WINDOW if "gzip" in encoding else zlib.MAX_WBITS)
    try:
        result = decoder.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise BadEncoding(f"the body is not {encoding}: {error}") from None
    if len(result) > max_bytes:
        raise BodyTooLarge(max_bytes)
    if not decoder.eof:
        raise BadEncoding(f"the body is not {encoding}: it ends too early")
    return result


def encode_frame(payload: bytes, is_text: bool, is_compressed: bool = False) -> bytes:
    """A whole message in one server frame (RFC 6455 section 5.2), deflated if asked (RFC 7692)."""
    first = 0x81 if is_text else 0x82
    if is_compressed:
        first |= 0x40
        encoder = zlib.compressobj(_FAST, zlib.DEFLATED, -zlib.MAX_WBITS)
        payload = (encoder.compress(payload) + encoder.flush(zlib.Z_SYNC_FLUSH))[:-4]
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 65_536:
        return bytes((first, 126)) + size.to_bytes(2, "big") + payload
    return bytes((first, 127)) + size.to_bytes(8, "big") + payload


class BoundedDeflate(PerMessageDeflate):
    """permessage-deflate for what comes in, closing with 1009 past `max_bytes` of a message.

    What goes out is compressed by encode_frame, each message for itself: a compressor kept per connection costs 260 KB.
    """

    def __init__(self, max_bytes: int) -> None:
        super().__init__(server_no_context_takeover=True)
        self._max_bytes = max_bytes
        self._message_bytes = 0

    def accept(self, offer: str) -> bool | str | None:
        """Decline a client that wants smaller windows than zlib's largest from us, or sends what is no number."""
        try:
            answer = super().accept(offer)
        except ValueError:
            return None
        if self.server_max_window_bits != zlib.MAX_WBITS:
            self._enabled = False
            return None
        return answer

    def frame_inbound_payload_data(self, proto: FrameDecoder | FrameProtocol, data: bytes) -> bytes | CloseReason:
        if not self._inbound_compressed or not self._inbound_is_compressible:
            return data
        assert self._decompressor is not None
        room = self._max_bytes - self._message_bytes
        try:
            result = self._decompressor.decompress(bytes(data), room + 1)
        except zlib.error:
            return CloseReason.INVALID_FRAME_PAYLOAD_DATA
        self._message_bytes += len(result)
        if self._message_bytes > self._max_bytes or self._decompressor.unconsumed_tail:
            return CloseReason.MESSAGE_TOO_BIG
        return result

    def frame_inbound_complete(self, proto: FrameDecoder | FrameProtocol, fin: bool) -> bytes | CloseReason | None:
        if fin and self._inbound_is_compressible:
            self._message_bytes = 0
        return super().frame_inbound_complete(proto, fin)


class ByteBudget:
    """Bytes that all connections together may hold: of requests under way, or of answers not taken yet."""

    __slots__ = ("_limit", "_used")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0

    def has_room(self, size: int) -> bool:
        return self._used + size <= self._limit

    def take(self, size: int) -> None:
        self._used += size

    def give_back(self, size: int) -> None:
        self._used -= size
