"""The manifest: what a snapshot is of, and the hash of each chunk.

Bytes: MAGIC || RLP [chain id, genesis hash, height, block hash, state root, chunk size, stream size, accounts, slots,
codes, chunk hashes one after the other] || keccak256 of all before. The first line of MAGIC carries the format's
version: a reader of another version refuses it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dmchain.chain.primitives.codec import decode, encode, to_blob, to_bytes, to_int, to_list
from dmchain.chain.primitives.crypto import keccak
from dmchain.chain.primitives.errors import DecodeError, DmchainError
from dmchain.chain.primitives.types import Hash32

MAGIC = b"dmchain snapshot 1\n"
DEFAULT_CHUNK_BYTES = 1024 * 1024
MIN_CHUNK_BYTES = 1024
MAX_CHUNK_BYTES = 2 * 1024 * 1024
"""One chunk is one reply to a peer; the network's frames take no more."""
MAX_MANIFEST_BYTES = 1024 * 1024
"""32,000 chunks: 64 GB of the largest."""
_FIELDS = 11
_HASH_BYTES = 32


class InvalidSnapshot(DmchainError):
    """A snapshot is damaged, or is not of what it says."""

    hint = "get the snapshot again, from another place if it stays so"


@dataclass(frozen=True, slots=True)
class Manifest:
    """`chunk_hashes` of chunks of `chunk_bytes` each, the last one of what is left of `stream_bytes`."""

    chain_id: int
    genesis_hash: Hash32
    height: int
    block_hash: Hash32
    state_root: Hash32
    chunk_bytes: int
    stream_bytes: int
    accounts: int
    slots: int
    codes: int
    chunk_hashes: tuple[Hash32, ...]

    @property
    def hash(self) -> Hash32:
        """What two snapshots have in common if and only if their bytes are the same."""
        return keccak(self.encode())

    def chunk_size(self, index: int) -> int:
        """Bytes of a chunk."""
        return min(self.chunk_bytes, self.stream_bytes - index * self.chunk_bytes)

    def check_chunk(self, index: int, chunk: bytes) -> None:
        """Raises InvalidSnapshot unless `chunk` is chunk number `index`."""
        if len(chunk) != self.chunk_size(index):
            raise InvalidSnapshot(f"chunk {index}: expected {self.chunk_size(index)} bytes, got {len(chunk)}")
        digest = keccak(chunk)
        if digest != self.chunk_hashes[index]:
            raise InvalidSnapshot(f"chunk {index}: expected 0x{self.chunk_hashes[index].hex()}, got 0x{digest.hex()}")

    def encode(self) -> bytes:
        fields = [
            self.chain_id, self.genesis_hash, self.height, self.block_hash, self.state_root, self.chunk_bytes,
            self.stream_bytes, self.accounts, self.slots, self.codes, b"".join(self.chunk_hashes),
        ]  # fmt: skip
        raw = MAGIC + encode(fields)
        return raw + keccak(raw)

    @classmethod
    def decode(cls, raw: bytes) -> Manifest:
        """Raises InvalidSnapshot for anything that `encode` does not make."""
        if not raw.startswith(MAGIC):
            expected = MAGIC.decode().strip()
            raise InvalidSnapshot(
                f"manifest: expected to begin with {expected!r}, got {raw[: len(MAGIC)]!r}",
                hint="it is no snapshot, or one of another version of the format",
            )
        if len(raw) > MAX_MANIFEST_BYTES:
            raise InvalidSnapshot(f"manifest: expected at most {MAX_MANIFEST_BYTES} bytes, got {len(raw)}")
        body, checksum = raw[:-_HASH_BYTES], raw[-_HASH_BYTES:]
        if len(body) <= len(MAGIC) or keccak(body) != checksum:
            raise InvalidSnapshot("manifest: the checksum does not match")
        try:
            return cls._from_rlp(body[len(MAGIC) :])
        except DecodeError as error:
            raise InvalidSnapshot(f"manifest: {error}") from error

    @classmethod
    def _from_rlp(cls, raw: bytes) -> Manifest:
        items = to_list(decode(raw), "manifest", _FIELDS)
        hashes = to_blob(items[10], "chunk hashes")
        manifest = cls(
            chain_id=to_int(items[0], "chain id", 64),
            genesis_hash=Hash32(to_bytes(items[1], "genesis hash", 32)),
            height=to_int(items[2], "height", 63),
            block_hash=Hash32(to_bytes(items[3], "block hash", 32)),
            state_root=Hash32(to_bytes(items[4], "state root", 32)),
            chunk_bytes=to_int(items[5], "chunk size", 32),
            stream_bytes=to_int(items[6], "stream size", 63),
            accounts=to_int(items[7], "accounts", 63),
            slots=to_int(items[8], "slots", 63),
            codes=to_int(items[9], "codes", 63),
            chunk_hashes=tuple([Hash32(hashes[at : at + 32]) for at in range(0, len(hashes), _HASH_BYTES)]),
        )
        if not MIN_CHUNK_BYTES <= manifest.chunk_bytes <= MAX_CHUNK_BYTES:
            raise DecodeError(
                f"chunk size: expected {MIN_CHUNK_BYTES} to {MAX_CHUNK_BYTES} bytes, got {manifest.chunk_bytes}"
            )
        expected = -(-manifest.stream_bytes // manifest.chunk_bytes)
        if len(hashes) != expected * _HASH_BYTES or expected == 0:
            raise DecodeError(f"chunk hashes: expected {expected} of 32 bytes, got {len(hashes)} bytes")
        return manifest


def cut(stream: Iterator[bytes], chunk_bytes: int) -> Iterator[bytes]:
    """Cut a stream that comes in pieces of any size into chunks of `chunk_bytes`; the last one may be shorter."""
    buffer = bytearray()
    for piece in stream:
        buffer += piece
        while len(buffer) >= chunk_bytes:
            yield bytes(buffer[:chunk_bytes])
            del buffer[:chunk_bytes]
    if buffer:
        yield bytes(buffer)
