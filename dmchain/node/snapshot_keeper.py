"""Makes snapshots while the node runs, at heights that are the same for all nodes: their bytes are the same, too."""

from __future__ import annotations

import logging
import shutil
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import trio

from dmchain.chain.blockchain import Blockchain, ChainView
from dmchain.chain.primitives.errors import DmchainError
from dmchain.node.snapshots import PARTIAL, create_snapshot, list_snapshots

log = logging.getLogger("dmchain.sync")

LOOK_SECONDS: Final = 1.0
REST_SECONDS: Final = 0.02
"""After each chunk, which takes some 20 ms to make: the thread that decides blocks shares the interpreter with it."""


@dataclass(frozen=True)
class SnapshotPlan:
    """A snapshot at every height that `every` divides, and the newest `keep` of them in `directory`."""

    directory: Path
    every: int
    keep: int = 2


class SnapshotKeeper:
    """Keeps to a plan. A snapshot that fails is logged, and the next one tried."""

    def __init__(self, chain: Blockchain, plan: SnapshotPlan) -> None:
        self._chain = chain
        self._plan = plan
        self._tried = 0

    async def run(self) -> None:
        """Until cancelled; one that is under way ends at its next chunk."""
        while True:
            await trio.sleep(LOOK_SECONDS)
            view = self._chain.view
            height = view.head.number - view.head.number % self._plan.every
            if height > self._tried and self._is_there(view, height):
                self._tried = height
                await trio.to_thread.run_sync(partial(self._make, view, height))

    def _is_there(self, view: ChainView, height: int) -> bool:
        """Whether the state of that height is still kept; in a sync it may be gone by."""
        return view.history.oldest() <= height and view.blocks.earliest() <= height

    def _make(self, view: ChainView, height: int) -> None:
        began, target = time.monotonic(), self._plan.directory / str(height)
        if target.exists():
            return
        try:
            self._plan.directory.mkdir(mode=0o700, exist_ok=True)
            files = create_snapshot(
                view,
                height,
                target,
                chain_id=self._chain.rules.chain_id,
                genesis_hash=self._chain.genesis_header.hash,
                progress=_rest,
            )
            self._drop_old()
        except (DmchainError, OSError) as error:
            log.error("no snapshot of block %d: %s", height, error, extra={"height": height})
            return
        chunks, seconds = len(files.manifest.chunk_hashes), time.monotonic() - began
        log.info("made a snapshot of block %d: %d chunks in %.1f s", height, chunks, seconds, extra={"height": height})

    def _drop_old(self) -> None:
        for files in list_snapshots(self._plan.directory)[: -self._plan.keep]:
            # first under another name: half a snapshot would be offered to peers
            doomed = files.path.with_name(files.path.name + PARTIAL)
            files.path.rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)


def _rest(size: int, share: float) -> None:
    trio.from_thread.check_cancelled()
    time.sleep(REST_SECONDS)
