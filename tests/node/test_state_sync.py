"""State sync through the real messages: a database from the snapshots of several nodes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from trio.testing import MockClock

from dmchain.chain.primitives.errors import DmchainError
from dmchain.chain.statesync import StateSyncConfig
from dmchain.chain.store.leveldb import LevelKV
from dmchain.node.network.errors import RequestFailed
from dmchain.node.network.messages import GetSnapshotChunk, GetSnapshotManifest, Reply, SnapshotChunk
from dmchain.node.network.wire import encode
from dmchain.node.snapshots import create_snapshot
from dmchain.node.state_sync import SnapshotServer, StateSyncHost, StateSyncPlaces, VerifiedHeader
from dmchain.node.worker import InlineWorker
from tests.chain.small_chain import CHAIN_ID, open_chain
from tests.chain.snapshot.recorded import grow

CHAIN = grow(open_chain(), 9)
CONFIG = StateSyncConfig(minimum_gain=1)


class FakePeers:
    """Peers by number, each with a directory of snapshots; those in `spoilers` change every chunk."""

    def __init__(self, servers: dict[int, SnapshotServer], spoilers: set[int]) -> None:
        self.servers = servers
        self.spoilers = spoilers
        self.faults: dict[int, str] = {}
        self.asked: set[int] = set()

    async def request(self, peer: int, message: GetSnapshotManifest | GetSnapshotChunk) -> Reply:
        if peer not in self.servers:
            raise RequestFailed("gone")
        server = self.servers[peer]
        if isinstance(message, GetSnapshotManifest):
            reply = server.manifest(message)
        else:
            self.asked.add(peer)
            reply = server.chunk(message)
            if peer in self.spoilers and isinstance(reply, SnapshotChunk):
                reply = SnapshotChunk(reply.data[::-1])
        encode(reply, 1)  # it fits a frame
        return reply

    def fault(self, peer: int, reason: str) -> None:
        self.faults[peer] = reason


def snapshot_in(directory: Path, height: int = 9) -> SnapshotServer:
    genesis = CHAIN.genesis_header.hash
    create_snapshot(
        CHAIN.view, height, directory / str(height), chain_id=CHAIN_ID, genesis_hash=genesis, chunk_bytes=1024
    )
    return SnapshotServer(directory)


async def verify(height: int) -> VerifiedHeader:
    header = CHAIN.view.blocks.header(height)
    if header is None:
        raise DmchainError("no such block")
    return VerifiedHeader(header.hash, header.state_root)


def make_host(folder: Path, peers: FakePeers) -> StateSyncHost:
    places = StateSyncPlaces(folder / "chunks", folder / "data")
    return StateSyncHost(peers, verify, InlineWorker(), places, CHAIN_ID, CHAIN.genesis_header, CONFIG)


async def test_a_database_comes_from_several_nodes(tmp_path: Path, autojump_clock: MockClock) -> None:
    servers = {number: snapshot_in(tmp_path / str(number)) for number in (1, 2, 3)}
    servers[4] = SnapshotServer(tmp_path / "nothing")
    peers = FakePeers(servers, spoilers={2})
    host = make_host(tmp_path, peers)
    for number in (1, 2, 3, 4, 5):
        host.peer_joined(number)
    assert await host.run() == 9
    assert {1, 3} <= peers.asked
    assert set(peers.faults) == {2}
    store = LevelKV(tmp_path / "data", create=False)
    assert open_chain(store).head == CHAIN.head
    store.close()
    assert not (tmp_path / "chunks").exists()


async def test_what_does_not_fit_the_disk_is_not_fetched(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    peers = FakePeers({1: snapshot_in(tmp_path / "1")}, set())
    host = make_host(tmp_path, peers)
    host.peer_joined(1)
    assert await host.run() is None
    assert not peers.asked and not peers.faults


async def test_without_snapshots_it_is_given_up(tmp_path: Path, autojump_clock: MockClock) -> None:
    peers = FakePeers({1: SnapshotServer(tmp_path / "nothing")}, set())
    host = make_host(tmp_path, peers)
    host.peer_joined(1)
    assert await host.run() is None
    assert not (tmp_path / "data").exists()


def test_the_newest_snapshot_is_served_and_older_ones_on_demand(tmp_path: Path) -> None:
    snapshot_in(tmp_path, 4)
    server = snapshot_in(tmp_path, 9)
    newest, older = server.manifest(GetSnapshotManifest(0)), server.manifest(GetSnapshotManifest(4))
    assert getattr(newest, "height", None) == 9
    assert getattr(older, "height", None) == 4
    assert "no snapshot" in str(server.manifest(GetSnapshotManifest(5)))
    assert isinstance(server.chunk(GetSnapshotChunk(4, 0)), SnapshotChunk)
    for wanted in (GetSnapshotChunk(5, 0), GetSnapshotChunk(9, 10_000)):
        assert "no such chunk" in str(server.chunk(wanted))


def test_a_damaged_chunk_is_not_served(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    server = snapshot_in(tmp_path)
    server.manifest(GetSnapshotManifest(0))
    (tmp_path / "9" / "000001.chunk").write_bytes(b"x")
    assert "no such chunk" in str(server.chunk(GetSnapshotChunk(9, 1)))
    assert "chunk 1: expected" in caplog.text
