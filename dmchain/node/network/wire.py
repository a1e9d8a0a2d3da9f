"""Frames, sans-IO: length 4 || one msgpack array [type, request id or 0, ...fields].

The length is checked against the largest frame, and the type, the number of fields and the request id as soon as their
bytes are there, against the cap of that type: so at most a few bytes of a frame that will be refused are kept. msgpack
stays within this file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import msgpack

from dmchain.node.network.errors import SCORE_UNSOLICITED, ProtocolError
from dmchain.node.network.fields import decode_fields, encode_fields
from dmchain.node.network.messages import MAX_HASHES, MIB, TYPE_OF_KIND, TYPE_OF_NUMBER, Message, MessageType, Role

LENGTH_BYTES: Final = 4
MAX_FRAME_BYTES: Final = 4 * MIB
MAX_REQUEST_ID: Final = 2**32 - 1
MAX_TEXT_BYTES: Final = 256
_SHORTEST_FRAME: Final = 3
_ARRAY = 0x90
"""msgpack's first byte of an array of up to 15 items, plus their number."""
_HEAD_BYTES: Final = 7
"""Array, type and the longest request id."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A message that came in. `request_id` is 0 for pushes; `size` is of the whole frame."""

    message: Message
    row: MessageType
    request_id: int
    size: int


def encode(message: Message, request_id: int = 0) -> bytes:
    """The frame of a message; raises ValueError when it is too large to be taken, which is our fault."""
    row = TYPE_OF_KIND[type(message)]
    body: bytes = msgpack.packb([row.number, request_id, *encode_fields(row.fields, message)])
    if len(body) > row.max_bytes:
        raise ValueError(f"{type(message).__name__}: expected at most {row.max_bytes} bytes, got {len(body)}")
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def refuse_reply(_request_id: int) -> bool:
    """`is_expected` of whoever has not asked for anything."""
    return False


class FrameDecoder:
    """Bytes in, messages out. After a ProtocolError it is of no more use.

    `is_expected` says whether a reply with that request id is awaited. A reply that is not is refused before it is
    buffered: only what was asked for may be large.
    """

    def __init__(self, is_expected: Callable[[int], bool] = refuse_reply) -> None:
        self._is_expected = is_expected
        self._buffer = bytearray()
        self._size = 0
        """Of the frame under way, without its length; 0 while unknown."""
        self._is_checked = False

    @property
    def buffered(self) -> int:
        """Bytes of a frame that is not complete."""
        return len(self._buffer)

    def receive_data(self, data: bytes) -> None:
        self._buffer += data

    def next_frame(self) -> Frame | None:
        """The next complete frame, None when more bytes are needed; raises ProtocolError."""
        buffer = self._buffer
        if not self._size:
            if len(buffer) < LENGTH_BYTES:
                return None
            size = int.from_bytes(buffer[:LENGTH_BYTES], "big")
            if not _SHORTEST_FRAME <= size <= MAX_FRAME_BYTES:
                raise ProtocolError(f"frame: expected {_SHORTEST_FRAME} to {MAX_FRAME_BYTES} bytes, got {size}")
            self._size = size
        end = LENGTH_BYTES + self._size
        if not self._is_checked:
            if len(buffer) < min(end, LENGTH_BYTES + _HEAD_BYTES):
                return None
            self._check_head(bytes(buffer[LENGTH_BYTES : LENGTH_BYTES + _HEAD_BYTES]))
            self._is_checked = True
        if len(buffer) < end:
            return None
        with memoryview(buffer) as view:
            body = bytes(view[LENGTH_BYTES:end])
        del buffer[:end]
        self._size, self._is_checked = 0, False
        return _decode(body)

    def _check_head(self, head: bytes) -> None:
        """Check what the first bytes of a frame tell: its type, and so its cap, and whether it was asked for."""
        row = TYPE_OF_NUMBER.get(head[1])
        if row is None:
            raise ProtocolError(f"unknown message type {head[1]}")
        name = _name(row)
        if head[0] != _ARRAY + 2 + len(row.fields):
            raise ProtocolError(f"{name}: expected an array of {2 + len(row.fields)}, got first byte 0x{head[0]:02x}")
        if self._size > row.max_bytes:
            raise ProtocolError(f"{name}: expected at most {row.max_bytes} bytes, got {self._size}")
        request_id = _read_request_id(head[2:], name)
        if (request_id == 0) != (row.role is Role.PUSH):
            raise ProtocolError(f"{name}: request id {request_id} does not fit")
        if row.role is Role.REPLY and not self._is_expected(request_id):
            raise ProtocolError(f"{name}: nobody asked (request id {request_id})", score=SCORE_UNSOLICITED)


_ID_SIZES: Final = {0xCC: 1, 0xCD: 2, 0xCE: 4}
"""msgpack's unsigned integers by first byte; smaller than 0x80 is the number itself."""


def _read_request_id(data: bytes, name: str) -> int:
    first = data[0]
    if first < 0x80:
        return first
    size = _ID_SIZES.get(first)
    if size is None or len(data) <= size:
        raise ProtocolError(f"{name}: request id is no whole number below 2**32")
    return int.from_bytes(data[1 : 1 + size], "big")


def _refuse_extension(code: int, _data: bytes) -> NoReturn:
    raise ValueError(f"extension type {code}")


def _decode(body: bytes) -> Frame:
    """Decode a frame whose head is checked. The limits keep what msgpack allocates near what the peer has sent."""
    row = TYPE_OF_NUMBER[body[1]]
    try:
        values: Any = msgpack.unpackb(
            body,
            raw=False,
            use_list=False,
            strict_map_key=True,
            ext_hook=_refuse_extension,
            max_str_len=MAX_TEXT_BYTES,
            max_bin_len=len(body),
            max_array_len=MAX_HASHES,
            max_map_len=0,
            max_ext_len=0,
        )
        message = row.kind(*decode_fields(row.fields, values[2:]))
    except ValueError as error:  # of msgpack's exceptions too
        raise ProtocolError(f"{_name(row)}: {error}") from error
    return Frame(message, row, values[1], LENGTH_BYTES + len(body))


def _name(row: MessageType) -> str:
    return getattr(row.kind, "__name__", str(row.number))
