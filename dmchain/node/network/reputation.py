"""Scores and timed bans, sans-IO: every call takes the time, in seconds of any monotonic clock.

Points are charged to nodes and to hosts, because a key costs nothing and an IP address costs a little. They decay, so
that rare accidents never add up. Each further ban of the same subject is twice as long.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final

from dmchain.node.network.errors import BAN_SCORE
from dmchain.node.network.identity import NodeId
from dmchain.node.network.transport import Endpoint

REPUTATION_DECAY: Final = BAN_SCORE / 600
"""Points a second: a full ban's worth is forgotten in ten minutes."""
BAN_SECONDS: Final = 600.0
MAX_BAN_SECONDS: Final = 86_400.0
MAX_SUBJECTS: Final = 4096

_IPV6_HOST_BITS: Final = 64
"""One customer gets a whole /64, so that is one host."""


def node_subject(node_id: NodeId) -> str:
    return "node:" + node_id.hex()


def host_subject(endpoint: Endpoint) -> str:
    """The host an endpoint belongs to: an IPv4 address, an IPv6 /64, or the name."""
    ip = endpoint.ip
    if ip is None:
        return "host:" + endpoint.host
    if ip.version == 4:
        return f"host:{ip}"
    return f"host:{ip.packed[: _IPV6_HOST_BITS // 8].hex()}/{_IPV6_HOST_BITS}"


@dataclass(slots=True)
class _Standing:
    score: float = 0.0
    at: float = 0.0
    banned_until: float = 0.0
    bans: int = 0


class Reputation:
    """Standing by subject, at most MAX_SUBJECTS: the one longest unheard of is forgotten first."""

    def __init__(self, *, ban_seconds: float = BAN_SECONDS, max_subjects: int = MAX_SUBJECTS) -> None:
        self._ban_seconds = ban_seconds
        self._max_subjects = max_subjects
        self._standings: OrderedDict[str, _Standing] = OrderedDict()

    def charge(self, subject: str, score: float, now: float, *, longest_ban: float = MAX_BAN_SECONDS) -> bool:
        """Add points; return whether the subject is banned now, by this or before. No points, no record."""
        if score <= 0:
            return self.is_banned(subject, now)
        standing = self._touch(subject, now)
        standing.score += score
        if standing.score >= BAN_SCORE:
            seconds = min(self._ban_seconds * 2**standing.bans, MAX_BAN_SECONDS, longest_ban)
            standing.banned_until = max(standing.banned_until, now + seconds)
            standing.bans = min(standing.bans + 1, 16)
            standing.score = 0.0
        return standing.banned_until > now

    def is_banned(self, subject: str, now: float) -> bool:
        standing = self._standings.get(subject)
        return standing is not None and standing.banned_until > now

    def score(self, subject: str, now: float) -> float:
        """Points not decayed yet."""
        standing = self._standings.get(subject)
        return 0.0 if standing is None else max(0.0, standing.score - (now - standing.at) * REPUTATION_DECAY)

    def bans(self, now: float) -> dict[str, float]:
        """Banned subjects and the seconds left."""
        return {
            subject: standing.banned_until - now
            for subject, standing in self._standings.items()
            if standing.banned_until > now
        }

    def pardon(self, subject: str) -> None:
        """Forget everything about a subject."""
        self._standings.pop(subject, None)

    def dump(self, now: float) -> list[list[Any]]:
        """[subject, points, seconds of ban left, bans so far]: for a file. Time away from the clock is not served."""
        return [
            [subject, self.score(subject, now), max(0.0, standing.banned_until - now), standing.bans]
            for subject, standing in self._standings.items()
        ]

    def load(self, rows: list[list[Any]], now: float) -> None:
        """Take back what `dump` gave; raises ValueError or TypeError for anything else."""
        for subject, score, seconds, bans in rows[-self._max_subjects :]:
            standing = self._touch(str(subject), now)
            standing.score = min(max(float(score), 0.0), BAN_SCORE)
            standing.banned_until = now + min(max(float(seconds), 0.0), MAX_BAN_SECONDS)
            standing.bans = min(max(int(bans), 0), 16)

    def _touch(self, subject: str, now: float) -> _Standing:
        standing = self._standings.get(subject)
        if standing is None:
            standing = self._standings[subject] = _Standing(at=now)
            if len(self._standings) > self._max_subjects:
                self._standings.popitem(last=False)
        standing.score = self.score(subject, now)
        standing.at = now
        self._standings.move_to_end(subject)
        return standing
