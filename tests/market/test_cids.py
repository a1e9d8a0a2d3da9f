"""CIDs of files, and as people write them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from dmchain.market import cids, errors

# `ipfs add --cid-version 1` of a file with the text "hello world" and no line end
HELLO = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
V0 = "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKPbdG"


def test_a_small_file_has_the_cid_ipfs_gives_it(tmp_path: Path) -> None:
    path = tmp_path / "hello.txt"
    path.write_bytes(b"hello world")
    assert cids.of_file(path) == (HELLO, 11)


def test_a_large_file_needs_a_store_to_compute_its_cid(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(bytes(cids.MAX_RAW_BYTES + 1))
    with pytest.raises(errors.InvalidInput, match="expected a CID") as caught:
        cids.of_file(path)
    assert "ipfs add" in str(caught.value.hint)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidInput, match="No such file"):
        cids.of_file(tmp_path / "none")


@pytest.mark.parametrize("text", [HELLO, V0])
def test_text_and_binary_convert_both_ways(text: str) -> None:
    assert cids.to_text(cids.to_bytes(text)) == text
    assert cids.to_bytes(cids.to_bytes(text)) == cids.to_bytes("ipfs://" + text)


def test_a_version_1_cid_holds_the_digest() -> None:
    assert cids.to_bytes(HELLO) == bytes.fromhex("01551220") + hashlib.sha256(b"hello world").digest()


@pytest.mark.parametrize("text", ["", "hello", "0x1234", "Qm", HELLO.upper(), HELLO + "a"])
def test_what_is_no_cid_is_refused(text: str) -> None:
    with pytest.raises(errors.InvalidInput, match="CID: got"):
        cids.to_bytes(text)


def test_no_cid_is_no_bytes() -> None:
    assert cids.to_optional_bytes(None) == cids.to_optional_bytes("") == b""
    assert cids.to_text(b"") == ""
    assert cids.to_text(b"\x01\x02") == "0x0102"
