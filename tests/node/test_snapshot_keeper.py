"""Snapshots are made at heights that all nodes share, and old ones go."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from dmchain.node import snapshot_keeper
from dmchain.node.snapshot_keeper import SnapshotKeeper, SnapshotPlan
from dmchain.node.snapshots import list_snapshots
from tests.chain.small_chain import open_chain
from tests.chain.snapshot.recorded import grow


async def test_the_newest_ones_at_round_heights_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_keeper, "LOOK_SECONDS", 0.01)
    chain, place = open_chain(), tmp_path / "snapshots"

    def heights() -> list[int]:
        return [files.manifest.height for files in list_snapshots(place)]

    async def until(wanted: list[int]) -> None:
        with trio.fail_after(20):
            while heights() != wanted:
                await trio.sleep(0.01)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(SnapshotKeeper(chain, SnapshotPlan(place, every=3, keep=2)).run)
        grow(chain, 4)
        await until([3])
        grow(chain, 2)
        await until([3, 6])
        grow(chain, 5)
        await until([6, 9])
        nursery.cancel_scope.cancel()
    first = list_snapshots(place)[0]
    other = open_chain()
    grow(other, 6)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(SnapshotKeeper(other, SnapshotPlan(tmp_path / "other", every=6)).run)
        with trio.fail_after(20):
            while not list_snapshots(tmp_path / "other"):
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    assert list_snapshots(tmp_path / "other")[0].manifest == first.manifest
