"""How long things take: arithmetic on milliseconds, no clock.

Timeouts grow linearly with the round and are capped, never exponential: after a long outage the next round must not be
hours away. The parameters are part of the chain's state; their hash is in every record.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, fields

from dmchain.chain.consensus.inputs import TimerKind
from dmchain.chain.primitives.crypto import keccak
from dmchain.chain.primitives.types import Hash32

ASK_PEERS = 3
"""How many peers a stuck validator asks at a time; with a few faulty ones among them the next second asks others."""

_PARAMS_DOMAIN = b"dmchain consensus params v1"


@dataclass(frozen=True, slots=True)
class ConsensusParams:
    """Milliseconds. Timeouts of round r last base + r * delta, at most the cap.

    The propose timeout must exceed the time to build, transfer and validate a full block threefold. The base values
    are CometBFT's and Malachite's.
    """

    propose_ms: int = 3_000
    propose_delta_ms: int = 500
    prevote_ms: int = 1_000
    prevote_delta_ms: int = 500
    precommit_ms: int = 1_000
    precommit_delta_ms: int = 500
    timeout_cap_ms: int = 15_000
    heartbeat_ms: int = 60_000
    retry_ms: int = 1_000
    minimum_block_interval_ms: int = 50
    precision_ms: int = 500
    """How far correct clocks may be apart."""
    message_delay_ms: int = 2_000
    """How long a proposal may travel in round 0."""
    message_delay_delta_ms: int = 1_000

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 < value < 2**32:
                raise ValueError(f"{field.name}: expected 1 to 2**32 - 1 ms, got {value}")

    @property
    def hash(self) -> Hash32:
        """keccak256(domain || each value, 4 bytes): the record's paramsHash."""
        values = [getattr(self, field.name) for field in fields(self)]
        return keccak(_PARAMS_DOMAIN + struct.pack(f">{len(values)}I", *values))


def compute_timeout_ms(params: ConsensusParams, kind: TimerKind, round: int) -> int:
    """How long after `SetTimer(kind, height, round)` the answer is due."""
    if kind is TimerKind.PROPOSE:
        wanted = params.propose_ms + round * params.propose_delta_ms
    elif kind is TimerKind.PREVOTE:
        wanted = params.prevote_ms + round * params.prevote_delta_ms
    elif kind is TimerKind.PRECOMMIT:
        wanted = params.precommit_ms + round * params.precommit_delta_ms
    elif kind is TimerKind.STUCK:
        voting = (TimerKind.PROPOSE, TimerKind.PREVOTE, TimerKind.PRECOMMIT)
        return sum([compute_timeout_ms(params, part, max(round, 0)) for part in voting])
    elif kind is TimerKind.RETRY:
        return params.retry_ms
    else:
        return params.heartbeat_ms
    return min(wanted, params.timeout_cap_ms)


def is_timely(params: ConsensusParams, block_ms: int, received_ms: int, round: int) -> bool:
    """Whether a fresh proposal of `round` that arrives at `received_ms` may carry the time `block_ms`.

    Proposer-based timestamps: not from the future, and not older than a message can be. The allowance for the way grows
    with the round, so that a network slower than expected cannot stop the chain. Re-proposals are never asked: their
    time was judged when they were fresh.
    """
    travel = params.message_delay_ms + round * params.message_delay_delta_ms
    return received_ms - travel - params.precision_ms <= block_ms <= received_ms + params.precision_ms
