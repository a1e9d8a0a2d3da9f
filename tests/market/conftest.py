"""One devnet a session, put back after each test: time, blocks and balances are as in genesis when a test begins."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dmchain.testing import Devnet, open_devnet
from tests.market.world import ACCOUNTS, World


@pytest.fixture(scope="session")
def market_devnet() -> Iterator[Devnet]:
    """A devnet process with the market's contracts; do not change it but through `world` or `devnet`."""
    with open_devnet("--accounts", str(ACCOUNTS)) as devnet:
        yield devnet


@pytest.fixture(scope="session")
def _session_world(market_devnet: Devnet) -> World:
    return World(market_devnet)


@pytest.fixture
def devnet(market_devnet: Devnet) -> Iterator[Devnet]:
    """The devnet, put back after the test."""
    snapshot = market_devnet.snapshot()
    yield market_devnet
    market_devnet.revert(snapshot)


@pytest.fixture
def world(devnet: Devnet, _session_world: World) -> World:
    """Roles, time and money on that devnet."""
    return _session_world
