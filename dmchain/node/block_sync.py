"""The shell around block sync: a clock, requests to peers, verification elsewhere, execution, and what is told of it.

Error handling: a request that fails is an input like any other. When a final block cannot be executed, or a quorum has
signed what cannot follow, `SyncHandler.halted` is told, once; everything else that `apply` raises ends the node.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import trio

from dmchain.chain.consensus.effects import PeerFault
from dmchain.chain.consensus.validators import ValidatorSet
from dmchain.chain.primitives.errors import InvalidBlock
from dmchain.chain.primitives.types import Address
from dmchain.chain.sync.events import (
    TICK_MS,
    Applied,
    ApplyBlock,
    ApplyFailed,
    BlocksArrived,
    Effect,
    FellBehind,
    Halt,
    HandOver,
    Input,
    PeerGone,
    PeerSlow,
    PeerStatus,
    RequestBlocks,
    RequestFailed,
    Start,
    SyncConfig,
    Tick,
    Verified,
    VerifyBlocks,
)
from dmchain.chain.sync.machine import BlockSync, Phase
from dmchain.chain.sync.verify import RunResult, VerifyRun, WireBlock
from dmchain.node.network import errors as network_errors
from dmchain.node.network.messages import MAX_BLOCKS, Blocks, GetBlocks, Reply

log = logging.getLogger("dmchain.sync")

PROGRESS_SECONDS: Final = 10.0


class SyncHandler(Protocol):
    """The node, as block sync sees it. All but `request` and `apply` return at once."""

    def position(self) -> Start:
        """The head and who signs the height after it."""
        ...

    async def request(self, peer: int, message: GetBlocks) -> Reply:
        """Ask a peer; raises network.errors.RequestFailed."""
        ...

    async def apply(self, height: int, block: bytes, commit: bytes, senders: bytes) -> ValidatorSet:
        """Execute and store a block whose commit is verified, unless the head is there already.

        `senders` of its transactions, 20 bytes each, recovered when it was verified. Returns who signs the next height;
        raises InvalidBlock when it cannot be executed.
        """
        ...

    def fault(self, peer: int, reason: str) -> None:
        """It has sent what no correct node sends."""
        ...

    def slow(self, peer: int, reason: str) -> None:
        """It has not delivered what it claims to have, and is passed over for a while."""
        ...

    def handed_over(self, height: int) -> None:
        """The chain is where its validators are: consensus may begin."""
        ...

    def fell_behind(self, height: int, peers_height: int) -> None:
        """Sync begins again."""
        ...

    def halted(self, halt: Halt) -> None:
        """Nothing more will come: keep what `halt` holds, and tell a person."""
        ...


Verify = Callable[[VerifyRun], Awaitable[RunResult]]


class BlockSyncHost:
    """Runs one `BlockSync`. Peers' statuses may be told before `run`."""

    def __init__(
        self,
        handler: SyncHandler,
        verify: Verify,
        chain_id: int,
        *,
        own: Address | None = None,
        config: SyncConfig | None = None,
    ) -> None:
        """`own`: the consensus address of this node, None where it does not validate."""
        self._handler = handler
        self._verify = verify
        self._nursery: trio.Nursery | None = None
        self._inputs: deque[Input] = deque()
        self._is_stepping = False
        self._said_at = 0.0
        self._said_height = 0
        self.machine = BlockSync(config or SyncConfig(), chain_id, handler.position(), self._now(), own)

    @property
    def is_syncing(self) -> bool:
        return self.machine.phase is Phase.SYNCING

    def peer_status(self, peer: int, height: int, earliest: int, validator: Address | None = None) -> None:
        """What a peer says of its chain, on connecting and with each new head."""
        self._feed(PeerStatus(peer, height, earliest, validator))

    def peer_gone(self, peer: int) -> None:
        self._feed(PeerGone(peer))

    def note_head(self, height: int, validators: ValidatorSet) -> None:
        """Consensus has decided a block; `validators` sign the next height. Not for blocks that sync brought."""
        if not self.is_syncing:
            self._feed(Applied(height, validators))

    async def run(self) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self._said_at, self._said_height = trio.current_time(), self.machine.height
            while True:
                self._feed(Tick())
                self._tell_progress()
                await trio.sleep(TICK_MS / 1000)

    def _now(self) -> int:
        return int(trio.current_time() * 1000)

    def _feed(self, happened: Input) -> None:
        """Step the machine; an input that comes while effects are performed waits its turn."""
        self._inputs.append(happened)
        if self._is_stepping or self._nursery is None:
            return
        self._is_stepping = True
        try:
            while self._inputs:
                for effect in self.machine.step(self._now(), self._inputs.popleft()):
                    self._perform(self._nursery, effect)
        finally:
            self._is_stepping = False

    def _perform(self, nursery: trio.Nursery, effect: Effect) -> None:
        handler = self._handler
        if isinstance(effect, RequestBlocks):
            nursery.start_soon(self._request, effect)
        elif isinstance(effect, VerifyBlocks):
            nursery.start_soon(self._verify_run, effect.run)
        elif isinstance(effect, ApplyBlock):
            nursery.start_soon(self._apply, effect)
        elif isinstance(effect, PeerFault):
            handler.fault(effect.peer, effect.reason)
        elif isinstance(effect, PeerSlow):
            log.info("peer %d is passed over for a while: %s", effect.peer, effect.reason)
            handler.slow(effect.peer, effect.reason)
        elif isinstance(effect, HandOver):
            log.info("synced to block %d", effect.height, extra={"height": effect.height})
            handler.handed_over(effect.height)
        elif isinstance(effect, FellBehind):
            log.warning(
                "behind: at block %d, peers at %d", effect.height, effect.peers_height, extra={"height": effect.height}
            )
            handler.fell_behind(effect.height, effect.peers_height)
            self._inputs.append(handler.position())
        else:
            log.error("halted at block %d: %s", effect.height, effect.reason, extra={"height": effect.height})
            handler.halted(effect)

    async def _request(self, asked: RequestBlocks) -> None:
        try:
            reply = await self._handler.request(asked.peer, GetBlocks(asked.start, min(asked.count, MAX_BLOCKS)))
        except network_errors.RequestFailed as error:
            self._feed(RequestFailed(asked.peer, asked.request, str(error)))
            return
        if isinstance(reply, Blocks):
            blocks = tuple([WireBlock(entry.block, entry.commit) for entry in reply.blocks])
            self._feed(BlocksArrived(asked.peer, asked.request, blocks))
        else:
            self._feed(RequestFailed(asked.peer, asked.request, f"answered with {type(reply).__name__}"))

    async def _verify_run(self, run: VerifyRun) -> None:
        self._feed(Verified(await self._verify(run)))

    async def _apply(self, effect: ApplyBlock) -> None:
        try:
            validators = await self._handler.apply(effect.height, effect.block, effect.commit, effect.senders)
        except InvalidBlock as error:
            self._feed(ApplyFailed(effect.height, str(error)))
        else:
            self._feed(Applied(effect.height, validators))

    def _tell_progress(self) -> None:
        now = trio.current_time()
        seconds = now - self._said_at
        if not self.is_syncing or seconds < PROGRESS_SECONDS:
            return
        height, target = self.machine.height, self.machine.target
        speed = max(0, height - self._said_height) / seconds
        self._said_at, self._said_height = now, height
        if target <= height:
            log.info("at block %d, waiting for peers to tell where the chain is", height, extra={"height": height})
            return
        left = f"{(target - height) / speed:.0f} s left" if speed else "no block came"
        log.info(
            "syncing: block %d of %d, %.1f blocks/s, %d to go, %s",
            height,
            target,
            speed,
            target - height,
            left,
            extra={"height": height},
        )
