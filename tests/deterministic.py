"""Repeatable runs of trio: a virtual clock and a scheduler whose choices a seed makes.

Trio shuffles the tasks that can run, on purpose. The two private names that stop that are touched here and nowhere
else; test_deterministic.py fails when a new trio changes their meaning.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import trio
import trio._core._run as trio_run
import trio.testing

T = TypeVar("T")


@contextmanager
def deterministic_trio(seed: int) -> Iterator[None]:
    """Runs of trio started within make the same choices for the same seed."""
    before, state = trio_run._ALLOW_DETERMINISTIC_SCHEDULING, trio_run._r.getstate()
    trio_run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
    trio_run._r.seed(seed)
    try:
        yield
    finally:
        trio_run._ALLOW_DETERMINISTIC_SCHEDULING = before  # type: ignore[misc]
        trio_run._r.setstate(state)


def run_simulation(main: Callable[..., Awaitable[T]], *args: Any, seed: int) -> T:
    """Run `main(*args)` to its end under a virtual clock that jumps whenever nobody has anything to do."""
    with deterministic_trio(seed):
        return trio.run(main, *args, clock=trio.testing.MockClock(autojump_threshold=0))
