"""CID parsing: against py-cid, and the table look-up against the step-by-step parser."""

import hashlib

import multicodec
import pytest
from cid import from_bytes, from_string, make_cid
from hypothesis import given
from hypothesis import strategies as st

from dmchain.marketplace_vm.precompiles.cid import (
    CODECS,
    HASHES,
    InvalidCid,
    compute_content_key,
    compute_dataset_id,
    compute_digest_size,
    encode_varint,
    from_text,
    make_version_1,
    parse,
    read_varint,
    to_text,
)

SHA = hashlib.sha256(b"data").digest()
V0 = b"\x12\x20" + SHA
V1_RAW = b"\x01\x55\x12\x20" + SHA


@st.composite
def version_1_cids(draw: st.DrawFn) -> bytes:
    hash_code = draw(st.sampled_from(sorted(HASHES)))
    size = HASHES[hash_code][1]
    digest = draw(st.binary(min_size=size, max_size=size))
    return make_version_1(draw(st.sampled_from(sorted(CODECS))), hash_code, digest)


accepted_cids = st.one_of(
    version_1_cids(), st.binary(min_size=32, max_size=32).map(lambda digest: b"\x12\x20" + digest)
)


def accepts(raw: bytes) -> bool:
    try:
        parse(raw)
    except InvalidCid:
        return False
    return True


@given(accepted_cids)
def test_what_we_accept_py_cid_reads_the_same_way(raw: bytes) -> None:
    ours = parse(raw)
    theirs = from_bytes(raw) if raw[0] == 1 else make_cid(0, "dag-pb", raw)  # py-cid takes v0 as text or multihash
    assert theirs.version == ours.version
    assert theirs.codec == CODECS[ours.codec]
    assert theirs.multihash[-len(ours.digest) :] == ours.digest
    assert theirs.buffer == raw


@given(accepted_cids)
def test_text_forms_agree_with_py_cid(raw: bytes) -> None:
    text = to_text(raw)
    assert from_string(text).buffer == raw
    assert from_text(text) == raw
    if raw[0] == 1:
        assert from_string(text).encode("base32").decode() == text
        assert from_text(from_string(text).encode("base58btc").decode()) == raw
        assert from_text("f" + raw.hex()) == raw


def test_codec_and_hash_numbers_are_those_of_the_multicodec_table() -> None:
    names = {**{name: code for code, name in CODECS.items()}, **{name: code for code, (name, _) in HASHES.items()}}
    for name, code in names.items():
        assert read_varint(multicodec.get_prefix(name), 0)[0] == code


def test_cids_made_by_py_cid_are_accepted() -> None:
    multihash = b"\x12\x20" + SHA
    assert parse(make_cid(0, "dag-pb", multihash).buffer).version == 0
    assert parse(make_cid(1, "dag-pb", multihash).buffer).codec == 0x70


near_misses = st.one_of(
    st.binary(max_size=140),
    st.tuples(accepted_cids, st.integers(0, 40), st.binary(max_size=3)).map(
        lambda edit: edit[0][: edit[1]] + edit[2] + edit[0][edit[1] + 1 :]
    ),
    st.tuples(accepted_cids, st.binary(min_size=1, max_size=64)).map(b"".join),
)


@given(near_misses)
def test_the_table_look_up_accepts_exactly_what_the_parser_accepts(raw: bytes) -> None:
    try:
        expected: int | str = len(parse(raw).digest)
    except InvalidCid as problem:
        expected = str(problem)
    try:
        got: int | str = compute_digest_size(raw)
    except InvalidCid as problem:
        got = str(problem)
    assert got == expected


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "4 to 128"),
        (b"\x01\x55\x00", "4 to 128"),
        (b"\x01\x55\x00\x01x", "hash is not one of"),
        (b"\x01\x55\x12\x14" + SHA[:20], "digest length"),
        (V1_RAW[:-1], "digest length"),
        (V1_RAW + b"\0", "digest length"),
        (V0[:-1], "digest length"),
        (b"\x02\x55\x12\x20" + SHA, "neither 0 nor 1"),
        (b"\x01\x72\x12\x20" + SHA, "unknown codec"),
        (b"\x01\xd5\x00\x12\x20" + SHA, "not canonical"),
        (b"\x81\x00\x55\x12\x20" + SHA, "not canonical"),
        (b"\x01\x55\x12\xa0\x00" + SHA, "not canonical"),
        (b"\x01\x55\x11\x14" + SHA[:20], "hash is not one of"),
        (b"\x01" + b"\x80" * 20, "longer than 9"),
        (b"\x01\x55\x12\x80", "truncated"),
        (b"b" + V1_RAW, "neither 0 nor 1"),
        (b"\x01\x55\x13\x20" + SHA, "digest length"),
        (bytes(129), "4 to 128"),
    ],
)
def test_other_cids_are_refused_with_a_reason(raw: bytes, reason: str) -> None:
    with pytest.raises(InvalidCid, match=reason):
        compute_digest_size(raw)


@given(st.integers(0, 2**63 - 1))
def test_varints_round_trip(value: int) -> None:
    encoded = encode_varint(value)
    assert read_varint(encoded, 0) == (value, len(encoded))


@given(st.text(max_size=300))
def test_reading_text_never_fails_otherwise(text: str) -> None:
    try:
        raw = from_text(text)
    except InvalidCid:
        return
    assert accepts(raw)


@pytest.mark.parametrize(
    "text",
    ["", "b", "Qm", to_text(V1_RAW).upper(), to_text(V1_RAW)[:-1] + "b", "z" + to_text(V0), "f" + V1_RAW.hex().upper()],
)
def test_text_that_is_not_canonical_is_refused(text: str) -> None:
    with pytest.raises(InvalidCid):
        from_text(text)


def test_known_text_forms() -> None:
    # The empty UnixFS file, as `ipfs add` names it.
    v0 = from_text("QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH")
    assert from_text("bafybeif7ztnhq65lumvvtr4ekcwd2ifwgm3awq4zfr3srh462rwyinlb4y") == b"\x01\x70" + v0


def test_both_spellings_of_a_content_have_one_key_and_two_ids() -> None:
    v1 = b"\x01\x70" + V0
    assert compute_content_key(V0) == compute_content_key(v1) == compute_dataset_id(v1) != compute_dataset_id(V0)
