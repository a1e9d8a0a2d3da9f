"""What light clients are told: shapes of docs/light.md, null for what is not there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dmchain.chain.primitives.types import Address, Hash32
from dmchain.rpc.backend import Backend, CommitInfo, RecordInfo, ValidatorSetInfo
from tests.rpc.asking import Asker, Refused

HASHES = [Hash32(bytes([0x10 + number]) * 32) for number in range(8)]


class FakeConsensus:
    """Knows height 0 and the set of height 1."""

    def commit(self, height: int) -> CommitInfo | None:
        return CommitInfo(0, HASHES[0], b"\xf9\x01", 3, (b"\x22" * 65, None), False) if height == 0 else None

    def record(self, height: int) -> RecordInfo | None:
        if height:
            return None
        return RecordInfo(0, HASHES[0], HASHES[1], 1, 1337, 1_700_000_000_123, 9, Address(b"\x33" * 20), *HASHES[2:], 7)

    def validators(self, height: int) -> ValidatorSetInfo | None:
        members = ((Address(b"\x44" * 20), 70), (Address(b"\x55" * 20), 30))
        return ValidatorSetInfo(1, HASHES[2], 100, 67, members) if height == 1 else None


@pytest.fixture
def ask(backend: Backend) -> Asker:
    return Asker(replace(backend, consensus=FakeConsensus()))


def test_a_commit(ask: Asker) -> None:
    assert ask("dm_getCommit") == {
        "blockNumber": "0x0",
        "blockHash": "0x" + "10" * 32,
        "header": "0xf901",
        "round": "0x3",
        "signatures": ["0x" + "22" * 65, None],
        "canonical": False,
    }


def test_a_record(ask: Asker) -> None:
    answer = ask("dm_getRecord", "0x0")
    assert answer["timestampMs"] == hex(1_700_000_000_123)
    assert answer["proposer"] == "0x" + "33" * 20
    assert (answer["chainId"], answer["epoch"], answer["minimumSoftware"]) == ("0x539", "0x9", "0x7")
    assert [answer[name] for name in ("root", "validatorsHash", "nextValidatorsHash", "randaoReveal")] == [
        "0x" + HASHES[at].hex() for at in (1, 2, 3, 7)
    ]


def test_the_validators_of_the_height_after_the_head(ask: Asker) -> None:
    assert ask("dm_getValidators", "0x1") == {
        "blockNumber": "0x1",
        "hash": "0x" + "12" * 32,
        "totalPower": "0x64",
        "quorum": "0x43",
        "validators": [
            {"address": "0x" + "44" * 20, "power": "0x46"},
            {"address": "0x" + "55" * 20, "power": "0x1e"},
        ],
    }


def test_null_for_what_is_not_there(ask: Asker) -> None:
    for method in ("dm_getCommit", "dm_getRecord", "dm_getValidators"):
        for block in ("0x2", "0xffffffffffffffff", "0x" + "99" * 32):
            assert ask(method, block) is None
    assert ask("dm_getValidators", "latest") is None


def test_a_node_without_consensus_does_not_have_the_methods(backend: Backend) -> None:
    with pytest.raises(Refused, match="does not exist"):
        Asker(backend)("dm_getCommit")
