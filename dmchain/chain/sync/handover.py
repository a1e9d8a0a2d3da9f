"""When consensus takes over from sync, and when it gives back.

Peers' heights are claims. Validators worth more than a third of the power have a correct one among them; what they
claim together is where the chain is.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from dmchain.chain.consensus.validators import ValidatorSet
from dmchain.chain.primitives.types import Address
from dmchain.chain.sync.peers import PeerTable

if TYPE_CHECKING:
    from dmchain.chain.sync.events import SyncConfig

_SAMPLE_MS = 250
_SAMPLES = 20
"""Growth is measured over five seconds."""


class Handover:
    """Watches the distance between this node and its peers."""

    def __init__(self, config: SyncConfig, own: Address | None) -> None:
        self._config = config
        self._own = own
        self.start(0)

    def start(self, now: int) -> None:
        """Sync begins."""
        self._samples: deque[tuple[int, int]] = deque(maxlen=_SAMPLES)
        self._best_gap: int | None = None
        self._best_at = now
        self._quiet_since: int | None = None
        """Since when no peer claims anything above: a stand-in where too few validators are connected to tell."""
        self._reached: int | None = None
        self._near = 0
        self._has_progressed = False
        self._behind_since: int | None = None
        self._is_reported = False

    def note_progress(self, now: int) -> None:
        """A block was executed."""
        self._has_progressed = True
        if self._quiet_since is not None:
            self._quiet_since = now

    def observe(self, now: int, height: int, peers: PeerTable, validators: ValidatorSet) -> None:
        """Take the measurements; called with every input, since what they mean lies in how they change."""
        self._reached = peers.height_not_passed(validators)
        if self._reached is not None:
            if not self._samples or now - self._samples[-1][0] >= _SAMPLE_MS:
                self._samples.append((now, self._reached))
            gap = self._reached - height
            if self._best_gap is None or gap < self._best_gap:
                self._best_gap, self._best_at = gap, now
                self._has_progressed = False
        self._near = height + self._slack()
        active = peers.active(now)
        if not active or any(state.height > self._near for state in active):
            self._quiet_since = None
        elif self._quiet_since is None:
            self._quiet_since = now

    def is_due(self, now: int, height: int, validators: ValidatorSet, *, has_more: bool) -> bool:
        """Whether consensus may begin at `height` + 1; `has_more`: that block is here and verified."""
        own = validators.index_of(self._own)
        if own is not None and validators.powers[own] >= validators.quorum:
            return True  # where this node is, the chain is
        if self._reached is not None and self._is_stalled(now, self._reached - height):
            return True
        if has_more:
            return False
        if self._reached is not None and self._reached <= self._near:
            return True
        return self._quiet_since is not None and now - self._quiet_since >= self._config.quiet_ms

    def _slack(self) -> int:
        """One block, or what peers make in `handover_ms`: with short block times a node is never within one."""
        if len(self._samples) < 2:
            return 1
        (began, low), (ended, high) = self._samples[0], self._samples[-1]
        return max(1, (high - low) * self._config.handover_ms // (ended - began))

    def _is_stalled(self, now: int, gap: int) -> bool:
        """We execute blocks, but the chain grows as fast: sync cannot bring us any nearer."""
        is_late = now - self._best_at >= self._config.stall_ms
        return is_late and self._has_progressed and gap <= self._config.stall_blocks

    def is_behind(self, now: int, height: int, peers: PeerTable, validators: ValidatorSet) -> int | None:
        """The height of peers when consensus has been left behind for good; said once until `start`."""
        reached = peers.height_reached(validators)
        if reached is None and validators.index_of(self._own) is None:
            # a node that only follows loses nothing when a stranger lies: it is back after one request
            reached = max([state.height for state in peers.active(now)], default=None)
        if reached is None or reached < height + self._config.behind_blocks:
            self._behind_since = None
            return None
        if self._behind_since is None:
            self._behind_since = now
        if self._is_reported or now - self._behind_since < self._config.behind_ms:
            return None
        self._is_reported = True
        return reached
