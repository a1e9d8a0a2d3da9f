"""CIDs as people write them and as the chain takes them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final, TypeAlias

from dmchain.chain.primitives.crypto import keccak
from dmchain.market.errors import InvalidInput
from dmchain.marketplace_vm.precompiles import cid as _cid

MAX_RAW_BYTES: Final = 1024 * 1024
"""A file up to this size is one block in IPFS with `--raw-leaves --chunker=size-1048576`, and its CID that of its bytes."""

CidLike: TypeAlias = str | bytes
"""Text (`b…`, `Qm…`, `z…`, `f…`) or binary."""


def to_bytes(value: CidLike) -> bytes:
    """The binary form. Raises InvalidInput."""
    try:
        return _cid.parse(value).raw if isinstance(value, bytes) else _cid.from_text(value.removeprefix("ipfs://"))
    except _cid.InvalidCid as error:
        raise InvalidInput(f"CID: got {value!r}: {error}") from error


def to_optional_bytes(value: CidLike | None) -> bytes:
    """As `to_bytes`; nothing for None."""
    return b"" if value is None or not len(value) else to_bytes(value)


def to_text(raw: bytes) -> str:
    """`Qm…` or `b…`; empty for no CID, 0x and hex digits for what is none."""
    try:
        return _cid.to_text(_cid.parse(raw).raw) if raw else ""
    except _cid.InvalidCid:
        return "0x" + raw.hex()


def of_content(content: bytes) -> str:
    """CIDv1, codec raw, sha2-256, of some bytes: what IPFS gives a file of one block with --raw-leaves."""
    return _cid.to_text(_cid.make_version_1(_cid.RAW, _cid.SHA2_256, hashlib.sha256(content).digest()))


def of_file(path: str | Path) -> tuple[str, int]:
    """CID and size of a small file. Raises InvalidInput: larger ones are trees of blocks, whose CID a store computes."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_RAW_BYTES + 1)
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror or error}") from None
    if len(content) > MAX_RAW_BYTES:
        raise InvalidInput(
            f"{path}: larger than {MAX_RAW_BYTES} bytes, expected a CID for it",
            hint="`ipfs add --cid-version 1 FILE` prints the CID of a file of any size",
        )
    return of_content(content), len(content)


def dataset_id(value: CidLike) -> str:
    """What the chain calls the data set of a CID: 0x and keccak256 of the binary form."""
    return "0x" + keccak(to_bytes(value)).hex()
