"""Numbers for monitoring, in Prometheus' text format 0.0.4. No I/O, no threads: counting is an addition."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
SYNC_BUCKETS_SECONDS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0)
"""An fdatasync takes 0.1 ms on a good disk; 50 ms on one that delays every block."""
INTERVAL_BUCKETS_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Histogram:
    """Counts by upper bound, with the sum. Fed and read on one thread each: a reading may be one observation old."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


@dataclass(frozen=True, slots=True)
class Sample:
    """One value with its labels. `suffix` is what a histogram appends to the name."""

    value: float
    labels: Mapping[str, str] = field(default_factory=dict)
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class Family:
    """A metric: its name without the prefix, its type (gauge, counter, histogram), one line of help, its values."""

    name: str
    kind: str
    text: str
    samples: tuple[Sample, ...]


def gauge(name: str, text: str, value: float, **labels: str) -> Family:
    return Family(name, "gauge", text, (Sample(value, labels),))


def counter(name: str, text: str, value: float) -> Family:
    """`name` ends in _total, as Prometheus wants it."""
    return Family(name, "counter", text, (Sample(value),))


def counters(name: str, text: str, label: str, values: Mapping[str, float]) -> Family:
    """One counter for each value of a label."""
    return Family(name, "counter", text, tuple([Sample(value, {label: key}) for key, value in sorted(values.items())]))


def histogram(name: str, text: str, found: Histogram) -> Family:
    samples, below = [], 0
    for bound, count in zip((*map(repr, found.bounds), "+Inf"), found.counts, strict=True):
        below += count
        samples.append(Sample(below, {"le": bound}, "_bucket"))
    samples += [Sample(found.total, suffix="_sum"), Sample(below, suffix="_count")]
    return Family(name, "histogram", text, tuple(samples))


def render(families: Iterable[Family]) -> str:
    """The text that a scrape gets."""
    lines = []
    for family in families:
        lines.append(f"# HELP {family.name} {_escape(family.text, quote=False)}")
        lines.append(f"# TYPE {family.name} {family.kind}")
        for sample in family.samples:
            labels = ",".join([f'{key}="{_escape(value)}"' for key, value in sample.labels.items()])
            name = family.name + sample.suffix
            lines.append(f"{name}{{{labels}}} {_number(sample.value)}" if labels else f"{name} {_number(sample.value)}")
    return "\n".join(lines) + "\n"


def _escape(text: str, *, quote: bool = True) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quote else text


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else repr(float(value))
