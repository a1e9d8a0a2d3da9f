"""How much one peer may make us work, sans-IO: every call takes the time.

Two kinds of limit. Bytes and messages are paced: a peer that sends more is read more slowly, its own connection fills
up, and nobody else notices. Per type there is a frequency no correct node comes near: going over it is an offence.
Replies are exempt from the second, since each was asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from dmchain.node.network.errors import SCORE_FLOOD, DisconnectCode, ProtocolError
from dmchain.node.network.messages import (
    MIB,
    ConsensusBody,
    ConsensusMessage,
    Disconnect,
    GetBlocks,
    GetLightBlock,
    GetPeers,
    GetSnapshotChunk,
    GetSnapshotManifest,
    GetTransactions,
    Hello,
    NewTransactions,
    Ping,
    Status,
    TransactionHashes,
    ValidatorRecords,
)


@dataclass(frozen=True, slots=True)
class Rate:
    """A steady rate and what may come at once."""

    per_second: float
    burst: float


class TokenBucket:
    """Fills at `rate.per_second` up to `rate.burst`; full at the start."""

    __slots__ = ("_at", "_rate", "_tokens")

    def __init__(self, rate: Rate, now: float) -> None:
        self._rate = rate
        self._tokens = rate.burst
        self._at = now

    def try_take(self, amount: float, now: float) -> bool:
        """Take `amount` if it is there."""
        self._fill(now)
        if self._tokens < amount:
            return False
        self._tokens -= amount
        return True

    def take(self, amount: float, now: float) -> float:
        """Take `amount` even if it is not there; return the seconds until the bucket is out of debt."""
        self._fill(now)
        self._tokens -= amount
        return max(0.0, -self._tokens / self._rate.per_second)

    def _fill(self, now: float) -> None:
        self._tokens = min(self._rate.burst, self._tokens + (now - self._at) * self._rate.per_second)
        self._at = now


DEFAULT_TYPE_RATES: Final[Mapping[type, Rate]] = MappingProxyType(
    {
        Hello: Rate(0.001, 1),  # one, and that is all
        Status: Rate(50, 200),  # the manager sends four a second at most
        Ping: Rate(2, 20),
        Disconnect: Rate(1, 1),
        GetPeers: Rate(0.1, 5),
        ValidatorRecords: Rate(2, 20),  # all at once to a new peer, then single news
        TransactionHashes: Rate(500, 1000),
        GetTransactions: Rate(1000, 2000),
        NewTransactions: Rate(200, 400),  # a node sends 100 a second at most
        # 200 validators' votes for ten blocks a second, should a peer relay all of them
        ConsensusMessage: Rate(5000, 20000),
        ConsensusBody: Rate(50, 200),
        GetBlocks: Rate(100, 200),
        GetSnapshotManifest: Rate(1, 10),
        GetSnapshotChunk: Rate(50, 100),
        GetLightBlock: Rate(5, 50),
    }
)


@dataclass(frozen=True, slots=True)
class LimitsConfig:
    """`bytes` and `messages` pace one peer; 16 MiB/s is a gigabit line shared by eight.

    `messages` counts encrypted records and frames: a small message sent by itself is two.
    """

    bytes: Rate = Rate(16 * MIB, 16 * MIB)
    messages: Rate = Rate(4000, 4000)
    types: Mapping[type, Rate] = field(default_factory=lambda: DEFAULT_TYPE_RATES)


class PeerMeter:
    """What one peer has used up."""

    def __init__(self, config: LimitsConfig, now: float) -> None:
        self._bytes = TokenBucket(config.bytes, now)
        self._messages = TokenBucket(config.messages, now)
        self._types = {kind: TokenBucket(rate, now) for kind, rate in config.types.items()}

    def pace(self, size: int, messages: int, now: float) -> float:
        """Account for input that was read; return the seconds to wait before reading more."""
        return max(self._bytes.take(size, now), self._messages.take(messages, now))

    def check_frequency(self, kind: type, now: float) -> None:
        """Raise ProtocolError when the peer sends messages of that type too often."""
        bucket = self._types.get(kind)
        if bucket is not None and not bucket.try_take(1, now):
            raise ProtocolError(f"{kind.__name__}: too many", score=SCORE_FLOOD, code=DisconnectCode.FLOOD)
