"""Bodies and frames on the wire."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import BytesMessage, TextMessage
from wsproto.extensions import PerMessageDeflate

from dmchain.rpc.compression import BadEncoding, BodyTooLarge, compress, decompress, encode_frame


@given(st.binary(max_size=2000))
def test_compression_is_undone(body: bytes) -> None:
    assert gzip.decompress(compress(body)) == body
    assert decompress(compress(body), "gzip", 2000) == body
    assert decompress(zlib.compress(body), "deflate", 2000) == body


@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate"]))
def test_what_is_not_compressed_is_refused(body: bytes, encoding: str) -> None:
    with pytest.raises((BadEncoding, BodyTooLarge)):
        decompress(b"\x00" + body, encoding, 100)


def test_limits() -> None:
    assert len(decompress(compress(bytes(100)), "gzip", 100)) == 100
    with pytest.raises(BodyTooLarge, match="the limit is 99 bytes"):
        decompress(compress(bytes(100)), "gzip", 99)
    with pytest.raises(BadEncoding, match="expected gzip, deflate or identity, got br"):
        decompress(b"", "br", 99)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 100_000])
@pytest.mark.parametrize("is_compressed", [False, True])
def test_frames_are_what_a_client_expects(size: int, is_compressed: bool) -> None:
    payload = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    for is_text in (True, False):
        extension = PerMessageDeflate(server_no_context_takeover=True)
        extension.finalize("permessage-deflate; server_no_context_takeover")
        client = Connection(ConnectionType.CLIENT, [extension])
        client.receive_data(encode_frame(payload, is_text, is_compressed) * 2)
        got: list[bytes] = [b""]
        for event in client.events():
            assert isinstance(event, TextMessage if is_text else BytesMessage)
            data = event.data
            got[-1] += data.encode() if isinstance(data, str) else bytes(data)
            if event.message_finished:
                got.append(b"")
        assert got == [payload, payload, b""]
