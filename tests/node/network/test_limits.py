"""Token buckets against a slow twin, and the frequencies of messages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmchain.node.network.errors import BAN_SCORE, ProtocolError
from dmchain.node.network.limits import DEFAULT_TYPE_RATES, LimitsConfig, PeerMeter, Rate, TokenBucket
from dmchain.node.network.messages import MESSAGE_TYPES, GetPeers, Hello, Ping, Role


class SlowBucket:
    """Fills tick by tick, one token each, up to `burst`."""

    def __init__(self, burst: int) -> None:
        self.tokens = self.burst = burst

    def tick(self) -> None:
        self.tokens = min(self.burst, self.tokens + 1)


@given(st.integers(1, 20), st.lists(st.tuples(st.integers(0, 30), st.integers(0, 10)), max_size=30))
def test_a_bucket_agrees_with_one_that_fills_tick_by_tick(burst: int, uses: list[tuple[int, int]]) -> None:
    bucket, slow, now = TokenBucket(Rate(1, burst), 0), SlowBucket(burst), 0
    for wait, amount in uses:
        now += wait
        for _ in range(wait):
            slow.tick()
        assert bucket.try_take(amount, now) == (slow.tokens >= amount)
        if slow.tokens >= amount:
            slow.tokens -= amount


@given(st.floats(0.1, 100), st.floats(1, 100), st.lists(st.floats(0, 1000), min_size=1, max_size=20))
def test_whoever_waits_as_told_never_exceeds_the_rate(rate: float, burst: float, amounts: list[float]) -> None:
    bucket, now = TokenBucket(Rate(rate, burst), 0), 0.0
    for amount in amounts:
        now += bucket.take(amount, now)
    assert sum(amounts) <= (burst + now * rate) * (1 + 1e-9) + 1e-6


def test_more_of_a_type_than_its_burst_is_an_offence() -> None:
    meter = PeerMeter(LimitsConfig(), 0)
    for _ in range(20):
        meter.check_frequency(Ping, 0)
    with pytest.raises(ProtocolError, match="Ping: too many") as cut:
        meter.check_frequency(Ping, 0)
    assert 0 < cut.value.score <= BAN_SCORE
    meter.check_frequency(Ping, 1)  # 2 a second


def test_a_second_hello_is_an_offence_for_a_quarter_of_an_hour() -> None:
    meter = PeerMeter(LimitsConfig(), 0)
    meter.check_frequency(Hello, 0)
    with pytest.raises(ProtocolError):
        meter.check_frequency(Hello, 900)


def test_pace_is_the_slower_of_bytes_and_messages() -> None:
    meter = PeerMeter(LimitsConfig(bytes=Rate(100, 100), messages=Rate(10, 10)), 0)
    assert meter.pace(100, 10, 0) == 0
    assert meter.pace(100, 1, 0) == pytest.approx(1)
    assert meter.pace(0, 19, 0) == pytest.approx(2)


def test_every_unsolicited_type_has_a_frequency() -> None:
    assert set(DEFAULT_TYPE_RATES) == {row.kind for row in MESSAGE_TYPES if row.role is not Role.REPLY}
    assert DEFAULT_TYPE_RATES[GetPeers].per_second < 1
